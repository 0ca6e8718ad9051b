"""The body of `/events` -> frozen values: design, section 6."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from typing import Any, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lib.common_event import CommonEvent
from lib.errors import InvalidRequestError
from lib.event_request import EventDestination, EventRequest, parse_event_request
from lib.products import parse_products
from tests.german_purchase import PURCHASE, flattened
from tests.strategies import json_values

KEYS: Final = (
    *("connection", "event_data", "events", "event", "consent", "destinations", "products", "cookies", "identity"),
    *("optimistic", "debug", "dry_run", "data_processing", "event_name"),
)
LEAD: Final[Mapping[str, Any]] = {"event_name": "generate_lead", "user_data": {"email_address": "ada@example.com"}}


def parsed(**body: Any) -> EventRequest:
    return parse_event_request({"event_data": LEAD} | body)


class TestForms:
    @pytest.mark.parametrize(
        ("body", "events"),
        [
            pytest.param(LEAD, [LEAD], id="the event is the body"),
            pytest.param(flattened(PURCHASE), [flattened(PURCHASE)], id="the flattened event is the body"),
            pytest.param({"event_data": LEAD}, [LEAD], id="event_data"),
            pytest.param({"events": [LEAD, PURCHASE]}, [LEAD, PURCHASE], id="several"),
            pytest.param({"events": [LEAD], "event_data": None}, [LEAD], id="null is absent"),
            pytest.param({"event": {"event_name": "Lead"}}, [{}], id="nothing but overrides"),
            pytest.param({}, [{}], id="nothing"),
        ],
    )
    def test_the_events(self, body: Mapping[str, Any], events: list[Mapping[str, Any]]) -> None:
        request = parse_event_request(body)
        assert tuple(map(CommonEvent, events)) == request.events
        assert () == request.warnings

    def test_one_key_of_the_contract_makes_the_rest_of_an_event_unknown(self) -> None:
        request = parse_event_request({**LEAD, "debug": True})
        assert (CommonEvent({}),) == request.events
        assert ("the body has keys that are not known; they are ignored",) == request.warnings


class TestDestinations:
    @pytest.mark.parametrize(
        ("stated", "destination"),
        [
            pytest.param({"dataset_id": "3001"}, EventDestination("3001"), id="dataset"),
            pytest.param({"dataset_id": 3001}, EventDestination("3001"), id="a number"),
            pytest.param({"pixel_id": "3001"}, EventDestination("3001"), id="pixel"),
            pytest.param({"dataset_id": None, "pixel_id": "3001"}, EventDestination("3001"), id="null is absent"),
            pytest.param(
                {"dataset_id": "3001", "connection": "globex", "test_event_code": "TEST1"},
                EventDestination("3001", "globex", "TEST1"),
                id="all of it",
            ),
            pytest.param({"dataset_id": "3001", "test_event_code": ""}, EventDestination("3001"), id="no test code"),
        ],
    )
    def test_one(self, stated: Mapping[str, Any], destination: EventDestination) -> None:
        assert (destination,) == parsed(destinations=[stated]).destinations

    def test_answers_and_rows_name_the_dataset(self) -> None:
        assert {"dataset_id": "3001"} == EventDestination("3001", "globex", "TEST1").shown()

    def test_the_same_dataset_through_two_connections_is_two(self) -> None:
        stated = [{"dataset_id": "3001"}, {"dataset_id": "3001", "connection": "globex"}]
        assert 2 == len(parsed(destinations=stated).destinations)


class TestRefusals:
    """400: `error.field` names what is not understood, and no message repeats a value."""

    @pytest.mark.parametrize(
        ("body", "field"),
        [
            pytest.param({"event_data": [LEAD]}, "event_data", id="a list as event_data"),
            pytest.param({"event": "purchase"}, "event", id="the name of an event as event"),
            pytest.param({"event": {"user_data": []}}, "event.user_data", id="a list as user_data"),
            pytest.param({"event": {"custom_data": "{}"}}, "event.custom_data", id="a text as custom_data"),
            pytest.param({"event": {"app_data": 1}}, "event.app_data", id="a number as app_data"),
            pytest.param({"event": {"original_event_data": 1}}, "event.original_event_data", id="original_event_data"),
            pytest.param(
                {"event": {"test_event_code": "a@b.c"}}, "event.test_event_code", id="an address as test code"
            ),
            pytest.param({"event": {"test_event_code": [1]}}, "event.test_event_code", id="a list as test code"),
            pytest.param({"events": LEAD}, "events", id="one event as events"),
            pytest.param({"events": []}, "events", id="no events"),
            pytest.param({"events": [LEAD, None]}, "events[1]", id="an event that is none"),
            pytest.param({"events": [LEAD], "event_data": LEAD}, "events", id="both"),
            pytest.param(
                {"events": [LEAD, LEAD], "event": {"event_id": "1"}}, "event.event_id", id="one id for several events"
            ),
            pytest.param({"destinations": {}}, "destinations", id="an object as destinations"),
            pytest.param({"destinations": []}, "destinations", id="no destinations"),
            pytest.param({"destinations": ["3001"]}, "destinations[0]", id="an id as destination"),
            pytest.param({"destinations": [{}]}, "destinations[0].dataset_id", id="no dataset"),
            pytest.param({"destinations": [{"audience_id": "1"}]}, "destinations[0].dataset_id", id="an audience"),
            pytest.param({"destinations": [{"dataset_id": "../me"}]}, "destinations[0].dataset_id", id="a path"),
            pytest.param({"destinations": [{"dataset_id": True}]}, "destinations[0].dataset_id", id="true"),
            pytest.param(
                {"destinations": [{"pixel_id": "a b"}]}, "destinations[0].pixel_id", id="a pixel that is none"
            ),
            pytest.param(
                {"destinations": [{"dataset_id": "1"}, {"pixel_id": "1"}]}, "destinations", id="a destination twice"
            ),
            pytest.param(
                {"destinations": [{"dataset_id": "1", "connection": 1}]}, "destinations[0].connection", id="connection"
            ),
            pytest.param(
                {"destinations": [{"dataset_id": "1", "test_event_code": "a b"}]},
                "destinations[0].test_event_code",
                id="a test code that is none",
            ),
            pytest.param({"cookies": "_fbp=1"}, "cookies", id="a text as cookies"),
            pytest.param({"identity": True}, "identity", id="true as identity"),
            pytest.param({"identity": {"enabled": "yes"}}, "identity.enabled", id="yes to identity"),
            pytest.param({"identity": {"anonymous_id": ["a"]}}, "identity.anonymous_id", id="a list as id"),
            pytest.param({"products": "ga4"}, "products", id="a text as products"),
            pytest.param({"products": {"schema": "ua"}}, "products.schema", id="a schema that is none"),
            pytest.param({"products": {"id": 1}}, "products.id", id="a number as name of a field"),
            pytest.param({"consent": {"required": ["ads"]}}, "consent.required", id="a signal that is none"),
            pytest.param({"optimistic": "yes"}, "optimistic", id="yes"),
            pytest.param({"data_processing": {"state": "Atlantis"}}, "data_processing.state", id="Atlantis"),
        ],
    )
    def test_the_field_is_named(self, body: Mapping[str, Any], field: str) -> None:
        with pytest.raises(InvalidRequestError) as caught:
            parse_event_request(body)
        assert field == caught.value.field
        assert "@" not in caught.value.message

    @given(st.dictionaries(st.sampled_from(KEYS), json_values, max_size=4))
    def test_a_body_is_understood_or_refused_by_the_name_of_a_field(self, body: Mapping[str, Any]) -> None:
        with contextlib.suppress(InvalidRequestError):
            assert parse_event_request(body).events


class TestOverrides:
    def test_those_of_the_contract_are_kept_and_others_are_warned_of_without_being_repeated(self) -> None:
        request = parsed(event={"event_name": "Lead", "event_time": None, "secret": "x"})
        assert {"event_name": "Lead"} == request.overrides
        assert ("event has keys that are not known; they are ignored",) == request.warnings

    def test_an_id_for_the_only_event_of_a_list(self) -> None:
        assert {"event_id": "1"} == parse_event_request({"events": [LEAD], "event": {"event_id": "1"}}).overrides


class TestCookies:
    @pytest.mark.parametrize(
        ("stated", "cookies"),
        [
            pytest.param(None, None, id="none are handled"),
            pytest.param({}, {}, id="the browser has none"),
            pytest.param({"_fbp": "fb.1.1.2", "_ga": "GA1"}, {"_fbp": "fb.1.1.2"}, id="Meta's alone"),
            pytest.param({"_fbp": ["fb.1.1.2", "fb.1.1.3"]}, {"_fbp": "fb.1.1.2"}, id="as getCookieValues gives them"),
            pytest.param({"_fbp": [], "_fbc": "", "_gtmeec": None}, {}, id="empty ones"),
            pytest.param({"_fbp": 7, "_fbc": {}}, {}, id="no texts"),
            pytest.param({"_fbi": "2001:db8::1"}, {"_fbi": "2001:db8::1"}, id="the Parameter Builder's address"),
        ],
    )
    def test_those_of_the_browser(self, stated: object, cookies: Mapping[str, str] | None) -> None:
        assert cookies == parsed(cookies=stated).cookies


class TestOthers:
    def test_a_product_schema(self) -> None:
        assert parse_products({"schema": "omni"}) == parsed(products={"schema": "omni"}).products

    def test_what_the_caller_says_of_identity(self) -> None:
        assert (None, "") == (parsed().recognise, parsed().anonymous_id)
        request = parsed(identity={"enabled": "false", "anonymous_id": 17})
        assert (False, "17", ()) == (request.recognise, request.anonymous_id, request.warnings)

    def test_nothing_of_a_person_stands_in_its_repr(self) -> None:
        overrides = {"user_data": {"em": "grace@example.com"}}
        shown = repr(parse_event_request({"events": [LEAD], "event": overrides, "cookies": {"_fbp": "fb.1.1.2"}}))
        assert [] == [secret for secret in ("ada", "grace", "fb.1") if secret in shown]
