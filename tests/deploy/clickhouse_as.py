"""What one user of ClickHouse does, run by the real engine under that user's rights alone: `clickhouse_as.py FOLDER GRANTS PROFILE WHAT`.

The engine's one user gets the statements of GRANTS (JSON list) and the settings of PROFILE (JSON object, see `profile_xml`) by its
configuration, which is how they are enforced here.
Prints a JSON list of [what was done, the error's code or an empty text].
"""

from __future__ import annotations

import json
import re
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

import clickhouse_connect

from hookline.analytics import migrate
from hookline.analytics.client import ClickHouse
from hookline.analytics.queries import ClickHouseQueries, names, sql
from hookline.analytics.recount import index_events, recount
from hookline.analytics.redaction import Redaction
from hookline.kernel.errors import WarehouseError
from hookline.schemas.erasures import Erasure

ALL = ["GRANT ALL ON *.*"]
NOW_US = time.time_ns() // 1_000
VIEWS = ("v_attempts", "v_deliveries", "v_hourly", "v_daily", "v_event_types")
LIMITED = ("max_execution_time", "max_memory_usage", "max_result_rows")
PRIVATE = ("url", "error_detail", "request_headers", "response_headers", "response_body", "*")
STRANGE = {
    "truncate": "TRUNCATE TABLE attempts",
    "delete": "ALTER TABLE attempts DELETE WHERE 1",
    "move url": "ALTER TABLE attempts UPDATE url = '' WHERE 1",
    "change TTL": "ALTER TABLE attempts MODIFY TTL toDateTime(attempted_at)",
    "create": "CREATE TABLE mine (x Int8) ENGINE = MergeTree ORDER BY x",
    "insert": "INSERT INTO attempts (store_id) VALUES ('x')",
    "fetch": "SELECT * FROM url('http://127.0.0.1:1/', 'CSV', 'x Int8')",
    "read a file": "SELECT * FROM file('/etc/passwd', 'LineAsString', 'x String')",
    "write a file": "INSERT INTO FUNCTION file('out.csv', 'CSV', 'x Int8') VALUES (1)",
    "other server": "SELECT * FROM remote('127.0.0.1:1', system.one)",
    "users": "CREATE USER stranger",
    "grants": "GRANT SELECT ON *.* TO default",
    "drop": "DROP TABLE attempts",
}


LIMITS = {
    **{f"{name} {value}": f"SELECT 1 SETTINGS {name} = {value}" for name in LIMITED for value in (0, 10**12)},
    **{f"SET {name}": f"SET {name} = 0" for name in (*LIMITED, "readonly")},
}
"""What lifts a limit."""


def profile_xml(profile: dict[str, list[str]]) -> str:
    """Return a settings profile; each setting is its value and what holds it: `["60", "min 1", "max 60"]`, `["2", "readonly"]`."""
    held = {name: [one.partition(" ")[::2] for one in rest] for name, (_, *rest) in profile.items()}
    inner = {name: "".join(f"<{what}>{text}</{what}>" for what, text in found) for name, found in held.items()}
    constraints = "".join(f"<{name}>{text}</{name}>" for name, text in inner.items())
    return "".join(f"<{name}>{value}</{name}>" for name, (value, *_) in profile.items()) + f"<constraints>{constraints}</constraints>"


def users_xml(grants: list[str], profile: dict[str, list[str]]) -> str:
    """Return a configuration whose only user has these rights and no others, under this settings profile."""
    lines = "".join(f"<query>{escape(grant)}</query>" for grant in grants)
    user = (
        f"<password></password><networks><ip>::/0</ip></networks><profile>default</profile><quota>default</quota><grants>{lines}</grants>"
    )
    profiles = f"<profiles><default>{profile_xml(profile)}</default></profiles>"
    return f"<clickhouse>{profiles}<quotas><default/></quotas><users><default>{user}</default></users></clickhouse>"


def opened(folder: Path, grants: list[str], profile: dict[str, list[str]]) -> ClickHouse:
    """Open the engine under these rights and this settings profile."""
    users, config = folder / "users.xml", folder / "config.xml"
    users.write_text(users_xml(grants, profile))
    directories = f"<user_directories><users_xml><path>{users}</path></users_xml></user_directories>"
    config.write_text(f"<clickhouse>{directories}<users_config>{users}</users_config></clickhouse>")
    return ClickHouse(lambda: clickhouse_connect.get_client(interface="chdb", path=f"{folder / 'data'}?config-file={config}"))


class Known:
    """One erasure."""

    def all(self) -> list[Erasure]:
        """Return it."""
        return [Erasure(store_id="shop", event_id="evt_1", erased_at_us=NOW_US)]


