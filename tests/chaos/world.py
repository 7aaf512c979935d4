"""One world: the whole stack as real processes, receivers, a ClickHouse that can be killed, publishers, and the history.

The stack is the one of `hookline up`, started by its own supervisor; only the times are shorter. What is done to a
process goes through here, so that the history knows of it.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

from confluent_kafka import KafkaException, Producer

from hookline.analytics.client import open_client
from hookline.analytics.queries import ClickHouseQueries, audit
from hookline.kernel import kafka
from hookline.kernel.config import STATE_DIR, load
from hookline.kernel.errors import HooklineError
from hookline.kernel.kafka import KafkaConfig
from hookline.kernel.lifecycle import Stop
from hookline.local.kafka_broker import free_port
from hookline.local.stack import Stack, StackOptions
from hookline.local.supervisor import ChildSpec, Notice, Supervisor, What
from hookline.schemas.registry import EmbeddedRegistry
from hookline.schemas.topics import Topics, TopicsConfig
from hookline.schemas.wire import Codec
from tests.chaos import tampering
from tests.chaos.cast import Cast
from tests.chaos.history import History, Incident, Kind
from tests.chaos.leaving import Leaving, handles_sigterm
from tests.chaos.ledgers import Rows, TopicsReader
from tests.chaos.load import LIBRARY_STORE, STORE, HttpDoor, LibraryDoor, Load

CLICKHOUSE: Final = "clickhouse"
KAFKA: Final = "kafka"
DISPATCHERS: Final = ("dispatcher-1", "dispatcher-2", "dispatcher-3")
SPARE: Final = DISPATCHERS[2]
"""A third dispatcher that does not run unless a fault starts it."""
SESSION_S: Final = 4.0
COMMIT_S: Final = 0.5
RATE: Final = 60.0
_SETTINGS: Final = {
    "HOOKLINE_RETRY_TIERS": "300ms,1s,3s",
    "HOOKLINE_RETRY_SCHEDULE": "300ms,1s,1s,3s,3s,3s",
    "HOOKLINE_PARK_TIERS": "300ms,1s",
    "HOOKLINE_BREAKER_OPEN_S": "1",
    "HOOKLINE_SESSION_TIMEOUT_MS": str(int(SESSION_S * 1_000)),
    "HOOKLINE_COMMIT_S": str(COMMIT_S),
    "HOOKLINE_EVENT_PARTITIONS": "3",
    "HOOKLINE_RETRY_PARTITIONS": "2",
    "HOOKLINE_POISON_LIMIT": "20",
    "HOOKLINE_SINK_BATCH_ROWS": "200",
    "HOOKLINE_SINK_BATCH_WAIT_S": "0.3",
    "HOOKLINE_SINK_BACKOFF_MAX_S": "2",
    "HOOKLINE_CLICKHOUSE_TIMEOUT_S": "5",
    "HOOKLINE_INGEST_TIMEOUT_S": "5",
    "HOOKLINE_ALLOWED_PORTS": "any",
    # No more than the receivers: the rest of this machine is inside, and must not be called.
    "HOOKLINE_ALLOW_ADDRESSES": "127.0.0.1/32,::1/128",
}
_OURS: Final = ("HOOKLINE_", "KAFKA_", "CLICKHOUSE_", "SCHEMA_REGISTRY_")
_PASSED: Final = ("HOOKLINE_CACHE_DIR", "HOOKLINE_TRANSPORT", "HOOKLINE_GROUP_PROTOCOL")
_TICK_S: Final = 0.05
_PATIENCE_S: Final = 90.0
ROOT: Final = Path(__file__).parents[2]


class World:
    """Everything that a fault can touch; use `world()`. One thread."""

    def __init__(self, folder: Path, environ: Mapping[str, str], seed: int, tell: Callable[[str], None], **settings: str) -> None:
        clean = {name: text for name, text in environ.items() if not name.startswith(_OURS) or name in _PASSED}
        self._port = free_port()
        address = {STATE_DIR: str(folder / "state"), "CLICKHOUSE_URL": f"http://127.0.0.1:{self._port}/default"}
        # Not the ports that every `hookline up` likes best: another one would take them while a process is down.
        address |= {"HOOKLINE_INGEST_PORT": str(free_port()), "HOOKLINE_CONSOLE_PORT": str(free_port())}
        path = os.pathsep.join(filter(None, (str(Path(__file__).parent / "crash"), str(ROOT), environ.get("PYTHONPATH", ""))))
        self._base = {**clean, **_SETTINGS, **settings, **address, "PYTHONPATH": path, tampering.FOLDER: str(folder)}
        self._seed = seed
        self._loud = tell
        self._hand: Producer | None = None
        self._pids: dict[str, int] = {}
        self.folder = folder
        self.history = History()
        self.stack = Stack(StackOptions(dispatchers=len(DISPATCHERS)), self._base, tell, self._heard)
        self.neighbours = Supervisor(self._heard)
        self.frozen: set[str] = set()
        self._dead: set[str] = set()
        self.leaving = Leaving(self)
        self.stack_open = False
        self.glance: Callable[[], None] = lambda: None

    # ---- opening and closing ----

    def open(self) -> None:
        """Start everything; raise `HooklineError` with what went wrong."""
        stop = Stop()
        self.neighbours.start([self._clickhouse()])
        self.neighbours.wait_ready(stop)
        self.stack_open = True
        self.stack.start(stop)
        self.stack.supervisor.end(SPARE)
        self.environ = self.stack.environ
        self.config, settings = load(KafkaConfig, self.environ), load(TopicsConfig, self.environ)
        self.topics = Topics(self.config.topic_prefix)
        self._registry = EmbeddedRegistry(self.config)
        self._registry.start()
        self.codec = Codec(self._registry)
        self.reader = TopicsReader(self.config, settings, self.codec, self.history)
        self.reader.start()
        self.rows = Rows(f"http://127.0.0.1:{self._port}/")
        self.cast = Cast(self.folder, self.environ, self.codec, self.history)
        self.cast.engage_regulars()
        self.neighbours.start(self.cast.specs())
        self.neighbours.wait_ready(stop)
        self._open_doors()

    def close(self) -> None:
        """Stop everything, whatever state it is in."""
        for name in ("load", "ingest", "console", "library", "reader", "cast", "_registry"):
            part = getattr(self, name, None)
            if part is not None:
                with contextlib.suppress(HooklineError, RuntimeError):
                    part.close() if name in {"ingest", "console", "library"} else part.stop()
        for pid in (self._pid(name) for name in self.names):
            if pid:
                os.kill(pid, signal.SIGCONT)
        if self.stack_open:
            self.stack.stop()
        self.neighbours.stop()

    def _open_doors(self) -> None:
        self.ingest = HttpDoor(self.environ["HOOKLINE_INGEST_URL"], self.stack.api_key)
        self.console = HttpDoor(self.environ["HOOKLINE_CONSOLE_URL"], self.stack.api_key)
        self.library = LibraryDoor(self.environ)
        doors = {
            "library": (LIBRARY_STORE, self.library.send),
            "ingest": (STORE, self.ingest.send),
            "console": (STORE, self.console.send),
        }
        self.load = Load(doors, RATE, self.history, self._seed)
        self.load.start()

    def _clickhouse(self) -> ChildSpec:
        server = ROOT / "tests" / "analytics" / "clickhouse_server.py"
        command = (sys.executable, str(server), str(self.folder / "clickhouse"), str(self._port))
        rows = Rows(f"http://127.0.0.1:{self._port}/")
        return ChildSpec(
            name=CLICKHOUSE, command=command, environ=self._base, rank=-1, log=self.folder / "clickhouse.log", ready=lambda: _answers(rows)
        )

    def _heard(self, notice: Notice) -> None:
        if notice.what is What.STARTED:
            self.history.ended(self._pids.get(notice.child, 0))
            self._pids[notice.child] = pid = int(notice.detail.removeprefix("pid "))
            if notice.child in self._dead:  # its supervisor has started it again
                self._dead.discard(notice.child)
                self.history.incidents.append(Incident(time.time(), Kind.START, notice.child, pid))
        if notice.what is What.DIED and not self.leaving.left(notice.child):
            self._dead.add(notice.child)
            self.history.incidents.append(Incident(time.time(), Kind.KILL, notice.child, self._pids[notice.child]))
            self.history.deaths.append((time.time(), notice.child, f"{notice.detail}: {' / '.join(notice.words)}"))
            self._loud(f"{notice.child} {notice.detail}")

    # ---- processes ----

    @property
    def names(self) -> list[str]:
        """The names of all processes."""
        return [*self.stack.supervisor.children, *self.neighbours.children] if self.stack_open else [*self.neighbours.children]

    @property
    def dispatchers(self) -> list[str]:
        """The dispatchers that run."""
        return [name for name in self.stack.dispatchers if self._pid(name)]

    def of(self, name: str) -> Supervisor:
        """Return who looks after a process."""
        return self.neighbours if name in self.neighbours.children else self.stack.supervisor

    def pid(self, name: str) -> int:
        """Return a process's id, of one that leaves the next one's; raise `LookupError` while it does not run."""
        self.wait(lambda: name not in self.leaving)
        found = self._pid(name)
        if not found:
            raise LookupError(f"{name} does not run")
        return found

    def _pid(self, name: str) -> int:
        try:
            return self.of(name).pid(name)
        except (KeyError, HooklineError):
            return 0

    def kill(self, *names: str) -> None:
        """Kill -9, all at the same moment, and leave them down until `start`."""
        for name in names:
            self.leaving.forget(name)
            self.frozen.discard(name)
            self.did(Kind.KILL, name)
            self.of(name).end(name, signal.SIGKILL)
        if any(name.startswith("dispatcher") for name in names):
            self.glance()

    def term(self, name: str) -> int:
        """Tell a process to stop, wait for it, return its exit status."""
        self.leaving.forget(name)
        process: subprocess.Popen[bytes] | None = self.of(name).children[name].process
        self.did(Kind.TERM, name)
        self.of(name).end(name)
        return process.returncode if process is not None else 0

    def term_together(self, names: Sequence[str], then: Callable[[float], None] = lambda _: None) -> dict[str, tuple[int, float]]:
        """Tell several to stop at the same moment; return each one's exit status and how many seconds it took.

        Who takes longer than its supervisor allows is killed. `then` is called again and again with the seconds so far.
        """
        began, found = time.monotonic(), dict[str, tuple[int, float]]()
        processes = {name: self.of(name).children[name] for name in names}
        for name in names:
            os.kill(self.did(Kind.TERM, name).pid, signal.SIGTERM)
        while len(found) < len(names):
            took_s = time.monotonic() - began
            then(took_s)
            for name in [name for name, child in processes.items() if name not in found and (not child.pid or took_s > child.spec.stop_s)]:
                process = processes[name].process
                self.of(name).end(name, signal.SIGKILL)
                found[name] = (process.returncode if process is not None else 0, took_s)
            time.sleep(_TICK_S)
        return found

    def start(self, name: str) -> Incident:
        """Start it again, without waiting until it is ready."""
        self.of(name).again(name)
        return self.did(Kind.START, name)

    def configure(self, name: str, **settings: str) -> None:
        """Give a process other settings; they count from its next start."""
        child = self.of(name).children[name]
        child.spec = dataclasses.replace(child.spec, environ={**child.spec.environ, **settings})

    def freeze(self, name: str) -> Incident:
        """Stop a process where it stands; raise `LookupError` where it does not run."""
        pid = self.pid(name)
        incident = self.did(Kind.FREEZE, name)
        self.frozen.add(name)
        os.kill(pid, signal.SIGSTOP)
        return incident

    def thaw(self, name: str) -> None:
        """Let it go on."""
        os.kill(self.pid(name), signal.SIGCONT)
        self.frozen.discard(name)
        self.did(Kind.THAW, name)

    def let_be(self) -> None:
        """Tell nobody to stop any more, and let everybody go on who stands still: a round that broke off may have left that."""
        self.leaving.disarm()
        for name in list(self.frozen):
            self.frozen.discard(name)
            if pid := self._pid(name):
                os.kill(pid, signal.SIGCONT)

    def set_clock(self, name: str, ahead_s: float) -> None:
        """Set a process's wall clock that far ahead of the right time, or behind it."""
        pid = self.pid(name)
        self.wait(lambda: tampering.has_clock(self.folder, pid))  # one that has just started has none yet
        self.history.shifts.setdefault(pid, []).append((time.time(), ahead_s))
        tampering.set_clock(self.folder, pid, ahead_s)

    def set_names(self, answers: dict[str, list[list[str]]]) -> None:
        """Give names below `tampering.DOMAIN` their answers, in turn."""
        tampering.set_names(self.folder, answers)

    def did(self, what: Kind, name: str) -> Incident:
        """Note what is done to a process, now."""
        incident = Incident(time.time(), what, name, self._pid(name))
        self.history.incidents.append(incident)
        self.leaving.harmed(what)
        return incident

    def answers(self, name: str) -> bool:
        """Tell whether it runs and does not stand still."""
        return bool(self._pid(name)) and name not in self.frozen

    def ready(self, name: str) -> str:
        """Return what a process that runs complains of, empty when it can work."""
        return self.of(name).children[name].spec.ready() if self._pid(name) else f"{name} does not run"

    def metric(self, name: str, sample: str) -> float:
        """Return a process's sum of a metric's samples, 0 where it has none; raise `OSError` when it does not answer."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.stack.ports[f'{name}.metrics']}/metrics", timeout=5) as answer:
            lines: list[str] = answer.read().decode().splitlines()
        return sum(float(line.rpartition(" ")[2]) for line in lines if re.match(rf"{sample}[ {{]", line))

    # ---- waiting and reading ----

    def until_broker(self, patience_s: float = 180.0) -> None:
        """Wait until Kafka answers and every partition has its leader, or patience is over."""
        self.until_ready(KAFKA)
        self.wait(self._has_leaders, patience_s)

    def _has_leaders(self) -> bool:
        try:
            found = kafka.admin(self.config).list_topics(timeout=5).topics.values()
        except KafkaException:
            return False
        return all(part.leader >= 0 for topic in found for part in topic.partitions.values())

    def until_ready_but(self, name: str, words: str) -> None:
        """Wait until a process can work, but for a complaint that has these words."""
        self.wait(lambda: not (why := self.ready(name)) or words in why)

    def until_ready(self, *names: str) -> None:
        """Wait until these processes can work, or patience is over: then the round tells who cannot."""
        self.wait(lambda: not any(self.ready(name) for name in names))
        for name in names:
            started = next((i for i in reversed(self.history.incidents) if i.name == name), None)
            if started is not None and started.what is Kind.START:
                started.until = started.until or time.time()

    def listens_for_sigterm(self, name: str) -> bool:
        """Tell whether it runs and has its own handler of SIGTERM."""
        return handles_sigterm(self._pid(name))

    def sleep(self, seconds: float) -> None:
        """Let time pass, with an eye on everybody."""
        self.wait(lambda: False, seconds)

    def wait(self, condition: Callable[[], bool], patience_s: float = _PATIENCE_S) -> bool:
        """Return whether a condition came true in time; what dies meanwhile is started again."""
        deadline = time.monotonic() + patience_s
        while not condition():
            self.leaving.tick()
            for supervisor in (self.stack.supervisor, self.neighbours):
                supervisor.tick()
            if time.monotonic() > deadline:
                return False
            time.sleep(_TICK_S)
        return True

    def look(self) -> None:
        """Read what is new in the journals and on the topics."""
        self.history.add_calls(self.cast.poll())
        self.reader.poll()

    def sums_right(self) -> bool:
        """Tell whether the log's audit adds up for every store; raise `WarehouseError`."""
        queries = ClickHouseQueries(open_client(self.environ))
        try:
            return all(audit(queries, store).adds_up for store in {role.store_id for role in self.history.roles.values()})
        finally:
            queries.close()

    def produce_together(self, topic: str, values: Sequence[bytes], partition: int) -> None:
        """Put records on a partition right behind each other."""
        self._hand = self._hand or kafka.producer(self.config)
        for value in values:
            self._hand.produce(topic, key=b"shop:x", value=value, partition=partition)
        self._hand.flush(20)

    def produce_raw(self, topic: str, value: bytes | None, key: bytes = b"shop:x", partition: int = -1) -> None:
        """Put bytes on a topic that no part of Hookline would."""
        self._hand = self._hand or kafka.producer(self.config)
        self._hand.produce(topic, key=key, value=value, partition=partition)
        self._hand.flush(20)


def _answers(rows: Rows) -> str:
    try:
        rows.ping()
    except OSError as error:
        return str(error)
    return ""


@contextlib.contextmanager
def world(seed: int = 1, tell: Callable[[str], None] = lambda _: None, **settings: str) -> Iterator[World]:
    """Yield an open world in a folder of its own; nothing of it is left afterwards."""
    folder = Path(tempfile.mkdtemp(prefix="hookline-chaos-"))
    found = World(folder, os.environ, seed, tell, **settings)
    try:
        found.open()
        yield found
    finally:
        found.close()
        shutil.rmtree(folder, ignore_errors=True)
