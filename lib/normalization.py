"""
The normal form of each identifier: what is hashed, so that a person has one hash everywhere.

A rule takes a text without surrounding space and not blank, and gives its normal form; `""` means that the
value says nothing, `UnusableValueError` that it cannot be used. Normalizing a normal form changes nothing.

The rules are Meta's, and where its pages disagree with each other, this project's; both are told apart beside each.
-- https://developers.facebook.com/docs/marketing-api/conversions-api/parameters/customer-information-parameters
-- https://developers.facebook.com/docs/marketing-api/audiences/guides/custom-audiences
"""

from __future__ import annotations

import re
import string
import unicodedata
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import date
from functools import cache
from typing import Final, Literal

from lib import regions
from lib.phone_numbers import settled_digits

DateOrder = Literal["mdy", "dmy"]


class UnusableValueError(ValueError):
    """A value that cannot be used; the message is the reason, and never holds the value."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """
    How a connection wants its identifiers read.

    Args:
        today: The last day on which somebody can be born.
        default_country: ISO 3166-1 alpha-2, lower case; for phones and ZIP codes of rows that state no country.
        date_order: How a date such as `05/03/1995` is read.
        hash_external_id: False sends EXTERN_ID as it is.
        name_spaces: Whether inner spaces of names stay (single) or go.
        city_marks: Whether the accents of cities stay or go.
        gender_words: Further words for `f` and `m`, lower case.
    """

    today: date
    default_country: str | None = None
    date_order: DateOrder = "mdy"
    hash_external_id: bool = True
    name_spaces: Literal["keep", "drop"] = "keep"
    city_marks: Literal["keep", "strip"] = "keep"
    gender_words: Mapping[str, str] = field(default_factory=dict)


@dataclass(slots=True)
class Context:
    """
    What a rule may look at beside its text.

    Args:
        settings: The connection's.
        country: The row's own country, alpha-2 in lower case; None where it states none.
        doubts: What a rule was unsure of, for a warning; the rules add to it.
    """

    settings: Settings
    country: str | None = None
    doubts: set[str] = field(default_factory=set)


Rule = Callable[[str, Context], str]

#: What forms, data layers and exports write where there is nothing.
BLANKS: Final = frozenset({"", "undefined", "null", "none", "nan", "(not set)", "[object object]"})
BLANK_LENGTHS: Final = frozenset(map(len, BLANKS))
_LONGEST_BLANK: Final = max(BLANK_LENGTHS)


#: Spaces, and what cannot be seen: zero-width spaces and joiners, direction marks, the byte order mark.
def _edges(end: int = 0x10000) -> str:
    return "".join(
        chr(point) for point in range(end) if chr(point).isspace() or (unicodedata.category(chr(point)) in {"Cc", "Cf"})
    )


ASCII_EDGES: Final = _edges(0x80)
#: All of them are looked up when a text first needs it: that takes longer than all else at import.
_all_edges = cache(_edges)


def clean(text: str) -> str:
    """Return *text* in NFC without surrounding space, seen or unseen; `""` if it says nothing."""
    if text.isascii():
        text = text.strip(ASCII_EDGES)
        return "" if len(text) in BLANK_LENGTHS and text.lower() in BLANKS else text
    text = unicodedata.normalize("NFC", text).strip(_all_edges())
    return "" if len(text) <= _LONGEST_BLANK and text.casefold() in BLANKS else text


#: Letters to Unicode, apostrophes to those who write them: O'Brien has one hash, whichever of them a form lets through.
_LETTER_APOSTROPHES: Final = frozenset("ʹʻʼʽˈ")


class _Keep(dict[int, int | str | None]):
    """
    A translation table that learns, code point by code point, what stays; the rest is deleted.

    Decimal digits of every script become ASCII. Of marks those stay that belong to letters: not the circle of a
    keycap, nor the selector that gives an emoji its colours.
    """

    def __init__(self, categories: str, *, space: str | None = None) -> None:
        super().__init__()
        self._categories = categories
        self._space = space

    def __missing__(self, point: int) -> int | str | None:
        self[point] = kept = self._kept(point, chr(point))
        return kept

    def _kept(self, point: int, sign: str) -> int | str | None:
        category = unicodedata.category(sign)
        if category[0] == "Z" or sign.isspace():
            return self._space
        if category[0] not in self._categories or category == "Me" or sign in _LETTER_APOSTROPHES:
            return None
        if category == "Mn" and "VARIATION SELECTOR" in unicodedata.name(sign, ""):
            return None
        return ord("0") + unicodedata.decimal(sign) if category == "Nd" else point


_LETTERS: Final = _Keep("LM")
_LETTERS_AND_DIGITS: Final = _Keep("LMN")
_NAME: Final = _Keep("LMN", space=" ")
_ASCII_PUNCTUATION: Final = string.punctuation.encode() + bytes(range(0x20)).translate(None, b"\t\n\v\f\r") + b"\x7f"
_ASCII_NOT_LETTERS: Final = bytes(set(range(0x80)) - set(string.ascii_letters.encode()))
_ASCII_NOT_LETTERS_OR_DIGITS: Final = _ASCII_NOT_LETTERS.translate(None, string.digits.encode())


def _filtered(text: str, kept: _Keep) -> str:
    """
    Return *text* in lower case with only what *kept* keeps, its words with one space between.

    It is composed again, since a mark may have lost its sign; words of marks alone, once an emoji's, go too.
    """
    text = unicodedata.normalize("NFC", text.lower())
    if text.isalpha() and _LETTER_APOSTROPHES.isdisjoint(text):
        return text
    words = unicodedata.normalize("NFC", text.translate(kept)).split()
    return " ".join([word for word in words if word.isalnum() or any(map(str.isalnum, word))])


def _required(normal: str, reason: str) -> str:
    """Return *normal*; `""` where it says nothing after all, as `(null)` without its signs does."""
    if not normal:
        raise UnusableValueError(reason)
    return "" if len(normal) in BLANK_LENGTHS and normal in BLANKS else normal


@cache
def _one_at() -> re.Pattern[str]:
    no_space = rf"[^@{re.escape(_all_edges())}]+"
    return re.compile(f"{no_space}@{no_space}")


def email(text: str, _context: Context) -> str:
    """Trim and lower case; nothing else: Meta does not drop dots or tags of Gmail addresses."""
    if text.isascii():
        if text.count("@") == 1 and "@" in text[1:-1] and " " not in text and text.isprintable():
            return text.lower()
    elif _one_at().fullmatch(text):
        return unicodedata.normalize("NFC", text.lower())
    raise UnusableValueError("not an e-mail address")


#: E.164 has at most 15 digits; fewer than 7 are no subscriber anywhere.
_POSSIBLE_DIGITS: Final = range(7, 16)
_is_international = re.compile(r"[^\d+＋]*(?:[+＋]|[0０]{2})").match


def phone(text: str, context: Context) -> str:
    """
    Digits with the country code and without `+`: "must always include country code".

    The international form wins, then the row's country, then the connection's; a possible number is enough.
    """
    country = context.country or context.settings.default_country
    if country is None and not _is_international(text):
        digits = "".join(str(unicodedata.digit(sign)) for sign in text if sign.isdecimal()).lstrip("0")
        if len(digits) not in _POSSIBLE_DIGITS:
            raise UnusableValueError("not a phone number")
        context.doubts.add("no country is known for some numbers; they are taken to start with their country code")
        return digits
    number = settled_digits(text, country.upper() if country else None)
    if number is None:
        raise UnusableValueError("not a phone number")
    return number


def name(text: str, context: Context) -> str:
    """Lower case without punctuation and symbols; letters of every script, "special characters in UTF-8"."""
    if text.isascii():
        if text.isalpha():
            return text.lower()
        normal = _without_ascii_punctuation(text)
    else:
        normal = _filtered(text, _NAME)
    if context.settings.name_spaces == "drop":
        # A mark at the start of a word finds a letter before it now.
        normal = unicodedata.normalize("NFC", normal.replace(" ", ""))
    return _required(normal, "no letters in it")


def _without_ascii_punctuation(text: str) -> str:
    return " ".join(text.lower().encode().translate(None, _ASCII_PUNCTUATION).decode().split())


def first_initial(text: str, context: Context) -> str:
    """The first letter of the name."""
    normal = name(text, context)
    return normal and _required(next(filter(str.isalpha, normal), ""), "no letters in it")


def city(text: str, context: Context) -> str:
    """Letters only: "lowercase, no punctuation, no special characters, no spaces"; marks stay, unless set otherwise."""
    if text.isascii():
        if text.isalpha():
            return text.lower()
        normal = text.lower().encode().translate(None, _ASCII_NOT_LETTERS).decode()
    else:
        normal = _filtered(text, _LETTERS)
        if context.settings.city_marks == "strip":
            bare = unicodedata.normalize("NFD", normal)
            normal = unicodedata.normalize("NFC", "".join(sign for sign in bare if not unicodedata.combining(sign)))
    return _required(normal, "no letters in it")


def state(text: str, context: Context) -> str:
    """US and Canadian names as two letters (ANSI code), elsewhere letters and digits only."""
    code = regions.state_code(text, context.country)
    return code or _required(_filtered(text, _LETTERS_AND_DIGITS), "no letters in it")


_ZIP_PLUS_4 = re.compile(r"\d{5}-\d{4}", re.ASCII)


def zip_code(text: str, context: Context) -> str:
    """Lower case without spaces, dashes and signs such as 〒; of US codes the first five digits."""
    country = context.country or context.settings.default_country
    if text.isascii() and text.isalnum():
        normal = text.lower()
    elif text.isascii():
        normal = text.lower().encode().translate(None, _ASCII_NOT_LETTERS_OR_DIGITS).decode()
        normal = _required(normal, "no letters or digits in it")
    else:
        normal = _required(_filtered(text, _LETTERS_AND_DIGITS), "no letters or digits in it")
    if country == "us" or (context.country is None and _ZIP_PLUS_4.fullmatch(text)):
        return normal[:5]
    return normal


def country(text: str, _context: Context) -> str:
    """ISO 3166-1 alpha-2, lower case."""
    return _required(regions.country_code(text) or "", "not a country")


#: The words that forms and CRMs use, in the larger European languages. What is not here is not guessed:
#: the initial of "masculino" is m, but so is that of "mujer", who is f.
GENDER_WORDS: Final[Mapping[str, str]] = {
    word.casefold(): initial
    for initial, words in {
        "f": "f female woman women girl lady mrs ms miss w weiblich frau femme féminin feminin féminine mme madame "
        "mademoiselle mlle femenino femenina mujer señora senora sra femminile femmina donna signora feminino feminina "
        "mulher senhora vrouw vrouwelijk mevrouw mevr mw kvinna kvinnlig kvinde kvindelig kvinne kvinnelig nainen "
        "kobieta żeńska pani žena nő ženský žensko женский женщина жен жена жінка жіноча γυναίκα θήλυ femeie kadın "
        "kadin bayan",
        "m": "m male man men boy mr männlich maennlich mann herr homme masculin monsieur masculino hombre varón varon "
        "señor senor sr maschile maschio uomo signore homem senhor mannelijk meneer heer dhr herre manlig mand mandlig "
        "mannlig mies mężczyzna męska pan muž mužský muško férfi мужской мужчина муж мъж чоловік чоловіча άνδρας "
        "άρρεν bărbat erkek bay",
    }.items()
    for word in words.split()
}


def gender(text: str, context: Context) -> str:
    """`f` or `m`; anything else says nothing, and is never guessed."""
    word = text.casefold().rstrip(".")
    return context.settings.gender_words.get(word) or GENDER_WORDS.get(word, "")


_ISO_DATE = re.compile(r"(\d{4})[-/.](\d{1,2})[-/.](\d{1,2})(?:[T ].*)?", re.ASCII)
_COMPACT_LENGTH: Final = len("YYYYMMDD")
_LOCAL_DATE = re.compile(r"(\d{1,2})[-/. ]+(\d{1,2})[-/. ]+(\d{4})(?:[T, ]+\d{1,2}:.*)?", re.ASCII)
_MONTHS: Final = 12
#: "Year 1900 to the current year".
_FIRST_YEAR: Final = 1900


def date_of_birth(text: str, context: Context) -> str:
    """`YYYYMMDD`, from ISO, the compact form, or day, month and year in the connection's order."""
    if len(text) == _COMPACT_LENGTH and text.isascii() and text.isdigit():
        year, month, day = int(text[:4]), int(text[4:6]), int(text[6:])
    elif match := _ISO_DATE.fullmatch(text):
        year, month, day = map(int, match.groups())
    elif match := _LOCAL_DATE.fullmatch(text):
        first, second, year = map(int, match.groups())
        month, day = _month_and_day(first, second, context)
    else:
        raise UnusableValueError("not a date")
    try:
        born = date(year, month, day)
    except ValueError:
        raise UnusableValueError("not a date") from None
    if year < _FIRST_YEAR or born > context.settings.today:
        raise UnusableValueError("not a date of birth between 1900 and today")
    # What strftime does, in a tenth of the time.
    return f"{year}{month:02}{day:02}"


