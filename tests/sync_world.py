"""
The relay with all that a sync needs: stand-ins behind the official clients, and a queue in a test's hand.

Each step to the outside is counted, and the worker can be killed before or after any of them.
"""

from __future__ import annotations

import base64
import io
import json
from collections import deque
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from typing import Any, Final, Self

import orjson
from google.auth.credentials import AnonymousCredentials
from google.cloud import bigquery
from google.cloud.storage import Client

from lib import bootstrap
from lib.handlers import HTTPAnswer, HTTPRequest, Message, Relay
from lib.hashing import sha256_hex
from lib.ports import Chance, Reply
from lib.warehouse import Warehouse
from tests.local.bigquery import BigQuery
from tests.local.graph_api import App, GraphAPI
from tests.local.stack import ROOT
from tests.local.storage import Storage
from tests.manual_clock import ManualClock
from tests.seams import InTurn, Values, numbered

ACCOUNT: Final = "1234567890"
LOG: Final = "p.relay.delivery_log"
SOURCE: Final = "p.crm.vip"
SEGMENT: Final = {"id": "44A23B49", "name": "VIP"}
COLUMNS: Final = [{"name": name, "type": "STRING"} for name in ("email", "phone", "id")]


class KilledError(BaseException):
    """The worker is gone; nothing of the code may see it coming."""


@dataclass
class Steps:
    """Counts what is done outside, and kills the worker before step *kill_at*, from 0; -1 for never."""

    kill_at: int = -1
    done: int = 0

    def __call__(self) -> None:
        """Take a step."""
        if self.done == self.kill_at:
            self.done += 1
            raise KilledError
        self.done += 1


class Stepping:
    """A client whose calls are steps, one before each and one after, and take their time."""

    def __init__(self, client: Any, world: World) -> None:
        self._client = client
        self._world = world

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._client, name)
        if not callable(method):
            return method

        def call(*args: Any, **kwargs: Any) -> Any:
            self._world.steps()
            self._world.clock.pass_(self._world.reading)
            result = method(*args, **kwargs)
            self._world.steps()
            return result

        return call


@dataclass
class Held:
    """A message in the queue."""

    data: bytes = field(repr=False)
    attributes: Mapping[str, str]
    message_id: str
    attempt: int = 0


@dataclass
class Queue:
    """Pub/Sub in a test's hand: what is published waits until the test delivers it."""

    steps: Steps
    waiting: deque[Held] = field(default_factory=deque)
    dead: list[tuple[dict[str, Any], Mapping[str, str]]] = field(default_factory=list)
    published: int = 0

    def publish(self, data: bytes, attributes: Mapping[str, str], *, dead_letter: bool = False) -> None:
        """Keep a message."""
        self.steps()
        self.published += 1
        if dead_letter:
            self.dead.append((orjson.loads(data), attributes))
        else:
            self.waiting.append(Held(data, attributes, f"m{self.published}"))
        self.steps()


