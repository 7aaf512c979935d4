"""One fault from its injection to the moment when everything had settled."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

SLACK_S: Final = 0.7
"""Beside the commit interval: a poll of 50 ms, a round trip to the broker, a busy machine."""


@dataclass(frozen=True, slots=True)
class Violation:
    """A broken promise: which, of what, and the story of the event where there is one."""

    invariant: str
    text: str
    story: tuple[str, ...] = ()


@dataclass(slots=True, kw_only=True)
class Chapter:
    """One fault from its injection to the moment when everything had settled; all times are wall seconds.

    `calls_from`, `attempts_from`: how much of the history was there before. `committed` and `rows` are read at the end.
    """

    fault: str
    round: int = 0
    commit_s: float = 0.5
    began_at: float = 0.0
    healed_at: float = 0.0
    complained_at: float = 0.0
    """When a process was last seen to complain; 0: none was, after the fault."""
    lagged_at: float = 0.0
    """When a record of an event topic was last seen not to be committed; 0: none was, after the fault."""
    calls_from: int = 0
    attempts_from: int = 0
    copies_from: int = 0
    incidents_from: int = 0
    deaths_expected: int = 0
    deaths_of: str = ""
    """How the names of those begin whose deaths are expected."""
    written_at: float = 0.0
    """When a row was last seen to be missing in ClickHouse; 0: none was, after the fault."""
    deaths_from: int = 0
    unsettled: list[str] = field(default_factory=list)
    """Delivery ids that had not come to an end when patience was over."""
    committed: Mapping[tuple[str, int], int] = field(default_factory=dict)
    early: list[Violation] = field(default_factory=list)
    """What lay below a committed offset without a fate, whenever that was looked at in the middle of the fault."""
    glances: int = 0
    """How often it was looked at, of `glanced` tries."""
    glanced: int = 0
    rows: Mapping[tuple[int, int], str] = field(default_factory=dict)
    """Place on the attempts topic → what its row says, as `Tried.row`."""
    doubled: Sequence[tuple[int, int]] = ()
    sums_right: bool = True
    unready: Sequence[str] = ()
    """What processes complain of after the fault."""
