"""The stand-in for Meta's Graph API, held to what Meta documents."""

import hashlib
import hmac
import threading
import time
import uuid
from collections.abc import Iterator, Mapping
from typing import Any, Final

import pytest
import requests

from tests.local.faults import Fault
from tests.local.graph_api import App, GraphAPI

TOKEN: Final = "EAA-a-token"
SECRET: Final = "an app secret"
MADID: Final = "38400000-8cf0-11bd-b23e-10b96e40000d"


def digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class Caller:
    """A plain HTTP caller with the token in its header."""

    def __init__(self, graph: GraphAPI) -> None:
        self.graph = graph
        self.session = requests.Session()
        self.token = TOKEN

    def call(self, method: str, path: str, **more: Any) -> requests.Response:
        headers = {"Authorization": f"Bearer {self.token}", **more.pop("headers", {})}
        url = f"{self.graph.url}{path}"
        return self.session.request(method, url, headers=headers, timeout=10, allow_redirects=False, **more)

    def users(
        self,
        schema: list[str],
        data: list[list[Any]],
        *,
        method: str = "POST",
        path: str = "/v26.0/123/users",
        session: Mapping[str, Any] | None = None,
        **payload: Any,
    ) -> requests.Response:
        body: dict[str, Any] = {"payload": {"schema": schema, "data": data, **payload}}
        if session is not None:
            body["session"] = session
        return self.call(method, path, json=body)

    def emails(self, *names: str, **more: Any) -> requests.Response:
        return self.users(["EMAIL"], [[digest(name)] for name in names], **more)


def error(response: requests.Response) -> tuple[int, int, int | None]:
    """Return status, code and subcode."""
    body = response.json()["error"]
    assert body["fbtrace_id"]
    assert body["message"]
    return response.status_code, body["code"], body.get("error_subcode")


def emails(*names: str) -> set[frozenset[tuple[str, str]]]:
    return {frozenset([("EMAIL", digest(name))]) for name in names}


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def graph(clock: Clock) -> Iterator[GraphAPI]:
    with GraphAPI(tokens={TOKEN: App(accounts={"1", "2"})}, clock=clock) as graph:
        graph.add_audience("123", account="1")
        yield graph


@pytest.fixture
def caller(graph: GraphAPI) -> Iterator[Caller]:
    made = Caller(graph)
    with made.session:
        yield made


