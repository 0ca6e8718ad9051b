"""The body of `/audiences`, key by key (design, section 6)."""

from __future__ import annotations

import contextlib
import copy
import time
import traceback
from collections.abc import Iterator, Mapping
from typing import Any, Final

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lib.common_event import CommonEvent
from lib.consent import SIGNALS
from lib.data_processing import DataProcessing
from lib.errors import InvalidRequestError
from lib.relay_request import AudienceRequest, Destination, Options, parse_audience_request, parse_json

USER: Final = {"EMAIL": "ada@example.com"}
BODY: Final[Mapping[str, Any]] = {"action": "add", "destinations": [{"audience_id": "123"}], "user": USER}
OPTED_OUT: Final = "1YYN"
GPP_OPTED_OUT: Final = "DBABBg~BAQAAABA.QA"
LDU: Final = DataProcessing(("LDU",), 0, 0)
LDU_IN_CALIFORNIA: Final = DataProcessing(("LDU",), 1, 1000)


def parse(**more: Any) -> AudienceRequest:
    """Read a sound body with these keys; None leaves a key out."""
    return parse_audience_request({key: value for key, value in {**BODY, **more}.items() if value is not None})


def refusal(body: Mapping[str, Any]) -> InvalidRequestError:
    with pytest.raises(InvalidRequestError) as caught:
        parse_audience_request(body)
    return caught.value


