"""A receiver that costs little beside what it measures: a bare asyncio protocol that answers 200 to every POST.

`python -m benchmarks.receiver PORT DELAY_S`. An event id `bench-<nanoseconds>-<n>` tells when its publishing began;
`GET /_count` and `GET /_latencies` tell what came.
"""

from __future__ import annotations

import asyncio
import re
import sys
import time

import uvloop

_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_STAMP = re.compile(rb'"id":"bench-(\d+)-')
_OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
latencies_ns: list[int] = []
counted = 0


class Receive(asyncio.Protocol):
    """One connection; requests follow each other, with or without pipelining."""

    def __init__(self, delay_s: float) -> None:
        self._delay_s = delay_s
        self._held = b""
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the connection."""
        if isinstance(transport, asyncio.Transport) or hasattr(transport, "write"):
            self._transport = transport  # type: ignore[assignment]  # uvloop's own class

    def data_received(self, data: bytes) -> None:
        """Take what came; answer each whole request."""
        self._held += data
        while (end := self._held.find(b"\r\n\r\n")) >= 0:
            found = _LENGTH.search(self._held, 0, end + 2)
            whole = end + 4 + (int(found[1]) if found else 0)
            if len(self._held) < whole:
                return
            request, self._held = self._held[:whole], self._held[whole:]
            self._answer(request)

    def _answer(self, request: bytes) -> None:
        global counted  # noqa: PLW0603  # one process, one count
        if request.startswith(b"GET"):
            self._tell(str(counted) if b"/_count" in request[:40] else "\n".join(map(str, latencies_ns)))
            return
        counted += 1
        stamp = _STAMP.search(request)
        if stamp:
            latencies_ns.append(time.time_ns() - int(stamp[1]))
        if self._delay_s:
            asyncio.get_running_loop().call_later(self._delay_s, self._write, _OK)
        else:
            self._write(_OK)

    def _tell(self, text: str) -> None:
        body = text.encode()
        self._write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))

    def _write(self, data: bytes) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(data)


async def serve(port: int, delay_s: float) -> None:
    """Listen until the process is ended."""
    server = await asyncio.get_running_loop().create_server(lambda: Receive(delay_s), "127.0.0.1", port, backlog=4096)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(serve(int(sys.argv[1]), float(sys.argv[2])))
