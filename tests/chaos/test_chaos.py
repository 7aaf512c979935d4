"""A short selection of `make chaos`, in one world: the whole is `python -m tests.chaos`."""

from __future__ import annotations

import pytest

from tests.chaos.faults.catalogue import FAULTS, SHORT
from tests.chaos.runner import Runner
from tests.chaos.world import world

pytestmark = [pytest.mark.process, pytest.mark.kafka, pytest.mark.clickhouse, pytest.mark.timeout(400)]


def test_a_short_selection_of_faults_violates_nothing() -> None:
    """Kills of dispatchers, sink and ClickHouse, a zombie, receivers that break: nothing lost, rows = attempts, duplicates bounded."""
    with world(seed=7) as found:
        runner = Runner(found, seed=7)
        lines = [runner.play(FAULTS[name]()) for name in SHORT]
    assert [(line.fault, violation) for line in lines for violation in line.violations] == []
    assert all(line.events > 20 for line in lines)
    assert sum(line.kills for line in lines) >= 8
    assert sum(line.lost for line in lines) == 0
    assert lines[-1].rows == lines[-1].attempts > 100


def test_every_fault_has_a_name_of_its_own() -> None:
    """`FAULT=NAME` finds one fault, and says what it does."""
    made = {name: make() for name, make in FAULTS.items()}
    assert all(fault.name == name and fault.what for name, fault in made.items())
    assert set(SHORT) <= set(FAULTS)
