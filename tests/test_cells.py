from __future__ import annotations

import base64
import hashlib
import re
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lib.cells import Cells, ColumnReader, DateCells, as_text
from lib.hashing import sha256_hex
from lib.identifiers import AUDIENCE_KEYS
from lib.normalization import Context, Settings
from lib.report import Report
from tests.strategies import IDENTIFYING, TODAY, contexts, json_values, laws, scalars, settings_of_connections, texts

SETTINGS = Settings(today=TODAY)
PLAIN = replace(SETTINGS, hash_external_id=False)
DIGEST = hashlib.sha256(b"mary@example.com")
HEX = DIGEST.hexdigest()
MD5 = HEX[:32]
SHA1 = HEX[:40]

HASHED = tuple(key for key in IDENTIFYING if AUDIENCE_KEYS[key].hashed)
NEVER_HASHED = tuple(key for key in IDENTIFYING if not AUDIENCE_KEYS[key].hashed)


def cell(key: str, text: str | None, context: Context | None = None) -> tuple[str, str | None]:
    """Return the cell, and why it is empty if the value cannot be used."""
    cells = Cells(AUDIENCE_KEYS[key], context or Context(SETTINGS))
    return cells[text], cells.unusable.get(text)


def column(key: str, values: list[Any], report: Report, chosen: Settings = SETTINGS) -> list[str]:
    reader = ColumnReader(chosen, range(len(values)), report)
    return reader.cells(AUDIENCE_KEYS[key], values)


class TestText:
    @pytest.mark.parametrize(
        ("value", "expected"),
        [
            pytest.param("Ada", "Ada", id="text"),
            pytest.param("", "", id="empty text"),
            pytest.param(None, "", id="null"),
            pytest.param(94035, "94035", id="whole number"),
            pytest.param(0, "0", id="zero"),
            pytest.param(-1, "-1", id="negative"),
            pytest.param(94035.0, "94035", id="whole number that a reader made a float"),
            pytest.param(1.5, "1.5", id="float"),
            pytest.param(4917012345678, "4917012345678", id="phone"),
            pytest.param(2**64 - 1, "18446744073709551615", id="the largest integer of JSON readers"),
            pytest.param(2.0**53 - 1, "9007199254740991", id="the largest exact float"),
            pytest.param(2.0**53, None, id="a float that may have been rounded"),
            pytest.param(1e30, None, id="a huge float"),
            pytest.param(-1e30, None, id="a huge negative float"),
            pytest.param(True, None, id="boolean"),
            pytest.param(False, None, id="false"),
            pytest.param(["Ada"], None, id="list"),
            pytest.param([], None, id="empty list"),
            pytest.param({"value": "Ada"}, None, id="object"),
        ],
    )
    def test_is_what_numbers_are_read_as(self, value: object, expected: str | None) -> None:
        assert expected == as_text(value)

    @pytest.mark.parametrize(
        ("value", "reason"),
        [
            pytest.param(True, "neither text nor number", id="boolean"),
            pytest.param(["Ada"], "neither text nor number", id="list"),
            pytest.param({"a": 1}, "neither text nor number", id="object"),
            pytest.param(1e30, "a number too large to be read exactly: send it as text", id="huge float"),
        ],
    )
    def test_that_a_value_is_not_is_reported(self, value: object, reason: str) -> None:
        report = Report()
        assert column("FN", ["Ada", value, None, 1], report) == [sha256_hex("ada"), "", "", sha256_hex("1")]
        assert report.listed() == [{"row": 1, "field": "FN", "reason": reason}]

    def test_of_equal_numbers_is_not_confused(self) -> None:
        """1, 1.0 and True are one key of a dict, and three values."""
        report = Report()
        assert column("EXTERN_ID", [1, 1.0, True, "1"], report, PLAIN) == ["1", "1", "", "1"]


