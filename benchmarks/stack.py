"""What every measurement stands on: a real broker in a temporary folder, Hookline's own processes, a fast receiver."""

from __future__ import annotations

import base64
import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
import trustme

from hookline.kernel.clock import SystemClock
from hookline.kernel.config import load
from hookline.kernel.kafka import KafkaConfig, admin
from hookline.local.kafka_broker import EmbeddedBroker, free_port
from hookline.producers.publisher import Publisher, PublisherConfig, bulk
from hookline.schemas.registration import register_all
from hookline.schemas.registry import EmbeddedRegistry
from hookline.schemas.topics import SCHEMAS, Topics, TopicsConfig, create, specs
from hookline.schemas.wire import Codec
from hookline.webhooks.registry import WebhookRegistry
from hookline.webhooks.secrets import SecretsConfig, Vault
from hookline.webhooks.store import Webhooks
from hookline.webhooks.urls import UrlPolicy

STORE = "bench"
_SAMPLE_S = 0.05


@dataclass
class Process:
    """A child process and what it costs."""

    name: str
    popen: subprocess.Popen[bytes]
    log: Path

    @property
    def cpu_s(self) -> float:
        """CPU seconds so far, user and system, all threads."""
        times = psutil.Process(self.popen.pid).cpu_times()
        return float(times.user + times.system)

    @property
    def rss_mb(self) -> float:
        """Resident megabytes (10^6 bytes) now."""
        return float(psutil.Process(self.popen.pid).memory_info().rss) / 1e6

    def end(self) -> None:
        """Ask it to end, and do not wait."""
        if self.popen.poll() is None:
            self.popen.terminate()

    def stop(self) -> None:
        """End it, kindly first."""
        if self.popen.poll() is None:
            self.end()
            try:
                self.popen.wait(40)
            except subprocess.TimeoutExpired:
                self.popen.kill()
                self.popen.wait(10)


@dataclass
class Stack:
    """A broker with topics and schemas, and the environment of every process on it."""

    folder: Path
    broker: EmbeddedBroker
    environ: dict[str, str]
    processes: list[Process] = field(default_factory=list)

    def stop(self) -> None:
        """End every process, all at once: one after the other takes seconds in each case."""
        for process in self.processes:
            process.end()
        for process in self.processes:
            process.stop()

    @property
    def config(self) -> KafkaConfig:
        """How to reach the broker."""
        return load(KafkaConfig, self.environ)

    @property
    def topics(self) -> Topics:
        """The topics' names."""
        return Topics(self.config.topic_prefix)

    def hookline(self, *arguments: str, **more: str) -> Process:
        """Start `hookline ARGUMENTS` as a child, with more environment."""
        return self.python(arguments[0], "-m", "hookline.cli.main", *arguments, "--log-level", "WARNING", **more)

    def python(self, name: str, *arguments: str, **more: str) -> Process:
        """Start this Python with arguments as a child."""
        log = self.folder / f"{name}.{len(self.processes)}.log"
        with log.open("wb") as file:
            popen = subprocess.Popen([sys.executable, *arguments], env={**self.environ, **more}, stdout=file, stderr=file)
        made = Process(name, popen, log)
        self.processes.append(made)
        return made

    @contextmanager
    def publisher(self) -> Iterator[Publisher]:
        """Yield a publisher for many events."""
        registry = EmbeddedRegistry(self.config)
        registry.start()
        publisher = Publisher(self.config, registry, bulk(load(PublisherConfig, self.environ)))
        with publisher:
            yield publisher
        registry.stop()

    @contextmanager
    def webhooks(self) -> Iterator[Webhooks]:
        """Yield the writer of webhooks."""
        schemas = EmbeddedRegistry(self.config)
        schemas.start()
        codec = Codec(schemas)
        registry = WebhookRegistry(self.config, self.topics, codec)
        registry.start()
        vault, policy = Vault.from_config(load(SecretsConfig, self.environ)), load(UrlPolicy, self.environ)
        yield Webhooks(self.config, self.topics, registry, vault, codec, policy, SystemClock())
        registry.stop()
        schemas.stop()


@contextmanager
def kafka() -> Iterator[EmbeddedBroker]:
    """Yield a broker that several stacks can stand on, one after the other."""
    folder = Path(tempfile.mkdtemp(prefix="hookline-bench-"))
    broker = EmbeddedBroker(folder / "kafka")
    try:
        broker.start()
        yield broker
    finally:
        broker.stop()
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def stack(on: EmbeddedBroker | None = None, **settings: str) -> Iterator[Stack]:
    """Yield a stack with these settings and topics of its own, on a given broker or its own one; afterwards nothing is left of it."""
    with ExitStack() as exits:
        broker = on or exits.enter_context(kafka())
        folder = Path(tempfile.mkdtemp(prefix="hookline-bench-"))
        exits.callback(shutil.rmtree, folder, ignore_errors=True)
        made = Stack(folder, broker, {**os.environ, **_environ(broker, folder), **settings})
        wanted = specs(made.topics, load(TopicsConfig, made.environ))
        create(made.config, wanted, 1)
        registry = EmbeddedRegistry(made.config)
        registry.start()
        register_all(registry)
        registry.stop()
        if on is not None:
            exits.callback(_delete, made.config, [spec.name for spec in wanted if spec.name != SCHEMAS])
        exits.callback(made.stop)
        yield made


