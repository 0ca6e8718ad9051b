"""
Whom an event is about, as far as it says itself, and what is added where somebody is recognised.

`resolve(identifiers) -> identity` stands between the gate and normalization; this module has both of its sides.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b, sha256
from typing import Final, Literal

from lib.cells import as_text
from lib.click_ids import BrowserId
from lib.common_event import CommonEvent, Paths
from lib.hashing import DIGEST_LENGTHS, HASH_OF_NOTHING, as_sha256_hex, sha256_hex
from lib.identifiers import AUDIENCE_KEYS, EXTERN_ID, IDENTIFIERS, Identifier
from lib.identity_links import DEVICES, RANK, Key, kind_of
from lib.identity_settings import Enrichment
from lib.normalization import Context, Settings, UnusableValueError, clean
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
_ONE_DIGIT = re.compile(r"[0-9]{0,5}?([0-9])\1{5,}")
_NO_IDS: Final = frozenset({"anonymous", "guest", "unknown", "test", "false", "true", "-", "deleted", "optout"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Identifiers:
    """
    What an event says of whom it is about.

    Args:
        devices: Kind -> what names a browser, a device or an installation, as it came; in the order of `DEVICES`.
        persons: `external_id`, `em` and `ph` -> their hashes.
        email, phone: Their normal form in clear text, for a service that may have it; `""` where they came hashed.
        fbc: The click that the event came by.
        event_name: As it came.
        time: Of the event, in Unix seconds.
    """

    devices: Mapping[str, str] = field(default_factory=dict, repr=False)
    persons: Mapping[str, tuple[str, ...]] = field(default_factory=dict, repr=False)
    email: str = field(default="", repr=False)
    phone: str = field(default="", repr=False)
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


_ROWS: Final = {row.user_data: row for row in IDENTIFIERS if row.user_data in {"em", "ph", "external_id"}}
#: Where an event holds what names a browser, a device or an installation of an app.
DEVICE_PATHS: Final[Mapping[str, tuple[str, ...]]] = {
    "client_id": ("client_id", "x-ga-mp2-data[client_id]", "x-ga-js_client_id"),
    "device_id": ("x-ga-app_instance_id", "app_instance_id", "x-ga-resettable_device_id", "device_id"),
    **{row.user_data: row.event for row in IDENTIFIERS if row.user_data in {"madid", "fbp"}},
}
_FOUND_AT: Final = Paths(
    {**DEVICE_PATHS, "event_name": ("event_name",)}
    | {row.user_data: row.event for row in IDENTIFIERS if row.user_data in {*_ROWS, "country", "fbc"}}
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
) -> Identifiers:
    """
    Return what *event* says of whom it is about; what cannot be used is left out, and told of where events are built.

    Args:
        overrides: Meta's keys, which win over all.
        cookies: Those of the body.
        time: Of the event, in Unix seconds.
        anonymous_id: Such an id that the caller states.
        anonymous_path: Where the event may hold one.
    """
    found = _FOUND_AT.find(event)
    texts = {name: _texts(overrides.get(name)) or _texts(found.get(name, ())) for name in (*_ROWS, "country")}
    context = Context(settings, next((code for text in texts["country"] if (code := country_code(text))), None))
    if anonymous_path and not clean(anonymous_id):
        anonymous_id = as_text(event.get(anonymous_path)) or ""
    devices = {"anonymous_id": clean(anonymous_id)}
    for kind in DEVICES[1:]:
        cookie = cookies.get(f"_{kind}", "")
        devices[kind] = next(iter(_texts(overrides.get(kind)) or _texts(cookie) or _texts(found.get(kind, ()))), "")
    emails, phones = (list(_normal_forms(texts[key], _ROWS[key], context)) for key in ("em", "ph"))
    persons = {
        "external_id": tuple(
            digest for _, digest in _normal_forms(texts["external_id"], _ROWS["external_id"], context)
        ),
        "em": tuple(digest for normal, digest in emails if normal.partition("@")[0] not in _SHARED_MAILBOXES),
        "ph": tuple(digest for normal, digest in phones if not _ONE_DIGIT.fullmatch(normal)),
    }
    fbc = next(
        iter(_texts(overrides.get("fbc")) or _texts(cookies.get("_fbc", "")) or _texts(found.get("fbc", ()))), ""
    )
    return Identifiers(
        devices={kind: text for kind, text in devices.items() if text and not _is_filler(text)},
        persons={kind: digests for kind, digests in persons.items() if digests},
        email=next((normal for normal, digest in emails if normal and digest in persons["em"]), ""),
        phone=next((normal for normal, digest in phones if normal and digest in persons["ph"]), ""),
        time=time,
        fbc=fbc,
        event_name=next(iter(_texts(found.get("event_name", ()))), ""),
    )


def in_user_data(person: Mapping[str, Sequence[object]]) -> dict[str, object]:
    """Return *person*, which is audience key -> values, under the keys of user_data."""
    return {
        AUDIENCE_KEYS[key].user_data: list(values)
        for key, values in person.items()
        if key in AUDIENCE_KEYS and AUDIENCE_KEYS[key].user_data
    }


def _texts(values: object) -> list[str]:
    """Return the texts of findings, or of a value that the caller states; at most three that say something."""
    texts: list[str] = []
    for one in values if isinstance(values, list | tuple) else (values,):
        value = one[2] if isinstance(one, tuple) else one
        for part in value if isinstance(value, list) else (value,):
            text = clean(as_text(part) or "") if part is not None else ""
            if text and len(text) <= _LONGEST and text not in texts:
                texts.append(text)
    return texts[:_MOST]


def _normal_forms(texts: Sequence[str], identifier: Identifier, context: Context) -> Iterable[tuple[str, str]]:
    """Yield the normal form of each text, `""` where it came hashed, and its hash."""
    for text in texts:
        digest = as_sha256_hex(text) if len(text) in DIGEST_LENGTHS else None
        if digest is not None:
            if digest[0] != HASH_OF_NOTHING:
                yield "", digest[0]
            continue
        try:
            normal = identifier.rule(text, context)
        except UnusableValueError:
            continue
        if normal and not (identifier.user_data == "external_id" and _is_filler(normal)):
            yield normal, sha256_hex(normal)


def digest_of(kind: str, text: object, settings: Settings) -> str:
    """Return the hash of an e-mail (`em`), phone or id that somebody else states; `""` if it is none."""
    texts = _texts(text)[:1]
    return next((digest for _, digest in _normal_forms(texts, _ROWS[kind], Context(settings))), "")


def _is_filler(text: str) -> bool:
    return _ZEROS.fullmatch(text) is not None or text.casefold() in _NO_IDS


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
            for kind, row in _ROWS.items():
                keys |= {f"{kind}:{digest}" for _, digest in _normal_forms([text], row, Context(settings))}
    return frozenset(keys)


def _keyed(secret: bytes, text: str) -> str:
    """Return a hash of *text* that nobody can make without *secret*: BLAKE2b with a key, RFC 7693."""
    return blake2b(text.encode(), key=sha256(secret).digest(), digest_size=16).hexdigest()


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
        key: [identity.fields[key]] for key in wanted.fields if key in identity.fields and key not in user_data
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
