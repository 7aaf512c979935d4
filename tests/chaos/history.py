"""What happened in a run, from every side: publishes, calls as receivers saw them, records on Kafka, rows, disturbances.

Pure data with indexes; who fills it is in `ledgers.py`, what must hold in `invariants.py`.
"""

from __future__ import annotations

import hashlib
import json
import math
import time
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from enum import StrEnum
from itertools import pairwise
from typing import Final

from hookline.schemas.records import Attempt, delivery_id

_NEAR_S: Final = 2.0
Place = tuple[str, int, int]
"""Topic, partition, offset."""


@dataclass(slots=True)
class Publish:
    """One event as its publisher knows it; `confirmed_at` 0 means that nobody promised anything. Times are wall seconds."""

    event_id: str
    store_id: str
    type: str
    door: str
    at: float
    confirmed_at: float = 0.0


@dataclass(frozen=True, slots=True)
class Call:
    """One call as its receiver wrote it down, before it answered; `status` 0 means that no status was to be sent."""

    delivery_id: str
    event_id: str
    role: str
    attempt: int
    at: float
    status: int
    good: bool
    late: bool = False
    """Its signature is right, and its time is more than five minutes off: many a receiver refuses that."""
    said: str = ""
    """A digest of its body's type and data; empty where that was not looked at."""


@dataclass(frozen=True, slots=True)
class Copy:
    """An event record on Kafka; `event_id` is empty where it cannot be decoded."""

    place: Place
    event_id: str
    store_id: str
    type: str
    says: str = ""
    """A digest of its type and data."""
    raw: str = ""
    """A digest of its bytes."""


@dataclass(frozen=True, slots=True)
class Tried:
    """An attempt record on Kafka, as far as it matters here; `end` is when it ended, wall seconds."""

    partition: int
    offset: int
    attempt_id: str
    delivery_id: str
    webhook_id: str
    attempt: int
    at: float
    end: float
    outcome: str
    status: int
    kind: str
    process: int

    @property
    def row(self) -> str:
        """What its row in ClickHouse must say."""
        return f"{self.attempt_id} {self.delivery_id} {self.status} {self.outcome}"

    @classmethod
    def of(cls, found: Attempt, partition: int, offset: int) -> Tried:
        """Return the essence of an attempt record."""
        at = found.attempted_at_us / 1e6
        process = found.dispatcher.rpartition(":")[2]
        return cls(
            partition, offset, found.attempt_id, found.delivery_id, found.webhook_id, found.attempt, at,
            at + found.response_time_us / 1e6, str(found.outcome), found.http_status, str(found.error_kind),
            int(process) if process.isdigit() else 0,
        )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Letter:
    """A dead letter; `delivery_id` is empty for poison, `original` is where its event lies."""

    delivery_id: str
    reason: str
    original: Place
    raw: str = ""
    """A digest of the bytes that it keeps."""
    at: float = 0.0
    """When it was first written, wall seconds."""


class Kind(StrEnum):
    """What was done to a process or a server."""

    KILL = "killed"
    TERM = "told to stop"
    FREEZE = "stopped"
    THAW = "let go on"
    START = "started"
    AWAY = "away"
    SLOW = "slow"


@dataclass(slots=True)
class Incident:
    """Something that was done: when, to whom, to which process; `until` is when it ended.

    Of Kafka alone: `back` is when it answered again, 0 where it always did; `lag_s` is how much longer its answers took.
    """

    at: float
    what: Kind
    name: str
    pid: int
    until: float = 0.0
    back: float = 0.0
    lag_s: float = 0.0


@dataclass(slots=True, kw_only=True)
class Role:
    """One webhook of the run and what is demanded of it.

    `may_die`: dead letters are right; `may_wait`: it may still wait in a retry topic; `may_skip`: a record that explains
    why it was not called will do. `closed`: deleted, nothing more is owed.
    """

    name: str
    store_id: str
    types: tuple[str, ...]
    receiver: str = ""
    webhook_id: str = ""
    may_die: bool = False
    may_wait: bool = False
    may_skip: bool = False
    closed: bool = False
    call_s: float = 1.0
    """How long one call and its record may take: a dispatcher that dies meanwhile leaves none."""

    def wants(self, store_id: str, event_type: str) -> bool:
        """Tell whether an event must reach it."""
        return not self.closed and store_id == self.store_id and event_type in self.types


