"""The configuration document (design, section 5)."""

from __future__ import annotations

import copy
import traceback
from collections.abc import Iterator, Mapping
from typing import Any, Final

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lib.config import (
    ACTIONS,
    MINIMUM_IDENTIFIERS,
    Caller,
    Config,
    Connection,
    ConsentSettings,
    GraphAPISettings,
    QueueSettings,
    SegmentSettings,
    Source,
    parse_config,
)
from lib.errors import ConfigurationError
from lib.identifiers import CDP_MAPPING
from lib.identity_settings import (
    Enrichment,
    FirestoreSettings,
    IdentitySettings,
    Limits,
    OmniSettings,
)

#: The design's own example, the names of secrets completed.
EXAMPLE: Final[Mapping[str, Any]] = {
    "graph_api": {"version": "v26.0", "url": "https://graph.facebook.com", "timeout_s": 10},
    "default_connection": "acme",
    "connections": {
        "acme": {
            "access_token": "projects/p/secrets/meta-token-acme/versions/latest",
            "app_secret": "projects/p/secrets/meta-app-secret-acme/versions/latest",
            "ad_account_id": "1234567890",
            "dataset_id": "987654321098765",
            "default_country": "DE",
            "date_order": "dmy",
            "external_id": "hash",
        }
    },
    "callers": {
        "sgtm": {
            "keys": ["projects/p/secrets/relay-key-sgtm/versions/latest"],
            "connections": ["acme"],
            "actions": ["events", "add", "remove", "enter", "leave"],
            "may_lower_consent": False,
        }
    },
    "consent": {
        "events": ["ad_storage", "ad_user_data"],
        "audiences": ["ad_storage", "ad_user_data", "ad_personalization"],
        "segments": [],
        "absent": "denied",
    },
    "minimum_identifiers": [
        ["EMAIL"],
        ["PHONE"],
        ["MADID"],
        ["EXTERN_ID"],
        ["FN", "LN", "ZIP"],
        ["FN", "LN", "CT"],
        ["FN", "LN", "DOB"],
    ],
    "identity": {
        "endpoint": "https://identity.example.com/api/v1/identifier",
        "access_token": "projects/p/secrets/identity-token/versions/latest",
        "timeout_ms": 800,
    },
    "segments": {
        "prefix": "CA_",
        "mapping": {"EMAIL": ["email", "hashed_email"], "PHONE": ["phone"]},
        "max_shrink": 0.5,
    },
    "sources": {"vip": {"bigquery": {"table": "p.crm.vip"}}},
    "delivery_log": "p.meta_relay.delivery_log",
    "health_log": "p.meta_relay.health_log",
    "log_level": "INFO",
    "queue": {
        "topic": "projects/p/topics/meta-relay",
        "dead_letter_topic": "projects/p/topics/meta-relay-dead",
        "dead_letter_subscription": "projects/p/subscriptions/meta-relay-dead",
    },
}
ACME: Final = {"access_token": "env:TOKEN"}
#: The smallest document that is sound.
SMALLEST: Final[Mapping[str, Any]] = {"connections": {"acme": ACME}, "callers": "iam"}


def parse(document: object) -> Config:
    return parse_config(orjson.dumps(document))


def problems(document: object) -> list[str]:
    """Return what the one message says, line by line."""
    with pytest.raises(ConfigurationError) as caught:
        parse(document)
    first, *lines = caught.value.message.split("\n  - ")
    assert first == "the configuration has problems:"
    return lines


def with_connection(**more: Any) -> dict[str, Any]:
    return {**SMALLEST, "connections": {"acme": ACME | more}}


def with_caller(**more: Any) -> dict[str, Any]:
    return {**SMALLEST, "callers": {"sgtm": more}}


