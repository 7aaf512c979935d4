"""The wire codec: Confluent framing (0x00, four bytes of schema id, Avro body), so that every tool of the ecosystem reads it.

The writer's schema is found by its id, the reader's is this build's: an old dispatcher reads new events and a new one
old events, by Avro's rules of resolution.
"""

from __future__ import annotations

import io
import struct
from dataclasses import asdict
from typing import Any, Final, cast

import fastavro

from hookline.kernel.errors import SchemaError, WireError
from hookline.schemas.catalogue import BY_SUBJECT, PARSED, SCHEMAS, canonical, event_type, parsed
from hookline.schemas.events import Event
from hookline.schemas.records import Attempt, ErrorKind, Outcome, Trigger
from hookline.schemas.registry import SchemaRegistry

_MAGIC: Final = 0
_FRAME: Final = struct.Struct(">bI")
_ATTEMPT: Final = "hookline.Attempt"
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
    fastavro.schema.SchemaParseException,
    fastavro.read.SchemaResolutionError,
)


class Codec:
    """Encodes and decodes records with the schemas of one registry; thread-safe once the registry is started."""

    def __init__(self, registry: SchemaRegistry) -> None:
        self._registry = registry
        self._frames: dict[str, bytes] = {}
        self._plans: dict[int, tuple[str, Any, Any]] = {}

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
            raise WireError(f"The record is a {subject}, which is no event type")
        return Event(id=datum["id"], type=kind.name, store_id=datum["store_id"], occurred_at=datum["occurred_at"], data=datum["data"])

    def type_of(self, value: bytes) -> str | None:
        """Return the event type by the frame alone, None when it is no event's."""
        kind = BY_SUBJECT.get(self._registry.subject_of(_schema_id(value)))
        return kind.name if kind is not None else None

    # ---- attempts ----

    def encode_attempt(self, attempt: Attempt) -> bytes:
        """Return an attempt's bytes."""
        return self.encode_record(_ATTEMPT, asdict(attempt))

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
            raise WireError(f"The record is no {subject}: {type(error).__name__}: {error}") from error
        if body.tell() != len(value):
            raise WireError(f"The record has {len(value) - body.tell()} bytes behind its {subject}")
        return subject, cast("dict[str, Any]", datum)

    def _plan(self, number: int) -> tuple[str, Any, Any]:
        """Return (subject, writer's schema, this build's schema or None where they are the same) of a schema id."""
        plan = self._plans.get(number)
        if plan is None:
            subject = self._registry.subject_of(number)
            writer, reader = self._registry.schema_of(number), SCHEMAS.get(subject)
            same = reader is None or canonical(reader) == canonical(writer)
            build = parsed(reader if same and reader is not None else writer)
            plan = self._plans[number] = (subject, build, None if same else parsed(reader or writer))
        return plan

    def _frame(self, subject: str) -> bytes:
        frame = self._frames.get(subject)
        if frame is None:
            if subject not in SCHEMAS:
                raise SchemaError(f"There is no schema {subject} in this build")
            frame = self._frames[subject] = _FRAME.pack(_MAGIC, self._registry.id_of(subject))
        return frame


def _schema_id(value: bytes) -> int:
    if len(value) < _FRAME.size:
        raise WireError(f"The record has {len(value)} bytes: too short for the wire format")
    magic, number = _FRAME.unpack_from(value)
    if magic != _MAGIC:
        raise WireError(f"The record begins with {magic & 0xFF:#04x}, not with the wire format's 0x00")
    return int(number)
