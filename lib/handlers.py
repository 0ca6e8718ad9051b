"""What the two functions do with a request and with a message."""

from __future__ import annotations

import base64
import binascii
import json
import logging
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from http import HTTPStatus
from itertools import islice
from typing import TYPE_CHECKING, Any, Final, Protocol

import orjson

from lib import console_log, secret_notices
from lib.audience_flow import AudienceFlow
from lib.authentication import Credentials, Rights, authenticate
from lib.config import Caller, Config
from lib.errors import (
    ConfigurationError,
    IdentityError,
    InvalidRequestError,
    QueueError,
    RelayError,
    Retry,
    UnauthorizedError,
)
from lib.graph_request import GraphRequest, Requests, parse_requests
from lib.health_log import HealthLog
from lib.outcomes import Answer, Result, shown_error
from lib.ports import Chance, Clock, Secrets
from lib.relay_request import parse_json
from lib.segments import is_of_segments
from lib.sending import Origin, Outside, Sending

if TYPE_CHECKING:
    # Loaded by bootstrap, for those alone who have identity switched on.
    from lib.recognition import Recognizer

logger = logging.getLogger(__name__)

#: "Maximum HTTP request size: 32 MB" -- https://cloud.google.com/functions/quotas
MAX_BODY_BYTES: Final = 32 * 2**20
#: Pub/Sub gives a message up after 100 deliveries, which with its backoff of up to 600 s are 16 hours.
_ATTEMPTS_TO_SPARE: Final = 50
#: Seconds that a caller waits for Meta where a queue can take over; server-side GTM itself gives up after 3.
PATIENCE: Final = 2.5


@dataclass(frozen=True, slots=True, kw_only=True)
class HTTPRequest:
    """A request as it came; *headers*' names in lower case."""

    method: str
    path: str
    headers: Mapping[str, str] = field(repr=False)
    read_body: Callable[[], bytes] = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class HTTPAnswer:
    """An answer as it goes."""

    status: int
    body: bytes
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """
    A Pub/Sub message.

    Args:
        data: What was published, still in base64; anything at all where the push was not Pub/Sub's.
        attempt: Which delivery this is, from 1.
        published: When, in Unix seconds.
    """

    data: object = field(repr=False)
    attributes: Mapping[str, str]
    message_id: str
    attempt: int = 1
    published: float | None = None


class Flow(Protocol):
    """Does what a body of its kind asks for."""

    def run(self, body: Mapping[str, object], *, rights: Rights, origin: Origin) -> tuple[Answer, Sending]:
        """
        Return the answer, and the calls with the log rows that are still to be written.

        Raises:
            RelayError: Before anything is sent.
        """