@dataclass(slots=True)
class History:
    """Everything, in the order it came to be known; one thread, but for `publishes`, where the doors add."""

    publishes: dict[str, Publish] = field(default_factory=dict)
    calls: list[Call] = field(default_factory=list)
    copies: list[Copy] = field(default_factory=list)
    attempts: list[Tried] = field(default_factory=list)
    rejected: set[tuple[int, int]] = field(default_factory=set)
    """Places on the attempts topic whose records the sink put aside."""
    unreadable: set[tuple[int, int]] = field(default_factory=set)
    """Places on the attempts topic whose records are no attempts."""
    waits: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    """Delivery id → how many records of it the retry topics got."""
    retries: Counter[tuple[str, int]] = field(default_factory=Counter)
    """Delivery id and number of the attempt that is to be made → how many records on retry topics ask for it."""
    letters: dict[str, Letter] = field(default_factory=dict)
    poison: dict[Place, Letter] = field(default_factory=dict)
    incidents: list[Incident] = field(default_factory=list)
    shifts: dict[int, list[tuple[float, float]]] = field(default_factory=dict)
    """Process → when its clock was set, and by how much it was ahead from then on."""
    shifted: list[tuple[Tried, float]] = field(default_factory=list)
    """Attempts that a wrong clock has stamped, put right, and by how much it was ahead."""
    buried: set[str] = field(default_factory=set)
    """Event ids that must end as poison and reach nobody."""
    deaths: list[tuple[float, str, str]] = field(default_factory=list)
    """Deaths that nobody brought about: when, who, how, with the last words."""
    roles: dict[str, Role] = field(default_factory=dict)
    """Webhook id → role; use `add_role`."""
    roles_of: dict[str, list[Role]] = field(default_factory=lambda: defaultdict(list))
    calls_of: dict[str, list[Call]] = field(default_factory=lambda: defaultdict(list))
    tried_of: dict[str, list[Tried]] = field(default_factory=lambda: defaultdict(list))
    copies_of: Counter[str] = field(default_factory=Counter)
    said_of: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))
    """Event id → what its copies on Kafka say."""
    taken: set[str] = field(default_factory=set)
    """Delivery ids that a receiver took with 2xx."""

    # ---- adding ----

    def add_role(self, role: Role) -> None:
        """Add a webhook that was created."""
        self.roles[role.webhook_id] = role
        self.roles_of[role.store_id].append(role)

    def add_calls(self, calls: Iterable[Call]) -> None:
        """Add what receivers wrote down."""
        for call in calls:
            self.calls.append(call)
            self.calls_of[call.delivery_id].append(call)
            if call.good and 200 <= call.status < 300:
                self.taken.add(call.delivery_id)

    def add_copy(self, copy: Copy) -> None:
        """Add an event record."""
        self.copies.append(copy)
        self.copies_of[copy.event_id] += 1
        self.said_of[copy.event_id].add(copy.says)

    def add_attempt(self, tried: Tried) -> None:
        """Add an attempt record, at the time when it was made."""
        by_s = self.ahead_s(tried)
        if by_s:
            tried = replace(tried, at=tried.at - by_s, end=tried.end - by_s)
            self.shifted.append((tried, by_s))
        self.attempts.append(tried)
        self.tried_of[tried.delivery_id].append(tried)

    def add_letter(self, letter: Letter) -> None:
        """Add a dead letter."""
        if letter.delivery_id:
            self.letters[letter.delivery_id] = letter
        else:
            first = self.poison.get(letter.original, letter)
            self.poison[letter.original] = replace(letter, at=first.at)

    def ended(self, process: int) -> None:
        """Note that a process has ended: its clock stamps nothing any more."""
        if process in self.shifts:
            self.shifts[process].append((time.time(), 0.0))

    # ---- asking ----

    def owed(self, event_id: str, store_id: str, event_type: str) -> dict[str, Role]:
        """Return delivery id → role of everybody who must get an event."""
        if event_id in self.buried:
            return {}
        wanting = [role for role in self.roles_of.get(store_id, ()) if role.wants(store_id, event_type)]
        return {delivery_id(store_id, event_id, role.webhook_id): role for role in wanting}

    def asked(self, event_id: str) -> dict[str, str]:
        """Return delivery id → name of every role, also one that is closed now, whose webhook asked for a published event."""
        publish = self.publishes[event_id]
        asking = [role for role in self.roles_of.get(publish.store_id, ()) if publish.type in role.types]
        return {delivery_id(publish.store_id, event_id, role.webhook_id): role.name for role in asking}

    def ahead_s(self, tried: Tried) -> float:
        """Return by how much the clock that stamped an attempt was ahead."""
        steps = self.shifts.get(tried.process, [])
        for (since, by_s), (until, _) in pairwise([*steps, (math.inf, 0.0)]):
            if by_s and since - _NEAR_S <= tried.at - by_s < until + _NEAR_S:
                return by_s
        return 0.0

    def clocks_wrong(self, at: float) -> bool:
        """Tell whether some process had a wrong clock at a time, or a moment before."""
        for steps in self.shifts.values():
            spans = pairwise([*steps, (math.inf, 0.0)])
            if any(by_s and since - _NEAR_S <= at < until + _NEAR_S for (since, by_s), (until, _) in spans):
                return True
        return False

    def durable(self, delivery: str) -> bool:
        """Tell whether a delivery's fate is on Kafka: an attempt, a retry or a dead letter."""
        return bool(self.tried_of.get(delivery)) or delivery in self.letters or self.waits.get(delivery, 0) > 0

    def settled(self, delivery: str, role: Role) -> bool:
        """Tell whether a delivery has come to an end that its role allows."""
        if delivery in self.letters and not role.may_die:
            return False
        if delivery in self.taken or delivery in self.letters:
            return True
        if role.may_skip and any(tried.outcome == "skipped" for tried in self.tried_of.get(delivery, ())):
            return True
        return role.may_wait and self.waits.get(delivery, 0) > 0

    def surplus(self, delivery: str) -> int:
        """Return how often a delivery was made beyond what was owed: once per copy of its event on Kafka.

        An attempt that was made twice counts, and so does an event that was taken twice; the larger of both.
        """
        calls = self.calls_of.get(delivery, [])
        if len(calls) <= 1:
            return 0
        copies = max(1, self.copies_of[calls[0].event_id])
        taken = sum(1 for call in calls if 200 <= call.status < 300)
        repeated = max(Counter(call.attempt for call in calls).values())
        return max(0, taken - copies, repeated - copies)

    def story(self, event_id: str) -> list[str]:
        """Tell everything that is known of an event, in the order of time."""
        told: list[tuple[float, str]] = []
        publish = self.publishes.get(event_id)
        if publish is not None:
            told.append((publish.at, f"published by {publish.door} for {publish.store_id} as {publish.type}"))
            if publish.confirmed_at:
                told.append((publish.confirmed_at, f"confirmed to {publish.door}"))
        told += [(publish.at if publish else 0.0, f"on Kafka at {copy.place}") for copy in self.copies if copy.event_id == event_id]
        for delivery in self._deliveries(event_id):
            told += [(call.at, f"{call.role} got attempt {call.attempt} and meant {call.status}") for call in self.calls_of[delivery]]
            told += [
                (t.at, f"attempt {t.attempt} recorded by {t.process}: {t.outcome} {t.status} {t.kind}") for t in self.tried_of[delivery]
            ]
            if delivery in self.letters:
                told.append((float("inf"), f"dead letter: {self.letters[delivery].reason}"))
            told.append((float("inf"), f"{delivery}: {self.waits.get(delivery, 0)} records on retry topics"))
        told += [(incident.at, f"-- {incident.name} {incident.what}") for incident in self.incidents if self._near(incident, told)]
        return [f"{_clock(at)} {text}" for at, text in sorted(told)]

    def _deliveries(self, event_id: str) -> list[str]:
        publish = self.publishes.get(event_id)
        store = publish.store_id if publish else next((c.store_id for c in self.copies if c.event_id == event_id), "")
        return [delivery_id(store, event_id, role.webhook_id) for role in self.roles_of.get(store, ())]

    @staticmethod
    def _near(incident: Incident, told: list[tuple[float, str]]) -> bool:
        times = [at for at, _ in told if 0 < at < float("inf")]
        return bool(times) and min(times) - 2 <= incident.at <= max(times) + 10


def digest(event_type: object, data: object) -> str:
    """Return what an event says, for comparison: its type and data, however they are written."""
    return digest_of(json.dumps([event_type, data], sort_keys=True, default=str).encode())


def digest_of(value: bytes | None) -> str:
    """Return the digest of bytes; nothing is as empty."""
    return hashlib.sha256(value or b"").hexdigest()[:16]


def _clock(at: float) -> str:
    return "      later" if at == float("inf") else f"{at % 100_000:11.3f}"
