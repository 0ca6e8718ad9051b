"""
Faults through the real entry points, beside the stand-ins.

After each, members at Meta, log rows, redeliveries and dead letters add up to the input: `ledger.check`. The numbers
are those of the list of faults in reference/reliability.md, section 2.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

import grpc
import orjson
import pytest
import requests

from tests import ledger
from tests.functions import Functions, add, people
from tests.local.faults import Fault
from tests.local.graph_api import App
from tests.local.proxy import Proxy
from tests.local.stack import (
    ACCOUNT,
    APP_SECRET,
    DEAD_LETTER_TOPIC,
    KEY,
    OTHER_ACCOUNT,
    OTHER_TOKEN,
    SUBSCRIPTION,
    TOKEN,
    TOPIC,
    Function,
    Stack,
    free_port,
    secret,
)

# Of functions-framework, from Python 3.12 on.
pytestmark = pytest.mark.filterwarnings("ignore:datetime.datetime.utcnow:DeprecationWarning")

#: Three rows, of which one cannot be sent.
ROWS: Final = {"schema": ["EMAIL"], "data": [*people(2)["data"], ["nobody"]]}
BODY: Final = add(users=ROWS)
SENT: Final = {"1001": 3}
#: The same for two destinations of two businesses.
BOTH: Final = BODY | {"destinations": [{"audience_id": "1001"}, {"audience_id": "2001", "connection": "globex"}]}
SENT_BOTH: Final = {"1001": 3, "2001": 3}


@dataclass(frozen=True)
class Outage:
    """
    A fault that passes.

    Args:
        begin: Lets it begin.
        end: Lets it pass.
        status: Of the HTTP answer, where there is a queue and the fault concerns each destination.
    """

    begin: Callable[[Functions], object]
    end: Callable[[Functions], object] = lambda functions: functions.stack.graph.faults.clear()
    status: int = 202


def fails(fault: Fault) -> Callable[[Functions], object]:
    return lambda functions: functions.stack.graph.faults.add(fault)


def always(**more: Any) -> dict[str, Any]:
    return {"times": 10_000, **more}


def point_at(functions: Functions, url: str, *, timeout_s: float = 10) -> None:
    functions.config["graph_api"] = {"url": url, "timeout_s": timeout_s}
    functions.restart()


def point_back(functions: Functions) -> None:
    point_at(functions, functions.stack.graph.url)


def impatient(functions: Functions, fault: Fault) -> None:
    point_at(functions, functions.stack.graph.url, timeout_s=0.2)
    functions.stack.graph.faults.add(fault)


def patient(functions: Functions) -> None:
    functions.stack.graph.faults.clear()
    time.sleep(0.5)  # what was given up lands now
    point_back(functions)


def expire(functions: Functions) -> None:
    functions.stack.graph.expire(TOKEN)
    functions.stack.graph.expire(OTHER_TOKEN)


def renew(functions: Functions) -> None:
    stack = functions.stack
    stack.graph.tokens["new-token-of-acme"] = App(APP_SECRET, {ACCOUNT})
    stack.graph.tokens["new-token-of-globex"] = App(None, {OTHER_ACCOUNT})
    stack.secrets.set(secret("meta-token-acme"), "new-token-of-acme")
    stack.secrets.set(secret("meta-token-globex"), "new-token-of-globex")
    functions.restart()


def each_account(work: Callable[[Functions, str], object]) -> Callable[[Functions], object]:
    return lambda functions: [work(functions, account) for account in (ACCOUNT, OTHER_ACCOUNT)]


def each_token(work: Callable[[Functions, str], object]) -> Callable[[Functions], object]:
    names = ("meta-token-acme", "meta-token-globex")
    return lambda functions: [work(functions, secret(name)) for name in names]


#: A usage header with a time of a second, which the minutes of Meta's cannot state.
_USAGE: Final = {
    "X-Business-Use-Case-Usage": json.dumps(
        {"1": [{"type": "custom_audience", "call_count": 100, "estimated_time_to_regain_access": 1 / 60}]}
    )
}

OUTAGES: Final[Mapping[str, Outage]] = {
    # Meta down.
    "45 refused": Outage(lambda functions: point_at(functions, f"http://127.0.0.1:{free_port()}"), point_back),
    "45 no such host": Outage(lambda functions: point_at(functions, "https://meta.invalid"), point_back),
    "49 dropped": Outage(fails(Fault.dropped("before", **always()))),
    "empty 503": Outage(fails(Fault.empty(503, **always()))),
    "empty 500": Outage(fails(Fault.empty(500, **always()))),
    "HTML 502": Outage(fails(Fault.html(502, **always()))),
    "HTML 400": Outage(fails(Fault.html(400, **always()))),
    "49 HTML with 200": Outage(fails(Fault.html(200, **always()))),
    "49 empty 200": Outage(fails(Fault.empty(200, **always()))),
    "49 JSON cut short": Outage(fails(Fault.garbage(**always()))),
    "200 without success": Outage(fails(Fault(status=200, body={"success": False}, **always()))),
    # Meta has done it, and its answer does not arrive.
    "47 answer lost": Outage(fails(Fault.dropped("after", **always()))),
    "49 answer cut": Outage(fails(Fault.dropped("half", **always()))),
    # Meta slow: given up, and done later.
    "46, 48 slow": Outage(lambda functions: impatient(functions, Fault.slow(0.4, **always())), patient),
    # Meta's errors that pass.
    "55 code 1": Outage(fails(Fault.error(1, **always()))),
    "code 2": Outage(fails(Fault.error(2, status=500, **always()))),
    "803": Outage(fails(Fault.error(803, **always()))),
    "2650 busy": Outage(fails(Fault.error(2650, 1870145, **always()))),
    "transient by its own word": Outage(fails(Fault.error(987_654, transient=True, **always()))),
    # Throttled.
    "52 code 17": Outage(fails(Fault.error(17, headers={"Retry-After": "1"}, **always()))),
    "52 code 80003 with a usage header": Outage(fails(Fault.error(80003, 2446079, headers=_USAGE, **always()))),
    "52 status 429": Outage(fails(Fault.empty(429, headers={"Retry-After": "1"}, **always()))),
    "52 ad account's score": Outage(
        each_account(lambda functions, account: functions.stack.graph.throttle(account, seconds=1)),
        lambda _functions: None,
    ),
    # A person has to act.
    "54 code 190": Outage(expire, renew),
    "200/1870090 terms": Outage(
        each_account(lambda functions, account: functions.stack.graph.refuse_terms(account)),
        each_account(lambda functions, account: functions.stack.graph.accept_terms(account)),
    ),
    "code 10": Outage(fails(Fault.error(10, status=403, **always()))),
    "Secret Manager denied": Outage(
        each_token(lambda functions, name: functions.stack.secrets.deny(name)),
        each_token(lambda functions, name: functions.stack.secrets.allow(name)),
    ),
    "a secret that is disabled": Outage(
        each_token(lambda functions, name: functions.stack.secrets.disable(name, "1")), renew
    ),
}


#: Those that differ in what `deliver` does with them; the others end as the same errors.
TELLING: Final = (
    "45 refused",
    "empty 503",
    "47 answer lost",
    "46, 48 slow",
    "55 code 1",
    "52 code 80003 with a usage header",
    "52 ad account's score",
    "54 code 190",
    "200/1870090 terms",
    "Secret Manager denied",
)


class TestOutages:
    """The fault holds, requests come, messages are redelivered; it passes, and all is where it belongs."""

    @pytest.mark.parametrize("name", OUTAGES)
    def test_of_a_request(self, functions: Functions, name: str) -> None:
        outage = OUTAGES[name]
        outage.begin(functions)
        answer = functions.receive(BODY)
        assert (answer.status, answer["outcome"]) == (202, "queued")
        assert len(answer["rejected"]) == 2
        found = ledger.check(functions, SENT)
        assert found.waiting == {"1001": 2}
        self._pass(functions, outage)

    @pytest.mark.parametrize("name", TELLING)
    def test_of_a_message(self, functions: Functions, name: str) -> None:
        outage = OUTAGES[name]
        outage.begin(functions)
        functions.publish(BODY)
        assert functions.deliver_once() > 0
        assert all(held.message.attributes["type"] == "requests" for held in functions.waiting())
        ledger.check(functions, SENT)
        functions.deliver_once()
        found = ledger.check(functions, SENT)
        assert found.waiting == {"1001": 2}
        assert functions.dead() == []
        self._pass(functions, outage)

    @staticmethod
    def _pass(functions: Functions, outage: Outage) -> None:
        outage.end(functions)
        deadline = time.monotonic() + 5
        while functions.deliver_once() and time.monotonic() < deadline:
            time.sleep(0.1)
        found = ledger.check(functions, SENT, done=True)
        assert found.delivered == {"1001": 2}

    @pytest.mark.parametrize(
        "name", ["45 refused", "empty 503", "47 answer lost", "54 code 190", "Secret Manager denied"]
    )
    def test_without_a_queue_the_caller_is_told_and_tries_again(self, functions: Functions, name: str) -> None:
        del functions.config["queue"]
        outage = OUTAGES[name]
        outage.begin(functions)
        answer = functions.receive(BODY)
        assert answer["outcome"] == "failed"
        assert answer.status in {500, 502, 503}
        assert ("Retry-After" in answer.headers) == (answer.status == 503)
        ledger.check(functions, SENT, told={"1001": 2})
        outage.end(functions)
        assert functions.receive(BODY)["outcome"] == "partial"
        assert functions.stack.graph.counts()["1001"] == 2


class TestOneOfTwo:
    """53: what fails for one destination does not touch the other."""

    @pytest.mark.parametrize("entry", ["receive", "deliver"])
    @pytest.mark.parametrize(
        "fault",
        [
            Fault.error(190, match="/2001/", status=401, **always()),
            Fault.error(80003, match="/2001/", headers=_USAGE, **always()),
            Fault.dropped("after", match="/2001/", **always()),
            Fault.error(100, 33, match="/2001/", **always()),
        ],
        ids=["190", "80003", "answer lost", "100/33"],
    )
    def test_the_other_is_delivered_once(self, functions: Functions, fault: Fault, entry: str) -> None:
        functions.stack.graph.faults.add(fault)
        if entry == "receive":
            functions.receive(BOTH)
        else:
            functions.publish(BOTH)
            functions.deliver_once()
        functions.deliver_once()
        is_for_good = b"33" in (fault.body if isinstance(fault.body, bytes) else orjson.dumps(dict(fault.body)))
        told = {"2001": 2} if entry == "receive" and is_for_good else {}
        found = ledger.check(functions, SENT_BOTH, told=told)
        assert found.delivered == {"1001": 2}
        assert [call.path for call in functions.stack.graph.calls].count("/v26.0/1001/users") == 1


def flag_both(functions: Functions) -> None:
    for audience in ("1001", "2001"):
        functions.stack.graph.set_operation_status(audience, 471)


REFUSALS: Final[Mapping[str, Callable[[Functions], object]]] = {
    "100": fails(Fault.error(100, **always())),
    "100/33": fails(Fault.error(100, 33, **always())),
    "471": flag_both,
    "59 too small": fails(Fault.error(200, 1870047, status=403, **always())),
    "2635": fails(Fault.error(2635, **always())),
    "56 a code that nobody knows": fails(Fault.error(987_654, **always())),
    "57 a redirect": fails(Fault.redirect("http://127.0.0.1:9/", **always())),
}


class TestRefusals:
    """What can never succeed: the caller is told, or it is a dead letter with its reason."""

    @pytest.mark.parametrize("name", REFUSALS)
    def test_a_request(self, functions: Functions, name: str) -> None:
        REFUSALS[name](functions)
        answer = functions.receive(BOTH)
        assert (answer.status, answer["outcome"]) == (502, "failed")
        assert len(functions.stack.graph.calls) == 2
        ledger.check(functions, SENT_BOTH, told={"1001": 2, "2001": 2}, done=True)

    @pytest.mark.parametrize("optimistic", [False, True])
    @pytest.mark.parametrize("name", REFUSALS)
    def test_a_message(self, functions: Functions, name: str, *, optimistic: bool) -> None:
        REFUSALS[name](functions)
        functions.publish(BOTH | {"optimistic": optimistic})
        functions.drain()
        found = ledger.check(functions, SENT_BOTH, done=True)
        assert found.dead == {"1001": 2, "2001": 2}
        assert all(letter.attributes["reason"] for letter in functions.dead())
        assert all(b"person" not in letter.data for letter in functions.dead())


def test_54_a_token_that_is_renewed_is_read_again_at_once(functions: Functions) -> None:
    assert functions.receive(add()).status == 200
    stack = functions.stack
    stack.graph.expire(TOKEN)
    stack.graph.tokens["new-token-of-acme"] = App(APP_SECRET, {ACCOUNT})
    stack.secrets.set(secret("meta-token-acme"), "new-token-of-acme")
    assert functions.receive(add("1002")).status == 200
    assert (stack.graph.counts()["1001"], stack.graph.counts()["1002"]) == (1, 1)


def test_57_a_redirect_is_not_followed_and_the_token_not_sent_again(functions: Functions) -> None:
    with Proxy(functions.stack.graph.url) as elsewhere:
        functions.stack.graph.faults.add(Fault.redirect(f"{elsewhere.url}/v26.0/1002/users", times=9))
        assert functions.receive(add()).status == 502
        assert elsewhere.connections == 0
    assert len(functions.stack.graph.calls) == 1


def test_50_rows_that_meta_counts_as_invalid_are_told_and_not_sent_again(functions: Functions) -> None:
    body = {"audience_id": "1001", "session_id": 1, "num_received": 2, "num_invalid_entries": 1}
    functions.stack.graph.faults.add(Fault(status=200, body=body, match="/1001/"))
    answer = functions.receive(BOTH)
    assert (answer.status, answer["outcome"]) == (200, "partial")
    assert [result["num_invalid_entries"] for result in answer["results"]] == [1, 0]
    (row,) = functions.rows(outcome="partial")
    assert (row["rows_sent"], row["num_received"], row["num_invalid_entries"]) == (2, 2, 1)
    assert functions.waiting() == []


def fallen_back(console: str) -> list[dict[str, Any]]:
    """Return the rows that the console log holds whole, in place of the table; those that are counted are short."""
    lines = map(json.loads, console.splitlines())
    return [line["delivery"] for line in lines if "delivery" in line and line["severity"] == "ERROR"]


class TestBigQuery:
    """42: if BigQuery cannot be written, the row goes to the console at ERROR and the delivery still counts."""

    @pytest.mark.parametrize("how", ["503", "403", "404", "dropped", "a row refused"])
    def test_rows_go_to_the_console(self, functions: Functions, capsys: pytest.CaptureFixture[str], how: str) -> None:
        if how == "dropped":
            functions.stack.bigquery.faults.add(Fault.dropped("before", match="insertAll"))
        elif how == "404":
            functions.config["delivery_log"] = "local.meta_relay.nowhere"
        elif how == "a row refused":
            errors = [{"index": index, "errors": [{"reason": "invalid"}]} for index in range(4)]
            functions.stack.bigquery.faults.add(Fault(status=200, body={"insertErrors": errors}, match="insertAll"))
        else:
            functions.stack.bigquery.fail(status=int(how))
        answer = functions.receive(BOTH)
        assert (answer.status, answer["outcome"]) == (200, "partial")
        ledger.check(functions, SENT_BOTH, log=fallen_back(capsys.readouterr().err), done=True)

    def test_a_message_is_acknowledged_without_its_rows(
        self, functions: Functions, capsys: pytest.CaptureFixture[str]
    ) -> None:
        functions.stack.bigquery.fail(times=9)
        functions.publish(BOTH)
        functions.drain()
        ledger.check(functions, SENT_BOTH, log=fallen_back(capsys.readouterr().err), done=True)


class TestPubSub:
    """What Pub/Sub does not take is told, or left where it is."""

    @pytest.mark.parametrize("code", [grpc.StatusCode.PERMISSION_DENIED, grpc.StatusCode.NOT_FOUND])
    def test_4_what_is_not_taken_is_told(self, functions: Functions, code: grpc.StatusCode) -> None:
        functions.stack.pubsub.fail_publish(TOPIC, code=code)
        answer = functions.receive(BODY | {"optimistic": True})
        assert (answer.status, answer["outcome"]) == (503, "failed")
        ledger.check(functions, SENT, told={"1001": 2})
        time.sleep(_AFTER_A_REFUSAL)
        assert functions.receive(BODY | {"optimistic": True}).status == 202
        functions.drain()
        assert functions.stack.graph.counts()["1001"] == 2

    def test_5_what_is_not_taken_of_several_is_told(self, functions: Functions) -> None:
        functions.stack.pubsub.fail_publish(TOPIC, code=grpc.StatusCode.PERMISSION_DENIED)
        answer = functions.receive(add("1001", users=people(20_001), optimistic=True))
        assert (
            ledger.count(functions.rows(), [held.message for held in functions.waiting()], []).waiting["1001"] < 20_001
        )
        assert answer.status == 503

    def test_6_a_topic_that_is_made_later_is_used_without_a_restart(self, functions: Functions) -> None:
        topic = "projects/local/topics/made-later"
        functions.config["queue"]["topic"] = topic
        assert functions.receive(add(optimistic=True)).status == 503
        assert functions.receive(b"", path="/health", method="GET").status == 200
        functions.stack.pubsub.add_topic(topic)
        time.sleep(_AFTER_A_REFUSAL)
        assert functions.receive(add(optimistic=True)).status == 202
        assert len(functions.stack.pubsub.messages(topic)) == 1

    def test_an_outage_of_a_moment_is_waited_out(self, functions: Functions) -> None:
        functions.stack.pubsub.fail_publish(TOPIC, times=2, code=grpc.StatusCode.UNAVAILABLE)
        assert functions.receive(add(optimistic=True)).status == 202

    def test_28_a_message_stays_where_neither_meta_nor_the_queue_takes_it(self, functions: Functions) -> None:
        functions.stack.graph.faults.add(Fault.empty(503, **always()))
        functions.publish(add(users=people(2)))
        functions.stack.pubsub.fail_publish(TOPIC, times=1_000, code=grpc.StatusCode.PERMISSION_DENIED)
        assert functions.deliver_once() == 1
        assert ledger.check(functions, {"1001": 2}).waiting == {"1001": 2}

    def test_28_a_message_stays_where_its_dead_letter_is_not_taken(self, functions: Functions) -> None:
        functions.stack.graph.set_operation_status("1001", 471)
        functions.publish(add("1001", "1002", users=people(2)))
        functions.stack.pubsub.fail_publish(DEAD_LETTER_TOPIC, code=grpc.StatusCode.PERMISSION_DENIED)
        assert functions.deliver_once() == 1
        time.sleep(_AFTER_A_REFUSAL)
        functions.drain()
        found = ledger.check(functions, {"1001": 2, "1002": 2}, done=True)
        assert (found.dead, found.delivered) == ({"1001": 2}, {"1002": 2})


#: Google's client takes 10 ms to get over a message that was refused.
_AFTER_A_REFUSAL: Final = 0.1


class TestDuplicates:
    """1, 21 to 24, 36: whatever comes twice has one effect."""

    def test_a_caller_that_sends_again(self, functions: Functions) -> None:
        first, second = (functions.receive(BODY) for _ in range(2))
        assert {key: first[key] for key in ("outcome", "rejected")} == {
            key: second[key] for key in ("outcome", "rejected")
        }
        assert functions.stack.graph.counts()["1001"] == 2

    def test_a_message_that_comes_twice_at_once(self, functions: Functions) -> None:
        functions.stack.graph.faults.add(Fault.slow(0.2, times=2))
        functions.client("deliver")
        data = orjson.dumps(add(users=people(2)))
        statuses: list[int] = []
        pushes = [threading.Thread(target=lambda: statuses.append(functions.push(data))) for _ in range(2)]
        for push in pushes:
            push.start()
        for push in pushes:
            push.join()
        assert statuses == [200, 200]
        assert functions.stack.graph.counts()["1001"] == 2
        # The same message, attempt and destination: one row.
        ledger.check(functions, {"1001": 2}, done=True)

    @pytest.mark.parametrize("times", [2, 5])
    def test_a_message_whose_acknowledgement_is_lost(self, functions: Functions, times: int) -> None:
        functions.receive(add(users=people(2), optimistic=True))
        (held,) = functions.waiting()
        for attempt in range(1, times + 1):
            message = held.message
            assert (
                functions.push(message.data, message.attributes, message_id=message.message_id, attempt=attempt) == 200
            )
        assert functions.stack.graph.counts()["1001"] == 2
        assert len({orjson.dumps(call.body) for call in functions.stack.graph.calls}) == 1


def until(happened: Callable[[], object], seconds: float = 20) -> None:
    """Wait until *happened* returns something true."""
    deadline = time.monotonic() + seconds
    while not happened():
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.fixture
def machine() -> Iterator[Stack]:
    """The stand-ins, for functions in processes of their own, which keep their ports when they start again."""
    ports = {"receive": free_port(), "deliver": free_port()}
    with Stack(backoff_scale=0.01, ports=ports) as stack:
        yield stack
        assert stack.graph.violations == []


def post(function: Function, body: Mapping[str, Any]) -> requests.Response:
    return requests.post(f"{function.url}/audiences", json=body, headers={"Authorization": f"Bearer {KEY}"}, timeout=60)


class TestProcesses:
    """2, 3, 35, 36, 39: the real functions, killed at the worst moment."""

    def test_deliver_killed_in_the_middle_of_25_000_rows(self, machine: Stack) -> None:
        deliver = machine.function("deliver")
        machine.graph.faults.add(Fault(), Fault.slow(30))
        machine.subscribe(deliver)
        machine.pubsub.publish(TOPIC, orjson.dumps(add(users=people(25_000))), attributes={"type": "audiences"})
        until(lambda: machine.graph.counts()["1001"] == 10_000 and not machine.graph.faults.pending())
        deliver.kill()
        assert machine.pubsub.outstanding(SUBSCRIPTION) == 1
        assert machine.rows() == []
        machine.function("deliver")
        assert machine.pubsub.wait_idle(timeout=30)
        rows = machine.rows()
        assert [(row["outcome"], row["rows_sent"], row["batch"]) for row in rows] == [
            ("delivered", 10_000, 1),
            ("delivered", 10_000, 2),
            ("delivered", 5_000, 3),
        ]
        assert {row["attempt"] for row in rows} != {1}
        assert machine.graph.counts()["1001"] == 25_000
        assert machine.pubsub.messages(DEAD_LETTER_TOPIC) == []
        bodies = [orjson.dumps(call.body) for call in machine.graph.calls if call.body["session"]["batch_seq"] == 1]
        assert len(bodies) == 2
        assert bodies[0] == bodies[1]

    def test_receive_killed_in_the_middle_of_25_000_rows_and_called_again(self, machine: Stack) -> None:
        receive = machine.function("receive")
        machine.graph.faults.add(Fault(), Fault.slow(30))
        body = add(users=people(25_000))
        told: list[BaseException] = []

        def call() -> None:
            try:
                post(receive, body)
            except requests.ConnectionError as error:
                told.append(error)

        caller = threading.Thread(target=call)
        caller.start()
        until(lambda: machine.graph.counts()["1001"] == 10_000 and not machine.graph.faults.pending())
        receive.kill()
        caller.join(10)
        assert told
        answer = post(machine.function("receive"), body)
        assert (answer.status_code, answer.json()["results"][0]["num_received"]) == (200, 25_000)
        assert machine.graph.counts()["1001"] == 25_000
        assert sum(row["rows_sent"] for row in machine.rows()) == 25_000

    def test_deliver_killed_between_metas_answer_and_the_log_row(self, machine: Stack) -> None:
        deliver = machine.function("deliver")
        machine.bigquery.fail(delay_s=30)
        machine.subscribe(deliver)
        machine.pubsub.publish(TOPIC, orjson.dumps(add(users=people(3))), attributes={"type": "audiences"})
        until(lambda: machine.graph.counts()["1001"] == 3 and machine.bigquery.inserts)
        deliver.kill()
        machine.function("deliver")
        assert machine.pubsub.wait_idle(timeout=30)
        (row,) = machine.rows()
        assert (row["outcome"], row["rows_sent"]) == ("delivered", 3)
        assert machine.graph.counts()["1001"] == 3

    def test_receive_killed_between_pubsub_and_its_answer_and_called_again(self, machine: Stack) -> None:
        receive = machine.function("receive")
        machine.bigquery.fail(delay_s=30)
        endpoint = f"http://127.0.0.1:{machine._ports['deliver']}/{TOPIC}"
        machine.pubsub.add_subscription(SUBSCRIPTION, TOPIC, push_endpoint=endpoint)  # nobody is there yet
        body = add(users=people(3), optimistic=True)
        told: list[BaseException] = []

        def call() -> None:
            try:
                post(receive, body)
            except requests.ConnectionError as error:
                told.append(error)

        caller = threading.Thread(target=call)
        caller.start()
        until(lambda: machine.pubsub.messages(TOPIC) and machine.bigquery.inserts)
        receive.kill()
        caller.join(10)
        assert told
        assert post(machine.function("receive"), body).status_code == 202
        machine.function("deliver")
        assert machine.pubsub.wait_idle(timeout=30)
        assert len(machine.pubsub.messages(TOPIC)) == 2
        assert machine.graph.counts()["1001"] == 3

    def test_39_sigterm_lets_a_call_finish(self, machine: Stack) -> None:
        deliver = machine.function("deliver")
        machine.graph.faults.add(Fault.slow(0.5))
        machine.subscribe(deliver)
        machine.pubsub.publish(TOPIC, orjson.dumps(add(users=people(3))), attributes={"type": "audiences"})
        until(lambda: not machine.graph.faults.pending())
        began = time.monotonic()
        deliver.stop()
        assert time.monotonic() - began < 10
        assert machine.pubsub.wait_idle(timeout=1)
        assert [row["rows_sent"] for row in machine.rows()] == [3]

    def test_what_pubsub_gives_up_after_its_attempts_is_a_dead_letter_that_can_be_replayed(
        self, machine: Stack
    ) -> None:
        deliver = machine.function("deliver")
        machine.subscribe(deliver, max_delivery_attempts=5, minimum_backoff_s=1, maximum_backoff_s=10)
        machine.graph.refuse_terms(ACCOUNT)
        machine.pubsub.publish(
            TOPIC, orjson.dumps(add("1001", "1002", users=people(3))), attributes={"type": "audiences"}
        )
        until(lambda: len(machine.pubsub.messages(DEAD_LETTER_TOPIC)) == 2)
        assert machine.pubsub.wait_idle()
        assert machine.graph.counts()["1001"] == 0
        dead = machine.pubsub.messages(DEAD_LETTER_TOPIC)
        assert all(b"person" not in letter.data for letter in dead)
        assert sorted(row["attempt"] for row in machine.rows() if row["outcome"] == "failed") == sorted(
            [1, 2, 3, 4, 5] * 2
        )
        machine.graph.accept_terms(ACCOUNT)
        for letter in dead:
            machine.pubsub.publish(TOPIC, letter.data, attributes=letter.attributes)
        assert machine.pubsub.wait_idle()
        assert (machine.graph.counts()["1001"], machine.graph.counts()["1002"]) == (3, 3)
