"""`receive` through its real entry point: design, section 6, beside the stand-ins of Meta and Google Cloud."""

from __future__ import annotations

import hashlib
import hmac
import json
import random
import time
from collections.abc import Mapping
from typing import Any, Final

import grpc
import orjson
import pytest

from tests.functions import DENIED, GRANTED, Functions, add, people
from tests.local.faults import Fault
from tests.local.stack import ACCOUNT, APP_SECRET, DEAD_LETTER_TOPIC, KEY, OTHER_ACCOUNT, TOKEN, TOPIC, secret

MADID: Final = "38400000-8cf0-11bd-b23e-10b96e40000d"


def digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def without_queue(functions: Functions) -> Functions:
    del functions.config["queue"]
    return functions


def payload(functions: Functions) -> dict[str, Any]:
    """Return what Meta got last."""
    sent = functions.stack.graph.calls[-1].body["payload"]
    assert isinstance(sent, dict)
    return sent


class TestForms:
    """Section 6: the people in one of three forms."""

    def test_one_person(self, functions: Functions) -> None:
        user = {"EMAIL": ["Ada@Example.com", "b@example.com"], "PHONE": "+49 170 1234567", "MADID": MADID.upper()}
        answer = functions.receive(add(user=user))
        assert (answer.status, answer["outcome"]) == (200, "delivered")
        assert payload(functions) == {
            "schema": ["EMAIL", "EMAIL", "PHONE", "MADID"],
            "data": [[digest("ada@example.com"), digest("b@example.com"), digest("491701234567"), MADID]],
        }

    @pytest.mark.parametrize(
        "schema",
        [
            pytest.param(["EMAIL", "PHONE", "FN"], id="list"),
            pytest.param("EMAIL, PHONE, FN", id="text with commas"),
            pytest.param(" email,phone ,  Fn ,", id="case and spaces do not count"),
        ],
    )
    def test_a_table(self, functions: Functions, schema: object) -> None:
        data = [["a@example.com", "0170 1234567", "Ada"], ["b@example.com", None, ""]]
        answer = functions.receive(add(users={"schema": schema, "data": data}))
        assert answer["outcome"] == "delivered"
        assert answer.result["num_received"] == 2
        assert payload(functions) == {
            "schema": ["EMAIL", "PHONE", "FN"],
            "data": [
                [digest("a@example.com"), digest("491701234567"), digest("ada")],
                [digest("b@example.com"), "", ""],
            ],
        }

    def test_a_table_whose_rows_are_objects(self, functions: Functions) -> None:
        data = [{"FN": "Ada", "email": "a@example.com"}, ["Grace", "g@example.com"]]
        assert functions.receive(add(users={"schema": "FN,EMAIL", "data": data}))["outcome"] == "delivered"
        assert payload(functions)["data"] == [
            [digest("ada"), digest("a@example.com")],
            [digest("grace"), digest("g@example.com")],
        ]

    def test_a_list_of_objects_has_the_union_of_their_keys_in_a_fixed_order(self, functions: Functions) -> None:
        users = [{"MADID": MADID, "LN": "Hopper"}, {"EMAIL": ["a@example.com", "b@example.com"]}]
        functions.receive(add(users=users))
        assert payload(functions) == {
            "schema": ["EMAIL", "EMAIL", "LN", "MADID"],
            "data": [["", "", digest("hopper"), MADID], [digest("a@example.com"), digest("b@example.com"), "", ""]],
        }

    @pytest.mark.parametrize(
        "event",
        [
            pytest.param(
                {
                    "x-ga-gcs": "G111",
                    "x-ga-gcd": "13r3r3r3r5l1",
                    "user_data": {
                        "email_address": "Ada@Example.com",
                        "address": [{"first_name": "Ada", "postal_code": "10 115"}],
                    },
                },
                id="nested",
            ),
            pytest.param(
                {
                    "x_ga_gcs": "G111",
                    "x_ga_gcd": "13r3r3r3r5l1",
                    "user_data_email_address": "Ada@Example.com",
                    "user_data_address": [{"first_name": "Ada", "postal_code": "10 115"}],
                },
                id="flattened",
            ),
        ],
    )
    def test_the_person_of_an_event(self, functions: Functions, event: Mapping[str, Any]) -> None:
        body = {"action": "add", "destinations": [{"audience_id": "1001"}], "user_from_event": True}
        assert functions.receive({**body, "event_data": event})["outcome"] == "delivered"
        assert payload(functions) == {
            "schema": ["EMAIL", "FN", "ZIP"],
            "data": [[digest("ada@example.com"), digest("ada"), digest("10115")]],
        }

    def test_an_event_without_a_person_has_nobody_to_send(self, functions: Functions) -> None:
        answer = functions.receive(add(user_from_event=True, event_data={"page_location": "https://example.com/"}))
        assert answer.status == 422
        assert functions.stack.graph.calls == []

    def test_duplicate_rows_are_kept(self, functions: Functions) -> None:
        functions.receive(add(users=[{"EMAIL": "a@example.com"}] * 3))
        assert payload(functions)["data"] == [[digest("a@example.com")]] * 3

    def test_rows_without_an_external_id_go_in_a_session_of_their_own(self, functions: Functions) -> None:
        users = [{"EMAIL": "a@example.com", "EXTERN_ID": "c-1"}, {"EMAIL": "b@example.com"}]
        assert functions.receive(add(users=users)).result["num_received"] == 2
        first, second = (call.body for call in functions.stack.graph.calls)
        assert first["payload"]["schema"] == ["EMAIL", "EXTERN_ID"]
        assert second["payload"] == {"schema": ["EMAIL"], "data": [[digest("b@example.com")]]}
        assert first["session"]["session_id"] != second["session"]["session_id"]

    def test_limited_data_use_adds_its_three_columns(self, functions: Functions) -> None:
        functions.receive(add(data_processing={"options": ["LDU"], "country": "US", "state": "CA"}))
        assert payload(functions) == {
            "schema": [
                "EMAIL",
                "DATA_PROCESSING_OPTIONS",
                "DATA_PROCESSING_OPTIONS_COUNTRY",
                "DATA_PROCESSING_OPTIONS_STATE",
            ],
            "data": [[digest("ada@example.com"), ["LDU"], 1, 1000]],
        }

    def test_more_than_10_000_rows_are_batches_of_one_session(self, functions: Functions) -> None:
        answer = functions.receive(add("1002", users=people(20_001)))
        assert answer.result["num_received"] == 20_001
        bodies = [call.body for call in functions.stack.graph.calls]
        assert [len(body["payload"]["data"]) for body in bodies] == [10_000, 10_000, 1]
        assert len({body["session"]["session_id"] for body in bodies}) == 1
        assert [body["session"]["batch_seq"] for body in bodies] == [1, 2, 3]
        assert [body["session"]["last_batch_flag"] for body in bodies] == [False, False, True]
        assert [row["batch"] for row in functions.rows(outcome="delivered")] == [1, 2, 3]


