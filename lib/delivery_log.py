"""
The delivery log: one row for each call and outcome, in BigQuery.

Columns are allow-listed by `delivery_log.json`, which is also the table's schema in Terraform. No row holds an
identifier, a hash or a token: there is no column for one.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Any, Final, Literal, Protocol

import orjson

logger = logging.getLogger(__name__)

SCHEMA_FILE: Final = Path(__file__).with_suffix(".json")


#: Seconds for one insert; the delivery counts without it.
INSERT_TIMEOUT_S: Final = 5.0


class DeliveryLog(Protocol):
    """Takes rows; never raises."""

    def insert(self, rows: Sequence[Mapping[str, object]], *, timeout_s: float = INSERT_TIMEOUT_S) -> None:
        """Write *rows*, each made by `row`, within so many seconds."""


@cache
def columns() -> frozenset[str]:
    """Return the names of the table's columns."""
    return frozenset(column["name"] for column in orjson.loads(SCHEMA_FILE.read_bytes()))


def row(**values: object) -> dict[str, object]:
    """Return a row of *values* without those that are None; a name that is no column is a bug."""
    if unknown := values.keys() - columns():
        raise ValueError(f"not a column of the delivery log: {sorted(unknown)}")
    return {name: value for name, value in values.items() if value is not None}


def row_id(*parts: object) -> str:
    """Return the id of a row from what makes it one: message, destination, batch, attempt."""
    return sha256("\x1f".join(map(str, parts)).encode()).hexdigest()[:32]


class ConsoleDeliveryLog:
    """Rows as structured lines of the console log, where no table is configured."""

    def insert(self, rows: Sequence[Mapping[str, object]], *, timeout_s: float = INSERT_TIMEOUT_S) -> None:  # noqa: ARG002
        """Log each row."""
        for one in rows:
            logger.info("%s %s", one["kind"], one["outcome"], extra={"delivery": one})


#: What one short line tells of each row, for the metrics of terraform/metrics.tf.
COUNTED: Final = (
    "kind", "connection", "outcome", "error_code", "rows_sent", "rows_rejected", "graph_ms", "elapsed_ms",
    "usage_percent",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class CountedDeliveryLog:
    """Another log, and a short line of the console log for each row, which metrics and alerts are made of."""

    log: DeliveryLog

    def insert(self, rows: Sequence[Mapping[str, object]], *, timeout_s: float = INSERT_TIMEOUT_S) -> None:
        """Log each row, and write *rows*."""
        for one in rows:
            counted = {name: one[name] for name in COUNTED if name in one}
            logger.info("%s %s", one["kind"], one["outcome"], extra={"delivery": counted})
        self.log.insert(rows, timeout_s=timeout_s)


class BigQueryDeliveryLog:
    """
    Rows as streaming inserts, each with its id.

    Args:
        client: Makes the official client, on first use.
        table: `project.dataset.table`.
        name: What stands in the console log, as words and as the key, where a row is not taken.
    """

    def __init__(
        self, client: Callable[[], Any], table: str, *, name: Literal["delivery", "health"] = "delivery"
    ) -> None:
        self._client = client
        self._table = table
        self._name = name

    def insert(self, rows: Sequence[Mapping[str, object]], *, timeout_s: float = INSERT_TIMEOUT_S) -> None:
        """Insert *rows*; those that BigQuery does not take go to the console at ERROR."""
        if not rows:
            return
        try:
            errors = self._client().insert_rows_json(
                self._table,
                rows,
                row_ids=[one["row_id"] for one in rows],
                # Else one bad row keeps the good ones out.
                skip_invalid_rows=True,
                timeout=timeout_s,
                retry=None,
            )
        except Exception as error:  # noqa: BLE001 - whatever the client raises, the delivery has been made
            self._fall_back(rows, type(error).__name__)
        else:
            lost = {error["index"] for error in errors}
            self._fall_back([one for place, one in enumerate(rows) if place in lost], "row errors")

    def _fall_back(self, rows: Sequence[Mapping[str, object]], why: str) -> None:
        for one in rows:
            logger.error("%s log: BigQuery did not take a row (%s)", self._name, why, extra={self._name: one})
