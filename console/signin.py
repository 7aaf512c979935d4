"""Signing in: the right password, at the right pace."""

from __future__ import annotations

import math
import threading
from collections import OrderedDict
from collections.abc import Iterable
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
_LOOKED_AT_OF_ADDRESS: Final = 20
_LOOKED_AT_OF_SESSION: Final = 20
"""How many wrong passwords a minute are looked at while their login, address or session is to wait: guessing has a pace, and the hash too.

A hash takes half a second where the machine is busy: twenty a minute of one address take a sixth of the thread that checks them.
"""


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


class Pace:
    """The failures of names of one kind, and how many passwords of a name are looked at while it is to wait. Thread-safe, memory only.

    `forgiving`: a right password forgets the failures of its name.
    """

    def __init__(self, free: int, per_min: int, clock: Clock, *, forgiving: bool) -> None:
        self._delays = Delays(free, clock)
        self._looks = Throttle(per_min, clock, "passwords")
        self._forgiving = forgiving

    def wait_s(self, name: str) -> float:
        """Return how long the name must still wait, 0 when it need not."""
        return self._delays.wait_s(name)

    def take(self, name: str) -> bool:
        """Take a look from a name that is to wait; tell whether one was taken; raise `Refused` when none is left."""
        waits = self._delays.wait_s(name) > 0
        if waits:
            self._looks.take(name)
        return waits

    def give_back(self, name: str) -> None:
        """Give a look back that was taken and not used up."""
        self._looks.give_back(name)

    def failed(self, name: str) -> None:
        """Count a wrong password."""
        self._delays.failed(name)

    def passed(self, name: str) -> None:
        """Note a right one."""
        if self._forgiving:
            self._delays.forgive(name)


@dataclass(frozen=True, slots=True)
class Guess:
    """A password that may be looked at: of which login, by whose paces, which of those gave a look for it, how long they were to wait."""

    login: str
    asked: tuple[tuple[Pace, str], ...]
    taken: tuple[tuple[Pace, str], ...]
    wait_s: float


class SignIn:
    """Checks logins and passwords; takes as long for a login that does not exist. Thread-safe.

    The pace is asked before anything waits for a thread (`admit`, `admit_signed_in`: memory only), so that whoever is refused by it takes
    nobody's place; only then a thread hashes (`verified`). A right password passes however many wrong ones came before: whoever types
    somebody's login over and over keeps nobody out, and an office or a proxy is one address for everybody in it. What is right uses up
    nothing. Only where wrong ones come faster than they are looked at, the right one of the same login or address waits as well; whoever
    is signed in has a pace that nobody outside their session can use up.
    """

    def __init__(self, log: UsersLog, passwords: Passwords, clock: Clock) -> None:
        self._log = log
        self._passwords = passwords
        self._logins = Pace(_FREE_OF_LOGIN, _LOOKED_AT_OF_LOGIN, clock, forgiving=True)
        self._addresses = Pace(_FREE_OF_ADDRESS, _LOOKED_AT_OF_ADDRESS, clock, forgiving=False)
        self._sessions = Pace(_FREE_OF_LOGIN, _LOOKED_AT_OF_SESSION, clock, forgiving=True)

    def admit(self, login: str, address: str) -> Guess:
        """Return what `verified` may look at; raise `Refused` (429) after too many wrong ones of the login or the address."""
        name = login.strip().lower()[:100]
        # The address first: what it may not try uses up nothing of a login that is another's.
        return _admitted(name, ((self._addresses, network_of(address)), (self._logins, name)))

    def admit_signed_in(self, login: str, session_id: str) -> Guess:
        """Return the same for somebody who is signed in and is asked again: what others do at the sign-in does not count here."""
        return _admitted(login, ((self._sessions, session_id),))

    def verified(self, guess: Guess, password: str) -> User:
        """Return whose password it is; raise `Unauthorized` in the same words for every reason, or `Refused`. For a thread: it hashes."""
        user = self._log.by_login(guess.login)
        right = self._passwords.verify(user.password if user is not None else "", password)
        if user is None or not right or user.disabled_at_us:
            for pace, name in guess.asked:
                pace.failed(name)
            if guess.wait_s > 0:
                raise _too_many(guess.wait_s)
            raise Unauthorized("Login and password do not belong together", remedy="Look for capital letters; an operator can send a link.")
        _give_back(guess.taken)
        for pace, name in guess.asked:
            pace.passed(name)
        return user


def _admitted(login: str, asked: tuple[tuple[Pace, str], ...]) -> Guess:
    wait_s = max(pace.wait_s(name) for pace, name in asked)
    taken: list[tuple[Pace, str]] = []
    try:
        for pace, name in asked:
            if pace.take(name):
                taken.append((pace, name))
    except Refused:  # in the words that a wrong password gets: the right one may have been among those that nobody looked at
        _give_back(taken)
        raise _too_many(wait_s) from None
    return Guess(login, asked, tuple(taken), wait_s)


def _give_back(taken: Iterable[tuple[Pace, str]]) -> None:
    for pace, name in taken:
        pace.give_back(name)


def _too_many(wait_s: float) -> Refused:
    return Refused(
        Code.TOO_MANY_FAILURES,
        f"Too many wrong passwords: wait {math.ceil(wait_s)} s",
        remedy="Nothing is locked. If you do not know the password any more, ask an operator for a link.",
        headers={"Retry-After": str(math.ceil(wait_s))},
    )
