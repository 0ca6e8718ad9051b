"""
Upload sessions, as the guide "Customer File Custom Audiences" describes them (CA-guide).

"session_id": a positive 64-bit number, unique per ad account. For /users "batch_seq" is sequential from 1;
for /usersreplace a batch_seq of 1 starts a new replace, which ends with last_batch_flag or 90 minutes after
its start.
"""

import hashlib
from dataclasses import dataclass, field
from typing import Any, Final

from tests.local.graph_payload import InvalidParameterError

SESSION_KEYS: Final = frozenset(["session_id", "batch_seq", "last_batch_flag", "estimated_num_total"])
REPLACE_SECONDS: Final = 90 * 60  # "auto-ends 90 min after first batch; later batches discarded" (CA-guide)
MAX_INT64: Final = 2**63 - 1

# Codes 2650 / 18701xx (CA-guide).
IN_PROGRESS: Final = (1870145, "An update of this audience is in progress")
TIMED_OUT: Final = (1870158, "The session timed out after 90 minutes; add to the audience instead")
FIRST_MISSING: Final = (1870147, "The first batch of the session is missing")
FINISHED: Final = (1870159, "The session is finished; add to the audience later")
NOT_NORMAL: Final = (1870148, "The audience was not fully updated")


class ReplaceError(Exception):
    """Meta's error 2650; its arguments are the subcode and the message."""


@dataclass(frozen=True, slots=True)
class Batch:
    """Where one request stands in its session."""

    session_id: int
    batch_seq: int
    last: bool
    digest: bytes


@dataclass(slots=True)
class Session:
    """What was received in one session so far; *purpose* is the operation and what it is done to."""

    session_id: int
    purpose: tuple[str, str]
    schema: tuple[str, ...]
    started: float
    batches: dict[int, bytes] = field(default_factory=dict)
    received: int = 0
    invalid: int = 0
    ended: bool = False

    def accept(self, batch: Batch, received: int, invalid: int) -> None:
        """Count *batch*."""
        self.batches[batch.batch_seq] = batch.digest
        self.received += received
        self.invalid += invalid
        self.ended = self.ended or batch.last


def parse_batch(session: object, body: bytes) -> Batch:
    """
    Read the `session` object.

    Raises:
        InvalidParameterError: It is not what the guide describes.
    """
    if not isinstance(session, dict):
        raise InvalidParameterError("(#100) session must be an object")
    if unknown := session.keys() - SESSION_KEYS:
        raise InvalidParameterError(f"(#100) Unexpected key in session: {', '.join(sorted(unknown))}")
    last = session.get("last_batch_flag", False)
    if not isinstance(last, bool):
        raise InvalidParameterError("(#100) session.last_batch_flag must be a boolean")
    session_id = _positive(session, "session_id")
    return Batch(session_id, _positive(session, "batch_seq"), last, hashlib.sha256(body).digest())


def _positive(session: dict[str, Any], key: str) -> int:
    value = session.get(key)
    if not isinstance(value, int) or isinstance(value, bool) or not 0 < value <= MAX_INT64:
        raise InvalidParameterError(f"(#100) session.{key} must be a positive 64-bit integer")
    return value


class Sessions:
    """The sessions of one ad account."""

    def __init__(self) -> None:
        self._sessions: dict[int, Session] = {}
        self._replacing: dict[str, int] = {}

    def of(self, audience_id: str) -> list[Session]:
        """Return the sessions of one audience, oldest first."""
        return [session for session in self._sessions.values() if session.purpose[1] == audience_id]

    def is_replacing(self, audience_id: str, now: float) -> bool:
        """Tell whether a replace of this audience is under way."""
        session = self._sessions.get(self._replacing.get(audience_id, 0))
        return session is not None and not session.ended and now < session.started + REPLACE_SECONDS

    def enter_users(
        self, batch: Batch, purpose: tuple[str, str], schema: tuple[str, ...], now: float
    ) -> tuple[Session, bool]:
        """
        Return the session of a /users batch, and whether the batch is new to it.

        Raises:
            InvalidParameterError: The session is used for something else, or the batch is not the next one.
        """
        session = self._sessions.get(batch.session_id)
        if session is None:
            session = Session(batch.session_id, purpose, schema, now)
        if session.purpose != purpose:
            raise InvalidParameterError("(#100) session_id must be unique per ad account")
        if session.batches.get(batch.batch_seq) == batch.digest:
            return session, False
        if session.ended or batch.batch_seq != len(session.batches) + 1:
            raise InvalidParameterError("(#100) session.batch_seq must be sequential, from 1 to the last batch")
        _check_schema(session, schema)
        self._sessions[batch.session_id] = session
        return session, True

    def enter_replace(
        self, batch: Batch, audience_id: str, schema: tuple[str, ...], now: float
    ) -> tuple[Session, bool]:
        """
        Return the session of a /usersreplace batch, and whether the batch starts the replace.

        A first batch that comes again as the same bytes, with none after it, starts over, which changes
        nothing.

        Raises:
            ReplaceError: As the guide's table of 2650 says.
            InvalidParameterError: The session is used for something else, or its schema changed.
        """
        purpose = ("usersreplace", audience_id)
        session = self._sessions.get(batch.session_id)
        if session is not None and session.purpose != purpose:
            raise InvalidParameterError("(#100) session_id must be unique per ad account")
        if session is not None and session.ended:
            raise ReplaceError(*FINISHED)
        if session is not None and now >= session.started + REPLACE_SECONDS:
            raise ReplaceError(*TIMED_OUT)
        if session is None and self.is_replacing(audience_id, now):
            raise ReplaceError(*IN_PROGRESS)
        if session is None and batch.batch_seq != 1:
            raise ReplaceError(*FIRST_MISSING)
        if session is not None and batch.batch_seq != 1:
            _check_schema(session, schema)
            return session, False
        session = Session(batch.session_id, purpose, schema, now)
        self._sessions[batch.session_id] = session
        self._replacing[audience_id] = batch.session_id
        return session, True


def _check_schema(session: Session, schema: tuple[str, ...]) -> None:
    if session.schema != schema:
        raise InvalidParameterError("(#100) The schema must be identical in every batch of a session")
