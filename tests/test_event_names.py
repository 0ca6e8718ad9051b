"""Event names (tags-and-connectors.md, section B.1)."""

from __future__ import annotations

from typing import Final

import pytest

from lib.event_names import EVENT_NAMES, STANDARD_EVENTS

#: The table of the reference, typed anew.
TABLE: Final = """
    page_view, gtm.dom: PageView
    view_item, view_item_list: ViewContent
    search, view_search_results: Search
    add_to_cart: AddToCart
    add_to_wishlist: AddToWishlist
    begin_checkout: InitiateCheckout
    add_payment_info: AddPaymentInfo
    purchase: Purchase
    generate_lead: Lead
    sign_up: CompleteRegistration
    contact: Contact
    customize_product: CustomizeProduct
    donate: Donate
    find_location: FindLocation
    schedule: Schedule
    start_trial: StartTrial
    submit_application: SubmitApplication
    subscribe: Subscribe
    gtm4wp.addProductToCartEEC: AddToCart
    gtm4wp.productClickEEC: ViewContent
    gtm4wp.checkoutOptionEEC: InitiateCheckout
    gtm4wp.checkoutStepEEC: AddPaymentInfo
    gtm4wp.orderCompletedEEC: Purchase
    page_view_stape: PageView
    view_item_stape: ViewContent
    add_to_cart_stape: AddToCart
    begin_checkout_stape: InitiateCheckout
    add_payment_info_stape: AddPaymentInfo
    purchase_stape: Purchase
    sign_up_stape: CompleteRegistration
"""
EXPECTED: Final = {
    name.strip(): meta.strip()
    for line in TABLE.strip().splitlines()
    for names, _, meta in [line.partition(":")]
    for name in names.split(",")
}


@pytest.mark.parametrize(("name", "meta"), EXPECTED.items())
def test_each_name_of_the_table(name: str, meta: str) -> None:
    assert meta == EVENT_NAMES[name]


def test_there_are_no_others() -> None:
    assert EXPECTED == dict(EVENT_NAMES)


def test_all_of_metas_standard_events_are_reached() -> None:
    assert 18 == len(STANDARD_EVENTS)
