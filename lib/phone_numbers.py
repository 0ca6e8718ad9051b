"""
Phone numbers in any usual form to their E.164 digits.

The decisions are libphonenumber's (`phonenumbers.parse`, then `is_possible_number`), on its own metadata,
about ten times as fast: the usual forms are read here, all others by the library itself. `make fuzz` compares
the two over a million texts in all regions. One step stands on top of the library, `international_form`.

The library and its metadata are loaded on first use, region by region, not when this module is imported.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

    from phonenumbers import PhoneMetadata
    from phonenumbers.phonemetadata import PhoneNumberDesc

    _Match = re.Match[str] | None

#: Stands for "not one of the usual forms": the library has to read this one.
_UNUSUAL: Final = ""

#: What the library takes for punctuation, without `x` and `~`, which can announce an extension.
_PUNCTUATION: Final = r" \-.()\[\]/"
_ASCII_PUNCTUATION: Final = b" -.()[]/"
_WIDE_PUNCTUATION: Final = r"\u00a0\u00ad\u200b\u2010-\u2015\u2060\u2212\u3000"
_PLUS: Final = "+\uff0b"


def _usual_form(plus: str, digit: str, punctuation: str, not_at_end: str) -> Callable[[str], _Match]:
    """
    Compile the usual forms; the arguments are insides of character classes.

    Group 1 is the plus, group 2 the number. What stands before and after them the library drops too. The bounds
    keep a match below the 250 characters that it takes.
    """
    return re.compile(
        rf"[^{plus}{digit};]{{0,20}}+"
        rf"([{plus}]{{0,3}}+)"
        rf"([{digit}{punctuation}]{{1,80}}+)"
        rf"(?:(?:;ext=|(?:[Ee]xt(?:n|ension)?|EXT|[Xx#])[:.]? ?)[{digit}]{{1,9}})?"
        rf"[^{not_at_end}]{{0,20}}"
    ).fullmatch


# Classes of ASCII characters only are faster.
_ascii_form = _usual_form("+", "0-9", _PUNCTUATION, "0-9A-Za-z_#")
_wide_form = _usual_form(_PLUS, r"\d", _PUNCTUATION + _WIDE_PUNCTUATION, r"\w#")
_has_digit = re.compile(r"\d").search
_without_others = re.compile(r"\D+").sub

_NOT_DIGITS: Final = bytes(set(range(128)) - set(b"0123456789"))

#: Longer texts, and national numbers of other lengths, are no numbers for the library.
_LONGEST_TEXT: Final = 250
#: What stands before the number in one of the usual forms can be as long.
_SHORT_TEXT: Final = 20
_LENGTHS: Final = frozenset(range(2, 18))
#: Stands for a prefix that a region does not have.
_NO_MATCH: Final = "NonMatch"

_ZERO: Final = "0\uff10\u0660\u06f0"
# Group 1 is the plus, if there is one.
_leading_zeros = re.compile(rf"[^{_PLUS}\d]*+([{_PLUS}]*+)(?:[^\w{_PLUS}]*[{_ZERO}]{{2,}})+").match
# Group 1 is the country code, group 2 the zero in parentheses.
_zero_in_parentheses = re.compile(rf"[^{_PLUS}\d]*+[{_PLUS}]++\D*?(\d{{1,3}})[^\w{_PLUS}]*?(\(0\))").match


@dataclass(frozen=True, slots=True, kw_only=True)
class _Plan:
    """A region's numbering plan: those parts of its metadata that reading a number needs, compiled."""

    country_code: str
    code_length: int
    #: The country code where national numbers have a prefix, so that they cannot be taken for it.
    bare_code: str
    international_prefix: Callable[[str], _Match]
    #: Starts each text that the prefix matches: the prefix itself, or "" where that is a pattern.
    international_start: str
    national_prefix: Callable[[str], _Match]
    national_start: str
    #: Whether its national prefix is that of the main country with its code, so that what is read by it is settled.
    settles: bool
    #: What takes the place of the national prefix where that has captured something: `9\1` in Argentina.
    transform: str
    is_national_number: Callable[[str], _Match]
    possible_lengths: frozenset[int]
    #: Those that numbers without their area code do not have.
    whole_lengths: frozenset[int]
    #: Lengths of numbers without their area code.
    local_lengths: frozenset[int]
    longest: int
    #: Lengths that make a number possible. Countries that share a code are all measured by the main one.
    accepted_lengths: frozenset[int]


