"""A slice of a sync, from its message to the call to Meta, beside the bare batch: what reading a source costs."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import orjson
from google.auth.credentials import AnonymousCredentials
from google.cloud import bigquery

from lib.cuts import PAGE_ROWS, Cut
from lib.handlers import Relay
from lib.local_file import LocalFiles, source_of
from lib.ports import Reply
from lib.segment_source import SegmentSources
from lib.segments import Segment
from lib.sync_task import Task
from lib.warehouse import Warehouse
from tests.bench.people import Row
from tests.bench.rounds import Step
from tests.bench.speed import batches
from tests.local.bigquery_values import write_row
from tests.seams import CONFIG, Kept, message, relay

_TABLE: Final = "p.crm.vip"
_CONFIG: Final = {**CONFIG, "segments": {}}


def sync_steps(fields: Sequence[str], rows: Sequence[Row], stack: ExitStack) -> list[Step]:
    """Return the steps for *rows* of the schema *fields*, from a table and from a file; *stack* ends the file."""
    folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
    path = folder / "members.ndjson"
    path.write_bytes(b"\n".join(orjson.dumps(dict(zip(fields, row, strict=True))) for row in rows))
    (of_file,) = SegmentSources(lambda: None, LocalFiles).cuts(source_of(str(path)), "bench", pages=5)
    part = {"kind": "table", "table": _TABLE}
    of_table = Cut(part=part, start=0, first_row=0, rows=min(len(rows), PAGE_ROWS), first_batch=1)
    table = _Table(fields, rows)
    request = orjson.dumps({"users": {"schema": fields, "data": rows}})
    return [
        Step("bare batch", lambda: orjson.loads(request), batches),
        Step("slice of a file", lambda: _Slice(of_file, table), _Slice.deliver),
        Step("slice of a table", lambda: _Slice(of_table, table), _Slice.deliver),
    ]


class _Slice:
    """A `slice` message, and a relay that nothing remembers."""

    def __init__(self, cut: Cut, table: _Table) -> None:
        task = Task(
            step="send",
            change="sync",
            sync_id="bench",
            source="vip",
            segment=Segment("1", "VIP"),
            connection="acme",
            trace_id="bench",
            caller="pubsub",
            began=1_800_000_000.0,
            audience_id="1001",
            cuts=(cut,),
            batches=1,
        )
        self._message = message(task.to_json(), type="slice")
        self._relay = _relay(table)

    def deliver(self) -> bool:
        """Do what it asks for."""
        if not self._relay.deliver(self._message):
            raise RuntimeError("the slice was not done")
        return True


def _relay(table: _Table) -> Relay:
    made = relay(transport=_take, queue=Kept(), config=_CONFIG)
    warehouse = Warehouse(bigquery=table.client, storage=LocalFiles)
    return replace(made, outside=replace(made.outside, warehouse=warehouse))


def _take(method: str, url: str, *, headers: Mapping[str, str], body: bytes, timeout: float) -> Reply:
    """Stand for Meta, which takes it all."""
    del method, url, headers, body, timeout
    return Reply(200, {}, b"{}")


@dataclass
class _Answer:
    """What the official client reads of an HTTP answer."""

    content: bytes
    status_code: int = 200

    def json(self) -> Any:
        """Return what it says, read as requests reads it."""
        import json  # noqa: PLC0415 - orjson would be quicker than what is measured

        return json.loads(self.content)


class _Table:
    """A table behind the official client, whose two answers are ready: what is measured is the client's own work."""

    def __init__(self, fields: Sequence[str], rows: Sequence[Row]) -> None:
        columns = [{"name": name, "type": "STRING"} for name in fields]
        listed = [write_row(dict(zip(fields, row, strict=True)), columns) for row in rows[:PAGE_ROWS]]
        reference = dict(zip(("projectId", "datasetId", "tableId"), _TABLE.split("."), strict=True))
        self._resource = orjson.dumps({"tableReference": reference, "schema": {"fields": columns}, "numRows": "1"})
        self._rows = orjson.dumps({"totalRows": str(len(listed)), "rows": listed})
        credentials = AnonymousCredentials()  # type: ignore[no-untyped-call]  # google-auth has no types here
        session: Any = self
        self._client = bigquery.Client(project="p", credentials=credentials, _http=session)
        self.is_mtls = False

    def client(self) -> Any:
        """Return the official client."""
        return self._client

    def request(self, *, url: str, **_more: Any) -> _Answer:
        """Answer a call."""
        return _Answer(self._rows if url.partition("?")[0].endswith("/data") else self._resource)
