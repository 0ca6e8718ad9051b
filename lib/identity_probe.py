"""Whether the endpoint of an Omni identity service answers, asked in a way that makes no visit of anybody."""

from __future__ import annotations

from dataclasses import dataclass

from lib.errors import GraphAPIUnreachableError
from lib.identity_settings import OmniSettings
from lib.ports import Secrets, Transport

#: Seconds: more than a request would wait, since nobody does.
_TIMEOUT_S = 5.0


@dataclass(frozen=True, slots=True)
class IdentityProbe:
    """Asks the service of one configuration."""

    settings: OmniSettings
    transport: Transport
    secrets: Secrets

    def __call__(self) -> int | None:
        """
        Return the HTTP status of a GET, None for no answer; a service that refuses the method is there.

        Raises:
            ConfigurationError: Its token cannot be read.
        """
        token = self.secrets.access(self.settings.access_token, refresh=True).strip().decode("latin-1")
        headers = {"Authorization": f"Bearer {token}"}
        try:
            return self.transport("GET", self.settings.endpoint, headers=headers, body=b"", timeout=_TIMEOUT_S).status
        except GraphAPIUnreachableError:
            return None
