"""
Meta's errors as a table: what a code means, whether trying again can help, and what the operator has to do.

Meta words its errors in the language of the token's user and may change them, so only `code`, `error_subcode`
and `is_transient` decide. The texts here are ours: Meta's may repeat what was sent to it.

Sources, by the keys that each row names (developers.facebook.com, as of 2026-09, unless said otherwise):

E-mapi    Marketing API: Error Codes
E-graph   Graph API: Handling Errors
R-mapi    Marketing API: Rate Limiting
R-graph   Graph API: Rate Limits, of business use cases
CA-guide  Marketing API: Customer File Custom Audiences
CA-users  Marketing API reference: Custom Audience Users, and its `usersreplace`
CA-node   Marketing API reference: Custom Audience
CA-edge   Marketing API reference: Ad Account Custom Audiences
LIVE      answers of `/events` in v26.0, recorded and published by a third party on 2026-09-05
Rud       rudderlabs/rudder-transformer: its Facebook destinations and their tests (2026-08-06)
issue     a thread at GitHub, with its number: facebook/facebook-{java,python,ruby}-business-sdk, or the
          uploader of offline conversions
reported  users of the API, in public answers and articles
peers     what other connectors do, where Meta's pages say nothing
ours      decided here, where nobody says anything
"""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from lib.errors import (
    GraphAPIError,
    InvalidAccessTokenError,
    MissingPermissionError,
    RateLimitError,
    TransientGraphAPIError,
)

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, slots=True)
class Row:
    """
    One error of Meta.

    Without a code it is of a number that Meta states now as code, now as subcode of several codes.
    """

    code: int | None
    subcode: int | None
    error: type[GraphAPIError]
    #: What happened, to stand after "Meta error 100/33: ".
    meaning: str
    sources: str
    #: What the operator has to do, in one sentence; None where nothing is to be done.
    action: str | None = None
    #: The same rows may pass in smaller requests.
    smaller: bool = False
    #: Seconds to wait where the answer does not say how long; None where the source states no time.
    wait: float | None = None
    #: The numbers stand for many errors, so that Meta's title of this one is worth keeping.
    vague: bool = False


#: "Wait long", without a time at Meta: an hour (ours).
_LONG: Final = 3600.0

