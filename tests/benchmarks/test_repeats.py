"""How the benchmark repeats, sums up, judges and compares."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks.compare import compare, differing, failures, lacking, main, read, remarks
from benchmarks.repeats import STAND_IN, Case, Figure, Found, Measured, Values, interleave, measured, row, shown, versions

pytestmark = pytest.mark.unit

RATE = Figure("rate", "rate", "/s", "a.rate", target=10)
SHARE = Figure("share", "a ÷ b", "", "a.rate", "b.rate", target=0.5, at_most=True)
DELAY = Figure("delay", "delay", "ms", "c.ms")


def test_cases_are_interleaved() -> None:
    """A B A B, not A A B B."""
    seen: list[str] = []

    def case(name: str) -> Case:
        return Case(name, lambda _: seen.append(name) or {"rate": len(seen)})  # type: ignore[func-returns-value]  # both in one

    found, failed = interleave([case("a"), case("b")], 2, lambda _: None)
    assert seen == ["a", "b", "a", "b"]
    assert [one["b"]["rate"] for one in found] == [2, 4]
    assert failed == {}


def test_a_case_sees_those_before_it_in_its_repeat() -> None:
    """A later case can stand on an earlier one's figure, of the same repeat."""
    numbers = iter(range(10))

    def second(found: Found) -> Values:
        return {"twice": found["first"]["n"] * 2}

    found, _ = interleave([Case("first", lambda _: {"n": next(numbers)}), Case("second", second)], 3, lambda _: None)
    assert [one["second"]["twice"] for one in found] == [0, 2, 4]


@pytest.mark.parametrize(
    ("error", "why"), [(SystemExit("not within 3 s: all calls"), "not within 3 s: all calls"), (KeyError("rate"), "KeyError: 'rate'")]
)
def test_a_failed_case_is_told_and_the_others_go_on(error: BaseException, why: str) -> None:
    """One failure costs its own figures only."""

    def fail(_: Found) -> Values:
        raise error

    told: list[str] = []
    found, failed = interleave([Case("a", fail), Case("b", lambda _: {"rate": 1})], 1, told.append)
    assert found == [{"b": {"rate": 1}}]
    assert failed == {"a": why}
    assert told[0] == f"1/1 a: failed: {why}"
    assert measured([RATE, SHARE], found) == []


def test_a_ratio_is_taken_within_each_repeat() -> None:
    """The median of ratios, not the ratio of medians."""
    repeats = [{"a": {"rate": a}, "b": {"rate": b}} for a, b in ((1, 10), (8, 10), (9, 100))]
    (share,) = measured([SHARE], repeats)
    assert share.values == (0.1, 0.8, 0.09)
    assert share.median == 0.1


@pytest.mark.parametrize(("values", "met"), [((9, 10, 30), True), ((9, 9.9, 30), False)])
def test_the_median_decides_whether_a_target_is_met(values: tuple[float, ...], met: bool) -> None:
    """At least: the median reaches it."""
    assert Measured(RATE, values).met is met


BREAKS = Figure("later", "later", "", "b.rate")


@pytest.mark.parametrize(
    ("figure", "mark"), [(RATE, ", 2 of 3 repeats"), (SHARE, ", 1 of 3 repeats"), (BREAKS, ", 2 of 3 repeats"), (DELAY, "")]
)
def test_a_median_of_fewer_repeats_is_marked(figure: Figure, mark: str) -> None:
    """A case that failed in a repeat does not pass as measured three times, and nor does what stands on it."""
    repeats = [
        {"a": {"rate": 12}, "c": {"ms": 1}},
        {"b": {"rate": 9}, "c": {"ms": 2}},
        {"a": {"rate": 11}, "b": {"rate": 1}, "c": {"ms": 1}},
    ]
    (one,) = measured([figure], repeats)
    assert row(one)[1].partition(")")[2] == mark
    assert (len(one.to_json()["values"]), one.to_json()["planned"]) == (len(one.values), 3)


