from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lib.audiences import MAX_ROWS, Batch, Policy, UnsafeBatchError, build_batches, for_destination
from lib.config import MINIMUM_IDENTIFIERS
from lib.data_processing import DataProcessing
from lib.errors import InvalidRequestError
from lib.hashing import HASH_OF_NOTHING, sha256_hex
from lib.identifiers import AUDIENCE_KEYS, DATA_PROCESSING_COLUMNS, EXTERN_ID, LOOKALIKE_VALUE
from lib.normalization import Settings
from lib.people import People, parse_people
from lib.report import Report
from tests.strategies import TODAY, cells, json_values, laws, settings_of_connections

SETTINGS = Settings(today=TODAY)
ANYBODY = Policy(settings=SETTINGS)
MARY = hashlib.sha256(b"mary@example.com")
MADID = "aebe52e7-03ee-455a-b3c4-e57283966239"


def build(body: dict[str, Any], policy: Policy = ANYBODY, *, size: int = MAX_ROWS) -> tuple[list[Batch], Report]:
    report = Report()
    return list(build_batches(parse_people(body), policy, report, size=size)), report


def table(schema: str | Sequence[str], *rows: object) -> dict[str, Any]:
    return {"users": {"schema": schema, "data": list(rows)}}


def only_batch(body: dict[str, Any], policy: Policy = ANYBODY) -> Batch:
    batches, _ = build(body, policy)
    assert len(batches) == 1
    return batches[0]


def cell(key: str, value: object, policy: Policy = ANYBODY, **others: object) -> tuple[object, list[str]]:
    """Return the cell that a user's value becomes, and why anything of that user is not sent."""
    batches, report = build({"user": {key: value, "MADID": MADID, **others}}, policy)
    batch = batches[0]
    return batch.rows[0][batch.schema.index(key)], [str(reject["reason"]) for reject in report.listed()]


def as_sent(batches: Sequence[Batch]) -> dict[int, list[tuple[str, object]]]:
    """Return what is sent of each row, by its number and the keys; in whichever batch it goes."""
    return {
        number: sorted(((key, one) for key, one in zip(batch.schema, row, strict=True) if one != ""), key=repr)
        for batch in batches
        for number, row in zip(batch.numbers, batch.rows, strict=True)
    }


class TestBatches:
    def test_hold_at_most_ten_thousand_rows(self) -> None:
        batches, report = build(table("EMAIL", *([f"{number}@example.com"] for number in range(25_000))))
        assert [10_000, 10_000, 5_000] == [len(batch.rows) for batch in batches]
        assert list(range(25_000)) == [number for batch in batches for number in batch.numbers]
        assert (sha256_hex("24999@example.com"),) == batches[-1].rows[-1]
        assert report == Report()

    def test_are_built_one_by_one(self) -> None:
        """What has been sent need not be held: the next one is built when it is asked for."""
        report = Report()
        people = parse_people(table("EMAIL", ["a@example.com"], ["no address"]))
        batches = build_batches(people, ANYBODY, report, size=1)
        next(batches)
        assert report.rejects == []
        assert list(batches) == []
        assert [1] == [reject.row for reject in report.rejects if reject.field is None]

    def test_keep_duplicate_rows(self) -> None:
        assert len(only_batch(table("EMAIL", ["a@example.com"], ["a@example.com"])).rows) == 2

    def test_have_a_column_for_each_key_of_the_schema_in_its_order(self) -> None:
        batch = only_batch(table("FN,EMAIL,MADID,EMAIL", ["Ada", "a@example.com", MADID, "b@example.com"]))
        assert batch.schema == ("FN", "EMAIL", "MADID", "EMAIL")
        expected = (sha256_hex("ada"), sha256_hex("a@example.com"), MADID, sha256_hex("b@example.com"))
        assert [expected] == batch.rows

    def test_have_three_columns_for_a_whole_date(self) -> None:
        batch = only_batch(table("EMAIL,DOB,FN", ["a@example.com", "2/16/1997", "Ada"]))
        assert batch.schema == ("EMAIL", "DOBY", "DOBM", "DOBD", "FN")
        assert tuple(map(sha256_hex, ("1997", "02", "16"))) == batch.rows[0][1:4]

    def test_of_nobody_are_none(self) -> None:
        batches, report = build(table("EMAIL,FN", ["a@example.com"], None))
        assert ([], 2) == (batches, report.rejected_rows(None))

    def test_show_nobody(self) -> None:
        batch = only_batch(table("EMAIL,UID", ["a@example.com", "canary"]))
        assert "canary" not in repr(batch)
        assert sha256_hex("a@example.com") not in repr(batch)

    @pytest.mark.parametrize("count", [2, 3, 7])
    def test_can_be_halved(self, count: int) -> None:
        batch = Batch(("UID",), [(str(number),) for number in range(count)], range(5, 5 + count))
        first, second = batch.halves()
        assert batch.rows == [*first.rows, *second.rows]
        assert list(batch.numbers) == [*first.numbers, *second.numbers]
        assert len(second.rows) - len(first.rows) in {0, 1}
        assert {batch.schema} == {first.schema, second.schema}

    def test_can_lose_a_column(self) -> None:
        batch = Batch(("UID", "LOOKALIKE_VALUE", "UID"), [("a", 1, "b")], [0])
        assert (("UID", "UID"), [("a", "b")]) == (
            batch.without("LOOKALIKE_VALUE").schema,
            batch.without("LOOKALIKE_VALUE").rows,
        )
        assert batch is batch.without("EMAIL")


