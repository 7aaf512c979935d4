"""`hookline deliveries resend`: from the log, through Kafka, back to the dispatchers; or a clear reason why not."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from hookline.analytics import migrate
from hookline.analytics.client import open_client
from hookline.cli.deliveries import waiting_of
from hookline.kernel import kafka
from hookline.kernel.clock import SystemClock
from hookline.kernel.config import load
from hookline.kernel.errors import InputError
from hookline.kernel.kafka import KafkaConfig
from hookline.schemas.events import Event, example_event
from hookline.schemas.records import Outcome, Trigger, Waiting, delivery_id
from hookline.schemas.registry import EmbeddedRegistry
from hookline.schemas.topics import Topics, TopicsConfig, create, specs
from hookline.schemas.wire import Codec
from hookline.webhooks.model import Webhook
from hookline.webhooks.registry import WebhookRegistry
from hookline.webhooks.secrets import SecretsConfig, Vault
from hookline.webhooks.store import NewWebhook, Webhooks
from hookline.webhooks.urls import UrlPolicy
from tests.analytics.conftest import Rig

Hookline = Callable[..., Any]


@dataclass
class Shop:
    """A store with a webhook, an event on Kafka, and a delivery of it in the log."""

    config: KafkaConfig
    topics: Topics
    codec: Codec
    webhooks: Webhooks
    webhook: Webhook
    event: Event
    folder: Path
    offset: int = 0

    @property
    def delivery_id(self) -> str:
        """The delivery of the event to the webhook."""
        return delivery_id("shop", self.event.id, self.webhook.id)

    def logged(self, **given: Any) -> None:
        """Put an attempt of the delivery into the log."""
        where = {"source_topic": self.topics.events("orders"), "source_partition": 0, "source_offset": self.offset}
        ids = {"delivery_id": self.delivery_id, "event_id": self.event.id, "webhook_id": self.webhook.id}
        rig = Rig()
        client = open_client({"HOOKLINE_STATE_DIR": str(self.folder)})
        migrate.up(client, retention_days=30)
        client.insert("attempts", rig.table([rig.attempt(**where | ids | given)]), {"async_insert": 0})
        client.close()

    def replays(self) -> list[tuple[Waiting, bytes]]:
        """Return what lies on the replays topic."""
        found = kafka.scan(self.config, [self.topics.replays])
        return [(Waiting.from_headers(kafka.headers_of(m)), m.value() or b"") for m in found]


@pytest.fixture
def shop(kafka_environ: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Shop]:
    """Yield a shop on the session's Kafka, its log in the state folder that the commands use."""
    environ = {**os.environ, **kafka_environ, "HOOKLINE_TOPIC_PREFIX": f"t{os.urandom(4).hex()}", "HOOKLINE_EVENT_PARTITIONS": "1"}
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    config = load(KafkaConfig, environ)
    topics = Topics(config.topic_prefix)
    create(config, specs(topics, load(TopicsConfig, environ)), 1)
    schemas = EmbeddedRegistry(config)
    schemas.start()
    codec = Codec(schemas)
    registry = WebhookRegistry(config, topics, codec)
    registry.start()
    vault, policy = Vault.from_config(load(SecretsConfig, environ)), load(UrlPolicy, environ)
    webhooks = Webhooks(config, topics, registry, vault, codec, policy, SystemClock())
    webhook, _ = webhooks.create(NewWebhook(store_id="shop", url="http://127.0.0.1:9/hook", event_types=("order.created",)))
    event = example_event("order.created", "shop", clock=SystemClock())
    made = Shop(config, topics, codec, webhooks, webhook, event, tmp_path)
    made.offset = kafka.produce_sync(kafka.producer(config), topics.events("orders"), key=b"shop:1", value=codec.encode(event))
    yield made
    registry.stop()
    schemas.stop()


@pytest.mark.kafka
@pytest.mark.clickhouse
def test_a_resend_is_the_same_delivery_made_afresh(hookline: Hookline, shop: Shop) -> None:
    """On the replays topic: same id, original bytes, attempt 0, trigger resend; the answer says how to follow it."""
    shop.logged(attempt=8, outcome=Outcome.DEAD, http_status=500)
    said = hookline("deliveries", "resend", shop.delivery_id, "--store", "shop")
    assert said.status == 0
    assert f"hookline log show {shop.delivery_id} --store shop" in said.err
    [(waiting, value)] = shop.replays()
    assert (waiting.delivery_id, waiting.webhook_id, waiting.event_id) == (shop.delivery_id, shop.webhook.id, shop.event.id)
    assert (waiting.trigger, waiting.attempt, waiting.source.offset) == (Trigger.RESEND, 0, shop.offset)
    assert shop.codec.decode(value) == shop.event
    found = hookline("deliveries", "resend", shop.delivery_id, "--store", "shop", "--json").json
    assert (found["delivery_id"], found["url"], found["resent"], found["held"]) == (shop.delivery_id, shop.webhook.url, True, False)
    assert len(shop.replays()) == 2


