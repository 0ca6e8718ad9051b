"""What requirements.txt deploys: everything pinned, at the versions that are tested here."""

from __future__ import annotations

import re
from importlib import metadata
from pathlib import Path
from typing import Final

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import lib

ROOT: Final = Path(__file__).parents[1]


def pins() -> dict[str, Requirement]:
    """Return each requirement by its canonical name."""
    lines = (ROOT / "requirements.txt").read_text(encoding="utf-8").splitlines()
    stated = [Requirement(text) for line in lines if (text := line.partition("#")[0].strip())]
    return {canonicalize_name(one.name): one for one in stated}


def brought_by(requirement: Requirement, seen: set[tuple[str, frozenset[str]]]) -> set[str]:
    """Return the names of all that is installed because of *requirement*, itself among them."""
    name = canonicalize_name(requirement.name)
    extras = frozenset(requirement.extras)
    if (name, extras) in seen:
        return set()
    seen.add((name, extras))
    found: set[str] = {name}
    for text in metadata.requires(name) or ():
        needed = Requirement(text)
        if needed.marker is None or any(needed.marker.evaluate({"extra": extra}) for extra in ("", *extras)):
            found |= brought_by(needed, seen)
    return found


def installed() -> set[str]:
    return {canonicalize_name(one.metadata["Name"]) for one in metadata.distributions()}


def test_each_requirement_is_pinned_to_one_version() -> None:
    assert [name for name, one in pins().items() if not re.fullmatch(r"==[^*,]+", str(one.specifier))] == []


def test_all_that_the_requirements_bring_is_pinned() -> None:
    seen: set[tuple[str, frozenset[str]]] = set()
    brought = set().union(*(brought_by(one, seen) for one in pins().values()))
    assert sorted(brought) == sorted(pins())


@pytest.mark.parametrize("name", sorted(pins()))
def test_what_is_tested_is_what_is_pinned(name: str) -> None:
    assert pins()[name].specifier.contains(metadata.version(name), prereleases=True)


def test_what_would_slow_each_cold_start_is_not_there() -> None:
    assert installed() & {"pyarrow", "google-cloud-bigquery-storage", "pandas", "numpy"} == set()


def test_lib_is_the_one_of_this_repository() -> None:
    assert lib.__file__ is not None
    assert Path(lib.__file__).parent == ROOT / "lib"