class TestExternalIds:
    def test_rows_with_and_without_one_go_in_different_schemas(self) -> None:
        """Meta counts a row with an empty EXTERN_ID as invalid, whatever else it holds."""
        rows = (["u1", "a@example.com"], ["", "b@example.com"], ["u3", ""], ["", ""])
        batches, report = build(table("EXTERN_ID,EMAIL", *rows))
        assert [(batch.schema, list(batch.numbers)) for batch in batches] == [
            (("EXTERN_ID", "EMAIL"), [0, 2]),
            (("EMAIL",), [1]),
        ]
        assert batches[1].rows == [(sha256_hex("b@example.com"),)]
        assert [3] == [reject.row for reject in report.rejects]

    def test_rows_with_fewer_of_several_have_fewer_columns(self) -> None:
        rows = ([["u1", "u2"], "a@example.com"], ["u3", "b@example.com"], [[], "c@example.com"])
        body = {"users": [{"EXTERN_ID": ids, "EMAIL": email} for ids, email in rows]}
        batches, _ = build(body, Policy(settings=replace(SETTINGS, hash_external_id=False)))
        a, b, c = (sha256_hex(f"{letter}@example.com") for letter in "abc")
        assert [(batch.schema, batch.rows) for batch in batches] == [
            (("EMAIL", "EXTERN_ID", "EXTERN_ID"), [(a, "u1", "u2")]),
            (("EMAIL", "EXTERN_ID"), [(b, "u3")]),
            (("EMAIL",), [(c,)]),
        ]

    @pytest.mark.parametrize(
        ("hashed", "expected"), [(True, sha256_hex("USER_123")), (False, "USER_123")], ids=["hash", "plain"]
    )
    def test_leave_as_the_connection_says(self, hashed: bool, expected: str) -> None:
        policy = Policy(settings=replace(SETTINGS, hash_external_id=hashed))
        assert [(expected,)] == only_batch({"user": {"EXTERN_ID": "USER_123"}}, policy).rows


