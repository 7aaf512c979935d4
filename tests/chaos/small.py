"""A history in which all is well, for tests to harm."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field

from hookline.schemas.records import delivery_id
from tests.chaos.chapter import Chapter
from tests.chaos.history import Call, Copy, History, Publish, Role, Tried
from tests.chaos.invariants import check

TOPIC = "hookline.events.orders"
BEGAN = 1_000.0


@dataclass
class Small:
    """Ten events for one webhook, each delivered once, recorded once, in ClickHouse once."""

    history: History = field(default_factory=History)
    chapter: Chapter = field(default_factory=lambda: Chapter(fault="none", began_at=BEGAN, healed_at=BEGAN + 5))

    def __post_init__(self) -> None:
        self.history.add_role(Role(name="steady", store_id="demo", types=("order.created",), webhook_id="wh_1"))
        rows: dict[tuple[int, int], str] = {}
        for number in range(10):
            at, event_id = BEGAN + number * 0.1, f"evt_{number}"
            self.history.publishes[event_id] = Publish(event_id, "demo", "order.created", "ingest", at, at + 0.01)
            self.history.add_copy(Copy((TOPIC, 0, number), event_id, "demo", "order.created"))
            self.history.add_calls([Call(delivery(number), event_id, "steady", 1, at + 0.02, 200, True)])
            self.history.add_attempt(tried(number, at + 0.02))
            rows[0, number] = tried(number, at).row
        self.chapter.rows = rows
        self.chapter.committed = {(TOPIC, 0): 10}

    def again(self, number: int, at: float, process: int = 1) -> None:
        """Call for an event once more, recorded as it should be."""
        offset = len(self.history.attempts)
        self.history.add_calls([Call(delivery(number), f"evt_{number}", "steady", 1, at, 200, True)])
        made = dataclasses.replace(tried(number, at), offset=offset, attempt_id=f"att_{offset}", process=process)
        self.history.add_attempt(made)
        self.chapter.rows = {**self.chapter.rows, (0, offset): made.row}

    def one_more(self, number: int) -> None:
        """Add another event, published in its turn and delivered once."""
        at, event_id = BEGAN + number * 0.1, f"evt_{number}"
        self.history.publishes[event_id] = Publish(event_id, "demo", "order.created", "ingest", at, at + 0.01)
        self.history.add_copy(Copy((TOPIC, 0, number), event_id, "demo", "order.created"))
        self.again(number, at + 0.02)
        self.chapter.committed = {(TOPIC, 0): number + 1}

    def broken(self) -> list[str]:
        """Return which invariants are violated, each once."""
        return list(dict.fromkeys(violation.invariant for violation in check(self.history, self.chapter)))


def delivery(number: int) -> str:
    """Return the delivery id of an event."""
    return delivery_id("demo", f"evt_{number}", "wh_1")


def tried(number: int, at: float) -> Tried:
    """Return the attempt record of a call that took 10 ms."""
    return Tried(0, number, f"att_{number}", delivery(number), "wh_1", 1, at, at + 0.01, "delivered", 200, "", 1)
