"""The stand-in for Cloud Storage, through the official client."""

from __future__ import annotations

import gzip
from collections.abc import Iterator
from typing import Any

import pytest
from google.api_core import exceptions
from google.auth.credentials import AnonymousCredentials
from google.cloud.storage import Client

from tests.local.storage import Storage


@pytest.fixture
def server() -> Iterator[Storage]:
    with Storage() as server:
        yield server


@pytest.fixture
def client(server: Storage, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", server.url)
    credentials = AnonymousCredentials()  # type: ignore[no-untyped-call]  # google-auth has no types here
    made = Client(project="p", credentials=credentials)
    yield made
    made.close()


def test_the_client_heeds_the_variable_and_reads_an_object(server: Storage, client: Any) -> None:
    server.put("crm", "a/b c.json", b"0123456789")
    blob = client.bucket("crm").get_blob("a/b c.json")
    assert (blob.size, blob.download_as_bytes()) == (10, b"0123456789")
    assert blob.download_as_bytes(start=2, end=4) == b"234"
    with pytest.raises(exceptions.RequestRangeNotSatisfiable):
        blob.download_as_bytes(start=10, end=12)


def test_a_generation_that_is_gone_is_not_found(server: Storage, client: Any) -> None:
    server.put("crm", "a", b"old")
    old = client.bucket("crm").get_blob("a").generation
    server.put("crm", "a", b"new")
    with pytest.raises(exceptions.NotFound):
        client.bucket("crm").blob("a", generation=old).download_as_bytes()
    assert client.bucket("crm").get_blob("b") is None


def test_objects_are_listed_by_prefix(server: Storage, client: Any) -> None:
    for name in ("x/2", "x/1", "y/1"):
        server.put("crm", name, b"data")
    assert [blob.name for blob in client.list_blobs("crm", prefix="x/")] == ["x/1", "x/2"]


def test_packed_objects_come_as_stored_to_whoever_asks_for_them_so(server: Storage, client: Any) -> None:
    packed = gzip.compress(b"people")
    server.put("crm", "a", packed, content_encoding="gzip")
    blob = client.bucket("crm").get_blob("a")
    assert blob.content_encoding == "gzip"
    assert (blob.download_as_bytes(raw_download=True), blob.download_as_bytes()) == (packed, b"people")


def test_a_fault_is_answered_in_googles_form(server: Storage, client: Any) -> None:
    server.put("crm", "a", b"x")
    server.fail(status=403)
    with pytest.raises(exceptions.Forbidden):
        client.bucket("crm").get_blob("a")
