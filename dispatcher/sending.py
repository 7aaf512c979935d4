"""From a matched delivery to a finished attempt: lanes, the in-flight budget, the last checks, the call."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from hookline.dispatcher import metrics, traces
from hookline.dispatcher.budget import Budget, Kind
from hookline.dispatcher.config import DispatchConfig
from hookline.dispatcher.contents import Contents
from hookline.dispatcher.delivery import Delivery
from hookline.dispatcher.faults import Faults
from hookline.dispatcher.gate import Gate
from hookline.dispatcher.lanes import Lane, Lanes, Verdict
from hookline.dispatcher.letters import Reason
from hookline.dispatcher.matching import Directory
from hookline.dispatcher.outcome import Dead, Disable, Policy, Retry, asked_to_wait, settle
from hookline.dispatcher.settlement import Sent, Settlement
from hookline.dispatcher.signatures import Signatures, without_echoes
from hookline.dispatcher.transport.contract import Failure, Reply, Result, Transport
from hookline.kernel.errors import HooklineError, TemplateError
from hookline.kernel.tracing import Tracing
from hookline.schemas.records import ErrorKind, Trigger
from hookline.webhooks.model import Webhook

_FENCE_S: Final = 0.25
_DEFERRALS: Final = 10
# By name in this module: a member that is looked up in its class takes 0.26 µs.
_TEST: Final = Trigger.TEST
_EVENT: Final = Trigger.EVENT
_GO: Final = Verdict.GO
_PROBE: Final = Verdict.PROBE
_QUEUE: Final = Verdict.QUEUE
_SOON: Final = Verdict.SOON
_PARK: Final = Verdict.PARK
_FRESH: Final = Kind.FRESH
_MADE_AGAIN: Final = Kind.AGAIN


@dataclass(frozen=True, slots=True, kw_only=True)
class Policies:
    """The retry policies a webhook may choose between."""

    default: Policy
    long: Policy

    def of(self, webhook: Webhook) -> Policy:
        """Return the webhook's policy."""
        return self.long if webhook.schedule == "long" else self.default


@dataclass(frozen=True, slots=True, kw_only=True)
class SendingParts:
    """What sending works with; `disable(webhook, reason)` and `erased(store id, event id)` return at once.

    `wall` tells the brokers' time in seconds since the epoch: a delivery's age is by that, whatever happens to our clock.
    """

    directory: Directory
    transport: Transport
    lanes: Lanes
    signatures: Signatures
    settlement: Settlement
    policies: Policies
    wall: Callable[[], float]
    faults: Faults
    disable: Callable[[Webhook, str], None]
    erased: Callable[[str, str], bool]
    tracing: Tracing | None = None


@dataclass(slots=True, eq=False)
class _Call:
    """A delivery with a place in its lane (None: a test, which has none), on its way to a place in the budget.

    `over` once the places are given back.
    """

    delivery: Delivery
    lane: Lane | None
    kind: Kind
    probe: bool = False
    over: bool = False


