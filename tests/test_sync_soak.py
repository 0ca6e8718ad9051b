"""
A large segment through the real functions: slices side by side in several workers, of which some are killed.

The full size is for `make soak`; a smaller one of the same is part of `make test`.
"""

from __future__ import annotations

import contextlib
import io
import os
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any, Final, Self

import orjson
import pytest
from google.auth.credentials import AnonymousCredentials
from google.cloud import bigquery
from google.cloud.pubsub_v1 import PublisherClient

from lib.cuts import PAGE_ROWS
from lib.hashing import sha256_hex
from tests.bigquery_places import connected
from tests.local.stack import ROOT, SUBSCRIPTION, TOPIC, VIP, Function, Stack, free_port

#: Seconds within which any sync here ends.
_PATIENCE: Final = 900


@dataclass
class Workers:
    """The processes of `deliver` that do the work: how much memory each took at most, and how many were killed."""

    function: Function
    peaks: dict[int, int] = field(default_factory=dict)
    _over: threading.Event = field(default_factory=threading.Event)

    def __enter__(self) -> Self:
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._over.wait(0.1):
            for process in self.ids():
                with contextlib.suppress(OSError, IndexError):
                    status = Path(f"/proc/{process}/status").read_text()
                    self.peaks[process] = int(status.partition("VmHWM:")[2].split()[0])

    def ids(self) -> list[int]:
        """Return the ids of the processes that are there; the first process is their parent, and does no work."""
        return list(self.function.workers())[1:]

    def kill_busiest(self) -> None:
        """Kill the one that has worked most, as a machine that is taken away does."""
        os.kill(max(self.ids(), key=_work), 9)


def _work(process: int) -> int:
    with contextlib.suppress(OSError):
        fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
        return int(fields[11]) + int(fields[12])
    return -1


def members(count: int) -> Iterator[dict[str, Any]]:
    for number in range(count):
        yield {"email": f"Person{number}@Example.com", "phone": f"0170 {1_000_000 + number}", "country": "Germany"}


@contextmanager
def place(monkeypatch: pytest.MonkeyPatch, *, workers: int, emulator: str = "") -> Iterator[tuple[Stack, Workers]]:
    """
    Start everything, `deliver` with so many workers that do one thing at a time.

    Args:
        emulator: The address of a local-bigquery that stands in place of the stand-in.
    """
    with Stack() as stack:
        if emulator:
            _use(stack, emulator)
        monkeypatch.setenv("PUBSUB_EMULATOR_HOST", stack.pubsub.address)
        environ = stack.environ() | {"THREADS": "1", "WORKERS": str(workers)}
        if emulator:
            environ |= {"BIGQUERY_EMULATOR_HOST": emulator, "GOOGLE_CLOUD_PROJECT": "p"}
        deliver = stack.start("deliver", environ, port=free_port())
        stack.subscribe(deliver, ack_deadline_s=600)
        with Workers(deliver) as watched:
            yield stack, watched


def _use(stack: Stack, emulator: str) -> None:
    """Have the members in, and the delivery log written to, local-bigquery."""
    with connected(emulator) as where:
        schema = [
            bigquery.SchemaField.from_api_repr(column)
            for column in orjson.loads((ROOT / "lib" / "delivery_log.json").read_bytes())
        ]
        where.client.create_table(bigquery.Table(f"{where.dataset}.delivery_log", schema=schema))
    stack.config["delivery_log"] = f"{where.dataset}.delivery_log"
    stack.config["sources"]["vip"]["bigquery"]["table"] = f"{where.dataset}.loyal"


def load(stack: Stack, count: int, emulator: str) -> None:
    """Let the source hold so many members, by a load job."""
    if not emulator:
        stack.load(VIP, members(count))
        return
    data = b"\n".join(map(orjson.dumps, members(count)))
    schema = [bigquery.SchemaField(name, "STRING") for name in ("email", "phone", "country")]
    config = bigquery.LoadJobConfig(source_format="NEWLINE_DELIMITED_JSON", schema=schema)
    table = stack.config["sources"]["vip"]["bigquery"]["table"]
    credentials = AnonymousCredentials()  # type: ignore[no-untyped-call]  # google-auth has no types here
    client: Any = bigquery.Client("p", credentials, client_options={"api_endpoint": emulator})
    client.load_table_from_file(io.BytesIO(data), table, job_config=config).result(timeout=_PATIENCE)
    client.close()


def ask(change: str, segment: str) -> None:
    # Another segment each time: a job's id derives from it, and local-bigquery remembers those of other runs.
    body = {"segment": {"id": segment, "name": "VIP"}, "change": change, "source": "vip"}
    with PublisherClient() as publisher:
        publisher.publish(TOPIC, orjson.dumps(body), type="segments").result(timeout=10)


