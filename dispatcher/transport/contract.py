"""What a transport is given and what it gives back. Its conformance suite is its full definition."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Protocol, TypeAlias

from hookline.kernel.values import value
from hookline.schemas.records import ErrorKind
from hookline.webhooks.certificates import Identity

MAX_BODY: Final = 16 * 1024
MAX_HEAD: Final = 8 * 1024
MAX_DETAIL: Final = 256


@value()
class Request:
    """One POST. `url` is in the form that `check_url` gave; `timeout_s` bounds everything, from the name look-up on.

    `identity` is what the receiver is shown when it wants a client certificate, None: nothing. Connections are shared by requests of the
    same identity only. `lines` are what `header_lines` makes of the headers, from whoever knows that; empty: the transport is to make them.
    """

    url: str
    headers: tuple[tuple[str, str], ...]
    body: bytes
    timeout_s: float
    webhook_id: str
    identity: Identity | None = None
    lines: bytes = b""


@value()
class Reply:
    """An answer with a status line: `headers` are the first 8 KiB of its head, `body` its first 16 KiB."""

    status: int
    headers: str
    body: bytes
    elapsed_s: float
    retry_after: str = ""


@value()
class Failure:
    """No answer that could be understood; `detail` is for people, at most 256 characters."""

    kind: ErrorKind
    detail: str
    elapsed_s: float
    status: int = 0


Result: TypeAlias = Reply | Failure


class Unsendable(Exception):
    """A request that cannot be sent, whatever its receiver is like; the words name no value."""


def header_lines(headers: tuple[tuple[str, str], ...]) -> bytes:
    """Return headers as they are sent, a line each; raise `Unsendable` for what HTTP does not carry: no Latin-1, CR, LF or NUL."""
    text = "".join([f"{name}: {value}\r\n" for name, value in headers])
    ends = len(headers)
    if text.count("\n") != ends or text.count("\r") != ends or "\0" in text:
        raise _unsendable(headers, lambda letter: letter in "\r\n\0", "a line break or NUL in it")
    try:
        return text.encode("latin-1")
    except UnicodeEncodeError:
        raise _unsendable(headers, lambda letter: letter > "\xff", "characters that are not Latin-1") from None


def _unsendable(headers: tuple[tuple[str, str], ...], bad: Callable[[str], bool], what: str) -> Unsendable:
    wrong = next(name for name, value in headers if any(map(bad, name + value)))
    return Unsendable(f"the header {wrong!a} has {what}; correct it on the webhook")


class Transport(Protocol):
    """Sends requests. All calls on the event loop's thread."""

    async def start(self) -> None:
        """Make ready."""

    async def stop(self) -> None:
        """Close every connection; calls under way end as failures or not at all."""

    def send(self, request: Request, on_done: Callable[[Result], None]) -> None:
        """Send; never block, never raise; call `on_done` exactly once, within the request's timeout and a second."""
