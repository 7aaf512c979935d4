"""AsyncAPI 3.0 of the webhooks themselves: what receivers are called with, made from the catalogue and the dispatcher's own rules."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, Final, TypeAlias

import orjson

from hookline import __version__
from hookline.dispatcher.outcome import LONGEST_S, SCHEDULES
from hookline.dispatcher.signatures import USER_AGENT
from hookline.dispatcher.signing import Signer
from hookline.schemas import payload
from hookline.schemas.catalogue import EVENT_TYPES, EventType
from hookline.schemas.events import Event
from hookline.schemas.json_schema import body_schema, shared_types
from hookline.webhooks.secrets import parse_secret

Schema: TypeAlias = dict[str, Any]

CHANNEL: Final = "webhook"
SCHEMAS: Final = "#/components/schemas/"
EXAMPLE_SECRET: Final = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"  # noqa: S105  # Standard Webhooks publishes it for its vector
_EXAMPLE_ID: Final = "msg_p5jXN8AQM9LWM0D4loKWxJek"
_EXAMPLE_AT_S: Final = 1_773_480_413
_HEADERS: Final = "call"
_SIGNATURE: Final = "signature"
_INTRODUCTION: Final = """\
What a store's webhooks are called with: a POST with one event as JSON, signed as Standard Webhooks 1.0.0 defines it.
A webhook with a template sends that in place of the bodies below, signed in the same way.

Delivery is at least once and in no promised order: remember `webhook-id` for 40 days, in which what was
given up can still be replayed, and ignore what you have seen.
More fields and new symbols may come at any time: ignore what you do not know.
"""
_SENDING: Final = """\
Answer 2xx within the time limit (10 s unless the webhook says otherwise) and do the work afterwards. Anything else, redirects too, is
tried again by the webhook's schedule; 410 disables the webhook; 429, 502, 503 and 504 with Retry-After are tried again no earlier than
that, a day at most. What no attempt delivered becomes a dead letter, which can be replayed.
"""
_SIGNED: Final = """\
`v1,` and the base64 of HMAC-SHA-256 over `webhook-id`, `webhook-timestamp` and the raw body, joined by dots; several, separated by
spaces, while a secret is being replaced. The key is what stands behind `whsec_` in the webhook's secret, decoded from base64. Verify it
in constant time, and refuse a `webhook-timestamp` that is more than five minutes away.
"""


def document() -> Schema:
    """Return the AsyncAPI document of all event types."""
    return {
        "asyncapi": "3.0.0",
        "info": {"title": "Hookline webhooks", "version": __version__, "description": _INTRODUCTION},
        "defaultContentType": "application/json",
        "channels": {CHANNEL: _channel()},
        "operations": {"deliver": _operation()},
        "components": {
            "schemas": {
                _HEADERS: _headers(),
                **{kind.name: body_schema(kind, SCHEMAS) for kind in EVENT_TYPES.values()},
                **shared_types(SCHEMAS),
            },
            "messages": {kind.name: _message(kind) for kind in EVENT_TYPES.values()},
            "securitySchemes": {
                _SIGNATURE: {"type": "httpApiKey", "name": "webhook-signature", "in": "header", "description": _SIGNED},
            },
        },
    }


def _channel() -> Schema:
    return {
        "address": None,
        "title": "A webhook",
        "description": "The URL of a webhook, which the store's developer gives.",
        "messages": {name: {"$ref": f"#/components/messages/{name}"} for name in EVENT_TYPES},
    }


def _operation() -> Schema:
    return {
        "action": "send",
        "channel": {"$ref": f"#/channels/{CHANNEL}"},
        "title": "Deliver an event",
        "summary": "Hookline calls every enabled webhook that asked for the event's type and whose filter it passes.",
        "description": _SENDING,
        "security": [{"$ref": f"#/components/securitySchemes/{_SIGNATURE}"}],
        "bindings": {"http": {"method": "POST", "bindingVersion": "0.3.0"}},
        "messages": [{"$ref": f"#/channels/{CHANNEL}/messages/{name}"} for name in EVENT_TYPES],
        "x-retries": {
            "delivered": "2xx",
            "disables": [410],
            "retry_after": {"statuses": [429, 502, 503, 504], "longest_s": LONGEST_S},
            "schedules": {name: {"attempts": len(delays) + 1, "pauses_s": list(delays)} for name, delays in SCHEDULES.items()},
        },
    }


def _headers() -> Schema:
    fields = {
        "content-type": {"type": "string", "const": "application/json"},
        "user-agent": _text("Hookline/ and its version"),
        "webhook-id": _text("the delivery: the same for every copy and every attempt"),
        "webhook-timestamp": _text("seconds since the epoch, of this attempt", pattern="^[0-9]+$"),
        "webhook-signature": _text(_SIGNED, pattern="^v1,[A-Za-z0-9+/]+=*( v1,[A-Za-z0-9+/]+=*)*$"),
        "hookline-attempt": _text("the number of the attempt, from 1", pattern="^[0-9]+$"),
        "hookline-webhook": _text("the webhook's id"),
    }
    more = {"traceparent": _text("W3C trace context, where the publisher gave one")}
    text = "What comes with every call, beside the headers that the webhook itself is given."
    return {"type": "object", "description": text, "properties": {**fields, **more}, "required": list(fields)}


def _text(description: str, **more: str) -> Schema:
    return {"type": "string", "description": description, **more}


def _message(kind: EventType) -> Schema:
    return {
        "name": kind.name,
        "title": kind.name,
        "summary": kind.description,
        "contentType": "application/json",
        "tags": [{"name": kind.category}],
        "correlationId": {"location": "$message.header#/webhook-id"},
        "headers": {"$ref": SCHEMAS + _HEADERS},
        "payload": {"$ref": SCHEMAS + kind.name},
        "bindings": {"http": {"headers": {"$ref": SCHEMAS + _HEADERS}, "bindingVersion": "0.3.0"}},
        "examples": [_example(kind)],
    }


def _example(kind: EventType) -> Schema:
    """Return a call as it goes out, signed with the secret that Standard Webhooks publishes."""
    at = datetime.fromtimestamp(_EXAMPLE_AT_S, UTC)
    body = payload.body(Event(id="evt_example", type=kind.name, store_id="demo", occurred_at=at, data=dict(kind.example)))
    headers = {
        "content-type": "application/json",
        "user-agent": USER_AGENT,
        "webhook-id": _EXAMPLE_ID,
        "webhook-timestamp": str(_EXAMPLE_AT_S),
        "webhook-signature": Signer([parse_secret(EXAMPLE_SECRET)]).headers(_EXAMPLE_ID, _EXAMPLE_AT_S, body),
        "hookline-attempt": "1",
        "hookline-webhook": "wh_example",
    }
    return {"name": "example", "summary": f"Signed with {EXAMPLE_SECRET}", "headers": headers, "payload": orjson.loads(body)}
