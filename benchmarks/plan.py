"""What a rate of deliveries takes, from a result of `make bench`: `python -m benchmarks.plan RESULT.json [--rate 1000000]`.

Each part runs at a share of what it was measured at, so that a lost machine or a peak does not fill it; the broker's cost is the
embedded one's, one copy of each record, and is multiplied by the copies.
"""

from __future__ import annotations

import argparse
import math
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

from benchmarks.compare import read
from benchmarks.repeats import Values

_NEEDED = ("dispatcher-us", "sink", "ingest-batch", "batch-broker")
_MILLION = 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What is planned for, and what is assumed.

    `busy`: share of a core that is to be used. `copies`: of each record on Kafka. `event_bytes`, `attempt_bytes`: on Kafka, before
    compression. `call_bytes`: of a call and its answer on the network. `core_hour`: price of a core for an hour, any currency.
    """

    rate: float = 1_000_000
    busy: float = 0.6
    fan_out: float = 1.0
    copies: int = 3
    broker_cores: int = 16
    shard_cores: int = 16
    event_bytes: int = 600
    attempt_bytes: int = 1_000
    call_bytes: int = 1_900
    core_hour: float = 0.04


def plan(result: Values, wanted: Plan) -> list[tuple[str, str]]:
    """Return the table's rows; end the program when the result lacks a figure that the plan stands on."""
    if missing := [key for key in _NEEDED if key not in result["figures"]]:
        raise SystemExit(f"the result lacks {', '.join(missing)}; make one with `make bench`")
    found = {key: float(result["figures"][key]["median"]) for key in _NEEDED}
    events = wanted.rate / wanted.fan_out
    cores = {
        "ingest (in batches)": events / found["ingest-batch"],
        "dispatcher": wanted.rate * found["dispatcher-us"] / 1e6,
        "sink": wanted.rate / found["sink"],
        "brokers": wanted.rate * found["batch-broker"] / 1e6 * wanted.copies,
    }
    used = {name: math.ceil(value / wanted.busy) for name, value in cores.items()}
    kafka_bytes = events * wanted.event_bytes + wanted.rate * wanted.attempt_bytes
    total = sum(used.values())
    return [
        ("deliveries/s", f"{wanted.rate:,.0f}, {wanted.fan_out:g} per event"),
        *((f"cores: {name}", f"{value:,}") for name, value in used.items()),
        ("dispatchers = partitions of the busiest event topic, at least", f"{used['dispatcher']:,}"),
        (f"brokers of {wanted.broker_cores} cores, at least", f"{max(wanted.copies, math.ceil(used['brokers'] / wanted.broker_cores)):,}"),
        (f"ClickHouse shards of {wanted.shard_cores} cores", f"{math.ceil(used['sink'] / wanted.shard_cores):,}"),
        ("network of the calls", f"{wanted.rate * wanted.call_bytes * 8 / 1e9:,.1f} Gbit/s"),
        ("written to Kafka, all copies", f"{kafka_bytes * wanted.copies / 1e9:,.2f} GB/s"),
        ("cores in all", f"{total:,}"),
        (
            "cost per million deliveries",
            f"{total * wanted.core_hour / 3_600 / wanted.rate * _MILLION:.4f} at {wanted.core_hour:g} a core-hour",
        ),
    ]


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.plan", description=__doc__)
    default = Plan()
    parser.add_argument("result", type=Path)
    parser.add_argument("--rate", type=float, default=default.rate, help="deliveries a second (default 1,000,000)")
    parser.add_argument("--fan-out", type=float, default=default.fan_out, help="deliveries per event (default 1)")
    parser.add_argument("--busy", type=float, default=default.busy, help="share of each core to be used (default 0.6)")
    parser.add_argument("--core-hour", type=float, default=default.core_hour, help="price of a core for an hour (default 0.04)")
    chosen = parser.parse_args()
    if min(chosen.rate, chosen.fan_out, chosen.core_hour) <= 0 or not 0 < chosen.busy <= 1:
        parser.error("--rate, --fan-out and --core-hour must be above 0, --busy above 0 and at most 1")
    wanted = Plan(rate=chosen.rate, fan_out=chosen.fan_out, busy=chosen.busy, core_hour=chosen.core_hour)
    table = Table("what", "how much", title=f"from {chosen.result.name}")
    for line in plan(read(chosen.result), wanted):
        table.add_row(*line)
    Console().print(table)


if __name__ == "__main__":
    main()