def e164_digits(text: str, region: str | None) -> str | None:
    """
    Return the E.164 digits, without the plus, of the number in *text*; None if it cannot be a number.

    *region* is the ISO 3166 alpha-2 code, in upper case, of the country whose national form *text* may be in.
    Without one, or with an unknown one, only international forms are understood.
    """
    return _plain_number(text, region) or _e164_digits(text, region)


def settled_digits(text: str, region: str | None) -> str | None:
    """Return the `e164_digits` of *text*, `settled`."""
    if plain := _plain_number(text, region):
        return plain
    digits = _e164_digits(text, region)
    return settled(digits) if digits else None


def _plain_number(text: str, region: str | None) -> str:
    """
    Return the E.164 digits, settled, of a number written in one of the commonest ways; `""` if it is another.

    Digits with ASCII punctuation, in an international form or as they are dialled at home, where the one cannot be
    mistaken for the other. All else, and what is no number, is left to `_read`, which says the same of these too, in
    twice the time.
    """
    if len(text) > _SHORT_TEXT or not text.isascii():
        return ""
    has_plus = text.startswith("+")
    digits = text[1:] if has_plus else text
    if not digits.isdigit():
        bare = digits.encode().translate(None, _ASCII_PUNCTUATION)
        if not bare.isdigit():
            return ""
        digits = bare.decode()
    if has_plus:
        return _plain_abroad(text, digits)
    home = _plan_of_region(region)
    # Of two digits the library makes no number, whatever the country.
    return _plain_at_home(text, digits, home) if home is not None and home.settles and len(digits) > 2 else ""


def _plain_abroad(text: str, digits: str) -> str:
    """Read *digits*, which start with a country code."""
    plan = _plan_of_country_code(digits[:3])
    if plan is None or ("(0)" in text and not plan.national_prefix("0")):
        return ""
    return _plain_of(plan, digits[plan.code_length :])


def _plain_at_home(text: str, digits: str, home: _Plan) -> str:
    """Read *digits*, which have no plus, if they are a number at home or abroad, and not both."""
    if digits.startswith(home.international_start) and home.international_prefix(digits):
        is_plus = home.international_start == "00" and text.startswith("00") and digits[2:3] != "0"
        return _plain_abroad(text, digits[2:]) if is_plus else ""
    if digits.startswith("00"):
        return _plain_abroad(text, digits[2:]) if text.startswith("00") and digits[2:3] != "0" else ""
    if digits.startswith(home.country_code):
        is_abroad = home.is_national_number(digits[home.code_length :]) and not home.is_national_number(digits)
        return _plain_abroad(text, digits) if is_abroad else ""
    return _plain_of(home, digits)


def _plain_of(plan: _Plan, number: str) -> str:
    """Return the E.164 digits of a national *number*, with or without a prefix that nothing takes the place of."""
    if number.startswith(plan.national_start) and (prefix := plan.national_prefix(number)):
        number = number[prefix.end() :]
        is_whole = len(number) in plan.whole_lengths and plan.is_national_number(number)
        has_another = number.startswith(plan.national_start) and plan.national_prefix(number)
        if not is_whole or has_another or (plan.transform and prefix.lastindex):
            return ""
    return plan.country_code + number if len(number) in plan.accepted_lengths else ""


def _e164_digits(text: str, region: str | None) -> str | None:
    digits = _read(text, region)
    return _read_by_library(international_form(text, region), region) if digits == _UNUSUAL else digits


def settled(digits: str) -> str:
    """
    Return the E.164 digits in which reading *digits* (with a plus) again and again ends.

    The library strips one national prefix a reading from numbers that are possible without being valid, so that its
    own answer can change when it is read once more. A valid number stays as it is.
    """
    plan = _plan_of_country_code(digits[:3])
    if plan is None or not digits.startswith(plan.national_start, plan.code_length):
        return digits
    while True:
        again = _possible(plan, digits[plan.code_length :])
        if again is None or again == digits:
            break
        digits = again
    return digits


