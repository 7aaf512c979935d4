"""Dead letters over the API, on the real process: browsed, counted, looked at; and the shelf that holds them in memory."""

from __future__ import annotations

import base64
import itertools
import os
import time
from typing import Any
from urllib.parse import urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hookline.console.letters import Letters, letter_of, place_in
from hookline.console.letters_shelf import Letter, LetterQuery, Replayed, Shelf
from hookline.console.places import Coordinates
from hookline.dispatcher.letters import DeadLetter, Reason
from hookline.dispatcher.replays import DeadLetters, LetterFilter
from hookline.kernel import kafka, lost
from hookline.kernel.config import load
from hookline.kernel.kafka import KafkaConfig
from hookline.schemas.records import Source
from hookline.schemas.topics import Topics

pytestmark = [pytest.mark.kafka, pytest.mark.process]

Stack = Any  # the fixtures' classes stand in conftest.py
Shop = Any
Until = Any


def path() -> str:
    """Return a path of the receiver that no other test uses."""
    return f"l{os.urandom(4).hex()}"


def letters(shop: Shop, query: str = "") -> list[dict[str, Any]]:
    """Return the letters of the store."""
    reply = shop.admin.get(f"/dead-letters?limit=1000{query and '&'}{query}")
    assert reply.status == 200, reply
    found: list[dict[str, Any]] = reply.json["data"]
    return found


@pytest.fixture(name="given_up")
def given_up_fixture(shop: Shop, until: Until) -> tuple[Shop, str, str, list[str]]:
    """Give a shop where three events were given up for a webhook that said 404, and one for a webhook that said 410."""
    bad, gone = shop.webhook(path(), 404), shop.webhook(path(), 410, event_types=["order.paid"])
    events = [shop.publish() for _ in range(3)] + [shop.publish("order.paid")]
    until(lambda: len(letters(shop)) == 4, what="four letters")
    shop.logged(4, "outcome=dead")  # it may be behind the letters
    return shop, bad, gone, events


def test_letters_are_listed_with_what_is_known_of_them(given_up: Any) -> None:
    """The newest first: which delivery, why, how often it was tried, what came back last, where the event lies."""
    shop, bad, _, events = given_up
    found = letters(shop)
    assert [one["at"] for one in found] == sorted((one["at"] for one in found), reverse=True)
    exhausted = [one for one in found if one["webhook_id"] == bad]
    assert {(one["reason"], one["attempts"], one["last_status"], one["error"]) for one in exhausted} == {
        ("exhausted", 3, 404, "answered 404")
    }
    assert {one["event_id"] for one in found} == set(events)
    assert {(one["category"], one["store_id"], one["replayed_at"], one["replay_id"]) for one in found} == {
        ("orders", shop.store, None, None)
    }
    assert {one["delivery_id"] for one in exhausted} == {line["id"] for line in shop.logged(3, f"webhook={bad}&outcome=dead")}


def test_filters_narrow_and_counts_agree(given_up: Any) -> None:
    """Each filter alone and together: the list has as many letters as the count says."""
    shop, bad, gone, events = given_up
    middle = letters(shop)[1]["at"]
    counts = {
        "": 4, f"webhook={bad}": 3, f"webhook={gone}": 1, "reason=gone": 1, "reason=exhausted": 3, "reason=expired": 0,
        "category=orders": 4, "category=customers": 0, "event_type=order.paid": 1, f"event={events[0]}": 1, "replayed=false": 4,
        "replayed=true": 0, f"from={middle}": 2, f"to={middle}": 3, f"reason=exhausted&event_type=order.paid&webhook={bad}": 0,
    }  # fmt: skip
    assert {query: len(letters(shop, query)) for query in counts} == counts
    assert {query: shop.admin.get(f"/dead-letters/count?{query}").json["total"] for query in counts} == counts
    total = shop.admin.get("/dead-letters/count").json
    assert (total["waiting"], total["by_reason"], total["by_category"]) == (4, {"exhausted": 3, "gone": 1}, {"orders": 4})
    assert (total["by_webhook"], total["by_event_type"]) == ({bad: 3, gone: 1}, {"order.created": 3, "order.paid": 1})
    assert (total["newest_at"], total["complete_since"]) == (letters(shop)[0]["at"], None)


