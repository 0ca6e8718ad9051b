"""People recognised again, through the real entry points: whatever an identity service does, the event leaves."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Mapping
from hashlib import sha256
from typing import Any, Final

import orjson
import pytest

from tests.functions import DENIED, GRANTED, Functions
from tests.identity_service import IdentityService, answer, journal, visits
from tests.local.http_server import Reply
from tests.local.stack import DATASET, secret
from tests.test_identity_store import firestore_client

UUID: Final = "5f0c2f6e-2b9f-4a57-9d1a-0c0ffee00001"
LIMIT_S: Final = 0.3
#: What a busy machine adds.
GRACE_S: Final = 1.5
NOW: Final = int(time.time())
KEY: Final = secret("identity-key") + "/versions/latest"


def digest(text: str) -> str:
    return sha256(text.encode()).hexdigest()


def visit(client_id: str = "111.222", **more: Any) -> dict[str, Any]:
    """Return an event of somebody who says nothing but which browser it is."""
    return {
        "event_name": "page_view",
        "timestamp": NOW,
        "client_id": client_id,
        "page_location": "https://shop.example.de/",
        "user_agent": "Mozilla/5.0",
        "ip_override": "203.0.113.7",
    } | more


def login(client_id: str = "111.222", email: str = "ada@example.com", **more: Any) -> dict[str, Any]:
    return visit(client_id, user_data={"email_address": email} | more)


@pytest.fixture
def service(functions: Functions) -> Iterator[IdentityService]:
    """An identity service that the functions ask."""
    with IdentityService() as service:
        functions.stack.secrets.set(secret("identity-token"), service.token)
        functions.config["identity"] = {
            "endpoint": service.url,
            "access_token": secret("identity-token") + "/versions/latest",
            "timeout_ms": int(1000 * LIMIT_S),
            "enrich": {"fbc": "none"},
        }
        yield service


@pytest.fixture
def graph(functions: Functions) -> dict[str, Any]:
    """A graph within the process; return its configuration."""
    functions.stack.secrets.set(secret("identity-key"), "a key")
    functions.config["identity"] = {"memory": True, "key": KEY, "enrich": {"fbc": "last"}}
    functions.config["callers"]["sgtm"]["actions"] += ["erase"]
    identity: dict[str, Any] = functions.config["identity"]
    return identity


def send(functions: Functions, event: Mapping[str, Any], **more: Any) -> dict[str, Any]:
    """Send an event to `receive`; return what Meta got as its user_data."""
    before = len(functions.stack.graph.events(DATASET))
    answered = functions.receive({"consent": GRANTED, "event_data": event, **more}, path="/events")
    assert (200, "delivered") == (answered.status, answered["outcome"])
    (sent,) = functions.stack.graph.events(DATASET)[before:]
    user_data: dict[str, Any] = sent["user_data"]
    return user_data


class TestOmni:
    def test_the_first_form_gives_the_id_and_the_email_of_the_person(
        self, functions: Functions, service: IdentityService
    ) -> None:
        service.handle = lambda _body: visits(UUID, email=" Ada@Example.com ")
        user_data = send(functions, visit())
        assert ([digest("ada@example.com")], [digest(UUID)]) == (user_data["em"], user_data["external_id"])
        (row,) = functions.rows(kind="events")
        assert ("omni", "hit", 2) == (row["identity_source"], row["identity_outcome"], row["identity_fields_added"])
        assert row["identity_ms"] > 0
        assert {"client_ip_address": 1, "client_user_agent": 1} == orjson.loads(row["match_keys_before"])
        assert {"em", "external_id"} <= orjson.loads(row["match_keys_after"]).keys()

    def test_it_is_told_what_the_configuration_allows_and_nothing_else(
        self, functions: Functions, service: IdentityService
    ) -> None:
        service.handle = lambda _body: visits(UUID, email="ada@example.com")
        send(functions, login(phone_number="+49 170 1234567"))
        assert [
            {
                "platform": "meta-relay",
                "count_prev_visits": True,
                "anonymous_id": "111.222",
                "email": digest("ada@example.com"),
            }
        ] == service.bodies

    def test_clear_text_where_it_is_switched_on(self, functions: Functions, service: IdentityService) -> None:
        functions.config["identity"]["send"] = ["email", "phone", "fbclid", "event_name"]
        service.handle = lambda _body: visits(UUID)
        fbc = "fb.1.1772445602511.IwAR2mQx7"
        send(functions, {**login(phone_number="+49 170 1234567"), "common_cookie": {"_fbc": fbc}})
        (body,) = service.bodies
        assert ("ada@example.com", "491701234567", fbc) == (body["email"], body["phone"], body["fbclid"])
        assert {"action": "page_view"} == body["valuation_properties"]
        assert "anonymous_id" not in body

    @pytest.mark.parametrize(("which", "expected"), [("first", "AAA"), ("last", "CCC")])
    def test_the_second_form_gives_a_click_within_the_window_and_the_latest_email(
        self, functions: Functions, service: IdentityService, which: str, expected: str
    ) -> None:
        functions.config["identity"]["enrich"] = {"fbc": which, "look_back_days": 30}
        day = 86_400

        def entry(days: int, **more: str) -> dict[str, Any]:
            created = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(NOW - days * day))
            return {"anonymous_id": "111.222", "platform": "web", "created_at": f"{created}.123456Z", **more}

        service.handle = lambda _body: journal(
            entry(1, fbclid=f"fb.1.{1000 * (NOW - day)}.CCC"),
            entry(20, fbclid="AAA", email="old@example.com"),
            {"created_at": "yesterday", "fbclid": "XXX", "email": "nobody@example.com"},
            entry(5, fbclid="BBB", email="ada@example.com"),
            entry(60, fbclid="TOO-OLD"),
        )
        user_data = send(functions, visit())
        assert expected == user_data["fbc"].rpartition(".")[2]
        assert user_data["fbc"].startswith("fb.1.1")
        assert [digest("ada@example.com")] == user_data["em"]
        assert "count_prev_visits" not in service.bodies[0]

    def test_what_the_event_states_is_never_overwritten(self, functions: Functions, service: IdentityService) -> None:
        functions.config["identity"]["enrich"] = {"fbc": "last"}
        service.handle = lambda _body: journal(
            {"created_at": "2026-01-01T00:00:00Z", "fbclid": "X", "email": "ada@example.com"}
        )
        fbc = f"fb.1.{1000 * NOW}.Own"
        user_data = send(functions, {**login(), "user_id": "c-1", "common_cookie": {"_fbc": fbc}})
        stated = ([digest("ada@example.com")], [digest("c-1")], fbc)
        assert stated == (user_data["em"], user_data["external_id"], user_data["fbc"])

    def test_a_visitor_is_asked_about_once(self, functions: Functions, service: IdentityService) -> None:
        for _ in range(3):
            send(functions, visit())
        assert 1 == len(service.bodies)

    def test_many_are_asked_about_over_one_connection(self, functions: Functions, service: IdentityService) -> None:
        for number in range(5):
            send(functions, visit(f"{number}.1"))
        assert (5, 1) == (len(service.bodies), len(service.connections))

    @pytest.mark.parametrize(
        ("handle", "error_type"),
        [
            pytest.param(lambda _b: answer({}, 400), "IdentityRefusedError", id="400"),
            pytest.param(lambda _b: answer({}, 401), "IdentityRefusedError", id="401"),
            pytest.param(lambda _b: answer({}, 403), "IdentityRefusedError", id="403"),
            pytest.param(lambda _b: answer({}, 429), "IdentityUnreachableError", id="429"),
            pytest.param(lambda _b: answer({}, 500), "IdentityUnreachableError", id="500"),
            pytest.param(
                lambda _b: answer({"success": False, "error": {"message": "ada@example.com?", "code": 7}}),
                "IdentityAnswerError",
                id="no success",
            ),
            pytest.param(lambda _b: Reply(200, b"<html>"), "IdentityAnswerError", id="HTML"),
            pytest.param(lambda _b: answer([]), "IdentityAnswerError", id="a list"),
            pytest.param(lambda _b: answer({"data": {}}), "IdentityAnswerError", id="nobody"),
            pytest.param(lambda _b: visits("ada@example.com"), "IdentityAnswerError", id="an address as uuid"),
            pytest.param(lambda _b: visits("491701234567"), "IdentityAnswerError", id="a phone number as uuid"),
            pytest.param(lambda _b: visits(UUID, email="eve@example.com"), "IdentityMismatchError", id="somebody else"),
            pytest.param(lambda _b: Reply(200, b"{" * 500, half=True), "IdentityUnreachableError", id="half an answer"),
            pytest.param(lambda _b: None, "IdentityUnreachableError", id="no answer"),
        ],
    )
    def test_whatever_it_answers_the_event_leaves_as_it_is(
        self,
        functions: Functions,
        service: IdentityService,
        capfd: pytest.CaptureFixture[str],
        handle: Callable[[Any], Reply | None],
        error_type: str,
    ) -> None:
        service.handle = handle
        user_data = send(functions, login())
        assert [digest("ada@example.com")] == user_data["em"]
        assert "external_id" not in user_data
        (row,) = functions.rows(kind="events")
        assert ("failed", 0) == (row["identity_outcome"], row["identity_fields_added"])
        logged = capfd.readouterr().err
        (error,) = [line["error"] for line in map(orjson.loads, filter(None, logged.splitlines())) if "error" in line]
        assert (error_type, "identify", "Omni Identity") == (error["type"], error["process"], error["scope"])
        assert "ada@" not in logged

    def test_it_is_not_waited_for_longer_than_configured(self, functions: Functions, service: IdentityService) -> None:
        send(functions, visit("9.9"))
        service.wait(20)
        began = time.monotonic()
        user_data = send(functions, login())
        assert time.monotonic() - began < LIMIT_S + GRACE_S
        assert [digest("ada@example.com")] == user_data["em"]
        assert "external_id" not in user_data

    def test_one_that_is_slow_is_waited_for_within_the_limit(
        self, functions: Functions, service: IdentityService
    ) -> None:
        functions.config["identity"]["timeout_ms"] = 4_000
        service.wait(0.2)
        assert [digest(UUID)] == send(functions, visit())["external_id"]

    def test_one_that_fails_again_and_again_is_left_alone(self, functions: Functions, service: IdentityService) -> None:
        service.handle = lambda _body: answer({}, 500)
        for number in range(8):
            send(functions, visit(f"{number}.1"))
        assert 5 == len(service.bodies)

    def test_a_token_that_was_renewed_is_used_at_once(self, functions: Functions, service: IdentityService) -> None:
        service.handle = lambda _body: visits(UUID)
        send(functions, visit("1.1"))
        service.token = "another"
        functions.stack.secrets.set(secret("identity-token"), "another")
        assert [digest(UUID)] == send(functions, visit("1.2"))["external_id"]

    def test_a_secret_that_cannot_be_read_stops_no_event(self, functions: Functions, service: IdentityService) -> None:
        functions.stack.secrets.deny(secret("identity-token"))
        assert [digest("ada@example.com")] == send(functions, login())["em"]
        assert [] == service.bodies

    def test_a_caller_can_do_without(self, functions: Functions, service: IdentityService) -> None:
        assert "external_id" not in send(functions, visit(), identity={"enabled": False})
        assert [] == service.bodies

    def test_nobody_is_asked_about_whom_consent_is_missing(
        self, functions: Functions, service: IdentityService
    ) -> None:
        answered = functions.receive({"consent": DENIED, "event_data": visit()}, path="/events")
        assert "withheld" == answered["outcome"]
        assert [] == service.bodies


@pytest.mark.emulator
class TestFirestore:
    def test_another_instance_knows_what_one_has_learned_and_forgets_what_one_has_forgotten(
        self, functions: Functions, graph: dict[str, Any]
    ) -> None:
        firestore_client("local").close()
        functions.environ["FIRESTORE_EMULATOR_HOST"] = os.environ["RELAY_TEST_FIRESTORE_EMULATOR"]
        del graph["memory"]
        graph |= {"firestore": {"collection": f"people_{time.time_ns()}"}, "timeout_ms": 5_000}
        send(functions, login())
        functions.restart()
        assert [digest("ada@example.com")] == send(functions, visit())["em"]
        functions.publish({"user": {"EMAIL": "ada@example.com"}}, type="erase")
        functions.drain()
        functions.restart()
        assert "em" not in send(functions, visit())


class TestGraph:
    def test_messages_are_recognised_and_learned_too(self, functions: Functions, graph: dict[str, Any]) -> None:
        del graph
        for event in (login(), visit()):
            functions.publish({"consent": GRANTED, "event_data": event}, type="events")
            assert 0 == functions.deliver_once()
        sent = [event["user_data"].get("em") for event in functions.stack.graph.events(DATASET)]
        assert [[digest("ada@example.com")]] * 2 == sent
        assert ["miss", "hit"] == [row["identity_outcome"] for row in functions.rows(kind="events")]

    def test_each_event_of_a_request_is_recognised_by_itself(self, functions: Functions, graph: dict[str, Any]) -> None:
        del graph
        for number in range(3):
            send(functions, login(f"{number}.1", f"person{number}@example.com"))
        events = [visit(f"{number}.1") for number in (2, 0, 9, 1)]
        functions.receive({"consent": GRANTED, "events": events}, path="/events")
        sent = functions.stack.graph.events(DATASET)[3:]
        people = [digest(f"person{number}@example.com") if number < 9 else None for number in (2, 0, 9, 1)]
        assert people == [event["user_data"].get("em", [None])[0] for event in sent]

    def test_the_event_the_identity_and_then_the_cookie(self, functions: Functions, graph: dict[str, Any]) -> None:
        del graph
        functions.stack.secrets.set(secret("enhancement"), "another key")
        functions.config["event_enhancement"] = {"key": secret("enhancement") + "/versions/latest"}
        send(functions, login("1.1", "ada@example.com"))
        body = {
            "consent": GRANTED,
            "cookies": {},
            "event_data": login("2.2", "bob@example.com", phone_number="+49 170 1"),
        }
        cookie = functions.receive(body, path="/events")["cookies"]["_gtmeec"]
        both = send(functions, visit("1.1"), cookies={"_gtmeec": cookie})
        assert [digest("ada@example.com")] == both["em"]
        # A browser remembers what it has said itself, and nothing that identity knows.
        answered = functions.receive({"consent": GRANTED, "cookies": {}, "event_data": visit("1.1")}, path="/events")
        assert "_gtmeec" not in answered["cookies"]
        alone = send(functions, visit("3.3"), cookies={"_gtmeec": cookie})
        assert [digest("bob@example.com")] == alone["em"]

    def test_nothing_of_a_person_is_logged(
        self, functions: Functions, graph: dict[str, Any], capfd: pytest.CaptureFixture[str]
    ) -> None:
        del graph
        functions.config["log_level"] = "DEBUG"
        send(functions, login(phone_number="+49 170 7654321"))
        send(functions, visit())
        functions.receive({"user": {"EMAIL": "ada@example.com"}}, path="/erase")
        logged = capfd.readouterr().err + str(functions.stack.rows())
        parts = ("ada@", "7654321", "111.222", digest("ada@example.com"), digest("491707654321"))
        assert [] == [part for part in parts if part in logged]

    def test_a_visitor_is_known_by_what_an_earlier_visit_has_said(
        self, functions: Functions, graph: dict[str, Any]
    ) -> None:
        del graph
        fbc = f"fb.1.{1000 * NOW}.Click"
        first = send(
            functions,
            {**login(phone_number="+49 170 1234567", address={"first_name": "Ada"}), "common_cookie": {"_fbc": fbc}},
        )
        then = send(functions, visit())
        assert "external_id" not in first
        added = {key: then[key] for key in ("em", "ph", "fn")}
        assert {key: first[key] for key in ("em", "ph", "fn")} == added
        assert fbc == then["fbc"]
        assert 1 == len(then["external_id"])

    def test_on_another_device_too_and_under_the_same_id(self, functions: Functions, graph: dict[str, Any]) -> None:
        del graph
        send(functions, login("1.1"))
        send(functions, login("2.2"))
        one, other = send(functions, visit("1.1")), send(functions, visit("2.2"))
        assert (one["em"], one["external_id"]) == (other["em"], other["external_id"])

    @pytest.mark.parametrize(
        ("enrich", "kept"),
        [
            ({"fields": ["em"], "external_id": False}, {"em"}),
            ({"fields": [], "external_id": True}, {"external_id"}),
            ({"fields": [], "external_id": False}, set()),
        ],
        ids=["the e-mail", "the id", "nothing"],
    )
    def test_each_part_can_be_switched_off(
        self, functions: Functions, graph: dict[str, Any], enrich: dict[str, Any], kept: set[str]
    ) -> None:
        graph["enrich"] = enrich
        send(functions, login(phone_number="+49 170 1234567"))
        assert kept == send(functions, visit()).keys() - {"client_ip_address", "client_user_agent"}

    def test_who_withdraws_consent_is_forgotten(self, functions: Functions, graph: dict[str, Any]) -> None:
        del graph
        send(functions, login())
        assert "em" in send(functions, visit())
        functions.receive({"consent": DENIED, "event_data": visit()}, path="/events")
        assert "em" not in send(functions, visit())

    def test_a_dry_run_learns_nothing_and_shows_what_is_known(
        self, functions: Functions, graph: dict[str, Any]
    ) -> None:
        del graph
        for event in (login(), visit()):
            shown = functions.receive({"consent": GRANTED, "event_data": event, "dry_run": True}, path="/events")
        (sent,) = shown.result["requests"][0]["body"]["data"]
        assert "em" not in sent["user_data"]

    def test_the_person_of_an_event_is_added_to_an_audience_by_what_is_known(
        self, functions: Functions, graph: dict[str, Any]
    ) -> None:
        del graph
        send(functions, login())
        answered = functions.receive(
            {
                "action": "add",
                "destinations": [{"audience_id": "1001"}],
                "consent": GRANTED,
                "user_from_event": True,
                "event_data": visit(),
                "debug": True,
            }
        )
        assert (200, "delivered") == (answered.status, answered["outcome"])
        payload = answered.result["requests"][0]["body"]["payload"]
        assert ["EMAIL", "EXTERN_ID"] == payload["schema"]
        (row,) = functions.rows(kind="audiences")
        assert ("graph", "hit", 2) == (row["identity_source"], row["identity_outcome"], row["identity_fields_added"])

    def test_somebody_unknown_gets_an_id_of_the_first_party_id(
        self, functions: Functions, graph: dict[str, Any]
    ) -> None:
        graph["user_id"] = True
        first = send(functions, visit())
        functions.restart()
        assert first["external_id"] == send(functions, visit())["external_id"]
        assert first["external_id"] != send(functions, visit("3.3"))["external_id"]

    def test_ids_alone_need_no_resolver(self, functions: Functions, graph: dict[str, Any]) -> None:
        del graph["memory"], graph["enrich"]
        graph["user_id"] = True
        first = send(functions, visit())
        assert first["external_id"] == send(functions, visit())["external_id"]
        assert "first_party" == functions.rows(kind="events")[0]["identity_source"]
