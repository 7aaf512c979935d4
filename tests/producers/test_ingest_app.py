"""Ingest over real HTTP: what is taken, the same event again, and what happens when Kafka does not keep up."""

from __future__ import annotations

import asyncio
import gzip
import json
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest

from hookline.kernel.errors import BrokerUnavailable, Closed, QueueFull, Undelivered
from hookline.producers.publisher import Outcome, Published
from hookline.schemas.catalogue import EVENT_TYPES
from hookline.schemas.events import Event
from tests.producers.fakes import FakeOutlet, stock
from tests.producers.serving import Serving, http, request, serving

pytestmark = pytest.mark.process

TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


@pytest.fixture
async def ingest() -> AsyncIterator[Serving]:
    """Yield an ingest whose Kafka confirms everything."""
    async with serving() as found:
        yield found


# ---- what is taken ----


@pytest.mark.parametrize("name", list(EVENT_TYPES))
async def test_every_example_is_taken(ingest: Serving, name: str) -> None:
    """The catalogue's example of each type gets 202 with a fresh id, and arrives as it was sent."""
    answer = await ingest.post({"type": name, "data": EVENT_TYPES[name].example})
    assert answer.status == 202
    [event] = ingest.outlet.sent
    assert answer.json == {"id": event.id}
    assert (event.type, event.store_id, event.occurred_at) == (name, "shop", ingest.clock.at)
    assert answer.headers["content-type"] == "application/json"


async def test_id_time_and_trace_are_passed_on(ingest: Serving) -> None:
    """What the client gives is what receivers see."""
    answer = await ingest.post(request(id="order-7_paid", occurred_at="2026-03-14T10:00:00+01:00", store_id="shop"), traceparent=TRACE)
    assert answer.json == {"id": "order-7_paid"}
    [event] = ingest.outlet.sent
    assert event.id == "order-7_paid"
    assert event.occurred_at.isoformat() == "2026-03-14T09:00:00+00:00"
    assert ingest.outlet.records[0].headers["traceparent"] == TRACE.encode()


@pytest.mark.parametrize("trace", ["x", TRACE.upper(), "00-1-1-1"])
async def test_a_broken_trace_is_dropped(ingest: Serving, trace: str) -> None:
    """Tracing is no reason to refuse an event."""
    assert (await ingest.post(request(), traceparent=trace)).status == 202
    assert "traceparent" not in ingest.outlet.records[0].headers


async def test_a_batch_has_a_result_per_event(ingest: Serving) -> None:
    """All taken: 202, and the ids in the order of the events."""
    answer = await ingest.post({"events": [request(id=f"e{n}") for n in range(45)]})
    assert answer.status == 202
    assert answer.json == {"results": [{"status": 202, "id": f"e{n}"} for n in range(45)]}


async def test_a_mixed_batch_is_207(ingest: Serving) -> None:
    """Good events are taken, and each other one says what is wrong, with its path in the body."""
    wrong = request(data={**stock(), "delta": "x"})
    answer = await ingest.post({"events": [request(id="a"), wrong, {"type": "nope", "data": {}}, request(id="b", store_id="other")]})
    assert answer.status == 207
    results = answer.json["results"]
    assert [result["status"] for result in results] == [202, 422, 422, 403]
    assert [result.get("code") for result in results] == [None, "invalid", "unknown_event_type", "other_store"]
    assert [result.get("field") for result in results] == [None, "events[1].data.delta", "events[2].type", "events[3].store_id"]
    assert [event.id for event in ingest.outlet.sent] == ["a"]


async def test_a_batch_of_which_nothing_is_taken_has_the_status_of_its_events(ingest: Serving) -> None:
    """So that a client that looks at the status alone does not take it for done."""
    answer = await ingest.post({"events": [{"type": "nope", "data": {}}, {"type": 7, "data": {}}]})
    assert (answer.status, answer.json["code"], len(answer.json["results"])) == (422, "batch_refused", 2)
    assert answer.headers["content-type"] == "application/problem+json"


async def test_gzip_is_unpacked(ingest: Serving) -> None:
    """A packed body counts as what is in it."""
    answer = await ingest.post(gzip.compress(json.dumps(request(id="packed")).encode()), Content_Encoding="gzip")
    assert (answer.status, answer.json) == (202, {"id": "packed"})


async def test_a_body_in_chunks_is_taken(ingest: Serving) -> None:
    """Content-Length is not needed when the chunks tell the length."""
    body = json.dumps(request(id="chunked")).encode()
    chunks = b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in (body[:50], body[50:])) + b"0\r\n\r\n"
    [answer] = await ingest.raw(http(chunks, "Transfer-Encoding: chunked", "Connection: close"))
    assert answer.json == {"id": "chunked"}


async def test_a_body_in_pieces_is_taken(ingest: Serving) -> None:
    """Headers and body may come in several packets."""
    body = json.dumps(request(id="slow")).encode()
    whole = http(body, f"Content-Length: {len(body)}", "Connection: close")
    [answer] = await ingest.raw(whole[:60], whole[60:200], whole[200:], wait_s=0.05)
    assert answer.json == {"id": "slow"}


