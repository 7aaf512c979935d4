"""What a key looks like: its checksum, its digest, its pepper."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hookline.kernel.config import load
from hookline.kernel.errors import ConfigError
from hookline.producers.api_keys import ApiKeyConfig, base62, compose, digest_of, split

pytestmark = pytest.mark.unit


@given(st.binary(min_size=32, max_size=32), st.text("0123456789abcdefghijklmnopqrstuvwxyz", min_size=12, max_size=12))
def test_a_key_carries_its_checksum(secret: bytes, key_id: str) -> None:
    """A well-formed key gives its id; any one character changed makes it no key at all."""
    text = compose(key_id, secret)
    found = split(text)
    assert found is not None
    assert found[0] == key_id
    assert len(text) == 4 + 12 + 1 + 43 + 1 + 6
    for place in (4, 20, len(text) - 1):
        other = "a" if text[place] != "a" else "b"
        assert split(text[:place] + other + text[place + 1 :]) is None
    assert split(text + "a") is None
    assert split(text + "\n") is None


@given(st.integers(0, 2**256 - 1))
def test_base62_is_injective_at_its_width(number: int) -> None:
    """43 characters hold 32 bytes."""
    alphabet = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
    back = 0
    for character in base62(number, 43):
        back = back * 62 + alphabet.index(character)
    assert back == number


def test_the_digest_depends_on_the_pepper() -> None:
    """A stolen topic without the pepper recognises no key."""
    assert digest_of("key", b"a" * 32) != digest_of("key", b"b" * 32)


@pytest.mark.parametrize("environ", [{}, {"HOOKLINE_API_KEY_PEPPER": "too short"}])
def test_a_missing_or_short_pepper_is_named_and_not_shown(environ: dict[str, str]) -> None:
    """The error names the variable; a secret's text is in no message."""
    with pytest.raises(ConfigError, match="HOOKLINE_API_KEY_PEPPER") as caught:
        load(ApiKeyConfig, environ)
    assert "too short" not in str(caught.value)