@dataclass(frozen=True, slots=True, kw_only=True)
class Relay:
    """Both functions, with all that they need of the outside."""

    config: Config
    outside: Outside
    secrets: Secrets
    clock: Clock
    chance: Chance
    health_log: HealthLog = field(default_factory=HealthLog)
    renew_secret: Callable[[str], None] = lambda _: None
    #: Recognises people; None where identity is off.
    recognizer: Recognizer | None = None
    #: Asks the endpoint of identity for an HTTP status; None where there is none.
    probe_identity: Callable[[], int | None] | None = None

    def receive(self, request: HTTPRequest) -> HTTPAnswer:
        """Answer an HTTP request."""
        started = self.clock.monotonic()
        trace_id = trace_id_of(request.headers) or self.chance.name()
        token = console_log.trace_id.set(trace_id)
        try:
            status, body, headers = self._receive(request, trace_id, started)
        except RelayError as error:
            status, headers = error.status, _headers_of(error)
            body = Answer(outcome="rejected" if status < 500 else "failed", error=error).shown(
                trace_id, now=self.clock.now(), elapsed_ms=self._since(started)
            )
            self._log_error(error, trace_id)
        except Exception:
            logger.exception("a fault of ours")
            fault = RelayError("a fault of ours; the log has it under this trace id", process="receive")
            status, headers = fault.status, {}
            body = Answer(outcome="failed", error=fault).shown(
                trace_id, now=self.clock.now(), elapsed_ms=self._since(started)
            )
        finally:
            console_log.trace_id.reset(token)
        headers = {"Content-Type": "application/json", "trace-id": trace_id} | headers
        return HTTPAnswer(status=status, body=orjson.dumps(body), headers=headers)

    def _receive(
        self, request: HTTPRequest, trace_id: str, started: float
    ) -> tuple[int, Mapping[str, object], dict[str, str]]:
        route, methods = _route(request.path)
        if route is None:
            raise NotFoundError("no such path")
        if request.method not in methods:
            raise MethodNotAllowedError(methods)
        if route == "health":
            return HTTPStatus.OK, {"status": "ok"}, {}
        if route == "progress":
            return HTTPStatus.OK, self._progress(request), {}
        raw = _body_of(request)
        rights = self._rights_of(request, raw)
        origin = Origin(
            request_id=self.chance.name(),
            trace_id=trace_id,
            caller=rights.caller,
            kind=route,
            started=started,
            deadline=started + PATIENCE if self.outside.queue is not None else None,
        )
        body = parse_json(raw)
        del raw
        parse_ms = self._since(started)
        answer, sending = self._flow(route, bury=False).run(body, rights=rights, origin=origin)
        if sending.rows:
            sending.rows[0]["parse_ms"] = parse_ms
        sending.finish()
        shown = answer.shown(trace_id, now=self.clock.now(), elapsed_ms=self._since(started))
        self._log_answer(answer, shown, sending)
        headers = {"Retry-After": str(answer.retry_after)} if answer.retry_after else {}
        return answer.status, shown, headers

    def _progress(self, request: HTTPRequest) -> Mapping[str, object]:
        """Return how far the last sync of a segment is."""
        rights = self._rights_of(request, b"")
        rights.check(action="sync", connections=set())
        reader = None if self.outside.warehouse is None else self.outside.warehouse.progress
        if reader is None:
            raise NotFoundError("no delivery log in BigQuery is configured, which alone knows how far a sync is")
        known = reader.of(_segment_of(request.path), now=self.clock.now())
        if known is None:
            raise NotFoundError("no sync of this segment in the last seven days")
        rights.check(action="sync", connections={known.connection})
        return known.shown(self.clock.now())

    def _flow(self, kind: str, *, bury: bool) -> Flow:
        if kind == "events":
            # A third of what the package costs at import, for those alone who send events.
            from lib.event_flow import EventFlow  # noqa: PLC0415

            return EventFlow(
                config=self.config,
                outside=self.outside,
                secrets=self.secrets,
                bury=bury,
                recognizer=self.recognizer,
            )
        if kind == "erase":
            # For the rare request of a person to be forgotten.
            from lib.erase_flow import EraseFlow  # noqa: PLC0415

            return EraseFlow(config=self.config, outside=self.outside, bury=bury, recognizer=self.recognizer)
        if kind == "segments":
            from lib.segment_flow import SegmentFlow  # noqa: PLC0415 - for those alone who send segments

            return SegmentFlow(config=self.config, outside=self.outside, bury=bury)
        return AudienceFlow(config=self.config, outside=self.outside, bury=bury, recognizer=self.recognizer)

    def _rights_of(self, request: HTTPRequest, raw: bytes) -> Rights:
        callers = self.config.callers
        if callers is None:
            return Rights(caller="iam")
        credentials = Credentials.from_headers(request.headers)
        if credentials == Credentials():
            raise UnauthorizedError("unauthorized")
        keys, unread = self._keys_of(callers)
        try:
            return _rights(callers[authenticate(credentials, raw, keys, now=self.clock.now())])
        except UnauthorizedError:
            # It may be the caller whose key cannot be read: that is for the operator to mend, and worth a retry.
            raise unread or UnauthorizedError("unauthorized") from None

    def _keys_of(self, callers: Mapping[str, Caller]) -> tuple[dict[str, list[bytes]], RelayError | None]:
        """Return the keys of each caller, and an error if one cannot be read; the others may still call."""
        keys: dict[str, list[bytes]] = {}
        unread = None
        for caller in callers.values():
            for name in caller.keys:
                try:
                    keys.setdefault(caller.name, []).append(self.secrets.access(name))
                except ConfigurationError as error:
                    logger.error("%s", error.message)  # noqa: TRY400 - the frames say nothing
                    # Not the secret's name: whoever asks may be anybody.
                    unread = type(error)("a caller's key cannot be read", process="authenticate")
        return keys, unread

    def deliver(self, message: Message) -> bool:
        """Do what *message* asks for; return whether it is done with, and not to be delivered again."""
        started = self.clock.monotonic()
        trace_id = trace_id_of(message.attributes) or self.chance.name()
        token = console_log.trace_id.set(trace_id)
        try:
            if secret_notices.is_notice(message.attributes):
                secret_notices.heed(message.attributes, self.renew_secret)
                return True
            return self._deliver(message, trace_id, started)
        except (QueueError, IdentityError) as error:
            # Neither the queue nor the dead letters have it, or somebody is not forgotten yet: it stays where it is.
            self._log_error(error, trace_id)
            return False
        except Exception:
            logger.exception("a fault of ours; the message stays in the subscription")
            return False
        finally:
            console_log.trace_id.reset(token)

    def _deliver(self, message: Message, trace_id: str, started: float) -> bool:
        try:
            data = decoded(message.data)
            body = parse_json(data)
            kind = _kind_of(message.attributes, body)
            origin = Origin(
                request_id=message.message_id,
                trace_id=trace_id,
                caller="pubsub",
                kind=kind,
                started=started,
                attempt=message.attempt,
                published=message.published,
            )
            ours: Mapping[str, Callable[[], bool]] = {
                "health": partial(self._check_health, origin),
                "forget": partial(self._forget, body, origin),
                "requests": partial(self._deliver_requests, body, origin),
                "changes": partial(self._deliver_changes, body, origin),
                "flush": partial(self._flush, origin),
                "slice": partial(self._deliver_slice, body, origin),
            }
            if kind in ours:
                return ours[kind]()
            answer, sending = self._flow(kind, bury=self.outside.queue is not None).run(
                body, rights=self._rights_of_messages(), origin=origin
            )
        except RelayError as error:
            if isinstance(error, QueueError | IdentityError):
                raise
            if error.retry is not Retry.NEVER:
                # What it asks for can still be done: later, or once a person has acted.
                self._log_error(error, trace_id)
                return False
            return self._bury(message, error, trace_id)
        if sending.mode == "show":
            # A message has nobody to show anything to; a row tells that this is where it ended.
            for result in answer.results:
                sending.log(destination=result.destination, outcome=answer.outcome)
        sending.finish()
        shown = answer.shown(trace_id, now=self.clock.now(), elapsed_ms=self._since(started))
        self._log_answer(answer, shown, sending)
        return not (sending.waiting or sending.stays)

    def _check_health(self, origin: Origin) -> bool:
        """Make a round of checks: what it finds is its outcome, so that the message is done with."""
        # For the Scheduler's message alone, some times a day.
        from lib.health_flow import HealthFlow  # noqa: PLC0415

        HealthFlow(outside=self.outside, health_log=self.health_log, probe_identity=self.probe_identity).run(origin)
        return True

    def _forget(self, body: Mapping[str, Any], origin: Origin) -> bool:
        # For a withdrawal of consent that could not be followed at once.
        from lib.erase_flow import forget_later  # noqa: PLC0415

        return forget_later(
            body, recognizer=self.recognizer, outside=self.outside, origin=replace(origin, kind="erase")
        )

    def _deliver_requests(self, body: Mapping[str, Any], origin: Origin) -> bool:
        """Make the calls of a message of ours; those that fail alone go back, and stay if all of them do."""
        message = parse_requests(body)
        if message.not_before > self.clock.now():
            return self._wait(message, origin)
        origin = replace(origin, kind=message.kind, caller=message.caller, trace_id=message.trace_id)
        sending = Sending(outside=self.outside, origin=origin, redeliver=True, bury=self.outside.queue is not None)
        results = [Result(destination=request.destination) for request in message.requests]
        for pair in zip(results, message.requests, strict=True):
            sending.dispatch([pair])
        # Counted in rows, since a call may have been made in parts.
        everything_waits = _rows(request for request, _ in sending.waiting) == _rows(message.requests)
        if sending.waiting and not everything_waits and self.outside.queue is not None:
            sending.put_back(sending.waiting)
            sending.waiting.clear()
        sending.finish()
        for result in results:
            for error in result.errors:
                self._log_error(error, message.trace_id)
        return not sending.waiting

    def _deliver_changes(self, body: Mapping[str, Any], origin: Origin) -> bool:
        """Do what a message of ours on a segment asks for: gather it, or send it."""
        from lib.changes import parse_changes  # noqa: PLC0415 - for those alone who send segments
        from lib.segment_flow import SegmentFlow  # noqa: PLC0415

        changes = parse_changes(body)
        origin = replace(origin, kind="segments", caller=changes.caller, trace_id=changes.trace_id or origin.trace_id)
        flow = SegmentFlow(config=self.config, outside=self.outside, bury=self.outside.queue is not None)
        answer, sending = flow.deliver(changes, origin)
        sending.finish()
        self._log_answer(answer, {"results": []}, sending)
        return not (sending.waiting or sending.stays)

    def _deliver_slice(self, body: Mapping[str, Any], origin: Origin) -> bool:
        """Go on with a sync."""
        from lib.sync_flow import SyncFlow  # noqa: PLC0415 - for those alone who sync

        return SyncFlow(config=self.config, outside=self.outside, bury=True).go_on(body, origin)

    def _flush(self, origin: Origin) -> bool:
        """Drain the gathering; the message is done with whatever becomes of it, since the next one comes soon."""
        from lib.flush import Flush  # noqa: PLC0415 - for those alone who gather

        try:
            delivered = Flush(config=self.config, outside=self.outside).run(origin)
        except RelayError as error:
            self._log_error(error, origin.trace_id)
            return True
        for fault in (fault for one in delivered for fault in one.result.errors):
            self._log_error(fault, origin.trace_id)
        return True

    def _wait(self, message: Requests, origin: Origin) -> bool:
        """Leave a message to Pub/Sub's backoff; as a new one where its attempts would end before its time has come."""
        if origin.attempt < _ATTEMPTS_TO_SPARE or self.outside.queue is None:
            return False
        self.outside.queue.publish(message.to_json(), {"type": "requests", "trace-id": message.trace_id})
        return True

    def _rights_of_messages(self) -> Rights:
        """Return what a message may ask for: publishing is IAM's to allow; a caller `pubsub` can narrow it."""
        caller = (self.config.callers or {}).get("pubsub")
        return Rights(caller="pubsub") if caller is None else _rights(caller)

    def _bury(self, message: Message, error: RelayError, trace_id: str) -> bool:
        """Put a message that can never succeed among the dead letters as it came; without any it stays where it is."""
        self._log_error(error, trace_id)
        if self.outside.queue is None:
            return False
        try:
            data = decoded(message.data)
        except InvalidRequestError:
            # Not orjson: what a parser has let through, such as a lone surrogate, it would refuse.
            data = message.data if isinstance(message.data, bytes) else json.dumps(message.data, default=str).encode()
        reason = f"{error.field}: {error.message}" if error.field else error.message
        attributes = _publishable(message.attributes) | {"reason": reason, "trace-id": trace_id}
        self.outside.queue.publish(data or b"{}", attributes, dead_letter=True)
        return True

    def _log_error(self, error: RelayError, trace_id: str) -> None:
        level = logging.ERROR if error.status >= 500 else logging.WARNING
        facts = shown_error(error, trace_id, self.clock.now())
        logger.log(level, "%s: %s", type(error).__name__, error.message, extra={"error": facts})

    def _log_answer(self, answer: Answer, shown: Mapping[str, Any], sending: Sending) -> None:
        logger.info("%s %s", sending.origin.kind, answer.outcome)
        for error in (error for result in answer.results for error in result.errors):
            self._log_error(error, sending.origin.trace_id)
        if sending.debug:
            logger.info("debug", extra={"debug": shown["results"]})

    def _since(self, started: float) -> float:
        return 1000 * (self.clock.monotonic() - started)


