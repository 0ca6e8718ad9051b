"""A request of `/events`, from its body to its answer, as a straight list of steps."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any, Final

from lib.admission import Admission, why_withheld, withheld_columns
from lib.authentication import Rights
from lib.click_ids import browser_ids, enhanced, enhancement_cookie
from lib.common_event import CommonEvent
from lib.config import Config, Connection
from lib.consent import Verdict
from lib.errors import InvalidRequestError, NobodyToSendError
from lib.event_request import EventDestination, EventRequest, parse_event_request
from lib.events import EventPolicy, build_server_event, time_of_event
from lib.graph_request import GraphRequest, event_call
from lib.normalization import Settings
from lib.outcomes import Answer, Result, together
from lib.ports import Secrets
from lib.report import Report
from lib.sending import Origin, Outside, Sending
from lib.user_data import build_user_data

KIND: Final = "events"
#: "You can send up to 1,000 events in data."
#: -- https://developers.facebook.com/docs/marketing-api/conversions-api/using-the-api
MAX_EVENTS: Final = 1_000
#: Events of stores may be older, and a batch is refused for its oldest: they go apart.
_OFFLINE: Final = "physical_store"
_WEBSITE: Final = "website"
_MAX_FBP: Final = 2**31


@dataclass(slots=True)
class _Way:
    """A destination with the connection that leads to it."""

    destination: EventDestination
    connection: Connection
    result: Result
    report: Report = field(default_factory=Report)


@dataclass(frozen=True, slots=True)
class _Admitted:
    """An event that has passed the gate, with its number in the request."""

    row: int
    event: CommonEvent


@dataclass(frozen=True, slots=True, kw_only=True)
class EventFlow:
    """
    What stays the same for all requests.

    Args:
        secrets: Gives the key that signs `_gtmeec`.
        bury: See `Sending`.
    """

    config: Config
    outside: Outside
    secrets: Secrets
    bury: bool = False

    @property
    def _admission(self) -> Admission:
        return Admission(self.config, self.outside)

    def run(self, body: Mapping[str, object], *, rights: Rights, origin: Origin) -> tuple[Answer, Sending]:
        """
        Do what *body* asks for.

        Raises:
            InvalidRequestError, ForbiddenError: Before anything is sent.
        """
        request = parse_event_request(body)
        ways = self._ways(request)
        self._admission.authorize(
            rights,
            request.options,
            actions=[KIND],
            names={way.connection.name for way in ways},
            configured=self.config.consent.events,
        )
        report = Report(warnings=dict.fromkeys(request.warnings))
        sending = Sending(outside=self.outside, origin=origin, debug=request.options.debug, bury=self.bury)
        sending.mode = self._admission.mode(request.options, report)
        admitted = self._admit(request, ways, report, sending)
        cookies: dict[str, str] = {}
        for same in _alike(ways, self._admission):
            self._send(request, admitted, same, cookies, sending)
            report.merge(same[0].report)
        return _answer(ways, report, sending, cookies), sending

    def _ways(self, request: EventRequest) -> list[_Way]:
        """Find each destination's connection; without destinations the connection's own dataset is meant."""
        destinations = request.destinations
        if not destinations:
            own = self._admission.connection(request.options.connection, "connection").dataset_id
            if own is None:
                raise InvalidRequestError("is missing", field="destinations")
            destinations = (EventDestination(own),)
        return [
            _Way(
                destination,
                self._admission.connection_of(destination.connection, request.options, place),
                Result(destination=destination.shown()),
            )
            for place, destination in enumerate(destinations)
        ]

    def _admit(self, request: EventRequest, ways: Sequence[_Way], report: Report, sending: Sending) -> list[_Admitted]:
        """Return the events whose people have granted what is required; the others are withheld, each by itself."""
        admitted = []
        withheld: dict[Verdict, int] = {}
        for row, event in enumerate(request.events):
            verdict = self._admission.verdict(request.options, event.get, configured=self.config.consent.events)
            if verdict.granted and not event.is_preview_monitor():
                admitted.append(_Admitted(row, event))
            else:
                verdict = Verdict() if event.is_preview_monitor() else verdict
                withheld[verdict] = withheld.get(verdict, 0) + 1
        for verdict, count in withheld.items():
            report.warn(why_withheld(verdict))
            for way in ways:
                way.result.parts.append("withheld")
                if sending.mode != "show":
                    sending.log(
                        destination=way.result.destination,
                        outcome="withheld",
                        part=verdict.missing,
                        action=KIND,
                        connection=way.connection.name,
                        rows_received=count,
                        **withheld_columns(verdict),
                    )
        return admitted

    def _send(
        self,
        request: EventRequest,
        admitted: Sequence[_Admitted],
        ways: Sequence[_Way],
        cookies: dict[str, str],
        sending: Sending,
    ) -> None:
        """Build the events once for destinations that read them alike, and send them batch by batch."""
        clock = self.outside.clock
        began = clock.monotonic()
        built = [
            (one.row, server_event, code)
            for one in admitted
            if (server_event := self._build(request, one, ways[0], cookies, sending.origin)) is not None
            for code in [request.overrides.get("test_event_code") or one.event.get("test_event_code")]
        ]
        calls = {place: list(_calls(built, way)) for place, way in enumerate(ways)}
        build_ms = 1000 * (clock.monotonic() - began)
        for step in range(max(map(len, calls.values()), default=0)):
            ready = [(ways[place].result, own[step]) for place, own in calls.items() if step < len(own)]
            sending.dispatch(ready, build_ms=build_ms if step == 0 else 0)

    def _build(
        self, request: EventRequest, one: _Admitted, way: _Way, cookies: dict[str, str], origin: Origin
    ) -> dict[str, Any] | None:
        """Return Meta's server event; None if it is rejected. New cookies are added to *cookies*."""
        now = int(origin.published or self.outside.clock.now())
        settings = self._admission.settings(way.connection)
        overrides = request.overrides
        own_user_data = _mapping(overrides.get("user_data"))
        ids = browser_ids(
            one.event,
            overrides=own_user_data,
            cookies=request.cookies or {},
            time_ms=1000 * time_of_event(one.event, overrides, now=now),
            new_fbp=_new_fbp(request, one, origin),
            report=way.report,
            row=one.row,
        )
        user_data = build_user_data(
            one.event,
            overrides=own_user_data,
            cookies=request.cookies or {},
            browser_ids=ids,
            settings=settings,
            report=way.report,
            row=one.row,
        )
        user_data = self._enhance(request, user_data, cookies, settings, way.report, now=now)
        cookies |= ids.cookies() if request.cookies is not None else {}
        return build_server_event(
            one.event,
            EventPolicy(
                now=now,
                seed=f"{origin.request_id}.{one.row}",
                products=request.products,
                default_currency=way.connection.default_currency,
                data_processing=request.options.data_processing,
            ),
            overrides=overrides,
            user_data=user_data,
            report=way.report,
            row=one.row,
        )

    def _enhance(
        self,
        request: EventRequest,
        user_data: dict[str, object],
        cookies: dict[str, str],
        settings: Settings,
        report: Report,
        *,
        now: int,
    ) -> dict[str, object]:
        """Fill missing keys from what this browser's signed cookie remembers, and remember anew."""
        name = self.config.event_enhancement_key
        if name is None or request.cookies is None:
            return user_data
        key = self.secrets.access(name)
        cookie = request.cookies.get("_gtmeec", "")
        fuller = enhanced(user_data, cookie, key=key, now=now, settings=settings, report=report)
        if new := enhancement_cookie(fuller, key=key, now=now):
            cookies["_gtmeec"] = new
        return fuller


