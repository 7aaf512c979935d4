"""Structured logs: one JSON object a line on standard error, secrets redacted, control characters escaped."""

from __future__ import annotations

import logging
import re
import sys
from collections.abc import MutableMapping
from contextlib import suppress
from typing import Any, Final, TextIO, TypeAlias

import structlog

_SECRET_KEYS: Final = re.compile(r"secret|password|authorization|signature|api_?key|pepper|token", re.IGNORECASE)
_SECRET_TEXT: Final = re.compile(r"whsec_[A-Za-z0-9+/=]{8,}|hlk_[A-Za-z0-9_]{8,}|v1,[A-Za-z0-9+/=]{40,}")
_HIDDEN: Final = "[redacted]"

Event: TypeAlias = MutableMapping[str, Any]


def redact(_logger: object, _method: str, event: Event) -> Event:
    """Replace values under secret-looking keys and secret-looking text anywhere; a structlog processor."""
    for key, value in event.items():
        if isinstance(value, str):
            event[key] = _HIDDEN if _SECRET_KEYS.search(key) else _SECRET_TEXT.sub(_HIDDEN, value)
    return event


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
        redact,
    ]
    output: Any = _Output(sys.stderr)
    structlog.configure(
        processors=[*shared, structlog.processors.JSONRenderer()],
        wrapper_class=structlog.make_filtering_bound_logger(level.lower()),
        logger_factory=structlog.WriteLoggerFactory(file=output),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(output)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
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