class TestActions:
    def test_removing(self, functions: Functions) -> None:
        functions.receive(add(users=people(2)))
        answer = functions.receive({**add(users=people(1)), "action": "remove"})
        assert answer["outcome"] == "delivered"
        assert functions.stack.graph.calls[-1].method == "DELETE"
        assert functions.stack.graph.counts()["1001"] == 1

    @pytest.mark.parametrize(
        "destinations",
        [
            pytest.param([{"ad_account_id": ACCOUNT}], id="named"),
            pytest.param([{"ad_account_id": f"act_{ACCOUNT}"}], id="with act_"),
            pytest.param(None, id="the connection's own"),
        ],
    )
    def test_removing_from_all_audiences_of_an_account(self, functions: Functions, destinations: object) -> None:
        functions.receive(add("1001", "1002", users=people(2)))
        body = {"action": "remove_from_all", "user": {"EMAIL": "person0@example.com"}}
        answer = functions.receive(body if destinations is None else {**body, "destinations": destinations})
        assert answer.result["destination"] == {"ad_account_id": ACCOUNT}
        assert functions.stack.graph.calls[-1].path == f"/v26.0/act_{ACCOUNT}/usersofanyaudience"
        assert functions.stack.graph.counts() == {"1001": 1, "1002": 1, "1003": 0, "2001": 0}


class TestDestinations:
    def test_each_has_its_connection_and_its_result(self, functions: Functions) -> None:
        destinations = [{"audience_id": "2001", "connection": "globex"}, {"audience_id": "1001"}]
        answer = functions.receive(add(user={"PHONE": "6502530000"}) | {"destinations": destinations})
        assert [result["destination"] for result in answer["results"]] == [
            {"audience_id": "2001"},
            {"audience_id": "1001"},
        ]
        assert functions.stack.graph.members("2001") == {frozenset({("PHONE", digest("16502530000"))})}
        assert functions.stack.graph.members("1001") == {frozenset({("PHONE", digest("496502530000"))})}
        assert {row["connection"]: row["destination"] for row in functions.rows()} == {"globex": "2001", "acme": "1001"}

    def test_the_request_names_the_connection_of_all(self, functions: Functions) -> None:
        assert functions.receive(add("2001", connection="globex"))["outcome"] == "delivered"

    def test_only_value_based_ones_get_the_value(self, functions: Functions) -> None:
        destinations = [{"audience_id": "1003", "value_based": True}, {"audience_id": "1001"}]
        users = [{"EMAIL": "a@example.com", "LOOKALIKE_VALUE": 12.5}, {"EMAIL": "b@example.com"}]
        answer = functions.receive(add(users=users) | {"destinations": destinations})
        assert (answer.status, answer["outcome"]) == (200, "partial")
        assert [result["num_received"] for result in answer["results"]] == [1, 2]
        assert answer["rejected"] == [
            {"row": 1, "field": "LOOKALIKE_VALUE", "reason": "not a number of at least 0", "audience_id": "1003"}
        ]
        sent = {call.path: call.body["payload"] for call in functions.stack.graph.calls}
        assert sent["/v26.0/1003/users"] == {
            "schema": ["EMAIL", "LOOKALIKE_VALUE"],
            "data": [[digest("a@example.com"), 12.5]],
        }
        assert sent["/v26.0/1001/users"]["schema"] == ["EMAIL"]

    def test_one_that_meta_refuses_leaves_the_others_alone(self, functions: Functions) -> None:
        functions.stack.graph.set_operation_status("1001", 471)
        answer = functions.receive(add("1001", "1002"))
        assert (answer.status, answer["outcome"]) == (200, "partial")
        assert [result["outcome"] for result in answer["results"]] == ["failed", "delivered"]
        assert (answer["results"][0]["error"]["code"], answer["results"][0]["error"]["error_subcode"]) == (100, 1713230)
        assert "appeal" in answer["results"][0]["error"]["action"]
        assert functions.stack.graph.counts()["1002"] == 1

    def test_one_that_fails_for_now_goes_to_the_queue_alone(self, functions: Functions) -> None:
        functions.stack.graph.throttle(OTHER_ACCOUNT, minutes=5)
        destinations = [{"audience_id": "1001"}, {"audience_id": "2001", "connection": "globex"}]
        answer = functions.receive(add() | {"destinations": destinations})
        assert (answer.status, answer["outcome"]) == (202, "queued")
        assert [result["outcome"] for result in answer["results"]] == ["delivered", "queued"]
        (message,) = functions.waiting()
        assert [one["destination"] for one in orjson.loads(message.message.data)["requests"]] == [
            {"audience_id": "2001"}
        ]

    def test_one_that_fails_for_now_without_a_queue_may_be_tried_again(self, functions: Functions) -> None:
        functions.stack.graph.throttle(OTHER_ACCOUNT, minutes=5)
        destinations = [{"audience_id": "1001"}, {"audience_id": "2001", "connection": "globex"}]
        answer = without_queue(functions).receive(add() | {"destinations": destinations})
        assert (answer.status, answer["outcome"], answer.headers["Retry-After"]) == (503, "partial", "300")
        assert [result["outcome"] for result in answer["results"]] == ["delivered", "failed"]


