"""
No identifier that went in appears in any log line, error, row, repr or answer; no secret anywhere but on the wire.

Canaries go in, one of each kind of identifier in each form of request, and everything that can be looked at is
searched for them: as they were, in lower case, in normal form, encoded, hashed, and by the first digits of the hash.
"""

from __future__ import annotations

import base64
import hashlib
import json
import random
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final
from urllib.parse import quote

import grpc
import orjson
import pytest
import requests

from lib.authentication import Credentials
from lib.graph_request import parse_requests
from lib.handlers import HTTPAnswer, HTTPRequest
from lib.ports import Reply
from tests import seams
from tests.functions import DENIED, GRANTED, Answered, Functions, add
from tests.local.faults import Fault
from tests.local.stack import (
    ACCOUNT,
    APP_SECRET,
    DEAD_LETTER_TOPIC,
    GATHERING,
    KEY,
    OTHER_TOKEN,
    TOKEN,
    TOPIC,
    Stack,
    secret,
)

# Of functions-framework, from Python 3.12 on.
pytestmark = pytest.mark.filterwarnings("ignore:datetime.datetime.utcnow:DeprecationWarning")

SECRETS: Final = (TOKEN, OTHER_TOKEN, APP_SECRET, KEY)

#: Identifier -> how a caller writes it, and its normal form.
HASHED: Final[Mapping[str, tuple[str, str]]] = {
    "EMAIL": ("Wanda.Canary@Example.COM", "wanda.canary@example.com"),
    "PHONE": ("+49 (170) 98 76 543", "491709876543"),
    "FN": ("Wandalina-Canary", "wandalinacanary"),
    "LN": ("O'Canaryson", "ocanaryson"),
    "CT": ("Bad Canarystadt", "badcanarystadt"),
    "ST": ("Canaryland", "canaryland"),
    "ZIP": ("CAN 4R7", "can4r7"),
    "COUNTRY": ("Deutschland", "de"),
    "GEN": ("Weiblich", "f"),
    "DOB": ("1987-11-23", "1987"),
    "EXTERN_ID": ("crm-Canary-777", "crm-Canary-777"),
}
#: What Meta takes as it is.
PLAIN: Final[Mapping[str, str]] = {"MADID": "38400000-8cf0-11bd-b23e-10b96ecafe77", "UID": "7788990011223344"}
PERSON: Final = {key: raw for key, (raw, _) in HASHED.items()} | dict(PLAIN)
#: The same people with something wrong in each cell.
BAD_PERSON: Final = {
    "EMAIL": "wanda.canary(at)example.com",
    "PHONE": "canaryphone 98",
    "FN": "!!!",
    "COUNTRY": "Canarystan",
    "DOB": "31/31/1987 canary",
    "MADID": "38400000-canary",
    "LOOKALIKE_VALUE": "canaryvalue",
}


def digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


CLEAR: Final = frozenset(
    form.lower()
    for raw in (*PERSON.values(), *(normal for _, normal in HASHED.values()), *BAD_PERSON.values(), "canary")
    # A country or a gender alone names nobody, and is a word of any text.
    if len(raw) > 5 and raw not in {"Deutschland", "Weiblich"}
    for form in (raw, quote(raw), json.dumps(raw)[1:-1], base64.b64encode(raw.encode()).decode().rstrip("="))
)
DIGESTS: Final = frozenset(digest(form) for pair in HASHED.values() for form in pair)
#: Clear text that may wait: the columns that Meta takes as they are.
MAY_WAIT: Final = frozenset(value.lower() for value in PLAIN.values())


def found_in(text: str, *, hashes: bool = True, but: Iterable[str] = ()) -> set[str]:
    """Return the canaries in *text*."""
    low = text.lower()
    found = {form for form in CLEAR - frozenset(but) if form in low}
    found |= {known for known in SECRETS if known in text}
    if hashes:
        found |= {known for known in DIGESTS if known[:8] in low}
    return found


