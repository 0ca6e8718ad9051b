"""HTTP calls that end in their time whatever the other side does (reliability, rows 45 to 49 and 57; section 4)."""

from __future__ import annotations

import contextlib
import datetime as dt
import gzip
import ipaddress
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from lib.errors import GraphAPIUnreachableError, Retry
from lib.transport import MAX_ANSWER_BYTES, RequestsTransport
from tests.local.http_server import HTTPServer, Reply, Request
from tests.local.proxy import Proxy
from tests.log_records import log_records

TOKEN: Final = "EAAB7c1fCanary"
PROOF: Final = "proof7c1fCanary"
HEADERS: Final = {"Authorization": f"Bearer {TOKEN}", "Content-Type": "application/json"}
#: Seconds that a call may take here, and how much more is still no fault.
TIMEOUT_S: Final = 0.4
SLACK_S: Final = 3.0


@pytest.fixture
def transport() -> Iterator[RequestsTransport]:
    transport = RequestsTransport(pool_size=4)
    yield transport
    transport.close()


def call(transport: RequestsTransport, url: str, *, timeout: float = 5.0, body: bytes = b"{}") -> Any:
    return transport(
        "POST", f"{url}/v26.0/1/users?appsecret_proof={PROOF}", headers=HEADERS, body=body, timeout=timeout
    )


def failure(transport: RequestsTransport, url: str, *, timeout: float = TIMEOUT_S) -> str:
    """Return what is said of a call that fails, and in its time."""
    began = time.monotonic()
    with pytest.raises(GraphAPIUnreachableError) as caught:
        call(transport, url, timeout=timeout)
    assert time.monotonic() - began < timeout + SLACK_S
    error = caught.value
    assert (error.retry, error.status, error.scope, error.process) == (Retry.LATER, 503, "Graph API", "send")
    assert error.__cause__ is None
    assert error.__suppress_context__ or error.__context__ is None
    for secret in (TOKEN, PROOF, url.partition("//")[2]):
        assert secret not in f"{error!r} {error.facts()}"
    return error.message


class Script:
    """
    A server on loopback that reads a request and then does as *script* says with the connection.

    Args:
        script: Gets the connection, and an event that is set when it is to end.
    """

    def __init__(
        self, script: Callable[[socket.socket, threading.Event], None], *, tls: ssl.SSLContext | None = None
    ) -> None:
        self._script = script
        self._tls = tls
        self._closing = threading.Event()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._listener.settimeout(0.05)
        self._threads = [threading.Thread(target=self._accept, daemon=True)]
        self.connections = 0
        scheme = "https" if tls else "http"
        self.url = f"{scheme}://127.0.0.1:{self._listener.getsockname()[1]}"

    def __enter__(self) -> Self:
        self._threads[0].start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._closing.set()
        for thread in self._threads:
            thread.join(5)
        self._listener.close()

    def _accept(self) -> None:
        while not self._closing.is_set():
            with contextlib.suppress(TimeoutError):
                connection, _ = self._listener.accept()
                self.connections += 1
                thread = threading.Thread(target=self._serve, args=(connection,), daemon=True)
                self._threads.append(thread)
                thread.start()

    def _serve(self, connection: socket.socket) -> None:
        with contextlib.suppress(OSError), connection:
            connection.settimeout(5)
            if self._tls is None:
                self._talk(connection)
                return
            with self._tls.wrap_socket(connection, server_side=True) as secured:
                self._talk(secured)

    def _talk(self, connection: socket.socket) -> None:
        head = b""
        while b"\r\n\r\n{}" not in head:
            part = connection.recv(65536)
            if not part:
                return
            head += part
        self._script(connection, self._closing)


def drip(text: bytes) -> Callable[[socket.socket, threading.Event], None]:
    """Return a script that sends *text* one byte after the other, and begins again at its end."""

    def script(connection: socket.socket, closing: threading.Event) -> None:
        while not closing.is_set():
            for byte in text:
                connection.sendall(bytes([byte]))
                if closing.wait(0.02):
                    return

    return script


def flood(head: bytes, part: bytes) -> Callable[[socket.socket, threading.Event], None]:
    """Return a script that sends *head* and then *part* for ever."""

    def script(connection: socket.socket, closing: threading.Event) -> None:
        connection.sendall(head)
        while not closing.is_set():
            connection.sendall(part)

    return script


