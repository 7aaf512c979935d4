"""The AsyncAPI document: whole, closed within itself, and true: the examples are calls as they go out."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import jsonschema_rs
import orjson
import pytest
from standardwebhooks.webhooks import Webhook

from hookline.console.http.asyncapi import EXAMPLE_SECRET, document
from hookline.dispatcher.outcome import SCHEDULES
from hookline.schemas import payload
from hookline.schemas.catalogue import EVENT_TYPES
from hookline.schemas.events import Event, validate

pytestmark = pytest.mark.unit

DOCUMENT: dict[str, Any] = document()
# What AsyncAPI 3.0 knows of each object (the parts that we use), so that a misspelt field is found. Names beginning with x- are free.
FIELDS = {
    "root": "asyncapi id info servers defaultContentType channels operations components",
    "info": "title version description termsOfService contact license tags externalDocs",
    "components": "schemas servers channels operations messages securitySchemes serverVariables parameters correlationIds replies "
    "replyAddresses externalDocs tags operationTraits messageTraits serverBindings channelBindings operationBindings messageBindings",
    "channel": "address messages title summary description servers parameters tags externalDocs bindings",
    "operation": "action channel title summary description security tags externalDocs bindings traits messages reply",
    "message": "headers payload correlationId contentType name title summary description tags externalDocs bindings examples traits",
    "example": "name summary headers payload",
    "securityScheme": "type name in description",
}
CLOSED_KEY = re.compile(r"[A-Za-z0-9_\-.]+\Z")


def objects() -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield every object of the document with its kind."""
    parts = DOCUMENT["components"]
    yield from (("root", DOCUMENT), ("info", DOCUMENT["info"]), ("components", parts))
    yield from (("channel", found) for found in DOCUMENT["channels"].values())
    yield from (("operation", found) for found in DOCUMENT["operations"].values())
    yield from (("message", found) for found in parts["messages"].values())
    yield from (("example", found) for message in parts["messages"].values() for found in message["examples"])
    yield from (("securityScheme", found) for found in parts["securitySchemes"].values())


def references(part: Any) -> Iterator[str]:
    """Yield every `$ref` of the document."""
    if isinstance(part, dict):
        if isinstance(part.get("$ref"), str):
            yield part["$ref"]
        part = list(part.values())
    for one in part if isinstance(part, list) else ():
        yield from references(one)


def resolved(reference: str) -> Any:
    """Return what a reference leads to."""
    found: Any = DOCUMENT
    for step in reference.removeprefix("#/").split("/"):
        found = found[step]
    return found


def validator(name: str) -> jsonschema_rs.Draft7Validator:
    """Return the validator of a schema of the document, formats too."""
    schemas = DOCUMENT["components"]["schemas"]
    return jsonschema_rs.Draft7Validator({"components": {"schemas": schemas}, **schemas[name]}, validate_formats=True)


def test_it_is_asyncapi_3() -> None:
    """The version, what must be there, no field that AsyncAPI does not know, and keys of its alphabet."""
    assert DOCUMENT["asyncapi"] == "3.0.0"
    assert DOCUMENT["info"]["title"]
    assert DOCUMENT["info"]["version"]
    for kind, found in objects():
        assert [name for name in found if name not in FIELDS[kind].split() and not name.startswith("x-")] == [], kind
    names = [name for part in DOCUMENT["components"].values() for name in part]
    assert [name for name in names if not CLOSED_KEY.match(name)] == []
    assert {found["action"] for found in DOCUMENT["operations"].values()} == {"send"}


def test_every_reference_leads_somewhere() -> None:
    """No `$ref` dangles, and none leaves the document; messages of the operation are those of its channel."""
    found = set(references(DOCUMENT))
    assert len(found) > 2 * len(EVENT_TYPES)
    assert all(isinstance(resolved(reference), dict) for reference in found)
    channel = DOCUMENT["operations"]["deliver"]["channel"]["$ref"]
    assert all(one["$ref"].startswith(f"{channel}/messages/") for one in DOCUMENT["operations"]["deliver"]["messages"])


def test_every_event_type_is_there() -> None:
    """Each type of the catalogue has a message on the channel and in the operation, and a schema that names it."""
    parts = DOCUMENT["components"]
    assert list(parts["messages"]) == list(DOCUMENT["channels"]["webhook"]["messages"]) == list(EVENT_TYPES)
    assert [one["$ref"].rpartition("/")[2] for one in DOCUMENT["operations"]["deliver"]["messages"]] == list(EVENT_TYPES)
    assert all(parts["schemas"][name]["properties"]["type"]["const"] == name for name in EVENT_TYPES)


@pytest.mark.parametrize("name", EVENT_TYPES)
def test_examples_are_calls_as_they_go_out(name: str) -> None:
    """Headers and body fit their schemas, and an independent library makes the same signature of them."""
    example = DOCUMENT["components"]["messages"][name]["examples"][0]
    validator(name).validate(example["payload"])
    validator("call").validate(example["headers"])
    headers, text = example["headers"], orjson.dumps(example["payload"]).decode()
    at = datetime.fromtimestamp(int(headers["webhook-timestamp"]), UTC)
    assert headers["webhook-signature"] == Webhook(EXAMPLE_SECRET).sign(headers["webhook-id"], at, text)


@pytest.mark.parametrize("name", EVENT_TYPES)
def test_schemas_take_what_receivers_get_and_no_less(name: str) -> None:
    """What was published passes once it is as receivers get it; a body without one of its fields, or with a text for a number, does not."""
    at, data = datetime(2026, 3, 14, tzinfo=UTC), dict(EVENT_TYPES[name].example)
    event = validate(Event(id="evt_1", type=name, store_id="demo", occurred_at=at, data=data))
    body = orjson.loads(payload.body(event))
    found = validator(name)
    assert found.is_valid(body)
    assert found.is_valid({**body, "later": 1})
    for field in body:
        assert not found.is_valid({key: value for key, value in body.items() if key != field}), field
    for field in body["data"]:
        assert not found.is_valid({**body, "data": {key: value for key, value in body["data"].items() if key != field}}), field
        assert not found.is_valid({**body, "data": {**body["data"], field: 1.5}}), field


def test_schemas_are_open_for_what_comes_later_and_know_what_there_is() -> None:
    """A new symbol of an enumeration passes; those of today are named for those who generate code."""
    status = DOCUMENT["components"]["schemas"]["OrderStatus"]
    assert "PENDING" in status["anyOf"][0]["enum"]
    found = validator("OrderStatus")
    assert (found.is_valid("PENDING"), found.is_valid("TELEPORTED"), found.is_valid(7)) == (True, True, False)


def test_retries_are_those_of_the_dispatcher() -> None:
    """The schedules that a developer reads are those that are kept."""
    told = DOCUMENT["operations"]["deliver"]["x-retries"]["schedules"]
    assert {name: tuple(found["pauses_s"]) for name, found in told.items()} == SCHEDULES
    assert told["default"]["attempts"] == 8
