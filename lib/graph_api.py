"""Calls to Meta: credentials put on, tried again where that can help, and a throttled account left alone."""

from __future__ import annotations

import hmac
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from threading import Lock
from typing import Final
from urllib.parse import urlencode

import orjson

from lib.config import Connection, GraphAPISettings
from lib.errors import (
    ConfigurationError,
    GraphAPIUnreachableError,
    InvalidAccessTokenError,
    RateLimitError,
    RelayError,
    Retry,
)
from lib.graph_answers import GraphAnswer, decipher_response
from lib.graph_request import GraphRequest
from lib.ports import Chance, Clock, Secrets, Transport

#: Tries of one call in one invocation; Pub/Sub does the rest.
_ATTEMPTS: Final = 3
#: What can stand in a header.
_TOKEN: Final = re.compile(rb"[!-~]+")
#: With less time than this left, a call would only be cut off.
_SHORTEST_CALL: Final = 0.05


def backoff(attempt: int, *, jitter: float) -> float:
    """
    Return the seconds to wait before try *attempt* + 1, where *attempt* counts from 1.

    min(2, 0.2 * 2 ** (*attempt* - 1)), of which *jitter*, from 0 to 1, takes away up to half, so that many callers
    do not come back at the same moment.
    """
    return float(min(2.0, 0.2 * 2 ** (attempt - 1)) * (1 - jitter / 2))


@dataclass(frozen=True, slots=True)
class _Credentials:
    """What a call is made with."""

    token: str = field(repr=False)
    app_secret: str | None = field(repr=False)

    def proof(self) -> dict[str, str]:
        """Return the parameter that proves the app secret, where there is one."""
        if self.app_secret is None:
            return {}
        # -- https://developers.facebook.com/docs/graph-api/guides/secure-requests
        return {"appsecret_proof": hmac.new(self.app_secret.encode(), self.token.encode(), sha256).hexdigest()}


@dataclass(frozen=True, slots=True)
class _Call:
    """A call before it has credentials; *path* below the version."""

    method: str
    path: str
    parameters: Mapping[str, str] = field(default_factory=dict, repr=False)
    body: bytes = field(default=b"", repr=False)

    def url(self, settings: GraphAPISettings, credentials: _Credentials) -> str:
        query = urlencode({**self.parameters, **credentials.proof()})
        return f"{settings.url}/{settings.version}/{self.path}" + (f"?{query}" if query else "")


