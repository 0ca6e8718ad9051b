"""
The tables of terraform/README.md, from the .tf files, the views and a few list prices; a test compares.

A table stands between `<!-- generated: NAME -->` and `<!-- end -->`; `make terraform` writes them anew.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Final

from tests import hcl

FOLDER: Final = Path(__file__).parents[2] / "terraform"
README: Final = FOLDER / "README.md"
_MARKED: Final = re.compile(r"(<!-- generated: (.+?) -->\n).*?(<!-- end -->)", re.DOTALL)


def variables() -> str:
    """Return each variable with its keys or type, its default and what it is for."""
    rows = [
        (f"`{one.name}`", _shape(one.type), "" if one.default is None else f"`{one.default}`", one.description)
        for one in hcl.variables(FOLDER / "variables.tf")
    ]
    return _table(("variable", "type, or keys and their defaults", "default", "what for"), rows)


def _shape(text: str) -> str:
    """Return a type in one line; of an object its keys, with the defaults that `optional` states."""
    shown: list[str] = []
    nested: list[str] = []
    for line in text.splitlines()[1:]:
        if found := re.match(r"^ +(\w+) += (.*)$", line):
            name, stated = found.groups()
            if stated.endswith("({"):
                nested.append(name)
                continue
            default = re.match(r"optional\(.*, (.+)\)$", stated)
            told = (
                f" {default[1]}" if default and default[1] not in {"[]", "{}"} and not stated.endswith("(any)") else ""
            )
            if re.match(r"optional\((list|map)\([a-z(]+\)+$", stated):
                told = ""
            shown.append(f"`{'.'.join([*nested, name])}`{told}")
        elif nested and line.strip().startswith("})"):
            nested.pop()
    if not shown:
        return f"`{' '.join(text.split())}`"
    return ("by name: " if text.startswith("map(") else "") + ", ".join(shown)


def outputs() -> str:
    """Return each output with what it is."""
    return _table(("output", "what it is"), [(f"`{name}`", text) for name, text in hcl.outputs(FOLDER / "outputs.tf")])


def views() -> str:
    """Return each view with the question that it answers and its columns."""
    rows = []
    for path in sorted((FOLDER / "views").glob("*.sql")):
        text = path.read_text(encoding="utf-8")
        rows.append((f"`{path.stem}`", text.partition("\n")[0].removeprefix("-- ")))
    return _table(("view", "what it answers"), rows)


def alerts() -> str:
    """Return each alert with its severity."""
    found = re.findall(
        r"severity += \"(\w+)\"\n +title += \"(.*)\"", (FOLDER / "alerts.tf").read_text(encoding="utf-8")
    )
    return _table(("alert", "severity"), [(title, severity.lower()) for severity, title in found])


# Costs: list prices in US dollars of a tier 1 region, without discounts.
# https://cloud.google.com/run/pricing, /bigquery/pricing, /stackdriver/pricing, /vpc/network-pricing
_CPU_S, _FREE_CPU_S = 0.000024, 180_000
_GIB_S, _FREE_GIB_S = 0.0000025, 360_000
_REQUESTS_MILLION, _FREE_REQUESTS = 0.40, 2e6
_LOG_GIB, _FREE_LOG_GIB = 0.50, 50
_INSERT_GB, _STORED_GB, _FREE_STORED_GB = 0.05, 0.02, 10
_EGRESS_GIB, _FREE_EGRESS_GIB = 0.12, 1
_FIXED: Final = 3.0  # Scheduler, secrets, and what little the rest takes

# What one call to Meta takes: seconds until it answers, of which seconds of processor, and bytes.
_CALL_S, _CALL_CPU_S = 0.25, 0.003
_LOGGED_BYTES, _ROW_BYTES, _CALL_BYTES, _EVENT_BYTES = 1_600, 450, 800, 900
_CONCURRENCY, _UTILIZATION, _MONTH_S, _MONTHS_KEPT = 40, 0.6, 2_628_000, 13
_MEMORY_GIB: Final = 0.5
_GB, _GIB = 1e9, 2**30


def costs() -> str:
    """Return what a month costs by number of events, one or a hundred in a request."""
    rows = []
    for millions, together in ((1, 1), (10, 1), (1000, 1), (1000, 100)):
        parts = month(millions * 1e6, together)
        cells = [f"${round(part):,}" for part in parts]
        rows.append((f"{millions:,} million", str(together), *cells, f"**${round(sum(parts)):,}**"))
    head = ("events a month", "in a request", "Cloud Run", "logs", "BigQuery", "traffic to Meta", "rest", "in all")
    return _table(head, rows)


def month(events: float, together: int) -> tuple[float, ...]:
    """Return the dollars of a month for Cloud Run, logs, BigQuery, traffic and the rest."""
    calls = events / together
    in_flight = calls / _MONTH_S * _CALL_S
    # An instance is paid while it has a request: with few of them, the share of time in which there is one.
    instances = max(1 - math.exp(-in_flight), in_flight / (_CONCURRENCY * _UTILIZATION))
    instances = max(instances, events / _MONTH_S * _CALL_CPU_S / _UTILIZATION if together == 1 else 0)
    seconds = instances * _MONTH_S
    run = (
        _CPU_S * max(0, seconds - _FREE_CPU_S)
        + _GIB_S * max(0, seconds * _MEMORY_GIB - _FREE_GIB_S)
        + _REQUESTS_MILLION * max(0, calls - _FREE_REQUESTS) / 1e6
    )
    logs = _LOG_GIB * max(0, calls * _LOGGED_BYTES / _GIB - _FREE_LOG_GIB)
    rows_gb = calls * _ROW_BYTES / _GB
    bigquery = _INSERT_GB * rows_gb + _STORED_GB * max(0, rows_gb * _MONTHS_KEPT - _FREE_STORED_GB)
    traffic_gib = (calls * _CALL_BYTES + events * _EVENT_BYTES) / _GIB
    return run, logs, bigquery, _EGRESS_GIB * max(0, traffic_gib - _FREE_EGRESS_GIB), _FIXED


TABLES: Final[Mapping[str, Callable[[], str]]] = {
    "variables": variables,
    "outputs": outputs,
    "views": views,
    "alerts": alerts,
    "costs": costs,
}


def _table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    names = tuple(head)
    lines = [f"| {' | '.join(names)} |", "|---" * len(names) + "|"]
    return "\n".join([*lines, *(f"| {' | '.join(row)} |" for row in rows)]) + "\n"


def with_tables(text: str) -> str:
    """Return *text* with each marked table made anew."""
    return _MARKED.sub(lambda part: part[1] + TABLES[part[2]]() + part[3], text)


if __name__ == "__main__":
    README.write_text(with_tables(README.read_text(encoding="utf-8")), encoding="utf-8")
