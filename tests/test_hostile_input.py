"""Bad input of every kind: the documented status, a message without a value, and nothing that falls over."""

from __future__ import annotations

import base64
import gzip
import json
import socket
import time
from collections.abc import Iterator, Mapping
from copy import deepcopy
from typing import Any, Final

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from lib.handlers import Message, Relay
from lib.identifiers import AUDIENCE_KEYS
from tests import seams
from tests.functions import GRANTED, Functions, add, check_shape
from tests.local.stack import KEY, Function, Stack

# Of functions-framework, from Python 3.12 on.
pytestmark = pytest.mark.filterwarnings("ignore:datetime.datetime.utcnow:DeprecationWarning")

#: What no answer may repeat; ids of destinations are the contract's own, and stand in `results`.
CANARY: Final = "canary"


def check_repeats_nothing(answer: Mapping[str, Any]) -> None:
    results = [{key: value for key, value in result.items() if key != "destination"} for result in answer["results"]]
    shown = json.dumps({**answer, "results": results}, ensure_ascii=False).lower()
    assert CANARY not in shown


#: What is wrong -> the field that is named.
BAD_BODIES: Final[Mapping[str, tuple[Mapping[str, Any], str]]] = {
    "action missing": ({"action": None}, "action"),
    "action unknown": ({"action": CANARY}, "action"),
    "action no text": ({"action": ["add", CANARY]}, "action"),
    "destinations missing": ({"destinations": None}, "destinations"),
    "destinations empty": ({"destinations": []}, "destinations"),
    "destinations no list": ({"destinations": {"audience_id": "canary"}}, "destinations"),
    "a destination no object": ({"destinations": [CANARY]}, "destinations[0]"),
    "audience_id missing": ({"destinations": [{"id": CANARY}]}, "destinations[0].audience_id"),
    "audience_id a path": ({"destinations": [{"audience_id": "canary/users"}]}, "destinations[0].audience_id"),
    "audience_id with a query": ({"destinations": [{"audience_id": "canary?x=1"}]}, "destinations[0].audience_id"),
    "audience_id with a line feed": ({"destinations": [{"audience_id": "can\nary"}]}, "destinations[0].audience_id"),
    "audience_id too long": ({"destinations": [{"audience_id": "1" * 65}]}, "destinations[0].audience_id"),
    "audience_id empty": ({"destinations": [{"audience_id": ""}]}, "destinations[0].audience_id"),
    "audience_id true": ({"destinations": [{"audience_id": True}]}, "destinations[0].audience_id"),
    "audience_id a fraction": ({"destinations": [{"audience_id": 1.5}]}, "destinations[0].audience_id"),
    "audience_id in other digits": ({"destinations": [{"audience_id": "١٢٣"}]}, "destinations[0].audience_id"),
    "a destination twice": ({"destinations": [{"audience_id": "1"}] * 2}, "destinations"),
    "value_based no boolean": (
        {"destinations": [{"audience_id": "1", "value_based": CANARY}]},
        "destinations[0].value_based",
    ),
    "value_based without values": (
        {"destinations": [{"audience_id": "1", "value_based": True}]},
        "destinations[0].value_based",
    ),
    "connection of a destination unknown": (
        {"destinations": [{"audience_id": "1", "connection": CANARY}]},
        "destinations[0].connection",
    ),
    "connection of a destination no text": (
        {"destinations": [{"audience_id": "1", "connection": {CANARY: 1}}]},
        "destinations[0].connection",
    ),
    "ad_account_id missing": (
        {"action": "remove_from_all", "destinations": [{"audience_id": "1"}]},
        "destinations[0].ad_account_id",
    ),
    "connection unknown": ({"connection": CANARY}, "connection"),
    "connection no text": ({"connection": 7}, "connection"),
    "a token for a connection": ({"connection": {"access_token": CANARY}}, "connection"),
    "nobody": ({"user": None}, "users"),
    "user and users": ({"users": [{"EMAIL": CANARY}]}, "users"),
    "user no object": ({"user": CANARY}, "user"),
    "user a list": ({"user": [{"EMAIL": CANARY}]}, "user"),
    "user empty": ({"user": {}}, "user"),
    "a key of user unknown": ({"user": {CANARY: "x"}}, "user"),
    "users empty": ({"user": None, "users": []}, "users"),
    "users a text": ({"user": None, "users": CANARY}, "users"),
    "users without data": ({"user": None, "users": {"schema": ["EMAIL"]}}, "users.data"),
    "users with data no list": ({"user": None, "users": {"schema": ["EMAIL"], "data": CANARY}}, "users.data"),
    "users with empty data": ({"user": None, "users": {"schema": ["EMAIL"], "data": []}}, "users.data"),
    "schema missing": ({"user": None, "users": {"data": [[CANARY]]}}, "users.schema"),
    "schema empty": ({"user": None, "users": {"schema": "", "data": [[CANARY]]}}, "users.schema"),
    "schema no list": ({"user": None, "users": {"schema": 5, "data": [[CANARY]]}}, "users.schema"),
    "a schema key unknown": (
        {"user": None, "users": {"schema": ["EMAIL", CANARY], "data": [["", ""]]}},
        "users.schema[1]",
    ),
    "a schema key no text": ({"user": None, "users": {"schema": ["EMAIL", 5], "data": [["", ""]]}}, "users.schema[1]"),
    "LOOKALIKE_VALUE the only key": (
        {"user": None, "users": {"schema": ["LOOKALIKE_VALUE"], "data": [[1]]}},
        "users.schema",
    ),
    "too many columns": (
        {"user": None, "users": {"schema": ["EMAIL"] * 101, "data": [[CANARY] * 101]}},
        "users.schema",
    ),
    "user_from_event without an event": ({"user": None, "user_from_event": True}, "event_data"),
    "user_from_event and user": ({"user_from_event": True}, "user_from_event"),
    "user_from_event no boolean": ({"user_from_event": CANARY}, "user_from_event"),
    "event_data no object": ({"event_data": [CANARY]}, "event_data"),
    "consent no object": ({"consent": CANARY}, "consent"),
    "consent.state no object": ({"consent": {"state": CANARY}}, "consent.state"),
    "consent.required no list": ({"consent": {"required": CANARY}}, "consent.required"),
    "consent.required unknown": ({"consent": {"required": [CANARY]}}, "consent.required"),
    "consent.on_denied unknown": ({"consent": {"on_denied": CANARY}}, "consent.on_denied"),
    "optimistic no boolean": ({"optimistic": CANARY}, "optimistic"),
    "debug no boolean": ({"debug": 2}, "debug"),
    "dry_run no boolean": ({"dry_run": {CANARY: 1}}, "dry_run"),
    "data_processing no object": ({"data_processing": [CANARY]}, "data_processing"),
    "data_processing.options unknown": ({"data_processing": {"options": [CANARY]}}, "data_processing.options"),
    "data_processing.country unknown": (
        {"data_processing": {"options": ["LDU"], "country": CANARY}},
        "data_processing.country",
    ),
    "data_processing.state unknown": ({"data_processing": {"options": ["LDU"], "state": 7}}, "data_processing.state"),
    "page_ids no list": ({"page_ids": CANARY}, "page_ids"),
    "page_ids no ids": ({"page_ids": ["canary?"]}, "page_ids[0]"),
    "app_ids no ids": ({"app_ids": [None]}, "app_ids[0]"),
}


