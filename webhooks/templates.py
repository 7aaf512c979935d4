"""Templates: a webhook's own form of the body. JSON whose texts hold `${ CEL }`, or the name of a preset.

A text that is one placeholder keeps the type of its value; in any other text values are written out. `$${` stands for `${`
itself, keys are taken as they are. Compiled once for each text; what is fixed is JSON already, so that filling in
costs only the placeholders.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final, TypeAlias

import orjson

from hookline.kernel.errors import TemplateError
from hookline.kernel.memo import Memo
from hookline.schemas.catalogue import event_type
from hookline.webhooks.filter_syntax import TOKEN
from hookline.webhooks.presets import PRESETS
from hookline.webhooks.template_formats import MissingValue, formats_of, json_of, text_of
from hookline.webhooks.template_values import Expression, Field, Subject, compile_value

MAX_BYTES: Final = 16_384
_KEPT: Final = 2**21
"""Characters of templates that are kept compiled, at up to 80 bytes each."""
MOST_PLACEHOLDERS: Final = 100
ROOM: Final = 262_144
"""Bytes that a body may have beyond those of the event's usual one."""
_DEEPEST: Final = 32
_SHOWN: Final = 60
_BYTE_ORDER_MARK: Final = "\ufeff"
_UNQUOTED: Final = re.compile(r"\$|[A-Za-z_]\w*\s*[.(\[]")
"""How CEL begins where JSON wants a value."""
_NOT_PRINTED: Final = frozenset({" ", '"', "%"})


@dataclass(frozen=True, slots=True)
class Content:
    """A body that is sent in place of the usual one, with its content type and what headers it needs."""

    body: bytes
    content_type: str = "application/json"
    headers: tuple[tuple[str, str], ...] = ()


class _Placeholder:
    """`${ value | format | … }`; `field` is the path of the text that it stands in, `text` it itself."""

    def __init__(self, text: str, field: str) -> None:
        self.field = field
        self.text = text
        self.repeated = False
        first, *formats = _parted(text)
        try:
            self._value: Field | Expression = compile_value(first)
            self._formats = formats_of(formats)
        except TemplateError as error:
            raise self._told(error, error) from error

    def of(self, subject: Subject) -> Any:  # noqa: ANN401  # whatever CEL gives
        """Return its value; raise `TemplateError` that names the place."""
        if self.repeated and self.text in subject.known:
            return subject.known[self.text]
        try:
            value = self._value.of(subject)
            for form in self._formats:
                value = form(value, subject.made)
        except TemplateError as error:
            raise self._told(error, error) from error
        except TypeError as error:
            raise self._told(TemplateError(str(error)), error) from error
        if self.repeated:
            subject.known[self.text] = value
        return value

    def json(self, subject: Subject) -> bytes:
        """Return its value as JSON."""
        try:
            return json_of(self.of(subject))
        except TypeError as error:
            raise self._told(TemplateError(f"its value is no JSON: {error}"), error) from error

    def _told(self, error: TemplateError, cause: Exception) -> TemplateError:
        kind = MissingValue if isinstance(cause, MissingValue) else TemplateError
        shown = self.text.strip()
        shown = shown if len(shown) <= _SHOWN else f"{shown[:_SHOWN]}…"
        return kind(f"{self.field}, ${{{shown}}}: {error.message}", field=self.field, remedy=error.remedy)


@dataclass(frozen=True, slots=True)
class _Text:
    """A text with placeholders in it."""

    parts: tuple[str | _Placeholder, ...]

    def of(self, subject: Subject) -> str:
        """Return it filled in."""
        return "".join([part if type(part) is str else _words(part, subject) for part in self.parts])

    def json(self, subject: Subject) -> bytes:
        """Return it filled in, as JSON."""
        return orjson.dumps(self.of(subject))


_Piece: TypeAlias = bytes | _Placeholder | _Text


@dataclass(frozen=True, slots=True)
class _Form:
    """A template for one type of event: pieces of JSON, and headers."""

    pieces: tuple[_Piece, ...]
    content_type: str
    headers: tuple[tuple[str, _Text], ...]

    def filled(self, subject: Subject, most: int) -> Content:
        made, room = [], most
        for piece in self.pieces:
            chunk = piece if type(piece) is bytes else piece.json(subject)  # type: ignore[union-attr]
            room -= len(chunk)
            if room < 0:
                raise TemplateError(f"The body that the template makes is larger than {most:,} bytes")
            made.append(chunk)
        headers = tuple([(name, _header(text.of(subject))) for name, text in self.headers])
        return Content(b"".join(made), self.content_type, headers)


class Template:
    """A compiled template; thread-safe."""

    def __init__(self, text: str, form_of: Callable[[str], _Form]) -> None:
        self.text = text
        self._form_of = form_of

    def fill(self, event: Mapping[str, Any], usual_bytes: int) -> Content:
        """Return what is sent of an event; raise `TemplateError` with the path of the text at fault.

        `event` is what the usual body says, as JSON: id, type, timestamp, store_id, data. `usual_bytes` is that body's length.
        """
        return self._form_of(event["type"]).filled(Subject(event), ROOM + usual_bytes)


