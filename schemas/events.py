"""An event: what it consists of, its ids, its strict check before Kafka sees it."""

from __future__ import annotations

import random
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import Any, Final

from hookline.kernel.clock import Clock
from hookline.kernel.errors import InputError
from hookline.schemas.catalogue import event_type
from hookline.schemas.checks import Check, compile_check, moment

_ID: Final = re.compile(r"[A-Za-z0-9_-]{1,64}\Z")
_ALPHABET: Final = "0123456789abcdefghjkmnpqrstvwxyz"
_RANDOM_BITS: Final = 80
_PAIRS: Final = [first + second for first in _ALPHABET for second in _ALPHABET]
_VALUES: Final = {digit: value for value, digit in enumerate(_ALPHABET)}
_SHIFTS: Final = range(120, -1, -10)  # 26 characters of 5 bits, two at a time


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """Something that happened in a store; `occurred_at` is aware, `data` fits the type's schema."""

    id: str
    type: str
    store_id: str
    occurred_at: datetime
    data: dict[str, Any]


def new_id(prefix: str) -> str:
    """Return `prefix_` and 26 characters of [0-9a-z], in the order of their making to the millisecond (a ULID)."""
    number = (time.time_ns() // 1_000_000) << _RANDOM_BITS | random.getrandbits(_RANDOM_BITS)  # unique, not secret
    return f"{prefix}_{''.join([_PAIRS[number >> shift & 1023] for shift in _SHIFTS])}"


def made_at_ms(text: str) -> int | None:
    """Return when an id of `new_id` was made, in milliseconds since the epoch; None for an id that is none of those."""
    digits = text.rpartition("_")[2]
    if len(digits) != len(_SHIFTS) * 2 or not _VALUES.keys() >= set(digits):
        return None
    number = 0
    for digit in digits:
        number = number << 5 | _VALUES[digit]
    return number >> _RANDOM_BITS


def new_event_id() -> str:
    """Return a fresh event id."""
    return new_id("evt")


def check_id(text: object, field: str) -> str:
    """Return an id of 1 to 64 characters [A-Za-z0-9_-]; raise `InputError`.

    No dot: it separates what is signed.
    """
    if not isinstance(text, str) or not _ID.match(text):
        message = f"{field} must be 1 to 64 characters of A-Z a-z 0-9 _ -"
        raise InputError(message, field=field, remedy="Such as shop-1042: no dots, spaces or other characters.")
    return text


@cache
def _check_of(name: str) -> Check:
    schema = event_type(name).schema
    data = next(field["type"] for field in schema["fields"] if field["name"] == "data")
    return compile_check(data)


def normalise(name: str, data: Mapping[str, Any]) -> dict[str, Any]:
    """Return `data` as its schema wants it: times from RFC 3339 text to datetimes, defaults filled in.

    Raises `UnknownEventType`, or `InputError` with the path of the first thing that is wrong.
    """
    check = _check_of(event_type(name).name)
    found: dict[str, Any] = check(data, "data")
    return found


def validate(event: Event) -> Event:
    """Return the event checked and normalised; raise `InputError` with the path of what is wrong."""
    return Event(type=event.type, **datum_of(event))


def datum_of(event: Event) -> dict[str, Any]:
    """Return the event as its Avro record, checked and normalised; raise as `validate` does."""
    if not isinstance(event.occurred_at, datetime):
        raise InputError("occurred_at must be an aware datetime", field="occurred_at", remedy="Use datetime.now(UTC).")
    return {
        "id": check_id(event.id, "id"),
        "store_id": check_id(event.store_id, "store_id"),
        "occurred_at": moment(event.occurred_at, "occurred_at"),
        "data": normalise(event.type, event.data),
    }


def example_event(name: str, store_id: str, *, clock: Clock, id: str | None = None) -> Event:  # noqa: A002  # the field's name
    """Return a valid event of a type that happens now."""
    kind = event_type(name)
    return Event(id=id or new_event_id(), type=name, store_id=store_id, occurred_at=clock.now(), data=normalise(name, kind.example))