def _delete(config: KafkaConfig, topics: list[str]) -> None:
    client = admin(config)  # kept: its end would end the requests
    for answer in client.delete_topics(topics).values():
        answer.result(30)


def _environ(broker: EmbeddedBroker, folder: Path) -> dict[str, str]:
    return {
        "HOOKLINE_STATE_DIR": str(folder / "state"),
        "HOOKLINE_TOPIC_PREFIX": folder.name,
        "KAFKA_BOOTSTRAP_SERVERS": broker.bootstrap_servers,
        "HOOKLINE_REPLICATION_FACTOR": "1",
        "HOOKLINE_SECRET_KEYS": "bench:" + base64.b64encode(os.urandom(32)).decode(),
        "HOOKLINE_API_KEY_PEPPER": os.urandom(24).hex(),
        "HOOKLINE_ALLOW_HTTP": "true",
        "HOOKLINE_ALLOWED_PORTS": "any",
        "HOOKLINE_ALLOW_ADDRESSES": "127.0.0.0/8",
    }


@dataclass
class Receiver:
    """A receiver process: answers 200 to everything, tells how many calls came and how late each was."""

    process: Process
    port: int
    tls_port: int
    authority: Path
    """Certificate that vouches for the receiver; a process trusts it with SSL_CERT_FILE."""
    more: tuple[int, ...] = ()
    """Further ports that it answers at: each is an origin of its own to a sender."""

    def tls_url(self, path: str = "") -> str:
        """Return an address it answers at over TLS."""
        return f"https://127.0.0.1:{self.tls_port}/{path}"

    def url(self, path: str = "", place: int = 0) -> str:
        """Return an address it answers at; places go round its ports."""
        ports = (self.port, *self.more)
        return f"http://127.0.0.1:{ports[place % len(ports)]}/{path}"

    def count(self) -> int:
        """Return how many calls came so far."""
        return int(self._ask("count"))

    def latencies_s(self) -> list[float]:
        """Return, for each call whose event id carries its time of publishing, the seconds from then until it came."""
        return [int(line) / 1e9 for line in self._ask("latencies").split()]

    def unique(self) -> int:
        """Return how many different webhook-ids came so far."""
        return int(self._ask("unique"))

    def sample(self) -> list[dict[str, Any]]:
        """Return some of the calls: path, headers (names in small letters) and body of each."""
        return list(json.loads(self._ask("sample")))

    def _ask(self, what: str) -> str:
        with urllib.request.urlopen(self.url(f"_{what}"), timeout=30) as answer:
            return str(answer.read().decode())


def receiver(on: Stack, delay_s: float = 0.0, ports: int = 1) -> Receiver:
    """Start a receiver that answers after `delay_s` at so many ports, and wait until it listens."""
    (port, *more), tls_port = [free_port() for _ in range(ports)], free_port()
    authority, own = trustme.CA(), on.folder / "receiver.pem"
    authority.cert_pem.write_to_path(on.folder / "authority.pem")
    authority.issue_cert("127.0.0.1").private_key_and_cert_chain_pem.write_to_path(own)
    process = on.python("receiver", "-m", "benchmarks.receiver", str(delay_s), str(tls_port), str(own), *map(str, (port, *more)))
    made = Receiver(process, port, tls_port, on.folder / "authority.pem", tuple(more))
    wait(lambda: _answers(made), 20, "the receiver")
    return made


def _answers(found: Receiver) -> bool:
    try:
        return found.count() >= 0
    except OSError:
        return False


def wait(condition: Callable[[], bool], timeout_s: float, what: str, every_s: float = 0.02) -> None:
    """Wait until a condition holds, asking every so often; end the program with its name when it does not in time."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > deadline:
            sys.exit(f"not within {timeout_s:g} s: {what}")
        time.sleep(every_s)


@contextmanager
def largest(process: Process) -> Iterator[list[float]]:
    """Yield a list that resident megabytes of a process are put into, many times a second."""
    seen, done = [process.rss_mb], threading.Event()

    def sample() -> None:
        while not done.wait(_SAMPLE_S):
            seen.append(process.rss_mb)

    thread = threading.Thread(target=sample, daemon=True)
    thread.start()
    try:
        yield seen
    finally:
        done.set()
        thread.join()


def metric(port: int, name: str, labels: str = "") -> float:
    """Return a metric of a process's own port, summed over those of its labels that hold a text such as `source="events"`."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10) as answer:
        lines = answer.read().decode().splitlines()
    return sum(float(line.rsplit(" ", 1)[1]) for line in lines if line.startswith((name + " ", name + "{")) and labels in line)
