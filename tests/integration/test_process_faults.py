"""Dispatchers that come and go, are killed, stand still and are told to stop, all under load: nothing is lost."""

from __future__ import annotations

import signal
import subprocess
import time
from collections.abc import Callable
from typing import Any

import pytest

from tests.integration.load import Load
from tests.losing import LOSING

pytestmark = [pytest.mark.kafka, pytest.mark.process]

Pipeline = Any  # the fixture's class stands in conftest.py
Until = Callable[..., None]


def at_work(pipeline: Pipeline, process: Any) -> bool:
    """Tell whether a dispatcher has partitions of the event topics and is well."""
    return bool(pipeline.ready(process)) and pipeline.metric(process, "hookline_dispatcher_rebalances_total") > 0


def two_at_work(pipeline: Pipeline, until: Until) -> list[Any]:
    """Return two dispatchers that share the work."""
    both = [pipeline.start_dispatcher(), pipeline.start_dispatcher()]
    until(lambda: all(at_work(pipeline, one) for one in both), what="both dispatchers at work")
    given = 'hookline_dispatcher_rebalances_total{source="events",what="given"}'  # the later one has some when the group has settled
    until(lambda: all(pipeline.metric(one, given) > 0 for one in both), what="the events shared")
    return both


def everything(pipeline: Pipeline, webhook: Any, events: list[Any], until: Until, timeout_s: float = 60) -> Any:
    """Wait until all of it has arrived; return the account."""
    until(lambda: not pipeline.account("hook", webhook, events).lost, timeout_s=timeout_s, what="every event delivered")
    return pipeline.account("hook", webhook, events)


def test_a_rebalance_under_load_loses_nothing(pipeline: Pipeline, until: Until) -> None:
    """A second dispatcher joins, leaves and joins again while events flow: none is lost, and hardly one comes twice."""
    webhook = pipeline.create("hook")
    first = pipeline.start_dispatcher()
    until(lambda: at_work(pipeline, first), what="the first dispatcher at work")
    with Load(pipeline) as load:
        for _ in range(2):
            second = pipeline.start_dispatcher()
            until(lambda one=second: at_work(pipeline, one), what="the second dispatcher at work")
            load.run_for(1.0)
            second.send_signal(signal.SIGTERM)
            assert second.wait(40) == 0
            load.run_for(0.5)
        until(lambda: len(load.events) > 300, what="events enough")
    account = everything(pipeline, webhook, load.events, until)
    assert account.delivered == len(load.events) > 300
    assert account.duplicates <= len(load.events) // 20
    assert first.poll() is None


def test_a_killed_dispatcher_loses_nothing(pipeline: Pipeline, until: Until) -> None:
    """Killed three times in the middle of its work: every event arrives, twice only what was under way or not yet committed."""
    pipeline.environ["HOOKLINE_SESSION_TIMEOUT_MS"] = "3000"
    webhook = pipeline.create("hook")
    running = two_at_work(pipeline, until)
    with Load(pipeline) as load:
        for number in range(3):
            before = len(pipeline.receiver.calls)
            until(lambda least=before + 30: len(pipeline.receiver.calls) > least, what="calls between the kills")
            victim = running[number % 2]
            victim.kill()
            victim.wait(10)
            running[number % 2] = pipeline.start_dispatcher()
    account = everything(pipeline, webhook, load.events, until)
    assert account.delivered == len(load.events)
    assert account.duplicates <= 3 * 400  # at most what two seconds bring, per kill
    assert pipeline.letters() == []


@pytest.mark.parametrize("protocol", ["consumer", "classic"])
def test_two_dispatchers_killed_within_one_session_repeat_no_more_than_one_by_one(pipeline: Pipeline, until: Until, protocol: str) -> None:
    """The other's commits work while the first one joins again: in a classic group it waits until Kafka has forgotten its former life."""
    pipeline.environ |= {"HOOKLINE_SESSION_TIMEOUT_MS": "15000", "HOOKLINE_GROUP_PROTOCOL": protocol}
    webhook = pipeline.create("hook")
    both = two_at_work(pipeline, until)
    with Load(pipeline) as load:
        until(lambda: len(pipeline.receiver.calls) > 200, what="calls")
        idle, busy = sorted(both, key=lambda one: pipeline.metric(one, "hookline_dispatcher_attempts_total"))
        idle.kill()
        idle.wait(10)
        again = pipeline.start_dispatcher()
        waits = protocol == "classic"
        until(lambda: "joined then" in pipeline.page(again, "/readyz")[1] if waits else pipeline.ready(again), what="the first one again")
        load.run_for(5.0)
        until(lambda: len(load.events) > 1_000, what="events enough")
        busy.kill()
        busy.wait(10)
        pipeline.start_dispatcher()
    account = everything(pipeline, webhook, load.events, until)
    assert account.delivered == len(load.events) > 1_000
    assert account.duplicates <= 300  # about a second; it was 800, all since the first one had joined
    assert ("dispatcher.joins_later" in (pipeline.folder / "dispatcher.2.log").read_text()) == waits


