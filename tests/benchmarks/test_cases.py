"""The table's rows stand on values that the cases give, and the parts that judge a run say so when it is wrong."""

from __future__ import annotations

import base64
from datetime import UTC, datetime
from pathlib import Path
from typing import cast

import orjson
import pytest
from standardwebhooks.webhooks import Webhook

from benchmarks import reference
from benchmarks.cases import FIGURES, Size, charts, longer, median, quick
from benchmarks.checks import reconcile, verify
from benchmarks.dispatcher import ACTIVE, EVERY_TOPIC, SMALL, active, fair, further_us
from benchmarks.entities import ENTITIES, examples
from benchmarks.histograms import shares, table
from benchmarks.latency import histogram, percentile
from benchmarks.publishing import batch, due
from benchmarks.repeats import STAND_IN, Values
from benchmarks.stack import Process, Receiver
from hookline.local.kafka_broker import EmbeddedBroker
from hookline.schemas.catalogue import EVENT_TYPES
from hookline.schemas.events import normalise
from hookline.schemas.topics import CATEGORIES

pytestmark = pytest.mark.unit

SECRET = "whsec_" + base64.b64encode(b"k" * 24).decode()
ALONE = {"statistics", "console"}
RATIOS = {"sender-ratio", "dispatcher-ratio", "tls-ratio"}


def test_every_figure_stands_on_a_case_that_there_is(tmp_path_factory: pytest.TempPathFactory) -> None:
    """A figure whose case was renamed would be left out of the table without a word."""
    broker = EmbeddedBroker(tmp_path_factory.mktemp("never-started"))
    names = {case.name for case in [*quick(broker, Size()), *longer(broker, Size())]} | ALONE
    needed = {path.split(".", 1)[0] for figure in FIGURES for path in (figure.over, figure.under) if path}
    assert needed - names == set()
    assert len({figure.key for figure in FIGURES}) == len(FIGURES)


def test_the_body_is_one_kibibyte() -> None:
    """The main figure's body has the size that the page states."""
    assert len(reference.body(SMALL)) == 1_023


@pytest.mark.parametrize(("wrk", "stand_in"), [("/bin/wrk", False), (None, True)])
def test_the_stand_in_says_that_it_is_one(monkeypatch: pytest.MonkeyPatch, wrk: str | None, *, stand_in: bool) -> None:
    """What is put beside it must know that it is not beside wrk."""
    monkeypatch.setattr("shutil.which", lambda _: wrk)
    monkeypatch.setattr(reference, "_wrk", lambda *_: (10, 2.0))
    monkeypatch.setattr(reference, "_stand_in", lambda *_: (8, 4.0))
    found = reference.measure(Receiver(cast("Process", None), 1, 0, Path()), SMALL, 2, tls=False)
    assert (found[STAND_IN], found["rate_per_cpu_s"]) == (stand_in, 2.0 if stand_in else 5.0)
    assert {figure.key for figure in FIGURES if figure.stands_in({"wrk": found, "wrk-tls": found})} == (RATIOS if stand_in else set())


def test_a_smaller_size_keeps_whole_hundreds() -> None:
    """Batches have 100 events; a tenth of a case is no fraction of a batch."""
    assert [Size(scale=scale).of(20_000) for scale in (1, 0.1, 0.0123, 0.00001)] == [20_000, 2_000, 200, 100]


@pytest.mark.parametrize(("percent", "value"), [(50, 5), (90, 9), (99, 10), (100, 10), (0, 1)])
def test_percentiles(percent: float, value: float) -> None:
    """The nearest rank, of ten values."""
    assert percentile([1, 2, 3, 4, 5, 6, 7, 8, 9, 10], percent) == value


def test_a_histogram_loses_no_value() -> None:
    """Every value lies in one bucket, a bound in the one that it ends."""
    found = histogram([0.1, 0.5, 0.51, 2.0, 5_000.0])
    assert sum(found.values()) == 5
    assert (found["0.5"], found["1"], found["2"], found["inf"]) == (2, 1, 1, 1)


def test_the_cost_of_a_further_webhook() -> None:
    """100 µs with one webhook, 550 µs with ten: 50 µs for each of the nine others."""
    assert further_us({"cpu_us_per_delivery": 100.0}, {"cpu_us_per_delivery": 55.0}, 10) == pytest.approx(50)


def test_the_histogram_of_all_repeats() -> None:
    """The calls of every repeat together; a bound that no load has calls at is no row."""
    some: Values = {"100/s_histogram": {"1": 1, "2": 0}, "50 %_histogram": {"1": 0, "2": 4, "inf": 4}, "100/s_p50_ms": 1.0}
    repeats: list[dict[str, Values]] = [{"latency": some}, {"latency": {"100/s_histogram": {"1": 2, "2": 1}}}, {"whole": {}}]
    assert shares(repeats) == (["100/s", "50 %"], [["1", "75.00%", ""], ["2", "25.00%", "50.00%"], ["more", "", "50.00%"]])
    assert table([{}]) is None