class TestWhatIsHashedAlready:
    @pytest.mark.parametrize("key", [key for key in HASHED if key != "DOB"])
    @pytest.mark.parametrize(
        "text",
        [
            pytest.param(HEX, id="lower case"),
            pytest.param(HEX.upper(), id="upper case"),
            pytest.param(f"  {HEX}\u200b", id="spaces around"),
            pytest.param(base64.b64encode(DIGEST.digest()).decode(), id="base64"),
            pytest.param(base64.urlsafe_b64encode(DIGEST.digest()).decode(), id="base64url"),
            pytest.param(HEX + ".AQQAAQEA", id="Parameter Builder's suffix"),
            pytest.param(HEX.upper() + ".AQ", id="older suffix"),
        ],
    )
    def test_passes(self, key: str, text: str) -> None:
        assert (HEX, None) == cell(key, text)

    @pytest.mark.parametrize("key", [key for key in HASHED if key not in {"DOB", "EXTERN_ID"}])
    @pytest.mark.parametrize("text", [MD5, MD5.upper(), SHA1], ids=["MD5", "MD5 in upper case", "SHA-1"])
    def test_by_another_function_is_rejected_by_name(self, key: str, text: str) -> None:
        assert ("", "an MD5 or SHA-1 hash, of which Meta takes neither") == cell(key, text)

    @pytest.mark.parametrize("key", [key for key in HASHED if key != "DOB"])
    @pytest.mark.parametrize(
        "text",
        [
            pytest.param(hashlib.sha256(b"").hexdigest(), id="hexadecimal"),
            pytest.param(hashlib.sha256(b"").hexdigest().upper(), id="upper case"),
            pytest.param(base64.b64encode(hashlib.sha256(b"").digest()).decode(), id="base64"),
        ],
    )
    def test_of_an_empty_text_is_rejected(self, key: str, text: str) -> None:
        assert ("", "the hash of an empty text") == cell(key, text)

    @pytest.mark.parametrize("text", [HEX, MD5, SHA1], ids=["SHA-256", "MD5", "SHA-1"])
    def test_has_no_column_where_it_was_a_whole_date(self, text: str) -> None:
        cells = DateCells(AUDIENCE_KEYS["DOB"], Context(SETTINGS))
        assert cells[text] == ("", "", "")
        assert cells.unusable[text].startswith("the hash of a whole date, which has no column")

    @pytest.mark.parametrize("text", [MD5, SHA1], ids=["32 digits", "40 digits"])
    def test_is_not_taken_for_a_customer_number(self, text: str) -> None:
        assert (sha256_hex(text), None) == cell("EXTERN_ID", text)


class TestExternalId:
    @pytest.mark.parametrize("text", ["USER_123", HEX.upper(), MD5, base64.b64encode(DIGEST.digest()).decode()])
    def test_is_sent_as_it_is_where_the_connection_says_plain(self, text: str) -> None:
        assert (text, None) == cell("EXTERN_ID", f" {text} ", Context(PLAIN))

    def test_is_hashed_in_its_own_case_by_default(self) -> None:
        assert (sha256_hex("USER_123"), None) == cell("EXTERN_ID", "USER_123")


@pytest.mark.parametrize("key", NEVER_HASHED)
def test_some_identifiers_are_never_hashed(key: str) -> None:
    text = "AEBE52E7-03EE-455A-B3C4-E57283966239"
    assert (text.lower() if key == "MADID" else text, None) == cell(key, text)


class TestDates:
    def test_fill_three_columns(self) -> None:
        reader = ColumnReader(SETTINGS, range(2), Report())
        columns = reader.date_columns(AUDIENCE_KEYS["DOB"], ["2/16/1997", ""])
        assert columns == [[sha256_hex("1997"), ""], [sha256_hex("02"), ""], [sha256_hex("16"), ""]]

    def test_of_nobody_are_three_empty_columns(self) -> None:
        assert ColumnReader(SETTINGS, (), Report()).date_columns(AUDIENCE_KEYS["DOB"], ()) == [[], [], []]

    def test_that_are_impossible_are_reported_under_their_own_name(self) -> None:
        report = Report()
        ColumnReader(SETTINGS, [7], report).date_columns(AUDIENCE_KEYS["DOB"], ["2/30/1997"])
        assert report.listed() == [{"row": 7, "field": "DOB", "reason": "not a date"}]

    def test_that_are_ambiguous_give_one_warning(self) -> None:
        report = Report()
        ColumnReader(SETTINGS, range(2), report).date_columns(AUDIENCE_KEYS["DOB"], ["5/3/1995", "6/3/1995"])
        assert list(report.warnings) == ["DOB: some dates could have day or month first; they are read as mdy"]


