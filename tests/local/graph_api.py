"""
A local stand-in for Meta's Graph API: Custom Audiences and the Conversions API, with the rules that Meta documents.

Each rule names its source by the keys of the reference notes: CA-guide, CA-users, CA-node, CA-edge, CA-tos
(the pages "Customer File Custom Audiences", "Custom Audience Users", "Custom Audience", "Ad Account Custom
Audiences", "Custom Audience Terms Of Service" of developers.facebook.com), E-mapi and E-graph (error
codes), R-graph (rate limits). Stricter than Meta on purpose where Meta would take what this project must
not send: a token anywhere but in the Authorization header, a form in place of JSON, parameters that are not
known. Those are `violations`.
"""

import hashlib
import hmac
import itertools
import re
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from http import HTTPStatus
from types import MappingProxyType, TracebackType
from typing import Any, Final, Self

import orjson

from tests.local import graph_health
from tests.local.faults import Faults
from tests.local.graph_events import OTHER, Dataset, Event, InvalidEventError, event_violations, parse_events
from tests.local.graph_health import DATASET_FIELDS, DEBUG_TOKEN, ME_FIELDS, Health, RefusedError
from tests.local.graph_members import Members
from tests.local.graph_payload import InvalidParameterError, People, Person, parse_people
from tests.local.graph_sessions import (
    IN_PROGRESS,
    NOT_NORMAL,
    Batch,
    ReplaceError,
    Session,
    Sessions,
    parse_batch,
)
from tests.local.http_server import HTTPServer, Reply, Request

NEWEST_VERSION: Final = 26  # released 2026-07-29 (Graph API changelog)
OLDEST_VERSION: Final = 25  # v24.0 of the Marketing API ended on 2026-10-06
MAX_AUDIENCES: Final = 500  # "CUSTOM: 500 per ad account" (CA-guide)
REPLACE_LIMIT: Final = 100_000_000  # "< 100 million existing users" (CA-guide)
THROTTLE_SUBCODE: Final = 2446079
SCORE_SUBCODE: Final = 1487742
BUSINESS_ID: Final = "900000000000001"
NORMAL: Final = 200
REPLACING: Final = 414
FLAGGED: Final = 471

SOURCES: Final = frozenset(["USER_PROVIDED_ONLY", "PARTNER_PROVIDED_ONLY", "BOTH_USER_AND_PARTNER_PROVIDED"])
BODY_KEYS: Final = frozenset(["payload", "session"])
CREATE_KEYS: Final = frozenset(  # CA-edge
    [
        "name",
        "subtype",
        "customer_file_source",
        "description",
        "is_value_based",
        "retention_days",
        "opt_out_link",
        "audience_labels",
        "enable_fetch_or_create",
        "use_for_products",
        "use_in_campaigns",
        "usage_restriction",
    ]
)
UPDATE_KEYS: Final = frozenset(["name", "description", "customer_file_source", "opt_out_link", "use_in_campaigns"])
READ_PARAMETERS: Final = frozenset(["fields", "filtering", "limit", "after", "before", "session_id", "appsecret_proof"])
AUDIENCE_FIELDS: Final = frozenset(  # CA-node
    [
        "id",
        "name",
        "description",
        "subtype",
        "customer_file_source",
        "account_id",
        "delivery_status",
        "approximate_count_lower_bound",
        "approximate_count_upper_bound",
        "operation_status",
        "is_value_based",
        "retention_days",
        "time_created",
        "time_updated",
        "time_content_updated",
        "opt_out_link",
    ]
)
ACCOUNT_FIELDS: Final = frozenset(
    ["id", "account_id", "name", "account_status", "disable_reason", "tos_accepted", "user_tos_accepted"]
)

PROOF_MISSING: Final = "API calls from the server require an appsecret_proof argument"
PROOF_WRONG: Final = "Invalid appsecret_proof provided in the API argument"


@dataclass(frozen=True, slots=True)
class App:
    """The app of a token: its secret if Meta requires a proof of it, and its accounts (None: every one)."""

    app_secret: str | None = field(default=None, repr=False)
    accounts: frozenset[str] | set[str] | None = None
    app_id: str | None = None


@dataclass(frozen=True, slots=True)
class Call:
    """One call as it came: the names of its query's keys, no token, and what was answered (None: nothing)."""

    method: str
    path: str
    query: tuple[str, ...]
    headers: Mapping[str, str]
    body: Any
    status: int | None
    answer: Any
    at: float


