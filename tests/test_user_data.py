"""Meta's user_data of an event (tags-and-connectors.md, sections B.3, C.1 and F; meta-graph-api.md, 3, 4.3 and 4.6)."""

from __future__ import annotations

import hashlib
import ipaddress
import json
import re
from collections.abc import Mapping
from dataclasses import replace
from datetime import date
from typing import Any, Final

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lib.cells import Cells
from lib.click_ids import BrowserId, BrowserIds
from lib.common_event import CommonEvent, Paths
from lib.hashing import as_sha256_hex
from lib.identifiers import IDENTIFIERS
from lib.normalization import Context, Settings
from lib.report import Report
from lib.user_data import (
    NO_IDENTIFIER,
    REFUSED_COMBINATION,
    UnsafeUserDataError,
    build_user_data,
    check_user_data,
    why_unusable,
)
from tests.german_purchase import PURCHASE, flattened
from tests.strategies import json_values, settings_of_connections, texts

SETTINGS: Final = Settings(today=date(2026, 3, 2), default_country="de", date_order="dmy")
NO_BROWSER_IDS: Final = BrowserIds()
ADA: Final = "b5fc85e55755f9a0d030a10ab4429b6b2944855f9a0d60077fe832becbc37d72"


def sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def build(
    event: Mapping[str, Any],
    *,
    overrides: Mapping[str, Any] | None = None,
    cookies: Mapping[str, str] | None = None,
    browser_ids: BrowserIds = NO_BROWSER_IDS,
    settings: Settings = SETTINGS,
    row: int = 0,
) -> tuple[dict[str, Any], Report]:
    report = Report()
    user_data = build_user_data(
        CommonEvent(event),
        overrides=overrides or {},
        cookies=cookies or {},
        browser_ids=browser_ids,
        settings=settings,
        report=report,
        row=row,
    )
    return user_data, report


def user_data_of(event: Mapping[str, Any], **arguments: Any) -> dict[str, Any]:
    """Return what is built of an event of which nothing is rejected or doubted."""
    user_data, report = build(event, **arguments)
    assert (report.rejects, list(report.warnings)) == ([], [])
    return user_data


@pytest.mark.parametrize(
    "event", [pytest.param(PURCHASE, id="nested"), pytest.param(flattened(PURCHASE), id="flattened")]
)
class TestGermanPurchase:
    """The event of section C.1, and the hashes that it states."""

    def test_gives_exactly_what_is_stated(self, event: Mapping[str, Any]) -> None:
        assert user_data_of(event, settings=replace(SETTINGS, default_country=None)) == {
            "em": ["8fcf3f610494185dcb518dbf2ea5620971835b76f57ce4a752ae7bd212cb7b23"],
            "ph": ["8b47a52ed04d068c3a9c5632b98cec18780a9f9f4099d4f8afe233970ce116fe"],
            "fn": ["be480d3210e56e785947940fedd007ad4eb049b849e5def041dd90595cc220a2"],
            "ln": ["b5818ca7941b6346b73fbf0b49df62417407b89958cbdf67ae5925d296f559dd"],
            "ct": ["96eff4c07f336cdfceee0851ba4a5b78213c666d3254f531f2372b58ee737371"],
            "st": ["52b07f18c831ba4b08ba0b8bc84c6e023a825dfd385d20d8dcbf410d11c546e7"],
            "zp": ["5c303415dda4802db8a3cf553826689e94f9206d57c366066b3b8a37a235146b"],
            "country": ["959a45d44e6fcf58361ed004681556fe50129f2109e817dec098c00c9e5d2578"],
            "external_id": ["6c47040eaf6a60515631a56d6bdc59ceca2260bbff65465caa3e1fd02531a338"],
            "client_ip_address": "2001:db8:85a3::8a2e:370:7334",
            "client_user_agent": PURCHASE["user_agent"],
        }

    def test_is_usable(self, event: Mapping[str, Any]) -> None:
        assert why_unusable(user_data_of(event)) is None


