"""`hookline demo-store`: a believable shop that publishes, at any rate."""

from __future__ import annotations

import os
import sys
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal

import typer

from hookline.cli.output import AsJson, say, show_json, show_table
from hookline.kernel.clock import SystemClock
from hookline.kernel.config import environment
from hookline.kernel.errors import InputError, Undelivered
from hookline.kernel.lifecycle import Stop, on_signals

if TYPE_CHECKING:
    from rich.console import Group

    from hookline.producers.demo_store.outlet import Outlet
    from hookline.producers.demo_store.plan import Plan
    from hookline.producers.demo_store.run import Tally

_SEED_BYTES: Final = 4
_LINE_EVERY_S: Final = 5.0
_RECENT_S: Final = 3.0
_KEY: Final = "HOOKLINE_API_KEY"
_URL: Final = "HOOKLINE_INGEST_URL"


def command(
    store: Annotated[str, typer.Option("--store", envvar="HOOKLINE_STORE", help="The store that the events belong to.")] = "demo",
    rate: Annotated[float, typer.Option("--rate", min=0.001, help="Events per second, even ones; with --day-in their average.")] = 20.0,
    day_in: Annotated[
        float | None, typer.Option("--day-in", min=0.1, help="Let a busy day, with its quiet and busy hours, pass in so many seconds.")
    ] = None,
    duration: Annotated[
        float | None, typer.Option("--duration", min=0.001, help="Seconds to run; left out: until stopped, or until the day is over.")
    ] = None,
    events: Annotated[int | None, typer.Option("--events", min=1, help="Events to publish at most.")] = None,
    seed: Annotated[
        int | None, typer.Option("--seed", min=0, help="The same seed and --started-at give the same events; left out, one is drawn.")
    ] = None,
    started_at: Annotated[
        str, typer.Option("--started-at", help="When the first event happens, such as 2026-03-14T09:26:53Z; left out: now.")
    ] = "",
    orders_only: Annotated[
        bool, typer.Option("--orders-only", help="Publish order.created, order.paid and order.status_changed only.")
    ] = False,
    via: Annotated[Literal["kafka", "http"], typer.Option("--via", help="kafka: the Publisher library; http: ingest.")] = "kafka",
    url: Annotated[
        str, typer.Option("--url", help="Where ingest listens, with --via http; left out: where this folder's `hookline up` has it.")
    ] = "",
    key: Annotated[str, typer.Option("--key", envvar=_KEY, show_envvar=True, help="API key for --via http.")] = "",
    ledger: Annotated[
        Path | None,
        typer.Option("--ledger", dir_okay=False, help="File that gets a line of JSON (id, type, store_id) per confirmed event."),
    ] = None,
    quiet: Annotated[bool, typer.Option("--quiet", help="Show no progress.")] = False,
    as_json: AsJson = False,
) -> None:
    """Let a shop live: visitors, carts, checkouts, orders, payments, returns, stock, all with a seed and at any rate.

    Ctrl-C stops it; everything that was sent is confirmed before it leaves. Progress goes to standard error.
    """
    from hookline.producers.demo_store.plan import Plan, Via

    plan = Plan(
        seed=int.from_bytes(os.urandom(_SEED_BYTES)) if seed is None else seed,
        started_at=_time(started_at),
        store_id=store,
        rate=rate,
        day_in_s=day_in,
        duration_s=duration,
        events=events,
        orders_only=orders_only,
        via=Via(via),
        url=url,
        ledger=ledger,
    )
    _carry_out(plan, key, quiet=quiet, as_json=as_json)


def _carry_out(plan: Plan, key: str, *, quiet: bool, as_json: bool) -> None:
    from hookline.producers.demo_store.run import Run

    stop = Stop()
    on_signals(stop)
    with _progress(plan, quiet=quiet) as tick:
        run = Run(plan, _outlet(plan, key, stop), SystemClock(), stop, tick)
        tally = run.run()
    _show(tally.summary(plan, run.ended), as_json=as_json)
    if tally.uncertain:
        raise Undelivered(
            f"{tally.uncertain:,} events were not confirmed",
            remedy="They may have arrived. Check the broker; the ledger holds only the confirmed ones.",
        )


