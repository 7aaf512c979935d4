"""`Publisher` for an event loop: `await` in place of waiting threads."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from functools import partial
from types import TracebackType
from typing import Final, Self

from hookline.kernel.errors import BrokerError, Closed, QueueFull, Undelivered
from hookline.producers.event_record import EventRecord
from hookline.producers.publisher import Done, Outcome, Published, Publisher, undelivered
from hookline.schemas.events import Event

_ROOM_S: Final = 0.005
_POLL_S: Final = 0.001
_GLANCE_S: Final = 1.0
_BREATH: Final = 20


class AsyncPublisher:
    """Publishes from the event loop that started it, and from there only; errors are those of `Publisher`.

    It takes a publisher that is not started, for itself alone. Outcomes are fetched by the loop every millisecond while
    some are awaited: a thread that fetches them would fight the loop for the interpreter, which doubles the CPU per event.
    """

    def __init__(self, publisher: Publisher) -> None:
        self._publisher = publisher
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread = 0
        self._polling = False
        self._glancing: asyncio.TimerHandle | None = None
        self._waiting = 0

    @property
    def waiting(self) -> int:
        """How many events Kafka has not confirmed yet."""
        return self._waiting

    @classmethod
    async def connect(cls, bootstrap_servers: str | None = None, environ: Mapping[str, str] | None = None) -> Self:
        """Return a started publisher from the environment, as `Publisher.connect` does; close it, or use it in `async with`."""
        made = cls(await asyncio.to_thread(Publisher.prepared, bootstrap_servers, environ))
        await made.start()
        return made

    async def start(self) -> None:
        """Open the producer; starting twice is fine."""
        self._loop = asyncio.get_running_loop()
        self._thread = threading.get_ident()
        if self._publisher.open():
            self._glance(self._loop)

    async def close(self, timeout_s: float = 30.0) -> None:
        """Wait for what is in flight, then close; raise `Undelivered` for what was not confirmed in time."""
        left = await self._wait(timeout_s)
        if self._glancing is not None:
            self._glancing.cancel()
        with suppress(Undelivered):
            await asyncio.to_thread(self._publisher.close, 0)
        if left:
            raise undelivered(left, timeout_s)

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        await self.close()

    async def publish(self, event: Event, *, timeout_s: float = 30.0, traceparent: str = "") -> Published:
        """Return once Kafka has the event on every in-sync replica; raise as `Publisher.publish` does."""
        deadline = self._running().time() + timeout_s
        future = await self._when_room(lambda: self.submit(event, traceparent), deadline)
        return (await _confirmed([future], deadline, timeout_s))[0]

    async def publish_many(self, events: Iterable[Event], *, timeout_s: float = 60.0) -> list[Published]:
        """Publish all and return where each lies, in their order; raise as `Publisher.publish_many` does."""
        deadline = self._running().time() + timeout_s
        records = await asyncio.to_thread(self._publisher.prepare, list(events))
        futures: list[asyncio.Future[Published]] = []
        for number, record in enumerate(records):
            futures.append(await self._when_room(partial(self._submit, record), deadline))
            if number % _BREATH == 0:
                await asyncio.sleep(0)
        return await _confirmed(futures, deadline, timeout_s)

    async def flush(self, timeout_s: float = 30.0) -> None:
        """Wait until nothing is in flight; raise `Undelivered` with the number of events left after `timeout_s`."""
        left = await self._wait(timeout_s)
        if left:
            raise undelivered(left, timeout_s)

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
        self._sent(loop)

    def _submit(self, record: EventRecord) -> asyncio.Future[Published]:
        loop = self._running()
        future: asyncio.Future[Published] = loop.create_future()
        self._publisher.send_record(record, lambda outcome: self._report(loop, partial(_resolve, future), outcome))
        self._sent(loop)
        return future

    async def _when_room(self, submit: Callable[[], asyncio.Future[Published]], deadline: float) -> asyncio.Future[Published]:
        while True:
            try:
                return submit()
            except QueueFull:
                if self._running().time() >= deadline:
                    raise
            await asyncio.sleep(_ROOM_S)

    async def _wait(self, timeout_s: float) -> int:
        """Wait until nothing is in flight and return how much is after `timeout_s`."""
        deadline = self._running().time() + timeout_s
        while self._waiting and self._running().time() < deadline:  # noqa: ASYNC110  # simpler than an event per outcome
            await asyncio.sleep(_ROOM_S)
        return self._waiting

    def _running(self) -> asyncio.AbstractEventLoop:
        loop = self._loop
        if loop is None or loop.is_closed():
            raise Closed("The publisher is not open", remedy="Call start() on the running event loop.")
        if threading.get_ident() != self._thread:
            raise Closed("The publisher belongs to another thread's event loop", remedy="Use it from the loop that started it.")
        return loop

    def _sent(self, loop: asyncio.AbstractEventLoop) -> None:
        self._waiting += 1
        if not self._polling:
            self._polling = True
            loop.call_later(_POLL_S, self._poll, loop)

    def _poll(self, loop: asyncio.AbstractEventLoop) -> None:
        try:
            self._publisher.poll()
        finally:
            self._polling = self._waiting > 0
            if self._polling:
                loop.call_later(_POLL_S, self._poll, loop)

    def _glance(self, loop: asyncio.AbstractEventLoop) -> None:
        """Poll once a second though nothing is awaited: the client's reports of itself would pile up, and its loss stay unknown."""
        try:
            if not self._polling:
                self._publisher.poll()
        finally:
            self._glancing = loop.call_later(_GLANCE_S, self._glance, loop)

    def _report(self, loop: asyncio.AbstractEventLoop, done: Done, outcome: Outcome) -> None:
        if threading.get_ident() == self._thread:
            self._settle(loop, done, outcome)
        else:  # closing, in a thread beside the loop
            with suppress(RuntimeError):  # the loop is closed: nobody waits any more
                loop.call_soon_threadsafe(self._settle, loop, done, outcome)

    def _settle(self, loop: asyncio.AbstractEventLoop, done: Done, outcome: Outcome) -> None:
        self._waiting -= 1
        try:
            done(outcome)
        except Exception as error:  # noqa: BLE001  # one callback's fault must not cost the others their outcomes
            loop.call_exception_handler({"message": "a callback of AsyncPublisher.send failed", "exception": error})


async def _confirmed(futures: list[asyncio.Future[Published]], deadline: float, timeout_s: float) -> list[Published]:
    try:
        async with asyncio.timeout_at(deadline):
            found = await asyncio.gather(*futures, return_exceptions=True)
    except TimeoutError:
        raise undelivered(sum(future.cancelled() for future in futures), timeout_s) from None
    for outcome in found:
        if isinstance(outcome, BaseException):
            raise outcome
    return [outcome for outcome in found if isinstance(outcome, Published)]


def _resolve(future: asyncio.Future[Published], outcome: Outcome) -> None:
    if future.done():  # nobody waits any more
        return
    if isinstance(outcome, BrokerError):
        future.set_exception(outcome)
    else:
        future.set_result(outcome)
