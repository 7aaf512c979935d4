"""A webhook: a store's wish to be called for some types of event."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any, Final, Self

SUBJECT: Final = "hookline.Webhook"


class State(StrEnum):
    """Whether a webhook is called: `PAUSED` holds deliveries, `DISABLED` takes none."""

    ENABLED = "enabled"
    PAUSED = "paused"
    DISABLED = "disabled"


@dataclass(frozen=True, slots=True)
class SealedSecret:
    """An encrypted signing secret; `expires_at_us` 0 marks the current one."""

    blob: bytes
    created_at_us: int
    expires_at_us: int = 0


@dataclass(frozen=True, slots=True)
class SealedHeader:
    """A header the store wants on every call; its value, which may be a password, is encrypted."""

    name: str
    blob: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class SealedCertificate:
    """A client certificate with its chain and its private key, encrypted together; the rest is what may be shown of it."""

    blob: bytes
    subject: str
    fingerprint: str
    not_after_us: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Webhook:
    """The whole state of a webhook; immutable, so that any thread may hold one."""

    id: str
    store_id: str
    name: str
    url: str
    event_types: tuple[str, ...]
    filter: str
    state: State
    state_reason: str
    state_since_us: int
    secrets: tuple[SealedSecret, ...]
    headers: tuple[SealedHeader, ...]
    timeout_s: float
    schedule: str
    created_at_us: int
    updated_at_us: int
    version: int
    write_id: str
    client_certificate: SealedCertificate | None = None
    template: str = ""

    def to_datum(self) -> dict[str, Any]:
        """Return the Avro datum."""
        found = asdict(self)
        return found | {name: list(found[name]) for name in ("event_types", "secrets", "headers")}

    @classmethod
    def from_datum(cls, datum: Mapping[str, Any]) -> Self:
        """Return the webhook of an Avro datum; raise `ValueError` for an unknown state. Repeated texts are shared."""
        found = dict(datum)
        found["store_id"] = sys.intern(found["store_id"])
        found["event_types"] = tuple(sys.intern(name) for name in found["event_types"])
        found["state"] = State(found["state"])
        found["secrets"] = tuple(SealedSecret(**secret) for secret in found["secrets"])
        found["headers"] = tuple(SealedHeader(**header) for header in found["headers"])
        found["schedule"] = sys.intern(found["schedule"])
        found["template"] = sys.intern(found.get("template", ""))
        certificate = found.get("client_certificate")
        found["client_certificate"] = SealedCertificate(**certificate) if certificate is not None else None
        return cls(**found)