def falls_back(text: str, region: str | None) -> bool:
    """Tell whether *text* is in no usual form, so that the library reads it, at ten times the cost."""
    return _read(text, region) == _UNUSUAL


def international_form(text: str, region: str | None = None) -> str:
    """
    Return *text* with one way of writing for what the library would read in one country only.

    - `00`, `+00` and longer runs of zeros become `+`, in every region. Some regions dial abroad with a longer
      prefix that starts so (`0011` in Australia, `001` in Singapore): it is left to the library where only
      that reading gives a possible number, or a valid one if both are possible.
    - A `(0)` after the country code is for callers inside the country. Where zero is the national prefix
      (`+49 (0)170`, `+44 (0)20`) the library drops it; where it is not, the library keeps it as a digit.
      That is right for `+39 (0)6`, since Italian area codes keep their zero abroad, and wrong for
      `+48 (0)22` or `+39 (0)335`. So it goes where the number is possible, or valid, only without it.
    - Meta's own form has no plus. With the region of the number the library understands that, save where the
      digits could be a national number too: it reads `4915112345678` as the German `(0491) 5112345678`.
      Such a number is written with its national prefix; so without one, the country code is what it seems
      to be, if that gives a valid number.
    """
    text = _rewritten(text, region)
    usual = (_ascii_form if text.isascii() else _wide_form)(text)
    home = _plan_of_region(region)
    if usual is not None and not usual[1] and home is not None and _lacks_plus(_digits(usual[2]), home):
        return f"{text[: usual.start(2)]}+{text[usual.start(2) :]}"
    return text


def _rewritten(text: str, region: str | None) -> str:
    if len(text) > _LONGEST_TEXT:
        return text
    zeros = _leading_zeros(text)
    if zeros is not None:
        form = f"{text[: zeros.start(1)]}+{text[zeros.end() :]}"
        if not zeros[1] and _reads_otherwise(text, form, region):
            return text
        text = form
    if "(0)" in text:
        zero = _zero_in_parentheses(text)
        if zero is not None and _keeps_zero(zero[1]):
            without = text[: zero.start(2)] + text[zero.end() :]
            return without if _is_better(without, text, region) else text
    return text


def _reads_otherwise(text: str, form: str, region: str | None) -> bool:
    """Tell whether *text* is a number only as *region* itself dials abroad: with `00` and more digits."""
    home = _plan_of_region(region)
    if home is None or home.international_start == "00":
        return False
    prefix = home.international_prefix(_digits(text))
    return prefix is not None and prefix.end() > 2 and _is_better(text, form, region)


def _is_better(text: str, other: str, region: str | None) -> bool:
    """Tell whether only *text*, as it stands, is a possible number; or only it a valid one, if both are."""
    digits, other_digits = (_read_form(form, region) for form in (text, other))
    if digits is None or other_digits is None:
        return digits is not None
    return _is_valid(digits) and not _is_valid(other_digits)


def _lacks_plus(digits: str, home: _Plan) -> bool:
    """Tell whether only a plus keeps *digits*, which start with the code of *home*, from being understood."""
    return (
        digits.startswith(home.bare_code)
        and home.is_national_number(digits) is not None
        and _read(f"+{digits}", None) == digits
        and _is_valid(digits)
    )


def _keeps_zero(country_code: str) -> bool:
    """Tell whether the library takes a zero after *country_code* for a digit of the number."""
    plan = _plan_of_country_code(country_code)
    return plan is not None and plan.country_code == country_code and plan.national_prefix("0") is None


def _digits(written: str) -> str:
    """Return the digits in *written*, of whatever script, as ASCII."""
    if written.isascii():
        # Several times as fast as str.translate.
        return written.encode().translate(None, _NOT_DIGITS).decode()
    digits = _without_others("", written)
    # int() reads the digits of all scripts; the 1 keeps the leading zeros.
    return digits if digits.isascii() else str(int(f"1{digits}"))[1:]


