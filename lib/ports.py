"""The outside, as the flows see it: each effect comes in through one of these, so that a test can hand in its own."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextvars import copy_context
from dataclasses import dataclass, field
from functools import cached_property
from typing import Protocol, TypeVar

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Clock:
    """
    Time.

    Args:
        now: Unix seconds.
        monotonic: Seconds that only go forward.
        sleep: Waits so many seconds.
    """

    now: Callable[[], float] = time.time
    monotonic: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep


@dataclass(frozen=True, slots=True)
class Reply:
    """An HTTP answer, its body whole."""

    status: int
    headers: Mapping[str, str]
    body: bytes = field(repr=False)


class Transport(Protocol):
    """Makes one HTTP call."""

    def __call__(self, method: str, url: str, *, headers: Mapping[str, str], body: bytes, timeout: float) -> Reply:
        """
        Return the answer.

        Args:
            timeout: Seconds for the whole call.

        Raises:
            GraphAPIUnreachableError: There was no whole answer in time.
        """


class Secrets(Protocol):
    """Gives the values of secrets by name."""

    def access(self, name: str, *, refresh: bool = False) -> bytes:
        """
        Return the value; *refresh* asks for what is current, as often as that is allowed.

        Raises:
            ConfigurationError: It does not exist, is disabled, or may not be read.
        """


class Queue(Protocol):
    """Takes messages."""

    def publish(self, data: bytes, attributes: Mapping[str, str], *, dead_letter: bool = False) -> None:
        """
        Return once the message is held.

        Raises:
            QueueError: It is not.
        """


@dataclass(frozen=True, slots=True)
class Pulled:
    """A gathered message; *message_id* is Pub/Sub's, *ack_id* that of this delivery."""

    data: bytes = field(repr=False)
    ack_id: str
    message_id: str
    attributes: Mapping[str, str] = field(default_factory=dict)


class Gathering(Protocol):
    """Holds messages until they are pulled; within a key they come in the order in which they were published."""

    def publish(self, messages: Sequence[tuple[str, bytes]], attributes: Mapping[str, str]) -> None:
        """
        Return once all *messages*, each a key and its data, are held.

        Raises:
            QueueError: One of them may not be.
        """

    def pull(self, limit: int) -> Sequence[Pulled]:
        """
        Return up to *limit* messages, none where there are none, and hold them as long as Pub/Sub lets us.

        Raises:
            QueueError: They cannot be pulled.
        """

    def acknowledge(self, ack_ids: Sequence[str]) -> None:
        """
        Forget messages.

        Raises:
            QueueError: They may come again.
        """

    def hold(self, ack_ids: Sequence[str], seconds: float) -> None:
        """Keep messages from being pulled for so long; 0 gives them back. What fails is left to their time."""


class SideBySide:
    """
    Runs calls side by side and returns what they return, in their order.

    The threads are made on first use: the server forks, and threads do not survive that.
    """

    def __init__(self, threads: int) -> None:
        self._threads = threads

    @cached_property
    def _pool(self) -> ThreadPoolExecutor:
        return ThreadPoolExecutor(self._threads, thread_name_prefix="side-by-side")

    def __call__(self, calls: Sequence[Callable[[], _T]]) -> list[_T]:
        """Run *calls*; the last one in this thread, so that a single one costs no thread. All end before it returns."""
        # Each with a copy of this thread's context, so that its log lines carry the trace id.
        futures = [self._pool.submit(copy_context().run, call) for call in calls[:-1]]
        try:
            last = [call() for call in calls[-1:]]
        finally:
            wait(futures)
        return [future.result() for future in futures] + last


class InTime:
    """
    Runs calls side by side and waits for them no longer than they may take; what is late goes on unheard.

    Args:
        threads: Made on first use, as above. Calls that hang keep theirs; what finds none is late, too.
    """

    def __init__(self, threads: int) -> None:
        self._threads = threads

    @cached_property
    def _pool(self) -> ThreadPoolExecutor:
        return ThreadPoolExecutor(self._threads, thread_name_prefix="in-time")

    def __call__(self, calls: Sequence[Callable[[], _T]], seconds: float) -> list[_T | None]:
        """Return what *calls* return, in their order; None for one that is late."""
        futures = [self._pool.submit(copy_context().run, call) for call in calls]
        until = time.monotonic() + seconds
        return [_result(future, until - time.monotonic()) for future in futures]


def _result(future: Future[_T], seconds: float) -> _T | None:
    done, _ = wait((future,), max(seconds, 0.0)) if not future.done() else ((future,), ())
    if done:
        return future.result()
    future.cancel()
    return None


@dataclass(frozen=True, slots=True)
class Chance:
    """Randomness: *jitter* gives a number from 0 to 1, *name* a new id of 32 hexadecimal digits."""

    jitter: Callable[[], float] = random.random
    name: Callable[[], str] = lambda: f"{random.getrandbits(128):032x}"
