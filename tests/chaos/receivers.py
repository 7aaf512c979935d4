"""One receiver's process: `python -m tests.chaos.receivers SETTINGS`.

The settings file says, per role, how to behave and which secret to verify with; it is read again whenever it changes, so
that manners change in a run and outlive a kill. Every call is one line of the journal, written before the answer. A second
port is a trap, and so is the first one at an address that must not be called: nobody must ever connect there.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from standardwebhooks.webhooks import Webhook as Verifier

from hookline.kernel.lifecycle import raise_file_limit
from tests.chaos.history import digest
from tests.chaos.manners import MANNERS, Asked
from tests.dispatcher.hostile import Peer

INSIDE: Final = "127.0.0.2"
"""Beside the receivers' address, and not allowed: the address guard refuses it as loopback."""
_BACKLOG: Final = 4_096


class Receiver:
    """Answers as its settings say; one event loop."""

    def __init__(self, settings: Path) -> None:
        self._path = settings
        self._read_at = 0
        self._settings: dict[str, Any] = {}
        self._verifiers: dict[str, Verifier] = {}
        self._number = 0
        self._journal = os.open(self.settings()["journal"], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)

    def settings(self) -> dict[str, Any]:
        """Return the settings as the file has them now."""
        changed = self._path.stat().st_mtime_ns
        if changed != self._read_at:
            self._settings = json.loads(self._path.read_text())
            self._read_at = changed
        return self._settings

    async def serve(self) -> None:
        """Listen until the process is ended."""
        found = self.settings()
        await asyncio.start_server(self._trapped, "127.0.0.1", found["trap"])
        await asyncio.start_server(self._trapped, INSIDE, found["port"])
        server = await asyncio.start_server(self._handle, "127.0.0.1", found["port"], backlog=_BACKLOG)
        await server.serve_forever()

    async def _handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        peer = Peer(reader, writer, 0, [])
        try:
            while (request := await peer.request()) and await self._answer(peer, request):
                peer.seen.clear()
        except (ConnectionError, asyncio.LimitOverrunError, ValueError):
            pass
        finally:
            writer.close()

    async def _answer(self, peer: Peer, request: bytes) -> bool:
        """Answer one request; return whether the connection is kept."""
        head, _, body = request.partition(b"\r\n\r\n")
        lines = head.decode("latin-1").split("\r\n")
        role = lines[0].split(" ")[1].strip("/")
        headers = {name.lower(): text.strip() for name, _, text in (line.partition(":") for line in lines[1:])}
        found = self.settings()
        mine = found["roles"].get(role, {"manner": "ok", "secret": ""})
        self._number += 1
        good, late = self._judge(mine["secret"], body, headers)
        asked = Asked(int(headers.get("hookline-attempt", "0")), self._number, f"http://127.0.0.1:{found['trap']}/", late=late)
        manner = MANNERS[mine["manner"]]
        event_id, said = _event(body)
        line = [headers.get("webhook-id", ""), event_id, role, asked.attempt, time.time(), manner.status(asked), good, late, said]
        os.write(self._journal, json.dumps(line).encode() + b"\n")
        await manner.act(peer, asked)
        return manner.keeps

    def _judge(self, secret: str, body: bytes, headers: dict[str, str]) -> tuple[bool, bool]:
        """Return whether a call's signature is right, and whether its time is too far off for a receiver that looks at it."""
        try:
            if secret not in self._verifiers:
                self._verifiers[secret] = Verifier(secret)
            self._verifiers[secret].verify(body, headers)
        except Exception:  # noqa: BLE001  # whatever it dislikes, the call was not good
            late = self._signed(secret, body, headers)
            return late, late
        return True, False

    def _signed(self, secret: str, body: bytes, headers: dict[str, str]) -> bool:
        """Tell whether a signature is right for the time that it names."""
        try:
            at = datetime.fromtimestamp(int(headers["webhook-timestamp"]), UTC)
            right = self._verifiers[secret].sign(msg_id=headers["webhook-id"], timestamp=at, data=body.decode())
        except (KeyError, ValueError, OverflowError):
            return False
        return right in headers.get("webhook-signature", "").split(" ")

    async def _trapped(self, _reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        os.write(self._journal, json.dumps(["trap", "", "trap", 0, time.time(), 0, False]).encode() + b"\n")
        writer.close()


def _event(body: bytes) -> tuple[str, str]:
    """Return the id of the event that a body tells of, and what it says."""
    try:
        found = json.loads(body)
        return str(found["id"]), digest(found.get("type"), found.get("data"))
    except (ValueError, KeyError, TypeError, AttributeError):
        return "", ""


if __name__ == "__main__":
    raise_file_limit()
    asyncio.run(Receiver(Path(sys.argv[1])).serve())
