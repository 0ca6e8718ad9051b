"""A client of an Omni identity service: within its time, over connections that are kept, each answer for a while."""

from __future__ import annotations

import hmac
from collections import OrderedDict
from collections.abc import Collection
from dataclasses import dataclass, field
from hashlib import sha256
from threading import Lock
from typing import Final

from lib.breaker import Breaker
from lib.errors import (
    GraphAPIUnreachableError,
    IdentityMismatchError,
    IdentityRefusedError,
    IdentityUnreachableError,
    RelayError,
)
from lib.identity import Identifiers, Identity
from lib.identity_settings import OmniSettings
from lib.normalization import Settings
from lib.omni_protocol import SCOPE, SOURCE, pause_s, read_answer, request_body
from lib.ports import Clock, Reply, Secrets, Transport

#: Answers that are remembered.
_MOST: Final = 10_000
#: With less time than this left, a call would only be cut off.
_SHORTEST_CALL_S: Final = 0.01


@dataclass(slots=True, kw_only=True)
class OmniIdentity:
    """
    The service of one configuration.

    Args:
        with_journal: Whether the person's clicks are wanted.
        cache_key: Hashes what was asked, so that no identifier rests in the cache.
    """

    settings: OmniSettings
    timeout_s: float
    with_journal: bool
    transport: Transport
    secrets: Secrets
    clock: Clock
    breaker: Breaker
    cache_key: bytes = field(repr=False)
    source: str = SOURCE
    forgets: bool = False
    waits: bool = True
    _answers: OrderedDict[bytes, tuple[float, Identity]] = field(default_factory=OrderedDict, repr=False)
    _lock: Lock = field(default_factory=Lock, repr=False)

    def resolve(self, identifiers: Identifiers, *, reading: Settings, deadline: float) -> Identity:
        """Return whom the service knows; see `lib.recognition.Resolver`."""
        body = request_body(identifiers, self.settings.send, with_journal=self.with_journal)
        if body is None:
            return Identity(source=SOURCE, outcome="miss")
        asked = hmac.digest(self.cache_key, body, sha256)
        if (known := self._known(asked)) is not None:
            return known
        if not self.breaker.lets_through():
            raise IdentityUnreachableError("the identity service has failed too often and is left alone", scope=SCOPE)
        identity = self._ask(body, identifiers, reading, deadline)
        self._keep(asked, identity)
        return identity

    def learn(self, identifiers: Identifiers, identity: Identity, **_: object) -> None:
        """Do nothing: the service learns from what it is asked."""

    def keys(self, identifiers: Identifiers) -> tuple[str, ...]:
        """Return nothing: the service keeps people in its own way."""
        del identifiers
        return ()

    def forget(self, keys: Collection[str], *, deadline: float) -> frozenset[str]:
        """Forget all answers, since nobody can tell any longer which of them are about this person."""
        del keys, deadline
        with self._lock:
            self._answers.clear()
        return frozenset()

    def _ask(self, body: bytes, identifiers: Identifiers, reading: Settings, deadline: float) -> Identity:
        try:
            reply = self._reply(body, deadline)
            identity = read_answer(reply.status, reply.body, identifiers, reading)
        except RelayError as error:
            # A request that is refused, or somebody with two e-mails, says nothing of the next; a token does.
            is_about_one = isinstance(error, IdentityRefusedError | IdentityMismatchError) and error.action is None
            (self.breaker.succeeded if is_about_one else self.breaker.failed)()
            raise
        self.breaker.succeeded()
        if pause := pause_s(reply.headers, now=self.clock.now()):
            self.breaker.rest(pause)
        return identity

    def _reply(self, body: bytes, deadline: float) -> Reply:
        token = self.secrets.access(self.settings.access_token)
        reply = self._post(body, token, deadline)
        if reply.status == 401 and (renewed := self.secrets.access(self.settings.access_token, refresh=True)) != token:
            reply = self._post(body, renewed, deadline)
        return reply

    def _post(self, body: bytes, token: bytes, deadline: float) -> Reply:
        left = min(self.timeout_s, deadline - self.clock.monotonic())
        if left < _SHORTEST_CALL_S:
            raise IdentityUnreachableError("no time is left to ask the identity service", scope=SCOPE)
        try:
            return self.transport(
                "POST",
                self.settings.endpoint,
                headers={
                    "Authorization": f"Bearer {token.strip().decode('latin-1')}",
                    "Content-Type": "application/json",
                },
                body=body,
                timeout=left,
            )
        except GraphAPIUnreachableError as error:
            # The transport knows of Meta alone.
            raise IdentityUnreachableError(error.message.replace("Meta", "the identity service"), scope=SCOPE) from None

    def _known(self, asked: bytes) -> Identity | None:
        with self._lock:
            expires, identity = self._answers.get(asked, (0.0, None))
            if identity is not None and expires <= self.clock.monotonic():
                del self._answers[asked]
                return None
            return identity

    def _keep(self, asked: bytes, identity: Identity) -> None:
        if self.settings.cache_s <= 0:
            return
        with self._lock:
            self._answers[asked] = (self.clock.monotonic() + self.settings.cache_s, identity)
            while len(self._answers) > _MOST:
                self._answers.popitem(last=False)