def template_text(given: object) -> str:
    """Return a template as it is stored: empty for none, the name of a preset, or JSON with an indent of two; raise `TemplateError`."""
    if given is None or given in ("", {}):
        return ""
    text = given.removeprefix(_BYTE_ORDER_MARK).strip() if isinstance(given, str) else _json(given)
    if text not in PRESETS:
        text = _json(_tree(text))
    return compile_template(text).text


def _compiled(text: str) -> Template:
    preset = PRESETS.get(text)
    if preset is None:
        form = _form(_tree(text), "application/json", {})
        return Template(text, lambda _: form)

    @lru_cache
    def form_of(name: str) -> _Form:
        return _form(preset.tree(name), preset.content_type, preset.headers)

    return Template(text, form_of)


compile_template: Final = Memo(_compiled, _KEPT)
"""Returns the compiled template, a preset's name or JSON; raises `TemplateError` with what is wrong and where."""


def check_template(text: str, event_types: Iterable[str]) -> None:
    """Refuse a template that fails on every event of some type for want of a field, or on every type; raise `TemplateError`.

    Tried are the catalogue's examples. One that fails otherwise, on some types, may still fit their real events.
    """
    template, names = compile_template(text), tuple(event_types)
    failed = []
    for name in names:
        try:
            template.fill(example(name), 0)
        except MissingValue as error:
            remedy = "Ask has(…) ? … : … for what may be absent, or give types that differ webhooks of their own."
            raise _tried(MissingValue, error, f"the example of {name}", remedy) from error
        except TemplateError as error:
            failed.append((name, error))
    if failed and len(failed) == len(names):
        name, first = failed[0]
        every = f", and fails on those of all {len(names)} types" if len(names) > 1 else ""
        raise _tried(TemplateError, first, f"the example of {name}{every}", "Mend the placeholder that is named.") from first


def _tried(kind: type[TemplateError], error: TemplateError, on: str, remedy: str) -> TemplateError:
    return kind(f"{error.message} (tried on {on})", field=error.field or "template", remedy=error.remedy or remedy)


def example(name: str, store_id: str = "example") -> dict[str, Any]:
    """Return the catalogue's example of an event type as a template sees it."""
    return {
        "id": "evt_00000000000000000000000000",
        "type": name,
        "timestamp": "2026-03-14T09:26:53.589793Z",
        "store_id": store_id,
        "data": event_type(name).example,
    }


def headers_needed(text: str) -> tuple[tuple[str, str], ...]:
    """Return the headers that a template sets besides the content type, with their placeholders."""
    return tuple(PRESETS[text].headers.items()) if text in PRESETS else ()


def source_of(name: str, event_type_name: str) -> str:
    """Return a preset as the template that it is for a type of event, to begin an own one with."""
    return json.dumps(PRESETS[name].tree(event_type_name), ensure_ascii=False, indent=2)


# ---- compiling ----


def _tree(text: str) -> Any:  # noqa: ANN401  # JSON
    if len(text.encode("utf-8", "surrogatepass")) > MAX_BYTES:
        raise TemplateError(f"The template is longer than {MAX_BYTES:,} bytes")
    if not text.startswith(("{", "[")):
        raise TemplateError(f"There is no preset {text[:40]!r}", remedy=f"Use {', '.join(PRESETS)}, or JSON that begins with {{.")
    try:
        return json.loads(text, object_pairs_hook=_no_twice, parse_constant=_no_constant)
    except RecursionError as error:
        raise _too_deep() from error
    except json.JSONDecodeError as error:
        said = f"The template is no JSON: {error.msg} (line {error.lineno}, column {error.colno})"
        raise TemplateError(said, remedy=_remedy(text, error.pos)) from error


def _remedy(text: str, at: int) -> str:
    if _UNQUOTED.match(text, at):
        return 'Write CEL in quotes, such as "${data.order.number}".'
    if text.rfind("${", 0, at) > text.rfind("}", 0, at):
        return "Write texts inside ${ } in single quotes: double ones end the text of the JSON."
    return "Look at the quotes, commas and brackets at that place and just before it."


def _json(tree: object) -> str:
    try:
        return json.dumps(tree, ensure_ascii=False, indent=2, allow_nan=False)
    except RecursionError as error:
        raise _too_deep() from error
    except (TypeError, ValueError) as error:
        raise TemplateError(f"The template is no JSON: {error}") from error


