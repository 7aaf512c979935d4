"""Signing in: the right password, at the right pace."""

from __future__ import annotations

import math
import threading
from collections import OrderedDict
from dataclasses import dataclass
from typing import Final

from hookline.console.http.problems import Code, Refused
from hookline.console.http.throttle import Throttle
from hookline.console.users import User
from hookline.console.users_log import UsersLog
from hookline.console.users_passwords import Passwords
from hookline.kernel.clock import Clock
from hookline.kernel.errors import Unauthorized
from hookline.producers.ingest.door import network_of

_FREE_OF_LOGIN: Final = 4
_FREE_OF_ADDRESS: Final = 20
_MOST_WAIT_S: Final = 60.0
_FORGET_S: Final = 900.0
_NAMES: Final = 10_000
_LOOKED_AT_OF_LOGIN: Final = 60
_LOOKED_AT_OF_ADDRESS: Final = 120
"""How many passwords a minute are looked at while their login, or their address, is to wait: guessing has a pace, and so has the hash."""


@dataclass(slots=True)
class _Failures:
    count: int
    until: float
    last: float


class Delays:
    """How long a name is to wait after failures: nothing for the first few, then 2, 4, 8 … 60 s; forgotten after a quarter of an hour.

    Thread-safe.
    """

    def __init__(self, free: int, clock: Clock) -> None:
        self._free = free
        self._clock = clock
        self._names: OrderedDict[str, _Failures] = OrderedDict()
        self._lock = threading.Lock()

    def wait_s(self, name: str) -> float:
        """Return how long the name must still wait, 0 when it need not."""
        with self._lock:
            found = self._names.get(name)
            return max(0.0, found.until - self._clock.monotonic()) if found is not None else 0.0

    def failed(self, name: str) -> None:
        """Count a failure."""
        now = self._clock.monotonic()
        with self._lock:
            found = self._names.pop(name, None)
            count = found.count + 1 if found is not None and now - found.last < _FORGET_S else 1
            wait_s = min(_MOST_WAIT_S, 2.0 ** (count - self._free)) if count > self._free else 0.0
            self._names[name] = _Failures(count, now + wait_s, now)
            if len(self._names) > _NAMES:
                self._names.popitem(last=False)

    def forgive(self, name: str) -> None:
        """Forget a name's failures."""
        with self._lock:
            self._names.pop(name, None)


class SignIn:
    """Checks logins and passwords; `check` takes as long for a login that does not exist. For a thread, at most a few at a time.

    A right password passes however many wrong ones came before: whoever types somebody's login over and over keeps nobody out, and
    behind a proxy everybody comes from one address. Only where they come faster than they are looked at, the right one waits as well.
    """

    def __init__(self, log: UsersLog, passwords: Passwords, clock: Clock) -> None:
        self._log = log
        self._passwords = passwords
        self._logins = Delays(_FREE_OF_LOGIN, clock)
        self._addresses = Delays(_FREE_OF_ADDRESS, clock)
        self._pace_of_logins = Throttle(_LOOKED_AT_OF_LOGIN, clock, "passwords")
        self._pace_of_addresses = Throttle(_LOOKED_AT_OF_ADDRESS, clock, "passwords")

    def check(self, login: str, password: str, address: str) -> User:
        """Return whose password it is; raise `Unauthorized` in the same words for every reason, `Refused` (429) after too many failures."""
        name, network = login.strip().lower()[:100], network_of(address)
        of_login, of_address = self._logins.wait_s(name), self._addresses.wait_s(network)
        wait_s = max(of_login, of_address)
        try:
            if of_login > 0:
                self._pace_of_logins.take(name)
            if of_address > 0:
                self._pace_of_addresses.take(network)
        except Refused:  # in the words that a wrong password gets: the right one may have been among those that nobody looked at
            raise _too_many(wait_s) from None
        return self._verified(name, password, network, wait_s)

    def _verified(self, name: str, password: str, network: str, wait_s: float) -> User:
        user = self._log.by_login(name)
        right = self._passwords.verify(user.password if user is not None else "", password)
        if user is None or not right or user.disabled_at_us:
            self._logins.failed(name)
            self._addresses.failed(network)
            if wait_s > 0:
                raise _too_many(wait_s)
            raise Unauthorized("Login and password do not belong together", remedy="Look for capital letters; an operator can send a link.")
        self._logins.forgive(name)
        return user


def _too_many(wait_s: float) -> Refused:
    return Refused(
        Code.TOO_MANY_FAILURES,
        f"Too many wrong passwords: wait {math.ceil(wait_s)} s",
        remedy="Nothing is locked. If you do not know the password any more, ask an operator for a link.",
        headers={"Retry-After": str(math.ceil(wait_s))},
    )
