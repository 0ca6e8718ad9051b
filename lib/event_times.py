"""
The time of an event, in whichever unit it comes.

"The event_time can be up to 7 days before you send an event [...]. If any event_time in data is greater than 7 days
in the past, we return an error for the entire request and process no events."
-- https://developers.facebook.com/docs/marketing-api/conversions-api/parameters/server-event
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final

from lib.event_values import first
from lib.faults import Faults
from lib.normalization import UnusableValueError, clean

_DAY: Final = 86_400
MAX_DAYS: Final = 7
#: "should upload within 62 days"
#: -- https://developers.facebook.com/documentation/ads-commerce/conversions-api/offline-events
MAX_DAYS_PHYSICAL_STORE: Final = 62

#: A clock that is ahead, or local time taken for UTC (at most 14 hours), is mended; what is further is no clock.
MOST_AHEAD: Final = _DAY

#: Seconds reach this in the year 5138, each finer unit in 1973.
_FIRST_TOO_LARGE: Final = 10**11
_FINER: Final = 1_000
#: Milli-, micro-, nanoseconds.
_FINER_UNITS: Final = 3

_NUMBER = re.compile(r"(\d{1,20})(?:\.\d*)?", re.ASCII)
_NO_TIME: Final = "not a time: Unix seconds, milliseconds or microseconds, or ISO 8601"


def unix_seconds(value: object) -> int:
    """
    Return *value* in whole Unix seconds, rounded down.

    Args:
        value: Seconds, milliseconds, microseconds or nanoseconds, told apart by their size, as number or text; or
            ISO 8601 as text, in UTC where it states no offset.

    Raises:
        UnusableValueError: It is no time, or not after 1970.
    """
    if isinstance(value, str):
        text = clean(value)
        match = _NUMBER.fullmatch(text)
        value = int(match[1]) if match else _from_iso(text)
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < 10**20:
        raise UnusableValueError(_NO_TIME)
    seconds = int(value)
    for _ in range(_FINER_UNITS):
        if seconds >= _FIRST_TOO_LARGE:
            seconds //= _FINER
    if not 0 < seconds < _FIRST_TOO_LARGE:
        raise UnusableValueError(_NO_TIME)
    return seconds


def _from_iso(text: str) -> int:
    try:
        time = datetime.fromisoformat(text)
        return int((time if time.tzinfo else time.replace(tzinfo=UTC)).timestamp())
    except (ValueError, OverflowError):
        raise UnusableValueError(_NO_TIME) from None


def event_time(
    override: object,
    *,
    stated: Sequence[object],
    observed: Sequence[object],
    now: int,
    max_days: int,
    faults: Faults,
) -> int:
    """
    Return the time of the event in Unix seconds, never after *now*.

    Args:
        override: The caller's own.
        stated: The event's `event_time`. Where this or the override is no time, the event is refused: the time of
            a conversion that comes late would be lost.
        observed: When somebody saw the event, best first (`timestamp`, the time of sGTM's request). What is no time
            is passed over.
        now: In Unix seconds; the time of an event that has none. For a redelivery to be the same bytes it has to be
            the time at which the message was first published.
        max_days: How old an event may be.
        faults: Takes refusals and warnings.
    """
    time = _stated_time(first(override, stated), faults)
    if time is None:
        time = _observed_time(observed, faults)
    if time is None:
        return now
    if time > now:
        if time - now > MOST_AHEAD:
            faults.refuse("event_time", "in the future by more than a day")
        else:
            faults.warn("event_time", "in the future; the present is taken")
        return now
    if now - time > max_days * _DAY:
        faults.refuse("event_time", f"older than {max_days} days")
    return time


def _stated_time(value: object, faults: Faults) -> int | None:
    if value is None:
        return None
    try:
        return unix_seconds(value)
    except UnusableValueError as error:
        faults.refuse("event_time", str(error))
        return None


def _observed_time(values: Sequence[object], faults: Faults) -> int | None:
    for value in values:
        try:
            return unix_seconds(value)
        except UnusableValueError:
            faults.warn("event_time", "the event's own timestamp is no time; the next best is taken")
    return None
