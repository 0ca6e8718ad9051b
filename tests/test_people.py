from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lib.errors import InvalidRequestError
from lib.identifiers import AUDIENCE_KEYS, NOT_IDENTIFYING
from lib.people import People, canonical, chunks, parse_people, people_of
from lib.report import Report
from tests.strategies import json_values, laws

CANARY = "canary-zqx7"


def rows_of(body: dict[str, Any], report: Report | None = None) -> tuple[tuple[str, ...], dict[int, list[object]]]:
    """Return the schema, and the rows by their numbers."""
    people = parse_people(body)
    chunk = people.chunk(0, len(people.rows), report or Report())
    rows = zip(*chunk.columns, strict=True)
    return people.schema, {number: list(row) for number, row in zip(chunk.numbers, rows, strict=True)}


def refusal(body: dict[str, Any]) -> tuple[str | None, str]:
    with pytest.raises(InvalidRequestError) as caught:
        parse_people(body)
    return caught.value.field, caught.value.message


class TestSchema:
    @pytest.mark.parametrize(
        "schema",
        [
            pytest.param(["EMAIL", "PHONE"], id="list"),
            pytest.param("EMAIL,PHONE", id="text"),
            pytest.param("EMAIL, PHONE", id="text with a space"),
            pytest.param(" email ,\tPhone ", id="text in any case with spaces"),
            pytest.param(["email", " Phone\u00a0"], id="list in any case with spaces"),
            pytest.param("EMAIL,,PHONE,", id="text with empty parts"),
        ],
    )
    def test_is_a_list_or_a_text_in_any_case_and_spacing(self, schema: object) -> None:
        assert rows_of({"users": {"schema": schema, "data": [["a", "b"]]}}) == (("EMAIL", "PHONE"), {0: ["a", "b"]})

    def test_may_repeat_a_key(self) -> None:
        schema, rows = rows_of({"users": {"schema": "EMAIL,EMAIL", "data": [["a", "b"]]}})
        assert (("EMAIL", "EMAIL"), {0: ["a", "b"]}) == (schema, rows)

    def test_keeps_the_callers_order(self) -> None:
        assert rows_of({"users": {"schema": "PHONE,EMAIL", "data": [["b", "a"]]}})[0] == ("PHONE", "EMAIL")

    @pytest.mark.parametrize(
        ("schema", "field", "message"),
        [
            pytest.param(["EMAIL", CANARY], "users.schema[1]", "holds a key that is not known", id="unknown"),
            pytest.param(f"EMAIL,{CANARY}", "users.schema[1]", "holds a key that is not known", id="unknown in a text"),
            pytest.param(["EMAIL", 7], "users.schema[1]", "holds a key that is not known", id="number in the list"),
            pytest.param(["EMAIL", None], "users.schema[1]", "holds a key that is not known", id="null"),
            pytest.param([["EMAIL"]], "users.schema[0]", "holds a key that is not known", id="list in the list"),
            pytest.param(["EMAIL", ""], "users.schema[1]", "holds a key that is not known", id="empty"),
            pytest.param(
                ["MOBILE_ADVERTISER_ID"], "users.schema[0]", "holds a key that is not known", id="a key of old"
            ),
            pytest.param([], "users.schema", "must be a list of keys or their names with commas between", id="no keys"),
            pytest.param("", "users.schema", "must be a list of keys or their names with commas between", id="no text"),
            pytest.param(7, "users.schema", "must be a list of keys or their names with commas between", id="number"),
            pytest.param(
                {CANARY: 1}, "users.schema", "must be a list of keys or their names with commas between", id="object"
            ),
            pytest.param(
                ["LOOKALIKE_VALUE"], "users.schema", "LOOKALIKE_VALUE cannot be the only key", id="value only"
            ),
            pytest.param(
                ["EMAIL", "LOOKALIKE_VALUE", "lookalike_value"],
                "users.schema",
                "holds a key twice that can only have one value",
                id="two values",
            ),
            pytest.param(
                ["EMAIL", "DATA_PROCESSING_OPTIONS", "DATA_PROCESSING_OPTIONS"],
                "users.schema",
                "holds a key twice that can only have one value",
                id="two options",
            ),
            pytest.param(["EMAIL"] * 101, "users.schema", "more than 100 columns", id="too many columns"),
        ],
    )
    def test_that_is_not_understood_is_refused(self, schema: object, field: str, message: str) -> None:
        assert (field, message) == refusal({"users": {"schema": schema, "data": [["a"]]}})

    def test_may_have_a_hundred_columns(self) -> None:
        assert len(rows_of({"users": {"schema": ["EMAIL"] * 100, "data": [["a"] * 100]}})[0]) == 100


