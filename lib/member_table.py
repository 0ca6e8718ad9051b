"""
Who was sent by the last mirror of each audience: hashed rows in BigQuery, which also compares them.

A mirror first puts all of its members into the table under its own id. Whom every other mirror in the table has, one of
them sent to its end, is at Meta for certain; whom any of them has may be. So after a crash, which leaves two, the next
mirror adds and removes whoever is not certain, and what it leaves behind is one again.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

import orjson

from lib.audiences import Batch
from lib.cuts import Cut
from lib.table_source import CALL_TIMEOUT_S, QUERY_TIMEOUT_S, cuts_of, run_once, started_once, told

TABLE: Final = "members"
SCHEMA_FILE: Final = Path(__file__).with_name("members.json")
#: Column of the table -> the audience key whose first cell it holds: what names one person alone.
_NAMES: Final[Mapping[str, str]] = {"email": "EMAIL", "phone": "PHONE", "madid": "MADID", "external_id": "EXTERN_ID"}


@dataclass(frozen=True, slots=True)
class Mirror:
    """One mirror of an audience in the table, with how many members it has, and when it began in Unix seconds."""

    sync_id: str
    members: int
    staged_at: float
    done: bool


@dataclass(frozen=True, slots=True)
class MemberTable:
    """
    The table.

    Args:
        client: Makes the official client, on first use.
        table: `project.dataset.table`; it is made with the first mirror.
    """

    client: Callable[[], Any]
    table: str

    def stage(self, audience_id: str, sync_id: str, name: str, batches: Iterable[Batch], staged_at: str) -> int:
        """
        Put members into the table, all of them or none, and once for each *name*; return how many there are.

        Args:
            staged_at: When the mirror began, RFC 3339.
        """
        rows = b"\n".join(
            orjson.dumps({**row, "audience_id": audience_id, "sync_id": sync_id, "staged_at": staged_at, "done": False})
            for batch in batches
            for row in _rows(batch)
        )
        if not rows:
            return 0
        with told(TABLE):
            job = started_once(self.client(), f"meta-relay-{sync_id}-{name}", lambda job_id: self._load(rows, job_id))
            job.result(timeout=QUERY_TIMEOUT_S)
        return rows.count(b"\n") + 1

    def _load(self, rows: bytes, job_id: str) -> Any:
        from google.cloud import bigquery  # noqa: PLC0415 - on first use

        config = bigquery.LoadJobConfig(
            source_format="NEWLINE_DELIMITED_JSON",
            write_disposition="WRITE_APPEND",
            schema=[bigquery.SchemaField.from_api_repr(column) for column in orjson.loads(SCHEMA_FILE.read_bytes())],
            clustering_fields=["audience_id", "sync_id"],
        )
        return self.client().load_table_from_file(
            io.BytesIO(rows), self.table, size=len(rows), job_id=job_id, job_config=config, timeout=CALL_TIMEOUT_S
        )

    def mirrors(self, audience_id: str) -> list[Mirror]:
        """Return what mirrors of an audience there are."""
        return [
            Mirror(row["sync_id"], row["members"], row["staged_at"].timestamp(), bool(row["done"]))
            for row in self._query(_MIRRORS, audience_id=audience_id)
        ]

    def difference(self, audience_id: str, sync_id: str, *, pages: int, page_rows: int) -> list[Cut]:
        """Return who is gone and then who is new, in cuts whose part names the `action`."""
        cuts: list[Cut] = []
        before = 0
        for action, sql in (("remove", _GONE), ("add", _NEW)):
            with told(TABLE):
                job = run_once(
                    self.client(),
                    self._of_table(sql),
                    f"meta-relay-{sync_id}-{action}",
                    parameters={"audience_id": audience_id, "sync_id": sync_id},
                )
                found = list(cuts_of(self.client(), job.destination, pages * page_rows, page_rows, action=action))
            cuts += [replace(cut, first_batch=cut.first_batch + before) for cut in found]
            before += sum(cut.batches for cut in found)
        return cuts

    def finish(self, audience_id: str, sync_id: str, staged_at: str) -> None:
        """Note that a mirror has been sent to its end, and forget those that began before it."""
        # In this order: a crash between them leaves two mirrors that both were sent.
        self._query(_END, audience_id=audience_id, sync_id=sync_id)
        self._query(_FORGET_EARLIER, audience_id=audience_id, sync_id=sync_id, staged_at=staged_at)

    def forget(self, audience_id: str, sync_id: str) -> None:
        """Forget a mirror of which nothing was sent."""
        self._query(_FORGET, audience_id=audience_id, sync_id=sync_id)

    def _query(self, sql: str, **parameters: str) -> list[Any]:
        from google.cloud import bigquery  # noqa: PLC0415 - on first use

        given = [
            bigquery.ScalarQueryParameter(name, "TIMESTAMP" if name == "staged_at" else "STRING", value)
            for name, value in parameters.items()
        ]
        config = bigquery.QueryJobConfig(query_parameters=given, use_query_cache=False)
        with told(TABLE):
            job = self.client().query(self._of_table(sql), job_config=config, timeout=CALL_TIMEOUT_S)
            return list(job.result(timeout=QUERY_TIMEOUT_S))

    def _of_table(self, sql: str) -> str:
        return sql.replace("TABLE", f"`{self.table}`")


# In these, TABLE stands for the name of the table, which is the configuration's; all else is a parameter.

_MIRRORS: Final = """
SELECT sync_id, COUNT(*) AS members, MIN(staged_at) AS staged_at, MAX(CASE WHEN done THEN 1 ELSE 0 END) AS done
FROM TABLE WHERE audience_id = @audience_id GROUP BY sync_id
"""
_END: Final = "UPDATE TABLE SET done = TRUE WHERE audience_id = @audience_id AND sync_id = @sync_id"
_FORGET: Final = "DELETE FROM TABLE WHERE audience_id = @audience_id AND sync_id = @sync_id"
_FORGET_EARLIER: Final = (
    "DELETE FROM TABLE WHERE audience_id = @audience_id AND sync_id <> @sync_id AND staged_at <= @staged_at"
)

#: How many other mirrors there are, and for each member in how many of them it is, whether one of them was sent to its
#: end, and whether it is in this one.
_KNOWN: Final = """
WITH others AS (
  SELECT COUNT(DISTINCT sync_id) AS mirrors FROM TABLE WHERE audience_id = @audience_id AND sync_id <> @sync_id
),
known AS (
  SELECT member, MAX(column_keys) AS column_keys, MAX(cells) AS cells, MAX(email) AS email, MAX(phone) AS phone,
    MAX(madid) AS madid, MAX(external_id) AS external_id,
    COUNT(DISTINCT CASE WHEN sync_id <> @sync_id THEN sync_id END) AS held,
    MAX(CASE WHEN sync_id <> @sync_id AND done THEN 1 ELSE 0 END) AS sent,
    MAX(CASE WHEN sync_id = @sync_id THEN 1 ELSE 0 END) AS wanted
  FROM TABLE WHERE audience_id = @audience_id GROUP BY member
),
gone AS (SELECT * FROM known WHERE wanted = 0)
"""
_GONE: Final = f"{_KNOWN} SELECT column_keys, cells FROM gone"  # noqa: S608 - nothing of it is from outside
#: Meta removes whoever shares an identifier with a row that is removed, so who stays and does is added again.
_NEW: Final = f"""{_KNOWN}
SELECT column_keys, cells FROM known
WHERE wanted = 1 AND (
  sent = 0 OR held < (SELECT mirrors FROM others)
  OR email IN (SELECT email FROM gone WHERE email IS NOT NULL)
  OR phone IN (SELECT phone FROM gone WHERE phone IS NOT NULL)
  OR madid IN (SELECT madid FROM gone WHERE madid IS NOT NULL)
  OR external_id IN (SELECT external_id FROM gone WHERE external_id IS NOT NULL)
)"""  # noqa: S608 - as above


def _rows(batch: Batch) -> Iterator[dict[str, Any]]:
    columns = orjson.dumps(batch.schema).decode()
    places = {name: batch.schema.index(key) for name, key in _NAMES.items() if key in batch.schema}
    for row in batch.rows:
        cells = orjson.dumps(row).decode()
        named = {name: row[place] for name, place in places.items() if row[place]}
        member = sha256(f"{columns}{cells}".encode()).hexdigest()
        yield {"member": member, "column_keys": columns, "cells": cells, **named}


def batches_of(members: Sequence[Mapping[str, Any] | None]) -> Iterator[Batch]:
    """Yield rows of the table as batches, one for each set of columns; their numbers are their places."""
    by_columns: dict[str, tuple[list[tuple[Any, ...]], list[int]]] = {}
    for number, member in enumerate(members):
        if member is not None:
            rows, numbers = by_columns.setdefault(member["column_keys"], ([], []))
            rows.append(tuple(orjson.loads(member["cells"])))
            numbers.append(number)
    for columns, (rows, numbers) in by_columns.items():
        yield Batch(tuple(orjson.loads(columns)), rows, numbers)
