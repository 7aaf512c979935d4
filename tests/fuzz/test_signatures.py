"""Verifying: the code on docs/signatures.md and the official library, under calls that somebody changed or made up; API keys too."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from standardwebhooks.webhooks import Webhook as Official
from standardwebhooks.webhooks import WebhookVerificationError

from hookline.dispatcher.signing import Signer
from hookline.kernel.errors import InputError
from hookline.webhooks.secrets import parse_secret, show_secret
from tests.fuzz.effort import cpu_within, tries

pytestmark = pytest.mark.unit

PAGE = (Path(__file__).parents[2] / "docs" / "signatures.md").read_text("utf-8")
KEY = bytes(range(32))
SECRET = show_secret(KEY)
BODIES = st.sampled_from([b"{}", b'{"id":"evt_1"}', b'{"a":1.0}'])
JUNK = st.one_of(
    st.text(max_size=60),
    st.lists(st.sampled_from(["v1,", "v1", "v1a,", "v2,", ",", " ", "==", "AAAA", "é", "\0", "\n"]), max_size=12).map("".join),
    st.sampled_from(["v1, " * 20_000, " " * 200_000, "v1," + "A" * 200_000]),
)


def page_verifier() -> Callable[..., Any]:
    """Return the function on the page as a developer would copy it."""
    names: dict[str, Any] = {}
    exec(re.findall(r"```python\n(.*?)\n```", PAGE, re.DOTALL)[1], names)
    found: Callable[..., Any] = names["verify"]
    return found


VERIFY = page_verifier()


def by_the_page(headers: dict[str, str], body: bytes) -> bool:
    """Tell whether the page's code takes a call; any end but its one error fails the test."""
    with cpu_within(0.5):
        try:
            VERIFY(headers, body, SECRET)
        except ValueError:
            return False
    return True


def by_the_library(headers: dict[str, str], body: bytes) -> bool:
    """Tell whether the official library takes a call; it may fail in its own ways on nonsense."""
    try:
        Official(SECRET).verify(body, headers)
    except (WebhookVerificationError, ValueError, OverflowError):
        return False
    return True


def call(call_id: str, body: bytes, away_s: int = 0) -> dict[str, str]:
    """Return the headers that the dispatcher's signer makes."""
    timestamp = int(time.time()) + away_s
    return {
        "webhook-id": call_id,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": Signer([KEY]).headers(call_id, timestamp, body),
    }


IDS = st.text("abcXYZ019_-", min_size=1, max_size=64)


@tries(300)
@given(call_id=IDS, body=BODIES, before=JUNK, after=JUNK)
def test_our_call_among_junk(call_id: str, body: bytes, before: str, after: str) -> None:
    """A true signature is found among any others that stand beside it, by a space apart."""
    headers = call(call_id, body)
    true = headers["webhook-signature"]
    assert by_the_page(headers | {"webhook-signature": f"{before} {true} {after}"}, body)


@tries(400)
@given(
    call_id=IDS,
    body=BODIES,
    which=st.sampled_from(["webhook-id", "webhook-timestamp", "webhook-signature"]),
    value=JUNK | st.integers().map(str),
)
def test_a_changed_header(call_id: str, body: bytes, which: str, value: str) -> None:
    """With any of the three made up nothing verifies, for the page and the library alike."""
    headers = call(call_id, body)
    changed = headers | {which: value}
    if changed == headers:
        return
    assert not by_the_page(changed, body)
    assert not by_the_library(changed, body)


@tries(300)
@given(call_id=IDS, body=BODIES, place=st.integers(0, 40), put=st.binary(max_size=4))
def test_a_changed_body(call_id: str, body: bytes, place: int, put: bytes) -> None:
    """Bytes added to or taken from the body, or moved over the separator, do not verify."""
    headers = call(call_id, body)
    changed = body[:place] + put + body[place + 1 :]
    if changed == body:
        return
    assert not by_the_page(headers, changed)
    assert not by_the_library(headers, changed)
    assert not by_the_page(headers | {"webhook-id": call_id + "." + headers["webhook-timestamp"]}, body)


@tries(200)
@given(call_id=IDS, body=BODIES, away_s=st.integers(-(10**9), 10**9))
def test_an_old_call(call_id: str, body: bytes, away_s: int) -> None:
    """Signed truly, but minutes ago or ahead: taken within the five minutes and never outside, by both alike."""
    headers = call(call_id, body, away_s)
    if abs(abs(away_s) - 300) > 5:
        assert by_the_page(headers, body) == by_the_library(headers, body) == (abs(away_s) < 300)


@tries(300)
@given(st.text(max_size=120) | st.binary(max_size=80).map(lambda raw: "whsec_" + raw.decode("latin-1")))
def test_any_secret(text: str) -> None:
    """A secret is taken as the bytes it stands for, or refused without being repeated."""
    key, said = b"", ""
    with cpu_within(0.5):
        try:
            key = parse_secret(text)
        except InputError as error:
            said = str(error)
    if said:
        assert len(text) < 8 or text not in said
        return
    assert 24 <= len(key) <= 64
    assert parse_secret(show_secret(key)) == key
