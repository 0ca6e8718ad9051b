"""A request of `/events` through the whole relay, with ports that the test hands in: no network, clock or chance."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lib.errors import ConfigurationError
from lib.ports import Reply
from tests.event_world import CONFIG, DAY, NOW, Meta, World, ids, lead, leads, post, published, refusal
from tests.seams import Values, relay
from tests.strategies import json_values


@pytest.fixture
def world() -> World:
    return World()


class TestBatches:
    def test_up_to_a_thousand_in_one_call(self, world: World) -> None:
        answer = world.post(events=leads(2001))
        assert [1000, 1000, 1] == [len(body["data"]) for body in world.meta.bodies]
        assert ("delivered", 2001) == (answer["outcome"], answer["results"][0]["num_received"])
        assert [1, 2, 3] == [row["batch"] for row in world.log.rows]
        assert 2001 == sum(row["rows_sent"] for row in world.log.rows)  # type: ignore[misc] # numbers, says the table

    def test_those_of_a_store_go_apart(self, world: World) -> None:
        """A batch is refused for its oldest event, and a store's may be older."""
        old = {"action_source": "physical_store", "timestamp": NOW - 60 * DAY}
        world.post(events=[lead(0), lead(1, **old), lead(2), lead(3, **old)])
        assert [["E-0", "E-2"], ["E-1", "E-3"]] == [ids(body["data"]) for body in world.meta.bodies]

    @pytest.mark.parametrize(
        ("event", "destination", "override", "code"),
        [
            pytest.param({"test_event_code": "EVENT"}, {"test_event_code": "DATASET"}, {}, "EVENT", id="the event's"),
            pytest.param({}, {"test_event_code": "DATASET"}, {}, "DATASET", id="the destination's"),
            pytest.param({}, {}, {}, "GLOBEX", id="the connection's"),
            pytest.param(
                {"test_event_code": "EVENT"}, {}, {"test_event_code": "OVER"}, "OVER", id="the caller's for the event"
            ),
            pytest.param({"test_event_code": ""}, {}, {"test_event_code": ""}, "GLOBEX", id="blank is none"),
        ],
    )
    def test_the_test_code_is_the_nearest(
        self,
        world: World,
        event: Mapping[str, Any],
        destination: Mapping[str, Any],
        override: Mapping[str, Any],
        code: str,
    ) -> None:
        place = {"dataset_id": "4001", "connection": "globex", **destination}
        world.post(event_data=lead(**event), destinations=[place], event=override)
        assert [code] == [body["test_event_code"] for body in world.meta.bodies]

    def test_a_test_is_the_real_event(self, world: World) -> None:
        """F 47: others throw it away in their test environments, and trace nothing that has no client_id."""
        events = [lead(test_event_code=code) | {"client_id": None} for code in (None, "T1")]
        traces = [world.post(event_data=event)["trace_id"] for event in events]
        real, test = world.meta.bodies
        assert real["data"] == test["data"]
        assert (test["test_event_code"], all(traces)) == ("T1", True)

    def test_without_any_there_is_none(self, world: World) -> None:
        world.post(event_data=lead())
        assert {"data", "partner_agent"} == world.meta.bodies[0].keys()

    def test_events_of_other_test_codes_go_apart(self, world: World) -> None:
        world.post(events=[lead(0), lead(1, test_event_code="T1"), lead(2), lead(3, test_event_code="T1")])
        assert [(None, ["E-0", "E-2"]), ("T1", ["E-1", "E-3"])] == [
            (body.get("test_event_code"), ids(body["data"])) for body in world.meta.bodies
        ]

    @pytest.mark.parametrize("code", ["ada@example.com", "+49 170 1234567", {"a": 1}, 7])
    def test_a_code_that_is_none_never_leaves(self, world: World, code: object) -> None:
        answer = world.post(event_data=lead(test_event_code=code))
        assert "delivered" == answer["outcome"]
        assert ["test_event_code: not letters and digits; it is ignored"] == answer["warnings"]
        assert "test_event_code" not in world.meta.bodies[0]


