"""
Whom an event is about -> Meta's `user_data`.

A key has the values of all its sources, each once. They come in the order of the table of identifiers: what the event
states at its top, its `user_data`, the addresses in it, Meta's own names (`x-fb-ud-em`), the names of Stape's Data Tag,
then cookies. What the request itself states under Meta's keys stands in place of all of them.
-- https://developers.facebook.com/docs/marketing-api/conversions-api/parameters/customer-information-parameters
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Mapping, Sequence
from hashlib import sha256
from typing import Final

from lib.cells import as_text
from lib.click_ids import BrowserIds
from lib.common_event import CommonEvent, Finding, Paths
from lib.errors import RelayError
from lib.hashing import DIGEST_LENGTHS, HASH_OF_NOTHING, as_sha256_hex, is_foreign_digest, is_sha256_part, sha256_hex
from lib.identifiers import AUDIENCE_KEYS, EXTERN_ID, IDENTIFIERS, Identifier
from lib.normalization import ASCII_EDGES, BLANK_LENGTHS, BLANKS, Context, Settings, UnusableValueError, clean
from lib.regions import country_code
from lib.report import Report

#: Those that are read here; of fbc and fbp `lib.click_ids` knows more.
_BROWSER_IDS: Final = frozenset({"fbc", "fbp"})
_FIELDS: Final = tuple(row for row in IDENTIFIERS if row.user_data and row.user_data not in _BROWSER_IDS)
_FOUND_AT: Final = Paths({row.user_data: row.event for row in _FIELDS})
_META_KEYS: Final = frozenset(row.user_data for row in _FIELDS) | _BROWSER_IDS
_HASHED: Final = tuple(row.user_data for row in _FIELDS if row.hashed)
#: Of external ids the connection decides.
_HASHED_ALWAYS: Final = tuple(key for key in _HASHED if key != AUDIENCE_KEYS[EXTERN_ID].user_data)
_IP_ADDRESS: Final = "client_ip_address"
#: Where the Parameter Builder keeps the address that the browser itself has seen.
_IP_COOKIE: Final = "_fbi"
#: Worse than any place in an event.
_LAST: Final = 1_000_000

#: Whose page, account or integration it is; it says nothing of the person.
_NOT_OF_A_PERSON: Final = frozenset(
    {
        *("page_id", "ig_account_id", "instagram_business_account_id", "whatsapp_business_account_id"),
        *("partner_id", "partner_name"),
    }
)
#: "Invalid combinations": Meta refuses an event that has nothing but some of one of these (error 100, 2804050).
#: -- https://developers.facebook.com/docs/marketing-api/conversions-api/best-practices
_REFUSED: Final = (
    frozenset({"ct", "country", "st", "zp", "ge", "client_user_agent"}),
    frozenset({"db", "client_user_agent"}),
    frozenset({"fn", "ge"}),
    frozenset({"ln", "ge"}),
)

#: Keys that are in none of them.
_ENOUGH: Final = _META_KEYS - _NOT_OF_A_PERSON - frozenset().union(*_REFUSED)

NO_IDENTIFIER: Final = "no usable identifier"
REFUSED_COMBINATION: Final = "only identifiers that Meta refuses without a better one"


class UnsafeUserDataError(RelayError):
    """A key that has to be hashed is not. Nothing of the event leaves; it is a bug of ours."""


def build_user_data(
    event: CommonEvent,
    *,
    overrides: Mapping[str, object],
    cookies: Mapping[str, str],
    browser_ids: BrowserIds,
    settings: Settings,
    report: Report,
    row: int,
) -> dict[str, object]:
    """
    Return the `user_data` of *event*; empty if it says nothing of anybody.

    Args:
        overrides: Meta's keys, which win over all; other keys are left out with a warning.
        cookies: Those of the body.
        row: The event's number in the request, for rejects.

    Raises:
        UnsafeUserDataError: Something would have left in the clear.
    """
    found = _FOUND_AT.find(event)
    if address := cookies.get(_IP_COOKIE):
        found.setdefault(_IP_ADDRESS, []).append((_LAST, 0, address))
    if not overrides.keys() <= _META_KEYS:
        report.warn("event.user_data: keys that Meta does not have are left out")
    countries = _countries(_findings("country", overrides, found))
    reader = _Reader(Context(settings, countries.get(0)), countries, report, row)
    # What one text states, as most events state most keys, is read quicker than what has to be chosen or refused.
    texts = {key: of_key[0][2] for key, of_key in found.items() if len(of_key) == 1 and of_key[0][1] == 0}
    texts |= overrides
    user_data: dict[str, object] = {}
    for key, identifier, read, usual in _READ[settings.hash_external_id]:
        value = None
        if type(text := texts.get(key)) is str:
            value = usual(text, reader)
        elif key not in found and key not in overrides:
            continue
        if value is None:
            value = read(reader, identifier, reader.texts(key, _findings(key, overrides, found)))
        if value:
            user_data[key] = value
    user_data |= browser_ids.user_data()
    check_user_data(user_data, hash_external_id=settings.hash_external_id)
    return user_data


_Found = Mapping[str, Sequence[Finding]]


def _findings(key: str, overrides: Mapping[str, object], found: _Found) -> Sequence[Finding]:
    """Return where *key* is read from: the override if it says something, else the places of the event."""
    value = overrides.get(key)
    return [(0, 0, value)] if value is not None and _says_something(value) else found.get(key, ())


def check_user_data(user_data: Mapping[str, object], *, hash_external_id: bool) -> None:
    """
    Stand between the data and the wire: what has to be hashed is, or nothing leaves.

    Raises:
        UnsafeUserDataError: It is not.
    """
    try:
        cells = [
            cell
            for key in (_HASHED if hash_external_id else _HASHED_ALWAYS)
            if key in user_data
            for cell in user_data[key]  # type: ignore[attr-defined] # what is no list of texts raises or is no hash
        ]
        are_hashes = is_sha256_part(cells) if _UNMARKED.issuperset(map(len, cells)) else all(map(_is_hash, cells))
    except TypeError:
        are_hashes = False
    if not are_hashes:
        raise UnsafeUserDataError("a key that has to be hashed is not", field="user_data", process="build")


#: Length of a hash without the Parameter Builder's mark.
_UNMARKED: Final = frozenset({64})


def why_unusable(user_data: Mapping[str, object]) -> str | None:
    """Return why Meta would take no event of this person; None if it names somebody well enough."""
    if not _ENOUGH.isdisjoint(user_data):
        return None
    keys = user_data.keys() - _NOT_OF_A_PERSON
    if not keys:
        return NO_IDENTIFIER
    return REFUSED_COMBINATION if any(keys <= refused for refused in _REFUSED) else None


def _is_hash(cell: str) -> bool:
    digest = as_sha256_hex(cell)
    return digest is not None and cell == "".join(digest)


def _says_something(value: object) -> bool:
    if isinstance(value, list):
        return any(map(_says_something, value))
    return clean(value) != "" if isinstance(value, str) else value is not None


def _countries(findings: Sequence[Finding]) -> dict[int, str]:
    """Return the country of each object of a list, in alpha-2; the first of all is the person's, under 0."""
    countries: dict[int, str] = {}
    for _, place, value in findings:
        for one in value if isinstance(value, list) else (value,):
            if isinstance(one, str) and (code := country_code(clean(one))):
                countries.setdefault(0, code)
                countries.setdefault(place, code)
    return countries