class TestMembers:
    def test_adding_again_changes_nothing(self, graph: GraphAPI, caller: Caller) -> None:
        for _ in range(2):
            answer = caller.emails("ada", "bob").json()
            assert answer["audience_id"] == "123"
            assert (answer["num_received"], answer["num_invalid_entries"]) == (2, 0)
        assert graph.members("123") == emails("ada", "bob")
        assert graph.counts() == {"123": 2}
        assert graph.violations == []

    def test_a_person_is_all_identifiers_that_are_not_blank(self, graph: GraphAPI, caller: Caller) -> None:
        schema = ["EMAIL", "FN", "MADID", "DATA_PROCESSING_OPTIONS", "DATA_PROCESSING_OPTIONS_COUNTRY"]
        caller.users(schema, [[digest("ada"), "", MADID, ["LDU"], 1]])
        assert graph.members("123") == {frozenset([("EMAIL", digest("ada")), ("MADID", MADID)])}

    def test_removing_takes_everybody_who_shares_an_identifier(self, graph: GraphAPI, caller: Caller) -> None:
        caller.users(["EMAIL", "PHONE"], [[digest("ada"), digest("1")], [digest("bob"), digest("2")]])
        caller.emails("ada", "cleo")
        assert caller.emails("ada", method="DELETE").json()["num_received"] == 1
        assert graph.counts() == {"123": 2}
        caller.users(["PHONE", "EMAIL"], [[digest("2"), ""]], method="DELETE")
        assert graph.members("123") == emails("cleo")

    def test_a_shared_country_or_name_alone_removes_nobody_else(self, graph: GraphAPI, caller: Caller) -> None:
        schema = ["EMAIL", "FN", "COUNTRY"]
        caller.users(schema, [[digest("ada"), digest("x"), digest("de")], [digest("bob"), "", digest("de")]])
        caller.users(schema, [[digest("ada"), "", digest("de")]], method="DELETE")
        assert graph.counts() == {"123": 1}
        caller.users(["FN", "COUNTRY"], [[digest("y"), digest("de")]], method="DELETE")
        assert graph.counts() == {"123": 1}
        caller.users(["COUNTRY"], [[digest("de")]], method="DELETE")
        assert graph.counts() == {"123": 0}

    def test_who_was_removed_can_be_added_and_removed_again(self, graph: GraphAPI, caller: Caller) -> None:
        for _ in range(3):
            caller.emails("ada")
            assert graph.counts() == {"123": 1}
            caller.emails("ada", method="DELETE")
            assert graph.counts() == {"123": 0}

    def test_removing_from_any_audience_reaches_those_of_the_account_only(
        self, graph: GraphAPI, caller: Caller
    ) -> None:
        graph.add_audience("124", account="1")
        graph.add_audience("200", account="2")
        for audience in ("123", "124", "200"):
            caller.emails("ada", "bob", path=f"/v26.0/{audience}/users")
        response = caller.emails("ada", method="DELETE", path="/v26.0/act_1/usersofanyaudience")
        assert response.json()["num_received"] == 1
        assert graph.counts() == {"123": 1, "124": 1, "200": 2}

    def test_ten_thousand_rows_of_fourteen_columns_take_a_fraction_of_a_second(
        self, graph: GraphAPI, caller: Caller
    ) -> None:
        hashed = ["EMAIL", "PHONE", "GEN", "DOBY", "DOBM", "DOBD", "LN", "FN", "CT", "ST", "ZIP", "COUNTRY"]
        rows = [
            [digest(f"{key}{row}") for key in hashed] + [str(uuid.UUID(int=row + 1)), str(row)] for row in range(10_000)
        ]
        for method, count in (("POST", 10_000), ("DELETE", 0)):
            started = time.process_time()  # what other processes do does not count
            caller.users([*hashed, "MADID", "EXTERN_ID"], rows, method=method)
            assert time.process_time() - started < 15  # 0.3 and 0.6 s, the caller's own share included
            assert graph.counts() == {"123": count}


class TestRows:
    @pytest.mark.parametrize(
        ("schema", "row", "reason"),
        [
            pytest.param(["EMAIL"], [digest("a").upper()], "EMAIL: invalid hash", id="upper case"),
            pytest.param(["EMAIL"], ["ada@example.com"], "EMAIL: invalid hash", id="clear text"),
            pytest.param(["EMAIL"], [digest("a")[:63]], "EMAIL: invalid hash", id="too short"),
            pytest.param(["EMAIL"], [None], "EMAIL: invalid hash", id="null"),
            pytest.param(["EMAIL"], [""], "nothing usable", id="blank"),
            pytest.param(["EMAIL", "EXTERN_ID"], [digest("a"), ""], "empty external ID", id="empty external id"),
            pytest.param(["EXTERN_ID"], [7], "EXTERN_ID: not a text", id="number as external id"),
            pytest.param(["MADID"], [MADID.upper()], "MADID: not a UUID in lower case", id="madid upper case"),
            pytest.param(["MADID"], [digest(MADID)], "MADID: not a UUID in lower case", id="madid hashed"),
            pytest.param(
                ["EMAIL", "DATA_PROCESSING_OPTIONS"],
                [digest("a"), "LDU"],
                'DATA_PROCESSING_OPTIONS: neither ["LDU"] nor []',
                id="options as text",
            ),
            pytest.param(
                ["EMAIL", "DATA_PROCESSING_OPTIONS_STATE"],
                [digest("a"), "1000"],
                "DATA_PROCESSING_OPTIONS_STATE: not an integer",
                id="state as text",
            ),
        ],
    )
    def test_an_invalid_row_is_counted_sampled_and_left_out(
        self, graph: GraphAPI, caller: Caller, schema: list[str], row: list[Any], reason: str
    ) -> None:
        good = {"EXTERN_ID": "u-1", "MADID": MADID, "DATA_PROCESSING_OPTIONS": []}
        fine = [good.get(key, 0 if key.endswith("STATE") else digest("fine")) for key in schema]
        answer = caller.users(schema, [fine, row]).json()
        assert (answer["num_received"], answer["num_invalid_entries"]) == (2, 1)
        assert list(answer["invalid_entry_samples"].values()) == [reason]
        assert graph.counts() == {"123": 1}

    def test_at_most_a_hundred_are_sampled(self, caller: Caller) -> None:
        answer = caller.users(["EMAIL"], [[str(number)] for number in range(150)]).json()
        assert answer["num_invalid_entries"] == 150
        assert len(answer["invalid_entry_samples"]) == 100


