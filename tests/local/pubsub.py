"""
A local stand-in for Google Pub/Sub that the official clients reach through PUBSUB_EMULATOR_HOST.

It speaks gRPC with Google's own message types. The rules are those of cloud.google.com/pubsub/docs (push,
handling-failures, ordering, quotas); the texts of errors are those of Google's emulator. What it does not
do it refuses: filters, other kinds of export, exactly-once delivery.
"""

import base64
import contextlib
import functools
import http.client
import itertools
import math
import re
import socket
import threading
import time
from collections import defaultdict, deque
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, Final, NoReturn, Self
from urllib.parse import urlsplit

import grpc
import orjson
from google.pubsub_v1 import types

from tests.local.http_server import LOOPBACK
from tests.local.pubsub_backlog import Backlog, Delivery, Message

# cloud.google.com/pubsub/quotas, "Resource limits"
MAX_MESSAGE_BYTES: Final = 10_000_000
MAX_MESSAGES: Final = 1000
MAX_ATTRIBUTES: Final = 100
MAX_ATTRIBUTE_KEY_BYTES: Final = 256
MAX_ATTRIBUTE_VALUE_BYTES: Final = 1024
# "A push endpoint acknowledges with 102, 200, 201, 202 or 204" (pubsub/docs/push)
ACKNOWLEDGING: Final = frozenset([102, 200, 201, 202, 204])
# "push backoff ... between 100 milliseconds and 60 seconds" without a retry policy (pubsub/docs/push)
PUSH_BACKOFF_S: Final = (0.1, 60.0)
# "default value: 10 s, 600 s" of a retry policy (pubsub/docs/reference/rest RetryPolicy)
POLICY_BACKOFF_S: Final = (10.0, 600.0)
MINIMUM_ATTEMPTS: Final = 5
PULL_WAIT_S: Final = 0.2
POLL_S: Final = 0.1
WORKERS: Final = 64
DELETED_TOPIC: Final = "_deleted-topic_"
RESOURCE: Final = re.compile(r"projects/[^/]+/(topics|subscriptions)/[A-Za-z][A-Za-z0-9._~%+-]{2,254}")
ACK_ID: Final = re.compile(r"ack-\d+-\d+")
OPTIONS: Final = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]


