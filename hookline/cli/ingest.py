"""`hookline ingest`: events over HTTP."""

from __future__ import annotations

from typing import Annotated

import typer

from hookline.kernel.config import environment
from hookline.kernel.lifecycle import Stop, run_async
from hookline.kernel.log import configure


def command(log_level: Annotated[str, typer.Option(help="DEBUG, INFO, WARNING or ERROR.")] = "INFO") -> None:
    """Take events at POST /api/v1/events and answer once they are on Kafka, until stopped.

    Listens on HOOKLINE_INGEST_HOST and HOOKLINE_INGEST_PORT; `hookline config` shows all settings.
    """
    configure(log_level, process="ingest")
    from hookline.producers.ingest.process import serve  # keep `hookline --help` quick

    async def main(stop: Stop) -> None:
        await serve(environment(), stop)

    run_async(main)
