"""The one sum that holds after every fault: each row of the input is in exactly one place."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson

from tests.functions import Functions
from tests.local.pubsub_backlog import Message


@dataclass
class Ledger:
    """
    How many rows of each destination are where.

    Args:
        delivered: Meta has them, says the delivery log.
        rejected, withheld: Not sent, and logged.
        waiting: In messages that are not acknowledged.
        dead: In dead letters.
    """

    delivered: Counter[str] = field(default_factory=Counter)
    rejected: Counter[str] = field(default_factory=Counter)
    withheld: Counter[str] = field(default_factory=Counter)
    waiting: Counter[str] = field(default_factory=Counter)
    dead: Counter[str] = field(default_factory=Counter)

    def total(self, destination: str) -> int:
        """Return how many rows of *destination* are accounted for."""
        places = (self.delivered, self.rejected, self.withheld, self.waiting, self.dead)
        return sum(place[destination] for place in places)

    def destinations(self) -> set[str]:
        """Return each destination that has rows anywhere."""
        places = (self.delivered, self.rejected, self.withheld, self.waiting, self.dead)
        return {destination for place in places for destination, count in place.items() if count}


def count(log: Iterable[Mapping[str, Any]], waiting: Iterable[Message], dead: Iterable[Message]) -> Ledger:
    """Add everything up."""
    ledger = Ledger()
    for row in log:
        if row["outcome"] in {"delivered", "partial"}:
            ledger.delivered[row["destination"]] += row["rows_sent"]
        ledger.rejected[row["destination"]] += row.get("rows_rejected") or 0
        if row["outcome"] == "withheld":
            ledger.withheld[row["destination"]] += row["rows_received"]
    for place, messages in ((ledger.waiting, waiting), (ledger.dead, dead)):
        for message in messages:
            place.update(rows_of(message))
    return ledger


def rows_of(message: Message) -> Counter[str]:
    """Return how many rows of each destination a message holds, whether it is a caller's or one of ours."""
    body = orjson.loads(message.data)
    rows: Counter[str] = Counter()
    for request in body.get("requests", ()):
        (destination,) = request["destination"].values()
        rows[destination] += len(request["body"]["payload"]["data"])
    for destination in body.get("destinations", ()):
        users = body.get("users", [body.get("user")])
        rows[destination["audience_id"]] += len(users["data"] if isinstance(users, dict) else users)
    return rows


def check(
    functions: Functions,
    sent: Mapping[str, int],
    *,
    log: Sequence[Mapping[str, Any]] | None = None,
    told: Mapping[str, int] | None = None,
    done: bool = False,
) -> Ledger:
    """
    Hold the ledger to the input.

    Args:
        sent: Rows of the input for each audience; no person is in it twice.
        log: The delivery log, where it is not in BigQuery.
        told: Rows of which the caller was told, by the answer, that they were not taken.
        done: Nothing may wait any more, and Meta has exactly what was delivered; while a fault lasts it may have more,
            of calls whose answer was lost.
    """
    told = told or {}
    waiting = [held.message for held in functions.waiting()]
    ledger = count(functions.rows() if log is None else log, waiting, functions.dead())
    assert ledger.destinations() <= sent.keys()
    members = functions.stack.graph.counts()
    for destination, rows in sent.items():
        assert ledger.total(destination) + told.get(destination, 0) == rows, (destination, ledger)
        assert ledger.delivered[destination] <= members[destination] <= rows - ledger.rejected[destination]
        if done:
            assert members[destination] == ledger.delivered[destination]
    if done:
        assert waiting == []
    assert functions.stack.graph.violations == []
    assert functions.stack.graph.calls_while_throttled <= len(sent)
    return ledger
