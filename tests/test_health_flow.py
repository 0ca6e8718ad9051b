"""The deep health check through the real `deliver`: it reports each fault that is there, and no other."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any, Final

import pytest
import requests

from lib.health_flow import MAX_SESSIONS, ROUND_S, HealthFlow
from lib.health_log import HealthLog
from lib.ports import Reply
from tests.functions import Functions, add
from tests.identity_service import IdentityService
from tests.local.faults import Fault
from tests.local.graph_api import App, GraphAPI
from tests.local.http_server import HTTPServer
from tests.local.http_server import Reply as ServerReply
from tests.local.stack import (
    ACCOUNT,
    APP_ID,
    APP_SECRET,
    DATASET,
    HEALTH_TABLE,
    OTHER_ACCOUNT,
    OTHER_DATASET,
    OTHER_TOKEN,
    TOKEN,
    secret,
)
from tests.log_records import log_records
from tests.manual_clock import ManualClock
from tests.seams import relay

_DAY: Final = 86_400


def check(functions: Functions, message_id: str = "1") -> list[dict[str, Any]]:
    """Publish what Cloud Scheduler publishes; return the rows of the health log that come of it."""
    known = len(functions.stack.bigquery.rows(HEALTH_TABLE))
    assert functions.push(b"{}", {"type": "health"}, message_id=message_id) == 200
    rows = functions.stack.bigquery.rows(HEALTH_TABLE)[known:]
    return [{key: value for key, value in row.items() if value is not None} for row in rows]


def faults(rows: list[dict[str, Any]]) -> set[tuple[str, str, str | None, str]]:
    """Return what is wrong: connection, kind, subject and reason."""
    return {
        (row["connection"], row["kind"], row.get("subject"), row["reason"]) for row in rows if row["status"] != "ok"
    }


def test_a_healthy_deployment_has_no_fault_and_a_row_for_each_thing(functions: Functions) -> None:
    functions.stack.graph.health.set_quality(DATASET, "Purchase")
    rows = check(functions)
    assert {row["status"] for row in rows} == {"ok"}
    assert [(row["connection"], row["kind"], row.get("subject"), row.get("event_name")) for row in rows] == [
        ("acme", "token", None, None),
        ("acme", "ad_account", ACCOUNT, None),
        ("acme", "terms", ACCOUNT, None),
        ("acme", "audience", "1001", None),
        ("acme", "audience", "1002", None),
        ("acme", "audience", "1003", None),
        ("acme", "dataset", DATASET, None),
        ("acme", "match_quality", DATASET, "Purchase"),
        ("acme", "coverage", DATASET, "Purchase"),
        ("acme", "freshness", DATASET, "Purchase"),
        ("globex", "token", None, None),
        ("globex", "ad_account", OTHER_ACCOUNT, None),
        ("globex", "terms", OTHER_ACCOUNT, None),
        ("globex", "audience", "2001", None),
        ("globex", "dataset", OTHER_DATASET, None),
    ]


def _expires_in(days: float, token: str = TOKEN) -> Callable[[GraphAPI], None]:
    def arrange(graph: GraphAPI) -> None:
        graph.health.expires_at[token] = int(time.time() + days * _DAY)

    return arrange


def _operation_status(code: int) -> Callable[[GraphAPI], None]:
    return lambda graph: graph.set_operation_status("1002", code, "as Meta words it")


def _account_status(code: int) -> Callable[[GraphAPI], None]:
    return lambda graph: graph.health.account_status.update({ACCOUNT: code})


def _quality(**values: Any) -> Callable[[GraphAPI], None]:
    return lambda graph: graph.health.set_quality(DATASET, "Purchase", **values)


def _dataset(**facts: Any) -> Callable[[GraphAPI], None]:
    return lambda graph: graph.health.datasets.update({OTHER_DATASET: facts})


def _app(**facts: Any) -> Callable[[GraphAPI], None]:
    return lambda graph: graph.tokens.update({TOKEN: App(**{"app_secret": APP_SECRET, "accounts": {ACCOUNT}, **facts})})


@pytest.mark.parametrize(
    ("arrange", "kind", "subject", "reason", "status"),
    [
        pytest.param(lambda graph: graph.expire(TOKEN), "token", None, "token_invalid", "error", id="expired"),
        pytest.param(_expires_in(13.9), "token", None, "token_expiring", "warning", id="expires in 13 days"),
        pytest.param(
            lambda graph: graph.health.scopes.update({TOKEN: ["ads_read"]}),
            "token", None, "token_without_permission", "error", id="no ads_management",
        ),
        pytest.param(_app(app_id="other"), "token", None, "app_refused", "error", id="another app's id"),
        pytest.param(_account_status(2), "ad_account", ACCOUNT, "account_disabled", "error", id="disabled"),
        pytest.param(_account_status(3), "ad_account", ACCOUNT, "account_unsettled", "error", id="unsettled"),
        pytest.param(_account_status(7), "ad_account", ACCOUNT, "account_in_review", "error", id="in review"),
        pytest.param(_account_status(9), "ad_account", ACCOUNT, "account_in_grace_period", "warning", id="overdue"),
        pytest.param(_account_status(101), "ad_account", ACCOUNT, "account_closed", "error", id="closed"),
        pytest.param(_account_status(77), "ad_account", ACCOUNT, "account_not_active", "warning", id="new status"),
        pytest.param(
            lambda graph: graph.refuse_terms(ACCOUNT), "terms", ACCOUNT, "terms_not_accepted", "error", id="terms"
        ),
        *(
            pytest.param(_operation_status(code), "audience", "1002", reason, status, id=f"operation status {code}")
            for code, reason, status in (
                (411, "audience_low_match", "warning"),
                (412, "audience_invalid_entries", "warning"),
                (414, "audience_replacing", "warning"),
                (415, "audience_replace_failed", "error"),
                (471, "audience_flagged", "error"),
                (100, "audience_expiring", "warning"),
                (500, "audience_error", "error"),
            )
        ),
        pytest.param(_quality(score=3.9), "match_quality", DATASET, "match_quality_low", "warning", id="match quality"),
        pytest.param(_quality(coverage=74.9), "coverage", DATASET, "coverage_low", "warning", id="coverage"),
        pytest.param(_quality(frequency="daily"), "freshness", DATASET, "events_late", "warning", id="freshness"),
    ],
)  # fmt: skip
def test_a_fault_is_reported_and_no_other(
    functions: Functions,
    arrange: Callable[[GraphAPI], None],
    kind: str,
    subject: str | None,
    reason: str,
    status: str,
) -> None:
    arrange(functions.stack.graph)
    rows = check(functions)
    assert faults(rows) == {("acme", kind, subject, reason)}
    (row,) = (row for row in rows if row["status"] != "ok")
    assert row["status"] == status
    assert row["message"]
    assert row["action"].endswith(".")
    # What is well has its row beside it.
    assert {row["kind"] for row in rows if row["connection"] == "globex"} == {
        "token", "ad_account", "terms", "audience", "dataset"
    }  # fmt: skip


@pytest.mark.parametrize(
    ("arrange", "kind", "subject", "reason"),
    [
        pytest.param(lambda graph: graph.expire(OTHER_TOKEN), "token", None, "token_invalid", id="expired"),
        pytest.param(_dataset(is_unavailable=True), "dataset", OTHER_DATASET, "dataset_unavailable", id="unavailable"),
        pytest.param(_dataset(is_restricted_use=True), "dataset", OTHER_DATASET, "dataset_restricted", id="restricted"),
    ],
)
def test_a_fault_of_a_connection_without_app_secret_is_reported(
    functions: Functions, arrange: Callable[[GraphAPI], None], kind: str, subject: str | None, reason: str
) -> None:
    arrange(functions.stack.graph)
    assert faults(check(functions)) == {("globex", kind, subject, reason)}


def test_all_faults_at_once_are_all_reported(functions: Functions) -> None:
    graph = functions.stack.graph
    _expires_in(3)(graph)
    graph.health.scopes[TOKEN] = []
    _account_status(3)(graph)
    graph.refuse_terms(ACCOUNT)
    for audience, code in (("1001", 411), ("1002", 471), ("1003", 415)):
        graph.set_operation_status(audience, code)
    graph.health.datasets[DATASET] = {"is_restricted_use": True}
    graph.health.set_quality(DATASET, "Lead", score=2.0, coverage=10, frequency="hourly")
    graph.expire(OTHER_TOKEN)
    rows = check(functions)
    assert faults(rows) == {
        ("acme", "token", None, "token_expiring"),
        ("acme", "token", None, "token_without_permission"),
        ("acme", "ad_account", ACCOUNT, "account_unsettled"),
        ("acme", "terms", ACCOUNT, "terms_not_accepted"),
        ("acme", "audience", "1001", "audience_low_match"),
        ("acme", "audience", "1002", "audience_flagged"),
        ("acme", "audience", "1003", "audience_replace_failed"),
        ("acme", "dataset", DATASET, "dataset_restricted"),
        ("acme", "match_quality", DATASET, "match_quality_low"),
        ("acme", "coverage", DATASET, "coverage_low"),
        ("acme", "freshness", DATASET, "events_late"),
        ("globex", "token", None, "token_invalid"),
    }
    assert len({row["row_id"] for row in rows}) == len(rows)


@pytest.mark.parametrize("days", [14.1, 400, None])
def test_a_token_that_lasts_is_well(functions: Functions, days: float | None) -> None:
    if days is not None:
        _expires_in(days)(functions.stack.graph)
    (row,) = (row for row in check(functions) if (row["connection"], row["kind"]) == ("acme", "token"))
    assert row["status"] == "ok"
    assert ("expires_at" in row) is (days is not None)


class TestWhatIsNotThere:
    def test_an_account_of_others_is_told(self, functions: Functions) -> None:
        functions.config["connections"]["globex"]["ad_account_id"] = ACCOUNT
        rows = check(functions)
        assert faults(rows) == {("globex", "ad_account", ACCOUNT, "not_found")}

    def test_a_dataset_that_is_not_there_is_told(self, functions: Functions) -> None:
        functions.config["connections"]["acme"]["dataset_id"] = "9999"
        assert faults(check(functions)) == {("acme", "dataset", "9999", "not_found")}

    def test_a_token_that_may_not_read_the_quality_of_events_is_told_as_a_warning(self, functions: Functions) -> None:
        functions.stack.graph.faults.add(Fault.error(10, match="dataset_quality"))
        (row,) = (row for row in check(functions) if row["status"] != "ok")
        assert (row["kind"], row["status"], row["reason"]) == ("match_quality", "warning", "quality_unreadable")
        assert (row["error_code"], "ads_read" in row["action"]) == (10, True)

    def test_what_a_connection_does_not_name_is_not_checked(self, functions: Functions) -> None:
        for key in ("ad_account_id", "dataset_id"):
            del functions.config["connections"]["globex"][key]
        rows = check(functions)
        assert [row["kind"] for row in rows if row["connection"] == "globex"] == ["token"]

    def test_a_secret_that_is_not_there_is_told_once(self, functions: Functions) -> None:
        functions.config["connections"]["acme"]["app_secret"] = secret("gone") + "/versions/latest"
        rows = check(functions)
        assert faults(rows) == {("acme", "token", None, "secret_unreadable")}
        assert [row["kind"] for row in rows if row["connection"] == "acme"] == ["token"]


class TestMetaDoesNotAnswer:
    def test_an_outage_is_no_fault_of_the_deployment(self, functions: Functions) -> None:
        functions.stack.graph.faults.add(Fault.empty(503, times=1_000))
        rows = check(functions)
        assert {(row["status"], row["reason"]) for row in rows} == {("unknown", "not_answered")}
        assert {row["kind"] for row in rows} == {"token"}

    def test_a_meta_that_takes_its_time_has_no_more_than_there_is(self) -> None:
        clock = ManualClock()
        asked = []

        def slow(method: str, url: str, *, headers: object, body: bytes, timeout: float) -> Reply:
            del method, headers, body
            asked.append(url)
            clock.pass_(min(timeout, 9.0))
            page = b'{"data": [{"id": "1", "subtype": "CUSTOM"}], "paging": {"next": "x", "cursors": {"after": "y"}}}'
            return Reply(200, {}, page if "customaudiences" in url else b"{}")

        built = relay(transport=slow, queue=None, clock=clock.clock())
        findings = HealthFlow(outside=built.outside, health_log=HealthLog()).findings()
        assert clock.monotonic() - 1_000 <= ROUND_S + 3 * 10
        assert ("audience", "not_answered") in {(finding.kind, finding.reason) for finding in findings}
        assert len(asked) < 60

    def test_a_throttled_account_is_not_called_on(self, functions: Functions) -> None:
        graph = functions.stack.graph
        graph.throttle(ACCOUNT, minutes=5)
        assert faults(check(functions)) == {
            ("acme", "ad_account", ACCOUNT, "throttled"),
            ("acme", "dataset", DATASET, "throttled"),
        }
        assert graph.calls_while_throttled == 1

    def test_a_session_that_cannot_be_read_costs_only_its_numbers(self, functions: Functions) -> None:
        functions.stack.graph.faults.add(Fault.error(100, match="/sessions", times=9))
        rows = check(functions)
        assert faults(rows) == set()


class TestAudiences:
    def test_size_and_the_last_sessions_numbers(self, functions: Functions) -> None:
        functions.receive(add("1001", users={"schema": ["EMAIL"], "data": [["a@example.com"], ["b@example.com"]]}))
        functions.stack.graph.health.matched["1001"] = 1
        (row,) = (row for row in check(functions) if row.get("subject") == "1001")
        wanted = {
            "size_lower_bound": 2, "size_upper_bound": 2, "num_received": 2, "num_matched": 1, "num_invalid_entries": 0,
            "operation_status": 200, "delivery_status": 200,
        }  # fmt: skip
        assert {key: row[key] for key in wanted} == wanted

    def test_what_meta_does_not_know_yet_is_absent(self, functions: Functions) -> None:
        functions.receive(add("1001"))
        (row,) = (row for row in check(functions) if row.get("subject") == "1001")
        assert "num_matched" not in row

    def test_each_page_is_read_and_few_sessions(self, functions: Functions) -> None:
        graph = functions.stack.graph
        for number in range(50):
            graph.add_audience(f"5{number:03}", account=ACCOUNT)
            graph.health.changed[f"5{number:03}"] = 1_000 + number
        graph.set_operation_status("5007", 471)
        rows = check(functions)
        assert len([row for row in rows if row["kind"] == "audience" and row["connection"] == "acme"]) == 53
        read = [call.path.split("/")[2] for call in graph.calls if call.path.endswith("/sessions")]
        assert len([audience for audience in read if audience != "2001"]) == MAX_SESSIONS
        assert {"5007", "5049"} <= set(read)
        assert "5010" not in read


class TestIdentity:
    @pytest.fixture
    def service(self, functions: Functions) -> Iterator[IdentityService]:
        with IdentityService() as service:
            functions.config["identity"] = {"endpoint": service.url, "access_token": "env:IDENTITY"}
            functions.environ["IDENTITY"] = service.token
            yield service

    @staticmethod
    def identity(functions: Functions) -> tuple[str, str | None]:
        (row,) = (row for row in check(functions) if row["kind"] == "identity")
        return row["status"], row.get("reason")

    def test_a_service_that_answers_is_well_and_has_no_visit(
        self, functions: Functions, service: IdentityService
    ) -> None:
        assert self.identity(functions) == ("ok", None)
        assert service.bodies == []

    def test_a_service_that_does_not_answer(self, functions: Functions, service: IdentityService) -> None:
        functions.config["identity"]["endpoint"] = "http://127.0.0.1:1/api/v1/identifier"
        assert self.identity(functions) == ("error", "identity_unreachable")
        assert service.bodies == []

    @pytest.mark.parametrize(("status", "reason"), [(401, "identity_refused"), (503, "identity_unreachable")])
    def test_a_service_that_refuses(self, functions: Functions, status: int, reason: str) -> None:
        with HTTPServer(lambda _request: ServerReply(status)) as server:
            functions.config["identity"] = {"endpoint": f"{server.url}/x", "access_token": "env:IDENTITY"}
            functions.environ["IDENTITY"] = "token-of-identity"
            assert self.identity(functions) == ("error", reason)

    def test_a_token_that_is_not_there(self, functions: Functions, service: IdentityService) -> None:
        functions.environ["IDENTITY"] = ""
        assert self.identity(functions) == ("error", "secret_unreadable")
        assert service.bodies == []


class TestMatchQualityTrend:
    """The rows of the week before are the measure."""

    @staticmethod
    def trend(rows: list[dict[str, Any]]) -> list[tuple[Any, Any, Any, Any]]:
        names = ("event_name", "reason", "match_quality", "match_quality_before")
        return [
            (row[names[0]], row.get(names[1]), row[names[2]], row[names[3]])
            for row in rows
            if row["kind"] == "match_quality_trend"
        ]

    def test_a_fall_is_seen_against_earlier_rounds(self, functions: Functions) -> None:
        health = functions.stack.graph.health
        health.set_quality(DATASET, "Purchase", score=9.0)
        health.set_quality(DATASET, "Lead", score=6.0)
        assert self.trend(check(functions, "1")) == []
        health.set_quality(DATASET, "Purchase", score=8.4)
        health.set_quality(DATASET, "Lead", score=5.0)
        rows = check(functions, "2")
        assert self.trend(rows) == [("Purchase", None, 8.4, 9.0), ("Lead", "match_quality_falling", 5.0, 6.0)]
        assert faults(rows) == {("acme", "match_quality_trend", DATASET, "match_quality_falling")}

    @pytest.mark.parametrize(("days", "seen"), [(6.9, True), (7.1, False)])
    def test_a_week_is_looked_back(self, functions: Functions, days: float, seen: bool) -> None:
        earlier = datetime.fromtimestamp(time.time() - days * _DAY, UTC).isoformat()
        row = {
            "row_id": "1", "logged_at": earlier, "kind": "match_quality", "status": "ok", "connection": "acme",
            "subject": DATASET, "event_name": "Purchase", "match_quality": 9.0,
        }  # fmt: skip
        url = f"{functions.stack.bigquery.url}/projects/local/datasets/meta_relay/tables/health_log/insertAll"
        assert "insertErrors" not in requests.post(url, json={"rows": [{"json": row}]}, timeout=5).json()
        functions.stack.graph.health.set_quality(DATASET, "Purchase", score=7.0)
        assert bool(self.trend(check(functions))) is seen

    def test_a_table_that_cannot_be_queried_is_told(self, functions: Functions) -> None:
        functions.stack.graph.health.set_quality(DATASET, "Purchase")
        functions.stack.bigquery.fail(status=403, match="/jobs")
        rows = check(functions)
        assert [(row["kind"], row["status"], row["reason"]) for row in rows if row["status"] != "ok"] == [
            ("match_quality_trend", "unknown", "history_unreadable")
        ]
        assert "roles/bigquery.jobUser" in rows[0]["action"]

    def test_without_a_dataset_nothing_is_queried(self, functions: Functions) -> None:
        for connection in functions.config["connections"].values():
            del connection["dataset_id"]
        functions.stack.bigquery.fail(status=403, match="/jobs")
        assert faults(check(functions)) == set()


class TestLog:
    def test_each_row_is_a_line_with_the_next_step(self, functions: Functions) -> None:
        functions.stack.graph.set_operation_status("1001", 471)
        functions.client("deliver")
        with log_records("lib.health_log", level=None) as records:
            rows = check(functions)
        lines = [record.__dict__["health"] for record in records]
        assert [{**line, "logged_at": None} for line in lines] == [{**row, "logged_at": None} for row in rows]
        (flagged,) = (record for record in records if record.__dict__["health"].get("reason") == "audience_flagged")
        assert flagged.levelno == logging.ERROR
        assert "Appeal in Audience Manager" in flagged.__dict__["health"]["action"]

    def test_nothing_shows_a_token_or_a_secret(self, functions: Functions) -> None:
        functions.stack.graph.faults.add(Fault.dropped("half", match="debug_token"))
        functions.client("deliver")
        with log_records("", level=logging.DEBUG) as records:
            rows = check(functions)
        shown = str(rows) + " ".join(f"{record.getMessage()} {record.__dict__.get('health')}" for record in records)
        assert [word for word in (TOKEN, OTHER_TOKEN, APP_SECRET) if word in shown] == []

    def test_without_a_table_the_lines_remain(self, functions: Functions) -> None:
        del functions.config["health_log"]
        functions.client("deliver")
        with log_records("lib.health_log", level=None) as records:
            assert check(functions) == []
        assert {record.__dict__["health"]["kind"] for record in records} >= {"token", "audience", "dataset"}

    def test_what_bigquery_does_not_take_is_told(self, functions: Functions) -> None:
        functions.client("deliver")
        functions.stack.bigquery.fail()
        with log_records("lib.delivery_log", level=None) as records:
            assert check(functions) == []
        assert {record.getMessage() for record in records} == {
            "health log: BigQuery did not take a row (ServiceUnavailable)"
        }
        assert all(record.__dict__["health"]["status"] == "ok" for record in records)

    def test_a_redelivery_is_the_same_rows(self, functions: Functions) -> None:
        assert len(check(functions, "7")) > 0
        assert check(functions, "7") == []


class TestTokenIsInspectedByItsApp:
    def test_the_token_stands_in_no_other_address(self, functions: Functions) -> None:
        check(functions)
        inspected = [call for call in functions.stack.graph.calls if "input_token" in call.query]
        assert [call.path for call in inspected] == ["/v26.0/debug_token"]

    @pytest.mark.parametrize("missing", ["app_id", "app_secret"])
    def test_without_app_id_or_secret_the_token_is_used(self, functions: Functions, missing: str) -> None:
        del functions.config["connections"]["acme"][missing]
        functions.stack.graph.tokens[TOKEN] = App(APP_SECRET if missing == "app_id" else None, {ACCOUNT}, APP_ID)
        assert faults(check(functions)) == set()
        assert [call for call in functions.stack.graph.calls if call.path.endswith("/debug_token")] == []

    def test_a_token_that_may_not_read_its_user_is_told_by_its_dataset(self, functions: Functions) -> None:
        functions.stack.graph.faults.add(Fault.error(10, match="/me", times=9))
        assert faults(check(functions)) == set()


def test_health_messages_are_known_by_their_attribute_alone(functions: Functions) -> None:
    assert functions.push(b"{}", {}) == 200
    assert [letter.attributes["reason"] for letter in functions.dead()] == ["type: a type of message that is not known"]
