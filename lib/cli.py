"""
The command for people: `python -m lib.cli`; never deployed.

What is asked for goes to stdout, all else to stderr; colours and bars are for terminals alone. It ends with 0 (all is
delivered, or well), 1 (some was refused, or a check failed), 2 (wrong usage), 3 (could not run) or 130 (interrupted).
It uses what the functions use: RELAY_CONFIG, Google's own login, and the addresses of stand-ins.
"""

from __future__ import annotations

import csv
import json
import logging
import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from functools import cached_property, wraps
from pathlib import Path
from typing import IO, Any, Final, Literal, Self

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from lib import bootstrap, graph_reads, health_checks
from lib.admission import Admission
from lib.audiences import Policy
from lib.config import Connection, SegmentSettings, Source
from lib.cuts import Cut, Page
from lib.dead_letters import DeadLetters
from lib.doctor import Clients, Doctor
from lib.errors import ConfigurationError, RelayError
from lib.handlers import Relay
from lib.health_checks import Finding
from lib.health_flow import HealthFlow
from lib.local_file import LocalFiles, source_of
from lib.member_batches import MemberBatches
from lib.outcomes import rfc3339, shown_error
from lib.report import Report
from lib.segment_audiences import SegmentAudiences
from lib.segment_source import SegmentSources
from lib.segments import Segment
from lib.sync_task import Terms
from lib.sync_work import settings_of
from lib.uploading import Progress as UploadProgress
from lib.uploading import Upload
from lib.validation import Validation, by_frequency, validate
from lib.version import RELAY_VERSION

SOME_REFUSED: Final = 1
COULD_NOT_RUN: Final = 3
INTERRUPTED: Final = 130
#: Characters in a line where nobody looks at a screen, so that tables are not folded.
_WIDE: Final = 200
#: Pages that are read at once from a source.
_CUT_PAGES: Final = 10


_GIVE_ONE: Final = "Give --config FILE, or set RELAY_CONFIG."


