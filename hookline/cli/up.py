"""`hookline up`: everything on this machine, until Ctrl-C."""

from __future__ import annotations

import os
import shlex
import time
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.markup import escape

from hookline.cli.output import console
from hookline.kernel.lifecycle import Stop, run_sync

if TYPE_CHECKING:
    from hookline.local.stack import Stack
    from hookline.local.supervisor import Notice


def command(
    dispatchers: Annotated[int, typer.Option(min=1, max=64, help="Dispatcher processes.")] = 1,
    ingest_port: Annotated[
        int, typer.Option(min=0, max=65_535, help="Port of the HTTP ingest; 0: the last one, or 8420, or a free one.")
    ] = 0,
    fresh: Annotated[bool, typer.Option("--fresh", help="Delete what the stack holds (events, webhooks, log) and begin anew.")] = False,
) -> None:
    """Start Kafka, ingest, dispatchers, sink and console on this machine, keep them running, stop them with Ctrl-C.

    With KAFKA_BOOTSTRAP_SERVERS or CLICKHOUSE_URL set, those servers are used instead of embedded ones.
    """
    from hookline.local.stack import Stack, StackOptions  # keep `hookline --help` quick

    screen = Screen(console())
    stack = Stack(StackOptions(dispatchers=dispatchers, fresh=fresh, ingest_port=ingest_port), os.environ, screen.step, screen.tell)
    run_sync(lambda stop: run(stack, screen, stop))


def run(stack: Stack, screen: Screen, stop: Stop) -> None:
    """Start the stack, watch it until the stop, stop it whatever happens."""
    try:
        stack.start(stop)
        if not stop.is_set():
            screen.show(stack)
            stack.supervisor.watch(stop)
            screen.step("stopping: what is under way is finished first (again Ctrl-C: at once)")
    finally:
        stack.stop()
        screen.step("stopped")


class Screen:
    """What `hookline up` prints: steps, what dies and starts again, and how to go on from here."""

    def __init__(self, out: Console) -> None:
        self._out = out
        self._began = time.monotonic()
        self._shown = False

    def step(self, text: str) -> None:
        """Tell what is being done."""
        self._out.print(f"[dim]{time.monotonic() - self._began:6.1f} s[/]  {escape(text)}")

    def tell(self, notice: Notice) -> None:
        """Tell what happened to a process, if a person should know."""
        if not notice.bad and not self._shown:
            return
        style = "yellow" if notice.bad else "dim"
        detail = f": {notice.detail}" if notice.detail else ""
        self._out.print(f"[dim]{time.strftime('%H:%M:%S')}[/]  [{style}]{escape(notice.child)} {notice.what.value}{escape(detail)}[/]")
        for line in notice.words:
            self._out.print(f"          [dim]{escape(line)}[/]")

    def show(self, stack: Stack) -> None:
        """Print the addresses and what to type next."""
        self._shown = True
        self._out.print("\n[bold green]Hookline runs.[/] Ctrl-C stops all of it.\n")
        for name, text in _addresses(stack).items():
            self._out.print(f"  [bold]{name:<12}[/]{escape(text)}", soft_wrap=True)
        self._out.print("\n[bold]Next[/], in another terminal, in this folder:")
        for line in _next(stack):
            self._out.print(f"  {line}", soft_wrap=True)
        self._out.print()


def _addresses(stack: Stack) -> dict[str, str]:
    environ = stack.environ
    return {
        "publish": f"POST {environ['HOOKLINE_INGEST_URL']}/api/v1/events",
        "panel": f"{stack.panel}  (REST API: /api/v1, reference: /api/v1/docs)",
        **({"first run": f"{stack.first_link}  (once: makes the operator)"} if stack.first_link else {}),
        "API key": f"{stack.api_key}  (store demo: events, webhooks, log, replays)",
        "Kafka": environ["KAFKA_BOOTSTRAP_SERVERS"] + ("" if stack.embedded_kafka else "  (yours)"),
        "ClickHouse": "yours" if environ.get("CLICKHOUSE_URL") else "embedded, asked through the console",
        "metrics": "  ".join(f"{name.removesuffix('.metrics')} :{port}" for name, port in stack.ports.items() if name.endswith(".metrics")),
        "state, logs": str(stack.folder.path),
    }


def _next(stack: Stack) -> list[str]:
    from hookline.kernel.config import STATE_DIR, state_dir

    lines = [
        "hookline webhooks create --url http://127.0.0.1:9000/hook --type order.created",
        "hookline demo-store --rate 20       # a shop that publishes",
        "hookline log                        # every attempt, newest first",
        "hookline stats                      # success rate, errors, response times",
        "hookline dead-letters list          # what could not be delivered",
    ]
    found_by_itself = stack.folder.path == state_dir({})
    return lines if found_by_itself else [f"export {STATE_DIR}={shlex.quote(str(stack.folder.path))}", *lines]
