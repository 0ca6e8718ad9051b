"""
`make run`: the whole relay on loopback, with no account anywhere.

Starts stand-ins of Meta, BigQuery, Pub/Sub and Secret Manager and both functions under functions-framework, sends a
handful of telling requests, prints for each what went in, what Meta got and what the log says, and stays up for curl.
With `--once` it ends instead: with 0 if everything came out as it should, else with 1.
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import signal
import sys
import tempfile
import textwrap
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import zip_longest
from pathlib import Path
from typing import Any, Final

import requests
from google.cloud.pubsub_v1 import PublisherClient

from tests.german_purchase import PURCHASE, flattened
from tests.local.stack import (
    ACCOUNT,
    DATASET,
    GATHERED,
    KEY,
    OTHER_DATASET,
    TOPIC,
    VIP,
    Function,
    Stack,
    free_port,
    is_free,
    secret,
)

_GRANTED: Final = {"state": {"ad_storage": "granted", "ad_user_data": "granted", "ad_personalization": "granted"}}
_DENIED: Final = {"state": {"ad_storage": "granted", "ad_user_data": "denied", "ad_personalization": "denied"}}
_ACME: Final = [{"audience_id": "1001"}]
#: Seconds within which queued work has to be done.
_PATIENCE: Final = 30
#: Seconds between flushes, of which a schedule makes a minute.
_FLUSH_S: Final = 5
#: In Unix seconds: Meta takes no event that is older than a week.
_NOW: Final = int(time.time())
_DAY: Final = 86_400


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """
    One request and what must become of it.

    Args:
        title: What goes in, for people.
        kind: The path below the function, and the type of a message; empty for one that has none.
        body: Of the request or message.
        through: `HTTP` or `Pub/Sub`.
        before: Done first.
        after: Done once it is sent.
        status, outcome: Of the HTTP answer.
        members: What is added to or gone from each audience.
        events: What each dataset gets.
        logged: The outcomes in the delivery log, and how often.
    """

    title: str
    kind: str = "audiences"
    body: Mapping[str, Any]
    through: str = "HTTP"
    before: Callable[[Stack], None] = lambda _stack: None
    after: Callable[[Stack], None] = lambda _stack: None
    status: int = 200
    outcome: str = "delivered"
    members: Mapping[str, int] = field(default_factory=dict)
    events: Mapping[str, int] = field(default_factory=dict)
    logged: Mapping[str, int]


def _flush(stack: Stack) -> None:
    """Do what Cloud Scheduler does once a minute, when something is gathered."""
    deadline = time.monotonic() + _PATIENCE
    while not stack.pubsub.outstanding(GATHERED) and time.monotonic() < deadline:
        time.sleep(0.05)
    stack.pubsub.publish(TOPIC, b"{}", attributes={"type": "flush"})


#: A page of a shop as a browser without a login sees it.
_VISIT: Final = {
    "event_name": "page_view",
    "timestamp": _NOW - 5,
    "client_id": "1093847561.1769853600",
    "page_location": "https://shop.example.de/",
    "user_agent": PURCHASE["user_agent"],
    "ip_override": "203.0.113.7",
}


def _loyal(numbers: Iterable[int]) -> list[dict[str, str]]:
    """Return members of a segment as a table has them."""
    return [{"email": f"Loyal{number}@Example.com", "country": "DE"} for number in numbers]


SCENES: Final = (
    Scene(
        title="one person, two e-mails and a national phone number",
        body={
            "action": "add",
            "destinations": _ACME,
            "consent": _GRANTED,
            "user": {"EMAIL": ["Ada@Example.com", "ada.l@example.org"], "PHONE": "0170 1234567", "FN": "Ada"},
        },
        members={"1001": +1},
        logged={"delivered": 1},
    ),
    Scene(
        title="five rows, of which two have a bad cell, one is short, one is a ZIP code alone",
        body={
            "action": "add",
            "destinations": _ACME,
            "consent": _GRANTED,
            "users": {
                "schema": "EMAIL, PHONE, ZIP",
                "data": [
                    ["grace@example.com", "+1 650 555 1212", "94035-1234"],
                    ["grace@example", "not a number", ""],
                    ["5f4dcc3b5aa765d61d8327deb882cf99", "0171 7654321", ""],
                    ["alan@example.com"],
                    ["", "", "10115"],
                ],
            },
        },
        outcome="partial",
        members={"1001": +3},
        logged={"delivered": 1, "rejected": 1},
    ),
    Scene(
        title="25,000 rows to an audience: three batches of one session",
        body={
            "action": "add",
            "destinations": [{"audience_id": "1002"}],
            "consent": _GRANTED,
            "users": {
                "schema": ["EMAIL", "COUNTRY"],
                "data": [[f"person{number}@example.com", "DE"] for number in range(25_000)],
            },
        },
        members={"1002": +25_000},
        logged={"delivered": 3},
    ),
    Scene(
        title="two destinations in two businesses, one of them value-based",
        body={
            "action": "add",
            "destinations": [
                {"audience_id": "1003", "value_based": True},
                {"audience_id": "2001", "connection": "globex"},
            ],
            "consent": _GRANTED,
            "users": [{"EMAIL": "grace@example.com", "LOOKALIKE_VALUE": 129.9}],
        },
        members={"1003": +1, "2001": +1},
        logged={"delivered": 2},
    ),
    Scene(
        title="remove one of them, by a phone number in another form",
        body={"action": "remove", "destinations": _ACME, "user": {"PHONE": "+1 (650) 555-1212"}},
        members={"1001": -1},
        logged={"delivered": 1},
    ),
    Scene(
        title="remove a person from every audience of the ad account",
        body={"action": "remove_from_all", "user": {"EMAIL": "ADA@example.com"}},
        members={"1001": -1},
        logged={"delivered": 1},
    ),
    Scene(
        title="consent denied: a GA4 event with ad_user_data denied",
        body={
            "action": "add",
            "destinations": _ACME,
            "user_from_event": True,
            "event_data": {"x-ga-gcd": "13r3r3q3q5l1", "user_data": {"email_address": "linus@example.com"}},
        },
        outcome="withheld",
        logged={"withheld": 1},
    ),
    Scene(
        title="optimistic: answered as soon as Pub/Sub has it",
        body={
            "action": "add",
            "optimistic": True,
            "destinations": _ACME,
            "consent": _GRANTED,
            "user": {"EMAIL": "barbara@example.com"},
        },
        status=202,
        outcome="queued",
        members={"1001": +1},
        logged={"queued": 1, "delivered": 1},
    ),
    Scene(
        title="a CDP's message on the topic",
        through="Pub/Sub",
        body={
            "action": "add",
            "destinations": _ACME,
            "consent": _GRANTED,
            "user": {"EMAIL": "edsger@example.com", "FN": "Edsger", "LN": "Dijkstra", "COUNTRY": "Niederlande"},
        },
        members={"1001": +1},
        logged={"delivered": 1},
    ),
    Scene(
        title="an ad account that Meta throttles for three seconds",
        before=lambda stack: stack.graph.throttle(ACCOUNT, seconds=3),
        body={
            "action": "add",
            "destinations": _ACME,
            "consent": _GRANTED,
            "user": {"EMAIL": "donald@example.com"},
        },
        status=202,
        outcome="queued",
        members={"1001": +1},
        logged={"queued": 1, "delivered": 1},
    ),
    Scene(
        title="a GA4 purchase in a German shop, as getAllEventData() gives it",
        kind="events",
        body={"event_data": PURCHASE, "event": {"event_time": _NOW}},
        events={"3001": 1},
        logged={"delivered": 1},
    ),
    Scene(
        title="a lead of Stape's Data Tag, flattened: the event is the body",
        kind="events",
        body=flattened(
            {
                "event_name": "generate_lead",
                "unique_event_id": "1772445600123_4",
                "timestamp": _NOW - 5,
                "page_location": "https://shop.example.de/beratung",
                "user_agent": PURCHASE["user_agent"],
                "ip_override": "203.0.113.7",
                "userEmail": "Lena.Beispiel@Example.com",
                "phoneNumber": "0171 7654321",
                "firstName": "Lena",
                "common_cookie": {"_fbp": "fb.1.1772445600123.1098115397"},
                "consent_state": {"ad_storage": "granted", "ad_user_data": "granted"},
            }
        ),
        events={"3001": 1},
        logged={"delivered": 1},
    ),
    Scene(
        title="an app event on the topic, for the dataset of another business",
        kind="events",
        through="Pub/Sub",
        body={
            "connection": "globex",
            "consent": _GRANTED,
            "event": {"action_source": "app", "app_data": {"advertiser_tracking_enabled": True}},
            "event_data": {
                "event_name": "add_to_cart",
                "timestamp": _NOW,
                "x-ga-platform": "ios",
                "x-ga-os_version": "17.4.1",
                "x-ga-device_model": "iPhone15,2",
                "app_id": "com.example.shop",
                "app_version": "4.2",
                "madid": "38400000-8CF0-11BD-B23E-10B96E40000D",
                "user_id": "cust-88213",
                "currency": "usd",
                "items": [{"item_id": "SKU-100", "price": "1,095.00", "quantity": "2"}],
            },
        },
        events={"4001": 1},
        logged={"delivered": 1},
    ),
    Scene(
        title="three events, of which one is older than Meta takes",
        kind="events",
        body={
            "consent": _GRANTED,
            "events": [
                {
                    "event_name": "sign_up",
                    "event_id": f"sign-up-{number}",
                    "timestamp": _NOW - days * _DAY,
                    "page_location": "https://shop.example.de/konto",
                    "user_agent": PURCHASE["user_agent"],
                    "user_data": {"email_address": f"person{number}@example.com"},
                }
                for number, days in enumerate((6, 8, 0))
            ],
        },
        outcome="partial",
        events={"3001": 2},
        logged={"delivered": 1, "rejected": 1},
    ),
    Scene(
        title="consent denied: the same purchase with ad_user_data denied",
        kind="events",
        body={**PURCHASE, "consent_state": {"ad_storage": True, "ad_user_data": False}},
        outcome="withheld",
        logged={"withheld": 1},
    ),
    Scene(
        title="a visitor who logs in: the identity graph learns whose browser that is",
        kind="events",
        body={"consent": _GRANTED, "event_data": _VISIT | {"user_data": {"email_address": "lena@example.com"}}},
        events={"3001": 1},
        logged={"delivered": 1},
    ),
    Scene(
        title="the same browser, which says nothing of who that is",
        kind="events",
        body={"consent": _GRANTED, "event_data": _VISIT},
        events={"3001": 1},
        logged={"delivered": 1},
    ),
    Scene(
        title="she wants to be forgotten, here and in the audiences of both businesses",
        kind="erase",
        body={"user": {"EMAIL": "lena@example.com"}},
        logged={"delivered": 3},
    ),
    Scene(
        title="her browser once more: nobody knows it",
        kind="events",
        body={"consent": _GRANTED, "event_data": _VISIT},
        events={"3001": 1},
        logged={"delivered": 1},
    ),
    Scene(
        title="three people enter a segment, one of them known by a ZIP code alone; a minute later the flush",
        kind="segments",
        body={
            "segment": {"id": "44A23B49", "name": "Segment 1"},
            "change": "enter",
            "users": [
                {"email": "Ada@Example.com", "firstname": "Ada"},
                {"contact": "none", "zipcode": "10115"},
                {"email": "grace@example.com", "phone": "0170 1234567"},
            ],
        },
        after=_flush,
        status=202,
        outcome="queued",
        members={"CA_Segment 1": +2},
        logged={"queued": 1, "rejected": 1, "delivered": 1},
    ),
    Scene(
        title="one of them leaves it, in Commanders Act's own words",
        kind="",
        through="Pub/Sub",
        body={
            "event_name": "user_leaves_segment",
            "context": {"segment_id": "44A23B49", "segment_name": "Segment 1"},
            "user": {"email": "ada@example.com", "firstname": "Ada"},
            "user_privacy_categories": ["ads"],
        },
        after=_flush,
        members={"CA_Segment 1": -1},
        logged={"queued": 1, "delivered": 1},
    ),
    Scene(
        title="a segment of 12,345 people is synced from a BigQuery table",
        kind="segments",
        before=lambda stack: stack.load(VIP, _loyal(range(12_345))),
        body={"segment": {"id": "loyal", "name": "Loyal"}, "change": "sync", "source": "vip"},
        status=202,
        outcome="queued",
        members={"CA_Loyal": +12_345},
        logged={"queued": 2, "delivered": 2},
    ),
    Scene(
        title="the table has other people by now, one of whom nobody could know: the segment is replaced",
        kind="segments",
        through="Pub/Sub",
        before=lambda stack: stack.load(VIP, [*_loyal(range(3_000, 14_000)), {"email": "unknown"}]),
        body={"segment": {"id": "loyal", "name": "Loyal"}, "change": "replace", "source": "vip"},
        members={"CA_Loyal": 11_000 - 12_345},
        logged={"queued": 1, "delivered": 2, "rejected": 1},
    ),
)


@dataclass(slots=True)
class Seen:
    """What became of a scene: three texts for people, and what is not as it should be."""

    answer: list[str]
    meta: list[str]
    log: list[str]
    faults: list[str]


def play(scene: Scene, stack: Stack, receive: Function) -> Seen:
    """Send a scene's request and look at all that came of it."""
    scene.before(stack)
    calls, rows, members, events = len(stack.graph.calls), len(stack.rows()), _members(stack), _events(stack)
    throttled = stack.graph.calls_while_throttled
    answer, faults = _send(scene, receive)
    scene.after(stack)
    logged: Counter[str] = Counter()
    deadline = time.monotonic() + _PATIENCE
    while time.monotonic() < deadline:
        logged = Counter(row["outcome"] for row in stack.rows()[rows:] if row["outcome"] != "failed")
        if logged == Counter(scene.logged) and stack.pubsub.wait_idle(timeout=1):
            break
        time.sleep(0.05)
    for what, wanted, before, after in (
        ("members", scene.members, members, _members(stack)),
        ("events", scene.events, events, _events(stack)),
    ):
        changed = {
            ident: count - before.get(ident, 0) for ident, count in after.items() if count != before.get(ident, 0)
        }
        if changed != dict(wanted):
            faults.append(f"{what}: {changed} in place of {dict(wanted)}")
    if logged != Counter(scene.logged):
        faults.append(f"log: {dict(logged)} in place of {dict(scene.logged)}")
    if stack.graph.calls_while_throttled - throttled > 1:
        faults.append("a throttled account was not left alone")
    faults += stack.graph.violations
    return Seen(
        answer,
        [line for call in stack.graph.calls[calls:] for line in _shown_call(call)] or ["nothing"],
        [_shown_row(row) for row in stack.rows()[rows:]],
        faults,
    )


