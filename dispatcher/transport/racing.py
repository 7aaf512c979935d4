"""Connects to the addresses of a host in a staggered race, so that one that does not answer delays nobody for long."""

from __future__ import annotations

import asyncio
import errno
import socket
from collections.abc import Callable, Coroutine
from typing import Any, Final, TypeAlias

from hookline.dispatcher.transport.origins import OURS, Address

_STAGGER_S: Final = 0.25
# An address that this machine has no source for, such as ::1 without IPv6, says nothing about the next.
_NOTHING_LEFT: Final = OURS - {errno.EADDRNOTAVAIL}
Dial: TypeAlias = Callable[[Address], Coroutine[Any, Any, socket.socket]]
"""What connects to one address."""


async def race(addresses: list[Address], to: Dial) -> socket.socket:
    """Return a socket that leads to the first address that answers: the next is tried 250 ms later, or when one fails (RFC 8305).

    Raise the last failure where all fail. With no file or memory left here no further one is tried: it would do no better.
    """
    waiting = list(reversed(addresses))
    running: set[asyncio.Task[socket.socket]] = set()
    error: Exception = OSError(errno.EHOSTUNREACH, "the host has no address")
    try:
        while waiting or running:
            if waiting:
                running.add(asyncio.create_task(to(waiting.pop())))
            done, running = await asyncio.wait(running, timeout=_STAGGER_S if waiting else None, return_when=asyncio.FIRST_COMPLETED)
            if won := [task.result() for task in done if task.exception() is None]:
                _close(won[1:])  # two may connect in the same turn of the loop
                return won[0]
            error = next((failure for task in done if isinstance(failure := task.exception(), Exception)), error)
            if isinstance(error, OSError) and error.errno in _NOTHING_LEFT:
                waiting.clear()
        raise error
    finally:
        _call_off(running)


def _close(socks: list[socket.socket]) -> None:
    for sock in socks:
        sock.close()


def _call_off(running: set[asyncio.Task[socket.socket]]) -> None:
    """Cancel the slower ones; one that has connected meanwhile is closed. Nobody waits for that: the caller's own end must get through."""
    for task in running:
        task.add_done_callback(_drop)
        task.cancel()


def _drop(task: asyncio.Task[socket.socket]) -> None:
    if not task.cancelled() and task.exception() is None:
        task.result().close()
