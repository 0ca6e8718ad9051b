"""
Numbers and currencies as shops write them.

A number comes as one, or as a text for programs (`1234.50`) or for people (`1.234,50 €`, `1'234.50`, `CHF 12.-`).
Where two marks stand in it, the last one is the decimal mark. A lone mark is the decimal mark too, unless exactly
three digits follow one to three others, which could be thousands:

- a comma is then one of thousands (`1,234` is 1234): no program writes decimals behind a comma;
- a point is then the decimal mark (`1.234`): it is what programs write, and prices that are texts in an event mostly
  come from one; beside a currency, which only people write, it is one of thousands (`1.234 €` is 1234).

Both are doubts, which the caller turns into a warning.
"""

from __future__ import annotations

import json
import re
import unicodedata
from functools import cache
from pathlib import Path
from typing import Final

from lib.normalization import UnusableValueError, clean

#: What no price reaches; JSON readers are exact up to here.
_TOO_LARGE: Final = 10**15
_NO_NUMBER: Final = "not a number"
_LONGEST: Final = 40


def number(value: object, doubts: set[str]) -> int | float:
    """
    Return the number that *value* is; whole ones as int, so that `15`, `15.0` and `"15.00"` are the same.

    Args:
        value: A number or a text.
        doubts: Takes what could have been read otherwise.

    Raises:
        UnusableValueError: It is no number, not finite, or 10^15 and more.
    """
    if isinstance(value, str):
        value = _from_text(clean(value), doubts)
    if isinstance(value, bool) or not isinstance(value, int | float) or not -_TOO_LARGE < value < _TOO_LARGE:
        raise UnusableValueError(_NO_NUMBER)
    return int(value) if isinstance(value, float) and value.is_integer() else value


_PLAIN = re.compile(r"-?\d{1,15}(?:\.\d{1,2})?", re.ASCII)
_AFFIX: Final = r"[^\d\s.,+\-]{0,3}[^\W\d_]\.|[^\d\s.,+\-]{1,4}"
_WRITTEN = re.compile(
    rf"(?P<sign>[-+]?) ?(?P<before>{_AFFIX})? ?(?P<inner>[-+]?) ?"
    r"(?P<body>[\d.,](?:[\d., ']*\d)?)(?:[.,]-{1,2})? ?"
    rf"(?P<after>{_AFFIX})?(?P<trailing>-?)"
)
#: What stands for a sign, a space or a mark in other keyboards and scripts.
_MARKS: Final = str.maketrans("\u2212\u2013\u2014\u2019\u02bc\u066b\u066c", "---''.,")
_CURRENCY_WORDS: Final = frozenset({"kr", "zł", "kč", "fr", "sfr", "lei", "ft", "rs", "tl"})


def _from_text(text: str, doubts: set[str]) -> int | float:
    if _PLAIN.fullmatch(text):
        return float(text) if "." in text else int(text)
    if len(text) > _LONGEST:
        raise UnusableValueError(_NO_NUMBER)
    match = _WRITTEN.fullmatch(_in_ascii(text))
    if match is None or sum(match[sign] != "" for sign in ("sign", "inner", "trailing")) > 1:
        raise UnusableValueError(_NO_NUMBER)
    affixes = [affix for affix in (match["before"], match["after"]) if affix]
    if not all(map(_is_currency, affixes)):
        raise UnusableValueError(_NO_NUMBER)
    amount = _amount(match["body"], for_people=bool(affixes), doubts=doubts)
    return -amount if "-" in (match["sign"], match["inner"], match["trailing"]) else amount


def _in_ascii(text: str) -> str:
    """Return *text* with ASCII digits, signs and spaces in place of those of other scripts."""
    if text.isascii():
        return " ".join(text.split())
    text = " ".join(unicodedata.normalize("NFKC", text.translate(_MARKS)).split())
    return "".join(str(unicodedata.decimal(sign)) if sign.isdecimal() else sign for sign in text)


def _is_currency(affix: str) -> bool:
    if any(unicodedata.category(sign) == "Sc" for sign in affix):
        return True
    word = affix.removesuffix(".")
    return word.upper() in _codes() or word.casefold() in _CURRENCY_WORDS


_GROUPED_BY_SPACES = re.compile(r"\d{1,3}(?:([ '])\d{3})(?:\1\d{3})*([.,]\d+)?", re.ASCII)
#: India groups by twos, but for the last three.
_GROUPED = {mark: re.compile(rf"\d{{1,3}}(?:[{mark}]\d{{2,3}})*[{mark}]\d{{3}}", re.ASCII) for mark in ".,"}


def _amount(body: str, *, for_people: bool, doubts: set[str]) -> int | float:
    if " " in body or "'" in body:
        if not _GROUPED_BY_SPACES.fullmatch(body):
            raise UnusableValueError(_NO_NUMBER)
        return _decimal(body.replace(" ", "").replace("'", "").replace(",", "."))
    marks = {mark: body.count(mark) for mark in ".," if mark in body}
    if not marks:
        return _decimal(body)
    decimal_mark = max(marks, key=body.rfind)
    whole, _, fraction = body.rpartition(decimal_mark)
    if len(marks) == 1:
        is_grouped = _GROUPED[decimal_mark].fullmatch(body) is not None and not body.startswith("0")
        if is_grouped and marks[decimal_mark] == 1:
            is_grouped = decimal_mark == "," or for_people
            read = "thousands" if is_grouped else "decimals"
            doubts.add(f"a lone mark before three digits could be one of thousands or decimals; read as {read}")
        if is_grouped:
            return _decimal(body.replace(decimal_mark, ""))
    elif not _GROUPED["," if decimal_mark == "." else "."].fullmatch(whole):
        raise UnusableValueError(_NO_NUMBER)
    return _decimal(f"{re.sub('[.,]', '', whole) if len(marks) > 1 else whole}.{fraction}")


_DECIMAL = re.compile(r"\d*(\.\d+)?", re.ASCII)


def _decimal(text: str) -> int | float:
    if not text or not _DECIMAL.fullmatch(text):
        raise UnusableValueError(_NO_NUMBER)
    return float(text) if "." in text else int(text)


@cache
def _codes() -> frozenset[str]:
    return frozenset(json.loads(Path(__file__).with_name("currencies.json").read_text(encoding="utf-8")))


def currency_codes() -> frozenset[str]:
    """Return the current codes of ISO 4217 that name a currency, from a file that is read on first use."""
    return _codes()


def currency_code(value: object) -> str:
    """
    Return the ISO 4217 code that *value* is, in upper case.

    Raises:
        UnusableValueError: It is none.
    """
    code = clean(value).upper() if isinstance(value, str) else ""
    if code not in _codes():
        raise UnusableValueError("not an ISO 4217 code")
    return code