class TestRejects:
    """Section 8: what cannot be used empties its cell, and loses neither the row nor another."""

    def test_an_emptied_cell_leaves_its_row_delivered(self, functions: Functions) -> None:
        answer = functions.receive(add(user={"EMAIL": "a@example.com", "PHONE": "not a number"}))
        assert (answer.status, answer["outcome"]) == (200, "delivered")
        assert answer["rejected"] == [{"row": 0, "field": "PHONE", "reason": "not a phone number"}]
        (row,) = functions.rows()
        assert json.loads(row["reject_reasons"]) == {"PHONE: not a phone number": 1}

    def test_a_row_that_is_left_out_makes_it_partial(self, functions: Functions) -> None:
        data = [["a@example.com", "x"], ["b@example.com"], ["c@example.com", "y", "z"], 7, ["nobody", "x"]]
        answer = functions.receive(add(users={"schema": "EMAIL,FN", "data": data}))
        assert (answer.status, answer["outcome"]) == (200, "partial")
        assert [(reject["row"], reject["field"], reject["reason"]) for reject in answer["rejected"]] == [
            (1, None, "too short"),
            (2, None, "too long"),
            (3, None, "not a list or object"),
            (4, "EMAIL", "not an e-mail address"),
            (4, None, "not enough identifiers"),
        ]
        assert answer.result["num_received"] == 1
        (rejects,) = functions.rows(outcome="rejected")
        assert (rejects["rows_received"], rejects["rows_rejected"]) == (4, 4)

    def test_nobody_to_send_is_422(self, functions: Functions) -> None:
        answer = functions.receive(add(user={"ZIP": "10115"}))
        assert (answer.status, answer["outcome"], answer["error"]["type"]) == (422, "rejected", "NobodyToSendError")
        assert answer.result["outcome"] == "rejected"
        assert functions.stack.graph.calls == []
        (row,) = functions.rows()
        assert (row["outcome"], row["rows_rejected"]) == ("rejected", 1)

    def test_what_meta_counts_as_invalid_is_shown_by_its_row(self, functions: Functions) -> None:
        sample = orjson.dumps([digest("person2@example.com")]).decode()
        counted = {"num_received": 3, "num_invalid_entries": 1, "invalid_entry_samples": {sample: "invalid"}}
        functions.stack.graph.faults.add(Fault(status=200, body={"audience_id": "1001", "session_id": 1, **counted}))
        data = [["person1@example.com"], ["nobody"], ["person2@example.com"], ["person3@example.com"]]
        answer = functions.receive(add(users={"schema": ["EMAIL"], "data": data}))
        assert (answer.status, answer["outcome"]) == (200, "partial")
        assert answer.result["num_invalid_entries"] == 1
        assert {"row": 2, "field": None, "reason": "Meta counts it as invalid", "audience_id": "1001"} in answer[
            "rejected"
        ]
        (row,) = functions.rows(outcome="partial")
        assert (row["num_received"], row["num_invalid_entries"]) == (3, 1)

    def test_fewer_received_than_sent_is_partial(self, functions: Functions) -> None:
        functions.stack.graph.faults.add(Fault(status=200, body={"num_received": 1, "num_invalid_entries": 0}))
        answer = functions.receive(add(users=people(3)))
        assert (answer["outcome"], answer.result["num_received"]) == ("partial", 1)

    def test_a_long_list_of_rejects_is_cut_and_counted(self, functions: Functions) -> None:
        answer = functions.receive(add(users={"schema": ["EMAIL", "FN"], "data": [["a@example.com", "!"]] * 1_234}))
        assert len(answer["rejected"]) == 1_000
        assert "234 more rejects are counted and not listed" in answer["warnings"]
        (row,) = functions.rows(outcome="delivered")
        assert list(json.loads(row["reject_reasons"]).values()) == [1_234]

    def test_an_unknown_key_of_the_body_is_ignored_with_a_warning_that_does_not_repeat_it(
        self, functions: Functions
    ) -> None:
        answer = functions.receive(add(**{"ada@example.com": 1}))
        assert answer["outcome"] == "delivered"
        assert answer["warnings"] == ["the body has keys that are not known; they are ignored"]


