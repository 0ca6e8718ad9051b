"""Dead letters and their replay, with the official subscriber client and the stand-in of Pub/Sub."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import grpc
import pytest
from google.cloud.pubsub_v1 import SubscriberClient
from google.pubsub_v1.services.subscriber.transports import SubscriberGrpcTransport

from lib.dead_letters import DeadLetters, Letter
from lib.errors import ConfigurationError, QueueError
from tests.local.pubsub import PubSub
from tests.seams import Kept

TOPIC: Final = "projects/p/topics/dead"
SUBSCRIPTION: Final = "projects/p/subscriptions/dead"


def every(_reason: str) -> bool:
    return True


@pytest.fixture
def pubsub() -> Iterator[PubSub]:
    with PubSub(backoff_scale=0.001) as pubsub:
        pubsub.add_topic(TOPIC)
        pubsub.add_subscription(SUBSCRIPTION, TOPIC)
        yield pubsub


@pytest.fixture
def client(pubsub: PubSub) -> Iterator[Any]:
    with SubscriberClient(transport=SubscriberGrpcTransport(channel=grpc.insecure_channel(pubsub.address))) as client:
        yield client


@pytest.fixture
def letters(client: Any) -> DeadLetters:
    return DeadLetters(lambda: client, SUBSCRIPTION, empty_pulls=1)


def bury(pubsub: PubSub, count: int, reason: str | None, **attributes: str) -> None:
    for number in range(count):
        more = {} if reason is None else {"reason": reason}
        pubsub.publish(TOPIC, f"{number}".encode(), attributes={"type": "requests", **attributes, **more})


class TestReplay:
    def test_all_go_back_as_they_were_and_are_gone(self, pubsub: PubSub, letters: DeadLetters) -> None:
        bury(pubsub, 120, "Meta said no", **{"trace-id": "t"})
        queue = Kept()
        done = letters.replay(queue, wanted=every)
        assert (done.put_back, done.left) == ({"Meta said no": 120}, {})
        assert sorted(int(data) for data, _ in queue.messages) == list(range(120))
        assert all(attributes == {"type": "requests", "trace-id": "t"} for _, attributes in queue.messages)
        assert pubsub.outstanding(SUBSCRIPTION) == 0

    def test_by_reason_the_others_stay(self, pubsub: PubSub, letters: DeadLetters) -> None:
        bury(pubsub, 70, "flagged")
        bury(pubsub, 3, "not JSON")
        done = letters.replay(Kept(), wanted=lambda reason: reason == "not JSON")
        assert (done.put_back, done.left) == ({"not JSON": 3}, {"flagged": 70})
        assert pubsub.outstanding(SUBSCRIPTION) == 70
        # They can be had again at once.
        assert letters.replay(Kept(), wanted=every).put_back == {"flagged": 70}

    def test_a_limit_is_kept(self, pubsub: PubSub, letters: DeadLetters) -> None:
        bury(pubsub, 9, "flagged")
        done = letters.replay(Kept(), wanted=every, limit=4)
        assert (done.put_back.total(), done.left.total(), pubsub.outstanding(SUBSCRIPTION)) == (4, 5, 5)

    def test_a_dry_run_moves_nothing(self, pubsub: PubSub, letters: DeadLetters) -> None:
        bury(pubsub, 5, "flagged")
        queue = Kept()
        assert letters.replay(queue, wanted=every, dry_run=True).put_back == {"flagged": 5}
        assert (queue.messages, pubsub.outstanding(SUBSCRIPTION)) == ([], 5)

    def test_none_is_none(self, letters: DeadLetters) -> None:
        done = letters.replay(Kept(), wanted=every)
        assert (done.put_back, done.left) == ({}, {})

    def test_what_the_queue_does_not_take_is_still_there(self, pubsub: PubSub, letters: DeadLetters) -> None:
        class Full(Kept):
            def publish(self, data: bytes, attributes: Any, *, dead_letter: bool = False) -> None:
                if len(self.messages) == 2:
                    raise QueueError("full")
                super().publish(data, attributes, dead_letter=dead_letter)

        bury(pubsub, 5, "flagged")
        with pytest.raises(QueueError, match="full"):
            letters.replay(Full(), wanted=every)
        assert pubsub.outstanding(SUBSCRIPTION) == 3


class TestLetter:
    @pytest.mark.parametrize(
        ("attributes", "reason"),
        [
            ({"reason": "not JSON"}, "not JSON"),
            ({"CloudPubSubDeadLetterSourceDeliveryCount": "100"}, "given up after 100 deliveries"),
            ({}, "no reason stated"),
        ],
    )
    def test_reason(self, attributes: dict[str, str], reason: str) -> None:
        assert Letter("a", "1", b"", attributes).reason == reason

    def test_what_was_added_on_the_way_is_taken_off(self) -> None:
        attributes = {
            "type": "audiences", "trace-id": "t", "reason": "x", "CloudPubSubDeadLetterSourceSubscription": "s",
            "googclient_traceparent": "y",
        }  # fmt: skip
        assert Letter("a", "1", b"", attributes).first_attributes() == {"type": "audiences", "trace-id": "t"}

    def test_nothing_of_it_is_shown(self) -> None:
        assert "ada" not in repr(Letter("a", "1", b"ada@example.com", {"x": "ada"}))


class TestErrors:
    def test_a_subscription_that_is_not_there(self, client: Any) -> None:
        letters = DeadLetters(lambda: client, "projects/p/subscriptions/gone")
        with pytest.raises(ConfigurationError, match=r"subscriptions/gone cannot be read \(NotFound\)"):
            letters.replay(Kept(), wanted=every)

    def test_no_pubsub_at_all(self) -> None:
        channel = grpc.insecure_channel("127.0.0.1:1")
        with SubscriberClient(transport=SubscriberGrpcTransport(channel=channel)) as client:
            letters = DeadLetters(lambda: client, SUBSCRIPTION)
            with pytest.raises(QueueError, match="Pub/Sub does not answer"):
                letters.replay(Kept(), wanted=every)
