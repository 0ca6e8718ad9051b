"""
A local stand-in for Cloud Storage that the official client reaches through STORAGE_EMULATOR_HOST.

Objects with generations, their metadata, lists by prefix, and media in ranges, as
cloud.google.com/storage/docs/json_api describes them. Objects are put there by tests.
"""

import base64
import re
import threading
from contextlib import ExitStack
from dataclasses import dataclass, field
from http import HTTPStatus
from types import TracebackType
from typing import Any, Final, Self
from urllib.parse import quote, unquote

import google_crc32c
import orjson

from tests.local.faults import Faults
from tests.local.google_rest import GoogleError, google_fault
from tests.local.http_server import HTTPServer, Reply, Request

OBJECTS: Final = r"(?:/download)?/storage/v1/b/(?P<bucket>[^/]+)/o"
#: Media that one answer holds; the caller has to ask in ranges beyond, as this project always does.
MAX_MEDIA_BYTES: Final = 64 * 2**20


@dataclass(frozen=True, slots=True)
class Stored:
    """One object, in one generation."""

    bucket: str
    name: str
    generation: int
    data: bytes = field(repr=False)
    content_encoding: str = ""


class Storage:
    """Cloud Storage on loopback."""

    def __init__(self, *, port: int = 0) -> None:
        self.faults = Faults()
        #: The `Range` of each download.
        self.ranges: list[str] = []
        self._lock = threading.Lock()
        self._objects: dict[tuple[str, str], Stored] = {}
        self._generation = 1_700_000_000_000_000
        self._server = HTTPServer(self._handle, port=port)
        self._stack = ExitStack()

    @property
    def url(self) -> str:
        """The value for STORAGE_EMULATOR_HOST."""
        return self._server.url

    def __enter__(self) -> Self:
        self._stack.enter_context(self._server)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    def put(self, bucket: str, name: str, data: bytes, *, content_encoding: str = "") -> None:
        """Put an object there, in place of an older generation."""
        with self._lock:
            self._generation += 1
            self._objects[bucket, name] = Stored(bucket, name, self._generation, data, content_encoding)

    def fail(self, times: int = 1, status: int = 503, match: str = "/o/") -> None:
        """Answer the next *times* calls whose path holds *match* with *status*."""
        self.faults.add(google_fault(status, times=times, delay_s=0, match=match))

    def _handle(self, request: Request) -> Reply | None:
        return self.faults.run(request, self._answer, self._server.closing)

    def _answer(self, request: Request) -> Reply:
        try:
            with self._lock:
                return self._route(request)
        except GoogleError as error:
            return error.reply()

    def _route(self, request: Request) -> Reply:
        if request.method != "GET":
            raise GoogleError(501, f"The stand-in has no {request.method} {request.path}")
        if matched := re.fullmatch(OBJECTS, request.path):
            prefix = request.parameter("prefix") or ""
            found = [one for key, one in sorted(self._objects.items()) if key[0] == matched["bucket"]]
            items = [_resource(one, self.url) for one in found if one.name.startswith(prefix)]
            return Reply(200, orjson.dumps({"kind": "storage#objects", "items": items}))
        if matched := re.fullmatch(OBJECTS + "/(?P<name>.+)", request.path):
            stored = self._objects.get((matched["bucket"], unquote(matched["name"])))
            wanted = request.parameter("generation")
            if stored is None or wanted not in {None, str(stored.generation)}:
                raise GoogleError(404, "No such object")
            return self._media(stored, request) if request.parameter("alt") == "media" else _metadata(stored, self.url)
        raise GoogleError(404, "Not Found")

    def _media(self, stored: Stored, request: Request) -> Reply:
        """Return all of an object, or a range of it (RFC 9110, 14); as stored to whoever accepts its encoding."""
        asked = request.headers.get("range", "")
        self.ranges.append(asked)
        headers = {"x-goog-generation": str(stored.generation), "X-Goog-Hash": f"crc32c={_crc32c(stored.data)}"}
        if stored.content_encoding:
            headers["Content-Encoding"] = stored.content_encoding
        matched = re.fullmatch(r"bytes=(\d+)-(\d*)", asked)
        if matched is None:
            if len(stored.data) > MAX_MEDIA_BYTES:
                raise GoogleError(501, "The stand-in gives large objects in ranges only")
            return Reply(200, stored.data, headers, "application/octet-stream")
        start = int(matched[1])
        if start >= len(stored.data):
            raise GoogleError(HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE, "Request range not satisfiable")
        end = min(int(matched[2] or len(stored.data)), len(stored.data) - 1)
        headers["Content-Range"] = f"bytes {start}-{end}/{len(stored.data)}"
        return Reply(206, stored.data[start : end + 1], headers, "application/octet-stream")


def _metadata(stored: Stored, url: str) -> Reply:
    return Reply(200, orjson.dumps(_resource(stored, url)))


def _resource(stored: Stored, url: str) -> dict[str, Any]:
    name = quote(stored.name, safe="")
    resource = {
        "kind": "storage#object",
        "id": f"{stored.bucket}/{stored.name}/{stored.generation}",
        "name": stored.name,
        "bucket": stored.bucket,
        "generation": str(stored.generation),
        "metageneration": "1",
        "size": str(len(stored.data)),
        "crc32c": _crc32c(stored.data),
        "mediaLink": f"{url}/download/storage/v1/b/{stored.bucket}/o/{name}?generation={stored.generation}&alt=media",
    }
    return resource | ({"contentEncoding": stored.content_encoding} if stored.content_encoding else {})


def _crc32c(data: bytes) -> str:
    return base64.b64encode(google_crc32c.value(data).to_bytes(4)).decode()
