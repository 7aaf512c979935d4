"""Several writers of one topic at the same moment, and secrets that are replaced: the log decides, and nothing is lost."""

from __future__ import annotations

import math
import threading
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from hookline.kernel.clock import to_us
from hookline.kernel.errors import BrokerUnavailable, InputError, LimitExceeded, Stale
from hookline.webhooks import store as store_module
from hookline.webhooks.model import Webhook
from hookline.webhooks.secrets import MasterKey, Vault, open_headers, parse_secret, signing_keys

pytestmark = pytest.mark.kafka

OWN_SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


def keys_of(shop: Any, webhook: Webhook, vault: Vault) -> list[bytes]:
    """Return the keys that sign now."""
    return signing_keys(webhook, vault, shop.clock.now())


def blinded(writer: Any) -> Any:
    """Have a writer act on what it knows already, as if another's record arrived just after it looked."""
    writer._log.catch_up = lambda: None
    return writer


def test_a_change_of_another_version_is_stale(shop: Any) -> None:
    """With `expected_version` a change is made to exactly what was read, or not at all."""
    writer = shop.writer()
    made, _ = writer.create(shop.new())
    writer.update(made.id, {"name": "a"}, 1)
    for version in (1, 3, 0, -1):
        with pytest.raises(Stale):
            writer.update(made.id, {"name": "b"}, version)
    assert writer.update(made.id, {"name": "c"}, 2).version == 3


def test_of_two_changes_at_once_the_first_in_the_log_wins(shop: Any) -> None:
    """The other is told that it came too late, every reader agrees, and compaction keeps the winner."""
    first, second = shop.writer(), shop.writer()
    made, _ = first.create(shop.new())
    second.get(made.id)
    late = blinded(second)
    won = first.update(made.id, {"name": "first"}, 1)
    late._known = lambda _: made  # what it had read before the other wrote
    with pytest.raises(Stale):
        late.update(made.id, {"name": "second"}, 1)
    for reader in (first._registry, second._registry, shop.reader()):
        assert reader.get(made.id) == won
    assert len(shop.log()) == 4
    assert shop.compacted()[made.id] == won


def test_a_late_change_without_a_version_is_made_again(shop: Any) -> None:
    """Who expects no version takes whatever is there: both changes are made, one on top of the other."""
    first, second = shop.writer(), shop.writer()
    made, _ = first.create(shop.new())
    second.get(made.id)
    seen = second._log.catch_up
    second._log.catch_up = lambda: setattr(second._log, "catch_up", seen)  # blind the first time only
    first.update(made.id, {"filter": "type == 'order.created'"})
    changed = second.update(made.id, {"name": "second"})
    assert (changed.name, changed.filter, changed.version) == ("second", "type == 'order.created'", 3)
    assert shop.compacted()[made.id] == changed


def test_a_webhook_is_shown_as_every_reader_has_it(shop: Any) -> None:
    """Created when the brokers say so, though the writer's clock is an hour ahead."""
    shop.clock.at = datetime.now(UTC) + timedelta(hours=1)
    writer = shop.writer()
    made, _ = writer.create(shop.new())
    assert made == writer.get(made.id) == shop.reader().get(made.id)
    assert made.created_at_us < to_us(shop.clock.at) - 3_500_000_000