class TestDestinations:
    def test_each_connection_reads_events_in_its_own_way(self, world: World) -> None:
        bought = lead(event_name="purchase", value=9.5, user_id="c-1", user_data={"phone_number": "0170 1234567"})
        destinations = [{"dataset_id": "3001"}, {"dataset_id": "4001", "connection": "globex"}]
        answer = world.post(event_data=bought, destinations=destinations)
        assert ("partial", ["rejected", "delivered"]) == (
            answer["outcome"],
            [result["outcome"] for result in answer["results"]],
        )
        assert [
            {"row": 0, "field": "custom_data.currency", "reason": "missing: a Purchase needs value and currency"}
        ] == (answer["rejected"])
        (event,) = world.meta.events("4001")
        assert (["c-1"], "USD") == (event["user_data"]["external_id"], event["custom_data"]["currency"])

    def test_those_that_read_alike_get_the_same_bytes(self, world: World) -> None:
        destinations = [{"dataset_id": "3001"}, {"dataset_id": "3002", "connection": "hooli"}]
        answer = world.post(event_data=lead(event_id=None), destinations=destinations)
        assert ["delivered", "delivered"] == [result["outcome"] for result in answer["results"]]
        first, second = world.meta.raw
        assert first == second

    def test_the_default_connection_named_and_meant_is_the_same(self, world: World) -> None:
        answer = world.post(
            event_data=lead(), destinations=[{"dataset_id": "1"}, {"pixel_id": 1, "connection": "acme"}]
        )
        assert ("destinations", []) == (answer["error"]["field"], world.meta.bodies)

    def test_a_connection_without_a_dataset_needs_destinations(self, world: World) -> None:
        config = {**CONFIG, "connections": {"acme": {"access_token": "env:TOKEN"}}}
        one = relay(transport=world.meta, queue=None, config=config)
        answer = post(one, {"event_data": lead()})
        assert (400, "destinations") == (answer.status, orjson.loads(answer.body)["error"]["field"])


class TestOneBadEvent:
    """It never takes the others along: design, section 13, and the issue's acceptance 3."""

    def test_what_we_know_to_be_bad_is_not_sent(self, world: World) -> None:
        bad = [lead(1, timestamp=NOW - 8 * DAY), lead(2, user_data={}, user_agent=""), lead(3, event_name="purchase")]
        answer = world.post(events=[lead(0), *bad, lead(4)])
        assert ["E-0", "E-4"] == ids(world.meta.events())
        assert 1 == len(world.meta.bodies)
        assert "partial" == answer["outcome"]
        assert [
            (1, "event_time"),
            (2, "user_data"),
            (3, "custom_data.value"),
            (3, "custom_data.currency"),
        ] == [(reject["row"], reject["field"]) for reject in answer["rejected"]]
        assert [("delivered", 2, None), ("rejected", 3, 3)] == [
            (row["outcome"], row["rows_received"], row.get("rows_rejected")) for row in world.log.rows
        ]

    @given(st.integers(1, 300), st.sets(st.integers(0, 299), max_size=6))
    @settings(max_examples=60, deadline=None)
    def test_what_meta_alone_knows_to_be_bad_is_found_in_few_calls(self, count: int, places: set[int]) -> None:
        bad = {place for place in places if place < count}
        world = World()
        world.meta.refused = {f"E-{place}" for place in bad}
        answer = world.post(events=leads(count))
        assert [f"E-{place}" for place in range(count) if place not in bad] == ids(world.meta.events())
        assert len(world.meta.bodies) <= 2 * len(bad) * math.ceil(math.log2(count)) + 1
        assert [
            {"row": place, "field": None, "reason": "Meta refuses it; the result's error says why"}
            for place in sorted(bad)
        ] == answer["rejected"]
        wanted = "delivered" if not bad else "failed" if len(bad) == count else "partial"
        assert wanted == answer["outcome"]
        assert {"delivered": count - len(bad), "failed": len(bad)} == {
            outcome: sum(int(str(row["rows_received"])) for row in world.log.rows if row["outcome"] == outcome)
            for outcome in ("delivered", "failed")
        }

    @given(st.lists(st.one_of(json_values, st.dictionaries(st.sampled_from(sorted(lead())), json_values)), max_size=4))
    @settings(max_examples=150, deadline=None)
    def test_a_valid_event_is_delivered_beside_any_others(self, others: list[Any]) -> None:
        world = World()
        events = [other for other in others if isinstance(other, dict)]
        answer = world.post(events=[*events, lead(77)])
        assert "E-77" in ids(world.meta.events())
        assert answer["outcome"] in {"delivered", "partial"}

    def test_a_refusal_of_the_call_itself_is_not_searched_for(self, world: World) -> None:
        world.meta = Refusing(code=100, error_subcode=33)
        answer = world.post(events=leads(8))
        assert ("failed", 1) == (answer["outcome"], len(world.meta.bodies))

    def test_in_the_queue_it_alone_is_a_dead_letter(self, world: World) -> None:
        world.meta.refused = {"E-2"}
        assert world.deliver({"events": leads(5)}) is True
        assert ["E-0", "E-1", "E-3", "E-4"] == ids(world.meta.events())
        ((data, attributes),) = world.queue.dead
        assert ["E-2"] == ids(orjson.loads(data)["requests"][0]["body"]["data"])
        assert "2804019" in attributes["reason"]
        assert b"person2@" not in data


