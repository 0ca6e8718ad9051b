"""
Reads every answer of Meta: a value, or the one right error.

No text of Meta's gets into an error, since it may repeat what was sent: the words are those of the table. Two
are kept, where their form can hold no address, number, digest or token: an error's title and the call's id.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from itertools import islice
from typing import TYPE_CHECKING, Final

import orjson

from lib.errors import RateLimitError
from lib.graph_errors import APP_SECRET_PROOF, row_of_error, row_of_status

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from lib.errors import GraphAPIError
    from lib.graph_errors import Row

#: Seconds; no wait is longer, whatever the answer says.
MAX_WAIT: Final = 24 * 3600.0

#: Seconds, where neither the answer nor the table says how long.
DEFAULT_WAIT: Final = 60.0

#: "invalid_entry_samples", up to 100
#: -- https://developers.facebook.com/docs/marketing-api/reference/custom-audience/users
MAX_SAMPLES: Final = 100

# The use cases of X-Business-Use-Case-Usage that our calls count for.
_OUR_USE_CASES: Final = ("custom_audience", "ads_management")
_SHARES: Final = ("call_count", "total_cputime", "total_time")

# What is beyond is no statement about usage: 100 % is the limit, and 30 days in minutes.
_MAX_PERCENT: Final = 10_000.0
_MAX_MINUTES: Final = 43_200.0

_MAX_CODE: Final = 2**31 - 1
_MAX_COUNT: Final = 2**63 - 1
_DIGITS: Final = re.compile(r"-?[0-9]{1,19}")
_SECONDS: Final = re.compile(r"[0-9]{1,9}")

_FBTRACE_ID: Final = re.compile(r"[A-Za-z0-9_\-]{1,64}")
# A phone, a digest and a token of Meta fit that alphabet too.
_NO_FBTRACE_ID: Final = re.compile(r"[0-9]{7}|[0-9A-Fa-f]{32}|^EAA.{24}|^[0-9_\-]+$")

# At most 80 letters, spaces and simple punctuation, in words as long as words are.
_TITLE: Final = re.compile(r"(?=.{1,80}\Z)[^\W\d_]{1,24}(?:(?:[,.:;!?)]{0,2} \(?|['\-])[^\W\d_]{1,24})*[.!?)]{0,2}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """
    How much of Meta's allowances is used up.

    Args:
        percent: The highest of all shares, rounded down; it may exceed 100; None where Meta states none.
        regain_seconds: Until Meta takes calls again, at most MAX_WAIT; 0 where it takes them now.

    """

    percent: int | None = None
    regain_seconds: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class GraphAnswer:
    """
    An answer that is no error. What a key states in another type than Meta's counts as not stated.

    Args:
        body: The JSON object; it may hold hashes, as *invalid_entry_samples* may.
        fbtrace_id: Meta's id of the call, for its support.
        num_received: All rows of the session so far.
        num_invalid_entries: Rows with wrong hashes or formats, roughly; it does not tell matches.
        invalid_entry_samples: Texts, or the keys of a map, which are the rows as sent; at most MAX_SAMPLES.
        version_warning: Meta is about to end this version of the API.

    """

    http_status: int
    body: Mapping[str, object] = field(repr=False)
    fbtrace_id: str | None = None
    usage: Usage = Usage()
    num_received: int | None = None
    num_invalid_entries: int = 0
    invalid_entry_samples: tuple[str, ...] = field(default=(), repr=False)
    session_id: int | None = None
    events_received: int | None = None
    version_warning: bool = False


def decipher_response(http_status: int, headers: Mapping[str, str], body: bytes) -> GraphAnswer:
    """
    Return what Meta has answered, or raise the GraphAPIError, most often of a subclass, that it means.

    A success without a readable JSON object, or with `"success": false`, is none: whether Meta has acted is
    unknown, and asking again is harmless, since people and events are added once. The names of the headers
    may be in any case; a broken header counts as absent.
    """
    named = {name.lower(): value for name, value in headers.items()}
    response = _Response(http_status=http_status, headers=named, usage=_usage(named))
    is_json, answer = _parse(body)
    if not isinstance(answer, dict):
        unreadable = "a body that is not JSON" if body.strip() else "no body"
        raise _unexplained(response, "JSON that is no object" if is_json else unreadable, is_json=is_json)
    trace = _fbtrace_id(answer.get("fbtrace_id"), named.get("x-fb-trace-id"))
    error = answer.get("error")
    if error is not None and error is not False:
        raise _explained(response, error if isinstance(error, dict) else {}, trace)
    if not 200 <= http_status < 300:
        raise _unexplained(response, "no error object", trace=trace)
    if answer.get("success") is False:
        raise _unexplained(response, '"success": false', trace=trace)
    return GraphAnswer(
        http_status=http_status,
        body=answer,
        fbtrace_id=trace,
        usage=response.usage,
        num_received=_count(answer.get("num_received")),
        num_invalid_entries=_count(answer.get("num_invalid_entries")) or 0,
        invalid_entry_samples=_samples(answer.get("invalid_entry_samples")),
        session_id=_count(answer.get("session_id")),
        events_received=_count(answer.get("events_received")),
        version_warning="x-ad-api-version-warning" in named,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Response:
    http_status: int
    #: By lower-case names.
    headers: Mapping[str, str]
    usage: Usage


@dataclass(frozen=True, slots=True, kw_only=True)
class _Stated:
    """What an error object states."""

    code: int | None = None
    subcode: int | None = None
    is_transient: bool | None = None
    fbtrace_id: str | None = None


def _unexplained(response: _Response, fault: str, *, trace: str | None = None, is_json: bool = True) -> GraphAPIError:
    """Return the error of an answer that holds no error object but *fault*."""
    row = row_of_status(response.http_status, is_json=is_json)
    stated = _Stated(fbtrace_id=trace or _fbtrace_id(response.headers.get("x-fb-trace-id")))
    return _error(response, row, stated, f"Meta answered {response.http_status} with {fault}: {row.meaning}")


def _explained(response: _Response, error: Mapping[str, object], trace: str | None) -> GraphAPIError:
    """Return the error that Meta's *error* object means."""
    stated = _Stated(
        code=_whole(error.get("code"), -_MAX_CODE, _MAX_CODE),
        subcode=_whole(error.get("error_subcode"), -_MAX_CODE, _MAX_CODE),
        is_transient=_flag(error.get("is_transient")),
        fbtrace_id=_fbtrace_id(error.get("fbtrace_id"), trace),
    )
    row = row_of_error(stated.code, stated.subcode, is_transient=stated.is_transient, http_status=response.http_status)
    if (row.code, row.subcode) == (100, None) and _is_about_app_secret_proof(error):
        row = APP_SECRET_PROOF
    numbers = "/".join(str(number) for number in (stated.code, stated.subcode) if number is not None)
    message = f"Meta error {numbers or 'without a code'}: {row.meaning}"
    title = _title(error.get("error_user_title")) if row.vague else None
    return _error(response, row, stated, f"{message} ({title})" if title else message)


