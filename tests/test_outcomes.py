"""What became of a request: results, outcomes, statuses and the one shape of answers (design, section 6)."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lib.errors import (
    ConfigurationError,
    GraphAPIError,
    GraphAPIUnreachableError,
    InvalidAccessTokenError,
    InvalidRequestError,
    MissingPermissionError,
    NobodyToSendError,
    QueueError,
    RateLimitError,
    RelayError,
    TransientGraphAPIError,
)
from lib.outcomes import Answer, Outcome, Result, rfc3339, shown_error, together
from lib.report import MAX_LISTED, Report

NOW: Final = 1_800_000_000.25
OUTCOMES: Final[Sequence[Outcome]] = ("delivered", "queued", "withheld", "rejected", "partial", "failed", "dry_run")


def result(*parts: Outcome, error: RelayError | None = None, audience: str = "1", **more: Any) -> Result:
    return Result(
        destination={"audience_id": audience}, parts=list(parts), errors=[error] if error is not None else [], **more
    )


def throttled(seconds: float) -> RateLimitError:
    error = RateLimitError("throttled")
    error.retry_after = seconds
    return error


class TestTogether:
    @pytest.mark.parametrize(
        ("outcomes", "expected"),
        [
            *(([outcome, outcome], outcome) for outcome in OUTCOMES),
            (["delivered", "queued"], "queued"),
            (["failed", "queued", "delivered"], "queued"),
            (["delivered", "failed"], "partial"),
            (["delivered", "rejected"], "partial"),
            (["delivered", "partial"], "partial"),
            (["rejected", "failed"], "partial"),
        ],
        ids=lambda value: value if isinstance(value, str) else " ".join(value),
    )
    def test_the_outcome_that_all_share_else_queued_else_partial(
        self, outcomes: list[Outcome], expected: Outcome
    ) -> None:
        assert together(outcomes) == expected

    @given(st.lists(st.sampled_from(OUTCOMES), min_size=1))
    def test_the_order_does_not_matter(self, outcomes: list[Outcome]) -> None:
        assert together(outcomes) == together(reversed(outcomes))


class TestResult:
    def test_invalid_entries_make_a_delivery_partial(self) -> None:
        assert result("delivered", num_invalid_entries=1).outcome == "partial"
        assert result("delivered", num_invalid_entries=0).outcome == "delivered"
        assert result("queued", num_invalid_entries=1).outcome == "queued"

    @pytest.mark.parametrize(
        ("counts", "expected"),
        [
            pytest.param([(7, 10, 10)], [10], id="one batch"),
            pytest.param([(7, 10, 10), (7, 18, 10)], [10, 8], id="Meta counts all of the session so far"),
            pytest.param([(7, 10, 10), (8, 10, 10)], [10, 10], id="sessions count for themselves"),
            pytest.param([(7, 10, 10), (7, 10, 10)], [10, 0], id="nothing more was received"),
            pytest.param([(7, None, 10)], [10], id="Meta states nothing"),
            pytest.param([(7, 25, 10)], [10], id="never more than were sent"),
            pytest.param([(7, 10, 10), (7, 5, 10)], [10, 0], id="never fewer than none"),
        ],
    )
    def test_how_many_of_a_batch_were_received(
        self, counts: list[tuple[int, int | None, int]], expected: list[int]
    ) -> None:
        one = result()
        received = [one.count_received(session, so_far, sent) for session, so_far, sent in counts]
        assert (received, one.num_received) == (expected, sum(expected))

    def test_as_an_answer_shows_it(self) -> None:
        failed = result("failed", error=GraphAPIError("no", code=100, error_subcode=5, fbtrace_id="A"))
        assert failed.shown("t-1", NOW) == {
            "destination": {"audience_id": "1"},
            "outcome": "failed",
            "num_received": None,
            "num_invalid_entries": 0,
            "fbtrace_id": None,
            "error": {
                "type": "GraphAPIError",
                "process": "send",
                "scope": "Graph API",
                "message": "no",
                "code": 100,
                "error_subcode": 5,
                "is_transient": None,
                "fbtrace_id": "A",
                "timestamp": rfc3339(NOW),
                "trace_id": "t-1",
            },
        }

    def test_requests_and_answers_are_shown_where_there_are_any(self) -> None:
        debugged = result("delivered", requests=[{"path": "1/users"}], answers=[])
        assert debugged.shown("t", NOW).keys() >= {"requests", "answers"}
        assert not result("delivered").shown("t", NOW).keys() & {"requests", "answers"}


class TestStatus:
    @pytest.mark.parametrize(
        ("answer", "status", "retry_after"),
        [
            pytest.param(Answer(outcome="delivered", results=[result("delivered")]), 200, None, id="delivered"),
            pytest.param(Answer(outcome="withheld", results=[result("withheld")]), 200, None, id="withheld"),
            pytest.param(Answer(outcome="dry_run", results=[result("dry_run")]), 200, None, id="dry run"),
            pytest.param(Answer(outcome="queued", results=[result("queued")]), 202, None, id="queued"),
            pytest.param(
                Answer(outcome="queued", results=[result("queued"), result("failed", error=GraphAPIError("no"))]),
                202,
                None,
                id="a part is queued",
            ),
            pytest.param(
                Answer(outcome="partial", results=[result("delivered"), result("failed", error=GraphAPIError("no"))]),
                200,
                None,
                id="partial, and nothing is left that could succeed",
            ),
            pytest.param(
                Answer(outcome="partial", results=[result("delivered"), result("failed", error=throttled(90.4))]),
                503,
                90,
                id="partial, and a part could succeed later",
            ),
            pytest.param(
                Answer(outcome="failed", results=[result("failed", error=GraphAPIError("no"))]), 502, None, id="refused"
            ),
            pytest.param(
                Answer(outcome="failed", results=[result("failed", error=InvalidAccessTokenError("no"))]),
                502,
                None,
                id="token",
            ),
            pytest.param(
                Answer(outcome="failed", results=[result("failed", error=MissingPermissionError("no"))]),
                502,
                None,
                id="permission",
            ),
            pytest.param(
                Answer(outcome="failed", results=[result("failed", error=ConfigurationError("no"))]),
                500,
                None,
                id="configuration",
            ),
            pytest.param(
                Answer(outcome="failed", results=[result("failed", error=TransientGraphAPIError("no"))]),
                503,
                10,
                id="transient",
            ),
            pytest.param(
                Answer(outcome="failed", results=[result("failed", error=GraphAPIUnreachableError("no"))]),
                503,
                10,
                id="unreachable",
            ),
            pytest.param(
                Answer(outcome="failed", results=[result("failed", error=QueueError("no"))]), 503, 10, id="queue"
            ),
            pytest.param(
                Answer(
                    outcome="failed",
                    results=[result("failed", error=throttled(5)), result("failed", error=throttled(300))],
                ),
                503,
                300,
                id="throttled: the longest wait",
            ),
            pytest.param(
                Answer(outcome="failed", results=[result("failed", error=throttled(0.2))]),
                503,
                1,
                id="throttled: a second at least",
            ),
            pytest.param(Answer(outcome="rejected", error=NobodyToSendError("nobody")), 422, None, id="nobody to send"),
            pytest.param(
                Answer(outcome="rejected", error=InvalidRequestError("no", field="action")), 400, None, id="invalid"
            ),
        ],
    )
    def test_status_and_retry_after(self, answer: Answer, status: int, retry_after: int | None) -> None:
        assert (answer.status, answer.retry_after) == (status, retry_after)

    def test_what_was_retried_and_delivered_in_the_end_is_no_failure(self) -> None:
        assert Answer(outcome="queued", results=[result("queued", error=TransientGraphAPIError("no"))]).failures == []


class TestAnswer:
    def test_its_shape(self) -> None:
        report = Report()
        report.reject_cell(3, "PHONE", "not a phone number")
        report.warn("a doubt")
        answer = Answer(outcome="partial", results=[result("partial", num_received=2)], report=report)
        assert answer.shown("t-1", now=NOW, elapsed_ms=12.4) == {
            "trace_id": "t-1",
            "outcome": "partial",
            "results": [result("partial", num_received=2).shown("t-1", NOW)],
            "rejected": [{"row": 3, "field": "PHONE", "reason": "not a phone number"}],
            "warnings": ["a doubt"],
            "cookies": {},
            "elapsed_ms": 12,
        }

    def test_an_error_stands_at_the_top_with_its_field(self) -> None:
        error = InvalidRequestError("must be an id", field="destinations[0].audience_id")
        shown = Answer(outcome="rejected", error=error).shown("t-1", now=NOW, elapsed_ms=0)
        assert shown["error"] == {
            "type": "InvalidRequestError",
            "process": "parse",
            "scope": "Meta Relay",
            "message": "must be an id",
            "field": "destinations[0].audience_id",
            "timestamp": rfc3339(NOW),
            "trace_id": "t-1",
        }

    def test_rejects_beyond_what_is_listed_are_counted(self) -> None:
        report = Report()
        for row in range(MAX_LISTED + 5):
            report.reject_row(row, "too short")
        shown = Answer(outcome="partial", report=report).shown("t", now=NOW, elapsed_ms=0)
        rejected = shown["rejected"]
        assert isinstance(rejected, list)
        assert (len(rejected), shown["warnings"]) == (MAX_LISTED, ["5 more rejects are counted and not listed"])


def test_times_are_rfc_3339_in_utc() -> None:
    assert rfc3339(0) == "1970-01-01T00:00:00+00:00"
    assert datetime.fromisoformat(rfc3339(NOW)).timestamp() == NOW


def test_an_error_with_an_action_says_what_to_do() -> None:
    shown = shown_error(ConfigurationError("no secret", action="Add a version."), "t", NOW)
    assert (shown["action"], shown["message"]) == ("Add a version.", "no secret")
