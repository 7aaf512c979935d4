"""The headers that a store may put on its calls."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hookline.kernel.errors import InputError
from hookline.webhooks.headers import MOST, check_headers

pytestmark = pytest.mark.unit


def test_good_headers_are_kept_with_lower_case_names() -> None:
    """Names are lower-cased, values left as they are, the order kept."""
    given_headers = [("Authorization", "Bearer abc"), ("X-Shop", "Grüße"), ("x-empty", ""), ("X~Odd!", "a\tb")]
    assert check_headers(given_headers) == (("authorization", "Bearer abc"), ("x-shop", "Grüße"), ("x-empty", ""), ("x~odd!", "a\tb"))
    assert check_headers([]) == ()


RESERVED = [
    *("Host", "Connection", "Transfer-Encoding", "TE", "Trailer", "Upgrade", "Cookie", "User-Agent", "Keep-Alive", "Expect"),
    *("Content-Type", "content-length", "Content-Encoding", "Webhook-Id", "webhook-signature", "WEBHOOK-X", "Hookline-Attempt"),
    *("Proxy-Authorization", "Sec-Fetch-Site", "traceparent", "Accept-Encoding"),
]


@pytest.mark.parametrize("name", RESERVED)
def test_what_hookline_sets_itself_is_refused(name: str) -> None:
    """A store cannot set what the call or its signature consist of."""
    with pytest.raises(InputError, match="set by Hookline") as refused:
        check_headers([(name, "x")])
    assert refused.value.field == f"headers.{name.lower()}"


NO_NAMES = [*("", " ", "a b", "a:b", ":path", "a\r\nb", "a\0", "ä", "a" * 129, "(a)", "a,b", '"a"', "a\n"), *("\ud800", 7, None)]


@pytest.mark.parametrize("name", NO_NAMES)
def test_what_is_no_header_name_is_refused(name: Any) -> None:
    """A name is a token of HTTP."""
    with pytest.raises(InputError) as refused:
        check_headers([(name, "x")])
    refused.value.message.encode()


NO_VALUES = [*("a\r\nInjected: yes", "a\n", "a\0b", "\x1b[31m", "\x7f", "€", "日本", " a", "a "), *("x" * 4_097, "\ud800", 7, None)]


@pytest.mark.parametrize("value", NO_VALUES)
def test_a_value_that_could_break_out_is_refused(value: Any) -> None:
    """A value is printable Latin-1 without line breaks, and the error does not repeat it."""
    with pytest.raises(InputError, match="x-a") as refused:
        check_headers([("X-A", value)])
    assert "Injected" not in refused.value.message


def test_a_header_given_twice_is_refused_in_any_case() -> None:
    """Names are the same without regard to case."""
    with pytest.raises(InputError, match="twice"):
        check_headers([("X-A", "1"), ("x-a", "2")])


def test_there_is_a_most() -> None:
    """64 headers are enough for anybody."""
    assert len(check_headers([(f"x-{n}", "") for n in range(MOST)])) == MOST
    with pytest.raises(InputError, match="more than 64"):
        check_headers([(f"x-{n}", "") for n in range(MOST + 1)])


@given(st.lists(st.tuples(st.text(max_size=20), st.text(max_size=20)), max_size=4))
def test_any_headers_are_refused_or_safe(pairs: list[tuple[str, str]]) -> None:
    """Whatever is given: a refusal, or headers that can be put on the wire as they are."""
    try:
        found = check_headers(pairs)
    except InputError:
        return
    for name, value in found:
        line = f"{name}: {value}".encode("latin-1")
        assert not {0, 10, 13} & set(line)
