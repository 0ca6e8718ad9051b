"""
People recognised again: the step between the gate and normalization, and what is learned once an event has left.

Nothing here stops an event. Who is not recognised in time, for whatever reason, goes with what the event says itself;
then comes what the browser's own cookie remembers, and then nothing.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Final, Protocol

import orjson

from lib.admission import NOT_FORGOTTEN
from lib.common_event import CommonEvent
from lib.errors import IdentityError, IdentityUnreachableError, RelayError
from lib.graph_request import GraphRequest
from lib.identity import (
    Identifiers,
    Identity,
    additions,
    facts_of,
    first_key,
    for_audience,
    identifiers_of,
    in_user_data,
    keys_of,
    person_id,
)
from lib.identity_settings import IdentitySettings
from lib.normalization import Settings
from lib.outcomes import shown_error
from lib.ports import Clock, InTime, Queue, Secrets
from lib.sending import Origin
from lib.user_data import check_user_data

logger = logging.getLogger(__name__)

#: Who says so where an id was made of the event's own.
FIRST_PARTY: Final = "first_party"


class Resolver(Protocol):
    """
    Knows people. A *deadline* is in the clock's monotonic seconds.

    Args:
        source: Its name in answers and in the log.
        forgets: Whether `forget` reaches all that it knows.
        waits: Whether it may have to wait for somebody else, so that it is not waited for beyond its time.
    """

    source: str
    forgets: bool
    waits: bool

    def resolve(self, identifiers: Identifiers, *, reading: Settings, deadline: float) -> Identity:
        """
        Return who that is; `miss` for somebody who was not known before.

        Args:
            reading: How the connection reads identifiers.

        Raises:
            RelayError: It cannot be said.
        """

    def learn(
        self, identifiers: Identifiers, identity: Identity, *, facts: Mapping[str, str], fbc: str, deadline: float
    ) -> None:
        """
        Keep what an event has shown.

        Raises:
            RelayError: It is not kept.
        """

    def keys(self, identifiers: Identifiers) -> tuple[str, ...]:
        """
        Return what that person is kept under, as `{kind}:{hash}`.

        Raises:
            RelayError: It cannot be said.
        """

    def forget(self, keys: Collection[str], *, deadline: float) -> frozenset[str]:
        """
        Forget whoever is kept under *keys*; return the identifiers that were theirs.

        Raises:
            RelayError: They may still be known.
        """


@dataclass(frozen=True, slots=True, kw_only=True)
class Recognizer:
    """
    What recognises the people of all requests.

    Args:
        resolver: None where there are only ids of one's own making.
        secrets: Gives the key that these are made with.
    """

    settings: IdentitySettings
    resolver: Resolver | None
    secrets: Secrets
    clock: Clock
    in_time: InTime

    def identifiers(
        self,
        event: CommonEvent,
        *,
        overrides: Mapping[str, object],
        cookies: Mapping[str, str],
        reading: Settings,
        time: int,
        anonymous_id: str,
        person: Mapping[str, Sequence[object]] | None = None,
    ) -> Identifiers:
        """Return what *event* says of its person; *person* is what is known besides, audience key -> values."""
        return identifiers_of(
            event,
            overrides={**in_user_data(person or {}), **overrides},
            cookies=cookies,
            settings=reading,
            time=time,
            anonymous_id=anonymous_id,
            anonymous_path=self.settings.anonymous_id,
            with_event=self.settings.omni is not None,
        )

    def of_request(self, origin: Origin) -> Recognition:
        """Return what recognises the people of one request."""
        return Recognition(recognizer=self, origin=origin)


@dataclass(slots=True)
class _Recognised:
    """
    A person of one event.

    Args:
        stated: The event's own user_data, or audience keys; nothing before it is built.
        added: What identity adds to it.
    """

    identifiers: Identifiers
    identity: Identity
    stated: Mapping[str, object] = field(default_factory=dict, repr=False)
    added: Mapping[str, object] = field(default_factory=dict, repr=False)


@dataclass(slots=True, kw_only=True)
class Recognition:
    """
    The people of one request, by the event's number in it.

    Args:
        took_ms: Milliseconds that the request has waited for it.
    """

    recognizer: Recognizer
    origin: Origin
    took_ms: float = 0.0
    _people: dict[int, _Recognised] = field(default_factory=dict, repr=False)
    _left: dict[int, None] = field(default_factory=dict, repr=False)
    _told: set[str] = field(default_factory=set, repr=False)

    def recognise(self, people: Mapping[int, Identifiers], reading: Settings) -> None:
        """Find out who *people* are: all at once, and within the time that identity may take of a request."""
        clock = self.recognizer.clock
        began = clock.monotonic()
        deadline = began + self._time_s()
        for (row, who), identity in zip(people.items(), self._resolved(people, reading, deadline), strict=True):
            self._people[row] = _Recognised(who, self._with_own_id(who, identity))
        self.took_ms += 1000 * (clock.monotonic() - began)

    def add_to(self, row: int, user_data: Mapping[str, object], *, hash_external_id: bool) -> dict[str, object]:
        """Return *user_data* with what is known of the event's person under the keys that it lacks."""
        person = self._people.get(row)
        if person is None:
            return dict(user_data)
        added = additions(
            user_data,
            person.identity,
            self.recognizer.settings.enrich,
            hash_external_id=hash_external_id,
            time=person.identifiers.time,
        )
        check_user_data(added, hash_external_id=hash_external_id)
        person.stated, person.added = user_data, added
        return {**user_data, **added}

    def add_to_person(self, row: int, person: Mapping[str, Sequence[object]]) -> dict[str, Sequence[object]]:
        """Return *person*, which is audience key -> values, with what is known of it under the keys that it lacks."""
        if row not in self._people:
            return dict(person)
        recognised = self._people[row]
        added = for_audience(recognised.identity, person, self.recognizer.settings.enrich)
        recognised.stated, recognised.added = person, added
        return {**person, **added}

    def left(self, rows: Iterable[int]) -> None:
        """Note which events leave."""
        self._left.update(dict.fromkeys(rows))

    def learn(self) -> None:
        """Keep what the events that left have shown; nothing of them waits for it any longer."""
        if self.recognizer.resolver is None:
            return
        deadline = self.recognizer.clock.monotonic() + self._time_s()
        groups: dict[object, list[_Recognised]] = {}
        for person in (self._people[row] for row in self._left if row in self._people):
            if person.identifiers:
                groups.setdefault(_anybody(person.identifiers), []).append(person)
        # Events of one browser one after the other: side by side they would only be in each other's way.
        steps = [partial(self._learn_all, group, deadline) for group in groups.values()]
        if None in self.recognizer.in_time(steps, self._time_s()):
            self._tell(IdentityUnreachableError("what events have shown was not kept in time"))

    def forget(self, people: Sequence[Identifiers], queue: Queue | None) -> bool:
        """Forget who has withdrawn consent; return whether they are forgotten, or the queue will see to it."""
        resolver = self.recognizer.resolver
        people = [one for one in people if one]
        if resolver is None or not people:
            return True
        deadline = self.recognizer.clock.monotonic() + self._time_s()
        steps = [partial(self._forget, resolver, one, deadline) for one in people]
        done = self.recognizer.in_time(steps, self._time_s())
        left = [one for one, is_done in zip(people, done, strict=True) if not is_done]
        if all([self._attempt(partial(self._put_off, resolver, one, queue)) for one in left]):  # noqa: C419 - each is tried
            return True
        logger.error(NOT_FORGOTTEN)
        return False

    def _forget(self, resolver: Resolver, who: Identifiers, deadline: float) -> bool:
        return self._attempt(lambda: resolver.forget(resolver.keys(who), deadline=deadline))

    def _put_off(self, resolver: Resolver, who: Identifiers, queue: Queue | None) -> None:
        """Leave it to the queue, by hashes alone."""
        if queue is None:
            raise IdentityUnreachableError("no queue is configured that could see to it later")
        data = orjson.dumps({"keys": list(resolver.keys(who))})
        queue.publish(data, {"type": "forget", "trace-id": self.origin.trace_id})

    def columns(self, request: GraphRequest) -> dict[str, object]:
        """Return what the delivery log says of identity in a call to Meta."""
        people = [self._people[row] for row in request.numbers if row in self._people]
        if not people:
            return {}
        sources = sorted({one.identity.source for one in people if one.identity.outcome != "failed"})
        outcomes = sorted({one.identity.outcome for one in people})
        return {
            "identity_source": ", ".join(sources) or None,
            "identity_outcome": ", ".join(outcomes),
            "identity_fields_added": sum(len(one.added) for one in people),
            "identity_ms": self.took_ms if request.batch == 1 else None,
            "match_keys_before": _counted(one.stated for one in people),
            "match_keys_after": _counted({**one.stated, **one.added} for one in people),
        }

    @property
    def _source(self) -> str:
        return FIRST_PARTY if self.recognizer.resolver is None else self.recognizer.resolver.source

    def _time_s(self) -> float:
        """Return the seconds that may still pass: never more than the caller has."""
        most = self.recognizer.settings.timeout_s
        if self.origin.deadline is None:
            return most
        return min(most, max(self.origin.deadline - self.recognizer.clock.monotonic(), 0.0))

    def _resolved(self, people: Mapping[int, Identifiers], reading: Settings, deadline: float) -> Iterable[Identity]:
        resolver = self.recognizer.resolver
        if resolver is None or not resolver.waits:
            # There is nothing that could be late.
            return [self._resolve(one, reading, deadline) for one in people.values()]
        steps = [partial(self._resolve, one, reading, deadline) for one in people.values()]
        found = self.recognizer.in_time(steps, deadline - self.recognizer.clock.monotonic())
        if None in found:
            self._tell(IdentityUnreachableError("who somebody is was not known in time"))
        return [identity or Identity(source=self._source, outcome="failed") for identity in found]

    def _resolve(self, identifiers: Identifiers, reading: Settings, deadline: float) -> Identity:
        resolver = self.recognizer.resolver
        if resolver is None or not identifiers:
            return Identity(source=self._source, outcome="miss")
        found: list[Identity] = []
        self._attempt(lambda: found.append(resolver.resolve(identifiers, reading=reading, deadline=deadline)))
        return found[0] if found else Identity(source=self._source, outcome="failed")

    def _learn_all(self, people: Sequence[_Recognised], deadline: float) -> bool:
        resolver = self.recognizer.resolver
        steps = [
            partial(
                resolver.learn,
                one.identifiers,
                one.identity,
                facts=facts_of(one.stated),
                fbc=self._click(one.stated),
                deadline=deadline,
            )
            for one in people
            if resolver is not None
        ]
        kept = [self._attempt(step) for step in steps]
        return all(kept)

    def _click(self, user_data: Mapping[str, object]) -> str:
        """Return the click that is learned: none where none is ever added."""
        fbc = user_data.get("fbc")
        return fbc if isinstance(fbc, str) and self.recognizer.settings.enrich.fbc != "none" else ""

    def _attempt(self, step: Callable[[], object]) -> bool:
        """Return whether *step* succeeds; whatever it raises, the event goes on."""
        try:
            step()
        except RelayError as error:
            self._tell(error)
        except Exception:
            logger.exception("a fault of ours while people are recognised")
        else:
            return True
        return False

    def _with_own_id(self, identifiers: Identifiers, identity: Identity) -> Identity:
        """Give somebody whom nobody knows an id made of the event's own, where that is configured."""
        settings = self.recognizer.settings
        if identity.outcome == "hit":
            return identity
        if not settings.user_id:
            return replace(identity, person_id="") if identity.source == "graph" else identity
        if identity.person_id or identity.read is not None or not identifiers:
            return identity
        made: list[str] = []
        self._attempt(lambda: made.append(self._own_id(identifiers)))
        return replace(identity, source=FIRST_PARTY, person_id=made[0]) if made else identity

    def _own_id(self, identifiers: Identifiers) -> str:
        secret = self.recognizer.secrets.access(self.recognizer.settings.key or "")
        keys = keys_of(identifiers, secret)
        return person_id(secret, first_key(keys)) if keys else ""

    def _tell(self, error: RelayError) -> None:
        """Log what has failed, once for each request: its type, process and scope."""
        if error.message in self._told:
            return
        self._told.add(error.message)
        level = logging.WARNING if isinstance(error, IdentityError) and error.action is None else logging.ERROR
        facts = shown_error(error, self.origin.trace_id, self.recognizer.clock.now())
        logger.log(level, "%s: %s", type(error).__name__, error.message, extra={"error": facts})


def _anybody(identifiers: Identifiers) -> object:
    """Return one identifier, which events of one browser or person share."""
    return next(iter([*identifiers.devices.items(), *identifiers.persons.items()]))


def _counted(keys: Iterable[Iterable[str]]) -> str:
    """Return how many events had each key, as JSON."""
    counts = Counter(key for of_event in keys for key in of_event)
    return orjson.dumps(dict(counts), option=orjson.OPT_SORT_KEYS).decode()
