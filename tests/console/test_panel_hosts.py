"""Whether the host of an allowed URL is found: told while one types, and never claimed where the name service does not say."""

from __future__ import annotations

import asyncio
import socket
import threading
from typing import Any

import pytest

from hookline.console.panel import hosts
from hookline.kernel.config import load
from hookline.webhooks.urls import UrlPolicy

pytestmark = pytest.mark.unit


def told(monkeypatch: pytest.MonkeyPatch, answer: Any) -> str:
    """Return what is said of a URL when the name service answers so: addresses, an error, or nothing in time."""
    over = threading.Event()

    def getaddrinfo(*_: object, **__: object) -> Any:
        if answer is None:
            over.wait(60)
        if isinstance(answer, Exception):
            raise answer
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (ip, 0)) for ip in answer or ()]

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    try:
        return asyncio.run(hosts.hindrance("https://shop.example/hooks", load(UrlPolicy, {})))
    finally:
        over.set()


def test_a_host_that_nobody_knows_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """With what that means for every call."""
    said = told(monkeypatch, socket.gaierror(socket.EAI_NONAME, "Name or service not known"))
    assert said == "nobody knows the host name shop.example just now. Mind its spelling: every call would fail"


def test_a_host_that_leads_into_ones_own_network_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """When all its addresses do."""
    assert told(monkeypatch, ["10.0.0.1"]).startswith("shop.example leads to an address that is not called: ")
    assert told(monkeypatch, ["10.0.0.1", "93.184.216.34"]) == ""


@pytest.mark.parametrize("answer", [["93.184.216.34"], socket.gaierror(socket.EAI_AGAIN, "Try again"), None])
def test_nothing_is_said_of_others(monkeypatch: pytest.MonkeyPatch, answer: Any) -> None:
    """A public address; a name service that fails, or takes too long."""
    monkeypatch.setattr(hosts, "_WAIT_S", 0.05)
    assert told(monkeypatch, answer) == ""


async def test_names_that_hang_hold_up_nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    """Threads of other work are free meanwhile, however many names hang; what waits for a thread is given up in time as well."""
    over = threading.Event()
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: over.wait(60) and [])
    monkeypatch.setattr(hosts, "_WAIT_S", 0.05)
    policy = load(UrlPolicy, {})
    try:
        assert await asyncio.gather(*(hosts.hindrance(f"https://h{number}.example/", policy) for number in range(64))) == [""] * 64
        async with asyncio.timeout(20):
            assert await asyncio.to_thread(lambda: "at once") == "at once"
    finally:
        over.set()
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("10.0.0.1", 0))])
    monkeypatch.setattr(hosts, "_WAIT_S", 20.0)
    assert "is not called" in await hosts.hindrance("https://h.example/", policy)
