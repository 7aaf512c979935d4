"""What a run prints and keeps of repeats that are not all there, or not beside wrk."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks import __main__ as program
from benchmarks.repeats import STAND_IN, Values

pytestmark = pytest.mark.unit


def _repeats(*, stand_in: bool) -> list[dict[str, Values]]:
    wrk: Values = {"rate_per_cpu_s": 100_000.0, STAND_IN: stand_in}
    whole: dict[str, Values] = {"wrk": wrk, "sender": {"rate_per_cpu_s": 50_000.0}, "sink": {"rows_per_cpu_s": 200_000.0}}
    return [whole | {"console": {"rss_mb": 700.0}}, whole, {"wrk": wrk, "sender": whole["sender"]}]


@pytest.mark.parametrize(("verdict", "stand_in"), [("met", False), ("(not comparable: no wrk)", True)])
def test_the_table_says_what_a_figure_rests_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], verdict: str, *, stand_in: bool
) -> None:
    """The sink failed once of three; the console was run once, as planned; the sender is judged beside wrk only."""
    kept = tmp_path / "result.json"
    monkeypatch.setenv("COLUMNS", "180")
    monkeypatch.setattr("sys.argv", ["benchmarks", "--json", str(kept)])
    monkeypatch.setattr(program, "_run", lambda *_: (_repeats(stand_in=stand_in), {"sink": "not within 3 s"}))
    monkeypatch.setattr(program, "build", lambda: {"commit": "0123456789abcdef", "dirty": True})
    with pytest.raises(SystemExit) as ended:
        program.main()
    assert ended.value.code == 1
    lines = capsys.readouterr().out.splitlines()
    assert any("; commit 0123456789ab, changed; reference: " in line for line in lines)
    (sender,) = [line for line in lines if "sender alone" in line]
    (sink,) = [line for line in lines if "sink, rows" in line]
    (console,) = [line for line in lines if "console: memory" in line]
    assert verdict in sender
    assert "2 of 3 repeats" in sink
    assert "repeats" not in console + sender
    result = json.loads(kept.read_text("utf-8"))
    assert result["build"] == {"commit": "0123456789abcdef", "dirty": True}
    figures = result["figures"]
    assert figures["sender-ratio"]["met"] is (None if stand_in else True)
    assert (figures["sink"]["planned"], len(figures["sink"]["values"])) == (3, 2)
