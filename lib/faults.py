"""What is found wrong with one event while it is built; handed over to the request's report in one go."""

from __future__ import annotations

from dataclasses import dataclass, field

from lib.report import Report


@dataclass(slots=True)
class Faults:
    """
    Collects, in the order in which it comes up; field and reason are of the contract, never a value.

    Args:
        refused: Field and reason of what keeps the event from being sent.
        emptied: Field and reason of what is left out of it.
        warnings: Doubts.
    """

    refused: dict[tuple[str, str], None] = field(default_factory=dict)
    emptied: dict[tuple[str, str], None] = field(default_factory=dict)
    warnings: dict[str, None] = field(default_factory=dict)

    def refuse(self, field: str, reason: str) -> None:
        """Note that the event cannot be sent; only the first reason of a field counts."""
        if not self.is_refused(field):
            self.refused[field, reason] = None

    def is_refused(self, field: str) -> bool:
        """Tell whether the event cannot be sent because of that field."""
        return any(name == field for name, _ in self.refused)

    def empty(self, field: str, reason: str) -> None:
        """Note that something is left out; the event goes without it."""
        self.emptied[field, reason] = None

    def warn(self, field: str, text: str) -> None:
        """Note a doubt."""
        self.warnings[f"{field}: {text}"] = None

    def hand_over(self, report: Report, row: int) -> None:
        """Tell *report*: an event counts as one rejected row, however many reasons there are."""
        for place, (name, reason) in enumerate(self.refused):
            if place == 0:
                report.reject_row(row, reason, field=name)
            else:
                report.reject_cell(row, name, reason)
        for name, reason in self.emptied:
            report.reject_cell(row, name, reason)
        for text in self.warnings:
            report.warn(text)
