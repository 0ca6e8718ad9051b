"""
What carries an identifier of a person in plain sight: the keys and values that are no business of custom_data.

Meta wants identifiers in user_data, hashed; in custom_data and in URLs they would leave as they are.
"""

from __future__ import annotations

import re
from functools import lru_cache
from ipaddress import ip_address
from typing import Final

from lib.hashing import as_sha256_hex
from lib.phone_numbers import e164_digits

#: Why something is left out.
PERSONAL: Final = "holds what looks like an identifier of a person"

_WORD = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])|\d+", re.ASCII)
#: In a key without its case and signs, wherever they stand.
_PARTS: Final = tuple(
    "email phone telefon telephone msisdn firstname lastname surname forename fullname givenname familyname "  # noqa: SIM905 - one list of words
    "middlename maidenname nickname username vorname nachname birth geburt dob address adresse street postal zipcode "
    "passport useragent".split()
)
#: Whole keys: those of Meta's user_data among them.
_KEYS: Final = frozenset(
    "name mail tel mobile cell fax zip ip ssn em ph fn ln fi ge db ct zp st gender externalid userid customerid "  # noqa: SIM905 - as above
    "madid fbc fbp clientipaddress subscriptionid fbloginid leadid anonid".split()
)
#: Beside the word `name` these mean a person's; `content_name` and `coupon_name` are none.
_NAMED: Final = frozenset(
    "first last full family given middle user customer contact billing shipping recipient person buyer guest member "  # noqa: SIM905 - as above
    "client holder owner lead".split()
)


@lru_cache(maxsize=1024)
def is_personal_key(key: str) -> bool:
    """Tell whether *key* is the name of an identifier: `email`, `customerPhone`, `billing-name`, `fn`."""
    words = [word.lower() for word in _WORD.findall(key)]
    joined = "".join(words)
    if joined in _KEYS or any(part in joined for part in _PARTS):
        return True
    return "name" in words and not _NAMED.isdisjoint(words)


_EMAIL = re.compile(r"[^\s@<>,;:/?&=#\"']+(?:@|%(?:25)*40)[^\s@<>,;:/?&=#\"'.]+\.[^\s@<>,;:/?&=#\"']+")
_INTERNATIONAL = re.compile(r"(?<![\w+])\+ ?\d[\d\s().\-/]{5,24}\d")


def holds_contact(text: str) -> bool:
    """Tell whether an e-mail address or a phone number in international form stands anywhere in *text*."""
    if ("@" in text or "%" in text) and _EMAIL.search(text):
        return True
    return "+" in text and any(map(_is_international, _INTERNATIONAL.finditer(text)))


def _is_international(match: re.Match[str]) -> bool:
    return e164_digits(match[0], None) is not None


_PHONE = re.compile(r"(?:tel:)?[+(]?\d[\d\s().\-/\u2013]{5,24}", re.ASCII)
_NO_PHONE = re.compile(
    r"\d+[.,]\d+|\d{4}([-/.])\d{1,2}\1\d{1,2}|\d{1,2}([-/.])\d{1,2}\2\d{2,4}",  # a decimal number, a date
    re.ASCII,
)
_PHONE_DIGITS: Final = range(7, 16)
#: National numbers without a leading zero have so many; shorter ones cannot be told from amounts and counts.
_BARE_DIGITS: Final = 10
#: Area and exchange start with 2 to 9; a time in Unix seconds does not look so.
_NORTH_AMERICAN = re.compile(r"1?[2-9]\d{2}[2-9]\d{6}", re.ASCII)


def is_identifier(text: str) -> bool:
    """Tell whether *text* as a whole looks like an identifier: contact, phone in any form, IP address, hash."""
    if holds_contact(text) or as_sha256_hex(text):
        return True
    if text[:1].isalpha() and ":" not in text:
        return False
    return _is_phone(text) or _is_ip_address(text)


def _is_phone(text: str) -> bool:
    digits = "".join(sign for sign in text if sign.isdigit())
    if len(digits) not in _PHONE_DIGITS or not _PHONE.fullmatch(text) or _NO_PHONE.fullmatch(text):
        return False
    if text.startswith(("0", "(", "+", "tel:")):
        return True
    if len(digits) < _BARE_DIGITS:
        return False
    return _NORTH_AMERICAN.fullmatch(digits) is not None or e164_digits(f"+{digits}", None) is not None


def _is_ip_address(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return False
    return True


_PARAMETER = re.compile(r"([?&#;])([^?&#;=]*)=([^&#;]*)")
_USER_INFO = re.compile(r"^([A-Za-z][A-Za-z0-9+.-]*://)[^/?#@]*@")
_EMPTIED = re.compile(r"([?#])[&;]+|([&;])[&;]+")
_LOOSE_END = re.compile(r"[?&#;]+(?=#|$)")


def without_identifiers(url: str) -> str:
    """Return *url* without the parameters that carry an identifier, user info and addresses; else as it is."""
    kept = _PARAMETER.sub(_kept, url) if "=" in url else url
    if "@" in kept or "%" in kept:
        kept = _EMAIL.sub("", _USER_INFO.sub(r"\1", kept))
    if "+" in kept:
        kept = _INTERNATIONAL.sub(lambda match: "" if _is_international(match) else match[0], kept)
    if kept == url:
        return url
    return _LOOSE_END.sub("", _EMPTIED.sub(r"\1\2", kept))


def _kept(parameter: re.Match[str]) -> str:
    mark, key, value = parameter.groups()
    decoded = _decoded(value) if "%" in value else value
    return mark if value and (is_personal_key(key) or holds_contact(decoded)) else parameter[0]


_ESCAPED = re.compile(r"(?:%[0-9A-Fa-f]{2})+")


def _decoded(text: str) -> str:
    return _ESCAPED.sub(lambda match: bytes.fromhex(match[0].replace("%", "")).decode(errors="replace"), text)
