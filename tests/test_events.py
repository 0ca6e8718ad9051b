"""One event -> one of Meta's server events (design, section 13; tags-and-connectors.md, sections B, C and F)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Final

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lib.app_data import KEYS as APP_KEYS
from lib.common_event import CommonEvent
from lib.custom_data import FIELDS
from lib.data_processing import DataProcessing
from lib.events import EventPolicy, build_server_event, time_of_event
from lib.report import Report
from lib.user_data import NO_IDENTIFIER, REFUSED_COMBINATION
from tests.german_purchase import NOW, PURCHASE, flattened
from tests.strategies import json_values

USER: Final[Mapping[str, Any]] = {"em": ["a" * 64], "client_user_agent": "Mozilla/5.0"}
DAY: Final = 86_400
#: An event with nothing to be warned of.
PAGE_VIEW: Final[Mapping[str, Any]] = {
    "event_name": "page_view",
    "event_id": "E-1",
    "timestamp": NOW - 1,
    "page_location": "https://shop.example.de/Kasse",
}
META_ORDER: Final = (
    *("event_name", "event_time", "user_data", "custom_data", "event_source_url", "opt_out", "event_id"),
    *("action_source", "data_processing_options", "data_processing_options_country", "data_processing_options_state"),
    *("referrer_url", "app_data", "original_event_data", "messaging_channel"),
)


def build(
    event: Mapping[str, Any],
    overrides: Mapping[str, Any] | None = None,
    *,
    user_data: Mapping[str, Any] = USER,
    row: int = 0,
    **policy: Any,
) -> tuple[dict[str, Any] | None, Report]:
    report = Report()
    server_event = build_server_event(
        CommonEvent(event),
        replace(EventPolicy(now=NOW, seed="message-1"), **policy),
        overrides=overrides or {},
        user_data=user_data,
        report=report,
        row=row,
    )
    return server_event, report


def built(event: Mapping[str, Any], overrides: Mapping[str, Any] | None = None, **further: Any) -> dict[str, Any]:
    server_event, report = build({**PAGE_VIEW, **event}, overrides, **further)
    assert server_event is not None, report.listed()
    return server_event


def refused(event: Mapping[str, Any], overrides: Mapping[str, Any] | None = None, **further: Any) -> list[str | None]:
    server_event, report = build({**PAGE_VIEW, **event}, overrides, **further)
    assert server_event is None
    assert 1 == report.rejected_rows(None)
    return [reject.field for reject in report.rejects]


@pytest.mark.parametrize("event", [PURCHASE, flattened(PURCHASE)], ids=["nested", "flattened"])
def test_the_german_purchase(event: Mapping[str, Any]) -> None:
    server_event, report = build(event)
    assert server_event is not None
    assert {
        "event_name": "Purchase",
        "event_time": 1772445602,
        "event_source_url": "https://shop.example.de/kasse/danke?order=DE-10482&fbclid=IwAR2mQx7TestClick_AbC",
        "event_id": "1772445600123_17724455120042",
        "action_source": "website",
        "referrer_url": "https://shop.example.de/kasse/bezahlen",
        "user_data": USER,
    } == {key: value for key, value in server_event.items() if key != "custom_data"}
    custom_data = server_event["custom_data"]
    assert [("SKU-100", 95, 1), ("SKU-207", 15, 2)] == [
        (content["id"], content["item_price"], content["quantity"]) for content in custom_data["contents"]
    ]
    assert {"num_items": 3, "value": 129.9, "currency": "EUR", "order_id": "DE-10482"}.items() <= custom_data.items()
    assert Report() == report


class TestEventName:
    @pytest.mark.parametrize(
        ("name", "expected"),
        [
            pytest.param("purchase", "Purchase", id="of the table"),
            pytest.param("gtm4wp.orderCompletedEEC", "Purchase", id="of the WordPress plugin"),
            pytest.param("Purchase", "Purchase", id="Meta's own"),
            pytest.param("My_Own Event", "My_Own Event", id="F 32: any other keeps its case"),
            pytest.param(" Quiz ", "Quiz", id="trimmed"),
        ],
    )
    def test_is_metas_or_as_it_is(self, name: str, expected: str) -> None:
        assert expected == built({"event_name": name, "value": 1, "currency": "EUR"})["event_name"]

    def test_the_override_wins_and_is_metas_already(self) -> None:
        assert "purchase" == built({}, {"event_name": "purchase"})["event_name"]

    @pytest.mark.parametrize("name", [None, "", "  ", "undefined", 5, True, ["purchase"], {"a": 1}])
    def test_missing_or_no_text_is_refused(self, name: object) -> None:
        assert ["event_name"] == refused({"event_name": name})

    def test_a_long_custom_name_is_a_warning(self) -> None:
        _, report = build({**PAGE_VIEW, "event_name": "x" * 51})
        assert 1 == len(report.warnings)

    def test_with_an_address_in_it_is_refused(self) -> None:
        assert ["event_name"] == refused({"event_name": "signup ada@example.com"})


class TestEventTime:
    def test_seconds_and_milliseconds_are_the_same(self) -> None:
        """F 33: seconds are not replaced by now, milliseconds not sent as they are."""
        assert NOW - 60 == built({"timestamp": NOW - 60})["event_time"]
        assert NOW - 60 == built({"timestamp": (NOW - 60) * 1000})["event_time"]

    def test_is_never_in_the_future(self) -> None:
        """F 34: the event's own time counts, and it never lies ahead."""
        assert NOW == built({"timestamp": NOW + 5})["event_time"]

    @pytest.mark.parametrize("event", [PURCHASE, flattened(PURCHASE)], ids=["nested", "flattened"])
    def test_the_time_of_the_request_stands_in(self, event: Mapping[str, Any]) -> None:
        assert 1772445602 == built({**event, "timestamp": None})["event_time"]

    def test_older_than_a_week_is_refused(self) -> None:
        server_event, report = build({**PAGE_VIEW, "event_time": NOW - 7 * DAY - 1})
        assert (None, [("event_time", "older than 7 days")]) == (
            server_event,
            [(reject.field, reject.reason) for reject in report.rejects],
        )

    def test_of_a_store_62_days(self) -> None:
        store = {"action_source": "physical_store"}
        assert built({**store, "event_time": NOW - 62 * DAY})
        assert ["event_time"] == refused({**store, "event_time": NOW - 62 * DAY - 1})

    @given(json_values, json_values)
    def test_can_be_known_before(self, stated: object, override: object) -> None:
        event = CommonEvent({**PAGE_VIEW, "event_time": stated})
        server_event, _ = build(event.data, {"event_time": override})
        if server_event is not None:
            assert server_event["event_time"] == time_of_event(event, {"event_time": override}, now=NOW)


