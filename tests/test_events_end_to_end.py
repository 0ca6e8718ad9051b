"""Events through the real entry points: issue 3's acceptance, design sections 6, 7 and 13."""

from __future__ import annotations

import base64
import hashlib
import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.event_world import DAY, World, ids, lead, leads, post
from tests.functions import DENIED, GRANTED, Answered, Functions, check_shape
from tests.german_purchase import NOW, PURCHASE, flattened
from tests.local.faults import Fault
from tests.local.graph_api import App
from tests.local.stack import ACCOUNT, DATASET, OTHER_ACCOUNT, OTHER_DATASET, SUBSCRIPTION, TOKEN, secret
from tests.manual_clock import ManualClock

# Of functions-framework, from Python 3.12 on.
pytestmark = pytest.mark.filterwarnings("ignore:datetime.datetime.utcnow:DeprecationWarning")

ACKNOWLEDGED: Final = 200
TO_BE_REDELIVERED: Final = 503
BOTH: Final = [{"dataset_id": DATASET}, {"dataset_id": OTHER_DATASET, "connection": "globex"}]


def digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def fresh(number: int = 0, /, **changed: Any) -> dict[str, Any]:
    """Return an event of ten seconds ago."""
    return lead(number, timestamp=int(time.time()) - 10, **changed)


def several(count: int) -> list[dict[str, Any]]:
    return [fresh(number) for number in range(count)]


def send(functions: Functions, **body: Any) -> Answered:
    """Send a body of `/events`, consent granted."""
    return functions.receive({"consent": GRANTED, **body}, path="/events")


def without_queue(functions: Functions) -> Functions:
    del functions.config["queue"]
    return functions


def sent_events(functions: Functions) -> list[dict[str, Any]]:
    """Return the events of the last call."""
    events = functions.stack.graph.calls[-1].body["data"]
    assert isinstance(events, list)
    return events


#: What section C.1 states for it, in Meta's words.
EXPECTED: Final[Mapping[str, Any]] = {
    "event_name": "Purchase",
    "event_time": 1772445602,
    "user_data": {
        "em": ["8fcf3f610494185dcb518dbf2ea5620971835b76f57ce4a752ae7bd212cb7b23"],
        "ph": [digest("491701234567")],
        "fn": ["be480d3210e56e785947940fedd007ad4eb049b849e5def041dd90595cc220a2"],
        "ln": [digest("musterweiß")],
        "ct": ["96eff4c07f336cdfceee0851ba4a5b78213c666d3254f531f2372b58ee737371"],
        "st": [digest("bayern")],
        "zp": [digest("83646")],
        "country": [digest("de")],
        "external_id": ["6c47040eaf6a60515631a56d6bdc59ceca2260bbff65465caa3e1fd02531a338"],
        "client_ip_address": PURCHASE["ip_override"],
        "client_user_agent": PURCHASE["user_agent"],
        "fbc": "fb.1.1772445602511.IwAR2mQx7TestClick_AbC",
    },
    "custom_data": {
        "value": 129.9,
        "currency": "EUR",
        "content_ids": ["SKU-100", "SKU-207"],
        "contents": [
            {
                "id": "SKU-100",
                "quantity": 1,
                "item_price": 95,
                "title": "Trail Shoe",
                "brand": "Nordweg",
                "category": "Shoes",
            },
            {
                "id": "SKU-207",
                "quantity": 2,
                "item_price": 15,
                "title": "Wool Sock",
                "brand": "Nordweg",
                "category": "Accessories",
            },
        ],
        "content_type": "product",
        "num_items": 3,
        "order_id": "DE-10482",
    },
    "event_source_url": PURCHASE["page_location"],
    "event_id": "1772445600123_17724455120042",
    "action_source": "website",
    "referrer_url": PURCHASE["page_referrer"],
}


