"""
`custom_data`: what an event is about.

-- https://developers.facebook.com/docs/marketing-api/conversions-api/parameters/custom-data

Three kinds of sources, best first, each key by itself: the caller's override; what the event says in Meta's own
words (`custom_data`, then `x-fb-cd-*`, then `custom_properties`); what it says in GA4's and others' (the table
`FIELDS`). A key that is in none of these places stays behind: GA4's own parameters (`coupon`, `tax`, `client_id`,
`page_title`, `screen_resolution`, `x-ga-*` and so on) are no properties unless somebody makes them some.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

from lib import money
from lib.cells import as_text
from lib.common_event import CommonEvent, Paths
from lib.event_values import as_mapping, from_json_text, says_nothing, stated_values
from lib.faults import Faults
from lib.normalization import UnusableValueError, clean
from lib.personal import PERSONAL, holds_contact, is_identifier, is_personal_key
from lib.products import GA4, META, ProductSchema

PURCHASE: Final = "Purchase"
DELIVERY_CATEGORIES: Final = ("in_store", "curbside", "home_delivery")
#: GA4 uses the key for something else too; only these of its values are Meta's.
_CONTENT_TYPES: Final = frozenset({"product", "product_group"})

_NO_TEXT: Final = "neither text nor number"

Reader = Callable[[object, str, Faults], Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Field:
    """
    One row of the table.

    Args:
        key: Meta's key.
        read: Makes Meta's value of what is stated; None where it cannot.
        event: Where an event states it in words that are not Meta's, best first.
    """

    key: str
    read: Reader
    event: tuple[str, ...] = ()


def _read_number(value: object, field: str, faults: Faults) -> int | float | None:
    doubts: set[str] = set()
    try:
        return money.number(value, doubts)
    except UnusableValueError as error:
        faults.empty(field, str(error))
        return None
    finally:
        for doubt in doubts:
            faults.warn(field, doubt)


def _read_value(value: object, field: str, faults: Faults) -> int | float | None:
    """Read what an event is worth: without it being a number the event would be worth something else."""
    own = Faults(warnings=faults.warnings)
    number = _read_number(value, field, own)
    for name, reason in own.emptied:
        faults.refuse(name, reason)
    return number


def _read_currency(value: object, field: str, faults: Faults) -> str | None:
    try:
        return money.currency_code(value)
    except UnusableValueError as error:
        faults.refuse(field, str(error))
        return None


def _read_text(value: object, field: str, faults: Faults) -> str | None:
    text = str(value).lower() if isinstance(value, bool) else as_text(value)
    if text is None:
        faults.empty(field, _NO_TEXT)
        return None
    text = clean(text)
    if holds_contact(text):
        faults.empty(field, PERSONAL)
        return None
    return text or None


def _read_delivery_category(value: object, field: str, faults: Faults) -> str | None:
    word = clean(value).lower() if isinstance(value, str) else ""
    if word not in DELIVERY_CATEGORIES:
        faults.empty(field, "not one of " + ", ".join(DELIVERY_CATEGORIES))
        return None
    return word


def _read_texts(value: object, field: str, faults: Faults) -> list[str] | None:
    """Read a list, the JSON of one, or texts with commas between."""
    value = from_json_text(value)
    if isinstance(value, str):
        value = value.split(",")
    values = value if isinstance(value, list) else [value]
    texts = (_read_text(one, field, faults) for one in values if not says_nothing(one))
    return list(dict.fromkeys(text for text in texts if text)) or None


def _read_count(value: object, field: str, faults: Faults) -> int | None:
    """Read how many there are; a part of one counts as one."""
    number = _read_number(value, field, faults)
    if number is None:
        return None
    if number < 0:
        faults.empty(field, "below 0")
        return None
    if isinstance(number, float):
        faults.warn(field, "not a whole number; rounded up")
    return math.ceil(number)


#: Meta's keys in the order in which they leave. `contents` and `content_type` are made below.
FIELDS: Final = (
    Field(
        key="value",
        read=_read_value,
        event=(
            "value", "ecommerce.value", "ecommerce.purchase.actionField.revenue", "x-ga-mp2-data[value]",
            "x-ga-mp1-tr", "x-ga-mp1-ev",
        ),
    ),
    Field(
        key="currency",
        read=_read_currency,
        event=("currency", "ecommerce.currency", "ecommerce.currencyCode", "x-ga-mp2-data[currency]", "x-ga-mp1-cu"),
    ),
    Field(key="content_name", read=_read_text, event=("content_name",)),
    Field(key="content_category", read=_read_text, event=("content_category",)),
    Field(key="content_ids", read=_read_texts, event=("content_ids",)),
    Field(key="contents", read=_read_text, event=("contents",)),
    Field(key="content_type", read=_read_text, event=("content_type",)),
    Field(key="num_items", read=_read_count, event=("num_items",)),
    Field(
        key="order_id",
        read=_read_text,
        event=(
            "transaction_id", "ecommerce.transaction_id", "ecommerce.purchase.actionField.id", "order_id",
            "x-ga-mp2-data[transaction_id]", "x-ga-mp1-ti",
        ),
    ),
    Field(key="predicted_ltv", read=_read_number, event=("predicted_ltv", "customer_lifetime_value")),
    Field(key="search_string", read=_read_text, event=("search_string", "search_term")),
    Field(key="status", read=_read_text, event=("status",)),
    Field(key="delivery_category", read=_read_delivery_category, event=("delivery_category",)),
    Field(key="item_number", read=_read_text, event=("item_number",)),
    Field(key="net_revenue", read=_read_number, event=("net_revenue",)),
    Field(key="lead_event_source", read=_read_text, event=("lead_event_source",)),
    Field(key="event_source", read=_read_text),
)  # fmt: skip
_ORDER: Final = tuple(field.key for field in FIELDS)
_MADE_BELOW: Final = frozenset({"contents", "content_type"})
_READERS: Final[Mapping[str, Reader]] = {field.key: field.read for field in FIELDS if field.key not in _MADE_BELOW}

#: Universal Analytics' enhanced commerce, which gtm4wp still sends.
_ENHANCED_COMMERCE: Final = tuple(
    f"ecommerce.{action}.products" for action in ("purchase", "checkout", "add", "detail", "click")
)


def build_custom_data(
    event: CommonEvent,
    override: object,
    *,
    event_name: str | None,
    products: ProductSchema | None,
    default_currency: str | None,
    faults: Faults,
) -> dict[str, Any]:
    """
    Return Meta's `custom_data`, without keys that say nothing.

    Args:
        event: The event.
        override: The caller's own, in Meta's keys.
        event_name: Meta's name of the event; a Purchase needs value and currency.
        products: How the caller says that its products are written; None for GA4's items.
        default_currency: Stands in for a currency that is not stated; never for a value.
        faults: Takes what cannot be used.
    """
    meant = _in_metas_words(event, as_mapping(override))
    schema = products or GA4
    stated = stated_values(_paths(schema), event)
    built: dict[str, Any] = {}
    if not (meant or stated or products or event_name == PURCHASE):
        return built
    for key, read in _READERS.items():
        if key in meant:
            built[key] = read(meant[key], f"custom_data.{key}", faults)
        elif key in stated:
            built[key] = read(stated[key][0], f"custom_data.{key}", faults)
    lines, schema = _lines(meant, stated, schema, faults)
    if lines:
        _add_products(built, lines, schema, faults)
    built["content_type"] = _content_type(meant, stated, built, faults)
    _settle_money(built, event_name, default_currency, faults)
    known = {key: built[key] for key in _ORDER if built.get(key) is not None}
    return known | _free(meant, faults) if meant else known


_PREFIXES: Final = ("x-fb-cd-", "x_fb_cd_", "custom_data_", "custom_properties_")


def _in_metas_words(event: CommonEvent, override: Mapping[str, object]) -> dict[str, object]:
    """Return what is stated under Meta's keys, and free properties: key -> the best that says something."""
    prefixed = [key for key in event.data if key.startswith(_PREFIXES)]
    if not (override or prefixed or "custom_data" in event.data or "custom_properties" in event.data):
        return {}
    by_prefix: dict[str, dict[str, object]] = {prefix: {} for prefix in _PREFIXES}
    for key in prefixed:
        prefix = next(one for one in _PREFIXES if key.startswith(one))
        by_prefix[prefix][key.removeprefix(prefix).replace("-", "_")] = event.data[key]
    sources = (
        override,
        as_mapping(event.data.get("custom_data")),
        by_prefix["custom_data_"],
        by_prefix["x-fb-cd-"],
        by_prefix["x_fb_cd_"],
        as_mapping(event.data.get("custom_properties")),
        by_prefix["custom_properties_"],
    )
    meant: dict[str, object] = {}
    for source in sources:
        for key, value in source.items():
            if key not in meant and not says_nothing(value):
                meant[key] = value
    return meant


