"""Identifiers that were seen together -> people: whatever the order, and never two who have nothing in common."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import permutations
from random import Random
from typing import Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

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
    naming_key,
    observe,
    parts,
    people,
    person_of,
    together,
)
from lib.identity_settings import Limits

LIMITS: Final = Limits(devices=5)
NOW: Final = 1_800_000_000
DAY: Final = 86_400


def seen(*keys: Key, at: int = 0, fbc: str = "", **facts: str) -> Observation:
    """Return an event with these keys, so many days ago."""
    return Observation(keys=keys, time=NOW - at * DAY, facts=facts, fbc=fbc)


def learned(*events: Observation, limits: Limits = LIMITS) -> Circle:
    """Return all that *events* show, each learned from what is read of the ones before it, as a store keeps it."""
    kept: list[bytes] = []
    for event in events:
        read = [data for data in kept if not decode(data).keys().isdisjoint(event.keys)]
        circle = together(map(decode, read), limits, now=NOW, keep_days=90)
        assert observe(circle, event, limits)
        kept = [data for data in kept if data not in read] + [encode(part) for part in parts(circle)]
    return together(map(decode, kept), limits, now=NOW, keep_days=90)


def persons(*events: Observation, limits: Limits = LIMITS) -> set[frozenset[Key]]:
    return set(people(learned(*events, limits=limits)))


def group(*keys: Key) -> frozenset[Key]:
    return frozenset(keys)


class TestPeople:
    @pytest.mark.parametrize(
        ("events", "expected"),
        [
            pytest.param([seen("client_id:1")], [group("client_id:1")], id="somebody whom nobody knows"),
            pytest.param(
                [seen("client_id:1", "em:a"), seen("client_id:2", "em:a")],
                [group("client_id:1", "client_id:2", "em:a")],
                id="one e-mail on two devices",
            ),
            pytest.param(
                [seen("client_id:1", "fbp:1"), seen("fbp:1", "em:a")],
                [group("client_id:1", "fbp:1", "em:a")],
                id="one browser by either of its ids",
            ),
            pytest.param(
                [seen("client_id:1", "em:a"), seen("client_id:2", "ph:b"), seen("em:a", "ph:b")],
                [group("client_id:1", "em:a", "client_id:2", "ph:b")],
                id="two people whom an event proves to be one",
            ),
            pytest.param(
                [seen("em:a", "external_id:1"), seen("em:b", "external_id:1")],
                [group("em:a", "em:b", "external_id:1")],
                id="two e-mails of one customer number",
            ),
            pytest.param(
                [seen("client_id:1", "em:a"), seen("client_id:1", "em:b")],
                [group("em:a"), group("em:b")],
                id="a device that two share joins nobody, and is nobody's",
            ),
            pytest.param(
                [seen("em:a", "ph:h"), seen("em:b", "ph:h")],
                [group("em:a"), group("em:b")],
                id="nor does the phone of a household",
            ),
            pytest.param(
                [seen("client_id:1", "em:a"), seen("client_id:1", "ph:b")],
                [group("em:a"), group("ph:b")],
                id="a device between an e-mail and a phone proves nothing",
            ),
            pytest.param(
                [seen("client_id:1", "em:a"), seen("fbp:1", "em:b"), seen("client_id:1", "fbp:1")],
                [group("em:a"), group("em:b")],
                id="nor do two ids of a browser between two e-mails",
            ),
        ],
    )
    def test_are_told_apart_and_joined(self, events: Sequence[Observation], expected: Iterable[frozenset[Key]]) -> None:
        for order in permutations(events):
            assert set(expected) == persons(*order)

    def test_what_too_many_share_is_shared_for_good(self) -> None:
        events = [seen("em:test", f"client_id:{number}", f"external_id:{number}") for number in range(7)]
        circle = learned(*events, limits=Limits(devices=5))
        assert circle["em:test"].is_shared
        assert not circle["em:test"].links
        assert {group(f"client_id:{number}", f"external_id:{number}") for number in range(7)} == set(people(circle))

    def test_of_two_readings_one_may_know_already_that_a_neighbour_is_shared(self) -> None:
        earlier = learned(seen("client_id:1", "ph:h"))
        later = learned(seen("client_id:1", "ph:h"), seen("ph:h", "em:a"), seen("ph:h", "em:b"))
        both = together([earlier, later], LIMITS, now=NOW, keep_days=90)
        assert both["ph:h"].is_shared
        assert not both["client_id:1"].is_shared

    def test_no_circle_grows_without_end(self) -> None:
        circle: Circle = {}
        for number in range(MAX_KEYS // 2):
            assert observe(circle, seen(f"external_id:{number}", f"em:{number}"), LIMITS)
        before = encode(circle)
        assert not observe(circle, seen("em:one", "em:more"), LIMITS)
        assert before == encode(circle)


class TestWhatIsKnown:
    def test_the_latest_of_each_fact_whatever_came_first(self) -> None:
        events = [
            seen("em:a", "client_id:1", at=3, fn="1", ct="old"),
            seen("em:a", at=1, ct="new"),
            seen("em:a", "client_id:2", at=2, ct="between"),
        ]
        for order in permutations(events):
            circle = learned(*order)
            facts = known_facts(circle, person_of(circle, ["client_id:2"]))
            assert {"em": "a", "fn": "1", "ct": "new"} == facts

    def test_the_clicks_of_all_devices_in_the_order_of_time(self) -> None:
        circle = learned(
            seen("client_id:2", "em:a", at=1, fbc="fb.1.2.B"), seen("client_id:1", "em:a", at=5, fbc="fb.1.1.A")
        )
        clicks = known_clicks(circle, person_of(circle, ["em:a"]))
        assert [(NOW - 5 * DAY, "fb.1.1.A"), (NOW - DAY, "fb.1.2.B")] == clicks

    def test_nothing_is_known_of_whom_a_shared_device_is(self) -> None:
        circle = learned(seen("client_id:1", "em:a", fn="1"), seen("client_id:1", "em:b", fn="2"))
        assert frozenset() == person_of(circle, ["client_id:1"])

    def test_an_event_is_about_the_person_that_it_names_and_not_of_the_device(self) -> None:
        circle = learned(seen("client_id:1", "em:a"), seen("client_id:2", "em:b"))
        observe(circle, seen("client_id:1", "em:b"), LIMITS)
        assert group("em:b", "client_id:2") == person_of(circle, ["client_id:1", "em:b"])

    def test_a_person_is_named_by_what_was_known_first_and_by_no_device(self) -> None:
        circle = learned(
            seen("client_id:1", at=9), seen("client_id:1", "em:b", at=5), seen("em:b", "external_id:1", at=1)
        )
        assert "em:b" == naming_key(circle, person_of(circle, ["client_id:1"]))


class TestExpiry:
    def test_what_was_not_seen_for_so_long_is_gone(self) -> None:
        circle = learned(seen("client_id:1", "em:a", at=80, fn="1"), seen("client_id:2", "em:a", at=1))
        later = together([circle], LIMITS, now=NOW + 30 * DAY, keep_days=90)
        assert {"client_id:2", "em:a"} == later.keys()
        assert b'"1"' not in encode(later)
        assert b"client_id:1" not in encode(later)


class TestForgetting:
    def test_takes_the_person_out_by_any_identifier_and_nobody_else(self) -> None:
        circle = learned(seen("client_id:1", "em:a"), seen("client_id:9", "em:a"), seen("client_id:9", "ph:b"))
        assert {"client_id:1", "em:a"} == forget(circle, ["client_id:1"])
        assert {"client_id:9", "ph:b"} == circle.keys()
        assert b"em:a" not in encode(circle)

    def test_takes_out_what_is_shared_where_it_is_named(self) -> None:
        circle = learned(seen("client_id:1", "em:a"), seen("client_id:1", "em:b"))
        assert {"client_id:1"} == forget(circle, ["client_id:1"])
        assert {"em:a", "em:b"} == circle.keys()

    def test_knows_nothing_of_somebody_unknown(self) -> None:
        assert frozenset() == forget(learned(seen("em:a")), ["em:z"])


_KEYS: Final = [
    *(f"client_id:{number}" for number in range(4)), *(f"fbp:{number}" for number in range(3)),
    *(f"em:{name}" for name in "abcd"), *(f"ph:{name}" for name in "xy"), "external_id:1", "external_id:2",
]  # fmt: skip
_EVENTS: Final = st.lists(
    st.builds(
        Observation,
        keys=st.lists(st.sampled_from(_KEYS), min_size=1, max_size=4, unique=True).map(
            lambda keys: tuple(sorted(keys, key=_KEYS.index))
        ),
        time=st.integers(NOW - 20 * DAY, NOW),
        facts=st.dictionaries(st.sampled_from(["fn", "ct"]), st.sampled_from("123"), max_size=2),
        fbc=st.sampled_from(["", "fb.1.1.A", "fb.1.2.B"]),
    ),
    min_size=1,
    max_size=10,
)


class TestAnyEvents:
    @settings(deadline=None)
    @given(_EVENTS, st.randoms(use_true_random=False))
    def test_end_in_the_same_people_in_any_order_and_however_often(
        self, events: list[Observation], random: Random
    ) -> None:
        again = [*events, *random.choices(events, k=3)]
        random.shuffle(again)
        once, other = learned(*events), learned(*again)
        assert encode(once) == encode(other)

    @settings(deadline=None)
    @given(_EVENTS)
    def test_never_join_two_who_have_no_identifier_in_common(self, events: list[Observation]) -> None:
        for person in people(learned(*events)):
            apart = [set(event.keys) & person for event in events if set(event.keys) & person]
            reached = apart.pop()
            while common := [keys for keys in apart if keys & reached]:
                reached = reached.union(*common)
                apart = [keys for keys in apart if keys not in common]
            assert [] == apart

    @settings(deadline=None)
    @given(_EVENTS, st.sampled_from(_KEYS))
    def test_leave_no_trace_of_the_forgotten(self, events: list[Observation], key: Key) -> None:
        circle = learned(*events)
        gone = forget(circle, [key])
        assert gone >= {key} & {one for event in events for one in event.keys}
        kept = [encode(part).decode() for part in parts(circle)]
        assert [] == [one for one in gone for text in kept if f'"{one}"' in text]

    @settings(deadline=None)
    @given(_EVENTS)
    def test_are_read_again_as_they_were_written(self, events: list[Observation]) -> None:
        circle = learned(*events)
        assert encode(circle) == encode(decode(encode(circle)))
