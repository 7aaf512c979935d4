"""`hookline privacy`: erasing what is kept of a person, on his or her word."""

from __future__ import annotations

import time
import uuid
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from hookline.cli.broker import reached
from hookline.cli.output import AsJson, say, show_fields
from hookline.kernel.config import environment, load

if TYPE_CHECKING:
    from hookline.analytics.subjects import Subject, Subjects
    from hookline.console.audit import AuditLog
    from hookline.schemas.erasures import Erasures

app = typer.Typer(no_args_is_help=True, help="What is kept of a person: find it, erase it, record that it was done.")
_ACTION: Final = "privacy.erase"
_PAUSE_S: Final = 0.5
_MOST_PLACES: Final = 100


@dataclass(frozen=True, slots=True)
class _Stack:
    subjects: Subjects
    erasures: Erasures
    audit: AuditLog


@app.callback()
def _group() -> None:
    """Keep `erase` a command of the group, though it is the only one."""


@app.command()
def erase(
    path: Annotated[str, typer.Option("--path", help="Where the person stands in the data: customer.email, or the whole data.order.…")],
    value: Annotated[str, typer.Option("--value", help="What stands there.")],
    store: Annotated[str, typer.Option("--store", envvar="HOOKLINE_STORE", help="The store.")] = "demo",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Count only.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    wait_s: Annotated[float, typer.Option("--wait", min=0, max=3_600, help="Seconds to wait for the sink to redact the log.")] = 60.0,
    as_json: AsJson = False,
) -> None:
    """Find the events that are about a person, count them, then erase: no view, export or replay shows or sends them any more.

    Records on Kafka stay until retention takes them: docs/privacy.md says which, and for how long.
    """
    from hookline.analytics.subjects import subject

    whom = subject(store, path, value)
    with _stack() as stack:
        counts, events, unreadable = _found(stack, whom)
        fresh = sorted(event_id for event_id in events if not stack.erasures.has(store, event_id))
        row: dict[str, Any] = {"store_id": store, "records": counts.total(), "events": len(events), "new": len(fresh)}
        row |= {"records_by_topic": dict(counts), "rows_with_answers": _rows(store, events)}
        row |= {"unreadable": unreadable}
        if unreadable:
            say(f"{len(unreadable)} records with that value cannot be read as events, so that they are not erased: docs/privacy.md.")
        if dry_run or not events:
            show_fields(row | {"erased": 0}, as_json=as_json)
            return
        if not yes:
            say(f"{len(events)} events in {counts.total()} records, {row['rows_with_answers']} rows of the log with answers to them.")
            typer.confirm(f"Erase them from store {store}? Nothing brings them back.", abort=True, err=True)
        row |= _erased(stack, whom, fresh)
    left = _redacted(store, events, wait_s)
    show_fields(row | {"erased": len(fresh), "rows_left": left}, as_json=as_json)
    if left:
        say("The sink has not redacted the rest of the log yet: it goes on by itself as soon as it runs.")
        raise typer.Exit(1)


def _found(stack: _Stack, whom: Subject) -> tuple[Counter[str], set[str], list[str]]:
    """Return the records by topic and the events that are about a person, and the places of what may be and cannot be read."""
    counts: Counter[str] = Counter()
    events: set[str] = set()
    unreadable: list[str] = []
    for topic in stack.subjects.topics:
        for hit in stack.subjects.find(whom, topic):
            if hit.event_id:
                counts[hit.topic] += 1
                events.add(hit.event_id)
            elif len(unreadable) < _MOST_PLACES:
                unreadable.append(hit.place)
    return counts, events, unreadable


def _erased(stack: _Stack, whom: Subject, events: list[str]) -> dict[str, str]:
    """Write the erasures, then the audit, which names the path and not the person."""
    from hookline.cli.trail import ACTOR
    from hookline.schemas.audit import Entry
    from hookline.schemas.erasures import Erasure

    request_id, now_us = f"era_{uuid.uuid4().hex[:20]}", time.time_ns() // 1_000
    stack.erasures.write(
        Erasure(store_id=whom.store_id, event_id=event_id, erased_at_us=now_us, request_id=request_id) for event_id in events
    )
    target = f"{'.'.join(whom.path)}: {len(events)} events"
    entry_id = f"aud_{uuid.uuid4().hex[:20]}"
    stack.audit.write(
        Entry(id=entry_id, at_us=now_us, store_id=whom.store_id, actor=ACTOR, action=_ACTION, target=target, request_id=request_id)
    )
    return {"request_id": request_id}


def _rows(store: str, events: set[str]) -> int:
    """Return how many rows of the log still hold answers to these events."""
    from hookline.analytics.gateway import open_queries
    from hookline.analytics.redaction import ERASABLE, MARK, batches

    queries = open_queries(environment())
    try:
        return sum(
            int(queries.run(ERASABLE, {"store_id": store, "events": ",".join(ids), "mark": MARK})[0]["n"])
            for ids in batches(sorted(events))
        )
    finally:
        queries.close()


def _redacted(store: str, events: set[str], wait_s: float) -> int:
    """Wait until the sink has redacted the rows; return how many are left."""
    deadline = time.monotonic() + wait_s
    while (left := _rows(store, events)) and time.monotonic() < deadline:
        time.sleep(_PAUSE_S)
    return left


@contextmanager
def _stack() -> Iterator[_Stack]:
    from hookline.analytics.subjects import Subjects
    from hookline.console.audit import AuditLog
    from hookline.schemas.erasures import following
    from hookline.schemas.registry import open_registry
    from hookline.schemas.topics import Topics, TopicsConfig
    from hookline.schemas.wire import Codec

    environ = environment()
    kafka, schemas = reached(environ), open_registry(environ)
    topics, codec = Topics(kafka.topic_prefix), Codec(schemas)
    subjects = Subjects(kafka, topics, codec, load(TopicsConfig, environ).retry_tiers)
    schemas.start()
    try:
        with following(kafka, topics, codec) as erasures:
            yield _Stack(subjects, erasures, AuditLog(kafka, topics, codec))
    finally:
        schemas.stop()
