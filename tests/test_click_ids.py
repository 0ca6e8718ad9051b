"""fbc, fbp and event enhancement (meta-graph-api.md, section 8; tags-and-connectors.md, sections B.2, B.5 and F)."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections.abc import Mapping
from dataclasses import replace
from datetime import date
from typing import Any, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lib.click_ids import (
    ENHANCEMENT_LIFETIME_S,
    BrowserId,
    BrowserIds,
    browser_ids,
    click_id_of,
    enhanced,
    enhancement_cookie,
)
from lib.common_event import CommonEvent
from lib.normalization import Settings
from lib.report import Report
from tests.german_purchase import PURCHASE, flattened
from tests.strategies import json_values

CLICK: Final = "IwAR2F4-dbP0l7Mn1IawQQGCINEz7PYXQvwjNwB_qa2ofrHyiLjcbCRxTDMgk"
FBC: Final = f"fb.1.1554763741205.{CLICK}"
FBP: Final = "fb.1.1596403881668.1116446470"
PAGE: Final = f"https://shop.example/?fbclid={CLICK}"
TIME_MS: Final = 1772445602000


def ids_of(
    event: Mapping[str, Any],
    *,
    overrides: Mapping[str, Any] | None = None,
    cookies: Mapping[str, Any] | None = None,
    new_fbp: int | None = None,
    urls: tuple[str, ...] | None = None,
    report: Report | None = None,
) -> BrowserIds:
    """Return the ids of an event; of one whose report is not asked for, nothing is rejected."""
    collected = report or Report()
    ids = browser_ids(
        CommonEvent(event),
        overrides=overrides or {},
        cookies=cookies or {},
        time_ms=lambda: TIME_MS,
        urls=urls,
        new_fbp=new_fbp,
        report=collected,
        row=4,
    )
    assert report is not None or collected.rejects == []
    return ids


class TestForm:
    @pytest.mark.parametrize(
        ("text", "payload", "appendix"),
        [
            pytest.param(FBC, CLICK, "", id="Meta's fbc"),
            pytest.param(FBP, "1116446470", "", id="Meta's fbp"),
            pytest.param(f"{FBC}.AQQAAQEA", CLICK, "AQQAAQEA", id="marked"),
            pytest.param(f"{FBP}.a-_bcdEF", "1116446470", "a-_bcdEF", id="marked, every sign"),
            pytest.param(f"{FBP}.Ag", "1116446470", "Ag", id="marked, old"),
            pytest.param(f"{FBC}.toolong-mark", f"{CLICK}.toolong-mark", "", id="a dot in the click id"),
            pytest.param("fb.2.1554763741.x", "x", "", id="seconds"),
            pytest.param("fb.0.15547637412051554763741205.12345678", "12345678", "", id="long time, payload of eight"),
            pytest.param("fb.1.1.IwY2xjawAB_aem_Zm9v-_", "IwY2xjawAB_aem_Zm9v-_", "", id="_aem_"),
        ],
    )
    def test_parses_and_prints_itself(self, text: str, payload: str, appendix: str) -> None:
        value = BrowserId.parse(text)
        assert value is not None
        assert (payload, appendix) == (value.payload, value.appendix)
        assert text == str(value)

    @pytest.mark.parametrize(
        "text",
        ["", "fb", "fb.1.1", "fb.1.1.", "fb.1..x", "fb.x.1.x", "FB.1.1.x", CLICK, "fb.1.1.a b", "fb.1.1.a;b",
         "fb.1.1.é", "fb.1.1.x\n", "fb.1.-1.x", "fb.\u0661.1.x", f"fb.1.1.{'x' * 3000}"],
    )  # fmt: skip
    def test_of_nothing_else(self, text: str) -> None:
        assert BrowserId.parse(text) is None

    @given(st.text(max_size=40) | st.from_regex(r"fb\.\d\.\d{1,15}\.[!-~]{1,20}(\.[A-Za-z0-9_-]{8})?", fullmatch=True))
    def test_whatever_parses_prints_itself(self, text: str) -> None:
        value = BrowserId.parse(text)
        assert value is None or text == str(value)


class TestClickOfURL:
    @pytest.mark.parametrize(
        ("url", "expected"),
        [
            pytest.param(PAGE, CLICK, id="alone"),
            pytest.param(PURCHASE["page_location"], "IwAR2mQx7TestClick_AbC", id="last"),
            pytest.param("https://a.example/?fbclid=AbC&x=1#y", "AbC", id="first"),
            pytest.param("https://a.example/?x=1&fbclid=A%2Db%5Fc", "A-b_c", id="decoded"),
            pytest.param("https://a.example/?fbclid=A%252Db", "A%2Db", id="decoded once"),
            pytest.param("https://a.example/?fbclid=IwY2_aem_Zm9v-_", "IwY2_aem_Zm9v-_", id="_aem_"),
            pytest.param("https://a.example/?fbclid=a&fbclid=b", "a", id="twice"),
            pytest.param("https://a.example/?fbclid=", "", id="empty"),
            pytest.param("https://a.example/?xfbclid=a&fbclid_=b", "", id="other names"),
            pytest.param("https://a.example/fbclid=a", "", id="in the path"),
            pytest.param("https://a.example/#?fbclid=a", "", id="in the fragment"),
            pytest.param("https://a.example/?fbclid=a%20b", "", id="a space"),
            pytest.param("https://a.example/?fbclid=a%3Bb", "", id="what a cookie cannot hold"),
            pytest.param("https://a.example/?fbclid=%ff", "", id="no text"),
            pytest.param("https://a.example/?fbclid=" + "a" * 3000, "", id="longer than a cookie"),
        ],
    )
    def test_is(self, url: str, expected: str) -> None:
        assert expected == click_id_of(url)


@pytest.mark.parametrize(
    "event", [pytest.param(PURCHASE, id="nested"), pytest.param(flattened(PURCHASE), id="flattened")]
)
class TestGermanPurchase:
    def test_gives_the_fbc_that_is_stated(self, event: Mapping[str, Any]) -> None:
        ids = ids_of(event)
        assert ids.user_data() == {"fbc": "fb.1.1772445602511.IwAR2mQx7TestClick_AbC"}
        assert ids.cookies() == {"_fbc": "fb.1.1772445602511.IwAR2mQx7TestClick_AbC"}

    def test_keeps_the_cookies_of_that_click(self, event: Mapping[str, Any]) -> None:
        cookies = {"_fbc": "fb.1.1772440000000.IwAR2mQx7TestClick_AbC.AQQAAQEA", "_fbp": FBP}
        ids = ids_of(event, cookies=cookies, new_fbp=7)
        assert ids.user_data() == {"fbc": cookies["_fbc"], "fbp": FBP}
        assert ids.cookies() == {}


class TestSources:
    @pytest.mark.parametrize("key", ["fbc", "fbp"])
    @pytest.mark.parametrize("place", ["common_cookie._{}", "_{}", "{}", "x-fb-ck-{}", "user_data.{}", "x-fb-ud-{}"])
    @pytest.mark.parametrize("is_flat", [False, True], ids=["nested", "flattened"])
    def test_in_the_event(self, key: str, place: str, *, is_flat: bool) -> None:
        value: Any = FBC if key == "fbc" else FBP
        expected = {key: value}
        for name in reversed(place.format(key).split(".")):
            value = {name: value}
        assert expected == ids_of(flattened(value) if is_flat else value).user_data()

    def test_overrides_win_then_cookies_then_the_event(self) -> None:
        event = {"common_cookie": {"_fbp": "fb.1.1.3"}, "fbp": "fb.1.1.4"}
        assert ids_of(event).user_data() == {"fbp": "fb.1.1.3"}
        assert ids_of(event, cookies={"_fbp": "fb.1.1.2"}).user_data() == {"fbp": "fb.1.1.2"}
        assert ids_of(event, cookies={"_fbp": "fb.1.1.2"}, overrides={"fbp": "fb.1.1.1"}).user_data() == {
            "fbp": "fb.1.1.1"
        }

    def test_an_override_stays_even_where_the_page_has_another_click(self) -> None:
        ids = ids_of({"page_location": PAGE}, overrides={"fbc": "fb.1.1.other"}, cookies={"_fbc": FBC})
        assert (ids.user_data(), ids.cookies()) == ({"fbc": "fb.1.1.other"}, {})

    def test_a_list_of_cookies_as_sgtm_gives_them(self) -> None:
        assert ids_of({}, cookies={"_fbc": [FBC], "_fbp": []}).user_data() == {"fbc": FBC}

    @pytest.mark.parametrize("value", ["IwAR-only", "undefined.1.2.3", 7, {"a": "b"}, [[FBC]], True])
    def test_what_is_none_is_rejected_and_the_next_one_taken(self, value: object) -> None:
        report = Report()
        ids = ids_of({"_fbc": value, "fbc": FBC}, report=report)
        assert ids.user_data() == {"fbc": FBC}
        assert report.listed() == [
            {"row": 4, "field": "user_data.fbc", "reason": "not of the form fb.{number}.{time}.{id}"}
        ]

    def test_f41_fbc_and_fbp_come_from_their_own_places(self) -> None:
        """F 41: a tag looks for fbc under the names of fbp's options, and finds nothing."""
        assert ids_of({"_fbp": FBP, "_fbc": FBC}).user_data() == {"fbc": FBC, "fbp": FBP}

    def test_there_may_be_none(self) -> None:
        assert ids_of({"page_location": "https://shop.example/"}) == BrowserIds()


