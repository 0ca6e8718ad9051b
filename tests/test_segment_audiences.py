"""The audience of a segment, beside Meta's stand-in: found, made once, and every refusal with what to do."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any, Final

import pytest

from lib.audience_admin import FLAGGED
from lib.errors import (
    AudienceDeletedError,
    ConfigurationError,
    GraphAPIError,
    GraphAPIUnreachableError,
    MissingPermissionError,
    RateLimitError,
    RelayError,
    Retry,
    TransientGraphAPIError,
)
from lib.segment_audiences import REMEMBERED_S, KnownAudiences, SegmentAudiences
from lib.segments import Segment
from tests.local.faults import Fault
from tests.segment_world import SEGMENT, World, world

MARK: Final = "Meta Relay segment: 44A23B49"
LIST: Final = "/customaudiences"


@pytest.fixture
def one() -> Iterator[World]:
    with world() as made:
        yield made


def audiences(one: World) -> SegmentAudiences:
    """Return what another instance finds with."""
    settings = one.relay.config.segments
    assert settings is not None
    graph_api = one.relay.outside.graph_api
    return SegmentAudiences(graph_api=graph_api, clock=one.clock.clock(), settings=settings, known=KnownAudiences())


def found(one: World, segment: Segment = SEGMENT) -> str:
    return audiences(one).audience_of(one.relay.config.connections["acme"], segment)


def refused(one: World, **more: Any) -> RelayError:
    with pytest.raises(RelayError) as caught:
        audiences(one).audience_of(one.relay.config.connections["acme"], SEGMENT, **more)
    return caught.value


class TestFound:
    def test_by_the_id_in_its_description_whatever_its_name(self, one: World) -> None:
        one.meta.add_audience("11", account="1", name="CA_Segment 1")
        one.meta.add_audience("12", account="1", name="Renamed by somebody", description=f"Ours. {MARK}")
        assert found(one) == "12"
        assert found(one, Segment("44A23B49", "Renamed in the CDP")) == "12"

    def test_by_its_name_and_from_then_on_by_the_id(self, one: World) -> None:
        one.meta.add_audience("11", account="1", name="CA_Segment 1", description="Created by Data Commander")
        assert found(one) == "11"
        assert one.meta._audiences["11"].properties["description"] == f"Created by Data Commander {MARK}"
        assert found(one, Segment("44A23B49", "Renamed")) == "11"

    def test_one_that_may_not_be_described_is_found_by_its_name_again(self, one: World) -> None:
        one.meta.add_audience("11", account="1", name="CA_Segment 1")
        one.meta.faults.add(Fault.error(100, 1713228, method="POST", match="/11", times=2))
        assert (found(one), found(one)) == ("11", "11")

    def test_not_by_the_name_of_another_segments_audience(self, one: World) -> None:
        one.meta.add_audience("11", account="1", name="CA_Segment 1", description="Meta Relay segment: another")
        assert found(one) != "11"

    def test_not_among_lookalikes_nor_in_another_account(self, one: World) -> None:
        one.meta.add_audience("11", account="1", name="CA_Segment 1", description=MARK)
        one.meta._audiences["11"].properties["subtype"] = "LOOKALIKE"
        one.meta.add_audience("12", account="2", name="CA_Segment 1", description=MARK)
        assert found(one) not in {"11", "12"}

    def test_on_a_later_page(self, one: World) -> None:
        for number in range(450):
            one.meta.add_audience(f"{1000 + number}", account="1", name=f"A {number}")
        one.meta.add_audience("2000", account="1", description=MARK)
        assert found(one) == "2000"
        assert len(one.calls(LIST)) == 3

    def test_where_a_page_is_too_much_in_smaller_ones(self, one: World) -> None:
        one.meta.add_audience("11", account="1", description=MARK)
        one.meta.faults.add(Fault.error(1, status=500, match=LIST, times=3))
        assert found(one) == "11"

    @pytest.mark.parametrize("ident", ["44A23B4", "44A23B49 ", "x 44A23B49", "44a23b49"])
    def test_only_by_the_whole_id(self, one: World, ident: str) -> None:
        one.meta.add_audience("11", account="1", description=f"Meta Relay segment: {ident}")
        assert (found(one) == "11") == (ident.strip() == "44A23B49")

    def test_once_for_some_minutes(self, one: World) -> None:
        one.meta.add_audience("11", account="1", description=MARK)
        finder = audiences(one)
        acme = one.relay.config.connections["acme"]
        assert [finder.audience_of(acme, SEGMENT) for _ in range(5)] == ["11"] * 5
        assert len(one.calls(LIST)) == 1
        one.clock.pass_(REMEMBERED_S)
        finder.audience_of(acme, SEGMENT)
        assert len(one.calls(LIST)) == 2

    def test_without_making_one(self, one: World) -> None:
        acme = one.relay.config.connections["acme"]
        assert audiences(one).find(acme, SEGMENT) is None
        one.meta.add_audience("11", account="1", name="CA_Segment 1")
        assert audiences(one).find(acme, SEGMENT) == "11"
        assert {call.method for call in one.meta.calls} == {"GET"}


class TestMade:
    def test_with_the_segments_name_and_id(self, one: World) -> None:
        made = found(one)
        properties = one.meta._audiences[made].properties
        assert (properties["name"], properties["description"]) == ("CA_Segment 1", MARK)
        assert found(one) == made
        assert len(one.meta.audiences()) == 1

    def test_of_two_workers_both_keep_the_older_and_one_is_left(self, one: World) -> None:
        """The other worker makes its own between this one's list and its creation."""
        other: list[str] = []
        call = one.relay.outside.graph_api.transport

        def transport(method: str, url: str, **more: Any) -> Any:
            if method == "POST" and not other:
                other.append("")
                other[0] = found(one)
            return call(method, url, **more)

        one.relay.outside.graph_api.transport = transport
        assert found(one) == other[0]
        assert one.meta.audiences() == other

    def test_also_where_the_list_lags_behind(self, one: World) -> None:
        page = b'{"data": []}'
        one.meta.faults.add(*[Fault(status=200, body=page, method="GET", match=LIST) for _ in range(3)])
        made = found(one)
        assert one.meta.audiences() == [made]
        assert 1 < sum(one.clock.sleeps) < 5

    def test_not_twice_where_the_answer_is_lost(self, one: World) -> None:
        one.meta.faults.add(Fault.dropped("after", method="POST", match=LIST))
        made = found(one)
        assert one.meta.audiences() == [made]
        assert len([call for call in one.calls(LIST) if call.method == "POST"]) == 1

    def test_for_the_next_attempt_where_meta_is_ill(self, one: World) -> None:
        one.meta.faults.add(Fault.empty(503, method="POST", match=LIST))
        assert isinstance(refused(one), TransientGraphAPIError)
        assert found(one) == one.meta.audiences()[0]