class TestPayload:
    @pytest.mark.parametrize(
        ("schema", "data", "message"),
        [
            pytest.param("EMAIL", [[digest("a")]], "array", id="schema as text"),
            pytest.param([], [[]], "array", id="no schema"),
            pytest.param(["MAIL"], [[digest("a")]], "Unknown schema key", id="unknown key"),
            pytest.param(["LOOKALIKE_VALUE"], [[1]], "no identifier", id="no identifier"),
            pytest.param(["EMAIL"], [], "non-empty", id="no rows"),
            pytest.param(["EMAIL"], [digest("a")], "does not match schema", id="flat list"),
            pytest.param(["EMAIL"], [[digest("a")] * 2], "does not match schema", id="too long"),
            pytest.param(["EMAIL"], [[digest("a")], []], "does not match schema", id="too short"),
            pytest.param(["EMAIL"], [[digest("a")]] * 10_001, "10000", id="too many rows"),
            pytest.param(["PAGEUID"], [["1"]], "page_ids", id="page-scoped id without page"),
            pytest.param(["EMAIL", "LOOKALIKE_VALUE"], [[digest("a"), 1]], "value-based", id="value column"),
        ],
    )
    def test_a_payload_that_breaks_a_rule_is_refused_as_a_whole(
        self, graph: GraphAPI, caller: Caller, schema: list[str], data: list[list[Any]], message: str
    ) -> None:
        response = caller.users(schema, data)
        assert error(response) == (400, 100, None)
        assert message in response.json()["error"]["message"]
        assert graph.counts() == {"123": 0}

    def test_a_value_based_audience_wants_values_when_people_are_added(self, graph: GraphAPI, caller: Caller) -> None:
        graph.add_audience("125", account="1", value_based=True)
        path = "/v26.0/125/users"
        assert error(caller.emails("ada", path=path)) == (400, 100, None)
        schema = ["EMAIL", "LOOKALIKE_VALUE"]
        rows: list[list[Any]] = [[digest("a"), 1.5], [digest("b"), "2"], [digest("c"), -1], [digest("d"), True]]
        answer = caller.users(schema, rows, path=path).json()
        assert answer["num_invalid_entries"] == 3
        assert graph.members("125") == emails("a")
        assert caller.emails("a", method="DELETE", path=path).status_code == 200
        assert graph.counts()["125"] == 0


class TestAccess:
    @pytest.mark.parametrize("token", ["", "unknown"])
    def test_an_unknown_token_is_401_with_code_190(self, caller: Caller, token: str) -> None:
        caller.token = token
        assert error(caller.emails("ada")) == (401, 190, 463)

    def test_an_expired_token_is_refused(self, graph: GraphAPI, caller: Caller) -> None:
        graph.expire(TOKEN)
        assert error(caller.emails("ada")) == (401, 190, 463)

    @pytest.mark.parametrize(
        "more",
        [
            pytest.param({"params": {"access_token": TOKEN}}, id="query"),
            pytest.param({"params": {"other": TOKEN}}, id="query under another name"),
            pytest.param({"json": {"access_token": TOKEN}}, id="body"),
        ],
    )
    def test_a_token_outside_the_header_is_an_error_and_a_violation(
        self, graph: GraphAPI, caller: Caller, more: dict[str, Any]
    ) -> None:
        assert error(caller.call("POST", "/v26.0/123/users", **more)) == (400, 100, None)
        assert any("token" in violation for violation in graph.violations)
        assert TOKEN not in str(graph.violations) + str(graph.calls[0].headers) + str(graph.calls[0].query)

    def test_another_query_parameter_of_a_write_is_an_error_and_a_violation(
        self, graph: GraphAPI, caller: Caller
    ) -> None:
        assert error(caller.call("DELETE", "/v26.0/123/users?payload=x")) == (400, 100, None)
        assert graph.violations == ["DELETE /v26.0/123/users: query parameter payload"]

    def test_a_form_is_an_error_and_a_violation(self, graph: GraphAPI, caller: Caller) -> None:
        assert error(caller.call("POST", "/v26.0/123/users", data={"payload": "{}"})) == (400, 100, None)
        assert "the body is not application/json" in graph.violations[0]

    def test_an_account_of_another_app_is_not_there(self, graph: GraphAPI, caller: Caller) -> None:
        graph.add_audience("900", account="9")
        assert error(caller.emails("ada", path="/v26.0/900/users")) == (400, 100, 33)

    @pytest.mark.parametrize(
        ("path", "expected"),
        [
            pytest.param("/v24.0/123/users", (400, 2635, None), id="ended version"),
            pytest.param("/v27.0/123/users", (400, 2500, None), id="unknown version"),
            pytest.param("/123/users", (400, 2500, None), id="no version"),
            pytest.param("/v26.0/123/people", (400, 2500, None), id="unknown edge"),
            pytest.param("/v26.0/404/users", (400, 100, 33), id="unknown audience"),
            pytest.param("/v26.0/act_404/customaudiences", (400, 100, 33), id="unknown account"),
        ],
    )
    def test_a_path_that_is_not_there(self, caller: Caller, path: str, expected: tuple[int, int, int | None]) -> None:
        assert error(caller.emails("ada", path=path)) == expected

    def test_the_version_before_is_served_too(self, caller: Caller) -> None:
        assert caller.emails("ada", path="/v25.0/123/users").status_code == 200


