"""A run of the demo store: at its pace, with everything accounted for, whatever the outlet does."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hookline.kernel.clock import SystemClock
from hookline.kernel.errors import BrokerError, HooklineError, InputError, QueueFull, Undelivered
from hookline.kernel.lifecycle import Stop
from hookline.producers.demo_store import run as run_module
from hookline.producers.demo_store.ledger import Ledger, read
from hookline.producers.demo_store.outlet import Report
from hookline.producers.demo_store.pace import Pace
from hookline.producers.demo_store.plan import ORDERS_ONLY, Plan, Via
from hookline.producers.demo_store.run import Run, Tally
from hookline.schemas.events import Event

pytestmark = pytest.mark.unit

PLAN = Plan(seed=1, started_at=datetime(2026, 3, 14, 7, tzinfo=UTC), rate=100_000, events=500)
Answer = Callable[[Event], HooklineError | None]


class InMemoryOutlet:
    """Takes every event at once; `answers` decides what is reported, `refuses` when there is no room."""

    def __init__(self, answers: Answer = lambda _: None, refuses: Callable[[int], bool] = lambda _: False) -> None:
        self.taken: list[Event] = []
        self.closed = False
        self._answers = answers
        self._refuses = refuses
        self._asked = 0

    def send(self, event: Event, report: Report) -> None:
        """Take an event or refuse it for now."""
        self._asked += 1
        if self._refuses(self._asked):
            raise QueueFull("full")
        self.taken.append(event)
        report(self._answers(event))

    def waiting(self) -> int:
        """Nothing ever waits."""
        return 0

    def close(self) -> None:
        """Note it."""
        self.closed = True


class SilentOutlet(InMemoryOutlet):
    """Takes events and reports only when closed, as a broker that went away."""

    def __init__(self) -> None:
        super().__init__()
        self._reports: list[Report] = []

    def send(self, event: Event, report: Report) -> None:
        """Take an event and say nothing."""
        self.taken.append(event)
        self._reports.append(report)

    def close(self) -> None:
        """Report all as undelivered."""
        super().close()
        for report in self._reports:
            report(Undelivered("closed"))


def carried_out(plan: Plan, outlet: InMemoryOutlet, stop: Stop | None = None, tick: Callable[[Tally], None] = lambda _: None) -> Run:
    """Run a plan and return the run."""
    run = Run(plan, outlet, SystemClock(), stop or Stop(), tick)
    run.run()
    return run


# ---- the pace ----


class Hands:
    """A monotonic clock that is moved by hand."""

    def __init__(self) -> None:
        self.at = 100.0

    def __call__(self) -> float:
        """Return the time."""
        return self.at


def test_the_pace_waits_until_something_is_due() -> None:
    """What is due in 2 s after the start waits 2 s, less what has passed."""
    hands = Hands()
    pace = Pace(hands)
    assert pace.wait_s(2) == 2
    hands.at += 1.5
    assert pace.wait_s(2) == pytest.approx(0.5)
    hands.at += 1
    assert pace.wait_s(2) == pytest.approx(-0.5)


@given(st.floats(1.5, 10_000))
def test_after_a_stall_a_second_is_caught_up_and_no_more(stall_s: float) -> None:
    """However long the stall, what is due at once afterwards is one second's worth; the rest of the schedule moves."""
    hands = Hands()
    pace = Pace(hands)
    pace.wait_s(0)
    hands.at += stall_s
    due_at_once = sum(pace.wait_s(number / 100) <= 1e-6 for number in range(1_000))
    assert 100 <= due_at_once <= 102
    assert pace.moved_s == pytest.approx(stall_s - 1)


# ---- the run ----


def test_everything_is_published_once_and_stands_in_the_ledger(tmp_path: Path) -> None:
    """The outlet gets the store's first events in their order, and the ledger a line for each."""
    plan, outlet = replace(PLAN, ledger=tmp_path / "ledger"), InMemoryOutlet()
    run = carried_out(plan, outlet)
    store = plan.store()
    assert outlet.taken == [next(store) for _ in range(500)]
    assert outlet.closed
    assert [(e.id, e.type, e.store_id) for e in read(tmp_path / "ledger")] == [(e.id, e.type, e.store_id) for e in outlet.taken]
    summary = run.tally.summary(plan, run.ended)
    assert (summary["published"], summary["uncertain"], summary["ended"]) == (500, 0, "events")
    assert summary["by_type"] == Counter(event.type for event in outlet.taken)
    assert summary["orders"] == sum(event.type == "order.created" for event in outlet.taken) > 0


def test_a_full_queue_slows_the_store_down_and_loses_nothing() -> None:
    """While there is no room the store waits; then it goes on with the same event."""
    outlet = InMemoryOutlet(refuses=lambda asked: asked % 7 == 0 or 50 <= asked < 60)
    carried_out(PLAN, outlet)
    store = PLAN.store()
    assert outlet.taken == [next(store) for _ in range(500)]


def test_what_may_not_have_arrived_is_sent_again_under_its_id() -> None:
    """An undelivered event goes out a second time, unchanged, and counts once."""
    failed: set[str] = set()

    def answers(event: Event) -> HooklineError | None:
        if event.id[-1] in "05abkz" and event.id not in failed:
            failed.add(event.id)
            return Undelivered("perhaps")
        return None

    outlet = InMemoryOutlet(answers)
    run = carried_out(PLAN, outlet)
    counts = Counter(event.id for event in outlet.taken)
    assert failed
    assert counts == {event.id: 2 if event.id in failed else 1 for event in outlet.taken}
    assert (run.tally.total, run.tally.again, run.tally.uncertain) == (500, len(failed), 0)