class RefusedError(Exception):
    """A call that is refused with a gRPC status."""

    def __init__(self, code: Any, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


@dataclass(slots=True)
class Subscription:
    """One subscription: its definition as Google's message, and what it still has to deliver."""

    definition: Any
    backlog: Backlog
    deleted: bool = False

    @property
    def endpoint(self) -> str:
        """Where its messages are pushed, or an empty text."""
        return str(self.definition.push_config.push_endpoint)

    @property
    def counts_attempts(self) -> bool:
        """Tell whether deliveries state their attempt: only with a dead-letter policy (pubsub/docs)."""
        return bool(self.definition.dead_letter_policy.dead_letter_topic)


@dataclass(slots=True)
class _State:
    topics: dict[str, Any] = field(default_factory=dict)
    subscriptions: dict[str, Subscription] = field(default_factory=dict)
    messages: dict[str, list[Message]] = field(default_factory=lambda: defaultdict(list))
    failures: dict[str, deque[Any]] = field(default_factory=lambda: defaultdict(deque))


class PubSub:
    """
    Pub/Sub on loopback; topics and subscriptions go by their full names, `projects/p/topics/t`.

    *backoff_scale* and *ack_deadline_scale* shorten the waits that Google makes: 0.001 turns 10 s into 10 ms.
    *push_workers* messages of a subscription are pushed at the same time.
    """

    def __init__(
        self,
        *,
        port: int = 0,
        backoff_scale: float = 1.0,
        ack_deadline_scale: float = 1.0,
        push_workers: int = 4,
    ) -> None:
        self._backoff_scale = backoff_scale
        self._ack_deadline_scale = ack_deadline_scale
        self._push_workers = push_workers
        self._changed = threading.Condition(threading.RLock())
        self._closing = threading.Event()
        self._state = _State()
        self._serial = itertools.count(1)
        self._threads: list[threading.Thread] = []
        self._pushes: set[http.client.HTTPConnection] = set()
        self._executor = ThreadPoolExecutor(WORKERS, thread_name_prefix="pubsub")
        self._server = grpc.server(self._executor, handlers=_handlers(self), options=OPTIONS)
        self.port: int = self._server.add_insecure_port(f"{LOOPBACK}:{port}")

    @property
    def address(self) -> str:
        """The value for PUBSUB_EMULATOR_HOST."""
        return f"{LOOPBACK}:{self.port}"

    def __enter__(self) -> Self:
        self._server.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop pushing and answering, and wait for the threads."""
        self._closing.set()
        with self._changed:
            self._changed.notify_all()
            for connection in self._pushes:
                _hang_up(connection)
        self._server.stop(grace=None).wait()
        self._executor.shutdown()
        for thread in self._threads:
            thread.join(5)

    # What a test arranges and looks at.

    def add_topic(self, topic: str) -> None:
        """Create a topic."""
        self._create_topic(types.Topic.pb()(name=topic))

    def add_subscription(
        self,
        subscription: str,
        topic: str,
        *,
        push_endpoint: str = "",
        dead_letter_topic: str = "",
        max_delivery_attempts: int = 5,
        ordering: bool = False,
        ack_deadline_s: int = 10,
        minimum_backoff_s: int | None = None,
        maximum_backoff_s: int | None = None,
    ) -> None:
        """Create a subscription; a backoff makes its retry policy."""
        definition = types.Subscription.pb()(
            name=subscription,
            topic=topic,
            ack_deadline_seconds=ack_deadline_s,
            enable_message_ordering=ordering,
        )
        definition.push_config.push_endpoint = push_endpoint
        if dead_letter_topic:
            definition.dead_letter_policy.dead_letter_topic = dead_letter_topic
            definition.dead_letter_policy.max_delivery_attempts = max_delivery_attempts
        if minimum_backoff_s is not None:
            definition.retry_policy.minimum_backoff.seconds = minimum_backoff_s
        if maximum_backoff_s is not None:
            definition.retry_policy.maximum_backoff.seconds = maximum_backoff_s
        self._create_subscription(definition)

    def publish(
        self, topic: str, data: bytes, *, ordering_key: str = "", attributes: Mapping[str, str] | None = None
    ) -> str:
        """Publish one message without a client, and return its id."""
        message = types.PubsubMessage.pb()(data=data, ordering_key=ordering_key, attributes=attributes or {})
        answer = self._publish(types.PublishRequest.pb()(topic=topic, messages=[message]))
        return str(answer.message_ids[0])

    def messages(self, topic: str) -> list[Message]:
        """Return all that was ever published to *topic*."""
        with self._changed:
            return list(self._state.messages[topic])

    def outstanding(self, subscription: str) -> int:
        """Return how many messages of *subscription* are not acknowledged."""
        with self._changed:
            return len(self._state.subscriptions[subscription].backlog)

    def wait_idle(self, timeout: float = 10.0, subscription: str = "") -> bool:
        """Wait until *subscription*, or every push subscription, has nothing left; False when time is up."""
        with self._changed:
            return self._changed.wait_for(lambda: self._is_idle(subscription), timeout)

    def _is_idle(self, name: str) -> bool:
        if name:
            return not len(self._state.subscriptions[name].backlog)
        return not any(each.endpoint and len(each.backlog) for each in self._state.subscriptions.values())

    def fail_publish(self, topic: str, times: int = 1, code: Any = grpc.StatusCode.UNAVAILABLE) -> None:
        """Refuse the next *times* calls that publish to *topic* with *code*."""
        with self._changed:
            self._state.failures[topic].extend([code] * times)

    # Publisher.

    def _create_topic(self, request: Any) -> Any:
        with self._changed:
            _check_name(request.name, "topics")
            if request.name in self._state.topics:
                raise RefusedError(grpc.StatusCode.ALREADY_EXISTS, "Topic already exists")
            self._state.topics[request.name] = request
            return request

    def _get_topic(self, request: Any) -> Any:
        with self._changed:
            return self._topic(request.topic)

    def _list_topics(self, request: Any) -> Any:
        with self._changed:
            prefix = f"{request.project}/topics/"
            found = [topic for name, topic in self._state.topics.items() if name.startswith(prefix)]
            return types.ListTopicsResponse.pb()(topics=found)

    def _delete_topic(self, request: Any) -> None:
        with self._changed:
            self._topic(request.topic)
            del self._state.topics[request.topic]
            for subscription in self._state.subscriptions.values():
                if subscription.definition.topic == request.topic:
                    subscription.definition.topic = DELETED_TOPIC

    def _publish(self, request: Any) -> Any:
        with self._changed:
            if failures := self._state.failures[request.topic]:
                raise RefusedError(failures.popleft(), "A failure that a test ordered")
            self._topic(request.topic)
            _check_messages(request.messages)
            ids = [
                self._accept(request.topic, each.data, dict(each.attributes), each.ordering_key)
                for each in request.messages
            ]
            return types.PublishResponse.pb()(message_ids=ids)

    def _accept(self, topic: str, data: bytes, attributes: Mapping[str, str], ordering_key: str) -> str:
        published = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        message = Message(data, attributes, str(next(self._serial)), ordering_key, published)
        self._state.messages[topic].append(message)
        for subscription in self._state.subscriptions.values():
            if subscription.definition.topic == topic:
                subscription.backlog.put(message)
        self._changed.notify_all()
        return message.message_id

    def _topic(self, name: str) -> Any:
        if name not in self._state.topics:
            raise RefusedError(grpc.StatusCode.NOT_FOUND, "Topic not found")
        return self._state.topics[name]

    # Subscriber.

    def _create_subscription(self, request: Any) -> Any:
        with self._changed:
            self._check_subscription(request)
            request.ack_deadline_seconds = request.ack_deadline_seconds or 10
            backlog = Backlog(
                ordered=request.enable_message_ordering,
                backoff=functools.partial(self._backoff, request),
                give_up=functools.partial(self._give_up, request),
            )
            subscription = Subscription(request, backlog)
            self._state.subscriptions[request.name] = subscription
        for _ in range(self._push_workers if subscription.endpoint else 0):
            self._start(self._push_all, subscription)
        return request

    def _check_subscription(self, request: Any) -> None:
        _check_name(request.name, "subscriptions")
        if request.name in self._state.subscriptions:
            raise RefusedError(grpc.StatusCode.ALREADY_EXISTS, "Subscription already exists")
        if request.topic not in self._state.topics:
            raise RefusedError(grpc.StatusCode.NOT_FOUND, "Subscription topic does not exist")
        _check_policies(request)
        dead_letter_topic = request.dead_letter_policy.dead_letter_topic
        if dead_letter_topic and dead_letter_topic not in self._state.topics:
            raise RefusedError(grpc.StatusCode.NOT_FOUND, "Dead letter topic not found")

    def _get_subscription(self, request: Any) -> Any:
        with self._changed:
            return self._subscription(request.subscription).definition

    def _list_subscriptions(self, request: Any) -> Any:
        with self._changed:
            prefix = f"{request.project}/subscriptions/"
            found = [each.definition for name, each in self._state.subscriptions.items() if name.startswith(prefix)]
            return types.ListSubscriptionsResponse.pb()(subscriptions=found)

    def _delete_subscription(self, request: Any) -> None:
        with self._changed:
            self._subscription(request.subscription).deleted = True
            del self._state.subscriptions[request.subscription]
            self._changed.notify_all()

    def _pull(self, request: Any) -> Any:
        with self._changed:
            subscription = self._subscription(request.subscription)
            if request.max_messages < 1:
                raise _invalid("max_messages must be greater than 0")
            wait_s = 0 if request.return_immediately else PULL_WAIT_S
            taken = self._take(subscription, request.max_messages, self._lease_s(subscription), wait_s)
        return types.PullResponse.pb()(received_messages=[_received(subscription, each) for each in taken])

    def _acknowledge(self, request: Any) -> None:
        with self._changed:
            backlog = self._subscription(request.subscription).backlog
            _check_ack_ids(request.ack_ids)
            for ack_id in request.ack_ids:
                backlog.acknowledge(ack_id)
            self._changed.notify_all()

    def _modify_ack_deadline(self, request: Any) -> None:
        with self._changed:
            subscription = self._subscription(request.subscription)
            _check_ack_ids(request.ack_ids)
            if not 0 <= request.ack_deadline_seconds <= 600:
                raise _invalid("ack_deadline_seconds must be between 0 and 600")
            for ack_id in request.ack_ids:
                self._modify(subscription, ack_id, request.ack_deadline_seconds)
            self._changed.notify_all()

    def _modify(self, subscription: Subscription, ack_id: str, seconds: int) -> None:
        """Move a deadline; 0 hands the message back at once."""
        now = time.monotonic()
        if seconds:
            subscription.backlog.extend(ack_id, now + seconds * self._ack_deadline_scale)
        else:
            subscription.backlog.nack(ack_id, now)

    def _streaming_pull(self, requests: Iterator[Any], context: Any) -> Iterator[Any]:
        first = next(requests)
        with self._changed:
            subscription = self._subscription(first.subscription)
        reader = threading.Thread(target=self._read_stream, args=(subscription, requests), daemon=True)
        reader.start()
        lease_s = max(first.stream_ack_deadline_seconds, 10) * self._ack_deadline_scale
        limit = first.max_outstanding_messages or 1000
        held: list[str] = []
        try:
            while context.is_active() and not self._closing.is_set() and not subscription.deleted:
                with self._changed:
                    held = [ack_id for ack_id in held if subscription.backlog.holds(ack_id)]
                    taken = self._take(subscription, limit - len(held), lease_s, POLL_S)
                if taken:
                    held += [each.ack_id for each in taken]
                    received = [_received(subscription, each) for each in taken]
                    yield types.StreamingPullResponse.pb()(received_messages=received)
        finally:
            context.cancel()
            reader.join(5)

    def _read_stream(self, subscription: Subscription, requests: Iterator[Any]) -> None:
        with contextlib.suppress(grpc.RpcError, StopIteration, Exception):  # the stream ends as it likes
            for request in requests:
                with self._changed:
                    for ack_id in request.ack_ids:
                        subscription.backlog.acknowledge(ack_id)
                    pairs = zip(request.modify_deadline_ack_ids, request.modify_deadline_seconds, strict=True)
                    for ack_id, seconds in pairs:
                        self._modify(subscription, ack_id, seconds)
                    self._changed.notify_all()

    def _subscription(self, name: str) -> Subscription:
        if name not in self._state.subscriptions:
            raise RefusedError(grpc.StatusCode.NOT_FOUND, "Subscription does not exist")
        return self._state.subscriptions[name]

    # Delivery.

    def _lease_s(self, subscription: Subscription) -> float:
        return float(subscription.definition.ack_deadline_seconds) * self._ack_deadline_scale

    def _take(self, subscription: Subscription, limit: int, lease_s: float, wait_s: float = math.inf) -> list[Delivery]:
        """Wait up to *wait_s* for messages to hand out; empty also when the stand-in closes."""
        until = time.monotonic() + wait_s
        while not self._closing.is_set() and not subscription.deleted:
            now = time.monotonic()
            taken = subscription.backlog.take(limit, now, lease_s)
            if taken or now >= until:
                return taken
            due = min(until, subscription.backlog.due())
            self._changed.wait(None if due == math.inf else max(due - now, 0.001))
        return []

    def _backoff(self, definition: Any, attempt: int) -> float:
        """
        Return the seconds before the next delivery: exponential between minimum and maximum.

        Without a retry policy a push has Google's own backoff, and a pull none
        (pubsub/docs/handling-failures).
        """
        if definition.HasField("retry_policy"):
            policy = definition.retry_policy
            minimum, maximum = POLICY_BACKOFF_S
            if policy.HasField("minimum_backoff"):
                minimum = policy.minimum_backoff.ToNanoseconds() / 1e9
            if policy.HasField("maximum_backoff"):
                maximum = policy.maximum_backoff.ToNanoseconds() / 1e9
        elif definition.push_config.push_endpoint:
            minimum, maximum = PUSH_BACKOFF_S
        else:
            return 0.0
        return float(min(maximum, minimum * 2.0 ** min(attempt - 1, 30)) * self._backoff_scale)

    def _give_up(self, definition: Any, delivery: Delivery) -> bool:
        """Publish to the dead-letter topic after max_delivery_attempts (pubsub/docs/handling-failures)."""
        policy = definition.dead_letter_policy
        attempts = policy.max_delivery_attempts or MINIMUM_ATTEMPTS
        if policy.dead_letter_topic not in self._state.topics or delivery.attempt < attempts:
            return False
        _, project, _, subscription_id = definition.name.split("/")
        attributes = {
            **delivery.message.attributes,
            "CloudPubSubDeadLetterSourceDeliveryCount": str(delivery.attempt),
            "CloudPubSubDeadLetterSourceSubscription": subscription_id,
            "CloudPubSubDeadLetterSourceSubscriptionProject": project,
            "CloudPubSubDeadLetterSourceTopicPublishTime": delivery.message.publish_time,
        }
        message = delivery.message
        self._accept(policy.dead_letter_topic, message.data, attributes, message.ordering_key)
        return True

    def _start(self, target: Callable[..., None], *args: Any) -> None:
        thread = threading.Thread(target=target, args=args, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _push_all(self, subscription: Subscription) -> None:
        while True:
            with self._changed:
                taken = self._take(subscription, 1, math.inf)
            if not taken:
                return
            accepted = self._push(subscription, taken[0])
            with self._changed:
                if accepted:
                    subscription.backlog.acknowledge(taken[0].ack_id)
                else:
                    subscription.backlog.nack(taken[0].ack_id, time.monotonic())
                self._changed.notify_all()

    def _push(self, subscription: Subscription, delivery: Delivery) -> bool:
        """POST one message; tell whether the endpoint acknowledged it within the deadline."""
        url = urlsplit(subscription.endpoint)
        timeout = self._lease_s(subscription)
        connection = http.client.HTTPConnection(url.hostname or "", url.port or 80, timeout=timeout)
        body = orjson.dumps(_wrapper(subscription, delivery))
        headers = {"Content-Type": "application/json", "User-Agent": "CloudPubSub-Google"}
        with self._changed:
            self._pushes.add(connection)
        try:
            target = (url.path or "/") + (f"?{url.query}" if url.query else "")
            connection.request("POST", target, body, headers)
            return connection.getresponse().status in ACKNOWLEDGING
        except (OSError, http.client.HTTPException):
            return False
        finally:
            with self._changed:
                self._pushes.discard(connection)
            connection.close()


def _wrapper(subscription: Subscription, delivery: Delivery) -> dict[str, Any]:
    """Return the body of a push (pubsub/docs/push, "Receive push messages"); each id in both spellings."""
    message = delivery.message
    wrapped = {
        "attributes": dict(message.attributes),
        "data": base64.b64encode(message.data).decode(),
        "messageId": message.message_id,
        "message_id": message.message_id,
        "publishTime": message.publish_time,
        "publish_time": message.publish_time,
    }
    if message.ordering_key:
        wrapped["orderingKey"] = message.ordering_key
    wrapper = {"message": wrapped, "subscription": subscription.definition.name}
    if subscription.counts_attempts:
        wrapper["deliveryAttempt"] = delivery.attempt
    return wrapper


def _received(subscription: Subscription, delivery: Delivery) -> Any:
    message = delivery.message
    received = types.ReceivedMessage.pb()(ack_id=delivery.ack_id)
    received.message.data = message.data
    received.message.attributes.update(message.attributes)
    received.message.message_id = message.message_id
    received.message.ordering_key = message.ordering_key
    received.message.publish_time.FromJsonString(message.publish_time)
    if subscription.counts_attempts:
        received.delivery_attempt = delivery.attempt
    return received


def _hang_up(connection: http.client.HTTPConnection) -> None:
    if connection.sock is not None:
        with contextlib.suppress(OSError):
            connection.sock.shutdown(socket.SHUT_RDWR)


def _invalid(message: str) -> RefusedError:
    return RefusedError(grpc.StatusCode.INVALID_ARGUMENT, message)


def _check_name(name: str, kind: str) -> None:
    matched = RESOURCE.fullmatch(name)
    if matched is None or matched[1] != kind or name.rpartition("/")[2].startswith("goog"):
        raise _invalid(f"Invalid [{kind}] name: (name={name})")


def _check_messages(messages: Any) -> None:
    if not 1 <= len(messages) <= MAX_MESSAGES:
        raise _invalid(f"A publish takes 1 to {MAX_MESSAGES} messages")
    for message in messages:
        if not message.data and not message.attributes:
            raise _invalid("Some messages are empty")
        if message.ByteSize() > MAX_MESSAGE_BYTES:
            raise _invalid(f"The message is larger than {MAX_MESSAGE_BYTES} bytes")
        _check_attributes(message.attributes)


def _check_attributes(attributes: Mapping[str, str]) -> None:
    if len(attributes) > MAX_ATTRIBUTES:
        raise _invalid(f"The message has more than {MAX_ATTRIBUTES} attributes")
    for key, value in attributes.items():
        if not 1 <= len(key.encode()) <= MAX_ATTRIBUTE_KEY_BYTES:
            raise _invalid(f"An attribute's key has 1 to {MAX_ATTRIBUTE_KEY_BYTES} bytes")
        if len(value.encode()) > MAX_ATTRIBUTE_VALUE_BYTES:
            raise _invalid(f"An attribute's value has up to {MAX_ATTRIBUTE_VALUE_BYTES} bytes")


def _check_policies(request: Any) -> None:
    endpoint = request.push_config.push_endpoint
    if endpoint and not endpoint.startswith("http://"):
        raise _invalid("The stand-in pushes to http:// only")
    unsupported = ["bigquery_config", "cloud_storage_config", "bigtable_config"]
    if request.filter or request.enable_exactly_once_delivery or any(map(request.HasField, unsupported)):
        raise RefusedError(grpc.StatusCode.UNIMPLEMENTED, "The stand-in has no such subscription")
    if request.ack_deadline_seconds and not 10 <= request.ack_deadline_seconds <= 600:
        raise _invalid("ack_deadline_seconds must be between 10 and 600")
    attempts = request.dead_letter_policy.max_delivery_attempts
    if attempts and not MINIMUM_ATTEMPTS <= attempts <= 100:
        message = f"max_delivery_attempts must be between {MINIMUM_ATTEMPTS} and 100"
        raise RefusedError(grpc.StatusCode.OUT_OF_RANGE, message)


def _check_ack_ids(ack_ids: Any) -> None:
    for ack_id in ack_ids:
        if not ACK_ID.fullmatch(ack_id):
            raise _invalid(f"Invalid ack id (ack_id={ack_id})")


def _handlers(pubsub: PubSub) -> list[Any]:
    """Return the two services; each method reads Google's request type and answers with Google's."""
    publisher = {
        "CreateTopic": (pubsub._create_topic, types.Topic),
        "GetTopic": (pubsub._get_topic, types.GetTopicRequest),
        "ListTopics": (pubsub._list_topics, types.ListTopicsRequest),
        "DeleteTopic": (pubsub._delete_topic, types.DeleteTopicRequest),
        "Publish": (pubsub._publish, types.PublishRequest),
    }
    subscriber = {
        "CreateSubscription": (pubsub._create_subscription, types.Subscription),
        "GetSubscription": (pubsub._get_subscription, types.GetSubscriptionRequest),
        "ListSubscriptions": (pubsub._list_subscriptions, types.ListSubscriptionsRequest),
        "DeleteSubscription": (pubsub._delete_subscription, types.DeleteSubscriptionRequest),
        "Pull": (pubsub._pull, types.PullRequest),
        "Acknowledge": (pubsub._acknowledge, types.AcknowledgeRequest),
        "ModifyAckDeadline": (pubsub._modify_ack_deadline, types.ModifyAckDeadlineRequest),
    }
    streaming = grpc.stream_stream_rpc_method_handler(
        functools.partial(_stream, pubsub._streaming_pull),
        request_deserializer=types.StreamingPullRequest.pb().FromString,
        response_serializer=_serialize,
    )
    unary = {name: _unary(*method) for name, method in subscriber.items()}
    return [
        grpc.method_handlers_generic_handler(
            "google.pubsub.v1.Publisher", {name: _unary(*method) for name, method in publisher.items()}
        ),
        grpc.method_handlers_generic_handler("google.pubsub.v1.Subscriber", {**unary, "StreamingPull": streaming}),
    ]


def _unary(method: Callable[[Any], Any], request_type: Any) -> Any:
    return grpc.unary_unary_rpc_method_handler(
        functools.partial(_call, method),
        request_deserializer=request_type.pb().FromString,
        response_serializer=_serialize,
    )


def _call(method: Callable[[Any], Any], request: Any, context: Any) -> Any:
    try:
        return method(request) or _EMPTY
    except RefusedError as error:
        _abort(context, error)


def _stream(method: Callable[[Any, Any], Iterator[Any]], requests: Any, context: Any) -> Iterator[Any]:
    try:
        yield from method(requests, context)
    except RefusedError as error:
        _abort(context, error)


def _abort(context: Any, error: RefusedError) -> NoReturn:
    context.abort(error.code, error.message)
    raise error


_EMPTY: Final = types.PullResponse.pb()()  # on the wire the same as google.protobuf.Empty: nothing


def _serialize(message: Any) -> bytes:
    return bytes(message.SerializeToString())
