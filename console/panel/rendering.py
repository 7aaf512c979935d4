"""Templates: everything is escaped, nothing undefined passes, no template can reach more than it is given."""

from __future__ import annotations

import hashlib
import re
import secrets
from datetime import datetime
from functools import cache
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote, urlencode

import orjson
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from hookline.console.panel import wording
from hookline.console.panel.menu import menu

_HERE: Final = Path(__file__).parent
_HIDDEN: Final = re.compile(
    "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\ud800-\udfff"
    "\U000e0000-\U000e007f]|\r(?!\n)"
)
"""Controls, what sets the direction of writing, and what has no width; not the joiners that scripts and emoji need."""
STATIC: Final = "/static"
_STAMP: Final = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{1,6})?Z)", re.ASCII)
_TYPES: Final = {".css": "text/css; charset=utf-8", ".js": "text/javascript; charset=utf-8", ".svg": "image/svg+xml"}


@cache
def environment() -> Environment:
    """Return the templates' environment."""
    found = Environment(
        loader=FileSystemLoader(_HERE / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
        finalize=visible,
    )
    found.filters |= {
        "moment": wording.moment,
        "number": wording.number,
        "compact": wording.compact,
        "percent": wording.percent,
        "ms": wording.milliseconds,
        "duration": wording.duration,
        "plural": wording.plural,
        "pace": wording.pace,
        "status": wording.status_text,
        "tone": wording.tone,
        "pretty": pretty,
        "stamps": stamps,
    }
    found.globals |= {"asset": asset, "words": wording, "menu": menu, "url": address, "once": once}
    for name in found.list_templates():  # all now: a package that is replaced under a running console would bring others later
        found.get_template(name)
    return found


def rendered(template: str, context: dict[str, Any]) -> bytes:
    """Return a page."""
    return environment().get_template(template).render(context).encode()


@cache
def assets() -> dict[str, tuple[bytes, str]]:
    """Return what is served beside the pages: name with the digest of its bytes → bytes and type."""
    found = {}
    for path in sorted((_HERE / "static").iterdir()):
        if path.suffix in _TYPES:
            data = path.read_bytes()
            digest = hashlib.sha256(data).hexdigest()[:12]
            found[f"{path.stem}.{digest}{path.suffix}"] = (data, _TYPES[path.suffix])
    return found


@cache
def asset(name: str) -> str:
    """Return the address of an asset; raise `KeyError` for an unknown one."""
    stem, suffix = name.rsplit(".", 1)
    for full in assets():
        if full.startswith(f"{stem}.") and full.endswith(f".{suffix}"):
            return f"{STATIC}/{full}"
    raise KeyError(name)


def address(*parts: str, **query: object) -> str:
    """Return a path of some parts, each made fit for one, and a query string of what is neither None nor empty."""
    path = "/" + "/".join(quote(part, safe="") for part in parts)
    given = {name.removesuffix("_"): str(value) for name, value in query.items() if value is not None and value != ""}
    return f"{path}?{urlencode(given)}" if given else path


def once() -> str:
    """Return what tells this showing of a form from any other."""
    return secrets.token_urlsafe(16)


def visible(value: object) -> object:
    """Return what a template puts out: in texts that are not markup of ours, what would be invisible or turn others round is spelled out.

    Receivers and publishers choose most of what pages show; U+202E in a header could make its rest read backwards.
    What is marked as markup stays: fields of forms put `|e` behind a value, so that it is sent again as it was typed.
    """
    if not isinstance(value, str) or hasattr(value, "__html__") or _HIDDEN.search(value) is None:
        return value
    return _HIDDEN.sub(_spelled, value)


def _spelled(found: re.Match[str]) -> str:
    code = ord(found[0])
    return f"\\u{code:04x}" if code <= 0xFFFF else f"\\U{code:08x}"  # noqa: PLR2004  # what four digits hold


def stamps(text: str) -> list[tuple[str, bool]]:
    """Return a sentence of the API in pieces, each with whether it is a time, to be shown as all times are."""
    return [(piece, number % 2 == 1 and _is_time(piece)) for number, piece in enumerate(_STAMP.split(text)) if piece]


def _is_time(text: str) -> bool:
    try:
        datetime.fromisoformat(text)
    except ValueError:
        return False
    return True


def pretty(text: str) -> str:
    """Return JSON indented for reading, any other text as it is. Numbers keep the digits that they have on the wire."""
    try:
        orjson.loads(text)
    except ValueError:
        return text
    return _indented(text)


def _indented(text: str) -> str:
    """Indent valid JSON by its brackets and commas alone, so that no value is read and written anew."""
    found: list[str] = []
    depth, quoted, escaped = 0, False, False
    for at, char in enumerate(text):
        if quoted:
            found.append(char)
            quoted = escaped or char != '"'
            escaped = char == "\\" and not escaped
        elif char in "{[":
            depth += 1
            found.append(char if _closes_at_once(text, at) else f"{char}\n{'  ' * depth}")
        elif char in "}]":
            depth -= 1
            found.append(char if _opened_just_now(text, at) else f"\n{'  ' * depth}{char}")
        elif char == ",":
            found.append(f",\n{'  ' * depth}")
        elif char == ":":
            found.append(": ")
        elif not char.isspace():
            quoted = char == '"'
            found.append(char)
    return "".join(found)


def _closes_at_once(text: str, at: int) -> bool:
    return text[at + 1 :].lstrip()[:1] in {"}", "]"}


def _opened_just_now(text: str, at: int) -> bool:
    return text[:at].rstrip()[-1:] in {"{", "["}
