"""What the tests of deploy/ take from their neighbours: a receiver, a ClickHouse server."""

from __future__ import annotations

from tests.analytics.conftest import server
from tests.console.conftest import receiver

__all__ = ["receiver", "server"]
