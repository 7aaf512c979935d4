"""An API key that another process made a moment ago."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from aiohttp.test_utils import make_mocked_request

from hookline.console.http.access import Access
from hookline.kernel.clock import SystemClock
from hookline.kernel.errors import Unauthorized
from hookline.producers.api_keys import ApiKey, compose

pytestmark = pytest.mark.unit

KEY = compose("aaaaaaaaaaaa", b"\1" * 32)


class LateKeys:
    """Keys of which one is known only after a look at Kafka."""

    def __init__(self, *coming: str) -> None:
        self.coming = coming
        self.known: tuple[str, ...] = ()
        self.looks = 0

    def may_be_new(self, key: str) -> bool:
        """Tell whether a key is well formed and not known."""
        return key.startswith("hlk_") and key not in self.known

    def catch_up(self) -> bool:
        """Know what is on Kafka."""
        self.looks += 1
        self.known = self.coming
        return True

    def verify(self, key: str) -> ApiKey:
        """Return a known key."""
        if key not in self.known:
            raise Unauthorized("no such key")
        return ApiKey(id="a", store_id="shop", name="", scopes=("hooks:read",), digest=b"", created_at_us=0)


def access(keys: LateKeys) -> tuple[Access, Any]:
    """Return an access over keys, and a route that needs a scope."""
    config: Any = SimpleNamespace(operator=b"\0" * 32, auth_failures=10)
    given: Any = keys
    return Access(given, config, SystemClock()), SimpleNamespace(scope="hooks:read")


async def test_a_key_is_known_from_its_first_moment_on() -> None:
    """It is looked up on Kafka before it is refused, and not again once it is known."""
    keys = LateKeys(KEY)
    found, route = access(keys)
    for _ in range(3):
        caller = await found.admit(route, make_mocked_request("GET", "/", {"Authorization": f"Bearer {KEY}"}))
        assert caller.store_id == "shop"
    assert keys.looks == 1


@pytest.mark.parametrize(("token", "looks"), [(KEY, 1), ("no-key", 0), ("", 0)])
async def test_a_key_that_is_none_is_refused_all_the_same(token: str, looks: int) -> None:
    """After one look where it is well formed, at once where it is not."""
    keys = LateKeys()
    found, route = access(keys)
    with pytest.raises(Unauthorized):
        await found.admit(route, make_mocked_request("GET", "/", {"Authorization": f"Bearer {token}"}))
    assert keys.looks == looks
