"""Where an example is shown: a Hookline of its own in a temporary folder, or one that runs; webhooks, programs, a shop."""

from __future__ import annotations

import json
import os
import socket
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import Any, Final, Self

from hookline.kernel.config import STATE_DIR, environment
from hookline.kernel.errors import LocalError
from hookline.kernel.lifecycle import Stop
from hookline.local.kafka_broker import free_port
from hookline.local.stack import STORE, Stack, StackOptions
from hookline.local.supervisor import ChildSpec, Notice, Supervisor
from hookline.producers.demo_store import ledger
from hookline.producers.demo_store.plan import Plan, Via
from hookline.schemas.events import Event

_OURS: Final = ("HOOKLINE_", "KAFKA_", "CLICKHOUSE_", "SCHEMA_REGISTRY_")
_KEPT: Final = "HOOKLINE_CACHE_DIR"
# A receiver that was down for a second is tried again within seconds, not minutes: an example is to end soon.
_SETTINGS: Final = {
    "HOOKLINE_RETRY_TIERS": "500ms,2s,5s,1m",
    "HOOKLINE_RETRY_SCHEDULE": "500ms,2s,5s,5s,5s,1m",
    "HOOKLINE_PARK_TIERS": "500ms,2s",
    "HOOKLINE_BREAKER_STRAIGHT": "100",
    "HOOKLINE_BREAKER_SUCCESS_RATE": "0.1",
    "HOOKLINE_BREAKER_OPEN_S": "1",
    "HOOKLINE_EVENT_PARTITIONS": "2",
    "HOOKLINE_RETRY_PARTITIONS": "1",
    "HOOKLINE_ATTEMPT_PARTITIONS": "1",
}
_SHOP: Final = "demo-store"
_TICK_S: Final = 0.1
_API_TIMEOUT_S: Final = 30.0
_opener: Final = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # loopback needs no proxy


class Interrupted(Exception):
    """A person stopped the example."""


