"""Every fault, in the order of a full run, and the few that every test run takes."""

from __future__ import annotations

from typing import Final

from tests.chaos.faults import kills
from tests.chaos.faults.fault import Fault

FAULTS: Final[tuple[type[Fault], ...]] = (
    kills.KillDispatchers,
    kills.KillAllDispatchers,
    kills.KillIngest,
    kills.KillSink,
    kills.KillConsole,
    kills.KillReceivers,
    kills.KillAnybody,
    kills.TermEverybody,
    kills.TermEarly,
    kills.RebalanceStorm,
)
BY_NAME: Final = {fault.name: fault for fault in FAULTS}
