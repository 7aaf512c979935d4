"""Look-ups of names: joined, bounded, and those that hang apart from those that answer."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterator
from functools import partial

import pytest

from hookline.dispatcher.transport import look_ups
from hookline.dispatcher.transport.look_ups import LookUps, groups_of
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


async def all_slow(names: LookUps[str], server: NameServer, monkeypatch: pytest.MonkeyPatch, hosts: list[str]) -> None:
    """Have names answered late once; after that the server holds the slow ones again."""
    server.go.set()
    with monkeypatch.context() as patched:
        patched.setattr(look_ups, "_SLOW_S", -1.0)  # every look-up counts as slow
        for name in hosts:
            await names.find(name, partial(server.answer, name), name)
    server.go.clear()
    server.asked.clear()


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
            await names.find(name, partial(server.answer, name), name)
        monkeypatch.setattr(look_ups, "_SLOW_S", PATIENCE_S)
        server.go.clear()
        server.asked.clear()
    waiting = [asyncio.create_task(names.find(name, partial(server.answer, name), name)) for name in hanging]
    await asyncio.sleep(0)
    assert await asyncio.wait_for(names.find("good.test", lambda: "found", "good.test"), PATIENCE_S / 2) == "found"
    most = look_ups._SLOW_OF_ONE if slow_before else look_ups._QUICK_OF_ONE
    assert len(server.asked) <= most
    server.go.set()
    assert len(await asyncio.gather(*waiting)) == len(set(server.asked)) == 340
    assert not names.domains


async def test_those_of_other_domains_have_their_own(names: LookUps[str], server: NameServer) -> None:
    """Of twenty domains that hang, each has the fewer threads: a name that belongs to none of them is answered."""
    hanging = [f"slow-{n}.evil-{n % 20}.test" for n in range(400)]
    waiting = [asyncio.create_task(names.find(name, partial(server.answer, name), name)) for name in hanging]
    await asyncio.sleep(0)
    assert await asyncio.wait_for(names.find("good.test", lambda: "found", "good.test"), PATIENCE_S / 2) == "found"
    server.go.set()
    await asyncio.gather(*waiting)
    assert 7 * look_ups._QUICK_OF_ONE < look_ups._QUICK_THREADS


SHARED = ["co.uk", "com.au", "com.br", "co.jp", "org.uk", "myshopify.com", "herokuapp.com", "eu.org"]


@pytest.mark.parametrize("suffix", SHARED)
@pytest.mark.parametrize("slow_before", [False, True])
async def test_one_who_has_a_name_below_a_suffix_holds_up_no_other_there(
    names: LookUps[str], server: NameServer, monkeypatch: pytest.MonkeyPatch, suffix: str, slow_before: bool
) -> None:
    """With however many names that hang below his own; whether names below the suffix are sold, or given away by a platform."""
    hanging, good = [f"slow-{n}.evil.{suffix}" for n in range(100)], f"honest.{suffix}"
    if slow_before:
        await all_slow(names, server, monkeypatch, [*hanging, good])
    waiting = [asyncio.create_task(names.find(name, partial(server.answer, name), name)) for name in hanging]
    await asyncio.sleep(0)
    assert await asyncio.wait_for(names.find(good, lambda: "found", good), PATIENCE_S / 2) == "found"
    server.go.set()
    await asyncio.gather(*waiting)


@pytest.mark.parametrize(("suffix", "owners"), [("co.uk", 9), ("com.br", 9), ("myshopify.com", 3)])
async def test_several_who_have_names_below_a_suffix_hold_up_no_other_there(
    names: LookUps[str], server: NameServer, suffix: str, owners: int
) -> None:
    """Where names are sold nine of them, where they are given away three."""
    hanging = [f"slow-{n % 9}.evil-{n // 9}.{suffix}" for n in range(9 * owners)]
    waiting = [asyncio.create_task(names.find(name, partial(server.answer, name), name)) for name in hanging]
    await asyncio.sleep(0)
    good = f"honest.{suffix}"
    assert await asyncio.wait_for(names.find(good, lambda: "found", good), PATIENCE_S / 2) == "found"
    server.go.set()
    await asyncio.gather(*waiting)


async def test_a_domain_that_looks_like_a_registry_does_not_take_all(names: LookUps[str], server: NameServer) -> None:
    """Its owner may have names that look like as many domains."""
    hanging = [f"slow-{n}.sch.io" for n in range(200)]
    waiting = [asyncio.create_task(names.find(name, partial(server.answer, name), name)) for name in hanging]
    await asyncio.sleep(0)
    assert await asyncio.wait_for(names.find("good.test", lambda: "found", "good.test"), PATIENCE_S / 2) == "found"
    assert len([name for name in server.asked if name.startswith("slow")]) <= look_ups._QUICK_THREADS // 2
    server.go.set()
    await asyncio.gather(*waiting)


async def test_names_that_were_answered_are_held_up_by_no_new_ones(names: LookUps[str], server: NameServer) -> None:
    """Of however many domains, the name's own among them."""
    assert await names.find("good.shop.test", lambda: "found", "good.shop.test") == "found"
    hanging = [f"slow-{n}.{domain}" for domain in ["shop.test", *(f"evil-{n}.test" for n in range(70))] for n in range(10)]
    waiting = [asyncio.create_task(names.find(name, partial(server.answer, name), name)) for name in hanging]
    await until(lambda: len(server.asked) == look_ups._QUICK_THREADS)
    assert await asyncio.wait_for(names.find("good.shop.test", lambda: "again", "good.shop.test"), PATIENCE_S / 2) == "again"
    server.go.set()
    await asyncio.gather(*waiting)