def test_a_case_that_is_run_once_is_no_failure() -> None:
    """Only what was to be run three times can lack a repeat."""
    repeats: list[Found] = [{"a": {"rate": 12}}, {}, {}]
    assert row(*measured([RATE], repeats, {"a": 1}))[1] == "12.0 /s (12.0 .. 12.0)"
    assert row(*measured([RATE], repeats, {"b": 1}))[1] == "12.0 /s (12.0 .. 12.0), 1 of 3 repeats"


@pytest.mark.parametrize(("stand_in", "met", "verdict"), [(False, False, "missed"), (True, None, "(not comparable: no wrk)")])
def test_a_target_is_not_held_against_a_stand_in(met: bool | None, verdict: str, *, stand_in: bool) -> None:
    """The targets of ratios are for wrk; other figures are judged as ever."""
    repeats = [{"a": {"rate": 12}, "b": {"rate": 10, STAND_IN: stand_in}}] * 3
    rate, share = measured([RATE, SHARE], repeats)
    assert row(share)[2:] == ("≤ 0.500", verdict)
    assert (share.met, share.to_json()["met"], share.to_json()[STAND_IN]) == (met, met, stand_in)
    assert row(rate)[3] == "met"
    assert row(*measured([replace(SHARE, target=None)], repeats))[3] == ""


def test_at_most() -> None:
    """At most: the median stays within it."""
    assert Measured(SHARE, (0.4, 0.5, 9)).met
    assert not Measured(SHARE, (0.4, 0.51, 9)).met


def test_a_row_shows_range_and_target() -> None:
    """Median, least and most, target and verdict stand side by side."""
    assert row(Measured(RATE, (12.0, 9.0, 1234.0))) == ("rate", "12.0 /s (9.00 .. 1,234)", "≥ 10.0 /s", "met")
    assert row(Measured(Figure("x", "x", "MB", "a.b"), (1.0,))) == ("x", "1.00 MB (1.00 .. 1.00)", "", "")


@pytest.mark.parametrize(("value", "text"), [(12345.6, "12,346"), (12.34, "12.3"), (1.234, "1.23"), (0.1234, "0.123"), (-150.0, "-150")])
def test_digits_that_count(value: float, text: str) -> None:
    """Large numbers without, small ones with digits behind the point."""
    assert shown(value) == text


def _result(values: tuple[float, ...], cores: int = 2) -> Values:
    return {
        "machine": {"cores": cores, "load_average": 1.0},
        "versions": {"python": "3"},
        "figures": {"rate": Measured(RATE, values).to_json()},
    }


@pytest.mark.parametrize(("new", "mark"), [((20, 21, 22), ">"), ((1, 2, 3), "<"), ((12, 20, 22), ""), ((10, 11, 12), "")])
def test_compare_marks_what_lies_outside_both_ranges(new: tuple[float, ...], mark: str) -> None:
    """Ranges that touch say nothing."""
    ((name, _, _, ratio, marked),) = compare(_result((10, 11, 12)), _result(new))
    assert name == "rate /s"
    assert marked == mark
    assert float(ratio) == pytest.approx(new[1] / 11, abs=0.01)


def test_compare_leaves_out_what_one_result_lacks() -> None:
    """Only what both measured is compared."""
    assert compare(_result((1,)), {"figures": {}}) == []


def test_other_machines_are_told() -> None:
    """A ratio between two machines says little; the reader is told so."""
    assert differing(_result((1,)), _result((1,), cores=8)) == ["cores: 2 → 8"]


