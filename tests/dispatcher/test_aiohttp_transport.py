"""The transport on aiohttp keeps the contract."""

from __future__ import annotations

import ssl

import pytest

from hookline.dispatcher.transport.aiohttp_transport import AiohttpTransport
from hookline.dispatcher.transport.contract import Transport
from hookline.webhooks.urls import UrlPolicy
from tests.dispatcher.transport_conformance import Conformance

pytestmark = pytest.mark.unit


class TestAiohttpTransport(Conformance):
    """The whole suite."""

    def make(self, policy: UrlPolicy, tls: ssl.SSLContext | None = None) -> Transport:
        """Return the transport on aiohttp."""
        return AiohttpTransport(policy, tls)
