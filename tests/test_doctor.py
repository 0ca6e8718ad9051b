"""What the doctor looks at beside Meta, with the official clients and the stand-ins."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from lib import bootstrap
from lib.config import parse_config
from lib.doctor import Doctor, secret_names
from lib.health_checks import Finding
from lib.health_flow import HealthFlow
from tests.local.stack import (
    DEAD_LETTER_TOPIC,
    DEAD_LETTERS,
    GATHERED,
    GATHERING,
    HEALTH_TABLE,
    SUBSCRIPTION,
    TABLE,
    TOPIC,
    Stack,
    secret,
)


@pytest.fixture
def deployed(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> Iterator[Stack]:
    """The stand-ins with all that Terraform makes."""
    stack.pubsub.add_subscription(SUBSCRIPTION, TOPIC)
    stack.keep_dead_letters()
    for name, value in stack.environ().items():
        monkeypatch.setenv(name, value)
    yield stack
    assert stack.graph.violations == []


def look(stack: Stack) -> list[Finding]:
    environ = stack.environ()
    relay = bootstrap.build(environ)
    health = HealthFlow(outside=relay.outside, health_log=relay.health_log)
    clients = bootstrap.clients(environ)
    doctor = Doctor(config=relay.config, secrets=relay.secrets, clients=clients, health=health)
    try:
        return list(doctor.findings())
    finally:
        clients.subscriber().close()


def test_a_sound_deployment_has_no_fault(deployed: Stack) -> None:
    findings = look(deployed)
    assert {finding.status for finding in findings} == {"ok"}
    assert [(finding.kind, finding.subject) for finding in findings if finding.connection is None] == [
        ("secret", secret("meta-token-acme") + "/versions/latest"),
        ("secret", secret("meta-app-secret-acme") + "/versions/latest"),
        ("secret", secret("meta-token-globex") + "/versions/latest"),
        ("secret", secret("relay-key-sgtm") + "/versions/latest"),
        ("queue", TOPIC),
        ("queue", DEAD_LETTER_TOPIC),
        ("queue", DEAD_LETTERS),
        ("queue", GATHERING),
        ("queue", GATHERED),
        ("table", TABLE),
        ("table", HEALTH_TABLE),
    ]
    assert {finding.kind for finding in findings} >= {"token", "terms", "audience", "dataset"}


def _config(**parts: Any) -> Callable[[Stack], None]:
    return lambda stack: stack.config.update(parts)


def _queue(**parts: Any) -> Callable[[Stack], None]:
    return lambda stack: stack.config["queue"].update(parts)


def _lose_a_secret(stack: Stack) -> None:
    stack.config["connections"]["acme"]["access_token"] = secret("gone") + "/versions/latest"


def _short_table(stack: Stack) -> None:
    stack.bigquery.add_table("local.other.short", [{"name": "row_id", "type": "STRING"}])
    stack.config["delivery_log"] = "local.other.short"


def _no_subscription(stack: Stack) -> None:
    stack.pubsub.add_topic(f"{TOPIC}-alone")
    stack.config["queue"]["topic"] = f"{TOPIC}-alone"


@pytest.mark.parametrize(
    ("arrange", "kind", "subject", "status", "message"),
    [
        pytest.param(_lose_a_secret, "secret", secret("gone") + "/versions/latest", "error", "(NotFound)", id="secret"),
        pytest.param(
            _queue(topic=f"{TOPIC}-gone"), "queue", f"{TOPIC}-gone", "error", "it is not there", id="no topic"
        ),
        pytest.param(_no_subscription, "queue", f"{TOPIC}-alone", "error", "nobody takes", id="no subscription"),
        pytest.param(
            _queue(dead_letter_subscription=SUBSCRIPTION),
            "queue", SUBSCRIPTION, "error", "another topic", id="subscription to another topic",
        ),
        pytest.param(
            _queue(dead_letter_subscription=f"{SUBSCRIPTION}-gone"),
            "queue", f"{SUBSCRIPTION}-gone", "error", "it is not there", id="no dead-letter subscription",
        ),
        pytest.param(
            _config(segments={"topic": TOPIC, "subscription": DEAD_LETTERS}),
            "queue", DEAD_LETTERS, "error", "another topic", id="gathering from another topic",
        ),
        pytest.param(
            _config(delivery_log="local.meta_relay.gone"),
            "table", "local.meta_relay.gone", "error", "it is not there", id="no table",
        ),
        pytest.param(_short_table, "table", "local.other.short", "error", "it lacks the columns action,", id="columns"),
        pytest.param(
            lambda stack: stack.bigquery.fail(status=403, match="tables/delivery_log"),
            "table", TABLE, "unknown", "you may not look at it", id="not allowed to look",
        ),
        pytest.param(
            lambda stack: stack.bigquery.fail(status=503, match="tables/delivery_log"),
            "table", TABLE, "unknown", "no answer (ServiceUnavailable)", id="no answer",
        ),
    ],
)  # fmt: skip
def test_a_fault_is_told_once_with_what_to_do(
    deployed: Stack, arrange: Callable[[Stack], None], kind: str, subject: str, status: str, message: str
) -> None:
    arrange(deployed)
    (finding,) = (finding for finding in look(deployed) if finding.status != "ok")
    assert (finding.kind, finding.subject, finding.status) == (kind, subject, status)
    assert message in (finding.message or "")
    assert (finding.action or "").endswith(".")


def test_dead_letters_that_nobody_keeps_are_lost(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
    stack.pubsub.add_subscription(SUBSCRIPTION, TOPIC)
    monkeypatch.setenv("PUBSUB_EMULATOR_HOST", stack.pubsub.address)
    monkeypatch.setenv("BIGQUERY_EMULATOR_HOST", stack.bigquery.url)
    assert [(finding.subject, finding.message) for finding in look(stack) if finding.status != "ok"] == [
        (DEAD_LETTER_TOPIC, "it has no subscription, so that dead letters are lost"),
        (DEAD_LETTERS, "it is not there"),
    ]


def test_meta_s_faults_are_told_too(deployed: Stack) -> None:
    deployed.graph.set_operation_status("1001", 471)
    (finding,) = (finding for finding in look(deployed) if finding.status != "ok")
    assert (finding.kind, finding.subject, finding.reason) == ("audience", "1001", "audience_flagged")


def test_each_secret_is_named_once() -> None:
    config = parse_config(
        '{"connections": {"a": {"access_token": "env:A"}, "b": {"access_token": "env:A", "app_secret": "env:B"}},'
        ' "callers": {"c": {"keys": ["env:C", "env:B"]}}, "event_enhancement": {"key": "env:D"},'
        ' "identity": {"endpoint": "https://identity.example/api", "access_token": "env:E"}}'
    )
    assert secret_names(config) == ["env:A", "env:B", "env:C", "env:D", "env:E"]
