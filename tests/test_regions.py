from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from unicodedata import normalize

import pycountry
import pytest
from babel.core import get_global
from hypothesis import given
from hypothesis import strategies as st

from lib.regions import alpha2_codes, country_code, fold, state_code
from tests.tools.build_regions import REGIONS_JSON, build, english_names, folded, iso_names


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("de", "de", id="alpha-2"),
        pytest.param("DEU", "de", id="alpha-3"),
        pytest.param("Germany", "de", id="English"),
        pytest.param("Deutschland", "de", id="German"),
        pytest.param("Bundesrepublik Deutschland", "de", id="official in German"),
        pytest.param("Allemagne", None, id="French is no language of Germany"),
        pytest.param(" DE ", "de", id="alpha-2 with spaces"),
        pytest.param("United States", "us", id="United States"),
        pytest.param("United States of America", "us", id="United States of America"),
        pytest.param("The United States", "us", id="the article"),
        pytest.param("USA", "us", id="USA"),
        pytest.param("U.S.A.", "us", id="U.S.A."),
        pytest.param("U.S.", "us", id="U.S."),
        pytest.param("us", "us", id="us"),
        pytest.param("UK", "gb", id="UK"),
        pytest.param("Great Britain", "gb", id="Great Britain"),
        pytest.param("England", "gb", id="England"),
        pytest.param("Wales", "gb", id="Wales"),
        pytest.param("Northern Ireland", "gb", id="Northern Ireland"),
        pytest.param("Ireland", "ie", id="Ireland"),
        pytest.param("\u4e2d\u56fd", "cn", id="China in Chinese"),
        pytest.param("\u65e5\u672c", "jp", id="Japan in Japanese"),
        pytest.param("\u9999\u6e2f", "hk", id="Hong Kong in Chinese"),
        pytest.param("\u53f0\u7063", "tw", id="Taiwan in Chinese"),
        pytest.param("\ub300\ud55c\ubbfc\uad6d", "kr", id="South Korea in Korean"),
        pytest.param("\u0420\u043e\u0441\u0441\u0438\u044f", "ru", id="Russia in Russian"),
        pytest.param("\u092d\u093e\u0930\u0924", "in", id="India in Hindi"),
        pytest.param("\u0645\u0635\u0631", "eg", id="Egypt in Arabic"),
        pytest.param("España", "es", id="Spain in Spanish"),
        pytest.param("ESPANA", "es", id="without accents"),
        pytest.param(normalize("NFD", "España"), "es", id="decomposed"),
        pytest.param("Österreich", "at", id="Austria in German"),
        pytest.param("Schweiz", "ch", id="Switzerland in German"),
        pytest.param("Suisse", "ch", id="Switzerland in French"),
        pytest.param("Türkiye", "tr", id="Türkiye"),
        pytest.param("TÜRKİYE", "tr", id="Türkiye in Turkish capitals"),
        pytest.param("Turkey", "tr", id="Turkey"),
        pytest.param("Côte d'Ivoire", "ci", id="Côte d'Ivoire"),
        pytest.param("Cote D\u2019Ivoire", "ci", id="typographic apostrophe"),
        pytest.param("Ivory Coast", "ci", id="Ivory Coast"),
        pytest.param("South Korea", "kr", id="South Korea"),
        pytest.param("Korea, Republic of", "kr", id="inverted"),
        pytest.param("Republic of Korea", "kr", id="as spoken"),
        pytest.param("Korea", None, id="either Korea"),
        pytest.param("Russia", "ru", id="Russia"),
        pytest.param("Russian Federation", "ru", id="Russian Federation"),
        pytest.param("Czechia", "cz", id="Czechia"),
        pytest.param("Czech Republic", "cz", id="Czech Republic"),
        pytest.param("Democratic Republic of the Congo", "cd", id="Kinshasa"),
        pytest.param("Republic of the Congo", "cg", id="Brazzaville"),
        pytest.param("The Netherlands", "nl", id="The Netherlands"),
        pytest.param("Bosnia & Herzegovina", "ba", id="ampersand"),
        pytest.param("Bosnia and Herzegovina", "ba", id="and"),
        pytest.param("Myanmar", "mm", id="without parentheses"),
        pytest.param("Vietnam", "vn", id="Vietnam"),
        pytest.param("Taiwan", "tw", id="Taiwan"),
        pytest.param("ge", "ge", id="ge is Georgia's code, not Germany's"),
        pytest.param("Georgia", "ge", id="Georgia the country"),
        pytest.param("California", None, id="a state is no country"),
        pytest.param("Atlantis", None, id="unknown"),
        pytest.param("xx", None, id="unknown code"),
        pytest.param("", None, id="empty"),
        pytest.param("the", None, id="only an article"),
        pytest.param("49", None, id="no letter"),
    ],
)
def test_country(text: str, expected: str | None) -> None:
    assert expected == country_code(text)


