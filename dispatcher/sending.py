"""From a matched delivery to a finished attempt: lanes, the in-flight budget, the last checks, the call."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Final

from hookline.dispatcher import metrics
from hookline.dispatcher.config import DispatchConfig
from hookline.dispatcher.delivery import Delivery
from hookline.dispatcher.lanes import Lane, Lanes, Verdict
from hookline.dispatcher.letters import Reason
from hookline.dispatcher.matching import Directory
from hookline.dispatcher.outcome import Dead, Delivered, Disable, Policy, Retry, settle
from hookline.dispatcher.settlement import Sent, Settlement
from hookline.dispatcher.signatures import Signatures, shown
from hookline.dispatcher.transport.contract import Failure, Reply, Request, Result, Transport
from hookline.kernel.clock import Clock
from hookline.kernel.errors import HooklineError
from hookline.kernel.log import logger
from hookline.schemas.records import ErrorKind, Trigger
from hookline.webhooks.model import State, Webhook

_log = logger("sending")
_FENCE_S: Final = 0.25


@dataclass(frozen=True, slots=True, kw_only=True)
class Policies:
    """The retry policies a webhook may choose between."""

    default: Policy
    long: Policy

    def of(self, webhook: Webhook) -> Policy:
        """Return the webhook's policy."""
        return self.long if webhook.schedule == "long" else self.default


class Budget:
    """Calls under way at once for one kind of source; what finds no room waits in order."""

    def __init__(self, most: int) -> None:
        self.most = most
        self.used = 0
        self.backlog: deque[Callable[[], None]] = deque()

    def take(self, start: Callable[[], None]) -> None:
        """Start now if there is room, else when there is."""
        if self.used < self.most:
            self.used += 1
            start()
        else:
            self.backlog.append(start)

    def give(self) -> None:
        """Give a place back, to the next in line if there is one."""
        if self.backlog:
            self.backlog.popleft()()
        else:
            self.used -= 1


