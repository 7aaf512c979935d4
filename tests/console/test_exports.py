"""The export of the log: the three kinds of file hold the same rows, are defused, bounded, and show when they broke off."""

from __future__ import annotations

import asyncio
import csv
import io
import json
import os
import socket
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pyarrow.parquet as pq
import pytest
from aiohttp import web

from hookline.analytics.warehouse import Parameters, Rows
from hookline.console.api import exports
from hookline.console.api.deliveries_filter import LogQuery
from hookline.console.api.deliveries_log import Place, Reading
from hookline.console.api.exports_formats import COLUMNS, FORMATS, CsvWriter, ParquetWriter, defused
from hookline.console.export_slots import MOST, ExportSlots
from hookline.console.http import api
from hookline.console.http.problems import Refused
from hookline.console.http.routes import Answer
from hookline.console.http.server import Server, root

pytestmark = [pytest.mark.kafka, pytest.mark.process]

Stack = Any  # the fixtures' classes stand in conftest.py
Shop = Any
EVIL = ("=1+1", "+1", "-2+3", "@SUM(A1)", "\t=1", "\r=1", "\n=1", "\uff1d1", "\uff0b1", "\uff0d1", "\uff201")
HARMLESS = ("", "a=1", "1-2", " x", "http://a", "msg_1")


def row(number: int = 0, **more: Any) -> dict[str, Any]:
    """Return a row of the log."""
    found = {
        "attempted_at_us": 1_800_000_000_000_000 + number, "attempt_id": f"att_{number}", "delivery_id": f"msg_{number}",
        "webhook_id": "wh_1", "event_id": f"evt_{number}", "event_type": "order.paid", "trigger": "event", "attempt": 1,
        "outcome": "delivered", "http_status": 200, "error_kind": "", "error_detail": "", "response_time_us": 1_500,
        "queue_wait_us": 20, "next_retry_at_us": 0, "url": "https://a.example.com/", "job_id": "",
    }  # fmt: skip
    return {**found, **more}


# ---- on the real process ----


def test_the_three_kinds_of_file_hold_the_same_rows(shop: Shop) -> None:
    """CSV, NDJSON and Parquet have the lines of the log, in its order, with its filters, and names to be saved under."""
    good, bad = shop.webhook(f"e{os.urandom(4).hex()}"), shop.webhook(f"e{os.urandom(4).hex()}", 404)
    for _ in range(2):
        shop.publish()
    lines = shop.logged(2 + 6)
    expected = [(line["at"], line["attempt_id"], line["http_status"], line["error"]) for line in lines]
    replies = {kind: shop.admin.get(f"/deliveries/export?format={kind}") for kind in FORMATS}
    for kind, reply in replies.items():
        assert (reply.status, reply.headers["content-type"]) == (200, FORMATS[kind].content_type)
        assert reply.headers["content-disposition"].startswith(f'attachment; filename="hookline-{shop.store}-')
        assert reply.headers["content-disposition"].endswith(f'.{kind}"')
        assert reply.headers["x-content-type-options"] == "nosniff"
    cells = list(csv.DictReader(io.StringIO(replies["csv"].body.decode(), newline="")))
    assert [(c["at"], c["attempt_id"], int(c["http_status"]), c["error"] or None) for c in cells] == expected
    objects = [json.loads(line) for line in replies["ndjson"].body.splitlines()]
    assert [(o["at"], o["attempt_id"], o["http_status"], o["error"]) for o in objects] == expected
    table = pq.read_table(io.BytesIO(replies["parquet"].body)).to_pylist()
    assert [(t["at"].strftime("%Y-%m-%dT%H:%M:%S.%fZ"), t["attempt_id"], t["http_status"], t["error"]) for t in table] == expected
    assert tuple(cells[0]) == tuple(objects[0]) == tuple(table[0]) == COLUMNS
    only = shop.admin.get(f"/deliveries/export?format=ndjson&webhook={bad}&outcome=dead")
    assert {json.loads(line)["webhook_id"] for line in only.body.splitlines()} == {bad}
    assert len(only.body.splitlines()) == 2
    assert shop.admin.get(f"/deliveries/export?format=ndjson&webhook={good}&outcome=dead").body == b""


