"""ClickHouse: killed in the middle of an insert, away for long, refusing, losing answers, with a full disk; and bad attempt records."""

from __future__ import annotations

import dataclasses
import random
import time
from typing import Final

from hookline.schemas.records import Attempt, Outcome, Trigger
from tests.chaos.faults.fault import Fault, until_left
from tests.chaos.faults.others import others_noticed
from tests.chaos.world import CLICKHOUSE, World

_LONG_S: Final = 25.0
_INSERT_S: Final = 15.0


class KillInInsert(Fault):
    """The server dies while an insert is under way, with part of it on the disk."""

    name = "kill-clickhouse-in-insert"
    what = "SIGKILL of ClickHouse right after an insert began"

    _seen: int = 0
    _TIMES: Final = 6

    def inject(self, world: World, numbers: random.Random) -> None:
        """Wait for the next insert, kill within milliseconds, start, and again."""
        for _ in range(self._TIMES):
            self._seen += _until_insert(world)
            time.sleep(numbers.uniform(0.0, 0.02))
            world.kill(CLICKHOUSE)
            world.sleep(numbers.uniform(0.0, 0.5))
            world.start(CLICKHOUSE)
            world.until_ready(CLICKHOUSE)
            world.sleep(numbers.uniform(0.3, 1.0))

    def check(self, world: World) -> list[str]:  # noqa: ARG002
        """Require that an insert had begun each time."""
        return [] if self._seen == self._TIMES else [f"an insert had begun before {self._seen} of {self._TIMES} kills"]


class KillSinkInInsert(Fault):
    """The sink dies while its insert is under way: the next one replays the announced batch."""

    name = "kill-sink-in-insert"
    what = "SIGKILL of the sink right after an insert began"

    _seen: int = 0
    _TIMES: Final = 4

    def inject(self, world: World, numbers: random.Random) -> None:
        """As above, the sink."""
        for _ in range(self._TIMES):
            self._seen += _until_insert(world)
            time.sleep(numbers.uniform(0.0, 0.02))
            world.kill("sink")
            world.start("sink")
            world.until_ready("sink")

    def check(self, world: World) -> list[str]:  # noqa: ARG002
        """Require that an insert had begun each time."""
        return [] if self._seen == self._TIMES else [f"an insert had begun before {self._seen} of {self._TIMES} kills"]


class ClickHouseAway(Fault):
    """The sink waits and says so; deliveries go on as if nothing were."""

    name = "clickhouse-away"
    what = f"ClickHouse down for {_LONG_S:.0f} s: the sink waits, catches up, deliveries do not notice"

    def inject(self, world: World, numbers: random.Random) -> None:
        """Take it away."""
        world.kill(CLICKHOUSE)
        self._gone_at = time.time()
        world.sleep(_LONG_S + numbers.uniform(0.0, 2.0))
        self._complaint, self._back_at = world.ready("sink"), time.time()
        until_left(world)
        world.start(CLICKHOUSE)
        world.until_ready(CLICKHOUSE)

    def check(self, world: World) -> list[str]:
        """Require that the sink complained, and that deliveries came as quickly as ever."""
        found = [] if self._complaint else ["the sink said nothing of a ClickHouse that was away"]
        return found + others_noticed(world.history, self._gone_at, self._back_at)


class ClickHouseRefuses(Fault):
    """Out of memory, too many parts, read-only: tried again with the same borders."""

    name = "clickhouse-refuses"
    what = "inserts refused for a while: memory (241), too many parts (252), read-only (164)"

    def inject(self, world: World, numbers: random.Random) -> None:
        """Refuse with one code after the other."""
        for code in numbers.sample([241, 252, 164], 3):
            world.rows.fault(f"refuse:{code}")
            world.sleep(numbers.uniform(1.5, 3.0))
            world.rows.fault("ok")
            world.sleep(numbers.uniform(0.2, 0.8))


class ClickHouseMute(Fault):
    """Inserts are done and their answers lost: the same rows again under the same token, dropped."""

    name = "clickhouse-mute"
    what = "the answers of inserts are lost, then inserts hang"

    def inject(self, world: World, numbers: random.Random) -> None:
        """Lose answers, then let inserts hang past the client's timeout."""
        world.rows.fault("mute")
        world.sleep(numbers.uniform(2.0, 4.0))
        world.rows.fault("hang")
        world.sleep(7.0)
        until_left(world)
        world.rows.fault("ok")


class FreezeClickHouse(Fault):
    """It stands still in the middle of whatever it does, longer than the sink's session."""

    name = "freeze-clickhouse"
    what = "SIGSTOP of ClickHouse for longer than the sink's session"

    def inject(self, world: World, numbers: random.Random) -> None:
        """Stop it where it stands."""
        world.freeze(CLICKHOUSE)
        world.sleep(8.0 + numbers.uniform(0.0, 2.0))
        until_left(world)
        world.thaw(CLICKHOUSE)


