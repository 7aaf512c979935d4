"""What an intake reads, how much of it at once, and where it goes."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Protocol

from hookline.kernel import kafka
from hookline.kernel.log import logger
from hookline.schemas.topics import Topics, duration_s

if TYPE_CHECKING:
    from hookline.dispatcher.intake import Intake
    from hookline.dispatcher.shares import Record

_log = logger("source")
_FRESH_KBYTES: Final = 16_384
_AGAIN_KBYTES: Final = 4_096
_LEAST_WAIT_MS: Final = 100
_MOST_WAIT_MS: Final = 500
_OF_THE_DELAY: Final = 50


class Sink(Protocol):
    """Takes a batch of records; called on the intake's thread, must hand over and return."""

    def __call__(self, intake: Intake, records: list[Record]) -> None:
        """Take the records."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """What an intake reads: its name (a metric label), topics, group, and how long records wait until they are due.

    `barrier` is asked before each batch; while it says no, nothing is taken up. `wall` is the brokers' time.
    """

    name: str
    topics: Sequence[str]
    group: str
    delay_s: float = 0.0
    barrier: Callable[[], bool] | None = None
    wall: Callable[[], float] = time.time
    prefetch_kbytes: int = _FRESH_KBYTES

    @property
    def fetch_wait_ms(self) -> int:
        """How long the broker may hold a fetch that finds nothing: a partition that was paused joins in only with the next one."""
        return max(_LEAST_WAIT_MS, min(_MOST_WAIT_MS, int(self.delay_s * 1_000 / _OF_THE_DELAY))) if self.delay_s else _MOST_WAIT_MS


@dataclass(frozen=True, slots=True, kw_only=True)
class IntakeLimits:
    """Records and bytes pending at most; seconds between commits; that a rebalance waits; without a poll that end the lease."""

    pending: int
    pending_bytes: int
    commit_s: float
    revoke_s: float
    lease_s: float


def fresh(topics: Topics, barrier: Callable[[], bool]) -> Source:
    """Return the source of fresh events."""
    return Source(name="events", topics=topics.all_events(), group="dispatch", barrier=barrier)


def again(topics: Topics, tiers: Sequence[str], barrier: Callable[[], bool], wall: Callable[[], float]) -> list[Source]:
    """Return the sources of what is made again: replays, which wait for nothing but the barrier, and one per retry tier.

    A retry needs the barrier as a fresh event does: another dispatcher, which knew the webhook sooner, may have made it. Each has
    its own consumer group, so that a tier of ten hours shares no fate with one of five seconds.
    """
    replays = Source(name="replays", topics=[topics.replays], group="dispatch.replays", barrier=barrier, prefetch_kbytes=_AGAIN_KBYTES)
    return [replays, *(_tier(topics, tier, barrier, wall) for tier in tiers)]


def _tier(topics: Topics, tier: str, barrier: Callable[[], bool], wall: Callable[[], float]) -> Source:
    return Source(
        name=f"retry.{tier}",
        topics=[topics.retry(tier)],
        group=f"dispatch.retry.{tier}",
        delay_s=duration_s(tier),
        barrier=barrier,
        wall=wall,
        prefetch_kbytes=_AGAIN_KBYTES,
    )


def tiers_to_read(config: kafka.KafkaConfig, topics: Topics, configured: Sequence[str]) -> list[str]:
    """Return the configured tiers, and those that were taken out of the configuration and may still hold deliveries.

    Raises `BrokerError`.
    """
    prefix = topics.retry("")
    with kafka.translated():
        there = kafka.admin(config).list_topics(timeout=10).topics
    former = sorted({n.removeprefix(prefix) for n in there if n.startswith(prefix)} - set(configured))
    former = [tier for tier in former if _is_tier(tier)]
    if former:
        _log.warning("source.former_tiers", tiers=former)
    return [*configured, *former]


def _is_tier(text: str) -> bool:
    try:
        return duration_s(text) > 0
    except ValueError:
        return False
