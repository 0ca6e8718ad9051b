"""The stand-in for Pub/Sub, held by the same tests to what Google's emulator does."""

import base64
import itertools
import json
import os
import threading
import time
import uuid
from collections.abc import Iterator
from typing import Any, Final

import grpc
import pytest
from google.api_core import exceptions
from google.cloud.pubsub_v1 import PublisherClient, SubscriberClient
from google.cloud.pubsub_v1.types import PublisherOptions
from google.pubsub_v1 import PublisherClient as PlainPublisherClient
from google.pubsub_v1.services.publisher.transports import PublisherGrpcTransport

from tests.local.http_server import HTTPServer, Reply, Request
from tests.local.pubsub import PubSub, RefusedError

NO_BACKOFF: Final = {"minimum_backoff": {"seconds": 0}, "maximum_backoff": {"seconds": 0}}


class Clients:
    """The official clients on one Pub/Sub, and names that no other test uses."""

    def __init__(self, address: str) -> None:
        self.address = address
        self.publisher: Any = PublisherClient(publisher_options=PublisherOptions(enable_message_ordering=True))
        self.subscriber: Any = SubscriberClient()
        self.topic = self.name("topics")
        self.subscription = self.name("subscriptions")

    def name(self, kind: str) -> str:
        return f"projects/p/{kind}/n{uuid.uuid4().hex}"

    def create(self, **settings: Any) -> None:
        self.publisher.create_topic(name=self.topic)
        self.subscribe(**settings)

    def subscribe(self, **settings: Any) -> None:
        self.subscriber.create_subscription(request={"name": self.subscription, "topic": self.topic, **settings})

    def publish(self, data: bytes, **more: Any) -> str:
        return str(self.publisher.publish(self.topic, data, **more).result(10))

    def pull(self, subscription: str = "", limit: int = 10) -> list[Any]:
        """Pull until something comes."""
        for _ in range(50):
            name = subscription or self.subscription
            found = self.subscriber.pull(subscription=name, max_messages=limit, timeout=20).received_messages
            if found:
                return list(found)
        return []

    def close(self) -> None:
        self.publisher.stop()
        self.publisher.transport.close()
        self.subscriber.close()


class Endpoint:
    """A push endpoint that answers with *statuses* in turn, and with the last one for ever."""

    def __init__(self, *statuses: int, delay_s: float = 0.0) -> None:
        self.bodies: list[dict[str, Any]] = []
        self.requests: list[Request] = []
        self._statuses = list(statuses)
        self._delay_s = delay_s
        self._changed = threading.Condition()
        self.server = HTTPServer(self._handle)

    def _handle(self, request: Request) -> Reply:
        with self._changed:
            self.requests.append(request)
            self.bodies.append(json.loads(request.body))
            status = self._statuses.pop(0) if len(self._statuses) > 1 else self._statuses[0]
            self._changed.notify_all()
        self.server.closing.wait(self._delay_s)
        return Reply(status)

    def wait_for(self, count: int, timeout: float = 20.0) -> list[bytes]:
        """Wait for so many pushes; return the data of all."""
        with self._changed:
            assert self._changed.wait_for(lambda: len(self.bodies) >= count, timeout), self.bodies
            return [base64.b64decode(body["message"]["data"]) for body in self.bodies]


def emulator_address(variable: str) -> str:
    address = os.environ.get(variable, "")
    if address == "absent":
        pytest.skip("This emulator cannot be had here.")
    assert address, f"{variable} is not set; `make test-emulators` runs the emulators and sets it"
    return address


@pytest.fixture(params=["stand-in", pytest.param("emulator", marks=pytest.mark.emulator)])
def clients(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Clients]:
    if request.param == "emulator":
        address = emulator_address("RELAY_TEST_PUBSUB_EMULATOR")
        monkeypatch.setenv("PUBSUB_EMULATOR_HOST", address)
        made = Clients(address)
        yield made
        made.close()
        return
    with PubSub() as pubsub:
        monkeypatch.setenv("PUBSUB_EMULATOR_HOST", pubsub.address)
        made = Clients(pubsub.address)
        yield made
        made.close()


@pytest.fixture
def pubsub() -> Iterator[PubSub]:
    with PubSub(backoff_scale=0.001, ack_deadline_scale=0.03) as pubsub:
        yield pubsub


@pytest.fixture
def standin(pubsub: PubSub, monkeypatch: pytest.MonkeyPatch) -> Iterator[Clients]:
    """Clients on the stand-in whose waits are short."""
    monkeypatch.setenv("PUBSUB_EMULATOR_HOST", pubsub.address)
    made = Clients(pubsub.address)
    yield made
    made.close()


