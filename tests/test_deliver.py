"""`deliver` through its real entry point: design, section 7, beside the stand-ins of Meta and Google Cloud."""

from __future__ import annotations

import base64
import hashlib
import json
import time
from collections.abc import Mapping
from typing import Any, Final

import grpc
import orjson
import pytest

from tests.functions import DENIED, Functions, add, people
from tests.local.faults import Fault
from tests.local.graph_api import App
from tests.local.stack import ACCOUNT, APP_SECRET, DEAD_LETTER_TOPIC, OTHER_ACCOUNT, TOKEN, TOPIC, secret

# Of functions-framework, from Python 3.12 on.
pytestmark = pytest.mark.filterwarnings("ignore:datetime.datetime.utcnow:DeprecationWarning")

ACKNOWLEDGED: Final = 200
TO_BE_REDELIVERED: Final = 503


def digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def without_queue(functions: Functions) -> Functions:
    del functions.config["queue"]
    return functions


def dead_reason(functions: Functions) -> str:
    """Return why the only dead letter is dead."""
    (letter,) = functions.dead()
    return str(letter.attributes["reason"])


class TestEnvelopes:
    @pytest.mark.parametrize("envelope", ["push", "cloudevent"])
    def test_both_reach_it(self, functions: Functions, envelope: str) -> None:
        data = orjson.dumps(add())
        assert functions.push(data, {"type": "audiences"}, attempt=3, envelope=envelope) == ACKNOWLEDGED
        assert functions.stack.graph.members("1001") == {frozenset({("EMAIL", digest("ada@example.com"))})}
        (row,) = functions.rows()
        assert (row["outcome"], row["caller"], row["kind"]) == ("delivered", "pubsub", "audiences")
        assert row["attempt"] == 3

    @pytest.mark.parametrize("envelope", ["push", "cloudevent"])
    def test_where_no_attempt_is_stated_it_is_the_first(self, functions: Functions, envelope: str) -> None:
        functions.push(orjson.dumps(add()), envelope=envelope)
        (row,) = functions.rows()
        assert row["attempt"] == 1

    def test_a_cloud_event_whose_attributes_stand_in_its_body(self, functions: Functions) -> None:
        message = {"data": base64.b64encode(orjson.dumps(add())).decode(), "messageId": "7"}
        event = {
            "specversion": "1.0",
            "id": "7",
            "type": "google.cloud.pubsub.topic.v1.messagePublished",
            "source": "//pubsub",
            "data": {"message": message, "subscription": "s"},
        }
        response = functions.client("deliver").post(
            "/", data=orjson.dumps(event), content_type="application/cloudevents+json"
        )
        assert response.status_code == ACKNOWLEDGED
        assert functions.stack.graph.counts()["1001"] == 1

    def test_the_answer_holds_nothing(self, functions: Functions) -> None:
        body = json.dumps({"message": {"data": "e30=", "messageId": "1"}, "subscription": "s"})
        response = functions.client("deliver").post("/", data=body, content_type="application/json")
        assert (response.status_code, response.data) == (200, b"OK")


