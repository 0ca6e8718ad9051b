"""`lib.large_body`: a large body holds what it would hold anyway, read a batch at a time."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lib.errors import InvalidRequestError
from lib.large_body import UnreadRows, parse_large
from lib.people import parse_people
from lib.relay_request import LARGE, parse_json
from tests.strategies import json_values

FORMS: Final[dict[str, Callable[[list[Any]], Any]]] = {
    "a table": lambda rows: {"schema": ["EMAIL"], "data": rows},
    "a table of objects": lambda rows: {"data": rows},
    "a list": lambda rows: rows,
}


def everything(value: Any) -> Any:
    """Return *value* with all rows read."""
    if isinstance(value, UnreadRows):
        return value[:]
    if isinstance(value, dict):
        return {key: everything(part) for key, part in value.items()}
    return value


@given(rows=st.lists(json_values), form=st.sampled_from(sorted(FORMS)), others=st.dictionaries(st.text(), json_values))
def test_it_says_what_the_usual_parser_says(rows: list[Any], form: str, others: dict[str, Any]) -> None:
    text = orjson.dumps(others | {"users": FORMS[form](rows)})
    assert everything(parse_large(text)) == orjson.loads(text)


@given(rows=st.lists(json_values, min_size=1))
def test_a_row_is_the_same_alone_and_among_others(rows: list[Any]) -> None:
    unread: Any = parse_large(orjson.dumps({"users": rows}))["users"]
    assert [len(unread), *unread] == [len(rows), *unread[:]]


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(b'{"users": [["a"], ["b"]', id="cut off"),
        pytest.param(b'{"users": [["\xff"]]}', id="not UTF-8 in a row"),
        pytest.param(b'{"users": [["\\ud800"]]}', id="a lone surrogate in a row"),
        pytest.param(b'{"users": [[NaN]]}', id="not a number"),
        pytest.param(b'{"users": [[1e999]]}', id="beyond a double"),
        pytest.param(b'{"users": [["a"],]}', id="a comma too many"),
        pytest.param(b'{"action": tru, "users": []}', id="broken beside the rows"),
        pytest.param(b'{"users": ' + b"[" * 100_000, id="very deep"),
        pytest.param(b"[]", id="no object"),
    ],
)
def test_what_is_not_json_is_refused_before_a_row_of_it_is_used(text: bytes) -> None:
    padded = text + b" " * LARGE
    with pytest.raises(InvalidRequestError) as refusal:
        parse_json(padded)
    assert "\\" not in refusal.value.message


@pytest.mark.parametrize("users", [None, 5, "text", {}, {"data": None}, {"data": {}}], ids=repr)
def test_people_in_no_list_are_refused_in_the_usual_words(users: object) -> None:
    small = orjson.dumps({"users": users})
    refusals = []
    for text in (small, small + b" " * LARGE):
        with pytest.raises(InvalidRequestError) as refusal:
            parse_people(parse_json(text))
        refusals.append((refusal.value.field, refusal.value.message))
    assert refusals[0] == refusals[1]


def test_only_a_large_body_is_held_unread() -> None:
    small = orjson.dumps({"users": [{"EMAIL": "ada@example.com"}]})
    assert [type(parse_json(text)["users"]) for text in (small, small + b" " * LARGE)] == [list, UnreadRows]


def test_keys_of_objects_are_found_wherever_they_first_appear() -> None:
    rows: list[dict[str, object]] = [{"EMAIL": f"person{number}@example.com"} for number in range(25_000)]
    rows[-1] = {"email": ["a@example.com", "b@example.com"], "FN": "Ada"}
    people = parse_people(parse_json(orjson.dumps({"users": rows}) + b" " * LARGE))
    assert people.schema == ("EMAIL", "EMAIL", "FN")
    assert people.rows[-1] == rows[-1]
