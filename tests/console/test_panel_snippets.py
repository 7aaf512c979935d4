"""The receivers that the panel offers to copy: each runs as it stands, takes what Hookline signs and nothing else."""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pytest

from hookline.console.panel.snippets import SNIPPETS, Snippet
from hookline.dispatcher.signing import Signer
from hookline.local.kafka_broker import free_port
from hookline.webhooks.secrets import new_secret, parse_secret

pytestmark = pytest.mark.process

BODY: Final = '{"id":"evt_1","type":"order.created","data":{"note":"für Zoë"}}'.encode()
CALL: Final = "dlv_01"


def command(one: Snippet, path: Path, port: int) -> list[str]:
    """Return what starts a snippet, on a port of the test's; skip, and say so, where its runtime is not there."""
    if one.name == "Python":
        return [sys.executable, str(path)]
    program = one.run.split()[0]
    found = shutil.which(program)
    if found is None:
        pytest.skip(f"no {program} here: the {one.name} receiver is not run")
    if one.name == "Go":  # built first: `go run` would leave the receiver behind when it is killed
        built = path.with_suffix("")
        made = subprocess.run([found, "build", "-o", str(built), str(path)], capture_output=True, text=True, check=False, timeout=300)
        assert made.returncode == 0, made.stderr
        return [str(built)]
    return [found, "-S", f"127.0.0.1:{port}", str(path)] if one.name == "PHP" else [found, str(path)]


@dataclass(frozen=True, slots=True)
class Running:
    """A receiver, and what it needs to be called; every byte goes as it is given."""

    process: subprocess.Popen[bytes]
    url: str
    secret: str

    def post(self, body: bytes, headers: dict[str, str]) -> int:
        """Return the status that a call gets."""
        sent = urllib.request.Request(self.url, body, {"Content-Type": "application/json", **headers})
        try:
            with urllib.request.urlopen(sent, timeout=30) as answer:
                return int(answer.status)
        except urllib.error.HTTPError as error:
            return error.code


@contextmanager
def started(words: list[str], environ: dict[str, str], folder: Path) -> Iterator[Running]:
    """Run a receiver, which need not answer yet; what it says goes into the file `said`."""
    with (folder / "said").open("wb") as said:
        process = subprocess.Popen(words, env=environ, stdout=said, stderr=said)
    try:
        yield Running(process, f"http://127.0.0.1:{environ['PORT']}/hooks", environ.get("WEBHOOK_SECRET", ""))
    finally:
        process.kill()
        process.wait(10)


@pytest.fixture(params=SNIPPETS, ids=[one.name for one in SNIPPETS])
def running(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Running]:
    """Yield a receiver that answers."""
    one: Snippet = request.param
    port, path = free_port(), tmp_path / one.file
    path.write_text(one.code)
    environ = {**os.environ, "WEBHOOK_SECRET": new_secret(), "PORT": str(port)}
    with started(command(one, path, port), environ, tmp_path) as found:
        wait_for(found, tmp_path / "said")
        yield found


def wait_for(found: Running, said: Path) -> None:
    """Return when the receiver answers."""
    deadline = time.monotonic() + 60
    while True:
        assert found.process.poll() is None, said.read_text()
        try:
            found.post(b"{}", {})
        except (urllib.error.URLError, ConnectionError):
            assert time.monotonic() < deadline, said.read_text()
            time.sleep(0.1)
        else:
            return


def signed(secret: str, body: bytes, at: int) -> dict[str, str]:
    """Return the headers of a call as a dispatcher makes them."""
    return signed_with(parse_secret(secret), body, at)


def signed_with(key: bytes, body: bytes, at: int) -> dict[str, str]:
    """Return the headers of a call that is signed with a key."""
    signature = Signer([key]).headers(CALL, at, body)
    return {"webhook-id": CALL, "webhook-timestamp": str(at), "webhook-signature": signature}


