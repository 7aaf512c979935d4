"""Reception: from records to deliveries, one bad record at a time."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from hookline.dispatcher.crash_marker import CRASHES, CrashMarker
from hookline.dispatcher.faults import Faults
from hookline.dispatcher.matching import Matcher
from hookline.dispatcher.reception import Reception, ReceptionParts
from hookline.dispatcher.shares import Record, Share
from hookline.dispatcher.slot import Slot
from hookline.kernel.errors import RegistryUnavailable, UnknownSchema
from hookline.schemas.records import ErrorKind, Waiting
from hookline.schemas.wire import Codec
from hookline.webhooks.model import State
from tests.dispatcher.fake_kafka import TOPICS, message
from tests.dispatcher.fakes import PaperIntake, PaperLedger, Schemas, attempts, order_bytes, settlement, waiting, webhook
from tests.dispatcher.mortal import die_with
from tests.dispatcher.rig import Rig

pytestmark = pytest.mark.unit

ORDERS = TOPICS.events("orders")


class Desk:
    """A reception over a rig, fed from the loop as the intakes feed it."""

    def __init__(self, folder: Path, poison_limit: int = 3) -> None:
        self.rig = Rig()
        self.schemas = Schemas()
        self.codec = Codec(self.schemas)
        self.faults = Faults()
        self.executor = ThreadPoolExecutor(1)
        self.slot = Slot(folder)
        self.slot.take()
        self.marker = CrashMarker(folder, self.slot)
        self.marker.open()
        self.intake = PaperIntake()
        self.share = Share(topic=ORDERS, partition=0)
        self.ledger: PaperLedger = self.rig.ledger
        parts = ReceptionParts(
            loop=asyncio.get_running_loop(),
            codec=self.codec,
            matcher=Matcher(self.rig.directory, lambda: self.rig.clock.now().timestamp()),
            sending=self.rig.sending,
            settlement=settlement(self.ledger),
            marker=self.marker,
            faults=self.faults,
            executor=self.executor,
            wall=lambda: self.rig.clock.now().timestamp(),
        )
        self.reception = Reception(parts, poison_limit)
        self.rig.directory.by_id.clear()
        self.rig.directory.add(webhook())

    async def events(self, *values: bytes | None, share: Share | None = None, **more: Any) -> list[Record]:
        """Hand fresh events over and let the loop take them."""
        records = [Record(message(v, topic=ORDERS, offset=n, **more), share or self.share, n, 1) for n, v in enumerate(values)]
        self.reception.events(self.intake, records)
        await asyncio.sleep(0.01)
        return records

    async def due(self, value: bytes, headers: dict[str, bytes]) -> Record:
        """Hand a due retry over."""
        share = Share(topic=TOPICS.retry("5s"), partition=0)
        record = Record(message(value, topic=share.topic, headers=headers), share, 0, 1)
        self.reception.waiting(self.intake, [record])
        await asyncio.sleep(0.01)
        return record

    def settled(self) -> int:
        """Make everything durable; return how many records are settled."""
        self.ledger.settle()
        return len(self.intake.settled)


@pytest.fixture
async def desk(tmp_path: Path) -> AsyncIterator[Desk]:
    """Give a reception whose codec knows the schema of orders already."""
    made = Desk(tmp_path)
    made.codec.prepare(order_bytes())
    made.schemas.asked = 0
    yield made
    made.executor.shutdown()
    made.marker.close()
    made.slot.release()


async def test_an_event_becomes_a_delivery_per_webhook(desk: Desk) -> None:
    """Each matching webhook is called with one and the same body; the event settles when all are durable."""
    desk.rig.directory.add(webhook(2), webhook(3, event_types=("order.paid",)))
    trace = "00-" + "a" * 32 + "-" + "b" * 16 + "-01"
    await desk.events(order_bytes(), headers={"traceparent": trace.encode()})
    first, second = desk.rig.transport.sent
    assert (first.webhook_id, second.webhook_id) == ("wh_1", "wh_2")
    assert first.body is second.body
    assert dict(first.headers)["traceparent"] == trace
    desk.rig.transport.answer(_ok())
    assert desk.settled() == 0
    desk.rig.transport.answer(_ok())
    assert desk.settled() == 1


@pytest.mark.parametrize("readable", [True, False])
async def test_a_record_that_was_read_is_in_hand_no_more(desk: Desk, tmp_path: Path, readable: bool) -> None:
    """A process that is killed while it waits must not have its last record blamed, whether that could be read or not."""
    await desk.events(order_bytes() if readable else b"nonsense")
    marked = (tmp_path / "decoding.0").read_bytes().rstrip(b"\0")
    assert marked == b"\0" + f"{ORDERS}:0:0".encode()[1:]


@pytest.mark.parametrize("kind", ["event", "retry"])
async def test_a_record_that_is_sent_is_in_hand_no_more(desk: Desk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    """Three deaths of the process in what follows from a good record, signing and sending, must not bury it as poison."""
    marks = list[int]()
    monkeypatch.setattr(desk.rig.transport, "send", lambda *_: marks.append((tmp_path / "decoding.0").read_bytes()[0]))
    await (desk.events(order_bytes()) if kind == "event" else desk.due(order_bytes(), waiting(attempt=3).to_headers()))
    assert marks == [0]


async def test_an_event_that_nobody_wants_settles_at_once(desk: Desk) -> None:
    """Nothing is written for it."""
    desk.rig.directory.by_id.clear()
    await desk.events(order_bytes())
    assert (desk.ledger.entries, len(desk.intake.settled)) == ([], 1)


async def test_skips_and_letters_are_part_of_an_event(desk: Desk) -> None:
    """A skip that needs explaining and a webhook disabled since are settled with the rest."""
    desk.rig.directory.add(webhook(2, state=State.DISABLED), webhook(3, state=State.DISABLED, state_since_us=2**60))
    await desk.events(order_bytes())
    desk.rig.transport.answer(_ok())
    assert {record.error_kind for record in attempts(desk.ledger)} == {ErrorKind.NONE, ErrorKind.DISABLED}
    assert len(desk.ledger.of("dead-letters")) == 1
    assert desk.settled() == 1


@pytest.mark.parametrize("trace", [b"nonsense", b"00-aa\r\nx-evil: 1", b"\xff" * 55, b"00-" + b"A" * 32 + b"-" + b"b" * 16 + b"-01"])
async def test_a_broken_trace_is_left_out(desk: Desk, trace: bytes) -> None:
    """What is no trace parent cannot be sent as one, from an event or from a retry."""
    await desk.events(order_bytes(), headers={"traceparent": trace})
    await desk.due(order_bytes(), waiting(traceparent="x").to_headers() | {"traceparent": trace})
    assert [("traceparent" in dict(request.headers)) for request in desk.rig.transport.sent] == [False, False]


# ---- poison ----


async def test_poison_stops_nobody(desk: Desk) -> None:
    """Undecodable records become letters, the ones around them deliveries."""
    whole = order_bytes()
    await desk.events(b"\x01", whole, None, whole[:-3], whole, whole + b"x")
    assert len(desk.rig.transport.sent) == 2
    assert [entry.value for entry in desk.ledger.of("dead-letters")] == [b"\x01", b"", whole[:-3], whole + b"x"]
    desk.rig.transport.answer(_ok(), 2)
    assert desk.settled() == 6


async def test_too_much_poison_in_a_row_holds_the_partition(desk: Desk) -> None:
    """Three letters, then the partition is held: what follows is neither settled nor written; another partition is not held."""
    records = await desk.events(*[b"\x01"] * 6)
    other = Share(topic=ORDERS, partition=1)
    await desk.events(b"\x01", order_bytes(), share=other)
    assert len(desk.ledger.of("dead-letters")) == 4
    assert desk.intake.held_records == records[3:]
    assert (desk.share.held, other.held) == (True, False)
    desk.rig.transport.answer(_ok())
    assert desk.settled() == 5


async def test_a_good_record_between_ends_the_row(desk: Desk) -> None:
    """Single bad records never hold a partition."""
    await desk.events(*([b"\x01", b"\x01", order_bytes()] * 3))
    assert not desk.share.held
    assert len(desk.ledger.of("dead-letters")) == 6


async def test_a_retry_without_its_headers_is_poison(desk: Desk) -> None:
    """A record that somebody else put on a retry topic is kept and told, not guessed at."""
    await desk.due(order_bytes(), {"hookline-webhook-id": b"wh_1"})
    [entry] = desk.ledger.of("dead-letters.orders")
    assert b"hookline-delivery-id" in entry.headers["dlq.error"]
    assert desk.settled() == 1


@pytest.mark.parametrize("name", ["attempt", "source-partition", "source-offset", "source-timestamp-ms"])
async def test_a_retry_with_a_number_beyond_all_records_is_poison(desk: Desk, name: str) -> None:
    """It is not called and then found to be unwritable, which would call it again after each restart."""
    await desk.due(order_bytes(), waiting().to_headers() | {f"hookline-{name}": b"9999999999999999999"})
    assert desk.rig.transport.sent == []
    [entry] = desk.ledger.of("dead-letters.orders")
    assert entry.headers["dlq.reason"] == b"poison"
    assert desk.settled() == 1
    assert desk.faults.complaint() == ""


async def test_the_record_that_kills_is_refused(tmp_path: Path) -> None:
    """What was in hand at three deaths of the process is a letter without being looked at again; the next one is delivered."""
    for _ in range(CRASHES):
        die_with(tmp_path, ORDERS, 0)
    desk = Desk(tmp_path)
    desk.codec.prepare(order_bytes())
    await desk.events(order_bytes(), order_bytes())
    assert len(desk.rig.transport.sent) == 1
    assert b"three times" in desk.ledger.of("dead-letters")[0].headers["dlq.error"]
    desk.executor.shutdown()
    desk.marker.close()
    desk.slot.release()


async def test_an_error_of_ours_strikes_one_record(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """An error that nobody foresaw leaves that record unsettled, is told, and the batch goes on."""
    real, calls = desk.rig.directory.matching, []

    def broken(*args: str) -> Any:
        calls.append(args)
        if len(calls) == 2:
            message = "unforeseen"
            raise RuntimeError(message)
        return real(*args)

    monkeypatch.setattr(desk.rig.directory, "matching", broken)
    await desk.events(order_bytes(), order_bytes(), order_bytes())
    assert len(desk.rig.transport.sent) == 2
    assert "1 internal errors" in desk.faults.complaint()
    desk.rig.transport.answer(_ok(), 2)
    assert desk.settled() == 2


async def test_a_long_batch_is_taken_in_slices(desk: Desk) -> None:
    """Answers are served between slices of a batch, and none of it is lost."""
    done: list[int] = []
    asyncio.get_running_loop().call_soon(lambda: asyncio.get_running_loop().call_soon(lambda: done.append(len(desk.intake.settled))))
    desk.rig.directory.by_id.clear()
    desk.reception.events(desk.intake, [Record(message(order_bytes(), offset=n), desk.share, n, 1) for n in range(1_000)])
    await _until(lambda: len(desk.intake.settled) == 1_000)
    assert done[0] < 1_000


async def test_records_of_a_lost_partition_are_dropped(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is still to be taken of a partition that is gone is the next owner's: it is looked at once."""
    looks, take = list[object](), Reception._take

    def noted(self: Reception, unit: Any, receiver: Any) -> None:
        looks.append(unit)
        take(self, unit, receiver)

    monkeypatch.setattr("hookline.dispatcher.reception._FIT_AGAIN_S", 0.001)
    monkeypatch.setattr(Reception, "_take", noted)
    desk.share.open = False
    await desk.events(order_bytes(), b"\x01")
    await asyncio.sleep(0.05)
    assert len(looks) == 2
    assert (desk.rig.transport.sent, desk.ledger.entries, desk.intake.settled) == ([], [], [])