class _Reader:
    """What all keys of one event are read with."""

    __slots__ = ("_contexts", "_countries", "_report", "_row", "context")

    def __init__(self, context: Context, countries: Mapping[int, str], report: Report, row: int) -> None:
        #: What the rules may look at: of the person, and of each further object of a list.
        self.context = context
        self._contexts = {0: context}
        self._countries = countries
        self._report = report
        self._row = row

    def texts(self, key: str, findings: Sequence[Finding]) -> _Texts:
        """Return what the findings say."""
        texts = []
        for _, place, value in findings:
            for one in value if isinstance(value, list) else (value,):
                text = one if isinstance(one, str) else as_text(one)
                if text is None:
                    self.reject(key, "neither text nor a number that can be read exactly")
                elif cleaned := clean(text):
                    texts.append((cleaned, self._contexts.get(place) or self._context(place)))
        return texts

    def _context(self, place: int) -> Context:
        context = Context(self.context.settings, self._countries.get(place) or self.context.country)
        self._contexts[place] = context
        return context

    def reject(self, key: str, reason: str) -> None:
        self._report.reject_cell(self._row, f"user_data.{key}", reason)

    def warn(self, key: str, doubts: set[str]) -> None:
        """Note *doubts*, and empty them."""
        for doubt in sorted(doubts):
            self._report.warn(f"user_data.{key}: {doubt}")
        doubts.clear()


#: What was found of one key, and what the rules may look at beside each text.
_Texts = Sequence[tuple[str, Context]]


