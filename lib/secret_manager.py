"""Secrets by name, from Secret Manager or the environment, remembered for a while."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Mapping
from copy import copy
from dataclasses import dataclass, field
from threading import Lock
from typing import Any, Final

from lib.errors import ConfigurationError, SecretUnavailableError
from lib.ports import Clock

logger = logging.getLogger(__name__)

#: Seconds for which a value counts as current: a new version is in use after that, or at once when Meta answers 190,
#: and a version that is disabled is in use no longer.
TIME_TO_LIVE: Final = 300.0
#: Seconds between two forced readings of one secret: a token that stays wrong must not become a storm.
_BETWEEN_REFRESHES: Final = 30.0
_FROM_ENVIRONMENT: Final = "env:"
#: The secret or version is not there, is disabled, or may not be read; whatever else fails is an outage.
_REFUSALS: Final = frozenset({400, 403, 404})


@dataclass(slots=True)
class _Remembered:
    value: bytes = field(repr=False)
    read_at: float
    forced_at: float = -math.inf


@dataclass(slots=True)
class SecretManager:
    """
    Reads secret versions.

    Args:
        client: Makes the official client, on first use.
        environ: Where `env:NAME` is looked up.
        timeout_s: Seconds for one reading, retries included.
    """

    client: Callable[[], Any]
    environ: Mapping[str, str] = field(repr=False)
    clock: Clock
    timeout_s: float = 5.0
    _remembered: dict[str, _Remembered] = field(default_factory=dict, repr=False)
    #: Name -> when its reading failed, and how.
    _failed: dict[str, tuple[float, ConfigurationError]] = field(default_factory=dict, repr=False)
    _locks: dict[str, Lock] = field(default_factory=dict, repr=False)
    _lock: Lock = field(default_factory=Lock, repr=False)

    def access(self, name: str, *, refresh: bool = False) -> bytes:
        """Return the value of *name*; see `Secrets`. An outage does not matter while an older value is known."""
        if name.startswith(_FROM_ENVIRONMENT):
            return self._from_environment(name.removeprefix(_FROM_ENVIRONMENT))
        known = self._remembered.get(name)
        if known and self._is_current(known, refresh=refresh):
            return known.value
        began = self.clock.monotonic()
        with self._lock_of(name):
            known = self._remembered.get(name)
            if known and self._is_current(known, refresh=refresh):
                return known.value
            failed_at, failure = self._failed.get(name, (-math.inf, None))
            if failure is not None and failed_at > began:
                # Who has waited for another's reading takes its failure too: else each waits for all before it.
                raise copy(failure)
            return self._read(name, known, refresh=refresh)

    def renew(self, ident: str) -> None:
        """Have the secret with the id *ident* read again when it is next asked for; its value stays for an outage."""
        for name, known in list(self._remembered.items()):
            if f"/secrets/{ident}/" in name:
                known.read_at = -math.inf

    def _is_current(self, known: _Remembered, *, refresh: bool) -> bool:
        now = self.clock.monotonic()
        return now - known.forced_at < _BETWEEN_REFRESHES if refresh else now - known.read_at < TIME_TO_LIVE

    def _read(self, name: str, known: _Remembered | None, *, refresh: bool) -> bytes:
        # Who has an older value need not wait for a second try.
        retry = None if known else _retry(self.timeout_s)
        try:
            answer = self.client().access_secret_version(name=name, retry=retry, timeout=self.timeout_s)
            value = _checked(answer, name)
        except ConfigurationError:
            raise
        except Exception as error:  # noqa: BLE001 - the client raises whatever its transport does
            kind = type(error).__name__
            refused = getattr(error, "code", None) in _REFUSALS
            if known is None or refused:
                self._remembered.pop(name, None)
                failure = _refused(name, kind) if refused else SecretUnavailableError(_unread(name, kind))
                self._failed[name] = (self.clock.monotonic(), failure)
                raise failure from None
            logger.warning("the secret %s cannot be read again (%s); the older value is used", name, kind)
            value = known.value
        now = self.clock.monotonic()
        self._remembered[name] = _Remembered(value, now, now if refresh else known.forced_at if known else -math.inf)
        return value

    def _from_environment(self, name: str) -> bytes:
        if not self.environ.get(name):
            raise ConfigurationError(
                f"the environment has no {name}",
                process="authenticate",
                action=f"Set {name}, or name a secret.",
            )
        return self.environ[name].encode("utf-8", "surrogateescape")

    def _lock_of(self, name: str) -> Lock:
        with self._lock:
            return self._locks.setdefault(name, Lock())


def _unread(name: str, kind: str) -> str:
    return f"the secret {name} cannot be read ({kind})"


def _refused(name: str, kind: str) -> ConfigurationError:
    return ConfigurationError(
        _unread(name, kind),
        process="authenticate",
        scope="Secret Manager",
        action="See that the secret has an enabled version and that the function's service account has "
        "roles/secretmanager.secretAccessor on it.",
    )


def _retry(timeout_s: float) -> Any:
    """Return when a reading is tried again; the client's own way of it goes on for a minute."""
    from google.api_core.retry import Retry  # noqa: PLC0415 - comes with the client, on first use

    return Retry(initial=0.1, maximum=1.0, timeout=timeout_s)


def _checked(response: Any, name: str) -> bytes:
    """Return the payload if it came whole."""
    from google_crc32c import value as crc32c  # noqa: PLC0415 - comes with the client, on first use

    data: bytes = response.payload.data
    if response.payload.data_crc32c and crc32c(data) != response.payload.data_crc32c:
        raise ConfigurationError(f"the secret {name} came damaged", process="authenticate", scope="Secret Manager")
    return data
