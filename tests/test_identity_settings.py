"""The names that the settings of identity use are those of the tables they speak of."""

from __future__ import annotations

from lib.identifiers import IDENTIFIERS
from lib.identity import FACTS
from lib.identity_links import PERSONAL
from lib.identity_settings import DEFAULT_SENT, FIELDS, SENT, IdentitySettings
from lib.omni_protocol import request_body
from tests.test_omni_protocol import WHOLE


def test_what_can_be_added_is_hashed_and_known_of_people() -> None:
    hashed = {row.user_data for row in IDENTIFIERS if row.hashed and row.user_data}
    assert set(FIELDS) == hashed - {"external_id"} == {*FACTS, *PERSONAL} - {"external_id"}


def test_each_field_that_a_service_can_be_told_makes_a_difference() -> None:
    bodies = {request_body(WHOLE, (*DEFAULT_SENT, name), with_journal=True) for name in SENT}
    # The defaults twice, and with each of the other five.
    assert len(SENT) - len(DEFAULT_SENT) + 1 == len(bodies)


def test_the_limit_in_seconds() -> None:
    assert 0.25 == IdentitySettings(timeout_ms=250).timeout_s
