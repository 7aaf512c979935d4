"""A filter that fails on an event says why in words of its writer."""

from __future__ import annotations

import pytest

from hookline.kernel.errors import FilterError
from hookline.webhooks.filter_failures import why
from hookline.webhooks.filters import Facts, compile_filter

pytestmark = pytest.mark.unit

EVENT = {"type": "order.created", "store_id": "shop", "data": {"none": None, "five": 5, "text": "x", "list": [1, 2]}}


@pytest.mark.parametrize(
    ("filter_text", "said"),
    [
        ("data.none > 1", "it uses values of different kinds together"),
        ("data.five > 'x'", "it uses values of different kinds together"),
        ("data.text + 1 == 2", "it uses values of different kinds together"),
        ("data.five / 0 == 1", "it divides by zero"),
        ("data.five % 0 == 1", "it divides by zero"),
        ("9223372036854775807 + data.five > 1", "a number becomes larger than 64 bits hold"),
        ("data.list[7] == 1", "it takes item 7 of a list that is shorter"),
        ("size(data.five) == 1", "size is not for values of this kind"),
        ("data.five.startsWith('x')", "startsWith is not for values of this kind"),
        ("int(data.text) == 1", "int(…) cannot read its value"),
        ("timestamp(data.text) > timestamp('2020-01-01T00:00:00Z')", "timestamp(…) cannot read its value"),
    ],
)
def test_a_failure_is_told_plainly(filter_text: str, said: str) -> None:
    """What the filter does wrong with this event, and what helps; no exception's name."""
    with pytest.raises(FilterError) as caught:
        compile_filter(filter_text).matches(Facts(EVENT))
    assert caught.value.message.startswith(f"The filter failed on this event: {said}")
    assert "Error" not in caught.value.message


def test_what_is_not_known_is_told_as_it_came() -> None:
    """In one line, cut."""
    assert why(ValueError("one\n two " + "x" * 300)) == f"one two {'x' * 192}"
