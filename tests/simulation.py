"""
A small world, drawn from a seed, in which the real relay has to lose nothing.

Time, chance, Meta, Pub/Sub, secrets and the log are handed in, so that each seed is one history, the same each time.
In the first phase everything fails at the rates that the seed has drawn: calls to Meta are refused, throttled, lost
before or after they are done, or done late; Pub/Sub delivers twice, in any order, and loses acknowledgements; either
function dies in the middle of any call to the outside. In the second phase nothing fails, and all has to settle.

    .venv/bin/python -m tests.simulation 17   # the history of seed 17
"""

from __future__ import annotations

import base64
import hashlib
import logging
import random
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import orjson

from lib.errors import ConfigurationError, GraphAPIUnreachableError, QueueError
from lib.handlers import Message, Relay
from lib.ports import Clock, Reply
from tests import seams
from tests.functions import DENIED, add
from tests.local.graph_payload import parse_people

AUDIENCES: Final[Mapping[str, str]] = {"1001": "acme", "2001": "globex"}
INPUTS: Final = 8
#: Faults of the first phase; each seed leaves some out, and draws how often the others happen.
FAULTS: Final = (
    "crash", "5xx", "html", "lost", "applied", "late", "throttle", "smaller", "expire", "not taken", "taken, not told",
    "twice", "ack lost", "log", "secret",
)  # fmt: skip
#: Pub/Sub gives a message up after so many deliveries.
MAX_ATTEMPTS: Final = 100

Cell = tuple[str, str]


class CrashError(BaseException):
    """The machine is gone: nothing catches this."""


class LostError(AssertionError):
    """The world is not as it should be."""


def digest(text: str) -> str:
    """Return SHA-256 in hex."""
    return hashlib.sha256(text.encode()).hexdigest()


@dataclass
class Input:
    """
    What somebody sends, and has to be accounted for.

    Args:
        accepted: Whether its sender has been told that it need not send it again.
        cells: Audience and digest of each row that can be sent.
        withheld: Whether consent is missing.
    """

    number: int
    body: dict[str, Any]
    through: str
    cells: frozenset[Cell]
    withheld: bool
    accepted: bool = False
    refused: bool = False


@dataclass
class Held:
    """A message that Pub/Sub holds."""

    message_id: str
    data: bytes
    attributes: Mapping[str, str]
    cells: frozenset[Cell]
    attempts: int = 0
    due: float = 0.0


@dataclass
class Plants:
    """Bugs on purpose, which the invariants have to find."""

    ack_everything: bool = False
    forget_messages: bool = False
    forget_dead_letters: bool = False


