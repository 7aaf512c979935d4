"""The whole of Hookline on one machine: an embedded Kafka, ingest, dispatchers, the sink and the console, supervised.

The embedded ClickHouse lets one process at its folder: there the console is the sink too.
Where `KAFKA_BOOTSTRAP_SERVERS` or `CLICKHOUSE_URL` are set in the real environment, those servers are used instead.
"""

from __future__ import annotations

import dataclasses
import socket
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from hookline.analytics import migrate
from hookline.analytics.client import is_embedded, open_client
from hookline.analytics.config import QueryConfig
from hookline.console.audit import AuditLog
from hookline.console.config import ConsoleConfig
from hookline.console.panel.first_run import first_link
from hookline.kernel import kafka
from hookline.kernel.clock import SystemClock
from hookline.kernel.config import STATE_DIR, load, state_dir
from hookline.kernel.errors import LocalError, Unauthorized
from hookline.kernel.kafka import KafkaConfig
from hookline.kernel.lifecycle import Stop
from hookline.local.kafka_broker import AFTER_A_KILL, EmbeddedBroker, held
from hookline.local.orphans import Guard
from hookline.local.readiness import readyz
from hookline.local.state import KAFKA, Keys, StateFolder
from hookline.local.supervisor import ChildSpec, Supervisor, Tell
from hookline.producers.api_keys import ApiKeyConfig, ApiKeys, ApiKeyWriter
from hookline.producers.ingest.config import IngestConfig
from hookline.schemas.audit import Entry
from hookline.schemas.events import new_id
from hookline.schemas.registration import register_all
from hookline.schemas.registry import SchemaRegistry, open_registry
from hookline.schemas.topics import Topics, TopicsConfig, create, specs
from hookline.schemas.wire import Codec

