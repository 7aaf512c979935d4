"""How the webhooks of a store are doing, each in one line: their sums, what waits for them, and a word for the whole of it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final, Self

from hookline.analytics.queries import percentiles, rate
from hookline.analytics.warehouse import Parameters
from hookline.console.api.deliveries_filter import us_of
from hookline.console.api.statistics import StatisticsAnswer
from hookline.console.parts import Parts
from hookline.webhooks.model import State, Webhook

_HOUR_US: Final = 3_600_000_000
_DAY_US: Final = 24 * _HOUR_US
_LONGEST_WAIT_US: Final = 5 * _DAY_US
"""Longer than any schedule of retries."""
_LONGEST_HELD_US: Final = 31 * _DAY_US
"""Longer than a pause holds anything."""
_FAILING: Final = 0.9
_FAILED_SHARE: Final = 0.05
"""So many failed calls for each delivery are noise."""
_SLOW_S: Final = 5.0
_MORE: Final = ("more_delivered", "more_dead")
_AGAIN: Final = ("made_again", "again_delivered", "again_dead")


@dataclass(frozen=True, slots=True)
class Waiting:
    """Deliveries that wait for their next attempt; `oldest_us` is when the event of the oldest happened, 0 when none waits."""

    count: int = 0
    oldest_us: int = 0


@dataclass(frozen=True, slots=True)
class Ended:
    """How deliveries ended, each counted once by how it ended last, whatever began that. Every rate of the panel is this one."""

    delivered: int
    dead: int

    @classmethod
    def of(cls, sums: Mapping[str, int], more: Mapping[str, int] | None = None) -> Self:
        """Return how the deliveries of a row of sums ended; `more` is their row of `made_again`, None when none ended twice."""
        twice = more or dict.fromkeys(_MORE, 0)
        delivered = sums["delivered"] + sums["again_delivered"] - twice["more_delivered"]
        # Rows and sums are not of the same moment: the rows may have an ending that the sums have not.
        return cls(max(0, delivered), max(0, sums["dead"] + sums["again_dead"] - twice["more_dead"]))

    @property
    def success_rate(self) -> float | None:
        """From 0 to 1, None when nothing ended."""
        return rate(self.delivered, self.delivered + self.dead)


@dataclass(frozen=True, slots=True, kw_only=True)
class Health:
    """A webhook and how it does; `success_rate` is `Ended`'s, None when nothing ended; `given_up` counts every time.

    `held` counts the deliveries that a pause holds. `word` is one of ok, shaky, failing, slow, quiet, paused, disabled.
    """

    webhook: Webhook
    deliveries: int = 0
    delivered: int = 0
    dead: int = 0
    given_up: int = 0
    failed_calls: int = 0
    success_rate: float | None = None
    p95_ms: float | None = None
    waiting: Waiting = Waiting()
    held: int = 0

    @property
    def mended(self) -> bool:
        """Whether deliveries were given up, and all of them delivered in the end: its failed calls ask for nobody any more."""
        return self.given_up > 0 and not self.dead

    @property
    def word(self) -> str:
        """The whole of it."""
        if self.webhook.state is not State.ENABLED:
            return str(self.webhook.state)
        if not self.deliveries and not self.failed_calls:
            return "quiet"
        if not self.delivered or (self.success_rate is not None and self.success_rate < _FAILING):
            return "failing"
        if self.waiting.count or (self.failed_calls > self.delivered * _FAILED_SHARE and not self.mended):
            return "shaky"
        return "slow" if self.p95_ms is not None and self.p95_ms > _SLOW_S * 1_000 else "ok"


def waiting_of(parts: Parts, store_id: str, now_us: int) -> dict[str, Waiting]:
    """Return what waits, by webhook, as it was a moment ago; asks ClickHouse."""
    rows = parts.queries.lately("waiting", {"store_id": store_id, "since_us": now_us - _LONGEST_WAIT_US})
    return {row["webhook_id"]: Waiting(row["waiting"], row["oldest_us"]) for row in rows}


def all_waiting(found: Mapping[str, Waiting]) -> Waiting:
    """Return the sum over webhooks."""
    some = [one for one in found.values() if one.count]
    if not some:
        return Waiting()
    return Waiting(sum(one.count for one in some), min(one.oldest_us for one in some))


def ended_of(parts: Parts, found: StatisticsAnswer) -> Ended:
    """Return how the deliveries of statistics that reach to now ended; asks ClickHouse where something was made again."""
    sums = found.total.model_dump()
    since_us = us_of(found.begins_at) if found.begins_at else 0
    more = _more(parts, [sums], since_us, store_id=found.store_id, webhook_id=found.webhook_id or "")
    return Ended.of(sums, {name: sum(row[name] for row in more.values()) for name in _MORE})


def health_of(parts: Parts, store_id: str, now_us: int, days: int = 1) -> list[Health]:
    """Return the health of each webhook of a store over the last days, in the order of their making; asks ClickHouse up to four times."""
    span: Parameters = {"store_id": store_id, "since_us": now_us - days * _DAY_US, "until_us": now_us}
    rows = {row["webhook_id"]: row for row in parts.queries.lately("statistics_by_webhook", span)}
    more = _more(parts, rows.values(), now_us - days * _DAY_US, store_id=store_id, webhook_id="")
    waiting = waiting_of(parts, store_id, now_us)
    webhooks = sorted(parts.registry.of_store(store_id), key=lambda webhook: (webhook.created_at_us, webhook.id))
    held = _held(parts, webhooks, now_us)
    found = [_health(one, rows.get(one.id), waiting.get(one.id, Waiting()), more.get(one.id)) for one in webhooks]
    return [replace(one, held=held.get(one.webhook.id, 0)) for one in found]


def _held(parts: Parts, webhooks: Iterable[Webhook], now_us: int) -> dict[str, int]:
    """Return what pauses hold, by webhook, as it was a moment ago; nothing is asked where nothing is paused."""
    paused = [one for one in webhooks if one.state is State.PAUSED]
    if not paused:
        return {}
    since_us = max(now_us - _LONGEST_HELD_US, min(one.state_since_us for one in paused) - _HOUR_US)
    asked: Parameters = {"store_id": paused[0].store_id, "webhook_id": "", "since_us": since_us}
    ids = {one.id for one in paused}
    return {row["webhook_id"]: row["held"] for row in parts.queries.lately("held", asked) if row["webhook_id"] in ids}


def _more(parts: Parts, sums: Iterable[Mapping[str, Any]], since_us: int, **whose: str) -> dict[str, Mapping[str, Any]]:
    """Return what sums since an hour count too often, by webhook, as it was a moment ago: most have none, and nothing is asked."""
    if not any(row[name] for row in sums for name in _AGAIN):
        return {}
    return {row["webhook_id"]: row for row in parts.queries.lately("made_again", {**whose, "since_h": since_us // _HOUR_US})}


def _health(webhook: Webhook, row: Mapping[str, Any] | None, waiting: Waiting, more: Mapping[str, Any] | None = None) -> Health:
    if row is None:
        return Health(webhook=webhook, waiting=waiting)
    found = percentiles(row["response_time_s"])
    ended = Ended.of(row, more)
    return Health(
        webhook=webhook,
        deliveries=row["deliveries"],
        delivered=ended.delivered,
        dead=ended.dead,
        given_up=row["dead"] + row["again_dead"],
        failed_calls=row["retrying"] + row["dead"] + row["again_dead"],
        success_rate=ended.success_rate,
        p95_ms=found[1] * 1_000 if found is not None else None,
        waiting=waiting,
    )
