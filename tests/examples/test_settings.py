"""Examples that are started without what they need, and events that they do not know."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from pathlib import Path

import pytest

from examples.__main__ import main
from examples.dashboard import Board

pytestmark = pytest.mark.unit


@pytest.mark.parametrize("given", ["--rate=-1", "--rate=0", "--rate=nan", "--for=inf", "--for=soon", "--seed=-1"])
def test_a_shop_that_cannot_be_is_refused_at_once(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], given: str) -> None:
    """Before anything is started, with what would do."""
    monkeypatch.setattr("sys.argv", ["python -m examples", "erp", given])
    monkeypatch.setattr("examples.__main__.Stand", None)  # whoever starts one fails
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 2
    option, _, text = given.partition("=")
    assert (
        f"argument {option}: '{text}' is no {'whole number from 0' if option == '--seed' else 'number from 0.001'} on"
        in capsys.readouterr().err
    )


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
