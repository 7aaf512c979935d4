"""The mechanisms of the API by themselves: cursors, ETags, idempotency, pools, throttle, bodies, the audit's digest."""

from __future__ import annotations

import asyncio
import threading
import time
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from hookline.console.audit import digest_of
from hookline.console.config import ConsoleConfig, operator_digest
from hookline.console.http.bodies import body_of, is_json, query_of
from hookline.console.http.cursors import Cursors
from hookline.console.http.etags import versions
from hookline.console.http.idempotency import LIFE_S, MOST_BYTES, MOST_PER_STORE, Idempotency, Kept, Place
from hookline.console.http.models import Model, PageQuery
from hookline.console.http.pools import Pools, Work
from hookline.console.http.problems import Code, Refused
from hookline.console.http.throttle import Throttle
from hookline.kernel.config import load
from hookline.kernel.errors import InputError, Stale
from hookline.producers.ingest.errors import Refused as IngestRefused

pytestmark = pytest.mark.unit


class Moving:
    """A clock that the test moves."""

    def __init__(self) -> None:
        self.s = 0.0

    def now(self) -> datetime:
        """Return the wall time."""
        return datetime(2026, 3, 1, tzinfo=UTC) + timedelta(seconds=self.s)

    def monotonic(self) -> float:
        """Return the seconds."""
        return self.s


POSITIONS = st.lists(st.one_of(st.text(max_size=20), st.integers(-(2**63), 2**63 - 1)), max_size=3)
BOUND = {"store": "a", "route": "r", "ids": {}, "filters": {"state": "paused"}}


@given(POSITIONS)
def test_a_cursor_opens_where_it_belongs(position: list[Any]) -> None:
    """What was sealed is opened, whatever it holds."""
    cursors = Cursors(b"k" * 32, Moving())
    assert cursors.open(cursors.seal(position, BOUND), BOUND) == position


@given(st.integers(0, 10_000), st.integers(1, 255))
@example(229, 48)  # unused bits of base64's last character
def test_no_changed_cursor_opens(place: int, change: int) -> None:
    """A cursor with any byte changed is refused."""
    cursors = Cursors(b"k" * 32, Moving())
    text = bytearray(cursors.seal([7, "x"], BOUND).encode())
    text[place % len(text)] ^= change
    with pytest.raises(Refused) as refused:
        cursors.open(text.decode("latin-1"), BOUND)
    assert refused.value.problem is Code.CURSOR_INVALID


@given(st.text(max_size=200))
def test_no_text_is_a_cursor(text: str) -> None:
    """No text that was not sealed opens, and none is an error of ours."""
    with pytest.raises(Refused):
        Cursors(b"k" * 32, Moving()).open(text, BOUND)


def test_a_cursor_is_bound_and_lives_a_day() -> None:
    """Another store, route, id, filter or secret does not open it; nor does tomorrow."""
    clock = Moving()
    cursors = Cursors(b"k" * 32, clock)
    cursor = cursors.seal([1], BOUND)
    others: tuple[dict[str, Any], ...] = ({"store": "b"}, {"route": "s"}, {"ids": {"id": "1"}}, {"filters": {}})
    for other in others:
        with pytest.raises(Refused):
            cursors.open(cursor, {**BOUND, **other})
    with pytest.raises(Refused):
        Cursors(b"l" * 32, clock).open(cursor, BOUND)
    clock.s = 86_400
    assert cursors.open(cursor, BOUND) == [1]
    clock.s = 86_402
    with pytest.raises(Refused):
        cursors.open(cursor, BOUND)


def test_if_match_takes_strong_tags_only() -> None:
    """A strong tag, a list or * may match; a weak tag never does, no header is 428, an old tag 412, anything else is refused."""
    versions('"3"', "If-Match", weak=False).expect(3)
    versions('"1", "3"', "If-Match", weak=False).expect(3)
    versions(" * ", "If-Match", weak=False).expect(3)
    for header in ('"2"', 'W/"3"', '""'):
        with pytest.raises(Stale):
            versions(header, "If-Match", weak=False).expect(3)
    with pytest.raises(Stale, match="weak"):
        versions('W/"3"', "If-Match", weak=False).expect(3)
    with pytest.raises(Refused):
        versions(None, "If-Match", weak=False).expect(3)
    for header in ("3", '"3', '"3" x', "", '"\x01"'):
        with pytest.raises(InputError):
            versions(header, "If-Match", weak=False)


def test_where_if_match_may_be_left_out_a_stale_one_is_refused_all_the_same() -> None:
    """None and * expect nothing; a tag that fits expects that version; an old or a weak one is 412."""
    assert versions(None, "If-Match", weak=False).expected(3) is None
    assert versions("*", "If-Match", weak=False).expected(3) is None
    assert versions('"2", "3"', "If-Match", weak=False).expected(3) == 3
    for header in ('"2"', 'W/"3"'):
        with pytest.raises(Stale):
            versions(header, "If-Match", weak=False).expected(3)


def kept(number: int = 0, size: int = 2) -> Kept:
    """Return an answer."""
    return Kept(200, (("N", str(number)),), b"x" * size)


