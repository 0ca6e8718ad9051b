from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from lib.report import MAX_LISTED, Reject, Report
from tests.strategies import laws


class TestRejects:
    def test_are_listed_by_row(self) -> None:
        report = Report()
        report.reject_row(3, "too short")
        report.reject_cell(1, "PHONE", "not a phone number")
        report.reject_cell(1, "EMAIL", "not an e-mail address", audience_id="23")
        assert report.listed() == [
            {"row": 1, "field": "PHONE", "reason": "not a phone number"},
            {"row": 1, "field": "EMAIL", "reason": "not an e-mail address", "audience_id": "23"},
            {"row": 3, "field": None, "reason": "too short"},
        ]

    def test_are_listed_up_to_a_limit_and_counted_beyond(self) -> None:
        report = Report()
        for number in range(MAX_LISTED + 5):
            report.reject_row(number, "too short")
        assert (MAX_LISTED, 5) == (len(report.listed()), report.unlisted())
        assert report.counted(None) == {"too short": MAX_LISTED + 5}
        assert report.rejected_rows(None) == MAX_LISTED + 5

    def test_of_cells_are_not_rows(self) -> None:
        report = Report()
        report.reject_cell(0, "PHONE", "not a phone number")
        assert report.rejected_rows(None) == 0

    def test_of_one_destination_are_not_those_of_another(self) -> None:
        report = Report()
        report.reject_row(0, "not enough identifiers")
        report.reject_row(1, "not a number of at least 0", field="LOOKALIKE_VALUE", audience_id="23")
        assert [1, 2, 1] == [report.rejected_rows(audience) for audience in (None, "23", "42")]
        assert report.counted("42") == {"not enough identifiers": 1}
        assert report.counted("23") == {
            "not enough identifiers": 1,
            "LOOKALIKE_VALUE: not a number of at least 0": 1,
        }


class TestWarnings:
    def test_are_given_once_and_in_their_order(self) -> None:
        report = Report()
        for text in ("PHONE: no country", "DOB: ambiguous", "PHONE: no country"):
            report.warn(text)
        assert list(report.warnings) == ["PHONE: no country", "DOB: ambiguous"]


rejects = st.builds(Reject, st.integers(0, 3), st.sampled_from([None, "PHONE"]), st.sampled_from(["a", "b"]))


def reported(of: list[Reject]) -> Report:
    report = Report()
    for one in of:
        if one.field is None:
            report.reject_row(one.row, one.reason)
        else:
            report.reject_cell(one.row, one.field, one.reason)
    return report


class TestMerging:
    @laws
    @given(st.lists(rejects, unique=True))
    def test_what_both_have_found_is_the_same_fact(self, found: list[Reject]) -> None:
        report = reported(found)
        report.merge(reported(found))
        assert reported(found) == report

    @laws
    @given(st.lists(rejects, unique=True))
    def test_into_nothing_takes_all_over(self, found: list[Reject]) -> None:
        report = Report()
        report.merge(reported(found))
        assert reported(found) == report

    def test_never_lists_more_than_the_limit(self) -> None:
        one, other = (reported([Reject(n, None, reason) for n in range(MAX_LISTED - 1)]) for reason in "ab")
        one.merge(other)
        assert (MAX_LISTED, MAX_LISTED - 2) == (len(one.listed()), one.unlisted())

    def test_adds_the_other_ones_warnings(self) -> None:
        one, other = Report(), Report()
        one.warn("a")
        other.warn("b")
        one.merge(other)
        assert list(one.warnings) == ["a", "b"]


def test_counts_of_other_rows_add_up() -> None:
    one, other = Report(), Report()
    one.reject_row(0, "too short")
    other.reject_row(1, "too short")
    other.reject_cell(1, "PHONE", "not a phone number")
    one.add_counts(other)
    assert (one.rejected_rows(None), one.counted(None)) == (2, {"too short": 2, "PHONE: not a phone number": 1})
