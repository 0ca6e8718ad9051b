from __future__ import annotations

import hashlib
import traceback
from typing import Any

import orjson
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from lib.errors import (
    GraphAPIError,
    InvalidAccessTokenError,
    MissingPermissionError,
    RateLimitError,
    TransientGraphAPIError,
)
from lib.graph_answers import MAX_WAIT, GraphAnswer, Usage, decipher_response

HTML = b"<!DOCTYPE html><html><body>Sorry, something went wrong.</body></html>"
FBTRACE_ID = "AbC1dEf2GhI3jKl4MnO5pQr"


def refused(http_status: int, body: object, headers: dict[str, str] | None = None) -> GraphAPIError:
    """Return the error that an answer means; *body* that is no bytes is sent as JSON."""
    with pytest.raises(GraphAPIError) as caught:
        decipher_response(http_status, headers or {}, body if isinstance(body, bytes) else orjson.dumps(body))
    return caught.value


def outcome_of(http_status: int, headers: dict[str, str], body: bytes) -> GraphAnswer | GraphAPIError:
    try:
        return decipher_response(http_status, headers, body)
    except GraphAPIError as error:
        return error


def throttled(headers: dict[str, str], *, subcode: int | None = None) -> float:
    error = refused(400, {"error": {"code": 613 if subcode else 4, "error_subcode": subcode}}, headers)
    assert isinstance(error, RateLimitError)
    return error.retry_after


def usage_of(headers: dict[str, str]) -> Usage:
    return decipher_response(200, headers, b"{}").usage


class TestAnswer:
    def test_users_added(self) -> None:
        body = {
            "audience_id": "23850000000000001",
            "session_id": 9778993,
            "num_received": 3,
            "num_invalid_entries": 1,
            "invalid_entry_samples": {'["",""]': "empty"},
        }
        answer = decipher_response(200, {"x-fb-trace-id": "H2yGxJHcJ5b"}, orjson.dumps(body))
        assert answer == GraphAnswer(
            http_status=200,
            body=body,
            fbtrace_id="H2yGxJHcJ5b",
            num_received=3,
            num_invalid_entries=1,
            invalid_entry_samples=('["",""]',),
            session_id=9778993,
        )

    def test_events_received(self) -> None:
        body = {"events_received": 2, "messages": [], "fbtrace_id": FBTRACE_ID}
        answer = decipher_response(200, {}, orjson.dumps(body))
        assert (answer.events_received, answer.fbtrace_id) == (2, FBTRACE_ID)

    @pytest.mark.parametrize(
        "body",
        [
            pytest.param({}, id="empty object"),
            pytest.param({"success": True}, id="success"),
            pytest.param({"error": None}, id="error null"),
            pytest.param({"error": False}, id="error false"),
            pytest.param({"success": None}, id="success null"),
        ],
    )
    def test_a_json_object_without_an_error_is_an_answer(self, body: dict[str, object]) -> None:
        assert decipher_response(201, {}, orjson.dumps(body)).body == body

    @pytest.mark.parametrize(
        ("value", "expected"),
        [
            pytest.param(7, 7, id="number"),
            pytest.param("7", 7, id="text"),
            pytest.param(7.0, 7, id="float"),
            pytest.param(7.5, None, id="fraction"),
            pytest.param(-1, None, id="negative"),
            pytest.param(True, None, id="boolean"),
            pytest.param("٧", None, id="digits of another script"),
            pytest.param(1e300, None, id="huge"),
            pytest.param([7], None, id="list"),
            pytest.param(None, None, id="null"),
        ],
    )
    def test_counts(self, value: object, expected: int | None) -> None:
        keys = ("num_received", "num_invalid_entries", "session_id", "events_received")
        answer = decipher_response(200, {}, orjson.dumps(dict.fromkeys(keys, value)))
        assert (answer.num_received, answer.session_id, answer.events_received) == (expected,) * 3
        assert answer.num_invalid_entries == (expected or 0)

    @pytest.mark.parametrize(
        ("samples", "expected"),
        [
            pytest.param(["a", "b"], ("a", "b"), id="list of texts"),
            pytest.param({"a": "why", "b": "why"}, ("a", "b"), id="map"),
            pytest.param([{"a": "why"}, "b", 3, None, ["c"]], ("a", "b"), id="list of all kinds"),
            pytest.param([str(number) for number in range(150)], tuple(map(str, range(100))), id="too many"),
            pytest.param("a", ("a",), id="one text"),
            pytest.param(3, (), id="number"),
            pytest.param(None, (), id="null"),
        ],
    )
    def test_samples(self, samples: object, expected: tuple[str, ...]) -> None:
        answer = decipher_response(200, {}, orjson.dumps({"invalid_entry_samples": samples}))
        assert answer.invalid_entry_samples == expected

    def test_what_may_hold_hashes_is_not_shown(self) -> None:
        digest = hashlib.sha256(b"ada@example.com").hexdigest()
        answer = decipher_response(200, {}, orjson.dumps({"invalid_entry_samples": [digest]}))
        assert digest not in repr(answer)

    def test_the_end_of_a_version_is_noticed(self) -> None:
        assert decipher_response(200, {"X-Ad-Api-Version-Warning": "v26.0 ends"}, b"{}").version_warning
        assert not decipher_response(200, {}, b"{}").version_warning


