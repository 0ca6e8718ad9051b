"""People of a source as they would be sent, without sending them: how many can be, and why the others cannot."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from lib.audiences import Policy, build_batches
from lib.cuts import Page
from lib.report import MAX_LISTED, Report
from lib.segments import map_people


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
            "reasons": dict(sorted(self.report.counted(None).items(), key=lambda pair: -pair[1])),
            "warnings": list(self.report.warnings),
        }


def validate(pages: Iterable[Page], mapping: Mapping[str, Sequence[str]], policy: Policy) -> Iterator[Validation]:
    """Yield, after each page, what is known of all pages so far."""
    known = Validation()
    for page in pages:
        known.rows += len(page.members)
        found = Report()
        for batch in build_batches(map_people(page.members, mapping), policy, found):
            known.usable += len(batch.rows)
            for place, key in enumerate(batch.schema):
                known.filled[key] += sum(row[place] not in ("", None) for row in batch.rows)
        _count(known.report, found, page.first_row)
        yield known


def _count(whole: Report, part: Report, first_row: int) -> None:
    """Add what was found in a page, whose rows count from 0."""
    room = MAX_LISTED - len(whole.rejects)
    whole.rejects += [replace(reject, row=reject.row + first_row) for reject in part.rejects[:room]]
    whole.add_counts(part)
    whole.warnings |= part.warnings
