"""What only a process of its own can tell: how long an import takes, and how much memory a request."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import orjson
import requests

from tests.bench.people import FIELDS, Row
from tests.bench.rounds import Round
from tests.local.stack import KEY, ROOT, Function, Stack

_CONFIG: Final = {"connections": {"acme": {"access_token": "env:TOKEN"}}, "callers": {}}
#: What is imported after functions-framework, which all need.
_IMPORTS: Final[Mapping[str, str]] = {
    "main": "import main",
    "main at work": "import main, lib.audience_flow, lib.event_flow, lib.transport; main._relay()",
    "facebook-business": "from facebook_business.adobjects import customaudience; "
    "from facebook_business.adobjects.serverside import event",
}


def import_rounds(rounds: int) -> list[Round]:
    """Return processor seconds of each import above functions-framework alone, in fresh processes."""
    names = list(_IMPORTS)
    with tempfile.TemporaryDirectory() as compiled:
        # Compiled beforehand, as installed packages are, and functions when Cloud Build has made them.
        for code in _IMPORTS.values():
            _import_seconds(code, compiled)
        turned = ([*names[start:], *names[:start]] for start in (turn % len(names) for turn in range(rounds)))
        return [{name: _import_seconds(_IMPORTS[name], compiled) for name in order} for order in turned]


def _import_seconds(code: str, compiled: str) -> float:
    script = (
        f"import time\nimport functions_framework\nbegan = time.process_time()\n{code}\n"
        "print(time.process_time() - began)"
    )
    environ = {
        **os.environ,
        "RELAY_CONFIG": json.dumps(_CONFIG),
        "PYTHONPATH": str(ROOT),
        "PYTHONPYCACHEPREFIX": compiled,
        "PYTHONDONTWRITEBYTECODE": "",
    }
    run = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, env=environ, capture_output=True, text=True, check=True
    )
    return float(run.stdout)


def memory(rows: Sequence[Row], *, as_objects: bool) -> tuple[int, int]:
    """Return the bytes of one request with all *rows*, and the peak of `receive` above its idle memory meanwhile."""
    users: Any = (
        [dict(zip(FIELDS, row, strict=True)) for row in rows] if as_objects else {"schema": FIELDS, "data": rows}
    )
    with Stack(keeps=False) as stack:
        receive = stack.function("receive")
        # Idle is a function that has been at work: its clients are loaded, that of the queue too.
        for optimistic in (False, True):
            _post(receive, [{"EMAIL": "ada@example.com"}], optimistic=optimistic)
        worker = max(receive.workers())
        time.sleep(0.5)
        Path(f"/proc/{worker}/clear_refs").write_text("5")
        idle = _kib(worker, "VmRSS")
        sent = _post(receive, users)
        return sent, 1024 * (_kib(worker, "VmHWM") - idle)


def _post(receive: Function, users: Any, *, optimistic: bool = False) -> int:
    consent = {"state": dict.fromkeys(("ad_storage", "ad_user_data", "ad_personalization"), True)}
    body = orjson.dumps(
        {"action": "add", "destinations": [{"audience_id": "1001"}], "consent": consent, "users": users}
        | {"optimistic": optimistic}
    )
    headers = {"Authorization": f"Bearer {KEY}", "Content-Type": "application/json"}
    answer = requests.post(f"{receive.url}/audiences", data=body, headers=headers, timeout=300)
    if answer.status_code not in {200, 202}:
        raise RuntimeError(answer.text[:500])
    return len(body)


def _kib(process: int, name: str) -> int:
    status = Path(f"/proc/{process}/status").read_text()
    return int(status.partition(f"{name}:")[2].split()[0])