@dataclass
class Session:
    """
    One run of the command.

    Args:
        document: The configuration: its text, or the path of its file.
        verbose: Whether the log of the relay is shown, on stderr.
    """

    document: str | None
    verbose: bool = False
    environ: dict[str, str] = field(default_factory=lambda: dict(os.environ))

    @cached_property
    def relay(self) -> Relay:
        """
        The relay of the configuration.

        Raises:
            ConfigurationError: There is none, or it has problems.
        """
        if not self.document:
            raise ConfigurationError("there is no configuration", action=_GIVE_ONE)
        return self._built(self.document)

    def relay_or_bare(self, country: str | None) -> Relay:
        """Return the relay of the configuration, or without one a relay that knows nobody."""
        if self.document:
            return self.relay
        connection = {"access_token": "env:NONE"} | ({"default_country": country} if country else {})
        return self._built(json.dumps({"connections": {"none": connection}, "callers": {}, "segments": {}}))

    def _built(self, document: str) -> Relay:
        self.environ["RELAY_CONFIG"] = document
        relay = bootstrap.build(self.environ)
        if not self.verbose:
            logging.getLogger("lib").handlers[:] = [logging.NullHandler()]
        return relay

    @cached_property
    def clients(self) -> Clients:
        """What makes the official clients."""
        return bootstrap.clients(self.environ)

    @property
    def sources(self) -> SegmentSources:
        """What reads tables, and files of this machine."""
        return SegmentSources(self.clients.bigquery, LocalFiles)


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
    Look after a Meta Relay: check it, list its audiences, try a file, put dead letters back.

    Ends with 0 (all delivered, or well), 1 (some refused, or a check failed), 2 (usage) or 3 (could not run).
    """
    ctx.obj = Session(document, verbose)


as_json_option = click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
connection_option = click.option("--connection", help="Whose credentials; by default default_connection.")

rejects_option = click.option(
    "--rejects", type=click.Path(dir_okay=False, writable=True), help="Write what is rejected to this CSV file."
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
        relay = session.relay
    except ConfigurationError as error:
        findings = [_of_configuration(problem, error.action) for problem in _problems(error)]
        _show_findings(findings, as_json=as_json)
        sys.exit(COULD_NOT_RUN)
    health = HealthFlow(outside=relay.outside, health_log=relay.health_log, probe_identity=relay.probe_identity)
    looked = Doctor(config=relay.config, secrets=relay.secrets, clients=session.clients, health=health)
    with _stderr().status("Looking ...") if _stderr().is_terminal else nullcontext():
        findings = [Finding(kind="configuration"), *looked.findings()]
    _show_findings(findings, as_json=as_json)
    if any(finding.status in {"error", "unknown"} for finding in findings):
        sys.exit(SOME_REFUSED)


def _problems(error: ConfigurationError) -> list[str]:
    """Return what is wrong with the document, problem by problem."""
    _, *problems = error.message.split("\n  - ")
    return problems or [error.message]


def _of_configuration(problem: str, action: str | None) -> Finding:
    action = action or "Correct the document; lib/config.py lists what it may hold."
    return Finding(kind="configuration", status="error", message=problem, action=action)


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
    views = graph_reads.list_audiences(session.relay.outside.graph_api, credentials)
    listed = [_audience(view) for view in views]
    if as_json:
        _print_json({"connection": credentials.name, "ad_account_id": credentials.ad_account_id, "audiences": listed})
        return
    table = _table("id", "name", "people", "status", "changed")
    for one in listed:
        status = Text(str(one["message"]), style=_SIGNS[str(one["status"])][1])
        table.add_row(str(one["id"]), str(one["name"]), _size(one), status, str(one["changed"] or ""))
    _stdout().print(table)
    _stdout().print(f"{len(listed)} audiences of act_{credentials.ad_account_id}")


def _audience(view: Mapping[str, Any]) -> dict[str, Any]:
    finding = health_checks.audience_finding(view, None)
    changed = view.get("time_content_updated")
    return {
        "id": finding.subject,
        "name": view.get("name"),
        "status": finding.status,
        "message": finding.message or "normal",
        "action": finding.action,
        **{key: finding.facts.get(key) for key in ("operation_status", "delivery_status")},
        **{key: finding.facts.get(key) for key in ("size_lower_bound", "size_upper_bound")},
        "changed": rfc3339(changed) if isinstance(changed, int) and 0 < changed < _YEAR_3000 else None,
    }


#: In Unix seconds.
_YEAR_3000: Final = 32_503_680_000


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
    known = _validated(session, source, relay, _connection(relay, connection), segment_id)
    if rejects is not None:
        _write_rejects(Path(rejects), known.report)
    _show_validation(known, as_json=as_json)
    if known.usable < known.rows or not known.rows:
        sys.exit(SOME_REFUSED)


def _validated(session: Session, source: Source, relay: Relay, connection: Connection, segment_id: str) -> Validation:
    """Read all of *source*, as a sync of the segment would."""
    config = relay.config
    batches = MemberBatches(
        policy=Policy(
            settings=Admission(config, relay.outside).settings(connection),
            minimum_identifiers=config.minimum_identifiers,
        ),
        mapping=(config.segments or SegmentSettings()).mapping_of(segment_id),
        terms=Terms(required=config.consent.segments),
        absent=config.consent.absent,
    )
    known = Validation()
    with _Bar("Reading") as bar:
        for known in validate(_pages(session, source, relay.chance.name(), bar), batches):
            bar.advance(known.rows)
    return known


def _pages(session: Session, source: Source, run: str, bar: _Bar) -> Iterator[Page]:
    cuts: list[Cut] = session.sources.cuts(source, run, pages=_CUT_PAGES)
    bar.expect(sum(cut.rows for cut in cuts))
    for cut in cuts:
        yield from session.sources.pages(cut)


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
    if dry_run:
        shown, report = _tried(session, source, credentials, segment)
    else:
        shown, report = _sent(session, source, credentials, segment)
    if rejects is not None:
        _write_rejects(Path(rejects), report)
    _show_sync(shown, report, as_json=as_json)
    if shown["outcome"] not in {"delivered", "dry_run"} or shown["rejected"]:
        sys.exit(SOME_REFUSED)


def _tried(session: Session, source: Source, connection: Connection, segment: Segment) -> tuple[dict[str, Any], Report]:
    """Return what a dry run shows; Meta is only asked for the audience."""
    relay = session.relay
    audience_id = SegmentAudiences(
        graph_api=relay.outside.graph_api,
        clock=relay.clock,
        settings=settings_of(relay.config),
        known=relay.outside.known_audiences,
    ).find(connection, segment)
    known = _validated(session, source, relay, connection, segment.id)
    shown = {
        "outcome": "dry_run",
        "audience_id": audience_id,
        "rows": known.rows,
        "delivered": 0,
        "would_be_sent": known.usable,
        "failed": 0,
        "rejected": known.rows - known.usable,
        "reasons": by_frequency(known.report),
    }
    return shown, known.report


def _sent(session: Session, source: Source, connection: Connection, segment: Segment) -> tuple[dict[str, Any], Report]:
    """Send all of it; what keeps it from its end is told beside what was sent."""
    with _Bar("Sending") as bar:
        upload = Upload(relay=session.relay, source=source, connection=connection, segment=segment, watch=bar.follow)
        try:
            answer = upload.run()
        except RelayError as error:
            if not upload.progress.done:
                raise
            errors, report, outcome = [error], Report(), "failed"
        else:
            errors, report, outcome = [*answer.results[0].errors], answer.report, answer.outcome
    progress = upload.progress
    shown = {
        "outcome": outcome,
        "audience_id": progress.audience_id,
        "rows": progress.total,
        "delivered": progress.delivered,
        "failed": progress.total - progress.delivered - progress.rejected,
        "rejected": progress.rejected,
        "reasons": dict(progress.reasons.most_common()),
        "errors": [shown_error(error, "", session.relay.clock.now()) for error in errors],
    }
    return shown, report


def _show_sync(shown: Mapping[str, Any], report: Report, *, as_json: bool) -> None:
    if as_json:
        _print_json({**shown, "warnings": list(report.warnings)})
        return
    console = _stdout()
    counts = [(shown["delivered"], "delivered"), (shown["failed"], "failed"), (shown["rejected"], "rejected")]
    if "would_be_sent" in shown:
        counts = [(shown["would_be_sent"], "would be sent"), (shown["rejected"], "rejected")]
    told = ", ".join(f"{count:,} {word}" for count, word in counts if count or word != "failed")
    console.print(f"{shown['rows']:,} rows to audience {shown['audience_id'] or '(a new one)'}: {told}")
    _print_reasons(console, shown["reasons"], report)
    for error in shown.get("errors", ()):
        console.print(_signed("error"), error["message"], sep=" ")
        if "action" in error:
            console.print(f"    {error['action']}")


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
    letters = DeadLetters(session.clients.subscriber, name)
    done = letters.replay(queue, wanted=_wanted(reasons), limit=limit, dry_run=dry_run)
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

    def expect(self, total: int) -> None:
        """Tell how many there are."""
        self._progress.update(self._task, total=total)

    def advance(self, so_far: int) -> None:
        """Tell how many are done."""
        self._progress.update(self._task, completed=so_far)

    def follow(self, progress: UploadProgress) -> None:
        """Show how far an upload is."""
        self._progress.update(self._task, total=progress.total or None, completed=progress.done)


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
    place = f"{error.field}: " if error.field else ""
    _stderr().print(_signed("error"), f"{place}{error.message}", sep=" ")
    if error.action:
        _stderr().print(f"    {error.action}")


if __name__ == "__main__":
    cli(prog_name="python -m lib.cli")
