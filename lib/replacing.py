"""
`replace`: Meta's session rules, kept whatever happens on the way.

The first batch deletes all members, so nothing is sent before the usable members have been counted and the guards have
passed. Then one batch follows the other; the last one, which is known by the count, ends the session. An invocation
that does not get to its end leaves the next batch and its place to a message. Only the first batch is never sent twice
while the session runs: whoever comes again asks Meta for the session, and goes on with the second, since a later batch
may be repeated. Meta counts what a session has received; where that shows that somebody else has sent the first batch
again meanwhile, all others are repeated, and where a session has ended short a new one replaces it.

-- https://developers.facebook.com/docs/marketing-api/audiences/guides/custom-audiences, "Replace users"
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from hashlib import sha256
from typing import Any, Final

import orjson

from lib.adding import pass_on_slices, send_pages, stop
from lib.audiences import Batch
from lib.config import SegmentSettings
from lib.cuts import Cut, Page
from lib.errors import GraphAPIError, NobodyToSendError, RefusedReplaceError, RelayError, TransientGraphAPIError
from lib.graph_answers import GraphAnswer
from lib.graph_request import GraphRequest, audience_call, session
from lib.member_batches import NOT_IN_A_REPLACE, fitted, widened
from lib.outcomes import Outcome
from lib.report import Report
from lib.sync_task import ReplaceSession, Task
from lib.sync_work import SyncWork

#: "auto-ends 90 min after first batch; later batches discarded", in seconds; with time left to end it properly.
SESSION_S: Final = 90 * 60.0
_CLOSE_S: Final = 85 * 60.0
#: "< 100 million existing users"
MAX_MEMBERS: Final = 100_000_000
#: Sessions that are tried one after the other, and times that batches are repeated in one.
_GENERATIONS: Final = 5
_REWINDS: Final = 2

#: Of code 2650 (Customer File Custom Audiences, "Error codes").
_BUSY, _TIMED_OUT, _FIRST_MISSING, _FINISHED = 1870145, 1870158, 1870147, 1870159
#: operation_status.code: "replace in progress", "no upload yet".
_REPLACING, _NO_UPLOAD_YET = 414, 410
_STATE_FIELDS: Final = "subtype,operation_status,approximate_count_lower_bound"


@dataclass(slots=True)
class Replacing:
    """One invocation's share of a replace."""

    work: SyncWork
    #: Of all rows that a request itself carries: who repeats it goes on with its session.
    _digest: Any = field(default_factory=sha256)
    #: What was read of the audience a moment ago, by the guards.
    _fresh: Mapping[str, Any] | None = None
    _skips: bool = False
    _ended: bool = False

    def go_on(self) -> None:
        """
        Count, check and send.

        Raises:
            RelayError: The message itself has to come again, or can never succeed.
        """
        if self.work.task.step != "send" and not self._count():
            return
        task: Task | None = self.work.task
        while task is not None:
            self.work.take_up(task)
            task = self._round()

    def show(self, pages: Iterable[Page]) -> None:
        """Show the calls that *pages* would be replaced by, as if they were all there is."""
        work = self.work
        found = [(page, batch) for page in pages for batch in self._batches(page, work.report)]
        begun = ReplaceSession(usable=sum(len(batch.rows) for _, batch in found))
        for _, batch in found:
            begun = replace(begun, schema=widened(begun.schema, batch.schema))
        for number, (page, batch) in enumerate(found, start=1):
            work.take_up(replace(work.task, session=replace(begun, next_batch=number)))
            call = self._call(fitted(batch, begun.schema), page, last=number == len(found))
            work.sending.dispatch([(work.result, call)])

    # Before anything is sent.

    def _count(self) -> bool:
        """Count who can be sent; return whether all have been counted and may be sent."""
        work = self.work
        counted, schema = work.task.session.usable, work.task.session.schema
        for page, left in work.pages():
            if work.is_over():
                so_far = replace(work.task.session, usable=counted, schema=schema)
                work.pass_on(replace(work.task, cuts=left, session=so_far))
                return False
            for batch in self._batches(page, work.report):
                counted += len(batch.rows)
                schema = widened(schema, batch.schema)
                if work.own is not None:
                    self._digest.update(orjson.dumps(batch.rows))
            del page
        if not counted:
            work.refuse(NobodyToSendError("nobody in it can be sent, and the audience is left as it is"))
            return False
        if (reason := self._why_not(counted)) is not None:
            work.refuse(reason)
            return False
        if _code(self._fresh or {}) == _NO_UPLOAD_YET:
            # Only an audience whose state is normal can be replaced; where nobody is in it, adding is as good.
            self._add(replace(work.task, step="send", cuts=work.task.whole, whole=()))
            return False
        # What was found is found again when it is sent, and logged then.
        work.report = Report(warnings=work.report.warnings)
        begun = ReplaceSession(usable=counted, schema=schema)
        work.take_up(replace(work.task, step="send", cuts=work.task.whole, session=begun))
        return True

    def _why_not(self, counted: int) -> RefusedReplaceError | None:
        """Return what forbids to replace the audience by so many members."""
        state = self._fresh = self._state()
        if state.get("subtype", "CUSTOM") != "CUSTOM":
            return RefusedReplaceError("the audience is not made of customer files, and cannot be replaced")
        now = _number(state.get("approximate_count_lower_bound"))
        if max(now, counted) >= MAX_MEMBERS:
            return RefusedReplaceError(
                "100 million members or more cannot be replaced", action="Use mirror, which sends the difference."
            )
        settings = self.work.config.segments or SegmentSettings()
        if counted < now * (1 - settings.max_shrink):
            return RefusedReplaceError(
                f"the audience would shrink from {now} to {counted}, by more than max_shrink allows",
                action="See that the list is whole; if it is, raise segments.max_shrink for this once.",
            )
        return None

    def _state(self) -> Mapping[str, Any]:
        work = self.work
        return work.outside.graph_api.read(work.task.audience_id, {"fields": _STATE_FIELDS}, work.connection).body

    def _batches(self, page: Page, report: Report) -> Iterator[Batch]:
        return self.work.batches(without=NOT_IN_A_REPLACE).of(page, report)

    # The session.

    @property
    def session_id(self) -> int:
        """Meta's id of the session: derived, so that whoever does the same work has the same."""
        work = self.work
        seed: list[Any] = [work.task.sync_id]
        if work.own is not None and work.sending.origin.published is None:
            # Who asks over HTTP repeats the request under another id; within a session's time it is the same one.
            seed = [self._digest.hexdigest(), work.task.began // SESSION_S]
        seed += [work.task.audience_id, "replace", work.task.session.generation]
        identity = session(orjson.dumps(seed).decode(), batch_seq=1, last=False)["session_id"]
        return int(str(identity))

    def _open(self) -> bool:
        """
        Find out where to begin; return whether there is anything to send.

        Raises:
            TransientGraphAPIError: Another replace is under way.
        """
        state, self._fresh = self._fresh or self._state(), None
        busy = _code(state) == _REPLACING
        while (known := self._known()) is not None:
            task = self.work.task
            if busy:
                # It is ours, and its first batch is there: whoever sent it may be at work still, or gone.
                self._take_up(task, next_batch=2, started=self._start_of(known), cuts=task.whole)
                return True
            is_repeated = self.work.own is None or self.work.sending.origin.published is not None
            if is_repeated and _number(known.get("num_received")) >= task.session.usable:
                return False
            self._begin_anew()
        if busy:
            raise TransientGraphAPIError(
                "another replace of the audience is under way",
                code=2650,
                error_subcode=_BUSY,
                action="Nothing: it is tried again; a replace takes at most 90 minutes.",
            )
        return True

    def _known(self) -> Mapping[str, Any] | None:
        """Return the session as Meta has it, None where it has none."""
        work = self.work
        parameters = {"session_id": str(self.session_id)}
        body = work.outside.graph_api.read(f"{work.task.audience_id}/sessions", parameters, work.connection).body
        listed = body.get("data")
        sessions = [one for one in listed if isinstance(one, dict)] if isinstance(listed, list) else []
        return next((one for one in sessions if str(one.get("session_id")) == parameters["session_id"]), None)

    def _start_of(self, known: Mapping[str, Any]) -> float:
        """Return when a session began; now, where Meta does not say it in a way that can be."""
        now = self.work.outside.clock.now()
        stated = _number(known.get("start_time"))
        return stated if now - SESSION_S <= stated <= now else now

    def _take_up(self, task: Task, *, cuts: tuple[Cut, ...] | None = None, **changes: Any) -> None:
        cuts = task.cuts if cuts is None else cuts
        self.work.take_up(replace(task, cuts=cuts, session=replace(task.session, **changes)))

    def _begin_anew(self) -> Task:
        """Take up the replace in a session of its own, from the first batch on."""
        task = self.work.task
        generation = task.session.generation + 1
        if generation >= _GENERATIONS:
            raise RefusedReplaceError(
                "the replace was cut off again and again",
                process="send",
                action="See in the delivery log who else replaces the audience, and begin the replace again.",
            )
        begun = ReplaceSession(generation=generation, usable=task.session.usable, schema=task.session.schema)
        self.work.take_up(replace(task, cuts=task.whole, session=begun))
        return self.work.task

    # Sending.

    def _round(self) -> Task | None:
        """Send batch after batch; return the task that follows at once, None where nothing does."""
        work = self.work
        if work.task.session.next_batch == 1 and not self._open():
            work.result.parts.append("delivered")
            return None
        # The first batch is there already where the others begin at the source's beginning.
        known = work.task.session
        self._skips = known.next_batch > 1 and work.task.cuts == work.task.whole
        self._ended = known.sent >= known.usable
        for done, (page, left) in enumerate(work.pages()):
            here = replace(work.task, cuts=left)
            if done and work.is_over():
                work.pass_on(here)
                return None
            report = Report()
            following = self._page(page, report, here, done=done)
            work.end_page(report, batch=page.batch)
            if following is not here:
                return following
            del page
        # Else the last batch was not where the count had it: what is read has changed.
        return None if self._ended else self._begin_anew()

    def _page(self, page: Page, report: Report, here: Task, *, done: int) -> Task | None:
        """Send what can be sent of a page; return *here* where the next page follows, else what does."""
        # Without EXTERN_ID there is one schema, and so one batch.
        batch = next(iter(list(self._batches(page, report))), None)
        if batch is None:
            return here
        if self._ended:
            self._add(here)
            return None
        if self._skips:
            self._skips = False
            self._take_up(here, sent=len(batch.rows), received=len(batch.rows))
            return here
        return self._send(page, fitted(batch, here.session.schema), here, done=done)

    def _send(self, page: Page, batch: Batch, here: Task, *, done: int) -> Task | None:
        """Send one batch; see `_page`."""
        clock = self.work.outside.clock
        known, rows, now = here.session, len(batch.rows), clock.now()
        is_late = known.next_batch > 1 and now > known.started + _CLOSE_S
        is_last = known.sent + rows >= known.usable
        call = self._call(batch, page, last=is_last or is_late)
        began = clock.monotonic()
        try:
            answer = self.work.outside.graph_api.send(call, self.work.connection)
        except RelayError as error:
            self._log(call, "failed", began, error=error)
            return self._after_refusal(error, here, done=done)
        self._log_delivery(call, answer, began)
        counted = known.received + rows if answer.num_received is None else answer.num_received
        if known.next_batch > 1 and counted < known.received + (rows - answer.num_invalid_entries) / 2:
            # Somebody else has sent the first batch again after some of the others, which it has deleted.
            if is_last or is_late:
                return self._begin_anew()
            if known.rewinds < _REWINDS:
                return self._again(here)
        started = known.started if known.next_batch > 1 else now
        self._take_up(here, next_batch=known.next_batch + 1, sent=known.sent + rows, received=counted, started=started)
        self._ended = is_last
        if is_late and not is_last:
            self._add(replace(here, cuts=((page.rest,) if page.rest else ()) + here.cuts[1:]))
            return None
        return here

    def _again(self, here: Task) -> Task:
        """Return the task of sending all batches but the first again."""
        session = replace(here.session, next_batch=2, rewinds=here.session.rewinds + 1)
        return replace(here, cuts=here.whole, session=session)

    def _add(self, rest: Task) -> None:
        """Add who is left: "Max 90 min per session; then use add"."""
        rest = replace(rest, change="sync", session=ReplaceSession())
        if self.work.outside.queue is not None and self.work.own is None:
            pass_on_slices(self.work, rest)
        else:
            self.work.take_up(rest)
            send_pages(self.work)

    def _call(self, batch: Batch, page: Page, *, last: bool) -> GraphRequest:
        task = self.work.task
        number = task.session.next_batch
        place = {"session_id": self.session_id, "batch_seq": number, "last_batch_flag": last}
        return audience_call(
            batch,
            action="replace",
            connection=task.connection,
            destination={"audience_id": task.audience_id},
            session=place | {"estimated_num_total": task.session.usable},
            batch_number=page.batch,
            ids={},
        )

    def _after_refusal(self, error: RelayError, here: Task, *, done: int) -> Task | None:
        """Return what follows where Meta, or the way to it, has refused a batch."""
        subcode = error.error_subcode if isinstance(error, GraphAPIError) else None
        if subcode == _FIRST_MISSING:
            return self._begin_anew()
        if subcode == _TIMED_OUT:
            self._add(here)
            return None
        if subcode == _FINISHED:
            known = self._known()
            if known is None or _number(known.get("num_received")) < here.session.usable:
                return self._begin_anew()
            # An answer was lost, or another delivery of the message was quicker.
            self.work.result.parts.append("delivered")
            return None
        self.work.result.errors.append(error)
        self.work.write()
        stop(self.work, error, here, done=done)
        return None

    # What is told of it.

    def _log_delivery(self, call: GraphRequest, answer: GraphAnswer, began: float) -> None:
        result, rows = self.work.result, len(call.rows)
        received = result.count_received(self.session_id, answer.num_received, rows)
        result.num_invalid_entries += answer.num_invalid_entries
        result.fbtrace_id = answer.fbtrace_id or result.fbtrace_id
        self._log(
            call,
            "partial" if answer.num_invalid_entries else "delivered",
            began,
            rows_sent=rows,
            num_received=received,
            num_invalid_entries=answer.num_invalid_entries,
            http_status=answer.http_status,
            fbtrace_id=answer.fbtrace_id,
            usage_percent=answer.usage.percent,
            regain_minutes=answer.usage.regain_seconds / 60 or None,
        )

    def _log(
        self, call: GraphRequest, outcome: Outcome, began: float, *, error: RelayError | None = None, **columns: object
    ) -> None:
        self.work.result.parts.append(outcome)
        self.work.log(
            outcome,
            part=call.part,
            error=error,
            batch=call.batch,
            rows_received=len(call.rows),
            graph_ms=1000 * (self.work.outside.clock.monotonic() - began),
            **columns,
        )


def _number(value: object) -> int:
    """Return a whole number of Meta's, which it may write as text; 0 for what is none, and for "unknown", -1."""
    text = str(value)
    return int(text) if text.isdecimal() else 0


def _code(state: Mapping[str, Any]) -> int:
    status = state.get("operation_status")
    return _number(status.get("code")) if isinstance(status, dict) else 0
