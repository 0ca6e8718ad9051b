"""A `slice` message: what is left of a sync, through the queue and back, or refused."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from lib.cuts import Cut
from lib.data_processing import DataProcessing
from lib.errors import InvalidRequestError
from lib.segments import Segment
from lib.sync_task import ReplaceSession, Task, Terms, parse_task

CUT = Cut(part={"kind": "table", "table": "p.d.t"}, start=5, first_row=5, rows=95, first_batch=2, page_rows=50)
TASK = Task(
    step="send",
    change="replace",
    sync_id="s1",
    source="vip",
    segment=Segment("44A23B49", "VIP"),
    connection="acme",
    trace_id="t",
    caller="sgtm",
    began=1_800_000_000.25,
    terms=Terms(
        required=("ad_user_data",), stated={"ad_user_data": True}, data_processing=DataProcessing(("LDU",), 1, 1000)
    ),
    audience_id="1001",
    cuts=(CUT,),
    whole=(CUT, CUT),
    batches=3,
    staged=7,
    session=ReplaceSession(generation=1, next_batch=2, started=1_800_000_001, usable=95, sent=50, schema=("EMAIL",)),
    not_before=1_800_000_060.5,
)
FIRST = Task(
    step="begin",
    change="sync",
    sync_id="s",
    source="vip",
    segment=Segment("1", "1"),
    connection="acme",
    trace_id="t",
    caller="c",
    began=1,
)


@pytest.mark.parametrize("task", [TASK, FIRST], ids=["all of it", "defaults"])
def test_it_comes_out_as_it_went_in(task: Task) -> None:
    assert parse_task(orjson.loads(task.to_json())) == task


@pytest.mark.parametrize(
    "change",
    [
        {"form": 2},
        {"step": "sing"},
        {"change": "enter"},
        {"audience_id": "1001/users"},
        {"audience_id": None},
        {"cuts": [{"part": {}}]},
        {"cuts": {}},
        {"segment": {"id": "1"}},
        {"segment": []},
        {"terms": {"required": [], "stated": {"x": 1}, "data_processing": None}},
        {"session": {}},
        {"batches": "3"},
        {"batches": True},
        {"not_before": None},
        {"began": "now"},
    ],
    ids=str,
)
def test_anything_else_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(InvalidRequestError):
        parse_task(orjson.loads(TASK.to_json()) | change)


@pytest.mark.parametrize("key", sorted(orjson.loads(TASK.to_json())))
def test_each_key_is_needed(key: str) -> None:
    message = orjson.loads(TASK.to_json())
    del message[key]
    with pytest.raises(InvalidRequestError):
        parse_task(message)
