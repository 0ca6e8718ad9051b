"""
Runs the tag's own tests, where Node and the runner of template tests (`gtmt.js`) are at hand.

The runner is looked for beside the repository, or where `GTM_RUNNER` says; its two packages in `.gtm/node_modules`,
where `.ci/gtm` installs them.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Self

ROOT: Final = Path(__file__).parents[2]
_RUNNER: Final = ROOT.parent / "shared" / "tools" / "gtm-template" / "gtmt.js"
_MODULES: Final = ROOT / ".gtm" / "node_modules"
_MUTANTS: Final = Path(__file__).with_name("gtm_mutants.js")
#: Before the requests that a scenario prints.
_MARK: Final = "REQUEST "


class NotAtHandError(Exception):
    """What the template's own tests need is not on this machine; the text says what."""


@dataclass(frozen=True, slots=True)
class Scenario:
    """A scenario of the template's tests, and what became of it."""

    name: str
    ok: bool
    failures: Sequence[str]
    log: Sequence[str]


@dataclass(frozen=True, slots=True)
class Runner:
    """Node, the runner, and the packages that it needs."""

    node: str
    script: Path

    @classmethod
    def find(cls) -> Self:
        """
        Return what is on this machine.

        Raises:
            NotAtHandError: A part is missing.
        """
        node = shutil.which("node")
        script = Path(os.environ.get("GTM_RUNNER", _RUNNER))
        if node is None:
            raise NotAtHandError("Node is not installed")
        if not script.is_file():
            raise NotAtHandError("the runner of template tests is not beside the repository; GTM_RUNNER can name it")
        if not _MODULES.is_dir():
            raise NotAtHandError("the runner's packages are not installed; .ci/gtm does it")
        return cls(node, script.resolve())

    def scenarios(self, template: Path) -> tuple[list[Scenario], list[str]]:
        """Return the scenarios of *template*, run strictly, and what the runner's lint finds."""
        answer = self._run(str(self.script), str(template), "--json", "--strict")
        return [Scenario(**one) for one in answer["results"]], answer["lint"]

    def requests(self, template: Path) -> dict[str, list[dict[str, Any]]]:
        """Return scenario -> the requests that it has printed."""
        scenarios, _ = self.scenarios(template)
        return {
            one.name: [json.loads(line.removeprefix(_MARK)) for line in one.log if line.startswith(_MARK)]
            for one in scenarios
            if any(line.startswith(_MARK) for line in one.log)
        }

    def mutants(self, template: Path, mutations: Sequence[Mapping[str, str]]) -> list[bool]:
        """Return, for each of *mutations* of the template's code, whether the scenario that it names fails."""
        caught: list[bool] = self._run(str(_MUTANTS), str(self.script), str(template), input_text=json.dumps(mutations))
        return caught

    def _run(self, *arguments: str, input_text: str = "") -> Any:
        done = subprocess.run(
            [self.node, *arguments],
            input=input_text,
            env={**os.environ, "NODE_PATH": str(_MODULES)},
            capture_output=True,
            text=True,
            timeout=110,
            check=False,
        )
        if not done.stdout:
            raise RuntimeError(f"the runner has failed: {done.stderr[:500]}")
        return json.loads(done.stdout)
