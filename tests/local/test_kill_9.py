"""`kill -9` of any process of the running stack, under load: nothing is lost, and the log has every attempt once."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from hookline.analytics.gateway import open_queries
from hookline.analytics.queries import audit
from hookline.kernel.clock import SystemClock
from hookline.kernel.config import load
from hookline.kernel.errors import BrokerError, WarehouseError
from hookline.kernel.kafka import KafkaConfig
from hookline.local.demo.admin import Admin
from hookline.local.demo.cast import WAREHOUSE
from hookline.local.demo.company import Company
from hookline.local.demo.ledgers import Attempts, log_rows
from hookline.local.supervisor import Supervisor
from hookline.producers.publisher import Publisher
from hookline.schemas.events import Event, example_event
from hookline.schemas.records import delivery_id
from hookline.schemas.registry import open_registry
from hookline.schemas.topics import Topics
from hookline.schemas.wire import Codec

pytestmark = [pytest.mark.process, pytest.mark.timeout(400)]

Until = Callable[..., None]
Up = Any  # the fixture's class stands in conftest.py
PAUSE_S = 0.02
MORE = 40


class Load:
    """Publishes one event after the other from a thread; `confirmed` are those that Kafka has for certain."""

    def __init__(self, environ: dict[str, str]) -> None:
        self.confirmed: list[str] = []
        self._publisher = Publisher.connect(environ=environ)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """End after the event in hand."""
        self._stop.set()
        self._thread.join(60)
        self._publisher.close()

    def _run(self) -> None:
        while not self._stop.is_set():
            self._publish(example_event("order.created", "demo", clock=SystemClock()))
            time.sleep(PAUSE_S)

    def _publish(self, event: Event) -> None:
        """Publish until it is confirmed, under the same id, as a store would."""
        while not self._stop.is_set():
            try:
                self._publisher.publish(event, timeout_s=60)
            except BrokerError:
                continue
            self.confirmed.append(event.id)
            return


def test_kill_9_of_each_process_under_load_loses_nothing(up: Up, until: Until) -> None:
    """Each process is killed in turn while events are published: all of them are delivered, and logged once."""
    up.environ["HOOKLINE_SESSION_TIMEOUT_MS"] = "6000"
    up.start("--dispatchers", "2")
    until(lambda: up.running, 120, "the stack ready")
    environ = {**up.environ, **up.shared}
    registry = open_registry(environ)
    registry.start()
    codec, config = Codec(registry), load(KafkaConfig, environ)
    topics = Topics(config.topic_prefix)
    company, receivers, load_ = Company(up.folder, (WAREHOUSE,), environ), Supervisor(lambda _: None), Load(environ)
    attempts, queries = Attempts(config, topics, codec), open_queries(environ)
    try:
        company.engage(Admin(environ, "demo"))
        receivers.start(company.specs())
        load_.start()
        for name in ("dispatch", "console", "ingest", "kafka", "dispatch"):
            _kill_and_wait(up, name, load_, until)
        load_.stop()
        journal = company.journals[WAREHOUSE.name]
        [webhook_id] = company.webhooks
        attempts.start()
        owed = {delivery_id("demo", event_id, webhook_id) for event_id in load_.confirmed}
        until(lambda: owed <= {call.id for call in journal.poll() if call.taken}, 120, "every confirmed event at its receiver")
        until(lambda: _logged(queries, attempts), 60, "the log complete")
        assert all(call.good for call in journal.calls)
    finally:
        load_.stop()
        attempts.stop()
        queries.close()
        receivers.stop()
        registry.stop()
    assert up.said.count("was killed by SIGKILL; starting it again") == 5
    assert up.stop() == 0


def _kill_and_wait(up: Up, name: str, load_: Load, until: Until) -> None:
    """Kill a process, wait for its replacement and for more events to have gone through."""
    before, running = len(load_.confirmed), up.children()[name]
    victim = min(running)
    os.kill(victim, signal.SIGKILL)

    def replaced() -> bool:
        now = up.children().get(name, set())
        return victim not in now and len(now) == len(running)

    until(replaced, 60, f"another {name}")
    until(lambda: len(load_.confirmed) >= before + MORE, 60, f"more events after the death of {name}")


def _logged(queries: Any, attempts: Attempts) -> bool:
    """Tell whether ClickHouse has exactly the attempts that Kafka has, each once."""
    attempts.poll()
    try:
        rows, found = log_rows(queries, "demo"), audit(queries, "demo")
    except WarehouseError:
        return False
    return found.adds_up and sorted(rows) == sorted(attempt.attempt_id for attempt in attempts.all)
