"""The folder terraform/ as Terraform itself sees it: formatted, valid, tested, and planned as the code expects."""

from __future__ import annotations

import pytest

from tests import terraform
from tests.terraform import Workspace

pytestmark = pytest.mark.terraform


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    try:
        return terraform.workspace(tmp_path_factory.mktemp("terraform") / "work")
    except terraform.UnavailableError as error:
        pytest.skip(str(error))


def test_it_is_formatted(made: Workspace) -> None:
    done = made.run("fmt", "-check", "-diff", "-recursive", "-no-color")
    assert (done.returncode, done.stdout) == (0, "")


def test_it_is_valid(made: Workspace) -> None:
    done = made.run("validate", "-no-color")
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("name", sorted(path.name for path in (terraform.FOLDER / "tests").glob("*.tftest.hcl")))
def test_its_own_tests_pass(made: Workspace, name: str) -> None:
    done = made.run("test", "-no-color", f"-filter=tests/{name}")
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_committed_rendering_is_what_is_planned(made: Workspace) -> None:
    assert terraform.rendering() == terraform.rendered(made), "`make terraform` writes it anew"
