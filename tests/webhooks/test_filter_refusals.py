"""What a filter is refused for when it is saved, in words that say what to do."""

from __future__ import annotations

import re

import pytest

from hookline.kernel.errors import FilterError
from hookline.schemas.catalogue import EVENT_TYPES
from hookline.webhooks.filters import MissingField, check_examples, compile_filter

pytestmark = pytest.mark.unit

HINTS = {  # the position, and what to do
    "data.order.": (12, "a name is expected after the dot"),
    "data.a..b": (8, "a name is expected after the dot"),
    "data.a >": (9, "it ends too early"),
    "data.a == 1 &&": (15, "it ends too early"),
    "data.order.lines.exists(line, line.quantity > 1": (48, "a closing ) is missing"),
    "data.a in ['DE', 'AT'": (22, "a closing ] is missing"),
    "data.a == 1)": (12, "closes nothing: take it away"),
    "data.a == 'x": (11, "no closing quote"),
    "data.a == 'it's'": (15, "quotes of the other kind"),
    "data.a == \u201cx\u201d": (11, "straight quotes"),
    "data.a = 1": (8, "write == to compare"),
    "data.a === 1": (10, "write == to compare"),
    "data.a => 5": (8, "write >= for"),
    "data.a <> 5": (9, "write != for"),
    "data.a == 1 and\ntrue": (13, "write && for and"),
    "data.a == 1\n  OR true": (15, "write || for or"),
    "data.a & data.b": (8, "write && for and"),
    "not data.a": (5, "write ! for not"),
    "data.a is null": (8, "write == for is"),
    "data.a LIKE 'x%'": (8, "startsWith, endsWith or matches"),
    "data.a == 1;": (12, "leave the semicolon out"),
    "package == 1": (1, "reserved word"),
    "data.a.exists(x.y, true)": (16, "a loop begins with a name"),
    "'ERROR: <input>:1:1: ' data.a": (24, "'data' is not expected here"),
}


@pytest.mark.parametrize("text", HINTS)
def test_what_is_no_cel_is_told_in_plain_words(text: str) -> None:
    """The position and what to do about it; never the parser's list of tokens."""
    position, hint = HINTS[text]
    with pytest.raises(FilterError) as refused:
        compile_filter(text)
    assert refused.value.position == position
    assert refused.value.message.startswith(f"The filter is no CEL at position {position}: ")
    assert hint in refused.value.message
    assert not re.search("IDENTIFIER|<EOF>|mismatched|extraneous", refused.value.message)


def test_the_refusal_says_which_types_lack_which_field() -> None:
    """Every ticked type is named with the field that its events lack, and the position is that of the first."""
    with pytest.raises(MissingField) as refused:
        check_examples("data.order.totl > 1", ["order.created", "product.changed", "order.approved", "customer.created"])
    assert refused.value.message == (
        "The filter names 'totl', which events of order.created, order.approved do not have there, and 'order', which events of "
        "product.changed, customer.created do not have there; ask has(…) for what may be absent (at position 12)"
    )


@pytest.mark.parametrize(
    ("text", "types", "said"),
    [
        ("1+1", ["order.created"], "gives a number for events of order.created, not true or false: compare it .* > 100"),
        ("'yes'", ["order.created"], "gives a text"),
        ("null", ["order.created"], "gives null"),
        ("data.order.number", ["order.paid", "order.created"], "gives a text for events of order.created"),
        ("data.order.lines", ["order.created"], r"gives a list .* \.size\(\) > 0"),
        ("data.order.totals", ["order.created"], "gives an object"),
        ("timestamp(data.order.created_at)", ["order.created"], "gives a time"),
        ("type == 'order.paid' ? 1 : true", ["order.created", "order.paid"], "gives a number for events of order.paid"),
    ],
)
def test_a_filter_that_is_no_condition_is_refused_when_saving(text: str, types: list[str], said: str) -> None:
    """What gives something other than true or false for an example of the chosen types would fail on every such event."""
    with pytest.raises(FilterError, match=said):
        check_examples(text, types)


def test_a_field_that_is_null_in_the_example_may_be_a_condition() -> None:
    """Null says nothing about the type of a field, so a filter that gives it is not refused."""
    assert EVENT_TYPES["order.created"].example["order"]["billing_address"]["company"] is None
    check_examples("data.order.billing_address.company", ["order.created"])
