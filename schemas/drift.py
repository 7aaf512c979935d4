"""Topics as they are against topics as they should be: what differs, and mending what can be mended while everything runs."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from confluent_kafka.admin import (  # type: ignore[attr-defined]  # public by its documentation
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    NewPartitions,
)

from hookline.kernel.kafka import KafkaConfig, admin, translated
from hookline.schemas.topics import MIN_INSYNC, TopicSpec, create

_WAIT_S: Final = 30.0
_VISIBLE_S: Final = 15.0


class Action(StrEnum):
    """What a difference asks for; `BY_HAND` ones Kafka does not change, or not without moving data."""

    CREATE = "create"
    CHANGE = "change"
    BY_HAND = "by hand"


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """One thing of a topic that is not as it should be; `now` is empty for a topic that is not there."""

    action: Action
    topic: str
    what: str
    now: str
    wanted: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """A topic as the brokers have it."""

    partitions: int
    copies: int
    config: Mapping[str, str]


PARTITIONS: Final = "partitions"
COPIES: Final = "copies"


def differences(found: Mapping[str, Found], wanted: Iterable[TopicSpec], copies: int) -> list[Difference]:
    """Return how topics differ from what is wanted, in its order; settings that nobody wants are left alone. Pure."""
    return [difference for spec in wanted for difference in _of(spec, found.get(spec.name), copies)]


def _of(spec: TopicSpec, found: Found | None, copies: int) -> Iterable[Difference]:
    if found is None:
        yield Difference(action=Action.CREATE, topic=spec.name, what=PARTITIONS, now="", wanted=str(spec.partitions))
        return
    if found.partitions != spec.partitions:
        action = Action.CHANGE if found.partitions < spec.partitions else Action.BY_HAND  # Kafka takes none away
        yield _difference(action, spec, PARTITIONS, found.partitions, spec.partitions)
    if found.copies != copies:
        yield _difference(Action.BY_HAND, spec, COPIES, found.copies, copies)
    for name, value in spec.config_with(copies).items():
        if found.config.get(name) != value:
            # Two acknowledgements asked of a topic that has one copy would refuse every write: first the copies, then this.
            by_hand = name == MIN_INSYNC and found.copies != copies
            yield _difference(Action.BY_HAND if by_hand else Action.CHANGE, spec, name, found.config.get(name, ""), value)


def _difference(action: Action, spec: TopicSpec, what: str, now: object, wanted: object) -> Difference:
    return Difference(action=action, topic=spec.name, what=what, now=str(now), wanted=str(wanted))


def remedies(these: Iterable[Difference], wanted: Iterable[TopicSpec]) -> list[str]:
    """Return what a person can do about the differences that are to be mended by hand, a sentence or two each. Pure."""
    by_hand = [difference for difference in these if difference.action is Action.BY_HAND]
    setting_of = {spec.name: spec.partitions_from for spec in wanted}
    most: dict[str, int] = {}
    said: list[str] = []
    for one in by_hand:
        if one.what == PARTITIONS and (setting := setting_of[one.topic]):
            most[setting] = max(most.get(setting, 0), int(one.now))
        elif one.what == PARTITIONS:
            said.append(f"{one.topic} needs {one.wanted} partition, and no setting changes that: make it anew, as docs/backup.md tells.")
    said += [f"Kafka takes no partitions away: set {setting}={count}, the number there is." for setting, count in most.items()]
    if any(one.what == COPIES for one in by_hand):
        said.append("Copies move data: use Kafka's kafka-reassign-partitions.sh, or set HOOKLINE_REPLICATION_FACTOR to what there is.")
    if any(one.what == MIN_INSYNC for one in by_hand):
        said.append(f"Once the copies are there, `hookline topics apply` sets {MIN_INSYNC}.")
    return said


def look(kafka: KafkaConfig, wanted: Iterable[TopicSpec]) -> dict[str, Found]:
    """Return those of the wanted topics that exist; raise `BrokerError`."""
    client = admin(kafka)
    with translated():
        there = client.list_topics(timeout=_WAIT_S).topics
    names = [spec.name for spec in wanted if spec.name in there and there[spec.name].error is None]
    asked = [ConfigResource(ConfigResource.Type.TOPIC, name) for name in names]
    answers: dict[ConfigResource, Future[dict[str, Any]]] = client.describe_configs(asked) if asked else {}
    found: dict[str, Found] = {}
    for resource, future in answers.items():
        with translated():
            entries = future.result(_WAIT_S)
        partitions = there[resource.name].partitions
        copies = min((len(one.replicas) for one in partitions.values()), default=0)
        config = {name: str(entry.value) for name, entry in entries.items()}
        found[resource.name] = Found(partitions=len(partitions), copies=copies, config=config)
    return found


def mend(kafka: KafkaConfig, these: Iterable[Difference], wanted: Iterable[TopicSpec], copies: int) -> None:
    """Create, widen and set what can be, and wait up to 15 s until the brokers show it; leave what is to be done by hand.

    Raises `BrokerError` at the first refusal.
    """
    wanted = list(wanted)
    left = [difference for difference in these if difference.action is not Action.BY_HAND]
    missing = {difference.topic for difference in left if difference.action is Action.CREATE}
    if missing:
        create(kafka, [spec for spec in wanted if spec.name in missing], copies)
    client = admin(kafka)
    changes = [difference for difference in left if difference.action is Action.CHANGE]
    _widen(client, [change for change in changes if change.what == PARTITIONS])
    _set(client, [change for change in changes if change.what != PARTITIONS])
    _wait_until_visible(kafka, set(changes), wanted, copies)


def _wait_until_visible(kafka: KafkaConfig, changes: set[Difference], wanted: list[TopicSpec], copies: int) -> None:
    """Wait until brokers tell of what the controller has taken: a plan right after would otherwise show it once more."""
    touched = {change.topic for change in changes}
    mended = [spec for spec in wanted if spec.name in touched]
    deadline = time.monotonic() + _VISIBLE_S
    while changes & set(differences(look(kafka, mended), mended, copies)) and time.monotonic() < deadline:
        time.sleep(0.05)


def _widen(client: AdminClient, changes: list[Difference]) -> None:
    if changes:
        answers = client.create_partitions([NewPartitions(change.topic, int(change.wanted)) for change in changes])
        _all(answers.values())


def _set(client: AdminClient, changes: list[Difference]) -> None:
    entries: dict[str, list[ConfigEntry]] = {}
    for change in changes:
        entry = ConfigEntry(change.what, change.wanted, incremental_operation=AlterConfigOpType.SET)
        entries.setdefault(change.topic, []).append(entry)
    resources = [ConfigResource(ConfigResource.Type.TOPIC, topic, incremental_configs=found) for topic, found in entries.items()]
    if resources:
        _all(client.incremental_alter_configs(resources).values())


def _all(answers: Iterable[Future[None]]) -> None:
    for future in answers:
        with translated():
            future.result(_WAIT_S)