class TestProof:
    @pytest.fixture
    def caller(self) -> Iterator[Caller]:
        with GraphAPI(tokens={TOKEN: App(app_secret=SECRET)}) as graph:
            graph.add_audience("123", account="1")
            made = Caller(graph)
            with made.session:
                yield made

    def test_the_proof_of_the_secret_is_accepted(self, caller: Caller) -> None:
        proof = hmac.new(SECRET.encode(), TOKEN.encode(), hashlib.sha256).hexdigest()
        assert caller.emails("ada", path=f"/v26.0/123/users?appsecret_proof={proof}").status_code == 200
        assert caller.graph.violations == []

    @pytest.mark.parametrize(
        ("query", "message"),
        [
            pytest.param("", "API calls from the server require an appsecret_proof argument", id="missing"),
            pytest.param("?appsecret_proof=0", "Invalid appsecret_proof provided", id="wrong"),
        ],
    )
    def test_without_it_the_call_is_refused(self, caller: Caller, query: str, message: str) -> None:
        response = caller.emails("ada", path=f"/v26.0/123/users{query}")
        assert error(response) == (400, 100, None)
        assert message in response.json()["error"]["message"]
        assert response.json()["error"]["type"] == "GraphMethodException"


def batch(seq: int, *, last: bool = False, session_id: int = 7) -> dict[str, Any]:
    return {"session_id": session_id, "batch_seq": seq, "last_batch_flag": last}


