"""
The configuration document (design section 5): one JSON object, parsed once and strictly.

All that is wrong with it is found in one reading and told in one message that names places, never values: a token
that somebody pasted here by mistake must not end up in a log.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Final, Literal

import orjson

from lib.consent import SIGNALS, Absent
from lib.errors import ConfigurationError
from lib.identifiers import AUDIENCE_KEYS, CDP_MAPPING, NOT_IDENTIFYING
from lib.identity_settings import (
    CLICKS,
    DEFAULT_SENT,
    FIELDS,
    SENT,
    Click,
    Enrichment,
    FirestoreSettings,
    IdentitySettings,
    Limits,
    OmniSettings,
)
from lib.normalization import DateOrder

ACTIONS: Final = (
    "events", "add", "remove", "remove_from_all", "replace", "enter", "leave", "sync", "mirror", "erase",
)  # fmt: skip
#: What a caller may do that is configured with its keys alone.
DEFAULT_ACTIONS: Final = frozenset({"events", "add", "remove", "enter", "leave"})
#: An id of an audience, ad account or dataset: nothing that could change a path.
ID: Final = re.compile(r"[A-Za-z0-9_]{1,64}", re.ASCII)


#: What names a person well enough, unless configured otherwise: a ZIP code alone, say, does not.
MINIMUM_IDENTIFIERS: Final = (
    ("EMAIL",),
    ("PHONE",),
    ("MADID",),
    ("EXTERN_ID",),
    ("FN", "LN", "ZIP"),
    ("FN", "LN", "CT"),
    ("FN", "LN", "DOB"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class GraphAPISettings:
    """Where Meta is: *url* without a slash at its end, *timeout_s* seconds for one call."""

    version: str = "v26.0"
    url: str = "https://graph.facebook.com"
    timeout_s: float = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Connection:
    """Credentials and defaults under a name; *access_token* and *app_secret* name secrets, and hold none."""

    name: str
    access_token: str
    app_secret: str | None = None
    app_id: str | None = None
    ad_account_id: str | None = None
    dataset_id: str | None = None
    test_event_code: str | None = None
    default_currency: str | None = None
    default_country: str | None = None
    date_order: DateOrder = "mdy"
    external_id: Literal["hash", "plain"] = "hash"
    name_spaces: Literal["keep", "drop"] = "keep"
    city_marks: Literal["keep", "strip"] = "keep"
    gender_words: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """Who may call: *keys* name secrets. *connections* None means all of them."""

    name: str
    keys: tuple[str, ...] = ()
    connections: frozenset[str] | None = None
    actions: frozenset[str] = frozenset(ACTIONS)
    may_lower_consent: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ConsentSettings:
    """The signals that each kind of request requires, and what an unstated one counts as."""

    events: tuple[str, ...] = ("ad_storage", "ad_user_data")
    audiences: tuple[str, ...] = ("ad_storage", "ad_user_data", "ad_personalization")
    segments: tuple[str, ...] = ()
    absent: Absent = "denied"


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueSettings:
    """Topics by their full names; *dead_letter_subscription* is where the command `replay` finds dead letters."""

    topic: str
    dead_letter_topic: str
    dead_letter_subscription: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """
    Where the members of a segment are read from: exactly one of *table*, *query* and *uri*.

    Args:
        table: `project.dataset.table` in BigQuery.
        query: GoogleSQL whose rows are the members.
        uri: `gs://bucket/object`, with a member a line; `*` in it stands for any text, and gzip is recognised.
        format: Of the file.
        row_id: The column that names a row, so that a rejected one can be found again.
        schedule: When it is read by itself, in cron's words; Terraform makes a Scheduler job of it.
        segment: Id and name of the segment that it holds, where it is read by itself.
        change: What is then done with it.
    """

    name: str
    table: str | None = None
    query: str | None = None
    uri: str | None = None
    format: Literal["ndjson", "csv"] = "ndjson"
    row_id: str | None = None
    schedule: str | None = None
    segment: Mapping[str, str] | None = None
    change: Literal["sync", "mirror", "replace"] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SegmentSettings:
    """
    How a CDP's segments become audiences.

    Args:
        prefix: Begins the name of each audience that is made for a segment.
        mapping: Audience key, or signal of consent -> the properties of a CDP's user that hold it, with `.` between
            the keys of nested objects.
        mappings: Segment id -> its own mapping, in place of the common one.
        topic: Where `enter` and `leave` are gathered, by its full name; None sends each at once.
        subscription: From which a flush pulls them; ordered.
        on_deleted: Whether an audience that is gone from Meta is made anew, or a person is told.
        max_shrink: The share of an audience that a `replace` may take away at most, from 0 to 1.
    """

    prefix: str = "CA_"
    mapping: Mapping[str, tuple[str, ...]] = field(default_factory=lambda: CDP_MAPPING)
    mappings: Mapping[str, Mapping[str, tuple[str, ...]]] = field(default_factory=dict)
    topic: str | None = None
    subscription: str | None = None
    on_deleted: Literal["create", "report"] = "create"
    max_shrink: float = 0.5

    def mapping_of(self, segment_id: str) -> Mapping[str, tuple[str, ...]]:
        """Return the mapping that the users of a segment are read by."""
        return self.mappings.get(segment_id, self.mapping)


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """
    The document as values.

    Args:
        callers: None means that Cloud Run's IAM does the checking.
        delivery_log: Table of outcomes, `project.dataset.table`; None for the console log alone.
        health_log: Table of what the health checks find; None for the console log alone.
        event_enhancement_key: Names the secret that signs `_gtmeec` cookies; None leaves them alone.
        identity: How people are recognised; None where they are not.
    """

    connections: Mapping[str, Connection]
    callers: Mapping[str, Caller] | None
    default_connection: str | None = None
    graph_api: GraphAPISettings = field(default_factory=GraphAPISettings)
    consent: ConsentSettings = field(default_factory=ConsentSettings)
    minimum_identifiers: tuple[tuple[str, ...], ...] = MINIMUM_IDENTIFIERS
    delivery_log: str | None = None
    health_log: str | None = None
    log_level: str = "INFO"
    queue: QueueSettings | None = None
    event_enhancement_key: str | None = None
    sources: Mapping[str, Source] = field(default_factory=dict)
    segments: SegmentSettings | None = None
    identity: IdentitySettings | None = None


def parse_config(text: str | bytes) -> Config:
    """
    Return the configuration that *text* states.

    Raises:
        ConfigurationError: Its message lists every problem, and no value.
    """
    try:
        document = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise ConfigurationError(f"the configuration is not JSON: line {error.lineno}") from None
    problems = _Problems()
    config = _config(_Object(document, "", problems))
    if problems or config is None:
        raise ConfigurationError("the configuration has problems:\n  - " + "\n  - ".join(problems))
    return config


class _Problems(list[str]):
    """What is wrong, each with its place."""


class _Object:
    """One JSON object that is being read: each key is asked for once, and what is never asked for is unknown."""

    def __init__(self, value: object, where: str, problems: _Problems) -> None:
        self.where = where
        self.problems = problems
        self._asked: set[str] = set()
        self._is_object = isinstance(value, dict)
        self._value: Mapping[str, object] = value if isinstance(value, dict) else {}
        if not self._is_object:
            self.problem("", "must be an object")

    def place(self, key: str) -> str:
        return f"{self.where}.{key}" if self.where and key else self.where or key or "the document"

    def problem(self, key: str, text: str) -> None:
        self.problems.append(f"{self.place(key)} {text}")

    def take(self, key: str) -> object:
        self._asked.add(key)
        return self._value.get(key)

    def __contains__(self, key: str) -> bool:
        return self.take(key) is not None

    def text(self, key: str, pattern: str, what: str, *, required: bool = False) -> str | None:
        value = self.take(key)
        if value is None:
            if required and self._is_object:
                self.problem(key, "is missing")
            return None
        if not isinstance(value, str) or not re.fullmatch(pattern, value, re.ASCII):
            self.problem(key, f"must be {what}")
            return None
        return value

    def choice(self, key: str, choices: Collection[str]) -> str | None:
        return self.text(key, "|".join(map(re.escape, choices)), "one of " + ", ".join(choices))

    def texts(self, key: str, allowed: Callable[[str], bool], what: str) -> tuple[str, ...] | None:
        value = self.take(key)
        if value is None:
            return None
        if not isinstance(value, list) or not all(isinstance(one, str) and allowed(one) for one in value):
            self.problem(key, f"must be a list of {what}")
            return None
        return tuple(value)

    def boolean(self, key: str) -> bool:
        value = self.take(key)
        if value is not None and not isinstance(value, bool):
            self.problem(key, "must be true or false")
        return value is True

    def seconds(self, key: str, default: float) -> float:
        value = self.take(key)
        if value is None:
            return default
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value <= 60:
            self.problem(key, "must be a number of seconds up to 60")
            return default
        return float(value)

    def share(self, key: str, default: float) -> float:
        value = self.take(key)
        if value is None:
            return default
        if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1:
            self.problem(key, "must be a number from 0 to 1")
            return default
        return float(value)

    def object(self, key: str) -> _Object:
        return _Object(self.take(key) if key in self else {}, self.place(key), self.problems)

    def objects(self, key: str) -> dict[str, _Object]:
        """Return the objects under names of one's own choosing."""
        value = self.take(key)
        if not isinstance(value, dict):
            if value is not None:
                self.problem(key, "must be an object")
            return {}
        return {name: _Object(one, f"{self.place(key)}.{_shown(name)}", self.problems) for name, one in value.items()}

    def keys(self) -> set[str]:
        return set(self._value)

    def end(self) -> None:
        """Tell of what nobody asked for."""
        for key in sorted(self._value.keys() - self._asked):
            self.problem(_shown(key), "is not known")


