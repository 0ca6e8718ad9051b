"""Consent as server-side Google Tag Manager and Stape's tags state it (tags-and-connectors.md, sections A.6 and C)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lib.common_event import CommonEvent
from lib.consent import SIGNALS, Absent, Verdict, stated_signals, unasked_signals, weigh

#: What audiences require by default.
AUDIENCES: Final = ("ad_storage", "ad_user_data", "ad_personalization")
GCD_PLACES: Final = {"ad_storage": 2, "analytics_storage": 4, "ad_user_data": 6, "ad_personalization": 8}
#: Section C.4: letter -> what it comes to.
GCD_LETTERS: Final = {
    "l": None,
    "m": False,
    "n": True,
    "p": False,
    "q": False,
    "r": True,
    "t": True,
    "u": False,
    "v": True,
}


def stated(event: Mapping[str, Any] | None, state: Mapping[str, Any] | None = None) -> dict[str, bool]:
    return stated_signals(None if event is None else CommonEvent(event).get, state)


def verdict(event: Mapping[str, Any], *, required: tuple[str, ...] = AUDIENCES, absent: Absent = "denied") -> Verdict:
    return weigh(required, stated(event), absent=absent)


def gcd(signal: str, letter: str) -> str:
    """Return a gcd in which *signal* has *letter* and every other signal is unset."""
    signs = list("13l3l3l3l5l1")
    signs[GCD_PLACES[signal]] = letter
    return "".join(signs)


GRANTS: Final = [
    pytest.param(True, id="true"),
    pytest.param("true", id="text true"),
    pytest.param("TRUE", id="text TRUE"),
    pytest.param("granted", id="granted"),
    pytest.param(" Granted ", id="granted with spaces"),
    pytest.param("1", id="text 1"),
    pytest.param(1, id="1"),
]
DENIALS: Final = [
    pytest.param(False, id="false"),
    pytest.param("false", id="text false"),
    pytest.param("denied", id="denied"),
    pytest.param("Denied", id="Denied"),
    pytest.param("0", id="text 0"),
    pytest.param(0, id="0"),
    pytest.param("yes", id="a word nobody knows"),
    pytest.param("undefined", id="undefined"),
    pytest.param(" ", id="a space"),
    pytest.param(2, id="2"),
    pytest.param(-1, id="-1"),
    pytest.param(1.0, id="1.0"),
    pytest.param([], id="empty list"),
    pytest.param(["granted"], id="list"),
    pytest.param({"granted": True}, id="object"),
]
#: Where a consent state stands: the event that holds it, or None, and the caller's own state.
FORMS: Final = [
    pytest.param(lambda signal, value: ({"consent_state": {signal: value}}, None), id="nested"),
    pytest.param(lambda signal, value: ({f"consent_state_{signal}": value}, None), id="flattened"),
    pytest.param(lambda signal, value: (None, {signal: value}), id="the caller's own"),
]


class TestConsentState:
    """`true, "true", "granted", 1` grant; `false, "denied", 0` deny; never truthiness."""

    @pytest.mark.parametrize("signal", SIGNALS)
    @pytest.mark.parametrize("form", FORMS)
    def test_every_signal_is_read_in_every_form(self, form: Any, signal: str) -> None:
        assert stated(*form(signal, "granted")) == {signal: True}

    @pytest.mark.parametrize("form", FORMS)
    @pytest.mark.parametrize("value", GRANTS)
    def test_words_that_grant(self, form: Any, value: Any) -> None:
        assert stated(*form("ad_storage", value)) == {"ad_storage": True}

    @pytest.mark.parametrize("form", FORMS)
    @pytest.mark.parametrize("value", DENIALS)
    def test_whatever_else_is_said_denies(self, form: Any, value: Any) -> None:
        assert stated(*form("ad_storage", value)) == {"ad_storage": False}

    @pytest.mark.parametrize("form", FORMS)
    @pytest.mark.parametrize("value", [None, ""])
    def test_nothing_said_is_nothing_stated(self, form: Any, value: Any) -> None:
        assert stated(*form("ad_storage", value)) == {}

    @pytest.mark.parametrize("value", [None, "granted", True, 1, [], [{"ad_storage": "denied"}], {}])
    def test_a_consent_state_that_is_no_object_states_no_grant(self, value: Any) -> None:
        assert True not in stated({"consent_state": value}).values()

    def test_all_seven_of_the_data_tag(self) -> None:
        state = dict.fromkeys(SIGNALS, True) | {"ad_personalization": False}
        assert stated({"consent_state": state}) == state

    def test_a_signal_that_nobody_knows_is_not_stated(self) -> None:
        assert stated({"consent_state": {"ad_magic": True}}, {"ad_magic": True}) == {}


class TestGcd:
    """`x-ga-gcd`: one sign for each of four signals (section C.4)."""

    @pytest.mark.parametrize("key", ["x-ga-gcd", "x_ga_gcd"])
    @pytest.mark.parametrize("signal", GCD_PLACES)
    @pytest.mark.parametrize("letter", GCD_LETTERS)
    def test_every_letter_at_every_place(self, key: str, signal: str, letter: str) -> None:
        granted = GCD_LETTERS[letter]
        expected = {} if granted is None else {signal: granted}
        assert stated({key: gcd(signal, letter)}) == expected

    def test_the_documented_example_grants_all_four(self) -> None:
        assert stated({"x-ga-gcd": "13r3r3r3r5l1"}) == dict.fromkeys(GCD_PLACES, True)

    def test_a_short_text_states_what_it_reaches(self) -> None:
        assert stated({"x-ga-gcd": "13r3p"}) == {"ad_storage": True, "analytics_storage": False}

    @pytest.mark.parametrize(
        "value",
        [
            pytest.param("", id="empty"),
            pytest.param("1", id="a digit"),
            pytest.param("13", id="no sign yet"),
            # Read without a look at its beginning this grants: the low bits of d, f, n and d are those of a grant.
            pytest.param("undefined", id="undefined"),
            pytest.param("null", id="null"),
            pytest.param("(not set)", id="not set"),
            pytest.param("[object Object]", id="object in words"),
            pytest.param("3333333333", id="digits"),
            pytest.param("granted granted", id="words"),
            pytest.param("13z3z3z3z5l1", id="signs that nobody has seen"),
            pytest.param("13333333333", id="digits in place of signs"),
            pytest.param("13R3R3R3R5l1", id="capitals"),
            pytest.param(133333, id="number"),
            pytest.param(True, id="true"),
            pytest.param(["13r3r3r3r5l1"], id="list"),
        ],
    )
    def test_what_is_no_gcd_states_nothing(self, value: Any) -> None:
        assert stated({"x-ga-gcd": value}) == {}


class TestGcs:
    """`x-ga-gcs`: "G1", ad_storage, analytics_storage (section C.3). It is asked for ad_storage alone."""

    @pytest.mark.parametrize("key", ["x-ga-gcs", "x_ga_gcs"])
    @pytest.mark.parametrize(
        ("value", "expected"),
        [
            pytest.param("G100", {"ad_storage": False}, id="both denied"),
            pytest.param("G101", {"ad_storage": False}, id="only analytics"),
            pytest.param("G110", {"ad_storage": True}, id="only ads"),
            pytest.param("G111", {"ad_storage": True}, id="both granted"),
            pytest.param("G1--", {}, id="unset"),
            pytest.param("G1-1", {}, id="ads unset"),
            pytest.param("G1", {}, id="short"),
            pytest.param("G2111", {}, id="another version"),
            pytest.param("111", {}, id="no G"),
            pytest.param("undefined", {}, id="undefined"),
            pytest.param("", {}, id="empty"),
            pytest.param(111, {}, id="number"),
            pytest.param(None, {}, id="null"),
        ],
    )
    def test_every_form(self, key: str, value: Any, expected: dict[str, bool]) -> None:
        assert stated({key: value}) == expected


class TestOrder:
    """consent_state, then gcd, then gcs; the caller's own words can only take away."""

    @pytest.mark.parametrize(
        ("event", "state", "expected"),
        [
            pytest.param({"x-ga-gcd": "13p3l3l3l5l1", "x-ga-gcs": "G111"}, None, False, id="gcd before gcs"),
            pytest.param({"x-ga-gcd": "13l3l3l3l5l1", "x-ga-gcs": "G111"}, None, True, id="gcs where gcd is unset"),
            pytest.param(
                {"consent_state": {"ad_storage": "denied"}, "x-ga-gcd": "13r3r3r3r5l1", "x-ga-gcs": "G111"},
                None,
                False,
                id="consent_state before gcd, denied",
            ),
            pytest.param(
                {"consent_state": {"ad_storage": "granted"}, "x-ga-gcd": "13q3q3q3q5l1", "x-ga-gcs": "G100"},
                None,
                True,
                id="consent_state before gcd, granted",
            ),
            pytest.param(
                {"consent_state": {"ad_user_data": True}, "x-ga-gcd": "13p3p3p3p5l1"},
                None,
                False,
                id="gcd where consent_state lacks the signal",
            ),
            pytest.param({"x-ga-gcs": "G111"}, {"ad_storage": "denied"}, False, id="the caller denies"),
            pytest.param({"x-ga-gcs": "G100"}, {"ad_storage": "granted"}, False, id="the caller cannot grant again"),
            pytest.param({"client_id": "1.2"}, {"ad_storage": "granted"}, True, id="the event says nothing"),
        ],
    )
    def test_who_decides_on_ad_storage(
        self, event: dict[str, Any], state: dict[str, Any] | None, expected: object
    ) -> None:
        assert stated(event, state)["ad_storage"] is expected