#: What each name of an event has to hold, and what it gives.
NAMES: Final[Mapping[str, tuple[str, str]]] = {
    "em": ("Ada@Example.com", "ada@example.com"),
    "ph": ("+49 170 1234567", "491701234567"),
    "fn": ("Ada", "ada"),
    "ln": ("Lovelace", "lovelace"),
    "ct": ("Bad Tölz", "badtölz"),
    "st": ("Bayern", "bayern"),
    "zp": ("83646", "83646"),
    "country": ("Germany", "de"),
    "ge": ("weiblich", "f"),
    "db": ("1985-12-10", "19851210"),
    "external_id": ("cust-88213", "cust-88213"),
}


class TestSources:
    """Every name of section B.3 is read, nested and flattened."""

    @pytest.mark.parametrize(
        ("key", "path"),
        [
            pytest.param(key, path, id=f"{key} from {path}")
            for key, paths in {
                "em": "email user_data.email_address user_data.email x-fb-ud-em userEmail email_address mail",
                "ph": "phone user_data.phone_number user_data.phone x-fb-ud-ph userPhoneNumber phone_number "
                "phoneNumber",
                "fn": "firstName FirstName nameFirst first_name userFirstName user_data.first_name x-fb-ud-fn "
                "user_data.address.first_name",
                "ln": "lastName LastName nameLast last_name userLastName surname family_name familyName "
                "user_data.last_name user_data.address.last_name x-fb-ud-ln",
                "ct": "city user_data.address.city x-fb-ud-ct",
                "st": "state region user_data.region user_data.address.region x-fb-ud-st",
                "zp": "zip postal_code postalCode user_data.postal_code user_data.address.postal_code x-fb-ud-zp",
                "country": "countryCode country user_data.country user_data.address.country x-fb-ud-country",
                "ge": "gender x-fb-ud-ge",
                "db": "db x-fb-ud-db",
                "external_id": "external_id user_id userId x-fb-ud-external_id user_data.external_id",
            }.items()
            for path in paths.split()
        ],
    )
    @pytest.mark.parametrize("is_flat", [False, True], ids=["nested", "flattened"])
    def test_of_hashed_keys(self, key: str, path: str, *, is_flat: bool) -> None:
        value, normal = NAMES[key]
        event = nested(path, value)
        assert user_data_of(flattened(event) if is_flat else event) == {key: [sha256(normal)]}

    @pytest.mark.parametrize(
        ("path", "value", "expected"),
        [
            pytest.param("ip_override", "203.0.113.9", {"client_ip_address": "203.0.113.9"}, id="ip_override"),
            pytest.param("ip", "203.0.113.9", {"client_ip_address": "203.0.113.9"}, id="ip"),
            pytest.param("common_cookie._fbi", "203.0.113.9", {"client_ip_address": "203.0.113.9"}, id="_fbi"),
            pytest.param("user_agent", " Agent/1 (X) ", {"client_user_agent": "Agent/1 (X)"}, id="user_agent"),
            pytest.param("userAgent", "Agent/1 (X)", {"client_user_agent": "Agent/1 (X)"}, id="userAgent"),
            pytest.param("subscription_id", "S-1", {"subscription_id": "S-1"}, id="subscription_id"),
            pytest.param("subscriptionId", "S-1", {"subscription_id": "S-1"}, id="subscriptionId"),
            pytest.param("x-fb-ud-subscription_id", "S-1", {"subscription_id": "S-1"}, id="x-fb-ud-subscription_id"),
            pytest.param("lead_id", "1234567890123456", {"lead_id": 1234567890123456}, id="lead_id"),
            pytest.param("leadId", 1234567890123456, {"lead_id": 1234567890123456}, id="leadId"),
            pytest.param("x-fb-ud-fb-login-id", "10150", {"fb_login_id": 10150}, id="x-fb-ud-fb-login-id"),
            pytest.param("user_data.fb_login_id", 10150, {"fb_login_id": 10150}, id="user_data.fb_login_id"),
            pytest.param("anon_id", "XZ12", {"anon_id": "XZ12"}, id="anon_id"),
            pytest.param("ctwa_clid", "ARAk", {"ctwa_clid": "ARAk"}, id="ctwa_clid"),
            pytest.param("user_data.page_id", "1", {"page_id": "1"}, id="page_id"),
            pytest.param(
                "madid",
                "38400000-8CF0-11BD-B23E-10B96E40000D",
                {"madid": "38400000-8cf0-11bd-b23e-10b96e40000d"},
                id="madid",
            ),
        ],
    )
    @pytest.mark.parametrize("is_flat", [False, True], ids=["nested", "flattened"])
    def test_of_plain_keys(self, path: str, value: object, expected: dict[str, object], *, is_flat: bool) -> None:
        event = nested(path, value)
        assert expected == user_data_of(flattened(event) if is_flat else event)

    def test_a_page_id_at_the_top_is_not_metas(self) -> None:
        assert user_data_of({"page_id": "checkout", "event_location": {"country": "DE"}}) == {}

    def test_come_in_the_order_of_the_table(self) -> None:
        event = {
            "mail": "6@example.com",
            "x-fb-ud-em": "5@example.com",
            "user_data": {"email": ["3@example.com", "4@example.com"], "email_address": "2@example.com"},
            "email": "1@example.com",
        }
        assert user_data_of(event)["em"] == [sha256(f"{number}@example.com") for number in range(1, 7)]

    def test_the_order_of_the_events_keys_does_not_matter(self) -> None:
        event = {"mail": "2@example.com", "email": "1@example.com", "user_data": {"email": "3@example.com"}}
        assert user_data_of(event)["em"] == user_data_of(dict(reversed(event.items())))["em"]

    def test_what_is_the_same_after_hashing_is_there_once(self) -> None:
        event = {
            "email": [" ADA@example.com", "ada@example.com", sha256("ada@example.com"), "b@example.com"],
            "x-fb-ud-em": sha256("ada@example.com").upper(),
            "user_data": {"email": f"{sha256('ada@example.com')}.AQQAAQEA"},
        }
        assert user_data_of(event)["em"] == [sha256("ada@example.com"), sha256("b@example.com")]

    def test_each_address_of_a_list_is_read_with_its_own_country(self) -> None:
        addresses = [
            {"first_name": "Ada", "postal_code": "10115-1234", "country": "DE"},
            {"first_name": "Ida", "postal_code": "94035-1234", "region": "California", "country": "US"},
        ]
        assert user_data_of({"user_data": {"address": addresses}}) == {
            "fn": [sha256("ada"), sha256("ida")],
            "st": [sha256("ca")],
            "zp": [sha256("101151234"), sha256("94035")],
            "country": [sha256("de"), sha256("us")],
        }

    def test_phone_and_state_are_read_with_the_events_country(self) -> None:
        event = {"phone": "(650)555-1212", "state": "California", "zip": "94035-1234", "country": "USA"}
        assert user_data_of(event) == {
            "ph": ["e323ec626319ca94ee8bff2e4c87cf613be6ea19919ed1364124e16807ab3176"],
            "st": ["6959097001d10501ac7d54c0bdb8db61420f658f2922cc26e46d536119a31126"],
            "zp": ["1794327a4d443904421f5ca1f3d72d0a62ba2f0770d80755ec2220fc0efb052e"],
            "country": ["79adb2a2fce5c6ba215fe5f27f532d4e7edbac4b6a5e09e1ef3a08084a904621"],
        }

    def test_numbers_are_read_as_text(self) -> None:
        assert user_data_of({"zip": 83646, "user_id": 12.0, "phone": 491701234567}) == {
            "ph": [sha256("491701234567")],
            "zp": [sha256("83646")],
            "external_id": [sha256("12")],
        }

    @given(st.dictionaries(st.sampled_from(["a", "b-c", "b_c", "a_b"]), json_values, max_size=4))
    def test_many_paths_at_once_find_what_each_alone_does(self, inner: dict[str, Any]) -> None:
        event = CommonEvent({"a": inner, "b-c": [inner], **inner})
        for path in ("a", "a.b-c", "b-c.a", "a.b-c.a", "b-c.b-c.b-c", "c"):
            findings = Paths({"name": [path]}).find(event).get("name", [(0, 0, None)])
            assert event.get(path) == findings[0][2]


