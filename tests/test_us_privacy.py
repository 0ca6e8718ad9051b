"""US privacy strings and GPP strings, held to the examples of the IAB."""

from __future__ import annotations

import time
from typing import Any, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lib.us_privacy import opts_out_of_sale

#: A TC string of the EU, as the GPP carries it; it says nothing about a sale.
TCF: Final = "CPSG_8APSG_8ANwAAAENAwCAAAAAAAAAAAAAAAAAAAAA.QAAA.IAAA"
#: GPP header of each section alone, SaleOptOut 1, SaleOptOut 2: as @iabgpp/cmpapi 3.2.0, the IAB's own encoder, writes.
SECTIONS: Final = {
    "usnat": ("DBABLA~CAAQAAAAAABA.QA", "DBABLA~CAAgAAAAAABA.QA"),
    "usca": ("DBABBg~BAQAAABA.QA", "DBABBg~BAgAAABA.QA"),
    "usva": ("DBABRg~BAQAABA", "DBABRg~BAgAABA"),
    "usco": ("DBABJg~BAQAAEA.QA", "DBABJg~BAgAAEA.QA"),
    "usut": ("DBABFg~BAEAAAQA", "DBABFg~BAIAAAQA"),
    "usct": ("DBABVg~BAQAAAEA.QA", "DBABVg~BAgAAAEA.QA"),
    "usfl": ("DBABAw~BAQAAABA", "DBABAw~BAgAAABA"),
    "usmt": ("DBABQw~BAQAAABA.QA", "DBABQw~BAgAAABA.QA"),
    "usor": ("DBABIw~BAQAAAABAA.QA", "DBABIw~BAgAAAABAA.QA"),
    "ustx": ("DBABEw~BAQAAAQA.QA", "DBABEw~BAgAAAQA.QA"),
    "usde": ("DBABUw~BAQAAAABAA.QA", "DBABUw~BAgAAAABAA.QA"),
    "usia": ("DBABCw~BAEAAAQA.QA", "DBABCw~BAIAAAQA.QA"),
    "usne": ("DBABSw~BAQAAAQA.QA", "DBABSw~BAgAAAQA.QA"),
    "usnh": ("DBABKw~BAQAAABA.QA", "DBABKw~BAgAAABA.QA"),
    "usnj": ("DBABAYA~BAQAAAAAQA.QA", "DBABAYA~BAgAAAAAQA.QA"),
    "ustn": ("DBABQYA~BAQAAAQA.QA", "DBABQYA~BAgAAAQA.QA"),
    "usmn": ("DBABIYA~BAQAAAQA.QA", "DBABIYA~BAgAAAQA.QA"),
}


class TestUSPrivacyString:
    """
    Version, notice, opt-out, contract.

    -- https://github.com/InteractiveAdvertisingBureau/USPrivacy/blob/master/CCPA/US%20Privacy%20String.md
    """

    @pytest.mark.parametrize(
        ("value", "expected"),
        [
            pytest.param("1YYN", True, id="opted out"),
            pytest.param("1NYN", True, id="opted out without notice"),
            pytest.param("1YYY", True, id="opted out under the contract"),
            pytest.param(" 1yyn ", True, id="in small letters, with spaces"),
            pytest.param("1YNN", False, id="not opted out"),
            pytest.param("1YN-", False, id="contract not applicable"),
            pytest.param("1---", False, id="not applicable"),
            pytest.param("1Y-N", False, id="opt-out not applicable"),
        ],
    )
    def test_its_third_sign_is_the_opt_out(self, value: str, expected: object) -> None:
        assert opts_out_of_sale(value) is expected

    @pytest.mark.parametrize(
        "value",
        [
            "",
            "1",
            "1YY",
            "1YYNN",
            "2YYN",
            "YYN",
            "1YYX",
            "1ÝYN",
            "undefined",
            None,
            True,
            1.5,
            ["1YYN"],
            {"a": "1YYN"},
        ],
    )
    def test_what_is_none_says_nothing(self, value: Any) -> None:
        assert opts_out_of_sale(value) is False


