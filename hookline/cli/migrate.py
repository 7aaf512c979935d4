"""`hookline migrate`: the shape of the ClickHouse tables."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated

import typer

from hookline.analytics import migrate
from hookline.analytics.warehouse import Warehouse
from hookline.cli.output import AsJson, show_table
from hookline.kernel.config import environment

app = typer.Typer(
    no_args_is_help=True, help="Create and change the ClickHouse tables; `hookline up` and an embedded sink do it by themselves."
)


@app.command()
def up(as_json: AsJson = False) -> None:
    """Apply the migrations that are missing and set how long rows are kept."""
    with _warehouse() as client:
        done = migrate.up_as_configured(client, environment())
    _show(done, "applied", as_json=as_json, empty="Nothing to do: all migrations are applied.")


@app.command()
def down(
    steps: Annotated[int, typer.Option(min=1, help="How many migrations to take back.")] = 1,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    as_json: AsJson = False,
) -> None:
    """Take back the newest migrations and delete the tables and rows that they made."""
    if not yes:
        typer.confirm("This deletes the tables of these migrations and all their rows. Go on?", abort=True, err=True)
    with _warehouse() as client:
        done = migrate.down(client, steps=steps)
    _show(done, "taken back", as_json=as_json, empty="Nothing to do: no migration is applied.")


@app.command()
def status(as_json: AsJson = False) -> None:
    """Show the migrations and when they were applied; changes nothing."""
    with _warehouse() as client:
        found = migrate.status(client)
    rows = [{"version": m.version, "name": m.name, "applied_at": m.applied_at} for m in found]
    show_table(rows, ("version", "name", "applied_at"), as_json=as_json)


def _show(done: list[migrate.Migration], what: str, *, as_json: bool, empty: str) -> None:
    rows = [{"version": m.version, "name": m.name, "done": what} for m in done]
    show_table(rows, ("version", "name", "done"), as_json=as_json, empty=empty)


@contextmanager
def _warehouse() -> Iterator[Warehouse]:
    from hookline.analytics.client import open_client  # keep `hookline --help` quick

    client = open_client(environment())
    try:
        yield client
    finally:
        client.close()