def test_many_writers_lose_nothing(shop: Any) -> None:
    """Four processes that change one webhook at the same time: each success is one version, each loss is told, nothing is lost."""
    made, _ = shop.writer().create(shop.new())
    writers = [shop.writer() for _ in range(4)]
    done: list[int] = []

    def change(writer: Any, number: int) -> None:
        for turn in range(5):
            try:
                done.append(writer.update(made.id, {"name": f"{number}.{turn}"}).version)
            except Stale:
                continue

    threads = [threading.Thread(target=change, args=pair) for pair in zip(writers, range(4), strict=True)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(done) == list(range(2, 2 + len(done)))
    assert len(done) >= 5
    fresh = shop.reader().get(made.id)
    assert fresh.version == max(done)
    assert shop.compacted()[made.id] == fresh


def test_a_change_that_comes_after_the_deletion_brings_nothing_back(shop: Any) -> None:
    """The change is refused, the webhook stays deleted for every reader, and after compaction too."""
    first, second = shop.writer(), shop.writer()
    made, _ = first.create(shop.new())
    second.get(made.id)
    late = blinded(second)
    late._known = lambda _: made
    first.delete(made.id)
    with pytest.raises(Stale):
        late.update(made.id, {"name": "late"}, 1)
    for reader in (first._registry, shop.reader()):
        assert reader.get(made.id) is None
    assert shop.compacted() == {}


@pytest.mark.parametrize("deleted", [False, True])
def test_a_writer_that_dies_when_it_has_lost_leaves_nothing_behind(shop: Any, deleted: bool) -> None:
    """Its record, which does not count, is the last in the log: the next who looks writes what counts behind it, before compaction."""
    first, second = shop.writer(), shop.writer()
    made, _ = first.create(shop.new())
    second.get(made.id)
    late = blinded(second)
    late._known = lambda _: made
    late._log._settle = lambda _: None  # it is dead by then
    won = None if deleted else first.update(made.id, {"name": "first"}, 1)
    if deleted:
        first.delete(made.id)
    with pytest.raises(Stale):
        late.update(made.id, {"name": "late"}, 1)
    assert shop.compacted()[made.id].name == "late"
    other = shop.writer()
    for _ in range(2):
        other._log.catch_up()
        assert shop.compacted().get(made.id) == won
    assert len(shop.log()) == 4
    assert other._registry.unsettled() == []


def test_of_two_created_at_once_beyond_a_limit_the_later_is_taken_back(shop: Any) -> None:
    """Two processes that fill the last place at the same moment end with one webhook, and the other is told."""
    first, second = shop.writer(), shop.writer()
    for n in range(9):
        first.create(shop.new(str(n)))
    second.get(first.create(shop.new("last"))[0].id)
    late = blinded(second)
    late._others = lambda webhook: []  # noqa: ARG005  # as if the tenth had not arrived yet when it looked
    known = type(late)._others
    shop.clock.go_on(seconds=1)
    check = late._check_limits

    def look_again(webhook: Webhook, others: list[Webhook]) -> None:
        check(webhook, others)
        late._others = lambda webhook: known(late, webhook)

    late._check_limits = look_again
    with pytest.raises(LimitExceeded):
        late.create(shop.new("eleventh"))
    assert shop.reader().size == 10
    assert len(shop.compacted()) == 10


# ---- secrets ----


def test_after_a_rotation_both_secrets_sign_for_a_day(shop: Any) -> None:
    """The new one signs first; the old one ends after 24 h; who rotates again in between keeps all that have not ended."""
    writer = shop.writer()
    made, first = writer.create(shop.new())
    vault = writer._vault
    shop.clock.go_on(hours=100)
    second = writer.rotate_secret(made.id)
    assert first != second
    assert keys_of(shop, writer.get(made.id), vault) == [parse_secret(second), parse_secret(first)]
    shop.clock.go_on(hours=23)
    third = writer.rotate_secret(made.id, OWN_SECRET)
    assert third == OWN_SECRET
    assert keys_of(shop, writer.get(made.id), vault) == [parse_secret(s) for s in (third, second, first)]
    shop.clock.go_on(hours=1, seconds=1)
    assert keys_of(shop, writer.get(made.id), vault) == [parse_secret(third), parse_secret(second)]
    shop.clock.go_on(hours=23)
    assert keys_of(shop, writer.get(made.id), vault) == [parse_secret(third)]
    writer.rotate_secret(made.id)
    assert len(writer.get(made.id).secrets) == 2


def test_a_leaked_secret_can_be_ended_at_once(shop: Any) -> None:
    """An overlap of 0 ends every old secret; a shorter one shortens those that still sign."""
    writer = shop.writer()
    made, first = writer.create(shop.new())
    second = writer.rotate_secret(made.id)
    third = writer.rotate_secret(made.id, overlap_s=60)
    shop.clock.go_on(seconds=59)
    assert keys_of(shop, writer.get(made.id), writer._vault) == [parse_secret(s) for s in (third, second, first)]
    shop.clock.go_on(seconds=2)
    assert keys_of(shop, writer.get(made.id), writer._vault) == [parse_secret(third)]
    writer.rotate_secret(made.id)
    last = writer.rotate_secret(made.id, overlap_s=0)
    assert keys_of(shop, writer.get(made.id), writer._vault) == [parse_secret(last)]
    for overlap in (-1, 86_401, math.nan):
        with pytest.raises(InputError, match="overlap_s"):
            writer.rotate_secret(made.id, overlap_s=overlap)


def test_rotating_without_end_is_refused(shop: Any) -> None:
    """Five secrets sign at a time and no more: each is a signature on every call."""
    writer = shop.writer()
    made, _ = writer.create(shop.new())
    for _ in range(4):
        writer.rotate_secret(made.id)
    with pytest.raises(LimitExceeded, match="5 secrets") as refused:
        writer.rotate_secret(made.id)
    assert refused.value.field == "secret"
    writer.rotate_secret(made.id, overlap_s=0)
    assert len(writer.get(made.id).secrets) == 1


def test_an_old_master_key_can_go_after_sealing_anew(shop: Any) -> None:
    """With a new key in front, every webhook is sealed anew; afterwards the old key is needed no more."""
    old, new = MasterKey("old", b"o" * 32), MasterKey("new", b"n" * 32)
    made, secret = shop.writer(vault=Vault((old,))).create(shop.new(headers=(("x-a", "1"),)))
    writer = shop.writer(vault=Vault((new, old)))
    assert writer.reseal(made.id) is True
    assert writer.reseal(made.id) is False
    found = writer.get(made.id)
    assert found.version == 2
    assert keys_of(shop, found, Vault((new,))) == [parse_secret(secret)]
    assert open_headers(found, Vault((new,))) == (("x-a", "1"),)


def test_a_topic_that_does_not_answer_is_told(shop: Any) -> None:
    """When the registry cannot catch up nothing is changed, and the error says what to look at."""
    registry = shop.reader()
    writer = shop.writer(registry)
    made, _ = writer.create(shop.new())
    registry.stop()
    with pytest.raises(BrokerUnavailable):
        writer.update(made.id, {"name": "x"})
    assert len(shop.log()) == 1


def test_the_overlap_is_a_day() -> None:
    """What the documentation promises."""
    assert timedelta(seconds=store_module.OVERLAP_S) == timedelta(hours=24)
    assert store_module.MOST_PER_TYPE == 10