async def test_the_first_of_many_works_and_all_get_its_answer() -> None:
    """Of twenty requests at once one runs; the others wait and are told that it is a repetition."""
    idempotency, runs, go = Idempotency(Moving()), 0, asyncio.Event()

    async def answer() -> Kept:
        nonlocal runs
        runs += 1
        await go.wait()
        return kept()

    waiting = [asyncio.create_task(idempotency.once(Place("s", "k"), b"d", answer)) for _ in range(20)]
    await asyncio.sleep(0)
    go.set()
    assert [again for _, again in await asyncio.gather(*waiting)] == [False] + [True] * 19
    assert runs == 1


async def test_failures_are_shared_by_those_who_waited_and_then_forgotten() -> None:
    """All who wait hear of the failure; the next request with the key runs."""
    idempotency = Idempotency(Moving())

    async def fail() -> Kept:
        await asyncio.sleep(0)
        raise InputError("no")

    async def succeed() -> Kept:
        return kept()

    found = await asyncio.gather(*(idempotency.once(Place("s", "k"), b"d", fail) for _ in range(3)), return_exceptions=True)
    assert [str(error) for error in found] == ["no"] * 3
    assert (await idempotency.once(Place("s", "k"), b"other", succeed))[1] is False


async def test_a_key_lives_a_day_and_refuses_another_body() -> None:
    """Within a day another body is a mismatch; after it the key is free."""
    clock = Moving()
    idempotency = Idempotency(clock)

    async def answer() -> Kept:
        return kept()

    await idempotency.once(Place("s", "k"), b"d", answer)
    clock.s = LIFE_S - 1
    with pytest.raises(Refused):
        await idempotency.once(Place("s", "k"), b"e", answer)
    clock.s = LIFE_S
    assert (await idempotency.once(Place("s", "k"), b"e", answer))[1] is False