class TestSound:
    def test_the_designs_example(self) -> None:
        assert parse(EXAMPLE) == Config(
            graph_api=GraphAPISettings(version="v26.0", url="https://graph.facebook.com", timeout_s=10.0),
            default_connection="acme",
            connections={
                "acme": Connection(
                    name="acme",
                    access_token="projects/p/secrets/meta-token-acme/versions/latest",
                    app_secret="projects/p/secrets/meta-app-secret-acme/versions/latest",
                    ad_account_id="1234567890",
                    dataset_id="987654321098765",
                    default_country="de",
                    date_order="dmy",
                    external_id="hash",
                )
            },
            callers={
                "sgtm": Caller(
                    name="sgtm",
                    keys=("projects/p/secrets/relay-key-sgtm/versions/latest",),
                    connections=frozenset({"acme"}),
                    actions=frozenset({"events", "add", "remove", "enter", "leave"}),
                    may_lower_consent=False,
                )
            },
            consent=ConsentSettings(),
            minimum_identifiers=MINIMUM_IDENTIFIERS,
            delivery_log="p.meta_relay.delivery_log",
            health_log="p.meta_relay.health_log",
            log_level="INFO",
            queue=QueueSettings(
                topic="projects/p/topics/meta-relay",
                dead_letter_topic="projects/p/topics/meta-relay-dead",
                dead_letter_subscription="projects/p/subscriptions/meta-relay-dead",
            ),
            sources={"vip": Source(name="vip", table="p.crm.vip")},
            segments=SegmentSettings(mapping={"EMAIL": ("email", "hashed_email"), "PHONE": ("phone",)}),
            identity=IdentitySettings(
                omni=OmniSettings(
                    endpoint="https://identity.example.com/api/v1/identifier",
                    access_token="projects/p/secrets/identity-token/versions/latest",
                ),
                timeout_ms=800,
            ),
        )

    def test_every_key_of_identity(self) -> None:
        own = {
            "firestore": {"database": "people", "collection": "circles"},
            "key": "env:KEY",
            "timeout_ms": 200,
            "anonymous_id": "visitor.id",
            "keep_days": 30,
            "shared_values": ["info@example.com"],
            "limits": {"per_device": 2, "per_phone": 3, "per_person": 4, "devices": 5},
            "enrich": {"external_id": False, "fields": ["em"], "fbc": "last", "look_back_days": 7},
            "user_id": True,
        }
        assert parse({**SMALLEST, "identity": own}).identity == IdentitySettings(
            firestore=FirestoreSettings(database="people", collection="circles"),
            key="env:KEY",
            timeout_ms=200,
            anonymous_id="visitor.id",
            keep_days=30,
            shared_values=("info@example.com",),
            limits=Limits(per_device=2, per_phone=3, per_person=4, devices=5),
            enrich=Enrichment(external_id=False, fields=("em",), fbc="last", look_back_days=7),
            user_id=True,
        )
        omni = {"endpoint": "http://127.0.0.1:8099/v1", "access_token": "env:TOKEN", "send": ["email"], "cache_s": 0}
        assert parse({**SMALLEST, "identity": omni}).identity == IdentitySettings(
            omni=OmniSettings(
                endpoint="http://127.0.0.1:8099/v1", access_token="env:TOKEN", send=("email",), cache_s=0.0
            )
        )
        assert parse({**SMALLEST, "identity": {"memory": True, "key": "env:KEY"}}).identity == IdentitySettings(
            memory=True, key="env:KEY"
        )

    def test_without_a_word_identity_is_off(self) -> None:
        assert (None, None) == (parse(SMALLEST).identity, parse({**SMALLEST, "identity": {}}).identity)

    def test_every_key_of_a_source(self) -> None:
        scheduled = {"schedule": "0 3 * * *", "segment": {"id": "44A23B49", "name": "VIP"}, "change": "mirror"}
        stated = {
            "query": {"bigquery": {"query": "SELECT *\nFROM `p.crm.vip`"}, "row_id": "customer_id", **scheduled},
            "file": {"bucket": {"uri": "gs://crm/vip-*.csv.gz", "format": "csv"}},
        }
        assert parse({**SMALLEST, "sources": stated}).sources == {
            "query": Source(
                name="query",
                query="SELECT *\nFROM `p.crm.vip`",
                row_id="customer_id",
                schedule="0 3 * * *",
                segment={"id": "44A23B49", "name": "VIP"},
                change="mirror",
            ),
            "file": Source(name="file", uri="gs://crm/vip-*.csv.gz", format="csv"),
        }

    def test_segments_need_nothing_said(self) -> None:
        settings = parse({**SMALLEST, "segments": {}}).segments
        assert settings == SegmentSettings(prefix="CA_", mapping=CDP_MAPPING, on_deleted="create", max_shrink=0.5)
        assert parse(SMALLEST).segments is None

    def test_a_segment_may_have_a_mapping_of_its_own(self) -> None:
        stated = {"prefix": "", "mappings": {"44A2 3B49": {"FN": ["a.b"], "ad_storage": ["ok"]}}, "max_shrink": 1}
        settings = parse({**SMALLEST, "segments": stated}).segments
        assert settings is not None
        assert settings.mapping_of("44A2 3B49") == {"FN": ("a.b",), "ad_storage": ("ok",)}
        assert settings.mapping_of("another") == CDP_MAPPING
        assert (settings.prefix, settings.max_shrink) == ("", 1.0)

    def test_everything_but_connections_and_callers_has_a_default(self) -> None:
        config = parse(SMALLEST)
        assert config == Config(
            connections={"acme": Connection(name="acme", access_token="env:TOKEN")},
            callers=None,
            default_connection="acme",
        )
        assert (config.graph_api, config.consent, config.minimum_identifiers) == (
            GraphAPISettings(version="v26.0", url="https://graph.facebook.com", timeout_s=10.0),
            ConsentSettings(
                events=("ad_storage", "ad_user_data"),
                audiences=("ad_storage", "ad_user_data", "ad_personalization"),
                segments=(),
                absent="denied",
            ),
            MINIMUM_IDENTIFIERS,
        )
        acme = config.connections["acme"]
        assert (acme.date_order, acme.external_id, acme.default_country) == ("mdy", "hash", None)

    def test_the_values_of_the_example_are_the_defaults(self) -> None:
        kept = ("graph_api", "consent", "minimum_identifiers", "log_level")
        assert parse({**SMALLEST, **{key: EXAMPLE[key] for key in kept}}) == parse(SMALLEST)

    def test_of_several_connections_none_is_the_default_by_itself(self) -> None:
        assert parse({**SMALLEST, "connections": {"acme": ACME, "globex": ACME}}).default_connection is None

    def test_every_key_of_a_connection(self) -> None:
        stated = {
            "app_id": "77",
            "test_event_code": "TEST123",
            "default_currency": "EUR",
            "ad_account_id": "act_42",
            "external_id": "plain",
            "normalization": {"name_spaces": "drop", "city_marks": "strip", "gender_words": {"Frau": "f", "HERR": "m"}},
        }
        assert parse(with_connection(**stated)).connections["acme"] == Connection(
            name="acme",
            access_token="env:TOKEN",
            app_id="77",
            test_event_code="TEST123",
            default_currency="EUR",
            ad_account_id="42",
            external_id="plain",
            name_spaces="drop",
            city_marks="strip",
            gender_words={"frau": "f", "herr": "m"},
        )

    def test_a_caller_with_keys_alone(self) -> None:
        document = {**with_caller(keys=["env:KEY"]), "connections": {"acme": ACME, "globex": ACME}}
        assert parse({**document, "default_connection": "acme"}).callers == {
            "sgtm": Caller(
                name="sgtm",
                keys=("env:KEY",),
                connections=frozenset({"acme"}),
                actions=frozenset({"events", "add", "remove", "enter", "leave"}),
                may_lower_consent=False,
            )
        }
        assert parse(document).callers == {
            "sgtm": Caller(
                name="sgtm",
                keys=("env:KEY",),
                connections=frozenset(),
                actions=frozenset({"events", "add", "remove", "enter", "leave"}),
            )
        }

    def test_a_caller_that_names_nothing_may_use_nothing(self) -> None:
        assert parse(with_caller(connections=[], actions=[])).callers == {
            "sgtm": Caller(name="sgtm", connections=frozenset(), actions=frozenset())
        }

    def test_no_callers_means_that_nobody_may_call(self) -> None:
        assert parse({**SMALLEST, "callers": {}}).callers == {}

    def test_every_action_may_be_named(self) -> None:
        callers = parse(with_caller(actions=list(ACTIONS))).callers
        assert callers is not None
        assert callers["sgtm"].actions == frozenset(ACTIONS)

    @pytest.mark.parametrize(
        "name",
        [
            "projects/p/secrets/s/versions/latest",
            "projects/my-project-1/secrets/meta_token-2/versions/17",
            "env:META_TOKEN",
        ],
    )
    def test_names_of_secrets(self, name: str) -> None:
        assert parse(with_connection(access_token=name)).connections["acme"].access_token == name

    @pytest.mark.parametrize(
        "url",
        ["https://graph.example.com", "https://graph.example.com:8443", "http://127.0.0.1:8080", "http://localhost"],
    )
    def test_addresses_of_meta(self, url: str) -> None:
        assert parse({**SMALLEST, "graph_api": {"url": url}}).graph_api.url == url

    @pytest.mark.parametrize("seconds", [0.1, 1, 60])
    def test_seconds(self, seconds: float) -> None:
        assert parse({**SMALLEST, "graph_api": {"timeout_s": seconds}}).graph_api.timeout_s == seconds

    def test_an_empty_list_of_minimum_identifiers(self) -> None:
        assert parse({**SMALLEST, "minimum_identifiers": []}).minimum_identifiers == ()

    def test_null_is_left_out(self) -> None:
        nothing = dict.fromkeys(EXAMPLE.keys() - SMALLEST.keys())
        document = with_connection(app_secret=None, ad_account_id=None, normalization=None)
        assert parse({**document, **nothing, "default_connection": None}) == parse(SMALLEST)

    def test_a_text_is_read_as_its_bytes_are(self) -> None:
        assert parse_config(orjson.dumps(EXAMPLE).decode()) == parse(EXAMPLE)


