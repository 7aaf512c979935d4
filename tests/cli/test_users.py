"""`hookline users` over the real broker: let in, given a link, disabled, enabled; each on the audit, no link ever kept."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import pytest

from hookline.console.audit import AuditLog
from hookline.console.panel.services import first_run_token
from hookline.kernel import kafka
from hookline.kernel.config import load
from hookline.kernel.kafka import KafkaConfig
from hookline.schemas.audit import Entry
from hookline.schemas.registry import open_registry
from hookline.schemas.topics import Topics, TopicsConfig, create, specs
from hookline.schemas.wire import Codec

pytestmark = pytest.mark.kafka


@pytest.fixture(autouse=True)
def topics(kafka_environ: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> Topics:
    """Give the test users and an audit of its own on the session's broker."""
    environ = {**kafka_environ, "HOOKLINE_TOPIC_PREFIX": f"t{os.urandom(4).hex()}", "HOOKLINE_CONSOLE_URL": "https://hooks.example.com"}
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    found = Topics(environ["HOOKLINE_TOPIC_PREFIX"])
    wanted = {found.users, found.audit}
    create(load(KafkaConfig, environ), [spec for spec in specs(found, load(TopicsConfig, environ)) if spec.name in wanted], 1)
    return found


def audited(environ: dict[str, str], topics: Topics) -> list[Entry]:
    """Return the audit's entries."""
    registry = open_registry(environ)
    registry.start()
    log = AuditLog(load(KafkaConfig, environ), topics, Codec(registry))
    log.start()
    try:
        return log.of_store("")
    finally:
        log.stop()
        registry.stop()


def test_the_first_link(hookline: Callable[..., Any], kafka_environ: dict[str, str]) -> None:
    """The link is the one that the console takes, and is told only while there is nobody."""
    assert hookline("users", "list", "--json").json == []
    assert "hookline users first-link" in hookline("users", "list").out
    told = hookline("users", "first-link", "--json").json
    assert told == {"link": f"https://hooks.example.com/welcome/{first_run_token(kafka_environ['HOOKLINE_API_KEY_PEPPER'].encode())}"}
    assert "Open it once" in hookline("users", "first-link").err
    assert hookline("users", "invite", "olga@example.com", "--role", "operator", "--json").status == 0
    refused = hookline("users", "first-link")
    assert refused.status == 2
    assert "set up already" in refused.err
    assert "hookline users invite" in refused.err


def test_the_life_of_a_user(hookline: Callable[..., Any], kafka_environ: dict[str, str], topics: Topics) -> None:
    """Let in with a link, given another, disabled, enabled; every step is on the audit of the store, and no token on any topic."""
    made = hookline("users", "invite", "Ada@Shop.example", "--store", "shop", "--name", "Ada", "--json").json
    assert (made["login"], made["name"], made["role"], made["store_id"], made["state"]) == (
        "ada@shop.example", "Ada", "admin", "shop", "invited",
    )  # fmt: skip
    assert made["link"].startswith("https://hooks.example.com/welcome/")
    assert [row["id"] for row in hookline("users", "list", "--store", "shop", "--json").json] == [made["id"]]
    assert hookline("users", "list", "--store", "another", "--json").json == []
    again = hookline("users", "reset", "ada@shop.example", "--json").json
    assert again["link"] != made["link"]
    assert hookline("users", "disable", made["id"], "--json").json["state"] == "disabled"
    assert "hookline users enable" in hookline("users", "reset", made["id"]).err
    assert hookline("users", "enable", "ada@shop.example", "--json").json["state"] == "no-password"
    found = audited(kafka_environ, topics)
    assert [(entry.actor, entry.action, entry.store_id, entry.target) for entry in found] == [
        ("command-line", action, "shop", made["id"]) for action in ("user.invite", "user.reset", "user.disable", "user.enable")
    ]
    assert [bool(entry.before) for entry in found] == [False, True, True, True]
    raw = b"".join(_bytes(message.value()) for message in kafka.scan(load(KafkaConfig, kafka_environ), [topics.users, topics.audit]))
    for told in (made, again):
        assert told["link"].rpartition("/")[2].encode() not in raw


def _bytes(value: bytes | str | None) -> bytes:
    return value.encode() if isinstance(value, str) else value or b""


def test_people_are_told_what_to_do_with_the_link(hookline: Callable[..., Any]) -> None:
    """Without --json: the link, that it is shown once, a table; the store is the usual one unless it is said."""
    said = hookline("users", "invite", "vic@example.com", "--role", "viewer")
    assert "/welcome/" in said.out
    assert "demo" in said.out
    assert "cannot be shown again" in said.err
    assert "invited" in hookline("users", "list").out


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("invite", "a b", "--store", "shop"), "login must be"),
        (("invite", "ada@example.com", "--role", "owner"), "'owner' is no role"),
        (("invite", "ada@example.com", "--role", "operator", "--store", "shop"), "operator belongs to no store"),
        (("invite", "ada@example.com", "--store", "a b"), "store"),
        (("reset", "nobody@example.com"), "no user 'nobody@example.com'"),
        (("disable", "usr_nobody"), "no user 'usr_nobody'"),
        (("enable", "x\x00y"), "no user"),
    ],
)
def test_bad_input_is_refused(hookline: Callable[..., Any], arguments: tuple[str, ...], words: str) -> None:
    """Nothing is written, the reason is told, status 2."""
    found = hookline("users", *arguments)
    assert found.status == 2
    assert words in found.err
    assert hookline("users", "list", "--json").json == []


def test_the_last_operator_stays(hookline: Callable[..., Any]) -> None:
    """The last operator is not disabled; with another, either may be; a taken login is refused."""
    assert hookline("users", "invite", "o1@example.com", "--role", "operator").status == 0
    refused = hookline("users", "disable", "o1@example.com")
    assert (refused.status, "last operator" in refused.err) == (2, True)
    taken = hookline("users", "invite", "O1@example.com", "--role", "operator")
    assert (taken.status, "The login o1@example.com is taken" in taken.err) == (2, True)
    assert hookline("users", "invite", "o2@example.com", "--role", "operator").status == 0
    assert hookline("users", "disable", "o1@example.com").status == 0
    assert hookline("users", "disable", "o2@example.com").status == 2