class TestTypes:
    def test_by_the_attribute(self, functions: Functions) -> None:
        assert functions.push(orjson.dumps(add()), {"type": "audiences"}) == ACKNOWLEDGED
        assert functions.stack.graph.counts()["1001"] == 1

    def test_by_the_shape(self, functions: Functions) -> None:
        assert functions.push(orjson.dumps(add())) == ACKNOWLEDGED
        assert functions.stack.graph.counts()["1001"] == 1

    @pytest.mark.parametrize(
        ("body", "kind"),
        [
            pytest.param({"event_name": "lead", "action": "sent"}, "events", id="an event with an action of its own"),
            pytest.param({"event_data": {"event_name": "lead"}}, "events", id="event_data"),
            pytest.param(
                {
                    "action": "remove",
                    "destinations": [{"audience_id": "1001"}],
                    "user_from_event": True,
                    "event_data": {"email": "ada@example.com"},
                },
                "audiences",
                id="people from an event",
            ),
        ],
    )
    def test_by_a_shape_that_is_two(self, functions: Functions, body: dict[str, object], kind: str) -> None:
        assert functions.push(orjson.dumps(body)) == ACKNOWLEDGED
        assert {kind} == {row["kind"] for row in functions.rows()}

    @pytest.mark.parametrize(
        ("data", "attributes", "reason"),
        [
            pytest.param(b"{}", {}, "type: a type of message that is not known", id="no type, no shape"),
            pytest.param(
                orjson.dumps(add()), {"type": "news"}, "type: a type of message that is not known", id="unknown type"
            ),
            pytest.param(b"not JSON", {}, "the body is not JSON in UTF-8", id="text"),
            pytest.param(b"\xff\xfe{}", {}, "the body is not JSON in UTF-8", id="not UTF-8"),
            pytest.param(b"[1]", {}, "the body must be a JSON object", id="list"),
            pytest.param(b"null", {"type": "audiences"}, "the body must be a JSON object", id="null"),
            pytest.param(b"", {}, "the body is not JSON in UTF-8", id="empty"),
            pytest.param("!not base64!", {}, "message.data: not base64", id="not base64"),
            pytest.param("e30", {}, "message.data: not base64", id="base64 cut short"),
            pytest.param(
                b'{"action": "add"}', {}, "users: one of user, users and user_from_event is needed", id="body"
            ),
            pytest.param(b'{"action": "fly"}', {}, "action: must be one of add, remove, remove_from_all", id="action"),
            pytest.param(b"{}", {"type": "requests"}, "form: a form that this release does not know", id="requests"),
        ],
    )
    @pytest.mark.parametrize("envelope", ["push", "cloudevent"])
    def test_what_can_never_succeed_is_a_dead_letter_as_it_came(
        self, functions: Functions, data: bytes | str, attributes: Mapping[str, str], reason: str, envelope: str
    ) -> None:
        assert functions.push(data, {**attributes, "trace-id": "t-1"}, envelope=envelope) == ACKNOWLEDGED
        (letter,) = functions.dead()
        assert letter.attributes["reason"].startswith(reason)
        assert {**attributes, "trace-id": "t-1"}.items() <= letter.attributes.items()
        assert letter.data in {data, orjson.dumps(data) if isinstance(data, str) else b"{}"}
        assert functions.waiting() == []
        assert functions.stack.graph.calls == []

    def test_a_destination_that_is_not_configured(self, functions: Functions) -> None:
        assert functions.push(orjson.dumps(add(connection="initech"))) == ACKNOWLEDGED
        assert dead_reason(functions) == "connection: is not configured"

    def test_a_push_without_data_is_refused_by_the_framework(self, functions: Functions) -> None:
        assert functions.push(None) == 400
        assert functions.dead() == []

    def test_attributes_that_cannot_be_published_do_not_keep_a_dead_letter_from_its_topic(
        self, functions: Functions
    ) -> None:
        odd = {"topic": "t", "data": "d", "timeout": "1", "retry": "r", "ordering_key": "o", "googclient_x": "g"}
        many = {f"name-{number}": "value" for number in range(100)}
        assert functions.push(b"?", odd | many) == ACKNOWLEDGED
        (letter,) = functions.dead()
        assert letter.attributes["reason"] == "the body is not JSON in UTF-8"
        assert letter.attributes["name-0"] == "value"
        assert len(letter.attributes) == 100

    def test_without_dead_letters_what_is_not_understood_stays(self, functions: Functions) -> None:
        assert without_queue(functions).push(b"not JSON") == TO_BE_REDELIVERED

    def test_a_dead_letter_that_is_not_taken_leaves_the_message_where_it_is(self, functions: Functions) -> None:
        functions.stack.pubsub.fail_publish(DEAD_LETTER_TOPIC, times=9, code=grpc.StatusCode.NOT_FOUND)
        assert functions.push(b"not JSON") == TO_BE_REDELIVERED


