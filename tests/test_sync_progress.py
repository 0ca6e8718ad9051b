"""How far a sync is, from the delivery log's rows: some twice, in any order, of several syncs."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import pytest
from google.cloud import bigquery

from lib.errors import ConfigurationError
from lib.sync_progress import Progress, SyncProgress
from tests.bigquery_places import PLACES, Place, place
from tests.local.stack import ROOT

NOON: Final = datetime(2026, 11, 24, 12, tzinfo=UTC)
SCHEMA: Final = json.loads((ROOT / "lib" / "delivery_log.json").read_text())


def row(row_id: str, seconds: float, **more: Any) -> dict[str, Any]:
    """Return a row as the query gives it, so many seconds after noon."""
    columns = dict.fromkeys(
        ("batch", "batches", "rows_received", "rows_sent", "rows_rejected", "reject_reasons", "error_message")
    )
    known = {"row_id": row_id, "logged_at": NOON + timedelta(seconds=seconds), "connection": "acme", "action": "add"}
    return {**columns, **known, "outcome": "delivered", **more}


BEGUN: Final = row("begin", 0, action="sync", outcome="queued", batches=4, rows_received=40)


def sent(batch: int, seconds: float, **more: Any) -> dict[str, Any]:
    return row(f"b{batch}", seconds, batch=batch, batches=4, rows_received=10, rows_sent=10, **more)


def test_before_anything_is_sent() -> None:
    assert Progress([BEGUN]).shown(NOON.timestamp()) == {
        "rows_read": 0,
        "rows_sent": 0,
        "rejected": {},
        "batches_done": 0,
        "batches": 4,
        "rate": None,
        "expected_end": None,
        "last_error": None,
    }


def test_halfway_with_rejects_and_rows_that_came_twice() -> None:
    rejects = row(
        "r1",
        5,
        batch=1,
        outcome="rejected",
        rows_received=3,
        rows_rejected=3,
        reject_reasons='{"PHONE: no": 2, "no": 3}',
    )
    failed = row("f3", 9, batch=3, outcome="failed", rows_received=10, error_message="busy")
    cell = sent(2, 10, reject_reasons='{"PHONE: no": 1}')
    shown = Progress([cell, failed, sent(1, 5), rejects, BEGUN, sent(1, 7), rejects]).shown(NOON.timestamp() + 10)
    assert shown == {
        "rows_read": 23,
        "rows_sent": 20,
        "rejected": {"PHONE: no": 3, "no": 3},
        "batches_done": 2,
        "batches": 4,
        "rate": 2.0,
        "expected_end": "2026-11-24T12:00:20+00:00",
        "last_error": "busy",
    }


def test_at_the_end_nothing_is_expected() -> None:
    shown = Progress([BEGUN, *(sent(batch, batch) for batch in (1, 2, 3, 4))]).shown(NOON.timestamp())
    assert (shown["batches_done"], shown["rate"], shown["expected_end"]) == (4, 10.0, None)


def test_a_mirror_counts_the_difference_it_sends_and_not_what_it_reads() -> None:
    begun = BEGUN | {"action": "mirror", "batches": 9}
    staged = row("s", 1, action="mirror", batch=7, batches=9, outcome="rejected", rows_rejected=1, rows_received=1)
    shown = Progress([begun, staged, sent(1, 2) | {"action": "remove", "batches": 1}]).shown(NOON.timestamp())
    assert (shown["batches_done"], shown["batches"], shown["rows_sent"]) == (1, 1, 10)


@pytest.fixture(params=PLACES)
def where(request: pytest.FixtureRequest) -> Iterator[Place]:
    with place(request.param) as made:
        schema = [bigquery.SchemaField.from_api_repr(column) for column in SCHEMA]
        made.client.create_table(bigquery.Table(f"{made.dataset}.log", schema=schema))
        yield made


def test_the_last_sync_of_the_segment_is_read(where: Place) -> None:
    rows = []
    for number, (segment, sync_id) in enumerate([("a", "z-old"), ("a", "b-new"), ("b", "other"), ("a", None)]):
        at = NOON + timedelta(minutes=number)
        common = {"row_id": f"r{number}", "logged_at": at.isoformat(), "kind": "segments", "outcome": "delivered"}
        rows.append(
            {**common, "segment_id": segment, "sync_id": sync_id, "connection": "acme", "rows_sent": number + 1}
        )
    assert where.client.insert_rows_json(f"{where.dataset}.log", rows) == []
    progress = SyncProgress(lambda: where.client, f"{where.dataset}.log")
    now = NOON.timestamp() + 600
    found = progress.of("a", now=now)
    assert found is not None
    assert (found.connection, found.shown(now)["rows_sent"]) == ("acme", 2)
    assert progress.of("never", now=now) is None
    assert progress.of("a", now=now + 8 * 86_400) is None


def test_a_log_that_is_not_there_is_the_operators() -> None:
    with place("stand-in") as made, pytest.raises(ConfigurationError):
        SyncProgress(lambda: made.client, "p.nowhere.log").of("a", now=0)