class TestGermanPurchase:
    """Acceptance 1: tags-and-connectors.md, section C.1."""

    def test_the_hashes_are_those_of_the_reference(self) -> None:
        stated = {"ph": "8b47a52e", "ln": "b5818ca7", "st": "52b07f18", "zp": "5c303415", "country": "959a45d4"}
        assert stated == {key: EXPECTED["user_data"][key][0][:8] for key in stated}

    @pytest.mark.parametrize(
        "body",
        [
            pytest.param(PURCHASE, id="the event is the body"),
            pytest.param(flattened(PURCHASE), id="the flattened event is the body"),
            pytest.param({"event_data": PURCHASE}, id="in event_data"),
            pytest.param({"event_data": flattened(PURCHASE)}, id="flattened in event_data"),
            pytest.param({"events": [PURCHASE]}, id="in a list"),
        ],
    )
    def test_with_the_clock_of_the_event(self, body: Mapping[str, Any]) -> None:
        world = World(clock=ManualClock(NOW))
        world.meta.now = NOW
        answer = orjson.loads(post(world.relay(), body).body)
        assert [EXPECTED] == world.meta.events()
        assert ("delivered", [], []) == (answer["outcome"], answer["rejected"], answer["warnings"])

    @pytest.mark.parametrize("event", [PURCHASE, flattened(PURCHASE)], ids=["nested", "flattened"])
    def test_over_http_with_its_time_set_to_now(self, functions: Functions, event: Mapping[str, Any]) -> None:
        now = int(time.time())
        answer = functions.receive({"event_data": event, "event": {"event_time": now}}, path="/events")
        assert {"data": [{**EXPECTED, "event_time": now}], "partner_agent": "metarelay_1_0"} == (
            functions.stack.graph.calls[-1].body
        )
        assert (200, "delivered", [], []) == (answer.status, answer["outcome"], answer["rejected"], answer["warnings"])

    def test_it_is_too_old_by_now(self, functions: Functions) -> None:
        answer = functions.receive(PURCHASE, path="/events")
        assert (422, "rejected") == (answer.status, answer["outcome"])
        assert [{"row": 0, "field": "event_time", "reason": "older than 7 days"}] == answer["rejected"]


class TestDestinations:
    def test_each_has_its_connection_its_test_code_and_its_result(self, functions: Functions) -> None:
        functions.config["connections"]["globex"]["test_event_code"] = "GLOBEX"
        destinations = [BOTH[0] | {"test_event_code": "ACME"}, BOTH[1]]
        answer = send(functions, event_data=fresh(user_data={"phone_number": "6502530000"}), destinations=destinations)
        assert [({"dataset_id": DATASET}, "delivered"), ({"dataset_id": OTHER_DATASET}, "delivered")] == [
            (result["destination"], result["outcome"]) for result in answer["results"]
        ]
        assert {(f"/v26.0/{DATASET}/events", "ACME"), (f"/v26.0/{OTHER_DATASET}/events", "GLOBEX")} == {
            (call.path, call.body["test_event_code"]) for call in functions.stack.graph.calls
        }
        for dataset, phone in ((DATASET, "496502530000"), (OTHER_DATASET, "16502530000")):
            (event,) = functions.stack.graph.events(dataset)
            assert [digest(phone)] == event["user_data"]["ph"]
        assert {"acme": DATASET, "globex": OTHER_DATASET} == {
            row["connection"]: row["destination"] for row in functions.rows(outcome="delivered")
        }

    def test_without_any_the_connections_own_dataset_is_meant(self, functions: Functions) -> None:
        answer = send(functions, connection="globex", event_data=fresh())
        assert {"dataset_id": OTHER_DATASET} == answer.result["destination"]

    def test_a_dataset_of_others_is_refused_and_leaves_the_rest_alone(self, functions: Functions) -> None:
        destinations = [{"dataset_id": DATASET}, {"dataset_id": OTHER_DATASET}]
        answer = send(functions, event_data=fresh(), destinations=destinations)
        assert (200, "partial") == (answer.status, answer["outcome"])
        assert ["delivered", "failed"] == [result["outcome"] for result in answer["results"]]
        assert (100, 33) == tuple(answer["results"][1]["error"][key] for key in ("code", "error_subcode"))

    def test_the_proof_goes_with_it_and_no_token(self, functions: Functions) -> None:
        send(functions, event_data=fresh(), destinations=BOTH)
        assert {DATASET: ("appsecret_proof",), OTHER_DATASET: ()} == {
            call.path.split("/")[2]: call.query for call in functions.stack.graph.calls
        }


class TestBatches:
    def test_more_than_a_thousand_are_several_calls(self, functions: Functions) -> None:
        answer = send(functions, events=several(1001))
        assert ("delivered", 1001) == (answer["outcome"], answer.result["num_received"])
        assert [1000, 1] == [len(call.body["data"]) for call in functions.stack.graph.calls]
        assert 1001 == functions.stack.graph.events_received

    def test_a_stores_events_go_apart_and_may_be_older(self, functions: Functions) -> None:
        old = fresh(1, action_source="physical_store") | {"timestamp": int(time.time()) - 30 * DAY}
        assert "delivered" == send(functions, events=[fresh(0), old])["outcome"]
        assert [["E-0"], ["E-1"]] == [ids(call.body["data"]) for call in functions.stack.graph.calls]

    def test_fewer_received_than_sent_is_partial(self, functions: Functions) -> None:
        body = {"events_received": 2, "messages": [], "fbtrace_id": "AOrdered"}
        functions.stack.graph.faults.add(Fault(match="/events", status=200, body=body))
        answer = send(functions, events=several(3))
        assert (200, "partial", 2) == (answer.status, answer["outcome"], answer.result["num_received"])
        (row,) = functions.rows()
        assert ("partial", 3, 2) == (row["outcome"], row["rows_sent"], row["num_received"])


