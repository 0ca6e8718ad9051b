"""The tag for server-side Google Tag Manager: built from its parts, in the relay's words, and its own tests pass."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

import pytest

from lib.action_sources import ACTION_SOURCES
from lib.app_data import KEYS as APP_DATA_KEYS
from lib.config import ACTIONS
from lib.consent import SIGNALS
from lib.event_names import EVENT_NAMES
from lib.identifiers import AUDIENCE_KEYS, DATA_PROCESSING_COLUMNS, IDENTIFIERS
from lib.products import parse_products
from lib.us_privacy import US_PRIVACY_KEYS
from tests.tools import build_gtm
from tests.tools.gtm_form import EXAMPLES, all_fields, picture, shown_fields
from tests.tools.gtm_runner import NotAtHandError, Runner

FIELDS: Final = build_gtm.parameters()
CODE: Final = build_gtm.part("template.js")
MUTATIONS: Final[list[dict[str, str]]] = json.loads(
    (build_gtm.ROOT / "tests" / "data" / "gtm_mutations.json").read_text("utf-8")
)


@pytest.fixture(name="runner", scope="module")
def _runner() -> Runner:
    try:
        return Runner.find()
    except NotAtHandError as reason:
        pytest.skip(f"the tag's own tests are left out: {reason}")


def field(name: str) -> Mapping[str, Any]:
    """Return the field of that name."""
    return next(one for one in all_fields(FIELDS) if one["name"] == name)


def choices(name: str) -> list[object]:
    """Return the values that a field offers: of a select, of a radio, or in the first column of a table."""
    of_field = field(name)
    if of_field["type"] == "SIMPLE_TABLE":
        of_field = of_field["simpleTableColumns"][0]
    return [item["value"] for item in of_field.get("selectItems") or of_field["radioItems"]]


def inputs() -> Iterator[Mapping[str, Any]]:
    """Yield all that can be filled in, the columns of tables among it."""
    for one in all_fields(FIELDS):
        if one["type"] == "SIMPLE_TABLE":
            yield from ({**column, "name": f"{one['name']}.{column['name']}"} for column in one["simpleTableColumns"])
        yield one


def patterns(one: Mapping[str, Any]) -> list[str]:
    """Return the expressions that a field's text has to match."""
    return [validator["args"][0] for validator in one.get("valueValidators", ()) if validator["type"] == "REGEX"]


class TestBuilt:
    def test_the_template_is_current(self) -> None:
        """`make gtm` writes it anew."""
        assert build_gtm.template() == build_gtm.TEMPLATE.read_text("utf-8")

    def test_the_picture_is_current(self) -> None:
        assert picture(FIELDS) == build_gtm.FORM.read_text("utf-8")

    def test_the_requests_of_its_tests_are_current(self, runner: Runner) -> None:
        assert build_gtm.requests_of(runner) == build_gtm.REQUESTS.read_text("utf-8")

    def test_the_sections_stand_in_the_order_of_an_export(self) -> None:
        names = re.findall(r"^___([A-Z_]+)___$", build_gtm.template(), re.MULTILINE)
        assert names == [
            "TERMS_OF_SERVICE", "INFO", "TEMPLATE_PARAMETERS", "SANDBOXED_JS_FOR_SERVER", "SERVER_PERMISSIONS",
            "TESTS", "NOTES",
        ]  # fmt: skip

    def test_beside_it_stands_what_the_gallery_wants(self) -> None:
        assert "Apache License" in build_gtm.part("LICENSE")
        versions = re.findall(
            r"^  - sha: ([0-9a-f]{40})\n    changeNotes: \|2\n      \S", build_gtm.part("metadata.yaml"), re.MULTILINE
        )
        assert versions
        assert len(versions) == build_gtm.part("metadata.yaml").count("sha: ")

    def test_a_permission_gives_each_value_its_type(self) -> None:
        (reading,) = (one for one in build_gtm.permissions() if one["instance"]["key"]["publicId"] == "read_request")
        assert {"key": "headersAllowed", "value": {"type": 8, "boolean": True}} in reading["instance"]["param"]
        assert reading["instance"]["param"][-1]["value"]["listItem"][0] == {
            "type": 3,
            "mapKey": [{"type": 1, "string": "headerName"}],
            "mapValue": [{"type": 1, "string": "trace-id"}],
        }