class TestSession:
    def test_num_received_is_the_total_of_the_session(self, graph: GraphAPI, caller: Caller) -> None:
        first = caller.emails("ada", "bob", session=batch(1)).json()
        second = caller.emails("cleo", session=batch(2, last=True)).json()
        assert (first["num_received"], second["num_received"]) == (2, 3)
        assert (first["session_id"], second["session_id"]) == (7, 7)
        assert graph.counts() == {"123": 3}

    def test_the_same_bytes_again_do_no_harm(self, graph: GraphAPI, caller: Caller) -> None:
        for _ in range(2):
            assert caller.emails("ada", session=batch(1, last=True)).json()["num_received"] == 1
        assert graph.counts() == {"123": 1}

    @pytest.mark.parametrize(
        "session",
        [
            pytest.param({"batch_seq": 1}, id="no id"),
            pytest.param({"session_id": 0, "batch_seq": 1}, id="id of zero"),
            pytest.param({"session_id": 2**63, "batch_seq": 1}, id="id too large"),
            pytest.param({"session_id": "7", "batch_seq": 1}, id="id as text"),
            pytest.param({"session_id": 7, "batch_seq": 2}, id="does not start at 1"),
            pytest.param({"session_id": 7, "batch_seq": 1, "last_batch_flag": "true"}, id="flag as text"),
            pytest.param({"session_id": 7, "batch_seq": 1, "seq": 1}, id="unknown key"),
            pytest.param([], id="no object"),
        ],
    )
    def test_a_session_that_breaks_a_rule_is_refused(
        self, graph: GraphAPI, caller: Caller, session: dict[str, Any]
    ) -> None:
        assert error(caller.emails("ada", session=session)) == (400, 100, None)
        assert graph.counts() == {"123": 0}

    @pytest.mark.parametrize(
        ("schema", "session", "more"),
        [
            pytest.param(["PHONE"], batch(2), {}, id="another schema"),
            pytest.param(["EMAIL"], batch(3), {}, id="a batch left out"),
            pytest.param(["EMAIL"], batch(1), {}, id="a batch with other people"),
            pytest.param(["EMAIL"], batch(2), {"method": "DELETE"}, id="another operation"),
            pytest.param(["EMAIL"], batch(2), {"path": "/v26.0/124/users"}, id="another audience"),
        ],
    )
    def test_a_batch_that_does_not_continue_its_session_is_refused(
        self,
        graph: GraphAPI,
        caller: Caller,
        schema: list[str],
        session: dict[str, Any],
        more: dict[str, Any],
    ) -> None:
        graph.add_audience("124", account="1")
        caller.emails("ada", session=batch(1))
        response = caller.users(schema, [[digest("bob")]], session=session, **more)
        assert error(response) == (400, 100, None)

    def test_nothing_comes_after_the_last_batch(self, caller: Caller) -> None:
        caller.emails("ada", session=batch(1, last=True))
        assert error(caller.emails("bob", session=batch(2))) == (400, 100, None)

    def test_sessions_can_be_read(self, caller: Caller) -> None:
        caller.emails("ada", session=batch(1))
        caller.emails("bob", session=batch(1, session_id=8))
        (row,) = caller.call("GET", "/v26.0/123/sessions", params={"session_id": 7}).json()["data"]
        assert (row["session_id"], row["num_received"], row["stage"]) == ("7", "1", "uploading")


class TestReplace:
    PATH: Final = "/v26.0/123/usersreplace"

    def replace(self, caller: Caller, *names: str, session: Mapping[str, Any] | None) -> requests.Response:
        return caller.emails(*names, path=self.PATH, session=session)

    def status(self, caller: Caller) -> int:
        answer = caller.call("GET", "/v26.0/123", params={"fields": "operation_status"}).json()
        return int(answer["operation_status"]["code"])

    def test_the_people_are_those_of_the_batches_and_no_others(self, graph: GraphAPI, caller: Caller) -> None:
        caller.emails("old")
        answer = self.replace(caller, "ada", session=batch(1)).json()
        assert (answer["account_id"], answer["num_received"]) == ("123", 1)
        assert graph.members("123") == emails("ada")
        assert self.status(caller) == 414
        self.replace(caller, "bob", session=batch(2, last=True))
        assert graph.members("123") == emails("ada", "bob")
        assert self.status(caller) == 200

    def test_later_batches_may_repeat_or_skip(self, graph: GraphAPI, caller: Caller) -> None:
        self.replace(caller, "ada", session=batch(1))
        for sequence in (5, 5, 3):
            assert self.replace(caller, f"p{sequence}", session=batch(sequence)).status_code == 200
        assert graph.members("123") == emails("ada", "p5", "p3")

    def test_the_first_batch_again_starts_over(self, graph: GraphAPI, caller: Caller) -> None:
        self.replace(caller, "ada", session=batch(1))
        self.replace(caller, "ada", session=batch(1))
        assert graph.members("123") == emails("ada")

    def test_the_first_batch_must_be_number_one(self, caller: Caller) -> None:
        assert error(self.replace(caller, "ada", session=batch(2))) == (400, 2650, 1870147)

    def test_neither_a_replace_nor_an_add_may_run_beside_it(self, graph: GraphAPI, caller: Caller) -> None:
        self.replace(caller, "ada", session=batch(1))
        assert error(self.replace(caller, "bob", session=batch(1, session_id=8))) == (400, 2650, 1870145)
        assert error(caller.emails("bob")) == (400, 2650, 1870145)
        assert error(caller.emails("ada", method="DELETE")) == (400, 2650, 1870145)
        assert graph.members("123") == emails("ada")

    def test_it_ends_after_90_minutes(self, graph: GraphAPI, caller: Caller, clock: Clock) -> None:
        self.replace(caller, "ada", session=batch(1))
        clock.now += 90 * 60
        assert error(self.replace(caller, "bob", session=batch(2))) == (400, 2650, 1870158)
        assert caller.emails("cleo").status_code == 200
        assert graph.members("123") == emails("ada", "cleo")

    def test_nothing_comes_after_the_last_batch(self, caller: Caller) -> None:
        self.replace(caller, "ada", session=batch(1, last=True))
        assert error(self.replace(caller, "bob", session=batch(2))) == (400, 2650, 1870159)

    def test_an_audience_that_is_not_normal_cannot_be_replaced(self, graph: GraphAPI, caller: Caller) -> None:
        graph.set_operation_status("123", 415)
        assert error(self.replace(caller, "ada", session=batch(1))) == (400, 2650, 1870148)

    def test_it_needs_a_session_and_takes_no_external_ids(self, caller: Caller) -> None:
        assert error(self.replace(caller, "ada", session=None)) == (400, 100, None)
        response = caller.users(["EXTERN_ID"], [["u-1"]], path=self.PATH, session=batch(1))
        assert error(response) == (400, 100, None)


