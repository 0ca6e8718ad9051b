"""Secrets by name, from Secret Manager or the environment, remembered for a while."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from threading import Lock
from typing import Any, Final

from lib.errors import ConfigurationError
from lib.ports import Clock

logger = logging.getLogger(__name__)

#: Seconds for which a value counts as current: a new version is in use after that, or at once when Meta answers 190.
TIME_TO_LIVE: Final = 300.0
#: Seconds between two forced readings of one secret: a token that stays wrong must not become a storm.
_BETWEEN_REFRESHES: Final = 30.0
_TIMEOUT_S: Final = 5.0
_FROM_ENVIRONMENT: Final = "env:"


@dataclass(slots=True)
class _Remembered:
    value: bytes = field(repr=False)
    read_at: float


@dataclass(slots=True)
class SecretManager:
    """
    Reads secret versions.

    Args:
        client: Makes the official client, on first use.
        environ: Where `env:NAME` is looked up.
    """

    client: Callable[[], Any]
    environ: Mapping[str, str] = field(repr=False)
    clock: Clock
    _remembered: dict[str, _Remembered] = field(default_factory=dict, repr=False)
    _locks: dict[str, Lock] = field(default_factory=dict, repr=False)
    _lock: Lock = field(default_factory=Lock, repr=False)

    def access(self, name: str, *, refresh: bool = False) -> bytes:
        """Return the value of *name*; see `Secrets`. An outage does not matter while an older value is known."""
        if name.startswith(_FROM_ENVIRONMENT):
            return self._from_environment(name.removeprefix(_FROM_ENVIRONMENT))
        known = self._remembered.get(name)
        if known and self._age(known) < (_BETWEEN_REFRESHES if refresh else TIME_TO_LIVE):
            return known.value
        with self._lock_of(name):
            known = self._remembered.get(name)
            if known and self._age(known) < (_BETWEEN_REFRESHES if refresh else TIME_TO_LIVE):
                return known.value
            return self._read(name, known)

    def _read(self, name: str, known: _Remembered | None) -> bytes:
        try:
            value = _checked(self.client().access_secret_version(name=name, timeout=_TIMEOUT_S), name)
        except ConfigurationError:
            raise
        except Exception as error:  # noqa: BLE001 - the client raises whatever its transport does
            kind = type(error).__name__
            if known is None:
                raise ConfigurationError(
                    f"the secret {name} cannot be read ({kind})",
                    process="authenticate",
                    scope="Secret Manager",
                    action="See that the secret has an enabled version and that the function's service account has "
                    "roles/secretmanager.secretAccessor on it.",
                ) from None
            logger.warning("the secret %s cannot be read again (%s); the older value is used", name, kind)
            value = known.value
        self._remembered[name] = _Remembered(value, self.clock.monotonic())
        return value

    def _from_environment(self, name: str) -> bytes:
        if name not in self.environ:
            raise ConfigurationError(
                f"the environment has no {name}",
                process="authenticate",
                action=f"Set {name}, or name a secret.",
            )
        return self.environ[name].encode()

    def _age(self, known: _Remembered) -> float:
        return self.clock.monotonic() - known.read_at

    def _lock_of(self, name: str) -> Lock:
        with self._lock:
            return self._locks.setdefault(name, Lock())


def _checked(response: Any, name: str) -> bytes:
    """Return the payload if it came whole."""
    from google_crc32c import value as crc32c  # noqa: PLC0415 - comes with the client, on first use

    data: bytes = response.payload.data
    if response.payload.data_crc32c and crc32c(data) != response.payload.data_crc32c:
        raise ConfigurationError(f"the secret {name} came damaged", process="authenticate", scope="Secret Manager")
    return data
