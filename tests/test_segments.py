"""A CDP's words on its segments, in each of their forms."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lib.errors import InvalidRequestError
from lib.identifiers import CDP_MAPPING
from lib.people import People
from lib.report import Report
from lib.segments import Segment, is_of_segments, map_people, parse_segment_request, stated_consent

PLAIN: Final[Mapping[str, Any]] = {
    "segment": {"id": "44A23B49", "name": "Segment 1"},
    "change": "enter",
    "user": {"email": "ada@example.com"},
}
COMMANDERS_ACT: Final[Mapping[str, Any]] = {
    "event_name": "user_enters_segment",
    "context": {"segment_id": "44A23B49", "segment_name": "Segment 1"},
    "user": {"id": "u-1", "email": "ada@example.com", "firstname": "Ada", "lastname": "Lovelace"},
    "user_privacy_categories": ["ads"],
}
TRACK: Final[Mapping[str, Any]] = {
    "type": "track",
    "event": "Audience Entered",
    "userId": "u-1",
    "timestamp": "2026-11-24T12:00:00.066Z",
    "context": {"traits": {"email": "ada@example.com"}},
    "properties": {"audience_key": "browse_abandoners", "browse_abandoners": True, "first_name": "Ada"},
}
PERSONAS: Final = {"computation_class": "audience", "computation_id": "aud_1", "computation_key": "browse_abandoners"}
IDENTIFY: Final[Mapping[str, Any]] = {
    "type": "identify",
    "userId": "u-1",
    "context": {"personas": PERSONAS},
    "traits": {"email": "ada@example.com", "browse_abandoners": False},
}


class TestForms:
    def test_our_own(self) -> None:
        request = parse_segment_request({**PLAIN, "changed_at": 1_800_000_000, "connection": "acme"})
        assert (request.segment, request.change) == (Segment("44A23B49", "Segment 1"), "enter")
        assert request.users == [{"email": "ada@example.com"}]
        assert (request.changed_at, request.options.connection, request.warnings) == (1_800_000_000.0, "acme", ())

    @pytest.mark.parametrize("change", ["enter", "leave"])
    def test_commanders_acts_messages_as_they_come(self, change: str) -> None:
        request = parse_segment_request({**COMMANDERS_ACT, "event_name": f"user_{change}s_segment"})
        assert (request.segment, request.change) == (Segment("44A23B49", "Segment 1"), change)
        assert request.users == [COMMANDERS_ACT["user"]]
        assert (request.categories, request.warnings) == (("ads",), ())

    def test_segments_track_call_of_an_audience(self) -> None:
        request = parse_segment_request(TRACK)
        assert (request.segment, request.change) == (Segment("browse_abandoners", "browse_abandoners"), "enter")
        assert request.users == [{"email": "ada@example.com", "first_name": "Ada", "id": "u-1"}]
        assert request.changed_at == 1_795_521_600.066
        assert parse_segment_request({**TRACK, "event": "Audience Exited"}).change == "leave"

    def test_segments_identify_call_of_an_audience(self) -> None:
        request = parse_segment_request(IDENTIFY)
        assert (request.segment, request.change) == (Segment("aud_1", "browse_abandoners"), "leave")
        assert request.users == [{"email": "ada@example.com", "id": "u-1"}]
        entered = {**IDENTIFY, "traits": {"browse_abandoners": "true"}}
        assert parse_segment_request(entered).change == "enter"

    @pytest.mark.parametrize(
        "users",
        [
            {"schema": ["email", "zip"], "data": [["a@b.de", "1"], ["c@d.de"], "x"]},
            {"schema": "email, zip", "data": [["a@b.de", "1"], ["c@d.de"], "x"]},
            [{"email": "a@b.de", "zip": "1"}, None, "x"],
        ],
        ids=["a table", "names with commas", "objects"],
    )
    def test_many_users(self, users: object) -> None:
        body = {key: value for key, value in PLAIN.items() if key != "user"} | {"users": users}
        assert parse_segment_request(body).users == [{"email": "a@b.de", "zip": "1"}, None, "x"]

    def test_the_other_changes_name_a_source_instead(self) -> None:
        request = parse_segment_request({"segment": "vip", "change": "sync", "source": "crm"})
        assert (request.segment, request.users, request.source) == (Segment("vip", "vip"), None, "crm")

    def test_what_is_unknown_is_told_without_repeating_it(self) -> None:
        request = parse_segment_request({**PLAIN, "ada@example.com": 1})
        assert request.warnings == ("the body has keys that are not known; they are ignored",)

    @pytest.mark.parametrize("body", [PLAIN, COMMANDERS_ACT, TRACK, IDENTIFY])
    def test_a_message_without_a_type_is_known_by_its_shape(self, body: Mapping[str, Any]) -> None:
        assert is_of_segments(body)

    @pytest.mark.parametrize(
        "body",
        [
            {"event_name": "purchase"},
            {"type": "track", "event": "Order Completed"},
            {"type": "identify", "traits": {"email": "a@b.de"}},
            {"type": "identify", "context": {"personas": {"computation_class": "trait"}}},
            {"action": "add"},
        ],
    )
    def test_others_are_not(self, body: Mapping[str, Any]) -> None:
        assert not is_of_segments(body)


BAD: Final[list[tuple[Mapping[str, Any], str]]] = [
    ({"segment": None}, "segment"),
    ({"segment": {}}, "segment.id"),
    ({"segment": {"id": "x" * 129}}, "segment.id"),
    ({"segment": {"id": "a\nb"}}, "segment.id"),
    ({"segment": {"id": True}}, "segment.id"),
    ({"segment": {"id": 1, "name": ["x"]}}, "segment.name"),
    ({"segment": {"id": 1, "name": "x" * 129}}, "segment.name"),
    ({"change": None}, "change"),
    ({"change": "add"}, "change"),
    ({"user": None}, "users"),
    ({"user": "ada@example.com"}, "user"),
    ({"users": [{}]}, "users"),
    ({"user": None, "users": "ada@example.com"}, "users"),
    ({"user": None, "users": []}, "users"),
    ({"user": None, "users": {"data": [[1]]}}, "users.schema"),
    ({"user": None, "users": {"schema": ["email"], "data": []}}, "users.data"),
    ({"user": None, "source": "crm"}, "source"),
    ({"source": "crm"}, "users"),
    ({"changed_at": "yesterday"}, "changed_at"),
    ({"changed_at": -1}, "changed_at"),
    ({"changed_at": True}, "changed_at"),
    ({"user_privacy_categories": "ads"}, "user_privacy_categories"),
]


@pytest.mark.parametrize(("more", "field"), BAD, ids=[f"{field} {number}" for number, (_, field) in enumerate(BAD)])
def test_what_is_wrong_is_named_by_its_field(more: Mapping[str, Any], field: str) -> None:
    with pytest.raises(InvalidRequestError) as caught:
        parse_segment_request({**PLAIN, **more})
    assert caught.value.field == field
    assert "ada@example.com" not in str(caught.value)


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({**COMMANDERS_ACT, "context": {}}, "context.segment_id"),
        ({**COMMANDERS_ACT, "user": None}, "user"),
        ({**TRACK, "properties": {}}, "properties.audience_key"),
        ({**IDENTIFY, "traits": {"browse_abandoners": 7}}, "traits"),
        ({**TRACK, "timestamp": "x"}, "timestamp"),
    ],
)
def test_so_it_is_in_other_peoples_forms(body: Mapping[str, Any], field: str) -> None:
    with pytest.raises(InvalidRequestError) as caught:
        parse_segment_request(body)
    assert caught.value.field == field


@pytest.mark.parametrize(
    ("stated", "expected"),
    [
        (1_800_000_000, 1_800_000_000.0),
        (1_800_000_000_500, 1_800_000_000.5),
        ("2027-01-15T08:00:00Z", 1_800_000_000.0),
        ("2027-01-15T09:00:00+01:00", 1_800_000_000.0),
        ("2027-01-15 08:00:00", 1_800_000_000.0),
        ("", None),
        (None, None),
    ],
)
def test_when_it_changed(stated: object, expected: float | None) -> None:
    assert parse_segment_request({**PLAIN, "changed_at": stated}).changed_at == expected


class TestMapping:
    def test_the_properties_of_commanders_act_by_default(self) -> None:
        people = map_people([COMMANDERS_ACT["user"]], CDP_MAPPING)
        assert people.schema == ("EMAIL", "FN", "LN", "EXTERN_ID")
        assert people.rows == [{"EMAIL": ["ada@example.com"], "FN": ["Ada"], "LN": ["Lovelace"], "EXTERN_ID": ["u-1"]}]

    @pytest.mark.parametrize(
        ("user", "mapping", "expected"),
        [
            ({"a": {"b": {"mail": "x@y.de"}}}, {"EMAIL": ["a.b.mail"]}, {"EMAIL": ["x@y.de"]}),
            ({"a.mail": "x@y.de"}, {"EMAIL": ["a.mail"]}, {"EMAIL": ["x@y.de"]}),
            ({"mails": ["x@y.de", "z@y.de", ""]}, {"EMAIL": ["mails"]}, {"EMAIL": ["x@y.de", "z@y.de"]}),
            ({"to": [{"mail": "x@y.de"}, {"mail": "z@y.de"}]}, {"EMAIL": ["to.mail"]}, {"EMAIL": ["x@y.de", "z@y.de"]}),
            ({"a": "x@y.de", "b": "z@y.de"}, {"EMAIL": ["a", "b"]}, {"EMAIL": ["x@y.de", "z@y.de"]}),
            ({"a": "x@y.de", "b": "x@y.de"}, {"EMAIL": ["a", "b"]}, {"EMAIL": ["x@y.de"]}),
            ({"a": " ", "b": "Ada"}, {"FN": ["a", "b"]}, {"FN": ["Ada"]}),
            ({"a": "Ada", "b": "Augusta"}, {"FN": ["a", "b"]}, {"FN": ["Ada"]}),
            ({"a": 123}, {"EXTERN_ID": ["a"]}, {"EXTERN_ID": [123]}),
            ({"EMAIL": "x@y.de", "mail": "z@y.de"}, {"EMAIL": ["mail"]}, {"EMAIL": ["x@y.de", "z@y.de"]}),
            ({"EMAIL": "x@y.de"}, {}, {"EMAIL": ["x@y.de"]}),
            ({"email": "x@y.de"}, {"EMAIL": ["mail"]}, {}),
            ({"a": {"b": 1}, "c": True, "d": None}, {"EMAIL": ["a", "c", "d"]}, {}),
            ({"DATA_PROCESSING_OPTIONS": ["LDU"]}, {}, {"DATA_PROCESSING_OPTIONS": ["LDU"]}),
        ],
    )
    def test_each_key_from_one_or_more_properties(
        self, user: Mapping[str, Any], mapping: Mapping[str, Any], expected: Mapping[str, Any]
    ) -> None:
        assert map_people([user], mapping).rows == [expected]

    def test_the_schema_is_as_wide_as_the_user_with_the_most(self) -> None:
        people = map_people([{"EMAIL": ["a@b.de", "c@d.de"]}, {"PHONE": "+49 1"}, None], {})
        assert people.schema == ("EMAIL", "EMAIL", "PHONE")
        assert people.rows[2] is None

    def test_nobody_in_whom_anything_is_found_is_left_to_be_rejected(self) -> None:
        assert map_people([{"zip": "10115"}, 7], {"EMAIL": ["email"]}).schema == ("EMAIL",)

    @given(
        st.recursive(
            st.none() | st.text() | st.integers(), lambda part: st.lists(part) | st.dictionaries(st.text(), part)
        )
    )
    def test_whatever_a_user_is_it_is_read(self, user: object) -> None:
        assert len(map_people([user], CDP_MAPPING).rows) == 1


@pytest.mark.parametrize(
    ("user", "mapping", "expected"),
    [
        ({"consents": {"ads": "granted"}}, {"ad_storage": ["consents.ads"]}, {"ad_storage": "granted"}),
        ({}, {"ad_storage": ["consents.ads"]}, {}),
        ({}, {"ad_storage": ["user_privacy_categories.ads"]}, {"ad_storage": True}),
        ({}, {"ad_storage": ["user_privacy_categories.news"]}, {}),
        ("nobody", {"ad_storage": ["a"]}, {}),
    ],
)
def test_what_a_user_says_of_consent(user: object, mapping: Mapping[str, Any], expected: Mapping[str, Any]) -> None:
    assert stated_consent(user, mapping, ["ads"]) == expected


_VALUES = st.one_of(st.none(), st.sampled_from(["", " ", "a@b.de", "c@d.de", "+49170123456", "Ada"]), st.integers(0, 9))
_ODD = st.sampled_from([["a@b.de", "c@d.de"], {"city": "Ulm"}, True, []])


@given(
    st.lists(
        st.fixed_dictionaries({}, optional={"email": _VALUES, "phone": _VALUES, "first_name": _VALUES}), max_size=9
    ),
    st.lists(st.dictionaries(st.sampled_from(["email", "address", "firstName"]), _ODD, max_size=2), max_size=1),
)
def test_many_users_are_mapped_as_each_alone(alike: list[dict[str, Any]], odd: list[dict[str, Any]]) -> None:
    users = (alike * 100)[:100] + odd
    together = map_people(users, CDP_MAPPING)
    each = [map_people([user], CDP_MAPPING) for user in users]
    assert _cells(together) == [cells for one in each for cells in _cells(one)]


def _cells(people: People) -> list[set[tuple[str, str]]]:
    """Return of each row its keys and values, without those that are blank."""
    chunk = people.chunk(0, len(people.rows), Report())
    rows = zip(*chunk.columns, strict=True)
    return [
        {
            (key, str(value))
            for key, value in zip(people.schema, row, strict=True)
            if str(value or "").strip() or value == 0
        }
        for row in rows
    ]
