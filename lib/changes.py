"""
People who entered or left a segment, hashed: what is gathered and what waits, and what of it a flush sends.

Of several changes of a person the last one counts: by the time that the CDP states where both state one, else by the
order in which they were received.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from hashlib import sha256
from typing import Any, Final, Literal

import orjson

from lib.audiences import MAX_ROWS, Batch, UnsafeBatchError
from lib.errors import InvalidRequestError, RelayError
from lib.hashing import is_sha256_column
from lib.identifiers import AUDIENCE_KEYS, DATA_PROCESSING_COLUMNS, EXTERN_ID
from lib.segments import Segment

#: Of the message's form; a reader takes what it knows and refuses the rest.
_FORM: Final = 1
#: Ordering keys of an audience: many, since Pub/Sub hands out no message of a key while an earlier one is out.
#: -- https://cloud.google.com/pubsub/docs/ordering
BUCKETS: Final = 256
#: What tells people apart, best first.
_NAMING: Final = (EXTERN_ID, "EMAIL", "PHONE", "MADID")

Action = Literal["add", "remove"]
ACTIONS: Final[Mapping[str, Action]] = {"enter": "add", "leave": "remove"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Changes:
    """
    A `changes` message: people of one segment who all entered, or all left.

    Args:
        connection: Whose ad account has the audience.
        schema: The columns' keys.
        rows: The cells as Meta gets them.
        changed_at: Unix seconds at which the CDP saw it; None where it does not say.
    """

    connection: str
    segment: Segment
    action: Action
    schema: tuple[str, ...]
    rows: Sequence[Sequence[Any]] = field(repr=False)
    changed_at: float | None = None
    trace_id: str = ""
    caller: str = ""

    def to_json(self) -> bytes:
        """Return the message's data."""
        return orjson.dumps(
            {
                "form": _FORM,
                "connection": self.connection,
                "segment": {"id": self.segment.id, "name": self.segment.name},
                "action": self.action,
                "schema": self.schema,
                "rows": self.rows,
                "changed_at": self.changed_at,
                "trace_id": self.trace_id,
                "caller": self.caller,
            }
        )

    def by_key(self) -> Iterator[tuple[str, Changes]]:
        """Yield the people of each ordering key, in their order: everybody has one of the segment's keys for good."""
        buckets: dict[int, list[Sequence[Any]]] = {}
        for row in self.rows:
            buckets.setdefault(_bucket(person_of(self.schema, row)), []).append(row)
        name = sha256(f"{self.connection}\n{self.segment.id}".encode()).hexdigest()[:16]
        for bucket, rows in buckets.items():
            yield f"{name}-{bucket}", self.of(rows)

    def of(self, rows: Sequence[Sequence[Any]]) -> Changes:
        """Return the same change of *rows* alone, without the columns that are empty in all of them."""
        kept = [
            place
            for place, key in enumerate(self.schema)
            if key in DATA_PROCESSING_COLUMNS or any(row[place] != "" for row in rows)
        ]
        return Changes(
            connection=self.connection,
            segment=self.segment,
            action=self.action,
            schema=tuple(self.schema[place] for place in kept),
            rows=[[row[place] for place in kept] for row in rows],
            changed_at=self.changed_at,
            trace_id=self.trace_id,
            caller=self.caller,
        )


def parse_changes(message: Mapping[str, Any]) -> Changes:
    """
    Read the data of a `changes` message.

    Raises:
        InvalidRequestError: It is not in the form that this release writes.
    """
    if message.get("form") != _FORM:
        raise InvalidRequestError("a form that this release does not know", field="form")
    try:
        changes = Changes(
            connection=_typed(message["connection"], str),
            segment=Segment(_typed(message["segment"]["id"], str), _typed(message["segment"]["name"], str)),
            action=_ACTIONS[message["action"]],
            schema=_schema(tuple(_typed(message["schema"], list))),
            rows=_typed(message["rows"], list),
            changed_at=_typed(message["changed_at"], float, int, type(None)),
            trace_id=_typed(message["trace_id"], str),
            caller=_typed(message["caller"], str),
        )
        _check_rows(changes)
    except (KeyError, TypeError, ValueError, RelayError):
        raise InvalidRequestError("not a message that this service has written", field="changes") from None
    return changes


@lru_cache(maxsize=256)
def _schema(keys: tuple[str, ...]) -> tuple[str, ...]:
    """Return *keys*, the same object each time: a flush holds tens of thousands of them."""
    return keys


_ACTIONS: Final[Mapping[str, Action]] = {"add": "add", "remove": "remove"}


def _typed(value: Any, *kinds: type) -> Any:
    """Return *value* if it is of one of *kinds*; of a number, true is none."""
    if type(value) not in kinds:
        raise TypeError
    return value


