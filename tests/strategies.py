"""What a caller can send, as hypothesis strategies: any JSON, and texts that look like what people are known by."""

from __future__ import annotations

import base64
import hashlib
from datetime import date
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

from lib.identifiers import AUDIENCE_KEYS, NOT_IDENTIFYING
from lib.normalization import BLANKS, Context, Settings

#: How a law is tried: in no given time, since the machine may be busy with other things.
laws = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])

TODAY = date(2026, 11, 24)

#: The keys that say who somebody is.
IDENTIFYING = tuple(key for key in AUDIENCE_KEYS if key not in NOT_IDENTIFYING)

_SCRIPTS = "aZéßİıŁÇñ\u0301\u0308ΣσςЁйاَשָׁकि्สมไ李정ㅎ\u110c\u1165\u11bcªⅧ２①"
_SIGNS = " -'.,’‘ʼ()/&+@_#\u00a0\u200b\u200d\ufeff\ufe0f❤👍\u20e3\t\n\x00"


def _joined(*parts: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return st.tuples(*parts).map("".join)


#: Names, cities and the like: letters of many scripts, marks with and without their letter, signs, emoji.
words = st.text(alphabet=_SCRIPTS + _SIGNS, max_size=16)
phones = _joined(
    st.sampled_from(["+", "00", "+00", "0", "", "tel:+", "(+", "\uff0b"]),
    st.sampled_from(["1", "49", "39", "81", "44 (0)", "049", "999", "(650)", ""]),
    st.text(alphabet="0123456789 -./", min_size=3, max_size=12),
    st.sampled_from(["", "", "", " x12", " ext. 3", "\u0660"]),
)
emails = st.builds(
    "{}@{}".format,
    st.sampled_from(["ada", "J.Ana+x"]) | words,
    st.sampled_from(["example.com", "Exämple.DE", "b@c", ""]),
)
dates = st.one_of(
    _joined(
        *(st.sampled_from(["1997", "2", "02", "16", "31", "0", "97", "1899", "2030"]), st.sampled_from("-/. ")),
        *(st.sampled_from(["2", "02", "16", "12", "31", "0"]), st.sampled_from("-/. ")),
        *(st.sampled_from(["1997", "2", "16", "97", "2030"]), st.sampled_from(["", "", " 0:00", "T10:00Z"])),
    ),
    st.dates().map(date.isoformat),
    st.integers(18_000_101, 20_301_231).map(str),
)
_DIGEST = hashlib.sha256(b"mary")
#: Already hashed, in the forms that are understood and in those that are not.
digests = st.sampled_from(
    [
        _DIGEST.hexdigest(),
        _DIGEST.hexdigest().upper(),
        _DIGEST.hexdigest() + ".AQQAAQEA",
        _DIGEST.hexdigest()[:40],
        _DIGEST.hexdigest()[:32],
        base64.b64encode(_DIGEST.digest()).decode(),
        base64.urlsafe_b64encode(b"\xff" * 32).decode(),
        hashlib.sha256(b"").hexdigest(),
    ]
)
blanks = st.sampled_from(
    [form.format(blank) for blank in sorted(BLANKS) for form in ("{}", " {}\u00a0", "\u200b{}", "({})")]
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
#: What stands in the cells of a table: any JSON value, mostly texts.
cells = st.one_of(texts, texts, scalars, st.sampled_from([[], ["a"], [[1]], {}, {"a": "b"}, True]))
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
