"""What README and docs tell a reader to type is typed here, on one real `hookline up`; what is not stands in a closed list."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Final

import pytest

pytestmark = [pytest.mark.process, pytest.mark.timeout(600)]

ROOT: Final = Path(__file__).parent.parent
PAGES: Final = (
    "README.md",
    "docs/webhooks.md",
    "docs/signatures.md",
    "docs/events.md",
    "docs/api.md",
    "docs/quick-start.md",
    "docs/guides/analyst.md",
)
BLOCK: Final = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
EXAMPLE: Final = re.compile(r"^### ([a-z._]+)\n(?:(?!^### ).)*?^```json\n(.*?)^```$", re.MULTILINE | re.DOTALL)
OURS: Final = ("HOOKLINE_", "KAFKA_", "CLICKHOUSE_", "SCHEMA_REGISTRY_")

SHELL: Final = {  # page → how each block that is typed into a shell begins
    "README.md": ("hookline webhooks create", "# the address and the key"),
    "docs/webhooks.md": ("hookline webhooks create", "hookline webhooks plan", 'echo "2026a:'),
    "docs/api.md": ("export HOOKLINE=",),
    "docs/quick-start.md": ("SECRET=$(hookline webhooks create", "# put the key", "hookline log"),
    "docs/guides/analyst.md": ("hookline export",),
}
PYTHON: Final = {
    "README.md": ("from hookline.producers.publisher",),
    "docs/signatures.md": ("from standardwebhooks.webhooks", "import base64"),
    "docs/guides/analyst.md": ("import pyarrow.compute",),
}
FILES: Final = {"docs/webhooks.md": ("store: shop",)}  # what other blocks read, under the name they give it
NOT_RUN: Final = {
    ("README.md", " store's code"): "a drawing",
    ("README.md", "make demo"): "minutes long; tests/local/test_demo.py runs the demo, and this is a test",
    ("README.md", "make up"): "runs until it is stopped; the stack of these tests is `hookline up`",
    ("docs/quick-start.md", "make wheel"): "tests/test_release.py starts the installed wheel in an empty folder",
    ("docs/quick-start.md", "import os"): "tests/docs/test_quick_start.py runs this receiver",
    ("docs/quick-start.md", "python3 receiver.py"): "the same",
    ("docs/signatures.md", "const { createHmac"): "tests/console/test_panel_snippets.py runs this receiver",
    ("docs/signatures.md", "<?php"): "the same",
    ("docs/signatures.md", "package main"): "the same",
    ("docs/webhooks.md", "data.order.totals"): "filters; tests/webhooks/test_docs.py asks each of them",
    ("docs/webhooks.md", "jq -n"): "needs jq and a certificate; tests/console/test_webhooks.py sends the same body",
    ("docs/webhooks.md", "hookline webhooks certificate"): "needs a certificate; tests/cli/test_webhook_certificates.py gives one",
}


def blocks(page: str) -> list[str]:
    """Return the fenced blocks of a page."""
    return [found[2] for found in BLOCK.finditer((ROOT / page).read_text("utf-8"))]


def block(page: str, begins: str) -> str:
    """Return the one block of a page that begins with this."""
    [found] = [text for text in blocks(page) if text.startswith(begins)]
    return found


def commands(text: str) -> Iterator[tuple[str, str]]:
    """Yield each command of a block with the HTTP status that the page promises, empty where it says none."""
    lines = [line for line in text.replace("\\\n", "").replace("|\n", "| ").splitlines() if line.strip() and not line.startswith("#")]
    for at, line in enumerate(lines):
        if not line.startswith("→"):
            promised = re.match(r"→ (\d{3})", lines[at + 1]) if at + 1 < len(lines) else None
            yield line, promised[1] if promised is not None else ""


@dataclass
class Receiver:
    """Answers 200 to every call and keeps it."""

    calls: list[tuple[str, dict[str, str], bytes]] = field(default_factory=list)
    url: str = ""


@dataclass
class Reader:
    """Somebody who types what a page says into a terminal in the folder where `hookline up` runs."""

    folder: Path
    receiver: Receiver
    environ: dict[str, str]
    webhook: str = ""

    @property
    def shared(self) -> dict[str, str]:
        """What the stack tells other terminals."""
        found: dict[str, str] = json.loads((self.folder / ".hookline" / "environment.json").read_text())
        return found

    def type(self, page: str, line: str, promised: str = "") -> str:
        """Type one command, and return what it printed; it must succeed, with the promised HTTP status where it makes a request."""
        name = re.match(r"(?:export )?([A-Z]+)=", line)
        shown = f'; printf %s "${name[1]}"' if name else ""
        asks = "curl() { command curl -w '\\nHTTP %{http_code}\\n' \"$@\"; }\n"
        done = self.run(["bash", "-c", f"set -o pipefail; {asks}{self._filled(page, line)}{shown}"])
        assert done.returncode == 0, f"{line}\n{done.stdout}{done.stderr}"
        assert "command not found" not in done.stderr, f"{line}\n{done.stderr}"
        if name:
            self.environ[name[1]] = done.stdout
        elif "curl " in line:
            assert re.search(rf"^HTTP {promised or '2..'}$", done.stdout, re.MULTILINE), f"{line}\n{done.stdout}"
        made = re.search(r"\bwh_[0-9a-z]{20,}", done.stdout)
        self.webhook = made[0] if made is not None else self.webhook
        return done.stdout

    def run(self, command: list[str]) -> subprocess.CompletedProcess[str]:
        """Run a command to its end; whatever it asks is answered with yes."""
        return subprocess.run(
            command, env=self.environ, cwd=self.folder, input="y\n", capture_output=True, text=True, timeout=120, check=False
        )

    def _filled(self, page: str, line: str) -> str:
        """Return a command with this stack's addresses and ids in place of the page's."""
        own = f"{self.receiver.url}/{page}"
        for text in ("http://127.0.0.1:8080/hook", "https://hooks.example.com/orders", "https://shop.example.com/hooks"):
            line = line.replace(text, own)
        line = line.replace("http://127.0.0.1:8420", self.shared["HOOKLINE_INGEST_URL"])
        line = line.replace("http://127.0.0.1:8090", self.shared["HOOKLINE_CONSOLE_URL"])
        line = line.replace("--duration 30", "--duration 3")
        if "DELIVERY" in line:
            line = line.replace("DELIVERY", self._delivery())
        return re.sub(r"\bWEBHOOK\b|wh_…", self.webhook, line)

    def _delivery(self) -> str:
        """Return a delivery of an event, once the log has one."""
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            rows = json.loads(self.run(["hookline", "log", "--trigger", "event", "--json"]).stdout)["data"]
            if rows:
                return str(rows[0]["delivery_id"])
        pytest.fail("the log has no delivery of an event")


@pytest.fixture(scope="module")
def receiver() -> Iterator[Receiver]:
    """Yield a receiver in a thread."""
    found = Receiver()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            found.calls.append((self.path, {name.lower(): text for name, text in self.headers.items()}, body))
            self.send_response(200)
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


@pytest.fixture(scope="module")
def reader(receiver: Receiver, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Reader]:
    """Yield a reader beside a running `hookline up`, whose printed API key he has put into KEY."""
    folder = tmp_path_factory.mktemp("reader")
    clean = {name: text for name, text in os.environ.items() if not name.startswith(OURS)}
    found = Reader(folder, receiver, {**clean, "PATH": f"{Path(sys.executable).parent}:{clean['PATH']}"})
    with (folder / "up.log").open("wb") as log:
        process = subprocess.Popen(["hookline", "up"], env=found.environ, cwd=folder, stdout=log, stderr=log)
    try:
        deadline = time.monotonic() + 240
        while not (folder / ".hookline" / "environment.json").exists():
            assert process.poll() is None, (folder / "up.log").read_text()
            assert time.monotonic() < deadline, (folder / "up.log").read_text()
            time.sleep(0.2)
        found.environ["KEY"] = found.shared["HOOKLINE_API_KEY"]
        yield found
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(150)


def test_every_block_is_run_or_named() -> None:
    """No page gets a block that nobody runs, unless it is put into the closed list; nothing in the lists is stale."""
    runs = [(page, begins) for those in (SHELL, PYTHON, FILES) for page, all_begins in those.items() for begins in all_begins]
    known = [*runs, *NOT_RUN]
    for page, begins in known:
        assert len([text for text in blocks(page) if text.startswith(begins)]) == 1, (page, begins)
    examples = [text for _, text in EXAMPLE.findall((ROOT / "docs/events.md").read_text("utf-8"))]
    for page in PAGES:
        left = [text for text in blocks(page) if not any(page == other and text.startswith(begins) for other, begins in known)]
        assert [text[:80] for text in left if page != "docs/events.md" or text not in examples] == [], page


@pytest.mark.parametrize(("page", "begins"), [(page, begins) for page, all_begins in SHELL.items() for begins in all_begins])
def test_what_is_typed_into_a_shell_works(reader: Reader, page: str, begins: str) -> None:
    """Each command succeeds, one after the other, with what those before it printed; each request gets the status on the page."""
    (reader.folder / "webhooks.yaml").write_text(block("docs/webhooks.md", "store: shop"), "utf-8")
    reader.environ["WAREHOUSE_TOKEN"] = "Bearer of-the-tests"
    example = json.loads(reader.run(["hookline", "events", "show", "order.created", "--json"]).stdout)["example"]
    (reader.folder / "event.json").write_text(json.dumps({"type": "order.created", "data": example}))
    for line, promised in commands(block(page, begins)):
        reader.type(page, line, promised)


def test_an_event_is_published_from_python(reader: Reader) -> None:
    """The program of the README ends well, beside a running stack."""
    done = reader.run([sys.executable, "-c", block("README.md", "from hookline.producers.publisher")])
    assert done.returncode == 0, done.stderr


def test_an_export_is_read(reader: Reader) -> None:
    """The program of the analysts' guide reads what `hookline export` wrote."""
    if not (reader.folder / "log.parquet").exists():
        assert reader.run(["hookline", "export", "log.parquet"]).returncode == 0
    done = reader.run([sys.executable, "-c", block("docs/guides/analyst.md", "import pyarrow.compute")])
    assert done.returncode == 0, done.stderr
    assert re.match(r"\d+ \d+ \[", done.stdout)


