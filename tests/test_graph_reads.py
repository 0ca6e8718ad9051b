"""What is read of Meta, over a real connection to the stand-in."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import pytest

from lib import graph_reads
from lib.config import Connection, GraphAPISettings
from lib.graph_api import GraphAPI
from lib.ports import Chance, Reply
from lib.transport import RequestsTransport
from tests.local.graph_api import App
from tests.local.graph_api import GraphAPI as Meta
from tests.manual_clock import ManualClock
from tests.seams import Values

ACME: Final = Connection(name="acme", access_token="token-of-acme", ad_account_id="1", dataset_id="31")


@pytest.fixture
def meta() -> Iterator[Meta]:
    with Meta(tokens={"token-of-acme": App()}) as meta:
        for number in range(45):
            meta.add_audience(str(1000 + number), account="1", name=f"Segment {number}")
        meta.add_dataset("31", account="1")
        yield meta
        assert meta.violations == []


@pytest.fixture
def api(meta: Meta) -> Iterator[GraphAPI]:
    transport = RequestsTransport(pool_size=1)
    yield reader(meta.url, transport)
    transport.close()


def reader(url: str, transport: Any) -> GraphAPI:
    return GraphAPI(GraphAPISettings(url=url), transport, Values(), ManualClock().clock(), Chance())


def test_all_pages_of_audiences_are_read_20_at_a_time(api: GraphAPI, meta: Meta) -> None:
    found = list(graph_reads.list_audiences(api, ACME))
    assert [audience["name"] for audience in found] == [f"Segment {number}" for number in range(45)]
    assert [call.query for call in meta.calls] == [("fields", "limit")] + 2 * [("fields", "limit", "after")]


def test_audiences_of_other_kinds_are_left_out(api: GraphAPI, meta: Meta) -> None:
    meta._audiences["1003"].properties["subtype"] = "LOOKALIKE"
    assert "1003" not in {audience["id"] for audience in graph_reads.list_audiences(api, ACME)}


@pytest.mark.parametrize(
    "body",
    [b"{}", b'{"data": 7}', b'{"data": [7]}', b'{"data": [], "paging": {"next": "x"}}', b'{"paging": {"cursors": 7}}'],
)
def test_an_odd_page_ends_the_list(body: bytes) -> None:
    assert list(graph_reads.list_audiences(reader("http://x", lambda *_, **__: Reply(200, {}, body)), ACME)) == []


def test_a_list_without_end_ends() -> None:
    calls = []

    def transport(*_: Any, **__: Any) -> Reply:
        calls.append(1)
        return Reply(200, {}, b'{"data": [], "paging": {"next": "x", "cursors": {"after": "y"}}}')

    assert list(graph_reads.list_audiences(reader("http://x", transport), ACME)) == []
    assert len(calls) == 100


def test_the_last_session_is_the_one_that_began_last() -> None:
    sessions = b'{"data": [{"session_id": "1", "start_time": "9"}, {"session_id": "2", "start_time": "10"}, {}]}'
    last = graph_reads.last_session(reader("http://x", lambda *_, **__: Reply(200, {}, sessions)), ACME, "7")
    assert last is not None
    assert last["session_id"] == "2"


def test_an_audience_without_sessions_has_no_last_one(api: GraphAPI) -> None:
    assert graph_reads.last_session(api, ACME, "1001") is None


def test_account_dataset_quality_and_oneself(api: GraphAPI, meta: Meta) -> None:
    meta.health.set_quality("31", "Purchase", score=6.5)
    assert graph_reads.read_account(api, ACME)["tos_accepted"] == {"custom_audience_tos": 1}
    assert graph_reads.read_dataset(api, ACME)["is_unavailable"] is False
    (entry,) = graph_reads.read_quality(api, ACME)["web"]
    assert entry == {
        "event_name": "Purchase",
        "event_match_quality": {"composite_score": 6.5},
        "event_coverage": {"percentage": 90.0, "goal_percentage": 75.0},
        "data_freshness": {"upload_frequency": "real_time"},
    }
    assert graph_reads.read_me(api, ACME)["id"]