class TestPullAsTheEmulatorDoes:
    def test_a_message_comes_as_it_was_published_and_once_acknowledged_no_more(self, clients: Clients) -> None:
        clients.create()
        message_id = clients.publish(b"data", kind="k")
        (received,) = clients.pull()
        message = received.message
        assert (message.data, dict(message.attributes), message.message_id) == (
            b"data",
            {"kind": "k"},
            message_id,
        )
        clients.subscriber.acknowledge(subscription=clients.subscription, ack_ids=[received.ack_id])
        assert not clients.subscriber.pull(
            subscription=clients.subscription, max_messages=1, timeout=20
        ).received_messages

    def test_a_message_that_is_handed_back_comes_again_and_counts_its_attempts(self, clients: Clients) -> None:
        dead = clients.name("topics")
        clients.publisher.create_topic(name=dead)
        clients.create(dead_letter_policy={"dead_letter_topic": dead, "max_delivery_attempts": 5})
        clients.publish(b"data")
        attempts = []
        for _ in range(2):
            (received,) = clients.pull()
            attempts.append(received.delivery_attempt)
            clients.subscriber.modify_ack_deadline(
                subscription=clients.subscription, ack_ids=[received.ack_id], ack_deadline_seconds=0
            )
        assert attempts == [1, 2]

    def test_every_subscription_of_a_topic_gets_each_message(self, clients: Clients) -> None:
        clients.create()
        other = clients.name("subscriptions")
        clients.subscriber.create_subscription(name=other, topic=clients.topic)
        clients.publish(b"data")
        assert [clients.pull(name)[0].message.data for name in (clients.subscription, other)] == [b"data"] * 2

    def test_a_streaming_pull_hands_out_what_is_published_before_and_after_it_starts(self, clients: Clients) -> None:
        clients.create()
        clients.publish(b"before")
        got: list[bytes] = []
        both = threading.Event()

        def take(message: Any) -> None:
            got.append(message.data)
            message.ack()
            if len(got) == 2:
                both.set()

        future = clients.subscriber.subscribe(clients.subscription, callback=take)
        clients.publish(b"after")
        arrived = both.wait(20)
        future.cancel()
        future.result(20)
        assert arrived
        assert sorted(got) == [b"after", b"before"]

    def test_a_key_is_pulled_in_the_order_of_publishing(self, clients: Clients) -> None:
        clients.create(enable_message_ordering=True)
        for number in range(20):
            clients.publish(b"%d" % number, ordering_key="a")
        got: list[int] = []
        while len(got) < 20:
            received = clients.pull()
            got += [int(each.message.data) for each in received]
            ack_ids = [each.ack_id for each in received]
            clients.subscriber.acknowledge(subscription=clients.subscription, ack_ids=ack_ids)
        assert got == list(range(20))