@dataclass
class Refusing(Meta):
    """Refuses whatever comes with one error."""

    code: int = 0
    error_subcode: int | None = None
    status: int = 400

    def __call__(self, method: str, url: str, *, headers: Mapping[str, str], body: bytes, timeout: float) -> Reply:
        """Answer one call."""
        del method, url, headers, timeout
        self.bodies.append(orjson.loads(body))
        return refusal(self.status, self.code, self.error_subcode)


class TestRedelivery:
    """Acceptance 3: a redelivered message yields the same bytes."""

    @given(st.dictionaries(st.sampled_from([*sorted(lead()), "fbclid", "value", "items"]), json_values, max_size=6))
    @settings(max_examples=150, deadline=None)
    def test_of_any_event(self, changed: Mapping[str, Any]) -> None:
        sent = []
        for attempt in (1, 2):
            world = World()
            world.clock.pass_(1000 * (attempt - 1))
            body = {"events": [{**lead(), **changed}, lead(1, event_id=None, timestamp=None)], "cookies": {}}
            assert world.deliver(body, message_id="7", attempt=attempt) is True
            sent.append(world.meta.raw)
        assert sent[0] == sent[1] != []

    def test_the_time_of_an_event_without_one_is_that_of_publishing(self, world: World) -> None:
        world.deliver({"event_data": lead(timestamp=None)})
        (event,) = world.meta.events()
        assert NOW - 2 == event["event_time"]

    def test_the_id_of_an_event_without_one_is_the_messages_own(self, world: World) -> None:
        bare = lead(event_id=None)
        for message_id in ("7", "7", "8"):
            world.deliver({"events": [bare, bare]}, message_id=message_id)
        first, second, third, fourth = ids(world.meta.events())
        assert 4 == len({first, second, third, fourth})
        assert [first, second] == ids(world.meta.bodies[1]["data"])

    def test_a_row_of_the_log_has_the_same_id_for_the_same_attempt(self, world: World) -> None:
        for attempt in (1, 1, 2):
            world.deliver({"event_data": lead()}, message_id="7", attempt=attempt)
        first, again, second = (row["row_id"] for row in world.log.rows)
        assert first == again != second


