from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lib.hashing import (
    DIGEST_LENGTHS,
    HASH_OF_NOTHING,
    as_sha256_hex,
    is_foreign_digest,
    is_sha256_column,
    sha256_hex,
)
from tests.strategies import laws

MARY = hashlib.sha256(b"mary")
HEX = MARY.hexdigest()
#: Of the same text.
MD5 = "b8e7be5dfa2ce0714d21dcfc7d72382c"
SHA1 = "5665331b9b819ac358165f8c38970dc8c7ddb47d"


class TestDigest:
    def test_meta_publishes_it(self) -> None:
        expected = "f1904cf1a9d73a55fa5de0ac823c4403ded71afd4c3248d00bdcd0866552bb79"
        assert expected == sha256_hex("mary@example.com")

    def test_of_letters_beyond_ascii_is_that_of_their_utf_8(self) -> None:
        assert hashlib.sha256("정".encode()).hexdigest() == sha256_hex("정")

    def test_of_nothing_is_known(self) -> None:
        assert sha256_hex("") == HASH_OF_NOTHING


class TestWhatIsHashedAlready:
    @pytest.mark.parametrize(
        ("text", "expected"),
        [
            pytest.param(HEX, (HEX, ""), id="lower case"),
            pytest.param(HEX.upper(), (HEX, ""), id="upper case"),
            pytest.param(HEX[:32].upper() + HEX[32:], (HEX, ""), id="mixed case"),
            pytest.param(base64.b64encode(MARY.digest()).decode(), (HEX, ""), id="base64"),
            pytest.param(base64.urlsafe_b64encode(b"\xff" * 32).decode(), ("ff" * 32, ""), id="base64url"),
            pytest.param(HEX + ".AQQAAQEA", (HEX, ".AQQAAQEA"), id="Parameter Builder's suffix"),
            pytest.param(HEX + ".a-_Z0909", (HEX, ".a-_Z0909"), id="any suffix of eight"),
            pytest.param(HEX + ".Bg", (HEX, ".Bg"), id="suffix of an older Parameter Builder"),
        ],
    )
    def test_is_recognized(self, text: str, expected: tuple[str, str]) -> None:
        assert expected == as_sha256_hex(text)

    @pytest.mark.parametrize(
        "text",
        [
            pytest.param("", id="nothing"),
            pytest.param("mary", id="a name"),
            pytest.param(HEX[:-1], id="63 digits"),
            pytest.param(HEX + "0", id="65 digits"),
            pytest.param("g" + HEX[1:], id="a letter beyond f"),
            pytest.param("\uff10" + HEX[1:], id="a full-width digit"),
            pytest.param("0x" + HEX[2:], id="0x"),
            pytest.param(HEX + "\n", id="a line's end"),
            pytest.param(HEX + ".XX", id="an unknown short suffix"),
            pytest.param(HEX + ".AQQAAQE", id="a suffix of seven"),
            pytest.param("A" * 42 + "B=", id="base64 that no encoder writes"),
            pytest.param("A" * 44, id="base64 of 33 bytes"),
            pytest.param("A" * 41 + "!A=", id="a sign that base64 does not have"),
            pytest.param(MD5, id="MD5"),
            pytest.param(SHA1, id="SHA-1"),
            pytest.param(hashlib.sha512(b"mary").hexdigest(), id="SHA-512"),
        ],
    )
    def test_is_not_taken_for_anything_else(self, text: str) -> None:
        assert as_sha256_hex(text) is None

    @laws
    @given(
        st.binary(min_size=32, max_size=32),
        st.sampled_from([base64.b64encode, base64.urlsafe_b64encode, binascii.hexlify]),
    )
    def test_whoever_writes_32_bytes_is_understood(self, digest: bytes, write: Callable[[bytes], bytes]) -> None:
        assert (digest.hex(), "") == as_sha256_hex(write(digest).decode())

    @laws
    @given(st.text(alphabet="0123456789abcdefABCDEF.AQgw+/-_=", max_size=80))
    def test_the_length_alone_tells_most_plain_texts(self, text: str) -> None:
        assert len(text) in DIGEST_LENGTHS or (as_sha256_hex(text) is None and not is_foreign_digest(text))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param(MD5, True, id="MD5"),
        pytest.param(MD5.upper(), True, id="MD5 in upper case"),
        pytest.param(SHA1, True, id="SHA-1"),
        pytest.param(HEX, False, id="SHA-256"),
        pytest.param("g" * 32, False, id="32 letters"),
        pytest.param("", False, id="nothing"),
    ],
)
def test_a_foreign_digest_is_told_by_its_length(text: str, expected: bool) -> None:
    assert expected is is_foreign_digest(text)


class TestTheCheckBeforeTheWire:
    @pytest.mark.parametrize(
        "column",
        [
            pytest.param([], id="no cells"),
            pytest.param([""], id="an empty cell"),
            pytest.param([HEX], id="a hash"),
            pytest.param([HEX, "", HEX], id="hashes and empty cells"),
        ],
    )
    def test_passes(self, column: list[str]) -> None:
        assert is_sha256_column(column)

    @pytest.mark.parametrize(
        "column",
        [
            pytest.param(["mary"], id="a plain text"),
            pytest.param([HEX, "mary"], id="a plain text beside a hash"),
            pytest.param([HEX.upper()], id="upper case"),
            pytest.param(["g" + HEX[1:]], id="64 characters that are no hash"),
            pytest.param(["é" + HEX[1:]], id="64 characters beyond ASCII"),
            pytest.param([HEX + HEX], id="two hashes in a cell"),
            pytest.param([" "], id="a space"),
            pytest.param([HEX + ".AQQAAQEA"], id="a suffix"),
        ],
    )
    def test_stops(self, column: list[str]) -> None:
        assert not is_sha256_column(column)

    @laws
    @given(st.lists(st.text(alphabet="0aF ", max_size=2) | st.just(HEX), max_size=4))
    def test_looks_at_each_cell(self, column: list[str]) -> None:
        assert all(cell in {"", HEX} for cell in column) is is_sha256_column(column)
