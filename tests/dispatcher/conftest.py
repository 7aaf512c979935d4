"""What the dispatcher's tests share."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping

import pytest
import uvloop


def pytest_asyncio_loop_factories(item: pytest.Item) -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    """Run the suites of transports on asyncio's own loop and on the one that processes run on, the rest on the former."""
    both = getattr(getattr(item, "cls", None), "both_loops", False)
    return {"asyncio": asyncio.new_event_loop} | ({"uvloop": uvloop.new_event_loop} if both else {})
