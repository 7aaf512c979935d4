"""Values for hot paths: dataclasses that the type checker keeps from being changed, and that cost no more than others to make."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import TypeVar, dataclass_transform

T = TypeVar("T")


@dataclass_transform(frozen_default=True)
def value(*, kw_only: bool = False) -> Callable[[type[T]], type[T]]:
    """Return a decorator like `dataclass(frozen=True, slots=True)`, whose promise only the type checker holds.

    At run time a frozen one sets each field by a call: 2.1 µs for the 17 fields of a `Waiting`, where this takes 0.6.
    """

    def decorate(cls: type[T]) -> type[T]:
        return dataclasses.dataclass(slots=True, kw_only=kw_only, unsafe_hash=True)(cls)

    return decorate
