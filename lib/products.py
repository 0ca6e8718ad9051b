"""How the products of an event are written: where their list is, and what its fields are called."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from lib.errors import InvalidRequestError
from lib.normalization import clean


@dataclass(frozen=True, slots=True, kw_only=True)
class ProductSchema:
    """
    The words of one line of a list of products; several names for a field are tried in their order.

    Args:
        array: The list's own key (`.` between the keys of nested objects): read from the event itself, from
            `ecommerce` and from `x-ga-mp2-data`.
        is_asked_for: Whether the caller named the schema; then it is worth a warning where the list is missing.
    """

    array: str = "items"
    id: tuple[str, ...]
    quantity: tuple[str, ...]
    price: tuple[str, ...]
    title: tuple[str, ...] = ("title",)
    brand: tuple[str, ...] = ("brand",)
    category: tuple[str, ...] = ("category",)
    is_asked_for: bool = False

    def paths(self) -> tuple[str, ...]:
        """Return the places of the list, best first."""
        return (
            self.array,
            f"ecommerce.{self.array}",
            f"x-ga-mp2-data[{self.array}]",
            f"x-ga-mp2-data.{self.array}",
        )


#: GA4's items; `id`, `name` and so on are what Universal Analytics and many data layers call the same.
#: -- https://developers.google.com/analytics/devguides/collection/ga4/reference/events#purchase_item
GA4: Final = ProductSchema(
    id=("item_id", "id"),
    quantity=("quantity",),
    price=("price", "item_price"),
    title=("item_name", "name", "title"),
    brand=("item_brand", "brand"),
    category=("item_category", "category"),
)
#: Datomni's own.
OMNI: Final = ProductSchema(id=("id",), quantity=("quantity",), price=("price",))
#: Meta's `contents`; its pages on offline events say `price`.
META: Final = ProductSchema(
    array="contents", id=("id",), quantity=("quantity",), price=("item_price", "price"), is_asked_for=True
)

_SCHEMAS: Final[Mapping[str, ProductSchema]] = {
    "ga4": GA4,
    "omni": OMNI,
    "custom": ProductSchema(
        id=("id", *GA4.id),
        quantity=("quantity",),
        price=("price",),
        title=GA4.title,
        brand=GA4.brand,
        category=GA4.category,
    ),
}
_KEYS: Final = ("schema", "array", "id", "quantity", "price")


def parse_products(value: object) -> ProductSchema | None:
    """
    Read a request's `products`; what it does not state is as in GA4's or Omni's schema.

    Raises:
        InvalidRequestError: A schema that is not known, or a name that is no text; `field` says which.
    """
    if value is None:
        return None
    if not isinstance(value, Mapping):
        raise InvalidRequestError("must be an object", field="products")
    stated = {key: _text(value.get(key), key) for key in _KEYS}
    name = stated["schema"] or "ga4"
    if name not in _SCHEMAS:
        raise InvalidRequestError("must be one of " + ", ".join(_SCHEMAS), field="products.schema")
    schema = _SCHEMAS[name]
    return ProductSchema(
        array=stated["array"] or schema.array,
        id=(stated["id"],) if stated["id"] else schema.id,
        quantity=(stated["quantity"],) if stated["quantity"] else schema.quantity,
        price=(stated["price"],) if stated["price"] else schema.price,
        title=schema.title,
        brand=schema.brand,
        category=schema.category,
        is_asked_for=True,
    )


def _text(value: object, key: str) -> str:
    if value is not None and not isinstance(value, str):
        raise InvalidRequestError("must be a text", field=f"products.{key}")
    return clean(value or "")
