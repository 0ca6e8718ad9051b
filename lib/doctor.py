"""What the command `doctor` looks at beside Meta: that each secret, topic, subscription and table is there."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final

from lib import delivery_log, health_log
from lib.config import Config, QueueSettings
from lib.errors import ConfigurationError, SecretUnavailableError
from lib.health_checks import Finding
from lib.health_faults import Status
from lib.health_flow import HealthFlow
from lib.ports import Secrets

_TIMEOUT_S: Final = 15.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Clients:
    """What makes the official clients, each on first use."""

    publisher: Callable[[], Any]
    subscriber: Callable[[], Any]
    bigquery: Callable[[], Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Doctor:
    """Looks at a deployment; changes nothing."""

    config: Config
    secrets: Secrets
    clients: Clients
    health: HealthFlow

    def findings(self) -> Iterator[Finding]:
        """Yield a finding for each thing that is looked at, as soon as it is known; Meta comes last."""
        yield from self._secrets()
        if self.config.queue is not None:
            yield from self._queue(self.config.queue)
        if self.config.segments is not None and self.config.segments.topic is not None:
            yield from self._gathering(self.config.segments.topic, self.config.segments.subscription)
        yield from self._tables()
        # A secret that cannot be read is told above.
        yield from (finding for finding in self.health.findings() if finding.reason != "secret_unreadable")

    def _secrets(self) -> Iterator[Finding]:
        for name in secret_names(self.config):
            try:
                self.secrets.access(name, refresh=True)
            except ConfigurationError as error:
                status: Status = "unknown" if isinstance(error, SecretUnavailableError) else "error"
                yield _fault("secret", name, status, error.message, error.action)
            else:
                yield Finding(kind="secret", subject=name)

    def _queue(self, queue: QueueSettings) -> Iterator[Finding]:
        yield from self._topic(
            queue.topic, "nobody takes what is published to it", "Apply Terraform, which makes deliver's subscription."
        )
        yield from self._topic(
            queue.dead_letter_topic,
            "it has no subscription, so that dead letters are lost",
            "Apply Terraform, which makes the subscription that keeps them.",
        )
        if queue.dead_letter_subscription is not None:
            yield self._subscription(queue.dead_letter_subscription, queue.dead_letter_topic)

    def _gathering(self, topic: str, subscription: str | None) -> Iterator[Finding]:
        yield from self._topic(
            topic, "nobody takes the changes that are gathered", "Apply Terraform, which makes their subscription."
        )
        if subscription is not None:
            yield self._subscription(subscription, topic)

    def _topic(self, topic: str, without: str, action: str) -> Iterator[Finding]:
        """Look at a topic, and whether anybody has subscribed to it; *without* says what it means that nobody has."""
        try:
            self.clients.publisher().get_topic(topic=topic, timeout=_TIMEOUT_S, retry=None)
            listed = self.clients.subscriber().list_subscriptions(
                project="/".join(topic.split("/")[:2]), timeout=_TIMEOUT_S, retry=None
            )
            subscribed = any(subscription.topic == topic for subscription in listed)
        except Exception as error:  # noqa: BLE001 - the client raises whatever its transport does
            yield _of_client("queue", topic, error, "roles/pubsub.viewer")
        else:
            yield (
                Finding(kind="queue", subject=topic) if subscribed else _fault("queue", topic, "error", without, action)
            )

    def _subscription(self, name: str, topic: str) -> Finding:
        try:
            found = self.clients.subscriber().get_subscription(subscription=name, timeout=_TIMEOUT_S, retry=None)
        except Exception as error:  # noqa: BLE001 - as above
            return _of_client("queue", name, error, "roles/pubsub.viewer")
        if found.topic == topic:
            return Finding(kind="queue", subject=name)
        action = f"Name the subscription to {topic} in its place."
        return _fault("queue", name, "error", "it is a subscription to another topic", action)

    def _tables(self) -> Iterator[Finding]:
        for table, columns in (
            (self.config.delivery_log, delivery_log.columns()),
            (self.config.health_log, health_log.columns()),
        ):
            if table is not None:
                yield self._table(table, columns)

    def _table(self, table: str, columns: frozenset[str]) -> Finding:
        try:
            found = self.clients.bigquery().get_table(table, timeout=_TIMEOUT_S, retry=None)
        except Exception as error:  # noqa: BLE001 - as above
            return _of_client("table", table, error, "roles/bigquery.metadataViewer")
        if missing := sorted(columns - {column.name for column in found.schema}):
            message = "it lacks the columns " + ", ".join(missing)
            return _fault("table", table, "error", message, "Apply Terraform of this release, which adds them.")
        return Finding(kind="table", subject=table)


def secret_names(config: Config) -> list[str]:
    """Return the names of all secrets that *config* names, each once."""
    named: list[str | None] = []
    for connection in config.connections.values():
        named += [connection.access_token, connection.app_secret]
    for caller in (config.callers or {}).values():
        named += caller.keys
    named.append(config.event_enhancement_key)
    if config.identity is not None:
        named += [config.identity.key, config.identity.omni.access_token if config.identity.omni else None]
    return [name for name in dict.fromkeys(named) if name]


def _fault(kind: str, subject: str, status: Status, message: str, action: str | None) -> Finding:
    return Finding(kind=kind, subject=subject, status=status, message=message, action=action)


def _of_client(kind: str, subject: str, error: Exception, role: str) -> Finding:
    """Return what a refusal of Google's means: not there, not for these eyes, or not now."""
    code = getattr(error, "code", None)
    if code == 404:
        return _fault(kind, subject, "error", "it is not there", "Apply Terraform, or correct its name.")
    if code == 403:
        return _fault(kind, subject, "unknown", "you may not look at it", f"Ask for {role} on it.")
    message = f"no answer ({type(error).__name__})"
    return _fault(kind, subject, "unknown", message, "See that you are logged in and that Google Cloud can be reached.")
