"""
The HTTP/1.1 server that the stand-ins share: one thread for each connection, on loopback.

A small loop of its own in place of http.server, whose header parsing takes longer than most of the answers
here.
"""

import contextlib
import http
import socket
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from types import TracebackType
from typing import BinaryIO, Final, Self
from urllib.parse import parse_qsl, urlsplit

LOOPBACK: Final = "127.0.0.1"
CLOSE_TIMEOUT_S: Final = 5.0


@dataclass(frozen=True, slots=True)
class Request:
    """One request as it came: header names in lower case, the query decoded and in its order."""

    method: str
    path: str
    query: tuple[tuple[str, str], ...]
    headers: Mapping[str, str] = field(repr=False)
    body: bytes = field(repr=False)

    def parameter(self, name: str) -> str | None:
        """Return the last value of the query parameter *name*, None where it is absent."""
        return dict(self.query).get(name)


@dataclass(frozen=True, slots=True)
class Reply:
    """What to answer; *half* sends the header and half of the body and then drops the connection."""

    status: int
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    content_type: str = "application/json; charset=UTF-8"
    half: bool = False


Handler = Callable[[Request], Reply | None]


class HTTPServer:
    """
    Serve *handle* from daemon threads until it is closed.

    *handle* answers None to drop the connection without a word. `closing` is set first of all when the server
    closes, so that a handler that waits can wait on it.
    """

    def __init__(self, handle: Handler, *, port: int = 0) -> None:
        self.closing = threading.Event()
        self._handle = handle
        self._lock = threading.Lock()
        self._connections: dict[socket.socket, threading.Thread] = {}
        self._listener = socket.create_server((LOOPBACK, port), backlog=128)
        self.port: int = self._listener.getsockname()[1]
        self._acceptor = threading.Thread(target=self._accept, name=f"accept-{self.port}", daemon=True)

    @property
    def url(self) -> str:
        """The address to call, without a trailing slash."""
        return f"http://{LOOPBACK}:{self.port}"

    def __enter__(self) -> Self:
        self._acceptor.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop listening, drop what is connected, and wait for the threads."""
        self.closing.set()
        with contextlib.suppress(OSError):  # wakes accept() on every platform
            socket.create_connection((LOOPBACK, self.port), timeout=1).close()
        self._acceptor.join(CLOSE_TIMEOUT_S)
        self._listener.close()
        with self._lock:
            connections = dict(self._connections)
        for connection, thread in connections.items():
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
            thread.join(CLOSE_TIMEOUT_S)

    def _accept(self) -> None:
        while True:
            connection, _ = self._listener.accept()
            if self.closing.is_set():
                connection.close()
                return
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            thread = threading.Thread(target=self._serve, args=(connection,), daemon=True)
            with self._lock:
                self._connections[connection] = thread
            thread.start()

    def _serve(self, connection: socket.socket) -> None:
        try:
            with connection, connection.makefile("rb") as stream:
                for request in _requests(connection, stream):
                    reply = self._handle(request)
                    if reply is None or not _send(connection, request, reply):
                        return
        except OSError:
            return  # the caller went away, or the server closes
        finally:
            with self._lock:
                self._connections.pop(connection, None)


def _requests(connection: socket.socket, stream: BinaryIO) -> Iterator[Request]:
    """Read one request after the other, until the caller closes the connection or sends no HTTP."""
    while line := stream.readline(1 << 16):
        parts = line.split()
        if len(parts) != 3:
            return
        headers = _headers(stream)
        if headers.get("expect", "").lower() == "100-continue":
            connection.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
        url = urlsplit(parts[1].decode("latin-1"))
        query = tuple(parse_qsl(url.query, keep_blank_values=True))
        yield Request(parts[0].decode("latin-1"), url.path, query, headers, _body(stream, headers))
        if headers.get("connection", "").lower() == "close":
            return


def _headers(stream: BinaryIO) -> dict[str, str]:
    headers = {}
    while (line := stream.readline(1 << 16)) not in {b"\r\n", b"\n", b""}:
        name, _, value = line.decode("latin-1").partition(":")
        headers[name.strip().lower()] = value.strip()
    return headers


def _body(stream: BinaryIO, headers: Mapping[str, str]) -> bytes:
    if headers.get("transfer-encoding", "").lower() == "chunked":
        return b"".join(_chunks(stream))
    length = int(headers.get("content-length") or 0)
    body = stream.read(length)
    if len(body) < length:
        raise ConnectionResetError
    return body


def _chunks(stream: BinaryIO) -> Iterator[bytes]:
    while size := int(stream.readline().split(b";")[0] or b"0", 16):
        yield stream.read(size)
        stream.readline()
    stream.readline()


def _send(connection: socket.socket, request: Request, reply: Reply) -> bool:
    """Send the answer; tell whether the connection may be used again."""
    head = [f"HTTP/1.1 {reply.status} {_phrase(reply.status)}", f"Content-Length: {len(reply.body)}"]
    if reply.body:
        head.append(f"Content-Type: {reply.content_type}")
    head += [f"{name}: {value}" for name, value in reply.headers.items()]
    body = b"" if request.method == "HEAD" else reply.body
    if reply.half:
        body = body[: len(body) // 2]
    connection.sendall("\r\n".join([*head, "", ""]).encode("latin-1") + body)
    return not reply.half


def _phrase(status: int) -> str:
    try:
        return http.HTTPStatus(status).phrase
    except ValueError:
        return "Unknown"
