"""A file of this machine as a source."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from lib.errors import ConfigurationError
from lib.local_file import LocalFile, LocalFiles, source_of
from lib.segment_source import SegmentSources


def rows(path: Path) -> list[object]:
    sources = SegmentSources(bigquery=lambda: None, storage=LocalFiles)
    return [
        member
        for cut in sources.cuts(source_of(str(path)), "1", pages=1)
        for page in sources.pages(cut)
        for member in page.members
    ]


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("a.csv", b'email,name\na@example.com,"Ada, L"\n'),
        ("a.tsv", b"email\tname\na@example.com\tAda, L\n"),
        ("A.CSV.GZ", gzip.compress(b"email;name\na@example.com;Ada, L\n")),
        ("a.jsonl", b'{"email": "a@example.com", "name": "Ada, L"}\n\n'),
        ("a b*[c].ndjson.gz", gzip.compress(b'{"email": "a@example.com", "name": "Ada, L"}')),
    ],
    # What is packed differs from second to second, and a test's name may not.
    ids=["csv", "tsv", "packed csv", "jsonl", "packed ndjson of an odd name"],
)
def test_each_format_is_read(tmp_path: Path, name: str, data: bytes) -> None:
    path = tmp_path / name
    path.write_bytes(data)
    assert rows(path) == [{"email": "a@example.com", "name": "Ada, L"}]


def test_a_stated_format_counts_more_than_the_name(tmp_path: Path) -> None:
    path = tmp_path / "a.export"
    path.write_text("email\na@example.com\n", encoding="utf-8")
    assert source_of(str(path), "csv").format == "csv"
    with pytest.raises(ConfigurationError, match="does not tell its format"):
        source_of(str(path))


def test_a_table() -> None:
    assert source_of("bq://p.crm.vip").table == "p.crm.vip"


@pytest.mark.parametrize("target", ["bq://p.crm", "bq://", "bq://p.crm.vip; DROP"])
def test_what_names_no_table(target: str) -> None:
    with pytest.raises(ConfigurationError, match=r"bq://project\.dataset\.table"):
        source_of(target)


def test_a_folder_is_no_file(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="no such file"):
        source_of(str(tmp_path))


def test_a_range_of_bytes(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"0123456789")
    file = LocalFile(str(path))
    assert (file.size, file.download_as_bytes(start=2, end=4, raw_download=True, timeout=1)) == (10, b"234")
