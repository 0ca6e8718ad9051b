"""
The command for people: `python -m lib.cli`; never deployed.

What is asked for goes to stdout, all else to stderr; colours and bars are for terminals alone. It ends with 0 (all is
delivered, or well), 1 (some was refused, or a check failed), 2 (wrong usage), 3 (could not run) or 130 (interrupted).
It uses what the functions use: RELAY_CONFIG, Google's own login, and the addresses of stand-ins.
"""

from __future__ import annotations

import csv
import errno
import json
import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from functools import wraps
from pathlib import Path
from typing import IO, Any, Final, Literal, Self

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from lib.command import Session, Synced, problems_of
from lib.config import Connection, Source
from lib.errors import ConfigurationError, RelayError
from lib.handlers import Relay
from lib.health_checks import Finding
from lib.local_file import source_of
from lib.report import Report
from lib.segments import Segment
from lib.validation import Validation, by_frequency
from lib.version import RELAY_VERSION

SOME_REFUSED: Final = 1
COULD_NOT_RUN: Final = 3
INTERRUPTED: Final = 130
#: Characters in a line where nobody looks at a screen, so that tables are not folded.
_WIDE: Final = 200


def _connection(relay: Relay, name: str | None) -> Connection:
    """Return a connection by its name, by default the default one."""
    found = relay.config.connections.get(name or relay.config.default_connection or "")
    if found is None:
        raise click.UsageError("--connection must be one of: " + ", ".join(relay.config.connections))
    return found


class _Command(click.Command):
    """Ends with the documented codes, and says what is to be done."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run it."""
        try:
            return super().invoke(ctx)
        except RelayError as error:
            _tell_error(error, as_json=bool(ctx.params.get("as_json")))
            ctx.exit(COULD_NOT_RUN)
        except KeyboardInterrupt:
            ctx.exit(INTERRUPTED)
        except OSError as error:
            if error.errno == errno.EPIPE:
                raise
            fault = RelayError(f"{error.strerror or type(error).__name__}", field=error.filename)
            _tell_error(fault, as_json=bool(ctx.params.get("as_json")))
            ctx.exit(COULD_NOT_RUN)


class _Group(click.Group):
    command_class = _Command