class TestOneBadEvent:
    def test_what_meta_refuses_is_found_and_named(self, functions: Functions) -> None:
        functions.stack.graph.refused_event_ids = {"E-3"}
        answer = send(functions, events=several(8))
        assert (200, "partial") == (answer.status, answer["outcome"])
        assert [{"row": 3, "field": None, "reason": "Meta refuses it; the result's error says why"}] == (
            answer["rejected"]
        )
        assert (100, 2804019) == tuple(answer.result["error"][key] for key in ("code", "error_subcode"))
        assert [f"E-{number}" for number in (0, 1, 2, 4, 5, 6, 7)] == ids(functions.stack.graph.events(DATASET))
        assert 2 * 3 + 1 == len(functions.stack.graph.calls)
        (row,) = functions.rows(outcome="failed")
        assert ("E-3", 1, 2804019) == (row["event_id"], row["rows_received"], row["error_subcode"])
        assert 8 == sum(row["rows_received"] for row in functions.rows())

    def test_one_alone_is_refused_for_good(self, functions: Functions) -> None:
        functions.stack.graph.refused_event_ids = {"E-0"}
        answer = send(functions, event_data=fresh())
        assert (502, "failed", "GraphAPIError") == (answer.status, answer["outcome"], answer.result["error"]["type"])
        assert [] == functions.dead()


class TestConsent:
    @pytest.mark.parametrize(
        ("event", "outcome"),
        [
            ({"x-ga-gcd": "13r3r3r3r5l1"}, "delivered"),
            ({"x-ga-gcd": "13r3r3q3r5l1"}, "withheld"),
            ({"x_ga_gcd": "13q3r3r3r5l1"}, "withheld"),
            # Personalization is asked of audiences, not of events.
            ({"x-ga-gcd": "13r3r3r3q5l1"}, "delivered"),
            ({"x-ga-gcs": "G111"}, "withheld"),
            ({"consent_state": {"ad_storage": "denied", "ad_user_data": "granted"}}, "withheld"),
            ({"consent_state": {"ad_storage": "yes", "ad_user_data": "granted"}}, "withheld"),
            ({"consent_state_ad_storage": 1, "consent_state_ad_user_data": "true"}, "delivered"),
            ({}, "withheld"),
        ],
    )
    def test_of_an_event(self, functions: Functions, event: Mapping[str, Any], outcome: str) -> None:
        answer = functions.receive(fresh(**event), path="/events")
        assert (200, outcome) == (answer.status, answer["outcome"])
        assert (outcome == "delivered") == bool(functions.stack.graph.calls)

    def test_in_a_list_each_by_itself(self, functions: Functions) -> None:
        events = [fresh(0, **{"x-ga-gcd": "13r3r3r3r5l1"}), fresh(1, **{"x-ga-gcd": "13r3r3q3r5l1"})]
        answer = functions.receive({"events": events}, path="/events")
        assert (200, "partial", ["consent is missing: ad_user_data"]) == (
            answer.status,
            answer["outcome"],
            answer["warnings"],
        )
        assert ["E-0"] == ids(functions.stack.graph.events(DATASET))
        assert {"delivered": (1, None), "withheld": (1, "ad_user_data")} == {
            row["outcome"]: (row["rows_received"], row["consent_missing"]) for row in functions.rows()
        }

    def test_cookies_come_back_only_where_it_is_granted_and_asked_for(self, functions: Functions) -> None:
        event = fresh(page_location="https://shop.example.de/?fbclid=TestClick_AbC")
        granted = send(functions, event_data=event, cookies={})
        assert {"_fbp", "_fbc"} == granted["cookies"].keys()
        assert granted["cookies"]["_fbc"].endswith(".TestClick_AbC")
        assert {} == send(functions, event_data=event)["cookies"]
        assert {} == send(functions, event_data=event, cookies={}, consent=DENIED)["cookies"]

    def test_event_enhancement_needs_its_key(self, functions: Functions) -> None:
        functions.stack.secrets.set(secret("enhancement"), "a key that nobody knows")
        functions.config["event_enhancement"] = {"key": secret("enhancement") + "/versions/latest"}
        cookies = send(functions, event_data=fresh(0), cookies={})["cookies"]
        assert {"_fbp", "_gtmeec"} == cookies.keys()
        send(functions, event_data=fresh(1, user_data={}), cookies=cookies)
        first, second = functions.stack.graph.events(DATASET)
        assert first["user_data"]["em"] == second["user_data"]["em"]

    def test_limited_data_use_of_the_request_and_of_the_person(self, functions: Functions) -> None:
        send(functions, event_data=fresh(0), data_processing={"options": ["LDU"], "country": "US", "state": "CA"})
        send(functions, event_data=fresh(1, us_privacy="1YYN"))
        keys = [f"data_processing_options{part}" for part in ("", "_country", "_state")]
        assert [[["LDU"], 1, 1000], [["LDU"], 0, 0]] == [
            [event[key] for key in keys] for event in functions.stack.graph.events(DATASET)
        ]


