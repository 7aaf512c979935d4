"""The demo's progress: a live table on a terminal, a line every few seconds elsewhere."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Final, Self

from rich.console import Console
from rich.live import Live
from rich.markup import escape
from rich.table import Table

from hookline.local.demo.cast import Role
from hookline.schemas.records import Attempt, Outcome

_LINE_EVERY_S: Final = 5.0
_PER_SECOND: Final = 4
_OUTCOMES: Final = (Outcome.DELIVERED, Outcome.RETRYING, Outcome.DEAD, Outcome.SKIPPED)


class Board:
    """Shows how far things are; `say` prints what happened above it. Use as a context manager, from one thread."""

    def __init__(self, out: Console, webhooks: Mapping[str, Role]) -> None:
        self._out = out
        self._webhooks = webhooks
        self._live = Live(console=out, refresh_per_second=_PER_SECOND, transient=True) if out.is_terminal else None
        self._shown_at = 0.0

    def __enter__(self) -> Self:
        if self._live is not None:
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._live is not None:
            self._live.stop()

    def update(self, phase: str, published: int, attempts: Sequence[Attempt], down: Sequence[str]) -> None:
        """Show the state, at most a few times a second (a line: every five)."""
        now = time.monotonic()
        every_s = 1 / _PER_SECOND if self._live is not None else _LINE_EVERY_S
        if now - self._shown_at < every_s:
            return
        self._shown_at = now
        counts = Counter((attempt.webhook_id, attempt.outcome) for attempt in attempts)
        if self._live is not None:
            self._live.update(self._table(phase, published, counts, down))
        else:
            sums = Counter(attempt.outcome for attempt in attempts)
            told = ", ".join(f"{sums[outcome]:,} {outcome}" for outcome in _OUTCOMES)
            self._out.print(f"           {phase}: {published:,} events published; attempts: {told}", soft_wrap=True)

    def _table(self, phase: str, published: int, counts: Counter[tuple[str, Outcome]], down: Sequence[str]) -> Table:
        table = Table(title=f"{phase}: {published:,} events published", title_justify="left", box=None, pad_edge=False, padding=(0, 2))
        table.add_column("receiver", no_wrap=True)
        table.add_column("what it does", style="dim", no_wrap=True)
        for outcome in _OUTCOMES:
            table.add_column(outcome.value, justify="right")
        for webhook_id, role in self._webhooks.items():
            does = "[red]down[/]" if role.name in down else escape(role.does)
            table.add_row(role.name, does, *(f"{counts[webhook_id, outcome]:,}" for outcome in _OUTCOMES))
        return table
