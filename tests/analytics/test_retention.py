"""How long rows of the log, and the answers in them, are kept: by settings, on tables that are there already too."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from hookline.analytics import migrate
from hookline.analytics.client import ClickHouse
from hookline.kernel import kafka
from hookline.kernel.config import load
from hookline.kernel.errors import ConfigError
from hookline.kernel.kafka import KafkaConfig
from hookline.schemas.records import Attempt
from hookline.schemas.topics import DAY_MS, Topics, TopicsConfig, create, retain, retentions, specs

Fill = Callable[[Sequence[Attempt]], None]
Rig = Any  # the fixture's class stands in conftest.py
DAY_US = 86_400_000_000


@pytest.mark.clickhouse
def test_answers_go_before_their_rows(warehouse: ClickHouse, fill: Fill, rig: Rig) -> None:
    """With 3 days for answers and 10 for the log: a young row is whole, an older one has lost what was answered, an old one is gone."""
    now_us = time.time_ns() // 1_000
    ages = {"att_young": 1, "att_older": 5, "att_old": 20}
    texts = {"response_body": b"thanks, Ann", "response_headers": "x: Ann"}
    fill([rig.attempt(attempt_id=name, attempted_at_us=now_us - days * DAY_US, **texts) for name, days in ages.items()])
    migrate.up_as_configured(warehouse, {"HOOKLINE_LOG_DAYS": "10", "HOOKLINE_ANSWER_DAYS": "3"})
    warehouse.execute("ALTER TABLE attempts MATERIALIZE TTL SETTINGS mutations_sync = 2")
    warehouse.execute("OPTIMIZE TABLE attempts FINAL")
    rows = warehouse.rows("SELECT attempt_id, response_body, response_headers, http_status FROM attempts ORDER BY attempted_at DESC")
    assert [(row["attempt_id"], row["response_body"], row["response_headers"]) for row in rows] == [
        ("att_young", "thanks, Ann", "x: Ann"),
        ("att_older", "", ""),
    ]
    assert all(row["http_status"] for row in rows)


@pytest.mark.unit
def test_what_is_configured() -> None:
    """The log is kept as long as events unless it has a setting of its own; nonsense is refused with the variable's name."""
    assert migrate.Retention.read({}) == migrate.Retention(log_days=30, answer_days=30)
    assert migrate.Retention.read({"HOOKLINE_RETENTION_DAYS": "7"}).log_days == 7
    assert migrate.Retention.read({"HOOKLINE_RETENTION_DAYS": "7", "HOOKLINE_LOG_DAYS": "90"}).log_days == 90
    for name, text in (("HOOKLINE_LOG_DAYS", "0"), ("HOOKLINE_LOG_DAYS", "x"), ("HOOKLINE_ANSWER_DAYS", "-1")):
        with pytest.raises(ConfigError, match=name):
            migrate.Retention.read({name: text})


@pytest.mark.kafka
def test_topics_that_exist_are_told_a_new_retention(kafka_environ: dict[str, str], until: Callable[..., None]) -> None:
    """Making topics changes none that is there; `retain` does, only where it differs, and leaves compacted topics and the audit alone."""
    prefix = f"t{os.urandom(4).hex()}"
    config = load(KafkaConfig, {**kafka_environ, "HOOKLINE_TOPIC_PREFIX": prefix})
    settings = {"HOOKLINE_EVENT_PARTITIONS": "1", "HOOKLINE_RETRY_PARTITIONS": "1", "HOOKLINE_RETRY_TIERS": "1s"}

    def wanted(days: int) -> list[Any]:
        return specs(Topics(prefix), load(TopicsConfig, {**settings, "HOOKLINE_RETENTION_DAYS": str(days)}))

    create(config, wanted(30), 1)
    other = [kept for kept in retentions(config, wanted(7)) if kept.now_ms != kept.wanted_ms]
    assert {(kept.now_ms, kept.wanted_ms) for kept in other} == {(30 * DAY_MS, 7 * DAY_MS)}
    assert Topics(prefix).events("orders") in {kept.topic for kept in other}
    assert not {Topics(prefix).webhooks, Topics(prefix).audit} & {kept.topic for kept in other}
    retain(config, other)
    until(lambda: {kept.now_ms for kept in retentions(config, wanted(7)) if kept.now_ms > 0} == {7 * DAY_MS}, what="the change seen by all")
    retain(config, [])
    assert kafka.partitions_of(kafka.admin(config), Topics(prefix).webhooks) == 1
