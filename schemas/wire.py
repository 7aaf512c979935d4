"""The wire codec: Confluent framing (0x00, four bytes of schema id, Avro body), so that every tool of the ecosystem reads it.

The writer's schema is found by its id, the reader's is this build's: an old dispatcher reads new events and a new one
old events, by Avro's rules of resolution.
"""

from __future__ import annotations

import io
import struct
from collections.abc import Sequence
from dataclasses import fields
from datetime import datetime
from operator import attrgetter
from typing import Any, Final, cast

import fastavro

from hookline.kernel.errors import SchemaError, WireError
from hookline.schemas import payload
from hookline.schemas.catalogue import BY_SUBJECT, PARSED, SCHEMAS, canonical, event_type, parsed
from hookline.schemas.encoder import UNFIT, encoder_of
from hookline.schemas.events import Event, check_id, datum_of
from hookline.schemas.flat import flat_encoder
from hookline.schemas.lint import hazards
from hookline.schemas.payload import Rendered
from hookline.schemas.records import Attempt, ErrorKind, Outcome, Trigger
from hookline.schemas.registry import SchemaRegistry
from hookline.schemas.transcoder import UNUSUAL, Transcoder, transcoder_of

_MAGIC: Final = 0
_FRAME: Final = struct.Struct(">bI")
_ATTEMPT: Final = "hookline.Attempt"
ATTEMPT_FIELDS: Final = tuple(field.name for field in fields(Attempt))
"""The fields of an attempt in their order, in its class and in its schema."""
# The same for a webhook, for a process, or nearly always.
_REPEATED: Final = frozenset(
    {"store_id", "webhook_id", "event_type", "trigger", "outcome", "error_kind", "error_detail", "url", "dispatcher", "job_id"}
    | {"source_topic", "source_timestamp_ms"}  # brokers give all records of a batch one stamp
)
_encode_attempt: Final = flat_encoder(SCHEMAS[_ATTEMPT], _REPEATED)
_attempt_values: Final = attrgetter(*ATTEMPT_FIELDS)  # `asdict` copies deeply, at ten times the cost
_SHOWN: Final = 200
# What fastavro raises on hostile bytes: short reads, bad indexes, bad text, bad logical values, failed resolution.
_HOSTILE: Final = (
    EOFError,
    IndexError,
    KeyError,
    TypeError,
    ValueError,
    OverflowError,
    MemoryError,
    StopIteration,
    struct.error,
    fastavro.read.SchemaResolutionError,
)


