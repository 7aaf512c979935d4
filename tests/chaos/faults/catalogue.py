"""Every fault, in the order of a full run, and the few that every test run takes."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Final

from tests.chaos.faults import brokers, clocks, kills, limits, names, poison, receivers, registries, stops, terms, warehouses
from tests.chaos.faults.fault import Fault
from tests.chaos.faults.with_term import SUFFIX, WithTerm

_PLAIN: Final[tuple[type[Fault], ...]] = (
    kills.KillEach,
    kills.KillDispatchers,
    kills.KillAllDispatchers,
    kills.KillIngest,
    kills.KillSink,
    kills.KillConsole,
    kills.KillReceivers,
    kills.KillAnybody,
    kills.TermEverybody,
    kills.TermEarly,
    terms.TermBrokerFrozen,
    terms.TermHanging,
    terms.TermFlooded,
    kills.RebalanceStorm,
    stops.FreezeDispatcher,
    stops.FreezeBriefly,
    stops.FreezeAllDispatchers,
    stops.FreezeSink,
    stops.FreezeDoors,
    stops.FreezeReceiver,
    brokers.KillBroker,
    brokers.StopBroker,
    brokers.FreezeBroker,
    brokers.SlowBroker,
    brokers.BrokerDiskFull,
    warehouses.KillInInsert,
    warehouses.KillSinkInInsert,
    warehouses.ClickHouseAway,
    warehouses.ClickHouseRefuses,
    warehouses.ClickHouseMute,
    warehouses.FreezeClickHouse,
    warehouses.ClickHouseDiskFull,
    warehouses.BadAttempts,
    warehouses.RowRefused,
    poison.PoisonRecords,
    poison.PoisonFlood,
    poison.DeadlyRecord,
    poison.CorruptState,
    poison.OddEvents,
    registries.RegistryAway,
    receivers.Hanging,
    receivers.Breaking,
    receivers.Endless,
    receivers.Redirecting,
    receivers.Gone,
    receivers.Impatient,
    receivers.DeadWebhooks,
    receivers.Recovering,
    names.NamesFlip,
    clocks.ClockJumpDispatcher,
    clocks.ClockJumpAll,
    limits.FewFiles,
    limits.LittleMemory,
    limits.LogsFull,
)
_TERM_ALREADY: Final = (
    kills.TermEverybody,
    kills.TermEarly,
    terms.TermBrokerFrozen,
    terms.TermHanging,
    terms.TermFlooded,
    poison.PoisonFlood,  # its restarts are SIGTERMs; amid the flood: terms.TermFlooded
)
"""Faults that are SIGTERMs themselves."""


def _with_term(fault: type[Fault]) -> Fault:
    return WithTerm(fault())


FAULTS: Final[dict[str, Callable[[], Fault]]] = {
    **{fault.name: fault for fault in _PLAIN},
    **{f"{fault.name}{SUFFIX}": partial(_with_term, fault) for fault in _PLAIN if fault not in _TERM_ALREADY},
}
"""Name → what makes it, in the order of a full run: each fault as it is, then each with SIGTERM in the middle of it."""
SHORT: Final = ("kill-each", "freeze-dispatcher", "receivers-break+term")
"""What every test run plays."""
