"""Until when an intake may take itself for the owner of its partitions."""

from __future__ import annotations

import time
from collections import deque
from typing import Final

from confluent_kafka import KafkaError

NORMAL: Final = frozenset(
    {
        KafkaError.REBALANCE_IN_PROGRESS,
        KafkaError.ILLEGAL_GENERATION,
        KafkaError.UNKNOWN_MEMBER_ID,
        KafkaError.FENCED_MEMBER_EPOCH,
        KafkaError.STALE_MEMBER_EPOCH,
        KafkaError._ASSIGNMENT_LOST,  # noqa: SLF001  # librdkafka's local codes begin with an underscore
    }
)
"""Refusals of a commit that are nothing to speak of in a rebalance."""


class Lease:
    """Runs out `lease_s` after the last poll, and with `by_commits` after the last commit that Kafka granted; any thread asks `holds`.

    A process parts from its group in two ways: it stands still, or it does not reach Kafka. The first shows in a late poll. The
    second a consumer of the classic protocol tells by itself when its session is over; one of KIP-848 (librdkafka 2.16) goes on
    polling its empty queue for ever. A commit is granted to members alone, and there it never waits for others to join.
    """

    def __init__(self, lease_s: float, *, by_commits: bool) -> None:
        self._lease_s = lease_s
        self._by_commits = by_commits
        self.beat = time.monotonic()
        self._granted_at = -float("inf")
        self._sent: deque[float] = deque()

    def holds(self) -> bool:
        """Tell whether work may begin."""
        now = time.monotonic()
        return now - self.beat < self._lease_s and (not self._by_commits or now - self._granted_at < self._lease_s)

    def owed(self, now: float, *, at_work: bool) -> bool:
        """Tell whether a commit must prove the membership now: after a gap in polling, or `at_work` without a fresh proof."""
        return now - self.beat > self._lease_s or (self._by_commits and at_work and now - self._granted_at > self._lease_s)

    @property
    def ages(self) -> bool:
        """Whether a quarter of it has gone since the last commit: time for the next, whether or not there is something to commit."""
        last = self._sent[-1] if self._sent else self._granted_at
        return self._by_commits and time.monotonic() - last > self._lease_s / 4

    @property
    def waits(self) -> bool:
        """Whether a commit is on its way."""
        return bool(self._sent)

    @property
    def unanswered_s(self) -> float:
        """How long the oldest commit has been on its way."""
        return time.monotonic() - self._sent[0] if self._sent else 0.0

    def granted_since(self, moment: float) -> bool:
        """Tell whether a commit was granted that was sent at that moment or later."""
        return self._granted_at >= moment

    def granted(self, asked_at: float) -> None:
        """Note that a commit sent at that moment was granted."""
        self._granted_at = max(self._granted_at, asked_at)

    def sent(self) -> None:
        """Note that a commit is on its way whose answer will be heard."""
        self._sent.append(time.monotonic())

    def answered(self, *, granted: bool) -> None:
        """Note an answer.

        Answers come in the order of the commits but for those that fail before they are sent. So a grant counts as that of the oldest,
        a refusal as that of the newest, and no proof is taken for newer than it is; one that never comes makes each a commit older.
        """
        if self._sent and granted:
            self.granted(self._sent.popleft())
        elif self._sent:
            self._sent.pop()

    def forget(self) -> None:
        """Begin anew with another client, which is another member: answers to the former one do not come any more."""
        self._sent.clear()
        self._granted_at = -float("inf")
