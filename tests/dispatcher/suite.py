"""What the suites for transports share: how one is made, called, and found to have left nothing behind."""

from __future__ import annotations

import asyncio
import os
import ssl
import time
from collections.abc import AsyncIterator, Callable

import psutil
import pytest

from hookline.dispatcher.transport.contract import Transport
from hookline.dispatcher.transport.tls import tls_context
from hookline.webhooks.addresses import networks
from hookline.webhooks.urls import UrlPolicy
from tests.dispatcher.hostile import TIMEOUT_S, Caller

LOCAL = UrlPolicy(allow_http=True, allowed_ports=(), allow_addresses=networks("127.0.0.1/32"), deny_addresses=(), deny_hosts=())
ME = psutil.Process(os.getpid())


def sockets() -> int:
    """Return how many this process has open; a loop's own files come and go."""
    return len(ME.net_connections("inet"))


async def until(condition: Callable[[], object], timeout_s: float = 20.0) -> None:
    """Wait for a condition."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, "the condition did not come true"
        await asyncio.sleep(0.01)


async def heard(pause_s: float) -> None:
    """Wait in many turns of the loop, each of which reads what has come: a pause of one turn is over unread after a stall."""
    for _ in range(10):
        await asyncio.sleep(pause_s / 10)


class Suite:
    """A suite; each test's docstring is one clause of the contract."""

    both_loops = True

    @pytest.fixture(autouse=True)
    def patient(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Let a connect take long: only the tests of its time want it to end."""
        for module in ("native_transport", "aiohttp_transport"):
            monkeypatch.setattr(f"hookline.dispatcher.transport.{module}.CONNECT_S", TIMEOUT_S)

    def make(self, policy: UrlPolicy, tls: Callable[[], ssl.SSLContext] = tls_context) -> Transport:
        """Return a transport, not started; `tls` makes the contexts that it connects with."""
        raise NotImplementedError

    @pytest.fixture
    async def caller(self) -> AsyncIterator[Caller]:
        """Give a caller over a started transport; at the end nothing may be left: no task, no socket, no second call-back."""
        tasks, before = asyncio.all_tasks(), sockets()
        transport = self.make(LOCAL)
        await transport.start()
        found = Caller(transport)
        yield found
        await transport.stop()
        await until(lambda: asyncio.all_tasks() <= tasks | {asyncio.current_task()})
        await until(lambda: sockets() <= before)
        assert all(count == 1 for count in found.calls)