async def test_a_record_whose_owner_nobody_knows_waits(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """After a gap nothing is decided, not even that a record is poison, until the intake has polled."""
    monkeypatch.setattr("hookline.dispatcher.reception._FIT_AGAIN_S", 0.01)
    desk.intake.is_fit = False
    await desk.events(order_bytes(), b"\x01")
    await asyncio.sleep(0.05)
    assert (desk.rig.transport.sent, desk.ledger.entries) == ([], [])
    desk.intake.is_fit = True
    await _until(lambda: len(desk.rig.transport.sent) == 1 and desk.ledger.entries)


# ---- the schema registry ----


async def test_a_new_schema_is_looked_up_beside_the_loop(desk: Desk) -> None:
    """A slow registry delays the records that need it, once for all of them, and nothing else."""
    slow, loop_thread = threading.Event(), threading.get_ident()
    asked_from: list[int] = []

    def schema_of(number: int) -> dict[str, Any]:
        asked_from.append(threading.get_ident())
        slow.wait(20)
        return Schemas().schema_of(number)

    desk.schemas.schema_of = schema_of  # type: ignore[method-assign]  # a slow registry
    desk.rig.directory.add(webhook(2, event_types=("order.paid",)))
    paid = Codec(Schemas()).encode(_example("order.paid"))
    await desk.events(paid, order_bytes(), paid)
    assert [request.webhook_id for request in desk.rig.transport.sent] == ["wh_1"]
    slow.set()
    await _until(lambda: len(desk.rig.transport.sent) == 3)
    assert loop_thread not in asked_from
    desk.rig.transport.answer(_ok(), 3)
    assert desk.settled() == 3


async def test_a_registry_that_is_away_is_no_poison(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """The records wait until it answers; nothing is dead-lettered meanwhile."""
    monkeypatch.setattr("hookline.dispatcher.reception._REGISTRY_AGAIN_S", 0.02)
    desk.schemas.down = RegistryUnavailable("it does not answer")
    desk.rig.directory.add(webhook(2, event_types=("order.paid",)))
    await desk.events(Codec(Schemas()).encode(_example("order.paid")))
    await asyncio.sleep(0.1)
    assert (desk.ledger.entries, desk.intake.settled) == ([], [])
    desk.schemas.down = None
    await _until(lambda: len(desk.rig.transport.sent) == 1)


async def test_an_unknown_schema_is_poison(desk: Desk) -> None:
    """An id that the registry does not know, asked again, is the record's fault."""
    desk.schemas.down = UnknownSchema("Schema id 999 is not registered")
    await desk.events(b"\x00\x00\x00\x03\xe7body")
    await _until(lambda: len(desk.ledger.of("dead-letters")) == 1)
    assert b"999" in desk.ledger.entries[0].headers["dlq.error"]
    assert desk.settled() == 1


# ---- retries ----


async def test_a_due_retry_is_sent_as_what_it_was(desk: Desk) -> None:
    """The same id, the next attempt, the body rendered again."""
    await desk.due(order_bytes(), waiting(attempt=3).to_headers())
    [request] = desk.rig.transport.sent
    assert dict(request.headers)["hookline-attempt"] == "4"
    assert dict(request.headers)["webhook-id"] == "msg_1"
    assert b'"type":"order.created"' in request.body
    desk.rig.transport.answer(_ok())
    assert desk.settled() == 1


@pytest.mark.parametrize("why", ["paused", "deleted", "dead"])
async def test_what_could_not_be_called_is_not_even_decoded(desk: Desk, monkeypatch: pytest.MonkeyPatch, why: str) -> None:
    """Deliveries that go round for a paused webhook or a dead receiver cost next to nothing."""
    if why == "paused":
        desk.rig.directory.add(webhook(state=State.PAUSED))
    elif why == "deleted":
        desk.rig.directory.by_id.clear()
    else:
        lane = desk.rig.lanes.lane("wh_1")
        for _ in range(5):
            lane.admit()
            lane.began()
            lane.done(False, 0.1)
    decoded: list[bytes] = []
    monkeypatch.setattr(desk.codec, "decode", decoded.append)
    await desk.due(order_bytes(), waiting(attempt=2, parked=2).to_headers())
    assert (decoded, desk.rig.transport.sent) == ([], [])
    assert len(desk.ledger.of("retry.30m")) == (why != "deleted")
    assert desk.settled() == 1


async def test_a_probe_is_decoded_and_sent(desk: Desk) -> None:
    """When the breaker's time is over the next retry is the probe."""
    lane = desk.rig.lanes.lane("wh_1")
    for _ in range(5):
        lane.admit()
        lane.began()
        lane.done(False, 0.1)
    desk.rig.clock.move(200)
    for _ in range(2):
        await desk.due(order_bytes(), waiting(attempt=2).to_headers())
    assert len(desk.rig.transport.sent) == 1
    assert len(desk.ledger.of("retry.1m")) == 1


async def test_a_retry_whose_own_time_has_not_come_waits_on(desk: Desk) -> None:
    """The tier is over, the delivery's own time is not: no call, no attempt, another tier."""
    await desk.due(order_bytes(), waiting(attempt=3, not_before_us=2**60).to_headers())
    assert desk.rig.transport.sent == []
    [entry] = desk.ledger.of("retry.")
    assert Waiting.from_headers(entry.headers).attempt == 3
    assert desk.settled() == 1


def _ok() -> Any:
    from tests.dispatcher.fakes import reply

    return reply(200)


def _example(name: str) -> Any:
    from hookline.kernel.clock import SystemClock
    from hookline.schemas.events import example_event

    return example_event(name, "shop", clock=SystemClock())


async def _until(condition: Any) -> None:
    for _ in range(1_000):
        if condition():
            return
        await asyncio.sleep(0.01)
    pytest.fail("the condition did not come true")
