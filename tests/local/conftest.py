"""What the tests of the local stack share."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest


@pytest.fixture
def until() -> Callable[..., None]:
    """Give tests a function that waits until a condition holds, and fails the test with its name when it does not in time."""

    def wait(condition: Callable[[], object], timeout_s: float = 60.0, what: str = "the condition") -> None:
        deadline = time.monotonic() + timeout_s
        while not condition():
            if time.monotonic() > deadline:
                pytest.fail(f"not in {timeout_s:g} s: {what}")
            time.sleep(0.05)

    return wait
