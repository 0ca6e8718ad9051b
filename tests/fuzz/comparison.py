"""The phone numbers of the relay against the library's, text by text."""

from __future__ import annotations

from dataclasses import dataclass, field

import phonenumbers

from lib.phone_numbers import e164_digits, falls_back, international_form
from tests.fuzz.phone_texts import phone_texts


@dataclass
class Outcome:
    """What came of comparing; the texts are made up, so they may be shown."""

    texts: int = 0
    numbers: int = 0
    fallen_back: int = 0
    #: Text, region, the library's digits and ours.
    differences: list[tuple[str, str | None, str | None, str | None]] = field(default_factory=list)
    #: Digits of valid numbers that come out as others when they are read again.
    unstable: list[tuple[str, str | None, str]] = field(default_factory=list)

    def __str__(self) -> str:
        """Say how many texts held a number, and how many only the library could read."""
        return f"{self.texts} texts, {self.numbers} numbers, {self.fallen_back / self.texts:.1%} fell back"


def library_digits(text: str, region: str | None) -> tuple[str | None, bool]:
    """Return the digits that the library reads in *text*, and whether they are a valid number."""
    try:
        number = phonenumbers.parse(text, region)
    except phonenumbers.NumberParseException:
        return None, False
    if not phonenumbers.is_possible_number(number):
        return None, False
    e164 = phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)
    return e164.removeprefix("+"), phonenumbers.is_valid_number(number)


def compare(seed: int, count: int) -> Outcome:
    """Read *count* texts in both ways."""
    outcome = Outcome(texts=count)
    for text, region in phone_texts(seed, count):
        expected, valid = library_digits(international_form(text, region), region)
        digits = e164_digits(text, region)
        outcome.numbers += digits is not None
        outcome.fallen_back += falls_back(text, region)
        if digits != expected:
            outcome.differences.append((text, region, expected, digits))
        if valid and e164_digits(f"+{digits}", region) != digits:
            outcome.unstable.append((text, region, f"{digits}"))
    return outcome
