"""`custom_data` (meta-graph-api.md, section 4.5; tags-and-connectors.md, sections B.4, B.9 and F)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lib.common_event import CommonEvent
from lib.custom_data import FIELDS, build_custom_data
from lib.faults import Faults
from lib.products import parse_products
from tests.german_purchase import PURCHASE, flattened
from tests.strategies import json_values


def build(
    event: Mapping[str, Any],
    override: object = None,
    *,
    name: str = "ViewContent",
    products: object = None,
    default_currency: str | None = None,
) -> tuple[dict[str, Any], Faults]:
    faults = Faults()
    custom_data = build_custom_data(
        CommonEvent(event),
        override,
        event_name=name,
        products=parse_products(products),
        default_currency=default_currency,
        faults=faults,
    )
    return custom_data, faults


def refused(faults: Faults) -> list[str]:
    return [field for field, _ in faults.refused]


def emptied(faults: Faults) -> list[str]:
    return [field for field, _ in faults.emptied]


ITEMS: Final[list[dict[str, Any]]] = [
    {"item_id": "A", "price": "1.234,50", "quantity": "2"},
    {"item_id": 7, "price": 5},
]
CONTENTS: Final = [{"id": "A", "quantity": 2, "item_price": 1234.5}, {"id": "7", "quantity": 1, "item_price": 5}]


@pytest.mark.parametrize("event", [PURCHASE, flattened(PURCHASE)], ids=["nested", "flattened"])
def test_the_german_purchase(event: Mapping[str, Any]) -> None:
    custom_data, faults = build(event, name="Purchase")
    shoe = {"title": "Trail Shoe", "brand": "Nordweg", "category": "Shoes"}
    sock = {"title": "Wool Sock", "brand": "Nordweg", "category": "Accessories"}
    assert {
        "value": 129.9,
        "currency": "EUR",
        "content_ids": ["SKU-100", "SKU-207"],
        "contents": [
            {"id": "SKU-100", "quantity": 1, "item_price": 95, **shoe},
            {"id": "SKU-207", "quantity": 2, "item_price": 15, **sock},
        ],
        "content_type": "product",
        "num_items": 3,
        "order_id": "DE-10482",
    } == custom_data
    assert Faults() == faults


class TestContents:
    @pytest.mark.parametrize(
        "event",
        [
            pytest.param({"items": ITEMS}, id="items"),
            pytest.param({"ecommerce": {"items": ITEMS}}, id="ecommerce"),
            pytest.param({"ecommerce_items": ITEMS}, id="ecommerce, flattened"),
            pytest.param({"x-ga-mp2-data[items]": ITEMS}, id="x-ga-mp2-data with brackets"),
            pytest.param({"x_ga_mp2_data[items]": ITEMS}, id="x-ga-mp2-data with brackets, flattened"),
            pytest.param({"x-ga-mp2-data": {"items": ITEMS}}, id="x-ga-mp2-data, nested"),
            pytest.param({"x_ga_mp2_data_items": ITEMS}, id="x-ga-mp2-data, flattened"),
            pytest.param({"x-ga-mp2-data": json.dumps({"items": ITEMS})}, id="x-ga-mp2-data as JSON text"),
            pytest.param({"items": json.dumps(ITEMS)}, id="items as JSON text"),
            pytest.param({"items": [json.dumps(item) for item in ITEMS]}, id="each item as JSON text"),
            pytest.param({"x-fb-cd-contents": "[object Object]", "items": ITEMS}, id="[object Object] is ignored"),
            pytest.param({"items": "[object Object]", "ecommerce": {"items": ITEMS}}, id="so it is in items"),
            pytest.param({"x-fb-cd-contents": CONTENTS}, id="x-fb-cd-contents"),
            pytest.param({"x_fb_cd_contents": CONTENTS}, id="x-fb-cd-contents, flattened"),
            pytest.param({"x-fb-cd-contents": json.dumps(CONTENTS), "items": [{}]}, id="x-fb-cd-contents as JSON text"),
            pytest.param({"custom_data": {"contents": CONTENTS}, "items": [{}]}, id="custom_data"),
            pytest.param({"contents": CONTENTS}, id="contents"),
            pytest.param(
                {"ecommerce": {"purchase": {"products": [{**item, "id": item["item_id"]} for item in ITEMS]}}},
                id="enhanced commerce of Universal Analytics",
            ),
        ],
    )
    def test_from_each_place(self, event: Mapping[str, Any]) -> None:
        custom_data, faults = build(event)
        assert CONTENTS == custom_data["contents"]
        assert (["A", "7"], "product", 3) == tuple(
            custom_data[key] for key in ("content_ids", "content_type", "num_items")
        )
        assert Faults() == faults

    def test_the_override_wins(self) -> None:
        custom_data, _ = build({"items": [{"item_id": "B"}], "x-fb-cd-contents": [{"id": "C"}]}, {"contents": CONTENTS})
        assert CONTENTS == custom_data["contents"]

    def test_both_contents_and_content_ids_may_be_stated(self) -> None:
        custom_data, _ = build({"items": ITEMS}, {"content_ids": ["X", 1]})
        assert (CONTENTS, ["X", "1"]) == (custom_data["contents"], custom_data["content_ids"])

    @pytest.mark.parametrize("ids", [["A", "B"], '["A", "B"]', "A,B", "A, B"])
    def test_content_ids_from_list_and_text(self, ids: object) -> None:
        assert ["A", "B"] == build({"x-fb-cd-content_ids": ids})[0]["content_ids"]

    def test_an_item_without_id_gives_no_entry(self) -> None:
        """F 36: Meta refuses events with such an entry since 2026-04-13."""
        custom_data, faults = build({"items": [{"item_name": "Shoe", "price": 5, "quantity": 2}, {"item_id": "A"}]})
        assert [{"id": "A", "quantity": 1}] == custom_data["contents"]
        assert 3 == custom_data["num_items"]
        assert 1 == len(faults.warnings)

    def test_items_that_all_lack_an_id_give_no_contents(self) -> None:
        custom_data, _ = build({"items": [{"item_name": "Shoe"}]})
        assert {"content_name": "Shoe", "num_items": 1} == custom_data

    def test_an_item_without_quantity_is_one(self) -> None:
        """F 38: an item without a quantity is not lost."""
        assert [{"id": "A", "quantity": 1}] == build({"items": [{"item_id": "A"}]})[0]["contents"]

    def test_prices_are_numbers(self) -> None:
        """F 36: no strings as prices."""
        contents = build({"items": [{"item_id": "A", "price": "15.00"}, {"item_id": "B", "price": "0"}]})[0]["contents"]
        assert [15, 0] == [content["item_price"] for content in contents]

    def test_a_price_that_is_no_number_is_left_out_and_reported(self) -> None:
        custom_data, faults = build({"items": [{"item_id": "A", "price": "on request"}]})
        assert [{"id": "A", "quantity": 1}] == custom_data["contents"]
        assert ["custom_data.contents.item_price"] == emptied(faults)

    @pytest.mark.parametrize(
        ("quantity", "expected"),
        [
            pytest.param("2", 2, id="text"),
            pytest.param(2.0, 2, id="float"),
            pytest.param(0, 0, id="zero"),
            pytest.param(1.2, 2, id="a part counts as one"),
            pytest.param(-1, 1, id="negative"),
            pytest.param("some", 1, id="no number"),
        ],
    )
    def test_quantities_are_whole(self, quantity: object, expected: int) -> None:
        custom_data, _ = build({"items": [{"item_id": "A", "quantity": quantity}]})
        assert (expected, expected) == (custom_data["contents"][0]["quantity"], custom_data["num_items"])

    def test_names_of_a_single_item(self) -> None:
        custom_data, _ = build({"items": [{"item_id": "A", "item_name": "Shoe", "item_category": "Shoes"}]})
        assert ("Shoe", "Shoes") == (custom_data["content_name"], custom_data["content_category"])

    def test_the_callers_num_items_wins_over_the_sum(self) -> None:
        assert 9 == build({"items": ITEMS}, {"num_items": "9"})[0]["num_items"]
        assert 9 == build({"items": ITEMS, "x-fb-cd-num_items": 9})[0]["num_items"]

    def test_num_items_is_the_sum_of_quantities(self) -> None:
        """F 38: not the number of lines."""
        assert 3 == build({"items": ITEMS})[0]["num_items"]

    @pytest.mark.parametrize(
        ("event", "expected"),
        [
            pytest.param({"items": ITEMS}, "product", id="of items"),
            pytest.param({"items": ITEMS, "content_type": "product_group"}, "product_group", id="stated"),
            pytest.param({"items": ITEMS, "content_type": "image"}, "product", id="GA4 means something else"),
            pytest.param({"x-fb-cd-content_type": "hotel"}, "hotel", id="meant for Meta"),
            pytest.param({"content_type": "article"}, None, id="no products"),
        ],
    )
    def test_content_type(self, event: Mapping[str, Any], expected: str | None) -> None:
        assert expected == build(event)[0].get("content_type")


class TestProductSchemas:
    """F 38: Datomni's own schema yields something, a custom one too, and GA4's items do not crash."""

    OMNI: Final = [{"id": "A", "quantity": "2", "price": "1.234,50"}, {"id": 7, "price": 5}]
    CUSTOM: Final = [{"sku": "A", "n": 2, "amount": "1,234.50"}, {"sku": 7, "amount": 5}]
    WORDS: Final = {"schema": "custom", "array": "basket", "id": "sku", "quantity": "n", "price": "amount"}

    @pytest.mark.parametrize("place", ["{}", "x-ga-mp2-data[{}]"])
    def test_omni(self, place: str) -> None:
        custom_data, _ = build({place.format("items"): self.OMNI}, products={"schema": "omni"})
        assert (CONTENTS, 3) == (custom_data["contents"], custom_data["num_items"])

    @pytest.mark.parametrize(
        "event",
        [
            pytest.param({"basket": CUSTOM}, id="event"),
            pytest.param({"ecommerce": {"basket": CUSTOM}}, id="ecommerce"),
            pytest.param({"x-ga-mp2-data[basket]": CUSTOM}, id="x-ga-mp2-data with brackets"),
            pytest.param({"x-ga-mp2-data": {"basket": json.dumps(CUSTOM)}}, id="x-ga-mp2-data, JSON text"),
        ],
    )
    def test_custom(self, event: Mapping[str, Any]) -> None:
        custom_data, _ = build({**event, "items": [{"item_id": "Z"}]}, products=self.WORDS)
        assert CONTENTS == custom_data["contents"]

    def test_a_list_that_was_asked_for_and_is_missing_is_a_warning(self) -> None:
        custom_data, faults = build({"items": ITEMS}, products=self.WORDS)
        assert ({}, 1) == (custom_data, len(faults.warnings))

    def test_the_array_may_have_a_name_that_means_something_else_to_meta(self) -> None:
        custom_data, _ = build({"contents": self.CUSTOM}, products={**self.WORDS, "array": "contents"})
        assert CONTENTS == custom_data["contents"]


class TestMoney:
    @pytest.mark.parametrize(
        ("event", "expected"),
        [
            pytest.param({"value": 129.9}, 129.9, id="value"),
            pytest.param({"value": "129.90"}, 129.9, id="text"),
            pytest.param({"value": "1.234,50"}, 1234.5, id="German: not null (F 40)"),
            pytest.param({"value": 0}, 0, id="0 is not dropped (F 40)"),
            pytest.param({"value": "0"}, 0, id='0 is a number, not "0.00" (F 36)'),
            pytest.param({"value": -5}, -5, id="negative"),
            pytest.param({"ecommerce": {"value": 5}}, 5, id="ecommerce"),
            pytest.param({"x-fb-cd-value": 6, "value": 5}, 6, id="meant for Meta"),
            pytest.param({"x-ga-mp1-tr": "7"}, 7, id="Universal Analytics"),
            pytest.param({"ecommerce": {"purchase": {"actionField": {"revenue": "8.00"}}}}, 8, id="enhanced commerce"),
            pytest.param({"value": "undefined", "ecommerce": {"value": 5}}, 5, id="a word for nothing"),
        ],
    )
    def test_value(self, event: Mapping[str, Any], expected: float) -> None:
        assert expected == build({"currency": "EUR", **event})[0]["value"]

    @pytest.mark.parametrize("value", ["abc", "12 apples", True, [5], {"amount": 5}, "Infinity"])
    @pytest.mark.parametrize("name", ["Purchase", "ViewContent"])
    def test_a_value_that_is_no_number_refuses_the_event(self, value: object, name: str) -> None:
        _, faults = build({"value": value, "currency": "EUR"}, name=name)
        assert [("custom_data.value", "not a number")] == list(faults.refused)

    def test_currency_is_upper_case(self) -> None:
        assert "EUR" == build({"value": 1, "currency": " eur "})[0]["currency"]

    @pytest.mark.parametrize("currency", ["EURO", "€", "XXX", 978, "BTC"])
    def test_an_unknown_currency_refuses_the_event(self, currency: object) -> None:
        _, faults = build({"value": 1, "currency": currency}, default_currency="EUR")
        assert [("custom_data.currency", "not an ISO 4217 code")] == list(faults.refused)

    def test_the_currency_of_an_item_counts(self) -> None:
        custom_data, faults = build({"value": 1, "items": [{"item_id": "A", "currency": "SEK"}]}, name="Purchase")
        assert ("SEK", []) == (custom_data["currency"], refused(faults))

    def test_no_silent_usd(self) -> None:
        """F 37: a Purchase without a currency is not one in dollars."""
        custom_data, faults = build({"value": 1}, name="Purchase")
        assert "currency" not in custom_data
        assert ["custom_data.currency"] == refused(faults)

    def test_a_purchase_without_value_is_refused(self) -> None:
        _, faults = build({"currency": "EUR", "items": ITEMS}, name="Purchase", default_currency="EUR")
        assert ["custom_data.value"] == refused(faults)

    def test_a_purchase_with_neither_names_both(self) -> None:
        assert ["custom_data.value", "custom_data.currency"] == refused(build({}, name="Purchase")[1])

    def test_the_default_currency_fills_the_currency_alone(self) -> None:
        custom_data, faults = build({"value": 1}, name="Purchase", default_currency="EUR")
        assert ({"value": 1, "currency": "EUR"}, []) == (custom_data, refused(faults))

    def test_the_default_currency_does_not_beat_a_stated_one(self) -> None:
        assert "SEK" == build({"value": 1, "currency": "SEK"}, default_currency="EUR")[0]["currency"]

    def test_without_money_there_is_no_currency_to_fill(self) -> None:
        assert {} == build({}, default_currency="EUR")[0]

    def test_a_value_without_currency_is_a_warning_elsewhere(self) -> None:
        custom_data, faults = build({"value": 1})
        assert ({"value": 1}, [], 1) == (custom_data, refused(faults), len(faults.warnings))

    def test_a_lone_mark_is_a_warning(self) -> None:
        custom_data, faults = build({"value": "1,234", "currency": "EUR"})
        assert (1234, 1) == (custom_data["value"], len(faults.warnings))


@pytest.mark.parametrize(
    ("event", "key", "expected"),
    [
        pytest.param({"transaction_id": 10482}, "order_id", "10482", id="order_id"),
        pytest.param({"ecommerce": {"transaction_id": "T"}}, "order_id", "T", id="order_id of ecommerce"),
        pytest.param({"search_term": "Wool Sock"}, "search_string", "Wool Sock", id="search_string keeps its case"),
        pytest.param({"x-fb-cd-search_string": "x"}, "search_string", "x", id="search_string for Meta"),
        pytest.param({"status": True}, "status", "true", id="status"),
        pytest.param({"predicted_ltv": "12,5"}, "predicted_ltv", 12.5, id="predicted_ltv"),
        pytest.param({"customer_lifetime_value": 5}, "predicted_ltv", 5, id="predicted_ltv of addingwell"),
        pytest.param({"delivery_category": "Home_Delivery"}, "delivery_category", "home_delivery", id="delivery"),
        pytest.param({"custom_data": {"event_source": "crm"}}, "event_source", "crm", id="event_source of a lead"),
        pytest.param({"lead_event_source": "HubSpot"}, "lead_event_source", "HubSpot", id="lead_event_source"),
        pytest.param({"custom_data": '{"net_revenue": "3"}'}, "net_revenue", 3, id="custom_data as JSON text"),
        pytest.param({"custom_properties": '{"order_id": "P"}'}, "order_id", "P", id="custom_properties as JSON text"),
        pytest.param({"content_name": "Sale"}, "content_name", "Sale", id="content_name"),
        pytest.param({"content_category": "Shoes"}, "content_category", "Shoes", id="content_category"),
    ],
)
def test_other_keys(event: Mapping[str, Any], key: str, expected: object) -> None:
    assert {key: expected} == build(event)[0]


@pytest.mark.parametrize(
    ("event", "field"),
    [
        pytest.param({"delivery_category": "drone"}, "custom_data.delivery_category", id="unknown delivery"),
        pytest.param({"predicted_ltv": "much"}, "custom_data.predicted_ltv", id="no number"),
        pytest.param({"transaction_id": ["T"]}, "custom_data.order_id", id="no text"),
        pytest.param({"search_term": "ada@example.com"}, "custom_data.search_string", id="an address in a search"),
    ],
)
def test_what_cannot_be_used_is_left_out_and_reported(event: Mapping[str, Any], field: str) -> None:
    custom_data, faults = build(event)
    assert ({}, [field], []) == (custom_data, emptied(faults), refused(faults))


class TestFreeProperties:
    @pytest.mark.parametrize(
        ("event", "override"),
        [
            pytest.param({}, {"margin": 0.3, "vip": False, "tags": ["a", 1]}, id="override"),
            pytest.param({"custom_data": {"margin": 0.3, "vip": False, "tags": ["a", 1]}}, None, id="custom_data"),
            pytest.param(
                {"custom_properties": '{"margin": 0.3, "vip": false, "tags": ["a", 1]}'}, None, id="custom_properties"
            ),
            pytest.param({"x-fb-cd-margin": 0.3, "x_fb_cd_vip": False, "x-fb-cd-tags": ["a", 1]}, None, id="x-fb-cd"),
            pytest.param(
                {"custom_data_margin": 0.3, "custom_data_vip": False, "x-fb-cd-tags": ["a", 1]}, None, id="flat"
            ),
        ],
    )
    def test_are_scalars_and_lists_of_them(self, event: Mapping[str, Any], override: object) -> None:
        assert {"margin": 0.3, "vip": False, "tags": ["a", 1]} == build(event, override)[0]

    def test_what_nobody_made_a_property_stays_behind(self) -> None:
        event = {key: value for key, value in PURCHASE.items() if key != "items"}
        assert {"value", "currency", "order_id"} == set(build({**event, "my_parameter": 1})[0])

    @pytest.mark.parametrize(
        ("key", "value"),
        [
            pytest.param("email", "x", id="key email"),
            pytest.param("customerPhone", "x", id="key phone"),
            pytest.param("first_name", "Ada", id="key first name"),
            pytest.param("birthday", "1815-12-10", id="key birthday"),
            pytest.param("em", "x", id="a key of user_data"),
            pytest.param("note", "ada@example.com", id="an e-mail address"),
            pytest.param("note", "call +49 170 1234567", id="a phone number"),
            pytest.param("note", "01701234567", id="a national phone number"),
            pytest.param("note", ["ok@example.com"], id="in a list"),
            pytest.param("note", "192.0.2.1", id="an IP address"),
            pytest.param("note", "8fcf3f610494185dcb518dbf2ea5620971835b76f57ce4a752ae7bd212cb7b23", id="a hash"),
            pytest.param("ada@example.com", 1, id="an address as a key"),
            pytest.param("nested", {"email": "ada@example.com"}, id="an object"),
        ],
    )
    def test_with_an_identifier_never_leave(self, key: str, value: object) -> None:
        custom_data, faults = build({"custom_properties": {key: value}}, {key: value, "margin": 1})
        assert ({"margin": 1}, ["custom_data"]) == (custom_data, emptied(faults))

    def test_the_override_wins(self) -> None:
        assert {"margin": 2} == build({"x-fb-cd-margin": 1}, {"margin": 2})[0]


def test_keys_come_in_metas_order() -> None:
    custom_data, _ = build({**PURCHASE, "x-fb-cd-status": "x", "x-fb-cd-zzz": 1, "predicted_ltv": 3})
    order = [field.key for field in FIELDS]
    assert ["zzz"] == [key for key in custom_data if key not in order]
    known = [key for key in custom_data if key in order]
    assert sorted(known, key=order.index) == known


_KEYS = st.sampled_from(
    [
        *(path.split(".")[0] for field in FIELDS for path in field.event),
        *(f"x-fb-cd-{field.key}" for field in FIELDS),
        *("items", "custom_data", "custom_properties", "x-ga-mp2-data", "x-ga-mp2-data[items]", "contents", "value"),
    ]
)
_LINES = st.lists(
    st.dictionaries(st.sampled_from(["item_id", "id", "price", "quantity", "item_name", "currency"]), json_values)
)


@given(st.dictionaries(_KEYS, json_values | _LINES), json_values, st.sampled_from(["Purchase", "x"]))
def test_no_event_raises_and_no_key_is_empty(event: dict[str, Any], override: object, name: str) -> None:
    custom_data, _ = build(event, override, name=name, default_currency="EUR")
    assert [] == [key for key, value in custom_data.items() if value is None or value in ("", [], {})]
    assert json.loads(json.dumps(custom_data, allow_nan=False)) == custom_data
    for content in custom_data.get("contents", ()):
        assert content["id"]
        assert isinstance(content["quantity"], int)
        assert isinstance(content.get("item_price", 0), int | float)