def test_a_receiver_takes_what_was_signed_and_nothing_else(running: Running, tmp_path: Path) -> None:
    """A signed call is 204, also while an old secret signs beside the new one; one that is changed, foreign, bare or old is 401."""
    secret, post = running.secret, running.post
    now = int(time.time())
    good = signed(secret, BODY, now)
    other = signed(new_secret(), BODY, now)
    assert post(BODY, good) == 204
    assert "order.created evt_1" in (tmp_path / "said").read_text()
    assert post(BODY, good | {"webhook-signature": f"{other['webhook-signature']} {good['webhook-signature']}"}) == 204
    refused = {
        "changed": (BODY.replace(b"Zo", b"Jo"), good),
        "foreign": (BODY, other),
        "bare": (BODY, {}),
        "old": (BODY, signed(secret, BODY, now - 3_600)),
        "of tomorrow": (BODY, signed(secret, BODY, now + 3_600)),
        "another id": (BODY, good | {"webhook-id": "dlv_02"}),
        "no time": (BODY, good | {"webhook-timestamp": "soon"}),
        "no base64": (BODY, good | {"webhook-signature": "v1,!"}),
    }
    assert {name: post(*call) for name, call in refused.items()} == dict.fromkeys(refused, 401)


def cut(url: str, body: bytes) -> None:
    """Announce 100 bytes, send fewer, and hang up."""
    at = urllib.parse.urlsplit(url)
    with socket.create_connection((at.hostname, at.port), 10) as caller:
        caller.sendall(b"POST /hooks HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n" + body)


def test_a_caller_that_hangs_up_ends_nothing(running: Running) -> None:
    """After calls that are cut off in the middle of the body a good one is 204."""
    for _ in range(3):
        cut(running.url, b"abc")
    time.sleep(0.2)
    assert running.post(BODY, signed(running.secret, BODY, int(time.time()))) == 204


def test_a_huge_body_is_not_read(running: Running) -> None:
    """More than 4 MiB fill no memory: refused, and the next call is taken. PHP leaves that to its web server."""
    at = urllib.parse.urlsplit(running.url)
    with socket.create_connection((at.hostname, at.port), 10) as caller:
        caller.sendall(b"POST /hooks HTTP/1.1\r\nHost: x\r\nContent-Length: 5000000000\r\n\r\nabc")
        caller.shutdown(socket.SHUT_WR)
        said = caller.recv(100)
    assert said[9:12] not in {b"200", b"204"}
    assert running.post(BODY, signed(running.secret, BODY, int(time.time()))) == 204


def test_a_template_of_its_own_is_taken(running: Running) -> None:
    """A signed body may have numbers for id and type, lack both, or be a list: its sender is Hookline all the same."""
    for body in (b'{"id":10042,"type":7}', b'{"text":"Order 1"}', b"[1]"):
        assert running.post(body, signed(running.secret, body, int(time.time()))) == 204


@pytest.mark.parametrize("given", [None, "", "whsec_"], ids=["unset", "empty", "prefix"])
@pytest.mark.parametrize("one", SNIPPETS, ids=[one.name for one in SNIPPETS])
def test_without_a_secret_nobody_is_believed(one: Snippet, given: str | None, tmp_path: Path) -> None:
    """Whoever signs with the empty key gets no 2xx: the receiver ends and says why, or answers 500 (PHP)."""
    path, port = tmp_path / one.file, free_port()
    path.write_text(one.code)
    environ = {**{name: text for name, text in os.environ.items() if name != "WEBHOOK_SECRET"}, "PORT": str(port)}
    with started(command(one, path, port), environ | ({} if given is None else {"WEBHOOK_SECRET": given}), tmp_path) as found:
        if one.name == "PHP":
            wait_for(found, tmp_path / "said")
            assert found.post(BODY, signed_with(b"", BODY, int(time.time()))) == 500
        else:
            assert found.process.wait(30) == 1
        assert "WEBHOOK_SECRET is empty" in (tmp_path / "said").read_text()


def test_no_receiver_holds_a_secret() -> None:
    """The secret comes from the environment, so that nobody puts it into a repository with the code."""
    for one in SNIPPETS:
        assert "WEBHOOK_SECRET" in one.code
        assert not re.search(r"whsec_[A-Za-z0-9+/]{10}", one.code)
