"""
The rows of a large body, read a batch at a time.

As Python objects 100,000 people take six times the bytes in which they came, and while a parser makes them ten; as the
bytes they are, once. So what of a large body is one long list of people stays bytes until a batch of it is built.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final, overload

import msgspec
import orjson

_OBJECT: Final = msgspec.json.Decoder(dict[str, msgspec.Raw])
_LIST: Final = msgspec.json.Decoder(list[msgspec.Raw])


class UnreadRows(Sequence[Any]):
    """The values of a JSON list, each read whenever it is asked for."""

    __slots__ = ("_parts",)

    def __init__(self, text: msgspec.Raw) -> None:
        """
        Part the list, and try that each value can be read.

        Raises:
            ValueError, RecursionError: It is no list in JSON.
        """
        self._parts = _LIST.decode(text)
        for part in self._parts:
            orjson.loads(memoryview(part))

    def __len__(self) -> int:
        """Return how many there are."""
        return len(self._parts)

    @overload
    def __getitem__(self, place: int) -> Any: ...
    @overload
    def __getitem__(self, place: slice) -> list[Any]: ...
    def __getitem__(self, place: int | slice) -> Any:
        """Return one value, or a list of some."""
        if isinstance(place, slice):
            return orjson.loads(b"[" + b",".join(self._parts[place]) + b"]")
        return orjson.loads(memoryview(self._parts[place]))


def parse_large(body: bytes) -> dict[str, object]:
    """
    Return the JSON object *body* with `users`, or their `data`, as `UnreadRows`; all else as it would be anyway.

    Raises:
        ValueError, RecursionError: It is no JSON object, or one with no list there; another parser may say what it is.
    """
    parts = _OBJECT.decode(body)
    users = parts.pop("users")
    return {key: _read(part) for key, part in parts.items()} | {"users": _users(users)}


def _users(text: msgspec.Raw) -> object:
    if bytes(memoryview(text)[:1]) == b"[":
        return UnreadRows(text)
    parts = _OBJECT.decode(text)
    data = parts.pop("data")
    return {key: _read(part) for key, part in parts.items()} | {"data": UnreadRows(data)}


def _read(part: msgspec.Raw) -> object:
    return orjson.loads(memoryview(part))
