"""What is wrong with a value of a request, in plain words, and what is allowed. Pure; never the value itself, which may be a secret."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from hookline.console.http.models import WRITTEN

_OF_A_NAME: Final = "[key]"
"""How pydantic marks that a key is at fault, and not its value."""
_TYPES: Final[Mapping[str, str]] = {
    "string": "a text",
    "int": "a whole number",
    "float": "a number",
    "bool": "true or false",
    "list": "a list",
    "dict": "an object",
    "dict[str,any]": "an object",
    "str": "a text",
    "model": "a JSON object",
}


def places_of(faults: Sequence[Mapping[str, Any]]) -> tuple[str | int, ...]:
    """Return where the first fault is: the value, or the object that has the name at fault."""
    places: tuple[str | int, ...] = faults[0]["loc"]
    if places[-1:] == (_OF_A_NAME,):
        return places[:-2]
    return places[:-1] if _ways(faults) else places


def complaint(faults: Sequence[Mapping[str, Any]]) -> str:
    """Return what to say of the first of the faults that pydantic tells, to be read right after the name of the field."""
    first, ways = faults[0], _ways(faults)
    if ways:
        return f" must be {' or '.join(ways)}"
    if first["type"] == "value_error":
        said = first["msg"].removeprefix("Value error, ")
        return f" {said}" if said.startswith("must ") else f": {said}"
    return f" {_complaint(first)}"


def _ways(faults: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return what a value might have been, where it may be one of several and is none: pydantic tells a fault of each."""
    said = [_TYPES.get(str(one["loc"][-1])) for one in faults if one["loc"] and one["loc"][:-1] == faults[0]["loc"][:-1]]
    found = [words for words in said if words is not None]
    return found if len(found) > 1 and len(found) == len(said) and len(faults[0]["loc"]) > 1 else []


def _complaint(first: Mapping[str, Any]) -> str:
    kind, given = first["type"], first.get("ctx", {})
    if kind == "string_pattern_mismatch":
        named = first["loc"][-1:] == (_OF_A_NAME,)
        return f"{'has a name that is not' if named else 'must be'} {WRITTEN[given['pattern']]}"
    said = {
        "string_too_short": "must not be empty",
        "too_short": "must not be empty",
        "string_too_long": f"has more than {given.get('max_length')} characters",
        "too_long": f"has more than {given.get('max_length')} entries",
        "greater_than_equal": f"must be at least {given.get('ge', 0):g}",
        "less_than_equal": f"must be at most {given.get('le', 0):g}",
        "literal_error": f"must be {given.get('expected')}",
        "enum": f"must be {given.get('expected')}",
    }
    return said.get(kind) or f"must be {_TYPES.get(kind.partition('_')[0], 'of another type: the reference has it')}"
