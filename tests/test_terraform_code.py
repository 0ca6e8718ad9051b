"""Terraform and the code, held together: what one writes the other reads."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import fields
from tempfile import TemporaryFile
from typing import Any, Final

import pytest

from lib.config import Config, Connection, parse_config
from tests import terraform
from tests.deployment import Deployment
from tests.functions import GRANTED, add
from tests.local.stack import ACCOUNT, DATASET, ROOT, Stack

RUNS: Final = ("defaults", "everything")
FUNCTIONS: Final = ("receive", "deliver")


def environment(run: str, function: str) -> dict[str, str]:
    found: dict[str, str] = terraform.rendering()[run]["functions"][function]["environment"]
    return found


def config(run: str) -> Config:
    return parse_config(environment(run, "deliver")["RELAY_CONFIG"])


@pytest.mark.parametrize("run", RUNS)
def test_the_document_is_one_that_the_code_takes(run: str) -> None:
    assert config(run).connections
    assert environment(run, "receive")["RELAY_CONFIG"] == environment(run, "deliver")["RELAY_CONFIG"]


#: What each part of the document is when nobody says anything, and what it is with every variable set.
def defaults_of(value: object) -> dict[str, object]:
    return {one.name: getattr(value, one.name) for one in fields(value)}  # type: ignore[arg-type]


def test_every_setting_of_the_code_can_be_set_by_a_variable() -> None:
    plain, full = config("defaults"), config("everything")
    pairs: list[tuple[Any, Any]] = [
        (plain, full),
        (plain.connections["meta"], full.connections["acme"]),
        (plain.graph_api, full.graph_api),
        (plain.consent, full.consent),
    ]
    same = [
        f"{type(one).__name__}.{name}"
        for one, other in pairs
        for name, value in defaults_of(one).items()
        if value == defaults_of(other)[name]
    ]
    # The names of what both runs have are the same by nature.
    assert same == ["Config.delivery_log", "Config.health_log", "Config.queue"]


def test_every_variable_of_a_connection_is_a_setting_of_the_code() -> None:
    known = {one.name for one in fields(Connection)} - {"name"}
    (text,) = re.findall(r'variable "connections" \{\s+type = map\(object\(\{(.*?)\n  \}\)\)', variables(), re.DOTALL)
    stated = set(re.findall(r"^ {4,6}(\w+)\s*=", text, re.MULTILINE))
    assert stated - {"normalization", "token_version"} == known - {"access_token"}


def variables() -> str:
    return (terraform.FOLDER / "variables.tf").read_text(encoding="utf-8")


def test_both_sides_know_the_same_environment() -> None:
    code = (ROOT / "lib" / "bootstrap.py").read_text(encoding="utf-8")
    read = set(re.findall(r'environ\.get\("(\w+)"', code))
    assert {"RELAY_CONFIG", "THREADS", "GOOGLE_CLOUD_PROJECT"} <= read
    for run in RUNS:
        for function in FUNCTIONS:
            # What is read beyond that is the address of a stand-in.
            rest = read - environment(run, function).keys()
            assert environment(run, function).keys() <= read
            assert all(name.endswith(("_EMULATOR_HOST", "_ENDPOINT")) for name in rest)


def test_the_runtime_is_one_that_the_code_runs_on() -> None:
    assert {one["runtime"] for run in terraform.rendering().values() for one in run["functions"].values()} == {
        "python313"
    }


@pytest.fixture(params=RUNS, scope="module")
def deployment(request: pytest.FixtureRequest) -> Iterator[Deployment]:
    with Stack() as stack, TemporaryFile() as log:
        yield Deployment(stack, request.param, log)
        assert stack.graph.violations == []


EVENT: Final = {
    "destinations": [{"dataset_id": DATASET}],
    "consent": GRANTED,
    "event": {
        "event_name": "Lead",
        "action_source": "system_generated",
        "user_data": {"em": "ada@example.com"},
    },
}


ENTERS: Final = {
    "event_name": "user_enters_segment",
    "context": {"segment_id": "vip", "segment_name": "VIP"},
    "user": {"id": "u-1", "email": "ada@example.com"},
}


def caller_of(deployment: Deployment) -> str:
    return "iam" if deployment.document["callers"] == "iam" else "sgtm"


def test_both_functions_deliver_as_terraform_configures_them(deployment: Deployment) -> None:
    assert deployment.post("/audiences", add())["outcome"] == "delivered"
    assert deployment.post("/events", EVENT)["outcome"] == "delivered"
    assert deployment.post("/audiences", add(optimistic=True))["outcome"] == "queued"
    deployment.publish(add("1002"), type="audiences")
    deployment.publish(EVENT, type="events")
    caller = caller_of(deployment)
    outcomes = {(row["caller"], row["kind"], row["outcome"]) for row in deployment.rows()}
    assert outcomes >= {
        (caller, "audiences", "queued"),
        (caller, "audiences", "delivered"),
        (caller, "events", "delivered"),
        ("pubsub", "audiences", "delivered"),
        ("pubsub", "events", "delivered"),
    }
    assert {row["outcome"] for row in deployment.rows()} == {"queued", "delivered"}
    assert len(deployment.stack.graph.members("1001")) == 1
    assert deployment.dead() == []


def test_a_person_is_erased(deployment: Deployment) -> None:
    assert deployment.post("/audiences", add("1002"))["outcome"] == "delivered"
    assert len(deployment.stack.graph.members("1002")) == 1
    deployment.publish({"user": {"EMAIL": "ada@example.com"}}, type="erase")
    # Nobody is removed where the configuration names no ad account: there Meta cannot be asked to.
    has_account = all("ad_account_id" in one for one in deployment.document["connections"].values())
    assert len(deployment.stack.graph.members("1002")) == (0 if has_account else 1)
    assert deployment.dead() == []


def test_the_schedulers_jobs_keep_a_segment_in_step(deployment: Deployment) -> None:
    if "sources" not in deployment.document:
        assert deployment.jobs.keys() == {"meta-relay-flush", "meta-relay-health"}
        deployment.run_job("meta-relay-flush")
        assert deployment.dead() == []
        return
    people = [{"email": f"person{number}@example.com", "customer": str(number)} for number in range(7)]
    deployment.load(deployment.document["sources"]["vip"]["bigquery"]["table"], people)
    deployment.run_job("meta-relay-source-vip")
    (mirrored,) = (row for row in deployment.rows() if row["segment_id"] == "vip" and row["rows_sent"])
    assert (mirrored["outcome"], mirrored["rows_sent"]) == ("delivered", len(people))
    gathered = deployment.document["segments"]["subscription"]
    deployment.publish(ENTERS)
    assert deployment.stack.pubsub.outstanding(gathered) == 1
    deployment.run_job("meta-relay-flush")
    assert deployment.stack.pubsub.outstanding(gathered) == 0
    assert len(deployment.stack.graph.members(mirrored["destination"])) == len(people) + 1
    assert deployment.dead() == []


def test_the_schedulers_health_check_leaves_rows(deployment: Deployment) -> None:
    deployment.run_job("meta-relay-health")
    rows = deployment.rows("health_log")
    assert {row["connection"] for row in rows if row["kind"] == "token"} == deployment.document["connections"].keys()
    assert {row["status"] for row in rows if row["kind"] == "token"} == {"ok"}
    assert deployment.dead() == []


def test_a_secrets_notice_is_done_with(deployment: Deployment) -> None:
    name = deployment.document["connections"][deployment.document.get("default_connection", "meta")]["access_token"]
    secret = name.partition("/versions/")[0]
    deployment.publish({"name": secret}, eventType="SECRET_VERSION_ADD", secretId=secret)
    assert deployment.dead() == []


_LEVELS: Final = ("DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL")
_TERM: Final = re.compile(r"([A-Za-z_.]+)(>=|=|:)(.+)")


def field_of(line: Mapping[str, Any], path: str) -> Any:
    """Return what stands at a path, None if nothing does."""
    value: Any = line
    for name in path.split("."):
        value = value.get(name) if isinstance(value, dict) else None
    return value


def passes(line: Mapping[str, Any], text: str) -> bool:
    """Tell whether a line passes a filter of the kind that metrics.tf writes; what is of Cloud Run is taken as true."""
    terms = [found.groups() for one in text.split(" AND ") if (found := _TERM.fullmatch(one))]
    assert len(terms) == len(text.split(" AND "))
    return all(_holds(line, *term) for term in terms if not term[0].startswith("resource."))


def _holds(line: Mapping[str, Any], path: str, operator: str, stated: str) -> bool:
    value = field_of(line, path)
    if operator == ":":
        assert stated == "*"
        return value is not None
    wanted = re.findall(r'"([^"]+)"', stated)
    return _LEVELS.index(value) >= _LEVELS.index(wanted[0]) if operator == ">=" else value in wanted


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('severity="INFO" AND jsonPayload.delivery.outcome:*', True),
        ('severity="INFO" AND jsonPayload.delivery.error_code:*', False),
        ('severity>="ERROR" AND jsonPayload.delivery.outcome:*', False),
        ('severity>="DEBUG" AND jsonPayload.delivery.outcome=("failed" OR "delivered")', True),
        ('resource.type="cloud_run_revision" AND jsonPayload.delivery.outcome="failed"', False),
    ],
)
def test_a_filter_is_read_as_cloud_logging_does(text: str, expected: bool) -> None:
    assert passes({"severity": "INFO", "jsonPayload": {"delivery": {"outcome": "delivered"}}}, text) is expected


def test_each_metric_finds_its_lines_and_their_fields(deployment: Deployment) -> None:
    deployment.post("/audiences", add("9999"))
    deployment.post("/audiences", add(user={"EMAIL": "nobody"}))
    secret = deployment.document["connections"].popitem()[1]["access_token"].partition("/versions/")[0]
    deployment.publish({"name": secret}, eventType="SECRET_ROTATE", secretId=secret)
    deployment.stack.graph.health.account_status[ACCOUNT] = 2
    deployment.stack.graph.health.set_quality(DATASET, "Purchase")
    deployment.run_job("meta-relay-health")
    deployment.stack.bigquery.fail(match="delivery_log/insertAll")
    deployment.post("/audiences", add())
    lines = deployment.lines()
    for name, metric in deployment.metrics.items():
        counted = [line for line in lines if passes(line, metric["filter"])]
        assert counted or (name.endswith(UNSEEN) and "ad_account_id" not in str(deployment.document)), name
        for extractor in metric["fields"]:
            path = extractor.removeprefix("EXTRACT(").removesuffix(")")
            assert not counted or any(field_of(line, path) is not None for line in counted), (name, path)


#: What needs an ad account or a dataset, which the defaults do not name.
UNSEEN: Final = ("/match_quality", "/findings")
