"""
Meta's own SDK (`facebook-business`, adobjects.serverside) beside this relay: the same input, the same words to Meta.

Where the SDK is right both have to agree, field by field. Where it is not, a table says what it does, what is right,
and why: each row is held to both, so that a release of the SDK that mends one is noticed.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import pytest
from facebook_business.adobjects.serverside.action_source import ActionSource
from facebook_business.adobjects.serverside.app_data import AppData
from facebook_business.adobjects.serverside.content import Content
from facebook_business.adobjects.serverside.custom_data import CustomData
from facebook_business.adobjects.serverside.delivery_category import DeliveryCategory
from facebook_business.adobjects.serverside.event import Event
from facebook_business.adobjects.serverside.event_request import EventRequest
from facebook_business.adobjects.serverside.extended_device_info import ExtendedDeviceInfo
from facebook_business.adobjects.serverside.gender import Gender
from facebook_business.adobjects.serverside.messaging_channel import MessagingChannel
from facebook_business.adobjects.serverside.original_event_data import OriginalEventData
from facebook_business.adobjects.serverside.user_data import UserData

from lib.action_sources import ACTION_SOURCES, MESSAGING_CHANNELS
from lib.app_data import TEXTS
from lib.identifiers import IDENTIFIERS
from tests.event_world import DAY, NOW, World
from tests.german_purchase import NOW as SHOP_NOW
from tests.german_purchase import PURCHASE
from tests.manual_clock import ManualClock

URL: Final = "https://shop.example.de/Kasse?order=1"
AGENT: Final = "Mozilla/5.0 (X11)"
#: Names somebody, so that Meta takes the event whatever else there is.
FBP: Final = "fb.1.1772445602511.1098115397"


def digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def answered(*, connection: str = "acme", **event: Any) -> tuple[dict[str, Any] | None, dict[str, Any]]:
    """Return what the relay sends to Meta for `event` of a request, in Meta's words; and its answer."""
    world = World()
    answer = world.post(event_data={}, event=event, connection=connection)
    events = world.meta.bodies[0]["data"] if world.meta.bodies else [None]
    return events[0], answer


def ours(**event: Any) -> dict[str, Any]:
    sent, answer = answered(**event)
    assert sent is not None, answer["rejected"]
    return sent


def our_user_data(connection: str = "acme", /, **keys: Any) -> dict[str, Any]:
    """Return the user_data of an event whose caller states *keys* of it."""
    stated = {"fbp": FBP, **keys}
    sent = ours(event_name="Lead", event_id="1", event_source_url=URL, user_data=stated, connection=connection)
    user_data: dict[str, Any] = sent["user_data"]
    return user_data


#: Meta's key -> the SDK's word for several of it.
SDK_WORDS: Final[Mapping[str, str]] = {
    "em": "emails",
    "ph": "phones",
    "fn": "first_names",
    "ln": "last_names",
    "ct": "cities",
    "st": "states",
    "zp": "zip_codes",
    "country": "country_codes",
    "db": "dates_of_birth",
    "external_id": "external_ids",
}


def sdk_user_data(**keys: Any) -> dict[str, Any]:
    normalized: dict[str, Any] = UserData(**keys).normalize()
    return normalized


