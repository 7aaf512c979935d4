"""Somebody who types what pages say, beside a running `hookline up`, with a receiver that answers."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Final

from tests.docs.pages import ROOT, Command

CLEAN: Final = {
    name: text for name, text in os.environ.items() if not name.startswith(("HOOKLINE_", "KAFKA_", "CLICKHOUSE_", "SCHEMA_REGISTRY_"))
}
ADDRESSES: Final = (
    "http://127.0.0.1:8080/hook",
    "https://hooks.example.com/orders",
    "https://shop.example.com/hooks",
    "https://hooks.slack.com/services/…",
)
"""Whatever address a page gives its webhook is the receiver's here."""
IN_PLACE_OF: Final = {
    "--store my-shop": "--store demo",
    "--duration 30": "--duration 2",
    "--day-in 60": "--day-in 2",
    "day_in_s=60": "day_in_s=2",
    "--events 500": "--events 50",
    "from=2026-11-23T14:00:00Z": "from=" + time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() - 3_600)),
    '"rate": 50': '"rate": 0.1',  # slow enough to be cancelled
}
"""Names of a reader's own, and lengths of time: less of the same."""
ENDLESS: Final = re.compile(r"hookline demo-store(?!.*--(?:duration|day-in|events)\b).*")
"""A shop runs until Ctrl-C, which comes after a few seconds here."""
OUTCOMES: Final = {"delivered", "retrying"}
"""Members that an answer has when there are some."""
PASSING: Final = {("state", "running")}
"""What may be over before it is asked for."""
IN_THE_CHECKOUT: Final = ("make ", "python ")


@dataclass
class Receiver:
    """Keeps every call; answers 200, but 500 under `/broken`."""

    calls: list[tuple[str, dict[str, str], bytes]] = field(default_factory=list)
    url: str = ""


