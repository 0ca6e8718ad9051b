"""`mirror`: only the difference to the last mirror is sent, and a crash heals."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

import orjson
import pytest

from tests.local.faults import Fault
from tests.sync_world import SEGMENT, World, hashed, people

MEMBERS = "p.relay.members"


@pytest.fixture
def world() -> Iterator[World]:
    with World(page_rows=50) as made:
        yield made


def mirror(world: World, members: list[dict[str, Any]]) -> dict[str, int]:
    """Mirror *members*, and return how many were sent by action."""
    calls = len(world.calls("users"))
    world.clock.pass_(60)
    world.fill(members)
    world.ask("mirror")
    world.drain()
    sent = {"POST": 0, "DELETE": 0}
    for call in world.calls("users")[calls:]:
        sent[call.method] += len(call.body["payload"]["data"])
    return {"new": sent["POST"], "gone": sent["DELETE"]}


def test_the_first_one_sends_all_and_the_next_ones_the_difference(world: World) -> None:
    assert mirror(world, people(range(300))) == {"new": 300, "gone": 0}
    assert mirror(world, people(range(20, 310))) == {"new": 10, "gone": 20}
    assert mirror(world, people(range(20, 310))) == {"new": 0, "gone": 0}
    assert world.emails() == hashed(range(20, 310))
    assert world.graph.violations == []


def test_a_large_difference_equals_the_source(world: World) -> None:
    """Less than a hundredth of the size of `make soak`'s."""
    mirror(world, people(range(800)))
    assert mirror(world, people(range(300, 800), range(5000, 5400))) == {"new": 400, "gone": 300}
    assert world.emails() == hashed(range(300, 800), range(5000, 5400))


def test_what_does_not_fit_into_an_invocation_goes_on_in_another(world: World) -> None:
    world.reading = 50
    world.fill(people(range(900)))
    world.ask("mirror")
    steps = []
    while world.queue.waiting:
        steps.append(orjson.loads(world.queue.waiting[0].data).get("step"))
        assert world.deliver()
    assert steps[0] is None
    assert {"stage", "send"} <= set(steps)
    assert world.emails() == hashed(range(900))
    assert {row["done"] for row in world.bigquery.rows(MEMBERS)} == {True}


def test_who_comes_with_another_phone_stays_a_member(world: World) -> None:
    members = people(range(60))
    mirror(world, members)
    members[5] = {**members[5], "phone": "+491709999999"}
    assert mirror(world, members) == {"new": 1, "gone": 1}
    assert world.emails() == hashed(range(60))


def test_who_shares_a_phone_with_somebody_gone_is_added_again(world: World) -> None:
    members = people(range(60))
    members[6]["phone"] = members[5]["phone"]
    mirror(world, members)
    assert mirror(world, [*members[:5], *members[6:]]) == {"new": 1, "gone": 1}
    assert world.emails() == hashed(range(5), range(6, 60))


def test_the_table_holds_the_last_mirror_hashed(world: World) -> None:
    mirror(world, people(range(60)))
    mirror(world, people(range(10, 70)))
    rows = world.bigquery.rows(MEMBERS)
    assert len(rows) == 60
    assert len({row["sync_id"] for row in rows}) == 1
    assert all(row["done"] for row in rows)
    assert {row["email"] for row in rows} == hashed(range(10, 70))
    assert "example.com" not in repr(rows)


def test_each_audience_has_its_own(world: World) -> None:
    mirror(world, people(range(60)))
    world.publish({"segment": {"id": "other", "name": "Other"}, "change": "mirror", "users": people(range(5))})
    world.drain()
    assert mirror(world, people(range(60))) == {"new": 0, "gone": 0}
    assert sorted(world.graph.counts().values()) == [5, 60]


