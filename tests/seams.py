"""The real relay, as bootstrap puts it together, with ports that a test hands in: no network, no clock, no chance."""

from __future__ import annotations

import base64
import itertools
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final, TypeVar

import orjson

from lib import bootstrap
from lib.errors import RelayError
from lib.handlers import HTTPAnswer, HTTPRequest, Message, Relay
from lib.ports import Chance, Clock, Queue, Reply, Secrets, SideBySide, Transport
from tests.local.graph_payload import InvalidParameterError, parse_people
from tests.manual_clock import ManualClock

_T = TypeVar("_T")

CONFIG: Final[Mapping[str, Any]] = {
    "default_connection": "acme",
    "connections": {
        "acme": {"access_token": "env:TOKEN", "ad_account_id": "1", "default_country": "DE"},
        "globex": {"access_token": "env:TOKEN", "ad_account_id": "2", "external_id": "plain"},
    },
    "callers": "iam",
    "queue": {"topic": "projects/p/topics/t", "dead_letter_topic": "projects/p/topics/d"},
    "log_level": "ERROR",
}


class InTurn(SideBySide):
    """Makes calls one after the other, always in the same order."""

    def __init__(self) -> None:
        super().__init__(1)

    def __call__(self, calls: Sequence[Callable[[], _T]]) -> list[_T]:
        """Make the calls."""
        return [call() for call in calls]


@dataclass
class Meta:
    """
    Takes every call whose people Meta would take as they are; keeps the bodies.

    Args:
        strict: Anything else is a fault of the test's subject; otherwise Meta refuses it.
    """

    strict: bool = True
    bodies: list[dict[str, Any]] = field(default_factory=list, repr=False)
    tokens: set[str] = field(default_factory=set, repr=False)

    def __call__(self, method: str, url: str, *, headers: Mapping[str, str], body: bytes, timeout: float) -> Reply:
        """Answer one call."""
        assert timeout > 0
        assert method in {"POST", "DELETE"}
        assert "TOKEN" not in url
        self.tokens.add(headers["Authorization"])
        sent = orjson.loads(body)
        try:
            received = self._receive(sent)
        except (AssertionError, InvalidParameterError):
            if self.strict:
                raise
            return Reply(400, {}, b'{"error": {"code": 100, "type": "OAuthException"}}')
        self.bodies.append(sent)
        return Reply(200, {}, orjson.dumps({"num_received": received, "num_invalid_entries": 0}))

    @staticmethod
    def _receive(sent: dict[str, Any]) -> int:
        payload = {key: value for key, value in sent["payload"].items() if key != "page_ids"}
        has_pages = "PAGEUID" in payload["schema"]
        people = parse_people(
            payload | ({"page_ids": ["1"]} if has_pages else {}),
            value_based="LOOKALIKE_VALUE" in payload["schema"],
            value_required=False,
        )
        assert people.invalid == {}
        return people.received


@dataclass
class Kept:
    """A queue that keeps what is published."""

    messages: list[tuple[bytes, Mapping[str, str]]] = field(default_factory=list, repr=False)
    dead: list[tuple[bytes, Mapping[str, str]]] = field(default_factory=list, repr=False)

    def publish(self, data: bytes, attributes: Mapping[str, str], *, dead_letter: bool = False) -> None:
        """Keep a message."""
        (self.dead if dead_letter else self.messages).append((data, attributes))


@dataclass
class Log:
    """A delivery log that keeps its rows."""

    rows: list[Mapping[str, object]] = field(default_factory=list)

    def insert(self, rows: Sequence[Mapping[str, object]], *, timeout_s: float = 5.0) -> None:  # noqa: ARG002
        """Keep *rows*."""
        self.rows += rows


class Values:
    """Secrets whose value is their name."""

    def access(self, name: str, *, refresh: bool = False) -> bytes:
        """Return the value of *name*."""
        del refresh
        return name.removeprefix("env:").encode()


def numbered() -> Callable[[], str]:
    """Return what gives a new name each time, and always the same ones."""
    numbers = itertools.count(1)
    return lambda: f"{next(numbers):032x}"


def relay(
    *,
    transport: Transport,
    queue: Queue | None,
    log: Log | None = None,
    secrets: Secrets | None = None,
    clock: Clock | None = None,
    names: Callable[[], str] | None = None,
    config: Mapping[str, Any] = CONFIG,
) -> Relay:
    """Return the relay of *config* with these ports in place of the real ones."""
    document = dict(config)
    if queue is None:
        document.pop("queue", None)
    built = bootstrap.build({"RELAY_CONFIG": json.dumps(document)})
    clock = clock or Clock(now=lambda: 1_800_000_000.0, monotonic=lambda: 0.0, sleep=lambda _seconds: None)
    chance = Chance(jitter=lambda: 0.0, name=names or numbered())
    secrets = secrets or Values()
    graph_api = replace(built.outside.graph_api, transport=transport, secrets=secrets, clock=clock, chance=chance)
    outside = replace(
        built.outside,
        graph_api=graph_api,
        queue=queue,
        delivery_log=log or Log(),
        clock=clock,
        side_by_side=InTurn(),
    )
    return replace(built, outside=outside, secrets=secrets, clock=clock, chance=chance)


def post(one: Relay, body: Mapping[str, Any] | bytes, **headers: str) -> HTTPAnswer:
    """Send a request of `/audiences`."""
    raw = body if isinstance(body, bytes) else orjson.dumps(body)
    return one.receive(
        HTTPRequest(
            method="POST",
            path="/audiences",
            headers={"content-type": "application/json", **{name.replace("_", "-"): headers[name] for name in headers}},
            read_body=lambda: raw,
        )
    )


def message(data: bytes, *, message_id: str = "1", attempt: int = 1, **attributes: str) -> Message:
    """Return a message of Pub/Sub."""
    return Message(
        data=base64.b64encode(data).decode(),
        attributes={name.replace("_", "-"): value for name, value in attributes.items()},
        message_id=message_id,
        attempt=attempt,
    )


OK: Final = Reply(200, {}, b"{}")
#: What Meta answers when it is ill, busy, or will never do it.
ILL: Final = Reply(503, {}, b"")
THROTTLED: Final = Reply(400, {"Retry-After": "90"}, b'{"error": {"code": 17, "type": "OAuthException"}}')
REFUSED: Final = Reply(400, {}, b'{"error": {"code": 100, "error_subcode": 1713230, "type": "OAuthException"}}')
TOO_MUCH: Final = Reply(500, {}, b'{"error": {"code": 1, "type": "OAuthException"}}')
NO_TOKEN: Final = Reply(401, {}, b'{"error": {"code": 190, "type": "OAuthException"}}')


@dataclass
class Script:
    """
    Answers call after call as it is told, and then with success.

    Args:
        replies: For each audience, in their order; an error is raised.
        seconds: That each call takes on *clock*.
    """

    replies: dict[str, list[Reply | RelayError]] = field(default_factory=dict)
    clock: ManualClock | None = None
    seconds: float = 0.0
    sizes: list[tuple[str, int]] = field(default_factory=list)

    def __call__(self, method: str, url: str, *, headers: Mapping[str, str], body: bytes, timeout: float) -> Reply:
        """Answer one call."""
        del method, headers, timeout
        node = url.split("/")[-2]
        self.sizes.append((node, len(orjson.loads(body)["payload"]["data"])))
        if self.clock:
            self.clock.pass_(self.seconds)
        left = self.replies.get(node, [])
        reply = left.pop(0) if left else OK
        if isinstance(reply, RelayError):
            raise reply
        return reply
