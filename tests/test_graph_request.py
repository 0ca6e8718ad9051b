"""Calls that can wait: sessions, messages and halves (design, sections 7 and 9)."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from hashlib import sha256
from typing import Any, Final

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lib.audiences import Batch
from lib.errors import InvalidRequestError
from lib.graph_request import (
    PARTNER_AGENT,
    GraphRequest,
    Requests,
    audience_call,
    event_call,
    parse_requests,
    session,
)

HASH: Final = "62a14e44f765419d10fea99367361a727c12365e2520f32218d505ed9aa0f62f"
MAX_SESSION: Final = 2**53


def call(rows: int = 3, *, action: str = "add", batch_seq: int = 1, last: bool = True, **more: Any) -> GraphRequest:
    """Return a call with *rows* rows, each of another text."""
    data: list[tuple[Any, ...]] = [(f"{number:064x}", "") for number in range(rows)]
    destination = {"ad_account_id": "42"} if action == "remove_from_all" else {"audience_id": "23850"}
    made: dict[str, Any] = {
        "action": action,
        "connection": "acme",
        "destination": destination,
        "session": session("seed", batch_seq=batch_seq, last=last),
        "batch_number": 1,
        "ids": {},
    }
    return audience_call(Batch(("EMAIL", "PHONE"), data, range(rows)), **(made | more))


USER_DATA: Final = {"em": [sha256(b"ada@example.com").hexdigest()]}


def events(count: int = 3, **more: Any) -> GraphRequest:
    """Return a call that sends *count* events."""
    made: dict[str, Any] = {
        "connection": "acme",
        "destination": {"dataset_id": "77"},
        "test_event_code": None,
        "batch_number": 1,
        "numbers": range(count),
    }
    return event_call(
        [{"event_name": "Lead", "event_id": str(number), "user_data": USER_DATA} for number in range(count)],
        **(made | more),
    )


def message(*calls: GraphRequest, **more: Any) -> Requests:
    stated: dict[str, Any] = {"kind": "audiences", "trace_id": "t-1", "caller": "sgtm"}
    return Requests(requests=calls or (call(),), **(stated | more))


def read(data: bytes) -> Requests:
    return parse_requests(orjson.loads(data))


class TestSession:
    @given(st.text(max_size=40), st.integers(1, 10**6), st.booleans())
    def test_its_id_is_positive_below_2_to_the_53rd_and_the_seeds_own(self, seed: str, batch: int, last: Any) -> None:
        made = session(seed, batch_seq=batch, last=last)
        assert made == session(seed, batch_seq=batch, last=last)
        assert made["batch_seq"] == batch
        assert made["last_batch_flag"] is last
        assert isinstance(made["session_id"], int)
        assert 0 < made["session_id"] < MAX_SESSION

    def test_the_batches_of_a_session_share_its_id(self) -> None:
        assert session("s", batch_seq=1, last=False)["session_id"] == session("s", batch_seq=2, last=True)["session_id"]

    def test_seeds_differ_in_their_ids(self) -> None:
        assert len({session(str(seed), batch_seq=1, last=True)["session_id"] for seed in range(10_000)}) == 10_000

    def test_the_id_is_the_same_in_every_process_and_release(self) -> None:
        assert session("seed", batch_seq=1, last=True)["session_id"] == 5163679758766282


class TestCall:
    @pytest.mark.parametrize(
        ("action", "method", "path"),
        [
            ("add", "POST", "23850/users"),
            ("remove", "DELETE", "23850/users"),
            ("remove_from_all", "DELETE", "act_42/usersofanyaudience"),
        ],
    )
    def test_method_and_path(self, action: str, method: str, path: str) -> None:
        made = call(action=action)
        assert (made.method, made.path) == (method, path)

    def test_its_body_is_an_array_schema_and_nested_rows(self) -> None:
        made = call(1, ids={"page_ids": ("7",), "app_ids": ()})
        assert orjson.loads(made.body_bytes()) == {
            "payload": {"schema": ["EMAIL", "PHONE"], "data": [[f"{0:064x}", ""]], "page_ids": ["7"]},
            "session": {"session_id": 5163679758766282, "batch_seq": 1, "last_batch_flag": True},
        }

    @pytest.mark.parametrize(("code", "extra"), [(None, {}), ("TEST1", {"test_event_code": "TEST1"})])
    def test_events(self, code: str | None, extra: dict[str, str]) -> None:
        made = events(1, test_event_code=code)
        assert (made.method, made.path, made.action) == ("POST", "77/events", "events")
        assert made.body == {
            "data": [{"event_name": "Lead", "event_id": "0", "user_data": USER_DATA}],
            "partner_agent": PARTNER_AGENT,
            **extra,
        }

    def test_it_does_not_show_its_rows(self) -> None:
        assert f"{1:064x}" not in repr(call())
        assert f"{1:064x}" not in repr(message())


class TestMessage:
    @pytest.mark.parametrize(
        "sent",
        [
            *(
                pytest.param(call(action=action, batch_number=4, ids={"page_ids": ("7",)}), id=action)
                for action in ("add", "remove", "remove_from_all")
            ),
            pytest.param(events(test_event_code="TEST1"), id="events"),
        ],
    )
    def test_a_call_comes_back_with_the_same_bytes(self, sent: GraphRequest) -> None:
        (back,) = read(message(sent).to_json()).requests
        assert back.body_bytes() == sent.body_bytes()
        kept = ("method", "path", "connection", "destination", "action", "batch", "part")
        assert [getattr(back, key) for key in kept] == [getattr(sent, key) for key in kept]
        assert list(back.numbers) == [0, 1, 2]

    def test_a_message_comes_back_and_forth_the_same(self) -> None:
        sent = message(call(), call(action="remove_from_all"), not_before=1_800_000_000.5)
        back = read(sent.to_json())
        assert (back.kind, back.trace_id, back.caller, back.not_before) == ("audiences", "t-1", "sgtm", 1_800_000_000.5)
        assert back.to_json() == sent.to_json() == read(back.to_json()).to_json()

    def test_the_same_request_makes_the_same_message(self) -> None:
        assert message().to_json() == message().to_json()

    def test_no_credential_is_stored(self) -> None:
        assert {*orjson.loads(message().to_json())["requests"][0]} == {
            "method",
            "path",
            "connection",
            "destination",
            "action",
            "batch",
            "body",
        }

    def test_a_message_of_this_form_stays_readable(self) -> None:
        """As the first release wrote it: what waits over an update must not be lost."""
        back = parse_requests(
            {
                "form": 1,
                "kind": "audiences",
                "trace_id": "t",
                "caller": "sgtm",
                "not_before": 0,
                "requests": [
                    {
                        "method": "POST",
                        "path": "1/users",
                        "connection": "acme",
                        "destination": {"audience_id": "1"},
                        "action": "add",
                        "batch": 1,
                        "body": {
                            "payload": {"schema": ["EMAIL"], "data": [[HASH]]},
                            "session": {"session_id": 5, "batch_seq": 1, "last_batch_flag": True},
                        },
                    }
                ],
            }
        )
        assert [one.path for one in back.requests] == ["1/users"]


def tampered(path: str, value: object, *calls: GraphRequest) -> dict[str, Any]:
    """Return a sound message in which *value* stands at *path*; `-` takes the key away."""
    changed: dict[str, Any] = orjson.loads(message(*calls).to_json())
    node: Any = changed
    *parents, last = path.split(".")
    for key in parents:
        node = node[int(key) if key.isdigit() else key]
    place = int(last) if last.isdigit() else last
    if value == "-":
        del node[place]
    else:
        node[place] = value
    return changed


SOUND: Final[Mapping[str, Any]] = orjson.loads(message().to_json())
TAMPERED: Final[list[tuple[str, object]]] = [
    ("form", 2),
    ("form", "1"),
    ("form", "-"),
    ("kind", "-"),
    ("kind", 5),
    ("trace_id", None),
    ("caller", ["sgtm"]),
    ("not_before", "0"),
    ("not_before", "inf"),
    ("not_before", True),
    ("requests", "-"),
    ("requests", []),
    ("requests", {}),
    ("requests", "text"),
    ("requests", [None]),
    ("requests", [[]]),
    ("requests.0.action", "replace"),
    ("requests.0.action", "remove"),
    ("requests.0.action", ["add"]),
    ("requests.0.action", "-"),
    ("requests.0.method", "DELETE"),
    ("requests.0.method", "GET"),
    ("requests.0.path", "23851/users"),
    ("requests.0.path", "me/accounts"),
    ("requests.0.connection", None),
    ("requests.0.connection", ["acme"]),
    ("requests.0.destination", {}),
    ("requests.0.destination", []),
    ("requests.0.destination", "23850"),
    ("requests.0.destination", {"audience_id": "23850", "ad_account_id": "1"}),
    ("requests.0.destination", {"audience_id": "23851"}),
    ("requests.0.destination", {"audience_id": None}),
    ("requests.0.destination", {"ad_account_id": "23850"}),
    ("requests.0.batch", "1"),
    ("requests.0.batch", "-"),
    ("requests.0.body", "-"),
    ("requests.0.body", []),
    ("requests.0.body.payload", "-"),
    ("requests.0.body.payload", []),
    ("requests.0.body.payload.schema", "EMAIL"),
    ("requests.0.body.payload.schema", ["EMAIL"]),
    ("requests.0.body.payload.data", "-"),
    ("requests.0.body.payload.data", []),
    ("requests.0.body.payload.data", "rows"),
    ("requests.0.body.payload.data", {"a": 1}),
    ("requests.0.body.payload.data", [["a", "b"], ["a"]]),
    ("requests.0.body.payload.data", ["ab"]),
    ("requests.0.body.session", "-"),
    ("requests.0.body.session", {}),
    ("requests.0.body.session", []),
    ("requests.0.body.session.session_id", "5"),
    ("requests.0.body.session.batch_seq", None),
    ("requests.0.body.session.last_batch_flag", 1),
]


class TestTampered:
    @pytest.mark.parametrize(
        ("path", "value"),
        [pytest.param(path, value, id=f"{number} {path} {value}") for number, (path, value) in enumerate(TAMPERED)],
    )
    def test_what_this_service_does_not_write_is_refused(self, path: str, value: object) -> None:
        with pytest.raises(InvalidRequestError) as caught:
            parse_requests(tampered(path, value))
        assert caught.value.field in {"form", "requests"}
        assert "23850" not in str(caught.value)

    @pytest.mark.parametrize("ident", ["../me", "1?access_token=x", "1/users#", "a b", "", "me/accounts?x="])
    def test_an_id_that_would_change_the_path_is_refused(self, ident: str) -> None:
        changed = tampered("requests.0.destination", {"audience_id": ident})
        changed["requests"][0]["path"] = f"{ident}/users"
        with pytest.raises(InvalidRequestError):
            parse_requests(changed)

    @given(st.data())
    @settings(max_examples=200)
    def test_whatever_is_changed_it_is_requests_or_an_invalid_request(self, data: st.DataObject) -> None:
        changed = copy.deepcopy(dict(SOUND))
        node: Any = changed
        while True:
            key = data.draw(st.sampled_from(list(node) if isinstance(node, dict) else list(range(len(node)))))
            if not isinstance(node[key], dict | list) or not node[key] or data.draw(st.booleans()):
                break
            node = node[key]
        node[key] = data.draw(
            st.recursive(
                st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3),
                lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=3), inner, max_size=2),
                max_leaves=5,
            )
        )
        try:
            back = parse_requests(changed)
        except InvalidRequestError:
            return
        for one in back.requests:
            assert one.body_bytes()
            assert len(one.rows) == len(one.numbers) > 0

    @pytest.mark.parametrize(
        "body",
        [
            {},
            {"data": []},
            {"data": {"event_name": "Lead"}},
            {"data": ["Lead"]},
            {"data": [[]]},
            {"data": [{}], "payload": {"data": []}},
            {"data": [{}], "session": {}},
            call().body,
            [],
            None,
        ],
        ids=repr,
    )
    def test_a_body_that_holds_no_events_is_refused(self, body: object) -> None:
        changed = orjson.loads(message(events()).to_json())
        changed["requests"][0]["body"] = body
        with pytest.raises(InvalidRequestError):
            parse_requests(changed)

    @pytest.mark.parametrize(
        ("made", "path", "value"),
        [
            pytest.param(call(), "requests.0.body.payload.data.0.0", "ada@example.com", id="people"),
            pytest.param(call(), "requests.0.body.payload.data.0.0", "A" * 64, id="people, upper case"),
            pytest.param(events(), "requests.0.body.data.0.user_data.em", ["ada@example.com"], id="events"),
            pytest.param(events(), "requests.0.body.data.0.user_data.ph", "491701234567", id="events, no list"),
        ],
    )
    def test_what_has_to_be_hashed_and_is_not_is_refused(self, made: GraphRequest, path: str, value: object) -> None:
        """Whoever may publish to the topic may not have the relay send addresses in the clear."""
        with pytest.raises(InvalidRequestError):
            parse_requests(tampered(path, value, made))

    def test_events_in_place_of_people_are_refused(self) -> None:
        with pytest.raises(InvalidRequestError):
            parse_requests(tampered("requests.0.body", dict(events().body)))


class TestHalves:
    @pytest.mark.parametrize("make", [pytest.param(call, id="people"), pytest.param(events, id="events")])
    @pytest.mark.parametrize("rows", [2, 3, 10, 51])
    def test_both_keep_all_rows_and_their_numbers(self, make: Callable[[int], GraphRequest], rows: int) -> None:
        whole = make(rows)
        first, second = whole.halves()
        assert [*first.rows, *second.rows] == list(whole.rows)
        assert [*first.numbers, *second.numbers] == list(whole.numbers)
        assert abs(len(first.rows) - len(second.rows)) <= 1

    def test_each_is_a_session_of_its_own(self) -> None:
        whole = call(batch_seq=3, last=False)
        sessions = [half.body["session"] for half in whole.halves()]
        assert [(one["batch_seq"], one["last_batch_flag"]) for one in sessions] == [(1, True), (1, True)]
        assert len({one["session_id"] for one in [*sessions, whole.body["session"]]}) == 3

    def test_halves_of_events_have_no_session_and_are_told_apart(self) -> None:
        halves = events(4).halves()
        assert [half.body.keys() for half in halves] == [{"data", "partner_agent"}] * 2
        assert len({half.part for half in (*halves, events(4))}) == 3
        assert [half.alone() for half in halves] == list(halves)

    def test_the_halves_of_halves_are_sessions_of_their_own_too(self) -> None:
        quarters = [quarter for half in call(8).halves() for quarter in half.halves()]
        assert len({quarter.body["session"]["session_id"] for quarter in quarters}) == 4

    def test_they_are_the_same_each_time(self) -> None:
        assert [half.body_bytes() for half in call(9).halves()] == [half.body_bytes() for half in call(9).halves()]

    def test_all_else_stays(self) -> None:
        whole = call(ids={"page_ids": ("7",)})
        for half in whole.halves():
            assert (half.method, half.path, half.destination) == (whole.method, whole.path, whole.destination)
            assert half.body["payload"]["page_ids"] == ["7"]


class TestAlone:
    def test_a_session_of_one_batch_stays_as_it_is(self) -> None:
        whole = call()
        assert whole.alone() is whole

    @pytest.mark.parametrize(("batch_seq", "last"), [(1, False), (2, False), (2, True)])
    def test_a_batch_among_others_becomes_a_session_of_its_own(self, batch_seq: int, last: Any) -> None:
        batch = call(batch_seq=batch_seq, last=last)
        alone = batch.alone()
        assert alone.body["session"]["batch_seq"] == 1
        assert alone.body["session"]["last_batch_flag"] is True
        assert alone.body["session"]["session_id"] != batch.body["session"]["session_id"]
        assert alone.body["payload"] == batch.body["payload"]
        assert alone.body_bytes() == batch.alone().body_bytes()

    def test_two_batches_of_a_session_become_two_sessions(self) -> None:
        alone = [call(batch_seq=number, last=False).alone() for number in (1, 2)]
        assert len({one.body["session"]["session_id"] for one in alone}) == 2
