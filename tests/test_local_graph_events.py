"""The stand-in's edge for events, held to what Meta documents (meta-graph-api.md, sections 4 and 5)."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from typing import Any, Final

import pytest
import requests

from tests.local.graph_api import App, GraphAPI
from tests.local.graph_events import MAX_EVENTS, NO_CUSTOMER, NO_VALUE, OTHER, TOO_OLD

TOKEN: Final = "EAA-a-token"
NOW: Final = 1_772_445_603
DAY: Final = 86_400
#: No documented subcode.
NONE: Final = None


def digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


EXTINFO: Final = ["i2", "com.example", "", "", "17.4", *[""] * 11]


def event(**changed: Any) -> dict[str, Any]:
    """Return an event that Meta takes, with these keys in place of its own; None leaves a key out."""
    whole = {
        "event_name": "Lead",
        "event_time": NOW - 60,
        "event_id": "E-1",
        "action_source": "website",
        "event_source_url": "https://shop.example.de/",
        "user_data": {"em": [digest("ada@example.com")], "client_user_agent": "Mozilla/5.0"},
    } | changed
    return {key: value for key, value in whole.items() if value is not None}


def purchase(**custom_data: Any) -> dict[str, Any]:
    return event(event_name="Purchase", custom_data={"value": 9.5, "currency": "EUR"} | custom_data)


def user(**keys: Any) -> dict[str, Any]:
    return event(user_data=keys)


class Clock:
    """Unix seconds in the test's hand."""

    def __init__(self) -> None:
        self.now = float(NOW)

    def __call__(self) -> float:
        return self.now


class Caller:
    """A plain HTTP caller with the token in its header."""

    def __init__(self, graph: GraphAPI, session: requests.Session) -> None:
        self.graph = graph
        self.session = session

    def post(self, body: object, *, dataset: str = "3001", token: str = TOKEN, **more: Any) -> requests.Response:
        return self.session.post(
            f"{self.graph.url}/v26.0/{dataset}/events",
            json=body,
            headers={"Authorization": f"Bearer {token}"},
            timeout=10,
            **more,
        )

    def send(self, *events: object, **more: Any) -> requests.Response:
        return self.post({"data": list(events), **more})


def error(response: requests.Response) -> tuple[int, int, int | None]:
    """Return status, code and subcode."""
    body = response.json()["error"]
    assert body["fbtrace_id"]
    assert body["message"]
    return response.status_code, body["code"], body.get("error_subcode")


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def graph(clock: Clock) -> Iterator[GraphAPI]:
    with GraphAPI(tokens={TOKEN: App(accounts={"1"}), "other": App(accounts={"2"})}, now=clock) as graph:
        graph.add_dataset("3001", account="1")
        graph.add_dataset("4001", account="2")
        yield graph


@pytest.fixture
def caller(graph: GraphAPI) -> Iterator[Caller]:
    with requests.Session() as session:
        yield Caller(graph, session)


