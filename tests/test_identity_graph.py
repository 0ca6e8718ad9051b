"""The identity graph over a store, one suite for both stores: learned, recognised, merged and forgotten."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from hashlib import sha256
from random import Random
from typing import Any, Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lib.breaker import Breaker
from lib.common_event import CommonEvent
from lib.errors import IdentityError, IdentityUnreachableError
from lib.firestore_store import FirestoreStore
from lib.identity import Identifiers, Identity, identifiers_of
from lib.identity_graph import IdentityGraph
from lib.identity_links import Key, decode, people
from lib.identity_settings import FirestoreSettings, IdentitySettings, Limits
from lib.identity_store import ConflictError, MemoryStore, Store, Stored, Write
from lib.normalization import Settings
from tests.log_records import log_records
from tests.manual_clock import ManualClock
from tests.seams import Values
from tests.test_identity_store import firestore_client

NOW: Final = 1_800_000_000
DAY: Final = 86_400
READING: Final = Settings(today=date(2026, 1, 1), default_country="de")


@dataclass
class World:
    """A graph and what is around it."""

    store: Store = field(default_factory=MemoryStore)
    clock: ManualClock = field(default_factory=lambda: ManualClock(NOW))
    settings: IdentitySettings = field(default_factory=lambda: IdentitySettings(memory=True, key="env:KEY"))

    def __post_init__(self) -> None:
        self.graph = IdentityGraph(
            settings=self.settings,
            store=self.store,
            secrets=Values(),
            clock=self.clock.clock(),
            breaker=Breaker(self.clock.clock()),
            readings=[READING],
        )

    @property
    def deadline(self) -> float:
        return self.clock.monotonic() + 60

    def who(self, *, at: int = 0, **event: Any) -> Identifiers:
        """Return what an event says, so many days ago; `em` and `ph` are Meta's keys."""
        return identifiers_of(CommonEvent(event), overrides={}, cookies={}, settings=READING, time=NOW - at * DAY)

    def resolve(self, **event: Any) -> Identity:
        return self.graph.resolve(self.who(**event), reading=READING, deadline=self.deadline)

    def learn(self, *, facts: Mapping[str, str] | None = None, fbc: str = "", **event: Any) -> Identity:
        """Do what an event does: it is recognised and learned."""
        who = self.who(**event)
        identity = self.graph.resolve(who, reading=READING, deadline=self.deadline)
        self.graph.learn(who, identity, facts=facts or {}, fbc=fbc, deadline=self.deadline)
        return identity

    def forget(self, **event: Any) -> frozenset[str]:
        return self.graph.forget(self.graph.keys(self.who(**event)), deadline=self.deadline)


@pytest.fixture(params=["memory", pytest.param("emulator", marks=pytest.mark.emulator)])
def world(request: pytest.FixtureRequest) -> Iterator[World]:
    """An empty graph."""
    if request.param == "memory":
        yield World()
        return
    client = firestore_client(f"p-{uuid.uuid4().hex[:12]}")
    yield World(store=FirestoreStore(lambda: client, FirestoreSettings()))
    client.close()


def digest(text: str) -> str:
    return sha256(text.encode()).hexdigest()