def nested(path: str, value: object) -> dict[str, Any]:
    for key in reversed(path.split(".")):
        value = {key: value}
    assert isinstance(value, dict)
    return value


class TestOverrides:
    def test_win_over_all(self) -> None:
        event = {"email": "a@example.com", "user_data": {"em": "b@example.com"}, "user_id": "1", "user_agent": "A"}
        overrides = {"em": "Ada@Example.com", "external_id": ["2", "3"], "client_user_agent": "B"}
        assert user_data_of(event, overrides=overrides) == {
            "em": [sha256("ada@example.com")],
            "external_id": [sha256("2"), sha256("3")],
            "client_user_agent": "B",
        }

    @pytest.mark.parametrize("blank", [None, "", "  ", "undefined", [], [None, ""]])
    def test_that_say_nothing_leave_the_event_its_say(self, blank: object) -> None:
        assert user_data_of({"email": "ada@example.com"}, overrides={"em": blank}) == {
            "em": [sha256("ada@example.com")]
        }

    def test_that_cannot_be_used_are_rejected_and_not_replaced(self) -> None:
        user_data, report = build({"email": "ada@example.com"}, overrides={"em": "nobody"}, row=7)
        assert user_data == {}
        assert report.listed() == [{"row": 7, "field": "user_data.em", "reason": "not an e-mail address"}]

    def test_their_country_is_the_persons(self) -> None:
        event = {"phone": "0170 1234567", "country": "US"}
        assert user_data_of(event, overrides={"country": "DE"})["ph"] == [sha256("491701234567")]

    @pytest.mark.parametrize(
        "key",
        [
            "subscription_id", "anon_id", "page_id", "page_scoped_user_id", "ctwa_clid", "ig_account_id", "ig_sid",
            "partner_id", "partner_name", "whatsapp_business_account_id", "instagram_business_account_id",
        ],
    )  # fmt: skip
    def test_plain_keys_of_meta_pass_as_they_are(self, key: str) -> None:
        assert user_data_of({}, overrides={key: " Ab-1 "}) == {key: "Ab-1"}

    @pytest.mark.parametrize("key", ["email", "sha256_phone_number", "fi", "doby", "canary-key"])
    def test_other_keys_are_left_out_with_a_warning_that_does_not_repeat_them(self, key: str) -> None:
        user_data, report = build({}, overrides={key: "canary@example.com", "fn": "Ada"})
        assert user_data == {"fn": [sha256("ada")]}
        assert list(report.warnings) == ["event.user_data: keys that Meta does not have are left out"]

    def test_unknown_keys_of_the_events_own_user_data_are_googles(self) -> None:
        assert user_data_of({"user_data": {"_tag_mode": "MANUAL", "address": [{"street": "Hauptstr. 1"}]}}) == {}


