"""Running replay jobs: at their pace, with their progress kept, until they are done, cancelled, or another console's."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Final

from hookline.console import metrics
from hookline.console.jobs import Job, Jobs, JobState
from hookline.console.jobs_lead import Lead
from hookline.console.jobs_sources import Candidate, Source
from hookline.dispatcher.replays import Replays
from hookline.kernel.clock import Clock, to_us
from hookline.kernel.errors import BrokerError, HooklineError, NotFound, RegistryUnavailable, WarehouseUnavailable, WireError
from hookline.kernel.log import logger
from hookline.webhooks.model import State
from hookline.webhooks.registry import WebhookRegistry

_log = logger("jobs")
AT_ONCE: Final = 32
PER_STORE: Final = 2
"""Of each store so many run at once, and the others wait for them: slow jobs of one store delay no other's."""
KEPT_US: Final = 31 * 86_400_000_000
_SAVE_S: Final = 1.0
_SLICE_S: Final = 0.1
_AGAIN_S: Final = 2.0
_TIDY_S: Final = 3_600.0
_SAID: Final = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class RunnerParts:
    """What jobs run with. `source` is told the job, `replays` makes a writer for one thread.

    `made` tells what a job has made again already: keys of candidates, each with the id of its delivery.
    """

    jobs: Jobs
    lead: Lead
    registry: WebhookRegistry
    clock: Clock
    source: Callable[[Job], Source]
    made: Callable[[Job], Mapping[str, str]]
    replays: Callable[[], Replays]


class _Interrupted(Exception):
    """This process stops, or is no longer the one to run jobs: whoever is goes on from the progress that was kept."""


