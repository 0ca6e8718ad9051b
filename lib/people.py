"""The people of a request, in whichever form the caller states them, as rows under one schema."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import count
from typing import Final

from lib.errors import InvalidRequestError
from lib.identifiers import AUDIENCE_KEYS, LOOKALIKE_VALUE
from lib.report import Report

_ORDER: Final = {key: position for position, key in enumerate(AUDIENCE_KEYS)}
#: The only key whose value is a list by itself.
_LIST_VALUED: Final = "DATA_PROCESSING_OPTIONS"
#: More columns than this are a mistake, and each costs time.
_MAX_COLUMNS: Final = 100


@dataclass(frozen=True, slots=True)
class People:
    """
    Rows as the caller gave them: lists in the order of *schema*, objects, or single values under a schema of one key.

    A key stands in *schema* once for each of its values.
    """

    schema: tuple[str, ...]
    rows: Sequence[object]

    def chunk(self, start: int, size: int, report: Report) -> Chunk:
        """Return the rows from *start* as columns; those of a wrong length or kind are reported and left out."""
        rows = self.rows[start : start + size]
        width = len(self.schema)
        if set(map(type, rows)) == {list} and set(map(len, rows)) == {width}:  # type: ignore[arg-type]
            return Chunk(range(start, start + len(rows)), list(zip(*rows, strict=True)))  # type: ignore[call-overload]
        numbers, kept = [], []
        for number, row in zip(count(start), rows):
            if (cells := self._cells(number, row, report)) is not None:
                numbers.append(number)
                kept.append(cells)
        return Chunk(numbers, list(zip(*kept, strict=True)) or [()] * width)

    def _cells(self, number: int, row: object, report: Report) -> Sequence[object] | None:
        width = len(self.schema)
        if isinstance(row, Mapping):
            return self._from_object(number, row, report)
        if isinstance(row, list) and len(row) == width:
            return row
        if isinstance(row, list):
            report.reject_row(number, f"too {'short' if len(row) < width else 'long'}")
        elif row is not None and width == 1:
            return [row]
        else:
            report.reject_row(number, "not a list or object")
        return None

    def _from_object(self, number: int, row: Mapping[str, object], report: Report) -> list[object]:
        cells: list[object] = [None] * len(self.schema)
        places = self._places()
        for key, value in row.items():
            name = canonical(key)
            free = places.get(name, [])
            values = _values(name, value)
            if len(values) > len(free):
                report.reject_cell(number, name if name in AUDIENCE_KEYS else None, "has no column in the schema")
            for place, one in zip(free, values, strict=False):
                cells[place] = one
        return cells

    def _places(self) -> dict[str, list[int]]:
        places: dict[str, list[int]] = {}
        for place, key in enumerate(self.schema):
            places.setdefault(key, []).append(place)
        return places


@dataclass(frozen=True, slots=True)
class Chunk:
    """Some rows as columns: *numbers* are the rows' numbers in the request, *columns* follow the schema."""

    numbers: Sequence[int]
    columns: list[tuple[object, ...]]


def canonical(key: str) -> str:
    """Return *key* as the table of identifiers writes it: case and spaces do not count."""
    return "".join(key.split()).upper()


def parse_people(body: Mapping[str, object]) -> People:
    """
    Read `user` or `users`.

    Raises:
        InvalidRequestError: Neither or both are there, a key is unknown, or LOOKALIKE_VALUE stands alone.
    """
    if ("user" in body) == ("users" in body):
        raise InvalidRequestError("one of user, users and user_from_event is needed", field="users")
    if "user" in body:
        return _from_objects([body["user"]], field="user")
    users = body["users"]
    if isinstance(users, list):
        return _from_objects(users, field="users")
    if not isinstance(users, Mapping):
        raise InvalidRequestError("must be a list of objects or an object with schema and data", field="users")
    return _from_table(users)


def _from_table(users: Mapping[str, object]) -> People:
    data = users.get("data")
    if not isinstance(data, list):
        raise InvalidRequestError("must be a list", field="users.data")
    if "schema" not in users and data and all(isinstance(row, Mapping) for row in data):
        return _from_objects(data, field="users.data")
    schema = users.get("schema")
    if isinstance(schema, str):
        schema = [part for part in schema.split(",") if part.strip()]
    if not isinstance(schema, list) or not schema:
        raise InvalidRequestError("must be a list of keys or their names with commas between", field="users.schema")
    return People(_known(schema, "users.schema"), _some(data, "users.data"))


def _from_objects(rows: Sequence[object], *, field: str) -> People:
    widths: dict[str, int] = {}
    for row in _some(rows, field):
        if not isinstance(row, Mapping):
            if field == "user":
                raise InvalidRequestError("must be an object", field=field)
            continue
        for key, value in row.items():
            name = canonical(key)
            widths[name] = max(widths.get(name, 1), len(_values(name, value)))
    names = sorted(widths, key=lambda name: _ORDER.get(name, len(_ORDER)))
    return people_of({name: widths[name] for name in names}, rows, field=field)


def people_of(widths: Mapping[str, int], rows: Sequence[object], *, field: str) -> People:
    """Return *rows*, which are objects, under a schema that holds each key as often as *widths* says."""
    schema = [name for name, width in widths.items() for _ in range(width)]
    if not schema:
        raise InvalidRequestError("names nobody", field=field)
    return People(_known(schema, field), rows)


def _values(name: str, value: object) -> Sequence[object]:
    return value if isinstance(value, list) and name != _LIST_VALUED else (value,)


def _known(keys: Iterable[object], field: str) -> tuple[str, ...]:
    schema = tuple(_key(key, position, field) for position, key in enumerate(keys))
    if set(schema) == {LOOKALIKE_VALUE}:
        raise InvalidRequestError("LOOKALIKE_VALUE cannot be the only key", field=field)
    if len(schema) > _MAX_COLUMNS:
        raise InvalidRequestError(f"more than {_MAX_COLUMNS} columns", field=field)
    return schema


def _key(key: object, position: int, field: str) -> str:
    name = canonical(key) if isinstance(key, str) else ""
    if name not in AUDIENCE_KEYS:
        where = f"{field}[{position}]" if field == "users.schema" else field
        raise InvalidRequestError("holds a key that is not known", field=where)
    return name


def _some(rows: Sequence[object], field: str) -> Sequence[object]:
    if not rows:
        raise InvalidRequestError("is empty", field=field)
    return rows


def chunks(people: People, size: int, report: Report) -> Iterator[Chunk]:
    """Yield all rows, *size* at a time, in their order."""
    for start in range(0, len(people.rows), size):
        yield people.chunk(start, size, report)
