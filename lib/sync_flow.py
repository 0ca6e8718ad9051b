"""
`sync`, `mirror` and `replace`: all members of a segment, from the request itself or from a source.

A source is read where `deliver` runs: a request for one becomes a `slice` message. What an invocation does not get done
it leaves to another one as such a message, and a `sync` is cut into many, which are done side by side. A slice that is
delivered twice does no harm: whoever is a member already is added again, under the same session.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from itertools import islice
from typing import Any, Final

from lib.adding import pass_on_slices, send_page, send_pages
from lib.admission import Admission, why_withheld
from lib.authentication import Rights
from lib.config import Config, Source
from lib.consent import Verdict, stated_signals
from lib.cuts import PAGE_ROWS, Page, pages_in
from lib.errors import InvalidRequestError, NobodyToSendError
from lib.outcomes import Answer, Result, together
from lib.relay_request import AudienceRequest, Destination
from lib.report import Reject, Report
from lib.segments import Segment, SegmentRequest, parse_segment_request
from lib.sending import Origin, Outside, Sending
from lib.sync_task import Change, Step, Task, Terms, parse_task
from lib.sync_work import SyncWork, rows_of, settings_of

#: Deliveries after which a message that waits for its time is replaced by a new one, long before it is given up.
_ATTEMPTS_TO_SPARE: Final = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class SyncFlow:
    """
    What stays the same for all requests.

    Args:
        bury: See `Sending`.
    """

    config: Config
    outside: Outside
    bury: bool = False

    def run(self, body: Mapping[str, object], *, rights: Rights, origin: Origin) -> tuple[Answer, Sending]:
        """
        Do what *body* asks for, or begin it.

        Raises:
            RelayError: It cannot be done, or not now.
        """
        request = parse_segment_request(body)
        admission = Admission(self.config, self.outside)
        settings_of(self.config)
        connection = admission.connection(request.options.connection, "connection")
        admission.authorize(
            rights,
            request.options,
            actions=[request.change],
            names={connection.name},
            configured=self.config.consent.segments,
        )
        report = Report(warnings=dict.fromkeys(request.warnings))
        sending = Sending(outside=self.outside, origin=origin, debug=request.options.debug, bury=self.bury)
        sending.mode = admission.mode(request.options, report)
        task = self._task(request, connection.name, origin)
        if request.options.event is not None and request.options.event.is_preview_monitor():
            return _withheld(task, report, sending), sending
        if request.users is not None:
            return self._with_members(task, request, sending, report)
        self._source(task.source)
        if sending.mode == "show":
            return self._show(task, sending, report)
        if self.outside.queue is not None and (origin.deadline is not None or sending.mode == "queue"):
            return self._queue(task, sending, report)
        work = SyncWork.on(task, self.config, self.outside, origin)
        self._do(work)
        report.merge(work.report)
        return _answer(work.result, report), work.sending

    def go_on(self, body: Mapping[str, Any], origin: Origin) -> bool:
        """
        Do what a `slice` message leaves to do; return whether it is done with.

        Raises:
            RelayError: It cannot be done, or not now.
        """
        task = parse_task(body)
        if task.not_before > self.outside.clock.now():
            return self._wait(task, origin)
        origin = replace(origin, kind="segments", caller=task.caller, trace_id=task.trace_id)
        self._do(SyncWork.on(task, self.config, self.outside, origin))
        return True

    def _wait(self, task: Task, origin: Origin) -> bool:
        """Leave a message to Pub/Sub's backoff; as a new one where its attempts would end before its time has come."""
        if origin.attempt < _ATTEMPTS_TO_SPARE or self.outside.queue is None:
            return False
        self.outside.queue.publish(task.to_json(), {"type": "slice", "trace-id": task.trace_id})
        return True

    def _task(self, request: SegmentRequest, connection: str, origin: Origin) -> Task:
        options = request.options
        required = self.config.consent.segments if options.required is None else options.required
        event = options.event.get if options.event else None
        return Task(
            step="begin",
            change=_CHANGES[request.change],
            sync_id=_sync_id(origin, connection, request.segment.id),
            source=request.source or "",
            segment=request.segment,
            connection=connection,
            trace_id=origin.trace_id,
            caller=origin.caller,
            began=self.outside.clock.now() if origin.published is None else origin.published,
            terms=Terms(
                required=required,
                stated=stated_signals(event, options.state) if required else {},
                data_processing=options.data_processing,
            ),
        )

    def _source(self, name: str) -> Source:
        source = self.config.sources.get(name)
        if source is None:
            raise InvalidRequestError("is not configured", field="source")
        return source

    # A source.

    def _queue(self, task: Task, sending: Sending, report: Report) -> tuple[Answer, Sending]:
        """Leave all of it to `deliver`: reading a source takes longer than a caller waits."""
        work = SyncWork.on(task, self.config, self.outside, sending.origin)
        work.pass_on(task)
        work.result.parts.append("queued")
        work.log("queued", part="asked")
        work.write()
        return _answer(work.result, report), work.sending

    def _do(self, work: SyncWork) -> None:
        with work.warehouse.turn():
            if work.task.step == "begin":
                self._begin(work)
            else:
                _steps(work)

    def _begin(self, work: SyncWork) -> None:
        """Find the audience, cut the source, and do or distribute what is to be done."""
        task = work.task
        cuts = tuple(work.cuts_of(self._source(task.source)))
        task = replace(task, batches=sum(cut.batches for cut in cuts))
        if not cuts:
            work.refuse(NobodyToSendError("the source holds nobody", field="source"))
            return
        audience_id = work.audiences.audience_of(work.connection, task.segment)
        task = replace(task, audience_id=audience_id, cuts=cuts, whole=cuts, step=_FIRST_STEP[task.change])
        work.take_up(task)
        work.log("queued", part="begin", rows_received=rows_of(cuts))
        work.write()
        if task.change == "sync" and self.outside.queue is not None and len(cuts) > 1:
            pass_on_slices(work, task)
        else:
            _steps(work)

    def _show(self, task: Task, sending: Sending, report: Report) -> tuple[Answer, Sending]:
        """Show the calls of the first page, and its rejects by the source's own ids; no audience is made."""
        work = SyncWork.on(task, self.config, self.outside, sending.origin)
        work.sending.mode = "show"
        source = self._source(task.source)
        cuts = work.cuts_of(source)
        audience_id = self._audience_of(work, show=True)
        work.take_up(replace(task, audience_id=audience_id, cuts=tuple(cuts[:1])))
        first = [page for page, _ in islice(work.pages(), 1)]
        _show(work, first)
        for page in first:
            work.report.rejects = [_with_id(one, page, source) for one in work.report.rejects]
        report.warn(f"the first {min(rows_of(cuts), work.page_rows)} of {rows_of(cuts)} members are shown")
        report.merge(work.report)
        return _answer(work.result, report), work.sending

    # Members that the request itself carries.

    def _with_members(
        self, task: Task, request: SegmentRequest, sending: Sending, report: Report
    ) -> tuple[Answer, Sending]:
        """Send the members of a request; they were parsed as a whole, and go page by page."""
        members = request.users or ()
        work = SyncWork.on(task, self.config, self.outside, sending.origin)
        show = sending.mode == "show"
        if not members:
            raise NobodyToSendError("the list is empty", field="users")
        work.own, work.categories = members, request.categories
        audience_id = self._audience_of(work, show=show)
        work.take_up(replace(task, audience_id=audience_id, batches=pages_in(len(members), work.page_rows)))
        if show:
            work.sending.mode = "show"
            _show(work, [page for page, _ in work.pages()])
        elif task.change == "sync":
            # What has to wait is hashed by now, and goes to the queue as any other call.
            work.sending = sending
            for page, _ in work.pages():
                send_page(work, page)
        else:
            if sending.mode == "queue":
                report.warn("optimistic: members that the request itself carries are mirrored or replaced at once")
            _steps(work)
        report.merge(work.report)
        return _answer(work.result, report), work.sending

    def _audience_of(self, work: SyncWork, *, show: bool) -> str:
        if show:
            return work.audiences.find(work.connection, work.task.segment) or _NEW
        return work.audiences.audience_of(work.connection, work.task.segment)