class TestRecognition:
    def test_somebody_new_is_missed_and_known_from_then_on(self, world: World) -> None:
        first = world.learn(client_id="1.1", email="ada@example.com", facts={"fn": digest("ada")}, fbc="fb.1.5.A")
        then = world.resolve(client_id="1.1")
        assert ("miss", "hit", "graph") == (first.outcome, then.outcome, then.source)
        assert {"em": digest("ada@example.com"), "fn": digest("ada")} == then.fields
        assert [(NOW, "fb.1.5.A")] == list(then.clicks)
        assert first.person_id == then.person_id

    def test_across_devices(self, world: World) -> None:
        ids = [world.learn(client_id=f"{device}.1", email="ada@example.com").person_id for device in range(3)]
        assert {ids[0]} == {world.resolve(client_id=f"{device}.1").person_id for device in range(3)}

    def test_two_people_whom_an_event_proves_to_be_one_are_merged(self, world: World) -> None:
        world.learn(client_id="1.1", email="ada@example.com", at=2)
        world.learn(client_id="2.2", phone="+49 170 1234567", at=1)
        assert "ph" not in world.resolve(client_id="1.1").fields
        world.learn(email="ada@example.com", phone="0170 1234567")
        one, other = world.resolve(client_id="1.1"), world.resolve(client_id="2.2")
        assert (one.person_id, one.fields) == (other.person_id, other.fields)
        assert {"em", "ph"} == one.fields.keys()

    def test_a_shared_device_is_nobodys(self, world: World) -> None:
        world.learn(client_id="1.1", email="ada@example.com")
        world.learn(client_id="1.1", email="bob@example.com")
        assert ("miss", "", {}) == (
            (known := world.resolve(client_id="1.1")).outcome,
            known.person_id,
            known.fields,
        )
        assert digest("bob@example.com") == world.resolve(email="bob@example.com").fields["em"]

    @pytest.mark.parametrize(
        "shared",
        [
            pytest.param({"email": "familie@example.com"}, id="an e-mail that is configured"),
            pytest.param({"email": digest("familie@example.com")}, id="the same, hashed"),
            pytest.param({"phone": "030 12345678"}, id="a phone that is configured in another form"),
            pytest.param({"user_id": "counter-1"}, id="a customer number that is configured"),
            pytest.param({"email": "info@example.com"}, id="the mailbox of a role"),
            pytest.param({"phone": "+49 111111111"}, id="a phone of one digit"),
            pytest.param({"user_id": "0"}, id="a customer number that is none"),
            pytest.param({"email": ""}, id="a blank"),
            pytest.param({"email": "(not set)"}, id="a word for a blank"),
            pytest.param({"user_id": "undefined"}, id="another"),
        ],
    )
    def test_nobody_is_merged_through_a_shared_or_blank_value(self, shared: dict[str, Any]) -> None:
        values = ("familie@example.com", "+49 30 12345678", "counter-1")
        world = World(settings=IdentitySettings(memory=True, key="env:KEY", shared_values=values))
        world.learn(client_id="1.1", **shared)
        world.learn(client_id="2.2", **shared)
        assert world.resolve(client_id="1.1").person_id != world.resolve(client_id="2.2").person_id

    def test_nor_through_what_joins_too_many(self) -> None:
        limits = Limits(devices=3)
        world = World(settings=IdentitySettings(memory=True, key="env:KEY", limits=limits))
        for device in range(4):
            world.learn(client_id=f"{device}.1", email="kasse@example.com")
        assert 4 == len({world.resolve(client_id=f"{device}.1").person_id for device in range(4)})

    def test_what_expires_is_not_known_any_longer(self, world: World) -> None:
        world.learn(client_id="1.1", email="ada@example.com")
        world.clock.pass_(100 * DAY)
        assert "miss" == world.resolve(client_id="1.1").outcome

    def test_an_event_of_the_future_is_not_kept_the_longer_for_it(self, world: World) -> None:
        world.learn(client_id="1.1", email="ada@example.com", at=-1_000)
        world.clock.pass_(100 * DAY)
        assert "miss" == world.resolve(client_id="1.1").outcome

    def test_nothing_is_stored_in_clear_text(self) -> None:
        world = World()
        world.learn(client_id="1.1", email="ada@example.com", phone="+49 170 1234567", user_id="c-88")
        assert isinstance(world.store, MemoryStore)
        kept = b"".join(world.store.everything().values())
        assert [] == [text for text in (b"1.1", b"ada@", b"491701234567", b"c-88") if b'"' + text in kept]
        assert digest("client_id:1.1").encode() not in kept


class TestForgetting:
    def test_by_any_identifier_the_whole_person_and_nobody_else(self, world: World) -> None:
        world.learn(client_id="1.1", email="ada@example.com", phone="+49 170 1234567")
        world.learn(client_id="2.2", email="ada@example.com")
        world.learn(client_id="3.3", email="bob@example.com")
        gone = world.forget(client_id="2.2")
        assert {f"em:{digest('ada@example.com')}", f"ph:{digest('491701234567')}"} < gone
        assert 4 == len(gone)
        assert ["miss", "miss", "hit"] == [world.resolve(client_id=one).outcome for one in ("1.1", "2.2", "3.3")]
        assert frozenset() == world.forget(client_id="2.2")

    def test_circles_that_were_written_at_once_too(self, world: World) -> None:
        # Two instances that did not know of each other: the same e-mail in two documents.
        world.learn(client_id="1.1", email="ada@example.com")
        (one,) = _read(world, "ada@example.com")
        other = World(clock=world.clock)
        other.learn(client_id="2.2", email="ada@example.com")
        (two,) = _read(other, "ada@example.com")
        world.store.replace(
            [], [Write(name="x", over=None, data=two.data, keys=sorted(decode(two.data)), expires_at=NOW)], timeout_s=9
        )
        assert one.name != "x"
        assert 3 == len(world.forget(client_id="1.1"))
        assert "miss" == world.resolve(client_id="2.2").outcome


def _read(world: World, email: str) -> list[Stored]:
    return world.store.find([f"em:{digest(email)}"], timeout_s=9)


@dataclass
class Counted:
    """A store whose round trips are counted, and which can fail or be overtaken by somebody else."""

    store: Store = field(default_factory=MemoryStore)
    trips: list[str] = field(default_factory=list)
    before_writing: list[Callable[[], object]] = field(default_factory=list)
    fails: bool = False

    def find(self, keys: Collection[str], *, timeout_s: float) -> list[Stored]:
        self.trips.append("read")
        if self.fails:
            raise IdentityUnreachableError("down")
        return self.store.find(keys, timeout_s=timeout_s)

    def replace(self, gone: Iterable[Stored], writes: Iterable[Write], *, timeout_s: float) -> None:
        self.trips.append("write")
        if self.before_writing:
            self.before_writing.pop()()
        self.store.replace(gone, writes, timeout_s=timeout_s)


