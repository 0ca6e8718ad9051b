"""
A local stand-in for BigQuery's tables that the official client reaches through BIGQUERY_EMULATOR_HOST.

Datasets, tables, insertAll, tabledata.list, queries and load jobs, as
cloud.google.com/bigquery/docs/reference/rest describes them; bigquery_sql says which SQL. A row that comes again with
its insertId is kept once; BigQuery forgets ids after about a minute, this one does not.
"""

import itertools
import re
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Final, Self

import orjson

from tests.local.bigquery_jobs import Jobs, Uploads, fail, read_rows, read_upload
from tests.local.bigquery_sql import execute, tables_of
from tests.local.bigquery_values import read_row, write_row
from tests.local.faults import Faults
from tests.local.google_rest import GoogleError, google_fault
from tests.local.http_server import HTTPServer, Reply, Request

PROJECT: Final = r"(?:/bigquery/v2)?/projects/(?P<project>[^/]+)"
PREFIX: Final = PROJECT + "/datasets"
UPLOAD: Final = r"(?:/resumable)?/upload/bigquery/v2/projects/(?P<project>[^/]+)/jobs"
#: Where the results of queries are kept: "anonymous dataset" (cloud.google.com/bigquery/docs/cached-results).
ANONYMOUS: Final = "_anonymous"
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
        self._jobs = Jobs()
        self._uploads = Uploads()
        self._serial = itertools.count(1)
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
                if matched := re.fullmatch(UPLOAD, request.path):
                    return self._upload(matched.groupdict(), request)
                return Reply(200, orjson.dumps(self._route(request)))
        except GoogleError as error:
            return error.reply()

    def _route(self, request: Request) -> dict[str, Any]:
        if request.path.endswith("/data") and request.method == "GET":
            return self._list_rows(_matched(TABLE + "/data", request.path), request)
        if matched := re.fullmatch(PROJECT + r"/queries/(?P<job>[^/]+)", request.path):
            return self._query_results(matched.groupdict(), request)
        body = _body(request)
        routes: list[tuple[str, str, Callable[[Names, dict[str, Any]], dict[str, Any]]]] = [
            ("POST", TABLE + "/insertAll", self._insert_all),
            ("POST", DATASET + "/tables", self._create_table),
            ("GET", TABLE, self._get_table),
            ("POST", PREFIX, self._create_dataset),
            ("GET", DATASET, self._get_dataset),
            ("DELETE", TABLE, self._delete_table),
            ("POST", PROJECT + "/jobs", self._begin_job),
            ("GET", PROJECT + r"/jobs/(?P<job>[^/]+)", self._get_job),
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

    def _delete_table(self, names: Names, _body: dict[str, Any]) -> dict[str, Any]:
        self._table(names)
        del self._tables[f"{names['project']}.{names['dataset']}.{names['table']}"]
        return {}

    # Jobs.

    def _get_job(self, names: Names, _body: dict[str, Any]) -> dict[str, Any]:
        return self._jobs.get(names["project"], names["job"])

    def _begin_job(self, names: Names, body: dict[str, Any]) -> dict[str, Any]:
        if "query" not in body.get("configuration", {}):
            raise GoogleError(501, "The stand-in has no such job")
        job = self._jobs.claim(names["project"], body, next(self._serial))
        try:
            self._query(names, job)
        except GoogleError:
            self._jobs.forget(job)
            raise
        return job

    def _query(self, names: Names, job: dict[str, Any]) -> None:
        """Run a query into an anonymous table, which nothing changes any more."""
        query = job["configuration"]["query"]
        tables = {}
        for table in tables_of(query["query"]):
            project, dataset, name = table.split(".")
            tables[table] = self._table({"project": project, "dataset": dataset, "table": name})
        columns, rows = execute(query["query"], query.get("queryParameters", []), tables)
        where = {"project": names["project"], "dataset": ANONYMOUS}
        self._datasets.setdefault(f"{names['project']}.{ANONYMOUS}", _dataset_resource({}, where))
        table = f"anon{next(self._serial)}"
        reference = {"projectId": names["project"], "datasetId": ANONYMOUS, "tableId": table}
        self._create_table(where, {"tableReference": reference, "schema": {"fields": columns}})
        self._tables[f"{names['project']}.{ANONYMOUS}.{table}"].rows = rows
        query["destinationTable"] = reference

    def _query_results(self, names: Names, request: Request) -> dict[str, Any]:
        job = self._jobs.get(names["project"], names["job"])
        place = job["configuration"]["query"]["destinationTable"]
        table = self._table({"project": place["projectId"], "dataset": place["datasetId"], "table": place["tableId"]})
        count = int(request.parameter("maxResults") or len(table.rows))
        answer = {
            "kind": "bigquery#getQueryResultsResponse",
            "jobReference": job["jobReference"],
            "jobComplete": True,
            "schema": {"fields": table.columns},
            "totalRows": str(len(table.rows)),
            "rows": [write_row(row, table.columns) for row in table.rows[:count]],
        }
        return {**answer, "pageToken": str(count)} if count < len(table.rows) else answer

    def _upload(self, names: Names, request: Request) -> Reply:
        """Take the data of a load job: at once with the job, or in parts after it."""
        if request.parameter("uploadType") == "multipart":
            job, data = read_upload(request.body, request.headers.get("content-type", ""))
            return Reply(200, orjson.dumps(self._load(names, job, data)))
        if request.method == "POST":
            upload = self._uploads.begin(orjson.loads(request.body))
            return Reply(200, b"", {"Location": f"{self.url}{request.path}?uploadType=resumable&upload_id={upload}"})
        taken = self._uploads.take(
            int(request.parameter("upload_id") or 0), request.body, request.headers.get("content-range", "")
        )
        if isinstance(taken, int):
            return Reply(308, b"", {"Range": f"bytes=0-{taken - 1}"})
        return Reply(200, orjson.dumps(self._load(names, *taken)))

    def _load(self, names: Names, resource: dict[str, Any], data: bytes) -> dict[str, Any]:
        """Append newline-delimited JSON to a table, all of it or nothing; a table that is not there is made."""
        job = self._jobs.claim(names["project"], resource, next(self._serial))
        load = job["configuration"]["load"]
        place = load["destinationTable"]
        where = {"project": place["projectId"], "dataset": place["datasetId"], "table": place["tableId"]}
        if ".".join(where.values()) not in self._tables:
            self._create_table(where, {"tableReference": place, "schema": load.get("schema", {})})
        table = self._table(where)
        rows, problems = read_rows(data, table.columns)
        if problems:
            fail(job, "invalid", problems[0])
        else:
            if load.get("writeDisposition") == "WRITE_TRUNCATE":
                table.rows.clear()
            table.rows += rows
        return job

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