class World:
    """See the module."""

    def __init__(self, *, page_rows: int = 100, seconds: float = 0.0, **config: Any) -> None:
        """Args: *seconds* that each call to Meta takes on the clock."""
        self.steps = Steps()
        self.clock = ManualClock()
        self.graph = GraphAPI(
            tokens={"TOKEN": App(None, {ACCOUNT})}, clock=self.clock.monotonic, now=self.clock.now, keep_bodies=True
        )
        self.bigquery = BigQuery()
        self.storage = Storage()
        self.queue = Queue(self.steps)
        self._page_rows = page_rows
        self.seconds = seconds
        #: That each call to BigQuery or Cloud Storage takes.
        self.reading = 0.0
        self._more = config
        self._asked = 0
        self._exits = ExitStack()
        self.relay: Relay

    def __enter__(self) -> Self:
        for part in (self.graph, self.bigquery, self.storage):
            self._exits.enter_context(part)
        self.graph.add_account(ACCOUNT)
        self.bigquery.add_table(LOG, json.loads((ROOT / "lib" / "delivery_log.json").read_text()))
        self.bigquery.add_table(SOURCE, COLUMNS)
        credentials = AnonymousCredentials()  # type: ignore[no-untyped-call]  # google-auth has no types here
        self.client: Any = bigquery.Client(
            project="p", credentials=credentials, client_options={"api_endpoint": self.bigquery.url}
        )
        self._exits.callback(self.client.close)
        self.files: Any = Client(
            project="p", credentials=credentials, client_options={"api_endpoint": self.storage.url}
        )
        self._exits.callback(self.files.close)
        self.relay = self._composed()
        return self

    def __exit__(self, *_: object) -> None:
        self._exits.close()

    def _composed(self) -> Relay:
        document = {
            "graph_api": {"url": self.graph.url},
            "connections": {"acme": {"access_token": "env:TOKEN", "ad_account_id": ACCOUNT, "default_country": "DE"}},
            "callers": "iam",
            "delivery_log": LOG,
            "queue": {"topic": "projects/p/topics/t", "dead_letter_topic": "projects/p/topics/d"},
            "segments": {"mapping": {"EMAIL": ["email"], "PHONE": ["phone"], "EXTERN_ID": ["customer"]}},
            "sources": {"vip": {"bigquery": {"table": SOURCE}}, "file": {"bucket": {"uri": "gs://crm/vip.json"}}},
            "log_level": "ERROR",
            **self._more,
        }
        built = bootstrap.build({"RELAY_CONFIG": json.dumps(document)})
        clock, chance = self.clock.clock(), Chance(jitter=lambda: 0.0, name=numbered())
        transport = built.outside.graph_api.transport

        def stepping(*args: Any, **kwargs: Any) -> Reply:
            self.steps()
            self.clock.pass_(self.seconds)
            reply = transport(*args, **kwargs)
            self.steps()
            return reply

        secrets = Values()
        graph_api = replace(built.outside.graph_api, transport=stepping, secrets=secrets, clock=clock, chance=chance)
        outside = replace(
            built.outside,
            graph_api=graph_api,
            queue=self.queue if document.get("queue") else None,
            delivery_log=_Log(self),
            clock=clock,
            side_by_side=InTurn(),
            warehouse=Warehouse(
                bigquery=lambda: Stepping(self.client, self),
                storage=lambda: Stepping(self.files, self),
                delivery_log=LOG,
                page_rows=self._page_rows,
            ),
        )
        return replace(built, outside=outside, secrets=secrets, clock=clock, chance=chance)

    # What a test arranges.

    def fill(self, members: Sequence[Mapping[str, Any]]) -> None:
        """Let the source hold *members*, by a load job."""
        data = b"\n".join(map(orjson.dumps, members))
        config = bigquery.LoadJobConfig(source_format="NEWLINE_DELIMITED_JSON", write_disposition="WRITE_TRUNCATE")
        self.client.load_table_from_file(io.BytesIO(data), SOURCE, size=len(data), job_config=config).result()

    def publish(self, body: Mapping[str, Any]) -> None:
        """Publish a message of `/segments`."""
        self._asked += 1
        self.queue.waiting.append(Held(orjson.dumps(body), {"type": "segments"}, f"a{self._asked}"))

    def ask(self, change: str, **more: Any) -> None:
        """Publish a message that asks for a change of the segment, from the table unless *more* says otherwise."""
        self.publish({"segment": SEGMENT, "change": change, **(more or {"source": "vip"})})

    # What a test does.

    def deliver(self, *, kill_at: int = -1) -> bool:
        """Deliver the message that waits longest; return whether it is done with. Killed, it comes again."""
        held = self.queue.waiting.popleft()
        message = self.message(held)
        self.steps.done, self.steps.kill_at = 0, kill_at
        try:
            done = self.relay.deliver(message)
        except KilledError:
            done = False
        finally:
            self.steps.kill_at = -1
        if not done:
            self.queue.waiting.append(held)
        return done

    def message(self, held: Held) -> Message:
        """Return the next delivery of a message; it was published with the first."""
        held.attempt += 1
        published = float(held.attributes.get("x-published", self.clock.now()))
        held.attributes = {**held.attributes, "x-published": str(published)}
        return Message(
            data=base64.b64encode(held.data).decode(),
            attributes=held.attributes,
            message_id=held.message_id,
            attempt=held.attempt,
            published=published,
        )

    def drain(self, limit: int = 200) -> int:
        """Deliver until nothing waits; return how many deliveries that took."""
        for count in range(limit):
            if not self.queue.waiting:
                return count
            if not self.deliver():
                self.clock.pass_(60)
        raise AssertionError(f"{len(self.queue.waiting)} messages still wait")

    def post(self, path: str, body: Mapping[str, Any]) -> HTTPAnswer:
        """Send an HTTP request."""
        return self._http("POST", path, orjson.dumps(body))

    def get(self, path: str) -> HTTPAnswer:
        """Ask over HTTP."""
        return self._http("GET", path, b"")

    def _http(self, method: str, path: str, raw: bytes) -> HTTPAnswer:
        headers = {"content-type": "application/json"}
        return self.relay.receive(HTTPRequest(method=method, path=path, headers=headers, read_body=lambda: raw))

    # What a test looks at.

    @property
    def audience(self) -> str:
        """The id of the segment's audience, which is the only one."""
        (found,) = self.graph.audiences()
        return found

    def emails(self) -> set[str]:
        """Return the hashed e-mails of the audience's members."""
        return {value for person in self.graph.members(self.audience) for key, value in person if key == "EMAIL"}

    def rows(self, **having: Any) -> list[dict[str, Any]]:
        """Return the rows of the delivery log, each once."""
        once = {row["row_id"]: row for row in self.bigquery.rows(LOG)}
        return [row for row in once.values() if all(row[key] == value for key, value in having.items())]

    def calls(self, edge: str) -> list[Any]:
        """Return the calls that changed people at an edge such as `users`."""
        return [call for call in self.graph.calls if call.path.endswith(f"/{edge}") and call.method != "GET"]


class _Log:
    """The delivery log without the steps: that a row is lost changes nothing of who is sent."""

    def __init__(self, world: World) -> None:
        self._world = world

    def insert(self, rows: Sequence[Mapping[str, object]], *, timeout_s: float = 5.0) -> None:
        """Insert *rows*."""
        if rows:
            ids = [str(row["row_id"]) for row in rows]
            assert self._world.client.insert_rows_json(LOG, rows, row_ids=ids, timeout=timeout_s) == []


def people(*numbers: int | range) -> list[dict[str, Any]]:
    """Return members by their numbers."""
    every = [one for number in numbers for one in (number if isinstance(number, range) else [number])]
    return [{"email": email_of(number), "phone": f"+49170{1_000_000 + number}"} for number in every]


def email_of(number: int) -> str:
    """Return a member's e-mail."""
    return f"p{number}@example.com"


def hashed(*numbers: int | range) -> set[str]:
    """Return the hashed e-mails of members."""
    return {sha256_hex(member["email"]) for member in people(*numbers)}