class TestMinimumIdentifiers:
    @pytest.mark.parametrize(
        ("user", "is_sent"),
        [
            pytest.param({"EMAIL": "a@example.com"}, True, id="e-mail"),
            pytest.param({"PHONE": "+491701234567"}, True, id="phone"),
            pytest.param({"MADID": MADID}, True, id="mobile id"),
            pytest.param({"EXTERN_ID": "u1"}, True, id="external id"),
            pytest.param({"FN": "Ada", "LN": "Lovelace", "ZIP": "94035"}, True, id="name and ZIP"),
            pytest.param({"FN": "Ada", "LN": "Lovelace", "CT": "Paris"}, True, id="name and city"),
            pytest.param({"FN": "Ada", "LN": "Lovelace", "DOB": "1997-02-16"}, True, id="name and date of birth"),
            pytest.param(
                {"FN": "Ada", "LN": "Lovelace", "DOBY": "1997", "DOBM": "2", "DOBD": 16}, True, id="date in parts"
            ),
            pytest.param({"FN": "Ada", "LN": "Lovelace", "DOBY": "1997", "DOBM": "2"}, False, id="no day"),
            pytest.param({"FN": "Ada", "LN": "Lovelace", "DOB": "1997-02-30"}, False, id="an impossible date"),
            pytest.param({"FN": "Ada", "LN": "Lovelace"}, False, id="only a name"),
            pytest.param({"FN": "Ada", "ZIP": "94035"}, False, id="only a first name and ZIP"),
            pytest.param({"ZIP": "94035"}, False, id="only a ZIP"),
            pytest.param({"EMAIL": "ada"}, False, id="an address that is none"),
            pytest.param({"EMAIL": ["ada", "a@example.com"]}, True, id="one of two addresses"),
            pytest.param({"FN": ["", "Ada"], "LN": ["Lovelace", ""], "CT": "Paris"}, True, id="names among several"),
            pytest.param({"UID": "1", "PAGEUID": "2"}, False, id="ids that are not asked for"),
            pytest.param({"EMAIL": "", "LOOKALIKE_VALUE": 3}, False, id="only a value"),
        ],
    )
    def test_of_the_default(self, user: dict[str, object], is_sent: bool) -> None:
        batches, report = build({"user": user}, Policy(settings=SETTINGS, minimum_identifiers=MINIMUM_IDENTIFIERS))
        assert ([[0]] if is_sent else []) == [list(batch.numbers) for batch in batches]
        reasons = [reject.reason for reject in report.rejects if reject.field is None]
        assert ([] if is_sent else ["not enough identifiers"]) == reasons

    @pytest.mark.parametrize(
        ("user", "is_sent"),
        [
            pytest.param({"ZIP": "94035"}, True, id="a ZIP"),
            pytest.param({"DOB": "1997-02-16"}, True, id="a date"),
            pytest.param({"PAGEUID": "2"}, True, id="a page's id"),
            pytest.param({"EMAIL": "", "ZIP": "undefined"}, False, id="nothing"),
            pytest.param({"EMAIL": "ada"}, False, id="nothing that can be used"),
            pytest.param({"EMAIL": "", "LOOKALIKE_VALUE": 3}, False, id="only a value"),
            pytest.param({"DATA_PROCESSING_OPTIONS": ["LDU"]}, False, id="only options"),
        ],
    )
    def test_of_none_still_refuse_a_row_with_nothing_in_it(self, user: dict[str, object], is_sent: bool) -> None:
        assert is_sent is bool(build({"user": user})[0])

    def test_are_asked_of_each_row(self) -> None:
        rows = (["a@example.com", "", ""], ["", "Ada", "Lovelace"], ["", "Ada", ""])
        policy = Policy(settings=SETTINGS, minimum_identifiers=[["EMAIL"], ["FN", "LN"]])
        batches, report = build(table("EMAIL,FN,LN", *rows), policy)
        assert [[0, 1]] == [list(batch.numbers) for batch in batches]
        assert report.listed() == [{"row": 2, "field": None, "reason": "not enough identifiers"}]

    def test_that_the_schema_lacks_are_met_by_nobody(self) -> None:
        policy = Policy(settings=SETTINGS, minimum_identifiers=[["PHONE"], ["FN", "PHONE"]])
        assert build(table("EMAIL,FN", ["a@example.com", "Ada"]), policy)[0] == []