_RENEW: Final = (
    "Make a never-expiring token for the system user in the business settings, and add it as a new version "
    "of the secret."
)
_EXPIRED: Final = (
    "The token has expired: make a never-expiring system-user token and add it as a new version of the secret."
)
_REASSIGN_APP: Final = (
    "Assign the app to the system user again, make a new token, and add it as a new version of the secret."
)
_LOG_IN: Final = (
    "Have the token's user log in at facebook.com and pass what it asks there, or use a system user's token."
)
_CHECK_PROOF: Final = (
    "Set the connection's app_secret to that of the very app that its token was made with, and leave it out "
    "for a token that was made in Events Manager."
)
_ASSIGN: Final = (
    "Assign the app, the dataset, and the ad account with Manage campaigns to the system user in the "
    "business settings, and make its token with ads_management."
)
_ASSIGN_ACCOUNT: Final = (
    "Give the system user Manage campaigns on the ad account in the business settings, and have a person "
    "accept the account's Custom Audience terms."
)
_ASSIGN_OR_MEND_ID: Final = (
    "The system user lacks access or the id is wrong: check the id of the audience, ad account or dataset, "
    "and assign it to the system user in the business settings."
)
_ACCEPT_TERMS: Final = (
    "Have a person (not the system user) accept the Custom Audience terms at "
    "business.facebook.com/ads/manage/customaudiences/tos/?act=<ad account id>."
)
_ACCEPT_TOOLS_TERMS: Final = (
    "Have an admin of the business (not the system user) accept the Meta Business Tools terms in Events Manager."
)
_ACCEPT_MESSAGES_TERMS: Final = (
    "Have an admin of the business (not the system user) accept the terms of marketing messages in the "
    "business settings."
)
_LINK_ACCOUNT: Final = (
    "Add the ad account to the business portfolio of the system user, or have its owner share it with that "
    "portfolio as a partner."
)
_ASK_ACCESS: Final = (
    "Ask under App Review in the app's dashboard for ads_management and for Ads Management Standard Access."
)
_LEAVE_DEVELOPMENT: Final = (
    "Raise the app's access tier of the Marketing API, or make the token's user an admin of the app and of "
    "the ad account."
)
_SHARE: Final = "Have the owner of the audience share it with the ad account in Audience Manager."
_FULL_ACCESS: Final = (
    "Wait, and ask for the Full access tier of the Marketing API, which allows far more audience calls an hour."
)
_ABUSE: Final = "Stop other heavy use of the app and the ad account, and contact Meta's support if it lasts."
_ACCOUNT_QUALITY: Final = (
    "Look the restriction up under Account Quality in Meta Business Suite, and ask for a review there."
)
_UNFLAG: Final = (
    "Meta has flagged the audience (operation_status 471): appeal in Audience Manager, or make a new "
    "audience whose name and description hint at no health or financial status."
)
_MEND_EVENT: Final = "Compare the event that a dry run shows with Meta's server event parameters, and mend it."
_MEND_REQUEST: Final = "Compare the request that a dry run shows with Meta's reference, and mend data or settings."
_IN_TIME: Final = "Send events within 7 days, and check that event_time is in Unix seconds."
_ADD_VALUE: Final = "Send value and currency with each Purchase."
_ADD_IDENTIFIERS: Final = (
    "Send more of the customer with each event: e-mail, phone, external id, fbp, fbc, or IP address with user agent."
)
_CHOOSE_LDU: Final = "State data_processing in the request, with empty options where nothing is limited."
_FEWER_ROWS: Final = "Send fewer rows in a request."
_SPENDING_LIMIT: Final = "Leave the spending limit of the ad account as it is for some hours."
_TOO_SMALL: Final = "Replace the audience or delete it, since Meta removes nobody from one so small."
_DELETED: Final = "Make the audience again, and name the new one as the destination."
_DISABLED_SHARE: Final = "Take the disabled shared audience out, or have its owner share it again."
_RAISE_VERSION: Final = "Raise graph_api.version to one that Meta's changelog still lists."
_MEND_RULE: Final = "Mend the rule of the audience."
_OTHER_SHAPE: Final = (
    "Make a new audience for this destination if this one was first filled in another way, such as by one "
    "identifier alone."
)
_TOO_LARGE: Final = "Change this audience by add and remove, since Meta replaces none of 100 million people."
_START_AGAIN: Final = "Start the replacement again from its first batch."
_ADD_REST: Final = (
    "Send the rest of the people with the action add, since the audience holds only those who came in time."
)
_COMPARE_SIZE: Final = "Compare the size of the audience with the list, and send who is missing with the action add."
_LOOKALIKES: Final = "Delete the lookalike audiences that were made from it first."
_CHECK_URL: Final = "Set graph_api.url to https://graph.facebook.com, and look for a proxy between the relay and Meta."
_LOOK_UP: Final = (
    "Look the code up in Meta's error reference, and give the fbtrace_id to Meta's support if it is not there."
)