class JobRunner:
    """Runs the unfinished jobs of all stores, a few at a time, while this console has the lead."""

    def __init__(self, parts: RunnerParts) -> None:
        self._parts = parts
        self._stopping = threading.Event()
        self._running: dict[str, threading.Thread] = {}
        self._tidied_at = -_TIDY_S
        self._term = 0
        self._thread = threading.Thread(target=self._run, name="jobs", daemon=True)

    def start(self) -> None:
        """Begin; return at once."""
        self._thread.start()

    def stop(self) -> None:
        """Have every job keep its progress, and let another console take over."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join(30)

    def _run(self) -> None:
        lead = self._parts.lead
        lead.start()
        while not self._stopping.is_set():
            lead.poll()
            try:
                if lead.leading:
                    self._begin()
                    self._tidy()
            except HooklineError as error:
                _log.warning("jobs.waits", error=error.message)
                self._stopping.wait(_AGAIN_S)
            except Exception as error:  # noqa: BLE001  # the main loop of all jobs
                _log.error("jobs.failed", error=f"{type(error).__name__}: {error}", exc_info=error)
                self._stopping.wait(_AGAIN_S)
        for thread in list(self._running.values()):
            while thread.is_alive():
                lead.poll()  # they keep their progress under the lead that they ran under
        lead.stop()

    def _begin(self) -> None:
        if self._parts.lead.term != self._term:
            self._parts.jobs.catch_up()  # whoever led before has kept its progress
            self._term = self._parts.lead.term
        self._running = {job_id: thread for job_id, thread in self._running.items() if thread.is_alive()}
        jobs = [job for job in self._parts.jobs.all() if not job.finished]
        busy = Counter(job.store_id for job in jobs if job.id in self._running)
        for job in jobs:
            if job.id not in self._running and busy[job.store_id] < PER_STORE and len(self._running) < AT_ONCE:
                busy[job.store_id] += 1
                run = JobRun(self._parts, job, self._stopping)
                self._running[job.id] = threading.Thread(target=run.run, name=f"job {job.id}", daemon=True)
                self._running[job.id].start()

    def _tidy(self) -> None:
        """Drop what finished long ago."""
        if time.monotonic() - self._tidied_at < _TIDY_S:
            return
        self._tidied_at = time.monotonic()
        before_us = to_us(self._parts.clock.now()) - KEPT_US
        for job in self._parts.jobs.all():
            if job.finished and job.finished_at_us < before_us:
                self._parts.jobs.forget(job.id)


class JobRun:
    """One job in one thread, from the progress that was kept to its end.

    The rule that keeps it from doubling: the progress that is kept is never ahead of what Kafka has, and what Kafka has beyond it is
    read from the replays topic before the job goes on.
    """

    def __init__(self, parts: RunnerParts, job: Job, stopping: threading.Event) -> None:
        self._parts = parts
        self._job = job
        self._stopping = stopping
        self._term = parts.lead.term
        self._replays = parts.replays()
        self._made: Mapping[str, str] = {}
        self._deliveries: set[str] = set()
        self._saved_at = -_SAVE_S
        self._next_at = 0.0

    def run(self) -> None:
        """Run until the job is finished, or is no longer ours."""
        log = _log.bind(job_id=self._job.id, store_id=self._job.store_id)
        while True:
            try:
                self._work()
            except _Interrupted:
                log.info("job.interrupted", done=self._job.done)
                return
            except (BrokerError, WarehouseUnavailable, RegistryUnavailable) as error:
                log.warning("job.waits", error=error.message)
                if self._stopping.wait(_AGAIN_S):
                    return
            except Exception as error:  # the main loop of a job: it ends failed, the others go on
                log.exception("job.failed", error=f"{type(error).__name__}: {error}")
                self._fail(error)
                return
            else:
                log.info("job.finished", state=self._job.state, done=self._job.done, skipped=self._job.skipped, failed=self._job.failed)
                return

    def _work(self) -> None:
        self._may_go_on()
        # Also after an error: a record that Kafka did not confirm may have arrived.
        self._made = self._parts.made(self._job) if self._job.state is JobState.RUNNING else {}
        self._deliveries = set(self._made.values())
        if self._job.state is JobState.QUEUED:
            self._job = replace(self._job, state=JobState.RUNNING, started_at_us=to_us(self._parts.clock.now()))
            self._save()
        try:
            state = self._steps()
        except _Interrupted:
            self._keep_what_is_known()
            raise
        self._finish(state)

    def _steps(self) -> JobState:
        """Make again what comes; return how the job ended."""
        for step in self._parts.source(self._job).steps(self._job.position):
            if self._parts.jobs.to_be_cancelled(self._job.id):
                return JobState.CANCELLED
            if self._job.done >= self._job.most:
                return JobState.DONE
            self._may_go_on()
            if step.candidate is not None and not self._take(step.candidate):
                return JobState.CANCELLED
            self._job = replace(self._job, position=step.position)
            if time.monotonic() - self._saved_at >= _SAVE_S:
                self._save()
        return JobState.DONE

    def _take(self, candidate: Candidate) -> bool:
        """Make one again, unless that was done, or its webhook takes nothing; return False when the job is to end instead."""
        webhook = self._parts.registry.get(candidate.webhook_id)
        if candidate.key in self._made:
            self._count_made(candidate)
        elif webhook is None or webhook.store_id != self._job.store_id or webhook.state is State.DISABLED:
            self._count(skipped=1)
        elif not self._paced():
            return False
        else:
            self._send(candidate)
        return True

    def _send(self, candidate: Candidate) -> None:
        try:
            candidate.send(self._replays, self._job.id)
        except (NotFound, WireError) as error:
            self._count(failed=1)
            self._job = replace(self._job, error=error.message[:_SAID])
        else:
            metrics.MADE_AGAIN.inc()
            self._count_made(candidate)

    def _count_made(self, candidate: Candidate) -> None:
        self._deliveries.add(candidate.delivery_id)
        self._job = replace(self._job, done=self._job.done + 1, deliveries=len(self._deliveries))

    def _count(self, *, skipped: int = 0, failed: int = 0) -> None:
        job = self._job
        self._job = replace(job, skipped=job.skipped + skipped, failed=job.failed + failed)

    def _paced(self) -> bool:
        """Wait for the next one's turn; return False when somebody wants the job to end meanwhile.

        What was missed is not made up for: a job that stood still goes on at its rate.
        """
        while (left_s := self._next_at - time.monotonic()) > 0:
            time.sleep(min(left_s, _SLICE_S))
            if self._parts.jobs.to_be_cancelled(self._job.id):
                return False
            self._may_go_on()
        self._next_at = max(self._next_at, time.monotonic() - _SLICE_S) + 1 / self._job.rate
        return True

    def _may_go_on(self) -> None:
        """Return while this process is proven to be the one that runs jobs; raise `_Interrupted` when it is not to be any more."""
        lead = self._parts.lead
        while not lead.leading:
            if self._stopping.is_set() or lead.term != self._term:
                break
            time.sleep(_SLICE_S)
        if self._stopping.is_set() or lead.term != self._term:
            raise _Interrupted

    # ---- progress ----

    def _save(self) -> None:
        self._job = self._parts.jobs.save(self._job)
        self._saved_at = time.monotonic()

    def _finish(self, state: JobState) -> None:
        self._job = replace(self._job, state=state, finished_at_us=to_us(self._parts.clock.now()))
        self._save()

    def _keep_what_is_known(self) -> None:
        """Keep the progress when the process stops; one that lost the lead leaves that to whoever has it."""
        if self._parts.lead.leading and self._parts.lead.term == self._term:
            self._save()

    def _fail(self, error: Exception) -> None:
        said = error.message if isinstance(error, HooklineError) else type(error).__name__
        self._job = replace(self._job, error=said[:_SAID])
        try:
            self._finish(JobState.FAILED)
        except BrokerError as fault:
            _log.warning("job.not_kept", job_id=self._job.id, error=fault.message)