class TestConsent:
    def test_each_event_by_itself(self, world: World) -> None:
        events = [
            lead(0, **{"x-ga-gcd": "13r3r3r3r5l1"}),
            lead(1, **{"x-ga-gcd": "13r3r3q3r5l1"}),
            lead(2, consent_state={"ad_storage": "denied", "ad_user_data": True}),
            lead(3, consent_state={"ad_storage": 1, "ad_user_data": "true"}),
            lead(4),
        ]
        answer = world.post(events=events, consent={})
        assert ["E-0", "E-3"] == ids(world.meta.events())
        assert "partial" == answer["outcome"]
        assert [
            "consent is missing: ad_user_data",
            "consent is missing: ad_storage",
            "consent is missing: ad_storage, ad_user_data",
        ] == answer["warnings"]
        assert {"ad_user_data": 1, "ad_storage": 1, "ad_storage, ad_user_data": 1} == {
            row["consent_missing"]: row["rows_received"] for row in world.log.rows if row["outcome"] == "withheld"
        }
        assert 5 == sum(int(str(row["rows_received"])) for row in world.log.rows)
        assert len(world.log.rows) == len({row["row_id"] for row in world.log.rows})

    @pytest.mark.parametrize("flattened", [False, True], ids=["nested", "flattened"])
    def test_the_text_denied_is_a_denial(self, world: World, flattened: bool) -> None:
        """F 27: a text is true to JavaScript, and others have sent the event for it."""
        state = {"ad_storage": "denied", "ad_user_data": "granted"}
        stated = (
            {f"consent_state_{key}": value for key, value in state.items()} if flattened else {"consent_state": state}
        )
        answer = world.post(event_data=lead(**stated), consent={})
        assert ("withheld", ["consent is missing: ad_storage"], []) == (
            answer["outcome"],
            answer["warnings"],
            world.meta.bodies,
        )

    def test_withheld_and_rejected_sends_nothing_and_counts_both(self, world: World) -> None:
        events = [lead(0, **{"x-ga-gcd": "13r3r3q3r5l1"}), lead(1, timestamp=NOW - 9 * DAY)]
        answer = world.post(events=events)
        assert ("partial", []) == (answer["outcome"], world.meta.bodies)
        assert [("withheld", 1), ("rejected", 1)] == [(row["outcome"], row["rows_received"]) for row in world.log.rows]

    def test_what_is_withheld_is_neither_queued_nor_shown(self, world: World) -> None:
        denied = lead(**{"x-ga-gcd": "13r3r3q3r5l1"})
        assert "withheld" == world.post(event_data=denied, optimistic=True)["outcome"]
        shown = world.post(event_data=denied, dry_run=True)
        assert ("withheld", []) == (shown["outcome"], shown["results"][0].get("requests", []))
        assert [] == [*world.queue.messages, *world.meta.bodies]

    def test_gtms_preview_monitor_is_withheld(self, world: World) -> None:
        answer = world.post(event_data=lead(page_location="https://gtm-msr.appspot.com/render2?id=GTM-1"))
        assert ("withheld", ["GTM's preview monitor: nothing is sent"]) == (answer["outcome"], answer["warnings"])


CLICKED: Final = "https://shop.example.de/?fbclid=IwAR2mQx7TestClick_AbC"
FBC: Final = f"fb.1.{(NOW - 10) * 1000}.IwAR2mQx7TestClick_AbC"