FOREIGN: Final = "an MD5 or SHA-1 hash, of which Meta takes neither"
NO_TEXT: Final = "neither text nor a number that can be read exactly"


class TestHashes:
    """What is hashed already passes, and only that."""

    @pytest.mark.parametrize("mark", ["", ".AQQAAQEA", ".Ag", ".a-b_C9dE"])
    def test_the_mark_of_the_parameter_builder_stays_and_the_digits_are_lowered(self, mark: str) -> None:
        digest = sha256("ada@example.com")
        assert user_data_of({"email": f"{digest.upper()}{mark}"}) == {"em": [f"{digest}{mark}"]}

    def test_f8_hashed_mail_phone_and_names_pass(self) -> None:
        """F 8: one of the tags drops hashed addresses and destroys hashed phones and names."""
        event = {
            "email": sha256("ada@example.com"),
            "phone": sha256("491701234567"),
            "user_data": {"address": [{"sha256_first_name": sha256("ada"), "sha256_last_name": sha256("lovelace")}]},
        }
        assert user_data_of(event) == {
            "em": [sha256("ada@example.com")],
            "ph": [sha256("491701234567")],
            "fn": [sha256("ada")],
            "ln": [sha256("lovelace")],
        }

    @pytest.mark.parametrize("is_flat", [False, True], ids=["nested", "flattened"])
    def test_f9_sha256_phone_number_is_not_trusted(self, *, is_flat: bool) -> None:
        """F 9: Google hashes it with its plus, and Meta finds nobody by it."""
        event = {"user_data": {"sha256_phone_number": sha256("+491701234567"), "email": "ada@example.com"}}
        assert user_data_of(flattened(event) if is_flat else event) == {"em": [sha256("ada@example.com")]}

    @pytest.mark.parametrize(
        ("value", "reason"),
        [
            pytest.param(sha256(""), "the hash of an empty text", id="of nothing"),
            pytest.param(hashlib.md5(b"a", usedforsecurity=False).hexdigest(), FOREIGN, id="MD5"),
            pytest.param(hashlib.sha1(b"a", usedforsecurity=False).hexdigest(), FOREIGN, id="SHA-1"),
            pytest.param(True, NO_TEXT, id="boolean"),
            pytest.param({"a": "b"}, NO_TEXT, id="object"),
            pytest.param([["a@example.com"]], NO_TEXT, id="list in a list"),
            pytest.param(1e30, NO_TEXT, id="number that no reader has exactly"),
            pytest.param("nobody", "not an e-mail address", id="no address"),
        ],
    )
    def test_what_cannot_be_used_is_rejected_and_the_rest_goes_on(self, value: object, reason: str) -> None:
        user_data, report = build({"email": value, "first_name": "Ada"}, row=2)
        assert user_data == {"fn": [sha256("ada")]}
        assert report.listed() == [{"row": 2, "field": "user_data.em", "reason": reason}]

    def test_f38_f39_raw_values_of_metas_own_parameters_are_hashed(self) -> None:
        """Issues 38 and 39 of Meta's tag: x-fb-ud-* left as they came, ge and db among them."""
        event = {"x-fb-ud-em": "Ada@Example.com", "x-fb-ud-ge": "female", "x-fb-ud-db": "1985-12-10"}
        assert user_data_of(event) == {
            "em": [sha256("ada@example.com")],
            "ge": [sha256("f")],
            "db": [sha256("19851210")],
        }

    @pytest.mark.parametrize(
        "user_data",
        [
            pytest.param({"email": ["Ada@Example.com"], "address": [{"first_name": "Ada"}]}, id="list"),
            pytest.param({"email_address": "Ada@Example.com", "address": {"first_name": "Ada"}}, id="object"),
        ],
    )
    def test_f42_email_and_lists_of_addresses_are_read(self, user_data: Mapping[str, Any]) -> None:
        """F 42: Meta's tag reads email_address and one address alone."""
        assert user_data_of({"user_data": user_data}) == {"em": [sha256("ada@example.com")], "fn": [sha256("ada")]}

    def test_external_ids_leave_plain_where_the_connection_says_so(self) -> None:
        settings = replace(SETTINGS, hash_external_id=False)
        event = {"user_id": [" Cust-1 ", "Cust-1", 2], "userId": "Cust-3"}
        assert user_data_of(event, settings=settings) == {"external_id": ["Cust-1", "2", "Cust-3"]}

    def test_a_customer_number_of_32_digits_is_one(self) -> None:
        assert user_data_of({"user_id": "0" * 32}) == {"external_id": [sha256("0" * 32)]}

    @given(
        texts, st.sampled_from([row for row in IDENTIFIERS if row.hashed and row.user_data]), settings_of_connections
    )
    def test_audiences_and_events_have_one_hash(self, text: str, identifier: Any, settings: Settings) -> None:
        cells = Cells(identifier, Context(settings))
        audience = [cells[text]] if cells[text] else []
        user_data, report = build({}, overrides={identifier.user_data: text}, settings=settings)
        is_plain = identifier.user_data == "external_id" and not settings.hash_external_id
        event = [cell if is_plain else cell[:64] for cell in user_data.get(identifier.user_data, [])]
        assert audience == event
        assert [reject.reason for reject in report.rejects] == list(cells.unusable.values())


