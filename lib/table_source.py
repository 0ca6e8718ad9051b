"""
Members in BigQuery, read with the official client over its REST API.

Without the Storage API and pyarrow, which weigh 30 MB and 50 ms in every cold start that finds them installed.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, datetime, time
from decimal import Decimal
from typing import Any, Final

from lib.config import Source
from lib.cuts import PAGE_ROWS, Cut
from lib.errors import ConfigurationError, SourceUnavailableError

#: Seconds for one call, and for a query.
CALL_TIMEOUT_S: Final = 60.0
QUERY_TIMEOUT_S: Final = 480.0
#: Jobs that are begun for one query.
_ATTEMPTS: Final = 3


@dataclass(frozen=True, slots=True)
class TableReader:
    """
    Reads tables and queries.

    Args:
        client: Makes the official client, on first use.
    """

    client: Callable[[], Any]

    def cuts(self, source: Source, sync_id: str, rows: int, page_rows: int) -> Iterator[Cut]:
        """
        Return all rows of the table or query, in cuts.

        Both run as a query, whose anonymous result stays as it is for a day, while a table may change.
        -- https://cloud.google.com/bigquery/docs/cached-results#how_cached_results_are_stored
        """
        sql = source.query or f"SELECT * FROM `{source.table}`"  # noqa: S608 - the table is the configuration's
        with told(source.name):
            job = run_once(self.client(), sql, f"meta-relay-{sync_id}")
        yield from cuts_of(self.client(), job.destination, rows, page_rows)

    def members(self, cut: Cut) -> Iterator[tuple[Mapping[str, Any] | None, int]]:
        """Yield each row as an object of plain values."""
        with told("table"):
            table = self.client().get_table(cut.part["table"], timeout=CALL_TIMEOUT_S)
            listed = self.client().list_rows(
                table, start_index=cut.start, max_results=cut.rows, page_size=PAGE_ROWS, timeout=CALL_TIMEOUT_S
            )
            names = [column.name for column in table.schema]
            odd = [name for name, column in zip(names, table.schema, strict=True) if column.field_type not in _PLAIN]
            for number, row in enumerate(listed, start=cut.start + 1):
                # Not by values(), which copies each of them.
                member = {name: row[place] for place, name in enumerate(names)}
                for name in odd:
                    member[name] = _plain(member[name])
                yield member, number


def cuts_of(client: Any, table: Any, rows: int, page_rows: int, **more: str) -> Iterator[Cut]:
    """Yield the rows of a table that does not change, in cuts; *more* is told of each."""
    with told("table"):
        count = client.get_table(table, timeout=CALL_TIMEOUT_S).num_rows or 0
    part = {"kind": "table", "table": f"{table.project}.{table.dataset_id}.{table.table_id}", **more}
    for start in range(0, count, rows):
        yield Cut(
            part=part,
            start=start,
            first_row=start,
            rows=min(rows, count - start),
            first_batch=start // page_rows + 1,
            page_rows=page_rows,
        )


def run_once(client: Any, sql: str, job_id: str, *, parameters: Mapping[str, str] | None = None) -> Any:
    """Return the finished query of that id, which runs unless it has: a message may come again."""
    from google.cloud import bigquery  # noqa: PLC0415 - on first use

    config = bigquery.QueryJobConfig(
        # The table of a cached result may be about to expire.
        use_query_cache=False,
        query_parameters=[
            bigquery.ScalarQueryParameter(name, "STRING", value) for name, value in (parameters or {}).items()
        ],
    )

    def begin(one: str) -> Any:
        return client.query(sql, job_id=one, job_config=config, job_retry=None, timeout=CALL_TIMEOUT_S)

    job = started_once(client, job_id, begin)
    # One row, since without a limit the first page of the result comes along.
    job.result(timeout=QUERY_TIMEOUT_S, max_results=1)
    return job


def started_once(client: Any, job_id: str, begin: Callable[[str], Any]) -> Any:
    """Return the job of that id, which is begun unless it was; after one that has failed the next, under another id."""
    from google.api_core.exceptions import Conflict  # noqa: PLC0415 - comes with the client, on first use

    for attempt in range(_ATTEMPTS):
        one = f"{job_id}-{attempt}"
        try:
            return begin(one)
        except Conflict as error:
            job = client.get_job(one, location=location_of(error.message), timeout=CALL_TIMEOUT_S)
            if job.error_result is None:
                return job
    return job


_LOCATION: Final = re.compile(r"Already Exists: Job [^:\s]+:([A-Za-z0-9-]+)\.")


def location_of(message: str) -> str | None:
    """Return where a job is that exists already; jobs.get does not find it without, and only the refusal says it."""
    found = _LOCATION.search(message)
    return found[1] if found else None


#: Columns whose values are texts, numbers and booleans as they come.
_PLAIN: Final = frozenset({"STRING", "INTEGER", "INT64", "FLOAT", "FLOAT64", "BOOLEAN", "BOOL"})


def _plain(value: Any) -> Any:
    """Return a value as JSON would have it; bytes in hexadecimal digits, as BigQuery's own SHA256 gives a hash."""
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, datetime | date | time):
        return value.isoformat()
    if isinstance(value, Decimal):
        return str(value)
    if isinstance(value, Mapping):
        return {key: _plain(one) for key, one in value.items()}
    return [_plain(one) for one in value] if isinstance(value, list) else value


@contextmanager
def told(what: str) -> Iterator[None]:
    """
    Turn what the client raises into one of our errors, without its text: a message of BigQuery may quote a value.

    Args:
        what: The name of the source, for people.
    """
    from google.api_core import exceptions  # noqa: PLC0415 - both come with the client, on first use
    from google.auth.exceptions import GoogleAuthError  # noqa: PLC0415

    try:
        yield
    except (exceptions.NotFound, exceptions.Forbidden, exceptions.BadRequest) as error:
        raise ConfigurationError(
            f"BigQuery refuses to read the source {what} ({type(error).__name__})",
            field="source",
            process="read",
            scope="BigQuery",
            action="See that the table or query is right, and that the function's service account has "
            "roles/bigquery.jobUser, and roles/bigquery.dataViewer on what it reads; a sync that is older than a day "
            "has to begin anew.",
        ) from None
    except (exceptions.GoogleAPIError, GoogleAuthError, OSError) as error:
        raise SourceUnavailableError(
            f"BigQuery cannot be read now ({type(error).__name__})", field="source", scope="BigQuery"
        ) from None