def test_a_stop_ends_the_run_cleanly() -> None:
    """After a stop nothing new is sent, what was sent is confirmed, and the run says why it ended."""
    stop, outlet = Stop(), InMemoryOutlet()
    run = carried_out(replace(PLAN, rate=200, events=None), outlet, stop, lambda tally: stop.set() if tally.total > 10 else None)
    assert run.ended == "stopped"
    assert 10 < run.tally.total == len(outlet.taken) < 200
    assert outlet.closed


def test_a_stop_ends_the_wait_for_room_too() -> None:
    """A store that waits for room stops when told; the event that had no room does not count as sent."""
    stop = Stop()
    outlet = InMemoryOutlet(refuses=lambda asked: asked > 20)
    run = carried_out(PLAN, outlet, stop, lambda tally: stop.set() if tally.trouble else None)
    assert (run.ended, run.tally.sent, run.tally.uncertain) == ("stopped", 20, 0)


def test_an_error_that_stays_ends_the_run_and_keeps_the_ledger(tmp_path: Path) -> None:
    """When Kafka refuses, the run raises its error; the ledger has what was confirmed before."""
    taken: list[str] = []

    def answers(event: Event) -> HooklineError | None:
        taken.append(event.id)
        return BrokerError("Kafka refused") if len(taken) > 30 else None

    outlet = InMemoryOutlet(answers)
    with pytest.raises(BrokerError, match="Kafka refused"):
        carried_out(replace(PLAN, ledger=tmp_path / "ledger"), outlet)
    assert outlet.closed
    assert [entry.id for entry in read(tmp_path / "ledger")] == taken[:30]


def test_what_nobody_confirms_stays_uncertain(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A broker that is away at the end leaves events uncertain: counted, and not in the ledger."""
    monkeypatch.setattr(run_module, "DRAIN_S", 0.2)
    outlet = SilentOutlet()
    run = carried_out(replace(PLAN, ledger=tmp_path / "ledger"), outlet)
    assert (run.tally.total, run.tally.uncertain, len(outlet.taken)) == (0, 500, 500)
    assert list(read(tmp_path / "ledger")) == []


def test_a_duration_gives_its_rate_times_events() -> None:
    """Half a second at 400 events a second is 200 events, on a slow machine too."""
    outlet = InMemoryOutlet()
    run = carried_out(replace(PLAN, rate=400, events=None, duration_s=0.5), outlet)
    assert (len(outlet.taken), run.ended) == (200, "duration")


# ---- the plan ----


@pytest.mark.parametrize(("orders_only", "kinds"), [(False, 17), (True, 3)])
def test_a_busy_day_has_about_as_many_events_as_its_rate_says(orders_only: bool, kinds: int) -> None:
    """A day in 60 s at 60 events a second has 3,600 events, give or take a fifth."""
    plan = Plan(seed=3, started_at=PLAN.started_at, rate=60, day_in_s=60, orders_only=orders_only)
    seen = Counter[str]()
    for event in plan.store():
        if event.occurred_at >= plan.started_at + timedelta(seconds=plan.lasts_s):
            break
        seen[event.type] += 1
    assert 0.8 * 3_600 < seen.total() < 1.2 * 3_600
    assert len(seen) == kinds
    assert not orders_only or set(seen) == ORDERS_ONLY


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"rate": 0.0}, "rate"),
        ({"rate": float("nan")}, "rate"),
        ({"day_in_s": -1.0}, "day_in"),
        ({"duration_s": 0.0}, "duration"),
        ({"events": 0}, "events"),
        ({"store_id": "a.b"}, "store"),
        ({"started_at": datetime(2026, 3, 14)}, "started_at"),  # noqa: DTZ001  # the naive time is the point
    ],
)
def test_a_plan_that_cannot_be_is_refused(changes: dict[str, Any], field: str) -> None:
    """The error names what is wrong."""
    fields: dict[str, Any] = {"seed": 1, "started_at": PLAN.started_at, **changes}
    with pytest.raises(InputError) as caught:
        Plan(**fields)
    assert caught.value.field == field


def test_a_plan_becomes_the_arguments_of_the_command() -> None:
    """A plan can be handed to a subprocess; the API key is not among the arguments, which others can see."""
    plan = replace(PLAN, orders_only=True, via=Via.HTTP, url="http://127.0.0.1:1", duration_s=1.5)
    assert plan.arguments() == [
        "--store=demo",
        "--seed=1",
        "--started-at=2026-03-14T07:00:00.000000Z",
        "--rate=100000",
        "--duration=1.5",
        "--events=500",
        "--orders-only",
        "--via=http",
        "--url=http://127.0.0.1:1",
    ]


# ---- the ledger ----


def test_a_ledger_that_cannot_be_written_is_refused_before_anything_is_sent(tmp_path: Path) -> None:
    """The error names the file."""
    outlet = InMemoryOutlet()
    with pytest.raises(InputError, match="no-such-folder"):
        carried_out(replace(PLAN, ledger=tmp_path / "no-such-folder" / "ledger"), outlet)
    assert outlet.taken == []


def test_a_line_that_is_still_being_written_is_left_out(tmp_path: Path) -> None:
    """Somebody may read the ledger while the store runs: half a line is no entry."""
    ledger = Ledger(tmp_path / "ledger")
    ledger.open()
    ledger.write([next(PLAN.store())])
    ledger.close()
    with (tmp_path / "ledger").open("ab") as file:
        file.write(b'{"id":"evt_')
    assert len(list(read(tmp_path / "ledger"))) == 1