FORMS: Final[Mapping[str, Callable[[Mapping[str, Any]], dict[str, Any]]]] = {
    "user": lambda person: {"user": {key: [value, value] for key, value in person.items()}},
    "table": lambda person: {"users": {"schema": list(person), "data": [list(person.values())] * 2}},
    "objects": lambda person: {"users": [dict(person), {"EMAIL": person["EMAIL"]}]},
    "event": lambda person: {
        "user_from_event": True,
        "event_data": {
            "page_location": "https://example.com/?email=wanda.canary@example.com",
            "ip_override": "203.0.113.77",
            "user_data": {
                "email_address": person["EMAIL"],
                "phone_number": person["PHONE"],
                "address": [{"first_name": person["FN"], "country": person["COUNTRY"]}],
            },
            "x-fb-ud-db": person["DOB"],
            "external_id": "crm-Canary-777",
            "madid": person["MADID"],
        },
    },
    "flattened event": lambda person: {
        "user_from_event": True,
        "event_data": {
            "user_data_email_address": person["EMAIL"],
            "user_data_phone_number": person["PHONE"],
            "x_fb_ud_ln": person["FN"],
            "user_data_external_id": "crm-Canary-777",
        },
    },
}


@dataclass(frozen=True)
class Outcome:
    """
    What a request may come to.

    Args:
        person: Who is in it.
        more: Further keys of the body.
        before: Arranged first.
        status: Of the answer.
    """

    status: int
    person: Mapping[str, Any] = field(default_factory=lambda: PERSON)
    more: Mapping[str, Any] = field(default_factory=dict)
    before: Callable[[Functions], object] = lambda _functions: None


def faults(*ordered: Fault) -> Callable[[Functions], object]:
    return lambda functions: functions.stack.graph.faults.add(*ordered)


def pubsub_fails(functions: Functions) -> None:
    for topic in (TOPIC, DEAD_LETTER_TOPIC):
        functions.stack.pubsub.fail_publish(topic, times=99, code=grpc.StatusCode.PERMISSION_DENIED)


#: Meta repeats what was sent in its texts, in clear and hashed.
ECHO: Final = {
    "message": f"Invalid value wanda.canary@example.com ({digest('wanda.canary@example.com')}) for {TOKEN}",
    "type": "OAuthException",
    "code": 100,
    "error_user_title": "wanda.canary@example.com",
    "error_user_msg": "+49 (170) 98 76 543",
    "fbtrace_id": digest("wanda.canary@example.com"),
    "error_data": {"blame_field_specs": [["wanda.canary@example.com"]]},
}
SAMPLES: Final = {
    "num_received": 2,
    "num_invalid_entries": 1,
    "invalid_entry_samples": {json.dumps([digest("wanda.canary@example.com")]): "wanda.canary@example.com"},
    "fbtrace_id": "wanda.canary@example.com",
}

OUTCOMES: Final[Mapping[str, Outcome]] = {
    "delivered": Outcome(200),
    "debugged": Outcome(200, more={"debug": True}),
    "cells and rows rejected": Outcome(422, person=BAD_PERSON),
    "rejected and debugged": Outcome(422, person=BAD_PERSON, more={"debug": True}),
    "withheld": Outcome(200, more={"consent": DENIED}),
    "queued": Outcome(202, more={"optimistic": True}),
    "invalid at Meta": Outcome(200, before=faults(Fault(status=200, body=SAMPLES, times=9))),
    "refused by Meta, which repeats it": Outcome(502, before=faults(Fault(status=400, body={"error": ECHO}, times=9))),
    "the same, debugged": Outcome(
        502, more={"debug": True}, before=faults(Fault(status=400, body={"error": ECHO}, times=9))
    ),
    "HTML that repeats it": Outcome(
        202, before=faults(Fault(status=502, body=orjson.dumps(ECHO) + b"<html>", times=9, content_type="text/html"))
    ),
    "Meta down": Outcome(202, before=faults(Fault.dropped("before", times=9))),
    "token expired": Outcome(202, before=lambda functions: functions.stack.graph.expire(TOKEN)),
    "terms refused": Outcome(202, before=lambda functions: functions.stack.graph.refuse_terms(ACCOUNT)),
    "BigQuery fails": Outcome(200, before=lambda functions: functions.stack.bigquery.fail(times=9)),
    "Pub/Sub fails": Outcome(503, more={"optimistic": True}, before=pubsub_fails),
    "Secret Manager fails": Outcome(
        202, before=lambda functions: functions.stack.secrets.deny(secret("meta-token-acme"))
    ),
}


