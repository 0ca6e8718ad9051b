"""The relay as the environment describes it; a bad description never takes traffic."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import pytest

from lib import bootstrap
from lib.delivery_log import BigQueryDeliveryLog, ConsoleDeliveryLog, CountedDeliveryLog
from lib.errors import ConfigurationError
from lib.firestore_store import FirestoreStore
from lib.identity_graph import IdentityGraph
from lib.identity_store import MemoryStore
from lib.omni import OmniIdentity
from lib.queue import PubSubQueue
from tests.local.stack import ROOT

CONFIG: Final[Mapping[str, Any]] = {
    "connections": {"acme": {"access_token": "env:TOKEN"}},
    "callers": "iam",
}
PASTED: Final = "EAABsbCS1234canary"


def environ(config: object = CONFIG, **more: str) -> dict[str, str]:
    return {"RELAY_CONFIG": config if isinstance(config, str) else json.dumps(config), **more}


class TestDocument:
    def test_as_text(self) -> None:
        assert list(bootstrap.build(environ()).config.connections) == ["acme"]

    def test_as_a_file(self, tmp_path: Path) -> None:
        path = tmp_path / "relay.json"
        path.write_text(json.dumps(CONFIG), encoding="utf-8")
        assert list(bootstrap.build(environ(str(path))).config.connections) == ["acme"]

    @pytest.mark.parametrize("stated", [{}, {"RELAY_CONFIG": ""}, {"RELAY_CONFIG": "  "}])
    def test_it_has_to_be_there(self, stated: Mapping[str, str]) -> None:
        with pytest.raises(ConfigurationError, match="RELAY_CONFIG is not set"):
            bootstrap.build(stated)

    @pytest.mark.parametrize("path", ["/nowhere/relay.json", "/", f"{PASTED}\x00", PASTED * 300])
    def test_a_file_that_cannot_be_read(self, path: str) -> None:
        with pytest.raises(ConfigurationError, match="cannot be read") as caught:
            bootstrap.build(environ(path))
        assert PASTED not in str(caught.value)


class TestParts:
    def test_those_that_are_left_out(self) -> None:
        outside = bootstrap.build(environ()).outside
        assert outside.queue is None
        assert isinstance(outside.delivery_log, ConsoleDeliveryLog)

    def test_those_that_are_named(self) -> None:
        topics = {"topic": "projects/p/topics/t", "dead_letter_topic": "projects/p/topics/d"}
        outside = bootstrap.build(environ({**CONFIG, "queue": topics, "delivery_log": "p.d.t"})).outside
        assert isinstance(outside.queue, PubSubQueue)
        assert isinstance(outside.delivery_log, CountedDeliveryLog)
        assert isinstance(outside.delivery_log.log, BigQueryDeliveryLog)

    def test_the_health_log_has_a_table_where_one_is_named(self) -> None:
        assert bootstrap.build(environ()).health_log.table is None
        assert isinstance(
            bootstrap.build(environ({**CONFIG, "health_log": "p.d.t"})).health_log.table, BigQueryDeliveryLog
        )

    @pytest.mark.parametrize("stated", ["x", "0", "-1", "1.5"])
    def test_threads_that_are_no_number(self, stated: str) -> None:
        with pytest.raises(ConfigurationError, match="THREADS"):
            bootstrap.build(environ(THREADS=stated))

    @pytest.mark.parametrize("stated", ["1", " 16 ", ""])
    def test_threads(self, stated: str) -> None:
        assert bootstrap.build(environ(THREADS=stated)).outside.graph_api is not None

    @pytest.mark.parametrize(
        ("identity", "resolver"),
        [
            ({"endpoint": "https://identity.example.com", "access_token": "env:T"}, OmniIdentity),
            ({"firestore": {"database": "people"}, "key": "env:K"}, IdentityGraph),
            ({"memory": True, "key": "env:K"}, IdentityGraph),
            ({"user_id": True, "key": "env:K"}, type(None)),
        ],
    )
    def test_who_recognises_people(self, identity: Mapping[str, Any], resolver: type) -> None:
        # Where Firestore's client would look for credentials, there are none: nobody has made it yet.
        recognizer = bootstrap.build(environ({**CONFIG, "identity": identity})).recognizer
        assert recognizer is not None
        assert isinstance(recognizer.resolver, resolver)
        if isinstance(recognizer.resolver, IdentityGraph):
            # What is in memory has nobody to wait for.
            assert recognizer.resolver.waits == ("firestore" in identity)
            assert isinstance(recognizer.resolver.store, FirestoreStore if "firestore" in identity else MemoryStore)

    def test_nobody_does_where_identity_is_off(self) -> None:
        assert bootstrap.build(environ()).recognizer is None

    def test_building_starts_no_thread(self) -> None:
        before = threading.active_count()
        bootstrap.build(environ())
        assert threading.active_count() == before


class TestStart:
    """63: a revision with a bad configuration ends at once, with one message that lists everything and no value."""

    @staticmethod
    def start(stated: Mapping[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
        kept = {key: value for key, value in os.environ.items() if key != "RELAY_CONFIG"}
        return subprocess.run(
            [sys.executable, *(arguments or ("-c", "import main"))],
            cwd=ROOT,
            env={**kept, "PYTHONPATH": str(ROOT), **stated},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    def test_a_good_one(self) -> None:
        done = self.start(environ())
        assert (done.returncode, done.stderr) == (0, "")

    @pytest.mark.parametrize(
        ("stated", "told"),
        [
            ({}, ["RELAY_CONFIG is not set"]),
            (environ("{"), ["not JSON"]),
            (
                environ(
                    {
                        "graph_api": {"version": "26"},
                        "connections": {"acme": {"access_token": PASTED}},
                        "default_connection": PASTED,
                        "callers": {"sgtm": {"keys": [PASTED], "connections": ["globex"]}},
                        "queu": {},
                        "log_level": "LOUD",
                    }
                ),
                [
                    "graph_api.version",
                    "connections.acme.access_token",
                    "default_connection",
                    "callers.sgtm.keys",
                    "callers.sgtm.connections",
                    "queu is not known",
                    "log_level",
                ],
            ),
        ],
        ids=["none", "not JSON", "everything wrong"],
    )
    def test_a_bad_one(self, stated: Mapping[str, str], told: list[str]) -> None:
        done = self.start(stated)
        assert done.returncode == 1
        (line,) = done.stderr.splitlines()
        told_in = json.loads(line)
        assert told_in["severity"] == "CRITICAL"
        assert [text for text in told if text not in told_in["message"]] == []
        assert PASTED not in done.stdout + done.stderr

    def test_a_bad_one_never_takes_traffic(self) -> None:
        framework = str(Path(sys.executable).with_name("functions-framework"))
        done = self.start(environ("{"), framework, "--target", "receive", "--port", "0")
        assert done.returncode != 0