class TestCountries:
    def test_of_the_rows_decide_how_phones_are_read(self) -> None:
        report = Report()
        reader = ColumnReader(replace(SETTINGS, default_country="gb"), range(4), report)
        reader.read_countries(["DE", "Österreich", "", "Atlantis"])
        cells = reader.cells(AUDIENCE_KEYS["PHONE"], ["0170 1234567", "0664 1234567", "020 7946 0958", "12"])
        expected = [sha256_hex("491701234567"), sha256_hex("436641234567"), sha256_hex("442079460958"), ""]
        assert expected == cells
        assert report.listed() == [{"row": 3, "field": "PHONE", "reason": "not a phone number"}]

    def test_reject_only_in_the_rows_of_the_country(self) -> None:
        """The same text is a number in one country and none in another."""
        report = Report()
        reader = ColumnReader(SETTINGS, range(3), report)
        reader.read_countries(["US", "DE", "US"])
        text = "650 555 1212 0"
        cells = reader.cells(AUDIENCE_KEYS["PHONE"], [text, text, ""])
        assert [bool(one) for one in cells] == [False, True, False]
        assert report.listed() == [{"row": 0, "field": "PHONE", "reason": "not a phone number"}]

    def test_that_all_rows_share_are_read_once(self) -> None:
        reader = ColumnReader(SETTINGS, range(2), Report())
        reader.read_countries(["us", "USA"])
        cells = reader.cells(AUDIENCE_KEYS["ZIP"], ["94035-1234", "940351234"])
        assert [sha256_hex("94035")] * 2 == cells

    def test_leave_one_doubt_for_all_numbers_without_one(self) -> None:
        report = Report()
        reader = ColumnReader(SETTINGS, range(3), report)
        reader.read_countries(["", "DE", ""])
        reader.cells(AUDIENCE_KEYS["PHONE"], ["16505551212", "16505551212", "16505551213"])
        assert len(report.warnings) == 1


class TestLaws:
    @pytest.mark.parametrize("key", [key for key in HASHED if key != "DOB"])
    @laws
    @given(values=st.lists(json_values, max_size=4), chosen=settings_of_connections)
    def test_a_hashed_cell_is_empty_or_64_lower_case_hexadecimal_digits(
        self, key: str, values: list[Any], chosen: Settings
    ) -> None:
        cells = column(key, values, Report(), replace(chosen, hash_external_id=True))
        assert [re.fullmatch(r"([0-9a-f]{64})?", one, re.ASCII) is not None for one in cells] == [True] * len(values)

    @laws
    @given(text=texts, context=contexts)
    def test_so_is_each_part_of_a_date(self, text: str, context: Context) -> None:
        cells = DateCells(AUDIENCE_KEYS["DOB"], context)[text]
        assert {len(one) for one in cells} in ({0}, {64})

    @pytest.mark.parametrize("key", IDENTIFYING)
    @laws
    @given(values=st.lists(scalars, min_size=1, max_size=5), chosen=settings_of_connections)
    def test_a_cell_depends_on_its_own_value_only(self, key: str, values: list[Any], chosen: Settings) -> None:
        """What a column remembers of one value changes no other."""
        alone = [column(key, [value], Report(), chosen)[0] for value in values]
        assert alone == column(key, values, Report(), chosen)

    @pytest.mark.parametrize("key", ["EMAIL", "PHONE", "EXTERN_ID", "DOB"])
    @laws
    @given(text=texts)
    def test_the_memo_shows_nobody(self, key: str, text: str) -> None:
        cells: Cells | DateCells = (DateCells if key == "DOB" else Cells)(AUDIENCE_KEYS[key], Context(SETTINGS))
        assert cells[f"{text}zqx7"] is not None
        assert "zqx7" not in repr(cells)
