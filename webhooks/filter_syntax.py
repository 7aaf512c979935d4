"""What a filter's text consists of: enough of CEL's syntax to find names, loops and patterns with their positions.

The parser of the CEL library keeps its tree to itself. A text that it accepts is made of these tokens; whatever this
module cannot follow (a loop over anything but a field, a pattern that is not written out) is refused.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Final

from hookline.kernel.errors import FilterError

LOOPS: Final = frozenset({"all", "exists", "exists_one", "filter", "map"})
_WORDS: Final = frozenset({"true", "false", "null", "in"})
_MOST_TOKENS: Final = 500
TOKEN: Final = re.compile(
    r"""(?P<space>\s+|//[^\n]*)
    |(?P<raw>[bB]?[rR](?:\"{3}.*?\"{3}|'{3}.*?'{3}|"[^"\n]*"|'[^'\n]*'))
    |(?P<text>[bB]?(?:\"{3}(?:\\.|[^\\])*?\"{3}|'{3}(?:\\.|[^\\])*?'{3}|"(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])*'))
    |(?P<number>0[xX][0-9a-fA-F]+[uU]?|(?:\d+(?:\.\d+)?|\.\d+)(?:[eE][+-]?\d+)?[uU]?)
    |(?P<name>[A-Za-z_]\w*)
    |(?P<mark>.)""",
    re.VERBOSE | re.DOTALL | re.ASCII,
)


@dataclass(frozen=True, slots=True)
class Token:
    """A piece of the text; `position` counts from 1."""

    kind: str
    text: str
    position: int


@dataclass(slots=True)
class Loop:
    """`range.exists(variable, …)`: `root` is the name that the range begins with, `outer` the loop around this one."""

    kind: str
    root: str
    variable: str
    position: int
    outer: Loop | None


@dataclass(frozen=True, slots=True)
class Use:
    """A name that stands for a value, where it stands, and the innermost loop around it."""

    name: str
    position: int
    loop: Loop | None


@dataclass(frozen=True, slots=True)
class Pattern:
    """The pattern of a `matches`, as it is written, quotes and all."""

    literal: str
    position: int
    loop: Loop | None


@dataclass(slots=True)
class Syntax:
    """What a filter is made of; `calls` are the names of functions, `additions` how often there is a `+`."""

    uses: list[Use] = field(default_factory=list)
    loops: list[Loop] = field(default_factory=list)
    patterns: list[Pattern] = field(default_factory=list)
    calls: list[Token] = field(default_factory=list)
    additions: int = 0


def read(text: str) -> Syntax:
    """Return what a text that the parser accepted is made of; raise `FilterError` for what could not be bounded."""
    tokens = [Token(str(m.lastgroup), m[0], m.start() + 1) for m in TOKEN.finditer(text) if m.lastgroup != "space"]
    if len(tokens) > _MOST_TOKENS:
        raise FilterError(f"The filter has more than {_MOST_TOKENS} parts: make it simpler", position=tokens[_MOST_TOKENS].position)
    return _Reader(tokens).read()


class _Reader:
    def __init__(self, tokens: list[Token]) -> None:
        self._tokens = tokens
        self._found = Syntax()
        self._open: list[Loop | None] = []  # one entry for each bracket that is open: the loop it belongs to, or None

    def read(self) -> Syntax:
        for index, token in enumerate(self._tokens):
            if token.kind == "name" and token.text not in _WORDS:
                self._name(index, token)
            elif token.kind == "mark":
                self._mark(index, token)
        return self._found

    def _mark(self, index: int, token: Token) -> None:
        if token.text == "+":
            self._found.additions += 1
        elif token.text in "([{":
            self._open.append(self._loop_at(index))
        elif token.text in ")]}" and self._open:
            self._open.pop()

    def _name(self, index: int, token: Token) -> None:
        if self._is("(", index + 1):
            self._call(index, token)
        elif not self._is(".", index - 1) and not self._is_variable(index):
            self._found.uses.append(Use(token.text, token.position, self._loop()))

    def _call(self, index: int, token: Token) -> None:
        self._found.calls.append(token)
        if token.text in {*LOOPS, "matches"} and not self._is(".", index - 1):
            raise FilterError(f"{token.text} is called on a value, such as data.order.number.matches('^1')", position=token.position)
        if token.text == "matches":
            self._pattern(index, token)

    def _pattern(self, index: int, token: Token) -> None:
        literal = self._at(index + 2)
        if literal is None or literal.kind not in {"raw", "text"} or not self._is(")", index + 3):
            raise FilterError("The pattern of matches must be written out, such as matches('^SHOE-')", position=token.position)
        self._found.patterns.append(Pattern(literal.text, literal.position, self._loop()))

    def _loop_at(self, bracket: int) -> Loop | None:
        """Return the loop whose arguments begin at a bracket, None when it is any other bracket."""
        call = self._at(bracket - 1)
        if call is None or call.text not in LOOPS or not self._is("(", bracket) or not self._is(".", bracket - 2):
            return None
        variable = self._at(bracket + 1)
        if variable is None or variable.kind != "name" or not self._is(",", bracket + 2):
            raise FilterError(f"{call.text} begins with a name, such as {call.text}(line, …)", position=call.position)
        loop = Loop(call.text, self._root(bracket - 3, call), variable.text, variable.position, self._loop())
        self._found.loops.append(loop)
        return loop

    def _root(self, index: int, call: Token) -> str:
        """Return the first name of the field that a loop runs over, walking back from its last part."""
        while (token := self._at(index)) is not None:
            if token.text == "]" and self._is("[", index - 2) and (self._at(index - 1) or token).kind in {"number", "text", "raw"}:
                index -= 3
            elif token.kind == "name" and self._is(".", index - 1):
                index -= 2
            else:
                break
        if token is None or token.kind != "name":
            raise FilterError(f"{call.text} must run over a field, such as data.order.lines.{call.text}(…)", position=call.position)
        return token.text

    def _is_variable(self, index: int) -> bool:
        """Tell whether a name is the one that a loop gives to its items."""
        return bool(self._open) and self._open[-1] is not None and self._open[-1].position == self._tokens[index].position

    def _loop(self) -> Loop | None:
        return next((loop for loop in reversed(self._open) if loop is not None), None)

    def _at(self, index: int) -> Token | None:
        return self._tokens[index] if 0 <= index < len(self._tokens) else None

    def _is(self, mark: str, index: int) -> bool:
        token = self._at(index)
        return token is not None and token.kind == "mark" and token.text == mark