class TestAudiences:
    BODY: Final = {"name": "CA_x", "subtype": "CUSTOM", "customer_file_source": "USER_PROVIDED_ONLY"}

    def create(self, caller: Caller, **more: Any) -> requests.Response:
        return caller.call("POST", "/v26.0/act_1/customaudiences", json={**self.BODY, **more})

    def test_one_that_was_created_can_be_read_renamed_filled_and_deleted(self, graph: GraphAPI, caller: Caller) -> None:
        audience_id = self.create(caller, description="segment 7").json()["id"]
        assert graph.audiences() == ["123", audience_id]
        path = f"/v26.0/{audience_id}"
        caller.call("POST", path, json={"name": "CA_y"})
        read = caller.call("GET", path, params={"fields": "name,description,account_id"}).json()
        expected = {"name": "CA_y", "description": "segment 7", "account_id": "1", "id": audience_id}
        assert read == expected
        assert caller.emails("ada", path=f"{path}/users").status_code == 200
        assert caller.call("DELETE", path).json() == {"success": True}
        assert error(caller.call("GET", path)) == (400, 100, 33)
        assert graph.violations == []

    @pytest.mark.parametrize(
        "more",
        [
            pytest.param({"name": ""}, id="no name"),
            pytest.param({"subtype": "WEBSITE"}, id="not customer file"),
            pytest.param({"customer_file_source": None}, id="no source"),
            pytest.param({"retention_days": 181}, id="kept too long"),
            pytest.param({"unknown": 1}, id="unknown key"),
        ],
    )
    def test_one_that_breaks_a_rule_is_not_created(self, caller: Caller, more: dict[str, Any]) -> None:
        assert error(self.create(caller, **more)) == (400, 100, None)

    def test_a_new_one_can_answer_803_for_a_while(self, graph: GraphAPI, caller: Caller) -> None:
        graph.not_ready_after_create = 2
        path = f"/v26.0/{self.create(caller).json()['id']}/users"
        assert [error(caller.emails("ada", path=path))[1] for _ in range(2)] == [803, 803]
        assert caller.emails("ada", path=path).status_code == 200

    def test_an_account_has_at_most_500(self, graph: GraphAPI, caller: Caller) -> None:
        for number in range(499):
            graph.add_audience(f"5{number:03d}", account="1")
        assert error(self.create(caller)) == (400, 2654, None)

    def test_they_are_listed_page_by_page_of_ids(self, graph: GraphAPI, caller: Caller) -> None:
        for number in range(30):
            graph.add_audience(f"5{number:03d}", account="1", name=f"CA_{number}")
        path = "/v26.0/act_1/customaudiences"
        first = caller.call("GET", path).json()
        assert len(first["data"]) == 25
        assert first["data"][0] == {"id": "123"}
        assert f"access_token={TOKEN}" in first["paging"]["next"]
        after = first["paging"]["cursors"]["after"]
        second = caller.call("GET", path, params={"after": after, "fields": "name"}).json()
        assert [row["name"] for row in second["data"]] == [f"CA_{number}" for number in range(24, 30)]
        assert "next" not in second["paging"]
        assert graph.violations == []

    def test_they_are_filtered(self, graph: GraphAPI, caller: Caller) -> None:
        graph.add_audience("124", account="1", name="CA_x", description="segment 7")
        graph.set_operation_status("124", 100)
        for rule in (
            '{"field":"name","operator":"EQUAL","value":"CA_x"}',
            '{"field":"description","operator":"CONTAIN","value":"segment 7"}',
            '{"field":"operation_status.code","operator":"IN","value":[100]}',
        ):
            query = {"filtering": f"[{rule}]"}
            found = caller.call("GET", "/v26.0/act_1/customaudiences", params=query).json()
            assert found["data"] == [{"id": "124"}], rule

    @pytest.mark.parametrize(
        "query",
        [
            pytest.param({"limit": "all"}, id="limit"),
            pytest.param({"filtering": "{"}, id="no JSON"),
            pytest.param({"filtering": '[{"field":"name"}]'}, id="half a filter"),
            pytest.param({"filtering": '[{"field":"name","operator":"LIKE","value":"x"}]'}, id="unknown operator"),
        ],
    )
    def test_a_bad_parameter_of_the_list_is_refused(self, caller: Caller, query: dict[str, str]) -> None:
        response = caller.call("GET", "/v26.0/act_1/customaudiences", params=query)
        assert error(response) == (400, 100, None)

    def test_an_unknown_field_is_refused(self, caller: Caller) -> None:
        response = caller.call("GET", "/v26.0/123", params={"fields": "approximate_count"})
        assert error(response) == (400, 100, None)

    def test_uploads_to_a_flagged_one_are_blocked(self, graph: GraphAPI, caller: Caller) -> None:
        graph.set_operation_status("123", 471)
        assert error(caller.emails("ada")) == (400, 100, 1713230)

    def test_nothing_is_taken_until_the_terms_are_accepted(self, graph: GraphAPI, caller: Caller) -> None:
        graph.refuse_terms("1")
        assert error(caller.emails("ada"))[1:] == (200, 1870090)
        assert error(self.create(caller))[1:] == (200, 1870090)
        query = {"fields": "tos_accepted,account_status"}
        assert caller.call("GET", "/v26.0/act_1", params=query).json()["tos_accepted"] == {}
        graph.accept_terms("1")
        assert caller.emails("ada").status_code == 200
        account = caller.call("GET", "/v26.0/act_1", params=query).json()
        assert account == {
            "id": "act_1",
            "account_status": 1,
            "tos_accepted": {"custom_audience_tos": 1},
        }