class TestUserData:
    """UserData.normalize()."""

    @pytest.mark.parametrize(
        ("key", "values"),
        [
            pytest.param("em", [" John_Smith@gmail.com "], id="Meta's own address"),
            pytest.param("em", ["Ada@Example.com", "ada@example.com", "b@example.com"], id="several, each once"),
            pytest.param("em", [digest("ada@example.com").upper()], id="a hash in capitals"),
            pytest.param("ph", ["+1 (650) 555-1212", "0044 844 412 4653"], id="international numbers"),
            pytest.param("fn", ["Mary", " Valéry ", "정"], id="first names"),
            pytest.param("ln", ["Доу", "Muster Weiß"], id="last names"),
            pytest.param("ct", ["London", "Bad Tölz", "Saint-Denis"], id="cities"),
            pytest.param("st", ["az", "Bayern"], id="states"),
            pytest.param("zp", ["83646", "M1 1AE"], id="postal codes"),
            pytest.param("country", ["DE", " us "], id="countries"),
            pytest.param("db", ["19970216"], id="a birthday"),
        ],
    )
    def test_hashed_alike(self, key: str, values: list[str]) -> None:
        expected = sdk_user_data(**{SDK_WORDS[key]: values})[key]
        # The SDK's list has been a set on the way.
        assert sorted(expected) == sorted(our_user_data(**{key: values})[key])

    @pytest.mark.parametrize("gender", Gender)
    def test_genders_alike(self, gender: Gender) -> None:
        assert sdk_user_data(gender=gender)["ge"] == our_user_data(ge=gender.value)["ge"]

    @pytest.mark.parametrize(
        ("key", "value"),
        [
            ("client_ip_address", "2001:db9::1"),
            ("client_user_agent", AGENT),
            ("fbc", "fb.1.1772445602511.IwAR2mQx7TestClick_AbC"),
            ("fbp", FBP),
            ("subscription_id", "Sub-1"),
            ("fb_login_id", 1234567890123456),
            ("lead_id", 1234567890123456),
            ("madid", "38400000-8cf0-11bd-b23e-10b96e40000d"),
            ("anon_id", "Anon-1"),
            ("ctwa_clid", "Clid_1"),
            ("page_id", "123456"),
        ],
    )
    def test_passed_alike(self, key: str, value: object) -> None:
        assert sdk_user_data(**{key: value})[key] == our_user_data(**{key: value})[key]

    def test_external_ids_alike_where_the_connection_sends_them_plain(self) -> None:
        values = ["cust-88213", "Cust-9", "cust-88213"]
        expected = sdk_user_data(external_ids=values)["external_id"]
        assert sorted(expected) == sorted(our_user_data("globex", external_id=values)["external_id"])

    def test_the_sdk_knows_no_key_that_the_relay_has_forgotten(self) -> None:
        """f5first, f5last, fi and the parts of a birthday are in no documentation of Meta's."""
        undocumented = {"f5first", "f5last", "fi", "dobd", "dobm", "doby"}
        sdk = {*SDK_WORDS, "ge", "fbc", "fbp"} | {
            *("client_ip_address", "client_user_agent", "subscription_id", "fb_login_id", "lead_id", "madid"),
            *("anon_id", "ctwa_clid", "page_id"),
        }
        words = {"email", "phone", "first_name", "last_name", "city", "state", "zip_code", "country_code"}
        words |= {"date_of_birth", "gender", *SDK_WORDS.values(), "genders"}
        assert set(UserData.param_types) - words - undocumented <= sdk
        assert sdk <= {identifier.user_data for identifier in IDENTIFIERS}


@dataclass(frozen=True, kw_only=True)
class Wrong:
    """
    Where the SDK errs about a person.

    Args:
        key, value: What is stated.
        beside: What else is.
        sdk: The text that it hashes, or the error that it raises; None where it sends the value as it is.
        right: The text whose hash is right; None where there is nothing to be sent.
        why: The reason.
    """

    key: str
    value: str
    beside: Mapping[str, str]
    sdk: str | type[Exception] | None
    right: str | None
    why: str


def wrong(  # one row of the table
    key: str, value: str, sdk: str | type[Exception] | None, right: str | None, why: str, **beside: str
) -> Any:
    row = Wrong(key=key, value=value, sdk=sdk, right=right, why=why, beside=beside)
    return pytest.param(row, id=f"{key}: {why}")


MD5: Final = hashlib.md5(b"ada@example.com").hexdigest()  # noqa: S324 - what some callers send
MARKED: Final = digest("ada@example.com") + ".AQQAAQEA"
COMBINING: Final = "Jose\N{COMBINING ACUTE ACCENT}"


