"""Replays as callers ask for them and see them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Final, Literal

from pydantic import Field

from hookline.console.api.dead_letters import Category, LetterFilter, ReasonName
from hookline.console.api.deliveries_filter import DeliveryFilter, ErrorName, HttpStatus, Id, Instant, OutcomeName, TriggerName
from hookline.console.http.models import LETTER_PATTERN, EventTypeName, Model, PageQuery, Time, time_of
from hookline.console.jobs import Job, JobKind
from hookline.kernel.errors import InputError

MOST: Final = 100_000
MOST_IDS: Final = 100
MOST_RATE: Final = 1_000
Source = Literal["dead_letters", "log"]
StateName = Literal["queued", "running", "cancelling", "cancelled", "done", "failed"]
LetterId = Annotated[str, Field(pattern=LETTER_PATTERN)]
LetterIds = Annotated[list[LetterId], Field(min_length=1, max_length=MOST_IDS)]
_OF_LETTERS: Final = ("category", "reason", "again", "ids")
_OF_LOG: Final = ("status", "outcome", "error", "trigger", "job")


class ReplayFilter(Model):
    """What is made again; all that are given narrow it together."""

    webhook: Id | None = Field(None, description="only for this webhook")
    event_type: EventTypeName | None = None
    event: Id | None = Field(None, description="only of the event with this id")
    since: Instant | None = Field(None, alias="from", description="the earliest time; of the log: left out, 31 days before `to`")
    until: Instant | None = Field(None, alias="to", description="the latest time; of the log: at most 31 days after `from`")
    category: Category | None = Field(None, description="dead letters only")
    reason: ReasonName | None = Field(None, description="dead letters only: why they were given up")
    again: bool | None = Field(None, description="dead letters only: also those that were replayed before")
    ids: LetterIds | None = Field(None, description="dead letters only: just these")
    status: HttpStatus | None = None
    outcome: OutcomeName | None = Field(None, description="log only, as all below: where the delivery stands")
    error: ErrorName | None = None
    trigger: TriggerName | None = None
    job: Id | None = None

    def given(self, names: tuple[str, ...]) -> list[str]:
        """Return those of some fields that are given."""
        return [name for name in names if getattr(self, name) is not None]

    def texts(self) -> dict[str, str]:
        """Return the filter as a job keeps it."""
        found = self.model_dump(by_alias=True, exclude_none=True)
        return {name: " ".join(value) if isinstance(value, list) else str(value) for name, value in found.items()}

    @classmethod
    def of_texts(cls, texts: Mapping[str, str]) -> ReplayFilter:
        """Return the filter that a job keeps."""
        found: dict[str, Any] = dict(texts)
        if "again" in found:
            found["again"] = found["again"] == "True"
        if "ids" in found:
            found["ids"] = found["ids"].split(" ")
        return cls.model_validate(found)

    def of_letters(self) -> LetterFilter:
        """Return the part that is about dead letters."""
        names = ("webhook", "event_type", "event", "category", "reason")
        return LetterFilter.model_validate({**{name: getattr(self, name) for name in names}, "from": self.since, "to": self.until})

    def of_log(self) -> DeliveryFilter:
        """Return the part that is about the log."""
        names = ("webhook", "event_type", "event", "status", "outcome", "error", "trigger", "job")
        return DeliveryFilter.model_validate({**{name: getattr(self, name) for name in names}, "from": self.since, "to": self.until})


class ReplayCreate(Model):
    """What is to be made again, how fast, how many at most."""

    source: Source = Field(description="dead letters, or deliveries of the log by where they stand now")
    filter: ReplayFilter = Field(default_factory=lambda: ReplayFilter.model_validate({}))
    rate: Annotated[float, Field(ge=0.1, le=MOST_RATE)] = Field(50.0, description="so many a second at most")
    max: Annotated[int, Field(ge=1, le=MOST)] = Field(10_000, description="no more than so many")
    dry_run: bool = Field(default=False, description="only count what would be made again")

    @property
    def kind(self) -> JobKind:
        """The source as jobs call it."""
        return JobKind(self.source)

    def check_filter(self) -> None:
        """Raise `InputError` for a filter that does not go with the source, with the path of what is at fault."""
        foreign = self.filter.given(_OF_LOG if self.kind is JobKind.DEAD_LETTERS else _OF_LETTERS)
        if foreign:
            field = f"filter.{foreign[0]}"
            raise InputError(f"{field} does not go with the source {self.source}", field=field, remedy="Leave it out.")
        if self.kind is JobKind.LOG and not self.filter.given(tuple(ReplayFilter.model_fields)):
            message = "The filter must not be empty for the source log: that would make everything again"
            raise InputError(message, field="filter", remedy="Name a webhook, an event type, a time, or where deliveries stand.")


class ReplayQuery(PageQuery):
    """Which jobs."""

    state: StateName | None = None


class Replay(Model):
    """A replay job, or what one would be."""

    id: str | None = Field(description="null for a dry run")
    source: Source
    filter: dict[str, Any] = Field(description="as it was asked for")
    state: StateName | Literal["preview"] = Field(description="preview for a dry run")
    rate: float
    max: int
    total: int = Field(description="how many fitted when it was asked for, no more than `max`: dead letters, or deliveries of the log")
    matching: int = Field(description="the same without regard to `max`")
    done: int = Field(description="made again: their calls are made by the dispatchers")
    deliveries: int = Field(description="so many different deliveries are among `done`: several dead letters may be of one")
    skipped: int = Field(description="left alone, since their webhook is disabled or deleted")
    failed: int = Field(description="could not be made again: their payload is gone")
    error: str = Field(description="the last failure in words")
    created_by: str
    created_at: Time | None
    started_at: Time | None
    updated_at: Time | None
    finished_at: Time | None


class WebhookShare(Model):
    """How much of a replay is for one webhook."""

    webhook_id: str
    count: int
    state: Literal["enabled", "paused", "disabled", "deleted"] = Field(
        description="disabled and deleted ones are skipped, paused ones hold"
    )


class ReplayPreview(Replay):
    """A new job, or what one would be, with the webhooks that it is for."""

    webhooks: list[WebhookShare] = Field(description="those with most, at most 100")
    takes_s: float = Field(description="about how long it takes at this rate")


class ReplayDetail(Replay):
    """A job with what became of the deliveries that it had made again."""

    outcomes: dict[str, int] | None = Field(
        description="of `deliveries`, by the outcome of their newest attempt; the others are on their way; null: the log does not answer"
    )


def fields_of(job: Job, state: str) -> dict[str, Any]:
    """Return what a job shows, in a state."""
    return {
        "id": job.id,
        "source": str(job.kind),
        "filter": ReplayFilter.of_texts(job.filter).model_dump(by_alias=True, exclude_none=True),
        "state": state,
        "rate": job.rate,
        "max": job.most,
        "total": min(job.total, job.most),
        "deliveries": job.deliveries or job.done,  # jobs of earlier versions did not count them
        "matching": job.total,
        **{name: getattr(job, name) for name in ("done", "skipped", "failed", "error")},
        "created_by": job.actor,
        **{name: time_of(getattr(job, f"{name}_us")) for name in ("created_at", "started_at", "updated_at", "finished_at")},
    }
