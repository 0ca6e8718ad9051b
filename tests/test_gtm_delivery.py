"""
The tag and the relay held together: the requests that the tag really makes go through the real functions to Meta.

`tests/data/gtm_requests.json` holds them as the tag's own tests print them; `test_gtm.py` sees to it that they are
current. Each set-up is there three times: published, signed, and with a key in a header.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final
from urllib.parse import urlsplit

import orjson
import pytest

from lib import bootstrap
from lib.handlers import HTTPAnswer, HTTPRequest, Message, Relay
from tests.functions import Functions
from tests.identity_service import IdentityService
from tests.local.stack import ACCOUNT, DATASET, GATHERING, OTHER_DATASET, ROOT, Stack, secret
from tests.manual_clock import ManualClock

# Of functions-framework, from Python 3.12 on.
pytestmark = pytest.mark.filterwarnings("ignore:datetime.datetime.utcnow:DeprecationWarning")

#: The tag's clock in its tests, in Unix seconds.
NOW: Final = 1_800_000_000
#: The key with which the runner of the tag's tests signs, where no key file says otherwise.
SIGNING_KEY: Final = "test"


@dataclass(frozen=True)
class Made:
    """A set-up's requests, by the way that they go."""

    name: str
    published: Mapping[str, Any]
    signed: Mapping[str, Any]
    keyed: Mapping[str, Any]

    @property
    def number(self) -> int:
        return int(self.name.removeprefix("Set-up ").partition(":")[0])

    @property
    def is_of_segments(self) -> bool:
        return str(self.keyed["url"]).endswith("/segments")


MADE: Final = [
    Made(name, *requests)
    for name, requests in json.loads((ROOT / "tests" / "data" / "gtm_requests.json").read_text("utf-8")).items()
]
IMMEDIATE: Final = [one for one in MADE if not one.is_of_segments]


def digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


@dataclass(frozen=True)
class Expected:
    """What Meta gets of a set-up: the calls, and a part of the last one's body."""

    calls: Sequence[tuple[str, str]]
    event: Mapping[str, Any] = field(default_factory=dict)
    user_data: Mapping[str, Any] = field(default_factory=dict)
    payload: Mapping[str, Any] = field(default_factory=dict)


ONE_EVENT: Final = [("POST", f"{DATASET}/events")]
#: By the number of the set-up.
EXPECTED: Final[Mapping[int, Expected]] = {
    1: Expected(
        ONE_EVENT,
        event={"event_name": "Purchase", "event_id": "E-1", "action_source": "website"},
        user_data={"em": [digest("jana.muster@example.com")], "ln": [digest("musterweiß")]},
    ),
    2: Expected([*ONE_EVENT, ("POST", f"{OTHER_DATASET}/events")], event={"event_name": "Lead"}),
    3: Expected(
        ONE_EVENT,
        event={
            "event_name": "Newsletter",
            "event_id": "E-3",
            "custom_data": {"status": "subscribed"},
            "opt_out": False,
        },
        user_data={"em": [digest("ada@example.com"), digest("ada@example.org")], "fn": [digest("ada")]},
    ),
    4: Expected(
        ONE_EVENT,
        event={
            "data_processing_options": ["LDU"],
            "data_processing_options_country": 1,
            "data_processing_options_state": 1000,
        },
        user_data={"fbp": "fb.1.1799999999000.1234567890"},
    ),
    5: Expected(
        ONE_EVENT,
        event={
            "custom_data": {
                "value": 129.9,
                "currency": "EUR",
                "order_id": "DE-10482",
                "content_ids": ["SKU-300"],
                "contents": [{"id": "SKU-300", "quantity": 2, "item_price": 10.5}],
                "content_type": "product",
                "num_items": 2,
            }
        },
    ),
    6: Expected(ONE_EVENT, event={"action_source": "app"}),
    7: Expected(
        ONE_EVENT,
        event={
            "event_name": "AppendValue",
            "original_event_data": {"event_name": "Purchase", "order_id": "DE-10482"},
        },
    ),
    8: Expected(
        [("POST", "1001/users"), ("POST", "1003/users")],
        payload={"schema": ["EMAIL", "EMAIL", "PHONE", "COUNTRY", "LOOKALIKE_VALUE"]},
    ),
    9: Expected(
        [("POST", "2001/users")],
        payload={
            "schema": ["EMAIL", "FN", "EXTERN_ID"],
            "data": [
                [digest("grace@example.com"), digest("grace"), digest("c-1")],
                [digest("ada@example.com"), digest("ada"), digest("c-2")],
            ],
        },
    ),
    10: Expected([("DELETE", "1001/users")]),
    11: Expected(
        [("DELETE", "1001/users"), ("DELETE", "1003/users")],
        payload={"schema": ["EMAIL"], "data": [[digest("ada@example.com")]]},
    ),
    12: Expected(
        [("DELETE", f"act_{ACCOUNT}/usersofanyaudience")],
        payload={"schema": ["EMAIL"], "data": [[digest("ada@example.com")]]},
    ),
}