@click.group(cls=_Group, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.option(
    "--config", "document", envvar="RELAY_CONFIG", help="The configuration document or its file.", metavar="FILE"
)
@click.option("-v", "--verbose", is_flag=True, help="Show the log of the relay on stderr.")
@click.version_option(RELAY_VERSION, prog_name="Meta Relay")
@click.pass_context
def cli(ctx: click.Context, document: str | None, verbose: bool) -> None:
    """
    Look after a Meta Relay: check it, list its audiences, try and send a file, put dead letters back.

    Ends with 0 (all delivered, or well), 1 (some refused, or a check failed), 2 (usage) or 3 (could not run).
    """
    ctx.obj = Session(document, os.environ, verbose)


as_json_option = click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
connection_option = click.option("--connection", help="Whose credentials; by default default_connection.")

rejects_option = click.option(
    "--rejects",
    type=click.Path(dir_okay=False, writable=True),
    help="Write what is rejected to this CSV file; its rows count from 0.",
)


def source_argument(command: Callable[..., None]) -> Callable[..., None]:
    """Give *command* the source that FILE and --format name."""

    @click.argument("target", metavar="FILE")
    @click.option(
        "--format", "file_format", type=click.Choice(["csv", "ndjson"]), help="By default by the file's name."
    )
    @wraps(command)
    def with_source(*arguments: Any, target: str, file_format: Literal["csv", "ndjson"] | None, **options: Any) -> None:
        try:
            source = source_of(target, file_format)
        except ConfigurationError as error:
            told = " ".join(filter(None, (error.message, error.action)))
            raise click.BadParameter(told, param_hint="FILE") from None
        command(*arguments, source=source, **options)

    return with_source


# doctor


@cli.command()
@as_json_option
@click.pass_obj
def doctor(session: Session, as_json: bool) -> None:
    """Check configuration, secrets, queues, tables, tokens, terms and audiences; say what to do for each fault."""
    try:
        with _stderr().status("Looking ...") if _stderr().is_terminal else nullcontext():
            findings = session.diagnose()
    except ConfigurationError as error:
        _show_findings(problems_of(error), as_json=as_json)
        sys.exit(COULD_NOT_RUN)
    _show_findings(findings, as_json=as_json)
    if any(finding.status in {"error", "unknown"} for finding in findings):
        sys.exit(SOME_REFUSED)


_SIGNS: Final = {"ok": ("✓", "green"), "warning": ("!", "yellow"), "error": ("✗", "red"), "unknown": ("?", "magenta")}


def _show_findings(findings: Sequence[Finding], *, as_json: bool) -> None:
    faults = [finding for finding in findings if finding.status != "ok"]
    if as_json:
        shown = [{key: value for key, value in one.columns().items() if value is not None} for one in findings]
        _print_json({"outcome": "faults" if faults else "well", "findings": shown})
        return
    console = _stdout()
    for kind, connection, count in _well(findings):
        about = " ".join(part for part in (kind, connection) if part)
        console.print(_signed("ok"), f"{about}: {count} well" if count > 1 else about, sep=" ")
    for finding in faults:
        named = (finding.kind, finding.connection, finding.subject, finding.event_name)
        console.print(_signed(finding.status), f"{' '.join(filter(None, named))}: {finding.message}", sep=" ")
        if finding.action:
            console.print(f"    {finding.action}", style="dim" if console.is_terminal else None)
    console.print(f"{len(findings)} checks, {len(faults)} faults")


def _well(findings: Sequence[Finding]) -> Iterator[tuple[str, str | None, int]]:
    """Yield what is well: the kind, its connection, and how many there are."""
    counts: dict[tuple[str, str | None], int] = {}
    for finding in findings:
        if finding.status == "ok":
            counts[finding.kind, finding.connection] = counts.get((finding.kind, finding.connection), 0) + 1
    yield from ((kind, connection, count) for (kind, connection), count in counts.items())


def _signed(status: str) -> Text:
    sign, colour = _SIGNS[status]
    return Text(sign, style=colour)


# audiences


@cli.command()
@connection_option
@as_json_option
@click.pass_obj
def audiences(session: Session, connection: str | None, as_json: bool) -> None:
    """List an ad account's customer-file audiences with their status and size."""
    credentials = _connection(session.relay, connection)
    if credentials.ad_account_id is None:
        raise click.UsageError(f"the connection {credentials.name} names no ad_account_id")
    listed = list(session.audiences(credentials))
    if as_json:
        _print_json({"connection": credentials.name, "ad_account_id": credentials.ad_account_id, "audiences": listed})
        return
    table = _table("id", "name", "people", "status", "changed")
    for one in listed:
        status = Text(str(one["message"]), style=_SIGNS[str(one["status"])][1])
        table.add_row(str(one["id"]), str(one["name"]), _size(one), status, str(one["changed"] or ""))
    _stdout().print(table)
    _stdout().print(f"{len(listed)} audiences of act_{credentials.ad_account_id}")


def _size(one: Mapping[str, Any]) -> str:
    low, high = one["size_lower_bound"], one["size_upper_bound"]
    if low is None or high is None:
        return "unknown"
    return f"{low:,}" if low == high else f"{low:,} to {high:,}"


# validate


@cli.command("validate")
@source_argument
@connection_option
@click.option("--segment", "segment_id", help="The id of the segment whose mapping reads the columns.", default="")
@click.option("--country", help="For phone numbers without a country, where there is no configuration.", metavar="DE")
@rejects_option
@as_json_option
@click.pass_obj
def validate_command(
    session: Session,
    source: Source,
    connection: str | None,
    segment_id: str,
    country: str | None,
    rejects: str | None,
    as_json: bool,
) -> None:
    """
    Try a file of people and send nothing: who can be sent, and why the others cannot.

    FILE is CSV or newline-delimited JSON, packed with gzip or not, or bq://project.dataset.table. Its columns are
    those of the segments' mapping, or Meta's own (EMAIL, PHONE, ...).
    """
    relay = session.relay_or_bare(country)
    with _Bar("Reading") as bar:
        known = session.validate(relay, source, _connection(relay, connection), segment_id, bar.show)
    if rejects is not None:
        _write_rejects(Path(rejects), known.report)
    _show_validation(known, as_json=as_json)
    if known.usable < known.rows or not known.rows:
        sys.exit(SOME_REFUSED)


def _show_validation(known: Validation, *, as_json: bool) -> None:
    if as_json:
        _print_json(known.facts())
        return
    console = _stdout()
    console.print(f"{known.rows:,} rows: {known.usable:,} can be sent, {known.rows - known.usable:,} cannot")
    _print_counts(console, "identifier", dict(known.filled.most_common()))
    _print_reasons(console, by_frequency(known.report), known.report)


def _print_reasons(console: Console, reasons: Mapping[str, int], report: Report) -> None:
    """Show why cells and rows cannot be used, and the doubts."""
    _print_counts(console, "what cannot be used", reasons)
    for warning in report.warnings:
        console.print(_signed("warning"), warning, sep=" ")


def _print_counts(console: Console, title: str, counts: Mapping[str, int]) -> None:
    if counts:
        table = _table(title, "count")
        table.columns[1].justify = "right"
        for name, count in counts.items():
            table.add_row(Text(name), f"{count:,}")
        console.print(table)


def _write_rejects(path: Path, report: Report) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file)
        rows.writerow(["row", "field", "reason"])
        rows.writerows([reject["row"], reject["field"] or "", reject["reason"]] for reject in report.listed())
    if unlisted := report.unlisted():
        _stderr().print(f"{unlisted:,} more are counted and not listed in {path}")


# sync