def _members(stack: Stack) -> dict[str, int]:
    """Return how many people each audience has; those of segments by their names, since Meta gives them their ids."""
    names = stack.graph.names()
    return {
        names[ident] if names[ident].startswith("CA_") else ident: count
        for ident, count in stack.graph.counts().items()
    }


def _events(stack: Stack) -> dict[str, int]:
    return {dataset: len(stack.graph.events(dataset)) for dataset in (DATASET, OTHER_DATASET)}


def _send(scene: Scene, receive: Function) -> tuple[list[str], list[str]]:
    if scene.through == "Pub/Sub":
        with PublisherClient() as publisher:
            attributes = {"type": scene.kind} if scene.kind else {}
            publisher.publish(TOPIC, json.dumps(scene.body).encode(), **attributes).result(timeout=10)
        return ["published"], []
    response = requests.post(
        f"{receive.url}/{scene.kind}", json=scene.body, headers={"Authorization": f"Bearer {KEY}"}, timeout=60
    )
    answer = response.json()
    shown = [f"{response.status_code} {answer['outcome']} in {answer['elapsed_ms']} ms"]
    shown += [
        f"row {reject['row']}{' ' + reject['field'] if reject['field'] else ''}: {reject['reason']}"
        for reject in answer["rejected"]
    ]
    wanted = (scene.status, scene.outcome)
    got = (response.status_code, answer["outcome"])
    return shown, [] if got == wanted else [f"answer: {got} in place of {wanted}: {answer.get('error')}"]


