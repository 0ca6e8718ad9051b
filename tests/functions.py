"""Both functions of main.py in this process, under functions-framework as in Google Cloud, beside the stand-ins."""

from __future__ import annotations

import base64
import json
import os
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import functions_framework
import orjson
import pytest
from flask.testing import FlaskClient

from tests.local.pubsub_backlog import Message
from tests.local.stack import DEAD_LETTER_TOPIC, KEY, ROOT, SUBSCRIPTION, TOPIC, Stack

GRANTED: Final = {"state": {"ad_storage": "granted", "ad_user_data": "granted", "ad_personalization": "granted"}}
DENIED: Final = {"state": {"ad_storage": "granted", "ad_user_data": "denied", "ad_personalization": "granted"}}

# Design, section 6: an answer has these keys, always.
_ANSWER_KEYS: Final = {"trace_id", "outcome", "results", "rejected", "warnings", "cookies", "elapsed_ms"}
_RESULT_KEYS: Final = {"destination", "outcome", "num_received", "num_invalid_entries", "fbtrace_id", "error"}
_REJECT_KEYS: Final = {"row", "field", "reason"}
_ERROR_KEYS: Final = {"type", "process", "scope", "message", "timestamp", "trace_id"}
_META_KEYS: Final = {"code", "error_subcode", "is_transient", "fbtrace_id"}
_OUTCOMES: Final = {"delivered", "queued", "withheld", "rejected", "partial", "failed", "dry_run"}


def add(*audiences: str, **more: Any) -> dict[str, Any]:
    """Return a body that adds somebody to *audiences*, consent granted."""
    body: dict[str, Any] = {
        "action": "add",
        "destinations": [{"audience_id": audience} for audience in audiences or ("1001",)],
        "consent": GRANTED,
    }
    if not {"user", "users", "user_from_event"} & more.keys():
        body["user"] = {"EMAIL": "ada@example.com"}
    return body | more


def people(count: int, start: int = 0) -> dict[str, Any]:
    """Return a table of *count* people."""
    return {"schema": ["EMAIL"], "data": [[f"person{number}@example.com"] for number in range(start, start + count)]}


@dataclass(frozen=True)
class Answered:
    """What `receive` has answered."""

    status: int
    body: dict[str, Any]
    headers: Mapping[str, str]
    raw: bytes = field(repr=False)

    def __getitem__(self, key: str) -> Any:
        return self.body[key]

    @property
    def result(self) -> dict[str, Any]:
        """The only destination's result."""
        (result,) = self.body["results"]
        assert isinstance(result, dict)
        return result


def check_shape(answer: Mapping[str, Any]) -> None:
    """Hold an answer to the documented shape: all keys, and no others."""
    assert answer.keys() - {"error"} == _ANSWER_KEYS
    assert answer["outcome"] in _OUTCOMES
    assert isinstance(answer["elapsed_ms"], int)
    assert isinstance(answer["cookies"], dict)
    assert all(isinstance(warning, str) for warning in answer["warnings"])
    for result in answer["results"]:
        assert result.keys() - {"requests", "answers"} == _RESULT_KEYS
        assert result["outcome"] in _OUTCOMES
        if result["error"] is not None:
            _check_error(result["error"], answer["trace_id"])
    for reject in answer["rejected"]:
        assert reject.keys() - {"audience_id"} == _REJECT_KEYS
    if "error" in answer:
        _check_error(answer["error"], answer["trace_id"])


def _check_error(error: Mapping[str, Any], trace_id: str) -> None:
    assert error.keys() >= _ERROR_KEYS
    assert error.keys() - _ERROR_KEYS <= _META_KEYS | {"field", "action"}
    assert error["trace_id"] == trace_id


@dataclass
class Held:
    """A message that is not acknowledged yet."""

    message: Message
    attempts: int = 0


