"""
`app_data`: what Meta wants to know of the app and the device of an app event.

-- https://developers.facebook.com/documentation/ads-commerce/conversions-api/app-events
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

from lib.cells import as_text
from lib.common_event import CommonEvent, Paths
from lib.event_values import as_mapping, first, from_json_text, stated_values
from lib.faults import Faults
from lib.normalization import clean
from lib.personal import PERSONAL, holds_contact

#: App Tracking Transparency, and the app's own switch. Not to know is not to have been allowed.
FLAGS: Final = ("advertiser_tracking_enabled", "application_tracking_enabled")
TEXTS: Final = (
    "campaign_ids",
    "install_referrer",
    "installer_package",
    "url_schemes",
    "vendor_id",
    "windows_attribution_id",
)
KEYS: Final = (*FLAGS, "extinfo", *TEXTS)

#: The sixteen places of extinfo, and where an event states them on its own. The third and fourth are the short and
#: the long version, the eighth the abbreviation of the time zone; width and height are parts of the resolution.
EXTINFO: Final[Sequence[tuple[str, tuple[str, ...]]]] = (
    ("platform", ("x-ga-platform", "platform")),
    ("package", ("app_id", "x-ga-app_id")),
    ("short version", ("app_version", "x-ga-app_version")),
    ("long version", ("app_long_version",)),
    ("version of the operating system", ("x-ga-os_version", "os_version")),
    ("device model", ("x-ga-device_model", "device_model")),
    ("locale", ("language",)),
    ("time zone abbreviation", ("timezone_abbreviation",)),
    ("carrier", ("carrier",)),
    ("width", ("screen_width",)),
    ("height", ("screen_height",)),
    ("density", ("screen_density",)),
    ("cores", ("cpu_cores",)),
    ("storage in GB", ("external_storage_size",)),
    ("free storage in GB", ("free_storage_size",)),
    ("time zone", ("timezone",)),
)
_PLATFORM, _SHORT_VERSION, _LONG_VERSION, _OS_VERSION, _WIDTH, _HEIGHT = 0, 2, 3, 4, 9, 10
#: "a2" for Android, "i2" for iOS.
PLATFORMS: Final[Mapping[str, str]] = {
    "a2": "a2",
    "android": "a2",
    "i2": "i2",
    "ios": "i2",
    "ipados": "i2",
    "iphone": "i2",
}

_PATHS: Final = Paths(
    {key: (f"app_data.{key}", key) for key in KEYS}
    | {f"extinfo[{place}]": paths for place, (_, paths) in enumerate(EXTINFO)}
    | {"app_data": ("app_data",), "resolution": ("screen_resolution",)}
)

_FLAG_WORDS: Final[Mapping[str, int]] = {
    "1": 1, "true": 1, "granted": 1, "authorized": 1, "yes": 1,
    "0": 0, "false": 0, "denied": 0, "restricted": 0, "no": 0,
}  # fmt: skip


def build_app_data(event: CommonEvent, override: object, faults: Faults) -> dict[str, Any]:
    """
    Return Meta's `app_data`; without `extinfo` where platform and version of the operating system are not known.

    Args:
        event: States it as `app_data`, or as keys of its own.
        override: The caller's, in Meta's keys; each wins over the event's.
        faults: Takes what cannot be used.
    """
    wanted = as_mapping(override)
    stated = stated_values(_PATHS, event)
    of_event = as_mapping(first(None, stated.get("app_data", ())))
    if not set(wanted) <= set(KEYS):
        faults.warn("app_data", "keys that Meta does not know are left out")

    def found(key: str) -> object:
        return first(wanted.get(key), [*stated.get(key, ()), of_event.get(key)])

    built: dict[str, Any] = {key: _flag(found(key), key, faults) for key in FLAGS}
    built["extinfo"] = _extinfo(found("extinfo"), stated, faults)
    for key in TEXTS:
        built[key] = _text_or_list(found(key), key, faults)
    return {key: value for key, value in built.items() if value is not None}


def _flag(value: object, key: str, faults: Faults) -> int:
    flag = _FLAG_WORDS.get(clean(str(value)).casefold()) if isinstance(value, str | int) else None
    if flag is None:
        reason = "not stated" if value is None else "not 0 or 1"
        faults.warn(f"app_data.{key}", f"{reason}; sent as 0")
    return flag or 0


def _extinfo(value: object, stated: Mapping[str, Sequence[object]], faults: Faults) -> list[str] | None:
    value = from_json_text(value)
    if value is None:
        slots = _slots_of(stated)
        return slots if slots[_PLATFORM] and slots[_OS_VERSION] else None
    if not isinstance(value, list) or len(value) > len(EXTINFO):
        faults.refuse("app_data.extinfo", f"not a list of {len(EXTINFO)}")
        return None
    slots = [_slot(one) for one in value]
    slots += [""] * (len(EXTINFO) - len(slots))
    slots[_PLATFORM] = PLATFORMS.get(slots[_PLATFORM].lower(), "")
    return slots if slots[_PLATFORM] and slots[_OS_VERSION] else None


def _slot(value: object) -> str:
    text = clean(as_text(value) or "")
    return "" if holds_contact(text) else text


_RESOLUTION = re.compile(r"(\d{1,5})[xX](\d{1,5})", re.ASCII)


def _slots_of(stated: Mapping[str, Sequence[object]]) -> list[str]:
    slots = [_slot(first(None, stated.get(f"extinfo[{place}]", ()))) for place in range(len(EXTINFO))]
    slots[_PLATFORM] = PLATFORMS.get(slots[_PLATFORM].lower(), "")
    if slots[_SHORT_VERSION] and not slots[_LONG_VERSION]:
        slots[_LONG_VERSION] = f"Version {slots[_SHORT_VERSION]}"
    resolution = _RESOLUTION.fullmatch(as_text(first(None, stated.get("resolution", ()))) or "")
    if resolution:
        slots[_WIDTH] = slots[_WIDTH] or resolution[1]
        slots[_HEIGHT] = slots[_HEIGHT] or resolution[2]
    return slots


def _text_or_list(value: object, key: str, faults: Faults) -> str | list[str] | None:
    value = from_json_text(value)
    if value is None:
        return None
    if isinstance(value, list):
        texts = [text for one in value if (text := _text(one, key, faults))]
        return texts or None
    return _text(value, key, faults)


def _text(value: object, key: str, faults: Faults) -> str | None:
    text = clean(as_text(value) or "")
    if text and not holds_contact(text):
        return text
    faults.empty(f"app_data.{key}", PERSONAL if text else "neither text nor number")
    return None
