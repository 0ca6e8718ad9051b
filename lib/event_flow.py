"""A request of `/events`, from its body to its answer, as a straight list of steps."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from hashlib import sha256
from typing import TYPE_CHECKING, Any, Final

from lib.admission import NOT_FORGOTTEN, Admission, why_withheld, withheld_columns
from lib.authentication import Rights
from lib.click_ids import BrowserIds, browser_ids, enhanced, enhancement_cookie
from lib.common_event import CommonEvent
from lib.config import Config, Connection
from lib.consent import Verdict
from lib.errors import ConfigurationError, InvalidRequestError, NobodyToSendError
from lib.event_request import EventDestination, EventRequest, parse_event_request
from lib.events import EventPolicy, build_server_event, time_of_event
from lib.graph_request import GraphRequest, event_call
from lib.normalization import Settings
from lib.outcomes import Answer, Result, together
from lib.ports import Secrets
from lib.report import Report
from lib.sending import Origin, Outside, Sending
from lib.user_data import build_user_data

if TYPE_CHECKING:
    # Loaded by bootstrap, for those alone who have identity switched on.
    from lib.identity import Identifiers
    from lib.recognition import Recognition, Recognizer

logger = logging.getLogger(__name__)

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


@dataclass(slots=True)
class _Browser:
    """
    The browser whose cookies the caller handles.

    Args:
        cookies: What it holds, after each event of the request in its turn.
        new: What the caller has to set in it.
        key: Signs `_gtmeec`; None where events are not enhanced.
    """

    cookies: dict[str, str]
    key: bytes | None = None
    new: dict[str, str] = field(default_factory=dict)

    def give(self, cookies: Mapping[str, str]) -> None:
        """Let the caller set *cookies*."""
        self.cookies |= cookies
        self.new |= cookies


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
        recognizer: Recognises people; None where identity is off.
    """

    config: Config
    outside: Outside
    secrets: Secrets
    bury: bool = False
    recognizer: Recognizer | None = None

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
        recognition = self._recognise(request, admitted, ways[0], report, sending.origin)
        if recognition:
            sending.columns_of = recognition.columns
        cookies: dict[str, str] = {}
        for same in _alike(ways, self._admission):
            browser = self._browser(request)
            self._send(request, admitted, same, browser, sending, recognition)
            cookies |= browser.new if browser else {}
            report.merge(same[0].report)
        if recognition and sending.mode != "show":
            recognition.learn()
        return _answer(ways, report, sending, cookies), sending

    def _ways(self, request: EventRequest) -> list[_Way]:
        """Find each destination's connection; without destinations the connection's own dataset is meant."""
        destinations = request.destinations
        if not destinations:
            own = self._admission.connection(request.options.connection, "connection").dataset_id
            if own is None:
                raise InvalidRequestError("is missing", field="destinations")
            destinations = (EventDestination(own),)
        ways = [
            _Way(
                destination,
                self._admission.connection_of(destination.connection, request.options, place),
                Result(destination=destination.shown()),
            )
            for place, destination in enumerate(destinations)
        ]
        # A connection may have been named once and meant once.
        if len({(way.destination.dataset_id, way.connection.name) for way in ways}) < len(ways):
            raise InvalidRequestError("names a destination twice", field="destinations")
        return ways

    def _admit(self, request: EventRequest, ways: Sequence[_Way], report: Report, sending: Sending) -> list[_Admitted]:
        """Return the events whose people have granted what is required; the others are withheld, each by itself."""
        admitted = []
        withdrawn = []
        withheld: dict[Verdict, int] = {}
        for row, event in enumerate(request.events):
            verdict = self._admission.verdict(request.options, event.get, configured=self.config.consent.events)
            if verdict.granted and not event.is_preview_monitor():
                admitted.append(_Admitted(row, event))
            else:
                if verdict.withdrawn and not event.is_preview_monitor():
                    withdrawn.append(event)
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
        self._forget(request, withdrawn, ways[0], report, sending)
        return admitted

    def _recognise(
        self, request: EventRequest, admitted: Sequence[_Admitted], way: _Way, report: Report, origin: Origin
    ) -> Recognition | None:
        """Find out who the people of the events are; None where nobody is asked."""
        if self.recognizer is None and request.recognise:
            report.warn("identity: no resolver is configured")
        if self.recognizer is None or request.recognise is False:
            return None
        reading = self._admission.settings(way.connection)
        ask = partial(self._identifiers, self.recognizer, request, reading=reading, origin=origin)
        recognition = self.recognizer.of_request(origin)
        recognition.recognise({one.row: ask(one.event) for one in admitted}, reading)
        return recognition

    def _identifiers(
        self, recognizer: Recognizer, request: EventRequest, event: CommonEvent, reading: Settings, origin: Origin
    ) -> Identifiers:
        return recognizer.identifiers(
            event,
            overrides=_mapping(request.overrides.get("user_data")),
            cookies=request.cookies or {},
            reading=reading,
            time=time_of_event(event, request.overrides, now=self._now(origin)),
            anonymous_id=request.anonymous_id,
        )

    def _now(self, origin: Origin) -> int:
        return int(origin.published or self.outside.clock.now())

    def _forget(
        self, request: EventRequest, denied: Sequence[CommonEvent], way: _Way, report: Report, sending: Sending
    ) -> None:
        """Forget who has withdrawn consent: what was learned under it is not theirs to be known by any longer."""
        if self.recognizer is None or not denied or sending.mode == "show":
            return
        reading = self._admission.settings(way.connection)
        ask = partial(self._identifiers, self.recognizer, request, reading=reading, origin=sending.origin)
        people = [ask(event) for event in denied]
        if not self.recognizer.of_request(sending.origin).forget(people, self.outside.queue):
            report.warn(NOT_FORGOTTEN)

    def _browser(self, request: EventRequest) -> _Browser | None:
        """Return the browser that the caller speaks for; None if it handles no cookies."""
        if request.cookies is None:
            return None
        name = self.config.event_enhancement_key
        try:
            key = self.secrets.access(name) if name else None
        except ConfigurationError as error:
            # Events are worth more than what they could be enhanced with.
            logger.error("%s", error.message)  # noqa: TRY400 - the frames say nothing
            key = None
        return _Browser(dict(request.cookies), key)

    def _send(
        self,
        request: EventRequest,
        admitted: Sequence[_Admitted],
        ways: Sequence[_Way],
        browser: _Browser | None,
        sending: Sending,
        recognition: Recognition | None,
    ) -> None:
        """Build the events once for destinations that read them alike, and send them batch by batch."""
        clock = self.outside.clock
        began = clock.monotonic()
        settings = self._admission.settings(ways[0].connection)
        built = [
            (one.row, server_event, _test_code(request, one, ways[0].report))
            for one in admitted
            if (server_event := self._build(request, one, ways[0], settings, browser, sending.origin, recognition))
            is not None
        ]
        if recognition:
            recognition.left(row for row, _, _ in built)
        calls = {place: list(_calls(built, way)) for place, way in enumerate(ways)}
        build_ms = 1000 * (clock.monotonic() - began)
        for step in range(max(map(len, calls.values()), default=0)):
            ready = [(ways[place].result, own[step]) for place, own in calls.items() if step < len(own)]
            sending.dispatch(ready, build_ms=build_ms if step == 0 else 0)

    def _build(
        self,
        request: EventRequest,
        one: _Admitted,
        way: _Way,
        settings: Settings,
        browser: _Browser | None,
        origin: Origin,
        recognition: Recognition | None,
    ) -> dict[str, Any] | None:
        """Return Meta's server event; None if it is rejected. A browser is given the cookies that it lacks."""
        now = self._now(origin)
        ids, stated = self._stated(request, one, way, settings, browser, origin)
        remembered = _enhance(browser, stated, settings, way.report, now=now)
        user_data = remembered
        if recognition:
            # Not into the cookie: what a browser remembers is what it has said itself.
            user_data = remembered | recognition.add_to(one.row, stated, hash_external_id=settings.hash_external_id)
        server_event = build_server_event(
            one.event,
            EventPolicy(
                now=now,
                seed=f"{origin.request_id}.{one.row}",
                products=request.products,
                default_currency=way.connection.default_currency,
                data_processing=request.options.data_processing,
            ),
            overrides=request.overrides,
            user_data=user_data,
            report=way.report,
            row=one.row,
        )
        if browser and server_event is not None:
            browser.give(ids.cookies() | _remembered(browser, remembered, now=now))
        return server_event

    def _stated(
        self,
        request: EventRequest,
        one: _Admitted,
        way: _Way,
        settings: Settings,
        browser: _Browser | None,
        origin: Origin,
    ) -> tuple[BrowserIds, dict[str, object]]:
        """Return the browser's ids and the user_data that the event itself states."""
        overrides = _mapping(request.overrides.get("user_data"))
        cookies = browser.cookies if browser else {}
        ids = browser_ids(
            one.event,
            overrides=overrides,
            cookies=cookies,
            time_ms=lambda: 1000 * time_of_event(one.event, request.overrides, now=self._now(origin)),
            new_fbp=_new_fbp(request, one, origin),
            report=way.report,
            row=one.row,
        )
        user_data = build_user_data(
            one.event,
            overrides=overrides,
            cookies=cookies,
            browser_ids=ids,
            settings=settings,
            report=way.report,
            row=one.row,
        )
        return ids, user_data


