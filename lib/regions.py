"""Placeholder until the real module lands (being written); a few countries and states."""

from __future__ import annotations

_C = {"de": "de", "germany": "de", "deutschland": "de", "us": "us", "usa": "us", "united states": "us", "niederlande": "nl"}


def country_code(text: str) -> str | None:
    """Return alpha-2."""
    return _C.get(text.lower())


def state_code(text: str, country: str | None) -> str | None:
    """Return the code."""
    return {"california": "ca", "ca": "ca"}.get(text.lower()) if country in {None, "us"} else None
