"""`hookline demo` from start to end, small: right sums pass, a wrong sum is found, nothing is left."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import urllib.request
from pathlib import Path

import psutil
import pytest

pytestmark = [pytest.mark.process, pytest.mark.timeout(400)]

COMMAND = (sys.executable, "-m", "hookline.cli.main", "demo", "--day-in", "8", "--rate", "30")


def environ_of(folder: Path) -> dict[str, str]:
    """Return the environment of a demo whose temporary folder lies in `folder`, with a cluster that it must not touch."""
    return {**os.environ, "TMPDIR": str(folder), "KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:1"}


def demo(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a small demo to its end."""
    return subprocess.run([*COMMAND, *arguments], env=environ_of(folder), capture_output=True, text=True, timeout=300, check=False)


def of_this_folder(folder: Path) -> list[str]:
    """Return the command lines of processes that were started for a demo in `folder`."""
    found = []
    for process in psutil.process_iter():
        try:
            if any(str(folder) in word for word in process.cmdline()) or process.environ().get("TMPDIR") == str(folder):
                found.append(" ".join(process.cmdline()))
        except psutil.Error:
            continue
    return found


def sums(output: str) -> dict[str, list[int]]:
    """Return receiver → expected, delivered, dead, skipped, lost, calls, duplicates, bad signatures."""
    found = {}
    for line in output.splitlines():
        match = re.match(r"([a-z-]+)((?:\s+[\d,]+){8})", line)
        if match:
            found[match[1]] = [int(text.replace(",", "")) for text in match[2].split()]
    return found


def test_the_demo_adds_up_and_leaves_nothing(tmp_path: Path) -> None:
    """Status 0, every sum printed and right, faults included, dead letters replayed, no process and no file left."""
    done = demo(tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    said = done.stdout
    assert "✗" not in said
    for text in (
        "kill -9 dispatcher-1",
        "mailer goes down",
        "mailer comes back",
        "Every sum is right.",
        "Try next",
        "hookline stats",
        "make demo KEEP=1",
    ):
        assert text in said
    assert re.search(r"✓ published x matching webhooks = ([\d,]+) = .* 0 lost", said)
    assert re.search(r"✓ ([1-9]\d*) dead letters of [1-9]\d* deliveries replayed, all of them arrived; on the audit as job_\w+\n", said)
    assert re.search(r"✓ [\d,]+ calls checked with the standardwebhooks package, 0 bad signatures", said)
    table = sums(said)
    for expected, delivered, dead, skipped, lost, calls, repeats, bad in table.values():
        assert expected == delivered + dead + skipped + lost
        assert (lost, bad) == (0, 0)
        assert calls >= delivered + repeats
    assert table["all"] == [sum(row[n] for name, row in table.items() if name != "all") for n in range(8)]
    assert table["loyalty"][1] == 0
    assert table["loyalty"][2] == table["loyalty"][0] > 0
    assert table["old-crm"][1] == 0
    assert list(tmp_path.iterdir()) == []
    assert of_this_folder(tmp_path) == []


def test_a_receiver_that_miscounts_is_found(tmp_path: Path) -> None:
    """With a receiver that leaves calls out of its count: status 1, the deliveries named, and the evidence kept."""
    done = demo(tmp_path, "--sabotage")
    assert done.returncode == 1, done.stdout + done.stderr
    assert "✗ published x matching webhooks" in done.stdout
    assert re.search(r"msg_[a-z2-7]+ of event evt_\w+ for saboteur is lost", done.stdout)
    assert re.search(r"attempt 1 of msg_[a-z2-7]+ is recorded with an answer, but was not received \(saboteur\)", done.stdout)
    assert not re.search(r"for (?!saboteur)[a-z-]+ is lost", done.stdout)
    [kept] = tmp_path.iterdir()
    assert f"kept: {kept}" in done.stdout
    assert of_this_folder(tmp_path) == []


def test_a_demo_that_is_stopped_leaves_nothing(tmp_path: Path) -> None:
    """Ctrl-C on the way: status 130, no process and no file left."""
    with subprocess.Popen(COMMAND, env=environ_of(tmp_path), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as running:
        assert running.stdout is not None
        for line in running.stdout:
            if "the shop opens" in line:
                break
        running.send_signal(signal.SIGINT)
        said = running.stdout.read()
    assert running.returncode == 130, said
    assert "Traceback" not in said
    assert list(tmp_path.iterdir()) == []
    assert of_this_folder(tmp_path) == []


def audited(folder: Path) -> set[str]:
    """Return what the audit of a kept demo has, by its operator's token."""
    [file] = folder.rglob("environment.json")
    shared = json.loads(file.read_text())
    headers = {"Authorization": f"Bearer {shared['HOOKLINE_OPERATOR_TOKEN']}", "Hookline-Store": "demo"}
    with urllib.request.urlopen(
        urllib.request.Request(f"{shared['HOOKLINE_CONSOLE_URL']}/api/v1/audit?limit=100", headers=headers)
    ) as answer:
        return {entry["action"] for entry in json.load(answer)["data"]}


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["Ctrl-C", "SIGTERM"])
def test_a_demo_that_is_kept_can_be_clicked_and_leaves_nothing(tmp_path: Path, number: signal.Signals) -> None:
    """With --keep the panel answers at the printed link until Ctrl-C or SIGTERM; then status 0, no process and no file left."""
    command = (*COMMAND, "--keep")
    with subprocess.Popen(command, env=environ_of(tmp_path), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as running:
        assert running.stdout is not None
        said = ""
        for line in running.stdout:
            said += line
            if "Ctrl-C stops all of it" in line:
                break
        found = re.search(r"http://127\.0\.0\.1:\d+/welcome/\w+", said)
        assert found is not None, said
        with urllib.request.urlopen(found[0]) as page:
            assert b"Make the operator" in page.read()
        assert {"api-key.create", "webhook.create", "replay.create"} <= audited(tmp_path)
        running.send_signal(number)
        said += running.stdout.read()
    assert running.returncode == 0, said
    assert "Every sum is right." in said
    assert re.search(r"\u2713 nothing is left running of \d+ processes", said)
    assert list(tmp_path.iterdir()) == []
    assert of_this_folder(tmp_path) == []
