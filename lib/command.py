"""What the command line does, without a word of how it is asked for or shown."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Final

from lib import bootstrap, health_checks
from lib.admission import Admission
from lib.audiences import Policy
from lib.config import Connection, SegmentSettings, Source
from lib.cuts import Page
from lib.dead_letters import DeadLetters
from lib.doctor import Clients, Doctor
from lib.errors import ConfigurationError, RelayError
from lib.graph_reads import list_audiences
from lib.handlers import Relay
from lib.health_checks import Finding
from lib.health_flow import HealthFlow
from lib.local_file import LocalFiles
from lib.member_batches import MemberBatches
from lib.outcomes import rfc3339
from lib.report import Report
from lib.segment_audiences import SegmentAudiences
from lib.segment_source import SegmentSources
from lib.segments import Segment
from lib.sync_task import Terms
from lib.sync_work import settings_of
from lib.uploading import Progress, Upload
from lib.validation import Validation, by_frequency, validate

#: Is told how many people are dealt with, and of how many; 0 while that is not known.
Watch = Callable[[int, int], None]

#: Pages of a cut that is read at once.
_CUT_PAGES: Final = 10
#: In Unix seconds; what Meta states beyond is no time.
_YEAR_3000: Final = 32_503_680_000


@dataclass
class Session:
    """
    One run of the command.

    Args:
        document: The configuration: its text, or the path of its file.
        environ: What else the functions would have in their environment.
        verbose: Whether the log of the relay is shown, on stderr.
    """

    document: str | None
    environ: Mapping[str, str] = field(repr=False)
    verbose: bool = False

    @cached_property
    def relay(self) -> Relay:
        """
        The relay of the configuration.

        Raises:
            ConfigurationError: There is none, or it has problems.
        """
        if not self.document:
            raise ConfigurationError("there is no configuration", action="Give --config FILE, or set RELAY_CONFIG.")
        return self._built(self.document)

    def relay_or_bare(self, country: str | None) -> Relay:
        """Return the relay of the configuration, or without one a relay that knows nobody."""
        if self.document:
            return self.relay
        connection = {"access_token": "env:NONE"} | ({"default_country": country} if country else {})
        return self._built(json.dumps({"connections": {"none": connection}, "callers": {}, "segments": {}}))

    def _built(self, document: str) -> Relay:
        relay = bootstrap.build({**self.environ, "RELAY_CONFIG": document})
        if not self.verbose:
            logging.getLogger("lib").handlers[:] = [logging.NullHandler()]
        return relay

    @cached_property
    def clients(self) -> Clients:
        """What makes the official clients."""
        return bootstrap.clients(self.environ)

    # doctor

    def diagnose(self) -> list[Finding]:
        """
        Look at all there is.

        Raises:
            ConfigurationError: There is no sound configuration to go by; `problems_of` tells what is wrong with it.
        """
        relay = self.relay
        health = HealthFlow(outside=relay.outside, health_log=relay.health_log, probe_identity=relay.probe_identity)
        looked = Doctor(config=relay.config, secrets=relay.secrets, clients=self.clients, health=health)
        return [Finding(kind="configuration"), *looked.findings()]

    # audiences

    def audiences(self, connection: Connection) -> Iterator[dict[str, Any]]:
        """Yield the customer-file audiences of the connection's ad account, as JSON."""
        for view in list_audiences(self.relay.outside.graph_api, connection):
            finding = health_checks.audience_finding(view, None)
            changed = view.get("time_content_updated")
            yield {
                "id": finding.subject,
                "name": view.get("name"),
                "status": finding.status,
                "message": finding.message or "normal",
                "action": finding.action,
                **{key: finding.facts.get(key) for key in _AUDIENCE_FACTS},
                "changed": rfc3339(changed) if isinstance(changed, int) and 0 < changed < _YEAR_3000 else None,
            }

    # validate and sync

    def validate(
        self, relay: Relay, source: Source, connection: Connection, segment_id: str, watch: Watch
    ) -> Validation:
        """Read all of *source*, as a sync of the segment would, and send nothing."""
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
        sources = SegmentSources(self.clients.bigquery, LocalFiles)
        cuts = sources.cuts(source, relay.chance.name(), pages=_CUT_PAGES)
        total = sum(cut.rows for cut in cuts)
        pages: Iterator[Page] = (page for cut in cuts for page in sources.pages(cut))
        for known in validate(pages, batches):
            watch(known.rows, total)
        return known

    def try_sync(self, source: Source, connection: Connection, segment: Segment, watch: Watch) -> Synced:
        """Tell who would be sent, and to which audience; Meta is only asked for that."""
        relay = self.relay
        audience_id = SegmentAudiences(
            graph_api=relay.outside.graph_api,
            clock=relay.clock,
            settings=settings_of(relay.config),
            known=relay.outside.known_audiences,
        ).find(connection, segment)
        known = self.validate(relay, source, connection, segment.id, watch)
        return Synced(
            outcome="dry_run",
            audience_id=audience_id,
            rows=known.rows,
            would_be_sent=known.usable,
            rejected=known.rows - known.usable,
            reasons=by_frequency(known.report),
            report=known.report,
        )

    def sync(self, source: Source, connection: Connection, segment: Segment, watch: Watch) -> Synced:
        """
        Send all of *source*; what keeps it from its end is told beside what was sent.

        Raises:
            RelayError: Nothing was sent.
        """

        def follow(progress: Progress) -> None:
            watch(progress.done, progress.total)

        upload = Upload(relay=self.relay, source=source, connection=connection, segment=segment, watch=follow)
        progress = upload.progress
        try:
            answer = upload.run()
        except RelayError as error:
            if not progress.done:
                raise
            return Synced.of(progress, "failed", [error], Report())
        return Synced.of(progress, answer.outcome, answer.results[0].errors, answer.report)

    # replay

    def dead_letters(self, subscription: str) -> DeadLetters:
        """Return what reads the dead letters of a subscription."""
        return DeadLetters(self.clients.subscriber, subscription)