class Observed:
    """Everything that can be looked at after a request."""

    def __init__(self, functions: Functions, capsys: pytest.CaptureFixture[str]) -> None:
        self.functions = functions
        self._capsys = capsys

    def check(self, answer: Answered | None = None) -> None:
        """Search all of it."""
        printed = self._capsys.readouterr()
        assert found_in(printed.out + printed.err) == set()
        assert found_in(json.dumps(self.functions.stack.rows(), default=str)) == set()
        if answer is not None:
            assert found_in(answer.raw.decode() + json.dumps(dict(answer.headers))) == set()
        for message in self.functions.stack.pubsub.messages(TOPIC):
            assert found_in(json.dumps(dict(message.attributes))) == set()
            if message.attributes.get("type") == "requests":
                assert found_in(message.data.decode(), hashes=False, but=MAY_WAIT) == set()
        for letter in self.functions.dead():
            assert found_in(json.dumps(dict(letter.attributes))) == set()
            if letter.attributes.get("type") == "requests":
                assert found_in(letter.data.decode(), hashes=False, but=MAY_WAIT) == set()


@pytest.fixture
def observed(functions: Functions, capsys: pytest.CaptureFixture[str]) -> Iterator[Observed]:
    """The functions, and all that can be seen of them."""
    # Ids are drawn, and by chance one could begin with the digits of a hash: then each time, and not now and then.
    random.seed(1)
    functions.config["log_level"] = "DEBUG"
    yield Observed(functions, capsys)
    functions.stack.graph.violations.clear() if functions.stack.graph.faults.pending() else None


def body_of(form: str, outcome: Outcome) -> dict[str, Any]:
    return add("1001", **FORMS[form](outcome.person)) | dict(outcome.more)


#: These wait between their tries.
SLOW: Final = ("HTML that repeats it", "Meta down")


@pytest.mark.parametrize(
    ("form", "name"), [(form, name) for name in OUTCOMES for form in (["objects"] if name in SLOW else FORMS)]
)
def test_of_a_request(observed: Observed, form: str, name: str) -> None:
    outcome = OUTCOMES[name]
    functions = observed.functions
    outcome.before(functions)
    answer = functions.receive(body_of(form, outcome))
    assert answer.status in {outcome.status, 200} if outcome.status == 422 else {outcome.status}
    functions.deliver_once()
    observed.check(answer)


@pytest.mark.parametrize(
    "name",
    ["delivered", "cells and rows rejected", "withheld", "invalid at Meta", "refused by Meta, which repeats it",
     "token expired", "BigQuery fails"],
)  # fmt: skip
@pytest.mark.parametrize("form", ["user", "event"])
def test_of_a_message(observed: Observed, form: str, name: str) -> None:
    outcome = OUTCOMES[name]
    functions = observed.functions
    outcome.before(functions)
    functions.publish(body_of(form, outcome), type="audiences")
    functions.deliver_once()
    functions.deliver_once()
    observed.check()


@pytest.mark.parametrize("form", FORMS)
def test_a_dry_run_shows_hashes_in_its_answer_alone(observed: Observed, form: str) -> None:
    answer = observed.functions.receive(add("1001", dry_run=True, **FORMS[form](PERSON)))
    assert answer["outcome"] == "dry_run"
    assert found_in(answer.raw.decode(), hashes=False, but=MAY_WAIT) == set()
    observed.check()


BAD: Final[Mapping[str, Any]] = {
    "an unknown key": {"canary@example.com": "wanda.canary@example.com"},
    "an id that is none": {"destinations": [{"audience_id": "wanda.canary@example.com"}]},
    "a connection that is none": {"connection": "wanda.canary@example.com"},
    "a secret for a connection": {"connection": TOKEN},
    "a schema key": {"users": {"schema": ["wanda.canary@example.com"], "data": [["x"]]}, "user": None},
    "a user key": {"user": {"wanda.canary@example.com": "x"}},
    "a token in the body": {"access_token": TOKEN},
    "an action": {"action": "wanda.canary@example.com"},
    "consent": {"consent": {"required": ["wanda.canary@example.com"]}},
    "data processing": {"data_processing": {"options": ["wanda.canary@example.com"]}},
}


