"""Design, section 4: imports of lib/ point only downward, and below the line there is nothing of the outside."""

from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

import pytest

ROOT: Final = Path(__file__).parents[1]

#: From the top to the ground; a module may import of its own layer and of those that follow.
LAYERS: Final[Mapping[str, str]] = {
    "compose": "command bootstrap",
    "flow": "handlers push secret_notices audience_flow erase_flow event_flow recognition health_flow segment_flow "
    "segment_delivery flush doctor validation uploading sync_flow sync_work adding replacing mirroring "
    "admission sending outcomes",
    "edge": "graph_api graph_reads delivery_log health_log secret_manager queue gathering segment_audiences transport "
    "ports config console_log segment_source table_source file_source local_file dead_letters "
    "identity_graph identity_store firestore_store omni breaker identity_probe "
    "warehouse member_table sync_progress",
    # The line: below, no network, clock, environment or randomness.
    "build": "audiences health_checks graph_request cells events user_data click_ids custom_data app_data "
    "action_sources event_names event_times event_values faults money personal changes audience_admin "
    "identity identity_links omni_protocol sync_task member_batches",
    "parse": "relay_request large_body event_request products common_event people segments",
    "gate": "consent authentication us_privacy",
    "ground": "errors hashing normalization regions identifiers phone_numbers report data_processing graph_errors "
    "health_faults graph_answers version cuts identity_settings",
}
BELOW_THE_LINE: Final = ("build", "parse", "gate", "ground")
LAYER_OF: Final = {module: layer for layer, modules in LAYERS.items() for module in modules.split()}

#: What is the outside, by the first part of a module's name.
OUTSIDE: Final = frozenset(
    [
        "asyncio", "concurrent", "flask", "functions_framework", "google", "grpc", "logging", "multiprocessing", "os",
        "random", "requests", "secrets", "selectors", "signal", "socket", "ssl", "subprocess", "sys", "tempfile",
        "threading", "time", "urllib", "urllib3", "uuid",
    ]
)  # fmt: skip
#: Names through which the clock or the environment could still be read.
OUTSIDE_NAMES: Final = frozenset({"now", "today", "utcnow", "environ", "getenv", "open"})


def source_of(module: str) -> ast.Module:
    return ast.parse((ROOT / "lib" / f"{module}.py").read_text(encoding="utf-8"))


def imports_of(tree: ast.AST) -> Iterator[str]:
    """Yield the full name of each module that is imported, wherever it stands, for types alone too."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            if node.module == "lib":
                yield from (f"lib.{alias.name}" for alias in node.names)
            else:
                yield node.module or ""


def lib_imports(module: str) -> set[str]:
    return {name.split(".")[1] for name in imports_of(source_of(module)) if name.startswith("lib.")}


MODULES: Final = sorted(path.stem for path in (ROOT / "lib").glob("*.py") if path.stem != "__init__")
DEPLOYED: Final = ("main.py", *(f"lib/{module}.py" for module in MODULES if module != "cli"))


def test_each_module_has_its_layer() -> None:
    assert sorted(LAYER_OF) == [module for module in MODULES if module != "cli"]


@pytest.mark.parametrize("module", sorted(LAYER_OF))
def test_imports_point_only_downward(module: str) -> None:
    order = list(LAYERS)
    own = order.index(LAYER_OF[module])
    upward = {name for name in lib_imports(module) if order.index(LAYER_OF[name]) < own}
    assert upward == set()


def test_no_modules_import_each_other_in_a_circle() -> None:
    left = {module: lib_imports(module) for module in LAYER_OF}
    while free := [module for module, needed in left.items() if not needed & left.keys()]:
        for module in free:
            del left[module]
    assert left == {}


@pytest.mark.parametrize("module", [module for layer in BELOW_THE_LINE for module in LAYERS[layer].split()])
def test_below_the_line_nothing_reaches_outside(module: str) -> None:
    tree = source_of(module)
    assert {name for name in imports_of(tree) if name.partition(".")[0] in OUTSIDE} == set()
    calls = [node.func for node in ast.walk(tree) if isinstance(node, ast.Call)]
    called = {func.attr if isinstance(func, ast.Attribute) else getattr(func, "id", "") for func in calls}
    assert called & OUTSIDE_NAMES == set()


def test_only_bootstrap_reads_the_environment() -> None:
    readers = set()
    for path in DEPLOYED:
        tree = ast.parse((ROOT / path).read_text(encoding="utf-8"))
        names = {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
        if "os" in set(imports_of(tree)) or names & {"getenv", "putenv"}:
            readers.add(path)
    assert readers == {"lib/bootstrap.py"}


@pytest.mark.parametrize("path", DEPLOYED)
def test_imports_are_absolute_and_of_nothing_that_is_not_deployed(path: str) -> None:
    tree = ast.parse((ROOT / path).read_text(encoding="utf-8"))
    assert [node.lineno for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and node.level] == []
    assert {name for name in imports_of(tree) if name.partition(".")[0] == "tests" or name == "lib.cli"} == set()


def test_main_is_wiring_of_under_60_lines() -> None:
    assert len((ROOT / "main.py").read_text(encoding="utf-8").splitlines()) < 60


_IMPORT_MAIN: Final = """
import json, sys
reached = []
sys.addaudithook(lambda event, args: reached.append(event) if event.startswith("socket.get") or event in
                 {"socket.connect", "socket.sendto", "socket.bind", "subprocess.Popen"} else None)
import main
print(json.dumps({"reached": reached, "modules": sorted(sys.modules)}))
"""
#: functions-framework brings google.cloud.functions itself.
_NEVER_AT_IMPORT: Final = ("google.api_core", "google.auth", "grpc", "phonenumbers", "requests", "urllib3")


def test_importing_main_touches_no_network_and_loads_no_client() -> None:
    config = {"connections": {"acme": {"access_token": "env:TOKEN"}}, "callers": "iam"}
    done = subprocess.run(
        [sys.executable, "-c", _IMPORT_MAIN],
        cwd=ROOT,
        env={**os.environ, "RELAY_CONFIG": json.dumps(config), "PYTHONPATH": str(ROOT)},
        capture_output=True,
        timeout=60,
        check=True,
    )
    seen = json.loads(done.stdout)
    assert seen["reached"] == []
    clients = [
        name
        for name in seen["modules"]
        if name.startswith("google.cloud.") and not name.startswith("google.cloud.functions")
    ]
    assert clients == []
    assert [name for name in seen["modules"] if name.startswith(_NEVER_AT_IMPORT)] == []
