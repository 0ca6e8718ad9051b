"""Publishing, with the official publisher and the stand-in (design, section 7; reliability, rows 4 to 7 and 28)."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator
from functools import cache
from typing import Any, Final

import grpc
import pytest

from lib.bootstrap import _publisher
from lib.config import QueueSettings
from lib.errors import QueueError, Retry
from lib.queue import MAX_MESSAGE_BYTES, PubSubQueue
from tests.local.pubsub import PubSub

TOPIC: Final = "projects/p/topics/relay"
DEAD: Final = "projects/p/topics/relay-dead"
SETTINGS: Final = QueueSettings(topic=TOPIC, dead_letter_topic=DEAD)
CANARY: Final = "Canary7c1f@example.com"
#: Seconds after which a message is given up here.
TIMEOUT_S: Final = 0.5


@pytest.fixture
def pubsub(monkeypatch: pytest.MonkeyPatch) -> Iterator[PubSub]:
    with PubSub() as pubsub:
        pubsub.add_topic(TOPIC)
        pubsub.add_topic(DEAD)
        monkeypatch.setenv("PUBSUB_EMULATOR_HOST", pubsub.address)
        yield pubsub


@pytest.fixture
def client(pubsub: PubSub) -> Iterator[Callable[[], Any]]:
    """The publisher that bootstrap makes, made on first use."""
    assert pubsub.address
    client = cache(lambda: _publisher(os.environ))
    yield client
    client().stop()
    client().transport.close()


@pytest.fixture
def queue(client: Callable[[], Any]) -> PubSubQueue:
    return PubSubQueue(client, SETTINGS, timeout_s=TIMEOUT_S)


def refusal(queue: PubSubQueue, *, dead_letter: bool = False) -> tuple[QueueError, float]:
    """Return the error of a message that is not taken, and how many seconds that took."""
    began = time.monotonic()
    with pytest.raises(QueueError) as caught:
        queue.publish(CANARY.encode(), {"reason": CANARY}, dead_letter=dead_letter)
    error = caught.value
    assert CANARY not in f"{error!r} {error.facts()}"
    assert (error.retry, error.status, error.scope) == (Retry.LATER, 503, "Pub/Sub")
    assert (error.__cause__, error.__suppress_context__) == (None, True)
    return error, time.monotonic() - began


class TestPublishing:
    def test_a_message_is_held_when_it_returns(self, queue: PubSubQueue, pubsub: PubSub) -> None:
        queue.publish(b'{"action":"add"}', {"type": "requests", "trace-id": "t-1"})
        (message,) = pubsub.messages(TOPIC)
        assert (message.data, message.attributes) == (b'{"action":"add"}', {"type": "requests", "trace-id": "t-1"})
        assert pubsub.messages(DEAD) == []

    def test_a_dead_letter_goes_to_its_own_topic(self, queue: PubSubQueue, pubsub: PubSub) -> None:
        queue.publish(b"{}", {"reason": "not JSON"}, dead_letter=True)
        (message,) = pubsub.messages(DEAD)
        assert (message.data, message.attributes) == (b"{}", {"reason": "not JSON"})
        assert pubsub.messages(TOPIC) == []

    def test_the_largest_message_that_is_made(self, client: Callable[[], Any], pubsub: PubSub) -> None:
        PubSubQueue(client, SETTINGS).publish(b"x" * MAX_MESSAGE_BYTES, {})
        assert [len(message.data) for message in pubsub.messages(TOPIC)] == [MAX_MESSAGE_BYTES]

    def test_many_threads_publish_at_once(self, queue: PubSubQueue, pubsub: PubSub) -> None:
        threads = [threading.Thread(target=queue.publish, args=(str(number).encode(), {})) for number in range(20)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sorted(int(message.data) for message in pubsub.messages(TOPIC)) == list(range(20))

    @pytest.mark.parametrize("name", ["topic", "data", "ordering_key", "retry", "timeout", "self", "ä b"])
    def test_an_attribute_may_have_any_name(self, queue: PubSubQueue, pubsub: PubSub, name: str) -> None:
        """A message that somebody published so could else never become a dead letter."""
        queue.publish(b"{}", {name: "x"}, dead_letter=True)
        assert [message.attributes for message in pubsub.messages(DEAD)] == [{name: "x"}]

    def test_attributes_of_googles_own_are_left_out(self, queue: PubSubQueue, pubsub: PubSub) -> None:
        queue.publish(b"{}", {"googclient_traceparent": "00-0-0-01", "type": "audiences"})
        assert [message.attributes for message in pubsub.messages(TOPIC)] == [{"type": "audiences"}]

    def test_no_client_is_made_before_it_is_needed(self) -> None:
        PubSubQueue(lambda: pytest.fail("a client was made"), SETTINGS)


class TestRefused:
    @pytest.mark.parametrize("code", [grpc.StatusCode.PERMISSION_DENIED, grpc.StatusCode.INVALID_ARGUMENT])
    def test_what_waiting_does_not_help_is_told_at_once(
        self, queue: PubSubQueue, pubsub: PubSub, code: grpc.StatusCode
    ) -> None:
        pubsub.fail_publish(TOPIC, code=code)
        error, seconds = refusal(queue)
        assert error.message.startswith(f"Pub/Sub did not take a message for {TOPIC} (")
        assert error.action == (
            "See that the topic exists and that the function's service account has roles/pubsub.publisher on it."
        )
        assert seconds < TIMEOUT_S

    def test_a_topic_that_is_missing(self, client: Callable[[], Any]) -> None:
        settings = QueueSettings(topic="projects/p/topics/none", dead_letter_topic=DEAD)
        error, seconds = refusal(PubSubQueue(client, settings, timeout_s=TIMEOUT_S))
        assert error.message == "Pub/Sub did not take a message for projects/p/topics/none (NotFound)"
        assert seconds < TIMEOUT_S

    def test_a_topic_of_dead_letters_that_is_missing(self, client: Callable[[], Any]) -> None:
        settings = QueueSettings(topic=TOPIC, dead_letter_topic="projects/p/topics/none")
        error, _ = refusal(PubSubQueue(client, settings, timeout_s=TIMEOUT_S), dead_letter=True)
        assert "projects/p/topics/none" in error.message

    def test_a_client_that_cannot_be_made(self) -> None:
        def client() -> Any:
            raise OSError(CANARY)

        error, _ = refusal(PubSubQueue(client, SETTINGS))
        assert error.message == f"Pub/Sub did not take a message for {TOPIC} (OSError)"

    def test_a_topic_that_comes_late_is_found_without_a_restart(
        self, client: Callable[[], Any], pubsub: PubSub
    ) -> None:
        settings = QueueSettings(topic="projects/p/topics/late", dead_letter_topic=DEAD)
        queue = PubSubQueue(client, settings, timeout_s=TIMEOUT_S)
        refusal(queue)
        pubsub.add_topic("projects/p/topics/late")
        queue.publish(b"{}", {})
        assert len(pubsub.messages("projects/p/topics/late")) == 1


class TestOutage:
    @pytest.mark.parametrize("code", [grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.RESOURCE_EXHAUSTED])
    def test_a_short_one_is_tried_through(
        self, client: Callable[[], Any], pubsub: PubSub, code: grpc.StatusCode
    ) -> None:
        pubsub.fail_publish(TOPIC, times=2, code=code)
        PubSubQueue(client, SETTINGS, timeout_s=5).publish(b"{}", {})
        assert len(pubsub.messages(TOPIC)) == 1

    def test_a_long_one_is_told_in_time_and_then_left_alone(self, queue: PubSubQueue, pubsub: PubSub) -> None:
        """The client's own retries would go on for ten minutes, in a thread that nobody waits for."""
        pubsub.fail_publish(TOPIC, times=1_000)
        _, seconds = refusal(queue)
        assert seconds < 2 * TIMEOUT_S
        assert [thread.name for thread in threading.enumerate() if "Commit" in thread.name] == []
        assert pubsub.messages(TOPIC) == []

    def test_it_recovers_by_itself(self, queue: PubSubQueue, pubsub: PubSub) -> None:
        """The publisher's own batches do not: googleapis/python-pubsub issue 48."""
        pubsub.fail_publish(TOPIC, code=grpc.StatusCode.PERMISSION_DENIED)
        refusal(queue)
        for _ in range(3):
            queue.publish(b"{}", {})
        assert len(pubsub.messages(TOPIC)) == 3

    def test_nobody_answers(self, monkeypatch: pytest.MonkeyPatch) -> None:
        with PubSub() as gone:
            monkeypatch.setenv("PUBSUB_EMULATOR_HOST", gone.address)
        client = cache(lambda: _publisher(os.environ))
        _, seconds = refusal(PubSubQueue(client, SETTINGS, timeout_s=TIMEOUT_S))
        assert seconds < 2 * TIMEOUT_S
        client().stop()
        client().transport.close()
