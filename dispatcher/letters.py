"""Dead letters: the original bytes of what could not be delivered, and in headers why."""

from __future__ import annotations

import time
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, Self

from hookline import __version__
from hookline.kernel.errors import WireError
from hookline.kernel.kafka import Headers
from hookline.schemas.records import Source, Waiting

_DETAIL: Final = 256
VERSION: Final = "1"


class Reason(StrEnum):
    """Why a delivery or record became a dead letter."""

    EXHAUSTED = "exhausted"
    GONE = "gone"
    DISABLED = "disabled"
    EXPIRED = "expired"
    POISON = "poison"


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadLetter:
    """Why and where from; `waiting` is None for poison, which never became a delivery."""

    reason: Reason
    error: str
    original: Source
    at_us: int
    waiting: Waiting | None = None

    @classmethod
    def of(cls, reason: Reason, error: str, original: Source, waiting: Waiting | None = None) -> Self:
        """Return a dead letter of now; the error is cut to 256 characters."""
        return cls(reason=reason, error=error[:_DETAIL], original=original, at_us=time.time_ns() // 1_000, waiting=waiting)

    def to_headers(self) -> Headers:
        """Return the headers: the delivery's, and the `dlq.*` ones."""
        found = {
            "dlq.version": VERSION,
            "dlq.reason": self.reason,
            "dlq.error": self.error,
            "dlq.at": str(self.at_us),
            "dlq.original.topic": self.original.topic,
            "dlq.original.partition": str(self.original.partition),
            "dlq.original.offset": str(self.original.offset),
            "dlq.original.timestamp": str(self.original.timestamp_ms),
            "dlq.app_version": __version__,
        }
        mine = {name: value.encode() for name, value in found.items()}
        return {**(self.waiting.to_headers() if self.waiting is not None else {}), **mine}

    @classmethod
    def from_headers(cls, headers: Headers) -> Self:
        """Return the dead letter; raise `WireError` when the headers are not one's."""
        try:
            text = {name: value.decode() for name, value in headers.items() if name.startswith("dlq.")}
            original = Source(
                topic=text["dlq.original.topic"],
                partition=int(text["dlq.original.partition"]),
                offset=int(text["dlq.original.offset"]),
                timestamp_ms=int(text["dlq.original.timestamp"]),
            )
            reason, error, at_us = Reason(text["dlq.reason"]), text["dlq.error"], int(text["dlq.at"])
        except (KeyError, ValueError) as fault:
            raise WireError(f"The record is no dead letter: {fault!r}") from fault
        waiting = Waiting.from_headers(headers) if "hookline-delivery-id" in headers else None
        return cls(reason=reason, error=error, original=original, at_us=at_us, waiting=waiting)
