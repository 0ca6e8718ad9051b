"""
What a browser keeps for Meta: the ids of the click (fbc) and of the browser (fbp), and event enhancement (_gtmeec).

An fbc or fbp reads `fb.{subdomain index}.{time in ms}.{click id, or random number}`, and after Meta's Parameter Builder
`.{its mark}`. "ClickID is case sensitive": nothing of it is ever changed.
-- https://developers.facebook.com/docs/marketing-api/conversions-api/parameters/fbp-and-fbc
-- https://github.com/facebook/capi-param-builder
"""

from __future__ import annotations

import base64
import hmac
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import Final, NamedTuple

import orjson

from lib.cells import as_text
from lib.common_event import CommonEvent, Finding, Paths
from lib.hashing import as_sha256_hex
from lib.identifiers import IDENTIFIERS
from lib.normalization import Settings, clean
from lib.report import Report

#: What a cookie can hold without quoting, and less of it than a cookie can hold.
#: -- https://www.rfc-editor.org/rfc/rfc6265#section-4.1.1
_PAYLOAD: Final = r"[!#-+\--:<-\[\]-~]{1,2000}"
_BROWSER_ID = re.compile(rf"fb\.([0-9]+)\.([0-9]+)\.({_PAYLOAD})", re.ASCII)
_APPENDIX = re.compile(r"(.+)\.([A-Za-z0-9_-]{8}|AQ|Ag|Aw|BA|BQ|Bg)", re.ASCII)
_CLICK_ID = re.compile(_PAYLOAD, re.ASCII)
_ESCAPE = re.compile(r"%([0-9A-Fa-f]{2})", re.ASCII)

#: "server-made without cookie = 1": example.com has one dot.
_SUBDOMAIN_INDEX: Final = "1"
#: A time from 2001 to 2286.
_MILLISECONDS = re.compile(r"[1-9][0-9]{12}", re.ASCII)

_FOUND_AT: Final = Paths({row.user_data: row.event for row in IDENTIFIERS if row.user_data in {"fbc", "fbp"}})


class BrowserId(NamedTuple):
    """
    An fbc or fbp, which prints itself exactly as it was parsed.

    Args:
        subdomain_index: How many dots the domain has that the cookie is set on.
        time: In milliseconds, as digits; others write seconds, and these pass too.
        payload: The click id, or a random number.
        appendix: The Parameter Builder's mark; `""` without one.
    """

    subdomain_index: str
    time: str
    payload: str
    appendix: str = ""

    @classmethod
    def parse(cls, text: str) -> BrowserId | None:
        """Read *text*; None if it is nothing of the kind."""
        if (match := _BROWSER_ID.fullmatch(text)) is None:
            return None
        index, time, payload = match.groups()
        if "." in payload and (marked := _APPENDIX.fullmatch(payload)):
            return cls(index, time, marked[1], marked[2])
        return cls(index, time, payload)

    def __str__(self) -> str:
        text = f"fb.{self.subdomain_index}.{self.time}.{self.payload}"
        return f"{text}.{self.appendix}" if self.appendix else text

    def holds(self, click_id: str) -> bool:
        """Tell whether it is of that click; the mark is no part of a click id, unless it only looked like one."""
        return click_id in {self.payload, f"{self.payload}.{self.appendix}"}


class BrowserIds(NamedTuple):
    """
    Those of one event.

    Args:
        fbc: None where the browser has not come by a click on Meta.
        fbp: None where the browser has none, and none was asked for.
        new: Names of the cookies that the browser does not have yet.
    """

    fbc: BrowserId | None = None
    fbp: BrowserId | None = None
    new: tuple[str, ...] = ()

    def user_data(self) -> dict[str, object]:
        """Return them under Meta's keys."""
        found: dict[str, object] = {}
        if self.fbc is not None:
            found["fbc"] = str(self.fbc)
        if self.fbp is not None:
            found["fbp"] = str(self.fbp)
        return found

    def cookies(self) -> dict[str, str]:
        """Return the cookies to be set in the browser."""
        return {name: str(value) for name, value in (("_fbp", self.fbp), ("_fbc", self.fbc)) if name in self.new}