def test_killed_anywhere_it_ends_with_the_source(world: World) -> None:
    world.seconds = 90
    kill_at, killed = 0, True
    while killed:
        segment = {"id": f"s{kill_at}", "name": f"{kill_at}"}
        play(world, segment, people(range(120)), -1)
        audience = world.graph.audiences()[-1]
        killed = play(world, segment, people(range(70, 180)), kill_at)
        emails = {value for one in world.graph.members(audience) for key, value in one if key == "EMAIL"}
        assert emails == hashed(range(70, 180)), f"killed before step {kill_at}"
        world.bigquery._tables[MEMBERS].rows.clear()
        kill_at += 4
    assert kill_at > 25
    assert world.queue.dead == []


def play(world: World, segment: Mapping[str, str], members: list[dict[str, Any]], kill_at: int) -> bool:
    world.fill(members)
    world.publish({"segment": segment, "change": "mirror", "source": "vip"})
    left, killed = kill_at, False
    while world.queue.waiting:
        done = world.deliver(kill_at=-1 if killed or kill_at < 0 else left)
        killed = killed or (kill_at >= 0 and not done)
        left -= world.steps.done
        world.clock.pass_(0 if done else 60)
    return killed


def test_one_that_was_given_up_halfway_is_healed_by_the_next(world: World) -> None:
    mirror(world, people(range(200)))
    world.fill(people(range(100, 300)))
    world.ask("mirror")
    # Its removals were made, and one batch of its additions; then its message was lost.
    world.graph.faults.add(Fault.error(100, 1713231, match="/users", times=1))
    calls = iter(range(100))
    send = world.relay.outside.graph_api.transport

    def ill(method: str, url: str, **more: Any) -> Any:
        if url.endswith("/users") and next(calls) == 3:
            world.graph.faults.add(Fault.error(100, 1713231, match="/users"))
        return send(method, url, **more)

    world.graph.faults.clear()
    world.relay.outside.graph_api.transport = ill
    world.drain()
    assert len(world.queue.dead) == 1
    assert len({row["sync_id"] for row in world.bigquery.rows(MEMBERS)}) == 2
    world.clock.pass_(3 * 3600)
    mirror(world, people(range(150, 350)))
    assert world.emails() == hashed(range(150, 350))


def test_one_waits_for_another_that_is_under_way(world: World) -> None:
    mirror(world, people(range(100)))
    world.fill(people(range(50, 150)))
    world.ask("mirror")
    world.deliver(kill_at=22)
    first = world.queue.waiting.popleft()
    world.clock.pass_(30)
    world.fill(people(range(60, 160)))
    world.ask("mirror")
    assert not world.deliver()
    world.queue.waiting.appendleft(first)
    world.drain()
    assert world.emails() == hashed(range(60, 160))


@pytest.mark.parametrize(
    ("members", "reason"),
    [
        ([], "the source holds nobody"),
        ([{"id": "7"}], "nobody in it can be sent, and the audience is left as it is"),
        (people(range(9)), "the audience would shrink from 100 to 9, by more than max_shrink allows"),
    ],
    ids=["empty", "unusable", "too short"],
)
def test_guards(world: World, members: list[dict[str, Any]], reason: str) -> None:
    mirror(world, people(range(100)))
    assert mirror(world, members) == {"new": 0, "gone": 0}
    assert reason in {row["error_message"] for row in world.rows(outcome="rejected")}
    # What was refused leaves no trace: the next one is compared with the last that was sent.
    assert mirror(world, people(range(1, 100))) == {"new": 0, "gone": 1}


def test_the_members_of_a_request_are_mirrored_too(world: World) -> None:
    for members in (people(range(80)), people(range(40, 120))):
        answer = world.post("/segments", {"segment": SEGMENT, "change": "mirror", "users": members})
        assert (answer.status, json.loads(answer.body)["outcome"]) == (200, "delivered")
    assert world.emails() == hashed(range(40, 120))


def test_progress_counts_the_difference(world: World) -> None:
    mirror(world, people(range(300)))
    mirror(world, people(range(20, 310)))
    said = json.loads(world.get("/segments/44A23B49").body)
    assert {key: said[key] for key in ("rows_sent", "batches_done", "batches")} == {
        "rows_sent": 30,
        "batches_done": 2,
        "batches": 2,
    }
