"""The people of a request, in whichever form the caller states them, as rows under one schema."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import count
from typing import Any, Final, TypeGuard

from lib.errors import InvalidRequestError
from lib.identifiers import AUDIENCE_KEYS, LOOKALIKE_VALUE, NOT_IDENTIFYING
from lib.report import Report

_ORDER: Final = {key: position for position, key in enumerate(AUDIENCE_KEYS)}
#: More columns than this are a mistake, and each costs time.
_MAX_COLUMNS: Final = 100
#: Objects that are looked at together for the keys that they have.
_AT_ONCE: Final = 10_000


@dataclass(frozen=True, slots=True)
class People:
    """
    Rows as the caller gave them: lists in the order of *schema*, objects, or single values under a schema of one key.

    A key stands in *schema* once for each of its values.
    """

    schema: tuple[str, ...]
    rows: Sequence[object] = field(repr=False)

    def chunk(self, start: int, size: int, report: Report) -> Chunk:
        """Return the rows from *start* as columns; those of a wrong length or kind are reported and left out."""
        rows: Sequence[Any] = self.rows[start : start + size]
        width = len(self.schema)
        kinds = set(map(type, rows))
        if kinds == {list} and set(map(len, rows)) == {width}:
            return Chunk(range(start, start + len(rows)), list(zip(*rows, strict=True)))
        if kinds == {dict} and (columns := self._columns(rows)) is not None:
            return Chunk(range(start, start + len(rows)), columns)
        numbers, kept = [], []
        objects = _Objects(self.schema, report)
        for number, row in zip(count(start), rows):
            cells = objects.cells(number, row) if isinstance(row, Mapping) else self._cells(number, row, report)
            if cells is not None:
                numbers.append(number)
                kept.append(cells)
        return Chunk(numbers, list(zip(*kept, strict=True)) or [()] * width)

    def _columns(self, rows: Sequence[Mapping[str, object]]) -> list[tuple[object, ...]] | None:
        """Return the columns of objects whose keys each have one spelling, one column and one value; else None."""
        spellings = set[str]().union(*rows)
        spelled = {canonical(key): key for key in spellings}
        if len(spelled) < len(spellings) or len(set(self.schema)) < len(self.schema) or spelled.keys() - self.schema:
            return None
        columns = []
        for key in self.schema:
            spelling = spelled.get(key, key)
            column = tuple([row.get(spelling) for row in rows])
            if key not in NOT_IDENTIFYING and list in set(map(type, column)):
                return None
            columns.append(column)
        return columns

    def _cells(self, number: int, row: object, report: Report) -> Sequence[object] | None:
        width = len(self.schema)
        if isinstance(row, list) and len(row) == width:
            return row
        if isinstance(row, list):
            report.reject_row(number, f"too {'short' if len(row) < width else 'long'}")
        elif row is not None and width == 1:
            return [row]
        else:
            report.reject_row(number, "not a list or object")
        return None


class _Objects:
    """Reads objects one by one, in whichever form; those of one form throughout go by `People._columns`."""

    def __init__(self, schema: Sequence[str], report: Report) -> None:
        self._width = len(schema)
        self._report = report
        self._names: dict[str, str] = {}
        self._places: dict[str, list[int]] = {}
        for place, key in enumerate(schema):
            self._places.setdefault(key, []).append(place)

    def cells(self, number: int, row: Mapping[str, object]) -> list[object]:
        """Return the cells of an object in the order of the schema; what has no column is reported."""
        cells: list[object] = [None] * self._width
        for name, values in self._by_name(row).items():
            free = self._places.get(name, [])
            if len(values) > len(free):
                self._report.reject_cell(number, name if name in AUDIENCE_KEYS else None, "has no column in the schema")
            for place, one in zip(free, values, strict=False):
                cells[place] = one
        return cells

    def _by_name(self, row: Mapping[str, object]) -> dict[str, Sequence[object]]:
        """Return the values by key; two spellings of a key are one key with the values of both."""
        found: dict[str, Sequence[object]] = {}
        for key, value in row.items():
            name = self._names.get(key) or self._names.setdefault(key, canonical(key))
            values = _values(name, value)
            found[name] = [*found[name], *values] if name in found else values
        return found


@dataclass(frozen=True, slots=True)
class Chunk:
    """Some rows as columns: *numbers* are the rows' numbers in the request, *columns* follow the schema."""

    numbers: Sequence[int]
    columns: list[tuple[object, ...]] = field(repr=False)


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
    if _is_list(users):
        return _from_objects(users, field="users")
    if not isinstance(users, Mapping):
        raise InvalidRequestError("must be a list of objects or an object with schema and data", field="users")
    return _from_table(users)


