"""What the events of the benchmark are about: enough different things to spread them over every partition of a topic."""

from __future__ import annotations

import copy
from typing import Any, Final

from hookline.schemas.catalogue import event_type

ENTITIES: Final = 64
"""So many keys lie on six partitions at 11 each, give or take 3; with one key all events of a store would lie on one of the six."""


def examples(name: str) -> list[dict[str, Any]]:
    """Return the `data` of a type's example in its JSON form, `ENTITIES` times, each of another entity and of the same size."""
    kind = event_type(name)
    *way, last = kind.entity_path.split(".")
    found: list[dict[str, Any]] = []
    for number in range(ENTITIES):
        data: dict[str, Any] = copy.deepcopy(dict(kind.example))
        holder = data
        for step in way:
            holder = holder[step]
        holder[last] = f"{holder[last][:-2]}{number:02d}"
        found.append(data)
    return found
