"""A request as it was read, and an answer as it is written."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, NamedTuple

from hookline.producers.api_keys import ApiKey
from hookline.producers.ingest.errors import Problem


@dataclass(slots=True)
class Peer:
    """Who is at the other end of a connection, and the API key that came over it last, with the header that held it."""

    address: str
    authorization: bytes = b""
    key: ApiKey | None = None


@dataclass(slots=True)
class Request:
    """One request, filled while it arrives.

    `headers` has names in lower case; a header that stands twice is joined by `, `, as HTTP means it. `admitted` is what the app
    found in the head, None as long as it has not said; `problem` what the client is told in place of an answer.
    """

    peer: Peer
    method: str = ""
    path: str = ""
    headers: dict[str, str] = field(default_factory=dict)
    body: bytearray = field(default_factory=bytearray)
    admitted: Any = None
    problem: Problem | None = None
    whole: bool = False
    keep_alive: bool = True
    arrived_s: float = 0.0
    """When the head was whole, by the loop's clock."""


class Answer(NamedTuple):
    """One answer; `head` is its status line and the headers that do not depend on the connection, each with its line's end."""

    status: int
    head: bytes
    body: bytes
