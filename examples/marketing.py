"""Marketing: newsletter sign-ups and abandoned carts become segments, a view in SQLite that a mailing program reads.

Nothing remembers a `webhook-id` here: the newest word on a cart or an address wins, so that a call that comes twice, or
late, changes nothing. An order may come before the last event of its cart.
"""

from __future__ import annotations

import sqlite3
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from examples.receiving import given, serve

EVENT_TYPES: Final = ("newsletter.signed_up", "cart.item_added", "cart.updated", "checkout.shipping_viewed", "order.created")
_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS settings (only INTEGER PRIMARY KEY CHECK (only = 1), abandoned_after_s REAL NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS subscribers (email TEXT PRIMARY KEY, state TEXT NOT NULL, at_s REAL NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS carts (
    cart_id TEXT PRIMARY KEY, at_s REAL NOT NULL, email TEXT, pieces INTEGER NOT NULL, total_minor INTEGER NOT NULL,
    recovery_url TEXT) STRICT;
CREATE TABLE IF NOT EXISTS ordered (cart_id TEXT PRIMARY KEY) STRICT;
CREATE VIEW IF NOT EXISTS segments AS
    SELECT CASE state WHEN 'SUBSCRIBED' THEN 'newsletter' ELSE 'newsletter-unconfirmed' END AS segment,
           email, NULL AS cart_id, NULL AS total_minor, NULL AS recovery_url
    FROM subscribers WHERE state IN ('SUBSCRIBED', 'PENDING_CONFIRMATION')
    UNION ALL
    SELECT 'abandoned-cart', email, cart_id, total_minor, recovery_url
    FROM carts, settings
    WHERE pieces > 0 AND email IS NOT NULL AND cart_id NOT IN (SELECT cart_id FROM ordered)
      AND at_s < (julianday('now') - 2440587.5) * 86400.0 - abandoned_after_s;
"""


class Segments:
    """The customers by what they did, in one SQLite file. One thread.

    A cart without an order is abandoned `abandoned_after_s` seconds after its last change. It is in the segment only if
    its owner is known and wants to be written to.
    """

    def __init__(self, path: Path, abandoned_after_s: float) -> None:
        self.database = sqlite3.connect(path)
        self.database.executescript("PRAGMA journal_mode = WAL;" + _SCHEMA)
        with self.database:
            self.database.execute("INSERT OR REPLACE INTO settings VALUES (1, ?)", (abandoned_after_s,))

    async def note(self, _webhook_id: str, event: dict[str, Any]) -> None:
        """Take an event in; it is on the disk when this returns."""
        data, at_s = event["data"], datetime.fromisoformat(event["timestamp"]).timestamp()
        with self.database:
            if event["type"] == "newsletter.signed_up":
                self._note_subscriber(data, at_s)
            elif event["type"] == "order.created":
                self.database.execute("INSERT OR IGNORE INTO ordered VALUES (?)", (data["order"]["cart_id"] or "",))
            else:
                self._note_cart(data["cart"], at_s)

    def _note_subscriber(self, data: dict[str, Any], at_s: float) -> None:
        self.database.execute(
            "INSERT INTO subscribers VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET state = excluded.state, at_s = excluded.at_s"
            " WHERE excluded.at_s > at_s",
            (data["email"], data["consent"]["state"], at_s),
        )

    def _note_cart(self, cart: dict[str, Any], at_s: float) -> None:
        owner = cart["customer"] or {}
        email = owner["email"] if owner.get("accepts_marketing") else None
        pieces, total = sum(line["quantity"] for line in cart["lines"]), cart["totals"]["grand_total"]["amount_minor"]
        self.database.execute(
            "INSERT INTO carts VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET at_s = excluded.at_s, email = excluded.email,"
            " pieces = excluded.pieces, total_minor = excluded.total_minor, recovery_url = excluded.recovery_url"
            " WHERE excluded.at_s > at_s",
            (cart["id"], at_s, email, pieces, total, cart["recovery_url"]),
        )


if __name__ == "__main__":
    serve(Segments(Path(given("DATABASE")), float(given("ABANDONED_AFTER_S"))).note)
