"""A program of the examples for one test, called as Hookline calls it; and one running Hookline for the shows."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import pytest
from standardwebhooks.webhooks import Webhook

from examples.stand import Stand
from hookline.kernel.lifecycle import Stop
from hookline.local.kafka_broker import free_port
from tests.examples.processes import left_of

SECRET: Final = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


@dataclass
class Program:
    """One program of the examples in a process of its own."""

    module: str
    environ: dict[str, str]
    folder: Path
    port: int = field(default_factory=free_port)
    process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it, again if need be, and wait until it listens."""
        environ = {**os.environ, **self.environ, "PORT": str(self.port), "WEBHOOK_SECRET": SECRET}
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen([sys.executable, "-m", f"examples.{self.module}"], env=environ, stdout=log, stderr=log)
        deadline = time.monotonic() + 90
        while time.monotonic() < deadline:
            assert self.process.poll() is None, (self.folder / "log").read_text()
            with socket.socket() as client:
                if client.connect_ex(("127.0.0.1", self.port)) == 0:
                    return
            time.sleep(0.05)
        pytest.fail("it does not listen")

    def kill(self) -> None:
        """Kill it as an accident would."""
        if self.process is not None:
            self.process.kill()
            self.process.wait(30)

    def call(self, body: Mapping[str, Any], *, webhook_id: str = "", secret: str = SECRET) -> tuple[int, Mapping[str, str]]:
        """Make a signed call; return the answer's status and headers. Without a `webhook_id` it has the event's."""
        text, now, name = json.dumps(body), datetime.now(UTC), webhook_id or str(body["id"])
        headers = {
            "content-type": "application/json",
            "webhook-id": name,
            "webhook-timestamp": str(int(now.timestamp())),
            "webhook-signature": Webhook(secret).sign(name, now, text),
        }
        return self.post("/hook", text.encode(), headers)

    def post(self, path: str, body: bytes, headers: Mapping[str, str]) -> tuple[int, Mapping[str, str]]:
        """Post anything."""
        try:
            with urllib.request.urlopen(urllib.request.Request(self.url(path), body, dict(headers)), timeout=20) as answer:
                return answer.status, dict(answer.headers.items())
        except urllib.error.HTTPError as error:
            with error:
                return error.code, dict(error.headers.items())

    def url(self, path: str) -> str:
        """Return the address of a path."""
        return f"http://127.0.0.1:{self.port}{path}"


@pytest.fixture
def program(tmp_path: Path) -> Iterator[Callable[..., Program]]:
    """Give what starts a program, with variables of its environment; it ends with the test."""
    started: list[Program] = []

    def start(module: str, **environ: str) -> Program:
        found = Program(module, environ, tmp_path)
        found.start()
        started.append(found)
        return found

    yield start
    for found in started:
        found.kill()


@pytest.fixture(scope="package")
def stand(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stand]:
    """Give a running Hookline; at its end nothing of it may be left."""
    folder = tmp_path_factory.mktemp("stand")
    with Stand(folder, Stop()) as found:
        yield found
    assert left_of(folder) == []
