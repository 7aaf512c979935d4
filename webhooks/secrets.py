"""Signing secrets: made here, shown once, kept encrypted, opened only to sign."""

from __future__ import annotations

import base64
import binascii
import os
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Self

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from hookline.kernel.clock import to_us
from hookline.kernel.config import setting, words
from hookline.kernel.errors import ConfigError, InputError
from hookline.webhooks.model import Webhook

PREFIX: Final = "whsec_"
_LEAST, _MOST, _MADE = 24, 64, 32
_NONCE: Final = 12
_KEY: Final = 32


@dataclass(frozen=True, slots=True)
class MasterKey:
    """A key that encrypts secrets, under its id."""

    id: str
    key: bytes


def master_keys(text: str) -> tuple[MasterKey, ...]:
    """Parse `id:base64[,id:base64]`, 32 bytes each; raise `ValueError` without showing any of it."""
    found = []
    for part in words(text):
        name, _, encoded = part.partition(":")
        try:
            key = base64.b64decode(encoded, validate=True)
        except binascii.Error as error:
            raise ValueError("a key is not base64") from error
        if not name.isalnum() or len(key) != _KEY:
            raise ValueError("each key is id:base64, the id of letters and digits, the key of 32 bytes")
        found.append(MasterKey(name, key))
    if not found or len({key.id for key in found}) != len(found):
        raise ValueError("give at least one key, each id once")
    return tuple(found)


@dataclass(frozen=True, slots=True, kw_only=True)
class SecretsConfig:
    """The master keys; the first one encrypts, all of them decrypt."""

    keys: tuple[MasterKey, ...] = setting(
        "HOOKLINE_SECRET_KEYS",
        None,
        "id:base64 of 32 random bytes[,older keys]; the first encrypts webhook secrets",
        master_keys,
        secret=True,
    )


class Vault:
    """Seals and opens secrets with AES-256-GCM; thread-safe.

    The sealed blob is `length of key id, key id, nonce, ciphertext`. What is bound to it (`aad`) is store, webhook and
    the time of its making: a blob moved to another webhook does not open, and updates that leave the secret alone need
    not seal it again, as they would if the webhook's version were bound.
    """

    def __init__(self, keys: tuple[MasterKey, ...]) -> None:
        self._first = keys[0].id
        self._ciphers = {key.id: AESGCM(key.key) for key in keys}

    @classmethod
    def from_config(cls, config: SecretsConfig) -> Self:
        """Return the vault of the configured keys."""
        return cls(config.keys)

    def seal(self, plain: bytes, aad: bytes) -> bytes:
        """Return the encrypted blob."""
        nonce = os.urandom(_NONCE)
        name = self._first.encode()
        return bytes([len(name)]) + name + nonce + self._ciphers[self._first].encrypt(nonce, plain, aad)

    def open(self, blob: bytes, aad: bytes) -> bytes:
        """Return the secret; raise `ConfigError` naming the key that is missing or wrong."""
        length = blob[0] if blob else 0
        name = blob[1 : 1 + length].decode("ascii", "replace")
        cipher = self._ciphers.get(name)
        remedy = "Put it back into HOOKLINE_SECRET_KEYS, behind the newer ones."
        if cipher is None:
            raise ConfigError(f"The key {name!r} that encrypted a webhook's secret is not configured", remedy=remedy)
        nonce, text = blob[1 + length : 1 + length + _NONCE], blob[1 + length + _NONCE :]
        try:
            return cipher.decrypt(nonce, text, aad)
        except (InvalidTag, ValueError) as error:
            raise ConfigError(f"A webhook's secret does not open with the key {name!r}", remedy=remedy) from error


def aad_of(store_id: str, webhook_id: str, created_at_us: int) -> bytes:
    """Return what a sealed secret is bound to."""
    return f"{store_id}|{webhook_id}|secret|{created_at_us}".encode()


def new_secret() -> str:
    """Return a fresh secret, `whsec_` and the base64 of 32 random bytes."""
    return PREFIX + base64.b64encode(os.urandom(_MADE)).decode()


def parse_secret(text: str) -> bytes:
    """Return the key bytes of a secret; raise `InputError` unless it is base64 of 24 to 64 bytes."""
    try:
        key = base64.b64decode(text.removeprefix(PREFIX), validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if not _LEAST <= len(key) <= _MOST:
        remedy = "Leave it out: a good one is made for you."
        raise InputError(f"secret must be whsec_ and the base64 of {_LEAST} to {_MOST} random bytes", field="secret", remedy=remedy)
    return key


def signing_keys(webhook: Webhook, vault: Vault, now: datetime) -> list[bytes]:
    """Return the keys to sign with: the current one first, then replaced ones that have not run out yet."""
    now_us = to_us(now)
    valid = [s for s in webhook.secrets if s.expires_at_us == 0 or s.expires_at_us > now_us]
    valid.sort(key=lambda secret: (secret.expires_at_us != 0, -secret.created_at_us))
    return [vault.open(s.blob, aad_of(webhook.store_id, webhook.id, s.created_at_us)) for s in valid]
