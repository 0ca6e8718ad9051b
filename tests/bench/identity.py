"""
What recognising people adds to an event of a shop: with a resolver that answers at once, and with those that there are.

Events are as `getAllEventData()` gives them. The resolvers that wait for others are asked through a thread, so that
they can be left behind when their time is over.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import date
from functools import partial
from statistics import median
from typing import Final

import orjson

from lib.breaker import Breaker
from lib.click_ids import browser_ids
from lib.common_event import CommonEvent
from lib.events import EventPolicy, build_server_event
from lib.firestore_store import FirestoreStore
from lib.graph_request import event_call
from lib.identity import Identifiers, Identity
from lib.identity_graph import IdentityGraph
from lib.identity_settings import FirestoreSettings, IdentitySettings, OmniSettings
from lib.identity_store import MemoryStore, Store
from lib.normalization import Settings
from lib.omni import OmniIdentity
from lib.ports import Clock, InTime, Reply
from lib.recognition import Recognizer, Resolver
from lib.report import Report
from lib.sending import Origin
from lib.user_data import build_user_data
from tests.bench.rounds import Step
from tests.german_purchase import PURCHASE
from tests.local.firestore import firestore_emulator
from tests.seams import Values

_POLICY: Final = EventPolicy(now=1_800_000_000, seed="bench")
_NOW: Final = 1_800_000_000
_READING: Final = Settings(today=date(2027, 1, 15), default_country="de")
_SETTINGS: Final = IdentitySettings(memory=True, key="env:KEY", timeout_ms=5_000)
_ORIGIN: Final = Origin(request_id="bench", trace_id="bench", caller="bench", kind="events", started=0.0)
_UUID: Final = "5f0c2f6e-2b9f-4a57-9d1a-0c0ffee00001"
_ANSWER: Final = Reply(200, {}, orjson.dumps({"success": True, "data": {"uuid": _UUID}}))


class _AtOnce:
    """A resolver that knows everybody and takes no time."""

    source: str = "stub"
    forgets: bool = True

    def __init__(self, *, waits: bool) -> None:
        self.waits = waits

    def resolve(self, identifiers: Identifiers, *, reading: Settings, deadline: float) -> Identity:
        """Return somebody."""
        del identifiers, reading, deadline
        return Identity(source="stub", outcome="hit", person_id="p", fields={"em": "0" * 64})

    def learn(
        self, identifiers: Identifiers, identity: Identity, *, facts: Mapping[str, str], fbc: str, deadline: float
    ) -> None:
        """Learn nothing."""
        del identifiers, identity, facts, fbc, deadline

    def keys(self, identifiers: Identifiers) -> tuple[str, ...]:
        """Keep nobody."""
        del identifiers
        return ()

    def forget(self, keys: Collection[str], *, deadline: float) -> frozenset[str]:
        """Forget nobody."""
        del keys, deadline
        return frozenset()


def _transport(method: str, url: str, *, headers: Mapping[str, str], body: bytes, timeout: float) -> Reply:
    del method, url, headers, body, timeout
    return _ANSWER


def _omni() -> OmniIdentity:
    clock = Clock()
    settings = OmniSettings(endpoint="https://identity.example.com", access_token="env:TOKEN", cache_s=0)
    return OmniIdentity(
        settings=settings,
        timeout_s=1.0,
        with_journal=False,
        transport=_transport,
        secrets=Values(),
        clock=clock,
        breaker=Breaker(clock),
        cache_key=b"bench",
    )


def graph(store: Store) -> IdentityGraph:
    """Return a graph over *store*, asked as bootstrap has it asked."""
    clock = Clock(now=lambda: float(_NOW))
    return IdentityGraph(
        settings=_SETTINGS,
        store=store,
        secrets=Values(),
        clock=clock,
        breaker=Breaker(clock),
        waits=not isinstance(store, MemoryStore),
    )


def recognize(resolver: Resolver) -> Callable[[CommonEvent], dict[str, object]]:
    """Return the step of the flow between the gate and the building of an event."""
    recognizer = Recognizer(settings=_SETTINGS, resolver=resolver, secrets=Values(), clock=Clock(), in_time=InTime(4))

    def step(event: CommonEvent) -> dict[str, object]:
        recognition = recognizer.of_request(_ORIGIN)
        recognition.recognise({0: who(recognizer, event)}, _READING)
        return recognition.add_to(0, {"client_user_agent": "Mozilla/5.0"}, hash_external_id=True)

    return step


def who(recognizer: Recognizer, event: CommonEvent) -> Identifiers:
    """Return what *event* says of its person."""
    return recognizer.identifiers(event, overrides={}, cookies={}, reading=_READING, time=_NOW, anonymous_id="")


def purchases(count: int) -> list[CommonEvent]:
    """Return purchases, each of another person."""
    return [
        CommonEvent(
            {
                **PURCHASE,
                "timestamp": _NOW - 1,
                "client_id": f"{number}.1769853600",
                "user_id": f"cust-{number}",
                "user_data": {
                    "email": f" Jana.Muster{number}@Example.com ",
                    "phone_number": f"+49 (0)170 {1_000_000 + number}",
                    "address": PURCHASE["user_data"]["address"],
                },
            }
        )
        for number in range(count)
    ]


def built(event: CommonEvent) -> bytes:
    """Return the body that leaves for *event*."""
    report = Report()
    ids = browser_ids(event, overrides={}, cookies={}, time_ms=lambda: 1_000 * _NOW, report=report, row=0)
    user_data = build_user_data(
        event, overrides={}, cookies={}, browser_ids=ids, settings=_READING, report=report, row=0
    )
    made = build_server_event(event, _POLICY, overrides={}, user_data=user_data, report=report, row=0)
    assert made is not None
    return event_call(
        [made],
        connection="acme",
        destination={"dataset_id": "3001"},
        test_event_code=None,
        batch_number=1,
        numbers=(0,),
    ).body_bytes()


#: Mark of a step -> what answers.
RESOLVERS: Final[Mapping[str, Callable[[], Resolver]]] = {
    "at once": lambda: _AtOnce(waits=False),
    "at once, by a thread": lambda: _AtOnce(waits=True),
    "Omni, at once": _omni,
    "graph in memory": lambda: graph(MemoryStore()),
}


def identity_steps(count: int) -> list[Step]:
    """Return the building of *count* events, each for itself, and what each resolver adds to it."""
    made = purchases(count)
    steps = [Step("building", lambda: made, lambda events: [built(event) for event in events])]
    for name, make in RESOLVERS.items():
        resolver = make()
        if isinstance(resolver, IdentityGraph):
            learn(resolver, made)
        steps.append(Step(name, lambda: made, partial(_each, recognize(resolver))))
    return steps


def _each(step: Callable[[CommonEvent], object], events: Sequence[CommonEvent]) -> list[object]:
    return [step(event) for event in events]


def learn(resolver: IdentityGraph, made: Sequence[CommonEvent]) -> tuple[list[float], list[float]]:
    """Let the graph know the people of these events; return the seconds for recognising and for learning of each."""
    recognizer = Recognizer(settings=_SETTINGS, resolver=resolver, secrets=Values(), clock=Clock(), in_time=InTime(4))
    recognised, learned = [], []
    for event in made:
        person = who(recognizer, event)
        deadline = time.monotonic() + 60
        began = time.perf_counter()
        identity = resolver.resolve(person, reading=_READING, deadline=deadline)
        recognised.append(time.perf_counter() - began)
        resolver.learn(person, identity, facts={}, fbc="", deadline=deadline)
        learned.append(time.perf_counter() - began - recognised[-1])
    return recognised, learned


def firestore_milliseconds(count: int) -> dict[str, float] | None:
    """Return the median milliseconds of each step with Google's emulator; None where it is not there."""
    with firestore_emulator() as client:
        if client is None:
            return None
        store = FirestoreStore(lambda: client, FirestoreSettings(collection=f"bench_{time.time_ns()}"))
        resolver, made = graph(store), purchases(count)
        new, learned = learn(resolver, made)
        known, _ = learn(resolver, made)
    return {
        "somebody known": 1e3 * median(known),
        "somebody new": 1e3 * median(new),
        "learning of somebody new, once the event has left": 1e3 * median(learned),
    }
