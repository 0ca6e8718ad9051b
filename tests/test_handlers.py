"""What the two functions do, with ports in a test's hand; test_receive and test_deliver go through main.py."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lib.errors import ConfigurationError, InvalidRequestError, QueueError
from lib.handlers import MAX_BODY_BYTES, PATIENCE, HTTPRequest, Message, Relay, decoded, trace_id_of
from lib.ports import Reply
from tests import seams
from tests.functions import add, check_shape, people
from tests.log_records import log_records
from tests.manual_clock import ManualClock

JSON: Final = {"content-type": "application/json"}


def ask(relay: Relay, **more: Any) -> tuple[int, dict[str, Any], Mapping[str, str]]:
    asked: dict[str, Any] = {"method": "POST", "path": "/audiences", "headers": JSON, "read_body": lambda: b"{}"}
    answer = relay.receive(HTTPRequest(**{**asked, **more}))
    return answer.status, orjson.loads(answer.body), answer.headers


def unread() -> bytes:
    raise AssertionError("the body is read")


class TestTraceId:
    @pytest.mark.parametrize(
        ("headers", "expected"),
        [
            ({}, None),
            ({"trace-id": "a"}, "a"),
            ({"trace-id": "x" * 128}, "x" * 128),
            ({"trace-id": "x" * 129}, None),
            ({"trace-id": "a\nb"}, None),
            ({"trace-id": "é"}, None),
            ({"traceparent": f"00-{'a' * 32}-{'b' * 16}-01"}, "a" * 32),
            ({"traceparent": f"cc-{'a' * 32}-{'b' * 16}-01-what-will-be"}, "a" * 32),
            ({"traceparent": f"00-{'A' * 32}-{'b' * 16}-01"}, None),
            ({"googclient_traceparent": f"00-{'a' * 32}-{'b' * 16}-01"}, "a" * 32),
            ({"x-cloud-trace-context": f"{'a' * 32}/1;o=1"}, "a" * 32),
            ({"x-cloud-trace-context": "/1"}, None),
        ],
    )
    def test_of_headers_and_attributes(self, headers: Mapping[str, str], expected: str | None) -> None:
        assert trace_id_of(headers) == expected

    @given(st.text(), st.text(), st.text())
    def test_it_is_safe_in_a_header_and_a_line(self, stated: str, parent: str, google: str) -> None:
        found = trace_id_of({"trace-id": stated, "traceparent": parent, "x-cloud-trace-context": google})
        assert found is None or (found.isascii() and found.isprintable() and 0 < len(found) <= 128)


class TestBodies:
    def test_a_body_that_is_too_large_by_its_own_word_is_not_read(self) -> None:
        relay = seams.relay(transport=seams.Meta(), queue=None)
        headers = {**JSON, "content-length": str(MAX_BODY_BYTES + 1)}
        assert ask(relay, headers=headers, read_body=unread)[0] == 413

    def test_nor_is_one_of_another_type_or_of_another_path(self) -> None:
        relay = seams.relay(transport=seams.Meta(), queue=None)
        assert ask(relay, headers={}, read_body=unread)[0] == 415
        assert ask(relay, path="/", read_body=unread)[0] == 404
        assert ask(relay, method="GET", read_body=unread)[0] == 405

    def test_health_reads_none(self) -> None:
        relay = seams.relay(transport=seams.Meta(), queue=None)
        assert ask(relay, path="/x/health", method="GET", read_body=unread)[:2] == (200, {"status": "ok"})

    @pytest.mark.parametrize("length", ["5", "3", "0", "4" * 30])
    def test_one_that_is_not_as_long_as_its_header_says_did_not_come_whole(self, length: str) -> None:
        relay = seams.relay(transport=seams.Meta(), queue=None)
        status, answer, _ = ask(relay, headers={**JSON, "content-length": length}, read_body=lambda: b"{} \n")
        assert status in {400, 413}
        assert "the body" in answer["error"]["message"]

    def test_one_whose_reading_fails_did_not_come_whole(self) -> None:
        def broken() -> bytes:
            raise OSError("a chunk is broken")

        status, answer, _ = ask(seams.relay(transport=seams.Meta(), queue=None), read_body=broken)
        assert (status, answer["error"]["message"]) == (400, "the body did not come whole")


class TestFaultsOfOurs:
    """What nobody has thought of: a 500 in the one shape, the frames in the log, and nothing of the values."""

    @staticmethod
    def raising(*_: object, **__: object) -> Reply:
        raise ZeroDivisionError("ada@example.com")

    def test_receive_answers_500(self) -> None:
        relay = seams.relay(transport=self.raising, queue=seams.Kept())
        with log_records() as records:
            status, answer, _ = ask(relay, read_body=lambda: orjson.dumps(add()))
        check_shape(answer)
        assert (status, answer["outcome"], answer["error"]["type"]) == (500, "failed", "RelayError")
        assert answer["trace_id"] in answer["error"]["trace_id"]
        assert [record.exc_info is not None for record in records] == [True]

    def test_deliver_keeps_the_message(self) -> None:
        relay = seams.relay(transport=self.raising, queue=seams.Kept())
        with log_records() as records:
            assert not relay.deliver(seams.message(orjson.dumps(add())))
        assert any(record.exc_info for record in records)

    def test_what_is_no_exception_goes_through(self) -> None:
        def dying(*_: object, **__: object) -> Reply:
            raise KeyboardInterrupt

        relay = seams.relay(transport=dying, queue=seams.Kept())
        with pytest.raises(KeyboardInterrupt):
            relay.deliver(seams.message(orjson.dumps(add())))


class TestPatience:
    def test_with_a_queue_a_caller_waits_for_meta_no_longer_than_server_side_gtm_does(self) -> None:
        clock = ManualClock()
        script = seams.Script(clock=clock, seconds=1.0)
        relay = seams.relay(transport=script, queue=seams.Kept(), clock=clock.clock())
        status, answer, _ = ask(relay, read_body=lambda: orjson.dumps(add(users=people(60_000))))
        assert (status, answer["outcome"]) == (202, "queued")
        assert clock.monotonic() - 1_000 <= PATIENCE + 1

    def test_without_one_it_goes_on_to_its_end(self) -> None:
        clock = ManualClock()
        script = seams.Script(clock=clock, seconds=1.0)
        relay = seams.relay(transport=script, queue=None, clock=clock.clock())
        status, answer, _ = ask(relay, read_body=lambda: orjson.dumps(add(users=people(60_000))))
        assert (status, answer["outcome"]) == (200, "delivered")
        assert answer["elapsed_ms"] == 6_000

    def test_a_message_has_all_its_time(self) -> None:
        clock = ManualClock()
        script = seams.Script(clock=clock, seconds=1.0)
        relay = seams.relay(transport=script, queue=seams.Kept(), clock=clock.clock())
        assert relay.deliver(seams.message(orjson.dumps(add(users=people(60_000)))))
        assert len(script.sizes) == 6


class TestKeys:
    def relay(self, keys: Mapping[str, list[str]], broken: frozenset[str] = frozenset()) -> Relay:
        @dataclass
        class Some(seams.Values):
            def access(self, name: str, *, refresh: bool = False) -> bytes:
                if name in broken:
                    raise ConfigurationError("cannot be read")
                return super().access(name, refresh=refresh)

        callers = {name: {"keys": [f"env:{key}" for key in values]} for name, values in keys.items()}
        config = {**seams.CONFIG, "callers": callers}
        return seams.relay(transport=seams.Meta(), queue=None, secrets=Some(), config=config)

    def test_each_caller_has_its_own(self) -> None:
        relay = self.relay({"a": ["KEY_A"], "b": ["KEY_B1", "KEY_B2"]})
        for key, status in (("KEY_A", 200), ("KEY_B1", 200), ("KEY_B2", 200), ("KEY_C", 401), ("", 401)):
            assert seams.post(relay, add(), authorization=f"Bearer {key}").status == status

    def test_one_that_cannot_be_read_is_the_operators_and_locks_nobody_else_out(self) -> None:
        relay = self.relay({"a": ["KEY_A"], "b": ["KEY_B"]}, frozenset({"env:KEY_A"}))
        assert seams.post(relay, add(), authorization="Bearer KEY_B").status == 200
        answer = seams.post(relay, add(), authorization="Bearer KEY_A")
        assert answer.status == 500
        assert b"KEY" not in answer.body

    def test_without_credentials_no_key_is_read(self) -> None:
        relay = self.relay({"a": ["KEY_A"]}, frozenset({"env:KEY_A"}))
        assert seams.post(relay, add()).status == 401


class TestDecoded:
    @given(st.binary())
    def test_what_was_published(self, data: bytes) -> None:
        assert decoded(base64.b64encode(data).decode()) == data

    @pytest.mark.parametrize("data", [None, 7, b"e30=", {}, [], "e30", "!", "é", "e3 0=", "e30=\n"])
    def test_anything_else(self, data: object) -> None:
        with pytest.raises(InvalidRequestError) as caught:
            decoded(data)
        assert caught.value.field == "message.data"


class TestDelivering:
    def test_all_of_a_message_waits_and_it_stays_as_it_is(self) -> None:
        queue = seams.Kept()
        relay = seams.relay(transport=seams.Script({"1001": [seams.NO_TOKEN] * 9}), queue=queue)
        seams.post(relay, add(optimistic=True))
        ((data, attributes),) = queue.messages
        assert not relay.deliver(Message(data=base64.b64encode(data).decode(), attributes=attributes, message_id="1"))
        assert len(queue.messages) == 1

    def test_of_two_calls_the_one_that_failed_alone_goes_back(self) -> None:
        queue = seams.Kept()
        script = seams.Script({"1001": [seams.NO_TOKEN]})
        relay = seams.relay(transport=script, queue=queue)
        seams.post(relay, add("1001", "1002", optimistic=True))
        first, second = (orjson.loads(data) for data, _ in queue.messages)
        both = {**first, "requests": first["requests"] + second["requests"]}
        queue.messages.clear()
        assert relay.deliver(seams.message(orjson.dumps(both), type="requests"))
        ((data, _),) = queue.messages
        assert [one["path"] for one in orjson.loads(data)["requests"]] == ["1001/users"]
        assert script.sizes == [("1001", 1), ("1002", 1)]

    def test_where_it_cannot_go_back_the_whole_message_stays(self) -> None:
        @dataclass
        class Full(seams.Kept):
            full: bool = False

            def publish(self, data: bytes, attributes: Mapping[str, str], *, dead_letter: bool = False) -> None:
                if self.full:
                    raise QueueError("not taken")
                super().publish(data, attributes, dead_letter=dead_letter)

        queue = Full()
        relay = seams.relay(transport=seams.Script({"1001": [seams.NO_TOKEN]}), queue=queue)
        seams.post(relay, add("1001", "1002", optimistic=True))
        first, second = (orjson.loads(data) for data, _ in queue.messages)
        both = {**first, "requests": first["requests"] + second["requests"]}
        queue.full = True
        assert not relay.deliver(seams.message(orjson.dumps(both), type="requests"))

    def test_the_time_of_a_throttled_message_is_kept_without_a_call(self) -> None:
        clock = ManualClock()
        queue = seams.Kept()
        script = seams.Script({"1001": [seams.THROTTLED]})
        relay = seams.relay(transport=script, queue=queue, clock=clock.clock())
        assert seams.post(relay, add()).status == 202
        ((data, attributes),) = queue.messages
        message = Message(data=base64.b64encode(data).decode(), attributes=attributes, message_id="1")
        for seconds, done in ((89, False), (1, True)):
            clock.pass_(seconds)
            assert relay.deliver(message) is done
        assert len(script.sizes) == 2

    def test_a_message_of_a_release_that_has_gone(self) -> None:
        """31: the form that release 1.0.0 has written, kept as it was."""
        row = ["f" * 64]
        old = {
            "form": 1,
            "kind": "audiences",
            "trace_id": "t",
            "caller": "sgtm",
            "not_before": 0,
            "requests": [
                {
                    "method": "DELETE",
                    "path": "1001/users",
                    "connection": "acme",
                    "destination": {"audience_id": "1001"},
                    "action": "remove",
                    "batch": 2,
                    "body": {
                        "payload": {"schema": ["EMAIL"], "data": [row]},
                        "session": {"session_id": 7, "batch_seq": 1, "last_batch_flag": True},
                    },
                }
            ],
        }
        meta, log = seams.Meta(), seams.Log()
        relay = seams.relay(transport=meta, queue=seams.Kept(), log=log)
        assert relay.deliver(seams.message(orjson.dumps(old), type="requests"))
        assert [body["payload"]["data"] for body in meta.bodies] == [[row]]
        assert log.rows[0].items() >= {"action": "remove", "caller": "sgtm", "batch": 2, "trace_id": "t"}.items()

    def test_and_of_one_to_come_is_dead_and_can_be_replayed_by_it(self) -> None:
        queue = seams.Kept()
        relay = seams.relay(transport=seams.Meta(), queue=queue)
        data = b'{"form": 2, "calls": []}'
        assert relay.deliver(seams.message(data, type="requests"))
        assert [(letter, attributes["reason"][:4]) for letter, attributes in queue.dead] == [(data, "form")]


class TestLines:
    """Each line has the trace, also those that a thread of another pool writes."""

    @pytest.mark.parametrize("outcome", ["delivered", "refused"])
    def test_of_a_request(self, outcome: str, capsys: pytest.CaptureFixture[str]) -> None:
        replies: dict[str, list[Any]] = {} if outcome == "delivered" else {"1001": [seams.REFUSED]}
        config = {**seams.CONFIG, "log_level": "DEBUG"}
        relay = seams.relay(transport=seams.Script(replies), queue=None, config=config)
        seams.post(relay, add(), trace_id="t-1")
        lines = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
        assert lines
        assert {line["trace_id"] for line in lines} == {"t-1"}

    def test_an_error_of_meta_is_one_that_a_person_sees(self, capsys: pytest.CaptureFixture[str]) -> None:
        relay = seams.relay(transport=seams.Script({"1001": [seams.REFUSED]}), queue=None)
        seams.post(relay, add())
        (line,) = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
        assert line["severity"] == "ERROR"
        assert line["error"]["action"].startswith("Meta has flagged the audience")

    def test_a_mistake_of_the_caller_is_a_warning(self, capsys: pytest.CaptureFixture[str]) -> None:
        relay = seams.relay(transport=seams.Meta(), queue=None, config={**seams.CONFIG, "log_level": "WARNING"})
        seams.post(relay, b"{}")
        (line,) = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
        assert (line["severity"], line["error"]["field"]) == ("WARNING", "action")