# fmt: off
ROWS: Final[tuple[Row, ...]] = (
    # Meta could not do it this time.
    Row(1, None, TransientGraphAPIError,
        "unknown, or too much data at once", "E-graph, CA-guide", smaller=True),
    Row(1, 99, TransientGraphAPIError,
        "unknown, or too much data at once", "E-mapi, issue java 46", smaller=True),
    Row(2, None, TransientGraphAPIError, "the service is down for a moment", "E-graph"),
    # "(#803) Some of the aliases you requested do not exist: users"
    Row(803, None, TransientGraphAPIError,
        "the audience is too new, or its id is wrong", "issue ruby 124, peers"),
    Row(2650, 1870145, TransientGraphAPIError, "the audience is busy with another update", "CA-guide, peers"),
    Row(2650, 1870148, TransientGraphAPIError, "the audience is not fully updated yet", "CA-guide"),
    Row(5000, None, TransientGraphAPIError, "unknown", "E-mapi, Rud"),
    # Comes with HTTP 400.
    Row(21009, None, TransientGraphAPIError, "uploads to the dataset are not ready for a moment", "Rud"),

    # Too many calls.
    Row(4, None, RateLimitError, "too many calls of the app", "R-mapi"),
    Row(4, 1504022, RateLimitError, "too many calls of the app", "R-mapi"),
    Row(4, 1504039, RateLimitError, "too many calls of the app", "R-mapi"),
    Row(17, None, RateLimitError, "too many calls for the user or the ad account", "R-mapi"),
    Row(17, 2446079, RateLimitError, "too many calls for the ad account", "R-mapi"),
    Row(32, None, RateLimitError, "too many calls for the page", "R-graph"),
    Row(341, None, RateLimitError, "a limit of the app is reached", "E-graph"),
    Row(613, None, RateLimitError, "calls are held back as abuse prevention", "R-mapi", _ABUSE, wait=_LONG),
    # Blocked for 60 s with Full access, 300 s with Limited: which of them the app has is not known here.
    Row(613, 1487742, RateLimitError, "too many calls for the ad account", "R-mapi", wait=300.0),
    Row(613, 5044001, RateLimitError, "more than 100 changes a second", "R-mapi"),
    Row(80000, None, RateLimitError, "too many calls for insights", "R-graph"),
    Row(80001, None, RateLimitError, "too many calls for pages", "peers"),
    Row(80002, None, RateLimitError, "too many calls", "peers"),
    Row(80003, None, RateLimitError, "too many calls for the account's audiences", "R-graph", _FULL_ACCESS),
    Row(80003, 2446079, RateLimitError,
        "too many calls for the account's audiences", "R-graph", _FULL_ACCESS),
    Row(80004, None, RateLimitError, "too many calls for the management of ads", "R-graph"),
    Row(80004, 2446079, RateLimitError, "too many calls for the management of ads", "R-graph"),
    Row(80009, None, RateLimitError, "too many calls for catalogs", "R-graph"),
    Row(80014, None, RateLimitError, "too many calls for catalogs", "R-graph"),
    # Connectors give these up; Meta's pages call them temporary, so we wait, and tell a person.
    Row(368, None, RateLimitError, "blocked for a time for policy", "E-graph", _ACCOUNT_QUALITY, wait=_LONG),
    Row(None, 1404078, RateLimitError,
        "blocked for a time for policy", "E-mapi", _ACCOUNT_QUALITY, wait=_LONG),
    Row(None, 2859015, RateLimitError,
        "blocked for a time for policy", "E-mapi", _ACCOUNT_QUALITY, wait=_LONG),

    # The token.
    Row(102, None, InvalidAccessTokenError, "the session is not valid", "E-graph", _RENEW),
    Row(104, None, InvalidAccessTokenError, "the signature is wrong", "E-mapi", _CHECK_PROOF),
    Row(190, None, InvalidAccessTokenError, "the token is not valid", "E-graph, LIVE", _RENEW),
    Row(190, 458, InvalidAccessTokenError, "the token's user has removed the app", "E-graph", _REASSIGN_APP),
    Row(190, 459, InvalidAccessTokenError, "the token's user has to pass a checkpoint", "E-graph", _LOG_IN),
    Row(190, 460, InvalidAccessTokenError, "the token's user has changed the password", "E-graph", _RENEW),
    Row(190, 463, InvalidAccessTokenError, "the token has expired", "E-graph", _EXPIRED),
    Row(190, 464, InvalidAccessTokenError, "the token's user is not confirmed", "E-graph", _LOG_IN),
    Row(190, 467, InvalidAccessTokenError, "the token is malformed or revoked", "E-graph", _RENEW),
    Row(190, 492, InvalidAccessTokenError, "the token's session is not valid", "E-graph", _RENEW),

    # Permissions, assignments and terms: once a person has acted the same request passes.
    Row(3, None, MissingPermissionError, "the app lacks a capability or its tier", "E-graph", _ASK_ACCESS),
    Row(10, None, MissingPermissionError, "a permission is not granted, or withdrawn", "E-graph", _ASSIGN),
    Row(200, 1870034, MissingPermissionError,
        "the Custom Audience terms are not accepted", "E-mapi, CA-guide", _ACCEPT_TERMS),
    # Seen with code 200 and alone.
    Row(None, 1870090, MissingPermissionError,
        "the Custom Audience terms are not accepted", "E-mapi, CA-guide", _ACCEPT_TERMS),
    Row(2663, None, MissingPermissionError,
        "the Custom Audience terms are not accepted", "CA-edge", _ACCEPT_TERMS),
    Row(2664, None, MissingPermissionError,
        "the Custom Audience terms are not accepted", "CA-edge", _ACCEPT_TERMS),
    Row(None, 1870092, MissingPermissionError,
        "the Meta Business Tools terms are not accepted", "E-mapi", _ACCEPT_TOOLS_TERMS),
    Row(200, 1870050, MissingPermissionError,
        "the ad account is in no business portfolio", "CA-guide", _LINK_ACCOUNT),
    Row(270, None, MissingPermissionError,
        "the app is in development access, or its user no admin", "CA-node", _LEAVE_DEVELOPMENT),
    Row(294, None, MissingPermissionError,
        "ads_management is missing, or an allowed app", "E-mapi", _ASK_ACCESS),
    Row(2654, None, MissingPermissionError,
        "the audience could not be made", "E-mapi", _ASSIGN_ACCOUNT, vague=True),
    Row(2654, 1713092, MissingPermissionError,
        "no permission to write in the ad account", "E-mapi", _ASSIGN_ACCOUNT),
    Row(2655, None, MissingPermissionError,
        "the terms of marketing messages are not accepted", "Rud", _ACCEPT_MESSAGES_TERMS),
    Row(None, 1487301, MissingPermissionError,
        "the audience is not shared with the ad account", "Rud", _SHARE),

    # Refused for good: a parameter.
    # Also "(#100) Data is missing or does not match schema": a row is longer or shorter than the schema.
    Row(100, None, GraphAPIError, "a parameter is not valid", "E-mapi, reported", _MEND_REQUEST, vague=True),
    Row(100, 33, GraphAPIError, "object missing or no permission", "E-mapi", _ASSIGN_OR_MEND_ID),
    Row(100, 1713098, GraphAPIError, "the audience's rule is not valid JSON", "CA-guide", _MEND_RULE),
    Row(105, None, GraphAPIError, "too many parameters", "CA-users, Rud", _FEWER_ROWS, smaller=True),
    Row(194, None, GraphAPIError, "a required parameter is missing", "CA-users", _MEND_REQUEST, vague=True),
    Row(2635, None, GraphAPIError, "this version of the API is no longer served", "CA-users", _RAISE_VERSION),
    # ... an event. Meta prints no text of those that are "not valid".
    Row(100, 1815356, GraphAPIError,
        "the list of offline events is not valid", "issue offline 26", _MEND_EVENT),
    Row(100, 2804001, GraphAPIError, "an event is not valid", "Rud", _MEND_EVENT, vague=True),
    Row(100, 2804003, GraphAPIError,
        "an event is older than 7 days, so all are refused", "LIVE, Rud", _IN_TIME),
    Row(100, 2804007, GraphAPIError, "an event is not valid", "Rud", _MEND_EVENT, vague=True),
    Row(100, 2804009, GraphAPIError, "a Purchase lacks its value", "Rud", _ADD_VALUE),
    Row(100, 2804016, GraphAPIError, "an event is not valid", "Rud", _MEND_EVENT, vague=True),
    Row(100, 2804017, GraphAPIError, "an event is not valid", "Rud", _MEND_EVENT, vague=True),
    Row(100, 2804019, GraphAPIError, "an event is not valid", "Rud", _MEND_EVENT, vague=True),
    Row(100, 2804048, GraphAPIError, "an event is not valid", "Rud", _MEND_EVENT, vague=True),
    Row(100, 2804050, GraphAPIError, "an event has too few identifiers", "reported", _ADD_IDENTIFIERS),
    Row(None, 2804030, GraphAPIError, "Limited Data Use is not chosen", "issue offline 26", _CHOOSE_LDU),
    # ... an audience.
    Row(100, 1713228, GraphAPIError, "the audience is flagged and cannot be edited", "CA-node", _UNFLAG),
    Row(100, 1713230, GraphAPIError, "the audience is flagged and takes no uploads", "CA-users", _UNFLAG),
    Row(100, 1713231, GraphAPIError, "the audience is flagged and cannot be edited", "CA-node", _UNFLAG),
    Row(200, 1870047, GraphAPIError, "the audience is too small to remove people", "E-mapi", _TOO_SMALL),
    Row(None, 1487366, GraphAPIError, "the audience is deleted", "Rud", _DELETED),
    Row(None, 1870065, GraphAPIError, "it contains a disabled shared audience", "E-mapi", _DISABLED_SHARE),
    # Also "created from data source ..., which does not support ...": an audience keeps its kind of rows.
    Row(2650, None, GraphAPIError,
        "the audience could not be updated", "CA-guide, issue python 433", _OTHER_SHAPE, vague=True),
    Row(2650, 1870144, GraphAPIError, "the audience is too large to be replaced", "CA-guide", _TOO_LARGE),
    Row(2650, 1870147, GraphAPIError, "the replacement lacks its first batch", "CA-guide", _START_AGAIN),
    Row(2650, 1870158, GraphAPIError, "the replacement took more than 90 minutes", "CA-guide", _ADD_REST),
    # After a time-out on the last batch it says that Meta had taken the batch.
    Row(2650, 1870159, GraphAPIError,
        "the replacement is finished already", "CA-guide, peers", _COMPARE_SIZE),
    Row(2656, None, GraphAPIError, "lookalike audiences depend on the audience", "CA-node", _LOOKALIKES),
    # ... an account.
    Row(17, 1885172, GraphAPIError, "the spending limit was changed too often", "R-mapi", _SPENDING_LIMIT),
    Row(None, 1404163, GraphAPIError, "the account may no longer advertise", "E-mapi", _ACCOUNT_QUALITY),
)

