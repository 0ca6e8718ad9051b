"""Whom an event is about, as far as it says itself; and what is added where somebody is recognised."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from hashlib import sha256
from typing import Any, Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lib.common_event import CommonEvent
from lib.identity import (
    Identifiers,
    Identity,
    additions,
    as_fbc,
    facts_of,
    first_key,
    for_audience,
    identifiers_of,
    in_user_data,
    keys_of,
    person_id,
    shared_keys,
)
from lib.identity_settings import FIELDS, Enrichment
from lib.normalization import Settings
from tests.german_purchase import PURCHASE, flattened
from tests.strategies import json_values

READING: Final = Settings(today=date(2026, 1, 1), default_country="de")
NOW: Final = 1_800_000_000
DAY: Final = 86_400


def digest(text: str) -> str:
    return sha256(text.encode()).hexdigest()


def who(event: Mapping[str, Any] | None = None, **more: Any) -> Identifiers:
    arguments: dict[str, Any] = {"overrides": {}, "cookies": {}, "settings": READING}
    return identifiers_of(CommonEvent(event or {}), **arguments | more)


ADA: Final = digest("ada@example.com")
PHONE: Final = digest("491701234567")


class TestIdentifiers:
    @pytest.mark.parametrize("event", [PURCHASE, flattened(PURCHASE)], ids=["nested", "flattened"])
    def test_of_a_shops_event(self, event: Mapping[str, Any]) -> None:
        found = who(event)
        assert {"client_id": "1093847561.1769853600"} == found.devices
        assert {
            "external_id": (digest("cust-88213"),),
            "em": (digest("jana.muster@example.com"),),
            "ph": (digest("491701234567"),),
        } == found.persons
        assert {"em": "jana.muster@example.com", "ph": "491701234567"} == found.clear
        assert "purchase" == found.event_name

    @pytest.mark.parametrize(
        ("event", "more", "devices"),
        [
            pytest.param({"client_id": "1.1"}, {}, {"client_id": "1.1"}, id="Google's id of the browser"),
            pytest.param({"x-ga-mp2-data[client_id]": "1.1"}, {}, {"client_id": "1.1"}, id="the same, elsewhere"),
            pytest.param({"client_id": 17.0}, {}, {"client_id": "17"}, id="a number"),
            pytest.param({"_fbp": "fb.1.1.2"}, {}, {"fbp": "fb.1.1.2"}, id="Meta's id of the browser"),
            pytest.param({"_fbp": "fb.1.1.2"}, {"cookies": {"_fbp": "fb.1.9.9"}}, {"fbp": "fb.1.9.9"}, id="its cookie"),
            pytest.param(
                {"_fbp": "fb.1.1.2"}, {"overrides": {"fbp": "fb.1.5.5"}}, {"fbp": "fb.1.5.5"}, id="the caller's"
            ),
            pytest.param({"app_instance_id": "a1"}, {}, {"device_id": "a1"}, id="an app's installation"),
            pytest.param({"madid": "38400000-8cf0"}, {}, {"madid": "38400000-8cf0"}, id="a mobile advertiser id"),
            pytest.param({}, {"anonymous_id": " v-1 "}, {"anonymous_id": "v-1"}, id="one that the caller states"),
            pytest.param(
                {"visitor": {"id": "v-2"}},
                {"anonymous_path": "visitor.id"},
                {"anonymous_id": "v-2"},
                id="one by its path",
            ),
            pytest.param(
                {"visitor": {"id": "v-2"}},
                {"anonymous_path": "visitor.id", "anonymous_id": "v-1"},
                {"anonymous_id": "v-1"},
                id="the caller's before the event's",
            ),
            pytest.param({"client_id": "0", "madid": "00000000-0000-0000-0000-000000000000"}, {}, {}, id="zeros"),
            pytest.param({"client_id": "Anonymous"}, {"anonymous_id": "undefined"}, {}, id="words for nobody"),
            pytest.param({"client_id": "x" * 3_000}, {}, {}, id="what is too long for an id"),
            pytest.param({"client_id": {"a": 1}}, {}, {}, id="what is no text"),
        ],
    )
    def test_of_a_device(self, event: dict[str, Any], more: dict[str, Any], devices: dict[str, str]) -> None:
        assert devices == who(event, **more).devices

    @pytest.mark.parametrize(
        ("event", "persons"),
        [
            pytest.param({"email": " ADA@example.com "}, {"em": (ADA,)}, id="an e-mail"),
            pytest.param({"email": ADA.upper()}, {"em": (ADA,)}, id="its hash"),
            pytest.param({"email": ADA + ".AQ"}, {"em": (ADA,)}, id="its hash with the Parameter Builder's mark"),
            pytest.param({"email": ["ada@example.com"] * 2}, {"em": (ADA,)}, id="twice the same"),
            pytest.param({"phone": "0170 1234567"}, {"ph": (PHONE,)}, id="a national phone"),
            pytest.param({"user_id": " c-1 "}, {"external_id": (digest("c-1"),)}, id="a customer number"),
            pytest.param({"user_id": 7}, {"external_id": (digest("7"),)}, id="a short one"),
            pytest.param({"email": "ada"}, {}, id="no address"),
            pytest.param({"email": digest("")}, {}, id="the hash of nothing"),
            pytest.param({"email": digest("Undefined")}, {}, id="the hash of a word for nothing"),
            pytest.param({"user_id": digest("null")}, {}, id="another"),
            pytest.param({"email": "Service@example.com"}, {}, id="a role's mailbox"),
            pytest.param({"phone": "+49 1111111111"}, {}, id="one digit only"),
            pytest.param({"user_id": "00000"}, {}, id="zeros"),
        ],
    )
    def test_of_a_person(self, event: dict[str, Any], persons: dict[str, tuple[str, ...]]) -> None:
        assert persons == who(event).persons

    def test_of_a_national_phone_in_the_events_own_country(self) -> None:
        assert who({"phone": "+33 1 70 12 34 56"}).persons == who({"phone": "01 70 12 34 56", "country": "FR"}).persons

    def test_of_an_audiences_user(self) -> None:
        person = {"EMAIL": ["ada@example.com"], "EXTERN_ID": ["c-1"], "FI": ["a"], "PAGEUID": ["5"]}
        assert {"em": ["ada@example.com"], "external_id": ["c-1"]} == in_user_data(person)

    def test_nothing_of_them_stands_in_their_repr(self) -> None:
        shown = repr(who(PURCHASE, anonymous_id="v-1"))
        assert [] == [text for text in ("jana", "1093847561", "v-1", "4917", digest("cust-88213")) if text in shown]

    @settings(deadline=None)
    @given(st.dictionaries(st.sampled_from(["email", "phone", "user_id", "client_id", "_fbp", "country"]), json_values))
    def test_any_event_names_somebody_or_nobody(self, event: dict[str, Any]) -> None:
        found = who(event)
        assert all(len(one) == 64 for digests in found.persons.values() for one in digests)


class TestKeys:
    def test_those_of_devices_are_hashed_with_the_secret_and_come_first(self) -> None:
        found = Identifiers(devices={"client_id": "1.1"}, persons={"em": (ADA,)})
        one, other = keys_of(found, b"one"), keys_of(found, b"other")
        assert (f"em:{ADA}", one[1]) == (one[1], other[1])
        assert one[0] != other[0]
        assert digest("client_id:1.1")[:32] not in one[0]

    def test_shared_values_are_known_in_each_form(self) -> None:
        shared = shared_keys(["Familie@Example.com", "030 12345678", " "], b"s", [READING])
        for event in ({"email": "familie@example.com"}, {"phone": "+49 30 12345678"}, {"client_id": "030 12345678"}):
            assert () == keys_of(who(event), b"s", shared)

    def test_a_person_is_named_by_the_best_of_what_is_known(self) -> None:
        assert "external_id:1" == first_key(["client_id:1", "em:a", "external_id:1"])

    def test_an_id_is_the_same_for_the_same_secret_and_tells_nothing(self) -> None:
        assert person_id(b"s", "em:a") == person_id(b"s", "em:a") != person_id(b"t", "em:a")
        assert [8, 4, 4, 4, 12] == list(map(len, person_id(b"s", "em:a").split("-")))


KNOWN: Final = Identity(
    source="graph",
    outcome="hit",
    person_id="p-1",
    fields={"em": "e", "ph": "p", "fn": "f", "external_id": "x"},
    clicks=[(NOW - 40 * DAY, "fb.1.1.A"), (NOW - 5 * DAY, "fb.1.2.B"), (NOW - DAY, "fb.1.3.C"), (NOW + 1, "fb.1.4.D")],
)


def added(stated: Mapping[str, object] | None = None, *, hash_ids: bool = True, **wanted: Any) -> dict[str, object]:
    return additions(stated or {}, KNOWN, Enrichment(**wanted), hash_external_id=hash_ids, time=NOW)


class TestAdditions:
    def test_are_what_is_missing_and_wanted(self) -> None:
        assert {"em": ["e"], "ph": ["p"], "fn": ["f"], "external_id": ["x", digest("p-1")]} == added()
        assert {"em": ["e"]} == added(fields=("em",), external_id=False)
        assert {} == added(fields=(), external_id=False)

    def test_never_replace_what_is_stated(self) -> None:
        stated = {key: ["own"] for key in (*FIELDS, "external_id")} | {"fbc": "fb.1.1.Own"}
        assert {} == added(stated, fbc="last")

    def test_of_a_connection_that_sends_ids_as_they_are(self) -> None:
        assert ["p-1"] == added(hash_ids=False)["external_id"]

    @pytest.mark.parametrize(
        ("fbc", "days", "expected"),
        [
            ("none", 90, None),
            ("last", 90, "fb.1.3.C"),
            ("first", 90, "fb.1.1.A"),
            ("first", 30, "fb.1.2.B"),
            ("last", 1, "fb.1.3.C"),
        ],
    )
    def test_of_the_clicks_one_that_is_old_and_young_enough(self, fbc: str, days: int, expected: str | None) -> None:
        assert expected == added(fbc=fbc, look_back_days=days).get("fbc")

    def test_to_an_audience_are_hashes_and_the_id(self) -> None:
        assert {"EMAIL": ["e"], "PHONE": ["p"], "FN": ["f"], "EXTERN_ID": ["p-1"]} == for_audience(
            KNOWN, {}, Enrichment()
        )
        assert {"FN": ["f"]} == for_audience(
            KNOWN, {"EMAIL": ["a@b.c"], "PHONE": ["1"], "EXTERN_ID": ["1"]}, Enrichment()
        )

    def test_a_date_of_birth_has_no_column_in_an_audience(self) -> None:
        born = Identity(source="graph", outcome="hit", fields={"db": "d"})
        assert {} == for_audience(born, {}, Enrichment())


class TestFacts:
    def test_are_hashes_without_a_mark_and_nothing_else(self) -> None:
        user_data = {"em": ["e"], "fn": [ADA + ".AQ"], "ct": ["c", "d"], "fbc": "fb.1.1.A", "ln": [], "st": "plain"}
        assert {"fn": ADA, "ct": "c"} == facts_of(user_data)


class TestFbc:
    @pytest.mark.parametrize(
        ("click", "expected"),
        [
            ("fb.1.1767225600000.IwAR_x", "fb.1.1767225600000.IwAR_x"),
            ("IwAR_x", "fb.1.1800000000000.IwAR_x"),
            ("", ""),
            ("two words", ""),
            ("fb.1.x", "fb.1.1800000000000.fb.1.x"),
        ],
    )
    def test_is_kept_or_made_in_metas_form(self, click: str, expected: str) -> None:
        assert expected == as_fbc(click, NOW)