class TestWhereTheSDKErrsAboutPeople:
    """Each row: what is stated, what the SDK hashes (or raises), what is right, and why."""

    ROWS: Final = (
        wrong("em", "ada(at)example.com", TypeError, None, "one bad address costs the whole event"),
        wrong("em", "  ", TypeError, None, "a blank is no address, and no error either"),
        wrong("em", MARKED, TypeError, MARKED, "the mark of Meta's own Parameter Builder is refused"),
        wrong("em", MD5, None, None, "an MD5 hash, of which Meta takes none, is sent"),
        wrong("em", "undefined", TypeError, None, "JavaScript's words for nothing are taken for something"),
        wrong("ph", "0170 1234567", "1701234567", "491701234567", "a national number is hashed without its country"),
        wrong("ph", "(650) 253-0000", "6502530000", "16502530000", "likewise, of the row's own country", country="US"),
        wrong("ph", "+49 (0)170 1234567", "4901701234567", "491701234567", "the zero in brackets is none"),
        wrong("ph", "+49.170.1234567", ValueError, "491701234567", "dots are no digits"),
        wrong("fn", "Anne-Marie", "anne-marie", "annemarie", '"using lowercase, no punctuation" (Meta)'),
        wrong("ln", "O’Connor", "o’connor", "oconnor", "typographic signs are punctuation too"),
        wrong("fn", COMBINING, COMBINING.lower(), "josé", "the same name is written in two ways in Unicode"),
        wrong("fn", "(not set)", "(not set)", None, "Analytics' word for nothing has a hash"),
        wrong("ct", "St. John's", "stjohn's", "stjohns", '"no punctuation" (Meta)'),
        wrong("st", "California", "california", "ca", '"2-character ANSI abbreviation code" (Meta)', country="US"),
        wrong("zp", "1000-205", "1000", "1000205", "only of the United States the first five count", country="PT"),
        wrong("zp", "940351234", "940351234", "94035", "and of these always", country="US"),
        wrong("country", "Germany", TypeError, "de", "the name of a country costs the whole event"),
        wrong("country", "USA", TypeError, "us", "and so does its code of three letters"),
        wrong("db", "1997-02-16", "1997-02-16", "19970216", '"YYYYMMDD" (Meta)'),
        wrong("db", "16.02.1997", "16.02.1997", "19970216", "a date of any form is hashed as it stands"),
    )

    @pytest.mark.parametrize("row", ROWS)
    def test_what_it_does(self, row: Wrong) -> None:
        stated = {SDK_WORDS[row.key]: [row.value]}
        if isinstance(row.sdk, type):
            with pytest.raises(row.sdk):
                sdk_user_data(**stated)
        else:
            assert [row.value if row.sdk is None else digest(row.sdk)] == sdk_user_data(**stated)[row.key]

    @pytest.mark.parametrize("row", ROWS)
    def test_what_is_right(self, row: Wrong) -> None:
        sent = our_user_data(**{row.key: row.value, **row.beside}).get(row.key)
        already_hashed = row.right == row.value
        expected = None if row.right is None else [row.right if already_hashed else digest(row.right)]
        assert expected == sent

    def test_its_errors_repeat_the_address(self) -> None:
        with pytest.raises(TypeError, match="ada"):
            sdk_user_data(email="ada(at)example.com")
        _, answer = answered(event_name="Lead", user_data={"em": "ada(at)example.com", "fbp": FBP})
        assert "ada" not in json.dumps(answer)

    def test_it_lacks_the_ids_of_messenger_and_instagram(self) -> None:
        """Meta's page on business messaging asks for them."""
        lacking = {"page_scoped_user_id", "ig_account_id", "ig_sid", "whatsapp_business_account_id"}
        assert set() == lacking & set(UserData.param_types)
        assert lacking <= {identifier.user_data for identifier in IDENTIFIERS}

    def test_it_leaves_an_address_as_a_proxy_wrote_it(self) -> None:
        written = "[2001:db9::1]:443, 10.0.0.1"
        assert written == sdk_user_data(client_ip_address=written)["client_ip_address"]
        assert "2001:db9::1" == our_user_data(client_ip_address=written)["client_ip_address"]


def sdk_event(**keys: Any) -> dict[str, Any]:
    """Return Event.normalize() of an event of this person."""
    normalized: dict[str, Any] = Event(
        **{
            "event_name": "Lead",
            "event_time": NOW - 10,
            "event_id": "E-1",
            "event_source_url": URL,
            "action_source": ActionSource.WEBSITE,
            "user_data": UserData(email="ada@example.com", fbp=FBP, client_user_agent=AGENT),
            **keys,
        }
    ).normalize()
    return normalized