def _read(text: str, region: str | None, *, is_rewritten: bool = False) -> str | None:
    """Read the `international_form` of *text* as the library would, if that is a usual form; else `_UNUSUAL`."""
    usual = (_ascii_form if text.isascii() else _wide_form)(text)
    if usual is None:
        return _UNUSUAL if _has_digit(text) else None
    plus, written = usual.groups()
    digits = written if written.isdigit() and written.isascii() else _digits(written)
    if (digits.startswith("00") or "(0)" in written) and not is_rewritten:
        return _read(_rewritten(text, region), region, is_rewritten=True)
    if len(digits) < 3:
        return _UNUSUAL
    if plus:
        plan = _plan_of_country_code(digits[:3])
        # The library takes an unknown country code as a chance to read a national number.
        return _UNUSUAL if plan is None else _possible(plan, digits[plan.code_length :])
    home = _plan_of_region(region)
    return None if home is None else _read_from(home, digits)


def _read_form(form: str, region: str | None) -> str | None:
    digits = _read(form, region, is_rewritten=True)
    return _read_by_library(form, region) if digits == _UNUSUAL else digits


def _read_from(home: _Plan, digits: str) -> str | None:
    """Read *digits* as someone at *home* would dial them, or write them without a plus."""
    if digits.startswith(home.international_start):
        prefix = home.international_prefix(digits)
        # "Only strip this if the first digit after the match is not a 0, since country calling codes cannot
        # begin with 0." -- phonenumbers.phonenumberutil._parse_prefix_as_idd
        if prefix is not None and not digits.startswith("0", prefix.end()):
            abroad = digits[prefix.end() :]
            plan = _plan_of_country_code(abroad[:3]) if len(abroad) > 2 else None
            return None if plan is None else _possible(plan, abroad[plan.code_length :])
    if digits.startswith(home.country_code):
        rest = digits[home.code_length :]
        is_international = _lacks_plus(digits, home)
        if not is_international:
            rest = _without_national_prefix(home, rest)
            is_international = (len(digits) > home.longest and len(digits) not in home.local_lengths) or bool(
                home.is_national_number(rest) and not home.is_national_number(digits)
            )
        if is_international:
            main = _plan_of_country_code(home.country_code)
            return None if main is None else _possible(main, rest)
    return _possible(home, digits)


def _possible(plan: _Plan, number: str) -> str | None:
    """Return the E.164 digits of the national *number* if its length is a possible one."""
    if number.startswith(plan.national_start) and len(number) > 1:
        stripped = _without_national_prefix(plan, number)
        length = len(stripped)
        if (length in plan.possible_lengths or length > plan.longest) and length not in plan.local_lengths:
            number = stripped
    return plan.country_code + number if len(number) in plan.accepted_lengths else None


def _without_national_prefix(plan: _Plan, number: str) -> str:
    """Strip the national prefix unless that would turn a national number into none."""
    prefix = plan.national_prefix(number)
    if prefix is None or not number:
        return number
    if plan.transform and prefix[prefix.re.groups] is not None:
        stripped = prefix.re.sub(plan.transform, number, count=1)
    else:
        stripped = number[prefix.end() :]
    if plan.is_national_number(stripped) or not plan.is_national_number(number):
        return stripped
    return number


def _read_by_library(text: str, region: str | None) -> str | None:
    import phonenumbers  # noqa: PLC0415 - on first use

    try:
        number = phonenumbers.parse(text, region)
    except phonenumbers.NumberParseException:
        return None
    if not phonenumbers.is_possible_number(number):
        return None
    return phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164).removeprefix("+")


def _is_valid(digits: str) -> bool:
    """Tell whether *digits*, which are E.164, are in use somewhere, as far as the library knows."""
    plan = _plan_of_country_code(digits[:3])
    if plan is None:
        return False
    number = digits[plan.code_length :]
    for is_of_region, is_in_use in _regions_of(plan.country_code):
        if is_of_region is None:
            if is_in_use(number):
                return True
        elif is_of_region(number):
            return is_in_use(number)
    return False


