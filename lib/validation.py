"""People of a source as they would be sent, without sending them: how many can be, and why the others cannot."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from lib.cuts import Page
from lib.member_batches import MemberBatches, add_up
from lib.report import Report


@dataclass(slots=True)
class Validation:
    """
    What is known so far.

    Args:
        rows: How many were read.
        usable: How many of them can be sent.
        filled: How many cells of each key can be sent.
        report: What cannot be used, with the rows' numbers in the source.
    """

    rows: int = 0
    usable: int = 0
    filled: Counter[str] = field(default_factory=Counter)
    report: Report = field(default_factory=Report)

    def facts(self) -> dict[str, object]:
        """Return what is known as JSON."""
        return {
            "rows": self.rows,
            "usable": self.usable,
            "rejected": self.rows - self.usable,
            "identifiers": dict(self.filled.most_common()),
            "reasons": by_frequency(self.report),
            "warnings": list(self.report.warnings),
        }


def validate(pages: Iterable[Page], batches: MemberBatches) -> Iterator[Validation]:
    """Yield, after each page, what is known of all pages so far."""
    known = Validation()
    for page in pages:
        known.rows += len(page.members)
        found = Report()
        for batch in batches.of(page, found):
            known.usable += len(batch.rows)
            for place, key in enumerate(batch.schema):
                known.filled[key] += sum(row[place] not in ("", None) for row in batch.rows)
        add_up(known.report, found)
        yield known


def by_frequency(report: Report) -> dict[str, int]:
    """Return what cannot be used and how often, the most frequent first."""
    return dict(sorted(report.counted(None).items(), key=lambda pair: -pair[1]))
