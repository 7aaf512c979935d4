"""Every fault, in the order of a full run, and the few that every test run takes."""

from __future__ import annotations

from typing import Final

from tests.chaos.faults import brokers, clocks, kills, names, poison, receivers, registries, stops, terms, warehouses
from tests.chaos.faults.fault import Fault

FAULTS: Final[tuple[type[Fault], ...]] = (
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
    terms.TermClickHouseAway,
    terms.TermBrokerSlow,
    terms.TermFlooded,
    terms.TermInStorm,
    terms.TermBadManners,
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
    names.NamesFlip,
    clocks.ClockJumpDispatcher,
    clocks.ClockJumpAll,
    receivers.FewFiles,
    receivers.LogsFull,
)
SHORT: Final = ("kill-each", "freeze-dispatcher", "receivers-break")
"""What every test run plays."""
BY_NAME: Final = {fault.name: fault for fault in FAULTS}
