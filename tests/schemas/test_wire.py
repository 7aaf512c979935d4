"""The wire codec: what goes in comes out, hostile bytes never crash or stall it, and builds of different age understand each other."""

from __future__ import annotations

import io
import json
import struct
import time
from collections.abc import Callable
from copy import deepcopy
from datetime import UTC, datetime
from typing import Any

import fastavro
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hookline.kernel.errors import RegistryUnavailable, SchemaError, UnknownEventType, UnknownSchema, WireError
from hookline.schemas.catalogue import EVENT_TYPES, SCHEMAS, canonical, parsed
from hookline.schemas.events import Event, normalise
from hookline.schemas.records import Attempt, ErrorKind, Outcome, Trigger
from hookline.schemas.wire import Codec

pytestmark = pytest.mark.unit

AT = datetime(2026, 3, 14, 9, 26, 53, 589793, UTC)


@pytest.fixture(scope="module")
def codec(registry_type: Any) -> Codec:
    """Return a codec over every schema of this build."""
    return Codec(registry_type(*SCHEMAS.values()))


def example(name: str) -> Event:
    """Return the example event of a type."""
    return Event(id="evt_1", type=name, store_id="shop", occurred_at=AT, data=normalise(name, EVENT_TYPES[name].example))


def framed(number: int, schema: Any, datum: dict[str, Any]) -> bytes:
    """Return a record as another program writes it: by the documented format and fastavro alone."""
    out = io.BytesIO()
    fastavro.schemaless_writer(out, parsed(schema), datum)
    return struct.pack(">bI", 0, number) + out.getvalue()


# ---- what goes in comes out ----


@pytest.mark.parametrize("name", EVENT_TYPES)
def test_an_event_comes_back_as_it_was(codec: Codec, strategy_of: Callable[[Any], st.SearchStrategy[Any]], name: str) -> None:
    """Generated data of every type survives encoding and decoding, and the frame is Confluent's."""
    kind = EVENT_TYPES[name]
    data_schema = next(field["type"] for field in kind.schema["fields"] if field["name"] == "data")
    number = list(SCHEMAS).index(kind.subject) + 1

    @settings(max_examples=25)
    @given(strategy_of(data_schema))
    def survives(data: dict[str, Any]) -> None:
        event = Event(id="e", type=name, store_id="s", occurred_at=AT, data=data)
        value = codec.encode(event)
        assert value[:5] == b"\0" + number.to_bytes(4, "big")
        assert codec.decode(value) == event

    survives()


@pytest.mark.parametrize("name", EVENT_TYPES)
def test_any_avro_library_reads_our_events(codec: Codec, name: str) -> None:
    """The bytes behind the frame are the plain Avro of the registered schema."""
    value = codec.encode(example(name))
    datum = fastavro.schemaless_reader(io.BytesIO(value[5:]), fastavro.parse_schema(json.loads(canonical(EVENT_TYPES[name].schema))))
    assert isinstance(datum, dict)
    assert datum["id"] == "evt_1"
    assert datum["data"] == example(name).data


@pytest.mark.parametrize("name", EVENT_TYPES)
def test_we_read_what_any_avro_library_writes(codec: Codec, name: str) -> None:
    """An event framed by another program decodes."""
    event = example(name)
    datum = {"id": event.id, "store_id": event.store_id, "occurred_at": event.occurred_at, "data": event.data}
    number = list(SCHEMAS).index(EVENT_TYPES[name].subject) + 1
    assert codec.decode(framed(number, EVENT_TYPES[name].schema, datum)) == event


INTERNAL = sorted(set(SCHEMAS) - {kind.subject for kind in EVENT_TYPES.values()})


@pytest.mark.parametrize("subject", INTERNAL)
def test_what_processes_hand_to_each_other_survives(
    codec: Codec, strategy_of: Callable[[Any], st.SearchStrategy[Any]], subject: str
) -> None:
    """Records of webhooks, keys, jobs, attempts come back as they were; their prefixes are wire errors."""

    @settings(max_examples=25)
    @given(strategy_of(SCHEMAS[subject]))
    def survives(datum: dict[str, Any]) -> None:
        value = codec.encode_record(subject, datum)
        assert codec.decode_record(value) == (subject, datum)
        for end in range(5, len(value)):
            with pytest.raises(WireError):
                codec.decode_record(value[:end])

    survives()


