from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lib import graph_errors
from lib.errors import (
    GraphAPIError,
    InvalidAccessTokenError,
    MissingPermissionError,
    RateLimitError,
    Retry,
    TransientGraphAPIError,
)
from lib.graph_errors import APP_SECRET_PROOF, RANGES, ROWS, TRANSIENT, Row, row_of_error, row_of_status

KNOWN_CLASSES = {
    GraphAPIError,
    InvalidAccessTokenError,
    MissingPermissionError,
    RateLimitError,
    TransientGraphAPIError,
}
ALL_ROWS = (*ROWS, *(row for _, row in RANGES), APP_SECRET_PROOF, TRANSIENT)

#: The fact sheet's table, written down a second time: code, subcode, when the same work can succeed.
SHEET: list[tuple[int | None, int | None, type[GraphAPIError]]] = [
    (-1, None, TransientGraphAPIError),
    (-3, 9999999, TransientGraphAPIError),
    *((code, None, TransientGraphAPIError) for code in (1, 2, 803, 5000, 21009)),
    (1, 99, TransientGraphAPIError),
    *((code, None, RateLimitError) for code in (4, 17, 32, 341, 368, 613)),
    *((code, None, RateLimitError) for code in (80000, 80001, 80002, 80003, 80004, 80005, 80009, 80014)),
    *((4, subcode, RateLimitError) for subcode in (1504022, 1504039)),
    *((code, 2446079, RateLimitError) for code in (17, 80003, 80004)),
    *((613, subcode, RateLimitError) for subcode in (1487742, 5044001)),
    *((code, None, RateLimitError) for code in (1404078, 2859015)),
    *((100, subcode, RateLimitError) for subcode in (1404078, 2859015)),
    *((code, None, InvalidAccessTokenError) for code in (102, 104, 190)),
    *((190, n, InvalidAccessTokenError) for n in (452, 458, 459, 460, 463, 464, 465, 467, 492, 1)),
    *((code, None, MissingPermissionError) for code in (3, 10, 200, 201, 270, 273, 294, 299)),
    *((code, None, MissingPermissionError) for code in (2654, 2655, 2663, 2664, 1487301)),
    *((200, subcode, MissingPermissionError) for subcode in (1870034, 1870050, 1870090, 1870092)),
    *((None, subcode, MissingPermissionError) for subcode in (1870090, 1870092, 1487301)),
    *((code, None, MissingPermissionError) for code in (1870090, 1870092)),
    (100, 1870090, MissingPermissionError),
    (2654, 1713092, MissingPermissionError),
    *((code, None, GraphAPIError) for code in (100, 105, 194, 2635, 2650, 2656)),
    *((code, None, GraphAPIError) for code in (1404163, 1487366, 1870065, 2804030)),
    *((100, n, GraphAPIError) for n in (33, 34, 38, 9999, 1404163, 1487366, 1815356, 1870065, 2804030)),
    *((100, n, GraphAPIError) for n in (1713098, 1713228, 1713230, 1713231, 2804003, 2804009, 2804050)),
    *((100, n, GraphAPIError) for n in (2804001, 2804007, 2804016, 2804017, 2804019, 2804048)),
    (200, 1870047, GraphAPIError),
    (17, 1885172, GraphAPIError),
    (2650, 1870145, TransientGraphAPIError),
    (2650, 1870148, TransientGraphAPIError),
    *((2650, subcode, GraphAPIError) for subcode in (1870144, 1870147, 1870158, 1870159)),
]


def name_of(row: Row) -> str:
    return f"{row.code}/{row.subcode} {row.meaning}"


class TestRows:
    def test_no_numbers_have_two_rows(self) -> None:
        assert len(ROWS) == len({(row.code, row.subcode) for row in ROWS})

    def test_every_row_is_found_by_numbers_of_the_sheet(self) -> None:
        found = {row_of_error(code, subcode) for code, subcode, _ in SHEET}
        assert set() == {*ROWS, *(row for _, row in RANGES)} - found

    @pytest.mark.parametrize("row", ALL_ROWS, ids=name_of)
    def test_a_row_has_a_known_class_and_one_of_three_answers_to_trying_again(self, row: Row) -> None:
        assert row.error in KNOWN_CLASSES
        assert row.error.retry in Retry

    @pytest.mark.parametrize("row", ALL_ROWS, ids=name_of)
    def test_an_action_is_one_sentence_for_people(self, row: Row) -> None:
        if row.action is None:
            assert row.error.retry is Retry.LATER
        else:
            assert re.fullmatch(r"[A-Z][^\n]*[^ .]\.", row.action)
            assert ". " not in row.action
            assert len(row.action) <= 250

    @pytest.mark.parametrize("row", ALL_ROWS, ids=name_of)
    def test_a_meaning_stands_in_the_midst_of_a_sentence(self, row: Row) -> None:
        assert re.fullmatch(r"[^\n{}]{3,60}[^.]", row.meaning)

    @pytest.mark.parametrize("row", ALL_ROWS, ids=name_of)
    def test_a_row_names_sources_that_the_module_explains(self, row: Row) -> None:
        explained = set(re.findall(r"^([\w-]+) {2,}\S", graph_errors.__doc__ or "", flags=re.MULTILINE))
        assert {source.split()[0] for source in row.sources.split(", ")} <= explained

    @pytest.mark.parametrize("row", ALL_ROWS, ids=name_of)
    def test_only_a_rate_limit_has_a_wait(self, row: Row) -> None:
        assert row.wait is None or (row.error is RateLimitError and row.wait > 0)

    def test_rows_may_pass_in_smaller_requests_where_meta_says_so(self) -> None:
        assert {(1, None), (1, 99), (105, None)} == {(row.code, row.subcode) for row in ALL_ROWS if row.smaller}

    @pytest.mark.parametrize(
        ("code", "subcode", "words"),
        [
            pytest.param(200, 1870090, "accept the Custom Audience terms", id="terms"),
            pytest.param(190, 463, "The token has expired", id="expired"),
            pytest.param(100, 33, "lacks access or the id is wrong", id="access or id"),
            pytest.param(80003, 2446079, "Full access tier", id="allowance"),
            pytest.param(100, 1713230, "471", id="flagged"),
            pytest.param(2635, None, "graph_api.version", id="version"),
            pytest.param(104, None, "app_secret", id="proof"),
        ],
    )
    def test_an_action_says_what_helps(self, code: int, subcode: int | None, words: str) -> None:
        action = row_of_error(code, subcode).action
        assert action is not None
        assert words in action

    @pytest.mark.parametrize(
        ("subcode", "seconds"),
        [pytest.param(1487742, 300.0, id="score"), pytest.param(None, 3600.0, id="abuse")],
    )
    def test_a_rate_limit_knows_how_long_where_its_source_does(self, subcode: int | None, seconds: float) -> None:
        assert seconds == row_of_error(613, subcode).wait


