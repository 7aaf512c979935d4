"""`hookline sink`: attempts from Kafka into ClickHouse; in embedded mode also the named queries for the other commands."""

from __future__ import annotations

from typing import Annotated

import typer

from hookline.kernel import log
from hookline.kernel.config import environment
from hookline.kernel.lifecycle import run_sync


def command(log_level: Annotated[str, typer.Option(help="DEBUG, INFO, WARNING or ERROR.")] = "INFO") -> None:
    """Write every attempt into ClickHouse exactly once, until stopped.

    Waits while Kafka or ClickHouse is away, and says so in its log and at /readyz.
    """
    log.configure(log_level, process="sink")
    from hookline.analytics.process import SinkProcess  # keep `hookline --help` quick

    environ = environment()
    run_sync(lambda stop: SinkProcess(environ).run(stop))
