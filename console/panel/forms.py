"""Forms as browsers send them: read within limits, as text, and no more."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from typing import Final
from urllib.parse import parse_qsl

from aiohttp import web

from hookline.console.http import bodies
from hookline.console.http.problems import Code, Refused
from hookline.kernel.errors import InputError

TOKEN: Final = "token"  # noqa: S105  # the name of a field
"""The field that ties a form to its session."""
ONCE: Final = "once"
"""The field that tells one showing of a form from another: what it makes is made once."""
MAX_FORM: Final = 256 * 1024
_KIND: Final = "application/x-www-form-urlencoded"
_MOST_FIELDS: Final = 2_000


class Form:
    """The fields of a form, or of a query string; what is missing is empty. Line breaks are newlines alone."""

    def __init__(self, pairs: Iterable[tuple[str, str]] = ()) -> None:
        self._fields: dict[str, list[str]] = {}
        for name, value in pairs:
            self._fields.setdefault(name, []).append(value.replace("\r\n", "\n"))

    def text(self, name: str) -> str:
        """Return a field, the last one when it is there twice, without spaces around it."""
        return self.raw(name).strip()

    def raw(self, name: str) -> str:
        """Return a field as it was typed: passwords may begin with a space."""
        return self._fields.get(name, [""])[-1]

    def texts(self, name: str) -> list[str]:
        """Return all values of a field, such as ticked boxes."""
        return self._fields.get(name, [])

    def has(self, name: str) -> bool:
        """Tell whether the field was sent at all."""
        return name in self._fields

    def number(self, name: str, label: str) -> float:
        """Return a field as a number; raise `InputError`."""
        try:
            found = float(self.text(name))
        except ValueError as error:
            raise InputError(f"{label} must be a number", field=name) from error
        if not abs(found) < float("inf"):  # NaN fails this too
            raise InputError(f"{label} must be a number", field=name)
        return found

    def given(self, *names: str) -> dict[str, str]:
        """Return those of some fields that are not empty."""
        return {name: text for name in names if (text := self.text(name))}

    def digest(self) -> bytes:
        """Return a digest of what somebody filled in: of all fields but those that every form has."""
        typed = sorted((name, values) for name, values in self._fields.items() if name not in {TOKEN, ONCE})
        return hashlib.sha256(repr(typed).encode()).digest()


async def read_form(request: web.Request, within_s: float) -> tuple[Form, bytes]:
    """Return a request's form and its bytes; raise `Refused` for another type, a size over the limit, or bytes that are no text."""
    if request.content_type != _KIND:
        raise Refused(Code.CONTENT_TYPE_UNSUPPORTED, "This address takes forms only")
    raw = await bodies.whole(request, MAX_FORM, within_s)
    try:
        pairs = parse_qsl(raw.decode(), keep_blank_values=True, max_num_fields=_MOST_FIELDS, errors="strict")
    except ValueError as error:
        raise Refused(Code.MALFORMED_REQUEST, "The form cannot be read") from error
    return Form(_without_nul(pairs)), raw


def query_form(query: Mapping[str, str]) -> Form:
    """Return the query string of an address as a form."""
    return Form(_without_nul(list(query.items())))


def _without_nul(pairs: list[tuple[str, str]]) -> list[tuple[str, str]]:
    if any("\0" in text for pair in pairs for text in pair):
        raise Refused(Code.MALFORMED_REQUEST, "A field holds a NUL")
    return pairs