class TestGoodForms:
    def test_the_smallest_body(self) -> None:
        request = parse()
        assert (request.action, request.options, request.destinations, request.warnings) == (
            "add",
            Options(),
            (Destination(audience_id="123"),),
            (),
        )
        assert (request.people.schema, request.people.rows) == (("EMAIL",), [USER])

    @pytest.mark.parametrize("action", ["add", "remove", "remove_from_all"])
    def test_actions(self, action: str) -> None:
        assert parse(action=action, destinations=None).action == action

    @pytest.mark.parametrize(
        ("action", "stated", "expected"),
        [
            pytest.param("add", {"audience_id": "23850"}, Destination(audience_id="23850"), id="id as a text"),
            pytest.param("add", {"audience_id": 23850}, Destination(audience_id="23850"), id="id as a number"),
            pytest.param("add", {"audience_id": " 23850 "}, Destination(audience_id="23850"), id="id with spaces"),
            pytest.param("add", {"audience_id": "a" * 64}, Destination(audience_id="a" * 64), id="id of 64 signs"),
            pytest.param(
                "add",
                {"audience_id": "1", "connection": "acme"},
                Destination(audience_id="1", connection="acme"),
                id="connection",
            ),
            pytest.param(
                "add", {"audience_id": "1", "connection": ""}, Destination(audience_id="1"), id="no connection"
            ),
            pytest.param("remove_from_all", {"ad_account_id": "42"}, Destination(ad_account_id="42"), id="account"),
            pytest.param(
                "remove_from_all", {"ad_account_id": 42}, Destination(ad_account_id="42"), id="account as a number"
            ),
            pytest.param("remove_from_all", {"ad_account_id": "act_42"}, Destination(ad_account_id="42"), id="act_"),
        ],
    )
    def test_destinations(self, action: str, stated: dict[str, Any], expected: Destination) -> None:
        assert parse(action=action, destinations=[stated]).destinations == (expected,)

    def test_the_same_audience_of_two_connections(self) -> None:
        stated = [{"audience_id": "1", "connection": "acme"}, {"audience_id": "1", "connection": "globex"}]
        assert [one.connection for one in parse(destinations=stated).destinations] == ["acme", "globex"]

    @pytest.mark.parametrize(
        ("value", "expected"),
        [(True, True), (False, False), ("true", True), ("TRUE", True), ("false", False), ("", False)],
    )
    @pytest.mark.parametrize("key", ["optimistic", "debug", "dry_run"])
    def test_flags_may_be_texts(self, key: str, value: object, expected: object) -> None:
        assert getattr(parse(**{key: value}).options, key) is expected

    @pytest.mark.parametrize(("value", "expected"), [(True, True), ("true", True), ("false", False), (None, False)])
    def test_value_based_may_be_a_text(self, value: object, expected: object) -> None:
        user = {"EMAIL": "a@example.com", "LOOKALIKE_VALUE": 5}
        (destination,) = parse(user=user, destinations=[{"audience_id": "1", "value_based": value}]).destinations
        assert destination.value_based is expected

    def test_consent(self) -> None:
        consent = {"state": {"ad_storage": "granted"}, "required": ["ad_storage"], "on_denied": "remove"}
        options = parse(consent=consent).options
        assert (options.state, options.required, options.on_denied_remove) == (
            {"ad_storage": "granted"},
            ("ad_storage",),
            True,
        )

    @pytest.mark.parametrize(("required", "expected"), [(None, None), ([], ()), (list(SIGNALS), SIGNALS)])
    def test_required_signals(self, required: Any, expected: object) -> None:
        assert parse(consent={"required": required}).options.required == expected

    @pytest.mark.parametrize("action", ["remove", "remove_from_all"])
    def test_a_removal_needs_no_on_denied(self, action: str) -> None:
        request = parse(action=action, destinations=None, consent={"on_denied": "remove"})
        assert not request.options.on_denied_remove

    def test_the_connection(self) -> None:
        assert (parse(connection="acme").options.connection, parse(connection="").options.connection) == ("acme", None)

    def test_ids_of_pages_and_apps(self) -> None:
        request = parse(user={"PAGEUID": "5"}, page_ids=["7", 8], app_ids=[9])
        assert (request.page_ids, request.app_ids, request.warnings) == (("7", "8"), ("9",), ())

    @pytest.mark.parametrize(
        ("key", "value", "schema"),
        [
            pytest.param("user", {"EMAIL": ["a", "b"], "phone": 1}, ("EMAIL", "EMAIL", "PHONE"), id="user"),
            pytest.param("users", {"schema": "FN, email", "data": [["a", "b"]]}, ("FN", "EMAIL"), id="table"),
            pytest.param("users", [{"FN": "a"}, {"EMAIL": "b"}], ("EMAIL", "FN"), id="list of objects"),
        ],
    )
    def test_people_in_each_form(self, key: str, value: Any, schema: tuple[str, ...]) -> None:
        assert parse(**{"user": None, key: value}).people.schema == schema

    @pytest.mark.parametrize("flag", [True, "true"])
    def test_people_from_the_event(self, flag: object) -> None:
        event = {"user_data": {"email": ["a@example.com", "b@example.com"]}, "user_id": "7"}
        request = parse(user=None, user_from_event=flag, event_data=event)
        assert request.people.schema == ("EMAIL", "EMAIL", "EXTERN_ID")
        assert request.options.event == CommonEvent(event)

    def test_an_event_without_a_person_is_understood(self) -> None:
        assert parse(user=None, user_from_event=True, event_data={"event_name": "page_view"}).people.rows == [{}]

    def test_user_from_event_that_is_off(self) -> None:
        assert parse(user_from_event="false").people.rows == [USER]

    def test_as_removal_changes_the_action_alone(self) -> None:
        assert parse().as_removal() == parse(action="remove")


