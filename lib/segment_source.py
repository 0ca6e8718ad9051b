"""
The members of a segment, read from where the configuration says: page by page, never all held.

A source is first cut. What is cut stays as it is, whatever becomes of the source meanwhile: a query has run once into a
table of its own, and a file is named with its generation. So every reader of a cut, however often and wherever it
begins, sees the same members under the same numbers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any, Protocol

from lib.config import Source
from lib.cuts import PAGE_ROWS, Cut, Page
from lib.errors import InvalidRequestError


class Reader(Protocol):
    """Reads one kind of source."""

    def cuts(self, source: Source, sync_id: str, rows: int, page_rows: int) -> Iterator[Cut]:
        """Return all of the source, in cuts of so many *rows*."""

    def members(self, cut: Cut) -> Iterator[tuple[Mapping[str, Any] | None, int]]:
        """Yield each member of a cut, and where the next one begins."""


@dataclass(frozen=True, slots=True)
class SegmentSources:
    """
    All sources.

    Args:
        bigquery, storage: Make the official clients, on first use.
    """

    bigquery: Callable[[], Any]
    storage: Callable[[], Any]

    def cuts(self, source: Source, sync_id: str, *, pages: int, page_rows: int = PAGE_ROWS) -> list[Cut]:
        """
        Return all of *source* in cuts of at most so many *pages*; none where it holds nobody.

        Args:
            sync_id: The same for each delivery of a message, so that a query runs once.

        Raises:
            ConfigurationError: It is not there, cannot be read, or is not what it should be.
            SourceUnavailableError: Not now.
        """
        kind = "file" if source.uri else "table"
        return list(self._reader(kind).cuts(source, sync_id, pages * page_rows, page_rows))

    def pages(self, cut: Cut) -> Iterator[Page]:
        """Yield the members of *cut*, a page at a time; raises as `cuts` does."""
        members = self._reader(cut.part.get("kind")).members(cut)
        left: Cut | None = cut
        while left is not None:
            rows, start = _some(members, min(left.rows, left.page_rows))
            rest = _rest(left, len(rows), start)
            yield Page(members=rows, first_row=left.first_row, batch=left.first_batch, rest=rest)
            # Nobody holds two pages at once.
            del rows
            left = rest

    def _reader(self, kind: object) -> Reader:
        if kind == "file":
            from lib.file_source import FileReader  # noqa: PLC0415 - for those alone who read files

            return FileReader(self.storage)
        if kind == "table":
            from lib.table_source import TableReader  # noqa: PLC0415 - as above

            return TableReader(self.bigquery)
        raise InvalidRequestError("not a message that this service has written", field="cuts")


def _some(
    members: Iterable[tuple[Mapping[str, Any] | None, int]], count: int
) -> tuple[list[Mapping[str, Any] | None], int]:
    rows: list[Mapping[str, Any] | None] = []
    start = 0
    for member, after in islice(members, count):
        rows.append(member)
        start = after
    return rows, start


def _rest(cut: Cut, read: int, start: int) -> Cut | None:
    """Return what is left after *read* members; a source that ends early has no more."""
    if read == cut.rows or read < cut.page_rows:
        return None
    return replace(
        cut, start=start, first_row=cut.first_row + read, rows=cut.rows - read, first_batch=cut.first_batch + 1
    )
