"""
An event of server-side Google Tag Manager -> one of Meta's server events.

-- https://developers.facebook.com/docs/marketing-api/conversions-api/parameters/server-event
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, Final

import orjson

from lib import action_sources, data_processing
from lib.app_data import build_app_data
from lib.cells import as_text
from lib.common_event import CommonEvent, Paths
from lib.custom_data import build_custom_data
from lib.data_processing import DataProcessing
from lib.event_names import EVENT_NAMES, LONGEST_CUSTOM_NAME, STANDARD_EVENTS
from lib.event_times import event_time, unix_seconds
from lib.event_values import as_mapping, first, from_json_text, says_nothing, stated_values
from lib.faults import Faults
from lib.normalization import UnusableValueError, clean
from lib.personal import PERSONAL, holds_contact, without_identifiers
from lib.products import ProductSchema
from lib.report import Report
from lib.us_privacy import US_PRIVACY_KEYS, opts_out_of_sale
from lib.user_data import why_unusable


@dataclass(frozen=True, slots=True, kw_only=True)
class EventPolicy:
    """
    What is common to the events of a request.

    Args:
        now: Unix seconds, the time of an event that states none. A redelivery has to hand in the same.
        seed: Tells this request from another with the same content, the message's id for example; a redelivery has
            to hand in the same. Only an event without an id of its own needs it.
        products: How the caller says that its products are written; None for GA4's items.
        default_currency: The connection's.
        data_processing: The request's own; None leaves it to the event.
    """

    now: int
    seed: str
    products: ProductSchema | None = None
    default_currency: str | None = None
    data_processing: DataProcessing | None = None


_ORIGINAL: Final = ("event_name", "event_time", "order_id", "event_id")
_ORIGINAL_PLACES: Final = frozenset({"original_event_data", *(f"original_event_data.{key}" for key in _ORIGINAL)})
_TIME_PATHS: Final = {
    "event_time": ("event_time",),
    "observed": ("timestamp", "x-sst-system_properties.request_start_time_ms"),
}
_TIMES: Final = Paths(_TIME_PATHS)
_PATHS: Final = Paths(
    _TIME_PATHS
    | {
        "event_name": ("event_name",),
        "event_id": (
            "event_id", "transaction_id", "ecommerce.transaction_id", "ecommerce.purchase.actionField.id",
            "x-ga-mp2-data[transaction_id]",
        ),
        "action_source": ("action_source",),
        "event_source_url": ("event_source_url", "page_location"),
        "referrer_url": ("referrer_url", "page_referrer"),
        "opt_out": ("opt_out",),
        "messaging_channel": ("messaging_channel",),
        "original_event_data": ("original_event_data",),
        **{f"original_event_data.{key}": (f"original_event_data.{key}",)
           for key in _ORIGINAL},
        "data_processing_options": ("data_processing_options",),
        "data_processing_options_country": ("data_processing_options_country",),
        "data_processing_options_state": ("data_processing_options_state",),
        "us_privacy": US_PRIVACY_KEYS,
    }
)  # fmt: skip

Stated = Mapping[str, Sequence[object]]


def build_server_event(
    event: CommonEvent,
    policy: EventPolicy,
    *,
    overrides: Mapping[str, object],
    user_data: Mapping[str, Any],
    report: Report,
    row: int,
) -> dict[str, Any] | None:
    """
    Return the server event, its keys in the order of Meta's documentation and none of them empty.

    None means that it cannot be sent; *report* then holds one rejected row, with every reason there is.

    Args:
        event: The event as it came.
        policy: What is common to the request.
        overrides: The caller's own values, in Meta's keys; each wins over what the event states.
        user_data: Meta's user_data as it would leave, normalized and hashed; it is not changed.
        report: Takes rejects and warnings.
        row: The index of the event in the request.
    """
    faults = Faults()
    server_event = _server_event(event, policy, overrides, user_data, faults)
    faults.hand_over(report, row)
    return None if faults.refused else server_event


def _server_event(
    event: CommonEvent,
    policy: EventPolicy,
    overrides: Mapping[str, object],
    user_data: Mapping[str, Any],
    faults: Faults,
) -> dict[str, Any]:
    stated = stated_values(_PATHS, event)
    nothing: Sequence[object] = ()
    source = action_sources.action_source(overrides.get("action_source"), stated.get("action_source", nothing), faults)
    is_messaging = source == "business_messaging"
    name = _event_name(overrides.get("event_name"), stated, faults)
    built: dict[str, Any] = {
        "event_name": name,
        "event_time": _event_time(
            overrides, stated, now=policy.now, max_days=action_sources.max_days(source), faults=faults
        ),
        "user_data": _user_data(user_data, is_messaging=is_messaging, faults=faults),
        "custom_data": build_custom_data(
            event,
            overrides.get("custom_data"),
            event_name=name,
            products=policy.products,
            default_currency=policy.default_currency,
            faults=faults,
        ),
        "event_source_url": _page(overrides, stated, faults, is_website=source == "website"),
        "opt_out": _opt_out(first(overrides.get("opt_out"), stated.get("opt_out", nothing)), faults),
        "event_id": _event_id(event, overrides, stated.get("event_id", nothing), policy.seed, faults),
        "action_source": source,
        **_data_processing(policy.data_processing, stated, faults),
        "referrer_url": _url("referrer_url", overrides, stated, faults),
        "app_data": _app_data(event, overrides.get("app_data"), source, faults),
        "original_event_data": _original_event_data(overrides.get("original_event_data"), stated, faults),
        "messaging_channel": None,
    }
    if is_messaging:
        built["messaging_channel"] = action_sources.messaging_channel(
            overrides.get("messaging_channel"), stated.get("messaging_channel", nothing), faults
        )
        built |= dict.fromkeys(action_sources.NOT_IN_BUSINESS_MESSAGING)
    # What is 0 or false says something.
    server_event = {key: value for key, value in built.items() if value or value == 0}
    if name is not None:
        action_sources.check(server_event, faults)
    return server_event


def time_of_event(event: CommonEvent, overrides: Mapping[str, object], *, now: int) -> int:
    """Return the `event_time` that `build_server_event` gives, for what needs it before: a new fbc."""
    return _event_time(overrides, stated_values(_TIMES, event), now=now, max_days=0, faults=Faults())


def _event_time(overrides: Mapping[str, object], stated: Stated, *, now: int, max_days: int, faults: Faults) -> int:
    return event_time(
        overrides.get("event_time"),
        stated=stated.get("event_time", ()),
        observed=stated.get("observed", ()),
        now=now,
        max_days=max_days,
        faults=faults,
    )


def _event_name(override: object, stated: Stated, faults: Faults) -> str | None:
    """Return Meta's name; the caller's own is Meta's already."""
    value = first(override, stated.get("event_name", ()))
    name = clean(value) if isinstance(value, str) else ""
    if not name:
        faults.refuse("event_name", "missing" if value is None else "not a text")
        return None
    if holds_contact(name):
        faults.refuse("event_name", PERSONAL)
        return None
    if says_nothing(override):
        name = EVENT_NAMES.get(name, name)
    if len(name) > LONGEST_CUSTOM_NAME and name not in STANDARD_EVENTS:
        faults.warn("event_name", f"longer than {LONGEST_CUSTOM_NAME} characters, the most that Meta takes")
    return name