class TestModes:
    def test_a_dry_run_shows_what_would_be_sent_and_sends_nothing(self, functions: Functions) -> None:
        events = [fresh(0), fresh(1, event_name="purchase")]
        shown = send(functions, events=events, dry_run=True)
        assert (200, "dry_run") == (shown.status, shown["outcome"])
        assert [] == [*functions.stack.graph.calls, *functions.rows()]
        assert [(1, "custom_data.value"), (1, "custom_data.currency")] == [
            (reject["row"], reject["field"]) for reject in shown["rejected"]
        ]
        send(functions, events=events)
        (call,) = functions.stack.graph.calls
        assert [{"method": call.method, "path": call.path, "body": call.body}] == shown.result["requests"]

    def test_debug_sends_and_shows_shortened(self, functions: Functions, capsys: pytest.CaptureFixture[str]) -> None:
        answer = send(functions, event_data=fresh(ip_override="203.0.113.7"), debug="true")
        assert (200, "delivered") == (answer.status, answer["outcome"])
        (request,) = answer.result["requests"]
        assert [digest("person0@example.com")[:6] + "…"] == request["body"]["data"][0]["user_data"]["em"]
        assert 1 == answer.result["answers"][0]["body"]["events_received"]
        for text in (answer.raw.decode(), capsys.readouterr().err):
            assert [] == [known for known in (TOKEN, "203.0.113.7", digest("person0@example.com")) if known in text]

    def test_optimistic_is_answered_at_once_and_delivered_from_the_queue(self, functions: Functions) -> None:
        answer = send(functions, events=several(3), destinations=BOTH, optimistic=True)
        assert (202, "queued") == (answer.status, answer["outcome"])
        assert [] == functions.stack.graph.calls
        functions.drain()
        assert [3, 3] == [len(functions.stack.graph.events(dataset)) for dataset in (DATASET, OTHER_DATASET)]
        assert {"queued": 6, "delivered": 6} == {
            outcome: sum(row["rows_received"] for row in functions.rows(outcome=outcome))
            for outcome in ("queued", "delivered")
        }


class TestWaiting:
    """What could succeed later is left to the queue; without one the caller is told when to come back."""

    def test_a_throttled_account_is_left_alone_until_its_time(self, functions: Functions) -> None:
        functions.stack.graph.throttle(ACCOUNT, minutes=5)
        answer = send(functions, event_data=fresh())
        assert (202, "queued", 80003) == (answer.status, answer["outcome"], answer.result["error"]["code"])
        (held,) = functions.waiting()
        assert orjson.loads(held.message.data)["not_before"] > time.time() + 200
        assert 1 == functions.deliver_once()
        assert 1 == functions.stack.graph.calls_while_throttled

    def test_an_expired_token_waits_for_a_new_one(self, functions: Functions) -> None:
        functions.stack.graph.expire(TOKEN)
        assert 202 == send(functions, event_data=fresh()).status
        assert 1 == functions.deliver_once()
        functions.stack.graph.tokens["the-new-token"] = App(accounts={ACCOUNT})
        del functions.config["connections"]["acme"]["app_secret"]
        functions.stack.secrets.set(secret("meta-token-acme"), "the-new-token")
        functions.restart()
        functions.drain()
        assert ["E-0"] == ids(functions.stack.graph.events(DATASET))

    @pytest.mark.parametrize(
        ("arrange", "status", "retry_after"),
        [
            pytest.param(
                lambda functions: functions.stack.graph.throttle(ACCOUNT, minutes=5), 503, "300", id="throttled"
            ),
            pytest.param(lambda functions: functions.stack.graph.expire(TOKEN), 502, None, id="an expired token"),
            pytest.param(
                lambda functions: functions.stack.graph.faults.add(Fault.html(match="/events", times=9)),
                503,
                "10",
                id="Meta is ill",
            ),
        ],
    )
    def test_without_a_queue_the_status_says_it(
        self, functions: Functions, arrange: Callable[[Functions], None], status: int, retry_after: str | None
    ) -> None:
        arrange(functions)
        answer = send(without_queue(functions), event_data=fresh())
        assert (status, "failed", retry_after) == (
            answer.status,
            answer["outcome"],
            answer.headers.get("Retry-After"),
        )
        assert answer.result["error"]["type"]

    def test_one_destination_that_fails_for_now_goes_to_the_queue_alone(self, functions: Functions) -> None:
        functions.stack.graph.throttle(OTHER_ACCOUNT, minutes=5)
        answer = send(functions, event_data=fresh(), destinations=BOTH)
        assert (202, ["delivered", "queued"]) == (answer.status, [result["outcome"] for result in answer["results"]])
        (held,) = functions.waiting()
        assert [{"dataset_id": OTHER_DATASET}] == [
            one["destination"] for one in orjson.loads(held.message.data)["requests"]
        ]


