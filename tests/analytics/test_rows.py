"""Attempt records to columns: both ways of decoding agree, bad records are told apart, tokens name bytes at offsets."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hookline.analytics import rows
from hookline.analytics.rows import decode, token_of
from hookline.kernel.errors import RegistryUnavailable

pytestmark = pytest.mark.unit

Rig = Any  # the fixture's class stands in conftest.py


def test_a_good_batch_becomes_columns_at_once(rig: Rig) -> None:
    """The whole batch is one table with the records' fields and their places, and the same as decoded one by one."""
    attempts = [rig.attempt(response_body=bytes([0, 255, index]), error_detail="ä€😀") for index in range(50)]
    messages = rig.records(attempts, first=100, partition=2)
    found = decode(messages, rig.codec)
    assert found.rejected == []
    assert found.messages == messages
    assert found.table["attempt_id"].to_pylist() == [one.attempt_id for one in attempts]
    assert found.table["response_body"].to_pylist() == [one.response_body for one in attempts]
    assert found.table["log_offset"].to_pylist() == list(range(100, 150))
    assert set(found.table["log_partition"].to_pylist()) == {2}
    assert found.table.equals(rows._one_by_one(messages, rig.codec).table)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])  # it only makes records
@given(
    st.lists(
        st.fixed_dictionaries(
            {
                "attempt": st.integers(0, 65_535),
                "http_status": st.integers(0, 65_535),
                "response_time_us": st.integers(-(2**63), 2**63 - 1),
                "attempted_at_us": st.integers(0, 2**50),
                "source_offset": st.integers(0, 2**63 - 1),
                "error_detail": st.text(st.characters(codec="utf-8"), max_size=60),
                "response_body": st.binary(max_size=200),
            }
        ),
        min_size=1,
        max_size=10,
    )
)
def test_both_ways_of_decoding_agree(rig: Rig, given_fields: list[dict[str, Any]]) -> None:
    """Whatever fits the table, the columns are the same column by column and record by record."""
    messages = rig.records([rig.attempt(**fields) for fields in given_fields])
    at_once = rows._at_once(messages, rig.codec)
    assert at_once is not None
    assert at_once.equals(rows._one_by_one(messages, rig.codec).table)


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        (b"", "too short"),
        (b"\x01\x00\x00\x00\x01x", "begins with 0x01"),
        (b"\x00\x00\x00\x03\xe7x", "no schema 999"),
        (None, "too short"),
    ],
)
def test_an_unreadable_record_is_told_from_its_neighbours(rig: Rig, bad: bytes | None, reason: str) -> None:
    """Empty, wrong magic, unknown schema, tombstone: rejected with a reason; the others become rows."""
    good = rig.records([rig.attempt(), rig.attempt()])
    messages = [good[0], rig.record(bad, 5), good[1]]
    found = decode(messages, rig.codec)
    assert [(one.message.offset(), reason in one.reason) for one in found.rejected] == [(5, True)]
    assert found.messages == good
    assert found.table.num_rows == 2


def test_a_cut_record_and_one_with_bytes_behind_are_rejected(rig: Rig) -> None:
    """A record must end where its schema says."""
    whole = rig.codec.encode_attempt(rig.attempt())
    messages = [rig.record(whole[:-3], 1), rig.record(whole + b"\0", 2), rig.record(whole, 3)]
    found = decode(messages, rig.codec)
    assert [one.message.offset() for one in found.rejected] == [1, 2]
    assert found.table["log_offset"].to_pylist() == [3]


def test_a_record_of_another_subject_is_rejected(rig: Rig) -> None:
    """An API key on the attempts topic is no attempt, even where its bytes could pass for one."""
    raw = b"\x00" + rig.registry.id_of("hookline.ApiKey").to_bytes(4, "big") + rig.codec.encode_attempt(rig.attempt())[5:]
    found = decode([rig.record(raw, 7)], rig.codec)
    assert found.messages == []
    assert found.table.num_rows == 0
    assert len(found.rejected) == 1


@pytest.mark.parametrize(("field", "value"), [("attempt", -1), ("http_status", 65_536), ("source_partition", -2), ("source_offset", -1)])
def test_a_value_beyond_the_tables_type_is_rejected(rig: Rig, field: str, value: int) -> None:
    """ClickHouse would wrap it around; here the record is put aside and named."""
    messages = rig.records([rig.attempt(), rig.attempt(**{field: value}), rig.attempt()])
    found = decode(messages, rig.codec)
    assert [(one.message.offset(), field in one.reason) for one in found.rejected] == [(1, True)]
    assert found.table["log_offset"].to_pylist() == [0, 2]


def test_a_registry_that_is_away_is_no_reason_to_reject(rig: Rig) -> None:
    """The records are good; they wait."""
    messages = rig.records([rig.attempt()])
    fresh = type(rig.codec)(rig.registry)
    rig.registry.down = True
    with pytest.raises(RegistryUnavailable):
        decode(messages, fresh)


def test_tokens_name_bytes_at_offsets(rig: Rig) -> None:
    """Same records, same token; other bytes, offsets, count, partition or topic, another token."""
    attempts = [rig.attempt() for _ in range(4)]
    messages = rig.records(attempts)
    token = token_of("attempts", 0, messages)
    assert token == token_of("attempts", 0, rig.records(attempts))
    changed = [*attempts[:3], dataclasses.replace(attempts[3], http_status=201)]
    others = [
        token_of("attempts", 1, messages),
        token_of("other", 0, messages),
        token_of("attempts", 0, messages[:3]),
        token_of("attempts", 0, rig.records(attempts, first=1)),
        token_of("attempts", 0, rig.records(changed)),
    ]
    assert len({token, *others}) == 6
