"""Ingest over real HTTP: each line of the catalogue of bad input has its status and code."""

from __future__ import annotations

import gzip
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from hookline.producers.ingest.errors import CODES
from tests.producers.fakes import stock
from tests.producers.serving import KEY, Serving, http, request, serving

pytestmark = pytest.mark.process

TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


@pytest.fixture
async def ingest() -> AsyncIterator[Serving]:
    """Yield an ingest whose Kafka confirms everything."""
    async with serving() as found:
        yield found


BIG = json.dumps(request(data={**stock(), "title": "x" * 300_000})).encode()
REFUSALS: dict[str, list[tuple[Any, dict[str, Any]]]] = {
    "malformed_json": [(b"{", {}), (b"\xef\xbb\xbf{}", {}), (b'{"a":NaN}', {}), ("{}".encode("utf-16"), {}), (b'"\\ud800"', {})],
    "empty_body": [(b"", {}), (b"  ", {})],
    "duplicate_key": [(b'{"type":"order.paid","type":"order.paid","data":{}}', {})],
    "number_too_large": [(b'{"type":"order.paid","data":{"a":18446744073709551616}}', {})],
    "nested_too_deep": [
        (b'{"type":"order.paid","data":' + b"[" * 70 + b"]" * 70 + b"}", {}),
        (b'{"type":"order.paid","data":' + b"[" * 500 + b"]" * 500 + b"}", {}),
    ],
    "malformed_encoding": [
        (b"no gzip", {"Content_Encoding": "gzip"}),
        (gzip.compress(b"{}" * 100)[:-9], {"Content_Encoding": "gzip"}),
        (gzip.compress(b"{}") + b"more", {"Content_Encoding": "gzip"}),
    ],
    "unauthorized": [
        (request(), {"key": None}),
        (request(), {"key": "wrong"}),
        (request(), {"key": None, "Authorization": f"Basic {KEY}"}),
        (request(), {"key": None, "Authorization": KEY}),
        (request(), {"key": None, "Authorization": "Bearer"}),
    ],
    "missing_scope": [(request(), {"key": "reader"})],
    "other_store": [(request(store_id="another"), {}), (request(store_id=None), {})],
    "not_found": [
        (request(), {"path": "/"}),
        (request(), {"path": "/api/v1/events/"}),
        (request(), {"path": "/api/v1"}),
        (request(), {"path": "/healthz"}),
    ],
    "method_not_allowed": [(b"", {"method": method}) for method in ("GET", "PUT", "DELETE", "PATCH", "OPTIONS")]
    + [(request(), {"method": "PUT", "X_HTTP_Method_Override": "POST"})],
    "body_too_large": [
        (b" " * 1_048_577, {}),
        (gzip.compress(b" " * 1_048_577), {"Content_Encoding": "gzip"}),
        (gzip.compress(b" " * 500_000), {"Content_Encoding": "gzip"}),
    ],
    "payload_too_large": [(BIG, {})],
    "batch_too_large": [({"events": [request()] * 501}, {})],
    "content_type_unsupported": [
        (request(), {"Content_Type": "text/plain"}),
        (request(), {"Content_Type": "application/json; charset=latin-1"}),
        (request(), {"Content_Type": "application/x-www-form-urlencoded"}),
        (request(), {"Content_Type": "application/jsonp"}),
    ],
    "encoding_unsupported": [
        (b"x", {"Content_Encoding": "br"}),
        (b"x", {"Content_Encoding": "deflate"}),
        (b"x", {"Content_Encoding": "gzip, gzip"}),
    ],
    "expectation_unsupported": [(request(), {"Expect": "a-gift"})],
    "invalid": [
        (b"[]", {}),
        (b"null", {}),
        (b'"text"', {}),
        ({}, {}),
        ({"type": "order.paid"}, {}),
        ({"data": {}}, {}),
        (request(type=7), {}),
        (request(data=[]), {}),
        (request(data=None), {}),
        (request(data={}), {}),
        (request(extra=1), {}),
        (request(id="a.b"), {}),
        (request(id=""), {}),
        (request(id=None), {}),
        (request(id="../../etc"), {}),
        (request(id="x" * 65), {}),
        (request(id="a\0"), {}),
        (request(occurred_at="2026-03-14T09:26:53"), {}),
        (request(occurred_at="yesterday"), {}),
        (request(occurred_at=1_773_480_413), {}),
        (request(occurred_at="9999-12-31T23:59:59Z"), {}),
        (request(data={**stock(), "delta": 2**63}), {}),
        (request(data={**stock(), "delta": True}), {}),
        ({"events": []}, {}),
        ({"events": {}}, {}),
        ({"events": [request()], "type": "order.paid"}, {}),
        (request(), {"Idempotency_Key": "two words"}),
        (request(), {"Idempotency_Key": "x" * 129}),
    ],
    "unknown_event_type": [(request(type=""), {}), (request(type="order.creatd"), {}), (request(type="hookline.events.orders"), {})],
    "occurred_at_out_of_range": [
        (request(occurred_at="2026-03-13T09:26:52Z"), {}),
        (request(occurred_at="2026-03-14T10:26:54Z"), {}),
    ],
}
CASES = [pytest.param(code, body, how, id=f"{code}-{n}") for code, cases in REFUSALS.items() for n, (body, how) in enumerate(cases)]


