"""Dispatchers whose calls leave by an HTTP proxy."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from hookline.schemas.records import ErrorKind, Outcome
from tests.dispatcher.proxying import Tunneller

pytestmark = pytest.mark.kafka

Pipeline = Any  # the fixture's class stands in conftest.py
Until = Callable[..., None]


@contextmanager
def proxy(port: int = 0) -> Iterator[Tunneller]:
    """Run a proxy on a loop of its own within the block; `port` 0: a free one."""
    made, ready, end, loop = Tunneller(port=port), threading.Event(), asyncio.Event(), asyncio.new_event_loop()

    async def serve() -> None:
        async with made.running():
            ready.set()
            await end.wait()

    thread = threading.Thread(target=loop.run_until_complete, args=(serve(),))
    thread.start()
    try:
        assert ready.wait(30)
        yield made
    finally:
        loop.call_soon_threadsafe(end.set)
        thread.join(30)
        loop.close()


def test_a_proxy_that_goes_and_comes_back(pipeline: Pipeline, until: Until) -> None:
    """All calls leave by it; while it is away they fail by our fault, which disables no webhook; then all arrive, none twice."""
    pipeline.environ["HOOKLINE_RETRY_SCHEDULE"] = ",".join(["300ms", *["1s"] * 60])
    webhook = pipeline.create("hook")
    with proxy() as first:
        pipeline.start_dispatcher(HOOKLINE_PROXY=f"http://user:hush@127.0.0.1:{first.port}")
        events = pipeline.publish(count=5)
        until(lambda: len(pipeline.receiver.of("hook")) == 5, what="the calls through the proxy")
        assert first.asked
        assert all(b"\r\nProxy-Authorization: Basic dXNlcjpodXNo\r\n" in one for one in first.asked)
    events += pipeline.publish(count=5)
    until(lambda: sum(one.error_kind is ErrorKind.INTERNAL for one in pipeline.attempts()) >= 5, what="calls that nobody lets through")
    assert pipeline.registry.get(webhook.id).state == "enabled"
    with proxy(first.port) as second:
        until(lambda: pipeline.account("hook", webhook, events).delivered == 10, what="all of them")
        assert second.asked
    account = pipeline.account("hook", webhook, events)
    assert (account.lost, account.strange, account.duplicates) == (set(), set(), 0)
    failures = [one for one in pipeline.attempts() if one.outcome is not Outcome.DELIVERED]
    assert {one.error_kind for one in failures} == {ErrorKind.INTERNAL}
    assert all("hush" not in f"{one}" and "dXNlcjpodXNo" not in f"{one}" for one in failures)
    log = (pipeline.folder / "dispatcher.0.log").read_text()
    assert "hush" not in log
    assert "dXNlcjpodXNo" not in log
