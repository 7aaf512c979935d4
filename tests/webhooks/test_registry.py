"""The registry of webhooks on its topic: read whole, followed, never confused by a bad record."""

from __future__ import annotations

import resource
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka.admin import AlterConfigOpType, ConfigEntry, ConfigResource  # type: ignore[attr-defined]  # public by its documentation
from hypothesis import given
from hypothesis import strategies as st

from hookline.kernel import kafka
from hookline.kernel.errors import BrokerError
from hookline.schemas.topics import TopicSpec, create
from hookline.webhooks.model import SUBJECT, SealedHeader, SealedSecret, State, Webhook
from hookline.webhooks.registry import WebhookRegistry

pytestmark = pytest.mark.kafka


def webhook(webhook_id: str = "wh_1", *types: str, **more: Any) -> Webhook:
    """Return a webhook as a writer makes it."""
    found = Webhook(
        id=webhook_id,
        store_id="shop",
        name="Warehouse",
        url=f"https://hooks.example.com/{webhook_id}",
        event_types=types or ("order.created",),
        filter="",
        state=State.ENABLED,
        state_reason="",
        state_since_us=1,
        secrets=(SealedSecret(b"\x04test" + b"x" * 60, 1),),
        headers=(SealedHeader("x-a", b"y" * 40),),
        timeout_s=10.0,
        schedule="default",
        created_at_us=1,
        updated_at_us=1,
        version=1,
        write_id=f"{webhook_id}.1",
    )
    return replace(found, **more)


TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)


@given(
    st.builds(
        Webhook,
        id=TEXT,
        store_id=TEXT,
        name=TEXT,
        url=TEXT,
        event_types=st.lists(TEXT, max_size=3).map(tuple),
        filter=TEXT,
        state=st.sampled_from(State),
        state_reason=TEXT,
        state_since_us=st.integers(0, 2**62),
        secrets=st.lists(st.builds(SealedSecret, st.binary(max_size=9), st.integers(0, 9), st.integers(0, 9)), max_size=2).map(tuple),
        headers=st.lists(st.builds(SealedHeader, TEXT, st.binary(max_size=9)), max_size=2).map(tuple),
        timeout_s=st.floats(5, 30),
        schedule=TEXT,
        created_at_us=st.integers(0, 2**62),
        updated_at_us=st.integers(0, 2**62),
        version=st.integers(1, 2**62),
        write_id=TEXT,
    )
)
def test_a_webhook_comes_back_from_its_record(ground: Any, wanted: Webhook) -> None:
    """Every field survives the record, whatever it holds."""
    codec = ground[1]
    subject, datum = codec.decode_record(codec.encode_record(SUBJECT, wanted.to_datum()))
    assert subject == SUBJECT
    assert Webhook.from_datum(datum) == wanted


def test_what_was_there_is_known_at_the_start_and_changes_follow(shop: Any) -> None:
    """A reader knows every webhook when `start` returns, and hears of each change in order."""
    shop.put_webhook(webhook("wh_1"))
    shop.put_webhook(webhook("wh_2", "order.created", "order.paid", created_at_us=2))
    reader = shop.reader()
    assert reader.ready
    assert reader.size == 2
    heard: list[str] = []
    reader.on_change(heard.append)
    end = shop.put_webhook(webhook("wh_3", store_id="other"))
    assert reader.wait_for(end, 20)
    assert heard == ["wh_3"]
    assert reader.get("wh_2") == webhook("wh_2", "order.created", "order.paid", created_at_us=2)
    assert reader.get("wh_9") is None
    assert [w.id for w in reader.of_store("shop")] == ["wh_1", "wh_2"]
    assert sorted(w.id for w in reader.all()) == ["wh_1", "wh_2", "wh_3"]


def test_the_index_follows_types_states_and_deletion(shop: Any) -> None:
    """Looking up by store and type finds what is there now, in the order of creation, in any state."""
    reader = shop.reader()
    shop.put_webhook(webhook("wh_2", "order.created", created_at_us=2))
    end = shop.put_webhook(webhook("wh_1", "order.created", "order.paid", created_at_us=1))
    assert reader.wait_for(end, 20)
    assert [w.id for w in reader.matching("shop", "order.created")] == ["wh_1", "wh_2"]
    assert [w.id for w in reader.matching("shop", "order.paid")] == ["wh_1"]
    assert reader.matching("other", "order.created") == ()
    end = shop.put_webhook(webhook("wh_1", "cart.updated", version=2, state=State.PAUSED, created_at_us=1))
    assert reader.wait_for(end, 20)
    assert [w.id for w in reader.matching("shop", "order.created")] == ["wh_2"]
    assert reader.matching("shop", "order.paid") == ()
    assert [w.state for w in reader.matching("shop", "cart.updated")] == [State.PAUSED]
    assert reader.wait_for(shop.put(b"wh_2", None), 20)
    assert reader.matching("shop", "order.created") == ()
    assert reader.get("wh_2") is None
    assert [w.id for w in reader.of_store("shop")] == ["wh_1"]
    assert reader.wait_for(shop.put(b"wh_1", None), 20)
    assert reader.of_store("shop") == []
    assert reader.size == 0


