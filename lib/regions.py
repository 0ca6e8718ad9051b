"""
Countries and states by their codes and names, as ISO 3166 and Unicode CLDR have them.

The names are data, `regions.json`; `make regions` takes them from pycountry and babel, which are not deployed.
The file is read on first use.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final
from unicodedata import category, normalize

#: Unicode's categories of letters, and of the marks that take a place of their own.
_LETTERS: Final = frozenset({"Lu", "Ll", "Lt", "Lm", "Lo", "Mc"})


def fold(text: str) -> str:
    """
    Return what names are compared by: the letters of *text*, without case, accents, spaces and punctuation.

    Accents are what NFKD splits off and Unicode calls nonspacing marks; spacing marks, which are vowels in many
    scripts, are kept. `Côte d'Ivoire`, composed or not, and `COTE D'IVOIRE` are both `cotedivoire`.
    """
    if text.isascii() and text.isalpha():
        return text.lower()
    letters = [character for character in normalize("NFKD", text) if category(character) in _LETTERS]
    # NFC puts together the Korean syllables that NFKD has taken apart.
    return normalize("NFC", "".join(letters).casefold())


@dataclass(frozen=True, slots=True)
class _Regions:
    """The data file, turned round: from what stands in a row to the code."""

    country_codes: frozenset[str]
    #: Folded names and alpha-3 codes.
    countries: dict[str, str]
    #: For `us`, `ca` and both: codes, codes with their country (`usca`) and folded names.
    states: dict[str | None, dict[str, str]]


@cache
def _regions() -> _Regions:
    data = json.loads(Path(__file__).with_suffix(".json").read_text(encoding="utf-8"))
    states: dict[str | None, dict[str, str]] = {
        country: {name: code for code, names in of_country.items() for name in (code, f"{country}{code}", *names)}
        for country, of_country in data["states"].items()
    }
    states[None] = states["ca"] | states["us"]
    return _Regions(
        country_codes=frozenset(data["countries"]),
        countries={name: code for code, names in data["countries"].items() for name in names},
        states=states,
    )


def alpha2_codes() -> frozenset[str]:
    """Return all ISO 3166-1 alpha-2 codes, in lower case."""
    return _regions().country_codes


def country_code(text: str) -> str | None:
    """
    Return the ISO 3166-1 alpha-2 code, in lower case, of the country that *text* names, None if it names none.

    *text* may be an alpha-2 or alpha-3 code or a name in English or in a language of the country itself. A name
    that two countries share belongs to the one that has it in English, or else to neither.
    """
    regions = _regions()
    code = text.lower()
    if code in regions.country_codes:
        return code
    folded = fold(text)
    if folded in regions.country_codes:
        return folded
    return regions.countries.get(folded) or regions.countries.get(folded.removeprefix("the"))


def state_code(text: str, country: str | None) -> str | None:
    """
    Return the two-letter code, in lower case, of the state, territory or province that *text* names.

    *text* may be the code, the code after its country (`US-CA`), or the English, in Canada also the French name.
    *country* is `us`, `ca`, or None for either of them; None comes back for any other and for an unknown state.
    """
    states = _regions().states.get(country)
    return None if states is None else states.get(fold(text))