class TestCookies:
    """What sGTM has to set comes back, only when consent allows and the caller handles cookies."""

    def test_a_new_click_and_a_new_browser(self, world: World) -> None:
        answer = world.post(event_data=lead(page_location=CLICKED), cookies={})
        (event,) = world.meta.events()
        assert FBC == answer["cookies"]["_fbc"] == event["user_data"]["fbc"]
        assert answer["cookies"]["_fbp"] == event["user_data"]["fbp"]
        assert f"fb.1.{(NOW - 10) * 1000}." == answer["cookies"]["_fbp"].rpartition(".")[0] + "."

    def test_what_the_browser_has_is_not_set_again(self, world: World) -> None:
        held = {"_fbp": "fb.1.1.2", "_fbc": "fb.2.1699999999.IwAR2mQx7TestClick_AbC"}
        answer = world.post(event_data=lead(page_location=CLICKED), cookies=held)
        assert {"_gtmeec"} == answer["cookies"].keys()
        (event,) = world.meta.events()
        assert (held["_fbp"], held["_fbc"]) == (event["user_data"]["fbp"], event["user_data"]["fbc"])

    def test_an_older_click_gives_way(self, world: World) -> None:
        answer = world.post(event_data=lead(page_location=CLICKED), cookies={"_fbc": "fb.1.1699999999000.Another"})
        assert FBC == answer["cookies"]["_fbc"]

    def test_the_events_of_one_browser_have_one_click_and_one_browser_id(self, world: World) -> None:
        events = [lead(0, page_location=CLICKED), lead(1, page_location=CLICKED, timestamp=NOW - 5)]
        answer = world.post(events=events, cookies={})
        assert [(answer["cookies"]["_fbc"], answer["cookies"]["_fbp"])] * 2 == [
            (event["user_data"]["fbc"], event["user_data"]["fbp"]) for event in world.meta.events()
        ]

    def test_all_datasets_get_the_same(self, world: World) -> None:
        destinations = [{"dataset_id": "3001"}, {"dataset_id": "4001", "connection": "globex"}]
        world.post(event_data=lead(page_location=CLICKED), cookies={}, destinations=destinations)
        first, second = (world.meta.events(dataset)[0]["user_data"] for dataset in ("3001", "4001"))
        assert (first["fbc"], first["fbp"]) == (second["fbc"], second["fbp"])

    @pytest.mark.parametrize(
        ("body", "why"),
        [
            pytest.param({"event_data": lead(page_location=CLICKED)}, "delivered", id="the caller handles none"),
            pytest.param(
                {"event_data": lead(page_location=CLICKED, **{"x-ga-gcd": "13r3r3q3r5l1"}), "cookies": {}},
                "withheld",
                id="consent is withheld",
            ),
            pytest.param(
                {"event_data": lead(page_location=CLICKED, timestamp=NOW - 9 * DAY), "cookies": {}},
                "rejected",
                id="the event is rejected",
            ),
        ],
    )
    def test_none_come_back(self, world: World, body: Mapping[str, Any], why: str) -> None:
        answer = world.post(**body)
        assert (why, {}) == (answer["outcome"], answer["cookies"])

    def test_none_come_back_where_meta_refuses(self, world: World) -> None:
        world.meta = Refusing(code=100, error_subcode=33)
        answer = world.post(event_data=lead(page_location=CLICKED), cookies={})
        assert ("failed", {}) == (answer["outcome"], answer["cookies"])

    def test_a_rejected_event_leaves_nothing_in_the_browser(self, world: World) -> None:
        events = [lead(0, page_location=CLICKED, timestamp=NOW - 9 * DAY), lead(1)]
        answer = world.post(events=events, cookies={"_fbp": "fb.1.1.2"})
        assert {"_gtmeec"} == answer["cookies"].keys()

    def test_no_browser_id_is_made_for_what_is_no_website(self, world: World) -> None:
        answer = world.post(event_data=lead(action_source="physical_store"), cookies={})
        assert "_fbp" not in answer["cookies"]

    def test_the_address_that_the_parameter_builder_keeps_is_read(self, world: World) -> None:
        world.post(event_data=lead(), cookies={"_fbi": "2001:db9::7"})
        (event,) = world.meta.events()
        assert "2001:db9::7" == event["user_data"]["client_ip_address"]


