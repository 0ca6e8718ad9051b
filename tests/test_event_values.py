"""`lib.event_values`: what the values of an event say."""

from __future__ import annotations

from typing import Any

import orjson
import pytest
from hypothesis import given

from lib.common_event import CommonEvent, Paths
from lib.event_values import as_mapping, first, from_json_text, says_nothing, stated_values
from tests.strategies import json_values


@pytest.mark.parametrize("value", [None, "", " ", "undefined", "null", "(not set)", "\u200b", [], {}], ids=repr)
def test_a_blank_says_nothing(value: object) -> None:
    assert says_nothing(value)


@pytest.mark.parametrize("value", [0, False, 0.0, "0", "no", [None], {"a": None}], ids=repr)
def test_zero_and_false_say_something(value: object) -> None:
    assert not says_nothing(value)


def test_what_stands_at_the_paths_comes_best_first_and_without_blanks() -> None:
    paths = Paths({"currency": ("currency", "ecommerce.currency", "ecommerce.currencyCode"), "value": ("value",)})
    event = CommonEvent({"ecommerce": {"currencyCode": "USD", "currency": "EUR"}, "currency": "undefined", "value": 0})
    assert stated_values(paths, event) == {"currency": ["EUR", "USD"], "value": [0]}


@pytest.mark.parametrize(
    ("override", "stated", "found"),
    [
        pytest.param("a", ["b"], "a", id="the override"),
        pytest.param(0, ["b"], 0, id="zero is one"),
        pytest.param(None, ["b", "c"], "b", id="else the best stated"),
        pytest.param("null", ["b"], "b", id="a blank is none"),
        pytest.param("", [], None, id="else nothing"),
    ],
)
def test_an_override_wins_if_it_says_something(override: object, stated: list[object], found: object) -> None:
    assert first(override, stated) == found


@given(json_values)
def test_a_json_text_of_a_list_or_object_is_what_it_holds(value: Any) -> None:
    text = orjson.dumps(value).decode()
    assert from_json_text(f" {text} ") == (value if isinstance(value, list | dict) else f" {text} ")


@pytest.mark.parametrize("value", ["{not JSON", "[1,", "plain", 5, None], ids=repr)
def test_any_other_value_stays_as_it_is(value: object) -> None:
    assert from_json_text(value) == value


@pytest.mark.parametrize(
    ("value", "found"),
    [({"a": 1}, {"a": 1}), ('{"a": 1}', {"a": 1}), ("[1]", {}), ("a", {}), (None, {}), (7, {})],
    ids=repr,
)
def test_only_an_object_or_its_text_is_a_mapping(value: object, found: object) -> None:
    assert as_mapping(value) == found
