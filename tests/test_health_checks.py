"""What Meta's answers say of health (issue: the service watches itself), answer by answer."""

from __future__ import annotations

from typing import Any, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lib.errors import (
    ConfigurationError,
    GraphAPIError,
    GraphAPIUnreachableError,
    InvalidAccessTokenError,
    MissingPermissionError,
    RateLimitError,
    RelayError,
    SecretUnavailableError,
    TransientGraphAPIError,
)
from lib.health_checks import (
    EXPIRES_SOON,
    Finding,
    account_findings,
    app_finding,
    audience_finding,
    dataset_finding,
    identity_finding,
    of_error,
    quality_findings,
    token_findings,
)
from lib.health_log import row

NOW: Final = 1_795_000_000.0
DAY: Final = 86_400
GOOD_TOKEN: Final = {"is_valid": True, "expires_at": 0, "scopes": ["ads_management"]}


def reasons(findings: list[Finding]) -> list[str | None]:
    return [finding.reason for finding in findings]


def token(**facts: Any) -> list[Finding]:
    return token_findings({"data": {**GOOD_TOKEN, **facts}}, now=NOW, needs_audiences=True)


class TestToken:
    def test_one_that_never_expires_is_well(self) -> None:
        (finding,) = token()
        assert (finding.status, finding.message, finding.facts) == ("ok", None, {})

    @pytest.mark.parametrize(
        ("left", "reason", "message"),
        [
            (EXPIRES_SOON + 1, None, None),
            (EXPIRES_SOON, "token_expiring", "the token expires in 14 days"),
            (DAY + 1, "token_expiring", "the token expires in 1 day"),
            (60, "token_expiring", "the token expires in 0 days"),
            (-5 * DAY, "token_expiring", "the token expires in 0 days"),
        ],
    )
    def test_14_days_are_soon(self, left: float, reason: str | None, message: str | None) -> None:
        (finding,) = token(expires_at=int(NOW + left))
        assert (finding.reason, finding.message) == (reason, message)
        assert str(finding.facts["expires_at"]).endswith("+00:00")

    def test_the_subcode_says_why_it_is_invalid(self) -> None:
        (finding,) = token(is_valid=False, error={"code": 190, "subcode": 463, "message": "Sent again: EAAB"})
        assert (finding.reason, finding.message) == ("token_invalid", "the token has expired")
        assert "EAAB" not in repr(finding)

    @pytest.mark.parametrize("data", [None, {}, [], {"is_valid": "true"}, {"is_valid": None}])
    def test_what_is_not_said_to_be_valid_is_not(self, data: Any) -> None:
        assert reasons(token_findings({"data": data}, now=NOW, needs_audiences=False)) == ["token_invalid"]

    def test_events_need_no_permission(self) -> None:
        answer = {"data": {**GOOD_TOKEN, "scopes": []}}
        assert reasons(token_findings(answer, now=NOW, needs_audiences=False)) == [None]
        assert reasons(token_findings(answer, now=NOW, needs_audiences=True)) == ["token_without_permission"]

    @pytest.mark.parametrize(
        ("error", "reason"),
        [
            (InvalidAccessTokenError("x", code=190), "app_refused"),
            (GraphAPIError("x", code=100), "token_of_another_app"),
            (TransientGraphAPIError("x", code=2), "not_answered"),
            (ConfigurationError("x"), "secret_unreadable"),
        ],
    )
    def test_a_refused_question_is_about_the_app(self, error: RelayError, reason: str) -> None:
        assert app_finding(error).reason == reason


@pytest.mark.parametrize(
    ("error", "reason", "status"),
    [
        (RateLimitError("x", code=17), "throttled", "unknown"),
        (GraphAPIUnreachableError("x"), "not_answered", "unknown"),
        (SecretUnavailableError("x"), "not_answered", "unknown"),
        (ConfigurationError("x"), "secret_unreadable", "error"),
        (InvalidAccessTokenError("x", code=190), "token_invalid", "error"),
        (MissingPermissionError("x", code=200), "not_permitted", "error"),
        (GraphAPIError("x", code=100, error_subcode=33), "not_found", "error"),
        (GraphAPIError("x", code=100), "refused", "error"),
    ],
)
def test_an_error_is_a_finding(error: RelayError, reason: str, status: str) -> None:
    finding = of_error("dataset", error, subject="1")
    assert (finding.reason, finding.status, finding.message, finding.subject) == (reason, status, "x", "1")
    assert finding.action


class TestAccount:
    ACCEPTED: Final = {"custom_audience_tos": 1}

    @pytest.mark.parametrize(
        ("answer", "wanted"),
        [
            ({"account_status": 1, "tos_accepted": ACCEPTED}, [None, None]),
            ({"account_status": "1", "tos_accepted": {"custom_audience_tos": "1"}}, [None, None]),
            ({"account_status": 2, "tos_accepted": ACCEPTED}, ["account_disabled", None]),
            ({"account_status": 8, "tos_accepted": ACCEPTED}, ["account_pending_settlement", None]),
            ({"account_status": 100, "tos_accepted": ACCEPTED}, ["account_closing", None]),
            ({"account_status": 201, "tos_accepted": ACCEPTED}, ["account_not_active", None]),
            ({"account_status": 1, "tos_accepted": {}}, [None, "terms_not_accepted"]),
            ({"account_status": 1, "tos_accepted": {"custom_audience_tos": 0}}, [None, "terms_not_accepted"]),
            ({"account_status": 1, "tos_accepted": {"other": 1}}, [None, "terms_not_accepted"]),
            ({"account_status": 1}, [None, "terms_not_accepted"]),
        ],
    )
    def test_status_and_terms(self, answer: dict[str, Any], wanted: list[str | None]) -> None:
        assert reasons(account_findings(answer, "1")) == wanted


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        ({"id": "1"}, None),
        ({"is_unavailable": False, "is_restricted_use": False}, None),
        ({"is_unavailable": True, "is_restricted_use": True}, "dataset_unavailable"),
        ({"is_restricted_use": True}, "dataset_restricted"),
    ],
)
def test_dataset(answer: dict[str, Any], reason: str | None) -> None:
    assert dataset_finding(answer, "1").reason == reason


