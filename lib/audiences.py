"""
People -> the bodies of Meta's audience edges: columns normalized and hashed, rows that can be sent, batches.

-- https://developers.facebook.com/docs/marketing-api/audiences/guides/custom-audiences
-- https://developers.facebook.com/docs/marketing-api/reference/custom-audience/users
"""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import compress
from typing import Any, Final

from lib.cells import ColumnReader
from lib.data_processing import DataProcessing, country_number, options_of, state_number
from lib.errors import RelayError
from lib.hashing import is_sha256_column
from lib.identifiers import (
    AUDIENCE_KEYS,
    DATA_PROCESSING_COLUMNS,
    DATE_COLUMNS,
    EXTERN_ID,
    LOOKALIKE_VALUE,
    NOT_IDENTIFYING,
    Identifier,
)
from lib.normalization import Settings, clean
from lib.people import Chunk, People, chunks
from lib.report import Report

#: "each request can take up to 10,000 users"
MAX_ROWS: Final = 10_000
_NOT_ENOUGH: Final = "not enough identifiers"


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """
    How people become rows.

    Args:
        settings: How identifiers are read.
        minimum_identifiers: A row needs all keys of one of these; with none it needs any identifier.
        data_processing: Columns that every row gets; None leaves the caller's own.
    """

    settings: Settings
    minimum_identifiers: Sequence[Sequence[str]] = ()
    data_processing: DataProcessing | None = None


@dataclass(frozen=True, slots=True)
class Batch:
    """
    Rows that go in one request, at most 10,000.

    Args:
        schema: The columns' keys.
        rows: The cells, in the columns' order.
        numbers: The rows' numbers in the caller's request.
    """

    schema: tuple[str, ...]
    rows: list[tuple[Any, ...]] = field(repr=False)
    numbers: Sequence[int] = field(repr=False)

    def without(self, key: str) -> Batch:
        """Return the batch without the columns named *key*."""
        if key not in self.schema:
            return self
        kept = [place for place, name in enumerate(self.schema) if name != key]
        rows = [tuple(row[place] for place in kept) for row in self.rows]
        return Batch(tuple(self.schema[place] for place in kept), rows, self.numbers)

    def only(self, chosen: Sequence[object]) -> Batch:
        """Return the batch with the rows whose entry in *chosen* is true."""
        return Batch(self.schema, list(compress(self.rows, chosen)), list(compress(self.numbers, chosen)))

    def halves(self) -> tuple[Batch, Batch]:
        """Return the batch as two, for an answer or a queue that wants less at once."""
        middle = len(self.rows) // 2
        return (
            Batch(self.schema, self.rows[:middle], self.numbers[:middle]),
            Batch(self.schema, self.rows[middle:], self.numbers[middle:]),
        )

    def payload(self) -> dict[str, object]:
        """Return Meta's `payload`: an array schema and nested rows always, since an audience keeps its first shape."""
        return {"schema": list(self.schema), "data": self.rows}


class UnsafeBatchError(RelayError):
    """A column that has to be hashed is not. Nothing of the batch leaves; it is a bug of ours."""


def build_batches(
    people: People,
    policy: Policy,
    report: Report,
    *,
    size: int = MAX_ROWS,
    table: Mapping[str, Identifier] = AUDIENCE_KEYS,
    without: Collection[str] = frozenset(),
) -> Iterator[Batch]:
    """
    Yield the rows of *people* that can be sent, in batches; each of at most *size* rows of the request.

    Batches with and without EXTERN_ID differ in their schema: Meta counts a row with an empty one as invalid.

    Args:
        table: How each key is read. What has to be hashed in the end does not depend on it.
        without: Keys that are left out, and do not help a row to name somebody.

    Raises:
        UnsafeBatchError: A cell that has to be hashed is not.
    """
    for chunk in chunks(people, size, report):
        batch = _batch_of(people.schema, chunk, policy, report, table, without)
        # What it was made from is not held while it is sent.
        del chunk
        yield from _by_external_id(batch)
        del batch


