"""Everything on loopback: the stand-ins, and both functions in processes of their own under functions-framework."""

from __future__ import annotations

import contextlib
import io
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final, Self

import orjson
import requests
from google.auth.credentials import AnonymousCredentials
from google.cloud import bigquery

from tests.local.bigquery import BigQuery
from tests.local.graph_api import App, GraphAPI
from tests.local.pubsub import PubSub
from tests.local.secret_manager import SecretManager
from tests.local.storage import Storage

ROOT: Final = Path(__file__).parents[2]
PROJECT: Final = "local"
TOPIC: Final = f"projects/{PROJECT}/topics/meta-relay"
DEAD_LETTER_TOPIC: Final = f"projects/{PROJECT}/topics/meta-relay-dead"
SUBSCRIPTION: Final = f"projects/{PROJECT}/subscriptions/meta-relay"
DEAD_LETTERS: Final = f"projects/{PROJECT}/subscriptions/meta-relay-dead"
#: Where changes of segments are gathered.
GATHERING: Final = f"projects/{PROJECT}/topics/meta-relay-changes"
GATHERED: Final = f"projects/{PROJECT}/subscriptions/meta-relay-changes"
TABLE: Final = f"{PROJECT}.meta_relay.delivery_log"
HEALTH_TABLE: Final = f"{PROJECT}.meta_relay.health_log"
#: A table of a segment's members.
VIP: Final = f"{PROJECT}.crm.loyal"
TOKEN: Final = "token-of-acme"
APP_SECRET: Final = "app-secret-of-acme"
APP_ID: Final = "5001"
OTHER_TOKEN: Final = "token-of-globex"
KEY: Final = "key-of-sgtm"
#: The ad accounts of the two connections.
ACCOUNT: Final = "1234567890"
OTHER_ACCOUNT: Final = "2234567890"
#: Their datasets.
DATASET: Final = "3001"
OTHER_DATASET: Final = "4001"


def secret(name: str) -> str:
    """Return the full name of a secret."""
    return f"projects/{PROJECT}/secrets/{name}"


def configuration(graph_url: str) -> dict[str, Any]:
    """Return a configuration document with two connections, one caller and everything switched on."""
    return {
        "graph_api": {"url": graph_url},
        "default_connection": "acme",
        "connections": {
            "acme": {
                "access_token": secret("meta-token-acme") + "/versions/latest",
                "app_secret": secret("meta-app-secret-acme") + "/versions/latest",
                "app_id": APP_ID,
                "ad_account_id": ACCOUNT,
                "dataset_id": DATASET,
                "default_country": "DE",
                "date_order": "dmy",
            },
            "globex": {
                "access_token": secret("meta-token-globex") + "/versions/latest",
                "ad_account_id": OTHER_ACCOUNT,
                "dataset_id": OTHER_DATASET,
                "default_country": "US",
            },
        },
        "callers": {
            "sgtm": {
                "keys": [secret("relay-key-sgtm") + "/versions/latest"],
                "connections": ["acme", "globex"],
                "actions": ["add", "remove", "remove_from_all", "events", "enter", "leave", "sync", "replace"],
            }
        },
        "delivery_log": TABLE,
        "health_log": HEALTH_TABLE,
        "queue": {
            "topic": TOPIC,
            "dead_letter_topic": DEAD_LETTER_TOPIC,
            "dead_letter_subscription": DEAD_LETTERS,
        },
        "segments": {"topic": GATHERING, "subscription": GATHERED},
        "sources": {"vip": {"bigquery": {"table": VIP}}},
    }


