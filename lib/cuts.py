"""Runs of members of a source: what a reader is told to read, and what a message carries of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from lib.errors import InvalidRequestError

#: Members that are read, built and sent at once: as many as one call to Meta takes.
PAGE_ROWS: Final = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Cut:
    """
    A run of members of a source.

    Args:
        part: The table or file that holds them, as its reader knows it.
        start: Where they begin in it: a row of a table, a byte of an unpacked file.
        first_row: The number of the first one among all of the source.
        rows: How many there are.
        first_batch: The number of their first page among all of the source, from 1.
        page_rows: How many of them are a page.
    """

    part: Mapping[str, Any]
    start: int
    first_row: int
    rows: int
    first_batch: int
    page_rows: int = PAGE_ROWS

    def to_json(self) -> dict[str, Any]:
        """Return the cut as a message carries it."""
        return {name: getattr(self, name) for name in _CUT}

    @property
    def batches(self) -> int:
        """How many pages it has."""
        return pages_in(self.rows, self.page_rows)


_CUT: Final[Mapping[str, type]] = {
    "part": dict,
    "start": int,
    "first_row": int,
    "rows": int,
    "first_batch": int,
    "page_rows": int,
}


def pages_in(rows: int, page_rows: int) -> int:
    """Return how many pages so many rows fill."""
    return -(-rows // page_rows)


def parse_cut(value: Mapping[str, Any]) -> Cut:
    """
    Return the cut that a message of ours carries.

    Raises:
        InvalidRequestError: It is none.
    """
    if not isinstance(value, dict) or any(type(value.get(name)) is not kind for name, kind in _CUT.items()):
        raise InvalidRequestError("not a message that this service has written", field="cuts")
    return Cut(**{name: value[name] for name in _CUT})


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """
    Members that are read at once.

    Args:
        members: One for each row: an object, or None where the row cannot be read.
        first_row: The number of the first one among all of the source.
        batch: The page's own number, from 1.
        rest: What is left of the cut after it; None after the last.
    """

    members: list[Mapping[str, Any] | None] = field(repr=False)
    first_row: int
    batch: int
    rest: Cut | None