class TestPushAsTheEmulatorDoes:
    def push(self, clients: Clients, endpoint: Endpoint, **settings: Any) -> None:
        url = f"{endpoint.server.url}/projects/p/topics/t"
        clients.create(push_config={"push_endpoint": url}, **settings)

    def test_a_push_is_the_documented_wrapper(self, clients: Clients) -> None:
        endpoint = Endpoint(204)
        with endpoint.server:
            self.push(clients, endpoint)
            message_id = clients.publish(b"data", kind="k")
            endpoint.wait_for(1)
        message = endpoint.bodies[0]["message"]
        assert endpoint.bodies[0].keys() == {"message", "subscription"}
        assert endpoint.bodies[0]["subscription"] == clients.subscription
        assert message["publishTime"] == message.pop("publish_time")
        assert message.pop("publishTime").endswith("Z")
        assert message == {
            "data": base64.b64encode(b"data").decode(),
            "attributes": {"kind": "k"},
            "messageId": message_id,
            "message_id": message_id,
        }
        assert endpoint.requests[0].path == "/projects/p/topics/t"
        assert endpoint.requests[0].headers["content-type"] == "application/json"

    @pytest.mark.parametrize("status", [200, 204], ids=["ok", "no content"])
    def test_success_acknowledges(self, clients: Clients, status: int) -> None:
        endpoint = Endpoint(status)
        with endpoint.server:
            self.push(clients, endpoint, retry_policy=NO_BACKOFF)
            clients.publish(b"data")
            endpoint.wait_for(1)
            time.sleep(1.5)  # the emulator delivers again after a second
        assert len(endpoint.bodies) == 1

    @pytest.mark.parametrize("status", [302, 400, 403, 429, 500], ids=str)
    def test_any_other_status_brings_the_message_again(self, clients: Clients, status: int) -> None:
        endpoint = Endpoint(status, 200)
        with endpoint.server:
            self.push(clients, endpoint, retry_policy=NO_BACKOFF)
            clients.publish(b"data")
            assert endpoint.wait_for(2) == [b"data", b"data"]
        assert endpoint.bodies[0]["message"]["messageId"] == endpoint.bodies[1]["message"]["messageId"]

    def test_after_the_last_attempt_it_goes_to_the_dead_letter_topic(self, clients: Clients) -> None:
        dead, dead_subscription = clients.name("topics"), clients.name("subscriptions")
        clients.publisher.create_topic(name=dead)
        clients.subscriber.create_subscription(name=dead_subscription, topic=dead)
        endpoint = Endpoint(500)
        policy = {"dead_letter_topic": dead, "max_delivery_attempts": 5}
        with endpoint.server:
            self.push(clients, endpoint, dead_letter_policy=policy, retry_policy=NO_BACKOFF)
            clients.publish(b"data", kind="k")
            (received,) = clients.pull(dead_subscription)
        attributes = dict(received.message.attributes)
        assert len(endpoint.bodies) == 5
        assert received.message.data == b"data"
        assert attributes.pop("CloudPubSubDeadLetterSourceTopicPublishTime")
        assert attributes == {
            "kind": "k",
            "CloudPubSubDeadLetterSourceDeliveryCount": "5",
            "CloudPubSubDeadLetterSourceSubscription": clients.subscription.rpartition("/")[2],
            "CloudPubSubDeadLetterSourceSubscriptionProject": "p",
        }

    def test_a_key_keeps_its_order_and_its_failing_head_holds_up_no_other_key(self, clients: Clients) -> None:
        endpoint = Endpoint(500, 500, 200)
        with endpoint.server:
            self.push(clients, endpoint, enable_message_ordering=True, retry_policy=NO_BACKOFF)
            for number in range(5):
                clients.publish(b"a%d" % number, ordering_key="a")
                clients.publish(b"b%d" % number, ordering_key="b")
            got = endpoint.wait_for(12)
        for key in (b"a", b"b"):
            seen = list(dict.fromkeys(data for data in got if data.startswith(key)))
            assert seen == [key + b"%d" % number for number in range(5)]


class TestRefusalsAsTheEmulatorDoes:
    def test_a_topic_that_is_not_there_is_not_found(self, clients: Clients) -> None:
        with pytest.raises(exceptions.NotFound):
            clients.publish(b"data")
        with pytest.raises(exceptions.NotFound):
            clients.publisher.get_topic(topic=clients.topic)
        with pytest.raises(exceptions.NotFound):
            clients.publisher.delete_topic(topic=clients.topic)
        with pytest.raises(exceptions.NotFound):
            clients.subscribe()

    def test_a_subscription_that_is_not_there_is_not_found(self, clients: Clients) -> None:
        for call in (clients.subscriber.get_subscription, clients.subscriber.delete_subscription):
            with pytest.raises(exceptions.NotFound):
                call(subscription=clients.subscription)
        with pytest.raises(exceptions.NotFound):
            clients.subscriber.pull(subscription=clients.subscription, max_messages=1, timeout=5)
        with pytest.raises(exceptions.NotFound):
            clients.subscriber.acknowledge(subscription=clients.subscription, ack_ids=["x"])

    def test_a_dead_letter_topic_that_is_not_there_is_not_found(self, clients: Clients) -> None:
        with pytest.raises(exceptions.NotFound):
            clients.create(dead_letter_policy={"dead_letter_topic": clients.name("topics")})

    def test_what_is_there_already_cannot_be_created(self, clients: Clients) -> None:
        clients.create()
        with pytest.raises(exceptions.AlreadyExists):
            clients.publisher.create_topic(name=clients.topic)
        with pytest.raises(exceptions.AlreadyExists):
            clients.subscribe()

    def test_a_message_with_neither_data_nor_attributes_is_refused(self, clients: Clients) -> None:
        clients.create()
        with pytest.raises(exceptions.InvalidArgument):
            clients.publish(b"")

    def test_fewer_than_five_delivery_attempts_cannot_be_asked_for(self, clients: Clients) -> None:
        clients.publisher.create_topic(name=clients.topic)
        policy = {"dead_letter_topic": clients.topic, "max_delivery_attempts": 4}
        with pytest.raises(exceptions.OutOfRange):
            clients.subscribe(dead_letter_policy=policy)

    @pytest.mark.parametrize("name", ["projects/p/topics/ab", "projects/p/topics/1abc"])
    def test_a_bad_name_is_refused(self, clients: Clients, name: str) -> None:
        with pytest.raises(exceptions.InvalidArgument):
            clients.publisher.create_topic(name=name)

    def test_topics_and_subscriptions_are_listed_until_they_are_deleted(self, clients: Clients) -> None:
        clients.create()
        assert clients.topic in {each.name for each in clients.publisher.list_topics(project="projects/p")}
        listed = clients.subscriber.list_subscriptions(project="projects/p")
        assert clients.subscription in {each.name for each in listed}
        clients.publisher.delete_topic(topic=clients.topic)
        orphan = clients.subscriber.get_subscription(subscription=clients.subscription)
        assert orphan.topic == "_deleted-topic_"
        clients.subscriber.delete_subscription(subscription=clients.subscription)
        listed = clients.subscriber.list_subscriptions(project="projects/p")
        assert clients.subscription not in {each.name for each in listed}


