"""The runner of replay jobs, wired from the console's parts."""

from __future__ import annotations

from hookline.console.api.dead_letters import letter_query
from hookline.console.api.deliveries_filter import log_query, span_of
from hookline.console.api.replays_models import ReplayFilter
from hookline.console.jobs import Job, JobKind
from hookline.console.jobs_lead import Lead
from hookline.console.jobs_runner import JobRunner, RunnerParts
from hookline.console.jobs_sources import ChosenSource, LetterSource, LogSource, Source, made_by
from hookline.console.letters import place_in
from hookline.console.parts import Parts
from hookline.console.places import Coordinates
from hookline.dispatcher.replays import Replays


def job_runner(parts: Parts) -> JobRunner:
    """Return the runner of a console's jobs."""
    return JobRunner(
        RunnerParts(
            jobs=parts.jobs,
            lead=Lead(parts.kafka, parts.topics),
            registry=parts.registry,
            clock=parts.clock,
            source=lambda job: source_of(parts, job),
            made=lambda job: made_by(parts.kafka, parts.topics, job),
            replays=lambda: Replays(parts.kafka, parts.topics, parts.codec, parts.erasures),
        )
    )


def source_of(parts: Parts, job: Job) -> Source:
    """Return what a job makes again; raise `BrokerError` while the dead letters are not read."""
    wanted = ReplayFilter.of_texts(job.filter)
    if job.kind is JobKind.LOG:
        words = wanted.of_log()
        query = log_query(job.store_id, words, span_of(words.since, words.until, job.created_at_us))
        return LogSource(parts.queries, parts.places, query, job.created_at_us)
    shelf, query_of_letters = parts.letters.up_to_date(), letter_query(job.store_id, wanted.of_letters())

    def left_out(place: Coordinates) -> bool:
        """Tell whether a letter was replayed before, by anybody but this job."""
        replayed = shelf.replayed(place)
        return not wanted.again and replayed is not None and replayed.job_id != job.id

    if wanted.ids is not None:
        topics = set(parts.topics.all_dead_letters())
        places = [place for text in wanted.ids if (place := place_in(text)) is not None and place.topic in topics]
        return ChosenSource(parts.places, places, query_of_letters, left_out)
    return LetterSource(parts.kafka, job.ends, query_of_letters, left_out)
