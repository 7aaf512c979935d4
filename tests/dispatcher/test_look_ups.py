"""Look-ups of names: joined, bounded, and those that hang apart from those that answer."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterator
from functools import partial

import pytest

from hookline.dispatcher.transport import look_ups
from hookline.dispatcher.transport.look_ups import LookUps, domain_of
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


@pytest.mark.parametrize("slow_before", [False, True])
async def test_the_names_of_one_domain_take_few_threads(
    names: LookUps[str], server: NameServer, monkeypatch: pytest.MonkeyPatch, slow_before: bool
) -> None:
    """Hundreds that hang, new ones or such as hung before: others are answered, new ones and such as were slow once; all are in the end."""
    hanging = [f"slow-{n}.evil.test" for n in range(340)]
    if slow_before:
        monkeypatch.setattr(look_ups, "_SLOW_S", -1.0)  # every look-up counts as slow
        server.go.set()
        for name in [*hanging, "good.test"]:
            await names.find(name, partial(server.answer, name), domain_of(name))
        monkeypatch.setattr(look_ups, "_SLOW_S", PATIENCE_S)
        server.go.clear()
        server.asked.clear()
    waiting = [asyncio.create_task(names.find(name, partial(server.answer, name), domain_of(name))) for name in hanging]
    await asyncio.sleep(0)
    assert await asyncio.wait_for(names.find("good.test", lambda: "found", domain_of("good.test")), PATIENCE_S / 2) == "found"
    most = look_ups._SLOW_OF_ONE if slow_before else look_ups._QUICK_OF_ONE
    assert len(server.asked) <= most
    server.go.set()
    assert len(await asyncio.gather(*waiting)) == len(set(server.asked)) == 340
    assert not names._turns


async def test_those_of_other_domains_have_their_own(names: LookUps[str], server: NameServer) -> None:
    """As many domains as there are threads for each: a name that belongs to none of them is answered."""
    hanging = [f"slow-{n}.evil-{n % 7}.test" for n in range(200)]
    waiting = [asyncio.create_task(names.find(name, partial(server.answer, name), domain_of(name))) for name in hanging]
    await asyncio.sleep(0)
    assert await asyncio.wait_for(names.find("good.test", lambda: "found", domain_of("good.test")), PATIENCE_S / 2) == "found"
    server.go.set()
    await asyncio.gather(*waiting)
    assert 7 * look_ups._QUICK_OF_ONE < look_ups._QUICK_THREADS


@pytest.mark.parametrize(
    ("host", "domain"),
    [("a.b.example.com", "example.com"), ("EXAMPLE.com.", "example.com"), ("example.com", "example.com"), ("localhost", "localhost")],
)
def test_a_domain_is_the_last_two_labels(host: str, domain: str) -> None:
    """Whatever stands before them, however they are spelled."""
    assert domain_of(host) == domain


async def test_who_waits_at_the_end_is_called_off(names: LookUps[str], server: NameServer) -> None:
    """Those with a thread and those that have none yet; nothing is left of them."""
    waiting = [asyncio.create_task(names.find(f"slow-{n}", partial(server.answer, f"slow-{n}"), "evil")) for n in range(20)]
    await until(lambda: server.asked)
    names.close()
    assert all(isinstance(end, asyncio.CancelledError) for end in await asyncio.gather(*waiting, return_exceptions=True))
    assert not names._under_way
    assert asyncio.all_tasks() == {asyncio.current_task()}


async def test_an_error_reaches_all_who_asked_and_is_not_kept(names: LookUps[str], server: NameServer) -> None:
    """The next one asks anew."""
    found = await asyncio.gather(*(names.find("nowhere", lambda: server.answer("nowhere")) for _ in range(3)), return_exceptions=True)
    assert [type(one) for one in found] == [OSError] * 3
    with pytest.raises(OSError, match="nowhere"):
        await names.find("nowhere", lambda: server.answer("nowhere"))
    assert server.asked == ["nowhere", "nowhere"]
