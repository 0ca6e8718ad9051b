"""A flush: what it sends, what it acknowledges, and what it leaves, whatever happens on the way."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import replace
from typing import Any, Final

import pytest

from lib.changes import Changes
from lib.errors import ConfigurationError, QueueError
from lib.segments import Segment
from tests.local.faults import Fault
from tests.segment_world import LEASE_S, SEGMENT, CrashError, World, digest, world

MARK: Final = "Meta Relay segment: 44A23B49"


@pytest.fixture
def one() -> Iterator[World]:
    """A world in which the segment has its audience, 11."""
    with world() as made:
        made.meta.add_audience("11", account="1", description=MARK)
        yield made


def wait(one: World, seconds: float) -> None:
    """Let time pass, leases with it."""
    one.clock.pass_(seconds)
    one.gathering.backlog.take(0, one.clock.monotonic(), LEASE_S)


class TestSent:
    def test_one_call_for_all_who_enter_and_one_for_all_who_leave(self, one: World) -> None:
        for number in range(100):
            one.change("enter", f"in{number}")
            one.change("leave", f"out{number}")
        one.flush()
        assert [call.method for call in one.calls()] == ["DELETE", "POST"]
        assert len(one.emails("11")) == 100
        assert len(one.gathering.backlog) == 0

    def test_who_has_left_goes_first_so_that_a_shared_address_stays(self, one: World) -> None:
        schema = ("EMAIL", "EXTERN_ID")
        for action, ident in (("add", "u-1"), ("remove", "u-2")):
            rows = [[digest("shared"), digest(ident)]]
            one.gather(Changes(connection="acme", segment=SEGMENT, action=action, schema=schema, rows=rows))  # type: ignore[arg-type]
        one.flush()
        assert one.emails("11") == {digest("shared")}

    def test_batches_of_ten_thousand_are_sessions_of_their_own(self, one: World) -> None:
        one.change("enter", *map(str, range(25_000)))
        one.flush()
        sessions = [call.body["session"] for call in one.calls()]
        assert [len(call.body["payload"]["data"]) for call in one.calls()] == [10_000, 10_000, 5_000]
        assert {(one["batch_seq"], one["last_batch_flag"]) for one in sessions} == {(1, True)}
        assert len({one["session_id"] for one in sessions}) == 3

    def test_each_account_and_segment_by_itself(self, one: World) -> None:
        other = Segment("vip", "VIP")
        one.change("enter", "ada")
        one.change("enter", "bob", segment=other)
        one.gather(
            Changes(connection="globex", segment=other, action="add", schema=("EMAIL",), rows=[[digest("cleo")]])
        )
        one.flush()
        named = {one.meta._audiences[ident].properties["description"]: ident for ident in one.meta.audiences()}
        assert len(one.meta.audiences()) == 3
        assert one.emails(named[MARK]) == {digest("ada")}
        assert {row["segment_id"] for row in one.log.rows} == {"44A23B49", "vip"}
        assert {row["connection"] for row in one.log.rows} == {"acme", "globex"}

    def test_rows_of_the_log_tell_no_one_from_another(self, one: World) -> None:
        one.change("enter", "ada")
        one.flush()
        one.change("leave", "ada")
        one.flush()
        rows = [(row["outcome"], row["action"], row["rows_sent"], row["destination"]) for row in one.log.rows]
        assert rows == [("delivered", "add", 1, "11"), ("delivered", "remove", 1, "11")]
        assert len({row["row_id"] for row in one.log.rows}) == 2
        assert digest("ada") not in str(one.log.rows)

    def test_who_enters_again_after_leaving_is_sent_again(self, one: World) -> None:
        """The same rows as before, and yet another session: Meta would take it for the first one's repetition."""
        for change in ("enter", "leave", "enter"):
            one.change(change, "ada")
            one.flush()
        assert one.emails("11") == {digest("ada")}
        assert len({call.body["session"]["session_id"] for call in one.calls()}) == 3

    def test_by_the_times_that_the_cdp_states(self, one: World) -> None:
        one.change("leave", "ada", changed_at=2.0)
        one.change("enter", "ada", changed_at=1.0)
        one.flush()
        assert one.emails("11") == set()


