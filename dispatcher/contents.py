"""What is sent in place of the usual body: a webhook's template, filled in once for each event."""

from __future__ import annotations

from typing import Any

import orjson

from hookline.kernel.errors import TemplateError
from hookline.webhooks.templates import Content, compile_template


class Contents:
    """Fills templates in; used on the event loop's thread.

    It remembers what was made of the last event, whose deliveries mostly follow each other.
    """

    def __init__(self) -> None:
        self._body = b""
        self._event: dict[str, Any] = {}
        self._made: dict[str, Content] = {}

    def of(self, template: str, body: bytes) -> Content:
        """Return what a template makes of an event, given the event's usual body; raise `TemplateError`."""
        if body is not self._body:
            self._body, self._event, self._made = body, orjson.loads(body), {}
        made = self._made.get(template)
        if made is None:
            made = self._made[template] = self._filled(template)
        return made

    def _filled(self, template: str) -> Content:
        try:
            return compile_template(template).fill(self._event, len(self._body))
        except TemplateError:
            raise
        except Exception as error:  # whatever a template does, its delivery ends as an attempt
            raise TemplateError(f"The template failed on this event: {type(error).__name__}") from error