def browser_ids(
    event: CommonEvent,
    *,
    overrides: Mapping[str, object],
    cookies: Mapping[str, str],
    time_ms: Callable[[], int],
    urls: Iterable[str] | None = None,
    new_fbp: int | None = None,
    report: Report,
    row: int,
) -> BrowserIds:
    """
    Return fbc and fbp of *event*.

    Each comes from *overrides*, else from the body's *cookies*, else from the event. An fbc of another click than the
    page's gives way to a new one; without a click there is never a new one.

    Args:
        overrides: Meta's keys, which win over all.
        time_ms: Gives that of the event; what is new gets it where the event does not say when its request began.
        urls: Of the page and of the one before it, whose click counts too, as in the Parameter Builder; None for the
            event's own.
        new_fbp: A random number from 0 to 2147483647, for a browser that has no fbp; None leaves it without.
    """
    found = _FOUND_AT.find(event)
    sources = _Sources(found, overrides, cookies, report, row)
    new = []
    fbcs, is_final = sources.known("fbc")
    fbc = fbcs[0] if fbcs else None
    if not is_final and (click_id := _click_id(event, urls)):
        fbc = next((one for one in fbcs if one.holds(click_id)), None)
        if fbc is None:
            fbc = _made(event, time_ms, click_id)
            new.append("_fbc")
    fbps, is_final = sources.known("fbp")
    fbp = fbps[0] if fbps else None
    if fbp is None and new_fbp is not None and not is_final:
        fbp = _made(event, time_ms, str(new_fbp))
        new.append("_fbp")
    return BrowserIds(fbc, fbp, tuple(new))


@dataclass(slots=True)
class _Sources:
    """Where the ids of one event may stand."""

    found: Mapping[str, list[Finding]]
    overrides: Mapping[str, object]
    cookies: Mapping[str, str]
    report: Report
    row: int

    def known(self, key: str) -> tuple[list[BrowserId], bool]:
        """Return what is known, the best first, and whether it is an override, which nothing replaces."""
        stated = _stated([self.overrides[key]]) if key in self.overrides else []
        if stated:
            return self._parsed(key, stated), True
        values = [value for _, _, value in self.found[key]] if key in self.found else []
        if f"_{key}" in self.cookies:
            values.insert(0, self.cookies[f"_{key}"])
        return self._parsed(key, _stated(values)) if values else [], False

    def _parsed(self, key: str, values: list[object]) -> list[BrowserId]:
        ids = [BrowserId.parse(value) if isinstance(value, str) else None for value in values]
        if None in ids:
            self.report.reject_cell(self.row, f"user_data.{key}", "not of the form fb.{number}.{time}.{id}")
        return [one for one in ids if one is not None]


def _stated(values: Iterable[object]) -> list[object]:
    """Return the values that say something; sGTM gives those of a cookie as a list."""
    stated: list[object] = []
    for value in values:
        for one in value if isinstance(value, list) else (value,):
            text = clean(one) if isinstance(one, str) else one
            if text is not None and text != "":
                stated.append(text)
    return stated


def _made(event: CommonEvent, time_ms: Callable[[], int], payload: str) -> BrowserId:
    return BrowserId(_SUBDOMAIN_INDEX, str(_began_ms(event, time_ms)), payload)


def _click_id(event: CommonEvent, urls: Iterable[str] | None) -> str:
    for url in (event.data.get("page_location"), event.data.get("page_referrer")) if urls is None else urls:
        if isinstance(url, str) and (click_id := click_id_of(url)):
            return click_id
    return ""


def click_id_of(url: str) -> str:
    """Return the fbclid in the query of *url*, decoded once; `""` if there is none, or none that a cookie can hold."""
    if "fbclid=" not in url:
        return ""
    for part in url.partition("#")[0].partition("?")[2].split("&"):
        name, _, value = part.partition("=")
        if name == "fbclid":
            click_id = _ESCAPE.sub(lambda match: chr(int(match[1], 16)), value)
            return click_id if _CLICK_ID.fullmatch(click_id) else ""
    return ""


