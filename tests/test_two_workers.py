"""The same message, and others of its sync, delivered to two workers at once: Pub/Sub promises no less."""

from __future__ import annotations

import random
from functools import partial

import pytest

from tests.sync_world import World, hashed, people
from tests.two_workers import Turns

SEEDS = 4


@pytest.mark.parametrize("change", ["replace", "mirror", "sync"])
def test_it_ends_with_the_source(change: str) -> None:
    with World(page_rows=50, seconds=40) as world:
        for seed in range(SEEDS):
            check(world, change, seed)


@pytest.mark.soak
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("change", ["replace", "mirror"])
def test_it_ends_with_the_source_in_hundreds_of_orders(change: str) -> None:
    with World(page_rows=50, seconds=40) as world:
        for seed in range(SEEDS, 200):
            check(world, change, seed)


def check(world: World, change: str, seed: int) -> None:
    """Bring an audience of 200 to another 270 people, by two workers that meet in an order of their own."""
    segment = {"id": f"s{seed}", "name": f"{seed}"}
    world.fill(people(range(150, 200) if change == "sync" else range(200)))
    world.publish({"segment": segment, "change": "sync" if change == "replace" else change, "source": "vip"})
    world.drain()
    audience = world.graph.audiences()[-1]
    world.fill(people(range(150, 420)))
    world.publish({"segment": segment, "change": change, "source": "vip"})
    turns, chance = Turns(seed=seed), random.Random(seed)
    world.steps = world.queue.steps = turns
    for twice in range(60):
        if not world.queue.waiting:
            break
        held = world.queue.waiting.popleft()
        # The same one twice, now and then; or the next one beside it.
        meets = held if twice < 8 and chance.random() < 0.5 else None
        if meets is None and world.queue.waiting:
            meets = world.queue.waiting.popleft()
        both = [held] if meets is None else [held, meets]
        done = turns.run([partial(world.relay.deliver, world.message(one)) for one in both])
        left = {id(one): one for one, is_done in zip(both, done, strict=True) if not is_done}
        world.queue.waiting.extend(left.values())
        world.clock.pass_(60 if left else 0)
    emails = {value for person in world.graph.members(audience) for key, value in person if key == "EMAIL"}
    assert emails == hashed(range(150, 420)), f"seed {seed}"
    assert (list(world.queue.waiting), world.queue.dead) == ([], []), f"seed {seed}"