class TestLeft:
    def test_a_throttled_accounts_changes_stay_until_its_time(self, one: World) -> None:
        one.change("enter", "ada")
        one.meta.throttle("1", minutes=5)
        one.flush()
        assert len(one.gathering.backlog) == 1
        calls = len(one.meta.calls)
        for _ in range(4):
            wait(one, 60)
            one.flush()
        assert len(one.meta.calls) == calls
        wait(one, 61)
        one.flush()
        assert one.emails("11") == {digest("ada")}
        assert one.meta.calls_while_throttled == 1

    def test_with_a_change_all_that_is_said_of_the_person_stays(self, one: World) -> None:
        one.change("enter", "ada", changed_at=2.0)
        one.change("leave", "ada", changed_at=1.0)
        one.meta.throttle("1", minutes=5)
        one.flush()
        assert len(one.gathering.backlog) == 2
        wait(one, 301)
        one.flush()
        assert one.emails("11") == {digest("ada")}

    def test_the_other_accounts_go_on(self, one: World) -> None:
        one.change("enter", "ada")
        other = Changes(connection="globex", segment=SEGMENT, action="add", schema=("EMAIL",), rows=[[digest("bob")]])
        one.gather(other)
        one.meta.throttle("1", minutes=5)
        one.flush()
        assert len(one.gathering.backlog) == 1
        (made,) = [ident for ident in one.meta.audiences() if ident != "11"]
        assert one.emails(made) == {digest("bob")}

    @pytest.mark.parametrize(
        ("fault", "waits"),
        [
            (Fault.empty(503, times=3), 30),
            (Fault.html(502, times=3), 30),
            (Fault.error(2650, 1870145, times=3), 30),
            (Fault.error(190, 463, status=401), 300),
            (Fault.error(200, 1870090, status=403), 300),
        ],
        ids=["ill", "a page", "busy", "the token", "terms"],
    )
    def test_what_can_succeed_later_is_left_alone_for_a_while(self, one: World, fault: Fault, waits: float) -> None:
        one.change("enter", "ada")
        one.change("leave", "bob")
        one.meta.faults.add(replace(fault, match="/users", method="POST"))
        one.flush()
        assert len(one.gathering.backlog) == 1, "only what has failed is left"
        before = len(one.meta.calls)
        one.flush()
        assert len(one.meta.calls) == before
        wait(one, waits)
        one.flush()
        assert one.emails("11") == {digest("ada")}
        assert one.dead() == []

    def test_terms_that_are_not_accepted_keep_a_new_segment_waiting(self, one: World) -> None:
        one.change("enter", "ada", segment=Segment("vip", "VIP"))
        one.meta.refuse_terms("1")
        (failed,) = one.flush()
        assert "tos/?act=" in (failed.result.errors[0].action or "")
        assert len(one.gathering.backlog) == 1
        (row,) = one.log.rows
        assert (row["outcome"], row["segment_id"], row["error_subcode"]) == ("failed", "vip", 1870090)
        one.meta.accept_terms("1")
        wait(one, 300)
        one.flush()
        assert len(one.gathering.backlog) == 0

    def test_a_lost_answer_is_made_good_by_the_same_call(self, one: World) -> None:
        one.change("enter", "ada")
        one.meta.faults.add(Fault.dropped("after", match="/users", times=3))
        one.flush()
        assert len(one.gathering.backlog) == 1
        wait(one, 30)
        one.flush()
        assert (len(one.gathering.backlog), one.emails("11")) == (0, {digest("ada")})

    def test_no_call_is_made_when_the_messages_could_be_somebody_elses(self, one: World) -> None:
        one.change("enter", "ada")
        call = one.relay.outside.graph_api.transport

        def slow(method: str, url: str, **more: Any) -> Any:
            if method == "GET":
                one.clock.pass_(LEASE_S)
            return call(method, url, **more)

        one.relay.outside.graph_api.transport = slow
        one.flush()
        assert one.calls() == []
        assert len(one.gathering.backlog) == 1

    def test_a_connection_that_is_no_longer_configured(self, one: World) -> None:
        one.gather(Changes(connection="gone", segment=SEGMENT, action="add", schema=("EMAIL",), rows=[[digest("a")]]))
        (failed,) = one.flush()
        assert isinstance(failed.result.errors[0], ConfigurationError)
        assert len(one.gathering.backlog) == 1


