"""What must not leave in the clear: keys, values and parts of addresses that identify a person."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lib.personal import holds_contact, is_identifier, is_personal_key, without_identifiers


@pytest.mark.parametrize(
    "key",
    "email userEmail e-mail hashed_email phone customerPhone phone_number first_name firstName LastName full_name name "  # noqa: SIM905 - one list of words
    "billing-name customer_name birthday date_of_birth dob address street postal_code zip em ph fn ln db "
    "external_id ip_address client_ip_address user_agent Vorname geburtsdatum".split(),
)
def test_a_key_that_names_an_identifier(key: str) -> None:
    assert is_personal_key(key)


@pytest.mark.parametrize(
    "key",
    "content_name coupon_name brand_name plan coupon city country is_mobile device color size shipping_tier "  # noqa: SIM905 - one list of words
    "payment_type hotel_id membership margin".split(),
)
def test_a_key_that_does_not(key: str) -> None:
    assert not is_personal_key(key)


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("ada@example.com", id="e-mail"),
        pytest.param("mail to ada.l+x@mail.example.co.uk, please", id="e-mail within a text"),
        pytest.param("ada%40example.com", id="e-mail, escaped"),
        pytest.param("ada%2540example.com", id="e-mail, escaped twice"),
        pytest.param("+49 170 1234567", id="phone"),
        pytest.param("call +1 (650) 555-1212 now", id="phone within a text"),
    ],
)
def test_contact_anywhere(text: str) -> None:
    assert holds_contact(text)
    assert is_identifier(text)


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("0170 1234567", id="national phone"),
        pytest.param("0170/1234567", id="national phone with a slash"),
        pytest.param("01701234567", id="national phone in digits"),
        pytest.param("(650) 555-1212", id="American phone"),
        pytest.param("6505551212", id="American phone in digits"),
        pytest.param("491701234567", id="international phone without a plus"),
        pytest.param("0049 170 1234567", id="international phone with zeros"),
        pytest.param("192.0.2.7", id="IPv4 address"),
        pytest.param("2001:db8::1", id="IPv6 address"),
        pytest.param("a" * 64, id="hash"),
    ],
)
def test_a_text_that_is_an_identifier_as_a_whole(text: str) -> None:
    assert is_identifier(text)


@pytest.mark.parametrize(
    "text",
    [
        "", "SPRING", "DE-10482", "1772445602", "1772445602511", "4006381333931", "2026-03-02", "02.03.2026", "129.90",
        "0.1234567", "12345678", "12:30", "1728x1117", "@home", "user @ work", "5 + 3", "42",
    ],
)  # fmt: skip
def test_a_text_that_is_none(text: str) -> None:
    assert not is_identifier(text)


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        pytest.param("https://s.de/a?email=ada@example.com&b=1#x", "https://s.de/a?b=1#x", id="the first parameter"),
        pytest.param("https://s.de/a?b=1&email=ada%40example.com", "https://s.de/a?b=1", id="the last parameter"),
        pytest.param("https://s.de/a?q=ada%40example.com", "https://s.de/a", id="under any key"),
        pytest.param("https://s.de/a?tel=%2B491701234567&x=1", "https://s.de/a?x=1", id="a phone"),
        pytest.param("https://s.de/a?firstName=Ada&x=1", "https://s.de/a?x=1", id="a name"),
        pytest.param("https://s.de/u/ada@example.com/x", "https://s.de/u//x", id="in the path"),
        pytest.param("https://ada:secret@s.de/x", "https://s.de/x", id="user and password"),
        pytest.param("https://s.de/a#email=x&b=2", "https://s.de/a#b=2", id="in the fragment"),
    ],
)
def test_an_address_loses_what_identifies(url: str, expected: str) -> None:
    assert expected == without_identifiers(url)


@pytest.mark.parametrize(
    "url",
    [
        "https://shop.example.de/Kasse/Danke?order=DE-10482&fbclid=IwAR2mQx7TestClick_AbC",
        "https://maps.example.com/@52.5,13.4,15z",
        "https://shop.example.de/?email=&x=1",
        "https://shop.example.de/a?&b=1&&c",
        "android-app://com.example.shop/",
        "",
    ],
)
def test_any_other_address_stays_as_it_is(url: str) -> None:
    assert url == without_identifiers(url)


@given(st.text(alphabet="aA@.%240?&#=;:/+1e ", max_size=40) | st.text())
def test_no_address_raises_and_what_is_left_is_clean(url: str) -> None:
    kept = without_identifiers(url)
    assert kept == url or len(kept) < len(url)


@given(st.text() | st.text(alphabet="+0123456789()-. /:abf@%", max_size=30))
def test_no_text_raises(text: str) -> None:
    assert holds_contact(text) <= is_identifier(text)
    assert is_personal_key(text) in {True, False}
