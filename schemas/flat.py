"""Records of texts, bytes and whole numbers, without unions or records in them, to Avro: the attempts, one for each delivery.

A function is generated for the schema: less than half of fastavro's time (docs/benchmarks.md), and the same bytes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final, cast

from hookline.schemas.generated import Lines
from hookline.schemas.varints import FEW, SMALL, varint

_LOW: Final = -(2**31)
_HIGH: Final = 2**31


def flat_encoder(schema: Mapping[str, Any]) -> Callable[[Mapping[str, Any]], bytes]:
    """Return what writes a record of a flat schema, given all its fields by name; it is pure and thread-safe.

    Raises `KeyError` for a schema that is not flat. What it returns raises `KeyError`, `TypeError`, `AttributeError`, `OverflowError` or
    `ValueError` for a field that is missing or does not fit.
    """
    source = _Source()
    source.function(schema)
    return cast("Callable[[Mapping[str, Any]], bytes]", source.made("encode", {"small": SMALL, "int": _int, "long": varint}))


def _int(number: int) -> bytes:
    if not _LOW <= number < _HIGH:
        raise OverflowError("a number is beyond its type")
    return varint(number)


class _Source(Lines):
    """The lines of one function, and the pieces that it joins."""

    def __init__(self) -> None:
        super().__init__()
        self._pieces: list[str] = []
        self._makers: Mapping[str, Callable[[str], None]] = {
            "string": lambda value: self._sized(f"{value}.encode()"),
            "bytes": self._sized,
            "int": lambda value: self._whole(value, "int"),
            "long": lambda value: self._whole(value, "long"),
        }

    def function(self, schema: Mapping[str, Any]) -> None:
        """Write the whole function."""
        with self.indented("def encode(r):"):
            for field in schema["fields"]:
                self._makers[field["type"]](f"r[{field['name']!r}]")
            self.put(f"return b''.join(({', '.join(self._pieces)},))")

    def _named(self, expression: str) -> str:
        name = self.name()
        self.put(f"{name} = {expression}")
        return name

    def _sized(self, value: str) -> None:
        name = self._named(value)
        size = self._named(f"len({name})")
        self._pieces += (f"small[{size}] if {size} < {FEW} else long({size})", name)

    def _whole(self, value: str, kind: str) -> None:
        name = self._named(value)
        self._pieces.append(f"small[{name}] if 0 <= {name} < {FEW} else {kind}({name})")
