"""Deliveries at once, in turns that a seed decides: before each step to the outside another one may have its own."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from tests.sync_world import Steps

#: Seconds without a turn after which a test has stopped.
_PATIENCE = 30


@dataclass
class Turns(Steps):
    """Steps between which another thread may have its turn."""

    seed: int = 0
    _alive: set[int] = field(default_factory=set)
    _turn: int = -1
    _moves: threading.Condition = field(default_factory=threading.Condition)

    def __post_init__(self) -> None:
        self._random = random.Random(self.seed)
        #: How often one goes on instead: some orders need one to be far ahead of the other.
        self._stays = self._random.choice([0.0, 0.5, 0.8, 0.95])
        self._numbers: dict[int, int] = {}

    def __call__(self) -> None:
        """Take a step, once it is one's turn."""
        number = self._numbers.get(threading.get_ident())
        if number is None:
            return
        with self._moves:
            self._pass_on()
            self._wait(number)

    def run(self, calls: Sequence[Callable[[], object]]) -> list[object]:
        """Make *calls*, each in a thread, one step at a time; return what they return."""
        results: list[object] = [None] * len(calls)
        threads = [
            threading.Thread(target=self._run, args=(number, call, results)) for number, call in enumerate(calls)
        ]
        self._alive = set(range(len(calls)))
        self._turn = -1
        for thread in threads:
            thread.start()
        with self._moves:
            self._moves.wait_for(lambda: len(self._numbers) == len(calls), _PATIENCE)
            self._pass_on()
        for thread in threads:
            thread.join(_PATIENCE)
        self._numbers.clear()
        return results

    def _run(self, number: int, call: Callable[[], object], results: list[object]) -> None:
        with self._moves:
            self._numbers[threading.get_ident()] = number
            self._moves.notify_all()
            self._wait(number)
        try:
            results[number] = call()
        finally:
            with self._moves:
                self._alive.discard(number)
                self._pass_on()

    def _pass_on(self) -> None:
        if self._turn not in self._alive or self._random.random() >= self._stays:
            self._turn = self._random.choice(sorted(self._alive)) if self._alive else -1
        self._moves.notify_all()

    def _wait(self, number: int) -> None:
        assert self._moves.wait_for(lambda: self._turn == number, _PATIENCE), "nobody takes a turn"
