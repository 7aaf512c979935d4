"""API keys: recognised by digest alone, bound to one store, dead within seconds of a revocation."""

from __future__ import annotations

import hmac
import os
import time
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from hookline.kernel import kafka
from hookline.kernel.config import load
from hookline.kernel.errors import InputError, NotFound, Unauthorized
from hookline.producers.api_keys import ApiKeyConfig, ApiKeys, ApiKeyWriter, base62, compose, split
from tests.calm import calmly

pytestmark = pytest.mark.kafka

Cluster = Any  # the fixture's class stands in conftest.py


@dataclass
class MovableClock:
    """The machine's clock, moved by hand."""

    ahead: timedelta = timedelta()

    def now(self) -> datetime:
        """Return the moved wall time."""
        return datetime.now(UTC) + self.ahead

    def monotonic(self) -> float:
        """Return seconds."""
        return time.monotonic()


@dataclass
class Desk:
    """A writer with its own reader, and the clock of both."""

    keys: ApiKeys
    writer: ApiKeyWriter
    clock: MovableClock


@pytest.fixture
def open_desk(cluster: Cluster) -> Iterator[Callable[[], Desk]]:
    """Yield a function that opens one more process's view of the keys."""
    opened: list[Desk] = []

    def make() -> Desk:
        clock, secret = MovableClock(), load(ApiKeyConfig, cluster.environ)
        keys = ApiKeys(cluster.config, cluster.codec, secret, clock)
        keys.start()
        opened.append(Desk(keys, ApiKeyWriter(cluster.config, cluster.codec, secret, keys, clock), clock))
        return opened[-1]

    yield make
    for desk in opened:
        desk.keys.stop()


def test_a_key_is_recognised_by_every_process(open_desk: Callable[[], Desk]) -> None:
    """One that runs already and one that starts later, both know its store and scopes."""
    here, there = open_desk(), open_desk()
    made, text = here.writer.create("shop", ("events:write", "results:read"), name="till 3")
    _eventually(lambda: there.keys.verify(text).id == made.id)
    later = open_desk()
    for desk in (here, there, later):
        found = desk.keys.verify(text)
        assert (found.store_id, found.scopes, found.name) == ("shop", ("events:write", "results:read"), "till 3")
        assert found.allows("events:write")
        assert not found.allows("dlq:replay")


def test_the_key_itself_is_kept_nowhere(open_desk: Callable[[], Desk], cluster: Cluster) -> None:
    """The topic holds a digest; neither the text nor its secret part is in any record."""
    _, text = open_desk().writer.create("shop", ("events:write",))
    values = [message.value() or b"" for message in kafka.scan(cluster.config, [cluster.topics.api_keys])]
    assert values
    assert not any(text.encode() in value or text.split("_")[2].encode() in value for value in values)


def test_two_live_keys_make_a_rotation(open_desk: Callable[[], Desk]) -> None:
    """The old one works until it is revoked, then only the new one does, in every process and within 5 s."""
    here, there = open_desk(), open_desk()

    def attempt() -> None:
        old, old_text = here.writer.create("shop", ("events:write",))
        _, new_text = here.writer.create("shop", ("events:write",))
        _eventually(lambda: there.keys.verify(old_text) and there.keys.verify(new_text))
        began = time.monotonic()
        here.writer.revoke(old.id)
        _eventually(lambda: _is_refused(there, old_text))
        assert time.monotonic() - began < 5
        assert _is_refused(here, old_text)
        assert there.keys.verify(new_text)
        assert here.writer.revoke(old.id).revoked_at_us == here.keys.get(old.id).revoked_at_us  # type: ignore[union-attr]

    calmly(attempt)


def test_a_key_expires(open_desk: Callable[[], Desk]) -> None:
    """By the clock of the process that is asked; one without an expiry lives on."""
    desk = open_desk()
    _, short = desk.writer.create("shop", ("events:write",), lives_s=60)
    _, long = desk.writer.create("shop", ("events:write",))
    assert desk.keys.verify(short)
    desk.clock.ahead = timedelta(seconds=61)
    assert _is_refused(desk, short)
    desk.clock.ahead = timedelta(days=3_650)
    assert desk.keys.verify(long)


def test_a_key_that_a_connection_remembers_dies_with_its_revocation_and_its_end(open_desk: Callable[[], Desk]) -> None:
    """What `verify` returned holds as long as the key lives, in a process that did not revoke it too, and not a moment longer."""
    here, there = open_desk(), open_desk()
    made, text = here.writer.create("shop", ("events:write",))
    _, short = here.writer.create("shop", ("events:write",), lives_s=60)
    _eventually(lambda: there.keys.verify(text) and there.keys.verify(short))
    remembered, ending = there.keys.verify(text), there.keys.verify(short)
    assert there.keys.holds(remembered)
    assert there.keys.holds(ending)
    here.writer.revoke(made.id)
    _eventually(lambda: not there.keys.holds(remembered))
    there.clock.ahead = timedelta(seconds=61)
    assert not there.keys.holds(ending)


