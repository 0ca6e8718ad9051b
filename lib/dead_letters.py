"""Dead letters: found in the subscription that keeps them, and put back into the queue once the cause is mended."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Final

from lib.errors import ConfigurationError, QueueError
from lib.ports import Queue

#: Messages of one pull; each may have megabytes.
_AT_ONCE: Final = 50
#: Seconds for which a pull waits where there is nothing.
_PULL_TIMEOUT_S: Final = 5.0
_CALL_TIMEOUT_S: Final = 30.0
#: Seconds for which what is looked at is kept from others; the most that Pub/Sub allows.
_LEASE_S: Final = 600
#: What the path to the dead-letter topic has added.
_ADDED: Final = ("reason", "CloudPubSubDeadLetter", "goog")
_DELIVERIES: Final = "CloudPubSubDeadLetterSourceDeliveryCount"


@dataclass(frozen=True, slots=True)
class Letter:
    """A dead letter as Pub/Sub keeps it."""

    ack_id: str
    message_id: str
    data: bytes = field(repr=False)
    attributes: Mapping[str, str] = field(repr=False)

    @property
    def reason(self) -> str:
        """Why it is dead: what this package has written, or Pub/Sub's own count."""
        if stated := self.attributes.get("reason"):
            return stated
        deliveries = self.attributes.get(_DELIVERIES)
        return f"given up after {deliveries} deliveries" if deliveries else "no reason stated"

    def first_attributes(self) -> dict[str, str]:
        """Return the attributes that it had as a message of the queue."""
        return {name: value for name, value in self.attributes.items() if not name.startswith(_ADDED)}


@dataclass(slots=True)
class Replay:
    """What became of the dead letters, by reason."""

    put_back: Counter[str] = field(default_factory=Counter)
    left: Counter[str] = field(default_factory=Counter)


@dataclass(frozen=True, slots=True)
class DeadLetters:
    """
    Reads a subscription to the dead-letter topic.

    Args:
        client: Makes the official subscriber client, on first use.
        subscription: `projects/…/subscriptions/…`.
        empty_pulls: How many pulls in a row have to bring nothing for there to be nothing: a pull "may return fewer
            than max_messages even if there are more".
            -- https://cloud.google.com/pubsub/docs/reference/rest/v1/projects.subscriptions/pull
    """

    client: Callable[[], Any]
    subscription: str
    empty_pulls: int = 2

    def replay(
        self, queue: Queue, *, wanted: Callable[[str], bool], limit: int | None = None, dry_run: bool = False
    ) -> Replay:
        """
        Put the letters whose reason is *wanted* back into *queue*, at most *limit*; leave the others where they are.

        A letter is gone only once the queue has it. In a *dry_run* all are left, and counted as if put back.

        Raises:
            ConfigurationError: The subscription is not there, or may not be read.
            QueueError: Pub/Sub does not do its part; what was not put back is still there.
        """
        done = Replay()
        held: list[str] = []
        try:
            for letters in self._pulls():
                chosen: list[Letter] = []
                for letter in letters:
                    if not wanted(letter.reason) or done.put_back.total() + len(chosen) == limit:
                        done.left[letter.reason] += 1
                        held.append(letter.ack_id)
                    else:
                        chosen.append(letter)
                if dry_run:
                    held += [letter.ack_id for letter in chosen]
                else:
                    self._put_back(chosen, queue)
                done.put_back.update(letter.reason for letter in chosen)
        finally:
            self._release(held)
        return done

    def _put_back(self, letters: Sequence[Letter], queue: Queue) -> None:
        gone: list[str] = []
        try:
            for letter in letters:
                queue.publish(letter.data, letter.first_attributes())
                gone.append(letter.ack_id)
        finally:
            if gone:
                with _told(self.subscription):
                    self.client().acknowledge(
                        subscription=self.subscription, ack_ids=gone, timeout=_CALL_TIMEOUT_S, retry=None
                    )
            self._release([letter.ack_id for letter in letters[len(gone) :]])

    def _pulls(self) -> Iterator[list[Letter]]:
        """Yield the letters, each once, until none comes any more."""
        seen: set[str] = set()
        empty = 0
        while empty < self.empty_pulls:
            with _told(self.subscription):
                pulled = self._pull()
            new = [letter for letter in pulled if letter.message_id not in seen]
            seen |= {letter.message_id for letter in new}
            empty = 0 if new else empty + 1
            # What has come a second time is held already.
            self._lease([letter.ack_id for letter in pulled])
            if new:
                yield new

    def _pull(self) -> list[Letter]:
        from google.api_core.exceptions import DeadlineExceeded  # noqa: PLC0415 - comes with the client, on first use

        try:
            answer = self.client().pull(
                subscription=self.subscription, max_messages=_AT_ONCE, timeout=_PULL_TIMEOUT_S, retry=None
            )
        except DeadlineExceeded:
            return []
        return [
            Letter(one.ack_id, one.message.message_id, one.message.data, dict(one.message.attributes))
            for one in answer.received_messages
        ]

    def _lease(self, ack_ids: Sequence[str], seconds: int = _LEASE_S) -> None:
        if ack_ids:
            with _told(self.subscription):
                self.client().modify_ack_deadline(
                    subscription=self.subscription,
                    ack_ids=ack_ids,
                    ack_deadline_seconds=seconds,
                    timeout=_CALL_TIMEOUT_S,
                    retry=None,
                )

    def _release(self, ack_ids: Sequence[str]) -> None:
        """Hand back at once what was only looked at."""
        for start in range(0, len(ack_ids), _RELEASED_AT_ONCE):
            self._lease(ack_ids[start : start + _RELEASED_AT_ONCE], 0)


#: An ack id has about 200 bytes, and a call at most 512 KiB. -- https://cloud.google.com/pubsub/quotas
_RELEASED_AT_ONCE: Final = 1_000


@contextmanager
def _told(subscription: str) -> Iterator[None]:
    """Turn what the client raises into one of our errors."""
    from google.api_core import exceptions  # noqa: PLC0415 - both come with the client, on first use
    from google.auth.exceptions import GoogleAuthError  # noqa: PLC0415

    try:
        yield
    except (exceptions.NotFound, exceptions.Forbidden, exceptions.BadRequest) as error:
        raise ConfigurationError(
            f"the dead letters of {subscription} cannot be read ({type(error).__name__})",
            process="queue",
            scope="Pub/Sub",
            action="See that the subscription exists and that you have roles/pubsub.subscriber on it.",
        ) from None
    except (exceptions.GoogleAPIError, GoogleAuthError, OSError) as error:
        raise QueueError(f"Pub/Sub does not answer ({type(error).__name__})") from None