class NotFoundError(RelayError):
    """There is no such path."""

    status = HTTPStatus.NOT_FOUND


class MethodNotAllowedError(RelayError):
    """The path has other methods."""

    status = HTTPStatus.METHOD_NOT_ALLOWED

    def __init__(self, allowed: Sequence[str]) -> None:
        super().__init__("the method must be " + " or ".join(allowed))
        self.allowed = allowed


class UnsupportedMediaTypeError(RelayError):
    """The body is something else than plain JSON."""

    status = HTTPStatus.UNSUPPORTED_MEDIA_TYPE


class TooLargeError(RelayError):
    """The body is larger than what Cloud Run takes."""

    status = HTTPStatus.REQUEST_ENTITY_TOO_LARGE


def _headers_of(error: RelayError) -> dict[str, str]:
    """Return what HTTP wants beside the status: RFC 9110, 15.5.2 and 15.5.6."""
    if isinstance(error, MethodNotAllowedError):
        return {"Allow": ", ".join(error.allowed)}
    return {"WWW-Authenticate": "Bearer"} if isinstance(error, UnauthorizedError) else {}


_ROUTES: Final[Mapping[str, tuple[str, ...]]] = {
    "audiences": ("POST",),
    "erase": ("POST",),
    "events": ("POST",),
    "segments": ("POST",),
    "health": ("GET", "HEAD"),
}
#: A segment's id is any text, which may hold a slash.
_PROGRESS: Final = re.compile(r"(?s:.*)/segments/(?P<segment_id>(?s:.{1,128}))")