@pytest.mark.parametrize("name", BAD_BODIES)
def test_a_body_that_is_not_understood_is_400_and_names_its_field(functions: Functions, name: str) -> None:
    change, field = BAD_BODIES[name]
    body = {key: value for key, value in {**add(), **change}.items() if value is not None}
    answer = functions.receive(body)
    assert answer.status == 400
    assert (answer["error"]["type"], answer["error"]["field"]) == ("InvalidRequestError", field)
    check_repeats_nothing(answer.body)
    assert functions.stack.graph.calls == []
    assert functions.rows() == []


DEEP: Final = 100_000

RAW: Final[Mapping[str, bytes]] = {
    "empty": b"",
    "space": b"   ",
    "a text": b'"canary"',
    "a number": b"1",
    "a list": b'[{"action": "add"}]',
    "null": b"null",
    "a form": b"action=add&canary=1",
    "10 cut short": orjson.dumps(add())[:-1],
    "two documents": orjson.dumps(add()) * 2,
    "12 gzip": gzip.compress(orjson.dumps(add())),
    "13 deep lists": b'{"user": ' + b"[" * DEEP + b"]" * DEEP + b"}",
    "13 deep objects": b'{"a":' * DEEP + b"1" + b"}" * DEEP,
    "15 NaN": b'{"action": "add", "user": {"LOOKALIKE_VALUE": NaN}}',
    "15 Infinity": b'{"action": "add", "user": {"LOOKALIKE_VALUE": -Infinity}}',
    "17 lone surrogate": b'{"action": "add", "user": {"EMAIL": "\\ud800@example.com"}}',
    "18 byte order mark": b"\xef\xbb\xbf" + orjson.dumps(add()),
    "18 UTF-16": json.dumps(add()).encode("utf-16"),
    "18 Latin-1": json.dumps(add(user={"FN": "Zoë"}), ensure_ascii=False).encode("latin-1"),
    "a NUL": b'{"action": "add\x00"}',
    "a comment": b'{"action": "add" /* canary */}',
    "single quotes": b"{'action': 'canary'}",
}


