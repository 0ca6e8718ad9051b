"""
What Meta documents about the people of one request: `payload` of /users, /usersreplace, /usersofanyaudience.

Sources, by the keys of the reference notes: CA-guide is the guide "Customer File Custom Audiences"
(developers.facebook.com/documentation/ads-commerce/marketing-api/audiences/guides/custom-audiences),
CA-users the reference of the edges /users and /usersreplace, CA-value the guide "Value-Based Lookalikes".
Columns are checked as a whole first, so that 10,000 rows cost milliseconds; only a column with something
wrong in it is read by cell.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import orjson

Person = frozenset[tuple[str, str]]
Row = list[Any]

# "each request can take up to 10,000 users" (CA-guide)
MAX_ROWS: Final = 10_000
# "invalid_entry_samples (<=100; array of strings or map string to string)" (CA-users)
MAX_SAMPLES: Final = 100

# Schema keys: CA-guide, CA-users, CA-value; APPUID and UID only in the Python SDK's customaudiencemixin.py.
HASHED: Final = frozenset(
    ["EMAIL", "PHONE", "GEN", "DOBY", "DOBM", "DOBD", "LN", "FN", "FI", "CT", "ST", "ZIP", "COUNTRY"]
)
PLAIN: Final = frozenset(["EXTERN_ID", "PAGEUID", "APPUID", "UID"])
OPTIONS: Final = frozenset(
    ["DATA_PROCESSING_OPTIONS", "DATA_PROCESSING_OPTIONS_COUNTRY", "DATA_PROCESSING_OPTIONS_STATE"]
)
KEYS: Final = HASHED | PLAIN | OPTIONS | {"MADID", "LOOKALIKE_VALUE"}
IDENTIFIERS: Final = HASHED | PLAIN | {"MADID"}

PAYLOAD_KEYS: Final = frozenset(  # CA-users
    ["schema", "data", "is_raw", "app_ids", "page_ids", "ig_account_ids", "data_source", "metadata"]
)

_DIGEST: Final = re.compile(r"[0-9a-f]{64}")
_DIGESTS: Final = re.compile(r"[0-9a-f]*")
_UUID: Final = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_NO_UUID: Final = "00000000-0000-0000-0000-000000000000"


class InvalidParameterError(Exception):
    """Meta's error 100 for the whole request; its text is the message."""


@dataclass(frozen=True, slots=True)
class People:
    """The people of one request, and what was wrong with the others."""

    schema: tuple[str, ...]
    received: int
    persons: list[Person] = field(repr=False)
    invalid: dict[int, str] = field(repr=False)
    """The reason for each invalid row, by its index."""
    samples: dict[str, str] = field(repr=False)


def parse_people(payload: object, *, value_based: bool | None, value_required: bool) -> People:
    """
    Read `payload`, as Meta does; *value_based* None means that there is no one audience.

    LOOKALIKE_VALUE belongs to value-based audiences and to no other (CA-value), and rows that are added to
    one must carry it: *value_required*.

    Raises:
        InvalidParameterError: The request as a whole is refused.
    """
    if not isinstance(payload, dict):
        raise InvalidParameterError("(#100) The parameter payload is required")
    if unknown := payload.keys() - PAYLOAD_KEYS:
        raise InvalidParameterError(f"(#100) Unexpected key in payload: {', '.join(sorted(unknown))}")
    schema = _schema(payload.get("schema"))
    _check_value_column(schema, value_based=value_based, value_required=value_required)
    if "PAGEUID" in schema and not payload.get("page_ids"):  # "required for PAGEUID" (CA-guide)
        raise InvalidParameterError("(#100) page_ids is required for the schema key PAGEUID")
    rows = _rows(payload.get("data"), len(schema))
    columns = [list(column) for column in zip(*rows, strict=True)]
    invalid = _invalid(schema, columns, len(rows))
    persons = _persons(schema, columns, invalid)
    samples = {orjson.dumps(rows[index]).decode(): invalid[index] for index in sorted(invalid)[:MAX_SAMPLES]}
    return People(schema, len(rows), persons, invalid, samples)


def _schema(schema: object) -> tuple[str, ...]:
    """
    Read the schema, which has to be a list here.

    Meta takes a string as well, but an audience that was filled the one way refuses the other for ever
    (error 2650, python-sdk issue 433).
    """
    if not isinstance(schema, list) or not schema:
        raise InvalidParameterError("(#100) payload.schema must be a non-empty array")
    if unknown := [key for key in schema if not isinstance(key, str) or key not in KEYS]:
        raise InvalidParameterError(f"(#100) Unknown schema key: {unknown[0]}")
    if not IDENTIFIERS.intersection(schema):
        raise InvalidParameterError("(#100) payload.schema names no identifier")
    return tuple(schema)


