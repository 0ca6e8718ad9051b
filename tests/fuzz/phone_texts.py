"""
Phone numbers as text: `usual_texts` as people, forms and exports write them, `phone_texts` anything near.

Both give text and region, and the same ones for the same seed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache
from random import Random

import phonenumbers
from phonenumbers import PhoneMetadata, PhoneNumberFormat, PhoneNumberType

Edit = Callable[[Random, str], str]

REGIONS: tuple[str | None, ...] = (*sorted(phonenumbers.SUPPORTED_REGIONS), None)

_FORMATS = (
    PhoneNumberFormat.E164,
    PhoneNumberFormat.INTERNATIONAL,
    PhoneNumberFormat.NATIONAL,
    PhoneNumberFormat.RFC3966,
)
_SEPARATORS = (
    "",
    " ",
    "-",
    ".",
    "/",
    " - ",
    "\u00a0",
    "\u2013",
    "\u2011",
    "\u200b",
    "\t",
    "~",
    "_",
    ",",
    "*",
    ")",
    "(",
)
_STARTS = (
    "+",
    "00",
    "+00",
    "000",
    "0",
    "1",
    "8",
    "06",
    "(0)",
    "+ ",
    "++",
    "\uff0b",
    "011",
    "0011",
    "001",
    "810",
    "010",
)
_JUNK = ("tel:", "Tel. ", " ", "(", "phone ", "\u202a", "'", "\n", "1) ", "T:", "TEL;", "#", "*", ":")
_ENDS = (
    " ",
    ".",
    ")",
    "\u202c",
    "\n",
    " (home)",
    "#",
    "/",
    "_",
    ";",
    " or 2",
    "/x2",
    " x",
    "+",
    "\u00b2",
    "-",
)
_EXTENSIONS = (
    *(
        " x{}",
        "x{}",
        " ext. {}",
        " ext {}",
        "ext{}",
        ";ext={}",
        " #{}",
        "#{}",
        ", {}",
        ",,{}",
        ";{}",
        " - {}#",
        " X {}",
    ),
    *(
        " extension {}",
        " Extn: {}",
        "xt{}",
        " int {}",
        " anexo {}",
        "~{}",
        " EXT.{}",
        "\uff58{}",
        " доб. {}",
        "x{}/x1",
    ),
    *(
        "; ext={}",
        ";isub={}",
        ";phone-context=+{}",
        ";phone-context=a.com;ext={}",
        " /x{}",
        "ext..{}",
        "x.{}#",
    ),
)
_OTHER_DIGITS = ("\uff10", "\u0660", "\u06f0", "\u0966")
_INSERTS = "0123456789+-.()/ xX#;,~*aBcext\u00e9\uff0b\uff10\u0661\u00a0\u200b\u2013\n"


@cache
def _numbers() -> tuple[tuple[str, str | None], ...]:
    """Return an example of each kind of number of each region, as the library formats it, and the region."""
    pool: list[tuple[str, str | None]] = []
    kinds = sorted(PhoneNumberType.values())
    for region in sorted(phonenumbers.SUPPORTED_REGIONS):
        examples = [phonenumbers.example_number_for_type(region, kind) for kind in kinds]
        for number in filter(None, examples):
            pool += [(phonenumbers.format_number(number, form), region) for form in _FORMATS]
            pool.append((phonenumbers.national_significant_number(number), region))
    for code in sorted(phonenumbers.COUNTRY_CODES_FOR_NON_GEO_REGIONS):
        worldwide = phonenumbers.example_number_for_non_geo_entity(code)
        if worldwide is not None:
            pool += [(phonenumbers.format_number(worldwide, form), None) for form in _FORMATS]
    return tuple(pool)


@cache
def _country_codes() -> tuple[int, ...]:
    return tuple(sorted(phonenumbers.COUNTRY_CODE_TO_REGION_CODE))


def _respaced(random: Random, text: str) -> str:
    digits = "".join(filter(str.isdigit, text))
    separator = random.choice(_SEPARATORS)
    plus = "+" if text.startswith("+") else ""
    return plus + "".join(d + (separator if random.random() < 0.3 else "") for d in digits)


def _restarted(random: Random, text: str) -> str:
    return random.choice(_STARTS) + text.lstrip("+0" if random.random() < 0.5 else "+")


def _with_trunk_zero(random: Random, text: str) -> str:
    at = text.find(" ") if " " in text else min(random.randint(2, 4), len(text))
    return f"{text[:at]}{random.choice((' (0)', '(0)', ' (0) ', ' 0', '0'))}{text[at:].lstrip()}"


def _with_junk(random: Random, text: str) -> str:
    return random.choice(_JUNK) + text


def _with_end(random: Random, text: str) -> str:
    return text + random.choice(_ENDS)


def _with_extension(random: Random, text: str) -> str:
    digits = "".join(random.choices("0123456789", k=random.choice((1, 2, 3, 3, 4, 5, 7, 9, 10, 16, 21))))
    return text + random.choice(_EXTENSIONS).format(digits)


def _in_other_digits(random: Random, text: str) -> str:
    zero = ord(random.choice(_OTHER_DIGITS))
    share = random.choice((0.2, 1.0))
    return "".join(chr(zero + int(c)) if "0" <= c <= "9" and random.random() < share else c for c in text)


def _truncated(random: Random, text: str) -> str:
    at = random.randint(0, len(text))
    return text[at:] if random.random() < 0.4 else text[:at]


def _with_insert(random: Random, text: str) -> str:
    at = random.randint(0, len(text))
    return text[:at] + random.choice(_INSERTS) * random.choice((1, 1, 1, 2, 3)) + text[at:]


def _with_other_digits(random: Random, text: str) -> str:
    return "".join(random.choice("0123456789") if c.isdigit() and random.random() < 0.3 else c for c in text)


def _with_letters(random: Random, text: str) -> str:
    at = random.randint(0, len(text))
    return text[:at] + "".join(random.choices("ABCXYZabcxyz", k=random.randint(1, 7)))


def _twice(random: Random, text: str) -> str:
    return text + random.choice(("", " ", "/", " / ", ", ", ";", "\n")) + text


#: Some twice, to come twice as often.
_EDITS: tuple[Edit, ...] = (
    *(_respaced, _respaced, _restarted, _restarted, _with_trunk_zero, _with_junk, _with_end, _with_extension),
    *(_in_other_digits, _truncated, _with_insert, _with_insert, _with_other_digits, _with_other_digits),
    *(_with_letters, _twice),
)


def _made_up(random: Random, region: str | None) -> str:
    """Return digits that follow a code of some country, or the prefix and the code of *region* itself."""
    digits = "".join(random.choices("0123456789", k=random.randint(0, 15)))
    if region is None or random.random() < 0.5:
        return f"{random.choice(('+', '+', '00', ''))}{random.choice(_country_codes())}{digits}"
    metadata = PhoneMetadata.metadata_for_region(region)
    code = str(phonenumbers.country_code_for_region(region))
    national = (metadata.national_prefix if metadata else None) or ""
    abroad = (metadata.preferred_international_prefix or metadata.international_prefix if metadata else None) or ""
    return random.choice(
        (f"{code}{digits}", f"{national}{digits}", f"{abroad}{code}{digits}", f"{code}{national}{digits}")
    )


def phone_texts(seed: int, count: int) -> Iterator[tuple[str, str | None]]:
    """Yield *count* texts, each with the region that its row names."""
    random = Random(seed)
    numbers = _numbers()
    for _ in range(count):
        text, region = random.choice(numbers)
        chance = random.random()
        if chance < 0.25:
            region = random.choice(REGIONS)
        elif chance < 0.35:
            region = None
        if random.random() < 0.15:
            text = _made_up(random, region)
        for _ in range(random.choice((0, 1, 1, 2, 2, 3, 4))):
            text = random.choice(_EDITS)(random, text)
        yield text, region


#: How many of a hundred rows are of each market.
_MARKETS = {
    market: rows
    for rows, markets in (
        (30, ("US",)),
        (14, ("DE",)),
        (9, ("GB",)),
        (7, ("FR",)),
        (5, ("BR", "ES", "IT")),
        (4, ("MX",)),
        (3, ("AU", "CA", "JP", "NL", "PL")),
        (2, ("AT", "CH", "IN", "SE", "TR")),
    )
    for market in markets
}
_JUNK_CELLS = ("unknown", "n/a", "-", "123", "0000", "call me", "12345")
#: How many of a thousand are written so, from the number's E.164, international and national form.
_WRITINGS: tuple[tuple[int, Callable[[str, str, str], str]], ...] = (
    (300, lambda e164, _i, _n: e164),
    (120, lambda _e, abroad, _n: abroad),
    (180, lambda _e, _i, home: home),
    (120, lambda _e, _i, home: "".join(filter(str.isdigit, home))),
    (50, lambda e164, _i, _n: e164[1:]),
    (40, lambda _e, abroad, _n: "00" + abroad[1:]),
    (30, lambda _e, _i, home: home.replace(" ", ".").replace("-", ".")),
    # Nobody writes +1 (0).
    (30, lambda _e, abroad, _n: abroad if abroad.startswith("+1 ") else abroad.replace(" ", " (0)", 1)),
    (5, lambda _e, _i, home: home + " x12"),
    (10, lambda _e, _i, home: home + " ext. 345"),
    (5, lambda _e, _i, home: home + "#9"),
    (20, lambda e164, _i, _n: "tel:" + e164),
    (15, lambda _e, _i, home: home.replace(" ", "-") + " "),
    (15, lambda _e, abroad, _n: " " + abroad),
    (15, lambda _e, abroad, _n: abroad.replace(" ", "\u00a0")),
    (10, lambda e164, _i, _n: "".join(chr(0xFF10 + int(c)) if c.isdigit() else c for c in e164)),
    (20, lambda _e, abroad, _n: f"\u202a{abroad}\u202c"),
)


def usual_texts(seed: int, count: int) -> Iterator[tuple[str, str]]:
    """Yield *count* numbers of eighteen markets in their usual forms, with a little junk."""
    random = Random(seed)
    examples = {
        (region, kind): number
        for region in _MARKETS
        for kind in (PhoneNumberType.MOBILE, PhoneNumberType.FIXED_LINE)
        if (number := phonenumbers.example_number_for_type(region, kind)) is not None
    }
    weights = [weight for weight, _ in _WRITINGS]
    writings = [writing for _, writing in _WRITINGS]
    for region in random.choices(list(_MARKETS), list(_MARKETS.values()), k=count):
        if random.random() < 0.015:
            yield random.choice(_JUNK_CELLS), region
            continue
        kind = random.choice((PhoneNumberType.MOBILE, PhoneNumberType.MOBILE, PhoneNumberType.FIXED_LINE))
        example = examples[region, kind]
        # The first digits say what kind of number it is, the others are anybody's.
        digits = str(example.national_number)
        digits = digits[:5] + "".join(random.choices("0123456789", k=len(digits) - 5))
        number = phonenumbers.PhoneNumber(
            country_code=example.country_code,
            national_number=int(digits),
            italian_leading_zero=example.italian_leading_zero,
        )
        (writing,) = random.choices(writings, weights)
        e164, abroad, home = (phonenumbers.format_number(number, form) for form in _FORMATS[:3])
        yield writing(e164, abroad, home), region