def test_a_cell_that_a_tenant_chose_is_no_formula(shop: Shop) -> None:
    """An event id may begin with a minus; in the CSV it does not, in the other files it is what it was."""
    shop.webhook(f"e{os.urandom(4).hex()}")
    shop.publish(id="-2-3")
    shop.logged(1)
    text = shop.admin.get("/deliveries/export?format=csv").body.decode()
    assert ",'-2-3," in text
    assert json.loads(shop.admin.get("/deliveries/export?format=ndjson").body)["event_id"] == "-2-3"


def test_what_cannot_be_exported_is_refused_before_the_first_byte(shop: Shop, stack: Stack) -> None:
    """An unknown kind, none, a range that is too long and a type that is not accepted are problems; another store's rows are not there."""
    for query, field in (("format=xls", "format"), ("", "format"), ("format=csv&from=2026-01-01T00:00:00Z", "from")):
        reply = shop.admin.get(f"/deliveries/export?{query}")
        assert (reply.status, reply.json["field"]) == (422, field)
    assert shop.admin.get("/deliveries/export?format=csv", Accept="application/json").status == 406
    assert shop.admin.call("HEAD", "/deliveries/export?format=csv").status == 200
    webhook = shop.webhook(f"e{os.urandom(4).hex()}")
    shop.publish()
    shop.logged(1)
    stranger = stack.admin(f"x{os.urandom(4).hex()}")
    refused = stranger.get(f"/deliveries/export?format=ndjson&webhook={webhook}")
    assert (refused.status, refused.json["field"]) == (422, "webhook")
    assert stranger.get("/deliveries/export?format=ndjson").body == b""


# ---- its pieces ----


@pytest.mark.unit
@pytest.mark.parametrize("text", EVIL)
def test_formulas_are_defused(text: str) -> None:
    """Whatever a spreadsheet takes for a formula gets an apostrophe before it, wherever in the row it stands."""
    assert defused(text) == f"'{text}"
    line = CsvWriter().rows([row(error_detail=text, url=text)]).decode()
    [cells] = csv.reader(io.StringIO(line, newline=""))
    assert [cells[COLUMNS.index(name)] for name in ("detail", "url")] == [f"'{text}"] * 2


@pytest.mark.unit
def test_what_is_no_formula_stays() -> None:
    """Other texts, numbers and nothing are what they were; quotes, commas and line breaks survive."""
    assert [defused(text) for text in HARMLESS] == list(HARMLESS)
    assert (defused(-5), defused(None)) == (-5, None)
    [cells] = csv.reader(io.StringIO(CsvWriter().rows([row(error_detail='a "b",\r\nc')]).decode(), newline=""))
    assert cells[COLUMNS.index("detail")] == 'a "b",\r\nc'


class Table:
    """A log of rows at the microseconds 0 to n; it notes how many were asked for at a time."""

    def __init__(self, rows: Rows) -> None:
        self.rows = sorted(rows, key=lambda r: (r["attempted_at_us"], r["attempt_id"]), reverse=True)
        self.limits: list[int] = []

    def run(self, name: str, parameters: Parameters) -> Rows:
        """Answer a page, or where there are rows."""
        since, until = parameters["since_us"], parameters["until_us"]
        if name == "deliveries_bounds":
            times = [r["attempted_at_us"] for r in self.rows if since <= r["attempted_at_us"] <= until]
            return [{"rows": len(times), "oldest_us": min(times, default=0), "newest_us": max(times, default=0)}]
        assert name == "deliveries"
        self.limits.append(int(parameters["limit"]))
        before = (parameters["before_us"], parameters["before_id"])
        fit = [r for r in self.rows if (r["attempted_at_us"], r["attempt_id"]) < before and since <= r["attempted_at_us"] <= until]
        return fit[: int(parameters["limit"])]


def _attempt_ids(kind: str, file: bytes) -> list[str]:
    if kind == "csv":
        return [cells["attempt_id"] for cells in csv.DictReader(io.StringIO(file.decode(), newline=""))]
    if kind == "ndjson":
        return [json.loads(line)["attempt_id"] for line in file.splitlines()]
    return [str(text) for text in pq.read_table(io.BytesIO(file)).column("attempt_id").to_pylist()]


