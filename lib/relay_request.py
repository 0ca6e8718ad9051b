"""
The bodies of HTTP requests and Pub/Sub messages -> frozen values; after this nobody asks again whether a key is there.

Contract: README, "Requests". Every error names a field of it and never a value.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final, Literal, TypeVar

import orjson

from lib.common_event import CommonEvent
from lib.consent import SIGNALS
from lib.data_processing import DataProcessing, country_number, options_of, state_number
from lib.errors import InvalidRequestError
from lib.identifiers import LOOKALIKE_VALUE
from lib.people import People, parse_people, people_of
from lib.us_privacy import US_PRIVACY_KEYS, opts_out_of_sale

AudienceAction = Literal["add", "remove", "remove_from_all", "replace"]
_ACTIONS: Final[Mapping[str, AudienceAction]] = {
    "add": "add",
    "remove": "remove",
    "remove_from_all": "remove_from_all",
    "replace": "replace",
}

#: A body of so many bytes holds enough people for it to matter how they are held.
LARGE: Final = 1_000_000
#: Each is a call or more; a longer list is a mistake.
MAX_DESTINATIONS: Final = 100

_Value = TypeVar("_Value")


@dataclass(frozen=True, slots=True)
class Destination:
    """
    Where people go: an audience, or (to be removed from all of its audiences) an ad account.

    Args:
        connection: The name of the connection; None for the request's.
        value_based: Whether the audience takes LOOKALIKE_VALUE.
    """

    audience_id: str | None = None
    ad_account_id: str | None = None
    connection: str | None = None
    value_based: bool = False

    def shown(self) -> dict[str, str]:
        """Return the destination as answers, messages and log rows name it."""
        if self.audience_id is not None:
            return {"audience_id": self.audience_id}
        return {"ad_account_id": self.ad_account_id or ""}


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What is common to all requests. *required* None means the configured signals."""

    connection: str | None = None
    event: CommonEvent | None = None
    state: Mapping[str, object] | None = None
    required: tuple[str, ...] | None = None
    on_denied_remove: bool = False
    optimistic: bool = False
    debug: bool = False
    dry_run: bool = False
    data_processing: DataProcessing | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class AudienceRequest:
    """
    A body of `/audiences`.

    Args:
        page_ids: Meta's `page_ids`, which go with PAGEUID.
        app_ids: Meta's `app_ids`, which go with UIDs that an app has collected.
        from_event: Whether the people are the one person of the event.
        recognise: As in `EventRequest`.
        anonymous_id: As in `EventRequest`.
        warnings: What was ignored.
    """

    action: AudienceAction
    options: Options
    destinations: tuple[Destination, ...]
    people: People
    page_ids: tuple[str, ...] = ()
    app_ids: tuple[str, ...] = ()
    from_event: bool = False
    recognise: bool | None = None
    anonymous_id: str = field(default="", repr=False)
    warnings: tuple[str, ...] = ()

    def as_removal(self) -> AudienceRequest:
        """Return the request with people removed rather than added."""
        return replace(self, action="remove")

    def with_person(
        self, add: Callable[[Mapping[str, Sequence[object]]], Mapping[str, Sequence[object]]]
    ) -> AudienceRequest:
        """Return the request with the event's person, which is audience key -> values, as *add* returns it."""
        person = self.options.event.user() if self.options.event else {}
        return replace(self, people=_people_of_event(add(person)))


def parse_json(body: bytes) -> dict[str, object]:
    """
    Return the JSON object that *body* is: UTF-8 without a byte order mark, nested at most 1,024 deep.

    NaN, numbers beyond a double and lone surrogates are refused. Of a key that stands twice the last counts. A whole
    number beyond 64 bits is read as a double, and is no id.

    Raises:
        InvalidRequestError: It is something else.
    """
    if len(body) >= LARGE and (large := _parse_large(body)) is not None:
        return large
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError:
        raise InvalidRequestError("the body is not JSON in UTF-8") from None
    if not isinstance(value, dict):
        raise InvalidRequestError("the body must be a JSON object")
    return value


def _parse_large(body: bytes) -> dict[str, object] | None:
    from lib.large_body import parse_large  # noqa: PLC0415 - its parser costs 30 ms of a cold start, and few need it

    try:
        return parse_large(body)
    except (ValueError, KeyError, RecursionError):
        return None


