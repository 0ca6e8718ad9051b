"""How far the last sync of a segment is, from the rows that it has written to the delivery log."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import orjson

from lib.table_source import CALL_TIMEOUT_S, told

#: A sync is over within hours; the log is partitioned by day, and of older days nothing is read.
_LOOK_BACK: Final = timedelta(days=7)
_QUERY: Final = """
SELECT row_id, logged_at, action, connection, batch, batches, outcome, rows_received, rows_sent, rows_rejected,
  reject_reasons, num_invalid_entries, error_message
FROM TABLE
WHERE logged_at >= @since AND sync_id = (
  SELECT MAX(sync_id) FROM TABLE WHERE logged_at >= @since AND segment_id = @segment AND sync_id IS NOT NULL
  AND logged_at = (
    SELECT MAX(logged_at) FROM TABLE WHERE logged_at >= @since AND segment_id = @segment AND sync_id IS NOT NULL
  )
)
"""


@dataclass(frozen=True, slots=True)
class SyncProgress:
    """
    Reads the delivery log.

    Args:
        client: Makes the official client, on first use.
        table: `project.dataset.table` of the log.
    """

    client: Callable[[], Any]
    table: str

    def of(self, segment_id: str, *, now: float) -> Progress | None:
        """
        Return how far the last sync of a segment is; None if there was none of late.

        Raises:
            ConfigurationError, SourceUnavailableError: The log cannot be read.
        """
        from google.cloud import bigquery  # noqa: PLC0415 - on first use

        since = datetime.fromtimestamp(now, UTC) - _LOOK_BACK
        parameters = [
            bigquery.ScalarQueryParameter("since", "TIMESTAMP", since),
            bigquery.ScalarQueryParameter("segment", "STRING", segment_id),
        ]
        config = bigquery.QueryJobConfig(query_parameters=parameters, use_query_cache=False)
        with told("delivery_log"):
            job = self.client().query(
                _QUERY.replace("TABLE", f"`{self.table}`"), job_config=config, timeout=CALL_TIMEOUT_S
            )
            rows = [dict(row) for row in job.result(timeout=CALL_TIMEOUT_S)]
        return Progress(rows) if rows else None


@dataclass(frozen=True, slots=True)
class Progress:
    """
    One sync.

    Args:
        rows: Of the delivery log, in any order, and some of them twice: a slice that comes again writes its rows again.
    """

    rows: Sequence[Mapping[str, Any]]

    @property
    def connection(self) -> str:
        """Through which it goes."""
        return str(self.rows[0]["connection"])

    def shown(self, now: float) -> dict[str, Any]:
        """
        Return the answer of `GET /segments/{id}`.

        `rate` is in members a second, `expected_end` in RFC 3339; both are None while there is nothing to tell.
        """
        once = sorted({row["row_id"]: row for row in self.rows}.values(), key=lambda row: row["logged_at"])
        counted = [row for row in once if row["outcome"] in _COUNTED]
        done = {row["batch"] for row in counted if row["batch"] and not self._is_staged(row)}
        batches = next((row["batches"] for row in reversed(once) if row["batches"]), None)
        sent = sum(row["rows_sent"] or 0 for row in counted)
        seconds = (once[-1]["logged_at"] - once[0]["logged_at"]).total_seconds()
        left = max(0, (batches or 0) - len(done))
        errors = [row["error_message"] for row in once if row["error_message"]]
        return {
            "rows_read": sum(row["rows_received"] or 0 for row in counted),
            "rows_sent": sent,
            "rejected": self._rejected(counted),
            "batches_done": len(done),
            "batches": batches,
            "rate": round(sent / seconds, 1) if sent and seconds > 0 else None,
            "expected_end": _rfc3339(now + left * seconds / len(done)) if left and done else None,
            "last_error": errors[-1] if errors else None,
        }

    def _is_staged(self, row: Mapping[str, Any]) -> bool:
        """Tell whether a row is of the members that a mirror has read, and not of the difference that it sends."""
        return bool(row["action"] == "mirror")

    def _rejected(self, counted: Sequence[Mapping[str, Any]]) -> dict[str, int]:
        rejected: Counter[str] = Counter()
        for row in counted:
            rejected.update(orjson.loads(row["reject_reasons"] or "{}"))
        return dict(rejected)


#: Outcomes of members who are done with.
_COUNTED: Final = frozenset({"delivered", "partial", "rejected"})


def _rfc3339(now: float) -> str:
    return datetime.fromtimestamp(now, UTC).isoformat(timespec="seconds")
