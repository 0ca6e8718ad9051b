from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Final

import pytest

from lib.console_log import trace_id
from lib.ports import Chance, Clock, InTime, Reply, SideBySide

#: A server imports its application, and forks.
_FORK: Final = """
import os
from lib.ports import SideBySide
side_by_side = SideBySide(2)
child = os.fork()
if not child:
    os._exit(0 if side_by_side([int, int, int]) == [0, 0, 0] else 1)
raise SystemExit(os.waitpid(child, 0)[1])
"""


class TestSideBySide:
    def test_results_come_in_the_order_of_the_calls(self) -> None:
        calls = [partial(pow, number, 2) for number in range(20)]
        assert SideBySide(4)(calls) == [number * number for number in range(20)]

    def test_they_run_at_the_same_time(self) -> None:
        barrier = threading.Barrier(3, timeout=10)
        assert len(SideBySide(3)([barrier.wait] * 3)) == 3

    def test_a_single_call_costs_no_thread(self) -> None:
        assert SideBySide(4)([threading.get_ident]) == [threading.get_ident()]

    def test_none_at_all(self) -> None:
        assert SideBySide(4)([]) == []

    @pytest.mark.parametrize("failing", [0, 1, 2])
    def test_one_that_fails_does_so_when_all_have_ended(self, failing: int) -> None:
        ended: list[int] = []

        def call(number: int) -> None:
            if number == failing:
                raise KeyError(number)
            time.sleep(0.05)
            ended.append(number)

        with pytest.raises(KeyError):
            SideBySide(4)([partial(call, number) for number in range(3)])
        assert sorted(ended) == [number for number in range(3) if number != failing]

    def test_its_threads_are_made_on_first_use(self) -> None:
        before = threading.active_count()
        SideBySide(4)
        assert threading.active_count() == before

    def test_it_works_in_a_process_that_was_forked_after_it_was_made(self) -> None:
        done = subprocess.run([sys.executable, "-c", _FORK], cwd=Path(__file__).parents[1], timeout=60, check=False)
        assert done.returncode == 0


def test_the_clock_is_the_real_one_unless_another_is_handed_in() -> None:
    clock = Clock()
    assert abs(clock.now() - time.time()) < 5
    assert abs(clock.monotonic() - time.monotonic()) < 5
    assert Clock(now=lambda: 7.0).now() == 7.0


def test_chance_gives_jitter_and_names() -> None:
    chance = Chance()
    names = {chance.name() for _ in range(100)}
    assert len(names) == 100
    assert all(len(name) == 32 and int(name, 16) >= 0 for name in names)
    assert all(0 <= chance.jitter() <= 1 for _ in range(100))


def test_a_reply_does_not_show_its_body() -> None:
    assert "Canary7c1f" not in repr(Reply(200, {}, b"Canary7c1f"))


def test_calls_side_by_side_keep_the_trace_of_their_request() -> None:
    token = trace_id.set("t-1")
    try:
        assert ["t-1", "t-1", "t-1"] == SideBySide(4)([trace_id.get] * 3)
    finally:
        trace_id.reset(token)


class TestInTime:
    def test_gives_what_calls_return_in_their_order(self) -> None:
        calls = [partial(pow, number, 2) for number in range(20)]
        assert InTime(4)(calls, 20) == [number * number for number in range(20)]

    def test_leaves_behind_what_is_late_and_does_not_begin_what_found_no_thread(self) -> None:
        late, other = threading.Event(), threading.Event()
        calls: list[Callable[[], object]] = [partial(late.wait, 20), other.set]
        assert InTime(1)(calls, 0.05) == [None, None]
        late.set()
        assert not other.is_set()

    def test_an_error_is_raised(self) -> None:
        with pytest.raises(ZeroDivisionError):
            InTime(1)([lambda: 1 // 0], 20)