class TestTaking:
    def test_the_answer_counts_the_events(self, graph: GraphAPI, caller: Caller) -> None:
        response = caller.send(event(event_id="E-1"), event(event_id="E-2"), partner_agent="metarelay_1_0")
        answer = response.json()
        assert {"events_received": 2, "messages": []} == {key: answer[key] for key in ("events_received", "messages")}
        assert answer["fbtrace_id"] == response.headers["x-fb-trace-id"]
        assert graph.events_received == 2
        assert graph.violations == []

    def test_events_are_kept_as_they_came(self, graph: GraphAPI, caller: Caller) -> None:
        caller.send(event())
        assert [event()] == graph.events("3001")
        assert [] == graph.events("4001")

    def test_a_test_event_is_not_dropped(self, graph: GraphAPI, caller: Caller) -> None:
        """C-use: they are "used for targeting and ads measurement purposes"."""
        assert caller.send(event(), test_event_code="TEST123").status_code == 200
        assert len(graph.events("3001")) == 1

    @pytest.mark.parametrize(
        "sent",
        [
            pytest.param(event(user_data={"em": digest("a")}), id="a text in place of a list"),
            pytest.param(event(user_data={"em": [digest("a") + ".AQQAAQEA"]}), id="with the Parameter Builder's mark"),
            pytest.param(event(user_data={"em": [digest("a") + ".AQ"]}), id="with its older mark"),
            pytest.param(event(user_data={"external_id": ["c-1"]}), id="a plain external_id"),
            pytest.param(event(user_data={"lead_id": 1234567890123456}), id="a number as lead_id"),
            pytest.param(
                event(user_data={"client_ip_address": "192.0.2.1", "client_user_agent": "M"}),
                id="IP and user agent, as in Meta's own sample",
            ),
            pytest.param(event(event_source_url=None, user_data={"fbp": "fb.1.1.2"}), id="a website without its URL"),
            pytest.param(purchase(value="142.52", currency="usd"), id="Meta's own sample of a Purchase"),
            pytest.param(purchase(contents=[{"id": "A", "quantity": 1, "item_price": 9.5}]), id="contents"),
            pytest.param(event(event_time=NOW - 7 * DAY), id="seven days old"),
            pytest.param(event(event_time=NOW), id="of this second"),
            pytest.param(event(event_time=NOW - 62 * DAY, action_source="physical_store"), id="a store's, 62 days old"),
            pytest.param(
                event(action_source="app", app_data={"advertiser_tracking_enabled": 0, "extinfo": EXTINFO}), id="app"
            ),
            pytest.param(
                event(
                    action_source="business_messaging",
                    messaging_channel="whatsapp",
                    user_data={"whatsapp_business_account_id": "1", "ctwa_clid": "c"},
                ),
                id="business messaging",
            ),
            pytest.param(
                event(
                    data_processing_options=["LDU"],
                    data_processing_options_country=1,
                    data_processing_options_state=1000,
                ),
                id="limited data use",
            ),
            pytest.param(event(data_processing_options=[]), id="unlimited data use"),
            pytest.param(event(opt_out=True, referrer_url="https://x.example/"), id="opt_out and referrer"),
        ],
    )
    def test_what_is_documented_passes(self, graph: GraphAPI, caller: Caller, sent: Mapping[str, Any]) -> None:
        assert caller.send(sent).status_code == 200
        assert graph.violations == []


