"""
The README's tables of what becomes what, from the code: `make readme` writes them anew, and a test compares.

A table stands between `<!-- generated: NAME -->` and `<!-- end -->`.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterable, Mapping
from itertools import zip_longest
from pathlib import Path
from typing import Final

from lib.custom_data import FIELDS
from lib.event_names import EVENT_NAMES
from lib.identifiers import IDENTIFIERS

README: Final = Path(__file__).parents[2] / "README.md"
_MARKED = re.compile(r"(<!-- generated: (.+?) -->\n).*?(<!-- end -->)", re.DOTALL)


def event_names() -> str:
    """Return Meta's names, each with the names that become it."""
    sources: dict[str, list[str]] = {}
    for name, meta in EVENT_NAMES.items():
        sources.setdefault(meta, []).append(name)
    return _table("Meta's event", "from", sources)


def user_data() -> str:
    """Return the keys of user_data, each with the places of an event that it is read from, best first."""
    rows = {row.user_data: row.event for row in IDENTIFIERS if row.user_data}
    own = {key: {f"user_data.{key}", f"x-fb-ud-{key}"} for key in rows}
    return _table("user_data", "from", {key: places for key, places in rows.items() if set(places) != own[key]})


def custom_data() -> str:
    """Return the keys of custom_data that an event states under other names than Meta's."""
    return _table("custom_data", "from", {row.key: row.event for row in FIELDS if {*row.event} - {row.key}})


_PAIRS: Final = 3

TABLES: Final[Mapping[str, Callable[[], str]]] = {
    "event names": event_names,
    "user_data": user_data,
    "custom_data": custom_data,
}


def _table(head: str, sources: str, rows: Mapping[str, Iterable[str]]) -> str:
    """Return a table with three pairs of columns, which is a third as long."""
    cells = [f"`{key}` | {', '.join(f'`{one}`' for one in places)}" for key, places in rows.items()]
    height = -(-len(cells) // _PAIRS)
    pairs = [cells[start : start + height] for start in range(0, len(cells), height)]
    head_line = f"| {head} | {sources} " * _PAIRS + "|"
    lines = [head_line, "|---" * 2 * _PAIRS + "|"]
    return "\n".join([*lines, *(f"| {' | '.join(row)} |" for row in zip_longest(*pairs, fillvalue=" | "))]) + "\n"


def with_tables(text: str) -> str:
    """Return *text* with each marked table made anew."""
    return _MARKED.sub(lambda part: part[1] + TABLES[part[2]]() + part[3], text)


if __name__ == "__main__":
    README.write_text(with_tables(README.read_text(encoding="utf-8")), encoding="utf-8")
    sys.exit(0)