def test_a_bad_record_keeps_the_last_good_value(shop: Any) -> None:
    """Whatever lies under a webhook's key, the webhook stays as it was, for running readers and for new ones."""
    good = webhook("wh_1")
    shop.put_webhook(good)
    running = shop.reader()
    datum = good.to_datum() | {"version": 9}
    codec = shop.codec
    bad: list[tuple[bytes, bytes]] = [
        (b"wh_1", b""),
        (b"wh_1", b"garbage"),
        (b"wh_1", b"\0\0\0\0\1"),
        (b"wh_1", b"\0\xff\xff\xff\xff" + b"x" * 50),
        (b"wh_1", codec.encode_record(SUBJECT, datum)[:-3]),
        (b"wh_1", codec.encode_record(SUBJECT, datum) + b"\0"),
        (b"wh_1", codec.encode_record(SUBJECT, datum | {"id": "wh_2"})),
        (b"wh_1", codec.encode_record(SUBJECT, datum | {"state": "asleep"})),
        (b"", codec.encode_record(SUBJECT, datum)),
        (b"\xff\xfe", codec.encode_record(SUBJECT, datum)),
    ]
    for key, value in bad:
        end = shop.put(key, value)
    assert running.wait_for(end, 20)
    for reader in (running, shop.reader()):
        assert reader.all() == [good]
        assert reader.faults == len(bad)
    assert running.wait_for(shop.put_webhook(webhook("wh_1", version=2)), 20)
    assert running.get("wh_1").version == 2


def test_of_two_writes_of_one_version_the_first_counts(shop: Any) -> None:
    """Every reader agrees: the first in the log; older versions change nothing either."""
    running = shop.reader()
    shop.put_webhook(webhook("wh_1"))
    shop.put_webhook(webhook("wh_1", version=2, name="first", write_id="first"))
    shop.put_webhook(webhook("wh_1", version=2, name="second", write_id="second"))
    end = shop.put_webhook(webhook("wh_1", version=1, name="late", write_id="late"))
    assert running.wait_for(end, 20)
    for reader in (running, shop.reader()):
        assert reader.get("wh_1").name == "first"
        assert [reader.counted(write) for write in ("wh_1.1", "first", "second", "late")] == [True, True, False, False]


def test_a_webhook_counts_from_the_brokers_clock(shop: Any) -> None:
    """Whatever the clock of who wrote it said: one that is ahead would keep every event of its hour from a new webhook."""
    before_us, ahead_us = time.time_ns() // 1_000 - 1_000_000, time.time_ns() // 1_000 + 3_600_000_000
    shop.put_webhook(webhook("wh_1", created_at_us=ahead_us))
    shop.put_webhook(webhook("wh_2", created_at_us=7))
    running = shop.reader()
    made_us = running.get("wh_1").created_at_us
    assert before_us <= made_us <= time.time_ns() // 1_000
    assert running.get("wh_2").created_at_us == 7
    assert running.wait_for(shop.put_webhook(replace(running.get("wh_1"), version=2)), 20)
    assert [reader.get("wh_1").created_at_us for reader in (running, shop.reader())] == [made_us, made_us]


