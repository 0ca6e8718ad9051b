from __future__ import annotations

import subprocess
import sys

import phonenumbers
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lib.phone_numbers import e164_digits, falls_back, international_form, settled
from tests.fuzz.comparison import compare, library_digits
from tests.fuzz.phone_texts import REGIONS, usual_texts

regions = st.sampled_from(REGIONS)
near_phones = st.text(alphabet="0123456789+-.()/ xX#;,~*ABCext\uff0b\uff10\u0661\u00a0\u2013\n", max_size=24)


@pytest.mark.parametrize(
    ("text", "region", "expected"),
    [
        # https://developers.facebook.com/docs/marketing-api/conversions-api/parameters/customer-information-parameters
        # and the table of examples that it links
        pytest.param("(650)555-1212", "US", "16505551212", id="Meta's national form"),
        pytest.param("+1 (616) 954-78 88", None, "16169547888", id="Meta's plus"),
        pytest.param("+001 (616) 954-78 88", None, "16169547888", id="Meta's plus and zeros"),
        pytest.param("+44 20 7946 0958", None, "442079460958", id="Meta's United Kingdom"),
        pytest.param("+49.170.1234567", None, "491701234567", id="dots"),
        pytest.param("0170 1234567", "DE", "491701234567", id="national prefix"),
        pytest.param("+49.30.901820", None, "4930901820", id="short area code"),
        pytest.param("0170 1234567", None, None, id="national without a country"),
        pytest.param("0170 1234567", "XX", None, id="national in an unknown country"),
        pytest.param("+49 170 1234567", "XX", "491701234567", id="international, unknown country"),
        pytest.param("4917 0123 4567", "DE", "491701234567", id="country code without a plus"),
        pytest.param("06 12345678", "IT", "390612345678", id="the Italian zero"),
        pytest.param("15 2345 6789", "AR", "541523456789", id="possible, though not valid"),
        pytest.param("011 15 2345-6789", "AR", "5491123456789", id="rewritten by the national prefix rule"),
        pytest.param("tel:+49-170-1234567", None, "491701234567", id="tel URI"),
        pytest.param("(650) 555-1212 ext. 345", "US", "16505551212", id="extension in words"),
        pytest.param("(650) 555-1212x345", "US", "16505551212", id="extension in a letter"),
        pytest.param("+1-650-555-1212;ext=345", None, "16505551212", id="extension in a URI"),
        pytest.param("(650) 555-1212 x302/x303", "US", "16505551212", id="two extensions"),
        pytest.param("1-800-FLOWERS", "US", "18003569377", id="letters of the keypad"),
        pytest.param("\uff0b\uff14\uff19 170 1234567", None, "491701234567", id="full width"),
        pytest.param("\u0660\u0661\u0667\u0660 1234567", "DE", "491701234567", id="Arabic-Indic"),
        pytest.param("\u202a+49\u00a0170\u00a01234567\u202c", None, "491701234567", id="no-break and bidi"),
        pytest.param("", "DE", None, id="empty"),
        pytest.param("unknown", "DE", None, id="no digit"),
        pytest.param("12", "US", None, id="too short"),
        pytest.param("+49 170 1234567 1234567", None, None, id="too long"),
        pytest.param("+999 170 1234567", None, None, id="no such country code"),
        pytest.param("0" * 251, "DE", None, id="longer than any number"),
    ],
)
def test_documented_example(text: str, region: str | None, expected: str | None) -> None:
    assert expected == e164_digits(text, region)


class TestZeros:
    """`00`, `+00` and longer runs of zeros are a plus, in every region."""

    @pytest.mark.parametrize(
        ("text", "region", "expected"),
        [
            pytest.param("0049 170 1234567", None, "491701234567", id="no region"),
            pytest.param("0049 170 1234567", "DE", "491701234567", id="a region that dials so"),
            pytest.param("0049 170 1234567", "US", "491701234567", id="a region that does not"),
            pytest.param("(0049) 170 1234567", None, "491701234567", id="in parentheses"),
            pytest.param("+00 49 170 1234567", "US", "491701234567", id="after a plus"),
            pytest.param("+ 0049 170 1234567", "US", "491701234567", id="after a plus and a space"),
            pytest.param("tel:0049-170-1234567", "US", "491701234567", id="after tel:"),
            pytest.param("00039 06 12345678", None, "390612345678", id="three zeros"),
            pytest.param("\uff10\uff10\uff14\uff19 170 1234567", None, "491701234567", id="full width"),
            pytest.param("011 49 170 1234567", "US", "491701234567", id="the region's own prefix"),
            pytest.param("0000", None, None, id="nothing else"),
            pytest.param("0000", "DE", None, id="nothing else, with a region"),
        ],
    )
    def test_mean_a_plus(self, text: str, region: str | None, expected: str | None) -> None:
        assert expected == e164_digits(text, region)

    @pytest.mark.parametrize(
        ("text", "region", "expected"),
        [
            pytest.param("0011 49 170 1234567", "AU", "491701234567", id="Australia's 0011"),
            pytest.param("0061 412 345 678", "AU", "61412345678", id="Australia, 00"),
            pytest.param("001 616 954 7888", "AU", "16169547888", id="Australia, 00 and what looks like 0016"),
            pytest.param("001 65 6123 4567", "SG", "6561234567", id="Singapore's 001"),
            pytest.param("0065 6123 4567", "SG", "6561234567", id="Singapore, 00 and what looks like 006"),
            pytest.param("001 616 954 7888", "SG", "16169547888", id="Singapore, 00"),
            pytest.param("0055 11 91234 5678", "BR", "5511912345678", id="Brazil, 00 and a carrier's 0055"),
            pytest.param("0021 1 650 253 0000", "BR", "16502530000", id="Brazil's 0021"),
            pytest.param("000 49 170 1234567", "KE", "491701234567", id="Kenya's 000"),
            pytest.param("+001 616 954 7888", "SG", "16169547888", id="a plus settles it"),
        ],
    )
    def test_leave_longer_prefixes_of_the_region(self, text: str, region: str, expected: str) -> None:
        """Where a region's own prefix starts with 00, the reading that gives a valid number counts."""
        assert expected == e164_digits(text, region)


