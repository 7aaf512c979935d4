"""How the benchmark repeats, sums up, judges and compares."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks.compare import compare, differing, read
from benchmarks.repeats import Case, Figure, Found, Measured, Values, interleave, measured, row, shown, versions

pytestmark = pytest.mark.unit

RATE = Figure("rate", "rate", "/s", "a.rate", target=10)
SHARE = Figure("share", "a ÷ b", "", "a.rate", "b.rate", target=0.5, at_most=True)


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
