"""
`mirror`: the audience follows the source by its difference to the last mirror, which BigQuery computes.

All members are put into the table of members first, hashed. Then whoever is gone is removed, before whoever is new is
added: a person whose phone number has changed is gone under the old row and new under the other.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Final

from lib.adding import call_of, stop
from lib.audiences import Batch
from lib.cuts import Page
from lib.errors import ConfigurationError, NobodyToSendError, RefusedReplaceError, TransientGraphAPIError
from lib.member_table import MemberTable, Mirror, batches_of
from lib.outcomes import rfc3339
from lib.report import Report
from lib.sync_work import SLICE_PAGES, SyncWork

#: Seconds after which a mirror that has not ended counts as crashed: its message would long have come again.
_CRASHED_S: Final = 2 * 3600.0


@dataclass(slots=True)
class Mirroring:
    """One invocation's share of a mirror."""

    work: SyncWork

    @property
    def table(self) -> MemberTable:
        """The table of members."""
        table = self.work.warehouse.members
        if table is None:
            raise ConfigurationError(
                "a mirror needs a delivery log in BigQuery: the table of members stands beside it",
                process="read",
                action="Configure delivery_log.",
            )
        return table

    def go_on(self) -> None:
        """
        Stage, compare and send.

        Raises:
            RelayError: The message itself has to come again, or can never succeed.
        """
        if self.work.task.step != "send" and not (self._stage() and self._compare()):
            return
        self._send()

    def _stage(self) -> bool:
        """Put the members into the table, a cut at a time; return whether all are there."""
        work, table = self.work, self.table
        for done, cut in enumerate(work.task.cuts if work.own is None else (None,)):
            if done and work.is_over():
                work.pass_on(work.task)
                return False
            part = work if cut is None else work.of(cut)
            name = "own" if cut is None else f"{cut.first_batch}"
            staged = table.stage(
                work.task.audience_id,
                work.task.sync_id,
                name,
                self._batches(part),
                rfc3339(work.task.began),
            )
            left = () if cut is None else tuple(one for one in work.task.cuts if one.first_batch > cut.first_batch)
            work.take_up(replace(work.task, cuts=left, staged=work.task.staged + staged))
        return True

    def _batches(self, part: SyncWork) -> Iterator[Batch]:
        for page, _ in part.pages():
            report = Report()
            yield from self.work.batches().of(page, report)
            self.work.end_page(report, batch=page.batch)

    def _compare(self) -> bool:
        """Let BigQuery compute who is gone and who is new; return whether they may be sent."""
        work, task = self.work, self.work.task
        if not task.staged:
            work.refuse(NobodyToSendError("nobody in it can be sent, and the audience is left as it is"))
            return False
        mirrors = {mirror.sync_id: mirror for mirror in self.table.mirrors(task.audience_id)}
        mine = mirrors.pop(task.sync_id, None)
        if mine is None or mine.members < task.staged:
            # A later one has ended meanwhile, and knows better.
            work.refuse(RefusedReplaceError("a later mirror of the audience has overtaken this one"))
            return False
        self._give_way(mine, list(mirrors.values()))
        before = max((mirror.members for mirror in mirrors.values() if mirror.done), default=0)
        if mine.members < before * (1 - work.settings.max_shrink):
            self.table.forget(task.audience_id, task.sync_id)
            work.refuse(
                RefusedReplaceError(
                    f"the audience would shrink from {before} to {mine.members}, by more than max_shrink allows",
                    action="See that the list is whole; if it is, raise segments.max_shrink for this once.",
                )
            )
            return False
        cuts = tuple(self.table.difference(task.audience_id, task.sync_id, pages=SLICE_PAGES, page_rows=work.page_rows))
        batches = sum(cut.batches for cut in cuts)
        work.take_up(replace(task, step="send", cuts=cuts, whole=(), batches=batches))
        return True

    def _give_way(self, mine: Mirror, others: list[Mirror]) -> None:
        """
        Let an earlier mirror that is under way end first.

        Raises:
            TransientGraphAPIError: There is one.
        """
        now = self.work.outside.clock.now()
        for other in others:
            is_under_way = not other.done and now - other.staged_at < _CRASHED_S
            if is_under_way and (other.staged_at, other.sync_id) < (mine.staged_at, mine.sync_id):
                raise TransientGraphAPIError(
                    "another mirror of the audience is under way", action="Nothing: it is tried again."
                )

    def _send(self) -> None:
        """Send the difference page by page, in order; then this mirror is the last one."""
        work, task = self.work, self.work.task
        # The difference is in BigQuery, whoever has carried the members.
        work.own = None
        for done, (page, left) in enumerate(work.pages()):
            if done and work.is_over():
                work.pass_on(replace(work.task, cuts=left))
                return
            self._send_page(page, left[0].part.get("action", "add"))
            if work.result.stopped is not None:
                stop(work, work.result.stopped, replace(task, cuts=left), done=done)
                return
        self.table.finish(task.audience_id, task.sync_id, rfc3339(task.began))
        work.result.parts.append("delivered")
        work.log("delivered", part="end")
        work.write()

    def _send_page(self, page: Page, action: str) -> None:
        work = self.work
        for batch in batches_of(page.members):
            work.sending.dispatch([(work.result, call_of(work.task, batch, page.batch, action=action))])
            if work.result.stopped is not None:
                break
        work.write()