class TestDataProcessing:
    LDU = DataProcessing(options=("LDU",), country=1, state=1000)

    def test_of_the_request_is_added_to_each_row(self) -> None:
        batch = only_batch(
            table("EMAIL", ["a@example.com"], ["b@example.com"]), replace(ANYBODY, data_processing=self.LDU)
        )
        assert batch.schema == ("EMAIL", *DATA_PROCESSING_COLUMNS)
        assert [row[1:] for row in batch.rows] == [(["LDU"], 1, 1000)] * 2

    def test_of_the_request_without_a_place_lets_meta_find_it(self) -> None:
        policy = replace(ANYBODY, data_processing=DataProcessing(options=("LDU",)))
        assert only_batch(table("EMAIL", ["a@example.com"]), policy).rows[0][1:] == (["LDU"], 0, 0)

    def test_of_the_request_takes_the_place_of_the_rows_own(self) -> None:
        body = table("EMAIL,DATA_PROCESSING_OPTIONS", ["a@example.com", []])
        batch = only_batch(body, replace(ANYBODY, data_processing=self.LDU))
        assert (("EMAIL", *DATA_PROCESSING_COLUMNS), (["LDU"], 1, 1000)) == (batch.schema, batch.rows[0][1:])

    @pytest.mark.parametrize(
        ("options", "country", "state", "expected"),
        [
            pytest.param(["LDU"], 1, 1000, (["LDU"], 1, 1000), id="Meta's own form"),
            pytest.param("LDU", "US", "CA", (["LDU"], 1, 1000), id="texts"),
            pytest.param("ldu", "United States", "California", (["LDU"], 1, 1000), id="names"),
            pytest.param('["LDU"]', "1", "1000", (["LDU"], 1, 1000), id="all as text"),
            pytest.param([], 0, 0, ([], 0, 0), id="none"),
            pytest.param(None, None, None, ([], 0, 0), id="null"),
            pytest.param("", "undefined", " ", ([], 0, 0), id="blank"),
        ],
    )
    def test_of_a_row_is_understood(self, options: object, country: object, state: object, expected: object) -> None:
        body = table(["EMAIL", *DATA_PROCESSING_COLUMNS], ["a@example.com", options, country, state])
        batches, report = build(body)
        assert expected == batches[0].rows[0][1:]
        assert report.listed() == []

    @pytest.mark.parametrize(
        ("key", "value", "expected"),
        [
            pytest.param("DATA_PROCESSING_OPTIONS", "CCPA", [], id="options"),
            pytest.param("DATA_PROCESSING_OPTIONS", True, [], id="options that are a boolean"),
            pytest.param("DATA_PROCESSING_OPTIONS_COUNTRY", "DE", 0, id="country"),
            pytest.param("DATA_PROCESSING_OPTIONS_STATE", "NY", 0, id="state"),
            pytest.param("DATA_PROCESSING_OPTIONS_STATE", [1000], 0, id="a state in a list"),
        ],
    )
    def test_of_a_row_that_is_not_understood_is_reported(self, key: str, value: object, expected: object) -> None:
        batches, report = build(table(["EMAIL", key], ["a@example.com", value]))
        assert expected == batches[0].rows[0][1]
        assert report.listed() == [{"row": 0, "field": key, "reason": "not understood"}]

    def test_of_rows_without_a_place_lets_meta_find_it(self) -> None:
        batch = only_batch({"user": {"EMAIL": "a@example.com", "DATA_PROCESSING_OPTIONS": "LDU"}})
        assert batch.schema == ("EMAIL", *DATA_PROCESSING_COLUMNS)
        assert [(["LDU"], 0, 0)] == [row[1:] for row in batch.rows]

    def test_of_one_row_is_not_that_of_another(self) -> None:
        batch = only_batch(table("UID,DATA_PROCESSING_OPTIONS", ["1", ["LDU"]], ["2", None]))
        assert [["LDU"], []] == [row[1] for row in batch.rows]


class TestLookalikeValue:
    @pytest.mark.parametrize(
        ("value", "expected"),
        [
            pytest.param(44.5, 44.5, id="number"),
            pytest.param(0, 0, id="zero"),
            pytest.param("44.50", 44.5, id="text"),
            pytest.param(" 44 ", 44, id="text with spaces"),
        ],
    )
    def test_is_sent_unhashed_to_value_based_audiences(self, value: object, expected: object) -> None:
        batch = only_batch(table("EMAIL,LOOKALIKE_VALUE", ["a@example.com", value]))
        report = Report()
        sent = for_destination(batch, value_based=True, report=report, audience_id="23")
        assert (sha256_hex("a@example.com"), expected) == sent.rows[0]
        assert report == Report()

    @pytest.mark.parametrize(
        "value",
        [
            pytest.param(None, id="null"),
            pytest.param("", id="empty"),
            pytest.param("undefined", id="blank"),
            pytest.param(-1, id="negative"),
            pytest.param("-1", id="negative text"),
            pytest.param("1,50", id="decimal comma"),
            pytest.param("1e5", id="exponent"),
            pytest.param("many", id="text"),
            pytest.param("²", id="a digit that is no decimal"),
            pytest.param(True, id="boolean"),
            pytest.param([3], id="list"),
            pytest.param({"value": 3}, id="object"),
        ],
    )
    def test_that_is_no_number_loses_its_row_for_value_based_audiences_only(self, value: object) -> None:
        rows = (["a@example.com", 1], ["b@example.com", value])
        batch, report = only_batch(table("EMAIL,LOOKALIKE_VALUE", *rows)), Report()
        sent = [
            for_destination(batch, value_based=value_based, report=report, audience_id=audience)
            for value_based, audience in ((True, "23"), (False, "42"))
        ]
        assert [[0], [0, 1]] == [list(part.numbers) for part in sent]
        assert [("EMAIL", "LOOKALIKE_VALUE"), ("EMAIL",)] == [part.schema for part in sent]
        reason = "not a number of at least 0"
        assert report.listed() == [{"row": 1, "field": "LOOKALIKE_VALUE", "reason": reason, "audience_id": "23"}]
        assert [1, 0] == [report.rejected_rows(audience) for audience in ("23", "42")]

    def test_leaves_a_batch_without_it_as_it_is(self) -> None:
        batch = only_batch(table("EMAIL", ["a@example.com"]))
        assert batch is for_destination(batch, value_based=False, report=Report(), audience_id=None)