def _event_id(
    event: CommonEvent, overrides: Mapping[str, object], stated: Sequence[object], seed: str, faults: Faults
) -> str:
    """Return the id in its own case; where none is stated one that derives from the content and *seed*."""
    for value in (overrides.get("event_id"), *stated):
        text = clean(as_text(value) or "")
        if text and holds_contact(text):
            faults.empty("event_id", PERSONAL)
        elif text:
            return text
    content = {"event": event.data, "overrides": overrides, "seed": seed}
    try:
        canonical = orjson.dumps(content, option=orjson.OPT_SORT_KEYS)
    except TypeError:  # numbers beyond 64 bits
        canonical = json.dumps(content, sort_keys=True).encode()
    return sha256(canonical).hexdigest()[:_DERIVED_LENGTH]


#: Hexadecimal digits: as many as a UUID has, and no SHA-256 that somebody could take for a person's.
_DERIVED_LENGTH: Final = 32

_HTTP = re.compile(r"https?://[^/]", re.IGNORECASE)


def _url(key: str, overrides: Mapping[str, object], stated: Stated, faults: Faults) -> str | None:
    """Return an address as it is, but for what identifies a person in it."""
    value = first(overrides.get(key), stated.get(key, ()))
    if value is None:
        return None
    if not isinstance(value, str):
        faults.empty(key, "not a text")
        return None
    url = clean(value)
    kept = without_identifiers(url)
    if kept != url:
        faults.warn(key, "parts that look like an identifier of a person are left out")
    return kept


