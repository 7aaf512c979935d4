"""The catalogue of bad input: each line is refused with its status and code, and nothing of it comes back or breaks anything."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, field
from typing import Any

import pytest

pytestmark = [pytest.mark.kafka, pytest.mark.process]

Stack = Any  # the fixtures' classes stand in conftest.py
GOOD = {"url": "http://127.0.0.1:9/bad-input", "event_types": ["order.created"]}


@dataclass(frozen=True)
class Bad:
    """One line: what is sent and how it is refused; `field` is checked unless empty."""

    name: str
    status: int
    code: str
    method: str = "POST"
    path: str = "/webhooks"
    raw: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    field: str = ""


def body(label: str, status: int, code: str, where: str = "", /, **changes: Any) -> Bad:
    """Return a line that sends a webhook with these values."""
    return Bad(label, status, code, raw=json.dumps({**GOOD, **changes}).encode(), field=where)


def raw(name: str, code: str, text: bytes) -> Bad:
    """Return a line that sends bytes that are no good JSON."""
    return Bad(name, 400, code, raw=text)


def event(label: str, status: int, code: str, where: str = "", /, **changes: Any) -> Bad:
    """Return a line that publishes an event with these values."""
    given = {"type": "order.paid", "data": {}, **changes}
    return Bad(label, status, code, path="/events", raw=json.dumps(given).encode(), field=where)


def get(name: str, status: int, code: str, path: str, **more: Any) -> Bad:
    """Return a line that only asks."""
    return Bad(name, status, code, method="GET", path=path, **more)


MALFORMED = [
    raw("not JSON", "malformed_json", b"{url: 1}"),
    raw("empty", "empty_body", b" "),
    raw("trailing data", "malformed_json", b"{} {}"),
    raw("byte order mark", "malformed_json", b"\xef\xbb\xbf{}"),
    raw("UTF-16", "malformed_json", "{}".encode("utf-16")),
    raw("NaN", "malformed_json", b'{"timeout_s": NaN}'),
    raw("Infinity", "malformed_json", b'{"timeout_s": -Infinity}'),
    raw("too deep", "nested_too_deep", b'{"a":' * 70 + b"1" + b"}" * 70),
    raw("deeper than any parser", "nested_too_deep", b"[" * 30_000 + b"]" * 30_000),
    raw("key twice", "duplicate_key", b'{"name": "a", "name": "b"}'),
    raw("key twice, escaped", "duplicate_key", b'{"name": "a", "n\\u0061me": "b"}'),
    raw("half a surrogate pair", "malformed_json", b'{"name": "\\ud800"}'),
    raw("65 bits", "number_too_large", b'{"timeout_s": 36893488147419103232}'),
    raw("5,000 digits", "malformed_json", b'{"timeout_s": ' + b"9" * 5_000 + b"}"),
    raw("bad UTF-8", "malformed_json", b'{"name": "\xff"}'),
]
FIELDS = [
    body("unknown field", 422, "invalid", "nope", nope=1),
    body("another spelling", 422, "invalid", "eventTypes", eventTypes=[]),
    Bad("a list", 422, "invalid", raw=b"[]"),
    Bad("null", 422, "invalid", raw=b"null"),
    Bad("a field missing", 422, "invalid", raw=b'{"url": "https://a.example.com"}', field="event_types"),
    body("number as text", 422, "invalid", "timeout_s", timeout_s="10"),
    body("boolean as number", 422, "invalid", "timeout_s", timeout_s=True),
    body("timeout 0", 422, "invalid", "timeout_s", timeout_s=0),
    body("timeout -1", 422, "invalid", "timeout_s", timeout_s=-1),
    body("timeout 1e9", 422, "invalid", "timeout_s", timeout_s=1e9),
    body("no types", 422, "invalid", "event_types", event_types=[]),
    body("types as text", 422, "invalid", "event_types", event_types="order.created"),
    body("a type that is no text", 422, "invalid", "event_types[1]", event_types=["order.paid", 5]),
    body("unknown type", 422, "unknown_event_type", "event_types[0]", event_types=["order.exploded"]),
    body("wildcard", 422, "unknown_event_type", event_types=["order.*"]),
    body("empty type", 422, "unknown_event_type", event_types=[""]),
    body("name too long", 422, "invalid", "name", name="x" * 129),
    body("NUL in the name", 422, "invalid", "name", name="a\0b"),
    body("line break in the name", 422, "invalid", "name", name="a\r\nb"),
    body("right-to-left mark", 422, "invalid", "name", name="a\u202eb"),
    body("zero-width space", 422, "invalid", "name", name="a\u200bb"),
    body("unknown schedule", 422, "invalid", "schedule", schedule="often"),
    body("secret too short", 422, "invalid", "secret", secret="whsec_" + "QUJD" * 2),
    body("secret too long", 422, "invalid", "secret", secret="whsec_" + "QUJD" * 23),
    body("secret no base64", 422, "invalid", "secret", secret="whsec_!!!!" + "Q" * 40),
    body("empty secret", 422, "invalid", "secret", secret=""),
    body("header no token", 422, "invalid", headers={"x y": "1"}),
    body("header with CR LF", 422, "invalid", headers={"x-a": "1\r\nx-b: 2"}),
    body("header with NUL", 422, "invalid", headers={"x-a": "\0"}),
    body("header not Latin-1", 422, "invalid", headers={"x-a": "\u4e2d"}),
    body("header twice", 422, "invalid", headers={"x-a": "1", "X-A": "2"}),
    body("65 headers", 422, "invalid", "headers", headers={f"x-{n}": "1" for n in range(65)}),
    *(body(f"reserved {name}", 422, "invalid", headers={name: "1"}) for name in (
        "Host", "Content-Length", "Connection", "Transfer-Encoding", "TE", "Cookie", "User-Agent", "webhook-id", "Proxy-Authorization",
    )),
    body("filter no CEL", 422, "filter_invalid", "filter", filter="data.order ==="),
    body("filter no condition", 422, "filter_invalid", "filter", filter="1+1"),
    body("filter of unknown names", 422, "filter_invalid", "filter", filter="password == 'x'"),
    body("filter too long", 422, "invalid", "filter", filter="x" * 2_049),
    body("filter of spaces", 422, "filter_invalid", "filter", filter="   "),
]  # fmt: skip
URLS = [
    body(f"URL {url[:40]!r}", 422, "url_not_allowed", "url", url=url)
    for url in (
        "ftp://shop.example.com/", "https://user:password@shop.example.com/", "https://shop.example.com/#part", "http://10.0.0.1/",
        "https://169.254.169.254/latest/meta-data", "https://localhost.localdomain/", "https://2130706433/", "https://0x7f.0.0.1/",
        "https://metadata.google.internal/", "https:///hooks", "https://a..b.example/", "javascript:alert(1)", "https://exa mple.com/",
        "https://shop.example.com:99999/", "http://127.0.0.1\\@example.com/", "{{7*7}}", "' OR 1=1", "https://host_without_dot/",
    )
]  # fmt: skip
QUERIES = [
    get("limit 0", 422, "invalid", "/webhooks?limit=0", field="limit"),
    get("limit -1", 422, "invalid", "/webhooks?limit=-1", field="limit"),
    get("limit 10^9", 422, "invalid", "/webhooks?limit=1000000000", field="limit"),
    get("limit +5", 422, "invalid", "/webhooks?limit=%2B5", field="limit"),
    get("limit 5.0", 422, "invalid", "/webhooks?limit=5.0", field="limit"),
    get("limit of Arabic digits", 422, "invalid", "/webhooks?limit=%D9%A5", field="limit"),
    get("limit empty", 422, "invalid", "/webhooks?limit=", field="limit"),
    get("limit twice", 422, "invalid", "/webhooks?limit=1&limit=2", field="limit"),
    get("unknown parameter", 422, "invalid", "/webhooks?page=2", field="page"),
    get("unknown type in a filter", 422, "unknown_event_type", "/webhooks?event_type=order.exploded", field="event_type"),
    get("NUL in a parameter", 422, "invalid", "/webhooks?cursor=%00"),
    get("no UTF-8 in a parameter", 422, "invalid", "/webhooks?cursor=%ff"),
    get("state of another word", 422, "invalid", "/webhooks?state=asleep", field="state"),
    get("SQL in a parameter", 422, "invalid", "/audit?target=%27%20OR%201%3D1", field="target"),
    get("ClickHouse in a parameter", 422, "invalid", "/audit?action=%7Ba%3AString%7D", field="action"),
    get("cursor made up", 422, "cursor_invalid", "/webhooks?cursor=abcdef", field="cursor"),
    get("cursor no base64", 422, "cursor_invalid", "/webhooks?cursor=%21%21%21", field="cursor"),
    get("cursor too long", 422, "invalid", "/webhooks?cursor=" + "a" * 3_000, field="cursor"),
    get("store no id", 422, "invalid", "/webhooks?store=a.b", field="store"),
]
IDS = [
    get(f"id {text[:20]!r}", 404, "not_found", f"/webhooks/{text}")
    for text in (
        "wh_nobody",
        "..%2F..%2Fetc",
        "%2e%2e",
        "%00",
        "a" * 200,
        "%27%20OR%201%3D1",
        "%7Ba%3AString%7D",
        "%3D1%2B1",
        "%3Csvg%20onload%3D1%3E",
    )
]
HTTP = [
    get("unknown address", 404, "not_found", "/nowhere"),
    get("a resource's neighbour", 404, "not_found", "/webhooks/"),
    Bad("unknown method", 405, "method_not_allowed", method="PUT", raw=b"{}"),
    Bad("TRACE", 405, "method_not_allowed", method="TRACE"),
    Bad("OPTIONS", 405, "method_not_allowed", method="OPTIONS"),
    Bad("DELETE of a list", 405, "method_not_allowed", method="DELETE", headers={"If-Match": "*"}),
    get("nothing acceptable", 406, "not_acceptable", "/webhooks", headers={"Accept": "text/html"}),
    get("JSON refused", 406, "not_acceptable", "/webhooks", headers={"Accept": "application/json;q=0, image/png"}),
    Bad("form", 415, "content_type_unsupported", raw=b"a=b", headers={"Content-Type": "application/x-www-form-urlencoded"}),
    Bad("no type", 415, "content_type_unsupported", raw=b"{}", headers={"Content-Type": ""}),
    Bad("another charset", 415, "content_type_unsupported", raw=b"{}", headers={"Content-Type": "application/json; charset=utf-16"}),
    Bad("packed", 415, "encoding_unsupported", raw=b"\x1f\x8b", headers={"Content-Encoding": "gzip"}),
    Bad("too large", 413, "body_too_large", raw=b'{"name": "' + b"x" * 70_000 + b'"}'),
    get("URL too long", 414, "url_too_long", "/webhooks?cursor=" + "a" * 9_000),
    get("URL far too long", 414, "url_too_long", "/webhooks?cursor=" + "a" * 40_000),
    get("id of 10 kB", 414, "url_too_long", "/webhooks/" + "a" * 10_000),
    get("headers too large", 431, "headers_too_large", "/webhooks", headers={"X-A": "a" * 9_000, "X-B": "b" * 9_000}),
    get("one header too large", 431, "headers_too_large", "/webhooks", headers={"X-A": "a" * 20_000}),
    get("too many headers", 431, "headers_too_large", "/webhooks", headers={f"X-{n}": "1" for n in range(140)}),
    Bad("a body where none belongs", 422, "invalid", path="/api-keys/abc/revoke", raw=b'{"a": 1}'),
    Bad(
        "an impossible Idempotency-Key",
        422,
        "invalid",
        raw=json.dumps(GOOD).encode(),
        headers={"Idempotency-Key": "a b"},
        field="Idempotency-Key",
    ),
    Bad(
        "a long Idempotency-Key",
        422,
        "invalid",
        raw=json.dumps(GOOD).encode(),
        headers={"Idempotency-Key": "a" * 129},
        field="Idempotency-Key",
    ),
    Bad("If-Match no ETag", 422, "invalid", "PATCH", "/webhooks/wh_a", b'{"name": "a"}', {"If-Match": "three"}, "If-Match"),
    Bad("nothing to change", 422, "invalid", "PATCH", "/webhooks/wh_a", b"{}", {"If-Match": "*"}),
    Bad("unknown expectation", 400, "malformed_request", raw=b"{}", headers={"Expect": "the unexpected"}, field="Expect"),
    Bad("unknown expectation, nowhere", 400, "malformed_request", path="/no", raw=b"{}", headers={"Expect": "more"}, field="Expect"),
    Bad("unknown expectation, method", 400, "malformed_request", "PUT", raw=b"{}", headers={"Expect": "more"}, field="Expect"),
    get("unknown expectation, of a GET", 400, "malformed_request", "/nowhere", headers={"Expect": "more"}, field="Expect"),
]
KEYS = [
    Bad("no scopes", 422, "invalid", path="/api-keys", raw=b'{"scopes": []}', field="scopes"),
    Bad("wildcard scope", 422, "invalid", path="/api-keys", raw=b'{"scopes": ["*"]}', field="scopes[0]"),
    Bad("the operator's scope", 422, "invalid", path="/api-keys", raw=b'{"scopes": ["operator"]}', field="scopes[0]"),
    Bad("expires in 0 days", 422, "invalid", path="/api-keys", raw=b'{"scopes": ["admin"], "expires_in_days": 0}', field="expires_in_days"),
    Bad("expires in 10^9 days", 422, "invalid", path="/api-keys", raw=b'{"scopes": ["admin"], "expires_in_days": 1000000000}'),
    Bad("another store in the body", 422, "invalid", path="/api-keys", raw=b'{"scopes": ["admin"], "store_id": "x"}', field="store_id"),
]
EVENTS = [
    event("unknown type of event", 422, "unknown_event_type", "type", type="a.b"),
    Bad("data missing", 422, "invalid", path="/events", raw=b'{"type": "order.paid"}', field="data"),
    event("wrong data", 422, "invalid", data={"a": 1}),
    event("id with a dot", 422, "invalid", "id", id="a.b"),
    event("time without zone", 422, "invalid", "occurred_at", occurred_at="2026-01-01T00:00:00"),
    event("the year 9999", 422, "invalid", "occurred_at", occurred_at="9999-01-01T00:00:00Z"),
    event("long ago", 422, "occurred_at_out_of_range", "occurred_at", occurred_at="2020-01-01T00:00:00Z"),
    event("another store's", 403, "other_store", "store_id", store_id="other"),
    event("event too large", 413, "payload_too_large", data={"a": "x" * 300_000}),
    event("body too large", 413, "body_too_large", data={"a": "x" * 600_000}),
]
CATALOGUE = [*MALFORMED, *FIELDS, *URLS, *QUERIES, *IDS, *HTTP, *KEYS, *EVENTS]


@pytest.fixture(scope="module")
def key(stack: Stack) -> str:
    """Return an admin key for all lines."""
    return str(stack.key(f"b{os.urandom(4).hex()}", "admin"))


@pytest.mark.parametrize("bad", CATALOGUE, ids=lambda bad: bad.name)
def test_bad_input_is_refused(stack: Stack, key: str, bad: Bad) -> None:
    """Each line has its status, its code and its field, in one form, and no trace of our inside."""
    reply = stack.client(key).call(
        bad.method, bad.path, raw=bad.raw if bad.method not in {"GET", "OPTIONS", "TRACE"} else None, headers=bad.headers
    )
    assert reply.headers["content-type"] == "application/problem+json", reply
    assert (reply.status, reply.code) == (bad.status, bad.code), reply.json
    assert set(reply.json) == {"type", "title", "status", "code", "detail", "field", "remedy"}
    assert reply.json["status"] == bad.status
    assert not bad.field or reply.json["field"] == bad.field
    assert reply.json["remedy"]
    assert b"Traceback" not in reply.body
    assert b"pydantic" not in reply.body


def test_nothing_of_the_catalogue_was_made(stack: Stack, key: str) -> None:
    """After all of it there is no webhook, no key but the first, and the console is well."""
    client = stack.client(key)
    assert client.get("/webhooks").json["data"] == []
    assert len(client.get("/api-keys").json["data"]) == 1
    assert stack.process.poll() is None
