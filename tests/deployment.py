"""Both functions exactly as Terraform configures them, in processes of their own beside the stand-ins."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any, BinaryIO, Final

import orjson
import requests
from google.auth.credentials import AnonymousCredentials
from google.cloud import bigquery

from tests import terraform
from tests.local.graph_api import App
from tests.local.stack import ACCOUNT, APP_SECRET, KEY, OTHER_TOKEN, ROOT, TOKEN, Function, Stack, free_port

_PUSHED: Final = 30.0
#: A token of an app that asks for no proof: the defaults know no app secret.
_PLAIN_TOKEN: Final = "token-of-meta"
#: The values of secrets, by the part of the name that tells what they are for.
_VALUES: Final[Mapping[str, str]] = {
    "token-meta": _PLAIN_TOKEN,
    "token-acme": TOKEN,
    "token-globex": OTHER_TOKEN,
    "app-secret-acme": APP_SECRET,
    "key-sgtm": KEY,
    "key-batch": "key-of-batch",
    "identity": "token-of-identity",
    "identity-key": "key-of-identity",
    "event-enhancement": "key-of-event-enhancement",
}
_SECRET: Final = re.compile(r"(projects/[^/]+/secrets/[a-z]+-[a-z]+-([^/]+))/versions/([^/\"]+)")


class Deployment:
    """
    What `terraform apply` makes, on loopback.

    The environments are Terraform's own; all that is added are the addresses of the stand-ins, of which Meta's has its
    place in the document. What both log goes to *log*.
    """

    def __init__(self, stack: Stack, run: str, log: BinaryIO) -> None:
        self.stack = stack
        rendering = terraform.rendering()[run]
        self._functions = rendering["functions"]
        self.jobs: dict[str, Any] = rendering["jobs"]
        self.metrics: dict[str, Any] = rendering["metrics"]
        self._log = log
        self.document: dict[str, Any] = json.loads(self._functions["deliver"]["environment"]["RELAY_CONFIG"])
        self._fill()
        self.receive = self._start("receive")
        self.deliver = self._start("deliver")
        self._subscribe()

    def _fill(self) -> None:
        self.stack.graph.tokens[_PLAIN_TOKEN] = App(None, {ACCOUNT})
        for name, purpose, version in _SECRET.findall(json.dumps(self.document)):
            for _ in range(int(version) if version.isdecimal() else 1):
                self.stack.secrets.set(name, _VALUES[purpose])
        queue, segments = self.document["queue"], self.document["segments"]
        for topic in (queue["topic"], queue["dead_letter_topic"], segments["topic"]):
            self.stack.pubsub.add_topic(topic)
        self.stack.pubsub.add_subscription(
            segments["subscription"], segments["topic"], ordering=True, ack_deadline_s=600
        )
        dataset = self.document["delivery_log"].rpartition(".")[0]
        for name in ("delivery_log", "health_log", "members"):
            schema = json.loads((ROOT / "lib" / f"{name}.json").read_text(encoding="utf-8"))
            self.stack.bigquery.add_table(f"{dataset}.{name}", schema)

    def _start(self, target: str) -> Function:
        environment = self._functions[target]["environment"]
        document = json.loads(environment["RELAY_CONFIG"])
        document["graph_api"] = {**document.get("graph_api", {}), "url": self.stack.graph.url}
        return self.stack.start(
            target,
            {**self.stack.environ(), **environment, "RELAY_CONFIG": json.dumps(document)},
            port=free_port(),
            log=self._log.fileno(),
        )

    def _subscribe(self) -> None:
        queue = self.document["queue"]
        self.stack.pubsub.add_subscription(
            queue["topic"].replace("/topics/", "/subscriptions/"),
            queue["topic"],
            push_endpoint=f"{self.deliver.url}/{queue['topic']}",
            dead_letter_topic=queue["dead_letter_topic"],
            max_delivery_attempts=100,
            minimum_backoff_s=10,
            maximum_backoff_s=600,
        )

    def post(self, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
        """Send a request to `receive`; return its answer."""
        answer = requests.post(
            f"{self.receive.url}{path}", json=body, headers={"Authorization": f"Bearer {KEY}"}, timeout=_PUSHED
        )
        found: dict[str, Any] = answer.json()
        return found

    def publish(self, body: Mapping[str, Any], **attributes: str) -> None:
        """Publish a message, and wait until it is done with."""
        self.stack.pubsub.publish(self.document["queue"]["topic"], orjson.dumps(body), attributes=attributes)
        subscription = self.document["queue"]["topic"].replace("/topics/", "/subscriptions/")
        assert self.stack.pubsub.wait_idle(_PUSHED, subscription)

    def run_job(self, name: str) -> None:
        """Publish what a Scheduler job does."""
        job = self.jobs[name]
        self.publish(job["body"], **job["attributes"])

    def load(self, table: str, rows: Sequence[Mapping[str, str]]) -> None:
        """Make a table of texts."""
        self.stack.bigquery.add_table(table, [{"name": name, "type": "STRING", "mode": "NULLABLE"} for name in rows[0]])
        credentials = AnonymousCredentials()  # type: ignore[no-untyped-call]  # google-auth has no types here
        options = {"api_endpoint": self.stack.bigquery.url}
        client: Any = bigquery.Client(project="p", credentials=credentials, client_options=options)
        assert client.insert_rows_json(table, list(rows)) == []
        client.close()

    def lines(self) -> list[dict[str, Any]]:
        """Return what both functions have logged so far, as Cloud Logging understands it."""
        self._log.seek(0)
        lines = [json.loads(line) for line in self._log if line.startswith(b"{")]
        return [{"severity": line["severity"], "jsonPayload": line} for line in lines]

    def rows(self, log: str = "delivery_log") -> list[dict[str, Any]]:
        """Return the rows of a log."""
        return self.stack.bigquery.rows(self.document[log])

    def dead(self) -> list[Any]:
        """Return the dead letters."""
        return list(self.stack.pubsub.messages(self.document["queue"]["dead_letter_topic"]))
