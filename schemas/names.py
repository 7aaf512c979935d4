"""The names of Avro types."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def full_name(schema: Mapping[str, Any]) -> str:
    """Return a named type's full name, which for a record is also its subject in the registry."""
    name, namespace = str(schema["name"]), schema.get("namespace")
    return f"{namespace}.{name}" if namespace and "." not in name else name
