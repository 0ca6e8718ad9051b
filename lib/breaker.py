"""A breaker: what has failed again and again is left alone for a while, so that nobody waits for it in vain."""

from __future__ import annotations

from dataclasses import dataclass, field
from threading import Lock

from lib.ports import Clock


@dataclass(slots=True)
class Breaker:
    """
    Opens after failures, closes by itself.

    Once its time is over one call is let through; it closes if that succeeds, and stays open if it fails.

    Args:
        failures: In succession, after which it opens.
        pause_s: Seconds for which it stays open.
    """

    clock: Clock
    failures: int = 5
    pause_s: float = 30.0
    _failed: int = 0
    _open_until: float = 0.0
    _lock: Lock = field(default_factory=Lock, repr=False)

    def lets_through(self) -> bool:
        """Tell whether a call may be made now."""
        now = self.clock.monotonic()
        with self._lock:
            if now < self._open_until:
                return False
            if self._failed >= self.failures:
                # The others wait for what this one finds.
                self._open_until = now + self.pause_s
            return True

    def succeeded(self) -> None:
        """Note that a call was answered."""
        with self._lock:
            self._failed = 0
            self._open_until = 0.0

    def failed(self) -> None:
        """Note that a call was not."""
        with self._lock:
            self._failed += 1
            if self._failed >= self.failures:
                self._open_until = self.clock.monotonic() + self.pause_s

    def rest(self, seconds: float) -> None:
        """Let no call through for so long."""
        with self._lock:
            self._open_until = max(self._open_until, self.clock.monotonic() + seconds)