class TestDryRun:
    def test_it_shows_exactly_what_a_real_send_then_sends(self, functions: Functions) -> None:
        destinations = [
            {"audience_id": "1003", "value_based": True},
            {"audience_id": "2001", "connection": "globex"},
        ]
        users = [
            {"EMAIL": "Ada@Example.com", "PHONE": "0170 1234567", "LOOKALIKE_VALUE": 1},
            {"EMAIL": "x", "MADID": MADID, "LOOKALIKE_VALUE": "2.50"},
            {"ZIP": "10115", "LOOKALIKE_VALUE": 3},
        ]
        body = add(users=users) | {"destinations": destinations}
        random.seed(7)  # session ids derive from the request's name, which is drawn
        shown = functions.receive(body | {"dry_run": True}, headers={"trace-id": "t"})
        assert (shown.status, shown["outcome"]) == (200, "dry_run")
        assert functions.stack.graph.calls == []
        assert functions.rows() == []
        assert functions.waiting() == []
        random.seed(7)
        sent = functions.receive(body, headers={"trace-id": "t"})
        assert sent["rejected"] == shown["rejected"]
        calls = {call.path: call for call in functions.stack.graph.calls}
        assert len(calls) == 2
        for result in shown["results"]:
            (request,) = result["requests"]
            call = calls[request["path"]]
            assert request.keys() == {"method", "path", "body"}
            assert (request["method"], request["body"]) == (call.method, call.body)
            assert orjson.dumps(request["body"]) == orjson.dumps(call.body)
            assert call.headers["content-length"] == str(len(orjson.dumps(request["body"])))

    def test_it_shows_each_batch(self, functions: Functions) -> None:
        shown = functions.receive(add(users=people(10_001), dry_run=True))
        assert [len(one["body"]["payload"]["data"]) for one in shown.result["requests"]] == [10_000, 1]

    def test_it_reads_no_token(self, functions: Functions) -> None:
        functions.stack.secrets.deny(secret("meta-token-acme"))
        assert functions.receive(add(dry_run="true"))["outcome"] == "dry_run"

    def test_nobody_to_send_is_422(self, functions: Functions) -> None:
        assert functions.receive(add(user={"ZIP": "1"}, dry_run=True)).status == 422

    def test_without_consent_it_is_withheld_and_not_logged(self, functions: Functions) -> None:
        assert functions.receive(add(dry_run=True, consent=DENIED))["outcome"] == "withheld"
        assert functions.rows() == []


class TestDebug:
    def test_it_sends_and_shows_requests_and_answers_in_the_answer_and_the_console(
        self, functions: Functions, capsys: pytest.CaptureFixture[str]
    ) -> None:
        answer = functions.receive(add(debug=True, user={"EMAIL": "ada@example.com", "MADID": MADID}))
        assert functions.stack.graph.counts()["1001"] == 1
        (request,), (answered,) = answer.result["requests"], answer.result["answers"]
        assert request["body"]["payload"]["data"] == [[digest("ada@example.com")[:6] + "…", "…"]]
        assert (request["method"], request["path"]) == ("POST", "1001/users")
        assert answered["body"]["num_received"] == 1
        console = capsys.readouterr().err
        (line,) = [line for line in map(json.loads, console.splitlines()) if "debug" in line]
        assert line["debug"][0]["requests"] == answer.result["requests"]
        for hidden in (TOKEN, APP_SECRET, KEY, digest("ada@example.com"), MADID, "appsecret_proof", "ada@example.com"):
            assert hidden not in console + answer.raw.decode()

    def test_it_shows_an_error_of_meta(self, functions: Functions) -> None:
        functions.stack.graph.set_operation_status("1001", 471)
        answer = functions.receive(add(debug=True))
        assert answer.result["answers"][0]["error"]["code"] == 100

    def test_without_it_there_are_neither(self, functions: Functions) -> None:
        assert not functions.receive(add()).result.keys() & {"requests", "answers"}


class TestOptimistic:
    @pytest.mark.parametrize("flag", [True, "true"])
    def test_it_is_answered_as_soon_as_pubsub_holds_it(self, functions: Functions, flag: object) -> None:
        answer = functions.receive(add("1001", "1002", optimistic=flag))
        assert (answer.status, answer["outcome"]) == (202, "queued")
        assert functions.stack.graph.calls == []
        assert [row["outcome"] for row in functions.rows()] == ["queued", "queued"]
        functions.drain()
        assert functions.stack.graph.counts() == {"1001": 1, "1002": 1, "1003": 0, "2001": 0}
        assert {row["caller"] for row in functions.rows(outcome="delivered")} == {"sgtm"}

    def test_what_waits_is_hashed(self, functions: Functions) -> None:
        functions.receive(add(optimistic=True))
        (held,) = functions.waiting()
        assert held.message.attributes["type"] == "requests"
        assert digest("ada@example.com").encode() in held.message.data
        assert b"ada" not in held.message.data.lower()

    def test_without_a_queue_it_is_done_at_once_with_a_warning(self, functions: Functions) -> None:
        answer = without_queue(functions).receive(add(optimistic=True))
        assert (answer.status, answer["outcome"]) == (200, "delivered")
        assert answer["warnings"] == ["optimistic: no queue is configured; the request is done at once"]

    def test_more_than_10_000_rows_become_a_message_for_each_batch(self, functions: Functions) -> None:
        functions.receive(add(optimistic=True, users=people(25_000)))
        sizes = [len(held.message.data) for held in functions.waiting()]
        assert len(sizes) == 3
        assert max(sizes) <= 7_000_000
        functions.drain()
        assert functions.stack.graph.counts()["1001"] == 25_000

    def test_a_batch_of_more_than_7_mb_becomes_two_messages(self, functions: Functions) -> None:
        row = {"EMAIL": [f"a{number}@example.com" for number in range(12)]}
        users = [row | {"EXTERN_ID": f"c-{number}"} for number in range(10_000)]
        functions.receive(add(optimistic=True, users=users))
        assert [len(held.message.data) <= 7_000_000 for held in functions.waiting()] == [True, True]
        functions.drain()
        assert functions.stack.graph.counts()["1001"] == 10_000

    def test_what_is_withheld_is_not_queued(self, functions: Functions) -> None:
        assert functions.receive(add(optimistic=True, consent=DENIED)).status == 200
        assert functions.waiting() == []


def permanent(functions: Functions) -> None:
    functions.stack.graph.faults.add(Fault.error(100, times=9))


def token_expired(functions: Functions) -> None:
    functions.stack.graph.expire(TOKEN)


def terms_refused(functions: Functions) -> None:
    functions.stack.graph.refuse_terms(ACCOUNT)


