"""`hookline api-keys`: who may do what for a store over HTTP."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from hookline.cli.broker import reached
from hookline.cli.output import AsJson, say, show_fields, show_table
from hookline.kernel.clock import SystemClock, from_us, rfc3339
from hookline.kernel.config import environment, load
from hookline.kernel.errors import InputError

if TYPE_CHECKING:
    from hookline.producers.api_keys import ApiKey, ApiKeyWriter

app = typer.Typer(no_args_is_help=True, help="API keys: who may do what for a store over HTTP.")
_DAY_S: Final = 86_400
_MOST_DAYS: Final = 3_650
_COLUMNS: Final = ("id", "store_id", "name", "scopes", "state", "created_at", "expires_at")
Store = Annotated[str, typer.Option("--store", envvar="HOOKLINE_STORE", help="The store.")]


@app.command()
def create(
    store: Store = "demo",
    name: Annotated[str, typer.Option("--name", help="What it is for.")] = "",
    scopes: Annotated[list[str] | None, typer.Option("--scope", help="What it may do; can be given again. Default: events:write.")] = None,
    days: Annotated[float, typer.Option("--expires-days", help="Days until it expires, up to 3,650; 0: never.")] = 0,
    as_json: AsJson = False,
) -> None:
    """Create a key and show it, this once: only a digest is kept."""
    if not 0 <= days <= _MOST_DAYS:  # NaN fails this too
        raise InputError(
            f"--expires-days must be from 0 to {_MOST_DAYS:,}",
            field="expires_days",
            remedy="Give a number within; with 0 it never expires.",
        )
    with open_writer() as writer:
        made, text = writer.create(store, tuple(scopes or ("events:write",)), name=name, lives_s=days * _DAY_S)
    show_fields({**_row(made), "key": text}, as_json=as_json)
    if not as_json:
        say("Keep the key now: it cannot be shown again.")


@app.command("list")
def list_keys(
    store: Annotated[str, typer.Option("--store", envvar="HOOKLINE_STORE", help="Only this store's; empty: all.")] = "",
    as_json: AsJson = False,
) -> None:
    """List keys, revoked ones too; never the keys themselves."""
    with open_writer() as writer:
        rows = [_row(key) for key in writer.list(store)]
    show_table(rows, _COLUMNS, as_json=as_json, empty="No API keys. Make one with: hookline api-keys create")


@app.command()
def revoke(key_id: Annotated[str, typer.Argument(metavar="ID", help="The key's id, not the key.")], as_json: AsJson = False) -> None:
    """Revoke a key; every ingest process refuses it within seconds."""
    with open_writer() as writer:
        show_fields(_row(writer.revoke(key_id)), as_json=as_json)


@contextmanager
def open_writer() -> Iterator[ApiKeyWriter]:
    """Yield the writer of API keys over the environment's cluster; what it changes is on the audit."""
    from hookline.cli.trail import NotedKeys
    from hookline.producers.api_keys import ApiKeyConfig, ApiKeys
    from hookline.schemas.registry import open_registry
    from hookline.schemas.wire import Codec

    environ = environment()
    config, secret, registry = reached(environ), load(ApiKeyConfig, environ), open_registry(environ)
    registry.start()
    codec, clock = Codec(registry), SystemClock()
    keys = ApiKeys(config, codec, secret, clock)
    try:
        keys.start()
        yield NotedKeys(config, codec, secret, keys)
    finally:
        keys.stop()
        registry.stop()


def _row(key: ApiKey) -> dict[str, Any]:
    return {
        "id": key.id,
        "store_id": key.store_id,
        "name": key.name,
        "scopes": list(key.scopes),
        "state": _state(key),
        "created_at": _time(key.created_at_us),
        "expires_at": _time(key.expires_at_us),
        "revoked_at": _time(key.revoked_at_us),
    }


def _state(key: ApiKey) -> str:
    if key.revoked_at_us:
        return "revoked"
    return "live" if key.alive(int(SystemClock().now().timestamp() * 1_000_000)) else "expired"


def _time(us: int) -> str:
    return rfc3339(from_us(us)) if us else ""
