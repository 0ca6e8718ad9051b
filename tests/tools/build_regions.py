"""
Build lib/regions.json from the installed pycountry (ISO 3166) and babel (Unicode CLDR): `make regions`.

The file maps each code to the folded names that stand for it (see `lib.regions.fold`). Where two countries have
the same name, it is the one's that has it in English; if that does not decide, it is nobody's.
"""

from __future__ import annotations

import gettext
import json
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import pycountry
from babel import Locale, UnknownLocaleError
from babel.languages import get_official_languages

import lib.regions
from lib.regions import fold

REGIONS_JSON = Path(lib.regions.__file__).with_suffix(".json")

Names = dict[str, set[str]]

# What everybody writes and neither source has. CLDR's short and variant forms are here since babel leaves them
# out; "UK" is exceptionally reserved in ISO 3166 for the United Kingdom.
ENGLISH_ALIASES = {
    "AE": ("UAE",),
    "CD": ("DR Congo",),
    "CI": ("Ivory Coast",),
    "GB": ("UK", "Great Britain", "Britain"),
    "HK": ("Hong Kong SAR",),
    "IE": ("Republic of Ireland",),
    "MM": ("Burma",),
    "MO": ("Macau", "Macao SAR"),
    "PS": ("Palestine",),
    "SZ": ("Swaziland",),
    "TR": ("Turkey",),
    "US": ("United States of America",),
}
STATE_ALIASES = {"US-DC": ("Washington DC",)}


def spellings(name: str) -> Iterator[str]:
    """Yield *name*, and as it is spoken: `Korea, Republic of` and `Republic of Korea`, no brackets."""
    yield name
    plain = re.sub(r"\s*[(\[\uff08].*?[)\]\uff09]", "", name)
    yield plain
    match plain.split(", "):
        case [first, second]:
            yield f"{second.removeprefix('The ')} {first}"


def folded(names: Iterable[str | None]) -> set[str]:
    """Return all spellings of *names*, folded."""
    return {key for name in names if name for spelling in spellings(name) if (key := fold(spelling))}


def subdivisions(alpha_2: str) -> list[pycountry.SubdivisionHierarchy]:
    """Return the states, provinces or parts of a country."""
    return [part for part in pycountry.subdivisions if part.country_code == alpha_2]


def iso_names(country: pycountry.db.Country) -> list[str | None]:
    """Return ISO's short, official and common English names, as far as there are any."""
    return [getattr(country, key, None) for key in ("name", "official_name", "common_name")]


def english_names(country: pycountry.db.Country) -> set[str]:
    """Return the names of *country*, and for the United Kingdom those of its countries."""
    parts = subdivisions("GB") if country.alpha_2 == "GB" else []
    return folded(
        [
            *iso_names(country),
            Locale("en").territories.get(country.alpha_2),
            *ENGLISH_ALIASES.get(country.alpha_2, ()),
            *(part.name for part in parts if part.code in {"GB-ENG", "GB-NIR", "GB-SCT", "GB-WLS"}),
        ]
    )


def own_names(country: pycountry.db.Country) -> set[str]:
    """Return the names of *country* in the languages that are official in it or a part of it, or as good as."""
    names: set[str | None] = set()
    for language in get_official_languages(country.alpha_2, regional=True, de_facto=True):
        try:
            names.add(Locale.parse(language).territories.get(country.alpha_2))
        except UnknownLocaleError:
            continue
    for catalogue in catalogues("iso3166-1", country.alpha_2):
        names.update(catalogue.gettext(name) for name in iso_names(country) if name)
    return folded(names)


def catalogues(domain: str, alpha_2: str) -> Iterator[gettext.NullTranslations]:
    """Yield the translations of ISO's names into the languages of a country."""
    for language in get_official_languages(alpha_2, regional=True, de_facto=True):
        # The country's own form (zh_HK for zh_Hant, pt_BR for pt) where there is one.
        places = [f"{language.partition('_')[0]}_{alpha_2}", language]
        yield gettext.translation(domain, pycountry.LOCALES_DIR, languages=places, fallback=True)


def unambiguous(names: Mapping[str, set[str]], taken: Mapping[str, str]) -> Names:
    """Return *names* without those of two codes, and without those that *taken* gives to another code."""
    holders: dict[str, set[str]] = defaultdict(set)
    for code, of_code in names.items():
        for name in of_code:
            holders[name].add(code)
    return {
        code: {name for name in of_code if holders[name] == {code} and taken.get(name, code) == code}
        for code, of_code in names.items()
    }


def holders(names: Mapping[str, Iterable[str]]) -> dict[str, str]:
    """Return *names* turned round."""
    return {name: code for code, of_code in names.items() for name in of_code}


def countries() -> dict[str, list[str]]:
    """Return the alpha-3 code and the names of each country. Codes go before English, English before others."""
    all_countries = {country.alpha_2.lower(): country for country in pycountry.countries}
    alpha_2: Names = {code: {code} for code in all_countries}
    alpha_3: Names = {code: {country.alpha_3.lower()} for code, country in all_countries.items()}
    codes = holders(alpha_2) | holders(alpha_3)
    english = unambiguous({code: english_names(c) for code, c in all_countries.items()}, codes)
    own = unambiguous({code: own_names(c) for code, c in all_countries.items()}, codes | holders(english))
    return {code: sorted((alpha_3[code] | english[code] | own[code]) - alpha_2[code]) for code in sorted(all_countries)}


def states(alpha_2: str) -> dict[str, list[str]]:
    """Return the names of each state of a country, in English and, for Canada, French."""
    french = gettext.translation("iso3166-2", pycountry.LOCALES_DIR, languages=["fr"])
    names: Names = {}
    for state in subdivisions(alpha_2):
        short = state.code.removeprefix(f"{alpha_2}-")
        spoken = [state.name, *STATE_ALIASES.get(state.code, ())]
        if alpha_2 == "CA":
            spoken.append(french.gettext(state.name))
        elif state.type != "State":
            # Puerto Rico and others have country codes too, and so a name in CLDR.
            spoken.append(Locale("en").territories.get(short, ""))
        names[short.lower()] = folded(spoken)
    taken = {code: code for code in names}
    return {code: sorted(of_code) for code, of_code in sorted(unambiguous(names, taken).items())}


def build() -> str:
    """Return the text of regions.json: one line for each code, in the order of the codes."""

    def lines(names: Mapping[str, list[str]], indent: str) -> str:
        entries = (f'{indent}"{code}": {json.dumps(of_code, ensure_ascii=False)}' for code, of_code in names.items())
        return ",\n".join(entries)

    return (
        f'{{\n  "countries": {{\n{lines(countries(), "    ")}\n  }},\n'
        f'  "states": {{\n    "ca": {{\n{lines(states("CA"), "      ")}\n    }},\n'
        f'    "us": {{\n{lines(states("US"), "      ")}\n    }}\n  }}\n}}\n'
    )


if __name__ == "__main__":
    REGIONS_JSON.write_text(build(), encoding="utf-8")
