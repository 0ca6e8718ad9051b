"""Fixtures of the tests that go through the entry points."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.functions import Functions, functions_in_this_process
from tests.local.stack import Stack


@pytest.fixture
def stack() -> Iterator[Stack]:
    """The stand-ins of Meta and of Google Cloud."""
    with Stack() as stack:
        yield stack


@pytest.fixture
def functions(stack: Stack, monkeypatch: pytest.MonkeyPatch) -> Iterator[Functions]:
    """Both functions beside them, in this process."""
    yield from functions_in_this_process(stack, monkeypatch)
