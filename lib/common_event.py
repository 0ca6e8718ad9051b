"""
The event of server-side Google Tag Manager (`getAllEventData()`), nested or flattened.

A tag that flattens joins keys with `_` and writes hyphens as `_`: `x-ga-gcs` becomes `x_ga_gcs`, `user_data.email`
`user_data_email`; lists stay as they are.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

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
