"""Pages of the admin panel as a browser asks for them: signed in by the one-time link, over one connection."""

from __future__ import annotations

import http.client
import re
import time
from http.cookies import SimpleCookie
from typing import Final
from urllib.parse import urlencode

from benchmarks.statistics import RUNS

_PASSWORD: Final = "seven wet otters sing 48"  # of a process that lives for a minute on loopback
_TOKEN: Final = re.compile(r'name="token" value="([^"]+)"')
_OK: Final = 200


class Visitor:
    """An operator in a browser without scripts."""

    def __init__(self, port: int) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        self._cookies: dict[str, str] = {}

    def settle_in(self, first_run: str) -> None:
        """Make the first operator by the one-time link's token, and be signed in."""
        path = f"/welcome/{first_run}"
        found = _TOKEN.search(self.page(path))
        if found is None:
            raise SystemExit("the first page of the panel has no form")
        form = {"token": found[1], "login": "bench@example.com", "password": _PASSWORD, "again": _PASSWORD}
        self._ask("POST", path, urlencode(form))

    def page(self, path: str) -> str:
        """Return a page that there is."""
        status, text = self._ask("GET", path)
        if status != _OK:
            raise SystemExit(f"GET {path} answered {status}")
        return text

    def ms(self, path: str) -> list[float]:
        """Return the times of several GETs in milliseconds, the first one left out."""
        self.page(path)
        times: list[float] = []
        for _ in range(RUNS):
            began = time.perf_counter()
            self.page(path)
            times.append((time.perf_counter() - began) * 1e3)
        return times

    def _ask(self, method: str, path: str, body: str | None = None) -> tuple[int, str]:
        headers = {"Cookie": "; ".join(f"{name}={value}" for name, value in self._cookies.items()), "Accept": "text/html"}
        if body is not None:
            headers |= {"Content-Type": "application/x-www-form-urlencoded", "Sec-Fetch-Site": "same-origin"}
        self._connection.request(method, path, body, headers)
        answer = self._connection.getresponse()
        for text in answer.msg.get_all("Set-Cookie", []):
            self._cookies |= {name: one.value for name, one in SimpleCookie(text).items()}
        return answer.status, answer.read().decode()


def pages(store: str, busy: str) -> dict[str, str]:
    """Return the pages to ask for, by name; `busy` is the webhook with most attempts."""
    return {
        "panel_overview": f"/s/{store}",
        "panel_webhooks": f"/s/{store}/webhooks",
        "panel_webhook": f"/s/{store}/webhooks/{busy}",
        "panel_log": f"/s/{store}/log",
        "panel_log_filtered": f"/s/{store}/log?outcome=dead",
        "panel_log_rare": f"/s/{store}/log?status=418",
        "panel_dead_letters": f"/s/{store}/dead-letters",
        "panel_catalogue": f"/s/{store}/catalogue",
        "panel_audit": f"/s/{store}/audit",
    }