class TestRefusals:
    """C-use: "If any event you send in a batch is invalid, we reject the entire batch"."""

    @pytest.mark.parametrize(
        ("bad", "subcode"),
        [
            pytest.param(event(event_time=NOW - 7 * DAY - 1), TOO_OLD, id="older than seven days"),
            pytest.param(
                event(event_time=NOW - 62 * DAY - 1, action_source="physical_store"),
                TOO_OLD,
                id="a store's, older than 62 days",
            ),
            pytest.param(event(event_time=NOW + 1), OTHER, id="in the future"),
            pytest.param(event(event_time=NOW * 1000), OTHER, id="milliseconds"),
            pytest.param(event(event_time=str(NOW)), NONE, id="a text as time"),
            pytest.param(event(event_time=NOW - 0.5), NONE, id="a part of a second"),
            pytest.param(event(event_time=None), NONE, id="no time"),
            pytest.param(event(event_name=None), NONE, id="no name"),
            pytest.param(event(event_name=7), NONE, id="a number as name"),
            pytest.param(event(action_source=None), NONE, id="no action_source"),
            pytest.param(event(action_source="web"), NONE, id="an action_source that is none"),
            pytest.param(event(action_source=["website"]), NONE, id="a list as action_source"),
            pytest.param(event(user_data=None), NO_CUSTOMER, id="no user_data"),
            pytest.param(event(user_data=[]), NONE, id="a list as user_data"),
            pytest.param(user(), NO_CUSTOMER, id="user_data with nothing in it"),
            pytest.param(user(em=[], fbp=""), NO_CUSTOMER, id="user_data that says nothing"),
            pytest.param(user(country=[digest("de")]), NO_CUSTOMER, id="a country alone"),
            pytest.param(user(client_user_agent="M"), NO_CUSTOMER, id="a user agent alone"),
            pytest.param(
                user(**{key: [digest(key)] for key in ("ct", "country", "st", "zp", "ge")}, client_user_agent="M"),
                NO_CUSTOMER,
                id="a place, a gender and a user agent",
            ),
            pytest.param(user(db=[digest("d")], client_user_agent="M"), NO_CUSTOMER, id="a birthday and a user agent"),
            pytest.param(user(fn=[digest("f")], ge=[digest("f")]), NO_CUSTOMER, id="a first name and a gender"),
            pytest.param(user(ln=[digest("l")]), NO_CUSTOMER, id="a last name"),
            pytest.param(user(em=[digest("a").upper()]), OTHER, id="a hash in capitals"),
            pytest.param(user(em=[digest("a") + ".x"]), OTHER, id="a hash with something behind it"),
            pytest.param(user(em=[hashlib.md5(b"a").hexdigest()]), OTHER, id="MD5"),  # noqa: S324 - as callers do
            pytest.param(user(fbp=["fb.1.1.2"]), OTHER, id="a list as fbp"),
            pytest.param(user(external_id=[7]), OTHER, id="a number as external_id"),
            pytest.param(event(event_name="Purchase", custom_data={"currency": "EUR"}), NO_VALUE, id="no value"),
            pytest.param(event(event_name="Purchase"), NO_VALUE, id="a Purchase without custom_data"),
            pytest.param(event(event_name="Purchase", custom_data={"value": 1}), OTHER, id="no currency"),
            pytest.param(purchase(value="9,50"), OTHER, id="a value with a comma"),
            pytest.param(purchase(value=True), OTHER, id="true as value"),
            pytest.param(purchase(currency="EURO"), OTHER, id="a currency of four letters"),
            pytest.param(purchase(contents=[{"quantity": 1}]), OTHER, id="contents without an id"),
            pytest.param(purchase(contents={"id": "A"}), OTHER, id="contents that are no list"),
            pytest.param(purchase(contents=[{"id": "A", "quantity": "2"}]), OTHER, id="a text as quantity"),
            pytest.param(purchase(content_ids="A,B"), OTHER, id="content_ids as one text"),
            pytest.param(event(custom_data=[]), NONE, id="a list as custom_data"),
            pytest.param(event(event_id=7), NONE, id="a number as event_id"),
            pytest.param(event(opt_out="true"), NONE, id="a text as opt_out"),
            pytest.param(event(data_processing_options="LDU"), NONE, id="options as text"),
            pytest.param(event(data_processing_options=["LDU"]), OTHER, id="LDU without country and state"),
            pytest.param(event(data_processing_options_country="1"), NONE, id="a text as country"),
            pytest.param(event(data_processing_options_country=2), NONE, id="a country that is none"),
            pytest.param(event(data_processing_options_state="CA"), NONE, id="a text as state"),
            pytest.param(event(action_source="app"), NONE, id="an app event without app_data"),
            pytest.param(
                event(action_source="app", app_data={"extinfo": EXTINFO}), NONE, id="without the tracking flag"
            ),
            pytest.param(
                event(action_source="app", app_data={"advertiser_tracking_enabled": 1, "extinfo": EXTINFO[:15]}),
                NONE,
                id="an extinfo of 15",
            ),
            pytest.param(
                event(action_source="app", app_data={"advertiser_tracking_enabled": 1, "extinfo": [""] * 16}),
                NONE,
                id="an extinfo of blanks",
            ),
            pytest.param(event(action_source="business_messaging"), NONE, id="no messaging_channel"),
            pytest.param(event(messaging_channel="sms"), NONE, id="a channel that is none"),
            pytest.param("Lead", NONE, id="an event that is no object"),
        ],
    )
    def test_one_bad_event_takes_the_others_along(
        self, graph: GraphAPI, caller: Caller, bad: object, subcode: int | None
    ) -> None:
        assert error(caller.send(event(event_id="good"), bad)) == (400, 100, subcode)
        assert graph.events("3001") == []
        assert graph.events_received == 0

    @pytest.mark.parametrize(
        "body",
        [
            pytest.param({}, id="nothing"),
            pytest.param({"data": []}, id="no events"),
            pytest.param({"data": "[]"}, id="JSON in a text"),
            pytest.param([event()], id="a list"),
            pytest.param({"data": [event()], "test_event_code": 7}, id="a number as test code"),
            pytest.param({"data": [event(event_id=str(number)) for number in range(MAX_EVENTS + 1)]}, id="1,001"),
        ],
    )
    def test_a_body_that_is_none(self, caller: Caller, body: object) -> None:
        assert error(caller.post(body)) == (400, 100, None)

    def test_a_thousand_events_pass(self, graph: GraphAPI, caller: Caller) -> None:
        events = [event(event_id=str(number)) for number in range(MAX_EVENTS)]
        assert caller.send(*events).json()["events_received"] == MAX_EVENTS
        assert graph.events("3001") == events

    def test_what_a_test_orders_is_refused_for_a_reason_of_metas_own(self, graph: GraphAPI, caller: Caller) -> None:
        graph.refused_event_ids.add("E-2")
        assert error(caller.send(event(), event(event_id="E-2"))) == (400, 100, OTHER)
        assert caller.send(event()).status_code == 200

    def test_a_refusal_says_why_in_its_title(self, caller: Caller) -> None:
        body = caller.send(event(event_time=NOW - 8 * DAY)).json()["error"]
        assert body["error_user_title"] == "Event Timestamp Too Old"


