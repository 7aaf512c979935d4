"""Attempts written without fastavro: the same bytes, and the same refusals."""

from __future__ import annotations

import io
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import fastavro
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hookline.kernel.errors import WireError
from hookline.schemas import flat
from hookline.schemas.catalogue import PARSED, SCHEMAS
from hookline.schemas.flat import Encoder, flat_encoder
from hookline.schemas.registry import SchemaRegistry
from hookline.schemas.varints import varint
from hookline.schemas.wire import ATTEMPT_FIELDS, Codec

pytestmark = pytest.mark.unit

SUBJECT = "hookline.Attempt"
NUMBERS = (
    0,
    1,
    -1,
    63,
    64,
    -64,
    -65,
    8_191,
    8_192,
    16_383,
    16_384,
    2**27 - 1,
    2**27,
    2**28 - 1,
    2**28,
    2**31 - 1,
    -(2**31),
    2**53,
    2**63 - 1,
    -(2**63),
)
JUNK: tuple[Any, ...] = (None, 0.5, [], {}, ("x",), 2**63, -(2**63) - 1, 2**31, -(2**31) - 1, "\ud800", object())


def by_fastavro(datum: dict[str, Any]) -> bytes:
    """Return the bytes that fastavro writes."""
    out = io.BytesIO()
    fastavro.schemaless_writer(out, PARSED[SUBJECT], datum)
    return out.getvalue()


@pytest.mark.parametrize("number", NUMBERS)
def test_whole_numbers(number: int) -> None:
    """At every length of a varint, and at its edges."""
    out = io.BytesIO()
    fastavro.schemaless_writer(out, "long", number)
    assert varint(number) == out.getvalue()


@given(st.integers(0, 63).flatmap(lambda bits: st.integers(-(2**bits), 2**bits - 1)))
def test_any_whole_number(number: int) -> None:
    """Whatever fits 64 bits."""
    out = io.BytesIO()
    fastavro.schemaless_writer(out, "long", number)
    assert varint(number) == out.getvalue()


def test_a_number_beyond_64_bits_is_refused() -> None:
    """One more than fits, on both sides."""
    for number in (2**63, -(2**63) - 1, 10**40):
        with pytest.raises(OverflowError):
            varint(number)


TYPES = {field["name"]: field["type"] for field in SCHEMAS[SUBJECT]["fields"]}
MAY_REPEAT = [name for name, kind in TYPES.items() if kind in {"string", "long"}]


@pytest.mark.parametrize("repeated", [[], MAY_REPEAT], ids=["all written", "all that may be are remembered"])
def test_attempts_give_the_same_bytes(strategy_of: Callable[[Any], st.SearchStrategy[Any]], repeated: list[str]) -> None:
    """Whatever fits the schema, written for the first time and again."""
    encode = flat_encoder(SCHEMAS[SUBJECT], repeated)

    @settings(max_examples=200)
    @given(strategy_of(SCHEMAS[SUBJECT]))
    def same(datum: dict[str, Any]) -> None:
        for _ in range(2):
            assert encode(b"head", [datum[name] for name in TYPES]) == b"head" + by_fastavro(datum)

    same()


def texts_of_one(encode: Encoder, *texts: str) -> None:
    """Write records of one text each, and compare them."""
    for text in texts:
        size = varint(len(text.encode()))
        assert encode(b"", [text]) == size + text.encode()


def test_what_is_remembered_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Many texts, and long ones, come out the same and are forgotten, or never kept."""
    made: list[Any] = []
    usual = flat._Written.__init__  # what it holds is the test's matter

    def noted(self: Any, write: Callable[[Any], bytes]) -> None:
        usual(self, write)
        made.append(self)

    monkeypatch.setattr(flat._Written, "__init__", noted)
    encode = flat_encoder({"type": "record", "name": "x", "fields": [{"name": "a", "type": "string"}]}, ["a"])
    texts, _ = made
    for number in range(70_000):
        texts_of_one(encode, str(number), str(number // 2))
        assert len(texts) <= 65_536
    held = len(texts)
    texts_of_one(encode, *("ä" * size for size in (126, 127, 128, 129, 4_095, 4_096, 100_000)))
    assert len(texts) == held + 2
    assert sum(map(len, texts.values())) <= 65_536 * 256


def test_fields_of_an_attempt_are_in_the_order_of_the_schema() -> None:
    """Values are written by their places."""
    assert list(ATTEMPT_FIELDS) == list(TYPES)


def test_what_does_not_fit_is_refused(registry_type: Callable[..., SchemaRegistry]) -> None:
    """Each value missing, and replaced by every kind of junk: an error that names the record, or what fastavro writes."""
    codec = Codec(registry_type(SCHEMAS[SUBJECT]))
    good: dict[str, Any] = {
        field["name"]: {"string": "x", "bytes": b"x"}.get(field["type"], 1) for field in SCHEMAS[SUBJECT]["fields"]
    }  # fmt: skip
    codec.encode_attempt_values(list(good.values()))
    for name in good:
        with pytest.raises(WireError, match=SUBJECT):
            codec.encode_attempt_values([value for other, value in good.items() if other != name])
        for junk in JUNK:
            wrong = {**good, name: junk}
            with suppress(WireError):
                assert codec.encode_attempt_values(list(wrong.values()))[5:] == by_fastavro(wrong)


def test_values_are_as_many_as_fields(registry_type: Callable[..., SchemaRegistry]) -> None:
    """One more or one less is refused."""
    codec = Codec(registry_type(SCHEMAS[SUBJECT]))
    good = [{"string": "x", "bytes": b"x"}.get(kind, 1) for kind in TYPES.values()]
    assert codec.encode_attempt_values(good)[5:] == by_fastavro(dict(zip(TYPES, good, strict=True)))
    for wrong in (good[:-1], [*good, "x"]):
        with pytest.raises(WireError, match=SUBJECT):
            codec.encode_attempt_values(wrong)


def test_only_flat_schemas() -> None:
    """A union is left to fastavro."""
    with pytest.raises((KeyError, TypeError)):
        flat_encoder({"type": "record", "name": "x", "fields": [{"name": "a", "type": ["null", "string"]}]})