Stated = Mapping[str, Sequence[object]]


@lru_cache(maxsize=64)
def _paths(schema: ProductSchema) -> Paths:
    arrays = schema.paths()
    return Paths(
        {
            "array": (*arrays, *_ENHANCED_COMMERCE) if schema is GA4 else arrays,
            **{field.key: field.event for field in FIELDS},
            "data": ("x-ga-mp2-data",),
        }
    )


def _lines(
    meant: Mapping[str, object], stated: Stated, schema: ProductSchema, faults: Faults
) -> tuple[list[Mapping[str, object]], ProductSchema]:
    """Return the event's lines of products, as they are, and the words in which they are written."""
    if lines := _as_lines(meant.get("contents"), faults):
        return lines, META
    arrays = list(stated.get("array", ()))
    # All of it may be one JSON text, into which no path leads.
    arrays += [as_mapping(data).get(schema.array) for data in stated.get("data", ()) if isinstance(data, str)]
    for array in arrays:
        if lines := _as_lines(array, faults):
            return lines, schema
    for contents in stated.get("contents", ()):
        if lines := _as_lines(contents, faults):
            return lines, META
    if schema.is_asked_for:
        faults.warn("products", "no such list of products in the event")
    return [], schema


def _as_lines(value: object, faults: Faults) -> list[Mapping[str, object]]:
    value = from_json_text(value)
    if not isinstance(value, list):
        return []
    lines = [line for line in map(from_json_text, value) if isinstance(line, Mapping)]
    if len(lines) < len(value):
        faults.warn("custom_data.contents", "lines that are no objects are left out")
    return lines


