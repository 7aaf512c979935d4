"""Thousands of webhooks at once, written straight to their topic: reading each back, as the commands do, would take minutes."""

from __future__ import annotations

import time

from benchmarks.stack import Stack
from hookline.kernel import kafka
from hookline.kernel.config import load
from hookline.schemas.events import new_id
from hookline.schemas.registry import EmbeddedRegistry
from hookline.schemas.wire import Codec
from hookline.webhooks.model import SUBJECT, SealedSecret, State, Webhook
from hookline.webhooks.secrets import SecretsConfig, Vault, aad_of, new_secret, parse_secret


def write_many(on: Stack, wanted: list[tuple[str, str]], event_type: str = "order.created", timeout_s: float = 10.0) -> list[str]:
    """Write one enabled webhook for each (store, URL), and return their ids."""
    schemas = EmbeddedRegistry(on.config)
    schemas.start()
    codec, vault = Codec(schemas), Vault.from_config(load(SecretsConfig, on.environ))
    producer = kafka.producer(on.config)
    made = [_webhook(vault, store, url, event_type, timeout_s) for store, url in wanted]
    for webhook in made:
        producer.produce(on.topics.webhooks, key=webhook.id.encode(), value=codec.encode_record(SUBJECT, webhook.to_datum()))
        producer.poll(0.05 if len(producer) > 50_000 else 0)  # its queue holds 100,000
    producer.flush(60)
    schemas.stop()
    return [webhook.id for webhook in made]


def _webhook(vault: Vault, store: str, url: str, event_type: str, timeout_s: float) -> Webhook:
    now, webhook_id = time.time_ns() // 1_000, new_id("wh")
    sealed = SealedSecret(vault.seal(parse_secret(new_secret()), aad_of(store, webhook_id, now)), now)
    return Webhook(
        id=webhook_id,
        store_id=store,
        name="",
        url=url,
        event_types=(event_type,),
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
