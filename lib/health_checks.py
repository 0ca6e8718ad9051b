"""
What Meta's answers say of a deployment's health: each answer becomes findings, with the operator's next step.

A kind of check ends in one finding for each thing that is checked:

token                a connection's access token: valid, of the right app, with its permission, not about to expire
ad_account, terms    the ad account, and its Custom Audience terms
dataset              there, and neither unavailable nor restricted
audience             each customer-file audience's operation_status, size and last session
match_quality        each event's match quality, and as `match_quality_trend` beside that of the week before
coverage, freshness  each event's server events beside the pixel's, and how soon they come
identity             the endpoint of identity answers

`reason` names a fault, and is a key of `health_faults.FAULTS`; what was found well has none. Sources, by the keys of
`graph_errors`; C-dq is the page "Dataset Quality API" of the Conversions API, CA-tos "Custom Audience Terms Of
Service", and Node facebook-nodejs-business-sdk (ads-pixel.js).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Final

from lib.errors import (
    ConfigurationError,
    GraphAPIError,
    InvalidAccessTokenError,
    MissingPermissionError,
    RateLimitError,
    RelayError,
    Retry,
)
from lib.graph_errors import row_of_error
from lib.health_faults import AUDIENCE_SCOPE, FAULTS, Fault, Status

_DAY: Final = 86_400.0
#: A token is renewed by a person, who may be on leave for a week.
EXPIRES_SOON: Final = 14 * _DAY
#: Of 10; below, Events Manager calls the match quality poor (reported).
LOW_MATCH_QUALITY: Final = 4.0
#: A loss of so many points against the week before is no noise (ours).
FALL: Final = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """
    What one check has found.

    Args:
        reason: A key of FAULTS; None where all is well.
        subject: The id of what was checked.
        facts: Further columns of the health log.
    """

    kind: str
    status: Status = "ok"
    reason: str | None = None
    message: str | None = None
    action: str | None = None
    connection: str | None = None
    subject: str | None = None
    event_name: str | None = None
    facts: Mapping[str, object] = field(default_factory=dict)

    def columns(self) -> dict[str, object]:
        """Return it as columns of the health log."""
        names = ("kind", "status", "reason", "message", "action", "connection", "subject", "event_name")
        return {name: getattr(self, name) for name in names} | dict(self.facts)


def found(
    kind: str,
    reason: str | None,
    *,
    subject: str | None = None,
    event_name: str | None = None,
    message: str | None = None,
    action: str | None = None,
    **facts: object,
) -> Finding:
    """Return the finding of *reason*, None for all is well; its own words unless others are given."""
    fault = FAULTS[reason] if reason else Fault("ok", "", "")
    return Finding(
        kind=kind,
        status=fault.status,
        reason=reason,
        message=message or fault.message or None,
        action=action or fault.action or None,
        subject=subject,
        event_name=event_name,
        facts={name: value for name, value in facts.items() if value is not None},
    )


def of_error(kind: str, error: RelayError, *, subject: str | None = None, event_name: str | None = None) -> Finding:
    """Return the finding that *error* makes: asking failed, and that says something too."""
    return found(
        kind,
        _reason_of(error),
        subject=subject,
        event_name=event_name,
        message=error.message,
        action=error.action,
        error_code=error.code if isinstance(error, GraphAPIError) else None,
        error_subcode=error.error_subcode if isinstance(error, GraphAPIError) else None,
        fbtrace_id=error.fbtrace_id if isinstance(error, GraphAPIError) else None,
    )


#: Code 100 with this subcode: "object missing or no permission" (E-mapi).
_MISSING: Final = 33


def _reason_of(error: RelayError) -> str:
    if isinstance(error, RateLimitError):
        return "throttled"
    if error.retry is Retry.LATER:
        return "not_answered"
    if isinstance(error, ConfigurationError):
        return "secret_unreadable"
    if isinstance(error, InvalidAccessTokenError):
        return "token_invalid"
    if isinstance(error, MissingPermissionError):
        return "not_permitted"
    return "not_found" if isinstance(error, GraphAPIError) and error.error_subcode == _MISSING else "refused"


# Token.


def token_findings(answer: Mapping[str, object], *, now: float, needs_audiences: bool) -> list[Finding]:
    """Read `debug_token`: https://developers.facebook.com/docs/graph-api/reference/debug_token."""
    data = _object(answer.get("data"))
    if data.get("is_valid") is not True:
        return [_invalid_token(_object(data.get("error")))]
    expires_at = _whole(data.get("expires_at")) or 0
    facts = {"expires_at": _rfc3339(expires_at) if expires_at else None}
    scopes = data.get("scopes")
    findings = []
    if needs_audiences and isinstance(scopes, list) and AUDIENCE_SCOPE not in scopes:
        findings.append(found("token", "token_without_permission", **facts))
    if expires_at and expires_at - now <= EXPIRES_SOON:
        days = max(0, int((expires_at - now) // _DAY))
        message = f"the token expires in {days} day{'' if days == 1 else 's'}"
        findings.append(found("token", "token_expiring", message=message, **facts))
    return findings or [found("token", None, **facts)]


def _invalid_token(error: Mapping[str, object]) -> Finding:
    code, subcode = _whole(error.get("code")), _whole(error.get("subcode"))
    row = row_of_error(code, subcode) if code == _INVALID_TOKEN else None
    return found(
        "token",
        "token_invalid",
        message=row.meaning if row else None,
        action=row.action if row else None,
        error_code=code,
        error_subcode=subcode,
    )


_INVALID_TOKEN: Final = 190


def app_finding(error: RelayError) -> Finding:
    """Read a refusal of `debug_token`, which is about the app that asks, or of a token that is another's."""
    if isinstance(error, InvalidAccessTokenError):
        return found("token", "app_refused", error_code=error.code, fbtrace_id=error.fbtrace_id)
    if isinstance(error, GraphAPIError) and error.code == 100 and error.retry is Retry.NEVER:
        return found("token", "token_of_another_app", error_code=error.code, fbtrace_id=error.fbtrace_id)
    return of_error("token", error)


# Ad account.

#: `account_status` of an ad account (reported, from the Marketing API's reference of the ad account).
_ACTIVE: Final = 1
_ACCOUNT_FAULTS: Final[Mapping[int, str]] = MappingProxyType(
    {
        2: "account_disabled",
        3: "account_unsettled",
        7: "account_in_review",
        8: "account_pending_settlement",
        9: "account_in_grace_period",
        100: "account_closing",
        101: "account_closed",
    }
)


def account_findings(answer: Mapping[str, object], account_id: str) -> list[Finding]:
    """Read the ad account; `{"tos_accepted": {"custom_audience_tos": 1}}` says that the terms are accepted (CA-tos)."""
    status = _whole(answer.get("account_status"))
    reason = None if status == _ACTIVE else _ACCOUNT_FAULTS.get(status or 0, "account_not_active")
    accepted = _object(answer.get("tos_accepted")).get("custom_audience_tos") in (1, "1")
    return [
        found("ad_account", reason, subject=account_id, account_status=status),
        found("terms", None if accepted else "terms_not_accepted", subject=account_id),
    ]


# Dataset.


def dataset_finding(answer: Mapping[str, object], dataset_id: str) -> Finding:
    """Read the dataset; what restricts one is no error when events are sent to it (Node; semantics reported)."""
    if answer.get("is_unavailable") is True:
        return found("dataset", "dataset_unavailable", subject=dataset_id)
    return found(
        "dataset", "dataset_restricted" if answer.get("is_restricted_use") is True else None, subject=dataset_id
    )


# Audiences.

#: `operation_status.code` (CA-node); 421 to 434 are about audiences that are not made of customer files.
_OPERATION_FAULTS: Final[Mapping[int, str]] = MappingProxyType(
    {
        100: "audience_expiring",
        400: "audience_warning",
        411: "audience_low_match",
        412: "audience_invalid_entries",
        414: "audience_replacing",
        415: "audience_replace_failed",
        442: "audience_warning",
        470: "audience_owner_inactive",
        471: "audience_flagged",
        500: "audience_error",
    }
)


def operation_fault(view: Mapping[str, object]) -> str | None:
    """Return the fault that an audience's `operation_status` states, a key of FAULTS."""
    return _OPERATION_FAULTS.get(_code(view.get("operation_status")) or 0)


def audience_finding(view: Mapping[str, object], session: Mapping[str, object] | None) -> Finding:
    """Read an audience, and its last upload session, whose numbers may be texts (issue java 492)."""
    session = session or {}
    return found(
        "audience",
        operation_fault(view),
        subject=_text(view.get("id")),
        operation_status=_code(view.get("operation_status")),
        delivery_status=_code(view.get("delivery_status")),
        size_lower_bound=_count(view.get("approximate_count_lower_bound")),
        size_upper_bound=_count(view.get("approximate_count_upper_bound")),
        num_received=_count(session.get("num_received")),
        num_matched=_count(session.get("num_matched")),
        num_invalid_entries=_count(session.get("num_invalid_entries")),
    )


# Quality of events.

#: "Improve frequency to real_time when possible" (C-dq).
_REAL_TIME: Final = "real_time"


def quality_findings(answer: Mapping[str, object], dataset_id: str, before: Mapping[str, float]) -> Iterator[Finding]:
    """
    Read the quality of each web event of a dataset, under `web` (C-dq); what Meta does not state is not judged.

    Args:
        before: Each event's mean match quality of the week before, where that is known.
    """
    entries = answer.get("web")
    for entry in entries if isinstance(entries, list) else ():
        event_name = _text(_object(entry).get("event_name"))
        if event_name:
            yield from _event_findings(_object(entry), dataset_id, event_name, before.get(event_name))


def quality_error(error: RelayError, dataset_id: str) -> Finding:
    """
    Read a refusal of the quality, which costs no delivery: a token may send events and not read of them.

    "The advertiser will need to go to Events Manager to accept" (C-dq, "FAQs").
    """
    if error.retry is Retry.LATER:
        return of_error("match_quality", error, subject=dataset_id)
    return replace(
        of_error("match_quality", error, subject=dataset_id),
        status=FAULTS["quality_unreadable"].status,
        reason="quality_unreadable",
        action=FAULTS["quality_unreadable"].action,
    )


def _event_findings(
    entry: Mapping[str, object], dataset_id: str, event_name: str, before: float | None
) -> Iterator[Finding]:
    quality = _number(_object(entry.get("event_match_quality")).get("composite_score"))
    coverage = _object(entry.get("event_coverage"))
    share, goal = _number(coverage.get("percentage")), _number(coverage.get("goal_percentage"))
    frequency = _text(_object(entry.get("data_freshness")).get("upload_frequency"))
    about = {"subject": dataset_id, "event_name": event_name}
    if quality is not None:
        low = quality < LOW_MATCH_QUALITY
        yield found("match_quality", "match_quality_low" if low else None, **about, match_quality=quality)
    if quality is not None and before is not None:
        reason = "match_quality_falling" if before - quality >= FALL else None
        yield found(
            "match_quality_trend", reason, **about, match_quality=quality, match_quality_before=round(before, 2)
        )
    if share is not None:
        reason = "coverage_low" if goal is not None and share < goal else None
        yield found("coverage", reason, **about, coverage_percent=share, coverage_goal_percent=goal)
    if frequency is not None:
        reason = None if frequency.lower() == _REAL_TIME else "events_late"
        yield found("freshness", reason, **about, upload_frequency=frequency)


# Identity.


def identity_finding(http_status: int | None) -> Finding:
    """Read the status with which the endpoint of identity has answered a question about nobody; None for no answer."""
    if http_status is None or http_status >= 500:
        return found("identity", "identity_unreachable")
    return found("identity", "identity_refused" if http_status in {401, 403} else None)


# Values of Meta's, as they may come.


def _object(value: object) -> Mapping[str, object]:
    return value if isinstance(value, dict) else {}


def _text(value: object) -> str | None:
    return value[:64] if isinstance(value, str) and value else None


def _number(value: object) -> float | None:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e6 else None


def _whole(value: object) -> int | None:
    """Return a whole number of 64 bits, or the text of one."""
    if isinstance(value, str) and value.lstrip("-").isdecimal() and value.isascii() and len(value) < 19:
        value = int(value) if value.count("-") <= 1 else None
    return value if isinstance(value, int) and not isinstance(value, bool) and abs(value) < 2**62 else None


def _count(value: object) -> int | None:
    """Return a number of things; Meta states -1 where it does not know."""
    number = _whole(value)
    return None if number is None or number < 0 else number


def _code(value: object) -> int | None:
    return _whole(_object(value).get("code"))


def _rfc3339(seconds: int) -> str | None:
    """Return Unix seconds as a timestamp; None where no calendar has them."""
    try:
        return datetime.fromtimestamp(seconds, UTC).isoformat()
    except (ValueError, OverflowError, OSError):
        return None
