"""A dispatcher that is behind with the webhooks waits: nobody is passed over."""

from __future__ import annotations

import signal
import subprocess
import threading
from collections.abc import Callable
from typing import Any

import pytest
from aiohttp import web

from tests.standing import STANDING

pytestmark = pytest.mark.kafka

Pipeline = Any  # the fixture's class stands in conftest.py
Until = Callable[..., None]


def stand_still(pipeline: Pipeline, until: Until, process: subprocess.Popen[bytes]) -> None:
    """Have a dispatcher hear no more of webhooks."""
    process.send_signal(signal.SIGUSR2)
    until(lambda: "webhooks stand still" in pipeline.log(process), what="the standstill")


def assert_waits(pipeline: Pipeline, until: Until, process: subprocess.Popen[bytes], path: str) -> None:
    """Have a dispatcher say that it waits, with no more than one call made; then let it follow again."""
    until(lambda: "intake.waits_for_registry" in pipeline.log(process) or len(pipeline.receiver.of(path)) > 1, what="the barrier")
    assert len(pipeline.receiver.of(path)) == 1, "called by a dispatcher that does not know all"
    process.send_signal(signal.SIGUSR2)


def test_an_event_waits_until_its_dispatcher_knows_every_webhook(pipeline: Pipeline, until: Until) -> None:
    """It takes nothing up while it cannot follow, though it could call whom it knows; then each gets the event, once."""
    known = pipeline.create("known")
    process = pipeline.start_dispatcher(**STANDING)
    first = pipeline.publish()
    until(lambda: pipeline.receiver.of("known"), what="the first call")
    stand_still(pipeline, until, process)
    new = pipeline.create("new")
    second = pipeline.publish()
    assert_waits(pipeline, until, process, "known")
    until(lambda: pipeline.receiver.of("new"), what="the new webhook's call")
    until(lambda: len(pipeline.receiver.of("known")) > 1, what="the known webhook's call")
    for path, webhook, events in (("known", known, [*first, *second]), ("new", new, second)):
        got = pipeline.account(path, webhook, events)
        assert (got.lost, got.strange, got.duplicates) == (set(), set(), 0)


def test_a_retry_waits_until_its_dispatcher_knows_every_change(pipeline: Pipeline, until: Until) -> None:
    """A receiver that moved is not called where it was."""
    webhook, moved = pipeline.create("old"), threading.Event()

    def refuse(_call: object) -> web.Response:
        moved.wait(60)  # so that the retry's three seconds begin when all is set
        return web.Response(status=503)

    pipeline.receiver.scripts["old"] = refuse
    process = pipeline.start_dispatcher(HOOKLINE_RETRY_SCHEDULE="3s", **STANDING)
    events = pipeline.publish()
    until(lambda: pipeline.receiver.of("old"), what="the first attempt")
    stand_still(pipeline, until, process)
    pipeline.webhooks.update(webhook.id, {"url": pipeline.receiver.url("new")})
    moved.set()
    assert_waits(pipeline, until, process, "old")
    until(lambda: pipeline.receiver.of("new"), what="the second attempt")
    assert not pipeline.account("new", webhook, events).strange
    assert len(pipeline.receiver.of("old")) == 1