class TestDataProcessing:
    """`{"options": ["LDU"], "country": 1, "state": 1000}`; names such as `"US"`, `"CA"` are understood."""

    @pytest.mark.parametrize(
        ("stated", "expected"),
        [
            pytest.param({"options": ["LDU"], "country": 1, "state": 1000}, LDU_IN_CALIFORNIA, id="numbers"),
            pytest.param(
                {"options": ["LDU"], "country": "1", "state": "1000"}, LDU_IN_CALIFORNIA, id="numbers as texts"
            ),
            pytest.param({"options": ["LDU"], "country": "US", "state": "CA"}, LDU_IN_CALIFORNIA, id="codes"),
            pytest.param(
                {"options": "LDU", "country": "USA", "state": "California"},
                LDU_IN_CALIFORNIA,
                id="names, options as a text",
            ),
            pytest.param({"options": ["LDU"]}, LDU, id="country and state are 0 where not given"),
            pytest.param({"options": ["ldu"], "country": 0, "state": 0}, LDU, id="small letters"),
            pytest.param({"options": []}, None, id="none"),
            pytest.param({}, None, id="nothing"),
            pytest.param(None, None, id="absent"),
        ],
    )
    def test_what_the_caller_states(self, stated: Any, expected: DataProcessing | None) -> None:
        assert parse(data_processing=stated).options.data_processing == expected

    @pytest.mark.parametrize(
        "event",
        [
            pytest.param({"us_privacy": OPTED_OUT}, id="us_privacy"),
            pytest.param({"usprivacy": OPTED_OUT}, id="usprivacy"),
            pytest.param({"us_privacy_string": OPTED_OUT}, id="us_privacy_string"),
            pytest.param({"gpp": GPP_OPTED_OUT}, id="gpp"),
            pytest.param({"gpp_string": GPP_OPTED_OUT}, id="gpp_string"),
            pytest.param({"us_privacy": "1YNN", "gpp": GPP_OPTED_OUT}, id="one of two"),
            pytest.param({"us_privacy": "1---", "gpp_string": f"DBABTA~{OPTED_OUT}"}, id="US privacy within GPP"),
        ],
    )
    @pytest.mark.parametrize("stated", [None, {}, {"options": []}])
    def test_an_opt_out_of_the_sale_sets_ldu(self, stated: Any, event: dict[str, Any]) -> None:
        options = parse(event_data=event, data_processing=stated).options
        assert options.data_processing == LDU

    def test_an_opt_out_keeps_the_place_that_the_caller_states(self) -> None:
        options = parse(event_data={"gpp": GPP_OPTED_OUT}, data_processing={"country": "US", "state": "CA"}).options
        assert options.data_processing == LDU_IN_CALIFORNIA

    @pytest.mark.parametrize(
        "event",
        [{}, {"us_privacy": "1YNN"}, {"gpp": "DBABLA~BVQqAAAAAgA.QA"}, {"gpp": "undefined"}, {"gpp": [GPP_OPTED_OUT]}],
    )
    def test_without_an_opt_out_nothing_is_set(self, event: dict[str, Any]) -> None:
        assert parse(event_data=event).options.data_processing is None


class TestWarnings:
    def test_unknown_keys_are_ignored_and_not_repeated(self) -> None:
        assert parse(colour="green", _x=1).warnings == ("the body has keys that are not known; they are ignored",)

    def test_page_scoped_ids_want_pages(self) -> None:
        assert parse(user={"PAGEUID": "5"}).warnings == ("PAGEUID is of no use to Meta without page_ids",)


def _bad(field: str | None, more: Mapping[str, Any], name: str) -> Any:
    return pytest.param({**BODY, **more}, field, id=name)


_FROM_ALL: Final = {"action": "remove_from_all"}


