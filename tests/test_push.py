"""Both envelopes of a push, through functions-framework as in Google Cloud (runtime.md, section 1)."""

from __future__ import annotations

import base64
import json
import sys
from pathlib import Path
from typing import Any, Final

import functions_framework
import pytest
from cloudevents.http import CloudEvent
from flask.testing import FlaskClient
from hypothesis import given
from hypothesis import strategies as st

from lib.handlers import Message
from lib.push import parse_push

TOPIC: Final = "projects/p/topics/t"
DATA: Final = base64.b64encode(b'{"action":"add"}').decode()
ATTRIBUTES: Final = {"type": "audiences", "trace-id": "t-1"}


@pytest.fixture
def client(monkeypatch: pytest.MonkeyPatch) -> FlaskClient:
    monkeypatch.setattr(sys, "path", [*sys.path])
    for name in ("FUNCTION_TARGET", "FUNCTION_SIGNATURE_TYPE", "FUNCTION_SOURCE"):
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)
    source = Path(__file__).with_name("push_function.py")
    client: FlaskClient = functions_framework.create_app("tell", str(source)).test_client()
    return client


def envelope(**more: Any) -> dict[str, Any]:
    """Return what Pub/Sub sends; None leaves a key of the message out."""
    message = {"data": DATA, "attributes": ATTRIBUTES, "messageId": "9", "publishTime": "2026-11-01T00:00:00Z", **more}
    return {
        "subscription": "projects/p/subscriptions/s",
        "message": {key: value for key, value in message.items() if value is not None},
    }


def push(client: FlaskClient, body: object) -> dict[str, Any]:
    """Push as a subscription does: the envelope alone."""
    return _told(client.post(f"/{TOPIC}", json=body))


def cloud_event(client: FlaskClient, body: object) -> dict[str, Any]:
    """Push as Eventarc does: the same envelope, with the attributes of a CloudEvent in headers."""
    headers = {
        "ce-id": "1096434104173400",
        "ce-specversion": "1.0",
        "ce-time": "2026-11-01T00:00:00Z",
        "ce-type": "google.cloud.pubsub.topic.v1.messagePublished",
        "ce-source": f"//pubsub.googleapis.com/{TOPIC}",
    }
    return _told(client.post("/", json=body, headers=headers))


def _told(response: Any) -> dict[str, Any]:
    assert response.status_code == 200, response.data
    told: dict[str, Any] = json.loads(response.data)
    return told


ENVELOPES: Final = [pytest.param(push, id="push"), pytest.param(cloud_event, id="cloud event")]


@pytest.mark.parametrize("send", ENVELOPES)
class TestEnvelopes:
    def test_a_message(self, client: FlaskClient, send: Any) -> None:
        assert send(client, envelope()) == {
            "data": DATA,
            "attributes": ATTRIBUTES,
            "message_id": "9",
            "published": 1793491200.0,
            "attempt": 1,
        }

    @pytest.mark.parametrize("time", ["", "today", "2026-13-01T00:00:00Z", 5, ["2026-11-01T00:00:00Z"]])
    def test_a_time_that_is_none_is_not_stated(self, client: FlaskClient, send: Any, time: object) -> None:
        assert send(client, envelope(publishTime=time))["published"] is None

    @pytest.mark.parametrize("attempt", [1, 2, 100])
    def test_the_delivery_attempt(self, client: FlaskClient, send: Any, attempt: int) -> None:
        assert send(client, envelope() | {"deliveryAttempt": attempt})["attempt"] == attempt

    @pytest.mark.parametrize("attempt", [0, -1, "3", 2.0, True, None, [2], {}])
    def test_an_attempt_that_is_no_number_from_1_is_the_first(
        self, client: FlaskClient, send: Any, attempt: object
    ) -> None:
        assert send(client, envelope() | {"deliveryAttempt": attempt})["attempt"] == 1

    def test_a_message_without_attributes(self, client: FlaskClient, send: Any) -> None:
        assert send(client, envelope(attributes=None))["attributes"] == {}

    def test_the_id_is_the_messages_own(self, client: FlaskClient, send: Any) -> None:
        assert send(client, envelope(messageId="8", message_id="8"))["message_id"] == "8"

    def test_data_that_is_no_base64_is_handed_on(self, client: FlaskClient, send: Any) -> None:
        assert send(client, envelope(data="%%%"))["data"] == "%%%"


class TestCloudEventAlone:
    """What the framework refuses in a push body, and hands over where Eventarc sends it."""

    def test_a_message_of_attributes_alone(self, client: FlaskClient) -> None:
        told = cloud_event(client, envelope(data=None))
        assert (told["data"], told["attributes"]) == (None, ATTRIBUTES)

    @pytest.mark.parametrize("body", [[], "text", 5, {}, {"message": "text"}, {"message": []}])
    def test_what_is_no_message_goes_by_the_events_id(self, client: FlaskClient, body: object) -> None:
        told = cloud_event(client, body)
        assert (told["message_id"], told["attributes"], told["attempt"]) == ("1096434104173400", {}, 1)

    def test_the_id_in_snake_case(self, client: FlaskClient) -> None:
        assert cloud_event(client, envelope(messageId=None, message_id="8"))["message_id"] == "8"

    def test_bytes_that_are_no_json(self, client: FlaskClient) -> None:
        headers = {"ce-id": "5", "ce-specversion": "1.0", "ce-type": "t", "ce-source": "//s"}
        response = client.post("/", data=b"\xff\xfe", content_type="text/plain", headers=headers)
        assert (json.loads(response.data)["message_id"], response.status_code) == ("5", 200)


_JSON: Final = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.text(max_size=5)
    | st.binary(max_size=5)
    | st.datetimes().map(lambda time: time.isoformat()),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["message", "data", "attributes", "messageId", "deliveryAttempt", "publishTime", "?"]),
            inner,
            max_size=4,
        )
    ),
    max_leaves=10,
)


@given(data=_JSON, raw=st.binary(max_size=30) | _JSON.map(lambda value: json.dumps(value, default=repr).encode()))
def test_whatever_is_pushed_is_a_message(data: Any, raw: bytes) -> None:
    event = CloudEvent({"id": "5", "type": "t", "source": "//s"}, data)
    message = parse_push(event, raw)
    assert isinstance(message, Message)
    assert message.attempt >= 1
    assert all(isinstance(value, str) for value in message.attributes.values())
