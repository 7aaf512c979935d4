"""The settings of Kafka's clients and topics that the promises rest on: on one broker nothing behaves otherwise without them."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import Any

import pytest

import hookline
from hookline.kernel import kafka
from hookline.kernel.config import load
from hookline.kernel.kafka import KafkaConfig
from hookline.schemas.topics import Topics, TopicsConfig, specs

pytestmark = pytest.mark.unit

CONFIG = load(KafkaConfig, {"KAFKA_BOOTSTRAP_SERVERS": "unused:9092"})


@pytest.fixture
def handed(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """Collect the settings that clients are made with, and make none."""
    found: list[dict[str, Any]] = []

    def made(settings: dict[str, Any], **_: object) -> None:
        found.append(settings)

    monkeypatch.setattr(kafka, "Producer", made)
    monkeypatch.setattr(kafka, "Consumer", made)
    return found


def test_every_copy_confirms_and_no_retry_doubles(handed: list[dict[str, Any]]) -> None:
    """Confirmed means by all copies that are in sync, and what is sent again is stored once."""
    kafka.producer(CONFIG, linger_ms=0)
    [settings] = handed
    assert (settings["acks"], settings["enable.idempotence"]) == ("all", True)


@pytest.mark.parametrize("protocol", ["classic", "consumer", ""])
def test_readers_take_what_counts_and_commit_by_themselves(handed: list[dict[str, Any]], protocol: str) -> None:
    """No record of a transaction that was broken off, none that was damaged, no offset that nobody has settled, none passed over."""
    if protocol:
        kafka.group_consumer(CONFIG, "dispatch", protocol=protocol)
    else:
        kafka.plain_consumer(CONFIG)
    [settings] = handed
    wanted = {
        "isolation.level": "read_committed",
        "check.crcs": True,
        "enable.auto.commit": False,
        "enable.auto.offset.store": False,
        "auto.offset.reset": "earliest",
    }
    assert {name: settings[name] for name in wanted} == wanted


def test_nobody_makes_a_client_or_weakens_one_elsewhere() -> None:
    """Producers and consumers are made in one module, and no caller sets what the promises rest on."""
    kept = {"acks", "enable_idempotence", "isolation_level", "check_crcs", "enable_auto_commit", "enable_auto_offset_store"}
    wrong = []
    parts = sorted(part for part in Path(hookline.__file__).parent.iterdir() if part.is_dir())  # links to packages: not followed below
    files = [path for part in parts for path in part.rglob("*.py")]
    assert {"cli", "console", "dispatcher", "kernel", "producers"} <= {path.parent.name for path in files}
    for path in files:
        calls = [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call)]
        own = path.name == "kafka.py" and path.parent.name == "kernel"
        wrong += [f"{path}:{call.lineno} makes a client" for call in calls if not own and _name(call) in {"Producer", "Consumer"}]
        wrong += [f"{path}:{call.lineno} sets {word.arg}" for call in calls for word in call.keywords if word.arg in kept]
    assert wrong == []


def test_due_times_and_ages_are_by_the_brokers_clock() -> None:
    """Events, what waits, replays and letters have the time of the broker that took them, whatever their writer's clock says."""
    topics, config = Topics("t"), load(TopicsConfig, {})
    stamped = {spec.name for spec in specs(topics, config) if spec.config.get("message.timestamp.type") == "LogAppendTime"}
    again = [*(topics.retry(tier) for tier in config.retry_tiers), topics.replays]
    assert stamped >= {*topics.all_events(), *again, *topics.all_dead_letters()}


def _name(call: ast.Call) -> str:
    return call.func.id if isinstance(call.func, ast.Name) else getattr(call.func, "attr", "")