@dataclass
class World:
    """One history."""

    seed: int
    plants: Plants = field(default_factory=Plants)

    def __post_init__(self) -> None:
        self.chance = random.Random(self.seed)
        self.rates = {
            fault: 0.0 if self.chance.random() < 0.4 else self.chance.choice([0.05, 0.2, 0.5]) for fault in FAULTS
        }
        self.faulty = True
        self.now = 1_800_000_000.0
        self.trace: list[str] = []
        self.members: set[Cell] = set()
        self.late: list[tuple[float, frozenset[Cell]]] = []
        self.flagged = self.chance.choice([None, None, *AUDIENCES])
        self.throttled: dict[str, float] = {}
        self.token = self.secret = 1
        self.secret_due = 0.0
        self.queue: list[Held] = []
        self.dead: set[Cell] = set()
        self.rows: list[Mapping[str, object]] = []
        self.ids = 0
        #: What a port has seen; raised there, the relay would catch it.
        self.broken: list[str] = []
        self.instances: dict[str, Relay] = {}
        self.inputs = [self._input(number) for number in range(INPUTS)]

    def fails(self, fault: str) -> bool:
        """Tell whether it happens now."""
        return self.faulty and self.chance.random() < self.rates[fault]

    def port(self, what: str) -> None:
        """Note that the outside is called; the caller may not survive it."""
        self.now += 0.005
        self.trace.append(f"{self.now:.3f} {what}")
        if self.faulty and self.chance.random() < self.rates["crash"] / 5:
            self.trace.append("crash")
            raise CrashError

    def _input(self, number: int) -> Input:
        """Draw what somebody sends: nobody is in two of them, so that nothing races."""
        count = self.chance.randint(1, 3)
        good = [f"s{self.seed}-i{number}-r{row}@example.com" for row in range(count)]
        audiences = self.chance.choice([["1001"], ["2001"], ["1001", "2001"]])
        rows = [*good, "nobody"] if self.chance.random() < 0.3 else good
        withheld = self.chance.random() < 0.15
        body = add(users=[{"EMAIL": email} for email in rows], optimistic=self.chance.random() < 0.3)
        body["destinations"] = [{"audience_id": name, "connection": AUDIENCES[name]} for name in audiences]
        if withheld:
            body["consent"] = DENIED
        cells = frozenset((name, digest(email)) for name in audiences for email in good)
        through = self.chance.choice(["HTTP", "Pub/Sub"])
        return Input(number, body, through, frozenset() if withheld else cells, withheld)

    # The ports.

    def instance(self, name: str) -> Relay:
        """Return `receive` or `deliver`; one that has died begins anew and remembers nothing."""
        if name not in self.instances:
            told: dict[str, float] = {}
            self.instances[name] = seams.relay(
                transport=_Meta(self, told),
                queue=_Queue(self),
                log=_Log(self),  # type: ignore[arg-type]
                secrets=_Secrets(self),
                clock=Clock(now=lambda: self.now, monotonic=lambda: self.now, sleep=self.sleep),
                names=self.name,
            )
        return self.instances[name]

    def name(self) -> str:
        """Return a new name."""
        return f"{self.chance.getrandbits(128):032x}"

    def sleep(self, seconds: float) -> None:
        """Let time pass."""
        self.port(f"sleep {seconds:.3f}")
        self.now += seconds

    def settle_late_calls(self) -> None:
        """Do what was given up and is due."""
        for due, cells in list(self.late):
            if due <= self.now:
                self.members |= cells
                self.late.remove((due, cells))

    # What happens.

    def run(self) -> None:
        """Play both phases."""
        for _ in range(60):
            self._step()
            self.check()
        self.trace.append("nothing fails any more")
        self.faulty = False
        self.token = self.secret
        self.secret_due = 0.0
        for _ in range(400):
            if not self.queue and all(one.accepted or one.refused for one in self.inputs):
                break
            self._step()
            self.check()
        else:
            raise LostError(f"does not settle: {len(self.queue)} messages wait")
        self.now += 1_000
        self.settle_late_calls()
        self.check_end()

    def _step(self) -> None:
        self.now += self.chance.choice([0.01, 1.0, 30.0])
        self.settle_late_calls()
        if self.token > self.secret and self.now >= self.secret_due:
            self.secret = self.token
        unsent = [one for one in self.inputs if not (one.accepted or one.refused)]
        due = [held for held in self.queue if held.due <= self.now]
        if unsent and (not due or self.chance.random() < 0.4):
            self._send(self.chance.choice(unsent))
        elif due:
            self._deliver(self.chance.choice(due))
        elif self.queue:
            self.now = min(held.due for held in self.queue)
        if self.fails("expire") and self.token == self.secret:
            self.token += 1
            self.secret_due = self.now + self.chance.choice([0.0, 60.0, 1_000.0])

    def _send(self, one: Input) -> None:
        self.trace.append(f"send {one.number} through {one.through}")
        if one.through == "Pub/Sub":
            self.put(orjson.dumps(one.body), {"type": "audiences"}, one.cells)
            one.accepted = True
            return
        try:
            answer = seams.post(self.instance("receive"), one.body)
        except CrashError:
            del self.instances["receive"]
            return
        self.trace.append(f"answer {answer.status}")
        if answer.status >= 500 and answer.status != 502:
            return  # and sends it again
        shown = orjson.loads(answer.body)
        if one.withheld != (shown["outcome"] == "withheld"):
            raise LostError(f"input {one.number}: {shown['outcome']}")
        failed = {result["destination"]["audience_id"] for result in shown["results"] if result["outcome"] == "failed"}
        one.accepted = answer.status in {200, 202}
        one.refused = answer.status == 502
        # Meta refuses the flagged audience for good, and its sender is told.
        one.cells = frozenset(cell for cell in one.cells if cell[0] not in failed & {self.flagged})

    def _deliver(self, held: Held) -> None:
        held.attempts += 1
        self.trace.append(f"deliver {held.message_id} attempt {held.attempts}")
        message = Message(
            data=base64.b64encode(held.data).decode(),
            attributes=held.attributes,
            message_id=held.message_id,
            attempt=held.attempts,
        )
        twice = self.fails("twice")
        try:
            done = self.instance("deliver").deliver(message)
        except CrashError:
            del self.instances["deliver"]
            done = False
        self.trace.append(f"done {done}")
        if self.plants.ack_everything:
            done = True
        if done and not twice and not self.fails("ack lost"):
            self.queue.remove(held)
        else:
            held.due = self.now + min(600.0, 10.0 * 2 ** min(held.attempts, 10))
            if held.attempts >= MAX_ATTEMPTS:
                self.queue.remove(held)
                self.dead |= held.cells

    def put(self, data: bytes, attributes: Mapping[str, str], cells: frozenset[Cell]) -> None:
        """Let Pub/Sub hold a message."""
        self.ids += 1
        self.queue.append(Held(str(self.ids), data, attributes, cells))

    # What has to be.

    def places(self) -> set[Cell]:
        """Return every cell that is somewhere."""
        waiting = {cell for held in self.queue for cell in held.cells}
        late = {cell for _, cells in self.late for cell in cells}
        return self.members | self.dead | waiting | late

    def check(self) -> None:
        """At each moment: what was accepted is at Meta, in a message or in a dead letter."""
        if self.broken:
            raise LostError(self.broken[0])
        places = self.places()
        for one in self.inputs:
            if one.accepted and not one.cells <= places:
                raise LostError(f"input {one.number} was accepted and is nowhere")
            if one.withheld and any(cell[1] in {place[1] for place in places} for cell in one.cells):
                raise LostError(f"input {one.number} has no consent and was sent")

    def check_end(self) -> None:
        """At the end: each accepted cell in exactly one place; the log, where it was written, says the same."""
        if self.queue or self.late:
            raise LostError("something still waits")
        accepted = {cell for one in self.inputs if one.accepted for cell in one.cells}
        flagged = {cell for cell in accepted if cell[0] == self.flagged}
        if (accepted - flagged) - self.members or flagged - self.dead:
            raise LostError("something was lost")
        if self.members & self.dead - self._given_up():
            raise LostError("something is in two places")
        sent = {cell for one in self.inputs for cell in one.cells}
        if not self.members <= sent:
            raise LostError("somebody was added who was not to be")
        logged = {row["outcome"] for row in self.rows}
        if not logged <= {"delivered", "queued", "failed", "withheld", "rejected"}:
            raise LostError(f"outcomes {logged}")

    def _given_up(self) -> set[Cell]:
        """Return what Pub/Sub has given up: its last call may have been done although nobody was told."""
        return self.dead if any("attempt 100" in line for line in self.trace) else set()


