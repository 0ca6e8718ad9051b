"""
The health log: one row for each thing that a round of checks has looked at, in BigQuery, and one line of the console.

Columns are allow-listed by `health_log.json`, which is also the table's schema in Terraform. A line of the console log
holds the same row under `health`: alerts look at `jsonPayload.health.kind`, `.status` and `.reason` (the faults of
`health_faults`), such as `token_invalid`, `token_expiring`, `audience_flagged` and `match_quality_falling`.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any, Final, Protocol

import orjson

from lib.delivery_log import DeliveryLog
from lib.errors import ConfigurationError

logger = logging.getLogger(__name__)

SCHEMA_FILE: Final = Path(__file__).with_suffix(".json")
#: What stands for the time before, beside which a fall is one.
WEEK: Final = timedelta(days=7)
#: Seconds for the query of the week before.
_QUERY_TIMEOUT_S: Final = 30.0

_LEVELS: Final[Mapping[object, int]] = {
    "ok": logging.INFO,
    "warning": logging.WARNING,
    "unknown": logging.WARNING,
    "error": logging.ERROR,
}

#: Connection, dataset and event.
EventKey = tuple[str, str, str]


class HealthHistory(Protocol):
    """Knows what earlier rounds have found."""

    def match_quality(self, now: float) -> Mapping[EventKey, float]:
        """
        Return the mean match quality of each event over the seven days before *now*, in Unix seconds.

        Raises:
            ConfigurationError: Nobody can tell.
        """


@cache
def columns() -> frozenset[str]:
    """Return the names of the table's columns."""
    return frozenset(column["name"] for column in orjson.loads(SCHEMA_FILE.read_bytes()))


def row(**values: object) -> dict[str, object]:
    """Return a row of *values* without those that are None; a name that is no column is a bug."""
    if unknown := values.keys() - columns():
        raise ValueError(f"not a column of the health log: {sorted(unknown)}")
    return {name: value for name, value in values.items() if value is not None}


@dataclass(frozen=True, slots=True)
class HealthLog:
    """
    Writes rows to the console log, and to a table where there is one.

    Args:
        table: Takes rows as the delivery log does.
        history: None where nothing is kept.
    """

    table: DeliveryLog | None = None
    history: HealthHistory | None = None

    def insert(self, rows: Sequence[Mapping[str, object]]) -> None:
        """Write *rows*, each made by `row`; never raises."""
        for one in rows:
            about = " ".join(str(one[name]) for name in ("kind", "connection", "subject", "event_name") if name in one)
            said = f": {one['message']}" if "message" in one else ""
            logger.log(_LEVELS[one["status"]], "health: %s %s%s", about, one["status"], said, extra={"health": one})
        if self.table is not None:
            self.table.insert(rows)


_MATCH_QUALITY: Final = """
SELECT connection, subject, event_name, AVG(match_quality) AS match_quality
FROM `{table}`
WHERE kind = 'match_quality' AND logged_at >= @since AND logged_at < @now
GROUP BY connection, subject, event_name
"""


@dataclass(frozen=True, slots=True)
class BigQueryHealthHistory:
    """
    Queries the table of the health log.

    Args:
        client: Makes the official client, on first use.
        table: `project.dataset.table`.
    """

    client: Callable[[], Any]
    table: str

    def match_quality(self, now: float) -> Mapping[EventKey, float]:
        """Return the means of the week before; see `HealthHistory`."""
        from google.cloud.bigquery import QueryJobConfig, ScalarQueryParameter  # noqa: PLC0415 - on first use

        until = datetime.fromtimestamp(now, UTC)
        parameters = [
            ScalarQueryParameter("since", "TIMESTAMP", until - WEEK),
            ScalarQueryParameter("now", "TIMESTAMP", until),
        ]
        try:
            job = self.client().query(
                _MATCH_QUALITY.format(table=self.table),
                job_config=QueryJobConfig(query_parameters=parameters),
                job_retry=None,
                timeout=_QUERY_TIMEOUT_S,
            )
            rows = job.result(timeout=_QUERY_TIMEOUT_S)
            return {(one.connection, one.subject, one.event_name): one.match_quality for one in rows}
        except Exception as error:  # noqa: BLE001 - whatever the client raises, the other checks go on
            kind = type(error).__name__
            raise ConfigurationError(f"the health log cannot be queried ({kind})", scope="BigQuery") from None
