"""
The audience of a segment: found by the segment's id in its description, else by its name, else made.

Nothing but Meta itself knows which audience belongs to which segment, so that no two parts of the relay can disagree,
and a renamed segment or audience keeps its other half. What was listed is remembered for some minutes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from threading import Lock
from typing import Final

from lib.audience_admin import (
    FIELDS,
    FLAGGED,
    MAX_AUDIENCES,
    Audience,
    description_of,
    new_audience,
    parse_audience,
)
from lib.config import Connection, SegmentSettings
from lib.errors import (
    AudienceDeletedError,
    ConfigurationError,
    GraphAPIError,
    GraphAPIUnreachableError,
    MissingPermissionError,
    RelayError,
    Retry,
    TransientGraphAPIError,
)
from lib.graph_answers import GraphAnswer
from lib.graph_api import GraphAPI
from lib.graph_errors import row_of_error
from lib.graph_reads import list_audiences
from lib.ports import Clock
from lib.segments import Segment

#: Seconds for which a list of audiences is good: a deleted one is noticed by the calls that it refuses, too.
REMEMBERED_S: Final = 600.0
#: Audiences in one call: a flush lists a whole account, and each call counts.
_PAGE: Final = 200
#: Seconds to wait for a new audience to show in the list, one after the other.
_SETTLING_S: Final = (0.0, 0.5, 1.0, 2.0)
_FAILED_TO_CREATE: Final = 2654


@dataclass(slots=True)
class _Account:
    """What is known of one ad account: its customer-file audiences, and until when that is good."""

    lock: Lock = field(default_factory=Lock)
    audiences: list[Audience] = field(default_factory=list)
    until: float = 0.0


@dataclass(slots=True)
class KnownAudiences:
    """What an instance remembers of ad accounts; shared by its threads, of which one at a time asks Meta."""

    _accounts: dict[str, _Account] = field(default_factory=dict)
    _lock: Lock = field(default_factory=Lock)

    def of(self, ad_account_id: str) -> _Account:
        """Return what is known of an account."""
        with self._lock:
            return self._accounts.setdefault(ad_account_id, _Account())


@dataclass(frozen=True, slots=True, kw_only=True)
class SegmentAudiences:
    """
    Finds and makes audiences.

    Args:
        on_made: Told of each audience that is made here; nobody is in it yet.
        deadline: For all calls, in the clock's monotonic seconds; None for no limit.
    """

    graph_api: GraphAPI
    clock: Clock
    settings: SegmentSettings
    known: KnownAudiences
    on_made: Callable[[Connection, Segment], None] = lambda _connection, _segment: None
    deadline: float | None = None

    def audience_of(self, connection: Connection, segment: Segment, *, make: bool = True) -> str:
        """
        Return the id of the audience of *segment*.

        Args:
            make: Whether to make it if there is none. Who sends all members does; with `on_deleted` `report` who sends
                a change does not, since nobody remembers whether there was one.

        Raises:
            RelayError: There is none and none can be made, or it takes nobody; `action` says what to do.
        """
        account = self.known.of(_ad_account(connection))
        with account.lock:
            found = self._remembered(account, segment) or self._found(account, connection, segment)
            if found is None:
                if not make:
                    raise _deleted()
                found = self._create(account, connection, segment)
        if found.operation_status == FLAGGED:
            raise _flagged()
        return found.id

    def find(self, connection: Connection, segment: Segment) -> str | None:
        """
        Return the id of the audience of *segment*, None if there is none; nothing is made or changed.

        Raises:
            RelayError: Meta does not list the account's audiences.
        """
        account = self.known.of(_ad_account(connection))
        with account.lock:
            found = self._remembered(account, segment)
            if found is None:
                self._list(account, connection)
                found = _by_id(account.audiences, segment) or self._by_name(account.audiences, segment)
        return found.id if found else None

    def another(self, connection: Connection, segment: Segment, gone: str, error: RelayError) -> str:
        """
        Return the audience that takes the place of *gone*, at whose id Meta sees none.

        Raises:
            RelayError: *error* if Meta still lists it, so that it is not deleted but may not be written to;
                AudienceDeletedError if a person is to be told.
        """
        account = self.known.of(_ad_account(connection))
        with account.lock:
            # Another thread may have found out and made one already.
            current = self._remembered(account, segment)
            if current is not None and current.id != gone:
                return current.id
            self._list(account, connection)
            if any(audience.id == gone for audience in account.audiences):
                raise error
            if self.settings.on_deleted == "report":
                raise _deleted()
        return self.audience_of(connection, segment)

    def _remembered(self, account: _Account, segment: Segment) -> Audience | None:
        if self.clock.monotonic() >= account.until:
            return None
        found = _by_id(account.audiences, segment)
        # An appeal may have been heard meanwhile.
        return None if found is None or found.operation_status == FLAGGED else found

    def _found(self, account: _Account, connection: Connection, segment: Segment) -> Audience | None:
        self._list(account, connection)
        found = _by_id(account.audiences, segment)
        if found is not None:
            return found
        named = self._by_name(account.audiences, segment)
        if named is None:
            return None
        # From now on the segment may be renamed. Where that is refused, its name goes on to be what it is found by.
        try:
            body = {"description": description_of(segment.id, named.description)}
            self.graph_api.change("POST", named.id, body, connection, deadline=self.deadline)
        except GraphAPIError as error:
            if error.retry is Retry.LATER:
                raise
            return named
        described = replace(named, segment_id=segment.id)
        account.audiences = [described if one is named else one for one in account.audiences]
        return described

    def _by_name(self, audiences: Sequence[Audience], segment: Segment) -> Audience | None:
        """Return the oldest audience of that name that is not another segment's."""
        name = self.settings.prefix + segment.name
        named = [audience for audience in audiences if audience.name == name and audience.segment_id is None]
        return min(named, key=lambda audience: audience.age, default=None)

    def read(self, path: str, parameters: Mapping[str, str], connection: Connection) -> GraphAnswer:
        """Read of Meta within the time that is left."""
        return self.graph_api.read(path, parameters, connection, deadline=self.deadline)

    def _list(self, account: _Account, connection: Connection) -> None:
        """List the account's audiences anew."""
        account.until = 0.0
        listed = list_audiences(self, connection, fields=FIELDS, limit=_PAGE)
        account.audiences = [parse_audience(row) for row in listed]
        account.until = self.clock.monotonic() + REMEMBERED_S

    def _create(self, account: _Account, connection: Connection, segment: Segment) -> Audience:
        """
        Make the audience; of several that workers have made at once, all of them keep the oldest.

        A call whose answer is lost is not made again: what it made shows in the list, now or for the next attempt.
        """
        path = f"act_{_ad_account(connection)}/customaudiences"
        body = new_audience(segment, prefix=self.settings.prefix)
        try:
            answer = self.graph_api.change("POST", path, body, connection, attempts=1, deadline=self.deadline)
        except (GraphAPIUnreachableError, TransientGraphAPIError):
            self._list(account, connection)
            found = _by_id(account.audiences, segment)
            if found is None:
                raise
            return found
        except MissingPermissionError as error:
            raise self._full(account, error) from None
        made = answer.body.get("id")
        oldest = self._oldest(account, connection, segment, str(made))
        if oldest.id != made:
            self._delete(connection, str(made))
        else:
            self.on_made(connection, segment)
        return oldest

    def _oldest(self, account: _Account, connection: Connection, segment: Segment, made: str) -> Audience:
        """Return the oldest audience of the segment, once the one that was *made* shows among them."""
        for wait in _SETTLING_S:
            self.clock.sleep(wait)
            self._list(account, connection)
            if any(audience.id == made for audience in account.audiences):
                break
        else:
            # Meta has answered with its id, so it is there.
            return Audience(id=made, name="", description="", segment_id=segment.id)
        found = _by_id(account.audiences, segment)
        return found or next(audience for audience in account.audiences if audience.id == made)

    def _delete(self, connection: Connection, audience_id: str) -> None:
        """Delete an audience in which nobody is; one that stays is the younger one for ever, and never used."""
        try:
            self.graph_api.change("DELETE", audience_id, None, connection)
        except RelayError:
            return

    @staticmethod
    def _full(account: _Account, error: MissingPermissionError) -> MissingPermissionError:
        """Return *error*, or what it means where the account has no room: Meta has no number of its own for that."""
        if error.code != _FAILED_TO_CREATE or error.error_subcode or len(account.audiences) < MAX_AUDIENCES:
            return error
        return MissingPermissionError(
            f"Meta error {_FAILED_TO_CREATE}: the ad account has {MAX_AUDIENCES} customer-file audiences, and takes "
            "no more",
            code=error.code,
            fbtrace_id=error.fbtrace_id,
            http_status=error.http_status,
            action="Delete customer-file audiences that nobody uses any more in Audience Manager.",
        )


def _by_id(audiences: Sequence[Audience], segment: Segment) -> Audience | None:
    """Return the oldest of the audiences whose description names the segment."""
    own = [audience for audience in audiences if audience.segment_id == segment.id]
    return min(own, key=lambda audience: audience.age, default=None)


def _ad_account(connection: Connection) -> str:
    if connection.ad_account_id is None:
        raise ConfigurationError(
            f"the connection {connection.name} has no ad account, so its segments have no audiences",
            process="send",
            action="Add ad_account_id to the connection.",
        )
    return connection.ad_account_id


def _flagged() -> GraphAPIError:
    row = row_of_error(100, 1713230)
    return GraphAPIError(
        f"the segment's audience has operation_status {FLAGGED}: {row.meaning}",
        code=100,
        error_subcode=1713230,
        action=row.action,
    )


def _deleted() -> AudienceDeletedError:
    return AudienceDeletedError(
        "the segment has no audience: it is deleted, or was never made",
        action="Sync the segment, which makes and fills its audience, or set segments.on_deleted to create.",
    )
