"""Records that retention took before they were read: counted, so that they are never missed in silence.

A reader whose next record is gone is sent on to the oldest that is left. librdkafka (2.x) tells that only in its log, with the offset
that was asked for; with the next record's offset that is how many are gone. Pure but for that log.
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

    def filter(self, record: logging.LogRecord) -> bool:
        """Note where a reader was; let every line through."""
        if record.levelno >= logging.WARNING and (found := _SENT_ON.match(record.getMessage())):
            self._asked[found[1], int(found[2])] = int(found[3])
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

    def forget(self, topic: str, partition: int) -> None:
        """Drop what is known of a partition."""
        self._asked.pop((topic, partition), None)


HOLES: Final = Holes()
"""Those of all readers of this process."""
logging.getLogger("librdkafka").addFilter(HOLES)
