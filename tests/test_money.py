"""Numbers and currencies as shops write them (tags-and-connectors.md, section F, numbers 36, 37 and 40)."""

from __future__ import annotations

import json
import math
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lib.money import currency_code, currency_codes, number
from lib.normalization import UnusableValueError
from tests.tools.build_currencies import CURRENCIES_JSON, build


def read(value: object) -> tuple[int | float, bool]:
    doubts: set[str] = set()
    return number(value, doubts), bool(doubts)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        pytest.param(129.9, 129.9, id="number"),
        pytest.param(95, 95, id="whole number"),
        pytest.param(95.0, 95, id="whole number, as a float"),
        pytest.param(0, 0, id="zero is a value"),
        pytest.param(-5, -5, id="negative"),
        pytest.param("1.234,50", 1234.5, id="German"),
        pytest.param("1,234.50", 1234.5, id="English"),
        pytest.param("12,5", 12.5, id="a comma for decimals"),
        pytest.param("15.00", 15, id="a point for decimals"),
        pytest.param("0.00", 0, id="zero as text"),
        pytest.param("1 234,50", 1234.5, id="French"),
        pytest.param("1\u202f234,50\u00a0€", 1234.5, id="French, with narrow and no-break spaces"),
        pytest.param("1'234.50", 1234.5, id="Swiss"),
        pytest.param("CHF 1’234.50", 1234.5, id="Swiss, typographic"),
        pytest.param("1,23,456.50", 123456.5, id="Indian"),
        pytest.param("1.234.567", 1234567, id="two marks of thousands"),
        pytest.param("1.234.567,89", 1234567.89, id="German millions"),
        pytest.param("€ 12.50", 12.5, id="currency before"),
        pytest.param("12,50 €", 12.5, id="currency behind"),
        pytest.param("12.50EUR", 12.5, id="code behind"),
        pytest.param("R$ 1.234,56", 1234.56, id="Brazilian"),
        pytest.param("kr. 99", 99, id="word before"),
        pytest.param("$.50", 0.5, id="no whole"),
        pytest.param("12,-", 12, id="a dash for no cents"),
        pytest.param("-12,50", -12.5, id="negative text"),
        pytest.param("\u221212,50", -12.5, id="a real minus"),
        pytest.param("€ -12,50", -12.5, id="sign behind the currency"),
        pytest.param("12,50-", -12.5, id="sign at the end"),
        pytest.param(" 12.5\u200b", 12.5, id="space around, seen or not"),
        pytest.param("١٢٫٥", 12.5, id="Arabic"),
        pytest.param("１２．５", 12.5, id="full width"),
        pytest.param("1234.567", 1234.567, id="four before a point"),
        pytest.param("1234,567", 1234.567, id="four before a comma"),
        pytest.param("0,125", 0.125, id="nothing before a comma"),
        pytest.param("0.125", 0.125, id="nothing before a point"),
    ],
)
def test_a_number_in_any_usual_form(value: object, expected: float) -> None:
    assert (expected, False) == read(value)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        pytest.param("1,234", 1234, id="a comma: no program writes decimals so"),
        pytest.param("1.234", 1.234, id="a point: programs do"),
        pytest.param("1.234 €", 1234, id="a point, for people"),
        pytest.param("1,234 €", 1234, id="a comma, for people"),
        pytest.param("-12.345", -12.345, id="negative"),
    ],
)
def test_what_could_be_read_otherwise_is_a_doubt(value: object, expected: float) -> None:
    assert (expected, True) == read(value)


@pytest.mark.parametrize(
    "value",
    [
        pytest.param("abc", id="word"),
        pytest.param("12abcde", id="word behind"),
        pytest.param("about 12", id="word before"),
        pytest.param("12 apples", id="not a currency"),
        pytest.param("", id="blank"),
        pytest.param("EUR", id="only a currency"),
        pytest.param("NaN", id="NaN as text"),
        pytest.param("Infinity", id="Infinity as text"),
        pytest.param(math.nan, id="NaN"),
        pytest.param(math.inf, id="Infinity"),
        pytest.param(-math.inf, id="minus Infinity"),
        pytest.param(True, id="true is no number"),
        pytest.param(None, id="null"),
        pytest.param([1], id="list"),
        pytest.param({"value": 1}, id="object"),
        pytest.param("1..2", id="two points"),
        pytest.param("1,2,3", id="no thousands"),
        pytest.param("1.234.56", id="thousands of two"),
        pytest.param("12 50", id="space for a mark"),
        pytest.param("--5", id="two signs"),
        pytest.param("-5-", id="signs on both sides"),
        pytest.param("10-20", id="range"),
        pytest.param("1e400", id="exponent"),
        pytest.param(10**15, id="too large"),
        pytest.param("1" * 400, id="far too large"),
    ],
)
def test_no_number(value: object) -> None:
    with pytest.raises(UnusableValueError, match="not a number"):
        number(value, set())


@given(st.integers(-(10**12), 10**12), st.integers(0, 99))
def test_german_and_english_mean_the_same(whole: int, cents: int) -> None:
    english = f"{whole:,}.{cents:02d}"
    german = english.translate(str.maketrans(".,", ",."))
    assert read(english) == read(german) == (number(float(english.replace(",", "")), set()), False)


@given(st.floats(-1e14, 1e14).map(lambda value: round(value, 2)))
def test_what_a_program_writes_is_read_as_it_is(value: float) -> None:
    text = f"{value:.2f}"
    assert float(text) == number(text, set())


@given(st.text(alphabet="0123456789.,-+ '€$EURkr()e%", max_size=45) | st.text())
def test_no_text_raises_anything_else(text: str) -> None:
    try:
        found = number(text, set())
    except UnusableValueError as error:
        assert "not a number" == str(error)  # noqa: PT017 - most texts are none
    else:
        assert math.isfinite(found)


class TestCurrency:
    @pytest.mark.parametrize(
        ("value", "expected"),
        [
            pytest.param("EUR", "EUR", id="code"),
            pytest.param(" eur ", "EUR", id="lower case, with space"),
            pytest.param("XCG", "XCG", id="new in 2025"),
        ],
    )
    def test_is_an_upper_case_code(self, value: object, expected: str) -> None:
        assert expected == currency_code(value)

    @pytest.mark.parametrize("value", ["EURO", "€", "", "XXX", "XTS", "DEM", "BTC", 978, None, ["EUR"], "undefined"])
    def test_is_not_guessed(self, value: object) -> None:
        with pytest.raises(UnusableValueError, match="ISO 4217"):
            currency_code(value)

    def test_file_is_what_the_installed_library_gives(self) -> None:
        """After an update of pycountry, `python -m tests.tools.build_currencies` and a look at the difference."""
        assert CURRENCIES_JSON.read_text(encoding="utf-8") == build()
        assert set(json.loads(build())) == currency_codes()

    def test_file_is_read_on_first_use_only(self) -> None:
        code = "import sys, lib.money as m; sys.exit(m._codes.cache_info().currsize)"
        assert 0 == subprocess.run([sys.executable, "-c", code], check=False).returncode