def _is_about_app_secret_proof(error: Mapping[str, object]) -> bool:
    """
    "API calls from the server require an appsecret_proof argument", "Invalid appsecret_proof provided".

    Only the name of the parameter and the type are looked at: a caller's own text cannot come with this type.
    """
    message = error.get("message")
    return error.get("type") == "GraphMethodException" and isinstance(message, str) and "appsecret_proof" in message


def _error(response: _Response, row: Row, stated: _Stated, message: str) -> GraphAPIError:
    error = row.error(
        message,
        code=stated.code,
        error_subcode=stated.subcode,
        is_transient=stated.is_transient,
        fbtrace_id=stated.fbtrace_id,
        http_status=response.http_status,
        action=row.action,
        smaller=row.smaller,
    )
    if isinstance(error, RateLimitError):
        error.retry_after = _wait(response, row)
    return error


def _wait(response: _Response, row: Row) -> float:
    """Return seconds: what the usage headers say, else Retry-After (unless a date), else the table."""
    stated = response.headers.get("retry-after", "").strip()
    retry_after = float(stated) if _SECONDS.fullmatch(stated) else 0.0
    return min(response.usage.regain_seconds or retry_after or row.wait or DEFAULT_WAIT, MAX_WAIT)


def _usage(headers: Mapping[str, str]) -> Usage:
    app = _json_object(headers.get("x-app-usage"))
    account = _json_object(headers.get("x-ad-account-usage"))
    use_cases = _use_cases(headers.get("x-business-use-case-usage"))
    shares = [_number(entry.get(key), _MAX_PERCENT) for entry in [*use_cases, app] for key in _SHARES]
    account_share = _number(account.get("acc_id_util_pct"), _MAX_PERCENT)
    waits = [
        minutes * 60
        for entry in use_cases
        if (minutes := _number(entry.get("estimated_time_to_regain_access"), _MAX_MINUTES)) is not None
    ]
    # The reset is stated at all times, and matters once nothing is left.
    if account_share is not None and account_share >= 100:
        waits.append(_number(account.get("reset_time_duration"), _MAX_MINUTES * 60) or 0.0)
    percent = max((share for share in [*shares, account_share] if share is not None), default=None)
    return Usage(
        percent=None if percent is None else int(percent),
        regain_seconds=min(max(waits, default=0.0), MAX_WAIT),
    )


