"""terraform/README.md: its tables are those of the code, and what it names is there."""

from __future__ import annotations

import re
from typing import Final

import pytest

from lib.cli import cli
from tests import hcl, terraform
from tests.terraform import Plan
from tests.tools import build_terraform_readme

TEXT: Final = build_terraform_readme.README.read_text(encoding="utf-8")


def test_the_generated_tables_are_current() -> None:
    assert build_terraform_readme.with_tables(TEXT) == TEXT, "`make terraform` writes them anew"


def test_there_are_ten_steps_each_with_what_one_sees() -> None:
    steps = re.findall(r"^(\d+)\. \*\*(.+?)\*\* ?(.*)$", TEXT, re.MULTILINE)
    assert [int(number) for number, _, _ in steps] == list(range(1, 11))
    assert all("`" in text for _, _, text in steps)


def test_the_names_that_it_uses_are_those_of_the_defaults() -> None:
    rendering = terraform.rendering()["defaults"]
    assert set(re.findall(r"scheduler jobs run ([\w-]+)", TEXT)) <= rendering["jobs"].keys()
    assert set(re.findall(r"FROM meta_relay\.(\w+)", TEXT)) <= rendering["views"].keys()
    assert set(re.findall(r"topics publish ([\w-]+)", TEXT)) == {"meta-relay"}


def test_each_variable_that_it_speaks_of_is_there() -> None:
    names = {one.name: one.type for one in hcl.variables(terraform.FOLDER / "variables.tf")}
    outputs = {name for name, _ in hcl.outputs(terraform.FOLDER / "outputs.tf")}
    assert set(re.findall(r"terraform output -raw (\w+)", TEXT)) <= outputs
    for name, key in re.findall(
        r"`([a-z_]+)\.((?:[a-z_]+\.)*[a-z_]+)(?: = [^`]+)?`", TEXT.partition("## Variables")[0]
    ):
        assert name in names
        assert key.rpartition(".")[2] in names[name]


def test_the_commands_that_it_names_are_there() -> None:
    assert set(re.findall(r"python -m lib\.cli (\w+)", TEXT)) <= cli.commands.keys()


def test_a_larger_volume_costs_more_and_lists_cost_less() -> None:
    single = [sum(build_terraform_readme.month(events, 1)) for events in (1e6, 1e7, 1e9)]
    assert single == sorted(single)
    assert sum(build_terraform_readme.month(1e9, 100)) < single[-1] / 5


@pytest.mark.terraform
def test_the_plan_is_as_large_as_it_says(plans: dict[str, Plan]) -> None:
    (stated,) = re.findall(r"Plan: (\d+) to add", TEXT)
    assert int(stated) == len(plans["defaults"].resources)
