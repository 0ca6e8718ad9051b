"""`make bench` runs, on the same data each time; how fast anything is, is for it to say and for no test."""

from __future__ import annotations

from itertools import islice

import pytest

from tests.bench.__main__ import event_lines, identity_lines, speed_lines, sync_lines
from tests.bench.people import FIELDS, people


def test_the_people_are_those_of_the_seed() -> None:
    first, second, other = (list(islice(people(seed, 50), 50)) for seed in (7, 7, 8))
    assert first == second
    assert first != other
    assert {len(FIELDS)} == set(map(len, first))


def test_each_step_is_measured_beside_what_it_is_compared_with() -> None:
    lines = speed_lines(list(people(7, 40)), rounds=1)
    assert 10 == len(lines)
    assert {2.5, 4.0, 4.3, 2.8, 8.0} == {line.target for line in lines if line.target is not None}
    assert all(line.ratio is not None and line.ratio > 0 for line in lines if line.target is not None)


def test_an_event_is_measured_beside_the_same_one_of_the_library() -> None:
    """The steps refuse to be timed where they do not give the same hashes."""
    lines = event_lines(5, rounds=1)
    assert [None, 6.0, 6.0, 2.5, 2.5] == [line.target for line in lines]
    assert all(line.ratio is not None and line.ratio > 0 for line in lines[1:])


def test_what_identity_adds_is_measured_beside_the_building_of_an_event(monkeypatch: pytest.MonkeyPatch) -> None:
    # Without the Cloud CLI there is no emulator to be started for it.
    monkeypatch.setenv("PATH", "")
    lines = identity_lines(10, rounds=1)
    assert [0.3] == [line.target for line in lines if line.target is not None]
    assert {"building"} == {line.against for line in lines if line.ratio is not None}


def test_a_slice_is_measured_beside_the_bare_batch() -> None:
    lines = sync_lines(list(islice(people(7, 40), 40)), rounds=1)
    assert [None, 2.0, 4.0] == [line.target for line in lines]
    assert all("members/s" in line.what for line in lines)
