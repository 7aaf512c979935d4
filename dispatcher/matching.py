"""Which webhooks get an event, and which do not for a reason worth recording."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, Protocol

from hookline.dispatcher import metrics
from hookline.kernel.errors import FilterError
from hookline.schemas.payload import Rendered
from hookline.schemas.records import ErrorKind
from hookline.webhooks.filters import Facts, compile_filter
from hookline.webhooks.model import State, Webhook

CLOCK_SLACK_US: Final = 5_000_000
"""How far clocks may differ where the brokers do not stamp webhooks: those created up to 5 s after an event get it too."""
# By name in this module: a member that is looked up in its class takes 0.26 µs.
_DISABLED: Final = State.DISABLED


class Directory(Protocol):
    """Where webhooks are looked up; each call costs the same however many there are."""

    def matching(self, store_id: str, event_type: str) -> tuple[Webhook, ...]:
        """Return the store's webhooks of an event type, in any state."""

    def get(self, webhook_id: str) -> Webhook | None:
        """Return a webhook, None when it does not exist (any more), or is not known."""

    def deleted(self, webhook_id: str) -> bool:
        """Tell whether a webhook that is not there is known to have been deleted; False: nobody has heard of it, or not yet."""


@dataclass(frozen=True, slots=True)
class Skip:
    """A webhook that does not get the event, and why."""

    webhook: Webhook
    kind: ErrorKind
    detail: str


@dataclass(slots=True)
class Matched:
    """The webhooks to call, those whose deliveries wait at once (paused), and those skipped with a reason."""

    call: list[Webhook] = field(default_factory=list)
    skip: list[Skip] = field(default_factory=list)
    dead: list[Webhook] = field(default_factory=list)


class Matcher:
    """Asks the directory and the filters; `wall` tells the brokers' time in seconds since the epoch."""

    def __init__(self, directory: Directory, wall: Callable[[], float]) -> None:
        self._directory = directory
        self._wall = wall

    def match(self, event: Rendered, published_us: int) -> Matched:
        """Sort the store's webhooks of this type; an event from before a webhook's creation is not for it.

        A webhook that is there and will be created later by the brokers' clock was written by a clock that is wrong: it gets the event.

        A webhook that was enabled when the event was published and is disabled now gets a dead letter, since the
        promise holds for the time of publishing; one that was disabled already is skipped with a record.
        """
        matched = Matched([], [], [])
        facts: Facts | None = None
        for webhook in self._directory.matching(event.store_id, event.type):
            if webhook.created_at_us > published_us + CLOCK_SLACK_US and webhook.created_at_us <= self._wall() * 1e6:
                continue
            if webhook.state is _DISABLED and webhook.state_since_us <= published_us:
                matched.skip.append(Skip(webhook, ErrorKind.DISABLED, webhook.state_reason or "the webhook is disabled"))
                continue
            if webhook.filter:
                facts = facts or Facts(event.context())
                if not _wanted(webhook, facts, matched):
                    continue
            (matched.dead if webhook.state is _DISABLED else matched.call).append(webhook)
        return matched


def _wanted(webhook: Webhook, facts: Facts, matched: Matched) -> bool:
    """Ask the filter; one that fails counts as no match, with a record that says so."""
    try:
        wanted = compile_filter(webhook.filter).matches(facts)
    except FilterError as error:
        matched.skip.append(Skip(webhook, ErrorKind.FILTER, error.message))
        return False
    except (KeyboardInterrupt, SystemExit):
        raise
    except BaseException as error:  # noqa: BLE001  # the evaluator is foreign, and a panic in its Rust is no `Exception`
        matched.skip.append(Skip(webhook, ErrorKind.FILTER, f"The filter failed on this event: {type(error).__name__}"))
        return False
    if not wanted:
        metrics.UNMATCHED.inc()
    return wanted