def _shown(key: str) -> str:
    """Return *key* if it looks like a key, and not like a value that slipped in."""
    return key if re.fullmatch(r"[A-Za-z_][A-Za-z0-9_-]{0,31}", key) else "(a key)"


_SECRET = r"projects/[^/\s]+/secrets/[^/\s]+/versions/(latest|\d+)|env:[A-Za-z_][A-Za-z0-9_]*"  # noqa: S105 - a pattern
_SECRET_WORDS = "a secret's name (projects/…/secrets/…/versions/…, or env:NAME), never the secret itself"  # noqa: S105 - as above
_TOPIC = r"projects/[^/\s]+/topics/[^/\s]+"
_TOPIC_WORDS = "projects/…/topics/…"
_SUBSCRIPTION = r"projects/[^/\s]+/subscriptions/[^/\s]+"
_SUBSCRIPTION_WORDS = "projects/…/subscriptions/…"
_TABLE = r"[^.\s]+\.[^.\s]+\.[^.\s]+"
_TABLE_WORDS = "project.dataset.table"
_ID_WORDS = "letters, digits and _, at most 64"


def _config(root: _Object) -> Config | None:
    connections = {name: _connection(name, one) for name, one in root.objects("connections").items()}
    if not connections:
        root.problem("connections", "must name at least one connection")
    default = root.text("default_connection", r".{1,64}", "a connection's name")
    if default is None and len(connections) == 1:
        default = next(iter(connections))
    elif default is not None and default not in connections:
        root.problem("default_connection", "is not among the connections")
    queue = _queue(root.object("queue")) if "queue" in root else None
    config = Config(
        connections=connections,
        callers=_callers(root, connections, default),
        default_connection=default,
        graph_api=_graph_api(root.object("graph_api")),
        consent=_consent(root.object("consent")),
        minimum_identifiers=_minimum_identifiers(root),
        delivery_log=root.text("delivery_log", _TABLE, _TABLE_WORDS),
        health_log=root.text("health_log", _TABLE, _TABLE_WORDS),
        log_level=root.choice("log_level", ("DEBUG", "INFO", "WARNING", "ERROR")) or "INFO",
        queue=queue,
        event_enhancement_key=_event_enhancement(root.object("event_enhancement")),
        sources={name: _source(name, one) for name, one in root.objects("sources").items()},
        segments=_segments(root.object("segments")) if "segments" in root else None,
        identity=_identity(root.object("identity")) if "identity" in root else None,
    )
    root.end()
    return config