class TestNewClick:
    @pytest.mark.parametrize(
        "cookie",
        [FBC, f"{FBC}.AQQAAQEA", f"{FBC}.Ag", f"fb.2.1554763741.{CLICK}"],
        ids=["plain", "marked", "marked, old", "seconds"],
    )
    def test_f35_the_same_click_keeps_its_time(self, cookie: str) -> None:
        """F 35: Meta's tag stamps fbc anew on each hit with fbclid."""
        ids = ids_of({"page_location": PAGE}, cookies={"_fbc": cookie})
        assert (ids.user_data(), ids.cookies()) == ({"fbc": cookie}, {})

    @pytest.mark.parametrize("suffix", [".AQQAAQEA", ""])
    def test_another_click_gives_a_new_one(self, suffix: str) -> None:
        ids = ids_of({"page_location": PAGE}, cookies={"_fbc": f"fb.1.1.Other{suffix}"})
        assert ids.user_data() == {"fbc": f"fb.1.{TIME_MS}.{CLICK}"} == {"fbc": ids.cookies()["_fbc"]}

    def test_the_case_of_a_click_counts(self) -> None:
        assert ids_of({"page_location": PAGE}, cookies={"_fbc": FBC.lower()}).new == ("_fbc",)

    def test_a_click_id_that_ends_like_a_mark_is_still_itself(self) -> None:
        page = "https://shop.example/?fbclid=abc.AQQAAQEA"
        assert ids_of({"page_location": page}, cookies={"_fbc": "fb.1.1.abc.AQQAAQEA"}).new == ()

    def test_any_place_that_holds_the_pages_click_is_kept(self) -> None:
        event = {"page_location": PAGE, "x-fb-ck-fbc": FBC}
        assert ids_of(event, cookies={"_fbc": "fb.1.1.Other"}).user_data() == {"fbc": FBC}

    def test_of_the_page_before_counts_as_with_the_parameter_builder(self) -> None:
        event = {"page_location": "https://shop.example/cart", "page_referrer": PAGE}
        assert ids_of(event).user_data() == {"fbc": f"fb.1.{TIME_MS}.{CLICK}"}

    def test_of_the_page_itself_counts_more(self) -> None:
        event = {"page_location": PAGE, "page_referrer": "https://shop.example/?fbclid=before"}
        assert ids_of(event).user_data() == {"fbc": f"fb.1.{TIME_MS}.{CLICK}"}

    def test_of_the_urls_that_the_caller_states(self) -> None:
        assert ids_of({"page_location": "https://a.example/?fbclid=b"}, urls=(PAGE,)).user_data() == {
            "fbc": f"fb.1.{TIME_MS}.{CLICK}"
        }

    @pytest.mark.parametrize(
        ("began", "expected"),
        [
            pytest.param(1772445602511, 1772445602511, id="number"),
            pytest.param("1772445602511", 1772445602511, id="text"),
            pytest.param(1772445602511.0, 1772445602511, id="float"),
            pytest.param(1772445602, TIME_MS, id="seconds are no such time"),
            pytest.param(True, TIME_MS, id="boolean"),
            pytest.param(1772445602511.5, TIME_MS, id="half a millisecond"),
            pytest.param(-1, TIME_MS, id="negative"),
            pytest.param("soon", TIME_MS, id="word"),
            pytest.param("9" * 5000, TIME_MS, id="very long"),
            pytest.param({}, TIME_MS, id="object"),
        ],
    )
    def test_has_the_time_of_the_request(self, began: object, expected: int) -> None:
        event = {"page_location": PAGE, "x-sst-system_properties": {"request_start_time_ms": began}}
        assert ids_of(event).user_data() == {"fbc": f"fb.1.{expected}.{CLICK}"}

    @given(st.dictionaries(st.sampled_from(["page_location", "page_referrer", "page_title", "items"]), json_values))
    def test_never_without_a_click_on_the_page(self, event: dict[str, Any]) -> None:
        if "fbclid=" not in json.dumps(event):
            assert ids_of(event) == BrowserIds()


