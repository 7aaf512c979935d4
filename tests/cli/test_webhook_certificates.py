"""`hookline webhooks certificate` over the real broker."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from tests.cli.test_webhooks import environ, made
from tests.webhooks.certified import OTHER, certificate, pem

pytestmark = pytest.mark.kafka

__all__ = ["environ"]  # the topics of each test


@pytest.fixture
def files(tmp_path: Path) -> dict[str, str]:
    """Write a certificate, its key, another key, and a file that is none; return their paths."""
    now = datetime.now(UTC)
    texts = {"chain": certificate(at=now), "key": pem(), "other": pem(OTHER), "none": "Grüße"}
    for name, text in texts.items():
        (tmp_path / name).write_text(text, "utf-8")
    return {name: str(tmp_path / name) for name in texts}


def test_a_certificate_is_given_shown_and_taken_away(hookline: Callable[..., Any], files: dict[str, str]) -> None:
    """What is shown is its fingerprint; the change is one of the webhook's versions."""
    webhook_id = made(hookline)["id"]
    pair = ("--certificate", files["chain"], "--private-key", files["key"])
    given = hookline("webhooks", "certificate", webhook_id, *pair, "--json").json
    assert (len(given["client_certificate"]), given["version"]) == (64, 2)
    assert hookline("webhooks", "show", webhook_id, "--json").json == given
    assert hookline("webhooks", "certificate", webhook_id, "--remove", "--json").json["client_certificate"] == ""


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ((), "comes with its private key"),
        (("--certificate", "chain"), "comes with its private key"),
        (("--remove", "--private-key", "key"), "given or removed"),
        (("--certificate", "chain", "--private-key", "other"), "not that of the certificate"),
        (("--certificate", "none", "--private-key", "key"), "is not PEM"),
        (("--certificate", "nowhere", "--private-key", "key"), "cannot be read"),
    ],
)
def test_what_is_wrong_is_said(hookline: Callable[..., Any], files: dict[str, str], options: tuple[str, ...], words: str) -> None:
    """Before anything changes, with what to do, and without a byte of a key."""
    webhook_id = made(hookline)["id"]
    said = hookline("webhooks", "certificate", webhook_id, *(files.get(option, option) for option in options))
    assert said.status == 2
    assert words in " ".join(said.err.split())
    assert "PRIVATE" not in said.err
    assert hookline("webhooks", "show", webhook_id, "--json").json["version"] == 1
