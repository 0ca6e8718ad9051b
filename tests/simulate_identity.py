"""
A month of visitors, made up from a seed, through the identity graph: who is recognised, and how often wrongly.

The graph is the real one over the store of this process. What is made up are the people: how many devices they have,
who logs in, who shares a device or a phone number, and how often a browser loses its cookies. The numbers say what the
graph does with such people; how an advertiser's own behave is the advertiser's to know: each share is an argument.
Not made up are mistakes in what people type, bots, and attackers.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from functools import cache
from hashlib import sha256
from itertools import combinations, pairwise
from random import Random
from typing import Final

from lib.breaker import Breaker
from lib.identity import Identifiers, additions, keys_of
from lib.identity_graph import IdentityGraph
from lib.identity_links import Key, decode, people
from lib.identity_settings import Enrichment, IdentitySettings
from lib.identity_store import MemoryStore
from lib.normalization import Settings
from tests.manual_clock import ManualClock
from tests.seams import Values

_START: Final = 1_800_000_000
_DAY: Final = 86_400
_READING: Final = Settings(today=date(2026, 1, 1))
_SETTINGS: Final = IdentitySettings(memory=True, key="env:KEY")


@dataclass(frozen=True, slots=True, kw_only=True)
class Month:
    """
    What is made up.

    Args:
        people: How many there are.
        days: How long the month is.
        visits: Of one person, on average.
        events: Of one visit, on average.
        devices: Browsers of one person, on average; everybody has one.
        log_in: Share of people who log in sometimes.
        logged_in: Share of their visits at which they are.
        stated: Share of the events of such a visit that state who it is: tags send it with a login or an order.
        phones: Share of those events that state a phone too.
        households: Share of people who live with others and use one phone number together.
        shared_devices: Share of the devices in households that another member uses too.
        second_emails: Share of people with two e-mails.
        cookie_loss: Share of visits before which a browser has lost its cookies.
    """

    seed: int = 7
    people: int = 50_000
    days: int = 30
    visits: float = 4.0
    events: float = 1.6
    devices: float = 2.2
    log_in: float = 0.30
    logged_in: float = 0.30
    stated: float = 0.35
    phones: float = 0.40
    households: float = 0.40
    shared_devices: float = 0.02
    second_emails: float = 0.10
    cookie_loss: float = 0.05


@dataclass(slots=True)
class _Device:
    """A browser; *number* of its cookies grows each time it loses them."""

    name: int
    cookies: int = 0

    def ids(self) -> dict[str, str]:
        return {"client_id": f"{self.name}.{self.cookies}", "fbp": f"fb.1.{self.cookies}.{self.name}"}


@dataclass(slots=True)
class _Person:
    name: int
    household: int
    logs_in: bool
    emails: tuple[str, ...]
    phone: str
    devices: list[_Device] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Visit:
    """One event of *person*, who is logged in if *identifiers* say more than the device."""

    person: int
    identifiers: Identifiers


def _digest(text: str) -> str:
    return sha256(text.encode()).hexdigest()


def _population(month: Month, random: Random) -> list[_Person]:
    persons: list[_Person] = []
    names = iter(range(10**9))
    while len(persons) < month.people:
        size = random.choice((2, 2, 3, 4)) if random.random() < month.households / 1.5 else 1
        household = len(persons)
        for _ in range(min(size, month.people - len(persons))):
            name = len(persons)
            emails = tuple(_digest(f"{name}.{one}") for one in range(1 + (random.random() < month.second_emails)))
            # A household has one number, and some of its members one of their own.
            phone = _digest(f"phone {household if size > 1 and random.random() < 0.7 else name + 10**8}")
            devices = [_Device(next(names)) for _ in range(1 + _poisson(month.devices - 1, random))]
            persons.append(_Person(name, household, random.random() < month.log_in, emails, phone, devices))
    for person, other in pairwise(persons):
        if person.household == other.household:
            other.devices += [one for one in person.devices if random.random() < month.shared_devices]
    return persons


def _poisson(mean: float, random: Random) -> int:
    """Return a number whose mean is *mean*."""
    count, left = 0, random.expovariate(1)
    while left < mean:
        count, left = count + 1, left + random.expovariate(1)
    return count


def visits(month: Month) -> Iterator[Visit]:
    """Yield the events of the month, the first of them first."""
    random = Random(month.seed)
    persons = _population(month, random)
    planned = [
        (random.randrange(month.days * _DAY), person)
        for person in persons
        for _ in range(_poisson(month.visits, random))
    ]
    planned.sort(key=lambda visit: (visit[0], visit[1].name))
    for at, person in planned:
        device = random.choice(person.devices)
        if random.random() < month.cookie_loss:
            device.cookies += 1
        is_logged_in = person.logs_in and random.random() < month.logged_in
        for number in range(1 + _poisson(month.events - 1, random)):
            stated = _stated(month, person, random) if is_logged_in and random.random() < month.stated else {}
            yield Visit(person.name, Identifiers(devices=device.ids(), persons=stated, time=_START + at + 60 * number))


def _stated(month: Month, person: _Person, random: Random) -> dict[str, tuple[str, ...]]:
    stated: dict[str, tuple[str, ...]] = {
        "external_id": (_digest(f"customer {person.name}"),),
        "em": (random.choice(person.emails),),
    }
    return stated | ({"ph": (person.phone,)} if random.random() < month.phones else {})


@dataclass(slots=True)
class Counts:
    """
    What came of a month.

    Args:
        events: All of them.
        before, after: Those with an e-mail or a phone, as they came and with what identity added.
        added, rightly: Those that identity gave one, and those of them to which it is the person's own.
        true, false: Pairs of identifiers that the graph holds to be one person's, and whether somebody uses both.
        missed: Pairs of one person's identifiers that it does not.
    """

    events: int = 0
    before: int = 0
    after: int = 0
    added: int = 0
    rightly: int = 0
    true: int = 0
    false: int = 0
    missed: int = 0
    seconds: float = 0.0

    @property
    def precision(self) -> float:
        """The share of joined pairs that are somebody's."""
        return self.true / max(self.true + self.false, 1)

    @property
    def gain(self) -> float:
        """How many times as many events have an e-mail or a phone."""
        return self.after / max(self.before, 1)

    @property
    def recall(self) -> float:
        """The share of all pairs of a person that are joined."""
        return self.true / max(self.true + self.missed, 1)


