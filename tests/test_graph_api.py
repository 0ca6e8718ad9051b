"""The client of Meta's Graph API over a real connection to the stand-in (design, sections 5, 6 and 12)."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final, TypeVar

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lib.audiences import Batch
from lib.config import Connection, GraphAPISettings
from lib.errors import (
    ConfigurationError,
    GraphAPIError,
    GraphAPIUnreachableError,
    InvalidAccessTokenError,
    MissingPermissionError,
    RateLimitError,
    RelayError,
    TransientGraphAPIError,
)
from lib.graph_api import GraphAPI, backoff
from lib.graph_request import GraphRequest, audience_call, session
from lib.ports import Chance, Reply
from lib.transport import RequestsTransport
from tests.local.faults import Fault
from tests.local.graph_api import App
from tests.local.graph_api import GraphAPI as Meta
from tests.local.http_server import HTTPServer, Request
from tests.local.http_server import Reply as ServerReply
from tests.log_records import log_records
from tests.manual_clock import ManualClock

_Error = TypeVar("_Error", bound=RelayError)

TOKEN: Final = "EAAB7c1fCanary"
APP_SECRET: Final = "secret7c1fCanary"
ACME: Final = Connection(name="acme", access_token="token", ad_account_id="1")
WITH_PROOF: Final = Connection(name="proved", access_token="proved", app_secret="app-secret", ad_account_id="1")
OTHER: Final = Connection(name="other", access_token="token", ad_account_id="2")


class Secrets:
    """Secrets by name; a new value shows when it is asked for anew."""

    def __init__(self, **values: str | bytes) -> None:
        self.current: dict[str, str | bytes] = dict(values)
        self.remembered: dict[str, str | bytes] = {}
        self.refreshed: list[str] = []

    def access(self, name: str, *, refresh: bool = False) -> bytes:
        if refresh:
            self.refreshed.append(name)
        if refresh or name not in self.remembered:
            self.remembered[name] = self.current[name]
        value = self.remembered[name]
        return value if isinstance(value, bytes) else value.encode()


@pytest.fixture
def meta() -> Iterator[Meta]:
    with Meta(tokens={TOKEN: App(), "proved": App(APP_SECRET)}) as meta:
        meta.add_audience("11", account="1")
        meta.add_audience("22", account="2")
        yield meta
        assert meta.violations == []
        assert meta.calls_while_throttled <= 1


@pytest.fixture
def secrets() -> Secrets:
    return Secrets(token=f"{TOKEN}\n", proved="proved", **{"app-secret": f" {APP_SECRET}\n"})


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def transport() -> Iterator[RequestsTransport]:
    transport = RequestsTransport(pool_size=4)
    yield transport
    transport.close()


@pytest.fixture
def api(meta: Meta, secrets: Secrets, clock: ManualClock, transport: RequestsTransport) -> GraphAPI:
    return graph_api(meta.url, secrets, clock, transport)


def graph_api(
    url: str, secrets: Secrets, clock: ManualClock, transport: Any, *, jitter: float = 0.0, timeout_s: float = 5.0
) -> GraphAPI:
    return GraphAPI(
        GraphAPISettings(url=url, timeout_s=timeout_s), transport, secrets, clock.clock(), Chance(jitter=lambda: jitter)
    )


def add(audience: str = "11", rows: int = 2) -> GraphRequest:
    """Return a call that adds people to *audience*."""
    return audience_call(
        Batch(("EMAIL",), [(f"{number:064x}",) for number in range(rows)], range(rows)),
        action="add",
        connection="acme",
        destination={"audience_id": audience},
        session=session(audience, batch_seq=1, last=True),
        batch_number=1,
        ids={},
    )


def failure(kind: type[_Error], send: Callable[[], object]) -> _Error:
    """Return the error of *send*, which shows no secret and no address."""
    with pytest.raises(kind) as caught:
        send()
    assert type(caught.value) is kind
    shown = f"{caught.value!r} {caught.value.facts()} {caught.value.__cause__}"
    assert not [secret for secret in ("7c1fCanary", "127.0.0.1", "appsecret_proof=") if secret in shown]
    return caught.value


class TestCredentials:
    def test_the_token_goes_in_the_header_alone(self, api: GraphAPI, meta: Meta) -> None:
        answer = api.send(add(), ACME)
        assert (answer.http_status, answer.num_received, len(meta.members("11"))) == (200, 2, 2)
        (made,) = meta.calls
        assert (made.method, made.path, made.query) == ("POST", "/v26.0/11/users", ())
        assert made.body == orjson.loads(add().body_bytes())
        assert made.headers["content-type"] == "application/json"
        assert "7c1fCanary" not in str(made)

    def test_the_app_secret_proves_itself(self, api: GraphAPI, meta: Meta) -> None:
        assert api.send(add(), WITH_PROOF).num_received == 2
        assert [made.query for made in meta.calls] == [("appsecret_proof",)]

    def test_without_the_app_secret_meta_refuses_where_it_wants_one(self, api: GraphAPI) -> None:
        unproved = Connection(name="unproved", access_token="proved", ad_account_id="1")
        error = failure(InvalidAccessTokenError, lambda: api.send(add(), unproved))
        assert error.message == "Meta error 100: appsecret_proof is missing or wrong"

    def test_a_new_app_secret_is_used_at_once(self, api: GraphAPI, meta: Meta, secrets: Secrets) -> None:
        api.send(add(), WITH_PROOF)
        meta.tokens["proved"] = App("new")
        secrets.current["app-secret"] = "new"
        assert api.send(add(), WITH_PROOF).num_received == 2
        assert len(meta.calls) == 3

    def test_the_version_is_a_setting(
        self, meta: Meta, secrets: Secrets, clock: ManualClock, transport: RequestsTransport
    ) -> None:
        settings = GraphAPISettings(version="v25.0", url=meta.url)
        GraphAPI(settings, transport, secrets, clock.clock(), Chance()).send(add(), ACME)
        assert meta.calls[0].path == "/v25.0/11/users"

    @pytest.mark.parametrize(
        "value", ["", "\n", "two words", "line\nfeed", "tokén", b"\xff\xfe7c1fCanary\x00", "7c1fCanary\r\nX-Evil: 1"]
    )
    def test_a_secret_that_is_no_token_is_told_by_its_name(
        self, api: GraphAPI, secrets: Secrets, meta: Meta, value: str | bytes
    ) -> None:
        secrets.current["token"] = value
        error = failure(ConfigurationError, lambda: api.send(add(), ACME))
        assert error.message == "the secret token is empty, or holds more than the printable ASCII of a token"
        assert error.action == "Add a version to the secret that holds the token alone."
        assert meta.calls == []

    def test_nothing_shows_a_secret(self, api: GraphAPI) -> None:
        api.send(add(), WITH_PROOF)
        assert "7c1fCanary" not in repr(api)


class TestReading:
    def test_a_reading_has_its_parameters_and_the_proof(self, api: GraphAPI, meta: Meta) -> None:
        answer = api.read("11", {"fields": "name,subtype"}, WITH_PROOF)
        assert answer.body["subtype"] == "CUSTOM"
        assert [(made.method, made.query) for made in meta.calls] == [("GET", ("fields", "appsecret_proof"))]

    def test_a_new_token_is_used_at_once(self, api: GraphAPI, meta: Meta, secrets: Secrets) -> None:
        meta.expire(TOKEN)
        secrets.remembered["token"] = TOKEN
        meta.tokens["new"] = App()
        secrets.current["token"] = "new"
        assert api.read("11", {}, ACME).body["id"] == "11"

    def test_what_can_succeed_is_read_again(self, api: GraphAPI, meta: Meta) -> None:
        meta.faults.add(Fault.empty(503, times=2))
        assert api.read("11", {}, ACME).body["id"] == "11"
        assert len(meta.calls) == 3


class TestDebugToken:
    """The only call with a token in its address, which nothing may log."""

    APP: Final = Connection(name="app", access_token="token", app_secret="app-secret", app_id="77")

    def test_meta_tells_the_app_about_its_token(self, api: GraphAPI, meta: Meta, secrets: Secrets) -> None:
        meta.tokens[TOKEN] = App(APP_SECRET, app_id="77")
        meta.health.expires_at[TOKEN] = 1_900_000_000
        told = api.debug_token(self.APP).body["data"]
        assert isinstance(told, dict)
        assert (told["is_valid"], told["expires_at"]) == (True, 1_900_000_000)
        assert secrets.refreshed == ["token", "app-secret"]

    def test_the_secret_of_another_app_is_refused(self, api: GraphAPI, meta: Meta) -> None:
        meta.tokens[TOKEN] = App("another", app_id="77")
        failure(InvalidAccessTokenError, lambda: api.debug_token(self.APP))
        assert len(meta.calls) == 1

    def test_nothing_logs_its_address(self, api: GraphAPI, meta: Meta) -> None:
        meta.tokens[TOKEN] = App(APP_SECRET, app_id="77")
        meta.faults.add(Fault.dropped("before"), Fault.empty(503))
        with log_records("", level=logging.DEBUG) as records:
            api.debug_token(self.APP)
        shown = " ".join(record.getMessage() for record in records)
        assert "7c1fCanary" not in shown
        assert "debug_token" not in shown


class TestExpiredToken:
    """190: the secret is read again at once, and the call repeated if that has changed the token."""

    def test_a_new_token_is_used_at_once(self, api: GraphAPI, meta: Meta, secrets: Secrets) -> None:
        api.send(add(), ACME)
        meta.expire(TOKEN)
        meta.tokens["new"] = App()
        secrets.current["token"] = "new"
        assert api.send(add(), ACME).num_received == 2
        assert [made.status == 200 for made in meta.calls] == [True, False, True]
        assert api.send(add(), ACME).num_received == 2
        assert secrets.refreshed == ["token"]

    def test_the_same_token_is_not_tried_again(
        self, api: GraphAPI, meta: Meta, secrets: Secrets, clock: ManualClock
    ) -> None:
        meta.expire(TOKEN)
        error = failure(InvalidAccessTokenError, lambda: api.send(add(), ACME))
        assert (error.code, len(meta.calls), secrets.refreshed, clock.sleeps) == (190, 1, ["token"], [])

    def test_a_new_token_that_is_no_good_either_is_tried_once(
        self, api: GraphAPI, meta: Meta, secrets: Secrets
    ) -> None:
        api.send(add(), ACME)
        meta.expire(TOKEN)
        secrets.current["token"] = "no-good"
        failure(InvalidAccessTokenError, lambda: api.send(add(), ACME))
        assert [made.status == 200 for made in meta.calls] == [True, False, False]

    def test_one_that_changes_at_every_reading_is_tried_once(
        self, meta: Meta, clock: ManualClock, transport: RequestsTransport
    ) -> None:
        class Restless(Secrets):
            def access(self, name: str, *, refresh: bool = False) -> bytes:
                self.refreshed += [name] * refresh
                return f"token-{len(self.refreshed)}".encode()

        api = graph_api(meta.url, Restless(), clock, transport)
        failure(InvalidAccessTokenError, lambda: api.send(add(), ACME))
        assert len(meta.calls) == 2

    def test_a_token_that_another_thread_has_read_meanwhile_is_used(
        self, meta: Meta, secrets: Secrets, clock: ManualClock, transport: RequestsTransport
    ) -> None:
        def while_another_thread_renews(*args: Any, **kwargs: Any) -> Reply:
            reply = transport(*args, **kwargs)
            secrets.current["token"] = "new"
            secrets.remembered["token"] = "new"
            return reply

        meta.expire(TOKEN)
        meta.tokens["new"] = App()
        api = graph_api(meta.url, secrets, clock, while_another_thread_renews)
        assert api.send(add(), ACME).num_received == 2

    def test_after_a_renewal_other_errors_are_tried_again_as_ever(
        self, api: GraphAPI, meta: Meta, secrets: Secrets, clock: ManualClock
    ) -> None:
        api.send(add(), ACME)
        meta.expire(TOKEN)
        meta.tokens["new"] = App()
        secrets.current["token"] = "new"
        meta.faults.add(Fault.error(190), Fault.error(2, status=500, transient=True))
        assert api.send(add(), ACME).num_received == 2
        assert clock.sleeps == [0.2]


#: What goes wrong once -> whether it is tried again.
PASSING: Final = [
    pytest.param(Fault.error(2, status=500), id="2"),
    pytest.param(Fault.error(1, status=500, transient=True), id="1, transient"),
    pytest.param(Fault.error(987654, transient=True), id="unknown, transient"),
    pytest.param(Fault.html(502), id="502 in HTML"),
    pytest.param(Fault.empty(503), id="503 without a body"),
    pytest.param(Fault.empty(504), id="504 without a body"),
    pytest.param(Fault.garbage(200), id="200 that is no JSON"),
    pytest.param(Fault.html(200), id="200 in HTML"),
    pytest.param(Fault.dropped("before"), id="dropped before"),
    pytest.param(Fault.dropped("after"), id="dropped after"),
    pytest.param(Fault.dropped("half"), id="dropped half-way"),
]
LASTING: Final = [
    pytest.param(Fault.error(100), GraphAPIError, id="100"),
    pytest.param(Fault.error(100, 33), GraphAPIError, id="100/33"),
    pytest.param(Fault.error(200, status=403), MissingPermissionError, id="200"),
    pytest.param(Fault.error(10, status=403), MissingPermissionError, id="10"),
    pytest.param(Fault.error(190), InvalidAccessTokenError, id="190"),
    pytest.param(Fault.error(80003, 2446079), RateLimitError, id="80003"),
    pytest.param(Fault.error(4, status=403), RateLimitError, id="4"),
]


class TestRetries:
    @pytest.mark.parametrize("fault", PASSING)
    def test_what_passes_is_tried_again(self, api: GraphAPI, meta: Meta, clock: ManualClock, fault: Fault) -> None:
        meta.faults.add(fault)
        assert api.send(add(), ACME).num_received == 2
        assert (len(meta.members("11")), meta.faults.pending(), clock.sleeps) == (2, 0, [0.2])

    @pytest.mark.parametrize(("fault", "kind"), LASTING)
    def test_what_lasts_is_not(
        self, api: GraphAPI, meta: Meta, clock: ManualClock, fault: Fault, kind: type[RelayError]
    ) -> None:
        meta.faults.add(fault)
        failure(kind, lambda: api.send(add(), ACME))
        assert (meta.faults.pending(), clock.sleeps, meta.members("11")) == (0, [], set())

    def test_three_tries_and_no_more(self, api: GraphAPI, meta: Meta, clock: ManualClock) -> None:
        meta.faults.add(Fault.error(2, status=500, times=9))
        error = failure(TransientGraphAPIError, lambda: api.send(add(), ACME))
        assert (error.code, meta.faults.pending(), clock.sleeps) == (2, 6, [0.2, 0.4])

    def test_an_end_in_nothing_is_an_error_without_its_address(self, api: GraphAPI, meta: Meta) -> None:
        meta.faults.add(Fault.dropped("before", times=9))
        error = failure(GraphAPIUnreachableError, lambda: api.send(add(), ACME))
        assert error.message == "no answer from Meta (ConnectionError)"

    def test_every_try_sends_the_same_bytes(self, api: GraphAPI, meta: Meta) -> None:
        meta.faults.add(Fault.dropped("after", times=2))
        api.send(add(), ACME)
        bodies = [made.body for made in meta.calls]
        assert bodies == [bodies[0]] * len(bodies)
        assert len(meta.members("11")) == 2

    def test_jitter_takes_up_to_half_of_the_wait(
        self, meta: Meta, secrets: Secrets, clock: ManualClock, transport: RequestsTransport
    ) -> None:
        meta.faults.add(Fault.error(2, status=500, times=2))
        graph_api(meta.url, secrets, clock, transport, jitter=1.0).send(add(), ACME)
        assert clock.sleeps == [0.1, 0.2]

    @pytest.mark.parametrize(
        ("attempt", "jitter", "seconds"),
        [(1, 0, 0.2), (2, 0, 0.4), (3, 0, 0.8), (4, 0, 1.6), (5, 0, 2.0), (50, 0, 2.0), (1, 1, 0.1), (5, 1, 1.0)],
    )
    def test_how_long_a_try_is_waited_for(self, attempt: int, jitter: float, seconds: float) -> None:
        assert backoff(attempt, jitter=jitter) == pytest.approx(seconds)

    @given(st.integers(1, 60), st.floats(0, 1))
    def test_no_wait_is_longer_than_two_seconds_or_none_at_all(self, attempt: int, jitter: float) -> None:
        assert 0.1 <= backoff(attempt, jitter=jitter) <= 2.0

    def test_a_redirect_is_no_answer_and_not_followed(self, api: GraphAPI, meta: Meta) -> None:
        elsewhere: list[Request] = []

        def handle(request: Request) -> ServerReply:
            elsewhere.append(request)
            return ServerReply(200, b'{"num_received":2}')

        with HTTPServer(handle) as other:
            meta.faults.add(Fault.redirect(f"{other.url}/v26.0/11/users", times=9))
            with pytest.raises(GraphAPIError):
                api.send(add(), ACME)
        assert elsewhere == []


class TestDeadline:
    """*deadline* is in the clock's monotonic seconds."""

    def test_no_wait_goes_beyond_it(self, api: GraphAPI, meta: Meta, clock: ManualClock) -> None:
        meta.faults.add(Fault.error(2, status=500, times=9))
        failure(TransientGraphAPIError, lambda: api.send(add(), ACME, deadline=clock.monotonic() + 0.5))
        assert (meta.faults.pending(), clock.sleeps) == (7, [0.2])

    @pytest.mark.parametrize("left", [0.04, 0.0, -1.0])
    def test_without_time_no_call_is_made(self, api: GraphAPI, meta: Meta, clock: ManualClock, left: float) -> None:
        error = failure(GraphAPIUnreachableError, lambda: api.send(add(), ACME, deadline=clock.monotonic() + left))
        assert (error.message, meta.calls, clock.sleeps) == ("no time is left for the call", [], [])

    @pytest.mark.parametrize(
        ("left", "timeout"),
        [pytest.param(None, 5.0, id="none"), pytest.param(60.0, 5.0, id="late"), pytest.param(2.5, 2.5, id="soon")],
    )
    def test_a_call_gets_what_is_left_and_no_more_than_is_configured(
        self, secrets: Secrets, clock: ManualClock, left: float | None, timeout: float
    ) -> None:
        seen: list[float] = []

        def transport(*_: Any, timeout: float, **__: Any) -> Reply:
            seen.append(timeout)
            return Reply(200, {}, b"{}")

        deadline = None if left is None else clock.monotonic() + left
        graph_api("http://x", secrets, clock, transport).send(add(), ACME, deadline=deadline)
        assert seen == [pytest.approx(timeout)]

    def test_an_answer_that_is_late_is_not_waited_for(
        self, meta: Meta, secrets: Secrets, clock: ManualClock, transport: RequestsTransport
    ) -> None:
        meta.faults.add(Fault.slow(2, times=1))
        api = graph_api(meta.url, secrets, clock, transport, timeout_s=0.2)
        assert api.send(add(), ACME).num_received == 2
        assert clock.sleeps == [0.2]


