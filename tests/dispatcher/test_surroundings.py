"""The parts around the engine: clocks, pulse, soundings, disabling, faults, settings, sources."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
from confluent_kafka import KafkaError, KafkaException
from prometheus_client import REGISTRY

from hookline.dispatcher import pulse as pulse_module
from hookline.dispatcher import soundings as soundings_module
from hookline.dispatcher.disabling import Disabling
from hookline.dispatcher.faults import Faults
from hookline.dispatcher.process import Settings
from hookline.dispatcher.pulse import Pulse
from hookline.dispatcher.soundings import Soundings, measure
from hookline.dispatcher.source import again, fresh, tiers_to_read
from hookline.kernel.config import load
from hookline.kernel.errors import BrokerUnavailable, ConfigError, HooklineError, Stale
from hookline.kernel.kafka import KafkaConfig
from hookline.webhooks.model import State, Webhook
from tests.dispatcher.fake_kafka import TOPICS, message
from tests.dispatcher.fakes import PaperIntake, Webhooks, webhook

pytestmark = pytest.mark.unit

KAFKA = load(KafkaConfig, {"KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:1"})


def until(condition: Any) -> None:
    """Wait for a condition."""
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def sample(name: str, **labels: str) -> float:
    """Return a metric's value."""
    found = REGISTRY.get_sample_value(name, labels)
    assert found is not None
    return found


# ---- disabling ----


class Writer:
    """Writes what is disabled into a directory, as the registry would show it; fails as often as it is told to."""

    def __init__(self, directory: Webhooks, failures: int = 0) -> None:
        self.directory = directory
        self.disabled: list[str] = []
        self.failures = failures
        self.meanwhile: list[Callable[[], None]] = []
        self.go = threading.Event()
        self.go.set()

    def disable(self, webhook_id: str, reason: str, expected_version: int | None = None) -> Webhook:
        """Disable."""
        self.go.wait(20)
        self.failures -= 1
        if self.failures >= 0:
            raise BrokerUnavailable("away")
        if self.meanwhile:
            self.meanwhile.pop(0)()
        now = self.directory.by_id[webhook_id]
        if now.version != expected_version:
            raise Stale("changed since")
        self.disabled.append(f"{webhook_id}: {reason}")
        after = replace(now, state=State.DISABLED, state_since_us=now.state_since_us + 1, version=now.version + 1)
        self.directory.add(after)
        return after


def test_many_410s_disable_once() -> None:
    """Calls under way together that all say 410 cause one change, and one line on the audit."""
    directory, noted = Webhooks(), list[Any]()
    writer = Writer(directory)
    directory.add(webhook(1), webhook(2))
    disabling = Disabling(directory, lambda: writer, lambda w: noted.append((w.id, w.state)))
    writer.go.clear()
    for _ in range(8):
        disabling.gone(webhook(1), "410")
    disabling.gone(webhook(2), "410")
    writer.go.set()
    until(lambda: len(noted) == 2)
    disabling.gone(webhook(1), "410")  # a late one
    until(lambda: not disabling._under_way)
    disabling.stop()
    assert writer.disabled == ["wh_1: 410", "wh_2: 410"]
    assert noted == [("wh_1", State.DISABLED), ("wh_2", State.DISABLED)]


def test_what_failed_is_tried_with_the_next_410() -> None:
    """A broker that is away is no reason to forget it, nor to try for ever; the audit tells of what was done."""
    directory, noted = Webhooks(), list[Any]()
    writer = Writer(directory, failures=1)
    directory.add(webhook(1))
    disabling = Disabling(directory, lambda: writer, lambda w: noted.append(w.id))
    disabling.gone(webhook(1), "410")
    until(lambda: writer.failures == 0)
    until(lambda: not disabling._under_way)
    assert noted == []
    disabling.gone(webhook(1), "410")
    until(lambda: noted)
    disabling.stop()


def test_an_audit_that_fails_undoes_nothing() -> None:
    """The webhook is disabled all the same, and the next one is taken up."""
    directory = Webhooks()
    writer = Writer(directory)
    directory.add(webhook(1), webhook(2))

    def note(_webhook: Webhook) -> None:
        raise BrokerUnavailable("the topic is missing")

    disabling = Disabling(directory, lambda: writer, note)
    disabling.gone(webhook(1), "410")
    disabling.gone(webhook(2), "410")
    until(lambda: not disabling._under_way)
    disabling.stop()
    assert writer.disabled == ["wh_1: 410", "wh_2: 410"]


@pytest.mark.parametrize(
    ("change", "done"),
    [({"name": "renamed"}, True), ({"state": State.DISABLED, "state_since_us": 9}, False), ({"url": "https://new.test/"}, False)],
    ids=["renamed", "disabled by another dispatcher", "moved"],
)
def test_a_change_at_the_same_moment_is_looked_at(change: dict[str, Any], done: bool) -> None:
    """A webhook that is written between the look and the disabling is looked at again: of two dispatchers one notes it."""
    directory, noted = Webhooks(), list[Any]()
    writer = Writer(directory)
    directory.add(webhook(1))
    writer.meanwhile.append(lambda: directory.add(webhook(1, version=webhook(1).version + 1, **change)))
    disabling = Disabling(directory, lambda: writer, lambda w: noted.append(w.id))
    disabling.gone(webhook(1), "410")
    until(lambda: not disabling._under_way)
    disabling.stop()
    assert (writer.disabled, noted) == ((["wh_1: 410"], ["wh_1"]) if done else ([], []))


