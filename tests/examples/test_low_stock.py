"""The low-stock example: a mail that can be sent is sent, one that cannot is Hookline's to bring again."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from aiosmtpd.controller import Controller

from examples.low_stock import mail
from examples.show import Mailbox
from hookline.local.kafka_broker import free_port
from tests.examples.bodies import event

pytestmark = pytest.mark.process

Start = Callable[..., Any]  # the fixture's class stands in conftest.py


def test_a_mail_server_that_is_down_or_refuses_brings_the_call_again(program: Start) -> None:
    """Down: 503 with Retry-After; refused: 503; up: 204 and one mail, whose Message-ID is the webhook-id."""
    mailbox, port = Mailbox(), free_port()
    low_stock, body = program("low_stock", SMTP_PORT=str(port)), event("product.inventory_changed")
    status, headers = low_stock.call(body, webhook_id="msg_1")
    assert (status, headers["Retry-After"]) == (503, "1")
    refusing = Controller(Refusing(), hostname="127.0.0.1", port=port)
    refusing.start()
    assert low_stock.call(body, webhook_id="msg_1")[0] == 503
    refusing.stop()
    server = Controller(mailbox, hostname="127.0.0.1", port=port)
    server.start()
    assert low_stock.call(body, webhook_id="msg_1")[0] == 204
    server.stop()
    [mail] = mailbox.mails
    assert "Message-ID: <msg_1@shop.example.com>" in mail
    assert "Subject: Low stock: 4 left of MER-TEE-M-NVY" in mail
    assert "To: purchaser@example.com" in mail
    assert "At loc_berlin: from 6 to 4 pieces." in mail


class Refusing:
    """A mail server whose disk is full."""

    async def handle_DATA(self, *_: object) -> str:  # noqa: N802  # aiosmtpd's name
        """Refuse a mail."""
        return "452 Insufficient system storage"


@pytest.mark.unit
def test_a_name_with_line_breaks_is_mailed_all_the_same() -> None:
    """The subject stays one line, and nothing in it becomes a header."""
    data = {"available": 3, "previous_available": 5, "sku": "A\r\nBcc: evil@example.com", "title": "T", "location_id": "loc"}
    made = mail("msg_1", data)
    assert made["Subject"] == "Low stock: 3 left of A Bcc: evil@example.com"
    assert made["Bcc"] is None