@contextmanager
def receiving() -> Iterator[Receiver]:
    """Give a receiver in a thread."""
    found = Receiver()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            found.calls.append((self.path, {name.lower(): text for name, text in self.headers.items()}, body))
            self.send_response(500 if self.path.startswith("/broken") else 200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Stay silent."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    found.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield found
    server.shutdown()
    server.server_close()
    thread.join(10)


@dataclass
class Reader:
    """Types into a terminal in the folder where `hookline up` runs."""

    folder: Path
    receiver: Receiver
    environ: dict[str, str]
    webhook: str = ""
    """The webhook that a page means by `wh_…`: the one that its commands made last, else the broken one."""
    event: str = ""
    job: str = ""
    broken: str = ""
    strict: str = ""

    @property
    def shared(self) -> dict[str, str]:
        """What the stack tells other terminals."""
        found: dict[str, str] = json.loads((self.folder / ".hookline" / "environment.json").read_text())
        return found

    def sits_down(self, page: str) -> None:
        """Begin with a page: its own terminal, and the webhook that it is about."""
        self.environ |= {"KEY": self.shared["HOOKLINE_API_KEY"], "HOOKLINE": self.shared["HOOKLINE_CONSOLE_URL"] + "/api/v1"}
        self.webhook = self.strict if page == "docs/explain.md" else self.broken

    def type(self, page: str, command: Command) -> str:
        """Type one command and return what it printed; it must succeed, and a request get the status and the members on the page."""
        line = command.line
        name = re.match(r"(?:export )?([A-Z]+)=", line)
        shown = f'; printf %s "${name[1]}"' if name else ""
        asks = "curl() { command curl -w '\\nHTTP %{http_code}\\n' \"$@\"; }\n"
        at = ROOT if line.startswith(IN_THE_CHECKOUT) else self.folder
        done = self.run(["bash", "-c", f"set -o pipefail; {asks}{self._filled(page, line)}{shown}"], at)
        assert done.returncode == 0, f"{line}\n{done.stdout}{done.stderr}"
        assert "command not found" not in done.stderr, f"{line}\n{done.stderr}"
        if name:
            self.environ[name[1]] = done.stdout
        elif "curl " in line:
            assert re.search(rf"^HTTP {command.status or '2..'}$", done.stdout, re.MULTILINE), f"{line}\n{done.stdout}"
        assert [one for one in sorted(command.members - OUTCOMES) if f'"{one}":' not in done.stdout] == [], f"{line}\n{done.stdout}"
        for member, word in command.words - PASSING:
            assert re.search(rf'"{member}": ?"{word}"', done.stdout), f"{line}\n{done.stdout}"
        self._remember(done.stdout)
        return done.stdout

    def run(self, command: list[str], at: Path | None = None) -> subprocess.CompletedProcess[str]:
        """Run a command to its end; whatever it asks is answered with yes."""
        where = at or self.folder
        environ = {**self.environ, "HOOKLINE_STATE_DIR": str(self.folder / ".hookline")}
        return subprocess.run(command, env=environ, cwd=where, input="y\n", capture_output=True, text=True, timeout=120, check=False)

    def json(self, *words: str) -> Any:
        """Return what a hookline command prints as JSON."""
        done = self.run(["hookline", *words, "--json"])
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    def publish(self, event_type: str, data: object) -> str:
        """Publish over HTTP; return the event's id once the answer is 202."""
        request = urllib.request.Request(
            f"{self.shared['HOOKLINE_INGEST_URL']}/api/v1/events",
            json.dumps({"type": event_type, "data": data}).encode(),
            {"Authorization": f"Bearer {self.shared['HOOKLINE_API_KEY']}", "Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request) as answer:
            assert answer.status == 202, event_type
            return str(json.load(answer)["id"])

    def waits_for(self, what: str, look: Callable[[], list[dict[str, Any]]]) -> dict[str, Any]:
        """Return the first row, once there is one."""
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            if rows := look():
                return rows[0]
        message = f"there is no {what}"
        raise AssertionError(message)

    def _letter(self) -> str:
        """Return a dead letter of the broken webhook that waits."""
        return str(self.waits_for("dead letter", lambda: self.json("dead-letters", "list", "--webhook", self.broken))["id"])

    def _delivery(self) -> str:
        """Return a delivery of an event, as the log has it."""
        return str(self.waits_for("delivery of an event", lambda: self.json("log", "--trigger", "event")["data"])["delivery_id"])

    def _filled(self, page: str, line: str) -> str:
        """Return a command with this stack's addresses and ids in place of the page's."""
        for text in ADDRESSES:
            line = line.replace(text, f"{self.receiver.url}/{page}")
        line = line.replace("http://127.0.0.1:8420", self.shared["HOOKLINE_INGEST_URL"])
        line = line.replace("http://127.0.0.1:8422", self.shared["HOOKLINE_CONSOLE_URL"])
        for text, other in IN_PLACE_OF.items():
            line = line.replace(text, other)
        if re.search(r"dead-letters|/replays\"", line):
            line = re.sub(r"hookline\.dead-letters\.\w+:\d+:\d+", self._letter(), line)
        if "DELIVERY" in line:
            line = line.replace("DELIVERY", self._delivery())
        line = re.sub(r"\bEVENT\b|evt_…", self.event, line.replace("show TYPE", "show order.created").replace("job_…", self.job))
        line = re.sub(r"\bWEBHOOK\b|wh_…", self.webhook, line).replace("hlk_…", self.shared["HOOKLINE_API_KEY"])
        return _ended(line)

    def _remember(self, printed: str) -> None:
        """Keep the ids that the next command means."""
        if (made := re.search(r'"id": ?"(wh_[0-9a-z]{20,})"|\b(wh_[0-9a-z]{20,})', printed)) is not None:
            self.webhook = made[1] or made[2]
        if (begun := re.search(r"\bjob_[0-9a-z]{10,}", printed)) is not None:
            self.job = begun[0]


def _ended(line: str) -> str:
    """Return a command that comes to its end by itself, soon."""
    bare = re.split(r"\s+#", line)[0].strip()
    return f"timeout --foreground --preserve-status --signal=INT 10 {bare}" if ENDLESS.fullmatch(bare) else line


def prepared(reader: Reader) -> None:
    """Give the store what pages take for granted: a webhook whose receiver fails, one whose filter says no, an order for both, files."""
    reader.environ["WAREHOUSE_TOKEN"] = "Bearer of-the-tests"
    order = reader.json("events", "show", "order.created")["example"]
    (reader.folder / "event.json").write_text(json.dumps({"type": "order.created", "data": order}))
    reader.broken = _made(reader, "/broken", "data.order.customer.email == 'bob@example.com'")
    reader.strict = _made(reader, "/strict", "data.order.totals.grand_total.amount_minor > 100000")
    for email in ("ann@example.com", *["bob@example.com"] * 3):
        customer = {**order["order"]["customer"], "email": email}
        reader.event = reader.publish("order.created", {"order": {**order["order"], "customer": customer}})


def _made(reader: Reader, path: str, only: str) -> str:
    words = ("webhooks", "create", "--url", reader.receiver.url + path, "--type", "order.created", "--filter", only)
    return str(reader.json(*words)["id"])


def environment() -> dict[str, str]:
    """Return the environment of a terminal that knows of no other Hookline; deliveries are given up soon."""
    return {
        **CLEAN,
        "PATH": f"{Path(sys.executable).parent}:{CLEAN['PATH']}",
        "HOOKLINE_RETRY_SCHEDULE": "5s",
        "HOOKLINE_BREAKER_STRAIGHT": "100",
    }