class TestWholeNumbers:
    @pytest.mark.parametrize(
        ("value", "expected"),
        [
            pytest.param("1234567890123456", 1234567890123456, id="digits"),
            pytest.param(1234567890123456.0, 1234567890123456, id="float"),
            pytest.param(7, 7, id="integer"),
            pytest.param("l:1234567890", "l:1234567890", id="as Ads Manager exports it"),
            pytest.param("007", "007", id="leading zeros"),
            pytest.param(str(2**63 - 1), 2**63 - 1, id="the largest of JSON's readers"),
            pytest.param(str(2**63), str(2**63), id="larger"),
            pytest.param("9" * 5000, "9" * 5000, id="very long"),
        ],
    )
    def test_leave_as_integers(self, value: object, expected: int | str) -> None:
        assert user_data_of({"lead_id": value, "fb_login_id": value}) == {"fb_login_id": expected, "lead_id": expected}


class TestIPAddress:
    @pytest.mark.parametrize(
        ("value", "expected"),
        [
            pytest.param("203.0.113.9", "203.0.113.9", id="IPv4"),
            pytest.param("203.0.113.9:51234", "203.0.113.9", id="F 45: port"),
            pytest.param("[2001:db8::1]", "2001:db8::1", id="F 45: brackets"),
            pytest.param("[2001:db8::1]:443", "2001:db8::1", id="F 45: brackets and port"),
            pytest.param(" 203.0.113.9 ", "203.0.113.9", id="spaces"),
            pytest.param("203.0.113.9, 198.51.100.7", "203.0.113.9", id="list: the client is the first"),
            pytest.param("203.0.113.9, 2001:db8::7", "203.0.113.9", id="list: a proxy's IPv6 is not the client's"),
            pytest.param("unknown, 203.0.113.9", "203.0.113.9", id="list: unknown"),
            pytest.param("10.0.0.3, 203.0.113.9", "203.0.113.9", id="list: private before public"),
            pytest.param(["203.0.113.9", "2001:db8::1"], "2001:db8::1", id="IPv6 preferred"),
            pytest.param(["10.0.0.3", "fd00::1", "203.0.113.9"], "203.0.113.9", id="public preferred"),
            pytest.param("2001:0DB8:0:0:0:0:0:1", "2001:0DB8:0:0:0:0:0:1", id="long form"),
            pytest.param("1:2:3:4:5:6:7::", "1:2:3:4:5:6:7:0", id="eight colons"),
            pytest.param("::ffff:203.0.113.9", "203.0.113.9", id="IPv4 in IPv6"),
            pytest.param("168.212.226.204.ABcDEFGh", "168.212.226.204.ABcDEFGh", id="Parameter Builder, IPv4"),
            pytest.param("2001:db8::1.AQQAAQEA", "2001:db8::1.AQQAAQEA", id="Parameter Builder, IPv6"),
            pytest.param("203.0.113.9.Ag", "203.0.113.9.Ag", id="Parameter Builder, old"),
            pytest.param("2001:db8::1.AQQCAQAA.AQQCAQAA.AQQCAQAA", "2001:db8::1.AQQCAQAA", id="marked three times"),
        ],
    )
    def test_is_cleaned(self, value: object, expected: str) -> None:
        assert user_data_of({"ip_override": value}) == {"client_ip_address": expected}

    @pytest.mark.parametrize(
        "value", ["not an address", "203.0.113", "203.0.113.256", "01.2.3.4", "1.2.3.4.5", ":::", "1::2::3", "12345::",
                  "2001:db8", "[", "203.0.113.9.tooLongMark", "x" * 10_000]
    )  # fmt: skip
    def test_that_is_none_is_rejected(self, value: str) -> None:
        user_data, report = build({"ip_override": value}, row=1)
        assert user_data == {}
        assert report.listed() == [{"row": 1, "field": "user_data.client_ip_address", "reason": "not an IP address"}]

    @pytest.mark.parametrize(
        "value",
        ["10.1.2.3", "172.16.0.1", "172.31.255.255", "192.168.1.1", "127.0.0.1", "169.254.1.1", "100.64.0.1", "0.0.0.0",
         "::1", "::", "fe80::1%eth0", "fd12:3456::1", "0:0:0:0:0:0:0:1"],
    )  # fmt: skip
    def test_that_is_private_passes_with_a_warning(self, value: str) -> None:
        user_data, report = build({"ip_override": value})
        assert user_data == {"client_ip_address": value.partition("%")[0]}
        assert list(report.warnings) == ["user_data.client_ip_address: a private address, by which nobody is found"]

    @pytest.mark.parametrize("value", ["172.32.0.1", "100.128.0.1", "11.0.0.1", "::10", "fc::1", "2001:db8::1"])
    def test_that_only_looks_private_is_public(self, value: str) -> None:
        assert user_data_of({"ip_override": value}) == {"client_ip_address": value}

    def test_the_browsers_own_ipv6_wins_over_the_requests_ipv4(self) -> None:
        event = {"ip_override": "203.0.113.9"}
        cookies = {"_fbi": "2001:db8::1.AQQCAQAA"}
        assert user_data_of(event, cookies=cookies) == {"client_ip_address": "2001:db8::1.AQQCAQAA"}
        assert user_data_of(event, cookies=cookies, overrides={"client_ip_address": "198.51.100.7"}) == {
            "client_ip_address": "198.51.100.7"
        }

    @given(st.one_of(st.ip_addresses().map(str), st.text(alphabet="0123456789abF:.", max_size=24)))
    def test_what_passes_is_what_the_standard_library_takes(self, text: str) -> None:
        user_data, report = build({"ip_override": text})
        if "client_ip_address" in user_data:
            ipaddress.ip_address(re.sub(r"(\.[A-Za-z0-9_-]{8})\Z", "", user_data["client_ip_address"]))
        elif text:
            assert report.rejects
            with pytest.raises(ValueError, match="address"):
                ipaddress.ip_address(text)


