"""What Meta's list says of an audience, and what of a segment stands in it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lib.audience_admin import Audience, description_of, new_audience, parse_audience
from lib.segments import Segment


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        (
            {
                "id": "11",
                "name": "CA_A",
                "description": "Ours. Meta Relay segment: a b",
                "operation_status": {"code": 471, "description": "Flagged"},
                "time_created": 1_800_000_000,
            },
            Audience(
                id="11",
                name="CA_A",
                description="Ours. Meta Relay segment: a b",
                segment_id="a b",
                operation_status=471,
                created=1_800_000_000,
            ),
        ),
        ({"id": "11"}, Audience(id="11", name="", description="", segment_id=None)),
        (
            {"id": "11", "name": 1, "description": [], "operation_status": "x", "time_created": True},
            Audience(id="11", name="", description="", segment_id=None),
        ),
    ],
)
def test_what_is_stated_in_another_type_is_not_stated(row: Mapping[str, Any], expected: Audience) -> None:
    assert parse_audience(row) == expected


@given(st.text(st.characters(exclude_categories=["C", "Z"]), min_size=1, max_size=128), st.text())
def test_the_segment_is_found_in_the_description_that_was_written(ident: str, before: str) -> None:
    assert parse_audience({"id": "11", "description": description_of(ident, before)}).segment_id == ident


def test_a_new_audience_takes_what_customers_have_given_themselves() -> None:
    assert new_audience(Segment("44A23B49", "Segment 1"), prefix="CA_") == {
        "name": "CA_Segment 1",
        "description": "Meta Relay segment: 44A23B49",
        "subtype": "CUSTOM",
        "customer_file_source": "USER_PROVIDED_ONLY",
    }


def test_the_oldest_is_the_first_made_and_of_one_second_the_lowest_id() -> None:
    def audience(ident: str, created: int) -> Audience:
        return Audience(id=ident, name="", description="", segment_id=None, created=created)

    made = [audience("9", 2), audience("100", 1), audience("20", 1)]
    assert [one.id for one in sorted(made, key=lambda one: one.age)] == ["20", "100", "9"]
