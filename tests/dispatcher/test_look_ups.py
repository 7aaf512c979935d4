"""Look-ups of names: joined, bounded, and those that hang apart from those that answer."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterator
from functools import partial

import pytest

from hookline.dispatcher.transport import look_ups
from hookline.dispatcher.transport.look_ups import LookUps
from tests.dispatcher.suite import until

pytestmark = pytest.mark.unit

PATIENCE_S = 20.0


class NameServer:
    """Answers at once, but not of names that begin with `slow`: those it holds until it is let go."""

    def __init__(self) -> None:
        self.go = threading.Event()
        self.asked: list[str] = []

    def answer(self, name: str) -> str:
        """Return the address of a name; blocks for a slow one."""
        self.asked.append(name)
        if name.startswith("slow"):
            assert self.go.wait(PATIENCE_S)
        if name == "nowhere":
            raise OSError(name)
        return f"at {name}"


@pytest.fixture
def server() -> Iterator[NameServer]:
    """Yield a name server that lets go at the end."""
    found = NameServer()
    yield found
    found.go.set()


@pytest.fixture
def names(server: NameServer) -> Iterator[LookUps[str]]:
    """Yield look-ups, closed at the end."""
    found = LookUps[str]()
    yield found
    server.go.set()
    found.close()


async def given_up(names: LookUps[str], server: NameServer, name: str) -> None:
    """Ask for a name as a call does, that has no more time soon."""
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(names.find(name, lambda: server.answer(name)), 0.05)


async def test_a_name_that_hangs_holds_one_thread(names: LookUps[str], server: NameServer) -> None:
    """Two hundred calls to two such names, and another store's call is not held up; whoever still waits gets the answer when it comes."""
    waiting = [asyncio.create_task(names.find(f"slow-{n % 2}", partial(server.answer, f"slow-{n % 2}"))) for n in range(200)]
    assert await asyncio.wait_for(names.find("good", lambda: server.answer("good")), PATIENCE_S / 2) == "at good"
    assert sorted(server.asked) == ["good", "slow-0", "slow-1"]
    server.go.set()
    assert set(await asyncio.gather(*waiting)) == {"at slow-0", "at slow-1"}


async def test_who_gives_up_leaves_the_look_up_to_the_next(names: LookUps[str], server: NameServer) -> None:
    """Calls that time out one after the other do not ask again and again."""
    for _ in range(3):
        await given_up(names, server, "slow")
    await until(lambda: server.asked)
    assert server.asked == ["slow"]
    later = asyncio.create_task(names.find("slow", lambda: server.answer("slow")))
    await asyncio.sleep(0)
    server.go.set()
    assert await later == "at slow"
    assert await names.find("slow", lambda: server.answer("slow")) == "at slow"
    assert server.asked == ["slow", "slow"]


async def test_names_that_were_slow_do_not_hold_up_the_others(
    names: LookUps[str], server: NameServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They have few threads of their own; a name that answers in good time is among the others again."""
    monkeypatch.setattr(look_ups, "_SLOW_S", 0.0)  # every look-up counts as slow
    slow = [f"slow-{n}" for n in range(look_ups._QUICK_THREADS + look_ups._SLOW_THREADS)]
    server.go.set()
    for name in slow:
        await names.find(name, partial(server.answer, name))
    monkeypatch.setattr(look_ups, "_SLOW_S", PATIENCE_S)
    server.go.clear()
    waiting = [asyncio.create_task(names.find(name, partial(server.answer, name))) for name in slow]
    began = time.monotonic()
    for number in range(look_ups._QUICK_THREADS):
        name = f"good-{number}"
        assert await asyncio.wait_for(names.find(name, partial(server.answer, name)), PATIENCE_S / 2) == f"at {name}"
    assert time.monotonic() - began < PATIENCE_S / 2
    assert len([name for name in server.asked if name.startswith("slow")]) == len(slow) + look_ups._SLOW_THREADS
    server.go.set()
    await asyncio.gather(*waiting)
    assert not names._slow_ones


async def test_an_error_reaches_all_who_asked_and_is_not_kept(names: LookUps[str], server: NameServer) -> None:
    """The next one asks anew."""
    found = await asyncio.gather(*(names.find("nowhere", lambda: server.answer("nowhere")) for _ in range(3)), return_exceptions=True)
    assert [type(one) for one in found] == [OSError] * 3
    with pytest.raises(OSError, match="nowhere"):
        await names.find("nowhere", lambda: server.answer("nowhere"))
    assert server.asked == ["nowhere", "nowhere"]
