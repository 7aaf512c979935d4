"""The reconciliation, pure: what was published against what arrived, as each side wrote it down.

The rule of who gets what is `cast`'s, the events come from the ledger and from Kafka, the arrivals from the receivers'
own journals. The dispatcher's word (the attempts topic) is only held against the others.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from hookline.local.demo.cast import Role
from hookline.local.demo.ledgers import Call
from hookline.schemas.events import Event
from hookline.schemas.records import Attempt, ErrorKind, Outcome, delivery_id

BEFORE_KILL_S: Final = 5.0
"""How long before its dispatcher was killed a call may have been received and not be recorded."""
SLACK_S: Final = 1.0
"""How long after a kill its last calls may still be written down."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """Everything that was written down.

    `ledger` are the ids of confirmed events, `published` the events on Kafka; `webhooks` maps webhook id → role, `calls`
    role → its receiver's calls; `letters` are the delivery ids of dead letters. `kills` are the wall times at which a
    dispatcher was killed: calls under way then are in no record.
    """

    ledger: Sequence[str]
    published: Sequence[Event]
    webhooks: Mapping[str, Role]
    calls: Mapping[str, Sequence[Call]]
    attempts: Sequence[Attempt]
    letters: Sequence[str]
    kills: Sequence[float] = ()


@dataclass(slots=True, kw_only=True)
class Account:
    """One webhook's sum: expected = delivered + dead + skipped + lost.

    What is in more than one of them (a dispatcher killed between two records) counts once, the best first. `stray` are
    deliveries that should not be, `repeats` calls that were taken although the event had been taken before.
    """

    role: Role
    expected: dict[str, str] = field(default_factory=dict)
    delivered: set[str] = field(default_factory=set)
    dead: set[str] = field(default_factory=set)
    skipped: set[str] = field(default_factory=set)
    lost: list[str] = field(default_factory=list)
    stray: list[str] = field(default_factory=list)
    calls: int = 0
    repeats: int = 0
    bad: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One sum that must be right; `wrong` names what makes it wrong."""

    text: str
    wrong: Sequence[str] = ()

    @property
    def right(self) -> bool:
        """Whether it is."""
        return not self.wrong


def expectations(events: Iterable[Event], webhooks: Mapping[str, Role]) -> dict[str, dict[str, str]]:
    """Return webhook id → (delivery id → event id) of every delivery that the cast's own rule asks for."""
    found: dict[str, dict[str, str]] = {webhook_id: {} for webhook_id in webhooks}
    for event in events:
        for webhook_id, role in webhooks.items():
            if role.wants(event.type, event.data):
                found[webhook_id][delivery_id(event.store_id, event.id, webhook_id)] = event.id
    return found


def accounts(evidence: Evidence) -> list[Account]:
    """Return the sum of each webhook, in the cast's order."""
    expected = expectations(evidence.published, evidence.webhooks)
    letters = set(evidence.letters)
    skips = {a.delivery_id for a in evidence.attempts if a.outcome is Outcome.SKIPPED and a.error_kind is ErrorKind.DISABLED}
    return [
        _account(role, expected[webhook_id], evidence.calls.get(role.name, ()), letters, skips)
        for webhook_id, role in evidence.webhooks.items()
    ]


def _account(role: Role, expected: dict[str, str], calls: Sequence[Call], letters: set[str], skips: set[str]) -> Account:
    taken = Counter(call.id for call in calls if call.taken)
    delivered = taken.keys() & expected.keys()
    dead = (letters & expected.keys()) - delivered
    skipped = (skips & expected.keys()) - delivered - dead
    return Account(
        role=role,
        expected=expected,
        delivered=delivered,
        dead=dead,
        skipped=skipped,
        lost=sorted(expected.keys() - delivered - dead - skipped),
        stray=sorted({call.id for call in calls} - expected.keys()),
        calls=len(calls),
        repeats=taken.total() - len(taken),
        bad=[call.id for call in calls if not call.good],
    )


def checks(evidence: Evidence, found: Sequence[Account]) -> list[Check]:
    """Return every sum, right or wrong."""
    return [_published(evidence), _promise(found), _matching(found), _letters(found), _signatures(found), _calls(evidence, found)]