@pytest.mark.parametrize(
    ("body", "field"),
    [
        pytest.param({}, "action", id="empty"),
        pytest.param({**BODY, "action": None}, "action", id="no action"),
        _bad("action", {"action": ""}, "empty action"),
        _bad("action", {"action": "Add"}, "action in another case"),
        _bad("action", {"action": "replaced"}, "unknown action"),
        _bad("action", {"action": ["add"]}, "action as a list"),
        _bad("action", {"action": {"add": 1}}, "action as an object"),
        _bad("connection", {"connection": 5}, "connection as a number"),
        _bad("connection", {"connection": ["acme"]}, "connection as a list"),
        _bad("event_data", {"event_data": "text"}, "event as a text"),
        _bad("event_data", {"event_data": [{}]}, "event as a list"),
        _bad("consent", {"consent": "granted"}, "consent as a text"),
        _bad("consent", {"consent": []}, "consent as a list"),
        _bad("consent.state", {"consent": {"state": "granted"}}, "state as a text"),
        _bad("consent.state", {"consent": {"state": ["granted"]}}, "state as a list"),
        _bad("consent.required", {"consent": {"required": "ad_storage"}}, "required as a text"),
        _bad("consent.required", {"consent": {"required": ["ad_magic"]}}, "required signal unknown"),
        _bad("consent.required", {"consent": {"required": [["ad_storage"]]}}, "required signal as a list"),
        _bad("consent.required", {"consent": {"required": {"ad_storage": 1}}}, "required as an object"),
        _bad("consent.on_denied", {"consent": {"on_denied": "delete"}}, "on_denied unknown"),
        _bad("consent.on_denied", {"consent": {"on_denied": True}}, "on_denied as a flag"),
        _bad("optimistic", {"optimistic": "yes"}, "optimistic yes"),
        _bad("optimistic", {"optimistic": 1}, "optimistic 1"),
        _bad("debug", {"debug": [True]}, "debug as a list"),
        _bad("dry_run", {"dry_run": {}}, "dry_run as an object"),
        _bad("data_processing", {"data_processing": ["LDU"]}, "data_processing as a list"),
        _bad("data_processing.options", {"data_processing": {"options": ["GDPR"]}}, "another option"),
        _bad("data_processing.options", {"data_processing": {"options": [1]}}, "option as a number"),
        _bad("data_processing.options", {"data_processing": {"options": [["LDU"]]}}, "option in a list"),
        _bad("data_processing.country", {"data_processing": {"options": ["LDU"], "country": "FR"}}, "another country"),
        _bad("data_processing.country", {"data_processing": {"options": ["LDU"], "country": 2}}, "country 2"),
        _bad("data_processing.country", {"data_processing": {"country": True}}, "country true"),
        _bad("data_processing.state", {"data_processing": {"options": ["LDU"], "state": "Bayern"}}, "another state"),
        _bad("data_processing.state", {"data_processing": {"options": ["LDU"], "state": 1}}, "state 1"),
        _bad("data_processing.state", {"data_processing": {"state": [1000]}}, "US state as a list"),
        _bad("destinations", {"destinations": []}, "no destinations"),
        _bad("destinations", {"destinations": {"audience_id": "1"}}, "destinations as an object"),
        _bad("destinations", {"destinations": "1"}, "destinations as a text"),
        _bad("destinations[0]", {"destinations": ["1"]}, "destination as a text"),
        _bad("destinations[1]", {"destinations": [{"audience_id": "1"}, None]}, "destination null"),
        _bad("destinations[0].audience_id", {"destinations": [{}]}, "no audience"),
        _bad("destinations[0].audience_id", {"destinations": [{"ad_account_id": "1"}]}, "account in place of audience"),
        _bad("destinations[0].audience_id", {"destinations": [{"audience_id": ""}]}, "empty id"),
        _bad("destinations[0].audience_id", {"destinations": [{"audience_id": "1/users"}]}, "id with a slash"),
        _bad("destinations[0].audience_id", {"destinations": [{"audience_id": "1?a=b"}]}, "id with a query"),
        _bad("destinations[0].audience_id", {"destinations": [{"audience_id": "../me"}]}, "id with dots"),
        _bad("destinations[0].audience_id", {"destinations": [{"audience_id": "1\n2"}]}, "id with a line feed"),
        _bad("destinations[0].audience_id", {"destinations": [{"audience_id": "١٢٣"}]}, "id in other digits"),
        _bad("destinations[0].audience_id", {"destinations": [{"audience_id": "a" * 65}]}, "id of 65 signs"),
        _bad("destinations[0].audience_id", {"destinations": [{"audience_id": 1.5}]}, "id with a fraction"),
        _bad("destinations[0].audience_id", {"destinations": [{"audience_id": 1e30}]}, "id beyond 64 bits"),
        _bad("destinations[0].audience_id", {"destinations": [{"audience_id": -1}]}, "id below zero"),
        _bad("destinations[0].audience_id", {"destinations": [{"audience_id": True}]}, "id true"),
        _bad("destinations[0].audience_id", {"destinations": [{"audience_id": ["1"]}]}, "id as a list"),
        _bad("destinations[1].audience_id", {"destinations": [{"audience_id": "1"}, {}]}, "second without an id"),
        _bad("destinations[0].connection", {"destinations": [{"audience_id": "1", "connection": 5}]}, "its connection"),
        _bad(
            "destinations[0].value_based",
            {"destinations": [{"audience_id": "1", "value_based": "yes"}]},
            "value_based yes",
        ),
        _bad(
            "destinations[0].value_based",
            {"destinations": [{"audience_id": "1", "value_based": True}]},
            "value-based without LOOKALIKE_VALUE",
        ),
        _bad("destinations", {"destinations": [{"audience_id": "1"}, {"audience_id": 1}]}, "an audience twice"),
        _bad(
            "destinations",
            {
                "destinations": [{"audience_id": "1"}, {"audience_id": "1", "value_based": True}],
                "user": {"EMAIL": "a@example.com", "LOOKALIKE_VALUE": 1},
            },
            "an audience twice, once value-based",
        ),
        _bad(
            "destinations",
            {**_FROM_ALL, "destinations": [{"ad_account_id": "act_1"}, {"ad_account_id": "1"}]},
            "an account twice",
        ),
        _bad("destinations[0].ad_account_id", _FROM_ALL, "audience in place of account"),
        _bad("destinations[0].ad_account_id", {**_FROM_ALL, "destinations": [{"ad_account_id": "act_"}]}, "only act_"),
        _bad("page_ids", {"page_ids": "7"}, "pages as a text"),
        _bad("page_ids[1]", {"page_ids": ["7", None]}, "page null"),
        _bad("app_ids[0]", {"app_ids": ["a b"]}, "app with a space"),
        _bad("users", {"user": None}, "nobody"),
        _bad("users", {"users": [USER]}, "user and users"),
        _bad("user", {"user": "ada@example.com"}, "user as a text"),
        _bad("user", {"user": [USER]}, "user as a list"),
        _bad("user", {"user": {}}, "empty user"),
        _bad("user", {"user": {"SHOE_SIZE": 42}}, "unknown key of user"),
        _bad("user", {"user": {"LOOKALIKE_VALUE": 5}}, "LOOKALIKE_VALUE alone"),
        _bad("users", {"user": None, "users": []}, "no users"),
        _bad("users", {"user": None, "users": "EMAIL"}, "users as a text"),
        _bad("users.data", {"user": None, "users": {"schema": ["EMAIL"]}}, "no data"),
        _bad("users.data", {"user": None, "users": {"schema": ["EMAIL"], "data": []}}, "empty data"),
        _bad("users.schema", {"user": None, "users": {"data": [["a"]]}}, "no schema"),
        _bad("users.schema", {"user": None, "users": {"schema": " , ", "data": [["a"]]}}, "empty schema"),
        _bad("users.schema[1]", {"user": None, "users": {"schema": "EMAIL,SHOE", "data": [["a", "b"]]}}, "unknown key"),
        _bad("users.schema[0]", {"user": None, "users": {"schema": [5], "data": [["a"]]}}, "key as a number"),
        _bad("users.schema", {"user": None, "users": {"schema": "LOOKALIKE_VALUE", "data": [[1]]}}, "value alone"),
        _bad("user_from_event", {"user_from_event": True, "event_data": {}}, "user and user_from_event"),
        _bad("user_from_event", {"user_from_event": "yes"}, "user_from_event yes"),
        _bad("event_data", {"user": None, "user_from_event": True}, "user_from_event without an event"),
    ],
)
def test_a_bad_form_is_told_by_its_field(body: dict[str, Any], field: str) -> None:
    assert refusal(body).field == field


