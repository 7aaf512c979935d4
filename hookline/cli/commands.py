"""All commands of `hookline`: one command per process, one group per noun; each group stands in its own module here."""

from __future__ import annotations

import sys
from importlib import import_module
from typing import Final

import typer

from hookline import __version__
from hookline.cli.output import fail
from hookline.kernel.errors import HooklineError
from hookline.kernel.log import configure

GROUPS: Final = (  # in the order of the data's way
    *("schemas", "topics", "api_keys", "users", "events", "webhooks", "secrets", "deliveries", "dead_letters"),
    *("log", "privacy", "migrate"),
)
COMMANDS: Final = ("config", "up", "ingest", "dispatch", "sink", "console", "demo_store", "demo", "stats", "export")


def build(only: str = "") -> typer.Typer:
    """Return the whole command line, or no more than the one command `only`, so that each process loads its own part."""
    app = typer.Typer(
        name="hookline",
        add_completion=False,
        pretty_exceptions_enable=False,
        help="Signed webhook delivery from Kafka, with its log in ClickHouse. Start with: hookline up",
    )
    app.callback(invoke_without_command=True)(_root)
    for name in _chosen(GROUPS, only):
        app.add_typer(import_module(f"hookline.cli.{name}").app, name=name.replace("_", "-"))
    for name in _chosen(COMMANDS, only):
        app.command(name.replace("_", "-"))(import_module(f"hookline.cli.{name}").command)
    return app


def _chosen(names: tuple[str, ...], only: str) -> tuple[str, ...]:
    known = only.replace("-", "_")
    return tuple(name for name in names if name == known) if known in {*GROUPS, *COMMANDS} else names


def _root(context: typer.Context, version: bool = typer.Option(False, "--version", help="Print the version and leave.")) -> None:
    if version:
        typer.echo(__version__)
        raise typer.Exit
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())
        raise typer.Exit(2)


def chosen() -> typer.Typer:
    """Return the command line as far as this process was asked for it."""
    configure("ERROR")  # what a process wants told it configures anew; standard output stays pure
    return build(next(iter(sys.argv[1:]), ""))


def run(app: typer.Typer) -> None:
    """Run the command line; an error of ours becomes two clear lines and a non-zero status."""
    try:
        app()
    except HooklineError as error:
        fail(error)
    except KeyboardInterrupt:
        raise SystemExit(130) from None