def publish_time(seconds_ago: float) -> str:
    return datetime.fromtimestamp(time.time() - seconds_ago, UTC).isoformat().replace("+00:00", "Z")


@dataclass(frozen=True)
class Published:
    """A message as Pub/Sub pushes it, each time with the time at which it was published."""

    body: Mapping[str, Any]
    attributes: Mapping[str, str] = field(default_factory=lambda: {"type": "events"})
    message_id: str = "1"
    at: str = field(default_factory=lambda: publish_time(100))

    def push(self, functions: Functions, *, attempt: int = 1, cloud_event: bool = False) -> int:
        """Push it, and return the status."""
        message = {
            "data": base64.b64encode(orjson.dumps(self.body)).decode(),
            "attributes": dict(self.attributes),
            "messageId": self.message_id,
            "publishTime": self.at,
        }
        body = {"message": message, "subscription": SUBSCRIPTION, "deliveryAttempt": attempt}
        return functions.push_body(orjson.dumps(body), cloud_event=cloud_event, message_id=self.message_id)


class TestMessages:
    @pytest.mark.parametrize("envelope", ["push", "cloudevent"])
    @pytest.mark.parametrize(
        "body",
        [
            pytest.param({"event_data": lead()}, id="event_data"),
            pytest.param({"events": [lead()]}, id="events"),
            pytest.param(
                {"event": {"event_name": "Lead", "event_id": "E-0", "user_data": {"fbp": "fb.1.1.2"}}}, id="event"
            ),
            pytest.param(lead(), id="the event is the message"),
        ],
    )
    @pytest.mark.parametrize("attributes", [{"type": "events"}, {}], ids=["by its type", "by its shape"])
    def test_both_envelopes_and_ways_of_telling(
        self, functions: Functions, body: Mapping[str, Any], attributes: Mapping[str, str], envelope: str
    ) -> None:
        functions.config["consent"] = {"absent": "granted"}
        body = {key: {**value, "timestamp": None} if key == "event_data" else value for key, value in body.items()}
        if "events" in body:
            body["events"] = [fresh()]
        if "event_name" in body:
            body = fresh()
        message = Published(body, attributes)
        assert ACKNOWLEDGED == message.push(functions, cloud_event=envelope == "cloudevent")
        assert ["E-0"] == ids(functions.stack.graph.events(DATASET))
        (row,) = functions.rows()
        assert ("delivered", "events", "pubsub", "Lead") == (
            row["outcome"],
            row["kind"],
            row["caller"],
            row["event_name"],
        )

    def test_a_redelivery_sends_the_same_bytes(self, functions: Functions) -> None:
        """The time and the id that an event lacks come from the message."""
        bare = fresh(event_id=None) | {"timestamp": None}
        message = Published({"consent": GRANTED, "events": [bare, bare], "cookies": {}})
        for attempt in (1, 2):
            functions.restart()
            assert ACKNOWLEDGED == message.push(functions, attempt=attempt)
        first, second = (call.body for call in functions.stack.graph.calls)
        assert first == second
        assert int(datetime.fromisoformat(message.at).timestamp()) == first["data"][0]["event_time"]
        assert 2 == len(functions.stack.graph.events(DATASET))

    def test_a_redelivery_after_a_lost_answer_is_one_event(self, functions: Functions) -> None:
        functions.stack.graph.faults.add(Fault.dropped("after", match="/events", times=3))
        message = Published({"consent": GRANTED, "event_data": fresh(event_id=None) | {"timestamp": None}})
        assert ACKNOWLEDGED == message.push(functions)
        functions.drain()
        assert 1 == len(functions.stack.graph.events(DATASET))
        assert functions.stack.graph.events_received > 1

    def test_waiting_calls_are_redelivered_as_the_same_bytes(self, functions: Functions) -> None:
        send(functions, events=several(2), optimistic=True)
        functions.stack.graph.faults.add(Fault.html(match="/events", times=3))
        assert 1 == functions.deliver_once()
        functions.drain()
        bodies = [call.body for call in functions.stack.graph.calls]
        assert [bodies[0]] * 4 == bodies

    def test_a_refused_event_alone_is_a_hashed_dead_letter(self, functions: Functions) -> None:
        functions.stack.graph.refused_event_ids = {"E-1"}
        assert ACKNOWLEDGED == Published({"consent": GRANTED, "events": several(3)}).push(functions)
        assert ["E-0", "E-2"] == ids(functions.stack.graph.events(DATASET))
        (letter,) = functions.dead()
        assert b"@" not in letter.data
        assert ["E-1"] == ids(orjson.loads(letter.data)["requests"][0]["body"]["data"])
        assert "100/2804019" in letter.attributes["reason"]
        functions.stack.graph.refused_event_ids = set()
        assert ACKNOWLEDGED == functions.push(letter.data, letter.attributes, message_id="2")
        assert ["E-0", "E-2", "E-1"] == ids(functions.stack.graph.events(DATASET))

    @pytest.mark.parametrize(
        ("body", "reason"),
        [
            pytest.param({"events": "E-1"}, "events: must be a list of events", id="a body that is none"),
            pytest.param(
                {"event_data": lead(), "connection": "initech"}, "connection: is not configured", id="unknown"
            ),
            pytest.param(
                {"event_data": lead(), "consent": {"required": []}},
                "consent.required: ",
                id="less consent than is configured",
            ),
        ],
    )
    def test_what_is_not_understood_is_a_dead_letter_as_it_came(
        self, functions: Functions, body: Mapping[str, Any], reason: str
    ) -> None:
        assert ACKNOWLEDGED == Published(body).push(functions)
        (letter,) = functions.dead()
        assert letter.attributes["reason"].startswith(reason)
        assert orjson.dumps(body) == letter.data

    @pytest.mark.parametrize("name", ["user_enters_segment", "user_leaves_segment"])
    def test_a_cdps_message_on_its_segments_is_no_event(self, functions: Functions, name: str) -> None:
        Published({"event_name": name, "user": {"email": "ada@example.com"}}, {}).push(functions)
        assert [] == functions.stack.graph.calls
        assert 1 == len(functions.dead())

    def test_withheld_and_rejected_are_acknowledged_and_logged(self, functions: Functions) -> None:
        denied, old = fresh(0, **{"x-ga-gcd": "13r3r3q3r5l1"}), fresh(1) | {"timestamp": int(time.time()) - 9 * DAY}
        assert ACKNOWLEDGED == Published({"consent": GRANTED, "events": [denied, old]}).push(functions)
        assert {"withheld": 1, "rejected": 1} == {row["outcome"]: row["rows_received"] for row in functions.rows()}
        assert [] == [*functions.dead(), *functions.waiting(), *functions.stack.graph.calls]

    def test_without_a_queue_what_has_to_wait_is_left_unacknowledged(self, functions: Functions) -> None:
        functions.stack.graph.throttle(ACCOUNT, minutes=5)
        message = Published({"consent": GRANTED, "event_data": fresh()})
        assert TO_BE_REDELIVERED == message.push(without_queue(functions))

    def test_the_trace_goes_through(self, functions: Functions) -> None:
        message = Published({"consent": GRANTED, "event_data": fresh()}, {"type": "events", "trace-id": "order-1"})
        functions.stack.graph.throttle(ACCOUNT, minutes=5)
        message.push(functions)
        functions.stack.graph.release(ACCOUNT)
        (held,) = functions.waiting()
        assert ("order-1", "order-1") == (
            held.message.attributes["trace-id"],
            orjson.loads(held.message.data)["trace_id"],
        )
        assert {"order-1"} == {row["trace_id"] for row in functions.rows()}


