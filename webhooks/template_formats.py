"""The formats of a placeholder, `${ value | money | slack }`: how a value becomes a text for people, safe where it goes."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Final, TypeAlias

import orjson

from hookline.kernel.clock import rfc3339
from hookline.kernel.errors import TemplateError

Spend: TypeAlias = Callable[[int], None]
"""Counts characters that were made; raises `TemplateError` when one event makes too many."""
Format: TypeAlias = Callable[[Any, Spend], Any]
_Plain: TypeAlias = Callable[[Any], Any]
MOST_TEXT: Final = 1_048_576
"""Characters of a text on its way; what is sent has a smaller limit of its own."""
MOST_FORMATS: Final = 8
MOST_FIELDS: Final = 20
MOST_BETWEEN: Final = 64
_CALL: Final = re.compile(r"\s*([a-z_]+)\s*(?:\(\s*(?:(\d{1,6})|'([^']*)'|\"([^\"]*)\")\s*\)\s*)?\Z")
_FIELD: Final = re.compile(r"\{([^{}]*)\}")
_MARKDOWN: Final = "\\`*_{}[]()#+-.!|<>~:@"  # the backslash first: the others put some in
_ALIKE: Final = str.maketrans({"*": "\u2217", "_": "\uff3f", "~": "\u223c", "`": "\u02cb"})
# ISO 4217: how many digits of an amount are behind the point; two for every other currency.
_DIGITS: Final[Mapping[str, int]] = {
    **dict.fromkeys(("BIF", "CLP", "DJF", "GNF", "ISK", "JPY", "KMF", "KRW", "PYG", "RWF", "UGX", "UYI", "VND", "VUV"), 0),
    **dict.fromkeys(("XAF", "XOF", "XPF"), 0),
    **dict.fromkeys(("BHD", "IQD", "JOD", "KWD", "LYD", "OMR", "TND"), 3),
}


class MissingValue(TemplateError):
    """The event lacks a field that a placeholder names."""


def too_long() -> TemplateError:
    """Return the error of a text that grew too long."""
    return TemplateError(f"its text has more than {MOST_TEXT:,} characters")


def bounded(value: Any) -> Any:  # noqa: ANN401
    """Return a value; raise `TemplateError` for a text that is too long: formats may make one longer, each of them again."""
    if type(value) is str and len(value) > MOST_TEXT:
        raise too_long()
    return value


def text_of(value: Any) -> str:  # noqa: ANN401  # whatever CEL gives
    """Return a value as it stands in a text: null is empty, true and false are words, lists and objects are JSON."""
    if type(value) is str:
        return value
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return str(int(value)) if value.is_integer() else repr(value)
    return str(value) if isinstance(value, int) else _plain(value)


def json_of(value: Any) -> bytes:  # noqa: ANN401
    """Return a value as JSON; raise `TypeError` for what JSON cannot say: bytes, infinite numbers, keys that are no text."""
    return orjson.dumps(value, default=plain_time, option=orjson.OPT_PASSTHROUGH_DATETIME)


def plain_time(value: object) -> str:
    """Return a time as RFC 3339, a duration as CEL writes it; raise `TypeError` for anything else."""
    if isinstance(value, datetime):
        return rfc3339(value)
    if isinstance(value, timedelta):
        return f"{value.total_seconds():g}s"
    raise TypeError(f"{type(value).__name__} is not JSON")


def format_of(text: str) -> Format:
    """Return the format that a text such as `cut(80)` names, which counts what it makes; raise `TemplateError`."""
    form = _format_of(text)

    def counted(value: Any, spend: Spend) -> Any:  # noqa: ANN401
        made = bounded(form(value, spend))
        spend(length_of(made))
        return made

    return counted


def length_of(value: Any) -> int:  # noqa: ANN401
    """Return what a value counts for: the characters of a text, the items of a list or object, or one."""
    return len(value) + 1 if type(value) in {str, list, dict} else 1


def _format_of(text: str) -> Format:
    found = _CALL.match(text)
    name, number, *quoted = found.groups() if found is not None else ("", None, None, None)
    words = next((part for part in quoted if part is not None), None)
    if name == "cut" and number is not None and int(number) > 0:
        return _uncounted(_cutter(int(number)))
    if name == "first" and number is not None:
        return _uncounted(_taker(int(number)))
    if name == "each" and words:
        return _each(words)
    if name == "join" and words is not None and len(words) > MOST_BETWEEN:
        raise TemplateError(f"join takes up to {MOST_BETWEEN} characters to put between")
    if name == "join" and number is None:
        return _uncounted(_joiner(", " if words is None else words))
    if name in _PLAIN and number is None and words is None:
        return _uncounted(_PLAIN[name])
    said = "cut takes a number of characters, such as cut(80)" if name == "cut" else f"There is no format {text.strip()[:40]!r}"
    raise TemplateError(said, remedy=f"There are {', '.join(sorted([*_PLAIN, *_GIVEN]))}.")


def _uncounted(form: _Plain) -> Format:
    return lambda value, _: form(value)


def formats_of(texts: Sequence[str]) -> tuple[Format, ...]:
    """Return the formats that follow a value; raise `TemplateError`."""
    _few(texts)
    return tuple(map(format_of, texts))


def _few(formats: Sequence[str]) -> None:
    if len(formats) > MOST_FORMATS:
        raise TemplateError(f"There are more than {MOST_FORMATS} formats after one value")


def _cutter(most: int) -> _Plain:
    def cut(value: Any) -> str:  # noqa: ANN401
        text = text_of(value)
        return text if len(text) <= most else f"{text[: most - 1]}…"

    return cut


def _taker(most: int) -> _Plain:
    def first(value: Any) -> list[Any]:  # noqa: ANN401
        if not isinstance(value, list):
            raise TypeError("first needs a list")
        return value[:most]

    return first


def _each(words: str) -> Format:
    """Return what makes a text of every item of a list: `{title}` stands for a field of it, `{total | money}` for one with formats."""
    found = list(_FIELD.finditer(words))
    ends = [0, *(one.end() for one in found)]
    fixed = [words[end:start] for end, start in zip(ends, [*(one.start() for one in found), len(words)], strict=True)]
    if len(found) > MOST_FIELDS:
        raise TemplateError(f"each has more than {MOST_FIELDS} fields")
    fields = [_item_field(field[1]) for field in found]

    def one(item: Any, spend: Spend) -> str:  # noqa: ANN401
        return "".join([fixed[0], *(part for of, after in zip(fields, fixed[1:], strict=True) for part in (of(item, spend), after))])

    def each(value: Any, spend: Spend) -> list[str]:  # noqa: ANN401
        if not isinstance(value, list):
            raise TypeError("each needs a list")
        made = []
        for item in value:
            made.append(one(item, spend))
            spend(length_of(made[-1]))
        return made

    return each


def _item_field(text: str) -> Callable[[Any, Spend], str]:
    name, *rest = text.split("|")
    _few(rest)
    path, formats = name.strip().split("."), [format_of(one) for one in rest]
    if not all(step.isidentifier() for step in path):
        raise TemplateError(f"{{{text[:40]}}} names no field of an item", remedy="Write each('{quantity} x {title}').")

    def of(item: Any, spend: Spend) -> str:  # noqa: ANN401
        try:
            for step in path:
                item = item[step]
        except (KeyError, TypeError) as error:
            raise MissingValue(f"an item has no {'.'.join(path)}") from error
        for form in formats:
            item = form(item, spend)
        return text_of(item)

    return of


def _joiner(between: str) -> _Plain:
    def join(value: Any) -> str:  # noqa: ANN401
        if not isinstance(value, list):
            raise TypeError("join needs a list")
        return between.join(map(text_of, value))

    return join


def _money(value: Any) -> str:  # noqa: ANN401
    """Return an amount in minor units as people write it: `111.10 EUR`; null is empty."""
    if value is None:
        return ""
    try:
        amount, currency = value["amount_minor"], value["currency"]
        digits = _DIGITS.get(currency, 2)
        sign, whole = "-" if amount < 0 else "", f"{abs(amount):0{digits + 1}d}"
    except (KeyError, TypeError, ValueError, IndexError) as error:
        raise TypeError("money needs an amount, such as data.order.totals.grand_total") from error
    point = len(whole) - digits
    return f"{sign}{whole[:point]}.{whole[point:]} {currency}" if digits else f"{sign}{whole} {currency}"


def _line(value: Any) -> str:  # noqa: ANN401
    """Return a text on one line: nobody's name makes lines of its own in a message."""
    return " ".join(text_of(value).split())