class TestWhatTheEmulatorLacks:
    """What Google documents and its emulator does not do, and what only tests want."""

    def test_a_push_states_its_attempt_where_there_is_a_dead_letter_policy(
        self, pubsub: PubSub, standin: Clients
    ) -> None:
        pubsub.add_topic(standin.topic)
        dead = standin.name("topics")
        pubsub.add_topic(dead)
        endpoint = Endpoint(500)
        with endpoint.server:
            pubsub.add_subscription(
                standin.subscription, standin.topic, push_endpoint=endpoint.server.url, dead_letter_topic=dead
            )
            pubsub.publish(standin.topic, b"data", ordering_key="k")
            endpoint.wait_for(5)
            assert pubsub.wait_idle()
        assert [body["deliveryAttempt"] for body in endpoint.bodies] == [1, 2, 3, 4, 5]
        assert endpoint.bodies[0]["message"]["orderingKey"] == "k"
        assert [message.data for message in pubsub.messages(dead)] == [b"data"]

    def test_the_backoff_doubles_from_its_minimum_to_its_maximum(self, standin: Clients) -> None:
        with PubSub(backoff_scale=0.01) as pubsub:
            pubsub.add_topic(standin.topic)
            times: list[float] = []

            def handle(_request: Request) -> Reply:
                times.append(time.monotonic())
                return Reply(500 if len(times) < 5 else 200)

            with HTTPServer(handle) as server:
                pubsub.add_subscription(
                    standin.subscription,
                    standin.topic,
                    push_endpoint=server.url,
                    minimum_backoff_s=10,
                    maximum_backoff_s=30,
                )
                pubsub.publish(standin.topic, b"data")
                assert pubsub.wait_idle()
        gaps = [after - before for before, after in itertools.pairwise(times)]
        for gap, backoff in zip(gaps, [0.1, 0.2, 0.3, 0.3], strict=True):
            assert backoff - 0.01 <= gap < backoff + 1

    def test_a_slow_handler_holds_up_no_other_message(self, pubsub: PubSub, standin: Clients) -> None:
        pubsub.add_topic(standin.topic)
        together = threading.Barrier(4)

        def handle(_request: Request) -> Reply:
            together.wait(20)  # goes on only when four are here at the same time
            return Reply(200)

        with HTTPServer(handle) as server:
            pubsub.add_subscription(standin.subscription, standin.topic, push_endpoint=server.url, ack_deadline_s=600)
            for _ in range(4):
                pubsub.publish(standin.topic, b"data")
            assert pubsub.wait_idle(20)

    def test_a_push_that_outlasts_the_ack_deadline_is_made_again(self, pubsub: PubSub, standin: Clients) -> None:
        pubsub.add_topic(standin.topic)
        endpoint = Endpoint(200, delay_s=1.0)  # the deadline is 10 s * 0.03
        with endpoint.server:
            pubsub.add_subscription(standin.subscription, standin.topic, push_endpoint=endpoint.server.url)
            pubsub.publish(standin.topic, b"data")
            endpoint.wait_for(2)
            assert pubsub.outstanding(standin.subscription) == 1

    def test_a_pull_that_is_not_acknowledged_in_time_comes_again(self, pubsub: PubSub, standin: Clients) -> None:
        pubsub.add_topic(standin.topic)
        pubsub.add_subscription(standin.subscription, standin.topic)
        pubsub.publish(standin.topic, b"data")
        first, second = standin.pull()[0], standin.pull()[0]
        assert first.message.message_id == second.message.message_id
        assert first.ack_id != second.ack_id
        assert second.delivery_attempt == 0  # no dead-letter policy

    def test_a_key_that_is_handed_back_comes_again_from_there_even_what_was_acknowledged_after_it(
        self, pubsub: PubSub, standin: Clients
    ) -> None:
        pubsub.add_topic(standin.topic)
        pubsub.add_subscription(standin.subscription, standin.topic, ordering=True, ack_deadline_s=600)
        for number in range(4):
            pubsub.publish(standin.topic, b"%d" % number, ordering_key="a")
        first = {each.message.data: each.ack_id for each in standin.pull()}
        name = standin.subscription
        standin.subscriber.acknowledge(subscription=name, ack_ids=[first[b"0"], first[b"3"]])
        standin.subscriber.modify_ack_deadline(subscription=name, ack_ids=[first[b"1"]], ack_deadline_seconds=0)
        standin.subscriber.acknowledge(subscription=name, ack_ids=[first[b"2"]])  # too late
        again = standin.pull()
        assert [each.message.data for each in again] == [b"1", b"2", b"3"]
        standin.subscriber.acknowledge(subscription=name, ack_ids=[each.ack_id for each in again])
        assert pubsub.wait_idle(1, name)

    def test_publishing_that_is_unavailable_is_tried_again_by_the_client(
        self, pubsub: PubSub, standin: Clients
    ) -> None:
        pubsub.add_topic(standin.topic)
        pubsub.fail_publish(standin.topic, times=2)
        standin.publish(b"data")
        assert [message.data for message in pubsub.messages(standin.topic)] == [b"data"]

    def test_publishing_can_be_denied(self, pubsub: PubSub, standin: Clients) -> None:
        pubsub.add_topic(standin.topic)
        pubsub.fail_publish(standin.topic, code=grpc.StatusCode.PERMISSION_DENIED)
        with pytest.raises(exceptions.PermissionDenied):
            standin.publish(b"data")
        assert pubsub.messages(standin.topic) == []

    @pytest.mark.parametrize(
        "attributes",
        [
            pytest.param({"k": "v" * 1025}, id="long value"),
            pytest.param({"k" * 257: "v"}, id="long key"),
            pytest.param({str(number): "v" for number in range(101)}, id="too many"),
        ],
    )
    def test_attributes_beyond_the_quota_are_refused(
        self, pubsub: PubSub, standin: Clients, attributes: dict[str, str]
    ) -> None:
        pubsub.add_topic(standin.topic)
        with pytest.raises(RefusedError):
            pubsub.publish(standin.topic, b"data", attributes=attributes)

    def test_a_message_of_more_than_10_mb_is_refused(self, standin: Clients) -> None:
        standin.create()
        channel = grpc.insecure_channel(standin.address)
        plain: Any = PlainPublisherClient(transport=PublisherGrpcTransport(channel=channel))
        with channel, pytest.raises(exceptions.InvalidArgument):
            plain.publish(topic=standin.topic, messages=[{"data": b"x" * 10_000_001}], retry=None)

    def test_a_filter_is_refused_and_not_silently_ignored(self, standin: Clients) -> None:
        with pytest.raises(exceptions.MethodNotImplemented):
            standin.create(filter='attributes.kind = "k"')

    def test_waiting_for_idle_ends_when_time_is_up(self, pubsub: PubSub, standin: Clients) -> None:
        pubsub.add_topic(standin.topic)
        pubsub.add_subscription(standin.subscription, standin.topic)
        pubsub.publish(standin.topic, b"data")
        assert pubsub.wait_idle(0.1)
        assert not pubsub.wait_idle(0.1, standin.subscription)

    def test_nothing_is_left_after_it_is_closed(self) -> None:
        before = set(threading.enumerate())
        endpoint = Endpoint(200, delay_s=20)
        with endpoint.server, PubSub() as pubsub:
            pubsub.add_topic("projects/p/topics/ttt")
            pubsub.add_subscription(
                "projects/p/subscriptions/sss", "projects/p/topics/ttt", push_endpoint=endpoint.server.url
            )
            pubsub.publish("projects/p/topics/ttt", b"data")
            endpoint.wait_for(1)
            started = time.monotonic()
        assert time.monotonic() - started < 5
        assert {thread for thread in threading.enumerate() if thread.is_alive()} <= before
