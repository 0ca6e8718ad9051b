"""Secrets, with the official client and the stand-in (design, section 5; runtime.md, section 4)."""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import Any, Final

import pytest

from lib.bootstrap import _secret_manager_client
from lib.errors import ConfigurationError, Retry, SecretUnavailableError
from lib.ports import Clock
from lib.secret_manager import TIME_TO_LIVE, SecretManager
from tests.local.secret_manager import SecretManager as StandIn
from tests.log_records import log_records
from tests.manual_clock import ManualClock

SECRET: Final = "projects/p/secrets/token"
LATEST: Final = f"{SECRET}/versions/latest"
CANARY: Final = "Canary7c1f"
WHAT_TO_DO: Final = (
    "See that the secret has an enabled version and that the function's service account has "
    "roles/secretmanager.secretAccessor on it."
)


@pytest.fixture
def standin() -> Iterator[StandIn]:
    with StandIn() as standin:
        yield standin


@pytest.fixture
def client(standin: StandIn) -> Iterator[Callable[[], Any]]:
    """The client that bootstrap makes, made on first use."""
    client = cache(lambda: _secret_manager_client({"SECRET_MANAGER_ENDPOINT": standin.url}))
    yield client
    client().transport.close()


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def secrets(client: Callable[[], Any], clock: ManualClock) -> SecretManager:
    return SecretManager(client, {"KEY": "key of the environment", "EMPTY": ""}, clock.clock(), timeout_s=1.0)


@pytest.fixture
def records() -> Iterator[list[logging.LogRecord]]:
    with log_records() as records:
        yield records


def refusal(
    secrets: SecretManager,
    name: str = LATEST,
    *,
    refresh: bool = False,
    retry: Retry = Retry.ONCE_A_PERSON_ACTS,
) -> ConfigurationError:
    with pytest.raises(ConfigurationError) as caught:
        secrets.access(name, refresh=refresh)
    assert retry is caught.value.retry
    return caught.value


class TestReading:
    def test_the_latest_version(self, secrets: SecretManager, standin: StandIn) -> None:
        standin.set(SECRET, "one")
        standin.set(SECRET, "two")
        assert secrets.access(LATEST) == b"two"

    def test_a_pinned_version(self, secrets: SecretManager, standin: StandIn) -> None:
        standin.set(SECRET, "one")
        standin.set(SECRET, b"\x00\xfftwo")
        assert (secrets.access(f"{SECRET}/versions/1"), secrets.access(f"{SECRET}/versions/2")) == (
            b"one",
            b"\x00\xfftwo",
        )

    def test_the_environment(self, secrets: SecretManager, standin: StandIn) -> None:
        assert secrets.access("env:KEY") == b"key of the environment"
        assert secrets.access("env:KEY", refresh=True) == b"key of the environment"
        assert standin.accesses == {}

    @pytest.mark.parametrize("name", ["MISSING", "EMPTY"])
    def test_what_the_environment_has_not(self, secrets: SecretManager, name: str) -> None:
        error = refusal(secrets, f"env:{name}")
        assert (error.message, error.action) == (
            f"the environment has no {name}",
            f"Set {name}, or name a secret.",
        )

    def test_no_client_is_made_before_it_is_needed(self, clock: ManualClock) -> None:
        secrets = SecretManager(lambda: pytest.fail("a client was made"), {"KEY": "k"}, clock.clock())
        assert secrets.access("env:KEY") == b"k"


class TestRemembering:
    def test_within_its_time_it_is_read_once(
        self, secrets: SecretManager, standin: StandIn, clock: ManualClock
    ) -> None:
        standin.set(SECRET, "one")
        for _ in range(5):
            assert secrets.access(LATEST) == b"one"
            clock.pass_(TIME_TO_LIVE / 6)
        assert standin.accesses == {SECRET: 1}

    def test_after_its_time_a_new_version_is_in_use(
        self, secrets: SecretManager, standin: StandIn, clock: ManualClock
    ) -> None:
        standin.set(SECRET, "one")
        assert secrets.access(LATEST) == b"one"
        standin.set(SECRET, "two")
        clock.pass_(TIME_TO_LIVE - 0.1)
        assert secrets.access(LATEST) == b"one"
        clock.pass_(0.1)
        assert secrets.access(LATEST) == b"two"

    def test_each_name_is_remembered_by_itself(self, secrets: SecretManager, standin: StandIn) -> None:
        standin.set(SECRET, "one")
        standin.set("projects/p/secrets/other", "other")
        assert secrets.access(LATEST) == b"one"
        assert secrets.access("projects/p/secrets/other/versions/latest") == b"other"