def unavailable(functions: Functions) -> None:
    functions.stack.graph.faults.add(Fault.empty(503, times=9))


def throttled(functions: Functions) -> None:
    functions.stack.graph.throttle(ACCOUNT, minutes=2)


def secret_denied(functions: Functions) -> None:
    functions.stack.secrets.deny(secret("meta-token-acme"))


class TestStatusOfAFailure:
    """The table of section 6, for what happens at Meta."""

    @pytest.mark.parametrize(
        ("fault", "with_queue", "alone"),
        [
            (permanent, 502, 502),
            (token_expired, 202, 502),
            (terms_refused, 202, 502),
            (unavailable, 202, 503),
            (throttled, 202, 503),
            (secret_denied, 202, 500),
        ],
    )
    def test_with_and_without_a_queue(self, functions: Functions, fault: Any, with_queue: int, alone: int) -> None:
        fault(functions)
        answer = functions.receive(add())
        assert answer.status == with_queue
        assert answer["outcome"] == ("queued" if with_queue == 202 else "failed")
        assert answer.result["error"]["message"]
        assert len(functions.waiting()) == (with_queue == 202)
        functions.stack.graph.faults.clear()
        fault(functions)
        without_queue(functions).restart()
        answer = functions.receive(add())
        assert (answer.status, answer["outcome"]) == (alone, "failed")
        assert ("Retry-After" in answer.headers) == (alone == 503)

    def test_retry_after_is_what_meta_says(self, functions: Functions) -> None:
        throttled(functions)
        assert without_queue(functions).receive(add()).headers["Retry-After"] == "120"

    def test_retry_after_has_a_value_where_meta_says_nothing(self, functions: Functions) -> None:
        unavailable(functions)
        assert int(without_queue(functions).receive(add()).headers["Retry-After"]) > 0

    def test_with_a_queue_that_fails_it_is_503(self, functions: Functions) -> None:
        unavailable(functions)
        functions.stack.pubsub.fail_publish(TOPIC, times=9, code=grpc.StatusCode.PERMISSION_DENIED)
        answer = functions.receive(add())
        assert (answer.status, answer["outcome"]) == (503, "failed")
        assert int(answer.headers["Retry-After"]) > 0

    def test_an_optimistic_request_that_the_queue_does_not_take_is_503(self, functions: Functions) -> None:
        functions.stack.pubsub.fail_publish(TOPIC, times=9, code=grpc.StatusCode.PERMISSION_DENIED)
        answer = functions.receive(add(optimistic=True))
        assert (answer.status, answer["outcome"]) == (503, "failed")
        assert answer.result["error"]["scope"] == "Pub/Sub"
        assert "roles/pubsub.publisher" in answer.result["error"]["action"]

    def test_an_error_of_meta_has_its_numbers_and_an_action(self, functions: Functions) -> None:
        token_expired(functions)
        error = functions.receive(add()).result["error"]
        assert (error["type"], error["process"], error["scope"]) == ("InvalidAccessTokenError", "send", "Graph API")
        assert (error["code"], error["error_subcode"], error["is_transient"]) == (190, 463, False)
        assert error["fbtrace_id"]
        assert "system-user token" in error["action"]

    def test_waiting_for_meta_ends_after_two_and_a_half_seconds_where_a_queue_takes_over(
        self, functions: Functions
    ) -> None:
        functions.stack.graph.faults.add(Fault.slow(20))
        began = time.monotonic()
        answer = functions.receive(add("1001", "1002"))
        assert time.monotonic() - began < 8  # and not the ten seconds of `graph_api.timeout_s`, or twenty
        assert (answer.status, answer["outcome"]) == (202, "queued")
        assert sorted(result["outcome"] for result in answer["results"]) == ["delivered", "queued"]


class TestHTTP:
    """401 to 415 as in HTTP, each in the one shape of errors."""

    @pytest.mark.parametrize(
        ("status", "asked"),
        [
            pytest.param(404, {"path": "/"}, id="root"),
            pytest.param(404, {"path": "/audience"}, id="unknown path"),
            pytest.param(404, {"path": "/audiences/1001"}, id="below a known path"),
            pytest.param(405, {"method": "GET"}, id="GET"),
            pytest.param(405, {"method": "PUT"}, id="PUT"),
            pytest.param(405, {"method": "OPTIONS"}, id="OPTIONS"),
            pytest.param(405, {"method": "BREW"}, id="a method that nobody knows"),
            pytest.param(415, {"content_type": "text/plain"}, id="text"),
            pytest.param(415, {"content_type": None}, id="no type"),
            pytest.param(415, {"content_type": "application/x-www-form-urlencoded"}, id="form"),
            pytest.param(415, {"headers": {"Content-Encoding": "gzip"}}, id="compressed"),
        ],
    )
    def test_status(self, functions: Functions, status: int, asked: dict[str, Any]) -> None:
        answer = functions.receive(add(), **asked)
        assert answer.status == status
        assert (answer["outcome"], answer["results"]) == ("rejected", [])
        assert functions.stack.graph.calls == []
        assert b"ada" not in answer.raw

    def test_401_tells_how_to_authenticate(self, functions: Functions) -> None:
        assert functions.receive(add(), key=None).headers["WWW-Authenticate"] == "Bearer"

    def test_405_tells_what_is_allowed(self, functions: Functions) -> None:
        assert functions.receive(add(), method="GET").headers["Allow"] == "POST"
        assert functions.receive(b"", method="POST", path="/health").headers["Allow"] == "GET, HEAD"

    def test_a_body_that_is_larger_than_32_mb(self, functions: Functions) -> None:
        answer = functions.receive(b'{"a": "' + b"x" * (32 * 2**20) + b'"}')
        assert answer.status == 413

    def test_a_charset_beside_the_type_does_not_matter(self, functions: Functions) -> None:
        assert functions.receive(add(), content_type="Application/JSON; charset=utf-8").status == 200

    @pytest.mark.parametrize("path", ["/audiences", "/audiences/", "/relay/v1/audiences", "/a//audiences"])
    def test_a_prefix_does_not_matter(self, functions: Functions, path: str) -> None:
        assert functions.receive(add(), path=path).status == 200

    @pytest.mark.parametrize("path", ["/health", "/prefix/health"])
    def test_health_needs_no_key_and_tells_nothing(self, functions: Functions, path: str) -> None:
        answer = functions.receive(b"", path=path, method="GET", key=None)
        assert (answer.status, answer.body) == (200, {"status": "ok"})
        assert functions.receive(b"", path=path, method="POST").status == 405