def test_another_stores_key_cannot_be_revoked(open_desk: Callable[[], Desk]) -> None:
    """It is not found, as if it did not exist."""
    desk = open_desk()
    made, text = desk.writer.create("theirs", ("events:write",))
    for key_id, store_id in ((made.id, "shop"), ("nosuchkey000", "")):
        with pytest.raises(NotFound):
            desk.writer.revoke(key_id, store_id=store_id)
    assert desk.keys.verify(text)
    assert [key.id for key in desk.writer.list("theirs")] == [made.id]


@pytest.mark.parametrize(
    ("store_id", "scopes", "name", "field"),
    [
        ("", ("events:write",), "", "store_id"),
        ("a.b", ("events:write",), "", "store_id"),
        ("shop", (), "", "scopes"),
        ("shop", ("everything",), "", "scopes"),
        ("shop", ("events:*",), "", "scopes"),
        ("shop", ("events:write",), "x" * 129, "name"),
        ("shop", ("events:write",), "a\0b", "name"),
        ("shop", ("events:write",), "a\nb", "name"),
    ],
)
def test_wrong_keys_are_not_made(open_desk: Callable[[], Desk], store_id: str, scopes: tuple[str, ...], name: str, field: str) -> None:
    """Each fault is named by its field."""
    with pytest.raises(InputError) as caught:
        open_desk().writer.create(store_id, scopes, name=name)
    assert caught.value.field == field


def test_a_corrupt_record_changes_nothing(open_desk: Callable[[], Desk], cluster: Cluster) -> None:
    """Neither garbage nor a record under another key's id makes a key unknown or known."""
    desk = open_desk()
    made, text = desk.writer.create("shop", ("events:write",))
    client = kafka.producer(cluster.config)
    good = next(m.value() for m in kafka.scan(cluster.config, [cluster.topics.api_keys]) if m.key() == made.id.encode())
    for key, value in ((made.id.encode(), b"\x00garbage"), (b"another", good), (b"\xff\xfe", b"x")):
        kafka.produce_sync(client, cluster.topics.api_keys, key=key, value=value)
    assert desk.keys.catch_up()
    assert desk.keys.verify(text).id == made.id
    assert desk.keys.get("another") is None
    kafka.produce_sync(client, cluster.topics.api_keys, key=made.id.encode(), value=None)
    assert desk.keys.catch_up()
    assert _is_refused(desk, text)


def test_a_well_formed_key_with_a_known_id_and_another_secret_is_refused(open_desk: Callable[[], Desk]) -> None:
    """Ids are shown and the checksum is no secret: a key put together from them is refused, with another key's secret too."""
    desk = open_desk()
    (one, first), (_, second) = (desk.writer.create("shop", (scope,)) for scope in ("events:write", "admin"))
    body = f"hlk_{one.id}_{second.split('_')[2]}"
    spliced = f"{body}_{base62(zlib.crc32(body.encode()), 6)}"
    assert desk.keys.verify(first).id == one.id
    for forged in (compose(one.id, bytes(32)), compose(one.id, os.urandom(32)), spliced):
        assert split(forged) is not None
        assert _is_refused(desk, forged)


@pytest.mark.parametrize("wrong", ["", "hlk_", "x", "hlk_aaaaaaaaaaaa_b_c", "ü" * 80, "\ud800", "hlk_" + "a" * 10_000])
def test_every_wrong_key_gets_the_same_answer(open_desk: Callable[[], Desk], wrong: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The words are the same, and a digest is compared in constant time even where there is none to compare with."""
    compared: list[tuple[bytes, bytes]] = []
    compare = hmac.compare_digest

    def counting(one: bytes, two: bytes) -> bool:
        compared.append((one, two))
        return compare(one, two)

    desk = open_desk()
    _, text = desk.writer.create("shop", ("events:write",))
    monkeypatch.setattr(hmac, "compare_digest", counting)
    messages = set()
    for key in (wrong, text[:-1] + ("0" if text[-1] != "0" else "1"), text[:20] + "AAAAA" + text[25:]):
        with pytest.raises(Unauthorized) as caught:
            desk.keys.verify(key)
        messages.add(str(caught.value))
    assert len(messages) == 1
    assert len(compared) == 3
    assert all(len(one) == len(two) == 32 for one, two in compared)


def _is_refused(desk: Desk, text: str) -> bool:
    try:
        desk.keys.verify(text)
    except Unauthorized:
        return True
    return False


def _eventually(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + 20
    while True:
        try:
            if condition():
                return
        except Unauthorized:
            pass
        assert time.monotonic() < deadline, "not within 20 s"
        time.sleep(0.02)