@pytest.mark.kafka
@pytest.mark.clickhouse
def test_the_payload_is_shown_as_kafka_has_it(hookline: Hookline, shop: Shop) -> None:
    """`log show` reads the event back and shows the body that was sent; gone, it says why."""
    shop.logged()
    found = hookline("log", "show", shop.delivery_id, "--store", "shop", "--json").json
    assert found["payload"]["id"] == shop.event.id
    assert found["payload"]["type"] == "order.created"
    human = hookline("deliveries", "show", shop.delivery_id, "--store", "shop").out
    assert f'"id": "{shop.event.id}"' in human
    shop.event = example_event("order.created", "shop", clock=SystemClock())
    shop.logged(source_offset=999)
    gone = hookline("log", "show", shop.delivery_id, "--store", "shop", "--json").json
    assert gone["payload"] is None
    assert "is no longer on Kafka" in gone["payload_missing"]


@pytest.mark.kafka
@pytest.mark.clickhouse
@pytest.mark.parametrize(
    ("given", "complaint", "remedy"),
    [
        ({"source_offset": 999}, "is no longer on Kafka", "publish the event again"),
        ({"source_topic": "", "trigger": Trigger.TEST}, "was a test call", "hookline webhooks test"),
    ],
)
def test_what_cannot_be_made_again_is_refused(hookline: Hookline, shop: Shop, given: dict[str, Any], complaint: str, remedy: str) -> None:
    """A payload past retention and a test call: status 2, why, what to do, and nothing on the topic."""
    shop.logged(**given)
    said = hookline("deliveries", "resend", shop.delivery_id, "--store", "shop")
    assert said.status == 2
    assert complaint in said.err
    assert remedy in said.err
    assert shop.replays() == []


@pytest.mark.kafka
@pytest.mark.clickhouse
def test_an_unknown_delivery_is_refused(hookline: Hookline, shop: Shop) -> None:
    """So is another store's."""
    shop.logged()
    for arguments in (["msg_none", "--store", "shop"], [shop.delivery_id, "--store", "other"]):
        said = hookline("deliveries", "resend", *arguments)
        assert said.status == 2
        assert f"No attempt of delivery {arguments[0]}" in said.err
        assert "what to do: " in said.err
    assert shop.replays() == []


@pytest.mark.kafka
@pytest.mark.clickhouse
def test_the_webhooks_state_decides(hookline: Hookline, shop: Shop) -> None:
    """Paused: held, and the answer says so. Disabled: refused with the command. Deleted: refused."""
    shop.logged()
    shop.webhooks.pause(shop.webhook.id)
    said = hookline("deliveries", "resend", shop.delivery_id, "--store", "shop")
    assert said.status == 0
    assert f"hookline webhooks resume {shop.webhook.id}" in said.err
    shop.webhooks.resume(shop.webhook.id)
    shop.webhooks.disable(shop.webhook.id, "the receiver answered 410 Gone")
    said = hookline("deliveries", "resend", shop.delivery_id, "--store", "shop")
    assert said.status == 2
    assert "is disabled (the receiver answered 410 Gone)" in said.err
    assert f"hookline webhooks enable {shop.webhook.id}" in said.err
    shop.webhooks.delete(shop.webhook.id)
    said = hookline("deliveries", "resend", shop.delivery_id, "--store", "shop")
    assert said.status == 2
    assert "was deleted" in said.err
    assert len(shop.replays()) == 1


@pytest.mark.unit
def test_a_row_of_the_log_becomes_the_delivery_it_is_about() -> None:
    """Ids and the event's place are kept; everything else begins anew."""
    row = {name: f"{name}_1" for name in ("delivery_id", "webhook_id", "store_id", "event_id", "event_type")}
    place = {"source_topic": "t", "source_partition": 2, "source_offset": 3, "source_timestamp_ms": 4}
    waiting = waiting_of(row | place | {"attempt": 8, "trigger": "event"})
    assert {name: getattr(waiting, name) for name in row} == row
    assert (waiting.source.topic, waiting.source.partition, waiting.source.offset, waiting.source.timestamp_ms) == ("t", 2, 3, 4)
    assert waiting.attempt == 0
    with pytest.raises(InputError, match="test call"):
        waiting_of(row | place | {"source_topic": ""})