@pytest.mark.parametrize(("code", "body", "how"), CASES)
async def test_each_fault_has_its_status_and_code(ingest: Serving, code: str, body: Any, how: dict[str, Any]) -> None:
    """One line of the catalogue of bad input: a problem with a stable code, and nothing reaches Kafka."""
    ingest.keys.add("reader", "results:read")
    answer = await ingest.post(body, **how)
    assert (answer.status, answer.json["code"]) == (CODES[code].status, code)
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json["status"] == answer.status
    assert answer.json["detail"]
    assert answer.json["remedy"]
    assert answer.headers["server"] == "hookline"
    assert ingest.outlet.sent == []


RAW: dict[str, list[bytes]] = {
    "malformed_request": [
        b"no http at all\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03 a TLS greeting",
        http(b"{}", "Content-Length: 2", "Transfer-Encoding: chunked"),
        http(b"{}", "Content-Length: 2", "Content-Length: 3"),
        http(b"{}", "Content-Length: -2"),
        http(b"{}", "Content-Length: two"),
        http(b"{}", "Content-Length: 2", "Bad Header: x"),
        http(b"{}", "Content-Length: 2", "X: a\0b"),
        http(b"zz\r\n{}\r\n0\r\n\r\n", "Transfer-Encoding: chunked"),
        http(b"{}", "Content-Length: 2", line="POST /api/v1/events HTTP/9.9"),
    ],
    "length_required": [http(b"")],
    "url_too_long": [http(b"{}", "Content-Length: 2", line=f"POST /api/v1/events?{'x' * 9_000} HTTP/1.1")],
    "headers_too_large": [
        http(b"{}", "Content-Length: 2", f"X: {'x' * 9_000}"),
        http(b"{}", "Content-Length: 2", *(f"X-{n}: 1" for n in range(100))),
    ],
    "body_too_large": [
        http(b"{}", "Content-Length: 99999999999"),
        http(b"".join(b"80000\r\n" + b" " * 0x80000 + b"\r\n" for _ in range(3)) + b"0\r\n\r\n", "Transfer-Encoding: chunked"),
    ],
}
RAW_CASES = [pytest.param(code, data, id=f"{code}-{n}") for code, cases in RAW.items() for n, data in enumerate(cases)]


@pytest.mark.parametrize(("code", "data"), RAW_CASES)
async def test_broken_http_gets_a_problem_too(ingest: Serving, code: str, data: bytes) -> None:
    """What no client library would send is answered in the same form, and the connection is closed or goes on cleanly."""
    answers = await ingest.raw(data)
    assert [(answer.status, answer.json["code"]) for answer in answers] == [(CODES[code].status, code)]
    assert ingest.outlet.sent == []


