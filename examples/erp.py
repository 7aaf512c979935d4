"""ERP: customers and orders go into the accounts, with double-entry lines, each event once.

An event is booked in the same transaction in which its `webhook-id` is remembered, and answered after the commit. So the
program may be killed at any moment: what was not answered comes again, and what was booked already is not booked again.
Events come in any order: a payment may be booked before its order.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Self

from examples.receiving import given, serve

EVENT_TYPES: Final = ("customer.created", "order.created", "order.paid", "order.status_changed")
BANK, RECEIVABLES, VAT, SALES = "1200 bank", "1400 receivables", "3806 value added tax", "4400 sales"
_SCHEMA: Final = """
CREATE TABLE IF NOT EXISTS calls (webhook_id TEXT PRIMARY KEY, event_id TEXT NOT NULL, event_type TEXT NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS customers (email TEXT PRIMARY KEY, customer_id TEXT, first_name TEXT, last_name TEXT) STRICT;
CREATE TABLE IF NOT EXISTS lines (
    webhook_id TEXT NOT NULL REFERENCES calls, order_id TEXT NOT NULL, booked_on TEXT NOT NULL, account TEXT NOT NULL,
    debit_minor INTEGER NOT NULL, credit_minor INTEGER NOT NULL, currency TEXT NOT NULL) STRICT;
CREATE VIEW IF NOT EXISTS balances AS
    SELECT account, currency, sum(debit_minor) AS debit_minor, sum(credit_minor) AS credit_minor FROM lines GROUP BY account, currency;
CREATE VIEW IF NOT EXISTS unbalanced AS
    SELECT webhook_id FROM lines GROUP BY webhook_id, currency HAVING sum(debit_minor) <> sum(credit_minor);
"""


@dataclass(frozen=True, slots=True)
class Line:
    """One side of a booking; a positive amount is a debit, a negative one a credit, in minor units."""

    account: str
    minor: int


def booking(event_type: str, data: dict[str, Any]) -> list[Line]:
    """Return the lines of an event, which add up to 0; none for an event that moves no money."""
    if event_type == "order.paid":
        paid = data["payment"]["amount"]["amount_minor"]
        return [Line(BANK, paid), Line(RECEIVABLES, -paid)]
    if event_type == "order.created":
        return _sale(data["order"]["totals"], 1)
    if event_type == "order.status_changed" and data["status"] == "CANCELLED":
        return _sale(data["totals"], -1)
    return []


def _sale(totals: dict[str, Any], sign: int) -> list[Line]:
    gross, tax = totals["grand_total"]["amount_minor"] * sign, totals["tax"]["amount_minor"] * sign
    return [Line(RECEIVABLES, gross), Line(SALES, tax - gross), Line(VAT, -tax)]


def people(data: dict[str, Any]) -> Iterator[tuple[str, str | None, str | None, str | None]]:
    """Yield whom an event tells of: e-mail, customer id (None: a guest), first and last name."""
    for found in (data.get("customer"), data.get("order", {}).get("customer")):
        if found:
            yield found["email"], found.get("customer_id", found.get("id")), found.get("first_name"), found.get("last_name")


class Books:
    """The accounts in one SQLite file. One thread."""

    def __init__(self, path: Path) -> None:
        self.database = sqlite3.connect(path)
        self.database.executescript("PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;" + _SCHEMA)

    @classmethod
    def configured(cls) -> Self:
        """Open the accounts at $DATABASE."""
        return cls(Path(given("DATABASE")))

    async def book(self, webhook_id: str, event: dict[str, Any]) -> None:
        """Book an event unless its `webhook-id` was booked before; it is on the disk when this returns."""
        with self.database:
            new = self.database.execute(
                "INSERT INTO calls VALUES (?, ?, ?) ON CONFLICT DO NOTHING", (webhook_id, event["id"], event["type"])
            )
            if new.rowcount:
                self._note_people(event["data"])
                self._note_lines(webhook_id, event)

    def _note_people(self, data: dict[str, Any]) -> None:
        self.database.executemany(
            "INSERT INTO customers VALUES (?, ?, ?, ?) ON CONFLICT DO UPDATE SET customer_id = coalesce(excluded.customer_id, customer_id)",
            people(data),
        )

    def _note_lines(self, webhook_id: str, event: dict[str, Any]) -> None:
        lines = booking(event["type"], event["data"])
        if lines:
            order = event["data"].get("order", event["data"])
            document = (webhook_id, order.get("id", order.get("order_id")), event["timestamp"][:10])
            currency = order["totals"]["grand_total"]["currency"]
            rows = [(*document, line.account, max(line.minor, 0), max(-line.minor, 0), currency) for line in lines]
            self.database.executemany("INSERT INTO lines VALUES (?, ?, ?, ?, ?, ?, ?)", rows)


if __name__ == "__main__":
    serve(Books.configured().book)