def _hashes(reader: _Reader, identifier: Identifier, texts: _Texts) -> list[str]:
    """Return the hash of each text, once, with the Parameter Builder's mark where it has one."""
    hashes: list[str] = []
    for text, context in texts:
        try:
            if len(text) not in DIGEST_LENGTHS or not (cell := _digest(text, identifier)):
                normal = identifier.rule(text, context)
                cell = sha256_hex(normal) if normal else ""
        except UnusableValueError as error:
            reader.reject(identifier.user_data, str(error))
            continue
        if context.doubts:
            reader.warn(identifier.user_data, context.doubts)
        if cell:
            hashes.append(cell)
    return hashes if len(hashes) <= 1 else _once(hashes)


def _once(hashes: Sequence[str]) -> list[str]:
    """Return each hash once; one with a mark and one without are the same person."""
    once: dict[str, str] = {}
    for cell in hashes:
        once.setdefault(cell[:64], cell)
    return list(once.values())


def _digest(text: str, identifier: Identifier) -> str:
    """Return the hash that *text* is, `""` if it is none: as `lib.cells` does, which has no room for the mark."""
    if digest := as_sha256_hex(text):
        if digest[0] == HASH_OF_NOTHING:
            raise UnusableValueError("the hash of an empty text")
        return "".join(digest)
    if is_foreign_digest(text) and identifier.key != EXTERN_ID:
        raise UnusableValueError("an MD5 or SHA-1 hash, of which Meta takes neither")
    return ""


def _plain_texts(_reader: _Reader, _identifier: Identifier, texts: _Texts) -> list[str]:
    """Return each text, once: the external ids of a connection that sends them as they are."""
    return list(dict.fromkeys(text for text, _ in texts))


def _text(reader: _Reader, identifier: Identifier, texts: _Texts) -> str:
    """Return the first text that can be used."""
    for text, context in texts:
        try:
            return identifier.rule(text, context)
        except UnusableValueError as error:
            reader.reject(identifier.user_data, str(error))
    return ""


_WHOLE_NUMBER = re.compile(r"[1-9][0-9]{0,18}", re.ASCII)
#: The largest that every reader of JSON takes for an integer.
_LARGEST_INTEGER: Final = 2**63 - 1
#: Numbers of fewer digits are all below it.
_LONG: Final = 19


def _number(reader: _Reader, identifier: Identifier, texts: _Texts) -> int | str:
    """Return the first text, as an integer if it is a whole number."""
    text = _text(reader, identifier, texts)
    return int(text) if _WHOLE_NUMBER.fullmatch(text) and int(text) <= _LARGEST_INTEGER else text


#: How good an address is: IPv6 is "preferred over IPv4", and nobody is found by a private one.
_PUBLIC_IPV6, _PUBLIC_IPV4, _PRIVATE = range(3)


def _ip_address(reader: _Reader, identifier: Identifier, texts: _Texts) -> str:
    """Return the best address, of several equally good ones the first."""
    best: tuple[int, str] | None = None
    for text, _ in texts:
        address = _client_of(text)
        if address is None:
            reader.reject(identifier.user_data, "not an IP address")
        elif best is None or address[0] < best[0]:
            best = address
    if best is None:
        return ""
    if best[0] == _PRIVATE:
        reader.warn(identifier.user_data, {"a private address, by which nobody is found"})
    return best[1]


def _client_of(text: str) -> tuple[int, str] | None:
    """Return the first public address in *text*, where each proxy on the way may have added what it saw after it."""
    private = None
    for one in text.split(",") if "," in text else (text,):
        if address := _address(one):
            if address[0] != _PRIVATE:
                return address
            private = private or address
    return private


#: The Parameter Builder marks addresses too; its cookie has been seen with the mark several times.
#: -- https://github.com/facebook/capi-param-builder (nodejs/capi-param-builder/tests/getClientIp.test.js)
_LONGEST: Final = 200
_MARKED = re.compile(r"(.+?)(\.(?:[A-Za-z0-9_-]{8}|AQ|Ag|Aw|BA|BQ|Bg))\2*", re.ASCII)
#: What is an address at the first glance: the standard library, which decides of the rest, takes a while.
_IPV4 = re.compile(r"(?:(?:25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])(?:\.(?!\Z)|\Z)){4}", re.ASCII)
_GROUPS: Final = r"[0-9A-Fa-f]{1,4}(?::[0-9A-Fa-f]{1,4})"
_LONG_IPV6 = re.compile(f"{_GROUPS}{{7}}", re.ASCII)
_SHORT_IPV6 = re.compile(f"(?:{_GROUPS}*)?::(?:{_GROUPS}*)?", re.ASCII)
_COLONS: Final = 7
#: Private, shared, loopback, link-local and unspecified.
#: -- https://www.iana.org/assignments/iana-ipv4-special-registry, .../iana-ipv6-special-registry
_PRIVATE_IPV4 = re.compile(
    r"(?:0|10|127|169\.254|192\.168|172\.(?:1[6-9]|2[0-9]|3[01])|100\.(?:6[4-9]|[7-9][0-9]|1[01][0-9]|12[0-7]))\."
)
_PRIVATE_IPV6 = re.compile(r"[fF](?:[cCdD][0-9A-Fa-f]{2}|[eE][89abAB][0-9A-Fa-f]):|[0:]+(?::0{0,3}1)?\Z")


