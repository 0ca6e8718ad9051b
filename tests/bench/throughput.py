"""
Requests a second through functions-framework, beside the smallest function that makes the same calls out.

Both run one process of the same server, and call the same peers, which answer at once and always the same.
"""

from __future__ import annotations

import http.client
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from itertools import repeat
from pathlib import Path
from typing import Final

import orjson

from tests.bench.events import events
from tests.bench.rounds import Round
from tests.local.stack import ROOT, Function, free_port, is_free

_CALLERS: Final = 4
_HEADERS: Final = {"Content-Type": "application/json"}
_SMALLEST: Final = Path(__file__).with_name("smallest.py")


def throughput_rounds(rounds: int, requests: int) -> list[Round]:
    """Return the seconds that each function takes for *requests* requests of one event each."""
    with _peers() as peers:
        environ = {
            "RELAY_CONFIG": json.dumps(_config(peers)),
            "GOOGLE_CLOUD_PROJECT": "local",
            "BIGQUERY_EMULATOR_HOST": peers,
            "TOKEN": "token",
            "PEERS": peers,
        }
        functions = {
            "smallest": Function("receive", free_port(), environ, source=_SMALLEST),
            "receive": Function("receive", free_port(), environ),
        }
        try:
            for function in functions.values():
                function.wait()
                _seconds(function, _CALLERS)
            names = list(functions)
            turned = ([*names[turn % 2 :], *names[: turn % 2]] for turn in range(rounds))
            return [{name: _seconds(functions[name], requests) for name in order} for order in turned]
        finally:
            for function in functions.values():
                function.stop()


def _config(peers: str) -> dict[str, object]:
    return {
        "graph_api": {"url": peers},
        "default_connection": "acme",
        "connections": {"acme": {"access_token": "env:TOKEN", "dataset_id": "3001", "default_country": "DE"}},
        "callers": "iam",
        "consent": {"events": []},
        "delivery_log": "local.meta_relay.delivery_log",
    }


def _seconds(function: Function, requests: int) -> float:
    """Return how long *function* takes for as many requests, several at a time."""
    event = events(1)[0] | {"event_time": int(time.time())}
    body = orjson.dumps({"event": event})
    with ThreadPoolExecutor(_CALLERS) as pool:
        began = time.perf_counter()
        list(pool.map(_call, repeat(function.url, _CALLERS), repeat(body), repeat(requests // _CALLERS)))
        return time.perf_counter() - began


def _call(url: str, body: bytes, times: int) -> None:
    connection = http.client.HTTPConnection(url.removeprefix("http://"), timeout=30)
    for _ in range(times):
        connection.request("POST", "/events", body, _HEADERS)
        answer = connection.getresponse()
        text = answer.read()
        if answer.status != http.HTTPStatus.OK:
            raise RuntimeError(text[:500])
    connection.close()


@contextmanager
def _peers() -> Iterator[str]:
    """Run Meta and BigQuery in a process of their own; yield their address."""
    port = free_port()
    process = subprocess.Popen([sys.executable, "-m", "tests.bench.peers", str(port)], cwd=ROOT)
    while is_free(port) and process.poll() is None:
        time.sleep(0.05)
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait()
