"""The named queries over HTTP: only with the token, only those of this build, beside inserts, whatever a client does."""

from __future__ import annotations

import errno
import http.client
import io
import json
import os
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from hookline.analytics import gateway as gateways
from hookline.analytics.client import ClickHouse
from hookline.analytics.config import QueryConfig
from hookline.analytics.gateway import Gateway, RemoteQueries, open_queries
from hookline.analytics.queries import ClickHouseQueries, LogFilter, audit, log_page, statistics
from hookline.kernel.config import load
from hookline.kernel.errors import (
    ConfigError,
    InputError,
    LocalError,
    NotFound,
    PayloadTooLarge,
    Unauthorized,
    WarehouseError,
    WarehouseUnavailable,
)
from hookline.local.kafka_broker import free_port
from hookline.schemas.records import Attempt

pytestmark = pytest.mark.clickhouse

Rig = Any  # the fixture's class stands in conftest.py
Fill = Callable[[Sequence[Attempt]], None]
TOKEN = "a token"
DELIVERY = {"store_id": "shop", "delivery_id": "msg_1"}


def _config(**more: str) -> QueryConfig:
    return load(QueryConfig, {"HOOKLINE_QUERY_TOKEN": TOKEN, "HOOKLINE_QUERY_PORT": "0"} | more)


@pytest.fixture
def gateway(warehouse: ClickHouse) -> Iterator[Gateway]:
    """Yield a gateway over the test's warehouse."""
    made = Gateway(_config(), warehouse)
    made.start()
    yield made
    made.stop()


def _ask(gateway: Gateway, method: str, path: str, body: bytes = b"", **headers: str) -> tuple[int, Any]:
    connection = http.client.HTTPConnection("127.0.0.1", gateway.port, timeout=20)
    try:
        given = {"Authorization": f"Bearer {TOKEN}", **{name.replace("_", "-"): value for name, value in headers.items()}}
        connection.request(method, path, body, given)
        answer = connection.getresponse()
        text = answer.read()
        return answer.status, json.loads(text) if answer.headers["Content-Type"] == "application/json" else text
    finally:
        connection.close()


