"""`hookline events`: the catalogue for people and for scripts, and publishing by hand."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from hookline.cli.commands import build
from hookline.kernel import kafka
from hookline.kernel.config import load
from hookline.kernel.errors import InputError
from hookline.schemas.catalogue import EVENT_TYPES
from hookline.schemas.fields import fields_of
from hookline.schemas.registry import EmbeddedRegistry
from hookline.schemas.topics import Topics, TopicsConfig, create, specs
from hookline.schemas.wire import Codec

pytestmark = pytest.mark.unit
RUNNER = CliRunner()


def test_types_lists_the_catalogue() -> None:
    """All 17 types with category and description; a category narrows it down."""
    found = json.loads(RUNNER.invoke(build("events"), ["events", "types", "--json"]).stdout)
    assert [row["type"] for row in found] == list(EVENT_TYPES)
    assert all(row["description"] for row in found)
    orders = json.loads(RUNNER.invoke(build("events"), ["events", "types", "--category", "orders", "--json"]).stdout)
    assert {row["category"] for row in orders} == {"orders"}
    answer = RUNNER.invoke(build("events"), ["events", "types", "--category", "shoes"])
    assert isinstance(answer.exception, InputError)


@pytest.mark.parametrize("name", list(EVENT_TYPES))
def test_show_gives_fields_schema_and_example(name: str) -> None:
    """For people the fields with their paths and an example; for scripts the Avro schema too."""
    people = RUNNER.invoke(build("events"), ["events", "show", name])
    assert people.exit_code == 0
    assert EVENT_TYPES[name].description in people.stdout
    found = json.loads(RUNNER.invoke(build("events"), ["events", "show", name, "--json"]).stdout)
    assert found["schema"] == dict(EVENT_TYPES[name].schema)
    assert found["example"] == dict(EVENT_TYPES[name].example)


@pytest.mark.parametrize("name", list(EVENT_TYPES))
def test_every_field_of_an_example_is_listed(name: str) -> None:
    """The list of fields leaves nothing out, however deep it stands."""
    listed = {field.path for field in fields_of(EVENT_TYPES[name].schema)}
    maps = {field.path for field in fields_of(EVENT_TYPES[name].schema) if field.holds.startswith("object of")}

    def paths(value: object, path: str) -> set[str]:
        if isinstance(value, dict) and path not in maps:
            return {path}.union(*(paths(inner, f"{path}.{key}") for key, inner in value.items()))
        if isinstance(value, list):
            return set().union(*(paths(inner, f"{path}[]") for inner in value))
        return {path}

    assert paths(dict(EVENT_TYPES[name].example), "data") <= listed


def test_an_unknown_type_is_answered_with_close_ones() -> None:
    """As everywhere."""
    answer = RUNNER.invoke(build("events"), ["events", "show", "order.creatd"])
    assert isinstance(answer.exception, InputError)
    assert "order.created" in answer.exception.remedy


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--data", "{"], "--data is not JSON"),
        (["--data", '{"a":1,"a":2}'], "'a' stands twice"),
        (["--data", "[]"], "data must be an object"),
        (["--data", "{}"], "data.order_id is missing"),
        (["--data", "@/no/such/file"], "/no/such/file cannot be read"),
        (["--id", "a.b"], "id must be 1 to 64 characters"),
        (["--store", ""], "store_id must be 1 to 64 characters"),
        (["--occurred-at", "yesterday"], "'yesterday' is no time"),
        (["--occurred-at", "2026-03-14T09:26:53"], "occurred_at has no time zone"),
    ],
)
def test_what_is_wrong_is_said_before_kafka_is_asked(arguments: list[str], words: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """No broker is needed to learn of a wrong event."""
    monkeypatch.delenv("KAFKA_BOOTSTRAP_SERVERS", raising=False)
    answer = RUNNER.invoke(build("events"), ["events", "publish", "--type", "order.paid", *arguments])
    assert isinstance(answer.exception, InputError)
    assert words in str(answer.exception)
    assert answer.exception.remedy


@pytest.mark.kafka
@pytest.mark.process
def test_publish_puts_the_event_on_kafka(kafka_environ: dict[str, str], tmp_path: Path) -> None:
    """From an option, from a file, from standard input, or the example; with one's own id and time."""
    environ = {**os.environ, **kafka_environ, "HOOKLINE_TOPIC_PREFIX": f"c{os.urandom(4).hex()}", "HOOKLINE_STATE_DIR": str(tmp_path)}
    config = load(kafka.KafkaConfig, environ)
    topics = Topics(config.topic_prefix)
    create(config, specs(topics, load(TopicsConfig, environ)), 1)
    example = json.dumps(EVENT_TYPES["order.paid"].example)
    (tmp_path / "data.json").write_text(example)
    ways = {"plain": [], "text": ["--data", example], "file": ["--data", f"@{tmp_path / 'data.json'}"], "stdin": ["--data", "-"]}
    for name, arguments in ways.items():
        command = [sys.executable, "-m", "hookline.cli.main", "events", "publish", "--type", "order.paid", "--store", "shop", "--json"]
        command += ["--id", name, "--occurred-at", "2026-03-14T09:26:53Z", *arguments]
        run = subprocess.run(command, env=environ, input=example, capture_output=True, text=True, timeout=120, check=False)
        assert run.returncode == 0, run.stderr
        assert json.loads(run.stdout)["topic"] == topics.events("orders")
    registry = EmbeddedRegistry(config)
    registry.start()
    codec = Codec(registry)
    found = [codec.decode(message.value() or b"") for message in kafka.scan(config, [topics.events("orders")])]
    registry.stop()
    assert {event.id for event in found} == set(ways)
    assert {event.occurred_at.isoformat() for event in found} == {"2026-03-14T09:26:53+00:00"}
    assert len({json.dumps(event.data, default=str, sort_keys=True) for event in found}) == 1