@pytest.mark.parametrize("name", BAD)
def test_of_a_body_that_is_not_understood(observed: Observed, name: str) -> None:
    body = {key: value for key, value in (add() | BAD[name]).items() if value is not None}
    answer = observed.functions.receive(body)
    assert answer.status in {200, 400}
    observed.check(answer)
    observed.functions.publish(body)
    observed.functions.deliver_once()
    observed.check()


@pytest.mark.parametrize(
    "raw", [b'{"a": "wanda.canary@example.com"', b"wanda.canary@example.com", b'["Wanda.Canary@Example.COM"]']
)
def test_of_a_body_that_is_no_json(observed: Observed, raw: bytes) -> None:
    observed.check(observed.functions.receive(raw))
    observed.functions.publish(raw)
    observed.functions.deliver_once()
    observed.check()


@pytest.mark.parametrize(
    "asked",
    [
        {"key": "wanda.canary@example.com"},
        {"key": f"{KEY}x"},
        {"path": "/wanda.canary@example.com"},
        {"path": f"/audiences?access_token={TOKEN}&email=wanda.canary@example.com", "method": "GET"},
        {"headers": {"trace-id": "wanda.canary@example.com"}},
        {"headers": {"traceparent": "wanda.canary@example.com", "X-Cloud-Trace-Context": "wanda.canary@example.com"}},
        {"headers": {"X-Relay-Signature": TOKEN, "X-Relay-Timestamp": "wanda.canary@example.com"}, "key": None},
        {"content_type": "wanda.canary@example.com"},
        {"headers": {"Content-Encoding": "wanda.canary@example.com"}},
    ],
)
def test_of_headers_and_paths(observed: Observed, asked: dict[str, Any]) -> None:
    observed.check(observed.functions.receive(add(), **asked))


def test_of_a_fault_of_ours(capsys: pytest.CaptureFixture[str]) -> None:
    def raises(*_: object, **__: object) -> Reply:
        raise ValueError(f"wanda.canary@example.com {digest('wanda.canary@example.com')} {TOKEN}")

    relay = seams.relay(transport=raises, queue=seams.Kept())
    answer = seams.post(relay, add("1001", user=dict(PERSON)))
    assert answer.status == 500
    assert not relay.deliver(seams.message(orjson.dumps(add("1001", user=dict(PERSON)))))
    printed = capsys.readouterr()
    assert '"stack_trace"' in printed.err
    assert found_in(answer.body.decode() + printed.out + printed.err) == set()


def test_the_real_processes_print_nothing_either(tmp_path: Any) -> None:
    path = tmp_path / "log"
    with Stack(backoff_scale=0.01) as stack, path.open("wb") as log:
        stack.config["log_level"] = "DEBUG"
        receive, deliver = (stack.function(target, log=log.fileno()) for target in ("receive", "deliver"))
        stack.subscribe(deliver)
        stack.graph.faults.add(Fault(), Fault(status=400, body={"error": ECHO}), Fault.dropped("before", times=4))
        for _ in range(3):
            requests.post(
                f"{receive.url}/audiences?email=wanda.canary@example.com",
                json=add("1001", debug=True, user=dict(PERSON)),
                headers={"Authorization": f"Bearer {KEY}"},
                timeout=30,
            )
        for data in (b"wanda.canary@example.com", orjson.dumps(add("1001", user=dict(PERSON)))):
            stack.pubsub.publish(TOPIC, data, attributes={"type": "audiences"})
        assert stack.pubsub.wait_idle(timeout=20)
        assert stack.graph.counts()["1001"] == 1
    printed = path.read_text(encoding="utf-8")
    assert "audiences delivered" in printed
    assert found_in(printed) == set()


class TestReprs:
    """What is printed by mistake holds nothing either."""

    def test_of_what_travels(self) -> None:
        queue = seams.Kept()
        relay = seams.relay(transport=seams.Meta(), queue=queue)
        answer = seams.post(relay, add("1001", user=dict(PERSON), optimistic=True))
        ((data, attributes),) = queue.messages
        waiting = parse_requests(orjson.loads(data))
        request = HTTPRequest(method="POST", path="/audiences", headers={"authorization": KEY}, read_body=lambda: data)
        for value in (
            relay,
            waiting,
            *waiting.requests,
            replace(seams.message(data), attributes=attributes),
            request,
            answer,
            Reply(200, {}, data),
            Credentials.from_headers({"authorization": f"Bearer {KEY}", "x-relay-signature": digest(KEY)}),
            HTTPAnswer(status=200, body=b""),
        ):
            assert found_in(repr(value)) == set()

    def test_of_secrets(self) -> None:
        secrets = {"env:TOKEN": TOKEN.encode()}
        assert TOKEN in str(secrets)  # the test would see it
        relay = seams.relay(transport=seams.Meta(), queue=None)
        assert not re.search(re.escape(TOKEN), repr(relay))