class TestStatuses:
    @pytest.mark.parametrize(
        ("body", "status", "field"),
        [
            pytest.param(b"not JSON", 400, None, id="not JSON"),
            pytest.param(b"[]", 400, None, id="a list"),
            pytest.param({"events": [1]}, 400, "events[0]", id="an event that is none"),
            pytest.param({"event_data": {}, "connection": "initech"}, 400, "connection", id="an unknown connection"),
            pytest.param(
                {"event_data": {}, "destinations": [{"dataset_id": "1", "connection": "initech"}]},
                400,
                "destinations[0].connection",
                id="an unknown connection of a destination",
            ),
            pytest.param({"event_data": {}, "consent": {"required": []}}, 403, "consent.required", id="less consent"),
            pytest.param({"event_data": {}, "consent": GRANTED}, 422, None, id="an event that says nothing"),
            pytest.param(
                {"event_data": lead(user_data={}, user_agent="M"), "consent": GRANTED}, 422, None, id="nobody"
            ),
        ],
    )
    def test_of_what_cannot_be_sent(
        self, functions: Functions, body: Mapping[str, Any] | bytes, status: int, field: str | None
    ) -> None:
        answer = functions.receive(body, path="/events")
        assert (status, "rejected", field) == (answer.status, answer["outcome"], answer["error"].get("field"))
        assert [] == functions.stack.graph.calls

    def test_a_caller_without_the_action_is_403(self, functions: Functions) -> None:
        functions.config["callers"]["sgtm"]["actions"] = ["add"]
        answer = send(functions, event_data=fresh())
        assert (403, "action") == (answer.status, answer["error"]["field"])

    def test_a_caller_without_the_other_connection_is_403(self, functions: Functions) -> None:
        functions.config["callers"]["sgtm"]["connections"] = ["acme"]
        assert 403 == send(functions, event_data=fresh(), destinations=BOTH).status
        assert [] == functions.stack.graph.calls

    @pytest.mark.parametrize(("method", "status"), [("GET", 405), ("PUT", 405)])
    def test_other_methods(self, functions: Functions, method: str, status: int) -> None:
        assert status == functions.receive({}, path="/events", method=method).status

    def test_below_a_prefix(self, functions: Functions) -> None:
        answer = functions.receive({"consent": GRANTED, "event_data": fresh()}, path="/meta/relay/events/")
        assert 200 == answer.status


