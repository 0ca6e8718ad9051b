"""
The event of server-side Google Tag Manager (`getAllEventData()`), nested or flattened.

A tag that flattens joins keys with `_` and writes hyphens as `_`: `x-ga-gcs` becomes `x_ga_gcs`, `user_data.email`
`user_data_email`; lists stay as they are.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from itertools import count
from operator import itemgetter
from typing import Final

from lib.identifiers import IDENTIFIERS
from lib.normalization import clean

#: GTM's own monitor calls pages that nobody visits.
_PREVIEW_MONITOR = "https://gtm-msr.appspot.com/"


@dataclass(frozen=True, slots=True)
class CommonEvent:
    """
    An event as it came.

    Args:
        data: The event's keys; never changed.
    """

    data: Mapping[str, object]

    def get(self, path: str) -> object:
        """Return what stands at *path* (`.` between keys), nested or flattened; None if nothing does."""
        return _find(self.data, _parts(path))

    def text(self, path: str) -> str:
        """Return the text at *path*, `""` where there is none."""
        value = self.get(path)
        return value if isinstance(value, str) else ""

    def is_preview_monitor(self) -> bool:
        """Tell whether the event is one of GTM's preview monitor."""
        return self.text("page_location").startswith(_PREVIEW_MONITOR)

    def user(self) -> dict[str, list[object]]:
        """Return the person of the event: audience key -> values, from the first place of each that says anything."""
        people = {}
        for identifier in IDENTIFIERS:
            if identifier.key and (values := self._first(identifier.event)):
                people[identifier.key] = values
        return people

    def _first(self, paths: tuple[str, ...]) -> list[object]:
        for path in paths:
            value = self.get(path)
            values = [one for one in (value if isinstance(value, list) else [value]) if _says_something(one)]
            if values:
                return values
        return []


def _says_something(value: object) -> bool:
    if isinstance(value, str):
        return clean(value) != ""
    return isinstance(value, int | float) and not isinstance(value, bool)


@lru_cache(maxsize=512)
def _parts(path: str) -> tuple[str, ...]:
    return tuple(path.split("."))


def _find(node: object, parts: tuple[str, ...]) -> object:
    if not parts:
        return node
    if isinstance(node, list):
        # GA4 really sends `address` as a list; its first entry is the one that tags have always read.
        node = next((one for one in node if isinstance(one, Mapping)), None)
    if not isinstance(node, Mapping):
        return None
    for end in range(1, len(parts) + 1):
        for name in _names(parts[:end]):
            if name in node and (found := _find(node[name], parts[end:])) is not None:
                return found
    return None


@lru_cache(maxsize=2048)
def _names(parts: tuple[str, ...]) -> tuple[str, ...]:
    joined = "_".join(parts)
    return tuple(dict.fromkeys((joined, joined.replace("-", "_"))))


#: How good the place is (0 is the best), which object of a list it is in (0 outside of lists), and what stands there.
Finding = tuple[int, int, object]


class Paths:
    """
    Many places of an event, found in one pass over its keys, however many they are.

    Unlike `CommonEvent.get` it reads each object of a list, such as both addresses of a GA4 event.

    Args:
        paths: What is looked for, by a name of the caller's -> its paths, best first.
    """

    def __init__(self, paths: Mapping[str, Iterable[str]]) -> None:
        self._top: _Level = {}
        ranks = count()
        for name, of_name in paths.items():
            for path in of_name:
                _plant(self._top, name, _parts(path), ranks)

    def find(self, event: CommonEvent) -> dict[str, list[Finding]]:
        """Return name -> what stands at its paths, the best first."""
        found: dict[str, list[Finding]] = {}
        _gather(event.data, self._top, 0, found)
        for findings in found.values():
            if len(findings) > 1:
                findings.sort(key=_RANK)
        return found


#: Key -> the name of what ends there (`""` if nothing does), its rank, and the keys below.
_Level = dict[str, tuple[str, int, "_Level"]]
_RANK: Final = itemgetter(0)


def _plant(level: _Level, name: str, parts: tuple[str, ...], ranks: Iterator[int]) -> None:
    for end in range(1, len(parts) + 1):
        for key in _names(parts[:end]):
            at, _, below = level.setdefault(key, ("", 0, {}))
            if end < len(parts):
                _plant(below, name, parts[end:], ranks)
            elif not at:
                level[key] = (name, next(ranks), below)


def _gather(data: Mapping[str, object], level: _Level, place: int, found: dict[str, list[Finding]]) -> None:
    for key in data:
        if key not in level:
            continue
        name, rank, below = level[key]
        value = data[key]
        if name and value is not None:
            if name in found:
                found[name].append((rank, place, value))
            else:
                found[name] = [(rank, place, value)]
        if below and isinstance(value, dict):
            _gather(value, below, place, found)
        elif below and isinstance(value, list):
            for inner, one in enumerate([one for one in value if isinstance(one, dict)]):
                _gather(one, below, place + inner, found)