def test_a_real_call_passes_both_functions(reader: Reader) -> None:
    """The two receivers on the page of signatures verify a call that a dispatcher made."""
    url = f"{reader.receiver.url}/signatures"
    made = json.loads(reader.run(["hookline", "webhooks", "create", "--url", url, "--type", "order.paid", "--json"]).stdout)
    tested = reader.run(["hookline", "webhooks", "test", made["id"]])
    assert tested.returncode == 0, tested.stderr
    [(headers, body)] = [(headers, body) for path, headers, body in reader.receiver.calls if path == "/signatures"]
    names: dict[str, Any] = {}
    for begins in PYTHON["docs/signatures.md"]:
        exec(block("docs/signatures.md", begins), names)
    assert names["receive"](headers, body, made["secret"]) == names["verify"](headers, body, made["secret"]) == json.loads(body)


def test_every_example_event_is_taken(reader: Reader) -> None:
    """Each of the 17 examples can be published as it stands."""
    examples = EXAMPLE.findall((ROOT / "docs/events.md").read_text("utf-8"))
    assert len(examples) == 17
    for name, data in examples:
        request = urllib.request.Request(
            f"{reader.shared['HOOKLINE_INGEST_URL']}/api/v1/events",
            json.dumps({"type": name, "data": json.loads(data)}).encode(),
            {"Authorization": f"Bearer {reader.shared['HOOKLINE_API_KEY']}", "Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request) as answer:
            assert answer.status == 202, name