def test_lost_clients_are_replaced_while_the_process_goes_on(pipeline: Pipeline, until: Until) -> None:
    """All consumers of a dispatcher are lost in full swing: others take their places, every event arrives, so does a later webhook."""
    webhook = pipeline.create("hook")
    process = pipeline.start_dispatcher(**LOSING)
    until(lambda: at_work(pipeline, process), what="the dispatcher at work")
    given = pipeline.metric(process, "hookline_dispatcher_rebalances_total")
    with Load(pipeline) as load:
        load.run_for(1.0)
        process.send_signal(signal.SIGUSR1)
        load.run_for(1.0)
        until(lambda: len(load.events) > 200, what="events enough")
    account = everything(pipeline, webhook, load.events, until)
    assert account.delivered == len(load.events) > 200
    assert account.duplicates <= 200  # what a second brings
    until(lambda: pipeline.metric(process, "hookline_dispatcher_rebalances_total") >= 3 * given, what="all taken and given anew")
    later = pipeline.create("later")
    more = pipeline.publish(count=20)
    until(lambda: not pipeline.account("later", later, more).lost, what="events for the new webhook")
    assert pipeline.ready(process)
    process.terminate()
    assert process.wait(40) == 0


def test_a_zombie_sends_nothing_when_it_wakes(pipeline: Pipeline, until: Until) -> None:
    """A dispatcher that stood still while another took its partitions over does not go on with what it had in hand."""
    # No parking: what is parked and not committed comes twice too, and hides what this is about.
    pipeline.environ |= {"HOOKLINE_SESSION_TIMEOUT_MS": "3000", "HOOKLINE_LANE_CONCURRENCY": "4", "HOOKLINE_LANE_QUEUE": "5000"}
    pipeline.environ["HOOKLINE_LANE_WAIT_S"] = "60"
    webhook = pipeline.create("hook")
    pipeline.receiver.delays["hook"] = 0.05
    zombie = pipeline.start_dispatcher()
    until(lambda: at_work(pipeline, zombie), what="the dispatcher at work")
    events = pipeline.publish(count=1_000)  # twelve seconds' work: those in hand are seen though this machine is slow
    until(lambda: len(pipeline.receiver.calls) > 50, what="calls under way")
    until(lambda: pipeline.metric(zombie, "hookline_dispatcher_pending_records") > 300, what="hundreds of events in hand")
    zombie.send_signal(signal.SIGSTOP)
    time.sleep(0.5)  # what it had written arrives
    sent = len(pipeline.receiver.calls)
    heir = pipeline.start_dispatcher()
    account = everything(pipeline, webhook, events, until)
    before = len(pipeline.receiver.calls)
    assert account.duplicates <= sent
    zombie.send_signal(signal.SIGCONT)
    until(lambda: pipeline.ready(zombie), what="the zombie back at work")
    time.sleep(1.5)
    assert len(pipeline.receiver.calls) - before <= 8, "more than the calls that were under way"
    more = pipeline.publish(count=50)
    everything(pipeline, webhook, more, until)
    assert (zombie.poll(), heir.poll()) == (None, None)


def test_a_stop_under_load_finishes_what_it_began(pipeline: Pipeline, until: Until) -> None:
    """SIGTERM in full swing: status 0, and the successor repeats next to nothing."""
    webhook = pipeline.create("hook")
    first = pipeline.start_dispatcher()
    until(lambda: at_work(pipeline, first), what="the dispatcher at work")
    with Load(pipeline, per_s=300) as load:
        until(lambda: len(pipeline.receiver.calls) > 100, what="calls")
        first.send_signal(signal.SIGTERM)
        assert first.wait(40) == 0
        pipeline.start_dispatcher()
    account = everything(pipeline, webhook, load.events, until)
    assert account.duplicates <= 3
    assert "dispatcher.stopped" in (pipeline.folder / "dispatcher.0.log").read_text()
    assert "undrained" not in (pipeline.folder / "dispatcher.0.log").read_text()


def test_the_second_signal_ends_a_drain_at_once(pipeline: Pipeline, until: Until) -> None:
    """A drain that waits for a hanging call is cut short by a second signal; the call is made again by the next dispatcher."""
    webhook = pipeline.create("hook", timeout_s=30.0)
    pipeline.receiver.delays["hook"] = 25.0
    first = pipeline.start_dispatcher()
    until(lambda: at_work(pipeline, first), what="the dispatcher at work")
    events = pipeline.publish()
    until(lambda: pipeline.receiver.calls, what="the call")
    first.send_signal(signal.SIGTERM)
    with pytest.raises(subprocess.TimeoutExpired):
        first.wait(1.5)
    first.send_signal(signal.SIGTERM)
    assert first.wait(20) == 130
    pipeline.receiver.delays.clear()
    pipeline.start_dispatcher()
    until(lambda: pipeline.account("hook", webhook, events).duplicates == 1, what="the call again")