def _route(path: str) -> tuple[str | None, tuple[str, ...]]:
    """Return the name of what is asked for, and its methods: the last part of the path, whatever its prefix."""
    if _segment_of(path):
        return "progress", ("GET",)
    name = path.rstrip("/").rpartition("/")[2]
    return (name, _ROUTES[name]) if name in _ROUTES else (None, ())


def _segment_of(path: str) -> str:
    """Return the segment whose progress is asked for; `""` for none."""
    found = _PROGRESS.fullmatch(path)
    return found["segment_id"] if found else ""


def _body_of(request: HTTPRequest) -> bytes:
    kind = request.headers.get("content-type", "").partition(";")[0].strip().casefold()
    if kind != "application/json":
        raise UnsupportedMediaTypeError("the content type must be application/json")
    if request.headers.get("content-encoding", "identity").strip().casefold() not in {"", "identity"}:
        raise UnsupportedMediaTypeError("the body must not be compressed")
    length = request.headers.get("content-length", "")
    if length.isdecimal() and int(length[:20]) > MAX_BODY_BYTES:
        raise TooLargeError("the body is larger than 32 MB")
    try:
        body = request.read_body()
    except Exception:  # noqa: BLE001 - the server raises its own, such as gunicorn's for a broken chunk
        raise InvalidRequestError("the body did not come whole") from None
    if len(body) > MAX_BODY_BYTES:
        raise TooLargeError("the body is larger than 32 MB")
    if length.isdecimal() and int(length[:20]) != len(body):
        raise InvalidRequestError("the body did not come whole")
    return body