def _from_table(users: Mapping[str, object]) -> People:
    data = users.get("data")
    if not _is_list(data):
        raise InvalidRequestError("must be a list", field="users.data")
    if "schema" not in users and data and all(isinstance(row, Mapping) for row in data):
        return _from_objects(data, field="users.data")
    schema = users.get("schema")
    if isinstance(schema, str):
        schema = [part for part in schema.split(",") if part.strip()]
    if not isinstance(schema, list) or not schema:
        raise InvalidRequestError("must be a list of keys or their names with commas between", field="users.schema")
    return People(_known(schema, "users.schema"), _some(data, "users.data"))


def _is_list(value: object) -> TypeGuard[Sequence[object]]:
    """Tell whether *value* is a list of JSON, or one of a large body, whose values are yet to be read."""
    return isinstance(value, Sequence) and not isinstance(value, str)


def _from_objects(rows: Sequence[object], *, field: str) -> People:
    widths: dict[str, int] = {}
    # Not all at once: those of a large body are read as they are asked for.
    for start in range(0, len(_some(rows, field)), _AT_ONCE):
        objects = [row for row in rows[start : start + _AT_ONCE] if isinstance(row, Mapping)]
        if not objects and field == "user":
            raise InvalidRequestError("must be an object", field=field)
        _widen(widths, objects)
    names = sorted(widths, key=lambda name: _ORDER.get(name, len(_ORDER)))
    return people_of({name: widths[name] for name in names}, rows, field=field)


def _widen(widths: dict[str, int], objects: Sequence[Mapping[str, object]]) -> None:
    """Make each key in *widths* as wide as *objects* need it."""
    spelled: dict[str, list[str]] = {}
    for key in set[str]().union(*objects):
        spelled.setdefault(canonical(key), []).append(key)
    for name, spellings in spelled.items():
        widths[name] = max(widths.get(name, 1), _width(objects, name, spellings))


def _width(objects: Sequence[Mapping[str, object]], name: str, spellings: Sequence[str]) -> int:
    """Return how many columns a key needs: as many as its values in the object that has the most."""
    if name in NOT_IDENTIFYING:
        return 1
    if len(spellings) > 1:
        counts = [sum(len(_values(name, row[key])) for key in spellings if key in row) for row in objects]
    else:
        key = spellings[0]
        counts = [len(value) for row in objects if isinstance(value := row.get(key), list)]
    return max(counts, default=1) or 1


def people_of(widths: Mapping[str, int], rows: Sequence[object], *, field: str) -> People:
    """Return *rows*, which are objects, under a schema that holds each key as often as *widths* says."""
    schema = [name for name, width in widths.items() for _ in range(width)]
    if not schema:
        raise InvalidRequestError("names nobody", field=field)
    return People(_known(schema, field), rows)


def _values(name: str, value: object) -> Sequence[object]:
    return value if isinstance(value, list) and name not in NOT_IDENTIFYING else (value,)


def _known(keys: Iterable[object], field: str) -> tuple[str, ...]:
    schema = tuple(_key(key, position, field) for position, key in enumerate(keys))
    if set(schema) == {LOOKALIKE_VALUE}:
        raise InvalidRequestError("LOOKALIKE_VALUE cannot be the only key", field=field)
    if any(schema.count(key) > 1 for key in NOT_IDENTIFYING):
        raise InvalidRequestError("holds a key twice that can only have one value", field=field)
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
