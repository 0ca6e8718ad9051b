"""A clock that stands still until somebody sleeps or a test moves it."""

from lib.ports import Clock


class ManualClock:
    """
    Time in a test's hand.

    Args:
        now: Unix seconds at the start; the monotonic seconds begin at 1,000.
    """

    def __init__(self, now: float = 1_800_000_000.0) -> None:
        self._start = now
        self._passed = 0.0
        self.sleeps: list[float] = []

    def clock(self) -> Clock:
        """Return it as the port."""
        return Clock(now=self.now, monotonic=self.monotonic, sleep=self.sleep)

    def now(self) -> float:
        """Return Unix seconds."""
        return self._start + self._passed

    def monotonic(self) -> float:
        """Return seconds that only go forward."""
        return 1_000.0 + self._passed

    def sleep(self, seconds: float) -> None:
        """Let the time pass at once, and note how much it was."""
        self.sleeps.append(seconds)
        self.pass_(seconds)

    def pass_(self, seconds: float) -> None:
        """Let the time pass."""
        self._passed += seconds