class TestDead:
    def test_what_meta_refuses_for_good(self, one: World) -> None:
        one.change("enter", "ada")
        one.change("leave", "bob")
        one.meta.faults.add(Fault.error(100, method="POST", match="/users"))
        one.flush()
        ((letter, attributes),) = one.dead()
        assert (attributes["type"], attributes["reason"]) == ("requests", "Meta error 100: a parameter is not valid")
        assert letter["requests"][0]["body"]["payload"]["data"] == [[digest("ada")]]
        assert len(one.gathering.backlog) == 0

    def test_a_flagged_audience_as_the_messages_came(self, one: World) -> None:
        one.meta.set_operation_status("11", 471)
        one.change("enter", "ada", changed_at=5.0)
        one.flush()
        ((letter, attributes),) = one.dead()
        assert attributes["type"] == "changes"
        assert "471" in attributes["reason"]
        assert (letter["rows"], letter["changed_at"]) == ([[digest("ada")]], 5.0)
        assert one.calls() == []
        assert len(one.gathering.backlog) == 0

    @pytest.mark.parametrize("data", [b"", b"{", b"{}", b'{"form": 1, "rows": [["ada@example.com"]]}'])
    def test_what_cannot_be_read(self, one: World, data: bytes) -> None:
        one.gathering.publish([("key", data)], {})
        one.change("enter", "ada")
        one.flush()
        assert [sent for sent, _ in one.queue.dead] == [data or b"{}"] if one.queue else False
        assert (len(one.gathering.backlog), one.emails("11")) == (0, {digest("ada")})

    def test_without_a_queue_all_of_it_stays(self) -> None:
        with world(queue=False) as one:
            one.meta.add_audience("11", account="1", description=MARK, name="A")
            one.meta.set_operation_status("11", 471)
            one.change("enter", "ada")
            one.gathering.publish([("key", b"{")], {})
            one.flush()
            assert len(one.gathering.backlog) == 2


class TestDeleted:
    def test_it_is_made_anew_and_gets_what_is_new(self, one: World) -> None:
        one.change("enter", "ada")
        one.flush()
        del one.meta._audiences["11"]
        one.change("enter", "bob")
        one.flush()
        (made,) = one.meta.audiences()
        assert one.emails(made) == {digest("bob")}
        assert (one.dead(), len(one.gathering.backlog)) == ([], 0)

    def test_metas_own_word_for_it_counts_too(self, one: World) -> None:
        one.change("enter", "ada")
        one.flush()
        del one.meta._audiences["11"]
        one.change("enter", "bob")
        one.meta.faults.add(Fault.error(100, 1487366, match="/users"))
        one.flush()
        assert len(one.emails(one.meta.audiences()[0])) == 1

    def test_it_is_reported_by_setting_and_the_changes_stay(self) -> None:
        with world({"on_deleted": "report"}) as one:
            one.meta.add_audience("11", account="1", description=MARK)
            one.change("enter", "ada")
            one.flush()
            del one.meta._audiences["11"]
            one.change("enter", "bob")
            (told,) = one.flush()
            assert told.result.errors[-1].action is not None
            assert (one.meta.audiences(), len(one.gathering.backlog)) == ([], 1)
            one.restart()
            wait(one, 300)
            one.flush()
            assert (one.meta.audiences(), len(one.gathering.backlog)) == ([], 1)

    def test_one_that_may_not_be_written_to_is_not_deleted(self, one: World) -> None:
        one.change("enter", "ada")
        one.meta.faults.add(Fault.error(100, 33, match="/users"))
        one.flush()
        assert one.meta.audiences() == ["11"]
        ((_, attributes),) = one.dead()
        assert "100/33" in attributes["reason"]