def _graph_api(part: _Object) -> GraphAPISettings:
    default = GraphAPISettings()
    settings = GraphAPISettings(
        version=part.text("version", r"v\d{1,3}\.\d", "a version such as v26.0") or default.version,
        url=part.text(
            "url",
            r"https://[A-Za-z0-9.-]+(:\d+)?|http://(127\.0\.0\.1|localhost|\[::1\])(:\d+)?",
            "https://host, or http:// on this machine",
        )
        or default.url,
        timeout_s=part.seconds("timeout_s", default.timeout_s),
    )
    part.end()
    return settings


def _connection(name: str, part: _Object) -> Connection:
    if not ID.fullmatch(name.replace("-", "_")):
        part.problem("", f"must have a name of {_ID_WORDS} (and -)")
    account = part.text("ad_account_id", rf"(act_)?+{ID.pattern}", _ID_WORDS)
    country = part.text("default_country", r"[A-Za-z]{2}", "an ISO 3166-1 alpha-2 code")
    normalization = part.object("normalization")
    connection = Connection(
        name=name,
        access_token=part.text("access_token", _SECRET, _SECRET_WORDS, required=True) or "",
        app_secret=part.text("app_secret", _SECRET, _SECRET_WORDS),
        app_id=part.text("app_id", ID.pattern, _ID_WORDS),
        ad_account_id=account and account.removeprefix("act_"),
        dataset_id=part.text("dataset_id", ID.pattern, _ID_WORDS),
        test_event_code=part.text("test_event_code", r"\w{1,64}", _ID_WORDS),
        default_currency=part.text("default_currency", r"[A-Z]{3}", "an ISO 4217 code"),
        default_country=country and country.lower(),
        date_order="dmy" if part.choice("date_order", ("mdy", "dmy")) == "dmy" else "mdy",
        external_id="plain" if part.choice("external_id", ("hash", "plain")) == "plain" else "hash",
        name_spaces="drop" if normalization.choice("name_spaces", ("keep", "drop")) == "drop" else "keep",
        city_marks="strip" if normalization.choice("city_marks", ("keep", "strip")) == "strip" else "keep",
        gender_words=_gender_words(normalization),
    )
    normalization.end()
    part.end()
    return connection