#: A source that is sound.
TABLE: Final[Mapping[str, Any]] = {"bigquery": {"table": "p.crm.vip"}}
_URL_WORDS: Final = "graph_api.url must be https://host, or http:// on this machine"
_KEYS_WORDS: Final = "minimum_identifiers must be a list of lists of audience keys that name a person"
#: A document of these keys beside the smallest -> what the one line says.
BAD: Final[list[tuple[Mapping[str, Any], str]]] = [
    ({"colour": "green"}, "colour is not known"),
    ({"graph_api": "v26.0"}, "graph_api must be an object"),
    ({"graph_api": {"version": "26.0"}}, "graph_api.version must be a version such as v26.0"),
    ({"graph_api": {"version": 26.0}}, "graph_api.version must be a version such as v26.0"),
    ({"graph_api": {"version": "v26.0/x"}}, "graph_api.version must be a version such as v26.0"),
    ({"graph_api": {"url": "http://graph.facebook.com"}}, _URL_WORDS),
    ({"graph_api": {"url": "https://graph.facebook.com/"}}, _URL_WORDS),
    ({"graph_api": {"url": "https://a@b.com"}}, _URL_WORDS),
    ({"graph_api": {"url": "http://127.0.0.1.example.com"}}, _URL_WORDS),
    ({"graph_api": {"timeout_s": 0}}, "graph_api.timeout_s must be a number of seconds up to 60"),
    ({"graph_api": {"timeout_s": 61}}, "graph_api.timeout_s must be a number of seconds up to 60"),
    ({"graph_api": {"timeout_s": "10"}}, "graph_api.timeout_s must be a number of seconds up to 60"),
    ({"graph_api": {"timeout_s": True}}, "graph_api.timeout_s must be a number of seconds up to 60"),
    ({"graph_api": {"timeout": 10}}, "graph_api.timeout is not known"),
    ({"default_connection": "globex"}, "default_connection is not among the connections"),
    ({"default_connection": 5}, "default_connection must be a connection's name"),
    ({"connections": {}}, "connections must name at least one connection"),
    ({"connections": {"acme": "token"}}, "connections.acme must be an object"),
    ({"connections": {"acme": {}}}, "connections.acme.access_token is missing"),
    (
        {"connections": {"a/b": ACME}},
        "connections.(a key) must have a name of letters, digits and _, at most 64 (and -)",
    ),
    ({"callers": None}, 'callers is missing; give each caller its keys, or "iam"'),
    ({"callers": "IAM"}, "callers must be an object"),
    ({"callers": ["sgtm"]}, "callers must be an object"),
    ({"callers": {"sgtm": "key"}}, "callers.sgtm must be an object"),
    ({"consent": {"events": "ad_storage"}}, "consent.events must be a list of signals: "),
    ({"consent": {"audiences": ["ad_magic"]}}, "consent.audiences must be a list of signals: "),
    ({"consent": {"segments": [1]}}, "consent.segments must be a list of signals: "),
    ({"consent": {"absent": "unknown"}}, "consent.absent must be one of denied, granted"),
    ({"consent": {"absent": True}}, "consent.absent must be one of denied, granted"),
    ({"consent": {"default": "granted"}}, "consent.default is not known"),
    ({"minimum_identifiers": "EMAIL"}, _KEYS_WORDS),
    ({"minimum_identifiers": ["EMAIL"]}, _KEYS_WORDS),
    ({"minimum_identifiers": [[]]}, _KEYS_WORDS),
    ({"minimum_identifiers": [["email"]]}, _KEYS_WORDS),
    ({"minimum_identifiers": [["EMAIL", 1]]}, _KEYS_WORDS),
    ({"minimum_identifiers": [[["EMAIL"]]]}, _KEYS_WORDS),
    ({"minimum_identifiers": [["LOOKALIKE_VALUE"]]}, _KEYS_WORDS),
    ({"identity": 5}, "identity must be an object"),
    *[
        ({"identity": {"memory": True, "key": "env:KEY"} | identity}, f"identity{problem}")
        for identity, problem in (
            ({"url": "https://x"}, ".url is not known"),
            ({"memory": False}, " must have one of endpoint, firestore, memory and user_id"),
            ({"firestore": {}}, " must have at most one of endpoint, firestore and memory"),
            ({"firestore": {"database": "A"}, "memory": None}, ".firestore.database must be a database's id"),
            ({"firestore": {"collection": "a/b"}, "memory": None}, ".firestore.collection must be a collection's name"),
            ({"firestore": {"projet": "p"}, "memory": None}, ".firestore.projet is not known"),
            ({"key": None}, ".key is missing: what hashes the ids of devices"),
            ({"key": "s3cret"}, ".key must be a secret's name"),
            ({"endpoint": "https://x", "memory": None}, ".access_token is missing"),
            (
                {"endpoint": "http://x.example", "access_token": "env:T", "memory": None},
                ".endpoint must be an https address, or http on this machine",
            ),
            ({"send": ["everything"]}, ".send must be a list of fields: anonymous_id, "),
            ({"cache_s": -1}, ".cache_s must be a whole number from 0 to 3,600"),
            ({"timeout_ms": 0}, ".timeout_ms must be a whole number from 1 to 5,000"),
            ({"timeout_ms": True}, ".timeout_ms must be a whole number from 1 to 5,000"),
            ({"keep_days": 800}, ".keep_days must be a whole number from 1 to 730"),
            ({"anonymous_id": "a b"}, ".anonymous_id must be a path in the event"),
            ({"shared_values": [""]}, ".shared_values must be a list of texts"),
            ({"limits": {"per_device": 0}}, ".limits.per_device must be a whole number from 1 to 1,000"),
            ({"limits": {"per_house": 1}}, ".limits.per_house is not known"),
            ({"enrich": {"fields": ["fbp"]}}, ".enrich.fields must be a list of fields: em, "),
            ({"enrich": {"fbc": "random"}}, ".enrich.fbc must be one of none, first, last"),
            ({"enrich": {"look_back_days": 0}}, ".enrich.look_back_days must be a whole number from 1 to 365"),
            ({"user_id": "true"}, ".user_id must be true or false"),
        )
    ],
    ({"segments": {"prefx": "CA_"}}, "segments.prefx is not known"),
    ({"segments": []}, "segments must be an object"),
    ({"segments": {"prefix": "a\nb"}}, "segments.prefix must be a text of at most 64 characters"),
    ({"segments": {"mapping": {"E_MAIL": ["email"]}}}, "segments.mapping.E_MAIL is no key of an audience and no"),
    ({"segments": {"mapping": {"LOOKALIKE_VALUE": ["v"]}}}, "segments.mapping.LOOKALIKE_VALUE is no key of an aud"),
    (
        {"segments": {"mapping": {"DATA_PROCESSING_OPTIONS": ["v"]}}},
        "segments.mapping.DATA_PROCESSING_OPTIONS is no key",
    ),
    ({"segments": {"mapping": {"EMAIL": "email"}}}, "segments.mapping.EMAIL must be a list of properties"),
    ({"segments": {"mapping": {"EMAIL": [""]}}}, "segments.mapping.EMAIL must be a list of properties"),
    ({"segments": {"mapping": {"EMAIL": []}}}, "segments.mapping.EMAIL must name a property"),
    ({"segments": {"mappings": [1]}}, "segments.mappings must be an object"),
    ({"segments": {"mappings": {"s1": {"FN": 1}}}}, "segments.mappings.s1.FN must be a list of properties"),
    ({"segments": {"mappings": {"s 1": 1}}}, "segments.mappings.(a key) must be an object"),
    ({"segments": {"topic": "projects/p/topics/t"}}, "segments.subscription is missing"),
    ({"segments": {"subscription": "projects/p/subscriptions/t"}}, "segments.topic is missing"),
    ({"segments": {"topic": "t", "subscription": "projects/p/subscriptions/s"}}, "segments.topic must be projects/…"),
    ({"segments": {"topic": "projects/p/topics/t", "subscription": "s"}}, "segments.subscription must be projects/…"),
    ({"segments": {"on_deleted": "ignore"}}, "segments.on_deleted must be one of create, report"),
    ({"segments": {"max_shrink": 1.5}}, "segments.max_shrink must be a number from 0 to 1"),
    ({"segments": {"max_shrink": True}}, "segments.max_shrink must be a number from 0 to 1"),
    ({"sources": []}, "sources must be an object"),
    *[
        ({"sources": {"vip": source}}, f"sources.vip{problem}")
        for source, problem in (
            ({}, " must have one of bigquery and bucket"),
            ({"bigquery": {"table": "p.d.t"}, "bucket": {"uri": "gs://b/o"}}, " must have one of bigquery and bucket"),
            ({"bigquery": {}}, ".bigquery must have one of table and query"),
            ({"bigquery": {"table": "p.d.t", "query": "SELECT 1"}}, ".bigquery must have one of table and query"),
            ({"bigquery": {"table": "crm.vip"}}, ".bigquery.table must be project.dataset.table"),
            ({"bigquery": {"table": "p.d.t` WHERE 1"}}, ".bigquery.table must be project.dataset.table"),
            ({"bigquery": {"query": "  "}}, ".bigquery.query must be a query"),
            ({"bigquery": {"tabel": "p.d.t", "table": "p.d.t"}}, ".bigquery.tabel is not known"),
            ({"bucket": {}}, ".bucket.uri is missing"),
            ({"bucket": {"uri": "s3://b/o"}}, ".bucket.uri must be gs://bucket/object"),
            ({"bucket": {"uri": "gs://b/o", "format": "xlsx"}}, ".bucket.format must be one of ndjson, csv"),
            ({**TABLE, "row_id": "a b"}, ".row_id must be a column's name"),
            ({**TABLE, "schedule": "hourly"}, ".schedule must be five fields, as cron has them"),
            ({**TABLE, "schedule": "0 3 * * *"}, ".schedule needs a segment and a change"),
            ({**TABLE, "change": "enter"}, ".change must be one of sync, mirror, replace"),
            ({**TABLE, "segment": {"name": "VIP"}}, ".segment.id is missing"),
            ({**TABLE, "segment": {"id": "x" * 129}}, ".segment.id must be a text of at most 128 characters"),
            ({**TABLE, "every": "hour"}, ".every is not known"),
        )
    ],
    ({"delivery_log": "meta_relay.delivery_log"}, "delivery_log must be project.dataset.table"),
    ({"delivery_log": {"table": "p.d.t"}}, "delivery_log must be project.dataset.table"),
    ({"health_log": "health_log"}, "health_log must be project.dataset.table"),
    ({"log_level": "TRACE"}, "log_level must be one of DEBUG, INFO, WARNING, ERROR"),
    ({"log_level": "info"}, "log_level must be one of DEBUG, INFO, WARNING, ERROR"),
    ({"queue": {"topic": "projects/p/topics/t"}}, "queue.dead_letter_topic is missing"),
    (
        {
            "queue": {
                "topic": "projects/p/topics/t",
                "dead_letter_topic": "projects/p/topics/d",
                "dead_letter_subscription": "projects/p/topics/d",
            }
        },
        "queue.dead_letter_subscription must be projects/…/subscriptions/…",
    ),
    ({"queue": {"topic": "t", "dead_letter_topic": "projects/p/topics/d"}}, "queue.topic must be projects/…/topics/…"),
    ({"queue": []}, "queue must be an object"),
]
#: The same of the keys of a connection.
BAD_CONNECTION: Final[list[tuple[Mapping[str, Any], str]]] = [
    ({"access_token": "EAABsbCS1iHg"}, "access_token must be a secret's name (projects/…"),
    ({"access_token": "projects/p/secrets/s"}, "access_token must be a secret's name (projects/…"),
    ({"access_token": "projects/p/secrets/s/versions/newest"}, "access_token must be a secret's name (projects/…"),
    ({"access_token": "env:"}, "access_token must be a secret's name (projects/…"),
    ({"access_token": ["env:A"]}, "access_token must be a secret's name (projects/…"),
    ({"app_secret": "0123456789abcdef"}, "app_secret must be a secret's name (projects/…"),
    ({"app_id": "a b"}, "app_id must be letters, digits and _, at most 64"),
    ({"ad_account_id": "act_"}, "ad_account_id must be letters, digits and _, at most 64"),
    ({"ad_account_id": "12/34"}, "ad_account_id must be letters, digits and _, at most 64"),
    ({"ad_account_id": 1234567890}, "ad_account_id must be letters, digits and _, at most 64"),
    ({"dataset_id": "1?x"}, "dataset_id must be letters, digits and _, at most 64"),
    ({"test_event_code": "TEST 1"}, "test_event_code must be letters, digits and _, at most 64"),
    ({"default_currency": "eur"}, "default_currency must be an ISO 4217 code"),
    ({"default_country": "DEU"}, "default_country must be an ISO 3166-1 alpha-2 code"),
    ({"date_order": "ymd"}, "date_order must be one of mdy, dmy"),
    ({"external_id": "clear"}, "external_id must be one of hash, plain"),
    ({"normalization": "keep"}, "normalization must be an object"),
    ({"normalization": {"name_spaces": True}}, "normalization.name_spaces must be one of keep, drop"),
    ({"normalization": {"city_marks": "drop"}}, "normalization.city_marks must be one of keep, strip"),
    ({"normalization": {"gender_words": ["Frau"]}}, 'normalization.gender_words must give "f" or "m" for each word'),
    ({"normalization": {"gender_words": {"x": "d"}}}, 'normalization.gender_words must give "f" or "m" for each word'),
    (
        {"normalization": {"gender_words": {"x": ["f"]}}},
        'normalization.gender_words must give "f" or "m" for each word',
    ),
    ({"normalization": {"case": "keep"}}, "normalization.case is not known"),
    ({"pixel": "1"}, "pixel is not known"),
]
#: The same of the keys of a caller.
BAD_CALLER: Final[list[tuple[Mapping[str, Any], str]]] = [
    ({"keys": "env:KEY"}, "keys must be a list of a secret's name"),
    ({"keys": ["the-key-itself"]}, "keys must be a list of a secret's name"),
    ({"keys": [None]}, "keys must be a list of a secret's name"),
    ({"connections": ["globex"]}, "connections must be a list of connections that are configured"),
    ({"connections": "acme"}, "connections must be a list of connections that are configured"),
    ({"connections": [["acme"]]}, "connections must be a list of connections that are configured"),
    ({"actions": ["delete"]}, "actions must be a list of actions: events, add, remove"),
    ({"actions": "add"}, "actions must be a list of actions: events, add, remove"),
    ({"may_lower_consent": "true"}, "may_lower_consent must be true or false"),
    ({"may_lower_consent": 1}, "may_lower_consent must be true or false"),
    ({"key": ["env:KEY"]}, "key is not known"),
]
ALL_BAD: Final = [
    *(({**SMALLEST, **more}, line) for more, line in BAD),
    *((with_connection(**more), f"connections.acme.{line}") for more, line in BAD_CONNECTION),
    *((with_caller(**more), f"callers.sgtm.{line}") for more, line in BAD_CALLER),
]


