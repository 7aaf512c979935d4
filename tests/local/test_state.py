"""The state folder: one owner, keys and ports that stay, damage that is named."""

from __future__ import annotations

import dataclasses
import os
import socket
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from hookline.kernel.config import environment
from hookline.kernel.errors import LocalError
from hookline.local.state import StateFolder

pytestmark = pytest.mark.process

HOLDS_THE_LOCK = """
import fcntl, os, sys, time
lock = os.open(sys.argv[1], os.O_RDWR | os.O_CREAT)
fcntl.flock(lock, fcntl.LOCK_EX)
os.pwrite(lock, sys.argv[2].encode(), 0)
print("held", flush=True)
time.sleep(float(sys.argv[3]))
"""


def acquired(path: Path) -> StateFolder:
    """Return an acquired state folder."""
    folder = StateFolder(path)
    folder.acquire(lambda: None)
    return folder


def mode(path: Path) -> int:
    """Return the permission bits of a file."""
    return stat.S_IMODE(path.stat().st_mode)


def test_a_second_stack_on_a_folder_is_refused(tmp_path: Path) -> None:
    """The error names the folder and the process that has it, at once."""
    acquired(tmp_path)
    with pytest.raises(LocalError, match=rf"Another `hookline up` \(process {os.getpid()}\) runs in {tmp_path}") as caught:
        StateFolder(tmp_path).acquire(lambda: None)
    assert "HOOKLINE_STATE_DIR" in caught.value.remedy


def test_a_folder_given_back_can_be_taken(tmp_path: Path) -> None:
    """After the release another stack may start in the folder."""
    acquired(tmp_path).release()
    acquired(tmp_path).release()


def test_the_rest_of_a_killed_stack_is_waited_for(tmp_path: Path) -> None:
    """A lock whose owner is dead is held by what is still being stopped: said once, waited for, then taken."""
    with subprocess.Popen([sys.executable, "-c", "pass"]) as dead:
        dead.wait()
    command = [sys.executable, "-c", HOLDS_THE_LOCK, str(tmp_path / "up.lock"), str(dead.pid), "1"]
    told: list[str] = []
    with subprocess.Popen(command, stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        StateFolder(tmp_path).acquire(lambda: told.append("waiting"))
    assert told == ["waiting"]


def test_a_path_that_is_no_folder_is_named(tmp_path: Path) -> None:
    """A file where the folder should be is an error with its path and what to set."""
    path = tmp_path / "file"
    path.touch()
    with pytest.raises(LocalError, match="cannot be used: File exists") as caught:
        StateFolder(path).acquire(lambda: None)
    assert str(path) in caught.value.message
    assert "HOOKLINE_STATE_DIR" in caught.value.remedy


def test_keys_are_made_once_and_readable_by_nobody_else(tmp_path: Path) -> None:
    """The second start finds the keys of the first; the file is private."""
    first = acquired(tmp_path).keys()
    assert StateFolder(tmp_path).keys() == first
    assert mode(tmp_path / "keys.json") == 0o600


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("", "it is no JSON"),
        ("{", "it is no JSON"),
        ("\udcff", "it is no JSON"),
        ("[]", "it is no JSON object"),
        ('{"secret_keys": "a"}', "api_key_pepper, query_token must be in it"),
        ('{"secret_keys": "1", "api_key_pepper": "2", "query_token": "3", "shape": "4"}', "shape is not known to this version"),
        ('{"secret_keys": 1, "api_key_pepper": "2", "query_token": null}', "secret_keys, query_token must be text in quotes"),
    ],
)
def test_damaged_keys_are_an_error_with_a_way_out(tmp_path: Path, content: str, said: str) -> None:
    """Whatever is wrong with the keys' file, it is told in plain words together with `--fresh`."""
    (tmp_path / "keys.json").write_text(content, errors="surrogateescape")
    with pytest.raises(LocalError, match=r"is damaged: keys\.json cannot be read: ") as caught:
        acquired(tmp_path).keys()
    assert caught.value.message.endswith(said)
    assert "hookline up --fresh" in caught.value.remedy


def test_keys_that_are_gone_from_a_used_folder_are_not_replaced(tmp_path: Path) -> None:
    """New keys would leave every stored webhook secret shut: that is damage, not a first start."""
    (tmp_path / "kafka" / "data").mkdir(parents=True)
    with pytest.raises(LocalError, match=r"keys\.json is missing"):
        acquired(tmp_path).keys()


