"""What was accepted lately: the same id again with the same body is answered again, with another body it is refused."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from hashlib import blake2b
from typing import Any, Final, TypeAlias

import orjson

from hookline.kernel.clock import Clock
from hookline.producers.ingest import metrics
from hookline.producers.ingest.errors import Refused, refused

Digest: TypeAlias = bytes
_DIGEST_BYTES: Final = 16
_TIME_BYTES: Final = 4


def digest_of(value: object) -> Digest:
    """Return what tells two JSON values apart; the order of keys and white space do not count."""
    return blake2b(orjson.dumps(value, option=orjson.OPT_SORT_KEYS), digest_size=_DIGEST_BYTES).digest()


class Remembered:
    """Names (event ids, Idempotency-Keys) and the digest of what they were accepted with; a process has one.

    The oldest are forgotten when there are too many or too old ones. Used from the event loop only.
    """

    def __init__(self, most: int, for_s: float, clock: Clock) -> None:
        self._most = most
        self._for_s = for_s
        self._clock = clock
        self._began = clock.monotonic()
        # Not a `dict`: that looks for its first key past all that were deleted before it, which takes longer with each.
        self._known: OrderedDict[str, bytes] = OrderedDict()
        metrics.REMEMBERED.set_function(self.__len__)

    def __len__(self) -> int:
        return len(self._known)

    def knows(self, name: str, digest: Digest, field: str) -> bool:
        """Tell whether this very body was accepted under the name; raise `Refused` when another was."""
        found = self._known.get(name)
        if found is None or self._now_s() - _kept_s(found) > self._for_s:
            return False
        if found[_TIME_BYTES:] != digest:
            raise mismatch(field)
        return True

    def keep(self, name: str, digest: Digest) -> None:
        """Remember what was accepted under a name."""
        now_s, known = self._now_s(), self._known
        known[name] = int(now_s).to_bytes(_TIME_BYTES) + digest
        known.move_to_end(name)
        if len(known) > self._most:
            known.popitem(last=False)
        while known and now_s - _kept_s(next(iter(known.values()))) > self._for_s:
            known.popitem(last=False)

    def _now_s(self) -> float:
        return self._clock.monotonic() - self._began


def _kept_s(entry: bytes) -> int:
    """Return when an entry was kept, in seconds after the beginning."""
    return int.from_bytes(entry[:_TIME_BYTES])


class UnderWay:
    """Event ids that wait for Kafka: the same event sent again meanwhile waits for the same outcome."""

    def __init__(self) -> None:
        self._waiting: dict[str, tuple[Digest, list[Callable[[Any], None]]]] = {}

    def join(self, name: str, digest: Digest, done: Callable[[Any], None], field: str) -> bool:
        """Return True when the name is under way, and call `done` with its outcome; raise `Refused` for another body.

        False means that it is under way from now on: end it with `end`.
        """
        found = self._waiting.get(name)
        if found is None:
            self._waiting[name] = (digest, [])
            return False
        if found[0] != digest:
            raise mismatch(field)
        found[1].append(done)
        return True

    def end(self, name: str, outcome: object) -> None:
        """Tell all who joined."""
        for done in self._waiting.pop(name)[1]:
            done(outcome)


def mismatch(field: str) -> Refused:
    """Return the refusal of a name that was used for another body."""
    return refused(
        "idempotency_mismatch",
        f"This {field} was used for another body",
        field=field,
        remedy="Give a new event a new one; to repeat an event, send it unchanged.",
    )