class TestUnsound:
    @pytest.mark.parametrize(
        ("document", "expected"),
        [pytest.param(document, line, id=f"{number} {line}") for number, (document, line) in enumerate(ALL_BAD)],
    )
    def test_a_problem_is_told_with_its_place(self, document: dict[str, Any], expected: str) -> None:
        (line,) = problems(document)
        assert line[: len(expected)] == expected

    def test_all_problems_are_told_in_one_message(self) -> None:
        document = {
            "graph_api": {"version": "26", "timeout_s": -1},
            "connections": {"acme": {"app_secret": "x", "pixel": 1}, "globex": []},
            "callers": {"sgtm": {"keys": ["k"], "connections": ["other"]}},
            "consent": {"absent": "no"},
            "queue": {},
            "colour": 1,
        }
        assert sorted(line.split(" ")[0] for line in problems(document)) == [
            "callers.sgtm.connections",
            "callers.sgtm.keys",
            "colour",
            "connections.acme.access_token",
            "connections.acme.app_secret",
            "connections.acme.pixel",
            "connections.globex",
            "consent.absent",
            "graph_api.timeout_s",
            "graph_api.version",
            "queue.dead_letter_topic",
            "queue.topic",
        ]

    @pytest.mark.parametrize("document", [[], "text", 5, None, True])
    def test_what_is_no_object_is_told_as_such(self, document: object) -> None:
        assert problems(document)[0] == "the document must be an object"

    @pytest.mark.parametrize(
        ("text", "line"),
        [
            pytest.param("", 1, id="empty"),
            pytest.param('{"connections": {\n"acme": {},\n}', 2, id="trailing comma"),
            pytest.param('{"a": NaN}', 1, id="NaN"),
            pytest.param('\n\n{"a"\n', 4, id="cut off"),
        ],
    )
    def test_what_is_no_json_is_told_by_its_line(self, text: str, line: int) -> None:
        with pytest.raises(ConfigurationError) as caught:
            parse_config(text)
        assert caught.value.message == f"the configuration is not JSON: line {line}"

    @given(
        st.recursive(
            st.none()
            | st.booleans()
            | st.integers(-9, 99)
            | st.sampled_from(["acme", "iam", "env:A", "v26.0", "EMAIL", ""]),
            lambda inner: (
                st.lists(inner, max_size=2)
                | st.dictionaries(
                    st.sampled_from([*EXAMPLE, *EXAMPLE["connections"]["acme"], *EXAMPLE["callers"]["sgtm"], "acme"]),
                    inner,
                    max_size=4,
                )
            ),
            max_leaves=15,
        )
    )
    def test_any_json_is_a_configuration_or_a_configuration_error(self, document: Any) -> None:
        try:
            config = parse(document)
        except ConfigurationError:
            return
        assert isinstance(config, Config)


