"""The numbers of a replay's page: each says of which moment it is where they do not agree."""

from __future__ import annotations

import re
from types import SimpleNamespace
from typing import Any

import pytest

from hookline.console.api.replays_models import ReplayDetail
from hookline.console.panel.pages.replays import progress_of
from hookline.console.panel.rendering import rendered

pytestmark = pytest.mark.unit

VISIT: Any = SimpleNamespace(url=lambda *parts, **_: "/" + "/".join(parts), ids={"id": "job_1"})
THEN, LATER = "2026-11-23T14:02:00.000000Z", "2026-11-23T14:03:00.000000Z"
NEVER: dict[str, Any] = {"error": "", "created_by": "operator", "started_at": None, "finished_at": None}


def told(**changes: Any) -> str:
    """Return the words of the progress of a job that had 10 of 20 made again."""
    usual: dict[str, Any] = {
        "id": "job_1", "source": "dead_letters", "filter": {}, "state": "running", "rate": 50.0, "max": 100, "total": 20, "matching": 20,
        "done": 10, "deliveries": 10, "skipped": 0, "failed": 0, "created_at": THEN, "updated_at": LATER, "outcomes": {"delivered": 8},
    }  # fmt: skip
    found = ReplayDetail(**{**usual, **NEVER, **changes})
    page = rendered("replay_progress.html", {"visit": VISIT, "problem": None, **progress_of(VISIT, found)}).decode()
    return " ".join(re.sub(r"<[^>]+>", " ", page).split())


def test_a_running_count_says_of_when_it_is() -> None:
    """It is kept now and then; before the first time it is of the asking."""
    assert re.search(r"10 of 20 dead letters counted 23 Nov 2026, 14:03", told())
    assert re.search(r"0 of 20 dead letters counted 23 Nov 2026, 14:02", told(done=0, deliveries=0, updated_at=None, outcomes={}))


def test_a_log_that_is_ahead_says_so() -> None:
    """More outcomes than were counted: the log is read later than the count was kept; else not a word."""
    assert "it is ahead of the count above" in told(outcomes={"delivered": 11, "dead": 1})
    assert "ahead" not in told()


@pytest.mark.parametrize(("done", "said"), [(20, False), (17, True)])
def test_fewer_than_were_asked_for_are_explained(done: int, said: bool) -> None:
    """What was replayed elsewhere since the asking does not fit any more when its turn comes."""
    words = told(state="done", done=done, deliveries=done, outcomes={"delivered": done}, finished_at=LATER)
    assert ("that fitted when it was asked for" in words) is said
    assert "counted" not in words
