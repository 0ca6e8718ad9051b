"""Segments through both functions, beside the stand-ins of Meta and Google Cloud: in, gathered, flushed."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any, Final

import grpc
import orjson
import pytest

from tests.functions import Functions
from tests.local.faults import Fault
from tests.local.stack import ACCOUNT, GATHERED, GATHERING

pytestmark = pytest.mark.filterwarnings("ignore:datetime.datetime.utcnow:DeprecationWarning")

SEGMENT: Final = {"id": "44A23B49", "name": "Segment 1"}


def digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def change(change: str, *emails: str, **more: Any) -> dict[str, Any]:
    return {"segment": SEGMENT, "change": change, "users": [{"email": email} for email in emails], **more}


def flush(functions: Functions) -> None:
    assert functions.push(b"{}", {"type": "flush"}) == 200


def audience(functions: Functions) -> str:
    """Return the audience that was made."""
    (made,) = [ident for ident in functions.stack.graph.audiences() if len(ident) > 4]
    return made


def emails(functions: Functions, ident: str) -> set[str]:
    return {value for person in functions.stack.graph.members(ident) for key, value in person if key == "EMAIL"}


def without_gathering(functions: Functions) -> Functions:
    functions.config["segments"] = {}
    return functions


class TestGathered:
    def test_who_enters_waits_hashed_and_is_flushed(self, functions: Functions) -> None:
        answer = functions.receive(change("enter", "Ada@Example.com", "bob@example.com"), path="/segments")
        assert (answer.status, answer["outcome"]) == (202, "queued")
        assert answer.result["destination"] == {"segment_id": "44A23B49"}
        assert functions.stack.graph.calls == []
        held = functions.stack.pubsub.messages(GATHERING)
        assert not any(b"xample.com" in message.data for message in held)
        assert all(message.ordering_key for message in held)
        flush(functions)
        ident = audience(functions)
        assert emails(functions, ident) == {digest("ada@example.com"), digest("bob@example.com")}
        assert functions.stack.pubsub.outstanding(GATHERED) == 0
        (row,) = functions.rows(outcome="delivered")
        assert (row["kind"], row["action"], row["segment_id"], row["destination"]) == (
            "segments",
            "add",
            "44A23B49",
            ident,
        )

    def test_the_last_change_of_a_person_wins(self, functions: Functions) -> None:
        for one in ("enter", "leave"):
            functions.receive(change(one, "ada@example.com"), path="/segments")
        for one in ("leave", "enter"):
            functions.receive(change(one, "bob@example.com"), path="/segments")
        flush(functions)
        assert emails(functions, audience(functions)) == {digest("bob@example.com")}

    def test_commanders_acts_messages_as_they_come(self, functions: Functions) -> None:
        message: dict[str, Any] = {
            "event_name": "user_enters_segment",
            "context": {"segment_id": "44A23B49", "segment_name": "Segment 1"},
            "user": {"id": "u-1", "email": "ada@example.com", "firstname": "Ada", "lastname": "Lovelace"},
            "user_privacy_categories": ["ads"],
        }
        assert functions.push(orjson.dumps(message)) == 200
        flush(functions)
        ident = audience(functions)
        assert emails(functions, ident) == {digest("ada@example.com")}
        assert functions.push(orjson.dumps({**message, "event_name": "user_leaves_segment"}), message_id="2") == 200
        flush(functions)
        assert functions.stack.graph.members(ident) == set()
        assert functions.dead() == []

    def test_a_message_of_segment_is_told_by_its_shape(self, functions: Functions) -> None:
        track = {
            "type": "track",
            "event": "Audience Entered",
            "userId": "u-1",
            "context": {"traits": {"email": "ada@example.com"}},
            "properties": {"audience_key": "vip", "vip": True},
        }
        assert functions.push(orjson.dumps(track)) == 200
        flush(functions)
        assert emails(functions, audience(functions)) == {digest("ada@example.com")}

    def test_a_flush_of_nothing_calls_nobody(self, functions: Functions) -> None:
        flush(functions)
        assert functions.stack.graph.calls == []
        assert functions.rows() == []


class TestAtOnce:
    def test_without_a_topic_it_is_sent_at_once_with_a_warning(self, functions: Functions) -> None:
        answer = without_gathering(functions).receive(change("enter", "ada@example.com"), path="/segments")
        assert (answer.status, answer["outcome"]) == (200, "delivered")
        ident = audience(functions)
        assert answer.result["destination"] == {"audience_id": ident}
        assert emails(functions, ident) == {digest("ada@example.com")}
        (warning,) = answer["warnings"]
        assert "segments.topic is not configured" in warning

    def test_the_audience_is_named_after_the_segment_and_found_again(self, functions: Functions) -> None:
        without_gathering(functions).receive(change("enter", "ada@example.com"), path="/segments")
        functions.restart()
        functions.receive(change("enter", "bob@example.com"), path="/segments")
        assert len(emails(functions, audience(functions))) == 2
        (made,) = [call for call in functions.stack.graph.calls if call.path.endswith("/customaudiences") and call.body]
        assert made.body == {
            "name": "CA_Segment 1",
            "description": "Meta Relay segment: 44A23B49",
            "subtype": "CUSTOM",
            "customer_file_source": "USER_PROVIDED_ONLY",
        }


def test_people_without_enough_information_are_rejected_with_the_reason(functions: Functions) -> None:
    body = {**change("enter"), "users": [{"zipcode": "10115"}, {"email": "ada@example.com"}, "nobody"]}
    answer = functions.receive(body, path="/segments")
    assert answer.status == 202
    assert answer["rejected"] == [
        {"row": 0, "field": None, "reason": "not enough identifiers"},
        {"row": 2, "field": None, "reason": "not a list or object"},
    ]
    answer = functions.receive({**change("enter"), "users": [{"zipcode": "10115"}]}, path="/segments")
    assert (answer.status, answer["outcome"]) == (422, "rejected")
    assert [row["rows_rejected"] for row in functions.rows(outcome="rejected")] == [2, 1]


@pytest.mark.parametrize(
    ("body", "status", "field"),
    [
        ({"segment": SEGMENT, "user": {"email": "a@b.de"}}, 400, "change"),
        ({**change("enter", "a@b.de"), "connection": "initech"}, 400, "connection"),
    ],
)
def test_what_is_wrong_is_named(functions: Functions, body: Mapping[str, Any], status: int, field: str) -> None:
    answer = functions.receive(body, path="/segments")
    assert (answer.status, answer["error"]["field"]) == (status, field)


class TestKept:
    def test_a_message_whose_audience_has_to_wait_for_a_person_waits_hashed(self, functions: Functions) -> None:
        without_gathering(functions).stack.graph.refuse_terms(ACCOUNT)
        functions.publish(change("enter", "ada@example.com"))
        functions.deliver_once()
        ((waiting,),) = [functions.waiting()]
        assert waiting.message.attributes["type"] == "changes"
        assert b"ada@" not in waiting.message.data
        assert functions.deliver_once() == 1, "left to Pub/Sub's backoff, and not published again and again"
        functions.stack.graph.accept_terms(ACCOUNT)
        functions.drain()
        assert emails(functions, audience(functions)) == {digest("ada@example.com")}

    def test_without_a_queue_it_is_left_as_it_came(self, functions: Functions) -> None:
        del without_gathering(functions).config["queue"]
        functions.stack.graph.refuse_terms(ACCOUNT)
        data = orjson.dumps(change("enter", "ada@example.com"))
        assert functions.push(data, {"type": "segments"}) == 503
        functions.stack.graph.accept_terms(ACCOUNT)
        assert functions.push(data, {"type": "segments"}, attempt=2) == 200

    def test_where_segments_are_not_configured_a_person_has_to_act(self, functions: Functions) -> None:
        del functions.config["segments"]
        assert functions.push(orjson.dumps(change("enter", "a@b.de"))) == 503
        answer = functions.receive(change("enter", "a@b.de"), path="/segments")
        assert (answer.status, answer["error"]["action"]) == (500, "Add segments to the configuration; {} will do.")
        assert functions.dead() == []

    def test_a_gathering_that_does_not_take_it(self, functions: Functions) -> None:
        functions.stack.pubsub.fail_publish(GATHERING, times=9, code=grpc.StatusCode.PERMISSION_DENIED)
        assert functions.receive(change("enter", "a@b.de"), path="/segments").status == 503
        assert functions.push(orjson.dumps(change("enter", "a@b.de"))) == 503

    def test_a_replayed_dead_letter_of_changes_is_gathered_again(self, functions: Functions) -> None:
        functions.receive(change("enter", "ada@example.com"), path="/segments")
        functions.stack.graph.faults.add(Fault.error(100, match="customaudiences"))
        flush(functions)
        (letter,) = functions.dead()
        assert functions.push(letter.data, {"type": letter.attributes["type"]}) == 200
        flush(functions)
        assert emails(functions, audience(functions)) == {digest("ada@example.com")}

    @pytest.mark.parametrize("data", [b"{}", b'{"form": 1}'])
    def test_changes_that_nobody_here_has_written_are_a_dead_letter(self, functions: Functions, data: bytes) -> None:
        assert functions.push(data, {"type": "changes"}) == 200
        assert len(functions.dead()) == 1

    def test_a_flush_where_nothing_is_gathered_tells_the_operator(
        self, functions: Functions, capsys: pytest.CaptureFixture[str]
    ) -> None:
        flush(without_gathering(functions))
        assert "stop the scheduled flush" in capsys.readouterr().err
