"""
A `slice` message: what is left to do of a sync, as a value that travels through the queue.

It names the source and where to read on, and holds nobody: whoever takes it reads the members anew.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Final, Literal

import orjson

from lib.cuts import Cut, parse_cut
from lib.data_processing import DataProcessing
from lib.errors import InvalidRequestError, RelayError
from lib.relay_request import parse_id
from lib.segments import Segment

#: Of the message's form; a reader takes what it knows and refuses the rest.
_FORM: Final = 1

Change = Literal["sync", "mirror", "replace"]
#: What comes next: the source is cut; its usable members are counted, or put into a table; they are sent.
Step = Literal["begin", "count", "stage", "send"]
_CHANGES: Final = frozenset({"sync", "mirror", "replace"})
_STEPS: Final = frozenset({"begin", "count", "stage", "send"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """
    What the request says of all members.

    Args:
        required: The signals of consent that each member has to grant.
        stated: What the request itself states of them.
        data_processing: Limited data use.
    """

    required: tuple[str, ...] = ()
    stated: Mapping[str, bool] = field(default_factory=dict)
    data_processing: DataProcessing | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplaceSession:
    """
    How far a replace is.

    Args:
        generation: How often it had to begin anew, and
        rewinds: to send batches again, since somebody else had sent the first one after them.
        next_batch: The batch that is sent next, from 1.
        started: Unix seconds of its first batch; 0 before.
        usable: How many members have been counted, and
        sent: how many of them have been sent.
        received: What Meta has counted in the session so far.
        schema: The columns of each of its batches.
    """

    generation: int = 0
    rewinds: int = 0
    next_batch: int = 1
    started: float = 0
    usable: int = 0
    sent: int = 0
    received: int = 0
    schema: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """
    What is left to do.

    Args:
        sync_id: Joins all that belongs to one sync, and is the same for each delivery of the message that began it.
        audience_id: `""` before the first step.
        began: Unix seconds of the sync's beginning.
        cuts: What is still to be read in this step, in order.
        whole: All cuts of the source, for a step that reads them again.
        batches: How many pages the source has.
        staged: How many members the table of members has got.
        not_before: Unix seconds before which Meta has asked not to be called; 0 for no such wish.
    """

    step: Step
    change: Change
    sync_id: str
    source: str
    segment: Segment
    connection: str
    trace_id: str
    caller: str
    began: float
    terms: Terms = field(default_factory=Terms)
    audience_id: str = ""
    cuts: tuple[Cut, ...] = ()
    whole: tuple[Cut, ...] = ()
    batches: int = 0
    staged: int = 0
    session: ReplaceSession = field(default_factory=ReplaceSession)
    not_before: float = 0

    def to_json(self) -> bytes:
        """Return the message's data."""
        values = {one.name: getattr(self, one.name) for one in fields(self)}
        cuts = {name: [cut.to_json() for cut in values[name]] for name in ("cuts", "whole")}
        return orjson.dumps({"form": _FORM, **values, **cuts})


def parse_task(message: Mapping[str, Any]) -> Task:
    """
    Read the data of a `slice` message.

    Raises:
        InvalidRequestError: It is not in the form that this release writes.
    """
    if message.get("form") != _FORM:
        raise InvalidRequestError("a form that this release does not know", field="form")
    try:
        return Task(**{name: read(message[name]) for name, read in _READERS.items()})
    except (KeyError, TypeError, ValueError, AttributeError, RelayError):
        raise InvalidRequestError("not a message that this service has written", field="slice") from None


def _typed(*kinds: type) -> Callable[[Any], Any]:
    def read(value: Any) -> Any:
        if type(value) not in kinds:
            raise TypeError
        return value

    return read


_text, _count, _moment = _typed(str), _typed(int), _typed(int, float)


def _one_of(choices: frozenset[str]) -> Callable[[Any], Any]:
    def read(value: Any) -> Any:
        if value not in choices:
            raise ValueError
        return value

    return read


def _cuts(value: Any) -> tuple[Cut, ...]:
    return tuple(map(parse_cut, _typed(list)(value)))


def _texts(value: Any) -> tuple[str, ...]:
    return tuple(map(_text, _typed(list)(value)))


def _segment(value: Any) -> Segment:
    return Segment(_text(value["id"]), _text(value["name"]))


def _audience(value: Any) -> str:
    return value if value == "" else parse_id(value, "audience_id")


def _terms(value: Any) -> Terms:
    stated = {_text(signal): _typed(bool)(granted) for signal, granted in value["stated"].items()}
    limited = value["data_processing"]
    return Terms(
        required=_texts(value["required"]),
        stated=stated,
        data_processing=limited
        and DataProcessing(_texts(limited["options"]), _count(limited["country"]), _count(limited["state"])),
    )


def _session(value: Any) -> ReplaceSession:
    return ReplaceSession(
        generation=_count(value["generation"]),
        rewinds=_count(value["rewinds"]),
        next_batch=_count(value["next_batch"]),
        started=_moment(value["started"]),
        usable=_count(value["usable"]),
        sent=_count(value["sent"]),
        received=_count(value["received"]),
        schema=_texts(value["schema"]),
    )


_READERS: Final[Mapping[str, Callable[[Any], Any]]] = {
    "step": _one_of(_STEPS),
    "change": _one_of(_CHANGES),
    "sync_id": _text,
    "source": _text,
    "segment": _segment,
    "connection": _text,
    "trace_id": _text,
    "caller": _text,
    "began": _moment,
    "terms": _terms,
    "audience_id": _audience,
    "cuts": _cuts,
    "whole": _cuts,
    "batches": _count,
    "staged": _count,
    "session": _session,
    "not_before": _moment,
}
