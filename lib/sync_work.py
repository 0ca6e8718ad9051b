"""One invocation's share of a sync: reading pages, a log row after each, and passing on what is left."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

import orjson

from lib.admission import Admission
from lib.audiences import Policy
from lib.config import Config, Connection, SegmentSettings, Source
from lib.cuts import PAGE_ROWS, Cut, Page
from lib.errors import ConfigurationError, RateLimitError, RelayError
from lib.member_batches import MemberBatches, add_up, pages_of
from lib.outcomes import Outcome, Result
from lib.report import Report
from lib.segment_audiences import KnownAudiences, SegmentAudiences
from lib.sending import Origin, Outside, Sending, error_columns
from lib.sync_task import Task
from lib.warehouse import Warehouse

logger = logging.getLogger(__name__)

#: Seconds after which an invocation passes on what is left: Pub/Sub waits 600 s for an answer.
_SHARE_S = 240.0
#: Pages in a slice: a few calls, which take a worker seconds; a million members are twenty slices.
SLICE_PAGES = 5
#: The type of a message that carries a task.
SLICE = "slice"


@dataclass(slots=True, kw_only=True)
class SyncWork:
    """
    What an invocation does of a sync.

    Args:
        sending: Makes the calls; its rows are written after each page.
        result: What became of the audience.
        report: What was found in the members that were read.
        own: The members that the request itself carries; None where they are read from a source.
        categories: What of `user_privacy_categories` the request states.
        schema, value_based: See `MemberBatches`.
    """

    config: Config
    outside: Outside
    task: Task
    connection: Connection
    sending: Sending
    result: Result
    report: Report = field(default_factory=Report)
    own: Sequence[Any] | None = field(default=None, repr=False)
    categories: tuple[str, ...] = ()
    schema: tuple[str, ...] | None = None
    value_based: bool = False

    @classmethod
    def on(cls, task: Task, config: Config, outside: Outside, origin: Origin) -> SyncWork:
        """
        Take up *task*.

        Raises:
            ConfigurationError: Its connection is not configured any more, or nothing of segments is.
        """
        connection = config.connections.get(task.connection)
        if connection is None:
            raise ConfigurationError(
                "the connection of a sync is not configured",
                process="send",
                action="Add the connection to the configuration again, or delete its dead letters.",
            )
        # The same for each delivery, so that a row that is written twice counts once.
        same = replace(origin, request_id=task.sync_id, attempt=1, deadline=None)
        return cls(
            config=config,
            outside=outside,
            task=task,
            connection=connection,
            sending=Sending(outside=outside, origin=same, redeliver=True),
            result=Result(destination=_destination(task)),
        )

    @property
    def settings(self) -> SegmentSettings:
        """How segments become audiences."""
        return settings_of(self.config)

    @property
    def warehouse(self) -> Warehouse:
        """Where members are read from."""
        if self.outside.warehouse is None:
            raise ConfigurationError("BigQuery and Cloud Storage are not at hand", process="read")
        return self.outside.warehouse

    @property
    def page_rows(self) -> int:
        """How many members are a page."""
        return self.outside.warehouse.page_rows if self.outside.warehouse else PAGE_ROWS

    def cuts_of(self, source: Source) -> list[Cut]:
        """Return all of a source in cuts, each enough for a message of its own."""
        return self.warehouse.sources.cuts(source, self.task.sync_id, pages=SLICE_PAGES, page_rows=self.page_rows)

    @property
    def audiences(self) -> SegmentAudiences:
        """What finds and makes the audience; for a source it looks anew, since what is remembered may be deleted."""
        return SegmentAudiences(
            graph_api=self.outside.graph_api,
            clock=self.outside.clock,
            settings=self.settings,
            known=KnownAudiences() if self.own is None else self.outside.known_audiences,
        )

    def batches(self, *, without: frozenset[str] = frozenset()) -> MemberBatches:
        """Return how members become batches; by the settings of the day on which the sync began."""
        settings = Admission(self.config, self.outside).settings(self.connection)
        today = datetime.fromtimestamp(self.task.began, UTC).date()
        return MemberBatches(
            policy=Policy(
                settings=replace(settings, today=today),
                minimum_identifiers=self.config.minimum_identifiers,
                data_processing=self.task.terms.data_processing,
            ),
            mapping=self.settings.mapping_of(self.task.segment.id) if self.schema is None else {},
            terms=self.task.terms,
            absent=self.config.consent.absent,
            categories=self.categories,
            without=without,
            schema=self.schema,
            value_based=self.value_based,
        )

    def take_up(self, task: Task) -> None:
        """Go on with *task*."""
        self.task = task
        self.result.destination = _destination(task)

    def of(self, cut: Cut) -> SyncWork:
        """Return the same work on one cut."""
        return replace(self, task=replace(self.task, cuts=(cut,)))

    def pages(self) -> Iterator[tuple[Page, tuple[Cut, ...]]]:
        """Yield the pages of the task's cuts, each with the cuts that begin with it."""
        if self.own is not None:
            for page in pages_of(self.own, self.page_rows):
                yield page, ()
                del page
            return
        for place, cut in enumerate(self.task.cuts):
            here: Cut | None = cut
            later = self.task.cuts[place + 1 :]
            for page in self.warehouse.sources.pages(cut):
                yield page, (here, *later) if here else later
                here = page.rest
                del page

    def is_over(self) -> bool:
        """Tell whether this invocation has done its share, and another one can go on."""
        worked = self.outside.clock.monotonic() - self.sending.origin.started
        return worked > _SHARE_S and self.outside.queue is not None and self.own is None

    def pass_on(self, task: Task, *, after: RelayError | None = None) -> None:
        """
        Leave *task* to the queue, after the wait that an error asks for.

        Raises:
            QueueError: It was not taken.
        """
        if self.outside.queue is None or self.own is not None:
            raise after or ConfigurationError("no queue is configured", process="queue")
        wait = after.retry_after if isinstance(after, RateLimitError) else 0.0
        task = replace(task, not_before=self.outside.clock.now() + wait if wait else 0)
        self.outside.queue.publish(task.to_json(), {"type": SLICE, "trace-id": task.trace_id})

    def end_page(self, report: Report, *, batch: int) -> None:
        """Write the log rows of a page; of one that is only shown there are none."""
        add_up(self.report, report)
        if self.sending.mode == "show":
            return
        self.sending.log_rejects(
            self.result,
            report,
            self.task.audience_id,
            batch=batch,
            action=self.task.change,
            connection=self.task.connection,
        )
        self.write()

    def refuse(self, error: RelayError) -> None:
        """End the sync: there is nothing in it that may be done."""
        self.result.errors.append(error)
        self.result.parts.append("rejected")
        reasons = orjson.dumps(self.report.counted(None), option=orjson.OPT_SORT_KEYS).decode()
        rejected = self.report.rejected_rows(None)
        self.log("rejected", part="refused", error=error, rows_rejected=rejected, reject_reasons=reasons)
        self.write()
        logger.warning("%s refused: %s", self.task.change, error.message)

    def log(self, outcome: Outcome, *, part: object, error: RelayError | None = None, **columns: object) -> None:
        """Note a row of the delivery log."""
        self.sending.log(
            destination=self.result.destination,
            outcome=outcome,
            part=part,
            action=self.task.change,
            connection=self.task.connection,
            **error_columns(error),
            **columns,
        )

    def write(self) -> None:
        """Write the rows that are there."""
        task = self.task
        known = {"segment_id": task.segment.id, "sync_id": task.sync_id} if task.segment.id else {}
        for row in self.sending.rows:
            row.update(known)
            if task.batches:
                row["batches"] = task.batches
        self.sending.finish()
        self.sending.rows.clear()


def _destination(task: Task) -> dict[str, str]:
    return {"audience_id": task.audience_id} if task.audience_id else {"segment_id": task.segment.id}


def settings_of(config: Config) -> SegmentSettings:
    """
    Return how segments become audiences.

    Raises:
        ConfigurationError: Nothing of them is configured.
    """
    if config.segments is None:
        raise ConfigurationError(
            "segments are not configured", process="gate", action="Add segments to the configuration; {} will do."
        )
    return config.segments


def rows_of(cuts: Sequence[Cut]) -> int:
    """Return how many members *cuts* hold."""
    return sum(cut.rows for cut in cuts)
