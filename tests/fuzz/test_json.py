"""JSON bodies: what ingest and the API read is read strictly, soon, and as the standard library would read it."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import event, example, given
from hypothesis import strategies as st

from hookline.kernel.config import load
from hookline.kernel.errors import HooklineError
from hookline.producers.ingest.config import IngestConfig
from hookline.producers.ingest.errors import CODES, Refused, problem_of
from hookline.producers.ingest.reader import EventReader
from hookline.producers.ingest.strict_json import parse
from hookline.schemas.catalogue import EVENT_TYPES
from hookline.schemas.events import validate
from tests.fuzz.effort import cpu_within, tries

pytestmark = pytest.mark.unit

_TOKENS = st.sampled_from(
    [
        *(
            b"{",
            b"}",
            b"[",
            b"]",
            b",",
            b":",
            b'"',
            b'"a"',
            b'"a"',
            b'"\\u0061"',
            b'"\\ud800"',
            b'"\\',
            b"\\u0022",
            b"\0",
            b"\x1f",
            b"\xff",
            b"\xed\xa0\x80",
        ),
        *(
            b"1",
            b"-",
            b"1e999",
            b"-0",
            b"01",
            b"1.",
            b"NaN",
            b"Infinity",
            b"9" * 25,
            b"9" * 5_000,
            b"18446744073709551616",
            b"true",
            b"null",
            b" ",
            b"\n",
        ),
        *(b"\xef\xbb\xbf", b"\xff\xfe", b"//", b"/**/", b"'"),
    ]
)
BODIES = st.lists(_TOKENS, max_size=25).map(b"".join) | st.binary(max_size=60)
_ANY = st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats() | st.text(max_size=20) | st.just("1" * 400)
JSON = st.recursive(
    _ANY, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=5), max_leaves=20
)


class Still:
    """A clock that stands."""

    def now(self) -> datetime:
        """Return the wall time."""
        return datetime(2026, 3, 1, tzinfo=UTC)

    def monotonic(self) -> float:
        """Return the seconds."""
        return 0.0


READER = EventReader(load(IngestConfig, {}), Still())


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key stands twice")
    return found


def _none(constant: str) -> float:
    raise ValueError(constant)


def strictly(body: bytes) -> Any:
    """Return what the standard library reads, told to be strict; raise `ValueError`."""
    return json.loads(body.decode(), object_pairs_hook=_once, parse_constant=_none)


def read(body: bytes, most_s: float = 0.5) -> tuple[bool, Any]:
    """Return whether a body is taken, and as what; the one refusal has a code of the closed list, status 400."""
    problem = None
    with cpu_within(most_s):
        try:
            value = parse(body)
        except Refused as refused:
            problem, value = refused.problem, None
    if problem is not None:
        assert CODES[problem.code].status == 400
        assert len(problem.detail.encode()) < 500
    return problem is None, value


@tries(800)
@given(BODIES)
@example(b'{"a":1,"\\u0061":2}')
def test_tokens_in_any_order(body: bytes) -> None:
    """What is taken is what the standard library reads when it is told to be strict; whatever it refuses is refused."""
    taken, value = read(body)
    event("taken" if taken else "refused")
    if taken:
        assert repr(strictly(body)) == repr(value)


@tries(400)
@given(JSON, st.integers(0, 400), st.sampled_from([b"", b'"', b",", b"}", b"\\", b"\xff", b"0", b'{"a":1,"a":1}']))
def test_a_sound_body_with_one_place_changed(value: Any, place: int, put: bytes) -> None:
    """A byte more or less: read as it then is, or refused."""
    body = json.dumps(value).encode()
    place %= len(body)
    changed = body[:place] + put + body[place + 1 :]
    taken, found = read(changed)
    if taken:
        assert repr(strictly(changed)) == repr(found)


@tries(60)
@given(
    st.sampled_from([b"[", b'{"a":', b'"', b"\\", b'["', b'{"a":1,', b"9", b"[[],", b'"\\u0061",', b"{}", b'[{"":[']),
    st.integers(1, 256 * 1024),
)
def test_a_large_body_of_one_pattern(unit: bytes, size: int) -> None:
    """A quarter of a mebibyte of the same few bytes costs no more than its size explains."""
    read(unit * (size // len(unit)), most_s=2.0)


@tries(600)
@given(
    item=JSON,
    name=st.sampled_from([*EVENT_TYPES, "order.nothing", "x" * 300]),
    field=st.sampled_from(["data", "id", "occurred_at", "store_id", "type", "more"]),
)
def test_any_event(item: Any, name: str, field: str) -> None:
    """JSON in any field of an event: an event that its schema takes, or a refusal that says which field, and repeats little of it."""
    envelope = {"type": name, "data": EVENT_TYPES["order.created"].example, field: item}
    refusal: HooklineError | None = None
    with cpu_within(0.5):
        try:
            validate(READER.event(envelope, "shop", "", 0))
        except HooklineError as error:
            refusal = error
    if refusal is not None:
        problem = problem_of(refusal)
        assert 400 <= problem.status < 500
        assert len(problem.detail.encode()) < 1_000
        event(problem.code)


@tries(200)
@given(JSON)
def test_any_thing_for_an_event(item: Any) -> None:
    """Whatever stands where an event should is refused: the fields are too many to be hit by chance."""
    with pytest.raises(HooklineError) as refusal:
        READER.event(item, "shop", "key", 0)
    assert problem_of(refusal.value).status in {403, 422}
