"""
A CDP's words on its segments -> frozen values: who entered or left which segment, and the users as rows.

Four forms are understood: our own (`segment`, `change`, `user` or `users`), the messages `user_enters_segment` and
`user_leaves_segment` of Commanders Act, and Segment's `track` and `identify` calls of an Engage audience.
-- https://segment.com/docs/engage/using-engage-data/
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any, Final, Literal, get_args

from lib.consent import SIGNALS
from lib.errors import InvalidRequestError
from lib.identifiers import AUDIENCE_KEYS, DATA_PROCESSING_COLUMNS, LOOKALIKE_VALUE
from lib.people import People, people_of
from lib.relay_request import Asked, Options, parse_options

Change = Literal["enter", "leave", "sync", "mirror", "replace"]

#: Of a person who enters or leaves; the others carry all members, or name a source of them.
GATHERED: Final = frozenset({"enter", "leave"})
#: "a segment's id is any text up to 128 characters" (README, Segments); a name stands in the name of an audience.
MAX_TEXT: Final = 128


@dataclass(frozen=True, slots=True)
class Segment:
    """A segment of a CDP: its id, which never changes, and the name that people gave it."""

    id: str
    name: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SegmentRequest:
    """
    A body of `/segments`.

    Args:
        users: The CDP's users as they came, or None where a source is meant.
        source: The name of a configured source.
        changed_at: Unix seconds at which the CDP saw the change; None where it does not say.
        categories: What of `user_privacy_categories` the user has agreed to.
        warnings: What was ignored.
    """

    segment: Segment
    change: Change
    options: Options
    users: Sequence[object] | None = field(default=None, repr=False)
    source: str | None = None
    changed_at: float | None = None
    categories: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()


def parse_segment_request(body: Mapping[str, object]) -> SegmentRequest:
    """
    Read a body of `/segments`, in any of its forms.

    Raises:
        InvalidRequestError: Something in it is missing or not understood; `field` says what.
    """
    if body.get("event_name") in _OF_COMMANDERS_ACT:
        return _of_commanders_act(body)
    if _is_of_engage(body):
        return _of_engage(body)
    return _own(body)


def is_of_segments(body: Mapping[str, object]) -> bool:
    """Tell whether a message without a type speaks of segments."""
    return body.get("event_name") in _OF_COMMANDERS_ACT or "segment" in body or _is_of_engage(body)


# Our own form.


def _own(body: Mapping[str, object]) -> SegmentRequest:
    asked = Asked(body)
    change = asked.one_of("change", {change: change for change in get_args(Change)})
    if change is None:
        raise InvalidRequestError("is missing", field="change")
    request = SegmentRequest(
        segment=_segment(asked.take("segment")),
        change=change,
        options=parse_options(asked),
        users=_users(asked),
        source=_source(asked.take("source")),
        changed_at=_moment(asked.take("changed_at"), "changed_at"),
        categories=_categories(asked.take("user_privacy_categories")),
    )
    if (request.users is None) == (request.source is None):
        raise InvalidRequestError("one of user, users and source is needed", field="users")
    if request.source is not None and change in GATHERED:
        raise InvalidRequestError("is for sync, mirror and replace", field="source")
    if asked.has_unknown():
        return replace(request, warnings=("the body has keys that are not known; they are ignored",))
    return request


def _segment(value: object) -> Segment:
    """Return the segment; a mere text is its id, and the id is the name of one without a name."""
    if value is None:
        raise InvalidRequestError("is missing", field="segment")
    if not isinstance(value, Mapping):
        value = {"id": value}
    return _named(value.get("id"), value.get("name"), "segment.id", "segment.name")


def _named(ident: object, name: object, id_field: str, name_field: str) -> Segment:
    known = _text(ident, id_field)
    return Segment(known, known if name is None or name == "" else _text(name, name_field))


def _text(value: object, field: str) -> str:
    if value is None or value == "":
        raise InvalidRequestError("is missing", field=field)
    text = str(value) if isinstance(value, int) and not isinstance(value, bool) else value
    if not isinstance(text, str) or not 0 < len(text.strip()) <= MAX_TEXT or not text.isprintable():
        raise InvalidRequestError(f"must be a text of at most {MAX_TEXT} characters in one line", field=field)
    return text.strip()


def _users(asked: Asked) -> Sequence[object] | None:
    user, users = asked.take("user"), asked.take("users")
    if user is not None and users is not None:
        raise InvalidRequestError("one of user and users is needed", field="users")
    if user is not None:
        if not isinstance(user, Mapping):
            raise InvalidRequestError("must be an object", field="user")
        return [user]
    if isinstance(users, Mapping):
        return _table(users)
    if users is not None and not isinstance(users, list):
        raise InvalidRequestError("must be a list of objects or an object with schema and data", field="users")
    if users == []:
        raise InvalidRequestError("is empty", field="users")
    return users


def _table(users: Mapping[str, object]) -> list[object]:
    """Return the rows of a table as users; one of another length is nobody."""
    schema, data = users.get("schema"), users.get("data")
    if isinstance(schema, str):
        schema = [part.strip() for part in schema.split(",") if part.strip()]
    if not isinstance(schema, list) or not schema or not all(isinstance(key, str) for key in schema):
        raise InvalidRequestError(
            "must be a list of properties or their names with commas between", field="users.schema"
        )
    if not isinstance(data, list) or not data:
        raise InvalidRequestError("must be a list that is not empty", field="users.data")
    return [_user_of_row(schema, row) for row in data]


def _user_of_row(schema: Sequence[str], row: object) -> object:
    if isinstance(row, list):
        return dict(zip(schema, row, strict=True)) if len(row) == len(schema) else None
    return row


def _source(value: object) -> str | None:
    return None if value is None else _text(value, "source")


def _categories(value: object) -> tuple[str, ...]:
    if value is None:
        return ()
    if not isinstance(value, list) or not all(isinstance(one, str) for one in value):
        raise InvalidRequestError("must be a list of texts", field="user_privacy_categories")
    return tuple(value)


#: From here on a number counts milliseconds: as seconds it would be the year 5138.
_MILLISECONDS: Final = 1e11


def _moment(value: object, field: str) -> float | None:
    """Return Unix seconds of seconds, of milliseconds, or of RFC 3339; without a zone UTC is meant."""
    if value is None or value == "":
        return None
    try:
        if isinstance(value, str):
            moment = datetime.fromisoformat(value.strip())
            return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
        if isinstance(value, int | float) and not isinstance(value, bool) and 0 < value < math.inf:
            return float(value) / (1000 if value >= _MILLISECONDS else 1)
    except (ValueError, OverflowError):
        pass
    raise InvalidRequestError("must be Unix seconds or a time in RFC 3339", field=field)


# Commanders Act.

#: -- https://doc.commandersact.com, "Segments": the events of a segment's members
_OF_COMMANDERS_ACT: Final[Mapping[object, Change]] = {"user_enters_segment": "enter", "user_leaves_segment": "leave"}


def _of_commanders_act(body: Mapping[str, object]) -> SegmentRequest:
    asked = Asked(body)
    context = asked.mapping("context") or {}
    user = asked.mapping("user")
    if user is None:
        raise InvalidRequestError("is missing", field="user")
    return SegmentRequest(
        segment=_named(
            context.get("segment_id"), context.get("segment_name"), "context.segment_id", "context.segment_name"
        ),
        change=_OF_COMMANDERS_ACT[body["event_name"]],
        options=parse_options(asked),
        users=[user],
        changed_at=_moment(asked.take("changed_at") or context.get("event_timestamp"), "changed_at"),
        categories=_categories(asked.take("user_privacy_categories")),
    )


# Segment's Engage.

_ENGAGE_EVENTS: Final[Mapping[object, Change]] = {"Audience Entered": "enter", "Audience Exited": "leave"}


def _is_of_engage(body: Mapping[str, object]) -> bool:
    if body.get("type") == "track":
        return body.get("event") in _ENGAGE_EVENTS
    return body.get("type") == "identify" and _part(body, "context", "personas").get("computation_class") == "audience"


def _of_engage(body: Mapping[str, object]) -> SegmentRequest:
    """Read a call of an audience; its id is where the URL of the audience has it, its key is what people named it."""
    asked = Asked(body)
    personas = _part(body, "context", "personas")
    traits, properties = _part(body, "traits"), _part(body, "properties")
    key = properties.get("audience_key") or traits.get("audience_key") or personas.get("computation_key")
    segment = _named(personas.get("computation_id") or key, key, "properties.audience_key", "properties.audience_key")
    user = {**_part(body, "context", "traits"), **traits, **properties}
    stated = user.pop(str(key), None)
    user.pop("audience_key", None)
    if body.get("userId"):
        user.setdefault("id", body["userId"])
    return SegmentRequest(
        segment=segment,
        change=_ENGAGE_EVENTS.get(body.get("event")) or _membership(stated),
        options=parse_options(asked),
        users=[user],
        changed_at=_moment(body.get("timestamp") or body.get("originalTimestamp"), "timestamp"),
    )


def _membership(stated: object) -> Change:
    """Return what an audience's trait says: a boolean, which journeys send as a text."""
    text = str(stated).casefold()
    if text not in {"true", "false"}:
        raise InvalidRequestError("must state the audience as true or false", field="traits")
    return "enter" if text == "true" else "leave"


