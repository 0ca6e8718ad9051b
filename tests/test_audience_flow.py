"""A request of `/audiences` as a list of steps, with ports in a test's hand."""

from __future__ import annotations

from typing import Any, Final

import orjson
import pytest

from lib.audience_flow import AudienceFlow
from lib.authentication import Rights
from lib.errors import ForbiddenError, InvalidRequestError
from lib.outcomes import Answer
from lib.sending import Origin, Sending
from tests import seams
from tests.functions import DENIED, GRANTED, add, people

ANYTHING: Final = Rights(caller="c", may_lower_consent=True)
ALL: Final = [
    {"audience_id": "1001"},
    {"audience_id": "1003", "value_based": True},
    {"audience_id": "2001", "connection": "globex"},
]


class Flow:
    """The flow and what it touches."""

    def __init__(self, **config: Any) -> None:
        self.script = seams.Script()
        self.log = seams.Log()
        self.queue = seams.Kept()
        self.bodies: list[dict[str, Any]] = []
        relay = seams.relay(transport=self._call, queue=self.queue, log=self.log, config={**seams.CONFIG, **config})
        self.flow = AudienceFlow(config=relay.config, outside=relay.outside)

    def _call(self, method: str, url: str, **more: Any) -> Any:
        self.bodies.append({"url": url, **orjson.loads(more["body"])})
        return self.script(method, url, **more)

    def run(self, body: dict[str, Any], rights: Rights = ANYTHING, request_id: str = "r") -> tuple[Answer, Sending]:
        origin = Origin(request_id=request_id, trace_id="t", caller="c", kind="audiences", started=0)
        answer, sending = self.flow.run(body, rights=rights, origin=origin)
        sending.finish()
        return answer, sending


def test_results_stand_in_the_order_of_the_destinations() -> None:
    answer, _ = Flow().run(add(users=[{"EMAIL": "a@b.de", "LOOKALIKE_VALUE": 1}]) | {"destinations": ALL})
    assert [result.destination["audience_id"] for result in answer.results] == ["1001", "1003", "2001"]
    assert [result.outcome for result in answer.results] == ["delivered"] * 3


def test_each_destination_gets_each_batch_before_the_next_is_built() -> None:
    flow = Flow()
    flow.run(add("1001", "1002", users=people(25_000)))
    assert flow.script.sizes == [
        ("1001", 10_000), ("1002", 10_000), ("1001", 10_000), ("1002", 10_000), ("1001", 5_000), ("1002", 5_000),
    ]  # fmt: skip


def test_only_the_last_batch_of_a_session_is_marked_also_where_the_last_rows_are_not_sent() -> None:
    flow = Flow()
    data = [*people(20_000)["data"], *([["nobody"]] * 5_000)]
    flow.run(add(users={"schema": ["EMAIL"], "data": data}))
    sessions = [body["session"] for body in flow.bodies]
    assert [(one["batch_seq"], one["last_batch_flag"]) for one in sessions] == [(1, False), (2, True)]


def test_batches_with_and_without_external_ids_are_sessions_of_their_own() -> None:
    flow = Flow()
    data = [[f"p{row}@b.de", f"c{row}" if row % 2 else ""] for row in range(20_000)]
    flow.run(add(users={"schema": ["EMAIL", "EXTERN_ID"], "data": data}))
    sessions: dict[int, list[tuple[int, bool]]] = {}
    for body in flow.bodies:
        one = body["session"]
        sessions.setdefault(one["session_id"], []).append((one["batch_seq"], one["last_batch_flag"]))
    assert list(sessions.values()) == [[(1, False), (2, True)]] * 2


def test_session_ids_derive_from_the_request_and_the_destination() -> None:
    flow = Flow()
    for request_id in ("r", "r", "s"):
        flow.run(add("1001", "1002"), request_id=request_id)
    ids = [body["session"]["session_id"] for body in flow.bodies]
    assert ids[:2] == ids[2:4]
    assert len(set(ids)) == 4


def test_connections_that_read_alike_share_their_rejects() -> None:
    flow = Flow(
        connections={
            "acme": {"access_token": "env:TOKEN"},
            "globex": {"access_token": "env:TOKEN"},
            "initech": {"access_token": "env:TOKEN", "default_country": "US"},
        }
    )
    destinations = [{"audience_id": "1"}, {"audience_id": "2", "connection": "globex"}]
    users = [{"EMAIL": "a@b.de"}, {"EMAIL": "x"}]
    answer, _ = flow.run(add(users=users) | {"destinations": destinations})
    assert len(answer.report.listed()) == 2
    answer, _ = flow.run(
        add(users=users) | {"destinations": [*destinations, {"audience_id": "3", "connection": "initech"}]}
    )
    assert len(answer.report.listed()) == 2
    assert answer.outcome == "partial"
    assert [row["rows_rejected"] for row in flow.log.rows if row["outcome"] == "rejected"] == [1] * 5


