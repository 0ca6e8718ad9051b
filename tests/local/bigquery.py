"""
A local stand-in for BigQuery's tables that the official client reaches through BIGQUERY_EMULATOR_HOST.

Datasets, tables, insertAll and tabledata.list, as cloud.google.com/bigquery/docs/reference/rest describes
them; no queries. A row that comes again with its insertId is kept once; BigQuery forgets ids after about a
minute, this one does not.
"""

import re
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Final, Self

import orjson

from tests.local.bigquery_values import read_row, write_row
from tests.local.faults import Faults
from tests.local.google_rest import GoogleError, google_fault
from tests.local.http_server import HTTPServer, Reply, Request

PREFIX: Final = r"(?:/bigquery/v2)?/projects/(?P<project>[^/]+)/datasets"
DATASET: Final = PREFIX + r"/(?P<dataset>[^/]+)"
TABLE: Final = DATASET + r"/tables/(?P<table>[^/]+)"
MAX_REQUEST_BYTES: Final = 10_000_000  # cloud.google.com/bigquery/quotas, "Streaming inserts"
MAX_ROWS: Final = 50_000

Names = Mapping[str, str]


@dataclass(slots=True)
class Table:
    """One table: its resource as it was created, and its rows."""

    resource: dict[str, Any]
    rows: list[dict[str, Any]] = field(default_factory=list)
    insert_ids: set[str] = field(default_factory=set)

    @property
    def columns(self) -> list[dict[str, Any]]:
        """The columns, as `schema.fields` describes them."""
        return list(self.resource.get("schema", {}).get("fields", []))


class BigQuery:
    """BigQuery on loopback; tables go by `project.dataset.table`."""

    def __init__(self, *, port: int = 0) -> None:
        self.faults = Faults()
        self.inserts = 0
        self._lock = threading.Lock()
        self._datasets: dict[str, dict[str, Any]] = {}
        self._tables: dict[str, Table] = {}
        self._server = HTTPServer(self._handle, port=port)
        self._stack = ExitStack()

    @property
    def url(self) -> str:
        """The value for BIGQUERY_EMULATOR_HOST."""
        return self._server.url

    def __enter__(self) -> Self:
        self._stack.enter_context(self._server)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    def add_table(self, table: str, columns: Sequence[Mapping[str, Any]]) -> None:
        """Create a table, and its dataset if it is not there; *columns* as in `schema.fields`."""
        project, dataset, name = table.split(".")
        names = {"project": project, "dataset": dataset}
        with self._lock:
            self._datasets.setdefault(f"{project}.{dataset}", _dataset_resource({}, names))
            resource = {"tableReference": {"tableId": name}, "schema": {"fields": list(columns)}}
            self._create_table(names, resource)

    def rows(self, table: str) -> list[dict[str, Any]]:
        """Return the rows of `project.dataset.table`, in the order of their coming."""
        with self._lock:
            return [dict(row) for row in self._tables[table].rows]

    def fail(self, times: int = 1, status: int = 503, delay_s: float = 0.0, match: str = "insertAll") -> None:
        """Answer the next *times* calls whose path holds *match* with *status*."""
        self.faults.add(google_fault(status, times=times, delay_s=delay_s, match=match))

    def _handle(self, request: Request) -> Reply | None:
        if request.path.endswith("/insertAll"):
            with self._lock:
                self.inserts += 1
        return self.faults.run(request, self._answer, self._server.closing)

    def _answer(self, request: Request) -> Reply:
        try:
            with self._lock:
                return Reply(200, orjson.dumps(self._route(request)))
        except GoogleError as error:
            return error.reply()

    def _route(self, request: Request) -> dict[str, Any]:
        if request.path.endswith("/data") and request.method == "GET":
            return self._list_rows(_matched(TABLE + "/data", request.path), request)
        body = _body(request)
        routes: list[tuple[str, str, Callable[[Names, dict[str, Any]], dict[str, Any]]]] = [
            ("POST", TABLE + "/insertAll", self._insert_all),
            ("POST", DATASET + "/tables", self._create_table),
            ("GET", TABLE, self._get_table),
            ("POST", PREFIX, self._create_dataset),
            ("GET", DATASET, self._get_dataset),
        ]
        for method, pattern, route in routes:
            if method == request.method and (matched := re.fullmatch(pattern, request.path)):
                return route(matched.groupdict(), body)
        raise GoogleError(501, f"The stand-in has no {request.method} {request.path}")

    def _create_dataset(self, names: Names, body: dict[str, Any]) -> dict[str, Any]:
        dataset = body.get("datasetReference", {}).get("datasetId", "")
        key = f"{names['project']}.{dataset}"
        if key in self._datasets:
            raise GoogleError(409, f"Already Exists: Dataset {names['project']}:{dataset}")
        self._datasets[key] = _dataset_resource(body, {**names, "dataset": dataset})
        return self._datasets[key]

    def _get_dataset(self, names: Names, _body: dict[str, Any]) -> dict[str, Any]:
        key = f"{names['project']}.{names['dataset']}"
        if key not in self._datasets:
            raise GoogleError(404, f"Not found: Dataset {names['project']}:{names['dataset']}")
        return self._datasets[key]

    def _create_table(self, names: Names, body: dict[str, Any]) -> dict[str, Any]:
        self._get_dataset(names, {})
        table = body.get("tableReference", {}).get("tableId", "")
        key = f"{names['project']}.{names['dataset']}.{table}"
        if key in self._tables:
            raise GoogleError(409, f"Already Exists: Table {key.replace('.', ':', 1)}")
        self._tables[key] = Table(_table_resource(body, {**names, "table": table}))
        return self._tables[key].resource

    def _table(self, names: Names) -> Table:
        table = self._tables.get(f"{names['project']}.{names['dataset']}.{names['table']}")
        if table is None:
            self._get_dataset(names, {})
            raise GoogleError(404, f"Not found: Table {names['project']}:{names['dataset']}.{names['table']}")
        return table

    def _get_table(self, names: Names, _body: dict[str, Any]) -> dict[str, Any]:
        table = self._table(names)
        return {**table.resource, "numRows": str(len(table.rows))}

    def _insert_all(self, names: Names, body: dict[str, Any]) -> dict[str, Any]:
        """
        Insert rows; a bad one stops the others, unless skipInvalidRows is set.

        "If any of the rows is invalid, none is inserted": the others get the reason `stopped`
        (tabledata.insertAll).
        """
        table = self._table(names)
        entries = body.get("rows") or []
        if not 1 <= len(entries) <= MAX_ROWS:
            raise GoogleError(400, f"insertAll takes 1 to {MAX_ROWS} rows")
        read = [read_row(entry.get("json"), table.columns) for entry in entries]
        if body.get("ignoreUnknownValues"):
            read = [(row, [each for each in found if "no such field" not in each[1]]) for row, found in read]
        errors = [_insert_error(index, found) for index, (_, found) in enumerate(read) if found]
        if errors and not body.get("skipInvalidRows"):
            stopped = [_stopped(index) for index, (_, found) in enumerate(read) if not found]
            errors = sorted(errors + stopped, key=lambda error: error["index"])
        else:
            for entry, (row, found) in zip(entries, read, strict=True):
                if not found:
                    _keep(table, row, entry.get("insertId"))
        answer: dict[str, Any] = {"kind": "bigquery#tableDataInsertAllResponse"}
        return {**answer, "insertErrors": errors} if errors else answer

    def _list_rows(self, names: Names, request: Request) -> dict[str, Any]:
        table = self._table(names)
        start = int(request.parameter("pageToken") or request.parameter("startIndex") or 0)
        end = min(start + int(request.parameter("maxResults") or 10_000), len(table.rows))
        answer = {
            "kind": "bigquery#tableDataList",
            "totalRows": str(len(table.rows)),
            "rows": [write_row(row, table.columns) for row in table.rows[start:end]],
        }
        return {**answer, "pageToken": str(end)} if end < len(table.rows) else answer


