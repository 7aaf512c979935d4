"""Stand-ins for what surrounds the dispatcher's parts: a clock, Kafka's clients, receivers, webhooks."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from hookline.dispatcher.config import DispatchConfig
from hookline.dispatcher.delivery import Delivery, Unit
from hookline.dispatcher.intake import Intake
from hookline.dispatcher.ledger import Entry, Ledger
from hookline.dispatcher.settlement import Settlement, SettlementParts
from hookline.dispatcher.shares import Record, Share
from hookline.dispatcher.source import IntakeLimits, Source
from hookline.dispatcher.transport.contract import Reply, Request, Result
from hookline.kernel.clock import SystemClock, to_us
from hookline.kernel.config import load
from hookline.kernel.kafka import KafkaConfig
from hookline.schemas.catalogue import SCHEMAS
from hookline.schemas.events import example_event
from hookline.schemas.names import full_name
from hookline.schemas.records import Attempt, Trigger, Waiting
from hookline.schemas.records import Source as Place
from hookline.schemas.registered import Registered
from hookline.schemas.wire import Codec
from hookline.webhooks.model import SealedSecret, State, Webhook
from hookline.webhooks.secrets import MasterKey, Vault, aad_of
from tests.dispatcher.fake_kafka import TOPICS, message

VAULT = Vault((MasterKey("k1", bytes(range(32))),))
KEY = bytes(range(24))
TIERS = ("5s", "1m", "5m", "30m", "2h", "5h", "10h")


@dataclass
class FakeClock:
    """A clock that stands still until it is moved."""

    at: datetime = datetime(2026, 11, 24, 12, tzinfo=UTC)
    ticks: float = 1_000.0

    def now(self) -> datetime:
        """Return the wall time."""
        return self.at

    def monotonic(self) -> float:
        """Return the monotonic time."""
        return self.ticks

    def time(self) -> float:
        """Return the wall time in seconds."""
        return self.at.timestamp()

    def move(self, seconds: float) -> None:
        """Let time pass."""
        self.at += timedelta(seconds=seconds)
        self.ticks += seconds


class Schemas:
    """A schema registry in memory that has every schema of this build; `down` makes it fail."""

    def __init__(self) -> None:
        self._subjects = list(SCHEMAS)
        self.extra: dict[int, dict[str, Any]] = {}
        self.asked = 0
        self.down: Exception | None = None

    def start(self) -> None:
        """Nothing."""

    def stop(self) -> None:
        """Nothing."""

    def id_of(self, subject: str) -> int:
        """Return the id: the place in the catalogue."""
        return self._subjects.index(subject) + 1

    def schema_of(self, number: int) -> dict[str, Any]:
        """Return a schema."""
        self.asked += 1
        if self.down is not None:
            raise self.down
        if number in self.extra:
            return self.extra[number]
        return dict(SCHEMAS[self._subjects[number - 1]])

    def subject_of(self, number: int) -> str:
        """Return a subject."""
        return full_name(self.schema_of(number))

    def versions(self, subject: str) -> list[Registered]:  # noqa: ARG002  # the protocol's
        """Return none."""
        return []

    def register(self, subject: str, schema: dict[str, Any]) -> int:  # noqa: ARG002  # the protocol's
        """Return the id."""
        return self.id_of(subject)


def codec() -> Codec:
    """Return a codec over all schemas."""
    return Codec(Schemas())


class PaperLedger(Ledger):
    """A ledger that keeps its entries; `settle` makes them durable."""

    def __init__(self) -> None:
        self.entries: list[Entry] = []
        self._durable: list[Callable[[], None]] = []

    def write(self, entries: list[Entry], durable: Callable[[], None]) -> None:
        """Keep the entries."""
        self.entries += entries
        self._durable.append(durable)

    def settle(self) -> None:
        """Tell that all of it is durable."""
        told, self._durable = self._durable, []
        for durable in told:
            durable()

    def of(self, part: str) -> list[Entry]:
        """Return the entries to topics whose names hold a text."""
        return [entry for entry in self.entries if part in entry.topic]


def attempts(ledger: PaperLedger) -> list[Attempt]:
    """Return the attempt records in a ledger."""
    reader = codec()
    return [reader.decode_attempt(entry.value) for entry in ledger.of("attempts")]


def config(**more: Any) -> DispatchConfig:
    """Return the default settings with some of them changed."""
    return replace(load(DispatchConfig, {}), **more)


def settlement(ledger: Ledger, **more: Any) -> Settlement:
    """Return a settlement over the usual tiers."""
    parts = SettlementParts(ledger=ledger, codec=codec(), topics=TOPICS, config=config(**more), tiers=TIERS, name="host:1", wall=time.time)
    return Settlement(parts)


class PaperIntake(Intake):
    """An intake without Kafka that notes what is settled; `is_fit` and `is_crowded` are the test's."""

    def __init__(self, delay_s: float = 0.0) -> None:
        limits = IntakeLimits(pending=100, pending_bytes=10_000, commit_s=1, revoke_s=1, lease_s=5)
        super().__init__(
            load(KafkaConfig, {"KAFKA_BOOTSTRAP_SERVERS": "nowhere:1"}),
            Source(name="paper", topics=[], group="g", delay_s=delay_s),
            limits,
            nowhere,
        )
        self.settled: list[Record] = []
        self.held_records: list[Record] = []
        self.is_fit = True
        self.is_crowded = False

    def done(self, record: Record) -> None:
        """Note a settled record."""
        self.settled.append(record)

    def hold(self, record: Record) -> None:
        """Note a held one."""
        record.share.held = True
        self.held_records.append(record)

    def fit(self, record: Record) -> bool:
        """Say what the test says, while the share is open."""
        return self.is_fit and record.share.open and not record.share.closing

    @property
    def crowded(self) -> bool:
        """Say what the test says."""
        return self.is_crowded