class Sending:
    """Decides when each delivery is called, calls, and hands the outcome to settlement. Lives on the loop's thread."""

    def __init__(  # noqa: PLR0913  # the parts of the engine, wired once
        self,
        *,
        directory: Directory,
        transport: Transport,
        lanes: Lanes,
        signatures: Signatures,
        settlement: Settlement,
        policies: Policies,
        config: DispatchConfig,
        clock: Clock,
        disable: Callable[[str, str], None],
    ) -> None:
        self._directory = directory
        self._transport = transport
        self._lanes = lanes
        self._signatures = signatures
        self._settlement = settlement
        self._policies = policies
        self._config = config
        self._clock = clock
        self._disable = disable
        self._fresh = Budget(config.in_flight)
        self._again = Budget(max(1, int(config.in_flight * config.retry_share)))
        self._closed = False
        self.in_flight = 0

    def close(self) -> None:
        """Start no more calls; what waits is left unsettled, so that its next owner makes it."""
        self._closed = True

    def submit(self, delivery: Delivery) -> None:
        """Take a delivery: call now, queue in its lane, or park it."""
        if delivery.waiting.trigger is Trigger.TEST:
            self._take(delivery, None)
            return
        webhook = self._wanted(delivery)
        if webhook is None:
            return
        lane = self._lanes.lane(webhook.id)
        match lane.try_take():
            case Verdict.GO:
                self._take(delivery, lane)
            case Verdict.QUEUE:
                lane.queue.append(delivery)
            case Verdict.PARK:
                self._settlement.park(delivery, "lane")

    def _wanted(self, delivery: Delivery) -> Webhook | None:
        """Return the webhook as it is now, or settle the delivery when it must not be called now."""
        webhook = self._directory.get(delivery.waiting.webhook_id)
        if webhook is None or webhook.store_id != delivery.waiting.store_id:
            self._settlement.cancelled(delivery)
            return None
        if delivery.waiting.trigger is Trigger.TEST:
            return webhook
        if webhook.state is State.DISABLED:
            detail = webhook.state_reason or "the webhook is disabled"
            self._settlement.dead_unsent(delivery, webhook, Reason.DISABLED, ErrorKind.DISABLED, detail)
            return None
        if webhook.state is State.PAUSED:
            self._hold(delivery, webhook)
            return None
        return webhook

    def _hold(self, delivery: Delivery, webhook: Webhook) -> None:
        """Park what a paused webhook gets, until it has waited too long."""
        waited_s = self._clock.now().timestamp() - delivery.waiting.first_at_us / 1e6
        if waited_s > self._config.max_held_s:
            self._settlement.dead_unsent(delivery, webhook, Reason.EXPIRED, ErrorKind.EXPIRED, "the webhook stayed paused too long")
        else:
            self._settlement.park(delivery, "paused", webhook)

    def _take(self, delivery: Delivery, lane: Lane | None) -> None:
        budget = self._fresh if delivery.waiting.trigger is Trigger.EVENT and delivery.waiting.attempt == 0 else self._again
        budget.take(partial(self._start, delivery, lane, budget))

    def _start(self, delivery: Delivery, lane: Lane | None, budget: Budget) -> None:
        """Make the last checks and call; every way out gives the lane's and the budget's place back exactly once."""
        if self._closed:
            return
        if not delivery.unit.fit:
            self._fenced(delivery, lane, budget)
            return
        webhook = self._wanted(delivery)
        if webhook is None:
            self._free(lane, budget, ok=None)
            return
        delivery.unit.record.share.under_way += 1
        self.in_flight += 1
        self._call(delivery, webhook, lane, budget)

    def _call(self, delivery: Delivery, webhook: Webhook, lane: Lane | None, budget: Budget) -> None:
        sent_at_us = time.time_ns() // 1_000
        try:
            headers = self._signatures.headers(webhook, delivery)
        except HooklineError as error:  # a key is missing: our fault, not the receiver's
            failure = Failure(ErrorKind.INTERNAL, error.message, 0.0)
            sent = Sent(result=failure, at_us=sent_at_us, url=webhook.url, request_headers="")
            self._finished(delivery, webhook, lane, budget, sent)
            return
        request = Request(url=webhook.url, headers=headers, body=delivery.body, timeout_s=webhook.timeout_s, webhook_id=webhook.id)

        def done(result: Result) -> None:
            sent = Sent(result=result, at_us=sent_at_us, url=webhook.url, request_headers=shown(headers, webhook))
            self._finished(delivery, webhook, lane, budget, sent)

        metrics.QUEUE_WAIT_S.observe(max(0.0, sent_at_us / 1e6 - delivery.ready_at))
        self._transport.send(request, done)

    def _fenced(self, delivery: Delivery, lane: Lane | None, budget: Budget) -> None:
        """Not fit now: drop it when the partition is gone, else look again once the intake has polled."""
        share = delivery.unit.record.share
        if share.open and not share.closing:
            asyncio.get_running_loop().call_later(_FENCE_S, self._start, delivery, lane, budget)
            return
        metrics.FENCED.inc()
        self._free(lane, budget, ok=None)

    def _free(self, lane: Lane | None, budget: Budget, *, ok: bool | None) -> None:
        """Give the places back; `ok` None: nothing was learnt about the receiver."""
        if lane is not None:
            lane.done(ok)
            self._pump(lane)
        budget.give()

    def _pump(self, lane: Lane) -> None:
        """Start or park what waits in the lane."""
        while lane.queue and not self._closed:
            verdict = lane.try_next()
            if verdict is Verdict.QUEUE:
                return
            delivery: Delivery = lane.queue.popleft()
            if verdict is Verdict.GO:
                self._take(delivery, lane)
            else:
                self._settlement.park(delivery, "lane")

    def _finished(self, delivery: Delivery, webhook: Webhook, lane: Lane | None, budget: Budget, sent: Sent) -> None:
        self.in_flight -= 1
        delivery.unit.record.share.under_way -= 1
        result = sent.result
        metrics.RESPONSE_S.observe(result.elapsed_s)
        self._settle(delivery, webhook, sent)
        ok = isinstance(result, Reply) and 200 <= result.status < 300  # noqa: PLR2004  # the class of success
        ours = isinstance(result, Failure) and result.kind is ErrorKind.INTERNAL
        self._free(lane, budget, ok=None if ours else ok)

    def _settle(self, delivery: Delivery, webhook: Webhook, sent: Sent) -> None:
        policy = self._policies.of(webhook)
        outcome = settle(sent.result, delivery.waiting.attempt + 1, policy, self._clock.now())
        match outcome:
            case Delivered():
                self._settlement.delivered(delivery, sent)
            case Retry() if delivery.waiting.trigger is Trigger.TEST:
                self._settlement.dead(delivery, Reason.EXHAUSTED, sent)
            case Retry(delay_s=delay_s):
                self._settlement.retry(delivery, sent, delay_s)
            case Dead():
                self._settlement.dead(delivery, Reason.EXHAUSTED, sent)
            case Disable(reason=reason):
                if delivery.waiting.trigger is not Trigger.TEST:
                    self._disable(webhook.id, reason)
                self._settlement.dead(delivery, Reason.GONE, sent)