class TestNoAnswer:
    @pytest.mark.parametrize(
        ("http_status", "body", "expected"),
        [
            pytest.param(200, HTML, TransientGraphAPIError, id="200 HTML"),
            pytest.param(200, b"", TransientGraphAPIError, id="200 empty"),
            pytest.param(204, b"", TransientGraphAPIError, id="204"),
            pytest.param(200, b'{"num_received": 3', TransientGraphAPIError, id="200 truncated"),
            pytest.param(200, b"[]", TransientGraphAPIError, id="200 list"),
            pytest.param(200, b"true", TransientGraphAPIError, id="200 true"),
            pytest.param(200, b"null", TransientGraphAPIError, id="200 null"),
            pytest.param(200, b'{"success": false}', TransientGraphAPIError, id="200 no success"),
            pytest.param(200, b'{"error": {}}', TransientGraphAPIError, id="200 empty error"),
            pytest.param(200, b'{"error": "no"}', TransientGraphAPIError, id="200 error text"),
            pytest.param(200, b"[" * 100_000, TransientGraphAPIError, id="200 endless nesting"),
            pytest.param(200, b'{"a":' * 1_500 + b"1" + b"}" * 1_500, TransientGraphAPIError, id="200 deep"),
            pytest.param(200, b'{"a": NaN}', TransientGraphAPIError, id="200 NaN"),
            pytest.param(200, b"\xff\xfe{}", TransientGraphAPIError, id="200 not UTF-8"),
            pytest.param(302, b"", GraphAPIError, id="302 empty"),
            pytest.param(301, HTML, GraphAPIError, id="301 HTML"),
            pytest.param(304, b"{}", GraphAPIError, id="304 JSON"),
            pytest.param(400, HTML, TransientGraphAPIError, id="400 HTML"),
            pytest.param(400, b"", TransientGraphAPIError, id="400 empty"),
            pytest.param(400, b"{}", GraphAPIError, id="400 without an error"),
            pytest.param(401, HTML, InvalidAccessTokenError, id="401 HTML"),
            pytest.param(401, b"{}", InvalidAccessTokenError, id="401 without an error"),
            pytest.param(403, HTML, TransientGraphAPIError, id="403 HTML"),
            pytest.param(403, b"{}", MissingPermissionError, id="403 without an error"),
            pytest.param(404, b'{"success": false}', GraphAPIError, id="404 without an error"),
            pytest.param(408, HTML, TransientGraphAPIError, id="408 HTML"),
            pytest.param(429, HTML, RateLimitError, id="429 HTML"),
            pytest.param(429, b"", RateLimitError, id="429 empty"),
            pytest.param(429, b"{}", RateLimitError, id="429 without an error"),
            pytest.param(500, b"", TransientGraphAPIError, id="500 empty"),
            pytest.param(502, HTML, TransientGraphAPIError, id="502 HTML"),
            pytest.param(503, b"{}", TransientGraphAPIError, id="503 without an error"),
        ],
    )
    def test_class(self, http_status: int, body: bytes, expected: type[GraphAPIError]) -> None:
        error = refused(http_status, body, {"X-FB-Trace-ID": "H2yGxJHcJ5b"})
        assert type(error) is expected
        assert (error.http_status, error.code, error.fbtrace_id) == (http_status, None, "H2yGxJHcJ5b")

    def test_messages_tell_them_apart(self) -> None:
        bodies = (HTML, b"", b"[]", b'{"success": false}', b'{"error": {}}')
        assert len({refused(200, body).message for body in bodies}) == len(bodies)

    def test_the_body_is_in_no_traceback(self) -> None:
        error = refused(200, b"ada@example.com")
        assert error.__context__ is None
        assert "ada@" not in "".join(traceback.format_exception(error))