def _part(body: Mapping[str, object], *keys: str) -> Mapping[str, object]:
    part: Any = body
    for key in keys:
        part = part.get(key)
        if not isinstance(part, Mapping):
            return {}
    return part  # type: ignore[no-any-return]


# Users -> rows.

#: Of these a person can have several, and each is a column of its own; of the others the first counts.
_SEVERAL: Final = frozenset({"EMAIL", "PHONE", "MADID", "EXTERN_ID"})
#: Meta takes the value of a person only into audiences that are made for it.
_OWN_KEYS: Final = tuple(key for key in AUDIENCE_KEYS if key != LOOKALIKE_VALUE)


def map_people(users: Sequence[object], mapping: Mapping[str, Sequence[str]]) -> People:
    """
    Return a CDP's users as rows.

    A user's own keys of an audience schema (`EMAIL`, in capitals) count beside the mapping. Who is no object becomes
    a row that is rejected when the batch is built, and so does one in whom nothing is found.

    Args:
        mapping: Audience key -> properties, as in `SegmentSettings`; signals of consent are left aside.
    """
    # Most keys of the table, and most of the properties that could hold them, are not there at all.
    stated = set[object]().union(*(user for user in users if isinstance(user, Mapping)))
    candidates = {key: _present((key, *mapping.get(key, ())), stated) for key in _OWN_KEYS}
    paths = {key: found for key, found in candidates.items() if found}
    columns = _columns(users, paths) if len(users) >= _MANY else None
    if columns is not None:
        return people_of(dict.fromkeys(columns, 1), list(map(list, zip(*columns.values(), strict=True))), field="users")
    rows: list[object] = [_row(user, paths) if isinstance(user, Mapping) else None for user in users]
    widths: dict[str, int] = {}
    for key in paths:
        counts = [len(row[key]) for row in rows if isinstance(row, dict) and key in row]
        if counts:
            widths[key] = 1 if key in DATA_PROCESSING_COLUMNS else max(counts)
    return people_of(widths or {"EMAIL": 1}, rows, field="users")


