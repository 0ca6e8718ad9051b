"""
Meta's data processing options (limited data use) as numbers, from what callers write.

-- https://developers.facebook.com/docs/marketing-apis/data-processing-options
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from lib import regions

#: The US states whose law knows limited data use; 0 lets Meta find the place.
STATE_NUMBERS: Final[Mapping[str, int]] = {
    code: 1000 + place
    for place, code in enumerate("ca co ct fl or tx mt de ne nh nj mn md ri".split())  # noqa: SIM905 - the order counts
}
_US: Final = 1


@dataclass(frozen=True, slots=True)
class DataProcessing:
    """
    Meta's data processing options, as numbers.

    Args:
        options: `("LDU",)` for limited data use, `()` for none.
        country: 1 for the United States, 0 for "find out".
        state: 1000 and up, 0 for "find out".
    """

    options: tuple[str, ...] = ()
    country: int = 0
    state: int = 0


def options_of(value: object) -> list[str] | None:
    """Return `["LDU"]` or `[]` from a list or a text; None for anything else."""
    values = value if isinstance(value, list) else [value]
    # A text may be the list itself: variables of Google Tag Manager often are.
    words = [one.strip().strip("[] \"'").upper() for one in values if isinstance(one, str)]
    if len(words) < len(values) or not {"", "LDU"}.issuperset(words):
        return None
    return ["LDU"] if "LDU" in words else []


def country_number(value: object) -> int | None:
    """Return 1 for the United States in any spelling, 0 for 0; None for anything else."""
    text = _digits_or_text(value)
    if text in {"0", "1"}:
        return int(text)
    return _US if text is not None and regions.country_code(text) == "us" else None


def state_number(value: object) -> int | None:
    """Return Meta's number of a US state, from that number, a code or a name; 0 for 0; None for anything else."""
    text = _digits_or_text(value)
    if text is None:
        return None
    if text.isdecimal():
        return int(text) if int(text) in {0, *STATE_NUMBERS.values()} else None
    return STATE_NUMBERS.get(regions.state_code(text, "us") or "")


def _digits_or_text(value: object) -> str | None:
    if isinstance(value, bool):
        return None
    if isinstance(value, int) or (isinstance(value, float) and value.is_integer()):
        return str(int(value))
    return value.strip()[:64] if isinstance(value, str) else None
