"""
Many changes of few people, through two flushes at once of which one is killed: who entered last is a member.

`deliver` runs as it does in Google Cloud, in two processes; the one that is killed has made a call that Meta has done,
and dies before it is told.
"""

from __future__ import annotations

import hashlib
import json
import random
import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import pytest
import requests

from lib.changes import Changes
from lib.segments import Segment
from tests.local.proxy import Proxy
from tests.local.pubsub import PubSub
from tests.local.stack import ACCOUNT, GATHERED, GATHERING, Function, Stack, free_port

SEGMENTS: Final = (Segment("44A23B49", "Segment 1"), Segment("6169AAB3", "Male"))
#: "100,000 single changes cost Meta tens of calls".
MAX_CALLS: Final = 60


def digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


@dataclass(frozen=True)
class Size:
    """How much happens; *lease_scale* is how much of a held message's 600 s is waited."""

    changes: int
    people: int
    lease_scale: float


class HoldsAnswer(Proxy):
    """Lets calls through to Meta, and keeps the answer to the second one, the first after the list of audiences."""

    def __init__(self, target: str) -> None:
        super().__init__(target)
        self.answers = 0
        self.reached = threading.Event()

    def _answer(self, server: socket.socket, client: socket.socket) -> None:
        while data := server.recv(1 << 16):
            self.answers += data.startswith(b"HTTP/1.")
            if self.answers > 1:
                self.reached.set()
                self._closing.wait(60)
            client.sendall(data)


def person(number: int) -> tuple[tuple[str, ...], list[str]]:
    """Return schema and row of somebody; every third is known by an e-mail address alone."""
    email = digest(f"person{number}@example.com")
    if number % 3 == 0:
        return ("EMAIL",), [email]
    return ("EMAIL", "FN", "EXTERN_ID"), [email, digest("ada"), digest(f"u-{number}")]


def history(size: Size) -> Iterator[tuple[Segment, str, int]]:
    """Yield changes: whose, and whether they enter or leave."""
    chance = random.Random(17)
    for _ in range(size.changes):
        yield chance.choice(SEGMENTS), chance.choice(["add", "remove"]), chance.randrange(size.people)


def publish(stack: Stack, size: Size) -> dict[str, set[int]]:
    """Publish all changes, each tenth twice; return who is in each segment in the end."""
    members: dict[str, set[int]] = {segment.id: set() for segment in SEGMENTS}
    for number, (segment, action, who) in enumerate(history(size)):
        schema, row = person(who)
        change = Changes(connection="acme", segment=segment, action=action, schema=schema, rows=[row])  # type: ignore[arg-type]
        ((key, one),) = change.by_key()
        for _ in range(2 if number % 10 == 0 else 1):
            stack.pubsub.publish(GATHERING, one.to_json(), ordering_key=key)
        (set.add if action == "add" else set.discard)(members[segment.id], who)
    return members


def flush(function: Function, number: int) -> None:
    """Push a flush, as the scheduler does; what is killed does not answer."""
    body = {
        "message": {"data": "e30=", "attributes": {"type": "flush"}, "messageId": f"f-{number}"},
        "subscription": "s",
    }
    try:
        assert requests.post(function.url, json=body, timeout=300).status_code == 200
    except requests.ConnectionError:
        return


def deliver(stack: Stack, config: dict[str, Any]) -> Function:
    function = Function("deliver", free_port(), {**stack.environ(), "RELAY_CONFIG": json.dumps(config)})
    function.wait()
    return function


def settle(stack: Stack, function: Function, size: Size) -> None:
    """Flush until nothing is left, after what the other one held has come back."""
    time.sleep(600 * size.lease_scale)
    for number in range(10, 20):
        if not stack.pubsub.outstanding(GATHERED):
            return
        flush(function, number)
    assert stack.pubsub.outstanding(GATHERED) == 0


def play(size: Size) -> tuple[int, float]:
    """Play it all; return the number of calls to Meta, and the seconds."""
    stack = Stack()
    stack.pubsub = PubSub(ack_deadline_scale=size.lease_scale)
    with stack, HoldsAnswer(stack.graph.url) as proxy:
        for number, segment in enumerate(SEGMENTS):
            stack.graph.add_audience(
                f"900{number}", account=ACCOUNT, name="Any", description=f"Meta Relay segment: {segment.id}"
            )
        members = publish(stack, size)
        doomed = deliver(stack, {**stack.config, "graph_api": {"url": proxy.url, "timeout_s": 60}})
        other = deliver(stack, stack.config)
        began = time.monotonic()
        flushes = [
            threading.Thread(target=flush, args=(function, number)) for number, function in enumerate((doomed, other))
        ]
        try:
            for one in flushes:
                one.start()
            assert proxy.reached.wait(60)
            doomed.kill()
            for one in flushes:
                one.join(300)
            assert stack.pubsub.outstanding(GATHERED) > 0, "the one that was killed held nothing"
            settle(stack, other, size)
            seconds = time.monotonic() - began
        finally:
            doomed.kill()
            other.stop()
        for number, segment in enumerate(SEGMENTS):
            assert stack.graph.members(f"900{number}") == {
                frozenset(zip(*person(who), strict=True)) for who in members[segment.id]
            }
        assert stack.graph.violations == []
        return len(stack.graph.calls), seconds


def test_who_entered_last_is_a_member_and_nobody_else() -> None:
    calls, _ = play(Size(changes=10_000, people=2_000, lease_scale=0.006))
    assert calls <= MAX_CALLS


@pytest.mark.soak
@pytest.mark.timeout(600)
def test_a_hundred_thousand_changes_cost_tens_of_calls() -> None:
    calls, seconds = play(Size(changes=100_000, people=20_000, lease_scale=0.05))
    print(f"100,000 changes of 20,000 people: {calls} calls to Meta, {seconds:.1f} s")
    assert calls <= MAX_CALLS