class TestRights:
    def test_whoever_may_publish_may_use_each_connection_and_action(self, functions: Functions) -> None:
        assert functions.push(orjson.dumps(add("2001", connection="globex"))) == ACKNOWLEDGED
        user = {"EMAIL": "ada@example.com"}
        body = {"action": "remove_from_all", "connection": "globex", "user": user}
        assert functions.push(orjson.dumps(body)) == ACKNOWLEDGED
        assert [call.method for call in functions.stack.graph.calls] == ["POST", "DELETE"]

    def test_less_consent_than_is_configured_is_not_to_be_had(self, functions: Functions) -> None:
        assert functions.push(orjson.dumps(add(consent={"required": []}))) == ACKNOWLEDGED
        assert dead_reason(functions).startswith("consent.required: ")

    def test_a_caller_of_that_name_narrows_it(self, functions: Functions) -> None:
        functions.config["callers"]["pubsub"] = {"actions": ["remove"]}
        assert functions.push(orjson.dumps(add())) == ACKNOWLEDGED
        assert dead_reason(functions) == "action: this caller may not do that"
        assert functions.push(orjson.dumps({**add(), "action": "remove"})) == ACKNOWLEDGED
        assert len(functions.dead()) == 1
        assert [call.method for call in functions.stack.graph.calls] == ["DELETE"]

    def test_a_key_is_not_asked_for(self, functions: Functions) -> None:
        functions.push(orjson.dumps(add()))
        assert functions.stack.secrets.accesses[secret("relay-key-sgtm")] == 0


