"""
What Meta documents about the events of one request: POST /{dataset_id}/events.

Sources, by the keys of the reference notes: C-use is the page "Using the API", P-event, P-std, P-app and P-cust the
parameters of server events, C-best "Best Practices", C-appev "App Events", C-bm "Business Messaging", C-off "Offline
Events", C-dedup "Deduplicate Pixel and Server Events" (all under developers.facebook.com, Conversions API); LIVE is
what Meta's own servers answered, Rud and "integrator" what others report.

What nobody has documented is marked UNVERIFIED where it stands. Stricter than Meta on purpose, as `violations`: keys
that Meta does not name, and identifiers in plain sight.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from tests.local.graph_payload import InvalidParameterError

Event = Mapping[str, Any]

MAX_EVENTS: Final = 1_000  # "You can send up to 1,000 events in data." (C-use)
_DAY: Final = 86_400
# "If any event_time in data is greater than 7 days in the past, we return an error for the entire request" (C-use);
# "should upload within 62 days" (C-off), whose refusal with the same subcode is UNVERIFIED.
MAX_AGE: Final = 7 * _DAY
MAX_AGE_PHYSICAL_STORE: Final = 62 * _DAY

# Subcodes of 100.
TOO_OLD: Final = 2804003  # LIVE
NO_VALUE: Final = 2804009  # Rud
NO_CUSTOMER: Final = 2804050  # integrator
OTHER: Final = 2804019  # Rud; exact meaning UNVERIFIED

ENVELOPE_KEYS: Final = frozenset(  # C-use, and adspixel.py of the Python SDK
    [
        "data",
        "test_event_code",
        "partner_agent",
        "upload_tag",
        "namespace_id",
        "upload_id",
        "upload_source",
        "trace",
        "progress",
        "platforms",
    ]
)
EVENT_KEYS: Final = frozenset(  # P-event
    [
        "event_name",
        "event_time",
        "user_data",
        "custom_data",
        "event_source_url",
        "opt_out",
        "event_id",
        "action_source",
        "data_processing_options",
        "data_processing_options_country",
        "data_processing_options_state",
        "referrer_url",
        "app_data",
        "original_event_data",
        "customer_segmentation",
        "attribution_data",
        "messaging_channel",
    ]
)
HASHED: Final = frozenset(["em", "ph", "fn", "ln", "ct", "st", "zp", "country", "ge", "db"])  # P-cust
PLAIN: Final = frozenset(  # P-cust, C-bm
    [
        "client_ip_address",
        "client_user_agent",
        "fbc",
        "fbp",
        "subscription_id",
        "fb_login_id",
        "lead_id",
        "anon_id",
        "madid",
        "page_id",
        "page_scoped_user_id",
        "ctwa_clid",
        "ig_account_id",
        "instagram_business_account_id",
        "ig_sid",
        "whatsapp_business_account_id",
        "partner_id",
        "partner_name",
    ]
)
USER_KEYS: Final = HASHED | PLAIN | {"external_id"}
APP_KEYS: Final = frozenset(  # P-app
    [
        "advertiser_tracking_enabled",
        "application_tracking_enabled",
        "extinfo",
        "campaign_ids",
        "install_referrer",
        "installer_package",
        "url_schemes",
        "vendor_id",
        "windows_attribution_id",
    ]
)
ACTION_SOURCES: Final = frozenset(  # P-event
    [
        "email",
        "website",
        "app",
        "phone_call",
        "chat",
        "physical_store",
        "system_generated",
        "business_messaging",
        "other",
    ]
)
MESSAGING_CHANNELS: Final = frozenset(["messenger", "whatsapp", "instagram"])  # C-bm
# "Invalid combinations" (C-best): an event is refused whose user_data holds nothing beyond one of these. That IP and
# user agent alone are refused is one integrator's word against Meta's own sample (C-use): UNVERIFIED, so they pass.
NOT_ENOUGH: Final = (
    frozenset(["ct", "country", "st", "zp", "ge", "client_user_agent"]),
    frozenset(["db", "client_user_agent"]),
    frozenset(["fn", "ge"]),
    frozenset(["ln", "ge"]),
)
EXTINFO_SLOTS: Final = 16  # P-app
_PLATFORMS: Final = frozenset(["a2", "i2"])
_OS_VERSION: Final = 4

# SHA-256 in lower-case hex, and behind it the mark of Meta's Parameter Builder where it has one.
_DIGEST: Final = re.compile(r"[0-9a-f]{64}(?:\.(?:[A-Za-z0-9_-]{8}|AQ|Ag|Aw|BA|BQ|Bg))?")
_CURRENCY: Final = re.compile(r"[A-Za-z]{3}")  # ISO 4217; "usd" stands in Meta's own sample (P-std, LIVE)
_NUMBER: Final = re.compile(r"[0-9]+(?:\.[0-9]+)?")  # "142.52" stands in Meta's own sample (C-use)


class InvalidEventError(InvalidParameterError):
    """Meta's error 100 for the whole request, because of one of its events."""

    def __init__(self, title: str, subcode: int | None = None) -> None:
        super().__init__("Invalid parameter")
        self.title = title
        self.subcode = subcode


