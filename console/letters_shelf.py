"""Dead letters in memory: found, counted and paged at once, however many there are."""

from __future__ import annotations

import threading
from bisect import bisect_left
from collections import OrderedDict, deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final, TypeAlias, TypeVar

from hookline.console.places import Coordinates
from hookline.dispatcher.letters import Reason
from hookline.schemas.records import delivery_id

Position: TypeAlias = tuple[int, str, int, int]
"""A letter's place in time: when it was given up, then where it lies, which makes the order total."""
Key = TypeVar("Key")
_ALL: Final = ""
_SLACK: Final = 1_000
_STORES_SLACK: Final = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Letter:
    """What is known of a dead letter; ids are empty for poison, which never was a delivery."""

    place: Coordinates
    at_us: int
    reason: Reason
    error: str
    original: Coordinates
    store_id: str = ""
    webhook_id: str = ""
    event_id: str = ""
    event_type: str = ""
    attempts: int = 0
    last_status: int = 0

    @property
    def category(self) -> str:
        """The last part of its topic's name."""
        return self.place.topic.rpartition(".")[2]

    @property
    def position(self) -> Position:
        """Its place in time."""
        return (self.at_us, *self.place)

    @property
    def delivery_id(self) -> str:
        """The id of its delivery, empty for poison."""
        return delivery_id(self.store_id, self.event_id, self.webhook_id) if self.webhook_id else ""


@dataclass(frozen=True, slots=True)
class Replayed:
    """When a letter was last replayed, or its delivery made again without it, and by which job; no job is a resend."""

    at_us: int
    job_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class LetterQuery:
    """Which letters; empty texts and None mean any, times are microseconds, both ends included; no store means all of them."""

    store_id: str = ""
    webhook_id: str = ""
    category: str = ""
    reason: str = ""
    event_type: str = ""
    event_id: str = ""
    since_us: int = 0
    until_us: int = 2**62
    replayed: bool | None = None

    def takes(self, letter: Letter) -> bool:
        """Tell whether a letter is one of them, but for whether it was replayed."""
        return self.since_us <= letter.at_us <= self.until_us and all(getattr(letter, name) == value for name, value in self.named())

    def named(self) -> list[tuple[str, str]]:
        """Return the fields of a letter that must have a value."""
        names = ("store_id", "webhook_id", "category", "reason", "event_type", "event_id")
        return [(name, value) for name in names if (value := getattr(self, name))]


@dataclass(slots=True)
class _Order:
    """Letters in the order of their times; those that fell off the shelf are left out when it is next made anew."""

    letters: list[Letter] = field(default_factory=list)
    sorted: bool = True
    gone: int = 0

    def add(self, letter: Letter) -> None:
        """Append a letter: most come in the order of their times, and the others are sorted in when somebody looks."""
        self.sorted = self.sorted and (not self.letters or self.letters[-1].position < letter.position)
        self.letters.append(letter)


