"""Settings of the console: where it listens, who operates it, how much it takes on at once."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from typing import Final

from hookline.kernel.config import integer, number, setting

_LEAST_TOKEN: Final = 32
_HASHED: Final = re.compile(r"sha256:([0-9a-f]{64})\Z")


def operator_digest(text: str) -> bytes:
    """Parse the operator token, or `sha256:` and its hexadecimal SHA-256, into that digest; empty: no operator. Raises `ValueError`.

    From here on only the digest is known.
    """
    if not text:
        return b""
    hashed = _HASHED.match(text)
    if hashed is not None:
        return bytes.fromhex(hashed[1])
    if len(text) < _LEAST_TOKEN or not text.isprintable() or not text.isascii() or " " in text:
        raise ValueError(f"must have at least {_LEAST_TOKEN} characters of printable ASCII without spaces")
    return hashlib.sha256(text.encode()).digest()


@dataclass(frozen=True, slots=True, kw_only=True)
class ConsoleConfig:
    """How the console listens and how much it takes on."""

    host: str = setting("HOOKLINE_CONSOLE_HOST", "127.0.0.1", "address of the REST API and the panel")
    port: int = setting("HOOKLINE_CONSOLE_PORT", "8090", "port of the REST API and the panel; 0 takes a free one", integer(0, 65_535))
    operator: bytes = setting(
        "HOOKLINE_OPERATOR_TOKEN",
        "",
        "at least 32 random characters that may act for every store, or sha256: and their SHA-256; empty: nobody may",
        operator_digest,
        secret=True,
    )
    query_threads: int = setting(
        "HOOKLINE_CONSOLE_QUERY_THREADS", "2", "questions to ClickHouse and reads from Kafka at the same time", integer(1, 64)
    )
    trial_threads: int = setting("HOOKLINE_CONSOLE_TRIAL_THREADS", "4", "test calls waited for at the same time", integer(1, 64))
    waiting: int = setting(
        "HOOKLINE_CONSOLE_WAITING", "256", "requests that may wait for a thread; more are told to come back", integer(1, 10_000)
    )
    auth_failures: int = setting(
        "HOOKLINE_CONSOLE_AUTH_FAILURES", "10", "wrong API keys per minute and address that get a 401; more get a 429", integer(1, 100_000)
    )
    upload_s: float = setting("HOOKLINE_CONSOLE_UPLOAD_S", "10", "longest time that a request's body may take to arrive", number(0.1, 300))
    drain_s: float = setting("HOOKLINE_CONSOLE_DRAIN_S", "10", "longest wait for requests under way when the console stops", number(0, 300))
    trial_wait_s: float = setting("HOOKLINE_CONSOLE_TRIAL_WAIT_S", "40", "longest wait for the answer to a test call", number(1, 300))