def _stated(line: Mapping[str, object], names: Sequence[str]) -> object:
    return next((value for name in names if not says_nothing(value := line.get(name))), None)


def _add_products(
    built: dict[str, Any], lines: Sequence[Mapping[str, object]], schema: ProductSchema, faults: Faults
) -> None:
    """Add what the lines tell to *built*, where nothing better is stated."""
    quantities = [_quantity(line, schema, faults) for line in lines]
    contents = [
        content
        for line, quantity in zip(lines, quantities, strict=True)
        if (content := _content(line, schema, quantity, faults)) is not None
    ]
    if len(contents) < len(lines):
        faults.warn("custom_data.contents", "products without an id are left out: Meta refuses an event with them")
    built["contents"] = contents or None
    made: dict[str, object] = {
        "content_ids": list(dict.fromkeys(content["id"] for content in contents)) or None,
        "num_items": sum(quantities),
    }
    if len(lines) == 1:
        for key, names in (("content_name", schema.title), ("content_category", schema.category)):
            made[key] = _read_text(_stated(lines[0], names), f"custom_data.{key}", faults)
    currency = _stated(lines[0], ("currency",))
    if currency is not None and built.get("currency") is None and not faults.is_refused("custom_data.currency"):
        made["currency"] = _read_currency(currency, "custom_data.currency", faults)
    for key, value in made.items():
        if built.get(key) is None:
            built[key] = value