class TestRoundTrips:
    def test_one_to_recognise_and_none_to_learn_where_nothing_is_new(self) -> None:
        store = Counted()
        world = World(store=store)
        world.learn(client_id="1.1", email="ada@example.com")
        # The last of them looks whether another instance has seen the same identifiers for the first time at once.
        assert ["read", "write", "read"] == store.trips
        store.trips.clear()
        world.learn(client_id="1.1")
        assert ["read"] == store.trips
        world.learn(client_id="1.1", email="ada@example.com", facts={"fn": digest("ada")})
        assert ["read", "read", "write"] == store.trips

    def test_who_is_overtaken_reads_again_and_loses_nothing(self) -> None:
        store = Counted()
        world = World(store=store)
        store.before_writing.append(
            lambda: World(store=store.store, clock=world.clock).learn(client_id="2.2", email="ada@example.com")
        )
        world.learn(client_id="1.1", email="ada@example.com")
        assert ["read", "write", "read", "write", "read"] == store.trips
        assert world.resolve(client_id="1.1").person_id == world.resolve(client_id="2.2").person_id

    def test_who_is_overtaken_again_and_again_gives_up_with_an_error(self) -> None:
        class Busy(MemoryStore):
            def replace(self, gone: Iterable[Stored], writes: Iterable[Write], *, timeout_s: float) -> None:
                del gone, writes, timeout_s
                raise ConflictError

        with pytest.raises(IdentityUnreachableError):
            World(store=Busy()).learn(client_id="1.1")
        world = World(store=Counted(store=MemoryStore()))
        world.learn(client_id="1.1")

    def test_a_store_that_fails_again_and_again_is_left_alone_for_a_while(self) -> None:
        store = Counted(fails=True)
        world = World(store=store)
        for _ in range(9):
            with pytest.raises(IdentityError):
                world.resolve(client_id="1.1")
        assert 5 == len(store.trips)
        store.fails = False
        world.clock.pass_(30)
        assert "miss" == world.resolve(client_id="1.1").outcome

    def test_nothing_is_asked_once_the_time_is_over(self) -> None:
        store = Counted()
        world = World(store=store)
        with pytest.raises(IdentityUnreachableError):
            world.graph.resolve(world.who(client_id="1.1"), reading=READING, deadline=world.clock.monotonic())
        assert [] == store.trips


_EVENTS: Final = st.lists(
    st.fixed_dictionaries(
        {},
        optional={
            "client_id": st.sampled_from(["11.1", "22.2", "33.3"]),
            "_fbp": st.sampled_from(["fb.1.1.1111", "fb.1.2.2222"]),
            "email": st.sampled_from(["ada@example.com", "bob@example.com", "eve@example.com"]),
            "phone": st.sampled_from(["+49 170 1234567", "+49 171 7654321"]),
            "user_id": st.sampled_from(["c-1", "c-2"]),
            "at": st.integers(0, 9),
        },
    ),
    min_size=1,
    max_size=8,
)


def _people(world: World) -> set[frozenset[Key]]:
    assert isinstance(world.store, MemoryStore)
    return {person for data in world.store.everything().values() for person in people(decode(data))}


class TestAnyEvents:
    @settings(deadline=None)
    @given(_EVENTS, st.randoms(use_true_random=False))
    def test_end_in_the_same_people_in_any_order_however_often_and_however_late_they_are_learned(
        self, events: Sequence[dict[str, Any]], random: Random
    ) -> None:
        once, other = World(), World()
        for event in events:
            once.learn(**event)
        again = [*events, *random.choices(events, k=3)]
        random.shuffle(again)
        # Between reading and writing of one event there are those of others, as on several instances.
        waiting: list[tuple[Identifiers, Identity]] = []
        for event in again:
            waiting.append((other.who(**event), other.resolve(**event)))
            while waiting and random.random() < 0.5:
                who, identity = waiting.pop(random.randrange(len(waiting)))
                other.graph.learn(who, identity, facts={}, fbc="", deadline=other.deadline)
        for who, identity in waiting:
            other.graph.learn(who, identity, facts={}, fbc="", deadline=other.deadline)
        assert _people(once) == _people(other)
        for event in events:
            assert once.resolve(**event).person_id == other.resolve(**event).person_id

    @settings(deadline=None)
    @given(_EVENTS, st.integers(0, 7))
    def test_leave_no_trace_of_the_forgotten_in_store_and_log(
        self, events: Sequence[dict[str, Any]], chosen: int
    ) -> None:
        world = World()
        with log_records(level=0) as records:
            for event in events:
                world.learn(**event)
            forgotten = events[chosen % len(events)]
            gone = world.forget(**forgotten)
        assert isinstance(world.store, MemoryStore)
        kept = " ".join(data.decode() for data in world.store.everything().values())
        assert [] == [key for key in gone if f'"{key}"' in kept]
        assert [] == [key for key in gone if key in world.store._names]
        assert world.resolve(**forgotten).fields.keys() <= _stated(forgotten)
        assert [] == [record for record in records if any(key.partition(":")[2] in record.getMessage() for key in gone)]


def _stated(event: dict[str, Any]) -> set[str]:
    names = {"email": "em", "phone": "ph", "user_id": "external_id"}
    return {names[key] for key in event if key in names}
