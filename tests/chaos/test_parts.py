"""The parts that a run stands on: journals, the load's insistence, the report."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from tests.chaos import isolation, overload, report
from tests.chaos.__main__ import main
from tests.chaos.chapter import Violation
from tests.chaos.history import History, Publish
from tests.chaos.ledgers import Journal
from tests.chaos.load import Load
from tests.chaos.runner import Line

pytestmark = pytest.mark.unit


def test_a_journal_is_read_by_whole_lines(tmp_path: Path) -> None:
    """A line that is being written is read once it is whole."""
    path = tmp_path / "journal"
    journal = Journal(path)
    assert journal.poll() == []
    line = json.dumps(["msg_1", "evt_1", "steady", 1, 5.0, 200, True]) + "\n"
    path.write_text(line + line[:10])
    assert [call.delivery_id for call in journal.poll()] == ["msg_1"]
    path.write_text(line + line)
    assert len(journal.poll()) == 1
    assert journal.poll() == []


def test_a_door_that_fails_is_tried_again_under_the_same_id() -> None:
    """What is not confirmed is published again until it is, and only then counts as promised."""
    history, seen = History(), []

    def send(publish: Publish) -> bool:
        seen.append(publish.event_id)
        return len(seen) > 2

    load = Load({"door": ("shop", send)}, 1_000.0, history, seed=1)
    load.start()
    load.on()
    deadline = time.monotonic() + 20
    while len(seen) < 4 and time.monotonic() < deadline:
        time.sleep(0.01)
    load.off()
    load.stop()
    assert seen[0] == seen[1] == seen[2] != seen[3]
    assert history.publishes[seen[0]].confirmed_at > 0
    assert load.idle


def test_the_report_names_sums_and_violations(tmp_path: Path) -> None:
    """Both files have the seed, what was lost, duplicates beside their bound."""
    good = Line(fault="kill-it", what="SIGKILL", round=0, kills=3, events=10, calls=12, duplicates=2, bound=5, attempts=12, rows=12)
    bad = Line(
        fault="kill-it", what="SIGKILL", round=1, lost=1, bound=0, attempts=13, rows=12, violations=[Violation("rows", "one is missing")]
    )
    machines, people = report.write(tmp_path, [good, bad], seed=7, transport="native")
    found = json.loads(machines.read_text())
    assert (found["seed"], found["lost"], found["kills"], found["violations"], found["rows"]) == (7, 1, 3, 1, 12)
    text = people.read_text()
    assert "**1 lost**" in text
    assert "| `kill-it`: SIGKILL | 2 | 3 | 0 | 10 | 12 | 1 | 2 ≤ 5 | no | 0.0 s | 1 |" in text
    assert "transport native" in text


def test_a_measurement_that_misses_its_targets_says_which() -> None:
    """Isolation: how much slower the others were."""
    found = {"ratio_hanging": 1.2, "target_hanging": 1.2, "ratio_loud": 1.5, "target_loud": 1.5}
    assert isolation.missed(found) == []
    assert isolation.missed({**found, "ratio_hanging": 1.21}) == [
        "the others' p99 with a fifth of the webhooks hanging is 1.21 times what it is without, the target is 1.2"
    ]
    assert "beside a loud store is 1.86" in isolation.missed({**found, "ratio_loud": 1.86})[0]


def test_the_isolation_is_that_of_all_rounds() -> None:
    """The p99 of all deliveries together, beside what the rounds said one by one."""
    calm, slow = [1.0] * 99 + [10.0], [1.0] * 99 + [15.0]
    times = {"quiet": [calm, calm], "hung": [calm, slow], "even": [calm, calm], "loud": [slow, slow]}
    found = isolation.figures(times)
    assert (found["healthy_p99_ms"], found["healthy_p99_ms_with_a_fifth_hanging"]) == (10, 10)
    assert found["others_p99_ms_beside_a_loud_store"] == 15
    assert (found["ratio_hanging"], found["rounds_hanging"]) == (1.0, [1.0, 1.5])
    assert (found["ratio_loud"], found["rounds_loud"]) == (1.5, [1.5, 1.5])
    assert found["deliveries"] == {"quiet": 200, "hung": 200, "even": 200, "loud": 200}


OVERLOADED = {
    "answers": {"202": 90, "503": 10},
    "503_without_retry_after": 0,
    "events_taken": 9_000,
    "taken_and_not_on_kafka": 0,
    "seconds_until_a_202_afterwards": 0.4,
    "ingest_mb": [80, 130],
    "dispatchers_mb_after_a_third": 332,
    "dispatchers_mb_at_most_afterwards": 350,
}


@pytest.mark.parametrize(
    ("changed", "text"),
    [
        ({"answers": {"202": 100}}, "never answered 503"),
        ({"503_without_retry_after": 2}, "2 answers 503 had no Retry-After"),
        ({"events_taken": 0}, "no event was taken"),
        ({"taken_and_not_on_kafka": 3}, "3 events were taken and are not on Kafka"),
        ({"seconds_until_a_202_afterwards": 60.0}, "took 60.0 s"),
        ({"ingest_mb": [80, 900]}, "ingest grew from 80 to 900 MB"),
        ({"dispatchers_mb_at_most_afterwards": 600}, "the dispatchers grew from 332 to 600 MB"),
    ],
)
def test_an_overload_that_is_not_borne(changed: dict[str, object], text: str) -> None:
    """Each thing that must not be is named."""
    assert overload.missed(OVERLOADED) == []
    [found] = overload.missed({**OVERLOADED, **changed})
    assert text in found


@pytest.mark.parametrize("name", ["isolation", "overload"])
@pytest.mark.parametrize("missed", [[], ["the others' p99 is 9 times what it is without"]])
def test_a_missed_target_is_the_status(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], name: str, missed: list[str]
) -> None:
    """Status 1, and the words on the terminal."""
    of = isolation if name == "isolation" else overload
    monkeypatch.setattr(of, "measure", lambda _seed, _seconds: {})
    monkeypatch.setattr(of, "missed", lambda _found: missed)
    monkeypatch.setattr("sys.argv", ["chaos", name, "--seed", "1"])
    assert main() == len(missed)
    assert all(text in capsys.readouterr().out for text in missed)


@pytest.mark.parametrize(("name", "text"), [("SEED", "x"), ("ROUNDS", "x"), ("ROUNDS", "0"), ("ROUNDS", "-3")])
def test_what_is_no_number_is_refused_before_anything_is_played(
    name: str, text: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """From the environment as on the command line: status 2 and the variable, no stack; no round is no run without violations."""
    monkeypatch.setattr("tests.chaos.__main__._run", lambda *_: 0)
    for argument, variable in ([], text), ([f"--{name.lower()}={text}"], ""):
        monkeypatch.setenv(name, variable)
        monkeypatch.setattr("sys.argv", ["chaos", *argument])
        with pytest.raises(SystemExit) as ended:
            main()
        assert ended.value.code == 2
        assert f"{name} must be a whole number" in capsys.readouterr().err
