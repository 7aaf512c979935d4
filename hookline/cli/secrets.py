"""`hookline secrets`: which keys encrypt the webhooks' secrets, and moving them under a new one."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated

import typer

from hookline.cli.output import AsJson, say, show_fields, show_table
from hookline.cli.webhooks import open_reader, open_writer
from hookline.kernel.config import environment, load

if TYPE_CHECKING:
    from hookline.webhooks.reencryption import Step

app = typer.Typer(no_args_is_help=True, help="The keys that encrypt webhooks' secrets and headers; replacing one.")
_COLUMNS = ("key", "encrypts", "values", "configured")


@app.command()
def keys(as_json: AsJson = False) -> None:
    """Show which key has encrypted how many secrets and headers; one with none can go from HOOKLINE_SECRET_KEYS."""
    from hookline.webhooks.reencryption import keys_in_use
    from hookline.webhooks.secrets import SecretsConfig, Vault

    vault = Vault.from_config(load(SecretsConfig, environment()))
    with open_reader() as stack:
        counts = keys_in_use(stack.registry.all(), vault)
    rows = [
        {"key": name, "encrypts": name == vault.key_ids[0], "values": count, "configured": name in vault.key_ids}
        for name, count in counts.items()
    ]
    show_table(rows, _COLUMNS, as_json=as_json)


@app.command()
def reencrypt(
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Count only.")] = False,
    as_json: AsJson = False,
) -> None:
    """Encrypt everything with the first of HOOKLINE_SECRET_KEYS; stop and run again as you like. Status 1 if a secret does not open."""
    from hookline.webhooks.reencryption import FAILED, GONE, MOVED, outdated
    from hookline.webhooks.reencryption import reencrypt as moves
    from hookline.webhooks.secrets import SecretsConfig, Vault

    vault = Vault.from_config(load(SecretsConfig, environment()))
    with open_reader() as stack:
        every = stack.registry.all()
        todo = outdated(every, vault)
        counts: Counter[str] = Counter()
        if not dry_run and todo:
            with open_writer() as writer:
                counts.update(step.outcome for step in _watched(moves(todo, writer), len(todo), quiet=as_json))
    row = {"webhooks": len(every), "outdated": len(todo), "moved": counts[MOVED], "gone": counts[GONE], "failed": counts[FAILED]}
    show_fields(row, as_json=as_json)
    if counts[FAILED]:
        raise typer.Exit(1)


def _watched(steps: Iterator[Step], total: int, *, quiet: bool) -> Iterator[Step]:
    """Pass steps on, with a bar for a person at a terminal, a line for each that failed, and what to do about them."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    remedies: dict[str, None] = {}
    columns = (TextColumn("re-encrypting"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(emoji=False, stderr=True), disable=quiet or not sys.stderr.isatty()) as progress:
        bar = progress.add_task("", total=total)
        for step in steps:
            if step.reason:
                say(f"{step.webhook_id}: {step.reason}")
            if step.remedy:
                remedies[step.remedy] = None
            progress.advance(bar)
            yield step
    for remedy in remedies:  # once: it is the same for every webhook of a key
        say(f"what to do: {remedy} Then run this again.")
