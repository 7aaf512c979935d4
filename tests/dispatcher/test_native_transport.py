"""Hookline's own sender keeps the contract."""

from __future__ import annotations

import ssl

import pytest

from hookline.dispatcher.transport.contract import Transport
from hookline.dispatcher.transport.native_transport import NativeTransport
from hookline.webhooks.urls import UrlPolicy
from tests.dispatcher.transport_conformance import Conformance

pytestmark = pytest.mark.unit


class TestNativeTransport(Conformance):
    """The whole suite."""

    def make(self, policy: UrlPolicy, tls: ssl.SSLContext | None = None) -> Transport:
        """Return the sender."""
        return NativeTransport(policy, tls)
