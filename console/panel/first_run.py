"""The one-time links of the panel: where they lead, and the one that makes the first operator."""

from __future__ import annotations

from aiohttp import web

from hookline.console.config import ConsoleConfig
from hookline.console.panel.config import PanelConfig
from hookline.console.panel.services import WELCOME, first_run_token
from hookline.console.users_log import UsersLog
from hookline.kernel.kafka import KafkaConfig
from hookline.schemas.topics import Topics
from hookline.schemas.wire import Codec


def link(base: str, token: str) -> str:
    """Return the address at which whoever has a token chooses a password; `base` is the console's address."""
    return f"{base}/{WELCOME}/{token}"


def base_of(panel: PanelConfig, console: ConsoleConfig) -> str:
    """Return the console's address as its settings have it: the one that browsers see, else this machine's."""
    return panel.url or f"http://127.0.0.1:{console.port}"


def origin_of(panel: PanelConfig, request: web.BaseRequest) -> str:
    """Return the console's address for whoever sent a request: the configured one, else the one they have found it at."""
    return panel.url or f"{request.scheme}://{request.host}"


def first_link(config: KafkaConfig, codec: Codec, secret: bytes, base: str) -> str:
    """Return the link that makes the first operator, empty once there is somebody; raise `BrokerError`."""
    users = UsersLog(config, Topics(config.topic_prefix), codec)
    users.start()
    try:
        return "" if users.users() else link(base, first_run_token(secret))
    finally:
        users.stop()
