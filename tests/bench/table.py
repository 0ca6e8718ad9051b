"""What the benchmark prints: one line for each measurement, its target beside it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """
    A measurement.

    Args:
        what: What was measured.
        median: Of all rounds, with its unit.
        ratio: Of the medians' meaning to people: the median over all rounds of the ratio within one round.
        against: What the ratio is of.
        at: Which side of *target* the ratio has to be on.
    """

    what: str
    median: str
    ratio: float | None = None
    against: str = ""
    at: Literal["most", "least"] = "most"
    target: float | None = None

    @property
    def passes(self) -> bool | None:
        """Whether the target is met; None where there is none."""
        if self.ratio is None or self.target is None:
            return None
        return self.ratio <= self.target if self.at == "most" else self.ratio >= self.target

    def cells(self) -> tuple[str, str, str, str, str]:
        """Return the line as texts: what, median, ratio, target, verdict."""
        ratio = "" if self.ratio is None else f"{self.ratio:.2f} x {self.against}"
        target = "" if self.target is None else f"at {self.at} {self.target:g}"
        return self.what, self.median, ratio, target, {None: "", True: "PASS", False: "over"}[self.passes]


_HEADER: Final = ("what", "median", "ratio within a round", "target", "")


def table(title: str, lines: Sequence[Line]) -> str:
    """Return *lines* under *title*, in columns."""
    rows = [_HEADER, *(line.cells() for line in lines)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    texts = [
        f"{row[0]:{widths[0]}}  {row[1]:>{widths[1]}}  {row[2]:{widths[2]}}  {row[3]:{widths[3]}}  {row[4]}".rstrip()
        for row in rows
    ]
    rule = "-" * (sum(widths) + 8)
    return "\n".join([title, rule, texts[0], rule, *texts[1:], ""])