def _enhance(
    browser: _Browser | None, user_data: dict[str, object], settings: Settings, report: Report, *, now: int
) -> dict[str, object]:
    """Fill missing keys from what this browser's signed cookie remembers."""
    if browser is None or browser.key is None:
        return user_data
    cookie = browser.cookies.get("_gtmeec", "")
    return enhanced(user_data, cookie, key=browser.key, now=now, settings=settings, report=report)


def _remembered(browser: _Browser, user_data: Mapping[str, object], *, now: int) -> dict[str, str]:
    """Return the cookie that remembers *user_data*, if there is anything in it to remember."""
    cookie = enhancement_cookie(user_data, key=browser.key, now=now) if browser.key is not None else ""
    return {"_gtmeec": cookie} if cookie else {}


def _answer(ways: Sequence[_Way], report: Report, sending: Sending, cookies: Mapping[str, str]) -> Answer:
    for way in ways:
        for row in way.result.invalid_rows:
            report.reject_cell(row, None, "Meta refuses it; the result's error says why")
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
    # A browser remembers no event that Meta has not got.
    return Answer(outcome=outcome, results=results, report=report, cookies={} if outcome == "failed" else cookies)


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


def _calls(built: Sequence[tuple[int, dict[str, Any], str | None]], way: _Way) -> Iterator[GraphRequest]:
    """Yield the calls to a dataset: at most 1,000 events each, those of stores and of other test codes apart."""
    own_code = way.destination.test_event_code or way.connection.test_event_code
    groups: dict[tuple[bool, str | None], list[tuple[int, dict[str, Any]]]] = {}
    for row, event, code in built:
        groups.setdefault((event.get("action_source") == _OFFLINE, code or own_code), []).append((row, event))
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


#: As Events Manager shows them (`TEST12345`), and nothing that could be somebody's address.
_TEST_CODE = re.compile(r"[A-Za-z0-9_]{1,64}", re.ASCII)


def _test_code(request: EventRequest, one: _Admitted, report: Report) -> str | None:
    """Return the event's own test code."""
    code = request.overrides.get("test_event_code") or one.event.get("test_event_code")
    if code is None or code == "":
        return None
    if isinstance(code, str) and _TEST_CODE.fullmatch(code.strip()):
        return code.strip()
    report.warn("test_event_code: not letters and digits; it is ignored")
    return None


def _new_fbp(request: EventRequest, one: _Admitted, origin: Origin) -> int | None:
    """Return the random part of a new fbp for a browser whose caller sets cookies; it derives from the request."""
    source = request.overrides.get("action_source") or one.event.get("action_source") or _WEBSITE
    if request.cookies is None or source != _WEBSITE:
        return None
    return int.from_bytes(sha256(f"fbp {origin.request_id}".encode()).digest()[:8]) % _MAX_FBP


def _mapping(value: object) -> Mapping[str, object]:
    return value if isinstance(value, Mapping) else {}
