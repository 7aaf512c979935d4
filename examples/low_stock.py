"""Low stock: the purchaser gets a mail when a variant falls below 5 pieces.

The webhook's filter does the choosing, so that the program is called for nothing else. A mail server that is down is
Hookline's to wait for: the program answers 503 and is called again. The mail's Message-ID is made of the `webhook-id`: a
mail that was sent twice after all is one mail in the purchaser's inbox.
"""

from __future__ import annotations

import asyncio
import smtplib
from email.message import EmailMessage
from typing import Any, Final

from examples.receiving import NotNowError, given, serve

EVENT_TYPES: Final = ("product.inventory_changed",)
FILTER: Final = "data.available < 5 && data.previous_available >= 5"
_SENDER: Final = "shop@example.com"
_PURCHASER: Final = "purchaser@example.com"
_TIMEOUT_S: Final = 5.0


def mail(webhook_id: str, data: dict[str, Any]) -> EmailMessage:
    """Return the mail that tells of a variant."""
    found = EmailMessage()
    found["From"], found["To"] = _SENDER, _PURCHASER
    found["Subject"] = " ".join(f"Low stock: {data['available']} left of {data['sku']}".split())  # a header is one line
    found["Message-ID"] = f"<{webhook_id}@shop.example.com>"
    found.set_content(
        f"{data['title']} ({data['sku']})\nAt {data['location_id']}: from {data['previous_available']} to {data['available']} pieces.\n"
    )
    return found


def send(message: EmailMessage) -> None:
    """Hand a mail to the server at 127.0.0.1:$SMTP_PORT; raise `OSError` (`SMTPException` is one) when it does not take it."""
    with smtplib.SMTP("127.0.0.1", int(given("SMTP_PORT")), timeout=_TIMEOUT_S) as server:
        server.send_message(message)


async def tell(webhook_id: str, event: dict[str, Any]) -> None:
    """Mail the purchaser; raise `NotNowError` while the mail server does not take it."""
    try:
        await asyncio.to_thread(send, mail(webhook_id, event["data"]))
    except OSError as error:
        raise NotNowError(f"the mail server does not take it: {error}") from error


if __name__ == "__main__":
    serve(tell)