def _check_rows(changes: Changes) -> None:
    """Return if the rows fit the schema, and what has to be hashed is."""
    if not changes.rows:
        raise ValueError
    for key, column in zip(changes.schema, zip(*changes.rows, strict=True), strict=True):
        if AUDIENCE_KEYS[key].hashed and key != EXTERN_ID and not is_sha256_column(column):
            raise ValueError


def person_of(schema: Sequence[str], row: Sequence[Any]) -> str:
    """Return what tells a person from the others: the CDP's id, else an address, else all cells together."""
    for wanted in _NAMING:
        for key, cell in zip(schema, row, strict=True):
            if key == wanted and cell:
                return f"{key} {cell}"
    return sha256(orjson.dumps(sorted(zip(schema, map(str, row), strict=True)))).hexdigest()


def _bucket(person: str) -> int:
    return int.from_bytes(sha256(person.encode()).digest()[:4]) % BUCKETS


@dataclass(slots=True)
class LastChange:
    """
    The last change of a person among those that were pulled.

    Args:
        messages: All messages that speak of the person; they are done with when this change is.
    """

    action: Action
    schema: tuple[str, ...]
    row: Sequence[Any] = field(repr=False)
    changed_at: float | None
    messages: list[int]

    def follow(self, changes: Changes, row: Sequence[Any], message: int) -> None:
        """Take over what came later, unless both state a time and it happened earlier."""
        self.messages.append(message)
        if self.changed_at is not None and changes.changed_at is not None and changes.changed_at < self.changed_at:
            return
        self.action, self.schema, self.row = changes.action, changes.schema, row
        self.changed_at = changes.changed_at


@dataclass(slots=True)
class SegmentChanges:
    """What has changed in one segment: its name as last heard, and each person's last change."""

    connection: str
    segment: Segment
    people: dict[str, LastChange] = field(default_factory=dict, repr=False)

    def add(self, changes: Changes, message: int) -> None:
        """Take in one message; they come in the order of each ordering key."""
        self.segment = changes.segment
        for row in changes.rows:
            person = person_of(changes.schema, row)
            known = self.people.get(person)
            if known is None:
                change = LastChange(changes.action, changes.schema, row, changes.changed_at, [message])
                self.people[person] = change
            else:
                known.follow(changes, row, message)

    def of(self, action: Action) -> list[LastChange]:
        """Return those whose last change is *action*."""
        return [change for change in self.people.values() if change.action == action]


def batches_of(changes: Sequence[LastChange], *, size: int = MAX_ROWS) -> Iterator[Batch]:
    """
    Yield *changes* as batches under the union of their keys; a row's number is its place in *changes*.

    Rows with another number of EXTERN_IDs go in another batch: Meta counts a row with an empty one as invalid.

    Raises:
        UnsafeBatchError: A cell that has to be hashed is not.
    """
    by_ids: dict[int, list[int]] = {}
    for number, change in enumerate(changes):
        by_ids.setdefault(change.schema.count(EXTERN_ID), []).append(number)
    for numbers in by_ids.values():
        for start in range(0, len(numbers), size):
            yield _batch(changes, numbers[start : start + size])


def _batch(changes: Sequence[LastChange], numbers: Sequence[int]) -> Batch:
    schemas = {changes[number].schema for number in numbers}
    schema = tuple(key for key in AUDIENCE_KEYS for _ in range(max(one.count(key) for one in schemas)))
    places = {one: _places(one, schema) for one in schemas}
    empty = [_EMPTY.get(key, "") for key in schema]
    rows = []
    for number in numbers:
        change = changes[number]
        row = list(empty)
        for place, cell in zip(places[change.schema], change.row, strict=True):
            row[place] = cell
        rows.append(tuple(row))
    for key, column in zip(schema, zip(*rows, strict=True), strict=True):
        if AUDIENCE_KEYS[key].hashed and key != EXTERN_ID and not is_sha256_column(column):
            raise UnsafeBatchError("a column that has to be hashed is not", field=key, process="build")
    return Batch(schema, rows, numbers)


#: What stands in these columns for somebody of whom nothing is known.
_EMPTY: Final[Mapping[str, Any]] = dict(zip(DATA_PROCESSING_COLUMNS, ([], 0, 0), strict=True))


def _places(own: Sequence[str], schema: Sequence[str]) -> list[int]:
    """Return where each column of *own* stands in *schema*: the second e-mail address in its second column."""
    seen: dict[str, int] = {}
    places = []
    for key in own:
        places.append(schema.index(key) + seen.get(key, 0))
        seen[key] = seen.get(key, 0) + 1
    return places
