"""Settings of the panel: its address, and how long somebody stays signed in."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import urlsplit

from hookline.console.sessions import SessionLimits
from hookline.kernel.config import number, setting

_MINUTE_S = 60.0
_HOUR_S = 3_600.0


def origin(text: str) -> str:
    """Parse `https://hooks.example.com`, without a path; empty stays empty. Raises `ValueError`."""
    if not text:
        return ""
    parts = urlsplit(text)
    if parts.scheme not in {"http", "https"} or not parts.hostname or parts.path not in {"", "/"} or parts.query or "@" in parts.netloc:
        raise ValueError("must be http:// or https:// and a host, without a path")
    return f"{parts.scheme}://{parts.netloc}"


@dataclass(frozen=True, slots=True, kw_only=True)
class PanelConfig:
    """Where the panel is, and how long its sessions live."""

    url: str = setting(
        "HOOKLINE_CONSOLE_URL",
        "",
        "the console's address, such as https://hooks.example.com: for links, for commands, and for secure cookies where it is https",
        origin,
    )
    idle_min: float = setting("HOOKLINE_PANEL_IDLE_MIN", "30", "minutes after which an unused session of the panel ends", number(1, 1_440))
    session_h: float = setting("HOOKLINE_PANEL_SESSION_H", "12", "hours after which any session of the panel ends", number(0.02, 168))
    confirm_min: float = setting(
        "HOOKLINE_PANEL_CONFIRM_MIN", "15", "minutes until the panel asks for the password again before a grave action", number(0, 1_440)
    )

    @property
    def secure(self) -> bool:
        """Whether browsers come over TLS."""
        return self.url.startswith("https://")

    @property
    def limits(self) -> SessionLimits:
        """The same in seconds, for sessions."""
        return SessionLimits(idle_s=self.idle_min * _MINUTE_S, life_s=self.session_h * _HOUR_S, confirm_s=self.confirm_min * _MINUTE_S)
