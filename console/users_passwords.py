"""Passwords: which ones are taken, and the slow hash that is all that is kept of them."""

from __future__ import annotations

from typing import Final

from argon2 import PasswordHasher
from argon2.exceptions import Argon2Error, InvalidHashError
from argon2.profiles import RFC_9106_LOW_MEMORY

from hookline.kernel.errors import InputError

LEAST: Final = 12
MOST: Final = 256
_LEAST_DIFFERENT: Final = 6
_COMMON: Final = ("password", "passwort", "hookline", "123456", "qwert", "letmein", "welcome", "changeme", "webhook")


class Passwords:
    """Hashes and verifies with Argon2id (RFC 9106's second choice: 64 MiB, 3 passes, 4 lanes). Thread-safe; 50 to 200 ms each."""

    def __init__(self) -> None:
        self._hasher = PasswordHasher.from_parameters(RFC_9106_LOW_MEMORY)
        self._nobody = self._hasher.hash("there is no such person")

    def hash(self, password: str, *about: str) -> str:
        """Return what is kept of a password; raise `InputError` for one that is easily guessed. `about` are the person's login and name."""
        _check(password, about)
        return self._hasher.hash(password)

    def verify(self, kept: str, password: str) -> bool:
        """Tell whether a password is right; for nobody's (an empty `kept`) it takes as long, and is not."""
        try:
            return self._hasher.verify(kept or self._nobody, password[: MOST + 1]) and bool(kept)
        except (Argon2Error, InvalidHashError):
            return False


def _check(password: str, about: tuple[str, ...]) -> None:
    remedy = "Four or five words that do not belong together are easy to remember and hard to guess."
    if len(password) < LEAST:
        raise InputError(f"The password must have at least {LEAST} characters", field="password", remedy=remedy)
    if len(password) > MOST or "\0" in password:
        raise InputError(f"The password must have at most {MOST} characters", field="password")
    rest = password.lower()
    for known in (*_COMMON, *(part for text in about for part in text.lower().replace("@", " ").replace(".", " ").split())):
        rest = rest.replace(known, "")
    if len(set(rest)) < _LEAST_DIFFERENT:
        raise InputError("The password is easy to guess", field="password", remedy=remedy)
