"""The command line as a test drives it: in this process, with its own environment and streams."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import structlog

from hookline.cli import commands
from hookline.cli.main import main


@dataclass(frozen=True, slots=True)
class Said:
    """What a command left behind: its status and what it wrote."""

    status: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """Standard output as JSON."""
        return json.loads(self.out)


@pytest.fixture
def hookline(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], tmp_path: Path) -> Iterator[Callable[..., Said]]:
    """Give `hookline(*arguments)`; no stack trace may ever reach a person."""
    monkeypatch.setenv("HOOKLINE_STATE_DIR", str(tmp_path))
    monkeypatch.setenv("COLUMNS", "300")
    # The real configuration would keep this test's streams for the tests to come.
    silent = structlog.make_filtering_bound_logger("critical")
    monkeypatch.setattr(commands, "configure", lambda _level: structlog.configure(wrapper_class=silent))

    def run(*arguments: str) -> Said:
        monkeypatch.setattr(sys, "argv", ["hookline", *arguments])
        capfd.readouterr()
        with pytest.raises(SystemExit) as left:
            main()
        out, err = capfd.readouterr()
        assert "Traceback" not in out + err
        status = left.value.code
        return Said(status if isinstance(status, int) else (0 if status is None else 1), out, err)

    yield run
    structlog.reset_defaults()
