"""`hookline dead-letters`: list, show, replay, for people and as JSON, on the real broker."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from hookline.dispatcher.letters import DeadLetter, Reason
from hookline.kernel import kafka
from hookline.kernel.clock import SystemClock
from hookline.kernel.config import load
from hookline.kernel.kafka import KafkaConfig
from hookline.schemas.events import Event, example_event
from hookline.schemas.records import Source, Waiting, delivery_id
from hookline.schemas.registry import EmbeddedRegistry
from hookline.schemas.topics import Topics, TopicsConfig, create, specs
from hookline.schemas.wire import Codec

pytestmark = pytest.mark.kafka

Hookline = Callable[..., Any]


@dataclass
class Graveyard:
    """Dead letters of its own topics."""

    config: KafkaConfig
    topics: Topics
    codec: Codec

    def bury(self, store: str, webhook: str, reason: Reason = Reason.EXHAUSTED, event_type: str = "order.created") -> str:
        """Write a dead letter; return its id."""
        event = example_event(event_type, store, clock=SystemClock())
        category = "orders" if event_type.startswith("order.") else "customers"
        where = Source(topic=self.topics.events(category), partition=0, offset=3, timestamp_ms=1_700_000_000_000)
        waiting = None if reason is Reason.POISON else self._waiting(event, webhook, where)
        value = self.codec.encode(event) if waiting is not None else b"\x01garbage"
        letter = DeadLetter.of(reason, "answered 503", where, waiting)
        topic = self.topics.dead_letters(category)
        offset = kafka.produce_sync(kafka.producer(self.config), topic, key=webhook.encode(), value=value, headers=letter.to_headers())
        partitions = kafka.partitions_of(kafka.admin(self.config), topic)
        found = [p for p in range(partitions) if kafka.read_at(self.config, topic, p, offset) is not None]
        place = next(p for p in found if _value(self.config, topic, p, offset) == value)
        return f"{topic}:{place}:{offset}"

    def _waiting(self, event: Event, webhook: str, where: Source) -> Waiting:
        return Waiting(
            delivery_id=delivery_id(event.store_id, event.id, webhook),
            webhook_id=webhook,
            store_id=event.store_id,
            event_id=event.id,
            event_type=event.type,
            source=where,
            attempt=8,
            last_status=503,
        )

    def replayed(self) -> list[Waiting]:
        """Return what lies on the replays topic."""
        return [Waiting.from_headers(kafka.headers_of(m)) for m in kafka.scan(self.config, [self.topics.replays])]

    def audited(self) -> list[tuple[str, str, str]]:
        """Return who did what to which job, by the audit."""
        data = [self.codec.decode_record(m.value() or b"")[1] for m in kafka.scan(self.config, [self.topics.audit])]
        return [(found["store_id"], found["action"], found["target"]) for found in data]


def _value(config: KafkaConfig, topic: str, partition: int, offset: int) -> object:
    found = kafka.read_at(config, topic, partition, offset)
    return found.value() if found is not None else None


@pytest.fixture
def graveyard(kafka_environ: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> Iterator[Graveyard]:
    """Give empty topics of a prefix of their own, and the environment that points to them."""
    environ = {**kafka_environ, "HOOKLINE_TOPIC_PREFIX": f"d{os.urandom(4).hex()}", "HOOKLINE_RETRY_PARTITIONS": "2"}
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    config = load(KafkaConfig, environ)
    topics = Topics(config.topic_prefix)
    create(config, specs(topics, load(TopicsConfig, environ)), 1)
    registry = EmbeddedRegistry(config)
    registry.start()
    yield Graveyard(config, topics, Codec(registry))
    registry.stop()


def test_an_empty_graveyard(hookline: Hookline, graveyard: Graveyard) -> None:
    """Nothing is dead: one reassuring sentence, or an empty array; a replay replays nothing."""
    assert graveyard.replayed() == []
    said = hookline("dead-letters", "list")
    assert (said.status, "No dead letters wait" in said.out) == (0, True)
    assert hookline("dead-letters", "list", "--json").json == []
    assert hookline("dead-letters", "replay", "--json").json["replayed"] == 0


def buried(graveyard: Graveyard) -> tuple[list[str], str]:
    """Bury five letters of two stores and a poisonous one; return their places."""
    places = [graveyard.bury("shop", "wh_1") for _ in range(3)]
    places.append(graveyard.bury("shop", "wh_2", Reason.GONE))
    places.append(graveyard.bury("other", "wh_3", Reason.DISABLED, "customer.created"))
    return places, graveyard.bury("shop", "wh_1", Reason.POISON)


def test_list_and_show(hookline: Hookline, graveyard: Graveyard) -> None:
    """Letters are listed by filter and shown with their payload."""
    places, poison = buried(graveyard)
    listed = hookline("dead-letters", "list", "--json").json
    assert {row["id"] for row in listed} == {*places, poison}
    by_id = {row["id"]: row for row in listed}
    assert by_id[places[0]] | {"at": ""} == {
        **by_id[places[0]],
        "at": "",
        "reason": "exhausted",
        "error": "answered 503",
        "store_id": "shop",
        "webhook_id": "wh_1",
        "event_type": "order.created",
        "attempts": 8,
        "last_status": 503,
        "replayed": False,
    }
    for options, count in (
        (["--store", "shop"], 4),
        (["--webhook", "wh_1"], 3),
        (["--reason", "gone"], 1),
        (["--type", "customer.created"], 1),
        (["--category", "customers"], 1),
        (["--reason", "poison"], 1),
        (["--limit", "2"], 2),
    ):
        assert len(hookline("dead-letters", "list", "--json", *options).json) == count, options

    table = hookline("dead-letters", "list")
    assert (table.status, "wh_2" in table.out, "exhausted" in table.out) == (0, True, True)

    shown = hookline("dead-letters", "show", places[0], "--json").json
    assert '"type":"order.created"' in shown["payload"]
    assert shown["delivery_id"].startswith("msg_")
    assert "cannot be decoded" in hookline("dead-letters", "show", poison, "--json").json["payload"]
    assert "order.created" in hookline("dead-letters", "show", places[0]).out


def test_replay(hookline: Hookline, graveyard: Graveyard) -> None:
    """Letters are counted by a dry run, replayed once, and left out after that."""
    places, poison = buried(graveyard)
    dry = hookline("dead-letters", "replay", "--store", "shop", "--dry-run", "--max", "2", "--json").json
    assert dry == {"matching": 4, "skipped": 0, "would_replay": 2, "replayed": 0}
    assert graveyard.replayed() == []
    assert graveyard.audited() == []

    done = hookline("dead-letters", "replay", "--store", "shop", "--max", "2", "--rate", "1000", "--json").json
    assert (done["matching"], done["replayed"]) == (4, 2)
    assert graveyard.audited() == [("shop", "replay.create", done["job_id"])]
    rest = hookline("dead-letters", "replay", "--store", "shop", "--rate", "1000")
    assert (rest.status, "hookline log --trigger replay" in rest.err) == (0, True)
    replayed = graveyard.replayed()
    assert len(replayed) == 4
    assert len({waiting.delivery_id for waiting in replayed}) == 4
    assert {(waiting.trigger, waiting.attempt, waiting.replays) for waiting in replayed} == {("replay", 0, 1)}
    assert {waiting.job_id for waiting in replayed} >= {done["job_id"]}

    assert {row["id"] for row in hookline("dead-letters", "list", "--json").json} == {places[4], poison}
    nothing = hookline("dead-letters", "replay", "--store", "shop", "--json").json
    assert nothing == {"matching": 0, "skipped": 0, "replayed": 0}  # and no id of a job, which would stand nowhere
    assert hookline("dead-letters", "replay", "--webhook", "wh_2", "--again", "--json").json["replayed"] == 1
    assert hookline("dead-letters", "show", places[3], "--json").json["replayed"] is True


def test_a_replay_tells_of_webhooks_that_take_no_calls(hookline: Hookline, graveyard: Graveyard) -> None:
    """Before anything moves, also when only counting: paused, disabled, deleted, each with its number and what to do."""

    def webhook(kind: str) -> str:
        created = hookline("webhooks", "create", "--url", f"https://hooks.example.com/{kind}", "--type", "order.created", "--json")
        return str(created.json["id"])

    names = [webhook("paused"), webhook("disabled"), webhook("enabled"), "wh_gone"]
    hookline("webhooks", "pause", names[0])
    hookline("webhooks", "disable", names[1])
    for name in [*names, names[0]]:
        graveyard.bury("demo", name)
    said = hookline("dead-letters", "replay", "--dry-run", "--json")
    assert said.json == {"matching": 5, "skipped": 1, "would_replay": 4, "replayed": 0}
    paused, disabled, deleted = said.err.splitlines()
    assert paused == f"2 of them are for {names[0]}, which is paused: a replay is held until `hookline webhooks resume {names[0]}`."
    enable = f"Enable it first: `hookline webhooks enable {names[1]}`."
    assert disabled == f"1 of them is for {names[1]}, which is disabled: skipped. {enable}"
    assert deleted == "1 of them is for wh_gone, which was deleted: a replay is cancelled."
    assert "which is paused" in hookline("dead-letters", "replay", "--webhook", names[0], "--rate", "1000").err
    assert hookline("dead-letters", "replay", "--webhook", names[2], "--dry-run").err == ""


def test_letters_of_a_disabled_webhook_stay_where_they_are(hookline: Hookline, graveyard: Graveyard) -> None:
    """As with a replay over the API: skipped, whatever the maximum; a replay would make a second letter of each. Enabled, they go."""
    options = ("--url", "https://hooks.example.com/", "--name", "one", "--type", "order.created", "--json")
    disabled = str(hookline("webhooks", "create", *options).json["id"])
    enabled = str(hookline("webhooks", "create", *options, "--url", "https://hooks.example.com/two").json["id"])
    hookline("webhooks", "disable", disabled)
    for name in (disabled, disabled, enabled):
        graveyard.bury("demo", name)
    done = hookline("dead-letters", "replay", "--rate", "1000", "--max", "2", "--json").json
    assert {name: done[name] for name in ("matching", "skipped", "replayed")} == {"matching": 3, "skipped": 2, "replayed": 1}
    assert [waiting.webhook_id for waiting in graveyard.replayed()] == [enabled]
    assert len(hookline("dead-letters", "list", "--webhook", disabled, "--json").json) == 2
    none = hookline("dead-letters", "replay", "--webhook", disabled, "--json").json
    assert none == {"matching": 2, "skipped": 2, "replayed": 0}
    hookline("webhooks", "enable", disabled)
    assert hookline("dead-letters", "replay", "--rate", "1000", "--json").json["replayed"] == 2


def test_a_webhook_that_there_is_not_is_told_from_one_without_letters(hookline: Hookline, graveyard: Graveyard) -> None:
    """A mistyped id is refused. A deleted webhook's letters are still known, also where a filter leaves them out."""
    known = str(hookline("webhooks", "create", "--url", "https://hooks.example.com/", "--type", "order.created", "--json").json["id"])
    graveyard.bury("demo", "wh_gone")
    for command in (["list"], ["replay", "--dry-run"], ["replay"]):
        for options in (["--webhook", "wh_nope"], ["--webhook", known, "--store", "other"]):
            said = hookline("dead-letters", *command, *options)
            assert (said.status, said.out) == (2, ""), (command, options)
            assert "There is no such webhook" in said.err
            assert "hookline webhooks list" in said.err
        for options in (["--webhook", known], ["--webhook", known, "--store", "demo"], ["--webhook", "wh_gone", "--reason", "gone"]):
            assert hookline("dead-letters", *command, *options).status == 0, (command, options)


