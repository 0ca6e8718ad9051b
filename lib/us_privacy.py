"""
US privacy signals: the string of the IAB's CCPA framework.

-- https://github.com/InteractiveAdvertisingBureau/USPrivacy/blob/master/CCPA/US%20Privacy%20String.md
"""

from __future__ import annotations

import re

#: Version, whether notice was given, whether the sale was opted out of, whether the contract covers it.
_US_PRIVACY = re.compile(r"1[YN-]([YN-])[YN-]", re.ASCII | re.IGNORECASE)


def opts_out_of_sale(us_privacy: object) -> bool:
    """Tell whether *us_privacy*, such as `1YYN`, opts out of the sale of data."""
    match = _US_PRIVACY.fullmatch(us_privacy.strip()) if isinstance(us_privacy, str) else None
    return match is not None and match[1] in "Yy"
