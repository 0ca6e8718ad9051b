"""Where the members of segments are kept and looked up: BigQuery and Cloud Storage."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from threading import BoundedSemaphore
from typing import TYPE_CHECKING, Any, Final

from lib.cuts import PAGE_ROWS
from lib.errors import SourceUnavailableError
from lib.segment_source import SegmentSources

if TYPE_CHECKING:
    from lib.member_table import MemberTable
    from lib.sync_progress import SyncProgress

#: Sources that an instance reads at once. Each takes the memory of a batch, and more are no quicker: an instance has
#: one processor, and Cloud Run has others.
_AT_ONCE: Final = 2
#: Seconds to wait for one's turn; then another instance may have it.
_TURN_S: Final = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Warehouse:
    """
    The clients, and what is made of them.

    Args:
        bigquery, storage: Make the official clients, on first use.
        delivery_log: `project.dataset.table` of the delivery log; the table of members stands beside it.
        page_rows: Members that are read, built and sent at once.
    """

    bigquery: Callable[[], Any]
    storage: Callable[[], Any]
    delivery_log: str | None = None
    page_rows: int = PAGE_ROWS
    _turns: BoundedSemaphore = field(default_factory=lambda: BoundedSemaphore(_AT_ONCE), repr=False)

    @contextmanager
    def turn(self) -> Iterator[None]:
        """
        Read within, once others have done.

        Raises:
            SourceUnavailableError: They go on for too long.
        """
        if not self._turns.acquire(timeout=_TURN_S):
            raise SourceUnavailableError("this instance reads as many sources as it can")
        try:
            yield
        finally:
            self._turns.release()

    @property
    def sources(self) -> SegmentSources:
        """What segments are read from."""
        return SegmentSources(self.bigquery, self.storage)

    @property
    def members(self) -> MemberTable | None:
        """The members of the last mirrors; None where there is no dataset for them."""
        from lib.member_table import TABLE, MemberTable  # noqa: PLC0415 - for mirrors alone

        dataset = self.delivery_log and self.delivery_log.rpartition(".")[0]
        return MemberTable(self.bigquery, f"{dataset}.{TABLE}") if dataset else None

    @property
    def progress(self) -> SyncProgress | None:
        """How far syncs are; None where no delivery log is kept in BigQuery."""
        from lib.sync_progress import SyncProgress  # noqa: PLC0415 - for those alone who ask

        return SyncProgress(self.bigquery, self.delivery_log) if self.delivery_log else None
