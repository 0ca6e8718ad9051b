"""
The SQL of BigQuery's stand-in: SQLite, over copies of the tables that a statement names in backticks.

What both dialects share is understood: SELECT with GROUP BY, CASE, sub-queries and WITH, INSERT, UPDATE, DELETE, and
named parameters. A column of the result has the type of a table's column of the same name, else that of its values.
"""

import re
import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from contextlib import closing
from datetime import UTC, date, datetime, time
from decimal import Decimal
from typing import Any, Final, Protocol

import orjson

from tests.local.bigquery_values import read_row
from tests.local.google_rest import GoogleError

Row = dict[str, Any]
_TABLE: Final = re.compile(r"`([^`.]+\.[^`.]+\.[^`]+)`")
_CHANGES: Final = re.compile(r"\s*(INSERT|UPDATE|DELETE)\b", re.IGNORECASE)


#: Types whose values SQLite gives back as it got them.
_AS_KEPT: Final = frozenset(["STRING", "INTEGER", "INT64", "FLOAT", "FLOAT64"])


class Stored(Protocol):
    """A table: its columns as `schema.fields` describes them, and its rows."""

    rows: list[Row]

    @property
    def columns(self) -> list[dict[str, Any]]:
        """The columns."""


def tables_of(sql: str) -> list[str]:
    """Return the tables that *sql* names, each once."""
    return list(dict.fromkeys(_TABLE.findall(sql)))


def execute(
    sql: str, parameters: Sequence[Mapping[str, Any]], tables: Mapping[str, Stored]
) -> tuple[list[Any], list[Row]]:
    """
    Run one statement, and return the columns and rows of its result; what it changes is changed in *tables*.

    Raises:
        GoogleError: SQLite does not understand it.
    """
    with closing(sqlite3.connect(":memory:")) as database:
        for name, table in tables.items():
            _copy_in(database, name, table)
        try:
            cursor = database.execute(sql, dict(map(_parameter, parameters)))
        except sqlite3.Error as error:
            raise GoogleError(400, f"Syntax error or a name that is not known: {error}") from None
        if _CHANGES.match(sql):
            changed = tables[tables_of(sql)[0]]
            columns = changed.columns
            changed.rows[:] = _rows(database.execute(f"SELECT * FROM `{tables_of(sql)[0]}`"), columns)  # noqa: S608
            return [], []
        known = {column["name"]: column for table in tables.values() for column in table.columns}
        names = [each[0] for each in cursor.description]
        values = cursor.fetchall()
        columns = [
            known.get(name) or _described(name, (row[place] for row in values)) for place, name in enumerate(names)
        ]
        return [_nullable(column) for column in columns], _rows(values, columns)


def _nullable(column: Mapping[str, Any]) -> dict[str, Any]:
    return {**column, "mode": "REPEATED" if column.get("mode") == "REPEATED" else "NULLABLE"}


def _copy_in(database: sqlite3.Connection, name: str, table: Stored) -> None:
    names = [column["name"] for column in table.columns]
    database.execute(f"CREATE TABLE `{name}` ({', '.join(f'`{each}`' for each in names)})")
    marks = ", ".join("?" * len(names))
    rows = ([_stored(row.get(each)) for each in names] for row in table.rows)
    database.executemany(f"INSERT INTO `{name}` VALUES ({marks})", rows)  # noqa: S608


def _stored(value: Any) -> Any:
    """Return a value as SQLite keeps it; moments as texts that sort as they do."""
    if isinstance(value, datetime) and value.tzinfo:
        return value.astimezone(UTC).isoformat(timespec="microseconds")
    if isinstance(value, datetime | date | time):
        return value.isoformat()
    if isinstance(value, Decimal):
        return str(value)
    return orjson.dumps(value, default=str).decode() if isinstance(value, list | dict) else value


def _parameter(stated: Mapping[str, Any]) -> tuple[str, Any]:
    kind = stated["parameterType"]["type"]
    row, problems = read_row({"value": stated["parameterValue"].get("value")}, [{"name": "value", "type": kind}])
    if problems:
        raise GoogleError(400, f"Invalid value for the parameter {stated['name']}")
    return stated["name"], _stored(row["value"])


def _rows(values: Iterable[Sequence[Any]], columns: Sequence[Mapping[str, Any]]) -> list[Row]:
    names = [column["name"] for column in columns]
    odd = [column for column in columns if column["type"] not in _AS_KEPT or column.get("mode") == "REPEATED"]
    rows = [dict(zip(names, row, strict=True)) for row in values]
    for row in rows if odd else ():
        for column in odd:
            row[column["name"]] = _restored(row[column["name"]], column)
    return rows


def _restored(value: Any, column: Mapping[str, Any]) -> Any:
    if value is None:
        return None
    if isinstance(value, int) and column["type"] in {"BOOLEAN", "BOOL"}:
        return bool(value)
    if isinstance(value, str) and (column.get("mode") == "REPEATED" or column["type"] in {"RECORD", "STRUCT", "JSON"}):
        return orjson.loads(value)
    read, _ = read_row({column["name"]: value}, [{**column, "mode": "NULLABLE"}])
    return read[column["name"]]


def _described(name: str, values: Iterable[Any]) -> dict[str, Any]:
    kinds = {type(value) for value in values} - {type(None)}
    types = ((int, "INTEGER"), (float, "FLOAT"))
    return {"name": name, "type": next((word for kind, word in types if kinds == {kind}), "STRING")}
