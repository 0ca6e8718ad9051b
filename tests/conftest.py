"""Fixtures of the tests that go through the entry points."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests import terraform
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


@pytest.fixture(scope="session")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> terraform.Workspace:
    """Terraform in a copy of its folder, where it and its providers can be had."""
    try:
        return terraform.workspace(tmp_path_factory.mktemp("terraform") / "work")
    except terraform.UnavailableError as error:
        pytest.skip(str(error))


@pytest.fixture(scope="session")
def plans(workspace: terraform.Workspace) -> dict[str, terraform.Plan]:
    """The plan of each run of tests/plan.tftest.hcl, by its name."""
    return dict(workspace.plans())