class TestZeroInParentheses:
    """A `(0)` after the country code is not dialled from abroad, except where the country keeps its zero."""

    @pytest.mark.parametrize(
        ("text", "expected"),
        [
            pytest.param("+49 (0)170 1234567", "491701234567", id="Germany"),
            pytest.param("+49(0)170/1234567", "491701234567", id="no spaces"),
            pytest.param("0049 (0)170 1234567", "491701234567", id="zeros for the plus"),
            pytest.param("(+49) (0) 170 1234567", "491701234567", id="parentheses everywhere"),
            pytest.param("+44 (0)20 7946 0958", "442079460958", id="United Kingdom"),
            pytest.param("+48 (0)22 123 45 67", "48221234567", id="Poland has no prefix"),
            pytest.param("+7 (0)495 123 45 67", "74951234567", id="Russia's prefix is 8"),
            pytest.param("+1 (0)650 253 0000", "16502530000", id="the prefix of the US is 1"),
            pytest.param("+39 (0)6 12345678", "390612345678", id="Italian area code"),
            pytest.param("+39 (0)335 1234567", "393351234567", id="Italian mobile"),
            pytest.param("+225 (0)7 07 12 34 56", "2250707123456", id="Ivorian numbers start with zero"),
        ],
    )
    def test_example(self, text: str, expected: str) -> None:
        assert expected == e164_digits(text, None)


class TestCountryCodeWithoutPlus:
    """Meta's own form, digits only, is understood in the number's region."""

    @pytest.mark.parametrize(
        ("text", "region", "expected"),
        [
            pytest.param("491701234567", "DE", "491701234567", id="as a national number it would be valid too"),
            pytest.param("4917 0123 4567 ext. 8", "DE", "491701234567", id="with an extension"),
            pytest.param("6281234567890", "ID", "6281234567890", id="Indonesia"),
            pytest.param("16505551212", "US", "16505551212", id="United States"),
            pytest.param("04917 0123456", "DE", "4949170123456", id="the national prefix says national"),
            pytest.param("392 123 4567", "IT", "393921234567", id="a mobile that starts like the country code"),
            pytest.param("491701234567", "FR", None, id="another region"),
        ],
    )
    def test_example(self, text: str, region: str, expected: str | None) -> None:
        assert expected == e164_digits(text, region)


@pytest.mark.parametrize("text", ["+49 170 1234567", "0170 1234567", "10+00", "x", "", "(0)170", "+49 (0)170"])
def test_other_texts_are_left_as_they_are(text: str) -> None:
    assert text == international_form(text, "DE")


def test_all_regions_are_read_as_the_library_reads_them() -> None:
    """`make fuzz` does this fifty times over."""
    outcome = compare(seed=20, count=20_000)
    assert outcome.differences == []
    assert outcome.unstable == []


@given(near_phones, regions)
def test_any_text_is_read_as_the_library_reads_it(text: str, region: str | None) -> None:
    expected, _ = library_digits(international_form(text, region), region)
    assert expected == e164_digits(text, region)


@given(st.text(), regions)
def test_no_text_raises(text: str, region: str | None) -> None:
    digits = e164_digits(text, region)
    assert digits is None or (digits.isascii() and digits.isdigit() and len(digits) > 2)


@given(st.sampled_from(sorted(phonenumbers.SUPPORTED_REGIONS)), regions)
def test_normalizing_twice_changes_nothing(region: str, elsewhere: str | None) -> None:
    """
    What is valid stays what it is, whichever region the row names.

    The library guarantees no more: a number that is possible, not valid, can still start with a national
    prefix (`440685137438`), and each reading strips one.
    """
    example = phonenumbers.example_number(region)
    assert example is not None
    digits = e164_digits(phonenumbers.national_significant_number(example), region)
    assert digits is not None
    assert digits == e164_digits(f"+{digits}", elsewhere)
    assert digits == e164_digits(digits, region)


@given(st.from_regex(r"\+[1-9][0-9]{4,14}", fullmatch=True))
def test_what_is_settled_stays_so(text: str) -> None:
    """Also where the library would go on stripping national prefixes, one a reading."""
    if digits := e164_digits(text, None):
        once = settled(digits)
        again = e164_digits(f"+{once}", None)
        assert again in {None, once}


def test_a_number_that_is_possible_only_is_settled() -> None:
    assert settled("440685137438") == "44685137438"


def test_few_usual_texts_fall_back() -> None:
    """At most 5 of 100, so that the speed of the fast way is the speed."""
    texts = list(usual_texts(seed=5, count=5_000))
    assert sum(falls_back(text, region) for text, region in texts) <= 250
    assert sum(e164_digits(text, region) is None for text, region in texts) <= 250


def test_importing_loads_no_metadata() -> None:
    """A cold start that normalizes no phone does not pay for the library."""
    code = "import sys, lib.phone_numbers; sys.exit('phonenumbers' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
