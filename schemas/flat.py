"""Records of texts, bytes and whole numbers, without unions or records in them, to Avro: the attempts, one for each delivery.

A function is generated for the schema: less than half of fastavro's time (docs/benchmarks.md), and the same bytes.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, Final, TypeAlias, cast

from hookline.schemas.generated import Lines
from hookline.schemas.varints import FEW, SMALL, varint

Encoder: TypeAlias = Callable[[bytes, Sequence[Any]], bytes]
_LOW: Final = -(2**31)
_HIGH: Final = 2**31
_KEPT: Final = 65_536  # three texts of each of 20,000 webhooks, and some
_LONGEST_KEPT: Final = 256


def flat_encoder(schema: Mapping[str, Any], repeated: Collection[str] = ()) -> Encoder:
    """Return what writes a record of a flat schema behind given bytes, from the values of all its fields in their order; thread-safe.

    What texts and longs of the `repeated` fields are written as is remembered: these have the same few values again and again.
    Raises `KeyError` for a schema that is not flat. What it returns raises `KeyError`, `TypeError`, `AttributeError`, `OverflowError` or
    `ValueError` for a value that is missing or does not fit.
    """
    source = _Source(repeated)
    source.function(schema)
    names = {"small": SMALL, "int": _int, "long": varint, "texts": _Written(_sized), "longs": _Written(varint)}
    return cast("Encoder", source.made("encode", names))


def _int(number: int) -> bytes:
    if not _LOW <= number < _HIGH:
        raise OverflowError("a number is beyond its type")
    return varint(number)


def _sized(text: str) -> bytes:
    data = text.encode()
    return varint(len(data)) + data


class _Written(dict[Any, bytes]):
    """What values are written as, short ones remembered until they are too many: a look-up takes a fifth of the time of writing."""

    def __init__(self, write: Callable[[Any], bytes]) -> None:
        super().__init__()
        self._write = write

    def __missing__(self, value: Any) -> bytes:  # noqa: ANN401  # a text or a number
        written = self._write(value)
        if len(written) <= _LONGEST_KEPT:
            if len(self) >= _KEPT:
                self.clear()
            self[value] = written
        return written


class _Source(Lines):
    """The lines of one function, and the pieces that it joins."""

    def __init__(self, repeated: Collection[str]) -> None:
        super().__init__()
        self._repeated = repeated
        self._pieces: list[str] = []
        self._makers: Mapping[str, Callable[[str], None]] = {
            "string": lambda value: self._sized(f"{value}.encode()"),
            "bytes": self._sized,
            "int": lambda value: self._whole(value, "int"),
            "long": lambda value: self._whole(value, "long"),
        }
        self._remembered = {"string": "texts", "long": "longs"}

    def function(self, schema: Mapping[str, Any]) -> None:
        """Write the whole function."""
        values = [self.name() for _ in schema["fields"]]
        with self.indented("def encode(head, values):"):
            self.put(f"{', '.join(values)}, = values")
            for value, field in zip(values, schema["fields"], strict=True):
                if field["name"] in self._repeated:
                    self._pieces.append(f"{self._remembered[field['type']]}[{value}]")
                else:
                    self._makers[field["type"]](value)
            self.put(f"return b''.join((head, {', '.join(self._pieces)}))")

    def _named(self, expression: str) -> str:
        name = self.name()
        self.put(f"{name} = {expression}")
        return name

    def _sized(self, value: str) -> None:
        name = self._named(value)
        size = self._named(f"len({name})")
        self._pieces += (f"small[{size}] if {size} < {FEW} else long({size})", name)

    def _whole(self, value: str, kind: str) -> None:
        self._pieces.append(f"small[{value}] if 0 <= {value} < {FEW} else {kind}({value})")
