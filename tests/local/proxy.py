"""
A TCP proxy that spoils a connection on its way to a stand-in, or to any other server on loopback.

What it can do has the names of Shopify's toxiproxy: latency, reset_peer, timeout, slicer, limit_data.
"""

import contextlib
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import Final, Literal, Self

from tests.local.http_server import CLOSE_TIMEOUT_S, LOOPBACK

RESET: Final = struct.pack("ii", 1, 0)  # SO_LINGER on, 0 s: close() sends RST

Mode = Literal["pass", "reset", "blackhole"]


class Proxy:
    """
    Forward to *target* ("host:port"); what is set on it holds from the next connection or answer on.

    `latency_s` is waited before each part of an answer; `slice_bytes` cuts answers into parts of that size;
    `limit_bytes` ends the connection after so many bytes of answers. In the mode `reset` a connection is
    reset at its first bytes, and in `blackhole` it is taken and never answered.
    """

    def __init__(self, target: str, *, port: int = 0) -> None:
        host, _, target_port = target.removeprefix("http://").rpartition(":")
        self.mode: Mode = "pass"
        self.latency_s = 0.0
        self.slice_bytes = 0
        self.limit_bytes: int | None = None
        self.connections = 0
        self._target = (host, int(target_port))
        self._closing = threading.Event()
        self._lock = threading.Lock()
        self._sockets: set[socket.socket] = set()
        self._threads: list[threading.Thread] = []
        self._listener = socket.create_server((LOOPBACK, port))
        self.port: int = self._listener.getsockname()[1]

    @property
    def address(self) -> str:
        """Where to connect in place of the target, as "host:port"."""
        return f"{LOOPBACK}:{self.port}"

    @property
    def url(self) -> str:
        """Where to connect in place of the target, as a URL."""
        return f"http://{self.address}"

    def __enter__(self) -> Self:
        self._start(self._accept)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop listening, drop what is connected, and wait for the threads."""
        self._closing.set()
        with contextlib.suppress(OSError):  # wakes accept()
            socket.create_connection((LOOPBACK, self.port), timeout=1).close()
        with self._lock:
            for each in self._sockets:
                _hang_up(each)
        for thread in list(self._threads):
            thread.join(CLOSE_TIMEOUT_S)
        self._listener.close()

    def _start(self, target: Callable[..., None], *args: socket.socket) -> None:
        thread = threading.Thread(target=target, args=args, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while True:
            client, _ = self._listener.accept()
            if self._closing.is_set():
                client.close()
                return
            self.connections += 1
            self._start(self._serve, client)

    def _serve(self, client: socket.socket) -> None:
        with client, contextlib.suppress(OSError), self._known(client):
            if self.mode == "reset":
                client.recv(1)
                client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
            elif self.mode == "blackhole":
                while client.recv(1 << 16):
                    pass
            else:
                self._forward(client)

    def _forward(self, client: socket.socket) -> None:
        with socket.create_connection(self._target) as server, self._known(server):
            upwards = threading.Thread(target=_copy, args=(client, server), daemon=True)
            upwards.start()
            try:
                self._answer(server, client)
            finally:
                _hang_up(client)
                _hang_up(server)
                upwards.join(CLOSE_TIMEOUT_S)

    def _answer(self, server: socket.socket, client: socket.socket) -> None:
        sent = 0
        while data := server.recv(1 << 16):
            if self.limit_bytes is not None:
                data = data[: self.limit_bytes - sent]
            size = self.slice_bytes or len(data)
            for start in range(0, len(data), max(size, 1)):
                self._closing.wait(self.latency_s)
                client.sendall(data[start : start + size])
            sent += len(data)
            if self.limit_bytes is not None and sent >= self.limit_bytes:
                return

    @contextlib.contextmanager
    def _known(self, each: socket.socket) -> Iterator[None]:
        with self._lock:
            self._sockets.add(each)
        try:
            yield
        finally:
            with self._lock:
                self._sockets.discard(each)


def _copy(source: socket.socket, sink: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(1 << 16):
            sink.sendall(data)
        sink.shutdown(socket.SHUT_WR)


def _hang_up(each: socket.socket) -> None:
    with contextlib.suppress(OSError):
        each.shutdown(socket.SHUT_RDWR)
