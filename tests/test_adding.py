"""What becomes of pages that could not be sent, by the error and by how far the slice was."""

from __future__ import annotations

from collections.abc import Iterator

import orjson
import pytest

from lib.adding import call_of, pass_on_slices, stop
from lib.audiences import Batch
from lib.cuts import Cut
from lib.errors import (
    GraphAPIError,
    GraphAPIUnreachableError,
    InvalidAccessTokenError,
    RateLimitError,
    RelayError,
    TransientGraphAPIError,
)
from lib.segments import Segment
from lib.sending import Origin
from lib.sync_task import Task
from lib.sync_work import SyncWork
from tests.sync_world import World

CUT = Cut(part={"kind": "table", "table": "p.d.t"}, start=0, first_row=0, rows=300, first_batch=1, page_rows=100)
TASK = Task(
    step="send",
    change="sync",
    sync_id="s1",
    source="vip",
    segment=Segment("1", "VIP"),
    connection="acme",
    trace_id="t",
    caller="pubsub",
    began=1_800_000_000,
    audience_id="1001",
    cuts=(CUT,),
    whole=(CUT,),
)
ORIGIN = Origin(request_id="m1", trace_id="t", caller="pubsub", kind="segments", started=0)


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    with World() as made:
        yield made


def work_on(world: World) -> SyncWork:
    world.queue.waiting.clear()
    return SyncWork.on(TASK, world.relay.config, world.relay.outside, ORIGIN)


def throttled(seconds: float) -> RateLimitError:
    error = RateLimitError("too many calls")
    error.retry_after = seconds
    return error


@pytest.mark.parametrize(
    ("error", "done", "passed_on"),
    [
        (TransientGraphAPIError("busy"), 0, False),
        (TransientGraphAPIError("busy"), 2, True),
        (GraphAPIUnreachableError("no answer"), 1, True),
        (throttled(90), 0, True),
        (throttled(90), 3, True),
        (InvalidAccessTokenError("expired"), 0, False),
        (InvalidAccessTokenError("expired"), 1, True),
        (GraphAPIError("refused"), 0, False),
        (GraphAPIError("refused"), 4, False),
    ],
    ids=[
        "first page, busy", "later page, busy", "later page, no answer", "first page, throttled",
        "later page, throttled",
        "first page, token", "later page, token", "first page, refused", "later page, refused",
    ],
)  # fmt: skip
def test_the_rest_goes_on_or_the_message_itself_comes_again(
    world: World, error: RelayError, done: int, *, passed_on: bool
) -> None:
    work = work_on(world)
    if not passed_on:
        with pytest.raises(type(error)):
            stop(work, error, TASK, done=done)
        assert not world.queue.waiting
        return
    stop(work, error, TASK, done=done)
    (held,) = world.queue.waiting
    wait = error.retry_after if isinstance(error, RateLimitError) else 0
    assert orjson.loads(held.data)["not_before"] == (world.clock.now() + wait if wait else 0)
    assert work.result.parts == ["queued"]


def test_each_cut_becomes_a_message_of_its_own(world: World) -> None:
    work = work_on(world)
    pass_on_slices(work, TASK)
    (held,) = world.queue.waiting
    task = orjson.loads(held.data)
    assert (len(task["cuts"]), task["whole"]) == (1, [])


def test_a_page_has_the_same_session_whoever_sends_it_and_no_other_page_has_it() -> None:
    batch = Batch(("EMAIL",), [("a" * 64,)], [0])
    first, again, other = (call_of(TASK, batch, number) for number in (1, 1, 2))
    removing = call_of(TASK, batch, 1, action="remove")
    assert first.body_bytes() == again.body_bytes()
    sessions = {call.body["session"]["session_id"] for call in (first, other, removing)}
    assert len(sessions) == 3
    assert (first.method, removing.method) == ("POST", "DELETE")
