"""How long Kafka waits for silent members of groups, on the real broker."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any
from unittest.mock import Mock

import pytest
from confluent_kafka.admin import AdminClient, ConfigResource  # type: ignore[attr-defined]  # public by its documentation

from hookline.kernel import kafka, sessions
from hookline.kernel.config import load
from hookline.kernel.kafka import KafkaConfig

pytestmark = [pytest.mark.kafka, pytest.mark.timeout(150)]


def config_of(environ: dict[str, str], **more: str) -> KafkaConfig:
    """Return the configuration of a process with groups of its own."""
    return load(KafkaConfig, {**environ, "HOOKLINE_TOPIC_PREFIX": f"s{os.urandom(4).hex()}", **more})


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> Mock:
    """Give what hears the warnings."""
    log = Mock()
    monkeypatch.setattr(sessions, "_log", log)
    found: Mock = log.warning
    return found


def until(condition: Callable[[], bool]) -> None:
    """Wait until something is so."""
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def held(config: KafkaConfig, group: str) -> tuple[int, int]:
    """Return the session and the interval of heartbeats that Kafka has for a group, in milliseconds."""
    asked = ConfigResource(ConfigResource.Type.GROUP, f"{config.topic_prefix}.{group}")
    client = kafka.admin(config)  # kept: its end would end the question
    [answer] = client.describe_configs([asked]).values()
    found: dict[str, Any] = answer.result(30)
    return int(found["consumer.session.timeout.ms"].value), int(found["consumer.heartbeat.interval.ms"].value)


def test_kafka_waits_as_long_as_we_say(kafka_environ: dict[str, str]) -> None:
    """For each group; half of it is what a member may act on."""
    config = config_of(kafka_environ, HOOKLINE_SESSION_TIMEOUT_MS="5000")
    assert sessions.lease_s(config, ["a", "b"]) == 2.5
    until(lambda: held(config, "a") == held(config, "b") == (5_000, 500))


def test_what_holds_already_is_not_asked_for(kafka_environ: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Only the group that differs is changed: every start of every process would write into Kafka's metadata otherwise."""
    config = config_of(kafka_environ, HOOKLINE_SESSION_TIMEOUT_MS="8000")
    sessions.lease_s(config, ["a"])
    until(lambda: held(config, "a") == (8_000, 800))
    asked: list[str] = []
    real = AdminClient.incremental_alter_configs

    def note(client: AdminClient, resources: list[ConfigResource], **more: Any) -> Any:
        asked.extend(resource.name for resource in resources)
        return real(client, resources, **more)

    monkeypatch.setattr(AdminClient, "incremental_alter_configs", note)
    sessions.lease_s(config, ["a", "b"])
    assert asked == [f"{config.topic_prefix}.b"]


def test_a_lease_outlives_no_session_that_another_process_may_set(kafka_environ: dict[str, str]) -> None:
    """However long the session is: a build of other settings may shorten it while this one runs."""
    config = config_of(kafka_environ, HOOKLINE_SESSION_TIMEOUT_MS="30000")
    assert sessions.lease_s(config, ["a"]) == 3.0


@pytest.mark.parametrize(
    ("session", "wanted_s"), [("600000", 3.0), ("999", 0.499), ("1000", 0.5)], ids=["too long for Kafka", "too short", "just right"]
)
def test_kafkas_own_session_holds_where_it_refuses_ours(kafka_environ: dict[str, str], told: Mock, session: str, wanted_s: float) -> None:
    """A process must not take itself for a member for longer than either; the log says what to do."""
    config = replace(config_of(kafka_environ), session_timeout_ms=int(session))
    assert sessions.lease_s(config, ["a"]) == pytest.approx(wanted_s, abs=0.001)
    if session == "1000":
        told.assert_not_called()
    else:
        assert "group.consumer." in told.call_args.kwargs["error"]
        assert "group.consumer.session.timeout.ms" in told.call_args.kwargs["remedy"]


@pytest.mark.unit
@pytest.mark.parametrize(
    ("session", "heartbeat", "safe_ms"), [(45_000, 5_000, 22_500), (6_000, 5_000, 600), (6_000, 600, 3_000), (8_000, 3_000, 2_000)]
)
def test_kafka_counts_from_the_last_heartbeat(session: int, heartbeat: int, safe_ms: int) -> None:
    """Which may be one interval old when the process stops, and another one under way: both go off the session."""
    assert sessions._safe_ms(session, heartbeat) == safe_ms


def test_nobody_answers(told: Mock, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ours holds for us: a start does not fail of it, and asks no second time."""
    monkeypatch.setattr(sessions, "_WAIT_S", 0.3)
    config = config_of({"KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:9"}, HOOKLINE_SESSION_TIMEOUT_MS="4000")
    began = time.monotonic()
    assert sessions.lease_s(config, ["a"]) == 2.0
    assert time.monotonic() - began < 5
    told.assert_called_once()


@pytest.mark.unit
def test_members_of_a_classic_group_say_it_themselves(monkeypatch: pytest.MonkeyPatch) -> None:
    """Kafka is asked for nothing."""
    admin = Mock()
    monkeypatch.setattr(sessions, "admin", admin)
    config = config_of({"KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:9"}, HOOKLINE_GROUP_PROTOCOL="classic", HOOKLINE_SESSION_TIMEOUT_MS="600000")
    assert sessions.lease_s(config, ["a"]) == 300.0
    admin.assert_not_called()
