"""
Event names: GA4's and other usual ones -> Meta's.

The names are those that Meta's and Stape's tags for server-side Google Tag Manager and Stape's Signals Gateway map:
GA4's recommended events, those of the WordPress plugin gtm4wp, and those of Stape's apps, which end in `_stape`.
-- https://developers.facebook.com/docs/meta-pixel/reference#standard-events
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

_GA4: Final[Mapping[str, str]] = {
    "page_view": "PageView",
    "view_item": "ViewContent",
    "view_item_list": "ViewContent",
    "search": "Search",
    # What GA4's enhanced measurement calls the same thing.
    "view_search_results": "Search",
    "add_to_cart": "AddToCart",
    "add_to_wishlist": "AddToWishlist",
    "begin_checkout": "InitiateCheckout",
    "add_payment_info": "AddPaymentInfo",
    "purchase": "Purchase",
    "generate_lead": "Lead",
    "sign_up": "CompleteRegistration",
}
_BY_STAPES_APPS: Final = (
    "page_view",
    "view_item",
    "add_to_cart",
    "begin_checkout",
    "add_payment_info",
    "purchase",
    "sign_up",
)

#: A name as it comes -> Meta's. Any other name is sent as it is.
EVENT_NAMES: Final[Mapping[str, str]] = {
    **_GA4,
    "gtm.dom": "PageView",
    "contact": "Contact",
    "customize_product": "CustomizeProduct",
    "donate": "Donate",
    "find_location": "FindLocation",
    "schedule": "Schedule",
    "start_trial": "StartTrial",
    "submit_application": "SubmitApplication",
    "subscribe": "Subscribe",
    "gtm4wp.addProductToCartEEC": "AddToCart",
    "gtm4wp.productClickEEC": "ViewContent",
    "gtm4wp.checkoutOptionEEC": "InitiateCheckout",
    "gtm4wp.checkoutStepEEC": "AddPaymentInfo",
    "gtm4wp.orderCompletedEEC": "Purchase",
    **{f"{name}_stape": _GA4[name] for name in _BY_STAPES_APPS},
}

#: Meta's own; any other is a custom event.
STANDARD_EVENTS: Final = frozenset(EVENT_NAMES.values())

#: In characters; the limit of Meta's pixel.
#: -- https://developers.facebook.com/docs/meta-pixel/implementation/conversion-tracking
LONGEST_CUSTOM_NAME: Final = 50