class TestVerdict:
    @pytest.mark.parametrize(
        ("signals", "absent", "expected"),
        [
            pytest.param({}, "denied", Verdict(AUDIENCES, withdrawn=False), id="nothing said is denied"),
            pytest.param({}, "granted", Verdict(), id="nothing said is granted where configured"),
            pytest.param(dict.fromkeys(AUDIENCES, True), "denied", Verdict(), id="all granted"),
            pytest.param(
                {"ad_storage": True, "ad_user_data": False},
                "denied",
                Verdict(("ad_user_data", "ad_personalization"), withdrawn=True),
                id="one denied, one absent",
            ),
            pytest.param(
                {"ad_storage": True, "ad_user_data": True},
                "denied",
                Verdict(("ad_personalization",), withdrawn=False),
                id="one absent is no withdrawal",
            ),
            pytest.param(
                {"ad_user_data": False},
                "granted",
                Verdict(("ad_user_data",), withdrawn=True),
                id="a denial counts wherever absent is granted",
            ),
            pytest.param({"analytics_storage": False}, "granted", Verdict(), id="a denial of what is not required"),
        ],
    )
    def test_what_is_missing_and_whether_it_was_withdrawn(
        self, signals: dict[str, bool], absent: Absent, expected: Verdict
    ) -> None:
        assert weigh(AUDIENCES, signals, absent=absent) == expected

    @pytest.mark.parametrize(
        ("event", "state", "withdrawn"),
        [
            pytest.param({"x-ga-gcd": gcd("ad_user_data", "p")}, None, False, id="nobody has answered the banner"),
            pytest.param({"x-ga-gcd": gcd("ad_user_data", "q")}, None, True, id="denied, as by default"),
            pytest.param({"x-ga-gcd": gcd("ad_user_data", "m")}, None, True, id="denied"),
            pytest.param({"x-ga-gcd": gcd("ad_user_data", "u")}, None, True, id="granted by default, then denied"),
            pytest.param(
                {"x-ga-gcd": gcd("ad_user_data", "p"), "consent_state": {"ad_user_data": "denied"}},
                None,
                True,
                id="the consent tool says so",
            ),
            pytest.param(
                {"x-ga-gcd": gcd("ad_user_data", "p")}, {"ad_user_data": "denied"}, True, id="the caller says so"
            ),
            pytest.param(
                {"x-ga-gcd": gcd("ad_user_data", "p")}, {"ad_user_data": "granted"}, False, id="the caller grants it"
            ),
        ],
    )
    def test_a_denial_by_default_withdraws_nothing_and_sends_nothing(
        self, event: dict[str, Any], state: dict[str, Any] | None, withdrawn: bool
    ) -> None:
        get = CommonEvent(event).get
        weighed = weigh(
            ("ad_user_data",), stated_signals(get, state), absent="denied", unasked=unasked_signals(get, state)
        )
        assert weighed == Verdict(("ad_user_data",), withdrawn=withdrawn)

    def test_what_requires_nothing_is_granted(self) -> None:
        assert weigh((), {"ad_storage": False}, absent="denied").granted

    @given(
        required=st.lists(st.sampled_from(SIGNALS), min_size=1, unique=True),
        signals=st.dictionaries(st.sampled_from(SIGNALS), st.booleans()),
        absent=st.sampled_from(["denied", "granted"]),
    )
    def test_granted_means_that_each_required_signal_is(
        self, required: list[str], signals: dict[str, bool], absent: Absent
    ) -> None:
        granted = weigh(required, signals, absent=absent).granted
        assert granted == all(signals.get(one, absent == "granted") for one in required)


