"""What a caller can send, as hypothesis strategies: any JSON, and texts that look like what people are known by."""

from __future__ import annotations

import base64
import hashlib
from datetime import date
from typing import Any

from hypothesis import strategies as st

from lib.identifiers import AUDIENCE_KEYS, NOT_IDENTIFYING
from lib.normalization import BLANKS, Context, Settings

TODAY = date(2026, 11, 24)

#: The keys that say who somebody is.
IDENTIFYING = tuple(key for key in AUDIENCE_KEYS if key not in NOT_IDENTIFYING)

_SCRIPTS = "aZéßİıŁÇñ\u0301\u0308ΣσςЁйاَשָׁकि्สมไ李정ㅎ\u110c\u1165\u11bcªⅧ２①"
_SIGNS = " -'.,’‘ʼ()/&+@_#\u00a0\u200b\u200d\ufeff\ufe0f❤👍\u20e3\t\n\x00"

#: Names, cities and the like: letters of many scripts, marks with and without their letter, signs, emoji.
words = st.text(alphabet=_SCRIPTS + _SIGNS, max_size=16)
phones = st.from_regex(
    r"(\+|00|\+00|0|tel:\+)?[1-9]\d{0,2}[ .-]?(\(0\))?[\d ./-]{3,12}( ?(x|ext\.) ?\d{1,4})?", fullmatch=True
)
emails = st.builds("{}@{}".format, words, st.sampled_from(["example.com", "Exämple.DE", "b@c", ""]))
dates = st.one_of(
    st.from_regex(r"\d{1,4}[-/. ]\d{1,2}[-/. ]\d{1,4}( \d\d:\d\d)?", fullmatch=True),
    st.dates().map(date.isoformat),
    st.from_regex(r"\d{8}", fullmatch=True),
)
#: Already hashed, in the forms that are understood and in those that are not.
digests = st.builds(
    lambda text, form: form(hashlib.sha256(text.encode())),
    st.text(max_size=3),
    st.sampled_from(
        [
            lambda digest: digest.hexdigest(),
            lambda digest: digest.hexdigest().upper(),
            lambda digest: digest.hexdigest() + ".AQQAAQEA",
            lambda digest: digest.hexdigest()[:40],
            lambda digest: digest.hexdigest()[:32],
            lambda digest: base64.b64encode(digest.digest()).decode(),
            lambda digest: base64.urlsafe_b64encode(digest.digest()).decode(),
        ]
    ),
)
blanks = st.sampled_from(sorted(BLANKS)).flatmap(
    lambda blank: st.sampled_from([blank, blank.upper(), f" {blank}\u00a0", f"\u200b{blank}"])
)
numbers = st.one_of(
    st.integers(-(2**63), 2**64 - 1),
    st.floats(allow_nan=False, allow_infinity=False),
    st.sampled_from([94035.0, 1e30, 0, 1, 1.0, -0.0, 2**53]),
)
codes = st.sampled_from(
    [
        "us",
        "DE",
        "United States",
        "Österreich",
        "California",
        "NSW",
        "Female",
        "herr",
        "ΆΝΔΡΑΣ",
        "2",
        "1987",
        "94035-1234",
    ]
)

#: Texts of every kind that a column can hold.
texts = st.one_of(words, phones, emails, dates, digests, blanks, codes, st.text(max_size=20))

scalars = st.one_of(st.none(), st.booleans(), numbers, texts)
#: Any JSON value.
json_values: st.SearchStrategy[Any] = st.recursive(
    scalars,
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=6), inner, max_size=3)),
    max_leaves=5,
)

countries = st.sampled_from([None, "us", "de", "gb", "jp", "it"])
settings_of_connections = st.builds(
    Settings,
    today=st.just(TODAY),
    default_country=countries,
    date_order=st.sampled_from(["mdy", "dmy"]),
    hash_external_id=st.booleans(),
    name_spaces=st.sampled_from(["keep", "drop"]),
    city_marks=st.sampled_from(["keep", "strip"]),
)
contexts = st.builds(Context, settings_of_connections, countries)