def _began_ms(event: CommonEvent, time_ms: Callable[[], int]) -> int:
    """Return when the request of *event* began, in which the click id was first seen."""
    text = as_text(event.get("x-sst-system_properties.request_start_time_ms"))
    return int(text) if text is not None and _MILLISECONDS.fullmatch(text) else time_ms()


#: The keys that event enhancement remembers, as Stape's and Meta's tags do: hashes, and Facebook's own number.
_REMEMBERED: Final = ("em", "ph", "ln", "fn", "ct", "st", "zp", "ge", "db", "country", "external_id")
_FB_LOGIN_ID: Final = "fb_login_id"
#: So many values of a key, which keeps the cookie under the 4096 bytes that browsers hold.
_VALUES: Final = 3
_LONGEST: Final = 4_000
#: Ninety days, as long as fbc and fbp.
ENHANCEMENT_LIFETIME_S: Final = 90 * 24 * 60 * 60
_COOKIE = re.compile(r"(1\.([0-9]{1,12})\.([A-Za-z0-9_-]+))\.([A-Za-z0-9_-]{43})", re.ASCII)
_PURPOSE: Final = b"meta-relay _gtmeec "


def enhancement_cookie(user_data: Mapping[str, object], *, key: bytes, now: int) -> str:
    """
    Return the `_gtmeec` that remembers *user_data* for 90 days; `""` if there is nothing in it to remember.

    `1.{expiry}.{base64url of JSON}.{base64url of HMAC-SHA256}`. Only hashes are kept: a plain external_id is not.

    Args:
        key: Signs it; no one else may know it. Without one nothing is remembered.
        now: Unix seconds.
    """
    kept: dict[str, object] = {}
    for name in _REMEMBERED:
        values = user_data.get(name)
        hashes = [value for value in values if _is_hash(value)][:_VALUES] if isinstance(values, list) else []
        if hashes:
            kept[name] = hashes
    if type(number := user_data.get(_FB_LOGIN_ID)) is int:
        kept[_FB_LOGIN_ID] = number
    if not kept or not key:
        return ""
    signed = f"1.{now + ENHANCEMENT_LIFETIME_S}.{_base64url(orjson.dumps(kept))}"
    return f"{signed}.{_signature(signed, key)}"


def enhanced(
    user_data: Mapping[str, object], cookie: str, *, key: bytes, now: int, settings: Settings, report: Report
) -> dict[str, object]:
    """
    Return *user_data* with what *cookie* remembers under the keys that it lacks.

    A browser can write what it likes: what this relay has not signed, or what has expired, is ignored with a warning.
    """
    kept = _remembered(cookie, key, now, report) if cookie else {}
    if not settings.hash_external_id:
        kept.pop("external_id", None)
    return kept | dict(user_data)


def _remembered(cookie: str, key: bytes, now: int, report: Report) -> dict[str, object]:
    match = _COOKIE.fullmatch(cookie) if len(cookie) <= _LONGEST else None
    # The form is ASCII, so that both sides can be compared as texts.
    if match is None or not key or not hmac.compare_digest(match[4], _signature(match[1], key)):
        report.warn("the _gtmeec cookie is not one that this relay has signed: it is ignored")
        return {}
    if int(match[2]) <= now:
        report.warn("the _gtmeec cookie has expired: it is ignored")
        return {}
    kept = orjson.loads(base64.urlsafe_b64decode(match[3] + "=" * (-len(match[3]) % 4)))
    return {name: kept[name] for name in (*_REMEMBERED, _FB_LOGIN_ID) if name in kept}


def _is_hash(value: object) -> bool:
    digest = as_sha256_hex(value) if isinstance(value, str) else None
    return digest is not None and value == "".join(digest)


def _signature(signed: str, key: bytes) -> str:
    return _base64url(hmac.digest(key, _PURPOSE + signed.encode(), sha256))


def _base64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")
