"""Changes of segments in a topic of their own, until a flush pulls them."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

from lib.errors import QueueError
from lib.ports import Pulled, SideBySide

logger = logging.getLogger(__name__)

#: "The maximum custom deadline you can specify is 600 seconds" -- PubSub API, ModifyAckDeadlineRequest
MAX_HOLD_S: Final = 600
#: Seconds to wait for a first message: Pub/Sub answers at once where it has one, and else keeps the call.
_PULL_WAIT_S: Final = 2.0
#: Ids in one call: "the maximum size of an Acknowledge request is 512 KiB", and an id has some 200 bytes.
_IDS_IN_A_CALL: Final = 1_000


@dataclass(frozen=True, slots=True, kw_only=True)
class PubSubGathering:
    """
    Publishes and pulls.

    Args:
        publisher, subscriber: Make the official clients, on first use.
        topic, subscription: Full names; the subscription keeps the order of keys.
        timeout_s: Seconds for one call, retries included.
    """

    publisher: Callable[[], Any]
    subscriber: Callable[[], Any]
    topic: str
    subscription: str
    side_by_side: SideBySide
    timeout_s: float = 10.0

    def publish(self, messages: Sequence[tuple[str, bytes]], attributes: Mapping[str, str]) -> None:
        """
        Publish; see `Gathering`.

        "All PubsubMessages published in a given PublishRequest must specify the same ordering_key value", so each
        key has a call of its own.
        """
        from google.pubsub_v1 import PublisherClient, PubsubMessage  # noqa: PLC0415 - comes with the client

        by_key: dict[str, list[Any]] = {}
        for key, data in messages:
            by_key.setdefault(key, []).append(PubsubMessage(data=data, attributes=attributes, ordering_key=key))

        def call(message: Any) -> None:
            # As in `PubSubQueue`: not through the publisher's batches.
            PublisherClient.publish(
                self.publisher(), topic=self.topic, messages=[message], retry=self._retry(), timeout=self.timeout_s
            )

        def calls(own: Sequence[Any]) -> None:
            for message in own:
                call(message)

        with self._told(f"a change for {self.topic} was not taken", "roles/pubsub.publisher on the topic"):
            self.side_by_side([partial(calls, own) for own in by_key.values()])

    def pull(self, limit: int) -> Sequence[Pulled]:
        """Pull, and hold what came for as long as can be; see `Gathering`."""
        from google.api_core.exceptions import DeadlineExceeded  # noqa: PLC0415 - as above

        with self._told(f"{self.subscription} could not be pulled", "roles/pubsub.subscriber on the subscription"):
            try:
                answer = self.subscriber().pull(
                    subscription=self.subscription,
                    max_messages=limit,
                    retry=self._retry(),
                    timeout=_PULL_WAIT_S,
                )
            except DeadlineExceeded:
                # So Pub/Sub says that there is nothing to pull.
                return ()
            received = answer.received_messages
        pulled = [
            Pulled(
                data=one.message.data,
                ack_id=one.ack_id,
                message_id=one.message.message_id,
                attributes=dict(one.message.attributes),
            )
            for one in received
        ]
        self.hold([one.ack_id for one in pulled], MAX_HOLD_S)
        return pulled

    def acknowledge(self, ack_ids: Sequence[str]) -> None:
        """Acknowledge; see `Gathering`."""
        with self._told(f"{self.subscription} did not take all acknowledgements", "roles/pubsub.subscriber on it"):
            for some in _in_parts(ack_ids):
                self.subscriber().acknowledge(
                    subscription=self.subscription, ack_ids=some, retry=self._retry(), timeout=self.timeout_s
                )

    def hold(self, ack_ids: Sequence[str], seconds: float) -> None:
        """Move the deadlines; see `Gathering`."""
        try:
            for some in _in_parts(ack_ids):
                self.subscriber().modify_ack_deadline(
                    subscription=self.subscription,
                    ack_ids=some,
                    ack_deadline_seconds=min(MAX_HOLD_S, max(0, round(seconds))),
                    retry=self._retry(),
                    timeout=self.timeout_s,
                )
        except Exception as error:  # noqa: BLE001 - as in _told
            logger.warning("%s: a deadline was not moved (%s)", self.subscription, type(error).__name__)

    def _retry(self) -> Any:
        from google.api_core.retry import Retry  # noqa: PLC0415 - as above

        return Retry(initial=0.1, maximum=1.0, timeout=self.timeout_s)

    @contextmanager
    def _told(self, what: str, role: str) -> Iterator[None]:
        """Turn what the client raises into an error of ours; its own text could hold a message."""
        try:
            yield
        except Exception as error:  # noqa: BLE001 - the client raises whatever its transport does
            raise QueueError(
                f"{what} ({type(error).__name__})",
                action=f"See that topic and subscription exist and that the function's service account has {role}.",
            ) from None


def _in_parts(ack_ids: Sequence[str]) -> Iterator[Sequence[str]]:
    for start in range(0, len(ack_ids), _IDS_IN_A_CALL):
        yield ack_ids[start : start + _IDS_IN_A_CALL]
