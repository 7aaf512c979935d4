"""`hookline secrets`: the keys in use, and the way from an old one to a new one."""

from __future__ import annotations

import base64
import os
from collections.abc import Callable
from typing import Any

import pytest

from hookline.kernel.config import load
from hookline.kernel.kafka import KafkaConfig
from hookline.schemas.topics import Topics, TopicsConfig, create, specs

pytestmark = pytest.mark.kafka


def key(name: str) -> str:
    """Return a master key as the variable has it."""
    return f"{name}:{base64.b64encode(os.urandom(32)).decode()}"


@pytest.fixture(autouse=True)
def topics(kafka_environ: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Give the test topics of its own, on the session's broker."""
    found = {**kafka_environ, "HOOKLINE_TOPIC_PREFIX": f"t{os.urandom(4).hex()}"}
    for name, value in found.items():
        monkeypatch.setenv(name, value)
    wanted = [spec for spec in specs(Topics(found["HOOKLINE_TOPIC_PREFIX"]), load(TopicsConfig, found)) if spec.name.endswith(".webhooks")]
    create(load(KafkaConfig, found), wanted, 1)


@pytest.fixture
def made(hookline: Callable[..., Any]) -> Callable[[str], str]:
    """Give a maker of webhooks with a secret and two headers, and thus three values."""

    def make(path: str) -> str:
        url = f"https://hooks.example.com/{path}"
        headers = ("--header", "Authorization: Bearer topsecret", "--header", "x-own: hush")
        said = hookline("webhooks", "create", "--url", url, "--type", "order.created", "--json", *headers)
        assert said.status == 0, said.err
        return str(said.json["id"])

    return make


def test_from_an_old_key_to_a_new_one(hookline: Callable[..., Any], made: Callable[[str], str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Count, move, see that nothing is left, take the old key away; a second run finds nothing to do."""
    old, new = key("old"), key("new")
    monkeypatch.setenv("HOOKLINE_SECRET_KEYS", old)
    made("a")
    made("b")
    monkeypatch.setenv("HOOKLINE_SECRET_KEYS", f"{new},{old}")
    made("c")
    assert hookline("secrets", "keys", "--json").json == [
        {"key": "new", "encrypts": True, "values": 3, "configured": True},
        {"key": "old", "encrypts": False, "values": 6, "configured": True},
    ]
    counted = {"webhooks": 3, "outdated": 2, "moved": 0, "gone": 0, "failed": 0}
    assert hookline("secrets", "reencrypt", "--dry-run", "--json").json == counted
    assert hookline("secrets", "reencrypt", "--json").json == counted | {"moved": 2}
    monkeypatch.setenv("HOOKLINE_SECRET_KEYS", new)
    assert hookline("secrets", "keys", "--json").json == [{"key": "new", "encrypts": True, "values": 9, "configured": True}]
    assert hookline("secrets", "reencrypt", "--json").json == counted | {"outdated": 0}


@pytest.mark.parametrize("state", ["disable", "pause"])
def test_webhooks_that_get_nothing_count_and_are_moved(
    hookline: Callable[..., Any], made: Callable[[str], str], monkeypatch: pytest.MonkeyPatch, state: str
) -> None:
    """A key that is taken away takes with it what it alone opens: so not while a disabled or a paused webhook has anything under it."""
    old, new = key("old"), key("new")
    monkeypatch.setenv("HOOKLINE_SECRET_KEYS", old)
    stopped = made("a")
    assert hookline("webhooks", state, stopped).status == 0
    monkeypatch.setenv("HOOKLINE_SECRET_KEYS", f"{new},{old}")
    assert {row["key"]: row["values"] for row in hookline("secrets", "keys", "--json").json} == {"new": 0, "old": 3}
    counted = {"webhooks": 1, "outdated": 1, "moved": 1, "gone": 0, "failed": 0}
    assert hookline("secrets", "reencrypt", "--json").json == counted
    monkeypatch.setenv("HOOKLINE_SECRET_KEYS", new)
    assert hookline("secrets", "keys", "--json").json == [{"key": "new", "encrypts": True, "values": 3, "configured": True}]
    assert hookline("webhooks", "enable" if state == "disable" else "resume", stopped).status == 0


def test_a_secret_that_does_not_open_stops_no_other(
    hookline: Callable[..., Any], made: Callable[[str], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is under a key that is nowhere is told by id, what to do once, the rest is moved, the status is 1; then it works."""
    lost, old, new = key("lost"), key("old"), key("new")
    monkeypatch.setenv("HOOKLINE_SECRET_KEYS", lost)
    stuck = [made("a"), made("c")]
    monkeypatch.setenv("HOOKLINE_SECRET_KEYS", old)
    made("b")
    monkeypatch.setenv("HOOKLINE_SECRET_KEYS", f"{new},{old}")
    said = hookline("secrets", "reencrypt", "--json")
    assert said.status == 1
    assert said.json == {"webhooks": 3, "outdated": 3, "moved": 1, "gone": 0, "failed": 2}
    assert all(f"{name}: The key 'lost'" in said.err for name in stuck)
    assert said.err.count("what to do: Put it back into HOOKLINE_SECRET_KEYS") == 1
    assert {row["key"]: row["configured"] for row in hookline("secrets", "keys", "--json").json} == {
        "new": True,
        "old": True,
        "lost": False,
    }
    monkeypatch.setenv("HOOKLINE_SECRET_KEYS", f"{new},{lost}")
    assert hookline("secrets", "reencrypt", "--json").json["moved"] == 2
