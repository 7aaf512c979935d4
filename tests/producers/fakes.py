"""Stand-ins for what the producers' side meets: a registry, a clock, API keys, Kafka without a broker."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from confluent_kafka import Producer

from hookline.kernel.errors import HooklineError, Unauthorized
from hookline.kernel.kafka import KafkaConfig
from hookline.producers.api_keys import ApiKey
from hookline.producers.event_record import EventRecord, EventRecords
from hookline.producers.publisher import Done, Outcome, Published, Publisher, PublisherConfig
from hookline.schemas.catalogue import SCHEMAS
from hookline.schemas.events import Event, new_event_id
from hookline.schemas.registered import Registered
from hookline.schemas.topics import Topics
from hookline.schemas.wire import Codec

NOBODY = KafkaConfig(
    bootstrap_servers="127.0.0.1:1",
    security_protocol="PLAINTEXT",
    sasl_mechanism="",
    sasl_username="",
    sasl_password="",
    ssl_ca_location="",
    ssl_certificate_location="",
    ssl_key_location="",
    ssl_key_password="",
    topic_prefix="hookline",
    group_protocol="classic",
    session_timeout_ms=10_000,
)
SETTINGS = PublisherConfig(linger_ms=0, delivery_timeout_s=30, queue_events=1_000, queue_kbytes=10_000, max_event_bytes=262_144)


class FixedRegistry:
    """A registry that knows this build's schemas under fixed ids, and no others."""

    def __init__(self) -> None:
        self._subjects = list(SCHEMAS)

    def start(self) -> None:
        """Nothing to connect to."""

    def stop(self) -> None:
        """Nothing to leave."""

    def id_of(self, subject: str) -> int:
        """Return the subject's place, from 1."""
        return self._subjects.index(subject) + 1

    def schema_of(self, number: int) -> dict[str, Any]:
        """Return this build's schema."""
        return dict(SCHEMAS[self.subject_of(number)])

    def subject_of(self, number: int) -> str:
        """Return the subject at a place."""
        return self._subjects[number - 1]

    def versions(self, subject: str) -> list[Registered]:
        """Return the one version there is."""
        return [Registered(self.id_of(subject), subject, 1, self.schema_of(self.id_of(subject)))]

    def register(self, subject: str, schema: dict[str, Any]) -> int:
        """Refuse: nothing is registered here."""
        raise HooklineError(f"{subject} {schema}")


@dataclass
class FakeClock:
    """A clock that stands until it is moved."""

    at: datetime = datetime(2026, 3, 14, 9, 26, 53, tzinfo=UTC)
    seconds: float = 1_000.0

    def now(self) -> datetime:
        """Return where the clock stands."""
        return self.at

    def monotonic(self) -> float:
        """Return where the clock stands."""
        return self.seconds

    def move(self, seconds: float) -> None:
        """Let time pass."""
        self.seconds += seconds
        self.at += timedelta(seconds=seconds)


@dataclass
class FakeKeys:
    """API keys by their text."""

    known: dict[str, ApiKey] = field(default_factory=dict)
    coming: set[str] = field(default_factory=set)
    caught_up: int = 0

    def add(self, text: str, *scopes: str, store_id: str = "shop") -> None:
        """Make a key known."""
        self.known[text] = ApiKey(id=text, store_id=store_id, name="", scopes=scopes, digest=b"", created_at_us=0)

    def verify(self, key: str) -> ApiKey:
        """Return a known key; raise `Unauthorized`."""
        if key not in self.known:
            raise Unauthorized("no such key", remedy="send a key")
        return self.known[key]

    def holds(self, key: ApiKey) -> bool:
        """Tell whether a key is still there."""
        return self.known.get(key.id) is key

    def may_be_new(self, key: str) -> bool:
        """Tell whether a key is made and not known yet."""
        return key in self.coming

    def catch_up(self) -> bool:
        """Know what was made."""
        self.caught_up += 1
        for key in self.coming:
            self.add(key, "events:write")
        self.coming.clear()
        return True


def always(_event: Event) -> Outcome:
    """Confirm."""
    return Published("topic", 0, 0)


@dataclass
class FakeOutlet:
    """Takes events as `AsyncPublisher` does, checks and encodes them, and answers by `script` in the next turn of the loop.

    A script that returns None leaves the event unanswered until `answer` is called; one that raises refuses it.
    """

    script: Callable[[Event], Outcome | None] = always
    sent: list[Event] = field(default_factory=list)
    records: list[EventRecord] = field(default_factory=list)
    waiting: list[Done] = field(default_factory=list)
    max_bytes: int = 262_144
    _maker: EventRecords = field(init=False)

    def __post_init__(self) -> None:
        self._maker = EventRecords(Codec(FixedRegistry()), Topics("hookline"), self.max_bytes)

    def send(self, event: Event, done: Done, traceparent: str = "") -> None:
        """Take an event."""
        record = self._maker.make(event, traceparent)
        outcome = self.script(event)
        self.sent.append(event)
        self.records.append(record)
        if outcome is None:
            self.waiting.append(done)
        else:
            asyncio.get_running_loop().call_soon(done, outcome)

    def answer(self, outcome: Outcome) -> None:
        """Answer everything that waits."""
        waiting, self.waiting = self.waiting, []
        for done in waiting:
            done(outcome)


def mock_producer(config: KafkaConfig, **extra: object) -> Producer:
    """Return a producer with librdkafka's mock broker inside; the configuration's servers are ignored."""
    settings = {name if name == "stats_cb" else name.replace("_", "."): value for name, value in extra.items()}
    found = {**config.common(), "test.mock.num.brokers": 1, "enable.idempotence": True, "acks": "all", "log_level": 0, **settings}
    return Producer(found)


def stock(available: int = 4_990) -> dict[str, Any]:
    """Return the data of a small event: a change of stock."""
    return {
        "product_id": "prod_1",
        "variant_id": "var_1",
        "sku": "TEE-M",
        "title": "T-shirt",
        "location_id": "loc_1",
        "previous_available": available + 1,
        "available": available,
        "delta": -1,
        "reason": "SALE",
        "low_stock_threshold": 5,
        "reference": None,
        "changed_at": "2026-03-14T09:26:53Z",
    }


def event(**changes: Any) -> Event:
    """Return a valid event, or one with a fault in its envelope."""
    found = Event(id=new_event_id(), type="product.inventory_changed", store_id="shop", occurred_at=datetime.now(UTC), data=stock())
    return replace(found, **changes)


def publisher(make: Callable[..., Producer] = mock_producer, **changes: Any) -> Publisher:
    """Return a publisher that is not started, on a mock broker unless told otherwise."""
    return Publisher(NOBODY, FixedRegistry(), replace(SETTINGS, **changes), make)
