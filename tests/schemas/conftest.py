"""What the tests of schemas share: a registry in memory, and data made from a schema."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime
from typing import Any

import pytest
from hypothesis import strategies as st

from hookline.kernel.errors import UnknownSchema
from hookline.schemas.catalogue import SCHEMAS
from hookline.schemas.names import full_name
from hookline.schemas.registered import Registered, not_registered


class MemoryRegistry:
    """A registry without a broker; ids from 1 in the order of registration."""

    def __init__(self, *schemas: Any) -> None:
        self.entries: list[Registered] = []
        for schema in schemas:
            self.register(full_name(schema), schema)

    def start(self) -> None:
        """Nothing to connect to."""

    def stop(self) -> None:
        """Nothing is held."""

    def id_of(self, subject: str) -> int:
        """Return the id of this build's schema."""
        for entry in self.entries:
            if entry.subject == subject and entry.schema == SCHEMAS[subject]:
                return entry.id
        raise not_registered(subject)

    def schema_of(self, number: int) -> dict[str, Any]:
        """Return a schema by id."""
        if not 0 < number <= len(self.entries):
            raise UnknownSchema(f"Schema id {number} is not registered")
        return self.entries[number - 1].schema

    def subject_of(self, number: int) -> str:
        """Return a subject by id."""
        return full_name(self.schema_of(number))

    def versions(self, subject: str) -> list[Registered]:
        """Return all versions."""
        return [entry for entry in self.entries if entry.subject == subject]

    def register(self, subject: str, schema: dict[str, Any]) -> int:
        """Append a version."""
        self.entries.append(Registered(len(self.entries) + 1, subject, len(self.versions(subject)) + 1, schema))
        return len(self.entries)


@pytest.fixture(scope="session")
def registry_type() -> type[MemoryRegistry]:
    """Give the registry in memory."""
    return MemoryRegistry


_TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
_TIMES = st.datetimes(datetime(1970, 1, 1), datetime(2400, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001  # hypothesis adds the zone
_PRIMITIVES: dict[str, st.SearchStrategy[Any]] = {
    "string": _TEXT,
    "int": st.integers(-(2**31), 2**31 - 1),
    "long": st.integers(-(2**63), 2**63 - 1),
    "double": st.floats(allow_nan=False, allow_infinity=False),
    "boolean": st.booleans(),
    "bytes": st.binary(max_size=12),
}


def data_of(schema: Any, named: dict[str, Any] | None = None) -> st.SearchStrategy[Any]:
    """Return a strategy for data that fits an Avro schema."""
    named = {} if named is None else named
    if isinstance(schema, list):
        return st.none() | data_of(schema[1], named)
    if isinstance(schema, str):
        return _PRIMITIVES[schema] if schema in _PRIMITIVES else data_of(named[schema], named)
    if "logicalType" in schema:
        return _TIMES if schema["logicalType"] == "timestamp-micros" else st.dates(date(1900, 1, 1), date(2400, 1, 1))
    return _complex(schema, named)


def _complex(schema: Any, named: dict[str, Any]) -> st.SearchStrategy[Any]:
    match schema["type"]:
        case "record":
            named[full_name(schema)] = schema
            return st.fixed_dictionaries({field["name"]: data_of(field["type"], named) for field in schema["fields"]})
        case "enum":
            named[full_name(schema)] = schema
            return st.sampled_from(schema["symbols"])
        case "array":
            return st.lists(data_of(schema["items"], named), max_size=2)
        case "map":
            return st.dictionaries(_TEXT, data_of(schema["values"], named), max_size=2)
        case kind:
            return data_of(kind, named)


@pytest.fixture(scope="session")
def strategy_of() -> Callable[[Any], st.SearchStrategy[Any]]:
    """Give the maker of strategies."""
    return data_of