def _shown_call(call: Any) -> list[str]:
    """Return a call in one line, and of a single event what else it says."""
    path = call.path.partition("/v")[2].partition("/")[2]
    answer = "error " + str(call.answer["error"]["code"]) if "error" in call.answer else f"{call.status}"
    if call.path.endswith("/events"):
        events = call.body["data"]
        shown = events[0]["event_name"] if len(events) == 1 else f"{len(events):,} events"
        return [f"{call.method} {path}: {shown} -> {answer}", *_shown_event(events)]
    if "payload" not in (call.body or {}):
        return [f"{call.method} {path}: {call.body['name'] if call.body else 'read'} -> {answer}"]
    rows = len(call.body["payload"]["data"])
    return [f"{call.method} {path}: {rows:,} row{'s' if rows != 1 else ''} -> {answer}"]


def _shown_event(events: Sequence[Mapping[str, Any]]) -> list[str]:
    if len(events) > 1:
        return []
    (event,) = events
    bought = event.get("custom_data", {})
    worth = [f"{bought[key]}" for key in ("value", "currency") if key in bought]
    items = [f"{content['quantity']}x {content['id']}" for content in bought.get("contents", ())]
    return [", ".join(event["user_data"]), " ".join([*worth, *items])]


def _shown_row(row: Mapping[str, Any]) -> str:
    facts = [f"{row['outcome']} {row['destination']}"]
    if row.get("event_name"):
        facts.append(row["event_name"])
    if row.get("batch"):
        facts.append(f"batch {row['batch']}")
    for column, word in (("rows_sent", "sent"), ("rows_rejected", "rejected")):
        if row.get(column):
            facts.append(f"{row[column]:,} {word}")
    if row.get("identity_fields_added"):
        facts.append(f"{row['identity_fields_added']} keys by identity")
    facts += [row[column] for column in ("consent_missing", "error_message") if row.get(column)]
    return ", ".join(facts)