CANARY: Final = "EAAB7c1fCanary+/=" + "x" * 60


def places(node: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    yield path
    inner = node.items() if isinstance(node, Mapping) else enumerate(node) if isinstance(node, list) else ()
    for key, value in inner:
        yield from places(value, (*path, key))


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda _: CANARY, id="as a text"),
        pytest.param(lambda _: [CANARY], id="in a list"),
        pytest.param(lambda _: {CANARY: CANARY}, id="as key and value"),
        pytest.param(lambda old: {**old, CANARY: CANARY} if isinstance(old, dict) else old, id="as a further key"),
        pytest.param(lambda old: [*old, CANARY] if isinstance(old, list) else CANARY, id="as a further item"),
    ],
)
def test_no_message_holds_a_value_that_was_pasted_in(change: Any) -> None:
    refused = 0
    for path in places(EXAMPLE):
        if not path:
            continue
        document: Any = copy.deepcopy(dict(EXAMPLE))
        node = document
        for key in path[:-1]:
            node = node[key]
        node[path[-1]] = change(node[path[-1]])
        try:
            parse(document)
        except ConfigurationError as error:
            refused += 1
            shown = f"{error!r} {error.facts()} {''.join(traceback.format_exception(error))}"
            assert "7c1fCanary" not in shown, path
    assert refused > 5


def test_a_document_that_is_no_json_is_not_repeated() -> None:
    with pytest.raises(ConfigurationError) as caught:
        parse_config('{"access_token": "' + CANARY)
    assert "7c1fCanary" not in "".join(traceback.format_exception(caught.value))