def _batch_of(
    schema: Sequence[str],
    chunk: Chunk,
    policy: Policy,
    report: Report,
    table: Mapping[str, Identifier],
    without: Collection[str],
) -> Batch:
    keys, columns = _cells(schema, chunk, policy, report, table, without)
    if not columns:
        for number in chunk.numbers:
            report.reject_row(number, _NOT_ENOUGH)
        return Batch((), [], ())
    _check(keys, columns, policy.settings)
    rows = list(zip(*columns, strict=True))
    enough = _enough(keys, columns, policy.minimum_identifiers)
    batch = Batch(keys, rows, chunk.numbers)
    if not all(enough):
        for number in compress(chunk.numbers, [not one for one in enough]):
            report.reject_row(number, _NOT_ENOUGH)
        batch = batch.only(enough)
    return batch


def _cells(
    schema: Sequence[str],
    chunk: Chunk,
    policy: Policy,
    report: Report,
    table: Mapping[str, Identifier],
    without: Collection[str],
) -> tuple[tuple[str, ...], list[Sequence[Any]]]:
    """Return the keys and columns that are sent, LOOKALIKE_VALUE still among them."""
    reader = ColumnReader(policy.settings, chunk.numbers, report)
    if "COUNTRY" in schema:
        reader.read_countries(chunk.columns[schema.index("COUNTRY")])
    keys: list[str] = []
    columns: list[Sequence[Any]] = []
    for place, key in enumerate(schema):
        if key in without:
            continue
        if key == "DOB":
            keys += DATE_COLUMNS
            columns += reader.date_columns(table[key], chunk.columns[place])
        elif key == LOOKALIKE_VALUE:
            keys.append(key)
            columns.append(list(map(_lookalike_value, chunk.columns[place])))
        elif key in DATA_PROCESSING_COLUMNS:
            if policy.data_processing is None:
                keys.append(key)
                columns.append(_data_processing_column(key, chunk, place, report))
        else:
            keys.append(key)
            columns.append(reader.cells(table[key], chunk.columns[place]))
    added = _data_processing_columns(policy.data_processing, keys, len(chunk.numbers))
    return (*keys, *added), [*columns, *added.values()]


def _check(keys: Sequence[str], columns: Sequence[Sequence[Any]], settings: Settings) -> None:
    """Stand between the data and the wire: what has to be hashed is, or nothing leaves."""
    for key, column in zip(keys, columns, strict=True):
        hashed = AUDIENCE_KEYS[key].hashed and (settings.hash_external_id or key != EXTERN_ID)
        if hashed and not is_sha256_column(column):
            raise UnsafeBatchError("a column that has to be hashed is not", field=key, process="build")


def _enough(keys: Sequence[str], columns: Sequence[Sequence[Any]], minimum: Sequence[Sequence[str]]) -> list[bool]:
    """Tell for each row whether it names somebody well enough."""
    ways = [_columns_of(way, keys, columns) for way in minimum or [[key] for key in keys if key not in NOT_IDENTIFYING]]
    count = len(columns[0]) if columns else 0
    single = [way[0] for way in ways if len(way) == 1]
    enough = list(map(any, zip(*single, strict=True))) if single else [False] * count
    if all(enough):
        return enough
    # Few rows get here, so that what is dear is asked of few.
    several = [way for way in ways if len(way) > 1]
    return [known or any(all(column[place] for column in way) for way in several) for place, known in enumerate(enough)]


def _columns_of(way: Sequence[str], keys: Sequence[str], columns: Sequence[Sequence[Any]]) -> list[Sequence[object]]:
    """Return a column for each key of *way*; none at all where the schema lacks one of them."""
    wanted = [part for key in way for part in (DATE_COLUMNS if key == "DOB" else (key,))]
    found = [[column for name, column in zip(keys, columns, strict=True) if name == key] for key in wanted]
    return [_either(columns_of_key) for columns_of_key in found] if all(found) else []