class TestError:
    def test_facts(self) -> None:
        error = refused(
            400,
            {
                "error": {
                    "message": "Unsupported post request. Object with ID '123' does not exist",
                    "type": "GraphMethodException",
                    "code": 100,
                    "error_subcode": 33,
                    "is_transient": False,
                    "fbtrace_id": FBTRACE_ID,
                }
            },
        )
        assert type(error) is GraphAPIError
        assert error.message == "Meta error 100/33: object missing or no permission"
        assert error.action is not None
        assert error.facts() == {
            "type": "GraphAPIError",
            "process": "send",
            "scope": "Graph API",
            "message": error.message,
            "action": error.action,
            "code": 100,
            "error_subcode": 33,
            "is_transient": False,
            "fbtrace_id": FBTRACE_ID,
        }

    @pytest.mark.parametrize("http_status", [200, 302, 400, 500])
    def test_an_error_object_decides_at_any_status(self, http_status: int) -> None:
        assert type(refused(http_status, {"error": {"code": 190}})) is InvalidAccessTokenError

    @pytest.mark.parametrize(
        ("stated", "code"),
        [
            pytest.param(190, 190, id="number"),
            pytest.param("190", 190, id="text"),
            pytest.param("-2", -2, id="negative text"),
            pytest.param(190.0, 190, id="float"),
            pytest.param(True, None, id="boolean"),
            pytest.param("OAuth", None, id="word"),
            pytest.param("491701234567", None, id="no code is as long"),
            pytest.param([190], None, id="list"),
            pytest.param({"code": 190}, None, id="object"),
        ],
    )
    def test_the_code_in_any_type(self, stated: object, code: int | None) -> None:
        error = refused(400, {"error": {"code": stated, "error_subcode": stated}})
        assert (error.code, error.error_subcode) == (code, code)

    @pytest.mark.parametrize(
        "error_data", ['{"blame_field_specs": [["data"]]}', {"blame_field_specs": [["data"]]}, "{", 3, [None]]
    )
    def test_error_data_in_any_type(self, error_data: object) -> None:
        error = refused(400, {"error": {"code": 100, "error_subcode": 2804009, "error_data": error_data}})
        assert error.message == "Meta error 100/2804009: a Purchase lacks its value"

    def test_a_subcode_alone(self) -> None:
        error = refused(400, {"error": {"error_subcode": 1870090}})
        assert type(error) is MissingPermissionError
        assert error.message == "Meta error 1870090: the Custom Audience terms are not accepted"

    @pytest.mark.parametrize(
        ("stated", "expected"),
        [
            (True, True),
            ("true", True),
            (False, False),
            ("false", False),
            ("yes", None),
            ([], None),
            (None, None),
        ],
    )
    def test_is_transient_in_any_type(self, stated: object, expected: bool | None) -> None:
        error = refused(400, {"error": {"code": 9876, "is_transient": stated}})
        assert error.is_transient is expected
        assert type(error) is (TransientGraphAPIError if expected else GraphAPIError)

    def test_rows_that_may_pass_in_smaller_requests(self) -> None:
        assert refused(500, {"error": {"code": 1, "error_subcode": 99}}).smaller
        assert refused(400, {"error": {"code": 105}}).smaller
        assert not refused(400, {"error": {"code": 100}}).smaller

    @pytest.mark.parametrize(
        "message",
        [
            "API calls from the server require an appsecret_proof argument",
            "Invalid appsecret_proof provided in the API argument",
        ],
    )
    def test_a_missing_or_wrong_proof_waits_for_a_person(self, message: str) -> None:
        stated = {"code": 100, "message": message}
        error = refused(400, {"error": stated | {"type": "GraphMethodException"}})
        assert type(error) is InvalidAccessTokenError
        assert error.action is not None
        assert "app_secret" in error.action
        assert type(refused(400, {"error": stated | {"type": "OAuthException"}})) is GraphAPIError

    @pytest.mark.parametrize(
        ("title", "kept"),
        [
            pytest.param("Missing Event Name", True, id="words"),
            pytest.param("Invalid parameter: the event's time (late)!", True, id="punctuation"),
            pytest.param("Ungültiger Parameter", True, id="another language"),
            pytest.param("Row 3 is wrong", False, id="digit"),
            pytest.param("Row ³ is wrong", False, id="raised digit"),
            pytest.param("Ask ada@example", False, id="at sign"),
            pytest.param("ada.lovelace.example.com", False, id="dots within a word"),
            pytest.param("EAAB" + "x" * 60, False, id="long word"),
            pytest.param("word " * 17, False, id="too long"),
            pytest.param("two\nlines", False, id="two lines"),
            pytest.param("", False, id="empty"),
            pytest.param(["Missing"], False, id="list"),
        ],
    )
    def test_the_title_of_a_vague_error_is_kept_if_it_is_mere_words(self, title: object, kept: bool) -> None:
        error = refused(400, {"error": {"code": 100, "error_subcode": 2804019, "error_user_title": title}})
        plain = "Meta error 100/2804019: an event is not valid"
        assert error.message == (f"{plain} ({title})" if kept else plain)

    def test_the_title_of_a_clear_error_is_not_needed(self) -> None:
        error = refused(400, {"error": {"code": 100, "error_subcode": 33, "error_user_title": "Not Found"}})
        assert "Not Found" not in error.message

    @pytest.mark.parametrize(
        ("stated", "header", "expected"),
        [
            pytest.param(FBTRACE_ID, "H2yGxJHcJ5b", FBTRACE_ID, id="body before header"),
            pytest.param(None, "H2yGxJHcJ5b", "H2yGxJHcJ5b", id="header"),
            pytest.param("ada@example.com", "H2yGxJHcJ5b", "H2yGxJHcJ5b", id="address"),
            pytest.param("491701234567", "+491701234567", None, id="phone"),
            pytest.param("030-123-45", "030", None, id="digits and dashes"),
            pytest.param(hashlib.sha256(b"x").hexdigest(), "0f" * 20, None, id="digests"),
            pytest.param("EAABsbCS1iHgBAKZC" * 3, "", None, id="token"),
            pytest.param("A" * 65, "A B", None, id="too long"),
            pytest.param(7, "A\n", None, id="number"),
        ],
    )
    def test_fbtrace_id(self, stated: object, header: str, expected: str | None) -> None:
        headers = {"x-fb-trace-id": header}
        assert refused(400, {"error": {"code": 100, "fbtrace_id": stated}}, headers).fbtrace_id == expected
        assert decipher_response(200, headers, orjson.dumps({"fbtrace_id": stated})).fbtrace_id == expected