#: For codes without a row of their own.
RANGES: Final[tuple[tuple[range, Row], ...]] = (
    (range(-(2**31), 0), Row(None, None, TransientGraphAPIError, "internal", "E-mapi")),
    (range(200, 300), Row(None, None, MissingPermissionError, "a permission is missing", "E-graph", _ASSIGN)),
    # Each business use case has one of them.
    (range(80000, 80015), Row(None, None, RateLimitError, "too many calls", "R-graph, ours")),
)

#: Code 100 whose text names `appsecret_proof`: it has no subcode, and a parameter's name is not translated.
APP_SECRET_PROOF: Final = Row(
    100, None, InvalidAccessTokenError, "appsecret_proof is missing or wrong", "reported", _CHECK_PROOF)

#: `"is_transient": true`.
TRANSIENT: Final = Row(None, None, TransientGraphAPIError, "not possible this time", "LIVE")

# What the HTTP status alone says.
_THROTTLED: Final = Row(None, None, RateLimitError, "too many calls", "peers")
_UNAVAILABLE: Final = Row(None, None, TransientGraphAPIError, "not possible this time", "issue python 141")
_UNKNOWN_OUTCOME: Final = Row(None, None, TransientGraphAPIError, "unknown outcome", "issue python 141")
_UNAUTHENTICATED: Final = Row(None, None, InvalidAccessTokenError, "the token is refused", "LIVE", _RENEW)
_FORBIDDEN: Final = Row(None, None, MissingPermissionError, "a permission is missing", "ours", _ASSIGN)
_REDIRECTED: Final = Row(None, None, GraphAPIError, "redirects are not followed", "ours", _CHECK_URL)
_UNEXPLAINED: Final = Row(None, None, GraphAPIError, "refused without a reason", "ours", _CHECK_URL)
#: Of a code that the table does not know.
_REFUSED: Final = Row(None, None, GraphAPIError, "refused", "peers", _LOOK_UP, vague=True)
# fmt: on

