"""The stand-in for BigQuery, held by the same tests to what local-bigquery does."""

import datetime as dt
import io
import json
import os
import threading
import uuid
from collections.abc import Iterator
from typing import Any, Final

import pytest
from google.api_core import exceptions
from google.auth.credentials import AnonymousCredentials
from google.cloud import bigquery

from tests.local.bigquery import BigQuery

COLUMNS: Final = [
    {"name": "row_id", "type": "STRING", "mode": "REQUIRED"},
    {"name": "logged_at", "type": "TIMESTAMP", "mode": "REQUIRED"},
    {"name": "rows_sent", "type": "INTEGER", "mode": "NULLABLE"},
    {"name": "ratio", "type": "FLOAT", "mode": "NULLABLE"},
    {"name": "last", "type": "BOOLEAN", "mode": "NULLABLE"},
    {"name": "day", "type": "DATE", "mode": "NULLABLE"},
    {"name": "words", "type": "STRING", "mode": "REPEATED"},
]
GOOD: Final = {"row_id": "r-1", "logged_at": "2026-11-24T10:00:00.250Z"}


class Dataset:
    """The official client, and a dataset that no other test uses."""

    def __init__(self, url: str) -> None:
        credentials = AnonymousCredentials()  # type: ignore[no-untyped-call]  # google-auth has no types here
        self.client: Any = bigquery.Client(project="p", credentials=credentials, client_options={"api_endpoint": url})
        self.name = f"p.d{uuid.uuid4().hex}"
        self.table = f"{self.name}.delivery_log"

    def create(self) -> None:
        self.client.create_dataset(self.name)
        schema = [bigquery.SchemaField.from_api_repr(column) for column in COLUMNS]
        self.client.create_table(bigquery.Table(self.table, schema=schema))

    def insert(self, *rows: dict[str, Any], **more: Any) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.client.insert_rows_json(self.table, list(rows), **more)
        return found

    def rows(self) -> list[dict[str, Any]]:
        return [dict(row) for row in self.client.list_rows(self.client.get_table(self.table))]


@pytest.fixture
def bigquery_server() -> Iterator[BigQuery]:
    with BigQuery() as server:
        yield server


@pytest.fixture(params=["stand-in", pytest.param("emulator", marks=pytest.mark.emulator)])
def dataset(request: pytest.FixtureRequest) -> Iterator[Dataset]:
    if request.param == "emulator":
        url = os.environ.get("RELAY_TEST_BIGQUERY_EMULATOR", "")
        if url == "absent":
            pytest.skip("This emulator cannot be had here.")
        assert url, "RELAY_TEST_BIGQUERY_EMULATOR is not set; `make test-emulators` sets it"
    else:
        url = request.getfixturevalue("bigquery_server").url
    made = Dataset(url)
    made.create()
    yield made
    made.client.close()


@pytest.fixture
def standin(bigquery_server: BigQuery) -> Iterator[Dataset]:
    made = Dataset(bigquery_server.url)
    made.create()
    yield made
    made.client.close()


def reasons(errors: list[dict[str, Any]]) -> dict[int, list[str]]:
    return {each["index"]: [error["reason"] for error in each["errors"]] for each in errors}


