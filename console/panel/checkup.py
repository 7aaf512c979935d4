"""What the failure doctor is told: the webhook, its last calls and faults in the log, what waits for it. Asks ClickHouse."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from hookline.analytics.queries import summed
from hookline.analytics.warehouse import Parameters, Rows
from hookline.console.panel.doctor_evidence import Call, Evidence, Fault
from hookline.console.panel.health import waiting_of
from hookline.console.parts import Parts
from hookline.dispatcher.lanes import LaneConfig
from hookline.schemas.records import ErrorKind, Trigger
from hookline.webhooks.model import State, Webhook

_DAY_US: Final = 86_400_000_000
_BACK_US: Final = 31 * _DAY_US
_WEEK_US: Final = 7 * _DAY_US
_HOUR_US: Final = 3_600_000_000
_LAST: Final = 200
_SPANS_US: Final = (_DAY_US, _BACK_US)
_NOTHING: Final[Mapping[str, str]] = {"error_detail": "", "url": ""}


def evidence_of(parts: Parts, webhook: Webhook, lanes: LaneConfig, now_us: int, letters: int) -> Evidence:
    """Return the evidence about a webhook, looking back 31 days at most; only in `Work.QUERIES`; raise `WarehouseError`.

    `letters` is how many of its dead letters wait for a decision.
    """
    who = {"store_id": webhook.store_id, "webhook_id": webhook.id}
    span: Parameters = {**who, "since_us": now_us - _BACK_US, "until_us": now_us}
    last = _last(parts, span)
    calls = tuple(_call(row) for row in last)
    rows = _faults(parts, span, now_us - _DAY_US)
    good = [row for row in rows if not row["error_kind"]]
    if any(row["error_kind"] == ErrorKind.FILTER and row["recent"] for row in rows):
        last += parts.queries.run("webhook_calls", {**span, "error_kind": ErrorKind.FILTER, "limit": 1})
    newest = {(row["error_kind"], row["http_status"]): row for row in reversed(last)}
    waiting = waiting_of(parts, webhook.store_id, now_us).get(webhook.id)
    return Evidence(
        webhook=webhook,
        now_us=now_us,
        lanes=lanes,
        calls=calls,
        faults=tuple(_fault(row, newest.get((row["error_kind"], row["http_status"]), _NOTHING)) for row in rows if row["error_kind"]),
        well_us=max((row["last_us"] for row in good), default=0),
        recent_well=sum(row["recent"] for row in good),
        waiting=waiting.count if waiting is not None else 0,
        oldest_us=waiting.oldest_us if waiting is not None else 0,
        held=_held(parts, webhook, now_us),
        letters=letters,
        reached=_reached(parts, webhook, now_us, calls),
        reached_since_us=_since(webhook, now_us),
    )


def _last(parts: Parts, span: Parameters) -> Rows:
    """Return the last calls, looked for in ever longer spans: most webhooks had as many within a day."""
    for back_us in _SPANS_US:
        since_us = int(span["until_us"]) - back_us
        rows = parts.queries.run("webhook_calls", {**span, "since_us": since_us, "error_kind": "", "limit": _LAST})
        if len(rows) == _LAST:
            break
    return rows


def _faults(parts: Parts, span: Parameters, recent_us: int) -> Rows:
    """Return the kinds of failure: when there was a success in the last day, no row before that day need be looked at."""
    rows = parts.queries.run("webhook_faults", {**span, "since_us": recent_us, "recent_us": recent_us})
    if any(not row["error_kind"] for row in rows):
        return rows
    return parts.queries.run("webhook_faults", {**span, "recent_us": recent_us})


def _call(row: Mapping[str, Any]) -> Call:
    due_us = row["next_retry_at_us"]
    return Call(
        at_us=row["attempted_at_us"],
        ok=not row["error_kind"],
        kind=row["error_kind"],
        status=row["http_status"],
        took_s=row["response_time_us"] / 1e6,
        wait_s=max(0.0, (due_us - row["attempted_at_us"]) / 1e6) if due_us else 0.0,
        tested=row["trigger"] == Trigger.TEST,
    )


def _fault(row: Mapping[str, Any], newest: Mapping[str, Any]) -> Fault:
    """Return a kind of failure; `newest` is the last row of its kind, if it is among the last calls."""
    return Fault(
        kind=row["error_kind"],
        status=row["http_status"],
        called=bool(row["called"]),
        recent=row["recent"],
        straight=row["straight"],
        began_us=row["began_us"] if row["straight"] else 0,
        last_us=row["last_us"],
        detail=newest["error_detail"],
        url=newest["url"],
    )


def _held(parts: Parts, webhook: Webhook, now_us: int) -> int:
    """Return how many deliveries a pause holds, or still held after it ended; without a pause lately that is not asked."""
    resumed = webhook.state is State.ENABLED and now_us - webhook.state_since_us < _HOUR_US
    if webhook.state is not State.PAUSED and not resumed:
        return 0
    since_us = max(now_us - _BACK_US, (webhook.state_since_us if webhook.state is State.PAUSED else webhook.created_at_us) - _HOUR_US)
    asked: Parameters = {"store_id": webhook.store_id, "webhook_id": webhook.id, "since_us": since_us}
    return sum(int(row["held"]) for row in parts.queries.run("held", asked))


def _reached(parts: Parts, webhook: Webhook, now_us: int, calls: tuple[Call, ...]) -> int | None:
    """Return how many events of its types the store's webhooks got since `_since`; None when this one got some itself in seven days."""
    if any(call.at_us > now_us - _WEEK_US and not call.tested for call in calls):
        return None
    since_us = _since(webhook, now_us) or now_us - _WEEK_US
    if since_us >= now_us:
        return 0
    span: Parameters = {"store_id": webhook.store_id, "webhook_id": "", "since_us": since_us, "until_us": now_us}
    rows = parts.queries.run("statistics", span)
    by_type = summed(rows[0]).by_event_type if rows else {}
    return sum(by_type.get(name, 0) for name in webhook.event_types)


def _since(webhook: Webhook, now_us: int) -> int:
    """Return from when on a filter may be judged: the first whole hour of the webhook as it is, 0 for all seven days.

    Sums are by the hour, so of the hour of the change nothing is counted. A webhook without a filter is not judged by it.
    """
    if not webhook.filter or webhook.updated_at_us <= now_us - _WEEK_US:
        return 0
    return -(-webhook.updated_at_us // _HOUR_US) * _HOUR_US
