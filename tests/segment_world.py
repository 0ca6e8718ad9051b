"""
The real relay beside Meta's stand-in and a gathering in this process: a clock, and every fault, in a test's hand.

The gathering is the backlog of Pub/Sub's stand-in itself: leases, redelivery and the order of keys are the same.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any, Final
from urllib.parse import parse_qsl, urlsplit

import orjson

from lib.authentication import Rights
from lib.changes import ACTIONS, Changes, parse_changes
from lib.errors import GraphAPIUnreachableError, QueueError
from lib.flush import Flush
from lib.handlers import Relay
from lib.outcomes import Answer
from lib.ports import Pulled, Reply
from lib.segment_delivery import Delivered
from lib.segment_flow import SegmentFlow
from lib.segments import Segment
from lib.sending import Origin, Sending
from tests import seams
from tests.local.graph_api import App, GraphAPI
from tests.local.http_server import Request
from tests.local.pubsub_backlog import Backlog, Message
from tests.manual_clock import ManualClock

ANYTHING: Final = Rights(caller="c", may_lower_consent=True)
SEGMENT: Final = Segment("44A23B49", "Segment 1")
LEASE_S: Final = 600.0


class CrashError(BaseException):
    """The machine is gone: nothing catches this."""


class Gathered:
    """The gathering over the backlog of one ordered subscription."""

    def __init__(self, clock: ManualClock, port: Callable[[str], None] = lambda _what: None) -> None:
        self.backlog = Backlog(ordered=True, backoff=lambda _attempt: 0.0, give_up=lambda _delivery: False)
        self.fails = False
        self._clock = clock
        self._port = port
        self._ids = 0

    def publish(self, messages: Sequence[tuple[str, bytes]], attributes: Mapping[str, str]) -> None:
        """Hold *messages*."""
        self._call("publish")
        for key, data in messages:
            self._ids += 1
            self.backlog.put(Message(data, attributes, f"m{self._ids}", key, ""))

    def pull(self, limit: int) -> Sequence[Pulled]:
        """Hand out what is due."""
        self._call("pull")
        taken = self.backlog.take(limit, self._clock.monotonic(), LEASE_S)
        return [
            Pulled(
                data=one.message.data,
                ack_id=one.ack_id,
                message_id=one.message.message_id,
                attributes=one.message.attributes,
            )
            for one in taken
        ]

    def acknowledge(self, ack_ids: Sequence[str]) -> None:
        """Forget."""
        self._call("acknowledge")
        self.backlog.take(0, self._clock.monotonic(), LEASE_S)
        for ack_id in ack_ids:
            self.backlog.acknowledge(ack_id)

    def hold(self, ack_ids: Sequence[str], seconds: float) -> None:
        """Move deadlines."""
        self._port("hold")
        now = self._clock.monotonic()
        for ack_id in ack_ids:
            self.backlog.extend(ack_id, now + min(seconds, LEASE_S))

    def _call(self, what: str) -> None:
        self._port(what)
        if self.fails:
            raise QueueError("Pub/Sub does not answer")


@dataclass
class World:
    """
    The relay and its outside.

    Args:
        segments: The part of the configuration.
        port: Told of each call to the outside, which the caller may not survive.
    """

    meta: GraphAPI
    clock: ManualClock
    segments: Mapping[str, Any]
    port: Callable[[str], None]
    gathers: bool = True
    more: Mapping[str, Any] = field(default_factory=dict)
    queue: seams.Kept | None = field(default_factory=seams.Kept)
    log: seams.Log = field(default_factory=seams.Log)

    def __post_init__(self) -> None:
        self.gathering = Gathered(self.clock, self.port)
        self.relay = self.instance()
        self.flushes = 0

    def instance(self) -> Relay:
        """Return an instance that remembers nothing."""
        one = seams.relay(
            transport=self._call,
            queue=self.queue,
            log=self.log,
            clock=self.clock.clock(),
            config={**seams.CONFIG, "segments": self.segments, **self.more},
        )
        return replace(one, outside=replace(one.outside, gathering=self.gathering if self.gathers else None))

    def restart(self) -> None:
        """Begin a new instance."""
        self.relay = self.instance()

    def _call(self, method: str, url: str, *, headers: Mapping[str, str], body: bytes, timeout: float) -> Reply:
        assert timeout > 0
        self.port(method)
        parts = urlsplit(url)
        request = Request(
            method,
            parts.path,
            tuple(parse_qsl(parts.query)),
            {name.lower(): value for name, value in headers.items()},
            body,
        )
        reply = self.meta._handle(request)
        if reply is None:
            raise GraphAPIUnreachableError("no answer from Meta")
        return Reply(reply.status, reply.headers, reply.body)

    def origin(self, request_id: str = "r") -> Origin:
        """Return where calls come from."""
        return Origin(request_id=request_id, trace_id="t", caller="c", kind="segments", started=self.clock.monotonic())

    def ask(
        self,
        body: Mapping[str, Any],
        *,
        rights: Rights = ANYTHING,
        bury: bool = False,
        patience: float | None = None,
    ) -> tuple[Answer, Sending]:
        """Send a body of `/segments`; its sender waits *patience* seconds for Meta."""
        deadline = None if patience is None else self.clock.monotonic() + patience
        flow = SegmentFlow(config=self.relay.config, outside=self.relay.outside, bury=bury)
        answer, sending = flow.run(body, rights=rights, origin=replace(self.origin(), deadline=deadline))
        sending.finish()
        return answer, sending

    def deliver(self, data: bytes) -> tuple[Answer, Sending]:
        """Deliver a message of changes."""
        flow = SegmentFlow(config=self.relay.config, outside=self.relay.outside, bury=True)
        return flow.deliver(parse_changes(orjson.loads(data)), self.origin())

    def flush(self) -> list[Delivered]:
        """Drain the gathering once."""
        self.flushes += 1
        return Flush(config=self.relay.config, outside=self.relay.outside).run(self.origin(f"flush-{self.flushes}"))

    def change(self, change: str, *emails: str, segment: Segment = SEGMENT, **more: Any) -> None:
        """Gather people who enter or leave; each is known by an address, as its digest would be."""
        self.gather(
            Changes(
                connection="acme",
                segment=segment,
                action=ACTIONS[change],
                schema=("EMAIL",),
                rows=[[digest(email)] for email in emails],
                **more,
            )
        )

    def gather(self, changes: Changes) -> None:
        """Gather *changes*, as the flow does."""
        self.gathering.publish([(key, one.to_json()) for key, one in changes.by_key()], {"trace-id": "t"})

    def emails(self, audience_id: str) -> set[str]:
        """Return the digests of the members' addresses."""
        return {value for person in self.meta.members(audience_id) for key, value in person if key == "EMAIL"}

    def calls(self, end: str = "users") -> list[Any]:
        """Return the calls to Meta whose path ends so."""
        return [call for call in self.meta.calls if call.path.endswith(end)]

    def dead(self) -> list[tuple[dict[str, Any], Mapping[str, str]]]:
        """Return the dead letters, read."""
        return [(orjson.loads(data), attributes) for data, attributes in (self.queue.dead if self.queue else ())]


@contextmanager
def world(
    segments: Mapping[str, Any] | None = None,
    *,
    gathers: bool = True,
    queue: bool = True,
    port: Callable[[str], None] = lambda _what: None,
    **more: Any,
) -> Iterator[World]:
    """Yield a world with the ad accounts 1 and 2 and no audience; *more* is configured beside the segments."""
    clock = ManualClock()
    with GraphAPI(tokens={"TOKEN": App()}, clock=clock.monotonic, now=clock.now) as meta:
        meta.add_account("1")
        meta.add_account("2")
        yield World(
            meta=meta,
            clock=clock,
            segments=segments or {},
            port=port,
            gathers=gathers,
            more=more,
            queue=seams.Kept() if queue else None,
        )
        assert meta.violations == []


def digest(text: str) -> str:
    """Return SHA-256 in hex."""
    return hashlib.sha256(text.encode()).hexdigest()