class TestTheCheckBeforeTheWire:
    """The table says how a key is read; what has to be hashed in the end does not depend on it."""

    @pytest.mark.parametrize(
        ("key", "value"),
        [
            pytest.param("EMAIL", "canary@example.com", id="e-mail"),
            pytest.param("PHONE", "+491701234567", id="phone"),
            pytest.param("FN", "Canary", id="name"),
            pytest.param("EXTERN_ID", "canary", id="external id"),
        ],
    )
    def test_stops_what_has_not_been_hashed(self, key: str, value: str) -> None:
        forgetful = {**AUDIENCE_KEYS, key: replace(AUDIENCE_KEYS[key], hashed=False)}
        people = parse_people(table(["EMAIL", key], ["a@example.com", value]))
        batches: Iterator[Batch] = build_batches(people, ANYBODY, Report(), table=forgetful)
        with pytest.raises(UnsafeBatchError) as caught:
            next(batches)
        assert key == caught.value.field
        assert "canary" not in f"{caught.value!r} {caught.value.facts()}".lower()
        assert list(batches) == []

    def test_lets_an_external_id_pass_that_the_connection_wants_plain(self) -> None:
        policy = Policy(settings=replace(SETTINGS, hash_external_id=False))
        assert only_batch({"user": {"EXTERN_ID": "canary"}}, policy).rows == [("canary",)]


