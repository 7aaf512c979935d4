"""The barrier of a whole dispatcher: who does not know every webhook takes nothing up."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest

from hookline.dispatcher.process import Dispatcher, Settings
from hookline.schemas.registry import open_registry

pytestmark = pytest.mark.unit


@pytest.fixture
def dispatcher(tmp_path: Path) -> Dispatcher:
    """Give a dispatcher that was not started: its registry follows nothing."""
    environ = {
        "KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:1",
        "HOOKLINE_SECRET_KEYS": f"k1:{base64.b64encode(bytes(32)).decode()}",
        "HOOKLINE_STATE_DIR": str(tmp_path),
    }
    return Dispatcher(Settings.read(environ), open_registry(environ))


def test_a_registry_that_cannot_catch_up_lets_nothing_pass(dispatcher: Dispatcher) -> None:
    """And does not count as whole, so that `/readyz` tells how far it is behind."""
    dispatcher._soundings._whole_at -= 100
    assert not dispatcher._barrier()
    assert dispatcher._soundings.registry_age_s >= 100


@pytest.mark.parametrize("done", [False, True])
def test_the_registry_is_asked_each_time(dispatcher: Dispatcher, monkeypatch: pytest.MonkeyPatch, *, done: bool) -> None:
    """What it answered before says nothing of the webhooks acknowledged since."""
    asked: list[float] = []

    def catch_up(timeout_s: float) -> bool:
        asked.append(timeout_s)
        return done

    monkeypatch.setattr(dispatcher._registry, "catch_up", catch_up)
    assert [dispatcher._barrier() for _ in range(3)] == [done] * 3
    assert len(asked) == 3