def _month_and_day(first: int, second: int, context: Context) -> tuple[int, int]:
    """Return month and day: a part over 12 decides by itself, else the connection's order does."""
    if first > _MONTHS or second > _MONTHS:
        return (second, first) if first > _MONTHS else (first, second)
    order = context.settings.date_order
    if first != second:
        context.doubts.add(f"some dates could have day or month first; they are read as {order}")
    return (first, second) if order == "mdy" else (second, first)


def year_of_birth(text: str, context: Context) -> str:
    """`YYYY`."""
    return _number_within(text, _FIRST_YEAR, context.settings.today.year, "not a year between 1900 and today")


def month_of_birth(text: str, _context: Context) -> str:
    """`01` to `12`."""
    return _number_within(text, 1, _MONTHS, "not a month from 1 to 12").zfill(2)


def day_of_birth(text: str, _context: Context) -> str:
    """`01` to `31`."""
    return _number_within(text, 1, 31, "not a day from 1 to 31").zfill(2)


def _number_within(text: str, low: int, high: int, reason: str) -> str:
    if not (text.isascii() and text.isdigit() and len(text) <= len(str(high)) and low <= int(text) <= high):
        raise UnusableValueError(reason)
    return str(int(text))


_UUID_SHAPE: Final = b"xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx"
#: Hexadecimal digits as `x`, and `x` as no such digit. The pattern of a regular expression takes three times as long.
_HEX_AS_X: Final = bytes.maketrans(b"0123456789abcdefx", b"x" * 16 + b"?")
#: What a device gives whose owner has switched its advertising id off.
_NO_DEVICE: Final = "00000000-0000-0000-0000-000000000000"


def mobile_advertiser_id(text: str, _context: Context) -> str:
    """Lower case with its hyphens; never hashed."""
    normal = text.lower()
    if normal.encode().translate(_HEX_AS_X) != _UUID_SHAPE:
        raise UnusableValueError("not a mobile advertiser id")
    if normal == _NO_DEVICE:
        raise UnusableValueError("all zeros: the device gives no advertiser id")
    return normal


def as_it_is(text: str, _context: Context) -> str:
    """The text, trimmed."""
    return text
