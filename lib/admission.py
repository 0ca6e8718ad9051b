"""What every request passes before anything is built: its connections, its caller's rights, its way and the gate."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from lib.authentication import Rights
from lib.config import Config, Connection
from lib.consent import Verdict, stated_signals, unasked_signals, weigh
from lib.errors import InvalidRequestError
from lib.normalization import Settings
from lib.relay_request import Options
from lib.report import Report
from lib.sending import Mode, Outside

#: What a caller is told whose person could not be forgotten.
NOT_FORGOTTEN: Final = (
    "identity: a withdrawal of consent could not be followed; the next event that denies it is tried again"
)


@dataclass(frozen=True, slots=True)
class Admission:
    """The steps that all kinds of requests share."""

    config: Config
    outside: Outside

    def connection(self, name: str | None, where: str) -> Connection:
        """
        Return the connection of that name, or the default one.

        Raises:
            InvalidRequestError: There is none; *where* is its field.
        """
        connection = self.config.connections.get(name or self.config.default_connection or "")
        if connection is None:
            raise InvalidRequestError("is not configured" if name else "is missing", field=where)
        return connection

    def connection_of(self, own: str | None, options: Options, place: int) -> Connection:
        """Return the connection of the destination at *place*: its own, or the request's."""
        if own is not None:
            return self.connection(own, f"destinations[{place}].connection")
        return self.connection(options.connection, "connection")

    def authorize(
        self,
        rights: Rights,
        options: Options,
        *,
        actions: Iterable[str],
        names: Iterable[str],
        configured: Iterable[str],
    ) -> None:
        """
        Return if the caller may do this with these connections, and ask for that consent.

        Raises:
            ForbiddenError: It may not.
        """
        names = set(names)
        for action in actions:
            rights.check(action=action, connections=names)
        if options.required is not None:
            rights.check_consent(asked=options.required, configured=configured)

    def mode(self, options: Options, report: Report) -> Mode:
        """Return whether calls are shown, left to the queue at once, or made."""
        if options.dry_run:
            return "show"
        if options.optimistic and self.outside.queue is None:
            report.warn("optimistic: no queue is configured; the request is done at once")
        return "queue" if options.optimistic and self.outside.queue is not None else "send"

    def verdict(self, options: Options, event: Callable[[str], object] | None, *, configured: Iterable[str]) -> Verdict:
        """Weigh what an event and the caller state against the signals that are required."""
        required = configured if options.required is None else options.required
        return weigh(
            required,
            stated_signals(event, options.state),
            absent=self.config.consent.absent,
            unasked=unasked_signals(event, options.state),
        )

    def settings(self, connection: Connection) -> Settings:
        """Return how a connection wants identifiers read."""
        return Settings(
            today=datetime.fromtimestamp(self.outside.clock.now(), UTC).date(),
            default_country=connection.default_country,
            date_order=connection.date_order,
            hash_external_id=connection.external_id == "hash",
            name_spaces=connection.name_spaces,
            city_marks=connection.city_marks,
            gender_words=connection.gender_words,
        )


def why_withheld(verdict: Verdict) -> str:
    """Return the warning that tells why nothing is sent; without a missing signal it is GTM's preview monitor."""
    if verdict.missing:
        return "consent is missing: " + ", ".join(verdict.missing)
    return "GTM's preview monitor: nothing is sent"


def withheld_columns(verdict: Verdict) -> Mapping[str, object]:
    """Return what the log says of what is withheld."""
    return {"consent_missing": ", ".join(verdict.missing) or None}
