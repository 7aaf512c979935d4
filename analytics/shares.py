"""What the sink holds of each partition: records not yet written, and the intent to be kept. Pure: no I/O."""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass, field
from itertools import accumulate
from typing import Final

from confluent_kafka import Message

_PREFIX: Final = "pending:"


def intent(last: int) -> str:
    """Return the commit metadata that announces a batch ending at offset `last`; its start is the committed offset."""
    return f"{_PREFIX}{last}"


def announced(metadata: str | None) -> int | None:
    """Return the last offset of the announced batch, or None when the metadata announces none."""
    digits = (metadata or "").removeprefix(_PREFIX)
    return int(digits) if digits != (metadata or "") and digits.isascii() and digits.isdigit() else None


@dataclass(slots=True)
class Share:
    """One assigned partition.

    `known` turns true when the committed offset and its metadata were read: before that nothing may be written.
    `replay_to` is the end of a batch that an earlier owner announced and may have inserted: the next batch must be
    exactly that one; `torn` when its first records are gone from Kafka. `since` is the monotonic time of the oldest
    record held, `newest` the highest offset ever held here.
    """

    partition: int
    known: bool = False
    replay_to: int | None = None
    torn: bool = False
    messages: list[Message] = field(default_factory=list)
    held_bytes: int = 0
    since: float = 0.0
    newest: int = -1

    def add(self, messages: list[Message], now: float) -> None:
        """Hold records that came in order; ones that were held before, or lie before those, are ignored."""
        if messages and _offset(messages[0]) <= self.newest:
            messages = [message for message in messages if _offset(message) > self.newest]
        if not messages:
            return
        if not self.messages:
            self.since = now
        self.messages += messages
        self.newest = _offset(messages[-1])
        self.held_bytes += sum(map(len, messages))

    def batch(self, most: int, most_bytes: int) -> list[Message]:
        """Return the records to write next: the announced batch once it is complete, else the first of those held.

        These are up to `most`, and end where their values reach `most_bytes`, so that an insert of large answers stays small.
        """
        if not self.known or not self.messages:
            return []
        if self.replay_to is None:
            sizes = accumulate(map(len, self.messages[:most]))
            return self.messages[: 1 + bisect_left(list(sizes), most_bytes)][:most]
        if _offset(self.messages[-1]) < self.replay_to:
            return []
        return [message for message in self.messages if _offset(message) <= self.replay_to]

    def replayable(self) -> bool:
        """Tell whether the announced batch is held to its end."""
        return self.replay_to is not None and self.known and bool(self.messages) and _offset(self.messages[-1]) >= self.replay_to

    def forget_lost_intent(self) -> None:
        """Give up an announced batch of which no record is left: retention was faster."""
        if self.replay_to is not None and self.messages and _offset(self.messages[0]) > self.replay_to:
            self.replay_to, self.torn = None, False

    def settle(self, count: int, now: float) -> None:
        """Forget the first `count` records: they are written."""
        self.held_bytes -= sum(map(len, self.messages[:count]))
        self.messages = self.messages[count:]
        self.replay_to, self.torn = None, False
        self.since = now


def _offset(message: Message) -> int:
    return message.offset() or 0