@dataclass(slots=True)
class GraphAPI:
    """
    The client of Meta's Graph API.

    Args:
        settings: Where Meta is.
        transport: Makes one call.
        secrets: Gives tokens and app secrets.
    """

    settings: GraphAPISettings
    transport: Transport
    secrets: Secrets
    clock: Clock
    chance: Chance
    _throttled: dict[str, float] = field(default_factory=dict, repr=False)
    _lock: Lock = field(default_factory=Lock, repr=False)

    def send(self, request: GraphRequest, connection: Connection, *, deadline: float | None = None) -> GraphAnswer:
        """
        Make the call, again where that can help and time is left.

        Args:
            deadline: In the clock's monotonic seconds; None for no other limit than the tries.

        Raises:
            RelayError: Of the last try; its `retry` says whether another can help.
        """
        call = _Call(request.method, request.path, body=request.body_bytes())
        return self._repeat(call, connection, self._credentials(connection), deadline=deadline)

    def change(
        self,
        method: str,
        path: str,
        body: Mapping[str, object] | None,
        connection: Connection,
        *,
        attempts: int = _ATTEMPTS,
        deadline: float | None = None,
    ) -> GraphAnswer:
        """
        Make, describe or delete what is no person's; the rest as `send`.

        Args:
            attempts: Tries at most; 1 for what must not be done twice where an answer is lost.
        """
        call = _Call(method, path, body=b"" if body is None else orjson.dumps(body))
        return self._repeat(call, connection, self._credentials(connection), deadline=deadline, attempts=attempts)

    def read(
        self, path: str, parameters: Mapping[str, str], connection: Connection, *, deadline: float | None = None
    ) -> GraphAnswer:
        """Return what is there, read with *parameters* such as `fields`; the rest as `send`."""
        call = _Call("GET", path, parameters)
        return self._repeat(call, connection, self._credentials(connection), deadline=deadline)

    def debug_token(self, connection: Connection) -> GraphAnswer:
        """
        Return what Meta says of the connection's token to its app, which has to be configured with its secret.

        The one call that has a token in its address, so that it must never be logged; the app's own, which is its id
        and its secret, stands in the header as ever. Both secrets are read anew.
        -- https://developers.facebook.com/docs/graph-api/reference/debug_token

        Raises:
            RelayError: As `send`; InvalidAccessTokenError is about the app.
        """
        checked = self._credentials(connection, refresh=True)
        app = _Credentials(f"{connection.app_id}|{checked.app_secret}", checked.app_secret)
        call = _Call("GET", "debug_token", {"input_token": checked.token})
        return self._repeat(call, connection, app, renewed=True)

    def _repeat(
        self,
        call: _Call,
        connection: Connection,
        credentials: _Credentials,
        *,
        deadline: float | None = None,
        renewed: bool = False,
        attempts: int = _ATTEMPTS,
    ) -> GraphAnswer:
        """Make *call* until it succeeds or cannot; *renewed* credentials are not read a second time."""
        attempt = 1
        while True:
            try:
                return self._try(call, connection, credentials, deadline)
            except InvalidAccessTokenError:
                # Compared with those of this call: another thread may have read the new ones meanwhile.
                if renewed:
                    raise
                refused, credentials = credentials, self._credentials(connection, refresh=True)
                if credentials == refused:
                    raise
                renewed = True
            except RateLimitError as error:
                self._leave_alone(connection, error.retry_after)
                raise
            except RelayError as error:
                wait = backoff(attempt, jitter=self.chance.jitter())
                if error.retry is not Retry.LATER or attempt >= attempts or self._left(deadline) <= wait:
                    raise
                self.clock.sleep(wait)
                attempt += 1

    def throttled_for(self, connection: Connection) -> float:
        """Return the seconds for which Meta has asked not to be called for this account; 0 if it may be."""
        with self._lock:
            return max(0.0, self._throttled.get(_account(connection), 0.0) - self.clock.monotonic())

    def _try(
        self, call: _Call, connection: Connection, credentials: _Credentials, deadline: float | None
    ) -> GraphAnswer:
        if wait := self.throttled_for(connection):
            error = RateLimitError(
                "the ad account is throttled",
                action="Nothing: the relay waits for the time that Meta has named.",
            )
            error.retry_after = wait
            raise error
        timeout = min(self.settings.timeout_s, self._left(deadline))
        if timeout < _SHORTEST_CALL:
            raise GraphAPIUnreachableError("no time is left for the call")
        reply = self.transport(
            call.method,
            call.url(self.settings, credentials),
            headers={"Authorization": f"Bearer {credentials.token}", "Content-Type": "application/json"},
            body=call.body,
            timeout=timeout,
        )
        answer = decipher_response(reply.status, reply.headers, reply.body)
        if answer.usage.regain_seconds > 0:
            self._leave_alone(connection, answer.usage.regain_seconds)
        return answer

    def _credentials(self, connection: Connection, *, refresh: bool = False) -> _Credentials:
        token = self._secret(connection.access_token, refresh=refresh)
        app_secret = connection.app_secret and self._secret(connection.app_secret, refresh=refresh)
        return _Credentials(token, app_secret)

    def _secret(self, name: str, *, refresh: bool) -> str:
        value = self.secrets.access(name, refresh=refresh).strip()
        if not _TOKEN.fullmatch(value):
            raise ConfigurationError(
                f"the secret {name} is empty, or holds more than the printable ASCII of a token",
                process="send",
                scope="Secret Manager",
                action="Add a version to the secret that holds the token alone.",
            )
        return value.decode()

    def _left(self, deadline: float | None) -> float:
        return float("inf") if deadline is None else deadline - self.clock.monotonic()

    def _leave_alone(self, connection: Connection, seconds: float) -> None:
        until = self.clock.monotonic() + seconds
        with self._lock:
            account = _account(connection)
            self._throttled[account] = max(until, self._throttled.get(account, 0.0))


def _account(connection: Connection) -> str:
    """Return what Meta counts calls for: the ad account, where the connection names one."""
    return connection.ad_account_id or connection.name
