"""What webhooks are called with."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import Any, Final

from hookline.schemas.catalogue import EVENT_TYPES

_NUMBERS: Final = itertools.count(1)


def event(name: str, data: Mapping[str, Any] | None = None, *, at: str = "2026-03-14T09:26:53.589793Z") -> dict[str, Any]:
    """Return an event as a webhook's body has it: the type's example, with these parts of its data changed."""
    changed = {**EVENT_TYPES[name].example, **(data or {})}
    return {"id": f"evt_{next(_NUMBERS)}", "type": name, "timestamp": at, "store_id": "demo", "data": changed}
