"""The request's `products` (design, section 6; tags-and-connectors.md, section B.9)."""

from __future__ import annotations

import pytest

from lib.errors import InvalidRequestError
from lib.products import GA4, parse_products


def test_nothing_stated_is_no_schema() -> None:
    assert parse_products(None) is None


def test_without_a_name_it_is_ga4s() -> None:
    schema = parse_products({})
    assert schema is not None
    assert (GA4.array, GA4.id, GA4.price) == (schema.array, schema.id, schema.price)


def test_omni_has_datomnis_words() -> None:
    schema = parse_products({"schema": "omni"})
    assert schema is not None
    assert ("items", ("id",), ("quantity",), ("price",)) == (schema.array, schema.id, schema.quantity, schema.price)


def test_custom_has_the_callers_words() -> None:
    schema = parse_products({"schema": "custom", "array": "basket", "id": "sku", "quantity": "n", "price": "amount"})
    assert schema is not None
    assert ("basket", ("sku",), ("n",), ("amount",)) == (schema.array, schema.id, schema.quantity, schema.price)


@pytest.mark.parametrize(
    ("value", "field"),
    [
        pytest.param([], "products", id="no object"),
        pytest.param({"schema": "ua"}, "products.schema", id="unknown schema"),
        pytest.param({"schema": "custom", "array": ["items"]}, "products.array", id="array is no text"),
        pytest.param({"id": 1}, "products.id", id="id is no text"),
    ],
)
def test_what_is_not_understood_names_its_field(value: object, field: str) -> None:
    with pytest.raises(InvalidRequestError) as caught:
        parse_products(value)
    assert field == caught.value.field
