"""
What one subscription still has to deliver: leases, redelivery, backoff, and order within a key.

No threads and no clock of its own: the time comes in, and the caller holds the lock.
"""

import bisect
import heapq
import itertools
import math
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from operator import attrgetter

_order = attrgetter("order")


@dataclass(frozen=True, slots=True)
class Message:
    """A published message; *publish_time* in RFC 3339."""

    data: bytes
    attributes: Mapping[str, str]
    message_id: str
    ordering_key: str
    publish_time: str


@dataclass(slots=True, eq=False)
class Lane:
    """
    Messages that are delivered one after the other: those of an ordering key, else one message alone.

    While one of them is out, no other goes, except in the same answer to a pull. *done* are those that were
    acknowledged while an earlier one is still out.
    """

    key: str
    pending: list["Delivery"] = field(default_factory=list)
    out: set["Delivery"] = field(default_factory=set)
    done: list["Delivery"] = field(default_factory=list)
    not_before: float = -math.inf


@dataclass(slots=True, eq=False)
class Delivery:
    """One message on its way through this subscription; *attempt* counts from 1 once it was handed out."""

    message: Message
    order: int
    lane: Lane
    attempt: int = 0
    ack_id: str = ""
    deadline: float = math.inf


class Backlog:
    """
    The messages of one subscription that are not acknowledged.

    *backoff* gives the seconds before the next delivery after a number of attempts. *give_up* is asked
    about each delivery that failed and answers whether it took the message over (to the dead-letter topic).
    """

    def __init__(self, *, ordered: bool, backoff: Callable[[int], float], give_up: Callable[[Delivery], bool]) -> None:
        self._ordered = ordered
        self._backoff = backoff
        self._give_up = give_up
        self._order = itertools.count()
        self._lanes: dict[str, Lane] = {}
        self._ready: deque[Lane] = deque()
        self._waiting: list[tuple[float, int, Lane]] = []
        self._out: dict[str, Delivery] = {}
        self._deadlines: list[tuple[float, str]] = []
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def put(self, message: Message) -> None:
        """Add a published message."""
        key = message.ordering_key if self._ordered else ""
        lane = self._lanes.get(key) if key else None
        if lane is None:
            lane = Lane(key)
            if key:
                self._lanes[key] = lane
        lane.pending.append(Delivery(message, next(self._order), lane))
        self._count += 1
        if len(lane.pending) == 1 and not lane.out:
            self._ready.append(lane)

    def take(self, limit: int, now: float, lease_s: float) -> list[Delivery]:
        """Hand out up to *limit* messages for *lease_s* seconds: the oldest first, a key's in their order."""
        self._advance(now)
        return list(self._handed_out(limit, now + lease_s))

    def _handed_out(self, limit: int, deadline: float) -> Iterator[Delivery]:
        while self._ready and limit > 0:
            lane = self._ready.popleft()
            taken, lane.pending = lane.pending[:limit], lane.pending[limit:]
            lane.out.update(taken)
            limit -= len(taken)
            for delivery in taken:
                delivery.attempt += 1
                delivery.ack_id = f"ack-{delivery.order}-{delivery.attempt}"
                self._out[delivery.ack_id] = delivery
                self._lease(delivery, deadline)
                yield delivery

    def holds(self, ack_id: str) -> bool:
        """Tell whether this delivery is out and neither acknowledged nor expired."""
        return ack_id in self._out

    def acknowledge(self, ack_id: str) -> None:
        """Forget the message; an id that expired is ignored, as Pub/Sub does."""
        if delivery := self._out.pop(ack_id, None):
            self._count -= 1
            delivery.lane.out.discard(delivery)
            delivery.lane.done.append(delivery)
            self._come_back(delivery.lane)

    def nack(self, ack_id: str, now: float) -> None:
        """Deliver the message again after its backoff, unless it is given up."""
        delivery = self._out.pop(ack_id, None)
        if delivery is None:
            return
        lane = delivery.lane
        lane.out.discard(delivery)
        if self._give_up(delivery):
            self._count -= 1
        else:
            self._take_back(delivery)
            lane.not_before = now + self._backoff(delivery.attempt)
        self._come_back(lane)

    def _take_back(self, delivery: Delivery) -> None:
        """
        Put a message back, and with it all later ones of its key, "including acknowledged messages".

        So Pub/Sub keeps the order for who applies each message as it comes (pubsub/docs/ordering).
        """
        lane = delivery.lane
        later = [each for each in lane.out if each.order > delivery.order]
        done = [each for each in lane.done if each.order > delivery.order]
        for each in later:
            del self._out[each.ack_id]
        lane.out.difference_update(later)
        lane.done = [each for each in lane.done if each.order < delivery.order]
        self._count += len(done)
        for each in (delivery, *later, *done):
            bisect.insort(lane.pending, each, key=_order)

    def extend(self, ack_id: str, deadline: float) -> None:
        """Move the deadline of a message that is out."""
        if delivery := self._out.get(ack_id):
            self._lease(delivery, deadline)

    def due(self) -> float:
        """Return when something will happen by itself: a backoff that ends, a lease that expires."""
        waiting = self._waiting[0][0] if self._waiting else math.inf
        return min(waiting, self._deadlines[0][0] if self._deadlines else math.inf)

    def _lease(self, delivery: Delivery, deadline: float) -> None:
        delivery.deadline = deadline
        if deadline < math.inf:
            heapq.heappush(self._deadlines, (deadline, delivery.ack_id))

    def _come_back(self, lane: Lane) -> None:
        if lane.out:
            return
        lane.done.clear()
        if lane.pending:
            heapq.heappush(self._waiting, (lane.not_before, next(self._order), lane))
        elif lane.key:
            del self._lanes[lane.key]

    def _advance(self, now: float) -> None:
        while self._deadlines and self._deadlines[0][0] <= now:
            deadline, ack_id = heapq.heappop(self._deadlines)
            delivery = self._out.get(ack_id)
            if delivery is not None and delivery.deadline == deadline:
                self.nack(ack_id, now)
        while self._waiting and self._waiting[0][0] <= now:
            self._ready.append(heapq.heappop(self._waiting)[2])
