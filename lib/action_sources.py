"""
Where an event happened, and what Meta wants to know of one from there.

-- https://developers.facebook.com/docs/marketing-api/conversions-api/parameters/server-event
-- https://developers.facebook.com/documentation/ads-commerce/conversions-api/app-events
-- https://developers.facebook.com/documentation/ads-commerce/conversions-api/business-messaging
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from lib.event_times import MAX_DAYS, MAX_DAYS_PHYSICAL_STORE
from lib.event_values import first
from lib.faults import Faults
from lib.normalization import clean

ACTION_SOURCES: Final = (
    "email",
    "website",
    "app",
    "phone_call",
    "chat",
    "physical_store",
    "system_generated",
    "business_messaging",
    "other",
)
DEFAULT: Final = "website"
MESSAGING_CHANNELS: Final = ("messenger", "whatsapp", "instagram")

#: The events that business messaging knows. Meta does not deduplicate them.
BUSINESS_MESSAGING_EVENTS: Final = frozenset(
    {
        "Purchase", "LeadSubmitted", "InitiateCheckout", "AddToCart", "ViewContent", "OrderCreated", "OrderShipped",
        "OrderDelivered", "OrderCanceled", "OrderReturned", "CartAbandoned", "QualifiedLead", "RatingProvided",
        "ReviewProvided",
    }
)  # fmt: skip

#: What an event of business messaging must not carry: there is no page, and no browser.
NOT_IN_BUSINESS_MESSAGING: Final = ("event_source_url", "referrer_url")
NOT_IN_BUSINESS_MESSAGING_USER: Final = ("client_ip_address", "client_user_agent", "fbc", "fbp")


@dataclass(frozen=True, slots=True, kw_only=True)
class Need:
    """
    Something that an event from somewhere has to hold.

    Args:
        field: Where in the server event.
        also: Other places that are as good.
        reason: What is said where it is missing.
        is_refused: Whether Meta refuses the event without it; else it takes it, and this is a warning.
        channel: The one messaging channel that wants it; None for any.
    """

    field: str
    also: tuple[str, ...] = ()
    reason: str
    is_refused: bool = False
    channel: str | None = None


#: What each wants beside event_name, event_time, user_data and action_source, which all do.
NEEDS: Final[Mapping[str, tuple[Need, ...]]] = {
    "website": (
        Need(field="event_source_url", reason="a website event should have one"),
        Need(field="user_data.client_user_agent", reason="a website event should have one"),
    ),
    "app": (
        Need(
            field="app_data.extinfo",
            reason="an app event needs the platform (a2 or i2) and the version of the operating system",
            is_refused=True,
        ),
    ),
    "business_messaging": (
        Need(field="messaging_channel", reason="needed: " + ", ".join(MESSAGING_CHANNELS), is_refused=True),
        Need(field="user_data.page_id", reason="an event of Messenger should have one", channel="messenger"),
        Need(
            field="user_data.page_scoped_user_id", reason="an event of Messenger should have one", channel="messenger"
        ),
        Need(
            field="user_data.whatsapp_business_account_id",
            reason="an event of WhatsApp should have one",
            channel="whatsapp",
        ),
        Need(field="user_data.ctwa_clid", reason="an event of WhatsApp should have one", channel="whatsapp"),
        Need(
            field="user_data.ig_account_id",
            also=("user_data.instagram_business_account_id",),
            reason="an event of Instagram should have one",
            channel="instagram",
        ),
        Need(field="user_data.ig_sid", reason="an event of Instagram should have one", channel="instagram"),
    ),
}


def action_source(override: object, stated: Sequence[object], faults: Faults) -> str:
    """Return one of Meta's nine, `website` where nothing is stated; any other is refused."""
    return _one_of(ACTION_SOURCES, first(override, stated), "action_source", faults) or DEFAULT


def messaging_channel(override: object, stated: Sequence[object], faults: Faults) -> str | None:
    """Return one of Meta's three, None where nothing is stated; any other is refused."""
    return _one_of(MESSAGING_CHANNELS, first(override, stated), "messaging_channel", faults)


def _one_of(choices: Sequence[str], value: object, field: str, faults: Faults) -> str | None:
    if value is None:
        return None
    word = clean(value).lower() if isinstance(value, str) else ""
    if word not in choices:
        faults.refuse(field, "not one of " + ", ".join(choices))
        return None
    return word


def max_days(source: str) -> int:
    """Return how old an event from there may be."""
    return MAX_DAYS_PHYSICAL_STORE if source == "physical_store" else MAX_DAYS


def check(server_event: Mapping[str, Any], faults: Faults) -> None:
    """Tell *faults* what the event's action source wants and it lacks."""
    source = server_event["action_source"]
    for need in NEEDS.get(source, ()):
        if need.channel is not None and need.channel != server_event.get("messaging_channel"):
            continue
        if not (_holds(server_event, need.field) or any(_holds(server_event, field) for field in need.also)):
            note = faults.refuse if need.is_refused else faults.warn
            note(need.field, need.reason)
    if source == "business_messaging" and server_event["event_name"] not in BUSINESS_MESSAGING_EVENTS:
        faults.warn("event_name", "not one of the events that business messaging knows")


def _holds(server_event: Mapping[str, Any], field: str) -> bool:
    key, _, inner = field.partition(".")
    value = server_event.get(key)
    return bool(value.get(inner) if inner and value else value)
