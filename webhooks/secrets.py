"""Signing secrets, values of headers, client certificates: kept encrypted, opened only to call; secrets are made here and shown once."""

from __future__ import annotations

import base64
import binascii
import os
import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final, Self

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from hookline.kernel.clock import to_us
from hookline.kernel.config import setting, words
from hookline.kernel.errors import ConfigError, InputError
from hookline.webhooks.model import SealedHeader, SealedSecret, Webhook

PREFIX: Final = "whsec_"
_LEAST, _MOST, _MADE = 24, 64, 32
_NONCE: Final = 12
_KEY: Final = 32
_KEY_ID: Final = re.compile(r"[A-Za-z0-9]{1,32}\Z")
_BACK: Final = "Put it back into HOOKLINE_SECRET_KEYS, behind the newer ones."


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
        if not _KEY_ID.match(name) or len(key) != _KEY:
            raise ValueError("each key is id:base64, the id of 1 to 32 letters and digits, the key of 32 bytes")
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
        """Return what was sealed; raise `ConfigError` naming the key that is missing or wrong."""
        name, rest = _key_id(blob)
        cipher = self._ciphers.get(name)
        if cipher is None:
            raise ConfigError(f"The key {name!r} that encrypted a webhook's secret is not configured", remedy=_BACK)
        try:
            return cipher.decrypt(rest[:_NONCE], rest[_NONCE:], aad)
        except (InvalidTag, ValueError) as error:
            raise ConfigError(f"A webhook's secret does not open with the key {name!r}", remedy=_BACK) from error

    @property
    def key_ids(self) -> tuple[str, ...]:
        """The ids of the configured keys, the one that seals first."""
        return tuple(self._ciphers)

    def key_of(self, blob: bytes) -> str:
        """Return the id of the key that a blob is sealed with, configured or not."""
        return _key_id(blob)[0]

    def is_current(self, blob: bytes) -> bool:
        """Tell whether a blob is sealed with the first key, so that the others could go."""
        return _key_id(blob)[0] == self._first


def _key_id(blob: bytes) -> tuple[str, bytes]:
    """Return the id of the key that sealed a blob, and what is behind it."""
    length = blob[0] if blob else 0
    return blob[1 : 1 + length].decode("ascii", "replace"), blob[1 + length :]


def aad_of(store_id: str, webhook_id: str, created_at_us: int) -> bytes:
    """Return what a sealed secret is bound to."""
    return f"{store_id}|{webhook_id}|secret|{created_at_us}".encode()


def certificate_aad(store_id: str, webhook_id: str, fingerprint: str) -> bytes:
    """Return what a sealed client certificate is bound to."""
    return f"{store_id}|{webhook_id}|certificate|{fingerprint}".encode()


def seal_secret(key: bytes, vault: Vault, store_id: str, webhook_id: str, now_us: int) -> SealedSecret:
    """Return the key bytes of a secret, encrypted, as the current one from now on."""
    return SealedSecret(vault.seal(key, aad_of(store_id, webhook_id, now_us)), now_us)


def sealed_blobs(webhook: Webhook) -> tuple[bytes, ...]:
    """Return all that is encrypted of a webhook."""
    certificate = webhook.client_certificate
    own = (*(secret.blob for secret in webhook.secrets), *(header.blob for header in webhook.headers))
    return own if certificate is None else (*own, certificate.blob)


def resealed(webhook: Webhook, vault: Vault) -> Webhook:
    """Return the webhook with its secrets, headers and client certificate encrypted anew, with the first key."""

    def again(secret: SealedSecret) -> SealedSecret:
        aad = aad_of(webhook.store_id, webhook.id, secret.created_at_us)
        return replace(secret, blob=vault.seal(vault.open(secret.blob, aad), aad))

    headers = seal_headers(open_headers(webhook, vault), vault, webhook.store_id, webhook.id)
    certificate = webhook.client_certificate
    if certificate is not None:
        aad = certificate_aad(webhook.store_id, webhook.id, certificate.fingerprint)
        certificate = replace(certificate, blob=vault.seal(vault.open(certificate.blob, aad), aad))
    return replace(webhook, secrets=tuple(map(again, webhook.secrets)), headers=headers, client_certificate=certificate)


def seal_headers(pairs: Iterable[tuple[str, str]], vault: Vault, store_id: str, webhook_id: str) -> tuple[SealedHeader, ...]:
    """Return headers with their values encrypted."""
    return tuple(SealedHeader(name, vault.seal(value.encode(), _header_aad(store_id, webhook_id, name))) for name, value in pairs)


def open_headers(webhook: Webhook, vault: Vault) -> tuple[tuple[str, str], ...]:
    """Return a webhook's headers as they go out; raise `ConfigError` as `Vault.open` does."""
    return tuple((h.name, vault.open(h.blob, _header_aad(webhook.store_id, webhook.id, h.name)).decode()) for h in webhook.headers)


def _header_aad(store_id: str, webhook_id: str, name: str) -> bytes:
    return f"{store_id}|{webhook_id}|header|{name}".encode()


def new_secret() -> str:
    """Return a fresh secret, `whsec_` and the base64 of 32 random bytes."""
    return show_secret(os.urandom(_MADE))


def show_secret(key: bytes) -> str:
    """Return key bytes as the secret that receivers are given."""
    return PREFIX + base64.b64encode(key).decode()


def parse_secret(text: object) -> bytes:
    """Return the key bytes of a secret, with or without its prefix; raise `InputError` unless it is base64 of 24 to 64 bytes."""
    try:
        key = base64.b64decode(text.removeprefix(PREFIX), validate=True) if isinstance(text, str) else b""
    except ValueError:  # binascii.Error is one
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