def _call(body: str = "{}") -> dict[str, object]:
    now = datetime.now(UTC)
    headers = {
        "webhook-id": "msg_1",
        "webhook-timestamp": str(int(now.timestamp())),
        "webhook-signature": Webhook(SECRET).sign("msg_1", now, "{}"),
    }
    return {"path": "/hook", "headers": headers, "body": body}


def test_signatures_are_verified() -> None:
    """A good sample passes, each call with its path's secret; a changed body, another's secret, or no call at all ends the run."""
    other = "whsec_" + base64.b64encode(b"o" * 24).decode()
    assert verify([_call(), _call()], {"hook": SECRET, "hook1": other}) == 2
    with pytest.raises(SystemExit, match="msg_1 does not verify"):
        verify([_call(), _call('{"a":1}')], {"hook": SECRET})
    with pytest.raises(SystemExit, match="msg_1 does not verify"):
        verify([_call()], {"hook": other, "hook1": SECRET})
    with pytest.raises(SystemExit, match="/hook, which is no webhook's"):
        verify([_call()], {"hook1": SECRET})
    with pytest.raises(SystemExit, match="no call was kept"):
        verify([], {"hook": SECRET})


def test_counts_that_differ_end_the_run() -> None:
    """Each is named, so that it is plain which one is off."""
    reconcile(published=3, calls=3, rows=3)
    with pytest.raises(SystemExit, match="the counts differ: published 3, different deliveries 2"):
        reconcile(published=3, different_deliveries=2)


def test_two_dispatchers_must_both_work() -> None:
    """One that works beside one that looks on is no measurement of two."""
    assert fair([25, 75]) == 0.25
    assert fair([7]) == 1.0
    with pytest.raises(SystemExit, match="one of 2 dispatchers made 24% of the calls"):
        fair([24, 76])


@pytest.mark.parametrize(("stores", "publish"), [(1, 1), (100, 100), (15_000, ACTIVE), (100_000, ACTIVE)])
def test_many_webhooks_get_events(stores: int, publish: int) -> None:
    """A dispatcher that knows 100,000 webhooks and calls a hundred of them is not one with 100,000 webhooks."""
    found = active([f"store{n}" for n in range(stores)])
    assert len(set(found)) == len(found) == publish


@pytest.mark.parametrize("event_type", EVERY_TOPIC)
def test_events_are_spread_over_keys(event_type: str) -> None:
    """With one key all of them would lie on one partition; the bodies are all of one size."""
    kind = EVENT_TYPES[event_type]
    found = examples(event_type)
    keys = {kind.entity_of(normalise(event_type, data)) for data in found}
    assert len(keys) == ENTITIES == len(found)
    assert {len(orjson.dumps(data)) for data in found} == {len(orjson.dumps(kind.example))}


def test_every_topic_has_its_events() -> None:
    """Kafka gives two dispatchers whole topics."""
    assert {EVENT_TYPES[name].category for name in EVERY_TOPIC} == set(CATEGORIES)


def test_posts_are_spread_over_keys() -> None:
    """Singly and in batches; each has its own id, and is a whole event of the stated size."""
    made = due(SMALL)
    singly = [orjson.loads(made(number, 7)) for number in range(2 * ENTITIES)]
    assert len({one["id"] for one in singly}) == 2 * ENTITIES
    assert [one["id"] for one in singly[:2]] == ["bench-7-0", "bench-7-1"]
    assert len({one["data"]["product"]["id"] for one in singly}) == ENTITIES
    together = orjson.loads(batch(SMALL)(3))["events"]
    assert len(together) == 100
    assert len({one["data"]["product"]["id"] for one in together}) == ENTITIES


def test_charts_are_of_medians() -> None:
    """One chart for each thing that was measured, none for what was not."""
    repeats = [{"dispatcher": {"cpu_us_per_delivery": cost}} for cost in (80.0, 99.0, 81.0)]
    assert charts([{}]) == {}
    assert charts(repeats)["cost"].lines == {"of an event": [(1, 81.0)]}
    rates: list[dict[str, Values]] = [
        {"webhooks-100": {"rate_per_s": 7.0}, "webhooks-many": {"rate_per_s": 6.0}, "fan-out-10": {"rate_per_s": 9.0}}
    ]
    assert {name: chart.lines for name, chart in charts(rates).items()} == {
        "rate": {"of an event": [(10, 9.0)], "in all": [(100, 7.0), (100_000, 6.0)]}
    }
    assert median(repeats, "dispatcher", "no such value") is None
    latency = {"100/s_rate_per_s": 100, "100/s_p50_ms": 1.5, "100/s_p99_ms": 4.0}
    assert charts([{"latency": latency}])["latency"].lines == {"p50": [(100, 1.5)], "p99": [(100, 4.0)]}
