"""Secrets and header values: encrypted at rest, opened only by their webhook's keys, rotated with an overlap."""

from __future__ import annotations

import base64
import os
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hookline.kernel.clock import to_us
from hookline.kernel.config import load, masked
from hookline.kernel.errors import ConfigError, InputError
from hookline.webhooks.model import SealedHeader, SealedSecret, State, Webhook
from hookline.webhooks.secrets import (
    MasterKey,
    SecretsConfig,
    Vault,
    aad_of,
    new_secret,
    open_headers,
    parse_secret,
    resealed,
    seal_headers,
    seal_secret,
    show_secret,
    signing_keys,
)

pytestmark = pytest.mark.unit

OLD, NEW = MasterKey("old", os.urandom(32)), MasterKey("new", os.urandom(32))
NOW = datetime(2026, 3, 14, 12, tzinfo=UTC)


def webhook(secrets: tuple[SealedSecret, ...] = (), headers: tuple[SealedHeader, ...] = (), webhook_id: str = "wh_1") -> Webhook:
    """Return a webhook with these secrets."""
    return Webhook(
        id=webhook_id,
        store_id="shop",
        name="",
        url="https://hooks.example.com/",
        event_types=("order.created",),
        filter="",
        state=State.ENABLED,
        state_reason="",
        state_since_us=1,
        secrets=secrets,
        headers=headers,
        timeout_s=10.0,
        schedule="default",
        created_at_us=1,
        updated_at_us=1,
        version=1,
        write_id="w",
    )


@given(plain=st.binary(max_size=200), aad=st.binary(max_size=50))
def test_what_is_sealed_opens(plain: bytes, aad: bytes) -> None:
    """A blob opens to what went in, shows nothing of it, and is different each time."""
    vault = Vault((NEW, OLD))
    blob = vault.seal(plain, aad)
    assert vault.open(blob, aad) == plain
    assert len(plain) < 8 or plain not in blob
    assert vault.seal(plain, aad) != blob


def test_a_blob_names_its_key_and_hides_the_rest() -> None:
    """The first key seals; its id stands in front, then 12 random bytes, the ciphertext and 16 bytes of tag."""
    blob = Vault((NEW, OLD)).seal(b"x" * 32, b"")
    assert blob[:4] == b"\3new"
    assert len(blob) == 4 + 12 + 32 + 16


def test_any_configured_key_opens() -> None:
    """After a new key is put in front, what the old one sealed still opens; new blobs are under the new one."""
    blob = Vault((OLD,)).seal(b"secret", b"aad")
    vault = Vault((NEW, OLD))
    assert vault.open(blob, b"aad") == b"secret"
    assert not vault.is_current(blob)
    assert vault.is_current(vault.seal(b"secret", b"aad"))


def test_a_missing_key_is_named() -> None:
    """Without its key a blob does not open; the error names the key's id and the variable."""
    with pytest.raises(ConfigError, match="'old'") as refused:
        Vault((NEW,)).open(Vault((OLD,)).seal(b"secret", b""), b"")
    assert "HOOKLINE_SECRET_KEYS" in refused.value.remedy


def test_a_wrong_key_under_the_right_id_is_told() -> None:
    """The same id with other bytes is an error that says so, and shows nothing."""
    blob = Vault((OLD,)).seal(b"topsecret", b"")
    with pytest.raises(ConfigError, match="does not open with the key 'old'") as refused:
        Vault((MasterKey("old", os.urandom(32)),)).open(blob, b"")
    assert "topsecret" not in str(refused.value)


@pytest.mark.parametrize("other", [("shop", "wh_2", 5), ("store", "wh_1", 5), ("shop", "wh_1", 6)])
def test_a_blob_of_another_webhook_store_or_time_does_not_open(other: tuple[str, str, int]) -> None:
    """Blobs cannot be exchanged: what they were made for is bound to them."""
    vault = Vault((NEW,))
    blob = vault.seal(b"secret", aad_of("shop", "wh_1", 5))
    with pytest.raises(ConfigError):
        vault.open(blob, aad_of(*other))


@given(st.binary(max_size=80))
def test_any_bytes_are_refused_as_a_blob(blob: bytes) -> None:
    """Corrupt blobs give the one error, whatever they hold."""
    with pytest.raises(ConfigError):
        Vault((NEW, OLD)).open(blob, b"")


@pytest.mark.parametrize("flip", [0, 1, 4, 10, 20, 40, 63])
def test_a_changed_bit_is_noticed(flip: int) -> None:
    """Every part of a blob is authenticated."""
    blob = bytearray(Vault((NEW,)).seal(b"x" * 32, b""))
    blob[flip] ^= 1
    with pytest.raises(ConfigError):
        Vault((NEW,)).open(bytes(blob), b"")


GOOD_KEY = base64.b64encode(bytes(32)).decode()


