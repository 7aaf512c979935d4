"""Turns for what there are few of: what a group gets alone and beside others, in which order, and what is left at the end."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from hookline.dispatcher.transport.look_ups import LookUps, groups_of
from hookline.dispatcher.transport.turns import Path, Turns

pytestmark = pytest.mark.unit


class Crowd:
    """Many who want turns and keep them until they are sent away."""

    def __init__(self, turns: Turns) -> None:
        self.turns = turns
        self.inside: list[str] = []
        self.tasks: dict[asyncio.Task[None], str] = {}

    async def come(self, path: Path, count: int = 1, name: str = "") -> int:
        """Ask for so many; return how many have turns then."""
        said = name or str(path[-1][0])
        before = len(self.inside)
        for _ in range(count):
            self.tasks[asyncio.create_task(self._stay(path, said))] = said
        await settled()
        return len(self.inside) - before

    async def go(self, name: str, *, inside: bool = True) -> None:
        """Send the first away that has a turn, or the first that waits for one."""
        known = list(self.inside)
        task = next(task for task, said in self.tasks.items() if said == name and (said in known) == inside)
        del self.tasks[task]
        task.cancel()
        await settled()

    async def _stay(self, path: Path, name: str) -> None:
        async with self.turns.turn(path):
            self.inside.append(name)
            try:
                await asyncio.Event().wait()
            finally:
                self.inside.remove(name)

    async def end(self) -> None:
        """Send all away."""
        for task in self.tasks:
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)


async def settled() -> None:
    """Let everybody go as far as they can."""
    for _ in range(5):
        await asyncio.sleep(0)


@pytest.fixture
async def crowd() -> AsyncIterator[Crowd]:
    """Yield one before 64 turns; in the end nothing may be left of it."""
    found = Crowd(Turns(64))
    yield found
    await found.end()
    assert found.turns.groups == 0
    assert await found.come([("again", 64)], 70) == 64
    await found.end()


async def test_each_further_group_gets_a_part_of_what_is_left(crowd: Crowd) -> None:
    """One alone an eighth of all; the twenty-first, which has none, still gets a turn; then all are taken."""
    taken = [await crowd.come([(n, 8)], 100) for n in range(30)]
    assert taken[0] == 8
    assert taken == sorted(taken, reverse=True)
    assert sum(taken) == 64
    assert len([one for one in taken if one]) == 21


async def test_what_is_within_a_group_gets_half_of_what_is_left_of_it(crowd: Crowd) -> None:
    """And no more than the group around it gets."""
    assert [await crowd.come([("shop", 8), (n, 4)], 100) for n in range(5)] == [4, 2, 1, 1, 0]
    assert await crowd.come([("other", 8), ("a", 4)], 100) == 4
    assert await crowd.come([("large", 32), ("d", 8), ("h", 4)], 100) == 4


async def test_groups_of_one_group_leave_turns_to_the_others(crowd: Crowd) -> None:
    """Half of all is the most it gets, by ten of its own; those of many such groups get no more than if they stood in none."""
    assert [await crowd.come([("a", 32), (n, 8)], 100) for n in range(11)] == [8, 6, 5, 4, 3, 2, 1, 1, 1, 1, 0]
    taken = [await crowd.come([(n, 32), ("a", 8)], 100) for n in range(30)]
    assert taken[0] == 4
    assert sum(taken) == 32
    assert len([one for one in taken if one]) > 12


async def test_a_turn_given_back_goes_to_the_one_who_has_waited_longest(crowd: Crowd) -> None:
    """Of one group; among groups, to the one whose turn it is, and none waits for what another one alone may have."""
    await crowd.come([("a", 8)], 8, "a")
    for name in ("second", "third"):
        await crowd.come([("a", 8)], 1, name)
    assert crowd.inside == ["a"] * 8
    await crowd.go("a")
    assert crowd.inside == ["a"] * 7 + ["second"]
    await crowd.go("second")
    assert crowd.inside == ["a"] * 7 + ["third"]


async def test_groups_take_turns(crowd: Crowd) -> None:
    """However many of the first one wait."""
    assert await crowd.come([("full", 64)], 64, "full") == 64
    for name in ("a", "b"):
        await crowd.come([(name, 64)], 3, name)
    for _ in range(4):
        await crowd.go("full")
    assert crowd.inside[-4:] == ["a", "b", "a", "b"]


async def test_who_waits_no_longer_has_no_turn(crowd: Crowd) -> None:
    """Called off while a turn comes free: it goes to the next one."""
    await crowd.come([("full", 64)], 64, "full")
    await crowd.come([("a", 8)], 1, "gone")
    await crowd.come([("a", 8)], 1, "next")
    first = next(task for task, name in crowd.tasks.items() if name == "gone")
    full = next(task for task, name in crowd.tasks.items() if name == "full")
    full.cancel()
    first.cancel()
    await settled()
    assert crowd.inside == ["full"] * 63 + ["next"]
    full = next(task for task, name in crowd.tasks.items() if name == "next")
    full.cancel()
    await settled()
    assert crowd.inside == ["full"] * 63


@pytest.mark.parametrize(
    ("kind", "hosts", "owners"),
    [
        ("new", "{name}.evil-{owner}.test", 21),
        ("slow", "{name}.evil-{owner}.test", 6),
        ("new", "{name}.evil-{owner}.co.uk", 10),
        ("slow", "{name}.evil-{owner}.co.uk", 3),
        ("new", "{name}.evil.co.{owner}", 21),
        ("new", "a.{name}.sch.{owner}", 7),
        ("slow", "a.{name}.sch.{owner}", 4),
        ("new", "{name}.evil-{owner}.eu.org", 4),
        ("slow", "{name}.evil-{owner}.eu.org", 2),
    ],
)
async def test_how_many_who_hold_up_another_one(kind: str, hosts: str, owners: int) -> None:
    """As docs/transport.md has it: with one fewer of them there is still a turn, with that many there is none."""
    names = LookUps[str]()
    threads = names._slow if kind == "slow" else names._new
    crowd = Crowd(threads.turns)
    taken = 0
    while True:
        country = f"{chr(97 + taken // 26)}{chr(97 + taken % 26)}"
        before = len(crowd.inside)
        for name in range(40):
            await crowd.come(threads.path(groups_of(hosts.format(name=name, owner=country))))
        if len(crowd.inside) == before:
            break
        taken += 1
    await crowd.end()
    names.close()
    assert taken == owners