class TestThrottling:
    def test_a_throttled_account_says_when_to_come_back(self, graph: GraphAPI, caller: Caller, clock: Clock) -> None:
        graph.add_audience("200", account="2")
        graph.throttle("1", minutes=5)
        response = caller.emails("ada")
        assert error(response) == (400, 80003, 2446079)
        assert '"estimated_time_to_regain_access":5,' in response.headers["X-Business-Use-Case-Usage"]
        assert caller.emails("ada", path="/v26.0/200/users").status_code == 200
        clock.now += 299
        caller.call("GET", "/v26.0/act_1")
        assert graph.calls_while_throttled == 2
        clock.now += 1
        assert caller.emails("ada").status_code == 200
        assert graph.calls_while_throttled == 2

    def test_the_score_of_an_account_names_its_time_in_seconds(
        self, graph: GraphAPI, caller: Caller, clock: Clock
    ) -> None:
        graph.throttle("1", seconds=3)
        response = caller.emails("ada")
        assert error(response) == (400, 613, 1487742)
        assert '"reset_time_duration":3' in response.headers["X-Ad-Account-Usage"]
        clock.now += 3
        assert caller.emails("ada").status_code == 200

    def test_it_can_be_released(self, graph: GraphAPI, caller: Caller) -> None:
        graph.throttle("1", seconds=1)
        graph.release("1")
        response = caller.emails("ada")
        assert '"estimated_time_to_regain_access":0,' in response.headers["X-Business-Use-Case-Usage"]


