"""One receiver, in a process of its own: verifies every call, writes it down, answers as its behaviour has it.

What it writes down before it answers is its own word, against which the reconciliation holds Hookline's.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import signal
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Self

from aiohttp import web
from standardwebhooks.webhooks import Webhook, WebhookVerificationError

from hookline.local.demo.cast import Behaviour

_SLOW_S: Final = 0.3
_FLAKY_SHARE: Final = 0.35
_FLAKY_TRIES: Final = 2
_FORGETS_ONE_IN: Final = 8
_MAX_BODY: Final = 4 * 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What a receiver is told: where to listen, its webhook's secret, how to behave, where to write."""

    port: int
    secret: str
    behaviour: Behaviour
    journal: str

    @classmethod
    def read(cls, path: Path) -> Self:
        """Return the settings of a file."""
        found: dict[str, Any] = json.loads(path.read_text())
        return cls(**{**found, "behaviour": Behaviour(found["behaviour"])})


def draw(call_id: str, attempt: str) -> float:
    """Return a number in [0, 1) that is the same for the same attempt of the same delivery."""
    digest = hashlib.sha256(f"{call_id}:{attempt}".encode()).digest()
    return int.from_bytes(digest[:4]) / 2**32


def status_of(behaviour: Behaviour, call_id: str, attempt: str) -> int:
    """Return what a behaviour answers; a flaky one never fails more than twice in a row."""
    match behaviour:
        case Behaviour.BROKEN:
            return 500
        case Behaviour.GONE:
            return 410
        case Behaviour.FLAKY if attempt.isdigit() and int(attempt) <= _FLAKY_TRIES and draw(call_id, attempt) < _FLAKY_SHARE:
            return 503
        case _:
            return 200


class Receiver:
    """Answers calls and keeps the journal: one line of JSON per call."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._verifier = Webhook(settings.secret)
        self._journal = os.open(settings.journal, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)

    async def handle(self, request: web.Request) -> web.Response:
        """Take one call."""
        headers = {name.lower(): value for name, value in request.headers.items()}
        call_id, attempt = headers.get("webhook-id", ""), headers.get("hookline-attempt", "")
        good = self._verified(await request.read(), headers)
        if self._settings.behaviour is Behaviour.SLOW:
            await asyncio.sleep(_SLOW_S)
        status = status_of(self._settings.behaviour, call_id, attempt) if good else 401
        if not self._forgets(call_id):
            line = {"id": call_id, "attempt": int(attempt or 0), "at": time.time(), "status": status, "good": good}
            os.write(self._journal, json.dumps(line).encode() + b"\n")
        return web.Response(status=status, text=f"{self._settings.behaviour}: {status}\n")

    def _verified(self, body: bytes, headers: Mapping[str, str]) -> bool:
        try:
            self._verifier.verify(body, dict(headers))
        except (WebhookVerificationError, ValueError):
            return False
        return True

    def _forgets(self, call_id: str) -> bool:
        return self._settings.behaviour is Behaviour.FORGETFUL and draw(call_id, "") < 1 / _FORGETS_ONE_IN


async def serve(settings: Settings) -> None:
    """Listen until SIGTERM."""
    app = web.Application(client_max_size=_MAX_BODY)
    app.router.add_route("*", "/{path:.*}", Receiver(settings).handle)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", settings.port).start()
    ended = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, ended.set)
    await ended.wait()
    await runner.cleanup()


if __name__ == "__main__":
    asyncio.run(serve(Settings.read(Path(sys.argv[1]))))