def _use_cases(header: str | None) -> list[dict[str, object]]:
    """Return the entries of our use cases in all businesses; where none is ours, all entries."""
    groups = [group for group in _json_object(header).values() if isinstance(group, list)]
    entries = [entry for group in groups for entry in group if isinstance(entry, dict)]
    return [entry for entry in entries if entry.get("type") in _OUR_USE_CASES] or entries


def _parse(body: bytes | str) -> tuple[bool, object]:
    """Return whether *body* is JSON, and what it holds; the parser's own error would quote the body."""
    try:
        return True, orjson.loads(body)
    except orjson.JSONDecodeError:
        return False, None


def _json_object(header: str | None) -> dict[str, object]:
    _, value = _parse(header or "")
    return value if isinstance(value, dict) else {}


def _number(value: object, most: float) -> float | None:
    """Return *value* if it is a number from 0 to *most*, else None."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= most:
        return None
    return float(value)


def _whole(value: object, least: int, most: int) -> int | None:
    """Return the whole number that *value* is or spells, if it lies between *least* and *most*, else None."""
    if isinstance(value, bool):
        return None
    if (isinstance(value, float) and value.is_integer()) or (isinstance(value, str) and _DIGITS.fullmatch(value)):
        value = int(value)
    return value if isinstance(value, int) and least <= value <= most else None


def _count(value: object) -> int | None:
    return _whole(value, 0, _MAX_COUNT)


def _flag(value: object) -> bool | None:
    if value is True or value == "true":
        return True
    return False if value is False or value == "false" else None


def _samples(value: object) -> tuple[str, ...]:
    def texts(items: Iterable[object]) -> Iterable[str]:
        for item in items:
            if isinstance(item, str):
                yield item
            elif isinstance(item, dict):
                yield from item

    return tuple(islice(texts(value if isinstance(value, list) else [value]), MAX_SAMPLES))


def _fbtrace_id(*values: object) -> str | None:
    """Return the first of *values* that can be nothing but an id of Meta's."""
    for value in values:
        if isinstance(value, str) and _FBTRACE_ID.fullmatch(value) and not _NO_FBTRACE_ID.search(value):
            return value
    return None


def _title(value: object) -> str | None:
    """Return Meta's title if it holds words and simple punctuation alone, else None."""
    if not isinstance(value, str) or not _TITLE.fullmatch(value):
        return None
    return None if any(character.isnumeric() for character in value) else value
