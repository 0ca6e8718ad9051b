"""What Secret Manager publishes: a changed secret is read again, and one that is due is told."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import orjson
import pytest

from lib import secret_notices
from tests.functions import Functions, add
from tests.local.stack import KEY, secret
from tests.log_records import log_records

ACKNOWLEDGED = 200


def notice(event: str, name: str = "projects/123/secrets/meta-relay-token-acme") -> dict[str, str]:
    return {"eventType": event, "secretId": name, "dataFormat": "JSON_API_V1", "timestamp": "2026-11-24T10:00:00Z"}


@pytest.fixture
def records() -> Iterator[list[logging.LogRecord]]:
    with log_records() as records:
        yield records


@pytest.mark.parametrize(
    ("attributes", "expected"),
    [
        (notice("SECRET_VERSION_ADD"), True),
        (notice("SECRET_ROTATE"), True),
        ({"type": "events"}, False),
        ({"eventType": "purchase", "secretId": "s"}, False),
        ({"eventType": "SECRET_ROTATE"}, False),
    ],
    ids=["added", "due", "ours", "somebody's", "without a secret"],
)
def test_a_notice_is_told_from_other_messages(attributes: dict[str, str], expected: bool) -> None:
    assert secret_notices.is_notice(attributes) is expected


@pytest.mark.parametrize(
    ("event", "renewed"),
    [
        ("SECRET_VERSION_ADD", True),
        ("SECRET_VERSION_ENABLE", True),
        ("SECRET_VERSION_DISABLE", True),
        ("SECRET_VERSION_DESTROY", True),
        ("SECRET_DELETE", True),
        ("SECRET_ROTATE", False),
        ("SECRET_CREATE", False),
        ("SECRET_UPDATE", False),
    ],
)
def test_a_secret_is_read_again_when_its_value_may_be_another(event: str, renewed: bool) -> None:
    heard: list[str] = []
    secret_notices.heed(notice(event), heard.append)
    assert heard == (["meta-relay-token-acme"] if renewed else [])


def test_one_that_is_due_is_a_warning_that_names_it(records: list[logging.LogRecord]) -> None:
    secret_notices.heed(notice("SECRET_ROTATE"), lambda _: None)
    (record,) = records
    assert record.levelno == logging.WARNING
    assert record.__dict__["secret"] == {"id": "meta-relay-token-acme", "event": "SECRET_ROTATE"}


def test_deliver_uses_a_new_version_at_once(functions: Functions) -> None:
    name = secret("meta-token-acme")
    body = orjson.dumps(add())
    assert functions.push(body, {"type": "audiences"}) == ACKNOWLEDGED
    read = functions.stack.secrets.accesses[name]
    assert functions.push(body, {"type": "audiences"}, message_id="2") == ACKNOWLEDGED
    assert functions.stack.secrets.accesses[name] == read
    assert functions.push(b'{"name": "projects/1/secrets/s"}', notice("SECRET_VERSION_ADD", name)) == ACKNOWLEDGED
    assert functions.push(body, {"type": "audiences"}, message_id="3") == ACKNOWLEDGED
    assert functions.stack.secrets.accesses[name] == read + 1
    assert functions.dead() == []


def test_a_notice_of_a_secret_that_nobody_reads_is_done_with(functions: Functions) -> None:
    assert functions.push(b"{}", notice("SECRET_VERSION_ADD", "projects/1/secrets/other")) == ACKNOWLEDGED
    assert functions.receive(add(), key=KEY).status == ACKNOWLEDGED
    assert functions.dead() == []