def parse_audience_request(body: Mapping[str, object]) -> AudienceRequest:
    """
    Read a body of `/audiences`.

    Raises:
        InvalidRequestError: Something in it is missing or not understood; `field` says what.
    """
    asked = Asked(body)
    action = asked.one_of("action", _ACTIONS)
    if action is None:
        raise InvalidRequestError("is missing", field="action")
    options = parse_options(asked)
    if options.on_denied_remove and action != "add":
        options = replace(options, on_denied_remove=False)
    request = AudienceRequest(
        action=action,
        options=options,
        destinations=_destinations(asked, action),
        people=_people(asked, options),
        page_ids=asked.ids("page_ids"),
        app_ids=asked.ids("app_ids"),
        from_event=asked.flag("user_from_event"),
        recognise=parse_recognise(asked),
        anonymous_id=parse_anonymous_id(asked),
    )
    if LOOKALIKE_VALUE not in request.people.schema:
        for place, destination in enumerate(request.destinations):
            if destination.value_based:
                raise InvalidRequestError("needs LOOKALIKE_VALUE", field=f"destinations[{place}].value_based")
    return replace(request, warnings=tuple(_warnings(asked, request)))


class Asked:
    """A body that is being read; what nobody asks for is unknown."""

    def __init__(self, body: Mapping[str, object]) -> None:
        self.body = body
        self._known: set[str] = set()

    def take(self, key: str) -> object:
        """Return the value of *key*, None where it is missing."""
        self._known.add(key)
        return self.body.get(key)

    def one_of(self, key: str, choices: Mapping[str, _Value]) -> _Value | None:
        """Return what *choices* has for the text at *key*."""
        value = self.take(key)
        if value is None:
            return None
        if not isinstance(value, str) or value not in choices:
            raise InvalidRequestError("must be one of " + ", ".join(choices), field=key)
        return choices[value]

    def flag(self, key: str) -> bool:
        """Return a boolean, for which sGTM may send the text."""
        value = self.take(key)
        if value is None or value == "":
            return False
        if isinstance(value, str) and value.casefold() in {"true", "false"}:
            return value.casefold() == "true"
        if not isinstance(value, bool):
            raise InvalidRequestError("must be true or false", field=key)
        return value

    def ids(self, key: str) -> tuple[str, ...]:
        """Return a list of ids."""
        value = self.take(key)
        if value is None:
            return ()
        if not isinstance(value, list):
            raise InvalidRequestError("must be a list of ids", field=key)
        return tuple(parse_id(one, f"{key}[{place}]") for place, one in enumerate(value))

    def mapping(self, key: str) -> Mapping[str, object] | None:
        """Return an object."""
        value = self.take(key)
        if value is not None and not isinstance(value, Mapping):
            raise InvalidRequestError("must be an object", field=key)
        return value

    def has_unknown(self) -> bool:
        """Tell whether the body holds a key that nobody asked for."""
        return bool(self.body.keys() - self._known)


_ID = re.compile(r"[A-Za-z0-9_]{1,64}", re.ASCII)


def parse_id(value: object, field: str) -> str:
    """Return an id that is safe in a path; numbers are read as text."""
    text = str(value) if isinstance(value, int) and not isinstance(value, bool) else value
    if not isinstance(text, str) or not _ID.fullmatch(text.strip()):
        raise InvalidRequestError("must be an id: letters, digits and _, at most 64", field=field)
    return text.strip()


def parse_connection(value: object, field: str) -> str | None:
    """Return the name of a connection; whether it exists is the configuration's to say."""
    if value is None or value == "":
        return None
    if not isinstance(value, str):
        raise InvalidRequestError("must be the name of a connection", field=field)
    return value


def parse_options(asked: Asked) -> Options:
    """Read what is common to all bodies."""
    event = asked.mapping("event_data")
    consent = asked.mapping("consent")
    common = None if event is None else CommonEvent(event)
    state, required, on_denied_remove = _consent(Asked(consent)) if consent else (None, None, False)
    return Options(
        connection=parse_connection(asked.take("connection"), "connection"),
        event=common,
        state=state,
        required=required,
        on_denied_remove=on_denied_remove,
        optimistic=asked.flag("optimistic"),
        debug=asked.flag("debug"),
        dry_run=asked.flag("dry_run"),
        data_processing=_data_processing(asked.mapping("data_processing") or {}, common),
    )


def parse_recognise(asked: Asked) -> bool | None:
    """Return whether the caller wants people recognised, None where it does not say."""
    identity = Asked(asked.mapping("identity") or {})
    if identity.body.get("enabled") in (None, ""):
        return None
    return _within("identity", lambda: identity.flag("enabled"))


