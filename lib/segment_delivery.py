"""The last changes of a segment on their way to its audience: who has left first, then who has entered."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

import orjson

from lib.changes import Action, LastChange, SegmentChanges, batches_of
from lib.config import Config, Connection, SegmentSettings
from lib.errors import ConfigurationError, GraphAPIError, QueueError, RelayError, Retry
from lib.graph_request import GraphRequest, audience_call, session
from lib.outcomes import Result
from lib.segment_audiences import SegmentAudiences
from lib.segments import Segment
from lib.sending import Outside, Sending, error_columns

logger = logging.getLogger(__name__)

_ORDER: tuple[Action, ...] = ("remove", "add")


@dataclass(slots=True)
class Delivered:
    """
    What became of a segment's changes.

    Args:
        sending: The calls, and the rows of the log.
        result: Of the audience.
        left: Changes that have to wait, and why.
        dead: Changes for which there can never be an audience.
    """

    sending: Sending
    result: Result
    left: list[tuple[LastChange, RelayError]] = field(default_factory=list)
    dead: list[tuple[LastChange, RelayError]] = field(default_factory=list)


@dataclass(frozen=True, slots=True, kw_only=True)
class SegmentDelivery:
    """
    Sends changes of segments.

    Args:
        bury: Whether what Meta refuses for good becomes a dead letter.
    """

    config: Config
    settings: SegmentSettings
    outside: Outside
    bury: bool

    def audiences(self, deadline: float | None = None) -> SegmentAudiences:
        """Return what finds and makes the audiences."""
        return SegmentAudiences(
            graph_api=self.outside.graph_api,
            clock=self.outside.clock,
            settings=self.settings,
            known=self.outside.known_audiences,
            on_made=self._fill,
            deadline=deadline,
        )

    def _fill(self, connection: Connection, segment: Segment) -> None:
        """Have a new audience filled from the source of its segment; without one it holds who enters from now on."""
        source = next(
            (one for one in self.config.sources.values() if (one.segment or {}).get("id") == segment.id), None
        )
        if source is None or self.outside.queue is None:
            logger.warning("an audience is made for a segment; it holds who enters from now on, until it is synced")
            return
        named = {"id": segment.id, "name": segment.name}
        asked = {"segment": named, "change": "sync", "source": source.name, "connection": connection.name}
        try:
            self.outside.queue.publish(orjson.dumps(asked), {"type": "segments"})
        except QueueError as error:
            logger.error("an audience is made for a segment, and is not filled: %s", error.message)  # noqa: TRY400 - the frames say nothing

    def send(self, changes: SegmentChanges, sending: Sending, seeds: Sequence[str]) -> Delivered:
        """
        Send *changes*; what has to wait is left, and not published.

        Args:
            sending: Makes the calls, and keeps what has to wait.
            seeds: For each message the id that session ids derive from.
        """
        delivered = Delivered(sending, Result(destination={"segment_id": changes.segment.id}))
        sending.columns_of = lambda _request: {"segment_id": changes.segment.id}
        try:
            connection = self.connection(changes.connection)
            make = self.settings.on_deleted == "create"
            audiences = self.audiences(sending.origin.deadline)
            audience_id = audiences.audience_of(connection, changes.segment, make=make)
        except RelayError as error:
            self._turn_away(delivered, list(changes.people.values()), changes, error)
            return delivered
        people = [change for action in _ORDER for change in changes.of(action)]
        again = self._try(delivered, connection, audience_id, people, seeds)
        if again is not None:
            self._try_elsewhere(delivered, connection, changes, again, seeds)
        return delivered

    def connection(self, name: str) -> Connection:
        """
        Return the connection that a message names.

        Raises:
            ConfigurationError: It is not configured any more.
        """
        connection = self.config.connections.get(name)
        if connection is None:
            raise ConfigurationError(
                "the connection of gathered changes is not configured",
                process="send",
                action="Add the connection to the configuration again, or purge the subscription.",
            )
        return connection

    def requests(
        self, connection: Connection, audience_id: str, people: Sequence[LastChange], seeds: Sequence[str]
    ) -> Iterator[GraphRequest]:
        """Yield the calls; a row's number is its place in *people*, who stand in the order of their actions."""
        start = number = 0
        while start < len(people):
            action = people[start].action
            same = next((end for end in range(start, len(people)) if people[end].action != action), len(people))
            for batch in batches_of(people[start:same]):
                number += 1
                # The messages tell this batch from one of the same people another day.
                seed = [audience_id, number, [seeds[people[start + one].messages[-1]] for one in batch.numbers]]
                call = audience_call(
                    batch,
                    action=action,
                    connection=connection.name,
                    destination={"audience_id": audience_id},
                    session=session(orjson.dumps(seed).decode(), batch_seq=1, last=True),
                    batch_number=number,
                    ids={},
                )
                yield replace(call, numbers=[start + one for one in batch.numbers])
            start = same

    def _try(
        self,
        delivered: Delivered,
        connection: Connection,
        audience_id: str,
        people: Sequence[LastChange],
        seeds: Sequence[str],
    ) -> tuple[str, list[LastChange], GraphAPIError] | None:
        """Make the calls; return the people of those at which Meta sees no such audience."""
        sending = delivered.sending
        refused, waiting = len(sending.refused), len(sending.waiting)
        # What stops removals ("too small to remove people") need not stop additions.
        results: dict[str, Result] = {action: Result(destination={"audience_id": audience_id}) for action in _ORDER}
        for request in self.requests(connection, audience_id, people, seeds):
            sending.dispatch([(results[request.action], request)])
        delivered.result = _joined([result for result in results.values() if result.parts])
        for request, error in sending.waiting[waiting:]:
            delivered.left += [(people[number], error) for number in request.numbers]
        gone: list[LastChange] = []
        seen: GraphAPIError | None = None
        for request, error in sending.refused[refused:]:
            if isinstance(error, GraphAPIError) and _is_gone(error):
                gone += [people[number] for number in request.numbers]
                seen = error
            else:
                self._put_away(delivered, request, error, people)
        return (audience_id, gone, seen) if seen is not None else None

    def _try_elsewhere(
        self,
        delivered: Delivered,
        connection: Connection,
        changes: SegmentChanges,
        again: tuple[str, list[LastChange], GraphAPIError],
        seeds: Sequence[str],
    ) -> None:
        """Send to the audience that takes the place of one that is gone; it is looked for once."""
        gone, people, error = again
        try:
            audiences = self.audiences(delivered.sending.origin.deadline)
            audience_id = audiences.another(connection, changes.segment, gone, error)
        except RelayError as reason:
            self._turn_away(delivered, people, changes, reason)
            return
        if (more := self._try(delivered, connection, audience_id, people, seeds)) is not None:
            self._turn_away(delivered, more[1], changes, more[2])

    def _turn_away(
        self, delivered: Delivered, people: Sequence[LastChange], changes: SegmentChanges, error: RelayError
    ) -> None:
        """Leave *people* for whom there is no audience now, or who can never have one."""
        delivered.result.errors.append(error)
        delivered.result.parts.append("failed")
        delivered.sending.log(
            destination=delivered.result.destination,
            outcome="failed",
            part="audience",
            connection=changes.connection,
            segment_id=changes.segment.id,
            rows_received=len(people),
            **error_columns(error),
        )
        kept = delivered.dead if error.retry is Retry.NEVER else delivered.left
        kept += [(change, error) for change in people]

    def _put_away(
        self, delivered: Delivered, request: GraphRequest, error: RelayError, people: Sequence[LastChange]
    ) -> None:
        """Put a refused call among the dead letters; while they do not take it, its people wait."""
        if not self.bury:
            return
        try:
            delivered.sending.put_away(request, error)
        except QueueError as failure:
            delivered.left += [(people[number], failure) for number in request.numbers]


def _joined(results: Sequence[Result]) -> Result:
    """Return the results of one audience as one."""
    received = [result.num_received for result in results if result.num_received is not None]
    return Result(
        destination=results[0].destination,
        parts=[part for result in results for part in result.parts],
        num_received=sum(received) if received else None,
        num_invalid_entries=sum(result.num_invalid_entries for result in results),
        fbtrace_id=next((result.fbtrace_id for result in results if result.fbtrace_id), None),
        errors=[error for result in results for error in result.errors],
        requests=[one for result in results for one in result.requests or ()] or None,
        answers=[one for result in results for one in result.answers or ()] or None,
    )


#: Meta's "audience deleted", and what it says of a node that is not there or not to be seen.
_DELETED: Final = 1487366
_NO_SUCH_OBJECT: Final = (100, 33)


def _is_gone(error: GraphAPIError) -> bool:
    numbers = (error.code, error.error_subcode)
    return numbers == _NO_SUCH_OBJECT or _DELETED in numbers
