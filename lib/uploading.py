"""
A file or table of people on its way to a segment's audience, in the process of whoever has asked for it.

It is what `deliver` does with a source of the configuration, but for the queue: nobody else could go on with a file of
this machine, so that what has to wait ends it, and it can be begun again at any time.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

import orjson

from lib.authentication import Rights
from lib.config import Connection, Source
from lib.delivery_log import INSERT_TIMEOUT_S, DeliveryLog
from lib.errors import ConfigurationError
from lib.handlers import Relay
from lib.local_file import LocalFiles
from lib.outcomes import Answer
from lib.segments import Segment
from lib.sending import Origin, Outside
from lib.sync_flow import SyncFlow

CALLER: Final = "command"
#: Under which the source stands in the configuration of this one run.
_SOURCE: Final = "command"


@dataclass(slots=True)
class Progress:
    """
    How far it is, in people.

    Args:
        total: All of the source; 0 while it is not counted.
        delivered: Those that Meta has received.
        failed: Those in calls that have failed.
        rejected: Those that cannot be sent.
        reasons: What cannot be used, and how often.
        audience_id: Where they go; None while that is not known.
    """

    total: int = 0
    delivered: int = 0
    failed: int = 0
    rejected: int = 0
    reasons: Counter[str] = field(default_factory=Counter)
    audience_id: str | None = None

    @property
    def done(self) -> int:
        """How many are dealt with."""
        return self.delivered + self.failed + self.rejected

    def note(self, row: Mapping[str, Any]) -> None:
        """Read a row of the delivery log: it is written after each batch."""
        outcome = row["outcome"]
        self.reasons.update(orjson.loads(row.get("reject_reasons", b"{}")))
        if outcome == "queued":
            self.total = row.get("rows_received", 0)
            self.audience_id = row["destination"]
        elif outcome == "rejected":
            self.rejected += row.get("rows_rejected", 0)
        elif outcome == "failed":
            self.failed += row.get("rows_received", 0)
        else:
            self.delivered += row.get("num_received", 0)


@dataclass(frozen=True, slots=True)
class _Watched:
    """A delivery log whose rows are seen as they are written."""

    log: DeliveryLog
    progress: Progress
    watch: Callable[[Progress], None]

    def insert(self, rows: Sequence[Mapping[str, object]], *, timeout_s: float = INSERT_TIMEOUT_S) -> None:
        """Write *rows*."""
        for row in rows:
            self.progress.note(row)
        self.watch(self.progress)
        self.log.insert(rows, timeout_s=timeout_s)


@dataclass(frozen=True, slots=True, kw_only=True)
class Upload:
    """
    Sends a source.

    Args:
        watch: Is told of the progress after each batch.
    """

    relay: Relay
    source: Source
    connection: Connection
    segment: Segment
    watch: Callable[[Progress], None] = lambda _progress: None
    progress: Progress = field(default_factory=Progress)

    def run(self) -> Answer:
        """
        Send all of it, page by page.

        Raises:
            RelayError: It cannot be done, or not to its end; *progress* tells how far it is.
        """
        relay = self.relay
        request_id = relay.chance.name()
        origin = Origin(
            request_id=request_id, trace_id=request_id, caller=CALLER, kind="segments", started=relay.clock.monotonic()
        )
        body = {
            "connection": self.connection.name,
            "segment": {"id": self.segment.id, "name": self.segment.name},
            "change": "sync",
            "source": _SOURCE,
        }
        config = replace(relay.config, sources={_SOURCE: self.source})
        answer, sending = SyncFlow(config=config, outside=self._outside()).run(
            body, rights=Rights(caller=CALLER), origin=origin
        )
        sending.finish()
        return answer

    def _outside(self) -> Outside:
        outside = self.relay.outside
        if outside.warehouse is None:
            raise ConfigurationError("BigQuery and Cloud Storage are not at hand", process="read")
        warehouse = replace(outside.warehouse, storage=LocalFiles) if self.source.uri else outside.warehouse
        watched = _Watched(outside.delivery_log, self.progress, self.watch)
        return replace(outside, queue=None, gathering=None, warehouse=warehouse, delivery_log=watched)
