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
#: Attributes whose names begin so are Google's own; a message that came with one goes on without it.
_GOOGLES_OWN: Final = "goog"


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
        try:
            self._publish(topic, data, attributes)
        except Exception as error:  # noqa: BLE001 - the client raises whatever its transport does
            raise QueueError(
                f"Pub/Sub did not take a message for {topic} ({type(error).__name__})",
                action="See that the topic exists and that the function's service account has roles/pubsub.publisher "
                "on it.",
            ) from None

    def _publish(self, topic: str, data: bytes, attributes: Mapping[str, str]) -> None:
        """
        Make the call itself.

        Not through the publisher's batches: one of a single message that has failed is never replaced, so that the
        topic gets no message ever again ("Publish after stop() or publish error", googleapis/python-pubsub issue 48),
        and its retries go on for ten minutes in a thread.
        """
        from google.api_core.retry import Retry  # noqa: PLC0415 - both come with the client, on first use
        from google.pubsub_v1 import PublisherClient, PubsubMessage  # noqa: PLC0415

        ours = {name: value for name, value in attributes.items() if not name.startswith(_GOOGLES_OWN)}
        PublisherClient.publish(
            self.client(),
            topic=topic,
            messages=[PubsubMessage(data=data, attributes=ours)],
            retry=Retry(initial=0.1, maximum=1.0, timeout=self.timeout_s),
            timeout=self.timeout_s,
        )
