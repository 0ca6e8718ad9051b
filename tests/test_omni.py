"""The client of an Omni service: its time, its cache, its token, and when it asks nothing at all."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from typing import Any, Final

import orjson
import pytest

from lib.breaker import Breaker
from lib.errors import (
    ConfigurationError,
    GraphAPIUnreachableError,
    IdentityError,
    IdentityMismatchError,
    IdentityUnreachableError,
)
from lib.identity import Identifiers, Identity
from lib.identity_settings import OmniSettings
from lib.normalization import Settings
from lib.omni import OmniIdentity
from lib.ports import Reply
from tests.manual_clock import ManualClock

UUID: Final = "5f0c2f6e-2b9f-4a57-9d1a-0c0ffee00001"
READING: Final = Settings(today=date(2026, 1, 1))
GOOD: Final = Reply(200, {}, orjson.dumps({"success": True, "data": {"uuid": UUID}}))


@dataclass
class Service:
    """Answers as it is told, and keeps how it was asked."""

    clock: ManualClock
    replies: list[Reply | Exception] = field(default_factory=list)
    calls: list[tuple[str, float]] = field(default_factory=list)

    def __call__(self, method: str, url: str, *, headers: Mapping[str, str], body: bytes, timeout: float) -> Reply:
        assert ("POST", "https://identity.example.com/v1") == (method, url)
        assert isinstance(orjson.loads(body), dict)
        self.calls.append((headers["Authorization"], timeout))
        reply = self.replies.pop(0) if self.replies else GOOD
        if isinstance(reply, Exception):
            raise reply
        return reply


@dataclass
class Tokens:
    """A secret with a current and a newer value; None cannot be read."""

    value: bytes | None = b"old"
    newer: bytes = b"old"

    def access(self, name: str, *, refresh: bool = False) -> bytes:
        assert name == "env:TOKEN"
        if self.value is None:
            raise ConfigurationError("the secret cannot be read")
        if refresh:
            self.value = self.newer
        return self.value


class World:
    """A client and what is around it."""

    def __init__(self, *, cache_s: float = 60) -> None:
        self.clock = ManualClock()
        self.service = Service(self.clock)
        self.tokens = Tokens()
        self.client = OmniIdentity(
            settings=OmniSettings(
                endpoint="https://identity.example.com/v1", access_token="env:TOKEN", cache_s=cache_s
            ),
            timeout_s=0.8,
            with_journal=False,
            transport=self.service,
            secrets=self.tokens,
            clock=self.clock.clock(),
            breaker=Breaker(self.clock.clock()),
            cache_key=b"key",
        )

    def resolve(self, client_id: str = "1.1", *, left: float = 10.0) -> Identity:
        who = Identifiers(devices={"client_id": client_id})
        return self.client.resolve(who, reading=READING, deadline=self.clock.monotonic() + left)


def failing(world: World, times: int, **more: Any) -> None:
    for number in range(times):
        with pytest.raises(IdentityError):
            world.resolve(f"{number}.9", **more)


class TestTime:
    @pytest.mark.parametrize(("left", "expected"), [(10.0, 0.8), (0.3, 0.3)])
    def test_a_call_gets_what_is_left_and_never_more_than_its_own_limit(self, left: float, expected: float) -> None:
        world = World()
        world.resolve(left=left)
        assert [expected] == [pytest.approx(timeout) for _, timeout in world.service.calls]

    def test_nobody_is_asked_when_nothing_is_left(self) -> None:
        world = World()
        failing(world, 1, left=0.001)
        assert [] == world.service.calls


class TestCache:
    def test_an_answer_counts_for_its_time_and_for_the_same_question(self) -> None:
        world = World()
        for client_id in ("1.1", "1.1", "2.2"):
            assert UUID == world.resolve(client_id).person_id
        assert 2 == len(world.service.calls)
        world.clock.pass_(60)
        world.resolve()
        assert 3 == len(world.service.calls)

    def test_a_failure_is_not_kept(self) -> None:
        world = World()
        world.service.replies.append(Reply(500, {}, b""))
        failing(world, 1)
        assert UUID == world.resolve("0.9").person_id

    def test_without_time_there_is_none(self) -> None:
        world = World(cache_s=0)
        world.resolve()
        world.resolve()
        assert 2 == len(world.service.calls)

    def test_holds_no_identifier_and_nothing_after_somebody_is_forgotten(self) -> None:
        world = World()
        world.resolve("1093847561.1769853600")
        assert b"1093847561" not in b"".join(world.client._answers)
        assert "1093847561" not in repr(world.client)
        world.client.forget(world.client.keys(Identifiers()), deadline=0)
        assert {} == world.client._answers

    def test_keeps_the_latest_of_many(self) -> None:
        world = World()
        for number in range(10_001):
            world.resolve(f"{number}.1")
        assert 10_000 == len(world.client._answers)


class TestToken:
    def test_one_that_was_renewed_is_tried_at_once(self) -> None:
        world = World()
        world.tokens.newer = b"new"
        world.service.replies.append(Reply(401, {}, b""))
        assert UUID == world.resolve().person_id
        assert ["Bearer old", "Bearer new"] == [token for token, _ in world.service.calls]

    def test_the_same_one_is_not_tried_twice(self) -> None:
        world = World()
        world.service.replies.append(Reply(401, {}, b""))
        failing(world, 1)
        assert 1 == len(world.service.calls)

    def test_one_that_cannot_be_read_is_the_operators_to_mend(self) -> None:
        world = World()
        world.tokens.value = None
        with pytest.raises(ConfigurationError):
            world.resolve()


class TestBreaker:
    @pytest.mark.parametrize(
        "reply",
        [Reply(500, {}, b""), Reply(403, {}, b""), Reply(200, {}, b"<html>"), GraphAPIUnreachableError("no answer")],
        ids=["an outage", "a token that is refused", "no JSON", "silence"],
    )
    def test_opens_after_five_failures_and_closes_by_itself(self, reply: Reply | Exception) -> None:
        world = World()
        world.service.replies += [reply] * 5
        failing(world, 9)
        assert 5 == len(world.service.calls)
        world.clock.pass_(30)
        assert UUID == world.resolve().person_id

    def test_requests_that_are_refused_do_not_open_it(self) -> None:
        world = World()
        world.service.replies += [Reply(400, {}, b"")] * 6
        failing(world, 6)
        assert 6 == len(world.service.calls)

    def test_somebody_with_two_emails_does_not_open_it(self) -> None:
        world = World()
        other = Reply(200, {}, orjson.dumps({"data": {"uuid": UUID, "email": "eve@example.com"}}))
        world.service.replies += [other] * 6
        who = Identifiers(devices={"client_id": "1.1"}, persons={"em": ("a" * 64,)})
        for _ in range(6):
            with pytest.raises(IdentityMismatchError):
                world.client.resolve(who, reading=READING, deadline=world.clock.monotonic() + 1)
        assert 6 == len(world.service.calls)

    def test_an_allowance_that_is_used_up_is_waited_for(self) -> None:
        world = World()
        world.service.replies.append(Reply(200, {"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": "20"}, GOOD.body))
        world.resolve()
        failing(world, 1)
        world.clock.pass_(20)
        assert UUID == world.resolve("3.3").person_id

    def test_an_error_speaks_of_the_service_and_not_of_meta(self) -> None:
        world = World()
        world.service.replies.append(GraphAPIUnreachableError("no answer from Meta (ReadTimeout)"))
        with pytest.raises(IdentityUnreachableError) as caught:
            world.resolve()
        assert "no answer from the identity service (ReadTimeout)" == caught.value.message
        assert ("identify", "Omni Identity") == (caught.value.process, caught.value.scope)


def test_somebody_who_cannot_be_named_is_a_miss_without_a_question() -> None:
    world = World()
    identity = world.client.resolve(Identifiers(), reading=READING, deadline=world.clock.monotonic() + 1)
    assert ("miss", "") == (identity.outcome, identity.person_id)
    assert [] == world.service.calls