class TestOutcomes:
    """The table of section 7."""

    def test_withheld_is_acknowledged_and_logged(self, functions: Functions) -> None:
        assert functions.push(orjson.dumps(add(consent=DENIED))) == ACKNOWLEDGED
        (row,) = functions.rows()
        assert (row["outcome"], row["consent_missing"]) == ("withheld", "ad_user_data")
        assert functions.dead() == []

    def test_rejected_is_acknowledged_and_logged(self, functions: Functions) -> None:
        assert functions.push(orjson.dumps(add(user={"ZIP": "10115"}))) == ACKNOWLEDGED
        (row,) = functions.rows()
        assert (row["outcome"], row["rows_rejected"]) == ("rejected", 1)
        assert functions.dead() == []

    def test_only_the_destinations_that_failed_go_back_hashed(self, functions: Functions) -> None:
        functions.stack.graph.refuse_terms(OTHER_ACCOUNT)
        destinations = [{"audience_id": "1001"}, {"audience_id": "2001", "connection": "globex"}]
        assert functions.push(orjson.dumps(add() | {"destinations": destinations})) == ACKNOWLEDGED
        (held,) = functions.waiting()
        assert held.message.attributes["type"] == "requests"
        assert b"ada@" not in held.message.data
        (request,) = orjson.loads(held.message.data)["requests"]
        assert request["destination"] == {"audience_id": "2001"}
        assert functions.deliver_once() == 1
        functions.stack.graph.accept_terms(OTHER_ACCOUNT)
        functions.drain()
        assert functions.stack.graph.counts() == {"1001": 1, "1002": 0, "1003": 0, "2001": 1}
        assert [call.path.split("/")[2] for call in functions.stack.graph.calls].count("1001") == 1

    def test_only_the_batches_that_failed_go_back(self, functions: Functions) -> None:
        functions.stack.graph.faults.add(Fault(match="1001"), Fault.empty(503, match="1001", times=3))
        assert functions.push(orjson.dumps(add(users=people(25_000)))) == ACKNOWLEDGED
        sizes = [
            len(request["body"]["payload"]["data"])
            for held in functions.waiting()
            for request in orjson.loads(held.message.data)["requests"]
        ]
        assert sizes == [10_000, 5_000]
        functions.drain()
        assert functions.stack.graph.counts()["1001"] == 25_000

    @pytest.mark.parametrize("why", ["token", "terms", "secret", "throttled", "unavailable"])
    def test_what_can_succeed_later_waits_as_its_hashed_form_and_stays_until_it_does(
        self, functions: Functions, why: str
    ) -> None:
        graph, secrets = functions.stack.graph, functions.stack.secrets
        if why == "token":
            graph.expire(TOKEN)
        elif why == "terms":
            graph.refuse_terms(ACCOUNT)
        elif why == "secret":
            secrets.deny(secret("meta-token-acme"))
        elif why == "throttled":
            graph.throttle(ACCOUNT, minutes=5)
        else:
            graph.faults.add(Fault.empty(503, times=1_000))
        assert functions.push(orjson.dumps(add())) == ACKNOWLEDGED
        for _ in range(3):
            assert functions.deliver_once() == 1
        (held,) = functions.waiting()
        assert b"ada@" not in held.message.data
        assert functions.dead() == []
        assert functions.stack.graph.counts()["1001"] == 0

    @pytest.mark.parametrize("why", ["token", "terms", "secret", "unavailable"])
    def test_without_a_queue_it_is_left_unacknowledged(self, functions: Functions, why: str) -> None:
        if why == "token":
            functions.stack.graph.expire(TOKEN)
        elif why == "terms":
            functions.stack.graph.refuse_terms(ACCOUNT)
        elif why == "secret":
            functions.stack.secrets.deny(secret("meta-token-acme"))
        else:
            functions.stack.graph.faults.add(Fault.empty(503, times=3))
        assert without_queue(functions).push(orjson.dumps(add())) == TO_BE_REDELIVERED
        (row,) = functions.rows()
        assert row["outcome"] == "failed"

    def test_where_the_queue_fails_too_it_is_left_unacknowledged(self, functions: Functions) -> None:
        functions.stack.graph.refuse_terms(ACCOUNT)
        functions.stack.pubsub.fail_publish(TOPIC, times=1, code=grpc.StatusCode.PERMISSION_DENIED)
        assert functions.push(orjson.dumps(add())) == TO_BE_REDELIVERED
        time.sleep(0.1)
        assert functions.push(orjson.dumps(add())) == ACKNOWLEDGED
        assert len(functions.waiting()) == 1

    def test_what_meta_refuses_for_good_is_a_hashed_dead_letter_with_its_reason(self, functions: Functions) -> None:
        functions.stack.graph.set_operation_status("1001", 471)
        assert functions.push(orjson.dumps(add("1001", "1002"))) == ACKNOWLEDGED
        (letter,) = functions.dead()
        assert letter.attributes["reason"] == "Meta error 100/1713230: the audience is flagged and takes no uploads"
        assert letter.attributes["type"] == "requests"
        assert b"ada@" not in letter.data
        assert digest("ada@example.com").encode() in letter.data
        assert functions.stack.graph.counts()["1002"] == 1
        assert sorted(row["outcome"] for row in functions.rows()) == ["delivered", "failed"]

    def test_a_dead_letter_of_ours_can_be_replayed(self, functions: Functions) -> None:
        functions.stack.graph.set_operation_status("1001", 471)
        functions.push(orjson.dumps(add()))
        functions.stack.graph.set_operation_status("1001", 200)
        (letter,) = functions.dead()
        functions.stack.pubsub.publish(TOPIC, letter.data, attributes=letter.attributes)
        functions.drain()
        assert functions.stack.graph.counts()["1001"] == 1

    def test_without_a_queue_what_meta_refuses_for_good_is_acknowledged_and_logged(self, functions: Functions) -> None:
        functions.stack.graph.set_operation_status("1001", 471)
        assert without_queue(functions).push(orjson.dumps(add())) == ACKNOWLEDGED
        (row,) = functions.rows()
        assert (row["outcome"], row["error_code"], row["error_subcode"]) == ("failed", 100, 1713230)

    def test_a_dead_letter_of_meta_that_is_not_taken_leaves_the_message_where_it_is(self, functions: Functions) -> None:
        functions.stack.graph.set_operation_status("1001", 471)
        functions.stack.pubsub.fail_publish(DEAD_LETTER_TOPIC, times=1, code=grpc.StatusCode.PERMISSION_DENIED)
        assert functions.push(orjson.dumps(add("1001", "1002"))) == TO_BE_REDELIVERED
        time.sleep(0.1)  # Google's client takes 10 ms to get over a message that was refused
        assert functions.push(orjson.dumps(add("1001", "1002")), attempt=2) == ACKNOWLEDGED
        assert len(functions.dead()) == 1
        assert functions.stack.graph.counts()["1002"] == 1


