"""A request of `/audiences`, from its body to its answer, as a straight list of steps."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import orjson

from lib.admission import NOT_FORGOTTEN, Admission, why_withheld, withheld_columns
from lib.audiences import Batch, Policy, build_batches, for_destination
from lib.authentication import Rights
from lib.common_event import CommonEvent
from lib.config import Config, Connection
from lib.consent import Verdict
from lib.errors import InvalidRequestError, NobodyToSendError
from lib.graph_request import GraphRequest, audience_call, session
from lib.normalization import Settings
from lib.outcomes import Answer, Result, together
from lib.relay_request import AudienceRequest, Destination, parse_audience_request
from lib.report import Report
from lib.sending import Origin, Outside, Sending

if TYPE_CHECKING:
    # Loaded by bootstrap, for those alone who have identity switched on.
    from lib.identity import Identifiers
    from lib.recognition import Recognizer

KIND = "audiences"
#: What puts people into audiences.
_ADDING = frozenset({"add", "replace"})


@dataclass(slots=True)
class _Way:
    """
    A destination with the connection that leads to it.

    Args:
        report: What was found while its rows were built; shared by the destinations that are built alike.
        held: For each schema the batch that waits for the next of its session, since the last one is marked.
    """

    destination: Destination
    connection: Connection
    result: Result
    report: Report = field(default_factory=Report)
    batches: int = 0
    held: dict[tuple[str, ...], tuple[Batch, int]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class AudienceFlow:
    """
    What stays the same for all requests.

    Args:
        bury: See `Sending`.
        recognizer: Recognises people; None where identity is off.
    """

    config: Config
    outside: Outside
    bury: bool = False
    recognizer: Recognizer | None = None

    @property
    def _admission(self) -> Admission:
        return Admission(self.config, self.outside)

    def run(self, body: Mapping[str, object], *, rights: Rights, origin: Origin) -> tuple[Answer, Sending]:
        """
        Do what *body* asks for.

        Raises:
            InvalidRequestError, ForbiddenError: Before anything is sent.
        """
        request = parse_audience_request(body)
        ways = self._ways(request)
        self._admission.authorize(
            rights,
            request.options,
            actions=[request.action, "remove"] if request.options.on_denied_remove else [request.action],
            names={way.connection.name for way in ways},
            configured=self.config.consent.audiences,
        )
        report = Report(warnings=dict.fromkeys(request.warnings))
        sending = Sending(outside=self.outside, origin=origin, debug=request.options.debug, bury=self.bury)
        sending.mode = self._admission.mode(request.options, report)
        verdict = self._verdict(request)
        if verdict.withdrawn and request.from_event:
            self._forget(request, ways[0], report, sending)
        if verdict.withdrawn and request.options.on_denied_remove and not _is_preview(request):
            request, verdict = request.as_removal(), Verdict()
        if _is_preview(request) or not verdict.granted:
            return self._withhold(request, ways, report, sending, verdict), sending
        if request.action == "replace":
            return self._replace(request, ways, report, sending), sending
        if request.from_event and request.action == "add":
            request = self._with_identity(request, ways[0], report, sending)
        for policy, same in self._by_policy(request, ways):
            self._send(request, policy, same, sending)
            report.merge(same[0].report)
        return self._answer(request, ways, report, sending), sending

    def _ways(self, request: AudienceRequest) -> list[_Way]:
        """Find each destination's connection; without destinations the connection's own is meant."""
        destinations = request.destinations
        if not destinations:
            own = self._admission.connection(request.options.connection, "connection").ad_account_id
            if request.action != "remove_from_all" or own is None:
                raise InvalidRequestError("is missing", field="destinations")
            destinations = (Destination(ad_account_id=own),)
        return [
            _Way(
                destination,
                self._admission.connection_of(destination.connection, request.options, place),
                Result(destination=destination.shown()),
            )
            for place, destination in enumerate(destinations)
        ]

    def _verdict(self, request: AudienceRequest) -> Verdict:
        """Removing needs no consent; adding needs each required signal."""
        if request.action not in _ADDING:
            return Verdict()
        event = request.options.event
        return self._admission.verdict(
            request.options, event.get if event else None, configured=self.config.consent.audiences
        )

    def _with_identity(self, request: AudienceRequest, way: _Way, report: Report, sending: Sending) -> AudienceRequest:
        """Return the request with what is known of the event's person beside what the event says."""
        if self.recognizer is None and request.recognise:
            report.warn("identity: no resolver is configured")
        if self.recognizer is None or request.recognise is False:
            return request
        recognition = self.recognizer.of_request(sending.origin)
        reading = self._admission.settings(way.connection)
        recognition.recognise({0: self._identifiers(self.recognizer, request, reading)}, reading)
        sending.columns_of = recognition.columns
        return request.with_person(lambda person: recognition.add_to_person(0, person))

    def _forget(self, request: AudienceRequest, way: _Way, report: Report, sending: Sending) -> None:
        """Forget who has withdrawn consent."""
        if self.recognizer is None or sending.mode == "show":
            return
        person = self._identifiers(self.recognizer, request, self._admission.settings(way.connection))
        if not self.recognizer.of_request(sending.origin).forget([person], self.outside.queue):
            report.warn(NOT_FORGOTTEN)

    def _identifiers(self, recognizer: Recognizer, request: AudienceRequest, reading: Settings) -> Identifiers:
        event = request.options.event or CommonEvent({})
        return recognizer.identifiers(
            event,
            overrides={},
            cookies={},
            reading=reading,
            time=int(self.outside.clock.now()),
            anonymous_id=request.anonymous_id,
        )

    def _withhold(
        self, request: AudienceRequest, ways: Sequence[_Way], report: Report, sending: Sending, verdict: Verdict
    ) -> Answer:
        for way in ways:
            way.result.parts.append("withheld")
            if sending.mode != "show":
                sending.log(
                    destination=way.result.destination,
                    outcome="withheld",
                    action=request.action,
                    connection=way.connection.name,
                    rows_received=len(request.people.rows),
                    **withheld_columns(verdict),
                )
        report.warn(why_withheld(verdict))
        return Answer(outcome="withheld", results=[way.result for way in ways], report=report)

    def _by_policy(self, request: AudienceRequest, ways: Sequence[_Way]) -> list[tuple[Policy, list[_Way]]]:
        """Part the destinations by how their connections want identifiers read; each part is built once."""
        parts: list[tuple[Policy, list[_Way]]] = []
        for way in ways:
            policy = Policy(
                settings=self._admission.settings(way.connection),
                minimum_identifiers=self.config.minimum_identifiers,
                data_processing=request.options.data_processing if request.action in _ADDING else None,
            )
            same = next((part for known, part in parts if known == policy), None)
            if same is None:
                parts.append((policy, [way]))
            else:
                way.report = same[0].report
                same.append(way)
        return parts

    def _replace(self, request: AudienceRequest, ways: Sequence[_Way], report: Report, sending: Sending) -> Answer:
        """Replace one audience after the other; the caller waits, since batches that have an order are not queued."""
        # For those alone who replace.
        from lib.sync_flow import replace_audience  # noqa: PLC0415

        results = []
        for way in ways:
            work = replace_audience(request, way.destination, way.connection.name, self.config, sending)
            results.append(work.result)
            report.merge(work.report)
        outcome = together([result.outcome for result in results])
        refused = next((error for result in results for error in result.errors), None)
        if outcome == "delivered" and report.rows:
            outcome = "partial"
        return Answer(outcome=outcome, results=results, report=report, error=refused if outcome == "rejected" else None)

    def _send(self, request: AudienceRequest, policy: Policy, ways: Sequence[_Way], sending: Sending) -> None:
        """Build batch by batch, so that what has been sent need not be held; send each to all destinations."""
        clock = self.outside.clock
        began = clock.monotonic()
        batches = build_batches(request.people, policy, ways[0].report)
        for ready in self._ready(request, batches, ways, sending.origin):
            if ready:
                sending.dispatch(ready, build_ms=1000 * (clock.monotonic() - began))
                began = clock.monotonic()
            # A batch is 30 MB at its largest; what has been sent is not held while the next is built.
            del ready

    def _ready(
        self, request: AudienceRequest, batches: Iterator[Batch], ways: Sequence[_Way], origin: Origin
    ) -> Iterator[list[tuple[Result, GraphRequest]]]:
        for batch in batches:
            yield self._due(request, batch, ways, origin)
        while any(way.held for way in ways):
            yield [
                (way.result, self._call(request, way, *way.held.pop(next(iter(way.held))), origin, last=True))
                for way in ways
                if way.held
            ]

    def _due(
        self, request: AudienceRequest, batch: Batch, ways: Sequence[_Way], origin: Origin
    ) -> list[tuple[Result, GraphRequest]]:
        """Return the calls that *batch* shows not to be the last of their sessions; it waits in their place."""
        due = []
        for way in ways:
            part = for_destination(
                batch,
                value_based=way.destination.value_based,
                report=way.report,
                audience_id=way.destination.audience_id,
            )
            if part.rows:
                before = way.held.pop(part.schema, None)
                way.held[part.schema] = (part, before[1] + 1 if before else 1)
                if before:
                    due.append((way.result, self._call(request, way, *before, origin, last=False)))
        return due

    def _call(
        self, request: AudienceRequest, way: _Way, batch: Batch, batch_seq: int, origin: Origin, *, last: bool
    ) -> GraphRequest:
        way.batches += 1
        seed = orjson.dumps([origin.request_id, way.result.destination, way.connection.name, batch.schema]).decode()
        return audience_call(
            batch,
            action=request.action,
            connection=way.connection.name,
            destination=way.result.destination,
            session=session(seed, batch_seq=batch_seq, last=last),
            batch_number=way.batches,
            ids={"page_ids": request.page_ids, "app_ids": request.app_ids},
        )

    def _answer(self, request: AudienceRequest, ways: Sequence[_Way], report: Report, sending: Sending) -> Answer:
        for way in ways:
            for number in sorted(set(way.result.invalid_rows)):
                report.reject_cell(number, None, "Meta counts it as invalid", audience_id=way.destination.audience_id)
            if sending.mode != "show":
                sending.log_rejects(
                    way.result,
                    way.report,
                    way.destination.audience_id,
                    action=request.action,
                    connection=way.connection.name,
                )
            if not way.result.parts:
                way.result.parts.append("rejected")
        results = [way.result for way in ways]
        outcome = together([result.outcome for result in results])
        if outcome == "rejected":
            nobody = NobodyToSendError("nobody in it can be sent; `rejected` says why")
            return Answer(outcome=outcome, results=results, report=report, error=nobody)
        if outcome == "delivered" and report.rows:
            outcome = "partial"
        return Answer(outcome=outcome, results=results, report=report)


def _is_preview(request: AudienceRequest) -> bool:
    event = request.options.event
    return event is not None and event.is_preview_monitor()