class TestEnhancement:
    """`_gtmeec`: signed, expiring, and hashed."""

    def test_what_a_browser_has_told_fills_what_it_does_not_tell_later(self, world: World) -> None:
        first = world.post(event_data=lead(0), cookies={})
        cookies = {"_gtmeec": first["cookies"]["_gtmeec"]}
        world.post(event_data=lead(1, user_data={"phone_number": "0170 1234567"}), cookies=cookies)
        known, later = (event["user_data"] for event in world.meta.events())
        assert known["em"] == later["em"]
        assert "ph" in later
        assert b"person0" not in orjson.dumps(first["cookies"])

    def test_what_is_stated_wins(self, world: World) -> None:
        cookies = world.post(event_data=lead(0), cookies={})["cookies"]
        world.post(event_data=lead(1), cookies=cookies)
        known, later = (event["user_data"]["em"] for event in world.meta.events())
        assert known != later

    def test_within_a_request_events_follow_each_other(self, world: World) -> None:
        answer = world.post(events=[lead(0), lead(1, user_data={})], cookies={"_fbp": "fb.1.1.2"})
        first, second = (event["user_data"]["em"] for event in world.meta.events())
        assert first == second
        world.post(event_data=lead(2, user_data={}), cookies=answer["cookies"])
        assert first == world.meta.events()[2]["user_data"]["em"]

    @pytest.mark.parametrize("written", ["{}x", "x{}", "eyJlbSI6WyJhIl19", "x"])
    def test_what_others_have_written_is_ignored_with_a_warning(self, world: World, written: str) -> None:
        cookie = world.post(event_data=lead(0), cookies={})["cookies"]["_gtmeec"]
        answer = world.post(event_data=lead(1, user_data={}), cookies={"_gtmeec": written.format(cookie)})
        assert ["the _gtmeec cookie is not one that this relay has signed: it is ignored"] == answer["warnings"]
        assert "em" not in world.meta.events()[1]["user_data"]

    def test_it_expires(self, world: World) -> None:
        cookies = world.post(event_data=lead(0), cookies={})["cookies"]
        world.clock.pass_(91 * DAY)
        answer = world.post(event_data=lead(1, user_data={}, timestamp=None), cookies=cookies, dry_run=True)
        assert ["the _gtmeec cookie has expired: it is ignored"] == answer["warnings"]

    def test_a_key_that_cannot_be_read_costs_the_enhancement_and_not_the_event(self, world: World) -> None:
        world.secrets = Unreadable("env:ENHANCEMENT")
        answer = world.post(event_data=lead(), cookies={})
        assert ("delivered", {"_fbp"}) == (answer["outcome"], answer["cookies"].keys())
        assert world.deliver({"event_data": lead(1), "cookies": {}}) is True
        assert ([], ["E-0", "E-1"]) == (world.queue.dead, ids(world.meta.events()))


class Unreadable(Values):
    """Secrets of which one cannot be read."""

    def __init__(self, name: str) -> None:
        self.name = name

    def access(self, name: str, *, refresh: bool = False) -> bytes:
        """Return the value of *name*, unless it is that one."""
        if name == self.name:
            raise ConfigurationError("the secret cannot be read")
        return super().access(name, refresh=refresh)


