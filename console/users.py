"""The people who may sign in to the panel: who they are, what they may do."""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final, Self

from hookline.console.http.routes import ALL_STORES, OPERATOR, Caller
from hookline.kernel.errors import InputError
from hookline.schemas.events import check_id

SUBJECT: Final = "hookline.User"
_LOGIN: Final = re.compile(r"[a-z0-9][a-z0-9._%+@-]{0,62}[a-z0-9]\Z")
_NAME_CHARACTERS: Final = 80


class Role(StrEnum):
    """What a person may do: `OPERATOR` everything in every store, `ADMIN` everything in one, `VIEWER` look at one."""

    OPERATOR = "operator"
    ADMIN = "admin"
    VIEWER = "viewer"


_SCOPES: Final[Mapping[Role, frozenset[str]]] = {
    Role.OPERATOR: frozenset({OPERATOR}),
    Role.ADMIN: frozenset({"admin"}),
    Role.VIEWER: frozenset({"hooks:read", "results:read"}),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class User:
    """A person's whole state; times are microseconds since the epoch, 0 where there is none; the rest is told in `user.avsc`."""

    id: str
    login: str
    name: str
    role: Role
    store_id: str = ALL_STORES
    password: str = ""
    password_at_us: int = 0
    link: bytes = b""
    link_expires_at_us: int = 0
    disabled_at_us: int = 0
    sessions_after_us: int = 0
    created_at_us: int
    updated_at_us: int = 0
    version: int = 1
    write_id: str = ""

    @property
    def shown_name(self) -> str:
        """What the person is called."""
        return self.name or self.login

    @property
    def caller(self) -> Caller:
        """Who asks, as the API's routes know callers."""
        return Caller(actor=f"user:{self.id}", store_id=self.store_id, scopes=_SCOPES[self.role])

    def opened_by(self, token: str, now_us: int) -> bool:
        """Tell whether a one-time link's token is this person's, and still good."""
        return bool(self.link) and now_us < self.link_expires_at_us and hmac.compare_digest(self.link, token_digest(token))

    @classmethod
    def from_datum(cls, datum: Mapping[str, Any]) -> Self:
        """Return the user of an Avro datum; raise `ValueError` for an unknown role."""
        return cls(**{**datum, "role": Role(datum["role"])})


def token_digest(token: str) -> bytes:
    """Return what is kept of a one-time link's token. A fast hash is right: there are 256 random bits to guess."""
    return hashlib.sha256(token.encode("utf-8", "replace")).digest()


def checked_login(text: str) -> str:
    """Return a login in the form that is kept; raise `InputError`."""
    found = text.strip().lower()
    if not _LOGIN.match(found):
        raise InputError(
            "The login must be 2 to 64 characters of a-z 0-9 . _ % + @ -, beginning and ending with a letter or digit",
            field="login",
            remedy="An e-mail address is a good one.",
        )
    return found


def checked_name(text: str) -> str:
    """Return a name without spaces around it; raise `InputError`."""
    found = text.strip()
    if len(found) > _NAME_CHARACTERS or not (found.isprintable() or not found):
        raise InputError(f"The name must be at most {_NAME_CHARACTERS} printable characters", field="name")
    return found


def checked_role(text: str) -> Role:
    """Return a role; raise `InputError`."""
    try:
        return Role(text)
    except ValueError as error:
        raise InputError(f"{text[:40]!r} is no role", field="role", remedy=f"Roles: {', '.join(str(role) for role in Role)}.") from error


def checked_store(role: Role, store_id: str) -> str:
    """Return the store of a person: one for admins and viewers, none for operators; raise `InputError`."""
    if role is Role.OPERATOR:
        if store_id:
            raise InputError("An operator belongs to no store", field="store", remedy="Leave the store out, or choose another role.")
        return ALL_STORES
    if not store_id:
        raise InputError(f"A {role} needs a store", field="store")
    return check_id(store_id, "store")
