"""One replay job, step by step, with everything around it in memory."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from hookline.console.jobs import Job, JobKind, JobState
from hookline.console.jobs_runner import JobRun, RunnerParts
from hookline.console.jobs_sources import Candidate, Step
from hookline.dispatcher.replays import Replays
from hookline.kernel.clock import SystemClock
from hookline.kernel.errors import BrokerUnavailable, NotFound
from hookline.webhooks.model import State

pytestmark = pytest.mark.unit


@dataclass
class Desk:
    """What a job runs with, in memory."""

    saved: list[Job] = field(default_factory=list)
    sent: list[str] = field(default_factory=list)
    already: set[str] = field(default_factory=set)
    wishes: set[str] = field(default_factory=set)
    leading: bool = True
    term: int = 1
    state: State = State.ENABLED
    faults: dict[str, list[Exception]] = field(default_factory=dict)
    faulty: Callable[[Replays, str], None] | None = None

    # the jobs
    def save(self, job: Job) -> Job:
        """Keep a state."""
        self.saved.append(replace(job, version=job.version + 1))
        return self.saved[-1]

    def to_be_cancelled(self, job_id: str) -> bool:
        """Tell a wish."""
        return job_id in self.wishes

    # the registry
    def get(self, webhook_id: str) -> Any:
        """Return a webhook."""
        return None if webhook_id == "gone" else _Webhook(self.state)

    # the source
    def steps(self, position: str) -> Iterator[Step]:
        """Yield ten letters of one webhook; the last two are of one delivery."""
        for number in range(int(position or 0), 10):
            key, send = f"k{number}", self.faulty or self._send(f"k{number}")
            yield Step(str(number + 1), Candidate(key=key, delivery_id=_delivery_of(key), webhook_id="wh", send=send))

    def _send(self, key: str) -> Callable[[Replays, str], None]:
        def send(_replays: Replays, _job_id: str) -> None:
            if self.faults.get(key):
                fault = self.faults[key].pop()
                if isinstance(fault, BrokerUnavailable):
                    self.already.add(key)  # it arrived all the same
                    self.sent.append(key)
                raise fault
            self.sent.append(key)

        return send

    def run(self, job: Job) -> Job:
        """Run the job to its end, or its interruption, and return its last state."""
        parts = RunnerParts(
            jobs=self, lead=self, registry=self, clock=SystemClock(), source=lambda _: self,  # type: ignore[arg-type]
            made=lambda _: {key: _delivery_of(key) for key in self.already},
            replays=lambda: None,  # type: ignore[arg-type,return-value]
        )  # fmt: skip
        JobRun(parts, job, threading.Event()).run()
        return self.saved[-1]


def _delivery_of(key: str) -> str:
    return "d8" if key == "k9" else f"d{key[1:]}"


@dataclass
class _Webhook:
    state: State
    store_id: str = "shop"


JOB = Job(id="job_1", store_id="shop", kind=JobKind.DEAD_LETTERS, created_at_us=1, total=10, rate=1_000, most=100)


def test_a_job_runs_to_its_end() -> None:
    """Everything once, and the last state says so."""
    desk = Desk()
    end = desk.run(JOB)
    assert desk.sent == [f"k{number}" for number in range(10)]
    assert (end.state, end.done, end.deliveries, end.position) == (JobState.DONE, 10, 9, "10")
    assert desk.saved[0].state is JobState.RUNNING


def test_a_job_goes_on_from_its_progress_and_from_what_kafka_has() -> None:
    """What was kept as done is not looked at, and what Kafka has beyond it is counted but not made again."""
    desk = Desk(already={"k0", "k1", "k2", "k3", "k4"})
    end = desk.run(replace(JOB, state=JobState.RUNNING, position="3", done=3, deliveries=3))
    assert desk.sent == ["k5", "k6", "k7", "k8", "k9"]
    assert (end.state, end.done, end.deliveries) == (JobState.DONE, 10, 9)


def test_a_record_that_was_not_confirmed_is_looked_for_before_it_is_made_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """Kafka did not answer, and had the record: the job waits, reads what is there, and goes on behind it."""
    monkeypatch.setattr("hookline.console.jobs_runner._AGAIN_S", 0.01)
    desk = Desk(faults={"k2": [BrokerUnavailable("gone")]})
    end = desk.run(JOB)
    assert desk.sent == [f"k{number}" for number in range(10)]
    assert (end.state, end.done) == (JobState.DONE, 10)


def test_one_that_cannot_be_made_again_does_not_stop_the_others() -> None:
    """It is counted as failed, and why is told."""
    desk = Desk(faults={"k2": [NotFound("The payload is no longer on Kafka")]})
    end = desk.run(JOB)
    assert (end.state, end.done, end.failed, end.error) == (JobState.DONE, 9, 1, "The payload is no longer on Kafka")


def test_a_job_that_breaks_ends_failed() -> None:
    """An error that nobody foresaw ends this job and says its kind, no more."""
    desk = Desk(faults={"k2": [ZeroDivisionError("secret")]})
    end = desk.run(JOB)
    assert (end.state, end.done, end.error) == (JobState.FAILED, 2, "ZeroDivisionError")


def test_a_disabled_webhook_is_skipped_and_a_maximum_kept() -> None:
    """Skipped ones do not count against the maximum; the job ends when it is reached."""
    assert Desk(state=State.DISABLED).run(JOB).skipped == 10
    desk = Desk()
    assert (desk.run(replace(JOB, most=4)).done, len(desk.sent)) == (4, 4)


def test_a_job_whose_lead_went_to_another_console_stops_at_once() -> None:
    """It makes nothing again and keeps no progress: whoever leads now decides."""
    desk = Desk()
    sent: list[str] = []

    def lost(_replays: Replays, _job_id: str) -> None:
        sent.append("first")
        desk.leading, desk.term = False, 2

    desk.faulty = lost
    end = desk.run(JOB)
    assert sent == ["first"]
    assert (end.state, end.done) == (JobState.RUNNING, 0)


def test_a_wish_to_cancel_is_heard_while_the_pace_is_kept() -> None:
    """A slow job does not wait for its next turn to end."""
    desk = Desk()
    thread = threading.Thread(target=lambda: desk.run(replace(JOB, rate=0.1)), daemon=True)
    thread.start()
    deadline = time.monotonic() + 30
    while not desk.sent and time.monotonic() < deadline:
        time.sleep(0.01)
    desk.wishes.add("job_1")
    thread.join(8)
    assert not thread.is_alive()
    assert (desk.saved[-1].state, desk.saved[-1].done) == (JobState.CANCELLED, 1)
