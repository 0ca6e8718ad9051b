"""What fails again and again is left alone for a while, and tried by one call when that is over."""

from __future__ import annotations

import pytest

from lib.breaker import Breaker
from tests.manual_clock import ManualClock


@pytest.fixture(name="clock")
def _clock() -> ManualClock:
    return ManualClock()


@pytest.fixture(name="breaker")
def _breaker(clock: ManualClock) -> Breaker:
    return Breaker(clock.clock(), failures=3, pause_s=30)


def fail(breaker: Breaker, times: int) -> None:
    for _ in range(times):
        breaker.failed()


def test_it_opens_after_failures_in_succession(breaker: Breaker) -> None:
    fail(breaker, 2)
    assert breaker.lets_through()
    fail(breaker, 1)
    assert not breaker.lets_through()


def test_a_success_between_them_counts(breaker: Breaker) -> None:
    fail(breaker, 2)
    breaker.succeeded()
    fail(breaker, 2)
    assert breaker.lets_through()


def test_it_lets_one_call_through_when_its_time_is_over(breaker: Breaker, clock: ManualClock) -> None:
    fail(breaker, 3)
    clock.pass_(30)
    assert [True, False, False] == [breaker.lets_through() for _ in range(3)]


def test_it_closes_if_that_one_succeeds(breaker: Breaker, clock: ManualClock) -> None:
    fail(breaker, 3)
    clock.pass_(30)
    assert breaker.lets_through()
    breaker.succeeded()
    assert [True, True] == [breaker.lets_through() for _ in range(2)]


def test_it_stays_open_if_that_one_fails(breaker: Breaker, clock: ManualClock) -> None:
    fail(breaker, 3)
    clock.pass_(30)
    assert breaker.lets_through()
    breaker.failed()
    clock.pass_(29)
    assert not breaker.lets_through()
    clock.pass_(1)
    assert breaker.lets_through()


def test_it_rests_where_it_is_asked_to(breaker: Breaker, clock: ManualClock) -> None:
    breaker.rest(5)
    assert not breaker.lets_through()
    clock.pass_(5)
    assert breaker.lets_through()
