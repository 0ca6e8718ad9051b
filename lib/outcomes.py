"""What became of a request: one result for each destination, and the answer that is made of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Any, Literal

from lib.errors import QueueError, RateLimitError, RelayError, Retry
from lib.report import Report

Outcome = Literal["delivered", "queued", "withheld", "rejected", "partial", "failed", "dry_run"]


@dataclass(slots=True, kw_only=True)
class Result:
    """
    What became of one destination.

    Args:
        parts: The outcomes of its batches; there is at least one once it is finished.
        errors: What went wrong, first things first.
        requests: In a dry run or for debugging: the calls as they are or would be sent.
        answers: For debugging: Meta's answers.
        invalid_rows: The rows that Meta has named as invalid.
        stopped: What keeps further batches from being sent.
    """

    destination: Mapping[str, str]
    parts: list[Outcome] = field(default_factory=list)
    num_received: int | None = None
    num_invalid_entries: int = 0
    fbtrace_id: str | None = None
    errors: list[RelayError] = field(default_factory=list)
    requests: list[Mapping[str, Any]] | None = None
    answers: list[Mapping[str, Any]] | None = None
    invalid_rows: list[int] = field(default_factory=list)
    stopped: RelayError | None = None
    _counted: dict[int | None, int] = field(default_factory=dict)

    def count_received(self, session_id: int | None, so_far: int | None, sent: int) -> int:
        """
        Return how many of *sent* rows Meta has received.

        Meta's count is of all rows of the session *so_far*; a batch that it gets twice it may count twice.
        """
        received = sent
        if so_far is not None:
            received = max(0, min(sent, so_far - self._counted.get(session_id, 0)))
            if session_id is not None:
                self._counted[session_id] = so_far
        self.num_received = (self.num_received or 0) + received
        return received

    @property
    def outcome(self) -> Outcome:
        """The outcome of the destination as a whole."""
        whole = together(self.parts)
        return "partial" if whole == "delivered" and self.num_invalid_entries else whole

    def shown(self, trace_id: str, now: float) -> dict[str, object]:
        """Return the result as an answer shows it."""
        shown: dict[str, object] = {
            "destination": dict(self.destination),
            "outcome": self.outcome,
            "num_received": self.num_received,
            "num_invalid_entries": self.num_invalid_entries,
            "fbtrace_id": self.fbtrace_id,
            "error": shown_error(self.errors[0], trace_id, now) if self.errors else None,
        }
        debugged = {"requests": self.requests, "answers": self.answers}
        return shown | {key: value for key, value in debugged.items() if value is not None}


def together(outcomes: Iterable[Outcome]) -> Outcome:
    """Return the outcome that all share; else `queued` if the queue holds any part, else `partial`."""
    all_of_them = set(outcomes)
    if len(all_of_them) == 1:
        return all_of_them.pop()
    return "queued" if "queued" in all_of_them else "partial"


def shown_error(error: RelayError, trace_id: str, now: float) -> dict[str, object]:
    """Return the one shape of errors, in answers and in the log."""
    return error.facts() | {"timestamp": rfc3339(now), "trace_id": trace_id}


def rfc3339(now: float) -> str:
    """Return Unix seconds as a timestamp in UTC."""
    return datetime.fromtimestamp(now, UTC).isoformat()


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """
    The answer to a request.

    Args:
        error: What kept all of it from being done; it stands at the top of the answer.
        cookies: What the caller has to set in the browser.
        failures: The errors of what failed, whichever destination; they decide the status.
    """

    outcome: Outcome
    results: Sequence[Result] = ()
    report: Report = field(default_factory=Report)
    error: RelayError | None = None
    cookies: Mapping[str, str] = field(default_factory=dict)

    @property
    def failures(self) -> list[RelayError]:
        """The errors of all parts that failed."""
        return [error for result in self.results for error in result.errors if "failed" in result.parts]

    @property
    def status(self) -> HTTPStatus:
        """The HTTP status, as the README's table has it."""
        if self.error is not None:
            return self.error.status
        if any(isinstance(error, QueueError) for error in self.failures):
            # A part is nowhere: neither at Meta nor in the queue, whatever became of the others.
            return HTTPStatus.SERVICE_UNAVAILABLE
        if self.outcome == "queued":
            return HTTPStatus.ACCEPTED
        if any(error.retry is Retry.LATER for error in self.failures):
            return HTTPStatus.SERVICE_UNAVAILABLE
        if self.outcome == "failed":
            return self.failures[0].status
        return HTTPStatus.OK

    @property
    def retry_after(self) -> int | None:
        """Seconds after which the caller may try again, where the status is 503."""
        if self.status is not HTTPStatus.SERVICE_UNAVAILABLE:
            return None
        waits = [error.retry_after for error in self.failures if isinstance(error, RateLimitError)]
        return max(1, round(max(waits))) if waits else 10

    def shown(self, trace_id: str, *, now: float, elapsed_ms: float) -> dict[str, object]:
        """Return the answer's JSON."""
        warnings = list(self.report.warnings)
        if unlisted := self.report.unlisted():
            warnings.append(f"{unlisted} more rejects are counted and not listed")
        shown: dict[str, object] = {
            "trace_id": trace_id,
            "outcome": self.outcome,
            "results": [result.shown(trace_id, now) for result in self.results],
            "rejected": self.report.listed(),
            "warnings": warnings,
            "cookies": dict(self.cookies),
            "elapsed_ms": round(elapsed_ms),
        }
        if self.error is not None:
            shown["error"] = shown_error(self.error, trace_id, now)
        return shown
