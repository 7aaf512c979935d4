"""The demo from curtain to curtain: the receivers, a busy day with faults, the reconciliation, the replay, the statistics."""

from __future__ import annotations

import signal
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Final

from hookline.analytics.gateway import open_queries
from hookline.analytics.queries import Audit, Queries, audit, statistics, statistics_by_webhook
from hookline.dispatcher.letters import Reason
from hookline.dispatcher.replays import DeadLetters, FoundLetter, LetterFilter
from hookline.kernel.config import load
from hookline.kernel.errors import LocalError
from hookline.kernel.kafka import KafkaConfig
from hookline.local.demo import report
from hookline.local.demo.admin import Admin
from hookline.local.demo.board import Board
from hookline.local.demo.cast import CAST, Behaviour, Role
from hookline.local.demo.company import Company
from hookline.local.demo.ledgers import Attempts, Progress, log_rows, published
from hookline.local.demo.reconcile import Check, Evidence, accounts, checks, expectations
from hookline.local.demo.stage import Stage
from hookline.local.stack import STORE
from hookline.local.supervisor import ChildSpec
from hookline.producers.demo_store import ledger
from hookline.producers.demo_store.plan import Plan, Via
from hookline.schemas.events import Event
from hookline.schemas.registry import open_registry
from hookline.schemas.topics import Topics, TopicsConfig
from hookline.schemas.wire import Codec

_SHOP: Final = "demo-store"
_SHOP_RANK: Final = 5
_SHOP_LATE_S: Final = 60.0
_QUIET_S: Final = 1.0
_LOG_S: Final = 60.0
_REPLAY_RATE: Final = 500.0
_KILL_AT, _DOWN_AT, _UP_AT = 0.3, 0.4, 0.65


@dataclass(frozen=True, slots=True, kw_only=True)
class Programme:
    """What is played: a day of `day_s` seconds at `rate` events a second on average, by this cast, with this seed.

    `patience_s` is how long deliveries may take to settle before the sums are drawn up as they are.
    """

    day_s: float = 30.0
    rate: float = 60.0
    seed: int = 7
    dispatchers: int = 2
    cast: tuple[Role, ...] = CAST
    patience_s: float = 120.0


@dataclass(frozen=True, slots=True)
class Cue:
    """Something that happens on the way: when, in shares of the day, and what."""

    at: float
    do: Callable[[], None]


