"""`hookline events`: the catalogue of event types, and publishing one event by hand."""

from __future__ import annotations

import json
import sys
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hookline.cli.broker import reached
from hookline.cli.output import AsJson, console, say, show_fields, show_json, show_table
from hookline.kernel.clock import SystemClock, rfc3339
from hookline.kernel.config import environment
from hookline.kernel.errors import InputError

if TYPE_CHECKING:
    from hookline.schemas.events import Event

app = typer.Typer(no_args_is_help=True, help="Events: which types there are, what they hold, publish one.")

Type = Annotated[str, typer.Argument(metavar="TYPE", help="An event type such as order.created.")]


@app.command()
def types(
    category: Annotated[str, typer.Option("--category", help="Only this category: orders, products, checkout or customers.")] = "",
    reference: Annotated[bool, typer.Option("--reference", help="Print docs/events.md: fields and examples of all.")] = False,
    as_json: AsJson = False,
) -> None:
    """List the event types of the catalogue."""
    from hookline.schemas.catalogue import EVENT_TYPES
    from hookline.schemas.reference import document
    from hookline.schemas.topics import CATEGORIES

    if reference:
        typer.echo(document(), nl=False)
        return
    if category and category not in CATEGORIES:
        raise InputError(f"There is no category {category[:60]!r}", field="category", remedy=f"Categories: {', '.join(CATEGORIES)}.")
    rows = [
        {"type": kind.name, "category": kind.category, "description": kind.description}
        for kind in EVENT_TYPES.values()
        if category in {"", kind.category}
    ]
    show_table(rows, ("type", "category", "description"), as_json=as_json)


@app.command()
def show(event_type: Type, as_json: AsJson = False) -> None:
    """Show what a type holds and an example of its data; with --json the Avro schema too."""
    from hookline.schemas.catalogue import event_type as known
    from hookline.schemas.fields import fields_of

    kind = known(event_type)
    about = {"type": kind.name, "category": kind.category, "description": kind.description}
    if as_json:
        show_json({**about, "schema": dict(kind.schema), "example": dict(kind.example)})
        return
    show_fields(about, as_json=False)
    console().print()
    rows = [{"field": field.path, "holds": field.holds, "meaning": field.meaning} for field in fields_of(kind.schema)]
    show_table(rows, ("field", "holds", "meaning"), as_json=False)
    console().print("\n[bold]example of data[/]")
    sys.stdout.write(json.dumps(kind.example, indent=2, ensure_ascii=False) + "\n")


@app.command()
def publish(
    event_type: Annotated[str, typer.Option("--type", help="The event's type. See: hookline events types")],
    store: Annotated[str, typer.Option("--store", envvar="HOOKLINE_STORE", help="The store that it happens in.")] = "demo",
    data: Annotated[str, typer.Option("--data", help="JSON, @file, or - for standard input. Default: the type's example.")] = "",
    event_id: Annotated[str, typer.Option("--id", help="The event's id; the same again is the same event. Default: a new one.")] = "",
    occurred_at: Annotated[str, typer.Option("--occurred-at", help="When it happened, such as 2026-03-14T09:26:53Z. Default: now.")] = "",
    as_json: AsJson = False,
) -> None:
    """Publish one event straight onto Kafka, past the HTTP ingest; return once every in-sync replica has it."""
    from hookline.producers.publisher import Publisher

    event = _event(event_type, store, data, event_id, occurred_at)
    environ = environment()
    reached(environ)
    with Publisher.connect(environ=environ) as publisher:
        place = publisher.publish(event)
    row = {"id": event.id, "type": event.type, "store_id": event.store_id, "occurred_at": rfc3339(event.occurred_at)}
    show_fields({**row, "topic": place.topic, "partition": place.partition, "offset": place.offset}, as_json=as_json)
    if not as_json:
        say(f"What became of it: hookline log --store {store}")


def _event(event_type: str, store: str, data: str, event_id: str, occurred_at: str) -> Event:
    """Return the event that the options describe, checked; raise `InputError` before anything is connected."""
    from hookline.schemas.catalogue import event_type as known
    from hookline.schemas.events import Event, new_event_id, validate

    return validate(
        Event(
            id=event_id or new_event_id(),
            type=known(event_type).name,
            store_id=store,
            occurred_at=_time(occurred_at) if occurred_at else SystemClock().now(),
            data=_data(data) if data else dict(known(event_type).example),
        )
    )


def _time(text: str) -> datetime:
    try:
        return datetime.fromisoformat(text)
    except ValueError as error:
        raise InputError(f"{text[:60]!r} is no time", field="occurred_at", remedy="Such as 2026-03-14T09:26:53Z.") from error


def _data(text: str) -> Any:  # noqa: ANN401  # JSON
    from hookline.producers.ingest.errors import Refused
    from hookline.producers.ingest.strict_json import parse

    try:
        return parse(_bytes(text))
    except Refused as error:
        raise InputError(error.message.replace("The body", "--data", 1), field="data", remedy=error.remedy) from error


def _bytes(text: str) -> bytes:
    if text == "-":
        return sys.stdin.buffer.read()
    if not text.startswith("@"):
        return text.encode("utf-8", "surrogateescape")
    try:
        return Path(text[1:]).read_bytes()
    except OSError as error:
        raise InputError(
            f"{text[1:]} cannot be read: {error.strerror}",
            field="data",
            remedy="Give @ and the path of a JSON file, or - for standard input.",
        ) from error
