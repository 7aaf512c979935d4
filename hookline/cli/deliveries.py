"""`hookline deliveries`: one event for one webhook; look at it, or have it made again."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hookline.analytics.gateway import open_queries
from hookline.analytics.queries import delivery
from hookline.cli import log
from hookline.cli.broker import reached
from hookline.cli.output import AsJson, say, show_fields
from hookline.kernel.config import environment
from hookline.kernel.errors import Conflict, InputError, NotFound
from hookline.schemas.records import Source, Waiting

if TYPE_CHECKING:
    from hookline.dispatcher.replays import Replays
    from hookline.webhooks.model import Webhook
    from hookline.webhooks.registry import WebhookRegistry

app = typer.Typer(no_args_is_help=True, help="Deliveries: one event for one webhook. Look at one, have one made again.")
app.command("show", help="The same as `hookline log show`.")(log.show)


@app.command()
def resend(
    delivery_id: Annotated[str, typer.Argument(metavar="DELIVERY", help="The delivery (msg_…), as `hookline log` names it.")],
    store: Annotated[str, typer.Option("--store", envvar="HOOKLINE_STORE", help="The store.")] = "demo",
    as_json: AsJson = False,
) -> None:
    """Have a delivery made again, whatever became of it: same webhook-id, current URL and secret, full retry schedule.

    The payload is read back from Kafka; a delivery older than the events are kept cannot be made again.
    """
    queries = open_queries(environment())
    try:
        last = delivery(queries, store, delivery_id)[-1]
    finally:
        queries.close()
    waiting = waiting_of(last)
    with _stack() as (registry, replays):
        webhook = _webhook(registry, waiting)
        replays.resend(waiting)
    paused = str(webhook.state) == "paused"
    shown = {name: last[name] for name in ("delivery_id", "webhook_id", "event_id", "event_type")}
    show_fields({**shown, "url": webhook.url, "resent": True, "held": paused}, as_json=as_json)
    if not as_json:
        say(f"The webhook is paused: it is held until `hookline webhooks resume {webhook.id}`." if paused else "It is on its way.")
        say(f"Follow it with: hookline log show {delivery_id} --store {store}")


def waiting_of(row: Mapping[str, Any]) -> Waiting:
    """Return the delivery that a row of the log is about; raise `InputError` for a test call, which no event is behind."""
    if not row["source_topic"]:
        raise InputError(
            f"{row['delivery_id']} was a test call: there is no event to send again",
            field="delivery_id",
            remedy=f"Make another with: hookline webhooks test {row['webhook_id']}",
        )
    source = Source(
        topic=row["source_topic"],
        partition=row["source_partition"],
        offset=row["source_offset"],
        timestamp_ms=row["source_timestamp_ms"],
    )
    names = ("delivery_id", "webhook_id", "store_id", "event_id", "event_type")
    return Waiting(**{name: row[name] for name in names}, source=source)


def _webhook(registry: WebhookRegistry, waiting: Waiting) -> Webhook:
    """Return the delivery's webhook; raise `NotFound` when it was deleted, `Conflict` when it takes no calls."""
    found = registry.get(waiting.webhook_id)
    if found is None or found.store_id != waiting.store_id:
        raise NotFound(
            f"The webhook {waiting.webhook_id} was deleted: there is nobody to deliver to", field="webhook_id", remedy="Create it anew."
        )
    if str(found.state) == "disabled":
        raise Conflict(
            f"The webhook {found.id} is disabled{f' ({found.state_reason})' if found.state_reason else ''}",
            field="webhook_id",
            remedy=f"Enable it with `hookline webhooks enable {found.id}`, then resend.",
        )
    return found


@contextmanager
def _stack() -> Iterator[tuple[WebhookRegistry, Replays]]:
    from hookline.dispatcher.replays import Replays
    from hookline.schemas.erasures import following
    from hookline.schemas.registry import open_registry
    from hookline.schemas.topics import Topics
    from hookline.schemas.wire import Codec
    from hookline.webhooks.registry import WebhookRegistry

    environ = environment()
    kafka, schemas = reached(environ), open_registry(environ)
    topics, codec = Topics(kafka.topic_prefix), Codec(schemas)
    registry = WebhookRegistry(kafka, topics, codec)
    try:
        schemas.start()
        registry.start()
        with following(kafka, topics, codec) as erasures:
            yield registry, Replays(kafka, topics, codec, erasures)
    finally:
        registry.stop()
        schemas.stop()
