"""The Omni protocol: what is asked, and whom an answer names, whatever it holds."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from datetime import date
from hashlib import sha256
from typing import Any, Final

import orjson
import pytest
from hypothesis import given

from lib.errors import (
    IdentityAnswerError,
    IdentityError,
    IdentityMismatchError,
    IdentityRefusedError,
    IdentityUnreachableError,
)
from lib.identity import Identifiers
from lib.identity_settings import DEFAULT_SENT, SENT
from lib.normalization import Settings
from lib.omni_protocol import pause_s, read_answer, request_body
from tests.strategies import json_values

UUID: Final = "5f0c2f6e-2b9f-4a57-9d1a-0c0ffee00001"
SETTINGS: Final = Settings(today=date(2026, 1, 1))
ADA: Final = sha256(b"ada@example.com").hexdigest()
WHOLE: Final = Identifiers(
    devices={"anonymous_id": "anon-1", "client_id": "1.1"},
    persons={"em": (ADA,), "ph": ("5" * 64,)},
    clear={"em": "ada@example.com", "ph": "491701234567"},
    fbc="fb.1.5.Click",
    event_name="purchase",
)


def told(identifiers: Identifiers, *send: str, with_journal: bool = False) -> dict[str, Any] | None:
    body = request_body(identifiers, send or DEFAULT_SENT, with_journal=with_journal)
    return None if body is None else orjson.loads(body)


class TestRequest:
    def test_of_all_fields(self) -> None:
        assert {
            "platform": "meta-relay",
            "count_prev_visits": True,
            "anonymous_id": "anon-1",
            "email": "ada@example.com",
            "phone": "491701234567",
            "fbclid": "fb.1.5.Click",
            "valuation_properties": {"action": "purchase"},
        } == told(WHOLE, *SENT)

    def test_no_clear_text_unless_it_is_switched_on(self) -> None:
        body = told(WHOLE, "anonymous_id", "hashed_email", "hashed_phone", "fbclid", "event_name")
        assert (ADA, "5" * 64) == ((body or {})["email"], (body or {})["phone"])

    def test_the_client_id_where_no_other_is_stated(self) -> None:
        assert "1.1" == (told(Identifiers(devices={"client_id": "1.1"})) or {})["anonymous_id"]

    def test_without_the_count_of_visits_it_asks_for_the_journal(self) -> None:
        assert "count_prev_visits" not in (told(WHOLE, with_journal=True) or {})

    @pytest.mark.parametrize(
        ("identifiers", "send"),
        [(Identifiers(), ()), (WHOLE, ("hashed_phone", "fbclid")), (Identifiers(fbc="fb.1.5.Click"), SENT)],
        ids=["nobody", "nothing that names anybody is allowed", "a click alone"],
    )
    def test_nobody_is_asked_about_who_cannot_be_named(self, identifiers: Identifiers, send: tuple[str, ...]) -> None:
        assert told(identifiers, *send) is None


def read(data: Mapping[str, Any] | None = None, *, status: int = 200, body: bytes | None = None) -> Any:
    raw = orjson.dumps({"success": True, "data": {"uuid": UUID} | dict(data or {})}) if body is None else body
    return read_answer(status, raw, Identifiers(), SETTINGS)


class TestAnswer:
    @pytest.mark.parametrize(
        ("data", "outcome"),
        [
            ({}, "miss"),
            ({"count_prev_visits": 0}, "miss"),
            ({"count_prev_visits": 1}, "hit"),
            ({"email": "ada@example.com"}, "hit"),
            ({"journal": []}, "miss"),
            ({"journal": [{"created_at": "2026-01-01T00:00:00Z"}]}, "hit"),
        ],
    )
    def test_a_hit_is_somebody_who_was_there_before(self, data: Mapping[str, Any], outcome: str) -> None:
        assert (UUID, outcome) == ((identity := read(data)).person_id, identity.outcome)

    @pytest.mark.parametrize("email", [" Ada@Example.com ", ADA, ADA.upper()])
    def test_an_email_is_normalized_before_it_is_hashed(self, email: str) -> None:
        assert {"em": ADA} == read({"email": email}).fields

    @pytest.mark.parametrize("email", [None, "", 5, "ada", [], "info@example.com", sha256(b"").hexdigest()])
    def test_what_is_no_email_of_one_person_is_left_out(self, email: object) -> None:
        assert {} == read({"email": email}).fields

    @pytest.mark.parametrize("descending", [True, False], ids=["newest first, as said", "oldest first, as seen"])
    def test_a_journal_is_read_in_the_order_of_its_own_times(self, *, descending: bool) -> None:
        entries = [
            {"created_at": "2026-01-01T00:00:00.000001Z", "email": "old@example.com", "fbclid": "A"},
            {"created_at": "2026-01-02T12:00:00.5+02:00", "email": "no address", "fbclid": "fb.1.1767348000000.B"},
            {"created_at": "2026-01-03T00:00:00", "email": "ada@example.com"},
            {"created_at": "2026-01-04T00:00:00Z", "fbclid": "with spaces in it"},
        ]
        identity = read({"journal": entries[::-1] if descending else entries})
        assert {"em": ADA} == identity.fields
        assert [(1767225600, "fb.1.1767225600000.A"), (1767348000, "fb.1.1767348000000.B")] == list(identity.clicks)

    def test_of_a_journal_what_cannot_be_read_is_left_out(self) -> None:
        entries = [5, None, {}, {"created_at": 5}, {"created_at": "yesterday"}, {"created_at": "0001-01-01T00:00:00Z"}]
        assert [] == list(read({"journal": [*entries, {"created_at": "2026-01-01T00:00:00Z", "fbclid": 5}]}).clicks)

    @pytest.mark.parametrize(
        ("status", "error"),
        [
            (400, IdentityRefusedError), (401, IdentityRefusedError), (403, IdentityRefusedError),
            (302, IdentityUnreachableError), (404, IdentityUnreachableError), (429, IdentityUnreachableError),
            (500, IdentityUnreachableError), (503, IdentityUnreachableError),
        ],
    )  # fmt: skip
    def test_a_status_says_what_kind_of_failure_it_is(self, status: int, error: type[IdentityError]) -> None:
        with pytest.raises(error, match=str(status)):
            read(status=status)

    @pytest.mark.parametrize(
        "body",
        [
            b"",
            b"<html>",
            b"[]",
            b"{}",
            b'{"data": null}',
            b'{"data": []}',
            b'{"data": {}}',
            b'{"success": "true", "data": {"uuid": "5f0c2f6e-2b9f"}}',
            b'{"success": false, "error": {"message": "ada@example.com is unknown", "code": "x"}}',
            b'{"success": false, "error": "ada@example.com"}',
            b'{"data": {"uuid": 5}}',
            b'{"data": {"uuid": ""}}',
            b'{"data": {"uuid": "491701234567"}}',
            b'{"data": {"uuid": "ada@example.com"}}',
            b'{"data": {"uuid": "a b c d e f g h"}}',
            b'{"data": {"uuid": "' + b"a" * 129 + b'"}}',
        ],
    )
    def test_one_that_is_none_is_an_error_that_repeats_nothing_of_it(self, body: bytes) -> None:
        with pytest.raises(IdentityAnswerError) as caught:
            read(body=body)
        assert "@" not in caught.value.message
        assert "4917" not in caught.value.message

    def test_one_about_another_email_than_the_events_is_refused(self) -> None:
        body = orjson.dumps({"data": {"uuid": UUID, "email": "eve@example.com"}})
        with pytest.raises(IdentityMismatchError):
            read_answer(200, body, WHOLE, SETTINGS)

    @given(json_values)
    def test_any_json_names_somebody_or_is_an_error(self, value: Any) -> None:
        for body in (value, {"data": value}, {"data": {"uuid": UUID, "journal": value, "email": value}}):
            with contextlib.suppress(IdentityError):
                assert read_answer(200, orjson.dumps(body), WHOLE, SETTINGS).person_id == UUID


class TestPause:
    @pytest.mark.parametrize(
        ("headers", "seconds"),
        [
            ({}, 0.0),
            ({"X-RateLimit-Remaining": "5", "X-RateLimit-Reset": "60"}, 0.0),
            ({"X-RateLimit-Remaining": "0"}, 0.0),
            ({"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": "60"}, 60.0),
            ({"x-ratelimit-remaining": "0", "x-ratelimit-reset": "1800000030"}, 30.0),
            ({"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": "1799999990"}, 0.0),
            ({"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": "99999"}, 300.0),
            ({"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": "soon"}, 0.0),
        ],
    )
    def test_lasts_until_the_allowance_is_there_again(self, headers: Mapping[str, str], seconds: float) -> None:
        assert seconds == pause_s(headers, now=1_800_000_000)
