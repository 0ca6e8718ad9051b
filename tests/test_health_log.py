"""The health log: its columns, and a line for each row."""

from __future__ import annotations

import logging
from typing import Any, Final

import orjson
import pytest

from lib.health_log import SCHEMA_FILE, HealthLog, columns, row
from tests.log_records import log_records
from tests.seams import Log

SCHEMA: Final[list[dict[str, str]]] = orjson.loads(SCHEMA_FILE.read_bytes())


def one(status: str = "ok", **more: Any) -> dict[str, object]:
    return row(row_id="1", logged_at="2026-11-24T10:00:00+00:00", kind="token", status=status, **more)


def test_each_column_is_described_once() -> None:
    assert len(columns()) == len(SCHEMA)
    assert all(column["description"].endswith(".") for column in SCHEMA)
    assert {column["name"] for column in SCHEMA if column["mode"] == "REQUIRED"} == {
        "row_id", "logged_at", "kind", "status"
    }  # fmt: skip


def test_no_column_can_hold_a_person_or_a_secret() -> None:
    assert {name for name in columns() if "email" in name or "hash" in name or name.endswith("token")} == set()


def test_a_name_that_is_no_column_is_a_bug() -> None:
    with pytest.raises(ValueError, match="not a column of the health log: \\['email'\\]"):
        one(email="ada@example.com")


@pytest.mark.parametrize(
    ("status", "level"),
    [("ok", logging.INFO), ("warning", logging.WARNING), ("unknown", logging.WARNING), ("error", logging.ERROR)],
)
def test_a_row_is_a_line_of_its_level(status: str, level: int) -> None:
    table = Log()
    wanted = one(status, connection="acme", subject="1", message="what it is")
    with log_records("lib.health_log") as records:
        HealthLog(table).insert([wanted])
    (record,) = records
    assert (record.levelno, record.getMessage()) == (level, f"health: token acme 1 {status}: what it is")
    assert record.__dict__["health"] == wanted
    assert table.rows == [wanted]
