"""What could not be used: rejects that name row, field and reason, and warnings; never a value."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

#: An answer lists so many rejects; the counts by reason are always whole.
MAX_LISTED: Final = 1_000


@dataclass(frozen=True, slots=True)
class Reject:
    """
    One thing that cannot be used.

    Args:
        row: The row's number in the request, from 0.
        field: The key of the cell that is emptied; None where the row as a whole is meant.
        reason: A fixed text.
        audience_id: The one destination that it concerns; None for all.
        row_id: The row's own name in its source, where the source says which column holds one.
    """

    row: int
    field: str | None
    reason: str
    audience_id: str | None = None
    row_id: str | None = None


def _counts() -> defaultdict[Any, int]:
    # A Counter takes ten times as long to make, and there are several for each event.
    return defaultdict(int)


@dataclass(slots=True)
class Report:
    """
    Collects rejects and warnings while a request is read and built.

    Args:
        reasons: How many cells and rows there are for each field, reason and audience.
        rows: How many rows as a whole are not sent: to one audience, or (None) to any.
        warnings: Texts, each once, in the order in which they came up.
    """

    rejects: list[Reject] = field(default_factory=list)
    reasons: defaultdict[tuple[str | None, str, str | None], int] = field(default_factory=_counts)
    rows: defaultdict[str | None, int] = field(default_factory=_counts)
    warnings: dict[str, None] = field(default_factory=dict)

    def reject_cell(self, row: int, field: str | None, reason: str, *, audience_id: str | None = None) -> None:
        """Note that something of a row cannot be used; the row's other cells go on."""
        self.reasons[field, reason, audience_id] += 1
        if len(self.rejects) < MAX_LISTED:
            self.rejects.append(Reject(row, field, reason, audience_id))

    def reject_row(self, row: int, reason: str, *, field: str | None = None, audience_id: str | None = None) -> None:
        """Note that a row as a whole is not sent."""
        self.rows[audience_id] += 1
        self.reject_cell(row, field, reason, audience_id=audience_id)

    def warn(self, text: str) -> None:
        """Note a doubt; the same text counts once."""
        self.warnings[text] = None

    def rejected_rows(self, audience_id: str | None) -> int:
        """Return how many rows as a whole are not sent to that audience."""
        audiences = {None, audience_id}
        return sum(count for audience, count in self.rows.items() if audience in audiences)

    def counted(self, audience_id: str | None) -> dict[str, int]:
        """Return the number of rejects of that audience by `FIELD: reason`."""
        counted: dict[str, int] = _counts()
        for (name, reason, audience), count in self.reasons.items():
            if audience in {None, audience_id}:
                counted[f"{name}: {reason}" if name else reason] += count
        return dict(counted)

    def merge(self, other: Report) -> None:
        """Take over what *other* has collected; what both have found is the same fact."""
        known = set(self.rejects)
        room = MAX_LISTED - len(self.rejects)
        self.rejects += [reject for reject in other.rejects if reject not in known][:room]
        _take_more(self.reasons, other.reasons)
        _take_more(self.rows, other.rows)
        self.warnings |= other.warnings

    def add_counts(self, other: Report) -> None:
        """Add the counts of *other*, which speaks of other rows."""
        for key, count in other.reasons.items():
            self.reasons[key] += count
        for audience, count in other.rows.items():
            self.rows[audience] += count

    def listed(self) -> list[dict[str, int | str | None]]:
        """Return the rejects as an answer shows them, in the order of rows."""
        return [
            {"row": reject.row, "field": reject.field, "reason": reject.reason}
            | ({"audience_id": reject.audience_id} if reject.audience_id else {})
            | ({"row_id": reject.row_id} if reject.row_id else {})
            for reject in sorted(self.rejects, key=lambda reject: reject.row)
        ]

    def unlisted(self) -> int:
        """Return how many rejects are counted and not listed."""
        return max(0, sum(self.reasons.values()) - len(self.rejects))


def _take_more(counts: dict[Any, int], others: Mapping[Any, int]) -> None:
    """Raise each of *counts* to that of *others*."""
    for key, count in others.items():
        counts[key] = max(counts.get(key, 0), count)