def attempt() -> Attempt:
    """Return an attempt record."""
    return Attempt(
        attempt_id="att_1",
        delivery_id="msg_1",
        store_id="shop",
        webhook_id="wh_1",
        event_id="evt_1",
        event_type="order.created",
        trigger=Trigger.EVENT,
        attempt=1,
        attempted_at_us=1,
        outcome=Outcome.RETRYING,
        error_kind=ErrorKind.TIMEOUT,
        response_body=b"\x00\xff",
    )


def test_an_attempt_comes_back_as_it_was(codec: Codec) -> None:
    """Attempt records survive too."""
    assert codec.decode_attempt(codec.encode_attempt(attempt())) == attempt()


@pytest.mark.parametrize("field", ["trigger", "outcome", "error_kind"])
def test_an_attempt_of_another_world_is_refused(codec: Codec, field: str) -> None:
    """A trigger, outcome or error that this build does not know is a wire error."""
    datum = {f: getattr(attempt(), f) for f in attempt().__dataclass_fields__} | {field: "never heard of"}
    with pytest.raises(WireError):
        codec.decode_attempt(codec.encode_record("hookline.Attempt", datum))


def test_an_attempt_is_no_event_nor_the_other_way_round(codec: Codec) -> None:
    """A record of the wrong kind on a topic is a wire error that names what it is."""
    with pytest.raises(WireError, match=r"hookline\.Attempt"):
        codec.decode(codec.encode_attempt(attempt()))
    with pytest.raises(WireError, match="OrderPaid"):
        codec.decode_attempt(codec.encode(example("order.paid")))


# ---- hostile bytes ----


@pytest.mark.parametrize("name", EVENT_TYPES)
def test_a_truncated_event_is_refused_wherever_it_ends(codec: Codec, name: str) -> None:
    """No prefix of an event decodes, and none raises anything but a wire error."""
    value = codec.encode(example(name))
    for end in range(len(value)):
        with pytest.raises(WireError):
            codec.decode(value[:end])


@pytest.mark.parametrize("name", EVENT_TYPES)
def test_bytes_behind_an_event_are_refused(codec: Codec, name: str) -> None:
    """Trailing bytes, which fastavro leaves unread, are a wire error."""
    with pytest.raises(WireError, match="bytes behind"):
        codec.decode(codec.encode(example(name)) + b"\0")


@given(name=st.sampled_from(sorted(EVENT_TYPES)), flips=st.lists(st.integers(0, 10**6), min_size=1, max_size=4))
@settings(max_examples=400)
def test_flipped_bits_give_an_event_or_a_wire_error(codec: Codec, name: str, flips: list[int]) -> None:
    """Whatever bits flip, decoding ends with an event or a wire error."""
    value = bytearray(codec.encode(example(name)))
    for flip in flips:
        value[flip // 8 % len(value)] ^= 1 << flip % 8
    gives_an_event_or_a_wire_error(codec, bytes(value))


@given(number=st.integers(0, len(SCHEMAS) + 2), body=st.binary(max_size=200))
@settings(max_examples=400)
def test_random_bytes_give_an_event_or_a_wire_error(codec: Codec, number: int, body: bytes) -> None:
    """Whatever follows the frame, decoding ends with an event or a wire error."""
    gives_an_event_or_a_wire_error(codec, struct.pack(">bI", 0, number) + body)


def gives_an_event_or_a_wire_error(codec: Codec, value: bytes) -> None:
    """Decode, allowing nothing but the two ends."""
    try:
        event = codec.decode(value)
    except WireError as error:
        error.message.encode()
    else:
        assert event.type in EVENT_TYPES


def varint(number: int) -> bytes:
    """Return an Avro long."""
    number = (number << 1) ^ (number >> 63)
    out = bytearray()
    while number & ~0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*out, number])


LENGTHS = [2**31, 2**40, 2**62, -1, -(2**31), -(2**62)]


@pytest.mark.parametrize("length", LENGTHS)
@pytest.mark.parametrize("name", EVENT_TYPES)
def test_a_length_that_nothing_stands_behind_is_refused_at_once(codec: Codec, name: str, length: int) -> None:
    """Wherever an event has a length or a count, a huge or negative one neither stalls nor eats memory."""
    value = codec.encode(example(name))
    started = time.monotonic()
    for at in range(5, min(len(value), 160)):
        gives_an_event_or_a_wire_error(codec, value[:at] + varint(length) + value[at + 1 :])
    assert time.monotonic() - started < 20


