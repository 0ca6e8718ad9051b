"""Members become batches whose rows know their numbers; a replace's have one schema."""

from __future__ import annotations

from datetime import date
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lib.audiences import Batch, Policy
from lib.cuts import Page
from lib.identifiers import CDP_MAPPING
from lib.member_batches import NOT_IN_A_REPLACE, MemberBatches, add_up, fitted, pages_of, widened
from lib.normalization import Settings
from lib.report import MAX_LISTED, Report
from lib.sync_task import Terms

POLICY = Policy(settings=Settings(today=date(2026, 1, 1)), minimum_identifiers=(("EMAIL",), ("EXTERN_ID",)))


def page(*members: Any, first_row: int = 100) -> Page:
    return Page(members=list(members), first_row=first_row, batch=3, rest=None)


def made(**more: Any) -> MemberBatches:
    return MemberBatches(policy=POLICY, mapping={**CDP_MAPPING, "EXTERN_ID": ("customer",)}, **more)


def test_rows_go_by_their_numbers_among_all_of_the_source() -> None:
    report = Report()
    (batch,) = made().of(page({"email": "a@b.de"}, {"email": "?"}, None, {"email": "c@d.de"}), report)
    assert (batch.schema, list(batch.numbers)) == (("EMAIL",), [100, 103])
    assert {(one.row, one.reason) for one in report.rejects} == {
        (101, "not an e-mail address"),
        (101, "not enough identifiers"),
        (102, "not a list or object"),
    }


def test_what_has_no_place_is_left_out_and_helps_nobody() -> None:
    report = Report()
    members = page({"email": "a@b.de", "customer": "1"}, {"customer": "2"})
    (batch,) = made(without=NOT_IN_A_REPLACE).of(members, report)
    assert (batch.schema, list(batch.numbers)) == (("EMAIL",), [100])
    assert report.counted(None) == {"not enough identifiers": 1}
    assert list(report.warnings) == ["EXTERN_ID has no place in a replace and is left out"]


def test_where_all_is_left_out_nobody_is_sent() -> None:
    report = Report()
    assert list(made(without=NOT_IN_A_REPLACE).of(page({"customer": "1"}, {"customer": "2"}), report)) == []
    assert report.rejected_rows(None) == 2


def test_consent_is_weighed_for_each_and_the_request_speaks_for_those_who_do_not() -> None:
    terms = Terms(required=("ad_user_data",), stated={"ad_user_data": True})
    batches = MemberBatches(policy=POLICY, mapping={"EMAIL": ["email"], "ad_user_data": ["agreed"]}, terms=terms)
    report = Report()
    members = page({"email": "a@b.de", "agreed": False}, {"email": "b@b.de"}, {"email": "c@b.de", "agreed": "true"})
    (batch,) = batches.of(members, report)
    assert list(batch.numbers) == [101, 102]
    assert [(one.row, one.reason) for one in report.rejects] == [(100, "consent is missing: ad_user_data")]


def test_rows_of_a_request_of_audiences_have_their_schema_already() -> None:
    batches = made(schema=("EMAIL", "LOOKALIKE_VALUE"), value_based=True)
    (batch,) = batches.of(page(["a@b.de", 5], ["b@b.de", None]), Report())
    assert (batch.schema, [row[1] for row in batch.rows]) == (("EMAIL", "LOOKALIKE_VALUE"), [5])


def test_a_request_s_own_members_come_in_pages() -> None:
    pages = list(pages_of(list(range(25)), 10))
    assert [(one.first_row, one.batch, len(one.members), one.rest) for one in pages] == [
        (0, 1, 10, None),
        (10, 2, 10, None),
        (20, 3, 5, None),
    ]


_KEYS = st.lists(st.sampled_from(["EMAIL", "PHONE", "FN", "DATA_PROCESSING_OPTIONS"]), max_size=5)


@given(_KEYS, _KEYS)
def test_rows_fit_into_the_wider_schema_and_lose_nothing(one: list[str], more: list[str]) -> None:
    schema = widened(one, more)
    row = tuple(f"{key}-{place}" for place, key in enumerate(one))
    wide = fitted(Batch(tuple(one), [row], [0]), schema)
    assert wide.schema == schema == widened(more, one)
    cells = list(zip(wide.schema, wide.rows[0], strict=True))
    assert [cell for _, cell in cells if cell] == sorted(row, key=lambda cell: schema.index(cell.rpartition("-")[0]))
    assert all(str(cell).startswith(key) for key, cell in cells if cell)
    assert all(cell == ([] if key == "DATA_PROCESSING_OPTIONS" else "") for key, cell in cells if not cell)


@pytest.mark.parametrize("count", [1, 2])
def test_reports_add_up(count: int) -> None:
    total = Report()
    for page_number in range(count):
        more = Report()
        for row in range(MAX_LISTED):
            more.reject_row(page_number * MAX_LISTED + row, "no")
        add_up(total, more)
    assert total.rejected_rows(None) == count * MAX_LISTED
    assert len(total.rejects) == MAX_LISTED