def _either(columns: Sequence[Sequence[object]]) -> Sequence[object]:
    return columns[0] if len(columns) == 1 else list(map(any, zip(*columns, strict=True)))


def _by_external_id(batch: Batch) -> Iterator[Batch]:
    """Yield the batch parted by how many EXTERN_IDs a row has: no row goes with an empty one."""
    places = [place for place, key in enumerate(batch.schema) if key == EXTERN_ID]
    if not batch.rows:
        return
    if not places:
        yield batch
        return
    has = [[row[place] != "" for row in batch.rows] for place in places]
    counts = has[0] if len(has) == 1 else list(map(sum, zip(*has, strict=True)))
    for wanted in sorted(set(counts), reverse=True):
        part = batch.only([count == wanted for count in counts])
        yield _with_external_ids(part, places, wanted)


def _with_external_ids(batch: Batch, places: Sequence[int], wanted: int) -> Batch:
    if wanted == len(places):
        return batch
    others = [place for place in range(len(batch.schema)) if place not in places]
    schema = tuple(batch.schema[place] for place in others) + (EXTERN_ID,) * wanted
    rows = [
        tuple(row[place] for place in others) + tuple(row[place] for place in places if row[place])
        for row in batch.rows
    ]
    return Batch(schema, rows, batch.numbers)


_NUMBER = re.compile(r"\d{1,15}(\.\d{1,15})?", re.ASCII)


def _lookalike_value(value: object) -> int | float | None:
    """Return a number of at least 0; None for anything else."""
    if isinstance(value, bool):
        return None
    if isinstance(value, int | float):
        return value if 0 <= value < math.inf else None
    if isinstance(value, str) and _NUMBER.fullmatch(value.strip()):
        return float(value) if "." in value else int(value)
    return None


def for_destination(batch: Batch, *, value_based: bool, report: Report, audience_id: str | None) -> Batch:
    """Return what of *batch* a destination gets: only value-based audiences take, and need, LOOKALIKE_VALUE."""
    if not value_based:
        return batch.without(LOOKALIKE_VALUE)
    place = batch.schema.index(LOOKALIKE_VALUE)
    has_value = [row[place] is not None for row in batch.rows]
    if all(has_value):
        return batch
    for number in compress(batch.numbers, [not one for one in has_value]):
        report.reject_row(number, "not a number of at least 0", field=LOOKALIKE_VALUE, audience_id=audience_id)
    return batch.only(has_value)


def _data_processing_columns(
    wanted: DataProcessing | None, stated: Sequence[str], count: int
) -> dict[str, Sequence[Any]]:
    """Return the columns that every row gets: those *wanted*, else those that the caller's own lack, as "find out"."""
    if wanted is not None:
        cells = (list(wanted.options), wanted.country, wanted.state)
        return {key: [cell] * count for key, cell in zip(DATA_PROCESSING_COLUMNS, cells, strict=True)}
    if DATA_PROCESSING_COLUMNS[0] in stated:
        return {key: [0] * count for key in DATA_PROCESSING_COLUMNS if key not in stated}
    return {}


def _data_processing_column(key: str, chunk: Chunk, place: int, report: Report) -> list[object]:
    """Return the caller's own column; "an array value inside the row" for the options, numbers for the places."""
    read, nothing = _DATA_PROCESSING[key]
    cells: list[object] = []
    for number, value in zip(chunk.numbers, chunk.columns[place], strict=True):
        cell = nothing if value is None or (isinstance(value, str) and not clean(value)) else read(value)
        if cell is None:
            report.reject_cell(number, key, "not understood")
            cell = nothing
        cells.append(cell)
    return cells


_DATA_PROCESSING: Final[Mapping[str, tuple[Any, object]]] = {
    "DATA_PROCESSING_OPTIONS": (options_of, []),
    "DATA_PROCESSING_OPTIONS_COUNTRY": (country_number, 0),
    "DATA_PROCESSING_OPTIONS_STATE": (state_number, 0),
}