class TestAccounts:
    """Nothing is dropped silently: of each event sent there is a row that says what became of it."""

    def test_every_event_is_in_one_place(self, functions: Functions) -> None:
        functions.stack.graph.refused_event_ids = {"E-3"}
        functions.stack.graph.throttle(OTHER_ACCOUNT, minutes=5)
        events = several(6)
        events[1] |= {"timestamp": int(time.time()) - 9 * DAY}
        events[2] |= {"x-ga-gcd": "13r3r3q3r5l1"}
        answer = send(functions, events=events, destinations=BOTH)
        assert (202, "queued") == (answer.status, answer["outcome"])
        assert {
            (DATASET, "delivered"): 3,
            (DATASET, "failed"): 1,
            (DATASET, "rejected"): 1,
            (DATASET, "withheld"): 1,
            (OTHER_DATASET, "queued"): 4,
            (OTHER_DATASET, "rejected"): 1,
            (OTHER_DATASET, "withheld"): 1,
        } == self.counted(functions)

    @staticmethod
    def counted(functions: Functions) -> dict[tuple[str, str], int]:
        counted: dict[tuple[str, str], int] = {}
        for row in functions.rows():
            place = (row["destination"], row["outcome"])
            counted[place] = counted.get(place, 0) + row["rows_received"]
        return counted


CANARIES: Final = (
    "Wanda.Canary@example.com",
    "wanda.canary@example.com",
    "170 9876543",
    "491709876543",
    "Wandalina",
    "Canaryson",
    "Canarystadt",
    "canarystadt",
    "crm-canary-777",
    "1987-11-23",
)
#: What Meta takes as it is: on the wire and in the queue, and nowhere else.
PLAIN: Final = (
    "203.0.113.77",
    "CanaryBrowser/5.0",
    "fb.1.1772445602511.1098115397",
    "38400000-8cf0-11bd-b23e-10b96e40000d",
    "1234567890123456",
    "CanaryClick",
)


def watched(number: int, **changed: Any) -> dict[str, Any]:
    """Return an event that is full of somebody."""
    return fresh(
        number,
        page_location="https://shop.example.de/?email=Wanda.Canary@example.com&fbclid=CanaryClick#+49 170 9876543",
        page_referrer="https://Wanda.Canary@example.com/",
        user_agent="CanaryBrowser/5.0",
        ip_override="203.0.113.77",
        fbp="fb.1.1772445602511.1098115397",
        madid="38400000-8CF0-11BD-B23E-10B96E40000D",
        lead_id=1234567890123456,
        user_id="crm-canary-777",
        db="1987-11-23",
        user_data={
            "email_address": ["Wanda.Canary@example.com", "not@an@address: Wandalina"],
            "phone_number": "0170 9876543",
            "address": [{"first_name": "Wandalina", "last_name": "Canaryson", "city": "Canarystadt"}],
        },
        custom_data={
            "email": "Wanda.Canary@example.com",
            "note": "call +49 170 9876543",
            "tel2": "0170 9876543",
            "first_name": "Wandalina",
        },
        content_name="for Wanda.Canary@example.com",
        transaction_id="DE-1",
        **changed,
    )


def found(words: tuple[str, ...], text: object) -> list[str]:
    text = str(text)
    return [word for word in words if word in text]