@cache
def _regions_of(country_code: str) -> tuple[tuple[Callable[[str], _Match] | None, Callable[[str], bool]], ...]:
    """Return for each region of *country_code*, where it says, how its numbers start, and what is a valid one."""
    import phonenumbers  # noqa: PLC0415 - on first use

    regions = []
    codes = phonenumbers.COUNTRY_CODE_TO_REGION_CODE[int(country_code)]
    for region in codes:
        metadata = phonenumbers.PhoneMetadata.metadata_for_region_or_calling_code(int(country_code), region)
        if metadata is not None:
            leading = metadata.leading_digits if len(codes) > 1 else None
            regions.append((re.compile(leading).match if leading else None, _in_use(metadata)))
    return tuple(regions)


def _in_use(metadata: PhoneMetadata) -> Callable[[str], bool]:
    """Return what tells whether a national number is valid: of the general form, and of that of some kind of number."""
    kinds = (
        *(metadata.mobile, metadata.fixed_line, metadata.toll_free, metadata.premium_rate, metadata.shared_cost),
        *(metadata.voip, metadata.personal_number, metadata.pager, metadata.uan, metadata.voicemail),
    )
    general, *forms = (
        (frozenset(kind.possible_length), re.compile(kind.national_number_pattern).fullmatch)
        for kind in (metadata.general_desc, *kinds)
        if kind is not None and kind.national_number_pattern
    )

    def fits(number: str, form: tuple[frozenset[int], Callable[[str], _Match]]) -> bool:
        lengths, is_of_form = form
        return (not lengths or len(number) in lengths) and is_of_form(number) is not None

    return lambda number: fits(number, general) and any(fits(number, form) for form in forms)


@cache
def _plan_of_region(region: str | None) -> _Plan | None:
    """Return the plan of *region*, None if there is none or the library does not know it."""
    import phonenumbers  # noqa: PLC0415 - on first use

    if region is None or region not in phonenumbers.SUPPORTED_REGIONS:
        return None
    return _plan(phonenumbers.country_code_for_region(region), region)


@cache
def _plan_of_country_code(digits: str) -> _Plan | None:
    """Return the plan of the main country whose code *digits*, of which three are enough, start with."""
    import phonenumbers  # noqa: PLC0415 - on first use

    if digits.startswith("0"):
        return None
    for length in range(1, len(digits) + 1):
        code = int(digits[:length])
        if code in phonenumbers.COUNTRY_CODE_TO_REGION_CODE:
            return _plan(code, phonenumbers.region_code_for_country_code(code))
    return None


@cache
def _plan(country_code: int, region: str) -> _Plan:
    import phonenumbers  # noqa: PLC0415 - on first use

    def metadata_of(region: str) -> tuple[PhoneMetadata, PhoneNumberDesc]:
        metadata = phonenumbers.PhoneMetadata.metadata_for_region_or_calling_code(country_code, region)
        if metadata is None or metadata.general_desc is None:
            raise LookupError(region)  # the library's types allow it, its data do not
        return metadata, metadata.general_desc

    metadata, general = metadata_of(region)
    main, measure = metadata_of(phonenumbers.region_code_for_country_code(country_code))
    international = metadata.international_prefix or _NO_MATCH
    national = metadata.national_prefix_for_parsing or _NO_MATCH
    return _Plan(
        country_code=str(country_code),
        code_length=len(str(country_code)),
        bare_code=str(country_code) if metadata.national_prefix else _NO_MATCH,
        international_prefix=re.compile(international).match,
        international_start=international if international.isalnum() else "",
        national_prefix=re.compile(national).match,
        national_start=national if national.isalnum() else "",
        settles=metadata.national_prefix_for_parsing == main.national_prefix_for_parsing,
        transform=metadata.national_prefix_transform_rule or "",
        is_national_number=re.compile(general.national_number_pattern or _NO_MATCH).fullmatch,
        possible_lengths=frozenset(general.possible_length),
        whole_lengths=frozenset(general.possible_length) - frozenset(general.possible_length_local_only),
        local_lengths=frozenset(general.possible_length_local_only),
        longest=general.possible_length[-1],
        accepted_lengths=frozenset((*measure.possible_length, *measure.possible_length_local_only)) & _LENGTHS,
    )