class TestNewBrowser:
    def test_gets_the_number_that_is_handed_in(self) -> None:
        ids = ids_of({"x-sst-system_properties": {"request_start_time_ms": 1772445602511}}, new_fbp=2147483647)
        assert ids.user_data() == {"fbp": "fb.1.1772445602511.2147483647"}
        assert ids.cookies() == {"_fbp": "fb.1.1772445602511.2147483647"}

    def test_none_where_it_is_not_asked_for(self) -> None:
        assert ids_of({}).cookies() == {}

    def test_a_known_one_stays(self) -> None:
        ids = ids_of({}, cookies={"_fbp": f"{FBP}.AQQAAQEA"}, new_fbp=7)
        assert (ids.user_data(), ids.cookies()) == ({"fbp": f"{FBP}.AQQAAQEA"}, {})

    def test_a_broken_one_gives_way(self) -> None:
        assert ids_of({}, cookies={"_fbp": "broken"}, new_fbp=7, report=Report()).cookies() == {
            "_fbp": f"fb.1.{TIME_MS}.7"
        }


@given(
    st.dictionaries(st.sampled_from(["_fbc", "fbp", "common_cookie", "page_location", "user_data"]), json_values),
    st.dictionaries(st.sampled_from(["fbc", "fbp", "em"]), json_values),
)
def test_any_json_gives_only_what_parses(event: dict[str, Any], overrides: dict[str, Any]) -> None:
    ids = ids_of(event, overrides=overrides, report=Report())
    assert all(BrowserId.parse(str(value)) for value in ids.user_data().values())