@pytest.mark.parametrize("name", RAW)
def test_what_is_no_json_object_in_utf_8_is_400(functions: Functions, name: str) -> None:
    functions.client("receive")
    began = time.process_time()
    answer = functions.receive(RAW[name])
    assert time.process_time() - began < 5
    assert answer.status == 400
    check_repeats_nothing(answer.body)
    assert functions.stack.graph.calls == []


@pytest.mark.parametrize("name", RAW)
def test_a_message_of_that_kind_is_a_dead_letter(functions: Functions, name: str) -> None:
    assert functions.push(RAW[name], {"type": "audiences"}) == 200
    (letter,) = functions.dead()
    assert letter.data == (RAW[name] or b"{}")
    assert letter.attributes["reason"]


class TestNumbers:
    """14 and 15: JSON's numbers have no limits, and readers do."""

    @pytest.mark.parametrize("number", ["9" * 5_000, "1e999", "-1e999", "1" + "0" * 400])
    def test_a_number_that_no_reader_holds_is_400_or_empties_its_cell(self, functions: Functions, number: str) -> None:
        body = json.dumps(add(user={"EMAIL": "a@example.com", "PHONE": 1, "LOOKALIKE_VALUE": 2}))
        for mark in (": 1,", ": 2}"):
            raw = body.replace(mark, f": {number}{mark[-1]}").encode()
            answer = functions.receive(raw)
            assert answer.status in {200, 400}
            check_shape(answer.body)
        assert all(call.body["payload"]["schema"][0] == "EMAIL" for call in functions.stack.graph.calls)

    def test_a_whole_number_that_a_reader_may_have_rounded_is_not_sent_as_an_id(self, functions: Functions) -> None:
        answer = functions.receive(add(user={"EMAIL": "a@example.com", "EXTERN_ID": 1e18}))
        assert [reject["field"] for reject in answer["rejected"]] == ["EXTERN_ID"]