class Codec:
    """Encodes and decodes records with the schemas of one registry; thread-safe once the registry is started."""

    def __init__(self, registry: SchemaRegistry) -> None:
        self._registry = registry
        self._frames: dict[str, bytes] = {}
        self._plans: dict[int, tuple[str, Any, Any]] = {}
        self._quick: dict[bytes, tuple[Transcoder, str]] = {}

    # ---- events ----

    def encode(self, event: Event) -> bytes:
        """Return an event's bytes; raise `InputError` subclasses for an unknown type, `SchemaError` for an unregistered schema."""
        subject = event_type(event.type).subject
        datum = {"id": event.id, "store_id": event.store_id, "occurred_at": event.occurred_at, "data": event.data}
        return self.encode_record(subject, datum)

    def decode(self, value: bytes) -> Event:
        """Return the event; raise `WireError`, `UnknownSchema`, or `RegistryUnavailable` (try again, it is not the record's fault)."""
        subject, datum = self.decode_record(value)
        kind = BY_SUBJECT.get(subject)
        if kind is None:
            raise WireError(f"The record is a {subject[:_SHOWN]}, which is no event type")
        return Event(id=datum["id"], type=kind.name, store_id=datum["store_id"], occurred_at=datum["occurred_at"], data=datum["data"])

    def render(self, value: bytes) -> Rendered:
        """Return the event as its receivers get it; raise as `decode` does."""
        quick = self._quick.get(value[: _FRAME.size]) or self._transcoder(value)
        if quick is not None:
            try:
                event_id, store_id, body = quick[0](value, _FRAME.size)
                return Rendered(event_id, quick[1], store_id, body)
            except UNUSUAL:  # the slow way knows whether it is wrong
                pass
        event = self.decode(value)
        return Rendered(event.id, event.type, event.store_id, payload.body(event))

    def _transcoder(self, value: bytes) -> tuple[Transcoder, str] | None:
        """Return what reads events with this one's frame, and their type, None for the slow way; remember it. Raises as `decode` does."""
        subject, _, resolved = self._plan(_schema_id(value))
        transcode = transcoder_of(subject) if resolved is None else None
        if transcode is None:
            return None
        found = self._quick[value[: _FRAME.size]] = (transcode, BY_SUBJECT[subject].name)
        return found

    def encode_checked(self, event: Event) -> bytes:
        """Return the bytes of an event whose `data` nobody has checked, as `encode` would of `validate(event)`; raise as both do."""
        kind = event_type(event.type)
        datum = {"id": event.id, "store_id": event.store_id, "occurred_at": event.occurred_at, "data": event.data}
        try:
            if isinstance(event.occurred_at, datetime) and check_id(event.id, "id") and check_id(event.store_id, "store_id"):
                return self._frame(kind.subject) + encoder_of(kind.subject)(datum)
        except UNFIT:  # wrong, or unusual: the slow way knows which
            pass
        return self.encode_record(kind.subject, datum_of(event))

    # ---- attempts ----

    def encode_attempt(self, attempt: Attempt) -> bytes:
        """Return an attempt's bytes."""
        return self.encode_attempt_values(_attempt_values(attempt))

    def encode_attempt_values(self, values: Sequence[Any]) -> bytes:
        """Return the bytes of an attempt given as the values of `ATTEMPT_FIELDS`: to name them takes as long as to write them."""
        try:
            return _encode_attempt(self._frame(_ATTEMPT), values)
        except (KeyError, TypeError, AttributeError, OverflowError, ValueError) as error:
            raise WireError(f"The record does not fit {_ATTEMPT}: {error}") from error

    def decode_attempt(self, value: bytes) -> Attempt:
        """Return the attempt; raise as `decode` does."""
        subject, datum = self.decode_record(value)
        if subject != _ATTEMPT:
            raise WireError(f"The record is a {subject}, not an attempt")
        try:
            datum["trigger"] = Trigger(datum["trigger"])
            datum["outcome"] = Outcome(datum["outcome"])
            datum["error_kind"] = ErrorKind(datum["error_kind"])
        except ValueError as error:
            raise WireError(f"The attempt is not one of ours: {error}") from error
        return Attempt(**datum)

    # ---- any record ----

    def encode_record(self, subject: str, datum: dict[str, Any]) -> bytes:
        """Return the bytes of a record of any subject; raise `WireError` when the datum does not fit its schema."""
        out = io.BytesIO()
        out.write(self._frame(subject))
        try:
            fastavro.schemaless_writer(out, PARSED[subject], datum)
        except (TypeError, ValueError, KeyError, OverflowError, AttributeError) as error:
            raise WireError(f"The record does not fit {subject}: {error}") from error
        return out.getvalue()

    def decode_record(self, value: bytes) -> tuple[str, dict[str, Any]]:
        """Return subject and datum, read with this build's schema; raise as `decode` does."""
        subject, writer, reader = self._plan(_schema_id(value))
        body = io.BytesIO(value)
        body.seek(_FRAME.size)
        try:
            datum = fastavro.schemaless_reader(body, writer, reader)
        except _HOSTILE as error:
            raise WireError(f"The record is no {subject}: {type(error).__name__}: {str(error)[:_SHOWN]}") from error
        if body.tell() != len(value):
            raise WireError(f"The record has {len(value) - body.tell()} bytes behind its {subject}")
        return subject, cast("dict[str, Any]", datum)

    def prepared(self, value: bytes) -> bool:
        """Tell whether to decode this record asks the registry nothing."""
        return value[: _FRAME.size] in self._quick or len(value) < _FRAME.size or value[0] != _MAGIC or _schema_id(value) in self._plans

    def prepare(self, value: bytes) -> None:
        """Ask the registry what it takes to decode this record, so that an event loop need not wait for it; raise as `decode` does."""
        self._plan(_schema_id(value))

    def layout(self, value: bytes) -> tuple[str, Any] | None:
        """Return subject and schema of a record that this build's schema wrote, None when it must be resolved; raise as `decode` does."""
        subject, schema, reader = self._plan(_schema_id(value))
        return (subject, schema) if reader is None else None

    def _plan(self, number: int) -> tuple[str, Any, Any]:
        """Return (subject, writer's schema, this build's schema or None where they are the same) of a schema id.

        A registry may be shared: what is not ours, or could stall the decoder, is refused before a byte of it is read.
        """
        plan = self._plans.get(number)
        if plan is None:
            subject, writer = self._registry.subject_of(number), self._registry.schema_of(number)
            reader = SCHEMAS.get(subject)
            if reader is None:
                raise WireError(f"The record is a {subject[:_SHOWN]}, which this build does not know")
            same = canonical(reader) == canonical(writer)
            plan = self._plans[number] = (subject, PARSED[subject], None) if same else (subject, _checked(writer), PARSED[subject])
        return plan

    def _frame(self, subject: str) -> bytes:
        frame = self._frames.get(subject)
        if frame is None:
            if subject not in SCHEMAS:
                raise SchemaError(f"There is no schema {subject} in this build")
            frame = self._frames[subject] = _FRAME.pack(_MAGIC, self._registry.id_of(subject))
        return frame


def _checked(writer: dict[str, Any]) -> Any:  # noqa: ANN401  # fastavro's own form of a schema
    """Return the parsed schema of another build; raise `WireError` when it is unsafe to read with."""
    unsafe = hazards(writer)
    if unsafe:
        raise WireError(f"The record's schema is not safe to read: {unsafe[0][:_SHOWN]}")
    try:
        return parsed(writer)
    except (fastavro.schema.SchemaParseException, fastavro.schema.UnknownType, KeyError, TypeError, ValueError) as error:
        raise WireError(f"The record's schema cannot be parsed: {str(error)[:_SHOWN]}") from error


def _schema_id(value: bytes) -> int:
    if len(value) < _FRAME.size:
        raise WireError(f"The record has {len(value)} bytes: too short for the wire format")
    magic, number = _FRAME.unpack_from(value)
    if magic != _MAGIC:
        raise WireError(f"The record begins with {magic & 0xFF:#04x}, not with the wire format's 0x00")
    return int(number)
