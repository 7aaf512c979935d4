"""Idempotency-Key: the same request sent again gets the same answer, and changes nothing again.

Answers are kept in the memory of this process for a day, so they do not outlive a restart, and secrets in them touch no
disk. Only successes are kept: after an error the same key may be tried again. Where all of them are too large, those of the
store that holds the most go first, so that no store pushes out what another relies on.
"""

from __future__ import annotations

import asyncio
import re
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

from hookline.console import metrics
from hookline.console.http.problems import Code, Refused
from hookline.kernel.clock import Clock
from hookline.kernel.errors import InputError

LIFE_S: Final = 86_400.0
MOST_PER_STORE: Final = 2_000
MOST_BYTES: Final = 32 * 1024 * 1024
HEADER: Final = "Idempotency-Key"
_KEY: Final = re.compile(r"[\x21-\x7e]{1,128}\Z")


@dataclass(frozen=True, slots=True)
class Kept:
    """An answer that can be given again."""

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes


@dataclass(frozen=True, slots=True)
class Place:
    """Where an answer is kept: the store, and route, path and key within it."""

    store_id: str
    request: str


@dataclass(slots=True)
class _Entry:
    digest: bytes
    expires_at: float
    answer: asyncio.Future[Kept]
    bytes: int = 0


def checked_key(text: str | None) -> str:
    """Return the key, empty when there is none; raise `InputError` unless it is 1 to 128 visible ASCII characters."""
    if text is not None and not _KEY.match(text):
        raise InputError(f"{HEADER} must be 1 to 128 visible ASCII characters", field=HEADER, remedy="A fresh UUID is a good one.")
    return text or ""


class Idempotency:
    """Remembers answers for `life_s` seconds; used on the event loop only, so nothing in it is ever half done."""

    def __init__(self, clock: Clock, life_s: float = LIFE_S) -> None:
        self._clock = clock
        self._life_s = life_s
        self._entries: OrderedDict[Place, _Entry] = OrderedDict()
        self._per_store: dict[str, OrderedDict[Place, _Entry]] = {}
        self._bytes_of: dict[str, int] = {}
        self._bytes = 0

    async def once(self, place: Place, digest: bytes, answer: Callable[[], Awaitable[Kept]]) -> tuple[Kept, bool]:
        """Return the answer, and whether it was given before; requests with the same key at the same time wait for the first.

        Raises `Refused` (409) when the key came with another body, and what `answer` raises.
        """
        self._forget_old()
        known = self._entries.get(place)
        if known is None:
            return await self._first(place, digest, answer), False
        if known.digest != digest:
            raise Refused(Code.IDEMPOTENCY_MISMATCH, f"This {HEADER} was used with another body", field=HEADER)
        metrics.REPLAYED.inc()
        return await asyncio.shield(known.answer), True

    async def _first(self, place: Place, digest: bytes, answer: Callable[[], Awaitable[Kept]]) -> Kept:
        entry = _Entry(digest, self._clock.monotonic() + self._life_s, asyncio.get_running_loop().create_future())
        entry.answer.add_done_callback(lambda future: future.cancelled() or future.exception())  # nobody else may be waiting for it
        self._make_room(place.store_id)
        self._entries[place] = entry
        self._per_store.setdefault(place.store_id, OrderedDict())[place] = entry
        try:
            kept = await answer()
        except BaseException as error:
            self._drop(place, entry)
            if not entry.answer.done():
                entry.answer.set_exception(error) if isinstance(error, Exception) else entry.answer.cancel()
            raise
        entry.answer.set_result(kept)
        if self._entries.get(place) is entry:
            entry.bytes = len(kept.body)
            self._weigh(place.store_id, entry.bytes)
        return kept

    def _forget_old(self) -> None:
        """Entries stand in the order of their making, so the first is the first to expire."""
        now = self._clock.monotonic()
        while self._entries and (oldest := next(iter(self._entries.items())))[1].expires_at <= now:
            self._drop(*oldest)

    def _make_room(self, store_id: str) -> None:
        """Bound the number per store, and the bytes of all at the cost of whoever holds the most."""
        mine = self._per_store.get(store_id)
        if mine is not None and len(mine) >= MOST_PER_STORE:
            self._drop_one(mine)
        while self._bytes > MOST_BYTES and self._drop_one(self._per_store[max(self._bytes_of, key=self._bytes_of.__getitem__)]):
            pass

    def _drop_one(self, entries: OrderedDict[Place, _Entry]) -> bool:
        """Drop the oldest of some entries that has its answer; those before it are requests under way."""
        found = next(((place, entry) for place, entry in entries.items() if entry.answer.done()), None)
        if found is not None:
            self._drop(*found)
        return found is not None

    def _drop(self, place: Place, entry: _Entry) -> None:
        if self._entries.get(place) is not entry:
            return
        del self._entries[place]
        self._weigh(place.store_id, -entry.bytes)
        mine = self._per_store[place.store_id]
        del mine[place]
        if not mine:
            del self._per_store[place.store_id]

    def _weigh(self, store_id: str, more: int) -> None:
        self._bytes += more
        held = self._bytes_of.pop(store_id, 0) + more
        if held:
            self._bytes_of[store_id] = held