class TestSize:
    """19: many keys and long texts cost their share, and no more."""

    def test_200_000_keys(self, functions: Functions) -> None:
        functions.client("receive")
        raw = orjson.dumps(add(**{f"canary{number}": number for number in range(200_000)}))
        began = time.process_time()
        answer = functions.receive(raw)
        assert time.process_time() - began < 10
        assert answer.status == 200
        check_repeats_nothing(answer.body)

    def test_50_000_keys_of_a_person(self, functions: Functions) -> None:
        answer = functions.receive(add(user={f"canary{number}": number for number in range(50_000)}))
        assert answer.status == 400
        check_repeats_nothing(answer.body)

    def test_50_000_destinations(self, functions: Functions) -> None:
        destinations = [{"audience_id": str(number % 7)} for number in range(50_000)]
        began = time.process_time()
        assert functions.receive(add() | {"destinations": destinations}).status == 400
        assert time.process_time() - began < 15

    @pytest.mark.parametrize("key", ["EMAIL", "PHONE", "FN", "CT", "ST", "ZIP", "COUNTRY", "DOB", "GEN", "MADID"])
    @pytest.mark.parametrize("text", ["a" * 100_000, "1 " * 50_000, "@" * 100_000, "-é" * 50_000, "(+0" * 33_333])
    def test_a_long_text_takes_no_time(self, key: str, text: str) -> None:
        relay = seams.relay(transport=seams.Meta(), queue=None)
        body = orjson.dumps(add("1001", user={"EXTERN_ID": "c-1", key: text}))
        began = time.process_time()
        assert seams.post(relay, body).status == 200
        assert time.process_time() - began < 5


def test_each_line_of_the_log_stays_one_line(functions: Functions, capsys: pytest.CaptureFixture[str]) -> None:
    nasty = 'canary\r\n{"severity": "INFO"}\u2028\u0085\x1b[31m\x00'
    functions.config["log_level"] = "DEBUG"
    for change in (
        {"action": nasty},
        {"connection": nasty},
        {"destinations": [{"audience_id": nasty}]},
        {"user": {nasty: nasty}},
        {"user": {"EMAIL": nasty, "FN": "Ada"}, "debug": True},
        {nasty: nasty},
    ):
        functions.receive({**add(), **change})
        functions.push(orjson.dumps({**add(), **change}), {"trace-id": nasty, nasty: nasty})
    printed = capsys.readouterr().err
    assert all(isinstance(json.loads(line), dict) for line in printed.split("\n") if line)
    assert "canary" not in printed


def test_16_of_two_equal_keys_the_last_counts(functions: Functions) -> None:
    denied = orjson.dumps(add())[:-1] + b', "consent": {"state": {"ad_storage": "denied"}}}'
    assert functions.receive(denied)["outcome"] == "withheld"


@pytest.fixture(scope="module")
def wire() -> Iterator[tuple[Stack, Function]]:
    """`receive` in a process of its own."""
    with Stack() as stack:
        yield stack, stack.function("receive")


class TestWire:
    """10 and 11: bodies that are not what their headers say, over a real socket."""

    @staticmethod
    def answer(function: Function, head: str, body: bytes, *, hang_up: bool) -> bytes:
        host, _, port = function.url.removeprefix("http://").rpartition(":")
        lines = (
            f"POST /audiences HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAuthorization: Bearer {KEY}\r\n{head}\r\n\r\n"
        )
        with socket.create_connection((host, int(port)), timeout=20) as caller:
            caller.sendall(lines.encode() + body)
            if hang_up:
                caller.shutdown(socket.SHUT_WR)
            answer = b""
            while data := caller.recv(1 << 16):
                answer += data
        return answer

    @pytest.mark.parametrize(
        ("head", "body", "status"),
        [
            pytest.param("Content-Length: 5000", orjson.dumps(add()), {400}, id="longer than what comes"),
            pytest.param("Content-Length: 20", orjson.dumps(add()), {400}, id="shorter than what comes"),
            pytest.param("Content-Length: 34603008", b"", {413}, id="too large by its own word"),
            pytest.param("Content-Length: -1", orjson.dumps(add()), {400}, id="negative"),
            pytest.param("Content-Length: x", orjson.dumps(add()), {400}, id="no number"),
            pytest.param("X: y", orjson.dumps(add()), {400, 411}, id="no length"),
            pytest.param("Transfer-Encoding: chunked", b"5\r\n{}", {400}, id="a chunk cut short"),
            pytest.param("Transfer-Encoding: chunked", b"zz\r\n{}", {400}, id="a chunk without size"),
            pytest.param("Content-Length: 0", b"", {400}, id="nothing"),
        ],
    )
    def test_it_is_refused_and_nothing_sent(
        self, wire: tuple[Stack, Function], head: str, body: bytes, status: set[int]
    ) -> None:
        stack, function = wire
        answer = self.answer(function, f"Content-Type: application/json\r\n{head}", body, hang_up=True)
        assert int(answer.split()[1]) in status
        assert b"ada@" not in answer
        assert stack.graph.calls == []
        assert stack.pubsub.messages(stack.config["queue"]["topic"]) == []

    def test_a_chunked_body_is_read(self, wire: tuple[Stack, Function]) -> None:
        _, function = wire
        body = orjson.dumps(add(dry_run=True))
        chunks = b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), body)
        head = "Content-Type: application/json\r\nTransfer-Encoding: chunked"
        assert self.answer(function, head, chunks, hang_up=False).split()[1] == b"200"


