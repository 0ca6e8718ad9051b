"""
Identifiers that were seen together -> people. Deterministic: nothing is guessed, and nothing depends on the order.

The identity graph has a node for each identifier and a link between two that one event held. What it says is a function
of the set of events alone:

1. An identifier that was seen with more others of a kind than `Limits` allows is *shared*, for ever: it keeps no link,
   and joins nobody. That of its neighbours which know of it count it as before.
2. E-mails, phones and customer numbers that are linked are one person.
3. Browsers and devices that are linked are one cluster. One that touches a single person is that person's, one that
   touches none is a person nobody knows, and one that touches several is nobody's: two people behind one browser are
   not one person.

A *circle* holds what is linked with each other in whichever way, devices between two people included, so that one
reading of it is enough to decide. It is the unit that is stored.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any, Final

import orjson

from lib.identity_settings import Limits

#: `{kind}:{digest}`; see `lib.identity`.
Key = str

#: Kinds that name a person; of several the first is the best to name it by.
PERSONAL: Final = ("external_id", "em", "ph")
#: Kinds that name a browser, a device or an installation.
DEVICES: Final = ("anonymous_id", "client_id", "device_id", "madid", "fbp")
#: How well a kind names a person, the best first.
RANK: Final = {kind: rank for rank, kind in enumerate((*PERSONAL, *DEVICES))}
_DAY: Final = 86_400
#: Clicks that a key remembers, the latest of them.
_CLICKS: Final = 10
#: Identifiers of a circle. Nobody has so many: what would make it larger is not learned.
MAX_KEYS: Final = 500


def kind_of(key: Key) -> str:
    """Return the kind of *key*."""
    return key.partition(":")[0]


@dataclass(frozen=True, slots=True, kw_only=True)
class Observation:
    """
    What one event shows of one person, under consent.

    Args:
        keys: Its identifiers, those of devices first; at least one.
        time: Of the event, in Unix seconds.
        facts: Hashes of what else it says, by Meta's key.
        fbc: The click that it came by; `""` for none.
    """

    keys: tuple[Key, ...] = field(repr=False)
    time: int
    facts: Mapping[str, str] = field(default_factory=dict, repr=False)
    fbc: str = field(default="", repr=False)


@dataclass(slots=True)
class Node:
    """
    What is known of an identifier.

    Args:
        first_seen: In Unix seconds.
        last_seen: In days since 1970, as all that ages.
        links: Identifiers that an event held beside it -> the last day of such an event.
        cut: Marks of those that turned out to be shared; they count and lead nowhere.
        facts: Meta's key -> the latest hash and the time of its event.
        clicks: Time -> fbc.
    """

    first_seen: int
    last_seen: int
    is_shared: bool = False
    links: dict[Key, int] = field(default_factory=dict, repr=False)
    cut: dict[str, int] = field(default_factory=dict, repr=False)
    facts: dict[str, tuple[str, int]] = field(default_factory=dict, repr=False)
    clicks: dict[int, str] = field(default_factory=dict, repr=False)

    def share(self) -> None:
        """Give up all but the fact that it is shared."""
        self.is_shared = True
        for part in (self.links, self.cut, self.facts, self.clicks):
            part.clear()

    def add(self, other: Node) -> None:
        """Take over what another reading knows of the same identifier."""
        self.first_seen = min(self.first_seen, other.first_seen)
        self.last_seen = max(self.last_seen, other.last_seen)
        if self.is_shared or other.is_shared:
            self.share()
            return
        _keep_latest(self.links, other.links)
        _keep_latest(self.cut, other.cut)
        self.learn(other.facts)
        self.click(other.clicks)

    def learn(self, facts: Mapping[str, tuple[str, int]]) -> None:
        """Keep the latest of each fact."""
        for name, (value, time) in facts.items():
            known = self.facts.get(name)
            if known is None or (time, value) > (known[1], known[0]):
                self.facts[name] = (value, time)

    def click(self, clicks: Mapping[int, str]) -> None:
        """Keep the latest clicks; of two at once the greater, so that the order does not matter."""
        for time, fbc in clicks.items():
            self.clicks[time] = max(fbc, self.clicks.get(time, ""))
        for time in sorted(self.clicks)[:-_CLICKS]:
            del self.clicks[time]

    def forget_before(self, day: int) -> None:
        """Give up what is older than *day*."""
        self.links = {key: last for key, last in self.links.items() if last >= day}
        self.cut = {mark: last for mark, last in self.cut.items() if last >= day}
        self.facts = {name: fact for name, fact in self.facts.items() if fact[1] // _DAY >= day}
        self.clicks = {time: fbc for time, fbc in self.clicks.items() if time // _DAY >= day}


Circle = dict[Key, Node]


def encode(circle: Circle) -> bytes:
    """Return *circle* as JSON, always the same for the same circle."""
    return orjson.dumps(
        {
            key: [
                *(one.first_seen, one.last_seen, int(one.is_shared), one.links, one.cut, one.facts),
                {str(time): fbc for time, fbc in one.clicks.items()},
            ]
            for key, one in circle.items()
        },
        option=orjson.OPT_SORT_KEYS,
    )


def decode(data: bytes) -> Circle:
    """Return the circle that *data* is."""
    stored: Mapping[str, Any] = orjson.loads(data)
    return {
        key: Node(
            first,
            last,
            bool(is_shared),
            links,
            cut,
            {name: (value, time) for name, (value, time) in facts.items()} if facts else {},
            {int(time): fbc for time, fbc in clicks.items()} if clicks else {},
        )
        for key, (first, last, is_shared, links, cut, facts, clicks) in stored.items()
    }


def last_day(circle: Circle) -> int:
    """Return the last day on which anything of *circle* was seen, in days since 1970."""
    return max(node.last_seen for node in circle.values())


def together(circles: Iterable[Circle], limits: Limits, *, now: float, keep_days: int) -> Circle:
    """Return *circles* as one, without what has expired."""
    day = int(now) // _DAY - keep_days
    whole: Circle = {}
    several = list(circles)
    for circle in several:
        for key, node in circle.items():
            if node.last_seen < day:
                continue
            # What is known of an identifier is no older than itself.
            if node.first_seen // _DAY < day:
                node.forget_before(day)
            if key in whole:
                whole[key].add(node)
            else:
                whole[key] = node
    if len(several) > 1:
        _drop_loose_ends(whole)
        _settle(whole, list(whole), limits)
    return whole


def observe(circle: Circle, seen: Observation, limits: Limits) -> bool:
    """
    Add what an event shows; return whether there was room for it.

    *circle* must hold all that is known of the event's keys.
    """
    day = seen.time // _DAY
    if len(circle) + len([key for key in seen.keys if key not in circle]) > MAX_KEYS:
        return False
    for key in seen.keys:
        node = circle.get(key)
        if node is None:
            circle[key] = Node(seen.time, day)
        else:
            node.first_seen = min(node.first_seen, seen.time)
            node.last_seen = max(node.last_seen, day)
    met = [key for key in seen.keys if not circle[key].is_shared and _link(circle, key, seen.keys, day)]
    facts = {name: (value, seen.time) for name, value in seen.facts.items()}
    for key in _holders(seen.keys) if facts else ():
        if not circle[key].is_shared:
            circle[key].learn(facts)
    # Keys of devices come first.
    if seen.fbc and not circle[seen.keys[0]].is_shared:
        circle[seen.keys[0]].click({seen.time: seen.fbc})
    _settle(circle, met, limits)
    return True


def _link(circle: Circle, key: Key, others: Iterable[Key], day: int) -> bool:
    """Note what *key* was seen with; return whether any of it is new to it."""
    node = circle[key]
    before = len(node.links) + len(node.cut)
    for other in others:
        if other == key:
            continue
        if circle[other].is_shared:
            _keep_latest(node.cut, {_mark(key, other): day})
        elif node.links.get(other, -1) < day:
            node.links[other] = day
    return len(node.links) + len(node.cut) > before


def _holders(keys: tuple[Key, ...]) -> tuple[Key, ...]:
    """Return the identifiers that facts of an event are kept with: those of the person, else one of the device."""
    return tuple(key for key in keys if kind_of(key) in PERSONAL) or keys[:1]


def _settle(circle: Circle, changed: Iterable[Key], limits: Limits) -> None:
    """Find what of *changed* has become shared, and cut the links to it."""
    shared = [key for key in changed if _has_too_many(key, circle[key], limits)]
    for key in shared:
        for other in circle[key].links:
            day = circle[other].links.pop(key, None) if other in circle else None
            if day is not None:
                _keep_latest(circle[other].cut, {_mark(other, key): day})
        circle[key].share()


def _drop_loose_ends(circle: Circle) -> None:
    """Cut links to what another reading knows to be shared."""
    for key, node in circle.items():
        for other in [other for other in node.links if other not in circle or circle[other].is_shared]:
            day = node.links.pop(other)
            if other in circle:
                _keep_latest(node.cut, {_mark(key, other): day})


def _has_too_many(key: Key, node: Node, limits: Limits) -> bool:
    counts = Counter(map(kind_of, (*node.links, *node.cut)))
    if not _exceed(key, counts, limits):
        return False
    # Of two readings one may know already that a neighbour is shared, which is still one neighbour.
    known = {_mark(key, other) for other in node.links} & node.cut.keys()
    return _exceed(key, counts - Counter(map(kind_of, known)), limits)


def _exceed(key: Key, counts: Mapping[str, int], limits: Limits) -> bool:
    return any(count > _most(kind_of(key), kind, limits) for kind, count in counts.items())


def _most(kind: str, other: str, limits: Limits) -> int:
    if other in DEVICES:
        return limits.devices
    if kind in DEVICES:
        return limits.per_device
    return limits.per_phone if kind == "ph" and other != "ph" else limits.per_person


def _mark(key: Key, other: Key) -> str:
    """Return what tells *other*, which is shared, from others beside *key*: enough to be counted, and no identifier."""
    return f"{kind_of(other)}:{sha256(f'{key} {other}'.encode()).hexdigest()[:6]}"


def _keep_latest(days: dict[str, int], more: Mapping[str, int]) -> None:
    for key, day in more.items():
        if day > days.get(key, -1):
            days[key] = day


def parts(circle: Circle) -> list[Circle]:
    """Return *circle* as circles of which none can be parted further."""
    return [{key: circle[key] for key in part} for part in _components(circle, circle)]


def people(circle: Circle) -> list[frozenset[Key]]:
    """Return the identifiers of each person; those of nobody are in none."""
    known = {key for key, node in circle.items() if not node.is_shared}
    persons = [set(part) for part in _components(circle, {key for key in known if kind_of(key) in PERSONAL})]
    owner = {key: place for place, person in enumerate(persons) for key in person}
    unknown = []
    for cluster in _components(circle, {key for key in known if kind_of(key) in DEVICES}):
        touched = {owner[other] for key in cluster for other in circle[key].links if other in owner}
        if not touched:
            unknown.append(cluster)
        elif len(touched) == 1:
            persons[touched.pop()].update(cluster)
    return [*map(frozenset, persons), *map(frozenset, unknown)]


def person_of(circle: Circle, keys: Iterable[Key]) -> frozenset[Key]:
    """Return the identifiers of the person whom an event with these *keys* is about; none if it is nobody."""
    known = [key for key in keys if key in circle and not circle[key].is_shared]
    named = [key for key in known if kind_of(key) in PERSONAL] or known
    return next((person for person in people(circle) if not person.isdisjoint(named)), frozenset())


def _components(circle: Circle, within: Iterable[Key]) -> Iterator[list[Key]]:
    left = dict.fromkeys(within)
    while left:
        reached = [left.popitem()[0]]
        for key in reached:
            for other in circle[key].links:
                if other in left:
                    del left[other]
                    reached.append(other)
        yield reached


def naming_key(circle: Circle, person: Iterable[Key]) -> Key:
    """Return the identifier by which *person* was known first: one of the person, else one of a device."""
    return min(
        person,
        key=lambda key: (kind_of(key) in DEVICES, circle[key].first_seen, RANK[kind_of(key)], key),
    )


def known_facts(circle: Circle, person: Iterable[Key]) -> dict[str, str]:
    """Return what is known of *person*, by Meta's key: the latest of each, as hashes."""
    facts: dict[str, tuple[int, str]] = {}
    for key in person:
        node = circle[key]
        kind, _, digest = key.partition(":")
        found = {name: (time, value) for name, (value, time) in node.facts.items()}
        if kind in PERSONAL:
            found[kind] = (node.last_seen * _DAY, digest)
        for name, fact in found.items():
            facts[name] = max(fact, facts.get(name, fact))
    return {name: value for name, (_, value) in facts.items()}


def known_clicks(circle: Circle, person: Iterable[Key]) -> list[tuple[int, str]]:
    """Return the clicks of *person*, the first of them first."""
    return sorted((time, fbc) for key in person for time, fbc in circle[key].clicks.items())


def forget(circle: Circle, keys: Iterable[Key]) -> frozenset[Key]:
    """Take out whoever is meant by *keys*, and the keys themselves; return what was taken out."""
    named = [key for key in keys if key in circle]
    gone = frozenset(named).union(*(person_of(circle, [key]) for key in named))
    for key in gone:
        for other in circle.pop(key).links:
            if other in circle:
                circle[other].links.pop(key, None)
    return gone