class TestUser:
    def test_has_a_value_for_each_key_in_the_order_of_the_table(self) -> None:
        body = {"user": {"FN": "Ada", "PHONE": "1", "EMAIL": "a"}}
        assert rows_of(body) == (("EMAIL", "PHONE", "FN"), {0: ["a", "1", "Ada"]})

    def test_may_have_several_values_for_a_key(self) -> None:
        body = {"user": {"EMAIL": ["a", "b"], "PHONE": "1"}}
        assert rows_of(body) == (("EMAIL", "EMAIL", "PHONE"), {0: ["a", "b", "1"]})

    def test_may_spell_a_key_in_two_ways(self) -> None:
        schema, rows = rows_of({"user": {"email": "a", "EMAIL": ["b", "c"], " Phone": "1"}})
        assert (("EMAIL", "EMAIL", "EMAIL", "PHONE"), {0: ["a", "b", "c", "1"]}) == (schema, rows)

    @pytest.mark.parametrize("value", [None, "", [], [None]], ids=["null", "empty", "no values", "a null among values"])
    def test_may_leave_a_key_empty(self, value: object) -> None:
        schema, rows = rows_of({"user": {"EMAIL": "a", "PHONE": value}})
        assert (("EMAIL", "PHONE"), ["a"]) == (schema, rows[0][:1])
        assert not rows[0][1]

    def test_may_state_its_own_options(self) -> None:
        """The list is the value."""
        schema, rows = rows_of({"user": {"EMAIL": "a", "DATA_PROCESSING_OPTIONS": ["LDU"]}})
        assert (("EMAIL", "DATA_PROCESSING_OPTIONS"), {0: ["a", ["LDU"]]}) == (schema, rows)

    @pytest.mark.parametrize(
        ("user", "message"),
        [
            pytest.param([], "must be an object", id="list"),
            pytest.param([{"EMAIL": CANARY}], "must be an object", id="list of an object"),
            pytest.param(CANARY, "must be an object", id="text"),
            pytest.param(7, "must be an object", id="number"),
            pytest.param({}, "names nobody", id="empty"),
            pytest.param({CANARY: "a"}, "holds a key that is not known", id="unknown key"),
            pytest.param({"EMAIL": "a", CANARY: "a"}, "holds a key that is not known", id="unknown key beside a known"),
            pytest.param({"LOOKALIKE_VALUE": 3}, "LOOKALIKE_VALUE cannot be the only key", id="only a value"),
            pytest.param({"EMAIL": ["a"] * 101}, "more than 100 columns", id="too many values"),
        ],
    )
    def test_that_is_not_understood_is_refused(self, user: object, message: str) -> None:
        assert ("user", message) == refusal({"user": user})


