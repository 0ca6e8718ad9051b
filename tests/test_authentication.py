"""Who calls: keys, signatures and what a caller may do (design, section 6; reliability, section 4)."""

from __future__ import annotations

import ast
import hashlib
import hmac
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lib import authentication
from lib.authentication import Credentials, Rights, authenticate
from lib.errors import ForbiddenError, UnauthorizedError

NOW: Final = 1_800_000_000
KEY: Final = b"the key of sgtm"
BODY: Final = b'{"action":"add"}'
#: Made with openssl: printf '%s.%s' TIMESTAMP BODY | openssl dgst -sha256 -mac HMAC -macopt hexkey:KEY
VECTORS: Final = json.loads((Path(__file__).parent / "data" / "signatures.json").read_text(encoding="utf-8"))


def who(
    headers: Mapping[str, str],
    body: bytes = BODY,
    keys: Mapping[str, Iterable[bytes]] | None = None,
    *,
    now: float = NOW,
) -> str | None:
    """Return the caller's name; None where it is nobody."""
    try:
        return authenticate(Credentials.from_headers(headers), body, keys or {"sgtm": [KEY]}, now=now)
    except UnauthorizedError:
        return None


def signed(body: bytes = BODY, key: bytes = KEY, timestamp: int | str = NOW) -> dict[str, str]:
    """Return the headers that a signing caller sends."""
    signature = hmac.new(key, f"{timestamp}.".encode() + body, hashlib.sha256).hexdigest()
    return {"x-relay-timestamp": str(timestamp), "x-relay-signature": signature}


class TestKey:
    @pytest.mark.parametrize(
        "headers",
        [
            pytest.param({"authorization": "Bearer the key of sgtm"}, id="bearer"),
            pytest.param({"authorization": "bearer the key of sgtm"}, id="bearer in small letters"),
            pytest.param({"authorization": "BEARER  the key of sgtm "}, id="spaces around"),
            pytest.param({"x-relay-key": "the key of sgtm"}, id="a header of its own"),
            pytest.param({"x-relay-key": " the key of sgtm\t"}, id="a header of its own, spaces around"),
            pytest.param(
                {"authorization": "Bearer eyJhbGciOi.of.google", "x-relay-key": "the key of sgtm"},
                id="beside Google's own token",
            ),
            pytest.param({"authorization": "Basic dTpw", "x-relay-key": "the key of sgtm"}, id="beside another scheme"),
            pytest.param(
                {"authorization": "Bearer the key of sgtm", "x-relay-key": "another"}, id="beside another key"
            ),
            pytest.param({"x-relay-key": "another"} | signed(), id="a signature beside another key"),
        ],
    )
    def test_the_right_one(self, headers: dict[str, str]) -> None:
        assert who(headers) == "sgtm"

    @pytest.mark.parametrize(
        "headers",
        [
            pytest.param({}, id="none"),
            pytest.param({"authorization": ""}, id="empty"),
            pytest.param({"authorization": "Bearer"}, id="bearer alone"),
            pytest.param({"authorization": "Bearer "}, id="bearer and a space"),
            pytest.param({"authorization": "the key of sgtm"}, id="no scheme"),
            pytest.param({"authorization": "Basic the key of sgtm"}, id="another scheme"),
            pytest.param({"authorization": "Bearer, the key of sgtm"}, id="a comma"),
            pytest.param({"authorization": "Bearer the key of sgtm, Bearer x"}, id="two with a comma"),
            pytest.param({"authorization": "Bearer the  key of sgtm"}, id="two spaces inside"),
            pytest.param({"authorization": "Bearer The key of sgtm"}, id="another case"),
            pytest.param({"authorization": "Bearer the key of sgt"}, id="cut"),
            pytest.param({"authorization": "Bearer the key of sgtmm"}, id="longer"),
            pytest.param({"authorization": "Bearer \u0442he key of sgtm"}, id="a sign that looks alike"),
            pytest.param({"authorization": "Bearer \U0001f511"}, id="beyond latin-1"),
            pytest.param({"x-relay-key": "the key of sgtm\x00"}, id="a zero byte"),
            pytest.param({"x-relay-key": "\u00a0the key of sgtm"}, id="a space of another kind"),
            pytest.param({"x-relay-key": ""}, id="empty header of its own"),
        ],
    )
    def test_anything_else_is_nobodys(self, headers: dict[str, str]) -> None:
        assert who(headers) is None

    def test_a_key_beyond_ascii_comes_as_its_bytes(self) -> None:
        assert (
            who({"x-relay-key": "schlüssel à".encode().decode("latin-1")}, keys={"a": ["schlüssel à".encode()]}) == "a"
        )

    def test_a_question_mark_stands_for_nothing(self) -> None:
        assert who({"x-relay-key": "ключ"}, keys={"a": [b"????"]}) is None

    @pytest.mark.parametrize("order", [(b"old", b"new"), (b"new", b"old")])
    @pytest.mark.parametrize("shown", ["old", "new"])
    def test_two_are_current_while_one_is_rotated(self, order: tuple[bytes, ...], shown: str) -> None:
        assert who({"x-relay-key": shown}, keys={"a": order}) == "a"
        assert who({"x-relay-key": "older"}, keys={"a": order}) is None

    def test_each_caller_has_its_own(self) -> None:
        keys = {"a": [b"key-a"], "b": [b"key-b", b"key-c"], "c": []}
        shown = ("key-a", "key-b", "key-c", "key-d")
        assert [who({"x-relay-key": key}, keys=keys) for key in shown] == ["a", "b", "b", None]

    @pytest.mark.parametrize("empty", [b"", b" ", b"\n", b" \r\n\t"])
    @pytest.mark.parametrize("headers", [{}, {"authorization": "Bearer "}, {"x-relay-key": " "}, signed(key=b"")])
    def test_an_empty_key_is_nobodys(self, headers: dict[str, str], empty: bytes) -> None:
        assert who(headers, keys={"a": [empty]}) is None
        assert who(signed(key=empty), keys={"a": [empty]}) is None

    def test_the_line_feed_at_the_end_of_a_secret_does_not_count(self) -> None:
        assert who({"x-relay-key": "key"}, keys={"a": [b"key\n"]}) == "a"

    def test_a_refusal_has_no_detail(self) -> None:
        with pytest.raises(UnauthorizedError) as caught:
            authenticate(Credentials.from_headers({"x-relay-key": "key"}), BODY, {}, now=NOW)
        assert (caught.value.message, caught.value.field, caught.value.action) == ("unauthorized", None, None)


