"""
US privacy signals: the string of the IAB's CCPA framework, and that of its Global Privacy Platform (GPP).

-- https://github.com/InteractiveAdvertisingBureau/USPrivacy/blob/master/CCPA/US%20Privacy%20String.md
-- https://github.com/InteractiveAdvertisingBureau/Global-Privacy-Platform/blob/main/Core/Consent%20String%20Specification.md
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Final

#: Where events hold a US privacy string or one of the GPP: under the IAB's names for URL parameters (`us_privacy`,
#: `gpp`), which the clients of server-side GTM take over as keys, or as consent platforms' variables call them.
#: The GA4 client sends neither.
US_PRIVACY_KEYS: Final = ("us_privacy", "usprivacy", "us_privacy_string", "gpp", "gpp_string")

#: Version, whether notice was given, whether the sale was opted out of, whether the contract covers it.
_US_PRIVACY = re.compile(r"1[YN-]([YN-])[YN-]", re.ASCII | re.IGNORECASE)

#: GPP section that is a US privacy string, in plain text.
_USPV1: Final = 6
#: GPP section and its version -> where SaleOptOut (and, in the first two, SharingOptOut) has its two bits: after six of
#: the version and two for each notice. Each layout stands so in Sections/ of the specification and in the IAB's own
#: encoder, @iabgpp/cmpapi 3.2.0. Of 24 to 27 (Maryland, Indiana, Kentucky, Rhode Island) the two differ: left out.
_OPT_OUTS: Final[Mapping[tuple[int, int], tuple[int, ...]]] = {
    (7, 1): (18, 20),  # usnat
    (7, 2): (18, 20),
    (8, 1): (12, 14),  # usca
    (11, 1): (14,),  # usut
    (18, 1): (14,),  # usia
    # usva, usco, usct, usfl, usmt, usor, ustx, usde, usne, usnh, usnj, ustn, usmn
    **{(section, 1): (12,) for section in (9, 10, 12, 13, 14, 15, 16, 17, 19, 20, 21, 22, 23)},
}
#: "1 Opted Out", "2 Did Not Opt Out", "0 Not Applicable".
_OPTED_OUT: Final = "01"
#: Signs that are looked at, of six bits each: of a header, and of a section up to its opt-outs.
_HEADER_SIGNS: Final = 128
_SECTION_SIGNS: Final = 4
_BASE64_URL: Final = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
_BITS: Final = {sign: f"{place:06b}" for place, sign in enumerate(_BASE64_URL)}


def opts_out_of_sale(signal: object) -> bool:
    """
    Tell whether *signal*, a US privacy string (`1YYN`) or a GPP string (`DBABTA~1YYN`), opts out of the sale of data.

    What is malformed says nothing.
    """
    text = signal.strip() if isinstance(signal, str) else ""
    header, *sections = text.split("~")
    if not sections:
        return _us_privacy_opts_out(text)
    return any(_section_opts_out(*one) for one in zip(_section_ids(header), sections, strict=False))


def _us_privacy_opts_out(text: str) -> bool:
    match = _US_PRIVACY.fullmatch(text)
    return match is not None and match[1] in "Yy"


def _section_opts_out(section: int, text: str) -> bool:
    if section == _USPV1:
        return _us_privacy_opts_out(text)
    bits = _bits(text.partition(".")[0][:_SECTION_SIGNS])
    places = _OPT_OUTS.get((section, int(bits[:6] or "0", 2)), ())
    return any(bits[place : place + 2] == _OPTED_OUT for place in places)


def _section_ids(header: str) -> Iterator[int]:
    """Yield the ids of the sections, in the order in which they follow: type 3, version 1, a Range(Fibonacci)."""
    bits = _bits(header[:_HEADER_SIGNS])
    if not bits.startswith("000011000001"):
        return
    rest = iter(bits[24:])
    last = 0
    for _ in range(int(bits[12:24] or "0", 2)):
        is_group = next(rest, "") == "1"
        first = last + _fibonacci(rest)
        end = first + (_fibonacci(rest) if is_group else 0)
        if first == last:
            return
        yield from range(first, end + 1)
        last = end


def _fibonacci(bits: Iterator[str]) -> int:
    """Return the next number: a sum of Fibonacci numbers that ends with two ones in a row; 0 at the end."""
    value, before, worth, following = 0, "", 1, 2
    for bit in bits:
        if bit == before == "1":
            return value
        value += worth * (bit == "1")
        before, worth, following = bit, following, worth + following
    return 0


def _bits(text: str) -> str:
    """Return the bits of base64url without padding; nothing where a sign is none of it."""
    signs = [_BITS.get(sign, "") for sign in text]
    return "".join(signs) if all(signs) else ""
