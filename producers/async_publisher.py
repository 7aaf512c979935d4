"""`Publisher` for an event loop: `await` in place of waiting threads."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterable
from contextlib import suppress
from types import TracebackType
from typing import Final, Self

from hookline.kernel.errors import BrokerError, Closed, QueueFull, Undelivered
from hookline.producers.publisher import Outcome, Published, Publisher
from hookline.schemas.events import Event

_ROOM_S: Final = 0.005


class AsyncPublisher:
    """Publishes from the event loop that started it; errors are those of `Publisher`.

    Outcomes come from librdkafka's thread in bursts and wake the loop once per burst.
    """

    def __init__(self, publisher: Publisher) -> None:
        self._publisher = publisher
        self._loop: asyncio.AbstractEventLoop | None = None
        self._settled: deque[tuple[asyncio.Future[Published], Outcome]] = deque()
        self._woken = False

    async def start(self) -> None:
        """Open the producer."""
        self._loop = asyncio.get_running_loop()
        await asyncio.to_thread(self._publisher.start)

    async def close(self, timeout_s: float = 30.0) -> None:
        """Wait for what is in flight, then close; raise `Undelivered`."""
        await asyncio.to_thread(self._publisher.close, timeout_s)

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        await self.close()

    async def publish(self, event: Event, *, timeout_s: float = 30.0, traceparent: str = "") -> Published:
        """Return once Kafka has the event on every in-sync replica; raise as `Publisher.publish` does."""
        try:
            async with asyncio.timeout(timeout_s):
                return await self._publish(event, traceparent)
        except TimeoutError:
            message = f"Kafka did not confirm 1 event in {timeout_s:g} s"
            raise Undelivered(message, remedy="It may have arrived: publish again with the same id.") from None

    async def publish_many(self, events: Iterable[Event], *, timeout_s: float = 60.0) -> list[Published]:
        """Publish all and return where each lies, in their order; raise as `Publisher.publish_many` does."""
        return await asyncio.to_thread(self._publisher.publish_many, list(events), timeout_s=timeout_s)

    async def flush(self, timeout_s: float = 30.0) -> None:
        """Wait until nothing is in flight; raise `Undelivered`."""
        await asyncio.to_thread(self._publisher.flush, timeout_s)

    def submit(self, event: Event, traceparent: str = "") -> asyncio.Future[Published]:
        """Hand an event over and return the future of its place; raise `QueueFull` at once when there is no room.

        Dropping the future does not take the event back.
        """
        loop = self._running()
        future: asyncio.Future[Published] = loop.create_future()
        self._publisher.send(event, lambda outcome: self._report(loop, future, outcome), traceparent)
        return future

    async def _publish(self, event: Event, traceparent: str) -> Published:
        while True:
            try:
                future = self.submit(event, traceparent)
            except QueueFull:
                await asyncio.sleep(_ROOM_S)
            else:
                return await future

    def _running(self) -> asyncio.AbstractEventLoop:
        if self._loop is None or self._loop.is_closed():
            raise Closed("The publisher is not open", remedy="Call start() on the running event loop.")
        return self._loop

    def _report(self, loop: asyncio.AbstractEventLoop, future: asyncio.Future[Published], outcome: Outcome) -> None:
        self._settled.append((future, outcome))
        if not self._woken:
            self._woken = True
            with suppress(RuntimeError):  # the loop is closed: nobody waits any more
                loop.call_soon_threadsafe(self._settle)

    def _settle(self) -> None:
        self._woken = False  # before the first pop: a report that comes now wakes the loop again
        while self._settled:
            future, outcome = self._settled.popleft()
            if future.done():
                continue
            if isinstance(outcome, BrokerError):
                future.set_exception(outcome)
            else:
                future.set_result(outcome)
