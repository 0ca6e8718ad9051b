"""Cuts and pages, whatever they are read from."""

from __future__ import annotations

import pytest

from lib.cuts import PAGE_ROWS, Cut
from lib.errors import InvalidRequestError
from lib.segment_source import SegmentSources


def test_a_cut_of_something_unknown_is_refused() -> None:
    sources = SegmentSources(bigquery=lambda: None, storage=lambda: None)
    cut = Cut(part={"kind": "ftp"}, start=0, first_row=0, rows=PAGE_ROWS, first_batch=1)
    with pytest.raises(InvalidRequestError):
        list(sources.pages(cut))
