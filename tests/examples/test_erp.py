"""The ERP example: each event once, whatever order they come in and whatever kills it."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from examples.erp import booking
from hookline.schemas.catalogue import EVENT_TYPES
from tests.examples.bodies import event

pytestmark = pytest.mark.process

Start = Callable[..., Any]  # the fixture's class stands in conftest.py
GROSS, TAX = 11_110, 1_773
SALE = {"1400 receivables": (GROSS, 0), "3806 value added tax": (0, TAX), "4400 sales": (0, GROSS - TAX)}


def balances(file: Path) -> dict[str, tuple[int, int]]:
    """Return account → debit, credit."""
    with closing(sqlite3.connect(file)) as books:
        assert books.execute("SELECT * FROM unbalanced").fetchall() == []
        return {
            account: (debit, credit) for account, debit, credit in books.execute("SELECT account, debit_minor, credit_minor FROM balances")
        }


def test_a_call_that_comes_twice_is_booked_once(program: Start, tmp_path: Path) -> None:
    """The same call again is answered as well, and books nothing, even after the program was killed in between."""
    file = tmp_path / "books.sqlite"
    erp, order = program("erp", DATABASE=str(file)), event("order.created")
    assert [erp.call(order, webhook_id="msg_1")[0] for _ in range(2)] == [204, 204]
    assert balances(file) == SALE
    erp.kill()
    erp.start()
    assert erp.call(order, webhook_id="msg_1")[0] == 204
    assert balances(file) == SALE
    assert erp.call(event("order.created"), webhook_id="msg_2")[0] == 204
    assert balances(file)["1400 receivables"] == (2 * GROSS, 0)


def test_a_payment_before_its_order_and_a_cancellation_come_out_even(program: Start, tmp_path: Path) -> None:
    """A paid order leaves nothing to receive, a cancelled one nothing at all, in whatever order the events come."""
    file = tmp_path / "books.sqlite"
    erp = program("erp", DATABASE=str(file))
    assert erp.call(event("order.paid"))[0] == 204
    assert erp.call(event("order.created"))[0] == 204
    assert balances(file) == SALE | {"1200 bank": (GROSS, 0), "1400 receivables": (GROSS, GROSS)}
    assert erp.call(event("order.status_changed", {"status": "CANCELLED"}))[0] == 204
    assert erp.call(event("order.created"))[0] == 204
    assert balances(file)["4400 sales"] == (GROSS - TAX, 2 * (GROSS - TAX))


def test_customers_are_kept_once_with_what_is_known_of_them(program: Start, tmp_path: Path) -> None:
    """A guest's order makes a customer without an id; the account opened later gives it one; orders do not take it away."""
    file = tmp_path / "books.sqlite"
    erp = program("erp", DATABASE=str(file))
    example = EVENT_TYPES["order.created"].example["order"]
    guest = event("order.created", {"order": {**example, "customer": {**example["customer"], "customer_id": None}}})
    for body in (guest, event("customer.created"), {**guest, "id": "evt_again"}):
        assert erp.call(body)[0] == 204
    with closing(sqlite3.connect(file)) as books:
        assert books.execute("SELECT * FROM customers").fetchall() == [("ada.brenner@example.com", "cust_8Qd2", "Ada", "Brenner")]


def test_what_is_not_hooklines_is_refused(program: Start, tmp_path: Path) -> None:
    """A call signed with another secret, without a signature, or with one that is none is a 401 and books nothing."""
    file = tmp_path / "books.sqlite"
    erp, order = program("erp", DATABASE=str(file)), event("order.created")
    assert erp.call(order, secret="whsec_" + "QUFB" * 8)[0] == 401
    assert erp.post("/hook", b"{}", {})[0] == 401
    assert erp.post("/hook", b"\xff{", {"webhook-id": "x", "webhook-timestamp": "1", "webhook-signature": "v1"})[0] == 401
    assert balances(file) == {}


@pytest.mark.parametrize("name", EVENT_TYPES)
def test_every_booking_adds_up_to_zero(name: str) -> None:
    """Debits are credits, for every type of event."""
    assert sum(line.minor for line in booking(name, dict(EVENT_TYPES[name].example))) == 0