def _gender_words(part: _Object) -> dict[str, str]:
    words = part.take("gender_words")
    if words is None:
        return {}
    if not isinstance(words, dict) or not all(initial in ("f", "m") for initial in words.values()):
        part.problem("gender_words", 'must give "f" or "m" for each word')
        return {}
    return {word.casefold(): initial for word, initial in words.items()}


def _callers(root: _Object, connections: Mapping[str, Connection], default: str | None) -> Mapping[str, Caller] | None:
    if "callers" not in root:
        root.problem("callers", 'is missing; give each caller its keys, or "iam"')
        return {}
    if root.take("callers") == "iam":
        return None
    return {name: _caller(name, one, connections, default) for name, one in root.objects("callers").items()}


def _caller(name: str, part: _Object, connections: Mapping[str, Connection], default: str | None) -> Caller:
    named = part.texts("connections", connections.__contains__, "connections that are configured")
    actions = part.texts("actions", ACTIONS.__contains__, "actions: " + ", ".join(ACTIONS))
    caller = Caller(
        name=name,
        keys=part.texts("keys", lambda key: re.fullmatch(_SECRET, key) is not None, _SECRET_WORDS) or (),
        connections=frozenset(named if named is not None else [default] if default else []),
        actions=frozenset(actions) if actions is not None else DEFAULT_ACTIONS,
        may_lower_consent=part.boolean("may_lower_consent"),
    )
    part.end()
    return caller


def _consent(part: _Object) -> ConsentSettings:
    default = ConsentSettings()
    words = "signals: " + ", ".join(SIGNALS)
    asked = {key: part.texts(key, SIGNALS.__contains__, words) for key in ("events", "audiences", "segments")}
    settings = ConsentSettings(
        events=default.events if asked["events"] is None else asked["events"],
        audiences=default.audiences if asked["audiences"] is None else asked["audiences"],
        segments=default.segments if asked["segments"] is None else asked["segments"],
        absent="granted" if part.choice("absent", ("denied", "granted")) == "granted" else "denied",
    )
    part.end()
    return settings


_IDENTIFYING: Final = AUDIENCE_KEYS.keys() - NOT_IDENTIFYING


def _minimum_identifiers(root: _Object) -> tuple[tuple[str, ...], ...]:
    value = root.take("minimum_identifiers")
    if value is None:
        return MINIMUM_IDENTIFIERS
    if not isinstance(value, list) or not all(
        isinstance(one, list) and one and all(isinstance(key, str) and key in _IDENTIFYING for key in one)
        for one in value
    ):
        root.problem("minimum_identifiers", "must be a list of lists of audience keys that name a person")
        return ()
    return tuple(map(tuple, value))


