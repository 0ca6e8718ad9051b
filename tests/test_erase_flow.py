"""`POST /erase`: a person is forgotten here and removed from every audience of every connection of the caller."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import orjson
import pytest

from tests.functions import DENIED, Functions, add
from tests.identity_service import IdentityService
from tests.local.stack import ACCOUNT, OTHER_ACCOUNT, secret
from tests.test_identity_end_to_end import digest, login, send, visit

EMAIL: Final = "ada@example.com"


@pytest.fixture(autouse=True)
def allowed(functions: Functions) -> None:
    """The caller may erase, and people are recognised."""
    functions.config["callers"]["sgtm"]["actions"] += ["erase"]
    functions.stack.secrets.set(secret("identity-key"), "a key")
    functions.config["identity"] = {"memory": True, "key": secret("identity-key") + "/versions/latest"}


def added(functions: Functions, *audiences: str, **user: Any) -> None:
    """Add somebody to audiences of both businesses."""
    for audience in audiences or ("1001", "2001"):
        connection = {"connection": "globex"} if audience == "2001" else {}
        body = add(user=user or {"EMAIL": EMAIL}, destinations=[{"audience_id": audience} | connection])
        assert 200 == functions.receive(body).status


def erase(functions: Functions, **body: Any) -> Any:
    return functions.receive({"user": {"EMAIL": EMAIL}} | body, path="/erase")


class TestErase:
    def test_is_done_everywhere_and_says_where(self, functions: Functions) -> None:
        added(functions)
        send(functions, login())
        answered = erase(functions)
        assert (200, "delivered") == (answered.status, answered["outcome"])
        assert [{"identity": "graph"}, {"ad_account_id": ACCOUNT}, {"ad_account_id": OTHER_ACCOUNT}] == [
            result["destination"] for result in answered["results"]
        ]
        assert 2 == answered["results"][0]["num_received"]
        assert {"1001": 0, "2001": 0}.items() <= functions.stack.graph.counts().items()
        assert "em" not in send(functions, visit())
        logged = [(row["action"], row["destination"], row["outcome"]) for row in functions.rows(kind="erase")]
        assert [
            ("erase", "graph", "delivered"),
            ("remove_from_all", ACCOUNT, "delivered"),
            ("remove_from_all", OTHER_ACCOUNT, "delivered"),
        ] == sorted(logged)

    def test_by_what_the_graph_knows_besides(self, functions: Functions) -> None:
        added(functions, "1001", PHONE="+49 170 1234567")
        send(functions, login(phone_number="+49 170 1234567"))
        assert 1 == functions.stack.graph.counts()["1001"]
        assert "delivered" == erase(functions)["outcome"]
        assert 0 == functions.stack.graph.counts()["1001"]

    def test_by_a_device_alone(self, functions: Functions) -> None:
        added(functions)
        send(functions, login("7.7"))
        answered = functions.receive({"event_data": {"client_id": "7.7"}}, path="/erase")
        assert "delivered" == answered["outcome"]
        assert {"1001": 0, "2001": 0}.items() <= functions.stack.graph.counts().items()

    def test_somebody_who_was_added_with_one_of_several_identifiers_alone(self, functions: Functions) -> None:
        added(functions)
        erase(functions, user={"EMAIL": [EMAIL, "ada@example.org"], "PHONE": "+49 170 1234567", "FN": "Ada"})
        assert {"1001": 0, "2001": 0}.items() <= functions.stack.graph.counts().items()

    def test_of_the_named_connection_alone(self, functions: Functions) -> None:
        added(functions)
        answered = erase(functions, connection="globex")
        assert [{"identity": "graph"}, {"ad_account_id": OTHER_ACCOUNT}] == [
            result["destination"] for result in answered["results"]
        ]
        assert {"1001": 1, "2001": 0}.items() <= functions.stack.graph.counts().items()

    def test_a_connection_without_an_ad_account_is_told_of(self, functions: Functions) -> None:
        del functions.config["connections"]["globex"]["ad_account_id"]
        answered = erase(functions)
        assert ["the connection globex has no ad_account_id: nothing is removed there"] == answered["warnings"]
        assert "delivered" == answered["outcome"]

    def test_a_dry_run_shows_what_would_be_removed_and_forgets_nobody(self, functions: Functions) -> None:
        added(functions)
        send(functions, login())
        answered = erase(functions, dry_run=True)
        assert ("dry_run", ["identity: a dry run forgets nobody"]) == (answered["outcome"], answered["warnings"])
        assert 1 == len(answered["results"][1]["requests"])
        assert [digest(EMAIL)] == send(functions, visit())["em"]
        assert 1 == functions.stack.graph.counts()["1001"]

    def test_without_identity_the_audiences_are_all_there_is(self, functions: Functions) -> None:
        del functions.config["identity"]
        added(functions)
        answered = erase(functions)
        assert [{"ad_account_id": ACCOUNT}, {"ad_account_id": OTHER_ACCOUNT}] == [
            result["destination"] for result in answered["results"]
        ]

    def test_a_service_has_to_be_asked_itself(self, functions: Functions) -> None:
        with IdentityService() as service:
            functions.stack.secrets.set(secret("identity-token"), service.token)
            functions.config["identity"] = {
                "endpoint": service.url,
                "access_token": secret("identity-token") + "/versions/latest",
            }
            send(functions, visit())
            answered = erase(functions)
            assert ("partial", {"identity": "omni"}) == (
                answered["outcome"],
                answered["results"][0]["destination"],
            )
            assert answered["warnings"][0].startswith("identity: the service keeps what it knows")
            send(functions, visit())
            assert 2 == len(service.bodies)


class TestWhoMay:
    def test_only_a_caller_with_the_action(self, functions: Functions) -> None:
        functions.config["callers"]["sgtm"]["actions"].remove("erase")
        assert 403 == erase(functions).status

    def test_only_its_own_connections(self, functions: Functions) -> None:
        functions.config["callers"]["sgtm"]["connections"] = ["globex"]
        added(functions, "2001")
        answered = erase(functions)
        assert [{"identity": "graph"}, {"ad_account_id": OTHER_ACCOUNT}] == [
            result["destination"] for result in answered["results"]
        ]
        assert 403 == erase(functions, connection="acme").status

    @pytest.mark.parametrize(
        ("body", "field"),
        [
            pytest.param({}, "user", id="nobody"),
            pytest.param({"user": "ada@example.com"}, "user", id="a text"),
            pytest.param({"user": {}}, "user", id="no key"),
            pytest.param({"user": {"MAIL": "a@example.com"}}, "user", id="a key that is not known"),
            pytest.param({"user": {"EMAIL": "a@example.com"}, "connection": "x"}, "connection", id="a connection"),
            pytest.param({"user": {"EMAIL": "a"}, "identity": {"anonymous_id": {}}}, "identity.anonymous_id", id="id"),
        ],
    )
    def test_a_body_that_is_not_understood_is_refused(
        self, functions: Functions, body: dict[str, Any], field: str
    ) -> None:
        answered = functions.receive(body, path="/erase")
        assert (400, field) == (answered.status, answered["error"]["field"])

    def test_nobody_who_can_be_found_is_rejected(self, functions: Functions) -> None:
        del functions.config["identity"]
        answered = erase(functions, user={"EMAIL": "no address"})
        assert (422, "rejected") == (answered.status, answered["outcome"])


class TestFailures:
    @pytest.fixture
    def mend(self, functions: Functions) -> Callable[[], None]:
        """Put the graph where nobody answers; calling what this returns puts it within reach."""
        within_reach = functions.config["identity"]
        functions.environ["FIRESTORE_EMULATOR_HOST"] = "127.0.0.1:9"
        functions.config["identity"] = {"firestore": {}, "key": within_reach["key"], "timeout_ms": 200}

        def mend() -> None:
            functions.config["identity"] = within_reach
            functions.restart()

        return mend

    def test_who_is_not_forgotten_is_removed_all_the_same_and_the_caller_told_to_come_again(
        self, functions: Functions, mend: Callable[[], None]
    ) -> None:
        added(functions)
        answered = erase(functions)
        assert (503, "partial") == (answered.status, answered["outcome"])
        assert "10" == answered.headers["Retry-After"]
        assert "IdentityUnreachableError" == answered["results"][0]["error"]["type"]
        assert {"1001": 0, "2001": 0}.items() <= functions.stack.graph.counts().items()
        mend()
        assert (200, "delivered") == ((again := erase(functions)).status, again["outcome"])

    def test_a_message_stays_until_the_person_is_forgotten(
        self, functions: Functions, mend: Callable[[], None]
    ) -> None:
        added(functions)
        functions.publish({"user": {"EMAIL": EMAIL}}, type="erase")
        assert 1 == functions.deliver_once()
        assert ["failed"] == [row["outcome"] for row in functions.rows(kind="erase", action="erase")]
        mend()
        assert 0 == functions.deliver_once()
        assert {"1001": 0, "2001": 0}.items() <= functions.stack.graph.counts().items()
        assert [] == functions.dead()

    def test_what_meta_does_not_take_is_left_to_the_queue(self, functions: Functions) -> None:
        added(functions)
        functions.stack.graph.throttle(ACCOUNT, seconds=2)
        answered = erase(functions)
        assert (202, "queued") == (answered.status, answered["outcome"])
        assert ["delivered", "queued", "delivered"] == [result["outcome"] for result in answered["results"]]

    def test_a_withdrawal_that_cannot_be_followed_is_left_to_the_queue(
        self, functions: Functions, mend: Callable[[], None]
    ) -> None:
        answered = functions.receive({"consent": DENIED, "event_data": login()}, path="/events")
        assert ("withheld", ["consent is missing: ad_user_data"]) == (answered["outcome"], answered["warnings"])
        assert 1 == functions.deliver_once()
        (waiting,) = functions.waiting()
        assert {"keys"} == orjson.loads(waiting.message.data).keys()
        assert b"ada@" not in waiting.message.data
        mend()
        functions.drain()
        assert ["delivered"] == [row["outcome"] for row in functions.rows(kind="erase", action="forget")]
        assert [] == functions.dead()

    @pytest.mark.usefixtures("mend")
    def test_without_a_queue_it_is_told_of(self, functions: Functions) -> None:
        del functions.config["queue"]
        answered = functions.receive({"consent": DENIED, "event_data": login()}, path="/events")
        assert [one for one in answered["warnings"] if one.startswith("identity: a withdrawal")]

    @pytest.mark.parametrize("keys", [None, "em:a", ["ada@example.com"], [5], [["em:" + "a" * 64]]])
    def test_a_message_that_is_none_of_ours_is_a_dead_letter(self, functions: Functions, keys: object) -> None:
        functions.publish({"keys": keys}, type="forget")
        functions.drain()
        assert ["keys: not a message that this service has written"] == [
            letter.attributes["reason"] for letter in functions.dead()
        ]
