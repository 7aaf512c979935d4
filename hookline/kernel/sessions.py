"""How long Kafka waits for a silent member of a group, and for how long that member may take itself for one.

Under KIP-848 the first is a setting of the group, under the classic protocol of each member.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from confluent_kafka import KafkaException
from confluent_kafka.admin import (  # type: ignore[attr-defined]  # public by its documentation
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
)

from hookline.kernel.errors import HooklineError
from hookline.kernel.kafka import KafkaConfig, admin, heartbeat_ms, translated
from hookline.kernel.log import logger

_log = logger("sessions")
_SETTINGS: Final = {"session": "consumer.session.timeout.ms", "heartbeat": "consumer.heartbeat.interval.ms"}
_WAIT_S: Final = 10.0
_MOST_LEASE_S: Final = 3.0
"""Sessions of 6 s, the least that docs/deploy.md has brokers take, are not outlived, though another process sets them meanwhile."""
_REMEDY: Final = (
    "Kafka's own group.consumer.session.timeout.ms holds: what a killed process read waits that long. Let brokers and controllers take "
    "less (group.consumer.min.session.timeout.ms, group.consumer.min.heartbeat.interval.ms), and this user DescribeConfigs and "
    "AlterConfigs of its groups (deploy/kafka/acls.csv)."
)


def lease_s(config: KafkaConfig, groups: Sequence[str]) -> float:
    """Return for how many seconds after a proof of its membership a member may act on it; have Kafka wait `session_timeout_ms` first.

    For each process that joins groups, before it does; waits for Kafka's answers, 10 s at most for each of two questions.
    Where Kafka refuses, its own settings hold, and the log says what to do; raises nothing. Under the classic protocol nothing
    is asked: members say it as they join.
    """
    if config.group_protocol == "classic":
        return config.session_timeout_ms / 2_000
    pairs = _agreed(config, [f"{config.topic_prefix}.{group}" for group in groups])
    return min(_MOST_LEASE_S, *(_safe_ms(**pair) / 1_000 for pair in pairs))


def _safe_ms(session: int, heartbeat: int) -> float:
    """Return how long nobody else can have a member's partitions: Kafka counts from the last heartbeat, which may be old already."""
    return min(session / 2, max(session - 2 * heartbeat, session / 10))


def _agreed(config: KafkaConfig, names: Sequence[str]) -> list[dict[str, int]]:
    """Return the sessions and intervals of heartbeats, in milliseconds, that may hold for the groups then."""
    ours = {"session": config.session_timeout_ms, "heartbeat": heartbeat_ms(config)}
    held: dict[str, dict[str, int]] = {}
    try:
        client = admin(config)
        held = _held(client, names)
        _ask(client, [name for name in names if held[name] != ours], ours)
    except (HooklineError, KafkaException, TimeoutError, LookupError, TypeError, ValueError) as error:
        _log.warning("sessions.are_kafkas", error=str(error) or type(error).__name__, remedy=_REMEDY, wanted_ms=config.session_timeout_ms)
        return [ours, *held.values()]
    return [ours]


def _held(client: AdminClient, names: Sequence[str]) -> dict[str, dict[str, int]]:
    """Return what holds for each group now; raise `BrokerError`."""
    asked = [ConfigResource(ConfigResource.Type.GROUP, name) for name in names]
    found: dict[str, dict[str, int]] = {}
    for resource, answer in client.describe_configs(asked, request_timeout=_WAIT_S).items():
        with translated():
            entries: Mapping[str, Any] = answer.result(_WAIT_S)
        found[resource.name] = {name: int(entries[setting].value) for name, setting in _SETTINGS.items()}
    return found


def _ask(client: AdminClient, names: Sequence[str], wanted: Mapping[str, int]) -> None:
    """Set groups' settings; raise `BrokerError`."""
    entries = [ConfigEntry(_SETTINGS[name], str(value), incremental_operation=AlterConfigOpType.SET) for name, value in wanted.items()]
    asked = [ConfigResource(ConfigResource.Type.GROUP, name, incremental_configs=entries) for name in names]
    for answer in client.incremental_alter_configs(asked, request_timeout=_WAIT_S).values() if asked else ():
        with translated():
            answer.result(_WAIT_S)