class Show:
    """Plays a programme on an open stage; `play` returns whether every sum was right. Close it afterwards."""

    def __init__(self, programme: Programme, stage: Stage) -> None:
        self._programme = programme
        self._stage = stage
        self._config = load(KafkaConfig, stage.environ)
        self._topics = Topics(self._config.topic_prefix)
        self._registry = open_registry(stage.environ)
        self._registry.start()
        self._codec = Codec(self._registry)
        self._attempts = Attempts(self._config, self._topics, self._codec)
        self._progress = Progress(self._config, self._topics, load(TopicsConfig, stage.environ).retry_tiers)
        self._company = Company(stage.folder, programme.cast, stage.environ)
        self._queries: Queries = open_queries(stage.environ)
        self._board = Board(stage.out, self._company.webhooks)
        self._ledger = stage.folder / "ledger.jsonl"
        self._down: set[str] = set()
        self._kills: list[float] = []

    def play(self) -> bool:
        """Play all acts; raise `HooklineError` when one cannot go on, `Interrupted` when a person stopped it."""
        self._engage()
        with self._board:
            events = self._day()
            self._settle(events)
        right = self._reconcile(events)
        right &= self._replay()
        self._statistics()
        return right

    def close(self) -> None:
        """Let go of Kafka and of the log."""
        self._attempts.stop()
        self._progress.close()
        self._queries.close()
        self._registry.stop()

    # ---- the acts ----

    def _engage(self) -> None:
        """Create the webhooks once the console can, start the receivers."""
        self._stage.ready()
        self._stage.say(f"creating {len(self._programme.cast)} webhooks, starting their receivers")
        self._company.engage(Admin(self._stage.environ, STORE))
        self._stage.supervisor.start(self._company.specs())
        self._stage.ready()
        self._attempts.start()

    def _day(self) -> list[Event]:
        """Let the shop publish over HTTP, with faults on the way; return the events that Kafka has."""
        plan = self._open_shop()
        pending = self._cues()
        opened_at = 0.0

        def over() -> bool:
            nonlocal opened_at
            published_yet = self._show("the shop is open")
            opened_at = opened_at or (time.monotonic() if published_yet else 0.0)
            share = (time.monotonic() - opened_at) / self._programme.day_s if opened_at else 0.0
            while pending and share >= pending[0].at:
                pending.pop(0).do()
            return self._shop_closed() and (not pending or not opened_at)

        if not self._stage.wait(over, plan.lasts_s + _SHOP_LATE_S):
            raise LocalError("The demo store did not come to its end", remedy=f"Its log is {self._stage.folder / _SHOP}.log.")
        self._stage.say("the shop has closed")
        self._require_success()
        return published(self._config, self._topics, self._codec)

    def _open_shop(self) -> Plan:
        plan = Plan(
            seed=self._programme.seed,
            started_at=datetime.now(UTC),
            store_id=STORE,
            rate=self._programme.rate,
            day_in_s=self._programme.day_s,
            via=Via.HTTP,
            url=self._stage.environ["HOOKLINE_INGEST_URL"],
            ledger=self._ledger,
        )
        self._stage.say(f"the shop opens: a busy day in {plan.day_in_s:g} s, about {plan.rate:g} events a second over HTTP")
        environ = {**self._stage.environ, "HOOKLINE_API_KEY": self._stage.stack.api_key}
        command = (sys.executable, "-m", "hookline.cli.main", "demo-store", *plan.arguments(), "--quiet")
        log = self._stage.folder / f"{_SHOP}.log"
        self._stage.supervisor.start([ChildSpec(name=_SHOP, command=command, environ=environ, rank=_SHOP_RANK, log=log, restart=False)])
        return plan

    def _shop_closed(self) -> bool:
        return not self._stage.supervisor.pid(_SHOP)

    def _require_success(self) -> None:
        supervisor = self._stage.supervisor
        supervisor.tick()
        how = supervisor.children[_SHOP].ended
        if how:
            raise LocalError(f"The demo store {how}", remedy=f"Its log is {self._stage.folder / _SHOP}.log.")

    def _cues(self) -> list[Cue]:
        """Return the faults, in the order of their time."""
        out = [role.name for role in self._programme.cast if role.outage]
        falls = [Cue(_DOWN_AT, partial(self._take_down, name)) for name in out]
        rises = [Cue(_UP_AT, partial(self._bring_up, name)) for name in out]
        return [Cue(_KILL_AT, self._kill), *falls, *rises]

    def _kill(self) -> None:
        name = self._stage.stack.dispatchers[0]
        self._stage.say(f"kill -9 {name}", "bold red")
        self._stage.supervisor.kill(name)
        self._kills.append(time.time())

    def _take_down(self, name: str) -> None:
        self._stage.say(f"the receiver {name} goes down", "bold red")
        self._down.add(name)
        self._stage.supervisor.end(name, signal.SIGKILL)

    def _bring_up(self, name: str) -> None:
        self._stage.say(f"the receiver {name} comes back", "bold green")
        self._stage.supervisor.again(name)
        self._down.discard(name)

    def _settle(self, events: list[Event]) -> None:
        """Wait until every delivery has its last word and every record is settled; what is late is found by the sums."""
        wanted = {i for webhook in expectations(events, self._company.webhooks).values() for i in webhook}
        self._stage.say(f"waiting for {len(wanted):,} deliveries to be delivered, or given up")

        def over() -> bool:
            self._show("settling")
            return wanted <= self._attempts.ended.keys()

        if not self._stage.wait(over, self._programme.patience_s):
            self._stage.say("that takes too long: drawing up the sums as they are", "yellow")
        self._at_rest()

    def _at_rest(self) -> None:
        """Wait until the dispatchers have nothing left to do and the attempts topic has stood still for a moment."""
        self._stage.wait(lambda: self._progress.behind() == 0, self._programme.patience_s)
        seen, since = -1, time.monotonic()

        def quiet() -> bool:
            nonlocal seen, since
            self._attempts.poll()
            if len(self._attempts.all) != seen:
                seen, since = len(self._attempts.all), time.monotonic()
            return time.monotonic() - since >= _QUIET_S

        self._stage.wait(quiet, self._programme.patience_s)

    def _reconcile(self, events: list[Event]) -> bool:
        """Hold all that was written down against each other."""
        self._stage.say("reconciling")
        evidence = self._evidence(events)
        found = accounts(evidence)
        self._stage.out.print()
        report.show_accounts(self._stage.out, found)
        return self._judge([*checks(evidence, found), self._log_check()])

    def _evidence(self, events: list[Event]) -> Evidence:
        letters = DeadLetters(self._config, self._topics).find(LetterFilter(store_id=STORE))
        return Evidence(
            ledger=[entry.id for entry in ledger.read(self._ledger)],
            published=events,
            webhooks=self._company.webhooks,
            calls={name: tuple(journal.poll()) for name, journal in self._company.journals.items()},
            attempts=tuple(self._attempts.all),
            letters=[found.letter.waiting.delivery_id for found in letters if found.letter.waiting is not None],
            kills=tuple(self._kills),
        )

    def _log_check(self) -> Check:
        """Hold ClickHouse's rows against the records on Kafka, one by one."""
        recorded = [attempt.attempt_id for attempt in self._attempts.all]
        self._stage.wait(lambda: self._audit().rows >= len(recorded) and self._audit().adds_up, _LOG_S)
        found = self._audit()
        return compared(recorded, log_rows(self._queries, STORE), "" if found.adds_up else f"ClickHouse's sums disagree: {found}")

    def _audit(self) -> Audit:
        return audit(self._queries, STORE)

    def _replay(self) -> bool:
        """Mend the broken receivers, replay all dead letters of receivers that work now, and see them arrive."""
        mended = [role.name for role in self._programme.cast if role.behaviour is Behaviour.BROKEN]
        self._stage.say(f"the store mends {', '.join(mended)}; an admin replays the dead letters")
        for name in mended:
            self._company.mend(name, self._stage.supervisor)
        self._stage.ready()
        letters, admin = self._replayable(), Admin(self._stage.environ, STORE)
        job_id = admin.replay(str(Reason.EXHAUSTED), _REPLAY_RATE)
        missing = {found.letter.waiting.delivery_id for found in letters if found.letter.waiting is not None}
        text = f"{len(letters):,} dead letters of {len(missing):,} deliveries replayed, all of them arrived; on the audit as {job_id}"

        def arrived() -> bool:
            for journal in self._company.journals.values():
                missing.difference_update(call.id for call in journal.poll() if call.taken)
            return not missing

        self._stage.wait(arrived, self._programme.patience_s)
        wrong = [f"{delivery_id} was replayed and did not arrive" for delivery_id in sorted(missing)]
        wrong += self._job_faults(admin, job_id, len(letters))
        self._at_rest()
        return self._judge([Check(text=text, wrong=wrong), self._log_check()])

    def _job_faults(self, admin: Admin, job_id: str, count: int) -> list[str]:
        """Return what is wrong with the replay's job: it must be done, with all dead letters, and on the audit."""
        self._stage.wait(lambda: bool(admin.job(job_id)["finished_at"]) and admin.audited(job_id), self._programme.patience_s)
        job = admin.job(job_id)
        wrong = [] if (job["state"], job["done"]) == ("done", count) else [f"{job_id} is {job['state']} with {job['done']:,} of {count:,}"]
        return wrong if admin.audited(job_id) else [*wrong, f"{job_id} is not on the audit"]

    def _replayable(self) -> list[FoundLetter]:
        """Return the dead letters of receivers that answer now; a disabled webhook's stay until it is enabled again."""
        found = DeadLetters(self._config, self._topics).find(LetterFilter(store_id=STORE, reason=Reason.EXHAUSTED, replayed=False))
        return list(found)

    def _statistics(self) -> None:
        total, rows = statistics(self._queries, STORE), statistics_by_webhook(self._queries, STORE)
        report.show_statistics(self._stage.out, total, rows, self._company.webhooks)

    def _judge(self, found: list[Check]) -> bool:
        for check in found:
            report.show_check(self._stage.out, check)
        return all(check.right for check in found)

    def _show(self, phase: str) -> int:
        """Show how far things are; return how many events are confirmed so far."""
        self._attempts.poll()
        count = sum(1 for _ in ledger.read(self._ledger)) if self._ledger.exists() else 0
        self._board.update(phase, count, self._attempts.all, sorted(self._down))
        return count


def compared(recorded: list[str], rows: list[str], audited: str) -> Check:
    """Return the check that every attempt on Kafka is one row in ClickHouse, and nothing else is."""
    wrong = [f"attempt {i} is on Kafka but not in ClickHouse" for i in sorted(set(recorded) - set(rows))]
    wrong += [f"attempt {i} is in ClickHouse but not on Kafka" for i in sorted(set(rows) - set(recorded))]
    wrong += [f"{len(rows) - len(set(rows))} rows are there twice"] if len(rows) != len(set(rows)) else []
    wrong += [audited] if audited else []
    return Check(text=f"{len(rows):,} rows in ClickHouse = {len(recorded):,} attempt records on Kafka, each exactly once", wrong=wrong)
