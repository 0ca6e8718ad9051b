"""The folder terraform/ as Terraform itself sees it: formatted, valid, tested, and as the committed rendering says."""

from __future__ import annotations

import json
import random
import re
import shutil
import subprocess
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final

import pytest

from tests import hcl, terraform
from tests.hcl import Argument
from tests.terraform import Plan, Workspace

pytestmark = [pytest.mark.terraform, pytest.mark.timeout(600)]

TESTS: Final = terraform.FOLDER / "tests"
PLAN: Final = TESTS / "plan.tftest.hcl"
#: Its runs need no provider, and take a twentieth of the time without one.
VALIDATION: Final = TESTS / "validation.tftest.hcl"


def test_it_is_formatted(workspace: Workspace) -> None:
    done = workspace.run("fmt", "-check", "-diff", "-recursive", "-no-color")
    assert (done.returncode, done.stdout) == (0, "")


def test_it_is_valid(workspace: Workspace) -> None:
    done = workspace.run("validate", "-no-color")
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(
    "name", sorted(path.name for path in TESTS.glob("*.tftest.hcl") if path not in {PLAN, VALIDATION})
)
def test_its_own_tests_pass(workspace: Workspace, name: str) -> None:
    done = workspace.run("test", "-no-color", f"-filter=tests/{name}")
    assert done.returncode == 0, done.stdout + done.stderr


def test_its_plans_are_as_its_own_tests_want_them(plans: dict[str, Plan]) -> None:
    assert plans.keys() == set(re.findall(r'^run "(\w+)"', PLAN.read_text(encoding="utf-8"), re.MULTILINE))


def test_the_committed_rendering_is_what_is_planned(plans: dict[str, Plan]) -> None:
    assert terraform.rendering() == terraform.rendered(plans), "`make terraform` writes it anew"


def validation_runs() -> list[tuple[str, str, list[str]]]:
    """Return name, variables and expected failures of each run that breaks validations."""
    pattern = r'^run "(\w+)" \{.*?^  variables \{\n(.*?)^  \}\n\n  expect_failures = \[(.*?)\]'
    found = re.findall(pattern, VALIDATION.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    return [(name, body, re.findall(r"var\.(\w+)", expected)) for name, body, expected in found]


@pytest.fixture(scope="module")
def told(workspace: Workspace, tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[str]]:
    """The messages that each of these runs gets, by its name, from the variables alone."""
    alone = Workspace(tmp_path_factory.mktemp("variables"), name=".")
    shutil.copy(workspace.folder / "variables.tf", alone.folder)
    return {name: messages(alone, body) for name, body, _ in validation_runs()}


def messages(alone: Workspace, body: str) -> list[str]:
    given = alone.folder / "given.tfvars"
    given.write_text(body if "project_id" in body else f'project_id = "demo-project"\n{body}', encoding="utf-8")
    done = alone.run("plan", "-json", "-input=false", "-var-file=given.tfvars")
    events = [json.loads(line) for line in done.stdout.splitlines()]
    details = [event["diagnostic"]["detail"] for event in events if event["type"] == "diagnostic"]
    return [detail.partition("\n\nThis was checked by")[0] for detail in details]


def test_each_validation_of_a_variable_is_broken_by_a_run(told: dict[str, list[str]]) -> None:
    stated = [text for one in hcl.variables(terraform.FOLDER / "variables.tf") for text in one.messages]
    assert sorted(stated) == sorted(text for texts in told.values() for text in texts)


def test_a_run_breaks_one_validation_of_each_variable_that_it_expects_to_fail(told: dict[str, list[str]]) -> None:
    variable_of = {text: one.name for one in hcl.variables(terraform.FOLDER / "variables.tf") for text in one.messages}
    for name, _, expected in validation_runs():
        assert sorted(variable_of[text] for text in told[name]) == sorted(expected)


def test_checkov_finds_nothing_beyond_what_is_skipped_with_a_reason() -> None:
    settings = terraform.FOLDER / ".checkov.yaml"
    skipped = re.findall(r"^  - (\S+)(.*)$", settings.read_text(encoding="utf-8"), re.MULTILINE)
    assert all(reason.startswith(" # ") for _, reason in skipped)
    checkov = shutil.which("checkov")
    if checkov is None:
        pytest.skip("checkov is not installed (`pip install checkov==3.3.30`), so that it finds nothing here.")
    done = subprocess.run(
        [checkov, "-d", str(terraform.FOLDER), "--config-file", str(settings)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout


class TestMisspellings:
    """A misspelt argument is no argument: Terraform and the providers' schemas catch each."""

    COUNT: Final = 60

    def test_each_is_caught(self, workspace: Workspace, tmp_path: Path) -> None:
        chance = random.Random(5)
        files = sorted(workspace.folder.glob("*.tf"))
        chosen = chance.sample([one for file in files for one in hcl.arguments(file)], self.COUNT)
        cases = [(one, misspelt(one.name, chance)) for one in chosen]
        with ThreadPoolExecutor(2) as pool:
            halves = [
                pool.submit(self._missed, workspace.copy(tmp_path / str(place)), cases[place::2]) for place in (0, 1)
            ]
            missed = [one for half in halves for one in half.result()]
        assert missed == []

    @staticmethod
    def _missed(own: Workspace, cases: Sequence[tuple[Argument, str]]) -> list[str]:
        """Misspell one at a time; return those of which Terraform does not blame the file."""
        missed = []
        for argument, wrong in cases:
            file = own.folder / argument.file.name
            right = file.read_text(encoding="utf-8")
            lines = right.split("\n")
            lines[argument.line] = lines[argument.line].replace(argument.name, wrong, 1)
            file.write_text("\n".join(lines), encoding="utf-8")
            blamed = _blamed_by_validate(own) or _blamed_by_plans(own)
            file.write_text(right, encoding="utf-8")
            if file.name not in blamed:
                missed.append(f"{file.name}:{argument.line + 1} {argument.name} -> {wrong}")
        return missed


def _blamed_by_validate(own: Workspace) -> set[str]:
    """Return the files in which `terraform validate` finds faults."""
    answer: dict[str, Any] = json.loads(own.run("validate", "-json").stdout)
    return {one["range"]["filename"] for one in answer["diagnostics"] if "range" in one}


def _blamed_by_plans(own: Workspace) -> set[str]:
    """Return the files in which a plan does: blocks that depend on a variable are there only then."""
    done = own.run("test", "-json", f"-filter=tests/{PLAN.name}")
    told = [json.loads(line) for line in done.stdout.splitlines()]
    found = [event["diagnostic"] for event in told if event["type"] == "diagnostic"]
    return {one["range"]["filename"] for one in found if "range" in one}


def misspelt(name: str, chance: random.Random) -> str:
    """Return *name* without one of its letters, or with one doubled."""
    place = chance.randrange(len(name))
    return (
        name[:place] + name[place + 1 :]
        if chance.random() < 0.5 and len(name) > 2
        else name[:place] + name[place] + name[place:]
    )