KEY: Final = b"a key of this relay"
NOW: Final = 1772445603
HASHED: Final = Settings(today=date(2026, 3, 2))


def digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


PERSON: Final[Mapping[str, Any]] = {
    "em": [digest("ada@example.com"), f"{digest('b')}.AQQAAQEA"],
    "ph": [digest("491701234567")],
    **{key: [digest(key)] for key in ("fn", "ln", "ct", "st", "zp", "ge", "db", "country", "external_id")},
    "fb_login_id": 10150000000000000,
}


def read(
    cookie: str,
    user_data: Mapping[str, Any] | None = None,
    *,
    key: bytes = KEY,
    now: int = NOW,
    settings: Settings = HASHED,
) -> tuple[dict[str, Any], list[str]]:
    report = Report()
    user_data = enhanced(user_data or {}, cookie, key=key, now=now, settings=settings, report=report)
    return user_data, list(report.warnings)


NOT_SIGNED: Final = "the _gtmeec cookie is not one that this relay has signed: it is ignored"
EXPIRED: Final = "the _gtmeec cookie has expired: it is ignored"


def signed_for(text: str, key: bytes) -> str:
    """Return a cookie signed as this relay does it, but without what it says first."""
    signature = base64.urlsafe_b64encode(hmac.digest(key, text.encode(), "sha256")).decode().rstrip("=")
    return f"{text}.{signature}"


