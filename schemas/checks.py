"""Typed checks compiled from Avro schemas: strict where fastavro is lenient, and with the path of what is wrong.

fastavro writes booleans as integers, integers beyond their type, and drops unknown fields; all of that is refused here.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from copy import copy
from datetime import UTC, date, datetime
from typing import Any, Final, TypeAlias

from hookline.kernel.errors import InputError
from hookline.schemas.names import full_name

Check: TypeAlias = Callable[[Any, str], Any]
"""Takes a value and its path, returns the value as Avro wants it (times as aware datetimes), raises `InputError`."""

_RANGES: Final = {"int": (-(2**31), 2**31 - 1), "long": (-(2**63), 2**63 - 1)}
_SHOWN: Final = 60
_PRINTABLE: Final = 10**_SHOWN
LOOK_UP: Final = "GET /api/v1/event-types/{name} of the console lists the fields of an event type."
_EARLIEST: Final = datetime(1970, 1, 1, tzinfo=UTC)
_LATEST: Final = datetime(9000, 1, 1, tzinfo=UTC)


def compile_check(schema: Any, named: dict[str, Check] | None = None) -> Check:  # noqa: ANN401  # an Avro schema is JSON
    """Return the check of an Avro schema; it is pure and thread-safe."""
    named = {} if named is None else named
    if isinstance(schema, list):
        return _union(schema, named)
    if isinstance(schema, str):
        return named[schema] if schema in named else _PRIMITIVES[schema]
    logical = schema.get("logicalType")
    if logical is not None:
        return {"timestamp-micros": _timestamp, "date": _date}[logical]
    kind = schema["type"]
    makers = {"record": _record, "enum": _enum, "array": _array, "map": _map}
    return makers[kind](schema, named) if kind in makers else compile_check(kind, named)


def _refuse(path: str, wanted: str, value: object) -> InputError:
    return InputError(f"{path or 'the event'} must be {wanted}, not {_shown(value)}", field=path, remedy=f"Send {wanted} there. {LOOK_UP}")


def _shown(value: object) -> str:
    """Return a value as an error shows it: of any type and size, without what a message cannot hold."""
    if value is None:
        return "null"
    kind = type(value).__name__
    if isinstance(value, str | bool | float | datetime | date):
        return f"{kind} {str(value)[:_SHOWN]!r}"
    # Python refuses to print integers of thousands of digits; a list or object may be of any size.
    return f"{kind} {value}" if isinstance(value, int) and abs(value) < _PRINTABLE else kind


def _record(schema: Mapping[str, Any], named: dict[str, Check]) -> Check:
    fields: list[tuple[str, Check, bool, Any]] = []
    names: set[str] = set()

    def check(value: Any, path: str) -> dict[str, Any]:  # noqa: ANN401
        if not isinstance(value, dict):
            raise _refuse(path, "an object", value)
        found: dict[str, Any] = {}
        dot = f"{path}." if path else ""
        for name, inner, has_default, default in fields:
            if name in value:
                found[name] = inner(value[name], dot + name)
            elif has_default:
                found[name] = copy(default)
            else:
                raise InputError(f"{dot}{name} is missing", field=f"{dot}{name}", remedy=f"Add it. {LOOK_UP}")
        if len(value) > len(fields) or not names.issuperset(value):
            _unknown(value, names, dot)
        return found

    named[full_name(schema)] = check
    for field in schema["fields"]:
        fields.append((field["name"], compile_check(field["type"], named), "default" in field, field.get("default")))
        names.add(field["name"])
    return check


def _unknown(value: Mapping[Any, Any], names: set[str], dot: str) -> None:
    for name in value:
        if name not in names:
            shown = _name(name)
            raise InputError(
                f"{dot}{shown} is not a field of this event", field=f"{dot}{shown}", remedy=f"Fields here: {', '.join(sorted(names))}."
            )


def _name(key: object) -> str:
    """Return a key as a path shows it: short, and nothing that cannot be written as UTF-8."""
    return str(key)[:_SHOWN].encode("utf-8", "backslashreplace").decode() if isinstance(key, str) else _shown(key)


def _enum(schema: Mapping[str, Any], named: dict[str, Check]) -> Check:
    symbols = frozenset(schema["symbols"])
    wanted = f"one of {', '.join(schema['symbols'])}"

    def check(value: Any, path: str) -> str:  # noqa: ANN401
        if not isinstance(value, str) or value not in symbols:
            raise _refuse(path, wanted, value)
        return value

    named[full_name(schema)] = check
    return check


def _array(schema: Mapping[str, Any], named: dict[str, Check]) -> Check:
    inner = compile_check(schema["items"], named)

    def check(value: Any, path: str) -> list[Any]:  # noqa: ANN401
        if not isinstance(value, list | tuple):
            raise _refuse(path, "a list", value)
        return [inner(item, f"{path}[{index}]") for index, item in enumerate(value)]

    return check


def _map(schema: Mapping[str, Any], named: dict[str, Check]) -> Check:
    inner = compile_check(schema["values"], named)

    def check(value: Any, path: str) -> dict[str, Any]:  # noqa: ANN401
        if not isinstance(value, dict):
            raise _refuse(path, "an object", value)
        return {_string(key, f"{path} (a key)"): inner(item, f"{path}.{_name(key)}") for key, item in value.items()}

    return check


def _union(branches: list[Any], named: dict[str, Check]) -> Check:
    """Check `null` or one other type: the only unions that our schemas use (a lint refuses others)."""
    inner = compile_check(next(branch for branch in branches if branch != "null"), named)
    return lambda value, path: None if value is None else inner(value, path)


def _string(value: Any, path: str) -> str:  # noqa: ANN401
    if not isinstance(value, str):
        raise _refuse(path, "a text", value)
    if value.isascii():
        return value
    try:
        value.encode()
    except UnicodeEncodeError as error:
        remedy = "Send the whole character, in UTF-8 or as both halves."
        raise InputError(f"{path} holds half of a surrogate pair, which is no text", field=path, remedy=remedy) from error
    return value


def _whole(kind: str) -> Check:
    low, high = _RANGES[kind]

    def check(value: Any, path: str) -> int:  # noqa: ANN401
        if type(value) is not int:
            raise _refuse(path, "a whole number", value)
        if not low <= value <= high:
            raise InputError(f"{path} must be from {low} to {high} (Avro {kind})", field=path, remedy="Send a number within.")
        return value

    return check


def _number(value: Any, path: str) -> float:  # noqa: ANN401
    if type(value) not in {int, float}:
        raise _refuse(path, "a finite number", value)
    try:
        number = float(value)
    except OverflowError as error:
        raise _refuse(path, "a finite number", value) from error
    if not math.isfinite(number):
        raise _refuse(path, "a finite number", value)
    return number


def _boolean(value: Any, path: str) -> bool:  # noqa: ANN401
    if type(value) is not bool:
        raise _refuse(path, "true or false", value)
    return value


def _bytes(value: Any, path: str) -> bytes:  # noqa: ANN401
    if not isinstance(value, bytes):
        raise _refuse(path, "bytes", value)
    return value


def _timestamp(value: Any, path: str) -> datetime:  # noqa: ANN401
    if isinstance(value, str):
        try:
            value = datetime.fromisoformat(value)
        except ValueError as error:
            raise _refuse(path, "a time such as 2026-03-14T09:26:53Z", value) from error
    if not isinstance(value, datetime):
        raise _refuse(path, "a time such as 2026-03-14T09:26:53Z", value)
    return moment(value, path)


def moment(value: datetime, path: str) -> datetime:
    """Return an aware time in UTC; raise `InputError` for a naive one and for years outside 1970 to 9000."""
    if value.utcoffset() is None:
        raise InputError(f"{path} has no time zone", field=path, remedy="Give the offset, such as 2026-03-14T09:26:53Z or +01:00.")
    if not _EARLIEST <= value < _LATEST:
        raise InputError(f"{path} must be between the years 1970 and 9000", field=path, remedy="Check the unit: times are no numbers here.")
    return value.astimezone(UTC)


def _date(value: Any, path: str) -> date:  # noqa: ANN401
    if isinstance(value, str):
        try:
            return date.fromisoformat(value)
        except ValueError as error:
            raise _refuse(path, "a date such as 2026-03-14", value) from error
    if not isinstance(value, date) or isinstance(value, datetime):
        raise _refuse(path, "a date such as 2026-03-14", value)
    return value


_PRIMITIVES: Final[Mapping[str, Check]] = {
    "string": _string,
    "int": _whole("int"),
    "long": _whole("long"),
    "float": _number,
    "double": _number,
    "boolean": _boolean,
    "bytes": _bytes,
}
