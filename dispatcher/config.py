"""The dispatcher's settings."""

from __future__ import annotations

import math
from dataclasses import dataclass

from hookline.dispatcher.outcome import SCHEDULES, Policy
from hookline.dispatcher.transport.proxy import Proxy, proxy_of
from hookline.kernel.config import integer, number, one_of, setting, words
from hookline.schemas.topics import TopicsConfig, duration_s, tier_names


def schedule_s(text: str) -> tuple[float, ...]:
    """Parse `default`, `long` or delays such as `5s,5m,30m` into seconds."""
    if text in SCHEDULES:
        return SCHEDULES[text]
    delays = tuple(duration_s(part) for part in words(text))
    if not delays:
        raise ValueError("must be default, long or delays such as 5s,5m,30m")
    return delays


@dataclass(frozen=True, slots=True, kw_only=True)
class DispatchConfig:
    """How much is in flight, how often and how late deliveries are tried again."""

    transport: str = setting(
        "HOOKLINE_TRANSPORT",
        "native",
        "who makes the HTTP calls: native, Hookline's own sender, or aiohttp, at several times the CPU",
        one_of("aiohttp", "native"),
    )
    proxy: Proxy | None = setting(  # noqa: RUF009  # like the others: it makes a field, as dataclasses.field does
        "HOOKLINE_PROXY",
        "",
        "http://[user:password@]host:port of the HTTP proxy that all calls leave by, in tunnels (CONNECT) to addresses checked here",
        proxy_of,
        secret=True,
    )
    in_flight: int = setting("HOOKLINE_IN_FLIGHT", "1000", "HTTP calls under way at once in one dispatcher", integer(1, 100_000))
    retry_share: float = setting(
        "HOOKLINE_RETRY_SHARE", "0.5", "part of HOOKLINE_IN_FLIGHT that retries and replays may use", number(0.05, 1)
    )
    pending: int = setting("HOOKLINE_PENDING", "4000", "records taken up and not settled, per kind of source", integer(1, 1_000_000))
    pending_bytes: int = setting(
        "HOOKLINE_PENDING_BYTES", str(32 * 1024 * 1024), "bytes of those records, per kind of source", integer(1_024, 2**40)
    )
    schedule_s: tuple[float, ...] = setting(
        "HOOKLINE_RETRY_SCHEDULE", "default", "default (8 attempts, 27.6 h), long (16 attempts, 75 h) or delays: 5s,5m,30m", schedule_s
    )
    park_tiers: tuple[str, ...] = setting(
        "HOOKLINE_PARK_TIERS", "1m,5m,30m", "retry tiers that parked deliveries climb, a subset of HOOKLINE_RETRY_TIERS", tier_names
    )
    drain_s: float = setting("HOOKLINE_DRAIN_S", "32", "seconds that a stopping dispatcher waits for calls under way", number(0, 600))
    revoke_s: float = setting("HOOKLINE_REVOKE_S", "3", "seconds that a rebalance waits for calls under way", number(0, 60))
    commit_s: float = setting("HOOKLINE_COMMIT_S", "0.5", "seconds between commits", number(0.05, 60))
    poison_limit: int = setting(
        "HOOKLINE_POISON_LIMIT", "100", "undecodable records in a row after which a partition is held", integer(1, 1_000_000)
    )
    max_held_s: float = setting(
        "HOOKLINE_MAX_HELD_S", str(30 * 86_400), "seconds a parked delivery may wait before it is a dead letter", number(1, math.inf)
    )

    def policy(self, topics: TopicsConfig) -> Policy:
        """Return the retry policy over the cluster's tiers."""
        return Policy(schedule_s=self.schedule_s, tiers=topics.retry_tiers)

    def long_policy(self, topics: TopicsConfig) -> Policy:
        """Return the policy of webhooks that asked for the long schedule."""
        return Policy(schedule_s=SCHEDULES["long"], tiers=topics.retry_tiers)
