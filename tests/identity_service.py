"""A stand-in of an identity service that speaks the Omni protocol, with every way in which it can fail."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from typing import Any, Final, Self

import orjson

from tests.local.http_server import HTTPServer, Reply, Request

PATH: Final = "/api/v1/identifier"


def visits(uuid: str = "5f0c2f6e-2b9f-4a57-9d1a-0c0ffee00001", **data: Any) -> Reply:
    """Return an answer with the number of visits."""
    return answer({"success": True, "data": {"uuid": uuid, "count_prev_visits": 3} | data})


def journal(*entries: Mapping[str, Any], uuid: str = "5f0c2f6e-2b9f-4a57-9d1a-0c0ffee00001") -> Reply:
    """Return an answer with a journal."""
    return answer({"data": {"uuid": uuid, "journal": list(entries)}})


def answer(body: object, status: int = 200, **headers: str) -> Reply:
    """Return *body* as JSON."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Reply(status, orjson.dumps(body), named)


class IdentityService:
    """
    The service on loopback; *handle* answers each request, None drops the connection without a word.

    Args:
        token: The only one that it takes.
    """

    def __init__(self, token: str = "token-of-identity") -> None:
        self.token = token
        self.handle: Callable[[dict[str, Any]], Reply | None] = lambda _body: visits()
        self.bodies: list[dict[str, Any]] = []
        #: One entry for each connection, since the server gives each a thread.
        self.connections: set[int] = set()
        self._lock = threading.Lock()
        self._server = HTTPServer(self._handle)
        self._stack = ExitStack()

    @property
    def url(self) -> str:
        """The value for identity.endpoint."""
        return self._server.url + PATH

    def __enter__(self) -> Self:
        self._stack.enter_context(self._server)
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def wait(self, seconds: float) -> None:
        """Answer after so long, or not at all where the test is over by then."""
        self.handle = lambda _body: None if self._server.closing.wait(seconds) else visits()

    def _handle(self, request: Request) -> Reply | None:
        if (request.method, request.path) != ("POST", PATH):
            return Reply(404)
        if request.headers.get("authorization") != f"Bearer {self.token}":
            return answer({"success": False, "error": {"message": "unauthorized", "code": 401}}, 401)
        body = orjson.loads(request.body)
        with self._lock:
            self.bodies.append(body)
            self.connections.add(threading.get_ident())
        return self.handle(body)
