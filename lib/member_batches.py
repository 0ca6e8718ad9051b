"""Members of a segment -> batches: mapped, with the consent that is asked for, normalized and hashed."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

from lib.audiences import Batch, Policy, build_batches, for_destination
from lib.consent import Absent, stated_signals, weigh
from lib.cuts import Page
from lib.identifiers import AUDIENCE_KEYS
from lib.people import People
from lib.report import MAX_LISTED, Report
from lib.segments import map_people, stated_consent
from lib.sync_task import Terms

#: Of Meta's list of keys of a replace these are missing (Customer File Custom Audiences, "Replace users").
NOT_IN_A_REPLACE: Final = frozenset({"EXTERN_ID", "PAGEUID"})
#: What stands where a row has no value of a column that others have; else the empty text.
_NOTHING: Final[Mapping[str, Any]] = {
    "DATA_PROCESSING_OPTIONS": [],
    "DATA_PROCESSING_OPTIONS_COUNTRY": 0,
    "DATA_PROCESSING_OPTIONS_STATE": 0,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class MemberBatches:
    """
    How members become batches.

    Args:
        mapping: Audience key, or signal of consent -> the properties that hold it.
        categories: What of `user_privacy_categories` the request states for all.
        without: Keys that have no place where the members go.
        schema: Under which the members are rows already; None where they are a CDP's users.
        value_based: Whether the audience takes LOOKALIKE_VALUE.
    """

    policy: Policy
    mapping: Mapping[str, Sequence[str]]
    terms: Terms = field(default_factory=Terms)
    absent: Absent = "denied"
    categories: tuple[str, ...] = ()
    without: Collection[str] = frozenset()
    schema: tuple[str, ...] | None = None
    value_based: bool = False

    def of(self, page: Page, report: Report) -> Iterator[Batch]:
        """Yield the batches of a page; rows go by their numbers among all of the source."""
        members, numbers = self._consenting(page, report)
        if not members:
            return
        people = map_people(members, self.mapping) if self.schema is None else People(self.schema, members)
        del members
        found = Report()
        for batch in build_batches(people, self.policy, found, without=self.without):
            fit = for_destination(batch, value_based=self.value_based, report=found, audience_id=None)
            if fit.rows:
                yield replace(fit, numbers=[numbers[number] for number in fit.numbers])
        for key in sorted(set(people.schema) & set(self.without)):
            found.warn(f"{key} has no place in a replace and is left out")
        found.rejects = [replace(one, row=numbers[one.row]) for one in found.rejects]
        add_up(report, found)

    def _consenting(self, page: Page, report: Report) -> tuple[list[Any], Sequence[int]]:
        """Return the members who grant what is required, and their numbers."""
        everybody = range(page.first_row, page.first_row + len(page.members))
        if not self.terms.required:
            return list(page.members), everybody
        kept, numbers = [], []
        for number, member in zip(everybody, page.members, strict=True):
            own = stated_signals(None, stated_consent(member, self.mapping, self.categories))
            verdict = weigh(self.terms.required, {**self.terms.stated, **own}, absent=self.absent)
            if verdict.granted:
                kept.append(member)
                numbers.append(number)
            else:
                report.reject_row(number, "consent is missing: " + ", ".join(verdict.missing))
        return kept, numbers


def add_up(total: Report, more: Report) -> None:
    """Take what was found in further rows into *total*."""
    total.rejects += more.rejects[: MAX_LISTED - len(total.rejects)]
    total.add_counts(more)
    total.warnings |= more.warnings


def pages_of(members: Sequence[Any], page_rows: int) -> Iterator[Page]:
    """Yield members that a request itself carries, a page at a time."""
    for start in range(0, len(members), page_rows):
        page = list(members[start : start + page_rows])
        yield Page(members=page, first_row=start, batch=start // page_rows + 1, rest=None)


def widened(schema: Sequence[str], more: Sequence[str]) -> tuple[str, ...]:
    """Return a schema that rows of both fit into, in the order of the table of identifiers."""
    return tuple(key for key in AUDIENCE_KEYS for _ in range(max(schema.count(key), more.count(key))))


def fitted(batch: Batch, schema: Sequence[str]) -> Batch:
    """Return *batch* under a wider schema: "Schema must be identical in every batch of a session"."""
    if batch.schema == tuple(schema):
        return batch
    places: dict[str, list[int]] = {}
    for place, key in enumerate(batch.schema):
        places.setdefault(key, []).append(place)
    columns: list[tuple[int | None, Any]] = []
    for key in schema:
        own = places.get(key, [])
        columns.append((own.pop(0) if own else None, _NOTHING.get(key, "")))
    rows = [tuple(nothing if place is None else row[place] for place, nothing in columns) for row in batch.rows]
    return Batch(tuple(schema), rows, batch.numbers)
