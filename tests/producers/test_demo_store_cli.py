"""`hookline demo-store` against a real broker: what it says it published is what lies on the topics."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from hookline.kernel import kafka
from hookline.kernel.config import load
from hookline.kernel.kafka import KafkaConfig
from hookline.producers.demo_store.ledger import read
from hookline.producers.demo_store.plan import Plan
from hookline.schemas.catalogue import event_type
from hookline.schemas.events import Event, validate
from hookline.schemas.registry import EmbeddedRegistry
from hookline.schemas.topics import Topics, TopicsConfig, create, specs
from hookline.schemas.wire import Codec

pytestmark = pytest.mark.kafka

START = datetime(2026, 3, 14, 7, tzinfo=UTC)


@pytest.fixture(scope="module")
def environ(kafka_environ: dict[str, str]) -> dict[str, str]:
    """Return the environment of a cluster with event topics of this module's own."""
    found = {**kafka_environ, "HOOKLINE_TOPIC_PREFIX": "demostore", "HOOKLINE_EVENT_PARTITIONS": "2"}
    config, topics = load(KafkaConfig, found), Topics("demostore")
    create(config, [spec for spec in specs(topics, load(TopicsConfig, found)) if spec.name in topics.all_events()], 1)
    return found


@pytest.fixture(scope="module")
def codec(kafka_environ: dict[str, str]) -> Iterator[Codec]:
    """Return a codec over the session's registry."""
    registry = EmbeddedRegistry(load(KafkaConfig, kafka_environ))
    registry.start()
    yield Codec(registry)
    registry.stop()


def started(environ: dict[str, str], *arguments: str) -> subprocess.Popen[str]:
    """Start the command."""
    command = [sys.executable, "-m", "hookline.cli.main", "demo-store", *arguments]
    return subprocess.Popen(command, env={**os.environ, **environ}, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def ended(process: subprocess.Popen[str]) -> tuple[int, str, str]:
    """Wait for a command and return its status and what it printed."""
    out, err = process.communicate(timeout=90)
    return process.returncode, out, err


def published(environ: dict[str, str], codec: Codec, store_id: str) -> list[Event]:
    """Return a store's events from the topics, checking where each lies."""
    found = []
    topics = Topics("demostore")
    for message in kafka.scan(load(KafkaConfig, environ), topics.all_events()):
        event = codec.decode(message.value() or b"")
        kind = event_type(event.type)
        assert message.topic() == topics.events(kind.category)
        assert message.key() == f"{event.store_id}:{kind.entity_of(event.data)}".encode()
        found += [event] if event.store_id == store_id else []
    return found


def test_what_it_says_is_what_lies_on_kafka(environ: dict[str, str], codec: Codec, tmp_path: Path) -> None:
    """The summary, the ledger and the topics agree in every event, and these are the plan's."""
    plan = Plan(seed=7, started_at=START, store_id="one", rate=2_000, events=1_500, ledger=tmp_path / "ledger")
    status, out, _ = ended(started(environ, *plan.arguments(), "--json"))
    assert status == 0
    summary: dict[str, Any] = json.loads(out)
    store = plan.store()
    expected = {event.id: validate(event) for event in (next(store) for _ in range(1_500))}
    events = published(environ, codec, "one")
    assert {event.id: event for event in events} == expected
    assert len(events) == 1_500
    assert [(e.id, e.type) for e in sorted(read(tmp_path / "ledger"), key=lambda e: e.id)] == sorted((e.id, e.type) for e in events)
    assert summary["by_type"] == Counter(event.type for event in events)
    assert (summary["published"], summary["uncertain"], summary["ended"], summary["seed"]) == (1_500, 0, "events", 7)


def test_a_signal_stops_it_cleanly(environ: dict[str, str], codec: Codec, tmp_path: Path) -> None:
    """SIGTERM in full run: it leaves with 0, and every event of the ledger is on Kafka and the other way round."""
    ledger = tmp_path / "ledger"
    process = started(environ, "--store=two", "--rate=500", f"--ledger={ledger}", "--json")
    deadline = time.monotonic() + 60
    while (not ledger.exists() or len(list(read(ledger))) < 200) and time.monotonic() < deadline:
        time.sleep(0.05)
    process.send_signal(signal.SIGTERM)
    status, out, _ = ended(process)
    assert status == 0
    assert json.loads(out)["ended"] == "stopped"
    assert {entry.id for entry in read(ledger)} == {event.id for event in published(environ, codec, "two")}


def test_people_get_a_table_and_the_way_to_repeat_it(environ: dict[str, str]) -> None:
    """Without --json a table by type is printed, and the seed and start that give the same again."""
    status, out, err = ended(started(environ, "--store=three", "--rate=1000", "--events=300", "--seed=12"))
    assert status == 0
    assert "cart.item_added" in out
    assert "300 events" in err
    assert "--seed 12 --started-at" in err


def test_a_broker_that_is_away_is_named_with_a_remedy(environ: dict[str, str]) -> None:
    """No broker: status 1, one error that names the servers, and what to do; no stack trace."""
    status, out, err = ended(started({**environ, "KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:1"}, "--events=10"))
    assert (status, out) == (1, "")
    assert "127.0.0.1:1" in err
    assert "what to do" in err
    assert "Traceback" not in err


def test_missing_topics_are_named_with_a_remedy(environ: dict[str, str]) -> None:
    """A cluster without our topics: the error names the topic and the command that makes them."""
    status, _, err = ended(started({**environ, "HOOKLINE_TOPIC_PREFIX": "nosuch"}, "--events=10"))
    assert status == 1
    assert "nosuch.events.orders" in " ".join(err.split())
    assert "hookline topics create" in " ".join(err.split())


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--started-at=yesterday"], "yesterday"),
        (["--started-at=2026-03-14T07:00:00"], "time zone"),
        (["--store=a.b"], "store"),
        (["--via=http", "--url=ftp://example.com", "--key=hlk_x"], "no URL of ingest"),
        (["--via=http", "--url=http://127.0.0.1:1", "--key=hlk_x"], "Nobody answers"),
        (["--via=http", "--url=http://127.0.0.1:1", "--key="], "no API key"),
        (["--ledger=/proc/no/such"], "cannot be written"),
    ],
)
def test_a_mistake_is_explained(environ: dict[str, str], arguments: list[str], said: str) -> None:
    """What a person typed wrong is named; status 2, no stack trace."""
    status, out, err = ended(started(environ, *arguments, "--events=1"))
    assert (status, out) == (2, "")
    assert said in " ".join(err.split())
    assert "Traceback" not in err