class TestUsers:
    def test_are_a_list_of_objects(self) -> None:
        body = {"users": [{"PHONE": "1"}, {"EMAIL": "a", "FN": "Ada"}]}
        assert rows_of(body) == (("EMAIL", "PHONE", "FN"), {0: [None, "1", None], 1: ["a", None, "Ada"]})

    def test_are_objects_in_data_without_a_schema(self) -> None:
        body = {"users": {"data": [{"PHONE": "1"}, {"EMAIL": "a"}]}}
        assert rows_of(body) == (("EMAIL", "PHONE"), {0: [None, "1"], 1: ["a", None]})

    def test_are_objects_under_a_schema(self) -> None:
        body = {"users": {"schema": "PHONE,EMAIL", "data": [{"email": "a", "Phone": "1"}, {"PHONE": "2"}]}}
        assert rows_of(body) == (("PHONE", "EMAIL"), {0: ["1", "a"], 1: ["2", None]})

    def test_have_as_many_columns_for_a_key_as_one_of_them_has_values(self) -> None:
        body = {"users": [{"EMAIL": "a"}, {"EMAIL": ["b", "c"]}, {"EMAIL": []}]}
        assert rows_of(body) == (("EMAIL", "EMAIL"), {0: ["a", None], 1: ["b", "c"], 2: [None, None]})

    def test_may_each_spell_a_key_in_their_own_way(self) -> None:
        assert rows_of({"users": [{"EMAIL": "a"}, {"e mail": "b"}]}) == (("EMAIL",), {0: ["a"], 1: ["b"]})

    def test_are_flat_values_under_a_schema_of_one_key(self) -> None:
        body = {"users": {"schema": "EMAIL", "data": ["a", ["b"], "c"]}}
        assert rows_of(body) == (("EMAIL",), {0: ["a"], 1: ["b"], 2: ["c"]})

    def test_may_be_of_every_kind_at_once(self) -> None:
        body = {"users": {"schema": "EMAIL,PHONE", "data": [["a", "1"], {"PHONE": "2"}]}}
        assert rows_of(body) == (("EMAIL", "PHONE"), {0: ["a", "1"], 1: [None, "2"]})

    @pytest.mark.parametrize(
        ("row", "reason"),
        [
            pytest.param(["a"], "too short", id="short"),
            pytest.param([], "too short", id="empty"),
            pytest.param(["a", "1", "x"], "too long", id="long"),
            pytest.param("a", "not a list or object", id="a flat value under two keys"),
            pytest.param(None, "not a list or object", id="null"),
            pytest.param(7, "not a list or object", id="number"),
        ],
    )
    def test_of_which_one_does_not_fit_lose_that_one_only(self, row: object, reason: str) -> None:
        report = Report()
        body = {"users": {"schema": "EMAIL,PHONE", "data": [["a", "1"], row, ["b", "2"]]}}
        assert rows_of(body, report)[1] == {0: ["a", "1"], 2: ["b", "2"]}
        assert report.listed() == [{"row": 1, "field": None, "reason": reason}]
        assert report.rejected_rows(None) == 1

    def test_of_which_one_is_no_object_lose_that_one_only(self) -> None:
        report = Report()
        assert rows_of({"users": [{"EMAIL": "a", "FN": "b"}, CANARY]}, report)[1] == {0: ["a", "b"]}
        assert report.listed() == [{"row": 1, "field": None, "reason": "not a list or object"}]

    @pytest.mark.parametrize(
        ("row", "field", "cells"),
        [
            pytest.param({"EMAIL": "b", "PHONE": "1"}, "PHONE", ["b"], id="a key that has no column"),
            pytest.param({"EMAIL": "b", CANARY: "1"}, None, ["b"], id="a key that nobody knows"),
            pytest.param({"EMAIL": ["b", "c"]}, "EMAIL", ["b"], id="more values than columns"),
            pytest.param({"EMAIL": "b", "email": "c"}, "EMAIL", ["b"], id="two spellings for one column"),
        ],
    )
    def test_of_which_one_says_more_than_the_schema_keep_the_rest(
        self, row: object, field: str | None, cells: list[str]
    ) -> None:
        report = Report()
        body = {"users": {"schema": "EMAIL", "data": [["a"], row]}}
        assert rows_of(body, report)[1] == {0: ["a"], 1: cells}
        assert report.listed() == [{"row": 1, "field": field, "reason": "has no column in the schema"}]
        assert report.rejected_rows(None) == 0

    @pytest.mark.parametrize(
        ("users", "field", "message"),
        [
            pytest.param([], "users", "is empty", id="nobody"),
            pytest.param([{}], "users", "names nobody", id="an empty object"),
            pytest.param([CANARY], "users", "names nobody", id="no object"),
            pytest.param([{CANARY: "a"}], "users", "holds a key that is not known", id="unknown key"),
            pytest.param(CANARY, "users", "must be a list of objects or an object with schema and data", id="text"),
            pytest.param(None, "users", "must be a list of objects or an object with schema and data", id="null"),
            pytest.param({}, "users.data", "must be a list", id="no data"),
            pytest.param({"schema": "EMAIL", "data": {}}, "users.data", "must be a list", id="data that is no list"),
            pytest.param({"schema": "EMAIL", "data": CANARY}, "users.data", "must be a list", id="data in a text"),
            pytest.param({"schema": "EMAIL", "data": []}, "users.data", "is empty", id="empty data"),
            pytest.param({"data": [{}]}, "users.data", "names nobody", id="an empty object in data"),
            pytest.param(
                {"data": [{CANARY: 1}]}, "users.data", "holds a key that is not known", id="unknown key in data"
            ),
            pytest.param(
                {"data": [["a"]]},
                "users.schema",
                "must be a list of keys or their names with commas between",
                id="rows without a schema",
            ),
        ],
    )
    def test_that_are_not_understood_are_refused(self, users: object, field: str, message: str) -> None:
        assert (field, message) == refusal({"users": users})

    @pytest.mark.parametrize("body", [{}, {"user": {"EMAIL": "a"}, "users": [{"EMAIL": "a"}]}], ids=["neither", "both"])
    def test_or_user_are_needed_and_not_both(self, body: dict[str, Any]) -> None:
        assert refusal(body) == ("users", "one of user, users and user_from_event is needed")