async def test_bytes_behind_the_body_are_another_request(ingest: Serving) -> None:
    """A body that is longer than its Content-Length is cut there; the rest is no HTTP and closes the connection."""
    body = json.dumps(request()).encode()
    whole = http(body, f"Content-Length: {len(body)}")
    answers = await ingest.raw(whole, b"more", wait_s=0.2)
    assert [answer.status for answer in answers] == [202, 400]
    answers = await ingest.raw(whole + b"more")
    assert [answer.status for answer in answers] == [202, 400]


async def test_a_body_that_does_not_come_is_408() -> None:
    """The connection is not held for ever."""
    async with serving(body_s=0.2) as ingest:
        [answer] = await ingest.raw(http(b"{", "Content-Length: 100"))
        assert (answer.status, answer.json["code"]) == (408, "body_timeout")


async def test_a_connection_without_a_request_is_closed() -> None:
    """Neither silence nor headers that never end hold a connection."""
    async with serving(idle_s=0.3) as ingest:
        assert await ingest.raw(b"POST /api/v1/events HTTP/1.1\r\nHost: x\r\n") == []


async def test_head_has_no_body_and_tells_nothing(ingest: Serving) -> None:
    """No answer to a request without a key depends on anything but path and method."""
    answer = await ingest.post(b"", method="HEAD", key=None)
    assert (answer.status, answer.body, answer.headers["allow"]) == (405, b"", "POST")


async def test_401_names_the_scheme_and_is_the_same_for_every_reason(ingest: Serving) -> None:
    """Nobody learns from the answer whether a key exists."""
    answers = [await ingest.post(request(), key=key) for key in (None, "wrong", "hlk_aaaaaaaaaaaa_x_y", "ü")]
    assert {(answer.status, answer.body) for answer in answers} == {(401, answers[0].body)}
    assert answers[0].headers["www-authenticate"] == "Bearer"


async def test_too_many_wrong_keys_are_429_and_right_ones_pass(ingest: Serving) -> None:
    """Ten a minute and address; it says when to come back, and then it is 401 again."""
    statuses = [(await ingest.post(request(), key="wrong")).status for _ in range(12)]
    assert statuses == [401] * 10 + [429] * 2
    answer = await ingest.post(request(), key=None)
    assert (answer.json["code"], answer.headers["retry-after"]) == ("too_many_failures", "6")
    assert (await ingest.post(request())).status == 202
    ingest.clock.move(6)
    assert (await ingest.post(request(), key="wrong")).status == 401
    assert (await ingest.post(request(), key="wrong")).status == 429


async def test_the_key_decides_the_store(ingest: Serving) -> None:
    """Two keys, two stores, and neither can write into the other's."""
    ingest.keys.add("theirs", "admin", store_id="theirs")
    assert (await ingest.post(request(id="same"))).status == 202
    assert (await ingest.post(request(id="same", store_id="theirs"), key="theirs")).status == 202
    assert (await ingest.post(request(store_id="shop"), key="theirs")).json["code"] == "other_store"
    assert [(event.store_id, event.id) for event in ingest.outlet.sent] == [("shop", "same"), ("theirs", "same")]


def test_every_code_is_tried_and_documented() -> None:
    """The closed list, these tests and docs/ingest.md agree."""
    elsewhere = {"idempotency_mismatch", "too_many_failures", "body_timeout", "overloaded", "broker_unavailable", "undelivered", "stopping"}
    assert set(CODES) == {*REFUSALS, *RAW, *elsewhere, "internal_error"}
    page = (Path(__file__).parents[2] / "docs" / "ingest.md").read_text()
    for code, (status, meaning) in ((code, (found.status, found.meaning)) for code, found in CODES.items()):
        assert f"| {status} | `{code}` | {meaning} |" in page