@pytest.mark.parametrize("change", [{"url": "https://new.test/"}, {"state_since_us": 5}, None])
def test_a_persons_later_word_stands(change: dict[str, Any] | None) -> None:
    """A webhook with a new URL, enabled anew, or deleted since the call is not disabled."""
    directory, noted = Webhooks(), list[Any]()
    writer = Writer(directory)
    if change is not None:
        directory.add(webhook(1, **change))
    disabling = Disabling(directory, lambda: writer, lambda w: noted.append(w.id))
    disabling.gone(webhook(1, state=State.ENABLED), "410")
    until(lambda: not disabling._under_way)
    disabling.stop()
    assert (writer.disabled, noted) == ([], [])


# ---- pulse and faults ----


async def test_the_pulse_goes_on_whatever_happens(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ticks and measures repeat, an error in one is a fault, and a loop that runs is well."""
    monkeypatch.setattr(pulse_module, "_TICK_S", 0.01)
    monkeypatch.setattr(pulse_module, "_MEASURE_S", 0.02)
    ticks: list[int] = []
    faults = Faults()

    def tick() -> None:
        ticks.append(1)
        if len(ticks) == 2:
            message = "unforeseen"
            raise RuntimeError(message)

    measures: list[int] = []
    pulse = Pulse(faults, (tick,), lambda: measures.append(1))
    pulse.start()
    for _ in range(500):
        await asyncio.sleep(0.01)
        if len(ticks) > 5 and measures:
            break
    assert len(ticks) > 5
    assert measures
    assert pulse.complaint() == ""
    assert "the last in pulse: RuntimeError" in faults.complaint()
    pulse._at -= 21
    assert "stood still for 21 s" in pulse.complaint()
    pulse.stop()


def test_faults_from_the_loop_count() -> None:
    """What reaches the event loop unhandled is a fault, with or without an exception."""
    faults = Faults()
    assert faults.complaint() == ""
    before = REGISTRY.get_sample_value("hookline_dispatcher_faults_total", {"where": "loop"}) or 0
    loop: Any = None
    faults.from_loop(loop, {"message": "a task died", "exception": ValueError("x")})
    faults.from_loop(loop, {"message": "something else"})
    assert sample("hookline_dispatcher_faults_total", where="loop") == before + 2
    assert "2 internal errors" in faults.complaint()


# ---- soundings ----


def test_a_broker_that_is_silent_is_told_and_forgiven(monkeypatch: pytest.MonkeyPatch) -> None:
    """`/readyz` names the servers while nobody answers, and is well again when somebody does; so with the registry's age."""
    monkeypatch.setattr(soundings_module, "_EVERY_S", 0.02)
    monkeypatch.setattr(soundings_module, "_ANSWER_S", 0.2)
    caught: list[float] = []

    def catch_up(seconds: float) -> bool:
        caught.append(seconds)
        return True

    soundings = Soundings(KAFKA, [], catch_up)
    soundings.start()
    until(soundings.broker)
    assert "Kafka at 127.0.0.1:1 has not answered for" in soundings.broker()
    assert caught == []
    soundings._whole_at -= 100
    assert "100 s behind" in soundings.registry()
    monkeypatch.setattr(soundings, "_sound", lambda _client: None)
    until(lambda: not soundings.broker())
    until(lambda: caught)
    assert soundings.registry() == ""
    soundings.stop()


def test_old_knowledge_of_leaders_is_thrown_away(monkeypatch: pytest.MonkeyPatch) -> None:
    """After a leader has changed, an admin client may be refused for as long as it remembers the old one: a new one is asked."""
    monkeypatch.setattr(soundings_module, "_EVERY_S", 0.01)
    made: list[int] = []

    def admin(_config: object) -> int:
        made.append(len(made))
        return made[-1]

    def sound(_self: object, client: int) -> None:
        if client == 0:
            raise KafkaException(KafkaError(KafkaError.FENCED_LEADER_EPOCH))

    monkeypatch.setattr("hookline.kernel.kafka.admin", admin)
    monkeypatch.setattr(Soundings, "_sound", sound)
    soundings = Soundings(KAFKA, [], lambda _seconds: True)
    soundings.start()
    until(lambda: len(made) == 2 and not soundings.broker())
    soundings.stop()


def test_a_client_that_cannot_be_made_is_made_later(monkeypatch: pytest.MonkeyPatch) -> None:
    """No memory for its threads, say: the complaint says so, and the next question has one."""
    made: list[object] = []

    def make(_config: KafkaConfig) -> object:
        made.append(object())
        if len(made) < 3:
            raise KafkaException(KafkaError(KafkaError._FAIL, "Failed to create background thread"))
        return made[-1]

    monkeypatch.setattr(soundings_module, "_EVERY_S", 0.05)
    monkeypatch.setattr("hookline.kernel.kafka.admin", make)
    soundings = Soundings(KAFKA, [], lambda _seconds: True)
    monkeypatch.setattr(soundings, "_sound", lambda _client: None)
    soundings.start()
    until(lambda: "Failed to create background thread" in soundings.broker())
    until(lambda: len(made) == 3 and not soundings.broker())
    soundings.stop()


def test_depth_and_due_time_of_a_tier() -> None:
    """Depth counts from the lowest unsettled record to the end; the due time is the oldest waiting record's."""
    intake = PaperIntake(delay_s=60)
    object.__setattr__(intake.source, "name", "retry.1m")
    topic, now = TOPICS.retry("1m"), 1_000.0
    waits, works, unseen = (intake.shares.begin(topic, number) for number in range(3))
    waits.put_off, waits.resume_at, waits.due_at = 5, now + 30, now + 30
    for offset in (7, 8):
        intake.shares.take_up(works, message(b"abc", topic=topic, partition=1, offset=offset), offset)
    works.due_at = now - 10
    measure(intake, {waits: 9, works: 20, unseen: 0}, now)
    assert sample("hookline_dispatcher_tier_depth_records", tier="1m") == (9 - 5) + (20 - 7)
    assert sample("hookline_dispatcher_tier_due_seconds", tier="1m") == 30
    assert sample("hookline_dispatcher_lag_records", source="retry.1m") == 17
    assert sample("hookline_dispatcher_pending_bytes", source="retry.1m") == 6
    intake.is_crowded = True
    measure(intake, {waits: 9, works: 20}, now)
    assert sample("hookline_dispatcher_tier_due_seconds", tier="1m") == -10


# ---- settings and sources ----


def environ(**more: str) -> dict[str, str]:
    """Return the least that a dispatcher needs."""
    return {"KAFKA_BOOTSTRAP_SERVERS": "b:9092", "HOOKLINE_SECRET_KEYS": "k:" + "A" * 43 + "=", **more}


def test_settings_have_good_defaults() -> None:
    """With a broker and a key everything else has a default."""
    settings = Settings.read(environ())
    assert settings.dispatch.in_flight == 1_000
    assert settings.lanes.concurrency == 8
    assert settings.dispatch.policy(settings.topics).span_s > 27 * 3_600


@pytest.mark.parametrize(
    ("variable", "text"),
    [
        ("HOOKLINE_PARK_TIERS", "1m,7m"),
        ("HOOKLINE_RETRY_TIERS", "5s,5m"),
        ("HOOKLINE_PARK_TIERS", "5m,1m"),
        ("HOOKLINE_IN_FLIGHT", "0"),
        ("HOOKLINE_RETRY_SHARE", "nan"),
        ("HOOKLINE_RETRY_SCHEDULE", "sometimes"),
        ("HOOKLINE_LANE_RATE", "-1"),
        ("HOOKLINE_PENDING_BYTES", "12"),
        ("HOOKLINE_SECRET_KEYS", "nonsense"),
    ],
)
def test_wrong_settings_are_named(variable: str, text: str) -> None:
    """A value that cannot work is refused at the start, with the variable and a remedy."""
    with pytest.raises(ConfigError) as raised:
        Settings.read(environ(**{variable: text}))
    assert "HOOKLINE_" in raised.value.message
    assert variable.split("_")[1] in raised.value.message
    assert raised.value.remedy


def test_each_source_has_a_group_of_its_own() -> None:
    """Events, replays and every tier are read apart, so that none shares another's fate."""
    sources = [fresh(TOPICS, lambda: True), *again(TOPICS, ["5s", "1m"], lambda: True, time.time)]
    assert [source.name for source in sources] == ["events", "replays", "retry.5s", "retry.1m"]
    assert len({source.group for source in sources}) == 4
    assert [source.delay_s for source in sources] == [0, 0, 5, 60]
    assert [source.barrier is not None for source in sources] == [True] * 4


def test_former_tiers_are_read_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """A tier taken out of the configuration may still hold deliveries: its topic is read as long as it is there."""
    there = ["test.retry.5s", "test.retry.7m", "test.retry.nonsense", "other.retry.9m", "test.replays"]
    fake = SimpleNamespace(list_topics=lambda timeout: SimpleNamespace(topics=dict.fromkeys(there, timeout)))
    monkeypatch.setattr("hookline.kernel.kafka.admin", lambda _config: fake)
    assert tiers_to_read(KAFKA, TOPICS, ("5s", "1m")) == ["5s", "1m", "7m"]


def test_no_broker_is_told_in_our_words(monkeypatch: pytest.MonkeyPatch) -> None:
    """Looking for tiers without a broker is a `HooklineError`."""

    def fail(timeout: float) -> None:
        raise KafkaException(KafkaError(KafkaError._TRANSPORT, f"after {timeout}"))

    monkeypatch.setattr("hookline.kernel.kafka.admin", lambda _config: SimpleNamespace(list_topics=fail))
    with pytest.raises(HooklineError, match="does not answer"):
        tiers_to_read(KAFKA, TOPICS, ("5s",))