def parse_events(body: object, *, now: float) -> list[Event]:
    """
    Return the events of a request, if Meta would take every one of them.

    Args:
        body: The request's body.
        now: Unix seconds.

    Raises:
        InvalidParameterError: "If any event you send in a batch is invalid, we reject the entire batch." (C-use)
    """
    if not isinstance(body, dict) or not isinstance(body.get("data"), list) or not body["data"]:
        raise InvalidParameterError("(#100) The parameter data is required")
    events: list[Event] = body["data"]
    if len(events) > MAX_EVENTS:
        raise InvalidParameterError(f"(#100) Param data must have at most {MAX_EVENTS} elements")
    for key in ("test_event_code", "partner_agent"):
        if not isinstance(body.get(key, ""), str):
            raise InvalidParameterError(f"(#100) Param {key} must be a string")
    for event in events:
        _check(event, now)
    return events


def _check(event: object, now: float) -> None:
    if not isinstance(event, dict):
        raise InvalidEventError("An event is not an object")
    for key, is_valid in _KEYS.items():
        if key in event and not is_valid(event[key]):
            raise InvalidEventError(f"The parameter {key} is not valid")
    for key in ("event_name", "event_time", "user_data", "action_source"):
        if not event.get(key):
            raise InvalidEventError(f"The parameter {key} is required", NO_CUSTOMER if key == "user_data" else None)
    _check_time(event, now)
    _check_user_data(event["user_data"])
    _check_custom_data(event.get("custom_data", {}), event["event_name"])
    _check_data_processing(event)
    _NEEDS.get(event["action_source"], _no_check)(event)


def _no_check(_event: Event) -> None:
    """Accept an event from elsewhere: a website event passes without its URL and user agent, too (LIVE)."""


def _check_time(event: Event, now: float) -> None:
    most = MAX_AGE_PHYSICAL_STORE if event["action_source"] == "physical_store" else MAX_AGE
    if now - event["event_time"] > most:
        raise InvalidEventError("Event Timestamp Too Old", TOO_OLD)
    # UNVERIFIED: how far ahead Meta lets a clock be (one integrator says an hour). This project sends none at all.
    if event["event_time"] > now:
        raise InvalidEventError("Event Timestamp in the Future", OTHER)


def _check_user_data(user_data: Event) -> None:
    stated = {key for key, value in user_data.items() if value}
    if not stated or any(stated <= combination for combination in NOT_ENOUGH):
        raise InvalidEventError("Insufficient Customer Information", NO_CUSTOMER)
    for key in stated & HASHED:
        # UNVERIFIED: whether Meta refuses what is not hashed, or takes it and finds nobody.
        if not all(map(_is_digest, _values(user_data[key]))):
            raise InvalidEventError(f"user_data.{key} is not hashed", OTHER)
    for key in stated & PLAIN:
        if not isinstance(user_data[key], str | int) or isinstance(user_data[key], bool):
            raise InvalidEventError(f"user_data.{key} must be a string", OTHER)
    if not all(map(_is_text, _values(user_data.get("external_id", "")))):
        raise InvalidEventError("user_data.external_id must be strings", OTHER)


def _check_custom_data(custom_data: Event, event_name: str) -> None:
    """Only a Purchase has required keys (P-std); what else is there has to be of its kind."""
    for key, is_valid in _CUSTOM_KEYS.items():
        if key in custom_data and not is_valid(custom_data[key]):
            raise InvalidEventError(f"custom_data.{key} is not valid", OTHER)
    if event_name == "Purchase" and "value" not in custom_data:
        raise InvalidEventError("Missing Value for Purchase Event", NO_VALUE)
    if event_name == "Purchase" and "currency" not in custom_data:
        raise InvalidEventError("Missing Currency for Purchase Event", OTHER)  # required (P-std); subcode UNVERIFIED


def _check_data_processing(event: Event) -> None:
    """A country is required with LDU, and a state with a country (P-event); what Meta answers else is UNVERIFIED."""
    numbers = ("data_processing_options_country", "data_processing_options_state")
    if event.get("data_processing_options") and any(key not in event for key in numbers):
        raise InvalidEventError("Country and state are required with LDU", OTHER)


def _check_app(event: Event) -> None:
    app_data = event.get("app_data", {})
    if not _is_flag(app_data.get("advertiser_tracking_enabled")):
        raise InvalidEventError("app_data.advertiser_tracking_enabled is required")
    extinfo = app_data.get("extinfo")
    if not isinstance(extinfo, list) or len(extinfo) != EXTINFO_SLOTS or not all(map(_is_text, extinfo)):
        raise InvalidEventError("app_data.extinfo must be an array of 16")
    if extinfo[0] not in _PLATFORMS or not extinfo[_OS_VERSION]:
        raise InvalidEventError("app_data.extinfo lacks the platform or the version of its operating system")


def _check_business_messaging(event: Event) -> None:
    if "messaging_channel" not in event:
        raise InvalidEventError("The parameter messaging_channel is required")