STORE: Final = "demo"
BROKER: Final = "kafka"
SINK: Final = "sink"
INGEST: Final = "ingest"
CONSOLE: Final = "console"
_SERVERS: Final = "KAFKA_BOOTSTRAP_SERVERS"
_FAVOURITES: Final = {INGEST: 8420, "query": 8421, CONSOLE: 8422}
# The stop's order: first nothing more comes in, then what is under way is finished and recorded, then Kafka goes.
_RANKS: Final = {INGEST: 4, "dispatcher": 3, SINK: 2, CONSOLE: 2, BROKER: 1}
_DISPATCHER_STOP_S: Final = 65.0
# What a developer does with the key of the store `demo`: all but what an admin does, who makes further keys.
_DEVELOPER: Final = ("events:write", "hooks:read", "hooks:write", "results:read", "dlq:replay")
_PORT_TRIES: Final = 5
_SHARED: Final = ("HOOKLINE_", "KAFKA_", "SCHEMA_REGISTRY_", "CLICKHOUSE_")
# What concerns one process alone, or is found anew by whoever reads the file.
_OWN: Final = frozenset(
    {STATE_DIR, "HOOKLINE_METRICS_PORT", "HOOKLINE_CACHE_DIR", "HOOKLINE_INGEST_PORT", "HOOKLINE_QUERY_PORT", "HOOKLINE_CONSOLE_PORT"}
)
# Receivers on this machine: the real environment may say otherwise.
_LOCAL: Final = {
    "HOOKLINE_REPLICATION_FACTOR": "1",
    "HOOKLINE_ALLOW_HTTP": "true",
    "HOOKLINE_ALLOW_ADDRESSES": "127.0.0.0/8,::1/128",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class StackOptions:
    """What is asked of a stack: how many dispatchers, whether to begin anew, the port of ingest (0: the last one, or a free one)."""

    dispatchers: int = 1
    fresh: bool = False
    ingest_port: int = 0


class Stack:
    """One stack over one state folder. `start` returns when all is ready; `stop` may follow anything and leaves nothing running.

    `environ` is the real environment. `step` is told what is being done, `tell` what happens to the processes. One thread.
    """

    def __init__(self, options: StackOptions, environ: Mapping[str, str], step: Callable[[str], None], tell: Tell) -> None:
        self._options = options
        self._real = dict(environ)
        self._step = step
        self._tell = tell
        self._supervisor: Supervisor | None = None
        self._broker: EmbeddedBroker | None = None
        self.folder = StateFolder(state_dir(environ))
        self.ports: dict[str, int] = {}
        self._holders: list[socket.socket] = []
        self.environ: dict[str, str] = {}
        self.api_key = ""
        self.first_link = ""
        """The one-time link that makes the panel's first operator, empty once there was somebody at the start."""

    @property
    def panel(self) -> str:
        """The admin panel's address."""
        return f"{self.environ['HOOKLINE_CONSOLE_URL']}/"

    @property
    def supervisor(self) -> Supervisor:
        """What keeps the processes alive; raises `LocalError` before `start`."""
        if self._supervisor is None:
            raise LocalError("The stack was not started")
        return self._supervisor

    @property
    def dispatchers(self) -> list[str]:
        """The dispatchers' names."""
        return [f"dispatcher-{number + 1}" for number in range(self._options.dispatchers)]

    @property
    def names(self) -> list[str]:
        """The names of all processes."""
        return [*([BROKER] if self.embedded_kafka else []), *self._recorders, *self.dispatchers, INGEST]

    @property
    def embedded_kafka(self) -> bool:
        """Whether the stack has a Kafka of its own."""
        return not self._real.get(_SERVERS)

    @property
    def _recorders(self) -> list[str]:
        """Who holds ClickHouse: the console alone where it is embedded, else the sink beside it."""
        return [CONSOLE] if is_embedded(self._real) else [SINK, CONSOLE]

    @property
    def shared(self) -> dict[str, str]:
        """What another terminal needs to find this stack: set here or found in the environment of `up`."""
        found = {name: text for name, text in self.environ.items() if name.startswith(_SHARED) and name not in _OWN}
        return {"HOOKLINE_API_KEY": self.api_key, **found}

    def start(self, stop: Stop) -> None:
        """Start everything and return when it is ready, or when the stop came; raise `HooklineError` with the remedy."""
        self.folder.acquire(lambda: self._step("waiting for what is left of a killed `hookline up` to stop"))
        if self._options.fresh:
            self.folder.clear()
        keys = self.folder.keys()
        self._take_ports()
        guard = Guard(keep=(self.folder.lock_handle,), remove=(self.folder.environment_file,))
        self._supervisor = Supervisor(self._tell, guard=guard)
        self._environment(keys)
        if self.embedded_kafka:
            self._start_broker(stop)
        if not stop.is_set():
            self._prepare(keys, stop)
        if not stop.is_set():
            self._step("starting ingest, dispatchers, sink and console")
            self._give_ports()
            self.supervisor.start(self._specs())
            self.supervisor.wait_ready(stop)
        if not stop.is_set():
            self.folder.publish(self.shared)

    def stop(self) -> None:
        """Stop everything in order, and give the folder back; the data stays."""
        self._give_ports()
        try:
            if self._supervisor is not None:
                self._supervisor.stop()
        finally:
            if self.folder.held:
                self.folder.unpublish()
                self.folder.release()

    # ---- the parts ----

    def _take_ports(self) -> None:
        """Choose the ports, and hold them until the processes begin to listen: Kafka's start takes long enough to lose one."""
        for _ in range(_PORT_TRIES):
            self._choose_ports()
            try:
                for port in self.ports.values():
                    self._holders.append(held(port))
            except OSError:  # somebody else was quicker: their port is not free any more
                self._give_ports()
            else:
                return
        raise LocalError("No free ports were to be had", remedy="Try again; other programs take ports all the time.")

    def _give_ports(self) -> None:
        while self._holders:
            self._holders.pop().close()

    def _choose_ports(self) -> None:
        names = [INGEST, "query", CONSOLE, *(f"{name}.metrics" for name in (INGEST, *self._recorders, *self.dispatchers))]
        wished = load(IngestConfig, self._real).port if self._real.get("HOOKLINE_INGEST_PORT") else 0
        console = load(ConsoleConfig, self._real).port if self._real.get("HOOKLINE_CONSOLE_PORT") else 0
        fixed = {INGEST: self._options.ingest_port or wished, "query": load(QueryConfig, self._real).port, CONSOLE: console}
        self.ports = self.folder.ports(names, fixed, _FAVOURITES)

    def _environment(self, keys: Keys) -> None:
        own = {
            "HOOKLINE_SECRET_KEYS": keys.secret_keys,
            "HOOKLINE_API_KEY_PEPPER": keys.api_key_pepper,
            "HOOKLINE_QUERY_TOKEN": keys.query_token,
            "HOOKLINE_OPERATOR_TOKEN": keys.operator_token,
            **_LOCAL,
        }
        if not self.embedded_kafka:
            del own["HOOKLINE_REPLICATION_FACTOR"]
        addresses = {
            STATE_DIR: str(self.folder.path),
            "HOOKLINE_INGEST_PORT": str(self.ports[INGEST]),
            "HOOKLINE_INGEST_URL": f"http://127.0.0.1:{self.ports[INGEST]}",
            "HOOKLINE_CONSOLE_PORT": str(self.ports[CONSOLE]),
            "HOOKLINE_CONSOLE_URL": f"http://127.0.0.1:{self.ports[CONSOLE]}",
        }
        self.environ = {**own, **{name: text for name, text in self._real.items() if text}, **addresses}
        if is_embedded(self.environ):
            self.environ |= {
                "HOOKLINE_QUERY_PORT": str(self.ports["query"]),
                "HOOKLINE_QUERY_URL": f"http://127.0.0.1:{self.ports['query']}",
            }

    def _start_broker(self, stop: Stop) -> None:
        broker = self._broker = EmbeddedBroker(self.folder.path / KAFKA)
        self._step("preparing Kafka")
        command = broker.prepare(self._step)
        self.environ[_SERVERS] = broker.bootstrap_servers
        self._step("starting Kafka")
        spec = ChildSpec(
            name=BROKER,
            command=tuple(command),
            restart_command=(*command, *AFTER_A_KILL),
            environ=self._real,
            rank=_RANKS[BROKER],
            log=self.folder.log(BROKER),
            ready=lambda: "" if broker.listening() else "it does not listen yet",
        )
        self.supervisor.start([spec])
        self.supervisor.wait_ready(stop)

    def _prepare(self, keys: Keys, stop: Stop) -> None:
        """Bring topics, schemas, tables and the demo store's key to where the processes can start."""
        config, topics = load(KafkaConfig, self.environ), load(TopicsConfig, self.environ)
        self._step(f"waiting for Kafka at {config.bootstrap_servers}")
        kafka.wait_for_broker(config, stop.is_set)
        if stop.is_set():
            return
        self._step("creating topics, registering schemas")
        create(config, specs(Topics(config.topic_prefix), topics), topics.replication_factor)
        registry = open_registry(self.environ)
        registry.start()
        try:
            register_all(registry)
            self.api_key = self._demo_key(config, registry, keys)
            secret = load(ApiKeyConfig, self.environ).pepper
            self.first_link = first_link(config, Codec(registry), secret, self.environ["HOOKLINE_CONSOLE_URL"])
        finally:
            registry.stop()
        if not is_embedded(self.environ):
            self._step("creating the ClickHouse tables")
            self._migrate()

    def _migrate(self) -> None:
        client = open_client(self.environ)
        try:
            migrate.up_as_configured(client, self.environ)
        finally:
            client.close()

    def _demo_key(self, config: KafkaConfig, registry: SchemaRegistry, keys: Keys) -> str:
        """Return the API key of the store `demo`: the kept one while it is good, else a new one, which is kept."""
        secret, clock = load(ApiKeyConfig, self.environ), SystemClock()
        codec = Codec(registry)
        known = ApiKeys(config, codec, secret, clock)
        known.start()
        try:
            known.verify(keys.api_key)
        except Unauthorized:
            made, text = ApiKeyWriter(config, codec, secret, known, clock).create(STORE, _DEVELOPER, name="hookline up")
            entry = Entry(
                id=new_id("aud"), at_us=made.created_at_us, store_id=STORE, actor="command-line", action="api-key.create", target=made.id
            )
            AuditLog(config, Topics(config.topic_prefix), codec).write(entry)
            self.folder.keep(dataclasses.replace(keys, api_key=text))
            return text
        finally:
            known.stop()
        return keys.api_key

    def _specs(self) -> list[ChildSpec]:
        return [
            *(self._spec(name, name, stop_s=40.0) for name in self._recorders),
            *(self._spec(name, "dispatch", stop_s=_DISPATCHER_STOP_S) for name in self.dispatchers),
            self._spec(INGEST, "ingest", stop_s=30.0),
        ]

    def _spec(self, name: str, command: str, *, stop_s: float) -> ChildSpec:
        port = self.ports[f"{name}.metrics"]
        return ChildSpec(
            name=name,
            command=(sys.executable, "-m", "hookline.cli.main", command),
            environ={**self.environ, "HOOKLINE_METRICS_PORT": str(port)},
            rank=_RANKS[name.partition("-")[0]],
            log=self.folder.log(name),
            ready=readyz(port),
            stop_s=stop_s,
        )
