"""Sessions of the panel: begun with a password, carried by a cookie, ended by sign-out, idleness, age, or a change of the user.

The cookie is `<secret>.<seen>.<tag>`: 256 random bits, when it was last used in seconds since the epoch, and an HMAC over both.
The session itself lies on the users topic under the secret's digest, so that a restart loses none, every console knows all of
them, and whoever reads the topic can become nobody. The tag is what makes `seen` believable without a write per request.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
from dataclasses import dataclass
from typing import Final, Protocol

from hookline.console.users import User
from hookline.kernel.clock import Clock, to_us

SESSION_SUBJECT: Final = "hookline.Session"
MOST_PER_USER: Final = 20
_SECRET_CHARACTERS: Final = 43
_TAG_CHARACTERS: Final = 22
_SECOND_US: Final = 1_000_000
_MOST_DIGITS: Final = 11
_RENEW_S: Final = 60
_TIDIED: Final = 100
_SHOWN: Final = 120


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """A person's presence in one browser; the fields are told in `session.avsc`."""

    id: str
    user_id: str
    login: str
    began_at_us: int
    confirmed_at_us: int
    address: str = ""
    browser: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionLimits:
    """How long sessions live, in seconds: unused, at all, and until the password is asked for again before a grave action."""

    idle_s: float = 1_800.0
    life_s: float = 43_200.0
    confirm_s: float = 900.0


@dataclass(frozen=True, slots=True)
class Presence:
    """A good session, whose it is, and the cookie that is to replace the one that came; empty: that one stays."""

    session: Session
    user: User
    cookie: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """Where somebody signs in from, for the list of their sessions."""

    address: str
    browser: str = ""


class SessionLog(Protocol):
    """Where sessions and users are kept."""

    def user(self, user_id: str) -> User | None:
        """Return a user by id."""

    def session(self, session_id: str) -> Session | None:
        """Return a session that was begun and not ended."""

    def sessions(self) -> list[Session]:
        """Return all of them, the oldest first."""

    def begin(self, session: Session) -> None:
        """Keep a session."""

    def end(self, session_id: str) -> None:
        """Forget a session."""


class Sessions:
    """Begins, recognises and ends sessions. `recognise` only looks into memory; the others write, in the one thread that may."""

    def __init__(self, log: SessionLog, secret: bytes, limits: SessionLimits, clock: Clock) -> None:
        self._log = log
        self._key = hmac.digest(secret, b"hookline sessions", "sha256")
        self._limits = limits
        self._clock = clock

    def begin(self, user: User, origin: Origin) -> str:
        """Return the cookie of a new session of somebody who has just typed the password; the oldest of too many ends."""
        now_us = to_us(self._clock.now())
        self._tidy()
        for old in self.of_user(user.id)[: 1 - MOST_PER_USER]:
            self._log.end(old.id)
        return self._begin(user, origin, began_at_us=now_us)

    def confirm(self, session: Session, user: User, origin: Origin) -> str:
        """Return the cookie that replaces a session's, after the password was typed again; the old one is good no more."""
        cookie = self._begin(user, origin, began_at_us=session.began_at_us)
        self._log.end(session.id)
        return cookie

    def end(self, session_id: str) -> None:
        """End a session; ending it twice changes nothing."""
        if self._log.session(session_id) is not None:
            self._log.end(session_id)

    def of_user(self, user_id: str) -> list[Session]:
        """Return somebody's sessions that are not too old, the oldest first."""
        return [session for session in self._log.sessions() if session.user_id == user_id and self._alive(session)]

    def open_of(self, user: User) -> list[Session]:
        """Return those of somebody's sessions that still let them in, unless they lie unused, the oldest first."""
        return [session for session in self.of_user(user.id) if self._good(session, user)]

    def issued(self, cookie: str) -> bool:
        """Tell whether a cookie is one of ours, whatever became of its session."""
        return self._opened(cookie) is not None

    def recognise(self, cookie: str) -> Presence | None:
        """Return whose good session a cookie is of, None for any other text."""
        opened = self._opened(cookie)
        if opened is None:
            return None
        secret, seen_s = opened
        now_s = int(self._clock.now().timestamp())
        session = self._log.session(_id_of(secret))
        user = self._log.user(session.user_id) if session is not None else None
        if session is None or user is None or now_s - seen_s > self._limits.idle_s or not self._good(session, user):
            return None
        return Presence(session, user, self._sealed(secret, now_s) if now_s - seen_s >= _RENEW_S else "")

    def fresh(self, session: Session) -> bool:
        """Tell whether the password was typed so lately that a grave action need not ask for it."""
        return to_us(self._clock.now()) - session.confirmed_at_us < self._limits.confirm_s * _SECOND_US

    def token(self, bound_to: str) -> str:
        """Return what a form must bring back: known to nobody who does not know what it is bound to and our secret."""
        return _encoded(hmac.digest(self._key, f"form {bound_to}".encode("utf-8", "replace"), "sha256"))

    def token_fits(self, token: str, bound_to: str) -> bool:
        """Tell whether a form brought the token that was put into it."""
        return hmac.compare_digest(token.encode("utf-8", "replace"), self.token(bound_to).encode())

    def _begin(self, user: User, origin: Origin, *, began_at_us: int) -> str:
        now = self._clock.now()
        secret = secrets.token_urlsafe(32)
        session = Session(
            id=_id_of(secret),
            user_id=user.id,
            login=user.login,
            began_at_us=began_at_us,
            confirmed_at_us=to_us(now),
            address=_shown(origin.address),
            browser=_shown(origin.browser),
        )
        self._log.begin(session)
        return self._sealed(secret, int(now.timestamp()))

    def _alive(self, session: Session) -> bool:
        return to_us(self._clock.now()) - session.began_at_us <= self._limits.life_s * _SECOND_US

    def _good(self, session: Session, user: User) -> bool:
        return self._alive(session) and not user.disabled_at_us and session.began_at_us >= user.sessions_after_us

    def _tidy(self) -> None:
        """Forget sessions that nobody can use any more."""
        for session in [session for session in self._log.sessions() if not self._alive(session)][:_TIDIED]:
            self._log.end(session.id)

    def _sealed(self, secret: str, seen_s: int) -> str:
        return f"{secret}.{seen_s}.{self._tag(secret, str(seen_s))}"

    def _opened(self, cookie: str) -> tuple[str, int] | None:
        parts = cookie.split(".")
        if len(parts) != 3 or not cookie.isascii():  # noqa: PLR2004  # secret, seen, tag
            return None
        secret, seen, tag = parts
        shaped = len(secret) == _SECRET_CHARACTERS and seen.isdigit() and len(seen) <= _MOST_DIGITS
        if not shaped or not hmac.compare_digest(tag, self._tag(secret, seen)):
            return None
        return secret, int(seen)

    def _tag(self, secret: str, seen: str) -> str:
        return _encoded(hmac.digest(self._key, f"seen {secret}.{seen}".encode(), "sha256"))[:_TAG_CHARACTERS]


def _id_of(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()


def _shown(text: str) -> str:
    """Return what a topic takes of a header: the bytes of one that is no UTF-8 come as halves of letters, which cannot be written."""
    return text[:_SHOWN].encode("utf-8", "replace").decode()


def _encoded(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")
