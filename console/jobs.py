"""Replay jobs: what was asked for and how far it has come, on a compacted topic, so that any console can go on with them."""

from __future__ import annotations

import threading
from dataclasses import asdict, dataclass, field, replace
from enum import StrEnum
from typing import Any, Final

from confluent_kafka import Message

from hookline.kernel import kafka
from hookline.kernel.clock import Clock, to_us
from hookline.kernel.compacted import CompactedTopic
from hookline.kernel.errors import BrokerUnavailable, WireError
from hookline.kernel.writer import Writer
from hookline.schemas.topics import Topics
from hookline.schemas.wire import Codec

SUBJECT: Final = "hookline.Job"
CANCEL: Final = "cancel:"
"""Begins the record key of a wish to cancel, which no job's id can."""
_WAIT_S: Final = 10.0


class JobState(StrEnum):
    """Where a job stands."""

    QUEUED = "queued"
    RUNNING = "running"
    DONE = "done"
    CANCELLED = "cancelled"
    FAILED = "failed"


UNFINISHED: Final = frozenset({JobState.QUEUED, JobState.RUNNING})


class JobKind(StrEnum):
    """What a job makes again."""

    DEAD_LETTERS = "dead_letters"
    LOG = "log"


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """A job; the fields are explained in `job.avsc`."""

    id: str
    store_id: str
    kind: JobKind
    state: JobState = JobState.QUEUED
    created_at_us: int
    filter: dict[str, str] = field(default_factory=dict)
    total: int = 0
    done: int = 0
    deliveries: int = 0
    failed: int = 0
    cancelled: bool = False
    actor: str = ""
    skipped: int = 0
    rate: float = 0.0
    most: int = 0
    started_at_us: int = 0
    updated_at_us: int = 0
    finished_at_us: int = 0
    ends: dict[str, int] = field(default_factory=dict)
    position: str = ""
    error: str = ""
    spec: str = ""
    version: int = 1

    @property
    def finished(self) -> bool:
        """Whether nothing more will come of it."""
        return self.state not in UNFINISHED


class Jobs:
    """Keeps jobs and follows those of all consoles; thread-safe.

    A record counts only when its version is greater than the known one. Who wants a job to end writes a record of its own beside
    it, so that the wish and the progress of whoever runs the job do not overwrite each other.
    """

    def __init__(self, config: kafka.KafkaConfig, topics: Topics, codec: Codec, clock: Clock) -> None:
        self._name = topics.jobs
        self._codec = codec
        self._clock = clock
        self._jobs: dict[str, Job] = {}
        self._cancelled: set[str] = set()
        self._topic = CompactedTopic(config, self._name, self._apply)
        self._writer = Writer(config)
        self._writing = threading.Lock()

    def start(self) -> None:
        """Read everything, then follow; raise `BrokerError`."""
        self._topic.start()

    def stop(self) -> None:
        """Stop following."""
        self._topic.stop()

    def get(self, job_id: str) -> Job | None:
        """Return a job as this process knows it."""
        return self._jobs.get(job_id)

    def of_store(self, store_id: str) -> list[Job]:
        """Return the jobs of a store."""
        return [job for job in list(self._jobs.values()) if job.store_id == store_id]

    def all(self) -> list[Job]:
        """Return all jobs, in the order of their making."""
        return sorted(self._jobs.values(), key=lambda job: (job.created_at_us, job.id))

    def to_be_cancelled(self, job_id: str) -> bool:
        """Tell whether somebody wants a job to end."""
        return job_id in self._cancelled

    def catch_up(self) -> None:
        """Know all jobs that were acknowledged before this call; raise `BrokerUnavailable` when that takes too long."""
        if not self._topic.catch_up():
            raise BrokerUnavailable("The jobs could not be read to their end", remedy="Check the broker and try again.")

    def add(self, job: Job) -> Job:
        """Keep a new job, and return it as it is known: one that has its id already stays as it is. Raises `BrokerError`."""
        self.catch_up()
        known = self._jobs.get(job.id)
        if known is not None:
            return known
        self._write(job.id, job)
        return self._jobs.get(job.id, job)

    def save(self, job: Job) -> Job:
        """Keep a job's next state, and return it with its version; raise `BrokerError`."""
        following = replace(job, version=job.version + 1, updated_at_us=to_us(self._clock.now()))
        self._write(job.id, following)
        return following

    def cancel(self, job: Job, actor: str) -> None:
        """Note that a job is to end; whoever runs it looks many times a second. Raises `BrokerError`."""
        self._write(CANCEL + job.id, replace(job, cancelled=True, actor=actor))

    def forget(self, job_id: str) -> None:
        """Drop a job for good; raise `BrokerError`."""
        for key in (CANCEL + job_id, job_id):
            self._write(key, None)

    def _write(self, key: str, job: Job | None) -> None:
        value = self._codec.encode_record(SUBJECT, asdict(job)) if job is not None else None
        with self._writing:
            offset = self._writer.write(self._name, key=key.encode(), value=value)
        if not self._topic.wait_for(offset + 1, _WAIT_S):
            raise BrokerUnavailable(f"Job {key} was written but could not be read back", remedy="Check the broker; list the jobs.")

    # ---- the following thread ----

    def _apply(self, message: Message) -> None:
        key, value = (message.key() or b"").decode(), message.value()
        if key.startswith(CANCEL):
            (self._cancelled.discard if value is None else self._cancelled.add)(key.removeprefix(CANCEL))
        elif value is None:
            self._jobs.pop(key, None)
        else:
            job = self._decoded(key, value)
            known = self._jobs.get(key)
            if known is None or job.version > known.version:
                self._jobs[key] = job

    def _decoded(self, key: str, value: bytes) -> Job:
        subject, datum = self._codec.decode_record(value)
        if subject != SUBJECT or datum["id"] != key:
            raise WireError(f"The record under {key[:64]!r} is not that job")
        found: dict[str, Any] = {**datum, "kind": JobKind(datum["kind"]), "state": JobState(datum["state"])}
        return Job(**found)