def nowhere(intake: Intake, records: list[Record]) -> None:  # the protocol's
    """Take nothing."""


def unit(intake: Intake | None = None, share: Share | None = None, *, left: int = 1, **more: Any) -> Unit:
    """Return a record taken up."""
    found = share or Share(topic=more.get("topic", TOPICS.events("orders")), partition=0)
    record = Record(message(more.pop("value", b""), **more), found, more.get("offset", 0), 1)
    return Unit(intake or PaperIntake(), record, left)


def webhook(number: int = 1, **changes: Any) -> Webhook:
    """Return an enabled webhook of store `shop`."""
    made = Webhook(
        id=f"wh_{number}",
        store_id="shop",
        name="",
        url=f"http://127.0.0.1:9/{number}",
        event_types=("order.created",),
        filter="",
        state=State.ENABLED,
        state_reason="",
        state_since_us=0,
        secrets=(SealedSecret(VAULT.seal(KEY, aad_of("shop", f"wh_{number}", 1)), 1),),
        headers=(),
        timeout_s=10.0,
        schedule="default",
        created_at_us=0,
        updated_at_us=0,
        version=1,
        write_id="w",
    )
    return replace(made, **changes)


@dataclass
class Webhooks:
    """A directory of webhooks in memory; one that is taken out of `by_id` was deleted."""

    by_id: dict[str, Webhook] = field(default_factory=dict)
    known: set[str] = field(default_factory=set)

    def add(self, *those: Webhook) -> None:
        """Know these."""
        self.by_id |= {one.id: one for one in those}
        self.known |= {one.id for one in those}

    def get(self, webhook_id: str) -> Webhook | None:
        """Return one."""
        return self.by_id.get(webhook_id)

    def deleted(self, webhook_id: str) -> bool:
        """Tell whether one was there and is not."""
        return webhook_id in self.known and webhook_id not in self.by_id

    def matching(self, store_id: str, event_type: str) -> tuple[Webhook, ...]:
        """Return those of a store and type."""
        return tuple(w for w in self.by_id.values() if w.store_id == store_id and event_type in w.event_types)


def waiting(number: int = 1, **changes: Any) -> Waiting:
    """Return the state of a delivery to `webhook(number)`."""
    made = Waiting(
        delivery_id=f"msg_{number}",
        webhook_id=f"wh_{number}",
        store_id="shop",
        event_id="evt_1",
        event_type="order.created",
        source=Place(topic=TOPICS.events("orders"), partition=0, offset=7, timestamp_ms=1_700_000_000_000),
        trigger=Trigger.EVENT,
        first_at_us=to_us(FakeClock().at),
    )
    return replace(made, **changes)


def delivery(number: int = 1, of: Unit | None = None, **changes: Any) -> Delivery:
    """Return a delivery to `webhook(number)`."""
    return Delivery(waiting=waiting(number, **changes), unit=of or unit(), value=b"value", body=b"{}", ready_at=0.0)


class FakeTransport:
    """A transport that keeps its requests until the test answers them."""

    def __init__(self) -> None:
        self.open: list[tuple[Request, Callable[[Result], None]]] = []
        self.sent: list[Request] = []
        self.at_once: Result | None = None

    async def start(self) -> None:
        """Nothing."""

    async def stop(self) -> None:
        """Nothing."""

    def send(self, request: Request, on_done: Callable[[Result], None]) -> None:
        """Keep a request, or answer at once."""
        self.sent.append(request)
        if self.at_once is not None:
            on_done(self.at_once)
        else:
            self.open.append((request, on_done))

    def answer(self, result: Result, count: int = 1) -> None:
        """Answer the oldest open requests."""
        for _ in range(count):
            self.open.pop(0)[1](result)


def reply(status: int = 200, elapsed_s: float = 0.01, retry_after: str = "") -> Reply:
    """Return an answer."""
    return Reply(status, "", b"", elapsed_s, retry_after)


def order_bytes() -> bytes:
    """Return the wire bytes of an order.created of store `shop`."""
    return codec().encode(example_event("order.created", "shop", clock=SystemClock()))
