"""API keys: made, recognised and revoked over a compacted topic that holds only their digests.

A key reads `hlk_<id>_<43 base62 characters of 32 random bytes>_<crc32 in base62>`: the prefix and the checksum let
secret scanners find leaked keys and let a typing error be told from a wrong key without a look-up.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import re
import secrets
import zlib
from dataclasses import dataclass, replace
from typing import Any, Final

from confluent_kafka import Message

from hookline.kernel import kafka
from hookline.kernel.clock import Clock, to_us
from hookline.kernel.compacted import CompactedTopic
from hookline.kernel.config import setting
from hookline.kernel.errors import BrokerUnavailable, InputError, LimitExceeded, NotFound, Unauthorized, WireError
from hookline.kernel.writer import Writer
from hookline.schemas.events import check_id
from hookline.schemas.topics import Topics
from hookline.schemas.wire import Codec

SCOPES: Final = ("events:write", "hooks:read", "hooks:write", "results:read", "dlq:replay", "admin")
SUBJECT: Final = "hookline.ApiKey"
USE_SUBJECT: Final = "hookline.ApiKeyUse"
USE_KEY: Final = b"used:"
"""Begins the record key of a use, which no key's id can."""
MOST_LIVE: Final = 50
HOUR_US: Final = 3_600_000_000
_ALPHABET: Final = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_ID_ALPHABET: Final = "0123456789abcdefghijklmnopqrstuvwxyz"
_ID_CHARACTERS: Final = 12
_SECRET_BYTES: Final = 32
_SECRET_CHARACTERS: Final = 43
_CRC_CHARACTERS: Final = 6
_KEY: Final = re.compile(r"(hlk_([0-9a-z]{12})_[0-9A-Za-z]{43})_([0-9A-Za-z]{6})\Z")
_NAME_CHARACTERS: Final = 128
_PEPPER_CHARACTERS: Final = 32
_WAIT_S: Final = 10.0