class TestGPP:
    @pytest.mark.parametrize("section", SECTIONS)
    def test_a_section_in_which_the_sale_is_opted_out_of(self, section: str) -> None:
        assert opts_out_of_sale(SECTIONS[section][0])

    @pytest.mark.parametrize("section", SECTIONS)
    def test_a_section_in_which_it_is_not(self, section: str) -> None:
        assert not opts_out_of_sale(SECTIONS[section][1])

    @pytest.mark.parametrize(
        ("value", "expected"),
        [
            # Core/Consent String Specification.md, "GPP String Examples"; its headers are padded to 6 bits or to 8.
            pytest.param(f"DBABMA~{TCF}", False, id="specification 1: the EU alone"),
            pytest.param(f"DBACNYA~{TCF}~1YNN", False, id="specification 2: the EU and US privacy"),
            pytest.param(f"DBABjw~{TCF}~1YNN", False, id="specification 3: Canada and US privacy as a range"),
            # iabgpp-es, test/GppModel.test.ts
            pytest.param("DBABTA~1YNN", False, id="reference: US privacy alone"),
            pytest.param("DBABTA~1YYN", True, id="reference: US privacy, opted out"),
            pytest.param("DBABLA~BVQqAAAAAgA.QA", False, id="reference: usnat with notices, not opted out"),
            pytest.param("DBAA", False, id="reference: a header without sections"),
            pytest.param(
                "DBACOaw~CPSG_8APSG_8AAAAAAENAACAAAAAAAAAAAAAAAAAAAAA.QAAA.IAAA~CPSG_8APSG_8AAAAAAENAACAAAAAAAAAAAAAAAAA"
                ".YAAAAAAAAAA~1---~BAAAAAAAAAA.QA~BAAAAAAA.QA~BAAAAAA~BAAAAAA.QA~BAAAAAAA~BAAAAAAA.QA",
                False,
                id="reference: every section, nothing said",
            ),
            # iabgpp-es, test/encoder/section/*.test.ts, behind the header of the section
            pytest.param("DBABLA~BVVVkkkkkpFY.YA", True, id="reference: usnat 1, all opted out"),
            pytest.param("DBABLA~BVVVkkkkkpFY", True, id="reference: usnat 1, without a GPC segment"),
            pytest.param("DBABBg~BVWSSSVY.YA", True, id="reference: usca, opted out"),
            pytest.param("DBABBg~BbYbGwXY.YA", True, id="reference: usca, of the sale alone"),
            pytest.param("DBABFg~BVVkklW", True, id="reference: usut, opted out"),
            pytest.param("DBABCw~BVVkklW.Y", True, id="reference: usia, opted out"),
            # @iabgpp/cmpapi 3.2.0
            pytest.param("DBABLA~CAAEAAAAAABA.QA", True, id="usnat: of sharing alone"),
            pytest.param("DBABBg~BAEAAABA.QA", True, id="usca: of sharing alone"),
            pytest.param("DBABLA~CAAhAAAAAABA.QA", False, id="usnat: of targeted advertising alone"),
            pytest.param("DBABLA~CVQqAAAAAABA.QA", False, id="usnat 2: every notice, no opt-out"),
            pytest.param("DBABBg~BUoAAABA.QA", False, id="usca: every notice, no opt-out"),
            pytest.param("DBABFg~BAYAAAQA", False, id="usut: notice of sensitive data, no opt-out"),
            pytest.param("DBABCw~BAYAAAQA.QA", False, id="usia: notice of sensitive data, no opt-out"),
            pytest.param("DBABrw~CAAoAAAAAABA.QA~BAQAAABA.QA", True, id="the second of two sections"),
            pytest.param(f"DBADNamA~{TCF}~1YNN~BAQAAAQA.QA", True, id="the third of three sections"),
            pytest.param("DBABxmA~BAgAABA~BAgAAEA.QA~BAEAAAQA~BAgAAAEA.QA", True, id="one of a range of sections"),
            pytest.param(" DBABTA~1YYN\n", True, id="with spaces around"),
        ],
    )
    def test_published_and_reference_examples(self, value: str, expected: object) -> None:
        assert opts_out_of_sale(value) is expected

    @pytest.mark.parametrize(
        "value",
        [
            pytest.param("DBABEYA~BQBA.QA", id="usmd"),
            pytest.param("DBABUYA~BQBA.AAA", id="usin"),
            pytest.param("DBABCYA~BQBA.AAA", id="usky"),
            pytest.param("DBABSYA~BQBA.AAA", id="usri"),
            pytest.param("DBABBg~CAQAAABA.QA", id="usca of a version to come"),
            pytest.param("DBABLA~DAAQAAAAAABA.QA", id="usnat of a version to come"),
        ],
    )
    def test_a_layout_that_nobody_has_settled_says_nothing(self, value: str) -> None:
        assert not opts_out_of_sale(value)

    @pytest.mark.parametrize(
        "value",
        [
            pytest.param("~", id="nothing but a tilde"),
            pytest.param("~~~~1YYN", id="no header"),
            pytest.param("DBABTA", id="no section"),
            pytest.param("DBABTA~", id="empty section"),
            pytest.param("DBABTA~1YY", id="cut section"),
            pytest.param("DBABLA~C", id="cut before the opt-outs"),
            pytest.param("DBABLA~CAA", id="cut before their second bit"),
            pytest.param("DBABL~", id="cut header"),
            pytest.param("DB~1YYN", id="header without a count"),
            pytest.param("CBABTA~1YYN", id="header of another type"),
            pytest.param("DCABTA~1YYN", id="header of another version"),
            pytest.param("DBAB%A~1YYN", id="header that is no base64url"),
            pytest.param("DBABLA~CA Q", id="section that is no base64url"),
            pytest.param("DBABLA~CA+QAAAA", id="section in the other base64"),
            pytest.param("DBABAAAAAAAAAAAA~1YYN", id="a number that does not end"),
            pytest.param("DBACTA~1YNN~1YYN", id="a count of more ids than there are"),
            pytest.param("DBD_" + "_" * 2_000 + "~1YYN", id="4,095 ranges"),
        ],
    )
    def test_what_is_malformed_says_nothing(self, value: str) -> None:
        assert not opts_out_of_sale(value)

    @given(st.text(st.sampled_from("DBACMNTLw_-~.1YN%ä"), max_size=60))
    def test_nothing_makes_it_fail(self, value: str) -> None:
        assert opts_out_of_sale(value) in {True, False}

    @given(st.text(st.characters(codec="ascii", categories=["L", "N"]), max_size=80), st.text(max_size=40))
    def test_no_header_makes_it_fail(self, header: str, section: str) -> None:
        assert opts_out_of_sale(f"DB{header}~{section}") in {True, False}

    @pytest.mark.parametrize("value", ["D" * 10**6, "DB" + "_" * 10**6 + "~1YYN", "DBABLA~" + "A" * 10**6, "~" * 10**6])
    def test_a_very_long_text_costs_little(self, value: str) -> None:
        began = time.monotonic()
        opts_out_of_sale(value)
        assert time.monotonic() - began < 10
