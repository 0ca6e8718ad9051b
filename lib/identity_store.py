"""Where circles of identifiers are kept: a port, and a store within the process."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from threading import Lock
from typing import Protocol


class ConflictError(Exception):
    """Somebody else has written meanwhile: read again."""


@dataclass(frozen=True, slots=True)
class Stored:
    """
    A circle as it was read.

    Args:
        name: Of its document.
        version: Of what was read; the store's own.
        data: The circle, encoded.
    """

    name: str
    version: object
    data: bytes = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Write:
    """
    A circle to be kept.

    Args:
        name: Of its document.
        over: What is written over; None for a new document.
        keys: All of its identifiers, by which it is found.
        expires_at: Unix seconds, after which nothing of it counts.
    """

    name: str
    over: Stored | None
    data: bytes = field(repr=False)
    keys: Sequence[str] = field(repr=False)
    expires_at: float


class Store(Protocol):
    """Keeps circles."""

    def find(self, keys: Collection[str], *, timeout_s: float) -> list[Stored]:
        """
        Return each circle that holds one of *keys*, in one round trip.

        Raises:
            IdentityError: They cannot be read.
        """

    def replace(self, gone: Iterable[Stored], writes: Iterable[Write], *, timeout_s: float) -> None:
        """
        Delete *gone* and write *writes*, all or nothing, in one round trip.

        Raises:
            ConflictError: One of them is not as it was read, or a new one is there already.
            IdentityError: They cannot be written.
        """


@dataclass(slots=True)
class MemoryStore:
    """A store of this process, which ends with it."""

    _kept: dict[str, tuple[int, Write]] = field(default_factory=dict, repr=False)
    _names: dict[str, set[str]] = field(default_factory=dict, repr=False)
    _version: int = 0
    _lock: Lock = field(default_factory=Lock, repr=False)

    def find(self, keys: Collection[str], *, timeout_s: float) -> list[Stored]:  # noqa: ARG002 - nothing to wait for
        """Return each circle that holds one of *keys*."""
        with self._lock:
            names = {name: None for key in keys for name in self._names.get(key, ())}
            return [Stored(name, self._kept[name][0], self._kept[name][1].data) for name in names]

    def replace(self, gone: Iterable[Stored], writes: Iterable[Write], *, timeout_s: float) -> None:  # noqa: ARG002 - as above
        """Delete *gone* and write *writes*, all or nothing."""
        gone, writes = list(gone), list(writes)
        with self._lock:
            read = [*gone, *(write.over for write in writes if write.over is not None)]
            if any(self._kept.get(one.name, (None,))[0] != one.version for one in read):
                raise ConflictError
            if any(write.over is None and write.name in self._kept for write in writes):
                raise ConflictError
            for one in read:
                self._drop(one.name)
            for write in writes:
                self._version += 1
                self._kept[write.name] = (self._version, write)
                for key in write.keys:
                    self._names.setdefault(key, set()).add(write.name)

    def _drop(self, name: str) -> None:
        _, write = self._kept.pop(name)
        for key in write.keys:
            self._names[key].discard(name)
            if not self._names[key]:
                del self._names[key]

    def everything(self) -> dict[str, bytes]:
        """Return what is kept, by name, for those who want to see what is."""
        with self._lock:
            return {name: write.data for name, (_, write) in self._kept.items()}