class TestSignature:
    """The hexadecimal HMAC-SHA256 of "<timestamp>.<raw body>"."""

    @pytest.mark.parametrize("number", range(len(VECTORS)))
    def test_vectors_of_openssl(self, number: int) -> None:
        vector = VECTORS[number]
        headers = {"x-relay-timestamp": vector["timestamp"], "x-relay-signature": vector["signature"]}
        key, body = bytes.fromhex(vector["key"]), bytes.fromhex(vector["body"])
        assert who(headers, body, {"a": [key]}, now=int(vector["timestamp"])) == "a"
        assert who(headers, body + b" ", {"a": [key]}, now=int(vector["timestamp"])) is None

    def test_there_are_enough_vectors(self) -> None:
        assert len({vector["signature"] for vector in VECTORS}) >= 20

    @pytest.mark.parametrize(
        ("off", "expected"),
        [(-301, None), (-300, "sgtm"), (-299, "sgtm"), (0, "sgtm"), (299, "sgtm"), (300, "sgtm"), (301, None)],
    )
    def test_at_most_five_minutes_off_either_way(self, off: int, expected: str | None) -> None:
        assert who(signed(timestamp=NOW + off)) == expected

    def test_a_part_of_a_second_beyond_counts(self) -> None:
        assert (who(signed(), now=NOW + 300.0), who(signed(), now=NOW + 300.5)) == ("sgtm", None)

    @pytest.mark.parametrize(
        "change",
        [
            pytest.param({"x-relay-timestamp": ""}, id="no timestamp"),
            pytest.param({"x-relay-timestamp": f"{NOW}.0"}, id="timestamp with a fraction"),
            pytest.param({"x-relay-timestamp": f"+{NOW}"}, id="timestamp with a sign"),
            pytest.param({"x-relay-timestamp": "1_800_000_000"}, id="timestamp with underscores"),
            pytest.param({"x-relay-timestamp": "١٨٠٠٠٠٠٠٠٠"}, id="timestamp in other digits"),
            pytest.param({"x-relay-timestamp": f"{NOW}, {NOW}"}, id="two timestamps"),
            pytest.param({"x-relay-timestamp": "9" * 13}, id="timestamp of 13 digits"),
            pytest.param({"x-relay-timestamp": "9" * 5_000}, id="timestamp of 5,000 digits"),
            pytest.param({"x-relay-timestamp": str(NOW + 1)}, id="another timestamp"),
            pytest.param({"x-relay-timestamp": f"0{NOW}"}, id="timestamp with a zero before it"),
            pytest.param({"x-relay-signature": ""}, id="no signature"),
            pytest.param({"x-relay-signature": "0" * 64}, id="zeros"),
            pytest.param({"x-relay-signature": "ä" * 64}, id="signature beyond ASCII"),
            pytest.param({"x-relay-signature": "٠" * 64}, id="signature in other digits"),
            pytest.param({"x-relay-signature": signed()["x-relay-signature"][:-1]}, id="cut signature"),
            pytest.param({"x-relay-signature": signed()["x-relay-signature"] + "0"}, id="longer signature"),
            pytest.param({"x-relay-signature": "v1," + signed()["x-relay-signature"]}, id="with a version"),
            pytest.param({"x-relay-signature": ",".join([signed()["x-relay-signature"]] * 2)}, id="two signatures"),
            pytest.param({"x-relay-signature": signed(key=b"another")["x-relay-signature"]}, id="of another key"),
            pytest.param({"x-relay-signature": signed(body=b"{}")["x-relay-signature"]}, id="of another body"),
        ],
    )
    def test_anything_else_is_nobodys(self, change: dict[str, str]) -> None:
        assert who(signed() | change) is None

    @pytest.mark.parametrize(
        "timestamp", ["١٨٠٠٠٠٠٠٠٠", "１８００００００００", f"{NOW}.0", f"+{NOW}", "1_800_000_000", f" {NOW}"]
    )
    def test_a_timestamp_of_another_form_is_refused_however_it_is_signed(self, timestamp: str) -> None:
        assert who(signed(timestamp=timestamp)) is None

    def test_capitals_and_spaces_around_do_not_matter(self) -> None:
        headers = {name: f" {value.upper()} " for name, value in signed().items()}
        assert who(headers) == "sgtm"

    @given(st.integers(0, 8 * len(BODY) - 1))
    def test_one_bit_of_the_body_counts(self, place: int) -> None:
        changed = bytearray(BODY)
        changed[place // 8] ^= 1 << place % 8
        assert who(signed(), bytes(changed)) is None

    def test_json_written_anew_is_another_body(self) -> None:
        assert who(signed(), json.dumps(json.loads(BODY)).encode()) is None

    def test_the_point_belongs_to_what_is_signed(self) -> None:
        assert who(signed(body=b"0.{}", timestamp=NOW // 10), b"{}", now=NOW) is None

    def test_the_key_is_the_secrets_bytes(self) -> None:
        assert who(signed(key=b"key\n"), keys={"a": [b"key\n"]}) == "a"
        assert who(signed(key=b"key"), keys={"a": [b"key\n"]}) is None

    def test_two_keys_while_one_is_rotated(self) -> None:
        keys = {"a": [b"old", b"new"]}
        assert [who(signed(key=key), keys=keys) for key in (b"old", b"new", b"older")] == ["a", "a", None]


_HOSTILE: Final = st.one_of(
    st.text(max_size=80),
    st.text(st.sampled_from("0123456789abcdefABCDEF,. \t=_-+vBearer\x00\r\nä\u0661\U0001f600"), max_size=80),
    st.sampled_from([*signed().values(), f"Bearer {KEY.decode()}", "Bearer", "garbage", "a,b", "v1,==", " " * 9]),
)


@given(
    headers=st.dictionaries(
        st.sampled_from(["authorization", "x-relay-key", "x-relay-timestamp", "x-relay-signature"]), _HOSTILE
    ),
    body=st.binary(max_size=40),
    keys=st.dictionaries(st.text(max_size=5), st.lists(st.binary(max_size=70), max_size=3), max_size=3),
    now=st.floats(0, 4e9),
)
def test_whatever_comes_it_is_a_caller_or_unauthorized(
    headers: dict[str, str], body: bytes, keys: dict[str, list[bytes]], now: float
) -> None:
    try:
        name = authenticate(Credentials.from_headers(headers), body, keys, now=now)
    except UnauthorizedError as error:
        assert error.message == "unauthorized"  # noqa: PT017 - not to be unauthorized is fine too
    else:
        assert any(key.strip() for key in keys[name])


class TestSecrets:
    def test_credentials_do_not_show_themselves(self) -> None:
        shown = repr(Credentials.from_headers({"x-relay-key": "Canary7c1f"} | signed()))
        assert "Canary7c1f" not in shown
        assert signed()["x-relay-signature"] not in shown

    def test_no_secret_is_compared_but_in_constant_time(self) -> None:
        """Neither `==` nor `in` on anything; what is compared so is named here."""
        tree = ast.parse(Path(authentication.__file__).read_text(encoding="utf-8"))
        compared = {
            ast.unparse(node)
            for node in ast.walk(tree)
            if isinstance(node, ast.Compare)
            and any(isinstance(op, ast.Eq | ast.NotEq | ast.In | ast.NotIn) for op in node.ops)
        }
        assert compared == {"scheme.casefold() == 'bearer'", "action not in self.actions"}
        assert not [node for node in ast.walk(tree) if isinstance(node, ast.Match)]

    def test_it_is_hmac_compare_digest_on_bytes_or_ascii(self) -> None:
        tree = ast.parse(Path(authentication.__file__).read_text(encoding="utf-8"))
        calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call)]
        assert sum(ast.unparse(call.func) == "hmac.compare_digest" for call in calls) == 2


class TestRights:
    @pytest.mark.parametrize(
        ("rights", "action", "connections"),
        [
            pytest.param(Rights(caller="a"), "erase", ["acme", "globex"], id="everything"),
            pytest.param(Rights(caller="a", actions=frozenset({"add"})), "add", ["acme"], id="the action"),
            pytest.param(Rights(caller="a", connections=frozenset({"acme"})), "add", ["acme"], id="the connection"),
            pytest.param(Rights(caller="a", connections=frozenset()), "add", [], id="no connection is needed"),
        ],
    )
    def test_what_a_caller_may(self, rights: Rights, action: str, connections: list[str]) -> None:
        rights.check(action=action, connections=connections)

    @pytest.mark.parametrize(
        ("rights", "action", "connections", "field"),
        [
            pytest.param(Rights(caller="a", actions=frozenset({"add"})), "remove", ["acme"], "action", id="action"),
            pytest.param(Rights(caller="a", actions=frozenset()), "add", [], "action", id="no action"),
            pytest.param(
                Rights(caller="a", connections=frozenset({"acme"})),
                "add",
                ["acme", "globex"],
                "connection",
                id="one of two",
            ),
            pytest.param(
                Rights(caller="a", connections=frozenset()), "add", ["acme"], "connection", id="no connection"
            ),
        ],
    )
    def test_what_a_caller_may_not(self, rights: Rights, action: str, connections: list[str], field: str) -> None:
        with pytest.raises(ForbiddenError) as caught:
            rights.check(action=action, connections=connections)
        assert caught.value.field == field

    @pytest.mark.parametrize(
        ("may", "asked", "configured", "allowed"),
        [
            pytest.param(False, ["ad_storage"], ["ad_storage"], True, id="the same"),
            pytest.param(False, ["ad_user_data", "ad_storage"], ["ad_storage"], True, id="more"),
            pytest.param(False, [], ["ad_storage"], False, id="nothing"),
            pytest.param(False, ["ad_user_data"], ["ad_storage"], False, id="something else"),
            pytest.param(False, [], [], True, id="nothing where nothing is configured"),
            pytest.param(True, [], ["ad_storage"], True, id="nothing, where it may"),
        ],
    )
    def test_asking_for_less_consent(self, may: Any, asked: list[str], configured: list[str], allowed: Any) -> None:
        rights = Rights(caller="a", may_lower_consent=may)
        if allowed:
            rights.check_consent(asked=asked, configured=configured)
            return
        with pytest.raises(ForbiddenError) as caught:
            rights.check_consent(asked=asked, configured=configured)
        assert caught.value.field == "consent.required"