CANARY: Final = "Canary7c1f@example.com"
#: Every key of the contract, filled.
RICH: Final[Mapping[str, Any]] = {
    "action": "add",
    "connection": "acme",
    "destinations": [
        {"audience_id": "1", "connection": "acme", "value_based": True},
        {"audience_id": "2", "connection": "globex", "value_based": "false"},
    ],
    "event_data": {"x-ga-gcs": "G111", "us_privacy": "1YNN", "gpp": "DBABTA~1YNN", "user_data": {"email": "a@b.de"}},
    "consent": {"state": {"ad_storage": "granted"}, "required": ["ad_storage"], "on_denied": "remove"},
    "optimistic": True,
    "debug": "true",
    "dry_run": False,
    "data_processing": {"options": ["LDU"], "country": "US", "state": "CA"},
    "page_ids": ["1"],
    "app_ids": [2],
    "users": {"schema": ["EMAIL", "LOOKALIKE_VALUE"], "data": [["a@b.de", 1], {"EMAIL": "b@b.de"}]},
}
FORMS_OF_RICH: Final = [
    pytest.param(RICH, id="table"),
    pytest.param({**RICH, "users": [{"EMAIL": "a@b.de", "LOOKALIKE_VALUE": 1}]}, id="objects"),
    pytest.param({**RICH, "users": None, "user": {"EMAIL": ["a@b.de"], "LOOKALIKE_VALUE": 1}}, id="user"),
    pytest.param({**RICH, "users": None, "user_from_event": True, "destinations": [{"audience_id": "1"}]}, id="event"),
    pytest.param({**RICH, "action": "remove_from_all", "destinations": [{"ad_account_id": "act_1"}]}, id="from all"),
]