def our_event(**keys: Any) -> dict[str, Any]:
    """Return what the relay makes of the same."""
    return ours(
        **{
            "event_name": "Lead",
            "event_time": NOW - 10,
            "event_id": "E-1",
            "event_source_url": URL,
            "action_source": "website",
            "user_data": {"em": "ada@example.com", "fbp": FBP, "client_user_agent": AGENT},
            **keys,
        }
    )


SHOES: Final = {
    "product_id": "SKU-100",
    "quantity": 2,
    "item_price": 95.5,
    "title": "Trail Shoe",
    "description": "A shoe",
    "brand": "Nordweg",
    "category": "Shoes",
}


class TestEvents:
    """Event.normalize(), with all that an event can hold."""

    @pytest.mark.parametrize(
        "keys",
        [
            pytest.param({}, id="the least"),
            pytest.param({"event_name": "My Own_Event"}, id="a custom name in its own case"),
            pytest.param({"event_id": "Mixed-Case_ID"}, id="an id in its own case"),
            pytest.param({"opt_out": True}, id="opt_out"),
            pytest.param({"opt_out": False}, id="opt_out that is false"),
            pytest.param({"referrer_url": "https://shop.example.de/Bezahlen?Q=1"}, id="a referrer"),
        ],
    )
    def test_alike(self, keys: Mapping[str, Any]) -> None:
        assert sdk_event(**keys) == our_event(**keys)

    @pytest.mark.parametrize("source", [source for source in ActionSource if source is not ActionSource.APP])
    def test_of_each_action_source(self, source: ActionSource) -> None:
        theirs = sdk_event(action_source=source, user_data=UserData(email="ada@example.com"), event_source_url=None)
        channel = {"messaging_channel": "whatsapp"} if source is ActionSource.BUSINESS_MESSAGING else {}
        mine = our_event(
            action_source=source.value, user_data={"em": "ada@example.com"}, event_source_url=None, **channel
        )
        assert theirs | channel == mine

    def test_the_action_sources_are_the_same(self) -> None:
        assert {source.value for source in ActionSource} == set(ACTION_SOURCES)

    def test_custom_data(self) -> None:
        contents = [Content(**SHOES, delivery_category=DeliveryCategory.IN_STORE), Content("SKU-207", 1, 15)]
        theirs = sdk_event(
            event_name="Purchase",
            custom_data=CustomData(
                value=206,
                net_revenue=180.5,
                currency="EUR",
                content_name="Cart",
                content_category="Shoes",
                content_ids=["SKU-100", "SKU-207"],
                contents=contents,
                content_type="product",
                order_id="DE-1",
                predicted_ltv=500,
                num_items=3,
                status="paid",
                search_string="Wool",
                item_number="7",
                delivery_category=DeliveryCategory.HOME_DELIVERY,
                custom_properties={"loyalty_tier": "gold", "points": 12},
            ),
        )
        stated = {
            **{key: value for key, value in theirs["custom_data"].items() if key != "currency"},
            "currency": "EUR",
        }
        mine = our_event(event_name="Purchase", custom_data=stated)
        # It writes currencies in lower case; Meta takes both, and its tables say EUR.
        assert ("eur", "EUR") == (theirs["custom_data"].pop("currency"), mine["custom_data"].pop("currency"))
        assert theirs == mine

    @pytest.mark.parametrize(
        ("options", "country", "state"), [(["LDU"], 1, 1000), (["LDU"], 0, 0)], ids=["California", "Meta finds out"]
    )
    def test_limited_data_use(self, options: list[str], country: int, state: int) -> None:
        theirs = sdk_event(
            data_processing_options=options,
            data_processing_options_country=country,
            data_processing_options_state=state,
        )
        world = World()
        wanted = {"options": options, "country": country, "state": state}
        world.post(event_data={}, event=_stated(sdk_event()), data_processing=wanted)
        (event,) = world.meta.events()
        assert _hashes_aside(theirs) == _hashes_aside(event)

    def test_an_app_event(self) -> None:
        device = ExtendedDeviceInfo(
            *("i2", "com.example.shop", "4.2", "Version 4.2", "17.4.1", "iPhone15,2", "de_DE", "CET", "Carrier"),
            *("390", "844", "3", "6", "128", "64", "Europe/Berlin"),
        )
        theirs = sdk_event(
            action_source=ActionSource.APP,
            event_source_url=None,
            app_data=AppData(
                application_tracking_enabled=1,
                advertiser_tracking_enabled=0,
                extinfo=device,
                campaign_ids="c-1",
                install_referrer="referrer",
                installer_package="package",
                url_schemes="shop",
                windows_attribution_id="w-1",
            ),
        )
        mine = our_event(action_source="app", event_source_url=None, app_data=theirs["app_data"])
        assert theirs == mine

    def test_an_event_about_an_earlier_one(self) -> None:
        original = OriginalEventData(event_name="Purchase", event_time=NOW - DAY, order_id="DE-1", event_id="E-0")
        theirs = sdk_event(original_event_data=original)
        assert theirs == our_event(original_event_data=theirs["original_event_data"])

    def test_the_german_purchase_built_by_hand(self) -> None:
        """tags-and-connectors.md, section C.1: what the relay reads out of sGTM's event, told to the SDK."""
        address = PURCHASE["user_data"]["address"][0]
        theirs = Event(
            event_name="Purchase",
            event_time=PURCHASE["timestamp"],
            event_id=PURCHASE["event_id"],
            event_source_url=PURCHASE["page_location"],
            referrer_url=PURCHASE["page_referrer"],
            action_source=ActionSource.WEBSITE,
            user_data=UserData(
                email=PURCHASE["user_data"]["email"],
                phone="+49 170 1234567",
                first_name=address["first_name"],
                last_name="Muster Weiß".replace(" ", ""),
                city=address["city"],
                state=address["region"],
                zip_code=address["postal_code"],
                country_code=address["country"],
                external_id=digest(PURCHASE["user_id"]),
                client_ip_address=PURCHASE["ip_override"],
                client_user_agent=PURCHASE["user_agent"],
                fbc="fb.1.1772445602511.IwAR2mQx7TestClick_AbC",
            ),
            custom_data=CustomData(
                value=129.9,
                content_ids=["SKU-100", "SKU-207"],
                contents=[
                    Content("SKU-100", 1, 95, title="Trail Shoe", brand="Nordweg", category="Shoes"),
                    Content("SKU-207", 2, 15, title="Wool Sock", brand="Nordweg", category="Accessories"),
                ],
                content_type="product",
                num_items=3,
                order_id="DE-10482",
            ),
        ).normalize()
        theirs["custom_data"]["currency"] = "EUR"
        world = World(clock=ManualClock(SHOP_NOW))
        world.meta.now = SHOP_NOW
        world.post(event_data=PURCHASE)
        assert [theirs] == world.meta.events()