class TestCallers:
    """Section 6: who may call."""

    @pytest.mark.parametrize(
        "headers",
        [
            pytest.param({"Authorization": f"Bearer {KEY}"}, id="bearer"),
            pytest.param({"Authorization": f"bearer  {KEY} "}, id="bearer, written otherwise"),
            pytest.param({"X-Relay-Key": KEY}, id="X-Relay-Key"),
        ],
    )
    def test_a_key(self, functions: Functions, headers: Mapping[str, str]) -> None:
        assert functions.receive(add(), key=None, headers=headers).status == 200

    @pytest.mark.parametrize(
        "headers",
        [
            pytest.param({}, id="none"),
            pytest.param({"Authorization": "Bearer "}, id="empty"),
            pytest.param({"Authorization": f"Basic {KEY}"}, id="another scheme"),
            pytest.param({"Authorization": "Bearer key-of-sgtn"}, id="wrong"),
            pytest.param({"X-Relay-Key": f"{KEY}x"}, id="longer"),
            pytest.param({"X-Relay-Key": "ключ"}, id="not ASCII"),
            pytest.param(
                {"X-Relay-Signature": "0" * 64, "X-Relay-Timestamp": "x"}, id="signature, timestamp unreadable"
            ),
        ],
    )
    def test_anything_else_is_401_without_detail(self, functions: Functions, headers: Mapping[str, str]) -> None:
        answer = functions.receive(b"not even JSON", key=None, headers=headers)
        assert answer.status == 401
        assert answer["error"]["message"] == "unauthorized"
        assert answer["error"].keys() == {"type", "process", "scope", "message", "timestamp", "trace_id"}

    @staticmethod
    def signed(body: bytes, *, at: float, key: str = KEY) -> dict[str, str]:
        timestamp = str(int(at))
        mac = hmac.new(key.encode(), timestamp.encode() + b"." + body, hashlib.sha256)
        return {"X-Relay-Signature": mac.hexdigest(), "X-Relay-Timestamp": timestamp}

    @pytest.mark.parametrize("off", [0, -290, 290])
    def test_a_signature(self, functions: Functions, off: int) -> None:
        body = json.dumps(add(), indent=3).encode()
        headers = self.signed(body, at=time.time() + off)
        assert functions.receive(body, key=None, headers=headers).status == 200

    def test_a_signature_that_is_old_new_or_of_something_else_is_401(self, functions: Functions) -> None:
        body = orjson.dumps(add())
        now = time.time()
        for signed, sent in (
            (self.signed(body, at=now - 310), body),
            (self.signed(body, at=now + 310), body),
            (self.signed(body, at=now), body + b" "),
            (self.signed(body, at=now, key="another key"), body),
            ({**self.signed(body, at=now), "X-Relay-Timestamp": str(int(now) + 1)}, body),
        ):
            assert functions.receive(sent, key=None, headers=signed).status == 401

    def test_two_keys_while_one_is_being_rotated(self, functions: Functions) -> None:
        stack = functions.stack
        stack.secrets.set(secret("relay-key-sgtm"), "the new key")
        functions.config["callers"]["sgtm"]["keys"] = [
            secret("relay-key-sgtm") + "/versions/2",
            secret("relay-key-sgtm") + "/versions/1",
        ]
        assert functions.receive(add(), key=KEY).status == 200
        assert functions.receive(add(), key="the new key").status == 200
        functions.config["callers"]["sgtm"]["keys"].pop()
        functions.restart()
        assert functions.receive(add(), key=KEY).status == 401
        assert functions.receive(add(), key="the new key").status == 200

    def test_a_key_that_cannot_be_read_locks_nobody_else_out(self, functions: Functions) -> None:
        stack = functions.stack
        stack.secrets.set(secret("relay-key-sgtm"), "the new key")
        stack.secrets.disable(secret("relay-key-sgtm"), "1")
        functions.config["callers"]["sgtm"]["keys"] = [
            secret("relay-key-sgtm") + "/versions/1",
            secret("relay-key-sgtm") + "/versions/2",
        ]
        assert functions.receive(add(), key="the new key").status == 200
        answer = functions.receive(add(), key="another key")
        assert (answer.status, answer["error"]["type"]) == (500, "ConfigurationError")
        assert functions.stack.graph.counts()["1001"] == 1

    def test_iam_checks_where_the_configuration_says_so(self, functions: Functions) -> None:
        functions.config["callers"] = "iam"
        assert functions.receive(add(), key=None).status == 200
        (row,) = functions.rows()
        assert row["caller"] == "iam"
        assert functions.receive(add(consent={"required": []}), key=None).status == 403

    def test_no_caller_means_nobody(self, functions: Functions) -> None:
        functions.config["callers"] = {}
        assert functions.receive(add()).status == 401

    def test_a_caller_without_keys_cannot_call(self, functions: Functions) -> None:
        functions.config["callers"]["sgtm"]["keys"] = []
        assert functions.receive(add()).status == 401

    def test_an_empty_key_is_nobodys(self, functions: Functions) -> None:
        functions.stack.secrets.set(secret("relay-key-sgtm"), "\n")
        assert functions.receive(add(), headers={"Authorization": "Bearer \n".strip()}, key=None).status == 401
        assert functions.receive(add(), headers={"X-Relay-Key": " "}, key=None).status == 401

    @pytest.mark.parametrize(
        ("rights", "body", "field"),
        [
            pytest.param({"actions": ["remove"]}, add(), "action", id="action"),
            pytest.param({"connections": ["globex"]}, add(), "connection", id="connection by default"),
            pytest.param({"connections": ["acme"]}, add("2001", connection="globex"), "connection", id="connection"),
            pytest.param({}, add(consent={"required": []}), "consent.required", id="no consent"),
            pytest.param({}, add(consent={"required": ["ad_storage"]}), "consent.required", id="less consent"),
            pytest.param(
                {"actions": ["add"]},
                add(consent={**GRANTED, "on_denied": "remove"}),
                "action",
                id="removal on denial",
            ),
        ],
    )
    def test_what_a_caller_may_not_have_is_403(
        self, functions: Functions, rights: Mapping[str, Any], body: Mapping[str, Any], field: str
    ) -> None:
        functions.config["callers"]["sgtm"] |= rights
        answer = functions.receive(body)
        assert (answer.status, answer["error"]["type"]) == (403, "ForbiddenError")
        assert answer["error"]["field"] == field
        assert functions.stack.graph.calls == []

    def test_a_destination_of_another_connection_is_403(self, functions: Functions) -> None:
        functions.config["callers"]["sgtm"]["connections"] = ["acme"]
        destinations = [{"audience_id": "1001"}, {"audience_id": "2001", "connection": "globex"}]
        assert functions.receive(add() | {"destinations": destinations}).status == 403
        assert functions.stack.graph.calls == []

    def test_a_caller_with_keys_alone_may_use_the_default_connection(self, functions: Functions) -> None:
        functions.config["callers"]["sgtm"] = {"keys": functions.config["callers"]["sgtm"]["keys"]}
        assert functions.receive(add()).status == 200
        assert functions.receive(add("2001", connection="globex")).status == 403
        assert functions.receive({"action": "remove_from_all", "user": {"EMAIL": "a@example.com"}}).status == 403

    def test_another_token_does_not_reach_an_account_of_meta(self, functions: Functions) -> None:
        answer = functions.receive(add("2001"))
        assert (answer.status, answer.result["error"]["error_subcode"]) == (502, 33)


