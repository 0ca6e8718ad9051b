"""
The advertiser's own identity graph: who somebody is, from earlier consented events alone.

Recognising is one round trip. Learning is another, which nobody has to wait for: the event has left by then. Two that
write at once do not lose anything: what was read must still be there, else it is read again; and who writes an
identifier for the first time looks whether somebody else has done so too.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from hashlib import sha256
from typing import Final, TypeVar

from lib.breaker import Breaker
from lib.config import Connection
from lib.errors import IdentityError, IdentityUnreachableError
from lib.identity import Identifiers, Identity, keys_of, person_id, shared_keys
from lib.identity_links import (
    MAX_KEYS,
    Circle,
    Key,
    Observation,
    decode,
    encode,
    forget,
    known_clicks,
    known_facts,
    last_day,
    naming_key,
    observe,
    parts,
    person_of,
    together,
)
from lib.identity_settings import IdentitySettings
from lib.identity_store import ConflictError, Store, Stored, Write
from lib.normalization import Settings
from lib.ports import Clock, Secrets

logger = logging.getLogger(__name__)

_T = TypeVar("_T")

SOURCE: Final = "graph"
SCOPE: Final = "Identity graph"
_DAY: Final = 86_400
#: Readings for one writing, where others are faster; what is lost then is what one event has shown.
_ATTEMPTS: Final = 6


@dataclass(frozen=True, slots=True)
class _Read:
    """
    What was read for an event.

    Args:
        circle: Of all that was read; what the event shows is added to it.
        known: The keys of the circle as they were read.
    """

    keys: tuple[Key, ...] = field(repr=False)
    stored: list[Stored] = field(repr=False)
    circle: Circle = field(repr=False)
    known: frozenset[Key] = field(repr=False)


@dataclass(slots=True, kw_only=True)
class IdentityGraph:
    """
    The graph of one configuration; see `lib.recognition.Resolver`.

    Args:
        readings: How the connections read phones, to know a shared one in each form.
    """

    settings: IdentitySettings
    store: Store
    secrets: Secrets
    clock: Clock
    breaker: Breaker
    readings: Sequence[Settings] = ()
    source: str = SOURCE
    forgets: bool = True
    waits: bool = True
    _shared: dict[bytes, frozenset[Key]] = field(default_factory=dict, repr=False)

    def resolve(self, identifiers: Identifiers, *, reading: Settings, deadline: float) -> Identity:
        """Return whom earlier events know under these *identifiers*."""
        del reading
        secret, keys = self._keys(identifiers)
        if not keys:
            return Identity(source=SOURCE, outcome="miss")
        read = self._read(keys, deadline)
        circle = read.circle
        observe(circle, Observation(keys=keys, time=self._time(identifiers)), self.settings.limits)
        person = person_of(circle, keys)
        return Identity(
            source=SOURCE,
            outcome="miss" if read.known.isdisjoint(person) else "hit",
            person_id=person_id(secret, naming_key(circle, person)) if person else "",
            fields=known_facts(circle, person),
            clicks=known_clicks(circle, person),
            read=read,
        )

    def learn(
        self,
        identifiers: Identifiers,
        identity: Identity,
        *,
        facts: Mapping[str, str],
        fbc: str,
        deadline: float,
    ) -> None:
        """
        Keep what an event has shown.

        Args:
            identity: What was said of the event, with what was read for it.
            facts: Hashes by Meta's key.
        """
        read = identity.read if isinstance(identity.read, _Read) else None
        keys = read.keys if read else self._keys(identifiers)[1]
        if not keys:
            return
        seen = Observation(keys=keys, time=self._time(identifiers), facts=facts, fbc=fbc)
        now = read or self._read(keys, deadline)
        for attempt in range(_ATTEMPTS):
            if attempt:
                now = self._read(keys, deadline)
            if not observe(now.circle, seen, self.settings.limits):
                logger.warning("identity: a person with more than %s identifiers; the event is not learned", MAX_KEYS)
                return
            try:
                self._replace(now.stored, now.circle, deadline, attempt)
            except ConflictError:
                continue
            if now.known.issuperset(keys):
                return
            # Somebody else may have seen the same identifier for the first time at once: whoever reads last sees both.
        raise _busy()

    def keys(self, identifiers: Identifiers) -> tuple[Key, ...]:
        """Return what the person is kept under: hashes, which can wait in a queue."""
        return self._keys(identifiers)[1]

    def forget(self, keys: Collection[Key], *, deadline: float) -> frozenset[Key]:
        """Forget whoever is meant; return the identifiers that are gone: `{kind}:{hash}`, of persons Meta's own."""
        gone: frozenset[Key] = frozenset()
        wanted: Collection[Key] = keys
        for attempt in range(_ATTEMPTS):
            if not wanted:
                return gone
            stored = self._find(wanted, deadline)
            if not stored:
                return gone
            circle = self._together(stored)
            taken = forget(circle, wanted)
            try:
                self._replace(stored, circle, deadline, attempt)
            except ConflictError:
                continue
            # Two that wrote at once may have left two circles; the other one is found by what is gone now.
            wanted, gone = taken - gone - set(wanted), gone | taken
        if wanted:
            raise _busy()
        return gone

    def _time(self, identifiers: Identifiers) -> int:
        """Return when it was, and never a time to come: nothing is kept the longer for it."""
        return min(identifiers.time, int(self.clock.now()))

    def _keys(self, identifiers: Identifiers) -> tuple[bytes, tuple[Key, ...]]:
        secret = self.secrets.access(self.settings.key or "")
        if secret not in self._shared:
            self._shared = {secret: shared_keys(self.settings.shared_values, secret, self.readings)}
        return secret, keys_of(identifiers, secret, self._shared[secret])

    def _read(self, keys: tuple[Key, ...], deadline: float) -> _Read:
        stored = self._find(keys, deadline)
        circle = self._together(stored)
        return _Read(keys, stored, circle, frozenset(circle))

    def _together(self, stored: Iterable[Stored]) -> Circle:
        return together(
            [decode(one.data) for one in stored],
            self.settings.limits,
            now=self.clock.now(),
            keep_days=self.settings.keep_days,
        )

    def _find(self, keys: Collection[Key], deadline: float) -> list[Stored]:
        return self._guarded(lambda left: self.store.find(keys, timeout_s=left), deadline)

    def _replace(self, stored: Sequence[Stored], circle: Circle, deadline: float, attempt: int) -> None:
        """Write what has changed, over what was read where that gives way."""
        kept = {one.data for one in stored}
        encoded = [(part, encode(part)) for part in parts(circle)]
        gone = {one.name: one for one in stored if one.data not in {data for _, data in encoded}}
        changed = [(_name(part, attempt), part, data) for part, data in encoded if data not in kept]
        if not changed and not gone:
            return
        writes = []
        for name, part, data in sorted(changed, key=lambda one: one[0] not in gone):
            over = gone.pop(name) if name in gone else gone.popitem()[1] if gone else None
            writes.append(
                Write(
                    name=over.name if over else name,
                    over=over,
                    data=data,
                    keys=sorted(part),
                    expires_at=float((last_day(part) + self.settings.keep_days + 1) * _DAY),
                )
            )
        self._guarded(lambda left: self.store.replace(gone.values(), writes, timeout_s=left), deadline)

    def _guarded(self, call: Callable[[float], _T], deadline: float) -> _T:
        left = deadline - self.clock.monotonic()
        if left <= 0:
            raise IdentityUnreachableError("no time is left for the identity graph", scope=SCOPE)
        if not self.breaker.lets_through():
            raise IdentityUnreachableError("the identity graph has failed too often and is left alone", scope=SCOPE)
        try:
            result = call(min(left, self.settings.timeout_s))
        except ConflictError:
            self.breaker.succeeded()
            raise
        except IdentityError:
            self.breaker.failed()
            raise
        self.breaker.succeeded()
        return result


def _busy() -> IdentityUnreachableError:
    return IdentityUnreachableError("others write to the same person all the time", scope=SCOPE)


def _name(part: Circle, attempt: int) -> str:
    """
    Return the name of a new document.

    Two instances that see somebody for the first time at once give one name, so that one of them reads again. Where
    that does not help, the name is in use by what was somebody else once.
    """
    return sha256(f"{naming_key(part, part)} {max(attempt - 1, 0)}".encode()).hexdigest()[:32]


def readings(connections: Iterable[Connection], *, now: float) -> list[Settings]:
    """Return how *connections* read phones, each way once."""
    countries = dict.fromkeys(connection.default_country for connection in connections)
    today = datetime.fromtimestamp(now, UTC).date()
    return [Settings(today=today, default_country=country) for country in countries]
