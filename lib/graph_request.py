"""
A call to Meta before it has credentials, as a value that can wait in the queue.

Version, token and `appsecret_proof` are added when it is sent: a message that waited over a rotation or a new version
goes out with what is current.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from hashlib import sha256
from typing import Any, Final, Literal

import orjson

from lib.audiences import Batch
from lib.errors import InvalidRequestError, RelayError
from lib.hashing import is_sha256_column
from lib.identifiers import AUDIENCE_KEYS, EXTERN_ID
from lib.relay_request import parse_id
from lib.version import RELAY_VERSION

#: Of the message's form; a reader takes what it knows and refuses the rest.
_FORM: Final = 1

Method = Literal["POST", "DELETE"]
_METHODS: Final[Mapping[str, tuple[Method, str]]] = {
    "add": ("POST", "{audience_id}/users"),
    "remove": ("DELETE", "{audience_id}/users"),
    "replace": ("POST", "{audience_id}/usersreplace"),
    "remove_from_all": ("DELETE", "act_{ad_account_id}/usersofanyaudience"),
    "events": ("POST", "{dataset_id}/events"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class GraphRequest:
    """
    One call.

    Args:
        path: Below the version.
        connection: The name of the connection whose credentials it needs.
        destination: As answers and log rows name it.
        action: The caller's word for it.
        batch: Its place among the batches of its destination, from 1.
        numbers: The rows' numbers in the caller's request; not kept in the queue.
    """

    method: Method
    path: str
    body: Mapping[str, Any] = field(repr=False)
    connection: str
    destination: Mapping[str, str]
    action: str
    batch: int = 1
    batches: int | None = None
    numbers: Sequence[int] = ()

    @property
    def rows(self) -> Sequence[Any]:
        """The rows of its payload, or its events."""
        rows: Sequence[Any] = self.body.get("payload", self.body)["data"]
        return rows

    @property
    def part(self) -> str:
        """What tells it from other calls of the same request to the same destination."""
        session = self.body.get("session")
        return f"{session['session_id']}.{session['batch_seq']}" if session else _digest(self.body["data"])

    def body_bytes(self) -> bytes:
        """Return the body as it is sent."""
        return orjson.dumps(self.body)

    def halves(self) -> tuple[GraphRequest, GraphRequest]:
        """Return the call as two of half the rows, each a session of its own."""
        middle = len(self.rows) // 2
        return self._part(0, middle, "a"), self._part(middle, len(self.rows), "b")

    def _part(self, start: int, end: int, mark: str) -> GraphRequest:
        part = replace(self, numbers=self.numbers[start:end])
        rows = self.rows[start:end]
        if "session" not in self.body:
            return replace(part, body={**self.body, "data": rows})
        payload = {**self.body["payload"], "data": rows}
        return replace(part, body={**self.body, "payload": payload, "session": self._own_session(mark)})

    def alone(self) -> GraphRequest:
        """Return the call as a session of its own, since messages come in any order."""
        session = self.body.get("session")
        if session is None or (session["batch_seq"] == 1 and session["last_batch_flag"]):
            return self
        return replace(self, body={**self.body, "session": self._own_session("")})

    def _own_session(self, mark: str) -> dict[str, object]:
        return session(f"{self.part}.{mark}", batch_seq=1, last=True)


def _digest(value: object) -> str:
    return sha256(orjson.dumps(value)).hexdigest()[:16]


def session(seed: str, *, batch_seq: int, last: bool) -> dict[str, object]:
    """
    Return Meta's session object; the id derives from *seed*, so that a redelivery sends the same bytes.

    "a positive 64-bit integer", unique for the ad account; 53 bits survive every JSON reader.
    -- https://developers.facebook.com/docs/marketing-api/audiences/guides/custom-audiences
    """
    session_id = int.from_bytes(sha256(seed.encode()).digest()[:8]) % 2**53 or 1
    return {"session_id": session_id, "batch_seq": batch_seq, "last_batch_flag": last}


def audience_call(
    batch: Batch,
    *,
    action: str,
    connection: str,
    destination: Mapping[str, str],
    session: Mapping[str, object],
    batch_number: int,
    ids: Mapping[str, Sequence[str]],
) -> GraphRequest:
    """Return the call that adds or removes the people of *batch*; *ids* are Meta's `page_ids` and `app_ids`."""
    method, path = _METHODS[action]
    extra = {key: list(values) for key, values in ids.items() if values}
    return GraphRequest(
        method=method,
        path=path.format(**destination),
        body={"payload": batch.payload() | extra, "session": session},
        connection=connection,
        destination=destination,
        action=action,
        batch=batch_number,
        numbers=batch.numbers,
    )


