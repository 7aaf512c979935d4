"""The reference of the command line, from the commands themselves."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from typing import Any

import typer

from deploy.site.markdown import table
from hookline.cli.commands import build


def commands() -> str:
    """Return the page of all commands with their arguments and options."""
    root: Any = typer.main.get_command(build())
    parts = [
        "# Commands\n",
        "`hookline COMMAND --help` says the same. Options that name an environment variable read it where they are not given.",
        "Settings of processes are no options: they stand in [configuration](../configuration.md).\n",
    ]
    for name in root.commands:
        parts += _described(f"hookline {name}", root.commands[name], "##")
    return "\n".join(parts)


def _described(path: str, command: Any, mark: str) -> Iterator[str]:  # noqa: ANN401  # typer's own copy of click has no public types
    inner = getattr(command, "commands", {})
    shown = [parameter for parameter in command.params if not getattr(parameter, "hidden", False)]
    arguments = [_argument(each) for each in shown if each.param_type_name == "argument"]
    yield f"{mark} {path}\n"
    yield f"```text\n{' '.join([path, *arguments, *(['[COMMAND]'] if inner else []), '[OPTIONS]'])}\n```\n"
    yield inspect.cleandoc(command.help or "").replace("\b", "") + "\n"
    rows = [_row(parameter) for parameter in shown if parameter.name != "help"]
    if rows:
        yield table(("argument or option", "default", "what"), rows)
    for name, child in inner.items():
        yield from _described(f"{path} {name}", child, "###")


def _argument(parameter: Any) -> str:  # noqa: ANN401
    name = str(parameter.metavar or parameter.name.upper())
    return name if parameter.required else f"[{name}]"


def _row(parameter: Any) -> tuple[str, str, str]:  # noqa: ANN401
    if parameter.param_type_name == "argument":
        return f"`{_argument(parameter)}`", "", parameter.help or ""
    names = " / ".join(f"`{name}`" for name in (*parameter.opts, *parameter.secondary_opts))
    default = parameter.default
    told = "required" if parameter.required else "" if default in (None, "", False, ()) or callable(default) else f"`{default}`"
    variable = f" (`{parameter.envvar}`)" if parameter.envvar else ""
    return names, told, f"{parameter.help or ''}{variable}"
