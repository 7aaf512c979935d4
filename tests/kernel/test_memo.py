"""What was made of texts is made once, kept as long as there is room, and never beyond it."""

from __future__ import annotations

import threading

import pytest

from hookline.kernel.memo import Memo

pytestmark = pytest.mark.unit


def test_made_once_and_the_oldest_go_first() -> None:
    """Room is counted in characters; one that is longer than all of it is still made, and kept alone."""
    made: list[str] = []

    def make(text: str) -> list[str]:
        made.append(text)
        return [text]

    memo = Memo(make, 10)
    assert memo("aaaa") is memo("aaaa")
    memo("bbbb")
    memo("cccc")
    assert made == ["aaaa", "bbbb", "cccc"]
    memo("cccc")
    memo("bbbb")
    assert len(made) == 3
    memo("aaaa")
    assert made[3:] == ["aaaa"]
    memo("d" * 99)
    memo("d" * 99)
    assert made[4:] == ["d" * 99]


def test_what_fails_is_tried_again() -> None:
    """An error is nobody's result."""
    tries: list[str] = []

    def fail(text: str) -> str:
        tries.append(text)
        raise ValueError(text)

    memo = Memo(fail, 10)
    for _ in range(2):
        with pytest.raises(ValueError, match="a"):
            memo("a")
    assert tries == ["a", "a"]


def test_many_threads_keep_the_count() -> None:
    """Whoever makes the same text at the same time, it takes its room once."""
    memo = Memo(lambda text: [text], 100)
    threads = [threading.Thread(target=lambda: [memo(str(number)) for number in range(2_000)]) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert memo._size == sum(map(len, memo._made)) <= 100
