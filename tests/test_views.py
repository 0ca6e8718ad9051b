"""The views, run on a local BigQuery over a day of generated rows; each number is counted a second time here."""

from __future__ import annotations

import datetime as dt
import json
import os
import random
import re
import uuid
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

import pytest
from google.auth.credentials import AnonymousCredentials
from google.cloud import bigquery

from lib import delivery_log, health_log
from lib.graph_errors import row_of_error
from tests import terraform
from tests.tools import build_next_steps

VIEWS: Final[Mapping[str, str]] = terraform.rendering()["defaults"]["views"]
NEXT_STEPS: Final = build_next_steps.steps()

Row = dict[str, Any]

#: Rows of a day, of which some stand twice.
_ROWS: Final = 1_500
_TWICE: Final = 100
_CONNECTIONS: Final = ("acme", "globex")
_ERRORS: Final = ((190, 463), (4, None), (100, 2804003), (100, 33), (999_999, None), (80_004, None), (None, None))
_REJECTS: Final = ("PHONE: not a phone number", "DOB: an impossible date", "user_data.em: not an e-mail", "no key")
_MATCH_KEYS: Final = ("em", "ph", "external_id", "fbc")
_SIGNALS: Final = ("ad_storage", "ad_user_data", "ad_personalization")


def a_day(seed: int) -> list[Row]:
    """Return rows of the last 20 hours, some of them twice and some older than the views look back."""
    chance, now = random.Random(seed), dt.datetime.now(dt.UTC)
    rows = []
    for number in range(_ROWS):
        logged_at = now - dt.timedelta(seconds=chance.randrange(72_000))
        if number % 50 == 0:
            logged_at -= dt.timedelta(days=100)
        rows.append(_row(chance, number, logged_at))
    return rows + [dict(row) for row in chance.sample(rows, _TWICE)]


def _row(chance: random.Random, number: int, logged_at: dt.datetime) -> Row:
    outcome = chance.choice(("delivered",) * 6 + ("partial", "queued", "withheld", "rejected", "failed"))
    received = chance.randint(1, 1000)
    row: Row = {
        "row_id": f"r-{number}",
        "logged_at": logged_at.isoformat(),
        "kind": chance.choice(("events", "audiences")),
        "action": chance.choice(("events", "add", "remove")),
        "caller": chance.choice(("sgtm", "pubsub")),
        "connection": chance.choice(_CONNECTIONS),
        "destination": chance.choice(("1001", "3001")),
        "outcome": outcome,
        "rows_received": received,
        "elapsed_ms": chance.uniform(1, 4000),
    }
    if outcome in {"delivered", "partial"}:
        row |= {
            "rows_sent": received,
            "num_received": received,
            "num_invalid_entries": chance.randint(0, 3),
            "graph_ms": chance.uniform(1, 3000),
            "usage_percent": chance.randint(0, 110),
            "identity_fields_added": chance.randint(0, 5),
        }
        if chance.random() < 0.5:
            before = {key: chance.randint(0, received) for key in chance.sample(_MATCH_KEYS, 2)}
            added = {key: chance.randint(1, received) for key in _MATCH_KEYS if key not in before}
            row |= {
                "identity_source": "graph",
                "identity_outcome": chance.choice(("hit", "miss", "hit, miss")),
                "match_keys_before": json.dumps(before, separators=(",", ":")),
                "match_keys_after": json.dumps(before | added, separators=(",", ":")),
            }
    elif outcome == "withheld":
        row["consent_missing"] = ", ".join(sorted(chance.sample(_SIGNALS, chance.randint(1, 3))))
    elif outcome == "rejected":
        reasons = {reason: chance.randint(1, 9) for reason in chance.sample(_REJECTS, chance.randint(1, 3))}
        row |= {"rows_rejected": received, "reject_reasons": json.dumps(reasons, separators=(",", ":"))}
    elif outcome == "failed":
        code, subcode = chance.choice(_ERRORS)
        row |= {"error_code": code, "error_subcode": subcode, "error_message": f"Meta error {code}/{subcode}"}
        row = {name: value for name, value in row.items() if value is not None}
    return row


