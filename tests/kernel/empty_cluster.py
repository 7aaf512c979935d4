"""A listener that speaks as much of Kafka's protocol as it takes to be asked for the cluster, and can answer that it is empty."""

from __future__ import annotations

import socketserver
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager

_METADATA, _API_VERSIONS = 3, 18
_UNSUPPORTED_VERSION = 35
TOPIC = "topic"
_APIS = ((_METADATA, 1, 1), (_API_VERSIONS, 0, 0))


class EmptyCluster:
    """One broker on a free port of loopback, with one topic; while `empty`, no answer about the cluster names the broker."""

    def __init__(self) -> None:
        self.empty = False
        self.asked = 0
        self.port = 0

    @property
    def bootstrap_servers(self) -> str:
        """Its address."""
        return f"127.0.0.1:{self.port}"

    def answer(self, api: int, version: int) -> bytes:
        """Return the body of a response; raise `ValueError` for what no client of these tests asks."""
        if api == _API_VERSIONS:
            apis = b"".join(struct.pack(">hhh", *one) for one in _APIS)
            return struct.pack(">hi", _UNSUPPORTED_VERSION if version else 0, len(_APIS)) + apis
        if api != _METADATA:
            raise ValueError(f"no answer to API {api}")
        self.asked += 1
        host = b"127.0.0.1"
        broker = struct.pack(">ih", 1, len(host)) + host + struct.pack(">ih", self.port, -1)
        brokers = struct.pack(">i", 0) if self.empty else struct.pack(">i", 1) + broker
        topic = struct.pack(">hh", 0, len(TOPIC)) + TOPIC.encode() + struct.pack(">?i", False, 0)
        return brokers + struct.pack(">ii", 1, 1) + topic


@contextmanager
def empty_cluster() -> Iterator[EmptyCluster]:
    """Yield a listening cluster."""
    found = EmptyCluster()

    class Handler(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            while size := self.rfile.read(4):
                request = self.rfile.read(struct.unpack(">i", size)[0])
                api, version, correlation = struct.unpack(">hhi", request[:8])
                body = struct.pack(">i", correlation) + found.answer(api, version)
                self.wfile.write(struct.pack(">i", len(body)) + body)

    class Server(socketserver.ThreadingTCPServer):
        daemon_threads = True
        allow_reuse_address = True

    with Server(("127.0.0.1", 0), Handler) as server:
        found.port = server.server_address[1]
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield found
        server.shutdown()
        thread.join(10)
