"""gtm/README.md says what is: each parameter of the tags that ours replaces has its row, and names only what exists."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Final, get_args

import pytest

from lib.authentication import Credentials
from lib.outcomes import Outcome
from tests.tools import build_gtm
from tests.tools.gtm_form import all_fields

README: Final = build_gtm.part("README.md")
OURS: Final = {one["name"] for one in all_fields(build_gtm.parameters())}

#: The parameters of each tag by their names in its template.
# https://github.com/stape-io/meta-custom-audiences-tag, the version with logs and the newest
# https://github.com/stape-io/facebook-tag 2.1.4
# https://github.com/facebookincubator/ConversionsAPI-Tag-for-GoogleTagManager 0.0.9
# https://github.com/Datomni/omni-activation-gtmss-meta-api 1.32
THEIRS: Final[Mapping[str, str]] = {
    "Stape's Meta Custom Audiences tag": """
        audienceAction authFlow ownAuthAudiencesList ownAuthAdAccountsList stapeAuthAudiencesList
        stapeAuthAdAccountsList useOptimisticScenario userMode singleUserIdentifiersList enableDataProcessingOptions
        singleUserDataProcessingOptionsList multipleUsersSchema multipleUsersAudienceMembers adStorageConsent logType
        bigQueryLogType logBigQueryProjectId logBigQueryDatasetId logBigQueryTableId
    """,
    "Stape's Facebook Conversions API tag": """
        inheritEventName eventName eventNameStandard eventNameCustom actionSource messaging_channel accessToken pixelId
        enableMultipixelSetup pixelIdAndAccessTokenTable useAppSecretProof appSecretProof testId overrideCookieDomain
        overridenCookieDomain generateFbp useHttpOnlyCookie enableEventEnhancement useOptimisticScenario itemIdKey
        adStorageConsent logType bigQueryLogType logBigQueryProjectId logBigQueryDatasetId logBigQueryTableId
        serverEventDataList originalEventDataList userDataObject userDataList appDataObject appDataList customDataObject
        customDataList autoMapServerEventData autoMapUserData autoMapAppData autoMapCustomData
        mapViewItemListToViewContent
    """,
    "Meta's Conversions API tag": """
        pixelId apiAccessToken testEventCode actionSource extendCookies enableEventEnhancement
    """,
    "Datomni's Meta API tag": """
        metaPixelID metaApiToken tagExecutionEnv thisIsTestEvent testEventCode limitedDataUse countryCodeField
        stateCodeField enableDatomniAsPartnerAgent isOmniErrorMonitoringEnabled isOmniMonitoringEnabled
        omniMonitoringEndpoint omniMonitoringSchemaUri isOmniIdentityResolutionEnabled omniIdentityEndpoint
        omniIdentityAccessToken anonUserIdentifierForIR eventName customEventName eventTimestamp actionSource optOut
        eventId eventSourceUrl contentName searchString contentCategory orderId value currency deliveryCategory status
        addProductArray contentType productSchemaType productArrayVariableName productArrayVariableNameCustom
        contentIdVariableName contentPriceVariableName contentQuantityVariableName firstName lastName gender
        maleGenderIdentifier femGenderIdentifier fbPhone fbPhoneIncludesCountryCode phoneCountryCode birthDate
        birthDateFormat fbEmail enrichPayloadWithOmniIdentityEmail city state zip country ipAddress fbp isFbpFromTraces
        fbpTraces fbpTracePosition fbc isFbcFromTraces isFbcFromJournal fbcTraces fbcTracePosition fbcLookBackWindow
        subscriptionId externalId externalIdHashing enrichExtIdwithOmniUnifiedId clientUserAgent
    """,
}


def rows(title: str) -> list[list[str]]:
    """Return the cells of the table in the section *title*, without its head."""
    section = re.search(rf"^##+ {re.escape(title)}$(.*?)(?=^##|\Z)", README, re.MULTILINE | re.DOTALL)
    assert section is not None
    lines = [line for line in section[1].splitlines() if line.startswith("| ")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[1:]]


def names(text: str) -> list[str]:
    """Return what stands in backquotes."""
    return re.findall(r"`([^`]+)`", text)


@pytest.mark.parametrize("tag", THEIRS)
def test_each_parameter_has_its_row(tag: str) -> None:
    assert THEIRS[tag].split() == [name for theirs, *_ in rows(f"From {tag}") for name in names(theirs)]


@pytest.mark.parametrize("tag", [*THEIRS, "Commanders Act's Facebook Custom Audiences connector"])
def test_each_row_says_ours_or_why_not(tag: str) -> None:
    for theirs, ours, note in rows(f"From {tag}"):
        assert set(names(ours)) <= OURS, theirs
        assert names(ours) or (ours == "—" and note), theirs


def test_labels_are_those_of_the_form() -> None:
    labels = {
        label
        for one in all_fields(build_gtm.parameters())
        for label in (one.get("displayName"), one.get("checkboxText"))
    }
    shown = re.findall(r"^\| `[^|]*\| ([^|`(]+) \(`", README, re.MULTILINE)
    parts = {part for text in shown for part in re.split(r", (?!_)", text.strip())}
    assert parts - labels - {"Datasets", "Custom"} == set()


def test_the_picture_is_shown() -> None:
    assert f"]({build_gtm.FORM.name})" in README


def test_each_outcome_is_told() -> None:
    told = {name for outcome, *_ in rows("What the preview shows") for name in names(outcome)}
    assert told == {*get_args(Outcome), "published"}


def test_the_headers_are_those_that_the_relay_reads() -> None:
    stated = {name.lower(): "1" * 64 for name in re.findall(r"`(X-Relay-[A-Za-z]+)`", README)}
    read = Credentials.from_headers(stated | {"x-relay-timestamp": "1800000000"})
    assert (read.keys, read.signature, read.timestamp) == ((b"1" * 64,), "1" * 64, "1800000000")


def test_the_line_of_the_log_is_one() -> None:
    (line,) = re.findall(r"```json\n(.*?)```", README, re.DOTALL)
    assert set(json.loads(line)) <= set(re.findall(r"[A-Z][A-Za-z]+", build_gtm.part("template.js")))