def _slack(value: Any) -> str:  # noqa: ANN401
    """Return a line for Slack's `plain_text`, in which nothing is a mention or a command: it reads `&`, `<` and `>` as such."""
    return _line(value).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _mrkdwn(value: Any) -> str:  # noqa: ANN401
    """Return a line for Slack's `mrkdwn`, which knows no escapes: signs that format are replaced by such as look like them."""
    return _slack(value).translate(_ALIKE).replace("://", ":\u2215\u2215").replace("&gt;", "\u203a")


def _markdown(value: Any) -> str:  # noqa: ANN401
    """Return a line in which nothing is Markdown: every sign that could mean something has a backslash before it."""
    text = _line(value)
    for sign in _MARKDOWN:
        if sign in text:
            text = text.replace(sign, f"\\{sign}")
    return text


def _count(value: Any) -> int:  # noqa: ANN401
    if not isinstance(value, list | dict):
        raise TypeError("count needs a list or an object")
    return len(value)


def _plain(value: Any) -> str:  # noqa: ANN401
    """Return a time as a text, anything else as JSON."""
    return plain_time(value) if isinstance(value, datetime | timedelta) else json_of(value).decode()


_PLAIN: Final[Mapping[str, _Plain]] = {
    "count": _count,
    "line": _line,
    "markdown": _markdown,
    "money": _money,
    "mrkdwn": _mrkdwn,
    "slack": _slack,
    "text": text_of,
}
_GIVEN: Final = ("cut(80)", "each('{quantity} x {title}')", "first(10)", "join", "join(' / ')")
