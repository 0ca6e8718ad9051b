"""A request of `/segments` as a list of steps: gathered, sent at once, shown, queued, withheld or rejected."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import orjson
import pytest

from lib.authentication import Rights
from lib.changes import parse_changes
from lib.errors import ConfigurationError, ForbiddenError, InvalidRequestError, QueueError
from tests.functions import DENIED
from tests.local.faults import Fault
from tests.segment_world import SEGMENT, World, digest, world

BODY: Final[Mapping[str, Any]] = {"segment": {"id": "44A23B49", "name": "Segment 1"}, "change": "enter"}
ADA: Final[Mapping[str, Any]] = {"email": "ada@example.com"}
ADA_HASHED: Final = digest("ada@example.com")


def enter(*users: Any, **more: Any) -> dict[str, Any]:
    return {**BODY, "users": list(users or [ADA]), **more}


def queued(one: World) -> list[tuple[dict[str, Any], Mapping[str, str]]]:
    assert one.queue is not None
    return [(orjson.loads(data), attributes) for data, attributes in one.queue.messages]


class TestGathered:
    def test_each_person_under_the_persons_own_key(self) -> None:
        with world() as one:
            answer, _ = one.ask(enter({"email": "a@b.de"}, {"email": "c@d.de"}, ADA))
            assert (answer.outcome, answer.status) == ("queued", 202)
            messages = [pulled.data for pulled in one.gathering.pull(10)]
            changes = [parse_changes(orjson.loads(data)) for data in messages]
            assert sorted(row[0] for change in changes for row in change.rows) == sorted(
                [digest("a@b.de"), digest("c@d.de"), ADA_HASHED]
            )
            assert {(change.action, change.segment, change.connection) for change in changes} == {
                ("add", SEGMENT, "acme")
            }

    def test_with_the_time_that_is_stated_and_who_asked(self) -> None:
        with world() as one:
            one.ask(enter(changed_at=5, change="leave"))
            (pulled,) = one.gathering.pull(10)
            change = parse_changes(orjson.loads(pulled.data))
            assert (change.action, change.changed_at, change.trace_id, change.caller) == ("remove", 5.0, "t", "c")
            assert pulled.attributes == {"type": "changes", "trace-id": "t"}

    def test_meta_is_not_called(self) -> None:
        with world() as one:
            one.ask(enter(optimistic=True))
            assert one.meta.calls == []

    def test_optimistic_or_not_it_waits_so_that_nothing_is_to_be_warned_of(self) -> None:
        with world(queue=False) as one:
            assert one.ask(enter(optimistic=True))[0].report.warnings == {}

    def test_a_log_row_says_that_it_waits(self) -> None:
        with world() as one:
            one.ask(enter(ADA, {"zipcode": "1"}))
            rows = [(row["outcome"], row.get("rows_received"), row.get("rows_rejected")) for row in one.log.rows]
            assert rows == [("queued", 1, None), ("rejected", 1, 1)]
            assert {row["segment_id"] for row in one.log.rows} == {"44A23B49"}

    def test_what_the_gathering_does_not_take_is_nobodys(self) -> None:
        with world() as one:
            one.gathering.fails = True
            with pytest.raises(QueueError):
                one.ask(enter())


class TestAtOnce:
    def test_it_is_sent_with_a_warning(self) -> None:
        with world(gathers=False) as one:
            answer, _ = one.ask(enter())
            (made,) = one.meta.audiences()
            assert (answer.outcome, one.emails(made)) == ("delivered", {ADA_HASHED})
            assert answer.results[0].num_received == 1
            assert any("segments.topic" in warning for warning in answer.report.warnings)

    def test_a_rejected_row_beside_it_makes_it_partial(self) -> None:
        with world(gathers=False) as one:
            assert one.ask(enter(ADA, {"zipcode": "1"}))[0].outcome == "partial"

    def test_optimistic_it_waits_in_the_queue_hashed(self) -> None:
        with world(gathers=False) as one:
            answer, _ = one.ask(enter(optimistic=True))
            assert answer.status == 202
            ((letter, attributes),) = queued(one)
            assert (letter["rows"], attributes["type"]) == ([[ADA_HASHED]], "changes")
            assert one.meta.calls == []

    def test_without_an_audience_it_waits_in_the_queue(self) -> None:
        with world(gathers=False) as one:
            one.meta.refuse_terms("1")
            answer, sending = one.ask(enter())
            assert (answer.status, sending.stays, len(queued(one))) == (202, False, 1)
            (row,) = one.log.rows
            assert (row["outcome"], row["error_subcode"]) == ("queued", 1870090)

    def test_a_call_that_has_to_wait_is_one_of_the_queue(self) -> None:
        with world(gathers=False) as one:
            one.meta.faults.add(Fault.empty(503, match="/users", times=3))
            answer, _ = one.ask(enter())
            ((letter, attributes),) = queued(one)
            assert (answer.status, attributes["type"]) == (202, "requests")
            assert letter["requests"][0]["body"]["payload"]["data"] == [[ADA_HASHED]]

    @pytest.mark.parametrize(
        ("fault", "status"),
        [(Fault.empty(503, times=3), 503), (Fault.error(200, 1870090, status=403), 502), (Fault.error(100), 502)],
    )
    def test_without_a_queue_the_caller_is_told(self, fault: Fault, status: int) -> None:
        with world(gathers=False, queue=False) as one:
            one.meta.faults.add(fault)
            answer, _ = one.ask(enter())
            assert (answer.outcome, answer.status) == ("failed", status)

    @pytest.mark.parametrize(("bury", "dead"), [(False, 0), (True, 1)])
    def test_what_meta_refuses_for_good_is_told_to_a_caller_and_a_dead_letter_of_a_message(
        self, bury: bool, dead: int
    ) -> None:
        with world(gathers=False) as one:
            one.meta.faults.add(Fault.error(100, match="/users"))
            answer, _ = one.ask(enter(), bury=bury)
            assert (answer.outcome, answer.status, len(one.dead())) == ("failed", 502, dead)

    def test_what_can_never_have_an_audience_is_a_dead_letter_hashed(self) -> None:
        with world(gathers=False) as one:
            one.meta.faults.add(Fault.error(100, match="customaudiences"))
            answer, sending = one.ask(enter(), bury=True)
            ((letter, attributes),) = one.dead()
            assert (answer.outcome, letter["rows"]) == ("failed", [[ADA_HASHED]])
            assert (attributes["type"], sending.stays) == ("changes", False)
            assert "Meta error 100" in attributes["reason"]


class TestFilled:
    SOURCES: Final = {"crm": {"bigquery": {"table": "p.crm.vip"}, "segment": {"id": "44A23B49"}, "change": "mirror"}}

    def test_a_new_audience_is_filled_from_the_segments_source(self) -> None:
        with world(gathers=False, sources=self.SOURCES) as one:
            one.ask(enter())
            ((asked, attributes),) = queued(one)
            assert attributes["type"] == "segments"
            assert asked == {
                "segment": {"id": "44A23B49", "name": "Segment 1"},
                "change": "sync",
                "source": "crm",
                "connection": "acme",
            }
            one.ask(enter())
            assert len(queued(one)) == 1

    def test_others_are_not(self) -> None:
        with world(gathers=False, sources=self.SOURCES) as one:
            one.ask(enter(segment="another"))
            assert queued(one) == []


class TestShown:
    @pytest.mark.parametrize("gathers", [True, False])
    def test_the_calls_that_would_be_made(self, gathers: bool) -> None:
        with world(gathers=gathers) as one:
            answer, _ = one.ask(enter(ADA, {"zipcode": "1"}, dry_run=True))
            requests = answer.results[0].requests or []
            assert [(request["method"], request["path"]) for request in requests] == [
                ("POST", "/v26.0/act_1/customaudiences"),
                ("POST", "/v26.0/new/users"),
            ]
            assert requests[1]["body"]["payload"] == {"schema": ["EMAIL"], "data": [(ADA_HASHED,)]}
            assert (one.meta.audiences(), one.log.rows, len(one.gathering.backlog)) == ([], [], 0)

    def test_to_the_audience_that_is_there(self) -> None:
        with world() as one:
            one.meta.add_audience("11", account="1", name="CA_Segment 1")
            answer, _ = one.ask(enter(dry_run=True, change="leave"))
            assert answer.results[0].destination == {"audience_id": "11"}
            requests = answer.results[0].requests or []
            assert [(request["method"], request["path"]) for request in requests] == [("DELETE", "/v26.0/11/users")]
            assert {call.method for call in one.meta.calls} == {"GET"}


class TestConsent:
    CONSENT: Final = {"segments": ["ad_user_data"]}

    def ask(self, body: Mapping[str, Any], **segments: Any) -> tuple[Any, World]:
        with world(segments, consent=self.CONSENT) as one:
            answer, _ = one.ask(body)
            return answer, one

    def test_by_default_nothing_is_asked_for(self) -> None:
        with world() as one:
            assert one.ask(enter(consent=DENIED))[0].outcome == "queued"

    def test_where_it_is_nothing_goes_without(self) -> None:
        answer, one = self.ask(enter())
        assert (answer.outcome, answer.status) == ("withheld", 200)
        (row,) = one.log.rows
        assert (row["outcome"], row["consent_missing"], row["segment_id"]) == ("withheld", "ad_user_data", "44A23B49")
        assert len(one.gathering.backlog) == 0

    def test_leaving_needs_none(self) -> None:
        assert self.ask(enter(change="leave"))[0].outcome == "queued"

    def test_the_request_may_state_it_for_all(self) -> None:
        assert self.ask(enter(consent={"state": {"ad_user_data": "granted"}}))[0].outcome == "queued"

    def test_or_each_user_in_a_mapped_property(self) -> None:
        mapping = {"EMAIL": ["email"], "ad_user_data": ["consents.ads"]}
        users = [{**ADA, "consents": {"ads": stated}} for stated in ("granted", "denied", True, None)]
        answer, one = self.ask(enter(*users), mapping=mapping)
        assert answer.outcome == "queued"
        assert [(reject["row"], reject["reason"]) for reject in answer.report.listed()] == [
            (1, "consent is missing: ad_user_data"),
            (3, "consent is missing: ad_user_data"),
        ]
        assert one.gathering.backlog

    def test_or_the_categories_that_a_user_has_agreed_to(self) -> None:
        mapping = {"EMAIL": ["email"], "ad_user_data": ["user_privacy_categories.ads"]}
        message = {
            "event_name": "user_enters_segment",
            "context": {"segment_id": "44A23B49", "segment_name": "Segment 1"},
            "user": ADA,
        }
        agreed = {**message, "user_privacy_categories": ["ads", "stats"]}
        assert self.ask(agreed, mapping=mapping)[0].outcome == "queued"
        assert self.ask({**message, "user_privacy_categories": ["stats"]}, mapping=mapping)[0].outcome == "withheld"

    def test_rejects_have_the_numbers_that_the_caller_knows(self) -> None:
        mapping = {"EMAIL": ["email"], "ad_user_data": ["ok"]}
        answer, _ = self.ask(
            enter({"ok": False}, {"ok": True}, {"ok": True, "email": "x"}, {**ADA, "ok": True}), mapping=mapping
        )
        assert [reject["row"] for reject in answer.report.listed()] == [0, 1, 2, 2]

    def test_gtms_preview_monitor_is_nobodys_event(self) -> None:
        event = {"page_location": "https://gtm-msr.appspot.com/render2?id=GTM-1"}
        with world() as one:
            assert one.ask(enter(event_data=event))[0].outcome == "withheld"


class TestRefused:
    @pytest.mark.parametrize(
        ("rights", "body", "field"),
        [
            (Rights(caller="c", actions=frozenset({"leave"})), enter(), "action"),
            (Rights(caller="c", connections=frozenset({"globex"})), enter(), "connection"),
            (Rights(caller="c"), enter(consent={"required": []}), "consent.required"),
        ],
    )
    def test_what_a_caller_may_not(self, rights: Rights, body: Mapping[str, Any], field: str) -> None:
        with world(consent=TestConsent.CONSENT) as one, pytest.raises(ForbiddenError) as caught:
            one.ask(body, rights=rights)
        assert caught.value.field == field

    def test_an_unknown_connection(self) -> None:
        with world() as one, pytest.raises(InvalidRequestError) as caught:
            one.ask(enter(connection="initech"))
        assert caught.value.field == "connection"

    def test_nobody_in_it_can_be_sent(self) -> None:
        with world() as one:
            answer, _ = one.ask(enter({"zipcode": "1"}))
            assert (answer.outcome, answer.status) == ("rejected", 422)
            (row,) = one.log.rows
            assert (row["rows_rejected"], row["reject_reasons"]) == (1, '{"not enough identifiers":1}')

    def test_where_segments_are_not_configured(self) -> None:
        with world() as one:
            object.__setattr__(one.relay.config, "segments", None)
            with pytest.raises(ConfigurationError, match="segments are not configured"):
                one.ask(enter())


def test_data_processing_options_go_with_who_enters() -> None:
    with world(gathers=False) as one:
        one.ask(enter(data_processing={"options": ["LDU"], "country": "US", "state": "CA"}))
        one.ask(enter(data_processing={"options": ["LDU"]}, change="leave"))
        added, removed = (call.body["payload"] for call in one.calls())
        assert added["data"] == [[ADA_HASHED, ["LDU"], 1, 1000]]
        assert removed["schema"] == ["EMAIL"]


def test_a_segments_own_mapping_reads_its_users() -> None:
    segments = {"mapping": {"EMAIL": ["mail"]}, "mappings": {"44A23B49": {"PHONE": ["contact.phone"]}}}
    with world(segments, gathers=False) as one:
        one.ask(enter({"mail": "a@b.de", "contact": {"phone": "0170 1234567"}}))
        (call,) = one.calls()
        assert call.body["payload"] == {"schema": ["PHONE"], "data": [[digest("491701234567")]]}


class TestChanges:
    """A `changes` message: what waited hashed."""

    def test_it_is_gathered(self) -> None:
        with world() as one:
            one.ask(enter())
            (pulled,) = one.gathering.pull(10)
            one.gathering.acknowledge([pulled.ack_id])
            answer, sending = one.deliver(pulled.data)
            assert (answer.outcome, sending.stays, len(one.gathering.backlog)) == ("queued", False, 1)

    def test_or_sent_where_nothing_is_gathered(self) -> None:
        with world(gathers=False) as one:
            one.ask(enter(optimistic=True))
            answer, _ = one.deliver(orjson.dumps(queued(one)[0][0]))
            assert (answer.outcome, one.emails(one.meta.audiences()[0])) == ("delivered", {ADA_HASHED})

    def test_without_an_audience_it_stays_where_it_is(self) -> None:
        with world(gathers=False) as one:
            one.ask(enter(optimistic=True))
            one.meta.refuse_terms("1")
            answer, sending = one.deliver(orjson.dumps(queued(one)[0][0]))
            assert (answer.outcome, sending.stays, len(queued(one))) == ("failed", True, 1)


def test_many_at_once_are_sessions_of_their_own() -> None:
    with world(gathers=False) as one:
        answer, _ = one.ask(enter(*({"email": f"p{number}@b.de"} for number in range(20_001))))
        assert (answer.outcome, answer.results[0].num_received) == ("delivered", 20_001)
        assert len({call.body["session"]["session_id"] for call in one.calls()}) == 3


def test_a_caller_does_not_wait_for_an_audience_longer_than_for_a_batch() -> None:
    with world(gathers=False) as one:
        call = one.relay.outside.graph_api.transport

        def slow(method: str, url: str, **more: Any) -> Any:
            one.clock.pass_(2.0)
            return call(method, url, **more)

        one.relay.outside.graph_api.transport = slow
        answer, _ = one.ask(enter(), patience=2.5)
        assert (answer.status, len(queued(one))) == (202, 1)
        assert one.clock.monotonic() < 1_000 + 5
