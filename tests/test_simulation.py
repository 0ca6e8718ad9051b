"""Hundreds of small worlds in which everything fails, and nothing may be lost; see `tests.simulation`."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import Final

import pytest

from tests.local.stack import ROOT
from tests.simulation import LostError, Plants, fingerprint, play

#: About 50 ms each.
SEEDS: Final = 300
#: Of the worlds in which bugs are planted.
FEW: Final = 40


@pytest.mark.parametrize("start", range(0, SEEDS, 50))
def test_nothing_is_lost(start: int) -> None:
    worlds = [play(seed) for seed in range(start, start + 50)]
    # The worlds are hostile: without that they would prove nothing.
    assert sum("crash" in world.trace for world in worlds) > 5
    assert sum(bool(world.dead) for world in worlds) > 5
    assert sum(bool(world.members) for world in worlds) > 40


def test_a_seed_is_one_history() -> None:
    assert [fingerprint(seed) for seed in range(5)] == [fingerprint(seed) for seed in range(5)]


def test_and_the_same_in_another_process() -> None:
    code = "from tests.simulation import fingerprint; print(fingerprint(3))"
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env={**os.environ, "PYTHONHASHSEED": "7", "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert done.stdout.strip() == fingerprint(3)


@pytest.mark.parametrize(
    "plants",
    [Plants(ack_everything=True), Plants(forget_messages=True), Plants(forget_dead_letters=True)],
    ids=["acknowledged too early", "2xx before Pub/Sub has it", "dropped in place of a dead letter"],
)
def test_planted_bugs_are_found(plants: Plants) -> None:
    found = 0
    for seed in range(FEW):
        try:
            play(seed, plants)
        except LostError:
            found += 1
    assert found > 5