class TestWhatOthersGetWrong:
    """Each test has the number of a weakness that was seen in the tags and connectors which this replaces."""

    @pytest.mark.parametrize(
        "value",
        [
            "+49.170.1234567",
            "0049 170 1234567",
            "+49 (0)170 1234567",
            "+49 170/1234567",
            "tel:+49-170-1234567",
            491701234567,
        ],
    )
    def test_a_phone_in_any_usual_form_is_one_phone(self, value: object) -> None:
        """Weakness 1: dots, slashes, letters, leading zeros and (0) stay; a number for a phone hangs the tag."""
        assert (sha256_hex("491701234567"), []) == cell("PHONE", value, COUNTRY="DE")

    def test_every_sign_in_a_phone_goes_and_not_only_the_first(self) -> None:
        """Weakness 2."""
        assert (sha256_hex("16505551212"), []) == cell("PHONE", "+1 (650) - 555 - 12 - 12")

    @pytest.mark.parametrize(
        ("key", "value", "expected"),
        [
            pytest.param("COUNTRY", "United States", "us", id="country"),
            pytest.param("ST", "California", "ca", id="state"),
            pytest.param("GEN", "female", "f", id="gender"),
            pytest.param("ZIP", "94035-1234", "94035", id="ZIP+4"),
            pytest.param("LN", "O'Brien-Smith", "obriensmith", id="punctuation of names"),
            pytest.param("CT", "St. John's", "stjohns", id="punctuation of cities"),
        ],
    )
    def test_names_words_and_punctuation_are_normalized(self, key: str, value: str, expected: str) -> None:
        """Weakness 3."""
        assert (sha256_hex(expected), []) == cell(key, value)

    @pytest.mark.parametrize(
        ("key", "value"),
        [
            ("PHONE", "abc"),
            ("PHONE", "+-()"),
            ("EMAIL", " "),
            ("EMAIL", "\u200b"),
            ("FN", "..."),
            ("CT", "123"),
            ("GEN", "?"),
        ],
    )
    def test_a_value_that_normalizes_to_nothing_is_never_hashed(self, key: str, value: str) -> None:
        """Weakness 4: everybody would match everybody."""
        assert cell(key, value)[0] == ""

    def test_composed_and_decomposed_letters_are_one(self) -> None:
        """Weakness 5."""
        assert cell("FN", "Val\u00e9ry") == cell("FN", "Vale\u0301ry") == (sha256_hex("val\u00e9ry"), [])

    def test_an_upper_case_hash_is_lowered(self) -> None:
        """Weakness 6: Meta would not match it."""
        assert (MARY.hexdigest(), []) == cell("EMAIL", MARY.hexdigest().upper())

    @pytest.mark.parametrize("encode", [base64.b64encode, base64.urlsafe_b64encode])
    def test_a_hash_in_base64_becomes_hexadecimal(self, encode: Any) -> None:
        """Weakness 7: it is hashed a second time."""
        assert (MARY.hexdigest(), []) == cell("EMAIL", encode(MARY.digest()).decode())

    @pytest.mark.parametrize("digits", [32, 40], ids=["MD5", "SHA-1"])
    def test_a_hash_that_meta_does_not_take_is_rejected_by_name(self, digits: int) -> None:
        """Weakness 7: it is hashed a second time."""
        assert ("", ["an MD5 or SHA-1 hash, of which Meta takes neither"]) == cell("EMAIL", MARY.hexdigest()[:digits])

    @pytest.mark.parametrize("key", ["EMAIL", "PHONE", "FN", "LN", "CT"])
    def test_what_the_sender_hashed_passes(self, key: str) -> None:
        """Weakness 8: it is dropped, or its letters are."""
        assert (MARY.hexdigest(), []) == cell(key, MARY.hexdigest())

    def test_an_external_id_of_64_digits_can_be_sent_as_it_is(self) -> None:
        """Weakness 10: it is taken for a hash. Where ids are hashed it still is: the two cannot be told apart."""
        raw = MARY.hexdigest().upper()
        assert (raw, []) == cell("EXTERN_ID", raw, Policy(settings=replace(SETTINGS, hash_external_id=False)))
        assert (raw.lower(), []) == cell("EXTERN_ID", raw)

    def test_a_space_after_a_comma_is_no_part_of_a_key(self) -> None:
        """Weakness 11."""
        assert only_batch(table("EMAIL, PHONE", ["a@example.com", "+491701234567"])).schema == ("EMAIL", "PHONE")

    @pytest.mark.parametrize(
        ("value", "expected"),
        [
            pytest.param(94035, (sha256_hex("94035"), []), id="number"),
            pytest.param(94035.0, (sha256_hex("94035"), []), id="float"),
            pytest.param(True, ("", ["neither text nor number"]), id="boolean"),
            pytest.param({"zip": 94035}, ("", ["neither text nor number"]), id="object"),
            pytest.param([[94035]], ("", ["neither text nor number"]), id="list in a list"),
        ],
    )
    def test_numbers_are_read_and_what_cannot_be_is_reported(self, value: object, expected: object) -> None:
        """Weakness 12: all of them vanish without notice."""
        assert expected == cell("ZIP", value)

    def test_short_and_long_rows_are_rejected_and_the_others_sent(self) -> None:
        """Weakness 13: columns shift."""
        batches, report = build(
            table("EMAIL,FN", ["a@example.com"], ["b@example.com", "B"], ["c@example.com", "C", "x"])
        )
        assert [[1]] == [list(batch.numbers) for batch in batches]
        assert [(0, "too short"), (2, "too long")] == [(reject.row, reject.reason) for reject in report.rejects]

    def test_lower_case_keys_are_known(self) -> None:
        """Weakness 13."""
        assert only_batch({"user": {"email": "a@example.com"}}).schema == ("EMAIL",)

    def test_an_unknown_key_is_refused(self) -> None:
        """Weakness 13: it is hashed and sent."""
        with pytest.raises(InvalidRequestError):
            build({"user": {"EMAIL": "a@example.com", "MOBILE_ADVERTISER_ID": MADID}})

    def test_options_alone_name_nobody(self) -> None:
        """Weakness 14."""
        batches, report = build({"user": {"DATA_PROCESSING_OPTIONS": ["LDU"], "DATA_PROCESSING_OPTIONS_COUNTRY": 1}})
        assert ([], 1) == (batches, report.rejected_rows(None))

    @pytest.mark.parametrize("value", [None, -1])
    def test_a_value_that_is_missing_or_negative_is_not_sent(self, value: object) -> None:
        """Weakness 15."""
        batch = only_batch(table("EMAIL,LOOKALIKE_VALUE", ["a@example.com", value]))
        assert for_destination(batch, value_based=True, report=Report(), audience_id="23").rows == []

    @pytest.mark.parametrize("value", ["CA", "California", "us-ca", 1000, " 1000 "])
    def test_a_state_is_understood_in_any_form(self, value: object) -> None:
        """Weakness 16: CA becomes null."""
        assert (1000, []) == cell("DATA_PROCESSING_OPTIONS_STATE", value)

    @pytest.mark.parametrize(
        "body",
        [
            pytest.param({"user": {"EMAIL": "mary@example.com"}}, id="user"),
            pytest.param(table("EMAIL", ["mary@example.com"]), id="rows"),
            pytest.param(table("EMAIL", "mary@example.com"), id="flat values"),
            pytest.param({"users": [{"EMAIL": "mary@example.com"}]}, id="objects"),
        ],
    )
    def test_the_body_always_has_an_array_schema_and_nested_rows(self, body: dict[str, Any]) -> None:
        """Weakness 17: an audience keeps the form of its first request, and refuses the other (2650)."""
        expected = {"schema": ["EMAIL"], "data": [[MARY.hexdigest()]]}
        assert expected == orjson.loads(orjson.dumps(only_batch(body).payload()))


