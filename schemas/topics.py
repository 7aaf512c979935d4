"""The topics: their names, keys, partitions and configurations, and the command that creates them."""

from __future__ import annotations

import time
from concurrent.futures import Future
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import (  # type: ignore[attr-defined]  # public by its documentation
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    NewTopic,
)

from hookline.kernel.config import integer, setting, words
from hookline.kernel.errors import BrokerError
from hookline.kernel.kafka import KafkaConfig, admin, translate, translated

CATEGORIES: Final = ("orders", "products", "checkout", "customers")
SCHEMAS: Final = "_schemas"
DAY_MS: Final = 86_400_000
MIN_INSYNC: Final = "min.insync.replicas"
_COPIES_FOR_TWO: Final = 3
EVENT_PARTITIONS: Final = "HOOKLINE_EVENT_PARTITIONS"
RETRY_PARTITIONS: Final = "HOOKLINE_RETRY_PARTITIONS"
ATTEMPT_PARTITIONS: Final = "HOOKLINE_ATTEMPT_PARTITIONS"
_UNITS_S: Final = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3_600.0, "d": 86_400.0}


def duration_s(text: str) -> float:
    """Parse `250ms`, `5s`, `1m`, `2h` or `1d` into seconds; raise `ValueError`."""
    for unit in ("ms", "s", "m", "h", "d"):
        digits = text.removesuffix(unit)
        if digits != text and digits.isascii() and digits.isdigit() and int(digits) > 0:
            return int(digits) * _UNITS_S[unit]
    raise ValueError(f"{text!r} is no duration such as 5s, 1m or 2h")


def tier_names(text: str) -> tuple[str, ...]:
    """Parse `5s,1m,5m`: at least one tier, each longer than the one before."""
    names = words(text)
    delays = [duration_s(name) for name in names]
    if not delays or any(b <= a for a, b in pairwise(delays)):
        raise ValueError("tiers must be durations in growing order, such as 5s,1m,5m")
    return names


