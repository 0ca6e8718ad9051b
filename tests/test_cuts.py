"""Cuts, and what a message carries of them."""

from __future__ import annotations

from typing import Any

import pytest

from lib.cuts import Cut, parse_cut
from lib.errors import InvalidRequestError

CUT: Cut = Cut(part={"kind": "table", "table": "p.d.t"}, start=0, first_row=0, rows=25_000, first_batch=1)


def test_a_cut_goes_through_a_message() -> None:
    assert parse_cut(CUT.to_json()) == CUT
    assert CUT.batches == 3


@pytest.mark.parametrize(
    "change", [{"rows": "5"}, {"rows": True}, {"part": None}, {"start": 1.5}, {"first_row": None}], ids=str
)
def test_a_cut_of_another_form_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(InvalidRequestError):
        parse_cut(CUT.to_json() | change)