def parse_anonymous_id(asked: Asked) -> str:
    """Return the first-party id that the caller states, a text or a number."""
    value = (asked.mapping("identity") or {}).get("anonymous_id")
    if type(value) not in {str, int, type(None)}:
        raise InvalidRequestError("must be a text", field="identity.anonymous_id")
    return "" if value is None else str(value)


def _within(field: str, read: Callable[[], _Value]) -> _Value:
    """Return what *read* returns; an error of it names its field below *field*."""
    try:
        return read()
    except InvalidRequestError as error:
        raise InvalidRequestError(error.message, field=f"{field}.{error.field}") from None


def _consent(consent: Asked) -> tuple[Mapping[str, object] | None, tuple[str, ...] | None, bool]:
    state = _within("consent", lambda: consent.mapping("state"))
    removes = _within("consent", lambda: consent.one_of("on_denied", {"remove": True})) or False
    return state, _required(consent), removes


def _required(consent: Asked) -> tuple[str, ...] | None:
    value = consent.take("required")
    if value is None:
        return None
    if not isinstance(value, list) or not all(isinstance(one, str) and one in SIGNALS for one in value):
        raise InvalidRequestError("must be a list of " + ", ".join(SIGNALS), field="consent.required")
    return tuple(value)


def _data_processing(stated: Mapping[str, object], event: CommonEvent | None) -> DataProcessing | None:
    """Return what the caller states; a person's own opt-out counts where the caller states no option."""
    opted_out = event is not None and any(opts_out_of_sale(event.get(key)) for key in US_PRIVACY_KEYS)
    if not stated and not opted_out:
        return None
    options = options_of(stated.get("options") or (["LDU"] if opted_out else []))
    country = country_number(stated.get("country") or 0)
    state = state_number(stated.get("state") or 0)
    for key, value in (("options", options), ("country", country), ("state", state)):
        if value is None:
            raise InvalidRequestError("is not understood", field=f"data_processing.{key}")
    return DataProcessing(tuple(options or ()), country or 0, state or 0) if options else None


def _destinations(asked: Asked, action: AudienceAction) -> tuple[Destination, ...]:
    value = asked.take("destinations")
    if value is None:
        return ()
    if not isinstance(value, list) or not value:
        raise InvalidRequestError("must be a list of destinations", field="destinations")
    if len(value) > MAX_DESTINATIONS:
        raise InvalidRequestError(f"more than {MAX_DESTINATIONS} destinations", field="destinations")
    destinations = tuple(_destination(one, f"destinations[{place}]", action) for place, one in enumerate(value))
    # Whether an audience is value-based does not make it another one.
    if len({replace(one, value_based=False) for one in destinations}) != len(destinations):
        raise InvalidRequestError("names a destination twice", field="destinations")
    return destinations


def _destination(value: object, field: str, action: AudienceAction) -> Destination:
    if not isinstance(value, Mapping):
        raise InvalidRequestError("must be an object", field=field)
    connection = parse_connection(value.get("connection"), f"{field}.connection")
    if action == "remove_from_all":
        account = parse_id(value.get("ad_account_id"), f"{field}.ad_account_id").removeprefix("act_")
        return Destination(ad_account_id=parse_id(account, f"{field}.ad_account_id"), connection=connection)
    value_based = _within(field, lambda: Asked(value).flag("value_based"))
    audience = parse_id(value.get("audience_id"), f"{field}.audience_id")
    return Destination(audience_id=audience, connection=connection, value_based=value_based)


def _people(asked: Asked, options: Options) -> People:
    user, users = asked.take("user"), asked.take("users")
    stated = {key: value for key, value in (("user", user), ("users", users)) if value is not None}
    if not asked.flag("user_from_event"):
        return parse_people(stated)
    if stated:
        raise InvalidRequestError("one of user, users and user_from_event is needed", field="user_from_event")
    if options.event is None:
        raise InvalidRequestError("is needed where user_from_event is set", field="event_data")
    return _people_of_event(options.event.user())


def _people_of_event(person: Mapping[str, Sequence[object]]) -> People:
    # An event without a person is understood: there is nobody in it to send.
    widths = {key: len(values) for key, values in person.items()} or {"EMAIL": 1}
    return people_of(widths, [person], field="event_data")


def _warnings(asked: Asked, request: AudienceRequest) -> list[str]:
    warnings = []
    if asked.has_unknown():
        warnings.append("the body has keys that are not known; they are ignored")
    if "PAGEUID" in request.people.schema and not request.page_ids:
        warnings.append("PAGEUID is of no use to Meta without page_ids")
    return warnings