def test_pages_hold_still_while_letters_arrive(given_up: Any, until: Until) -> None:
    """Pages of one give what one page gave, though a letter comes meanwhile."""
    shop, *_ = given_up
    whole = [one["id"] for one in letters(shop)]
    first = shop.admin.get("/dead-letters?limit=1").json
    shop.publish()
    until(lambda: len(letters(shop)) == 5, what="another letter")
    found, cursor = [one["id"] for one in first["data"]], first["next_cursor"]
    while cursor:
        page = shop.admin.get(f"/dead-letters?limit=1&cursor={cursor}").json
        found, cursor = found + [one["id"] for one in page["data"]], page["next_cursor"]
    assert found == whole


def test_a_letter_shows_its_bytes(given_up: Any) -> None:
    """The body that receivers would get, and the record's bytes as they lie on Kafka."""
    shop, bad, _, _ = given_up
    one = letters(shop, f"webhook={bad}")[0]
    found = shop.admin.get(f"/dead-letters/{one['id']}").json
    assert {name: found[name] for name in one} == one
    [body] = {call[2] for call in shop.stack.receiver.calls if call[1]["webhook-id"] == one["delivery_id"]}
    assert (found["body"].encode(), found["body_missing"]) == (body, "")
    assert base64.b64decode(found["raw_base64"])[:1] == b"\0"


