"""`hookline demo`: the whole pipeline with a busy shop, faults and a reconciliation, in about a minute."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer
from rich.console import Console

from hookline.kernel.lifecycle import Stop, on_signals

if TYPE_CHECKING:
    from hookline.local.demo.show import Programme

_PIPE_WIDTH: Final = 140
_INTERRUPTED: Final = 130


def command(
    day_in: Annotated[float, typer.Option("--day-in", min=2, max=3_600, help="Seconds that the shop's busy day takes.")] = 30.0,
    rate: Annotated[float, typer.Option("--rate", min=1, max=1_000, help="Events a second, on the day's average.")] = 60.0,
    seed: Annotated[int, typer.Option("--seed", min=0, help="The same seed gives the same shop.")] = 7,
    dispatchers: Annotated[int, typer.Option("--dispatchers", min=1, max=16, help="Dispatcher processes; one is killed.")] = 2,
    keep: Annotated[bool, typer.Option("--keep", help="Stay up at the end, admin panel and all, until Ctrl-C.")] = False,
    keep_folder: Annotated[
        bool, typer.Option("--keep-folder", help="Keep the demo's folder: logs, journals, and a state for `hookline up`.")
    ] = False,
    sabotage: Annotated[
        bool, typer.Option("--sabotage", help="Add a receiver that leaves calls out of its count: the sums must notice.")
    ] = False,
) -> None:
    """Show it all: Kafka, ingest, dispatchers, sink and receivers, faults on the way, and sums that must be right.

    Everything runs on this machine in a temporary folder and is gone afterwards. Status 1 if any sum is off; then the folder stays.
    """
    from hookline.local.demo import report
    from hookline.local.demo.cast import CAST, SABOTEUR
    from hookline.local.demo.show import Programme
    from hookline.local.demo.stage import Interrupted

    cast = (*CAST, SABOTEUR) if sabotage else CAST
    out = Console(emoji=False, highlight=False) if sys.stdout.isatty() else Console(emoji=False, highlight=False, width=_PIPE_WIDTH)
    folder = Path(tempfile.mkdtemp(prefix="hookline-demo-"))
    worth_keeping = True
    try:
        right = perform(Programme(day_s=day_in, rate=rate, seed=seed, dispatchers=dispatchers, cast=cast), folder, out, stay=keep)
        worth_keeping = not right
        report.show_next(out, str(folder / "state") if keep_folder else "")
    except Interrupted:
        worth_keeping = False
        raise typer.Exit(_INTERRUPTED) from None
    finally:
        if keep_folder or worth_keeping:
            out.print(f"\n[dim]kept: {folder}, with journals and logs; delete it when you have seen enough[/]", soft_wrap=True)
        else:
            shutil.rmtree(folder, ignore_errors=True)
    if not right:
        raise typer.Exit(1)


def perform(programme: Programme, folder: Path, out: Console, *, stay: bool) -> bool:
    """Play a programme in a folder; return whether every sum was right; raise `Interrupted` when a person stopped it.

    `stay`: at the end all of it stays up until the stop.
    """
    from hookline.local.demo import report
    from hookline.local.demo.reconcile import Check
    from hookline.local.demo.show import Show
    from hookline.local.demo.stage import Stage

    stop = Stop()
    on_signals(stop)
    stage = Stage(folder, programme.dispatchers, os.environ, out, stop)
    left: list[str] = []
    try:
        stage.open()
        show = Show(programme, stage)
        try:
            right = show.play()
        finally:
            show.close()
        if stay:
            report.show_panel(out, stage.stack.panel, stage.stack.first_link, str(stage.stack.folder.path))
            stage.stay()
        else:
            report.show_gone(out, stage.stack.panel)
    finally:
        left = stage.close()
    report.show_check(out, Check(text=f"nothing is left running of {stage.started} processes", wrong=left))
    right = right and not left
    out.print("\n[bold green]Every sum is right.[/]" if right else "\n[bold red]Not every sum is right.[/] The ids are named above.")
    return right