def test_where_brokers_do_not_stamp_the_writers_clock_counts_until_they_do(shop: Any, capsys: pytest.CaptureFixture[str]) -> None:
    """A topic of an earlier build is read as it is, and mended by a setting of the topic; the log says so, once."""
    ahead_us = time.time_ns() // 1_000 + 3_600_000_000
    admin = kafka.admin(shop.config)

    def stamped(kind: str) -> None:
        set_it = [ConfigEntry("message.timestamp.type", kind, incremental_operation=AlterConfigOpType.SET)]
        resource = ConfigResource(ConfigResource.Type.TOPIC, shop.topics.webhooks, incremental_configs=set_it)
        admin.incremental_alter_configs([resource])[resource].result(30)

    stamped("CreateTime")
    reader = shop.reader()
    for number in range(100):  # a setting reaches the broker a moment later
        assert reader.wait_for(shop.put_webhook(webhook(f"wh_{number}", created_at_us=ahead_us)), 20)
        if reader.get(f"wh_{number}").created_at_us == ahead_us:
            break
    last = f"wh_{number}"
    assert reader.get(last).created_at_us == ahead_us
    assert reader.wait_for(shop.put_webhook(webhook("wh_again", created_at_us=ahead_us)), 20)
    assert capsys.readouterr().out.count("webhooks.not_stamped") == 1
    stamped("LogAppendTime")
    for version in range(2, 100):
        assert reader.wait_for(shop.put_webhook(webhook(last, created_at_us=ahead_us, version=version)), 20)
        if reader.get(last).created_at_us < ahead_us:
            break
    assert reader.get(last).created_at_us <= time.time_ns() // 1_000


def test_deleted_is_told_from_never_heard_of(shop: Any) -> None:
    """What waits for a deleted webhook ends; what waits for one that is not known yet does not."""
    shop.put_webhook(webhook("wh_1"))
    shop.put(b"wh_1", None)
    reader = shop.reader()
    assert [reader.get(name) for name in ("wh_1", "wh_2")] == [None, None]
    assert [reader.deleted(name) for name in ("wh_1", "wh_2")] == [True, False]


def test_a_deleted_webhook_stays_deleted(shop: Any) -> None:
    """A write that comes after the deletion, from somebody who did not know, brings nothing back."""
    running = shop.reader()
    shop.put_webhook(webhook("wh_1"))
    shop.put(b"wh_1", None)
    assert running.wait_for(shop.put_webhook(webhook("wh_1", version=5)), 20)
    for reader in (running, shop.reader()):
        assert reader.get("wh_1") is None
        assert reader.matching("shop", "order.created") == ()


def test_deleting_what_is_not_there_is_no_fault(shop: Any) -> None:
    """A tombstone that compaction left alone."""
    shop.put(b"wh_1", None)
    reader = shop.reader()
    assert (reader.size, reader.faults) == (0, 0)


def test_ten_thousand_webhooks_are_known_in_seconds(shop: Any, record_property: Any) -> None:
    """A dispatcher that starts with 10,000 webhooks of 1,000 stores has them all, indexed, long before 30 s."""
    for number in range(10_000):
        found = webhook(
            f"wh_{number:026d}", "order.created", "order.paid", store_id=f"store_{number % 1_000}", filter="data.order.number != '1'"
        )
        shop.producer.produce(shop.topics.webhooks, key=found.id.encode(), value=shop.codec.encode_record(SUBJECT, found.to_datum()))
        shop.producer.poll(0)
    assert shop.producer.flush(60) == 0
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    started = time.monotonic()
    reader = shop.reader()
    seconds = time.monotonic() - started
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1_024
    record_property("bootstrap_s", round(seconds, 2))
    record_property("grown_mib", round(grown, 1))
    print(f"10,000 webhooks: {seconds:.2f} s, {grown:.1f} MiB")  # noqa: T201  # the figure that the test is for
    assert reader.size == 10_000
    assert len(reader.matching("store_7", "order.paid")) == 10
    assert seconds < 30
    assert kafka.end_offset(kafka.plain_consumer(shop.config), shop.topics.webhooks) == 10_000


def test_a_topic_that_was_wiped_is_refused(shop: Any, tmp_path: Path) -> None:
    """A dispatcher that knew webhooks does not start on a topic made anew, which would silence every webhook."""
    memory = tmp_path / "webhooks.end.json"
    shop.put_webhook(webhook("wh_1"))
    known = WebhookRegistry(shop.config, shop.topics, shop.codec, memory)
    known.start()
    known.stop()
    admin = kafka.admin(shop.config)
    admin.delete_topics([shop.topics.webhooks])[shop.topics.webhooks].result(30)
    wiped = WebhookRegistry(shop.config, shop.topics, shop.codec, memory)
    spec = TopicSpec(name=shop.topics.webhooks, partitions=1, config={"cleanup.policy": "compact"})
    deadline = time.monotonic() + 30
    while not create(shop.config, [spec], 1):
        assert time.monotonic() < deadline
        time.sleep(0.1)
    with pytest.raises(BrokerError, match="lost records"):
        wiped.start()
    wiped.stop()