def test_other_settings_are_told() -> None:
    """Scale, reference, machine and versions, whichever side tells them; what changes from minute to minute is none."""
    old = _result((1,)) | {"scale": 1.0, "reference": "wrk", "machine": {"cores": 2, "cpu": "A", "load_average": 1.0}}
    new = _result((1,)) | {"scale": 0.1, "reference": "stand-in", "machine": {"cores": 2, "cpu": "B", "load_average": 9.0}}
    new["versions"] = {"python": "3", "chdb": "4"}
    assert differing(old, new) == ["scale: 1.0 → 0.1", "reference: wrk → stand-in", "cpu: A → B", "chdb: not told → 4"]
    assert differing(new, old)[-1] == "chdb: 4 → not told"
    assert remarks(old, old) == []


def test_builds_are_named() -> None:
    """Two results of one build differ in nothing; of two builds, or of one that was changed, both are named."""
    old, new = (_result((1,)) | {"build": {"commit": commit * 40, "dirty": commit == "b"}} for commit in "ab")
    assert remarks(old, new) == ["builds: commit aaaaaaaaaaaa → commit bbbbbbbbbbbb, changed"]
    assert remarks(_result((1,)), old) == ["builds: build not known → commit aaaaaaaaaaaa"]
    assert remarks(new, new) == []


def test_failed_cases_are_told_of_both() -> None:
    """A figure can be missing, or rest on fewer repeats, because its case failed."""
    old, new = _result((1,)) | {"failed": {"sink": "not within 3 s"}}, _result((1,)) | {"failed": {"whole": "KeyError: 'x'"}}
    assert failures(old, new) == ["failed in old: sink: not within 3 s", "failed in new: whole: KeyError: 'x'"]
    assert failures(_result((1,)), _result((1,))) == []


def test_figures_that_only_one_has_are_listed() -> None:
    """What is not compared is not passed over in silence."""
    old, new = _result((1, 2, 3)), _result((4,))
    new["figures"] = {"delay": Measured(DELAY, (4.0,), 3).to_json()}
    assert lacking(old, new) == ["only in old: rate /s: 2.00 (1.00 .. 3.00)", "only in new: delay ms: 4.00 (4.00 .. 4.00), 1 of 3 repeats"]
    assert lacking(old, old) == []


@pytest.mark.parametrize("given", [["", ""], ["old.json", ""], ["", "new.json"]])
def test_a_comparison_of_nothing_says_what_to_give(
    given: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """`make bench-compare` without A or B: the two are asked for; an empty name is not the folder one stands in."""
    monkeypatch.setattr("sys.argv", ["compare", *given])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 2
    assert "Give A=old.json B=new.json" in capsys.readouterr().err


def test_compare_prints_the_remarks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """They stand below the table, each on a line of its own."""
    old, new = _result((1, 2, 3)) | {"scale": 1.0}, {"figures": {}, "scale": 0.1, "failed": {"a": "no [answer] " + "x" * 200}}
    for name, result in (("old", old), ("new", new)):
        (tmp_path / name).write_text(json.dumps(result))
    monkeypatch.setattr("sys.argv", ["compare", str(tmp_path / "old"), str(tmp_path / "new")])
    main()
    lines = capsys.readouterr().out.splitlines()
    assert "not the same: scale: 1.0 → 0.1" in lines
    assert f"failed in new: a: no [answer] {'x' * 200}" in lines
    assert "only in old: rate /s: 2.00 (1.00 .. 3.00)" in lines


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"figures": 3}'])
def test_a_file_that_is_no_result_is_refused(tmp_path: Path, text: str) -> None:
    """The error names the file."""
    path = tmp_path / "other.json"
    path.write_text(text)
    with pytest.raises(SystemExit, match=r"other\.json"):
        read(path)


def test_a_result_is_json() -> None:
    """What is kept of a figure goes through JSON unchanged."""
    kept = Measured(RATE, (3.0, 1.0, 2.0)).to_json()
    assert json.loads(json.dumps(kept)) == kept
    assert (kept["median"], kept["min"], kept["max"], kept["met"]) == (2.0, 1.0, 3.0, False)
    assert {"python", "uvloop"} <= versions().keys()