def _event_enhancement(part: _Object) -> str | None:
    key = part.text("key", _SECRET, _SECRET_WORDS)
    part.end()
    return key


def _queue(part: _Object) -> QueueSettings:
    queue = QueueSettings(
        topic=part.text("topic", _TOPIC, _TOPIC_WORDS, required=True) or "",
        dead_letter_topic=part.text("dead_letter_topic", _TOPIC, _TOPIC_WORDS, required=True) or "",
        dead_letter_subscription=part.text("dead_letter_subscription", _SUBSCRIPTION, _SUBSCRIPTION_WORDS),
    )
    part.end()
    return queue


#: What is read of a source, and as what.
_SOURCE_FORMATS: Final = ("ndjson", "csv")
_SOURCE_CHANGES: Final = ("sync", "mirror", "replace")


def _source(name: str, part: _Object) -> Source:
    if not ID.fullmatch(name.replace("-", "_")):
        part.problem("", f"must have a name of {_ID_WORDS} (and -)")
    if ("bigquery" in part) == ("bucket" in part):
        part.problem("", "must have one of bigquery and bucket")
    bigquery, bucket = part.object("bigquery"), part.object("bucket")
    table = bigquery.text("table", r"[\w-]+\.[\w-]+\.[\w$-]+", "project.dataset.table")
    query = bigquery.text("query", r"(?s).*\S.*", "a query")
    if "bigquery" in part and ("table" in bigquery) == ("query" in bigquery):
        bigquery.problem("", "must have one of table and query")
    has_bucket = "bucket" in part
    uri = bucket.text("uri", r"gs://[^/\s*]+/[^\x00-\x1f]+", "gs://bucket/object", required=has_bucket)
    file_format = bucket.choice("format", _SOURCE_FORMATS)
    source = Source(
        name=name,
        table=table,
        query=query,
        uri=uri,
        format="csv" if file_format == "csv" else "ndjson",
        row_id=part.text("row_id", r"[A-Za-z_]\w{0,127}", "a column's name"),
        schedule=part.text("schedule", r"\S+(\s+\S+){4}", "five fields, as cron has them"),
        segment=_segment(part.object("segment")) if "segment" in part else None,
        change=_change(part),
    )
    if source.schedule and not (source.segment and source.change):
        part.problem("schedule", "needs a segment and a change")
    for one in (bigquery, bucket, part):
        one.end()
    return source


def _segment(part: _Object) -> Mapping[str, str]:
    text = r"[^\x00-\x1f\x7f]{1,128}"
    segment = {key: part.text(key, text, "a text of at most 128 characters", required=key == "id") for key in _SEGMENT}
    part.end()
    return {key: value for key, value in segment.items() if value is not None}


_SEGMENT: Final = ("id", "name")


def _change(part: _Object) -> Literal["sync", "mirror", "replace"] | None:
    part.choice("change", _SOURCE_CHANGES)
    match part.take("change"):
        case "sync" | "mirror" | "replace" as change:
            return change
    return None


_MAPPED: Final = (AUDIENCE_KEYS.keys() - NOT_IDENTIFYING) | set(SIGNALS)


def _segments(part: _Object) -> SegmentSettings:
    default = SegmentSettings()
    prefix = part.text("prefix", r"[^\x00-\x1f\x7f]{0,64}", "a text of at most 64 characters")
    own = part.take("mappings")
    if own is not None and not isinstance(own, dict):
        part.problem("mappings", "must be an object")
    settings = SegmentSettings(
        prefix=default.prefix if prefix is None else prefix,
        mapping=_mapping(part.object("mapping")) if "mapping" in part else default.mapping,
        mappings={
            segment_id: _mapping(_Object(one, f"{part.place('mappings')}.{_shown(segment_id)}", part.problems))
            for segment_id, one in (own.items() if isinstance(own, dict) else ())
        },
        topic=part.text("topic", _TOPIC, _TOPIC_WORDS, required="subscription" in part),
        subscription=part.text("subscription", _SUBSCRIPTION, _SUBSCRIPTION_WORDS, required="topic" in part),
        on_deleted="report" if part.choice("on_deleted", ("create", "report")) == "report" else "create",
        max_shrink=part.share("max_shrink", default.max_shrink),
    )
    part.end()
    return settings