def simulate(month: Month, settings: IdentitySettings = _SETTINGS) -> Counts:
    """Let a month pass; return what came of it."""
    began = time.perf_counter()
    clock = ManualClock(_START)
    store = MemoryStore()
    graph = IdentityGraph(
        settings=settings, store=store, secrets=Values(), clock=clock.clock(), breaker=Breaker(clock.clock())
    )
    counts = Counts()
    users: dict[Key, set[int]] = {}
    for visit in visits(month):
        _one(visit, graph, counts, users)
    _judge([person for data in store.everything().values() for person in people(decode(data))], users, counts)
    counts.seconds = time.perf_counter() - began
    return counts


def _one(visit: Visit, graph: IdentityGraph, counts: Counts, users: dict[Key, set[int]]) -> None:
    deadline = 2_000.0
    identity = graph.resolve(visit.identifiers, reading=_READING, deadline=deadline)
    stated = {kind: list(values) for kind, values in visit.identifiers.persons.items()}
    added = additions(stated, identity, Enrichment(), hash_external_id=True, time=visit.identifiers.time)
    graph.learn(visit.identifiers, identity, facts={}, fbc="", deadline=deadline)
    for key in _keys(visit.identifiers):
        users.setdefault(key, set()).add(visit.person)
    has = bool({"em", "ph"} & stated.keys())
    gets = [f"{kind}:{cell}" for kind in ("em", "ph") for cell in _cells(added.get(kind))]
    counts.events += 1
    counts.before += has
    counts.after += has or bool(gets)
    if gets and not has:
        counts.added += 1
        counts.rightly += all(visit.person in users.get(key, ()) for key in gets)


def _keys(identifiers: Identifiers) -> tuple[Key, ...]:
    """Return the graph's keys of an event, each hashed once: the graph itself hashes them each time."""
    devices = tuple(identifiers.devices.items())
    persons = [(kind, digest) for kind, digests in identifiers.persons.items() for digest in digests]
    return (*_device_keys(devices), *(f"{kind}:{digest}" for kind, digest in persons))


@cache
def _device_keys(devices: tuple[tuple[str, str], ...]) -> tuple[Key, ...]:
    return keys_of(Identifiers(devices=dict(devices)), b"KEY")


def _cells(value: object) -> Sequence[str]:
    return value if isinstance(value, list) else ()


def _judge(found: Sequence[frozenset[Key]], users: Mapping[Key, set[int]], counts: Counts) -> None:
    """Count pairs: those that are joined, and those of the same person that are not."""
    place = {key: number for number, person in enumerate(found) for key in person}
    for person in found:
        for one, other in combinations(person, 2):
            if users[one] & users[other]:
                counts.true += 1
            else:
                counts.false += 1
    owned: dict[int, list[Key]] = {}
    for key, owners in users.items():
        for owner in owners:
            owned.setdefault(owner, []).append(key)
    pairs = {(min(one, other), max(one, other)) for keys in owned.values() for one, other in combinations(keys, 2)}
    counts.missed = sum(1 for one, other in pairs if place.get(one, -1) != place.get(other, -2))


def report(month: Month, counts: Counts) -> str:
    """Return what came of *month*, for people."""
    lines = [
        (
            "precision",
            f"{counts.precision:.5f}",
            f"of {counts.true + counts.false:,} pairs of identifiers held to be one's",
        ),
        (
            "recall",
            f"{counts.recall:.5f}",
            f"of {counts.true + counts.missed:,} pairs, devices without a login among them",
        ),
        ("events with em or ph before", _percent(counts.before, counts.events), "as they came"),
        ("events with em or ph after", _percent(counts.after, counts.events), f"{counts.gain:.2f} times as many"),
        (
            "rightly the visitor's own",
            _percent(counts.rightly, counts.added),
            "the rest on another's device (see below)",
        ),
    ]
    shown = [f"{name:28}{value:>10}  {note}" for name, value, note in lines]
    title = f"{month.people:,} people, {month.days} days, {counts.events:,} events, seed {month.seed}"
    limit = "A visit on a device of which only the other user has ever logged in counts as that user's: nothing tells."
    return "\n".join([f"{title}, {counts.seconds:.0f} s", *shown, limit])


def _percent(part: int, whole: int) -> str:
    return f"{100 * part / max(whole, 1):.2f} %"


def main(arguments: Sequence[str]) -> int:
    """Simulate a month; return 0 if the graph is as precise and as useful as it has to be."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    default = Month()
    for name in Month.__slots__:
        value = getattr(default, name)
        parser.add_argument(f"--{name.replace('_', '-')}", type=type(value), default=value, help=f"default {value}")
    month = Month(**vars(parser.parse_args(arguments)))
    counts = simulate(month)
    print(report(month, counts))
    return 0 if counts.precision >= 0.999 and counts.gain >= 2 else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
