"""A file of this machine, in the shape in which `file_source` reads one of a bucket: for the command line."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final, Literal
from urllib.parse import quote, unquote

from lib.config import Source
from lib.errors import ConfigurationError

_BIGQUERY: Final = "bq://"
_TABLE: Final = re.compile(r"[\w-]+\.[\w-]+\.[\w$-]+")
#: Stands where a bucket's name does.
_BUCKET: Final = "this-machine"
_FORMATS: Final[dict[str, Literal["csv", "ndjson"]]] = {
    ".csv": "csv", ".tsv": "csv", ".txt": "csv", ".ndjson": "ndjson", ".jsonl": "ndjson", ".json": "ndjson",
}  # fmt: skip


def source_of(target: str, stated: Literal["csv", "ndjson"] | None = None) -> Source:
    """
    Return the source that *target* names: `bq://project.dataset.table`, or a file.

    Args:
        stated: The file's format; by default its name says it, that of gzip's own left aside.

    Raises:
        ConfigurationError: It names neither.
    """
    if target.startswith(_BIGQUERY):
        table = target.removeprefix(_BIGQUERY)
        if not _TABLE.fullmatch(table):
            raise ConfigurationError("a table must be named bq://project.dataset.table", process="read")
        return Source(name=target, table=table)
    path = Path(target)
    if not path.is_file():
        raise ConfigurationError("there is no such file", field=target, process="read")
    suffixes = [suffix.lower() for suffix in path.suffixes if suffix.lower() != ".gz"]
    form = stated or _FORMATS.get(suffixes[-1] if suffixes else "")
    if form is None:
        raise ConfigurationError(
            "the file's name does not tell its format", field=target, process="read", action="Give --format."
        )
    return Source(name=path.name, uri=f"gs://{_BUCKET}/{quote(str(path.resolve()))}", format=form)


class LocalFiles:
    """Stands for the client of Cloud Storage."""

    def bucket(self, _name: str) -> LocalFiles:
        """Return what stands for any bucket."""
        return self

    def get_blob(self, name: str, *, timeout: float) -> LocalFile:  # noqa: ARG002 - a disk answers at once
        """Return a file."""
        return LocalFile(name)

    def blob(self, name: str, *, generation: object) -> LocalFile:  # noqa: ARG002 - a file has but one
        """Return a file."""
        return LocalFile(name)


@dataclass(frozen=True, slots=True)
class LocalFile:
    """Stands for an object of a bucket; its name is quoted, since `*` would mean something in it."""

    name: str
    generation: int = 0

    @property
    def _path(self) -> Path:
        return Path(unquote(self.name))

    @property
    def size(self) -> int:
        """Its bytes."""
        return self._path.stat().st_size

    def download_as_bytes(self, *, start: int, end: int, raw_download: bool, timeout: float) -> bytes:  # noqa: ARG002
        """Return the bytes from *start* to *end*, which is one of them."""
        with self.open("rb") as file:
            file.seek(start)
            return file.read(end - start + 1)

    def open(self, mode: Literal["rb"], **_options: object) -> BinaryIO:
        """Open it."""
        return self._path.open(mode)