class TestUsage:
    def test_documented_example(self) -> None:
        header = (
            '{"123": [{"type": "custom_audience", "call_count": 28, "total_cputime": 25, "total_time": 25,'
            ' "estimated_time_to_regain_access": 19, "ads_api_access_tier": "standard_access"}]}'
        )
        assert usage_of({"X-Business-Use-Case-Usage": header}) == Usage(percent=28, regain_seconds=19 * 60.0)

    @pytest.mark.parametrize(
        ("headers", "expected"),
        [
            pytest.param({}, Usage(), id="nothing"),
            pytest.param(
                {
                    "x-business-use-case-usage": {
                        "1": [{"type": "ads_management", "total_time": 40}],
                        "2": [
                            {"type": "ads_insights", "call_count": 99, "estimated_time_to_regain_access": 9},
                            {"type": "custom_audience", "call_count": 41.9},
                        ],
                    }
                },
                Usage(percent=41),
                id="of ours the highest",
            ),
            pytest.param(
                {"x-business-use-case-usage": {"1": [{"type": "pages", "call_count": 99}, {"call_count": 3}]}},
                Usage(percent=99),
                id="none is ours",
            ),
            pytest.param({"x-app-usage": {"call_count": 1, "total_cputime": 5}}, Usage(percent=5), id="app"),
            pytest.param(
                {"x-ad-account-usage": {"acc_id_util_pct": 9.67, "reset_time_duration": 500}},
                Usage(percent=9),
                id="account with room",
            ),
            pytest.param(
                {"x-ad-account-usage": {"acc_id_util_pct": 100, "reset_time_duration": 500}},
                Usage(percent=100, regain_seconds=500.0),
                id="account used up",
            ),
            pytest.param(
                {
                    "x-business-use-case-usage": {
                        "1": [
                            {"type": "custom_audience", "estimated_time_to_regain_access": 3},
                            {"type": "custom_audience", "estimated_time_to_regain_access": 7},
                        ]
                    },
                    "x-app-usage": {"call_count": 120},
                    "x-ad-account-usage": {"acc_id_util_pct": 101, "reset_time_duration": 60},
                },
                Usage(percent=120, regain_seconds=420.0),
                id="the longest wait and the highest share of all",
            ),
            pytest.param(
                {
                    "x-business-use-case-usage": {
                        "1": [{"type": "custom_audience", "estimated_time_to_regain_access": 10_000}]
                    }
                },
                Usage(regain_seconds=MAX_WAIT),
                id="no wait is longer than a day",
            ),
        ],
    )
    def test_headers(self, headers: dict[str, object], expected: Usage) -> None:
        assert usage_of({name: orjson.dumps(value).decode() for name, value in headers.items()}) == expected

    @pytest.mark.parametrize("name", ["X-App-Usage", "X-Ad-Account-Usage", "X-Business-Use-Case-Usage"])
    @pytest.mark.parametrize(
        "value",
        [
            "",
            "28",
            "{",
            "null",
            "[]",
            "[[]]",
            '{"call_count": NaN, "acc_id_util_pct": NaN}',
            '{"call_count": 1e999}',
            '{"call_count": 1e300, "acc_id_util_pct": 123456789012345678901234567890}',
            '{"call_count": -5, "total_time": "9", "total_cputime": true, "acc_id_util_pct": [100]}',
            '{"1": null, "2": 3, "3": {"type": "custom_audience", "call_count": 9}, "4": [null, [], 3]}',
            '{"1": [{"type": ["pages"], "call_count": {}, "estimated_time_to_regain_access": "9"}]}',
            '{"1": [{"type": "custom_audience", "estimated_time_to_regain_access": 1e15}]}',
            "[" * 5_000,
            "\ud800",
        ],
    )
    def test_a_broken_header_counts_as_absent(self, name: str, value: str) -> None:
        assert usage_of({name: value}) == Usage()