class TestConsent:
    """Section 10."""

    def test_denied_is_withheld_and_logged_with_what_is_missing(self, functions: Functions) -> None:
        answer = functions.receive(add("1001", "1002", consent=DENIED))
        assert (answer.status, answer["outcome"]) == (200, "withheld")
        assert [result["outcome"] for result in answer["results"]] == ["withheld", "withheld"]
        assert answer["warnings"] == ["consent is missing: ad_user_data"]
        assert functions.stack.graph.calls == []
        assert functions.waiting() == []
        rows = functions.rows(outcome="withheld")
        assert [(row["destination"], row["consent_missing"], row["rows_received"]) for row in rows] == [
            ("1001", "ad_user_data", 1),
            ("1002", "ad_user_data", 1),
        ]

    def test_absent_is_denied_unless_configured_otherwise(self, functions: Functions) -> None:
        body = add()
        del body["consent"]
        answer = functions.receive(body)
        assert answer["warnings"] == ["consent is missing: ad_storage, ad_user_data, ad_personalization"]
        functions.config["consent"] = {"absent": "granted"}
        functions.restart()
        assert functions.receive(body)["outcome"] == "delivered"

    @pytest.mark.parametrize(
        ("event", "outcome"),
        [
            ({"x-ga-gcd": "13r3r3r3r5l1"}, "delivered"),
            ({"x-ga-gcd": "13r3r3q3r5l1"}, "withheld"),
            ({"x_ga_gcd": "13q3r3r3r5l1"}, "withheld"),
            ({"x-ga-gcd": "13r3r3r3r5l1", "consent_state": {"ad_storage": "denied"}}, "withheld"),
            ({"x-ga-gcd": "13r3r3r3r5l1", "consent_state": {"ad_storage": False}}, "withheld"),
            ({"x-ga-gcd": "13q3r3r3r5l1", "consent_state": {"ad_storage": True}}, "delivered"),
            ({"x-ga-gcs": "G111"}, "withheld"),
            ({"x-ga-gcs": "G100", "x-ga-gcd": "13r3r3r3r5l1"}, "delivered"),
        ],
    )
    def test_of_an_event(self, functions: Functions, event: Mapping[str, Any], outcome: str) -> None:
        body = add(event_data=event)
        del body["consent"]
        assert functions.receive(body)["outcome"] == outcome

    def test_a_withdrawal_becomes_a_removal_where_that_is_asked_for(self, functions: Functions) -> None:
        functions.receive(add())
        assert functions.stack.graph.counts()["1001"] == 1
        answer = functions.receive(add(consent={**DENIED, "on_denied": "remove"}))
        assert answer["outcome"] == "delivered"
        assert functions.stack.graph.calls[-1].method == "DELETE"
        assert functions.stack.graph.counts()["1001"] == 0
        assert [row["action"] for row in functions.rows()] == ["add", "remove"]

    def test_what_is_merely_absent_is_no_withdrawal(self, functions: Functions) -> None:
        answer = functions.receive(add(consent={"on_denied": "remove"}))
        assert answer["outcome"] == "withheld"
        assert functions.stack.graph.calls == []

    def test_granted_with_on_denied_adds(self, functions: Functions) -> None:
        functions.receive(add(consent={**GRANTED, "on_denied": "remove"}))
        assert functions.stack.graph.counts()["1001"] == 1

    def test_a_caller_that_may_can_ask_for_less(self, functions: Functions) -> None:
        functions.config["callers"]["sgtm"]["may_lower_consent"] = True
        assert functions.receive(add(consent={"required": []}))["outcome"] == "delivered"
        state = {"ad_storage": "granted"}
        assert functions.receive(add(consent={"required": ["ad_storage"], "state": state}))["outcome"] == "delivered"

    def test_any_caller_can_ask_for_more(self, functions: Functions) -> None:
        required = ["ad_storage", "ad_user_data", "ad_personalization", "analytics_storage"]
        answer = functions.receive(add(consent={**GRANTED, "required": required}))
        assert answer["warnings"] == ["consent is missing: analytics_storage"]

    @pytest.mark.parametrize("action", ["remove", "remove_from_all"])
    def test_removing_needs_none(self, functions: Functions, action: str) -> None:
        destination = {"ad_account_id": ACCOUNT} if action == "remove_from_all" else {"audience_id": "1001"}
        user = {"EMAIL": "ada@example.com"}
        body = {"action": action, "destinations": [destination], "user": user, "consent": DENIED}
        assert functions.receive(body)["outcome"] == "delivered"

    def test_gtms_preview_monitor_is_withheld(self, functions: Functions) -> None:
        event = {"page_location": "https://gtm-msr.appspot.com/render2?id=GTM-1"}
        answer = functions.receive(add(event_data=event))
        assert answer["outcome"] == "withheld"
        assert answer["warnings"] == ["GTM's preview monitor: nothing is sent"]
        assert functions.receive({**add(event_data=event), "action": "remove"})["outcome"] == "withheld"
        assert functions.stack.graph.calls == []

    def test_a_us_privacy_opt_out_limits_data_use(self, functions: Functions) -> None:
        functions.receive(add(event_data={"us_privacy": "1YYN"}))
        assert payload(functions)["schema"][1:] == [
            "DATA_PROCESSING_OPTIONS",
            "DATA_PROCESSING_OPTIONS_COUNTRY",
            "DATA_PROCESSING_OPTIONS_STATE",
        ]
        assert payload(functions)["data"][0][1:] == [["LDU"], 0, 0]


