"""The dashboard example: right sums, and a page that shows them as they come."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import pytest
from playwright.async_api import ConsoleMessage, async_playwright, expect

from examples.dashboard import EVENT_TYPES as WANTED
from examples.dashboard import Board
from hookline.schemas.catalogue import EVENT_TYPES
from tests.examples.bodies import event

Start = Callable[..., Any]  # the fixture's class stands in conftest.py
CHROMIUM: Final = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
SIZES: Final = {"desktop": (1_280, 800), "phone": (390, 844)}
ORDER = EVENT_TYPES["order.created"].example["order"]


def order(order_id: str, **changed: Any) -> dict[str, Any]:
    """Return an order's event."""
    return event("order.created", {"order": {**ORDER, "id": order_id, "number": order_id.removeprefix("ord_"), **changed}})


def in_francs(minor: int) -> dict[str, Any]:
    """Return an order's totals in another currency."""
    return {**ORDER["totals"], "grand_total": {"amount_minor": minor, "currency": "CHF"}}


@pytest.mark.unit
async def test_what_comes_twice_counts_once() -> None:
    """Orders by id, carts by id and step, revenue by currency; the newest order first, twelve at most."""
    board = Board()
    for body in [*(order(f"ord_{number}") for number in range(14)), order("ord_9"), order("ord_chf", totals=in_francs(500))]:
        await board.note("msg", body)
    for name in WANTED[1:]:
        for _ in range(2):
            await board.note("msg", event(name))
    state = board.state()
    assert (state["orders"], state["paid"], state["revenue"]) == (15, 1, {"EUR": 14 * 11_110, "CHF": 500})
    assert set(state["funnel"].values()) == {1}
    assert [entry["number"] for entry in state["recent"]] == ["chf", *map(str, range(13, 2, -1))]


@pytest.mark.unit
async def test_an_order_without_an_address_counts_too() -> None:
    """Nothing to ship: the address is null."""
    board = Board()
    await board.note("msg", order("ord_1", shipping_address=None))
    assert (board.state()["orders"], board.state()["recent"][0]["city"]) == (1, "")


@pytest.mark.process
async def test_the_page_shows_orders_as_they_come(program: Start, tmp_path: Path) -> None:
    """Without a reload each order and step is on the page; nothing is cut off, no script fails, no policy is broken."""
    if CHROMIUM is None:
        pytest.skip("no Chromium here: this needs one (Debian: apt-get install chromium)")
    dashboard, complaints = program("dashboard"), list[str]()

    def heard(message: ConsoleMessage) -> None:
        if message.type in {"error", "warning"}:
            complaints.append(message.text)

    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-dev-shm-usage"])
        page = await browser.new_page()
        page.on("console", heard)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        await page.goto(dashboard.url("/"))
        await expect(page.locator("#link")).to_have_text("live")
        await expect(page.locator("#orders")).to_have_text("0")
        for body in [*(order(f"ord_{number}") for number in range(10_001, 10_016)), order("ord_x", totals=in_francs(123_456_789))]:
            assert dashboard.call(body)[0] == 204
        for step in WANTED[1:]:
            assert dashboard.call(event(step))[0] == 204
        await expect(page.locator("#orders")).to_have_text("16")
        await expect(page.locator("#paid")).to_have_text("1")
        await expect(page.locator("#revenue")).to_have_text("1,666.50 EUR + 1,234,567.89 CHF")
        await expect(page.locator("#recent tr")).to_have_count(12)
        await expect(page.locator("#recent tr").first).to_contain_text("1,234,567.89 CHF")
        await expect(page.locator("#funnel progress")).to_have_count(6)
        folder = Path(os.environ.get("HOOKLINE_SCREENSHOTS") or tmp_path)
        for name, (width, height) in SIZES.items():
            await page.set_viewport_size({"width": width, "height": height})
            assert await page.evaluate("document.documentElement.scrollWidth <= document.documentElement.clientWidth")
            await page.screenshot(path=folder / f"dashboard.{name}.png", full_page=True)
        dashboard.kill()
        await expect(page.locator("#link")).to_have_text("reconnecting …")
        dashboard.start()
        await expect(page.locator("#link")).to_have_text("live", timeout=20_000)
        await browser.close()
    assert [text for text in complaints if "ERR_CONNECTION_REFUSED" not in text and "ERR_INCOMPLETE_CHUNKED_ENCODING" not in text] == []
