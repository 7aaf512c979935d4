"""`hookline webhooks plan` and `apply`: a store's webhooks as a file declares them."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from hookline.cli.output import AsJson, fail, say, show_json, show_table
from hookline.kernel.config import environment, load
from hookline.kernel.errors import HooklineError, InputError

if TYPE_CHECKING:
    from hookline.webhooks.declared import Declaration
    from hookline.webhooks.plans import Change
    from hookline.webhooks.store import Webhooks

_COLUMNS: Final = ("action", "webhook", "name", "field", "now", "wanted")

File = Annotated[str, typer.Argument(metavar="FILE", help="A YAML file, or - for standard input; see docs/webhooks.md.")]
Prune = Annotated[bool, typer.Option("--prune", help="Delete the store's webhooks that the file does not have.")]


def plan(
    file: File,
    prune: Prune = False,
    detailed_exitcode: Annotated[
        bool, typer.Option("--detailed-exitcode", help="Leave with 2 when there is something to do, 1 on errors.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Show what `apply` would do to have the store's webhooks as the file declares them; changes nothing."""
    with _errors_are_1(detailed_exitcode):
        declaration = _read(file)
        with _planned(declaration, prune) as (changes, _):
            _show(changes, as_json=as_json)
            if not as_json:
                say(_in_short(changes, declaration))
            _say_twins(changes, prune=prune)
    if changes and detailed_exitcode:
        raise typer.Exit(2)


def apply(
    file: File,
    prune: Prune = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    as_json: AsJson = False,
) -> None:
    """Create, change and, with --prune, delete webhooks until they are as the file declares; show the secrets of new ones, this once."""
    declaration = _read(file)
    with _planned(declaration, prune) as (changes, webhooks):
        if not as_json:
            _show(changes, as_json=False)
            say(_in_short(changes, declaration))
        _say_twins(changes, prune=prune)
        if changes and not yes:
            typer.confirm(f"Make these {len(changes)} changes?", abort=True, err=True)
        rows = _apply(changes, declaration.store_id, webhooks, as_json=as_json)
    if as_json:
        show_json(rows)


def _apply(changes: list[Change], store_id: str, webhooks: Webhooks, *, as_json: bool) -> list[dict[str, Any]]:
    """Take the steps and return them as rows; each secret is shown as soon as it is made, since a later step may fail."""
    from hookline.webhooks import plans

    rows = []
    try:
        for done in plans.apply(changes, store_id, webhooks):
            rows.append(_row(done.change) | {"id": done.id, "secret": done.secret})
            if not as_json:
                typer.echo(f"{done.change.action} {done.id} {done.change.name} {done.secret}".rstrip())
    except HooklineError:
        if as_json:
            show_json(rows)
        say(f"{len(rows)} of {len(changes)} changes were made before this error; plan again to see the rest.")
        raise
    if any(row["secret"] for row in rows):
        say("Keep the secrets now: they cannot be shown again.")
    return rows


@contextmanager
def _planned(declaration: Declaration, prune: bool) -> Iterator[tuple[list[Change], Webhooks]]:
    from hookline.cli.trail import NotedWebhooks
    from hookline.cli.webhooks import open_reader
    from hookline.webhooks import plans
    from hookline.webhooks.secrets import SecretsConfig, Vault, open_headers
    from hookline.webhooks.urls import UrlPolicy

    environ = environment()
    vault, policy = Vault.from_config(load(SecretsConfig, environ)), load(UrlPolicy, environ)
    with open_reader() as stack:
        there = stack.registry.of_store(declaration.store_id)
        changes = plans.plan(declaration, there, lambda webhook: open_headers(webhook, vault), prune=prune)
        yield changes, NotedWebhooks(stack.kafka, stack.topics, stack.registry, vault, stack.codec, policy)


def _read(file: str) -> Declaration:
    from hookline.webhooks.declared import read
    from hookline.webhooks.urls import UrlPolicy

    try:
        text = sys.stdin.read() if file == "-" else Path(file).read_text("utf-8")
    except OSError as error:
        raise InputError(
            f"{file} cannot be read: {error.strerror}", field="file", remedy="Give the path of a YAML file, or - for standard input."
        ) from error
    except UnicodeDecodeError as error:
        raise InputError(f"{file} is no UTF-8", field="file", remedy="Save it as UTF-8.") from error
    environ = environment()
    return read(text, environ, load(UrlPolicy, environ))


def _show(changes: list[Change], *, as_json: bool) -> None:
    if as_json:
        show_json([_row(change) for change in changes])
        return
    show_table(_lines(changes), _COLUMNS, as_json=False, empty="Nothing to do: the webhooks are as declared.")


def _row(change: Change) -> dict[str, Any]:
    fields = {name: {"now": now, "wanted": wanted} for name, (now, wanted) in change.fields.items()}
    return {"action": str(change.action), "id": change.id, "name": change.name, "fields": fields}


def _lines(changes: Iterable[Change]) -> Iterator[dict[str, str]]:
    for change in changes:
        for name, (now, wanted) in change.fields.items():
            known = {"action": str(change.action), "webhook": change.id or "new", "name": change.name}
            yield {**known, "field": name, "now": now, "wanted": wanted}


def _say_twins(changes: Iterable[Change], *, prune: bool) -> None:
    """Say which new webhooks send what another sends already: the store refuses them, or they are renamed ones."""
    for change in changes:
        if (twin := change.twin) is None:
            continue
        same = f"{change.name} sends {twin.event_type} to the URL of {twin.id}"
        if twin.declared:
            say(f"{same}, {twin.name} in the file: apply will be refused. Declare one of them, or give it another URL.")
            continue
        otherwise = f"{twin.name} is deleted, and the new one has another secret" if prune else "apply will be refused"
        say(f"{same}, {twin.name} until now. If it was renamed, give it `id: {twin.id}`; else {otherwise}.")


def _in_short(changes: list[Change], declaration: Declaration) -> str:
    counts = {action: sum(change.action == action for change in changes) for action in ("create", "change", "delete")}
    same = len(declaration.webhooks) - counts["create"] - counts["change"]
    return f"{counts['create']} to create, {counts['change']} to change, {counts['delete']} to delete; {same} as declared."


@contextmanager
def _errors_are_1(wanted: bool) -> Iterator[None]:
    """Let an error leave with 1 where 2 means that there is something to do."""
    try:
        yield
    except HooklineError as error:
        if not wanted:
            raise
        try:
            fail(error)
        except SystemExit:
            raise SystemExit(1) from None
