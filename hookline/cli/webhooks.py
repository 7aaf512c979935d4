"""`hookline webhooks`: who gets called, for what, and whether it works."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import orjson
import typer

from hookline.cli import webhook_certificates, webhook_files
from hookline.cli.broker import reached
from hookline.cli.output import AsJson, say, show_fields, show_table
from hookline.cli.webhook_options import given
from hookline.kernel.clock import SystemClock, from_us, rfc3339
from hookline.kernel.config import environment, load
from hookline.kernel.errors import InputError, NotFound
from hookline.kernel.kafka import KafkaConfig

if TYPE_CHECKING:
    from hookline.schemas.events import Event
    from hookline.schemas.records import Attempt
    from hookline.schemas.topics import Topics
    from hookline.schemas.wire import Codec
    from hookline.webhooks.model import Webhook
    from hookline.webhooks.registry import WebhookRegistry
    from hookline.webhooks.store import Webhooks

app = typer.Typer(no_args_is_help=True, help="Webhooks: who gets called for what. Create, change, pause, test.")

_COLUMNS: Final = ("id", "store_id", "name", "url", "event_types", "state")
_CUT: Final = ("name", "url", "event_types")
_TYPES_SHOWN: Final = 2
_CATCH_UP_S: Final = 10.0
_MASK: Final = "********"
_DATA: Final = "Give a JSON object, @ and the path of a file that holds one, or - for standard input."

Id = Annotated[str, typer.Argument(metavar="WEBHOOK", help="The webhook's id (wh_…), as `list` shows it.")]
Types = Annotated[
    list[str] | None,
    typer.Option("--type", help="An event type such as order.created, or all; can be given again. See: hookline events types"),
]
FilterText = Annotated[
    str | None, typer.Option("--filter", help="CEL over type, store_id and data; events it is not true for are left out.")
]
TemplateText = Annotated[
    str | None,
    typer.Option(
        "--template",
        help="What is sent in place of the usual body: slack, discord, teams, cloudevents, JSON with ${CEL}, @file. Empty: none.",
    ),
]
HeaderTexts = Annotated[
    list[str] | None, typer.Option("--header", help="'Name: value' to send along; can be given again. An empty text: no headers.")
]
Timeout = Annotated[float | None, typer.Option("--timeout", help="Seconds that one call may take, 5 to 30.")]
Schedule = Annotated[str | None, typer.Option("--schedule", help="default: 8 attempts in 27.6 h; long: 16 in 75.1 h.")]
Name = Annotated[str | None, typer.Option("--name", help="What it is for.")]
Secret = Annotated[str, typer.Option("--secret", help="Your own secret (whsec_…); left out, one is made.")]


@app.command()
def create(
    url: Annotated[str, typer.Option("--url", help="Where to call: https://…")],
    types: Types = None,
    store: Annotated[str, typer.Option("--store", envvar="HOOKLINE_STORE", help="The store whose events it gets.")] = "demo",
    name: Name = None,
    filter_text: FilterText = None,
    template: TemplateText = None,
    headers: HeaderTexts = None,
    timeout_s: Timeout = None,
    schedule: Schedule = None,
    secret: Secret = "",
    as_json: AsJson = False,
) -> None:
    """Create a webhook and show its signing secret, this once."""
    from hookline.webhooks.store import NewWebhook

    wanted = given(
        url=url, types=types, name=name, filter_text=filter_text, template=template, headers=headers, timeout_s=timeout_s, schedule=schedule
    )
    wanted.setdefault("event_types", ())
    _check(wanted, secret)
    with open_writer() as webhooks:
        made, plain = webhooks.create(NewWebhook(store_id=store, secret=secret, **wanted))
    show_fields({**row(made), "secret": plain}, as_json=as_json)
    if not as_json:
        say(f"Keep the secret now: it cannot be shown again. Try it with: hookline webhooks test {made.id}")


@app.command("list")
def list_webhooks(
    store: Annotated[str, typer.Option("--store", envvar="HOOKLINE_STORE", help="Only this store's; empty: all.")] = "",
    wide: Annotated[bool, typer.Option("--wide", help="Every column, in full.")] = False,
    as_json: AsJson = False,
) -> None:
    """List webhooks, in the width of the terminal."""
    with open_reader() as stack:
        found = stack.registry.of_store(store) if store else stack.registry.all()
    rows = [row(webhook) for webhook in sorted(found, key=lambda w: (w.store_id, w.created_at_us, w.id))]
    columns = tuple(column for column in _COLUMNS if column != "store_id" or not store)
    empty = "No webhooks. Make one with: hookline webhooks create --url https://… --type order.created"
    if wide or as_json or not rows:
        show_table(rows, tuple(rows[0]) if rows else columns, as_json=as_json, empty=empty)
    else:
        show_table([{**row, "event_types": _in_short(row["event_types"])} for row in rows], columns, as_json=False, cut=_CUT)


@app.command()
def show(webhook_id: Id, as_json: AsJson = False) -> None:
    """Show one webhook; never its secret, nor the values of its headers."""
    with open_reader() as stack:
        show_fields(row(stack.known(webhook_id)), as_json=as_json)


@app.command()
def update(
    webhook_id: Id,
    url: Annotated[str | None, typer.Option("--url", help="Where to call: https://…")] = None,
    types: Types = None,
    name: Name = None,
    filter_text: FilterText = None,
    template: TemplateText = None,
    headers: HeaderTexts = None,
    timeout_s: Timeout = None,
    schedule: Schedule = None,
    version: Annotated[int | None, typer.Option("--if-version", help="Only if it still has this version, as `show` prints it.")] = None,
    as_json: AsJson = False,
) -> None:
    """Change what is given, leave the rest; lists of types and headers are replaced whole."""
    changes = given(
        url=url, types=types, name=name, filter_text=filter_text, template=template, headers=headers, timeout_s=timeout_s, schedule=schedule
    )
    if not changes:
        raise InputError("Nothing to change", remedy="Give at least one option; see hookline webhooks update --help.")
    _check(changes)
    with open_writer() as webhooks:
        show_fields(row(webhooks.update(webhook_id, changes, version)), as_json=as_json)


@app.command()
def pause(webhook_id: Id, as_json: AsJson = False) -> None:
    """Hold its deliveries until it is resumed."""
    with open_writer() as webhooks:
        show_fields(row(webhooks.pause(webhook_id)), as_json=as_json)


@app.command()
def resume(webhook_id: Id, as_json: AsJson = False) -> None:
    """Deliver what a pause held, and what comes."""
    with open_writer() as webhooks:
        show_fields(row(webhooks.resume(webhook_id)), as_json=as_json)


@app.command()
def enable(webhook_id: Id, as_json: AsJson = False) -> None:
    """Take events again after it was disabled, by you or by a 410."""
    with open_writer() as webhooks:
        show_fields(row(webhooks.enable(webhook_id)), as_json=as_json)


@app.command()
def disable(
    webhook_id: Id,
    reason: Annotated[str, typer.Option("--reason", help="Why; shown with the webhook.")] = "disabled by hand",
    as_json: AsJson = False,
) -> None:
    """Take no events until it is enabled; what waits becomes dead letters."""
    with open_writer() as webhooks:
        show_fields(row(webhooks.disable(webhook_id, reason)), as_json=as_json)


@app.command("rotate-secret")
def rotate_secret(
    webhook_id: Id,
    secret: Secret = "",
    overlap_h: Annotated[
        float, typer.Option("--overlap-hours", min=0, max=24, help="Hours that old secrets sign too; 0 ends them now, after a leak.")
    ] = 24.0,
    as_json: AsJson = False,
) -> None:
    """Replace the secret and show the new one, this once; the old one signs too for 24 hours."""
    with open_writer() as webhooks:
        plain = webhooks.rotate_secret(webhook_id, secret, overlap_h * 3_600)
        changed = webhooks.get(webhook_id)
    until_us = max((s.expires_at_us for s in changed.secrets), default=0)
    show_fields({"id": webhook_id, "secret": plain, "old_secret_signs_until": _time(until_us)}, as_json=as_json)
    if not as_json:
        say("Keep the secret now: it cannot be shown again.")
        if until_us:
            say("Until the time above, calls carry a signature of each.")


@app.command()
def delete(webhook_id: Id, yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False, as_json: AsJson = False) -> None:
    """Delete it for good; what still waits for it is cancelled."""
    with open_writer() as webhooks:
        found = webhooks.get(webhook_id)
        if not yes:
            typer.confirm(f"Delete {found.id} ({found.url})?", abort=True, err=True)
        webhooks.delete(webhook_id)
    show_fields({"id": webhook_id, "deleted": True}, as_json=as_json)


@app.command("test")
def send_test(
    webhook_id: Id,
    event_type: Annotated[str, typer.Option("--type", help="The event type; the webhook's first one by default.")] = "",
    data: Annotated[str, typer.Option("--data", help="The event's data: JSON, @file, or - for standard input. Default: the example.")] = "",
    wait_s: Annotated[float, typer.Option("--wait", min=0.1, max=600, help="Seconds to wait for the answer.")] = 45.0,
    as_json: AsJson = False,
) -> None:
    """Make one signed call and show what the receiver answered; status 1 if it failed."""
    from hookline.dispatcher.trials import Trials

    with open_reader() as stack:
        webhook = stack.known(webhook_id)
        event = _event(event_type or webhook.event_types[0], webhook.store_id, data)
        attempt = Trials(stack.kafka, stack.topics, stack.codec).send(webhook, event, wait_s)
    show_fields(_answer(attempt), as_json=as_json)
    if attempt.outcome != "delivered":
        raise typer.Exit(1)


app.command()(webhook_files.plan)
app.command()(webhook_files.apply)
app.command()(webhook_certificates.certificate)

# ---- the parts ----


@dataclass(frozen=True, slots=True, kw_only=True)
class _Stack:
    """What reading needs: no command that only looks asks for the keys of the secrets."""

    kafka: KafkaConfig
    topics: Topics
    codec: Codec
    registry: WebhookRegistry

    def known(self, webhook_id: str) -> Webhook:
        """Return a webhook; raise `NotFound`."""
        found = self.registry.get(webhook_id)
        if found is None:
            raise NotFound(f"There is no webhook {webhook_id[:80]!r}", field="id", remedy="See `hookline webhooks list`.")
        return found


@contextmanager
def open_reader() -> Iterator[_Stack]:
    """Yield the webhooks as they are; raise `BrokerError`."""
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
        yield _Stack(kafka=kafka, topics=topics, codec=codec, registry=registry)
    finally:
        registry.stop()
        schemas.stop()


@contextmanager
def open_writer() -> Iterator[Webhooks]:
    """Yield what changes webhooks, on the audit; raise `BrokerError`, or `ConfigError` without HOOKLINE_SECRET_KEYS."""
    from hookline.cli.trail import NotedWebhooks
    from hookline.webhooks.secrets import SecretsConfig, Vault
    from hookline.webhooks.urls import UrlPolicy

    environ = environment()
    vault, policy = Vault.from_config(load(SecretsConfig, environ)), load(UrlPolicy, environ)
    with open_reader() as stack:
        yield NotedWebhooks(stack.kafka, stack.topics, stack.registry, vault, stack.codec, policy)


def _check(changes: Mapping[str, Any], secret: str = "") -> None:
    """Raise `InputError` for what can be told without a broker, so that a typing mistake is told at once."""
    from hookline.webhooks.secrets import parse_secret
    from hookline.webhooks.store import checked
    from hookline.webhooks.urls import UrlPolicy

    checked(changes, load(UrlPolicy, environment()))
    if secret:
        parse_secret(secret)


def _in_short(types: list[str]) -> str:
    """Return one or two types as they are, more as the first and how many are left out."""
    return ", ".join(types) if len(types) <= _TYPES_SHOWN else f"{types[0]} +{len(types) - 1}"


def row(webhook: Webhook) -> dict[str, Any]:
    """Return a webhook as it is shown: without secrets, header values masked, since they may be passwords."""
    return {
        "id": webhook.id,
        "store_id": webhook.store_id,
        "name": webhook.name,
        "url": webhook.url,
        "event_types": list(webhook.event_types),
        "filter": webhook.filter,
        "template": webhook.template,
        "state": str(webhook.state),
        "state_reason": webhook.state_reason,
        "state_since": _time(webhook.state_since_us),
        "headers": [f"{header.name}: {_MASK}" for header in webhook.headers],
        "client_certificate": webhook.client_certificate.fingerprint if webhook.client_certificate is not None else "",
        "timeout_s": webhook.timeout_s,
        "schedule": webhook.schedule,
        "created_at": _time(webhook.created_at_us),
        "updated_at": _time(webhook.updated_at_us),
        "version": webhook.version,
    }


def _time(us: int) -> str:
    return rfc3339(from_us(us)) if us else ""


# ---- testing ----


def _event(event_type: str, store_id: str, data: str) -> Event:
    from hookline.schemas.events import Event, example_event, new_event_id, validate

    clock = SystemClock()
    if not data:
        return example_event(event_type, store_id, clock=clock)
    event = Event(id=new_event_id(), type=event_type, store_id=store_id, occurred_at=clock.now(), data=read_data(data))
    return validate(event)


def read_data(text: str) -> dict[str, Any]:
    """Return the JSON object that an option gives: itself, `@file`, or `-` for standard input; raise `InputError`."""
    try:
        if text == "-":
            found = orjson.loads(sys.stdin.buffer.read())
        else:
            found = orjson.loads(Path(text[1:]).read_bytes() if text.startswith("@") else text)
    except OSError as error:
        raise InputError(f"{text[1:]} cannot be read: {error.strerror}", field="data", remedy=_DATA) from error
    except orjson.JSONDecodeError as error:
        raise InputError(f"The data is no JSON: {error}", field="data", remedy=_DATA) from error
    if not isinstance(found, dict):
        raise InputError("The data must be a JSON object", field="data", remedy=_DATA)
    return found


def _answer(attempt: Attempt) -> dict[str, Any]:
    return {
        "delivery_id": attempt.delivery_id,
        "webhook_id": attempt.webhook_id,
        "event_type": attempt.event_type,
        "outcome": str(attempt.outcome),
        "http_status": attempt.http_status or None,
        "error": str(attempt.error_kind),
        "detail": attempt.error_detail,
        "response_time_ms": round(attempt.response_time_us / 1_000, 1),
        "url": attempt.url,
        "request_headers": attempt.request_headers,
        "response_headers": attempt.response_headers,
        "response_body": attempt.response_body,
    }