class TestUsability:
    @pytest.mark.parametrize(
        ("keys", "expected"),
        [
            pytest.param("", NO_IDENTIFIER, id="nothing"),
            pytest.param("partner_id partner_name page_id", NO_IDENTIFIER, id="nothing of a person"),
            pytest.param("ct country st zp ge client_user_agent", REFUSED_COMBINATION, id="place, gender, agent"),
            pytest.param("country", REFUSED_COMBINATION, id="country"),
            pytest.param("country partner_id", REFUSED_COMBINATION, id="country, from a partner"),
            pytest.param("client_user_agent", REFUSED_COMBINATION, id="agent"),
            pytest.param("db client_user_agent", REFUSED_COMBINATION, id="birth and agent"),
            pytest.param("fn ge", REFUSED_COMBINATION, id="first name and gender"),
            pytest.param("ln ge", REFUSED_COMBINATION, id="last name and gender"),
            pytest.param("fn", REFUSED_COMBINATION, id="first name"),
            pytest.param("fn ln ge", None, id="both names"),
            pytest.param("db ct", None, id="birth and city"),
            pytest.param("client_ip_address client_user_agent", None, id="address and agent, as Meta's sample"),
            pytest.param("country em", None, id="mail"),
            pytest.param("fbp client_user_agent", None, id="browser"),
            pytest.param("page_id page_scoped_user_id", None, id="Messenger"),
            pytest.param("whatsapp_business_account_id ctwa_clid", None, id="WhatsApp"),
        ],
    )
    def test_of_combinations(self, keys: str, expected: str | None) -> None:
        assert expected == why_unusable(dict.fromkeys(keys.split(), "x"))


