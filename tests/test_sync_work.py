"""One invocation's share: what its rows tell, when it is over, and what it needs."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import orjson
import pytest

from lib.config import Config
from lib.errors import ConfigurationError, NobodyToSendError
from lib.sending import Origin
from lib.sync_work import SyncWork, rows_of, settings_of
from tests.sync_world import World, people
from tests.test_adding import CUT, TASK


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    with World() as made:
        yield made


def work_on(world: World) -> SyncWork:
    origin = Origin(
        request_id="m1", trace_id="t", caller="pubsub", kind="segments", started=world.clock.monotonic(), attempt=7
    )
    return SyncWork.on(replace(TASK, batches=3), world.relay.config, world.relay.outside, origin)


def test_its_rows_are_the_same_for_each_delivery_and_name_the_sync(world: World) -> None:
    for _ in range(2):
        work = work_on(world)
        work.log("queued", part="begin", rows_received=300)
        work.write()
        assert work.sending.rows == []
    (row,) = world.rows(outcome="queued")
    assert {key: row[key] for key in ("segment_id", "sync_id", "batches", "action", "destination", "attempt")} == {
        "segment_id": "1",
        "sync_id": "s1",
        "batches": 3,
        "action": "sync",
        "destination": "1001",
        "attempt": 1,
    }


def test_a_refusal_is_a_row_with_the_reasons(world: World) -> None:
    work = work_on(world)
    work.report.reject_row(0, "not enough identifiers")
    work.refuse(NobodyToSendError("nobody in it can be sent"))
    (row,) = world.rows(outcome="rejected")
    assert (row["rows_rejected"], orjson.loads(row["reject_reasons"])) == (1, {"not enough identifiers": 1})
    assert row["error_message"] == "nobody in it can be sent"


def test_it_is_over_after_four_minutes_unless_nobody_could_go_on(world: World) -> None:
    work = work_on(world)
    own = replace(work, own=people(1))
    alone = replace(work, outside=replace(work.outside, queue=None))
    assert not work.is_over()
    world.clock.pass_(241)
    assert (work.is_over(), own.is_over(), alone.is_over()) == (True, False, False)


def test_pages_come_with_what_is_left_from_them_on(world: World) -> None:
    work = work_on(world)
    world.fill(people(range(250)))
    cuts = work.warehouse.sources.cuts(work.config.sources["vip"], "pages", pages=2, page_rows=100)
    work = replace(work, task=replace(work.task, cuts=tuple(cuts)))
    assert [(page.batch, len(page.members), rows_of(left)) for page, left in work.pages()] == [
        (1, 100, 250),
        (2, 100, 150),
        (3, 50, 50),
    ]


def test_a_request_s_own_members_are_paged_too(world: World) -> None:
    work = replace(work_on(world), own=people(range(250)))
    assert [(page.batch, len(page.members), left) for page, left in work.pages()] == [
        (1, 100, ()),
        (2, 100, ()),
        (3, 50, ()),
    ]


def test_a_connection_that_is_gone_is_the_operators(world: World) -> None:
    origin = Origin(request_id="m1", trace_id="t", caller="pubsub", kind="segments", started=0)
    with pytest.raises(ConfigurationError, match="is not configured"):
        SyncWork.on(replace(TASK, connection="gone"), world.relay.config, world.relay.outside, origin)


def test_segments_have_to_be_configured() -> None:
    with pytest.raises(ConfigurationError, match="segments are not configured"):
        settings_of(Config(connections={}, callers=None))


def test_cuts_are_counted_in_members() -> None:
    assert rows_of([CUT, CUT]) == 600
