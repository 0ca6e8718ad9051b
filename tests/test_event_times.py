"""The time of an event (tags-and-connectors.md, section F, numbers 33 and 34)."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given

from lib.event_times import event_time, unix_seconds
from lib.faults import Faults
from lib.normalization import UnusableValueError
from tests.strategies import json_values

NOW = 1772445603
DAY = 86_400


def time_of(override: object = None, **sources: Any) -> tuple[int, Faults]:
    faults = Faults()
    arguments: dict[str, Any] = {"stated": (), "observed": (), "now": NOW, "max_days": 7} | sources
    return event_time(override, faults=faults, **arguments), faults


@pytest.mark.parametrize(
    "value",
    [
        pytest.param(1772445602, id="seconds"),
        pytest.param(1772445602.511, id="seconds with a fraction"),
        pytest.param(1772445602511, id="milliseconds"),
        pytest.param(1772445602511.7, id="milliseconds with a fraction"),
        pytest.param(1772445602511123, id="microseconds"),
        pytest.param(1772445602511123456, id="nanoseconds"),
        pytest.param("1772445602", id="seconds as text"),
        pytest.param("1772445602.511", id="seconds with a fraction, as text"),
        pytest.param(" 1772445602511 ", id="milliseconds as text"),
        pytest.param("1772445602511123", id="microseconds as text"),
        pytest.param("2026-03-02T10:00:02Z", id="ISO 8601"),
        pytest.param("2026-03-02T10:00:02.511+00:00", id="ISO 8601 with a fraction"),
        pytest.param("2026-03-02T11:00:02+01:00", id="ISO 8601 with an offset"),
        pytest.param("2026-03-02 10:00:02", id="ISO 8601 without an offset is UTC"),
    ],
)
def test_any_unit_becomes_seconds(value: object) -> None:
    assert 1772445602 == unix_seconds(value)


@pytest.mark.parametrize("value", ["yesterday", "", 0, -1, True, None, [1772445602], float("nan"), 10**25, "9" * 30])
def test_no_time(value: object) -> None:
    with pytest.raises(UnusableValueError, match="not a time"):
        unix_seconds(value)


@given(json_values)
def test_no_value_raises_anything_else(value: object) -> None:
    try:
        assert 0 < unix_seconds(value)
    except UnusableValueError as error:
        assert str(error).startswith("not a time")  # noqa: PT017 - most values are none


class TestSources:
    @pytest.mark.parametrize(
        ("override", "sources", "expected"),
        [
            pytest.param(NOW - 1, {"stated": [NOW - 2]}, NOW - 1, id="the override"),
            pytest.param(None, {"stated": [NOW - 2], "observed": [NOW - 3]}, NOW - 2, id="event_time"),
            pytest.param("", {"observed": [NOW - 3, (NOW - 4) * 1000]}, NOW - 3, id="timestamp"),
            pytest.param(None, {"observed": ["soon", (NOW - 4) * 1000]}, NOW - 4, id="the time of the request"),
            pytest.param(None, {"observed": ["soon"]}, NOW, id="now"),
            pytest.param(None, {}, NOW, id="nothing stated"),
        ],
    )
    def test_order(self, override: object, sources: dict[str, Any], expected: int) -> None:
        time, faults = time_of(override, **sources)
        assert (expected, {}) == (time, faults.refused)

    def test_an_unreadable_event_time_is_not_replaced_by_another(self) -> None:
        _, faults = time_of("yesterday", observed=[NOW - 1])
        assert ["event_time"] == [field for field, _ in faults.refused]

    def test_an_unreadable_timestamp_is_a_warning(self) -> None:
        _, faults = time_of(observed=["soon"])
        assert len(faults.warnings) == 1


class TestBounds:
    @pytest.mark.parametrize("ahead", [1, 3_600, DAY])
    def test_a_clock_that_is_ahead_is_mended(self, ahead: int) -> None:
        time, faults = time_of(NOW + ahead)
        assert (NOW, {}, 1) == (time, faults.refused, len(faults.warnings))

    def test_what_is_further_ahead_is_refused(self) -> None:
        time, faults = time_of(NOW + DAY + 1)
        assert (NOW, [("event_time", "in the future by more than a day")]) == (time, list(faults.refused))

    @pytest.mark.parametrize("days", [7, 62])
    def test_what_is_old_enough_to_be_refused(self, days: int) -> None:
        _, faults = time_of(NOW - days * DAY, max_days=days)
        assert {} == faults.refused
        _, faults = time_of(NOW - days * DAY - 1, max_days=days)
        assert [("event_time", f"older than {days} days")] == list(faults.refused)

    @given(json_values, json_values)
    def test_never_in_the_future(self, override: object, observed: object) -> None:
        time, _ = time_of(override, observed=[observed])
        assert time <= NOW
