"""How people are recognised again: what of it is switched on, and within which bounds."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final, Literal, get_args

#: Keys of user_data that an earlier event may fill, in the order of Meta's documentation.
FIELDS: Final = ("em", "ph", "fn", "ln", "ct", "st", "zp", "country", "db", "ge")

Click = Literal["none", "first", "last"]
CLICKS: Final[tuple[str, ...]] = get_args(Click)

#: What an Omni service may be told; `email` and `phone` are clear text.
SENT: Final = ("anonymous_id", "hashed_email", "hashed_phone", "email", "phone", "fbclid", "event_name")
DEFAULT_SENT: Final = ("anonymous_id", "hashed_email")


@dataclass(frozen=True, slots=True, kw_only=True)
class Enrichment:
    """
    What is added to an event that lacks it.

    Args:
        external_id: Whether the person's id is.
        fields: Keys of user_data, of `FIELDS`.
        fbc: Which of the person's clicks within the look-back window, if any.
        look_back_days: How old that click may be when the event happens.
    """

    external_id: bool = True
    fields: tuple[str, ...] = FIELDS
    fbc: Click = "none"
    look_back_days: int = 90


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """
    How many identifiers of one kind a key may be seen with; with more it is shared, and joins nobody any longer.

    Args:
        per_device: E-mails, phones or customer numbers of a browser or device.
        per_phone: E-mails or customer numbers of a phone number: a household has one, and is not one person.
        per_person: E-mails, phones or customer numbers of an e-mail or customer number.
        devices: Browsers and devices of any key.
    """

    per_device: int = 1
    per_phone: int = 1
    per_person: int = 3
    devices: int = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class OmniSettings:
    """
    A service that speaks the Omni protocol.

    Args:
        endpoint: Its whole URL.
        access_token: Names a secret.
        send: What it is told, of `SENT`.
        cache_s: Seconds for which an answer counts; 0 for none.
    """

    endpoint: str
    access_token: str
    send: tuple[str, ...] = DEFAULT_SENT
    cache_s: float = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class FirestoreSettings:
    """Where the identity graph is kept; the project is the function's own."""

    database: str = "(default)"
    collection: str = "meta_relay_people"


@dataclass(frozen=True, slots=True, kw_only=True)
class IdentitySettings:
    """
    Who recognises people, and what for. At most one of *omni*, *firestore* and *memory* is set.

    Args:
        memory: Whether the graph is kept in the process, for one instance and until it ends.
        key: Names the secret that hashes ids of devices and makes ids of people; only the Omni service needs none.
        timeout_ms: Milliseconds by which recognising people may delay a request.
        anonymous_id: Where an event holds the id that the Omni service knows people by; None for `client_id`.
        keep_days: After so many days without an event an identifier is forgotten.
        shared_values: E-mails, phones and ids of more than one person, which join nobody.
        user_id: Whether somebody whom nobody knows gets an id made of the first-party id.
    """

    omni: OmniSettings | None = None
    firestore: FirestoreSettings | None = None
    memory: bool = False
    key: str | None = None
    timeout_ms: int = 800
    anonymous_id: str | None = None
    keep_days: int = 90
    shared_values: tuple[str, ...] = field(default=(), repr=False)
    limits: Limits = field(default_factory=Limits)
    enrich: Enrichment = field(default_factory=Enrichment)
    user_id: bool = False

    @property
    def timeout_s(self) -> float:
        """The same in seconds."""
        return self.timeout_ms / 1000
