"""Members from files in a bucket, through the official client and the stand-in."""

from __future__ import annotations

import gzip
import io
from collections.abc import Iterator
from typing import Any

import pytest
from google.auth.credentials import AnonymousCredentials
from google.cloud.storage import Client
from hypothesis import given
from hypothesis import strategies as st

from lib.config import Source
from lib.cuts import PAGE_ROWS
from lib.errors import ConfigurationError, SourceUnavailableError
from lib.file_source import MAX_RECORD_BYTES, records
from lib.segment_source import SegmentSources
from tests.local.storage import Storage

FILE: Source = Source(name="vip", uri="gs://crm/vip.json")
CSV: Source = Source(name="vip", uri="gs://crm/vip.csv", format="csv")


@pytest.fixture
def bucket() -> Iterator[Storage]:
    with Storage() as server:
        yield server


@pytest.fixture
def sources(bucket: Storage) -> Iterator[SegmentSources]:
    credentials = AnonymousCredentials()  # type: ignore[no-untyped-call]  # google-auth has no types here
    client: Any = Client(project="p", credentials=credentials, client_options={"api_endpoint": bucket.url})
    yield SegmentSources(bigquery=lambda: None, storage=lambda: client)
    client.close()


def lines(count: int, start: int = 0) -> bytes:
    return b"".join(b'{"email": "p%d@example.com"}\n' % number for number in range(start, start + count))


def read(sources: SegmentSources, source: Source, pages: int = 1) -> list[Any]:
    return [
        member
        for cut in sources.cuts(source, "s", pages=pages)
        for page in sources.pages(cut)
        for member in page.members
    ]


def emails(count: int) -> list[Any]:
    return [{"email": f"p{number}@example.com"} for number in range(count)]


@pytest.mark.parametrize("packed", [False, True], ids=["plain", "gzip"])
def test_a_file_is_cut_where_records_begin(bucket: Storage, sources: SegmentSources, *, packed: bool) -> None:
    data = lines(2 * PAGE_ROWS + 3)
    bucket.put("crm", "vip.json", gzip.compress(data) if packed else data)
    cuts = sources.cuts(FILE, "s", pages=1)
    assert [(cut.first_row, cut.rows, cut.first_batch, cut.part["gzip"]) for cut in cuts] == [
        (0, PAGE_ROWS, 1, packed),
        (PAGE_ROWS, PAGE_ROWS, 2, packed),
        (2 * PAGE_ROWS, 3, 3, packed),
    ]
    pages = [page for cut in cuts for page in sources.pages(cut)]
    assert [member for page in pages for member in page.members] == emails(2 * PAGE_ROWS + 3)


def test_what_is_left_of_a_cut_begins_after_the_page(bucket: Storage, sources: SegmentSources) -> None:
    bucket.put("crm", "vip.json", lines(2 * PAGE_ROWS + 3))
    (cut,) = sources.cuts(FILE, "s", pages=5)
    first = next(sources.pages(cut))
    assert first.rest is not None
    rest = list(sources.pages(first.rest))
    assert [(page.first_row, page.batch) for page in rest] == [(PAGE_ROWS, 2), (2 * PAGE_ROWS, 3)]
    assert first.members + [member for page in rest for member in page.members] == emails(2 * PAGE_ROWS + 3)


def test_a_file_is_never_asked_for_whole(bucket: Storage, sources: SegmentSources) -> None:
    bucket.put("crm", "vip.json", lines(300_000))
    assert len(sources.cuts(FILE, "s", pages=1)) == 30
    assert len(bucket.ranges) > 2
    assert all(asked.startswith("bytes=") for asked in bucket.ranges)


