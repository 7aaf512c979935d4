"""`Publisher` for an event loop: `await` in place of waiting threads."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterable, Mapping
from contextlib import suppress
from types import TracebackType
from typing import Final, Self

from hookline.kernel.errors import BrokerError, Closed, QueueFull, Undelivered
from hookline.producers.publisher import Done, Outcome, Published, Publisher
from hookline.schemas.events import Event

_ROOM_S: Final = 0.005


class AsyncPublisher:
    """Publishes from the event loop that started it; errors are those of `Publisher`.

    Outcomes come from librdkafka's thread in bursts and wake the loop once per burst.
    """

    def __init__(self, publisher: Publisher) -> None:
        self._publisher = publisher
        self._loop: asyncio.AbstractEventLoop | None = None
        self._settled: deque[tuple[Done, Outcome]] = deque()
        self._woken = False

    @classmethod
    async def connect(cls, bootstrap_servers: str | None = None, environ: Mapping[str, str] | None = None) -> Self:
        """Return a started publisher from the environment, as `Publisher.connect` does; close it, or use it in `async with`."""
        made = cls(await asyncio.to_thread(Publisher.connect, bootstrap_servers, environ))
        await made.start()
        return made

    async def start(self) -> None:
        """Open the producer; starting twice is fine."""
        self._loop = asyncio.get_running_loop()
        await asyncio.to_thread(self._publisher.start)

    async def close(self, timeout_s: float = 30.0) -> None:
        """Wait for what is in flight, then close; raise `Undelivered`."""
        await asyncio.to_thread(self._publisher.close, timeout_s)

    async def __aenter__(self) -> Self:
        if self._loop is None:
            await self.start()
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        await self.close()

    async def publish(self, event: Event, *, timeout_s: float = 30.0, traceparent: str = "") -> Published:
        """Return once Kafka has the event on every in-sync replica; raise as `Publisher.publish` does."""
        deadline = self._running().time() + timeout_s
        future = await self._submit_when_room(event, traceparent, deadline)
        try:
            async with asyncio.timeout_at(deadline):
                return await future
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
        future: asyncio.Future[Published] = self._running().create_future()
        self.send(event, lambda outcome: _resolve(future, outcome), traceparent)
        return future

    def send(self, event: Event, done: Done, traceparent: str = "") -> None:
        """Hand an event over; `done` is called once, on the event loop, with the outcome. The cheapest way, for many events.

        Raises as `submit` does; then `done` is not called. `done` must not block; what it raises is the loop's to report.
        """
        loop = self._running()
        self._publisher.send(event, lambda outcome: self._report(loop, done, outcome), traceparent)

    async def _submit_when_room(self, event: Event, traceparent: str, deadline: float) -> asyncio.Future[Published]:
        while True:
            try:
                return self.submit(event, traceparent)
            except QueueFull:
                if self._running().time() >= deadline:
                    raise
                await asyncio.sleep(_ROOM_S)

    def _running(self) -> asyncio.AbstractEventLoop:
        loop = self._loop
        if loop is None or loop.is_closed():
            raise Closed("The publisher is not open", remedy="Call start() on the running event loop.")
        try:
            if asyncio.get_running_loop() is loop:
                return loop
        except RuntimeError:
            pass
        raise Closed("The publisher belongs to another event loop", remedy="Use it from the loop that started it, or start one per loop.")

    def _report(self, loop: asyncio.AbstractEventLoop, done: Done, outcome: Outcome) -> None:
        self._settled.append((done, outcome))
        if not self._woken:
            self._woken = True
            with suppress(RuntimeError):  # the loop is closed: nobody waits any more
                loop.call_soon_threadsafe(self._settle, loop)

    def _settle(self, loop: asyncio.AbstractEventLoop) -> None:
        self._woken = False  # before the first pop: a report that comes now wakes the loop again
        while self._settled:
            done, outcome = self._settled.popleft()
            try:
                done(outcome)
            except Exception as error:  # noqa: BLE001  # the others' outcomes are not lost by one callback's fault
                loop.call_exception_handler({"message": "a callback of AsyncPublisher.send failed", "exception": error})


def _resolve(future: asyncio.Future[Published], outcome: Outcome) -> None:
    if future.done():  # nobody waits any more
        return
    if isinstance(outcome, BrokerError):
        future.set_exception(outcome)
    else:
        future.set_result(outcome)