def _answer(ways: Sequence[_Way], report: Report, sending: Sending, cookies: Mapping[str, str]) -> Answer:
    for way in ways:
        if sending.mode != "show":
            sending.log_rejects(way.result, way.report, None, action=KIND, connection=way.connection.name)
        if way.report.rows and set(way.result.parts) <= {"withheld"}:
            way.result.parts.append("rejected")
    results = [way.result for way in ways]
    outcome = together([result.outcome for result in results])
    if outcome == "rejected":
        nobody = NobodyToSendError("no event in it can be sent; `rejected` says why")
        return Answer(outcome=outcome, results=results, report=report, error=nobody)
    if outcome == "delivered" and report.rows:
        outcome = "partial"
    return Answer(outcome=outcome, results=results, report=report, cookies=dict(cookies))


def _alike(ways: Sequence[_Way], admission: Admission) -> list[list[_Way]]:
    """Part the destinations by how their connections want events read; each part is built once."""
    parts: list[tuple[tuple[Settings, str | None], list[_Way]]] = []
    for way in ways:
        reading = (admission.settings(way.connection), way.connection.default_currency)
        same = next((part for known, part in parts if known == reading), None)
        if same is None:
            parts.append((reading, [way]))
        else:
            way.report = same[0].report
            same.append(way)
    return [part for _, part in parts]


def _calls(built: Sequence[tuple[int, dict[str, Any], object]], way: _Way) -> Iterator[GraphRequest]:
    """Yield the calls to a dataset: at most 1,000 events each, those of stores and of other test codes apart."""
    own_code = way.destination.test_event_code or way.connection.test_event_code
    groups: dict[tuple[bool, str | None], list[tuple[int, dict[str, Any]]]] = {}
    for row, event, code in built:
        test_code = code if isinstance(code, str) and code else own_code
        groups.setdefault((event.get("action_source") == _OFFLINE, test_code), []).append((row, event))
    number = 0
    for (_, test_code), events in groups.items():
        for start in range(0, len(events), MAX_EVENTS):
            number += 1
            part = events[start : start + MAX_EVENTS]
            yield event_call(
                [event for _, event in part],
                connection=way.connection.name,
                destination=way.result.destination,
                test_event_code=test_code,
                batch_number=number,
                numbers=[row for row, _ in part],
            )


def _new_fbp(request: EventRequest, one: _Admitted, origin: Origin) -> int | None:
    """Return the random part of a new fbp for a browser whose caller sets cookies; it derives from the request."""
    source = request.overrides.get("action_source") or one.event.get("action_source") or _WEBSITE
    if request.cookies is None or source != _WEBSITE:
        return None
    return int.from_bytes(sha256(f"fbp {origin.request_id}".encode()).digest()[:8]) % _MAX_FBP


def _mapping(value: object) -> Mapping[str, object]:
    return value if isinstance(value, Mapping) else {}