async def test_requests_in_a_row_on_one_connection_are_answered_in_order(ingest: Serving) -> None:
    """Keep-alive and pipelining work."""
    body = [json.dumps(request(id=f"p{n}")).encode() for n in range(5)]
    answers = await ingest.raw(b"".join(http(part, f"Content-Length: {len(part)}") for part in body))
    assert [answer.json["id"] for answer in answers] == [f"p{n}" for n in range(5)]


async def test_a_client_that_waits_for_leave_gets_it(ingest: Serving) -> None:
    """`Expect: 100-continue`, as curl sends it with large bodies."""
    body = json.dumps(request(id="polite")).encode()
    whole = http(body, f"Content-Length: {len(body)}", "Expect: 100-continue", "Connection: close")
    answers = await ingest.raw(whole[: -len(body)], body, wait_s=0.2)
    assert [answer.status for answer in answers] == [100, 202]


# ---- the same again ----


async def test_the_same_id_and_body_is_answered_again_and_published_once(ingest: Serving) -> None:
    """Order of keys and white space do not make another body."""
    first = await ingest.post(request(id="once"))
    again = await ingest.post(json.dumps(dict(reversed(request(id="once").items())), indent=2).encode())
    assert (first.status, first.body) == (again.status, again.body) == (202, b'{"id":"once"}')
    assert len(ingest.outlet.sent) == 1


async def test_the_same_id_with_another_body_is_409(ingest: Serving) -> None:
    """Alone and in a batch."""
    await ingest.post(request(id="once"))
    answer = await ingest.post(request(id="once", data=stock(1)))
    assert (answer.status, answer.json["code"], answer.json["field"]) == (409, "idempotency_mismatch", "id")
    answer = await ingest.post({"events": [request(id="once"), request(id="once", data=stock(1))]})
    assert [result["status"] for result in answer.json["results"]] == [202, 409]
    assert len(ingest.outlet.sent) == 1


async def test_an_idempotency_key_stands_for_its_body(ingest: Serving) -> None:
    """The same again: the same answer and no second event. Another body: 409. Another store: another key."""
    ingest.keys.add("theirs", "events:write", store_id="theirs")
    first = await ingest.post(request(), Idempotency_Key="k-1")
    again = await ingest.post(request(), Idempotency_Key="k-1")
    other = await ingest.post(request(data=stock(1)), Idempotency_Key="k-1")
    theirs = await ingest.post(request(data=stock(1)), key="theirs", Idempotency_Key="k-1")
    assert first.body == again.body
    assert (other.status, other.json["code"]) == (409, "idempotency_mismatch")
    assert theirs.status == 202
    assert theirs.body != first.body
    assert len(ingest.outlet.sent) == 2


async def test_an_idempotency_key_covers_a_whole_batch(ingest: Serving) -> None:
    """All events again, none twice; one event more is another body."""
    batch = {"events": [request(data=stock(n)) for n in range(3)]}
    first = await ingest.post(batch, Idempotency_Key="k")
    again = await ingest.post(batch, Idempotency_Key="k")
    assert first.json == again.json
    assert len({result["id"] for result in first.json["results"]}) == len(ingest.outlet.sent) == 3
    batch["events"].append(request())
    assert (await ingest.post(batch, Idempotency_Key="k")).status == 409


async def test_every_process_gives_a_key_the_same_event_id() -> None:
    """So that receivers recognise a copy that came through another process, or after this one forgot."""
    ids = set()
    for _ in range(2):
        async with serving() as ingest:
            ids.add((await ingest.post(request(), Idempotency_Key="k")).body)
    assert len(ids) == 1


async def test_a_refused_body_does_not_use_up_its_key(ingest: Serving) -> None:
    """The mended body may come under the same key."""
    assert (await ingest.post(request(data={}), Idempotency_Key="k")).status == 422
    assert (await ingest.post(request(), Idempotency_Key="k")).status == 202


async def test_a_copy_that_comes_meanwhile_waits_for_the_first(ingest: Serving) -> None:
    """One event, two answers; a different body at that moment is 409."""
    ingest.outlet.script = lambda _: None
    first, second = (asyncio.create_task(ingest.post(request(id="x"))) for _ in range(2))
    await _until(lambda: ingest.outlet.waiting)
    third = await ingest.post(request(id="x", data=stock(1)))
    await asyncio.sleep(0.1)
    assert (third.status, first.done(), second.done()) == (409, False, False)
    ingest.outlet.answer(Published("t", 0, 0))
    assert [(await task).status for task in (first, second)] == [202, 202]
    assert len(ingest.outlet.sent) == 1


async def test_what_was_not_confirmed_may_be_sent_again(ingest: Serving) -> None:
    """A 503 is not remembered: the same id goes to Kafka anew."""
    answers: list[Outcome] = [Undelivered("no"), Published("t", 0, 0)]
    ingest.outlet.script = lambda _: answers.pop(0)
    assert (await ingest.post(request(id="x"))).status == 503
    assert (await ingest.post(request(id="x"))).status == 202
    assert [event.id for event in ingest.outlet.sent] == ["x", "x"]