class TestWait:
    @pytest.mark.parametrize(
        ("headers", "subcode", "seconds"),
        [
            pytest.param({}, None, 60.0, id="nothing stated"),
            pytest.param({}, 1487742, 300.0, id="the table"),
            pytest.param({"Retry-After": "30"}, 1487742, 30.0, id="Retry-After"),
            pytest.param({"retry-after": " 90 "}, None, 90.0, id="in lower case, with spaces"),
            pytest.param({"Retry-After": "0"}, None, 60.0, id="zero says nothing"),
            pytest.param({"Retry-After": "Wed, 21 Oct 2026 07:28:00 GMT"}, None, 60.0, id="a date is not read"),
            pytest.param({"Retry-After": "-5"}, None, 60.0, id="negative"),
            pytest.param({"Retry-After": "999999"}, None, MAX_WAIT, id="no longer than a day"),
            pytest.param({"Retry-After": "9" * 400}, None, 60.0, id="huge"),
            pytest.param(
                {
                    "Retry-After": "30",
                    "X-Business-Use-Case-Usage": '{"1": [{"type": "custom_audience",'
                    ' "estimated_time_to_regain_access": 19}]}',
                },
                1487742,
                19 * 60.0,
                id="the usage headers first",
            ),
        ],
    )
    def test_seconds(self, headers: dict[str, str], subcode: int | None, seconds: float) -> None:
        assert throttled(headers, subcode=subcode) == seconds

    def test_a_bare_429_waits_too(self) -> None:
        error = refused(429, b"", {"Retry-After": "7"})
        assert isinstance(error, RateLimitError)
        assert error.retry_after == 7.0


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda children: st.lists(children, max_size=4) | st.dictionaries(st.text(max_size=8), children, max_size=4),
    max_leaves=12,
)
ERROR_KEYS = [
    "message",
    "type",
    "code",
    "error_subcode",
    "is_transient",
    "error_user_title",
    "error_data",
    "fbtrace_id",
]
ANSWER_KEYS = [
    *("error", "success", "fbtrace_id", "num_received", "num_invalid_entries", "invalid_entry_samples"),
    *("session_id", "events_received"),
]
HEADER_NAMES = [
    *("X-App-Usage", "x-ad-account-usage", "X-Business-Use-Case-Usage", "Retry-After", "x-fb-trace-id"),
    "X-Ad-Api-Version-Warning",
]
ANSWERS = st.dictionaries(st.sampled_from(ANSWER_KEYS), JSON | st.dictionaries(st.sampled_from(ERROR_KEYS), JSON))
HEADERS = st.dictionaries(
    st.sampled_from(HEADER_NAMES) | st.text(),
    st.text(st.characters(codec=None)) | JSON.map(lambda value: orjson.dumps(value).decode()),
)