def _published(evidence: Evidence) -> Check:
    ledger, topic = Counter(evidence.ledger), Counter(event.id for event in evidence.published)
    wrong = [f"event {i} is confirmed but not on Kafka" for i in sorted(ledger.keys() - topic.keys())]
    wrong += [f"event {i} is on Kafka but not in the ledger" for i in sorted(topic.keys() - ledger.keys())]
    wrong += [f"event {i} is {count} times in the ledger" for i, count in ledger.items() if count > 1]
    again = topic.total() - len(topic)
    more = f" ({again} of them twice, under one id)" if again else ""
    return Check(text=f"{len(ledger):,} events published, every one of them on Kafka{more}", wrong=wrong)


def _promise(found: Sequence[Account]) -> Check:
    expected, delivered, dead, skipped, lost = (
        sum(len(getattr(a, name)) for a in found) for name in ("expected", "delivered", "dead", "skipped", "lost")
    )
    text = (
        f"published x matching webhooks = {expected:,} = {delivered:,} delivered + {dead:,} dead letters"
        f" + {skipped:,} skipped (the webhook was disabled by 410), {lost:,} lost"
    )
    return Check(text=text, wrong=[f"{i} of event {a.expected[i]} for {a.role.name} is lost" for a in found for i in a.lost])


def _matching(found: Sequence[Account]) -> Check:
    wrong = [f"{i} reached {a.role.name}, which did not ask for it" for a in found for i in a.stray]
    return Check(text="nobody was called for what it had not asked for (types and filter computed anew)", wrong=wrong)


def _letters(found: Sequence[Account]) -> Check:
    wrong = [f"{i} for {a.role.name} is a dead letter" for a in found if not a.role.fails for i in sorted(a.dead)]
    wrong += [f"{i} for {a.role.name} was skipped" for a in found if not a.role.fails for i in sorted(a.skipped)]
    return Check(text="only receivers that failed for long have dead letters or skips", wrong=wrong)


def _signatures(found: Sequence[Account]) -> Check:
    calls = sum(a.calls for a in found)
    wrong = [f"{i} to {a.role.name} had a wrong signature" for a in found for i in a.bad]
    return Check(text=f"{calls:,} calls checked with the standardwebhooks package, {len(wrong)} bad signatures", wrong=wrong)


def _calls(evidence: Evidence, found: Sequence[Account]) -> Check:
    """Hold every call received against every attempt recorded, delivery by delivery, attempt by attempt."""
    wrong: list[str] = []
    unrecorded = 0
    for webhook_id, role in evidence.webhooks.items():
        attempts = [a for a in evidence.attempts if a.webhook_id == webhook_id and a.attempt]
        missing, unexplained = _unexplained(evidence.calls.get(role.name, ()), attempts, evidence.kills)
        unrecorded += missing
        wrong += [f"{text} ({role.name})" for text in unexplained]
    calls, repeats = sum(a.calls for a in found), sum(a.repeats for a in found)
    attempts_made = sum(1 for a in evidence.attempts if a.attempt)
    return Check(
        text=f"{calls:,} calls received, {attempts_made:,} attempts recorded, each explained by the other"
        f" ({unrecorded} calls died with a dispatcher before they were recorded; {repeats} duplicates by webhook-id)",
        wrong=wrong,
    )


def _unexplained(calls: Sequence[Call], attempts: Sequence[Attempt], kills: Sequence[float]) -> tuple[int, list[str]]:
    """Return how many calls a killed dispatcher had no time to record, and what nothing explains.

    An attempt with an answer needs a call. A call needs an attempt, with or without an answer (the receiver may have
    died before its answer was out), or a dispatcher that was killed right after.
    """
    received = Counter((call.id, call.attempt) for call in calls)
    recorded = Counter((a.delivery_id, a.attempt) for a in attempts)
    answered = Counter((a.delivery_id, a.attempt) for a in attempts if a.http_status)
    excused = Counter((call.id, call.attempt) for call in calls if any(-BEFORE_KILL_S < call.at - at < SLACK_S for at in kills))
    wrong = [f"attempt {number} of {i} is recorded with an answer, but was not received" for i, number in answered - received]
    over = received - recorded
    wrong += [f"attempt {number} of {i} was received, but is not recorded" for i, number in over - excused]
    return (over & excused).total(), wrong