@pytest.mark.parametrize("value", [b"", b"\0", b"\0\0\0\0", b"\1\0\0\0\1abc", b"{}", b"\xff" * 100])
def test_what_is_not_framed_is_refused(codec: Codec, value: bytes) -> None:
    """Too short, or another first byte: not the wire format."""
    with pytest.raises(WireError):
        codec.decode(value)


def test_overlong_numbers_are_refused(codec: Codec) -> None:
    """A number of more bytes than a long can have is refused."""
    gives_an_event_or_a_wire_error(codec, b"\0\0\0\0\1" + b"\xff" * 1_000)
    gives_an_event_or_a_wire_error(codec, b"\0\0\0\0\1" + b"\xff" * 100_000 + b"\1")


# ---- the registry ----


def test_an_unknown_id_is_named(codec: Codec) -> None:
    """A record of a schema that nobody registered says so; it is a kind of wire error."""
    with pytest.raises(UnknownSchema, match="999"):
        codec.decode(b"\0" + (999).to_bytes(4, "big"))


def test_a_registry_that_is_down_is_not_the_records_fault(registry_type: Any) -> None:
    """While the registry does not answer the error says so and is no wire error; known ids go on."""

    class Down(registry_type):  # type: ignore[misc]  # a class from a fixture
        down = False

        def schema_of(self, number: int) -> dict[str, Any]:
            if self.down:
                raise RegistryUnavailable("down")
            return dict(super().schema_of(number))

    registry = Down(*SCHEMAS.values())
    codec = Codec(registry)
    value, other = codec.encode(example("order.paid")), codec.encode(example("order.created"))
    codec.decode(value)
    registry.down = True
    assert codec.decode(value) == example("order.paid")
    with pytest.raises(RegistryUnavailable) as unavailable:
        codec.decode(other)
    assert not isinstance(unavailable.value, WireError)
    registry.down = False
    assert codec.decode(other) == example("order.created")


def test_publishing_without_registration_is_refused_with_the_remedy(registry_type: Any) -> None:
    """A build whose schemas are not registered cannot write."""
    with pytest.raises(SchemaError, match="OrderPaid") as refused:
        Codec(registry_type()).encode(example("order.paid"))
    assert "hookline schemas register" in refused.value.remedy


def test_an_unknown_type_cannot_be_encoded(codec: Codec) -> None:
    """The type must be in the catalogue."""
    with pytest.raises(UnknownEventType):
        codec.encode(Event(id="e", type="order.nothing", store_id="s", occurred_at=AT, data={}))


@pytest.mark.parametrize("datum", [{}, {"id": 1}, {"id": "a", "store_id": "s", "occurred_at": AT, "data": {}}])
def test_a_datum_that_does_not_fit_is_refused(codec: Codec, datum: dict[str, Any]) -> None:
    """The codec translates fastavro's complaints."""
    with pytest.raises(WireError, match="does not fit"):
        codec.encode_record("hookline.orders.OrderPaid", datum)


def test_a_strangers_record_is_refused_unread(registry_type: Any) -> None:
    """A registry may be shared: a record of a schema that is not ours is refused by its name alone."""
    stranger = {"type": "record", "name": "Stranger", "namespace": "else.where", "fields": [{"name": "x", "type": "string"}]}
    with pytest.raises(WireError, match=r"else\.where\.Stranger"):
        Codec(registry_type(stranger)).decode(b"\0\0\0\0\1" + b"\xff" * 50)


HAZARDS = {
    "recursion": {"name": "next", "type": ["null", "hookline.orders.OrderPaid"]},
    "nothing": {"name": "many", "type": {"type": "array", "items": "null"}},
}


@pytest.mark.parametrize("hazard", HAZARDS)
def test_a_schema_that_would_stall_the_decoder_is_refused_unread(registry_type: Any, hazard: str) -> None:
    """A version of our own subject that recurses or lists nothings is not read with, whoever registered it."""
    schema = deepcopy(dict(SCHEMAS["hookline.orders.OrderPaid"]))
    schema["fields"].insert(0, HAZARDS[hazard])
    with pytest.raises(WireError, match="not safe"):
        Codec(registry_type(schema)).decode(b"\0\0\0\0\1" + b"\2" * 10_000)


def test_a_schema_that_is_no_avro_is_refused(registry_type: Any) -> None:
    """A registered schema that cannot be parsed is a wire error, not a crash."""
    schema = {"type": "record", "name": "OrderPaid", "namespace": "hookline.orders", "fields": [{"name": "x", "type": "no.such.Type"}]}
    with pytest.raises(WireError, match="parsed"):
        Codec(registry_type(schema)).decode(b"\0\0\0\0\1\0")