keys = st.sampled_from(sorted(AUDIENCE_KEYS))
schemas = st.lists(keys, min_size=1, max_size=4, unique=True).map(lambda known: (*known, "EMAIL"))
policies = st.builds(
    Policy,
    settings=settings_of_connections,
    minimum_identifiers=st.sampled_from([(), MINIMUM_IDENTIFIERS, (("EMAIL",), ("FN", "DOB"))]),
    data_processing=st.sampled_from([None, DataProcessing(options=("LDU",), country=1)]),
)
people_of_any_kind = schemas.flatmap(
    lambda schema: st.builds(
        People,
        st.just(schema),
        st.lists(st.lists(cells, min_size=len(schema), max_size=len(schema)) | json_values, min_size=1, max_size=6),
    )
)


@st.composite
def tables_with_a_cell(draw: st.DrawFn) -> tuple[People, People, int, str]:
    """Two tables that differ in one cell; its row and key."""
    schema = draw(schemas)
    rows = draw(st.lists(st.lists(cells, min_size=len(schema), max_size=len(schema)), min_size=1, max_size=5))
    number = draw(st.integers(0, len(rows) - 1))
    place = draw(st.integers(0, len(schema) - 1))
    changed = [list(row) for row in rows]
    changed[number][place] = draw(cells | json_values)
    return People(schema, rows), People(schema, changed), number, schema[place]


def built(people: People, policy: Policy, size: int = MAX_ROWS) -> tuple[list[Batch], Report]:
    report = Report()
    return list(build_batches(people, policy, report, size=size)), report


