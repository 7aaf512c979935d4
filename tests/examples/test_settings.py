"""Examples that are started without what they need, and events that they do not know."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from pathlib import Path

import pytest

from examples.dashboard import Board

pytestmark = pytest.mark.unit


@pytest.mark.parametrize(
    ("name", "missing"), [("erp", "DATABASE"), ("marketing", "DATABASE"), ("low_stock", "WEBHOOK_SECRET"), ("slack", "HOOKLINE_API_KEY")]
)
def test_a_missing_variable_is_named(name: str, missing: str) -> None:
    """One sentence, and no traceback."""
    environ = {"PATH": os.environ["PATH"]}
    command = [sys.executable, "-m", f"examples.{name}"]
    done = subprocess.run(command, env=environ, cwd=Path(__file__).parents[2], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith(f"{missing} is not set.")
    assert "Traceback" not in done.stderr


def test_the_dashboard_passes_over_other_events() -> None:
    """A type that it does not show is no failure: the webhook may ask for more than the page has."""
    board = Board()
    asyncio.run(board.note("msg_1", {"type": "customer.created", "timestamp": "2026-03-14T09:26:53Z", "data": {"customer": {}}}))
    assert board.state()["orders"] == 0
