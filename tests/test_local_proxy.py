"""The fault proxy, in front of a server that answers ten bytes."""

import threading
import time
from collections.abc import Iterator

import pytest
import requests

from tests.local.http_server import HTTPServer, Reply
from tests.local.proxy import Proxy

BODY = b"0123456789"


@pytest.fixture
def proxy() -> Iterator[Proxy]:
    with HTTPServer(lambda _request: Reply(200, BODY)) as server, Proxy(server.url) as proxy:
        yield proxy


def get(proxy: Proxy) -> bytes:
    return requests.get(proxy.url, timeout=0.5).content


def test_it_passes_what_it_is_given(proxy: Proxy) -> None:
    assert get(proxy) == BODY
    assert proxy.connections == 1


def test_latency_delays_the_answer(proxy: Proxy) -> None:
    proxy.latency_s = 0.2
    started = time.monotonic()
    assert get(proxy) == BODY
    assert time.monotonic() - started >= 0.2


def test_slices_make_up_the_whole_answer(proxy: Proxy) -> None:
    proxy.slice_bytes = 3
    assert get(proxy) == BODY


def test_a_limit_cuts_the_answer(proxy: Proxy) -> None:
    proxy.limit_bytes = 90
    with pytest.raises(requests.RequestException):
        get(proxy)


def test_a_reset_is_a_connection_error(proxy: Proxy) -> None:
    proxy.mode = "reset"
    with pytest.raises(requests.ConnectionError):
        get(proxy)


def test_a_black_hole_never_answers(proxy: Proxy) -> None:
    proxy.mode = "blackhole"
    with pytest.raises(requests.ReadTimeout):
        get(proxy)


def test_nothing_is_left_after_it_is_closed() -> None:
    before = set(threading.enumerate())
    with HTTPServer(lambda _request: Reply(200, BODY)) as server, Proxy(server.url) as proxy:
        proxy.mode = "blackhole"
        with requests.Session() as session, pytest.raises(requests.ReadTimeout):
            session.get(proxy.url, timeout=0.1)
    assert set(threading.enumerate()) <= before