class TestEventId:
    @pytest.mark.parametrize(
        ("event", "overrides", "expected"),
        [
            pytest.param({"event_id": "AbC-1"}, {}, "AbC-1", id="F 32: it keeps its case"),
            pytest.param({"event_id": 123}, {}, "123", id="a number is read as text"),
            pytest.param({"event_id": "a"}, {"event_id": "B"}, "B", id="the override wins"),
            pytest.param({"event_id": "", "transaction_id": "T-1"}, {}, "T-1", id="else the transaction's"),
            pytest.param({"event_id": None, "ecommerce": {"transaction_id": 7}}, {}, "7", id="wherever it stands"),
            pytest.param({"event_id": "ada@example.com", "transaction_id": "T"}, {}, "T", id="never an address"),
        ],
    )
    def test_is_stated(self, event: Mapping[str, Any], overrides: Mapping[str, Any], expected: str) -> None:
        assert expected == built(event, overrides)["event_id"]

    def test_derives_from_the_content(self) -> None:
        without = {"event_id": None}
        first = built(without)["event_id"]
        assert 32 == len(first)
        assert first == built(dict(reversed(list({**PAGE_VIEW, **without}.items()))))["event_id"]
        assert first != built({**without, "page_location": "https://shop.example.de/other"})["event_id"]
        assert first != built(without, seed="message-2")["event_id"]

    def test_of_a_redelivery_is_the_same_though_the_clock_has_moved(self) -> None:
        assert built({"event_id": None})["event_id"] == built({"event_id": None}, now=NOW + 600)["event_id"]


