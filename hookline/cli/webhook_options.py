"""The fields of a webhook as options of the command line give them."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

from hookline.kernel.errors import InputError

ALL: Final = "all"


def given(
    *,
    url: str | None,
    types: list[str] | None,
    name: str | None,
    filter_text: str | None,
    template: str | None,
    headers: list[str] | None,
    timeout_s: float | None,
    schedule: str | None,
) -> dict[str, Any]:
    """Return the fields that were given on the command line, as the store wants them; raise `InputError`."""
    found = {
        "url": url,
        "name": name,
        "filter": filter_text,
        "template": _template(template) if template is not None else None,
        "timeout_s": timeout_s,
        "schedule": schedule,
        "event_types": _types(types) if types else None,
        "headers": tuple(_header(text) for text in headers if text) if headers else None,
    }
    return {field: value for field, value in found.items() if value is not None}


def _template(text: str) -> str:
    """Return a template that an option gives, itself or `@file`; raise `InputError`."""
    if not text.startswith("@"):
        return text
    try:
        return Path(text[1:]).read_text("utf-8")
    except OSError as error:
        raise InputError(
            f"{text[1:]} cannot be read: {error.strerror}", field="template", remedy="Give @ and the path of a text file."
        ) from error
    except UnicodeDecodeError as error:
        raise InputError(f"{text[1:]} is not UTF-8", field="template", remedy="Save it as UTF-8.") from error


def _types(names: list[str]) -> tuple[str, ...]:
    from hookline.schemas.catalogue import EVENT_TYPES

    return tuple(EVENT_TYPES) if names == [ALL] else tuple(names)


def _header(text: str) -> tuple[str, str]:
    name, colon, value = text.partition(":")
    if not colon:
        raise InputError("A header has no colon", field="headers", remedy="Write it as 'Name: value'.")
    return name.strip(), value.strip()
