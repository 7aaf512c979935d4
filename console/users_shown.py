"""How users look to those who may see them, and to the audit: without what lets anybody in."""

from __future__ import annotations

from typing import Literal

from hookline.console.http.models import Model, Time, time_of
from hookline.console.users import User

UserState = Literal["enabled", "invited", "no-password", "disabled"]


class UserShown(Model):
    """A person who may sign in, or may not any more."""

    id: str
    login: str
    name: str
    role: str
    store_id: str
    state: UserState
    created_at: Time | None


def state_of(user: User, now_us: int) -> UserState:
    """Return whether somebody may sign in: `invited` has a link that sets the password, `no-password` has none that is good any more."""
    if user.disabled_at_us:
        return "disabled"
    if user.password:
        return "enabled"
    return "invited" if user.link and now_us < user.link_expires_at_us else "no-password"


def shown(user: User, now_us: int) -> UserShown:
    """Return how a user looks; `now_us` is the time, in microseconds since the epoch."""
    return UserShown(
        id=user.id,
        login=user.login,
        name=user.name,
        role=str(user.role),
        store_id=user.store_id,
        state=state_of(user, now_us),
        created_at=time_of(user.created_at_us),
    )