class TestUrls:
    def test_keep_their_case(self) -> None:
        """F 32: a click id and other parameters survive."""
        url = "https://Shop.example.de/A?Fbclid=AbC"
        server_event = built({"page_location": url, "page_referrer": url})
        assert (url, url) == (server_event["event_source_url"], server_event["referrer_url"])

    def test_the_override_wins(self) -> None:
        assert "https://a.example/" == built({}, {"event_source_url": "https://a.example/"})["event_source_url"]

    @pytest.mark.parametrize("url", ["ftp://a.example", "shop.example.de", "javascript:alert(1)", "https://", 5, ["x"]])
    def test_of_a_website_are_http(self, url: object) -> None:
        server_event, report = build({**PAGE_VIEW, "page_location": url})
        assert server_event is not None
        assert "event_source_url" not in server_event
        assert "event_source_url" in {reject.field for reject in report.rejects}

    def test_lose_what_identifies_a_person(self) -> None:
        server_event, report = build({**PAGE_VIEW, "page_location": "https://a.example/?email=ada@example.com&x=1"})
        assert server_event is not None
        assert "https://a.example/?x=1" == server_event["event_source_url"]
        assert 1 == len(report.warnings)

    def test_a_website_event_without_one_is_sent_with_a_warning(self) -> None:
        server_event, report = build({**PAGE_VIEW, "page_location": None})
        assert server_event is not None
        assert ["event_source_url: a website event should have one"] == list(report.warnings)


class TestOptOut:
    @pytest.mark.parametrize(
        ("value", "expected"),
        [
            pytest.param(True, True, id="true"),
            pytest.param("true", True, id="text true"),
            pytest.param(1, True, id="1"),
            pytest.param("1", True, id="text 1"),
            pytest.param(False, False, id="false"),
            pytest.param("false", False, id="text false is not true"),
            pytest.param(0, False, id="0"),
            pytest.param("0", False, id="F 28: text 0 is not true"),
            pytest.param(None, None, id="not stated"),
            pytest.param("", None, id="blank"),
            pytest.param("perhaps", True, id="not understood, so kept out"),
        ],
    )
    def test_is_read_as_a_word(self, value: object, expected: object) -> None:
        assert expected == built({"opt_out": value}).get("opt_out")
        assert expected == built({}, {"opt_out": value}).get("opt_out")


class TestDataProcessing:
    KEY: Final = "data_processing_options"

    def options(self, event: Mapping[str, Any], **further: Any) -> tuple[Any, ...] | None:
        server_event = built(event, **further)
        keys = (self.KEY, f"{self.KEY}_country", f"{self.KEY}_state")
        return tuple(server_event[key] for key in keys) if self.KEY in server_event else None

    @pytest.mark.parametrize(
        ("value", "country", "state", "expected"),
        [
            pytest.param(["LDU"], 1, 1000, (["LDU"], 1, 1000), id="numbers"),
            pytest.param("LDU", "1", "1000", (["LDU"], 1, 1000), id="F 44: a text becomes a list, texts numbers"),
            pytest.param('["LDU"]', 1, 1000, (["LDU"], 1, 1000), id="JSON text"),
            pytest.param(["LDU"], "US", "CA", (["LDU"], 1, 1000), id="F 16: codes"),
            pytest.param(["LDU"], "United States", "Texas", (["LDU"], 1, 1005), id="F 39: any spelling, any state"),
            pytest.param(["LDU"], None, None, (["LDU"], 0, 0), id="F 39: 0 and 0 are sent"),
            pytest.param(["LDU"], None, "Colorado", (["LDU"], 1, 1001), id="a state is one of the United States"),
            pytest.param(["LDU"], "Atlantis", "Lost", (["LDU"], 0, 0), id="unknown places"),
            pytest.param("LIMITED", 1, 1000, (["LDU"], 1, 1000), id="not understood, so limited"),
            pytest.param([], 1, 1000, None, id="none wanted"),
            pytest.param(None, 1, 1000, None, id="not stated"),
        ],
    )
    def test_of_the_event(self, value: object, country: object, state: object, expected: object) -> None:
        event = {self.KEY: value, f"{self.KEY}_country": country, f"{self.KEY}_state": state}
        assert expected == self.options(event)

    def test_of_the_request_wins(self) -> None:
        wanted = DataProcessing(("LDU",), 1, 1000)
        assert (["LDU"], 1, 1000) == self.options({self.KEY: []}, data_processing=wanted)

    def test_a_us_privacy_string_that_opts_out_of_sale_sets_it(self) -> None:
        assert (["LDU"], 0, 0) == self.options({"us_privacy": "1YYN", self.KEY: []})
        assert self.options({"us_privacy": "1YNN"}) is None
        assert (["LDU"], 0, 0) == self.options({"gpp": "DBABLA~CAAQAAAAAABA.QA"})