@pytest.mark.unit
@pytest.mark.parametrize("count", [0, 1, 99, 100, 101, 250])
@pytest.mark.parametrize("kind", FORMATS)
def test_batches_make_a_whole_file(kind: str, count: int) -> None:
    """However many batches there were, the file has each row once, in order."""
    log = Table([row(number) for number in range(count)])
    query = LogQuery(store_id="shop", since_us=0, until_us=1_900_000_000_000_000)
    reading, writer = Reading(log, query, Place(query.until_us + 1)), FORMATS[kind].writer()
    file = writer.begin()
    while not reading.ended:
        file += writer.rows(reading.batch(100))
    file += writer.end()
    assert _attempt_ids(kind, file) == [f"att_{number}" for number in reversed(range(count))]
    assert max(log.limits) == 100


@pytest.mark.unit
def test_a_parquet_file_without_its_end_cannot_be_read() -> None:
    """A file that broke off is not taken for a whole one."""
    writer = ParquetWriter()
    begun = writer.begin() + writer.rows([row(number) for number in range(10)])
    with pytest.raises(Exception, match="Parquet magic bytes"):
        pq.read_table(io.BytesIO(begun))
    assert pq.read_table(io.BytesIO(begun + writer.end())).num_rows == 10


@pytest.mark.unit
def test_exports_leave_room_for_others() -> None:
    """No more than a few are under way at once; the next is told when to come back, and a place is free again after each."""
    slots = ExportSlots()
    with slots.held(), slots.held():
        assert MOST == 2
        with pytest.raises(Refused) as refused:
            slots.check()
        assert (refused.value.problem, refused.value.headers) == ("overloaded", {"Retry-After": "30"})
    slots.check()


@asynccontextmanager
async def _offered(stream: AsyncGenerator[bytes, None]) -> AsyncIterator[int]:
    """Offer a stream as an export at `/file`; give the port."""

    async def handler(request: web.Request) -> web.StreamResponse:
        return await api.streamed(request, exports.ROUTES[0], Answer(stream=stream, content_type="text/csv"))

    app = root()
    app.router.add_get("/file", handler)
    server = Server(app, "127.0.0.1", 0, 1)
    await server.start()
    try:
        yield server.port
    finally:
        await server.stop()


async def _serving(pieces: Sequence[bytes], error: Exception | None) -> tuple[int, bytes]:
    """Return status and body of an answer that is streamed and may break off; raise what the client's library makes of it."""

    async def stream() -> AsyncGenerator[bytes, None]:
        for piece in pieces:
            yield piece
            await asyncio.sleep(0)
        if error is not None:
            raise error

    async with _offered(stream()) as port, aiohttp.ClientSession() as session, session.get(f"http://127.0.0.1:{port}/file") as answer:
        return answer.status, await answer.read()


async def test_a_file_that_breaks_off_is_an_error_to_its_reader() -> None:
    """When the log fails half way the client's library raises, instead of giving half a file for a whole one; a whole one is whole."""
    assert await _serving([b"a\r\n", b"b\r\n"], None) == (200, b"a\r\nb\r\n")
    with pytest.raises(aiohttp.ClientError):
        await _serving([b"a\r\n" * 100_000, b"b\r\n"], RuntimeError("ClickHouse went away"))


@pytest.mark.skipif(not hasattr(socket, "TCP_USER_TIMEOUT"), reason="only Linux ends such connections")
async def test_a_reader_that_stops_reading_keeps_no_place(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its connection is ended after a while, and with it the export."""
    monkeypatch.setattr("hookline.console.http.server._UNREAD_MS", 500)
    ended = asyncio.Event()

    async def endless() -> AsyncGenerator[bytes, None]:
        try:
            while True:
                yield b"a" * 65_536
        finally:
            ended.set()

    async with _offered(endless()) as port:
        with socket.create_connection(("127.0.0.1", port)) as client:
            client.sendall(b"GET /file HTTP/1.1\r\nHost: x\r\n\r\n")
            await asyncio.wait_for(ended.wait(), 30)