class ClickHouseDiskFull(Fault):
    """The engine finds no room for one table after the other: inserts fail half way, and are made whole once there is room.

    It says so before it writes (NOT_ENOUGH_SPACE), as it does on a full disk. RLIMIT_FSIZE would not do: this engine takes
    a write that the limit cut short for a whole one.
    """

    name = "clickhouse-disk-full"
    what = "no room for a part: first of the sums, so that an insert fails half way, then of the attempts"
    _TABLES: Final = ("attempt_stats_hourly", "attempts")

    def inject(self, world: World, numbers: random.Random) -> None:
        """Take the room of each table for a while."""
        for table in self._TABLES:
            world.rows.room(table, least_bytes=10**18)
            world.sleep(numbers.uniform(2.0, 4.0))
            world.rows.room(table, least_bytes=0)
            world.sleep(numbers.uniform(0.2, 0.8))


class BadAttempts(Fault):
    """Records that are no rows are put aside with their reason; the others of their batches are written."""

    name = "bad-attempts"
    what = "undecodable and impossible attempt records among the good ones"

    def inject(self, world: World, numbers: random.Random) -> None:
        """Put several kinds on the topic."""
        good = Attempt(
            attempt_id="att_chaos", delivery_id="msg_chaos", store_id="chaos", webhook_id="wh_chaos", event_id="evt_chaos",
            event_type="order.created", trigger=Trigger.EVENT, attempt=0, attempted_at_us=time.time_ns() // 1_000, outcome=Outcome.SKIPPED,
        )  # fmt: skip
        wrong = [
            dataclasses.replace(good, attempt=70_000),
            dataclasses.replace(good, http_status=-1),
        ]
        values = [b"", b"\x01bad", b"\0\0\0\0\x7fxx", *(world.codec.encode_attempt(one) for one in wrong)]
        for _ in range(4):
            for value in numbers.sample(values, len(values)):
                world.produce_raw(world.topics.attempts, value, b"wh_chaos")
            world.sleep(numbers.uniform(0.2, 0.6))
        self._wanted = 4 * len(values)

    def check(self, world: World) -> list[str]:
        """Require that exactly these were put aside."""
        aside = len(world.history.rejected)
        return [] if aside >= self._wanted else [f"{aside} records were put aside, {self._wanted} were bad"]


class RowRefused(Fault):
    """ClickHouse will never take a batch with this row in it: the row is found, put aside and counted, its neighbours are written once.

    What refuses it is a constraint of the table, so that the engine itself does, on every try.
    """

    name = "row-refused"
    what = "ClickHouse refuses every batch with certain rows in it, for ever: they are put aside, the others are written once"
    _EACH: Final = 3
    _TIMES: Final = 4

    def inject(self, world: World, numbers: random.Random) -> None:
        """Forbid a store's rows, and put attempts of that store among the others, some right behind each other."""
        self._store = f"refused-{numbers.getrandbits(24):06x}"
        self._before = set(world.history.rejected)
        self._sink = world.pid("sink")
        world.rows.forbid(self._store)
        for number in range(self._TIMES):
            good = Attempt(
                attempt_id=f"att_refused_{number}", delivery_id="msg_refused", store_id=self._store, webhook_id="wh_refused",
                event_id="evt_refused", event_type="order.created", trigger=Trigger.EVENT, attempt=0,
                attempted_at_us=time.time_ns() // 1_000, outcome=Outcome.SKIPPED,
            )  # fmt: skip
            value = world.codec.encode_attempt(good)
            world.produce_together(world.topics.attempts, [value] * self._EACH, numbers.randrange(3))
            world.sleep(numbers.uniform(0.8, 1.6))

    def check(self, world: World) -> list[str]:
        """Require that exactly these were put aside, and that the sink says how many."""
        aside, wanted = len(world.history.rejected - self._before), self._EACH * self._TIMES
        counted = world.metric("sink", "hookline_sink_rejected_records_total")
        found = [] if aside == wanted else [f"{aside} records were put aside, {wanted} were refused"]
        whole = counted >= wanted or world.pid("sink") != self._sink  # another sink has counted its own
        return found if whole else [*found, f"the sink has counted {counted:.0f} rejected records of {wanted}"]

    def after(self, world: World) -> None:
        """Take the constraint away."""
        world.rows.allow()


def _until_insert(world: World) -> bool:
    """Return as soon as the next insert has begun; False when none does for some seconds."""
    begun, deadline = world.rows.inserts(), time.monotonic() + _INSERT_S
    while world.rows.inserts() == begun:
        if time.monotonic() > deadline:
            return False
        world.sleep(0)  # who was told to stop meanwhile, the sink perhaps, is started again
        time.sleep(0.001)
    return True
