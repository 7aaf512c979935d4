"""What a command prints: a table for people, JSON with `--json`, and errors with their remedy."""

from __future__ import annotations

import sys
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Annotated, Any, Final, NoReturn, TypeAlias

import orjson
import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from hookline.kernel.errors import HooklineError, InputError

AsJson: TypeAlias = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]
Row: TypeAlias = Mapping[str, Any]
_PIPE_WIDTH: Final = 10_000


def console() -> Console:
    """Return the console of standard output; a pipe gets plain text at its full width."""
    if sys.stdout.isatty():
        return Console(emoji=False, highlight=False)  # `:name:` in somebody's URL is no emoji
    return Console(emoji=False, highlight=False, soft_wrap=True, width=_PIPE_WIDTH)


def _put(table: Table) -> None:
    """Print a table; into a pipe without the spaces that fill its lines."""
    to = console()
    with to.capture() as drawn:
        to.print(table)
    lines = drawn.get().split("\n")
    try:
        sys.stdout.write("\n".join(lines if sys.stdout.isatty() else (line.rstrip() for line in lines)))
        sys.stdout.flush()
    except BrokenPipeError:  # such as `| head`
        to.on_broken_pipe()


def show_table(
    rows: Iterable[Row],
    columns: Sequence[str],
    *,
    as_json: bool,
    title: str = "",
    empty: str = "Nothing found.",
    cut: Collection[str] = (),
) -> None:
    """Print rows as a table of these columns, or all their fields as a JSON array; `empty` is said when there are none.

    Where a terminal is too narrow, the columns in `cut` give way and the others stay whole; without any, all are folded.
    """
    found = list(rows)
    if as_json:
        show_json(found)
        return
    if not found:
        console().print(empty)
        return
    table = Table(title=title or None, title_justify="left", header_style="bold", box=None, pad_edge=False)
    for column in columns:
        table.add_column(
            column.replace("_", " "),
            overflow="ellipsis" if column in cut else "fold",
            no_wrap=bool(cut) and column not in cut,
            justify="right" if _is_number(found[0].get(column)) else "left",
        )
    for row in found:
        table.add_row(*(escape(text(row.get(column))) for column in columns))
    _put(table)


def show_fields(row: Row, *, as_json: bool, title: str = "") -> None:
    """Print one thing: a line per field, or JSON."""
    if as_json:
        show_json(row)
        return
    table = Table(title=title or None, title_justify="left", show_header=False, box=None, pad_edge=False)
    table.add_column(style="bold")
    table.add_column(overflow="fold")
    for name, value in row.items():
        table.add_row(name.replace("_", " "), escape(text(value)))
    _put(table)


def show_json(value: object) -> None:
    """Print a value as indented JSON; bytes become text."""
    sys.stdout.write(orjson.dumps(value, default=_jsonable, option=orjson.OPT_INDENT_2 | orjson.OPT_UTC_Z).decode() + "\n")


def say(message: str) -> None:
    """Tell a person something on standard error, so that `--json` output stays pure."""
    Console(emoji=False, stderr=True, highlight=False, soft_wrap=True).print(escape(message))


def text(value: object) -> str:
    """Return a value as a cell; control characters, which may come from anybody's server, become visible."""
    if value is None or value == "":
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:,.3f}".rstrip("0").rstrip(".")
    if isinstance(value, bytes):
        return _visible(value.decode("utf-8", "replace"))
    if isinstance(value, list | tuple):
        return _visible(", ".join(str(part) for part in value))
    return _visible(str(value))


def _visible(shown: str) -> str:
    if shown.isprintable():
        return shown
    return "".join(c if c.isprintable() or c in "\n\t" else c.encode("unicode_escape").decode() for c in shown.replace("\r\n", "\n"))


def fail(error: HooklineError) -> NoReturn:
    """Print an error and what to do about it, and leave with status 2 for bad input, 1 for the rest."""
    err = Console(emoji=False, stderr=True, highlight=False, soft_wrap=True)
    err.print(f"[bold red]error:[/] {escape(error.message)}")
    if error.remedy:
        err.print(f"[bold]what to do:[/] {escape(error.remedy)}")
    raise SystemExit(2 if isinstance(error, InputError) else 1)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _jsonable(value: object) -> object:
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    if isinstance(value, set | frozenset):
        return sorted(value)
    return str(value)
