"""
The gate: which signals a person has granted, and whether that is enough.

Forms, in order: `consent_state` (Stape's Data Tag, or set by the user), then `x-ga-gcd`, then `x-ga-gcs`, which
speaks of ad_storage only. A signal that none of them states is absent.
-- https://developers.google.com/tag-platform/security/guides/consent
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Final, Literal

#: In the order in which Google lists them; the signs of `x-ga-gcd` stand in the same.
SIGNALS: Final = (
    "ad_storage",
    "analytics_storage",
    "ad_user_data",
    "ad_personalization",
    "functionality_storage",
    "personalization_storage",
    "security_storage",
)

Absent = Literal["denied", "granted"]


@dataclass(frozen=True, slots=True)
class Verdict:
    """
    Whether people of a request may be sent.

    Args:
        missing: The required signals that are not granted, in the order of the requirement.
        withdrawn: Whether one of them is denied by somebody, and not merely absent, or denied until somebody is asked.
    """

    missing: tuple[str, ...] = ()
    withdrawn: bool = False

    @property
    def granted(self) -> bool:
        """True only if each required signal is."""
        return not self.missing


def weigh(
    required: Iterable[str], stated: Mapping[str, bool], *, absent: Absent, unasked: Collection[str] = ()
) -> Verdict:
    """Return the verdict on *stated*, where an unstated signal counts as *absent* says; see `unasked_signals`."""
    missing = tuple(signal for signal in required if not stated.get(signal, absent == "granted"))
    return Verdict(missing, any(stated.get(signal) is False and signal not in unasked for signal in missing))


def stated_signals(event: Callable[[str], object] | None, state: Mapping[str, object] | None) -> dict[str, bool]:
    """
    Return each signal that is stated, granted or not.

    Args:
        event: Gives what the event holds at a path; None where the request has no event.
        state: What the caller itself states. Where it and the event differ, the denial counts.
    """
    stated: dict[str, bool] = {}
    if event is not None:
        stated |= _from_gcs(event("x-ga-gcs"))
        stated |= _from_gcd(event("x-ga-gcd"))
        stated |= _from_state({signal: event(f"consent_state.{signal}") for signal in SIGNALS})
    by_caller = _from_state(state or {})
    return stated | {signal: granted and stated.get(signal, True) for signal, granted in by_caller.items()}


def unasked_signals(event: Callable[[str], object] | None, state: Mapping[str, object] | None) -> frozenset[str]:
    """
    Return the signals that are denied only by default: a banner is up, and nobody has answered it.

    Nothing is sent without them, but nobody has withdrawn anything either. Arguments as of `stated_signals`.
    """
    if event is None:
        return frozenset()
    unasked = {signal for signal, sign in _gcd_signs(event("x-ga-gcd")).items() if sign == _BY_DEFAULT}
    if not unasked:
        return frozenset()
    denials = (_from_state({signal: event(f"consent_state.{signal}") for signal in SIGNALS}), _from_state(state or {}))
    return frozenset(unasked - {signal for one in denials for signal, granted in one.items() if not granted})


_GRANTED: Final = frozenset({"true", "granted", "1"})


def _from_state(state: Mapping[str, object]) -> dict[str, bool]:
    """Read words, never truthiness: the text "denied" is a denial, and so is what nobody understands."""
    return {
        signal: _is_granted(value) for signal in SIGNALS if (value := state.get(signal)) is not None and value != ""
    }


def _is_granted(value: object) -> bool:
    if isinstance(value, str):
        return value.strip().casefold() in _GRANTED
    return value is True or (type(value) is int and value == 1)


#: `x-ga-gcd` such as `13r3r3r3r5l1` has one sign for each signal, at these places.
_GCD_PLACES: Final = {"ad_storage": 2, "analytics_storage": 4, "ad_user_data": 6, "ad_personalization": 8}
#: Denied by default, and no update.
_BY_DEFAULT: Final = "p"
#: What was stated by default and by an update, which wins; `l` says that neither was. Any other sign says nothing.
#: -- https://github.com/stape-io/consent-parser-variable
_GCD_SIGNS: Final[Mapping[str, bool]] = {
    "m": False,  # update denied
    "n": True,  # update granted
    _BY_DEFAULT: False,
    "q": False,  # default denied, update denied
    "r": True,  # default denied, update granted
    "t": True,  # default granted
    "u": False,  # default granted, update denied
    "v": True,  # default granted, update granted
}


def _from_gcd(value: object) -> dict[str, bool]:
    return {signal: _GCD_SIGNS[sign] for signal, sign in _gcd_signs(value).items() if sign in _GCD_SIGNS}


def _gcd_signs(value: object) -> dict[str, str]:
    """Return the sign of each signal. The text begins with 1; without that look, "undefined" would be a grant."""
    text = value if isinstance(value, str) and value.startswith("1") else ""
    return {signal: text[place : place + 1] for signal, place in _GCD_PLACES.items()}


def _from_gcs(value: object) -> dict[str, bool]:
    """Read `G1xy`: x is ad_storage, `-` where it is unset. y, analytics_storage, is not asked of this form."""
    text = value if isinstance(value, str) else ""
    return {"ad_storage": text[2] == "1"} if text[:2] == "G1" and text[2:3] in {"0", "1"} else {}