@dataclass(frozen=True, slots=True, kw_only=True)
class TopicsConfig:
    """How many partitions, how long records stay, which retry tiers there are."""

    event_partitions: int = setting(EVENT_PARTITIONS, "6", "partitions of each event topic", integer(1, 10_000))
    retry_partitions: int = setting(RETRY_PARTITIONS, "3", "partitions of each retry topic and of replays", integer(1, 10_000))
    attempt_partitions: int = setting(ATTEMPT_PARTITIONS, "3", "partitions of the attempts topic", integer(1, 10_000))
    replication_factor: int = setting(
        "HOOKLINE_REPLICATION_FACTOR", "3", "copies of each partition; 1 with a single broker", integer(1, 10)
    )
    retention_days: int = setting("HOOKLINE_RETENTION_DAYS", "30", "days that events and the log are kept", integer(1, 3_650))
    retry_tiers: tuple[str, ...] = setting(
        "HOOKLINE_RETRY_TIERS", "5s,1m,5m,30m,2h,5h,10h", "delays of the retry topics, growing", tier_names
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class TopicSpec:
    """One topic as it should be; `config` is what does not hang on the number of copies.

    `partitions_from`: the variable that sets the partitions, empty where nothing does.
    """

    name: str
    partitions: int
    config: dict[str, str]
    partitions_from: str = ""

    def config_with(self, copies: int) -> dict[str, str]:
        """Return the whole configuration of the topic with so many copies of each partition."""
        return {**self.config, MIN_INSYNC: str(min_insync(copies))}


def min_insync(copies: int) -> int:
    """Return how many copies must have a record before it is acknowledged: 2 of 3 or more, so that no lost disk takes it away, else 1."""
    return 2 if copies >= _COPIES_FOR_TWO else 1  # 2 of 2 would refuse all writes while one broker restarts


@dataclass(frozen=True, slots=True)
class Topics:
    """The names under one prefix."""

    prefix: str

    def events(self, category: str) -> str:
        """Return the event topic of a category."""
        return f"{self.prefix}.events.{category}"

    def all_events(self) -> list[str]:
        """Return the four event topics."""
        return [self.events(category) for category in CATEGORIES]

    def retry(self, tier: str) -> str:
        """Return the retry topic of a tier such as `5m`."""
        return f"{self.prefix}.retry.{tier}"

    def dead_letters(self, category: str) -> str:
        """Return the dead-letter topic of a category."""
        return f"{self.prefix}.dead-letters.{category}"

    def all_dead_letters(self) -> list[str]:
        """Return the four dead-letter topics."""
        return [self.dead_letters(category) for category in CATEGORIES]

    def category_of(self, topic: str) -> str:
        """Return the category of an event or dead-letter topic; raise `ValueError` for another topic."""
        category = topic.rpartition(".")[2]
        if category not in CATEGORIES:
            raise ValueError(f"{topic} belongs to no category")
        return category

    @property
    def replays(self) -> str:
        """Deliveries made again: resend, replay, test."""
        return f"{self.prefix}.replays"

    @property
    def attempts(self) -> str:
        """One record per attempt or explained skip."""
        return f"{self.prefix}.attempts"

    @property
    def attempts_rejected(self) -> str:
        """Attempt records that the sink could not read, as they were, with the reason in headers."""
        return f"{self.prefix}.attempts.rejected"

    @property
    def webhooks(self) -> str:
        """Compacted: the state of every webhook."""
        return f"{self.prefix}.webhooks"

    @property
    def api_keys(self) -> str:
        """Compacted: the state of every API key."""
        return f"{self.prefix}.api-keys"

    @property
    def jobs(self) -> str:
        """Compacted: replay jobs."""
        return f"{self.prefix}.jobs"

    @property
    def users(self) -> str:
        """Compacted: the people who may sign in to the panel, and their sessions."""
        return f"{self.prefix}.users"

    @property
    def erasures(self) -> str:
        """Compacted: events that were erased on the word of the person they are about."""
        return f"{self.prefix}.erasures"

    @property
    def audit(self) -> str:
        """Who changed what."""
        return f"{self.prefix}.audit"


def specs(topics: Topics, config: TopicsConfig) -> list[TopicSpec]:
    """Return every topic of a cluster, in the order of their names' kinds."""
    kept = str(config.retention_days * DAY_MS)
    logged = {"cleanup.policy": "delete", "retention.ms": kept}
    # Due times are broker time + delay, so producers' clocks cannot park a record for years. What a webhook gets counts from
    # the brokers' stamp too, since events carry it: the clock of who creates it may be wrong.
    broker_time = {"message.timestamp.type": "LogAppendTime"}
    stamped = {**logged, **broker_time}
    compacted = {"cleanup.policy": "compact", "min.compaction.lag.ms": "3600000", "delete.retention.ms": str(7 * DAY_MS)}
    large = {"max.message.bytes": str(2 * 1024 * 1024)}
    states = (topics.api_keys, topics.jobs, topics.users, topics.erasures, SCHEMAS)
    carried = {**stamped, **large}
    again = [*(topics.retry(tier) for tier in config.retry_tiers), topics.replays, *topics.all_dead_letters()]
    return [
        *(
            TopicSpec(name=n, partitions=config.event_partitions, config=carried, partitions_from=EVENT_PARTITIONS)
            for n in topics.all_events()
        ),
        *(TopicSpec(name=n, partitions=config.retry_partitions, config=carried, partitions_from=RETRY_PARTITIONS) for n in again),
        TopicSpec(name=topics.attempts, partitions=config.attempt_partitions, config=logged, partitions_from=ATTEMPT_PARTITIONS),
        TopicSpec(name=topics.attempts_rejected, partitions=1, config=logged),
        TopicSpec(name=topics.webhooks, partitions=1, config={**compacted, **broker_time}),
        *(TopicSpec(name=n, partitions=1, config=compacted) for n in states),
        TopicSpec(name=topics.audit, partitions=1, config={"cleanup.policy": "delete", "retention.ms": "-1"}),
    ]


def create(kafka: KafkaConfig, wanted: list[TopicSpec], replication_factor: int) -> list[str]:
    """Create the topics that are missing, leave the others as they are, return the names created; raise `BrokerError`."""
    client = admin(kafka)
    new = [
        NewTopic(s.name, num_partitions=s.partitions, replication_factor=replication_factor, config=s.config_with(replication_factor))
        for s in wanted
    ]
    futures: dict[str, Future[None]] = client.create_topics(new, operation_timeout=30)
    created = [name for name, future in futures.items() if _created(name, future)]
    _wait_until_visible(client_names=lambda: set(client.list_topics(timeout=10).topics), names=set(created))
    return created


@dataclass(frozen=True, slots=True)
class Kept:
    """How long a topic keeps its records, and how long it should; milliseconds, -1: for ever."""

    topic: str
    now_ms: int
    wanted_ms: int


def retentions(kafka: KafkaConfig, wanted: list[TopicSpec]) -> list[Kept]:
    """Return what the topics that exist keep and should keep, of those that do not keep all; raise `BrokerError`."""
    client = admin(kafka)
    specs_of = {spec.name: int(spec.config["retention.ms"]) for spec in wanted if "retention.ms" in spec.config}
    there = set(client.list_topics(timeout=10).topics)
    asked = [ConfigResource(ConfigResource.Type.TOPIC, name) for name in specs_of if name in there]
    found: list[Kept] = []
    for resource, future in client.describe_configs(asked).items():
        with translated():
            entries = future.result(30)
        found.append(Kept(resource.name, int(entries["retention.ms"].value), specs_of[resource.name]))
    return sorted(found, key=lambda kept: kept.topic)


def retain(kafka: KafkaConfig, those: list[Kept]) -> None:
    """Have topics keep their records for as long as they should; raise `BrokerError`."""
    changes = [
        ConfigResource(
            ConfigResource.Type.TOPIC,
            kept.topic,
            incremental_configs=[ConfigEntry("retention.ms", str(kept.wanted_ms), incremental_operation=AlterConfigOpType.SET)],
        )
        for kept in those
    ]
    if not changes:
        return
    client = admin(kafka)  # held: what it does ends with it
    for future in client.incremental_alter_configs(changes).values():
        with translated():
            future.result(30)


def _created(name: str, future: Future[None]) -> bool:
    try:
        future.result(60)
    except KafkaException as error:
        cause: KafkaError = error.args[0]
        if cause.code() == KafkaError.TOPIC_ALREADY_EXISTS:
            return False
        found = translate(cause)
        raise BrokerError(f"Topic {name} cannot be created: {found.message}", remedy=found.remedy) from error
    return True


def _wait_until_visible(client_names: object, names: set[str], timeout_s: float = 15.0) -> None:
    """Wait until the brokers' metadata show the new topics: producers would otherwise see them late."""
    deadline = time.monotonic() + timeout_s
    while callable(client_names) and not names <= client_names() and time.monotonic() < deadline:
        time.sleep(0.05)
