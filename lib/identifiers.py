"""
Where the vocabularies meet: one row for each identifier.

Its key in an audience schema, in user_data, in an event of server-side Google Tag Manager and in a CDP's user, its
rule, and whether it is hashed.

The order of the table is the order of columns wherever the caller states none.
Sources: the audience keys are those of Meta's Custom Audience guide, the user_data keys those of its customer
information parameters; the event's keys are Google's common event data, what the GA4 client really sends, the
`x-fb-ud-*` parameters of Meta's own tag and the names that Stape's Data Tag and Data Client use.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from lib import normalization
from lib.normalization import Rule


@dataclass(frozen=True, slots=True, kw_only=True)
class Identifier:
    """
    One row of the table.

    Args:
        key: Its key in an audience schema; `""` for what only events carry.
        user_data: Its key in Meta's user_data; `""` for what only audiences carry.
        rule: Its normal form.
        hashed: Whether it leaves as SHA-256. Of EXTERN_ID the connection decides.
        by_country: Whether the rule depends on the row's country.
        unique: Whether nearly everybody has another, so that remembering those that came costs more than it saves.
        event: Where an event holds it, best first: paths with `.` between the keys of nested objects.
        cdp: The properties of a CDP's user that hold it by default.
    """

    key: str = ""
    user_data: str = ""
    rule: Rule = normalization.as_it_is
    hashed: bool = False
    by_country: bool = False
    unique: bool = False
    event: tuple[str, ...] = ()
    cdp: tuple[str, ...] = ()


def _address(*names: str) -> tuple[str, ...]:
    """Return the paths of parts of an address, which an event states as `address`, one or a list of them."""
    return tuple(f"user_data.address.{name}" for name in names)


def _meta(key: str) -> tuple[str, ...]:
    """Return the paths of what an event states under Meta's own key."""
    return f"user_data.{key}", f"x-fb-ud-{key}"