def _present(properties: Iterable[str], stated: Collection[object]) -> tuple[str, ...]:
    """Return the properties that some user may have."""
    return tuple(path for path in properties if path in stated or path.partition(".")[0] in stated)


#: From so many users on it pays to look whether all are alike: whole columns are read fifty times as fast.
_MANY: Final = 100
_PLAIN: Final = frozenset({str, int, float, type(None)})


def _columns(users: Sequence[object], paths: Mapping[str, Sequence[str]]) -> dict[str, list[Any]] | None:
    """Return a column for each key where all users are flat and state each key once; else None."""
    if not paths or set(map(type, users)) != {dict} or any(key in DATA_PROCESSING_COLUMNS for key in paths):
        return None
    columns: dict[str, list[Any]] = {}
    flat: Any = users
    for key, (path, *others) in paths.items():
        column = [user.get(path) for user in flat]
        if others or not _PLAIN.issuperset(map(type, column)):
            return None
        # A column in which nobody has anything is none.
        if any(not isinstance(value, str) or value.strip() for value in column if value is not None):
            columns[key] = column
    return columns or None


def _row(user: Mapping[str, object], paths: Mapping[str, Sequence[str]]) -> dict[str, Any]:
    row: dict[str, Any] = {}
    for key, properties in paths.items():
        if key in DATA_PROCESSING_COLUMNS:
            if user.get(key) is not None:
                row[key] = user[key]
            continue
        values = list(dict.fromkeys(_values(user, properties)))
        if values:
            row[key] = values if key in _SEVERAL else values[:1]
    return row


def _values(user: Mapping[str, object], properties: Iterable[str]) -> Iterator[str | int | float]:
    for path in properties:
        for value in values_at(user, path):
            if isinstance(value, str | int | float) and not isinstance(value, bool) and str(value).strip():
                yield value


def values_at(node: object, path: str) -> Iterator[object]:
    """
    Yield what stands at *path*: a property, or properties of nested objects with `.` between; of lists each one.

    A last part that is one of a list's texts is true: `categories.ads` of `{"categories": ["ads"]}`.
    """
    if isinstance(node, list):
        if path in node:
            yield True
        for one in node:
            if isinstance(one, Mapping):
                yield from values_at(one, path)
    elif isinstance(node, Mapping):
        if path in node:
            yield from _flat(node[path])
            return
        head, _, rest = path.partition(".")
        if rest and head in node:
            yield from values_at(node[head], rest)


def _flat(value: object) -> Iterator[object]:
    if isinstance(value, list):
        yield from value
    elif value is not None:
        yield value


def stated_consent(user: object, mapping: Mapping[str, Sequence[str]], categories: Sequence[str]) -> dict[str, object]:
    """
    Return what a user's mapped properties say of each signal; a property that is not there says nothing.

    `user_privacy_categories` can be mapped as if it were a property of the user: `user_privacy_categories.ads`.
    """
    if not isinstance(user, Mapping):
        return {}
    node = {"user_privacy_categories": list(categories), **user}
    stated: dict[str, object] = {}
    for signal in SIGNALS:
        found = [value for path in mapping.get(signal, ()) for value in values_at(node, path)]
        if found:
            stated[signal] = found[0]
    return stated
