"""`sync`: all members of a segment, from a source or from the request itself, in slices that may come twice."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from typing import Any

import orjson
import pytest

from tests.functions import Functions
from tests.local.faults import Fault
from tests.local.stack import KEY, VIP, Stack
from tests.sync_world import ACCOUNT, LOG, SEGMENT, Held, World, email_of, hashed, people


@pytest.fixture
def world() -> Iterator[World]:
    with World(page_rows=50) as made:
        yield made


class TestFromASource:
    def test_a_large_source_becomes_slices_that_hold_nobody(self, world: World) -> None:
        world.fill(people(range(620)))
        world.ask("sync")
        assert world.deliver()
        tasks = [orjson.loads(held.data) for held in world.queue.waiting]
        assert [(one["cuts"][0]["first_row"], one["cuts"][0]["rows"]) for one in tasks] == [
            (0, 250),
            (250, 250),
            (500, 120),
        ]
        assert all(held.attributes["type"] == "slice" for held in world.queue.waiting)
        assert not any(email_of(number) in held.data.decode() for held in world.queue.waiting for number in range(620))
        world.drain()
        assert world.emails() == hashed(range(620))
        assert len(world.calls("users")) == 13
        assert world.graph.violations == []

    def test_slices_may_come_in_any_order_and_twice(self, world: World) -> None:
        world.fill(people(range(620)))
        world.ask("sync")
        world.deliver()
        slices = list(world.queue.waiting)
        world.queue.waiting.clear()
        world.queue.waiting.extend([slices[2], slices[0], slices[2], slices[1], slices[0]])
        world.drain()
        assert world.emails() == hashed(range(620))
        # The same sessions again: Meta counts nobody twice, and neither does the log.
        assert sum(row["rows_sent"] or 0 for row in world.rows()) == 620

    def test_the_message_that_began_it_may_come_again(self, world: World) -> None:
        world.fill(people(range(300)))
        world.ask("sync")
        held = world.queue.waiting[0]
        world.deliver()
        world.queue.waiting.append(held)
        world.fill(people(range(1000, 1300)))
        world.drain()
        assert world.emails() == hashed(range(300))

    def test_killed_before_or_after_any_step_all_are_members_in_the_end(self, world: World) -> None:
        world.fill(people(range(280)))
        kill_at, killed = 0, True
        while killed:
            segment = {"id": f"s{kill_at}", "name": f"{kill_at}"}
            world.publish({"segment": segment, "change": "sync", "source": "vip"})
            left, killed = kill_at, False
            while world.queue.waiting:
                done = world.deliver(kill_at=-1 if killed else left)
                killed = killed or not done
                left -= world.steps.done
            audience = world.graph.audiences()[-1]
            assert len(world.graph.members(audience)) == 280, f"killed before step {kill_at}"
            kill_at += 1
        assert kill_at > 25
        assert world.queue.dead == []

    @pytest.mark.parametrize("packed", [False, True], ids=["plain", "gzip"])
    def test_from_files(self, world: World, *, packed: bool) -> None:
        data = b"\n".join(map(orjson.dumps, people(range(620))))
        world.storage.put("crm", "vip.json", gzip.compress(data) if packed else data)
        world.ask("sync", source="file")
        world.drain()
        assert world.emails() == hashed(range(620))

    def test_everything_is_done_at_once_where_there_is_no_queue(self) -> None:
        with World(page_rows=50, queue=None) as world:
            world.fill(people(range(320)))
            answer = world.post("/segments", {"segment": SEGMENT, "change": "sync", "source": "vip"})
            assert (answer.status, json.loads(answer.body)["outcome"]) == (200, "delivered")
            assert world.emails() == hashed(range(320))

    def test_over_http_it_is_left_to_the_queue(self, world: World) -> None:
        world.fill(people(range(70)))
        answer = world.post("/segments", {"segment": SEGMENT, "change": "sync", "source": "vip"})
        assert (answer.status, json.loads(answer.body)["outcome"]) == (202, "queued")
        assert world.calls("users") == []
        world.drain()
        assert world.emails() == hashed(range(70))

    def test_a_dry_run_shows_the_first_page_and_makes_no_audience(self, world: World) -> None:
        world.fill(people(range(70)))
        body = {"segment": SEGMENT, "change": "sync", "source": "vip", "dry_run": True}
        said = json.loads(world.post("/segments", body).body)
        (request,) = said["results"][0]["requests"]
        assert (request["method"], len(request["body"]["payload"]["data"])) == ("POST", 50)
        assert said["warnings"] == ["the first 50 of 70 members are shown"]
        assert world.graph.audiences() == []

    def test_a_dry_run_names_rejects_as_the_source_does(self) -> None:
        with World(sources={"file": {"bucket": {"uri": "gs://crm/vip.json"}, "row_id": "no"}}) as world:
            lines = [{"no": 17, "email": "a@b.de"}, {"no": 18, "email": "?"}, 5]
            world.storage.put("crm", "vip.json", b"\n".join(map(orjson.dumps, lines)))
            body = {"segment": SEGMENT, "change": "sync", "source": "file", "dry_run": True}
            said = json.loads(world.post("/segments", body).body)
            assert [(one["row"], one.get("row_id"), one["reason"]) for one in said["rejected"]] == [
                (1, "18", "not an e-mail address"),
                (1, "18", "not enough identifiers"),
                (2, None, "not a list or object"),
            ]

    def test_an_empty_source_is_refused_and_told(self, world: World) -> None:
        world.ask("sync")
        world.drain()
        (row,) = world.rows(outcome="rejected")
        assert (row["error_message"], row["segment_id"]) == ("the source holds nobody", "44A23B49")

    @pytest.mark.parametrize(
        ("more", "field"),
        [
            ({"source": "other"}, "source"),
            ({"source": "vip", "users": people(1)}, "users"),
            ({}, "users"),
            ({"source": 7.5}, "source"),
        ],
        ids=["unknown source", "both", "neither", "no name"],
    )
    def test_what_is_not_understood_is_400(self, world: World, more: dict[str, Any], field: str) -> None:
        answer = world.post("/segments", {"segment": SEGMENT, "change": "sync", **more})
        assert (answer.status, json.loads(answer.body)["error"]["field"]) == (400, field)


class TestWho:
    def test_rejects_are_counted_by_reason_and_the_others_go(self, world: World) -> None:
        members = people(range(60))
        members[7] = {"email": "nobody", "phone": None}
        members[58]["phone"] = "unknown number"
        world.fill(members)
        world.ask("sync")
        world.drain()
        assert world.emails() == hashed(range(7), range(8, 60))
        said = json.loads(world.get("/segments/44A23B49").body)
        assert {key: said[key] for key in ("rows_read", "rows_sent", "batches_done", "batches", "last_error")} == {
            "rows_read": 60,
            "rows_sent": 59,
            "batches_done": 2,
            "batches": 2,
            "last_error": None,
        }
        assert sum(said["rejected"].values()) == 3
        assert "not enough identifiers" in said["rejected"]

    def test_members_with_and_without_an_external_id_go_in_calls_of_their_own(self, world: World) -> None:
        users = [*people(range(30)), *({**one, "customer": "c"} for one in people(range(30, 40)))]
        world.ask("sync", users=users)
        world.drain()
        assert sorted(len(call.body["payload"]["data"]) for call in world.calls("users")) == [10, 30]
        assert world.emails() == hashed(range(40))

    def test_consent_is_asked_of_each_where_it_is_configured(self) -> None:
        mapping = {"EMAIL": ["email"], "ad_user_data": ["agreed"]}
        with World(consent={"segments": ["ad_user_data"]}, segments={"mapping": mapping}) as world:
            lines = [{"email": email_of(number), "agreed": number % 2 == 0} for number in range(10)]
            world.storage.put("crm", "vip.json", b"\n".join(map(orjson.dumps, lines)))
            world.ask("sync", source="file")
            world.drain()
            assert world.emails() == hashed(*range(0, 10, 2))
            (row,) = world.rows(outcome="rejected")
            assert json.loads(row["reject_reasons"]) == {"consent is missing: ad_user_data": 5}


class TestOfTheRequestItself:
    def test_over_http(self, world: World) -> None:
        answer = world.post("/segments", {"segment": SEGMENT, "change": "sync", "users": people(range(120))})
        said = json.loads(answer.body)
        assert (answer.status, said["outcome"], said["results"][0]["num_received"]) == (200, "delivered", 120)
        assert world.emails() == hashed(range(120))

    def test_what_has_to_wait_is_hashed_in_the_queue(self, world: World) -> None:
        world.post("/segments", {"segment": SEGMENT, "change": "sync", "users": people(1)})
        world.graph.faults.add(Fault.empty(503, match="/users", times=20))
        answer = world.post("/segments", {"segment": SEGMENT, "change": "sync", "users": people(range(120))})
        assert (answer.status, json.loads(answer.body)["outcome"]) == (202, "queued")
        assert not any(email_of(5) in held.data.decode() for held in world.queue.waiting)
        world.drain()
        assert world.emails() == hashed(range(120))

    @pytest.mark.parametrize(("users", "status"), [([], 400), ([{"id": "7"}], 422)], ids=["nobody", "nobody usable"])
    def test_nobody_is_refused(self, world: World, users: list[Any], status: int) -> None:
        answer = world.post("/segments", {"segment": SEGMENT, "change": "sync", "users": users})
        assert answer.status == status


class TestMetaSays:
    def test_a_throttled_account_is_left_alone_until_its_time(self, world: World) -> None:
        world.fill(people(range(620)))
        world.ask("sync")
        world.deliver()
        world.graph.throttle(ACCOUNT, minutes=7)
        world.drain()
        # One call finds out, and none is made again before the time that Meta has named.
        assert world.graph.calls_while_throttled == 1
        assert world.emails() == hashed(range(620))

    def test_a_slice_that_fails_halfway_goes_on_where_it_was(self, world: World) -> None:
        world.fill(people(range(250)))
        world.ask("sync")
        held = world.queue.waiting[0]
        send = world.relay.outside.graph_api.transport
        calls: list[str] = []

        def ill(method: str, url: str, **more: Any) -> Any:
            calls.append(url)
            if len([one for one in calls if one.endswith("/users")]) == 3:
                world.graph.faults.add(Fault.empty(503, match="/users", times=3))
            return send(method, url, **more)

        world.relay.outside.graph_api.transport = ill
        assert world.deliver()
        (left,) = world.queue.waiting
        assert left is not held
        assert orjson.loads(left.data)["cuts"][0]["first_batch"] == 3
        world.drain()
        assert world.emails() == hashed(range(250))

    def test_a_token_that_is_renewed_lets_it_go_on(self, world: World) -> None:
        world.fill(people(range(620)))
        world.ask("sync")
        world.deliver()
        app = world.graph.tokens.pop("TOKEN")
        assert not world.deliver()
        world.graph.tokens["TOKEN"] = app
        world.drain()
        assert world.emails() == hashed(range(620))

    def test_what_meta_refuses_for_good_is_a_dead_letter_that_holds_nobody_and_can_be_put_back(
        self, world: World
    ) -> None:
        world.fill(people(range(620)))
        world.ask("sync")
        world.deliver()
        world.graph.faults.add(Fault.error(100, 1713231, match="/users"))
        world.drain()
        ((task, attributes),) = world.queue.dead
        assert (task["change"], attributes["type"]) == ("sync", "slice")
        assert attributes["reason"].startswith("Meta error 100/1713231")
        assert email_of(3) not in json.dumps(task)
        assert len(world.emails()) < 620
        world.queue.waiting.append(Held(orjson.dumps(task), attributes, "again"))
        world.drain()
        assert world.emails() == hashed(range(620))


class TestTheAudience:
    @pytest.mark.parametrize("change", ["sync", "mirror", "replace"])
    def test_one_that_was_deleted_is_made_anew_and_filled(self, world: World, change: str) -> None:
        world.fill(people(range(60)))
        world.ask("sync")
        world.drain()
        gone = world.audience
        connection = world.relay.config.connections["acme"]
        world.relay.outside.graph_api.change("DELETE", gone, {}, connection)
        world.ask(change)
        world.drain()
        assert world.audience != gone
        assert world.emails() == hashed(range(60))

    def test_two_workers_that_begin_the_same_sync_make_one_audience(self, world: World) -> None:
        world.fill(people(range(60)))
        world.ask("sync")
        world.ask("sync")
        world.drain()
        assert world.emails() == hashed(range(60))


class TestProgress:
    def test_it_is_told_after_every_batch(self, world: World) -> None:
        world.seconds = 30
        world.fill(people(range(250)))
        world.ask("sync")
        world.deliver(kill_at=18)
        said = json.loads(world.get("/segments/44A23B49").body)
        assert 0 < said["batches_done"] < said["batches"] == 5
        assert said["rows_sent"] == 50 * said["batches_done"]
        assert said["rate"] > 0
        assert said["expected_end"] > "2027-01-15T08:0"
        world.drain()
        said = json.loads(world.get("/segments/44A23B49").body)
        assert (said["batches_done"], said["rows_sent"], said["expected_end"]) == (5, 250, None)

    def test_a_segment_that_was_never_synced_is_404(self, world: World) -> None:
        assert world.get("/segments/never").status == 404

    def test_only_get_is_understood(self, world: World) -> None:
        assert world.post("/segments/44A23B49", {}).status == 405

    @pytest.mark.parametrize("segment_id", ["a/b", "44A 23", "Größe"])
    def test_any_text_is_an_id(self, world: World, segment_id: str) -> None:
        world.publish({"segment": {"id": segment_id}, "change": "sync", "users": people(range(3))})
        world.drain()
        assert json.loads(world.get(f"/relay/segments/{segment_id}").body)["rows_sent"] == 3


class TestPrivacy:
    def test_nobody_is_named_in_logs_rows_messages_or_dead_letters(self, capfd: pytest.CaptureFixture[str]) -> None:
        with World(page_rows=50, log_level="DEBUG") as world:
            members = people(range(130))
            members[3] = {"email": "not an address", "phone": "secret words"}
            world.fill(members)
            for change, fault in (("sync", 503), ("mirror", 400), ("replace", 503)):
                world.graph.faults.add(Fault.error(100, 33, status=fault, match="/users", times=2))
                world.ask(change)
                world.deliver()
                seen = "".join(held.data.decode() for held in world.queue.waiting)
                world.drain()
                text = seen + repr(world.queue.dead) + repr(world.bigquery.rows(LOG)) + "".join(capfd.readouterr())
                assert "secret words" not in text
                assert not any(member["email"] in text for member in members if "@" in member["email"])
                assert not any(digest in text for digest in hashed(range(130)))
                assert len(text) > 1000


class TestThroughTheFramework:
    """Both functions under functions-framework, with a caller's key."""

    def test_a_segment_is_synced_replaced_and_asked_for(self, stack: Stack, functions: Functions) -> None:
        stack.load(VIP, people(range(30)))
        body = {"segment": {"id": "44A/23 B", "name": "VIP"}, "source": "vip"}
        for change in ("sync", "replace"):
            assert functions.receive({**body, "change": change}, path="/segments").status == 202
            functions.drain()
        progress = functions.client("receive").get("/segments/44A%2F23%20B", headers={"Authorization": f"Bearer {KEY}"})
        assert (progress.status_code, progress.get_json()["rows_sent"]) == (200, 30)
        assert functions.client("receive").get("/segments/44A%2F23%20B").status_code == 401
        assert functions.dead() == []

    def test_who_may_not_sync_may_not_ask_either(self, stack: Stack, functions: Functions) -> None:
        stack.config["callers"]["sgtm"]["actions"] = ["add"]
        body = {"segment": {"id": "1"}, "source": "vip", "change": "sync"}
        assert functions.receive(body, path="/segments").status == 403
        asked = functions.client("receive").get("/segments/1", headers={"Authorization": f"Bearer {KEY}"})
        assert asked.status_code == 403
