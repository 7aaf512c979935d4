"""Drift of topics: what differs is told, what can be mended is, the rest is left and said."""

from __future__ import annotations

import pytest

from hookline.kernel.config import load
from hookline.schemas.drift import Action, Difference, Found, differences
from hookline.schemas.topics import Topics, TopicsConfig, TopicSpec, specs

pytestmark = pytest.mark.unit

WANTED = TopicSpec(name="t", partitions=6, config={"retention.ms": "1000", "cleanup.policy": "delete"})
AS_WANTED = Found(partitions=6, copies=3, config={"retention.ms": "1000", "cleanup.policy": "delete", "segment.ms": "7"})


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
            {"t": Found(partitions=6, copies=3, config={"retention.ms": "-1", "cleanup.policy": "delete"})},
            [difference(Action.CHANGE, "retention.ms", "-1", "1000")],
        ),
    ],
    ids=["as wanted", "missing", "too narrow", "too wide, too few copies", "another setting"],
)
def test_what_differs(found: dict[str, Found], expected: list[Difference]) -> None:
    """Partitions are added and never taken away; copies are a person's matter; a setting that nobody wants is left alone."""
    assert differences(found, [WANTED], 3) == expected


def test_what_was_made_as_wanted_does_not_differ() -> None:
    """The topics of the code against themselves: nothing; without any: each is to be made."""
    wanted = specs(Topics("t"), load(TopicsConfig, {}))
    found = {spec.name: Found(partitions=spec.partitions, copies=3, config=spec.config) for spec in wanted}
    assert differences(found, wanted, 3) == []
    assert {one.topic for one in differences({}, wanted, 3)} == {spec.name for spec in wanted}