def _rights(caller: Caller) -> Rights:
    return Rights(
        caller=caller.name,
        connections=caller.connections,
        actions=caller.actions,
        may_lower_consent=caller.may_lower_consent,
    )


_TRACE_ID = re.compile(r"[A-Za-z0-9._:-]{1,128}", re.ASCII)
_TRACEPARENT = re.compile(r"[0-9a-f]{2}-([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}.*", re.ASCII)


def trace_id_of(headers: Mapping[str, str]) -> str | None:
    """Return the trace id that *headers* (or a message's attributes) state: `trace-id`, then W3C's, then Google's."""
    stated = headers.get("trace-id", "")
    if _TRACE_ID.fullmatch(stated):
        return stated
    if match := _TRACEPARENT.fullmatch(headers.get("traceparent", "") or headers.get("googclient_traceparent", "")):
        return match[1]
    google = headers.get("x-cloud-trace-context", "").partition("/")[0]
    return google if _TRACE_ID.fullmatch(google) else None


def decoded(data: object) -> bytes:
    """
    Return the bytes that were published.

    Raises:
        InvalidRequestError: *data* is not base64.
    """
    if not isinstance(data, str):
        raise InvalidRequestError("the push is not one of Pub/Sub", field="message.data")
    try:
        return base64.b64decode(data, validate=True)
    except (binascii.Error, ValueError):
        raise InvalidRequestError("not base64", field="message.data") from None


def _rows(requests: Iterable[GraphRequest]) -> int:
    return sum(len(request.rows) for request in requests)


#: Names that the official publisher has for parameters of its own.
_NOT_ATTRIBUTES: Final = frozenset({"topic", "data", "ordering_key", "retry", "timeout"})
#: "Attributes per message: 100", two of which are ours. -- https://cloud.google.com/pubsub/quotas
_MAX_ATTRIBUTES: Final = 98


def _publishable(attributes: Mapping[str, str]) -> dict[str, str]:
    """Return the attributes of a message that a message of ours can have: names in `goog` are Google's."""
    free = (pair for pair in attributes.items() if pair[0] not in _NOT_ATTRIBUTES and not pair[0].startswith("goog"))
    return dict(islice(free, _MAX_ATTRIBUTES))


#: A key that tells a body's kind; the first counts, since a bare event may have an `action` of its own, and a body of
#: audiences an event.
_SHAPES: Final[Mapping[str, str]] = {
    "event_name": "events",
    "action": "audiences",
    "event_data": "events",
    "events": "events",
    "event": "events",
}
_KINDS: Final = frozenset(
    ["audiences", "erase", "events", "forget", "segments", "changes", "flush", "slice", "requests", "health"]
)


def _kind_of(attributes: Mapping[str, str], body: Mapping[str, object]) -> str:
    """Return the type of a message: its attribute says it, or its shape does."""
    kind = attributes.get("type") or next((kind for key, kind in _SHAPES.items() if key in body), "")
    if kind in {"", "events"} and is_of_segments(body):
        # A CDP's own messages on its segments have the keys of an event, and are none of a website.
        kind = "segments"
    if kind not in _KINDS:
        raise InvalidRequestError("a type of message that is not known", field="type")
    return kind
