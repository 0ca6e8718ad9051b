"""
Timing on a machine that does other work too.

Each round runs all steps, in another order than the round before, and ratios are taken within a round: what slows one
step slows its neighbours. All inputs of a round are made before it, so that no step finds its own still in the
processor's cache. The time is the processor's, not the clock's, and the garbage collector rests meanwhile.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

Round = Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Step:
    """
    What is timed.

    Args:
        prepare: Makes the input of one run, untimed: new objects, which remember nothing of the run before.
        run: Gets that input.
    """

    name: str
    prepare: Callable[[], Any]
    run: Callable[[Any], object]

    def seconds(self, prepared: Any) -> float:
        """Run once and return the processor time."""
        gc.collect()
        gc.disable()
        began = time.process_time_ns()
        result = self.run(prepared)
        ended = time.process_time_ns()
        gc.enable()
        del result
        return (ended - began) / 1e9


def measure(steps: Sequence[Step], rounds: int) -> list[Round]:
    """Return the seconds of each step in each of *rounds*, after one that does not count."""
    gc.collect()
    gc.freeze()
    try:
        _round(steps)
        return [_round([*steps[start:], *steps[:start]]) for start in (turn % len(steps) for turn in range(rounds))]
    finally:
        gc.unfreeze()


def _round(steps: Sequence[Step]) -> Round:
    prepared = [step.prepare() for step in steps]
    return {step.name: step.seconds(made) for step, made in zip(steps, prepared, strict=True)}


def median_of(rounds: Sequence[Round], name: str) -> float:
    """Return the median seconds of a step."""
    return median(one[name] for one in rounds)


def ratio_of(rounds: Sequence[Round], name: str, to: str) -> float:
    """Return the median of the ratios within a round."""
    return median(one[name] / one[to] for one in rounds)
