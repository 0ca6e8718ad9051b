"""The whole relay for `/events`, with ports that a test hands in: no network, no clock, no chance."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

import orjson

from lib.handlers import HTTPAnswer, HTTPRequest, Message, Relay
from lib.ports import Reply
from tests.local.graph_events import OTHER, Dataset, Event, InvalidEventError, event_violations, parse_events
from tests.local.graph_payload import InvalidParameterError
from tests.manual_clock import ManualClock
from tests.seams import Kept, Log, Values, message, relay

NOW: Final = 1_800_000_000
DAY: Final = 86_400
CONFIG: Final[Mapping[str, Any]] = {
    "default_connection": "acme",
    "connections": {
        "acme": {"access_token": "env:TOKEN", "dataset_id": "3001", "default_country": "DE"},
        "hooli": {"access_token": "env:TOKEN", "dataset_id": "3002", "default_country": "DE"},
        "globex": {
            "access_token": "env:TOKEN",
            "dataset_id": "4001",
            "external_id": "plain",
            "default_currency": "USD",
            "test_event_code": "GLOBEX",
        },
    },
    "callers": "iam",
    "event_enhancement": {"key": "env:ENHANCEMENT"},
    "queue": {"topic": "projects/p/topics/t", "dead_letter_topic": "projects/p/topics/d"},
    "log_level": "ERROR",
}
GRANTED: Final = {"state": {"ad_storage": "granted", "ad_user_data": "granted"}}


def refusal(status: int, code: int, subcode: int | None = None) -> Reply:
    """Return an error of Meta's."""
    return Reply(status, {}, orjson.dumps({"error": {"code": code, "error_subcode": subcode, "message": "-"}}))


@dataclass
class Meta:
    """The events edge: takes a call whole or refuses it whole, as the stand-in of `make run` does."""

    now: float = NOW
    refused: set[str] = field(default_factory=set)
    bodies: list[dict[str, Any]] = field(default_factory=list)
    raw: list[bytes] = field(default_factory=list)
    datasets: dict[str, Dataset] = field(default_factory=dict)

    def __call__(self, method: str, url: str, *, headers: Mapping[str, str], body: bytes, timeout: float) -> Reply:
        """Answer one call."""
        del headers, timeout
        sent = orjson.loads(body)
        assert (method, []) == ("POST", list(event_violations(sent)))
        self.bodies.append(sent)
        self.raw.append(body)
        dataset_id = url.rpartition("/v26.0/")[2].removesuffix("/events")
        try:
            events = parse_events(sent, now=self.now)
            if any(event["event_id"] in self.refused for event in events):
                raise InvalidEventError("An event is not valid", OTHER)
        except InvalidParameterError as error:
            return refusal(400, 100, error.subcode if isinstance(error, InvalidEventError) else None)
        self.datasets.setdefault(dataset_id, Dataset(dataset_id, "")).add(events, self.now)
        return Reply(200, {}, orjson.dumps({"events_received": len(events), "messages": []}))

    def events(self, dataset_id: str = "3001") -> list[Event]:
        """Return what a dataset has."""
        return self.datasets[dataset_id].events if dataset_id in self.datasets else []


@dataclass
class World:
    """A relay and what is around it."""

    meta: Meta = field(default_factory=Meta)
    queue: Kept = field(default_factory=Kept)
    log: Log = field(default_factory=Log)
    clock: ManualClock = field(default_factory=lambda: ManualClock(NOW))
    secrets: Values = field(default_factory=Values)
    has_queue: bool = True

    def relay(self) -> Relay:
        return relay(
            transport=self.meta,
            queue=self.queue if self.has_queue else None,
            log=self.log,
            secrets=self.secrets,
            clock=self.clock.clock(),
            config=CONFIG,
        )

    def post(self, **body: Any) -> dict[str, Any]:
        """Send a request of `/events`, consent granted, and return the answer's body."""
        answer = post(self.relay(), {"consent": GRANTED, **body})
        assert answer.status != 500
        shown: dict[str, Any] = orjson.loads(answer.body)
        return shown

    def deliver(self, body: Mapping[str, Any], **more: Any) -> bool:
        """Deliver a message of type `events`, published a second ago."""
        return self.relay().deliver(published(orjson.dumps({"consent": GRANTED, **body}), type="events", **more))


def post(one: Relay, body: Mapping[str, Any] | bytes) -> HTTPAnswer:
    """Send *body* to `/events`."""
    raw = body if isinstance(body, bytes) else orjson.dumps(body)
    headers = {"content-type": "application/json"}
    return one.receive(HTTPRequest(method="POST", path="/events", headers=headers, read_body=lambda: raw))


def published(data: bytes, **more: Any) -> Message:
    """Return a message that was published a second and a half ago."""
    return replace(message(data, **more), published=NOW - 1.5)


def lead(number: int = 0, /, **changed: Any) -> dict[str, Any]:
    """Return an event of sGTM."""
    return {
        "event_name": "generate_lead",
        "event_id": f"E-{number}",
        "timestamp": NOW - 10,
        "page_location": "https://shop.example.de/beratung",
        "user_agent": "Mozilla/5.0",
        "user_data": {"email_address": f"person{number}@example.com"},
    } | changed


def leads(count: int, **changed: Any) -> list[dict[str, Any]]:
    """Return so many of them."""
    return [lead(number, **changed) for number in range(count)]


def ids(events: Sequence[Event]) -> list[str]:
    """Return the ids of Meta's events."""
    return [event["event_id"] for event in events]
