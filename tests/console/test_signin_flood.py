"""One address guesses passwords over many connections: everybody else signs in, and whoever is signed in is asked again, as ever."""

from __future__ import annotations

import http.client
import os
import re
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlencode

import pytest

pytestmark = [pytest.mark.kafka, pytest.mark.process, pytest.mark.clickhouse]

LOGIN: Final = "operator@example.com"
PASSWORD: Final = "seven wet otters sing 48"
CONNECTIONS: Final = 40
PAUSE_S: Final = 0.3
SOON_S: Final = 5.0
_TOKEN: Final = re.compile(rb'name="token" value="([^"]+)"')


@dataclass
class Browser:
    """Sends forms from one address, over one connection, with the cookies that it was given."""

    port: int
    source: str
    cookies: dict[str, str] = field(default_factory=dict)
    token: str = ""
    _connection: http.client.HTTPConnection | None = None

    def open(self, path: str) -> None:
        """Look at a page with a form, and keep the form's token."""
        status, body = self._send("GET", path)
        found = _TOKEN.search(body)
        assert found is not None, (status, path)
        self.token = found[1].decode()

    def post(self, path: str, **fields: str) -> int:
        """Send the form; return the status."""
        return self._send("POST", path, urlencode({"token": self.token, **fields}))[0]

    def close(self) -> None:
        """Hang up."""
        if self._connection is not None:
            self._connection.close()

    def _send(self, method: str, path: str, body: str | None = None) -> tuple[int, bytes]:
        if self._connection is None:
            self._connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60, source_address=(self.source, 0))
        headers = {"Cookie": "; ".join(f"{name}={value}" for name, value in self.cookies.items())}
        if body is not None:
            headers["Content-Type"] = "application/x-www-form-urlencoded"
        self._connection.request(method, path, body, headers)
        answer = self._connection.getresponse()
        for name, value in answer.getheaders():
            if name.lower() == "set-cookie":
                kept, _, rest = value.partition("=")
                self.cookies[kept] = rest.partition(";")[0]
        return answer.status, answer.read()


@contextmanager
def guessing(port: int, source: str) -> Iterator[Counter[int]]:
    """Guess passwords over `CONNECTIONS` connections of one address; yield the statuses that came, which are counted on."""
    first = Browser(port, source)
    first.open("/sign-in")
    told: Counter[int] = Counter()
    over = threading.Event()

    def guess(number: int) -> None:
        browser = Browser(port, source, dict(first.cookies), first.token)
        while not over.is_set():
            told[browser.post("/sign-in", login=f"user{number}@example.com", password="wrong horse battery")] += 1
            over.wait(PAUSE_S)
        browser.close()

    threads = [threading.Thread(target=guess, args=(number,)) for number in range(CONNECTIONS)]
    for thread in threads:
        thread.start()
    try:
        yield told
    finally:
        over.set()
        for thread in threads:
            thread.join(60)
        first.close()


def timed(browser: Browser, path: str, **fields: str) -> tuple[int, float]:
    """Send a form; return the status, and how many seconds it took."""
    began = time.monotonic()
    return browser.post(path, **fields), time.monotonic() - began


def test_one_address_that_guesses_keeps_nobody_out(
    kafka_environ: dict[str, str], tmp_path: Path, console_alone: Callable[..., Any]
) -> None:
    """While it does, on a machine of one core, the right password from another address and `/confirm` both pass within 5 s, each time."""
    with console_alone(kafka_environ, tmp_path) as (port, process):
        found = re.search(rb"/welcome/([0-9a-f]+)", (tmp_path / "console.log").read_bytes())
        assert found is not None
        operator = Browser(port, "127.0.0.11")
        operator.open(f"/welcome/{found[1].decode()}")
        assert operator.post(f"/welcome/{found[1].decode()}", login=LOGIN, name="Olga", password=PASSWORD, again=PASSWORD) == 303
        for thread in Path(f"/proc/{process.pid}/task").iterdir():
            os.sched_setaffinity(int(thread.name), {min(os.sched_getaffinity(0))})
        with guessing(port, "127.0.0.66") as told:
            time.sleep(1)
            came = []
            for _ in range(5):
                other = Browser(port, "127.0.0.12")
                other.open("/sign-in")
                came.append(("sign-in", *timed(other, "/sign-in", login=LOGIN, password=PASSWORD)))
                other.close()
                operator.open("/confirm")
                came.append(("confirm", *timed(operator, "/confirm", password=PASSWORD)))
        operator.close()
    assert [(what, status) for what, status, _ in came] == [("sign-in", 303), ("confirm", 303)] * 5, came
    assert max(took for *_, took in came) < SOON_S, came
    assert set(told) <= {401, 429}, told
    assert told[429] > told[401], told