class TestAnything:
    @given(
        http_status=st.integers(-1, 1000),
        headers=HEADERS,
        body=st.binary() | JSON.map(orjson.dumps) | ANSWERS.map(orjson.dumps),
    )
    @example(http_status=200, headers={"": ""}, body=b'{"error": {"code": 1e308}}')
    def test_is_an_answer_or_an_error_of_meta(self, http_status: int, headers: dict[str, str], body: bytes) -> None:
        outcome = outcome_of(http_status, headers, body)
        if isinstance(outcome, GraphAnswer):
            assert 200 <= http_status < 300
            assert 0 <= outcome.usage.regain_seconds <= MAX_WAIT
        elif isinstance(outcome, RateLimitError):
            assert 0 < outcome.retry_after <= MAX_WAIT
        else:
            assert outcome.facts()["message"]


CANARIES = [
    pytest.param("ada.lovelace@example.com", id="e-mail"),
    pytest.param("Row of ada@example.com is wrong", id="e-mail in a sentence"),
    pytest.param("+49 170 1234567", id="phone"),
    pytest.param("491701234567", id="digits"),
    pytest.param(hashlib.sha256(b"ada.lovelace@example.com").hexdigest(), id="hash"),
    pytest.param(hashlib.sha256(b"ada.lovelace@example.com").hexdigest().upper(), id="hash in upper case"),
    pytest.param("f47ac10b58cc4372a5670e02b2c3d479", id="MD5"),
    pytest.param("EAABsbCS1iHgBAKZCq3ZAr8cXbT0ZBvYw5LhN2eJkPdFgR7uMxVo9iSt", id="token"),
    pytest.param("EAABsbCSiHgBAKZCqZArcXbTZBvYwLhNeJkPdFgRuMxVoiSt", id="token of letters"),
]


class TestPrivacy:
    @pytest.mark.parametrize("canary", CANARIES)
    @pytest.mark.parametrize("http_status", [200, 400, 500])
    @pytest.mark.parametrize(
        ("code", "subcode"),
        [(100, None), (100, 2804019), (100, 33), (9876, None), (190, 463), (4, None), (None, None)],
    )
    def test_no_text_of_meta_carries_a_value_into_an_error(
        self, canary: str, http_status: int, code: int | None, subcode: int | None
    ) -> None:
        texts: dict[str, Any] = dict.fromkeys(
            ("message", "error_user_title", "error_user_msg", "type", "fbtrace_id", "is_transient"), canary
        )
        for error_data in (canary, {"blame_field_specs": [[canary]]}, orjson.dumps({"a": canary}).decode()):
            body = {
                "error": {"code": code, "error_subcode": subcode, "error_data": error_data} | texts,
                "fbtrace_id": canary,
                canary: canary,
            }
            error = refused(http_status, body, {"x-fb-trace-id": canary, "Retry-After": canary})
            shown = [str(error), repr(error), str(error.facts()), repr(vars(error))]
            assert not [text for text in shown if canary in text]
            assert canary not in "".join(traceback.format_exception(error))

    @pytest.mark.parametrize("canary", CANARIES)
    @pytest.mark.parametrize("template", ["{}", '"{}"', '{{"error": "{}"}}', '{{"error": ["{}"]}}', "<p>{}</p>"])
    def test_nor_does_a_body_without_an_error_object(self, canary: str, template: str) -> None:
        error = refused(400, template.format(canary).encode())
        assert canary not in repr(vars(error)) + repr(error)
