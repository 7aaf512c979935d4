"""The filter lab: a filter that nobody has saved yet, tried on the last real events of a store."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from hookline.console.api.explain_fields import Named, named_fields
from hookline.console.event_samples import Samples
from hookline.kernel.clock import Clock, to_us
from hookline.kernel.errors import FilterError
from hookline.schemas import payload
from hookline.schemas.events import Event, example_event
from hookline.webhooks.filters import Facts, Filter, check_examples, compile_filter

MOST_S: Final = 1.5
_OPENED: Final = 3
Subject: TypeAlias = tuple[Event, int]
"""An event, and when it was published, in microseconds since the epoch."""


@dataclass(frozen=True, slots=True)
class Marked:
    """A filter's text with the place of a fault; `at` is never empty: behind the end it is a space."""

    before: str
    at: str
    after: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Tried:
    """What a filter says to one event: `verdict` is match, no or error; `fields` are those that the filter names."""

    event_id: str
    at_us: int
    verdict: str
    fields: Sequence[Named] = ()
    error: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bench:
    """The events of one type, the newest first; `example` tells that there was none and the catalogue's example stands in."""

    name: str
    tried: Sequence[Tried]
    example: bool
    opened: bool

    @property
    def matches(self) -> int:
        """How many of them the filter takes."""
        return sum(one.verdict == "match" for one in self.tried)

    @property
    def errors(self) -> int:
        """On how many of them it fails."""
        return sum(one.verdict == "error" for one in self.tried)


@dataclass(frozen=True, slots=True, kw_only=True)
class Lab:
    """What came of it.

    `problem` says why the filter would not be saved, empty when it would be; `marked` shows where, None when that is not known. `cut`
    tells that the time was up before all events were tried. `unread` says why real events could not be read.
    """

    benches: Sequence[Bench] = ()
    problem: str = ""
    marked: Marked | None = None
    filtered: bool = True
    cut: bool = False
    unread: str = ""

    @property
    def real(self) -> int:
        """How many real events were tried."""
        return sum(len(bench.tried) for bench in self.benches if not bench.example)

    @property
    def matches(self) -> int:
        """How many real events the filter takes."""
        return sum(bench.matches for bench in self.benches if not bench.example)


def try_out(text: str, names: Sequence[str], samples: Samples, clock: Clock, store_id: str, unread: str = "") -> Lab:
    """Return what a filter says to the last events of some types; an empty text takes them all. Takes at most about `MOST_S`."""
    try:
        found = compile_filter(text) if text else None
    except FilterError as error:
        return Lab(problem=error.message, marked=marked(text, error.position), unread=unread)
    until = time.monotonic() + MOST_S
    benches = [_bench(name, found, samples, clock, store_id, until, opened=len(names) <= _OPENED) for name in names]
    fault = _fault(text, names)
    return Lab(
        benches=benches,
        problem=fault.message if fault is not None else "",
        marked=marked(text, fault.position) if fault is not None else None,
        filtered=found is not None,
        cut=time.monotonic() > until,
        unread=unread,
    )


def marked(text: str, position: int) -> Marked | None:
    """Return a text with the character at a position, from 1, set apart; None for position 0. What lies beyond is behind the end."""
    if position < 1:
        return None
    at = min(position - 1, len(text))
    return Marked(text[:at], text[at : at + 1].replace("\n", " ") or " ", text[at + 1 :])


def _fault(text: str, names: Sequence[str]) -> FilterError | None:
    """Return why a filter that compiles would not be saved for these types."""
    try:
        if text:
            check_examples(text, names)
    except FilterError as error:
        return error
    return None


def _bench(name: str, found: Filter | None, samples: Samples, clock: Clock, store_id: str, until: float, *, opened: bool) -> Bench:
    subjects: list[Subject] = [(one.event, one.published_us) for one in samples.get(name, ())]
    example = not subjects
    if example:
        subjects = [(example_event(name, store_id, clock=clock, id="example"), to_us(clock.now()))]
    return Bench(name=name, tried=list(_tried(found, subjects, until)), example=example, opened=opened)


def _tried(found: Filter | None, subjects: Sequence[Subject], until: float) -> Iterator[Tried]:
    for event, at_us in subjects:
        if time.monotonic() > until:
            return
        if found is None:
            yield Tried(event_id=event.id, at_us=at_us, verdict="match")
        else:
            yield _asked(found, event, at_us)


def _asked(found: Filter, event: Event, at_us: int) -> Tried:
    context: dict[str, Any] = payload.context(event)
    fields = named_fields(found.text, context)
    try:
        verdict = "match" if found.matches(Facts(context)) else "no"
    except FilterError as error:
        return Tried(event_id=event.id, at_us=at_us, verdict="error", fields=fields, error=error.message)
    return Tried(event_id=event.id, at_us=at_us, verdict=verdict, fields=fields)