def say(answer: bytes) -> Callable[[socket.socket, threading.Event], None]:
    """Return a script that sends *answer* and ends the connection."""
    return lambda connection, _: connection.sendall(answer)


def silence(_: socket.socket, closing: threading.Event) -> None:
    closing.wait(5)


class TestAnswer:
    def test_a_call_and_its_answer(self, transport: RequestsTransport) -> None:
        seen: list[Request] = []

        def handle(request: Request) -> Reply:
            seen.append(request)
            return Reply(200, b'{"num_received":1}', {"x-fb-trace-id": "A1"})

        with HTTPServer(handle) as server:
            reply = call(transport, server.url, body=b'{"payload":{}}')
        assert (reply.status, reply.body, reply.headers["x-fb-trace-id"]) == (200, b'{"num_received":1}', "A1")
        (request,) = seen
        assert (request.method, request.path, request.body) == ("POST", "/v26.0/1/users", b'{"payload":{}}')
        assert request.headers["authorization"] == f"Bearer {TOKEN}"
        assert request.headers["content-length"] == "14"

    def test_a_delete_has_a_body(self, transport: RequestsTransport) -> None:
        with HTTPServer(lambda request: Reply(200, request.method.encode() + request.body)) as server:
            reply = transport("DELETE", f"{server.url}/v26.0/1/users", headers=HEADERS, body=b'{"a":1}', timeout=5)
        assert reply.body == b'DELETE{"a":1}'

    @pytest.mark.parametrize("status", [400, 404, 429, 500, 503])
    def test_a_status_is_no_failure_here(self, transport: RequestsTransport, status: int) -> None:
        with HTTPServer(lambda _: Reply(status, b"<html>")) as server:
            assert (call(transport, server.url).status, call(transport, server.url).body) == (status, b"<html>")

    @pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
    def test_a_redirect_is_not_followed(self, transport: RequestsTransport, status: int) -> None:
        elsewhere: list[Request] = []

        def other(request: Request) -> Reply:
            elsewhere.append(request)
            return Reply(200)

        with HTTPServer(other) as target, HTTPServer(lambda _: Reply(status, b"", {"Location": target.url})) as server:
            assert call(transport, server.url).status == status
        assert elsewhere == []

    def test_an_answer_may_be_compressed(self, transport: RequestsTransport) -> None:
        body = gzip.compress(b'{"num_received":1}')
        with HTTPServer(lambda _: Reply(200, body, {"Content-Encoding": "gzip"})) as server:
            assert call(transport, server.url).body == b'{"num_received":1}'

    def test_half_a_head_is_an_answer_without_a_body_and_the_log_does_not_show_its_url(
        self, transport: RequestsTransport
    ) -> None:
        with Script(say(b"HTTP/1.1 200 OK\r\nContent-Le")) as server, log_records("urllib3", level=None) as records:
            assert call(transport, server.url).body == b""
        assert records == []

    def test_cookies_are_not_kept(self, transport: RequestsTransport) -> None:
        cookies: list[str | None] = []

        def handle(request: Request) -> Reply:
            cookies.append(request.headers.get("cookie"))
            return Reply(200, b"{}", {"Set-Cookie": "fr=7c1f; Path=/"})

        with HTTPServer(handle) as server:
            for _ in range(2):
                call(transport, server.url)
        assert cookies == [None, None]

    def test_the_environment_has_no_say(
        self, transport: RequestsTransport, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        netrc = tmp_path / "netrc"
        netrc.write_text("default login user password secret\n", encoding="utf-8")
        netrc.chmod(0o600)
        monkeypatch.setenv("NETRC", str(netrc))
        for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
            monkeypatch.setenv(name, "http://127.0.0.1:9")
        monkeypatch.delenv("no_proxy", raising=False)
        with HTTPServer(lambda request: Reply(200, request.headers["authorization"].encode())) as server:
            assert call(transport, server.url).body == f"Bearer {TOKEN}".encode()


class TestConnections:
    def test_they_are_used_again(self, transport: RequestsTransport) -> None:
        with HTTPServer(lambda _: Reply(200, b"{}")) as server, Proxy(server.url) as proxy:
            for _ in range(10):
                call(transport, proxy.url)
            assert proxy.connections == 1

    def test_there_are_as_many_as_calls_at_once(self, transport: RequestsTransport) -> None:
        barrier = threading.Barrier(4)

        def handle(_: Request) -> Reply:
            barrier.wait(5)
            return Reply(200, b"{}")

        with HTTPServer(handle) as server, Proxy(server.url) as proxy, ThreadPoolExecutor(4) as pool:
            for _ in range(3):
                list(pool.map(lambda _: call(transport, proxy.url), range(4)))
            assert proxy.connections == 4

    def test_a_refused_answer_does_not_cost_the_connection(self, transport: RequestsTransport) -> None:
        with HTTPServer(lambda _: Reply(400, b'{"error":{}}')) as server, Proxy(server.url) as proxy:
            for _ in range(3):
                call(transport, proxy.url)
            assert proxy.connections == 1

    def test_one_that_the_server_has_closed_meanwhile_is_made_anew(self, transport: RequestsTransport) -> None:
        with Script(say(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")) as server:
            for _ in range(3):
                assert call(transport, server.url).body == b"{}"
                time.sleep(0.05)
            assert server.connections == 3

    def test_the_time_of_one_call_is_not_that_of_the_next(self, transport: RequestsTransport) -> None:
        with HTTPServer(lambda _: Reply(200, b"{}")) as server:
            call(transport, server.url, timeout=0.2)
            time.sleep(0.3)
            assert call(transport, server.url, timeout=0.2).status == 200


class TestFailure:
    def test_nobody_listens(self, transport: RequestsTransport) -> None:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            port = listener.getsockname()[1]
        assert failure(transport, f"http://127.0.0.1:{port}") == "no answer from Meta (ConnectionError)"

    @pytest.mark.parametrize(
        "script",
        [
            pytest.param(say(b""), id="closed without a word"),
            pytest.param(say(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n{"), id="half an answer"),
            pytest.param(
                say(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"), id="a chunk that is none"
            ),
            pytest.param(say(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n{"), id="half a chunk"),
            pytest.param(
                say(b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 2\r\n\r\n{}"), id="gzip that is none"
            ),
            pytest.param(say(b"SSH-2.0-OpenSSH_9.2\r\n"), id="no HTTP"),
            pytest.param(say(b"HTTP/1.1 200 OK\r\n" + b"A: b\r\n" * 500 + b"\r\n"), id="500 headers"),
            pytest.param(say(b"HTTP/1.1 200 OK\r\nA: " + b"b" * 100_000 + b"\r\n\r\n"), id="a header of 100 kB"),
        ],
    )
    def test_an_answer_that_is_none(self, transport: RequestsTransport, script: Any) -> None:
        with Script(script) as server:
            assert failure(transport, server.url).startswith("no answer from Meta (")

    @pytest.mark.parametrize(
        "script",
        [
            pytest.param(silence, id="silence"),
            pytest.param(drip(b"HTTP/1.1 100 Continue\r\n\r\n"), id="100 Continue for ever"),
            pytest.param(drip(b"HTTP/1.1 200 OK\r\n" + b"A: b\r\n" * 90), id="a head byte by byte"),
            pytest.param(
                drip(b"HTTP/1.1 200 OK\r\nContent-Length: 9000\r\n\r\n" + b" " * 9000), id="a body byte by byte"
            ),
            pytest.param(drip(b"HTTP/1.1 200 OK\r\n\r\n" + b" " * 9000), id="a body without a length"),
            pytest.param(
                drip(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + b"1\r\n \r\n" * 900),
                id="chunks of a byte",
            ),
        ],
    )
    def test_an_answer_that_takes_too_long(self, transport: RequestsTransport, script: Any) -> None:
        with Script(script) as server:
            assert failure(transport, server.url).startswith("no answer from Meta (")

    def test_what_has_come_by_then_does_not_give_it_more_time(self, transport: RequestsTransport) -> None:
        def script(connection: socket.socket, closing: threading.Event) -> None:
            closing.wait(0.6)
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n")
            closing.wait(5)

        with Script(script) as server:
            began = time.monotonic()
            failure(transport, server.url, timeout=0.8)
            assert time.monotonic() - began < 3

    def test_an_answer_that_does_not_end(self, transport: RequestsTransport) -> None:
        with Script(flood(b"HTTP/1.1 200 OK\r\n\r\n", b" " * 65536)) as server:
            assert failure(transport, server.url, timeout=5) == "an answer from Meta that does not end"

    def test_an_answer_that_swells_when_it_is_unpacked(self, transport: RequestsTransport) -> None:
        bomb = gzip.compress(b" " * (8 * MAX_ANSWER_BYTES))
        with HTTPServer(lambda _: Reply(200, bomb, {"Content-Encoding": "gzip"})) as server:
            assert failure(transport, server.url, timeout=5) == "an answer from Meta that does not end"

    def test_a_connection_that_is_reset(self, transport: RequestsTransport) -> None:
        with HTTPServer(lambda _: Reply(200)) as server, Proxy(server.url) as proxy:
            proxy.mode = "reset"
            assert failure(transport, proxy.url).startswith("no answer from Meta (")

    def test_a_connection_that_nobody_serves(self, transport: RequestsTransport) -> None:
        with HTTPServer(lambda _: Reply(200)) as server, Proxy(server.url) as proxy:
            proxy.mode = "blackhole"
            assert failure(transport, proxy.url).startswith("no answer from Meta (")

    def test_after_a_failure_the_next_call_is_made(self, transport: RequestsTransport) -> None:
        replies = iter([None, Reply(200, b"{}")])
        with HTTPServer(lambda _: next(replies)) as server:
            failure(transport, server.url)
            assert call(transport, server.url).status == 200

    def test_a_host_that_is_none(self, transport: RequestsTransport) -> None:
        assert failure(transport, "http://host.invalid", timeout=5).startswith("no answer from Meta (")


def certificate(folder: Path, name: str) -> tuple[Path, ssl.SSLContext]:
    """Return a certificate that is signed by itself, for 127.0.0.1 by its address or for *name* alone."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    now = dt.datetime.now(dt.UTC)
    names: list[x509.GeneralName] = [x509.DNSName(name)]
    if name == "127.0.0.1":
        names = [x509.IPAddress(ipaddress.ip_address(name))]
    made = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(hours=1))
        .not_valid_after(now + dt.timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    path = folder / "certificate.pem"
    path.write_bytes(
        made.public_bytes(serialization.Encoding.PEM)
        + key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(path)
    return path, context


class TestTLS:
    def test_a_certificate_that_nobody_vouches_for_is_refused(
        self, transport: RequestsTransport, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        path, tls = certificate(tmp_path, "127.0.0.1")
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(path))
        with Script(silence, tls=tls) as server:
            assert failure(transport, server.url) == "no answer from Meta (SSLError)"

    def test_the_certificate_of_another_host_is_refused(self, transport: RequestsTransport, tmp_path: Path) -> None:
        path, tls = certificate(tmp_path, "graph.example.com")
        transport._session.verify = str(path)
        with Script(silence, tls=tls) as server:
            assert failure(transport, server.url) == "no answer from Meta (SSLError)"

    def test_a_call_over_it(self, transport: RequestsTransport, tmp_path: Path) -> None:
        path, tls = certificate(tmp_path, "127.0.0.1")
        transport._session.verify = str(path)
        body = b" " * 1_000_000
        with Script(say(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n" + body), tls=tls) as server:
            assert call(transport, server.url).body == body

    @pytest.mark.parametrize(
        "script",
        [
            pytest.param(silence, id="silence"),
            pytest.param(drip(b"HTTP/1.1 200 OK\r\n" + b"A: b\r\n" * 90), id="a head byte by byte"),
            pytest.param(
                drip(b"HTTP/1.1 200 OK\r\nContent-Length: 9000\r\n\r\n" + b" " * 9000), id="a body byte by byte"
            ),
        ],
    )
    def test_an_answer_over_it_that_takes_too_long(
        self, transport: RequestsTransport, tmp_path: Path, script: Any
    ) -> None:
        path, tls = certificate(tmp_path, "127.0.0.1")
        transport._session.verify = str(path)
        with Script(script, tls=tls) as server:
            assert failure(transport, server.url).startswith("no answer from Meta (")
