"""How a receiver may behave: one small coroutine per manner, on a raw connection.

The status of a manner is what its server means to send, 0 where it sends none: that is written down before the answer.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

from tests.dispatcher.hostile import CHUNKED, OK, Peer

_PAUSE_S: Final = 0.2
_ABSURD: Final = (b"5", b"abc", b"-1", b"1e9", b"99999999999999999999", b"9" * 10_000, b"Fri, 31 Dec 9999 23:59:59 GMT", b"nan", b"\xff")
SLOW_S: Final = 0.05
TENTH_S: Final = 0.8
"""With eight calls at once this is ten calls a second."""


@dataclass(frozen=True, slots=True)
class Asked:
    """What a manner knows of the call: how often its event was tried, a number of its own, where the trap is, whether its time is off."""

    attempt: int
    number: int
    trap: str
    late: bool = False


Act = Callable[[Peer, Asked], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Manner:
    """What is meant to be answered, how, and whether the connection is kept for more."""

    status: Callable[[Asked], int]
    act: Act
    keeps: bool = False


async def _ok(peer: Peer, _asked: Asked) -> None:
    await peer.send(OK)


async def _closing(peer: Peer, _asked: Asked) -> None:
    await peer.send(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n")


async def _tenth(peer: Peer, _asked: Asked) -> None:
    await asyncio.sleep(TENTH_S)
    await peer.send(OK)


async def _slow(peer: Peer, _asked: Asked) -> None:
    await asyncio.sleep(SLOW_S)
    await peer.send(OK)


def _flaky_status(asked: Asked) -> int:
    return 500 if asked.attempt == 1 and asked.number % 5 == 0 else 200


async def _flaky(peer: Peer, asked: Asked) -> None:
    await peer.send(OK if _flaky_status(asked) == 200 else _status(500))


def _strict_status(asked: Asked) -> int:
    return 401 if asked.late else 200


async def _strict(peer: Peer, asked: Asked) -> None:
    await peer.send(_status(_strict_status(asked)))


async def _error(peer: Peer, _asked: Asked) -> None:
    await peer.send(_status(500))


async def _hang(peer: Peer, _asked: Asked) -> None:
    await peer.hang()


async def _drip_head(peer: Peer, _asked: Asked) -> None:
    await peer.drip(OK + b" " * 1_000, _PAUSE_S)


async def _drip_body(peer: Peer, _asked: Asked) -> None:
    await peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
    await peer.drip(b"x" * 100_000, _PAUSE_S)


async def _reset(peer: Peer, _asked: Asked) -> None:
    peer.reset()


async def _reset_in_head(peer: Peer, _asked: Asked) -> None:
    await peer.send(b"HTTP/1.1 200 OK\r\nContent-")
    await asyncio.sleep(0.02)
    peer.reset()


async def _reset_in_body(peer: Peer, _asked: Asked) -> None:
    await peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf")
    await asyncio.sleep(0.02)
    peer.reset()


async def _garbage(peer: Peer, asked: Asked) -> None:
    answers = (
        b"SSH-2.0-OpenSSH_9.6\r\n\r\n",
        b"HTTP/1.1 banana OK\r\n\r\n",
        b"\x00\x01\x02\x03" * 64,
        b"HTTP/1.1 200 OK\r\nno colon\r\n\r\n",
    )
    await peer.send(answers[asked.number % len(answers)])


async def _endless_head(peer: Peer, _asked: Asked) -> None:
    await peer.send(b"HTTP/1.1 200 OK\r\n")
    for number in range(100_000):
        if peer.writer.is_closing():
            return
        await peer.send(b"X-%d: %s\r\n" % (number, b"y" * 100))


async def _endless_body(peer: Peer, _asked: Asked) -> None:
    await peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 10000000000\r\n\r\n")
    for _ in range(2_000):
        if peer.writer.is_closing():
            return
        await peer.send(b"x" * 65_536)


async def _broken_body(peer: Peer, _asked: Asked) -> None:
    await peer.send(CHUNKED + b"zz\r\nnonsense")


async def _continues(peer: Peer, _asked: Asked) -> None:
    while not peer.writer.is_closing():
        await peer.send(b"HTTP/1.1 100 Continue\r\n\r\n")
        await asyncio.sleep(0.005)


async def _redirect(peer: Peer, asked: Asked) -> None:
    code = (301, 302, 303, 307, 308)[asked.number % 5]
    to = asked.trap if asked.number % 2 else "http://169.254.169.254/latest/meta-data/"
    await peer.send(b"HTTP/1.1 %d Elsewhere\r\nLocation: %s\r\nContent-Length: 0\r\n\r\n" % (code, to.encode()))


async def _gone(peer: Peer, _asked: Asked) -> None:
    await peer.send(_status(410))


async def _impatient(peer: Peer, asked: Asked) -> None:
    wait = _ABSURD[asked.number % len(_ABSURD)]
    await peer.send(b"HTTP/1.1 429 Later\r\nRetry-After: %s\r\nContent-Length: 0\r\n\r\n" % wait)


def _status(code: int) -> bytes:
    return b"HTTP/1.1 %d Status\r\nContent-Length: 0\r\n\r\n" % code


def _always(status: int) -> Callable[[Asked], int]:
    return lambda _asked: status


MANNERS: Final = {
    "ok": Manner(_always(200), _ok, keeps=True),
    "closing": Manner(_always(200), _closing),
    "tenth": Manner(_always(200), _tenth, keeps=True),
    "slow": Manner(_always(200), _slow, keeps=True),
    "flaky": Manner(_flaky_status, _flaky, keeps=True),
    "strict": Manner(_strict_status, _strict, keeps=True),
    "error": Manner(_always(500), _error, keeps=True),
    "hang": Manner(_always(0), _hang),
    "drip-head": Manner(_always(0), _drip_head),
    "drip-body": Manner(_always(200), _drip_body),
    "reset": Manner(_always(0), _reset),
    "reset-in-head": Manner(_always(0), _reset_in_head),
    "reset-in-body": Manner(_always(200), _reset_in_body),
    "garbage": Manner(_always(0), _garbage),
    "endless-head": Manner(_always(0), _endless_head),
    "endless-body": Manner(_always(200), _endless_body),
    "broken-body": Manner(_always(200), _broken_body),
    "continues": Manner(_always(0), _continues),
    "redirect": Manner(lambda asked: (301, 302, 303, 307, 308)[asked.number % 5], _redirect, keeps=True),
    "gone": Manner(_always(410), _gone, keeps=True),
    "impatient": Manner(_always(429), _impatient, keeps=True),
}