# Random input. The same each time, so that a run of the tests is worth as much as the last one.
def random_input(examples: int) -> settings:
    return settings(
        max_examples=examples,
        deadline=None,
        derandomize=True,
        database=None,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.large_base_example],
    )


ODD: Final = (
    None, True, False, 0, 1, -1, 7, 2**53 + 1, 2**63 - 1, 2**64 - 1, -(2**63), 0.0, -0.0, 1.5, 1e300, 5e-324,
    "canary", "Canary@Example.com", "a@b", "@", "+49 170 1234567", "0170", "(650) 253-0000", "0", "", " ", "1", "true",
    "denied", "granted", "add", "remove", "EMAIL", "acme", "globex", "1001", "act_1", "LDU", "US", "Deutschland", "CA",
    "2/16/1997", "1997-02-16", "0000-00-00", "99/99/9999", "undefined", "null", "f", "Frau", "94035-1234", "12.50",
    "38400000-8cf0-11bd-b23e-10b96e40000d", "00000000-0000-0000-0000-000000000000", "a" * 32, "A" * 40, "a" * 64,
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855", "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=",
    "13r3r3r3r5l1", "G111", "1YYN", "\x00", "\n", "e\u0301", "😀", "ﬀ", "İ", "ß", "\u202e", "\u0301", "١٢٣", "Ⅷ", "½",
)  # fmt: skip
scalars: Final = st.one_of(
    st.sampled_from(ODD), st.sampled_from(ODD), st.integers(-(2**63), 2**64 - 1), st.text(max_size=4)
)
KEYS: Final = tuple(AUDIENCE_KEYS)
keys: Final = st.sampled_from(
    [*KEYS, "email", " Phone ", "canary", "", "schema", "data", "state", "required", "audience_id"]
)


