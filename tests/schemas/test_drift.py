"""Drift of topics: what differs is told, what can be mended is, the rest is left and said."""

from __future__ import annotations

import pytest

from hookline.kernel.config import load
from hookline.schemas.drift import Action, Difference, Found, differences, remedies
from hookline.schemas.topics import Topics, TopicsConfig, TopicSpec, specs

pytestmark = pytest.mark.unit

WANTED = TopicSpec(name="t", partitions=6, config={"retention.ms": "1000", "cleanup.policy": "delete"})
CONFIG = {"retention.ms": "1000", "cleanup.policy": "delete", "min.insync.replicas": "2"}
AS_WANTED = Found(partitions=6, copies=3, config={**CONFIG, "segment.ms": "7"})


def difference(action: Action, what: str, now: str, wanted: str) -> Difference:
    """Return a difference of the topic."""
    return Difference(action=action, topic="t", what=what, now=now, wanted=wanted)


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        ({"t": AS_WANTED}, []),
        ({}, [difference(Action.CREATE, "partitions", "", "6")]),
        (
            {"t": Found(partitions=3, copies=3, config=AS_WANTED.config)},
            [difference(Action.CHANGE, "partitions", "3", "6")],
        ),
        (
            {"t": Found(partitions=9, copies=2, config=AS_WANTED.config)},
            [difference(Action.BY_HAND, "partitions", "9", "6"), difference(Action.BY_HAND, "copies", "2", "3")],
        ),
        (
            {"t": Found(partitions=6, copies=3, config={**CONFIG, "retention.ms": "-1"})},
            [difference(Action.CHANGE, "retention.ms", "-1", "1000")],
        ),
        (
            {"t": Found(partitions=6, copies=3, config={**CONFIG, "min.insync.replicas": "1"})},
            [difference(Action.CHANGE, "min.insync.replicas", "1", "2")],
        ),
        (
            {"t": Found(partitions=6, copies=1, config={**CONFIG, "min.insync.replicas": "1"})},
            [difference(Action.BY_HAND, "copies", "1", "3"), difference(Action.BY_HAND, "min.insync.replicas", "1", "2")],
        ),
    ],
    ids=[
        "as wanted",
        "missing",
        "too narrow",
        "too wide, too few copies",
        "another setting",
        "acknowledged by one of three",
        "one copy cannot be acknowledged by two",
    ],
)
def test_what_differs(found: dict[str, Found], expected: list[Difference]) -> None:
    """Partitions are added and never taken away; copies are a person's matter; a setting that nobody wants is left alone."""
    assert differences(found, [WANTED], 3) == expected


def test_what_was_made_as_wanted_does_not_differ() -> None:
    """The topics of the code against themselves: nothing; without any: each is to be made."""
    wanted = specs(Topics("t"), load(TopicsConfig, {}))
    found = {spec.name: Found(partitions=spec.partitions, copies=3, config=spec.config_with(3)) for spec in wanted}
    assert differences(found, wanted, 3) == []
    assert {one.topic for one in differences({}, wanted, 3)} == {spec.name for spec in wanted}


def test_what_is_by_hand_comes_with_a_remedy() -> None:
    """The variable is named with the most partitions of its topics; a topic that has none, copies, and what waits for them too."""
    wanted = specs(Topics("t"), load(TopicsConfig, {}))
    wider = {"t.retry.5s": 4, "t.replays": 9, "t.webhooks": 2}
    found = {spec.name: Found(partitions=wider.get(spec.name, spec.partitions), copies=3, config=spec.config_with(3)) for spec in wanted}
    found["t.audit"] = Found(partitions=1, copies=1, config={**found["t.audit"].config, "min.insync.replicas": "1"})
    assert remedies(differences(found, wanted, 3), wanted) == [
        "t.webhooks needs 1 partition, and no setting changes that: make it anew, as docs/backup.md tells.",
        "Kafka takes no partitions away: set HOOKLINE_RETRY_PARTITIONS=9, the number there is.",
        "Copies move data: use Kafka's kafka-reassign-partitions.sh, or set HOOKLINE_REPLICATION_FACTOR to what there is.",
        "Once the copies are there, `hookline topics apply` sets min.insync.replicas.",
    ]
    assert remedies(differences({}, wanted, 3), wanted) == []
