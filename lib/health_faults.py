"""
The faults that a health check can find, as a table: how bad each is, what it is, and what the operator has to do.

Meta's own words for them are in `graph_errors` and the pages that `health_checks` names.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, Literal

Status = Literal["ok", "warning", "error", "unknown"]

#: What a token needs to change audiences (CA-guide, "Permissions").
AUDIENCE_SCOPE: Final = "ads_management"


@dataclass(frozen=True, slots=True)
class Fault:
    """A kind of fault: how bad it is, what it is, and what the operator has to do."""

    status: Status
    message: str
    action: str


_SECRET: Final = "Make a never-expiring token for the system user and add it as a new version of the secret."  # noqa: S105 - a sentence
_APP: Final = "Set app_id and app_secret to those of the app that the token was made with, or leave both out."
_QUALITY_PAGE: Final = "Look at the event in Events Manager, under its match quality,"
_ACCOUNT_PAGE: Final = "Look the ad account up under Account Quality in Meta Business Suite"

FAULTS: Final[Mapping[str, Fault]] = MappingProxyType(
    {
        # token
        "secret_unreadable": Fault("error", "a secret cannot be read", "See that it has an enabled version."),
        "token_invalid": Fault("error", "the token is not valid", _SECRET),
        "token_expiring": Fault("warning", "the token expires soon", _SECRET),
        "token_without_permission": Fault(
            "error", f"the token lacks {AUDIENCE_SCOPE}", f"Make a token with {AUDIENCE_SCOPE} for the system user."
        ),
        "token_of_another_app": Fault("error", "the token belongs to another app than app_id names", _APP),
        "app_refused": Fault("error", "Meta refuses the app's id with its secret", _APP),
        # ad_account
        "account_disabled": Fault("error", "the ad account is disabled", f"{_ACCOUNT_PAGE} and ask for a review."),
        "account_unsettled": Fault("error", "the ad account has an unpaid bill", "Pay it in the billing settings."),
        "account_in_review": Fault("error", "the ad account is in a risk review", f"{_ACCOUNT_PAGE}."),
        "account_pending_settlement": Fault(
            "warning", "a payment of the ad account is being settled", "See the billing settings if it lasts."
        ),
        "account_in_grace_period": Fault("warning", "a payment of the ad account is overdue", "Pay it in time."),
        "account_closing": Fault("warning", "the ad account is about to be closed", "Name another ad_account_id."),
        "account_closed": Fault("error", "the ad account is closed", "Name another ad_account_id."),
        "account_not_active": Fault("warning", "the ad account is not active", f"{_ACCOUNT_PAGE}."),
        # terms
        "terms_not_accepted": Fault(
            "error",
            "the Custom Audience terms are not accepted",
            "Have a person (not the system user) accept them at "
            "business.facebook.com/ads/manage/customaudiences/tos/?act=<ad account id>.",
        ),
        # dataset
        "dataset_unavailable": Fault(
            "error", "the dataset is not available", "Look at the dataset's notices in Events Manager."
        ),
        "dataset_restricted": Fault(
            "warning",
            "the dataset is restricted, so that Meta strips or drops some of its events",
            "Look at the dataset's data source category in Events Manager, and ask for a review if it is wrong.",
        ),
        # audience
        "audience_expiring": Fault(
            "warning", "the audience is unused and about to be deleted", "Use it in an ad set, or let it go."
        ),
        "audience_warning": Fault("warning", "Meta warns about the audience", "Look at it in Audience Manager."),
        "audience_low_match": Fault(
            "warning",
            "few of the audience's people are matched",
            "Send more identifiers, and see that default_country is that of the phone numbers.",
        ),
        "audience_invalid_entries": Fault(
            "warning",
            "many entries of the audience's last session are invalid",
            "See that hashes which the source brings along are SHA-256 of normalized values.",
        ),
        "audience_replacing": Fault(
            "warning",
            "the audience is being replaced, and takes no other changes",
            "Nothing, if it ends in 90 minutes.",
        ),
        "audience_replace_failed": Fault(
            "error", "the last replacement of the audience has failed", "Replace the audience again."
        ),
        "audience_owner_inactive": Fault(
            "error", "the account that made the audience is inactive", "Make the audience again with the system user."
        ),
        "audience_flagged": Fault(
            "error",
            "the audience is flagged, and takes no uploads",
            "Appeal in Audience Manager, or make a new audience whose name and description hint at no health or "
            "financial status.",
        ),
        "audience_error": Fault("error", "the audience has an error", "Look at it in Audience Manager."),
        # quality of events
        "match_quality_low": Fault(
            "warning",
            "the event's match quality is low",
            f"{_QUALITY_PAGE} and send more of the customer: e-mail, phone, external id, fbp, fbc.",
        ),
        "match_quality_falling": Fault(
            "warning",
            "the event's match quality has fallen against the week before",
            f"{_QUALITY_PAGE} and find what the events no longer carry since the last change of the site or the tag.",
        ),
        "coverage_low": Fault(
            "warning",
            "too few of the event reach Meta from the server beside those of the pixel",
            "See in the delivery log what is withheld or rejected, and that the tag fires where the pixel does.",
        ),
        "events_late": Fault(
            "warning", "the event does not reach Meta in real time", "See in the delivery log what waits in the queue."
        ),
        "quality_unreadable": Fault(
            "warning",
            "the token may not read the quality of the dataset's events",
            "Make its token with ads_read too, or opt in to the Dataset Quality API in Events Manager.",
        ),
        # identity
        "identity_unreachable": Fault(
            "error",
            "the endpoint of identity does not answer",
            "See that the service runs and may be reached from here.",
        ),
        "identity_refused": Fault(
            "error", "the endpoint of identity refuses its token", "Renew the secret of identity.access_token."
        ),
        # whatever is asked
        "not_permitted": Fault(
            "error", "the token may not read it", "Assign it to the system user in the business settings."
        ),
        "not_found": Fault(
            "error",
            "it is not there, or the token may not see it",
            "Check the id, and assign it to the system user in the business settings.",
        ),
        "refused": Fault("error", "Meta refuses the question", "Look the error up in Meta's reference."),
        "throttled": Fault("unknown", "Meta takes no calls for this account now", "Nothing: it is asked again later."),
        "not_answered": Fault("unknown", "there was no answer", "Nothing, unless it lasts."),
        "history_unreadable": Fault(
            "unknown",
            "the health log cannot be queried, so that no fall can be seen",
            "Grant the function's service account roles/bigquery.jobUser on the project and roles/bigquery.dataViewer "
            "on the dataset.",
        ),
    }
)
