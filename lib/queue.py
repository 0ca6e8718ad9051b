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
#: Attributes that cannot be published: they are the client's own arguments, or begin as Google's own do. A message
#: that came with one goes on without it.
_NOT_PUBLISHED: Final = frozenset({"self", "topic", "data", "ordering_key", "retry", "timeout"})
_GOOGLE: Final = "goog"


@dataclass(frozen=True, slots=True)
class PubSubQueue:
    """
    Publishes.

    Args:
        client: Makes the official publisher, on first use.
        timeout_s: Seconds for one message, retries included.
    """

    client: Callable[[], Any]
    settings: QueueSettings
    timeout_s: float = 10.0

    def publish(self, data: bytes, attributes: Mapping[str, str], *, dead_letter: bool = False) -> None:
        """Publish to the topic, or to that of dead letters; see `Queue`."""
        topic = self.settings.dead_letter_topic if dead_letter else self.settings.topic
        named = {
            name: value
            for name, value in attributes.items()
            if name not in _NOT_PUBLISHED and not name.startswith(_GOOGLE)
        }
        try:
            future = self.client().publish(topic, data, retry=_retry(self.timeout_s), timeout=self.timeout_s, **named)
            future.result(timeout=self.timeout_s)
        except Exception as error:  # noqa: BLE001 - the client raises whatever its transport does
            raise QueueError(
                f"Pub/Sub did not take a message for {topic} ({type(error).__name__})",
                action="See that the topic exists and that the function's service account has roles/pubsub.publisher "
                "on it.",
            ) from None


def _retry(timeout_s: float) -> Any:
    """Return when publishing is tried again; the client's own way of it goes on for ten minutes, in a thread."""
    from google.api_core.retry import Retry  # noqa: PLC0415 - comes with the client, on first use

    return Retry(initial=0.1, maximum=1.0, timeout=timeout_s)
