"""`hookline schemas`: the event schemas and the registry they are in."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hookline.cli.broker import reached
from hookline.cli.output import AsJson, say, show_json, show_table
from hookline.kernel.config import environment
from hookline.kernel.errors import Incompatible, SchemaError

if TYPE_CHECKING:
    from hookline.schemas.registry import SchemaRegistry

app = typer.Typer(no_args_is_help=True, help="Avro schemas: register this build's, list, show, check compatibility.")


@app.command()
def register(as_json: AsJson = False) -> None:
    """Register this build's schemas; run it once before each upgrade. Registering again changes nothing."""
    from hookline.schemas.registration import reader_first, register_all

    with _registry() as registry:
        notes = reader_first(registry)
        found = register_all(registry)
    _tell_order(notes)
    rows = [{"id": r.id, "subject": r.subject, "state": "registered" if r.new else "was there"} for r in found]
    show_table(rows, ("id", "subject", "state"), as_json=as_json)


@app.command("list")
def list_schemas(as_json: AsJson = False) -> None:
    """List the schemas of this build and their ids in the registry."""
    from hookline.schemas.catalogue import BY_SUBJECT, SCHEMAS

    with _registry() as registry:
        rows = [
            {"subject": subject, "event_type": BY_SUBJECT[subject].name if subject in BY_SUBJECT else "", **_state(registry, subject)}
            for subject in SCHEMAS
        ]
    show_table(rows, ("subject", "event_type", "id", "version", "state"), as_json=as_json)


@app.command()
def show(
    name: Annotated[str, typer.Argument(metavar="NAME", help="An event type (order.created) or a subject (hookline.orders.OrderCreated).")],
    as_json: AsJson = True,  # noqa: ARG001  # it is JSON in any case; the option is there as everywhere
) -> None:
    """Print a schema of this build as JSON."""
    from hookline.schemas.catalogue import SCHEMAS, event_type

    show_json(SCHEMAS[name] if name in SCHEMAS else event_type(name).schema)


@app.command()
def check(as_json: AsJson = False) -> None:
    """Check that this build can read what the registered schemas wrote; status 1 when it cannot."""
    from hookline.schemas.registration import problems, reader_first

    with _registry() as registry:
        found, notes = problems(registry), reader_first(registry)
    if as_json:
        show_json({"compatible": not found, "problems": found, "upgrade_readers_first": notes})
    for problem in found:
        say(problem)
    if found:
        plural = "problem was" if len(found) == 1 else "problems were"
        raise Incompatible(f"{len(found)} {plural} found", remedy="Give added fields a default; keep old fields and symbols.")
    _tell_order(notes)
    if not as_json:
        say("This build reads whatever the registered schemas wrote.")


def _tell_order(notes: list[str]) -> None:
    """Say when running processes could not read what this build will write."""
    for note in notes:
        say(note)
    if notes:
        say("Processes of the registered build cannot read these: upgrade dispatchers and sinks before whatever publishes.")


def _state(registry: SchemaRegistry, subject: str) -> dict[str, Any]:
    versions = registry.versions(subject)
    last = versions[-1].version if versions else None
    try:
        number = registry.id_of(subject)
    except SchemaError:
        return {"id": None, "version": last, "state": "changed: register it" if versions else "not registered"}
    return {"id": number, "version": next((v.version for v in versions if v.id == number), last), "state": "registered"}


@contextmanager
def _registry() -> Iterator[SchemaRegistry]:
    from hookline.schemas.registry import EmbeddedRegistry, open_registry

    registry = open_registry(environment())
    if isinstance(registry, EmbeddedRegistry):
        reached(environment())
    registry.start()
    try:
        yield registry
    finally:
        registry.stop()