class TestLastCheck:
    @pytest.mark.parametrize(
        "value", [["ada@example.com"], [ADA.upper()], [f"{ADA}.AQ1"], [""], [None], [7], [[ADA]], ADA, "Ada", 7, None]
    )
    @pytest.mark.parametrize("key", ["em", "external_id", "country"])
    def test_stops_what_is_not_hashed(self, key: str, value: object) -> None:
        with pytest.raises(UnsafeUserDataError) as caught:
            check_user_data({"fn": [ADA], key: value}, hash_external_id=True)
        assert "ada" not in str(caught.value).lower()

    def test_lets_hashes_and_plain_keys_pass(self) -> None:
        user_data = {"em": [ADA, f"{ADA}.AQQAAQEA"], "client_user_agent": "A", "lead_id": 7}
        check_user_data(user_data, hash_external_id=True)
        check_user_data({**user_data, "external_id": ["Cust-1"]}, hash_external_id=False)


#: Where an event can hold something, at its top, in user_data and in an address.
_TOP: Final = [path for row in IDENTIFIERS for path in row.event]
_KEYS: Final = st.sampled_from(
    sorted({path.split(".")[-1] for path in _TOP} | {path.replace("-", "_").replace(".", "_") for path in _TOP})
)
#: Less the one that is another when it is flattened.
_PATHS: Final = st.sampled_from([path for path in _TOP if path != "x-fb-ud-fb_login_id"])
_OBJECTS: Final = st.dictionaries(_KEYS, json_values, max_size=6)
events = st.builds(
    lambda top, user_data, address: {**top, "user_data": {**user_data, "address": address}},
    _OBJECTS,
    _OBJECTS,
    st.one_of(_OBJECTS, st.lists(_OBJECTS, max_size=3), json_values),
)
CANARY: Final = "Canary-7Q"


