"""Whether an identity service answers: a question about nobody."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import pytest

from lib.errors import ConfigurationError, GraphAPIUnreachableError
from lib.identity_probe import IdentityProbe
from lib.identity_settings import OmniSettings
from lib.ports import Reply
from tests.seams import Values

SETTINGS: Final = OmniSettings(endpoint="https://identity.example/api", access_token="env:token-of-identity")


class Answers:
    def __init__(self, status: int | None) -> None:
        self.status = status
        self.calls: list[tuple[str, str, Mapping[str, str], bytes]] = []

    def __call__(self, method: str, url: str, *, headers: Mapping[str, str], body: bytes, timeout: float) -> Reply:
        assert 0 < timeout <= 5
        self.calls.append((method, url, headers, body))
        if self.status is None:
            raise GraphAPIUnreachableError("no answer")
        return Reply(self.status, {}, b"")


@pytest.mark.parametrize("status", [200, 404, 405, 401, 503, None])
def test_the_status_is_what_it_answers(status: int | None) -> None:
    transport = Answers(status)
    assert IdentityProbe(SETTINGS, transport, Values())() == status
    assert transport.calls == [
        ("GET", "https://identity.example/api", {"Authorization": "Bearer token-of-identity"}, b"")
    ]


def test_a_token_that_cannot_be_read_is_told() -> None:
    class Gone:
        def access(self, name: str, *, refresh: bool = False) -> bytes:
            assert refresh
            raise ConfigurationError(f"no {name}")

    with pytest.raises(ConfigurationError):
        IdentityProbe(SETTINGS, Answers(200), Gone())()
