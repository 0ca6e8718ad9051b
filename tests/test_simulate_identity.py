"""A small month of visitors goes through the identity graph; the large one is for `make identity-month`."""

from __future__ import annotations

from lib.identity_settings import IdentitySettings, Limits
from tests.simulate_identity import Month, report, simulate, visits

SMALL = Month(people=1_000)


def test_it_joins_nobody_wrongly_and_makes_twice_as_many_events_tell_an_email_or_a_phone() -> None:
    counts = simulate(SMALL)
    assert counts.precision >= 0.999
    assert counts.after >= 2 * counts.before > 0
    assert 0 < counts.recall < 1
    assert counts.rightly <= counts.added == counts.after - counts.before
    shown = report(SMALL, counts)
    assert [word for word in ("precision", "recall", "before", "after") if word not in shown] == []


def test_the_people_are_those_of_the_seed() -> None:
    first, second, other = (list(visits(Month(people=50, seed=seed))) for seed in (7, 7, 8))
    assert first == second
    assert first != other


def test_more_shared_devices_make_it_less_right_about_visits_and_not_about_people() -> None:
    few, many = (simulate(Month(people=200, households=0.9, shared_devices=share)) for share in (0.0, 0.5))
    assert few.rightly == few.added
    assert many.rightly < many.added
    assert many.precision >= 0.999


def test_without_its_limits_it_would_join_households() -> None:
    loose = IdentitySettings(memory=True, key="env:KEY", limits=Limits(per_device=9, per_phone=9, per_person=9))
    assert simulate(Month(people=200, households=0.9, log_in=0.9), loose).precision < 0.999