class TestRequests:
    """Messages of its own."""

    @staticmethod
    def queued(functions: Functions, **more: Any) -> None:
        functions.receive(add(optimistic=True, **more))

    def test_a_redelivery_sends_the_same_bytes(self, functions: Functions) -> None:
        self.queued(functions, users=people(3))
        (held,) = functions.waiting()
        for attempt in (1, 2, 3):
            message = held.message
            assert functions.push(message.data, message.attributes, message_id="5", attempt=attempt) == ACKNOWLEDGED
        bodies = [orjson.dumps(call.body) for call in functions.stack.graph.calls]
        assert len(set(bodies)) == 1
        assert functions.stack.graph.counts()["1001"] == 3
        assert [row["attempt"] for row in functions.rows(outcome="delivered")] == [1, 2, 3]

    def test_a_redelivery_of_a_clear_message_sends_the_same_bytes(self, functions: Functions) -> None:
        data = orjson.dumps(add(users=people(3)))
        for attempt in (1, 2):
            assert functions.push(data, message_id="5", attempt=attempt) == ACKNOWLEDGED
        first, second = (orjson.dumps(call.body) for call in functions.stack.graph.calls)
        assert first == second
        assert functions.push(data, message_id="6") == ACKNOWLEDGED
        other = functions.stack.graph.calls[-1].body
        assert other["session"]["session_id"] != orjson.loads(first)["session"]["session_id"]

    def test_a_row_of_the_log_has_one_id_however_often_it_is_written(self, functions: Functions) -> None:
        data = orjson.dumps(add("1001", "1002"))
        for _ in range(2):
            functions.push(data, message_id="5", attempt=1)
        assert len(functions.rows()) == 2
        functions.push(data, message_id="5", attempt=2)
        assert len(functions.rows()) == 4

    def test_each_batch_in_the_queue_is_a_session_of_its_own(self, functions: Functions) -> None:
        self.queued(functions, users=people(25_000))
        functions.waiting().reverse()
        functions.drain()
        sessions = [call.body["session"] for call in functions.stack.graph.calls]
        assert len({session["session_id"] for session in sessions}) == 3
        assert all(session["batch_seq"] == 1 and session["last_batch_flag"] for session in sessions)
        assert functions.stack.graph.counts()["1001"] == 25_000

    def test_the_time_that_meta_has_named_is_waited_for(self, functions: Functions) -> None:
        functions.stack.graph.faults.add(Fault.error(17, headers={"Retry-After": "1"}))
        functions.receive(add())
        (held,) = functions.waiting()
        not_before = orjson.loads(held.message.data)["not_before"]
        assert 0 < not_before - time.time() <= 1
        assert functions.deliver_once() == 1
        assert len(functions.stack.graph.calls) == 1
        time.sleep(max(0.0, not_before - time.time()) + 0.01)
        functions.drain()
        assert functions.stack.graph.counts()["1001"] == 1
        assert functions.stack.graph.calls_while_throttled == 0

    def test_waiting_for_that_time_does_not_use_up_the_attempts_of_a_message(self, functions: Functions) -> None:
        functions.stack.graph.faults.add(Fault.error(17, headers={"Retry-After": "3600"}))
        functions.receive(add())
        (held,) = functions.waiting()
        attributes = {"type": "requests"}
        assert functions.push(held.message.data, attributes, attempt=49) != ACKNOWLEDGED
        assert len(functions.waiting()) == 1
        assert functions.push(held.message.data, attributes, attempt=50) == ACKNOWLEDGED
        assert [held.message.data] * 2 == [one.message.data for one in functions.waiting()]

    def test_a_message_that_asks_for_a_dry_run_ends_as_a_row(self, functions: Functions) -> None:
        assert functions.push(orjson.dumps(add("1001") | {"dry_run": True})) == ACKNOWLEDGED
        assert ["dry_run"] == [row["outcome"] for row in functions.rows()]
        assert functions.stack.graph.calls == []

    def test_a_rotated_token_is_used(self, functions: Functions) -> None:
        stack = functions.stack
        stack.graph.expire(TOKEN)
        assert functions.receive(add()).status == 202
        stack.graph.tokens["a-new-token-of-acme"] = App(APP_SECRET, {ACCOUNT})
        stack.secrets.set(secret("meta-token-acme"), "a-new-token-of-acme")
        functions.drain()
        assert stack.graph.counts()["1001"] == 1

    def test_a_version_of_meta_that_has_ended_meanwhile_does_not_matter(self, functions: Functions) -> None:
        functions.config["graph_api"]["version"] = "v25.0"
        self.queued(functions)
        functions.config["graph_api"]["version"] = "v26.0"
        functions.restart()
        functions.drain()
        assert functions.stack.graph.calls[0].path == "/v26.0/1001/users"

    def test_a_connection_that_is_gone_waits_for_a_person(self, functions: Functions) -> None:
        functions.receive(add("2001", connection="globex", optimistic=True))
        globex = functions.config["connections"].pop("globex")
        functions.config["callers"]["sgtm"]["connections"] = ["acme"]
        functions.restart()
        assert functions.deliver_once() == 1
        functions.config["connections"]["globex"] = globex
        functions.restart()
        functions.drain()
        assert functions.stack.graph.counts()["2001"] == 1

    def test_of_a_call_that_was_made_in_parts_only_the_parts_that_failed_go_back(self, functions: Functions) -> None:
        self.queued(functions, users=people(4))
        smaller = Fault.error(1, times=3)
        refused = Fault.empty(503, times=3)
        functions.stack.graph.faults.add(smaller, Fault(), refused)
        assert functions.deliver_once() == 1
        (held,) = functions.waiting()
        (request,) = orjson.loads(held.message.data)["requests"]
        assert len(request["body"]["payload"]["data"]) == 2
        functions.drain()
        assert functions.stack.graph.counts()["1001"] == 4
        assert sum(row["rows_sent"] for row in functions.rows(outcome="delivered")) == 4

    def test_a_call_none_of_whose_parts_passes_stays_whole(self, functions: Functions) -> None:
        self.queued(functions, users=people(4))
        functions.stack.graph.faults.add(Fault.error(1, times=3 * 3))
        assert functions.deliver_once() == 1
        assert len(functions.stack.pubsub.messages(TOPIC)) == 1
        functions.drain()
        assert functions.stack.graph.counts()["1001"] == 4

    def test_the_first_caller_and_trace_stay(self, functions: Functions) -> None:
        functions.receive(add(optimistic=True), headers={"trace-id": "order-7"})
        functions.drain()
        (row,) = functions.rows(outcome="delivered")
        assert (row["caller"], row["trace_id"], row["kind"], row["action"]) == ("sgtm", "order-7", "audiences", "add")

    @pytest.mark.parametrize(
        "change",
        [
            {"form": 2},
            {"requests": None},
            {"requests": [{}]},
            {"requests": [7]},
            {"not_before": "soon"},
            {"kind": None},
        ],
    )
    def test_a_form_that_is_not_ours_is_a_dead_letter(self, functions: Functions, change: Mapping[str, Any]) -> None:
        self.queued(functions)
        (held,) = functions.waiting()
        broken = orjson.loads(held.message.data) | change
        if broken["kind"] is None:
            del broken["kind"]
        functions.held.clear()
        assert functions.push(orjson.dumps(broken), held.message.attributes) == ACKNOWLEDGED
        assert dead_reason(functions)
        assert functions.stack.graph.calls == []

    @pytest.mark.parametrize(
        "change",
        [
            {"path": "1002/users"},
            {"path": "me/accounts"},
            {"method": "DELETE"},
            {"destination": {"audience_id": "1001/../1002"}},
            {"action": "drop"},
            {"body": {}},
            {"body": {"payload": {"schema": ["EMAIL"], "data": [["x"]]}}},
        ],
    )
    def test_a_call_that_is_not_ours_is_not_made(self, functions: Functions, change: Mapping[str, Any]) -> None:
        self.queued(functions)
        (held,) = functions.waiting()
        broken = orjson.loads(held.message.data)
        broken["requests"][0] |= change
        functions.held.clear()
        assert functions.push(orjson.dumps(broken), held.message.attributes) == ACKNOWLEDGED
        assert dead_reason(functions)
        assert functions.stack.graph.calls == []


class TestTraceId:
    @pytest.mark.parametrize(
        "attributes",
        [
            {"trace-id": "t-1"},
            {"traceparent": f"00-{'1' * 32}-{'2' * 16}-01"},
            {"googclient_traceparent": f"00-{'1' * 32}-{'2' * 16}-01"},
        ],
    )
    def test_of_the_attributes(self, functions: Functions, attributes: Mapping[str, str]) -> None:
        functions.push(orjson.dumps(add()), attributes)
        (row,) = functions.rows()
        assert row["trace_id"] in {"t-1", "1" * 32}

    def test_else_one_is_made(self, functions: Functions) -> None:
        functions.push(orjson.dumps(add()), {"trace-id": "a b"})
        (row,) = functions.rows()
        assert len(row["trace_id"]) == 32
