"""How the API behaves whatever is asked: methods, cursors, limits, broken HTTP, headers, its log."""

from __future__ import annotations

import http.client
import json
import os
import socket
from contextlib import closing
from typing import Any

import pytest

pytestmark = [pytest.mark.kafka, pytest.mark.process]

Stack = Any  # the fixtures' classes stand in conftest.py
Client = Any
GOOD = {"url": "http://127.0.0.1:9/manners", "event_types": ["order.created"]}


def test_a_405_names_what_is_allowed(admin: Client) -> None:
    """The Allow header lists the methods of the address."""
    assert set(admin.call("PUT", "/webhooks", {}).headers["allow"].split(",")) == {"GET", "HEAD", "POST"}


def test_method_override_is_not_heard(admin: Client) -> None:
    """A POST that says it is a DELETE is a POST."""
    made = admin.post("/webhooks", GOOD, **{"X-HTTP-Method-Override": "DELETE", "X-HTTP-Method": "DELETE", "X-Method-Override": "DELETE"})
    assert made.status == 201
    again = admin.get(f"/webhooks/{made.json['id']}", **{"X-HTTP-Method-Override": "DELETE"})
    assert again.json["version"] == 1


def test_head_and_options_tell_strangers_nothing(stack: Stack, admin: Client) -> None:
    """HEAD without a key is a bare 401, the same for ids that are there and that are not; with a key it is GET without the body."""
    webhook = admin.post("/webhooks", GOOD).json["id"]
    stranger = stack.client()
    stranger.source = "127.88.0.1"
    there, nowhere = (stranger.call("HEAD", f"/webhooks/{text}") for text in (webhook, "wh_nobody"))
    assert (there.status, there.body) == (401, b"")
    changing = {"date", "hookline-request"}
    assert {k: v for k, v in there.headers.items() if k not in changing} == {k: v for k, v in nowhere.headers.items() if k not in changing}
    options = [stranger.call("OPTIONS", f"/webhooks/{text}") for text in (webhook, "wh_nobody")]
    assert options[0].body == options[1].body
    assert not any(name.startswith("access-control") for name in options[0].headers)
    assert admin.call("HEAD", f"/webhooks/{webhook}").headers["etag"] == '"1"'


def test_too_many_wrong_keys_are_told_to_wait(stack: Stack, admin: Client) -> None:
    """After ten failures in a minute an address gets 429 with Retry-After; a right key from there still comes in."""
    wrong = stack.client("hlk_wrong")
    wrong.source = "127.88.0.2"
    replies = [wrong.get("/webhooks") for _ in range(12)]
    assert [reply.status for reply in replies] == [401] * 10 + [429] * 2
    assert replies[-1].code == "too_many_failures"
    assert 1 <= int(replies[-1].headers["retry-after"]) <= 60
    admin.source = "127.88.0.2"
    assert admin.get("/webhooks").status == 200


def test_a_cursor_fits_its_list_only(stack: Stack, admin: Client) -> None:
    """A cursor of another store, another list, other filters, or with one character changed is refused."""
    for number in range(2):
        admin.post("/webhooks", {**GOOD, "url": f"http://127.0.0.1:9/{number}"})
    cursor = admin.get("/webhooks?limit=1").json["next_cursor"]
    assert admin.get(f"/webhooks?limit=7&cursor={cursor}").status == 200
    other = stack.admin(f"y{os.urandom(4).hex()}")
    changed = ("A" if cursor[5] != "A" else "B").join((cursor[:5], cursor[6:]))
    refused = [
        other.get(f"/webhooks?limit=1&cursor={cursor}"),
        admin.get(f"/api-keys?limit=1&cursor={cursor}"),
        admin.get(f"/webhooks?limit=1&state=enabled&cursor={cursor}"),
        admin.get(f"/webhooks?limit=1&cursor={changed}"),
    ]
    assert {(reply.status, reply.code) for reply in refused} == {(422, "cursor_invalid")}