def _stated(event: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in event.items() if key != "data_processing_options"}


def _hashes_aside(event: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in event.items() if key != "user_data"}


class TestWhereTheSDKErrsAboutEvents:
    """What it lets through, and Meta refuses or misreads; and what this relay does with it."""

    @pytest.mark.parametrize(
        ("keys", "theirs", "field"),
        [
            pytest.param(
                {"event_time": NOW - 8 * DAY}, lambda event: event["event_time"], "event_time", id="an event too old"
            ),
            pytest.param(
                {"event_name": "Purchase"}, lambda event: event["event_name"], "custom_data.value", id="no value"
            ),
        ],
    )
    def test_what_meta_refuses_is_sent(
        self, keys: Mapping[str, Any], theirs: Callable[[Mapping[str, Any]], object], field: str
    ) -> None:
        assert theirs(sdk_event(**keys))
        sent, answer = answered(**{"event_source_url": URL, "user_data": {"fbp": FBP}, "event_name": "Lead", **keys})
        assert (None, field) == (sent, answer["rejected"][0]["field"])

    def test_an_event_about_nobody_is_sent(self) -> None:
        assert {} == sdk_event(user_data=UserData())["user_data"]
        sent, answer = answered(event_name="Lead", user_data={"country": "de"})
        assert (None, "user_data") == (sent, answer["rejected"][0]["field"])

    def test_a_time_in_milliseconds_is_sent(self) -> None:
        assert NOW * 1000 == sdk_event(event_time=NOW * 1000)["event_time"]
        assert NOW == our_event(event_time=NOW * 1000)["event_time"]

    def test_contents_without_an_id_are_sent(self) -> None:
        """Meta refuses such events since April 2026 (facebook-tag issue 88)."""
        theirs = sdk_event(custom_data=CustomData(contents=[Content(quantity=1)]))
        assert [{"quantity": 1}] == theirs["custom_data"]["contents"]
        assert "contents" not in our_event(custom_data={"contents": [{"quantity": 1}]}).get("custom_data", {})

    def test_a_value_in_a_text_costs_the_event_and_is_repeated_in_the_error(self) -> None:
        for text in ("1.234,50", "129.90"):
            with pytest.raises(TypeError, match=text):
                CustomData(value=text)
        mine = our_event(custom_data={"value": "1.234,50", "currency": "EUR"})
        assert 1234.5 == mine["custom_data"]["value"]

    def test_a_currency_that_is_none_is_sent_and_a_name_of_one_costs_the_event(self) -> None:
        assert "xyz" == CustomData(currency="XYZ").normalize()["currency"]
        with pytest.raises(TypeError):
            CustomData(currency="Euro").normalize()
        _, answer = answered(event_name="Lead", user_data={"fbp": FBP}, custom_data={"value": 1, "currency": "XYZ"})
        assert "custom_data.currency" == answer["rejected"][0]["field"]

    def test_an_address_of_somebody_in_custom_data_is_sent(self) -> None:
        properties = {"contact": "ada@example.com"}
        assert properties == CustomData(custom_properties=properties).normalize()
        assert "custom_data" not in our_event(custom_data=properties)

    def test_a_device_lacks_places_where_nothing_is_known(self) -> None:
        """Meta wants sixteen texts, blank ones where nothing is known."""
        assert [None] * 11 == ExtendedDeviceInfo("i2", "", "", "", "17.4").normalize()[5:]
        extinfo = ["i2", "", "", "", "17.4"]
        app_data = {"advertiser_tracking_enabled": 1, "extinfo": extinfo}
        mine = our_event(action_source="app", event_source_url=None, app_data=app_data)
        assert [*extinfo, *[""] * 11] == mine["app_data"]["extinfo"]

    def test_vendor_ids_and_two_of_three_channels_are_not_known(self) -> None:
        assert "vendor_id" not in AppData.param_types
        assert "vendor_id" in TEXTS
        assert {"messenger", "instagram"} == set(MESSAGING_CHANNELS) - {channel.value for channel in MessagingChannel}


class TestTheBody:
    def test_the_envelope_holds_the_same(self) -> None:
        """The SDK puts each event as JSON into a text, and the token into the parameters; JSON needs neither."""
        events = [Event(event_name="Lead", event_time=NOW - 10, event_id=f"E-{number}") for number in (1, 2)]
        request = EventRequest(events=events, test_event_code="TEST1", partner_agent="metarelay_1_0", pixel_id="3001")
        theirs = request.get_params()
        person = {"em": "ada@example.com"}
        world = World()
        world.post(
            events=[
                {"event_name": "Lead", "event_time": NOW - 10, "event_id": f"E-{number}", "user_data": person}
                for number in (1, 2)
            ],
            destinations=[{"dataset_id": "3001", "test_event_code": "TEST1"}],
        )
        (body,) = world.meta.bodies
        assert theirs["test_event_code"] == body["test_event_code"]
        assert theirs["partner_agent"] == body["partner_agent"]
        assert theirs.keys() >= body.keys()
        assert [json.loads(event) for event in theirs["data"]] == [
            {key: value for key, value in event.items() if key not in {"user_data", "action_source"}}
            for event in body["data"]
        ]