def containers(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.one_of(st.lists(inner, max_size=3), st.dictionaries(keys, inner, max_size=3))


# Two levels, since st.recursive takes several times as long.
json_values: Final = st.one_of(scalars, containers(st.one_of(scalars, containers(scalars))))
persons: Final = st.dictionaries(
    st.sampled_from([*KEYS, "email", " Phone "]),
    st.one_of(scalars, st.lists(scalars, max_size=3)),
    min_size=1,
    max_size=4,
)


@st.composite
def tables(draw: st.DrawFn) -> dict[str, Any]:
    schema = draw(st.lists(st.sampled_from(KEYS), min_size=1, max_size=4))
    row = st.lists(scalars, min_size=len(schema), max_size=len(schema))
    rows = draw(st.lists(st.one_of(row, row, row, json_values), min_size=1, max_size=3))
    return {"schema": draw(st.sampled_from([schema, ", ".join(schema)])), "data": rows}


@st.composite
def bodies(draw: st.DrawFn) -> dict[str, Any]:
    """Draw a body that is mostly as it should be."""
    action = draw(st.sampled_from(["add", "add", "add", "remove", "remove_from_all"]))
    destination = {"ad_account_id": "act_1"} if action == "remove_from_all" else {"audience_id": "1001"}
    body: dict[str, Any] = {"action": action, "destinations": [destination], "consent": deepcopy(GRANTED)}
    form = draw(st.sampled_from(["user", "users", "table", "event"]))
    if form == "user":
        body["user"] = draw(persons)
    elif form == "users":
        body["users"] = draw(st.lists(persons, min_size=1, max_size=4))
    elif form == "table":
        body["users"] = draw(tables())
    else:
        body["user_from_event"] = True
        body["event_data"] = {"user_data": {"email_address": draw(scalars), "address": draw(json_values)}}
    if draw(st.booleans()):
        body["destinations"].append({"audience_id": "2001", "connection": "globex", "value_based": draw(st.booleans())})
    for key in draw(
        st.lists(st.sampled_from(["optimistic", "debug", "dry_run", "data_processing", "page_ids"]), max_size=2)
    ):
        body[key] = {"data_processing": {"options": ["LDU"]}, "page_ids": ["1"]}.get(key, True)
    return body


def variants(body: dict[str, Any], junk: object) -> Iterator[dict[str, Any]]:
    """Yield *body* with *junk* in each of its places in turn, and with each taken away."""
    for number, (container, key) in enumerate(places(body)):
        kept = container[key]
        container[key] = junk
        yield body
        if number % 2 and isinstance(container, dict):
            del container[key]
            yield body
        container[key] = kept


def places(value: Any) -> Iterator[tuple[Any, Any]]:
    """Yield each place in *value* as its container and key."""
    for key, inner in list(value.items() if isinstance(value, dict) else enumerate(value)):
        yield value, key
        if isinstance(inner, dict | list):
            yield from places(inner)


Ports = tuple[Relay, seams.Meta, seams.Kept]


@pytest.fixture(scope="module")
def ports() -> Ports:
    """The relay, what it calls and what it publishes to."""
    meta, queue = seams.Meta(), seams.Kept()
    return seams.relay(transport=meta, queue=queue), meta, queue


class TestRandomBodies:
    """10,000 of them give no 500, and nothing that Meta would count as invalid leaves: `seams.Meta` checks that."""

    STATUSES: Final = frozenset({200, 202, 400, 403, 422})

    def check(self, ports: Ports, raw: bytes) -> int:
        relay, meta, queue = ports
        answered = seams.post(relay, raw)
        assert answered.status in self.STATUSES
        answer = orjson.loads(answered.body)
        check_shape(answer)
        check_repeats_nothing(answer)
        assert queue.dead == []
        assert meta.tokens <= {"Bearer TOKEN"}
        for data, _ in queue.messages:
            assert CANARY.encode() not in data.lower() or b"EXTERN_ID" in data or b"UID" in data
        meta.bodies.clear()
        queue.messages.clear()
        return answered.status

    # With 27 of them for each body that is drawn; drawing 10,000 by themselves would take ten times as long.
    @random_input(350)
    @given(body=bodies(), junk=json_values)
    def test_bodies_with_something_wrong_in_each_place_in_turn(
        self, ports: Ports, body: dict[str, Any], junk: object
    ) -> None:
        for variant in variants(body, junk):
            self.check(ports, orjson.dumps(variant))

    @random_input(250)
    @given(user=persons, table=tables())
    def test_people(self, ports: Ports, user: dict[str, Any], table: dict[str, Any]) -> None:
        self.check(ports, orjson.dumps(add("1001", user=user)))
        self.check(ports, orjson.dumps(add("1001", users=table)))

    @random_input(200)
    @given(
        body=st.dictionaries(st.sampled_from([*add(), "users", "event_data", "canary", ""]), json_values, max_size=4)
    )
    def test_anything_that_is_an_object(self, ports: Ports, body: dict[str, Any]) -> None:
        self.check(ports, orjson.dumps(body))

    @random_input(200)
    @given(raw=st.one_of(st.binary(max_size=64), json_values.map(orjson.dumps)))
    def test_any_bytes(self, ports: Ports, raw: bytes) -> None:
        self.check(ports, raw)


class TestRandomMessages:
    """Whatever a message holds, `deliver` does not raise: it is done with, or dead with a reason."""

    @staticmethod
    def check(ports: Ports, data: object, attributes: Mapping[str, str], *, may_wait: bool = False) -> None:
        relay, meta, queue = ports
        assert relay.deliver(Message(data=data, attributes=attributes, message_id="1")) or may_wait
        assert all(letter["reason"] for _, letter in queue.dead)
        meta.bodies.clear()
        queue.dead.clear()
        queue.messages.clear()

    attributes: Final = st.dictionaries(
        st.sampled_from(["type", "trace-id", "reason", "topic", "googclient_x"]),
        st.sampled_from(["audiences", "requests", "", "canary"]),
        max_size=2,
    )

    @random_input(50)
    @given(body=bodies(), junk=json_values, attributes=attributes)
    def test_bodies_with_something_wrong_in_each_place_in_turn(
        self, ports: Ports, body: dict[str, Any], junk: object, attributes: dict[str, str]
    ) -> None:
        for variant in variants(body, junk):
            self.check(ports, base64.b64encode(orjson.dumps(variant)).decode(), attributes)

    @random_input(200)
    @given(
        data=st.one_of(st.binary(max_size=64).map(lambda data: base64.b64encode(data).decode()), st.text(), json_values)
    )
    def test_any_data(self, ports: Ports, data: object) -> None:
        self.check(ports, data, {})

    @pytest.mark.parametrize("data", ["\ud800", 2**70, float("nan"), {"a": "\ud800"}, b"\xff", None, [], ["x"] * 3])
    def test_data_that_no_serializer_takes(self, ports: Ports, data: object) -> None:
        self.check(ports, data, {})

    @random_input(100)
    @given(junk=json_values)
    def test_messages_of_ours_with_something_wrong_in_each_place_in_turn(self, ports: Ports, junk: object) -> None:
        relay, meta, queue = ports
        seams.post(relay, add("1001", optimistic=True))
        (raw, attributes), *_ = queue.messages
        queue.messages.clear()
        meta.strict = False
        for variant in variants(orjson.loads(raw), junk):
            waits = variant.get("not_before") != 0 or '"connection":"acme"' not in orjson.dumps(variant).decode()
            data = base64.b64encode(orjson.dumps(variant)).decode()
            self.check(ports, data, attributes, may_wait=waits)
        meta.strict = True


class TestPushes:
    """Whatever a push holds, it is a dead letter, or functions-framework refuses it, which Pub/Sub counts itself."""

    @pytest.mark.parametrize("cloud_event", [False, True])
    @pytest.mark.parametrize(
        "body",
        [
            b"",
            b"null",
            b"[]",
            b'"canary"',
            b"{}",
            b"canary",
            b"\xff",
            b'{"message": null}',
            b'{"message": "canary"}',
            b'{"message": {"data": 7, "messageId": "1"}, "subscription": "s"}',
            b'{"message": {"data": {"a": "\\ud800"}, "messageId": "1"}, "subscription": "s"}',
            b'{"message": {"data": "e30=", "messageId": {}}, "subscription": "s"}',
            b'{"message": {"data": "e30=", "messageId": "1", "attributes": [1]}, "subscription": "s"}',
            b'{"message": {"data": "e30=", "messageId": "1", "attributes": {"type": 7}}, "subscription": "s"}',
            b'{"message": {"data": "e30=", "messageId": "1"}, "subscription": "s", "deliveryAttempt": "many"}',
            b'{"message": {"data": "e30=", "messageId": "1"}, "subscription": "s", "deliveryAttempt": -1}',
            b'{"message": {"data": "e30=", "messageId": "1"}, "subscription": "s", "deliveryAttempt": true}',
        ],
    )
    def test_it_does_not_raise(self, functions: Functions, body: bytes, *, cloud_event: bool) -> None:
        status = functions.push_body(body, cloud_event=cloud_event)
        # Of what is neither JSON nor an object nor a CloudEvent the framework makes no event, and falls over.
        assert status in ({200, 400} if cloud_event or body.startswith((b"{", b"[", b"null", b"c")) else {400, 500})
        if status == 200:
            (letter,) = functions.dead()
            assert letter.attributes["reason"]