_BY_NUMBERS: Final[Mapping[tuple[int | None, int | None], Row]] = MappingProxyType(
    {(row.code, row.subcode): row for row in ROWS}
)


def row_of_error(
    code: int | None, subcode: int | None, *, is_transient: bool | None = None, http_status: int = 400
) -> Row:
    """
    Return the row that decides on an error object of Meta.

    First the row of both numbers, or of either that Meta states as both; then that of the code or its range,
    unless it refuses for good while Meta says *is_transient*; then *is_transient*; then the status. An
    *is_transient* of False decides nothing: an outage may say so too, and every retry comes to an end.
    """
    row = None if code is None or subcode is None else _BY_NUMBERS.get((code, subcode))
    for number in (subcode, code):
        if row is None and number is not None:
            row = _BY_NUMBERS.get((None, number))
    if row is not None:
        return row
    row = None if code is None else _row_of_code(code)
    if is_transient and (row is None or (row.error is GraphAPIError and not row.smaller)):
        return TRANSIENT
    if row is not None:
        return row
    row = row_of_status(http_status, is_json=True)
    return _REFUSED if code is not None and row in {_UNEXPLAINED, _UNKNOWN_OUTCOME} else row


def row_of_status(http_status: int, *, is_json: bool) -> Row:
    """
    Return the row that decides on an answer without an error object, or with one that says nothing.

    The Graph API refuses in JSON. A body that is none (not *is_json*) comes from something before it, and the
    next call may get through; only 401, 429 and redirects mean the same whoever sends them.
    """
    if http_status == 429:
        return _THROTTLED
    if http_status == 401:
        return _UNAUTHENTICATED
    if 300 <= http_status < 400:
        return _REDIRECTED
    if http_status == 408 or http_status >= 500:
        return _UNAVAILABLE
    if http_status < 300 or not is_json:
        return _UNKNOWN_OUTCOME
    return _FORBIDDEN if http_status == 403 else _UNEXPLAINED


def _row_of_code(code: int) -> Row | None:
    row = _BY_NUMBERS.get((code, None))
    if row is not None:
        return row
    return next((row for numbers, row in RANGES if code in numbers), None)
