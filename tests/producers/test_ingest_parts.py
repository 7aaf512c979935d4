"""Parts of ingest by themselves: failures per address, what is remembered, problems."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hookline.kernel.errors import ConfigError, HooklineError, InputError, PayloadTooLarge, SchemaError
from hookline.producers.ingest import metrics
from hookline.producers.ingest.door import Failures, network_of
from hookline.producers.ingest.errors import CODES, Refused, problem_of, refused
from hookline.producers.ingest.reader import derived_id
from hookline.producers.ingest.remembered import Remembered, UnderWay, digest_of
from hookline.schemas.events import check_id
from tests.producers.fakes import FakeClock

pytestmark = pytest.mark.unit


class CountedClock(FakeClock):
    """A clock that counts how often it is asked."""

    asked = 0

    def monotonic(self) -> float:
        """Return where the clock stands."""
        self.asked += 1
        return super().monotonic()


@pytest.mark.parametrize(
    ("address", "network"),
    [
        ("203.0.113.7", "203.0.113.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2::1", "2001:db8:1:2::/64"),
        ("::ffff:203.0.113.7", "203.0.113.7"),
        ("", ""),
        ("unix", ""),
    ],
)
def test_an_ipv6_address_stands_for_its_network(address: str, network: str) -> None:
    """Whoever has one IPv6 address has 2^64 of them; they share one bucket."""
    assert network_of(address) == network


def test_failures_are_counted_per_address_and_forgiven_with_time() -> None:
    """The bucket refills evenly: one more every six seconds at ten a minute, and never more than ten."""
    clock = FakeClock()
    failures = Failures(10, clock)
    for _ in range(10):
        failures.count("203.0.113.7")
    with pytest.raises(Refused) as caught:
        failures.count("203.0.113.7")
    assert (caught.value.problem.code, caught.value.problem.retry_after_s) == ("too_many_failures", 6)
    failures.count("203.0.113.8")
    clock.move(3)
    with pytest.raises(Refused) as caught:
        failures.count("203.0.113.7")
    assert caught.value.problem.retry_after_s == 3
    clock.move(3_600)
    for _ in range(10):
        failures.count("203.0.113.7")
    with pytest.raises(Refused):
        failures.count("203.0.113.7")


def test_addresses_are_bounded() -> None:
    """An attacker with many addresses costs bounded memory: the longest silent is forgotten."""
    failures = Failures(1, FakeClock())
    failures.count("203.0.113.7")
    for number in range(10_000):
        failures.count(f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}")
    failures.count("203.0.113.7")
    with pytest.raises(Refused):
        failures.count("203.0.113.7")


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 2), st.integers(0, 30)), max_size=60))
def test_what_is_remembered_is_bounded_and_true(steps: list[tuple[int, int, int]]) -> None:
    """Never more than the limit, never older than the time, and only what was kept last under a name is known."""
    clock = FakeClock()
    remembered = Remembered(5, 100, clock)
    kept: dict[str, tuple[int, float]] = {}
    for number, value, seconds in steps:
        clock.move(seconds)
        name = f"shop\0{number}"
        last = kept.get(name)
        try:
            known = remembered.knows(name, digest_of(value), "id")
        except Refused:
            assert last is not None
            assert last[0] != value
        else:
            assert not known or (last is not None and last[0] == value and clock.seconds - last[1] <= 101)
        remembered.keep(name, digest_of(value))
        kept[name] = (value, clock.seconds)
        assert len(remembered) <= 5
        assert remembered.knows(name, digest_of(value), "id")


def test_nothing_is_remembered_when_the_limit_is_zero() -> None:
    """Memory can be switched off."""
    remembered = Remembered(0, 100, FakeClock())
    remembered.keep("a", digest_of(1))
    assert len(remembered) == 0
    assert not remembered.knows("a", digest_of(1), "id")


def test_to_remember_costs_the_same_however_much_was_forgotten() -> None:
    """A process that has been up for long is no slower than a young one, and asks for the time once each."""
    clock = CountedClock()
    remembered, digest = Remembered(40_000, 100, clock), digest_of(1)

    def cost(first: int) -> float:
        began = time.thread_time()
        for number in range(first, first + 8_000):
            remembered.keep(str(number), digest)
        return time.thread_time() - began

    young, old = [min(map(cost, range(begin, begin + 40_000, 8_000))) for begin in (0, 40_000)]
    assert old < 3 * young
    clock.move(102)
    before = clock.asked
    remembered.keep("the only one that is not too old", digest)
    assert (len(remembered), clock.asked - before) == (1, 1)


def test_the_gauge_tells_how_many_are_remembered() -> None:
    """Whenever it is read, without being set for each event."""
    remembered = Remembered(5, 100, FakeClock())
    for number in range(9):
        remembered.keep(str(number), digest_of(1))
    [gauge] = metrics.REMEMBERED.collect()
    assert gauge.samples[0].value == 5


def test_all_who_joined_hear_the_outcome_once() -> None:
    """The first is not among them; afterwards the name is free again."""
    heard: list[object] = []
    under_way = UnderWay()
    assert not under_way.join("a", b"1", heard.append, "id")
    assert under_way.join("a", b"1", heard.append, "id")
    assert under_way.join("a", b"1", heard.append, "id")
    with pytest.raises(Refused):
        under_way.join("a", b"2", heard.append, "id")
    under_way.end("a", "outcome")
    assert heard == ["outcome", "outcome"]
    assert not under_way.join("a", b"2", heard.append, "id")


@given(st.text(max_size=20), st.text(max_size=20), st.integers(0, 500))
def test_a_derived_id_is_an_id(store_id: str, key: str, index: int) -> None:
    """Whatever the key is made of, its event id has the characters of an id, and depends on all three."""
    found = check_id(derived_id(store_id, key, index), "id")
    assert found != derived_id(store_id, key, index + 1)
    assert found != derived_id(store_id, key + "x", index)
    assert found != derived_id(store_id + "x", key, index)


@pytest.mark.parametrize(
    ("error", "code", "field"),
    [
        (InputError("no", field="data.x"), "invalid", "events[2].data.x"),
        (PayloadTooLarge("no"), "payload_too_large", ""),
        (refused("other_store", "no", field="store_id"), "other_store", "events[2].store_id"),
        (SchemaError("schema 7 of hookline.orders.OrderCreated is not registered"), "internal_error", ""),
        (ConfigError("HOOKLINE_SECRET_KEYS is not set"), "internal_error", ""),
        (HooklineError("no"), "internal_error", ""),
    ],
)
def test_errors_become_problems_of_the_closed_list(error: HooklineError, code: str, field: str) -> None:
    """Errors that are not the client's fault are told without their words."""
    found = problem_of(error, prefix="events[2]")
    assert (found.code, found.field) == (code, field)
    assert found.status == CODES[code].status
    assert (error.message in found.detail) == (code != "internal_error")
