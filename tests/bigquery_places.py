"""A BigQuery for tests of what talks to it: the stand-in, or local-bigquery where there is one."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

import pytest
from google.auth.credentials import AnonymousCredentials
from google.cloud import bigquery

from tests.local.bigquery import BigQuery

#: For `pytest.fixture(params=...)`.
PLACES: Final = ["stand-in", pytest.param("emulator", marks=pytest.mark.emulator)]


@dataclass(frozen=True)
class Place:
    """The official client, and a dataset that no other test uses."""

    client: Any
    dataset: str


@contextmanager
def place(kind: object) -> Iterator[Place]:
    """Give one of PLACES."""
    if kind == "stand-in":
        with BigQuery() as server, connected(server.url) as made:
            yield made
        return
    url = os.environ.get("RELAY_TEST_BIGQUERY_EMULATOR", "")
    if url == "absent":
        pytest.skip("This emulator cannot be had here.")
    assert url, "RELAY_TEST_BIGQUERY_EMULATOR is not set; `make test-emulators` sets it"
    with connected(url) as made:
        yield made


@contextmanager
def connected(url: str) -> Iterator[Place]:
    """Connect to a BigQuery at *url*."""
    credentials = AnonymousCredentials()  # type: ignore[no-untyped-call]  # google-auth has no types here
    client: Any = bigquery.Client(project="p", credentials=credentials, client_options={"api_endpoint": url})
    dataset = f"p.d{uuid.uuid4().hex}"
    client.create_dataset(dataset)
    yield Place(client, dataset)
    client.close()