@dataclass
class _Meta:
    world: World
    told: dict[str, float]

    def __call__(self, method: str, url: str, *, headers: Mapping[str, str], body: bytes, timeout: float) -> Reply:
        world = self.world
        audience = url.split("/")[-2]
        world.port(f"{method} {audience} {hashlib.sha256(body).hexdigest()[:12]}")
        sent = orjson.loads(body)
        people = parse_people(sent["payload"], value_based=False, value_required=False)
        if people.invalid:
            world.broken.append("rows that Meta counts as invalid")
        cells = frozenset((audience, cell) for person in people.persons for _, cell in person)
        if self.told.get(audience, 0.0) > world.now:
            world.broken.append("called while throttled")
        world.now += world.chance.choice([0.02, 0.2, 1.0])
        if lost := self._lost(cells, timeout):
            raise lost
        if refusal := self._refusal(audience, headers["Authorization"], len(people.persons)):
            return refusal
        world.members |= cells
        world.trace.append("done")
        return Reply(200, {}, orjson.dumps({"num_received": people.received, "num_invalid_entries": 0}))

    def _refusal(self, audience: str, authorization: str, count: int) -> Reply | None:
        world = self.world
        if authorization != f"Bearer token-{world.token}":
            return _error(190, 463, status=401)
        if world.throttled.get(audience, 0.0) > world.now or world.fails("throttle"):
            return self._throttle(audience)
        if audience == world.flagged:
            return _error(100, 1713230)
        if count > 1 and world.fails("smaller"):
            return _error(1, None, status=500)
        if world.fails("5xx"):
            return Reply(503, {}, b"")
        return Reply(200, {}, b"<html>") if world.fails("html") else None

    def _lost(self, cells: frozenset[Cell], timeout: float) -> GraphAPIUnreachableError | None:
        world = self.world
        valid = not any(audience == world.flagged for audience, _ in cells) and world.token == world.secret
        for fault in ("lost", "applied", "late"):
            if world.fails(fault):
                if fault == "applied" and valid:
                    world.members |= cells
                elif fault == "late" and valid:
                    world.late.append((world.now + world.chance.choice([1.0, 100.0]), cells))
                world.now += timeout
                world.trace.append(fault)
                return GraphAPIUnreachableError(f"no answer from Meta ({fault})")
        return None

    def _throttle(self, audience: str) -> Reply:
        minutes = self.world.chance.choice([1, 5])
        until = max(self.world.throttled.get(audience, 0.0), self.world.now + minutes * 60)
        self.world.throttled[audience] = self.told[audience] = until
        usage = {"1": [{"type": "custom_audience", "estimated_time_to_regain_access": (until - self.world.now) / 60}]}
        return _error(80003, 2446079, headers={"X-Business-Use-Case-Usage": orjson.dumps(usage).decode()})