def _address(text: str) -> tuple[int, str] | None:
    """Return how good the address is that *text* holds, and it, without port, brackets, spaces and zone."""
    if _IPV4.fullmatch(text):
        return (_PRIVATE if _PRIVATE_IPV4.match(text) else _PUBLIC_IPV4), text
    text = "".join(text.split()).strip("\"'")
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    plain, mark = _plain_address(text), ""
    if plain is None and (match := _MARKED.fullmatch(text[:_LONGEST])):
        plain, mark = _plain_address(match[1]), match[2]
    if plain is None:
        return None
    if ":" in plain:
        return (_PRIVATE if _PRIVATE_IPV6.match(plain) else _PUBLIC_IPV6), plain + mark
    return (_PRIVATE if _PRIVATE_IPV4.match(plain) else _PUBLIC_IPV4), plain + mark


def _plain_address(text: str) -> str | None:
    if ":" not in text:
        return text if _IPV4.fullmatch(text) else None
    if _LONG_IPV6.fullmatch(text) or (text.count(":") <= _COLONS and _SHORT_IPV6.fullmatch(text)):
        return text
    try:
        address = ipaddress.IPv6Address(text.partition("%")[0])
    except ValueError:
        return None
    return str(address.ipv4_mapped or address)


_Read = Callable[[_Reader, Identifier, _Texts], object]
_READ_AS: Final[Mapping[str, _Read]] = {_IP_ADDRESS: _ip_address, "lead_id": _number, "fb_login_id": _number}

#: Makes the value of a text; None for an unusual one, which is left to `_Read`.
_Usual = Callable[[str, _Reader], object]
_SPECIAL_LENGTHS: Final = BLANK_LENGTHS | DIGEST_LENGTHS


def _usual_hash(identifier: Identifier) -> _Usual:
    rule, key = identifier.rule, identifier.user_data

    def read(raw: str, reader: _Reader) -> list[str] | None:
        text = raw.strip(ASCII_EDGES) if raw.isascii() else clean(raw)
        length = len(text)
        if length in _SPECIAL_LENGTHS and (length in DIGEST_LENGTHS or text.lower() in BLANKS):
            return None
        try:
            normal = rule(text, reader.context)
        except UnusableValueError:
            return None
        if reader.context.doubts:
            reader.warn(key, reader.context.doubts)
        return [sha256(normal.encode()).hexdigest()] if normal else None

    return read


def _usual_text(identifier: Identifier) -> _Usual:
    rule = identifier.rule

    def read(raw: str, reader: _Reader) -> str | None:
        if not (text := clean(raw)):
            return None
        try:
            return rule(text, reader.context)
        except UnusableValueError:
            return None

    return read


def _usual_number(_identifier: Identifier) -> _Usual:
    return lambda raw, _reader: int(raw) if _WHOLE_NUMBER.fullmatch(raw) and len(raw) < _LONG else None


def _usual_address(_identifier: Identifier) -> _Usual:
    return lambda raw, _reader: raw if _IPV4.fullmatch(raw) and not _PRIVATE_IPV4.match(raw) else None


_USUAL: Final[Mapping[_Read, Callable[[Identifier], _Usual]]] = {
    _hashes: _usual_hash,
    _text: _usual_text,
    _number: _usual_number,
    _ip_address: _usual_address,
}


def _unusual(_raw: str, _reader: _Reader) -> None:
    """Leave every text to `_Read`."""


def _reading(*, hash_external_id: bool) -> tuple[tuple[str, Identifier, _Read, _Usual], ...]:
    """Return each key, its row in the table, how it is read, and how a usual text of it is."""
    hashed = _HASHED if hash_external_id else _HASHED_ALWAYS
    rows = []
    for row in _FIELDS:
        read = _plain_texts if row.hashed else _READ_AS.get(row.user_data, _text)
        read = _hashes if row.user_data in hashed else read
        rows.append((row.user_data, row, read, _USUAL[read](row) if read in _USUAL else _unusual))
    return tuple(rows)


#: By whether external ids are hashed.
_READ: Final = {choice: _reading(hash_external_id=choice) for choice in (False, True)}
