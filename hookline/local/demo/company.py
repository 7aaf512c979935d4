"""The demo's receivers on the stage: their webhooks made, their processes started, taken down and up, mended."""

from __future__ import annotations

import json
import os
import socket
import sys
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Final

from hookline.local.demo.admin import Admin
from hookline.local.demo.cast import Behaviour, Role
from hookline.local.demo.ledgers import Journal
from hookline.local.demo.receiver import Settings
from hookline.local.kafka_broker import free_port
from hookline.local.supervisor import ChildSpec, Supervisor

# The receivers stop last: a draining dispatcher may still call them.
RANK: Final = 0
_PROBE_S: Final = 0.2


class Company:
    """All receivers; `engage` once, then the rest. One thread."""

    def __init__(self, folder: Path, cast: tuple[Role, ...], environ: Mapping[str, str]) -> None:
        self._folder = folder
        self._cast = cast
        self._environ = dict(environ)
        self._settings: dict[str, Settings] = {}
        self.webhooks: dict[str, Role] = {}
        self.journals: dict[str, Journal] = {}

    def engage(self, admin: Admin) -> None:
        """Have each role's webhook made and write down what its receiver must know; raise `HooklineError`."""
        for role in self._cast:
            self._engage(admin, role)

    def specs(self) -> list[ChildSpec]:
        """Return the receivers' processes."""
        return [
            ChildSpec(
                name=role.name,
                command=(sys.executable, "-m", "hookline.local.demo.receiver", str(self._file(role.name))),
                environ=self._environ,
                rank=RANK,
                log=self._folder / f"{role.name}.log",
                ready=self._ready(self._settings[role.name].port),
                stop_s=5.0,
                restart=False,
            )
            for role in self._cast
        ]

    def mend(self, name: str, supervisor: Supervisor) -> None:
        """Deploy a better version of a receiver: the same address and secret, and it works."""
        self._write(name, Behaviour.HEALTHY)
        supervisor.end(name)
        supervisor.again(name)

    # ---- the parts ----

    def _engage(self, admin: Admin, role: Role) -> None:
        port = free_port()
        url = f"http://127.0.0.1:{port}/{role.name}"
        webhook_id, secret = admin.webhook(role.name, url, role.event_types, role.filter)
        journal = self._folder / f"{role.name}.journal"
        self.webhooks[webhook_id] = role
        self.journals[role.name] = Journal(journal)
        self._settings[role.name] = Settings(port=port, secret=secret, behaviour=role.behaviour, journal=str(journal))
        self._write(role.name, role.behaviour)

    def _write(self, name: str, behaviour: Behaviour) -> None:
        """Write a receiver's settings, which hold its secret, for its eyes only."""
        with os.fdopen(os.open(self._file(name), os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
            json.dump({**asdict(self._settings[name]), "behaviour": behaviour}, file)

    def _file(self, name: str) -> Path:
        return self._folder / f"{name}.json"

    def _ready(self, port: int) -> Callable[[], str]:
        def probe() -> str:
            with socket.socket() as client:
                client.settimeout(_PROBE_S)
                return "" if client.connect_ex(("127.0.0.1", port)) == 0 else "it does not listen yet"

        return probe
