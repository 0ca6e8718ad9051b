"""Adding the members of a source to an audience, page by page: what a `sync` does, and the rest of a long replace."""

from __future__ import annotations

from dataclasses import replace

import orjson

from lib.audiences import Batch
from lib.cuts import Page
from lib.errors import RateLimitError, RelayError, Retry
from lib.graph_request import GraphRequest, audience_call, session
from lib.report import Report
from lib.sync_task import Task
from lib.sync_work import SyncWork


def pass_on_slices(work: SyncWork, task: Task) -> None:
    """Leave each cut of *task* to a message of its own; they are done side by side."""
    for cut in task.cuts:
        work.pass_on(replace(task, cuts=(cut,), whole=()))
    work.result.parts.append("queued")


def send_pages(work: SyncWork) -> None:
    """
    Add the members of a task's cuts.

    Where it comes to a halt, the pages that are left go on as a message of their own, so that none is sent twice.

    Raises:
        RelayError: Of the first page; or of any, where it can never succeed or no queue is there to go on.
    """
    for done, (page, left) in enumerate(work.pages()):
        if done and work.is_over():
            work.pass_on(replace(work.task, cuts=left))
            return
        send_page(work, page)
        error = work.result.stopped
        if error is not None:
            stop(work, error, replace(work.task, cuts=left), done=done)
            return
        del page


def stop(work: SyncWork, error: RelayError, left: Task, *, done: int) -> None:
    """Leave what is *left* for when it can succeed, or raise *error* where the message itself is left."""
    begins_anew = not done and not isinstance(error, RateLimitError)
    if error.retry is Retry.NEVER or begins_anew:
        raise error
    work.pass_on(left, after=error)
    # It waits there now.
    work.sending.waiting.clear()
    work.result.parts.append("queued")


def send_page(work: SyncWork, page: Page) -> None:
    """Send a page, and write what became of it."""
    clock = work.outside.clock
    report = Report()
    began = clock.monotonic()
    for batch in work.batches().of(page, report):
        call = call_of(work.task, batch, page.batch)
        work.sending.dispatch([(work.result, call)], build_ms=1000 * (clock.monotonic() - began))
        if work.result.stopped is not None and work.own is None:
            break
        began = clock.monotonic()
        # A batch is 30 MB at its largest; what has been sent is not held while the next is built.
        del batch, call
    work.end_page(report, batch=page.batch)


def call_of(task: Task, batch: Batch, number: int, *, action: str = "add") -> GraphRequest:
    """Return the call for a batch of page *number*, a session of its own that is the same each time."""
    seed = orjson.dumps([task.sync_id, task.audience_id, action, number, batch.schema]).decode()
    return audience_call(
        batch,
        action=action,
        connection=task.connection,
        destination={"audience_id": task.audience_id},
        session=session(seed, batch_seq=1, last=True),
        batch_number=number,
        ids={},
    )
