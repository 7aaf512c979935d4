"""What is wrong with a text that is no CEL, in plain words: the parser itself answers with the list of all tokens it knows."""

from __future__ import annotations

import re
from typing import Final

_FAULT: Final = re.compile(r"^ERROR: <input>:(\d+):(\d+): *([^\n]*)", re.MULTILINE)
_PIECE: Final = re.compile(r"[^\W\d]\w*|[=<>&|]+|\d[\w.]*|.", re.DOTALL)
_QUOTES: Final = "'\""
_SPELT: Final = {
    "and": "write && for and",
    "or": "write || for or",
    "not": "write ! for not",
    "is": "write == for is",
    "like": "use contains, startsWith, endsWith or matches, such as data.order.number.startsWith('1')",
    "between": "write it as two comparisons joined by &&",
    "=": "write == to compare",
    "===": "write == to compare",
    "!==": "write != to compare",
    "=>": "write >= for greater or equal",
    "=<": "write <= for less or equal",
    "<>": "write != for not equal",
    "&": "write && for and",
    "|": "write || for or",
    ";": "leave the semicolon out",
    **dict.fromkeys("\u201c\u201d\u201e\u2018\u2019«»`", "put texts in straight quotes, such as 'DE'"),
}


def fault_of(text: str, words: str) -> tuple[int, str]:
    """Return the position of the fault, from 1, and what to do about it, given the parser's words on a text; 0: not known."""
    faults = [
        (int(line), int(column), said)
        for line, column, said in _FAULT.findall(words.removeprefix(f"Failed to parse expression '{text}': "))
    ]
    if not faults:
        return 0, "it holds something that is no valid text"
    line, column, said = next((fault for fault in faults if fault[2].startswith(("Syntax error", "reserved"))), faults[0])
    position = sum(len(part) + 1 for part in text.split("\n")[: line - 1]) + column
    return position, _hint(text, position - 1, said)


def _hint(text: str, at: int, said: str) -> str:
    if not text[at:].strip():
        return _at_the_end(said)
    piece = _piece_at(text, at)
    return _SPELT.get(piece.lower()) or _spelt_before(text, at) or _misplaced(text[:at], piece, said)


def _misplaced(before: str, piece: str, said: str) -> str:
    if "reserved identifier" in said:
        return f"{piece!r} is a reserved word of CEL: fields of that name are written data['{piece}']"
    if "simple name" in said:
        return "a loop begins with a name, such as data.order.lines.exists(line, line.quantity > 1)"
    if piece in _QUOTES and "token recognition" in said:
        return "the text that begins here has no closing quote"
    if before.endswith(("'", '"')) and piece[0].isalpha():
        return "the text ended just before: put a text that holds a quote in quotes of the other kind"
    return _unexpected(piece, said)


def _unexpected(piece: str, said: str) -> str:
    if piece in ")]}" and "extraneous" in said:
        return f"{piece} closes nothing: take it away"
    if piece == "." or "'.." in said:
        return "a name is expected after the dot"
    return f"{piece[:40]!r} is not expected here: an operator such as == or &&, a bracket or a value is missing before it"


def _at_the_end(said: str) -> str:
    if "missing ')'" in said:
        return "a closing ) is missing at the end"
    if "expecting {']', ','}" in said:
        return "a closing ] is missing at the end"
    if "no viable alternative" in said:
        return "a name is expected after the dot"
    return "it ends too early: a value, such as 100 or 'DE', or a closing bracket is missing at the end"


def _piece_at(text: str, at: int) -> str:
    """Return the word or the run of signs that an index lies in: the last `=` of `===` alone tells nothing."""
    found = _PIECE.match(text, at)
    piece = found[0] if found is not None else ""
    signs = "=<>!&|"
    while piece and piece[0] in signs and at and text[at - 1] in signs:
        at -= 1
        piece = text[at] + piece
    return piece


def _spelt_before(text: str, at: int) -> str:
    """Return the hint on the word before an index: `not data.x` is told at `data`."""
    before = text[:at].split()
    return _SPELT.get(before[-1].lower(), "") if before else ""