def usage(minutes: float) -> dict[str, str]:
    """Return the header in which Meta states how long it wants to be left alone."""
    entry = {"type": "custom_audience", "call_count": 100, "estimated_time_to_regain_access": minutes}
    return {"X-Business-Use-Case-Usage": orjson.dumps({"900000000000001": [entry]}).decode()}


class TestThrottling:
    def test_a_throttled_account_is_left_alone_until_its_time(
        self, api: GraphAPI, meta: Meta, clock: ManualClock
    ) -> None:
        meta.throttle("1", minutes=5)
        assert failure(RateLimitError, lambda: api.send(add(), ACME)).retry_after == 300
        made = len(meta.calls)
        clock.pass_(299)
        error = failure(RateLimitError, lambda: api.send(add(), ACME))
        assert (round(error.retry_after), error.message) == (1, "the ad account is throttled")
        assert (len(meta.calls), round(api.throttled_for(ACME)), clock.sleeps) == (made, 1, [])
        meta.release("1")
        clock.pass_(1)
        assert api.send(add(), ACME).num_received == 2

    def test_being_asked_meanwhile_does_not_make_it_longer(self, api: GraphAPI, meta: Meta, clock: ManualClock) -> None:
        meta.throttle("1", minutes=1)
        for _ in range(4):
            failure(RateLimitError, lambda: api.send(add(), ACME))
            clock.pass_(15)
        assert api.throttled_for(ACME) == 0

    def test_other_accounts_go_on(self, api: GraphAPI, meta: Meta) -> None:
        meta.throttle("1", minutes=5)
        failure(RateLimitError, lambda: api.send(add(), ACME))
        assert api.send(add("22"), OTHER).num_received == 2
        assert (api.throttled_for(OTHER), api.throttled_for(ACME)) == (0, 300)

    def test_another_connection_of_the_same_account_is_left_alone_too(self, api: GraphAPI, meta: Meta) -> None:
        meta.throttle("1", minutes=5)
        failure(RateLimitError, lambda: api.send(add(), ACME))
        failure(RateLimitError, lambda: api.send(add(), WITH_PROOF))
        assert len(meta.calls) == 1

    def test_a_connection_without_an_account_stands_for_itself(self, secrets: Secrets, clock: ManualClock) -> None:
        def transport(*_: Any, **__: Any) -> Reply:
            return Reply(200, usage(1), b"{}")

        api = graph_api("http://x", secrets, clock, transport)
        nameless = Connection(name="nameless", access_token="token")
        api.send(add(), nameless)
        assert (api.throttled_for(nameless), api.throttled_for(ACME)) == (60, 0)

    def test_a_delivery_whose_header_asks_for_a_pause_is_heeded(
        self, api: GraphAPI, meta: Meta, clock: ManualClock
    ) -> None:
        meta.faults.add(Fault(status=200, body={"audience_id": "11", "num_received": 2}, headers=usage(2)))
        answer = api.send(add(), ACME)
        assert (answer.num_received, answer.usage.regain_seconds, api.throttled_for(ACME)) == (2, 120, 120)
        failure(RateLimitError, lambda: api.send(add(), ACME))
        clock.pass_(120)
        assert api.send(add(), ACME).num_received == 2

    def test_a_shorter_pause_does_not_end_a_longer_one(self, secrets: Secrets, clock: ManualClock) -> None:
        """Two calls are under way; their answers come in either order."""
        first_is_under_way, second_is_back = threading.Event(), threading.Event()

        def transport(_: str, url: str, **__: Any) -> Reply:
            if "/11/" in url:
                first_is_under_way.set()
                second_is_back.wait(10)
                return Reply(200, usage(1), b"{}")
            return Reply(200, usage(60), b"{}")

        api = graph_api("http://x", secrets, clock, transport)
        first = threading.Thread(target=lambda: api.send(add("11"), ACME))
        first.start()
        first_is_under_way.wait(10)
        api.send(add("22"), ACME)
        second_is_back.set()
        first.join()
        assert api.throttled_for(ACME) == 3600


class TestConnections:
    def test_many_calls_at_once_share_the_pool(self, api: GraphAPI, meta: Meta) -> None:
        failed: list[Exception] = []

        def send() -> None:
            try:
                api.send(add(), ACME)
            except RelayError as error:
                failed.append(error)

        threads = [threading.Thread(target=send) for _ in range(12)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert (failed, len(meta.calls), len(meta.members("11"))) == ([], 12, 2)


@given(
    status=st.integers(100, 599),
    headers=st.dictionaries(st.sampled_from(["Retry-After", "X-App-Usage", "Location"]), st.text(max_size=20)),
    body=st.binary(max_size=60)
    | st.dictionaries(st.text(max_size=5), st.integers() | st.none()).map(
        lambda body: orjson.dumps({"error": {}} | body) if all(abs(v or 0) < 2**63 for v in body.values()) else b""
    ),
)
def test_any_answer_is_an_answer_or_a_relay_error(status: int, headers: Mapping[str, str], body: bytes) -> None:
    clock = ManualClock()
    api = graph_api("http://x", Secrets(token="t"), clock, lambda *_, **__: Reply(status, headers, body))
    try:
        answer = api.send(add(), ACME)
    except RelayError:
        return
    assert answer.http_status == status
