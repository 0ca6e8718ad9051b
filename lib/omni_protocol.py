"""
The Omni protocol of identity services: what is asked, and what an answer says.

`POST {endpoint}` with a bearer token. A request with `count_prev_visits` is answered with the number of visits, one
without it with the person's journal: one entry for each event, in no order that could be relied on.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

import orjson

from lib.errors import IdentityAnswerError, IdentityMismatchError, IdentityRefusedError, IdentityUnreachableError
from lib.identity import Identifiers, Identity, as_fbc, digest_of
from lib.normalization import Settings

SOURCE: Final = "omni"
SCOPE: Final = "Omni Identity"
_PLATFORM: Final = "meta-relay"
#: Entries of a journal that are read, the latest of them.
_ENTRIES: Final = 1_000
#: An id, and nothing that could be somebody's address or number.
_UUID = re.compile(r"(?=[^a-zA-Z]*[a-zA-Z])[A-Za-z0-9][A-Za-z0-9._:-]{7,127}", re.ASCII)


def request_body(identifiers: Identifiers, send: Sequence[str], *, with_journal: bool) -> bytes | None:
    """
    Return what the service is told: the fields *send* and no others; None if it would not know whom it is asked about.

    "one of both required": `anonymous_id` and `email`.
    """
    told = {key: value for key, value in ((name, _TOLD[name](identifiers)) for name in send) if value}
    body: dict[str, object] = {"platform": _PLATFORM}
    if not with_journal:
        body["count_prev_visits"] = True
    for key, names in _KEYS.items():
        if value := next((told[name] for name in names if name in told), None):
            body[key] = value
    if not {"anonymous_id", "email"} & body.keys():
        return None
    if "event_name" in told:
        body["valuation_properties"] = {"action": told["event_name"]}
    return orjson.dumps(body, option=orjson.OPT_SORT_KEYS)


def _digest(kind: str) -> Callable[[Identifiers], str]:
    return lambda identifiers: next(iter(identifiers.persons.get(kind, ())), "")


_TOLD: Final[Mapping[str, Callable[[Identifiers], str]]] = {
    "anonymous_id": lambda one: one.devices.get("anonymous_id") or one.devices.get("client_id", ""),
    "hashed_email": _digest("em"),
    "hashed_phone": _digest("ph"),
    "email": lambda one: one.clear.get("em", ""),
    "phone": lambda one: one.clear.get("ph", ""),
    "fbclid": lambda one: one.fbc,
    "event_name": lambda one: one.event_name,
}
#: The protocol's key -> what may stand there, the best first.
_KEYS: Final[Mapping[str, tuple[str, ...]]] = {
    "anonymous_id": ("anonymous_id",),
    "email": ("email", "hashed_email"),
    "phone": ("phone", "hashed_phone"),
    "fbclid": ("fbclid",),
}


def read_answer(status: int, body: bytes, identifiers: Identifiers, settings: Settings) -> Identity:
    """
    Return whom the answer names.

    Args:
        identifiers: Those that were asked about.

    Raises:
        IdentityRefusedError: 400, 401 or 403.
        IdentityUnreachableError: Any other status but 2xx.
        IdentityAnswerError: Not JSON, no success, no uuid.
        IdentityMismatchError: Its e-mail is not the event's.
    """
    _check_status(status)
    data = _data_of(body)
    uuid = data.get("uuid")
    if not isinstance(uuid, str) or not _UUID.fullmatch(uuid):
        raise _useless("the answer names nobody: it has no uuid that can be an id")
    journal = _journal(data.get("journal"))
    emails = [data.get("email"), *(entry.email for entry in reversed(journal))]
    email = next((digest for one in emails if isinstance(one, str) and (digest := digest_of("em", one, settings))), "")
    if email and "em" in identifiers.persons and email not in identifiers.persons["em"]:
        raise IdentityMismatchError("the answer is about another e-mail than the event's", scope=SCOPE)
    visits = data.get("count_prev_visits")
    known = bool(email or journal or (type(visits) is int and visits > 0))
    return Identity(
        source=SOURCE,
        outcome="hit" if known else "miss",
        person_id=uuid,
        fields={"em": email} if email else {},
        clicks=[(entry.time, fbc) for entry in journal if (fbc := as_fbc(entry.fbclid, entry.time))],
    )


def _check_status(status: int) -> None:
    if status in {401, 403}:
        raise IdentityRefusedError(
            f"the identity service refuses the token ({status})",
            scope=SCOPE,
            action="Add a version to the secret that identity.access_token names.",
        )
    if status == 400:
        raise IdentityRefusedError("the identity service refuses the request (400)", scope=SCOPE)
    if not 200 <= status < 300:
        raise IdentityUnreachableError(f"the identity service answers with {status}", scope=SCOPE)


def _data_of(body: bytes) -> Mapping[str, Any]:
    try:
        answer = orjson.loads(body)
    except orjson.JSONDecodeError:
        raise _useless("the answer is not JSON") from None
    if not isinstance(answer, dict):
        raise _useless("the answer is not an object")
    if answer.get("success", True) is not True:
        error = answer.get("error")
        code = error.get("code") if isinstance(error, dict) else None
        # Its message may repeat what it was asked about.
        raise _useless(f"the identity service reports no success ({code if type(code) is int else 'no code'})")
    data = answer.get("data")
    if not isinstance(data, dict):
        raise _useless("the answer has no data")
    return data


def _useless(message: str) -> IdentityAnswerError:
    return IdentityAnswerError(message, scope=SCOPE)


@dataclass(frozen=True, slots=True)
class _Entry:
    time: int
    email: object
    fbclid: str


def _journal(entries: object) -> list[_Entry]:
    """Return the entries that can be read, the first event first: "newest first" is said, and not always done."""
    read = []
    for entry in entries if isinstance(entries, list) else ():
        time = _time(entry.get("created_at")) if isinstance(entry, dict) else None
        if time is not None:
            fbclid = entry.get("fbclid")
            read.append((time, _Entry(int(time), entry.get("email"), fbclid if isinstance(fbclid, str) else "")))
    return [entry for _, entry in sorted(read, key=lambda one: one[0])][-_ENTRIES:]


def _time(text: object) -> float | None:
    try:
        time = datetime.fromisoformat(text) if isinstance(text, str) else None
        return None if time is None else (time if time.tzinfo else time.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):
        return None


#: Seconds for which an exhausted allowance is believed; a longer pause is another unit or a mistake.
_LONGEST_PAUSE: Final = 300.0


def pause_s(headers: Mapping[str, str], *, now: float) -> float:
    """Return the seconds for which the service wants no request; `X-RateLimit-Reset` is a time or a span of seconds."""
    stated = {name.lower(): value.strip() for name, value in headers.items()}
    reset = stated.get("x-ratelimit-reset", "")
    if stated.get("x-ratelimit-remaining") != "0" or not re.fullmatch(r"[0-9]{1,12}(\.[0-9]{1,9})?", reset, re.ASCII):
        return 0.0
    wait = float(reset) - now if float(reset) > now / 2 else float(reset)
    return min(max(wait, 0.0), _LONGEST_PAUSE)