class TestModes:
    def test_a_dry_run_shows_the_very_bytes_that_would_be_sent(self, world: World) -> None:
        body = {"events": [lead(0, page_location=CLICKED), lead(1, event_name="purchase")], "cookies": {}}
        shown = world.post(**body, dry_run=True)
        assert "dry_run" == shown["outcome"]
        assert ["custom_data.value", "custom_data.currency"] == [reject["field"] for reject in shown["rejected"]]
        assert [] == [*world.meta.bodies, *world.log.rows]
        world.post(**body)
        (request,) = shown["results"][0]["requests"]
        assert {"method": "POST", "path": "/v26.0/3001/events", "body": world.meta.bodies[0]} == request

    def test_optimistic_queues_hashed_calls(self, world: World) -> None:
        answer = world.post(events=leads(3), optimistic=True)
        assert ("queued", []) == (answer["outcome"], world.meta.bodies)
        ((data, attributes),) = world.queue.messages
        assert "requests" == attributes["type"]
        assert b"@" not in data
        assert world.relay().deliver(published(data, message_id="9", **attributes)) is True
        assert ["E-0", "E-1", "E-2"] == ids(world.meta.events())
        assert [("queued", 3), ("delivered", 3)] == [(row["outcome"], row["rows_received"]) for row in world.log.rows]

    def test_optimistic_without_a_queue_is_done_at_once(self, world: World) -> None:
        world.has_queue = False
        answer = world.post(event_data=lead(), optimistic=True)
        assert "delivered" == answer["outcome"]
        assert ["optimistic: no queue is configured; the request is done at once"] == answer["warnings"]

    def test_debug_shows_the_call_without_anybody_in_it(self, world: World) -> None:
        event = lead(page_location=CLICKED, lead_id=1234567890123456, ip_override="192.0.2.7", user_id="c-1")
        answer = world.post(event_data=event, debug=True)
        assert "delivered" == answer["outcome"]
        (shown,) = answer["results"][0]["requests"]
        (one,) = shown["body"]["data"]
        assert "https://shop.example.de/?…" == one["event_source_url"]
        assert {"em": ["146097…"], "external_id": ["a6f7ef…"]} == {
            key: one["user_data"].pop(key) for key in ("em", "external_id")
        }
        assert {"…"} == set(one["user_data"].values())
        assert {"client_ip_address", "client_user_agent", "fbc", "lead_id"} == one["user_data"].keys()
        assert [{"status": 200, "body": {"events_received": 1}, "usage_percent": None}] == (
            answer["results"][0]["answers"]
        )

    def test_debug_shows_ten_events(self, world: World) -> None:
        (shown,) = world.post(events=leads(12), debug=True)["results"][0]["requests"]
        assert (10, 2) == (len(shown["body"]["data"]), shown["body"]["events_not_shown"])

    def test_debug_shows_a_refusal_too(self, world: World) -> None:
        world.meta = Refusing(code=190, status=401)
        answer = world.post(event_data=lead(), debug=True)
        assert 190 == answer["results"][0]["answers"][0]["error"]["code"]

    def test_an_event_that_is_too_large_for_two_messages_goes_in_one(self, world: World) -> None:
        """It cannot be cut; Pub/Sub itself takes a little more than this relay puts into one message."""
        custom_data = {f"note{number}": "x" * 100_000 for number in range(75)}
        answer = world.post(event_data=lead(), event={"custom_data": custom_data}, optimistic=True)
        assert ("queued", 1) == (answer["outcome"], len(world.queue.messages))


class TestLog:
    def test_one_event_is_named(self, world: World) -> None:
        world.post(event_data=lead())
        (row,) = world.log.rows
        assert {
            "kind": "events",
            "action": "events",
            "connection": "acme",
            "destination": "3001",
            "outcome": "delivered",
            "event_name": "Lead",
            "event_id": "E-0",
            "rows_received": 1,
            "rows_sent": 1,
            "num_received": 1,
            "num_invalid_entries": 0,
            "http_status": 200,
            "batch": 1,
        }.items() <= row.items()
        assert {"parse_ms", "build_ms", "graph_ms", "elapsed_ms"} <= row.keys()

    def test_of_several_none_is(self, world: World) -> None:
        world.post(events=leads(2))
        (row,) = world.log.rows
        assert (None, 2) == (row.get("event_name"), row["rows_received"])

    def test_the_reasons_of_what_is_left_out_stand_with_the_call(self, world: World) -> None:
        world.post(event_data=lead(user_data={"email_address": "a@example.com", "phone_number": "none at all"}))
        (row,) = world.log.rows
        assert {"user_data.ph: not a phone number": 1} == json.loads(str(row["reject_reasons"]))

    def test_fewer_received_than_sent_is_partial(self, world: World) -> None:
        world.meta = Losing()
        answer = world.post(events=leads(5))
        assert ("partial", 3) == (answer["outcome"], answer["results"][0]["num_received"])
        assert [("partial", 5, 3)] == [
            (row["outcome"], row["rows_sent"], row["num_received"]) for row in world.log.rows
        ]


class Losing(Meta):
    """Receives two events fewer than it is sent."""

    def __call__(self, method: str, url: str, *, headers: Mapping[str, str], body: bytes, timeout: float) -> Reply:
        """Answer one call."""
        super().__call__(method, url, headers=headers, body=body, timeout=timeout)
        return Reply(200, {}, orjson.dumps({"events_received": len(self.bodies[-1]["data"]) - 2}))
