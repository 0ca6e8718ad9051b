"""
The gathered changes of segments, drained: pulled, the last change of each person sent, and only then acknowledged.

Two flushes at once do not meet: while a message of an ordering key is out, Pub/Sub gives none of that key to anybody
else, and a person's changes all have one key. One that dies gives its messages back when their time is over.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Final

from lib.changes import LastChange, SegmentChanges, parse_changes
from lib.config import Config, SegmentSettings
from lib.errors import ConfigurationError, InvalidRequestError, QueueError, RateLimitError, RelayError, Retry
from lib.gathering import MAX_HOLD_S
from lib.outcomes import shown_error
from lib.ports import Gathering, Pulled
from lib.relay_request import parse_json
from lib.segment_delivery import Delivered, SegmentDelivery
from lib.sending import Origin, Outside, Sending

logger = logging.getLogger(__name__)

#: Messages in one pull, which is Pub/Sub's own limit.
_PULL: Final = 1_000
#: What one round holds in memory at most.
_MAX_ROWS: Final = 50_000
_MAX_BYTES: Final = 64_000_000
#: Seconds: for pulling in one round; for calls, after which the messages could come to somebody else; and after which
#: no new round begins, since the next flush comes within the minute.
_PULLING_S: Final = 30.0
_ROUND_S: Final = MAX_HOLD_S - 120.0
_FLUSH_S: Final = 45.0
#: Seconds for which changes are left alone that wait for a person, or for Meta to be well again.
_UNTIL_A_PERSON_ACTS_S: Final = 300.0
_UNTIL_LATER_S: Final = 30.0


@dataclass(slots=True)
class _Round:
    """What was pulled at once: the messages, and what they say of each segment."""

    messages: list[Pulled] = field(default_factory=list, repr=False)
    segments: dict[tuple[str, str], SegmentChanges] = field(default_factory=dict, repr=False)
    unreadable: list[tuple[Pulled, RelayError]] = field(default_factory=list, repr=False)
    rows: int = 0
    size: int = 0

    def take(self, pulled: Pulled) -> None:
        """Take in one message; one that cannot be read is put aside."""
        self.size += len(pulled.data)
        try:
            changes = parse_changes(parse_json(pulled.data))
        except InvalidRequestError as error:
            self.unreadable.append((pulled, error))
            return
        key = (changes.connection, changes.segment.id)
        if key not in self.segments:
            self.segments[key] = SegmentChanges(changes.connection, changes.segment)
        self.segments[key].add(changes, len(self.messages))
        self.messages.append(pulled)
        self.rows += len(changes.rows)

    @property
    def is_full(self) -> bool:
        return self.rows >= _MAX_ROWS or self.size >= _MAX_BYTES


@dataclass(frozen=True, slots=True, kw_only=True)
class Flush:
    """Drains the gathering."""

    config: Config
    outside: Outside

    def run(self, origin: Origin) -> list[Delivered]:
        """
        Send what is gathered, in rounds until one is not full or the next flush is near.

        A round that is not full has left little behind, which costs fewer calls together with what comes next.

        Raises:
            ConfigurationError: Nothing is gathered here.
            QueueError: The gathering does not answer; what was pulled comes again.
        """
        settings, gathering = self.config.segments, self.outside.gathering
        if settings is None or gathering is None:
            raise ConfigurationError(
                "a flush without a gathering",
                process="flush",
                action="Configure segments.topic and segments.subscription, or stop the scheduled flush.",
            )
        clock = self.outside.clock
        until = clock.monotonic() + _FLUSH_S
        delivered: list[Delivered] = []
        while clock.monotonic() < until and (one := self._pull(gathering)) is not None:
            delivered += self._send(one, settings, gathering, replace(origin, kind="segments"))
            if not one.is_full:
                break
        return delivered

    def _pull(self, gathering: Gathering) -> _Round | None:
        """Pull until nothing comes or the round is full; None if nothing came at all."""
        clock = self.outside.clock
        one = _Round()
        until = clock.monotonic() + _PULLING_S
        while not one.is_full and clock.monotonic() < until:
            pulled = gathering.pull(_PULL)
            for message in pulled:
                one.take(message)
            if not pulled:
                break
        return one if one.messages or one.unreadable else None

    def _send(self, one: _Round, settings: SegmentSettings, gathering: Gathering, origin: Origin) -> list[Delivered]:
        """Send a round; what Meta has or what is put away for good is acknowledged, and the rest left to its time."""
        origin = replace(origin, deadline=self.outside.clock.monotonic() + _ROUND_S)
        delivery = SegmentDelivery(
            config=self.config, settings=settings, outside=self.outside, bury=self.outside.queue is not None
        )
        seeds = [message.message_id for message in one.messages]
        delivered = self.outside.side_by_side(
            [
                partial(delivery.send, changes, Sending(outside=self.outside, origin=origin, redeliver=True), seeds)
                for changes in one.segments.values()
            ]
        )
        left = _waits(pair for each in delivered for pair in each.left)
        for number, error in self._buried(one, delivered):
            left[number] = max(left.get(number, 0.0), _wait(error))
        done = [message.ack_id for number, message in enumerate(one.messages) if number not in left]
        try:
            gathering.acknowledge([*done, *self._put_away(one.unreadable, gathering)])
            for wait in set(left.values()):
                gathering.hold([one.messages[number].ack_id for number in left if left[number] == wait], wait)
        finally:
            self.outside.delivery_log.insert([row for each in delivered for row in each.sending.rows])
        return delivered

    def _buried(self, one: _Round, delivered: Iterable[Delivered]) -> list[tuple[int, RelayError]]:
        """Put messages among the dead letters that can never succeed; return those that could not be put there."""
        dead = {number: error for each in delivered for change, error in each.dead for number in change.messages}
        kept: list[tuple[int, RelayError]] = []
        for number, error in dead.items():
            try:
                self._bury(one.messages[number], error)
            except QueueError as failure:
                kept.append((number, failure))
        return kept

    def _put_away(self, unreadable: Sequence[tuple[Pulled, RelayError]], gathering: Gathering) -> list[str]:
        """Put what cannot be read among the dead letters as it came; return what can be acknowledged."""
        done = []
        for message, error in unreadable:
            trace_id = message.attributes.get("trace-id", "")
            facts = shown_error(error, trace_id, self.outside.clock.now())
            logger.error("a gathered message cannot be read: %s", error.message, extra={"error": facts})
            try:
                self._bury(message, error)
            except QueueError:
                gathering.hold([message.ack_id], MAX_HOLD_S)
            else:
                done.append(message.ack_id)
        return done

    def _bury(self, message: Pulled, error: RelayError) -> None:
        if self.outside.queue is None:
            raise QueueError("no queue is configured")
        attributes = {"type": "changes", "trace-id": message.attributes.get("trace-id", ""), "reason": error.message}
        self.outside.queue.publish(message.data or b"{}", attributes, dead_letter=True)


def _waits(left: Iterable[tuple[LastChange, RelayError]]) -> dict[int, float]:
    """Return for each message that has to wait the seconds: of all that it says the longest."""
    waits: dict[int, float] = {}
    for change, error in left:
        for number in change.messages:
            waits[number] = max(waits.get(number, 0.0), _wait(error))
    return waits


def _wait(error: RelayError) -> float:
    if isinstance(error, RateLimitError):
        return error.retry_after
    return _UNTIL_A_PERSON_ACTS_S if error.retry is Retry.ONCE_A_PERSON_ACTS else _UNTIL_LATER_S