_NEEDS: Final[Mapping[str, Callable[[Event], None]]] = {
    "app": _check_app,
    "business_messaging": _check_business_messaging,
}


def _values(value: object) -> list[object]:
    return value if isinstance(value, list) else [value]


def _is_digest(value: object) -> bool:
    return isinstance(value, str) and _DIGEST.fullmatch(value) is not None


def _is_text(value: object) -> bool:
    return isinstance(value, str)


def _is_object(value: object) -> bool:
    return isinstance(value, dict)


def _is_integer(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_flag(value: object) -> bool:
    return _is_integer(value) and value in {0, 1}


def _is_one_of(choices: frozenset[str]) -> Callable[[object], bool]:
    return lambda value: isinstance(value, str) and value in choices


def _is_number(value: object) -> bool:
    if isinstance(value, str):
        return _NUMBER.fullmatch(value) is not None
    return isinstance(value, int | float) and not isinstance(value, bool)


def _are_texts(value: object) -> bool:
    return isinstance(value, list) and all(map(_is_text, value))


def _are_contents(value: object) -> bool:
    """Tell whether each content has an id, and a whole number of it where it says how many (P-std)."""
    return isinstance(value, list) and all(
        isinstance(content, dict)
        and isinstance(content.get("id"), str)
        and content["id"] != ""
        and _is_integer(content.get("quantity", 1))
        and _is_number(content.get("item_price", 0))
        for content in value
    )


_KEYS: Final[Mapping[str, Callable[[Any], bool]]] = {
    "event_name": _is_text,
    "event_time": _is_integer,
    "user_data": _is_object,
    "custom_data": _is_object,
    "event_source_url": _is_text,
    "opt_out": lambda value: isinstance(value, bool),
    "event_id": _is_text,
    "action_source": _is_one_of(ACTION_SOURCES),
    "data_processing_options": lambda value: value in (["LDU"], []),
    "data_processing_options_country": _is_flag,
    "data_processing_options_state": _is_integer,
    "referrer_url": _is_text,
    "app_data": _is_object,
    "original_event_data": _is_object,
    "messaging_channel": _is_one_of(MESSAGING_CHANNELS),
}
_CUSTOM_KEYS: Final[Mapping[str, Callable[[Any], bool]]] = {
    "value": _is_number,
    "currency": lambda value: isinstance(value, str) and _CURRENCY.fullmatch(value) is not None,
    "contents": _are_contents,
    "content_ids": _are_texts,
    "content_type": _is_text,
    "num_items": _is_integer,
}


def event_violations(body: object) -> Iterator[str]:
    """Yield what Meta may take and this project must not send: keys that nobody documents, identifiers unhashed."""
    if not isinstance(body, dict):
        return
    yield from (f"body key {key}" for key in body.keys() - ENVELOPE_KEYS)
    data = body.get("data")
    for event in data if isinstance(data, list) else ():
        if isinstance(event, dict):
            yield from (f"event key {key}" for key in event.keys() - EVENT_KEYS)
            yield from _inner_violations(event, "user_data", USER_KEYS)
            yield from _inner_violations(event, "app_data", APP_KEYS)
            for key, value in _object_at(event, "user_data").items():
                if key in HASHED and not all(map(_is_digest, _values(value))):
                    yield f"user_data.{key} is not hashed"


def _inner_violations(event: Event, name: str, known: frozenset[str]) -> Iterator[str]:
    yield from (f"event key {name}.{key}" for key in _object_at(event, name).keys() - known)


def _object_at(event: Event, name: str) -> Event:
    inner = event.get(name)
    return inner if isinstance(inner, dict) else {}


@dataclass(slots=True)
class Dataset:
    """
    One dataset (or pixel) and the events that Meta has kept of those that it got.

    Args:
        received: How many it got, those that it has known included.
    """

    dataset_id: str
    account: str
    received: int = 0
    events: list[Event] = field(default_factory=list, repr=False)
    _first_seen: dict[tuple[object, ...], float] = field(default_factory=dict, repr=False)

    def add(self, events: list[Event], now: float) -> None:
        """Keep those of *events* that are new."""
        for event in events:
            self.received += 1
            window, *key = _identity(event)
            first_seen = self._first_seen.get(tuple(key))
            if window and first_seen is not None and now - first_seen <= window:
                continue
            self._first_seen[tuple(key)] = now
            self.events.append(event)


def _identity(event: Event) -> tuple[Any, ...]:
    """
    Return for how many seconds an event's equal is discarded, and what makes it its equal (C-dedup, C-off, C-bm).

    The page speaks of a pixel's event and a server's; that two of a server's count as one is UNVERIFIED.
    """
    name = event["event_name"]
    if event["action_source"] == "business_messaging":
        return 0, id(event)
    if event["action_source"] == "physical_store":
        custom_data = event.get("custom_data", {})
        who = custom_data.get("order_id") or sorted(map(str, event["user_data"].items()))
        return 7 * _DAY, "offline", event["event_time"], name, custom_data.get("item_number"), str(who)
    if "event_id" not in event:
        return 0, id(event)
    return 2 * _DAY, name, event["event_id"]