class TestEventEnhancement:
    def test_remembers_the_person_of_an_event(self) -> None:
        cookie = enhancement_cookie(PERSON, key=KEY, now=NOW)
        assert (dict(PERSON), []) == read(cookie)

    def test_fills_only_what_is_missing(self) -> None:
        cookie = enhancement_cookie(PERSON, key=KEY, now=NOW)
        event = {"em": [digest("c")], "client_user_agent": "A"}
        user_data, warnings = read(cookie, event)
        assert user_data == {**PERSON, **event}
        assert warnings == []

    def test_keeps_nothing_but_its_keys_and_no_clear_text(self) -> None:
        user_data = {
            "em": ["ada@example.com", digest("a")],
            "external_id": ["Cust-1"],
            "fb_login_id": "ada",
            "client_user_agent": "A",
            "fbp": FBP,
            "fn": "ada",
        }
        cookie = enhancement_cookie(user_data, key=KEY, now=NOW)
        assert read(cookie) == ({"em": [digest("a")]}, [])

    @pytest.mark.parametrize("user_data", [{}, {"client_user_agent": "A"}, {"external_id": ["Cust-1"]}])
    def test_is_not_written_of_nobody(self, user_data: Mapping[str, Any]) -> None:
        assert enhancement_cookie(user_data, key=KEY, now=NOW) == ""

    def test_without_a_key_it_is_neither_written_nor_read(self) -> None:
        assert enhancement_cookie(PERSON, key=b"", now=NOW) == ""
        assert read(enhancement_cookie(PERSON, key=KEY, now=NOW), key=b"") == ({}, [NOT_SIGNED])

    def test_without_a_cookie_nothing_changes(self) -> None:
        assert read("", {"em": [digest("c")]}) == ({"em": [digest("c")]}, [])

    def test_fits_into_a_cookie_whatever_it_holds(self) -> None:
        many = [f"{digest(str(number))}.AQQAAQEA" for number in range(100)]
        crowd = {key: many for key in PERSON if key != "fb_login_id"} | {"fb_login_id": 2**63 - 1}
        cookie = enhancement_cookie(crowd, key=KEY, now=NOW)
        assert len(f"_gtmeec={cookie}; Path=/; Max-Age=7776000; HttpOnly; Secure; SameSite=Strict") < 4096
        assert read(cookie)[0]["em"] == many[:3]

    def test_needs_no_quoting(self) -> None:
        cookie = enhancement_cookie(PERSON, key=KEY, now=NOW)
        assert set(cookie) <= set("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.")

    @pytest.mark.parametrize(
        ("later", "expected"),
        [
            pytest.param(0, [], id="at once"),
            pytest.param(ENHANCEMENT_LIFETIME_S - 1, [], id="in the last second"),
            pytest.param(ENHANCEMENT_LIFETIME_S, [EXPIRED], id="after 90 days"),
        ],
    )
    def test_expires(self, later: int, expected: list[str]) -> None:
        assert expected == read(enhancement_cookie(PERSON, key=KEY, now=NOW), now=NOW + later)[1]

    def test_has_no_external_id_for_a_connection_that_sends_them_plain(self) -> None:
        cookie = enhancement_cookie(PERSON, key=KEY, now=NOW)
        user_data, _ = read(cookie, settings=replace(HASHED, hash_external_id=False))
        assert user_data == {key: value for key, value in PERSON.items() if key != "external_id"}

    @pytest.mark.parametrize(
        "cookie",
        [
            pytest.param(base64.b64encode(json.dumps(dict(PERSON)).encode()).decode(), id="F 43: the tags' own form"),
            pytest.param("x", id="a letter"),
            pytest.param("1.2.3.4", id="dots"),
            pytest.param("1.9999999999.e30." + "A" * 43, id="a made-up signature"),
            pytest.param("é" * 50, id="no ASCII"),
            pytest.param("1." + "9" * 13 + ".e30." + "A" * 43, id="beyond all times"),
            pytest.param(enhancement_cookie(PERSON, key=b"another", now=NOW), id="another key"),
            pytest.param(enhancement_cookie(PERSON, key=KEY, now=NOW) + "A", id="longer"),
            pytest.param(enhancement_cookie(PERSON, key=KEY, now=NOW)[:-1], id="shorter"),
            pytest.param("1" + enhancement_cookie(PERSON, key=KEY, now=NOW), id="another version"),
            pytest.param(enhancement_cookie(PERSON, key=KEY, now=NOW).replace("1.1", "1.9", 1), id="more time"),
            pytest.param(signed_for("1.9999999999.e30", KEY), id="signed for something else"),
            pytest.param("A" * 1_000_000, id="a million letters"),
        ],
    )
    def test_f43_what_this_relay_has_not_signed_is_ignored(self, cookie: str) -> None:
        """F 43: any browser can forge the cookie of the tags, which nobody has signed."""
        assert read(cookie, {"ph": [digest("1")]}) == ({"ph": [digest("1")]}, [NOT_SIGNED])

    @given(st.data())
    def test_a_single_changed_sign_is_enough(self, data: st.DataObject) -> None:
        cookie = enhancement_cookie(PERSON, key=KEY, now=NOW)
        place = data.draw(st.integers(0, len(cookie) - 1))
        sign = data.draw(st.characters(exclude_characters=cookie[place], exclude_categories=["Cs"]))
        assert read(cookie[:place] + sign + cookie[place + 1 :]) == ({}, [NOT_SIGNED])

    @given(st.text())
    def test_no_cookie_raises(self, cookie: str) -> None:
        user_data, _ = read(cookie)
        assert user_data == {}

    @given(
        st.dictionaries(
            st.sampled_from([*PERSON, "client_user_agent"]),
            json_values | st.lists(st.text(max_size=3).map(digest), max_size=5) | st.integers(-(2**63), 2**63 - 1),
        )
    )
    def test_only_hashes_come_back(self, user_data: dict[str, Any]) -> None:
        kept, warnings = read(enhancement_cookie(user_data, key=KEY, now=NOW))
        assert warnings == []
        for key, values in kept.items():
            assert key == "fb_login_id" or all(
                value in user_data[key] and len(value) in {64, 67, 73} for value in values
            )
