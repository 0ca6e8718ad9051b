"""The hot path beside hashlib, facebook-business and phonenumbers: rows to batches, to a body, and phones."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from datetime import date
from typing import Any, Final

import orjson
import phonenumbers
import requests
from facebook_business.adobjects.customaudience import CustomAudience
from facebook_business.api import _top_level_param_json_encode

from lib.audiences import Batch, Policy, build_batches
from lib.cells import as_text
from lib.graph_request import audience_call, session
from lib.hashing import as_sha256_hex
from lib.identifiers import AUDIENCE_KEYS
from lib.normalization import Context, Settings, UnusableValueError, clean
from lib.people import parse_people
from lib.phone_numbers import e164_digits
from lib.regions import country_code
from lib.report import Report
from tests.bench.people import Row
from tests.bench.rounds import Step
from tests.fuzz.phone_texts import usual_texts

POLICY: Final = Policy(
    settings=Settings(today=date(2026, 1, 1), default_country="de"),
    minimum_identifiers=[["EMAIL"], ["PHONE"], ["MADID"], ["EXTERN_ID"], ["FN", "LN", "ZIP"]],
)
_USUAL_LENGTH: Final = 16
_URL: Final = "https://graph.facebook.com/v26.0/1001/users"
_SESSION: Final = session("bench", batch_seq=1, last=True)


class WrongWorkError(Exception):
    """The steps do not do the same work, so that their times mean nothing."""


def steps(fields: Sequence[str], rows: Sequence[Row], mark: str) -> list[Step]:
    """
    Return the steps for *rows* under the schema *fields*; *mark* ends their names.

    Raises:
        WrongWorkError: A batch's digests are not those of the values that hashlib alone is given.
    """
    request = orjson.dumps({"users": {"schema": fields, "data": rows}})
    values = orjson.dumps(_values_to_hash(fields, rows, batches(orjson.loads(request))))
    users = orjson.dumps([["" if value is None else str(value) for value in row] for row in rows])
    return [
        Step(f"hashlib {mark}", lambda: orjson.loads(values), hash_alone),
        Step(f"batch {mark}", lambda: orjson.loads(request), batches),
        Step(f"body {mark}", lambda: orjson.loads(request), bodies),
        Step(f"facebook-business {mark}", lambda: orjson.loads(users), lambda data: facebook_body(fields, data)),
    ]


def hash_alone(values: Sequence[str]) -> list[str]:
    """Hash values that are normal already: less cannot be done."""
    return [hashlib.sha256(value.encode()).hexdigest() for value in values]


def batches(body: dict[str, object]) -> list[Batch]:
    """Return the batches that a request's rows become: normalized, hashed, checked."""
    return list(build_batches(parse_people(body), POLICY, Report()))


def bodies(body: dict[str, object]) -> list[bytes]:
    """Return what is sent to Meta."""
    return [
        audience_call(
            batch,
            action="add",
            connection="acme",
            destination={"audience_id": "1001"},
            session=_SESSION,
            batch_number=1,
            ids={},
        ).body_bytes()
        for batch in build_batches(parse_people(body), POLICY, Report())
    ]


def facebook_body(fields: Sequence[str], users: list[list[str]]) -> object:
    """Return what `CustomAudience.add_users` sends: its own three steps up to the body, without the call."""
    params = CustomAudience.format_params(list(fields), users, is_raw=True, session=_SESSION)
    return requests.Request("POST", _URL, data=_top_level_param_json_encode(params)).prepare().body


def _values_to_hash(fields: Sequence[str], rows: Sequence[Row], built: Sequence[Batch]) -> list[str]:
    """
    Return a normal value for each non-empty hashed cell of *built*.

    For what came hashed nobody knows the value; a piece of the digest stands for it, as long as values are.
    """
    sent = sorted(number for batch in built for number in batch.numbers)
    values: list[str] = []
    digests: list[str] = []
    for row in map(rows.__getitem__, sent):
        texts = {key: clean(as_text(value) or "") for key, value in zip(fields, row, strict=True)}
        context = Context(POLICY.settings, country_code(texts["COUNTRY"]))
        for key, text in texts.items():
            if AUDIENCE_KEYS[key].hashed and text:
                if digest := as_sha256_hex(text):
                    digests.append(digest[0])
                else:
                    values += _normal(key, text, context)
    cells = [
        cell
        for batch in built
        for key, column in zip(batch.schema, zip(*batch.rows, strict=True), strict=True)
        for cell in column
        if cell and AUDIENCE_KEYS[key].hashed
    ]
    if sorted(cells) != sorted([*hash_alone(values), *digests]):
        raise WrongWorkError
    return values + [digest[:_USUAL_LENGTH] for digest in digests]


def _normal(key: str, text: str, context: Context) -> list[str]:
    try:
        value = AUDIENCE_KEYS[key].rule(text, context)
    except UnusableValueError:
        return []
    return [value] if value else []


def phone_steps(seed: int, count: int) -> list[Step]:
    """Return our reading of phones and that of phonenumbers, on the usual forms of eighteen markets."""
    texts = orjson.dumps(list(usual_texts(seed, count)))
    return [
        Step("phone", lambda: orjson.loads(texts), _read_phones),
        Step("phonenumbers", lambda: orjson.loads(texts), _read_phones_by_library),
    ]


def _read_phones(texts: Sequence[tuple[str, str]]) -> list[Any]:
    return [e164_digits(text, region) for text, region in texts]


def _read_phones_by_library(texts: Sequence[tuple[str, str]]) -> list[Any]:
    return [_by_library(text, region) for text, region in texts]


def _by_library(text: str, region: str) -> str | None:
    try:
        number = phonenumbers.parse(text, region)
    except phonenumbers.NumberParseException:
        return None
    if not phonenumbers.is_possible_number(number):
        return None
    return phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)
