"""Contexts for client certificates: made one at a time, within a bound, and not for those who have given up."""

from __future__ import annotations

import asyncio
import ssl
import threading
from dataclasses import dataclass, field

import pytest
import trustme

from hookline.dispatcher.transport.phases import Keeper, Late
from hookline.dispatcher.transport.tls import Identities, tls_context
from hookline.kernel.errors import CertificateError
from tests.dispatcher.certificates_conformance import identity
from tests.dispatcher.suite import until

pytestmark = pytest.mark.unit


@dataclass
class Maker:
    """Makes contexts when it is let go; the first, for calls without a certificate, at once."""

    go: threading.Event = field(default_factory=threading.Event)
    made: int = -1
    at_once: int = 0
    most_at_once: int = 0

    def make(self) -> ssl.SSLContext:
        """Return a context."""
        self.made += 1
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        if self.made:
            assert self.go.wait(30)
        self.at_once -= 1
        return tls_context()


async def test_who_gives_up_leaves_what_is_made_to_the_next() -> None:
    """A context that is being made is kept, one that nobody waits for any more is not begun; there is one at a time."""
    maker, authority = Maker(), trustme.CA()
    identities, (first, second, third) = Identities(maker.make), [identity(authority, f"shop-{number}") for number in range(3)]
    try:
        late = await asyncio.gather(*(identities.of(who, 0.3) for who in (first, second, first)), return_exceptions=True)
        assert [(type(error), str(error)) for error in late] == [(Late, Keeper.READY.late(0.3))] * 3
        waiting = asyncio.gather(identities.of(first), identities.of(third))
        assert (await identities.of(None)).context is not None
        assert (maker.made, maker.most_at_once) == (1, 1)
    finally:
        maker.go.set()
    found = await waiting
    assert found[0] is await identities.of(first)
    assert found[0] is not found[1]
    assert (maker.made, maker.most_at_once) == (2, 1)


async def test_a_certificate_that_cannot_be_loaded_keeps_nobody_waiting() -> None:
    """Its error is told to whoever asked, now and the next time."""
    maker, authority = Maker(), trustme.CA()
    maker.go.set()
    identities, good = Identities(maker.make), identity(authority, "shop-a")
    wrong = type(good)("wrong", good.certificate, identity(authority, "shop-b").private_key)
    for _ in range(2):
        with pytest.raises(CertificateError):
            await identities.of(wrong)
    assert await asyncio.wait_for(identities.of(good), 10) is await identities.of(good)


async def test_a_certificate_that_cannot_be_loaded_after_all_have_given_up() -> None:
    """Nobody is told, and the turn is free."""
    maker, authority = Maker(), trustme.CA()
    identities, good = Identities(maker.make), identity(authority, "shop-a")
    wrong = type(good)("wrong", good.certificate, identity(authority, "shop-b").private_key)
    with pytest.raises(Late):
        await identities.of(wrong, 0.1)
    maker.go.set()
    await until(lambda: not identities._turn.locked())
    assert await identities.of(good, 10) is not None
