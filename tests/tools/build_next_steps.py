"""Writes terraform/views/next_steps.json anew from the table of Meta's errors, for the view `errors`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Final

from lib.graph_errors import RANGES, ROWS, Row, row_of_error

FILE: Final = Path(__file__).parents[2] / "terraform" / "views" / "next_steps.json"
#: A code that no row and no range knows.
_UNKNOWN: Final = 999_999


def steps() -> list[dict[str, object]]:
    """Return what is to be done by codes and subcode, in the order in which `row_of_error` looks; None is any."""
    exact = [_step(row, code=row.code, subcode=row.subcode) for row in ROWS if None not in (row.code, row.subcode)]
    either = [row for row in ROWS if row.code is None]
    codes = [_step(row, code=row.code) for row in ROWS if row.subcode is None]
    ranges = [_step(row, code=numbers.start, code_to=numbers.stop - 1) for numbers, row in RANGES]
    return [
        *exact,
        *(_step(row, subcode=row.subcode) for row in either),
        *(_step(row, code=row.subcode) for row in either),
        *codes,
        *ranges,
        _step(row_of_error(_UNKNOWN, None)),
    ]


def _step(
    row: Row, *, code: int | None = None, code_to: int | None = None, subcode: int | None = None
) -> dict[str, object]:
    return {"code_from": code, "code_to": code if code_to is None else code_to, "subcode": subcode, "step": row.action}


def text() -> str:
    """Return the file's text, one step a line."""
    return "[\n" + ",\n".join(f"  {json.dumps(step)}" for step in steps()) + "\n]\n"


if __name__ == "__main__":
    FILE.write_text(text(), encoding="utf-8")
