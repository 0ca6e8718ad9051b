"""The delivery log, with the official client and the stand-in (design, section 11)."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Any, Final

import orjson
import pytest
from google.auth.credentials import AnonymousCredentials
from google.cloud import bigquery

from lib.delivery_log import (
    COUNTED,
    SCHEMA_FILE,
    BigQueryDeliveryLog,
    ConsoleDeliveryLog,
    CountedDeliveryLog,
    columns,
    row,
    row_id,
)
from tests.local.bigquery import BigQuery
from tests.log_records import log_records

#: Section 11, with what tells of match keys before and after identity.
COLUMNS: Final = [
    "row_id", "logged_at", "trace_id", "kind", "action", "caller", "connection", "destination", "segment_id",
    "sync_id", "batch", "batches", "outcome", "event_name", "event_id", "rows_received", "rows_sent", "rows_rejected",
    "reject_reasons", "num_received", "num_invalid_entries", "http_status", "error_code", "error_subcode",
    "error_message", "fbtrace_id", "usage_percent", "regain_minutes", "attempt", "consent_missing", "identity_source",
    "identity_outcome", "identity_fields_added", "match_keys_before", "match_keys_after",
    "parse_ms", "identity_ms", "build_ms", "graph_ms", "elapsed_ms", "relay_version",
]  # fmt: skip
SCHEMA: Final[list[dict[str, str]]] = orjson.loads(SCHEMA_FILE.read_bytes())
TABLE: Final = "p.meta_relay.delivery_log"


def good(number: int = 1, **more: object) -> dict[str, object]:
    return row(
        row_id=f"r-{number}", logged_at="2026-11-24T10:00:00.25+00:00", kind="audiences", outcome="delivered", **more
    )


@pytest.fixture
def server() -> Iterator[BigQuery]:
    with BigQuery() as server:
        server.add_table(TABLE, SCHEMA)
        yield server


@pytest.fixture
def client(server: BigQuery) -> Iterator[Any]:
    credentials = AnonymousCredentials()  # type: ignore[no-untyped-call]  # google-auth has no types here
    options = {"api_endpoint": server.url}
    client: Any = bigquery.Client(project="p", credentials=credentials, client_options=options)
    yield client
    client.close()


@pytest.fixture
def log(client: Any) -> BigQueryDeliveryLog:
    return BigQueryDeliveryLog(lambda: client, TABLE)


@pytest.fixture
def records() -> Iterator[list[logging.LogRecord]]:
    with log_records() as records:
        yield records


def lost(records: list[logging.LogRecord]) -> list[Any]:
    """Return the rows that went to the console log, all at ERROR."""
    assert {record.levelno for record in records} <= {logging.ERROR}
    return [record.__dict__["delivery"] for record in records]


def messages(records: list[logging.LogRecord]) -> list[str]:
    return [record.getMessage() for record in records]


class TestSchema:
    def test_it_has_the_designs_columns_in_their_order(self) -> None:
        assert [column["name"] for column in SCHEMA] == COLUMNS

    def test_each_column_has_a_type_a_mode_and_a_description(self) -> None:
        for column in SCHEMA:
            assert column.keys() == {"name", "type", "mode", "description"}
            assert column["type"] in {"STRING", "TIMESTAMP", "INTEGER", "FLOAT"}
            assert column["mode"] in {"REQUIRED", "NULLABLE"}
            assert column["description"].endswith(".")

    def test_what_no_row_lacks_is_required(self) -> None:
        assert [column["name"] for column in SCHEMA if column["mode"] == "REQUIRED"] == [
            "row_id",
            "logged_at",
            "kind",
            "outcome",
        ]


class TestRow:
    def test_only_columns_are_let_in(self) -> None:
        with pytest.raises(ValueError, match=r"not a column of the delivery log: \['email', 'token'\]"):
            row(row_id="r", email="ada@example.com", token="t")

    def test_what_is_none_is_left_out(self) -> None:
        assert row(row_id="r", batch=None, rows_sent=0) == {"row_id": "r", "rows_sent": 0}

    def test_columns_are_those_of_the_schema(self) -> None:
        assert columns() == set(COLUMNS)

    def test_its_id_derives_from_its_parts(self) -> None:
        ids = [
            row_id("m", 1, "audiences"),
            row_id("m", 2, "audiences"),
            row_id("m1", "", "audiences"),
            row_id("m", "1a"),
        ]
        assert len(set(ids)) == 4
        assert row_id("m", 1, "audiences") == ids[0]
        assert all(len(one) == 32 for one in ids)


class TestBigQuery:
    def test_rows_are_written(self, log: BigQueryDeliveryLog, server: BigQuery) -> None:
        filled = {
            column["name"]: {"STRING": "s", "INTEGER": 5, "FLOAT": 0.5}[column["type"]]
            for column in SCHEMA
            if column["mode"] == "NULLABLE"
        }
        log.insert([good(1, **filled), good(2)])
        first, second = server.rows(TABLE)
        assert {key: first[key] for key in filled} == filled
        assert (second["row_id"], second["outcome"], second.get("batch")) == ("r-2", "delivered", None)

    def test_a_row_that_comes_again_is_kept_once(
        self, log: BigQueryDeliveryLog, server: BigQuery, records: list[logging.LogRecord]
    ) -> None:
        log.insert([good(1), good(2)])
        log.insert([good(2), good(3)])
        assert [one["row_id"] for one in server.rows(TABLE)] == ["r-1", "r-2", "r-3"]
        assert lost(records) == []

    def test_no_rows_are_no_call(self, server: BigQuery) -> None:
        BigQueryDeliveryLog(lambda: pytest.fail("a client was made"), TABLE).insert([])
        assert server.inserts == 0

    def test_a_bad_row_goes_to_the_console_and_the_good_ones_to_the_table(
        self, log: BigQueryDeliveryLog, server: BigQuery, records: list[logging.LogRecord]
    ) -> None:
        bad = good(2, rows_sent="seven")
        log.insert([good(1), bad, good(3)])
        assert [one["row_id"] for one in server.rows(TABLE)] == ["r-1", "r-3"]
        assert lost(records) == [bad]
        assert messages(records) == ["delivery log: BigQuery did not take a row (row errors)"]

    @pytest.mark.parametrize("status", [400, 401, 403, 404, 429, 500, 503])
    def test_an_outage_does_not_matter_and_is_not_waited_for(
        self, log: BigQueryDeliveryLog, server: BigQuery, records: list[logging.LogRecord], status: int
    ) -> None:
        server.fail(times=1, status=status)
        log.insert([good(1), good(2)])
        assert (server.rows(TABLE), server.inserts, lost(records)) == ([], 1, [good(1), good(2)])

    def test_what_takes_too_long_is_not_waited_for(
        self, log: BigQueryDeliveryLog, server: BigQuery, records: list[logging.LogRecord]
    ) -> None:
        server.fail(times=1, delay_s=2)
        log.insert([good(1)], timeout_s=0.5)
        assert lost(records) == [good(1)]

    def test_a_table_that_is_missing_does_not_matter(self, client: Any, records: list[logging.LogRecord]) -> None:
        BigQueryDeliveryLog(lambda: client, "p.meta_relay.other").insert([good(1)])
        assert lost(records) == [good(1)]
        assert messages(records) == ["delivery log: BigQuery did not take a row (NotFound)"]

    def test_a_client_that_cannot_be_made_does_not_matter(self, records: list[logging.LogRecord]) -> None:
        def client() -> Any:
            raise OSError("Canary7c1f")

        BigQueryDeliveryLog(client, TABLE).insert([good(1)])
        assert lost(records) == [good(1)]
        assert "Canary7c1f" not in str(messages(records))

    def test_it_recovers_by_itself(self, log: BigQueryDeliveryLog, server: BigQuery) -> None:
        server.fail(times=1)
        log.insert([good(1)])
        log.insert([good(2)])
        assert [one["row_id"] for one in server.rows(TABLE)] == ["r-2"]


def test_without_a_table_rows_are_lines_of_the_console_log(records: list[logging.LogRecord]) -> None:
    ConsoleDeliveryLog().insert([good(1), good(2)])
    assert messages(records) == ["audiences delivered", "audiences delivered"]
    assert [record.__dict__["delivery"] for record in records] == [good(1), good(2)]


class TestCounted:
    def test_each_row_is_written_and_counted_in_one_short_line(
        self, log: BigQueryDeliveryLog, server: BigQuery, records: list[logging.LogRecord]
    ) -> None:
        CountedDeliveryLog(log).insert([good(1, connection="acme", rows_sent=3), good(2)])
        assert [one["row_id"] for one in server.rows(TABLE)] == ["r-1", "r-2"]
        assert [record.__dict__["delivery"] for record in records] == [
            {"kind": "audiences", "outcome": "delivered", "connection": "acme", "rows_sent": 3},
            {"kind": "audiences", "outcome": "delivered"},
        ]

    def test_a_row_that_bigquery_does_not_take_is_counted_once_at_info(
        self, log: BigQueryDeliveryLog, records: list[logging.LogRecord]
    ) -> None:
        CountedDeliveryLog(log).insert([{**good(), "no_column": 1}])
        assert [record.levelno for record in records] == [logging.INFO, logging.ERROR]

    def test_only_columns_are_counted(self) -> None:
        assert set(COUNTED) <= columns()
