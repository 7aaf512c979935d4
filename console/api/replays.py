"""`/replays`: dead letters, or deliveries of the log, made again: preview, start, progress, cancel."""

from __future__ import annotations

import base64
import hashlib
from collections import Counter
from typing import Final

from hookline.analytics.warehouse import Parameters
from hookline.console.api.dead_letters import letter_query
from hookline.console.api.deliveries_filter import log_query, span_of
from hookline.console.api.replays_models import (
    MOST,
    MOST_RATE,
    Replay,
    ReplayCreate,
    ReplayDetail,
    ReplayFilter,
    ReplayPreview,
    ReplayQuery,
    fields_of,
)
from hookline.console.api.webhook_filters import REMEDY
from hookline.console.http.models import Page
from hookline.console.http.pools import Work
from hookline.console.http.problems import Code, Refused
from hookline.console.http.routes import UNCHANGED, Answer, Call, Change, Route
from hookline.console.jobs import Job, JobKind, JobState
from hookline.console.letters import place_in
from hookline.dispatcher.letters import Reason
from hookline.kernel.clock import to_us
from hookline.kernel.errors import Conflict, InputError, LimitExceeded, NotFound, WarehouseError
from hookline.schemas.events import new_id

MOST_UNFINISHED: Final = 5
_LOOKED_AT: Final = 500_000
_WEBHOOKS: Final = 100
_PREVIEW: Final = "preview"
_CANCELLING: Final = "cancelling"
_DELETED: Final = "deleted"


def create_replay(call: Call) -> Answer:
    """Count what would be made again; unless it is a dry run, have it made."""
    asked = call.asked(ReplayCreate)
    asked.check_filter()
    counts, ends = _counted_letters(call, asked.filter) if asked.kind is JobKind.DEAD_LETTERS else (_counted_log(call, asked.filter), {})
    _check_webhook(call, asked.filter.webhook, counts)
    job = _job(call, asked, counts.total(), ends)
    if asked.dry_run:
        value = _preview(call, job, counts, None, _PREVIEW)
        return Answer(value=value, status=200, change=UNCHANGED)
    job = _added(call, job)
    value = _preview(call, job, counts, job.id, state_of(call, job))
    return Answer(value=value, location=f"/replays/{job.id}", change=Change(target=job.id, after=value))


def list_replays(call: Call) -> Answer:
    """Answer a page of jobs, the newest first."""
    wanted = call.asked(ReplayQuery).state
    jobs = [job for job in call.parts.jobs.of_store(call.store_id) if wanted in {None, state_of(call, job)}]
    return Answer(value=call.page(jobs, lambda job: (job.created_at_us, job.id), lambda job: view(call, job), newest_first=True))


def get_replay(call: Call) -> Answer:
    """Answer one job and what became of its deliveries."""
    job = own(call)
    return Answer(value=ReplayDetail(**fields_of(job, state_of(call, job)), outcomes=_outcomes(call, job)))


def cancel_replay(call: Call) -> Answer:
    """Have a job end; doing it twice changes nothing."""
    call.parts.jobs.catch_up()
    job = own(call)
    before = view(call, job)
    if job.state in {JobState.DONE, JobState.FAILED}:
        raise Conflict(f"The replay is {job.state} already", field="id", remedy="There is nothing to cancel.")
    if before.state not in {_CANCELLING, JobState.CANCELLED}:
        call.parts.jobs.cancel(job, call.caller.actor)
    after = view(call, own(call))
    return Answer(value=after, change=Change(target=job.id, before=before, after=after))


def own(call: Call) -> Job:
    """Return the job of the path; raise `NotFound`, for another store's too."""
    found = call.parts.jobs.get(call.id)
    if found is None or found.store_id != call.store_id:
        raise NotFound("There is no such replay in this store", field="id")
    return found


def state_of(call: Call, job: Job) -> str:
    """Return the state of a job with what is wanted of it."""
    return _CANCELLING if not job.finished and call.parts.jobs.to_be_cancelled(job.id) else str(job.state)


def view(call: Call, job: Job) -> Replay:
    """Return a job as callers see it."""
    return Replay(**fields_of(job, state_of(call, job)))


# ---- what would be made again ----


def _counted_letters(call: Call, wanted: ReplayFilter) -> tuple[Counter[str], dict[str, int]]:
    """Return the number of letters by webhook, and how far they were counted."""
    shelf = call.parts.letters.up_to_date()
    ends, query = call.parts.letters.ends(), letter_query(call.store_id, wanted.of_letters())
    ids = {place_in(text) for text in wanted.ids} if wanted.ids is not None else None
    counts: Counter[str] = Counter()
    for letter in shelf.find(query):
        chosen = ids is None or letter.place in ids
        if chosen and letter.reason is not Reason.POISON and (wanted.again or shelf.replayed(letter.place) is None):
            counts[letter.webhook_id] += 1
    return counts, ends


def _counted_log(call: Call, wanted: ReplayFilter) -> Counter[str]:
    """Return the number of deliveries by webhook; raise `LimitExceeded` when there are too many to be counted."""
    now_us, words = to_us(call.parts.clock.now()), wanted.of_log()
    query = log_query(call.store_id, words, span_of(words.since, words.until, now_us))
    [row] = call.parts.queries.run("deliveries_count", {**query.parameters(), "now_us": now_us, "most": _LOOKED_AT})
    if row["looked_at"] >= _LOOKED_AT:
        message = f"The filter fits more than {_LOOKED_AT:,} deliveries"
        raise LimitExceeded(message, field="filter", remedy="Narrow it: name a webhook, an event type, or a shorter time.")
    return Counter(row["by_webhook"])


