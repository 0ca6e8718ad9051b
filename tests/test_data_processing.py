from __future__ import annotations

import pytest
from hypothesis import given

from lib.data_processing import STATE_NUMBERS, country_number, options_of, state_number
from tests.strategies import json_values, laws


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        pytest.param(["LDU"], ["LDU"], id="Meta's own form"),
        pytest.param("LDU", ["LDU"], id="text"),
        pytest.param(" ldu ", ["LDU"], id="case and spaces"),
        pytest.param('["LDU"]', ["LDU"], id="a list as text"),
        pytest.param([], [], id="none"),
        pytest.param("[]", [], id="an empty list as text"),
        pytest.param("", [], id="empty text"),
        pytest.param(["LDU", "LDU"], ["LDU"], id="twice"),
        pytest.param("CCPA", None, id="another word"),
        pytest.param(["LDU", 1], None, id="a number in the list"),
        pytest.param(True, None, id="boolean"),
        pytest.param(1, None, id="number"),
        pytest.param({"LDU": True}, None, id="object"),
        pytest.param(None, None, id="null"),
    ],
)
def test_options(value: object, expected: list[str] | None) -> None:
    assert expected == options_of(value)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        pytest.param(1, 1, id="Meta's number"),
        pytest.param(1.0, 1, id="Meta's number that a reader made a float"),
        pytest.param("1", 1, id="Meta's number as text"),
        pytest.param(0, 0, id="find out"),
        pytest.param("0", 0, id="find out, as text"),
        pytest.param("US", 1, id="code"),
        pytest.param(" usa ", 1, id="alpha-3"),
        pytest.param("United States", 1, id="name"),
        pytest.param("DE", None, id="another country"),
        pytest.param(2, None, id="another number"),
        pytest.param("²", None, id="a digit that is no decimal"),
        pytest.param(True, None, id="boolean"),
        pytest.param(["US"], None, id="list"),
        pytest.param(None, None, id="null"),
    ],
)
def test_country(value: object, expected: int | None) -> None:
    assert expected == country_number(value)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        pytest.param("CA", 1000, id="code"),
        pytest.param("California", 1000, id="name"),
        pytest.param("US-CA", 1000, id="code after its country"),
        pytest.param(1000, 1000, id="Meta's number"),
        pytest.param(1000.0, 1000, id="Meta's number that a reader made a float"),
        pytest.param("1000", 1000, id="Meta's number as text"),
        pytest.param("\uff11\uff10\uff10\uff10", 1000, id="full-width digits"),
        pytest.param("Rhode Island", 1013, id="the last"),
        pytest.param(0, 0, id="find out"),
        pytest.param("0", 0, id="find out, as text"),
        pytest.param("NY", None, id="a state without such a law"),
        pytest.param("Ontario", None, id="no US state"),
        pytest.param(1014, None, id="a number that Meta does not know"),
        pytest.param("²", None, id="a digit that is no decimal"),
        pytest.param("1" * 5000, None, id="far too many digits"),
        pytest.param(1.5, None, id="a part of a number"),
        pytest.param(True, None, id="boolean"),
        pytest.param(None, None, id="null"),
    ],
)
def test_state(value: object, expected: int | None) -> None:
    assert expected == state_number(value)


def test_the_states_have_metas_numbers() -> None:
    assert STATE_NUMBERS == {
        "ca": 1000,
        "co": 1001,
        "ct": 1002,
        "fl": 1003,
        "or": 1004,
        "tx": 1005,
        "mt": 1006,
        "de": 1007,
        "ne": 1008,
        "nh": 1009,
        "nj": 1010,
        "mn": 1011,
        "md": 1012,
        "ri": 1013,
    }


@laws
@given(json_values)
def test_nothing_else_is_ever_sent(value: object) -> None:
    assert options_of(value) in (None, [], ["LDU"])
    assert country_number(value) in (None, 0, 1)
    assert state_number(value) in (None, 0, *STATE_NUMBERS.values())