IDENTIFIERS: Final = (
    Identifier(
        key="EMAIL",
        user_data="em",
        rule=normalization.email,
        hashed=True,
        unique=True,
        event=(
            "email", "user_data.email_address", "user_data.email", "user_data.sha256_email_address",
            "user_data.sha256_email", "x-fb-ud-em", "user_data.em", "userEmail", "email_address", "mail",
        ),
        cdp=("email", "hashed_email"),
    ),
    Identifier(
        key="PHONE",
        user_data="ph",
        rule=normalization.phone,
        hashed=True,
        unique=True,
        by_country=True,
        # Not sha256_phone_number: Google hashes it with its "+" (stape-io/facebook-tag issue 62).
        event=(
            "phone", "user_data.phone_number", "user_data.phone", "x-fb-ud-ph", "user_data.ph", "userPhoneNumber",
            "phone_number", "phoneNumber",
        ),
        cdp=("phone", "phone_number"),
    ),
    Identifier(
        key="FN",
        user_data="fn",
        rule=normalization.name,
        hashed=True,
        event=(
            "firstName", "FirstName", "nameFirst", "first_name", "user_data.first_name",
            *_address("first_name", "sha256_first_name"), "x-fb-ud-fn", "user_data.fn", "userFirstName",
        ),
        cdp=("firstname", "first_name", "firstName"),
    ),
    Identifier(
        key="LN",
        user_data="ln",
        rule=normalization.name,
        hashed=True,
        event=(
            "lastName", "LastName", "nameLast", "last_name", "user_data.last_name",
            *_address("last_name", "sha256_last_name"), "x-fb-ud-ln", "user_data.ln", "userLastName", "surname",
            "family_name", "familyName",
        ),
        cdp=("lastname", "last_name", "lastName"),
    ),
    Identifier(key="FI", rule=normalization.first_initial, hashed=True),
    Identifier(
        key="CT",
        user_data="ct",
        rule=normalization.city,
        hashed=True,
        event=("city", "user_data.city", *_address("city"), "x-fb-ud-ct", "user_data.ct"),
        cdp=("city", "address.city"),
    ),
    Identifier(
        key="ST",
        user_data="st",
        rule=normalization.state,
        hashed=True,
        by_country=True,
        event=("state", "region", "user_data.region", *_address("region"), "x-fb-ud-st", "user_data.st"),
        cdp=("state", "address.state"),
    ),
    Identifier(
        key="ZIP",
        user_data="zp",
        rule=normalization.zip_code,
        hashed=True,
        by_country=True,
        event=(
            "zip", "postal_code", "user_data.postal_code", *_address("postal_code"), "x-fb-ud-zp", "user_data.zp",
            "postalCode",
        ),
        cdp=("zipcode", "zip", "postal_code", "address.postal_code", "address.postalCode"),
    ),
    Identifier(
        key="COUNTRY",
        user_data="country",
        rule=normalization.country,
        hashed=True,
        event=("countryCode", "country", "user_data.country", *_address("country"), "x-fb-ud-country"),
        cdp=("country", "address.country"),
    ),
    Identifier(
        key="GEN",
        user_data="ge",
        rule=normalization.gender,
        hashed=True,
        event=("gender", "x-fb-ud-ge", "user_data.gender", "user_data.ge"),
        cdp=("gender",),
    ),
    Identifier(
        key="DOB",
        user_data="db",
        rule=normalization.date_of_birth,
        hashed=True,
        event=("db", "x-fb-ud-db", "user_data.date_of_birth", "user_data.db"),
        cdp=("birthdate", "birthday", "date_of_birth"),
    ),
    Identifier(key="DOBY", rule=normalization.year_of_birth, hashed=True),
    Identifier(key="DOBM", rule=normalization.month_of_birth, hashed=True),
    Identifier(key="DOBD", rule=normalization.day_of_birth, hashed=True),
    Identifier(
        key="MADID",
        user_data="madid",
        rule=normalization.mobile_advertiser_id,
        unique=True,
        event=("madid", *_meta("madid")),
    ),
    Identifier(
        key="EXTERN_ID",
        user_data="external_id",
        hashed=True,
        unique=True,
        event=("external_id", "user_id", "userId", "x-fb-ud-external_id", "user_data.external_id"),
        cdp=("id",),
    ),
    Identifier(key="PAGEUID"),
    Identifier(key="APPUID"),
    Identifier(key="UID"),
    Identifier(key="LOOKALIKE_VALUE"),
    Identifier(key="DATA_PROCESSING_OPTIONS"),
    Identifier(key="DATA_PROCESSING_OPTIONS_COUNTRY"),
    Identifier(key="DATA_PROCESSING_OPTIONS_STATE"),
    Identifier(user_data="fbc", event=("common_cookie._fbc", "_fbc", "fbc", "x-fb-ck-fbc", *_meta("fbc"))),
    Identifier(user_data="fbp", event=("common_cookie._fbp", "_fbp", "fbp", "x-fb-ck-fbp", *_meta("fbp"))),
    Identifier(
        user_data="client_ip_address",
        # _fbi is where the Parameter Builder keeps the address that the browser itself has seen.
        event=("ip_override", *_meta("client_ip_address"), "ip", "ipOverride", "common_cookie._fbi"),
    ),
    Identifier(user_data="client_user_agent", event=("user_agent", *_meta("client_user_agent"), "userAgent")),
    Identifier(
        user_data="subscription_id", event=("subscription_id", "subscriptionId", *_meta("subscription_id"))
    ),
    Identifier(user_data="fb_login_id", event=("fb_login_id", "x-fb-ud-fb-login-id", *_meta("fb_login_id"))),
    Identifier(user_data="lead_id", event=("lead_id", "leadId", *_meta("lead_id"))),
    Identifier(user_data="anon_id", event=("anon_id", *_meta("anon_id"))),
    Identifier(user_data="ctwa_clid", event=("ctwa_clid", *_meta("ctwa_clid"))),
    # At the top of an event, names such as page_id are other people's.
    *(
        Identifier(user_data=key, event=_meta(key))
        for key in (
            "page_id", "page_scoped_user_id", "ig_account_id", "ig_sid", "instagram_business_account_id",
            "whatsapp_business_account_id", "partner_id", "partner_name",
        )
    ),
)  # fmt: skip

#: Audience schema key -> row of the table.
AUDIENCE_KEYS: Final[Mapping[str, Identifier]] = {row.key: row for row in IDENTIFIERS if row.key}

#: Audience schema key -> the properties of a CDP's user that hold it, unless configured otherwise.
CDP_MAPPING: Final[Mapping[str, tuple[str, ...]]] = {row.key: row.cdp for row in IDENTIFIERS if row.cdp}

#: DOB is one date to the caller and three columns to Meta, which has no column for a whole date.
DATE_COLUMNS: Final = ("DOBY", "DOBM", "DOBD")
LOOKALIKE_VALUE: Final = "LOOKALIKE_VALUE"
EXTERN_ID: Final = "EXTERN_ID"
DATA_PROCESSING_COLUMNS: Final = (
    "DATA_PROCESSING_OPTIONS",
    "DATA_PROCESSING_OPTIONS_COUNTRY",
    "DATA_PROCESSING_OPTIONS_STATE",
)
#: Columns that say something of a person without naming one.
NOT_IDENTIFYING: Final = frozenset({LOOKALIKE_VALUE, *DATA_PROCESSING_COLUMNS})
