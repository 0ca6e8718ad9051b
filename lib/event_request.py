"""The body of `/events` -> frozen values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from lib.common_event import CommonEvent
from lib.errors import InvalidRequestError
from lib.products import ProductSchema, parse_products
from lib.relay_request import (
    MAX_DESTINATIONS,
    Asked,
    Options,
    parse_anonymous_id,
    parse_connection,
    parse_id,
    parse_options,
    parse_recognise,
)

#: With none of these a body is itself the event.
_KEYS: Final = frozenset(
    {
        "connection", "event_data", "events", "event", "consent", "destinations", "products", "cookies", "identity",
        "optimistic", "debug", "dry_run", "data_processing",
    }
)  # fmt: skip
#: What `event` may override.
_OVERRIDES: Final = frozenset(
    {
        "event_name", "event_time", "event_id", "action_source", "event_source_url", "referrer_url", "opt_out",
        "user_data", "custom_data", "app_data", "original_event_data", "messaging_channel", "test_event_code",
    }
)  # fmt: skip
_OBJECTS: Final = ("user_data", "custom_data", "app_data", "original_event_data")
#: `_fbi` is where Meta's Parameter Builder keeps the address that the browser itself has seen.
_COOKIES: Final = frozenset({"_fbp", "_fbc", "_gtmeec", "_fbi"})


@dataclass(frozen=True, slots=True)
class EventDestination:
    """A dataset, the connection that leads to it (None: the request's) and its own test code."""

    dataset_id: str
    connection: str | None = None
    test_event_code: str | None = None

    def shown(self) -> dict[str, str]:
        """Return the destination as answers, messages and log rows name it."""
        return {"dataset_id": self.dataset_id}


@dataclass(frozen=True, slots=True, kw_only=True)
class EventRequest:
    """
    A body of `/events`.

    Args:
        overrides: The caller's own values in Meta's keys, which win over what an event states.
        cookies: Those of the browser; None where the caller handles none, and new ones are of no use.
        recognise: Whether the people may be recognised, where that is configured; None where the caller does not say.
        anonymous_id: The first-party id that the caller states for identity.
        warnings: What was ignored.
    """

    options: Options
    destinations: tuple[EventDestination, ...]
    events: tuple[CommonEvent, ...] = field(repr=False)
    overrides: Mapping[str, object] = field(repr=False)
    products: ProductSchema | None = None
    cookies: Mapping[str, str] | None = field(default=None, repr=False)
    recognise: bool | None = None
    anonymous_id: str = field(default="", repr=False)
    warnings: tuple[str, ...] = ()


def parse_event_request(body: Mapping[str, object]) -> EventRequest:
    """
    Read a body of `/events`: the contract's, or the bare event.

    Raises:
        InvalidRequestError: Something in it is not understood; `field` says what.
    """
    asked = Asked(body if _KEYS & body.keys() else {"event_data": body})
    options = parse_options(asked)
    stated = asked.mapping("event") or {}
    destinations, events = _destinations(asked), _events(asked, options)
    products, cookies = parse_products(asked.take("products")), _cookies(asked)
    if stated.get("event_id") and len(events) > 1:
        raise InvalidRequestError("would make several events one to Meta", field="event.event_id")
    warnings = []
    if not stated.keys() <= _OVERRIDES:
        warnings.append("event has keys that are not known; they are ignored")
    recognise, anonymous_id = parse_recognise(asked), parse_anonymous_id(asked)
    if asked.has_unknown():
        warnings.append("the body has keys that are not known; they are ignored")
    return EventRequest(
        options=options,
        destinations=destinations,
        events=events,
        overrides=_overrides(stated),
        products=products,
        cookies=cookies,
        recognise=recognise,
        anonymous_id=anonymous_id,
        warnings=tuple(warnings),
    )


def _overrides(stated: Mapping[str, object]) -> dict[str, object]:
    for key in _OBJECTS:
        if not isinstance(stated.get(key), Mapping | None):
            raise InvalidRequestError("must be an object", field=f"event.{key}")
    overrides = {key: value for key, value in stated.items() if value is not None and key in _OVERRIDES}
    if code := overrides.get("test_event_code"):
        overrides["test_event_code"] = parse_id(code, "event.test_event_code")
    return overrides


def _events(asked: Asked, options: Options) -> tuple[CommonEvent, ...]:
    several = asked.take("events")
    if several is None:
        return (options.event or CommonEvent({}),)
    if options.event is not None:
        raise InvalidRequestError("one of event_data and events is needed", field="events")
    if not isinstance(several, list) or not several:
        raise InvalidRequestError("must be a list of events", field="events")
    for place, one in enumerate(several):
        if not isinstance(one, Mapping):
            raise InvalidRequestError("must be an object", field=f"events[{place}]")
    return tuple(map(CommonEvent, several))


def _destinations(asked: Asked) -> tuple[EventDestination, ...]:
    value = asked.take("destinations")
    if value is None:
        return ()
    if not isinstance(value, list) or not value:
        raise InvalidRequestError("must be a list of destinations", field="destinations")
    if len(value) > MAX_DESTINATIONS:
        raise InvalidRequestError(f"more than {MAX_DESTINATIONS} destinations", field="destinations")
    destinations = tuple(_destination(one, f"destinations[{place}]") for place, one in enumerate(value))
    if len({(one.dataset_id, one.connection) for one in destinations}) < len(destinations):
        raise InvalidRequestError("names a destination twice", field="destinations")
    return destinations


def _destination(value: object, where: str) -> EventDestination:
    if not isinstance(value, Mapping):
        raise InvalidRequestError("must be an object", field=where)
    key = "dataset_id" if value.get("dataset_id") is not None else "pixel_id"
    dataset = parse_id(value.get(key), f"{where}.{'dataset_id' if value.get(key) is None else key}")
    code = value.get("test_event_code")
    return EventDestination(
        dataset_id=dataset,
        connection=parse_connection(value.get("connection"), f"{where}.connection"),
        test_event_code=parse_id(code, f"{where}.test_event_code") if code else None,
    )


def _cookies(asked: Asked) -> Mapping[str, str] | None:
    stated = asked.mapping("cookies")
    if stated is None:
        return None
    cookies = {name: _cookie(value) for name, value in stated.items() if name in _COOKIES}
    return {name: value for name, value in cookies.items() if value}


def _cookie(value: object) -> str:
    """Return a cookie's value; sGTM's `getCookieValues` gives a list of them."""
    values = value if isinstance(value, list) else [value]
    return next((one for one in values if isinstance(one, str) and one), "")
