"""
Who calls, and what that caller may do.

A key comes in `Authorization: Bearer` or `X-Relay-Key`, or signs the raw body with HMAC-SHA256 in `X-Relay-Signature`,
which the sandbox of server-side Google Tag Manager can do. Everything is compared in constant time; whatever is
wrong, the answer is the same.
"""

from __future__ import annotations

import hmac
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Final

from lib.errors import ForbiddenError, UnauthorizedError

#: Seconds by which a signature's timestamp may be off, either way.
_TOLERANCE: Final = 300
_SPACES: Final = " \t"
_TIMESTAMP = re.compile(r"\d{1,12}", re.ASCII)
_SIGNATURE = re.compile(r"[0-9A-Fa-f]{64}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Credentials:
    """What a request shows; headers' names in lower case."""

    keys: tuple[bytes, ...] = field(default=(), repr=False)
    timestamp: str | None = None
    signature: str | None = field(default=None, repr=False)

    @classmethod
    def from_headers(cls, headers: Mapping[str, str]) -> Credentials:
        """
        Read them; whatever is malformed is as good as absent.

        Both headers of a key count: where Cloud Run's IAM lets callers in, its own token takes `Authorization`.
        """
        scheme, _, bearer = headers.get("authorization", "").partition(" ")
        bearer = bearer.strip(_SPACES) if scheme.casefold() == "bearer" else ""
        keys = (bearer, headers.get("x-relay-key", "").strip(_SPACES))
        timestamp = headers.get("x-relay-timestamp", "").strip()
        signature = headers.get("x-relay-signature", "").strip()
        return cls(
            # WSGI hands over bytes as latin-1; what is beyond that is nobody's key.
            tuple(key.encode("latin-1") for key in keys if key and max(key) <= "\xff"),
            timestamp if _TIMESTAMP.fullmatch(timestamp) else None,
            signature.lower() if _SIGNATURE.fullmatch(signature) else None,
        )


def authenticate(credentials: Credentials, body: bytes, keys: Mapping[str, Iterable[bytes]], *, now: float) -> str:
    """
    Return the name of the caller whose key it is.

    Args:
        keys: Caller -> its current keys; two while one is being rotated. An empty key is nobody's.
        now: Unix seconds.

    Raises:
        UnauthorizedError: It is nobody's.
    """
    found = None
    for caller, current in keys.items():
        for key in current:
            # No way out before the end: how long it takes must not tell which key was near.
            if key.strip() and _shows(credentials, body, key, now=now):
                found = found or caller
    if found is None:
        raise UnauthorizedError("unauthorized")
    return found


def _shows(credentials: Credentials, body: bytes, key: bytes, *, now: float) -> bool:
    shown = [hmac.compare_digest(one, key.strip()) for one in credentials.keys]
    return any(shown) or _signs(credentials, body, key, now=now)


def _signs(credentials: Credentials, body: bytes, key: bytes, *, now: float) -> bool:
    if credentials.signature is None or credentials.timestamp is None:
        return False
    if abs(now - int(credentials.timestamp)) > _TOLERANCE:
        return False
    expected = hmac.new(key, credentials.timestamp.encode() + b"." + body, sha256).hexdigest()
    return hmac.compare_digest(credentials.signature, expected)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rights:
    """What a caller may do; None means everything."""

    caller: str
    connections: frozenset[str] | None = None
    actions: frozenset[str] | None = None
    may_lower_consent: bool = False

    def check(self, *, action: str, connections: Iterable[str]) -> None:
        """
        Return if the caller may do *action* with *connections*.

        Raises:
            ForbiddenError: It may not.
        """
        if self.actions is not None and action not in self.actions:
            raise ForbiddenError("this caller may not do that", field="action")
        if self.connections is not None and not self.connections.issuperset(connections):
            raise ForbiddenError("this caller may not use that connection", field="connection")

    def check_consent(self, *, asked: Iterable[str], configured: Iterable[str]) -> None:
        """
        Return if the caller may ask for *asked* in place of the *configured* signals.

        Raises:
            ForbiddenError: That would be less.
        """
        if not self.may_lower_consent and not set(asked).issuperset(configured):
            raise ForbiddenError(
                "this caller may not ask for less consent than is configured", field="consent.required"
            )
