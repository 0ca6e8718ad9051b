"""
What insertAll takes for each column, and how tabledata.list gives it back.

Sources: cloud.google.com/bigquery/docs/reference/rest/v2/tabledata (insertAll, list) and the data types page.
"""

import base64
import binascii
import math
import re
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, date, datetime, time
from decimal import Decimal, InvalidOperation
from typing import Any, Final

import orjson

Column = Mapping[str, Any]
Problem = tuple[str, str]
"""The location (the column's name) and the message of one error."""


class ValueRefusedError(Exception):
    """A value that its column does not take."""


def read_row(row: object, columns: Iterable[Column]) -> tuple[dict[str, Any], list[Problem]]:
    """Read one row of insertAll; the problems are empty where it can be kept."""
    if not isinstance(row, dict):
        return {}, [("", "The row is not an object")]
    known = {column["name"].lower(): column for column in columns}
    problems = [(key, f"no such field: {key}.") for key in row if key.lower() not in known]
    given = {key.lower(): value for key, value in row.items()}
    values: dict[str, Any] = {}
    for key, column in known.items():
        try:
            values[column["name"]] = _read(given.get(key), column)
        except ValueRefusedError as error:
            problems.append((column["name"], str(error)))
    return values, problems


def _read(value: Any, column: Column) -> Any:
    mode = column.get("mode", "NULLABLE")
    if mode == "REPEATED":
        if value is not None and not isinstance(value, list):
            raise ValueRefusedError(f"Array specified for non-repeated field: {column['name']}.")
        return [_read_one(each, column) for each in value or []]
    if value is None and mode == "REQUIRED":
        raise ValueRefusedError(f"Missing required field: {column['name']}.")
    return None if value is None else _read_one(value, column)


def _read_one(value: Any, column: Column) -> Any:
    kind = column["type"]
    if kind in {"RECORD", "STRUCT"}:
        values, problems = read_row(value, column.get("fields", []))
        if problems:
            raise ValueRefusedError(problems[0][1])
        return values
    try:
        return _READERS[kind](value)
    except (ValueError, TypeError, KeyError, InvalidOperation, binascii.Error, orjson.JSONDecodeError):
        raise ValueRefusedError(f"Cannot convert value to {kind.lower()} (bad value)") from None


def _read_string(value: Any) -> str:
    if isinstance(value, bool | list | dict):
        raise TypeError
    return str(value)


def _read_integer(value: Any) -> int:
    if isinstance(value, bool) or (isinstance(value, str) and not re.fullmatch(r"-?\d+", value)):
        raise ValueError
    number = int(value)
    if number != float(value) or not -(2**63) <= number < 2**63:
        raise ValueError
    return number


def _read_float(value: Any) -> float:
    if isinstance(value, bool):
        raise TypeError
    return float(value)


def _read_boolean(value: Any) -> bool:
    return value if isinstance(value, bool) else {"true": True, "false": False}[value.lower()]


def _read_timestamp(value: Any) -> datetime:
    if isinstance(value, bool):
        raise TypeError
    if isinstance(value, int | float):
        return datetime.fromtimestamp(value, UTC)
    moment = datetime.fromisoformat(value.removesuffix(" UTC"))
    return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)


def _read_json(value: Any) -> Any:
    """Read a JSON column: insertAll takes the document as text."""
    return orjson.loads(value)


_READERS: Final[Mapping[str, Callable[[Any], Any]]] = {
    "STRING": _read_string,
    "BYTES": lambda value: base64.b64decode(value, validate=True),
    "INTEGER": _read_integer,
    "INT64": _read_integer,
    "FLOAT": _read_float,
    "FLOAT64": _read_float,
    "NUMERIC": lambda value: Decimal(str(value)),
    "BIGNUMERIC": lambda value: Decimal(str(value)),
    "BOOLEAN": _read_boolean,
    "BOOL": _read_boolean,
    "TIMESTAMP": _read_timestamp,
    "DATE": date.fromisoformat,
    "TIME": time.fromisoformat,
    "DATETIME": datetime.fromisoformat,
    "JSON": _read_json,
}


def write_row(row: Mapping[str, Any], columns: Iterable[Column]) -> dict[str, Any]:
    """Return a row as tabledata.list gives it: `{"f": [{"v": …}]}`, each value as text."""
    return {"f": [{"v": _write(row.get(column["name"]), column)} for column in columns]}


def _write(value: Any, column: Column) -> Any:
    if value is None:
        return None
    if column.get("mode") == "REPEATED":
        return [{"v": _write_one(each, column)} for each in value]
    return _write_one(value, column)


def _write_one(value: Any, column: Column) -> Any:
    kind = column["type"]
    if kind in {"RECORD", "STRUCT"}:
        return write_row(value, column.get("fields", []))
    if kind == "JSON":
        return orjson.dumps(value).decode()
    return _write_scalar(value)


def _write_scalar(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    if isinstance(value, datetime) and value.tzinfo:
        # Microseconds since 1970, which the client asks for (formatOptions.useInt64Timestamp).
        return str(math.floor(value.timestamp()) * 1_000_000 + value.microsecond)
    return value.isoformat() if isinstance(value, date | time) else str(value)