class TestGathering:
    def test_without_one_there_is_nothing_to_flush(self) -> None:
        with world(gathers=False) as one, pytest.raises(ConfigurationError, match="without a gathering"):
            one.flush()

    def test_one_that_does_not_answer_keeps_what_it_has(self, one: World) -> None:
        one.change("enter", "ada")
        one.gathering.fails = True
        with pytest.raises(QueueError):
            one.flush()
        one.gathering.fails = False
        one.flush()
        assert one.emails("11") == {digest("ada")}

    def test_a_full_round_is_followed_by_another(self, one: World) -> None:
        one.gather(
            Changes(
                connection="acme", segment=SEGMENT, action="add", schema=("EMAIL",), rows=50_000 * [[digest("ada")]]
            )
        )
        for number in range(1_000):
            one.change("enter", f"p{number}")
        one.flush()
        assert [len(call.body["payload"]["data"]) for call in one.calls()] == [1_000, 1]
        assert len(one.gathering.backlog) == 0

    def test_one_that_takes_no_acknowledgement_has_the_calls_logged_and_made_again(self, one: World) -> None:
        one.change("enter", "ada")
        call = one.relay.outside.graph_api.transport

        def then_fail(method: str, url: str, **more: Any) -> Any:
            one.gathering.fails = method == "POST"
            return call(method, url, **more)

        one.relay.outside.graph_api.transport = then_fail
        with pytest.raises(QueueError):
            one.flush()
        assert [row["outcome"] for row in one.log.rows] == ["delivered"]
        one.gathering.fails = False
        one.relay.outside.graph_api.transport = call
        wait(one, LEASE_S)
        one.flush()
        assert (one.emails("11"), len(one.gathering.backlog)) == ({digest("ada")}, 0)

    def test_one_that_is_not_full_by_the_next_flush(self, one: World) -> None:
        call = one.relay.outside.graph_api.transport

        def meanwhile(method: str, url: str, **more: Any) -> Any:
            if method == "POST":
                one.change("enter", f"p{len(one.meta.calls)}")
            return call(method, url, **more)

        one.relay.outside.graph_api.transport = meanwhile
        one.change("enter", "ada")
        one.flush()
        assert len(one.gathering.backlog) == 1


PEOPLE: Final = [f"p{number}" for number in range(6)]
FAULTS: Final = ("crash", "lost", "applied", "ill", "throttle", "lease")


class History:
    """A small world drawn from a seed: changes and flushes under faults; in the end all is as it was last said."""

    def __init__(self, seed: int) -> None:
        self.chance = random.Random(seed)
        self.rates = {fault: self.chance.choice([0.0, 0.05, 0.2]) for fault in FAULTS}
        self.faulty = True
        self.last: dict[tuple[str, str], str] = {}

    def fails(self, fault: str) -> bool:
        return self.faulty and self.chance.random() < self.rates[fault]

    def port(self, what: str) -> None:
        if what not in {"publish", "hold"} and self.fails("crash"):
            raise CrashError

    def play(self) -> World:
        with world(port=self.port) as one:
            for number, ident in enumerate(("a", "b")):
                one.meta.add_audience(f"1{number}", account="1", description=f"Meta Relay segment: {ident}")
            for _ in range(40):
                self.step(one)
            self.faulty = False
            one.meta.faults.clear()
            one.meta.release("1")
            one.restart()
            for _ in range(10):
                wait(one, LEASE_S)
                one.flush()
            return one

    def step(self, one: World) -> None:
        for _ in range(self.chance.randrange(4)):
            who, ident = self.chance.choice(PEOPLE), self.chance.choice("ab")
            change = self.chance.choice(["enter", "leave"])
            self.last[ident, who] = change
            for _ in range(self.chance.choice([1, 1, 2])):
                one.change(change, who, segment=Segment(ident, ident))
        if self.fails("throttle"):
            one.meta.throttle("1", minutes=self.chance.choice([1, 20]))
        for fault, made in (
            ("lost", Fault.dropped("before", times=3)),
            ("applied", Fault.dropped("after", times=3)),
            ("ill", Fault.empty(503, times=3)),
        ):
            if self.fails(fault):
                one.meta.faults.add(made)
        try:
            one.flush()
        except CrashError:
            one.restart()
        except QueueError:
            pass
        wait(one, self.chance.choice([1, 60, LEASE_S if self.fails("lease") else 30]))


@pytest.mark.parametrize("seed", range(40))
def test_whatever_happens_the_last_word_counts(seed: int) -> None:
    history = History(seed)
    one = history.play()
    assert len(one.gathering.backlog) == 0
    for number, ident in enumerate("ab"):
        entered = {digest(who) for (where, who), change in history.last.items() if where == ident and change == "enter"}
        assert one.emails(f"1{number}") == entered
    assert one.dead() == []
