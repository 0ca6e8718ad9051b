"""Terraform run in a copy of the folder, and what it plans, for the tests that hold it and the code together."""

from __future__ import annotations

import base64
import json
import os
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Final

ROOT: Final = Path(__file__).parents[1]
FOLDER: Final = ROOT / "terraform"
#: What Terraform plans for both functions, for a machine without Terraform; `make terraform` writes it anew.
RENDERING: Final = ROOT / "tests" / "data" / "terraform.json"
#: Seconds after which the provider registry counts as out of reach.
_INIT_TIMEOUT_S: Final = 120


class UnavailableError(Exception):
    """Terraform or its providers cannot be had here; the text says which."""


@dataclass(frozen=True)
class Workspace:
    """
    A copy of what Terraform reads, ready for its commands.

    Args:
        place: An empty folder.
        name: Of the folder in it.
        environ: What its commands need beyond the environment, such as where `terraform init` has put the providers.
    """

    place: Path
    environ: Mapping[str, str] = field(default_factory=dict)
    name: str = "terraform"

    @property
    def folder(self) -> Path:
        """Where the .tf files are."""
        return self.place / self.name

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run a command of Terraform."""
        return subprocess.run(
            ["terraform", *arguments],
            cwd=self.folder,
            env={**os.environ, **self.environ, "TF_IN_AUTOMATION": "1"},
            capture_output=True,
            text=True,
            check=False,
        )

    def copy(self, place: Path) -> Workspace:
        """Return another workspace with the same providers."""
        shutil.copytree(self.place, place, ignore=shutil.ignore_patterns(".terraform"), symlinks=True)
        return Workspace(place, self.environ)

    def plans(self) -> Iterator[tuple[str, Plan]]:
        """Yield the plan of each run of tests/plan.tftest.hcl by its name; all of them pass."""
        done = self.run("test", "-json", "-verbose", "-filter=tests/plan.tftest.hcl")
        events = [json.loads(line) for line in done.stdout.splitlines()]
        told = [event["@message"] for event in events if event["type"] == "diagnostic"]
        assert (done.returncode, told) == (0, [])
        yield from ((event["@testrun"], Plan(event["test_plan"])) for event in events if event["type"] == "test_plan")


@dataclass(frozen=True)
class Plan:
    """A plan in Terraform's own JSON."""

    document: Mapping[str, Any] = field(repr=False)

    @cached_property
    def resources(self) -> dict[str, dict[str, Any]]:
        """What is planned, by address; what is known only after apply is not there."""
        return {
            change["address"]: change["change"]["after"]
            for change in self.document["resource_changes"]
            if change["mode"] == "managed"
        }

    @cached_property
    def unknown(self) -> dict[str, dict[str, Any]]:
        """What is known only after apply, by address: true where a value will be."""
        return {change["address"]: change["change"]["after_unknown"] for change in self.document["resource_changes"]}

    def of_type(self, kind: str) -> dict[str, dict[str, Any]]:
        """Return the resources of a type by address."""
        return {address: one for address, one in self.resources.items() if address.startswith(f"{kind}.")}

    def views(self) -> dict[str, str]:
        """Return the SQL of each view."""
        tables = self.of_type("google_bigquery_table").values()
        return {one["table_id"]: one["view"][0]["query"] for one in tables if one["view"]}

    def metrics(self) -> dict[str, Any]:
        """Return of each metric which lines it counts, and which of their fields are its labels and its value."""
        return {
            one["name"]: {
                "filter": one["filter"],
                "fields": sorted([*(one["label_extractors"] or {}).values(), *filter(None, [one["value_extractor"]])]),
            }
            for one in self.of_type("google_logging_metric").values()
        }

    def jobs(self) -> dict[str, Any]:
        """Return the message that each Scheduler job publishes."""
        found = {}
        for one in self.of_type("google_cloud_scheduler_job").values():
            (target,) = one["pubsub_target"]
            body = json.loads(base64.b64decode(target["data"]))
            found[one["name"]] = {"body": body, "attributes": target["attributes"]}
        return dict(sorted(found.items()))

    def functions(self) -> dict[str, dict[str, Any]]:
        """Return entry point, runtime and environment of both functions."""
        found = {}
        for one in self.of_type("google_cloudfunctions2_function").values():
            (build,), (service,) = one["build_config"], one["service_config"]
            found[build["entry_point"]] = {
                "runtime": build["runtime"],
                "environment": service["environment_variables"],
            }
        return dict(sorted(found.items()))


def workspace(place: Path) -> Workspace:
    """
    Return a workspace in *place*, its providers at hand.

    Raises:
        UnavailableError: There is no Terraform, or no provider.
    """
    if shutil.which("terraform") is None:
        raise UnavailableError("Terraform is not installed, so the folder terraform/ is not checked by it.")
    place.mkdir(parents=True, exist_ok=True)
    shutil.copytree(FOLDER, place / "terraform", ignore=shutil.ignore_patterns(".terraform", ".build", "*.tfstate*"))
    for name in ("main.py", "requirements.txt", "lib"):
        (place / name).symlink_to(ROOT / name)
    if os.environ.get("TF_REATTACH_PROVIDERS"):
        return Workspace(place)
    made = Workspace(place, {"TF_DATA_DIR": str(place / "data")})
    try:
        done = subprocess.run(
            ["terraform", "init", "-backend=false", "-input=false", "-no-color"],
            cwd=made.folder,
            env={**os.environ, **made.environ},
            capture_output=True,
            text=True,
            check=False,
            timeout=_INIT_TIMEOUT_S,
        )
    except subprocess.TimeoutExpired:
        done = None
    if done is None or done.returncode != 0:
        raise UnavailableError(
            "The provider registry cannot be reached and TF_REATTACH_PROVIDERS is not set, so the folder terraform/ "
            "is neither validated nor tested here."
        )
    return made


def rendered(plans: Mapping[str, Plan]) -> dict[str, Any]:
    """Return what the committed rendering holds of each run that it is kept for."""
    return {
        name: {
            "functions": plans[name].functions(),
            "jobs": plans[name].jobs(),
            "metrics": plans[name].metrics(),
            "views": plans[name].views(),
        }
        for name in ("defaults", "everything", "identity_graph")
    }


def rendering() -> dict[str, dict[str, Any]]:
    """Return the committed rendering."""
    found: dict[str, dict[str, Any]] = json.loads(RENDERING.read_text(encoding="utf-8"))
    return found


def written(document: Mapping[str, Any]) -> str:
    """Return the rendering's text."""
    return json.dumps(document, indent=1, sort_keys=True) + "\n"
