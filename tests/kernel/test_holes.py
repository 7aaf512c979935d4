"""What of librdkafka's log tells that records are gone, and how many."""

from __future__ import annotations

import logging

import pytest

from hookline.kernel.holes import HOLES, Holes

pytestmark = pytest.mark.unit

LINE = (
    "OFFSET [hookline#consumer-11] [thrd:main]: t1.events.orders [2]: offset reset (at offset 20 (leader epoch -1), broker 1) to offset "
    "BEGINNING (leader epoch -1): fetch failed due to requested offset not available on the broker: Broker: Offset out of range"
)
PLACE = ("t1.events.orders", 2)


class Read:
    """A record, as far as that is asked for."""

    def __init__(self, offset: int, topic: str = PLACE[0], partition: int = PLACE[1]) -> None:
        self._found = topic, partition, offset

    def topic(self) -> str:
        """Return its topic."""
        return self._found[0]

    def partition(self) -> int:
        """Return its partition."""
        return self._found[1]

    def offset(self) -> int:
        """Return its offset."""
        return self._found[2]


def told(line: str, level: int = logging.WARNING) -> Holes:
    """Return what has heard a line."""
    holes = Holes()
    assert holes.filter(logging.LogRecord("librdkafka", level, "", 0, "%s", (line,), None))
    return holes


def test_a_hole_is_counted_once() -> None:
    """From the offset that was asked for to the next one that came; records of before and of elsewhere do not count."""
    holes = told(LINE)
    assert holes.before([]) == {}
    assert holes.before([Read(19), Read(70, partition=1), Read(70, topic="t1.events.products")]) == {}  # type: ignore[list-item]
    assert holes.before([Read(25), Read(26)]) == {PLACE: 5}  # type: ignore[list-item]
    assert holes.before([Read(40)]) == {}  # type: ignore[list-item]


def test_two_holes_without_a_record_between_them_are_one() -> None:
    """Sent on at 20, and again at 50 before anything was read: all up to the next record is gone."""
    holes = told(LINE)
    holes.filter(logging.LogRecord("librdkafka", logging.WARNING, "", 0, "%s", (LINE.replace("offset 20", "offset 50"),), None))
    assert holes.before([Read(60)]) == {PLACE: 40}  # type: ignore[list-item]


def test_where_nothing_is_left_the_watermark_tells() -> None:
    """Once it was seen twice, and each once: what goes after that, and before a record comes, is told with the record."""
    holes = told(LINE)
    assert holes.waits(PLACE)
    assert [holes.left_from(PLACE, low) for low in (-1, -1, 20, 20, 30, 50, 50, 50)] == [0, 0, 0, 0, 0, 0, 30, 0]
    assert holes.before([Read(60)]) == {PLACE: 10}  # type: ignore[list-item]
    assert not holes.waits(PLACE)
    assert [holes.left_from(PLACE, 70), holes.left_from(PLACE, 70)] == [0, 0]


def test_what_was_fetched_before_the_watermark_rose_tells_by_itself() -> None:
    """Records that are gone on Kafka by now and come all the same were not missed."""
    holes = told(LINE)
    assert [holes.left_from(PLACE, 50), holes.left_from(PLACE, 60)] == [0, 0]
    assert holes.before([Read(50), Read(51)]) == {PLACE: 30}  # type: ignore[list-item]
    assert holes.left_from(PLACE, 60) == 0


def test_a_partition_that_was_cut_off_has_none() -> None:
    """Its offsets go back, and meet the old one later: nothing was missed."""
    holes = told(LINE)
    assert holes.before([Read(offset) for offset in range(30)]) == {}  # type: ignore[misc]
    assert holes.before([Read(90)]) == {}  # type: ignore[list-item]


def test_a_partition_that_is_given_anew_is_forgotten() -> None:
    """Another reader may have gone on meanwhile."""
    holes = told(LINE)
    assert holes.left_from(PLACE, 25) == 0
    holes.forget(*PLACE)
    assert not holes.waits(PLACE)
    holes.filter(logging.LogRecord("librdkafka", logging.WARNING, "", 0, "%s", (LINE,), None))
    assert holes.left_from(PLACE, 25) == 0
    holes.forget(*PLACE)
    assert holes.before([Read(25)]) == {}  # type: ignore[list-item]


@pytest.mark.parametrize(
    ("line", "level"),
    [
        (LINE.replace("Broker: Offset out of range", "Local: No offset stored"), logging.WARNING),
        (LINE.replace("at offset 20 (leader epoch -1)", "at offset INVALID (leader epoch -1)"), logging.WARNING),
        (LINE, logging.INFO),
        ("FAIL [x] out of range", logging.WARNING),
    ],
)
def test_other_lines_tell_of_none(line: str, level: int) -> None:
    """A group that begins has missed nothing."""
    assert told(line, level).before([Read(25)]) == {}  # type: ignore[list-item]


def test_the_processs_own_hears_the_library() -> None:
    """It is attached."""
    logging.getLogger("librdkafka").warning("%s", LINE)
    assert HOLES.before([Read(25)]) == {PLACE: 5}  # type: ignore[list-item]
