"""Changes on their way to an audience: each answer of Meta's guide for sessions, and what the operator is told."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any, Final, Literal

import pytest

from lib.errors import RateLimitError, Retry
from lib.segments import Segment
from tests.local.faults import Fault
from tests.segment_world import World, digest, world

Fate = Literal["stays", "dead"]

TERMS: Final = "tos/?act="
UNFLAG: Final = "appeal in Audience Manager, or make a new audience"
#: Meta's answer to a batch, what becomes of it, when it can succeed, what is said, and what the operator has to do.
ANSWERS: Final[list[tuple[Fault, Fate, Retry, str, str | None]]] = [
    (Fault.error(2650), "dead", Retry.NEVER, "could not be updated", "Make a new audience"),
    (Fault.error(2650, 1870144), "dead", Retry.NEVER, "too large to be replaced", "by add and remove"),
    (Fault.error(2650, 1870145), "stays", Retry.LATER, "busy with another update", None),
    (Fault.error(2650, 1870147), "dead", Retry.NEVER, "lacks its first batch", "Start the replacement again"),
    (Fault.error(2650, 1870148), "stays", Retry.LATER, "not fully updated yet", None),
    (Fault.error(2650, 1870158), "dead", Retry.NEVER, "more than 90 minutes", "with the action add"),
    (Fault.error(2650, 1870159), "dead", Retry.NEVER, "finished already", "Compare the size of the audience"),
    (Fault.error(803), "stays", Retry.LATER, "too new, or its id is wrong", None),
    (Fault.error(200, 1870090, status=403), "stays", Retry.ONCE_A_PERSON_ACTS, "terms are not accepted", TERMS),
    (Fault.error(1870090), "stays", Retry.ONCE_A_PERSON_ACTS, "terms are not accepted", TERMS),
    (Fault.error(200, 1870034), "stays", Retry.ONCE_A_PERSON_ACTS, "terms are not accepted", TERMS),
    (Fault.error(2663), "stays", Retry.ONCE_A_PERSON_ACTS, "terms are not accepted", TERMS),
    (Fault.error(100, 1713230), "dead", Retry.NEVER, "flagged and takes no uploads", UNFLAG),
    (Fault.error(100, 1713228), "dead", Retry.NEVER, "flagged and cannot be edited", UNFLAG),
    (Fault.error(200, 1870047), "dead", Retry.NEVER, "too small to remove people", "Replace the audience"),
    (Fault.error(80003, 2446079), "stays", Retry.LATER, "too many calls for the account's audiences", "Full access"),
    (Fault.error(190, 463, status=401), "stays", Retry.ONCE_A_PERSON_ACTS, "has expired", "never-expiring"),
    (Fault.error(200), "stays", Retry.ONCE_A_PERSON_ACTS, "a permission is missing", "Manage campaigns"),
]
_IDS: Final = [
    "/".join(str(row[0].body["error"][key]) for key in ("code", "error_subcode") if key in row[0].body["error"])  # type: ignore[call-overload]
    for row in ANSWERS
]


@pytest.fixture
def one() -> Iterator[World]:
    with world() as made:
        made.meta.add_audience("11", account="1", description="Meta Relay segment: 44A23B49")
        yield made


@pytest.mark.parametrize(("fault", "fate", "retry", "meaning", "action"), ANSWERS, ids=_IDS)
def test_what_the_operator_is_told(
    one: World, fault: Fault, fate: Fate, retry: Retry, meaning: str, action: str | None
) -> None:
    one.change("enter", "ada")
    one.meta.faults.add(replace(fault, match="/users", times=3))
    (sent,) = one.flush()
    (error,) = sent.result.errors
    assert meaning in error.message
    assert (action is None) == (error.action is None)
    assert action is None or action in (error.action or "")
    assert sent.result.outcome == "failed"
    (row,) = one.log.rows
    assert (row["outcome"], row["error_message"], row["segment_id"]) == ("failed", error.message, "44A23B49")
    held, dead = len(one.gathering.backlog), one.dead()
    assert (held, len(dead)) == ((1, 0) if fate == "stays" else (0, 1))
    if dead:
        assert dead[0][1]["reason"] == error.message
        assert digest("ada") in str(dead[0][0])
    assert error.retry is retry


#: Codes of operation_status (CA-node), and whether people are sent to the audience.
@pytest.mark.parametrize(
    ("status", "is_sent"),
    [(0, True), (100, True), (200, True), (400, True), (410, True), (411, True), (412, True), (441, True), (450, True),
     (470, True), (471, False), (500, True)],
)  # fmt: skip
def test_of_all_statuses_only_the_flag_keeps_people_out(one: World, status: int, is_sent: bool) -> None:
    one.meta.set_operation_status("11", status)
    one.change("enter", "ada")
    (sent,) = one.flush()
    assert (sent.result.outcome, len(one.emails("11"))) == (("delivered", 1) if is_sent else ("failed", 0))
    if not is_sent:
        assert UNFLAG in (sent.result.errors[0].action or "")


def test_while_the_audience_is_replaced_changes_wait(one: World) -> None:
    """Meta takes no adds nor removes meanwhile (CA-guide): 2650/1870145, and no change is lost."""
    body = {
        "session": {"session_id": 5, "batch_seq": 1, "last_batch_flag": False},
        "payload": {"schema": ["EMAIL"], "data": [[digest("bob")]]},
    }
    connection = one.relay.config.connections["acme"]
    one.relay.outside.graph_api.change("POST", "11/usersreplace", body, connection)
    one.change("enter", "ada")
    (sent,) = one.flush()
    assert "1870145" in sent.result.errors[0].message
    body["session"] = {"session_id": 5, "batch_seq": 2, "last_batch_flag": True}
    one.relay.outside.graph_api.change("POST", "11/usersreplace", body, connection)
    one.clock.pass_(30)
    one.flush()
    assert one.emails("11") == {digest("ada"), digest("bob")}


def test_an_audience_that_is_too_new_is_waited_for(one: World) -> None:
    """Meta says "(#803) Some of the aliases you requested do not exist: users", right after its creation."""
    one.meta.not_ready_after_create = 5
    one.change("enter", "ada", segment=Segment("vip", "VIP"))
    one.flush()
    assert len(one.gathering.backlog) == 1
    one.clock.pass_(30)
    one.flush()
    assert len(one.gathering.backlog) == 0
    assert len(one.meta.audiences()) == 2


def test_what_fails_in_part_is_left_in_part(one: World) -> None:
    """After "please reduce the amount of data" halves pass, or fail, each by itself."""
    call = one.relay.outside.graph_api.transport
    seen = 0

    def the_second_half_fails(method: str, url: str, **more: Any) -> Any:
        nonlocal seen
        if method == "POST":
            seen += 1
            if seen > 4:
                one.meta.faults.add(Fault.empty(503, match="/users"))
        return call(method, url, **more)

    one.change("enter", "ada", "bob", "cleo", "dora")
    one.meta.faults.add(Fault.error(1, status=500, match="/users", times=3))
    one.relay.outside.graph_api.transport = the_second_half_fails
    (sent,) = one.flush()
    assert len(sent.left) == 2
    assert len(one.emails("11")) == 2
    one.relay.outside.graph_api.transport = call
    one.clock.pass_(30)
    one.flush()
    assert len(one.emails("11")) == 4


def test_what_stops_removals_does_not_stop_additions(one: World) -> None:
    one.change("leave", "ada")
    one.change("enter", "bob")
    one.meta.faults.add(Fault.error(200, 1870047, match="/users", method="DELETE"))
    (sent,) = one.flush()
    assert sent.result.outcome == "partial"
    assert one.emails("11") == {digest("bob")}
    ((letter, _),) = one.dead()
    assert [request["action"] for request in letter["requests"]] == ["remove"]


def test_a_dead_letter_that_the_topic_does_not_take_leaves_its_people(one: World) -> None:
    assert one.queue is not None

    def refuses(*_: Any, **__: Any) -> None:
        from lib.errors import QueueError  # noqa: PLC0415 - here alone

        raise QueueError("not taken")

    one.queue.publish = refuses  # type: ignore[method-assign]
    one.change("enter", "ada")
    one.meta.faults.add(Fault.error(100, match="/users"))
    one.flush()
    assert len(one.gathering.backlog) == 1
    assert one.dead() == []


def test_how_long_to_wait_is_metas_to_say(one: World) -> None:
    one.change("enter", "ada")
    one.meta.throttle("1", minutes=7)
    (sent,) = one.flush()
    ((_, error),) = sent.left
    assert isinstance(error, RateLimitError)
    assert error.retry_after == pytest.approx(420, abs=60)
