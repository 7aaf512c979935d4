"""What the demo prints at its end: the sums, the checks, the statistics, what to try next."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from hookline.analytics.queries import Statistics, percentiles, rates
from hookline.local.demo.cast import Role
from hookline.local.demo.reconcile import Account, Check

_NAMED: Final = 10
_WIDE: Final = 130
_SECOND_MS: Final = 1_000


def show_accounts(out: Console, found: Sequence[Account]) -> None:
    """Print one line per webhook: expected = delivered + dead + skipped + lost."""
    table = _table("What was published, against what the receivers wrote down")
    wide = out.width >= _WIDE
    table.add_column("receiver", no_wrap=True)
    numbers = ("expected", "delivered", "dead", "skipped", "lost")
    for name in (*numbers, "calls", "duplicates", "bad sig."):
        table.add_column(name, justify="right", no_wrap=True)
    if wide:
        table.add_column("what it does", style="dim", no_wrap=True)
    rows = [[len(getattr(a, name)) for name in numbers] + [a.calls, a.repeats, len(a.bad)] for a in found]
    for account, row in zip(found, rows, strict=True):
        table.add_row(account.role.name, *(f"{value:,}" for value in row), *([escape(account.role.does)] if wide else []))
    table.add_section()
    table.add_row("[bold]all[/]", *(f"[bold]{sum(column):,}[/]" for column in zip(*rows, strict=True)))
    out.print(table)
    out.print()


def show_check(out: Console, check: Check) -> None:
    """Print one sum, and the ids that make it wrong."""
    out.print(f"  [{'green' if check.right else 'bold red'}]{'✓' if check.right else '✗'}[/] {escape(check.text)}", soft_wrap=True)
    for text in check.wrong[:_NAMED]:
        out.print(f"      [red]{escape(text)}[/]", soft_wrap=True)
    if len(check.wrong) > _NAMED:
        out.print(f"      [red]and {len(check.wrong) - _NAMED:,} more[/]")


def show_statistics(out: Console, total: Statistics, rows: Sequence[Mapping[str, Any]], webhooks: Mapping[str, Role]) -> None:
    """Print the statistics from ClickHouse, as `hookline stats` has them."""
    out.print()
    table = _table("Statistics, as ClickHouse has them (hookline stats)")
    table.add_column("receiver", no_wrap=True)
    for name in ("deliveries", "delivered", "dead", "replayed", "success", "first try", "p50", "p95", "p99"):
        table.add_column(name, justify="right", no_wrap=True)
    for row in sorted(rows, key=lambda row: -int(row["attempts"])):
        name = webhooks[row["webhook_id"]].name if row["webhook_id"] in webhooks else row["webhook_id"]
        shares, times = rates(row), percentiles(row["response_time_s"]) or (None, None, None)
        counts = [f"{row[column]:,}" for column in ("deliveries", "delivered", "dead", "made_again")]
        table.add_row(
            name, *counts, _percent(shares["success_rate"]), _percent(shares["first_try_rate"]), *(_milliseconds(value) for value in times)
        )
    out.print(table)
    kinds = ", ".join(f"{kind}: {count:,}" for kind, count in sorted(total.by_error_kind.items(), key=lambda item: -item[1]))
    statuses = ", ".join(f"{status or 'none'}: {count:,}" for status, count in sorted(total.by_status.items()))
    waits = " / ".join(_milliseconds(value) for value in total.queue_wait_s or ())
    out.print(f"  all: {total.deliveries:,} deliveries, {total.attempts:,} attempts; by HTTP status {statuses}", soft_wrap=True)
    out.print(f"  errors: {kinds}; from published, or due, to the call: p50 / p95 / p99 {waits}", soft_wrap=True)
    out.print("  A delivery that a killed dispatcher had begun, and another one began anew, counts twice here.", soft_wrap=True)


def show_panel(out: Console, panel: str, first_link: str, state: str) -> None:
    """Print where the panel is that stays up, how to come in, and the state folder for commands in other terminals."""
    out.print(f"\n[bold green]It stays up to be clicked.[/] Admin panel: [bold]{escape(panel)}[/]", soft_wrap=True)
    if first_link:
        out.print(f"  Come in once by [bold]{escape(first_link)}[/], which makes the operator; the store is demo.", soft_wrap=True)
    out.print(f"  [dim]In other terminals: export HOOKLINE_STATE_DIR={escape(state)}[/]", soft_wrap=True)
    out.print("  Ctrl-C stops all of it and leaves nothing.", soft_wrap=True)


def show_gone(out: Console, panel: str) -> None:
    """Print where the panel was, and how to have it stay."""
    out.print(
        f"\n  Admin panel: {escape(panel)}, until the demo ended; [bold]make demo KEEP=1[/] leaves it up to be clicked", soft_wrap=True
    )


def show_next(out: Console, kept: str) -> None:
    """Print what to try now; `kept` is the state folder that stays, empty when it goes."""
    out.print("\n[bold]Try next[/]")
    lines = [
        "hookline up                                   # the same stack, to stay: Kafka, ingest, dispatcher, console, panel",
        "make demo KEEP=1                              # the demo's panel stays up to be clicked",
        "hookline webhooks create --url http://127.0.0.1:9000/ --type order.created",
        "hookline demo-store --day-in 60               # a shop that publishes",
        "hookline log --status 5xx                     # what failed, and why",
        "hookline demo --sabotage                      # with a receiver that miscounts: the sums must notice",
    ]
    for line in [*([f"export HOOKLINE_STATE_DIR={kept}"] if kept else []), *lines]:
        out.print(f"  {line}", soft_wrap=True)


def _table(title: str) -> Table:
    return Table(title=title, title_justify="left", title_style="bold", box=None, pad_edge=False, padding=(0, 1), header_style="dim")


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{share * 100:.1f} %"


def _milliseconds(seconds: float | None) -> str:
    return "-" if seconds is None else f"{seconds * _SECOND_MS:,.1f} ms"
