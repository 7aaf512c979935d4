"""What the panel's pages work with, beyond what the API's handlers do."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from hookline.console.http.idempotency import Idempotency
from hookline.console.http.routes import Route
from hookline.console.panel.config import PanelConfig
from hookline.console.panel.cookies import Cookies
from hookline.console.parts import Parts
from hookline.console.sessions import Sessions
from hookline.console.signin import SignIn
from hookline.console.users_log import UsersLog
from hookline.console.users_writer import UserWriter
from hookline.dispatcher.config import DispatchConfig
from hookline.dispatcher.lanes import LaneConfig
from hookline.dispatcher.outcome import SCHEDULES
from hookline.kernel.config import load

WELCOME: Final = "welcome"
BRIEFLY_S: Final = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class DispatcherSettings:
    """What the panel tells of the dispatchers: their settings, as the console's own environment has them."""

    lanes: LaneConfig
    dispatch: DispatchConfig

    @classmethod
    def read(cls, environ: Mapping[str, str]) -> DispatcherSettings:
        """Return the settings; raise `ConfigError`."""
        return cls(lanes=load(LaneConfig, environ), dispatch=load(DispatchConfig, environ))

    @property
    def schedules(self) -> Mapping[str, tuple[float, ...]]:
        """The schedules that a webhook may choose: name to the pauses between attempts, in seconds."""
        return {**SCHEDULES, "default": self.dispatch.schedule_s}


@dataclass(frozen=True, slots=True, kw_only=True)
class Services:
    """The parts.

    `users` is read in memory from any thread; `writer` and what changes `sessions` only in `Work.CHANGES`, `sign_in` by
    `passwords.py` alone. `routes` are the API's by name. `dispatchers` tell when breakers open and how calls are tried again.
    `first_run` is the token of the link that makes the first operator. `once` remembers
    what forms made, `once_briefly` what receivers said to tests, which may name a person who is erased later: for `BRIEFLY_S` seconds. Both
    are used on the event loop.
    """

    parts: Parts
    routes: Mapping[str, Route]
    users: UsersLog
    writer: UserWriter
    sessions: Sessions
    sign_in: SignIn
    cookies: Cookies
    config: PanelConfig
    dispatchers: DispatcherSettings
    first_run: str
    once: Idempotency
    once_briefly: Idempotency


def first_run_token(secret: bytes) -> str:
    """Return the token that makes the first operator: whoever has the installation's secret can tell it, and nobody else.

    It is the same in every process, so that `hookline up` can print the link that the console takes; it is good until there is a user.
    """
    return hmac.new(secret, b"hookline first operator", hashlib.sha256).hexdigest()[:40]