_CHANGES: Final[Mapping[str, Change]] = {"sync": "sync", "mirror": "mirror", "replace": "replace"}
#: What is done with a source that has been cut.
_FIRST_STEP: Final[Mapping[Change, Step]] = {"sync": "send", "mirror": "stage", "replace": "count"}
#: Stands in a dry run for the id of an audience that is not made yet.
_NEW: Final = "new"


def replace_audience(
    request: AudienceRequest, destination: Destination, connection: str, config: Config, sending: Sending
) -> SyncWork:
    """
    Replace the people of one audience by those of a request of `/audiences`.

    Raises:
        RelayError: Meta did not take it; `Replacing` says what that leaves.
    """
    origin, outside = sending.origin, sending.outside
    audience_id = destination.audience_id or ""
    task = Task(
        step="count",
        change="replace",
        sync_id=_sync_id(origin, connection, audience_id),
        source="",
        segment=Segment("", ""),
        connection=connection,
        trace_id=origin.trace_id,
        caller=origin.caller,
        began=outside.clock.now() if origin.published is None else origin.published,
        terms=Terms(data_processing=request.options.data_processing),
        audience_id=audience_id,
        batches=pages_in(len(request.people.rows), PAGE_ROWS),
    )
    work = SyncWork.on(task, config, outside, origin)
    work.own, work.schema, work.value_based = request.people.rows, request.people.schema, destination.value_based
    if sending.mode == "show":
        work.sending.mode = "show"
        _show(work, [page for page, _ in work.pages()])
    else:
        if sending.mode == "queue":
            work.report.warn("optimistic: a replace is done at once, since its batches go one after the other")
        _steps(work)
    return work