class TestRefreshing:
    def test_a_new_version_is_in_use_at_once(self, secrets: SecretManager, standin: StandIn) -> None:
        standin.set(SECRET, "one")
        assert secrets.access(LATEST) == b"one"
        standin.set(SECRET, "two")
        assert secrets.access(LATEST, refresh=True) == b"two"
        assert secrets.access(LATEST) == b"two"

    def test_it_is_forced_at_most_every_30_seconds(
        self, secrets: SecretManager, standin: StandIn, clock: ManualClock
    ) -> None:
        standin.set(SECRET, "one")
        secrets.access(LATEST)
        for _ in range(4):
            secrets.access(LATEST, refresh=True)
            clock.pass_(9.9)
        assert standin.accesses == {SECRET: 2}
        secrets.access(LATEST, refresh=True)
        assert standin.accesses == {SECRET: 3}

    def test_an_ordinary_reading_does_not_count_as_a_forced_one(
        self, secrets: SecretManager, standin: StandIn, clock: ManualClock
    ) -> None:
        standin.set(SECRET, "one")
        secrets.access(LATEST, refresh=True)
        clock.pass_(TIME_TO_LIVE)
        secrets.access(LATEST)
        secrets.access(LATEST, refresh=True)
        assert standin.accesses == {SECRET: 3}

    def test_what_was_never_read_is_read_once(self, secrets: SecretManager, standin: StandIn) -> None:
        standin.set(SECRET, "one")
        assert secrets.access(LATEST, refresh=True) == b"one"
        assert standin.accesses == {SECRET: 1}


class TestOutage:
    @pytest.mark.parametrize("status", [401, 429, 500, 503, 504])
    def test_an_older_value_is_used(
        self,
        secrets: SecretManager,
        standin: StandIn,
        clock: ManualClock,
        records: list[logging.LogRecord],
        status: int,
    ) -> None:
        standin.set(SECRET, CANARY)
        secrets.access(LATEST)
        clock.pass_(TIME_TO_LIVE)
        standin.fail(times=1, status=status)
        assert secrets.access(LATEST) == CANARY.encode()
        (record,) = records
        assert record.levelno == logging.WARNING
        assert LATEST in record.getMessage()
        assert CANARY not in record.getMessage()

    def test_an_older_value_is_used_where_the_answer_takes_too_long(
        self, client: Callable[[], Any], standin: StandIn, clock: ManualClock
    ) -> None:
        secrets = SecretManager(client, {}, clock.clock(), timeout_s=0.3)
        standin.set(SECRET, "one")
        secrets.access(LATEST)
        clock.pass_(TIME_TO_LIVE)
        standin.fail(times=1, delay_s=30)
        began = time.monotonic()
        assert secrets.access(LATEST) == b"one"
        assert time.monotonic() - began < 10

    def test_an_outage_is_not_asked_about_at_every_call(
        self, secrets: SecretManager, standin: StandIn, clock: ManualClock
    ) -> None:
        standin.set(SECRET, "one")
        secrets.access(LATEST)
        clock.pass_(TIME_TO_LIVE)
        standin.fail(times=50)
        for _ in range(5):
            assert secrets.access(LATEST) == b"one"
        assert standin.accesses == {SECRET: 2}

    def test_a_first_reading_is_tried_again(self, secrets: SecretManager, standin: StandIn) -> None:
        standin.set(SECRET, "one")
        standin.fail(times=1)
        assert secrets.access(LATEST) == b"one"

    def test_a_first_reading_that_fails_ends_in_its_time(self, secrets: SecretManager, standin: StandIn) -> None:
        standin.set(SECRET, "one")
        standin.fail(times=1_000)
        began = time.monotonic()
        assert LATEST in refusal(secrets, retry=Retry.LATER).message
        assert time.monotonic() - began < 20

    def test_it_recovers_by_itself(self, secrets: SecretManager, standin: StandIn) -> None:
        refusal(secrets)
        standin.set(SECRET, "one")
        assert secrets.access(LATEST) == b"one"