class Functions:
    """
    `receive` and `deliver`, started when they are first called, with the configuration as it then stands.

    Messages are pushed by hand: `deliver_once` pushes each that is held one time, `drain` until nothing is held.
    """

    def __init__(self, stack: Stack, monkeypatch: pytest.MonkeyPatch) -> None:
        self.stack = stack
        self.config = stack.config
        self.environ: dict[str, str] = {}
        self.held: list[Held] = []
        self._seen = 0
        self._monkeypatch = monkeypatch
        self._clients: dict[str, FlaskClient] = {}
        monkeypatch.setattr(sys, "path", [*sys.path])
        for name in ("FUNCTION_TARGET", "FUNCTION_SIGNATURE_TYPE", "FUNCTION_SOURCE"):
            monkeypatch.setenv(name, "")
            monkeypatch.delenv(name)

    def client(self, target: str) -> FlaskClient:
        """Return a client of `receive` or `deliver`, under functions-framework."""
        if target not in self._clients:
            for name, value in {**self.stack.environ(), **self.environ}.items():
                self._monkeypatch.setenv(name, value)
            os.environ.pop("FUNCTION_SIGNATURE_TYPE", None)
            app = functions_framework.create_app(target, str(ROOT / "main.py"))
            self._clients[target] = app.test_client()
        return self._clients[target]

    def restart(self) -> None:
        """Begin new instances, which remember nothing; the configuration is read again."""
        self._clients.clear()

    def receive(
        self,
        body: Mapping[str, Any] | bytes,
        *,
        path: str = "/audiences",
        method: str = "POST",
        key: str | None = KEY,
        content_type: str | None = "application/json",
        headers: Mapping[str, str] | None = None,
    ) -> Answered:
        """Send an HTTP request to `receive`; the answer is held to its documented shape."""
        sent = dict(headers or {})
        if key is not None:
            sent["Authorization"] = f"Bearer {key}"
        data = body if isinstance(body, bytes) else orjson.dumps(body)
        response = self.client("receive").open(path, method=method, data=data, content_type=content_type, headers=sent)
        answer = orjson.loads(response.data) if response.data else {}
        if response.data and not path.endswith("/health"):
            check_shape(answer)
            assert response.headers["trace-id"] == answer["trace_id"]
        return Answered(response.status_code, answer, dict(response.headers), response.data)

    def push(
        self,
        data: bytes | str | None,
        attributes: Mapping[str, str] | None = None,
        *,
        message_id: str = "1",
        attempt: int | None = None,
        envelope: str = "push",
    ) -> int:
        """
        Push a message to `deliver` as Pub/Sub (`push`) or Eventarc (`cloudevent`) does; return the status.

        A text is taken for base64 already.
        """
        message: dict[str, Any] = {"attributes": dict(attributes or {}), "messageId": message_id}
        if data is not None:
            message["data"] = data if isinstance(data, str) else base64.b64encode(data).decode()
        body: dict[str, Any] = {"message": message, "subscription": SUBSCRIPTION}
        if attempt is not None:
            body["deliveryAttempt"] = attempt
        return self.push_body(json.dumps(body).encode(), cloud_event=envelope == "cloudevent", message_id=message_id)

    def push_body(self, body: bytes, *, cloud_event: bool = False, message_id: str = "1") -> int:
        """Push any body to `deliver`."""
        headers = {
            "ce-id": message_id,
            "ce-type": "google.cloud.pubsub.topic.v1.messagePublished",
            "ce-source": f"//pubsub.googleapis.com/{TOPIC}",
            "ce-specversion": "1.0",
        }
        response = self.client("deliver").post(
            f"/{TOPIC}", data=body, content_type="application/json", headers=headers if cloud_event else {}
        )
        return response.status_code

    def publish(self, body: Mapping[str, Any] | bytes, **attributes: str) -> None:
        """Publish a message to the topic, as a CDP does."""
        data = body if isinstance(body, bytes) else orjson.dumps(body)
        self.stack.pubsub.publish(TOPIC, data, attributes=attributes)

    def waiting(self) -> list[Held]:
        """Return the messages of the topic that are not acknowledged."""
        messages = self.stack.pubsub.messages(TOPIC)
        self.held += [Held(message) for message in messages[self._seen :]]
        self._seen = len(messages)
        return self.held

    def deliver_once(self) -> int:
        """Push each waiting message once; return how many stay. What they publish waits for the next time."""
        kept = []
        for one in list(self.waiting()):
            one.attempts += 1
            status = self.push(
                one.message.data, one.message.attributes, message_id=one.message.message_id, attempt=one.attempts
            )
            assert status in {200, 503}, status
            if status != 200:
                kept.append(one)
        self.held = kept
        return len(self.waiting())

    def drain(self, rounds: int = 30) -> None:
        """Push until nothing waits."""
        for _ in range(rounds):
            if not self.waiting():
                return
            self.deliver_once()
        raise AssertionError(f"{len(self.held)} messages still wait")

    def dead(self) -> list[Message]:
        """Return the dead letters."""
        return self.stack.pubsub.messages(DEAD_LETTER_TOPIC)

    def rows(self, **having: Any) -> list[dict[str, Any]]:
        """Return the rows of the delivery log that have these values."""
        return [row for row in self.stack.rows() if all(row.get(key) == value for key, value in having.items())]


def functions_in_this_process(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> Iterator[Functions]:
    """Yield both functions; whatever they did, Meta's rules were kept."""
    functions = Functions(stack, monkeypatch)
    yield functions
    assert stack.graph.violations == []