def _sync_id(origin: Origin, *parts: str) -> str:
    return sha256(".".join([origin.request_id, *parts]).encode()).hexdigest()[:24]


def _steps(work: SyncWork) -> None:
    if work.task.change == "replace":
        from lib.replacing import Replacing  # noqa: PLC0415 - for those alone who replace

        Replacing(work).go_on()
    elif work.task.change == "mirror":
        from lib.mirroring import Mirroring  # noqa: PLC0415 - for those alone who mirror

        Mirroring(work).go_on()
    else:
        send_pages(work)


def _show(work: SyncWork, pages: Sequence[Page]) -> None:
    """Show the calls of *pages*; a mirror's as if there were none before it."""
    if work.task.change == "replace":
        from lib.replacing import Replacing  # noqa: PLC0415 - for those alone who replace

        Replacing(work).show(pages)
        return
    for page in pages:
        send_page(work, page)


def _with_id(reject: Reject, page: Page, source: Source) -> Reject:
    """Return a reject with what the source itself calls its row."""
    member = page.members[reject.row - page.first_row]
    value = None if member is None or source.row_id is None else member.get(source.row_id)
    return reject if value is None else replace(reject, row_id=str(value))


def _withheld(task: Task, report: Report, sending: Sending) -> Answer:
    report.warn(why_withheld(Verdict()))
    if sending.mode != "show":
        sending.log(
            destination={"segment_id": task.segment.id},
            outcome="withheld",
            action=task.change,
            connection=task.connection,
            segment_id=task.segment.id,
        )
    result = Result(destination={"segment_id": task.segment.id}, parts=["withheld"])
    return Answer(outcome="withheld", results=[result], report=report)


def _answer(result: Result, report: Report) -> Answer:
    if not result.parts:
        result.parts.append("rejected")
    outcome = together(result.parts)
    if outcome == "rejected":
        nobody = result.errors[0] if result.errors else NobodyToSendError("nobody in it can be sent")
        return Answer(outcome=outcome, results=[result], report=report, error=nobody)
    if outcome == "delivered" and (report.rows or result.num_invalid_entries):
        outcome = "partial"
    return Answer(outcome=outcome, results=[result], report=report)
