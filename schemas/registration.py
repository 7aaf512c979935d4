"""Registering this build's schemas: able to read every registered version of each, or not at all."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from hookline.kernel.errors import Incompatible, SchemaError
from hookline.schemas.catalogue import SCHEMAS, canonical
from hookline.schemas.compatibility import check
from hookline.schemas.lint import lint
from hookline.schemas.registry import SchemaRegistry

_SHOWN: Final = 3


@dataclass(frozen=True, slots=True)
class Registration:
    """A schema of this build in the registry; `new` when this run put it there."""

    subject: str
    id: int
    new: bool


def problems(registry: SchemaRegistry) -> list[str]:
    """Return what keeps this build's schemas from being registered.

    A schema must read what every version wrote, not the last one alone: compacted topics and dead letters keep
    records for as long as they live.
    """
    found: list[str] = []
    for subject, schema in SCHEMAS.items():
        found += [f"{subject}: {problem}" for problem in lint(schema)]
        for version in registry.versions(subject):
            found += [f"{subject}, version {version.version}: {problem}" for problem in check(schema, version.schema)]
    return found


def reader_first(registry: SchemaRegistry) -> list[str]:
    """Return what processes of the last registered build could not read of this one: they must be upgraded before producers."""
    found: list[str] = []
    for subject, schema in SCHEMAS.items():
        for version in registry.versions(subject)[-1:]:
            found += [f"{subject}: {problem}" for problem in check(version.schema, schema)]
    return found


def register_all(registry: SchemaRegistry) -> list[Registration]:
    """Register every schema of this build that is not there yet, after checking all of them.

    Raises `Incompatible` before anything is written when one could not read what its predecessor wrote.
    """
    wrong = problems(registry)
    if wrong:
        more = f" and {len(wrong) - _SHOWN} more" if len(wrong) > _SHOWN else ""
        raise Incompatible(
            f"The schemas cannot be registered: {'; '.join(wrong[:_SHOWN])}{more}",
            remedy="Give added fields a default, keep old fields and symbols, or publish a new event type.",
        )
    return [_register(registry, subject) for subject in SCHEMAS]


def _register(registry: SchemaRegistry, subject: str) -> Registration:
    schema = dict(SCHEMAS[subject])
    wanted = canonical(schema)
    known = next((v for v in registry.versions(subject) if canonical(v.schema) == wanted), None)
    if known is not None:
        return Registration(subject, known.id, new=False)
    number = registry.register(subject, schema)
    if number <= 0:
        raise SchemaError(f"The registry gave {subject} the id {number}")
    return Registration(subject, number, new=True)