@pytest.mark.parametrize(
    ("arguments", "status", "words"),
    [
        (["list", "--category", "orderz"], 2, "orders, products, checkout, customers"),
        (["list", "--reason", "because"], 2, "exhausted, gone, disabled, expired, poison"),
        (["replay", "--type", "order.creatd"], 2, "order.created"),
        (["show", "nonsense"], 2, "dead-letters list"),
        (["show", "hookline.dead-letters.orders:0:99"], 2, "dead-letters list"),
        (["replay", "--max", "0"], 2, "--max"),
        (["replay", "--rate", "0"], 2, "--rate"),
    ],
)
def test_wrong_words_are_named(hookline: Hookline, graveyard: Graveyard, arguments: list[str], status: int, words: str) -> None:
    """What is asked for must be there: the error names it and says what there is."""
    assert graveyard.replayed() == []
    said = hookline("dead-letters", *arguments)
    assert said.status == status
    assert words in said.err


def test_a_letter_that_is_not_there(hookline: Hookline, graveyard: Graveyard) -> None:
    """A well-formed id behind the end, or of a partition that does not exist, is not found."""
    topic = graveyard.topics.dead_letters("orders")
    for place in (f"{topic}:0:999999", f"{topic}:77:0"):
        said = hookline("dead-letters", "show", place)
        assert (said.status, "There is no dead letter" in said.err) == (2, True)


def test_no_broker(hookline: Hookline, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a broker there is a clear error and the remedy."""
    monkeypatch.setenv("KAFKA_BOOTSTRAP_SERVERS", "127.0.0.1:1")
    said = hookline("dead-letters", "list")
    assert said.status == 1
    assert "KAFKA_BOOTSTRAP_SERVERS" in said.err
