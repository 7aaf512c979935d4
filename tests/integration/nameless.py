"""A real broker behind a door: it can answer about the cluster as if its brokers were all out of it, and let nothing through."""

from __future__ import annotations

import asyncio
import contextlib
import struct
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from hookline.local.jars import Told
from hookline.local.kafka_broker import EmbeddedBroker, free_port

_METADATA: Final = 3
_NODE: Final = 1
_HEADER: Final = struct.Struct(">hhi")


def nobody(version: int, correlation: int, port: int = 0) -> bytes:
    """Return the answer, with its size, that names no broker and one topic without partitions; versions 9 to 13 of the protocol.

    With `port` it names the broker that is there; who asked for topics misses them.
    """
    name, topic_id = bytes([len(b"topic") + 1]) + b"topic", (bytes(15) + b"\1") * (version >= 10)
    topic = b"\0\0" + name + topic_id + b"\0\1" + struct.pack(">i", -1) + b"\0"
    end = struct.pack(">i", -1) * (version <= 10) + b"\0\0" * (version >= 13) + b"\0"
    host = b"127.0.0.1"
    broker = struct.pack(">i", _NODE) + bytes([len(host) + 1]) + host + struct.pack(">i", port) + b"\0\0"
    brokers, no_cluster, no_controller = b"\2" + broker if port else b"\1", b"\0", struct.pack(">i", -1)
    body = struct.pack(">i", correlation) + b"\0" + bytes(4) + brokers + no_cluster + no_controller + b"\2" + topic + end
    return struct.pack(">i", len(body)) + body


class Door:
    """A port in front of a broker; while `shut` it passes everything but questions about the cluster, while `cut` it keeps all back.

    While it `hides` the topics, it answers such questions with the broker alone.
    """

    def __init__(self) -> None:
        self.shut = self.cut = self.hides = False
        self.asked = 0
        self.behind = 0
        self._streams: set[asyncio.StreamWriter] = set()
        self.port = 0
        self._open = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._main()), daemon=True)
        self._thread.start()
        assert self._open.wait(10)

    def drop(self) -> None:
        """End all connections, so that everybody asks again."""
        self._loop.call_soon_threadsafe(self._drop)

    def close(self) -> None:
        """Take no more."""
        self._loop.call_soon_threadsafe(self._end.set)
        self._thread.join(10)

    async def _main(self) -> None:
        self._loop, self._end = asyncio.get_running_loop(), asyncio.Event()
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        self._open.set()
        await self._end.wait()
        server.close()
        self._drop()
        await asyncio.sleep(0.2)  # they are gone then

    def _drop(self) -> None:
        for one in self._streams.copy():
            one.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError), self._kept(writer):
            back, forth = await asyncio.open_connection("127.0.0.1", self.behind)
            with self._kept(forth):
                await asyncio.gather(self._requests(reader, forth, writer), self._pass(back, writer))

    @contextlib.contextmanager
    def _kept(self, stream: asyncio.StreamWriter) -> Iterator[None]:
        self._streams.add(stream)
        try:
            yield
        finally:
            self._streams.discard(stream)
            stream.transport.abort()

    async def _requests(self, reader: asyncio.StreamReader, forth: asyncio.StreamWriter, answers: asyncio.StreamWriter) -> None:
        while True:
            size = await reader.readexactly(4)
            request = await reader.readexactly(struct.unpack(">i", size)[0])
            await self._uncut()
            api, version, correlation = _HEADER.unpack_from(request)
            if (self.shut or self.hides) and api == _METADATA:
                self.asked += 1
                answers.write(nobody(version, correlation, self.port if self.hides else 0))
            else:
                forth.write(size + request)

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            size = await reader.readexactly(4)
            answer = await reader.readexactly(struct.unpack(">i", size)[0])
            await self._uncut()
            writer.write(size + answer)

    async def _uncut(self) -> None:
        while self.cut:  # noqa: ASYNC110  # set by another thread
            await asyncio.sleep(0.02)


class BehindDoor(EmbeddedBroker):
    """A broker that is reached through its door alone."""

    def __init__(self, folder: Path, door: Door) -> None:
        super().__init__(folder)
        self._door = door

    @property
    def bootstrap_servers(self) -> str:
        """The door's address."""
        return f"127.0.0.1:{self._door.port}"

    def prepare(self, told: Told = lambda _: None) -> list[str]:
        """Have it name the door as its address."""
        command = super().prepare(told)
        self._door.behind = int(super().bootstrap_servers.rpartition(":")[2])
        return [*command, "--override", f"advertised.listeners=PLAINTEXT://{self.bootstrap_servers}"]


class WithSideDoor(EmbeddedBroker):
    """A broker that is reached directly, and by a second way through a door."""

    def __init__(self, folder: Path, door: Door) -> None:
        super().__init__(folder)
        self._door = door
        self._door.behind = free_port()

    @property
    def side(self) -> str:
        """The address of the second way."""
        return f"127.0.0.1:{self._door.port}"

    def prepare(self, told: Told = lambda _: None) -> list[str]:
        """Have it listen a second time, and name the door to who comes by that way."""
        command = super().prepare(told)
        own = f"PLAINTEXT://{self.bootstrap_servers}"
        settings = dict(line.partition("=")[::2] for line in Path(command[-1]).read_text().splitlines())
        more = {
            "listeners": f"{settings['listeners']},SIDE://127.0.0.1:{self._door.behind}",
            "advertised.listeners": f"{own},SIDE://{self.side}",
            "listener.security.protocol.map": f"{settings['listener.security.protocol.map']},SIDE:PLAINTEXT",
            "inter.broker.listener.name": "PLAINTEXT",
        }
        return [*command, *(word for name, value in more.items() for word in ("--override", f"{name}={value}"))]