def test_a_lost_client_is_replaced(shop: Shop, stack: Stack, until: Until, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another one reads on: letters of before and after are known, each once."""
    made: list[lost.Loss] = []
    settings = lost.Loss.settings

    def noted(loss: lost.Loss) -> dict[str, Any]:
        made.append(loss)
        return settings(loss)

    monkeypatch.setattr(lost.Loss, "settings", noted)
    config = load(KafkaConfig, stack.environ)
    followed = Letters(config, Topics(config.topic_prefix))
    followed.start()
    until(lambda: made, what="a client")
    assert followed.catch_up()
    made[0]._note()
    until(lambda: len(made) == 2, what="another client")
    webhook = shop.webhook(path(), 404)
    shop.publish()
    wanted = LetterQuery(store_id=shop.store, webhook_id=webhook)
    until(lambda: len(list(followed.up_to_date().find(wanted))) == 1, what="a letter of after")
    followed.stop()


def test_another_stores_letters_are_not_there(given_up: Any, stack: Stack) -> None:
    """Neither in lists nor in counts nor by id; the operator sees a store that is named, or all of them."""
    shop, bad, *_ = given_up
    place = letters(shop)[0]["id"]
    stranger = stack.admin(f"x{os.urandom(4).hex()}")
    assert stranger.get(f"/dead-letters?webhook={bad}").status == 422
    assert stranger.get("/dead-letters").json["data"] == []
    assert stranger.get("/dead-letters/count").json["total"] == 0
    reply = stranger.get(f"/dead-letters/{place}")
    assert (reply.status, reply.code) == (404, "not_found")
    assert stack.operator.get(f"/dead-letters/count?store={shop.store}").json["total"] == 4
    assert stack.operator.get("/dead-letters/count").json["total"] >= 4
    assert stack.operator.get(f"/dead-letters/{place}").json["store_id"] == shop.store
    assert stack.operator.get(f"/dead-letters/{place}?store=other").status == 404


def test_poison_is_the_operators(shop: Shop, stack: Stack, until: Until) -> None:
    """A record that cannot be read belongs to no store: only the operator sees it, as raw bytes with the reason."""
    config = load(KafkaConfig, stack.environ)
    raw = b"\1no wire format " + os.urandom(4)
    topics = Topics(config.topic_prefix)
    source = Source(topic=topics.events("products"), partition=0, offset=1, timestamp_ms=1)
    headers = DeadLetter.of(Reason.POISON, "too short", source).to_headers()  # as a dispatcher leaves it
    kafka.produce_sync(kafka.producer(config), topics.dead_letters("products"), key=b"k", value=raw, headers=headers)
    query = "/dead-letters?reason=poison&category=products"
    until(lambda: stack.operator.get(query).json["data"], what="the poison")
    found = stack.operator.get(f"/dead-letters/{stack.operator.get(query).json['data'][0]['id']}").json
    assert base64.b64decode(found["raw_base64"]) == raw
    assert (found["store_id"], found["webhook_id"], found["delivery_id"], found["body"]) == (None, None, None, None)
    assert found["body_missing"]
    assert shop.admin.get(query).json["data"] == []
    assert shop.admin.get(f"/dead-letters/{found['id']}").status == 404


@pytest.mark.parametrize(
    "tail", ["x", "a:b:c", "%27%20OR%201=1", "{topic}:99:0", "{topic}:0:999999", "{topic}:0:99999999999999999999", "{events}:0:0"]
)
def test_what_is_no_letters_place_is_not_found(shop: Shop, tail: str) -> None:
    """Other topics, partitions and offsets that are not there, and what is no place at all."""
    prefix = shop.stack.environ["HOOKLINE_TOPIC_PREFIX"]
    text = tail.format(topic=f"{prefix}.dead-letters.orders", events=f"{prefix}.events.orders")
    reply = shop.admin.get(f"/dead-letters/{text}")
    assert (reply.status, reply.code) == (404, "not_found")


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("reason=tired", "reason"), ("category=cats", "category"), ("replayed=maybe", "replayed"), ("webhook=a.b", "webhook"),
        ("from=2026-11-23T14:00:00Z&to=2026-11-23T13:00:00Z", "from"), ("to=later", "to"), ("status=404", "status"),
    ],
)  # fmt: skip
def test_a_wrong_filter_names_itself(shop: Shop, query: str, field: str) -> None:
    """In the list and in the count alike."""
    for route in ("dead-letters", "dead-letters/count"):
        reply = shop.admin.get(f"/{route}?{query}")
        assert (reply.status, reply.code, reply.json["field"]) == (422, "invalid", field)


def test_a_resend_is_a_replay_of_its_letter(given_up: Any, until: Until) -> None:
    """A delivery that was sent again waits for no decision: neither in the count, nor for the next replay, nor on the command line."""
    shop, bad, _, _ = given_up
    one, other, _ = letters(shop, f"webhook={bad}")
    shop.stack.receiver.answers[urlsplit(shop.admin.get(f"/webhooks/{bad}").json["url"]).path] = (200, b"mended")
    assert shop.admin.post(f"/deliveries/{one['delivery_id']}/resend").status == 202
    until(lambda: letters(shop, f"webhook={bad}&replayed=true"), what="a letter that was replayed")
    [found] = letters(shop, "replayed=true")
    assert (found["id"], found["replay_id"], found["replayed_at"] > found["at"]) == (one["id"], None, True)
    count = shop.admin.get(f"/dead-letters/count?webhook={bad}").json
    assert (count["total"], count["waiting"]) == (3, 2)
    wanted = {"source": "dead_letters", "filter": {"webhook": bad}}
    assert shop.admin.post("/replays", {**wanted, "dry_run": True}).json["matching"] == 2
    job = shop.admin.post("/replays", {"source": "log", "filter": {"event": other["event_id"], "webhook": bad}}).json["id"]
    until(lambda: len(letters(shop, "replayed=true")) == 2, what="a second letter, by a job over the log")
    assert {found["replay_id"] for found in letters(shop, "replayed=true")} == {None, job}
    config = load(KafkaConfig, shop.stack.environ)
    waiting = DeadLetters(config, Topics(config.topic_prefix)).find(LetterFilter(webhook_id=bad, replayed=False))
    assert [found.place for found in waiting] == [letters(shop, f"webhook={bad}&replayed=false")[0]["id"]]


def test_a_resend_that_is_given_up_waits_anew(given_up: Any, until: Until) -> None:
    """The old letter is done with, the new one is there to decide on."""
    shop, bad, _, _ = given_up
    one = letters(shop, f"webhook={bad}")[0]
    assert shop.admin.post(f"/deliveries/{one['delivery_id']}/resend").status == 202
    until(lambda: len(letters(shop, f"webhook={bad}")) == 4, what="a letter of the resend")
    mine = [found for found in letters(shop, f"webhook={bad}") if found["delivery_id"] == one["delivery_id"]]
    assert [found["replayed_at"] is not None for found in mine] == [False, True]


# ---- the shelf ----


def letter(number: int, *, store: str = "shop", partition: int = 0, **more: Any) -> Letter:
    """Return the letter at an offset."""
    place = Coordinates("h.dead-letters.orders", partition, number)
    return Letter(place=place, at_us=number, reason=Reason.EXHAUSTED, error="", original=place, store_id=store, webhook_id="wh", **more)


@pytest.mark.unit
def test_the_oldest_fall_off_a_full_shelf() -> None:
    """Over all partitions the newest stay, and the shelf says since when it is complete; marks of what fell off are forgotten."""
    shelf = Shelf(3)
    shelf.mark(letter(1).place, Replayed(9, "job"))
    for number, partition in ((1, 0), (5, 0), (2, 1), (3, 1), (6, 1)):
        shelf.add(letter(number, partition=partition))
    assert sorted(one.at_us for one in shelf.find(LetterQuery())) == [3, 5, 6]
    assert shelf.complete_since_us == 2
    assert shelf.replayed(letter(1).place) is None


@pytest.mark.unit
def test_what_fell_off_is_not_held_by_its_store() -> None:
    """A store with few letters keeps hardly more than those, however many it had."""
    shelf = Shelf(10)
    for number in range(200):
        shelf.add(letter(number))
    assert len(shelf._orders["shop"].letters) <= 10 + 16
    assert [one.at_us for one in shelf.find(LetterQuery(store_id="shop"))] == list(range(199, 189, -1))


@pytest.mark.unit
def test_what_retention_took_is_forgotten() -> None:
    """Letters below the first offset of their partition go, those of other partitions stay, and stores without any are empty."""
    shelf = Shelf(10)
    for number in range(4):
        shelf.add(letter(number, store=f"s{number % 2}", partition=number % 2))
    shelf.forget("h.dead-letters.orders", 0, 100)
    assert [one.at_us for one in shelf.find(LetterQuery())] == [3, 1]
    assert list(shelf.find(LetterQuery(store_id="s0"))) == []
    assert shelf.complete_since_us == 0


@pytest.mark.unit
@given(
    numbers=st.lists(st.tuples(st.integers(0, 60), st.integers(0, 2)), max_size=80, unique=True),
    kept=st.integers(1, 90), since=st.integers(0, 60), before=st.integers(0, 60), looks=st.sets(st.integers(0, 80), max_size=5),
)  # fmt: skip
def test_letters_are_found_in_the_order_of_their_times(
    numbers: list[tuple[int, int]], kept: int, since: int, before: int, looks: set[int]
) -> None:
    """Whatever order they came in, however often somebody looked, and whatever fell off the shelf: each once, the newest first."""
    shelf = Shelf(kept)
    for count, (number, partition) in enumerate(numbers):
        shelf.add(letter(number, partition=partition, store=f"s{number % 3}"))
        if count in looks:
            list(shelf.find(LetterQuery()))
    found = [one.position for one in shelf.find(LetterQuery())]
    assert found == sorted(found, reverse=True)
    assert len(found) == len(set(found)) == min(kept, len(numbers))
    limit = (before, "h.dead-letters.orders", 1, before)
    some = [one.position for one in shelf.find(LetterQuery(store_id="s1", since_us=since), limit)]
    assert some == [place for place in found if since <= place[0] and place[0] % 3 == 1 and place < limit]


@pytest.mark.unit
def test_a_mark_may_come_before_its_letter() -> None:
    """Topics are read side by side: a letter that was replayed is so also when the replay was read first."""
    shelf = Shelf(10)
    shelf.mark(letter(1).place, Replayed(9, "job"))
    shelf.add(letter(1))
    shelf.add(letter(1))
    shelf.add(letter(2))
    assert [one.at_us for one in shelf.find(LetterQuery(replayed=True))] == [1]
    assert [one.at_us for one in shelf.find(LetterQuery(replayed=False))] == [2]


@pytest.mark.unit
def test_a_delivery_that_was_made_again_has_no_letter_that_waits() -> None:
    """Of that delivery and from before alone: what was given up after it waits. The later of two marks is told."""
    shelf = Shelf(10)
    shelf.mark_delivery("wh", "e", Replayed(5, ""))
    of = [letter(4, event_id="e"), letter(5, event_id="e"), letter(6, event_id="e"), letter(3, event_id="other")]
    for one in of:
        shelf.add(one)
    assert [one.at_us for one in shelf.find(LetterQuery(replayed=True))] == [5, 4]
    assert [one.at_us for one in shelf.find(LetterQuery(replayed=False))] == [6, 3]
    assert shelf.count_replayed(of) == 2
    shelf.mark(of[0].place, Replayed(9, "job"))
    shelf.mark(of[1].place, Replayed(2, "job"))
    assert [shelf.replayed(one.place) for one in of] == [Replayed(9, "job"), Replayed(5, ""), None, None]


@pytest.mark.unit
def test_marks_of_deliveries_are_bounded() -> None:
    """The oldest goes when there are twice as many as letters may be."""
    shelf = Shelf(1)
    shelf.add(letter(1, event_id="0"))
    for number in range(3):
        shelf.mark_delivery("wh", str(number), Replayed(9, ""))
    assert shelf.replayed(letter(1).place) is None


@pytest.mark.unit
def test_to_mark_costs_the_same_however_many_marks_went() -> None:
    """A console that has been up for long is no slower than a young one."""
    shelf = Shelf(20_000)

    def cost(first: int) -> float:
        began = time.thread_time()
        for number in range(first, first + 8_000):
            shelf.mark_delivery("wh", str(number), Replayed(9, ""))
        return time.thread_time() - began

    young, old = [min(map(cost, range(begin, begin + 40_000, 8_000))) for begin in (0, 40_000)]
    assert old < 3 * young


@pytest.mark.unit
def test_every_filter_of_the_shelf_narrows_alone() -> None:
    """Each keeps what it names and nothing else."""
    one = letter(5, event_id="e", event_type="order.paid")
    mine = {
        "store_id": "shop",
        "webhook_id": "wh",
        "category": "orders",
        "reason": "exhausted",
        "event_type": "order.paid",
        "event_id": "e",
    }
    for name, value in mine.items():
        assert LetterQuery(**{name: value}).takes(one)  # type: ignore[arg-type]  # each name has a text
        assert not LetterQuery(**{name: "other"}).takes(one)  # type: ignore[arg-type]
    takes = [LetterQuery(since_us=since, until_us=until).takes(one) for since, until in itertools.product((5, 6), (4, 5))]
    assert takes == [False, True, False, False]


@pytest.mark.unit
def test_places_are_read_as_they_are_written() -> None:
    """Only topic:partition:offset of plain digits is a place."""
    place = Coordinates("h.dead-letters.orders", 3, 77)
    assert place_in(str(place)) == place
    for text in ("", "a", "a:1", "a:1:", ":1:2", "a:x:2", "a:1:-2", "a:1:2:3", "a:1:\u0665", "a:1:" + "9" * 40):
        assert place_in(text) is None


@pytest.mark.unit
def test_a_record_that_is_no_letter_is_passed_over() -> None:
    """Whatever somebody puts onto the topic stops nobody."""

    class Record:
        def headers(self) -> list[tuple[str, bytes]]:
            return [("dlq.reason", b"tired")]

    assert letter_of(Record()) is None  # type: ignore[arg-type]  # as far as it is looked at