class MetaError(Exception):
    """An error that is answered in Meta's envelope."""

    def __init__(
        self,
        code: int,
        message: str,
        subcode: int | None = None,
        *,
        kind: str = "OAuthException",
        status: int = HTTPStatus.BAD_REQUEST,
        transient: bool = False,
        title: str | None = None,
        regain_minutes: int = 0,
        reset_seconds: int = 0,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.reset_seconds = reset_seconds
        self.regain_minutes = regain_minutes
        self.error: dict[str, Any] = {
            "message": message,
            "type": kind,
            "code": code,
            "is_transient": transient,
        }
        if subcode is not None:
            self.error["error_subcode"] = subcode
        if title is not None:
            self.error |= {"error_user_title": title, "error_user_msg": title}


@dataclass(slots=True)
class Audience:
    """One customer-file audience."""

    audience_id: str
    account: str
    properties: dict[str, Any]
    not_ready: int = 0
    operation_status: tuple[int, str] = (NORMAL, "Normal")
    members: Members = field(default_factory=Members)

    @property
    def value_based(self) -> bool:
        """Tell whether its rows must carry LOOKALIKE_VALUE."""
        return bool(self.properties.get("is_value_based"))


@dataclass(slots=True)
class Account:
    """One ad account: its sessions, whether the terms are accepted, and until when it is throttled."""

    account_id: str
    terms_accepted: bool = True
    throttled_until: float | None = None
    throttled_by_score: bool = False
    sessions: Sessions = field(default_factory=Sessions)


@dataclass(frozen=True, slots=True)
class _Context:
    """One call after its token was accepted."""

    request: Request
    app: App
    path: tuple[str, ...]
    """The path after the version."""
    body: Any

    def demand(self, account: str) -> None:
        if self.app.accounts is not None and account not in self.app.accounts:
            raise _missing(self.path[0])


class GraphAPI:
    """
    Meta's Graph API on loopback; *tokens* says which tokens are good, and of which app.

    *clock* counts seconds; it drives throttling and the 90 minutes of a replace. *now* gives Unix seconds, to which
    the times of events are held. *keep_bodies* and *keep_members* False save memory where millions are sent.
    """

    def __init__(
        self,
        *,
        tokens: Mapping[str, App] | None = None,
        port: int = 0,
        clock: Callable[[], float] = time.monotonic,
        now: Callable[[], float] = time.time,
        keep_bodies: bool = True,
        keep_members: bool = True,
    ) -> None:
        self.tokens: dict[str, App] = dict({"token": App()} if tokens is None else tokens)
        self.faults = Faults()
        self.health = Health()
        self.calls: list[Call] = []
        self.violations: list[str] = []
        self.calls_while_throttled = 0
        self.not_ready_after_create = 0
        #: Ids of events in which Meta finds fault by a rule that nobody has documented.
        self.refused_event_ids: set[str] = set()
        self._clock = clock
        self._now = now
        self._keep_bodies = keep_bodies
        self._keep_members = keep_members
        self._lock = threading.RLock()
        self._expired: dict[str, App] = {}
        self._accounts: dict[str, Account] = {}
        self._audiences: dict[str, Audience] = {}
        self._datasets: dict[str, Dataset] = {}
        self._serial = itertools.count(1)
        self._server = HTTPServer(self._handle, port=port)
        self._stack = ExitStack()
        for app in self.tokens.values():
            for account in app.accounts or ():
                self.add_account(account)

    @property
    def url(self) -> str:
        """The address to call, without a version."""
        return self._server.url

    def __enter__(self) -> Self:
        self._stack.enter_context(self._server)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    # What a test arranges.

    def add_account(self, account: str) -> None:
        """Let an ad account be there; its id is given without act_."""
        with self._lock:
            self._accounts.setdefault(account, Account(account))

    def add_audience(
        self,
        audience_id: str,
        *,
        account: str,
        value_based: bool = False,
        name: str = "",
        description: str = "",
        not_ready: int = 0,
    ) -> None:
        """Let an audience be there; the first *not_ready* calls to its people answer 803."""
        properties = {
            "name": name or f"Audience {audience_id}",
            "description": description,
            "subtype": "CUSTOM",
            "customer_file_source": "USER_PROVIDED_ONLY",
            "is_value_based": value_based,
            "time_created": int(self._now()),
        }
        with self._lock:
            self.add_account(account)
            self._audiences[audience_id] = Audience(audience_id, account, properties, not_ready)

    def add_dataset(self, dataset_id: str, *, account: str) -> None:
        """Let a dataset be there that the tokens of *account* may write to."""
        with self._lock:
            self.add_account(account)
            self._datasets[dataset_id] = Dataset(dataset_id, account)

    def set_operation_status(self, audience_id: str, code: int, description: str = "") -> None:
        """Set operation_status: 471 blocks uploads, and only 200 may be replaced (CA-node, CA-guide)."""
        with self._lock:
            self._audiences[audience_id].operation_status = (code, description)

    def expire(self, token: str) -> None:
        """Let *token* be refused from now on."""
        with self._lock:
            if app := self.tokens.pop(token, None):
                self._expired[token] = app

    def refuse_terms(self, account: str) -> None:
        """Answer 200/1870090 until the terms are accepted."""
        with self._lock:
            self._accounts[account].terms_accepted = False

    def accept_terms(self, account: str) -> None:
        """Accept the Custom Audience terms, as a human does."""
        with self._lock:
            self._accounts[account].terms_accepted = True

    def throttle(self, account: str, *, minutes: float = 0, seconds: float = 0) -> None:
        """
        Refuse calls until so much time has passed on the clock, or `release`.

        *minutes* stand for the limit of the use case (80003), which names its time in minutes; *seconds* alone for
        the score of the ad account (613), which names it in seconds.
        """
        with self._lock:
            self._accounts[account].throttled_until = self._clock() + minutes * 60 + seconds
            self._accounts[account].throttled_by_score = not minutes

    def release(self, account: str) -> None:
        """End the throttling."""
        with self._lock:
            self._accounts[account].throttled_until = None

    # What a test looks at.

    def audiences(self) -> list[str]:
        """Return the ids of all audiences, oldest first."""
        with self._lock:
            return list(self._audiences)

    def members(self, audience_id: str) -> set[Person]:
        """Return the people of an audience, each as the set of its (key, value) identifiers."""
        with self._lock:
            return self._audiences[audience_id].members.snapshot()

    def names(self) -> dict[str, str]:
        """Return the name of each audience."""
        with self._lock:
            return {audience_id: audience.properties["name"] for audience_id, audience in self._audiences.items()}

    def counts(self) -> dict[str, int]:
        """Return how many people each audience has."""
        with self._lock:
            return {audience_id: len(audience.members) for audience_id, audience in self._audiences.items()}

    def events(self, dataset_id: str) -> list[Event]:
        """Return the events of a dataset as they came, each once, oldest first."""
        with self._lock:
            return list(self._datasets[dataset_id].events)

    @property
    def events_received(self) -> int:
        """How many events were taken, those that were known already included."""
        with self._lock:
            return sum(dataset.received for dataset in self._datasets.values())

    # The way of a call.

    def _handle(self, request: Request) -> Reply | None:
        at = self._clock()
        body = _parse(request)
        self._find_violations(request, body)
        self._count_throttled(request)
        reply = self.faults.run(request, lambda request: self._answer(request, body), self._server.closing)
        self._record(request, body, reply, at)
        return reply

    def _record(self, request: Request, body: object, reply: Reply | None, at: float) -> None:
        headers = {name: value for name, value in request.headers.items() if name != "authorization"}
        call = Call(
            method=request.method,
            path=request.path,
            query=tuple(key for key, _ in request.query),
            headers=MappingProxyType(headers),
            body=body if self._keep_bodies else None,
            status=reply.status if reply else None,
            answer=_loads(reply.body) if reply else None,
            at=at,
        )
        with self._lock:
            self.calls.append(call)

    def _find_violations(self, request: Request, body: object) -> None:
        where = f"{request.method} {request.path}"
        found = [f"{where}: query parameter {key}" for key, _ in request.query if key not in _parameters(request)]
        if request.path.endswith(f"/{DEBUG_TOKEN}"):
            found += [f"{where}: {one}" for one in graph_health.token_violations(request, self.tokens)]
        elif _holds_token(request, self.tokens):
            found.append(f"{where}: a token outside the Authorization header")
        if request.method in {"POST", "DELETE"} and request.body:
            if not request.headers.get("content-type", "").startswith("application/json"):
                found.append(f"{where}: the body is not application/json")
            if request.path.endswith("/events"):
                found += [f"{where}: {violation}" for violation in event_violations(body)]
            elif isinstance(body, dict):
                known = BODY_KEYS | CREATE_KEYS | UPDATE_KEYS
                found += [f"{where}: body key {key}" for key in body if key not in known]
        with self._lock:
            self.violations += found

    def _count_throttled(self, request: Request) -> None:
        with self._lock:
            account = self._account_of(request.path.split("/"))
            if account is not None and self._regain_seconds(account) > 0:
                self.calls_while_throttled += 1

    def _account_of(self, path: list[str]) -> Account | None:
        node = path[2] if len(path) > 2 else ""
        owned = self._audiences.get(node) or self._datasets.get(node)
        return self._accounts.get(owned.account if owned else node.removeprefix("act_"))

    def _regain_seconds(self, account: Account) -> float:
        return 0 if account.throttled_until is None else account.throttled_until - self._clock()

    def _answer(self, request: Request, body: object) -> Reply:
        try:
            answer = self._route(request, body)
        except InvalidEventError as error:
            return self._error(MetaError(100, str(error), error.subcode, title=error.title))
        except InvalidParameterError as error:
            return self._error(MetaError(100, str(error)))
        except ReplaceError as error:
            subcode, message = error.args
            return self._error(MetaError(2650, f"(#2650) Failed to update audience: {message}", subcode))
        except RefusedError as error:
            code, message, subcode, status = error.args
            return self._error(MetaError(code, message, subcode, status=status))
        except MetaError as error:
            return self._error(error)
        headers = self._headers()
        if "events_received" in answer:
            answer["fbtrace_id"] = headers["x-fb-trace-id"]
        return Reply(HTTPStatus.OK, orjson.dumps(answer), headers)

    def _error(self, error: MetaError) -> Reply:
        headers = self._headers(error.regain_minutes)
        if error.reset_seconds:
            usage = {"acc_id_util_pct": 100, "reset_time_duration": error.reset_seconds}
            headers["X-Ad-Account-Usage"] = orjson.dumps(usage).decode()
        body = {"error": {**error.error, "fbtrace_id": headers["x-fb-trace-id"]}}
        return Reply(error.status, orjson.dumps(body), headers)

    def _headers(self, regain_minutes: int = 0) -> dict[str, str]:
        """Return the headers of every answer: usage in percent, the time to regain in minutes (R-graph)."""
        percent = 100 if regain_minutes else 1
        serial = b"%d" % next(self._serial)
        used = {"call_count": percent, "total_cputime": 1, "total_time": 1}
        business = {
            **used,
            "type": "custom_audience",
            "estimated_time_to_regain_access": regain_minutes,
            "ads_api_access_tier": "standard_access",
        }
        return {
            "X-Business-Use-Case-Usage": orjson.dumps({BUSINESS_ID: [business]}).decode(),
            "X-App-Usage": orjson.dumps({**used, "call_count": 1}).decode(),
            "x-fb-trace-id": f"A{hashlib.sha256(serial).hexdigest()[:6]}_{serial.decode()}",
            "facebook-api-version": f"v{NEWEST_VERSION}.0",
        }

    def _route(self, request: Request, body: object) -> dict[str, Any]:
        version, *path = request.path.strip("/").split("/")
        _check_version(version, request.path)
        if path == [DEBUG_TOKEN]:
            with self._lock:
                return graph_health.debug_token(request, self.tokens, self._expired, self.health)
        app = self._authenticate(request)
        if request.method != "GET" and (unknown := {key for key, _ in request.query} - {"appsecret_proof"}):
            raise InvalidParameterError(f"(#100) Unexpected query parameter: {', '.join(sorted(unknown))}")
        context = _Context(request, app, tuple(path), body)
        if path == ["me"]:
            return _selected({"id": "122100000000000001", "name": "Relay"}, _fields(request, ME_FIELDS, "User"))
        if path == ["dataset_quality"]:
            context = replace(context, path=(request.parameter("dataset_id") or "", *path))
            path = list(context.path)
        kind = self._kind(path)
        route = _ROUTES.get((request.method, kind, *path[1:]))
        if route is None or not path:
            raise _unknown_path(request.path)
        with self._lock:
            account = self._account_of(["", version, *path])
            if account is None:
                raise _missing(path[0])
            context.demand(account.account_id)
            self._check_throttled(account)
        return route(self, context, account)

    def _kind(self, path: list[str]) -> str:
        """Return which of the tables of routes the first part of a path belongs to."""
        if path and re.fullmatch(r"act_\d+", path[0]):
            return "act"
        is_dataset = bool(path) and path[0] in self._datasets and path[1:] != ["events"]
        return "dataset" if is_dataset or path[1:] == ["dataset_quality"] else "node"

    def _authenticate(self, request: Request) -> App:
        """Accept a token in the Authorization header only; a wrong one is 401 with code 190 (E-graph)."""
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        with self._lock:
            app = self.tokens.get(token) if scheme == "Bearer" else None
            holds_token = _holds_token(request, self.tokens)
        if app is None:
            message = "Error validating access token: Session has expired"
            raise MetaError(190, message, 463, status=HTTPStatus.UNAUTHORIZED)
        if holds_token:
            raise InvalidParameterError("(#100) The token belongs into the Authorization header only")
        _check_proof(app, token, request.parameter("appsecret_proof"))
        return app

    def _check_throttled(self, account: Account) -> None:
        """Refuse with the limit of the business use case (R-graph), or with the ad account's score (R-mapi)."""
        seconds = self._regain_seconds(account)
        if seconds > 0 and account.throttled_by_score:
            message = "(#613) Calls to this api have exceeded the rate limit."
            raise MetaError(613, message, SCORE_SUBCODE, reset_seconds=-int(-seconds // 1))
        if seconds > 0:
            message = "(#80003) There have been too many calls to this ad-account. Wait a bit and try again."
            raise MetaError(80003, message, THROTTLE_SUBCODE, regain_minutes=max(1, -int(-seconds // 60)))

    # People.

    def _add_users(self, context: _Context, account: Account) -> dict[str, Any]:
        return self._update_users(context, account, removing=False)

    def _remove_users(self, context: _Context, account: Account) -> dict[str, Any]:
        return self._update_users(context, account, removing=True)

    def _update_users(self, context: _Context, account: Account, *, removing: bool) -> dict[str, Any]:
        audience = self._writable(context.path[0], account)
        body = _users_body(context.body)
        people = parse_people(body.get("payload"), value_based=audience.value_based, value_required=not removing)
        batch = parse_batch(body["session"], context.request.body) if "session" in body else None
        purpose = ("remove" if removing else "add", audience.audience_id)
        with self._lock:
            if account.sessions.is_replacing(audience.audience_id, self._clock()):
                raise ReplaceError(*IN_PROGRESS)  # "No /users add/remove while running" (CA-guide)
            session, new = self._enter(account, batch, purpose, people)
            if new and removing:
                audience.members.remove(people.persons)
            elif new and self._keep_members:
                audience.members.add(people.persons)
        return {"audience_id": audience.audience_id, **_received(people, session)}

    def _enter(
        self, account: Account, batch: Batch | None, purpose: tuple[str, str], people: People
    ) -> tuple[Session | None, bool]:
        """Count the people in their session, if there is one, and tell whether they are new to it."""
        if batch is None:
            return None, True
        session, new = account.sessions.enter_users(batch, purpose, people.schema, self._clock())
        if new:
            session.accept(batch, people.received, len(people.invalid))
        return session, new

    def _replace_users(self, context: _Context, account: Account) -> dict[str, Any]:
        """Replace the people: CA-guide, "Replace users"."""
        audience = self._writable(context.path[0], account)
        body = _users_body(context.body)
        people = parse_people(body.get("payload"), value_based=audience.value_based, value_required=True)
        # The list of keys of /usersreplace has neither of these (CA-guide).
        if unknown := {"EXTERN_ID", "PAGEUID"}.intersection(people.schema):
            raise InvalidParameterError(f"(#100) Unknown schema key: {min(unknown)}")
        batch = parse_batch(body.get("session"), context.request.body)
        with self._lock:
            self._check_replaceable(audience)
            session, starts = account.sessions.enter_replace(batch, audience.audience_id, people.schema, self._clock())
            if starts:
                audience.members.clear()
            if self._keep_members:
                audience.members.add(people.persons)
            if batch.batch_seq not in session.batches:
                session.accept(batch, people.received, len(people.invalid))
            session.ended = session.ended or batch.last
        # The guide names the field account_id here.
        return {"account_id": audience.audience_id, **_received(people, session)}

    def _check_replaceable(self, audience: Audience) -> None:
        if audience.operation_status[0] != NORMAL:
            raise ReplaceError(*NOT_NORMAL)
        if len(audience.members) >= REPLACE_LIMIT:
            raise ReplaceError(1870144, "The audience is too large to be replaced")

    def _remove_from_all(self, context: _Context, account: Account) -> dict[str, Any]:
        """Remove people from each customer-file audience of the account (CA-guide, CA-node)."""
        self._check_terms(account)
        body = _users_body(context.body)
        people = parse_people(body.get("payload"), value_based=None, value_required=False)
        batch = parse_batch(body["session"], context.request.body) if "session" in body else None
        with self._lock:
            session, new = self._enter(account, batch, ("remove", f"act_{account.account_id}"), people)
            for audience in self._audiences.values() if new else ():
                if audience.account == account.account_id:
                    audience.members.remove(people.persons)
        return {"audience_id": account.account_id, **_received(people, session)}

    def _writable(self, audience_id: str, account: Account) -> Audience:
        """Return the audience, if people may be sent to it now."""
        self._check_terms(account)
        with self._lock:
            audience = self._audience(audience_id)
            if audience.operation_status[0] == FLAGGED:
                raise MetaError(100, "Audience Upload Blocked", 1713230)  # CA-users
            if audience.not_ready:
                audience.not_ready -= 1
                message = "(#803) Some of the aliases you requested do not exist: users"
                raise MetaError(803, message)  # ruby-sdk issue 124
        return audience

    def _audience(self, audience_id: str) -> Audience:
        audience = self._audiences.get(audience_id)
        if audience is None:
            raise _missing(audience_id)
        return audience

    def _check_terms(self, account: Account) -> None:
        if not account.terms_accepted:
            message = "(#200) Custom Audience Terms Not Accepted"
            raise MetaError(200, message, 1870090, status=HTTPStatus.FORBIDDEN)

    # Events.

    def _add_events(self, context: _Context, _account: Account) -> dict[str, Any]:
        """Take events, all or none of them; graph_events says which."""
        with self._lock:
            dataset = self._datasets.get(context.path[0])
            if dataset is None:
                raise _missing(context.path[0])
            events = parse_events(context.body, now=self._now())
            if any(event.get("event_id") in self.refused_event_ids for event in events):
                raise InvalidEventError("An Event Is Not Valid", OTHER)
            dataset.add(events, self._now())
        return {"events_received": len(events), "messages": []}

    def _read_dataset(self, context: _Context, _account: Account) -> dict[str, Any]:
        fields = _fields(context.request, DATASET_FIELDS, "AdsPixel")
        with self._lock:
            return _selected(self.health.dataset(context.path[0]), fields)

    def _read_quality(self, context: _Context, _account: Account) -> dict[str, Any]:
        with self._lock:
            return graph_health.quality(context.request, self.health)

    # Audiences.

    def _create_audience(self, context: _Context, account: Account) -> dict[str, Any]:
        """Create a customer-file audience (CA-guide, CA-edge)."""
        self._check_terms(account)
        body = _object(context.body, CREATE_KEYS)
        _check_new_audience(body)
        with self._lock:
            own = [each for each in self._audiences.values() if each.account == account.account_id]
            if len(own) >= MAX_AUDIENCES:
                raise MetaError(2654, "(#2654) Failed to create custom audience: too many audiences")
            audience_id = str(120_200_000_000_000_000 + next(self._serial))
            properties = {**body, "time_created": int(self._now())}
            audience = Audience(audience_id, account.account_id, properties, self.not_ready_after_create)
            self._audiences[audience_id] = audience
        return {"id": audience_id, "message": "We'll match people on Facebook with your list."}

    def _update_audience(self, context: _Context, _account: Account) -> dict[str, Any]:
        body = _object(context.body, UPDATE_KEYS)
        with self._lock:
            self._audience(context.path[0]).properties.update(body)
        return {"success": True, "message": ""}

    def _delete_audience(self, context: _Context, _account: Account) -> dict[str, Any]:
        with self._lock:
            del self._audiences[self._audience(context.path[0]).audience_id]
        return {"success": True}

    def _read_audience(self, context: _Context, account: Account) -> dict[str, Any]:
        fields = _fields(context.request, AUDIENCE_FIELDS, "CustomAudience")
        with self._lock:
            return _selected(self._view(self._audience(context.path[0]), account), fields)

    def _view(self, audience: Audience, account: Account) -> dict[str, Any]:
        code, description = audience.operation_status
        if account.sessions.is_replacing(audience.audience_id, self._clock()):
            code, description = REPLACING, "Replace in progress"
        return {
            **audience.properties,
            "id": audience.audience_id,
            "account_id": account.account_id,
            "operation_status": {"code": code, "description": description},
            "delivery_status": {"code": 200, "description": "This audience is ready for use."},
            "approximate_count_lower_bound": len(audience.members),
            "approximate_count_upper_bound": len(audience.members),
            "time_content_updated": self.health.changed.get(audience.audience_id, 0),
        }

    def _list_sessions(self, context: _Context, account: Account) -> dict[str, Any]:
        """List upload sessions, with the numbers as text as they were seen (java-sdk issue 492)."""
        wanted = context.request.parameter("session_id")
        with self._lock:
            sessions = account.sessions.of(self._audience(context.path[0]).audience_id)
            rows = [_session_view(session, self.health.matched.get(context.path[0], -1)) for session in sessions]
        return {"data": [row for row in rows if wanted in {None, row["session_id"]}]}

    def _list_audiences(self, context: _Context, account: Account) -> dict[str, Any]:
        """List audiences: by default only ids, 25 at a time; paging.next holds the token, as Meta's does."""
        request = context.request
        fields = _fields(request, AUDIENCE_FIELDS, "CustomAudience")
        with self._lock:
            views = [
                self._view(audience, account)
                for audience in self._audiences.values()
                if audience.account == account.account_id
            ]
        rules = _filtering(request)
        views = [view for view in views if _passes(view, rules)]
        start = _number(request, "after", 0)
        end = start + _number(request, "limit", 25)
        answer: dict[str, Any] = {"data": [_selected(view, fields) for view in views[start:end]]}
        if answer["data"]:
            cursors = {"before": str(start), "after": str(min(end, len(views)))}
            answer["paging"] = {"cursors": cursors}
        if end < len(views):
            token = request.headers["authorization"].partition(" ")[2]
            answer["paging"]["next"] = f"{self.url}{request.path}?access_token={token}&after={end}"
        return answer

    def _read_account(self, context: _Context, account: Account) -> dict[str, Any]:
        """Read an ad account; tos_accepted as CA-tos shows it."""
        fields = _fields(context.request, ACCOUNT_FIELDS, "AdAccount")
        accepted = {"custom_audience_tos": 1} if account.terms_accepted else {}
        view = {
            "id": f"act_{account.account_id}",
            "account_id": account.account_id,
            "name": f"Account {account.account_id}",
            "account_status": self.health.account_status.get(account.account_id, 1),
            "disable_reason": 0,
            "tos_accepted": accepted,
            "user_tos_accepted": accepted,
        }
        return _selected(view, fields)


_Route = Callable[[GraphAPI, _Context, Account], dict[str, Any]]

_ROUTES: Final[Mapping[tuple[str, ...], _Route]] = {
    ("POST", "node", "users"): GraphAPI._add_users,
    ("DELETE", "node", "users"): GraphAPI._remove_users,
    ("POST", "node", "usersreplace"): GraphAPI._replace_users,
    ("DELETE", "act", "usersofanyaudience"): GraphAPI._remove_from_all,
    ("POST", "node", "events"): GraphAPI._add_events,
    ("GET", "dataset"): GraphAPI._read_dataset,
    ("GET", "dataset", "dataset_quality"): GraphAPI._read_quality,
    ("GET", "node"): GraphAPI._read_audience,
    ("POST", "node"): GraphAPI._update_audience,
    ("DELETE", "node"): GraphAPI._delete_audience,
    ("GET", "node", "sessions"): GraphAPI._list_sessions,
    ("GET", "act"): GraphAPI._read_account,
    ("GET", "act", "customaudiences"): GraphAPI._list_audiences,
    ("POST", "act", "customaudiences"): GraphAPI._create_audience,
}


def _parse(request: Request) -> object:
    if not request.headers.get("content-type", "").startswith("application/json"):
        return None
    return _loads(request.body)


def _loads(body: bytes) -> Any:
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError:
        return None


def _parameters(request: Request) -> frozenset[str]:
    """Return the names that a call's query may hold."""
    if request.path.endswith(f"/{DEBUG_TOKEN}"):
        return graph_health.TOKEN_PARAMETERS
    if request.path.endswith("/dataset_quality"):
        return graph_health.QUALITY_PARAMETERS
    return READ_PARAMETERS if request.method == "GET" else frozenset(["appsecret_proof"])


def _holds_token(request: Request, tokens: Iterable[str]) -> bool:
    """
    Tell whether a token stands in the query or in the body, by its parameter's name or by itself.

    A token of up to 8 characters is not looked for by itself: it could be any word.
    """
    values = [value for _, value in request.query]
    return (
        request.parameter("access_token") is not None
        or b'"access_token"' in request.body
        or b"access_token=" in request.body
        or any(token in values or token.encode() in request.body for token in tokens if len(token) > 8)
    )


def _check_version(version: str, path: str) -> None:
    matched = re.fullmatch(r"v(\d+)\.0", version)
    if matched is None or int(matched[1]) > NEWEST_VERSION:
        raise _unknown_path(path)
    if int(matched[1]) < OLDEST_VERSION:
        newest = f"v{NEWEST_VERSION}.0"
        message = "(#2635) You are calling a deprecated version of the Ads API. Please update to the latest"
        raise MetaError(2635, f"{message} version: {newest}.")


def _unknown_path(path: str) -> MetaError:
    return MetaError(2500, f"Unknown path components: {path}")


def _missing(node: str) -> MetaError:
    """100/33: the object is missing, or the token may not see it (E-mapi)."""
    message = f"Unsupported request. Object with ID '{node}' does not exist, cannot be loaded due to missing"
    text = f"{message} permissions, or does not support this operation"
    return MetaError(100, text, 33, kind="GraphMethodException")


def _check_proof(app: App, token: str, proof: str | None) -> None:
    """appsecret_proof is HMAC-SHA256 of the token under the app's secret, in hex (Python SDK, session.py)."""
    if app.app_secret is None and proof is None:
        return
    if proof is None:
        raise MetaError(100, PROOF_MISSING, kind="GraphMethodException")
    secret = (app.app_secret or "").encode()
    expected = hmac.new(secret, token.encode(), hashlib.sha256).hexdigest()
    if app.app_secret is None or not hmac.compare_digest(expected, proof):
        raise MetaError(100, PROOF_WRONG, kind="GraphMethodException")


def _object(body: object, keys: frozenset[str]) -> dict[str, Any]:
    if not isinstance(body, dict):
        raise InvalidParameterError("(#100) The body must be a JSON object")
    if unknown := body.keys() - keys:
        raise InvalidParameterError(f"(#100) Unexpected key in the body: {', '.join(sorted(unknown))}")
    return body


def _users_body(body: object) -> dict[str, Any]:
    if not isinstance(body, dict):
        raise InvalidParameterError("(#100) The parameter payload is required")
    return _object(body, BODY_KEYS)


def _received(people: People, session: Session | None) -> dict[str, Any]:
    """num_received is "total received in this session so far" (CA-users)."""
    return {
        "session_id": session.session_id if session else 0,
        "num_received": session.received if session else people.received,
        "num_invalid_entries": len(people.invalid),
        "invalid_entry_samples": people.samples,
    }


def _check_new_audience(body: Mapping[str, Any]) -> None:
    if not isinstance(body.get("name"), str) or not body["name"]:
        raise InvalidParameterError("(#100) The parameter name is required")
    if body.get("subtype") != "CUSTOM":
        raise InvalidParameterError("(#100) The parameter subtype must be CUSTOM")
    if body.get("customer_file_source") not in SOURCES:
        raise InvalidParameterError("(#100) The parameter customer_file_source is required")
    days = body.get("retention_days", 180)
    if not isinstance(days, int) or not 1 <= days <= 180:
        raise InvalidParameterError("(#100) retention_days must be between 1 and 180")


def _fields(request: Request, known: frozenset[str], node: str) -> list[str]:
    """Return the asked fields; "default fields: id only" (CA-edge)."""
    fields = [field for field in (request.parameter("fields") or "").split(",") if field]
    if unknown := [field for field in fields if field not in known]:
        message = f"(#100) Tried accessing nonexisting field ({unknown[0]}) on node type ({node})"
        raise InvalidParameterError(message)
    return fields


def _number(request: Request, name: str, default: int) -> int:
    text = request.parameter(name)
    if text is not None and not text.isdecimal():
        raise InvalidParameterError(f"(#100) Param {name} must be an integer")
    return default if text is None else int(text)


def _selected(view: Mapping[str, Any], fields: Iterable[str]) -> dict[str, Any]:
    return {key: view[key] for key in [*fields, "id"] if key in view}


def _session_view(session: Session, matched: int) -> dict[str, str]:
    return {
        "session_id": str(session.session_id),
        "start_time": str(int(session.started)),
        "end_time": "0",
        "num_received": str(session.received),
        "num_matched": str(matched),
        "num_invalid_entries": str(session.invalid),
        "progress": "0",
        "stage": "uploading",
    }


_OPERATORS: Final[Mapping[str, Callable[[Any, Any], bool]]] = {
    "EQUAL": lambda have, want: bool(have == want),
    "IN": lambda have, want: have in want,
    "CONTAIN": lambda have, want: want in (have or ""),
    "GREATER_THAN": lambda have, want: (have or 0) > want,
}


def _passes(view: Mapping[str, Any], rules: Iterable[Mapping[str, Any]]) -> bool:
    for rule in rules:
        have: Any = view
        for part in rule["field"].split("."):
            have = have.get(part) if isinstance(have, Mapping) else None
        if not _OPERATORS[rule["operator"]](have, rule["value"]):
            return False
    return True


def _filtering(request: Request) -> list[dict[str, Any]]:
    """Read filtering=[{"field":"operation_status.code","operator":"IN","value":[100]}] (CA-over)."""
    rules = _loads((request.parameter("filtering") or "[]").encode())
    if not isinstance(rules, list):
        raise InvalidParameterError("(#100) Param filtering must be an array")
    for rule in rules:
        if not isinstance(rule, dict) or rule.keys() != {"field", "operator", "value"}:
            raise InvalidParameterError("(#100) A filter has field, operator and value")
        if rule["operator"] not in _OPERATORS or rule["field"].partition(".")[0] not in AUDIENCE_FIELDS:
            raise InvalidParameterError("(#100) Unknown field or operator in filtering")
    return rules
