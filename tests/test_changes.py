"""Changes of segments: the message, whose it is, and what of many counts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lib.audiences import UnsafeBatchError
from lib.changes import (
    BUCKETS,
    Changes,
    LastChange,
    SegmentChanges,
    batches_of,
    parse_changes,
    person_of,
)
from lib.errors import InvalidRequestError
from tests.segment_world import SEGMENT, digest

ADA: Final = digest("ada")
BOB: Final = digest("bob")


def changes(*rows: list[Any], schema: tuple[str, ...] = ("EMAIL",), action: str = "add", **more: Any) -> Changes:
    return Changes(connection="acme", segment=SEGMENT, action=action, schema=schema, rows=rows, **more)  # type: ignore[arg-type]


def last(*messages: Changes) -> dict[str, LastChange]:
    whole = SegmentChanges("acme", SEGMENT)
    for number, message in enumerate(messages):
        whole.add(message, number)
    return whole.people


class TestMessage:
    def test_it_is_read_as_it_was_written(self) -> None:
        one = changes([ADA, "x"], ["", "y"], schema=("EMAIL", "EXTERN_ID"), changed_at=5.5, trace_id="t", caller="c")
        read = parse_changes(orjson.loads(one.to_json()))
        assert (read, [*map(list, read.rows)]) == (
            Changes(**{**_fields(one), "rows": [[ADA, "x"], ["", "y"]]}),
            [[ADA, "x"], ["", "y"]],
        )

    @pytest.mark.parametrize(
        "wrong",
        [
            {"form": 2},
            {"connection": 1},
            {"segment": {"id": "s"}},
            {"segment": "s"},
            {"action": "enter"},
            {"schema": "EMAIL"},
            {"schema": ["E_MAIL"]},
            {"schema": ["EMAIL", "FN"]},
            {"rows": []},
            {"rows": [["ada@example.com"]]},
            {"rows": [[ADA], [ADA, ADA]]},
            {"rows": [ADA]},
            {"changed_at": True},
            {"changed_at": "now"},
            {"trace_id": None},
        ],
        ids=str,
    )
    def test_nothing_else_is(self, wrong: Mapping[str, Any]) -> None:
        with pytest.raises(InvalidRequestError) as caught:
            parse_changes({**orjson.loads(changes([ADA]).to_json()), **wrong})
        assert "ada@example.com" not in str(caught.value)

    def test_its_repr_holds_nobody(self) -> None:
        assert ADA not in repr(changes([ADA]))
        assert ADA not in repr(last(changes([ADA])).values())


def _fields(one: Changes) -> dict[str, Any]:
    return {name: getattr(one, name) for name in Changes.__dataclass_fields__}


class TestPerson:
    @pytest.mark.parametrize(
        ("schema", "row", "expected"),
        [
            (("EMAIL", "EXTERN_ID"), [ADA, "u-1"], "EXTERN_ID u-1"),
            (("EMAIL", "EXTERN_ID"), [ADA, ""], f"EMAIL {ADA}"),
            (("EMAIL", "EMAIL"), ["", BOB], f"EMAIL {BOB}"),
            (("PHONE", "EMAIL"), [ADA, BOB], f"EMAIL {BOB}"),
            (("FN", "PHONE"), [ADA, BOB], f"PHONE {BOB}"),
        ],
    )
    def test_by_the_best_identifier(self, schema: tuple[str, ...], row: list[str], expected: str) -> None:
        assert person_of(schema, row) == expected

    def test_else_by_all_cells_in_any_order(self) -> None:
        assert person_of(("FN", "ZIP"), [ADA, BOB]) == person_of(("ZIP", "FN"), [BOB, ADA])
        assert person_of(("FN", "ZIP"), [ADA, BOB]) != person_of(("FN", "ZIP"), [BOB, ADA])

    def test_a_persons_changes_have_one_key_whoever_else_is_in_the_message(self) -> None:
        alone = dict(changes([ADA]).by_key())
        both = dict(changes([BOB], [ADA], action="remove").by_key())
        (key,) = alone
        assert key in both
        assert [[ADA]] in [list(one.rows) for one in both.values()]

    def test_keys_are_many_and_spread(self) -> None:
        rows = [[digest(str(number))] for number in range(5_000)]
        sizes = [len(one.rows) for _, one in changes(*rows).by_key()]
        assert len(sizes) == BUCKETS
        assert max(sizes) < 5 * 5_000 / BUCKETS

    def test_other_segments_and_connections_have_other_keys(self) -> None:
        one = changes([ADA])
        others = [
            Changes(**{**_fields(one), "connection": "globex"}),
            Changes(**{**_fields(one), "segment": type(SEGMENT)("other", "Segment 1")}),
        ]
        keys = [key for each in (one, *others) for key, _ in each.by_key()]
        assert len(set(keys)) == 3

    def test_a_message_has_no_empty_columns(self) -> None:
        one = changes([ADA, "", "u"], ["", "", "v"], schema=("EMAIL", "PHONE", "EXTERN_ID"))
        ((_, alone),) = one.of([one.rows[1]]).by_key()
        assert (alone.schema, list(alone.rows)) == (("EXTERN_ID",), [["v"]])


class TestLast:
    @pytest.mark.parametrize(
        ("stated", "wins"),
        [
            ([(None, "add"), (None, "remove")], "remove"),
            ([(1.0, "add"), (2.0, "remove")], "remove"),
            ([(2.0, "add"), (1.0, "remove")], "add"),
            ([(2.0, "add"), (2.0, "remove")], "remove"),
            ([(2.0, "add"), (None, "remove")], "remove"),
            ([(None, "add"), (1.0, "remove")], "remove"),
            ([(5.0, "add"), (1.0, "remove"), (4.0, "remove")], "add"),
            ([(1.0, "add"), (3.0, "remove"), (2.0, "add")], "remove"),
        ],
    )
    def test_by_the_time_where_both_state_one_else_by_the_order(
        self, stated: list[tuple[float | None, str]], wins: str
    ) -> None:
        people = last(*[changes([ADA], action=action, changed_at=moment) for moment, action in stated])
        (change,) = people.values()
        assert change.action == wins
        assert change.messages == [*range(len(stated))]

    def test_the_segments_name_is_the_last_that_was_heard(self) -> None:
        whole = SegmentChanges("acme", SEGMENT)
        renamed = type(SEGMENT)(SEGMENT.id, "Renamed")
        whole.add(Changes(**{**_fields(changes([ADA])), "segment": renamed}), 0)
        assert whole.segment == renamed


class TestBatches:
    def test_under_the_union_of_the_keys_in_the_tables_order(self) -> None:
        people = last(
            changes([ADA], schema=("PHONE",)),
            changes([BOB, digest("z"), ADA], schema=("EMAIL", "EMAIL", "FN")),
        )
        (batch,) = batches_of(list(people.values()))
        assert batch.schema == ("EMAIL", "EMAIL", "PHONE", "FN")
        assert batch.rows == [("", "", ADA, ""), (BOB, digest("z"), "", ADA)]
        assert list(batch.numbers) == [0, 1]

    def test_who_has_an_external_id_goes_in_another(self) -> None:
        people = last(changes([ADA]), changes([BOB, "u"], schema=("EMAIL", "EXTERN_ID")))
        batches = list(batches_of(list(people.values())))
        assert [(batch.schema, list(batch.numbers)) for batch in batches] == [
            (("EMAIL",), [0]),
            (("EMAIL", "EXTERN_ID"), [1]),
        ]

    def test_data_processing_options_are_never_blank(self) -> None:
        keys = ("DATA_PROCESSING_OPTIONS", "DATA_PROCESSING_OPTIONS_COUNTRY", "DATA_PROCESSING_OPTIONS_STATE")
        people = last(changes([ADA, ["LDU"], 1, 1000], schema=("EMAIL", *keys)), changes([BOB]))
        (batch,) = batches_of(list(people.values()))
        assert batch.rows == [(ADA, ["LDU"], 1, 1000), (BOB, [], 0, 0)]

    def test_of_at_most_so_many(self) -> None:
        people = list(last(changes(*[[digest(str(number))] for number in range(25)])).values())
        assert [len(batch.rows) for batch in batches_of(people, size=10)] == [10, 10, 5]

    def test_a_cell_that_is_not_hashed_stops_everything(self) -> None:
        people = [LastChange("add", ("EMAIL",), ["ada@example.com"], None, [0])]
        with pytest.raises(UnsafeBatchError):
            list(batches_of(people))

    @given(
        st.lists(
            st.dictionaries(
                st.sampled_from(["EMAIL", "PHONE", "FN", "EXTERN_ID", "MADID"]), st.integers(0, 9), min_size=1
            )
        )
    )
    def test_everybody_is_in_one_batch_with_all_cells_and_no_others(self, people: list[dict[str, int]]) -> None:
        lasts = [
            LastChange("add", tuple(one), [digest(f"{key}{value}") for key, value in one.items()], None, [0])
            for one in people
        ]
        seen: dict[int, set[tuple[str, str]]] = {}
        for batch in batches_of(lasts, size=3):
            for number, row in zip(batch.numbers, batch.rows, strict=True):
                assert number not in seen
                seen[number] = {cell for cell in zip(batch.schema, row, strict=True) if cell[1]}
        assert seen == {number: set(zip(one.schema, one.row, strict=True)) for number, one in enumerate(lasts)}
