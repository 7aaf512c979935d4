"""What the failure doctor works with: the evidence about a webhook, and the diagnoses that follow from it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from yarl import URL

from hookline.console.panel.doctor_faults import Ailment, Site
from hookline.dispatcher.lanes import LaneConfig
from hookline.webhooks.model import Webhook

_MINUTE_US: Final = 60_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """One kind of failure of a webhook, as `webhook_faults` tells it; `called` is False where no call was made.

    `recent` is how many there were in the last day, `straight` how many since the last success, the first of them at `began_us`; `url`
    is where the last one went.
    """

    kind: str
    status: int = 0
    called: bool = True
    recent: int = 0
    straight: int = 0
    began_us: int = 0
    last_us: int = 0
    detail: str = ""
    url: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One call; `wait_s` is how long it was before the next was due, 0 when there was to be none."""

    at_us: int
    ok: bool
    kind: str = ""
    status: int = 0
    took_s: float = 0.0
    wait_s: float = 0.0
    tested: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """What is known of a webhook; times are microseconds since the epoch, 0 where there is none.

    `calls` are the last ones, the newest first, of at most 31 days. `usual_p95_s` is how long answers took over the span of the
    statistics, None without any. `reached` is how many events of its types other webhooks of the store got in the last seven days, or
    since `reached_since_us`; None when that was not asked. `letters` are dead letters that nobody has decided on, `replayed` those of the
    last day that were replayed.
    """

    webhook: Webhook
    now_us: int
    lanes: LaneConfig
    calls: tuple[Call, ...] = ()
    faults: tuple[Fault, ...] = ()
    well_us: int = 0
    recent_well: int = 0
    usual_p95_s: float | None = None
    waiting: int = 0
    oldest_us: int = 0
    held: int = 0
    letters: int = 0
    replayed: int = 0
    reached: int | None = None
    reached_since_us: int = 0

    @property
    def site(self) -> Site:
        """Where it calls."""
        return Site(URL(self.webhook.url).host or self.webhook.url, self.webhook.timeout_s)

    @property
    def failing(self) -> list[Fault]:
        """What its calls failed with since the last success: first what the last one failed with, then the most frequent."""
        found = sorted((one for one in self.faults if one.called and one.kind and one.straight), key=lambda one: -one.straight)
        return sorted(found, key=lambda one: one.last_us != max(other.last_us for other in found))

    @property
    def delivering(self) -> list[Call]:
        """The calls without tests."""
        return [call for call in self.calls if not call.tested]


@dataclass(frozen=True, slots=True, kw_only=True)
class Diagnosis:
    """One thing that is wrong, or that is well. `tone` is bad, warn, held, good or plain; `said` is what the receiver or the network said.

    `since_us` and `until_us` are 0 where no time is known. `log` are the filters that show its calls in the log; `act` names what helps:
    a word of test, edit, rotate, resume, enable, letters, or nothing.
    """

    ailment: Ailment
    tone: str
    title: str
    text: str = ""
    remedy: str = ""
    since_us: int = 0
    until_us: int = 0
    said: str = ""
    log: Mapping[str, str] = field(default_factory=dict)
    act: str = ""

    @property
    def momentary(self) -> bool:
        """Whether it began and ended within one minute, which is all that is shown of times."""
        return self.since_us // _MINUTE_US == self.until_us // _MINUTE_US
