"""Changing users: who is let in, with what password, and who no longer is."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final, Protocol

from hookline.console.users import Role, User, checked_login, checked_name, checked_role, checked_store, token_digest
from hookline.console.users_passwords import Passwords
from hookline.kernel.clock import Clock, to_us
from hookline.kernel.errors import BrokerUnavailable, Conflict, InputError, LimitExceeded, NotFound
from hookline.schemas.events import new_id

LINK_LIVES_S: Final = 3_600
INVITATION_LIVES_S: Final = 3 * 86_400
MOST: Final = 1_000
_SECOND_US: Final = 1_000_000


class UserLog(Protocol):
    """Where users are kept."""

    def catch_up(self) -> bool:
        """Apply all that was acknowledged before this call."""

    def user(self, user_id: str) -> User | None:
        """Return a user by id."""

    def by_login(self, login: str) -> User | None:
        """Return a user by login."""

    def users(self) -> list[User]:
        """Return everybody."""

    def write(self, user: User) -> User:
        """Keep a user's next state."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NewUser:
    """Who is to be let in."""

    login: str
    name: str = ""
    role: str = Role.ADMIN
    store_id: str = ""


class UserWriter:
    """Creates, changes and disables users. One thread at a time; hashing a password takes it 50 to 200 ms.

    A person gets a one-time link and chooses the password with it; nobody else ever knows one.
    """

    def __init__(self, log: UserLog, passwords: Passwords, clock: Clock) -> None:
        self._log = log
        self._passwords = passwords
        self._clock = clock

    def invite(self, new: NewUser) -> tuple[User, str]:
        """Return a new user without a password, and the token of the link that sets it; raise `InputError`, `Conflict`, `BrokerError`."""
        user = self._new(new)
        token = secrets.token_urlsafe(32)
        return self._log.write(replace(user, link=token_digest(token), link_expires_at_us=self._in(INVITATION_LIVES_S))), token

    def create(self, new: NewUser, password: str) -> User:
        """Return a new user who may sign in at once; raise as `invite` does."""
        user = self._new(new)
        hashed = self._passwords.hash(password, user.login, user.name)
        return self._log.write(replace(user, password=hashed, password_at_us=user.created_at_us))

    def create_first(self, new: NewUser, password: str) -> User:
        """Return the first operator; raise `Conflict` when there is anybody already."""
        self._catch_up()
        if self._log.users():
            raise Conflict("Hookline is set up already", remedy="Sign in, or ask an operator for a link.")
        return self.create(replace(new, role=Role.OPERATOR, store_id=""), password)

    def reset(self, user_id: str) -> tuple[User, str]:
        """Void somebody's password, end their sessions, and return the token of a link that sets a new one."""
        token = secrets.token_urlsafe(32)

        def changed(user: User) -> User:
            return replace(
                user,
                password="",  # nobody's: none is taken until the link is used
                link=token_digest(token),
                link_expires_at_us=self._in(LINK_LIVES_S),
                sessions_after_us=self._in(0),
            )

        return self._change(user_id, changed), token

    def claim(self, token: str, password: str) -> User:
        """Set the password of whom a one-time link is for; the link is used up, and older sessions end. Raises `NotFound`, `InputError`."""
        found = self.claimant(token)
        hashed = self._passwords.hash(password, found.login, found.name)
        return self._change(found.id, lambda user: self._with_password(user, hashed, token))

    def claimant(self, token: str) -> User:
        """Return whom a one-time link is for; raise `NotFound` when it was used, has expired, or never was one."""
        self._catch_up()
        now_us = self._in(0)
        found = next((user for user in self._log.users() if user.opened_by(token, now_us) and not user.disabled_at_us), None)
        if found is None:
            raise NotFound("This link was used already, or is too old", remedy="Ask an operator, or your store's admin, for a new one.")
        return found

    def set_password(self, user_id: str, password: str) -> User:
        """Replace a password on its owner's word; all sessions end."""
        found = self._known(user_id)
        hashed = self._passwords.hash(password, found.login, found.name)
        return self._change(user_id, lambda user: self._with_password(user, hashed, ""))

    def rename(self, user_id: str, name: str) -> User:
        """Change what somebody is called."""
        shown = checked_name(name)
        return self._change(user_id, lambda user: replace(user, name=shown))

    def disable(self, user_id: str) -> User:
        """Let somebody in no more, and end their sessions; raise `Conflict` for the last operator."""
        return self._change(user_id, self._disabled)

    def enable(self, user_id: str) -> User:
        """Let somebody in again."""
        return self._change(user_id, lambda user: replace(user, disabled_at_us=0))

    # ---- the steps ----

    def _new(self, new: NewUser) -> User:
        self._catch_up()
        role, login = checked_role(new.role), checked_login(new.login)
        if self._log.by_login(login) is not None:
            raise Conflict(
                f"The login {login} is taken", field="login", remedy="Choose another one. For a user of this store make a new link."
            )
        if len(self._log.users()) >= MOST:
            raise LimitExceeded(f"There are {MOST:,} users already", field="login")
        now_us = self._in(0)
        return User(
            id=new_id("usr"),
            login=login,
            name=checked_name(new.name),
            role=role,
            store_id=checked_store(role, new.store_id.strip()),
            created_at_us=now_us,
            updated_at_us=now_us,
        )

    def _with_password(self, user: User, hashed: str, token: str) -> User:
        now_us = self._in(0)
        if token and not user.opened_by(token, now_us):
            raise NotFound("This link was used already")
        return replace(user, password=hashed, password_at_us=now_us, link=b"", link_expires_at_us=0, sessions_after_us=now_us)

    def _disabled(self, user: User) -> User:
        others = [one for one in self._log.users() if one.role is Role.OPERATOR and not one.disabled_at_us and one.id != user.id]
        if user.role is Role.OPERATOR and not others:
            raise Conflict("This is the last operator", field="id", remedy="Invite another operator first.")
        now_us = self._in(0)
        return replace(user, disabled_at_us=user.disabled_at_us or now_us, sessions_after_us=now_us, link=b"", link_expires_at_us=0)

    def _change(self, user_id: str, changed: Callable[[User], User]) -> User:
        self._catch_up()
        known = self._known(user_id)
        return self._log.write(replace(changed(known), version=known.version + 1, updated_at_us=self._in(0)))

    def _known(self, user_id: str) -> User:
        found = self._log.user(user_id)
        if found is None:
            raise NotFound("There is no such user", field="id", remedy="`hookline users list` shows them.")
        return found

    def _catch_up(self) -> None:
        if not self._log.catch_up():
            raise BrokerUnavailable("The users could not be read to their end", remedy="Check the broker and try again.")

    def _in(self, seconds: float) -> int:
        return to_us(self._clock.now()) + int(seconds * _SECOND_US)


def check_same(password: str, again: str) -> None:
    """Raise `InputError` unless the password was typed the same twice."""
    if password != again:
        raise InputError("The two passwords are not the same", field="again")