def test_rows_without_a_value_are_missed_by_the_value_based_audience_alone() -> None:
    flow = Flow()
    users = [{"EMAIL": "a@b.de", "LOOKALIKE_VALUE": 1}, {"EMAIL": "c@d.de"}]
    answer, _ = flow.run(add(users=users) | {"destinations": ALL[:2]})
    assert [result.num_received for result in answer.results] == [2, 1]
    rejected = [row for row in flow.log.rows if row["outcome"] == "rejected"]
    assert [(row["destination"], row["rows_rejected"]) for row in rejected] == [("1003", 1)]


def test_a_destination_that_gets_nobody_is_rejected_beside_one_that_does() -> None:
    users = [{"EMAIL": "a@b.de", "LOOKALIKE_VALUE": "x"}]
    answer, _ = Flow().run(add(users=users) | {"destinations": ALL[:2]})
    assert [result.outcome for result in answer.results] == ["delivered", "rejected"]
    assert (answer.outcome, answer.status) == ("partial", 200)


@pytest.mark.parametrize(
    ("rights", "body", "field"),
    [
        (Rights(caller="c", actions=frozenset({"remove"})), add(), "action"),
        (Rights(caller="c", connections=frozenset({"globex"})), add(), "connection"),
        (Rights(caller="c"), add(consent={"required": []}), "consent.required"),
        (Rights(caller="c", actions=frozenset({"add"})), add(consent={**GRANTED, "on_denied": "remove"}), "action"),
    ],
)
def test_rights_are_checked_before_anything_is_done(rights: Rights, body: dict[str, Any], field: str) -> None:
    flow = Flow()
    with pytest.raises(ForbiddenError) as caught:
        flow.run(body, rights)
    assert caught.value.field == field
    assert (flow.bodies, flow.log.rows) == ([], [])


@pytest.mark.parametrize(
    ("body", "field"),
    [
        (add(connection="initech"), "connection"),
        ({**add(), "destinations": [{"audience_id": "1", "connection": "initech"}]}, "destinations[0].connection"),
        ({"action": "add", "user": {"EMAIL": "a@b.de"}}, "destinations"),
        ({"action": "remove_from_all", "user": {"EMAIL": "a@b.de"}, "connection": "hooli"}, "destinations"),
    ],
)
def test_where_to_is_known_before_anything_is_done(body: dict[str, Any], field: str) -> None:
    flow = Flow(connections={**seams.CONFIG["connections"], "hooli": {"access_token": "env:TOKEN"}})
    with pytest.raises(InvalidRequestError) as caught:
        flow.run(body)
    assert caught.value.field == field


def test_without_a_default_connection_it_has_to_be_named() -> None:
    flow = Flow(default_connection=None)
    with pytest.raises(InvalidRequestError, match="is missing"):
        flow.run(add())
    answer, _ = flow.run(add(connection="globex"))
    assert answer.outcome == "delivered"


def test_the_only_connection_is_the_default_one() -> None:
    flow = Flow(default_connection=None, connections={"acme": {"access_token": "env:TOKEN"}})
    assert flow.run(add())[0].outcome == "delivered"


class TestConsent:
    def test_withheld_has_a_row_for_each_destination(self) -> None:
        flow = Flow()
        answer, _ = flow.run(add("1001", "1002", consent=DENIED, users=people(3)))
        assert (answer.outcome, answer.status) == ("withheld", 200)
        assert [(row["destination"], row["rows_received"]) for row in flow.log.rows] == [("1001", 3), ("1002", 3)]

    def test_a_removal_in_place_of_an_addition_carries_no_data_processing_options(self) -> None:
        flow = Flow()
        body = add(consent={**DENIED, "on_denied": "remove"}, data_processing={"options": ["LDU"]})
        flow.run(body)
        assert flow.bodies[0]["payload"]["schema"] == ["EMAIL"]

    def test_on_denied_means_nothing_to_a_removal(self) -> None:
        flow = Flow()
        answer, _ = flow.run(
            {**add(consent={**DENIED, "on_denied": "remove"}), "action": "remove"},
            Rights(caller="c", actions=frozenset({"remove"})),
        )
        assert answer.outcome == "delivered"


def test_page_ids_go_with_the_payload() -> None:
    flow = Flow()
    answer, _ = flow.run(add(user={"PAGEUID": "7", "EMAIL": "a@b.de"}, page_ids=["9"]))
    assert flow.bodies[0]["payload"]["page_ids"] == ["9"]
    assert answer.report.warnings == {}
    answer, _ = flow.run(add(user={"PAGEUID": "7", "EMAIL": "a@b.de"}))
    assert "PAGEUID is of no use to Meta without page_ids" in answer.report.warnings


def test_several_warnings_each_once() -> None:
    answer, _ = Flow().run(add(user={"PHONE": ["0170 1234567"] * 2, "EMAIL": "a@b.de"}, connection="globex", more=1))
    assert list(answer.report.warnings) == [
        "the body has keys that are not known; they are ignored",
        "PHONE: no country is known for some numbers; they are taken to start with their country code",
    ]