def sink(client: ClickHouse) -> Iterator[tuple[str, Callable[[], Any]]]:
    """Yield what the sink does with ClickHouse."""
    yield "migrations", lambda: migrate.pending(client)
    yield "settings", lambda: client.rows("SELECT name FROM system.settings LIMIT 1")
    columns = "store_id, webhook_id, attempted_at, attempt_id, event_id, outcome, attempt, response_body, source_topic, source_timestamp"
    values = "'shop', 'wh_1', now64(6), 'att_1', 'evt_1', 'dead', 1, 'ann', 'events.orders', now64(3)"
    yield "attempts", lambda: client.execute(f"INSERT INTO attempts ({columns}) SELECT {values}")
    batch = {"partition": 0, "first": 0, "last": 9, "since_us": NOW_US - 10**10, "until_us": NOW_US + 10**10}
    yield "index", lambda: index_events(client, batch)
    yield (
        "forget sums",
        lambda: client.execute("INSERT INTO attempt_stats_hourly (store_id, hour, records) SELECT 'shop', toStartOfHour(now()), 7"),
    )
    yield "recount", lambda: recount(client, 0, NOW_US - 10**10, NOW_US + 10**10)
    yield "redaction", lambda: Redaction(client, Known()).step(NOW_US)  # type: ignore[arg-type]  # all that it asks of them


def console(client: ClickHouse) -> Iterator[tuple[str, Callable[[], Any]]]:
    """Yield every named query."""
    values = {"String": "x", "Int64": NOW_US, "UInt32": 1, "UInt16": 1}
    for name in sorted(names()):
        kinds = dict(re.findall(r"\{(\w+):(\w+)\}", sql(name)))
        yield name, lambda name=name, kinds=kinds: ClickHouseQueries(client).run(name, {p: values[kind] for p, kind in kinds.items()})  # type: ignore[misc]


def analyst(client: ClickHouse) -> Iterator[tuple[str, Callable[[], Any]]]:
    """Yield every view, whole."""
    for name in VIEWS:
        yield name, lambda name=name: client.rows(f"SELECT * FROM {name} WHERE store_id = 'shop'")  # type: ignore[misc]


def private(client: ClickHouse) -> Iterator[tuple[str, Callable[[], Any]]]:
    """Yield the columns that an analyst has no business with."""
    for name in PRIVATE:
        yield name, lambda name=name: client.rows(f"SELECT {name} FROM attempts")  # type: ignore[misc]


def migrator(client: ClickHouse) -> Iterator[tuple[str, Callable[[], Any]]]:
    """Yield all that `hookline migrate` does: back to nothing, and up again."""
    yield "status", lambda: migrate.status(client)
    yield "down", lambda: migrate.down(client, steps=99)
    yield "up", lambda: migrate.up(client, retention_days=30)


def strange(client: ClickHouse) -> Iterator[tuple[str, Callable[[], Any]]]:
    """Yield what hardly anybody may do."""
    for name, statement in STRANGE.items():
        yield name, lambda statement=statement: client.execute(statement)  # type: ignore[misc]


def limits(client: ClickHouse) -> Iterator[tuple[str, Callable[[], Any]]]:
    """Yield what lifts a limit of the settings profile, and last what keeps within it."""
    for name, statement in LIMITS.items():
        yield name, lambda statement=statement: client.execute(statement)  # type: ignore[misc]
    yield "less", lambda: client.rows("SELECT 1 SETTINGS max_execution_time = 30, max_memory_usage = 1000000000")


def shape(client: ClickHouse) -> Iterator[tuple[str, Callable[[], Any]]]:
    """Yield what an administrator has done before."""
    yield "up", lambda: migrate.up(client, retention_days=30)


def code_of(step: Callable[[], Any]) -> str:
    """Do it; return what went wrong, an empty text when nothing did."""
    try:
        step()
    except WarehouseError as error:
        return error.message
    return ""


def main(folder: str, grants: str, profile: str, what: str) -> None:
    """Do what is asked, under the rights and the profile that are given."""
    client = opened(Path(folder), json.loads(grants), json.loads(profile))
    doing = {
        "shape": shape,
        "sink": sink,
        "console": console,
        "migrator": migrator,
        "strange": strange,
        "analyst": analyst,
        "private": private,
        "limits": limits,
    }
    steps = doing[what]
    sys.stdout.write(json.dumps([(name, code_of(step)) for name, step in steps(client)]) + "\n")


if __name__ == "__main__":
    main(*sys.argv[1:5])