def emails(stack: Stack) -> set[str]:
    """Return the hashed e-mails of the members of the segment's audience, which is the newest."""
    people = stack.graph.members(stack.graph.audiences()[-1])
    return {value for person in people for key, value in person if key == "EMAIL"}


def expected(*numbers: range) -> set[str]:
    return {sha256_hex(f"person{number}@example.com") for every in numbers for number in every}


def calls(stack: Stack) -> list[Any]:
    return [call for call in stack.graph.calls if call.path.endswith("/users")]


def until(done: Callable[[], bool]) -> None:
    deadline = time.monotonic() + _PATIENCE
    while not done():
        assert time.monotonic() < deadline, "it does not end"
        time.sleep(0.02)


def memory_of_one_batch(monkeypatch: pytest.MonkeyPatch, emulator: str = "") -> int:
    """Return the peak of a worker that sends a single batch."""
    with place(monkeypatch, workers=1, emulator=emulator) as (stack, watched):
        load(stack, PAGE_ROWS, emulator)
        ask("sync", uuid.uuid4().hex)
        assert stack.pubsub.wait_idle(_PATIENCE, SUBSCRIPTION)
        assert emails(stack) == expected(range(PAGE_ROWS))
        time.sleep(0.3)
        return max(watched.peaks.values())


def sync(monkeypatch: pytest.MonkeyPatch, count: int, *, kills: int, emulator: str = "") -> tuple[float, int]:
    """Have so many synced by two workers, kill some of them on the way; return the seconds and a worker's peak."""
    with place(monkeypatch, workers=2, emulator=emulator) as (stack, watched):
        stack.graph._keep_bodies = False
        load(stack, count, emulator)
        batches = -(-count // PAGE_ROWS)
        began = time.monotonic()
        ask("sync", uuid.uuid4().hex)
        for kill in range(1, kills + 1):
            until(lambda reached=kill * batches // (kills + 1): len(calls(stack)) >= reached)  # type: ignore[misc]
            watched.kill_busiest()
        assert stack.pubsub.wait_idle(_PATIENCE, SUBSCRIPTION)
        seconds = time.monotonic() - began
        assert stack.graph.counts()[stack.graph.audiences()[-1]] == count
        assert emails(stack) == expected(range(count))
        # What a killed worker had sent of its slice was sent again, under the same sessions.
        assert len(calls(stack)) >= batches
        assert stack.graph.violations == []
        assert stack.pubsub.outstanding(SUBSCRIPTION) == 0
        return seconds, max(watched.peaks.values())


def test_all_become_members_though_a_worker_is_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    one_batch = memory_of_one_batch(monkeypatch)
    _, peak = sync(monkeypatch, 5 * PAGE_ROWS + 1_000, kills=1)
    assert peak <= 1.3 * one_batch


@pytest.mark.soak
@pytest.mark.timeout(1800)
def test_a_million_become_members_though_three_workers_are_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    emulator = os.environ.get("RELAY_TEST_BIGQUERY_EMULATOR", "absent").replace("absent", "")
    one_batch = memory_of_one_batch(monkeypatch, emulator)
    seconds, peak = sync(monkeypatch, 1_000_000, kills=3, emulator=emulator)
    print(f"\n1,000,000 members from {'local-bigquery' if emulator else 'the stand-in'} in {seconds:.0f} s", end="")
    print(f" ({1_000_000 / seconds:,.0f}/s), three workers killed on the way;")
    print(f"a worker took {peak / 1024:.0f} MB, {peak / one_batch:.2f} times that for one batch of 10,000")
    assert peak <= 1.3 * one_batch


@pytest.mark.soak
@pytest.mark.timeout(1800)
def test_a_mirror_of_200_000_sends_exactly_the_difference(monkeypatch: pytest.MonkeyPatch) -> None:
    with place(monkeypatch, workers=1) as (stack, _):
        stack.load(VIP, members(200_000))
        ask("mirror", "1")
        assert stack.pubsub.wait_idle(_PATIENCE, SUBSCRIPTION)
        assert emails(stack) == expected(range(200_000))
        before = len(calls(stack))
        stack.load(VIP, islice(members(204_321), 7_654, None))
        began = time.monotonic()
        ask("mirror", "1")
        assert stack.pubsub.wait_idle(_PATIENCE, SUBSCRIPTION)
        sent = {"POST": 0, "DELETE": 0}
        for call in calls(stack)[before:]:
            sent[call.method] += len(call.body["payload"]["data"])
        print(f"\nmirror of 200,000: {sent['POST']:,} new and {sent['DELETE']:,} gone sent, after ", end="")
        print(f"{time.monotonic() - began:.0f} s")
        assert sent == {"POST": 4_321, "DELETE": 7_654}
        assert emails(stack) == expected(range(7_654, 204_321))
