"""
The deep check of a deployment's health, from its questions to the health log, as a straight list of steps.

A round costs Meta for each connection at most four calls, one for each 20 audiences, and one for each of the 20
audiences whose last session is read.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from lib import delivery_log, graph_reads, health_checks, health_log
from lib.config import Connection
from lib.errors import ConfigurationError, InvalidAccessTokenError, RelayError
from lib.graph_answers import GraphAnswer
from lib.graph_api import GraphAPI
from lib.graph_reads import Reads
from lib.health_checks import Finding, found, of_error
from lib.health_log import EventKey, HealthLog
from lib.outcomes import rfc3339
from lib.sending import Origin, Outside
from lib.version import RELAY_VERSION

#: Audiences of an ad account whose last session is read: those with a fault, then those that changed last. Each costs
#: a call, of which an ad account may have 60 in five minutes (Marketing API, "Rate Limiting").
MAX_SESSIONS: Final = 20
#: Seconds after which nothing more is asked: Pub/Sub waits 600 for an answer, and what is known has to be written.
ROUND_S: Final = 240.0


@dataclass(frozen=True, slots=True, kw_only=True)
class HealthFlow:
    """
    What stays the same for all rounds.

    Args:
        probe_identity: Asks the endpoint of identity for an HTTP status; None where there is none.
    """

    outside: Outside
    health_log: HealthLog
    probe_identity: Callable[[], int | None] | None = None

    def run(self, origin: Origin) -> list[Finding]:
        """Make a round of checks, write what it has found, and return it."""
        findings = self.findings()
        self.health_log.insert([_row(finding, origin, self.outside.clock.now()) for finding in findings])
        return findings

    def findings(self) -> list[Finding]:
        """Make a round of checks; connections side by side."""
        before, unread = self._before()
        reads = _ReadsInTime(self.outside.graph_api, self.outside.clock.monotonic() + ROUND_S)
        checks: list[Callable[[], list[Finding]]] = [
            _ConnectionCheck(self.outside, connection, reads, before).findings
            for connection in self.outside.connections.values()
        ]
        checks.append(self._identity)
        return [*unread, *(finding for part in self.outside.side_by_side(checks) for finding in part)]

    def _before(self) -> tuple[Mapping[EventKey, float], list[Finding]]:
        """Return the match quality of the week before, and why nobody can tell."""
        history = self.health_log.history
        measured = any(connection.dataset_id for connection in self.outside.connections.values())
        if history is None or not measured:
            return {}, []
        try:
            return history.match_quality(self.outside.clock.now()), []
        except ConfigurationError as error:
            return {}, [found("match_quality_trend", "history_unreadable", message=error.message)]

    def _identity(self) -> list[Finding]:
        if self.probe_identity is None:
            return []
        try:
            return [health_checks.identity_finding(self.probe_identity())]
        except RelayError as error:
            return [of_error("identity", error)]


@dataclass(frozen=True, slots=True)
class _ReadsInTime:
    """Reads of Meta until *deadline*, in the clock's monotonic seconds; what comes later has no answer."""

    graph_api: GraphAPI
    deadline: float

    def read(self, path: str, parameters: Mapping[str, str], connection: Connection) -> GraphAnswer:
        return self.graph_api.read(path, parameters, connection, deadline=self.deadline)