def _error(code: int, subcode: int | None, *, status: int = 400, headers: Mapping[str, str] | None = None) -> Reply:
    error = {"code": code, "error_subcode": subcode, "type": "OAuthException"}
    return Reply(status, headers or {}, orjson.dumps({"error": error}))


@dataclass
class _Queue:
    world: World

    def publish(self, data: bytes, attributes: Mapping[str, str], *, dead_letter: bool = False) -> None:
        world = self.world
        world.port(f"publish {'dead ' if dead_letter else ''}{hashlib.sha256(data).hexdigest()[:12]}")
        if world.fails("not taken"):
            raise QueueError("not taken")
        cells = frozenset(_cells_of(data))
        if dead_letter:
            if not attributes.get("reason"):
                world.broken.append("a dead letter without a reason")
            if not world.plants.forget_dead_letters:
                world.dead |= cells
        elif not world.plants.forget_messages:
            world.put(data, attributes, cells)
        if world.fails("taken, not told"):
            raise QueueError("taken, not told")


def _cells_of(data: bytes) -> set[Cell]:
    return {
        (request["destination"]["audience_id"], cell)
        for request in orjson.loads(data)["requests"]
        for row in request["body"]["payload"]["data"]
        for cell in row
    }


@dataclass
class _Log:
    world: World

    def insert(self, rows: Sequence[Mapping[str, object]], *, timeout_s: float = 5.0) -> None:  # noqa: ARG002
        self.world.port(f"log {[(row['destination'], row['outcome']) for row in rows]}")
        if not self.world.fails("log"):
            self.world.rows += rows


@dataclass
class _Secrets:
    world: World

    def access(self, name: str, *, refresh: bool = False) -> bytes:
        self.world.port(f"secret {name}{' again' if refresh else ''}")
        if self.world.fails("secret"):
            raise ConfigurationError("a secret cannot be read")
        return f"token-{self.world.secret}".encode()


def play(seed: int, plants: Plants | None = None) -> World:
    """Play the history of *seed*; what goes wrong says which it was."""
    world = World(seed, plants or Plants())
    logging.disable()  # thousands of errors, none of which anybody reads
    try:
        world.run()
    except LostError as error:
        raise LostError(f"seed {seed}: {error}; see python -m tests.simulation {seed}") from error
    finally:
        logging.disable(logging.NOTSET)
    return world


def fingerprint(seed: int) -> str:
    """Return a digest of all that happens in the history of *seed*."""
    return digest("\n".join(play(seed).trace))


if __name__ == "__main__":
    shown: Callable[[str], object] = print
    history = World(int(sys.argv[1]))
    try:
        history.run()
    finally:
        shown("\n".join(history.trace))
