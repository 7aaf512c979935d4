"""`hookline api-keys` over the real broker: made, listed, revoked, and never shown again."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import Any

import pytest

from hookline.kernel import kafka
from hookline.kernel.config import load
from hookline.kernel.kafka import KafkaConfig
from hookline.schemas.topics import Topics, TopicsConfig, create, specs

pytestmark = pytest.mark.kafka


@pytest.fixture(autouse=True)
def topic(kafka_environ: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> str:
    """Give the test topics of its own on the session's broker; return the keys' name."""
    return made(kafka_environ, monkeypatch, lambda topics: {topics.api_keys, topics.audit})


def made(kafka_environ: dict[str, str], monkeypatch: pytest.MonkeyPatch, wanted: Callable[[Topics], set[str]]) -> str:
    """Make some of the topics under a prefix of the test's own; return the keys' name."""
    environ = {**kafka_environ, "HOOKLINE_TOPIC_PREFIX": f"t{os.urandom(4).hex()}"}
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    topics = Topics(environ["HOOKLINE_TOPIC_PREFIX"])
    create(load(KafkaConfig, environ), [spec for spec in specs(topics, load(TopicsConfig, environ)) if spec.name in wanted(topics)], 1)
    return topics.api_keys


def test_the_life_of_a_key(hookline: Callable[..., Any], kafka_environ: dict[str, str], topic: str) -> None:
    """Created, shown once, listed without itself, revoked; only a digest lies on the topic."""
    made = hookline("api-keys", "create", "--store", "shop", "--name", "ERP", "--expires-days", "30", "--json").json
    assert made["key"].startswith("hlk_")
    assert (made["store_id"], made["name"], made["scopes"], made["state"]) == ("shop", "ERP", ["events:write"], "live")
    assert made["expires_at"] > made["created_at"]
    listed = hookline("api-keys", "list", "--json")
    assert [row["id"] for row in listed.json] == [made["id"]]
    assert made["key"] not in listed.out
    assert hookline("api-keys", "list", "--store", "another", "--json").json == []
    revoked = hookline("api-keys", "revoke", made["id"], "--json").json
    assert revoked["state"] == "revoked"
    assert hookline("api-keys", "revoke", made["id"], "--json").json == revoked
    raw = b"".join(_bytes(message.value()) for message in kafka.scan(load(KafkaConfig, kafka_environ), [topic]))
    assert made["key"].encode() not in raw
    assert made["key"].split("_")[2].encode() not in raw


def _bytes(value: bytes | str | None) -> bytes:
    return value.encode() if isinstance(value, str) else value or b""


def test_people_are_told_to_keep_it(hookline: Callable[..., Any]) -> None:
    """Without --json: how to begin, that it is shown once, a table."""
    assert "hookline api-keys create" in hookline("api-keys", "list").out
    said = hookline("api-keys", "create")
    assert "hlk_" in said.out
    assert "cannot be shown again" in said.err
    assert "live" in hookline("api-keys", "list").out


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--store", "../etc"), "store_id must be"),
        (("--store", "a b"), "store_id must be"),
        (("--scope", "everything"), "everything"),
        (("--name", "a\x1bb"), "name"),
        (("--expires-days", "-1"), "from 0 to"),
        (("--expires-days", "nan"), "from 0 to"),
        (("--expires-days", "1e300"), "from 0 to"),
        (("--expires-days", "soon"), "--expires-days"),
    ],
)
def test_bad_input_is_told(hookline: Callable[..., Any], arguments: tuple[str, ...], words: str) -> None:
    """Each mistake: status 2 and one clear error."""
    said = hookline("api-keys", "create", *arguments)
    assert said.status == 2
    assert words in said.err
    assert "what to do: " in said.err or "soon" in arguments  # the parser of the command line tells of that in words of its own


def test_what_is_missing_is_named(hookline: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """An unknown id, and no pepper."""
    assert "no API key 'nothing'" in hookline("api-keys", "revoke", "nothing").err
    monkeypatch.delenv("HOOKLINE_API_KEY_PEPPER")
    said = hookline("api-keys", "create")
    assert said.status == 1
    assert "HOOKLINE_API_KEY_PEPPER" in said.err


def test_a_key_is_shown_though_the_audit_cannot_be_written(
    hookline: Callable[..., Any], kafka_environ: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is there and shown only once, so that a missing topic costs the line, is said, and takes seconds."""
    made(kafka_environ, monkeypatch, lambda topics: {topics.api_keys})
    began = time.monotonic()
    said = hookline("api-keys", "create", "--store", "shop", "--json")
    assert (said.status, said.json["key"][:4]) == (0, "hlk_")
    assert "the audit has no line of it" in said.err
    assert time.monotonic() - began < 25
