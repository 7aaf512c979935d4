"""The publisher for an event loop: the same promises and errors, without threads that wait."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest

from hookline.kernel.errors import Closed, InputError, QueueFull, Undelivered, UnknownEventType
from hookline.kernel.kafka import producer as real_producer
from hookline.producers import async_publisher as module
from hookline.producers.async_publisher import AsyncPublisher
from hookline.producers.publisher import Outcome, Published
from tests.producers.fakes import event, publisher

pytestmark = pytest.mark.unit


@pytest.fixture
async def mocked() -> AsyncIterator[AsyncPublisher]:
    """Yield a publisher on a mock broker."""
    async with AsyncPublisher(publisher()) as found:
        yield found


@pytest.fixture
async def alone() -> AsyncIterator[AsyncPublisher]:
    """Yield a publisher whose broker is not there."""
    found = AsyncPublisher(publisher(real_producer))
    await found.start()
    yield found
    if found.waiting:
        with pytest.raises(Undelivered):
            await found.close(0)


async def test_publish_returns_where_the_event_lies(mocked: AsyncPublisher) -> None:
    """One after the other and all at once, each event has its own place."""
    places = [await mocked.publish(event())] + await asyncio.gather(*(mocked.publish(event()) for _ in range(20)))
    assert len({(place.partition, place.offset) for place in places}) == 21
    assert mocked.waiting == 0


async def test_one_that_publishes_nothing_is_polled(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its client's reports of itself are fetched, so that they do not pile up, and its loss is heard of; until it is closed."""
    monkeypatch.setattr(module, "_GLANCE_S", 0.02)
    polls: list[float] = []

    class Idle:
        def poll(self, _: float = 0) -> int:
            polls.append(time.monotonic())
            return 0

        def flush(self, _: float) -> int:
            return 0

        def purge(self) -> None:
            """Have nothing."""

        def __len__(self) -> int:
            return 0

    found = AsyncPublisher(publisher(lambda *_, **__: Idle()))  # type: ignore[arg-type]  # as much of one as is used
    began = time.monotonic()
    await found.start()
    await found.start()
    async with asyncio.timeout(30):
        while len(polls) < 20:  # noqa: ASYNC110  # simpler than an event
            await asyncio.sleep(0.01)
    assert len(polls) <= (time.monotonic() - began) / 0.02 + 2, "one thread polls, and not two"
    await found.close()
    polls.clear()
    await asyncio.sleep(0.1)
    assert polls == []


async def test_publish_many_keeps_the_order(mocked: AsyncPublisher) -> None:
    """The places come in the order of the events, and so do the offsets of one entity."""
    places = await mocked.publish_many([event() for _ in range(100)])
    assert [place.offset for place in places] == sorted(place.offset for place in places)


async def test_publish_many_checks_all_before_the_first_goes_out(alone: AsyncPublisher) -> None:
    """One wrong event stops the whole list, and the error says which."""
    with pytest.raises(InputError) as caught:
        await alone.publish_many([event(), event(type="order.creatd")])
    assert caught.value.field == "events[1].type"
    assert alone.waiting == 0


async def test_a_wrong_event_never_reaches_kafka(alone: AsyncPublisher) -> None:
    """The typed error comes from the call itself."""
    for wrong, kind in ((event(type="x"), UnknownEventType), (event(data={}), InputError), ("an event", InputError)):
        with pytest.raises(kind):
            await alone.publish(wrong)  # type: ignore[arg-type]
        with pytest.raises(kind):
            alone.submit(wrong)  # type: ignore[arg-type]
    assert alone.waiting == 0


async def test_callbacks_run_on_the_loop(mocked: AsyncPublisher) -> None:
    """Each `done` is called once, in the loop's thread, also when another one raises."""
    loop, complaints = asyncio.get_running_loop(), list[dict[str, Any]]()
    loop.set_exception_handler(lambda _, context: complaints.append(context))
    outcomes: list[tuple[Outcome, int]] = []

    def fail(_: Outcome) -> None:
        raise RuntimeError("a fault of the caller")

    for number in range(10):
        mocked.send(event(), fail if number == 3 else lambda outcome: outcomes.append((outcome, threading.get_ident())))
    await mocked.flush()
    assert len(outcomes) == 9
    assert all(isinstance(outcome, Published) and ident == threading.get_ident() for outcome, ident in outcomes)
    assert [str(context["exception"]) for context in complaints] == ["a fault of the caller"]


async def test_a_full_queue_is_an_error(alone: AsyncPublisher) -> None:
    """`submit` says so at once, `publish` when there was no room in its time."""
    for _ in range(1_000):
        alone.send(event(), lambda _: None)
    with pytest.raises(QueueFull):
        alone.submit(event())
    began = time.monotonic()
    with pytest.raises(QueueFull):
        await alone.publish(event(), timeout_s=0.1)
    assert time.monotonic() - began >= 0.1
    assert alone.waiting == 1_000


async def test_what_is_not_confirmed_in_time_is_undelivered(alone: AsyncPublisher) -> None:
    """The error says that the event may have arrived, and how many."""
    with pytest.raises(Undelivered, match="1 event in"):
        await alone.publish(event(), timeout_s=0.05)
    with pytest.raises(Undelivered, match="3 events"):
        await alone.publish_many([event() for _ in range(3)], timeout_s=0.05)
    with pytest.raises(Undelivered, match="4 events"):
        await alone.flush(0.05)


async def test_close_tells_whoever_still_waits() -> None:
    """Futures of events that were given up get the error; close raises with their number."""
    found = AsyncPublisher(publisher(real_producer))
    await found.start()
    futures = [found.submit(event()) for _ in range(3)]
    with pytest.raises(Undelivered, match="3 events"):
        await found.close(0.05)
    outcomes = await asyncio.gather(*futures, return_exceptions=True)
    assert [type(outcome) for outcome in outcomes] == [Undelivered] * 3
    with pytest.raises(Closed):
        found.submit(event())


async def test_before_start_it_is_closed() -> None:
    """It says so instead of hanging."""
    with pytest.raises(Closed, match="not open"):
        await AsyncPublisher(publisher()).publish(event())


async def test_another_threads_loop_is_refused(mocked: AsyncPublisher) -> None:
    """The error says where it belongs."""

    async def there() -> None:
        with pytest.raises(Closed, match="another thread"):
            await mocked.publish(event())

    await asyncio.to_thread(asyncio.run, there())


def test_a_closed_loop_is_refused() -> None:
    """After the loop is gone there is nobody to call back."""
    found = AsyncPublisher(publisher())
    asyncio.run(found.start())

    async def later() -> None:
        with pytest.raises(Closed, match="not open"):
            await found.publish(event())

    asyncio.run(later())
