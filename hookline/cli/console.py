"""`hookline console`: the REST API and the admin panel, and the sink where ClickHouse is embedded."""

from __future__ import annotations

from typing import Annotated

import typer

from hookline.kernel.config import environment
from hookline.kernel.lifecycle import Stop, run_async
from hookline.kernel.log import configure


def command(log_level: Annotated[str, typer.Option(help="DEBUG, INFO, WARNING or ERROR.")] = "INFO") -> None:
    """Serve the REST API at /api/v1, until stopped; where ClickHouse is embedded also do what `hookline sink` does."""
    configure(log_level, process="console")
    from hookline.console.process import serve  # keep `hookline --help` quick

    async def main(stop: Stop) -> None:
        await serve(environment(), stop)

    run_async(main)