@pytest.mark.parametrize(
    "text",
    [
        "",
        "x",
        "x:",
        f":{GOOD_KEY}",
        f"a b:{GOOD_KEY}",
        f"ключ:{GOOD_KEY}",
        f"{'k' * 33}:{GOOD_KEY}",
        f"a:{GOOD_KEY},a:{GOOD_KEY}",
        f"a:{GOOD_KEY[:-4]}",
        "a:not base64!",
        f"a:{base64.b64encode(bytes(16)).decode()}",
        f"a:{base64.b64encode(bytes(33)).decode()}",
    ],
)
def test_bad_master_keys_end_the_start(text: str) -> None:
    """Keys that are no keys are refused at start, naming the variable and showing none of them."""
    with pytest.raises(ConfigError, match="HOOKLINE_SECRET_KEYS") as refused:
        load(SecretsConfig, {"HOOKLINE_SECRET_KEYS": text})
    assert GOOD_KEY[:20] not in str(refused.value)
    assert "ключ" not in str(refused.value)


def test_master_keys_are_never_shown() -> None:
    """`hookline config` shows that they are set and no more."""
    environ = {"HOOKLINE_SECRET_KEYS": f"a:{GOOD_KEY}"}
    assert load(SecretsConfig, environ).keys[0].id == "a"
    assert masked(SecretsConfig, environ) == {"HOOKLINE_SECRET_KEYS": "********"}


def test_a_fresh_secret_is_32_random_bytes() -> None:
    """Secrets look as Standard Webhooks wants them and are never the same."""
    assert len({new_secret() for _ in range(100)}) == 100
    assert new_secret().startswith("whsec_")
    assert len(parse_secret(new_secret())) == 32


@pytest.mark.parametrize("size", [24, 32, 64])
def test_a_secret_of_your_own_is_taken_with_or_without_prefix(size: int) -> None:
    """24 to 64 bytes in base64 are a secret; what is shown carries the prefix."""
    key = os.urandom(size)
    text = base64.b64encode(key).decode()
    assert parse_secret("whsec_" + text) == parse_secret(text) == key
    assert show_secret(key) == "whsec_" + text


@pytest.mark.parametrize(
    "text",
    [
        "",
        "whsec_",
        "whsec_abc",
        "whsec_" + base64.b64encode(bytes(23)).decode(),
        "whsec_" + base64.b64encode(bytes(65)).decode(),
        "whsec_" + "A" * 31 + "!",
        "whsec_whsec_" + base64.b64encode(bytes(32)).decode(),
        "WHSEC_" + base64.b64encode(bytes(32)).decode(),
        "hunter2",
        "ä" * 40,
        "\ud800" * 40,
        None,
        7,
        b"whsec_" + base64.b64encode(bytes(32)),
    ],
)
def test_a_bad_secret_is_refused_without_being_shown(text: object) -> None:
    """Too short, too long, no base64, no text: one error with a remedy, and no echo of what was given."""
    with pytest.raises(InputError, match="24 to 64 random bytes") as refused:
        parse_secret(text)
    assert refused.value.field == "secret"
    assert "hunter2" not in str(refused.value)


def sealed(vault: Vault, key: bytes, made: datetime, ends: datetime | None = None) -> SealedSecret:
    """Return a secret that was made and ends at these times."""
    found = seal_secret(key, vault, "shop", "wh_1", to_us(made))
    return replace(found, expires_at_us=to_us(ends)) if ends else found


def test_the_current_secret_signs_first_and_old_ones_until_they_end() -> None:
    """During the overlap both sign, the current one first; afterwards it alone."""
    vault = Vault((NEW,))
    current = sealed(vault, b"c" * 32, NOW)
    old = sealed(vault, b"o" * 32, NOW - timedelta(days=9), NOW + timedelta(hours=24))
    older = sealed(vault, b"p" * 32, NOW - timedelta(days=10), NOW + timedelta(hours=1))
    hook = webhook((older, old, current))
    assert signing_keys(hook, vault, NOW) == [b"c" * 32, b"o" * 32, b"p" * 32]
    assert signing_keys(hook, vault, NOW + timedelta(hours=2)) == [b"c" * 32, b"o" * 32]
    assert signing_keys(hook, vault, NOW + timedelta(hours=24)) == [b"c" * 32]


def test_header_values_are_sealed_one_by_one() -> None:
    """Values open to what they were; one moved to another name or webhook does not."""
    vault = Vault((NEW,))
    headers = seal_headers([("authorization", "Bearer topsecret"), ("x-name", "Grüße")], vault, "shop", "wh_1")
    hook = webhook(headers=headers)
    assert open_headers(hook, vault) == (("authorization", "Bearer topsecret"), ("x-name", "Grüße"))
    assert b"topsecret" not in repr(hook).encode()
    moved = webhook(headers=(SealedHeader("x-other", headers[0].blob),))
    for wrong in (moved, replace(hook, id="wh_2"), replace(hook, store_id="store")):
        with pytest.raises(ConfigError):
            open_headers(wrong, vault)


def test_sealing_anew_moves_everything_under_the_first_key() -> None:
    """Afterwards the old key is needed no more, and everything opens to what it was."""
    before = Vault((OLD,))
    hook = webhook((sealed(before, b"c" * 32, NOW),), seal_headers([("x-a", "1")], before, "shop", "wh_1"))
    again = resealed(hook, Vault((NEW, OLD)))
    assert signing_keys(again, Vault((NEW,)), NOW) == [b"c" * 32]
    assert open_headers(again, Vault((NEW,))) == (("x-a", "1"),)
    assert again.secrets[0].created_at_us == hook.secrets[0].created_at_us
