"""
A local stand-in for Google Secret Manager over REST.

`GET /v1/projects/*/secrets/*/versions/*:access` answers with the resolved version and the CRC-32C of the data
(cloud.google.com/secret-manager/docs/reference/rest, `versions.access`).
"""

import base64
import re
import threading
from collections import Counter
from contextlib import ExitStack
from types import TracebackType
from typing import Final, Self

import google_crc32c
import orjson

from tests.local.faults import Faults
from tests.local.google_rest import GoogleError, google_fault
from tests.local.http_server import HTTPServer, Reply, Request

ACCESS: Final = re.compile(r"/v1/(projects/[^/]+/secrets/[^/]+)/versions/([^/:]+):access")


class SecretManager:
    """Secret Manager on loopback; a secret goes by its full name, `projects/p/secrets/s`; versions from "1"."""

    def __init__(self, *, port: int = 0) -> None:
        self.faults = Faults()
        self.accesses: Counter[str] = Counter()
        self._lock = threading.Lock()
        self._versions: dict[str, list[bytes]] = {}
        self._disabled: set[tuple[str, int]] = set()
        self._denied: set[str] = set()
        self._server = HTTPServer(self._handle, port=port)
        self._stack = ExitStack()

    @property
    def url(self) -> str:
        """The value for SECRET_MANAGER_ENDPOINT."""
        return self._server.url

    def __enter__(self) -> Self:
        self._stack.enter_context(self._server)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    def set(self, name: str, value: str | bytes) -> str:
        """Add a version to a secret, which is created with its first, and return the version's number."""
        with self._lock:
            versions = self._versions.setdefault(name, [])
            versions.append(value.encode() if isinstance(value, str) else value)
            return str(len(versions))

    def disable(self, name: str, version: str) -> None:
        """Disable one version: accessing it is refused with 400."""
        with self._lock:
            self._disabled.add((name, int(version)))

    def deny(self, name: str) -> None:
        """Refuse access to the secret with 403."""
        with self._lock:
            self._denied.add(name)

    def allow(self, name: str) -> None:
        """Let the secret be accessed again."""
        with self._lock:
            self._denied.discard(name)

    def fail(self, times: int = 1, status: int = 503, delay_s: float = 0.0, match: str = "") -> None:
        """Answer the next *times* accesses whose path holds *match* with *status*."""
        self.faults.add(google_fault(status, times=times, delay_s=delay_s, match=match))

    def _handle(self, request: Request) -> Reply | None:
        if matched := ACCESS.fullmatch(request.path):
            with self._lock:
                self.accesses[matched[1]] += 1
        return self.faults.run(request, self._answer, self._server.closing)

    def _answer(self, request: Request) -> Reply:
        matched = ACCESS.fullmatch(request.path)
        if matched is None or request.method != "GET":
            return GoogleError(404, f"Not found: {request.path}").reply()
        try:
            with self._lock:
                return self._access(matched[1], matched[2])
        except GoogleError as error:
            return error.reply()

    def _access(self, name: str, version: str) -> Reply:
        if name in self._denied:
            permission = "Permission 'secretmanager.versions.access' denied"
            raise GoogleError(403, f"{permission} for resource '{name}/versions/{version}'.")
        versions = self._versions.get(name)
        if versions is None:
            raise GoogleError(404, f"Secret [{name}] not found or has no versions.")
        number = len(versions) if version == "latest" else int(version) if version.isdecimal() else 0
        if not 1 <= number <= len(versions):
            raise GoogleError(404, f"Secret Version [{name}/versions/{version}] not found.")
        # `latest` is the newest version whatever its state, and is not passed over when disabled.
        if (name, number) in self._disabled:
            message = f"Secret Version [{name}/versions/{number}] is in DISABLED state."
            raise GoogleError(400, message, name="FAILED_PRECONDITION")
        data = versions[number - 1]
        payload = {"data": base64.b64encode(data).decode(), "dataCrc32c": str(google_crc32c.value(data))}
        return Reply(200, orjson.dumps({"name": f"{name}/versions/{number}", "payload": payload}))
