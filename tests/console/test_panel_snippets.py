"""The receivers that the panel offers to copy: each runs as it stands, takes what Hookline signs and nothing else."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
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


@pytest.fixture(params=SNIPPETS, ids=[one.name for one in SNIPPETS])
def secret_and_post(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[str, Callable[..., int]]]:
    """Yield a secret and a way to call the running receiver that has it; every byte goes as it is given."""
    one: Snippet = request.param
    port, secret, path = free_port(), new_secret(), tmp_path / one.file
    path.write_text(one.code)
    environ = {**os.environ, "WEBHOOK_SECRET": secret, "PORT": str(port)}
    with (tmp_path / "said").open("wb") as said:
        process = subprocess.Popen(command(one, path, port), env=environ, stdout=said, stderr=said)

    def post(body: bytes, headers: dict[str, str]) -> int:
        sent = urllib.request.Request(f"http://127.0.0.1:{port}/hooks", body, {"Content-Type": "application/json", **headers})
        try:
            with urllib.request.urlopen(sent, timeout=30) as answer:
                return int(answer.status)
        except urllib.error.HTTPError as error:
            return error.code

    try:
        wait_for(post, process, tmp_path / "said")
        yield secret, post
    finally:
        process.kill()
        process.wait(10)


def wait_for(post: Callable[..., int], process: subprocess.Popen[bytes], said: Path) -> None:
    """Return when the receiver answers."""
    deadline = time.monotonic() + 60
    while True:
        assert process.poll() is None, said.read_text()
        try:
            post(b"{}", {})
        except (urllib.error.URLError, ConnectionError):
            assert time.monotonic() < deadline, said.read_text()
            time.sleep(0.1)
        else:
            return


def signed(secret: str, body: bytes, at: int) -> dict[str, str]:
    """Return the headers of a call as a dispatcher makes them."""
    signature = Signer([parse_secret(secret)]).headers(CALL, at, body)
    return {"webhook-id": CALL, "webhook-timestamp": str(at), "webhook-signature": signature}


def test_a_receiver_takes_what_was_signed_and_nothing_else(secret_and_post: tuple[str, Callable[..., int]], tmp_path: Path) -> None:
    """A signed call is 204, also while an old secret signs beside the new one; one that is changed, foreign, bare or old is 401."""
    secret, post = secret_and_post
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


def test_no_receiver_holds_a_secret() -> None:
    """The secret comes from the environment, so that nobody puts it into a repository with the code."""
    for one in SNIPPETS:
        assert "WEBHOOK_SECRET" in one.code
        assert not re.search(r"whsec_[A-Za-z0-9+/]{10}", one.code)