def with_canary(value: Any) -> Any:
    """Return *value* with a sign in each of its texts by which they are known again."""
    if isinstance(value, str):
        return f"{CANARY}{value}"
    if isinstance(value, list):
        return [with_canary(one) for one in value]
    return {key: with_canary(one) for key, one in value.items()} if isinstance(value, dict) else value


def merge(event: dict[str, Any], other: Mapping[str, Any]) -> None:
    for key, value in other.items():
        if isinstance(value, dict):
            merge(event.setdefault(key, {}), value)
        else:
            event[key] = value


class TestLaws:
    @given(events, _OBJECTS, settings_of_connections)
    def test_any_event_gives_valid_cells(
        self, event: dict[str, Any], overrides: dict[str, Any], settings: Settings
    ) -> None:
        user_data, report = build(event, overrides=overrides, settings=settings)
        for row in IDENTIFIERS:
            value = user_data.get(row.user_data)
            if value is None or not row.user_data:
                continue
            if not row.hashed:
                assert isinstance(value, str | int)
                assert value != ""
                continue
            assert isinstance(value, list)
            assert value
            if settings.hash_external_id or row.user_data != "external_id":
                assert all((digest := as_sha256_hex(cell)) and cell == "".join(digest) for cell in value)
                value = [cell[:64] for cell in value]
            assert len(set(value)) == len(value)
        assert all((reject.field or "").startswith("user_data.") for reject in report.rejects)

    @given(json_values)
    def test_any_json_is_an_event(self, value: Any) -> None:
        built = [
            build({"user_data": value}),
            build({"email": value, "ip_override": value, "user_data": {"address": value}}),
            build(value, overrides=value) if isinstance(value, dict) else build({}),
        ]
        assert all(orjson.loads(orjson.dumps(user_data)) == user_data for user_data, _ in built)

    @given(events, _OBJECTS)
    def test_no_value_is_ever_told(self, event: dict[str, Any], overrides: dict[str, Any]) -> None:
        _, report = build(with_canary(event), overrides=with_canary(overrides))
        assert CANARY.lower() not in json.dumps([report.listed(), list(report.warnings)]).lower()

    @given(st.dictionaries(_PATHS, st.one_of(texts, st.lists(texts, max_size=2)), max_size=6))
    def test_flattening_changes_nothing(self, values: dict[str, Any]) -> None:
        event: dict[str, Any] = {}
        for path, value in values.items():
            merge(event, nested(path, value))
        assert build(event) == build(flattened(event))

    @given(events)
    def test_the_same_event_gives_the_same_bytes(self, event: dict[str, Any]) -> None:
        assert json.dumps(build(event)[0]) == json.dumps(build(json.loads(json.dumps(event)))[0])


def test_browser_ids_are_part_of_it() -> None:
    ids = BrowserIds(
        BrowserId("1", "1554763741205", "IwAR2F4"), BrowserId("1", "1596403881668", "1116446470", "AQQAAQEA")
    )
    assert user_data_of({"_fbp": "fb.1.1.1"}, browser_ids=ids, overrides={"fbc": "fb.1.1.1"}) == {
        "fbc": "fb.1.1554763741205.IwAR2F4",
        "fbp": "fb.1.1596403881668.1116446470.AQQAAQEA",
    }