#: The columns of the table: what heads them, and their width.
_COLUMNS: Final = (
    ("what went in", 34),
    ("the answer", 34),
    ("what Meta got", 38),
    ("what the log says", 42),
)


def print_row(*columns: Sequence[str]) -> None:
    """Print one row of the table; each column is a list of texts, folded to its width."""
    folded = [
        [line for text in texts for line in textwrap.wrap(text, width - 2)]
        for texts, (_, width) in zip(columns, _COLUMNS, strict=True)
    ]
    for lines in zip_longest(*folded, fillvalue=""):
        print("".join(line.ljust(width) for line, (_, width) in zip(lines, _COLUMNS, strict=True)).rstrip())


def _play_all(stack: Stack, receive: Function) -> int:
    print_row(*([head] for head, _ in _COLUMNS))
    print("-" * sum(width for _, width in _COLUMNS))
    faults = 0
    for number, scene in enumerate(SCENES, start=1):
        seen = play(scene, stack, receive)
        print_row([f"{number}. {scene.title} ({scene.through})"], seen.answer, seen.meta, seen.log)
        for fault in seen.faults:
            print(f"   WRONG: {fault}")
        print()
        faults += len(seen.faults)
    print(f"{len(SCENES)} requests, {faults} faults")
    print(f"members now: {_members(stack)}, events: {_events(stack)}\n")
    return faults


