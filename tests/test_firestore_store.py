"""What only Firestore has, the form of a document and outages; what every store does, test_identity_store tells."""

from __future__ import annotations

import time
import uuid
from typing import Final

import pytest

from lib.errors import IdentityUnreachableError
from lib.firestore_store import FirestoreStore
from lib.identity_settings import FirestoreSettings
from lib.identity_store import Write
from tests.local.firestore import client_of
from tests.test_identity_store import firestore_client

NOW: Final = 1_800_000_000
WRITE: Final = Write(name="1", over=None, data=b"{}", keys=["em:secret"], expires_at=NOW)


@pytest.mark.emulator
def test_a_document_has_what_a_ttl_policy_wants() -> None:
    client = firestore_client(f"p-{uuid.uuid4().hex[:12]}")
    FirestoreStore(lambda: client, FirestoreSettings(collection="people")).replace([], [WRITE], timeout_s=5)
    document = client.collection("people").document("1").get().to_dict()
    assert {"keys", "circle", "expires_at"} == document.keys()
    assert (NOW, ["em:secret"]) == (document["expires_at"].timestamp(), document["keys"])
    client.close()


def test_one_that_does_not_answer_is_given_up_in_time_and_tells_nothing_of_whom_it_was_asked_about() -> None:
    # A port at which nobody listens: gRPC goes on trying.
    client = client_of("127.0.0.1:9", "p")
    store = FirestoreStore(lambda: client, FirestoreSettings())
    began = time.monotonic()
    with pytest.raises(IdentityUnreachableError) as caught:
        store.find(["em:secret"], timeout_s=0.2)
    with pytest.raises(IdentityUnreachableError):
        store.replace([], [WRITE], timeout_s=0.2)
    assert time.monotonic() - began < 3
    assert "Firestore" == caught.value.scope
    assert "secret" not in caught.value.message
    client.close()
