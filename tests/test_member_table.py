"""The table of members: what BigQuery says is new and gone, whatever was left behind."""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lib.audiences import Batch
from lib.errors import ConfigurationError
from lib.member_table import MemberTable, batches_of
from lib.segment_source import SegmentSources
from tests.bigquery_places import PLACES, place

NOON = "2026-11-24T12:00:00+00:00"
LATER = "2026-11-24T13:00:00+00:00"


@pytest.fixture(params=PLACES)
def table(request: pytest.FixtureRequest) -> Iterator[MemberTable]:
    with place(request.param) as where:
        yield MemberTable(lambda: where.client, f"{where.dataset}.members")


@pytest.fixture
def ids() -> Sequence[str]:
    """Ids of mirrors, which are taken for good in a BigQuery that other tests use too."""
    return [uuid.uuid4().hex for _ in range(3)]


def batch(*names: str, phone: str = "") -> Batch:
    return Batch(("EMAIL", "PHONE"), [(name, phone) for name in names], range(len(names)))


def difference(table: MemberTable, sync_id: str, audience: str = "1") -> dict[str, list[str]]:
    """Return the first cells of who is gone and who is new."""
    found: dict[str, list[str]] = {"remove": [], "add": []}
    sources = SegmentSources(bigquery=table.client, storage=lambda: None)
    for cut in table.difference(audience, sync_id, pages=5, page_rows=10):
        members = [member for page in sources.pages(cut) for member in page.members]
        found[cut.part["action"]] += [row[0] for one in batches_of(members) for row in one.rows]
    return {action: sorted(names) for action, names in found.items()}


def test_the_first_mirror_is_all_new(table: MemberTable, ids: Sequence[str]) -> None:
    assert table.stage("1", ids[0], "1", [batch("a", "b"), batch("c")], NOON) == 3
    assert difference(table, ids[0]) == {"remove": [], "add": ["a", "b", "c"]}
    table.finish("1", ids[0], NOON)
    (mirror,) = table.mirrors("1")
    assert (mirror.sync_id, mirror.members, mirror.done, mirror.staged_at) == (ids[0], 3, True, 1_795_521_600.0)


def test_the_next_one_is_the_difference_and_forgets_what_was_before(table: MemberTable, ids: Sequence[str]) -> None:
    table.stage("1", ids[0], "1", [batch("a", "b", "c")], NOON)
    table.finish("1", ids[0], NOON)
    table.stage("1", ids[1], "1", [batch("b", "c", "d", "d")], LATER)
    assert difference(table, ids[1]) == {"remove": ["a"], "add": ["d"]}
    table.finish("1", ids[1], LATER)
    assert [(one.sync_id, one.done) for one in table.mirrors("1")] == [(ids[1], True)]


def test_what_is_staged_twice_is_there_once(table: MemberTable, ids: Sequence[str]) -> None:
    for _ in range(2):
        assert table.stage("1", ids[0], "1", [batch("a", "b")], NOON) == 2
    table.stage("1", ids[0], "2", [batch("c")], NOON)
    assert [one.members for one in table.mirrors("1")] == [3]
    assert table.stage("1", ids[0], "3", [], NOON) == 0


def test_after_a_crash_nothing_is_certain_but_what_both_had(table: MemberTable, ids: Sequence[str]) -> None:
    table.stage("1", ids[0], "1", [batch("stays", "goes", "back")], NOON)
    table.finish("1", ids[0], NOON)
    # Of this one some was sent, and nobody knows what.
    table.stage("1", ids[1], "1", [batch("stays", "new", "again")], NOON)
    table.stage("1", ids[2], "1", [batch("stays", "back", "again", "fresh")], LATER)
    assert difference(table, ids[2]) == {"remove": ["goes", "new"], "add": ["again", "back", "fresh"]}
    table.finish("1", ids[2], LATER)
    assert [one.sync_id for one in table.mirrors("1")] == [ids[2]]


def test_who_shares_an_identifier_with_somebody_gone_is_added_again(table: MemberTable, ids: Sequence[str]) -> None:
    table.stage("1", ids[0], "1", [batch("a", "b", phone="one"), batch("c", phone="two")], NOON)
    table.finish("1", ids[0], NOON)
    table.stage("1", ids[1], "1", [batch("b", phone="one"), batch("c", phone="two")], LATER)
    assert difference(table, ids[1]) == {"remove": ["a"], "add": ["b"]}


def test_audiences_do_not_meet(table: MemberTable, ids: Sequence[str]) -> None:
    table.stage("1", ids[0], "1", [batch("a")], NOON)
    table.stage("2", ids[1], "1", [batch("b")], LATER)
    assert difference(table, ids[1], "2") == {"remove": [], "add": ["b"]}
    table.finish("2", ids[1], LATER)
    assert [one.sync_id for one in table.mirrors("1")] == [ids[0]]


def test_a_mirror_of_which_nothing_was_sent_can_be_forgotten(table: MemberTable, ids: Sequence[str]) -> None:
    table.stage("1", ids[0], "1", [batch("a")], NOON)
    table.forget("1", ids[0])
    assert table.mirrors("1") == []


def test_one_that_began_later_is_left_alone(table: MemberTable, ids: Sequence[str]) -> None:
    table.stage("1", ids[0], "1", [batch("a")], NOON)
    table.stage("1", ids[1], "1", [batch("b")], LATER)
    table.finish("1", ids[0], NOON)
    assert {one.sync_id for one in table.mirrors("1")} == {ids[0], ids[1]}


def test_without_a_table_the_operator_is_told() -> None:
    with place("stand-in") as where, pytest.raises(ConfigurationError) as caught:
        MemberTable(lambda: where.client, "p.nowhere.members").mirrors("1")
    assert caught.value.scope == "BigQuery"


_NAMES = st.sets(st.sampled_from("abcdefgh"))


@given(_NAMES, _NAMES, _NAMES)
@settings(max_examples=15, deadline=None)
def test_the_difference_leads_to_the_source_whatever_of_a_lost_mirror_was_sent(
    old: set[str], lost: set[str], new: set[str]
) -> None:
    with place("stand-in") as where:
        table = MemberTable(lambda: where.client, f"{where.dataset}.members")
        for sync_id, names, at in (("old", old, NOON), ("lost", lost, NOON), ("new", new, LATER)):
            table.stage("1", sync_id, "1", [batch(*sorted(names))] if names else [], at)
        if not (old or lost or new):
            return
        found = difference(table, "new")
        # Of the lost one nothing, its removals, its additions or both were made.
        for members in (old, old & lost, old | lost, lost):
            assert (members - set(found["remove"])) | set(found["add"]) == new


def test_rows_become_batches_by_their_columns() -> None:
    members: Sequence[Mapping[str, Any] | None] = [
        {"column_keys": '["EMAIL"]', "cells": '["a"]'},
        None,
        {"column_keys": '["EMAIL","PHONE"]', "cells": '["b","1"]'},
        {"column_keys": '["EMAIL"]', "cells": '["c"]'},
    ]
    assert [(one.schema, one.rows, list(one.numbers)) for one in batches_of(members)] == [
        (("EMAIL",), [("a",), ("c",)], [0, 3]),
        (("EMAIL", "PHONE"), [("b", "1")], [2]),
    ]
