"""Members from BigQuery through the official client: of the stand-in and, where it is there, of local-bigquery."""

from __future__ import annotations

import io
import json
import os
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

import pytest
from google.auth.credentials import AnonymousCredentials
from google.cloud import bigquery

from lib.config import Source
from lib.cuts import PAGE_ROWS, Cut
from lib.errors import ConfigurationError, RelayError, SourceUnavailableError
from lib.segment_source import SegmentSources
from lib.table_source import location_of
from tests.local.bigquery import BigQuery

COLUMNS: Final = [
    {"name": "id", "type": "INTEGER"},
    {"name": "email", "type": "STRING"},
    {"name": "since", "type": "DATE"},
    {"name": "vip", "type": "BOOLEAN"},
]


@dataclass
class Warehouse:
    """A BigQuery with a table of members that a load job has filled."""

    client: Any
    table: str

    def fill(self, count: int) -> None:
        self.load(
            [
                {"id": number, "email": f"p{number}@example.com", "since": "2026-01-31", "vip": number % 2 == 0}
                for number in range(count)
            ]
        )

    def load(self, rows: Sequence[dict[str, Any]]) -> None:
        data = "\n".join(map(json.dumps, rows)).encode()
        config = bigquery.LoadJobConfig(
            source_format="NEWLINE_DELIMITED_JSON",
            schema=[bigquery.SchemaField.from_api_repr(column) for column in COLUMNS],
        )
        self.client.load_table_from_file(io.BytesIO(data), self.table, size=len(data), job_config=config).result()

    def where(self, condition: str) -> Source:
        return Source(name="vip", query=f"SELECT * FROM `{self.table}` WHERE {condition}")  # noqa: S608 - ours

    @property
    def sources(self) -> SegmentSources:
        return SegmentSources(bigquery=lambda: self.client, storage=lambda: None)


def connected(url: str) -> Warehouse:
    credentials = AnonymousCredentials()  # type: ignore[no-untyped-call]  # google-auth has no types here
    client: Any = bigquery.Client(project="p", credentials=credentials, client_options={"api_endpoint": url})
    dataset = f"p.d{uuid.uuid4().hex}"
    client.create_dataset(dataset)
    return Warehouse(client, f"{dataset}.vip")


@pytest.fixture
def server() -> Iterator[BigQuery]:
    with BigQuery() as server:
        yield server


@pytest.fixture(params=["stand-in", pytest.param("emulator", marks=pytest.mark.emulator)])
def warehouse(request: pytest.FixtureRequest) -> Iterator[Warehouse]:
    url = os.environ.get("RELAY_TEST_BIGQUERY_EMULATOR", "")
    if request.param == "stand-in":
        url = request.getfixturevalue("server").url
    elif url == "absent":
        pytest.skip("This emulator cannot be had here.")
    made = connected(url)
    yield made
    made.client.close()


def read(sources: SegmentSources, cuts: Sequence[Cut]) -> list[Any]:
    return [member for cut in cuts for page in sources.pages(cut) for member in page.members]


def test_a_table_comes_in_pages_that_know_their_place(warehouse: Warehouse) -> None:
    warehouse.fill(2 * PAGE_ROWS + 5)
    cuts = warehouse.sources.cuts(Source(name="vip", table=warehouse.table), "s1", pages=1)
    assert [(cut.first_row, cut.rows, cut.first_batch) for cut in cuts] == [
        (0, PAGE_ROWS, 1),
        (PAGE_ROWS, PAGE_ROWS, 2),
        (2 * PAGE_ROWS, 5, 3),
    ]
    (page,) = warehouse.sources.pages(cuts[2])
    assert (page.first_row, page.batch, page.rest, len(page.members)) == (2 * PAGE_ROWS, 3, None, 5)
    members = read(warehouse.sources, cuts)
    assert sorted(member["id"] for member in members) == list(range(2 * PAGE_ROWS + 5))
    assert {"email": "p7@example.com", "id": 7, "since": "2026-01-31", "vip": False} in members


def test_what_is_cut_does_not_change_with_the_table(warehouse: Warehouse) -> None:
    warehouse.fill(3)
    source = warehouse.where("id > 0")
    cuts = warehouse.sources.cuts(source, "s2", pages=1)
    warehouse.load([{"id": 99, "email": "late@example.com"}])
    # The message comes again: the query does not run again.
    again = warehouse.sources.cuts(source, "s2", pages=1)
    assert again == cuts
    assert {member["email"] for member in read(warehouse.sources, cuts)} == {"p1@example.com", "p2@example.com"}


def test_values_become_what_json_would_have(warehouse: Warehouse) -> None:
    warehouse.fill(1)
    (cut,) = warehouse.sources.cuts(Source(name="vip", table=warehouse.table), "s3", pages=1)
    assert read(warehouse.sources, [cut]) == [{"id": 0, "email": "p0@example.com", "since": "2026-01-31", "vip": True}]


def test_an_empty_table_has_no_cuts(warehouse: Warehouse) -> None:
    warehouse.fill(1)
    source = warehouse.where("id > 5")
    assert warehouse.sources.cuts(source, "s4", pages=1) == []


@pytest.mark.parametrize("source", [Source(name="vip", table="p.none.none"), Source(name="vip", query="SELEKT 1")])
def test_what_cannot_be_read_is_the_operators_and_names_the_source(warehouse: Warehouse, source: Source) -> None:
    with pytest.raises(ConfigurationError) as caught:
        warehouse.sources.cuts(source, "s5", pages=1)
    assert (caught.value.field, caught.value.scope) == ("source", "BigQuery")
    assert "the source vip" in caught.value.message
    assert "roles/bigquery.dataViewer" in (caught.value.action or "")


def test_an_outage_can_be_waited_out(server: BigQuery) -> None:
    made = connected(server.url)
    made.fill(1)
    (cut,) = made.sources.cuts(Source(name="vip", table=made.table), "s6", pages=1)
    server.fail(times=1, status=403, match="/data")
    with pytest.raises(RelayError) as caught:
        read(made.sources, [cut])
    assert isinstance(caught.value, ConfigurationError)
    server.fail(times=1000, status=501, match="/data")
    with pytest.raises(SourceUnavailableError):
        read(made.sources, [cut])
    made.client.close()


@pytest.mark.parametrize(
    ("message", "location"),
    [
        ("409 POST https://…: Already Exists: Job my-project:EU.meta-relay-1-0", "EU"),
        ("Already Exists: Job p:europe-west1.meta-relay-1-0", "europe-west1"),
        ("Already Exists: Table p:d.t", None),
    ],
)
def test_where_a_job_is_stands_in_the_refusal(message: str, location: str | None) -> None:
    assert location_of(message) == location