class Sending:
    """Decides when each delivery is called, calls, and hands the outcome to settlement. Lives on the loop's thread.

    Places that become free are handed on by one flat loop (`_run`), never by recursion: thousands may wait.
    """

    def __init__(self, parts: SendingParts, config: DispatchConfig) -> None:
        self._parts = parts
        self._gate = Gate(parts, config.max_held_s)
        self._budget: Budget[_Call] = Budget(config.in_flight, max(1, int(config.in_flight * config.retry_share)))
        self._ready: deque[_Call] = deque()
        self._running = False
        self._queued: dict[Lane, None] = {}
        self._contents = Contents()
        self._closed = False
        self.in_flight = 0

    @property
    def queued(self) -> int:
        """How many deliveries wait in lanes or for the budget."""
        return sum(len(lane.queue) for lane in self._queued) + self._budget.waiting

    def close(self) -> None:
        """Start no more calls; what waits is left unsettled, so that its next owner makes it."""
        self._closed = True

    def submit(self, delivery: Delivery) -> None:
        """Take a delivery: call now, queue in its lane, or park it."""
        if self._closed:
            return
        kind = _kind(delivery)
        if delivery.waiting.trigger is _TEST:
            self._enter(_Call(delivery, None, kind))
            return
        webhook = self._gate.wanted(delivery)
        if webhook is None:
            return
        lane = self._parts.lanes.lane(webhook.id)
        verdict = lane.admit(pressed=self._pressed(delivery, kind))
        if verdict is _GO or verdict is _PROBE:
            self._enter(_Call(delivery, lane, kind, probe=verdict is _PROBE), webhook)
        elif verdict is _QUEUE:
            lane.enqueue(delivery)
            self._queued[lane] = None
        elif verdict is _SOON and delivery.waiting.parked < _DEFERRALS:
            self._parts.settlement.defer(delivery)
        else:
            self._gate.park(delivery, webhook)

    def turned_away(self, delivery: Delivery) -> bool:
        """Settle a delivery that could not be called now anyway, and tell whether it was: its event need not be decoded."""
        if delivery.waiting.trigger is _TEST:
            return False
        webhook = self._gate.wanted(delivery)
        if webhook is not None and not self._parts.lanes.lane(webhook.id).shut:
            return False
        if webhook is not None:
            self._gate.park(delivery, webhook)
        return True

    def tick(self) -> None:
        """Look after the lanes in which deliveries wait; call it a few times a second.

        A receiver that fell silent loses its queue to Kafka; a lane that rested, or is held to a rate, goes on.
        """
        for lane in list(self._queued):
            self._trim(lane)
            self._pump(lane)
        self._run()

    def _trim(self, lane: Lane) -> None:
        while lane.queue and not self._closed:
            delivery: Delivery = lane.queue[-1]
            lost = delivery.unit.lost
            if not lost and not (delivery.unit.fit and lane.surplus(pressed=self._pressed(delivery, _kind(delivery)))):
                return
            lane.queue.pop()
            self._park_queued(delivery)

    def _pressed(self, delivery: Delivery, kind: Kind) -> bool:
        return self._budget.pressed(kind) or delivery.unit.intake.crowded

    def _park_queued(self, delivery: Delivery) -> None:
        """Park what waited in its lane, or drop what is another dispatcher's by now: a zombie must not even park."""
        if delivery.unit.lost:
            metrics.FENCED.inc()
            return
        try:
            webhook = self._gate.wanted(delivery)
            if webhook is not None:
                self._gate.park(delivery, webhook)
        except Exception as error:  # noqa: BLE001  # its offset stays; who hands places on goes on
            self._parts.faults.caught("sending", error)

    # ---- places ----

    def _enter(self, call: _Call, asked: Webhook | None = None) -> None:
        """Wait for a place in the budget, or go on with one.

        `asked` is the webhook where everything but the lease has been asked a moment ago, and need not be once more.
        """
        if not self._budget.take(call.kind, call):
            return
        if asked is None or self._running or not call.delivery.unit.fit:
            self._ready.append(call)
            self._run()
        else:
            self._run(call, asked)

    def _run(self, call: _Call | None = None, webhook: Webhook | None = None) -> None:
        """Make a call, then start what has both its places; what that frees joins the same loop."""
        if self._running:
            return
        self._running = True
        try:
            if call is not None and webhook is not None:
                self._call(call, webhook)
            while self._ready and not self._closed:
                self._start(self._ready.popleft())
        finally:
            self._running = False

    def _leave(self, call: _Call) -> None:
        """Give back the places of a call that was not made, once."""
        if call.over:
            return
        call.over = True
        if call.lane is not None:
            call.lane.leave(probe=call.probe)
        self._hand_on(call)

    def _hand_on(self, call: _Call) -> None:
        """Give the budget's place to the next in line, then let the lane go on."""
        following = self._budget.give(call.kind)
        if following is not None:
            self._ready.append(following)
        if call.lane is not None and call.lane.queue:
            self._pump(call.lane)
        if self._ready:
            self._run()

    def _pump(self, lane: Lane) -> None:
        """Start or park what waits in the lane, as far as it may."""
        while lane.queue and not self._closed:
            delivery: Delivery = lane.queue[0]
            if not delivery.unit.fit and not delivery.unit.lost:
                return  # `tick` comes again
            verdict = lane.next(pressed=self._pressed(delivery, _kind(delivery)))
            if verdict is _QUEUE:
                return
            lane.queue.popleft()
            if verdict is _PARK:
                self._park_queued(delivery)
            else:
                self._enter(_Call(delivery, lane, _kind(delivery), probe=verdict is _PROBE))
        if not lane.queue:
            self._queued.pop(lane, None)

    # ---- the call ----

    def _start(self, call: _Call) -> None:
        """Make the last checks and call; every way out gives the places back exactly once."""
        try:
            webhook = self._fit(call)
        except Exception as error:  # noqa: BLE001  # the main loop of deliveries: one must not stop the others
            self._parts.faults.caught("sending", error)
            self._leave(call)
            return
        if webhook is not None:
            self._call(call, webhook)

    def _fit(self, call: _Call) -> Webhook | None:
        """Return the webhook to call, or see to the call that must not, or not yet, be made."""
        delivery = call.delivery
        if not delivery.unit.fit:
            if delivery.unit.lost:
                metrics.FENCED.inc()
                self._leave(call)
            else:  # look again once the intake has polled
                asyncio.get_running_loop().call_later(_FENCE_S, self._again, call)
            return None
        webhook = self._gate.wanted(delivery)
        if webhook is not None and self._gives_way(call):
            self._gate.park(delivery, webhook)
            webhook = None
        if webhook is None:
            self._leave(call)
        return webhook

    def _gives_way(self, call: _Call) -> bool:
        """Tell whether its receiver has proved dead or slow while the call waited for the budget."""
        return call.lane is not None and not call.probe and call.lane.gives_way(pressed=self._budget.pressed(call.kind, mine=1))

    def _again(self, call: _Call) -> None:
        self._ready.append(call)
        self._run()

    def _call(self, call: _Call, webhook: Webhook) -> None:
        call.delivery.begin()
        self.in_flight += 1
        if call.lane is not None:
            call.lane.began()
        try:
            self._made(call, webhook, time.time_ns() // 1_000)
        except Exception as error:  # noqa: BLE001  # the main loop of deliveries: one must not stop the others, nor keep its places
            self._failed(call, error)

    def _made(self, call: _Call, webhook: Webhook, sent_at_us: int) -> None:
        """Sign and send; what it raises is ours."""
        delivery = call.delivery
        span = traces.begin(self._parts.tracing, delivery, webhook) if self._parts.tracing is not None else None
        try:
            trace = span.traceparent if span is not None else None
            content = self._contents.of(webhook.template, delivery.body) if webhook.template else None
            request, headers = self._parts.signatures.request(webhook, delivery, trace, content)
        except HooklineError as error:  # the template fails, or a key is missing: not the receiver's fault
            failure = Failure(ErrorKind.TEMPLATE if isinstance(error, TemplateError) else ErrorKind.INTERNAL, error.message, 0.0)
            if span is not None:
                traces.end(span, failure)
            self._finished(call, webhook, Sent(result=failure, at_us=sent_at_us, url=webhook.url, request_headers=""))
            return

        def done(result: Result) -> None:
            try:
                if span is not None:
                    traces.end(span, result)
                told = without_echoes(result, request.headers, webhook)
                self._finished(call, webhook, Sent(result=told, at_us=sent_at_us, url=webhook.url, request_headers=headers))
            except Exception as error:  # noqa: BLE001  # the offset stays; the places must not
                self._failed(call, error)

        metrics.QUEUE_WAIT_S.observe(max(0.0, sent_at_us / 1e6 - delivery.ready_at))
        self._parts.transport.send(request, done)

    def _failed(self, call: _Call, error: Exception) -> None:
        """Give back the places of a call that an error of ours struck: it stays unsettled, so that its next owner makes it."""
        self._parts.faults.caught("sending", error)
        if call.over:
            return
        call.over = True
        _let_go(call.delivery)
        self.in_flight -= 1
        if call.lane is not None:
            call.lane.done(None, 0.0, probe=call.probe)
        self._hand_on(call)

    def _finished(self, call: _Call, webhook: Webhook, sent: Sent) -> None:
        if call.over:
            return
        call.over = True
        result = sent.result
        self.in_flight -= 1
        ok = isinstance(result, Reply) and 200 <= result.status < 300  # noqa: PLR2004  # the class of success
        try:
            if ok:
                self._delivered(call, sent)
            else:
                self._settle(call, webhook, sent)
        except Exception as error:  # noqa: BLE001  # the offset stays; the places must not
            self._parts.faults.caught("settling", error)
            _let_go(call.delivery)
        ours = isinstance(result, Failure) and (result.kind is ErrorKind.INTERNAL or result.kind is ErrorKind.TEMPLATE)
        if not ours:
            metrics.RESPONSE_S.observe(result.elapsed_s)
        if call.lane is not None:
            call.lane.done(None if ours else ok, result.elapsed_s, probe=call.probe)
        self._hand_on(call)

    def _delivered(self, call: _Call, sent: Sent) -> None:
        waiting = call.delivery.waiting
        self._parts.settlement.delivered(call.delivery, sent)
        if waiting.attempt == 0 and waiting.trigger is _EVENT:
            metrics.RECEIVED_S.observe(max(0.0, self._parts.wall() - waiting.source.timestamp_ms / 1_000))

    def _settle(self, call: _Call, webhook: Webhook, sent: Sent) -> None:
        """Have what was not delivered made again, or given up."""
        delivery, settlement = call.delivery, self._parts.settlement
        testing = delivery.waiting.trigger is _TEST
        now = datetime.fromtimestamp(self._parts.wall(), UTC)
        match settle(sent.result, delivery.waiting.attempt + 1, self._parts.policies.of(webhook), now):
            case Retry(delay_s=delay_s) if not testing:
                settlement.retry(delivery, sent, delay_s)
                rest_s = asked_to_wait(sent.result, now)
                if call.lane is not None and rest_s:
                    call.lane.rest(rest_s)
            case Retry() | Dead():
                settlement.dead(delivery, Reason.EXHAUSTED, sent)
            case Disable(reason=reason):
                if not testing:
                    self._parts.disable(webhook, reason)
                settlement.dead(delivery, Reason.GONE, sent)


def _let_go(delivery: Delivery) -> None:
    """Have no rebalance wait for a delivery that may never be durable."""
    if delivery.begun:
        delivery.begun = False
        delivery.unit.record.share.under_way -= 1


def _kind(delivery: Delivery) -> Kind:
    waiting = delivery.waiting
    fresh = waiting.trigger is _EVENT and not waiting.attempt and not waiting.parked
    return _FRESH if fresh else _MADE_AGAIN
