"""`make bench`: each measurement beside what it is measured against, in one interleaved run on seeded data."""

from __future__ import annotations

import argparse
import platform
import sys
from collections.abc import Sequence
from contextlib import ExitStack
from itertools import islice
from typing import Final

from lib.hashing import as_sha256_hex
from tests.bench.events import event_steps
from tests.bench.identity import RESOLVERS, firestore_milliseconds, identity_steps
from tests.bench.people import FEW_FIELDS, FIELDS, Row, people
from tests.bench.processes import import_rounds, memory
from tests.bench.rounds import Round, measure, median_of, ratio_of
from tests.bench.speed import phone_steps, steps
from tests.bench.syncs import sync_steps
from tests.bench.table import Line, table
from tests.bench.throughput import throughput_rounds

_SEED: Final = 7
#: Mark of a schema -> its fields, and what a batch may cost beside hashlib, and has to be ahead of facebook-business.
_SCHEMAS: Final = {
    "14 fields": (FIELDS, 2.5, 4.0),
    "5 fields": (FEW_FIELDS, 4.3, 2.8),
}


def speed_lines(rows: Sequence[Row], rounds: int) -> list[Line]:
    """Return how fast rows become batches and bodies, and phones their normal form."""
    lines = []
    for mark, (fields, most, least) in _SCHEMAS.items():
        places = [FIELDS.index(field) for field in fields]
        measured = measure(steps(fields, [[row[place] for place in places] for row in rows], mark), rounds)
        lines += [
            _line(measured, f"hashlib {mark}", "hashlib alone"),
            _line(measured, f"batch {mark}", "rows to a batch", f"hashlib {mark}", target=most),
            _line(measured, f"body {mark}", "rows to a request's body"),
            _line(measured, f"facebook-business {mark}", "the same", f"body {mark}", target=least, at_least=True),
        ]
    measured = measure(phone_steps(_SEED, max(len(rows) // 2, 10)), rounds)
    lines += [
        _line(measured, "phone", "phones to E.164"),
        _line(measured, "phonenumbers", "the same", "phone", target=8.0, at_least=True),
    ]
    return lines


def _line(
    rounds: Sequence[Round],
    name: str,
    what: str,
    against: str = "",
    *,
    target: float | None = None,
    at_least: bool = False,
    each: int = 0,
) -> Line:
    seconds = median_of(rounds, name)
    return Line(
        what=f"{name}: {what}",
        median=f"{1e6 * seconds / each:.1f} us" if each else f"{1000 * seconds:.1f} ms",
        ratio=ratio_of(rounds, name, against) if against else None,
        against=against,
        at="least" if at_least else "most",
        target=target,
    )


def event_lines(count: int, rounds: int) -> list[Line]:
    """Return how fast one event becomes what leaves."""
    measured = measure(event_steps(count), rounds)
    return [
        _line(measured, "hashes of an event", "ten, bare", each=count),
        _line(measured, "user_data", "of an event, bytes to bytes", "hashes of an event", target=6.0, each=count),
        _line(measured, "event", "the whole of it, request to body", "hashes of an event", target=6.0, each=count),
        _line(measured, "facebook-business event", "the same", "user_data", target=2.5, at_least=True, each=count),
        _line(measured, "facebook-business event", "the same", "event", target=2.5, at_least=True, each=count),
    ]


def identity_lines(count: int, rounds: int) -> list[Line]:
    """Return what recognising its person adds to an event."""
    measured = measure(identity_steps(count), rounds)
    lines = [_line(measured, "building", "an event of a shop, without identity", each=count)]
    for name in RESOLVERS:
        target = 0.3 if name == "at once" else None
        lines.append(_line(measured, name, "what identity adds", "building", target=target, each=count))
    waited = firestore_milliseconds(max(count // 10, 10))
    if waited is None:
        return [*lines, Line(what="Google's Firestore emulator is not installed here", median="")]
    return lines + [
        Line(what=f"Firestore emulator, waited for: {what}", median=f"{milliseconds:.1f} ms")
        for what, milliseconds in waited.items()
    ]


def sync_lines(rows: Sequence[Row], rounds: int) -> list[Line]:
    """Return how fast members of a source become calls, from the message of a slice on."""
    with ExitStack() as stack:
        measured = measure(sync_steps(FIELDS, rows, stack), rounds)
    lines = [_line(measured, "bare batch", _rate(measured, "bare batch", rows))]
    return lines + [
        _line(measured, name, _rate(measured, name, rows), "bare batch", target=target)
        for name, target in (("slice of a file", 2.0), ("slice of a table", 4.0))
    ]


def _rate(measured: Sequence[Round], name: str, rows: Sequence[Row]) -> str:
    return f"{len(rows) / median_of(measured, name):,.0f} members/s"


def throughput_lines(rounds: int, requests: int) -> list[Line]:
    """Return how many requests a second go through functions-framework."""
    measured = throughput_rounds(rounds, requests)
    ratio = ratio_of(measured, "smallest", "receive")
    smallest, receive = (f"{requests / median_of(measured, name):.0f}/s" for name in ("smallest", "receive"))
    return [
        Line(what="the smallest function with the same calls", median=smallest),
        Line(what="receive", median=receive, ratio=ratio, against="the smallest", at="least", target=0.7),
    ]


def import_lines(rounds: int) -> list[Line]:
    """Return what the imports cost above functions-framework alone."""
    measured = import_rounds(rounds)
    return [
        _line(measured, "facebook-business", "its import"),
        _line(measured, "main", "its import", "facebook-business", target=0.5),
        _line(measured, "main at work", "with all that first requests load", "facebook-business"),
    ]


def memory_lines(rows: Sequence[Row]) -> list[Line]:
    """Return the peak memory of `receive` for one request with all *rows*, in each of its forms."""
    lines = []
    # As objects half as many, since a body has at most 32 MB.
    for form, part in (("a table", rows), ("a list of objects", rows[: len(rows) // 2])):
        sent, peak = memory(part, as_objects=part is not rows)
        what = f"{len(part):,} people as {form} of {sent / 1e6:.0f} MB: peak above idle"
        lines.append(Line(what=what, median=f"{peak / 1e6:.0f} MB", ratio=peak / sent, against="the body", target=8.0))
    return lines


def main(arguments: Sequence[str]) -> int:
    """Measure, and print tables; always 0, since a busy machine is no fault of the code."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--rounds", type=int, default=15, help="rounds of each interleaved measurement")
    options.add_argument("--rows", type=int, default=10_000, help="rows of a batch; ten times as many for memory")
    chosen = options.parse_args(arguments)
    rows = list(people(_SEED, 12 * chosen.rows))
    print(
        f"Python {platform.python_version()}, seed {_SEED}, {chosen.rounds} rounds; ratios are medians within rounds\n"
    )
    batch = list(islice(rows, chosen.rows))
    print(table(f"Speed, {chosen.rows:,} rows in one batch", speed_lines(batch, chosen.rounds)))
    print(table(f"Sync, {chosen.rows:,} members with 14 fields", sync_lines(batch, chosen.rounds)))
    print(table("One event with ten hashed and five plain keys", event_lines(chosen.rows // 5, chosen.rounds)))
    print(table("Recognising the person of an event", identity_lines(chosen.rows // 20, chosen.rounds)))
    print(
        table(
            "Requests of one event each, through functions-framework", throughput_lines(chosen.rounds, chosen.rows // 5)
        )
    )
    print(table("Import, above functions-framework alone", import_lines(chosen.rounds)))
    # Without those who came hashed, which would make the body larger than what Cloud Run takes.
    plain = [row for row in rows if as_sha256_hex(str(row[0])) is None]
    print(table("Memory", memory_lines(plain[: 10 * chosen.rows])))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