def test_a_request_that_fails_costs_its_thread_alone(gateway: Gateway, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where a terminal takes no word of it (a full disk): a thread that dies of that would end the process."""
    died = list[object]()

    class Full(io.StringIO):
        def write(self, _text: str) -> int:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(threading, "excepthook", died.append)
    monkeypatch.setattr(sys, "stderr", Full())
    monkeypatch.setattr(gateway, "admit", lambda _authorization: 1 / 0)
    with pytest.raises(http.client.HTTPException):
        _ask(gateway, "POST", "/queries/statistics")
    time.sleep(0.2)
    assert died == []


def test_answers_are_the_same_as_asking_directly(gateway: Gateway, fill: Fill, rig: Rig, warehouse: ClickHouse) -> None:
    """Rows, numbers in maps, missing percentiles and binary bodies survive the way through JSON."""
    attempts = [rig.attempt(response_body=bytes(range(256)), http_status=s) for s in (200, 0, 503)]
    fill(attempts)
    remote, direct = RemoteQueries(f"http://127.0.0.1:{gateway.port}/", TOKEN), ClickHouseQueries(warehouse)
    now_us = time.time_ns() // 1_000
    assert statistics(remote, "shop", now_us=now_us) == statistics(direct, "shop", now_us=now_us)
    assert statistics(remote, "nobody") == statistics(direct, "nobody")
    assert log_page(remote, LogFilter(store_id="shop")) == log_page(direct, LogFilter(store_id="shop"))
    wanted = {"store_id": "shop", "delivery_id": attempts[0].delivery_id}
    assert remote.run("delivery", wanted) == direct.run("delivery", wanted)


@pytest.mark.parametrize(
    "authorization", ["", "Bearer", "Bearer wrong", f"Basic {TOKEN}", f"bearer {TOKEN}", f"Bearer {TOKEN} ", "Bearer é"]
)
def test_a_wrong_token_gets_nothing(gateway: Gateway, authorization: str) -> None:
    """401 before the query or its body is looked at, and what to do."""
    status, found = _ask(gateway, "POST", "/query/none", b"{", Authorization=authorization)
    assert (status, found["code"]) == (401, "unauthorized")
    assert "HOOKLINE_QUERY_TOKEN" in found["remedy"]


@pytest.mark.parametrize(
    ("path", "body", "status", "field"),
    [
        ("/query/none", DELIVERY, 404, "query"),
        ("/query/../migrations/0001_attempts.up", DELIVERY, 404, "query"),
        ("/", DELIVERY, 404, "query"),
        ("/query/delivery", {"store_id": "shop"}, 422, "delivery_id"),
        ("/query/delivery", {**DELIVERY, "more": 1}, 422, "more"),
        ("/query/delivery", {**DELIVERY, "delivery_id": 5}, 422, "delivery_id"),
        ("/query/delivery", [], 422, ""),
        ("/query/delivery", "{", 422, ""),
    ],
)
def test_a_wrong_question_is_refused_by_name(gateway: Gateway, path: str, body: Any, status: int, field: str) -> None:
    """Unknown query, missing, unknown and ill-typed parameters, bodies that are no object of parameters."""
    sent = body.encode() if isinstance(body, str) else json.dumps(body).encode()
    found_status, found = _ask(gateway, "POST", path, sent)
    assert (found_status, found["field"]) == (status, field)
    assert found["message"]


@pytest.mark.parametrize("size", [65_537, 300_000, 3_000_000])
def test_a_body_over_the_limit_is_refused(gateway: Gateway, size: int) -> None:
    """413 is told, also to a client that sends all before it listens; more than that is not read."""
    try:
        status, found = _ask(gateway, "POST", "/query/delivery", b" " * size)
    except (ConnectionError, BrokenPipeError):
        assert size > gateways._DRAINED
    else:
        assert (status, found["code"]) == (413, "payload_too_large")


def test_a_query_at_the_limit_is_answered(gateway: Gateway) -> None:
    """64 KiB of parameters pass."""
    body = json.dumps(DELIVERY).encode()
    assert _ask(gateway, "POST", "/query/delivery", body + b" " * (65_536 - len(body)))[0] == 200


@pytest.mark.parametrize("length", ["", "-1", "x", "²", "9" * 40])
def test_a_senseless_length_is_refused(gateway: Gateway, length: str) -> None:
    """No length, a negative one, letters and astronomic numbers."""
    with socket.create_connection(("127.0.0.1", gateway.port), 20) as client:
        head = f"POST /query/delivery HTTP/1.0\r\nAuthorization: Bearer {TOKEN}\r\n"
        client.sendall((head + (f"Content-Length: {length}\r\n" if length else "") + "\r\n").encode())
        client.shutdown(socket.SHUT_WR)
        assert client.recv(100).split()[1] in {b"413", b"422"}


def test_other_methods_are_refused(gateway: Gateway) -> None:
    """Only POST asks."""
    assert _ask(gateway, "GET", "/query/delivery")[0] == 501
    assert _ask(gateway, "DELETE", "/query/delivery")[0] == 501


def test_slow_and_broken_clients_hold_up_nobody(gateway: Gateway, monkeypatch: pytest.MonkeyPatch) -> None:
    """Twenty clients that stop half way through their body; a twenty-first is answered, and the slow ones are let go."""
    monkeypatch.setattr(gateways._Handler, "timeout", 1.0)
    head = f"POST /query/delivery HTTP/1.0\r\nAuthorization: Bearer {TOKEN}\r\nContent-Length: 100\r\n\r\n{{".encode()
    slow = [socket.create_connection(("127.0.0.1", gateway.port), 20) for _ in range(20)]
    for client in slow:
        client.sendall(head)
    gone = socket.create_connection(("127.0.0.1", gateway.port), 20)
    gone.sendall(head)
    gone.close()
    assert _ask(gateway, "POST", "/query/delivery", json.dumps(DELIVERY).encode())[0] == 200
    for client in slow:
        assert client.recv(10) == b"", "closed by the gateway"
        client.close()


def test_reads_and_inserts_go_on_beside_each_other(gateway: Gateway, rig: Rig, warehouse: ClickHouse) -> None:
    """Six readers while another thread inserts: no error, each answer is whole, the end is right."""
    remote = RemoteQueries(f"http://127.0.0.1:{gateway.port}", TOKEN)
    done, errors = threading.Event(), list[BaseException]()

    def read() -> None:
        seen = 0
        try:
            while not done.is_set():
                now = audit(remote, "shop").rows
                assert now >= seen
                seen = now
                log_page(remote, LogFilter(store_id="shop", limit=20))
                statistics(remote, "shop")
        except BaseException as error:  # noqa: BLE001  # told to the test's thread
            errors.append(error)

    readers = [threading.Thread(target=read) for _ in range(6)]
    for reader in readers:
        reader.start()
    for batch in range(40):
        warehouse.insert("attempts", rig.table([rig.attempt() for _ in range(50)], first=batch * 50), {"async_insert": 0})
    done.set()
    for reader in readers:
        reader.join(30)
    assert errors == []
    assert audit(remote, "shop").adds_up
    assert audit(remote, "shop").rows == 2_000


def test_a_failing_clickhouse_is_told_from_a_wrong_question() -> None:
    """503 while it is away, 500 when it refuses; the session is given back and the next question is answered."""

    class Moody:
        def __init__(self) -> None:
            self.fails: list[Exception] = []

        def rows(self, *_: Any) -> Any:
            if self.fails:
                raise self.fails.pop()
            return []

        def another(self) -> Any:
            return self

        def close(self) -> None:
            """Nothing to close."""

    moody: Any = Moody()
    gateway = Gateway(_config(), moody)
    gateway.start()
    remote = RemoteQueries(f"http://127.0.0.1:{gateway.port}", TOKEN)
    try:
        for _ in range(5):
            moody.fails = [WarehouseUnavailable("away", remedy="wait")]
            with pytest.raises(WarehouseUnavailable, match="away") as caught:
                remote.run("delivery", DELIVERY)
            assert caught.value.remedy == "wait"
        moody.fails = [WarehouseError("no such column")]
        with pytest.raises(WarehouseError, match="no such column"):
            remote.run("delivery", DELIVERY)
        assert remote.run("delivery", DELIVERY) == []
    finally:
        gateway.stop()


def test_what_the_gateway_says_is_raised_again(gateway: Gateway) -> None:
    """The other side of the wire sees the same kinds of errors as one that asks ClickHouse itself."""
    url = f"http://127.0.0.1:{gateway.port}"
    with pytest.raises(Unauthorized):
        RemoteQueries(url, "wrong").run("delivery", DELIVERY)
    with pytest.raises(NotFound):
        RemoteQueries(url, TOKEN).run("none", {})
    with pytest.raises(InputError) as caught:
        RemoteQueries(url, TOKEN).run("delivery", {"store_id": "shop"})
    assert caught.value.field == "delivery_id"
    with pytest.raises(PayloadTooLarge):
        RemoteQueries(url, TOKEN).run("delivery", {**DELIVERY, "delivery_id": "x" * 70_000})


def test_a_gateway_that_is_gone_names_the_command_to_start(gateway: Gateway) -> None:
    """After its stop, and where nothing ever listened."""
    gateway.stop()
    for port in (gateway.port, free_port()):
        with pytest.raises(WarehouseUnavailable, match="do not answer") as caught:
            RemoteQueries(f"http://127.0.0.1:{port}", TOKEN).run("delivery", DELIVERY)
        assert "hookline up" in caught.value.remedy


@pytest.mark.parametrize("place", ["127.0.0.1", "127.0.0.1:{port}"])
def test_a_password_in_the_address_is_not_told(place: str) -> None:
    """What urllib makes of a user name in the address is no connection; the error shows neither the password nor a stack."""
    with pytest.raises(WarehouseUnavailable, match=r"http://\*\*\*@127\.0\.0\.1.* do not answer") as caught:
        RemoteQueries(f"http://user:PLANTED@{place.format(port=free_port())}", TOKEN).run("delivery", DELIVERY)
    assert "PLANTED" not in str(caught.value)


def test_something_else_on_the_port_is_no_gateway() -> None:
    """An answer that is not ours is an error, not rows."""

    class Other(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(int(self.path.rsplit("/", 1)[1]))
            self.end_headers()
            self.wfile.write(b"<html>")

        def log_message(self, *_: object) -> None:
            """Stay silent."""

    server = HTTPServer(("127.0.0.1", 0), Other)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        remote = RemoteQueries(f"http://127.0.0.1:{server.server_address[1]}", TOKEN)
        for status in ("200", "404", "500"):
            with pytest.raises(WarehouseError):
                remote.run(status, {})
    finally:
        server.shutdown()
        server.server_close()


def test_it_does_not_serve_without_a_token_nor_on_a_taken_port(warehouse: ClickHouse, gateway: Gateway) -> None:
    """Both are errors at the start that name the variable."""
    with pytest.raises(ConfigError, match="HOOKLINE_QUERY_TOKEN"):
        Gateway(load(QueryConfig, {}), warehouse).start()
    with pytest.raises(ConfigError, match=f"HOOKLINE_QUERY_PORT={gateway.port}"):
        Gateway(_config(HOOKLINE_QUERY_PORT=str(gateway.port)), warehouse).start()


def test_the_way_to_the_log_is_chosen_by_the_environment(tmp_path: Path) -> None:
    """A sink's address wins over the folder; without either, and without a folder, the error says what to start."""
    environ = {"HOOKLINE_STATE_DIR": str(tmp_path)}
    assert isinstance(open_queries({**environ, "HOOKLINE_QUERY_URL": "http://127.0.0.1:1"}), RemoteQueries)
    with pytest.raises(LocalError, match="There is no log") as caught:
        open_queries(environ)
    assert "hookline up" in caught.value.remedy
    assert list(tmp_path.iterdir()) == [], "asking makes no folder"
    with pytest.raises(WarehouseUnavailable):
        open_queries({**environ, "CLICKHOUSE_URL": f"http://127.0.0.1:{free_port()}", "HOOKLINE_QUERY_URL": "http://127.0.0.1:1"})
    (tmp_path / "clickhouse").mkdir()
    direct = open_queries(environ)
    assert isinstance(direct, ClickHouseQueries)
    direct.close()


def test_no_proxy_sees_the_token(gateway: Gateway, monkeypatch: pytest.MonkeyPatch) -> None:
    """The environment's proxy is not asked."""
    monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{free_port()}")
    monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{free_port()}")
    assert RemoteQueries(f"http://127.0.0.1:{gateway.port}", TOKEN).run("delivery", DELIVERY) == []
