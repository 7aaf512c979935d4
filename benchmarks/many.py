"""Thousands of webhooks at once, written straight to their topic: reading each back, as the commands do, would take minutes."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import NamedTuple

from benchmarks.stack import Stack
from hookline.kernel import kafka
from hookline.kernel.config import load
from hookline.schemas.events import new_id
from hookline.schemas.registry import EmbeddedRegistry
from hookline.schemas.wire import Codec
from hookline.webhooks.model import SUBJECT, SealedSecret, State, Webhook
from hookline.webhooks.secrets import SecretsConfig, Vault, aad_of, new_secret, parse_secret


class Written(NamedTuple):
    """A webhook that is on its topic, and the secret that its calls are signed with."""

    webhook: Webhook
    secret: str


def write_many(
    on: Stack, wanted: Sequence[tuple[str, str]], event_types: tuple[str, ...] = ("order.created",), timeout_s: float = 10.0
) -> list[Written]:
    """Write one enabled webhook for each (store, URL), and return them in this order."""
    schemas = EmbeddedRegistry(on.config)
    schemas.start()
    codec, vault = Codec(schemas), Vault.from_config(load(SecretsConfig, on.environ))
    producer = kafka.producer(on.config)
    made = [_webhook(vault, store, url, event_types, timeout_s) for store, url in wanted]
    for webhook, _ in made:
        producer.produce(on.topics.webhooks, key=webhook.id.encode(), value=codec.encode_record(SUBJECT, webhook.to_datum()))
        producer.poll(0.05 if len(producer) > 50_000 else 0)  # its queue holds 100,000
    producer.flush(60)
    schemas.stop()
    return made


def _webhook(vault: Vault, store: str, url: str, event_types: tuple[str, ...], timeout_s: float) -> Written:
    now, webhook_id, secret = time.time_ns() // 1_000, new_id("wh"), new_secret()
    sealed = SealedSecret(vault.seal(parse_secret(secret), aad_of(store, webhook_id, now)), now)
    made = Webhook(
        id=webhook_id,
        store_id=store,
        name="",
        url=url,
        event_types=event_types,
        filter="",
        state=State.ENABLED,
        state_reason="",
        state_since_us=now,
        secrets=(sealed,),
        headers=(),
        timeout_s=timeout_s,
        schedule="default",
        created_at_us=now,
        updated_at_us=now,
        version=1,
        write_id=webhook_id,
    )
    return Written(made, secret)
