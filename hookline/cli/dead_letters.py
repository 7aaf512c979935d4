"""`hookline dead-letters`: what could not be delivered, and having it delivered after all."""

from __future__ import annotations

import itertools
import uuid
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from hookline.cli.broker import reached
from hookline.cli.output import AsJson, say, show_fields, show_table
from hookline.cli.webhooks import open_reader
from hookline.dispatcher.letters import Reason
from hookline.dispatcher.replays import DeadLetters, FoundLetter, LetterFilter, Pace, Replays, replay_all
from hookline.kernel.clock import from_us, rfc3339
from hookline.kernel.config import environment
from hookline.kernel.errors import InputError, NotFound, WireError
from hookline.kernel.kafka import KafkaConfig
from hookline.schemas import catalogue, payload
from hookline.schemas.erasures import Erasures, following
from hookline.schemas.registry import open_registry
from hookline.schemas.topics import CATEGORIES, Topics
from hookline.schemas.wire import Codec

if TYPE_CHECKING:
    from hookline.webhooks.model import Webhook
    from hookline.webhooks.registry import WebhookRegistry

app = typer.Typer(no_args_is_help=True, help="Dead letters: what could not be delivered. List, look, replay.")
_MOST: Final = 100_000
_WARNED: Final = 10

Store = Annotated[str, typer.Option("--store", help="Only this store's.")]
WebhookId = Annotated[str, typer.Option("--webhook", help="Only this webhook's (wh_…).")]
Category = Annotated[str, typer.Option("--category", help="orders, products, checkout or customers.")]
ReasonText = Annotated[str, typer.Option("--reason", help="exhausted, gone, disabled, expired or poison.")]
EventType = Annotated[str, typer.Option("--type", help="Only this event type, such as order.created.")]
Again = Annotated[bool, typer.Option("--again", help="Also those that were replayed before.")]


@dataclass(frozen=True, slots=True)
class _Stack:
    kafka: KafkaConfig
    topics: Topics

    @property
    def letters(self) -> DeadLetters:
        return DeadLetters(self.kafka, self.topics)


def _stack() -> _Stack:
    kafka = reached(environment())
    return _Stack(kafka, Topics(kafka.topic_prefix))


@app.command("list")
def list_letters(  # one parameter per option
    store: Store = "",
    webhook: WebhookId = "",
    category: Category = "",
    reason: ReasonText = "",
    event_type: EventType = "",
    again: Again = False,
    limit: Annotated[int, typer.Option(min=1, max=_MOST, help="At most this many.")] = 100,
    as_json: AsJson = False,
) -> None:
    """List dead letters that wait to be replayed, oldest first within a partition."""
    wanted = _filter(store, webhook, category, reason, event_type, again)
    stack = _stack()
    found = [_row(letter) for letter in itertools.islice(stack.letters.find(wanted), limit)]
    if not found and webhook:
        with open_reader() as known:
            _check_webhook(stack, known.registry, wanted)
    columns = ["id", "at", "reason", "event_type", "store_id", "webhook_id", "attempts", "last_status", "error", "replayed"]
    show_table(found, columns, as_json=as_json, empty=_nothing(wanted))


def _nothing(wanted: LetterFilter) -> str:
    if wanted in {LetterFilter(), LetterFilter(replayed=False)}:
        return "No dead letters wait: everything was delivered, or is still being retried."
    return "No dead letters fit these filters; without filters all that wait are listed."


@app.command("show")
def show(
    place: Annotated[str, typer.Argument(metavar="ID", help="A dead letter's id from `list`: topic:partition:offset.")],
    as_json: AsJson = False,
) -> None:
    """Show one dead letter: why it is there, where it came from, and its payload."""
    stack = _stack()
    found = stack.letters.get(place)
    row = _row(found) | {"delivery_id": found.letter.waiting.delivery_id if found.letter.waiting else "", "payload": _payload(stack, found)}
    show_fields(row, as_json=as_json)


