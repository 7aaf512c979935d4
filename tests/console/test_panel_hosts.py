"""Whether the host of an allowed URL is found: told while one types, and never claimed where the name service does not say."""

from __future__ import annotations

import asyncio
import socket
from typing import Any

import pytest

from hookline.console.panel import hosts
from hookline.kernel.config import load
from hookline.webhooks.urls import UrlPolicy

pytestmark = pytest.mark.unit


def told(monkeypatch: pytest.MonkeyPatch, answer: Any) -> str:
    """Return what is said of a URL when the name service answers so: addresses, an error, or nothing in time."""

    async def getaddrinfo(*_: object, **__: object) -> Any:
        if answer is None:
            await asyncio.sleep(60)
        if isinstance(answer, Exception):
            raise answer
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (ip, 0)) for ip in answer]

    async def asked() -> str:
        monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", getaddrinfo)
        return await hosts.hindrance("https://shop.example/hooks", load(UrlPolicy, {}))

    return asyncio.run(asked())


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