def pepper(text: str) -> bytes:
    """Parse the pepper; raise `ValueError` when it is too short to keep a secret."""
    if len(text) < _PEPPER_CHARACTERS:
        raise ValueError(f"must have at least {_PEPPER_CHARACTERS} characters")
    return text.encode()


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiKeyConfig:
    """The secret under which keys are digested."""

    pepper: bytes = setting(
        "HOOKLINE_API_KEY_PEPPER", None, "at least 32 random characters, the same in every process", pepper, secret=True
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiKey:
    """What a key may do; times are microseconds since the epoch, 0 where there is none."""

    id: str
    store_id: str
    name: str
    scopes: tuple[str, ...]
    digest: bytes
    created_at_us: int
    expires_at_us: int = 0
    revoked_at_us: int = 0

    def allows(self, scope: str) -> bool:
        """Tell whether the key may do this; `admin` may do everything in its store."""
        return scope in self.scopes or "admin" in self.scopes

    def alive(self, now_us: int) -> bool:
        """Tell whether the key is neither revoked nor expired."""
        return not self.revoked_at_us and (not self.expires_at_us or now_us < self.expires_at_us)


class ApiKeys:
    """The keys as this process knows them: read whole at start, then followed, so a revoked key dies within a second."""

    def __init__(self, config: kafka.KafkaConfig, codec: Codec, secret: ApiKeyConfig, clock: Clock) -> None:
        self._codec = codec
        self._pepper = secret.pepper
        self._clock = clock
        self._keys: dict[str, ApiKey] = {}
        self._used: dict[str, int] = {}
        self._seen: dict[str, int] = {}
        self._topic = CompactedTopic(config, Topics(config.topic_prefix).api_keys, self._apply)
        self._nobody = os.urandom(hashlib.sha256().digest_size)

    def start(self) -> None:
        """Read the topic to its end and follow it; raise `BrokerError`."""
        self._topic.start()

    def stop(self) -> None:
        """Stop following."""
        self._topic.stop()

    def complaint(self) -> str:
        """Return what is wrong, or an empty text: a probe for `/readyz`."""
        return "" if self._topic.ready else "the API keys are not read yet"

    def verify(self, key: str) -> ApiKey:
        """Return what a key may do; raise `Unauthorized`, in the same words and time for every reason."""
        parts = split(key)
        digest = digest_of(key, self._pepper)
        found = self._keys.get(parts[0]) if parts is not None else None
        same = hmac.compare_digest(digest, found.digest if found is not None else self._nobody)
        now_us = to_us(self._clock.now())
        if found is None or not same or not found.alive(now_us):
            raise Unauthorized(
                "The API key is missing, malformed, unknown, expired or revoked", remedy="Send `Authorization: Bearer hlk_...`."
            )
        self._seen[found.id] = now_us - now_us % HOUR_US
        return found

    def holds(self, key: ApiKey) -> bool:
        """Tell whether a key that `verify` returned is still what it was, and note its use: a tenth of the time of `verify`."""
        now_us = to_us(self._clock.now())
        if self._keys.get(key.id) is not key or not key.alive(now_us):
            return False
        self._seen[key.id] = now_us - now_us % HOUR_US
        return True

    def may_be_new(self, key: str) -> bool:
        """Tell whether a key is well formed and not known here: it may have been made a moment ago, elsewhere."""
        parts = split(key)
        return parts is not None and parts[0] not in self._keys

    def last_used_us(self, key_id: str) -> int:
        """Return the hour in which a key was last used, as far as is known; 0: never."""
        return max(self._used.get(key_id, 0), self._seen.get(key_id, 0))

    def unwritten_uses(self) -> dict[str, int]:
        """Return the uses, id to hour, that this process has seen and no process has written."""
        return {key_id: hour for key_id, hour in self._seen.copy().items() if hour > self._used.get(key_id, 0)}

    def get(self, key_id: str) -> ApiKey | None:
        """Return a key by id, revoked ones too."""
        return self._keys.get(key_id)

    def of_store(self, store_id: str = "") -> list[ApiKey]:
        """Return the keys of a store (empty: of all), the oldest first, revoked ones too."""
        return sorted((k for k in self._keys.values() if store_id in {"", k.store_id}), key=lambda key: key.created_at_us)

    def wait_for(self, offset: int, timeout_s: float) -> bool:
        """Return whether all records below `offset` are applied."""
        return self._topic.wait_for(offset, timeout_s)

    def catch_up(self) -> bool:
        """Apply all that was acknowledged before this call."""
        return self._topic.catch_up()

    def _apply(self, message: Message) -> None:
        key, value = (message.key() or b""), message.value()
        if value is None:
            self._keys.pop(key.decode(), None)
            return
        subject, datum = self._codec.decode_record(value)
        if subject == USE_SUBJECT and key == USE_KEY + datum["id"].encode():
            self._used[datum["id"]] = max(datum["used_at_us"], self._used.get(datum["id"], 0))
            return
        if subject != SUBJECT or datum["id"] != key.decode():
            raise WireError(f"The record of key {key[:64]!r} is no API key of that id")
        self._keys[datum["id"]] = ApiKey(**{**datum, "scopes": tuple(datum["scopes"])})


class ApiKeyWriter:
    """Creates and revokes keys; returns once its own reader has seen the change. Use it from one thread."""

    def __init__(self, config: kafka.KafkaConfig, codec: Codec, secret: ApiKeyConfig, keys: ApiKeys, clock: Clock) -> None:
        self._config = config
        self._codec = codec
        self._pepper = secret.pepper
        self._keys = keys
        self._clock = clock
        self._writer = Writer(config)

    def create(self, store_id: str, scopes: tuple[str, ...], *, name: str = "", lives_s: float = 0) -> tuple[ApiKey, str]:
        """Return the new key and its text, which is not kept anywhere; `lives_s` 0 means for ever. Raises `InputError`, `BrokerError`.

        A store has as many live keys as it needs to replace one without a gap, and no more than fifty.
        """
        self._check_live(check_id(store_id, "store_id"))
        key_id = "".join(secrets.choice(_ID_ALPHABET) for _ in range(_ID_CHARACTERS))
        text = compose(key_id, os.urandom(_SECRET_BYTES))
        now_us = to_us(self._clock.now())
        made = ApiKey(
            id=key_id,
            store_id=store_id,
            name=_checked_name(name),
            scopes=_checked_scopes(scopes),
            digest=digest_of(text, self._pepper),
            created_at_us=now_us,
            expires_at_us=now_us + int(lives_s * 1_000_000) if lives_s else 0,
        )
        self._write(made)
        return made, text

    def revoke(self, key_id: str, *, store_id: str = "") -> ApiKey:
        """Return the key, now revoked; revoking twice changes nothing. Raises `NotFound`, for another store's key too."""
        self._keys.catch_up()
        found = self._keys.get(key_id)
        if found is None or store_id not in {"", found.store_id}:
            raise NotFound(f"There is no API key {key_id[:64]!r}", field="id", remedy="`hookline api-keys list` shows the ids.")
        if found.revoked_at_us:
            return found
        revoked = replace(found, revoked_at_us=to_us(self._clock.now()))
        self._write(revoked)
        return revoked

    def list(self, store_id: str = "") -> list[ApiKey]:
        """Return the keys of a store (empty: of all), the oldest first, revoked ones too."""
        self._keys.catch_up()
        return self._keys.of_store(store_id)

    def _check_live(self, store_id: str) -> None:
        self._keys.catch_up()
        now_us = to_us(self._clock.now())
        if sum(key.alive(now_us) for key in self._keys.of_store(store_id)) >= MOST_LIVE:
            raise LimitExceeded(
                f"{store_id} has {MOST_LIVE} live API keys already", field="store_id", remedy="Revoke those no longer used."
            )

    def _write(self, key: ApiKey) -> None:
        datum: dict[str, Any] = {name: getattr(key, name) for name in ApiKey.__slots__}
        value = self._codec.encode_record(SUBJECT, datum | {"scopes": list(key.scopes)})
        topic = Topics(self._config.topic_prefix).api_keys
        offset = self._writer.write(topic, key=key.id.encode(), value=value)
        if not self._keys.wait_for(offset + 1, _WAIT_S):
            raise BrokerUnavailable(f"API key {key.id} was written but could not be read back", remedy="Check the broker; list the keys.")


def compose(key_id: str, secret: bytes) -> str:
    """Return the text of a key."""
    body = f"hlk_{key_id}_{base62(int.from_bytes(secret), _SECRET_CHARACTERS)}"
    return f"{body}_{_checksum(body)}"


def split(key: str) -> tuple[str, str] | None:
    """Return (id, checksum) of a well-formed key, None for any other text."""
    match = _KEY.match(key)
    if match is None or match[3] != _checksum(match[1]):
        return None
    return match[2], match[3]


def digest_of(key: str, secret: bytes) -> bytes:
    """Return what is kept of a key. A fast hash is right: there are 256 random bits to guess."""
    return hmac.digest(secret, key.encode("utf-8", "replace"), "sha256")


def base62(number: int, width: int) -> str:
    """Return a number in base 62, padded with zeros to `width` characters."""
    digits: list[str] = []
    for _ in range(width):
        number, rest = divmod(number, len(_ALPHABET))
        digits.append(_ALPHABET[rest])
    return "".join(reversed(digits))


def _checksum(body: str) -> str:
    return base62(zlib.crc32(body.encode()), _CRC_CHARACTERS)


def _checked_scopes(scopes: tuple[str, ...]) -> tuple[str, ...]:
    wrong = [scope for scope in scopes if scope not in SCOPES]
    if wrong or not scopes:
        shown = f"{wrong[0][:40]!r} is no scope" if wrong else "A key needs at least one scope"
        raise InputError(shown, field="scopes", remedy=f"Scopes: {', '.join(SCOPES)}.")
    return tuple(dict.fromkeys(scopes))


def _checked_name(name: str) -> str:
    if len(name) > _NAME_CHARACTERS or not (name.isprintable() or not name):
        raise InputError(
            f"The name must be at most {_NAME_CHARACTERS} printable characters", field="name", remedy="Shorten it, or leave the others out."
        )
    return name