def test_fresh_deletes_the_data_and_keeps_good_keys(tmp_path: Path) -> None:
    """Data, logs and ports go, and the API key with them; the keys that a Kafka elsewhere may need stay."""
    folder = acquired(tmp_path)
    kept = dataclasses.replace(folder.keys(), api_key="hlk_old")
    folder.keep(kept)
    for name in ("kafka", "clickhouse", "decoding", "mine"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "file").touch()
    folder.clear()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["keys.json", "mine", "up.lock"]
    assert folder.keys() == dataclasses.replace(kept, api_key="")


def test_fresh_replaces_damaged_keys(tmp_path: Path) -> None:
    """After `--fresh` a damaged keys' file stands in nobody's way."""
    (tmp_path / "keys.json").write_text("{")
    folder = acquired(tmp_path)
    folder.clear()
    assert folder.keys().secret_keys


def test_ports_stay_as_long_as_they_are_free(tmp_path: Path) -> None:
    """The next start gets the same ports; one that somebody took meanwhile is replaced, the others stay."""
    folder = acquired(tmp_path)
    first = folder.ports(["ingest", "query"], {}, {})
    assert folder.ports(["ingest", "query"], {}, {}) == first
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", first["ingest"]))
        taken.listen()
        second = folder.ports(["ingest", "query"], {}, {})
    assert second["ingest"] != first["ingest"]
    assert second["query"] == first["query"]


def test_a_wanted_port_that_is_in_use_is_an_error(tmp_path: Path) -> None:
    """Who asks for a port gets that one, or is told that it is in use and for what it was meant."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(LocalError, match=f"Port {port} for ingest is in use"):
            acquired(tmp_path).ports(["ingest"], {"ingest": port}, {})


@pytest.mark.parametrize("content", ["", "[1]", '{"ingest": "x"}', '{"ingest": 99999}', '{"ingest": -1}'])
def test_damaged_ports_are_chosen_anew(tmp_path: Path, content: str) -> None:
    """Ports can be had again, so their file's damage stops nobody."""
    (tmp_path / "ports.json").write_text(content)
    assert 0 < acquired(tmp_path).ports(["ingest"], {}, {})["ingest"] < 65_536


def test_no_port_is_given_twice(tmp_path: Path) -> None:
    """Two names never share a port, though they wish for the same."""
    found = acquired(tmp_path).ports(["a", "b", "c"], {}, {"a": 8_430, "b": 8_430, "c": 8_430})
    assert len(set(found.values())) == 3


def test_other_terminals_find_the_stack_while_it_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is published is private, is read by every command, yields to the real environment, and goes with the stack."""
    monkeypatch.setenv("HOOKLINE_STATE_DIR", str(tmp_path))
    monkeypatch.setenv("HOOKLINE_STORE", "mine")
    monkeypatch.delenv("KAFKA_BOOTSTRAP_SERVERS", raising=False)
    folder = acquired(tmp_path)
    folder.publish({"KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:1", "HOOKLINE_STORE": "theirs"})
    assert mode(folder.environment_file) == 0o600
    assert environment()["KAFKA_BOOTSTRAP_SERVERS"] == "127.0.0.1:1"
    assert environment()["HOOKLINE_STORE"] == "mine"
    folder.unpublish()
    assert "KAFKA_BOOTSTRAP_SERVERS" not in environment()


def test_nobody_else_looks_into_the_folder(tmp_path: Path) -> None:
    """A new folder is its owner's; in one that was there, logs and data are, of whatever version; the rest in it is left alone."""
    acquired(tmp_path / "new" / "state")
    assert mode(tmp_path / "new" / "state") == 0o700
    old = tmp_path / "old"
    for name in ("kafka", "clickhouse", "logs", "decoding", "mine"):
        (old / name).mkdir(parents=True)
        (old / name).chmod(0o755)
    log = old / "logs" / "console.log"
    log.touch()
    log.chmod(0o644)
    folder = acquired(old)
    assert folder.log("console") == log
    assert mode(log) == 0o600
    assert {mode(old / name) for name in ("kafka", "clickhouse", "logs", "decoding")} == {0o700}
    assert mode(old / "mine") == 0o755


def test_a_large_log_is_put_aside(tmp_path: Path) -> None:
    """A log over 16 MiB begins anew at the next start, the old one stays beside it."""
    folder = acquired(tmp_path)
    path = folder.log("sink")
    path.write_bytes(b"x" * (16 * 1024 * 1024 + 1))
    assert folder.log("sink") == path
    assert not path.exists()
    assert path.with_suffix(".log.1").exists()