def _mapping(part: _Object) -> dict[str, tuple[str, ...]]:
    """Return which properties of a user hold what; the keys are those of audiences, or signals of consent."""
    for key in sorted(part.keys() - _MAPPED):
        part.take(key)
        part.problem(_shown(key), "is no key of an audience and no signal of consent")
    mapping = {key: part.texts(key, bool, "properties") for key in sorted(part.keys() & _MAPPED)}
    for key, properties in mapping.items():
        if properties == ():
            part.problem(key, "must name a property")
    part.end()
    return {key: properties for key, properties in mapping.items() if properties}


def _identity(part: _Object) -> IdentitySettings | None:
    default = IdentitySettings()
    omni = _omni(part)
    firestore = _firestore(part.object("firestore")) if "firestore" in part else None
    memory = part.boolean("memory")
    settings = IdentitySettings(
        omni=omni,
        firestore=firestore,
        memory=memory,
        key=part.text("key", _SECRET, _SECRET_WORDS),
        timeout_ms=_whole(part, "timeout_ms", default.timeout_ms, most=5_000),
        anonymous_id=part.text("anonymous_id", r"\S{1,128}", "a path in the event, with . between keys"),
        keep_days=_whole(part, "keep_days", default.keep_days, most=730),
        shared_values=part.texts("shared_values", bool, "texts") or (),
        limits=_limits(part.object("limits")),
        enrich=_enrichment(part.object("enrich")),
        user_id=part.boolean("user_id"),
    )
    resolvers = ["endpoint" in part, firestore is not None, memory].count(True)
    if resolvers > 1:
        part.problem("", "must have at most one of endpoint, firestore and memory")
    if not resolvers and not settings.user_id and part.keys():
        part.problem("", "must have one of endpoint, firestore, memory and user_id")
    if "key" not in part and (firestore is not None or memory or settings.user_id):
        part.problem("key", "is missing: what hashes the ids of devices")
    part.end()
    return settings if part.keys() else None


def _omni(part: _Object) -> OmniSettings | None:
    endpoint = part.text(
        "endpoint",
        r"https://[^\s/?#@]+(/[^\s?#]*)?|http://(127\.0\.0\.1|localhost|\[::1\])(:\d+)?(/[^\s?#]*)?",
        "an https address, or http on this machine",
    )
    access_token = part.text("access_token", _SECRET, _SECRET_WORDS, required="endpoint" in part)
    send = part.texts("send", SENT.__contains__, "fields: " + ", ".join(SENT))
    cache_s = _whole(part, "cache_s", 60, least=0, most=3_600)
    if endpoint is None or access_token is None:
        return None
    return OmniSettings(
        endpoint=endpoint,
        access_token=access_token,
        send=DEFAULT_SENT if send is None else send,
        cache_s=float(cache_s),
    )


def _firestore(part: _Object) -> FirestoreSettings:
    default = FirestoreSettings()
    settings = FirestoreSettings(
        database=part.text("database", r"\(default\)|[a-z][a-z0-9-]{2,62}", "a database's id") or default.database,
        collection=part.text("collection", r"[A-Za-z0-9_-]{1,128}", "a collection's name") or default.collection,
    )
    part.end()
    return settings


def _limits(part: _Object) -> Limits:
    names = ("per_device", "per_phone", "per_person", "devices")
    default = Limits()
    limits = Limits(**{name: _whole(part, name, getattr(default, name), most=1_000) for name in names})
    part.end()
    return limits


def _enrichment(part: _Object) -> Enrichment:
    fields = part.texts("fields", FIELDS.__contains__, "fields: " + ", ".join(FIELDS))
    enrichment = Enrichment(
        external_id=part.boolean("external_id") if "external_id" in part else True,
        fields=FIELDS if fields is None else fields,
        fbc=_click(part),
        look_back_days=_whole(part, "look_back_days", Enrichment().look_back_days, most=365),
    )
    part.end()
    return enrichment


def _click(part: _Object) -> Click:
    part.choice("fbc", CLICKS)
    match part.take("fbc"):
        case "first" | "last" as click:
            return click
    return "none"


def _whole(part: _Object, key: str, default: int, *, least: int = 1, most: int) -> int:
    value = part.take(key)
    if value is None:
        return default
    if type(value) is not int or not least <= value <= most:
        part.problem(key, f"must be a whole number from {least} to {most:,}")
        return default
    return value