def check(stack: Stack, expected: Expected) -> None:
    """Hold what Meta's stand-in got to what is expected; it keeps to Meta's rules by itself."""
    calls = stack.graph.calls
    assert sorted(expected.calls) == sorted((call.method, call.path.partition("/v26.0/")[2]) for call in calls)
    assert [call.status for call in calls] == [200] * len(expected.calls)
    body = max(calls, key=lambda call: call.path).body
    if "data" in body:
        (event,) = body["data"]
        assert {**event, **expected.event} == event
        assert {**event["user_data"], **expected.user_data} == event["user_data"]
    else:
        assert {**body["payload"], **expected.payload} == body["payload"]
    assert stack.graph.violations == []


def test_there_is_one_of_each_thing_that_can_be_sent() -> None:
    bodies = [json.loads(one.keyed["body"]) for one in MADE]
    assert {body.get("action") or body.get("change") or "events" for body in bodies} == {
        "events", "add", "remove", "remove_from_all", "enter", "leave",
    }  # fmt: skip
    assert {one.number for one in MADE} == set(range(1, len(MADE) + 1))
    assert {one.number for one in IMMEDIATE} == set(EXPECTED)


@pytest.mark.parametrize("made", IMMEDIATE, ids=lambda made: str(made.number))
def test_what_is_published_is_delivered(made: Made, functions: Functions) -> None:
    (message,) = json.loads(made.published["body"])["messages"]
    assert functions.push(message["data"], message["attributes"]) == 200
    assert functions.dead() == []
    assert {row["outcome"] for row in functions.rows()} == {"delivered"}
    check(functions.stack, EXPECTED[made.number])


@pytest.mark.parametrize("made", IMMEDIATE, ids=lambda made: str(made.number))
def test_what_is_sent_with_a_key_is_delivered(made: Made, functions: Functions) -> None:
    answer = functions.receive(
        made.keyed["body"].encode(), path=urlsplit(made.keyed["url"]).path, headers=made.keyed["headers"], key=None
    )
    assert (answer.status, answer["outcome"]) == (200, "delivered")
    assert answer["rejected"] == []
    check(functions.stack, EXPECTED[made.number])


@pytest.fixture(name="then")
def _then() -> Iterator[Stack]:
    """The stand-ins at the time of the tag's signatures."""
    with Stack(now=lambda: NOW) as stack:
        stack.secrets.set(secret("relay-key-sgtm"), SIGNING_KEY)
        yield stack


def relay_then(stack: Stack, monkeypatch: pytest.MonkeyPatch, *, now: float = NOW) -> Relay:
    """Return the real relay with its real clients, at the time of the tag's signatures."""
    environ = stack.environ()
    for name in ("PUBSUB_EMULATOR_HOST", "BIGQUERY_EMULATOR_HOST"):
        monkeypatch.setenv(name, environ[name])
    built = bootstrap.build(environ)
    clock = ManualClock(now).clock()
    graph_api = replace(built.outside.graph_api, clock=clock)
    return replace(built, clock=clock, outside=replace(built.outside, clock=clock, graph_api=graph_api))


def post(relay: Relay, made: Mapping[str, Any], *, body: bytes | None = None) -> HTTPAnswer:
    """Send a request as the tag has made it."""
    raw = made["body"].encode() if body is None else body
    headers = {name.lower(): value for name, value in made["headers"].items()}
    return relay.receive(
        HTTPRequest(method="POST", path=urlsplit(made["url"]).path, headers=headers, read_body=lambda: raw)
    )