class TestLaws:
    @laws
    @given(people_of_any_kind, policies)
    def test_each_row_is_in_one_batch_or_rejected(self, people: People, policy: Policy) -> None:
        batches, report = built(people, policy)
        sent = [number for batch in batches for number in batch.numbers]
        rejected = [reject.row for reject in report.rejects if reject.field is None and not _is_extra(reject.reason)]
        assert list(range(len(people.rows))) == sorted(sent + rejected)
        assert len(rejected) == report.rejected_rows(None)

    @laws
    @given(people_of_any_kind, policies, st.integers(1, 6))
    def test_batches_of_a_schema_joined_are_its_rows_in_order(self, people: People, policy: Policy, size: int) -> None:
        batches, _ = built(people, policy, size)
        for schema in {batch.schema for batch in batches}:
            numbers = [number for batch in batches if batch.schema == schema for number in batch.numbers]
            assert sorted(numbers) == numbers
        assert all(0 < len(batch.rows) <= size and len(batch.rows) == len(batch.numbers) for batch in batches)
        assert all(len(row) == len(batch.schema) for batch in batches for row in batch.rows)

    @laws
    @given(people_of_any_kind, policies, st.integers(1, 6))
    def test_the_size_of_batches_changes_nothing_but_their_size(
        self, people: People, policy: Policy, size: int
    ) -> None:
        (whole, report), (parts, their_report) = built(people, policy), built(people, policy, size)
        assert _joined(whole) == _joined(parts)
        assert report.listed() == their_report.listed()
        assert (report.reasons, report.rows, set(report.warnings)) == (
            their_report.reasons,
            their_report.rows,
            set(their_report.warnings),
        )

    @laws
    @given(people_of_any_kind, policies)
    def test_what_has_to_be_hashed_is(self, people: People, policy: Policy) -> None:
        for batch in built(people, policy)[0]:
            for key, column in zip(batch.schema, zip(*batch.rows, strict=True), strict=True):
                if AUDIENCE_KEYS[key].hashed and (key != EXTERN_ID or policy.settings.hash_external_id):
                    assert [one for one in column if not re.fullmatch("([0-9a-f]{64})?", one)] == []
                    assert HASH_OF_NOTHING not in column

    @laws
    @given(people_of_any_kind, policies)
    def test_no_row_that_is_sent_has_an_empty_external_id(self, people: People, policy: Policy) -> None:
        ids = [
            row[place]
            for batch in built(people, policy)[0]
            for place, key in enumerate(batch.schema)
            if key == EXTERN_ID
            for row in batch.rows
        ]
        assert "" not in ids

    @laws
    @given(tables_with_a_cell(), policies)
    def test_a_cell_changes_no_other_row_and_no_other_cell(
        self, tables: tuple[People, People, int, str], policy: Policy
    ) -> None:
        one, other, number, changed = tables
        (batches, report), (their_batches, their_report) = built(one, policy), built(other, policy)
        sent, their_sent = as_sent(batches), as_sent(their_batches)
        mine, theirs = sent.pop(number, None), their_sent.pop(number, None)
        assert sent == their_sent
        assert [one for one in report.listed() if one["row"] != number] == [
            one for one in their_report.listed() if one["row"] != number
        ]
        # Phones, states and ZIP codes of the row are read by its own country.
        if mine is not None and theirs is not None and changed != "COUNTRY":
            columns = {"DOB": ("DOBY", "DOBM", "DOBD")}.get(changed, (changed,))
            assert [cell for cell in mine if cell[0] not in columns] == [
                cell for cell in theirs if cell[0] not in columns
            ]

    @laws
    @given(people_of_any_kind, policies)
    def test_what_is_sent_can_be_sent_again(self, people: People, policy: Policy) -> None:
        """Hashes pass, and so does each normal form."""
        again = replace(policy, data_processing=None)
        for batch in built(people, policy)[0]:
            rows = orjson.loads(orjson.dumps(batch.rows))
            batches, report = built(People(batch.schema, rows), again)
            assert [(batch.schema, batch.rows)] == [(one.schema, one.rows) for one in batches]
            assert report.rejects == []

    @laws
    @given(
        people_of_any_kind, policies, st.sampled_from(["{}zqx7", "zqx7@{}", "zqx7{}@x", "+49170{}zqx7", "1/2/19{}zqx7"])
    )
    def test_no_value_is_told(self, people: People, policy: Policy, canary: str) -> None:
        marked = People(people.schema, [_marked(row, canary) for row in people.rows])
        batches, report = built(marked, policy)
        told = [marked, batches, report, report.listed(), report.counted(None)]
        assert "zqx7" not in repr(told)

    @laws
    @given(people_of_any_kind, policies)
    def test_value_based_and_other_audiences_get_their_columns(self, people: People, policy: Policy) -> None:
        for batch in built(people, policy)[0]:
            plain = for_destination(batch, value_based=False, report=Report(), audience_id=None)
            assert LOOKALIKE_VALUE not in plain.schema
            assert list(batch.numbers) == list(plain.numbers)
            if LOOKALIKE_VALUE in batch.schema:
                report = Report()
                valued = for_destination(batch, value_based=True, report=report, audience_id="23")
                values = [row[valued.schema.index(LOOKALIKE_VALUE)] for row in valued.rows]
                assert [value for value in values if value is None or value < 0] == []
                assert len(batch.rows) == len(valued.rows) + report.rejected_rows("23")


def _is_extra(reason: str) -> bool:
    """Tell whether a reject without a field is of something that stood beside the row's cells."""
    return reason == "has no column in the schema"


def _joined(batches: Sequence[Batch]) -> dict[tuple[str, ...], list[tuple[int, tuple[Any, ...]]]]:
    joined: dict[tuple[str, ...], list[tuple[int, tuple[Any, ...]]]] = {}
    for batch in batches:
        joined.setdefault(batch.schema, []).extend(zip(batch.numbers, batch.rows, strict=True))
    return joined


def _marked(value: Any, canary: str) -> Any:
    """Return *value* with the canary in each of its texts, keys too."""
    if isinstance(value, str):
        return canary.replace("{}", value)
    if isinstance(value, list):
        return [_marked(one, canary) for one in value]
    if isinstance(value, dict):
        return {_marked(key, canary): _marked(one, canary) for key, one in value.items()}
    return value
