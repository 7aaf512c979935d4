"""`hookline up` as a person runs it: start, other terminals, accidents, stop; real processes throughout."""

from __future__ import annotations

import json
import signal
import socket
import stat
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

from hookline.local.jars import VERSION
from hookline.local.kafka_broker import free_port

pytestmark = [pytest.mark.process, pytest.mark.timeout(400)]

Until = Callable[..., None]
Up = Any  # the fixture's class stands in conftest.py


def asked(shared: dict[str, str], path: str, key: str) -> tuple[int, Any]:
    """Return what the API answers: the status, and the body as JSON."""
    request = urllib.request.Request(f"{shared['HOOKLINE_CONSOLE_URL']}/api/v1{path}", headers={"Authorization": f"Bearer {key}"})
    try:
        with urllib.request.urlopen(request) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.load(error)


def opened_to_others(state: Path) -> list[str]:
    """Return what others could read of the state folder, if it were not shut itself: logs, keys, data."""
    assert stat.S_IMODE(state.stat().st_mode) == 0o700
    data = [state / name for name in ("kafka", "clickhouse", "decoding", "logs")]
    found = [state / "keys.json", *(path for path in data if path.exists()), *(state / "logs").iterdir()]
    assert len(found) >= 8
    return [str(path) for path in found if stat.S_IMODE(path.stat().st_mode) & 0o077]


def test_from_start_to_stop(up: Up, until: Until) -> None:
    """It says how to go on, other terminals find it, a second one is refused, addresses and key stay, Ctrl-C stops all."""
    port = free_port()
    up.start("--dispatchers", "2", "--ingest-port", str(port))
    until(lambda: up.running, 120, "the stack ready")
    shared = up.shared
    assert stat.S_IMODE((up.state / "environment.json").stat().st_mode) == 0o600
    assert opened_to_others(up.state) == []
    assert shared["HOOKLINE_INGEST_URL"] == f"http://127.0.0.1:{port}"
    until(lambda: "in another terminal" in up.said, what="the screen")
    assert all(text in up.said for text in (f"POST http://127.0.0.1:{port}/api/v1/events", shared["HOOKLINE_API_KEY"], "hookline log"))
    link = json.loads(up.run("users", "first-link", "--json").stdout)["link"]
    assert link.startswith(f"{shared['HOOKLINE_CONSOLE_URL']}/welcome/")
    assert link in up.said
    with urllib.request.urlopen(link) as page:
        assert b"Make the operator" in page.read()
    assert {name: len(pids) for name, pids in up.children().items()} == {
        "kafka": 1, "console": 1, "dispatch": 2, "ingest": 1, "hookline.local.orphans": 1,
    }  # fmt: skip

    key, token = shared["HOOKLINE_API_KEY"], shared["HOOKLINE_OPERATOR_TOKEN"]
    assert [asked(shared, path, key)[0] for path in ("/webhooks", "/deliveries", "/api-keys")] == [200, 200, 403]
    [entry] = asked(shared, "/audit?action=api-key.create&store=demo", token)[1]["data"]
    assert (entry["actor"], entry["target"]) == ("command-line", key.split("_")[1])

    made = up.run("webhooks", "create", "--url", f"http://127.0.0.1:{port}/x", "--type", "order.created", "--json")
    assert made.returncode == 0, made.stderr
    assert json.loads(made.stdout)["state"] == "enabled"
    second = up.run("up")
    assert second.returncode == 1
    assert "Another `hookline up`" in second.stderr
    assert "Traceback" not in second.stderr

    assert up.stop() == 0
    assert not any(psutil.pid_exists(pid) for pid in up.known)
    assert not (up.state / "environment.json").exists()

    up.start("--dispatchers", "2", "--ingest-port", str(port))
    until(lambda: up.running, 120, "the stack ready again")
    assert up.shared == shared
    listed = up.run("webhooks", "list", "--json")
    assert [row["id"] for row in json.loads(listed.stdout)] == [json.loads(made.stdout)["id"]]

    assert up.run("users", "invite", "olga@example.com", "--role", "operator").returncode == 0
    assert up.stop() == 0
    up.start("--dispatchers", "2", "--ingest-port", str(port))
    until(lambda: "in another terminal" in up.said.rpartition("stopped")[2], 120, "the stack ready with somebody in it")
    assert shared["HOOKLINE_CONSOLE_URL"] in up.said.rpartition("stopped")[2]
    assert "/welcome/" not in up.said.rpartition("stopped")[2]


def test_a_killed_up_leaves_nothing_behind(up: Up, until: Until) -> None:
    """After `kill -9` of the supervisor its processes stop by themselves, and the next start waits for that and works."""
    up.start()
    until(lambda: up.running, 120, "the stack ready")
    up.children()
    up.stop(signal.SIGKILL)
    up.start()
    until(lambda: not any(psutil.pid_exists(pid) for pid in up.known), 120, "the orphans gone")
    until(lambda: up.running, 120, "the next stack ready")
    assert "waiting for what is left of a killed `hookline up`" in up.said


@pytest.mark.parametrize("file", ["keys", "version", "meta"])
def test_a_damaged_state_folder_is_named_with_the_way_out(up: Up, file: str) -> None:
    """Damaged keys, another Kafka's data, half-deleted data: one clear error with `--fresh`, nothing started."""
    data = up.state / "kafka" / "data"
    data.mkdir(parents=True)
    (up.state / "keys.json").write_text(json.dumps({"secret_keys": "k:" + "A" * 43 + "=", "api_key_pepper": "p" * 40, "query_token": "t"}))
    (up.state / "kafka" / "version").write_text(VERSION)
    (data / "meta.properties").write_text("version=1\n")
    said = {"keys": "keys.json cannot be read", "version": "was written by Kafka 3.9.0", "meta": "meta.properties is missing"}
    if file == "keys":
        (up.state / "keys.json").write_text("{")
    elif file == "version":
        (up.state / "kafka" / "version").write_text("3.9.0")
    else:
        (data / "meta.properties").unlink()
    found = up.run("up")
    assert found.returncode == 1
    told = " ".join(found.stderr.split())
    assert said[file] in told
    assert "hookline up --fresh" in told
    assert "Traceback" not in told


def test_a_wanted_port_in_use_is_named(up: Up) -> None:
    """The port that was asked for is taken: an error that names it, before anything is started."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        found = up.run("up", "--ingest-port", str(port))
    assert found.returncode == 1
    assert f"Port {port} for ingest is in use" in " ".join(found.stderr.split())
    assert not (up.state / "kafka").exists()


def test_fresh_begins_anew(up: Up, until: Until) -> None:
    """A damaged folder that nothing else helps is usable again with `--fresh`."""
    (up.state / "kafka" / "data").mkdir(parents=True)
    (up.state / "keys.json").write_text("{")
    up.start("--fresh")
    until(lambda: up.running, 120, "the stack ready")
    assert up.run("webhooks", "list").returncode == 0