class TestAudience:
    @pytest.mark.parametrize("code", [0, 200, 410, 421, 431, 441, 450])
    def test_what_is_normal_is_well(self, code: int) -> None:
        assert audience_finding({"id": "1", "operation_status": {"code": code}}, None).status == "ok"

    def test_texts_are_numbers_and_minus_one_is_unknown(self) -> None:
        view = {"id": "1", "approximate_count_lower_bound": -1, "approximate_count_upper_bound": 1_000}
        session = {"num_received": "12", "num_matched": "-1", "num_invalid_entries": "0"}
        assert audience_finding(view, session).facts == {
            "size_upper_bound": 1_000, "num_received": 12, "num_invalid_entries": 0
        }  # fmt: skip


class TestQuality:
    @staticmethod
    def entry(
        score: float = 8, share: float = 80, goal: float | None = 75, frequency: str = "real_time"
    ) -> dict[str, Any]:
        return {
            "event_name": "Purchase",
            "event_match_quality": {"composite_score": score},
            "event_coverage": {"percentage": share} | ({} if goal is None else {"goal_percentage": goal}),
            "data_freshness": {"upload_frequency": frequency},
        }

    def check(self, entry: dict[str, Any], before: float | None = None) -> dict[str, str | None]:
        week = {"Lead": 1.0} | ({} if before is None else {"Purchase": before})
        return {finding.kind: finding.reason for finding in quality_findings({"web": [entry]}, "1", week)}

    def test_all_well(self) -> None:
        assert self.check(self.entry()) == {"match_quality": None, "coverage": None, "freshness": None}

    @pytest.mark.parametrize(
        ("before", "now", "reason"),
        [(8.0, 7.1, None), (8.0, 7.0, "match_quality_falling"), (6.0, 8.0, None), (9.3, 3.0, "match_quality_falling")],
    )
    def test_a_point_less_than_the_week_before_is_a_fall(self, before: float, now: float, reason: str | None) -> None:
        assert self.check(self.entry(score=now), before)["match_quality_trend"] == reason

    @pytest.mark.parametrize(
        ("entry", "kind", "reason"),
        [
            ({"score": 4.0}, "match_quality", None),
            ({"score": 3.9}, "match_quality", "match_quality_low"),
            ({"share": 75.0}, "coverage", None),
            ({"share": 74.9}, "coverage", "coverage_low"),
            ({"share": 1.0, "goal": None}, "coverage", None),
            ({"frequency": "REAL_TIME"}, "freshness", None),
            ({"frequency": "hourly"}, "freshness", "events_late"),
        ],
    )
    def test_each_measure_is_judged_alone(self, entry: dict[str, Any], kind: str, reason: str | None) -> None:
        found = self.check(self.entry(**entry))
        assert found.pop(kind) == reason
        assert set(found.values()) == {None}

    def test_what_meta_does_not_state_is_not_judged(self) -> None:
        assert self.check({"event_name": "Purchase"}, 9.0) == {}


@pytest.mark.parametrize(
    ("status", "reason"),
    [
        (200, None), (204, None), (400, None), (404, None), (401, "identity_refused"), (403, "identity_refused"),
        (500, "identity_unreachable"), (503, "identity_unreachable"), (None, "identity_unreachable"),
    ],
)  # fmt: skip
def test_identity(status: int | None, reason: str | None) -> None:
    assert identity_finding(status).reason == reason


#: What Meta may answer in place of what it documents.
_ANYTHING: Final = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8) | st.just("-1"),
    lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(
        st.sampled_from(
            [
                "data", "is_valid", "expires_at", "scopes", "error", "code", "subcode", "account_status",
                "tos_accepted", "custom_audience_tos", "operation_status", "id", "web", "event_name",
                "event_match_quality", "composite_score", "event_coverage", "percentage", "data_freshness",
                "upload_frequency", "num_matched", "is_unavailable",
            ]
        ),
        inner,
        max_size=5,
    ),
    max_leaves=12,
)  # fmt: skip


@given(answer=st.dictionaries(st.sampled_from(["data", "web", "tos_accepted", "id", "account_status"]), _ANYTHING))
def test_any_answer_is_read_and_makes_rows(answer: dict[str, Any]) -> None:
    findings = [
        *token_findings(answer, now=NOW, needs_audiences=True),
        *account_findings(answer, "1"),
        dataset_finding(answer, "1"),
        audience_finding(answer, answer),
        *quality_findings(answer, "1", {}),
    ]
    for finding in findings:
        assert row(row_id="1", logged_at="x", **finding.columns())["status"] in {"ok", "warning", "error", "unknown"}