class TestWeaknessesOfTheTags:
    """Section F, "Consent/privacy"."""

    def test_27_the_text_denied_does_not_send(self) -> None:
        assert not verdict({"consent_state": dict.fromkeys(SIGNALS, "denied")}).granted

    @pytest.mark.parametrize("signal", ["ad_user_data", "ad_personalization"])
    def test_28_signals_beyond_ad_storage_are_heeded(self, signal: str) -> None:
        state = dict.fromkeys(SIGNALS, True) | {signal: False}
        assert verdict({"consent_state": state, "x-ga-gcs": "G111"}) == Verdict((signal,), withdrawn=True)

    def test_28_gcd_is_heeded(self) -> None:
        assert verdict({"x-ga-gcd": "13r3r3q3r5l1", "x-ga-gcs": "G111"}).missing == ("ad_user_data",)

    def test_gcs_alone_is_not_enough_for_audiences(self) -> None:
        assert verdict({"x-ga-gcs": "G111"}).missing == ("ad_user_data", "ad_personalization")


#: Values that grant nothing in any place where consent is looked for.
_NO_GRANT: Final = st.one_of(
    st.none(),
    st.just(value=False),
    st.integers().filter(lambda number: number != 1),
    st.floats(allow_nan=False),
    st.text().filter(
        lambda text: text.strip().casefold() not in {"true", "granted", "1"} and text[:1] != "1" and text[:2] != "G1"
    ),
    st.lists(st.just("granted"), max_size=2),
)


@given(
    event=st.fixed_dictionaries(
        {},
        optional={
            "consent_state": st.one_of(_NO_GRANT, st.dictionaries(st.sampled_from(SIGNALS), _NO_GRANT)),
            **{f"consent_state_{signal}": _NO_GRANT for signal in SIGNALS},
            "x-ga-gcd": _NO_GRANT,
            "x_ga_gcd": _NO_GRANT,
            "x-ga-gcs": _NO_GRANT,
            "x_ga_gcs": _NO_GRANT,
        },
    ),
    required=st.lists(st.sampled_from(SIGNALS), min_size=1, unique=True),
)
def test_what_never_says_granted_never_grants(event: dict[str, Any], required: list[str]) -> None:
    assert weigh(required, stated(event), absent="denied").missing == tuple(required)
