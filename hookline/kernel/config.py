"""Settings from the environment: one frozen dataclass per component, validated at start.

A component declares its fields with `setting(...)`; `load(Component)` reads them all and raises one
`ConfigError` that names the variable. Beside the real environment stands the file that `hookline up`
writes into its state folder, so that a second terminal finds the running stack; the real environment wins.
"""

from __future__ import annotations

import dataclasses
import json
import os
import re
import stat
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeVar

from hookline.kernel.errors import ConfigError

STATE_DIR: Final = "HOOKLINE_STATE_DIR"
ENVIRONMENT_FILE: Final = "environment.json"
_META: Final = "hookline"
T = TypeVar("T")
_TRUE: Final = frozenset({"1", "true", "yes", "on"})
_FALSE: Final = frozenset({"0", "false", "no", "off", ""})
_SCHEME: Final = re.compile(r"(?:[A-Za-z][A-Za-z0-9+.-]*:)?")
_OTHERS_WRITE: Final = stat.S_IWGRP | stat.S_IWOTH


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """One environment variable: its name, default as text (None: required), meaning, parser and secrecy."""

    env: str
    default: str | None
    doc: str
    parse: Callable[[str], Any]
    secret: bool = False


def setting(env: str, default: str | None, doc: str, parse: Callable[[str], Any] = str, *, secret: bool = False) -> Any:  # noqa: ANN401  # like dataclasses.field
    """Declare a dataclass field read from `env`; `default` is text as it would stand in the environment."""
    return dataclasses.field(metadata={_META: Setting(env=env, default=default, doc=doc, parse=parse, secret=secret)})


def settings_of(component: type) -> list[tuple[str, Setting]]:
    """Return (field name, setting) of each setting of a component's dataclass."""
    return [(f.name, f.metadata[_META]) for f in dataclasses.fields(component) if _META in f.metadata]


def load(component: type[T], environ: Mapping[str, str]) -> T:
    """Return the component's configuration; raise `ConfigError` naming the first wrong variable.

    An empty variable counts as unset, as compose files and Helm charts leave them.
    """
    return component(**{name: _value(spec, environ) for name, spec in settings_of(component)})


def _value(spec: Setting, environ: Mapping[str, str]) -> object:
    text = environ.get(spec.env) or spec.default
    if text is None:
        message = f"{spec.env} is not set"
        raise ConfigError(message, remedy=f"Set it to: {spec.doc}")
    try:
        return spec.parse(text)
    except ValueError as error:
        shown = "(hidden)" if spec.secret else repr(blanked(text))
        message = f"{spec.env}={shown} is not valid: {str(error).replace(text, blanked(text))}"
        raise ConfigError(message, remedy=f"Expected: {spec.doc}") from error


def masked(component: type, environ: Mapping[str, str]) -> dict[str, str]:
    """Return variable → text in force, secrets masked, and what addresses hold of them too, for `hookline config`."""
    found = {spec.env: (spec, environ.get(spec.env) or spec.default or "") for _, spec in settings_of(component)}
    return {env: ("********" if spec.secret and text else blanked(text)) for env, (spec, text) in found.items()}


def blanked(text: str) -> str:
    """Return an address with `***` for the user and password that stand before its last `@`, and for its query; any other text as it is."""
    address, mark, query = _without_user(text).partition("?")
    return f"{address}?***" if mark and query and ("//" in address or "=" in query) else f"{address}{mark}{query}"


def _without_user(text: str) -> str:
    before, at, host = text.rpartition("@")
    scheme, slashes, _ = before.partition("//")
    if not at or not (slashes or ":" in before):
        return text
    return f"{scheme}//***@{host}" if slashes and _SCHEME.fullmatch(scheme) else f"***@{host}"


def boolean(text: str) -> bool:
    """Parse yes/no, true/false, on/off, 1/0."""
    word = text.strip().lower()
    if word in _TRUE:
        return True
    if word in _FALSE:
        return False
    message = "expected true or false"
    raise ValueError(message)


def integer(low: int, high: int) -> Callable[[str], int]:
    """Return a parser of whole numbers in [low, high]."""

    def parse(text: str) -> int:
        value = int(text)
        if not low <= value <= high:
            message = f"must be from {low} to {high}"
            raise ValueError(message)
        return value

    return parse


def number(low: float, high: float) -> Callable[[str], float]:
    """Return a parser of finite numbers in [low, high]."""

    def parse(text: str) -> float:
        value = float(text)
        if not low <= value <= high:  # NaN fails this too
            message = f"must be from {low} to {high}"
            raise ValueError(message)
        return value

    return parse


def one_of(*words: str) -> Callable[[str], str]:
    """Return a parser that takes one of the words."""

    def parse(text: str) -> str:
        if text not in words:
            message = f"must be one of {', '.join(words)}"
            raise ValueError(message)
        return text

    return parse


def words(text: str) -> tuple[str, ...]:
    """Parse a comma-separated list; empty parts are dropped."""
    return tuple(part.strip() for part in text.split(",") if part.strip())


def state_dir(environ: Mapping[str, str]) -> Path:
    """Return the state folder of the embedded stack (`.hookline` in the working folder by default)."""
    return Path(environ.get(STATE_DIR) or ".hookline").absolute()


def environment() -> dict[str, str]:
    """Return the process environment over what a running `hookline up` has written for its neighbours.

    Raises `ConfigError` for a file that is damaged, is a link or no plain file, or that somebody else owns or may
    write: it says which Kafka and which addresses are trusted.
    """
    beside = state_dir(os.environ) / ENVIRONMENT_FILE
    try:
        text = _own_text(beside)
        written = {} if text is None else json.loads(text)
    except (OSError, ValueError) as error:
        message = f"{beside} cannot be read: {error}"
        raise ConfigError(message, remedy="Stop `hookline up`, delete that file and start it again.") from error
    if not isinstance(written, dict) or not all(isinstance(v, str) for v in written.values()):
        message = f"{beside} is not a map of text to text"
        raise ConfigError(message, remedy="Stop `hookline up`, delete that file and start it again.")
    return {**written, **os.environ}


def _own_text(path: Path) -> str | None:
    """Return what a file says, None where there is none; raise `ConfigError` unless it is ours alone, or root's, to write."""
    try:
        # No link, which may lead to a file that was written for another purpose; no pipe, which would hold us up.
        handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except PermissionError as error:
        raise ConfigError(f"{path} is not used: another user keeps it shut", remedy=_distrusted(path)) from error
    except OSError as error:
        if not path.is_symlink():
            raise
        raise ConfigError(f"{path} is not used: it is a link", remedy=_misplaced(path)) from error
    with os.fdopen(handle) as file:
        found = os.fstat(handle)
        if found.st_uid not in {os.geteuid(), 0}:
            raise ConfigError(f"{path} is not used: it belongs to another user ({found.st_uid})", remedy=_distrusted(path))
        if not stat.S_ISREG(found.st_mode):
            raise ConfigError(f"{path} is not used: it is no plain file", remedy=_misplaced(path))
        if found.st_mode & _OTHERS_WRITE:
            raise ConfigError(f"{path} is not used: other users may write it", remedy=_distrusted(path))
        return file.read()


def _misplaced(path: Path) -> str:
    return f"Look who put it there, and remove it: `hookline up` writes {path} itself. Or set {STATE_DIR} to a folder of your own."


def _distrusted(path: Path) -> str:
    return f"Set {STATE_DIR} to a folder of your own; or, where {path} is yours after all: `chown` it to you and `chmod 600` it."