#: "<name>_<major>_<minor>" -- https://developers.facebook.com/docs/marketing-api/conversions-api/set-up-as-a-platform
PARTNER_AGENT: Final = "metarelay_" + "_".join(RELAY_VERSION.split(".")[:2])


def event_call(
    events: Sequence[Mapping[str, Any]],
    *,
    connection: str,
    destination: Mapping[str, str],
    test_event_code: str | None,
    batch_number: int,
    numbers: Sequence[int],
) -> GraphRequest:
    """Return the call that sends *events* to a dataset."""
    method, path = _METHODS["events"]
    body: dict[str, Any] = {"data": list(events), "partner_agent": PARTNER_AGENT}
    if test_event_code:
        body["test_event_code"] = test_event_code
    return GraphRequest(
        method=method,
        path=path.format(**destination),
        body=body,
        connection=connection,
        destination=destination,
        action="events",
        batch=batch_number,
        numbers=numbers,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Requests:
    """
    A `requests` message: calls that wait.

    Args:
        kind: `audiences`.
        caller: Who asked first.
        not_before: Unix seconds before which Meta has asked not to be called; 0 for no such wish.
    """

    requests: tuple[GraphRequest, ...]
    kind: str
    trace_id: str
    caller: str
    not_before: float = 0

    def to_json(self) -> bytes:
        """Return the message's data."""
        return orjson.dumps(
            {
                "form": _FORM,
                "kind": self.kind,
                "trace_id": self.trace_id,
                "caller": self.caller,
                "not_before": self.not_before,
                "requests": [
                    {
                        "method": one.method,
                        "path": one.path,
                        "connection": one.connection,
                        "destination": one.destination,
                        "action": one.action,
                        "batch": one.batch,
                        "body": one.body,
                    }
                    for one in self.requests
                ],
            }
        )


def parse_requests(message: Mapping[str, Any]) -> Requests:
    """
    Read the data of a `requests` message.

    Raises:
        InvalidRequestError: It is not in the form that this release writes.
    """
    if message.get("form") != _FORM:
        raise InvalidRequestError("a form that this release does not know", field="form")
    try:
        return Requests(
            kind=_typed(message["kind"], str),
            trace_id=_typed(message["trace_id"], str),
            caller=_typed(message["caller"], str),
            not_before=_typed(message["not_before"], int, float),
            requests=_parse_calls(message["requests"]),
        )
    except (KeyError, TypeError, ValueError, AttributeError, RelayError):
        raise InvalidRequestError("not a message that this service has written", field="requests") from None


def _parse_calls(calls: Any) -> tuple[GraphRequest, ...]:
    if not _typed(calls, list):
        raise ValueError
    return tuple(map(_parse_request, calls))


def _parse_request(one: Mapping[str, Any]) -> GraphRequest:
    method, path = _METHODS[one["action"]]
    if one["action"] == "replace":
        # Its batches go one after the other, and messages come in any order.
        raise ValueError
    ((key, ident),) = _typed(one["destination"], dict).items()
    destination = {key: parse_id(ident, "requests")}
    request = GraphRequest(
        method=method,
        path=path.format(**destination),
        body=_checked_events(one["body"]) if one["action"] == "events" else _checked_people(one["body"]),
        connection=_typed(one["connection"], str),
        destination=destination,
        action=one["action"],
        batch=_typed(one["batch"], int),
    )
    request = replace(request, numbers=range(len(request.rows)))
    if (one["method"], one["path"]) != (request.method, request.path):
        raise ValueError
    return request


def _checked_events(body: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return *body* if it holds events, hashed, and nothing that would be taken for people."""
    if not body["data"] or {"payload", "session"} & _typed(body, dict).keys():
        raise ValueError
    from lib.user_data import check_user_data  # noqa: PLC0415 - for those alone who send events

    for event in _typed(body["data"], list):
        check_user_data(_typed(_typed(event, dict)["user_data"], dict), hash_external_id=False)
    return body


def _checked_people(body: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return *body* if its session is one, its rows fit its schema, and what has to be hashed is."""
    for key, kind in _SESSION.items():
        _typed(body["session"][key], kind)
    width = len(_typed(body["payload"]["schema"], list))
    rows = _typed(body["payload"]["data"], list)
    if not rows or any(len(_typed(row, list)) != width for row in rows):
        raise ValueError
    for key, column in zip(body["payload"]["schema"], zip(*rows, strict=True), strict=True):
        if AUDIENCE_KEYS[key].hashed and key != EXTERN_ID and not is_sha256_column(column):
            raise ValueError
    return body


_SESSION: Final[Mapping[str, type]] = {"session_id": int, "batch_seq": int, "last_batch_flag": bool}


def _typed(value: Any, *kinds: type) -> Any:
    """Return *value* if it is of one of *kinds*; of a number, true is none."""
    if type(value) not in kinds:
        raise TypeError
    return value