class Stack:
    """
    The stand-ins, filled with two ad accounts, their audiences, datasets and secrets; `function` starts a function.

    Args:
        backoff_scale: How much of Pub/Sub's backoff is waited.
        ports: Port of each part by name, where it matters (`receive`, `deliver`).
        keeps: Whether Meta's stand-in keeps members and the bodies of calls.
        now: Unix seconds, to which Meta's stand-in holds the times of events.
    """

    def __init__(
        self,
        *,
        backoff_scale: float = 0.02,
        ports: Mapping[str, int] | None = None,
        keeps: bool = True,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._ports = dict(ports or {})
        tokens = {TOKEN: App(APP_SECRET, {ACCOUNT}, APP_ID), OTHER_TOKEN: App(None, {OTHER_ACCOUNT})}
        self.graph = GraphAPI(tokens=tokens, keep_bodies=keeps, keep_members=keeps, now=now)
        self.pubsub = PubSub(backoff_scale=backoff_scale)
        self.bigquery = BigQuery()
        self.secrets = SecretManager()
        self.storage = Storage()
        self.config: dict[str, Any] = {}
        self._exits = ExitStack()

    def __enter__(self) -> Self:
        for part in (self.graph, self.pubsub, self.bigquery, self.secrets, self.storage):
            self._exits.enter_context(part)
        self.config = configuration(self.graph.url)
        for account, audiences in ((ACCOUNT, ("1001", "1002")), (OTHER_ACCOUNT, ("2001",))):
            self.graph.add_account(account)
            for audience in audiences:
                self.graph.add_audience(audience, account=account)
        self.graph.add_audience("1003", account=ACCOUNT, value_based=True)
        self.graph.add_dataset(DATASET, account=ACCOUNT)
        self.graph.add_dataset(OTHER_DATASET, account=OTHER_ACCOUNT)
        self.secrets.set(secret("meta-token-acme"), TOKEN)
        self.secrets.set(secret("meta-app-secret-acme"), APP_SECRET)
        self.secrets.set(secret("meta-token-globex"), OTHER_TOKEN)
        self.secrets.set(secret("relay-key-sgtm"), KEY)
        for table, schema in ((TABLE, "delivery_log.json"), (HEALTH_TABLE, "health_log.json")):
            self.bigquery.add_table(table, json.loads((ROOT / "lib" / schema).read_text()))
        self.bigquery.add_table(VIP, [{"name": name, "type": "STRING"} for name in ("email", "phone", "country")])
        self.pubsub.add_topic(TOPIC)
        self.pubsub.add_topic(DEAD_LETTER_TOPIC)
        self.pubsub.add_topic(GATHERING)
        self.pubsub.add_subscription(GATHERED, GATHERING, ordering=True, ack_deadline_s=600)
        return self

    def __exit__(self, *_: object) -> None:
        self._exits.close()

    def load(self, table: str, rows: Iterable[Mapping[str, Any]]) -> None:
        """Let a table hold *rows*, whose values are texts, by a load job."""
        data = b"\n".join(map(orjson.dumps, rows))
        credentials = AnonymousCredentials()  # type: ignore[no-untyped-call]  # google-auth has no types here
        config = bigquery.LoadJobConfig(source_format="NEWLINE_DELIMITED_JSON", write_disposition="WRITE_TRUNCATE")
        with bigquery.Client(PROJECT, credentials, client_options={"api_endpoint": self.bigquery.url}) as client:
            client.load_table_from_file(io.BytesIO(data), table, job_config=config).result()

    def environ(self) -> dict[str, str]:
        """Return what the functions need in their environment."""
        return {
            "RELAY_CONFIG": json.dumps(self.config),
            "GOOGLE_CLOUD_PROJECT": PROJECT,
            "PUBSUB_EMULATOR_HOST": self.pubsub.address,
            "BIGQUERY_EMULATOR_HOST": self.bigquery.url,
            "SECRET_MANAGER_ENDPOINT": self.secrets.url,
            "STORAGE_EMULATOR_HOST": self.storage.url,
        }

    def function(self, target: str, *, log: int | None = None) -> Function:
        """Start `receive` or `deliver`, stopped with the stack; *log* is a file descriptor for its console log."""
        return self.start(target, self.environ(), port=self._ports.get(target) or free_port(), log=log)

    def start(self, target: str, environ: Mapping[str, str], *, port: int, log: int | None = None) -> Function:
        """Start `receive` or `deliver` with an environment of its own, stopped with the stack."""
        function = Function(target, port, environ, log=log)
        self._exits.callback(function.stop)
        function.wait()
        return function

    def subscribe(self, deliver: Function, **settings: Any) -> None:
        """Push the topic's messages to *deliver*, as Terraform's own subscription does."""
        self.pubsub.add_subscription(
            SUBSCRIPTION,
            TOPIC,
            push_endpoint=f"{deliver.url}/{TOPIC}",
            dead_letter_topic=DEAD_LETTER_TOPIC,
            **{"max_delivery_attempts": 100, "minimum_backoff_s": 10, "maximum_backoff_s": 600, **settings},
        )

    def keep_dead_letters(self) -> None:
        """Keep those that come from now on, as Terraform's subscription does."""
        self.pubsub.add_subscription(DEAD_LETTERS, DEAD_LETTER_TOPIC)

    def rows(self) -> list[dict[str, Any]]:
        """Return the delivery log as it stands."""
        return self.bigquery.rows(TABLE)


class Function:
    """One function of main.py under functions-framework, in a process of its own."""

    def __init__(
        self,
        target: str,
        port: int,
        environ: Mapping[str, str],
        *,
        log: int | None = None,
        source: Path = ROOT / "main.py",
    ) -> None:
        self.target = target
        self.url = f"http://127.0.0.1:{port}"
        self._process = subprocess.Popen(
            [
                *(Path(sys.executable).with_name("functions-framework"), "--source", source),
                *("--target", target, "--port", str(port)),
            ],
            cwd=ROOT,
            env={**os.environ, "THREADS": "16", **environ},
            stdout=subprocess.DEVNULL if log is None else log,
            stderr=subprocess.DEVNULL if log is None else log,
            start_new_session=True,
        )

    def wait(self, seconds: float = 30) -> None:
        """Return once it answers."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline and self._process.poll() is None:
            with contextlib.suppress(requests.ConnectionError):
                requests.get(f"{self.url}/health", timeout=5)
                return
            time.sleep(0.05)
        raise RuntimeError(f"{self.target} did not start")

    def kill(self) -> None:
        """End it at once, as a machine that is taken away does."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, 9)
        self._process.wait()

    def stop(self) -> None:
        """End it in peace."""
        self._process.terminate()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self.kill()

    def workers(self) -> Iterator[int]:
        """Yield the process ids of it and its children."""
        yield self._process.pid
        for entry in Path("/proc").glob("[0-9]*/stat"):
            with contextlib.suppress(OSError):
                fields = entry.read_text().rpartition(")")[2].split()
                if int(fields[1]) == self._process.pid:
                    yield int(entry.parent.name)


def free_port() -> int:
    """Return a port that nobody listens on."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


def is_free(port: int) -> bool:
    """Tell whether nobody listens on *port*."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) != 0
