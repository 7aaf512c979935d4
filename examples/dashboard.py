"""Live dashboard: orders, revenue and the checkout's funnel in a browser, pushed as they come.

The page gets server-sent events, which a browser takes up again by itself. Each carries the whole state: who connects late
or misses some has all of it with the next. Orders and carts are kept by their ids, so a call that comes twice counts once.
"""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any, Final

from aiohttp import web

from examples.receiving import serve

STEPS: Final = {
    "cart.item_added": "cart",
    "checkout.cart_viewed": "checkout",
    "checkout.address_viewed": "address",
    "checkout.shipping_viewed": "shipping",
    "checkout.approval_viewed": "approval",
    "checkout.thank_you_viewed": "ordered",
}
EVENT_TYPES: Final = ("order.created", "order.paid", *STEPS)
_SHOWN: Final = 12
_HEARTBEAT_S: Final = 15.0
_FOLDER: Final = Path(__file__).parent / "dashboard_page"
_CSP: Final = "default-src 'self'; img-src data:; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"


class Board:
    """What the page shows, since this program started. One event loop."""

    def __init__(self) -> None:
        self.changed = asyncio.Condition()
        self.version = 0
        self._orders: dict[str, dict[str, Any]] = {}
        self._paid: set[str] = set()
        self._carts: dict[str, set[str]] = {step: set() for step in STEPS.values()}

    async def note(self, _webhook_id: str, event: dict[str, Any]) -> None:
        """Take an event in and wake the pages."""
        data = event["data"]
        if event["type"] == "order.created":
            self._note_order(data["order"], event["timestamp"])
        elif event["type"] == "order.paid":
            self._paid.add(data["order_id"])
        elif event["type"] in STEPS:
            cart_id = data["cart"]["id"] if "cart" in data else data["session"]["cart_id"]
            self._carts[STEPS[event["type"]]].add(cart_id)
        async with self.changed:
            self.version += 1
            self.changed.notify_all()

    def _note_order(self, order: dict[str, Any], at: str) -> None:
        address = order["shipping_address"]  # null: there is nothing to ship
        city = address["city"] if address is not None else ""
        self._orders[order["id"]] = {"id": order["id"], "number": order["number"], "at": at, "city": city, **order["totals"]["grand_total"]}

    def state(self) -> dict[str, Any]:
        """Return everything that the page shows; amounts in minor units, revenue by currency."""
        revenue: dict[str, int] = {}
        for order in self._orders.values():
            revenue[order["currency"]] = revenue.get(order["currency"], 0) + order["amount_minor"]
        return {
            "orders": len(self._orders),
            "paid": len(self._paid),
            "revenue": revenue,
            "funnel": {step: len(carts) for step, carts in self._carts.items()},
            "recent": list(self._orders.values())[: -_SHOWN - 1 : -1],
        }

    async def stream(self, request: web.Request) -> web.StreamResponse:
        """Push the state now and after every change, until the browser goes; a browser that is slow misses some."""
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream", "Cache-Control": "no-store"})
        await response.prepare(request)
        seen = -1
        while True:
            if seen != self.version:
                seen = self.version
                text = f"data: {json.dumps(self.state())}\n\n"
            else:
                text = ": still here\n\n"
            try:
                await response.write(text.encode())
            except ConnectionError:
                return response
            await self._next(seen)

    async def _next(self, seen: int) -> None:
        """Wait until there is something newer, or until it is time for a heartbeat."""
        try:
            async with asyncio.timeout(_HEARTBEAT_S), self.changed:
                await self.changed.wait_for(lambda: self.version != seen)
        except TimeoutError:
            return


async def page(_: web.Request) -> web.StreamResponse:
    """Answer with the page."""
    return web.FileResponse(_FOLDER / "page.html", headers={"Content-Security-Policy": _CSP})


def main() -> None:
    """Serve the page at / and its data at /stream and /state."""
    board = Board()

    async def state(_: web.Request) -> web.Response:
        return web.json_response(board.state())

    serve(board.note, [web.get("/", page), web.get("/stream", board.stream), web.get("/state", state), web.static("/page", _FOLDER)])


if __name__ == "__main__":
    main()
