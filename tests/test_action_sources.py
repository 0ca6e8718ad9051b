"""What each action source wants (meta-graph-api.md, section 4.3)."""

from __future__ import annotations

from typing import Any

import pytest

from lib.action_sources import ACTION_SOURCES, NEEDS, action_source, check, max_days, messaging_channel
from lib.faults import Faults

MESSAGING = "business_messaging"


def checked(**server_event: Any) -> Faults:
    faults = Faults()
    check({"event_name": "Purchase", "user_data": {"em": ["x"]}} | server_event, faults)
    return faults


@pytest.mark.parametrize("source", ACTION_SOURCES)
def test_each_of_the_nine_is_taken_in_any_case(source: str) -> None:
    assert source == action_source(f" {source.title()} ", [], Faults())
    assert source == action_source(None, [source], Faults())


def test_website_is_the_default() -> None:
    assert "website" == action_source("", [], Faults())


def test_the_override_wins() -> None:
    assert "chat" == action_source("chat", ["email"], Faults())


@pytest.mark.parametrize("value", ["web", "store", 1, True, ["app"], {"a": 1}])
def test_any_other_is_refused(value: object) -> None:
    faults = Faults()
    action_source(value, [], faults)
    assert ["action_source"] == [field for field, _ in faults.refused]


@pytest.mark.parametrize("value", ["sms", 1])
def test_another_channel_is_refused(value: object) -> None:
    faults = Faults()
    messaging_channel(value, [], faults)
    assert ["messaging_channel"] == [field for field, _ in faults.refused]


def test_physical_store_has_62_days() -> None:
    assert {"physical_store": 62} == {source: max_days(source) for source in ACTION_SOURCES if max_days(source) != 7}


def test_a_website_event_without_url_and_user_agent_is_sent_with_warnings() -> None:
    faults = checked(action_source="website")
    assert {} == faults.refused
    assert ["event_source_url", "user_data.client_user_agent"] == [text.split(":")[0] for text in faults.warnings]


def test_a_website_event_with_both_is_fine() -> None:
    faults = checked(
        action_source="website", event_source_url="https://a.example", user_data={"client_user_agent": "Mozilla/5.0"}
    )
    assert Faults() == faults


def test_an_app_event_needs_extinfo() -> None:
    assert ["app_data.extinfo"] == [field for field, _ in checked(action_source="app", app_data={"x": 1}).refused]
    assert ["app_data.extinfo"] == [field for field, _ in checked(action_source="app").refused]
    assert {} == checked(action_source="app", app_data={"extinfo": ["a2"]}).refused


def test_business_messaging_needs_a_channel() -> None:
    assert ["messaging_channel"] == [field for field, _ in checked(action_source=MESSAGING).refused]


@pytest.mark.parametrize(
    ("channel", "user_data"),
    [
        pytest.param("messenger", {"page_id": "1", "page_scoped_user_id": "2"}, id="Messenger"),
        pytest.param("whatsapp", {"whatsapp_business_account_id": "1", "ctwa_clid": "2"}, id="WhatsApp"),
        pytest.param("instagram", {"ig_account_id": "1", "ig_sid": "2"}, id="Instagram"),
        pytest.param("instagram", {"instagram_business_account_id": "1", "ig_sid": "2"}, id="Instagram's other key"),
    ],
)
def test_each_channel_has_its_ids(channel: str, user_data: dict[str, Any]) -> None:
    assert Faults() == checked(action_source=MESSAGING, messaging_channel=channel, user_data=user_data)
    without = checked(action_source=MESSAGING, messaging_channel=channel)
    assert (0, 2) == (len(without.refused), len(without.warnings))


def test_business_messaging_does_not_know_each_event() -> None:
    ids = {"page_id": "1", "page_scoped_user_id": "2"}
    faults = checked(
        action_source=MESSAGING, messaging_channel="messenger", user_data=ids, event_name="CustomizeProduct"
    )
    assert (0, 1) == (len(faults.refused), len(faults.warnings))


@pytest.mark.parametrize("source", [source for source in ACTION_SOURCES if source not in NEEDS])
def test_the_others_want_nothing_more(source: str) -> None:
    assert Faults() == checked(action_source=source)