def _page(overrides: Mapping[str, object], stated: Stated, faults: Faults, *, is_website: bool) -> str | None:
    """Return where the event happened; on a website that is an address of the web."""
    url = _url("event_source_url", overrides, stated, faults)
    if url and is_website and not _HTTP.match(url):
        faults.empty("event_source_url", "not an http or https address")
        return None
    return url


_TRUE: Final = frozenset({"true", "1", "yes"})
_FALSE: Final = frozenset({"false", "0", "no"})


def _opt_out(value: object, faults: Faults) -> bool | None:
    """Read words, never truthiness; what nobody understands keeps the event out of ads delivery, too."""
    if value is None:
        return None
    word = clean(str(value)).casefold() if isinstance(value, str | int | float) else ""
    if word in {*_TRUE, "1.0"}:
        return True
    if word in {*_FALSE, "0.0"}:
        return False
    faults.warn("opt_out", "not true or false; sent as true")
    return True


_LDU: Final = "LDU"
_DATA_PROCESSING_PLACES: Final = frozenset({"data_processing_options", "us_privacy"})


def _data_processing(wanted: DataProcessing | None, stated: Stated, faults: Faults) -> dict[str, Any]:
    """Return Meta's three keys; none of them where nothing limits the use of the event."""
    if wanted is None and _DATA_PROCESSING_PLACES.isdisjoint(stated):
        return {}
    chosen = wanted if wanted is not None else _stated_data_processing(stated, faults)
    if not chosen.options:
        return {}
    # "required if country set": a state is one of the United States.
    country = 1 if chosen.state else chosen.country
    return {
        "data_processing_options": list(chosen.options),
        "data_processing_options_country": country,
        "data_processing_options_state": chosen.state,
    }


def _stated_data_processing(stated: Stated, faults: Faults) -> DataProcessing:
    key = "data_processing_options"
    opted_out = any(map(opts_out_of_sale, stated.get("us_privacy", ())))
    options = []
    if key in stated:
        read = data_processing.options_of(from_json_text(stated[key][0]))
        if read is None:
            faults.warn(key, "not understood; sent as LDU")
        options = [_LDU] if read is None else read
    if opted_out:
        options = [_LDU]
    if not options:
        return DataProcessing()
    country = _place(f"{key}_country", data_processing.country_number, stated, faults)
    state = _place(f"{key}_state", data_processing.state_number, stated, faults)
    return DataProcessing(tuple(options), country, state)


def _place(key: str, read: Callable[[object], int | None], stated: Stated, faults: Faults) -> int:
    if key not in stated:
        return 0
    number = read(stated[key][0])
    if number is None:
        faults.warn(key, "not understood; sent as 0, with which Meta looks for the place itself")
    return number or 0


def _app_data(event: CommonEvent, override: object, source: str, faults: Faults) -> dict[str, Any] | None:
    if source == "app":
        return build_app_data(event, override, faults)
    if not says_nothing(override):
        faults.empty("app_data", "belongs to events whose action_source is app")
    return None


def _original_event_data(override: object, stated: Stated, faults: Faults) -> dict[str, Any]:
    """Return what ties a late event to the one that it is about."""
    field = "original_event_data"
    if override is None and _ORIGINAL_PLACES.isdisjoint(stated):
        return {}
    wanted = as_mapping(override)
    of_event = as_mapping(first(None, stated.get(field, ())))
    found: dict[str, Any] = {}
    for key in _ORIGINAL:
        value = first(wanted.get(key), [*stated.get(f"{field}.{key}", ()), of_event.get(key)])
        if says_nothing(value):
            continue
        try:
            found[key] = unix_seconds(value) if key == "event_time" else _plain_text(value)
        except UnusableValueError as error:
            faults.empty(f"{field}.{key}", str(error))
    if (name := found.get("event_name")) is not None:
        found["event_name"] = EVENT_NAMES.get(name, name)
    return found


def _plain_text(value: object) -> str:
    text = clean(as_text(value) or "")
    if not text or holds_contact(text):
        raise UnusableValueError(PERSONAL if text else "neither text nor number")
    return text


def _user_data(user_data: Mapping[str, Any], *, is_messaging: bool, faults: Faults) -> dict[str, Any]:
    """Return what may leave from there, and refuse what names nobody, or nobody well enough for Meta."""
    kept = {key: value for key, value in user_data.items() if value}
    if is_messaging:
        for key in action_sources.NOT_IN_BUSINESS_MESSAGING_USER:
            kept.pop(key, None)
    if reason := why_unusable(kept):
        faults.refuse("user_data", reason)
    return kept
