"""A `Sending` with everything around it in a test's hands."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

from hookline.dispatcher.delivery import Delivery, Unit
from hookline.dispatcher.faults import Faults
from hookline.dispatcher.lanes import LaneConfig, Lanes
from hookline.dispatcher.outcome import SCHEDULES, Policy
from hookline.dispatcher.sending import Policies, Sending, SendingParts
from hookline.dispatcher.shares import Share
from hookline.dispatcher.signatures import Signatures
from hookline.kernel.config import load
from hookline.kernel.tracing import Tracing
from hookline.schemas.records import Attempt
from hookline.webhooks.model import Webhook
from hookline.webhooks.secrets import Vault
from tests.dispatcher.fake_kafka import TOPICS
from tests.dispatcher.fakes import (
    TIERS,
    VAULT,
    FakeClock,
    FakeTransport,
    PaperIntake,
    PaperLedger,
    Webhooks,
    attempts,
    config,
    delivery,
    settlement,
    unit,
    webhook,
)


@dataclass
class Rig:
    """A `Sending` with everything around it in the test's hands."""

    in_flight: int = 100
    lane: dict[str, Any] = field(default_factory=dict)
    vault: Vault = VAULT
    tracing: Tracing | None = None

    def __post_init__(self) -> None:
        self.clock = FakeClock()
        self.directory = Webhooks()
        self.directory.add(*(webhook(number) for number in range(1, 50)))
        self.transport = FakeTransport()
        self.ledger = PaperLedger()
        self.intake = PaperIntake()
        self.share = Share(topic=TOPICS.events("orders"), partition=0)
        self.lanes = Lanes(replace(load(LaneConfig, {}), **self.lane), self.clock)
        self.disabled: list[tuple[Webhook, str]] = []
        self.erased: set[tuple[str, str]] = set()
        self.fast_s = 0.0  # by which our clock is ahead of the brokers'
        self.faults = Faults()
        policies = Policies(
            default=Policy(schedule_s=SCHEDULES["default"], tiers=TIERS), long=Policy(schedule_s=SCHEDULES["long"], tiers=TIERS)
        )
        parts = SendingParts(
            directory=self.directory,
            transport=self.transport,
            lanes=self.lanes,
            signatures=Signatures(self.vault, self.clock),
            settlement=settlement(self.ledger),
            policies=policies,
            wall=lambda: self.clock.now().timestamp() - self.fast_s,
            faults=self.faults,
            disable=lambda one, reason: self.disabled.append((one, reason)),
            erased=lambda store_id, event_id: (store_id, event_id) in self.erased,
            tracing=self.tracing,
        )
        self.sending = Sending(parts, config(in_flight=self.in_flight))
        self.offset = 0

    def submit(self, number: int = 1, count: int = 1, share: Share | None = None, **waiting: Any) -> list[Delivery]:
        """Submit deliveries to one webhook, each from a record of its own."""
        made = []
        for _ in range(count):
            self.offset += 1
            made.append(delivery(number, self.unit(share), **waiting))
            self.sending.submit(made[-1])
        return made

    def unit(self, share: Share | None = None) -> Unit:
        """Return a record of the rig's intake."""
        return unit(self.intake, share or self.share, offset=self.offset)

    def prove(self, number: int, elapsed_s: float = 0.01) -> None:
        """Let a webhook's lane know how quick its receiver is."""
        lane = self.lanes.lane(f"wh_{number}")
        lane.admit()
        lane.began()
        lane.done(True, elapsed_s)

    @property
    def sent(self) -> list[str]:
        """The webhook of every call so far."""
        return [request.webhook_id for request in self.transport.sent]

    def parked(self, tier: str = "") -> int:
        """Return how many were parked, in one tier or any."""
        return len(self.ledger.of(f"retry.{tier}"))

    def records(self) -> list[Attempt]:
        """Return the attempt records."""
        return attempts(self.ledger)

    def settled(self) -> int:
        """Make everything durable and return how many records are settled."""
        self.ledger.settle()
        return len(self.intake.settled)

    def at_rest(self) -> bool:
        """Tell whether every place has been given back."""
        return self.sending.in_flight == 0 and self.sending.queued == 0 and self.share.under_way == 0