class TestFaults:
    def test_they_come_in_order_and_are_used_up(self, graph: GraphAPI, caller: Caller) -> None:
        graph.faults.add(
            Fault.error(2, transient=True, times=2),
            Fault.error(80003, 2446079, match="/users"),
            Fault.html(),
            Fault.empty(503),
            Fault.garbage(),
            Fault.redirect("http://127.0.0.1:9/"),
        )
        assert [error(caller.emails("ada")) for _ in range(3)] == [
            (400, 2, None),
            (400, 2, None),
            (400, 80003, 2446079),
        ]
        html, empty, garbage, redirect = (caller.emails("ada") for _ in range(4))
        assert (html.status_code, html.headers["Content-Type"]) == (502, "text/html; charset=utf-8")
        assert (empty.status_code, empty.content) == (503, b"")
        with pytest.raises(requests.JSONDecodeError):
            garbage.json()
        assert (redirect.status_code, redirect.headers["Location"]) == (302, "http://127.0.0.1:9/")
        assert graph.counts() == {"123": 0}
        assert graph.faults.pending() == 0
        assert caller.emails("ada").status_code == 200

    def test_one_for_another_path_waits_for_it(self, graph: GraphAPI, caller: Caller) -> None:
        graph.faults.add(Fault.empty(500, match="usersreplace"))
        assert caller.emails("ada").status_code == 200
        assert graph.faults.pending() == 1

    @pytest.mark.parametrize(
        ("fault", "applied"),
        [
            pytest.param(Fault.dropped("before"), 0, id="dropped before"),
            pytest.param(Fault.dropped("after"), 1, id="dropped after"),
            pytest.param(Fault.dropped("half"), 1, id="half an answer"),
        ],
    )
    def test_a_dropped_connection(self, graph: GraphAPI, caller: Caller, fault: Fault, applied: int) -> None:
        graph.faults.add(fault)
        with pytest.raises((requests.ConnectionError, requests.exceptions.ChunkedEncodingError)):
            caller.emails("ada")
        assert graph.counts() == {"123": applied}
        assert graph.calls[-1].status in {None, 200}

    def test_a_call_that_its_caller_gave_up_on_lands_late(self, graph: GraphAPI) -> None:
        graph.faults.add(Fault.slow(1.0))
        headers = {"Authorization": f"Bearer {TOKEN}"}
        body = {"payload": {"schema": ["EMAIL"], "data": [[digest("ada")]]}}
        with pytest.raises(requests.ReadTimeout):
            requests.post(f"{graph.url}/v26.0/123/users", json=body, headers=headers, timeout=0.1)
        assert graph.counts() == {"123": 0}
        until = time.monotonic() + 10
        while graph.counts() == {"123": 0} and time.monotonic() < until:
            time.sleep(0.05)
        assert graph.counts() == {"123": 1}


class TestRecords:
    def test_a_call_is_recorded_without_its_token(self, graph: GraphAPI, caller: Caller) -> None:
        caller.emails("ada")
        (call,) = graph.calls
        assert (call.method, call.path, call.query, call.status) == ("POST", "/v26.0/123/users", (), 200)
        assert call.body["payload"]["schema"] == ["EMAIL"]
        assert call.answer["num_received"] == 1
        assert TOKEN not in str(call)

    def test_bodies_and_members_need_not_be_kept(self) -> None:
        with GraphAPI(tokens={TOKEN: App()}, keep_bodies=False, keep_members=False) as graph:
            graph.add_audience("123", account="1")
            caller = Caller(graph)
            with caller.session:
                caller.emails("ada")
            assert graph.calls[0].body is None
            assert graph.counts() == {"123": 0}

    def test_calls_at_the_same_time_lose_nobody(self, graph: GraphAPI) -> None:
        def add(name: str) -> None:
            caller = Caller(graph)
            with caller.session:
                for number in range(20):
                    caller.emails(f"{name}{number}")

        threads = [threading.Thread(target=add, args=(str(name),)) for name in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert graph.counts() == {"123": 160}

    def test_nothing_is_left_after_it_is_closed(self) -> None:
        before = set(threading.enumerate())
        with GraphAPI() as graph, requests.Session() as session:
            graph.add_audience("123", account="1")
            session.get(f"{graph.url}/v26.0/123", headers={"Authorization": "Bearer token"}, timeout=5)
        assert set(threading.enumerate()) <= before
