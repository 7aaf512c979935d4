"""`hookline topics plan` and `apply` over the real broker."""

from __future__ import annotations

import io
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka.admin import (  # type: ignore[attr-defined]  # public by its documentation
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
)

from hookline.kernel import kafka
from hookline.kernel.config import load
from hookline.kernel.kafka import KafkaConfig
from hookline.schemas.topics import SCHEMAS, Topics, TopicsConfig, create, specs

pytestmark = pytest.mark.kafka


@pytest.fixture(autouse=True)
def prefix(kafka_environ: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> str:
    """Give the test topics of its own, each with two partitions, events kept for 30 days; return their prefix."""
    found = {**kafka_environ, "HOOKLINE_TOPIC_PREFIX": f"t{os.urandom(4).hex()}", "HOOKLINE_RETRY_TIERS": "1s"}
    found |= {f"HOOKLINE_{kind}_PARTITIONS": "2" for kind in ("EVENT", "RETRY", "ATTEMPT")}
    for name, value in found.items():
        monkeypatch.setenv(name, value)
    create(load(KafkaConfig, found), specs(Topics(found["HOOKLINE_TOPIC_PREFIX"]), load(TopicsConfig, found)), 1)
    return found["HOOKLINE_TOPIC_PREFIX"]


def test_nothing_differs(hookline: Callable[..., Any]) -> None:
    """What `create` has made is as it should be: an empty plan, status 0 even with --detailed-exitcode."""
    planned = hookline("topics", "plan", "--detailed-exitcode")
    assert planned.status == 0, planned
    assert "as they should be" in planned.out
    assert hookline("topics", "apply", "--json").json == []


def test_what_differs_is_shown_and_mended(hookline: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, prefix: str) -> None:
    """More partitions, another retention, one more tier: planned, made, and gone from the next plan; a plan makes nothing."""
    monkeypatch.setenv("HOOKLINE_ATTEMPT_PARTITIONS", "4")
    monkeypatch.setenv("HOOKLINE_RETENTION_DAYS", "3")
    monkeypatch.setenv("HOOKLINE_RETRY_TIERS", "1s,5s")
    planned = hookline("topics", "plan", "--detailed-exitcode", "--json")
    assert planned.status == 2
    rows = {(row["topic"].removeprefix(f"{prefix}."), row["what"]): (row["action"], row["now"], row["wanted"]) for row in planned.json}
    assert rows["attempts", "partitions"] == ("change", "2", "4")
    assert rows["events.orders", "retention.ms"] == ("change", "2592000000", "259200000")
    assert rows["retry.5s", "partitions"] == ("create", "", "2")
    assert hookline("topics", "plan", "--json").json == planned.json
    applied = hookline("topics", "apply", "--yes", "--json")
    assert applied.status == 0, applied
    assert applied.json == planned.json
    assert hookline("topics", "plan", "--detailed-exitcode").status == 0


def test_a_setting_that_was_changed_is_set_back(hookline: Callable[..., Any], prefix: str) -> None:
    """Two acknowledgements asked of one copy refuse every write: the plan shows it, apply mends it."""
    admin = kafka.admin(load(KafkaConfig, dict(os.environ)))
    entry = ConfigEntry("min.insync.replicas", "2", incremental_operation=AlterConfigOpType.SET)
    resource = ConfigResource(ConfigResource.Type.TOPIC, f"{prefix}.attempts", incremental_configs=[entry])
    for future in admin.incremental_alter_configs([resource]).values():
        future.result(30)
    deadline = time.monotonic() + 60  # a broker tells of a setting a moment after the controller has taken it
    while not hookline("topics", "plan", "--json").json and time.monotonic() < deadline:
        time.sleep(0.05)
    assert hookline("topics", "apply", "--yes", "--json").json == [
        {"action": "change", "topic": f"{prefix}.attempts", "what": "min.insync.replicas", "now": "2", "wanted": "1"}
    ]
    assert hookline("topics", "plan", "--detailed-exitcode").status == 0


def test_what_cannot_be_mended_is_left(hookline: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, prefix: str) -> None:
    """Partitions are not taken away and copies are not moved: status 1, said what to do, in a plan too, the rest made all the same."""
    monkeypatch.setenv("HOOKLINE_ATTEMPT_PARTITIONS", "1")
    monkeypatch.setenv("HOOKLINE_RETENTION_DAYS", "3")
    applied = hookline("topics", "apply", "--yes")
    assert applied.status == 1
    assert "by hand" in applied.out
    assert "1 left as they are." in applied.err
    assert "Kafka takes no partitions away: set HOOKLINE_ATTEMPT_PARTITIONS=2, the number there is." in applied.err
    assert "HOOKLINE_ATTEMPT_PARTITIONS=2" in hookline("topics", "plan").err
    left = hookline("topics", "plan", "--json").json
    assert [(row["topic"], row["what"], row["action"]) for row in left] == [(f"{prefix}.attempts", "partitions", "by hand")]


def test_a_no_changes_nothing(hookline: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, prefix: str) -> None:
    """Without --yes it asks first, and says what would be lost."""
    monkeypatch.setenv("HOOKLINE_RETENTION_DAYS", "3")
    monkeypatch.setattr("sys.stdin", io.StringIO("n\n"))
    before = hookline("topics", "plan", "--json").json
    applied = hookline("topics", "apply")
    assert applied.status == 1
    assert f"{prefix}.events.orders: records older than 3.0 days will be deleted for good." in applied.err
    assert hookline("topics", "plan", "--json").json == before


def test_a_longer_retention_warns_of_nothing(hookline: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """Only what deletes is warned of."""
    monkeypatch.setenv("HOOKLINE_RETENTION_DAYS", "300")
    applied = hookline("topics", "apply", "--yes")
    assert applied.status == 0
    assert "deleted" not in applied.err


def test_a_dump_is_for_its_owner_alone(hookline: Callable[..., Any], tmp_path: Path) -> None:
    """Hashes of passwords, and events with --all: private files, in a folder that was there and over an older half too."""
    folder = tmp_path / "there"
    folder.mkdir(mode=0o755)
    for name in (f"{SCHEMAS}.jsonl.gz.part", "users.jsonl.gz"):
        (folder / name).touch(mode=0o644)
    assert hookline("topics", "dump", "--to", str(folder), "--all").status == 0
    assert hookline("topics", "dump", "--to", str(tmp_path / "new")).status == 0
    assert len(list(folder.iterdir())) > len(list((tmp_path / "new").iterdir())) == 7
    assert {path.stat().st_mode & 0o777 for path in (*folder.iterdir(), *(tmp_path / "new").iterdir())} == {0o600}
    assert (tmp_path / "new").stat().st_mode & 0o777 == 0o700


def test_a_dump_comes_back_under_another_prefix(
    hookline: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, tmp_path: Path, prefix: str
) -> None:
    """`_schemas` has no prefix and is not empty: the error says what to do, and that works; newer erasures go with an older copy."""
    client = kafka.producer(load(KafkaConfig, dict(os.environ)), message_max_bytes=1_000_000)
    client.produce(f"{prefix}.users", key=b"usr_1", value=b"somebody")
    assert client.flush(30) == 0
    folder = tmp_path / "copy"
    assert hookline("topics", "dump", "--to", str(folder)).status == 0
    client.produce(f"{prefix}.erasures", key=b"evt_1", value=b"erased after the copy")
    assert client.flush(30) == 0
    assert hookline("topics", "dump", "--to", str(tmp_path / "newer")).status == 0
    (tmp_path / "newer" / "erasures.jsonl.gz").replace(folder / "erasures.jsonl.gz")
    other = f"{prefix}-again"
    monkeypatch.setenv("HOOKLINE_TOPIC_PREFIX", other)
    assert hookline("topics", "create").status == 0
    refused = hookline("topics", "restore", "--from", str(folder))
    assert refused.status == 2
    assert "_schemas is not empty" in refused.err
    assert "move _schemas.jsonl.gz out of the folder first" in refused.err
    (folder / "_schemas.jsonl.gz").rename(tmp_path / "aside")
    restored = hookline("topics", "restore", "--from", str(folder), "--json")
    assert restored.status == 0, restored
    records = {row["topic"]: row["records"] for row in restored.json}
    assert (records[f"{other}.users"], records[f"{other}.erasures"]) == (1, 1)
    again = hookline("topics", "restore", "--from", str(folder))
    assert again.status == 2
    assert "Restore into a new cluster, or under another HOOKLINE_TOPIC_PREFIX." in again.err
    [found] = kafka.scan(load(KafkaConfig, dict(os.environ)), [f"{other}.users"])
    assert (found.key(), found.value()) == (b"usr_1", b"somebody")
