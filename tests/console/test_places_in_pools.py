"""Places in the pools of passwords, and what a throttle takes back."""

from __future__ import annotations

import asyncio
import threading

import pytest

from hookline.console.config import ConsoleConfig
from hookline.console.http.pools import Pools, Work
from hookline.console.http.problems import Code, Refused
from hookline.console.http.throttle import Throttle
from hookline.kernel.config import load
from tests.console.test_sessions import HandClock

pytestmark = pytest.mark.unit


async def test_nobody_fills_the_pools_of_passwords_alone() -> None:
    """One name has four places at once, another its own; what is done frees them, and a refused one never had any."""
    pools, go = Pools(load(ConsoleConfig, {})), threading.Event()

    def held() -> bool:
        return go.wait(5)

    for kind in (Work.PASSWORDS, Work.CONFIRMS):
        pool = pools[kind]
        waiting = [asyncio.create_task(pool.run(held, "192.0.2.7")) for _ in range(4)]
        await asyncio.sleep(0)
        for _ in range(3):
            with pytest.raises(Refused) as refused:
                await pool.run(held, "192.0.2.7")
            assert (refused.value.problem, refused.value.headers) == (Code.RATE_LIMITED, {"Retry-After": "1"})
        waiting.append(asyncio.create_task(pool.run(held, "192.0.2.8")))
        await asyncio.sleep(0)
        pool.check("192.0.2.8")
        go.set()
        assert await asyncio.gather(*waiting) == [True] * 5
        assert await asyncio.gather(*(pool.run(lambda: 5, "192.0.2.7") for _ in range(4))) == [5] * 4
        go.clear()
    pools.close()


def test_a_throttle_takes_back() -> None:
    """What came to nothing may be done again, and never more than there is."""
    throttle = Throttle(2, HandClock(), "test calls")
    throttle.give_back("a")
    for _ in range(2):
        throttle.take("a")
    throttle.give_back("a")
    throttle.take("a")
    with pytest.raises(Refused, match="as told"):
        throttle.take("a", "as told")
