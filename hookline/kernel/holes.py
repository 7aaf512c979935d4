"""Records that retention took before they were read: counted, so that they are never missed in silence.

A reader whose next record is gone is sent on to the oldest that is left. librdkafka (2.x) tells that only in its log, with the offset
that was asked for; with the next record's offset that is how many are gone. Where none is left no record comes: then the partition's
low watermark tells. Pure but for that log.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Sequence
from typing import Final, TypeAlias

from confluent_kafka import Message

Place: TypeAlias = tuple[str, int]
_SENT_ON: Final = re.compile(r"OFFSET \[.*?(\S+) \[(\d+)\]: offset reset \(at offset (\d+)\D.*out of range", re.DOTALL)


class Holes(logging.Filter):
    """Hears librdkafka's log; a reader asks for each batch. `forget` when a partition is given anew: another may have read on."""

    def __init__(self) -> None:
        super().__init__()
        self._asked: dict[Place, int] = {}
        self._lows: dict[Place, int] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Note where a reader was; let every line through."""
        if record.levelno >= logging.WARNING and (found := _SENT_ON.match(record.getMessage())):
            place, asked = (found[1], int(found[2])), int(found[3])
            self._asked[place] = min(asked, self._asked.get(place, asked))  # of two holes without a record between them
        return True

    def before(self, messages: Sequence[Message]) -> dict[Place, int]:
        """Return how many records are gone before these, by topic and partition; each hole once, and those without one not at all."""
        if not self._asked:
            return {}
        found: dict[Place, int] = {}
        for message in messages:
            place, offset = (message.topic() or "", message.partition() or 0), message.offset() or 0
            if offset >= self._asked.get(place, offset + 1):  # what was fetched earlier may still come
                found[place] = offset - self._asked.pop(place)
        return {place: gone for place, gone in found.items() if gone}

    def waits(self, place: Place) -> bool:
        """Tell whether a reader was sent on there and no record has come since."""
        return place in self._asked

    def left_from(self, place: Place, low: int) -> int:
        """Return how many are gone before a low watermark, each once; a reader where `waits` asks now and then, between polls.

        0 unless the one before was the same: what was fetched while it was lower comes first, and tells by itself.
        """
        asked, seen = self._asked.get(place, low), self._lows.get(place)
        self._lows[place] = low
        if low <= asked or low != seen:
            return 0
        self._asked[place] = low
        return low - asked

    def forget(self, topic: str, partition: int) -> None:
        """Drop what is known of a partition."""
        self._asked.pop((topic, partition), None)
        self._lows.pop((topic, partition), None)


HOLES: Final = Holes()
"""Those of all readers of this process."""
logging.getLogger("librdkafka").addFilter(HOLES)
