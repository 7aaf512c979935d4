"""The receiver of the quick start, as a reader would run it."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import pytest
from standardwebhooks.webhooks import Webhook

from hookline import __version__
from hookline.local.kafka_broker import free_port

pytestmark = pytest.mark.process

ROOT: Final = Path(__file__).parents[2]
PAGE: Final = (ROOT / "docs" / "quick-start.md").read_text("utf-8")
SECRET: Final = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
BODY: Final = json.dumps({"type": "newsletter.signed_up", "data": {"email": "ann@example.com"}})


@pytest.fixture
def receiver(tmp_path: Path) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """Yield the address of the running receiver, and its process."""
    [program] = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    (tmp_path / "receiver.py").write_text(program, "utf-8")
    port = free_port()
    command = [sys.executable, "receiver.py", str(port)]
    process = subprocess.Popen(command, cwd=tmp_path, env={"SECRET": SECRET}, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    yield f"http://127.0.0.1:{port}/hook", process
    process.terminate()
    process.wait(10)
    assert process.stdout is not None
    process.stdout.close()


def called(url: str, signature: str, at: datetime) -> int:
    """Return the status of a call with this signature, made once somebody listens."""
    headers = {"webhook-id": "msg_1", "webhook-timestamp": str(int(at.timestamp())), "webhook-signature": signature}
    deadline = time.monotonic() + 60
    while True:
        try:
            with urllib.request.urlopen(urllib.request.Request(url, BODY.encode(), headers), timeout=10) as answer:
                return int(answer.status)
        except urllib.error.HTTPError as error:
            error.close()
            return error.code
        except urllib.error.URLError:
            assert time.monotonic() < deadline, "the receiver does not listen"
            time.sleep(0.1)


def test_a_signed_call_is_taken_and_shown(receiver: tuple[str, subprocess.Popen[str]]) -> None:
    """204, and the event on the terminal."""
    url, process = receiver
    now = datetime.now(UTC)
    assert called(url, Webhook(SECRET).sign("msg_1", now, BODY), now) == 204
    assert process.stdout is not None
    assert process.stdout.readline() == "newsletter.signed_up {'email': 'ann@example.com'}\n"


def test_a_call_with_another_signature_is_refused(receiver: tuple[str, subprocess.Popen[str]]) -> None:
    """401 for a signature over something else."""
    now = datetime.now(UTC)
    assert called(receiver[0], Webhook(SECRET).sign("msg_2", now, BODY), now) == 401


def test_an_unpublished_package_is_installed_from_its_wheel() -> None:
    """While the changelog calls the version unreleased, the first commands build the wheel; afterwards they need not."""
    shell = re.findall(r"```\n(.*?)```", PAGE, re.DOTALL)[0].splitlines()
    released = f"## {__version__} (unreleased)" not in (ROOT / "CHANGELOG.md").read_text("utf-8")
    wanted = ["pip install 'hookline[embedded]'"] if released else ["make wheel", 'pip install "$(ls dist/*.whl)[embedded]"']
    assert shell == [*wanted, "hookline up"]
    assert released or re.search(r"^wheel:", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE)