class TestForm:
    def test_names_are_used_once(self) -> None:
        names = [one["name"] for one in all_fields(FIELDS)]
        assert sorted(names) == sorted(set(names))

    @pytest.mark.parametrize(
        "one", [one for one in all_fields(FIELDS) if one["type"] != "GROUP"], ids=lambda f: f["name"]
    )
    def test_each_field_says_what_it_is_for(self, one: Mapping[str, Any]) -> None:
        assert one["help"].endswith(".")
        assert one.get("displayName") or one.get("checkboxText")

    @pytest.mark.parametrize("one", [one for one in inputs() if one["type"] == "TEXT"], ids=lambda f: f["name"])
    def test_each_text_has_a_hint_and_is_validated(self, one: Mapping[str, Any]) -> None:
        assert one["valueHint"]
        assert one["valueValidators"]

    @pytest.mark.parametrize("one", [one for one in inputs() if one["type"] == "SELECT"], ids=lambda f: f["name"])
    def test_something_is_always_chosen(self, one: Mapping[str, Any]) -> None:
        if one.get("defaultValue") is False:
            # Whether the editor takes false for nothing is not known; it stands there from the beginning.
            assert "valueValidators" not in one
        else:
            assert {"type": "NON_EMPTY"} in one["valueValidators"]

    @pytest.mark.parametrize("one", [one for one in inputs() if patterns(one)], ids=lambda one: one["name"])
    def test_hint_and_default_pass_the_validator(self, one: Mapping[str, Any]) -> None:
        # What says in words what holds where nothing is written.
        texts = {one["valueHint"], one.get("defaultValue", "")} - {"the default connection", "as above", ""}
        assert all(re.fullmatch(pattern, text) for pattern in patterns(one) for text in texts)

    @pytest.mark.parametrize(
        ("name", "text", "is_valid"),
        [
            ("topic", "meta-relay", False),
            ("topic", "projects/p/topics/t/more", False),
            ("relayUrl", "http://relay.example", False),
            ("connection", "", True),
            ("connection", "two words", False),
            ("timeout", "499", False),
            ("timeout", "500", True),
            ("timeout", "5000", True),
            ("timeout", "5001", False),
            ("segmentId", "s" * 128, True),
            ("segmentId", "s" * 129, False),
            ("userDataObject", "", True),
            ("userDataObject", ' {"em": "a"}', True),
            ("userDataObject", "em", False),
            ("testEventCode", "TEST 1", False),
            ("pageIds", "1, 2", True),
            ("pageIds", "a", False),
            ("cookieDomain", "shop.example.de", True),
            ("cookieDomain", "https://shop.example.de", False),
        ],
    )
    def test_validators(self, name: str, text: str, *, is_valid: bool) -> None:
        assert is_valid is all(re.fullmatch(pattern, text) for pattern in patterns(field(name)))

    def test_each_condition_names_a_field_and_a_value_of_it(self) -> None:
        for one in all_fields(FIELDS):
            for condition in one.get("enablingConditions", ()):
                other = field(condition["paramName"])
                values = [True, False] if other["type"] == "CHECKBOX" else choices(other["name"])
                assert condition["paramValue"] in values

    @pytest.mark.parametrize(
        ("values", "there", "not_there"),
        [
            pytest.param(
                {},
                {"topic", "datasetList", "eventGroup", "cookieUse", "autoMapEventData"},
                {"relayUrl", "audienceList", "segmentId", "audienceMembersGroup", "messagingChannel", "appDataGroup",
                 "removeOnDenied", "productArray", "eventNameStandard", "dataProcessingCountry"},
                id="an event over Pub/Sub",
            ),
            pytest.param(
                {"transport": "http", "authentication": "key"},
                {"relayUrl", "relayKey", "useOptimisticScenario", "timeout"},
                {"topic"},
                id="over HTTP with a key",
            ),
            pytest.param({"transport": "http"}, {"relayUrl"}, {"relayKey"}, id="over HTTP with a signature"),
            pytest.param({"actionSource": "app"}, {"appDataGroup"}, {"messagingChannel"}, id="an app"),
            pytest.param({"actionSource": "business_messaging"}, {"messagingChannel"}, {"appDataGroup"}, id="messages"),
            pytest.param(
                {"eventNameMode": "standard", "eventNameStandard": "AppendValue"}, {"originalEventDataList"}, set(),
                id="an added value",
            ),
            pytest.param({"action": "events", "eventNameMode": "standard", "eventNameStandard": "Lead"},
                         {"eventNameStandard"}, {"originalEventDataList", "eventNameCustom"}, id="a standard event"),
            pytest.param({"productSchema": "custom"}, {"productArray", "productPrice"}, set(), id="own products"),
            pytest.param({"cookieUse": "read"}, {"cookieUse"}, {"cookieDomain"}, id="cookies read only"),
            pytest.param(
                {"action": "add"},
                {"audienceList", "singleUserIdentifiersList", "removeOnDenied", "pageIds"},
                {"datasetList", "adAccountList", "eventGroup", "segmentId", "segmentPropertiesList", "testEventCode",
                 "multipleUsersSchema"},
                id="an audience",
            ),
            pytest.param({"action": "remove", "userMode": "multiple"}, {"audienceList", "multipleUsersSchema"},
                         {"singleUserIdentifiersList", "removeOnDenied"}, id="many people"),
            pytest.param({"action": "remove_from_all", "userMode": "event"}, {"adAccountList"},
                         {"audienceList", "singleUserIdentifiersList", "multipleUsersSchema"}, id="all audiences"),
            pytest.param({"action": "leave"}, {"segmentId", "segmentName", "segmentPropertiesList"},
                         {"audienceList", "singleUserIdentifiersList", "pageIds"}, id="a segment"),
            pytest.param({}, {"identityMode", "anonymousId"}, set(), id="identity for events"),
            pytest.param({"identityMode": "disabled"}, {"identityMode"}, {"anonymousId"}, id="no identity"),
            pytest.param({"action": "add", "userMode": "event"}, {"identityMode"}, set(), id="identity for its person"),
            pytest.param({"action": "add"}, set(), {"identityMode"}, id="no identity for people by table"),
            pytest.param({"consentMode": "required"}, {"requireAdStorage"}, set(), id="signals of its own"),
            pytest.param({"enableDataProcessingOptions": True}, {"dataProcessingState"}, set(), id="limited data use"),
        ],
    )  # fmt: skip
    def test_fields_appear_only_when_they_matter(
        self, values: Mapping[str, object], there: set[str], not_there: set[str]
    ) -> None:
        shown = {one["name"] for one in shown_fields(FIELDS, values)}
        assert there - shown == set()
        assert not_there & shown == set()

    def test_the_picture_shows_what_each_of_its_forms_shows(self) -> None:
        drawn = picture(FIELDS)
        for example in (example for column in EXAMPLES for example in column):
            assert f">{example.title}<" in drawn
            for one in shown_fields(FIELDS, example.values):
                if one["type"] == "GROUP" and "displayName" in one:
                    assert f" {one['displayName']}<" in drawn

    def test_no_token_is_asked_for(self) -> None:
        assert [name for one in inputs() if "token" in (name := one["name"].casefold())] == []


