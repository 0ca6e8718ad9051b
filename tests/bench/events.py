"""One event, bytes to bytes, beside its bare hashes and facebook-business."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import date
from typing import Any, Final

import orjson
from facebook_business.adobjects.serverside.action_source import ActionSource
from facebook_business.adobjects.serverside.event import Event
from facebook_business.adobjects.serverside.gender import Gender
from facebook_business.adobjects.serverside.user_data import UserData

from lib.click_ids import BrowserIds, browser_ids
from lib.common_event import CommonEvent
from lib.event_request import parse_event_request
from lib.events import EventPolicy, build_server_event, time_of_event
from lib.graph_request import event_call
from lib.identifiers import IDENTIFIERS
from lib.normalization import Context, Settings
from lib.relay_request import parse_json
from lib.report import Report
from lib.user_data import build_user_data
from tests.bench.rounds import Step
from tests.bench.speed import WrongWorkError, hash_alone

_NOW: Final = 1_800_000_000
_SETTINGS: Final = Settings(today=date(2027, 1, 15), default_country="de")
_POLICY: Final = EventPolicy(now=_NOW, seed="bench")
#: user_data key -> the name of facebook-business's argument.
_HASHED: Final[Mapping[str, str]] = {
    "em": "email", "ph": "phone", "ge": "gender", "db": "date_of_birth", "ln": "last_name", "fn": "first_name",
    "ct": "city", "st": "state", "zp": "zip_code", "country": "country_code",
}  # fmt: skip
_PLAIN: Final = ("client_ip_address", "client_user_agent", "fbc", "fbp", "lead_id")
_RULES: Final = {row.user_data: row.rule for row in IDENTIFIERS}


def events(count: int) -> list[dict[str, Any]]:
    """Return events of a website with ten keys that are hashed and five that are not, each of another person."""
    return [
        {
            "event_name": "Lead",
            "event_time": _NOW - number,
            "event_id": f"lead-{number}",
            "action_source": "website",
            "event_source_url": f"https://www.example.com/thanks?order={number}",
            "user_data": {
                "em": f"Ada.Lovelace{number}@Example.com",
                "ph": f"+49 170 {1_000_000 + number}",
                "ge": "f",
                "db": f"19{10 + number % 90}1210",
                "ln": f"Lovelace{'abcdefghij'[number % 10]}",
                "fn": "Ada",
                "ct": "Frankfurt am Main",
                "st": "he",
                "zp": f"{60_000 + number % 999}",
                "country": "DE",
                "client_ip_address": f"203.0.113.{number % 250}",
                "client_user_agent": "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0",
                "fbc": f"fb.1.{_NOW}000.IwAR{number}",
                "fbp": f"fb.1.{_NOW}000.{number}",
                "lead_id": f"{10_000_000 + number}",
            },
        }
        for number in range(count)
    ]


def event_steps(count: int) -> list[Step]:
    """
    Return the steps for *count* events, each one for itself.

    Raises:
        WrongWorkError: What leaves is not what hashlib alone is asked for, or not what the library sends.
    """
    made = events(count)
    raws = [orjson.dumps({"event": event}) for event in made]
    values = [_normal_values(event["user_data"]) for event in made]
    for raw, normal in zip(raws, values, strict=True):
        ours, theirs = (orjson.loads(send(raw))["data"][0]["user_data"] for send in (relayed, by_library))
        if hash_alone(normal) != [ours[key][0] for key in _HASHED] or [ours[key] for key in _HASHED] != [
            theirs[key] for key in _HASHED
        ]:
            raise WrongWorkError
    return [
        Step("hashes of an event", lambda: values, lambda data: [hash_alone(one) for one in data]),
        Step("user_data", lambda: raws, lambda data: [user_data_alone(raw) for raw in data]),
        Step("event", lambda: raws, lambda data: [relayed(raw) for raw in data]),
        Step("facebook-business event", lambda: raws, lambda data: [by_library(raw) for raw in data]),
    ]


def user_data_alone(raw: bytes) -> bytes:
    """Return an event's bytes with its user_data as it leaves, all else as it came."""
    event = orjson.loads(raw)["event"]
    event["user_data"] = build_user_data(
        CommonEvent({}),
        overrides=event["user_data"],
        cookies={},
        browser_ids=BrowserIds(),
        settings=_SETTINGS,
        report=Report(),
        row=0,
    )
    return orjson.dumps(event)


def relayed(raw: bytes) -> bytes:
    """Return the body that leaves for a request's body: parsed, read, checked, built."""
    request, report = parse_event_request(parse_json(raw)), Report()
    (event,), overrides = request.events, request.overrides
    own: Any = overrides["user_data"]
    ids = browser_ids(
        event,
        overrides=own,
        cookies={},
        time_ms=lambda: 1000 * time_of_event(event, overrides, now=_NOW),
        report=report,
        row=0,
    )
    user_data = build_user_data(
        event, overrides=own, cookies={}, browser_ids=ids, settings=_SETTINGS, report=report, row=0
    )
    built = build_server_event(event, _POLICY, overrides=overrides, user_data=user_data, report=report, row=0)
    if built is None:
        raise WrongWorkError
    return event_call(
        [built],
        connection="acme",
        destination={"dataset_id": "3001"},
        test_event_code=None,
        batch_number=1,
        numbers=(0,),
    ).body_bytes()


def by_library(raw: bytes) -> str:
    """Return what facebook-business's own classes make of the same event."""
    event = json.loads(raw)["event"]
    user = event["user_data"]
    named = {name: user[key] for key, name in _HASHED.items()} | {key: user[key] for key in _PLAIN}
    made = Event(
        event_name=event["event_name"],
        event_time=event["event_time"],
        event_id=event["event_id"],
        action_source=ActionSource(event["action_source"]),
        event_source_url=event["event_source_url"],
        user_data=UserData(**named | {"gender": Gender(user["ge"])}),
    )
    return json.dumps({"data": [made.normalize()]})


def _normal_values(user: Mapping[str, str]) -> list[str]:
    context = Context(_SETTINGS, "de")
    return [_RULES[key](user[key], context) for key in _HASHED]