class Shelf:
    """`kept` letters at most: one thread adds, any may read."""

    def __init__(self, kept: int) -> None:
        self.kept = kept
        self._by_place: dict[Coordinates, Letter] = {}
        self._orders: dict[str, _Order] = {_ALL: _Order()}
        self._in_partition: dict[tuple[str, int], deque[Coordinates]] = {}
        self._marks: OrderedDict[Coordinates, Replayed] = OrderedDict()
        self._resent: OrderedDict[tuple[str, str], Replayed] = OrderedDict()
        self._dropped_us = 0
        self._lock = threading.Lock()

    @property
    def complete_since_us(self) -> int:
        """The time of the newest letter that there was no room for; 0: all that lie on Kafka are known."""
        return self._dropped_us

    def add(self, letter: Letter) -> None:
        """Put a letter onto the shelf; the oldest of all may fall off."""
        if letter.place in self._by_place:
            return
        with self._lock:
            self._by_place[letter.place] = letter
            for name in {_ALL, letter.store_id}:
                self._orders.setdefault(name, _Order()).add(letter)
        self._in_partition.setdefault(letter.place[:2], deque()).append(letter.place)
        if len(self._by_place) > self.kept:
            oldest = min((places for places in self._in_partition.values() if places), key=lambda places: self._by_place[places[0]].at_us)
            self._dropped_us = max(self._dropped_us, self._by_place[oldest[0]].at_us)
            self._drop(oldest.popleft())

    def mark(self, place: Coordinates, replayed: Replayed) -> None:
        """Note that a letter was replayed; the letter itself may come later."""
        _put(self._marks, place, replayed, 2 * self.kept)

    def mark_delivery(self, webhook_id: str, event_id: str, replayed: Replayed) -> None:
        """Note that a delivery was made again by who named no letter: those of its letters that lay there by then count as replayed."""
        _put(self._resent, (webhook_id, event_id), replayed, 2 * self.kept)

    def forget(self, topic: str, partition: int, before: int) -> None:
        """Drop the letters of a partition that retention has taken: those below an offset."""
        places = self._in_partition.get((topic, partition), deque())
        while places and places[0].offset < before:
            self._drop(places.popleft())

    def replayed(self, place: Coordinates) -> Replayed | None:
        """Return when the letter at a place was last replayed, None when it never was."""
        mark, letter = self._marks.get(place), self._by_place.get(place)
        resent = self._resent_since(letter) if letter is not None else None
        return max((one for one in (mark, resent) if one is not None), key=lambda one: one.at_us, default=None)

    def count_replayed(self, letters: list[Letter]) -> int:
        """Return how many of some letters were replayed."""
        return sum(map(self._is_replayed, letters)) if self._marks or self._resent else 0

    def _is_replayed(self, letter: Letter) -> bool:
        return letter.place in self._marks or (bool(self._resent) and self._resent_since(letter) is not None)

    def _resent_since(self, letter: Letter) -> Replayed | None:
        """Return when a letter's delivery was last made again after it was given up: one that was resent before that still waits."""
        found = self._resent.get((letter.webhook_id, letter.event_id))
        return found if found is not None and found.at_us >= letter.at_us else None

    def find(self, wanted: LetterQuery, before: Position | None = None) -> Iterator[Letter]:
        """Yield the letters that fit, the newest first; with `before` only those that stand before a position."""
        letters = self._in_order(wanted.store_id)
        first, last = bisect_left(letters, (wanted.since_us, "", 0, 0), key=_position), len(letters)
        if before is not None:
            last = bisect_left(letters, before, key=_position)
        named, known = [pair for pair in wanted.named() if pair[0] != "store_id"], self._by_place
        for at in range(last - 1, first - 1, -1):
            letter = letters[at]
            if (
                letter.at_us <= wanted.until_us
                and letter.place in known
                and (not named or all(getattr(letter, name) == value for name, value in named))
                and (wanted.replayed is None or wanted.replayed == self._is_replayed(letter))
            ):
                yield letter

    def _in_order(self, store_id: str) -> list[Letter]:
        """Return the letters of a store, of all when it is empty, the oldest first."""
        with self._lock:
            order = self._orders.get(store_id)
            if order is None:
                return []
            if not order.sorted:
                order.letters.sort(key=_position)
                order.sorted = True
            return order.letters.copy()

    def _drop(self, place: Coordinates) -> None:
        with self._lock:
            letter = self._by_place.pop(place)
            self._marks.pop(place, None)
            for name in {_ALL, letter.store_id}:
                order = self._orders[name]
                order.gone += 1
                if order.gone >= min(len(order.letters), max(_SLACK if name == _ALL else _STORES_SLACK, len(order.letters) // 4)):
                    self._orders[name] = _Order([one for one in order.letters if one.place in self._by_place], order.sorted)
                    if name != _ALL and not self._orders[name].letters:
                        del self._orders[name]


def _put(marks: OrderedDict[Key, Replayed], key: Key, replayed: Replayed, most: int) -> None:
    """Set a mark as the newest; beyond `most` the oldest goes."""
    marks[key] = replayed
    marks.move_to_end(key)
    if len(marks) > most:
        marks.popitem(last=False)


def _position(letter: Letter) -> Position:
    return letter.position
