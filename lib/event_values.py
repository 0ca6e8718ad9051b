"""What the values of an event say: whether anything, and what is packed into a JSON text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import orjson

from lib.common_event import CommonEvent, Paths
from lib.normalization import clean

_NOTHING: Final[Mapping[str, object]] = {}


def stated_values(paths: Paths, event: CommonEvent) -> dict[str, list[object]]:
    """Return name -> the values at its paths that say something, best first."""
    stated: dict[str, list[object]] = {}
    for name, found in paths.find(event).items():
        for _, _, value in found:
            if not says_nothing(value):
                stated.setdefault(name, []).append(value)
    return stated


def says_nothing(value: object) -> bool:
    """Tell whether *value* is absent, blank, or a word for it."""
    if value is None:
        return True
    if isinstance(value, str):
        return not clean(value)
    return not value and isinstance(value, list | dict)


def first(override: object, stated: Sequence[object] = ()) -> object:
    """Return *override* if it says something, else the best that is stated, else None."""
    if override is None or says_nothing(override):
        return stated[0] if stated else None
    return override


def from_json_text(value: object) -> object:
    """Return what the JSON is that *value* is a text of; any other value as it is."""
    if not isinstance(value, str):
        return value
    text = value.strip()
    if text[:1] in {"[", "{"}:
        try:
            return orjson.loads(text)
        except orjson.JSONDecodeError:
            return value
    return value


def as_mapping(value: object) -> Mapping[str, object]:
    """Return the object that *value* is, or is a JSON text of; else an empty one."""
    if value is None:
        return _NOTHING
    found = from_json_text(value)
    return found if isinstance(found, Mapping) else _NOTHING