def _check_webhook(call: Call, webhook_id: str | None, counts: Counter[str]) -> None:
    """Refuse a webhook that the store has not and that nothing is found of; of a deleted one there may be something, to be skipped."""
    if webhook_id is not None and not counts and _state(call, webhook_id) == _DELETED:
        message = "There is no such webhook in this store, and nothing of it to be made again"
        raise InputError(message, field="filter.webhook", remedy=REMEDY)


def _preview(call: Call, job: Job, counts: Counter[str], job_id: str | None, state: str) -> ReplayPreview:
    shares = [{"webhook_id": name, "count": count, "state": _state(call, name)} for name, count in counts.most_common(_WEBHOOKS)]
    takes_s = round(min(job.total, job.most) / job.rate, 1)
    return ReplayPreview.model_validate({**fields_of(job, state), "id": job_id, "webhooks": shares, "takes_s": takes_s})


def _state(call: Call, webhook_id: str) -> str:
    found = call.parts.registry.get(webhook_id)
    return str(found.state) if found is not None and found.store_id == call.store_id else _DELETED


def _outcomes(call: Call, job: Job) -> dict[str, int] | None:
    """Return how many of a job's deliveries stand where, None when the log does not answer."""
    parameters: Parameters = {"store_id": job.store_id, "job_id": job.id, "since_us": job.created_at_us}
    try:
        rows = call.parts.queries.run("job_outcomes", parameters)
    except WarehouseError:
        return None
    return {row["outcome"]: row["deliveries"] for row in rows}


# ---- the job ----


def _job(call: Call, asked: ReplayCreate, total: int, ends: dict[str, int]) -> Job:
    spec = hashlib.sha256(asked.model_dump_json(exclude={"dry_run"}).encode()).hexdigest()
    return Job(
        id=_job_id(call),
        store_id=call.store_id,
        kind=asked.kind,
        created_at_us=to_us(call.parts.clock.now()),
        filter=asked.filter.texts(),
        total=total,
        actor=call.caller.actor,
        rate=asked.rate,
        most=asked.max,
        ends=ends,
        spec=spec,
    )


def _job_id(call: Call) -> str:
    """Return the id that an Idempotency-Key stands for in its store, so that a request sent again makes no second job; else a new one."""
    if not call.idempotency_key:
        return new_id("job")
    digest = hashlib.sha256(f"{call.store_id}\0{call.idempotency_key}".encode()).digest()
    return "job_" + base64.b32encode(digest).decode().lower()[:26]


def _added(call: Call, job: Job) -> Job:
    """Keep a new job, and return it as it is known; raise `InputError`."""
    jobs = call.parts.jobs
    jobs.catch_up()
    known = jobs.get(job.id)
    if known is None and sum(not other.finished for other in jobs.of_store(job.store_id)) >= MOST_UNFINISHED:
        message = f"{MOST_UNFINISHED} replays of this store are not finished yet"
        raise LimitExceeded(message, field="source", remedy="Wait for one of them, or cancel one.")
    found = known or jobs.add(job)
    if found.spec != job.spec:
        raise Refused(Code.IDEMPOTENCY_MISMATCH, "This Idempotency-Key made another replay", field="Idempotency-Key")
    return found


_CODES: Final = (Code.UNKNOWN_EVENT_TYPE, Code.LIMIT_EXCEEDED, Code.WAREHOUSE_UNAVAILABLE)

ROUTES: Final = (
    Route(
        name="replays.create",
        method="POST",
        path="/replays",
        scope="dlq:replay",
        summary="Have dead letters, or deliveries of the log, made again; or only count them",
        description="With `dry_run` it answers 200 and what would be made again, and nothing is. Else it answers 201, and the deliveries "
        f"go out at `rate` a second (at most {MOST_RATE:,}), `max` of them (at most {MOST:,}), with the webhook-id they had, to the "
        "current URL, with the full retry schedule. An Idempotency-Key makes the job's id, so the same request makes one job, even after a "
        "restart. A job that is interrupted goes on where it was; none is made again twice by one job.",
        handler=create_replay,
        work=Work.QUERIES,
        body=ReplayCreate,
        answer=ReplayPreview,
        status=201,
        other_statuses=(200,),
        codes=_CODES,
        action="replay.create",
        example={"source": "dead_letters", "filter": {"reason": "exhausted"}, "rate": 20, "max": 1_000, "dry_run": True},
    ),
    Route(
        name="replays.list",
        method="GET",
        path="/replays",
        scope="results:read",
        summary="List the replays of the store, the newest first",
        description="Those that finished more than 31 days ago are gone.",
        handler=list_replays,
        query=ReplayQuery,
        answer=Page[Replay],
        codes=(Code.CURSOR_INVALID,),
    ),
    Route(
        name="replays.get",
        method="GET",
        path="/replays/{id}",
        scope="results:read",
        summary="Show a replay: its progress, and what became of its deliveries",
        description="Each of its deliveries: `GET /deliveries?job={id}`.",
        handler=get_replay,
        work=Work.QUERIES,
        answer=ReplayDetail,
        codes=(Code.NOT_FOUND, Code.OVERLOADED),
    ),
    Route(
        name="replays.cancel",
        method="POST",
        path="/replays/{id}/cancel",
        scope="dlq:replay",
        summary="End a replay; what was made again already is delivered all the same",
        handler=cancel_replay,
        work=Work.QUERIES,
        answer=Replay,
        codes=(Code.NOT_FOUND, Code.CONFLICT),
        action="replay.cancel",
    ),
)