@cli.command()
@source_argument
@click.option("--segment", "name", required=True, help="The segment's name; its audience is CA_NAME.")
@click.option("--segment-id", help="Its id in the CDP, which outlives its name; by default the name.")
@connection_option
@rejects_option
@click.option("--dry-run", is_flag=True, help="Send nothing; show who would be sent, and where to.")
@as_json_option
@click.pass_obj
def sync(
    session: Session,
    source: Source,
    name: str,
    segment_id: str | None,
    connection: str | None,
    rejects: str | None,
    dry_run: bool,
    as_json: bool,
) -> None:
    """
    Send the members of a file or table to the audience of a segment, which is made if there is none.

    FILE is CSV or newline-delimited JSON, packed with gzip or not, or bq://project.dataset.table. Sending it twice does
    no harm. Nobody is removed.
    """
    credentials = _connection(session.relay, connection)
    segment = Segment(segment_id or name, name)
    with _Bar("Reading" if dry_run else "Sending") as bar:
        do = session.try_sync if dry_run else session.sync
        done = do(source, credentials, segment, bar.show)
    if rejects is not None:
        _write_rejects(Path(rejects), done.report)
    _show_sync(done, as_json=as_json)
    if not done.is_whole:
        sys.exit(SOME_REFUSED)


def _show_sync(done: Synced, *, as_json: bool) -> None:
    if as_json:
        _print_json(done.facts())
        return
    console = _stdout()
    counts = [(done.delivered, "delivered"), (done.failed, "failed"), (done.rejected, "rejected")]
    if done.would_be_sent is not None:
        counts = [(done.would_be_sent, "would be sent"), (done.rejected, "rejected")]
    told = ", ".join(f"{count:,} {word}" for count, word in counts if count or word != "failed")
    console.print(f"{done.rows:,} rows to audience {done.audience_id or '(a new one)'}: {told}")
    _print_reasons(console, done.reasons, done.report)
    for error in done.errors:
        _print_error(console, error)


# replay


@cli.command()
@click.option("--reason", "reasons", multiple=True, help="Only those whose reason holds this text; may be given again.")
@click.option("--subscription", help="Where they wait; by default queue.dead_letter_subscription.", metavar="NAME")
@click.option("--limit", type=click.IntRange(min=1), help="At most so many.")
@click.option("--dry-run", is_flag=True, help="Move nothing; show how many there are of each reason.")
@as_json_option
@click.pass_obj
def replay(
    session: Session,
    reasons: Sequence[str],
    subscription: str | None,
    limit: int | None,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Put dead letters back into the queue once their cause is mended: all of them, or those of a reason."""
    relay = session.relay
    queue = relay.outside.queue
    if queue is None or relay.config.queue is None:
        raise ConfigurationError("no queue is configured", action="Add queue to the configuration.")
    name = subscription or relay.config.queue.dead_letter_subscription
    if name is None:
        raise click.UsageError("--subscription is needed, since queue.dead_letter_subscription is not configured")
    done = session.dead_letters(name).replay(queue, wanted=_wanted(reasons), limit=limit, dry_run=dry_run)
    if as_json:
        _print_json({"dry_run": dry_run, "put_back": dict(done.put_back), "left": dict(done.left)})
        return
    table = _table("reason", "would go back" if dry_run else "put back", "left")
    for reason in sorted({*done.put_back, *done.left}):
        table.add_row(Text(reason), f"{done.put_back[reason]:,}", f"{done.left[reason]:,}")
    if table.row_count:
        _stdout().print(table)
    _stdout().print(f"{done.put_back.total():,} {'would go' if dry_run else 'put'} back, {done.left.total():,} left")


def _wanted(reasons: Sequence[str]) -> Callable[[str], bool]:
    texts = [reason.casefold() for reason in reasons]
    return lambda reason: not texts or any(text in reason.casefold() for text in texts)


# What is shown.


class _Bar:
    """A progress bar where stderr is a terminal, else nothing."""

    def __init__(self, title: str) -> None:
        console = _stderr()
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        self._progress = Progress(*columns, console=console, disable=not console.is_terminal, transient=True)
        self._task = self._progress.add_task(title, total=None)

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def show(self, done: int, total: int) -> None:
        """Show how far it is."""
        self._progress.update(self._task, completed=done, total=total or None)


def _stdout() -> Console:
    return _console(sys.stdout)


def _stderr() -> Console:
    return _console(sys.stderr)


def _console(stream: IO[str]) -> Console:
    """Return what prints; NO_COLOR and TERM count, and data is never taken for markup."""
    return Console(file=stream, width=None if stream.isatty() else _WIDE, markup=False, highlight=False, emoji=False)


def _table(*columns: str) -> Table:
    return Table(*columns, box=None, pad_edge=False, header_style="bold")


def _print_json(value: Mapping[str, Any]) -> None:
    click.echo(json.dumps(value, ensure_ascii=False))


def _tell_error(error: RelayError, *, as_json: bool) -> None:
    if as_json:
        _print_json({"error": error.facts()})
    _print_error(_stderr(), error)


def _print_error(console: Console, error: RelayError) -> None:
    place = f"{error.field}: " if error.field else ""
    console.print(_signed("error"), f"{place}{error.message}", sep=" ")
    if error.action:
        console.print(f"    {error.action}")


if __name__ == "__main__":
    cli(prog_name="python -m lib.cli")