TERMS: Final = "/tos/?act="
FULL: Final = "Delete customer-file audiences"
#: Meta's answer to the list or the creation; what is raised, when it can succeed, and the operator's next step.
REFUSALS: Final[list[tuple[str, Fault, type[RelayError], Retry, str | None]]] = [
    ("terms", Fault.error(200, 1870090, status=403), MissingPermissionError, Retry.ONCE_A_PERSON_ACTS, TERMS),
    ("terms alone", Fault.error(1870090), MissingPermissionError, Retry.ONCE_A_PERSON_ACTS, TERMS),
    ("terms 1870034", Fault.error(200, 1870034), MissingPermissionError, Retry.ONCE_A_PERSON_ACTS, TERMS),
    ("terms 2663", Fault.error(2663), MissingPermissionError, Retry.ONCE_A_PERSON_ACTS, TERMS),
    ("permission", Fault.error(200), MissingPermissionError, Retry.ONCE_A_PERSON_ACTS, "Manage campaigns"),
    ("may not write", Fault.error(2654, 1713092), MissingPermissionError, Retry.ONCE_A_PERSON_ACTS, "Manage campaigns"),
    ("not made", Fault.error(2654), MissingPermissionError, Retry.ONCE_A_PERSON_ACTS, "Manage campaigns"),
    ("no portfolio", Fault.error(200, 1870050), MissingPermissionError, Retry.ONCE_A_PERSON_ACTS, "portfolio"),
    ("tier", Fault.error(3), MissingPermissionError, Retry.ONCE_A_PERSON_ACTS, "App Review"),
    ("throttled", Fault.error(80003, 2446079), RateLimitError, Retry.LATER, "Full access"),
    ("ill", Fault.empty(503), TransientGraphAPIError, Retry.LATER, None),
    ("silent", Fault.dropped("before"), GraphAPIUnreachableError, Retry.LATER, None),
    ("a name that Meta refuses", Fault.error(100), GraphAPIError, Retry.NEVER, "Compare the request"),
]