def _time(text: str) -> datetime:
    if not text:
        return datetime.now(UTC)
    try:
        return datetime.fromisoformat(text)
    except ValueError as error:
        raise InputError(f"--started-at {text[:60]!r} is no time", field="started_at", remedy="Such as 2026-03-14T09:26:53Z.") from error


def _outlet(plan: Plan, key: str, stop: Stop) -> Outlet:
    from hookline.producers.demo_store.outlet import KafkaOutlet
    from hookline.producers.demo_store.plan import Via

    environ = environment()
    if plan.via is Via.KAFKA:
        return KafkaOutlet.connect(environ, plan.rate, stop.is_set)
    from hookline.producers.demo_store.http_outlet import HttpOutlet

    url, key = plan.url or environ.get(_URL, ""), key or environ.get(_KEY, "")
    if not url:
        raise InputError("It is not known where ingest listens", field="url", remedy=f"Give --url or set {_URL}.")
    if not key:
        raise InputError("There is no API key", field="key", remedy=f"Make one with `hookline api-keys create`, give --key or set {_KEY}.")
    outlet = HttpOutlet(url, key)
    outlet.start()
    return outlet


# ---- progress, on standard error ----


@contextmanager
def _progress(plan: Plan, *, quiet: bool) -> Iterator[Callable[[Tally], None]]:
    """Yield what shows a tally: a live table on a terminal, a line now and then elsewhere."""
    if quiet:
        yield lambda _: None
    elif sys.stderr.isatty():
        from rich.console import Console
        from rich.live import Live

        recent = _Recent()
        with Live(console=Console(emoji=False, stderr=True), refresh_per_second=8, transient=True) as live:
            yield lambda tally: live.update(_view(plan, tally, recent.rate(tally)))
    else:
        yield _Lines()


class _Lines:
    """Says a line every few seconds."""

    def __init__(self) -> None:
        self._next_s = _LINE_EVERY_S
        self._recent = _Recent()

    def __call__(self, tally: Tally) -> None:
        """Show the tally when it is time."""
        rate = self._recent.rate(tally)
        if tally.elapsed_s >= self._next_s:
            self._next_s = tally.elapsed_s + _LINE_EVERY_S
            say(_headline(tally, rate))


class _Recent:
    """The rate of the last seconds, which on a busy day says more than the average."""

    def __init__(self) -> None:
        self._points: deque[tuple[float, int]] = deque([(0.0, 0)])

    def rate(self, tally: Tally) -> float:
        """Return events a second, in about the last three."""
        self._points.append((tally.elapsed_s, tally.total))
        while self._points[1][0] <= tally.elapsed_s - _RECENT_S:
            self._points.popleft()
        (began_s, before), (now_s, total) = self._points[0], self._points[-1]
        return (total - before) / (now_s - began_s) if now_s > began_s else 0.0


def _headline(tally: Tally, rate: float) -> str:
    parts = [f"{tally.elapsed_s:,.0f} s", f"{tally.total:,} events", f"{rate:,.0f}/s", f"{tally.orders:,} orders"]
    parts += [f"{tally.waiting:,} waiting"] if tally.waiting else []
    return ", ".join(parts + ([f"trouble: {tally.trouble}"] if tally.trouble else []))


def _view(plan: Plan, tally: Tally, rate: float) -> Group:
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    from hookline.schemas.catalogue import EVENT_TYPES

    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column()
    table.add_column(justify="right")
    for name in EVENT_TYPES:
        table.add_row(name, f"{tally.published[name]:,}")
    return Group(Text(f"{plan.store_id}: {_headline(tally, rate)}", style="bold"), table)


# ---- the result, on standard output ----


def _show(summary: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        show_json(summary)
        return
    rows = [{"event_type": name, "published": count} for name, count in summary["by_type"].items()]
    show_table(rows, ("event_type", "published"), as_json=False, empty="Nothing was published.")
    say(f"{summary['published']:,} events in {summary['elapsed_s']:,.1f} s, {summary['per_second']:,.1f}/s, {summary['orders']:,} orders.")
    say(f"The same again: --seed {summary['seed']} --started-at {summary['started_at']}")
