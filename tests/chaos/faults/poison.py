"""Records that no publisher of ours would write: undecodable ones, a flood of them, one that kills its reader; corrupt state."""

from __future__ import annotations

import json
import random
import time
from typing import Final

from confluent_kafka import Message

from hookline.kernel import kafka
from hookline.kernel.clock import SystemClock
from hookline.schemas.catalogue import event_type
from hookline.schemas.events import example_event
from hookline.schemas.topics import SCHEMAS as SCHEMAS_TOPIC
from tests.chaos.faults.fault import Fault
from tests.chaos.history import Publish
from tests.chaos.load import STORE, TYPES
from tests.chaos.world import World

_DEADLY: Final = "deadly-record"
HELD: Final = "held after"
"""Of what a dispatcher says that holds a partition."""
_LIMIT: Final = 20  # HOOKLINE_POISON_LIMIT of the world


class PoisonRecords(Fault):
    """Each becomes a dead letter with its raw bytes; its neighbours are delivered."""

    name = "poison-records"
    what = "undecodable records of many kinds among the good ones"

    def inject(self, world: World, numbers: random.Random) -> None:
        """Put them on every event topic, on any partition."""
        good = world.codec.encode(example_event("order.created", STORE, clock=SystemClock()))
        values: list[bytes | None] = [
            None, b"", b"\0", b"\x01" + good[1:], b"\0\x7f\xff\xff\xff" + good[5:], good[: len(good) // 2], good + b"trailing",
            good[:5] + b"\xff" * 40, good[:5] + b"\x80" * 9 + b"\x7f" + good[5:],
            good[:5], b"\x01" + numbers.randbytes(200), b"{}", b"\x02" * 64,
        ]  # fmt: skip
        for topic in world.topics.all_events():
            for value in numbers.sample(values, len(values)):
                world.produce_raw(topic, value, numbers.randbytes(4))
        self._count = len(values) * len(world.topics.all_events())
        world.wait(lambda: self._buried(world) >= self._count, 60)

    def _buried(self, world: World) -> int:
        world.look()
        return sum(1 for copy in world.history.copies if not copy.event_id and copy.place in world.history.poison)

    def check(self, world: World) -> list[str]:
        """Require a letter for each."""
        missing = [copy.place for copy in world.history.copies if not copy.event_id and copy.place not in world.history.poison]
        return [f"the unreadable record at {place} is no dead letter" for place in missing]


class PoisonFlood(Fault):
    """After the limit the partition is held, loudly; each restart allows as many again, and in the end all is read.

    What lies behind the held record and was taken up with it is delivered, cannot be committed, and comes again.
    """

    name = "poison-flood"
    what = "50 undecodable records in a row: the partition is held, the others go on, restarts let it through"
    _FLOOD: Final = 50
    _WATCHED_S: Final = 4.0
    _FEWEST: Final = 40

    def inject(self, world: World, numbers: random.Random) -> None:
        """Flood one partition, wait until somebody says that it is held."""
        self.flood(world, numbers)
        self._held = world.wait(lambda: bool(self._holders(world)), 30)
        self._held_at = time.time()
        world.sleep(self._WATCHED_S)
        world.look()
        self._emptied = self._letters(world) - self._before

    def flood(self, world: World, numbers: random.Random) -> None:
        """Put undecodable records right behind each other on a partition."""
        topic = world.topics.events("checkout")
        self._partition = numbers.randrange(3)
        self._before = self._letters(world)
        world.produce_together(topic, [b"\x01bad deploy %d" % number for number in range(self._FLOOD)], self._partition)

    def heal(self, world: World) -> None:
        """Restart whoever holds it, until nobody does."""
        deadline = time.monotonic() + 60
        while (holders := self._holders(world)) and time.monotonic() < deadline:
            for name in holders:
                world.term(name)
                world.start(name)
                world.until_ready_but(name, HELD)
            world.sleep(2.0)

    def check(self, world: World) -> list[str]:
        """Require that it was held at the limit, and that all of the flood are letters in the end."""
        found = [] if self._held else ["nobody held the flooded partition"]
        if self._emptied > 2 * _LIMIT:  # a good record in between, or a rebalance, allows as many again
            found.append(f"{self._emptied} records went to the dead letters before the partition was held, the limit is {_LIMIT}")
        return found + self.missing(world) + self._others(world)

    def _others(self, world: World) -> list[str]:
        """Return what is wrong where the other partitions stood still meanwhile: some 70 calls a second are due for them."""
        topic, until = world.topics.events("checkout"), self._held_at + self._WATCHED_S
        behind = {copy.event_id for copy in world.history.copies if copy.place[:2] == (topic, self._partition)}
        calls = sum(1 for call in world.history.calls if self._held_at < call.at < until and call.event_id not in behind)
        return [] if calls >= self._FEWEST else [f"{calls} calls were made for other partitions while one was held"]

    def missing(self, world: World) -> list[str]:
        """Return what is wrong where not all of the flood are letters."""
        got = self._letters(world) - self._before
        return [] if got == self._FLOOD else [f"{got} letters of {self._FLOOD} poison records"]

    def _holders(self, world: World) -> list[str]:
        return [name for name in world.dispatchers if HELD in world.ready(name)]

    def _letters(self, world: World) -> int:
        topic = world.topics.events("checkout")
        return sum(1 for place in world.history.poison if place[0] == topic and place[1] == self._partition)


class DeadlyRecord(Fault):
    """It kills whoever decodes it, by a real SIGSEGV; after three deaths it is buried unread, and what lies behind is delivered."""

    name = "deadly-record"
    what = "a record that crashes the decoder's process: buried after three deaths"
    # A dispatcher knows the deaths up to its own start: the other may die once more of what it has not heard of.
    deaths = 4
    deaths_of = "dispatcher"

    def inject(self, world: World, numbers: random.Random) -> None:
        """Publish it, and wait until it is buried."""
        event = example_event("newsletter.signed_up", STORE, clock=SystemClock(), id=f"{_DEADLY}-{numbers.getrandbits(32):08x}")
        self._id = event.id
        world.history.buried.add(event.id)
        world.history.publishes[event.id] = Publish(event.id, STORE, event.type, "raw", time.time())
        world.produce_raw(world.topics.events("customers"), world.codec.encode(event))
        world.wait(lambda: self._buried(world), 90)

    def _buried(self, world: World) -> bool:
        world.look()
        return any(copy.event_id == self._id and copy.place in world.history.poison for copy in world.history.copies)

    def check(self, world: World) -> list[str]:
        """Require the letter."""
        return [] if self._buried(world) else ["the deadly record is no dead letter"]


class CorruptState(Fault):
    """The last good value stays, in processes that run and in those that start afterwards."""

    name = "corrupt-state"
    what = "corrupt records on the webhooks topic and on _schemas, under keys in use and others; processes restarted on them"

    def inject(self, world: World, numbers: random.Random) -> None:
        """Write them, then restart a dispatcher, ingest and the console."""
        ids = [webhook_id.encode() for webhook_id, role in world.history.roles.items() if not role.closed][:4]
        values = [b"", b"\x01", numbers.randbytes(64), b"\0\0\0\0\x63" + numbers.randbytes(30), b"{}"]
        for key in [*ids, b"", b"\xff\xfe", b"wh_nobody"]:
            for value in numbers.sample(values, 2):
                world.produce_raw(world.topics.webhooks, value, key)
        for key in (
            b"not json",
            b'{"keytype":"SCHEMA"}',
            json.dumps({"keytype": "SCHEMA", "subject": "x", "version": 1, "magic": 1}).encode(),
        ):
            world.produce_raw(SCHEMAS_TOPIC, b"\xffnot json", key)
            world.produce_raw(SCHEMAS_TOPIC, b'{"schema":"{","id":"x"}', key)
        for name in (world.dispatchers[0], "ingest", "console"):
            world.kill(name)
            world.start(name)
        world.until_ready(world.dispatchers[0], "ingest", "console")

    def heal(self, world: World) -> None:
        """Write good records behind the bad ones."""
        world.cast.renew()


class OddEvents(Fault):
    """An event that is on Kafka twice is delivered once a copy at most; a webhook deleted under way gets no more."""

    name = "odd-events"
    what = "the same event on Kafka several times, without a key, and with headers of nonsense"

    def inject(self, world: World, numbers: random.Random) -> None:
        """Produce some events twice, by hand."""
        producer = kafka.producer(world.config)
        refused: list[str] = []

        def done(error: object, _message: Message) -> None:
            if error is not None:
                refused.append(str(error))

        for _ in range(10):
            event = example_event(numbers.choice(TYPES), STORE, clock=SystemClock())
            world.history.publishes[event.id] = Publish(event.id, STORE, event.type, "raw", time.time())
            value, topic = world.codec.encode(event), world.topics.events(event_type(event.type).category)
            for headers in ({}, {"traceparent": b"\xff\xfe"}, {"hookline-attempt": b"-1", "": b"", "x" * 200: b"y" * 2_000}):
                producer.produce(topic, key=None, value=value, headers=dict(headers), on_delivery=done)
        producer.flush(20)
        self._refused = refused

    def check(self, world: World) -> list[str]:  # noqa: ARG002
        """Require that Kafka had taken them: else nothing was tested."""
        return [f"Kafka refused what was to be tested: {text}" for text in self._refused]