class TestPrivacy:
    """Acceptance 3: no clear-text identifier leaves or is logged."""

    def test_through_every_exit(self, functions: Functions, capsys: pytest.CaptureFixture[str]) -> None:
        functions.config["log_level"] = "DEBUG"
        functions.stack.graph.refused_event_ids = {"E-1"}
        answers = [
            send(functions, events=[watched(0), watched(1), watched(2, event_name="purchase")], destinations=BOTH),
            send(functions, event_data=watched(3), debug=True),
            send(functions, event_data=watched(4), optimistic=True),
            send(functions, event_data=watched(5), consent=DENIED),
            send(functions, event_data=watched(6, event_id="Wanda.Canary@example.com")),
            send(functions, event_data=watched(7, event_name="lead of Wanda.Canary@example.com")),
            send(functions, event_data=watched(8, test_event_code="Wanda.Canary@example.com")),
            send(functions, event_data=watched(9), destinations=["Wanda.Canary@example.com"]),
        ]
        dry = send(functions, event_data=watched(10), dry_run=True)
        functions.stack.graph.throttle(ACCOUNT, minutes=5)
        answers.append(send(functions, event_data=watched(11)))
        functions.stack.graph.release(ACCOUNT)
        functions.restart()
        Published({"consent": GRANTED, "events": [watched(12), watched(1)]}).push(functions)
        queued = [held.message.data for held in functions.waiting()]
        for body in (call.body for call in functions.stack.graph.calls):
            assert [] == found(CANARIES, orjson.dumps(body))
        for held in [dry.raw, *queued, *(letter.data for letter in functions.dead())]:
            assert [] == found(CANARIES, held)
        assert queued
        assert functions.dead()
        console = capsys.readouterr().err
        for text in (console, json.dumps(functions.rows(), default=str), *(answer.raw for answer in answers)):
            assert [] == found((*CANARIES, *PLAIN, TOKEN), text)

    def test_hashes_and_what_meta_takes_as_it_is_do_leave(self, functions: Functions) -> None:
        send(functions, event_data=watched(0))
        user_data = sent_events(functions)[0]["user_data"]
        assert [digest("wanda.canary@example.com")] == user_data["em"]
        assert set(PLAIN[:5]) < {str(value) for value in user_data.values()}


#: Texts with which parsers have gone wrong.
_TEXTS: Final = (
    *(
        "",
        "null",
        "true",
        "granted",
        "purchase",
        "app",
        "physical_store",
        "business_messaging",
        "EUR",
        "1.234,50",
        "DE",
    ),
    *("Ada@Example.com", "0170 1234567", "+49 170 1234567", "2026-11-24", "1e400", "\u0000", "a" * 300, "fb.1.1.2"),
    *('[{"id": 1}]', "{}", "[", "https://a@b.c/?fbclid=x", "13r3r3r3r5l1", "1YYN", "CA", "LDU", "3001", "acme"),
)
_NUMBERS: Final = (None, True, False, 0, -1, 1.5, 1e300, 2**63, -(2**70), NOW, NOW * 1000, NOW * 10**6)
_KEYS: Final = (
    *("connection", "event_data", "events", "event", "consent", "destinations", "products", "cookies", "identity"),
    *("optimistic", "debug", "dry_run", "data_processing", "state", "required", "schema", "array", "options"),
    *(*lead(), "items", "value", "currency", "custom_data", "app_data", "consent_state", "x-ga-gcd", "contents", "em"),
    *("id", "quantity", "price", "address", "country", "transaction_id", "event_time", "action_source", "db"),
    *("us_privacy", "extinfo", "messaging_channel", "dataset_id", "test_event_code", "_fbp", "_gtmeec", "enabled"),
)
_ANYTHING: Final = st.recursive(
    st.one_of(st.sampled_from([*_NUMBERS, *_TEXTS]), st.integers(), st.text(max_size=5)),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.sampled_from(_KEYS), inner, max_size=4), st.just(GRANTED)
    ),
    max_leaves=12,
)
OBJECTS: Final = st.dictionaries(st.sampled_from(_KEYS), _ANYTHING, max_size=5)


class TestAnyBody:
    world: Final = World()
    relay: Final = world.relay()

    @given(OBJECTS, st.booleans())
    @settings(max_examples=2_000, deadline=None, suppress_health_check=list(HealthCheck))
    def test_is_answered_and_never_with_500(self, body: Mapping[str, Any], is_granted: bool) -> None:
        # Not orjson, which writes no number beyond 64 bits: others do.
        answer = post(self.relay, json.dumps({"consent": GRANTED, **body} if is_granted else body).encode())
        assert answer.status in {200, 202, 400, 422}
        check_shape(orjson.loads(answer.body))

    @given(OBJECTS)
    @settings(max_examples=1_000, deadline=None, suppress_health_check=list(HealthCheck))
    def test_as_an_event_it_is_one_that_meta_takes_or_is_rejected(self, event: Mapping[str, Any]) -> None:
        """The stand-in's own rules judge: what it refuses should not have been sent."""
        body = {"event_data": {**lead(), **event}, "consent": GRANTED}
        shown = orjson.loads(post(self.relay, json.dumps(body).encode()).body)
        assert shown["outcome"] in {"delivered", "rejected", "withheld"}

    def test_the_counts_of_a_long_list_add_up(self) -> None:
        world = World()
        world.post(events=[*leads(3), {}, {"event_name": "x"}])
        assert 5 == sum(int(str(row["rows_received"])) for row in world.log.rows)