class TestTraceId:
    @pytest.mark.parametrize(
        ("headers", "expected"),
        [
            ({"trace-id": "order-1.2:3"}, "order-1.2:3"),
            (
                {"traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"},
                "0af7651916cd43dd8448eb211c80319c",
            ),
            ({"X-Cloud-Trace-Context": "105445aa7843bc8bf206b12000100000/1;o=1"}, "105445aa7843bc8bf206b12000100000"),
            ({"trace-id": "a", "traceparent": "00-" + "0" * 32 + "-" + "0" * 16 + "-01"}, "a"),
            ({"traceparent": "00-" + "1" * 32 + "-" + "0" * 16 + "-01", "X-Cloud-Trace-Context": "b"}, "1" * 32),
        ],
    )
    def test_each_header_in_its_turn(
        self,
        functions: Functions,
        capsys: pytest.CaptureFixture[str],
        headers: Mapping[str, str],
        expected: str,
    ) -> None:
        answer = functions.receive(add("1001", "1002", optimistic=True), headers=headers)
        assert answer["trace_id"] == expected
        functions.drain()
        assert {row["trace_id"] for row in functions.rows()} == {expected}
        lines = list(map(json.loads, capsys.readouterr().err.splitlines()))
        assert {line["trace_id"] for line in lines} == {expected}
        assert {line["logging.googleapis.com/trace"] for line in lines} == {f"projects/local/traces/{expected}"}

    @pytest.mark.parametrize(
        "headers",
        [
            {},
            {"trace-id": "a b"},
            {"trace-id": "x" * 129},
            {"trace-id": "ada@example.com"},
            {"traceparent": "00-short-01"},
            {"X-Cloud-Trace-Context": "<script>/1"},
        ],
    )
    def test_else_one_is_made(self, functions: Functions, headers: Mapping[str, str]) -> None:
        made = functions.receive(add(), headers=headers)["trace_id"]
        assert len(made) == 32
        assert int(made, 16)

    def test_a_refusal_has_it_too(self, functions: Functions) -> None:
        assert functions.receive(b"", key=None, headers={"trace-id": "t-1"})["error"]["trace_id"] == "t-1"


class TestParts:
    """Section 5: parts of the configuration may be left out."""

    def test_without_a_delivery_log_rows_go_to_the_console(
        self, functions: Functions, capsys: pytest.CaptureFixture[str]
    ) -> None:
        del functions.config["delivery_log"]
        functions.receive(add())
        assert functions.rows() == []
        (row,) = [
            line["delivery"] for line in map(json.loads, capsys.readouterr().err.splitlines()) if "delivery" in line
        ]
        assert (row["outcome"], row["destination"], row["rows_sent"]) == ("delivered", "1001", 1)

    def test_a_secret_of_the_environment(self, functions: Functions) -> None:
        functions.environ["META_TOKEN"] = TOKEN
        functions.config["connections"]["acme"]["access_token"] = "env:META_TOKEN"
        assert functions.receive(add()).status == 200
        assert functions.stack.secrets.accesses[secret("meta-token-acme")] == 0

    def test_secrets_are_read_once_and_kept(self, functions: Functions) -> None:
        for _ in range(3):
            functions.receive(add("1001", "1002"))
        assert set(functions.stack.secrets.accesses.values()) == {1}

    def test_dead_letters_are_not_for_requests_that_are_answered(self, functions: Functions) -> None:
        permanent(functions)
        assert functions.receive(add()).status == 502
        assert functions.stack.pubsub.messages(DEAD_LETTER_TOPIC) == []