async def test_memory_is_bounded_per_store_and_in_all() -> None:
    """A store that sends without end pushes out its own oldest keys only; all stores together hold no more bytes than agreed."""
    idempotency = Idempotency(Moving())

    def answer_of(size: int) -> Any:
        async def answer() -> Kept:
            return kept(size=size)

        return answer

    await idempotency.once(Place("quiet", "k"), b"d", answer_of(1))
    for number in range(MOST_PER_STORE + 5):
        await idempotency.once(Place("loud", str(number)), b"d", answer_of(1))
    assert (await idempotency.once(Place("quiet", "k"), b"d", answer_of(1)))[1] is True
    assert (await idempotency.once(Place("loud", "4"), b"d", answer_of(1)))[1] is False
    for number in range(10):
        await idempotency.once(Place(f"big{number}", "k"), b"d", answer_of(MOST_BYTES // 4))
    assert (await idempotency.once(Place("big9", "k"), b"d", answer_of(1)))[1] is True
    assert (await idempotency.once(Place("big0", "k"), b"d", answer_of(1)))[1] is False


async def test_the_store_that_holds_the_most_bytes_loses_first() -> None:
    """One store that sends large answers without end pushes out its own only; with a second one, the larger of both."""
    idempotency = Idempotency(Moving())

    async def send(store: str, key: str, size: int) -> bool:
        async def answer() -> Kept:
            return kept(size=size)

        return (await idempotency.once(Place(store, key), b"d", answer))[1]

    for number in range(20):
        assert await send("quiet", str(number), 1_000) is False
    for number in range(120):
        assert await send("loud", str(number), 300_000) is False
        assert await send(f"one{number}", "k", 0) is False
    assert all([await send("quiet", str(number), 1_000) for number in range(20)])
    assert await send("loud", "119", 300_000) is True
    assert await send("loud", "0", 300_000) is False
    for number in range(40):  # less than "loud" holds still
        assert await send("second", str(number), 100_000) is False
    assert all([await send("second", str(number), 100_000) for number in range(40)])


async def test_a_memory_may_be_short() -> None:
    """What is kept for a minute is forgotten after it."""
    clock = Moving()
    idempotency = Idempotency(clock, 60.0)

    async def answer() -> Kept:
        return kept()

    assert [(await idempotency.once(Place("s", "k"), b"d", answer))[1] for _ in range(2)] == [False, True]
    clock.s = 60.0
    assert (await idempotency.once(Place("s", "k"), b"d", answer))[1] is False


async def test_a_store_at_its_limit_is_not_slowed_down_by_the_others() -> None:
    """To push out its oldest key, the keys of other stores are not looked through."""
    idempotency = Idempotency(Moving())

    async def answer() -> Kept:
        return kept()

    async def cost(first: int, count: int) -> float:
        began = time.thread_time()
        for number in range(first, first + count):
            await idempotency.once(Place("loud", str(number)), b"d", answer)
        return (time.thread_time() - began) / count

    for number in range(10_000):
        await idempotency.once(Place(f"quiet{number}", "k"), b"d", answer)
    below = await cost(0, MOST_PER_STORE)
    assert min([await cost(MOST_PER_STORE + 40 * number, 40) for number in range(5)]) < 5 * below


async def test_a_full_pool_refuses_at_once() -> None:
    """More than the threads and the queue hold is refused, and there is room again when one is done."""
    config = load(ConsoleConfig, {"HOOKLINE_CONSOLE_WAITING": "1"})
    pools, go = Pools(config), threading.Event()
    changes = pools[Work.CHANGES]
    waiting = [asyncio.create_task(changes.run(go.wait)) for _ in range(2)]
    await asyncio.sleep(0)
    with pytest.raises(Refused) as refused:
        await changes.run(go.wait)
    assert refused.value.problem is Code.OVERLOADED
    go.set()
    assert await asyncio.gather(*waiting) == [True, True]
    assert await changes.run(lambda: 5) == 5
    pools.close()


async def test_work_goes_on_when_its_caller_goes_away() -> None:
    """A cancelled request does not stop a change half way."""
    pools, go, done = Pools(load(ConsoleConfig, {})), threading.Event(), threading.Event()

    def work() -> None:
        go.wait(10)
        done.set()

    task = asyncio.create_task(pools[Work.CHANGES].run(work))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    go.set()
    assert await asyncio.to_thread(done.wait, 10)
    pools.close()


def test_a_throttle_refills() -> None:
    """Sixty a minute: the sixty-first must wait a second, another name need not, and after the second it may."""
    clock = Moving()
    throttle = Throttle(60, clock, "test calls")
    for _ in range(60):
        throttle.take("a")
    with pytest.raises(Refused) as refused:
        throttle.take("a")
    assert refused.value.headers == {"Retry-After": "1"}
    throttle.take("b")
    clock.s = 1
    throttle.take("a")
    with pytest.raises(Refused):
        throttle.take("a")


class Inner(Model):
    """A part."""

    n: int


class Outer(Model):
    """A whole."""

    inner: list[Inner] | None = None
    text: str = ""


@pytest.mark.parametrize(
    ("raw", "field"),
    [
        (b'{"inner": [{"n": 1}, {"n": "x"}]}', "inner[1].n"),
        (b'{"inner": [{"n": 1, "m": 2}]}', "inner[0].m"),
        (b'{"inner": [{}]}', "inner[0].n"),
        (b'{"' + b"x" * 500 + b'": 1}', "x" * 60),
        (b"5", ""),
    ],
)
def test_a_fault_is_named_by_its_path_and_never_by_its_value(raw: bytes, field: str) -> None:
    """The path leads into lists and parts; what a caller wrote does not come back but as a name, cut."""
    with pytest.raises(InputError) as error:
        body_of(Outer, raw)
    assert error.value.field == field
    assert '"x"' not in str(error.value)


def test_a_body_that_may_be_empty_may_be_left_out() -> None:
    """Where no field is required no body is an empty one; where one is, it is missed as a whole."""
    assert body_of(Outer, b"") == Outer()
    with pytest.raises(Refused) as error:
        body_of(Inner, b" ")
    assert error.value.problem is Code.EMPTY_BODY


@given(st.binary(max_size=300))
def test_any_bytes_are_a_body_or_refused(raw: bytes) -> None:
    """No body whatever brings an error that is not told."""
    found: Outer | None = None
    with suppress(InputError, IngestRefused):  # anything else ends the test
        found = body_of(Outer, raw)
    assert found is None or isinstance(found, Outer)


@given(st.lists(st.tuples(st.sampled_from(["limit", "cursor", "store", "x"]), st.text(max_size=12)), max_size=4))
def test_any_query_is_taken_or_refused(pairs: list[tuple[str, str]]) -> None:
    """A query string gives a limit within bounds, or an error with a field."""
    field, limit = "", 1
    try:
        limit = query_of(PageQuery, pairs).limit
    except InputError as error:
        field = error.field
        limit = 0
    assert bool(field) == (limit == 0)
    assert limit <= 1_000


@pytest.mark.parametrize(
    ("kind", "yes"),
    [
        ("application/json", True),
        ("Application/JSON ; charset=UTF-8", True),
        ('application/json; charset="utf-8"', True),
        ("application/json; charset=latin-1", False),
        ("application/problem+json", False),
        ("text/json", False),
        ("", False),
    ],
)
def test_what_is_json(kind: str, yes: bool) -> None:
    """Only application/json in UTF-8 is."""
    assert is_json(kind) is yes


def test_the_operators_token_is_a_digest_from_the_start() -> None:
    """The token and its SHA-256 mean the same; short ones and ones with spaces are refused; without one nobody is the operator."""
    token = "t" * 40
    digest = operator_digest(token)
    assert digest == operator_digest(f"sha256:{digest.hex()}")
    assert operator_digest("") == b""
    for bad in ("short", "with space " * 5, "ü" * 40):
        with pytest.raises(ValueError, match="at least 32"):
            operator_digest(bad)


def test_the_audits_digest_tells_states_apart() -> None:
    """The same state has the same digest, another one another, and none an empty one."""
    assert digest_of(None) == ""
    assert digest_of(Inner(n=1)) == digest_of(Inner(n=1)) != digest_of(Inner(n=2))
    assert len(digest_of(Inner(n=1))) == 64
