"""CEL filters under grammar-made programs and made-up events: an answer or a refusal, always soon."""

from __future__ import annotations

from typing import Any, Final

import pytest
from hypothesis import event, example, given
from hypothesis import strategies as st

from hookline.kernel.errors import FilterError
from hookline.schemas.catalogue import EVENT_TYPES
from hookline.webhooks.filters import Facts, compile_filter
from tests.fuzz.effort import cpu_within, tries

pytestmark = pytest.mark.unit

MOST_S: Final = 2.0
"""For saving and asking together; ten times what the costliest allowed filters take on an idle machine."""
_TERMS = st.sampled_from(
    [
        "data",
        "data.order",
        "data.order.lines",
        "data.tags",
        "data.text",
        "data.nothing",
        "type",
        "store_id",
        "x",
        "1",
        "1.5",
        "-1",
        "'a'",
        "r'\\d+'",
        "null",
        "[]",
        "{}",
        "true",
        "b'a'",
        "18446744073709551615u",
        "9223372036854775807",
    ]
)


def _larger(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    """Return programs one level deeper: operators, loops, calls, indexes, conditions."""
    operators = st.sampled_from([" == ", " != ", " < ", " + ", " - ", " * ", " / ", " % ", " in ", " && ", " || "])
    loops = st.sampled_from(["exists", "all", "map", "filter", "exists_one"])
    methods = st.sampled_from(
        ["size()", "contains('a')", "startsWith('a')", "matches('(a+)+$')", "matches('(a{1,30}){1,30}')", "matches('[')"]
    )
    return st.one_of(
        st.tuples(inner, operators, inner).map("".join),
        st.tuples(inner, st.just("."), loops, st.just("(x, "), inner, st.just(")")).map("".join),
        st.tuples(inner, st.just("."), loops, st.just("(y, y == x || "), inner, st.just(")")).map("".join),
        st.tuples(inner, st.just("."), methods).map("".join),
        st.tuples(
            st.sampled_from(["size(", "int(", "string(", "double(", "has(", "!(", "(", "timestamp(", "duration(", "type("]),
            inner,
            st.just(")"),
        ).map("".join),
        st.tuples(inner, st.just("["), inner, st.just("]")).map("".join),
        st.tuples(inner, st.just(" ? "), inner, st.just(" : "), inner).map("".join),
        st.lists(inner, max_size=4).map(lambda items: f"[{', '.join(items)}]"),
    )


PROGRAMS = st.recursive(_TERMS, _larger, max_leaves=14)
TOKENS = st.lists(
    st.sampled_from([*"()[]{}.,?:!<>=+-*/%&|'\"\\ \n", "data", "x", "exists(x,", "r'", "'''", "1e999", "0x", "//", "\0", "é"]), max_size=60
).map("".join)
_LEAVES = st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False) | st.text(max_size=20)
VALUES = st.recursive(
    _LEAVES, lambda inner: st.lists(inner, max_size=6) | st.dictionaries(st.text(max_size=6), inner, max_size=6), max_leaves=20
)
ORDER: Final = EVENT_TYPES["order.created"].example


def asked(text: str, data: Any) -> str:
    """Save a filter and ask it, within the time; return how it ended."""
    with cpu_within(MOST_S):
        try:
            found = compile_filter(text).matches(Facts({"type": "order.created", "store_id": "shop", "data": data}))
        except FilterError as error:
            error.message.encode()
            return "refused"
    assert isinstance(found, bool)
    return "answered"


@tries(500)
@given(program=PROGRAMS, count=st.sampled_from([0, 1, 30, 300, 3_000]))
@example(program="data.tags.exists(x, data.tags.exists(y, y == x || false))", count=3_000)
@example(program="data.text.matches('(a{1,30}){1,30}')", count=300)
def test_a_made_up_program(program: str, count: int) -> None:
    """Loops in loops, patterns, wrong types, missing fields, on orders with lists of any length."""
    event(asked(program, {**ORDER, "tags": [f"a{n}" for n in range(count)], "text": "a" * count * 10}))


@tries(300)
@given(text=TOKENS | st.text(max_size=300))
def test_no_program_at_all(text: str) -> None:
    """Tokens in any order, and any text."""
    event(asked(text, dict(ORDER)))


@tries(200)
@given(
    text=st.sampled_from(["(", "[", "!", "-", "{'a':", "data.", "x?", "'", "1+", "data[", "//", "has(", "true?true:"]),
    count=st.integers(1, 3_000),
)
def test_a_program_of_one_pattern(text: str, count: int) -> None:
    """Thousands of brackets or operators in a row: no deep recursion ends the process."""
    asked(text * count, dict(ORDER))
    asked(text * count + "true" + ")" * count, dict(ORDER))


@tries(200)
@given(data=st.dictionaries(st.text(max_size=6) | st.sampled_from(["order", "tags", "text"]), VALUES, max_size=6), program=PROGRAMS)
def test_a_made_up_event(data: dict[str, Any], program: str) -> None:
    """Whatever an event holds."""
    asked(program, data)
