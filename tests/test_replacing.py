"""`replace`: Meta's session rules, whatever happens on the way. Each test ends with the members that Meta has."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.local.faults import Fault
from tests.sync_world import SEGMENT, World, hashed, people


@pytest.fixture
def world() -> Iterator[World]:
    with World(page_rows=50) as made:
        yield made


def begin(world: World, *before: range, segment: dict[str, str] = SEGMENT) -> None:
    """Let the audience have people already."""
    members = people(*before)
    world.publish({"segment": segment, "change": "sync", "users": members})
    world.drain()


def batches(world: World) -> list[tuple[int, int, bool | None]]:
    """Return of each call its place in its session, its rows, and whether it ends the session."""
    return [
        (
            call.body["session"]["batch_seq"],
            len(call.body["payload"]["data"]),
            call.body["session"].get("last_batch_flag"),
        )
        for call in world.calls("usersreplace")
    ]


class TestTheSession:
    def test_batches_go_one_after_the_other_and_the_last_one_ends_it(self, world: World) -> None:
        begin(world, range(100))
        world.fill(people(range(50, 180)))
        world.ask("replace")
        world.drain()
        assert batches(world) == [(1, 50, False), (2, 50, False), (3, 30, True)]
        sessions = [call.body["session"] for call in world.calls("usersreplace")]
        assert {(one["session_id"], one["estimated_num_total"]) for one in sessions} == {
            (sessions[0]["session_id"], 130)
        }
        assert world.emails() == hashed(range(50, 180))
        assert world.graph.violations == []

    def test_a_list_of_one_batch_begins_and_ends_with_it(self, world: World) -> None:
        begin(world, range(20))
        world.fill(people(range(10, 25)))
        world.ask("replace")
        world.drain()
        assert batches(world) == [(1, 15, True)]

    def test_what_does_not_fit_into_an_invocation_goes_on_in_a_message_without_people(self, world: World) -> None:
        world.seconds = 100
        begin(world, range(200))
        world.fill(people(range(100, 400)))
        world.ask("replace")
        assert world.deliver()
        (held,) = world.queue.waiting
        task = json.loads(held.data)
        assert (task["change"], task["step"], task["session"]["next_batch"]) == ("replace", "send", 2)
        assert "example.com" not in held.data.decode()
        assert not any(digest in held.data.decode() for digest in hashed(range(400)))
        assert world.drain() == 2
        assert world.emails() == hashed(range(100, 400))

    def test_all_batches_have_one_schema_and_none_has_an_external_id(self, world: World) -> None:
        begin(world, range(60))
        members: list[dict[str, Any]] = people(range(60))
        for member in members[:50]:
            member["customer"] = "c"
            del member["phone"]
        members[3] = {"customer": "alone"}
        world.publish({"segment": SEGMENT, "change": "replace", "users": members})
        world.drain()
        assert {tuple(call.body["payload"]["schema"]) for call in world.calls("usersreplace")} == {("EMAIL", "PHONE")}
        assert world.emails() == hashed(range(3), range(4, 60))
        (rejected,) = [row for row in world.rows(outcome="rejected") if row["rows_rejected"]]
        assert json.loads(rejected["reject_reasons"]) == {"not enough identifiers": 1}

    def test_a_page_in_which_nobody_can_be_sent_is_no_batch(self, world: World) -> None:
        begin(world, range(60))
        world.fill([*people(range(50)), *({"id": "x"} for _ in range(60)), *people(range(50, 60))])
        world.ask("replace")
        world.drain()
        assert batches(world) == [(1, 50, False), (2, 10, True)]
        assert world.emails() == hashed(range(60))


class TestLong:
    def test_counting_goes_on_in_another_invocation_too(self, world: World) -> None:
        world.reading = 100
        begin(world, range(100))
        world.fill(people(range(50, 950)))
        world.ask("replace")
        steps = []
        while world.queue.waiting:
            steps.append(json.loads(world.queue.waiting[0].data).get("step"))
            assert world.deliver()
        assert {"count", "send"} <= set(steps)
        assert world.emails() == hashed(range(50, 950))


class TestKilled:
    def test_after_any_step_it_ends_with_exactly_the_new_members(self) -> None:
        with World(page_rows=50, seconds=90) as world:
            world.fill(people(range(150, 280)))
            kill_at, killed = 0, True
            while killed:
                segment = {"id": f"s{kill_at}", "name": f"{kill_at}"}
                begin(world, range(200), segment=segment)
                killed = self.play(world, segment, kill_at)
                audience = world.graph.audiences()[-1]
                emails = {value for one in world.graph.members(audience) for key, value in one if key == "EMAIL"}
                assert emails == hashed(range(150, 280)), f"killed before step {kill_at}"
                kill_at += 1
            assert kill_at > 25
            assert world.queue.dead == []

    @staticmethod
    def play(world: World, segment: dict[str, str], kill_at: int) -> bool:
        """Replace with the worker killed before one step, wherever that is; return whether there was such a step."""
        world.publish({"segment": segment, "change": "replace", "source": "vip"})
        left, killed = kill_at, False
        while world.queue.waiting:
            done = world.deliver(kill_at=-1 if killed else left)
            killed = killed or not done
            left -= world.steps.done
            world.clock.pass_(0 if done else 60)
        return killed

    def test_the_message_that_began_it_may_come_again_when_all_is_done(self, world: World) -> None:
        begin(world, range(100))
        world.fill(people(range(50, 180)))
        world.ask("replace")
        held = world.queue.waiting[0]
        world.drain()
        calls = len(world.calls("usersreplace"))
        world.queue.waiting.append(held)
        world.drain()
        assert len(world.calls("usersreplace")) == calls
        assert world.emails() == hashed(range(50, 180))


class TestMetaSays:
    def replace(self, world: World, *faults: Fault) -> None:
        begin(world, range(100))
        world.fill(people(range(50, 180)))
        for fault in faults:
            world.graph.faults.add(fault)
        world.ask("replace")

    @pytest.mark.parametrize("subcode", [1870145, 1870148], ids=["in progress", "not fully updated"])
    def test_wait(self, world: World, subcode: int) -> None:
        self.replace(world, Fault.error(2650, subcode, match="usersreplace", times=3))
        assert not world.deliver()
        assert world.emails() == hashed(range(100))
        world.drain()
        assert world.emails() == hashed(range(50, 180))

    @pytest.mark.parametrize(
        ("code", "subcode", "told"),
        [
            (2650, 1870144, "the audience is too large to be replaced"),
            (2650, None, "the audience could not be updated"),
            (100, 1713230, "the audience is flagged and takes no uploads"),
        ],
        ids=["100 million", "other shape", "upload blocked"],
    )
    def test_refusals_for_good_are_told_and_the_message_can_be_put_back(
        self, world: World, code: int, subcode: int | None, told: str
    ) -> None:
        self.replace(world, Fault.error(code, subcode, match="usersreplace"))
        world.drain()
        ((task, attributes),) = world.queue.dead
        (failed,) = world.rows(outcome="failed")
        assert told in failed["error_message"]
        assert (failed["error_code"], failed["error_subcode"]) == (code, subcode)
        assert attributes["reason"] == failed["error_message"]
        assert world.emails() == hashed(range(100))
        world.publish(task)
        world.drain()
        assert world.emails() == hashed(range(50, 180))

    @pytest.mark.parametrize(("code", "subcode"), [(200, 1870090), (190, 463), (803, None), (80003, 2446079)], ids=str)
    def test_what_ends_by_itself_or_once_a_person_has_acted_is_tried_again(
        self, world: World, code: int, subcode: int | None
    ) -> None:
        self.replace(world, Fault.error(code, subcode, match="usersreplace", times=3))
        assert not world.deliver() or world.queue.waiting
        assert world.emails() == hashed(range(100))
        world.drain()
        assert world.emails() == hashed(range(50, 180))
        assert world.queue.dead == []

    def test_the_first_batch_is_missing_so_it_begins_anew(self, world: World) -> None:
        self.replace(world)
        world.graph.faults.add(Fault.error(2650, 1870147, match="usersreplace"))
        world.drain()
        assert [place for place, _, _ in batches(world)] == [1, 1, 2, 3]
        assert world.emails() == hashed(range(50, 180))

    def test_the_session_has_timed_out_so_the_rest_is_added(self, world: World) -> None:
        self.replace(world)
        world.ask("replace")
        world.queue.waiting.popleft()
        calls = iter(range(10))
        send = world.relay.outside.graph_api.transport

        def late(method: str, url: str, **more: Any) -> Any:
            if "usersreplace" in url and next(calls) == 1:
                world.clock.pass_(91 * 60)
            return send(method, url, **more)

        world.relay.outside.graph_api.transport = late
        world.drain()
        added = [len(call.body["payload"]["data"]) for call in world.calls("users")[2:]]
        assert added == [50, 30]
        assert world.emails() == hashed(range(50, 180))

    def test_shortly_before_the_90_minutes_it_is_ended_and_the_rest_is_added(self, world: World) -> None:
        self.replace(world)
        world.seconds = 44 * 60
        world.drain()
        assert batches(world) == [(1, 50, False), (2, 50, False), (3, 30, True)]
        world.fill(people(range(50, 280)))
        world.ask("replace")
        world.drain()
        assert batches(world)[3:] == [(1, 50, False), (2, 50, False), (3, 50, True)]
        assert [len(call.body["payload"]["data"]) for call in world.calls("users")[-2:]] == [50, 30]
        assert world.emails() == hashed(range(50, 280))

    def test_an_answer_that_is_lost_on_the_last_batch_was_an_answer(self, world: World) -> None:
        self.replace(world)
        world.fill(people(range(50, 100)))
        world.graph.faults.add(Fault(match="usersreplace", drop="after"))
        world.drain()
        assert world.emails() == hashed(range(50, 100))
        assert world.queue.dead == []

    def test_a_first_batch_that_lands_late_is_noticed_and_all_others_are_repeated(self, world: World) -> None:
        self.replace(world)
        send = world.relay.outside.graph_api.transport
        first: list[Any] = []

        def again(method: str, url: str, **more: Any) -> Any:
            reply = send(method, url, **more)
            if "usersreplace" in url:
                first.append((method, url, more))
                if len(first) == 2:
                    method, url, more = first[0]
                    send(method, url, **more)
            return reply

        world.relay.outside.graph_api.transport = again
        world.drain()
        assert world.emails() == hashed(range(50, 180))

    def test_another_replace_is_under_way_so_this_one_waits_its_90_minutes(self, world: World) -> None:
        begin(world, range(100))
        other = {"session": {"session_id": 7, "batch_seq": 1}, "payload": {"schema": ["EMAIL"], "data": [["a" * 64]]}}
        world.relay.outside.graph_api.transport(
            "POST",
            f"{world.graph.url}/v26.0/{world.audience}/usersreplace",
            headers={"Authorization": "Bearer TOKEN", "Content-Type": "application/json"},
            body=json.dumps(other).encode(),
            timeout=10,
        )
        world.fill(people(range(50, 180)))
        world.ask("replace")
        assert not world.deliver()
        assert len(batches(world)) == 1
        assert world.drain() > 80
        assert world.emails() == hashed(range(50, 180))

    def test_an_audience_that_nobody_was_ever_in_is_filled(self, world: World) -> None:
        begin(world, range(1))
        world.graph.set_operation_status(world.audience, 410)
        world.fill(people(range(130)))
        world.ask("replace")
        world.drain()
        assert world.calls("usersreplace") == []
        assert world.emails() == hashed(range(130))

    def test_a_flagged_audience_is_left_as_it_is(self, world: World) -> None:
        begin(world, range(100))
        world.graph.set_operation_status(world.audience, 471)
        world.fill(people(range(50, 180)))
        world.ask("replace")
        world.deliver()
        assert world.emails() == hashed(range(100))

    def test_throttling_is_waited_out_and_the_session_goes_on(self, world: World) -> None:
        self.replace(world)
        world.deliver(kill_at=20)
        world.graph.throttle("1234567890", minutes=5)
        world.drain()
        assert world.emails() == hashed(range(50, 180))


class TestGuards:
    @pytest.mark.parametrize(
        ("members", "reason"),
        [
            ([], "the source holds nobody"),
            ([{"email": "nobody"}, {"id": "7"}] * 3, "nobody in it can be sent, and the audience is left as it is"),
            (people(range(9)), "the audience would shrink from 20 to 9, by more than max_shrink allows"),
        ],
        ids=["empty", "unusable", "too short"],
    )
    def test_refused_with_the_reason(self, world: World, members: list[dict[str, Any]], reason: str) -> None:
        begin(world, range(20))
        world.fill(members)
        world.ask("replace")
        world.drain()
        (row,) = [row for row in world.rows(outcome="rejected") if row["error_message"]]
        assert (row["error_message"], row["action"], row["segment_id"]) == (reason, "replace", "44A23B49")
        assert world.calls("usersreplace") == []
        assert world.emails() == hashed(range(20))
        assert world.queue.dead == []

    def test_half_of_it_may_go(self, world: World) -> None:
        begin(world, range(20))
        world.fill(people(range(10)))
        world.ask("replace")
        world.drain()
        assert world.emails() == hashed(range(10))

    def test_max_shrink_is_the_operators(self) -> None:
        with World(segments={"mapping": {"EMAIL": ["email"]}, "max_shrink": 1}) as world:
            begin(world, range(20))
            world.fill(people(range(1)))
            world.ask("replace")
            world.drain()
            assert world.emails() == hashed(range(1))


class TestByAudience:
    """The action `replace` of `/audiences`."""

    def body(self, world: World, *members: range, **more: Any) -> dict[str, Any]:
        data = [[member["email"], "c-1"] for member in people(*members)]
        granted = dict.fromkeys(("ad_storage", "ad_user_data", "ad_personalization"), True)
        return {
            "action": "replace",
            "destinations": [{"audience_id": world.audience}],
            "consent": {"state": granted},
            "users": {"schema": ["EMAIL", "EXTERN_ID"], "data": data},
            **more,
        }

    def test_the_people_of_a_request_become_the_audience(self, world: World) -> None:
        begin(world, range(100))
        answer = world.post("/audiences", self.body(world, range(60, 140)))
        said = json.loads(answer.body)
        assert (answer.status, said["outcome"], said["results"][0]["num_received"]) == (200, "delivered", 80)
        assert said["warnings"] == ["EXTERN_ID has no place in a replace and is left out"]
        assert world.emails() == hashed(range(60, 140))

    def test_a_list_that_is_too_short_is_422_with_the_reason(self, world: World) -> None:
        begin(world, range(100))
        answer = world.post("/audiences", self.body(world, range(5)))
        said = json.loads(answer.body)
        assert (answer.status, said["outcome"]) == (422, "rejected")
        assert "by more than max_shrink allows" in said["error"]["message"]
        assert world.emails() == hashed(range(100))

    def test_it_needs_consent_as_adding_does(self, world: World) -> None:
        begin(world, range(10))
        answer = world.post("/audiences", self.body(world, range(10), consent={}))
        assert json.loads(answer.body)["outcome"] == "withheld"
        assert world.calls("usersreplace") == []

    def test_who_repeats_a_request_that_failed_goes_on_with_its_session(self, world: World) -> None:
        begin(world, range(100))
        body = self.body(world, range(60, 190))
        send = world.relay.outside.graph_api.transport
        calls = iter(range(100))

        def cut_off(method: str, url: str, **more: Any) -> Any:
            if "usersreplace" in url and next(calls) in range(1, 4):
                world.graph.faults.add(Fault.empty(503, match="usersreplace"))
            return send(method, url, **more)

        world.relay.outside.graph_api.transport = cut_off
        assert world.post("/audiences", body).status == 503
        answer = world.post("/audiences", body)
        assert (answer.status, json.loads(answer.body)["outcome"]) == (200, "delivered")
        assert world.emails() == hashed(range(60, 190))

    def test_a_dry_run_shows_the_calls(self, world: World) -> None:
        begin(world, range(100))
        said = json.loads(world.post("/audiences", self.body(world, range(60, 140), dry_run=True)).body)
        (result,) = said["results"]
        assert [(one["method"], one["path"].rpartition("/")[2]) for one in result["requests"]] == [
            ("POST", "usersreplace")
        ] * 2
        sessions = [one["body"]["session"] for one in result["requests"]]
        assert [(one["batch_seq"], one["last_batch_flag"], one["estimated_num_total"]) for one in sessions] == [
            (1, False, 80),
            (2, True, 80),
        ]
        assert said["outcome"] == "dry_run"
        assert world.emails() == hashed(range(100))
