"""Where changes of segments wait, held by the same tests to the stand-in and to Google's emulator."""

from __future__ import annotations

import os
import random
import threading
import time
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import grpc
import pytest
from google.cloud.pubsub_v1 import PublisherClient, SubscriberClient

from lib.changes import Changes
from lib.errors import QueueError
from lib.flush import Flush
from lib.gathering import PubSubGathering
from lib.ports import Pulled, SideBySide
from tests.local.pubsub import PubSub
from tests.segment_world import SEGMENT, digest, world


@pytest.fixture(params=["stand-in", pytest.param("emulator", marks=pytest.mark.emulator)])
def address(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    if request.param == "emulator":
        stated = os.environ.get("RELAY_TEST_PUBSUB_EMULATOR", "absent")
        if stated == "absent":
            pytest.skip("Google's Pub/Sub emulator is not here; `make test-emulators` says why")
        monkeypatch.setenv("PUBSUB_EMULATOR_HOST", stated)
        yield stated
        return
    with PubSub() as pubsub:
        monkeypatch.setenv("PUBSUB_EMULATOR_HOST", pubsub.address)
        yield pubsub.address


class Clients:
    """The gathering over the official clients, on a topic of its own."""

    def __init__(self, ack_deadline_s: int = 600) -> None:
        self.publisher: Any = PublisherClient()
        self.subscriber: Any = SubscriberClient()
        name = f"n{uuid.uuid4().hex}"
        topic, subscription = f"projects/p/topics/{name}", f"projects/p/subscriptions/{name}"
        self.publisher.create_topic(name=topic)
        self.subscriber.create_subscription(
            request={
                "name": subscription,
                "topic": topic,
                "enable_message_ordering": True,
                "ack_deadline_seconds": ack_deadline_s,
            }
        )
        self.gathering = PubSubGathering(
            publisher=lambda: self.publisher,
            subscriber=lambda: self.subscriber,
            topic=topic,
            subscription=subscription,
            side_by_side=SideBySide(4),
        )

    def publish(self, *messages: tuple[str, bytes]) -> None:
        self.gathering.publish(messages, {"type": "changes"})

    def pull(self, count: int) -> list[Pulled]:
        """Pull until so many have come, or nothing more does."""
        found: list[Pulled] = []
        for _ in range(10):
            if len(found) >= count:
                break
            found += self.gathering.pull(1_000)
        return found

    def close(self) -> None:
        self.publisher.transport.close()
        self.subscriber.close()


@pytest.fixture
def clients(address: str) -> Iterator[Clients]:
    del address
    made = Clients()
    yield made
    made.close()


def data(pulled: Sequence[Pulled]) -> list[bytes]:
    return [one.data for one in pulled]


def test_within_a_key_messages_come_in_their_order(clients: Clients) -> None:
    for number in range(5):
        clients.publish(("a", b"a%d" % number), ("b", b"b%d" % number))
    pulled = clients.pull(10)
    assert [one for one in data(pulled) if one.startswith(b"a")] == [b"a%d" % number for number in range(5)]
    assert [one for one in data(pulled) if one.startswith(b"b")] == [b"b%d" % number for number in range(5)]
    assert len({one.message_id for one in pulled}) == 10
    assert {tuple(one.attributes.items()) for one in pulled} >= {(("type", "changes"),)}


def test_several_of_a_key_in_one_publish_keep_their_order(clients: Clients) -> None:
    clients.publish(*[("a", b"%d" % number) for number in range(5)])
    assert data(clients.pull(5)) == [b"%d" % number for number in range(5)]


def test_while_one_is_out_no_other_flush_gets_one_of_its_key(clients: Clients) -> None:
    clients.publish(("a", b"1"))
    (first,) = clients.pull(1)
    clients.publish(("a", b"2"), ("b", b"3"))
    assert data(clients.pull(1)) == [b"3"]
    clients.gathering.acknowledge([first.ack_id])
    assert data(clients.pull(1)) == [b"2"]


def test_what_is_acknowledged_is_gone_and_what_is_given_back_comes_again(clients: Clients) -> None:
    clients.publish(("a", b"1"), ("b", b"2"))
    pulled = {one.data: one for one in clients.pull(2)}
    clients.gathering.acknowledge([pulled[b"1"].ack_id])
    clients.gathering.hold([pulled[b"2"].ack_id], 0)
    (again,) = clients.pull(1)
    assert (again.data, again.message_id) == (b"2", pulled[b"2"].message_id)
    clients.gathering.acknowledge([again.ack_id])
    assert list(clients.gathering.pull(10)) == []


def test_what_is_held_comes_again_in_its_time(clients: Clients) -> None:
    clients.publish(("a", b"1"))
    (one,) = clients.pull(1)
    clients.gathering.hold([one.ack_id], 2.2)
    began = time.monotonic()
    assert data(clients.pull(1)) == [b"1"]
    assert time.monotonic() - began > 1.0


def test_nothing_to_pull_is_no_error(clients: Clients) -> None:
    assert list(clients.gathering.pull(10)) == []
    clients.gathering.acknowledge([])
    clients.gathering.hold([], 5)


def test_two_flushes_at_once_over_the_clients_themselves(clients: Clients) -> None:
    """Few people change often; in the end each is what was said last."""
    chance = random.Random(3)
    last: dict[int, str] = {}
    with world() as one:
        one.meta.add_audience("11", account="1", description="Meta Relay segment: 44A23B49")
        outside = replace(one.relay.outside, gathering=clients.gathering)
        for _ in range(200):
            who, action = chance.randrange(20), chance.choice(["add", "remove"])
            last[who] = action
            rows = [[digest(f"p{who}")]]
            change = Changes(connection="acme", segment=SEGMENT, action=action, schema=("EMAIL",), rows=rows)  # type: ignore[arg-type]
            ((key, part),) = change.by_key()
            clients.publish((key, part.to_json()))
        flush = Flush(config=one.relay.config, outside=outside)
        for number in range(3):
            both = [threading.Thread(target=flush.run, args=(one.origin(f"f{number}-{each}"),)) for each in range(2)]
            for each in both:
                each.start()
            for each in both:
                each.join(60)
        assert one.emails("11") == {digest(f"p{who}") for who, action in last.items() if action == "add"}
        assert list(clients.gathering.pull(10)) == []


def test_what_is_pulled_is_held_longer_than_the_subscriptions_own_deadline(monkeypatch: pytest.MonkeyPatch) -> None:
    with PubSub(ack_deadline_scale=0.005) as pubsub:
        monkeypatch.setenv("PUBSUB_EMULATOR_HOST", pubsub.address)
        clients = Clients(ack_deadline_s=10)
        clients.publish(("a", b"1"))
        assert data(clients.pull(1)) == [b"1"]
        time.sleep(0.2)
        assert list(clients.gathering.pull(1)) == []
        clients.close()


class TestFaults:
    @pytest.fixture
    def pubsub(self, monkeypatch: pytest.MonkeyPatch) -> Iterator[PubSub]:
        with PubSub() as pubsub:
            monkeypatch.setenv("PUBSUB_EMULATOR_HOST", pubsub.address)
            yield pubsub

    @pytest.fixture
    def broken(self, pubsub: PubSub) -> Iterator[Clients]:
        del pubsub
        made = Clients()
        yield made
        made.close()

    def test_one_that_is_not_taken_is_told(self, pubsub: PubSub, broken: Clients) -> None:
        pubsub.fail_publish(broken.gathering.topic, code=grpc.StatusCode.PERMISSION_DENIED)
        with pytest.raises(QueueError, match="was not taken") as caught:
            broken.publish(("a", b"secret"), ("b", b"secret"))
        assert "roles/pubsub.publisher" in (caught.value.action or "")
        assert "secret" not in str(caught.value)

    def test_a_moment_of_illness_is_waited_out(self, pubsub: PubSub, broken: Clients) -> None:
        pubsub.fail_publish(broken.gathering.topic)
        broken.publish(("a", b"1"))
        assert data(broken.pull(1)) == [b"1"]

    def test_a_subscription_that_is_not_there_is_told(self, broken: Clients) -> None:
        broken.subscriber.delete_subscription(subscription=broken.gathering.subscription)
        with pytest.raises(QueueError, match="could not be pulled") as caught:
            broken.gathering.pull(10)
        assert "roles/pubsub.subscriber" in (caught.value.action or "")
        with pytest.raises(QueueError, match="acknowledgements"):
            broken.gathering.acknowledge(["ack-1-1"])
        broken.gathering.hold(["ack-1-1"], 5)
