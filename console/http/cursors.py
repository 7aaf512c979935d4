"""Cursors: where a page ended, sealed, so that it fits only the list that gave it."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from collections.abc import Mapping, Sequence
from typing import Any, Final

import orjson

from hookline.console.http.problems import Code, Refused
from hookline.kernel.clock import Clock

_TAG_BYTES: Final = 16
_LIFE_S: Final = 86_400
_LONGEST: Final = 2_048


class Cursors:
    """Seals and opens cursors; pure but for the clock, thread-safe.

    A cursor is the base64 of a tag (HMAC-SHA-256, cut to 16 bytes) and the JSON list `[made at, *position]`. The tag covers
    what the list is bound to (store, route, filters) as well, which is why a cursor of another store, another list or
    other filters does not open. Every console with the same secret opens it.
    """

    def __init__(self, secret: bytes, clock: Clock) -> None:
        self._key = hmac.digest(secret, b"hookline cursors", "sha256")
        self._clock = clock

    def seal(self, position: Sequence[str | int], bound: Mapping[str, Any]) -> str:
        """Return the cursor of a position in the list that `bound` describes."""
        body = orjson.dumps([int(self._clock.now().timestamp()), *position])
        return _encoded(self._tag(body, bound) + body)

    def open(self, text: str, bound: Mapping[str, Any]) -> list[Any]:
        """Return the position; raise `Refused` for a cursor that is altered, foreign or older than a day."""
        raw = _decoded(text)
        tag, body = raw[:_TAG_BYTES], raw[_TAG_BYTES:]
        if not hmac.compare_digest(tag, self._tag(body, bound)):
            raise _no()
        made_at, *position = orjson.loads(body)
        if not 0 <= self._clock.now().timestamp() - made_at <= _LIFE_S:
            raise Refused(Code.CURSOR_INVALID, "The cursor is older than a day", field="cursor")
        return list(position)

    def _tag(self, body: bytes, bound: Mapping[str, Any]) -> bytes:
        about = hashlib.sha256(orjson.dumps(dict(bound), option=orjson.OPT_SORT_KEYS)).digest()
        return hmac.digest(self._key, about + body, "sha256")[:_TAG_BYTES]


def _encoded(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")


def _decoded(text: str) -> bytes:
    if len(text) > _LONGEST or not text.isascii():
        raise _no()
    try:
        raw = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except binascii.Error as error:
        raise _no() from error
    if _encoded(raw) != text:  # base64 has several spellings of the same bytes; one of them is ours
        raise _no()
    return raw


def _no() -> Refused:
    return Refused(Code.CURSOR_INVALID, "The cursor is not one that this list gave for these filters", field="cursor")