class TestRefused:
    """What a person has to mend is told with the secret's name and what to do; an older value does not hide it."""

    @pytest.fixture(params=["denied", "disabled", "missing"])
    def refuse(self, request: pytest.FixtureRequest, standin: StandIn) -> Callable[[], None]:
        def refuse() -> None:
            if request.param == "denied":
                standin.deny(SECRET)
            elif request.param == "disabled":
                standin.disable(SECRET, "1")
            else:
                standin.fail(times=1, status=404)

        return refuse

    @pytest.mark.parametrize("known", [False, True], ids=["at first", "later"])
    def test_it_names_the_secret_and_what_to_do(
        self,
        secrets: SecretManager,
        standin: StandIn,
        clock: ManualClock,
        refuse: Callable[[], None],
        known: Any,
    ) -> None:
        standin.set(SECRET, CANARY)
        if known:
            secrets.access(LATEST)
            clock.pass_(TIME_TO_LIVE)
        refuse()
        error = refusal(secrets)
        assert LATEST in error.message
        assert (error.scope, error.action) == (
            "Secret Manager",
            WHAT_TO_DO,
        )
        assert CANARY not in repr(error.facts())
        assert (error.__cause__, error.__suppress_context__) == (None, True)

    def test_a_key_whose_version_was_disabled_is_in_use_no_longer(
        self, secrets: SecretManager, standin: StandIn, clock: ManualClock
    ) -> None:
        standin.set(SECRET, "leaked")
        secrets.access(LATEST)
        standin.disable(SECRET, "1")
        clock.pass_(TIME_TO_LIVE)
        refusal(secrets)
        refusal(secrets)
        standin.set(SECRET, "new")
        assert secrets.access(LATEST) == b"new"

    def test_allowed_again_it_is_read_again(self, secrets: SecretManager, standin: StandIn) -> None:
        standin.set(SECRET, "one")
        standin.deny(SECRET)
        refusal(secrets)
        standin.allow(SECRET)
        assert secrets.access(LATEST) == b"one"


def test_a_payload_that_came_damaged_is_not_used(clock: ManualClock) -> None:
    class Payload:
        data, data_crc32c = b"one", 5

    class Answer:
        payload = Payload()

    class Client:
        def access_secret_version(self, **_: Any) -> Answer:
            return Answer()

    assert "came damaged" in refusal(SecretManager(Client, {}, clock.clock())).message


class TestSingleFlight:
    @pytest.mark.parametrize("refresh", [False, True], ids=["at first", "refreshed"])
    def test_32_threads_read_once(self, secrets: SecretManager, standin: StandIn, refresh: Any) -> None:
        standin.set(SECRET, "one")
        if refresh:
            secrets.access(LATEST)
        already = standin.accesses[SECRET]
        barrier = threading.Barrier(32)

        def access() -> bytes:
            barrier.wait(10)
            return secrets.access(LATEST, refresh=refresh)

        with ThreadPoolExecutor(32) as pool:
            values = {future.result() for future in [pool.submit(access) for _ in range(32)]}
        assert (values, standin.accesses[SECRET] - already) == ({b"one"}, 1)

    def test_a_failure_is_shared_by_those_who_waited_for_it(self, client: Callable[[], Any], standin: StandIn) -> None:
        secrets = SecretManager(client, {}, Clock(), timeout_s=0.4)
        standin.fail(times=1_000)
        barrier = threading.Barrier(8)

        def access() -> float:
            barrier.wait(10)
            began = time.monotonic()
            refusal(secrets, retry=Retry.LATER)
            return time.monotonic() - began

        with ThreadPoolExecutor(8) as pool:
            assert (
                max(future.result() for future in [pool.submit(access) for _ in range(8)]) < 2.4
            )  # one after the other they take 3.2

    def test_one_secret_that_hangs_does_not_hold_up_another(self, secrets: SecretManager, standin: StandIn) -> None:
        standin.set(SECRET, "one")
        standin.set("projects/p/secrets/other", "other")
        standin.fail(times=1, delay_s=0.9, match="/token/")

        def access() -> None:
            # On a busy machine the second try comes too late; what becomes of it is not the question here.
            with contextlib.suppress(SecretUnavailableError):
                secrets.access(LATEST)

        slow = threading.Thread(target=access)
        slow.start()
        assert secrets.access("projects/p/secrets/other/versions/latest") == b"other"
        assert slow.is_alive()
        slow.join()


def test_nothing_shows_a_value(secrets: SecretManager, standin: StandIn, clock: ManualClock) -> None:
    standin.set(SECRET, CANARY)
    secrets.access(LATEST)
    other = SecretManager(secrets.client, {"KEY": CANARY}, clock.clock())
    other.access("env:KEY")
    for thing in (secrets, other, secrets._remembered, *secrets._remembered.values()):
        assert CANARY not in f"{thing!r} {thing}"


def test_a_renewed_secret_is_read_again_and_others_are_not(secrets: SecretManager, standin: StandIn) -> None:
    other = "projects/p/secrets/token-of-another"
    for name in (SECRET, other):
        standin.set(name, "old")
        assert secrets.access(f"{name}/versions/latest") == b"old"
        standin.set(name, "new")
    secrets.renew("token")
    assert secrets.access(LATEST) == b"new"
    assert secrets.access(f"{other}/versions/latest") == b"old"


def test_a_renewed_secret_keeps_its_value_for_an_outage(secrets: SecretManager, standin: StandIn) -> None:
    standin.set(SECRET, "old")
    assert secrets.access(LATEST) == b"old"
    secrets.renew("token")
    standin.fail(times=10)
    assert secrets.access(LATEST) == b"old"