class TestAccess:
    @pytest.mark.parametrize("dataset", ["4001", "9999"])
    def test_a_dataset_of_others_or_of_nobody_is_not_there(self, caller: Caller, dataset: str) -> None:
        assert error(caller.post({"data": [event()]}, dataset=dataset)) == (400, 100, 33)

    def test_an_audience_has_no_events(self, graph: GraphAPI, caller: Caller) -> None:
        graph.add_audience("123", account="1")
        assert error(caller.post({"data": [event()]}, dataset="123")) == (400, 100, 33)

    def test_a_wrong_token_is_190(self, caller: Caller) -> None:
        assert error(caller.post({"data": [event()]}, token="gone")) == (401, 190, 463)

    @pytest.mark.parametrize("more", [{"params": {"access_token": TOKEN}}, {}], ids=["query", "body"])
    def test_a_token_belongs_into_the_header_only(
        self, graph: GraphAPI, caller: Caller, more: Mapping[str, Any]
    ) -> None:
        body = {"data": [event()]} | ({} if more else {"access_token": TOKEN})
        assert error(caller.post(body, **more)) == (400, 100, None)
        assert any("token outside the Authorization header" in violation for violation in graph.violations)

    def test_its_account_can_be_throttled(self, graph: GraphAPI, caller: Caller) -> None:
        graph.throttle("1", minutes=3)
        assert error(caller.send(event())) == (400, 80003, 2446079)
        assert graph.calls_while_throttled == 1


class TestViolations:
    """What Meta may take and this project must not send."""

    @pytest.mark.parametrize(
        ("body", "violation"),
        [
            pytest.param({"data": [event()], "source": "x"}, "body key source", id="of the body"),
            pytest.param({"data": [event(id=1)]}, "event key id", id="of an event"),
            pytest.param({"data": [user(email="a", fbp="fb.1.1.2")]}, "event key user_data.email", id="of user_data"),
            pytest.param({"data": [event(app_data={"os": "x"})]}, "event key app_data.os", id="of app_data"),
            pytest.param({"data": [user(em="ada@example.com")]}, "user_data.em is not hashed", id="an address"),
            pytest.param({"data": [user(ph=["491701234567"])]}, "user_data.ph is not hashed", id="a phone number"),
        ],
    )
    def test_a_key_that_nobody_documents_or_an_identifier_in_plain_sight(
        self, graph: GraphAPI, caller: Caller, body: Mapping[str, Any], violation: str
    ) -> None:
        caller.post(body)
        assert [f"POST /v26.0/3001/events: {violation}"] == graph.violations


class TestDeduplication:
    def test_the_same_name_and_id_count_once_within_48_hours_of_the_first(
        self, graph: GraphAPI, caller: Caller, clock: Clock
    ) -> None:
        caller.send(event())
        clock.now += 2 * DAY
        caller.send(event())
        assert len(graph.events("3001")) == 1
        clock.now += 1
        caller.send(event())
        assert len(graph.events("3001")) == 2
        assert graph.events_received == 3

    @pytest.mark.parametrize(
        "other",
        [
            pytest.param(event(event_name="Contact"), id="another name"),
            pytest.param(event(event_id="E-2"), id="another id"),
            pytest.param(event(event_id=None), id="no id"),
        ],
    )
    def test_others_are_others(self, graph: GraphAPI, caller: Caller, other: Mapping[str, Any]) -> None:
        caller.send(event(), other)
        caller.send(event())
        assert [event(), other] == graph.events("3001")

    def test_without_an_id_nothing_counts_once(self, graph: GraphAPI, caller: Caller) -> None:
        caller.send(event(event_id=None), event(event_id=None))
        assert len(graph.events("3001")) == 2

    def test_each_dataset_by_itself(self, graph: GraphAPI, caller: Caller) -> None:
        caller.send(event())
        caller.post({"data": [event()]}, dataset="4001", token="other")
        assert [1, 1] == [len(graph.events(dataset)) for dataset in ("3001", "4001")]

    def test_a_stores_events_by_time_name_and_order_within_seven_days(
        self, graph: GraphAPI, caller: Caller, clock: Clock
    ) -> None:
        """C-off: "dataset_id, event_time, event_name, item_number", and the order."""
        sold = event(action_source="physical_store", custom_data={"order_id": "O-1"}, event_id=None)
        caller.send(sold, sold | {"custom_data": {"order_id": "O-2"}})
        clock.now += 7 * DAY
        caller.send(sold)
        assert len(graph.events("3001")) == 2

    def test_business_messaging_has_none(self, graph: GraphAPI, caller: Caller) -> None:
        said = event(action_source="business_messaging", messaging_channel="messenger", event_source_url=None)
        caller.send(said, said)
        assert len(graph.events("3001")) == 2
