"""A dispatcher that is behind with the webhooks waits: nobody is passed over."""

from __future__ import annotations

import signal
from collections.abc import Callable
from typing import Any

import pytest

from tests.standing import STANDING

pytestmark = pytest.mark.kafka

Pipeline = Any  # the fixture's class stands in conftest.py
Until = Callable[..., None]


def test_an_event_waits_until_its_dispatcher_knows_every_webhook(pipeline: Pipeline, until: Until) -> None:
    """It takes nothing up while it cannot follow, though it could call whom it knows; then each gets the event, once."""
    known = pipeline.create("known")
    process = pipeline.start_dispatcher(**STANDING)
    first = pipeline.publish()
    until(lambda: pipeline.receiver.of("known"), what="the first call")
    process.send_signal(signal.SIGUSR2)
    until(lambda: "webhooks stand still" in pipeline.log(process), what="the standstill")
    new = pipeline.create("new")
    second = pipeline.publish()
    until(lambda: "intake.waits_for_registry" in pipeline.log(process) or len(pipeline.receiver.of("known")) > 1, what="the barrier")
    assert len(pipeline.receiver.of("known")) == 1, "called by a dispatcher that does not know all"
    process.send_signal(signal.SIGUSR2)
    until(lambda: pipeline.receiver.of("new"), what="the new webhook's call")
    until(lambda: len(pipeline.receiver.of("known")) > 1, what="the known webhook's call")
    for path, webhook, events in (("known", known, [*first, *second]), ("new", new, second)):
        got = pipeline.account(path, webhook, events)
        assert (got.lost, got.strange, got.duplicates) == (set(), set(), 0)
