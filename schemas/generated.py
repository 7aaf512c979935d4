"""What the generators of functions share: lines of Python, and the kinds of an Avro schema's parts."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from hookline.schemas.names import full_name


class Lines:
    """The lines of one function, indented, with names for its variables."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self._depth = 0
        self._names = 0

    def put(self, line: str) -> None:
        """Write a line."""
        self.lines.append("    " * self._depth + line)

    @contextmanager
    def indented(self, head: str) -> Iterator[None]:
        """Write what follows under a head, such as an `if`."""
        self.put(head)
        self._depth += 1
        yield
        self._depth -= 1

    def name(self) -> str:
        """Return a name that no other variable has."""
        self._names += 1
        return f"v{self._names}"

    def made(self, name: str, names: dict[str, Any]) -> Any:  # noqa: ANN401  # a function of any type
        """Return the function `name` that the lines define, with what they call; of our own schemas, and nothing else."""
        exec(compile("\n".join(self.lines), f"<{name}>", "exec"), names)  # noqa: S102
        return names[name]


class Kinds:
    """Tells the kinds of a schema's parts; a type that is named again is known by then."""

    def __init__(self) -> None:
        self._named: dict[str, Any] = {}

    def of(self, schema: Any) -> tuple[str, Any]:  # noqa: ANN401  # an Avro schema is JSON
        """Return the kind of a part (`union`, `record`, `string`, `timestamp-micros` and the like), and the part itself."""
        if isinstance(schema, list):
            return "union", schema
        if isinstance(schema, str):
            return self.of(self._named[schema]) if schema in self._named else (schema, schema)
        kind: str = schema["type"]
        if kind in {"record", "enum"}:
            self._named[full_name(schema)] = schema
            return kind, schema
        if "logicalType" in schema:
            return schema["logicalType"], schema
        return (kind, schema) if kind in {"array", "map"} else self.of(kind)