class TestWords:
    """The form offers what the relay knows, and nothing that it does not."""

    def test_actions(self) -> None:
        assert set(choices("action")) <= set(ACTIONS)

    def test_identifiers_of_audiences(self) -> None:
        assert set(choices("singleUserIdentifiersList")) == set(AUDIENCE_KEYS) - set(DATA_PROCESSING_COLUMNS)

    def test_user_data(self) -> None:
        assert set(choices("userDataList")) <= {one.user_data for one in IDENTIFIERS}

    def test_app_data(self) -> None:
        assert set(choices("appDataList")) == set(APP_DATA_KEYS)

    def test_event_names(self) -> None:
        assert set(choices("eventNameStandard")) == {*EVENT_NAMES.values(), "AppendValue"}

    def test_action_sources(self) -> None:
        assert set(choices("actionSource")) - {"inherit"} == set(ACTION_SOURCES)

    @pytest.mark.parametrize("schema", choices("productSchema"))
    def test_product_schemas(self, schema: str) -> None:
        assert parse_products({"schema": schema}) is not None

    def test_signals(self) -> None:
        assert set(choices("consentStateList")) <= set(SIGNALS)

    def test_what_consent_is_read_from_goes_along(self) -> None:
        listed = re.search(r"CONSENT_KEYS = \[(.*?)\]", CODE, re.DOTALL)
        assert listed is not None
        keys = set(re.findall(r"'(.+?)'", listed[1]))
        assert keys == {"consent_state", "x-ga-gcs", "x-ga-gcd", "page_location", *US_PRIVACY_KEYS}


class TestPermissions:
    """The runner's lint holds APIs and permissions together; here it is what each permission is narrowed to."""

    STATED: Final[Mapping[str, Any]] = json.loads(build_gtm.part("permissions.json"))

    def test_the_key_and_the_scope_are_those_of_the_code(self) -> None:
        assert self.STATED["use_custom_private_keys"]["keyIds"] == re.findall(r"KEY_ID = '(.+?)'", CODE)
        assert self.STATED["use_google_credentials"]["allowedScopes"] == re.findall(r"PUBSUB_SCOPE = '(.+?)'", CODE)

    def test_the_cookies_are_those_of_the_code(self) -> None:
        assert self.STATED["get_cookies"]["cookieNames"] == ["_fbp", "_fbc", "_gtmeec", "_fbi"]
        assert [one["name"] for one in self.STATED["set_cookies"]["allowedCookies"]] == ["_fbp", "_fbc", "_gtmeec"]

    def test_requests_go_to_google_alone(self) -> None:
        hosts = [url.split("/")[2] for url in self.STATED["send_http"]["urls"]]
        assert hosts == ["pubsub.googleapis.com", "*.run.app", "*.cloudfunctions.net"]


class TestOwnTests:
    def test_all_scenarios_pass_strictly_and_nothing_is_found(self, runner: Runner) -> None:
        scenarios, found = runner.scenarios(build_gtm.TEMPLATE)
        assert [(one.name, one.failures) for one in scenarios if not one.ok] == []
        assert found == []
        assert len({one.name for one in scenarios}) == len(scenarios) > 80

    def test_each_mutation_can_still_be_made(self) -> None:
        assert [one["from"] for one in MUTATIONS if CODE.count(one["from"]) != 1] == []
        assert [one for one in MUTATIONS if one["from"] == one["to"]] == []

    def test_each_mutation_is_caught_by_the_scenario_that_it_names(self, runner: Runner) -> None:
        caught = runner.mutants(build_gtm.TEMPLATE, MUTATIONS)
        assert [one for one, is_caught in zip(MUTATIONS, caught, strict=True) if not is_caught] == []
        assert len(MUTATIONS) >= 30