class TestOriginalEvent:
    ORIGINAL: Final = {"event_name": "Purchase", "event_time": NOW - 9 * DAY, "order_id": "O", "event_id": "E"}

    @pytest.mark.parametrize(
        "event",
        [
            pytest.param({"original_event_data": ORIGINAL}, id="nested"),
            pytest.param(flattened({"original_event_data": ORIGINAL}), id="flattened"),
            pytest.param({"original_event_data": json.dumps(ORIGINAL)}, id="JSON text"),
            pytest.param(
                {
                    "original_event_data": {
                        **ORIGINAL,
                        "event_name": "purchase",
                        "event_time": f"{NOW - 9 * DAY}000",
                        "x": 1,
                    }
                },
                id="GA4's name, milliseconds, an unknown key",
            ),
        ],
    )
    def test_of_the_event(self, event: Mapping[str, Any]) -> None:
        assert self.ORIGINAL == built(event)["original_event_data"]

    def test_the_override_wins_key_by_key(self) -> None:
        server_event = built({"original_event_data": self.ORIGINAL}, {"original_event_data": {"order_id": 5}})
        assert {**self.ORIGINAL, "order_id": "5"} == server_event["original_event_data"]


class TestActionSources:
    def test_an_unknown_one_is_refused(self) -> None:
        assert ["action_source"] == refused({"action_source": "web"})

    def test_business_messaging_carries_neither_page_nor_browser(self) -> None:
        ids = {"page_id": "1", "page_scoped_user_id": "2"}
        browser = {"client_ip_address": "192.0.2.1", "client_user_agent": "M", "fbc": "fb.1.1.a", "fbp": "fb.1.1.1"}
        server_event = built(
            {**PURCHASE, "messaging_channel": "messenger"},
            {"action_source": "business_messaging"},
            user_data={**ids, **browser},
        )
        assert (ids, "messenger") == (server_event["user_data"], server_event["messaging_channel"])
        assert {"event_source_url", "referrer_url"}.isdisjoint(server_event)

    def test_business_messaging_without_a_channel_is_refused(self) -> None:
        assert ["messaging_channel"] == refused({"action_source": "business_messaging"})

    def test_what_is_left_of_a_person_there_has_to_be_enough(self) -> None:
        fields = refused(
            {"action_source": "business_messaging", "messaging_channel": "messenger"}, user_data={"fbp": "fb.1.1.1"}
        )
        assert ["user_data"] == fields

    def test_a_channel_elsewhere_is_left_out(self) -> None:
        assert "messaging_channel" not in built({"messaging_channel": "messenger"})

    def test_an_app_event_without_device_is_refused(self) -> None:
        assert ["app_data.extinfo"] == refused({"action_source": "app"})

    def test_an_app_event(self) -> None:
        event = {"action_source": "app", "x-ga-platform": "android", "x-ga-os_version": "14"}
        app_data = built(event)["app_data"]
        assert ("a2", "14", 16) == (app_data["extinfo"][0], app_data["extinfo"][4], len(app_data["extinfo"]))

    def test_app_data_elsewhere_is_left_out_and_reported(self) -> None:
        server_event, report = build(PAGE_VIEW, {"app_data": {"extinfo": ["a2"]}})
        assert server_event is not None
        assert "app_data" not in server_event
        assert ["app_data"] == [reject.field for reject in report.rejects]

    @pytest.mark.parametrize("source", ["email", "phone_call", "chat", "physical_store", "system_generated", "other"])
    def test_the_others_need_no_page(self, source: str) -> None:
        server_event, report = build(
            {**PAGE_VIEW, "page_location": None}, {"action_source": source}, user_data={"em": ["x"]}
        )
        assert server_event is not None
        assert Report() == report


class TestUserData:
    @pytest.mark.parametrize(
        ("user_data", "reason"),
        [
            pytest.param({}, NO_IDENTIFIER, id="nothing"),
            pytest.param({"em": [], "ph": ""}, NO_IDENTIFIER, id="nothing in it"),
            pytest.param({"country": ["x"]}, REFUSED_COMBINATION, id="a country alone"),
            pytest.param({"db": ["x"], "client_user_agent": "M"}, REFUSED_COMBINATION, id="a birthday and a browser"),
            pytest.param({"fn": ["x"], "ge": ["x"]}, REFUSED_COMBINATION, id="a name and a gender"),
        ],
    )
    def test_that_names_nobody_well_enough_is_refused(self, user_data: Mapping[str, Any], reason: str) -> None:
        server_event, report = build(PAGE_VIEW, user_data=user_data)
        assert (None, [("user_data", reason)]) == (
            server_event,
            [(reject.field, reject.reason) for reject in report.rejects],
        )

    def test_is_not_changed(self) -> None:
        user_data = {**USER, "fbp": "fb.1.1.1", "ph": []}
        before = json.dumps(user_data)
        build(PAGE_VIEW, {"action_source": "business_messaging"}, user_data=user_data)
        assert before == json.dumps(user_data)


