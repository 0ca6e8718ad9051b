"""
SHA-256 as Meta wants it, and how to know that the sender hashed already.

"Hash = SHA-256, using lowercase for A through F"
-- https://developers.facebook.com/docs/marketing-api/audiences/guides/custom-audiences
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Sequence
from hashlib import sha256
from typing import Final, NewType

#: 64 lower-case hexadecimal digits. Only this module makes one.
Sha256Hex = NewType("Sha256Hex", str)

#: What an upstream sends that hashes without looking: everybody would match everybody.
HASH_OF_NOTHING: Final = Sha256Hex(sha256(b"").hexdigest())

#: Meta's Parameter Builder marks what it has hashed with `.` and eight characters, its older versions with two.
#: -- https://github.com/facebook/capi-param-builder
_MARKED_HEX = re.compile(r"([0-9A-Fa-f]{64})(\.(?:[A-Za-z0-9_-]{8}|AQ|Ag|Aw|BA|BQ|Bg))", re.ASCII)
_MD5_OR_SHA1 = re.compile(r"[0-9A-Fa-f]{32}|[0-9A-Fa-f]{40}", re.ASCII)
#: 32 bytes, in either alphabet; of the 43rd character's six bits the last two are no part of them, and zero.
_BASE64 = re.compile(r"[A-Za-z0-9+/_-]{42}[AEIMQUYcgkosw048]=", re.ASCII)

#: Lengths that a digest can have; every other text is plain, and most of them are told by this alone.
DIGEST_LENGTHS: Final = frozenset({32, 40, 44, 64, 64 + 3, 64 + 9})


def sha256_hex(text: str) -> Sha256Hex:
    """Return the digest of *text* in UTF-8."""
    return sha256(text.encode()).hexdigest()  # type: ignore[return-value] # calling the type costs a third of the hash


def as_sha256_hex(text: str) -> tuple[Sha256Hex, str] | None:
    """
    Return the digest that *text* is, and the Parameter Builder's suffix (`""` without one); None for plain text.

    Hexadecimal digits of either case and the 44 characters of base64 (either alphabet) are understood.
    """
    if len(text) == 64:
        # The usual form, and this the fastest way to know it: without spaces, unlike bytes.fromhex.
        try:
            binascii.a2b_hex(text)
        except ValueError:
            return None
        return text.lower(), ""  # type: ignore[return-value] # as above
    if match := _MARKED_HEX.fullmatch(text):
        return Sha256Hex(match[1].lower()), match[2]
    if _BASE64.fullmatch(text):
        return Sha256Hex(base64.b64decode(text.translate(_URL_SAFE)).hex()), ""
    return None


def is_foreign_digest(text: str) -> bool:
    """Tell whether *text* looks like MD5 or SHA-1, of which Meta takes neither."""
    return _MD5_OR_SHA1.fullmatch(text) is not None


def is_sha256_column(cells: Sequence[str]) -> bool:
    """Tell whether each cell is `""` or 64 lower-case hexadecimal digits: the last check before the wire."""
    # In parts that stay in the processor's cache.
    return all(is_sha256_part(cells[start : start + 1_000]) for start in range(0, len(cells), 1_000))


def is_sha256_part(cells: Sequence[str]) -> bool:
    """Do the same with at most some thousand cells."""
    return set(map(len, cells)) <= {0, 64} and not "".join(cells).encode().translate(None, b"0123456789abcdef")


_URL_SAFE: Final = str.maketrans("-_", "+/")