class TestOrder:
    """By code and subcode, then `is_transient`, then the HTTP status."""

    @pytest.mark.parametrize(("code", "subcode", "expected"), SHEET)
    def test_numbers_of_the_sheet_decide_at_any_status(
        self, code: int | None, subcode: int | None, expected: type[GraphAPIError]
    ) -> None:
        for http_status in (200, 302, 400, 401, 403, 429, 500):
            for is_transient in (None, False):
                row = row_of_error(code, subcode, is_transient=is_transient, http_status=http_status)
                assert expected is row.error

    @pytest.mark.parametrize(
        ("code", "subcode", "expected"),
        [
            pytest.param(100, None, TransientGraphAPIError, id="a code that refuses in general gives way"),
            pytest.param(100, 7654321, TransientGraphAPIError, id="with an unknown subcode too"),
            pytest.param(9876, None, TransientGraphAPIError, id="an unknown code"),
            pytest.param(None, None, TransientGraphAPIError, id="no code"),
            pytest.param(100, 1713230, GraphAPIError, id="a row of both numbers stays"),
            pytest.param(100, 1487366, GraphAPIError, id="a row of the subcode stays"),
            pytest.param(105, None, GraphAPIError, id="what may pass in smaller requests stays"),
            pytest.param(190, None, InvalidAccessTokenError, id="the token stays"),
            pytest.param(190, 7654321, InvalidAccessTokenError, id="the token stays, whatever the subcode"),
            pytest.param(250, None, MissingPermissionError, id="a permission stays"),
            pytest.param(4, None, RateLimitError, id="a rate limit stays"),
        ],
    )
    def test_is_transient(self, code: int | None, subcode: int | None, expected: type[GraphAPIError]) -> None:
        assert expected is row_of_error(code, subcode, is_transient=True, http_status=400).error

    @pytest.mark.parametrize("is_transient", [None, False])
    @pytest.mark.parametrize(
        ("http_status", "of_a_code", "of_none"),
        [
            (200, GraphAPIError, TransientGraphAPIError),
            (302, GraphAPIError, GraphAPIError),
            (400, GraphAPIError, GraphAPIError),
            (401, InvalidAccessTokenError, InvalidAccessTokenError),
            (403, MissingPermissionError, MissingPermissionError),
            (404, GraphAPIError, GraphAPIError),
            (408, TransientGraphAPIError, TransientGraphAPIError),
            (429, RateLimitError, RateLimitError),
            (500, TransientGraphAPIError, TransientGraphAPIError),
            (503, TransientGraphAPIError, TransientGraphAPIError),
        ],
    )
    def test_the_status_decides_on_the_unknown(
        self,
        http_status: int,
        is_transient: bool | None,
        of_a_code: type[GraphAPIError],
        of_none: type[GraphAPIError],
    ) -> None:
        def error(code: int | None, subcode: int | None) -> type[GraphAPIError]:
            return row_of_error(code, subcode, is_transient=is_transient, http_status=http_status).error

        assert of_a_code is error(9876, None)
        assert of_a_code is error(9876, 7654321)
        assert of_none is error(None, None)
        assert of_none is error(None, 7654321)

    @pytest.mark.parametrize(
        ("http_status", "expected"),
        [
            (200, TransientGraphAPIError),
            (302, GraphAPIError),
            (400, TransientGraphAPIError),
            (401, InvalidAccessTokenError),
            (403, TransientGraphAPIError),
            (404, TransientGraphAPIError),
            (408, TransientGraphAPIError),
            (429, RateLimitError),
            (502, TransientGraphAPIError),
        ],
    )
    def test_a_body_that_is_no_json_may_pass_next_time(self, http_status: int, expected: type[GraphAPIError]) -> None:
        assert expected is row_of_status(http_status, is_json=False).error

    @given(
        code=st.none() | st.integers(-(10**7), 10**7),
        subcode=st.none() | st.integers(-(10**7), 10**7),
        is_transient=st.none() | st.booleans(),
        http_status=st.integers(0, 999),
    )
    def test_any_numbers_give_a_known_class(
        self, code: int | None, subcode: int | None, is_transient: bool | None, http_status: int
    ) -> None:
        row = row_of_error(code, subcode, is_transient=is_transient, http_status=http_status)
        assert row.error in KNOWN_CLASSES
