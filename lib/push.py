"""
Both envelopes in which Pub/Sub pushes a message -> `Message`.

-- https://cloud.google.com/pubsub/docs/push#receive_push
-- https://cloud.google.com/eventarc/docs/cloudevents#pubsub
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

import orjson

from lib.handlers import Message


def parse_push(event: Any, raw: bytes) -> Message:
    """
    Return the message of a push.

    Args:
        event: The CloudEvent that functions-framework has made of the request.
        raw: The request's body: the envelope with what the framework drops, the delivery attempt above all.
    """
    data = event.data if isinstance(event.data, Mapping) else {}
    envelope = _object(raw)
    message = _mapping(data.get("message")) or _mapping(envelope.get("message"))
    attributes = _mapping(message.get("attributes"))
    return Message(
        data=message.get("data") if message else event.data,
        attributes={str(key): value for key, value in attributes.items() if isinstance(value, str)},
        message_id=str(message.get("messageId") or message.get("message_id") or event["id"]),
        published=_seconds(message.get("publishTime") or message.get("publish_time")),
        attempt=_attempt(envelope.get("deliveryAttempt") or data.get("deliveryAttempt")),
    )


def _object(raw: bytes) -> Mapping[str, Any]:
    try:
        return _mapping(orjson.loads(raw))
    except orjson.JSONDecodeError:
        return {}


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _seconds(value: object) -> float | None:
    """Return an RFC 3339 time in Unix seconds."""
    try:
        return datetime.fromisoformat(value).timestamp() if isinstance(value, str) else None
    except ValueError:
        return None


def _attempt(value: object) -> int:
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else 1