class Stand:
    """A running Hookline and what an example puts beside it. A context manager; one thread.

    `join`: the `hookline up` that runs in this folder is used, and left as it was found. Raises `HooklineError` with the
    remedy, `Interrupted` once `stop` is set.
    """

    def __init__(self, folder: Path, stop: Stop, *, join: bool = False) -> None:
        self.folder = folder
        self._stop = stop
        self._began = time.monotonic()
        self._webhooks: list[str] = []
        self._programs: list[str] = []
        self._stack: Stack | None = None
        self._joined = Supervisor(self._tell)
        if not join:
            clean = {name: text for name, text in os.environ.items() if not name.startswith(_OURS) or name == _KEPT}
            self._stack = Stack(StackOptions(), {**clean, **_SETTINGS, STATE_DIR: str(folder / "state")}, self.say, self._tell)

    def __enter__(self) -> Self:
        if self._stack is not None:
            try:
                self._stack.start(self._stop)
                self._heed()
            except BaseException:
                self._stack.stop()
                raise
        elif "HOOKLINE_API_KEY" not in self.environ:
            raise LocalError("No `hookline up` runs in this folder", remedy="Start it first, or leave --join out.")
        return self

    def __exit__(self, *_: object) -> None:
        self.say("stopping everything")
        try:
            if self._stack is None:
                self.clear()
        finally:
            (self._stack or self._joined).stop()

    def clear(self) -> None:
        """Delete the webhooks and end the programs."""
        while self._webhooks:
            self.ask("DELETE", f"/webhooks/{self._webhooks.pop()}")
        while self._programs:
            self.supervisor.end(self._programs.pop())

    @property
    def own(self) -> bool:
        """Whether this Hookline is the example's own, made to try again soon: only there programs and servers are taken down."""
        return self._stack is not None

    @property
    def environ(self) -> Mapping[str, str]:
        """The environment that finds this Hookline."""
        if self._stack is None:
            return environment()
        return {**self._stack.environ, "HOOKLINE_API_KEY": self._stack.api_key}

    @property
    def supervisor(self) -> Supervisor:
        """What keeps the programs alive."""
        return self._stack.supervisor if self._stack is not None else self._joined

    # ---- over the REST API ----

    def webhook(self, name: str, url: str, event_types: tuple[str, ...], filter_: str = "") -> str:
        """Make a webhook and return its secret."""
        return self.made({"name": name, "url": url, "event_types": event_types, "filter": filter_})

    def made(self, wanted: Mapping[str, object]) -> str:
        """Make a webhook as the REST API takes it, and return its secret."""
        made = self.ask("POST", "/webhooks", wanted)
        self._webhooks.append(made["id"])
        self.say(f"webhook {made['id']} calls {made['url']}" + (f" if {made['filter']}" if made["filter"] else ""))
        return str(made["secret"])

    def ask(self, method: str, path: str, body: Mapping[str, object] | None = None) -> Any:  # noqa: ANN401  # JSON
        """Make a request to the console's REST API and return its answer, None where there is none."""
        url = f"{self.environ['HOOKLINE_CONSOLE_URL']}/api/v1{path}"
        headers = {"Authorization": f"Bearer {self.environ['HOOKLINE_API_KEY']}", "Content-Type": "application/json", "If-Match": "*"}
        data = json.dumps(body).encode() if body is not None else None
        request = urllib.request.Request(url, data, headers, method=method)  # noqa: S310  # the stack's own address
        try:
            with _opener.open(request, timeout=_API_TIMEOUT_S) as answer:
                text = answer.read()
                return json.loads(text) if text else None
        except urllib.error.HTTPError as error:
            raise LocalError(f"The console refused {method} {path}: {error.read().decode('utf-8', 'replace')[:500]}") from error
        except OSError as error:
            raise LocalError(f"The console at {url} does not answer: {error}", remedy="Look whether `hookline up` runs.") from error

    # ---- programs beside it ----

    def program(self, module: str, event_types: tuple[str, ...], filter_: str = "", **more: str) -> str:
        """Make a webhook and start the program that answers its calls, with `more` in its environment; return its address."""
        port = free_port()
        url = f"http://127.0.0.1:{port}"
        secret = self.webhook(module, f"{url}/hook", event_types, filter_)
        spec = ChildSpec(
            name=module,
            command=(sys.executable, "-m", f"examples.{module}"),
            environ={**os.environ, "PORT": str(port), "WEBHOOK_SECRET": secret, **more},
            log=self.folder / f"{module}.log",
            ready=lambda: "" if _listens(port) else "it does not listen yet",
            stop_s=5.0,
        )
        self._programs.append(module)
        self.supervisor.start([spec])
        self.supervisor.wait_ready(self._stop)
        self._heed()
        return url

    def open_shop(self, rate: float, for_s: float, seed: int) -> Plan:
        """Let the demo store publish over HTTP, so many events a second; return its plan, which knows every event."""
        plan = Plan(
            seed=seed,
            started_at=datetime.now(UTC),
            store_id=STORE,
            rate=rate,
            events=max(1, int(rate * for_s)),
            via=Via.HTTP,
            url=self.environ["HOOKLINE_INGEST_URL"],
            ledger=self.folder / f"{_SHOP}.jsonl",
        )
        self.say(f"the shop opens: {rate:g} events a second for {for_s:g} s")
        command = (sys.executable, "-m", "hookline.cli.main", "demo-store", *plan.arguments(), "--quiet")
        log = self.folder / f"{_SHOP}.log"
        self.supervisor.start([ChildSpec(name=_SHOP, command=command, environ=self.environ, rank=5, log=log, restart=False)])
        return plan

    @property
    def open(self) -> bool:
        """Whether the shop still publishes."""
        return bool(self.supervisor.pid(_SHOP))

    def published(self, plan: Plan) -> list[Event]:
        """Return the events that the shop has published, once it has closed; raise `LocalError` if it failed."""
        self.wait(lambda: not self.open, 2 * (plan.events or 0) / plan.rate + 60)
        self.supervisor.tick()
        if self.supervisor.children[_SHOP].ended or plan.ledger is None:
            raise LocalError("The demo store failed", remedy=f"Its log is {self.folder / _SHOP}.log.")
        confirmed = {entry.id for entry in ledger.read(plan.ledger)}
        self.say(f"the shop has closed: {len(confirmed):,} events published")
        return [event for event in islice(plan.store(), plan.events) if event.id in confirmed]

    def wait(self, condition: Callable[[], bool], patience_s: float = 60.0) -> bool:
        """Return whether a condition came true in time; meanwhile look after the processes."""
        deadline = time.monotonic() + patience_s
        while not condition():
            self._heed()
            self.supervisor.tick()
            if time.monotonic() > deadline:
                return False
            time.sleep(_TICK_S)
        return True

    def say(self, text: str) -> None:
        """Tell who watches, with the seconds since the beginning."""
        print(f"{time.monotonic() - self._began:6.1f} s  {text}", flush=True)

    def _heed(self) -> None:
        if self._stop.is_set():
            raise Interrupted

    def _tell(self, notice: Notice) -> None:
        if notice.bad:
            self.say(f"{notice.child} {notice.what.value}: {notice.detail}")


def _listens(port: int) -> bool:
    with socket.socket() as client:
        client.settimeout(0.2)
        return client.connect_ex(("127.0.0.1", port)) == 0