def _quantity(line: Mapping[str, object], schema: ProductSchema, faults: Faults) -> int:
    """Return how many of a line there are: a line without a number is one of it, as in GA4."""
    value = _stated(line, schema.quantity)
    count = None if value is None else _read_count(value, "custom_data.contents.quantity", faults)
    return 1 if count is None else count


def _content(line: Mapping[str, object], schema: ProductSchema, quantity: int, faults: Faults) -> dict[str, Any] | None:
    field = "custom_data.contents"
    content_id = _read_text(_stated(line, schema.id), f"{field}.id", faults)
    if not content_id:
        return None
    price = _stated(line, schema.price)
    content: dict[str, Any] = {
        "id": content_id,
        "quantity": quantity,
        "item_price": None if price is None else _read_number(price, f"{field}.item_price", faults),
    }
    for key, names in (
        ("title", schema.title),
        ("description", ("description",)),
        ("brand", schema.brand),
        ("category", schema.category),
    ):
        content[key] = _read_text(_stated(line, names), f"{field}.{key}", faults)
    if (delivery := _stated(line, ("delivery_category",))) is not None:
        content["delivery_category"] = _read_delivery_category(delivery, f"{field}.delivery_category", faults)
    return {key: value for key, value in content.items() if value is not None}


def _content_type(meant: Mapping[str, object], stated: Stated, built: Mapping[str, Any], faults: Faults) -> str | None:
    if "content_type" in meant:
        return _read_text(meant["content_type"], "custom_data.content_type", faults)
    for word in stated.get("content_type", ()):
        if isinstance(word, str) and clean(word) in _CONTENT_TYPES:
            return clean(word)
    return "product" if built.get("contents") or built.get("content_ids") else None


def _settle_money(built: dict[str, Any], event_name: str | None, default_currency: str | None, faults: Faults) -> None:
    """Fill the currency where there is something to fill it for, and refuse a Purchase that lacks either."""
    has_price = built.get("value") is not None or any("item_price" in one for one in built.get("contents") or ())
    is_purchase = event_name == PURCHASE
    if default_currency and built.get("currency") is None and (has_price or is_purchase):
        built["currency"] = _read_currency(default_currency, "custom_data.currency", faults)
    for key in ("value", "currency"):
        if built.get(key) is None and is_purchase:
            faults.refuse(f"custom_data.{key}", "missing: a Purchase needs value and currency")
    if built.get("value") is not None and built.get("currency") is None and not is_purchase:
        faults.warn("custom_data.currency", "missing: a value is of little use to Meta without one")


def _free(meant: Mapping[str, object], faults: Faults) -> dict[str, Any]:
    """Return the properties that Meta has no key for, in the order in which they are stated."""
    free = {}
    for key, value in meant.items():
        if key not in _ORDER and clean(key):
            kept = list(_kept(value, key, faults))
            if kept:
                free[clean(key)] = kept if isinstance(value, list) else kept[0]
    return free


def _kept(value: object, key: str, faults: Faults) -> Iterator[object]:
    if isinstance(value, Mapping):
        faults.empty("custom_data", "a property that is neither text, number, true, false nor a list of them")
        return
    for one in value if isinstance(value, list) else [value]:
        if isinstance(one, bool):
            yield one
            continue
        text = as_text(one)
        if text is None or (isinstance(one, float) and not math.isfinite(one)):
            faults.empty("custom_data", "a property that is neither text, number, true, false nor a list of them")
        elif is_personal_key(key) or is_identifier(key) or (isinstance(one, str) and is_identifier(clean(text))):
            faults.empty("custom_data", "a property that " + PERSONAL)
        elif isinstance(one, str) and clean(text):
            yield clean(text)
        elif isinstance(one, int | float):
            yield one
