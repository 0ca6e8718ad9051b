"""
Calls on their way: to Meta, or into the queue, or only shown; and a log row for each.

What fails and can succeed later is left to the queue, batch by batch; what Meta refuses for good is failed, and in
`deliver` becomes a dead letter. Nothing is given up without one of these.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final, Literal

import orjson

from lib import delivery_log
from lib.config import Connection
from lib.delivery_log import INSERT_TIMEOUT_S, DeliveryLog
from lib.errors import ConfigurationError, GraphAPIError, QueueError, RateLimitError, RelayError, Retry
from lib.graph_answers import GraphAnswer
from lib.graph_api import GraphAPI
from lib.graph_request import GraphRequest, Requests
from lib.outcomes import Outcome, Result, rfc3339
from lib.ports import Clock, Gathering, Queue, SideBySide
from lib.queue import MAX_MESSAGE_BYTES
from lib.report import Report
from lib.segment_audiences import KnownAudiences
from lib.version import RELAY_VERSION
from lib.warehouse import Warehouse

#: What happens to a call: it is made, it is left to the queue at once, or it is only shown.
Mode = Literal["send", "queue", "show"]

#: Seconds beyond a caller's patience that the log may take: sGTM gives up half a second after it.
_GRACE_S: Final = 0.3
#: Rows that a debugged call shows.
_SHOWN_ROWS: Final = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """
    The request that calls come from.

    Args:
        request_id: Makes session ids and row ids; the same for each redelivery of a message.
        started: The clock's monotonic seconds at the request's arrival.
        deadline: Likewise, after which calls are left to the queue; None for no limit.
        attempt: Of the message's deliveries, from 1.
        published: Unix seconds at which the message was published; None for an HTTP request.
    """

    request_id: str
    trace_id: str
    caller: str
    kind: str
    started: float
    deadline: float | None = None
    attempt: int = 1
    published: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Outside:
    """
    What calls need of the outside.

    Args:
        gathering: Where changes of segments wait for a flush; None where each is sent at once.
        known_audiences: What was found out of ad accounts' audiences.
        warehouse: What the members of segments are read from.
    """

    graph_api: GraphAPI
    connections: Mapping[str, Connection]
    queue: Queue | None
    delivery_log: DeliveryLog
    clock: Clock
    side_by_side: SideBySide
    gathering: Gathering | None = None
    known_audiences: KnownAudiences = field(default_factory=KnownAudiences)
    warehouse: Warehouse | None = None


@dataclass(slots=True, kw_only=True)
class Sending:
    """
    The calls of one request.

    Args:
        redeliver: Whether Pub/Sub keeps the request's message: what has to wait is then kept in *waiting* rather
            than published anew.
        bury: Whether what Meta refuses for good becomes a dead letter.
        waiting: Calls that have to wait, where they are not published.
        refused: Calls that Meta has refused for good.
        columns_of: What else the log says of a call.
        stays: Whether the request's message has to be kept although no call waits, since none could be made yet.
    """

    outside: Outside
    origin: Origin
    mode: Mode = "send"
    debug: bool = False
    redeliver: bool = False
    bury: bool = False
    waiting: list[tuple[GraphRequest, RelayError]] = field(default_factory=list)
    refused: list[tuple[GraphRequest, RelayError]] = field(default_factory=list)
    rows: list[dict[str, object]] = field(default_factory=list)
    columns_of: Callable[[GraphRequest], Mapping[str, object]] = lambda _request: {}
    stays: bool = False

    def dispatch(self, calls: Sequence[tuple[Result, GraphRequest]], *, build_ms: float = 0) -> None:
        """Make one call for each of several destinations, side by side."""
        steps: list[Callable[[], None]] = [partial(self._one, result, request, build_ms) for result, request in calls]
        self.outside.side_by_side(steps)

    def finish(self) -> None:
        """Write the log rows; a caller that waits does not wait for BigQuery much longer than for Meta."""
        timeout_s = INSERT_TIMEOUT_S
        if self.origin.deadline is not None:
            left = self.origin.deadline - self.outside.clock.monotonic()
            timeout_s = min(timeout_s, max(left, 0.0) + _GRACE_S)
        self.outside.delivery_log.insert(self.rows, timeout_s=timeout_s)

    def _one(self, result: Result, request: GraphRequest, build_ms: float, halvings: int = 0) -> None:
        if self.mode == "show":
            self._show(result, request)
        elif self.mode == "queue":
            self._enqueue(result, request, None, build_ms)
        elif result.stopped is not None:
            self._fail(result, request, result.stopped, build_ms, 0)
        else:
            self._send(result, request, build_ms, halvings)

    def _show(self, result: Result, request: GraphRequest) -> None:
        version = self.outside.graph_api.settings.version
        shown = {"method": request.method, "path": f"/{version}/{request.path}", "body": request.body}
        result.requests = [*(result.requests or []), shown]
        result.parts.append("dry_run")

    def _send(self, result: Result, request: GraphRequest, build_ms: float, halvings: int) -> None:
        connection = self.outside.connections.get(request.connection)
        began = self.outside.clock.monotonic()
        try:
            if connection is None:
                raise ConfigurationError(
                    "the connection of a queued call is not configured",
                    process="send",
                    action="Add the connection to the configuration again, or delete its dead letters.",
                )
            answer = self.outside.graph_api.send(request, connection, deadline=self.origin.deadline)
        except RelayError as error:
            graph_ms = 1000 * (self.outside.clock.monotonic() - began)
            if _helps_to_halve(request, error, halvings):
                for half in request.halves():
                    self._one(result, half, build_ms, halvings + 1)
                return
            self._fail(result, request, error, build_ms, graph_ms)
        else:
            graph_ms = 1000 * (self.outside.clock.monotonic() - began)
            self._deliver(result, request, answer, build_ms, graph_ms)

    def _deliver(
        self, result: Result, request: GraphRequest, answer: GraphAnswer, build_ms: float, graph_ms: float
    ) -> None:
        sent = len(request.rows)
        if "session" in request.body:
            received = result.count_received(request.body["session"]["session_id"], answer.num_received, sent)
        else:
            received = result.count_received(None, answer.events_received, sent)
        result.num_invalid_entries += answer.num_invalid_entries
        result.fbtrace_id = answer.fbtrace_id or result.fbtrace_id
        if answer.num_invalid_entries:
            result.invalid_rows += _rows_of(answer.invalid_entry_samples, request)
        outcome: Outcome = "partial" if answer.num_invalid_entries or received < sent else "delivered"
        result.parts.append(outcome)
        if self.debug:
            self._note_debug(result, request, _shown_answer(answer))
        self._log(
            request,
            outcome,
            rows_sent=sent,
            num_received=received,
            num_invalid_entries=answer.num_invalid_entries,
            http_status=answer.http_status,
            fbtrace_id=answer.fbtrace_id,
            usage_percent=answer.usage.percent,
            regain_minutes=answer.usage.regain_seconds / 60 or None,
            build_ms=build_ms,
            graph_ms=graph_ms,
        )

    def _fail(self, result: Result, request: GraphRequest, error: RelayError, build_ms: float, graph_ms: float) -> None:
        if _is_bad_event(request, error):
            result.invalid_rows += request.numbers
        else:
            result.stopped = result.stopped or error
        if error.facts() | {"fbtrace_id": None} not in [
            known.facts() | {"fbtrace_id": None} for known in result.errors
        ]:
            result.errors.append(error)
        if self.debug:
            self._note_debug(result, request, {"error": error.facts()})
        if error.retry is Retry.NEVER:
            self.refused.append((request, error))
            if self.bury:
                self.put_away(request, error)
            self._note(result, request, "failed", error, build_ms, graph_ms)
        elif self.redeliver or self.outside.queue is None:
            self.waiting.append((request, error))
            self._note(result, request, "failed", error, build_ms, graph_ms)
        else:
            self._enqueue(result, request, error, build_ms, graph_ms)

    def _enqueue(
        self,
        result: Result,
        request: GraphRequest,
        error: RelayError | None,
        build_ms: float,
        graph_ms: float = 0,
    ) -> None:
        try:
            self._publish([request.alone()], error=error)
        except QueueError as failure:
            result.errors.append(failure)
            self.waiting.append((request, failure))
            self._note(result, request, "failed", error or failure, build_ms, graph_ms)
        else:
            self._note(result, request, "queued", error, build_ms, graph_ms)

    def put_away(self, request: GraphRequest, error: RelayError) -> None:
        """
        Publish a call that can never succeed as a dead letter.

        Raises:
            QueueError: It was not taken.
        """
        self._publish([request], reason=error.message)

    def put_back(self, waiting: Sequence[tuple[GraphRequest, RelayError]]) -> None:
        """
        Publish calls that have to wait as messages of their own.

        Raises:
            QueueError: One of them was not taken.
        """
        for request, error in waiting:
            self._publish([request.alone()], error=error)

    def _publish(
        self, requests: Sequence[GraphRequest], *, error: RelayError | None = None, reason: str | None = None
    ) -> None:
        """Publish *requests*, in halves where one would be too large; with a *reason* as a dead letter."""
        if self.outside.queue is None:
            raise QueueError("no queue is configured")
        wait = error.retry_after if isinstance(error, RateLimitError) else 0.0
        message = Requests(
            requests=tuple(requests),
            kind=self.origin.kind,
            trace_id=self.origin.trace_id,
            caller=self.origin.caller,
            not_before=self.outside.clock.now() + wait if wait else 0,
        )
        data = message.to_json()
        if len(data) > MAX_MESSAGE_BYTES and sum(len(one.rows) for one in requests) > 1:
            for one in requests:
                for half in one.halves():
                    self._publish([half], error=error, reason=reason)
            return
        attributes = {"type": "requests", "trace-id": self.origin.trace_id}
        if reason is not None:
            attributes["reason"] = reason
        self.outside.queue.publish(data, attributes, dead_letter=reason is not None)

    def _note(
        self,
        result: Result,
        request: GraphRequest,
        outcome: Outcome,
        error: RelayError | None,
        build_ms: float,
        graph_ms: float,
    ) -> None:
        result.parts.append(outcome)
        self._log(request, outcome, **error_columns(error), build_ms=build_ms, graph_ms=graph_ms or None)

    def _note_debug(self, result: Result, request: GraphRequest, answer: Mapping[str, Any]) -> None:
        shown = {"method": request.method, "path": request.path, "body": _shortened_body(request.body)}
        result.requests = [*(result.requests or []), shown]
        result.answers = [*(result.answers or []), answer]

    def log_rejects(self, result: Result, report: Report, audience_id: str | None, **columns: object) -> None:
        """Account for the rows that were not sent; the reasons for mere cells stand with the first call."""
        reasons = report.counted(audience_id)
        if not reasons:
            return
        columns["reject_reasons"] = orjson.dumps(reasons, option=orjson.OPT_SORT_KEYS).decode()
        rejected = report.rejected_rows(audience_id)
        if not rejected and self.amend(result.destination, reject_reasons=columns["reject_reasons"]):
            return
        self.log(
            destination=result.destination,
            outcome="rejected",
            part="rejects",
            rows_received=rejected,
            rows_rejected=rejected,
            **columns,
        )

    def _log(self, request: GraphRequest, outcome: Outcome, **columns: object) -> None:
        if request.action == "events" and len(request.rows) == 1:
            columns |= {key: request.rows[0].get(key) for key in ("event_name", "event_id")}
        self.log(
            destination=request.destination,
            outcome=outcome,
            connection=request.connection,
            action=request.action,
            batch=request.batch,
            batches=request.batches,
            rows_received=len(request.rows),
            part=request.part,
            **self.columns_of(request),
            **columns,
        )

    def amend(self, destination: Mapping[str, str], **columns: object) -> bool:
        """Add *columns* to the first row of *destination*; return whether there is one."""
        (ident,) = destination.values()
        row = next((row for row in self.rows if row["destination"] == ident), None)
        if row is not None:
            row |= columns
        return row is not None

    def log(self, *, destination: Mapping[str, str], outcome: Outcome, part: object = "", **columns: object) -> None:
        """Note a row of the delivery log; *part* tells it from others of the same destination and attempt."""
        (ident,) = destination.values()
        origin = self.origin
        clock = self.outside.clock
        batch = columns.get("batch")
        self.rows.append(
            delivery_log.row(
                row_id=delivery_log.row_id(
                    origin.request_id,
                    origin.attempt,
                    origin.kind,
                    columns.get("connection"),
                    ident,
                    batch,
                    part,
                    outcome,
                ),
                logged_at=rfc3339(clock.now()),
                trace_id=origin.trace_id,
                kind=origin.kind,
                caller=origin.caller,
                destination=ident,
                outcome=outcome,
                attempt=origin.attempt,
                elapsed_ms=1000 * (clock.monotonic() - origin.started),
                relay_version=RELAY_VERSION,
                **columns,
            )
        )


#: A quarter of the rows is little enough where Meta wants less; if it still fails, Meta itself is ill.
_HALVINGS: Final = 2
#: `100/33` is about the dataset, not about an event.
_INVALID_PARAMETER: Final = 100
_NO_SUCH_OBJECT: Final = 33


def _helps_to_halve(request: GraphRequest, error: RelayError, halvings: int) -> bool:
    """Tell whether half of the rows may pass: where Meta wants less at once, or refuses all for one bad event."""
    if len(request.rows) < 2 or not isinstance(error, GraphAPIError):
        return False
    return _is_bad_event(request, error) or (error.smaller and halvings < _HALVINGS)


def _is_bad_event(request: GraphRequest, error: RelayError) -> bool:
    """
    Tell whether Meta refuses an event of a call, and not the call.

    "If any event you send in a batch is invalid, we reject the entire batch."
    -- https://developers.facebook.com/docs/marketing-api/conversions-api/using-the-api
    """
    return (
        request.action == "events"
        and isinstance(error, GraphAPIError)
        and error.retry is Retry.NEVER
        and error.code == _INVALID_PARAMETER
        and error.error_subcode != _NO_SUCH_OBJECT
    )


def error_columns(error: RelayError | None) -> dict[str, object]:
    """Return what the log says of *error*."""
    if error is None:
        return {}
    columns: dict[str, object] = {"error_message": error.message}
    if isinstance(error, GraphAPIError):
        columns |= {
            "http_status": error.http_status,
            "error_code": error.code,
            "error_subcode": error.error_subcode,
            "fbtrace_id": error.fbtrace_id,
        }
    if isinstance(error, RateLimitError):
        columns["regain_minutes"] = error.retry_after / 60
    return columns


def _rows_of(samples: Sequence[str], request: GraphRequest) -> list[int]:
    """Return the numbers of the rows that Meta names; it names them by the row's JSON as sent, or one of its cells."""
    wanted = {_compact(sample) for sample in samples}
    return [
        number
        for number, row in zip(request.numbers, request.rows, strict=True)
        if orjson.dumps(row) in wanted or not wanted.isdisjoint(orjson.dumps(cell) for cell in row)
    ]