@pytest.mark.parametrize(
    ("fault", "kind", "retry", "action"), [row[1:] for row in REFUSALS], ids=[row[0] for row in REFUSALS]
)
def test_what_keeps_it_from_being_made(
    one: World, fault: Fault, kind: type[RelayError], retry: Retry, action: str | None
) -> None:
    one.meta.faults.add(replace(fault, method="POST", match=LIST))
    error = refused(one)
    assert (type(error), error.retry) == (kind, retry)
    assert action is None or action in (error.action or "")
    assert one.meta.audiences() == []


class TestRefused:
    def test_a_full_account(self, one: World) -> None:
        for number in range(500):
            one.meta.add_audience(f"{1000 + number}", account="1", name=f"A {number}")
        error = refused(one)
        assert (error.retry, error.message) == (
            Retry.ONCE_A_PERSON_ACTS,
            "Meta error 2654: the ad account has 500 customer-file audiences, and takes no more",
        )
        assert FULL in (error.action or "")

    def test_a_flagged_audience_costs_no_upload_until_an_appeal_is_heard(self, one: World) -> None:
        one.meta.add_audience("11", account="1", description=MARK)
        one.meta.set_operation_status("11", FLAGGED)
        finder, acme = audiences(one), one.relay.config.connections["acme"]
        with pytest.raises(GraphAPIError) as caught:
            finder.audience_of(acme, SEGMENT)
        assert (caught.value.code, caught.value.error_subcode) == (100, 1713230)
        assert "appeal in Audience Manager" in (caught.value.action or "")
        one.meta.set_operation_status("11", 200)
        assert finder.audience_of(acme, SEGMENT) == "11"

    def test_a_connection_without_an_ad_account(self, one: World) -> None:
        connection = replace(one.relay.config.connections["acme"], ad_account_id=None)
        with pytest.raises(ConfigurationError, match="has no ad account"):
            audiences(one).audience_of(connection, SEGMENT)

    def test_where_it_is_not_to_be_made(self, one: World) -> None:
        error = refused(one, make=False)
        assert isinstance(error, AudienceDeletedError)
        assert "Sync the segment" in (error.action or "")
        assert one.meta.audiences() == []


class TestGone:
    ERROR: Final = GraphAPIError("Meta error 100/33: object missing or no permission", code=100, error_subcode=33)

    def another(self, one: World, gone: str) -> str:
        return audiences(one).another(one.relay.config.connections["acme"], SEGMENT, gone, self.ERROR)

    def test_it_is_made_anew(self, one: World) -> None:
        made = self.another(one, "11")
        assert one.meta.audiences() == [made]

    def test_another_that_somebody_has_made_takes_its_place(self, one: World) -> None:
        one.meta.add_audience("12", account="1", name="CA_Segment 1")
        assert self.another(one, "11") == "12"

    def test_one_that_is_still_listed_is_not_gone(self, one: World) -> None:
        one.meta.add_audience("11", account="1", description=MARK)
        with pytest.raises(GraphAPIError) as caught:
            self.another(one, "11")
        assert caught.value is self.ERROR

    def test_it_is_reported_by_setting(self) -> None:
        with world({"on_deleted": "report"}) as one, pytest.raises(AudienceDeletedError):
            self.another(one, "11")
