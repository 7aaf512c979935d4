"""Who follows a member that died joins when Kafka has forgotten it, and says so until then."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest

from hookline.dispatcher.joining import Joining
from hookline.kernel import kafka
from hookline.kernel.config import load
from hookline.kernel.errors import BrokerUnavailable
from tests.dispatcher.intake_desk import Desk

pytestmark = pytest.mark.unit

FORMER = "hookline-dead"


class Clock:
    """A clock that stands still until it is set."""

    def __init__(self) -> None:
        self.now = 0.0

    def monotonic(self) -> float:
        """Return the time."""
        return self.now


class Group:
    """What Kafka says of a group's members; None: nothing."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *members: str) -> None:
        self.members: frozenset[str] | None = frozenset(members)
        self.asked: list[str] = []
        monkeypatch.setattr(kafka, "members_of", self._answer)
        self.clock = Clock()
        monkeypatch.setattr("hookline.dispatcher.joining._ASK_S", 0.02)
        monkeypatch.setattr("hookline.dispatcher.joining.time", self.clock)

    def _answer(self, _config: kafka.KafkaConfig, group: str) -> frozenset[str]:
        self.asked.append(group)
        if self.members is None:
            raise BrokerUnavailable("Kafka does not answer")
        return self.members


def joining(former: str = FORMER, **environ: str) -> Joining:
    """Return a gate that asks, with sessions of a second."""
    settings = {
        "KAFKA_BOOTSTRAP_SERVERS": "nowhere:1",
        "HOOKLINE_SESSION_TIMEOUT_MS": "1000",
        "HOOKLINE_GROUP_PROTOCOL": "classic",
    } | environ
    made = Joining(load(kafka.KafkaConfig, settings), "dispatch", former)
    made.start()
    return made


def test_it_waits_until_the_dead_one_is_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    """With others in the group, which go on committing meanwhile; `/readyz` says why."""
    group = Group(monkeypatch, FORMER, "hookline-alive")
    gate = joining()
    assert not gate.wait(0.3)
    assert "not forgotten" in gate.complaint()
    group.members = frozenset({"hookline-alive"})
    assert gate.wait(20)
    assert gate.complaint() == ""
    assert set(group.asked) == {"dispatch"}


@pytest.mark.parametrize(
    ("former", "members"),
    [("", (FORMER, "hookline-alive")), (FORMER, ("hookline-alive", "hookline-b")), (FORMER, (FORMER,)), (FORMER, ())],
    ids=["nobody died", "it left", "it was alone", "the group is empty"],
)
def test_there_is_nothing_to_wait_for(monkeypatch: pytest.MonkeyPatch, former: str, members: tuple[str, ...]) -> None:
    """Then the groups are joined at once."""
    Group(monkeypatch, *members)
    assert joining(former).wait(20)


def test_nobody_waits_under_kip_848(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its members commit beside each other's joining: Kafka is not asked."""
    group = Group(monkeypatch, FORMER, "hookline-alive")
    assert joining(HOOKLINE_GROUP_PROTOCOL="consumer").wait(20)
    assert group.asked == []


@pytest.mark.parametrize("members", [(FORMER, "hookline-alive"), None], ids=["it never goes", "Kafka is silent"])
def test_nobody_waits_for_ever(monkeypatch: pytest.MonkeyPatch, members: tuple[str, ...] | None) -> None:
    """Two sessions, and then the groups are joined; not before one is over."""
    group = Group(monkeypatch)
    group.members = None if members is None else frozenset(members)
    gate = joining()
    _until(lambda: bool(group.asked))
    group.clock.now = 1.9
    asked = len(group.asked)
    _until(lambda: len(group.asked) > asked + 3)
    assert not gate.wait(0.2)
    group.clock.now = 2.0
    assert gate.wait(20)


def test_an_error_of_ours_keeps_nobody_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """What nobody foresaw ends the asking, and the groups are joined."""
    Group(monkeypatch, FORMER, "hookline-alive")

    def fail(*_: object) -> frozenset[str]:
        raise RuntimeError("unforeseen")

    monkeypatch.setattr(kafka, "members_of", fail)
    assert joining().wait(20)


def test_nobody_joins_after_a_stop(monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that is told to stop while it waits asks no more, and the gate stays shut, though the dead one goes."""
    group = Group(monkeypatch, FORMER, "hookline-alive")
    gate = joining()
    gate.stop()
    group.members = frozenset()
    asked = len(group.asked)
    assert not gate.wait(0.3)
    assert len(group.asked) == asked


def test_an_intake_subscribes_when_the_gate_opens(monkeypatch: pytest.MonkeyPatch) -> None:
    """Until then it has no consumer, is well, and stops at once."""
    group = Group(monkeypatch, FORMER, "hookline-alive")
    desk, idle = Desk(), Desk()
    made: list[bool] = []
    desk.consumer.subscribe = lambda *_a, **_k: made.append(True)
    monkeypatch.setattr("hookline.kernel.kafka.group_consumer", lambda *_a, **_k: desk.consumer)
    gate = joining()
    desk.intake.start(gate)
    idle.intake.start(gate)
    time.sleep(0.3)
    assert made == []
    assert desk.intake.complaint() == ""
    idle.intake.stop()
    group.members = frozenset()
    _until(lambda: made == [True])
    desk.intake.stop()
    assert made == [True]


def _until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)
