"""The realistic event of a German shop (tags-and-connectors.md, section C.1), nested and flattened."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

#: What `getAllEventData()` gives for a GA4 purchase; names and numbers are made up.
PURCHASE: Final[Mapping[str, Any]] = {
    "x-ga-protocol_version": "2",
    "x-ga-measurement_id": "G-4QZ7K2XW9M",
    "x-ga-gtm_version": "45je61k1v9123456789za200",
    "x-ga-page_id": 1772445600123,
    "x-ga-request_count": 4,
    "x-ga-gcs": "G111",
    "x-ga-gcd": "13r3r3r3r5l1",
    "x-ga-npa": "0",
    "x-ga-dma": "1",
    "x-ga-dma_cps": "syphamo",
    "x-ga-ecid": "1538204417",
    "x-ga-mp2-seg": "1",
    "x-ga-mp2-frm": "0",
    "x-ga-tfd": 2314,
    "x-ga-system_properties": {"eu": [34], "c": "1", "ss": "1"},
    "x-sst-system_properties": {"etld": "google.de", "request_start_time_ms": 1772445602511, "gse": "1"},
    "client_id": "1093847561.1769853600",
    "ga_session_id": "1772445512",
    "ga_session_number": 3,
    "event_name": "purchase",
    "event_id": "1772445600123_17724455120042",
    "timestamp": 1772445602,
    "user_id": "cust-88213",
    "language": "de-de",
    "screen_resolution": "1728x1117",
    "page_location": "https://shop.example.de/kasse/danke?order=DE-10482&fbclid=IwAR2mQx7TestClick_AbC",
    "page_referrer": "https://shop.example.de/kasse/bezahlen",
    "page_hostname": "shop.example.de",
    "page_path": "/kasse/danke",
    "page_title": "Vielen Dank",
    "page_encoding": "UTF-8",
    "ip_override": "2001:db8:85a3::8a2e:370:7334",
    "user_agent": (
        "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/537.36 (KHTML, like Gecko) "
        "Chrome/140.0.0.0 Safari/537.36"
    ),
    "client_hints": {
        "architecture": "arm",
        "mobile": False,
        "platform": "macOS",
        "platform_version": "15.3.0",
        "brands": [{"brand": "Chromium", "version": "140"}],
    },
    "event_location": {"country": "DE", "region": "BY"},
    "currency": "EUR",
    "value": 129.9,
    "transaction_id": "DE-10482",
    "tax": 20.74,
    "shipping": 4.9,
    "coupon": "SPRING",
    "items": [
        {
            "item_id": "SKU-100",
            "item_name": "Trail Shoe",
            "item_brand": "Nordweg",
            "item_category": "Shoes",
            "item_variant": "42",
            "price": 95,
            "quantity": 1,
        },
        {
            "item_id": "SKU-207",
            "item_name": "Wool Sock",
            "item_brand": "Nordweg",
            "item_category": "Accessories",
            "price": "15.00",
            "quantity": 2,
        },
    ],
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
    "consent_state": {
        "ad_storage": True,
        "ad_user_data": True,
        "ad_personalization": True,
        "analytics_storage": True,
        "functionality_storage": True,
        "personalization_storage": True,
        "security_storage": True,
    },
}

#: A second after the event.
NOW: Final = 1772445603


def flattened(event: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return *event* as a tag flattens it: keys joined with `_`, hyphens as `_`, lists as they are."""
    flat: dict[str, Any] = {}
    for key, value in event.items():
        name = f"{prefix}{key}".replace("-", "_")
        flat |= flattened(value, f"{name}_") if isinstance(value, Mapping) else {name: value}
    return flat
