"""`hookline schemas` over the real broker: a registry to look at, and a gate for CI."""

from __future__ import annotations

import os
from collections.abc import Callable
from copy import deepcopy
from typing import Any

import pytest

from hookline.kernel.config import load
from hookline.kernel.kafka import KafkaConfig
from hookline.schemas import registration
from hookline.schemas import registry as registry_module
from hookline.schemas.catalogue import EVENT_TYPES, SCHEMAS
from hookline.schemas.topics import TopicSpec, create

pytestmark = pytest.mark.kafka


@pytest.fixture(autouse=True)
def own_registry(kafka_environ: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Give the test an empty registry of its own on the session's broker."""
    for name, value in kafka_environ.items():
        monkeypatch.setenv(name, value)
    topic = f"_schemas.{os.urandom(4).hex()}"
    monkeypatch.setattr(registry_module, "TOPIC", topic)
    create(load(KafkaConfig, kafka_environ), [TopicSpec(name=topic, partitions=1, config={"cleanup.policy": "compact"})], 1)


def changed_build(monkeypatch: pytest.MonkeyPatch, change: Callable[[dict[str, Any]], Any]) -> None:
    """Have this build come with another schema of `order.paid`."""
    schema = deepcopy(dict(SCHEMAS["hookline.orders.OrderPaid"]))
    change(next(field["type"] for field in schema["fields"] if field["name"] == "data"))
    build = {**SCHEMAS, "hookline.orders.OrderPaid": schema}
    monkeypatch.setattr(registration, "SCHEMAS", build)
    monkeypatch.setattr(registry_module, "SCHEMAS", build)


def test_register_list_and_show(hookline: Callable[..., Any]) -> None:
    """Registering tells ids and states, again changes nothing; the list agrees; a schema is shown by type or subject."""
    before = hookline("schemas", "list", "--json").json
    assert {row["state"] for row in before} == {"not registered"}
    first = hookline("schemas", "register", "--json")
    assert first.status == 0
    assert [(row["subject"], row["state"]) for row in first.json] == [(subject, "registered") for subject in SCHEMAS]
    again = hookline("schemas", "register", "--json").json
    assert [(row["id"], row["state"]) for row in again] == [(row["id"], "was there") for row in first.json]
    listed = hookline("schemas", "list", "--json").json
    assert [(row["id"], row["version"], row["state"]) for row in listed] == [(row["id"], 1, "registered") for row in first.json]
    assert hookline("schemas", "show", "order.paid").json == SCHEMAS["hookline.orders.OrderPaid"]
    assert hookline("schemas", "show", "hookline.orders.OrderPaid").json == EVENT_TYPES["order.paid"].schema


def test_people_get_tables(hookline: Callable[..., Any]) -> None:
    """Without --json there is a table to read."""
    said = hookline("schemas", "register")
    assert said.status == 0
    assert "hookline.orders.OrderCreated" in said.out
    said = hookline("schemas", "list")
    assert "order.created" in said.out
    assert "registered" in said.out


def test_a_compatible_build_passes_the_gate(hookline: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """A field added with a default passes, and is registered as version 2."""
    hookline("schemas", "register")
    changed_build(monkeypatch, lambda data: data["fields"].append({"name": "x", "type": ["null", "string"], "default": None}))
    said = hookline("schemas", "check")
    assert said.status == 0
    assert "reads whatever" in said.err
    assert hookline("schemas", "check", "--json").json == {"compatible": True, "problems": [], "upgrade_readers_first": []}
    row = next(r for r in hookline("schemas", "list", "--json").json if r["event_type"] == "order.paid")
    assert row["state"] == "changed: register it"
    assert row["id"] is None
    assert [r["subject"] for r in hookline("schemas", "register", "--json").json if r["state"] == "registered"] == [
        "hookline.orders.OrderPaid"
    ]
    row = next(r for r in hookline("schemas", "list", "--json").json if r["event_type"] == "order.paid")
    assert (row["version"], row["state"]) == (2, "registered")


def test_an_incompatible_build_fails_the_gate(hookline: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """A field of another type fails `check` with a status for CI, names the path, and cannot be registered."""
    hookline("schemas", "register")
    changed_build(monkeypatch, lambda data: data["fields"][0].update(type="long"))
    said = hookline("schemas", "check")
    assert said.status == 1
    assert "hookline.orders.OrderPaid, version 1: data.order_id: string cannot be read as long" in said.err
    assert "what to do" in said.err
    said = hookline("schemas", "check", "--json")
    assert said.status == 1
    assert said.json["compatible"] is False
    assert len(said.json["problems"]) == 1
    said = hookline("schemas", "register")
    assert said.status == 1
    assert "data.order_id" in said.err
    assert {row["version"] for row in hookline("schemas", "list", "--json").json} == {1}


def test_the_order_of_upgrading_is_told(hookline: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """A change that running dispatchers cannot read passes, and the command says who comes first."""
    hookline("schemas", "register")
    changed_build(monkeypatch, lambda data: data["fields"].remove(next(f for f in data["fields"] if f["name"] == "paid_at")))
    said = hookline("schemas", "check")
    assert said.status == 0
    assert "data.paid_at" in said.err
    assert "upgrade dispatchers and sinks before whatever publishes" in said.err


def test_an_unknown_schema_is_told_its_neighbours(hookline: Callable[..., Any]) -> None:
    """A misspelt type is bad input."""
    said = hookline("schemas", "show", "order.payed")
    assert said.status == 2
    assert "order.paid" in said.err


def test_a_registry_that_is_away_is_named(hookline: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """A registry over REST that does not answer: a clear error, no stack trace."""
    monkeypatch.setenv("SCHEMA_REGISTRY_URL", "http://127.0.0.1:1")
    said = hookline("schemas", "check")
    assert said.status == 1
    assert "SCHEMA_REGISTRY_URL" in said.err


def test_topics_are_created_once(hookline: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """`topics create` makes what is missing, again changes nothing; `topics list` compares."""
    monkeypatch.setenv("HOOKLINE_TOPIC_PREFIX", f"t{os.urandom(3).hex()}")
    assert {row["state"] for row in hookline("topics", "list", "--json").json if row["topic"] != "_schemas"} == {
        "missing: hookline topics create"
    }
    first = hookline("topics", "create", "--json")
    assert first.status == 0
    assert {row["state"] for row in first.json if row["topic"] != "_schemas"} == {"created"}
    assert {row["state"] for row in hookline("topics", "create", "--json").json} == {"was there"}
    assert {row["state"] for row in hookline("topics", "list", "--json").json} == {"as wanted"}
    monkeypatch.setenv("HOOKLINE_EVENT_PARTITIONS", "7")
    assert "other partition count" in hookline("topics", "list").out


def test_topics_say_what_the_broker_refuses(hookline: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """More copies than brokers: the topic and the broker's words are named."""
    monkeypatch.setenv("HOOKLINE_TOPIC_PREFIX", f"t{os.urandom(3).hex()}")
    monkeypatch.setenv("HOOKLINE_REPLICATION_FACTOR", "3")
    said = hookline("topics", "create")
    assert said.status == 1
    assert "cannot be created" in said.err
