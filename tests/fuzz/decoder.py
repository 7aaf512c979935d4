"""A child process that decodes and renders hostile records: when it dies, runs on, or swells, the record that did it is known.

Run as a program it reads records (four bytes of length, the record) from standard input and answers each with a line:
what came of it, the milliseconds of processor time, the kibibytes by which the process has ever grown since its start.
"""

from __future__ import annotations

import resource
import struct
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import IO, Any, Final

from hookline.kernel.errors import SchemaError, UnknownSchema, WireError
from hookline.schemas.catalogue import BY_SUBJECT, SCHEMAS, event_type
from hookline.schemas.names import full_name
from hookline.schemas.wire import Codec

_SIZE: Final = struct.Struct(">I")
_NOTHING: Final = frozenset({"refused", "unknown"})


class _Fixed:
    """The registry of this build's schemas, ids from 1 in their order; no broker."""

    def __init__(self) -> None:
        self._all = [dict(schema) for schema in SCHEMAS.values()]

    def start(self) -> None:
        """Nothing to connect to."""

    def stop(self) -> None:
        """Nothing is held."""

    def id_of(self, subject: str) -> int:
        """Return the id of a subject."""
        return list(SCHEMAS).index(subject) + 1

    def schema_of(self, number: int) -> dict[str, Any]:
        """Return a schema by id."""
        if not 0 < number <= len(self._all):
            raise UnknownSchema(f"Schema id {number} is not registered")
        return self._all[number - 1]

    def subject_of(self, number: int) -> str:
        """Return a subject by id."""
        return full_name(self.schema_of(number))

    def register(self, subject: str, schema: dict[str, Any]) -> int:
        """Refuse: these are all."""
        raise SchemaError(f"{subject} cannot be registered here: {schema}")

    def versions(self, subject: str) -> list[Any]:
        """Return the one version."""
        return [SimpleNamespace(id=self.id_of(subject), subject=subject, version=1, schema=SCHEMAS[subject])]


def codec() -> Codec:
    """Return the codec of this build."""
    return Codec(_Fixed())


@dataclass(frozen=True, slots=True)
class Verdict:
    """What came of one record."""

    said: str
    cpu_ms: float
    grown_kib: int


class Decoder:
    """The parent's end; `decode` fails the test when the child has died."""

    def __init__(self) -> None:
        # By path, and with the parent's search path: tests are files, not a package.
        self._child = subprocess.Popen(
            [sys.executable, __file__], stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=Path(__file__).parents[2]
        )

    def decode(self, value: bytes) -> Verdict:
        """Have a record decoded."""
        assert self._child.stdin is not None
        assert self._child.stdout is not None
        self._child.stdin.write(_SIZE.pack(len(value)) + value)
        self._child.stdin.flush()
        line = self._child.stdout.readline().decode()
        assert line, f"this record ended the process: {value.hex()}"
        said, cpu_ms, grown = line.rsplit(" ", 2)
        return Verdict(said, float(cpu_ms), int(grown))

    def close(self) -> int:
        """End the child; return its exit status."""
        assert self._child.stdin is not None
        assert self._child.stdout is not None
        self._child.stdin.close()
        self._child.stdout.close()
        return self._child.wait(30)


def _outcome(under_test: Codec, value: bytes) -> str:
    """Return what both ways say of a record, or words of no subject where they differ, or where bytes may stand behind it."""
    found, told = _decoded(under_test, value), _rendered(under_test, value)
    if found not in _NOTHING:
        for way in (_decoded, _rendered):
            if way(under_test, value + b"\0") != "refused":
                return f"{way.__name__} takes a byte behind it"
        if found not in BY_SUBJECT:  # a record that is no event is for nobody's eyes
            return found if told == "refused" else "rendered what is no event"
    return found if found == told else f"decoded: {found}, rendered: {told}"


def _decoded(under_test: Codec, value: bytes) -> str:
    try:
        subject, _ = under_test.decode_record(value)
    except WireError:
        return "refused"
    except UnknownSchema:
        return "unknown"
    return subject


def _rendered(under_test: Codec, value: bytes) -> str:
    try:
        rendered = under_test.render(value)
    except WireError:
        return "refused"
    except UnknownSchema:
        return "unknown"
    return event_type(rendered.type).subject


def serve(records: IO[bytes], answers: IO[str]) -> None:
    """Decode until the input ends."""
    under_test = codec()
    at_start = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    while head := records.read(_SIZE.size):
        value = records.read(_SIZE.unpack(head)[0])
        began = time.process_time()
        said = _outcome(under_test, value)
        cpu_ms = (time.process_time() - began) * 1_000
        print(said, f"{cpu_ms:.3f}", resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - at_start, file=answers, flush=True)


if __name__ == "__main__":
    serve(sys.stdin.buffer, sys.stdout)