@pytest.mark.parametrize("made", IMMEDIATE, ids=lambda made: str(made.number))
def test_what_is_signed_is_delivered(made: Made, then: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    answer = post(relay_then(then, monkeypatch), made.signed)
    shown = orjson.loads(answer.body)
    assert (answer.status, shown["outcome"], shown["rejected"]) == (200, "delivered", [])
    check(then, EXPECTED[made.number])


class TestSignatures:
    def test_one_that_is_for_another_body_is_refused(self, then: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
        made = IMMEDIATE[0].signed
        answer = post(relay_then(then, monkeypatch), made, body=made["body"].encode() + b" ")
        assert (answer.status, then.graph.calls) == (401, [])

    @pytest.mark.parametrize(("seconds", "status"), [(-301, 401), (-300, 200), (300, 200), (301, 401)])
    def test_one_counts_for_five_minutes(
        self, seconds: int, status: int, then: Stack, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        made = next(one for one in IMMEDIATE if one.number == 11).signed
        assert status == post(relay_then(then, monkeypatch, now=NOW + seconds), made).status

    def test_one_of_another_key_is_refused(self, then: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
        then.secrets.set(secret("relay-key-sgtm"), "another")
        assert post(relay_then(then, monkeypatch), IMMEDIATE[0].signed).status == 401


def test_the_anonymous_id_reaches_the_identity_service(functions: Functions) -> None:
    with IdentityService() as service:
        functions.stack.secrets.set(secret("identity-token"), service.token)
        functions.config["identity"] = {
            "endpoint": service.url,
            "access_token": secret("identity-token") + "/versions/latest",
            "send": ["anonymous_id"],
        }
        made = next(one for one in IMMEDIATE if one.number == 4)
        answer = functions.receive(made.keyed["body"].encode(), path="/events", headers=made.keyed["headers"], key=None)
        assert (answer.status, answer["outcome"]) == (200, "delivered")
        assert [body["anonymous_id"] for body in service.bodies] == ["1093847561.1769853600"]


class TestSegments:
    """Who enters or leaves is gathered, and reaches Meta with the next flush."""

    ENTERS: Final = next(one for one in MADE if one.number == 13)
    LEAVES: Final = next(one for one in MADE if one.number == 14)
    ADA: Final = frozenset({("EMAIL", digest("ada@example.com")), ("FN", digest("ada"))})

    @staticmethod
    def publish(functions: Functions, made: Made) -> None:
        (message,) = json.loads(made.published["body"])["messages"]
        assert functions.push(message["data"], message["attributes"]) == 200

    @staticmethod
    def flush(functions: Functions, message_id: str) -> None:
        assert functions.push(b"{}", {"type": "flush"}, message_id=message_id) == 200

    def test_who_enters_becomes_a_member(self, functions: Functions) -> None:
        self.publish(functions, self.ENTERS)
        self.flush(functions, "2")
        assert functions.stack.graph.members(made_audience(functions.stack)) == {self.ADA}
        assert functions.dead() == []

    def test_who_leaves_is_none_any_more(self, functions: Functions) -> None:
        users = [{"email": "ada@example.com"}, {"email": "grace@example.com"}]
        entering = {"segment": {"id": "7", "name": "Segment 7"}, "change": "enter", "users": users}
        assert functions.receive(entering, path="/segments").status == 202
        self.flush(functions, "2")
        audience = made_audience(functions.stack)
        assert len(functions.stack.graph.members(audience)) == 2
        self.publish(functions, self.LEAVES)
        self.flush(functions, "3")
        assert functions.stack.graph.members(audience) == set()
        assert functions.dead() == []

    def test_who_enters_by_a_signed_request_becomes_a_member(
        self, then: Stack, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        relay = relay_then(then, monkeypatch)
        assert post(relay, self.ENTERS.signed).status == 202
        assert relay.deliver(Message(data="e30=", attributes={"type": "flush"}, message_id="2"))
        assert then.graph.members(made_audience(then)) == {self.ADA}

    def test_who_leaves_by_a_signed_request_is_gathered(self, then: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
        answer = post(relay_then(then, monkeypatch), self.LEAVES.signed)
        assert (answer.status, orjson.loads(answer.body)["outcome"]) == (202, "queued")
        assert len(then.pubsub.messages(GATHERING)) == 2

    @pytest.mark.parametrize("made", [ENTERS, LEAVES], ids=["enters", "leaves"])
    def test_with_a_key_it_is_gathered_too(self, made: Made, functions: Functions) -> None:
        answer = functions.receive(
            made.keyed["body"].encode(), path=urlsplit(made.keyed["url"]).path, headers=made.keyed["headers"], key=None
        )
        assert (answer.status, answer["outcome"], answer["warnings"]) == (202, "queued", [])
        assert functions.stack.pubsub.messages(GATHERING)


def made_audience(stack: Stack) -> str:
    """Return the audience that the relay has made for a segment."""
    (made,) = set(stack.graph.audiences()) - {"1001", "1002", "1003", "2001"}
    return made


def test_cookies_come_back_to_be_set(then: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    """Set-up 4 sends what the browser has; the click in the page's address makes the cookie that it lacks."""
    made = next(one for one in IMMEDIATE if one.number == 4)
    shown = orjson.loads(post(relay_then(then, monkeypatch), made.signed).body)
    assert shown["cookies"]["_fbc"] == f"fb.1.{NOW}000.IwAR2mQx7TestClick_AbC"