def _compact(sample: str) -> bytes:
    try:
        return orjson.dumps(orjson.loads(sample))
    except orjson.JSONDecodeError:
        return orjson.dumps(sample)


_DIGEST = re.compile(r"[0-9A-Fa-f]{64}", re.ASCII)


def _shown_answer(answer: GraphAnswer) -> dict[str, object]:
    """Return what can be shown of *answer*: not the samples, which are rows."""
    kept = ("audience_id", "session_id", "num_received", "num_invalid_entries", "events_received", "fbtrace_id")
    body = {key: answer.body[key] for key in kept if isinstance(answer.body.get(key), int | str)}
    return {"status": answer.http_status, "body": body, "usage_percent": answer.usage.percent}


def _shortened_body(body: Mapping[str, Any]) -> dict[str, Any]:
    if "payload" not in body:
        return _shortened_events(body)
    payload = body["payload"]
    rows = [[_shortened_cell(cell) for cell in row] for row in payload["data"][:_SHOWN_ROWS]]
    shown: dict[str, Any] = {**body, "payload": {**payload, "data": rows}}
    if more := len(payload["data"]) - len(rows):
        shown["payload"]["rows_not_shown"] = more
    return shown


def _shortened_cell(cell: object) -> object:
    if isinstance(cell, str) and cell:
        return cell[:6] + "…" if _DIGEST.fullmatch(cell) else "…"
    return cell


def _shortened_events(body: Mapping[str, Any]) -> dict[str, Any]:
    events = [_shortened_event(event) for event in body["data"][:_SHOWN_ROWS]]
    shown: dict[str, Any] = {**body, "data": events}
    if more := len(body["data"]) - len(events):
        shown["events_not_shown"] = more
    return shown


#: The query of an address may hold a click id.
_ADDRESSES: Final = ("event_source_url", "referrer_url")


def _shortened_event(event: Mapping[str, Any]) -> dict[str, Any]:
    """Return *event* without what is a person's or a device's, but for the beginnings of hashes."""
    shown = dict(event)
    for part in shown.keys() & {"user_data", "app_data"}:
        shown[part] = {
            key: [_shortened_cell(one) for one in value] if isinstance(value, list) else _shortened_cell(value)
            for key, value in shown[part].items()
        }
    for key in shown.get("user_data", {}):
        if isinstance(shown["user_data"][key], int):
            shown["user_data"][key] = "…"
    for key in shown.keys() & set(_ADDRESSES):
        address, mark, _ = shown[key].partition("?")
        shown[key] = address + mark + ("…" if mark else "")
    return shown