def checks() -> list[Row]:
    """Return two rounds of health checks: what was amiss in the first is well in the second."""
    now = dt.datetime.now(dt.UTC)
    rows: list[Row] = []
    for place, hours in enumerate((9, 1)):
        at = (now - dt.timedelta(hours=hours)).isoformat()
        common = {"logged_at": at, "connection": "acme"}
        rows += [
            {"row_id": f"t{place}", "kind": "token", "status": ("error", "ok")[place], **common},
            {"row_id": f"a{place}", "kind": "audience", "subject": "1001", "status": "warning", **common},
            {
                "row_id": f"q{place}",
                "kind": "match_quality",
                "subject": "3001",
                "event_name": "Purchase",
                "status": "ok",
                "match_quality": (6.0, 7.0)[place],
                **common,
            },
            {
                "row_id": f"w{place}",
                "kind": "match_quality_trend",
                "subject": "3001",
                "event_name": "Purchase",
                "status": "ok",
                "match_quality_before": 5.5,
                **common,
            },
            {
                "row_id": f"c{place}",
                "kind": "coverage",
                "subject": "3001",
                "event_name": "Purchase",
                "status": "ok",
                "coverage_percent": 80.0,
                "coverage_goal_percent": 75.0,
                **common,
            },
        ]
    return rows


class Warehouse:
    """A dataset with the tables of the code, the generated rows and Terraform's views."""

    def __init__(self, url: str) -> None:
        credentials = AnonymousCredentials()  # type: ignore[no-untyped-call]  # google-auth has no types here
        self.client: Any = bigquery.Client(project="p", credentials=credentials, client_options={"api_endpoint": url})
        self.dataset = f"p.d{uuid.uuid4().hex}"
        self.written = a_day(7)
        self.client.create_dataset(self.dataset)
        for name, rows in (("delivery_log", self.written), ("health_log", checks())):
            self._fill(name, rows)
        for name in ("deliveries", *sorted(VIEWS.keys() - {"deliveries"})):
            view = bigquery.Table(f"{self.dataset}.{name}")
            view.view_query = VIEWS[name].replace("demo-project.meta_relay", self.dataset)
            self.client.create_table(view)

    def _fill(self, name: str, rows: Sequence[Row]) -> None:
        schema = json.loads((terraform.ROOT / "lib" / f"{name}.json").read_text(encoding="utf-8"))
        table = bigquery.Table(
            f"{self.dataset}.{name}", schema=[bigquery.SchemaField.from_api_repr(one) for one in schema]
        )
        table.time_partitioning = bigquery.TimePartitioning(field="logged_at")
        table.require_partition_filter = True
        self.client.create_table(table)
        for start in range(0, len(rows), 500):
            some = rows[start : start + 500]
            # Without insert ids, so that what stands twice is kept twice.
            assert self.client.insert_rows_json(f"{self.dataset}.{name}", some, row_ids=[None] * len(some)) == []

    def rows(self, view: str) -> list[Row]:
        """Return all rows of a view."""
        query = f"SELECT * FROM `{self.dataset}.{view}`"  # noqa: S608 - both names are of this file
        return [dict(row) for row in self.client.query(query).result()]

    def counted(self) -> list[Row]:
        """Return the rows that count: each once, and none from before the views look back."""
        newest = dt.datetime.now(dt.UTC) - dt.timedelta(days=90)
        once = {row["row_id"]: row for row in self.written}
        return [row for row in once.values() if dt.datetime.fromisoformat(row["logged_at"]) > newest]


@pytest.fixture(scope="module")
def warehouse() -> Iterator[Warehouse]:
    url = os.environ.get("RELAY_TEST_BIGQUERY_EMULATOR", "")
    if url == "absent":
        pytest.skip("This emulator cannot be had here.")
    assert url, "RELAY_TEST_BIGQUERY_EMULATOR is not set; `make test-emulators` sets it"
    made = Warehouse(url)
    yield made
    made.client.close()


def day(row: Row) -> dt.date:
    return dt.datetime.fromisoformat(row["logged_at"]).date()


def total(rows: Iterable[Row], name: str) -> int | None:
    """Add up as SQL does: nothing is NULL, not 0."""
    values = [row[name] for row in rows if row.get(name) is not None]
    return sum(values) if values else None


def grouped(rows: Iterable[Row], key: Callable[[Row], tuple[Any, ...]]) -> dict[tuple[Any, ...], list[Row]]:
    found: dict[tuple[Any, ...], list[Row]] = defaultdict(list)
    for row in rows:
        found[key(row)].append(row)
    return dict(found)