class TestReport:
    def test_all_that_is_wrong_is_said_and_one_row_counts(self) -> None:
        fields = refused(
            {"event_name": "purchase", "value": "abc", "action_source": "web", "event_time": 1}, user_data={}, row=7
        )
        assert ["action_source", "event_time", "user_data", "custom_data.value", "custom_data.currency"] == fields

    def test_names_the_row(self) -> None:
        _, report = build({}, row=7)
        assert {7} == {reject.row for reject in report.rejects}


def test_an_event_needs_none_of_sgtm() -> None:
    """The caller may state everything itself."""
    overrides = {
        "event_name": "Purchase",
        "event_time": NOW,
        "event_id": "1",
        "action_source": "physical_store",
        "custom_data": {"value": 5, "currency": "EUR"},
    }
    server_event, report = build({}, overrides)
    assert server_event == {
        "event_name": "Purchase",
        "event_time": NOW,
        "user_data": USER,
        "custom_data": {"value": 5, "currency": "EUR"},
        "event_id": "1",
        "action_source": "physical_store",
    }
    assert Report() == report


CANARY: Final = "ada.canary@example.com"
PHONE_CANARY: Final = "+49 170 1234567"
_EVENT_KEYS: Final = st.sampled_from(
    [
        *(*PURCHASE, *META_ORDER, *APP_KEYS, "us_privacy", "custom_properties", "x-fb-cd-a"),
        *("x-fb-cd-contents", "ecommerce", "x-ga-mp2-data", "app_id", "search_term"),
    ]
)
_CANARIES: Final = st.sampled_from([CANARY, f"mail {CANARY}", f"https://a.example/{CANARY}?x={CANARY}", PHONE_CANARY])
_INNER_KEYS: Final = st.sampled_from(
    [*(field.key for field in FIELDS), *APP_KEYS, "items", "item_id", "id", "price", "event_name", "note", "order_id"]
)
_VALUES: Final = st.recursive(
    json_values | _CANARIES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_INNER_KEYS, inner, max_size=4),
    max_leaves=6,
)
_EVENTS: Final = st.dictionaries(_EVENT_KEYS | st.text(max_size=6), _VALUES, max_size=12)
_OVERRIDES: Final = st.dictionaries(st.sampled_from(META_ORDER), _VALUES, max_size=6)


@given(_EVENTS, _OVERRIDES)
def test_no_event_raises_and_nothing_empty_leaves(event: dict[str, Any], overrides: dict[str, Any]) -> None:
    server_event, report = build(event, overrides)
    if server_event is None:
        assert 1 == report.rejected_rows(None)
        return
    assert 0 == report.rejected_rows(None)
    assert sorted(server_event, key=META_ORDER.index) == list(server_event)
    assert [] == [key for key, value in server_event.items() if value is None or value in ("", [], {})]
    orjson.dumps(server_event)


@given(_EVENTS, _OVERRIDES)
def test_no_address_leaves_or_is_reported(event: dict[str, Any], overrides: dict[str, Any]) -> None:
    server_event, report = build(event, overrides)
    assert CANARY not in f"{server_event} {report}"
    assert PHONE_CANARY not in f"{server_event} {report}"


@given(_EVENTS, _OVERRIDES)
def test_the_same_content_gives_the_same_bytes(event: dict[str, Any], overrides: dict[str, Any]) -> None:
    again = json.loads(json.dumps(event)), json.loads(json.dumps(overrides))
    once, twice = build(event, overrides)[0], build(*again)[0]
    assert orjson.dumps(once) == orjson.dumps(twice)


@given(st.dictionaries(st.text(), json_values))
def test_any_json_object_is_an_event_or_a_reject(event: dict[str, Any]) -> None:
    for data in (event, {**PURCHASE, **event}, flattened({**PURCHASE, **event})):
        server_event, report = build(data)
        assert (server_event is None) == (report.rejected_rows(None) == 1)
