"""`lib.admission`: what every request passes before anything is built."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from typing import Any, Final

import pytest

from lib.admission import Admission, why_withheld, withheld_columns
from lib.authentication import Rights
from lib.consent import Verdict
from lib.errors import ForbiddenError, InvalidRequestError
from lib.relay_request import Options
from lib.report import Report
from tests.seams import CONFIG, Kept, Meta, relay

ANYTHING: Final = Rights(caller="iam")


def admission(*, has_queue: bool = True, **config: Any) -> Admission:
    built = relay(transport=Meta(), queue=Kept() if has_queue else None, config={**CONFIG, **config})
    return Admission(built.config, built.outside)


class TestConnections:
    @pytest.mark.parametrize(
        ("own", "of_request", "found"),
        [
            pytest.param("globex", "acme", "globex", id="the destination's own first"),
            pytest.param(None, "globex", "globex", id="then the request's"),
            pytest.param(None, None, "acme", id="then the default one"),
        ],
    )
    def test_a_destination_has_one(self, own: str | None, of_request: str | None, found: str) -> None:
        assert admission().connection_of(own, Options(connection=of_request), 0).name == found

    @pytest.mark.parametrize(
        ("own", "of_request", "field"),
        [
            pytest.param("nobody", None, "destinations[3].connection", id="of a destination"),
            pytest.param(None, "nobody", "connection", id="of the request"),
        ],
    )
    def test_an_unknown_one_is_refused_by_its_place(self, own: str | None, of_request: str | None, field: str) -> None:
        with pytest.raises(InvalidRequestError) as refusal:
            admission().connection_of(own, Options(connection=of_request), 3)
        assert (refusal.value.field, "nobody" in refusal.value.message) == (field, False)

    def test_without_a_default_it_has_to_be_stated(self) -> None:
        with pytest.raises(InvalidRequestError, match="is missing"):
            admission(default_connection=None).connection(None, "connection")


class TestRights:
    @pytest.mark.parametrize(
        ("rights", "field"),
        [
            pytest.param({"actions": frozenset({"add"})}, "action", id="one action of two"),
            pytest.param({"connections": frozenset({"acme"})}, "connection", id="one connection of two"),
        ],
    )
    def test_all_of_a_request_has_to_be_allowed(self, rights: dict[str, Any], field: str) -> None:
        with pytest.raises(ForbiddenError) as refusal:
            admission().authorize(
                replace(ANYTHING, **rights),
                Options(),
                actions=["add", "remove"],
                names=["acme", "globex"],
                configured=["ad_storage"],
            )
        assert refusal.value.field == field

    @pytest.mark.parametrize(
        ("required", "may_lower", "is_allowed"),
        [
            pytest.param(None, False, True, id="as configured"),
            pytest.param(("ad_storage", "ad_user_data"), False, True, id="more"),
            pytest.param((), False, False, id="less"),
            pytest.param((), True, True, id="less, by who may"),
        ],
    )
    def test_less_consent_is_for_those_who_may_ask_for_it(
        self, required: tuple[str, ...] | None, may_lower: bool, is_allowed: bool
    ) -> None:
        rights = replace(ANYTHING, may_lower_consent=may_lower)
        refusal: AbstractContextManager[object] = nullcontext()
        if not is_allowed:
            refusal = pytest.raises(ForbiddenError, match="less consent")
        with refusal:
            admission().authorize(
                rights, Options(required=required), actions=["add"], names=["acme"], configured=["ad_storage"]
            )


@pytest.mark.parametrize(
    ("options", "has_queue", "mode", "warns"),
    [
        pytest.param(Options(), True, "send", False, id="as a rule it is sent"),
        pytest.param(Options(optimistic=True), True, "queue", False, id="optimistic: queued"),
        pytest.param(Options(optimistic=True), False, "send", True, id="optimistic without a queue: sent, and said"),
        pytest.param(Options(optimistic=True, dry_run=True), True, "show", False, id="a dry run wins"),
    ],
)
def test_how_calls_are_made(options: Options, has_queue: bool, mode: str, warns: bool) -> None:
    report = Report()
    assert (admission(has_queue=has_queue).mode(options, report), bool(report.warnings)) == (mode, warns)


@pytest.mark.parametrize(
    ("options", "missing"),
    [
        pytest.param(Options(state={"ad_storage": "granted", "ad_user_data": True}), (), id="both stated"),
        pytest.param(Options(state={"ad_storage": "granted"}), ("ad_user_data",), id="one absent"),
        pytest.param(Options(state={"ad_storage": "denied"}, required=()), (), id="none required"),
    ],
)
def test_the_gate_weighs_what_is_required_of_the_request(options: Options, missing: tuple[str, ...]) -> None:
    assert admission().verdict(options, None, configured=["ad_storage", "ad_user_data"]).missing == missing


def test_settings_are_the_connections() -> None:
    relayed = admission()
    acme, globex = (relayed.settings(relayed.connection(name, "connection")) for name in ("acme", "globex"))
    assert (acme.default_country, acme.hash_external_id, globex.hash_external_id) == ("de", True, False)
    assert acme.today.isoformat() == "2027-01-15"


def test_what_is_withheld_says_why() -> None:
    verdict = Verdict(missing=("ad_storage", "ad_user_data"))
    assert why_withheld(verdict) == "consent is missing: ad_storage, ad_user_data"
    assert withheld_columns(verdict) == {"consent_missing": "ad_storage, ad_user_data"}
    assert (why_withheld(Verdict()), withheld_columns(Verdict())) == (
        "GTM's preview monitor: nothing is sent",
        {"consent_missing": None},
    )
