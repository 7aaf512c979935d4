"""The panel wired from its parts, for the console's process."""

from __future__ import annotations

from collections.abc import Iterable

from aiohttp import web

from hookline.console.http.idempotency import Idempotency
from hookline.console.http.routes import Route
from hookline.console.panel.application import Panel
from hookline.console.panel.config import PanelConfig
from hookline.console.panel.cookies import Cookies
from hookline.console.panel.first_run import link
from hookline.console.panel.services import BRIEFLY_S, DispatcherSettings, Services, first_run_token
from hookline.console.panel.table import PAGES
from hookline.console.parts import Parts
from hookline.console.sessions import Sessions
from hookline.console.signin import SignIn
from hookline.console.users_log import UsersLog
from hookline.console.users_passwords import Passwords
from hookline.console.users_writer import UserWriter
from hookline.kernel.log import logger

_log = logger("console")


class PanelParts:
    """The panel's own parts: `start` reads the users, `mount` adds the pages, `stop` ends the following."""

    def __init__(self, parts: Parts, routes: Iterable[Route], config: PanelConfig, dispatchers: DispatcherSettings, secret: bytes) -> None:
        passwords = Passwords()
        self._users = UsersLog(parts.kafka, parts.topics, parts.codec)
        self._config = config
        self._services = Services(
            parts=parts,
            routes={route.name: route for route in routes},
            users=self._users,
            writer=UserWriter(self._users, passwords, parts.clock),
            sessions=Sessions(self._users, secret, config.limits, parts.clock),
            sign_in=SignIn(self._users, passwords, parts.clock),
            cookies=Cookies(secure=config.secure),
            config=config,
            dispatchers=dispatchers,
            first_run=first_run_token(secret),
            once=Idempotency(parts.clock),
            once_briefly=Idempotency(parts.clock, BRIEFLY_S),
        )

    def start(self) -> None:
        """Read the users, and follow; raise `BrokerError`."""
        self._users.start()

    def stop(self) -> None:
        """Stop following the users."""
        self._users.stop()

    def mount(self, app: web.Application) -> None:
        """Add the pages to the root application; call it after everything else is mounted."""
        Panel(self._services, PAGES).mount(app)

    def announce(self, port: int) -> None:
        """Say where the panel is, and while there are no users, the one-time link that makes the first operator."""
        base = self._config.url or f"http://127.0.0.1:{port}"
        if self._users.users():
            _log.info("panel.listening", url=base)
        else:
            _log.warning("panel.first_run", url=link(base, self._services.first_run), remedy="Open it once to make the operator.")