def _matched(pattern: str, path: str) -> Names:
    matched = re.fullmatch(pattern, path)
    if matched is None:
        raise GoogleError(404, f"Not found: {path}")
    return matched.groupdict()


def _body(request: Request) -> dict[str, Any]:
    if len(request.body) > MAX_REQUEST_BYTES:
        raise GoogleError(413, "Request payload size exceeds the limit: 10485760 bytes.")
    try:
        body = orjson.loads(request.body or b"{}")
    except orjson.JSONDecodeError:
        raise GoogleError(400, "Invalid JSON payload received.") from None
    if not isinstance(body, dict):
        raise GoogleError(400, "Invalid JSON payload received.")
    return body


def _dataset_resource(body: Mapping[str, Any], names: Names) -> dict[str, Any]:
    reference = {"projectId": names["project"], "datasetId": names["dataset"]}
    identity = {"kind": "bigquery#dataset", "id": f"{names['project']}:{names['dataset']}"}
    return {"location": "US", **body, **identity, "datasetReference": reference}


def _table_resource(body: Mapping[str, Any], names: Names) -> dict[str, Any]:
    reference = {
        "projectId": names["project"],
        "datasetId": names["dataset"],
        "tableId": names["table"],
    }
    identity = {"kind": "bigquery#table", "id": f"{names['project']}:{names['dataset']}.{names['table']}"}
    return {"type": "TABLE", **body, **identity, "tableReference": reference}


def _keep(table: Table, row: dict[str, Any], insert_id: str | None) -> None:
    if insert_id in table.insert_ids:
        return
    if insert_id:
        table.insert_ids.add(insert_id)
    table.rows.append(row)


def _insert_error(index: int, found: Sequence[tuple[str, str]]) -> dict[str, Any]:
    errors = [
        {"reason": "invalid", "location": location, "debugInfo": "", "message": message} for location, message in found
    ]
    return {"index": index, "errors": errors}


def _stopped(index: int) -> dict[str, Any]:
    error = {"reason": "stopped", "location": "", "debugInfo": "", "message": ""}
    return {"index": index, "errors": [error]}
