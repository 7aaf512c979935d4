"""A receiver that costs little beside what it measures: a bare asyncio protocol that answers 200 to every POST.

`python -m benchmarks.receiver DELAY_S TLS_PORT CERTIFICATE PORT...`; the certificate's file has its key too. A path that begins with
`hang` is never answered. An event id `bench-<nanoseconds>-<n>` tells when it was made, or due. `GET /_count`, `/_unique` (different
webhook-ids), `/_latencies` and `/_sample` (every 97th call, as JSON) tell what came.
"""

from __future__ import annotations

import asyncio
import json
import re
import ssl
import sys
import time
from collections.abc import Sequence

import uvloop

_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_ID = re.compile(rb"\r\nwebhook-id: *([^\r]+)", re.IGNORECASE)
_STAMP = re.compile(rb'"id":"bench-(\d+)-')
_OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
_EVERY = 97
_MOST = 200


class Seen:
    """What came so far."""

    def __init__(self) -> None:
        self.count = 0
        self.latencies_ns: list[int] = []
        self.ids: set[bytes] = set()
        self.sample: list[bytes] = []

    def take(self, request: bytes, body_at: int) -> None:
        """Count a whole request whose body begins at `body_at`."""
        self.count += 1
        if stamp := _STAMP.search(request, body_at):
            self.latencies_ns.append(time.time_ns() - int(stamp[1]))
        if found := _ID.search(request, 0, body_at):
            self.ids.add(found[1])
            if self.count % _EVERY == 1 and len(self.sample) < _MOST:
                self.sample.append(request)

    def told(self, path: bytes) -> str:
        """Return the answer to a question."""
        if path.startswith(b"/_sample"):
            return json.dumps([_parts(request) for request in self.sample])
        if path.startswith(b"/_latencies"):
            return "\n".join(map(str, self.latencies_ns))
        return str(len(self.ids) if path.startswith(b"/_unique") else self.count)


def _parts(request: bytes) -> dict[str, object]:
    """Return a request's path, headers by name in small letters, and body."""
    head, _, body = request.partition(b"\r\n\r\n")
    first, *lines = head.decode("latin-1").split("\r\n")
    headers = {name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    return {"path": first.split(" ")[1], "headers": headers, "body": body.decode()}


class Receive(asyncio.Protocol):
    """One connection; requests follow each other, with or without pipelining."""

    def __init__(self, seen: Seen, delay_s: float) -> None:
        self._seen = seen
        self._delay_s = delay_s
        self._held = b""
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the connection."""
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
            self._answer(request, end + 4)

    def _answer(self, request: bytes, body_at: int) -> None:
        if request.startswith(b"GET"):
            self._tell(self._seen.told(request[4:40]))
            return
        self._seen.take(request, body_at)
        if request.startswith(b"POST /hang"):
            return
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


async def serve(delay_s: float, tls_port: int, certificate: str, ports: Sequence[int]) -> None:
    """Listen at every port, and over TLS at one, until the process is ended; what comes is counted together."""
    seen, loop = Seen(), asyncio.get_running_loop()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    await loop.create_server(lambda: Receive(seen, delay_s), "127.0.0.1", tls_port, ssl=context, backlog=4096)
    servers = [await loop.create_server(lambda: Receive(seen, delay_s), "127.0.0.1", port, backlog=4096) for port in ports]
    await asyncio.gather(*(server.serve_forever() for server in servers))


if __name__ == "__main__":
    uvloop.run(serve(float(sys.argv[1]), int(sys.argv[2]), sys.argv[3], [int(port) for port in sys.argv[4:]]))