async def test_slow_and_new_names_of_one_domain_do_not_hold_each_other_up(
    names: LookUps[str], server: NameServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where those of one kind have all threads that the domain gets of that kind, the other kind has its own."""
    slow, new = [f"slow-{n}.evil.test" for n in range(20)], [f"slow-new-{n}.evil.test" for n in range(20)]
    await all_slow(names, server, monkeypatch, [*slow, "once-slow.evil.test"])
    first = [asyncio.create_task(names.find(name, partial(server.answer, name), name)) for name in slow]
    await until(lambda: len(server.asked) == look_ups._SLOW_OF_ONE)
    assert await asyncio.wait_for(names.find("a.evil.test", lambda: "found", "a.evil.test"), PATIENCE_S / 2) == "found"
    server.go.set()
    await asyncio.gather(*first)
    await all_slow(names, server, monkeypatch, ["once-slow.evil.test"])
    second = [asyncio.create_task(names.find(name, partial(server.answer, name), name)) for name in new]
    await until(lambda: len(server.asked) == look_ups._QUICK_OF_ONE)
    once = names.find("once-slow.evil.test", lambda: "found", "once-slow.evil.test")
    assert await asyncio.wait_for(once, PATIENCE_S / 2) == "found"
    server.go.set()
    await asyncio.gather(*second)


async def test_names_that_were_slow_are_not_remembered_without_end(
    names: LookUps[str], server: NameServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nor those that were not: a store may have calls go to names without end."""
    for number in range(10_000):
        names._note(f"before-{number}", look_ups._SLOW_S * 2)
    for number in range(40_000):
        names._note(f"good-before-{number}", 0.0)
    await all_slow(names, server, monkeypatch, ["last"])
    await names.find("good-last", lambda: "found")
    assert 5_000 <= len(names._slow_ones) <= 10_000
    assert 20_000 <= len(names._good_ones) <= 40_000
    assert names._slow_ones.get("last")
    assert names._good_ones.get("good-last")


@pytest.mark.parametrize(
    ("host", "groups"),
    [
        ("a.b.example.com", ["example.com", "b.example.com"]),
        ("EXAMPLE.com.", ["example.com", "example.com"]),
        ("example.com", ["example.com", "example.com"]),
        ("localhost", ["localhost", "localhost"]),
        ("a.b.Shop.co.uk.", ["co.uk", "shop.co.uk", "b.shop.co.uk"]),
        ("shop.com.au", ["com.au", "shop.com.au", "shop.com.au"]),
        ("co.uk", ["co.uk", "co.uk"]),
        ("a.com.example", ["com.example", "a.com.example"]),
        ("a.shop.de", ["shop.de", "a.shop.de"]),
    ],
)
def test_a_domain_is_what_a_registry_sells(host: str, groups: list[str]) -> None:
    """As far as two labels tell, or three: whatever stands before them, however they are spelled."""
    assert groups_of(host) == groups


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