@pytest.mark.emulator
class TestNumbers:
    def test_each_row_counts_once(self, warehouse: Warehouse) -> None:
        shown = Counter(row["row_id"] for row in warehouse.rows("deliveries"))
        assert shown == Counter(row["row_id"] for row in warehouse.counted())
        assert len(warehouse.written) > len(shown)

    def test_outcomes_by_day_and_connection(self, warehouse: Warehouse) -> None:
        names = ("kind", "connection", "destination", "action", "outcome")
        expected = {
            key: (len(rows), *(total(rows, name) for name in ("rows_received", "rows_sent", "num_invalid_entries")))
            for key, rows in grouped(
                warehouse.counted(), lambda row: (day(row), *(row[name] for name in names))
            ).items()
        }
        shown = {
            (row["day"], *(row[name] for name in names)): (
                row["calls"],
                row["rows_received"],
                row["rows_sent"],
                row["invalid_by_meta"],
            )
            for row in warehouse.rows("outcomes")
        }
        assert expected == shown

    def test_rejects_by_field_and_reason(self, warehouse: Warehouse) -> None:
        expected: Counter[tuple[Any, ...]] = Counter()
        for row in warehouse.counted():
            for text, number in json.loads(row.get("reject_reasons", "{}")).items():
                field, _, reason = text.rpartition(": ")
                expected[day(row), row["kind"], row["connection"], field or None, reason] += number
        shown = {
            (row["day"], row["kind"], row["connection"], row["field"], row["reason"]): row["rejects"]
            for row in warehouse.rows("rejects")
        }
        assert dict(expected) == shown

    def test_errors_with_the_codes_own_next_step(self, warehouse: Warehouse) -> None:
        def key(row: Row) -> tuple[Any, ...]:
            numbers = (row.get("error_code"), row.get("error_subcode"))
            return (row["day"] if "day" in row else day(row), row["kind"], row["connection"], *numbers)

        failed = (row for row in warehouse.counted() if "error_message" in row)
        expected = {
            one: (len(rows), row_of_error(one[3], one[4]).action if one[3] else None)
            for one, rows in grouped(failed, key).items()
        }
        shown = {key(row): (row["calls"], row["next_step"]) for row in warehouse.rows("errors")}
        assert expected == shown
        assert {step for _, step in shown.values()} >= {None, row_of_error(190, 463).action}

    def test_percentiles_of_latency(self, warehouse: Warehouse) -> None:
        def key(row: Row) -> tuple[Any, ...]:
            return (row["day"] if "day" in row else day(row), row["kind"], row["caller"])

        groups = grouped((row for row in warehouse.counted() if "graph_ms" in row), key)
        shown = {key(row): row for row in warehouse.rows("latency")}
        assert groups.keys() == shown.keys()
        for one, rows in groups.items():
            assert len(rows) == shown[one]["calls"]
            for prefix, name in (("relay", "elapsed_ms"), ("meta", "graph_ms")):
                ordered = sorted(row[name] for row in rows)
                for percent in (50, 95, 99):
                    # APPROX_QUANTILES is approximate: within one and a half percent of the ranks.
                    place, slack = percent / 100 * (len(ordered) - 1), 0.015 * len(ordered) + 1
                    low, high = ordered[max(0, int(place - slack))], ordered[min(len(ordered) - 1, int(place + slack))]
                    assert low <= shown[one][f"{prefix}_p{percent}"] <= high

    def test_consent_withheld_by_signal(self, warehouse: Warehouse) -> None:
        expected: Counter[tuple[Any, ...]] = Counter()
        people: Counter[tuple[Any, ...]] = Counter()
        for row in warehouse.counted():
            for signal in row["consent_missing"].split(", ") if row["outcome"] == "withheld" else ():
                expected[day(row), row["kind"], row["connection"], signal] += 1
                people[day(row), row["kind"], row["connection"], signal] += row["rows_received"]
        shown = {
            (row["day"], row["kind"], row["connection"], row["signal"]): (row["requests"], row["rows_withheld"])
            for row in warehouse.rows("consent")
        }
        assert {key: (number, people[key]) for key, number in expected.items()} == shown

    def test_people_recognised(self, warehouse: Warehouse) -> None:
        sent = (row for row in warehouse.counted() if row["kind"] == "events" and "rows_sent" in row)
        expected = {
            key: (len(rows), total(rows, "rows_sent"), total(rows, "identity_fields_added"))
            for key, rows in grouped(
                sent,
                lambda row: (
                    day(row),
                    row["connection"],
                    row.get("identity_source", "nobody"),
                    row.get("identity_outcome", "not asked"),
                ),
            ).items()
        }
        shown = {
            (row["day"], row["connection"], row["recognised_by"], row["known_before"]): (
                row["calls"],
                row["events"],
                row["fields_added"],
            )
            for row in warehouse.rows("identity")
        }
        assert expected == shown

    def test_match_keys_before_and_after(self, warehouse: Warehouse) -> None:
        expected: dict[tuple[Any, ...], list[int]] = defaultdict(lambda: [0, 0])
        for row in warehouse.counted():
            for place, name in enumerate(("match_keys_before", "match_keys_after")):
                for key, number in json.loads(row.get(name, "{}")).items() if row["kind"] == "events" else ():
                    expected[day(row), row["connection"], key][place] += number
        shown = {
            (row["day"], row["connection"], row["match_key"]): [row["events_before"], row["events_after"]]
            for row in warehouse.rows("match_keys")
        }
        assert expected == shown

    def test_metas_limits_and_what_is_left(self, warehouse: Warehouse) -> None:
        def hour(row: Row) -> dt.datetime:
            return dt.datetime.fromisoformat(row["logged_at"]).replace(minute=0, second=0, microsecond=0)

        used = (row for row in warehouse.counted() if "usage_percent" in row)
        expected = {
            key: max(row["usage_percent"] for row in rows)
            for key, rows in grouped(used, lambda row: (hour(row), row["connection"])).items()
        }
        shown = {(row["hour"], row["connection"]): row["used_percent"] for row in warehouse.rows("meta_usage")}
        assert expected == shown
        assert all(row["left_percent"] == max(0, 100 - row["used_percent"]) for row in warehouse.rows("meta_usage"))

    def test_match_quality_by_event(self, warehouse: Warehouse) -> None:
        rows = warehouse.rows("match_quality")
        assert {(row["connection"], row["dataset"], row["event_name"]) for row in rows} == {
            ("acme", "3001", "Purchase")
        }
        assert {row["week_before"] for row in rows} == {5.5}
        assert {row["coverage_percent"] for row in rows} == {80.0}
        # Both rounds are of one day, or of two around midnight.
        assert [row["match_quality"] for row in rows] in ([6.5], [6.0, 7.0], [7.0, 6.0])

    def test_health_is_what_was_found_last(self, warehouse: Warehouse) -> None:
        shown = {row["kind"]: (row["row_id"], row["status"]) for row in warehouse.rows("health")}
        assert shown == {
            "token": ("t1", "ok"),
            "audience": ("a1", "warning"),
            "match_quality": ("q1", "ok"),
            "match_quality_trend": ("w1", "ok"),
            "coverage": ("c1", "ok"),
        }


