"""What a store may write into the fields of a webhook; each check returns the value as it is stored, or raises `InputError`."""

from __future__ import annotations

import unicodedata
from typing import Final

from hookline.kernel.errors import InputError
from hookline.schemas.catalogue import event_type
from hookline.webhooks.filters import compile_filter
from hookline.webhooks.templates import template_text

SCHEDULES: Final = ("default", "long")
_MAX_NAME: Final = 128
_MAX_REASON: Final = 256
_TIMEOUTS_S: Final = (5.0, 30.0)
# Control, format (right-to-left marks, zero-width), half surrogates, line and paragraph separators.
_INVISIBLE: Final = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})


def name(text: object) -> str:
    """Check a name: up to 128 visible characters, stored in Unicode's composed form; may be empty."""
    return _visible(text, "name", _MAX_NAME)


def reason(text: object) -> str:
    """Check the reason of a state: up to 256 visible characters."""
    return _visible(text, "reason", _MAX_REASON)


def event_types(names: object) -> tuple[str, ...]:
    """Check the event types: at least one, all known; repeated ones count once."""
    if not isinstance(names, list | tuple) or not names:
        raise InputError(
            "event_types must be a list of at least one event type", field="event_types", remedy="See `hookline events types`."
        )
    return tuple(dict.fromkeys(event_type(name).name for name in names))


def filter_text(text: object) -> str:
    """Check a filter: CEL, or empty for every event; raise `FilterError` with the position."""
    if not isinstance(text, str):
        raise InputError("filter must be a text", field="filter")
    return compile_filter(text).text if text else ""


def template(given: object) -> str:
    """Check a template: a preset's name, JSON as a text or as it is, or nothing; raise `TemplateError` with the path."""
    return template_text(given)


def timeout_s(value: object) -> float:
    """Check the seconds one call may take: 5 to 30."""
    low, high = _TIMEOUTS_S
    if not isinstance(value, int | float) or isinstance(value, bool) or not low <= value <= high:
        raise InputError(f"timeout_s must be from {low:g} to {high:g} seconds", field="timeout_s")
    return float(value)


def schedule(text: object) -> str:
    """Check the name of a retry schedule."""
    if text not in SCHEDULES:
        raise InputError(f"schedule must be {' or '.join(SCHEDULES)}", field="schedule")
    return str(text)


def _visible(text: object, field: str, most: int) -> str:
    if not isinstance(text, str):
        raise InputError(f"{field} must be a text", field=field)
    found = unicodedata.normalize("NFC", text[: most * 4]).strip()
    if len(text) > most * 4 or len(found) > most or any(unicodedata.category(character) in _INVISIBLE for character in found):
        raise InputError(f"{field} must be up to {most} visible characters", field=field)
    return found