class TestAsLocalBigQueryDoes:
    def test_a_row_comes_back_with_its_types(self, dataset: Dataset) -> None:
        row = {"rows_sent": 7, "ratio": 0.5, "last": True, "day": "2026-11-24", "words": ["a", "b"]}
        assert dataset.insert({**GOOD, **row}) == []
        logged_at = dt.datetime(2026, 11, 24, 10, 0, 0, 250_000, tzinfo=dt.UTC)
        expected = {
            **row,
            "row_id": "r-1",
            "logged_at": logged_at,
            "day": dt.date(2026, 11, 24),
        }
        assert dataset.rows() == [expected]

    def test_what_a_row_leaves_out_is_null_or_empty(self, dataset: Dataset) -> None:
        assert dataset.insert(GOOD) == []
        (row,) = dataset.rows()
        assert (row["rows_sent"], row["words"]) == (None, [])

    def test_a_row_that_comes_again_with_its_insert_id_is_kept_once(self, dataset: Dataset) -> None:
        other = {**GOOD, "row_id": "r-2"}
        for _ in range(2):
            assert dataset.insert(GOOD, other, row_ids=["r-1", "r-2"]) == []
        assert sorted(row["row_id"] for row in dataset.rows()) == ["r-1", "r-2"]

    def test_a_table_that_is_not_there_is_not_found(self, dataset: Dataset) -> None:
        with pytest.raises(exceptions.NotFound):
            dataset.client.get_table(f"{dataset.name}.other")
        with pytest.raises(exceptions.NotFound):
            dataset.client.get_dataset("p.other")

    def test_what_is_there_already_cannot_be_created(self, dataset: Dataset) -> None:
        with pytest.raises(exceptions.Conflict):
            dataset.client.create_dataset(dataset.name)
        with pytest.raises(exceptions.Conflict):
            dataset.client.create_table(bigquery.Table(dataset.table))

    def test_a_table_keeps_its_schema(self, dataset: Dataset) -> None:
        columns = dataset.client.get_table(dataset.table).schema
        assert [(column.name, column.mode) for column in columns] == [
            (column["name"], column["mode"]) for column in COLUMNS
        ]

    @pytest.mark.parametrize(
        "bad",
        [
            pytest.param({**GOOD, "unknown": 1}, id="unknown field"),
            pytest.param({**GOOD, "rows_sent": "seven"}, id="wrong type"),
            pytest.param({"row_id": "r-1"}, id="missing required"),
        ],
    )
    def test_a_bad_row_is_named_by_its_index_and_not_kept(self, dataset: Dataset, bad: dict[str, Any]) -> None:
        errors = dataset.insert(GOOD, bad)
        assert reasons(errors)[1] == ["invalid"]
        assert all(row["row_id"] == "r-1" for row in dataset.rows())
        assert len(dataset.rows()) <= 1

    def test_many_rows_come_back_in_pages(self, dataset: Dataset) -> None:
        dataset.insert(*({**GOOD, "row_id": str(number)} for number in range(50)))
        table = dataset.client.get_table(dataset.table)
        rows = dataset.client.list_rows(table, page_size=20)
        assert sorted(int(row["row_id"]) for row in rows) == list(range(50))


class TestAsBigQueryDocuments:
    def test_a_bad_row_stops_the_others(self, bigquery_server: BigQuery, standin: Dataset) -> None:
        errors = standin.insert(GOOD, {**GOOD, "unknown": 1}, GOOD)
        assert reasons(errors) == {0: ["stopped"], 1: ["invalid"], 2: ["stopped"]}
        assert errors[1]["errors"] == [
            {
                "reason": "invalid",
                "location": "unknown",
                "debugInfo": "",
                "message": "no such field: unknown.",
            }
        ]
        assert bigquery_server.rows(standin.table) == []

    def test_bad_rows_can_be_skipped(self, bigquery_server: BigQuery, standin: Dataset) -> None:
        errors = standin.insert(GOOD, {**GOOD, "unknown": 1}, skip_invalid_rows=True)
        assert reasons(errors) == {1: ["invalid"]}
        assert [row["row_id"] for row in bigquery_server.rows(standin.table)] == ["r-1"]

    def test_inserting_into_a_table_that_is_not_there_is_not_found(self, standin: Dataset) -> None:
        with pytest.raises(exceptions.NotFound):
            standin.client.insert_rows_json(f"{standin.name}.other", [GOOD], retry=None)

    @pytest.mark.parametrize(
        ("column", "value"),
        [
            pytest.param("last", "yes", id="boolean"),
            pytest.param("ratio", "half", id="float"),
            pytest.param("day", "24.11.2026", id="date"),
            pytest.param("logged_at", "now", id="timestamp"),
            pytest.param("rows_sent", 1.5, id="integer"),
            pytest.param("words", "a", id="repeated"),
            pytest.param("row_id", {"a": 1}, id="string"),
            pytest.param("row_id", None, id="null for required"),
        ],
    )
    def test_a_value_of_another_type_is_invalid(self, standin: Dataset, column: str, value: object) -> None:
        (found,) = standin.insert({**GOOD, column: value})
        assert [(each["reason"], each["location"]) for each in found["errors"]] == [("invalid", column)]

    def test_a_table_can_be_made_without_a_client(self, bigquery_server: BigQuery, standin: Dataset) -> None:
        bigquery_server.add_table("p.logs.rows", COLUMNS)
        assert standin.client.insert_rows_json("p.logs.rows", [GOOD]) == []
        assert bigquery_server.rows("p.logs.rows")[0]["row_id"] == "r-1"

    def test_a_backend_that_is_unavailable_is_tried_again_by_the_client(
        self, bigquery_server: BigQuery, standin: Dataset
    ) -> None:
        bigquery_server.fail(times=1, status=503)
        assert standin.insert(GOOD) == []
        assert bigquery_server.inserts == 2

    def test_inserting_can_be_denied(self, bigquery_server: BigQuery, standin: Dataset) -> None:
        bigquery_server.fail(status=403)
        with pytest.raises(exceptions.Forbidden):
            standin.insert(GOOD)
        assert bigquery_server.rows(standin.table) == []

    def test_nothing_is_left_after_it_is_closed(self) -> None:
        before = set(threading.enumerate())
        with BigQuery() as server:
            assert server.url
        assert set(threading.enumerate()) <= before