class TestPeople:
    def test_are_made_of_a_person_with_lists(self) -> None:
        people = people_of({"EMAIL": 2, "FN": 1}, [{"EMAIL": ["a", "b"], "FN": ["Ada"]}], field="event_data")
        assert people.chunk(0, 1, Report()).columns == [("a",), ("b",), ("Ada",)]

    def test_that_name_nobody_are_refused(self) -> None:
        with pytest.raises(InvalidRequestError) as caught:
            people_of({}, [{}], field="event_data")
        assert caught.value.field == "event_data"

    def test_show_nobody(self) -> None:
        people = parse_people({"users": {"schema": "EMAIL", "data": [[CANARY]]}})
        assert CANARY not in f"{people!r} {people.chunk(0, 1, Report())!r}"


table_rows = st.lists(
    st.lists(json_values, max_size=3)
    | st.dictionaries(st.sampled_from(["EMAIL", "phone", "x"]), json_values)
    | json_values,
    min_size=1,
    max_size=6,
)
object_rows = st.lists(
    st.dictionaries(
        st.sampled_from(["EMAIL", "email", "Phone", "FN", "LOOKALIKE_VALUE", "DATA_PROCESSING_OPTIONS"]),
        json_values,
        max_size=4,
    ),
    min_size=1,
    max_size=6,
)


class TestLaws:
    @laws
    @given(table_rows, st.integers(1, 7))
    def test_rows_in_chunks_are_the_rows_in_one(self, rows: list[Any], size: int) -> None:
        people = People(("EMAIL", "PHONE"), rows)
        whole, parts = Report(), Report()
        one = people.chunk(0, len(rows), whole)
        many = list(chunks(people, size, parts))
        assert list(one.numbers) == [number for chunk in many for number in chunk.numbers]
        assert one.columns == [tuple(cell for chunk in many for cell in chunk.columns[place]) for place in range(2)]
        assert whole == parts

    @laws
    @given(table_rows)
    def test_each_row_is_kept_or_rejected(self, rows: list[Any]) -> None:
        report = Report()
        chunk = People(("EMAIL", "PHONE"), rows).chunk(0, len(rows), report)
        rejected = [reject.row for reject in report.rejects if reject.reason != "has no column in the schema"]
        assert list(range(len(rows))) == sorted([*chunk.numbers, *rejected])

    @laws
    @given(object_rows)
    def test_objects_lose_no_value(self, rows: list[dict[str, Any]]) -> None:
        """Whichever way they go: all of one form at once, others one by one."""
        named = [row for row in rows if row]
        stated = {canonical(key) for row in named for key in row}
        if not stated or stated == {"LOOKALIKE_VALUE"}:
            return
        people, report = parse_people({"users": rows}), Report()
        chunk = people.chunk(0, len(rows), report)
        found = [
            [(key, cell) for key, cell in zip(people.schema, row, strict=True) if cell is not None]
            for row in zip(*chunk.columns, strict=True)
        ]
        expected = [
            [
                (name, one)
                for name in AUDIENCE_KEYS
                for key, value in row.items()
                if canonical(key) == name
                for one in (value if isinstance(value, list) and name not in NOT_IDENTIFYING else [value])
                if one is not None
            ]
            for row in rows
        ]
        assert expected == found
        assert report == Report()

    @laws
    @given(st.dictionaries(st.sampled_from(["user", "users"]), json_values | st.dictionaries(st.text(), json_values)))
    def test_any_body_is_read_or_refused_without_its_values(self, body: dict[str, Any]) -> None:
        fields, keys = {"user", "users", "users.data", "users.schema"}, set[str]()
        try:
            keys.update(parse_people(body).schema)
        except InvalidRequestError as error:
            fields.add(str(error.field))
        assert fields == {"user", "users", "users.data", "users.schema"}
        assert keys <= set(AUDIENCE_KEYS)
