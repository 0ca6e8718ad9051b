"""Build lib/currencies.json from the installed pycountry (ISO 4217): `python -m tests.tools.build_currencies`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Final

import pycountry

import lib.money

CURRENCIES_JSON = Path(lib.money.__file__).with_name("currencies.json")

#: Codes of the standard that stand for no currency, and for tests.
NO_CURRENCIES: Final = frozenset({"XXX", "XTS"})
PER_LINE: Final = 16


def build() -> str:
    """Return the text of currencies.json: the codes in their order, some to a line."""
    codes = [json.dumps(code) for code in sorted({one.alpha_3 for one in pycountry.currencies} - NO_CURRENCIES)]
    lines = [", ".join(codes[start : start + PER_LINE]) for start in range(0, len(codes), PER_LINE)]
    return "[\n  " + ",\n  ".join(lines) + "\n]\n"


if __name__ == "__main__":
    CURRENCIES_JSON.write_text(build(), encoding="utf-8")