def _no_twice(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        twice = next(name for index, (name, _) in enumerate(pairs) if name in dict(pairs[:index]))
        raise TemplateError(f"The key {twice[:40]!r} stands twice in one object of the template")
    return found


def _no_constant(word: str) -> float:
    raise TemplateError(f"{word} is no JSON")


def _too_deep() -> TemplateError:
    return TemplateError(f"The template has more than {_DEEPEST} levels")


def _form(tree: Any, content_type: str, headers: Mapping[str, str]) -> _Form:  # noqa: ANN401
    pieces = tuple(_joined(_pieces(tree, "template", _DEEPEST)))
    texts = tuple((name, _Text(tuple(_split(text, name)))) for name, text in headers.items())
    parts = [part for piece in pieces for part in (piece.parts if isinstance(piece, _Text) else (piece,))]
    found = [part for part in parts if isinstance(part, _Placeholder)]
    times = Counter(part.text for part in found)
    for part in found:
        part.repeated = times[part.text] > 1
    if len(found) > MOST_PLACEHOLDERS:
        raise TemplateError(f"The template has more than {MOST_PLACEHOLDERS} placeholders")
    return _Form(pieces, content_type, texts)


def _pieces(value: Any, field: str, levels: int) -> Iterator[_Piece]:  # noqa: ANN401
    if levels == 0:
        raise _too_deep()
    if isinstance(value, dict):
        yield b"{"
        for index, (key, inner) in enumerate(value.items()):
            yield (b"," if index else b"") + _fixed(key, field) + b":"
            yield from _pieces(inner, f"{field}.{key[:40]}", levels - 1)
        yield b"}"
    elif isinstance(value, list):
        yield b"["
        for index, inner in enumerate(value):
            yield b"," if index else b""
            yield from _pieces(inner, f"{field}[{index}]", levels - 1)
        yield b"]"
    elif isinstance(value, str) and "${" in value:
        yield _filled(value, field)
    else:
        yield _fixed(value, field)


def _fixed(value: object, field: str) -> bytes:
    try:
        return orjson.dumps(value)
    except TypeError as error:
        raise TemplateError(f"{field} cannot be sent: {error}", field=field) from error


def _filled(text: str, field: str) -> _Piece:
    parts = tuple(_split(text, field))
    if len(parts) == 1:
        return _fixed(parts[0], field) if isinstance(parts[0], str) else parts[0]
    return _Text(parts)


def _joined(pieces: Iterable[_Piece]) -> Iterator[_Piece]:
    """Yield the pieces, fixed ones that follow each other as one."""
    fixed = b""
    for piece in pieces:
        if isinstance(piece, bytes):
            fixed += piece
            continue
        if fixed:
            yield fixed
        fixed = b""
        yield piece
    if fixed:
        yield fixed


def _split(text: str, field: str) -> Iterator[str | _Placeholder]:
    """Yield what a text consists of: fixed words and placeholders."""
    fixed, at = "", 0
    while (found := text.find("${", at)) >= 0:
        if found > at and text[found - 1] == "$":
            fixed, at = fixed + text[at : found - 1] + "${", found + 2
            continue
        fixed += text[at:found]
        if fixed:
            yield fixed
        end = _end_of(text, found + 2, field)
        yield _Placeholder(text[found + 2 : end], field)
        fixed, at = "", end + 1
    fixed += text[at:]
    if fixed:
        yield fixed


def _end_of(text: str, start: int, field: str) -> int:
    """Return where the brace stands that closes a placeholder: braces in CEL's own texts and maps do not."""
    depth = 0
    for token in TOKEN.finditer(text, start):
        if token[0] == "}" and depth == 0:
            return token.start()
        depth += (token[0] == "{") - (token[0] == "}")
    shown = text[start - 2 : start + _SHOWN]
    raise TemplateError(f"{field}: {shown!r} has no closing }}", field=field, remedy="A ${ that is to be sent is written $${.")


def _parted(text: str) -> list[str]:
    """Return the value of a placeholder and its formats: what single bars part, outside of texts and brackets."""
    parts, begun, depth = [], 0, 0
    for token in TOKEN.finditer(text):
        depth += (token[0] in "([{") - (token[0] in ")]}") if token.lastgroup == "mark" else 0
        at = token.start()
        if token[0] == "|" and depth == 0 and "|" not in (text[at - 1 : at], text[at + 1 : at + 2]):
            parts.append(text[begun:at])
            begun = at + 1
    return [*parts, text[begun:]]


# ---- filling in ----


def _words(part: Any, subject: Subject) -> str:  # noqa: ANN401  # a placeholder
    value = part.of(subject)
    text = value if type(value) is str else text_of(value)
    subject.made(len(text))
    return text


def _header(text: str) -> str:
    """Return a value as CloudEvents writes it into a header: anything but printable ASCII, and `"` and `%`, in percent."""
    if text.isascii() and text.isprintable() and not _NOT_PRINTED & set(text):
        return text
    return "".join(
        character if "!" <= character <= "~" and character not in _NOT_PRINTED else "".join(f"%{byte:02X}" for byte in character.encode())
        for character in text
    )
