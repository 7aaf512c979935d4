"""What every receiver does with a call: verify it, refuse what is not Hookline's, handle the event, answer."""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable, Iterable
from typing import Any, Final, TypeAlias

from aiohttp import web
from standardwebhooks.webhooks import Webhook, WebhookVerificationError

Handle: TypeAlias = Callable[[str, dict[str, Any]], Awaitable[None]]
"""Given the `webhook-id` and the event; returns once its work is done for good."""
_MAX_BODY_BYTES: Final = 4 * 1024 * 1024


def given(name: str) -> str:
    """Return a variable of the environment; end the program where it is not set."""
    text = os.environ.get(name, "")
    if not text:
        raise SystemExit(f"{name} is not set. `make example` starts this program with all that it needs.")
    return text


class NotNowError(Exception):
    """The work cannot be done now; Hookline tries again, not before `retry_after_s`."""

    def __init__(self, reason: str, retry_after_s: int = 1) -> None:
        super().__init__(reason)
        self.retry_after_s = retry_after_s


def receiver(secret: str, handle: Handle) -> Callable[[web.Request], Awaitable[web.Response]]:
    """Return what answers the webhook's calls: 401 without a right signature, 503 for `NotNowError`, 204 once it is handled."""
    verifier = Webhook(secret)

    async def answer(request: web.Request) -> web.Response:
        body, headers = await request.read(), {name.lower(): value for name, value in request.headers.items()}
        try:
            event = verifier.verify(body, headers)
        except (WebhookVerificationError, ValueError):  # headers that are no signature at all end in a ValueError
            return web.Response(status=401, text="the signature is not right\n")
        try:
            await handle(headers["webhook-id"], event)
        except NotNowError as error:
            return web.Response(status=503, text=f"{error}\n", headers={"Retry-After": str(error.retry_after_s)})
        return web.Response(status=204)

    return answer


def serve(handle: Handle, routes: Iterable[web.AbstractRouteDef] = ()) -> None:
    """Answer calls at /hook, and `routes`, on 127.0.0.1:$PORT until SIGTERM; the webhook's secret is in $WEBHOOK_SECRET."""
    app = web.Application(client_max_size=_MAX_BODY_BYTES)
    app.add_routes([web.post("/hook", receiver(given("WEBHOOK_SECRET"), handle)), *routes])
    web.run_app(app, host="127.0.0.1", port=int(given("PORT")), print=None, access_log=None, shutdown_timeout=1.0)
