"""Faults that a test orders from a stand-in: wrong answers, late ones, and connections that drop."""

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal, Self

import orjson

from tests.local.http_server import Reply, Request

HTML: Final = b"<!DOCTYPE html><html><head><title>Error</title></head><body><h1>Sorry</h1></body></html>"

Drop = Literal["", "before", "after", "half"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """
    What happens to the next *times* calls whose path holds *match*.

    *delay_s* is waited before the call is processed, so that a call whose caller gave up lands late. A
    *status* is answered in place of processing; with none the call is processed, and then: nothing more, or
    with *drop* no answer at all (`after`) or half of it (`half`). `before` drops the connection
    unprocessed.
    """

    match: str = ""
    method: str = ""
    times: int = 1
    status: int | None = None
    body: bytes | Mapping[str, Any] = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    content_type: str = "application/json; charset=UTF-8"
    delay_s: float = 0.0
    drop: Drop = ""

    @classmethod
    def error(
        cls,
        code: int,
        subcode: int | None = None,
        *,
        status: int = 400,
        transient: bool | None = None,
        message: str = "An error that a test ordered",
        **more: Any,
    ) -> Self:
        """Answer with Meta's error envelope; subcode and is_transient only where given."""
        error: dict[str, Any] = {"message": message, "type": "OAuthException", "code": code}
        if subcode is not None:
            error["error_subcode"] = subcode
        if transient is not None:
            error["is_transient"] = transient
        return cls(status=status, body={"error": {**error, "fbtrace_id": "AOrderedByATest"}}, **more)

    @classmethod
    def html(cls, status: int = 502, **more: Any) -> Self:
        """Answer with a page, as load balancers do (facebook-python-business-sdk issue 141)."""
        return cls(status=status, body=HTML, content_type="text/html; charset=utf-8", **more)

    @classmethod
    def empty(cls, status: int = 503, **more: Any) -> Self:
        """Answer with a status and no body."""
        return cls(status=status, **more)

    @classmethod
    def garbage(cls, status: int = 200, **more: Any) -> Self:
        """Answer with something that says it is JSON and is not."""
        return cls(status=status, body=b'{"audience_id":"1","num_rec', **more)

    @classmethod
    def redirect(cls, location: str, **more: Any) -> Self:
        """Answer 302, which a caller with a token must not follow."""
        return cls(status=302, headers={"Location": location}, **more)

    @classmethod
    def slow(cls, delay_s: float, **more: Any) -> Self:
        """Wait, and then process the call as ever."""
        return cls(delay_s=delay_s, **more)

    @classmethod
    def dropped(cls, drop: Drop, **more: Any) -> Self:
        """Drop the connection before or after processing, or in the middle of the answer."""
        return cls(drop=drop, **more)

    def reply(self) -> Reply:
        """Return the answer of a fault that has a status."""
        body = self.body if isinstance(self.body, bytes) else orjson.dumps(dict(self.body))
        return Reply(self.status or 500, body, self.headers, self.content_type, half=self.drop == "half")


class Faults:
    """The ordered faults, first in first out; each is used up after its `times`."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._queue: list[list[Any]] = []

    def add(self, *faults: Fault) -> None:
        """Order *faults*, in this order."""
        with self._lock:
            self._queue += [[fault, fault.times] for fault in faults]

    def clear(self) -> None:
        """Forget what is not used up."""
        with self._lock:
            self._queue.clear()

    def pending(self) -> int:
        """Return how many calls are still to fail."""
        with self._lock:
            return sum(left for _, left in self._queue)

    def take(self, request: Request) -> Fault | None:
        """Use up one call of the first fault that matches *request*."""
        with self._lock:
            for entry in self._queue:
                fault: Fault = entry[0]
                if fault.match in request.path and fault.method in {"", request.method}:
                    entry[1] -= 1
                    if not entry[1]:
                        self._queue.remove(entry)
                    return fault
        return None

    def run(self, request: Request, process: Callable[[Request], Reply], closing: threading.Event) -> Reply | None:
        """Answer *request* with what *process* says, unless a fault is ordered for it."""
        fault = self.take(request)
        if fault is None:
            return process(request)
        if fault.delay_s:
            closing.wait(fault.delay_s)
        if fault.drop == "before":
            return None
        if fault.status is not None and fault.drop != "after":
            return fault.reply()
        reply = process(request)
        if fault.drop == "after":
            return None
        half = fault.drop == "half"
        return Reply(reply.status, reply.body, reply.headers, reply.content_type, half=half)