def test_what_a_tenant_types_stays_text(admin: Client) -> None:
    """Markup, templates and formulas come back as they were written, as JSON that no browser takes for a page."""
    for text in ("<svg onload=alert(1)>", "{{7*7}}", "=1+1", "'; DROP TABLE attempts; --", "{a:String}", "%s%n"):
        made = admin.post(
            "/webhooks", {**GOOD, "name": text, "url": f"http://127.0.0.1:9/{os.urandom(4).hex()}", "event_types": ["order.paid"]}
        )
        assert made.json["name"] == text
        assert (made.headers["x-content-type-options"], made.headers["content-type"]) == ("nosniff", "application/json")
        admin.call("DELETE", f"/webhooks/{made.json['id']}", headers={"If-Match": "*"})


def exchange(stack: Stack, *pieces: bytes) -> bytes:
    """Send bytes as they are, and return all that comes back until the connection is closed."""
    with socket.create_connection(("127.0.0.1", stack.port), timeout=30) as connection:
        for piece in pieces:
            connection.sendall(piece)
        found = b""
        while piece := connection.recv(65_536):
            found += piece
        return found


def post(key: str, length: str) -> bytes:
    """Return the head of a POST."""
    lines = ("POST /api/v1/webhooks HTTP/1.1", "Host: x", f"Authorization: Bearer {key}", "Content-Type: application/json", length)
    return "".join(f"{line}\r\n" for line in lines).encode() + b"\r\n"


_ASKED = (("GET", "/sign-in"), ("POST", "/sign-in"), ("GET", "/nowhere"), ("GET", "/api/v1/webhooks"), ("POST", "/api/v1/webhooks"))


def _status(stack: Stack, method: str, path: str, headers: dict[str, bytes]) -> int:
    """Return what a request gets with headers of any bytes, from an address of its own: wrong keys are counted by address."""
    body = b"" if method == "GET" else b"login=a" if path == "/sign-in" else b"{}"
    usual = {"Accept": b"text/html, */*", "Content-Length": str(len(body)).encode()}
    usual |= {"Content-Type": b"application/json" if "api" in path else b"application/x-www-form-urlencoded"}
    with closing(http.client.HTTPConnection("127.0.0.1", stack.port, timeout=20, source_address=("127.66.0.1", 0))) as connection:
        connection.putrequest(method, path, skip_host="Host" in headers, skip_accept_encoding=True)
        for name, value in (usual | headers).items():
            connection.putheader(name, value)
        connection.endheaders(body)
        return connection.getresponse().status


@pytest.mark.parametrize(
    "name",
    [
        *("User-Agent", "Accept", "Cookie", "Referer", "Origin", "Host", "X-Forwarded-For", "Accept-Language", "Content-Type", "Expect"),
        *("Authorization", "Idempotency-Key", "If-Match", "If-None-Match", "Hookline-Store", "Traceparent", "Sec-Fetch-Site", "Range"),
    ],
)
def test_a_header_that_is_no_utf8_is_no_fault_of_ours(stack: Stack, admin: Client, name: str) -> None:
    """On pages, forms and routes, by itself and in each cookie that is read: it is taken or refused, and never a 500."""
    values = [b"\xff", b"Bearer \xff", b"text/html;\xff", b"http://\xff"]
    if name == "Cookie":
        values = [*values, *(cookie + b"=\xff" for cookie in (b"hookline_visitor", b"hookline_session", b"hookline_theme"))]
    key = {"Authorization": f"Bearer {admin.key}".encode()}
    told = {(value, asked): _status(stack, *asked, key | {name: value}) for value in values for asked in _ASKED}
    assert [case for case, status in told.items() if status >= 500] == []


def test_a_slow_upload_ends_with_408(stack: Stack, admin: Client) -> None:
    """A body that does not arrive in time is not waited for."""
    answer = exchange(stack, post(admin.key, "Content-Length: 50"), b'{"url":')
    assert answer.startswith(b"HTTP/1.1 408 ")
    assert b'"code":"body_timeout"' in answer


@pytest.mark.parametrize(
    "text",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"GET /api/v1/webhooks\r\n\r\n",
        b"GET /api/v1/webhooks HTTP/1.1\r\nHost: x\r\nA B: c\r\n\r\n",
        b"GET /api/v1/webhooks HTTP/1.1\r\nHost: x\r\nX: a\0b\r\n\r\n",
        b"POST /api/v1/webhooks HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n{}",
        b"POST /api/v1/webhooks HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"POST /api/v1/webhooks HTTP/1.1\r\nHost: x\r\nContent-Length: -2\r\n\r\n{}",
    ],
    ids=["TLS", "no version", "a space in a name", "a NUL in a value", "two lengths", "length and chunks", "a negative length"],
)
def test_what_is_no_http_is_told_so(stack: Stack, text: bytes) -> None:
    """The parser's refusals are problems too, without a word of what was sent, and close the connection."""
    answer = exchange(stack, text)
    assert answer.split(b" ", 2)[1] == b"400"
    assert b'"code":"malformed_request"' in answer
    assert b"Server: hookline\r\n" in answer
    assert b"\x16" not in answer


