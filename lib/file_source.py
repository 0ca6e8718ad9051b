"""
Members in a bucket: newline-delimited JSON or CSV, gzip or not, read with the official client in ranges.

A record of CSV may hold newlines between quotes, and a gzip file cannot be entered in its middle. So a file is read
once from end to end to be cut where records begin; a plain file is then read from there, a gzip file up to there.
"""

from __future__ import annotations

import csv
import gzip
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from fnmatch import fnmatchcase
from io import BufferedReader
from typing import Any, Final, Protocol

import orjson

from lib.config import Source
from lib.cuts import Cut
from lib.errors import ConfigurationError, SourceUnavailableError

#: Bytes that one call to Cloud Storage brings.
_RANGE: Final = 4 * 2**20
#: A record of more bytes is a quote without its end, or no such file at all.
MAX_RECORD_BYTES: Final = 2**20
_TIMEOUT_S: Final = 60.0
#: RFC 1952, 2.3.1.
_GZIP: Final = b"\x1f\x8b"
_BYTE_ORDER_MARK: Final = b"\xef\xbb\xbf"
_DELIMITERS: Final = ",;\t|"


class Stream(Protocol):
    """What lines can be read from."""

    def readline(self, size: int, /) -> bytes:
        """Return a line with its end, or what there is of it within *size* bytes."""


@dataclass(frozen=True, slots=True)
class FileReader:
    """
    Reads files.

    Args:
        client: Makes the official client, on first use.
    """

    client: Callable[[], Any]

    def cuts(
        self,
        source: Source,
        sync_id: str,  # noqa: ARG002 - a generation is enough
        rows: int,
        page_rows: int,
    ) -> Iterator[Cut]:
        """Return all records of the file, or of all files that the pattern means, in cuts."""
        bucket, _, pattern = (source.uri or "").removeprefix("gs://").partition("/")
        with _told(source.name):
            blobs = self._blobs(bucket, pattern)
        if not blobs:
            raise ConfigurationError(
                f"the source {source.name} has no file that holds anything",
                field="source",
                process="read",
                scope="Cloud Storage",
                action="Put the file where `uri` says, or correct `uri`.",
            )
        first_row, first_batch = 0, 1
        for blob in blobs:
            with _told(source.name):
                found = _Scan.of(self._part(blob, bucket, source.format), self._open, rows)
            for start, before, count in found.runs:
                cut = Cut(
                    part=found.part,
                    start=start,
                    first_row=first_row + before,
                    rows=count,
                    first_batch=first_batch,
                    page_rows=page_rows,
                )
                yield cut
                first_batch += cut.batches
            first_row += found.records

    def members(self, cut: Cut) -> Iterator[tuple[Mapping[str, Any] | None, int]]:
        """Yield each record as an object; None for one that is none."""
        is_csv = cut.part["format"] == "csv"
        read = _csv_reader(cut.part) if is_csv else _read_json
        with _told(cut.part["object"]), self._open(cut.part, cut.start) as stream:
            position = cut.start
            for record in records(stream, quoted=is_csv):
                position += len(record)
                if record.strip():
                    yield read(record), position

    def _blobs(self, bucket: str, pattern: str) -> list[Any]:
        """Return the files of a pattern, in the order of their names."""
        if "*" not in pattern:
            blob = self.client().bucket(bucket).get_blob(pattern, timeout=_TIMEOUT_S)
            return [blob] if blob is not None and blob.size else []
        listed = self.client().list_blobs(bucket, prefix=pattern.partition("*")[0], timeout=_TIMEOUT_S)
        # Only `*` means something in it.
        wanted = "".join(f"[{sign}]" if sign in "[]?" else sign for sign in pattern)
        return [blob for blob in listed if fnmatchcase(blob.name, wanted) and blob.size]

    def _part(self, blob: Any, bucket: str, file_format: str) -> dict[str, Any]:
        part = {"kind": "file", "format": file_format, "bucket": bucket, "object": blob.name}
        begins = blob.download_as_bytes(start=0, end=len(_GZIP) - 1, raw_download=True, timeout=_TIMEOUT_S)
        return part | {"generation": blob.generation, "gzip": begins == _GZIP}

    @contextmanager
    def _open(self, part: Mapping[str, Any], start: int) -> Iterator[Stream]:
        """Open a file, unpacked, at *start*."""
        blob = self.client().bucket(part["bucket"]).blob(part["object"], generation=part["generation"])
        # As it is stored: the service unpacks a file by itself only where it is not asked for a range.
        with blob.open("rb", chunk_size=_RANGE, raw_download=True, timeout=_TIMEOUT_S) as raw:
            if not part["gzip"]:
                if start:
                    raw.seek(start)
                yield BufferedReader(raw, _RANGE)
                return
            with gzip.GzipFile(fileobj=raw) as unpacked:
                unpacked.seek(start)
                yield unpacked