@pytest.mark.parametrize(
    ("text", "country", "expected"),
    [
        pytest.param("California", "us", "ca", id="name"),
        pytest.param("CA", "us", "ca", id="code"),
        pytest.param("ca", None, "ca", id="ca is California"),
        pytest.param("ca", "ca", None, id="and no province"),
        pytest.param("US-CA", None, "ca", id="ISO 3166-2"),
        pytest.param("US-CA", "ca", None, id="of the other country"),
        pytest.param("NEW  YORK", "us", "ny", id="spaces and case"),
        pytest.param("Georgia", "us", "ga", id="Georgia the state"),
        pytest.param("District of Columbia", "us", "dc", id="district"),
        pytest.param("Washington, D.C.", "us", "dc", id="Washington, D.C."),
        pytest.param("Washington", "us", "wa", id="Washington"),
        pytest.param("Puerto Rico", "us", "pr", id="territory"),
        pytest.param("U.S. Virgin Islands", "us", "vi", id="territory as CLDR has it"),
        pytest.param("Virgin Islands, U.S.", "us", "vi", id="territory as ISO has it"),
        pytest.param("Ontario", "ca", "on", id="province"),
        pytest.param("Ontario", None, "on", id="province, no country"),
        pytest.param("Ontario", "us", None, id="province, other country"),
        pytest.param("Québec", "ca", "qc", id="Québec"),
        pytest.param("Quebec", "ca", "qc", id="Quebec"),
        pytest.param("Colombie-Britannique", "ca", "bc", id="French"),
        pytest.param("Bayern", "de", None, id="other countries"),
        pytest.param("Bayern", None, None, id="unknown"),
        pytest.param("", None, None, id="empty"),
    ],
)
def test_state(text: str, country: str | None, expected: str | None) -> None:
    assert expected == state_code(text, country)


def test_file_is_what_the_installed_libraries_give() -> None:
    """After an update of pycountry or babel, `make regions` and a look at the difference are due."""
    assert REGIONS_JSON.read_text(encoding="utf-8") == build()


def test_file_is_small() -> None:
    assert REGIONS_JSON.stat().st_size < 120_000


def test_uk_is_an_alias_in_cldr_too() -> None:
    assert get_global("territory_aliases")["UK"] == ["GB"]


def test_file_is_read_on_first_use_only() -> None:
    code = "import sys, lib.regions as r; sys.exit(r._regions.cache_info().currsize)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


class TestAllCountries:
    """Every country of ISO 3166-1 is known, by each of ISO's names."""

    def test_as_in_iso(self) -> None:
        assert {country.alpha_2.lower() for country in pycountry.countries} == alpha2_codes()

    @pytest.mark.parametrize("country", list(pycountry.countries), ids=lambda country: country.alpha_2)
    def test_names(self, country: pycountry.db.Country) -> None:
        code = country.alpha_2.lower()
        names = [name for name in iso_names(country) if name]
        assert {code} == {country_code(text) for text in (country.alpha_2, country.alpha_3, *names)}

    def test_an_english_name_has_one_country(self) -> None:
        holders: dict[str, set[str]] = {}
        for country in pycountry.countries:
            for name in english_names(country):
                holders.setdefault(name, set()).add(country.alpha_2)
        assert {name: codes for name, codes in holders.items() if len(codes) > 1} == {}


@given(st.sampled_from(sorted(alpha2_codes())), st.sampled_from([str.lower, str.upper, str.title]))
def test_a_code_is_itself(code: str, written: Callable[[str], str]) -> None:
    assert code == country_code(written(code))


@given(st.text())
def test_folding_twice_changes_nothing(text: str) -> None:
    assert fold(text) == fold(fold(text))


@given(st.text())
def test_composed_or_not_is_the_same(text: str) -> None:
    assert fold(normalize("NFC", text)) == fold(normalize("NFD", text))


@given(st.text())
def test_no_text_raises(text: str) -> None:
    assert country_code(text) in {None, *alpha2_codes()}
    assert state_code(text, None) is None or len(text) > 1


def test_spellings() -> None:
    assert {"koreademocraticpeoplesrepublicof", "democraticpeoplesrepublicofkorea"} == folded(
        ["Korea, Democratic People's Republic of"]
    )