def test_the_next_steps_are_those_of_the_code() -> None:
    assert build_next_steps.FILE.read_text(encoding="utf-8") == build_next_steps.text(), "`make terraform` writes it"


def _looked_up(code: int | None, subcode: int | None) -> object:
    """Look a step up as the view does."""
    for step in NEXT_STEPS:
        low, high, wanted = step["code_from"], step["code_to"], step["subcode"]
        fits = low is None or (code is not None and low <= code <= high)  # type: ignore[operator]
        if fits and (wanted is None or wanted == subcode):
            return step["step"]
    raise AssertionError


def test_the_view_finds_the_step_that_the_code_would() -> None:
    codes = {step["code_from"] for step in NEXT_STEPS} | {step["code_to"] for step in NEXT_STEPS} | {1234, 250, 80_005}
    subcodes = {step["subcode"] for step in NEXT_STEPS} | {77}
    for code in codes - {None}:
        for subcode in subcodes:
            assert isinstance(code, int)
            assert isinstance(subcode, int | None)
            assert _looked_up(code, subcode) == row_of_error(code, subcode).action


def test_each_view_reads_columns_that_exist() -> None:
    known = delivery_log.columns() | health_log.columns()
    for name, query in VIEWS.items():
        read = set(re.findall(r"\b(?:SUM|MAX|AVG|APPROX_QUANTILES|SPLIT)\((\w+)", query)) - {"number", "IF"}
        assert read <= known, name