def test_all_files_of_a_pattern_are_one_source(bucket: Storage, sources: SegmentSources) -> None:
    bucket.put("crm", "out/vip-001.json.gz", gzip.compress(lines(2)), content_encoding="gzip")
    bucket.put("crm", "out/vip-002.json", lines(1, start=2))
    bucket.put("crm", "out/_SUCCESS", b"")
    bucket.put("crm", "out/vip-003.txt", lines(9))
    cuts = sources.cuts(Source(name="vip", uri="gs://crm/out/vip-*.json*"), "s", pages=1)
    assert [(cut.part["object"], cut.first_row, cut.first_batch) for cut in cuts] == [
        ("out/vip-001.json.gz", 0, 1),
        ("out/vip-002.json", 2, 2),
    ]
    assert [member for cut in cuts for page in sources.pages(cut) for member in page.members] == emails(3)


def test_a_file_that_is_replaced_is_not_read_on(bucket: Storage, sources: SegmentSources) -> None:
    bucket.put("crm", "vip.json", lines(5))
    (cut,) = sources.cuts(FILE, "s", pages=1)
    bucket.put("crm", "vip.json", lines(5, start=100))
    with pytest.raises(ConfigurationError, match="refuses to read"):
        list(sources.pages(cut))


@pytest.mark.parametrize(
    ("text", "members"),
    [
        ("email;city\r\na@b.co;Köln\r\n", [{"email": "a@b.co", "city": "Köln"}]),
        ('\ufeffemail,name\na@b.co,"Ada, of\nLondon"\n', [{"email": "a@b.co", "name": "Ada, of\nLondon"}]),
        ('email\tname\na@b.co\t"say ""hi"""\n', [{"email": "a@b.co", "name": 'say "hi"'}]),
        ("email,name\n\na@b.co\nb@b.co,B,more\n c@b.co ,C", [None, None, {"email": " c@b.co ", "name": "C"}]),
        ("email\n", []),
    ],
    ids=["semicolons", "mark and newline", "tabs and quotes", "blank, short and long", "header alone"],
)
def test_csv_as_it_comes(bucket: Storage, sources: SegmentSources, text: str, members: list[Any]) -> None:
    bucket.put("crm", "vip.csv", text.encode())
    assert read(sources, CSV) == members


def test_what_is_no_object_and_no_utf8_is_nobody(bucket: Storage, sources: SegmentSources) -> None:
    bucket.put("crm", "vip.json", b'[1]\n{"email": "\xff"}\nnull\n\n{"a": \n{"email": "a@b.co"}')
    assert read(sources, FILE) == [None, None, None, None, {"email": "a@b.co"}]
    bucket.put("crm", "vip.csv", b"email\na\xff@b.co\n")
    assert read(sources, CSV) == [None]


@pytest.mark.parametrize(
    ("name", "data", "words"),
    [
        ("other.json", b"{}", "has no file"),
        ("vip.json", b"", "has no file"),
        ("vip.json", b"x" * (MAX_RECORD_BYTES + 1), "longer than 1 MB"),
        ("vip.json", gzip.compress(lines(1000))[:-500], "no whole gzip file"),
    ],
    ids=["missing", "empty", "no lines", "cut off"],
)
def test_a_file_that_is_none_is_the_operators(
    bucket: Storage, sources: SegmentSources, name: str, data: bytes, words: str
) -> None:
    bucket.put("crm", name, data)
    with pytest.raises(ConfigurationError, match=words) as caught:
        read(sources, FILE)
    assert caught.value.field == "source"


def test_an_outage_can_be_waited_out(bucket: Storage, sources: SegmentSources) -> None:
    bucket.put("crm", "vip.json", lines(1))
    bucket.fail(status=501, times=1)
    with pytest.raises(SourceUnavailableError):
        read(sources, FILE)
    assert read(sources, FILE) == emails(1)


@given(
    st.lists(st.lists(st.text(alphabet='ab",;\n\r é'), min_size=2, max_size=2), max_size=6),
    st.sampled_from(["\n", "\r\n"]),
)
def test_records_are_found_whatever_quotes_hold(rows: list[list[str]], newline: str) -> None:
    quoted = ['"' + '";"'.join(cell.replace('"', '""') for cell in row) + '"' + newline for row in rows]
    data = "".join(quoted).encode()
    assert list(records(io.BytesIO(data), quoted=True)) == [record.encode() for record in quoted]
