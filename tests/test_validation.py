"""People as they would be sent, page by page."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import date
from typing import Any

from lib.audiences import Policy
from lib.config import MINIMUM_IDENTIFIERS
from lib.cuts import Page
from lib.member_batches import MemberBatches
from lib.normalization import Settings
from lib.sync_task import Terms
from lib.validation import Validation, validate

BATCHES = MemberBatches(
    policy=Policy(settings=Settings(today=date(2026, 11, 24)), minimum_identifiers=MINIMUM_IDENTIFIERS),
    mapping={"EMAIL": ("mail",), "EXTERN_ID": ("id",), "ad_storage": ("consent",)},
)


def pages(*members: list[Mapping[str, Any] | None]) -> Iterator[Page]:
    first_row = 0
    for batch, part in enumerate(members, start=1):
        yield Page(members=part, first_row=first_row, batch=batch, rest=None)
        first_row += len(part)


def whole(*members: list[Mapping[str, Any] | None]) -> Validation:
    *_, last = validate(pages(*members), BATCHES)
    return last


def test_rows_are_counted_over_all_pages_and_keep_their_numbers() -> None:
    known = whole([{"mail": "a@example.com"}, {"mail": "x"}], [None, {"mail": "b@example.com"}], [{}])
    assert (known.rows, known.usable, known.filled["EMAIL"]) == (5, 2, 2)
    assert sorted({reject.row for reject in known.report.rejects}) == [1, 2, 4]
    assert known.facts()["reasons"] == {
        "not enough identifiers": 2,
        "EMAIL: not an e-mail address": 1,
        "not a list or object": 1,
    }


def test_rows_with_and_without_external_id_are_both_counted() -> None:
    known = whole([{"mail": "a@example.com"}, {"mail": "b@example.com", "id": "7"}])
    assert (known.usable, dict(known.filled)) == (2, {"EMAIL": 2, "EXTERN_ID": 1})


def test_what_is_known_grows_with_each_page() -> None:
    known = validate(pages([{"mail": "a@example.com"}], [{"mail": "b@example.com"}]), BATCHES)
    assert [one.rows for one in known] == [1, 2]


def test_who_does_not_consent_cannot_be_sent() -> None:
    asking = replace(BATCHES, terms=Terms(required=("ad_storage",)))
    members: list[Mapping[str, Any] | None] = [
        {"mail": "a@example.com", "consent": "granted"},
        {"mail": "b@example.com", "consent": "denied"},
        {"mail": "c@example.com"},
    ]
    *_, known = validate(pages(members), asking)
    assert (known.usable, known.facts()["reasons"]) == (1, {"consent is missing: ad_storage": 2})


def test_no_value_is_in_what_is_told() -> None:
    known = whole([{"mail": "ada at example.com", "id": "secret-7"}])
    assert "ada" not in repr(known)
    assert "ada" not in str(known.facts())
