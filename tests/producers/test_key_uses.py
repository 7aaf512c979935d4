"""When an API key was last used: noted to the hour, once per hour, by whoever sees it, and never in the way of a revocation."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial

import pytest

from hookline.kernel import kafka
from hookline.kernel.clock import to_us
from hookline.kernel.config import load
from hookline.kernel.errors import LimitExceeded, Unauthorized
from hookline.kernel.kafka import KafkaConfig
from hookline.producers.api_keys import MOST_LIVE, ApiKeyConfig, ApiKeys, ApiKeyWriter
from hookline.producers.key_uses import KeyUses
from hookline.schemas.registry import EmbeddedRegistry
from hookline.schemas.topics import Topics, TopicsConfig, create, specs
from hookline.schemas.wire import Codec

pytestmark = pytest.mark.kafka


class Moving:
    """A clock that the test moves."""

    def __init__(self) -> None:
        self.at = datetime(2026, 3, 1, 14, 25, 7, tzinfo=UTC)

    def now(self) -> datetime:
        """Return the wall time."""
        return self.at

    def monotonic(self) -> float:
        """Return the machine's."""
        return time.monotonic()


@dataclass
class Bench:
    """Two processes' views of one topic, and a writer."""

    config: KafkaConfig
    clock: Moving
    one: ApiKeys
    other: ApiKeys
    writer: ApiKeyWriter
    uses: KeyUses
    other_uses: KeyUses

    def records(self) -> int:
        """Return how many records the topic holds."""
        return sum(1 for _ in kafka.scan(self.config, [Topics(self.config.topic_prefix).api_keys]))


@pytest.fixture
def bench(kafka_environ: dict[str, str]) -> Iterator[Bench]:
    """Yield the two on topics of their own."""
    config = load(KafkaConfig, {**kafka_environ, "HOOKLINE_TOPIC_PREFIX": f"u{os.urandom(4).hex()}"})
    topics = Topics(config.topic_prefix)
    create(config, [spec for spec in specs(topics, load(TopicsConfig, kafka_environ)) if spec.name == topics.api_keys], 1)
    registry, secret, clock = EmbeddedRegistry(config), load(ApiKeyConfig, kafka_environ), Moving()
    registry.start()
    codec = Codec(registry)
    one, other = ApiKeys(config, codec, secret, clock), ApiKeys(config, codec, secret, clock)
    one.start()
    other.start()
    writer = ApiKeyWriter(config, codec, secret, one, clock)
    yield Bench(config, clock, one, other, writer, KeyUses(config, codec, one), KeyUses(config, codec, other))
    one.stop()
    other.stop()
    registry.stop()


def settled(condition: Callable[[], object]) -> bool:
    """Wait until a condition holds."""
    deadline = time.monotonic() + 30
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.02)
    return bool(condition())


def test_a_use_is_noted_once_an_hour_for_all_to_see(bench: Bench) -> None:
    """Many uses in an hour are one record; the other process sees it and writes none of its own; the next hour is noted again."""
    key, text = bench.writer.create("shop", ("hooks:read",))
    assert bench.one.last_used_us(key.id) == 0
    for _ in range(50):
        bench.one.verify(text)
    hour = to_us(datetime(2026, 3, 1, 14, tzinfo=UTC))
    assert bench.one.last_used_us(key.id) == hour
    assert bench.uses.write() == 1
    assert settled(lambda: bench.other.last_used_us(key.id) == hour)
    bench.other.verify(text)
    assert bench.other_uses.write() == 0
    assert bench.records() == 2
    bench.clock.at += timedelta(hours=1)
    bench.other.verify(text)
    assert bench.other_uses.write() == 1
    assert settled(lambda: bench.one.last_used_us(key.id) == hour + 3_600_000_000)


def test_noting_a_use_revives_no_revoked_key(bench: Bench) -> None:
    """A process that notes a use after a revocation it has not heard of does not undo it."""
    key, text = bench.writer.create("shop", ("hooks:read",))
    assert settled(lambda: bench.other.get(key.id) is not None)
    bench.other.verify(text)
    bench.writer.revoke(key.id)
    assert bench.other_uses.write() == 1
    assert settled(lambda: bench.one.last_used_us(key.id) > 0)
    for keys in (bench.one, bench.other):
        assert settled(partial(_revoked, keys, key.id))
        with pytest.raises(Unauthorized):
            keys.verify(text)


def _revoked(keys: ApiKeys, key_id: str) -> bool:
    found = keys.get(key_id)
    return found is not None and found.revoked_at_us > 0


def test_what_is_left_is_noted_at_the_stop(bench: Bench) -> None:
    """A process that stops within the minute still notes what it has seen; stopping one that never started is fine."""
    key, text = bench.writer.create("shop", ("hooks:read",))
    bench.uses.start()
    bench.one.verify(text)
    bench.uses.stop()
    assert settled(lambda: bench.other.last_used_us(key.id) > 0)
    bench.other_uses.stop()


def test_live_keys_are_limited_dead_ones_do_not_count(bench: Bench) -> None:
    """The fifty-first live key of a store is refused; expired and revoked ones make room; another store has its own fifty."""
    first, _ = bench.writer.create("shop", ("hooks:read",), lives_s=60)
    for _ in range(MOST_LIVE - 1):
        bench.writer.create("shop", ("hooks:read",))
    with pytest.raises(LimitExceeded):
        bench.writer.create("shop", ("hooks:read",))
    bench.writer.create("another", ("hooks:read",))
    bench.clock.at += timedelta(seconds=61)
    made, _ = bench.writer.create("shop", ("hooks:read",))
    with pytest.raises(LimitExceeded):
        bench.writer.create("shop", ("hooks:read",))
    bench.writer.revoke(made.id)
    bench.writer.create("shop", ("hooks:read",))
    assert bench.one.get(first.id) is not None
