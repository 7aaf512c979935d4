"""A master key is replaced while events flow: no call is lost, none is unsigned, and at the end the old key opens nothing that is left."""

from __future__ import annotations

import base64
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from hookline.webhooks.certificates import open_identity
from hookline.webhooks.secrets import Vault, master_keys
from hookline.webhooks.store import NewWebhook
from tests.integration.load import Load
from tests.webhooks.certified import given

pytestmark = [pytest.mark.kafka, pytest.mark.process]

Pipeline = Any  # the fixture's class stands in conftest.py
Until = Callable[..., None]
HEADER = "Bearer topsecret"


def command(pipeline: Pipeline, keys: str, *words: str) -> Any:
    """Run a command with these keys; return what it says in JSON."""
    environ = {**pipeline.environ, "HOOKLINE_SECRET_KEYS": keys}
    run = subprocess.run(
        [sys.executable, "-m", "hookline.cli.main", *words, "--json"], env=environ, capture_output=True, timeout=120, check=True
    )
    return json.loads(run.stdout)


def restart(pipeline: Pipeline, process: subprocess.Popen[bytes] | None, keys: str, until: Until) -> subprocess.Popen[bytes]:
    """Start a dispatcher with these keys, and stop the other once it works."""
    fresh: subprocess.Popen[bytes] = pipeline.start_dispatcher(HOOKLINE_SECRET_KEYS=keys)
    until(lambda: pipeline.ready(fresh) and pipeline.metric(fresh, "hookline_dispatcher_rebalances_total") > 0, what="a dispatcher at work")
    if process is not None:
        process.send_signal(signal.SIGTERM)
        assert process.wait(40) == 0
    return fresh


def test_a_key_is_replaced_under_traffic(pipeline: Pipeline, until: Until) -> None:
    """Behind, in front, a re-encryption killed and run again amid changes, old key away: every call comes signed, with its header."""
    old, new = pipeline.environ["HOOKLINE_SECRET_KEYS"], "new:" + base64.b64encode(os.urandom(32)).decode()
    hooks = [pipeline.create(f"hook{number}", headers=(("authorization", HEADER),)) for number in range(10)]
    mutual = pipeline.webhooks.create(
        NewWebhook(
            store_id="other",
            url="https://127.0.0.1:9/mutual",
            event_types=("order.created",),
            client_certificate=given(at=datetime.now(UTC)),
        )
    )[0]
    with Load(pipeline, per_s=40) as load:
        running = restart(pipeline, None, f"{old},{new}", until)
        running = restart(pipeline, running, f"{new},{old}", until)
        assert command(pipeline, f"{new},{old}", "secrets", "reencrypt", "--dry-run")["outdated"] == 11
        killed(pipeline, f"{new},{old}")
        changing = threading.Thread(target=lambda: [pipeline.webhooks.update(hook.id, {"name": "changed"}) for hook in hooks])
        changing.start()
        moved = command(pipeline, f"{new},{old}", "secrets", "reencrypt")
        changing.join(60)
        assert (moved["failed"], moved["moved"]) == (0, moved["outdated"])
        running = restart(pipeline, running, new, until)
        load.run_for(1.0)
    assert [row["key"] for row in command(pipeline, new, "secrets", "keys")] == ["new"]
    assert {pipeline.registry.get(hook.id).name for hook in hooks} == {"changed"}
    assert open_identity(pipeline.registry.get(mutual.id), Vault(master_keys(new))) is not None
    for number, hook in enumerate(hooks):
        until(lambda n=number, h=hook: not pipeline.account(f"hook{n}", h, load.events).lost, timeout_s=60, what="every event delivered")
        for call in pipeline.receiver.of(f"hook{number}"):
            pipeline.verify(call, hook)
            assert call.headers["authorization"] == HEADER


def killed(pipeline: Pipeline, keys: str) -> None:
    """Begin to re-encrypt and kill the command once it has moved something."""
    environ = {**pipeline.environ, "HOOKLINE_SECRET_KEYS": keys}
    run = subprocess.Popen([sys.executable, "-m", "hookline.cli.main", "secrets", "reencrypt"], env=environ, stdout=subprocess.DEVNULL)
    first = threading.Event()
    pipeline.registry.on_change(lambda _webhook_id: first.set())
    assert first.wait(60)
    run.kill()
    run.wait(10)
