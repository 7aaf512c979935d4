"""Hookline's own sender keeps the contract."""

from __future__ import annotations

import ssl
from collections.abc import Callable

import pytest

from hookline.dispatcher.transport.contract import Transport
from hookline.dispatcher.transport.native_transport import NativeTransport
from hookline.dispatcher.transport.tls import tls_context
from hookline.webhooks.urls import UrlPolicy
from tests.dispatcher.transport_conformance import Conformance

pytestmark = pytest.mark.unit


class TestNativeTransport(Conformance):
    """The whole suite."""

    def make(self, policy: UrlPolicy, tls: Callable[[], ssl.SSLContext] = tls_context) -> Transport:
        """Return the sender."""
        return NativeTransport(policy, tls)