_INVITATION: Final = """\
Audiences 1001, 1002 and 1003 (value-based) and dataset 3001, and of the connection globex audience 2001 and dataset
4001 are there to be tried, for instance:

  curl -s {url}/audiences -H 'Authorization: Bearer {key}' -H 'Content-Type: application/json' \\
    -d '{{"action": "add", "destinations": [{{"audience_id": "1001"}}], "consent": {{"state": {{"ad_storage": true,
         "ad_user_data": true, "ad_personalization": true}}}}, "user": {{"EMAIL": "you@example.com"}}}}'

  curl -s {url}/events -H 'Authorization: Bearer {key}' -H 'Content-Type: application/json' \\
    -d '{{"event_name": "generate_lead", "page_location": "https://example.com/", "user_agent": "curl", "user_data":
         {{"email_address": "you@example.com"}}, "consent_state": {{"ad_storage": true, "ad_user_data": true}}}}'

  curl -s {url}/segments -H 'Authorization: Bearer {key}' -H 'Content-Type: application/json' \\
    -d '{{"segment": {{"id": "vip", "name": "VIP"}}, "change": "enter", "user": {{"email": "you@example.com"}}}}'

Changes of segments are flushed every few seconds here. With "dry_run": true in the body nothing is sent, and the answer
shows what would be. The command for people, in another terminal:

  . {environ} && {python} -m lib.cli doctor

Ctrl-C ends it."""