_AUDIENCE_FACTS: Final = ("operation_status", "delivery_status", "size_lower_bound", "size_upper_bound")


def problems_of(error: ConfigurationError) -> list[Finding]:
    """Return what is wrong with the configuration, problem by problem."""
    _, *problems = error.message.split("\n  - ")
    action = error.action or "Correct the document; lib/config.py lists what it may hold."
    return [
        Finding(kind="configuration", status="error", message=problem, action=action)
        for problem in problems or [error.message]
    ]


@dataclass(frozen=True, slots=True, kw_only=True)
class Synced:
    """
    What became of a sync.

    Args:
        audience_id: None where there is none yet.
        rows: Those of the source, of which the others are the parts.
        would_be_sent: In a dry run only.
        reasons: What cannot be used, and how often.
    """

    outcome: str
    audience_id: str | None
    rows: int
    delivered: int = 0
    failed: int = 0
    rejected: int = 0
    would_be_sent: int | None = None
    reasons: Mapping[str, int] = field(default_factory=dict)
    errors: tuple[RelayError, ...] = ()
    report: Report = field(default_factory=Report, repr=False)

    @classmethod
    def of(cls, progress: Progress, outcome: str, errors: list[RelayError], report: Report) -> Synced:
        """Return what *progress* tells."""
        return cls(
            outcome=outcome,
            audience_id=progress.audience_id,
            rows=progress.total,
            delivered=progress.delivered,
            failed=progress.total - progress.delivered - progress.rejected,
            rejected=progress.rejected,
            reasons=dict(progress.reasons.most_common()),
            errors=tuple(errors),
            report=report,
        )

    @property
    def is_whole(self) -> bool:
        """Tell whether nobody was refused."""
        return self.outcome in {"delivered", "dry_run"} and not self.rejected

    def facts(self) -> dict[str, object]:
        """Return it as JSON."""
        names = ("outcome", "audience_id", "rows", "delivered", "failed", "rejected")
        facts: dict[str, object] = {name: getattr(self, name) for name in names}
        if self.would_be_sent is not None:
            facts["would_be_sent"] = self.would_be_sent
        return facts | {
            "reasons": dict(self.reasons),
            "warnings": list(self.report.warnings),
            "errors": [error.facts() for error in self.errors],
        }
