"""
A request of `/erase`: a person is forgotten here, and removed from every audience of every connection of the caller.

The person's other identifiers, as far as the identity graph knows them, are removed from the audiences too. Meta's part
goes the way of `remove_from_all`: what fails is tried again by the queue.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from lib.admission import Admission
from lib.audience_flow import AudienceFlow
from lib.authentication import Rights
from lib.common_event import CommonEvent
from lib.config import Config, Connection
from lib.errors import IdentityError, IdentityUnreachableError, InvalidRequestError, RelayError
from lib.outcomes import Answer, Result, together
from lib.people import canonical, parse_people
from lib.relay_request import Asked, Options, parse_anonymous_id, parse_options
from lib.report import Report
from lib.sending import Origin, Outside, Sending

if TYPE_CHECKING:
    # Loaded by bootstrap, for those alone who have identity switched on.
    from lib.recognition import Recognizer

KIND: Final = "erase"
#: Each of them alone names a person, so that whoever was added with it alone is found.
_ALONE: Final = ("EMAIL", "PHONE", "MADID", "EXTERN_ID")
#: Kinds of the identity graph that audiences know under a hash -> their keys there.
_ALSO_KNOWN_AS: Final = {"em": "EMAIL", "ph": "PHONE"}
#: Seconds for forgetting: nobody's event waits for it.
_TIME_S: Final = 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class _Asked:
    """A body of `/erase`: *person* is audience key -> values, *anonymous_id* the first-party id."""

    options: Options
    person: Mapping[str, Sequence[object]]
    anonymous_id: str
    warnings: tuple[str, ...]


def _parse(body: Mapping[str, object]) -> _Asked:
    asked = Asked(body)
    options = parse_options(asked)
    anonymous_id = parse_anonymous_id(asked)
    user = asked.take("user")
    person: dict[str, Sequence[object]] = {}
    if user is not None:
        parse_people({"user": user})
        for key, value in (asked.mapping("user") or {}).items():
            values = value if isinstance(value, list) else [value]
            person[canonical(key)] = [*person.get(canonical(key), ()), *values]
    elif options.event is None and not anonymous_id:
        raise InvalidRequestError("is missing", field="user")
    warnings = ("the body has keys that are not known; they are ignored",) if asked.has_unknown() else ()
    return _Asked(options=options, person=person, anonymous_id=anonymous_id, warnings=warnings)


@dataclass(frozen=True, slots=True, kw_only=True)
class EraseFlow:
    """
    What stays the same for all requests.

    Args:
        bury: See `Sending`.
        recognizer: Knows people; None where identity is off.
    """

    config: Config
    outside: Outside
    bury: bool = False
    recognizer: Recognizer | None = None

    def run(self, body: Mapping[str, object], *, rights: Rights, origin: Origin) -> tuple[Answer, Sending]:
        """
        Do what *body* asks for.

        Raises:
            InvalidRequestError, ForbiddenError: Before anything is done.
            IdentityError: A message whose person is not forgotten; it has to be delivered again.
        """
        asked = _parse(body)
        connections = self._connections(asked.options, rights)
        report = Report(warnings=dict.fromkeys(asked.warnings))
        identity, gone = self._forget(asked, connections[0], report, origin)
        answer, sending = self._remove(asked, gone, connections, report, rights, origin)
        results = [*([identity] if identity else []), *answer.results]
        if identity and not asked.options.dry_run:
            self._log(identity, sending)
        if identity and identity.errors and origin.published is not None:
            sending.finish()
            raise identity.errors[0]
        report.merge(answer.report)
        outcome = together([result.outcome for result in results]) if results else "rejected"
        error = answer.error if outcome == "rejected" else None
        return Answer(outcome=outcome, results=results, report=report, error=error), sending

    def _connections(self, options: Options, rights: Rights) -> list[Connection]:
        """Return the named connection, or all that the caller may use."""
        admission = Admission(self.config, self.outside)
        if options.connection:
            connections = [admission.connection(options.connection, "connection")]
        else:
            names = rights.connections if rights.connections is not None else self.config.connections.keys()
            connections = [one for name, one in self.config.connections.items() if name in names]
        rights.check(action=KIND, connections={one.name for one in connections})
        if not connections:
            raise InvalidRequestError("is missing", field="connection")
        return connections

    def _forget(
        self, asked: _Asked, connection: Connection, report: Report, origin: Origin
    ) -> tuple[Result | None, frozenset[str]]:
        """Forget the person here; return what became of it and the identifiers that were known besides those stated."""
        resolver = self.recognizer.resolver if self.recognizer else None
        if self.recognizer is None or resolver is None:
            return None, frozenset()
        result = Result(destination={"identity": resolver.source})
        if asked.options.dry_run:
            result.parts.append("dry_run")
            report.warn("identity: a dry run forgets nobody")
            return result, frozenset()
        person = self.recognizer.identifiers(
            asked.options.event or CommonEvent({}),
            overrides={},
            cookies={},
            reading=Admission(self.config, self.outside).settings(connection),
            time=0,
            anonymous_id=asked.anonymous_id,
            person=asked.person,
        )
        clock = self.outside.clock
        deadline = min(clock.monotonic() + _TIME_S, origin.deadline or float("inf"))
        try:
            gone = resolver.forget(resolver.keys(person), deadline=deadline)
        except RelayError as error:
            result.parts.append("failed")
            result.errors.append(error if isinstance(error, IdentityError) else _not_forgotten(error))
            return result, frozenset()
        result.num_received = len(gone)
        result.parts.append("delivered" if resolver.forgets else "partial")
        if not resolver.forgets:
            report.warn("identity: the service keeps what it knows; it has to be asked itself to forget this person")
        stated = {f"{kind}:{digest}" for kind, digests in person.persons.items() for digest in digests}
        return result, gone - stated

    def _remove(
        self,
        asked: _Asked,
        gone: frozenset[str],
        connections: Sequence[Connection],
        report: Report,
        rights: Rights,
        origin: Origin,
    ) -> tuple[Answer, Sending]:
        """Remove the person from every audience of each ad account, once for each of them."""
        accounts: dict[str, str] = {}
        for connection in connections:
            if connection.ad_account_id is None:
                report.warn(f"the connection {connection.name} has no ad_account_id: nothing is removed there")
            else:
                accounts.setdefault(connection.ad_account_id, connection.name)
        rows = _rows(asked.person, gone)
        if not accounts or not rows:
            return Answer(outcome="rejected"), Sending(outside=self.outside, origin=origin, bury=self.bury)
        options = asked.options
        body: dict[str, object] = {
            "action": "remove_from_all",
            "destinations": [{"ad_account_id": account, "connection": name} for account, name in accounts.items()],
            "users": rows,
            "optimistic": options.optimistic,
            "debug": options.debug,
            "dry_run": options.dry_run,
        }
        flow = AudienceFlow(config=self.config, outside=self.outside, bury=self.bury)
        return flow.run(body, rights=Rights(caller=rights.caller), origin=origin)

    def _log(self, identity: Result, sending: Sending) -> None:
        sending.log(
            destination=identity.destination,
            outcome=identity.outcome,
            action=KIND,
            num_received=identity.num_received,
            error_message=identity.errors[0].message if identity.errors else None,
        )


def _not_forgotten(error: RelayError) -> IdentityError:
    return IdentityUnreachableError(error.message, scope=error.scope, action=error.action)


def _rows(person: Mapping[str, Sequence[object]], gone: frozenset[str]) -> list[dict[str, object]]:
    """Return the person as the caller states it, then by each identifier alone, and by those that were known here."""
    rows: list[dict[str, object]] = [{key: list(values) for key, values in person.items()}] if person else []
    if len(person) > 1 or any(len(values) > 1 for values in person.values()):
        rows += [{key: value} for key in _ALONE for value in person.get(key, ())]
    known = (key.partition(":") for key in sorted(gone))
    rows += [{_ALSO_KNOWN_AS[kind]: digest} for kind, _, digest in known if kind in _ALSO_KNOWN_AS]
    return rows


_KEY: Final = re.compile(r"[a-z_]{2,16}:[0-9a-f]{32,64}", re.ASCII)


def forget_later(
    body: Mapping[str, object], *, recognizer: Recognizer | None, outside: Outside, origin: Origin
) -> bool:
    """
    Do what a message of ours asks for: forget somebody who has withdrawn consent while the graph was out of reach.

    Raises:
        InvalidRequestError: It is none of ours.
        IdentityError: It is still out of reach; the message has to be delivered again.
    """
    keys = body.get("keys")
    if not isinstance(keys, list) or not all(isinstance(key, str) and _KEY.fullmatch(key) for key in keys):
        raise InvalidRequestError("not a message that this service has written", field="keys")
    resolver = recognizer.resolver if recognizer else None
    if resolver is not None:
        gone = resolver.forget(keys, deadline=outside.clock.monotonic() + _TIME_S)
        sending = Sending(outside=outside, origin=origin)
        destination = {"identity": resolver.source}
        sending.log(destination=destination, outcome="delivered", action="forget", num_received=len(gone))
        sending.finish()
    return True