def _recognise_people(stack: Stack) -> None:
    """Switch identity on, with a graph in the memory of each function, and let the caller have people forgotten."""
    stack.secrets.set(secret("identity-key"), "key-of-identity")
    stack.config["identity"] = {"memory": True, "key": secret("identity-key") + "/versions/latest"}
    stack.config["callers"]["sgtm"]["actions"].append("erase")


def main(arguments: Sequence[str]) -> int:
    """Send the requests, then wait for an interruption unless `--once` is given."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--once", action="store_true", help="end after the requests, with 0 or 1")
    once = options.parse_args(arguments).once
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    ports = {target: port if is_free(port) else free_port() for target, port in (("receive", 8080), ("deliver", 8081))}
    print("Starting Meta, BigQuery, Pub/Sub, Secret Manager, receive and deliver on this machine ...\n")
    log = Path(tempfile.gettempdir(), "meta-relay.log")
    with log.open("wb") as lines, Stack(ports=ports) as stack:
        os.environ["PUBSUB_EMULATOR_HOST"] = stack.pubsub.address
        _recognise_people(stack)
        receive, deliver = (stack.function(target, log=lines.fileno()) for target in ("receive", "deliver"))
        stack.subscribe(deliver)
        faults = _play_all(stack, receive)
        print(f"The functions' console log: {log}\n")
        if not once:
            stack.keep_dead_letters()
            environ = _write_environ(stack)
            _wait(_INVITATION.format(url=receive.url, key=KEY, environ=environ, python=_python()), stack)
    return 1 if faults else 0


def _write_environ(stack: Stack) -> Path:
    """Return a file for a shell, with what the command needs in its environment."""
    path = Path(tempfile.gettempdir(), "meta-relay.env")
    path.write_text("".join(f"export {name}={shlex.quote(value)}\n" for name, value in stack.environ().items()))
    return path


def _python() -> str:
    """Return this interpreter as one would type it here."""
    path = Path(sys.executable)
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else str(path)


def _wait(invitation: str, stack: Stack) -> None:
    print(invitation, flush=True)
    try:
        while True:
            time.sleep(_FLUSH_S)
            if stack.pubsub.outstanding(GATHERED):
                _flush(stack)
    except KeyboardInterrupt:
        print("\nStopping.")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
