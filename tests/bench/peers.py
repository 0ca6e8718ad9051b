"""Meta and BigQuery as they answer a good call: at once, and always the same."""

from __future__ import annotations

import asyncio
import sys
from typing import Final

_EVENTS_ANSWER: Final = b'{"events_received":1,"messages":[],"fbtrace_id":"AbC"}'
_INSERT_ANSWER: Final = b'{"kind":"bigquery#tableDataInsertAllResponse"}'


class _Peer(asyncio.Protocol):
    """Answers each whole request with what Meta, or BigQuery, says to a good one."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport
        self._pending = b""

    def data_received(self, data: bytes) -> None:
        self._pending += data
        while (end := self._pending.find(b"\r\n\r\n")) >= 0:
            head = self._pending[:end].lower()
            length = int(head.partition(b"content-length:")[2].partition(b"\r\n")[0] or 0)
            whole = end + 4 + length
            if len(self._pending) < whole:
                return
            self._pending = self._pending[whole:]
            answer = _INSERT_ANSWER if b"insertall" in head.partition(b"\r\n")[0] else _EVENTS_ANSWER
            self._transport.write(  # type: ignore[attr-defined] # a transport of TCP has it
                b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s"
                % (len(answer), answer)
            )


async def _serve(port: int) -> None:
    server = await asyncio.get_running_loop().create_server(_Peer, "127.0.0.1", port)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(_serve(int(sys.argv[1])))