def test_broken_chunks_are_malformed(stack: Stack, admin: Client) -> None:
    """A chunk whose length is no number ends the request with 400."""
    answer = exchange(stack, post(admin.key, "Transfer-Encoding: chunked") + b"xyz\r\n{}\r\n0\r\n\r\n")
    assert answer.split(b" ", 2)[1] == b"400"


def test_a_body_without_a_length_is_measured_while_it_comes(stack: Stack, admin: Client) -> None:
    """Chunks that add up to more than the limit end with 413 at the first byte too many, though no end of them is in sight."""
    chunks = b"4000\r\n" + b" " * 0x4000 + b"\r\n"
    answer = exchange(stack, post(admin.key, "Transfer-Encoding: chunked") + chunks * 4 + b"1\r\n \r\n")
    assert answer.split(b" ", 2)[1] == b"413"
    assert b'"code":"body_too_large"' in answer


def test_every_answer_carries_the_security_headers(stack: Stack, admin: Client) -> None:
    """Successes, problems and documents alike; no answer names a version, and none is cached but the documents."""
    replies = [admin.get("/webhooks"), admin.get("/webhooks/wh_x"), stack.client().get("/openapi.json"), stack.client().get("/nowhere")]
    for reply in replies:
        assert reply.headers["server"] == "hookline"
        assert reply.headers["x-content-type-options"] == "nosniff"
        assert "default-src 'none'" in reply.headers["content-security-policy"]
        assert reply.headers["referrer-policy"] == "no-referrer"
        assert reply.headers["hookline-request"]
    assert [reply.headers["cache-control"] for reply in replies] == ["no-store", "no-store", "public, max-age=300", "no-store"]


_OURS = ("style-src", "img-src", "font-src", "connect-src", "form-action")
_POLICIES = {
    "/sign-in": {"script-src": "'self'", **dict.fromkeys(_OURS, "'self'"), "img-src": "'self' data:", "base-uri": "'none'"},
    "/nowhere": {"script-src": "'self'", **dict.fromkeys(_OURS, "'self'"), "img-src": "'self' data:", "base-uri": "'none'"},
    "/api/v1/webhooks": {},
    "/api/v1/docs": {"style-src": "'self'", "base-uri": "'none'", "form-action": "'none'"},
}


@pytest.mark.parametrize("path", _POLICIES)
def test_what_a_page_may_load_and_run(stack: Stack, path: str) -> None:
    """Scripts of our own address and no others, none in the page; nothing frames it; whatever is not named is refused."""
    with closing(http.client.HTTPConnection("127.0.0.1", stack.port, timeout=20, source_address=("127.66.0.2", 0))) as connection:
        connection.request("GET", path, headers={"Accept": "text/html"})
        policies = connection.getresponse().headers.get_all("Content-Security-Policy") or []
    told = [dict(rule.strip().split(" ", 1) for rule in policy.split(";")) for policy in policies]
    assert told == [{"default-src": "'none'", "frame-ancestors": "'none'"} | _POLICIES[path]]


def test_the_log_holds_no_secret_and_no_line_of_a_tenants(stack: Stack, admin: Client) -> None:
    """Keys, secrets, header values and what stands in URLs are not in the console's log; what a caller types cannot make a line of it."""
    webhook = admin.post("/webhooks", {**GOOD, "headers": {"x-a": "canary-header"}, "name": "canary-name"}).json
    admin.get("/webhooks?cursor=canary%0A%7B%22event%22%3A%20%22canary-line%22%7D")
    admin.get("/webhooks/canary-path")
    text = stack.log.read_text()
    assert not [word for word in (admin.key, webhook["secret"], "canary", "Bearer") if word in text]
    assert all(json.loads(line)["event"] for line in text.splitlines() if line.startswith("{"))
