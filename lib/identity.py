"""
Whom an event is about, as far as it says itself, and what is added where somebody is recognised.

`resolve(identifiers) -> identity` stands between the gate and normalization; this module has both of its sides.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from hashlib import blake2b, sha256
from typing import Final, Literal

from lib.cells import as_text
from lib.click_ids import BrowserId
from lib.common_event import CommonEvent, Finding, Paths
from lib.hashing import DIGEST_LENGTHS, as_sha256_hex, sha256_hex
from lib.identifiers import AUDIENCE_KEYS, EXTERN_ID, IDENTIFIERS
from lib.identity_links import DEVICES, PERSONAL, RANK, Key, kind_of
from lib.identity_settings import Enrichment
from lib.normalization import BLANKS, Context, Settings, UnusableValueError, clean
from lib.regions import country_code

_DAY_S: Final = 86_400
#: Values of one kind that an event is asked for.
_MOST: Final = 3
#: Of any id; a click id is the longest.
_LONGEST: Final = 2_100

#: Mailboxes that belong to a role, and to whoever has it: "info@" is nobody.
#: -- https://www.rfc-editor.org/rfc/rfc2142, and what shops and forms are filled with
_SHARED_MAILBOXES: Final = frozenset(
    {
        *("abuse", "admin", "contact", "hello", "help", "hostmaster", "info", "mail", "marketing", "noreply"),
        *("no-reply", "office", "postmaster", "sales", "security", "service", "shop", "support", "test", "webmaster"),
        *("asdf", "guest", "kontakt", "anonymous", "none", "nomail", "unknown", "buchhaltung", "rechnung"),
    }
)
#: What stands where there is no id: `0`, `00000000-0000-…`, `anonymous`.
_ZEROS = re.compile(r"[^0-9A-Za-z]*0(?:0|[^0-9A-Za-z])*")
#: What forms are filled with that insist on a phone: `1111111`, with the country before it or without.
_ONE_DIGIT = re.compile(r"[0-9]{0,5}?([0-9])\1{3,}")
_NO_IDS: Final = frozenset({"anonymous", "guest", "unknown", "test", "false", "true", "-", "deleted", "optout"})
#: The same, hashed by somebody who did not look.
_HASHES_OF_NOBODY: Final = frozenset(
    sha256_hex(spelled)
    for text in (*BLANKS, *_NO_IDS, "0", "n/a", "na", "no", "email", "noemail", "test@test.com", "test@example.com")
    for spelled in {text, text.upper(), text.capitalize()}
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Identifiers:
    """
    What an event says of whom it is about.

    Args:
        devices: Kind -> what names a browser, a device or an installation, as it came; in the order of `DEVICES`.
        persons: `external_id`, `em` and `ph` -> their hashes.
        clear: The normal forms of `em` and `ph` in clear text, for a service that may have it; none that came hashed.
        fbc: The click that the event came by.
        event_name: As it came.
        time: Of the event, in Unix seconds.
    """

    devices: Mapping[str, str] = field(default_factory=dict, repr=False)
    persons: Mapping[str, tuple[str, ...]] = field(default_factory=dict, repr=False)
    clear: Mapping[str, str] = field(default_factory=dict, repr=False)
    fbc: str = field(default="", repr=False)
    event_name: str = field(default="", repr=False)
    time: int = 0

    def __bool__(self) -> bool:
        return bool(self.devices or self.persons)


Outcome = Literal["hit", "miss", "failed"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """
    Who somebody is, as far as it is known.

    Args:
        source: Who says so: `omni`, `graph`, or `first_party` for an id that was made of the event's own.
        outcome: `hit` if the person was known before.
        person_id: Of the person; `""` for nobody.
        fields: Meta's key -> hash; `external_id` is the customer number that the person was seen with.
        clicks: Time in Unix seconds and fbc, the first of them first.
        read: What the resolver wants back when it learns of the event.
    """

    source: str
    outcome: Outcome
    person_id: str = field(default="", repr=False)
    fields: Mapping[str, str] = field(default_factory=dict, repr=False)
    clicks: Sequence[tuple[int, str]] = field(default=(), repr=False)
    read: object = field(default=None, repr=False, compare=False)


#: Where an event holds what names a browser, a device or an installation of an app.
DEVICE_PATHS: Final[Mapping[str, tuple[str, ...]]] = {
    "client_id": ("client_id", "x-ga-mp2-data[client_id]", "x-ga-js_client_id"),
    "device_id": ("x-ga-app_instance_id", "app_instance_id", "x-ga-resettable_device_id", "device_id"),
    **{row.user_data: row.event for row in IDENTIFIERS if row.user_data in {"madid", "fbp"}},
}
_FOUND_AT: Final = Paths(
    {**DEVICE_PATHS, "event_name": ("event_name",)}
    | {row.user_data: row.event for row in IDENTIFIERS if row.user_data in {*PERSONAL, "country", "fbc"}}
)


def identifiers_of(
    event: CommonEvent,
    *,
    overrides: Mapping[str, object],
    cookies: Mapping[str, str],
    settings: Settings,
    time: int = 0,
    anonymous_id: str = "",
    anonymous_path: str | None = None,
    with_event: bool = True,
) -> Identifiers:
    """
    Return what *event* says of whom it is about; what cannot be used is left out, and told of where events are built.

    Args:
        overrides: Meta's keys, which win over all.
        cookies: Those of the body.
        time: Of the event, in Unix seconds.
        anonymous_id: Such an id that the caller states.
        anonymous_path: Where the event may hold one.
        with_event: Whether the event's name and click are wanted too.
    """
    stated = _Stated(_FOUND_AT.find(event), overrides, cookies)
    if anonymous_path and not anonymous_id:
        anonymous_id = as_text(event.get(anonymous_path)) or ""
    forms = _persons(stated, settings)
    return Identifiers(
        devices=_devices(stated, anonymous_id),
        persons={kind: tuple([digest for _, digest in normal]) for kind, normal in forms.items()},
        clear={kind: forms[kind][0][0] for kind in ("em", "ph") if kind in forms and forms[kind][0][0]},
        fbc=stated.first("fbc") if with_event else "",
        event_name=stated.first("event_name") if with_event else "",
        time=time,
    )


def _devices(stated: _Stated, anonymous_id: str) -> dict[str, str]:
    devices = {}
    if anonymous_id and (text := clean(anonymous_id)) and not _is_filler(text):
        devices["anonymous_id"] = text
    for kind in DEVICES[1:]:
        if kind in stated and (text := stated.first(kind)) and not _is_filler(text):
            devices[kind] = text
    return devices


def _persons(stated: _Stated, settings: Settings) -> dict[str, list[tuple[str, str]]]:
    """Return the normal forms and hashes of what names a person, by kind."""
    context = Context(settings)
    forms = {}
    for kind in PERSONAL:
        if kind in stated and (texts := stated.texts(kind)):
            if kind == "ph":
                context.country = stated.country()
            if normal := _normal_forms(texts, kind, context):
                forms[kind] = normal
    return forms


@dataclass(frozen=True, slots=True)
class _Stated:
    """What an event states of one thing, wherever: in overrides, else in cookies, else in itself."""

    found: Mapping[str, Sequence[Finding]]
    overrides: Mapping[str, object]
    cookies: Mapping[str, str]

    def __contains__(self, name: str) -> bool:
        return name in self.found or name in self.overrides or bool(self.cookies)

    def texts(self, name: str) -> Sequence[str]:
        """Return up to three texts that say something."""
        if name in self.overrides and (texts := _texts((self.overrides[name],))):
            return texts
        if self.cookies and (cookie := f"_{name}") in self.cookies and (texts := _texts((self.cookies[cookie],))):
            return texts
        return _texts([value for _, _, value in self.found[name]]) if name in self.found else ()

    def first(self, name: str) -> str:
        """Return the first of them, `""` if there is none."""
        texts = self.texts(name)
        return texts[0] if texts else ""

    def country(self) -> str | None:
        """Return the country in alpha-2."""
        return next((code for text in self.texts("country") if (code := country_code(text))), None)


def in_user_data(person: Mapping[str, Sequence[object]]) -> dict[str, object]:
    """Return *person*, which is audience key -> values, under the keys of user_data."""
    return {
        AUDIENCE_KEYS[key].user_data: list(values)
        for key, values in person.items()
        if key in AUDIENCE_KEYS and AUDIENCE_KEYS[key].user_data
    }


def _texts(values: Sequence[object]) -> Sequence[str]:
    """Return the texts of *values*, of which each may be a list; at most three that say something."""
    if len(values) == 1 and type(values[0]) is str:
        text = clean(values[0])
        return (text,) if text and len(text) <= _LONGEST else ()
    texts: dict[str, None] = {}
    for value in values:
        for part in value if isinstance(value, list) else (value,):
            text = clean(as_text(part) or "")
            if text and len(text) <= _LONGEST:
                texts[text] = None
    return tuple(texts)[:_MOST]


def _normal_forms(texts: Sequence[str], kind: str, context: Context) -> list[tuple[str, str]]:
    """Return the normal form of each text, `""` where it came hashed, and its hash; without what names several."""
    forms: dict[str, str] = {}
    for text in texts:
        digest = as_sha256_hex(text) if len(text) in DIGEST_LENGTHS else None
        if digest is not None:
            if digest[0] not in _HASHES_OF_NOBODY:
                forms.setdefault(digest[0], "")
            continue
        try:
            normal = _RULES[kind](text, context)
        except UnusableValueError:
            continue
        if normal and not _NAMES_SEVERAL[kind](normal):
            forms[sha256_hex(normal)] = normal
    return [(normal, digest) for digest, normal in forms.items()]


def digest_of(kind: str, text: object, settings: Settings) -> str:
    """Return the hash of an e-mail (`em`), phone or id that somebody else states; `""` if it is none."""
    return next((digest for _, digest in _normal_forms(_texts((text,)), kind, Context(settings))), "")


def _is_filler(text: str) -> bool:
    return _ZEROS.fullmatch(text) is not None or text.casefold() in _NO_IDS


_RULES: Final = {row.user_data: row.rule for row in IDENTIFIERS if row.user_data in PERSONAL}
_NAMES_SEVERAL: Final[Mapping[str, Callable[[str], object]]] = {
    "external_id": _is_filler,
    "em": lambda address: address.partition("@")[0] in _SHARED_MAILBOXES,
    "ph": _ONE_DIGIT.fullmatch,
}


def keys_of(identifiers: Identifiers, secret: bytes, shared: Collection[Key] = ()) -> tuple[Key, ...]:
    """
    Return the identity graph's keys, those of devices first and in the order of `DEVICES`.

    Of a person they are Meta's own hashes, which is what they are kept for; of a device hashes with *secret*, since its
    ids are known to others, too.

    Args:
        shared: Keys of values that belong to several people.
    """
    devices = [(kind, _keyed(secret, f"{kind}:{value}")) for kind, value in identifiers.devices.items()]
    persons = [(kind, digest) for kind, digests in identifiers.persons.items() for digest in digests]
    keys = (f"{kind}:{digest}" for kind, digest in (*devices, *persons))
    return tuple(key for key in keys if key not in shared)


def shared_keys(values: Iterable[str], secret: bytes, countries: Iterable[Settings]) -> frozenset[Key]:
    """Return the keys that *values* have as whatever they can be: an e-mail, a phone of any connection, any id."""
    keys: set[Key] = set()
    texts = [clean(value) for value in values]
    for text in filter(None, texts):
        keys |= {f"{kind}:{_keyed(secret, f'{kind}:{text}')}" for kind in DEVICES}
        for settings in countries:
            for kind in PERSONAL:
                keys |= {f"{kind}:{digest}" for _, digest in _normal_forms([text], kind, Context(settings))}
    return frozenset(keys)


def _keyed(secret: bytes, text: str) -> str:
    """Return a hash of *text* that nobody can make without *secret*: BLAKE2b with a key, RFC 7693."""
    return blake2b(text.encode(), key=_derived(secret), digest_size=16).hexdigest()


@lru_cache(maxsize=4)
def _derived(secret: bytes) -> bytes:
    """Return a key of the right length."""
    return sha256(secret).digest()


def first_key(keys: Iterable[Key]) -> Key:
    """Return the one of several keys by which a person would be named who is seen for the first time."""
    return min(keys, key=lambda key: RANK[kind_of(key)])


def person_id(secret: bytes, key: Key) -> str:
    """Return the id of the person who is named by *key*: in the form of a UUID, the same on every instance."""
    digest = _keyed(secret, f"person:{key}")
    return "-".join((digest[:8], digest[8:12], digest[12:16], digest[16:20], digest[20:]))


def additions(
    user_data: Mapping[str, object],
    identity: Identity,
    wanted: Enrichment,
    *,
    hash_external_id: bool,
    time: int,
) -> dict[str, object]:
    """
    Return what *identity* adds to *user_data*, which it never changes: only what is missing, hashed as Meta wants it.

    Args:
        time: Of the event, in Unix seconds; a click must lie within the look-back window before it.
    """
    added: dict[str, object] = {
        key: [value] for key, value in identity.fields.items() if key not in user_data and key in wanted.fields
    }
    if wanted.external_id and "external_id" not in user_data and identity.person_id:
        if hash_external_id:
            known = identity.fields.get("external_id")
            added["external_id"] = [*([known] if known else []), sha256_hex(identity.person_id)]
        else:
            added["external_id"] = [identity.person_id]
    if "fbc" not in user_data and (fbc := _click(identity.clicks, wanted, time)):
        added["fbc"] = fbc
    return added


def _click(clicks: Sequence[tuple[int, str]], wanted: Enrichment, time: int) -> str:
    if wanted.fbc == "none":
        return ""
    earliest = time - wanted.look_back_days * _DAY_S
    within = [fbc for clicked, fbc in clicks if earliest <= clicked <= time]
    if not within:
        return ""
    return within[0] if wanted.fbc == "first" else within[-1]


def as_fbc(click: str, time: int) -> str:
    """Return *click*, an fbc or a bare click id seen at *time* in Unix seconds, in Meta's form; `""` for neither."""
    known = BrowserId.parse(click) or BrowserId.parse(f"fb.1.{1000 * time}.{click}")
    return str(known) if known is not None else ""


def for_audience(identity: Identity, person: Mapping[str, object], wanted: Enrichment) -> dict[str, list[object]]:
    """Return what *identity* adds to a person under audience keys; as hashes, which pass as they are."""
    # A whole date of birth is three columns to an audience, and a hash of it none of them.
    added: dict[str, list[object]] = {
        key: [identity.fields[row.user_data]]
        for key, row in AUDIENCE_KEYS.items()
        if row.user_data in wanted.fields and row.user_data in identity.fields and key not in {*person, "DOB"}
    }
    if wanted.external_id and identity.person_id and EXTERN_ID not in person:
        added[EXTERN_ID] = [identity.person_id]
    return added


FACTS: Final = ("fn", "ln", "ct", "st", "zp", "country", "db", "ge")


def facts_of(user_data: Mapping[str, object]) -> dict[str, str]:
    """Return the first hash of each fact that an event itself states."""
    facts = {}
    for key in FACTS:
        cells = user_data.get(key)
        if isinstance(cells, list) and cells and isinstance(cells[0], str):
            facts[key] = cells[0][:64]
    return facts
