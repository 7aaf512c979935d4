"""The templates that come with Hookline: right for every type of event, and in the form that their makers ask for."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from examples.slack_stand_in import fault
from hookline.kernel.clock import SystemClock
from hookline.schemas import payload
from hookline.schemas.catalogue import EVENT_TYPES, event_type
from hookline.schemas.events import example_event
from hookline.webhooks.presets import LINES, PRESETS
from hookline.webhooks.templates import Content, check_template, compile_template, headers_needed, source_of, template_text

pytestmark = pytest.mark.unit

HOSTILE = "<!channel> *_~`[a](b)> @everyone\n> & https://evil.example \u202e" + "*" * 5_000


def usual(name: str) -> dict[str, Any]:
    """Return an example as its usual body says it."""
    found: dict[str, Any] = json.loads(payload.body(example_event(name, "shop", clock=SystemClock())))
    return found


def made(preset: str, event: Mapping[str, Any]) -> Content:
    """Return what a preset sends."""
    return compile_template(preset).fill(event, len(json.dumps(event)))


def hostile(value: Any) -> Any:
    """Return data with every text replaced by one that wants to be a mention, a link, and too long."""
    if isinstance(value, dict):
        return {name: inner if name == "currency" else hostile(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [hostile(inner) for inner in value]
    return HOSTILE if isinstance(value, str) else value


def texts(tree: Any) -> Iterator[str]:
    """Yield all texts of some JSON."""
    if isinstance(tree, str):
        yield tree
    for inner in tree.values() if isinstance(tree, dict) else tree if isinstance(tree, list) else ():
        yield from texts(inner)


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("name", EVENT_TYPES)
def test_a_preset_fits_every_type(preset: str, name: str) -> None:
    """It can be chosen for whatever types a webhook has, and says the same as the template that it is shown as."""
    check_template(template_text(preset), [name])
    event = usual(name)
    content = made(preset, event)
    if isinstance(json.loads(source_of(preset, name)), dict):
        assert compile_template(template_text(source_of(preset, name))).fill(event, 9_999).body == content.body


def test_no_preset_reaches_through_what_may_be_null() -> None:
    """No real event makes one fail: what a field lies in is never null, by the schema."""
    assert set(LINES) == set(EVENT_TYPES)
    for name, lines in LINES.items():
        for path in re.findall(r"\$\{([\w.]+)", " ".join(lines)):
            named: dict[str, Any] = {}
            at: Any = known(event_type(name).schema, named)
            for step in path.split("."):
                assert isinstance(at, dict), f"{name}: {path} goes through what may be null"
                [field] = [field for field in at["fields"] if field["name"] == step]
                at = named.get(field["type"], field["type"]) if isinstance(field["type"], str) else field["type"]


def known(schema: Any, named: dict[str, Any]) -> Any:
    """Return a schema, with all types that it names noted under their names."""
    if isinstance(schema, dict):
        if "name" in schema:
            named[schema["name"]] = named[f"{schema.get('namespace', '')}.{schema['name']}"] = schema
        for inner in schema.values():
            known(inner, named)
    for inner in schema if isinstance(schema, list) else ():
        known(inner, named)
    return schema


@pytest.mark.parametrize("name", EVENT_TYPES)
def test_slack_takes_the_message(name: str) -> None:
    """By Slack's rules on messages and blocks, also of an event whose texts are hostile; nothing in them is a mention."""
    event = usual(name)
    for one in (event, {**event, "data": hostile(event["data"])}):
        content = made("slack", one)
        message = json.loads(content.body)
        assert fault(message) == ""
        assert content.content_type == "application/json"
        assert not any(set("<>\n") & set(text) for text in texts(message))
        assert message["mrkdwn"] is False
        assert "mrkdwn" not in texts(message)


@pytest.mark.parametrize("name", EVENT_TYPES)
def test_discord_takes_the_message(name: str) -> None:
    """One embed within Discord's lengths, and nobody is mentioned."""
    event = usual(name)
    for one in (event, {**event, "data": hostile(event["data"])}):
        message = json.loads(made("discord", one).body)
        [embed] = message["embeds"]
        assert message["allowed_mentions"] == {"parse": []}
        assert 0 < len(embed["title"]) <= 256
        assert 0 < len(embed["description"]) <= 4_096
        assert len(embed["footer"]["text"]) <= 2_048
        assert embed["timestamp"] == event["timestamp"]
        assert not any("\n" in text for text in texts(message))


@pytest.mark.parametrize("name", EVENT_TYPES)
def test_teams_takes_the_card(name: str) -> None:
    """A message with one adaptive card of text runs, which know no Markdown, below 28 KB."""
    event = usual(name)
    content = made("teams", {**event, "data": hostile(event["data"])})
    message = json.loads(content.body)
    [attachment] = message["attachments"]
    card = attachment["content"]
    assert (message["type"], attachment["contentType"]) == ("message", "application/vnd.microsoft.card.adaptive")
    assert (card["type"], card["version"]) == ("AdaptiveCard", "1.2")
    assert all(
        block["type"] == "RichTextBlock" and run["type"] == "TextRun" and run["text"] for block in card["body"] for run in block["inlines"]
    )
    assert not any("\n" in text for text in texts(message))
    assert len(content.body) < 28_000


@pytest.mark.parametrize("name", EVENT_TYPES)
def test_cloudevents_in_both_forms(name: str) -> None:
    """Structured and binary say the same: the required attributes, the time, and the event's data."""
    event = usual(name)
    structured, binary = made("cloudevents", event), made("cloudevents-binary", event)
    body = json.loads(structured.body)
    attributes = {"specversion": "1.0", "id": event["id"], "source": "/stores/shop", "type": name, "time": event["timestamp"]}
    assert body == {**attributes, "datacontenttype": "application/json", "data": event["data"]}
    assert (structured.content_type, structured.headers) == ("application/cloudevents+json", ())
    assert json.loads(binary.body) == event["data"]
    assert binary.content_type == "application/json"
    assert dict(binary.headers) == {f"ce-{attribute}": value for attribute, value in attributes.items()}


def test_headers_are_written_as_cloudevents_asks() -> None:
    """Anything but printable ASCII, spaces, quotes and percent signs are in percent; a header cannot be split."""
    event = usual("order.created") | {"store_id": 'Euro € 😀"%\r\nx: y'}
    assert dict(made("cloudevents-binary", event).headers)["ce-source"] == "/stores/Euro%20%E2%82%AC%20%F0%9F%98%80%22%25%0D%0Ax:%20y"


def test_which_headers_are_needed() -> None:
    """Only the binary form has headers, so that a store's own may not be the same."""
    assert {name for name in PRESETS if headers_needed(name)} == {"cloudevents-binary"}
    assert [name for name, _ in headers_needed("cloudevents-binary")] == ["ce-specversion", "ce-id", "ce-source", "ce-type", "ce-time"]
    assert headers_needed("") == headers_needed('{\n  "a": 1\n}') == ()
