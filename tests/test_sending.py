"""Calls on their way: what is made, what waits, what is dead, and what the log says of each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import orjson
import pytest

from lib.audiences import Batch
from lib.delivery_log import columns
from lib.errors import GraphAPIUnreachableError, QueueError, RateLimitError
from lib.graph_request import GraphRequest, audience_call, parse_requests, session
from lib.outcomes import Result
from lib.ports import Reply
from lib.queue import MAX_MESSAGE_BYTES
from lib.sending import Origin, Sending, error_columns
from tests import seams
from tests.manual_clock import ManualClock

DIGEST: Final = "ab" * 32


def call(*, rows: int = 4, audience: str = "1001", number: int = 1, last: bool = True, width: int = 1) -> GraphRequest:
    return audience_call(
        Batch(("EMAIL",) * width, [(f"{row:064x}",) * width for row in range(rows)], range(rows)),
        action="add",
        connection="acme",
        destination={"audience_id": audience},
        session=session("s", batch_seq=number, last=last),
        batch_number=number,
        ids={},
    )


@dataclass
class Bench:
    """A `Sending` and what it touches."""

    script: seams.Script = field(default_factory=seams.Script)
    queue: seams.Kept | None = field(default_factory=seams.Kept)
    log: seams.Log = field(default_factory=seams.Log)
    clock: ManualClock = field(default_factory=ManualClock)

    def sending(self, *, deadline: float | None = None, **more: Any) -> Sending:
        relay = seams.relay(transport=self.script, queue=self.queue, log=self.log, clock=self.clock.clock())
        started = self.clock.monotonic()
        origin = Origin(
            request_id="r",
            trace_id="t",
            caller="c",
            kind="audiences",
            started=started,
            deadline=None if deadline is None else started + deadline,
        )
        return Sending(outside=relay.outside, origin=origin, **more)

    def send(self, calls: Sequence[GraphRequest], **more: Any) -> tuple[Sending, Result]:
        """Send batch after batch to one destination."""
        sending = self.sending(**more)
        result = Result(destination=calls[0].destination)
        for one in calls:
            sending.dispatch([(result, one)])
        sending.finish()
        return sending, result

    def waiting(self) -> list[int]:
        """Return how many rows each message holds."""
        assert self.queue is not None
        return [len(one.rows) for data, _ in self.queue.messages for one in parse_requests(orjson.loads(data)).requests]


class TestAfterAFailure:
    def test_the_batches_that_follow_are_not_tried_and_wait_too(self) -> None:
        bench = Bench(seams.Script({"1001": [seams.OK, seams.ILL, seams.ILL, seams.ILL]}))
        _, result = bench.send([call(number=number) for number in (1, 2, 3, 4)])
        assert len(bench.script.sizes) == 1 + 3
        assert result.parts == ["delivered", "queued", "queued", "queued"]
        assert result.outcome == "queued"
        assert len(result.errors) == 1
        assert bench.waiting() == [4, 4, 4]

    def test_the_batches_that_follow_one_refused_for_good_are_refused_too(self) -> None:
        bench = Bench(seams.Script({"1001": [seams.OK, seams.REFUSED]}))
        sending, result = bench.send([call(number=number) for number in (1, 2, 3)])
        assert len(bench.script.sizes) == 2
        assert result.parts == ["delivered", "failed", "failed"]
        assert (bench.waiting(), sending.waiting) == ([], [])

    def test_in_deliver_each_becomes_a_dead_letter(self) -> None:
        bench = Bench(seams.Script({"1001": [seams.REFUSED]}))
        bench.send([call(number=number) for number in (1, 2)], bury=True)
        assert bench.queue is not None
        assert len(bench.queue.dead) == 2
        assert {attributes["reason"] for _, attributes in bench.queue.dead} == {
            "Meta error 100/1713230: the audience is flagged and takes no uploads"
        }

    def test_other_destinations_go_on(self) -> None:
        bench = Bench(seams.Script({"1001": [seams.REFUSED]}))
        sending = bench.sending()
        results = [Result(destination={"audience_id": audience}) for audience in ("1001", "1002")]
        for number in (1, 2):
            sending.dispatch(
                [(result, call(audience=result.destination["audience_id"], number=number)) for result in results]
            )
        assert [result.outcome for result in results] == ["failed", "delivered"]

    @pytest.mark.parametrize("reply", [seams.ILL, seams.NO_TOKEN, seams.THROTTLED])
    def test_without_a_queue_they_are_kept_as_waiting(self, reply: Reply) -> None:
        bench = Bench(seams.Script({"1001": [reply] * 3}), queue=None)
        sending, result = bench.send([call(number=number) for number in (1, 2)])
        assert result.outcome == "failed"
        assert [len(request.rows) for request, _ in sending.waiting] == [4, 4]

    def test_a_message_that_pubsub_keeps_is_not_published_anew(self) -> None:
        bench = Bench(seams.Script({"1001": [seams.ILL] * 3}))
        sending, result = bench.send([call()], redeliver=True)
        assert bench.waiting() == []
        assert (len(sending.waiting), result.outcome) == (1, "failed")

    def test_what_the_queue_does_not_take_waits_here(self) -> None:
        @dataclass
        class Refusing(seams.Kept):
            def publish(self, *_: object, **__: object) -> None:
                raise QueueError("not taken")

        bench = Bench(seams.Script({"1001": [seams.ILL] * 3}), queue=Refusing())
        sending, result = bench.send([call()])
        assert (result.outcome, len(sending.waiting)) == ("failed", 1)
        assert [type(error).__name__ for error in result.errors] == ["TransientGraphAPIError", "QueueError"]


class TestHalving:
    """Where Meta wants less at once, it gets halves, and quarters; if it still fails, it is Meta that is ill."""

    def test_halves(self) -> None:
        bench = Bench(seams.Script({"1001": [seams.TOO_MUCH] * 3}))
        _, result = bench.send([call(rows=5)])
        assert [size for _, size in bench.script.sizes] == [5, 5, 5, 2, 3]
        assert result.outcome == "delivered"
        assert [row["rows_sent"] for row in bench.log.rows] == [2, 3]
        assert len({row["row_id"] for row in bench.log.rows}) == 2

    def test_an_outage_that_says_so_is_not_asked_row_by_row(self) -> None:
        bench = Bench(seams.Script({"1001": [seams.TOO_MUCH] * 100}))
        bench.send([call(rows=1_000)])
        assert [size for _, size in bench.script.sizes] == [1_000] * 3 + [500] * 3 + [250] * 3
        assert sum(bench.waiting()) == 1_000

    def test_a_single_row_is_not_halved(self) -> None:
        bench = Bench(seams.Script({"1001": [seams.TOO_MUCH] * 3}))
        bench.send([call(rows=1)])
        assert bench.waiting() == [1]


class TestTime:
    def test_what_is_left_at_the_deadline_waits(self) -> None:
        clock = ManualClock()
        bench = Bench(seams.Script(clock=clock, seconds=1.0), clock=clock)
        _, result = bench.send([call(number=number) for number in range(1, 6)], deadline=2.5)
        assert result.parts == ["delivered"] * 3 + ["queued"] * 2
        assert isinstance(result.errors[0], GraphAPIUnreachableError)

    def test_a_throttled_call_waits_for_its_time(self) -> None:
        bench = Bench(seams.Script({"1001": [seams.THROTTLED]}))
        bench.send([call()])
        assert bench.queue is not None
        ((data, _),) = bench.queue.messages
        assert parse_requests(orjson.loads(data)).not_before == bench.clock.now() + 90

    def test_any_other_can_go_at_once(self) -> None:
        bench = Bench(seams.Script({"1001": [seams.ILL] * 3}))
        bench.send([call()])
        assert bench.queue is not None
        ((data, _),) = bench.queue.messages
        assert parse_requests(orjson.loads(data)).not_before == 0


class TestMessages:
    def test_one_that_is_too_large_becomes_several(self) -> None:
        bench = Bench()
        bench.send([call(rows=10_000, width=13)], mode="queue")
        assert bench.queue is not None
        assert sorted(bench.waiting()) == [5_000, 5_000]
        assert all(len(data) <= MAX_MESSAGE_BYTES for data, _ in bench.queue.messages)
        sessions = [
            one.body["session"]["session_id"]
            for data, _ in bench.queue.messages
            for one in parse_requests(orjson.loads(data)).requests
        ]
        assert len(set(sessions)) == 2

    def test_a_batch_of_a_session_becomes_one_of_its_own(self) -> None:
        bench = Bench()
        bench.send([call(number=2, last=False)], mode="queue")
        assert bench.queue is not None
        ((data, attributes),) = bench.queue.messages
        (one,) = parse_requests(orjson.loads(data)).requests
        assert (one.body["session"]["batch_seq"], one.body["session"]["last_batch_flag"]) == (1, True)
        assert one.body["session"]["session_id"] != call().body["session"]["session_id"]
        assert attributes == {"type": "requests", "trace-id": "t"}


class TestLog:
    def test_a_row_for_each_call(self) -> None:
        bench = Bench(seams.Script({"1001": [seams.OK, seams.REFUSED]}))
        bench.send([call(number=number) for number in (1, 2)])
        first, second = bench.log.rows
        assert first.items() >= {"outcome": "delivered", "rows_sent": 4, "batch": 1, "destination": "1001"}.items()
        assert second.items() >= {"outcome": "failed", "error_code": 100, "error_subcode": 1713230}.items()
        assert "rows_sent" not in second
        assert first.keys() | second.keys() <= columns()

    def test_what_is_shown_has_none(self) -> None:
        bench = Bench()
        _, result = bench.send([call()], mode="show")
        assert bench.log.rows == []
        assert bench.script.sizes == []
        assert result.requests == [{"method": "POST", "path": "/v26.0/1001/users", "body": call().body}]

    def test_the_wait_of_a_throttled_call_in_minutes(self) -> None:
        error = RateLimitError("too many calls", code=17)
        error.retry_after = 90.0
        assert error_columns(error)["regain_minutes"] == 1.5

    def test_no_error_has_no_columns(self) -> None:
        assert error_columns(None) == {}


class TestDebugging:
    def test_rows_are_shortened_and_cut(self) -> None:
        _, result = Bench().send([call(rows=12)], debug=True)
        assert result.requests is not None
        payload = result.requests[0]["body"]["payload"]
        assert payload["data"] == [["000000…"]] * 10
        assert payload["rows_not_shown"] == 2
        assert result.answers is not None
        assert result.answers[0]["status"] == 200

    def test_the_call_itself_keeps_its_rows(self) -> None:
        request = call(rows=12)
        Bench().send([request], debug=True)
        assert len(request.rows) == 12
        assert request.rows[11] == (f"{11:064x}",)