def _check_value_column(schema: tuple[str, ...], *, value_based: bool | None, value_required: bool) -> None:
    present = "LOOKALIKE_VALUE" in schema
    if present and not value_based:
        raise InvalidParameterError("(#100) LOOKALIKE_VALUE is only for value-based audiences")
    if value_required and value_based and not present:
        raise InvalidParameterError("(#100) A value-based audience needs LOOKALIKE_VALUE")


def _rows(data: object, width: int) -> list[Row]:
    if not isinstance(data, list) or not data:
        raise InvalidParameterError("(#100) payload.data must be a non-empty array")
    if len(data) > MAX_ROWS:
        raise InvalidParameterError(f"(#100) payload.data takes up to {MAX_ROWS} users")
    if set(map(type, data)) != {list} or set(map(len, data)) != {width}:
        raise InvalidParameterError("(#100) Data is missing or does not match schema")
    return data


def _invalid(schema: Sequence[str], columns: Sequence[Row], count: int) -> dict[int, str]:
    """Return the reason for each row that Meta would count in num_invalid_entries."""
    invalid: dict[int, str] = {}
    for key, column in zip(schema, columns, strict=True):
        if not _is_clean(key, column):
            reason, is_valid = _CELL_RULES.get(key, ("invalid hash", _is_digest))
            for index, cell in enumerate(column):
                if not is_valid(cell):
                    invalid.setdefault(index, f"{key}: {reason}")
        # A row with an empty EXTERN_ID is invalid whatever else it holds (seen by integrators).
        if key == "EXTERN_ID" and "" in column:
            for index, cell in enumerate(column):
                if cell == "":
                    invalid[index] = "empty external ID"
    usable = [column for key, column in zip(schema, columns, strict=True) if key in IDENTIFIERS]
    for index in range(count):
        if not any(column[index] for column in usable):
            invalid.setdefault(index, "nothing usable")
    return invalid


def _is_clean(key: str, column: Row) -> bool:
    """Tell whether no cell of *column* needs a closer look."""
    if key not in HASHED:
        is_valid = _CELL_RULES[key][1]
        return all(map(is_valid, column))
    return (
        set(map(type, column)) == {str}
        and set(map(len, column)) <= {0, 64}
        and _DIGESTS.fullmatch("".join(column)) is not None
    )


def _is_digest(cell: object) -> bool:
    """Tell whether *cell* is "left blank" (CA-users) or SHA-256 in lower-case hex (CA-guide)."""
    return isinstance(cell, str) and (cell == "" or _DIGEST.fullmatch(cell) is not None)


def _is_text(cell: object) -> bool:
    return isinstance(cell, str)


def _is_madid(cell: object) -> bool:
    """Tell whether *cell* is blank or a UUID in lower case, which is never hashed (CA-guide)."""
    return isinstance(cell, str) and (cell == "" or (_UUID.fullmatch(cell) is not None and cell != _NO_UUID))


def _is_value(cell: object) -> bool:
    """Tell whether *cell* is a non-negative number (CA-value)."""
    return isinstance(cell, int | float) and not isinstance(cell, bool) and cell >= 0


def _is_options(cell: object) -> bool:
    return cell in (["LDU"], [])  # "array value inside the row" (CA-guide)


def _is_integer(cell: object) -> bool:
    return isinstance(cell, int) and not isinstance(cell, bool)


_CELL_RULES: Final[dict[str, tuple[str, Callable[[object], bool]]]] = {
    **dict.fromkeys(PLAIN, ("not a text", _is_text)),
    "MADID": ("not a UUID in lower case", _is_madid),
    "LOOKALIKE_VALUE": ("not a number of at least 0", _is_value),
    "DATA_PROCESSING_OPTIONS": ('neither ["LDU"] nor []', _is_options),
    "DATA_PROCESSING_OPTIONS_COUNTRY": ("not an integer", _is_integer),
    "DATA_PROCESSING_OPTIONS_STATE": ("not an integer", _is_integer),
}


def _persons(schema: Sequence[str], columns: Sequence[Row], invalid: dict[int, str]) -> list[Person]:
    """Return each valid row as the set of its identifiers."""
    pairs = [
        [(key, cell) for cell in column] for key, column in zip(schema, columns, strict=True) if key in IDENTIFIERS
    ]
    rows = list(zip(*pairs, strict=True))
    if invalid:
        rows = [row for index, row in enumerate(rows) if index not in invalid]
    return [frozenset(pair for pair in row if pair[1]) for row in rows]