def test_the_search_finds_what_it_looks_for() -> None:
    for text in (
        "an error about Wanda.Canary@example.com",
        "phone 491709876543",
        f"hash {digest('wanda.canary@example.com')}",
        f"digits {digest('491709876543')[:8]}",
        f"Bearer {TOKEN}",
        quote("wanda.canary@example.com"),
    ):
        assert found_in(text)
    assert found_in(f"{digest('x')} {GRANTED}") == set()


def gathering_fails(functions: Functions) -> None:
    functions.stack.pubsub.fail_publish(GATHERING, times=99, code=grpc.StatusCode.PERMISSION_DENIED)


#: What a segment's change may come to: how it is arranged, who is in it, and the answer's status.
SEGMENTS: Final[Mapping[str, tuple[Callable[[Functions], object], Mapping[str, Any], int]]] = {
    "gathered and sent": (lambda _functions: None, PERSON, 202),
    "rejected": (lambda _functions: None, BAD_PERSON, 422),
    "not gathered": (gathering_fails, PERSON, 503),
    "refused by Meta, which repeats it": (
        faults(Fault(status=400, body={"error": ECHO}, match="/users", times=9)),
        PERSON,
        202,
    ),
    "no audience": (faults(Fault(status=400, body={"error": ECHO}, times=9)), PERSON, 202),
    "terms refused": (lambda functions: functions.stack.graph.refuse_terms(ACCOUNT), PERSON, 202),
    "invalid at Meta": (faults(Fault(status=200, body=SAMPLES, match="/users", times=9)), PERSON, 202),
}


@pytest.mark.parametrize("name", SEGMENTS)
@pytest.mark.parametrize("change", ["enter", "leave"])
def test_of_a_segments_change(observed: Observed, change: str, name: str) -> None:
    arrange, person, status = SEGMENTS[name]
    functions = observed.functions
    arrange(functions)
    user = {"email": person["EMAIL"], "phone": person.get("PHONE"), "firstname": person["FN"], **dict(PLAIN)}
    if status == 422:
        user = {"email": person["EMAIL"], "firstname": person["FN"], "MADID": person["MADID"]}
    body = {"segment": {"id": "44A23B49"}, "change": change, "user": user, "debug": True}
    answer = functions.receive(body, path="/segments")
    assert answer.status == status
    for message in functions.stack.pubsub.messages(GATHERING):
        assert found_in(message.data.decode() + message.ordering_key, hashes=False, but=MAY_WAIT) == set()
        assert found_in(json.dumps(dict(message.attributes)) + message.ordering_key) == set()
    assert functions.push(b"{}", {"type": "flush"}) == 200
    observed.check(answer)


#: What an erasure may come to.
ERASURES: Final[Mapping[str, tuple[Callable[[Functions], object], Mapping[str, Any], int]]] = {
    "removed everywhere": (lambda _functions: None, PERSON, 200),
    "rejected in part": (lambda _functions: None, BAD_PERSON, 200),
    "left to the queue": (faults(Fault(status=503, times=99, match="usersofanyaudience")), PERSON, 202),
    "refused by Meta, which repeats it": (
        faults(Fault(status=400, body={"error": ECHO}, match="usersofanyaudience", times=9)),
        PERSON,
        200,
    ),
}


@pytest.mark.parametrize("name", ERASURES)
def test_of_an_erasure(observed: Observed, name: str) -> None:
    arrange, person, status = ERASURES[name]
    functions = observed.functions
    functions.config["callers"]["sgtm"]["actions"].append("erase")
    functions.config["identity"] = {"memory": True, "key": secret("relay-key-sgtm") + "/versions/latest"}
    arrange(functions)
    answer = functions.receive({"user": dict(person), "debug": True}, path="/erase")
    assert answer.status == status
    observed.check(answer)