async def test_what_is_forgotten_is_published_again() -> None:
    """The window is bounded in number and in time; the id stays the same for receivers."""
    async with serving(remembered=2, remembered_s=100) as ingest:
        for name in ("a", "b", "c", "a"):
            assert (await ingest.post(request(id=name))).status == 202
        assert [event.id for event in ingest.outlet.sent] == ["a", "b", "c", "a"]
        assert (await ingest.post(request(id="a"))).status == 202
        ingest.clock.move(101)
        assert (await ingest.post(request(id="a"))).status == 202
        assert len(ingest.outlet.sent) == 5


# ---- Kafka ----


@pytest.mark.parametrize(
    ("outcome", "code"),
    [
        (Undelivered("Kafka did not confirm"), "undelivered"),
        (BrokerUnavailable("broker 10.0.0.1:9092 is away"), "broker_unavailable"),
    ],
)
async def test_what_kafka_does_not_confirm_is_503(ingest: Serving, outcome: Outcome, code: str) -> None:
    """Nothing is acknowledged that is not on Kafka; the answer says when to retry and under which id, and names no broker."""
    ingest.outlet.script = lambda _: outcome
    answer = await ingest.post(request())
    assert (answer.status, answer.json["code"]) == (503, code)
    assert answer.json["id"] == ingest.outlet.sent[0].id
    assert int(answer.headers["retry-after"]) >= 1
    assert "10.0.0.1" not in answer.body.decode()
    assert "hookline.events" not in answer.body.decode()


@pytest.mark.parametrize(("error", "code"), [(QueueFull("full"), "overloaded"), (Closed("closed"), "stopping")])
async def test_a_full_queue_and_a_closed_publisher_are_503(ingest: Serving, error: Exception, code: str) -> None:
    """Both with Retry-After, alone and in a batch."""

    def fail(_: Event) -> Outcome:
        raise error

    ingest.outlet.script = fail
    answer = await ingest.post(request())
    assert (answer.status, answer.json["code"], answer.headers["retry-after"]) == (503, code, "1")
    answer = await ingest.post({"events": [request(), request()]})
    assert (answer.status, answer.json["code"], answer.headers["retry-after"]) == (503, "batch_refused", "1")


async def test_too_many_events_in_flight_are_503() -> None:
    """The bound holds for all requests together, and opens as soon as Kafka answers."""
    async with serving(in_flight=3, outlet=FakeOutlet(script=lambda _: None)) as ingest:
        batch = asyncio.create_task(ingest.post({"events": [request()] * 5}))
        await _until(lambda: len(ingest.outlet.waiting) == 3)
        answer = await ingest.post(request())
        assert (answer.status, answer.json["code"]) == (503, "overloaded")
        assert "3 events wait" in ingest.gate.complaint()
        ingest.outlet.answer(Published("t", 0, 0))
        mixed = await batch
        assert [result["status"] for result in mixed.json["results"]] == [202] * 3 + [503] * 2
        assert ingest.gate.complaint() == ""


async def test_a_silent_kafka_closes_the_gate() -> None:
    """After some seconds without a confirmation new events are refused at once, and taken again after the first answer."""
    async with serving(stall_s=3, outlet=FakeOutlet(script=lambda _: None)) as ingest:
        waiting = asyncio.create_task(ingest.post(request()))
        await _until(lambda: ingest.outlet.waiting)
        ingest.clock.move(3.5)
        answer = await ingest.post(request())
        assert (answer.status, answer.json["code"], answer.headers["retry-after"]) == (503, "broker_unavailable", "5")
        assert "confirmed nothing for 3 s" in ingest.gate.complaint()
        ingest.outlet.answer(Undelivered("late"))
        assert (await waiting).status == 503
        ingest.outlet.script = lambda _: Published("t", 0, 0)
        assert (await ingest.post(request())).status == 202


async def test_a_fault_of_ours_is_500_without_details(ingest: Serving) -> None:
    """No stack trace and no message leaves the process, and the next request is served."""

    def fail(_: Event) -> Outcome:
        raise ZeroDivisionError("a secret detail")

    ingest.outlet.script = fail
    answer = await ingest.post(request())
    assert (answer.status, answer.json["code"]) == (500, "internal_error")
    assert b"secret detail" not in answer.body
    ingest.outlet.script = lambda _: Published("t", 0, 0)
    assert (await ingest.post(request())).status == 202


async def test_limits_are_settings() -> None:
    """Smaller batches, bodies and other time limits take effect."""
    async with serving(max_batch=2, max_body_bytes=2_048, max_past_s=60, max_future_s=0) as ingest:
        assert (await ingest.post({"events": [request()] * 3})).json["code"] == "batch_too_large"
        assert (await ingest.post(b" " * 2_049)).json["code"] == "body_too_large"
        for moved, status in ((-61, 422), (-59, 202), (1, 422)):
            at = (ingest.clock.at + timedelta(seconds=moved)).isoformat()
            assert (await ingest.post(request(occurred_at=at))).status == status


async def _until(condition: Any) -> None:
    async with asyncio.timeout(30):
        while not condition():  # noqa: ASYNC110  # simpler than an event per condition
            await asyncio.sleep(0.01)
