"""The step between gate and normalization: it takes its time and no more, and nothing in it stops an event."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from threading import Event, Lock
from typing import Any, Final, TypeVar

import orjson
import pytest

from lib.errors import IdentityUnreachableError
from lib.graph_request import GraphRequest, event_call
from lib.identity import Identifiers, Identity
from lib.identity_settings import Enrichment, IdentitySettings
from lib.normalization import Settings
from lib.ports import InTime
from lib.recognition import Recognition, Recognizer
from lib.sending import Origin
from lib.user_data import UnsafeUserDataError
from tests.log_records import log_records
from tests.manual_clock import ManualClock
from tests.seams import Kept, Values

_T = TypeVar("_T")
READING: Final = Settings(today=date(2026, 1, 1))
HASH: Final = "a" * 64
ADA: Final = Identity(source="stub", outcome="hit", person_id="p-1", fields={"em": HASH})


@dataclass
class Stub:
    """A resolver that does as it is told."""

    answer: Callable[[Identifiers], Identity] = lambda _who: ADA
    source: str = "stub"
    forgets: bool = True
    waits: bool = False
    learned: list[tuple[Identifiers, Mapping[str, str], str]] = field(default_factory=list)
    deadlines: list[float] = field(default_factory=list)
    fails: bool = False
    _lock: Lock = field(default_factory=Lock)

    def resolve(self, identifiers: Identifiers, *, reading: Settings, deadline: float) -> Identity:
        del reading
        self.deadlines.append(deadline)
        return self.answer(identifiers)

    def learn(
        self, identifiers: Identifiers, identity: Identity, *, facts: Mapping[str, str], fbc: str, deadline: float
    ) -> None:
        del identity, deadline
        self._fail()
        with self._lock:
            self.learned.append((identifiers, facts, fbc))

    def keys(self, identifiers: Identifiers) -> tuple[str, ...]:
        return tuple(f"{kind}:{HASH[:32]}" for kind in identifiers.devices)

    def forget(self, keys: Collection[str], *, deadline: float) -> frozenset[str]:
        del deadline
        self._fail()
        return frozenset(keys)

    def _fail(self) -> None:
        if self.fails:
            raise IdentityUnreachableError("down")


class InTurn(InTime):
    """Runs calls one after the other, and notes how long they may take."""

    def __init__(self) -> None:
        super().__init__(1)
        self.seconds: list[float] = []

    def __call__(self, calls: Sequence[Callable[[], _T]], seconds: float) -> list[_T | None]:
        self.seconds.append(seconds)
        return [call() for call in calls]


def recognition(
    stub: Stub | None,
    *,
    clock: ManualClock | None = None,
    in_time: InTime | None = None,
    left_s: float | None = None,
    **settings: Any,
) -> Recognition:
    clock = clock or ManualClock()
    return Recognizer(
        settings=IdentitySettings(key="env:KEY", **settings),
        resolver=stub,
        secrets=Values(),
        clock=clock.clock(),
        in_time=in_time or InTurn(),
    ).of_request(
        Origin(
            request_id="r",
            trace_id="t",
            caller="c",
            kind="events",
            started=clock.monotonic(),
            deadline=None if left_s is None else clock.monotonic() + left_s,
        )
    )


def person(number: int = 1) -> Identifiers:
    return Identifiers(devices={"client_id": f"{number}.1"}, time=1_800_000_000)


def call(*rows: int, batch: int = 1) -> GraphRequest:
    return event_call(
        [{"event_name": "Lead"} for _ in rows],
        connection="acme",
        destination={"dataset_id": "1"},
        test_event_code=None,
        batch_number=batch,
        numbers=rows,
    )


class TestTime:
    @pytest.mark.parametrize(
        ("left_s", "expected"),
        [(None, 0.8), (2.5, 0.8), (0.5, 0.5), (-1.0, 0.0)],
        ids=["no hurry", "time", "hurry", "none"],
    )
    def test_is_the_limit_or_what_the_caller_has_left(self, left_s: float | None, expected: float) -> None:
        stub, in_time, clock = Stub(waits=True), InTurn(), ManualClock()
        recognition(stub, clock=clock, in_time=in_time, left_s=left_s).recognise({0: person()}, READING)
        assert [expected] == [pytest.approx(seconds) for seconds in in_time.seconds]
        assert [clock.monotonic() + expected] == stub.deadlines

    def test_what_is_late_is_left_behind(self) -> None:
        late = Event()

        def answer(who: Identifiers) -> Identity:
            if who == person(2):
                late.wait(20)
            return ADA

        one = recognition(Stub(answer, waits=True), in_time=InTime(4), timeout_ms=200)
        with log_records() as records:
            one.recognise({row: person(row) for row in (1, 2, 3)}, READING)
        late.set()
        outcomes = [orjson.loads(one.columns(call(row))["match_keys_after"]) for row in (1, 2, 3)]  # type: ignore[arg-type]
        assert [{}, {}, {}] == outcomes
        assert ["hit", "failed", "hit"] == [one.columns(call(row))["identity_outcome"] for row in (1, 2, 3)]
        (record,) = records
        assert ("IdentityUnreachableError", "identify", "t") == (
            (error := record.__dict__["error"])["type"],
            error["process"],
            error["trace_id"],
        )


class TestFailures:
    @pytest.mark.parametrize("error", [IdentityUnreachableError("down"), RuntimeError("ada@example.com")])
    def test_of_any_kind_leave_the_event_as_it_is_and_are_told_once(self, error: Exception) -> None:
        def answer(_who: Identifiers) -> Identity:
            raise error

        one = recognition(Stub(answer))
        with log_records() as records:
            one.recognise({0: person(0), 1: person(1)}, READING)
        assert {"client_user_agent": "x"} == one.add_to(0, {"client_user_agent": "x"}, hash_external_id=True)
        assert len(records) == (1 if isinstance(error, IdentityUnreachableError) else 2)

    def test_what_would_leave_in_the_clear_is_a_fault_of_ours(self) -> None:
        one = recognition(Stub(lambda _who: replace(ADA, fields={"em": "ada@example.com"})))
        one.recognise({0: person()}, READING)
        with pytest.raises(UnsafeUserDataError):
            one.add_to(0, {}, hash_external_id=True)

    def test_of_learning_and_forgetting_are_told_and_no_more(self) -> None:
        one = recognition(Stub(fails=True))
        one.recognise({0: person()}, READING)
        one.add_to(0, {}, hash_external_id=True)
        one.left([0])
        with log_records() as records:
            one.learn()
            assert not one.forget([person()], None)
        # The outage once, that there is no queue, and that somebody who wants to be forgotten is not.
        assert ["WARNING", "WARNING", "ERROR"] == [record.levelname for record in records]

    def test_of_forgetting_are_left_to_the_queue_by_hashes_alone(self) -> None:
        queue = Kept()
        assert recognition(Stub(fails=True)).forget([person(), Identifiers(), person(2)], queue)
        assert [({"keys": [f"client_id:{HASH[:32]}"]}, {"type": "forget", "trace-id": "t"})] * 2 == [
            (orjson.loads(data), attributes) for data, attributes in queue.messages
        ]


class TestLearning:
    def test_of_events_that_left_with_what_they_themselves_have_stated(self) -> None:
        stub = Stub()
        one = recognition(stub, enrich=Enrichment(fbc="last"))
        one.recognise({row: person(row) for row in range(3)}, READING)
        for row in range(3):
            one.add_to(row, {"fn": [HASH], "fbc": "fb.1.1.A"}, hash_external_id=True)
        one.left([0, 2])
        one.learn()
        assert [(person(0), {"fn": HASH}, "fb.1.1.A"), (person(2), {"fn": HASH}, "fb.1.1.A")] == stub.learned

    def test_no_click_where_none_is_ever_added(self) -> None:
        stub = Stub()
        one = recognition(stub)
        one.recognise({0: person()}, READING)
        one.add_to(0, {"fbc": "fb.1.1.A"}, hash_external_id=True)
        one.left([0])
        one.learn()
        assert "" == stub.learned[0][2]

    def test_nobody_without_an_identifier_is_asked_about_learned_or_forgotten(self) -> None:
        stub = Stub(fails=True)
        one = recognition(stub)
        one.recognise({0: Identifiers()}, READING)
        one.left([0])
        one.learn()
        assert one.forget([Identifiers()], None)
        assert [] == stub.deadlines


class TestOwnIds:
    def test_are_made_of_the_first_party_id_where_nobody_is_known(self) -> None:
        def down(_who: Identifiers) -> Identity:
            raise IdentityUnreachableError("down")

        made = []
        for stub in (None, Stub(down), Stub(lambda _who: Identity(source="stub", outcome="miss"))):
            one = recognition(stub, user_id=True)
            one.recognise({0: person()}, READING)
            made.append(one.add_to(0, {}, hash_external_id=True)["external_id"])
        assert made[0] == made[1] == made[2]

    def test_are_not_made_unless_they_are_wanted(self) -> None:
        one = recognition(None)
        one.recognise({0: person()}, READING)
        assert {} == one.add_to(0, {}, hash_external_id=True)


class TestColumns:
    def test_count_what_was_there_and_what_was_added(self) -> None:
        one = recognition(Stub())
        one.recognise({0: person(0), 1: person(1)}, READING)
        one.add_to(0, {"ph": [HASH]}, hash_external_id=True)
        one.add_to(1, {"em": [HASH], "external_id": [HASH]}, hash_external_id=True)
        columns = one.columns(call(0, 1))
        assert ("stub", "hit", 2) == tuple(
            columns[key] for key in ("identity_source", "identity_outcome", "identity_fields_added")
        )
        assert {"ph": 1, "em": 1, "external_id": 1} == orjson.loads(str(columns["match_keys_before"]))
        assert {"ph": 1, "em": 2, "external_id": 2} == orjson.loads(str(columns["match_keys_after"]))

    def test_say_the_time_once_and_nothing_of_a_call_without_these_events(self) -> None:
        one = recognition(Stub())
        one.recognise({0: person()}, READING)
        assert one.columns(call(0, batch=2))["identity_ms"] is None
        assert {} == one.columns(call(5))
