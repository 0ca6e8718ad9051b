"""The stand-in for Secret Manager, read by the official client."""

import threading
from collections.abc import Iterator
from typing import Any, Final

import google_crc32c
import pytest
from google.api_core import exceptions
from google.auth.credentials import AnonymousCredentials
from google.cloud.secretmanager_v1 import SecretManagerServiceClient

from tests.local.secret_manager import SecretManager

NAME: Final = "projects/p/secrets/token"


@pytest.fixture
def secrets() -> Iterator[SecretManager]:
    with SecretManager() as secrets:
        yield secrets


@pytest.fixture
def client(secrets: SecretManager) -> Iterator[SecretManagerServiceClient]:
    credentials = AnonymousCredentials()  # type: ignore[no-untyped-call]  # google-auth has no types here
    options: Any = {"api_endpoint": secrets.url}
    with SecretManagerServiceClient(transport="rest", credentials=credentials, client_options=options) as client:
        yield client


def access(client: SecretManagerServiceClient, version: str = "latest", name: str = NAME) -> Any:
    return client.access_secret_version(name=f"{name}/versions/{version}", retry=None, timeout=5)


def test_latest_is_the_newest_version_and_says_its_number(
    secrets: SecretManager, client: SecretManagerServiceClient
) -> None:
    assert [secrets.set(NAME, "one"), secrets.set(NAME, b"two")] == ["1", "2"]
    answer = access(client)
    assert (answer.name, answer.payload.data) == (f"{NAME}/versions/2", b"two")
    assert answer.payload.data_crc32c == google_crc32c.value(b"two")
    assert access(client, "1").payload.data == b"one"
    assert secrets.accesses == {NAME: 2}


@pytest.mark.parametrize(
    ("version", "name"),
    [
        pytest.param("latest", "projects/p/secrets/other", id="no secret"),
        pytest.param("2", NAME, id="no version"),
        pytest.param("newest", NAME, id="no number"),
    ],
)
def test_what_is_not_there_is_not_found(
    secrets: SecretManager, client: SecretManagerServiceClient, version: str, name: str
) -> None:
    secrets.set(NAME, "one")
    with pytest.raises(exceptions.NotFound):
        access(client, version, name)


def test_a_disabled_version_is_refused_even_as_the_latest(
    secrets: SecretManager, client: SecretManagerServiceClient
) -> None:
    secrets.set(NAME, "one")
    secrets.disable(NAME, secrets.set(NAME, "two"))
    with pytest.raises(exceptions.BadRequest, match="DISABLED"):
        access(client)
    assert access(client, "1").payload.data == b"one"


def test_access_can_be_denied_and_allowed_again(secrets: SecretManager, client: SecretManagerServiceClient) -> None:
    secrets.set(NAME, "one")
    secrets.deny(NAME)
    with pytest.raises(exceptions.Forbidden, match=r"secretmanager\.versions\.access"):
        access(client)
    secrets.allow(NAME)
    assert access(client).payload.data == b"one"


def test_failures_are_used_up(secrets: SecretManager, client: SecretManagerServiceClient) -> None:
    secrets.set(NAME, "one")
    secrets.fail(times=2, status=503)
    for _ in range(2):
        with pytest.raises(exceptions.ServiceUnavailable):
            access(client)
    assert access(client).payload.data == b"one"
    assert secrets.accesses == {NAME: 3}


def test_nothing_is_left_after_it_is_closed() -> None:
    before = set(threading.enumerate())
    with SecretManager() as secrets:
        secrets.set(NAME, "one")
    assert set(threading.enumerate()) <= before