@app.command("replay")
def replay(  # one parameter per option
    store: Store = "",
    webhook: WebhookId = "",
    category: Category = "",
    reason: ReasonText = "",
    event_type: EventType = "",
    again: Again = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only count what would be replayed.")] = False,
    most: Annotated[int, typer.Option("--max", min=1, max=10_000_000, help="Replay at most this many.")] = _MOST,
    rate: Annotated[float, typer.Option("--rate", min=0.1, max=10_000, help="Letters a second.")] = 50.0,
    as_json: AsJson = False,
) -> None:
    """Have dead letters delivered again: same webhook-id, current URL and secret, full retry schedule.

    Stop it at any time and run it again: what was replayed is left out. What is for webhooks that take no calls now is told first; what is
    for disabled ones is skipped, and stays where it is.
    """
    stack = _stack()
    wanted = _filter(store, webhook, category, reason, event_type, again)
    # Looked through twice: payloads of a hundred thousand letters have no place in memory.
    counts = Counter(found.webhook_id for found in _replayable(stack, wanted))
    with open_reader() as known:
        if not counts:
            _check_webhook(stack, known.registry, wanted)
        for warning in _warnings(counts, known.registry):
            say(warning)
        skipped = sum(count for name, count in counts.items() if _disabled(known.registry, name))
        told = {"matching": counts.total(), "skipped": skipped}
        chosen = min(counts.total() - skipped, most)
        if dry_run:
            show_fields({**told, "would_replay": chosen, "replayed": 0}, as_json=as_json)
            return
        job_id = f"job_{uuid.uuid4().hex[:20]}"
        letters = (found for found in _replayable(stack, wanted) if not _disabled(known.registry, found.webhook_id))
        made = _replay(stack, letters, Pace(rate=rate, most=chosen), _Job(job_id, store)) if chosen else 0
    job = {"job_id": job_id} if made else {}  # of a replay that made nothing, no delivery and no page knows one
    show_fields({**job, **told, "replayed": made}, as_json=as_json)
    if made and not as_json:
        say("Follow them with: hookline log --trigger replay")


def _replayable(stack: _Stack, wanted: LetterFilter) -> Iterator[FoundLetter]:
    return (found for found in stack.letters.find(wanted) if found.letter.reason is not Reason.POISON)


def _check_webhook(stack: _Stack, registry: WebhookRegistry, wanted: LetterFilter) -> None:
    """Return when there is such a webhook, or ever a letter of it; raise `InputError`. For filters that nothing fits."""
    there = registry.get(wanted.webhook_id) if wanted.webhook_id else None
    if not wanted.webhook_id or (there is not None and wanted.store_id in {"", there.store_id}):
        return
    if next(iter(stack.letters.find(LetterFilter(store_id=wanted.store_id, webhook_id=wanted.webhook_id))), None) is None:
        raise InputError(
            f"There is no such webhook{' in this store' if wanted.store_id else ''}, and no dead letter of it",
            field="webhook",
            remedy="Look the id up with `hookline webhooks list`.",
        )


def _disabled(registry: WebhookRegistry, webhook_id: str) -> bool:
    """Tell whether a replay would only make another dead letter; asked for each letter, since somebody may disable it meanwhile."""
    webhook = registry.get(webhook_id)
    return webhook is not None and str(webhook.state) == "disabled"


def _warnings(counts: Counter[str], registry: WebhookRegistry) -> Iterator[str]:
    """Yield a sentence for each webhook with letters that takes no calls now, those with most first, the rest as a number."""
    found = [(count, name, registry.get(name)) for name, count in counts.most_common()]
    idle = [_idle(count, name, webhook) for count, name, webhook in found if webhook is None or str(webhook.state) != "enabled"]
    yield from idle[:_WARNED]
    if len(idle) > _WARNED:
        yield f"{len(idle) - _WARNED:,} more webhooks take no calls now."


