"""What both schema registries share: a registered version, where the registry is, what is said when a schema is missing."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from hookline.kernel.config import setting
from hookline.kernel.errors import SchemaError


@dataclass(frozen=True, slots=True)
class Registered:
    """One version of a subject."""

    id: int
    subject: str
    version: int
    schema: dict[str, Any]


def http_url(text: str) -> str:
    """Parse the address of a registry; raise `ValueError`."""
    if not text.startswith(("http://", "https://")) or "@" in text:
        raise ValueError("must begin with http:// or https:// and hold no user name: that goes into SCHEMA_REGISTRY_CREDENTIALS")
    return text.rstrip("/")


def credentials(text: str) -> str:
    """Parse `user:password`; raise `ValueError`."""
    if text and ":" not in text:
        raise ValueError("must be user:password")
    return text


@dataclass(frozen=True, slots=True, kw_only=True)
class RegistryConfig:
    """Where schemas are registered: beside the events, unless a registry of your own is named."""

    url: str = setting(
        "SCHEMA_REGISTRY_URL",
        "",
        "http(s) address of a Confluent-compatible schema registry; empty: the embedded one",
        lambda text: http_url(text) if text else "",
    )
    credentials: str = setting("SCHEMA_REGISTRY_CREDENTIALS", "", "user:password of that registry", credentials, secret=True)


def not_registered(subject: str) -> SchemaError:
    """Return the error for a schema of this build that the registry does not have."""
    return SchemaError(
        f"This build's schema of {subject} is not registered", remedy="Run `hookline schemas register` once for this version."
    )