def places(node: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Yield the path of everything in *node*, itself included."""
    yield path
    inner = node.items() if isinstance(node, Mapping) else enumerate(node) if isinstance(node, list) else ()
    for key, value in inner:
        yield from places(value, (*path, key))


def with_at(body: Mapping[str, Any], path: tuple[Any, ...], change: Any) -> Any:
    """Return a copy of *body* in which *change* was made of what stands at *path*."""
    changed = copy.deepcopy(dict(body))
    *parents, last = path
    node: Any = changed
    for key in parents:
        node = node[key]
    node[last] = change(node[last])
    return changed


CHANGES: Final = [
    pytest.param(lambda _: CANARY, id="as a text"),
    pytest.param(lambda _: [CANARY], id="in a list"),
    pytest.param(lambda _: {CANARY: CANARY}, id="as key and value"),
    pytest.param(lambda old: {**old, CANARY: CANARY} if isinstance(old, dict) else old, id="as a further key"),
    pytest.param(lambda old: [*old, CANARY] if isinstance(old, list) else old, id="as a further item"),
]


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("body", FORMS_OF_RICH)
def test_no_message_or_warning_holds_a_value(body: Mapping[str, Any], change: Any) -> None:
    assert isinstance(parse_audience_request(body), AudienceRequest)
    refused = 0
    for path in places(body):
        if not path:
            continue
        try:
            shown = repr(parse_audience_request(with_at(body, path, change)).warnings)
        except InvalidRequestError as error:
            refused += 1
            shown = f"{error!r} {error.facts()} {''.join(traceback.format_exception(error))}"
        assert "Canary7c1f" not in shown, path
    assert refused or change(5) == 5, "this change was to be refused somewhere"


#: JSON whose keys and words are those of the contract, so that much of it is nearly right.
_WORDS: Final = st.sampled_from(
    ["add", "remove_from_all", "true", "granted", "ad_storage", "act_1", "123", "LDU", "US", "CA", "EMAIL,FN", "²", "٣"]
) | st.sampled_from(["a@example.com", "1YYN", "DBABTA~1YYN", "13r3r3r3r5l1", "G111", "remove"])
_KEYS: Final = st.sampled_from(
    [
        *sorted({key for path in places(RICH) for key in path if isinstance(key, str)}),
        *"user user_from_event ad_account_id EMAIL LOOKALIKE_VALUE DATA_PROCESSING_OPTIONS address ?".split(),  # noqa: SIM905
    ]
)
_SCALARS: Final = (
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False)
    | _WORDS
    | st.text(max_size=4)
)
_JSON: Final = st.recursive(
    _SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_KEYS, inner, max_size=4), max_leaves=12
)


@given(st.dictionaries(_KEYS, _JSON, max_size=6))
@settings(max_examples=150)
def test_any_object_is_a_request_or_an_invalid_request(body: dict[str, Any]) -> None:
    with contextlib.suppress(InvalidRequestError):
        assert isinstance(parse_audience_request(body), AudienceRequest)


@given(st.data())
@settings(max_examples=150)
def test_a_sound_body_with_one_thing_changed_is_a_request_or_an_invalid_request(data: st.DataObject) -> None:
    path = data.draw(st.sampled_from([path for path in places(RICH) if path]))
    value = data.draw(_JSON)
    with contextlib.suppress(InvalidRequestError):
        assert isinstance(parse_audience_request(with_at(RICH, path, lambda _: value)), AudienceRequest)


class TestJSON:
    """Reliability, rows 13 to 19."""

    @pytest.mark.parametrize(
        "body",
        [
            pytest.param(b"", id="empty"),
            pytest.param(b" ", id="a space"),
            pytest.param(b'{"a":NaN}', id="NaN"),
            pytest.param(b'{"a":Infinity}', id="Infinity"),
            pytest.param(b'{"a":-Infinity}', id="-Infinity"),
            pytest.param(b'{"a":1e999}', id="1e999"),
            pytest.param(b'{"a":' + b"9" * 5_000 + b"}", id="5,000 digits"),
            pytest.param(rb'{"a":"\ud800"}', id="lone high surrogate"),
            pytest.param(rb'{"\udc00":1}', id="lone low surrogate as a key"),
            pytest.param(b'\xef\xbb\xbf{"a":1}', id="byte order mark"),
            pytest.param('{"a":1}'.encode("utf-16"), id="UTF-16"),
            pytest.param('{"a":1}'.encode("utf-32-le"), id="UTF-32"),
            pytest.param('{"a":"ä"}'.encode("latin-1"), id="latin-1"),
            pytest.param(b"[" * 100_000 + b"]" * 100_000, id="100,000 lists deep"),
            pytest.param(b'{"a":' * 100_000 + b"1" + b"}" * 100_000, id="100,000 objects deep"),
            pytest.param(b'{"a":' * 1_025 + b"1" + b"}" * 1_025, id="1,025 objects deep"),
            pytest.param(b'{"a":1} {"b":2}', id="two objects"),
            pytest.param(b'{"a":1', id="cut off"),
            pytest.param(b"{'a':1}", id="single quotes"),
            pytest.param(b'{"a":1,}', id="trailing comma"),
            pytest.param(b'{"a":1 /* b */}', id="comment"),
            pytest.param(b'{"a":01}', id="leading zero"),
            pytest.param(b'{"a":"\x00"}', id="raw control character"),
            pytest.param(b'{"a":' + b"[" * 5_000, id="open brackets"),
            pytest.param(b"a=1&b=2", id="form"),
            pytest.param(b"<html>", id="HTML"),
            pytest.param(b"[]", id="list"),
            pytest.param(b"5", id="number"),
            pytest.param(b'"text"', id="text"),
            pytest.param(b"null", id="null"),
        ],
    )
    def test_what_is_no_json_object_is_refused(self, body: bytes) -> None:
        with pytest.raises(InvalidRequestError) as caught:
            parse_json(body)
        assert (caught.value.field, caught.value.__suppress_context__ or caught.value.__context__ is None) == (
            None,
            True,
        )

    @pytest.mark.parametrize(
        ("body", "expected"),
        [
            pytest.param(b'{"a":1,"a":2}', {"a": 2}, id="of a key that stands twice the last counts"),
            pytest.param(b'{"a":18446744073709551616}', {"a": 2.0**64}, id="beyond 64 bits a number is a double"),
            pytest.param(rb'{"a":"\ud83d\ude00"}', {"a": "😀"}, id="a pair of surrogates is a character"),
            pytest.param(rb'{"a":"\u0000"}', {"a": "\0"}, id="an escaped control character stays"),
            pytest.param(b' {"a" : [1, 2.5, null]}\n', {"a": [1, 2.5, None]}, id="spaces do not matter"),
            pytest.param(b"{}", {}, id="empty object"),
        ],
    )
    def test_documented_readings(self, body: bytes, expected: dict[str, Any]) -> None:
        assert parse_json(body) == expected

    def test_1_024_objects_deep_is_read(self) -> None:
        assert list(parse_json(b'{"a":' * 1_024 + b"1" + b"}" * 1_024)) == ["a"]

    def test_200_000_keys_cost_little(self) -> None:
        body = orjson.dumps({f"key{number}": number for number in range(200_000)})
        began = time.monotonic()
        with pytest.raises(InvalidRequestError):
            parse_audience_request(parse_json(body))
        assert time.monotonic() - began < 20

    @given(st.binary(max_size=40) | st.text(max_size=40).map(lambda text: text.encode("utf-8", "surrogatepass")))
    def test_any_bytes_are_an_object_or_an_invalid_request(self, body: bytes) -> None:
        with contextlib.suppress(InvalidRequestError):
            assert isinstance(parse_json(body), dict)


@pytest.mark.parametrize(("count", "is_understood"), [(100, True), (101, False)])
def test_a_request_has_at_most_100_destinations(count: int, is_understood: bool) -> None:
    destinations = [{"audience_id": str(number)} for number in range(count)]
    body = {"action": "add", "destinations": destinations, "user": {"EMAIL": "ada@example.com"}}
    if is_understood:
        assert count == len(parse_audience_request(body).destinations)
        return
    with pytest.raises(InvalidRequestError) as caught:
        parse_audience_request(body)
    assert "destinations" == caught.value.field
