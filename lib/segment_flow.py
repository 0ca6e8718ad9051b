"""A request of `/segments`, from its body to its answer: who enters or leaves is gathered, or sent at once."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

import orjson

from lib.admission import Admission, why_withheld, withheld_columns
from lib.audience_admin import new_audience
from lib.audiences import Policy, build_batches
from lib.authentication import Rights
from lib.changes import ACTIONS, Changes, SegmentChanges
from lib.config import Config, Connection, SegmentSettings
from lib.consent import Verdict, stated_signals, weigh
from lib.errors import ConfigurationError, NobodyToSendError, QueueError, RelayError
from lib.outcomes import Answer, Outcome, Result
from lib.queue import MAX_MESSAGE_BYTES
from lib.report import Report
from lib.segment_delivery import SegmentDelivery
from lib.segments import GATHERED, SegmentRequest, map_people, parse_segment_request, stated_consent
from lib.sending import Origin, Outside, Sending, error_columns

_AT_ONCE = "segments.topic is not configured: the change is sent at once, and costs a call to Meta of its own"


@dataclass(frozen=True, slots=True, kw_only=True)
class SegmentFlow:
    """
    What stays the same for all requests.

    Args:
        bury: See `Sending`.
    """

    config: Config
    outside: Outside
    bury: bool = False

    @property
    def _admission(self) -> Admission:
        return Admission(self.config, self.outside)

    def run(self, body: Mapping[str, object], *, rights: Rights, origin: Origin) -> tuple[Answer, Sending]:
        """
        Do what *body* asks for.

        Raises:
            RelayError: Before anything is sent.
        """
        request = parse_segment_request(body)
        if request.change not in GATHERED:
            return self._sync(body, rights=rights, origin=origin)
        settings = self._settings()
        connection = self._admission.connection(request.options.connection, "connection")
        self._admission.authorize(
            rights,
            request.options,
            actions=[request.change],
            names={connection.name},
            configured=self.config.consent.segments,
        )
        report = Report(warnings=dict.fromkeys(request.warnings))
        sending = Sending(outside=self.outside, origin=origin, debug=request.options.debug)
        # What is gathered waits in any case.
        optimistic = request.options.optimistic and self.outside.gathering is None
        sending.mode = self._admission.mode(replace(request.options, optimistic=optimistic), report)
        users, verdict = self._consenting(request, settings, report)
        if not users:
            return self._withhold(request, connection, report, sending, verdict), sending
        changes = self._changes(request, users, connection, report, origin)
        if not changes:
            return self._reject(request, connection, report, sending), sending
        result = self._do(changes, settings, connection, report, sending)
        if sending.mode != "show":
            named = {"connection": connection.name, "segment_id": request.segment.id}
            sending.log_rejects(result, report, None, action=request.change, **named)
        return _answer(result, report), sending

    def _sync(self, body: Mapping[str, object], *, rights: Rights, origin: Origin) -> tuple[Answer, Sending]:
        """Leave `sync`, `mirror` and `replace` to the flow that reads sources."""
        from lib.sync_flow import SyncFlow  # noqa: PLC0415 - for those alone who sync

        return SyncFlow(config=self.config, outside=self.outside, bury=self.bury).run(
            body, rights=rights, origin=origin
        )

    def deliver(self, changes: Changes, origin: Origin) -> tuple[Answer, Sending]:
        """
        Do what a `changes` message asks for: one that waited in the queue, or that was put back from the dead letters.

        Raises:
            RelayError: Nothing of it is done.
        """
        sending = Sending(outside=self.outside, origin=origin)
        report = Report()
        if self.outside.gathering is not None:
            result = self._gather([changes], sending)
        else:
            result = self._send([changes], self._settings(), sending, is_held=True)
        return _answer(result, report), sending

    def _settings(self) -> SegmentSettings:
        if self.config.segments is None:
            raise ConfigurationError(
                "segments are not configured", process="gate", action="Add segments to the configuration; {} will do."
            )
        return self.config.segments

    def _consenting(
        self, request: SegmentRequest, settings: SegmentSettings, report: Report
    ) -> tuple[dict[int, object], Verdict]:
        """Return the users who consent by their numbers, and the verdict on the first who does not."""
        users = dict(enumerate(request.users or ()))
        options = request.options
        if options.event is not None and options.event.is_preview_monitor():
            return {}, Verdict()
        required = self.config.consent.segments if options.required is None else options.required
        if request.change == "leave" or not required:
            return users, Verdict()
        common = stated_signals(options.event.get if options.event else None, options.state)
        mapping = settings.mapping_of(request.segment.id)
        verdicts = {
            number: weigh(
                required,
                common | stated_signals(None, stated_consent(user, mapping, request.categories)),
                absent=self.config.consent.absent,
            )
            for number, user in users.items()
        }
        granted = {number: user for number, user in users.items() if verdicts[number].granted}
        for number, verdict in verdicts.items() if granted else ():
            if not verdict.granted:
                report.reject_row(number, why_withheld(verdict))
        return granted, next((verdict for verdict in verdicts.values() if not verdict.granted), Verdict())

    def _withhold(
        self, request: SegmentRequest, connection: Connection, report: Report, sending: Sending, verdict: Verdict
    ) -> Answer:
        result = Result(destination={"segment_id": request.segment.id}, parts=["withheld"])
        if sending.mode != "show":
            self._log(sending, request, connection, outcome="withheld", **withheld_columns(verdict))
        report.warn(why_withheld(verdict))
        return Answer(outcome="withheld", results=[result], report=report)

    def _reject(self, request: SegmentRequest, connection: Connection, report: Report, sending: Sending) -> Answer:
        result = Result(destination={"segment_id": request.segment.id}, parts=["rejected"])
        if sending.mode != "show":
            reasons = orjson.dumps(report.counted(None), option=orjson.OPT_SORT_KEYS).decode()
            rejected = {"rows_rejected": report.rejected_rows(None), "reject_reasons": reasons}
            self._log(sending, request, connection, outcome="rejected", **rejected)
        nobody = NobodyToSendError("nobody in it can be sent; `rejected` says why")
        return Answer(outcome="rejected", results=[result], report=report, error=nobody)

    @staticmethod
    def _log(
        sending: Sending, request: SegmentRequest, connection: Connection, *, outcome: Outcome, **columns: object
    ) -> None:
        sending.log(
            destination={"segment_id": request.segment.id},
            outcome=outcome,
            action=request.change,
            connection=connection.name,
            segment_id=request.segment.id,
            rows_received=len(request.users or ()),
            **columns,
        )

    def _changes(
        self,
        request: SegmentRequest,
        users: Mapping[int, object],
        connection: Connection,
        report: Report,
        origin: Origin,
    ) -> list[Changes]:
        """Normalize and hash the users; who cannot be sent is reported under the number that the caller knows."""
        policy = Policy(
            settings=self._admission.settings(connection),
            minimum_identifiers=self.config.minimum_identifiers,
            data_processing=request.options.data_processing if request.change == "enter" else None,
        )
        found = Report()
        people = map_people(list(users.values()), self._settings().mapping_of(request.segment.id))
        changes = [
            Changes(
                connection=connection.name,
                segment=request.segment,
                action=ACTIONS[request.change],
                schema=batch.schema,
                rows=batch.rows,
                changed_at=request.changed_at,
                trace_id=origin.trace_id,
                caller=origin.caller,
            ).of(batch.rows)
            for batch in build_batches(people, policy, found)
        ]
        numbers = list(users)
        found.rejects = [replace(reject, row=numbers[reject.row]) for reject in found.rejects]
        found.add_counts(report)
        report.merge(found)
        return changes

    def _do(
        self,
        changes: Sequence[Changes],
        settings: SegmentSettings,
        connection: Connection,
        report: Report,
        sending: Sending,
    ) -> Result:
        if sending.mode == "show":
            return self._show(changes, settings, connection, sending)
        if self.outside.gathering is not None:
            return self._gather(changes, sending)
        if sending.mode == "queue":
            return self._enqueue(changes, sending, None)
        report.warn(_AT_ONCE)
        return self._send(changes, settings, sending)

    def _show(
        self, changes: Sequence[Changes], settings: SegmentSettings, connection: Connection, sending: Sending
    ) -> Result:
        """Show the calls that would be made, that which makes the audience among them; only the list is asked for."""
        delivery = self._delivery(settings)
        together = _together(changes)
        audience_id = delivery.audiences(sending.origin.deadline).find(connection, together.segment)
        result = Result(destination={"segment_id": together.segment.id})
        if audience_id is None:
            path = f"/{self.outside.graph_api.settings.version}/act_{connection.ad_account_id}/customaudiences"
            body = new_audience(together.segment, prefix=settings.prefix)
            result.requests = [{"method": "POST", "path": path, "body": body}]
        else:
            result.destination = {"audience_id": audience_id}
        people = list(together.people.values())
        for request in delivery.requests(connection, audience_id or _NEW, people, _seeds(changes, sending.origin)):
            sending.dispatch([(result, request)])
        return result

    def _gather(self, changes: Sequence[Changes], sending: Sending) -> Result:
        """Publish to the gathering, from which a flush takes them."""
        gathering = self.outside.gathering
        if gathering is None:
            raise QueueError("nothing is gathered here")
        messages = [(key, data) for one in changes for key, part in one.by_key() for data in _fitting(part)]
        gathering.publish(messages, {"type": "changes", "trace-id": sending.origin.trace_id})
        return _queued(changes, sending, None)

    def _enqueue(self, changes: Sequence[Changes], sending: Sending, error: RelayError | None) -> Result:
        """Leave them to the queue."""
        if self.outside.queue is None:
            raise QueueError("no queue is configured")
        for one in changes:
            for data in _fitting(one):
                self.outside.queue.publish(data, {"type": "changes", "trace-id": sending.origin.trace_id})
        return _queued(changes, sending, error)

    def _send(
        self, changes: Sequence[Changes], settings: SegmentSettings, sending: Sending, *, is_held: bool = False
    ) -> Result:
        """
        Send at once; what has to wait for its audience goes to the queue.

        Args:
            is_held: Whether the queue holds just this already, and gives it again in its time.
        """
        delivered = self._delivery(settings).send(_together(changes), sending, _seeds(changes, sending.origin))
        if delivered.left and not sending.waiting:
            if is_held or self.outside.queue is None:
                sending.stays = True
                return delivered.result
            sending.rows.clear()
            return self._enqueue(changes, sending, delivered.left[0][1])
        if delivered.dead and self.bury and self.outside.queue is not None:
            attributes = {
                "type": "changes",
                "trace-id": sending.origin.trace_id,
                "reason": delivered.dead[0][1].message,
            }
            for one in changes:
                for data in _fitting(one):
                    self.outside.queue.publish(data, attributes, dead_letter=True)
        return delivered.result

    def _delivery(self, settings: SegmentSettings) -> SegmentDelivery:
        return SegmentDelivery(config=self.config, settings=settings, outside=self.outside, bury=self.bury)


#: Stands in a dry run for the id of an audience that is not made yet.
_NEW: Final = "new"


def _together(changes: Sequence[Changes]) -> SegmentChanges:
    """Return *changes*, which are of one segment, with each person once."""
    whole = SegmentChanges(changes[0].connection, changes[0].segment)
    for number, one in enumerate(changes):
        whole.add(one, number)
    return whole


def _seeds(changes: Sequence[Changes], origin: Origin) -> list[str]:
    return [origin.request_id] * len(changes)


def _fitting(changes: Changes) -> Iterator[bytes]:
    """Yield *changes* as messages that Pub/Sub takes, in halves where one would be too large."""
    data = changes.to_json()
    if len(data) <= MAX_MESSAGE_BYTES or len(changes.rows) < 2:
        yield data
        return
    middle = len(changes.rows) // 2
    for half in (changes.rows[:middle], changes.rows[middle:]):
        yield from _fitting(changes.of(half))


def _queued(changes: Sequence[Changes], sending: Sending, error: RelayError | None) -> Result:
    """Return the result of what waits; it is logged once, with why it waits if that is a fault."""
    first = changes[0]
    result = Result(destination={"segment_id": first.segment.id}, parts=["queued"])
    if error is not None:
        result.errors.append(error)
    sending.log(
        destination=result.destination,
        outcome="queued",
        action=first.action,
        connection=first.connection,
        segment_id=first.segment.id,
        rows_received=sum(len(one.rows) for one in changes),
        **error_columns(error),
    )
    return result


def _answer(result: Result, report: Report) -> Answer:
    outcome = result.outcome
    if outcome == "delivered" and report.rows:
        outcome = "partial"
    return Answer(outcome=outcome, results=[result], report=report)
