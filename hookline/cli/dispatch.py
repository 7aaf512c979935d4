"""`hookline dispatch`: deliver."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from hookline.kernel.config import environment
from hookline.kernel.lifecycle import Stop, run_async
from hookline.kernel.log import configure


def command(
    workers: Annotated[int, typer.Option(min=1, max=256, help="Processes to run, one per core.")] = 1,
    log_level: Annotated[str, typer.Option(help="DEBUG, INFO, WARNING or ERROR.")] = "INFO",
) -> None:
    """Take events from Kafka and deliver each to every webhook that asked for it, until stopped."""
    if workers > 1:
        _many(workers, log_level)
        return
    configure(log_level, process="dispatch")
    from hookline.dispatcher.process import serve  # keep `hookline --help` quick

    async def main(stop: Stop) -> None:
        await serve(environment(), stop)

    run_async(main)


def _many(workers: int, log_level: str) -> None:
    """Run the workers as children, restarting those that die."""
    configure(log_level, process="dispatch")
    from hookline.cli import workers as pool  # keep `hookline --help` quick

    pool.run([sys.executable, "-m", "hookline.cli.main", "dispatch", "--log-level", log_level], workers)