class TestJobs:
    def query(self, dataset: Dataset, sql: str, **parameters: str) -> list[dict[str, Any]]:
        given = [bigquery.ScalarQueryParameter(name, "STRING", value) for name, value in parameters.items()]
        config = bigquery.QueryJobConfig(query_parameters=given)
        job = dataset.client.query(sql.replace("TABLE", f"`{dataset.table}`"), job_config=config)
        return [dict(row) for row in job.result()]

    def test_a_query_counts_groups_and_compares(self, dataset: Dataset) -> None:
        dataset.insert(*({**GOOD, "row_id": f"r-{number}", "rows_sent": number % 3} for number in range(9)))
        found = self.query(
            dataset,
            "SELECT rows_sent, COUNT(DISTINCT row_id) AS n, MAX(CASE WHEN row_id = @one THEN 1 ELSE 0 END) AS has_one"
            " FROM TABLE WHERE row_id <> '' GROUP BY rows_sent ORDER BY rows_sent",
            one="r-4",
        )
        assert found == [{"rows_sent": number, "n": 3, "has_one": int(number == 1)} for number in range(3)]

    def test_the_types_of_columns_are_kept(self, dataset: Dataset) -> None:
        dataset.insert({**GOOD, "last": True, "day": "2026-11-24", "ratio": 0.5, "words": ["a", "b"]})
        (row,) = self.query(dataset, "SELECT * FROM TABLE")
        assert (row["last"], row["day"], row["ratio"], row["words"]) == (True, dt.date(2026, 11, 24), 0.5, ["a", "b"])
        assert row["logged_at"] == dt.datetime(2026, 11, 24, 10, 0, 0, 250_000, tzinfo=dt.UTC)

    def test_rows_are_changed_and_deleted(self, dataset: Dataset) -> None:
        self.load(dataset, b"load-1", *({**GOOD, "row_id": f"r-{number}"} for number in range(4)))
        self.query(dataset, "UPDATE TABLE SET rows_sent = 7 WHERE row_id = @one", one="r-1")
        self.query(dataset, "DELETE FROM TABLE WHERE row_id = @one", one="r-2")
        rows = sorted((row["row_id"], row["rows_sent"]) for row in dataset.rows())
        assert rows == [("r-0", None), ("r-1", 7), ("r-3", None)]

    def load(self, dataset: Dataset, name: bytes, *rows: dict[str, Any]) -> Any:
        data = "\n".join(map(json.dumps, rows)).encode()
        config = bigquery.LoadJobConfig(source_format="NEWLINE_DELIMITED_JSON", write_disposition="WRITE_APPEND")
        job_id = f"{name.decode()}-{dataset.name.partition('.')[2]}"
        return dataset.client.load_table_from_file(
            io.BytesIO(data), dataset.table, size=len(data), job_id=job_id, job_config=config
        ).result()

    def test_the_id_of_a_job_is_taken_for_good(self, dataset: Dataset) -> None:
        self.load(dataset, b"load", GOOD)
        with pytest.raises(exceptions.Conflict, match="Already Exists"):
            self.load(dataset, b"load", GOOD)
        assert len(dataset.rows()) == 1

    def test_a_load_takes_all_or_nothing(self, standin: Dataset) -> None:
        with pytest.raises(exceptions.BadRequest):
            self.load(standin, b"load", GOOD, {"row_id": "r-2"})
        assert standin.rows() == []

    def test_a_large_load_comes_in_parts(self, standin: Dataset) -> None:
        data = b"\n".join(json.dumps({**GOOD, "row_id": f"{number:0200}"}).encode() for number in range(50_000))
        config = bigquery.LoadJobConfig(source_format="NEWLINE_DELIMITED_JSON")
        standin.client.load_table_from_file(io.BytesIO(data), standin.table, job_config=config).result()
        assert standin.client.get_table(standin.table).num_rows == 50_000

    def test_what_is_no_sql_is_refused_and_takes_no_id(self, standin: Dataset) -> None:
        for _ in range(2):
            with pytest.raises(exceptions.BadRequest):
                standin.client.query("SELEKT 1", job_id="once", job_retry=None)
