"""HTTP calls over one pooled session of `requests`, each of which ends in its time whatever the other side does."""

from __future__ import annotations

import io
import logging
import time
from collections.abc import Mapping
from contextvars import ContextVar
from http.client import HTTPResponse
from http.cookiejar import DefaultCookiePolicy
from typing import Any, Final

import requests
from requests.adapters import HTTPAdapter
from urllib3 import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import HTTPError

from lib.errors import GraphAPIUnreachableError
from lib.ports import Reply

#: An answer of Meta is a few hundred bytes; samples of invalid rows are some hundred kilobytes.
MAX_ANSWER_BYTES: Final = 4 * 2**20
_CHUNK: Final = 2**16
#: A connection is there within this, or Meta is not: the rest of the time belongs to the answer.
_CONNECT_TIMEOUT: Final = 3.05

#: The monotonic second at which the call of this thread has to be over.
_deadline: ContextVar[float] = ContextVar("deadline")


class RequestsTransport:
    """
    Calls Meta.

    Args:
        pool_size: Connections that are kept; as many as calls can be under way at once.
    """

    def __init__(self, *, pool_size: int) -> None:
        # Its warnings hold the URL, and with it the proof of the app secret.
        logging.getLogger("urllib3").setLevel(logging.ERROR)
        self._session = requests.Session()
        # Proxies, .netrc and CA bundles of the environment are not for these calls, nor is a cookie.
        self._session.trust_env = False
        self._session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
        adapter = HTTPAdapter(pool_connections=4, pool_maxsize=pool_size)
        adapter.poolmanager.pool_classes_by_scheme = {"http": _HTTPPool, "https": _HTTPSPool}
        self._session.mount("https://", adapter)
        self._session.mount("http://", adapter)

    def __call__(self, method: str, url: str, *, headers: Mapping[str, str], body: bytes, timeout: float) -> Reply:
        """Make one call; see `Transport`. A redirect is not followed: the token must not go elsewhere."""
        _deadline.set(time.monotonic() + timeout)
        try:
            with self._session.request(
                method,
                url,
                headers=headers,
                data=body,
                timeout=(min(_CONNECT_TIMEOUT, timeout), timeout),
                allow_redirects=False,
                stream=True,
            ) as response:
                return Reply(response.status_code, dict(response.headers), _read(response))
        except (requests.RequestException, HTTPError, OSError) as error:
            # Its text holds the URL; its kind is enough.
            raise GraphAPIUnreachableError(f"no answer from Meta ({type(error).__name__})") from None

    def close(self) -> None:
        """Close the connections that are kept."""
        self._session.close()


def _read(response: requests.Response) -> bytes:
    body = bytearray()
    while chunk := response.raw.read1(_CHUNK, decode_content=True):
        body += chunk
        if len(body) > MAX_ANSWER_BYTES:
            raise GraphAPIUnreachableError("an answer from Meta that does not end")
    return bytes(body)


class _Reads(io.RawIOBase):
    """The reads of one answer. A socket's timeout is for each read, so that a slow answer could last for ever."""

    def __init__(self, sock: Any, reads: io.RawIOBase) -> None:
        super().__init__()
        self._sock = sock
        self._reads = reads
        self._deadline = _deadline.get()

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        left = self._deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError
        self._sock.settimeout(left)
        return self._reads.readinto(buffer)

    def close(self) -> None:
        self._reads.close()
        super().close()


class _Response(HTTPResponse):
    def __init__(self, sock: Any, *args: Any, **kwargs: Any) -> None:
        super().__init__(sock, *args, **kwargs)
        self.fp = io.BufferedReader(_Reads(sock, self.fp.detach()))


class _HTTPConnection(HTTPConnection):
    response_class = _Response


class _HTTPSConnection(HTTPSConnection):
    response_class = _Response


class _HTTPPool(HTTPConnectionPool):
    ConnectionCls = _HTTPConnection


class _HTTPSPool(HTTPSConnectionPool):
    ConnectionCls = _HTTPSConnection
