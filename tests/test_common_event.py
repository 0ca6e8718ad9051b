"""The event of server-side Google Tag Manager (tags-and-connectors.md, sections B.3 and C)."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from typing import Any, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lib.common_event import CommonEvent

#: The realistic event of section C.1, as far as it matters here.
PURCHASE: Final[Mapping[str, Any]] = {
    "x-ga-gcs": "G111",
    "x-ga-gcd": "13r3r3r3r5l1",
    "x-ga-system_properties": {"eu": [34], "c": "1"},
    "x-sst-system_properties": {"etld": "google.de", "request_start_time_ms": 1772445602511},
    "client_id": "1093847561.1769853600",
    "event_name": "purchase",
    "user_id": "cust-88213",
    "page_location": "https://shop.example.de/kasse/danke?order=DE-10482",
    "items": [{"item_id": "SKU-100", "price": 95}],
    "user_data": {
        "email": " Jana.Muster@Example.com ",
        "sha256_email_address": "8fcf3f610494185dcb518dbf2ea5620971835b76f57ce4a752ae7bd212cb7b23",
        "phone_number": "+49 (0)170 1234567",
        "address": [
            {
                "first_name": "Jana",
                "last_name": "Muster-Weiß",
                "street": "Hauptstr. 1",
                "city": "Bad Tölz",
                "region": "Bayern",
                "postal_code": "83646",
                "country": "DE",
            }
        ],
        "_tag_mode": "MANUAL",
    },
    "consent_state": {"ad_storage": True, "ad_user_data": True},
}
JANA: Final = {
    "EMAIL": [" Jana.Muster@Example.com "],
    "PHONE": ["+49 (0)170 1234567"],
    "FN": ["Jana"],
    "LN": ["Muster-Weiß"],
    "CT": ["Bad Tölz"],
    "ST": ["Bayern"],
    "ZIP": ["83646"],
    "COUNTRY": ["DE"],
    "EXTERN_ID": ["cust-88213"],
}


def flattened(event: Mapping[str, Any]) -> dict[str, Any]:
    """Return *event* with keys joined by `_` and hyphens as `_`; lists stay as they are."""

    def walk(node: Mapping[str, Any], prefix: str) -> Iterator[tuple[str, Any]]:
        for key, value in node.items():
            if isinstance(value, Mapping):
                yield from walk(value, f"{prefix}{key}_")
            else:
                yield f"{prefix}{key}".replace("-", "_"), value

    return dict(walk(event, ""))


@pytest.mark.parametrize(
    "event", [pytest.param(PURCHASE, id="nested"), pytest.param(flattened(PURCHASE), id="flattened")]
)
class TestRealEvent:
    def test_its_person(self, event: Mapping[str, Any]) -> None:
        assert CommonEvent(event).user() == JANA

    @pytest.mark.parametrize(
        ("path", "expected"),
        [
            pytest.param("x-ga-gcs", "G111", id="hyphens"),
            pytest.param("consent_state.ad_storage", True, id="within an object"),
            pytest.param("user_data.address.city", "Bad Tölz", id="within a list of objects"),
            pytest.param("x-sst-system_properties.request_start_time_ms", 1772445602511, id="hyphens and an object"),
            pytest.param("items", [{"item_id": "SKU-100", "price": 95}], id="a list whole"),
            pytest.param("user_data.address.house", None, id="not there"),
            pytest.param("event_name.first", None, id="below a text"),
            pytest.param("nothing", None, id="not there at all"),
        ],
    )
    def test_what_stands_at_a_path(self, event: Mapping[str, Any], path: str, expected: object) -> None:
        assert CommonEvent(event).get(path) == expected

    def test_it_is_not_changed(self, event: Mapping[str, Any]) -> None:
        before = copy.deepcopy(event)
        CommonEvent(event).user()
        assert event == before


class TestPath:
    @pytest.mark.parametrize(
        ("event", "path", "expected"),
        [
            pytest.param({"a": {"b": 1}, "a_b": 2}, "a.b", 1, id="nested before flattened"),
            pytest.param({"a": {"c": 1}, "a_b": 2}, "a.b", 2, id="flattened where the object lacks it"),
            pytest.param({"a": None, "a_b": 2}, "a.b", 2, id="null is nothing"),
            pytest.param({"a": {"b_c": 3}}, "a.b.c", 3, id="flattened further in"),
            pytest.param({"a_b": {"c": 3}}, "a.b.c", 3, id="flattened further out"),
            pytest.param({"a": [1, {"b": 2}, {"b": 3}]}, "a.b", 2, id="the first object of a list"),
            pytest.param({"a": []}, "a.b", None, id="an empty list"),
            pytest.param({"a": [["b"]]}, "a.b", None, id="a list of lists"),
            pytest.param({"a": {"b": False}}, "a.b", False, id="false is something"),
            pytest.param({"a": {"b": ""}}, "a.b", "", id="an empty text is something"),
        ],
    )
    def test_nested_and_flattened(self, event: dict[str, Any], path: str, expected: object) -> None:
        assert CommonEvent(event).get(path) == expected

    @pytest.mark.parametrize(("value", "expected"), [("text", "text"), (5, ""), (None, ""), (["text"], "")])
    def test_text_is_a_text_or_nothing(self, value: object, expected: str) -> None:
        assert CommonEvent({"key": value}).text("key") == expected


class TestPerson:
    """The places of section B.3, first that says something first."""

    @pytest.mark.parametrize(
        ("event", "expected"),
        [
            pytest.param({"email": "a", "user_data": {"email_address": "b"}}, {"EMAIL": ["a"]}, id="at the top first"),
            pytest.param(
                {"user_data": {"email_address": "b", "email": "c", "sha256_email_address": "d"}},
                {"EMAIL": ["b"]},
                id="email_address before email",
            ),
            pytest.param({"user_data": {"sha256_email_address": "d"}}, {"EMAIL": ["d"]}, id="the hash of last resort"),
            pytest.param({"user_data": {"email": ["a", "b"]}}, {"EMAIL": ["a", "b"]}, id="several"),
            pytest.param(
                {"user_data": {"email": ["", None, "b"]}}, {"EMAIL": ["b"]}, id="several, of which some say nothing"
            ),
            pytest.param(
                {"email": "undefined", "user_data": {"email": "b"}}, {"EMAIL": ["b"]}, id="undefined says nothing"
            ),
            pytest.param({"email": " ", "user_data": {"email": "b"}}, {"EMAIL": ["b"]}, id="a space says nothing"),
            pytest.param(
                {"email": {"a": 1}, "user_data": {"email": "b"}}, {"EMAIL": ["b"]}, id="an object says nothing"
            ),
            pytest.param({"email": True, "user_data": {"email": "b"}}, {"EMAIL": ["b"]}, id="true says nothing"),
            pytest.param({"user_data": {"phone_number": 491701234567}}, {"PHONE": [491701234567]}, id="a number"),
            pytest.param(
                {"user_data": {"sha256_phone_number": "f" * 64}},
                {},
                id="the hash of a phone is Google's own, with its +",
            ),
            pytest.param({"user_data": {"address": {"first_name": "Ada"}}}, {"FN": ["Ada"]}, id="address as an object"),
            pytest.param(
                {"user_data": {"address": [{"sha256_last_name": "e" * 64}]}}, {"LN": ["e" * 64]}, id="a hashed name"
            ),
            pytest.param(
                {"x-fb-ud-em": "a", "x-fb-ud-external_id": "7"}, {"EMAIL": ["a"], "EXTERN_ID": ["7"]}, id="x-fb-ud"
            ),
            pytest.param({"external_id": "1", "user_id": "2"}, {"EXTERN_ID": ["1"]}, id="external_id before user_id"),
            pytest.param(
                {"firstName": "Ada", "lastName": "L", "zip": "1"},
                {"FN": ["Ada"], "LN": ["L"], "ZIP": ["1"]},
                id="Data Tag",
            ),
            pytest.param({"event_name": "page_view", "value": 5}, {}, id="nobody"),
            pytest.param({"user_data": "ada@example.com"}, {}, id="user_data is no object"),
        ],
    )
    def test_where_it_is_found(self, event: dict[str, Any], expected: dict[str, list[Any]]) -> None:
        assert CommonEvent(event).user() == expected

    @given(
        st.recursive(
            st.none() | st.booleans() | st.integers() | st.text(max_size=5),
            lambda inner: (
                st.lists(inner, max_size=3)
                | st.dictionaries(st.sampled_from(["user_data", "address", "email", "city", "user_id", ""]), inner)
            ),
            max_leaves=20,
        )
    )
    def test_nothing_makes_it_fail(self, node: Any) -> None:
        person = CommonEvent({"user_data": node, "address": node, "email": node}).user()
        assert all(values for values in person.values())


@pytest.mark.parametrize(
    ("page", "expected"),
    [
        pytest.param("https://gtm-msr.appspot.com/render", True, id="the monitor"),
        pytest.param("https://gtm-msr.appspot.com.example.com/", False, id="another host"),
        pytest.param("https://shop.example.com/?u=https://gtm-msr.appspot.com/", False, id="in a query"),
        pytest.param(None, False, id="no page"),
        pytest.param(["https://gtm-msr.appspot.com/"], False, id="no text"),
    ],
)
def test_the_preview_monitor_is_known_by_its_page(page: object, expected: object) -> None:
    assert CommonEvent({"page_location": page}).is_preview_monitor() is expected
