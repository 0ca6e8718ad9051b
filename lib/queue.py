"""Messages to Pub/Sub: what waits, and what can never succeed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from lib.config import QueueSettings
from lib.errors import QueueError

#: "data of all messages must not exceed 10 MB"; ours hold at most this, attributes and base64 aside.
#: -- https://cloud.google.com/pubsub/quotas
MAX_MESSAGE_BYTES: Final = 7_000_000
_TIMEOUT_S: Final = 10.0


@dataclass(frozen=True, slots=True)
class PubSubQueue:
    """
    Publishes.

    Args:
        client: Makes the official publisher, on first use.
    """

    client: Callable[[], Any]
    settings: QueueSettings

    def publish(self, data: bytes, attributes: Mapping[str, str], *, dead_letter: bool = False) -> None:
        """Publish to the topic, or to that of dead letters; see `Queue`."""
        topic = self.settings.dead_letter_topic if dead_letter else self.settings.topic
        try:
            self.client().publish(topic, data, timeout=_TIMEOUT_S, **attributes).result(timeout=_TIMEOUT_S)
        except Exception as error:  # noqa: BLE001 - the client raises whatever its transport does
            raise QueueError(
                f"Pub/Sub did not take a message for {topic} ({type(error).__name__})",
                action="See that the topic exists and that the function's service account has roles/pubsub.publisher "
                "on it.",
            ) from None
