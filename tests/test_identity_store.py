"""What a store of circles has to do, told by one suite: within the process, and in Google's own Firestore emulator."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator, Sequence
from threading import Barrier, Thread
from typing import Any, Final

import pytest

from lib.firestore_store import FirestoreStore
from lib.identity_settings import FirestoreSettings
from lib.identity_store import ConflictError, MemoryStore, Store, Stored, Write
from tests.local.firestore import client_of

NOW: Final = 1_800_000_000
TIMEOUT_S: Final = 5.0


def write(name: str, *keys: str, data: bytes = b"{}", over: Stored | None = None) -> Write:
    return Write(name=name, over=over, data=data, keys=keys, expires_at=NOW)


def firestore_client(project: str) -> Any:
    """Return the official client of the emulator that `make test-emulators` runs."""
    address = os.environ.get("RELAY_TEST_FIRESTORE_EMULATOR", "")
    if address == "absent":
        pytest.skip("This emulator cannot be had here.")
    assert address, "RELAY_TEST_FIRESTORE_EMULATOR is not set; `make test-emulators` runs the emulators and sets it"
    return client_of(address, project)


@pytest.fixture(params=["memory", pytest.param("emulator", marks=pytest.mark.emulator)])
def store(request: pytest.FixtureRequest) -> Iterator[Store]:
    """An empty store."""
    if request.param == "memory":
        yield MemoryStore()
        return
    client = firestore_client(f"p-{uuid.uuid4().hex[:12]}")
    yield FirestoreStore(lambda: client, FirestoreSettings())
    client.close()


def find(store: Store, *keys: str) -> dict[str, bytes]:
    return {one.name: one.data for one in store.find(keys, timeout_s=TIMEOUT_S)}


def replace(store: Store, gone: Sequence[Stored], *writes: Write) -> None:
    store.replace(gone, writes, timeout_s=TIMEOUT_S)


class TestStore:
    def test_finds_a_circle_by_each_of_its_keys_and_by_no_other(self, store: Store) -> None:
        replace(store, [], write("1", "em:a", "client_id:1", data=b"one"), write("2", "em:b", data=b"two"))
        assert {"1": b"one"} == find(store, "em:a")
        assert {"1": b"one"} == find(store, "client_id:1", "em:z")
        assert {"1": b"one", "2": b"two"} == find(store, "em:b", "client_id:1", "em:a")
        assert {} == find(store, "em:z")

    def test_finds_by_more_keys_than_a_query_takes(self, store: Store) -> None:
        replace(store, [], write("1", "em:59"))
        assert ["1"] == list(find(store, *(f"em:{number}" for number in range(60))))

    def test_writes_over_what_was_read(self, store: Store) -> None:
        replace(store, [], write("1", "em:a", data=b"old"))
        (read,) = store.find(["em:a"], timeout_s=TIMEOUT_S)
        replace(store, [], write("1", "em:b", data=b"new", over=read))
        assert {} == find(store, "em:a")
        assert {"1": b"new"} == find(store, "em:b")

    def test_joins_two_at_once(self, store: Store) -> None:
        replace(store, [], write("1", "em:a"), write("2", "em:b"))
        one, other = sorted(store.find(["em:a", "em:b"], timeout_s=TIMEOUT_S), key=lambda read: read.name)
        replace(store, [other], write("1", "em:a", "em:b", data=b"both", over=one))
        assert {"1": b"both"} == find(store, "em:a", "em:b")

    @pytest.mark.parametrize("meanwhile", ["written", "deleted"])
    def test_what_has_changed_meanwhile_is_a_conflict_and_nothing_is_written(
        self, store: Store, meanwhile: str
    ) -> None:
        replace(store, [], write("1", "em:a", data=b"old"), write("2", "em:b", data=b"two"))
        (read,) = store.find(["em:a"], timeout_s=TIMEOUT_S)
        (two,) = store.find(["em:b"], timeout_s=TIMEOUT_S)
        if meanwhile == "written":
            replace(store, [], write("1", "em:a", data=b"theirs", over=read))
        else:
            replace(store, [read])
        for gone, writes in (([], [write("1", "em:a", data=b"ours", over=read)]), ([read], [])):
            with pytest.raises(ConflictError):
                replace(store, [*gone, two], *writes, write("3", "em:c"))
        assert {"2": b"two"} | ({"1": b"theirs"} if meanwhile == "written" else {}) == find(
            store, "em:a", "em:b", "em:c"
        )

    def test_two_who_see_somebody_for_the_first_time_do_not_both_succeed(self, store: Store) -> None:
        start, outcomes = Barrier(2), []

        def create(data: bytes) -> None:
            start.wait()
            try:
                replace(store, [], write("1", "em:a", data=data))
                outcomes.append("written")
            except ConflictError:
                outcomes.append("conflict")

        threads = [Thread(target=create, args=(data,)) for data in (b"one", b"other")]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert ["conflict", "written"] == sorted(outcomes)

    def test_what_is_deleted_leaves_nothing(self, store: Store) -> None:
        replace(store, [], write("1", "em:a", "em:b"))
        replace(store, store.find(["em:a"], timeout_s=TIMEOUT_S))
        assert {} == find(store, "em:a", "em:b")
        if isinstance(store, MemoryStore):
            assert ({}, {}) == (store.everything(), store._names)
