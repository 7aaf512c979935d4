"""In which phase of a call its time ran out, and what was wrong with an answer's head: words of both transports, which the doctor knows."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from hookline.schemas.records import ErrorKind

CONNECT_S: Final = 3.0
"""Name look-up, connect and TLS handshake together."""
MOST_HEADERS: Final = 128
TOO_MANY_HEADERS: Final = f"the answer has more than {MOST_HEADERS} headers"
HEAD_TOO_LONG: Final = "the head of the answer is too long"
BAD_HEADER: Final = "the answer has a header whose name or value is not allowed"
NO_STATUS: Final = "the status is below 100"
LOWEST_STATUS: Final = 100
START: Final = b"HTTP/1."
NO_START: Final = "it does not begin with HTTP/1."
_NOT_HTTP: Final = "the answer is not valid HTTP"
# What the connection says itself; llhttp, which both transports parse with; and aiohttp of a head beyond its bounds.
_SAID: Final = (
    (f"more than {MOST_HEADERS} headers", TOO_MANY_HEADERS),
    ("too many headers", TOO_MANY_HEADERS),
    ("got more than", HEAD_TOO_LONG),
    ("invalid header", BAD_HEADER),
    ("invalid http header", BAD_HEADER),
)


class Phase(StrEnum):
    """What a call waits for; a value is how the words begin when its time runs out there."""

    LOOK_UP = "no DNS answer"
    CONNECT = "no connection"
    HANDSHAKE = "no end of the TLS handshake"
    ANSWER = "no answer"
    HEAD = "no end of the answer's head"

    @property
    def kind(self) -> ErrorKind:
        """Whose fault it is: the receiver's."""
        return ErrorKind.TIMEOUT

    def late(self, within_s: float) -> str:
        """Return the words of a timeout; `within_s` is how long the call, or its connect, had."""
        return f"{self} within {within_s:g} s"


class Keeper(StrEnum):
    """What of our own keeps a call, before the receiver is asked for anything; a value is how the words begin when time runs out there."""

    ROOM = "Hookline could not send: no free connection"
    PROXY = "Hookline could not send: no connection to the proxy"
    READY = "Hookline could not send: no TLS context for the client certificate"

    @property
    def kind(self) -> ErrorKind:
        """Whose fault it is: ours, which counts against no receiver."""
        return ErrorKind.INTERNAL

    def late(self, within_s: float) -> str:
        """Return the words of a timeout, and what the operator may do."""
        return f"{self} within {within_s:g} s; {_REMEDIES[self]}"


_REMEDIES: Final = {
    Keeper.ROOM: "start another dispatcher, or lower HOOKLINE_IN_FLIGHT",
    Keeper.PROXY: "see whether the one of HOOKLINE_PROXY answers",
    Keeper.READY: "start another dispatcher, or give this one more CPU",
}


class Late(TimeoutError):
    """A part of a call that has a bound of its own took longer."""

    def __init__(self, phase: Phase | Keeper, within_s: float) -> None:
        super().__init__(phase.late(within_s))
        self.phase = phase


@dataclass(slots=True)
class Steps:
    """How far a call has come; whoever takes it on says so here. `ready_at`: when what we had to make for it first was there."""

    phase: Phase | Keeper = Phase.LOOK_UP
    ready_at: float = 0.0


def malformed(said: str) -> str:
    """Return why an answer could not be taken, by what its parser said."""
    lowered = said.lower()
    words = next((words for mark, words in _SAID if mark in lowered), _NOT_HTTP)
    return f"{words}: {said}" if words in {_NOT_HTTP, BAD_HEADER} else words
