"""More webhooks than a dispatcher keeps ready are called in turns: its memory keeps its bound, and every call is as it must be."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import standardwebhooks.webhooks

from hookline.dispatcher.signatures import Signatures
from hookline.dispatcher.transport import aiohttp_transport, native_transport
from hookline.dispatcher.transport.aiohttp_transport import AiohttpTransport
from hookline.dispatcher.transport.contract import Reply
from hookline.dispatcher.transport.native_transport import NativeTransport
from hookline.kernel.clock import SystemClock
from hookline.webhooks.model import SealedSecret, Webhook
from hookline.webhooks.secrets import aad_of, show_secret
from tests.dispatcher.fakes import VAULT, delivery, webhook
from tests.dispatcher.hostile import OK, Caller, Server, always
from tests.dispatcher.suite import LOCAL

pytestmark = pytest.mark.unit
MOST = 10
WEBHOOKS = 35


def key(number: int, generation: int) -> bytes:
    """Return one webhook's key after it was changed so often."""
    return bytes([number, generation] * 16)


def keyed(number: int, generation: int) -> Webhook:
    """Return a webhook that has this key."""
    aad = aad_of("shop", f"wh_{number}", generation)
    return webhook(number, secrets=(SealedSecret(VAULT.seal(key(number, generation), aad), generation),))


def assert_signed(signatures: Signatures, one: Webhook, by: bytes) -> None:
    """Hold a call of the webhook to be signed by that key, as a receiver would."""
    number = int(one.id.removeprefix("wh_"))
    standardwebhooks.webhooks.Webhook(show_secret(by)).verify(b"{}", dict(signatures.headers(one, delivery(number))))


def test_keys_keep_their_bound_and_every_call_is_signed_by_its_own() -> None:
    """In turns, one after the other and with some called again and again, before and after each secret was replaced."""
    signatures = Signatures(VAULT, SystemClock(), MOST)
    for generation in (1, 2, 3):
        hooks = [keyed(number, generation) for number in range(WEBHOOKS)]
        for one in hooks:
            signatures.forget(one.id)
        for number, one in [*enumerate(hooks), *enumerate(hooks), *enumerate(hooks[:MOST])]:
            assert_signed(signatures, one, key(number, generation))
            assert_signed(signatures, hooks[0], key(0, generation))
            assert len(signatures._cache) <= MOST


def test_a_webhook_whose_change_nobody_told_is_signed_by_its_new_key() -> None:
    """Also when its former key is kept among the older ones: the webhook itself is compared."""
    signatures = Signatures(VAULT, SystemClock(), MOST)
    for number in range(MOST):
        assert_signed(signatures, keyed(number, 1), key(number, 1))
    for number in range(MOST):
        assert_signed(signatures, keyed(number, 2), key(number, 2))


@pytest.mark.parametrize(
    ("module", "make", "kept"),
    [
        (native_transport, lambda: NativeTransport(LOCAL), "_targets"),
        (aiohttp_transport, lambda: AiohttpTransport(LOCAL), "_urls"),
    ],
)
async def test_urls_keep_their_bound_and_every_call_goes_to_its_own(
    module: object, make: Callable[[], NativeTransport | AiohttpTransport], kept: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In turns, and one of them again and again."""
    monkeypatch.setattr(module, "MOST_URLS", MOST)
    transport, server = make(), Server(always(OK, close=False))
    await transport.start()
    caller, asked = Caller(transport), []
    async with server.running():
        for number in [*range(WEBHOOKS), *range(WEBHOOKS)]:
            for name in (number, "again"):
                asked.append(f"/{name}")
                assert isinstance(await caller.send(caller.request(server.url(f"/{name}"))), Reply)
                assert len(getattr(transport, kept)) <= MOST
    await transport.stop()
    assert [request.split(b" ", 2)[1].decode() for request in server.seen] == asked
