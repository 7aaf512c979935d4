"""A schema registry's process: `python -m tests.chaos.schema_registry PORT`, Confluent's REST on the topic `_schemas`.

It reads what Hookline's embedded registry reads, so that both give the same ids; it registers nothing.
"""

from __future__ import annotations

import json
import os
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import ClassVar

from hookline.kernel.config import load
from hookline.kernel.errors import HooklineError
from hookline.kernel.kafka import KafkaConfig
from hookline.schemas.catalogue import canonical
from hookline.schemas.registry import EmbeddedRegistry


class Handler(BaseHTTPRequestHandler):
    """Answers what Hookline asks: whether it is there, an id by its schema, a schema by its id."""

    registry: ClassVar[EmbeddedRegistry]

    def do_GET(self) -> None:
        """Serve `/subjects` and `/schemas/ids/ID`."""
        *_, last = self.path.split("/")
        if self.path == "/subjects":
            self._answer(200, [])
            return
        try:
            self._answer(200, {"schema": canonical(self.registry.schema_of(int(last)))})
        except HooklineError as error:
            self._answer(404, {"error_code": 40403, "message": error.message})

    def do_POST(self) -> None:
        """Serve `/subjects/SUBJECT`."""
        wanted = json.loads(self.rfile.read(int(self.headers["Content-Length"])))["schema"]
        known = self.registry.versions(self.path.rpartition("/")[2])
        found = next((one.id for one in known if canonical(one.schema) == wanted), None)
        if found is None:
            self._answer(404, {"error_code": 40403, "message": "Schema not found"})
        else:
            self._answer(200, {"id": found})

    def _answer(self, status: int, found: object) -> None:
        body = json.dumps(found).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Stay silent."""


if __name__ == "__main__":
    Handler.registry = EmbeddedRegistry(load(KafkaConfig, os.environ))
    Handler.registry.start()
    ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
