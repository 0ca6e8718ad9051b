"""What is read of Meta to look after a deployment: nothing here changes anything."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final, Protocol

from lib.config import Connection
from lib.errors import GraphAPIError
from lib.graph_answers import GraphAnswer

#: Meta advises a limit of 20 where many audiences are listed (Customer File Custom Audiences, "FAQ").
_PAGE: Final = 20
#: An ad account has at most 500 customer-file audiences; the others that it lists are many more.
_MAX_PAGES: Final = 100

_AUDIENCE_FIELDS: Final = (
    "id,name,subtype,operation_status,delivery_status,approximate_count_lower_bound,approximate_count_upper_bound,"
    "time_content_updated"
)
_SESSION_FIELDS: Final = "session_id,start_time,num_received,num_matched,num_invalid_entries"
_ACCOUNT_FIELDS: Final = "account_status,disable_reason,tos_accepted"
_DATASET_FIELDS: Final = "name,is_unavailable,is_restricted_use"
#: -- https://developers.facebook.com/docs/marketing-api/conversions-api/dataset-quality-api
_QUALITY_FIELDS: Final = (
    "web{event_name,event_match_quality{composite_score},event_coverage{percentage,goal_percentage},"
    "data_freshness{upload_frequency}}"
)
#: The subtype of an audience that is made of customer files.
_CUSTOMER_FILE: Final = "CUSTOM"


class Reads(Protocol):
    """Reads of Meta, as `GraphAPI` does."""

    def read(self, path: str, parameters: Mapping[str, str], connection: Connection) -> GraphAnswer:
        """
        Return what is there.

        Raises:
            RelayError: It cannot be read.
        """


def read_me(api: Reads, connection: Connection) -> Mapping[str, Any]:
    """Read who the token stands for: any good token may."""
    return api.read("me", {"fields": "id"}, connection).body


def read_account(api: Reads, connection: Connection) -> Mapping[str, Any]:
    """Read the connection's ad account: its status and the terms that are accepted for it."""
    return api.read(f"act_{connection.ad_account_id}", {"fields": _ACCOUNT_FIELDS}, connection).body


def read_dataset(api: Reads, connection: Connection) -> Mapping[str, Any]:
    """Read the connection's dataset."""
    return api.read(f"{connection.dataset_id}", {"fields": _DATASET_FIELDS}, connection).body


def read_quality(api: Reads, connection: Connection) -> Mapping[str, Any]:
    """Read the quality of the events of the connection's dataset."""
    parameters = {"dataset_id": f"{connection.dataset_id}", "fields": _QUALITY_FIELDS}
    return api.read("dataset_quality", parameters, connection).body


def list_audiences(
    api: Reads, connection: Connection, *, fields: str = _AUDIENCE_FIELDS, limit: int = _PAGE
) -> Iterator[Mapping[str, Any]]:
    """Yield the customer-file audiences of the connection's ad account, *limit* or fewer in a call."""
    parameters = {"fields": fields, "limit": str(limit)}
    for _ in range(_MAX_PAGES):
        try:
            page = api.read(f"act_{connection.ad_account_id}/customaudiences", parameters, connection).body
        except GraphAPIError as error:
            # "Please reduce the amount of data you're asking for"
            if not error.smaller or limit <= _PAGE:
                raise
            limit = max(_PAGE, limit // 2)
            parameters["limit"] = str(limit)
            continue
        yield from (one for one in _listed(page) if one.get("subtype") == _CUSTOMER_FILE)
        after = _next(page)
        if after is None:
            return
        parameters["after"] = after


def last_session(api: Reads, connection: Connection, audience_id: str) -> Mapping[str, Any] | None:
    """Return the audience's last upload session, None where it has none."""
    sessions = _listed(api.read(f"{audience_id}/sessions", {"fields": _SESSION_FIELDS}, connection).body)
    return max(sessions, key=_started, default=None)


def _next(page: Mapping[str, Any]) -> str | None:
    """Return where the next page begins, None after the last; its address is left alone, since it holds the token."""
    paging = page.get("paging")
    if not isinstance(paging, dict) or not paging.get("next"):
        return None
    cursors = paging.get("cursors")
    return cursors.get("after") if isinstance(cursors, dict) else None


def _listed(page: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    data = page.get("data")
    return [one for one in data if isinstance(one, dict)] if isinstance(data, list) else []


def _started(session: Mapping[str, Any]) -> int:
    """Return when a session began, in Unix seconds, which Meta writes as text."""
    stated = str(session.get("start_time", ""))
    return int(stated) if stated.isdecimal() else 0
