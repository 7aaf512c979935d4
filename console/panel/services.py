"""What the panel's pages work with, beyond what the API's handlers do."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from hookline.console.event_samples import EventSamples
from hookline.console.http.idempotency import Idempotency
from hookline.console.http.routes import Route
from hookline.console.panel.config import PanelConfig
from hookline.console.panel.cookies import Cookies
from hookline.console.parts import Parts
from hookline.console.sessions import Sessions
from hookline.console.signin import SignIn
from hookline.console.users_log import UsersLog
from hookline.console.users_writer import UserWriter
from hookline.dispatcher.lanes import LaneConfig

WELCOME: Final = "welcome"


@dataclass(frozen=True, slots=True, kw_only=True)
class Services:
    """The parts.

    `users` is read in memory from any thread; `writer` and what changes `sessions` only in `Work.CHANGES`, `sign_in` only in
    `Work.PASSWORDS`. `routes` are the API's by name. `lanes` are the dispatchers' settings, which tell when their
    breakers open; `samples` reads from Kafka, only in `Work.QUERIES`. `first_run` is the token of the link that makes the first operator.
    `once` remembers what forms made; it is used on the event loop.
    """

    parts: Parts
    routes: Mapping[str, Route]
    users: UsersLog
    writer: UserWriter
    sessions: Sessions
    sign_in: SignIn
    cookies: Cookies
    config: PanelConfig
    lanes: LaneConfig
    samples: EventSamples
    first_run: str
    once: Idempotency


def first_run_token(secret: bytes) -> str:
    """Return the token that makes the first operator: whoever has the installation's secret can tell it, and nobody else.

    It is the same in every process, so that `hookline up` can print the link that the console takes; it is good until there is a user.
    """
    return hmac.new(secret, b"hookline first operator", hashlib.sha256).hexdigest()[:40]
