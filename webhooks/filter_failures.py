"""Why a filter failed on an event, in plain words: the evaluator speaks of overloads and operands. Pure."""

from __future__ import annotations

import re
from typing import Final

_KINDS: Final = (
    "it uses values of different kinds together, such as a text with a number, or one that is null: convert with int(…), double(…) or "
    "string(…), or ask for null first (… != null)"
)
_FUNCTION: Final = re.compile(r"Undefined variable or function: '(\w+)'")
_CONVERSION: Final = re.compile(r"Function '(\w+)' error")
_INDEX: Final = re.compile(r"index out of bounds: (-?\d+)")
_LONGEST: Final = 200


def why(error: Exception) -> str:  # noqa: PLR0911  # one line per kind
    """Return why a filter failed, from what the evaluator raised: no name of an exception, nothing of the event but an index."""
    said = str(error)
    match error:
        case TypeError():
            return _KINDS
        case ZeroDivisionError():
            return "it divides by zero: ask first (… != 0)"
        case OverflowError():
            return "a number becomes larger than 64 bits hold"
        case IndexError() if found := _INDEX.search(said):
            return f"it takes item {found[1]} of a list that is shorter: ask with size(…) first"
        case RuntimeError() if found := _FUNCTION.search(said):
            return f"{found[1]} is not for values of this kind"
        case RuntimeError() if found := _CONVERSION.search(said):
            return f"{found[1]}(…) cannot read its value"
        case _:
            return " ".join(said.split())[:_LONGEST]
