"""HTTP calls over one pooled session of `requests`."""

from __future__ import annotations

import time
from collections.abc import Mapping
from http.cookiejar import DefaultCookiePolicy
from typing import Final

import requests
from requests.adapters import HTTPAdapter
from urllib3.exceptions import HTTPError

from lib.errors import GraphAPIUnreachableError
from lib.ports import Reply

#: An answer of Meta is a few hundred bytes; samples of invalid rows are some hundred kilobytes.
MAX_ANSWER_BYTES: Final = 4 * 2**20
_CHUNK: Final = 2**16
#: A connection is there within this, or Meta is not: the rest of the time belongs to the answer.
_CONNECT_TIMEOUT: Final = 3.05


class RequestsTransport:
    """
    Calls Meta.

    Args:
        pool_size: Connections that are kept; as many as calls can be under way at once.
    """

    def __init__(self, *, pool_size: int) -> None:
        self._session = requests.Session()
        # Proxies, .netrc and CA bundles of the environment are not for these calls, nor is a cookie.
        self._session.trust_env = False
        self._session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
        adapter = HTTPAdapter(pool_connections=4, pool_maxsize=pool_size)
        self._session.mount("https://", adapter)
        self._session.mount("http://", adapter)

    def __call__(self, method: str, url: str, *, headers: Mapping[str, str], body: bytes, timeout: float) -> Reply:
        """Make one call; see `Transport`. A redirect is not followed: the token must not go elsewhere."""
        deadline = time.monotonic() + timeout
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
                return Reply(response.status_code, dict(response.headers), _read(response, deadline))
        except (requests.RequestException, HTTPError, OSError) as error:
            # Its text holds the URL; its kind is enough.
            raise GraphAPIUnreachableError(f"no answer from Meta ({type(error).__name__})") from None


def _read(response: requests.Response, deadline: float) -> bytes:
    """Return the body; `timeout` of requests is for each read, so that a slow answer could last for ever."""
    body = bytearray()
    while chunk := response.raw.read1(_CHUNK, decode_content=True):
        body += chunk
        if len(body) > MAX_ANSWER_BYTES:
            raise GraphAPIUnreachableError("an answer from Meta that does not end")
        if time.monotonic() > deadline:
            raise GraphAPIUnreachableError("an answer from Meta that takes too long")
    return bytes(body)
