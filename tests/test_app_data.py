"""`app_data` (meta-graph-api.md, section 4.4; tags-and-connectors.md, end of section B.4)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lib.app_data import EXTINFO, KEYS, build_app_data
from lib.common_event import CommonEvent
from lib.faults import Faults
from tests.german_purchase import flattened
from tests.strategies import json_values

#: What the GA4 client gives for an app stream.
APP_EVENT: Final[Mapping[str, Any]] = {
    "x-ga-platform": "ios",
    "app_id": "com.example.shop",
    "app_version": "4.2",
    "x-ga-os_version": "17.4.1",
    "x-ga-device_model": "iPhone15,2",
    "language": "de-de",
    "screen_resolution": "393x852",
    "advertiser_tracking_enabled": "1",
    "application_tracking_enabled": True,
    "vendor_id": "5A7F",
}
#: Meta's own example.
META_EXTINFO: Final = (
    *("i2", "com.facebook.sdk.samples.hellofacebook", "1.0", "1.0 long", "13.4.1", "iPhone5,1", "En_US", "PDT"),
    *("AT&T", "320", "568", "2", "2", "13", "8", "USA/New York"),
)


def build(event: Mapping[str, Any], override: object = None) -> tuple[dict[str, Any], Faults]:
    faults = Faults()
    return build_app_data(CommonEvent(event), override, faults), faults


@pytest.mark.parametrize("event", [APP_EVENT, flattened(APP_EVENT)], ids=["nested", "flattened"])
def test_extinfo_is_built_from_the_keys_of_the_platform(event: Mapping[str, Any]) -> None:
    app_data, faults = build(event)
    assert {
        "advertiser_tracking_enabled": 1,
        "application_tracking_enabled": 1,
        "extinfo": [
            *("i2", "com.example.shop", "4.2", "Version 4.2", "17.4.1", "iPhone15,2", "de-de"),
            *("", "", "393", "852", "", "", "", "", ""),
        ],
        "vendor_id": "5A7F",
    } == app_data
    assert Faults() == faults


@pytest.mark.parametrize(
    "event",
    [
        pytest.param({"app_data": {"extinfo": list(META_EXTINFO)}}, id="nested"),
        pytest.param({"app_data_extinfo": list(META_EXTINFO)}, id="flattened"),
        pytest.param({"extinfo": list(META_EXTINFO)}, id="at the top"),
        pytest.param({"app_data": '{"extinfo": ["i2", "", "1.0", "", "13.4.1"]}'}, id="JSON text, too short"),
        pytest.param({"extinfo": '["ios", "", "1.0", "", "13.4.1"]'}, id="list as JSON text, platform by name"),
    ],
)
def test_extinfo_of_the_event_has_sixteen_slots(event: Mapping[str, Any]) -> None:
    extinfo = build(event)[0]["extinfo"]
    assert (16, "i2", "13.4.1") == (len(extinfo), extinfo[0], extinfo[4])
    assert 16 == len(EXTINFO)


@pytest.mark.parametrize(
    "event",
    [
        pytest.param({}, id="nothing"),
        pytest.param({**APP_EVENT, "x-ga-platform": "web"}, id="no app"),
        pytest.param({**APP_EVENT, "x-ga-os_version": ""}, id="no version of the operating system"),
        pytest.param({"extinfo": ["a1", "", "", "", "14"]}, id="unknown platform"),
        pytest.param({"extinfo": ["a2"]}, id="no slot 4"),
    ],
)
def test_without_its_two_mandatory_slots_there_is_no_extinfo(event: Mapping[str, Any]) -> None:
    assert "extinfo" not in build(event)[0]


@pytest.mark.parametrize("extinfo", [["a2"] * 17, "a2,com.example", {"0": "a2"}, 5])
def test_extinfo_that_is_no_list_of_sixteen_is_refused(extinfo: object) -> None:
    assert ["app_data.extinfo"] == [field for field, _ in build({"extinfo": extinfo})[1].refused]


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        pytest.param(1, 1, id="1"),
        pytest.param("1", 1, id="text 1"),
        pytest.param(True, 1, id="true"),
        pytest.param("true", 1, id="text true"),
        pytest.param(0, 0, id="0"),
        pytest.param("0", 0, id="text 0"),
        pytest.param(False, 0, id="false"),
        pytest.param("false", 0, id="text false is not true"),
        pytest.param("denied", 0, id="denied"),
        pytest.param("maybe", 0, id="not understood"),
        pytest.param([1], 0, id="list"),
        pytest.param(None, 0, id="not stated is not allowed"),
    ],
)
def test_tracking_flags_are_0_or_1(value: object, expected: int) -> None:
    app_data, _ = build({"advertiser_tracking_enabled": value})
    assert (expected, 0) == (app_data["advertiser_tracking_enabled"], app_data["application_tracking_enabled"])


def test_a_flag_that_is_not_stated_is_a_warning() -> None:
    assert "app_data.advertiser_tracking_enabled: not stated; sent as 0" in build({})[1].warnings


def test_the_override_wins_key_by_key() -> None:
    app_data, _ = build(
        {**APP_EVENT, "app_data": {"vendor_id": "of the event", "url_schemes": ["shop"]}},
        {"vendor_id": "of the caller", "advertiser_tracking_enabled": 0, "unknown": 1},
    )
    assert ("of the caller", ["shop"], 0) == (
        app_data["vendor_id"],
        app_data["url_schemes"],
        app_data["advertiser_tracking_enabled"],
    )
    assert "unknown" not in app_data


@given(st.dictionaries(st.sampled_from([*KEYS, *APP_EVENT, "app_data"]), json_values), json_values)
def test_no_event_raises(event: dict[str, Any], override: object) -> None:
    app_data, _ = build(event, override)
    assert set(app_data) <= set(KEYS)
    assert len(app_data.get("extinfo", EXTINFO)) == len(EXTINFO)