@dataclass(frozen=True, slots=True)
class _ConnectionCheck:
    """
    The checks of one connection.

    Args:
        before: The match quality of the week before.
    """

    outside: Outside
    connection: Connection
    reads: Reads
    before: Mapping[EventKey, float]

    def findings(self) -> list[Finding]:
        connection = self.connection
        token, usable = self._token()
        findings = list(token)
        if usable and connection.ad_account_id:
            findings += self._account(connection.ad_account_id)
        if usable and connection.dataset_id:
            findings += self._dataset(connection.dataset_id)
        return [replace(finding, connection=connection.name) for finding in findings]

    def _token(self) -> tuple[list[Finding], bool]:
        """Return what is to be said of the token, and whether anything more can be asked with it."""
        findings = []
        if self.connection.app_id and self.connection.app_secret:
            findings = self._inspected()
            if not {finding.reason for finding in findings} & _SAYS_NOTHING_OF_THE_TOKEN:
                return findings, all(finding.reason not in _ENDS_IT for finding in findings)
        try:
            self._use()
        except RelayError as error:
            return findings or [of_error("token", error)], False
        return findings or [found("token", None)], True

    def _inspected(self) -> list[Finding]:
        try:
            answer = self.outside.graph_api.debug_token(self.connection).body
        except RelayError as error:
            return [health_checks.app_finding(error)]
        now = self.outside.clock.now()
        needs_audiences = self.connection.ad_account_id is not None
        return health_checks.token_findings(answer, now=now, needs_audiences=needs_audiences)

    def _use(self) -> None:
        """Use the token; of one that may not read its own user, the dataset tells whether it is any good."""
        try:
            graph_reads.read_me(self.reads, self.connection)
        except InvalidAccessTokenError:
            raise
        except RelayError:
            if not self.connection.dataset_id:
                raise
            graph_reads.read_dataset(self.reads, self.connection)

    def _account(self, account_id: str) -> Iterator[Finding]:
        """Yield what is to be said of the account, and, where that can be read at all, of its audiences."""
        try:
            answer = graph_reads.read_account(self.reads, self.connection)
        except RelayError as error:
            yield of_error("ad_account", error, subject=account_id)
            return
        yield from health_checks.account_findings(answer, account_id)
        yield from self._audiences(account_id)

    def _audiences(self, account_id: str) -> Iterator[Finding]:
        try:
            views = list(graph_reads.list_audiences(self.reads, self.connection))
        except RelayError as error:
            yield of_error("audience", error, subject=account_id)
            return
        sessions = dict(self._sessions(views))
        yield from (health_checks.audience_finding(view, sessions.get(str(view.get("id")))) for view in views)

    def _sessions(self, views: Iterable[Mapping[str, Any]]) -> Iterator[tuple[str, Mapping[str, Any] | None]]:
        """Yield the last sessions of the audiences that deserve the call; one that cannot be read is left out."""
        for view in sorted(views, key=_urgency, reverse=True)[:MAX_SESSIONS]:
            audience_id = str(view.get("id"))
            try:
                yield audience_id, graph_reads.last_session(self.reads, self.connection, audience_id)
            except RelayError:
                continue

    def _dataset(self, dataset_id: str) -> Iterator[Finding]:
        """Yield what is to be said of the dataset, and, where that can be read at all, of its events."""
        try:
            answer = graph_reads.read_dataset(self.reads, self.connection)
        except RelayError as error:
            yield of_error("dataset", error, subject=dataset_id)
            return
        yield health_checks.dataset_finding(answer, dataset_id)
        yield from self._quality(dataset_id)

    def _quality(self, dataset_id: str) -> list[Finding]:
        try:
            answer = graph_reads.read_quality(self.reads, self.connection)
        except RelayError as error:
            return [health_checks.quality_error(error, dataset_id)]
        known = (self.connection.name, dataset_id)
        before = {key[2]: mean for key, mean in self.before.items() if key[:2] == known}
        return list(health_checks.quality_findings(answer, dataset_id, before))


#: Faults that leave open whether the token itself is any good.
_SAYS_NOTHING_OF_THE_TOKEN: Final = frozenset({"app_refused", "token_of_another_app", "throttled", "not_answered"})
#: Faults beside which each further question would only be refused.
_ENDS_IT: Final = frozenset({"token_invalid", "secret_unreadable"})


def _urgency(view: Mapping[str, Any]) -> tuple[bool, int]:
    changed = view.get("time_content_updated")
    return health_checks.operation_fault(view) is not None, changed if isinstance(changed, int) else 0


def _row(finding: Finding, origin: Origin, now: float) -> dict[str, object]:
    columns = finding.columns()
    identity = (columns[name] for name in ("kind", "connection", "subject", "event_name", "reason"))
    return health_log.row(
        row_id=delivery_log.row_id(origin.request_id, *identity),
        logged_at=rfc3339(now),
        trace_id=origin.trace_id,
        relay_version=RELAY_VERSION,
        **columns,
    )