def _idle(count: int, name: str, webhook: Webhook | None) -> str:
    letters = f"{count:,} of them {'is' if count == 1 else 'are'} for {name}, which"
    if webhook is None:
        return f"{letters} was deleted: a replay is cancelled."
    if str(webhook.state) == "paused":
        return f"{letters} is paused: a replay is held until `hookline webhooks resume {name}`."
    return f"{letters} is disabled: skipped. Enable it first: `hookline webhooks enable {name}`."


@dataclass(frozen=True, slots=True)
class _Job:
    """What the audit tells of a replay; `store_id` is empty when it is not of one store."""

    id: str
    store_id: str


def _replay(stack: _Stack, letters: Iterator[FoundLetter], pace: Pace, job: _Job) -> int:
    columns = (TextColumn("replaying"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    bar = Progress(*columns, transient=True, console=Console(emoji=False, stderr=True))
    registry = open_registry(environment())
    registry.start()
    try:
        with bar, following(stack.kafka, stack.topics, codec := Codec(registry)) as erasures:
            task = bar.add_task("replaying", total=pace.most)
            replays = Replays(stack.kafka, stack.topics, codec, erasures)
            _note(stack, codec, job)
            made = replay_all(replays, _kept(letters, erasures), pace, job.id, lambda count: bar.update(task, completed=count))
    finally:
        registry.stop()
    return made


def _kept(letters: Iterator[FoundLetter], erasures: Erasures) -> Iterator[FoundLetter]:
    """Leave out the letters of erased events: they stay where they are until retention takes them."""
    waits = ((found, found.letter.waiting) for found in letters)
    return (found for found, waiting in waits if waiting is None or not erasures.has(waiting.store_id, waiting.event_id))


def _note(stack: _Stack, codec: Codec, job: _Job) -> None:
    """Put the replay onto the audit before its first letter moves; raise `BrokerError`, and nothing is replayed."""
    from hookline.cli.trail import Trail  # keep the commands that only look quick

    Trail.over(stack.kafka, stack.topics, codec).write("replay.create", job.store_id, job.id)


def _filter(store: str, webhook: str, category: str, reason: str, event_type: str, again: bool) -> LetterFilter:
    """Return the filter; raise `InputError` for a category, reason or type that there is not."""
    _one_of("category", category, CATEGORIES)
    _one_of("reason", reason, [str(one) for one in Reason])
    if event_type:
        catalogue.event_type(event_type)
    return LetterFilter(
        store_id=store, webhook_id=webhook, category=category, reason=reason, event_type=event_type, replayed=None if again else False
    )


def _one_of(option: str, text: str, those: Sequence[str]) -> None:
    if text and text not in those:
        raise InputError(f"There is no {option} {text[:80]!r}", field=option, remedy=f"Give one of: {', '.join(those)}.")


def _row(found: FoundLetter) -> dict[str, Any]:
    letter, waiting = found.letter, found.letter.waiting
    return {
        "id": found.place,
        "at": rfc3339(from_us(letter.at_us)),
        "reason": str(letter.reason),
        "error": letter.error,
        "store_id": waiting.store_id if waiting else "",
        "webhook_id": found.webhook_id,
        "event_type": waiting.event_type if waiting else "",
        "event_id": waiting.event_id if waiting else "",
        "attempts": waiting.attempt if waiting else 0,
        "last_status": (waiting.last_status or None) if waiting else None,
        "original": f"{letter.original.topic}:{letter.original.partition}:{letter.original.offset}",
        "replayed": found.replayed,
    }


def _payload(stack: _Stack, found: FoundLetter) -> str:
    """Return the JSON body, or the raw bytes in hexadecimal where they cannot be decoded; an erased one is only told to be that."""
    registry = open_registry(environment())
    registry.start()
    try:
        with following(stack.kafka, stack.topics, codec := Codec(registry)) as erasures:
            event = codec.decode(found.value)
            erasures.refuse(event.store_id, event.id)
            return payload.body(event).decode()
    except NotFound as error:
        return error.message
    except WireError as error:
        return f"cannot be decoded ({error.message}); raw bytes: {found.value[:512].hex()}"
    finally:
        registry.stop()
