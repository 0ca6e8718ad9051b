"""
Circles of identifiers in Firestore: one document each, found by any of its keys through an index that Firestore makes.

A document has `keys` (what it is found by), `circle` (JSON, in bytes) and `expires_at`, by which a TTL policy deletes.
-- https://cloud.google.com/firestore/docs/ttl
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from lib.errors import IdentityUnreachableError
from lib.identity_settings import FirestoreSettings
from lib.identity_store import ConflictError, Stored, Write

#: "array-contains-any … up to 30 comparison values" -- https://cloud.google.com/firestore/docs/query-data/queries
_KEYS_OF_A_QUERY: Final = 30
#: Those of the client that say that somebody else was faster.
_CONFLICTS: Final = frozenset({"AlreadyExists", "FailedPrecondition", "NotFound", "Aborted"})


@dataclass(frozen=True, slots=True)
class FirestoreStore:
    """
    A store in Firestore; see `Store`.

    Args:
        client: Makes the official client, on first use.
    """

    client: Callable[[], Any]
    settings: FirestoreSettings

    def find(self, keys: Collection[str], *, timeout_s: float) -> list[Stored]:
        """Return each circle that holds one of *keys*; one round trip for up to 30 of them."""
        from google.cloud.firestore_v1.base_query import FieldFilter  # noqa: PLC0415 - comes with the client

        collection, wanted = self._collection(), list(keys)
        found: dict[str, Stored] = {}
        try:
            for start in range(0, len(wanted), _KEYS_OF_A_QUERY):
                part = wanted[start : start + _KEYS_OF_A_QUERY]
                query = collection.where(filter=FieldFilter("keys", "array_contains_any", part))
                for one in query.stream(retry=None, timeout=timeout_s):
                    found[one.id] = Stored(one.id, one.update_time, one.get("circle"))
        except Exception as error:  # noqa: BLE001 - whatever the client raises, an event goes without
            raise _unreachable("read", error) from None
        return list(found.values())

    def replace(self, gone: Iterable[Stored], writes: Iterable[Write], *, timeout_s: float) -> None:
        """Delete *gone* and write *writes* in one commit, each on condition that it is as it was read."""
        client, collection = self.client(), self._collection()
        batch = client.batch()
        for one in gone:
            batch.delete(collection.document(one.name), option=client.write_option(last_update_time=one.version))
        for write in writes:
            document = {
                "keys": list(write.keys),
                "circle": write.data,
                "expires_at": datetime.fromtimestamp(write.expires_at, UTC),
            }
            place = collection.document(write.name)
            if write.over is None:
                batch.create(place, document)
            else:
                batch.update(place, document, option=client.write_option(last_update_time=write.over.version))
        try:
            batch.commit(retry=None, timeout=timeout_s)
        except Exception as error:  # noqa: BLE001 - as above
            if type(error).__name__ in _CONFLICTS:
                raise ConflictError from None
            raise _unreachable("written", error) from None

    def _collection(self) -> Any:
        return self.client().collection(self.settings.collection)


def _unreachable(what: str, error: Exception) -> IdentityUnreachableError:
    # Its text may hold what was looked for; its kind is enough.
    return IdentityUnreachableError(f"the identity graph cannot be {what} ({type(error).__name__})", scope="Firestore")
