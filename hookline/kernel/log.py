"""Structured logs: one JSON object a line on standard error, secrets redacted, control characters escaped."""

from __future__ import annotations

import logging
import re
import sys
from collections.abc import Mapping, MutableMapping
from contextlib import suppress
from typing import Any, Final, TextIO, TypeAlias

import structlog

_SECRET_KEYS: Final = re.compile(r"secret|password|authorization|signature|api_?key|pepper|token", re.IGNORECASE)
_SECRET_TEXT: Final = re.compile(r"whsec_[A-Za-z0-9+/=]{8,}|hlk_[A-Za-z0-9_]{8,}|v1,[A-Za-z0-9+/=]{40,}")
_HIDDEN: Final = "[redacted]"
_LEFT_OUT: Final = "[left out]"
_DEEPEST: Final = 10
"""An exception's frames lie four deep; those of a group's exceptions three deeper, of a group in a group six."""
_MOST_PARTS: Final = 5_000
"""Of one line: some twenty exceptions, each the cause of the next, with all their frames."""
_PAIR: Final = 2

Event: TypeAlias = MutableMapping[str, Any]


def redact(_logger: object, _method: str, event: Event) -> Event:
    """Replace values under secret-looking keys and secret-looking text anywhere, however nested; a structlog processor.

    What lies deeper than ten levels, or is more than 5,000 parts of one line, is left out. Safe for threads.
    """
    inside: _Inside | None = None
    for key, value in event.items():
        if isinstance(value, str):
            event[key] = _HIDDEN if _SECRET_KEYS.search(key) else _SECRET_TEXT.sub(_HIDDEN, value)
        elif not (value is None or isinstance(value, bool)):
            inside = inside or _Inside()
            event[key] = inside.under(key, value, _DEEPEST)
    return event


class _Inside:
    """Copies what one line holds, without what is secret: whose it is may still be in use elsewhere."""

    def __init__(self) -> None:
        self._left = _MOST_PARTS

    def under(self, key: str, value: object, deeper: int) -> object:
        """Return a value as it may be shown under its key."""
        if _SECRET_KEYS.search(key) and not (value is None or isinstance(value, bool)):
            return _HIDDEN
        return self._shown(value, deeper)

    def _shown(self, value: object, deeper: int) -> object:
        if value is None or isinstance(value, int | float):
            return value
        if isinstance(value, str):
            return _SECRET_TEXT.sub(_HIDDEN, value)
        if isinstance(value, Mapping):
            return self._mapping(value, deeper)
        if isinstance(value, list | tuple):
            return self._sequence(value, deeper)
        return _SECRET_TEXT.sub(_HIDDEN, repr(value))  # as it is rendered: bytes, sets, exceptions, records

    def _mapping(self, value: Mapping[Any, Any], deeper: int) -> object:
        if not self._may_show(len(value), deeper):
            return _LEFT_OUT
        named = ((str(key), one) for key, one in value.items())
        return {_SECRET_TEXT.sub(_HIDDEN, name): self.under(name, one, deeper - 1) for name, one in named}

    def _sequence(self, value: list[Any] | tuple[Any, ...], deeper: int) -> object:
        if not self._may_show(len(value), deeper):
            return _LEFT_OUT
        if len(value) == _PAIR and isinstance(value[0], str | bytes):  # a header, maybe
            return [self._shown(value[0], deeper - 1), self.under(str(value[0]), value[1], deeper - 1)]
        return [self._shown(one, deeper - 1) for one in value]

    def _may_show(self, parts: int, deeper: int) -> bool:
        if deeper <= 0 or parts > self._left:
            return False
        self._left -= parts
        return True


class _Output:
    """Standard error as far as it takes what is written: a full disk or a reader that has gone costs lines, and nothing else."""

    def __init__(self, file: TextIO) -> None:
        self._file = file

    def write(self, text: str) -> int:
        """Write, or lose it."""
        with suppress(OSError, ValueError):
            self._file.write(text)
        return len(text)

    def flush(self) -> None:
        """Flush, or try again with the next line."""
        with suppress(OSError, ValueError):
            self._file.flush()


def configure(level: str = "INFO", *, process: str = "") -> None:
    """Send structlog and the standard logging module to standard error as JSON lines; call once at start."""
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        # Without the frames' variables, which may hold secrets and payloads.
        structlog.processors.ExceptionRenderer(structlog.tracebacks.ExceptionDictTransformer(show_locals=False)),
    ]
    output: Any = _Output(sys.stderr)
    structlog.configure(
        processors=[*shared, redact, structlog.processors.JSONRenderer()],
        wrapper_class=structlog.make_filtering_bound_logger(level.lower()),
        logger_factory=structlog.WriteLoggerFactory(file=output),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(output)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                redact,
                structlog.processors.JSONRenderer(),
            ],
            foreign_pre_chain=shared,
        )
    )
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
    if process:
        structlog.contextvars.bind_contextvars(process=process)


def logger(name: str) -> structlog.typing.FilteringBoundLogger:
    """Return a logger whose lines carry `component=name`."""
    bound: structlog.typing.FilteringBoundLogger = structlog.get_logger(component=name)
    return bound