@dataclass(frozen=True, slots=True)
class _Scan:
    """
    What reading a file from end to end has found.

    Args:
        runs: Where each run of records begins, how many records are before it, and how many it has.
    """

    part: Mapping[str, Any]
    runs: Sequence[tuple[int, int, int]]
    records: int

    @classmethod
    def of(cls, part: dict[str, Any], open_at: Callable[..., Any], rows: int) -> _Scan:
        is_csv = part["format"] == "csv"
        starts: list[tuple[int, int]] = []
        position = count = 0
        with open_at(part, 0) as stream:
            for record in records(stream, quoted=is_csv):
                if record.strip():
                    if is_csv and "columns" not in part:
                        part |= _header(record)
                    else:
                        if count % rows == 0:
                            starts.append((position, count))
                        count += 1
                position += len(record)
        ends = [before for _, before in starts[1:]] + [count] * bool(starts)
        runs = [(start, before, end - before) for (start, before), end in zip(starts, ends, strict=True)]
        return cls(part, runs, count)


def records(stream: Stream, *, quoted: bool) -> Iterator[bytes]:
    """
    Yield the records of a file as they stand, blank ones too: their lengths add up to their places.

    Args:
        quoted: Whether a newline between quotes belongs to the record (RFC 4180, 2.6).

    Raises:
        ConfigurationError: One is longer than MAX_RECORD_BYTES.
    """
    record = b""
    while line := stream.readline(MAX_RECORD_BYTES + 1):
        record = record + line if record else line
        if len(record) > MAX_RECORD_BYTES:
            raise ConfigurationError(
                "a line of the source is longer than 1 MB",
                field="source",
                process="read",
                action="See that `format` is right, and that every quote has its end.",
            )
        if not (quoted and record.count(b'"') % 2):
            yield record
            record = b""
    if record:
        yield record


def _read_json(record: bytes) -> Mapping[str, Any] | None:
    try:
        value = orjson.loads(record)
    except orjson.JSONDecodeError:
        return None
    return value if isinstance(value, dict) else None


def _header(record: bytes) -> dict[str, Any]:
    """Return the names of the columns, and what stands between them: whichever of the usual signs there is most of."""
    text = record.removeprefix(_BYTE_ORDER_MARK).decode(errors="replace")
    delimiter = max(_DELIMITERS, key=text.count)
    (names,) = csv.reader([text], delimiter=delimiter)
    return {"columns": [name.strip() for name in names], "delimiter": delimiter}


def _csv_reader(part: Mapping[str, Any]) -> Callable[[bytes], Mapping[str, Any] | None]:
    columns, delimiter = part["columns"], part["delimiter"]

    def read(record: bytes) -> Mapping[str, Any] | None:
        try:
            (cells,) = csv.reader([record.decode()], delimiter=delimiter)
            return dict(zip(columns, cells, strict=True))
        except (ValueError, csv.Error):
            return None

    return read


@contextmanager
def _told(what: str) -> Iterator[None]:
    """Turn what the client raises into one of our errors."""
    from google.api_core import exceptions  # noqa: PLC0415 - both come with the client, on first use
    from google.auth.exceptions import GoogleAuthError  # noqa: PLC0415

    try:
        yield
    except (exceptions.NotFound, exceptions.Forbidden, exceptions.BadRequest) as error:
        raise ConfigurationError(
            f"Cloud Storage refuses to read the source {what} ({type(error).__name__})",
            field="source",
            process="read",
            scope="Cloud Storage",
            action="See that the file is still there as it was when its reading began, and that the function's service "
            "account has roles/storage.objectViewer on the bucket.",
        ) from None
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise ConfigurationError(
            f"the source {what} is no whole gzip file ({type(error).__name__})", field="source", process="read"
        ) from None
    except (exceptions.GoogleAPIError, GoogleAuthError, OSError) as error:
        raise SourceUnavailableError(
            f"Cloud Storage cannot be read now ({type(error).__name__})", field="source", scope="Cloud Storage"
        ) from None
