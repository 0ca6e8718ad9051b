from __future__ import annotations

from collections import Counter

import pytest

from lib.identifiers import (
    AUDIENCE_KEYS,
    DATA_PROCESSING_COLUMNS,
    DATE_COLUMNS,
    IDENTIFIERS,
    NOT_IDENTIFYING,
    Identifier,
)

#: "Schema keys" of Meta's Custom Audience guide and reference; DOB is ours.
META_KEYS = {
    *("EMAIL", "PHONE", "GEN", "DOBY", "DOBM", "DOBD", "LN", "FN", "FI", "CT", "ST", "ZIP", "COUNTRY", "MADID"),
    *("EXTERN_ID", "LOOKALIKE_VALUE", "PAGEUID", "APPUID", "UID"),
    *("DATA_PROCESSING_OPTIONS", "DATA_PROCESSING_OPTIONS_COUNTRY", "DATA_PROCESSING_OPTIONS_STATE"),
}
#: "Hash: yes" of the guide, and EXTERN_ID, of which the connection decides.
HASHED = {
    *("EMAIL", "PHONE", "GEN", "DOB", "DOBY", "DOBM", "DOBD", "LN", "FN", "FI", "CT", "ST", "ZIP", "COUNTRY"),
    "EXTERN_ID",
}
USER_DATA_HASHED = {"em", "ph", "ge", "db", "ln", "fn", "ct", "st", "zp", "country", "external_id"}


def test_the_audience_keys_are_metas_and_dob() -> None:
    assert META_KEYS | {"DOB"} == set(AUDIENCE_KEYS)


def test_what_meta_wants_hashed_is_hashed_and_nothing_else() -> None:
    assert {key for key, row in AUDIENCE_KEYS.items() if row.hashed} == HASHED
    assert {row.user_data for row in IDENTIFIERS if row.user_data and row.hashed} == USER_DATA_HASHED


@pytest.mark.parametrize("vocabulary", ["key", "user_data"])
def test_a_key_stands_in_one_row_only(vocabulary: str) -> None:
    keys = Counter(getattr(row, vocabulary) for row in IDENTIFIERS)
    assert [key for key, count in keys.items() if key and count > 1] == []


def test_each_row_has_a_key_of_metas() -> None:
    assert [row for row in IDENTIFIERS if not (row.key or row.user_data)] == []


@pytest.mark.parametrize("vocabulary", ["event", "cdp"])
def test_a_place_holds_one_identifier_only(vocabulary: str) -> None:
    places = Counter(place for row in IDENTIFIERS for place in getattr(row, vocabulary))
    assert [place for place, count in places.items() if count > 1] == []


def test_googles_hash_of_a_phone_is_not_taken() -> None:
    """Weakness 9: Google hashes it with its `+`, Meta without."""
    assert [place for row in IDENTIFIERS for place in row.event if "sha256_phone" in place] == []


@pytest.mark.parametrize(
    "keys",
    [
        pytest.param(DATE_COLUMNS, id="dates"),
        pytest.param(DATA_PROCESSING_COLUMNS, id="data processing"),
        pytest.param(tuple(NOT_IDENTIFYING), id="not identifying"),
    ],
)
def test_columns_with_a_part_of_their_own_stand_in_the_table(keys: tuple[str, ...]) -> None:
    assert set(keys) <= set(AUDIENCE_KEYS)


def test_what_names_nobody_has_no_place_in_an_event_or_a_cdp() -> None:
    rows: list[Identifier] = [AUDIENCE_KEYS[key] for key in NOT_IDENTIFYING]
    assert [row for row in rows if row.user_data or row.event or row.cdp or row.hashed] == []
